//! OpenAI legacy Completions: a prompt is one user message, the text goes on where it ends.
//!
//! Errors, usage, finish words and model lists are Chat's; only the bodies differ.

mod request;
mod response;
mod stream_in;
mod stream_out;
#[cfg(test)]
mod tests;

use super::openai_chat::wire::Expect;
use super::openai_chat::{error, models};
use crate::envelope::Envelope;
use crate::format::{AddressHints, Lossy, ReplyContext, StreamDecoder, StreamEncoder};
use crate::framing::Framing;
use crate::ir::{ChatRequest, ChatResponse, ModelInfo, Usage};
use crate::{ApiError, ApiFormat, DecodeError, Dialect, FormatCodec};

const FORMAT: ApiFormat = ApiFormat::OpenaiCompletions;
const IN: Expect = Expect(FORMAT);

/// The codec.
pub(crate) fn codec() -> &'static dyn FormatCodec {
    &OpenaiCompletions
}

#[derive(Debug)]
struct OpenaiCompletions;

/// Errors of shared readers name the format that they were called for.
fn ours<T>(result: Result<T, DecodeError>) -> Result<T, DecodeError> {
    result.map_err(|error| DecodeError { format: FORMAT, ..error })
}

impl FormatCodec for OpenaiCompletions {
    fn format(&self) -> ApiFormat {
        FORMAT
    }

    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn decode_request(&self, body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
        request::decode(body, hints)
    }

    fn encode_response(&self, response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
        response::encode(response, context)
    }

    fn stream_encoder(&self, context: ReplyContext) -> Box<dyn StreamEncoder> {
        Box::new(stream_out::Encoder::new(context))
    }

    fn encode_error(&self, failure: &ApiError) -> Vec<u8> {
        error::encode(failure)
    }

    fn encode_request(&self, request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        request::encode(request, dialect)
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
        super::openai_chat::decode_usage(answer, dialect)
    }

    fn tap_markers(&self) -> &'static [&'static str] {
        super::openai_chat::codec().tap_markers()
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
        ours(models::decode(body))
    }

    fn encode_models(&self, list: &[ModelInfo]) -> Vec<u8> {
        models::encode(list)
    }
}
