//! Content parts of messages and of tool outputs, both directions, and the sources of a text.

use serde_json::{Value, json};

use super::media;
use super::take::{self, FORMAT, Fields};
use crate::ir::{Citation, Content, Extras, Loss, Native, Part, Text};

/// Note: the part is a content part of a message and not an item of its own.
pub(super) const PART: &str = "@part";

/// Which words a content part is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// `input_text`: anyone but the model, and tool outputs.
    Input,
    /// `output_text`: what the model says.
    Output,
}

/// Reads a string or a list of content parts; anything else is kept as its JSON text.
pub(super) fn decode(content: Value) -> Vec<Part> {
    match content {
        Value::String(text) => vec![Part::text(text)],
        Value::Array(parts) => parts.into_iter().map(part).collect(),
        Value::Null => Vec::new(),
        other => vec![Part::text(other.to_string())],
    }
}

/// Reads one content part. One of unknown shape is kept whole.
pub(super) fn part(value: Value) -> Part {
    let mut fields = match value {
        Value::Object(fields) => fields,
        Value::String(text) => return Part::text(text),
        other => return unknown(String::new(), other),
    };
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "input_text" | "output_text" | "text" => match take::text(&mut fields, "text") {
            Some(text) => {
                fields.shift_remove("type");
                let citations = take_citations(&mut fields);
                drop_empty(&mut fields, "logprobs");
                let content = Content::Text(Text { text, citations });
                Part { extras: Extras::new(FORMAT, fields), ..Part::new(content) }
            }
            None => unknown(kind, Value::Object(fields)),
        },
        "refusal" => match take::text(&mut fields, "refusal") {
            Some(text) => {
                fields.shift_remove("type");
                Part { extras: Extras::new(FORMAT, fields), ..Part::new(Content::Refusal(text)) }
            }
            None => unknown(kind, Value::Object(fields)),
        },
        "input_image" | "input_file" | "input_audio" => {
            media::decode(&kind, fields).unwrap_or_else(|fields| unknown(kind, Value::Object(fields)))
        }
        _ => unknown(kind, Value::Object(fields)),
    }
}

fn unknown(kind: String, value: Value) -> Part {
    let mut part = Part::new(Content::Native(Native { format: FORMAT, kind, value }));
    part.extras.insert(FORMAT, PART, Value::Bool(true));
    part
}

fn drop_empty(fields: &mut Fields, name: &str) {
    if fields.get(name).is_some_and(|value| value.as_array().is_some_and(Vec::is_empty)) {
        fields.shift_remove(name);
    }
}

/// Takes `annotations` if it is a list of objects.
fn take_citations(fields: &mut Fields) -> Vec<Citation> {
    let readable =
        fields.get("annotations").and_then(Value::as_array).is_some_and(|list| list.iter().all(Value::is_object));
    if !readable {
        return Vec::new();
    }
    match fields.shift_remove("annotations") {
        Some(Value::Array(list)) => list.into_iter().filter_map(citation).collect(),
        _ => Vec::new(),
    }
}

/// Reads one annotation; it is kept whole beside what every format understands.
pub(super) fn citation(value: Value) -> Option<Citation> {
    let Value::Object(fields) = value else { return None };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let position = |name: &str| fields.get(name).and_then(take::whole);
    Some(Citation {
        url: text("url"),
        title: text("title").or_else(|| text("filename")),
        cited_text: None,
        start: position("start_index"),
        end: position("end_index"),
        extras: Extras::new(FORMAT, fields),
    })
}

/// Writes one annotation under a text of `length` characters so far. `None`: it names no address, which this format needs.
pub(super) fn annotation(citation: &Citation, length: u64) -> Option<Value> {
    if let Some(whole) = citation.extras.for_format(FORMAT) {
        return Some(Value::Object(whole.clone()));
    }
    let url = citation.url.as_deref()?;
    Some(json!({
        "type": "url_citation",
        "start_index": citation.start.unwrap_or(0),
        "end_index": citation.end.unwrap_or(length),
        "url": url,
        "title": citation.title.as_deref().unwrap_or(url),
    }))
}

/// Writes the sources of a text; those without an address are lost.
pub(super) fn annotations(text: &Text, path: &str, losses: &mut Vec<Loss>) -> Vec<Value> {
    let length = text.text.chars().count() as u64;
    let mut written = Vec::with_capacity(text.citations.len());
    for citation in &text.citations {
        match annotation(citation, length) {
            Some(value) => written.push(value),
            None => {
                losses.push(Loss::new(format!("{path}.citations"), FORMAT, "a source without an address has no place"))
            }
        }
    }
    written
}

/// Writes one content part. `None`: it has no place in a message (the loss is reported).
pub(super) fn encode(part: &Part, side: Side, path: &str, losses: &mut Vec<Loss>) -> Option<Value> {
    let mut fields = match &part.content {
        Content::Text(text) => encode_text(text, side, path, losses),
        Content::Refusal(text) if side == Side::Input => fields_of(json!({"type": "input_text", "text": text})),
        Content::Refusal(text) => fields_of(json!({"type": "refusal", "refusal": text})),
        Content::Media(media) if side == Side::Input => media::encode(media, &part.extras, path, losses)?,
        Content::Native(native) if native.format == FORMAT => return Some(native.value.clone()),
        _ => {
            losses.push(Loss::new(path.to_owned(), FORMAT, "has no place in a message of this role"));
            return None;
        }
    };
    lose_foreign(&part.extras, path, losses);
    add_extras(&mut fields, &part.extras);
    Some(Value::Object(fields))
}

fn encode_text(text: &Text, side: Side, path: &str, losses: &mut Vec<Loss>) -> Fields {
    let kind = if side == Side::Input { "input_text" } else { "output_text" };
    let mut fields = fields_of(json!({"type": kind, "text": text.text}));
    if !text.citations.is_empty() {
        fields.insert("annotations".to_owned(), Value::Array(annotations(text, path, losses)));
    }
    fields
}

/// Names of extras that are no fields of the content part itself.
fn is_field(name: &str) -> bool {
    !name.starts_with('@') && name != super::items::ITEM
}

/// Writes the fields that only this format knows, beside those that are written already.
pub(super) fn add_extras(fields: &mut Fields, extras: &Extras) {
    for (name, value) in extras.for_format(FORMAT).into_iter().flatten().filter(|(name, _)| is_field(name)) {
        fields.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

/// Reports the fields of another format.
pub(super) fn lose_foreign(extras: &Extras, path: &str, losses: &mut Vec<Loss>) {
    losses.extend(extras.foreign_to(FORMAT).map(|name| Loss::no_equivalent(format!("{path}.extras.{name}"), FORMAT)));
}

/// The fields of an object literal.
pub(super) fn fields_of(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}
