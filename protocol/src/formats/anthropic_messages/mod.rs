//! Anthropic Messages, as Anthropic, Vertex AI, Bedrock `invoke` and compatible hosts speak it, and as Claude Code needs it.
//!
//! Everything that the API can say has a place: what the unified model has no word for stays in extras and in native blocks and comes back
//! verbatim. Must not know addresses, headers (but for [`betas`], which only maps names) or keys.

pub mod betas;
mod block_stream;
mod blocks_in;
mod blocks_out;
mod carrier;
pub(crate) mod claude;
mod count;
mod error;
mod finish;
pub(crate) mod media_out;
mod models;
mod request_in;
mod request_out;
mod response;
pub(crate) mod schema;
mod stream_in;
mod stream_out;
pub(crate) mod thinking;
pub(crate) mod tools_out;
mod usage;
mod wire;

pub use count::{bedrock_count_request, decode_count_response, encode_count_request, encode_count_response};
pub(crate) use error::cut;

use crate::envelope::Envelope;
use crate::format::{AddressHints, Lossy};
use crate::framing::Framing;
use crate::ir::{ChatRequest, ChatResponse, ModelInfo, Usage};
use crate::{ApiError, ApiFormat, DecodeError, Dialect, FormatCodec, ReplyContext, StreamDecoder, StreamEncoder};

const FORMAT: ApiFormat = ApiFormat::AnthropicMessages;

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    &AnthropicMessages
}

#[derive(Debug)]
struct AnthropicMessages;

impl FormatCodec for AnthropicMessages {
    fn format(&self) -> ApiFormat {
        FORMAT
    }

    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn decode_request(&self, body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
        request_in::decode(body, hints)
    }

    fn encode_response(&self, response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
        response::encode(response, context)
    }

    fn stream_encoder(&self, context: ReplyContext) -> Box<dyn StreamEncoder> {
        Box::new(stream_out::StreamOut::new(context))
    }

    fn encode_error(&self, error: &ApiError) -> Vec<u8> {
        error::encode(error)
    }

    fn encode_request(&self, request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        request_out::encode(request, dialect)
    }

    fn decode_response(&self, body: &[u8], _dialect: &Dialect) -> Result<ChatResponse, DecodeError> {
        response::decode(body)
    }

    fn stream_decoder(&self, _dialect: &Dialect) -> Box<dyn StreamDecoder> {
        Box::new(stream_in::StreamIn::default())
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error::decode(status, body)
    }

    fn decode_usage(&self, answer: &Envelope, _dialect: &Dialect) -> Option<Usage> {
        usage::of_text(answer.raw("usage")?)
    }

    fn tap_markers(&self) -> &'static [&'static str] {
        &["message_start", "message_delta", "message_stop", "\"error\""]
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
        models::decode(body)
    }

    fn encode_models(&self, models: &[ModelInfo]) -> Vec<u8> {
        models::encode(models)
    }
}

#[cfg(test)]
mod tests;
