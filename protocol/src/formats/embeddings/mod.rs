//! Embeddings: one small codec a wire.

/// Whose embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingFormat {
    /// OpenAI.
    Openai,
    /// Gemini.
    Gemini,
    /// Ollama.
    Ollama,
}
