//! Dify chat-messages: facade and upstream.

use crate::FormatCodec;

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    unimplemented!()
}
