//! Messages → input items, toward a provider.

use serde_json::{Value, json};

use super::content::{self, Side, add_extras, fields_of, lose_foreign};
use super::items::{self, STATUS};
use super::request::wire_role;
use super::take::{FORMAT, Fields};
use crate::Dialect;
use crate::dialect::ReplayReasoning;
use crate::ir::{Content, Extras, Loss, Message, Part, ReasoningPart, ToolCall, ToolCallKind, ToolResult};

/// Writes messages as input items. `start` is the place of the first in the request, for losses.
pub(super) fn encode(messages: &[Message], start: usize, dialect: &Dialect, losses: &mut Vec<Loss>) -> Vec<Value> {
    let mut writer = Writer { items: Vec::new(), dialect, losses, calls: 0, results: 0 };
    for (index, message) in (start..).zip(messages) {
        writer.message(message, index);
    }
    writer.items
}

struct Writer<'a> {
    items: Vec<Value>,
    dialect: &'a Dialect,
    losses: &'a mut Vec<Loss>,
    /// Calls and results so far, from which ids are made where a format gave none.
    calls: usize,
    results: usize,
}

impl Writer<'_> {
    fn message(&mut self, message: &Message, index: usize) {
        if message.name.is_some() {
            self.losses.push(Loss::no_equivalent(format!("messages[{index}].name"), FORMAT));
        }
        let foreign = message.extras.foreign_to(FORMAT);
        self.losses.extend(foreign.map(|name| Loss::no_equivalent(format!("messages[{index}].extras.{name}"), FORMAT)));
        if message.parts.is_empty() && !matches!(message.role, crate::ir::Role::Assistant | crate::ir::Role::Tool) {
            let (role, _) = wire_role(message.role, self.dialect);
            self.items.push(json!({"type": "message", "role": role, "content": []}));
        }
        let mut rest = message.parts.as_slice();
        while let Some(first) = rest.first() {
            let place = message.parts.len() - rest.len();
            let path = format!("messages[{index}].parts[{place}]");
            if items::is_message_part(first) {
                let run = 1 + rest.iter().skip(1).take_while(|part| joins(first, part)).count();
                let (parts, after) = rest.split_at(run);
                self.message_item(message, parts, index, place);
                rest = after;
            } else {
                self.item(first, &path);
                rest = rest.split_first().map_or(&[], |(_, after)| after);
            }
        }
    }

    fn message_item(&mut self, message: &Message, parts: &[Part], index: usize, place: usize) {
        let (role, side) = wire_role(message.role, self.dialect);
        let mut written = Vec::with_capacity(parts.len());
        for (place, part) in (place..).zip(parts) {
            let path = format!("messages[{index}].parts[{place}]");
            if self.dialect.no_images && is_image(part) {
                self.losses.push(Loss::new(path, FORMAT, "the host takes no images"));
                continue;
            }
            written.extend(content::encode(part, side, &path, self.losses));
        }
        if written.is_empty() {
            return;
        }
        let mut item = fields_of(json!({"type": "message"}));
        let first = parts.first();
        add_id(&mut item, first.and_then(|part| part.item_id.as_deref()));
        item.insert("role".to_owned(), json!(role));
        item.insert("content".to_owned(), Value::Array(written));
        if let Some(first) = first {
            items::add_message_fields(&mut item, &first.extras);
        }
        self.items.push(Value::Object(item));
    }

    fn item(&mut self, part: &Part, path: &str) {
        let item = match &part.content {
            Content::Reasoning(reasoning) => self.reasoning(reasoning, part, path),
            Content::ToolCall(call) => Some(self.call(call, path)),
            Content::ToolResult(result) => Some(self.result(result, part, path)),
            Content::Native(native) if native.format == FORMAT => {
                self.items.push(native.value.clone());
                return;
            }
            Content::Native(native) => {
                self.losses.push(Loss::new(
                    format!("{path}.{}", native.kind),
                    FORMAT,
                    "a block that only another format knows",
                ));
                None
            }
            Content::Text(_) | Content::Refusal(_) | Content::Media(_) => None,
        };
        let Some(mut item) = item else { return };
        lose_foreign(&part.extras, path, self.losses);
        add_id(&mut item, part.item_id.as_deref());
        add_extras(&mut item, &part.extras);
        add_status(&mut item, &part.extras);
        self.items.push(Value::Object(item));
    }

    /// A provider takes back only what it made: an opaque blob of this format, an item that it can look up by its id, or open
    /// thinking where the host is known to want it.
    fn reasoning(&mut self, reasoning: &ReasoningPart, part: &Part, path: &str) -> Option<Fields> {
        let own = reasoning.opaque.as_ref().filter(|opaque| opaque.format == FORMAT);
        let foreign = reasoning.opaque.is_some() && own.is_none();
        let native = own.is_some() || part.item_id.is_some() || !reasoning.summary.is_empty();
        if foreign || !(native || self.dialect.replay_reasoning != ReplayReasoning::Never) {
            self.losses.push(Loss::new(format!("{path}.reasoning"), FORMAT, "reasoning belongs to another provider"));
            return None;
        }
        let summary = items::text_list("summary_text", reasoning.summary.iter().map(String::as_str));
        let mut item = fields_of(json!({"type": "reasoning", "summary": summary}));
        if !reasoning.text.is_empty() {
            let text = items::text_list("reasoning_text", std::iter::once(reasoning.text.as_str()));
            item.insert("content".to_owned(), text);
        }
        if let Some(opaque) = own {
            item.insert("encrypted_content".to_owned(), json!(opaque.data));
        }
        Some(item)
    }

    fn call(&mut self, call: &ToolCall, path: &str) -> Fields {
        if call.signature.is_some() {
            self.losses.push(Loss::new(format!("{path}.signature"), FORMAT, "signature belongs to another provider"));
        }
        let id = if call.id.is_empty() { format!("call_{}", self.calls) } else { call.id.clone() };
        self.calls += 1;
        let (kind, body) = match call.kind {
            ToolCallKind::Function => ("function_call", "arguments"),
            ToolCallKind::Custom => ("custom_tool_call", "input"),
        };
        let mut item = fields_of(json!({"type": kind, "call_id": id}));
        if let Some(namespace) = &call.namespace {
            item.insert("namespace".to_owned(), json!(namespace));
        }
        item.insert("name".to_owned(), json!(call.name));
        item.insert(body.to_owned(), json!(call.arguments));
        item
    }

    fn result(&mut self, result: &ToolResult, part: &Part, path: &str) -> Fields {
        let id = if result.call_id.is_empty() { format!("call_{}", self.results) } else { result.call_id.clone() };
        self.results += 1;
        result_item(result, &id, &part.extras, path, self.losses)
    }
}

/// The item of a tool's output, without its own id.
pub(super) fn result_item(
    result: &ToolResult,
    call_id: &str,
    extras: &Extras,
    path: &str,
    losses: &mut Vec<Loss>,
) -> Fields {
    if result.is_error == Some(true) {
        losses.push(Loss::no_equivalent(format!("{path}.is_error"), FORMAT));
    }
    let custom = result.kind == ToolCallKind::Custom;
    let kind = if custom { "custom_tool_call_output" } else { "function_call_output" };
    let mut item =
        fields_of(json!({"type": kind, "call_id": call_id, "output": output(&result.content, path, losses)}));
    let named = extras.for_format(FORMAT).is_some_and(|fields| fields.contains_key(items::NAMED));
    if let Some(name) = result.name.as_ref().filter(|_| named) {
        item.insert("name".to_owned(), json!(name));
    }
    item
}

/// What a tool said: a string where one text is all there is.
fn output(parts: &[Part], path: &str, losses: &mut Vec<Loss>) -> Value {
    match parts {
        [Part { content: Content::Text(text), cache: _, item_id: None, extras }]
            if text.citations.is_empty() && extras.for_format(FORMAT).is_none() =>
        {
            lose_foreign(extras, path, losses);
            json!(text.text)
        }
        [] => json!(""),
        parts => Value::Array(
            (0usize..)
                .zip(parts)
                .filter_map(|(place, part)| {
                    content::encode(part, Side::Input, &format!("{path}.content[{place}]"), losses)
                })
                .collect(),
        ),
    }
}

/// Whether `part` stands in the same message item as `first`, which begins it.
pub(super) fn joins(first: &Part, part: &Part) -> bool {
    items::is_message_part(part) && part.item_id == first.item_id && !items::begins_item(&part.extras)
}

fn is_image(part: &Part) -> bool {
    matches!(&part.content, Content::Media(media) if media.kind == crate::ir::MediaKind::Image)
}

fn add_id(item: &mut Fields, id: Option<&str>) {
    if let Some(id) = id {
        item.insert("id".to_owned(), json!(id));
    }
}

fn add_status(item: &mut Fields, extras: &Extras) {
    if let Some(status) = extras.for_format(FORMAT).and_then(|fields| fields.get(STATUS)) {
        item.insert("status".to_owned(), status.clone());
    }
}
