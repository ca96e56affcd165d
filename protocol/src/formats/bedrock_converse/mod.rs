//! AWS Bedrock Converse.

mod error;
mod invoke;

pub use error::with_error_type;
pub(crate) use error::{error_of_value, exception};
pub use invoke::invoke_chunk;

use crate::FormatCodec;

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    unimplemented!()
}
