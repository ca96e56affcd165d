//! `reasoning_details`: the structured form of thinking beside a message.
//!
//! OpenRouter made the shape: a list of `reasoning.text {text, signature}`, `reasoning.summary {summary}` and `reasoning.encrypted {data}`. Two
//! kinds of lists arrive in it:
//!
//! - a host's own list, which goes back to that host verbatim: one [`OpaqueKind::Details`] blob;
//! - ours, by which a Chat client carries another format's thinking: every blob in it is wrapped by [`crate::opaque`], and the entries of one
//!   reasoning part share an `index`.

use serde_json::Value;

use super::wire::{FORMAT, Object, json_text, one, put};
use crate::ir::{Opaque, OpaqueKind, ReasoningPart};
use crate::opaque;

const WRAPPED: &str = "myl1:";

/// What a client's list stands for: parts with the blobs of their makers if it is ours, else a host's own list.
pub(super) fn of_client(list: &[Value], shown: Option<String>) -> Vec<(ReasoningPart, Option<String>)> {
    if is_ours(list) { unwrap(list) } else { vec![(of_host(list, shown), None)] }
}

/// A host's own list; `shown` is the text beside it (`reasoning_content`, `reasoning`).
pub(super) fn of_host(list: &[Value], shown: Option<String>) -> ReasoningPart {
    let text = shown.unwrap_or_else(|| list.iter().filter_map(text_of).collect());
    let blob = Opaque { kind: OpaqueKind::Details, format: FORMAT, data: json_text(&list) };
    ReasoningPart { text, summary: Vec::new(), opaque: Some(blob) }
}

/// What a person sees of one entry.
pub(super) fn text_of(entry: &Value) -> Option<&str> {
    entry.get("text").or_else(|| entry.get("summary"))?.as_str()
}

fn is_ours(list: &[Value]) -> bool {
    let wrapped =
        |entry: &Value, name| entry.get(name).and_then(Value::as_str).is_some_and(|blob| blob.starts_with(WRAPPED));
    list.iter().any(|entry| wrapped(entry, "signature") || wrapped(entry, "data"))
}

fn unwrap(list: &[Value]) -> Vec<(ReasoningPart, Option<String>)> {
    let mut parts: Vec<(ReasoningPart, Option<String>)> = Vec::new();
    let mut last_index = None;
    for entry in list {
        let index = entry.get("index").and_then(Value::as_u64);
        let field = |name: &str| entry.get(name).and_then(Value::as_str);
        let same = index.is_some() && index == last_index;
        if !same {
            parts.push((ReasoningPart::default(), None));
        }
        last_index = index;
        let Some((part, id)) = parts.last_mut() else { continue };
        if let Some(text) = field("text") {
            part.text.push_str(text);
        }
        if let Some(summary) = field("summary") {
            part.summary.push(summary.to_owned());
        }
        let blob = field("signature").map(|blob| (blob, OpaqueKind::Signature));
        if let Some((blob, kind)) = blob.or_else(|| field("data").map(|blob| (blob, OpaqueKind::Encrypted))) {
            part.opaque = Some(opaque::unwrap(blob, FORMAT, kind));
        }
        if let Some(known) = field("id") {
            *id = Some(known.to_owned());
        }
    }
    parts
}

/// The entries that carry `part` through a Chat client; empty if there is nothing beyond the shown text.
pub(super) fn entries(part: &ReasoningPart, item_id: Option<&str>, index: u32) -> Vec<Value> {
    let Some(blob) = &part.opaque else { return Vec::new() };
    if blob.format == FORMAT
        && blob.kind == OpaqueKind::Details
        && let Ok(Value::Array(list)) = serde_json::from_str(&blob.data)
    {
        return list;
    }
    let mut list = Vec::new();
    let mut push = |kind: &str, fields: Object| {
        let mut entry = one("type", kind);
        put(&mut entry, "id", item_id);
        entry.extend(fields);
        put(&mut entry, "format", Some(blob.format.as_str()));
        put(&mut entry, "index", Some(index));
        list.push(Value::Object(entry));
    };
    for summary in &part.summary {
        push("reasoning.summary", one("summary", summary.as_str()));
    }
    let wrapped = opaque::wrap(blob, FORMAT);
    if blob.kind == OpaqueKind::Signature {
        let mut fields = one("text", part.text.as_str());
        put(&mut fields, "signature", Some(wrapped));
        push("reasoning.text", fields);
    } else {
        if !part.text.is_empty() {
            push("reasoning.text", one("text", part.text.as_str()));
        }
        push("reasoning.encrypted", one("data", wrapped));
    }
    list
}

/// Joins the fragments of a streamed list: consecutive texts of one entry become one.
#[derive(Debug, Default)]
pub(super) struct Joined(Vec<Value>);

impl Joined {
    /// Takes one more fragment.
    pub(super) fn push(&mut self, fragment: Value) {
        if let (Some(Value::Object(last)), Value::Object(more)) = (self.0.last_mut(), &fragment)
            && continues(last, more)
        {
            for (name, value) in more {
                match (last.get_mut(name), value) {
                    (Some(Value::String(text)), Value::String(tail)) if name == "text" || name == "summary" => {
                        text.push_str(tail);
                    }
                    (_, Value::Null) => {}
                    _ => {
                        last.insert(name.clone(), value.clone());
                    }
                }
            }
            return;
        }
        self.0.push(fragment);
    }

    /// Takes what came so far as one blob.
    pub(super) fn take(&mut self) -> Option<Opaque> {
        if self.0.is_empty() {
            return None;
        }
        let list = std::mem::take(&mut self.0);
        Some(Opaque { kind: OpaqueKind::Details, format: FORMAT, data: json_text(&list) })
    }
}

fn continues(last: &Object, more: &Object) -> bool {
    let kind = last.get("type").and_then(Value::as_str);
    let agrees = |name| match (last.get(name), more.get(name)) {
        (Some(a), Some(b)) => a == b || a.is_null() || b.is_null(),
        _ => true,
    };
    matches!(kind, Some("reasoning.text" | "reasoning.summary"))
        && last.get("type") == more.get("type")
        && last.get("index") == more.get("index")
        && agrees("id")
        // A signed text is whole.
        && !last.get("signature").is_some_and(Value::is_string)
}
