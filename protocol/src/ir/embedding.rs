//! Embeddings.

use super::{Extras, Usage};

/// A request for vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmbeddingRequest {
    /// The model's name.
    pub model: String,
    /// What to embed, in order.
    pub input: Vec<EmbeddingInput>,
    /// The caller wrote one bare input and not a list: formats that tell the two apart answer in kind.
    pub single: bool,
    /// Length of the vectors.
    pub dimensions: Option<u64>,
    /// How vectors are written; `None` is the format's default.
    pub encoding: Option<EncodingFormat>,
    /// Purpose (`task_type`, `input_type`), in the caller's words.
    pub task: Option<String>,
    /// Title of the document (Gemini).
    pub title: Option<String>,
    /// End-user id.
    pub user: Option<String>,
    /// Fields that the model has no word for.
    pub extras: Extras,
}

/// One thing to embed.
#[derive(Debug, Clone, PartialEq)]
pub enum EmbeddingInput {
    /// Text.
    Text(String),
    /// Token ids of the model's tokenizer.
    Tokens(Vec<u32>),
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodingFormat {
    /// A JSON list of numbers.
    Float,
    /// Base64 of little-endian `f32`s.
    Base64,
}

/// Vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmbeddingResponse {
    /// The model that answered.
    pub model: Option<String>,
    /// One vector an input, in the order of the inputs.
    pub data: Vec<Embedding>,
    /// What it took.
    pub usage: Option<Usage>,
    /// Fields that the model has no word for.
    pub extras: Extras,
}

/// One vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Embedding {
    /// Numbers as written.
    Float(Vec<f64>),
    /// Base64 of little-endian `f32`s, as written.
    Base64(String),
}
