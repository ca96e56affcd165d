//! Parts while they grow: what an output item needs to know until it is closed.

use serde_json::{Value, json};

use super::content::{self, Side};
use super::items;
use super::slots::Slot;
use super::take::{FORMAT, Fields};
use super::writer::Writer;
use crate::ir::{Citation, Content, Extras, Loss, Opaque, Part, PartHead, PartId, ReasoningPart, Text, ToolCall};

/// A part that has begun and not ended.
#[derive(Debug)]
pub(super) struct OpenPart {
    pub(super) id: PartId,
    /// Place of its item, once that has begun.
    pub(super) slot: Option<usize>,
    /// Place inside the message.
    pub(super) content_index: usize,
    /// The part as far as it has come.
    pub(super) part: Part,
    /// Annotations as they were written.
    pub(super) annotations: Vec<Value>,
    /// Characters of the text so far.
    pub(super) length: u64,
    /// Summary parts in the order of their first appearance.
    pub(super) summaries: Vec<Summary>,
    /// How many summary parts were closed.
    pub(super) summaries_ended: usize,
    /// A reasoning text has begun in `content`.
    pub(super) content_begun: bool,
}

/// One summary part.
#[derive(Debug)]
pub(super) struct Summary {
    /// What it grows from.
    pub(super) source: SummarySource,
    /// The text so far.
    pub(super) text: String,
}

/// What a summary part grows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SummarySource {
    /// Thinking of another format, which is shown as a summary.
    Thinking,
    /// Summary number so-and-so of the maker.
    Own(u32),
}

impl OpenPart {
    /// A part begins.
    pub(super) fn new(id: PartId, head: &PartHead, item_id: Option<String>) -> Self {
        let content = match head {
            PartHead::Text => Content::Text(Text::default()),
            PartHead::Refusal => Content::Refusal(String::new()),
            PartHead::Reasoning => Content::Reasoning(ReasoningPart::default()),
            PartHead::ToolCall { id, name, namespace, kind } => Content::ToolCall(ToolCall {
                id: id.clone(),
                name: name.clone(),
                namespace: namespace.clone(),
                kind: *kind,
                arguments: String::new(),
                signature: None,
            }),
            PartHead::Whole(content) => (**content).clone(),
        };
        Self {
            id,
            slot: None,
            content_index: 0,
            part: Part { item_id, ..Part::new(content) },
            annotations: Vec::new(),
            length: 0,
            summaries: Vec::new(),
            summaries_ended: 0,
            content_begun: false,
        }
    }

    /// Whether thinking goes to `content`, as hosts of open models have it, and not to a summary. Only they name the item.
    pub(super) fn thinks_openly(&self) -> bool {
        self.part.item_id.is_some()
    }

    /// The place of a summary part, and whether it is new.
    pub(super) fn summary(&mut self, source: SummarySource) -> (usize, bool) {
        match self.summaries.iter().position(|summary| summary.source == source) {
            Some(place) => (place, false),
            None => {
                self.summaries.push(Summary { source, text: String::new() });
                (self.summaries.len() - 1, true)
            }
        }
    }

    /// Closes the summary parts before number `until`.
    pub(super) fn end_summaries(
        &mut self,
        writer: &mut Writer,
        slot: &Slot,
        index: usize,
        until: usize,
        out: &mut Vec<u8>,
    ) {
        for (place, summary) in self.summaries.iter().enumerate().take(until).skip(self.summaries_ended) {
            let at = slot.summary_address(index, place);
            writer.text(out, "response.reasoning_summary_text.done", at, ("text", &summary.text), None);
            let value = json!({"type": "summary_text", "text": summary.text});
            writer.at(out, "response.reasoning_summary_part.done", at, &[("part", &value)]);
        }
        self.summaries_ended = until;
    }

    /// Takes fields that only this format knows; later ones replace earlier ones.
    pub(super) fn add_extras(&mut self, more: &Extras, losses: &mut Vec<Loss>) {
        content::lose_foreign(more, "part", losses);
        for (name, value) in more.for_format(FORMAT).into_iter().flatten() {
            self.part.extras.insert(FORMAT, name.clone(), value.clone());
        }
    }

    /// The content part of a text, refusal or unknown part, for `content_part.done` and the item.
    pub(super) fn content_part(&mut self, losses: &mut Vec<Loss>) -> Value {
        if let Content::Text(Text { text, .. }) = &self.part.content {
            let kept = self.part.extras.for_format(FORMAT).and_then(|fields| fields.get("logprobs")).cloned();
            let mut fields = content::fields_of(json!({
                "type": "output_text",
                "annotations": self.annotations,
                "logprobs": kept.unwrap_or_else(|| json!([])),
                "text": text,
            }));
            content::add_extras(&mut fields, &self.part.extras);
            return Value::Object(fields);
        }
        content::encode(&self.part, Side::Output, "part", losses).unwrap_or_default()
    }

    /// Adds a source and gives its annotation.
    pub(super) fn cite(&mut self, citation: &Citation, losses: &mut Vec<Loss>) -> Option<(usize, Value)> {
        let Some(annotation) = content::annotation(citation, self.length) else {
            losses.push(Loss::new("citations", FORMAT, "a source without an address has no place"));
            return None;
        };
        self.annotations.push(annotation.clone());
        Some((self.annotations.len() - 1, annotation))
    }

    /// The reasoning item without its id and status.
    pub(super) fn reasoning_fields(&self) -> Fields {
        let texts = self.summaries.iter().map(|summary| summary.text.as_str());
        let mut fields = content::fields_of(json!({"summary": items::text_list("summary_text", texts)}));
        let Content::Reasoning(reasoning) = &self.part.content else { return fields };
        if !reasoning.text.is_empty() {
            let text = std::iter::once(reasoning.text.as_str());
            fields.insert("content".to_owned(), items::text_list("reasoning_text", text));
        }
        if let Some(opaque) = &reasoning.opaque {
            fields.insert("encrypted_content".to_owned(), json!(crate::opaque::wrap(opaque, FORMAT)));
        }
        content::add_extras(&mut fields, &self.part.extras);
        fields
    }

    /// A signature of another format on a call.
    pub(super) fn call_signature(&self) -> Option<(&str, &Opaque)> {
        match &self.part.content {
            Content::ToolCall(call) => call.signature.as_ref().map(|signature| (call.id.as_str(), signature)),
            _ => None,
        }
    }
}
