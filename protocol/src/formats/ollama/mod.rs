//! Ollama's own API: chat and generate.

use crate::FormatCodec;

/// The codec.
pub(crate) fn chat_codec() -> &'static dyn FormatCodec {
    unimplemented!()
}

/// The codec.
pub(crate) fn generate_codec() -> &'static dyn FormatCodec {
    unimplemented!()
}
