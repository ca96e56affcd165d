//! AWS Bedrock Converse, and what its neighbours on the same host share: failures, and the wrapping of `invoke` streams.
//!
//! The model's id and whether the answer streams stand in the address, which is not this module's business; nor are signatures and regions.

mod blocks_in;
mod blocks_out;
mod error;
mod finish;
mod invoke;
mod media;
mod models;
mod models_taken;
mod request_in;
mod request_out;
mod response;
mod stream_in;
mod stream_out;
mod tools_out;
mod usage;

use serde::Deserialize;

pub use error::with_error_type;
pub(crate) use error::{error_of_value, exception};
pub use invoke::invoke_chunk;

use crate::envelope::Envelope;
use crate::format::{AddressHints, Lossy};
use crate::framing::Framing;
use crate::ir::{ChatRequest, ChatResponse, ModelInfo, Usage};
use crate::json::object;
use crate::{ApiError, ApiFormat, DecodeError, Dialect, FormatCodec, ReplyContext, StreamDecoder, StreamEncoder};

const FORMAT: ApiFormat = ApiFormat::BedrockConverse;

/// The tool that is forced when an answer must follow a schema and the model has no better way. Its input is the answer: decoders turn it
/// into text.
const STRUCTURED_TOOL: &str = "myelin_structured_answer";

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    &BedrockConverse
}

/// Writes the body of `/count-tokens` for a model that is called through Converse. (Through `invoke`:
/// [`bedrock_count_request`](crate::formats::anthropic_messages::bedrock_count_request).)
pub fn encode_count_request(request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
    request_out::encode_count(request, dialect)
}

/// Reads the answer of `/count-tokens`, `{"inputTokens": N}`.
pub fn decode_count_response(body: &[u8]) -> Result<u64, DecodeError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Count {
        input_tokens: u64,
    }
    let count: Count = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    Ok(count.input_tokens)
}

#[derive(Debug)]
struct BedrockConverse;

impl FormatCodec for BedrockConverse {
    fn format(&self) -> ApiFormat {
        FORMAT
    }

    fn framing(&self) -> Framing {
        Framing::AwsEventStream
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
        let mut out = Vec::new();
        object(&mut out, |o| {
            // Clients read the type from the header `x-amzn-errortype`; those that do not, from here.
            o.value("__type", error::http_exception(error.kind));
            o.value("message", &error.message);
        });
        out
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
        &["\"usage\"", "\"stopReason\"", "\"message\""]
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
