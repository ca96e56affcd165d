//! What `invoke-with-response-stream` wraps around a model's own events: `chunk` events with `{"bytes": base64(JSON)}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::{ApiFormat, DecodeError};

/// The model's own event out of the payload of a `chunk` event; for Claude an event of Messages. `format` is whose event it is, for errors.
///
/// The stream decoder of Anthropic Messages calls this by itself: it takes frames of [`crate::framing::aws`] as it takes those of SSE.
pub fn invoke_chunk(payload: &[u8], format: ApiFormat) -> Result<Vec<u8>, DecodeError> {
    #[derive(Deserialize)]
    struct Chunk {
        bytes: String,
    }
    let chunk: Chunk = serde_json::from_slice(payload).map_err(|error| DecodeError::json(format, &error))?;
    STANDARD.decode(chunk.bytes).map_err(|_| DecodeError::new(format, "/bytes", "is not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_unwrapped_and_padding_ignored() {
        let inner = invoke_chunk(br#"{"bytes":"eyJhIjoxfQ==","p":"abcdef"}"#, ApiFormat::AnthropicMessages);
        assert_eq!(inner.unwrap(), br#"{"a":1}"#);
        for odd in [&b"{}"[..], br#"{"bytes":"*"}"#, b"", b"[]"] {
            assert!(invoke_chunk(odd, ApiFormat::AnthropicMessages).is_err());
        }
    }
}
