//! A provider's stream → events.
//!
//! A choice's finish is held back until the terminal: hosts send usage, sources and even errors after `finish_reason`, and a finish that is
//! followed by an error must not have been one.

use serde_json::Value;

use super::delta_in::{Choice, Feeder};
use super::response::{clean, note_tier, take_created, take_finish};
use super::wire::{FORMAT, IN, Object, count, take_object, take_text};
use super::{error, finish, sources, usage};
use crate::format::StreamDecoder;
use crate::framing::Frame;
use crate::ir::{Extras, PartId, StreamEvent, Usage};
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

impl Decoder {
    pub(super) fn new(dialect: &Dialect) -> Self {
        Self {
            dialect: dialect.for_answers(),
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
                self.choices.push((index, Choice::new(number)));
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
            if number == 0 {
                feeder.sources(sources::of_envelope(&self.envelope));
            }
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
