//! OpenAI Chat Completions and its many compatible hosts.
//!
//! | file | owns |
//! |---|---|
//! | `wire` | readers and writers of the JSON |
//! | `request_in`, `messages_in` | a client's request → the unified model |
//! | `request_out`, `messages_out`, `tool_ids` | the unified model → a provider's request |
//! | `scalars`, `tools`, `thinking`, `media`, `details`, `finish`, `sources`, `usage`, `models` | one subject each, both directions |
//! | `response` | whole answers, both directions |
//! | `stream_in`, `delta_in`, `calls` | a provider's stream → events |
//! | `stream_out` | events → a client's stream |
//! | `error` | failures, both directions |
//!
//! How hosts differ is data ([`Dialect`]); no file knows the name of a host in its logic.

mod calls;
mod delta_in;
mod details;
pub(crate) mod error;
pub(crate) mod finish;
pub(crate) mod media;
mod messages_in;
mod messages_out;
pub(crate) mod models;
mod request_in;
mod request_out;
pub(crate) mod response;
pub(crate) mod scalars;
mod sources;
mod stream_in;
mod stream_out;
#[cfg(test)]
mod tests;
mod thinking;
mod tool_ids;
mod tools;
pub(crate) mod usage;

/// What a `usage` object says that the call cost, in dollars as it wrote them.
pub use usage::cost as told_cost;
pub(crate) mod wire;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::envelope::Envelope;
use crate::format::{AddressHints, Lossy, ReplyContext, StreamDecoder, StreamEncoder};
use crate::framing::Framing;
use crate::ir::{ChatRequest, ChatResponse, ModelInfo, Usage};
use crate::{ApiError, ApiFormat, DecodeError, Dialect, FormatCodec};

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    &OpenaiChat
}

#[derive(Debug)]
struct OpenaiChat;

/// Reads nothing but the counters of a whole answer.
pub(crate) fn decode_usage(answer: &Envelope, dialect: &Dialect) -> Option<Usage> {
    // Moonshot's older models count in the choice.
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow)]
        usage: Option<&'a RawValue>,
    }
    let in_choices = || {
        let choices: Vec<Choice<'_>> = serde_json::from_slice(answer.raw("choices")?).ok()?;
        choices.iter().find_map(|choice| usage::read(choice.usage?.get().as_bytes(), dialect))
    };
    let mut found = answer.raw("usage").and_then(|usage| usage::read(usage, dialect)).or_else(in_choices)?;
    if found.service_tier.is_none() {
        found.service_tier = answer.text("service_tier").map(|tier| tier.into_owned());
    }
    Some(found)
}

impl FormatCodec for OpenaiChat {
    fn format(&self) -> ApiFormat {
        wire::FORMAT
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
        Box::new(stream_out::Encoder::new(context))
    }

    fn encode_error(&self, error: &ApiError) -> Vec<u8> {
        error::encode(error)
    }

    fn encode_request(&self, request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        request_out::encode(request, dialect)
    }

    fn decode_response(&self, body: &[u8], dialect: &Dialect) -> Result<ChatResponse, DecodeError> {
        response::decode(body, dialect)
    }

    fn stream_decoder(&self, dialect: &Dialect) -> Box<dyn StreamDecoder> {
        Box::new(stream_in::Decoder::new(dialect))
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error::decode(status, body)
    }

    fn decode_usage(&self, answer: &Envelope, dialect: &Dialect) -> Option<Usage> {
        decode_usage(answer, dialect)
    }

    fn tap_markers(&self) -> &'static [&'static str] {
        // OpenAI puts `"usage":null` and `"finish_reason":null` into every chunk: members that are null do not mark. A name begins a call, and
        // calls decide what a host's `stop` means.
        &["\"usage\"", "\"finish_reason\"", "\"error\"", "[DONE]", "\"name\""]
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
        models::decode(body)
    }

    fn encode_models(&self, models: &[ModelInfo]) -> Vec<u8> {
        models::encode(models)
    }
}
