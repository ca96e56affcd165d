//! Embeddings: one small codec a wire.
//!
//! | format | provider side | client side |
//! |---|---|---|
//! | `openai` | `POST …/embeddings` and its many compatible hosts | yes |
//! | `gemini` | `:embedContent`, `:batchEmbedContents` | yes |
//! | `vertex-predict` | `:predict` | |
//! | `ollama` | `POST /api/embed` | yes, and legacy `/api/embeddings` |
//! | `cohere` | `POST /v2/embed` (answers of v1 are read too) | |
//! | `bedrock-invoke` | `/model/{id}/invoke` for Titan and Cohere models | |
//!
//! Failures travel in the words of a conversation format: see [`EmbeddingFormat::family`].

mod bedrock;
mod cohere;
mod gemini;
mod ollama;
mod openai;
mod tasks;
#[cfg(test)]
mod tests;
pub mod vectors;
mod vertex;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::format::{AddressHints, Lossy};
use crate::ir::{EmbeddingRequest, EmbeddingResponse};
use crate::{ApiFormat, DecodeError, Dialect};

/// A wire format for embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmbeddingFormat {
    /// OpenAI, `POST /v1/embeddings`.
    Openai,
    /// Gemini `embedContent` and `batchEmbedContents`.
    Gemini,
    /// Vertex AI `predict` of text embedding models.
    VertexPredict,
    /// Ollama `POST /api/embed`, legacy `POST /api/embeddings`.
    Ollama,
    /// Cohere `POST /v2/embed`.
    Cohere,
    /// AWS Bedrock `invoke` of Titan and Cohere models.
    BedrockInvoke,
}

impl EmbeddingFormat {
    /// Every format, in the order of the enum.
    pub const ALL: [EmbeddingFormat; 6] = [
        EmbeddingFormat::Openai,
        EmbeddingFormat::Gemini,
        EmbeddingFormat::VertexPredict,
        EmbeddingFormat::Ollama,
        EmbeddingFormat::Cohere,
        EmbeddingFormat::BedrockInvoke,
    ];

    /// The name in configuration, records and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            EmbeddingFormat::Openai => "openai",
            EmbeddingFormat::Gemini => "gemini",
            EmbeddingFormat::VertexPredict => "vertex-predict",
            EmbeddingFormat::Ollama => "ollama",
            EmbeddingFormat::Cohere => "cohere",
            EmbeddingFormat::BedrockInvoke => "bedrock-invoke",
        }
    }

    /// The codec of the format: the one table.
    pub fn codec(self) -> &'static dyn EmbeddingCodec {
        match self {
            EmbeddingFormat::Openai => &openai::Openai,
            EmbeddingFormat::Gemini => &gemini::Gemini,
            EmbeddingFormat::VertexPredict => &vertex::VertexPredict,
            EmbeddingFormat::Ollama => &ollama::Ollama,
            EmbeddingFormat::Cohere => &cohere::Cohere,
            EmbeddingFormat::BedrockInvoke => &bedrock::BedrockInvoke,
        }
    }

    /// The conversation format of the same maker: its codec reads and writes failures, and extras and losses carry its name. Cohere, which has
    /// none here, is read by Chat's, which knows the shape.
    pub fn family(self) -> ApiFormat {
        match self {
            EmbeddingFormat::Openai | EmbeddingFormat::Cohere => ApiFormat::OpenaiChat,
            EmbeddingFormat::Gemini | EmbeddingFormat::VertexPredict => ApiFormat::Gemini,
            EmbeddingFormat::Ollama => ApiFormat::OllamaChat,
            EmbeddingFormat::BedrockInvoke => ApiFormat::BedrockConverse,
        }
    }
}

impl fmt::Display for EmbeddingFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One wire format for embeddings. Stateless; one value a format, reached by [`EmbeddingFormat::codec`].
pub trait EmbeddingCodec: Send + Sync + fmt::Debug {
    /// Which format this is.
    fn format(&self) -> EmbeddingFormat;

    /// The client side, where clients speak the format.
    fn client(&self) -> Option<&dyn EmbeddingClient>;

    /// The last piece of the address, as far as the request decides it: `embedContent` or `batchEmbedContents`, `embed`, `predict` …
    fn action(&self, request: &EmbeddingRequest) -> &'static str;

    /// The most inputs that the provider takes in one call of `model`; longer requests are to be split.
    fn max_inputs(&self, model: &str) -> usize;

    /// Writes a request for a provider. Fails where the provider cannot take the input at all (token ids for a foreign tokenizer).
    fn encode_request(&self, request: &EmbeddingRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError>;

    /// Reads a provider's answer; vectors come in the order of the inputs.
    fn decode_response(&self, body: &[u8]) -> Result<EmbeddingResponse, DecodeError>;
}

/// What an answer to a client needs beside the vectors.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingReply<'a> {
    /// The model's name to show: the one that the client asked for.
    pub model: &'a str,
    /// The request: it decides how vectors are written and which shape the answer has.
    pub request: &'a EmbeddingRequest,
}

/// The side of a format that clients see.
pub trait EmbeddingClient: Send + Sync + fmt::Debug {
    /// Reads a client's request.
    fn decode_request(&self, body: &[u8], hints: AddressHints<'_>) -> Result<EmbeddingRequest, DecodeError>;

    /// Writes an answer for a client, vectors as it asked for them. Fails on vectors that cannot be read.
    fn encode_response(
        &self,
        response: &EmbeddingResponse,
        reply: EmbeddingReply<'_>,
    ) -> Result<Lossy<Vec<u8>>, DecodeError>;
}
