//! Whole (blocking) answers, both directions.

use serde_json::Value;

use super::stream_in::Decoder;
use super::stream_out::{Encoder, Piece};
use crate::fold::{fold, unfold};
use crate::format::{Lossy, ReplyContext};
use crate::formats::fields::Fields;
use crate::ir::ChatResponse;
use crate::{ApiFormat, DecodeError};

const DIFY: ApiFormat = ApiFormat::Dify;

/// Reads a whole answer: it reads like one `message` and a `message_end` in one.
pub(super) fn decode(body: &[u8]) -> Result<ChatResponse, DecodeError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| DecodeError::json(DIFY, &error))?;
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.start(&value, &mut events);
    let mut fields = Fields::of(value, DIFY, &crate::formats::fields::Path::Root)?;
    let answer = fields.text("answer")?.ok_or_else(|| fields.error("answer", "is missing"))?;
    let metadata = fields.take("metadata").unwrap_or_default();
    for thoughts in metadata.get("reasoning").and_then(Value::as_object).into_iter().flat_map(|nodes| nodes.values()) {
        decoder.reason(thoughts.as_str().unwrap_or_default(), &mut events);
    }
    decoder.text(&answer, &mut events);
    decoder.close_with(metadata, &mut events);
    Ok(fold(events).response)
}

/// Writes a whole answer. Pictures follow the text as Markdown, as Dify's own apps write them.
pub(super) fn encode(response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
    let mut encoder = Encoder::new(context.clone());
    let (mut answer, mut thinking) = (String::new(), String::new());
    for event in unfold(response.clone()) {
        match encoder.take(&event) {
            Some(Piece::Text(text)) => answer.push_str(&text),
            Some(Piece::Instead(text)) => answer = text,
            Some(Piece::Thinking(text, _)) => thinking.push_str(&text),
            Some(Piece::File { kind, url }) => {
                if !answer.is_empty() {
                    answer.push_str("\n\n");
                }
                let mark = if kind == "image" { "!" } else { "" };
                answer.push_str(&format!("{mark}[{kind}]({url})"));
            }
            Some(Piece::Raw(_)) | None => {}
        }
    }
    if encoder.failure().is_some() {
        encoder.lose("choices[].finish", "that the model failed cannot be told");
    }
    let whole = encoder.whole_answer(answer, thinking);
    Lossy { value: Value::Object(whole).to_string().into_bytes(), losses: encoder.take_losses() }
}
