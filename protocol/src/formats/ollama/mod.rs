//! Ollama's own API: `/api/chat` and `/api/generate`, which stream lines of JSON unless told not to.

mod catalog;
mod error;
mod finish;
mod request_in;
mod request_out;
mod response;
mod stream_in;
mod stream_out;
mod usage;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use catalog::{COMPATIBLE_VERSION, decode_show_request, encode_loaded, encode_show, encode_version};

use crate::envelope::Envelope;
use crate::format::{AddressHints, FormatCodec, Lossy, ReplyContext, StreamDecoder, StreamEncoder};
use crate::framing::Framing;
use crate::ir::{ChatRequest, ChatResponse, Choice, Finish, FinishReason, ModelInfo, ToolCall, ToolCallKind, Usage};
use crate::{ApiError, ApiFormat, DecodeError, Dialect};

/// The codec.
pub(crate) fn chat_codec() -> &'static dyn FormatCodec {
    &OllamaCodec { format: ApiFormat::OllamaChat }
}

/// The codec.
pub(crate) fn generate_codec() -> &'static dyn FormatCodec {
    &OllamaCodec { format: ApiFormat::OllamaGenerate }
}

/// The answer to a request that asks nothing: tools send one to have a model loaded before its first use. `None` if something is asked.
pub fn answer_to_nothing(request: &ChatRequest) -> Option<ChatResponse> {
    if !request.messages.is_empty() {
        return None;
    }
    let keep_alive = request.extras.get("keep_alive");
    let word = if keep_alive.and_then(Value::as_i64) == Some(0) { "unload" } else { "load" };
    let finish = Finish { native: Some(word.to_owned()), ..Finish::new(FinishReason::Stop) };
    Some(ChatResponse {
        choices: vec![Choice { finish: Some(finish), ..Choice::default() }],
        ..ChatResponse::default()
    })
}

/// The arguments of a call as the object that Ollama wants, and whether they were one.
fn object_of(call: &ToolCall) -> (Value, bool) {
    let wrapped = |name: &str, value: Value| Value::Object(Map::from_iter([(name.to_owned(), value)]));
    match (call.kind, serde_json::from_str::<Value>(&call.arguments)) {
        (ToolCallKind::Custom, _) => (wrapped("input", call.arguments.clone().into()), true),
        (ToolCallKind::Function, Ok(object @ Value::Object(_))) => (object, true),
        (ToolCallKind::Function, _) if call.arguments.trim().is_empty() => (Value::Object(Map::new()), true),
        (ToolCallKind::Function, Ok(value)) => (wrapped("arguments", value), false),
        (ToolCallKind::Function, Err(_)) => (wrapped("arguments", call.arguments.clone().into()), false),
    }
}

#[derive(Debug)]
struct OllamaCodec {
    format: ApiFormat,
}

impl FormatCodec for OllamaCodec {
    fn format(&self) -> ApiFormat {
        self.format
    }

    fn framing(&self) -> Framing {
        Framing::NdJson
    }

    fn decode_request(&self, body: &[u8], _hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
        match self.format {
            ApiFormat::OllamaGenerate => request_in::generate(body),
            _ => request_in::chat(body),
        }
    }

    fn encode_response(&self, response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
        response::encode(self.format, response, context)
    }

    fn stream_encoder(&self, context: ReplyContext) -> Box<dyn StreamEncoder> {
        Box::new(stream_out::Encoder::new(self.format, context))
    }

    fn encode_error(&self, error: &ApiError) -> Vec<u8> {
        error::encode(error).to_string().into_bytes()
    }

    fn encode_request(&self, request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let Lossy { value, losses } = match self.format {
            ApiFormat::OllamaGenerate => request_out::generate(request, dialect),
            _ => request_out::chat(request, dialect),
        };
        Ok(Lossy { value: Value::Object(value).to_string().into_bytes(), losses })
    }

    fn decode_response(&self, body: &[u8], dialect: &Dialect) -> Result<ChatResponse, DecodeError> {
        response::decode(self.format, body, dialect)
    }

    fn stream_decoder(&self, dialect: &Dialect) -> Box<dyn StreamDecoder> {
        Box::new(stream_in::Decoder::new(self.format, dialect))
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error::decode(status, body)
    }

    fn decode_usage(&self, answer: &Envelope, _dialect: &Dialect) -> Option<Usage> {
        usage::peek(answer)
    }

    fn tap_markers(&self) -> &'static [&'static str] {
        // Calls change what `stop` means.
        &["\"done\":true", "\"done\": true", "\"tool_calls\"", "\"error\""]
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
        catalog::decode(body)
    }

    fn encode_models(&self, models: &[ModelInfo]) -> Vec<u8> {
        catalog::encode(models).to_string().into_bytes()
    }
}
