//! OpenAI Responses, as OpenAI and Azure, xAI, DeepSeek, OpenRouter, Copilot and Bedrock speak it and as Codex, the official
//! libraries and the Vercel AI SDK need it.
//!
//! - `items` reads the items that requests and answers share, `history` writes them toward a provider, `stream_out` toward a client;
//!   with `message_out` and `call_out`;
//! - `content` and `media` are their parts, `tools` the tools, `carrier` and `ids` what belongs to other formats;
//! - `request`, `response`, `stream_in` with `growth_in`, `error`, `usage`, `models` are the codec's methods;
//! - [`compact`], [`input_tokens`] and [`stored`] are the paths beside `/responses`.
//!
//! Items that no other format has (server tools, compactions, items of next year) are kept whole as
//! [`Content::Native`](crate::ir::Content::Native); notes of the wire's shape are kept under names that begin with `@`.

mod call_out;
mod carrier;
pub mod compact;
mod content;
mod envelope;
mod error;
mod finish;
mod growth_in;
mod history;
mod ids;
pub mod input_tokens;
mod items;
mod media;
mod media_out;
mod message_out;
mod models;
mod parts_out;
mod request;
mod response;
mod slots;
pub mod stored;
mod stream_in;
mod stream_out;
mod take;
#[cfg(test)]
mod tests;
mod tools;
mod tracks;
mod usage;
mod wire;
mod writer;

use serde_json::Value;

use crate::dialect::Dialect;
use crate::envelope::Envelope;
use crate::format::{AddressHints, Lossy};
use crate::framing::Framing;
use crate::ir::{ChatRequest, ChatResponse, ModelInfo, Usage};
use crate::{ApiError, ApiFormat, DecodeError, FormatCodec, ReplyContext, StreamDecoder, StreamEncoder};

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    &Codec
}

#[derive(Debug)]
struct Codec;

impl FormatCodec for Codec {
    fn format(&self) -> ApiFormat {
        ApiFormat::OpenaiResponses
    }

    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn decode_request(&self, body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
        let mut request = request::decode(body)?;
        if let Some(model) = hints.model.filter(|_| request.model.is_empty()) {
            model.clone_into(&mut request.model);
        }
        request.stream = request.stream.or(hints.stream);
        Ok(request)
    }

    fn encode_response(&self, response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
        response::encode(response, context)
    }

    fn stream_encoder(&self, context: ReplyContext) -> Box<dyn StreamEncoder> {
        Box::new(stream_out::Encoder::new(context))
    }

    fn encode_error(&self, error: &ApiError) -> Vec<u8> {
        error::encode(error)
    }

    fn encode_request(&self, request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let (body, losses) = request::encode(request, dialect);
        Ok(Lossy { value: Value::Object(body).to_string().into_bytes(), losses })
    }

    fn decode_response(&self, body: &[u8], _dialect: &Dialect) -> Result<ChatResponse, DecodeError> {
        response::decode(body)
    }

    fn stream_decoder(&self, _dialect: &Dialect) -> Box<dyn StreamDecoder> {
        Box::new(stream_in::Decoder::default())
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error::decode(status, body)
    }

    fn decode_usage(&self, answer: &Envelope, _dialect: &Dialect) -> Option<Usage> {
        usage::peek(answer)
    }

    fn tap_markers(&self) -> &'static [&'static str] {
        // Deltas hold none of these but in their text, where the quotes would be escaped. Calls mark, since the finish depends on them.
        &[
            "\"function_call\"",
            "\"custom_tool_call\"",
            "\"response.completed\"",
            "\"response.incomplete\"",
            "\"response.failed\"",
            "\"response.cancelled\"",
            "\"error\"",
        ]
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
        models::decode(body)
    }

    fn encode_models(&self, models: &[ModelInfo]) -> Vec<u8> {
        models::encode(models)
    }
}
