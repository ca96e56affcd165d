//! Whole answers, both directions, by way of their events: one reading and one writing of every part.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::{Answer, join_signatures};
use super::stream_in::Decoder;
use super::stream_out::envelope;
use crate::fold::{fold, unfold};
use crate::format::{Lossy, ReplyContext, StreamDecoder};
use crate::framing::Frame;
use crate::ir::ChatResponse;
use crate::{ApiFormat, DecodeError, Dialect};

/// Reads a whole answer, or a whole stream in the form of a list.
pub(super) fn decode(body: &[u8], dialect: &Dialect) -> Result<ChatResponse, DecodeError> {
    let mut decoder = Decoder::new(dialect);
    let mut events = Vec::new();
    decoder.feed(&Frame { event: None, exception: false, data: body }, &mut events)?;
    decoder.settle(&mut events);
    let folded = fold(events);
    match folded.error {
        Some(error) => Err(DecodeError::new(ApiFormat::Gemini, "/error", error.message)),
        None => Ok(folded.response),
    }
}

/// Writes a whole answer.
pub(super) fn encode(response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
    let mut answer = Answer::default();
    let mut parts: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
    for event in unfold(response.clone()) {
        if let Some((choice, part)) = answer.take(&event) {
            parts.entry(choice).or_default().push(part);
        }
    }
    // A choice in which nothing was said still finished.
    let finished = (0u32..).zip(&response.choices).filter(|(_, choice)| choice.finish.is_some());
    finished.for_each(|(index, _)| {
        parts.entry(index).or_default();
    });
    let candidates = answer.candidates().into_iter().map(|(choice, fields)| {
        let parts = join_signatures(parts.remove(&choice).unwrap_or_default());
        let mut candidate = Map::new();
        candidate.insert("content".to_owned(), json!({"parts": parts, "role": "model"}));
        candidate.extend(fields);
        candidate.insert("index".to_owned(), choice.into());
        Value::Object(candidate)
    });
    let mut body = Map::new();
    let candidates: Vec<Value> = candidates.collect();
    if !candidates.is_empty() {
        body.insert("candidates".to_owned(), Value::Array(candidates));
    }
    body.extend(answer.extras.clone());
    body.extend(envelope(&answer, context));
    Lossy { value: Value::Object(body).to_string().into_bytes(), losses: answer.losses }
}
