//! Events → a stream for a client, and the answer that the stream amounts to.
//!
//! A whole answer is written by the same machine with its pen lifted (see [`super::response`]), so a stream and a whole answer never
//! differ in items, order or ids.
//!
//! An item is closed (`output_item.done`) when the next one begins or when the answer ends, not when its part ends: only then it is
//! known whether it is `completed` or was cut (`incomplete`). Clients such as Codex act on nothing but closed items.

use serde_json::{Value, json};

use super::content::fields_of;
use super::envelope::{Envelope, Produced, write_raw};
use super::finish::{self, Status};
use super::parts_out::{OpenPart, SummarySource};
use super::slots::{Slot, SlotKind};
use super::take::{self, FORMAT, Fields};
use super::writer::{Address, Writer};
use super::{carrier, error, history, ids, items, media_out, usage};
use crate::ir::{Content, Delta, Extras, Finish, Loss, Native, PartHead, PartId, StreamEvent, ToolCallKind, Usage};
use crate::{ApiError, ReplyContext, StreamEncoder};

/// Where the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was written.
    Fresh,
    /// `response.created` was written, `response.in_progress` not: `response.queued` may come between.
    Created,
    /// Items may come.
    Running,
    /// The terminal was written.
    Over,
}

/// Writes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    context: ReplyContext,
    pub(super) writer: Writer,
    phase: Phase,
    envelope: Option<Envelope>,
    extras: Fields,
    slots: Vec<Slot>,
    open: Vec<OpenPart>,
    /// The item whose parts have all ended but which is not closed yet.
    pending: Option<usize>,
    usage: Option<Usage>,
    finish: Option<Finish>,
    losses: Vec<Loss>,
    /// The terminal response object.
    pub(super) answer: Option<Fields>,
}

impl Encoder {
    /// An encoder of one stream.
    pub(super) fn new(context: ReplyContext) -> Self {
        Self {
            context,
            writer: Writer::default(),
            phase: Phase::Fresh,
            envelope: None,
            extras: Fields::new(),
            slots: Vec::new(),
            open: Vec::new(),
            pending: None,
            usage: None,
            finish: None,
            losses: Vec::new(),
            answer: None,
        }
    }

    /// Reports a loss once.
    pub(super) fn lose(&mut self, loss: Loss) {
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    // --- the frame around the items ----------------------------------------------------------------------------------

    fn start(&mut self, id: Option<&str>, model: Option<&str>, created: Option<u64>, out: &mut Vec<u8>) {
        if self.phase != Phase::Fresh {
            return;
        }
        let model = if self.context.model.is_empty() { model.unwrap_or_default() } else { &self.context.model };
        let id = ids::response(id, &self.context.id);
        let envelope = Envelope::new(id, created.unwrap_or(self.context.created), model.to_owned(), &self.context);
        let snapshot = envelope.render(Produced::nothing("in_progress"));
        self.writer.response(out, "response.created", &snapshot);
        self.envelope = Some(envelope);
        self.phase = Phase::Created;
    }

    /// Writes what must stand before any item.
    fn run(&mut self, out: &mut Vec<u8>) {
        self.start(None, None, None, out);
        if self.phase == Phase::Created {
            self.snapshot("response.in_progress", "in_progress", out);
            self.phase = Phase::Running;
        }
    }

    fn snapshot(&mut self, kind: &str, status: &str, out: &mut Vec<u8>) {
        if let Some(envelope) = &self.envelope {
            let snapshot = envelope.render(Produced::nothing(status));
            self.writer.response(out, kind, &snapshot);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.run(out);
        let finish = self.finish.take();
        let status = finish.as_ref().map_or(Status::Completed, finish::encode);
        if finish.is_none() {
            self.close_all(status, out);
        }
        let produced = Produced::nothing("").ended(status);
        let kind = match status {
            Status::Completed => "response.completed",
            Status::Incomplete(_) | Status::Cancelled => "response.incomplete",
            Status::Failed(_) => "response.failed",
        };
        self.terminal(kind, produced, out);
    }

    fn fail(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        self.run(out);
        let event = fields_of(json!({"error": error::object(error)}));
        self.writer.fields(out, "error", event.iter());
        let produced = Produced { error: error::failed(error), ..Produced::nothing("failed") };
        self.terminal("response.failed", produced, out);
    }

    fn terminal(&mut self, kind: &str, produced: Produced<'_>, out: &mut Vec<u8>) {
        let output = self.slots.iter().filter_map(|slot| slot.done.clone()).collect();
        let extras = std::mem::take(&mut self.extras);
        let counted = self.usage.take();
        let tier = counted.as_ref().and_then(|usage| usage.service_tier.clone());
        let produced = Produced {
            output,
            usage: usage::encode(counted.as_ref()),
            service_tier: tier.as_deref(),
            extras: Some(&extras),
            ..produced
        };
        if let Some(envelope) = &self.envelope {
            let answer = envelope.render(produced);
            self.writer.response(out, kind, &answer);
            self.answer = Some(answer);
        }
        self.phase = Phase::Over;
    }

    // --- items -------------------------------------------------------------------------------------------------------

    /// Begins an item; the one before is closed.
    fn begin(
        &mut self,
        kind: SlotKind,
        item_id: Option<&str>,
        first: impl FnOnce(&str) -> Fields,
        out: &mut Vec<u8>,
    ) -> usize {
        self.settle(out);
        let index = self.slots.len();
        let id = item_id.map_or_else(|| ids::mint(kind.prefix(), &self.context.id, index), str::to_owned);
        let item = Value::Object(first(&id));
        self.writer.item(out, "response.output_item.added", index, &item);
        self.slots.push(Slot::new(kind, id, item_id.map(str::to_owned)));
        index
    }

    /// Closes an item for good.
    fn close(&mut self, index: usize, item: Fields, out: &mut Vec<u8>) {
        let item = Value::Object(item);
        self.writer.item(out, "response.output_item.done", index, &item);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.done = Some(item);
            slot.fields = Fields::new();
        }
    }

    /// Closes the item that waits for it, because something follows.
    fn settle(&mut self, out: &mut Vec<u8>) {
        if let Some(index) = self.pending.take() {
            self.close_as("completed", index, out);
        }
    }

    fn close_as(&mut self, status: &str, index: usize, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.done.is_none()) else { return };
        let item = slot.finish(status);
        self.close(index, item, out);
    }

    /// The answer ends: everything is closed, the last item with how it ended.
    fn close_all(&mut self, status: Status<'_>, out: &mut Vec<u8>) {
        let open: Vec<PartId> = self.open.iter().map(|part| part.id).collect();
        for id in open {
            self.part_end(id, out);
        }
        self.pending = None;
        let last = self.slots.len().saturating_sub(1);
        for index in 0..self.slots.len() {
            let status = if index == last { status.of_last_item() } else { "completed" };
            self.close_as(status, index, out);
        }
    }

    fn wait(&mut self, index: usize, out: &mut Vec<u8>) {
        if self.pending != Some(index) {
            self.settle(out);
        }
        if index + 1 == self.slots.len() {
            self.pending = Some(index);
        } else {
            self.close_as("completed", index, out);
        }
    }

    // --- parts -------------------------------------------------------------------------------------------------------

    fn part_start(&mut self, id: PartId, choice: u32, head: &PartHead, item_id: Option<&String>, out: &mut Vec<u8>) {
        if choice != 0 {
            self.lose(Loss::new("choices", FORMAT, "there is only one answer"));
            return;
        }
        self.run(out);
        self.open.push(OpenPart::new(id, head, item_id.cloned()));
        if *head == PartHead::Reasoning {
            self.with_part(id, |encoder, part| encoder.open_reasoning(part, out));
        }
    }

    /// Takes a part out while it is worked on.
    fn with_part(&mut self, id: PartId, work: impl FnOnce(&mut Self, &mut OpenPart)) {
        let Some(place) = self.open.iter().rposition(|part| part.id == id) else { return };
        let mut part = self.open.swap_remove(place);
        work(self, &mut part);
        self.open.push(part);
    }

    fn part_delta(&mut self, id: PartId, delta: &Delta, out: &mut Vec<u8>) {
        self.with_part(id, |encoder, part| encoder.grow(part, delta, out));
    }

    fn grow(&mut self, part: &mut OpenPart, delta: &Delta, out: &mut Vec<u8>) {
        match (&part.part.content, delta) {
            (_, Delta::Extras(more)) => part.add_extras(more, &mut self.losses),
            (_, Delta::ItemId(id)) if part.slot.is_none() => part.part.item_id = Some(id.clone()),
            (Content::Text(_), Delta::Text(text)) => self.grow_text(part, text, out),
            (Content::Refusal(_), Delta::Text(text)) => self.grow_refusal(part, text, out),
            (Content::Text(_), Delta::Citation(citation)) => self.cite(part, citation, out),
            (Content::Reasoning(_), Delta::Text(text)) if part.thinks_openly() => self.grow_thinking(part, text, out),
            (Content::Reasoning(_), Delta::Text(text)) => self.grow_summary(part, SummarySource::Thinking, text, out),
            (Content::Reasoning(_), Delta::Summary { index, text }) => {
                self.grow_summary(part, SummarySource::Own(*index), text, out);
            }
            (Content::ToolCall(_), Delta::Arguments(text)) => self.grow_arguments(part, text, out),
            (_, Delta::Opaque(blob)) => match &mut part.part.content {
                Content::Reasoning(reasoning) => reasoning.opaque = Some(blob.clone()),
                Content::ToolCall(call) => call.signature = Some(blob.clone()),
                _ => {}
            },
            _ => {}
        }
    }

    fn part_end(&mut self, id: PartId, out: &mut Vec<u8>) {
        let Some(place) = self.open.iter().rposition(|part| part.id == id) else { return };
        let mut part = self.open.swap_remove(place);
        match &part.part.content {
            Content::Text(_) | Content::Refusal(_) => self.end_content(&mut part, out),
            Content::Reasoning(_) => self.end_reasoning(&mut part, out),
            Content::ToolCall(_) => self.end_call(&mut part, out),
            Content::Native(native) if native.format == FORMAT && items::is_content_part(&part.part.extras) => {
                self.end_content(&mut part, out);
            }
            Content::Native(native) => {
                let native = native.clone();
                self.native(native, out);
            }
            Content::Media(media) => match media_out::image_item(media) {
                Some(fields) => self.whole(SlotKind::Image, part.part.item_id.as_deref(), fields, out),
                None => self.lose(Loss::new("media", FORMAT, "answers hold images alone, and those inline")),
            },
            Content::ToolResult(result) => {
                let custom = result.kind == ToolCallKind::Custom;
                let kind = if custom { "custom_tool_call_output" } else { "function_call_output" };
                let output = history::output(&result.content, "result", &mut self.losses);
                let fields = fields_of(json!({"type": kind, "call_id": result.call_id, "output": output}));
                self.whole(SlotKind::Output, part.part.item_id.as_deref(), fields, out);
            }
        }
    }

    // --- messages ----------------------------------------------------------------------------------------------------

    /// Opens the message and the content part of a text or refusal; lazily, because the fields of the item come after its start.
    fn open_content(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
        if part.slot.is_some() {
            return;
        }
        let latest = self.slots.len().checked_sub(1);
        let own = part.part.item_id.as_ref();
        let joined = latest.filter(|index| {
            let slot = self.slots.get(*index);
            slot.is_some_and(|slot| slot.takes_content_of(own)) && !items::begins_item(&part.part.extras)
        });
        let index = joined.unwrap_or_else(|| {
            let mut kept = Fields::new();
            items::add_message_fields(&mut kept, &part.part.extras);
            let index = self.begin(SlotKind::Message, own.map(String::as_str), |id| {
                let mut item = fields_of(json!({"id": id, "type": "message", "status": "in_progress", "content": [], "role": "assistant"}));
                item.extend(kept.clone());
                item
            }, out);
            if let Some(slot) = self.slots.get_mut(index) {
                slot.fields = kept;
            }
            index
        });
        if self.pending == Some(index) {
            self.pending = None;
        }
        part.slot = Some(index);
        let Some(slot) = self.slots.get_mut(index) else { return };
        part.content_index = slot.reserve_content();
        let empty = match &part.part.content {
            Content::Refusal(_) => json!({"type": "refusal", "refusal": ""}),
            Content::Native(native) => native.value.clone(),
            _ => json!({"type": "output_text", "annotations": [], "logprobs": [], "text": ""}),
        };
        self.writer.at(
            out,
            "response.content_part.added",
            slot.content_address(index, part.content_index),
            &[("part", &empty)],
        );
    }

    fn grow_text(&mut self, part: &mut OpenPart, text: &str, out: &mut Vec<u8>) {
        self.open_content(part, out);
        let (Content::Text(own), Some(index)) = (&mut part.part.content, part.slot) else { return };
        own.text.push_str(text);
        part.length += text.chars().count() as u64;
        self.content_delta("response.output_text.delta", index, part.content_index, text, Some(&json!([])), out);
    }

    fn grow_refusal(&mut self, part: &mut OpenPart, text: &str, out: &mut Vec<u8>) {
        self.open_content(part, out);
        let (Content::Refusal(own), Some(index)) = (&mut part.part.content, part.slot) else { return };
        own.push_str(text);
        self.content_delta("response.refusal.delta", index, part.content_index, text, None, out);
    }

    fn content_delta(
        &mut self,
        kind: &str,
        index: usize,
        inner: usize,
        text: &str,
        logprobs: Option<&Value>,
        out: &mut Vec<u8>,
    ) {
        if let Some(slot) = self.slots.get(index).filter(|_| !text.is_empty()) {
            self.writer.text(out, kind, slot.content_address(index, inner), ("delta", text), logprobs);
        }
    }

    fn cite(&mut self, part: &mut OpenPart, citation: &crate::ir::Citation, out: &mut Vec<u8>) {
        self.open_content(part, out);
        let cited = part.cite(citation, &mut self.losses);
        let (Some((place, annotation)), Some(index)) = (cited, part.slot) else { return };
        let Some(slot) = self.slots.get(index) else { return };
        let at = slot.content_address(index, part.content_index);
        let fields = [("annotation_index", &json!(place)), ("annotation", &annotation)];
        self.writer.at(out, "response.output_text.annotation.added", at, &fields);
    }

    fn end_content(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
        self.open_content(part, out);
        let Some(index) = part.slot else { return };
        let value = part.content_part(&mut self.losses);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let at = Address { item_id: &slot.id, output_index: index, inner: Some(("content_index", part.content_index)) };
        match &part.part.content {
            Content::Text(text) => {
                let none = json!([]);
                let logprobs = value.get("logprobs").unwrap_or(&none);
                self.writer.text(out, "response.output_text.done", at, ("text", &text.text), Some(logprobs));
            }
            Content::Refusal(text) => self.writer.text(out, "response.refusal.done", at, ("refusal", text), None),
            _ => {}
        }
        self.writer.at(out, "response.content_part.done", at, &[("part", &value)]);
        slot.set_content(part.content_index, value);
        items::add_message_fields(&mut slot.fields, &part.part.extras);
        if slot.open_contents == 0 {
            self.wait(index, out);
        }
    }

    // --- reasoning ---------------------------------------------------------------------------------------------------

    fn open_reasoning(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
        let id = part.part.item_id.clone();
        let index = self.begin(
            SlotKind::Reasoning,
            id.as_deref(),
            |id| fields_of(json!({"id": id, "type": "reasoning", "summary": []})),
            out,
        );
        part.slot = Some(index);
    }

    fn grow_summary(&mut self, part: &mut OpenPart, source: SummarySource, text: &str, out: &mut Vec<u8>) {
        let Some(slot) = part.slot.and_then(|index| self.slots.get(index)) else { return };
        let (place, new) = part.summary(source);
        let index = part.slot.unwrap_or_default();
        let at = slot.summary_address(index, place);
        if new {
            // Clients show one summary after the other: a new one ends the one before.
            part.end_summaries(&mut self.writer, slot, index, place, out);
            self.writer.at(
                out,
                "response.reasoning_summary_part.added",
                at,
                &[("part", &json!({"type": "summary_text", "text": ""}))],
            );
        }
        if text.is_empty() {
            return;
        }
        if let Some(summary) = part.summaries.get_mut(place) {
            summary.text.push_str(text);
        }
        self.writer.text(out, "response.reasoning_summary_text.delta", at, ("delta", text), None);
    }

    fn grow_thinking(&mut self, part: &mut OpenPart, text: &str, out: &mut Vec<u8>) {
        let Some((index, slot)) = part.slot.and_then(|index| Some((index, self.slots.get(index)?))) else { return };
        let at = slot.content_address(index, 0);
        if !part.content_begun {
            part.content_begun = true;
            self.writer.at(
                out,
                "response.content_part.added",
                at,
                &[("part", &json!({"type": "reasoning_text", "text": ""}))],
            );
        }
        if let Content::Reasoning(reasoning) = &mut part.part.content
            && !text.is_empty()
        {
            reasoning.text.push_str(text);
            self.writer.text(out, "response.reasoning_text.delta", at, ("delta", text), None);
        }
    }

    fn end_reasoning(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
        let Some(index) = part.slot else { return };
        let fields = part.reasoning_fields();
        let Some(slot) = self.slots.get_mut(index) else { return };
        part.end_summaries(&mut self.writer, slot, index, part.summaries.len(), out);
        if let (Content::Reasoning(reasoning), true) = (&part.part.content, part.content_begun) {
            let at = Address { item_id: &slot.id, output_index: index, inner: Some(("content_index", 0)) };
            self.writer.text(out, "response.reasoning_text.done", at, ("text", &reasoning.text), None);
            let value = json!({"type": "reasoning_text", "text": reasoning.text});
            self.writer.at(out, "response.content_part.done", at, &[("part", &value)]);
        }
        slot.fields = fields;
        self.wait(index, out);
    }

    /// Something of another format, inside a reasoning item that the client sends back.
    fn carry(&mut self, blob: String, out: &mut Vec<u8>) {
        let fields = fields_of(json!({"type": "reasoning", "summary": [], "encrypted_content": blob}));
        self.whole(SlotKind::Reasoning, None, fields, out);
    }

    // --- calls -------------------------------------------------------------------------------------------------------

    /// Opens a call; lazily, because a signature has to stand before it.
    fn open_call(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
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

    fn grow_arguments(&mut self, part: &mut OpenPart, text: &str, out: &mut Vec<u8>) {
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

    fn end_call(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
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

    // --- items that arrive whole -------------------------------------------------------------------------------------

    /// An item whose fields are all known but for its id.
    fn whole(&mut self, kind: SlotKind, item_id: Option<&str>, fields: Fields, out: &mut Vec<u8>) {
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

    fn native(&mut self, native: Native, out: &mut Vec<u8>) {
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
    fn raw(&mut self, value: &Value, out: &mut Vec<u8>) {
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

    fn keep_extras(&mut self, extras: &Extras) {
        super::content::lose_foreign(extras, "choice", &mut self.losses);
        for (name, value) in extras.for_format(FORMAT).into_iter().flatten() {
            self.extras.insert(name.clone(), value.clone());
        }
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

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.phase == Phase::Over {
            return;
        }
        match event {
            StreamEvent::Start { id, model, created, extras } => {
                self.keep_extras(extras);
                self.start(id.as_deref(), model.as_deref(), *created, out);
            }
            StreamEvent::PartStart { id, choice, head, item_id } => {
                self.part_start(*id, *choice, head, item_id.as_ref(), out)
            }
            StreamEvent::PartDelta { id, delta } => self.part_delta(*id, delta, out),
            StreamEvent::PartEnd { id } => self.part_end(*id, out),
            StreamEvent::Finish { choice: 0, finish } => {
                self.run(out);
                self.close_all(finish::encode(finish), out);
                self.finish = Some(finish.clone());
            }
            StreamEvent::Finish { .. } => {}
            StreamEvent::Usage(usage) => self.usage.get_or_insert_default().update(usage.clone()),
            StreamEvent::ChoiceExtras { choice: 0, extras } => self.keep_extras(extras),
            StreamEvent::ChoiceExtras { .. } => {}
            StreamEvent::Raw { format, value } if *format == FORMAT => self.raw(value, out),
            StreamEvent::Raw { .. } => {}
            StreamEvent::Error(error) => self.fail(error, out),
            StreamEvent::End => self.end(out),
        }
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        write_raw(out, format_args!(": keep-alive\n\n"));
    }

    fn losses(&mut self) -> Vec<Loss> {
        let mut losses = std::mem::take(&mut self.losses);
        losses.dedup();
        losses
    }
}
