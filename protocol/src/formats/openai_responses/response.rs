//! Whole answers, both directions.

use serde_json::Value;

use super::envelope::ECHOED;
use super::items::{self, Item, Place};
use super::stream_out::Encoder;
use super::take::{self, FORMAT, Fields};
use super::{finish, usage};
use crate::format::Lossy;
use crate::ir::{ChatResponse, Choice, Extras, Loss, Part};
use crate::{DecodeError, ReplyContext, StreamEncoder, fold};

/// Reads a whole answer.
pub(super) fn decode(body: &[u8]) -> Result<ChatResponse, DecodeError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => decode_fields(fields),
        Ok(_) => Err(DecodeError::new(FORMAT, "", "is not an object")),
        Err(error) => Err(DecodeError::json(FORMAT, &error)),
    }
}

/// Reads a whole answer that is parsed already.
pub(super) fn decode_fields(mut answer: Fields) -> Result<ChatResponse, DecodeError> {
    let Some(Value::Array(output)) = answer.shift_remove("output") else {
        return Err(DecodeError::new(FORMAT, "/output", "is not a list"));
    };
    let parts = decode_output(output);
    let finish = finish::decode(&answer, &parts);
    let counted = answer.get("usage").and_then(|counted| usage::decode(counted, Some(&answer)));
    Ok(ChatResponse {
        id: take::text(&mut answer, "id"),
        model: take::text(&mut answer, "model"),
        created: answer.get("created_at").and_then(take::whole),
        choices: vec![Choice { parts, finish, extras: envelope_extras(answer) }],
        usage: counted,
        extras: Extras::NONE,
    })
}

/// Reads output items.
pub(super) fn decode_output(output: Vec<Value>) -> Vec<Part> {
    let mut parts = Vec::with_capacity(output.len());
    let mut signatures = Vec::new();
    for value in output {
        match items::decode(value, Place::Answer) {
            Item::Message(_, content) => parts.extend(content),
            Item::Model(part) | Item::Result(part) => parts.push(part),
            Item::CallSignature(call_id, signature) => signatures.push((call_id, signature)),
            // No answer declares tools.
            Item::Tools(..) => {}
        }
    }
    items::sign_calls(parts.iter_mut(), &mut signatures);
    parts
}

/// What the provider's envelope tells beyond the request: kept for this format alone.
pub(super) fn envelope_extras(mut answer: Fields) -> Extras {
    // Of an answer that still runs, the word for it says something.
    let running = matches!(answer.get("status").and_then(Value::as_str), Some("queued" | "in_progress"));
    answer.retain(|name, value| {
        let known = ECHOED.contains(&name.as_str()) && !(running && name == "status");
        !known && !value.is_null()
    });
    Extras::new(FORMAT, answer)
}

/// Writes a whole answer.
pub(super) fn encode(response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
    let (fields, losses) = render(response, context);
    Lossy { value: Value::Object(fields).to_string().into_bytes(), losses }
}

/// The response object.
pub(super) fn render(response: &ChatResponse, context: &ReplyContext) -> (Fields, Vec<Loss>) {
    let mut encoder = Encoder::new(context.clone());
    encoder.writer.from = u64::MAX;
    let mut nothing = Vec::new();
    for event in fold::unfold(response.clone()) {
        encoder.push(&event, &mut nothing);
    }
    (encoder.answer.take().unwrap_or_default(), encoder.losses())
}
