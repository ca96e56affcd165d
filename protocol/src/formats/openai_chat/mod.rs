//! OpenAI Chat Completions and its many compatible hosts.

use crate::FormatCodec;

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    unimplemented!()
}
