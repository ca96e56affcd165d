//! Whole answers, both directions, by way of their events.

use serde_json::Value;

use super::stream_in::Decoder;
use super::stream_out::Encoder;
use crate::fold::{fold, unfold};
use crate::format::{Lossy, ReplyContext, StreamDecoder};
use crate::framing::Frame;
use crate::ir::ChatResponse;
use crate::{ApiFormat, DecodeError, Dialect};

/// Reads a whole answer.
pub(super) fn decode(format: ApiFormat, body: &[u8], dialect: &Dialect) -> Result<ChatResponse, DecodeError> {
    let mut decoder = Decoder::new(format, dialect);
    let mut events = Vec::new();
    decoder.feed(&Frame { event: None, exception: false, data: body }, &mut events)?;
    let folded = fold(events);
    match folded.error {
        Some(error) => Err(DecodeError::new(format, "/error", error.message)),
        None if !folded.complete => Err(DecodeError::new(format, "/done", "the answer is not done")),
        None => Ok(folded.response),
    }
}

/// Writes a whole answer.
pub(super) fn encode(format: ApiFormat, response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
    let mut encoder = Encoder::new(format, context.clone());
    let pieces = unfold(response.clone()).iter().filter_map(|event| encoder.take(event)).collect();
    let mut line = encoder.line();
    encoder.fill(&mut line, pieces);
    encoder.done(&mut line);
    Lossy { value: Value::Object(line).to_string().into_bytes(), losses: encoder.take_losses() }
}
