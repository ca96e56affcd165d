//! Calls, items that arrive whole, and what belongs to other formats, toward a client.

use serde_json::{Value, json};

use super::carrier;
use super::content::fields_of;
use super::parts_out::OpenPart;
use super::slots::SlotKind;
use super::stream_out::Encoder;
use super::take::{self, FORMAT, Fields};
use super::writer::Address;
use crate::ir::{Content, Native, ToolCallKind};

impl Encoder {
    /// Something of another format, inside a reasoning item that the client sends back.
    pub(super) fn carry(&mut self, blob: String, out: &mut Vec<u8>) {
        let fields = fields_of(json!({"type": "reasoning", "summary": [], "encrypted_content": blob}));
        self.whole(SlotKind::Reasoning, None, fields, out);
    }

    /// Opens a call; lazily, because a signature has to stand before it.
    pub(super) fn open_call(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
        if part.slot.is_some() {
            return;
        }
        if let Some((call_id, signature)) = part.call_signature() {
            let blob = carrier::wrap_call_signature(call_id, signature);
            self.carry(blob, out);
            if let Content::ToolCall(call) = &mut part.part.content {
                call.signature = None;
            }
        }
        let next = self.slots.len();
        let Content::ToolCall(call) = &mut part.part.content else { return };
        if call.id.is_empty() {
            call.id = format!("call_{}_{next}", self.context.id);
        }
        let (kind, item_kind, body) = match call.kind {
            ToolCallKind::Function => (SlotKind::Function, "function_call", "arguments"),
            ToolCallKind::Custom => (SlotKind::Custom, "custom_tool_call", "input"),
        };
        let mut fields = fields_of(
            json!({"type": item_kind, "status": "in_progress", body: "", "call_id": call.id, "name": call.name}),
        );
        if let Some(namespace) = &call.namespace {
            fields.insert("namespace".to_owned(), json!(namespace));
        }
        let id = part.part.item_id.clone();
        let index = self.begin(
            kind,
            id.as_deref(),
            |id| {
                let mut first = fields_of(json!({"id": id}));
                first.extend(fields);
                first
            },
            out,
        );
        part.slot = Some(index);
    }

    pub(super) fn grow_arguments(&mut self, part: &mut OpenPart, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        self.open_call(part, out);
        let Content::ToolCall(call) = &mut part.part.content else { return };
        call.arguments.push_str(text);
        let kind = call_events(call.kind).0;
        if let Some((index, slot)) = part.slot.and_then(|index| Some((index, self.slots.get(index)?))) {
            self.writer.text(out, kind, slot.address(index), ("delta", text), None);
        }
    }

    pub(super) fn end_call(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
        self.open_call(part, out);
        if matches!(&part.part.content, Content::ToolCall(call) if call.arguments.is_empty() && call.kind == ToolCallKind::Function)
        {
            self.grow_arguments(part, "{}", out);
        }
        let (Content::ToolCall(call), Some(index)) = (&part.part.content, part.slot) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        let (_, done, body) = call_events(call.kind);
        let at = Address { item_id: &slot.id, output_index: index, inner: None };
        self.writer.text(out, done, at, (body, &call.arguments), None);
        let mut fields = fields_of(json!({body: call.arguments, "call_id": call.id, "name": call.name}));
        if let Some(namespace) = &call.namespace {
            fields.insert("namespace".to_owned(), json!(namespace));
        }
        super::content::add_extras(&mut fields, &part.part.extras);
        slot.fields = fields;
        self.wait(index, out);
        // A signature that came late still reaches the client; it names its call.
        if let Some((call_id, signature)) = part.call_signature() {
            let blob = carrier::wrap_call_signature(call_id, signature);
            self.carry(blob, out);
        }
    }

    /// An item whose fields are all known but for its id.
    pub(super) fn whole(&mut self, kind: SlotKind, item_id: Option<&str>, fields: Fields, out: &mut Vec<u8>) {
        let index = self.begin(
            kind,
            item_id,
            |id| {
                let mut first = fields_of(json!({"id": id}));
                first.extend(fields.clone());
                if first.contains_key("status") {
                    first.insert("status".to_owned(), json!("in_progress"));
                }
                first
            },
            out,
        );
        let id = self.slots.get(index).map(|slot| slot.id.clone());
        let mut item = fields_of(json!({"id": id}));
        item.extend(fields);
        self.close(index, item, out);
    }

    pub(super) fn native(&mut self, native: Native, out: &mut Vec<u8>) {
        if native.format != FORMAT {
            return self.carry(carrier::wrap_native(&native), out);
        }
        let Value::Object(mut item) = native.value else { return };
        let id = item.get("id").and_then(Value::as_str);
        // Some hosts change ids between the events of an item: then the type has to do.
        let announced = self.slots.iter().position(|slot| slot.awaits(&native.kind) && id == Some(slot.id.as_str()));
        let announced = announced.or_else(|| self.slots.iter().position(|slot| slot.awaits(&native.kind)));
        let Some(index) = announced else {
            let id = take::text(&mut item, "id");
            return self.whole(SlotKind::Native, id.as_deref(), item, out);
        };
        if let Some(slot) = self.slots.get(index) {
            item.insert("id".to_owned(), json!(slot.id));
        }
        self.close(index, item, out);
    }

    /// Events of this format that are no part of the answer: the steps of server tools, mostly. Places and numbers become ours.
    pub(super) fn raw(&mut self, value: &Value, out: &mut Vec<u8>) {
        let Some(fields) = value.as_object() else { return };
        let Some(kind) = fields.get("type").and_then(Value::as_str) else { return };
        if fields.contains_key("response") {
            self.start(None, None, None, out);
            return self.snapshot(kind, kind.strip_prefix("response.").unwrap_or("in_progress"), out);
        }
        self.run(out);
        let theirs = fields.get("output_index").and_then(take::whole);
        if kind == "response.output_item.added" {
            let Some(item) = fields.get("item").and_then(Value::as_object) else { return };
            let id = item.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
            let index = self.begin(
                SlotKind::Native,
                id,
                |own| {
                    let mut item = item.clone();
                    item.insert("id".to_owned(), json!(own));
                    item
                },
                out,
            );
            if let Some(slot) = self.slots.get_mut(index) {
                slot.fields = item.clone();
                for name in ["id", "type", "status"] {
                    slot.fields.shift_remove(name);
                }
                slot.announced = item.get("type").and_then(Value::as_str).map(|kind| (kind.to_owned(), theirs));
            }
            return;
        }
        let slot = theirs.and_then(|theirs| self.slots.iter().rposition(|slot| slot.is_theirs(theirs)));
        let mut fields = fields.clone();
        fields.shift_remove("type");
        fields.shift_remove("sequence_number");
        if let Some((index, slot)) = slot.and_then(|index| Some((index, self.slots.get(index)?))) {
            fields.insert("output_index".to_owned(), json!(index));
            if fields.contains_key("item_id") {
                fields.insert("item_id".to_owned(), json!(slot.id));
            }
        }
        self.writer.fields(out, kind, fields.iter());
    }
}

/// Delta event, done event and field of a call.
fn call_events(kind: ToolCallKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        ToolCallKind::Function => {
            ("response.function_call_arguments.delta", "response.function_call_arguments.done", "arguments")
        }
        ToolCallKind::Custom => {
            ("response.custom_tool_call_input.delta", "response.custom_tool_call_input.done", "input")
        }
    }
}
