//! Embeddings: one small codec a wire.
