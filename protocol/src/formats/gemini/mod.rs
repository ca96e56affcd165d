//! Gemini's `generateContent` and `streamGenerateContent`; Vertex AI speaks the same.
//!
//! Model and stream stand in the address, a stream is SSE or one JSON array, its terminal is the end of the body after a `finishReason`. Input is
//! taken in `camelCase` and `snake_case`. Signatures stay on the parts that they were made for; tool results are linked by id where there
//! is one, else by name and order.

mod answer;
mod config;
mod count;
mod error;
mod finish;
mod grounding;
mod model_rules;
mod models;
mod partial_args;
mod request_in;
mod request_out;
mod response;
mod schema_in;
mod schema_out;
mod signature;
mod stream_in;
mod stream_out;
mod tools;
mod usage;
mod wire;
mod write;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use count::{CountHost, decode_count_request, decode_count_response, encode_count_request, encode_count_response};

use crate::envelope::Envelope;
use crate::format::{AddressHints, FormatCodec, Lossy, ReplyContext, StreamDecoder, StreamEncoder};
use crate::framing::Framing;
use crate::ir::{ChatRequest, ChatResponse, ModelInfo, Usage};
use crate::{ApiError, ApiFormat, DecodeError, Dialect};

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    &GeminiCodec
}

/// Writes a failure the way Gemini does where a stream was asked for without `alt=sse`: in a list.
pub fn encode_error_in_array(error: &ApiError) -> Vec<u8> {
    Value::Array(vec![error::encode(error)]).to_string().into_bytes()
}

/// Writes one model, as `GET /v1beta/models/{model}` answers it.
pub fn encode_model(model: &ModelInfo) -> Vec<u8> {
    models::encode_one(model).to_string().into_bytes()
}

#[derive(Debug)]
struct GeminiCodec;

impl FormatCodec for GeminiCodec {
    fn format(&self) -> ApiFormat {
        ApiFormat::Gemini
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
        error::encode(error).to_string().into_bytes()
    }

    fn encode_request(&self, request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let Lossy { value, losses } = request_out::encode(request, dialect);
        Ok(Lossy { value: Value::Object(value).to_string().into_bytes(), losses })
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
        usage::peek(answer, dialect)
    }

    fn tap_markers(&self) -> &'static [&'static str] {
        // Calls change what `STOP` means.
        &["\"usageMetadata\"", "\"finishReason\"", "\"blockReason\"", "\"functionCall\"", "\"error\""]
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
        models::decode(body)
    }

    fn encode_models(&self, models: &[ModelInfo]) -> Vec<u8> {
        models::encode(models).to_string().into_bytes()
    }
}
