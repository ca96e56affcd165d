//! One choice of a provider's stream: deltas → parts, one open at a time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::calls::Calls;
use super::response::{clean, drop_blank};
use super::wire::{FORMAT, Object, take_object, take_text};
use super::{details, messages_in};
use crate::DecodeError;
use crate::formats::think_tags::{Piece, ThinkTags};
use crate::ir::{Citation, Content, Delta, Extras, Finish, PartHead, PartId, StreamEvent};

/// One choice while it grows.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) number: u32,
    open: Option<(PartId, Open)>,
    pub(super) calls: Calls,
    details: details::Joined,
    /// Sources came at the text.
    annotated: bool,
    /// Thinking came in a text field.
    shown: bool,
    think: ThinkTags,
    audio: Object,
    audio_bytes: Vec<u8>,
    pub(super) finish: Option<Finish>,
    extras: Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Refusal,
    Reasoning,
}

impl Choice {
    /// Choice `number` of the answer.
    pub(super) fn new(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// Nothing of an answer has come yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.open.is_none() && !self.calls.any() && self.finish.is_none()
    }
}

/// Feeds one delta to one choice.
pub(super) struct Feeder<'a> {
    pub(super) choice: &'a mut Choice,
    pub(super) think_tags: bool,
    pub(super) next: &'a mut PartId,
    pub(super) out: &'a mut Vec<StreamEvent>,
}

impl Feeder<'_> {
    /// Takes one delta and the fields beside it.
    pub(super) fn delta(&mut self, mut delta: Object, mut beside: Object) -> Result<(), DecodeError> {
        delta.shift_remove("role");
        let content = take_text(&mut delta, "reasoning_content");
        let short = take_text(&mut delta, "reasoning");
        let mut thought = content.or(short);
        self.choice.shown |= thought.is_some();
        if let Some(Value::Array(list)) = delta.shift_remove("reasoning_details") {
            // Hosts that show their thinking in a field of its own repeat it in the list.
            if !self.choice.shown {
                thought =
                    Some(list.iter().filter_map(details::text_of).collect::<String>()).filter(|text| !text.is_empty());
            }
            list.into_iter().for_each(|fragment| self.choice.details.push(fragment));
        }
        let content = delta.shift_remove("content");
        let refusal = take_text(&mut delta, "refusal");
        let annotations = delta.shift_remove("annotations");
        let images = delta.shift_remove("images");
        let audio = take_object(&mut delta, "audio");
        let calls = delta.shift_remove("tool_calls");
        let legacy = take_object(&mut delta, "function_call");
        // Fields beside the text (logprobs) are about it: they go first, so that an encoder can write both as one chunk.
        clean(&mut delta);
        drop_blank(&mut delta);
        if !delta.is_empty() {
            beside.insert("message".into(), delta.into());
        }
        self.beside(beside);

        if let Some(text) = thought {
            self.text(Open::Reasoning, text);
        }
        self.content(content)?;
        if let Some(text) = refusal {
            self.text(Open::Refusal, text);
        }
        if let Some(Value::Array(list)) = annotations {
            self.annotations(&list);
        }
        if let Some(Value::Array(list)) = images {
            list.into_iter().filter_map(messages_in::image).for_each(|part| self.whole(part));
        }
        if let Some(audio) = audio {
            self.audio(audio);
        }
        if let Some(Value::Array(list)) = calls.filter(|calls| calls.as_array().is_some_and(|list| !list.is_empty())) {
            self.begin_calls();
            self.choice.calls.feed(list, self.choice.number, self.next, self.out)?;
        }
        if let Some(call) = legacy {
            self.begin_calls();
            self.choice.calls.feed_legacy(call, self.choice.number, self.next, self.out)?;
        }
        Ok(())
    }

    fn beside(&mut self, mut fields: Object) {
        clean(&mut fields);
        fields.retain(|name, value| {
            let empty = value.as_object().is_some_and(Object::is_empty) || value.as_array().is_some_and(Vec::is_empty);
            let known = name != "logprobs" && self.choice.extras.get(name) == Some(value);
            !empty && !known
        });
        if fields.is_empty() {
            return;
        }
        for (name, value) in &fields {
            if name != "logprobs" {
                self.choice.extras.insert(name.clone(), value.clone());
            }
        }
        self.out.push(StreamEvent::ChoiceExtras { choice: self.choice.number, extras: Extras::new(FORMAT, fields) });
    }

    fn content(&mut self, content: Option<Value>) -> Result<(), DecodeError> {
        match content {
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => self.visible(text),
            // Mistral streams lists while it thinks.
            Some(list @ Value::Array(_)) => {
                for part in messages_in::content_parts(Some(list), "/choices/delta/content")? {
                    match part.content {
                        Content::Text(text) => self.visible(text.text),
                        Content::Reasoning(reasoning) => self.text(Open::Reasoning, reasoning.text),
                        Content::Refusal(text) => self.text(Open::Refusal, text),
                        _ => self.whole(part),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visible(&mut self, text: String) {
        if !self.think_tags {
            return self.text(Open::Text, text);
        }
        let mut pieces = Vec::new();
        self.choice.think.push(&text, &mut pieces);
        self.pieces(pieces);
    }

    fn pieces(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Thinking(text) => self.text(Open::Reasoning, text),
                Piece::Text(text) => self.text(Open::Text, text),
            }
        }
    }

    fn text(&mut self, kind: Open, text: String) {
        if text.is_empty() {
            return;
        }
        let id = self.open(kind);
        self.out.push(StreamEvent::PartDelta { id, delta: Delta::Text(text) });
    }

    /// The open part of `kind`; whatever else was open ends.
    fn open(&mut self, kind: Open) -> PartId {
        match self.choice.open {
            Some((id, open)) if open == kind => id,
            _ => {
                self.end_open();
                self.end_calls();
                if kind != Open::Reasoning {
                    self.settle_details();
                }
                let id = *self.next;
                *self.next += 1;
                let head = match kind {
                    Open::Text => PartHead::Text,
                    Open::Refusal => PartHead::Refusal,
                    Open::Reasoning => PartHead::Reasoning,
                };
                self.choice.open = Some((id, kind));
                self.out.push(StreamEvent::PartStart { id, choice: self.choice.number, head, item_id: None });
                id
            }
        }
    }

    fn end_open(&mut self) {
        let Some((id, kind)) = self.choice.open.take() else { return };
        if kind == Open::Reasoning
            && let Some(blob) = self.choice.details.take()
        {
            self.out.push(StreamEvent::PartDelta { id, delta: Delta::Opaque(blob) });
        }
        self.out.push(StreamEvent::PartEnd { id });
    }

    /// Details without text of their own stand in front of what comes next.
    fn settle_details(&mut self) {
        if let Some(blob) = self.choice.details.take() {
            let id = self.open(Open::Reasoning);
            self.out.push(StreamEvent::PartDelta { id, delta: Delta::Opaque(blob) });
            self.end_open();
        }
    }

    fn begin_calls(&mut self) {
        self.end_open();
        if !self.choice.calls.pending() {
            self.settle_details();
        }
    }

    fn end_calls(&mut self) {
        if self.choice.calls.pending() {
            self.choice.calls.flush(self.choice.number, self.next, self.out);
        }
    }

    fn whole(&mut self, part: crate::ir::Part) {
        self.end_open();
        self.end_calls();
        self.settle_details();
        let id = *self.next;
        *self.next += 1;
        let extras = part.extras.clone();
        let [start, end] = StreamEvent::whole(id, self.choice.number, part);
        self.out.push(start);
        if !extras.is_empty() {
            self.out.push(StreamEvent::PartDelta { id, delta: Delta::Extras(extras) });
        }
        self.out.push(end);
    }

    /// Sources belong to the text; without any they open one.
    fn annotations(&mut self, list: &[Value]) {
        for citation in list.iter().filter_map(messages_in::citation) {
            self.choice.annotated = true;
            let id = self.open(Open::Text);
            self.out.push(StreamEvent::PartDelta { id, delta: Delta::Citation(Box::new(citation)) });
        }
    }

    /// Sources of the envelope, for text that has none of its own and is still open.
    pub(super) fn sources(&mut self, sources: Vec<Citation>) {
        let open = self.choice.open.filter(|(_, kind)| *kind == Open::Text && !self.choice.annotated);
        let Some((id, _)) = open else { return };
        let deltas = sources.into_iter().map(|citation| Delta::Citation(Box::new(citation)));
        self.out.extend(deltas.map(|delta| StreamEvent::PartDelta { id, delta }));
    }

    /// Sound comes in pieces of base64, each coded by itself.
    fn audio(&mut self, mut fields: Object) {
        if let Some(data) = take_text(&mut fields, "data") {
            self.choice.audio_bytes.extend(STANDARD.decode(data).unwrap_or_default());
        }
        for (name, value) in fields {
            match (self.choice.audio.get_mut(&name), value) {
                (Some(Value::String(text)), Value::String(more)) if name == "transcript" => text.push_str(&more),
                (_, Value::Null) => {}
                (_, value) => {
                    self.choice.audio.insert(name, value);
                }
            }
        }
    }

    /// The choice is over.
    pub(super) fn finish(&mut self) {
        let mut pieces = Vec::new();
        self.choice.think.finish(&mut pieces);
        self.pieces(pieces);
        if !self.choice.audio_bytes.is_empty() || !self.choice.audio.is_empty() {
            let mut fields = std::mem::take(&mut self.choice.audio);
            let bytes = std::mem::take(&mut self.choice.audio_bytes);
            if !bytes.is_empty() {
                fields.insert("data".into(), STANDARD.encode(bytes).into());
            }
            self.whole(messages_in::audio_part(fields));
        }
        self.end_open();
        self.end_calls();
        self.settle_details();
    }
}
