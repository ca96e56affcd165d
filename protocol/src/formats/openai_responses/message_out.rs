//! Messages and reasoning toward a client, event by event.

use serde_json::{Value, json};

use super::content::fields_of;
use super::items;
use super::parts_out::{OpenPart, SummarySource};
use super::slots::SlotKind;
use super::stream_out::Encoder;
use super::take::Fields;
use super::writer::Address;
use crate::ir::{Citation, Content};

impl Encoder {
    /// Opens the message and the content part of a text or refusal; lazily, because the fields of the item come after its start.
    pub(super) fn open_content(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
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

    pub(super) fn grow_text(&mut self, part: &mut OpenPart, text: &str, out: &mut Vec<u8>) {
        self.open_content(part, out);
        let (Content::Text(own), Some(index)) = (&mut part.part.content, part.slot) else { return };
        own.text.push_str(text);
        part.length += text.chars().count() as u64;
        self.content_delta("response.output_text.delta", index, part.content_index, text, Some(&json!([])), out);
    }

    pub(super) fn grow_refusal(&mut self, part: &mut OpenPart, text: &str, out: &mut Vec<u8>) {
        self.open_content(part, out);
        let (Content::Refusal(own), Some(index)) = (&mut part.part.content, part.slot) else { return };
        own.push_str(text);
        self.content_delta("response.refusal.delta", index, part.content_index, text, None, out);
    }

    pub(super) fn content_delta(
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

    pub(super) fn cite(&mut self, part: &mut OpenPart, citation: &Citation, out: &mut Vec<u8>) {
        self.open_content(part, out);
        let cited = part.cite(citation, &mut self.losses);
        let (Some((place, annotation)), Some(index)) = (cited, part.slot) else { return };
        let Some(slot) = self.slots.get(index) else { return };
        let at = slot.content_address(index, part.content_index);
        let fields = [("annotation_index", &json!(place)), ("annotation", &annotation)];
        self.writer.at(out, "response.output_text.annotation.added", at, &fields);
    }

    pub(super) fn end_content(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
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

    pub(super) fn open_reasoning(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
        let id = part.part.item_id.clone();
        let index = self.begin(
            SlotKind::Reasoning,
            id.as_deref(),
            |id| fields_of(json!({"id": id, "type": "reasoning", "summary": []})),
            out,
        );
        part.slot = Some(index);
    }

    pub(super) fn grow_summary(&mut self, part: &mut OpenPart, source: SummarySource, text: &str, out: &mut Vec<u8>) {
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

    pub(super) fn grow_thinking(&mut self, part: &mut OpenPart, text: &str, out: &mut Vec<u8>) {
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

    pub(super) fn end_reasoning(&mut self, part: &mut OpenPart, out: &mut Vec<u8>) {
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
}
