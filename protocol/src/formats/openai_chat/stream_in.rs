//! A provider's stream → events.
//!
//! A choice's finish is held back until the terminal: hosts send usage, sources and even errors after `finish_reason`, and a finish that is
//! followed by an error must not have been one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::calls::Calls;
use super::response::{clean, drop_blank, note_tier, take_created, take_finish};
use super::think_tags::{Piece, Splitter};
use super::wire::{FORMAT, IN, Object, count, take_object, take_text};
use super::{details, error, finish, messages_in, usage};
use crate::format::StreamDecoder;
use crate::framing::Frame;
use crate::ir::{Content, Delta, Extras, Finish, PartHead, PartId, StreamEvent, Usage};
use crate::{DecodeError, Dialect};

/// Reads the frames of one stream.
#[derive(Debug)]
pub(super) struct Decoder {
    dialect: Dialect,
    state: State,
    /// What was in the envelope so far: only news is reported.
    envelope: Object,
    id: Option<String>,
    model: Option<String>,
    created: Option<u64>,
    choices: Vec<(u64, Choice)>,
    next: PartId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Started,
    Over,
}

/// One choice while it grows.
#[derive(Debug, Default)]
struct Choice {
    number: u32,
    open: Option<(PartId, Open)>,
    calls: Calls,
    details: details::Joined,
    /// Thinking came in a text field.
    shown: bool,
    think: Splitter,
    audio: Object,
    audio_bytes: Vec<u8>,
    finish: Option<Finish>,
    extras: Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Refusal,
    Reasoning,
}

impl Decoder {
    pub(super) fn new(dialect: &Dialect) -> Self {
        Self {
            dialect: dialect.clone(),
            state: State::Waiting,
            envelope: Object::new(),
            id: None,
            model: None,
            created: None,
            choices: Vec::new(),
            next: 0,
        }
    }

    fn chunk(
        &mut self,
        mut fields: Object,
        event: Option<&str>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), DecodeError> {
        if event == Some("error") || error::is_error(&fields) {
            out.push(StreamEvent::Error(error::of_chunk(&fields)));
            self.state = State::Over;
            return Ok(());
        }
        let choices = match fields.shift_remove("choices") {
            Some(Value::Array(choices)) => choices,
            _ => Vec::new(),
        };
        let mut counted = fields.shift_remove("usage").and_then(|value| usage::decode(&value, &self.dialect));
        if let Some(Value::Object(groq)) = fields.get_mut("x_groq")
            && let Some(inner) = groq.shift_remove("usage")
        {
            counted = counted.or_else(|| usage::decode(&inner, &self.dialect));
        }
        self.head(&mut fields, !choices.is_empty(), out);
        // Whoever passes bytes on and looks at some frames only still wants counters and finishes: a corrupt delta costs neither.
        let mut outcome = Ok(());
        for choice in choices {
            let Value::Object(mut choice) = choice else { continue };
            if let Some(inner) = choice.shift_remove("usage") {
                counted = counted.or_else(|| usage::decode(&inner, &self.dialect));
            }
            if error::is_error(&choice) {
                out.push(StreamEvent::Error(error::of_chunk(&choice)));
                self.state = State::Over;
                return Ok(());
            }
            outcome = outcome.and(self.choice(choice, out));
        }
        self.count(counted, &fields, out);
        outcome
    }

    fn count(&mut self, mut counted: Option<Usage>, fields: &Object, out: &mut Vec<StreamEvent>) {
        note_tier(&mut counted, if fields.is_empty() { &self.envelope } else { fields });
        if let Some(counted) = counted {
            self.start(out);
            out.push(StreamEvent::Usage(counted));
        }
    }

    /// Reads the envelope. Azure's first chunk has neither id nor model nor choices: the start waits for the next one.
    fn head(&mut self, fields: &mut Object, has_choices: bool, out: &mut Vec<StreamEvent>) {
        fields.shift_remove("object");
        self.id = self.id.take().or(take_text(fields, "id"));
        self.model = self.model.take().or(take_text(fields, "model"));
        self.created = self.created.take().or(take_created(fields));
        for name in ["id", "model", "created"] {
            fields.shift_remove(name);
        }
        clean(fields);
        let mut news = Object::new();
        for (name, value) in std::mem::take(fields) {
            let empty = value.as_object().is_some_and(Object::is_empty);
            if !empty && self.envelope.get(&name) != Some(&value) {
                self.envelope.insert(name.clone(), value.clone());
                news.insert(name, value);
            }
        }
        match self.state {
            State::Waiting if has_choices => self.start(out),
            State::Started if !news.is_empty() => out.push(StreamEvent::Raw { format: FORMAT, value: news.into() }),
            _ => {}
        }
    }

    fn start(&mut self, out: &mut Vec<StreamEvent>) {
        if self.state == State::Waiting {
            self.state = State::Started;
            let extras = Extras::new(FORMAT, self.envelope.clone());
            let (id, model) = (self.id.clone(), self.model.clone());
            out.push(StreamEvent::Start { id, model, created: self.created, extras });
        }
    }

    fn choice(&mut self, mut fields: Object, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let index = fields.get("index").and_then(count).unwrap_or(0);
        fields.shift_remove("index");
        let known = self.choices.iter().position(|(known, _)| *known == index);
        let at = match known {
            Some(at) => at,
            None if self.choices.len() >= super::response::MAX_CHOICES => {
                return Err(IN.error("/choices/index", "too many choices"));
            }
            None => {
                let number = u32::try_from(index).map_err(|_| IN.error("/choices/index", "number is too large"))?;
                self.choices.push((index, Choice { number, ..Choice::default() }));
                self.choices.len() - 1
            }
        };
        let Some((_, choice)) = self.choices.get_mut(at) else { return Ok(()) };
        // Perplexity repeats the whole message beside the delta; a host that sends only the message has sent the answer at once.
        let message = take_object(&mut fields, "message");
        let delta = match take_object(&mut fields, "delta") {
            Some(delta) => delta,
            None if choice.is_untouched() => message.unwrap_or_default(),
            None => Object::new(),
        };
        fields.shift_remove("delta");
        let finish = take_finish(&mut fields);
        // A second finish repeats the first (OpenRouter's usage chunk).
        choice.finish = choice.finish.take().or(finish);
        Feeder { choice, think_tags: self.dialect.think_tags, next: &mut self.next, out }.delta(delta, fields)
    }

    /// Ends what is open and reports the finishes.
    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        self.start(out);
        for (_, choice) in &mut self.choices {
            let number = choice.number;
            let finish = choice.finish.take();
            let mut feeder = Feeder { choice, think_tags: self.dialect.think_tags, next: &mut self.next, out };
            feeder.finish();
            let has_calls = feeder.choice.calls.any();
            if let Some(finish) = finish {
                out.push(StreamEvent::Finish { choice: number, finish: finish::with_calls(finish, has_calls) });
            }
        }
        out.push(StreamEvent::End);
        self.state = State::Over;
    }
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        if self.state == State::Over {
            return Ok(());
        }
        let data = frame.data.trim_ascii();
        if data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            self.close(out);
            return Ok(());
        }
        let fields = IN.body(data)?;
        self.chunk(fields, frame.event, out)
    }

    fn finish(&mut self, out: &mut Vec<StreamEvent>) {
        let finished = !self.choices.is_empty() && self.choices.iter().all(|(_, choice)| choice.finish.is_some());
        if self.state != State::Over && self.dialect.no_done && finished {
            self.close(out);
        }
    }
}

impl Choice {
    /// Nothing of an answer has come yet.
    fn is_untouched(&self) -> bool {
        self.open.is_none() && !self.calls.any() && self.finish.is_none()
    }
}

/// Feeds one delta to one choice.
struct Feeder<'a> {
    choice: &'a mut Choice,
    think_tags: bool,
    next: &'a mut PartId,
    out: &'a mut Vec<StreamEvent>,
}

impl Feeder<'_> {
    fn delta(&mut self, mut delta: Object, mut beside: Object) -> Result<(), DecodeError> {
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
        self.choice.think.feed(&text, &mut pieces);
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
            let id = self.open(Open::Text);
            self.out.push(StreamEvent::PartDelta { id, delta: Delta::Citation(Box::new(citation)) });
        }
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
    fn finish(&mut self) {
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
