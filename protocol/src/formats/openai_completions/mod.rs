//! OpenAI legacy Completions.

use crate::FormatCodec;

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    unimplemented!()
}
