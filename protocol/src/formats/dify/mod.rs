//! Dify's `/chat-messages`: a facade over any model, and a Dify app as a provider.

mod conversation;
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

use serde_json::Value;

pub use conversation::{
    HistoryFile, HistoryMessage, LARGEST_PAGE, Page, USUAL_PAGE, answer_text, encode_page, page, prepend_history,
    unknown_conversation,
};
pub use stream_out::message_id;

use crate::envelope::Envelope;
use crate::format::{AddressHints, FormatCodec, Lossy, ReplyContext, StreamDecoder, StreamEncoder};
use crate::framing::Framing;
use crate::ir::{ChatRequest, ChatResponse, ModelInfo, Usage};
use crate::{ApiError, ApiFormat, DecodeError, Dialect};

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    &DifyCodec
}

#[derive(Debug)]
struct DifyCodec;

impl FormatCodec for DifyCodec {
    fn format(&self) -> ApiFormat {
        ApiFormat::Dify
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
        Value::Object(error::encode(error)).to_string().into_bytes()
    }

    fn encode_request(&self, request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let Lossy { value, losses } = request_out::encode(request, dialect);
        Ok(Lossy { value: Value::Object(value).to_string().into_bytes(), losses })
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
        let metadata: Value = serde_json::from_slice(answer.raw("metadata")?).ok()?;
        metadata.get("usage").filter(|raw| raw.is_object()).map(usage::read)
    }

    fn tap_markers(&self) -> &'static [&'static str] {
        // Whether a text takes back what was said depends on what was said.
        &[
            "\"message_end\"",
            "\"workflow_finished\"",
            "\"workflow_paused\"",
            "\"message_replace\"",
            "\"answer\"",
            "\"error\"",
        ]
    }

    fn decode_models(&self, _body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
        Ok(Vec::new())
    }

    /// A facade's client asks for no list; what an app tells about itself is all there is.
    fn encode_models(&self, models: &[ModelInfo]) -> Vec<u8> {
        let names: Vec<Value> = models.iter().map(|model| Value::from(model.id.clone())).collect();
        Value::Array(names).to_string().into_bytes()
    }
}
