//! A provider's stream → events. A finish is held back until the terminal, as in Chat.

use serde_json::Value;

use super::{FORMAT, IN};
use crate::format::StreamDecoder;
use crate::formats::openai_chat::response::{MAX_CHOICES, clean, note_tier, take_created, take_finish};
use crate::formats::openai_chat::wire::{Object, count, take_text};
use crate::formats::openai_chat::{error, usage};
use crate::framing::Frame;
use crate::ir::{Delta, Extras, Finish, PartHead, PartId, StreamEvent};
use crate::{DecodeError, Dialect};

/// Reads the frames of one stream.
#[derive(Debug)]
pub(super) struct Decoder {
    dialect: Dialect,
    started: bool,
    over: bool,
    choices: Vec<Choice>,
    next: PartId,
}

#[derive(Debug)]
struct Choice {
    number: u32,
    part: Option<PartId>,
    finish: Option<Finish>,
}

impl Decoder {
    pub(super) fn new(dialect: &Dialect) -> Self {
        Self { dialect: dialect.for_answers(), started: false, over: false, choices: Vec::new(), next: 0 }
    }

    fn chunk(
        &mut self,
        mut fields: Object,
        event: Option<&str>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), DecodeError> {
        if event == Some("error") || error::is_error(&fields) {
            self.over = true;
            out.push(StreamEvent::Error(error::of_chunk(&fields)));
            return Ok(());
        }
        let choices = fields.shift_remove("choices");
        let mut counted = fields.shift_remove("usage").and_then(|value| usage::decode(&value, &self.dialect));
        note_tier(&mut counted, &fields);
        self.start(&mut fields, out);
        for choice in choices.as_ref().and_then(Value::as_array).into_iter().flatten() {
            if let Value::Object(choice) = choice {
                self.choice(choice.clone(), out)?;
            }
        }
        out.extend(counted.map(StreamEvent::Usage));
        Ok(())
    }

    fn start(&mut self, fields: &mut Object, out: &mut Vec<StreamEvent>) {
        if self.started {
            return;
        }
        self.started = true;
        let (id, model) = (take_text(fields, "id"), take_text(fields, "model"));
        let created = take_created(fields);
        clean(fields);
        let extras = Extras::new(FORMAT, std::mem::take(fields));
        out.push(StreamEvent::Start { id, model, created, extras });
    }

    fn choice(&mut self, mut fields: Object, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let number = fields.get("index").and_then(count).unwrap_or(0);
        let number = u32::try_from(number).map_err(|_| IN.error("/choices/index", "number is too large"))?;
        fields.shift_remove("index");
        let at = match self.choices.iter().position(|choice| choice.number == number) {
            Some(at) => at,
            None if self.choices.len() >= MAX_CHOICES => return Err(IN.error("/choices/index", "too many choices")),
            None => {
                self.choices.push(Choice { number, part: None, finish: None });
                self.choices.len() - 1
            }
        };
        let Some(choice) = self.choices.get_mut(at) else { return Ok(()) };
        let text = take_text(&mut fields, "text");
        fields.shift_remove("text");
        let finish = take_finish(&mut fields);
        clean(&mut fields);
        if !fields.is_empty() {
            out.push(StreamEvent::ChoiceExtras { choice: number, extras: Extras::new(FORMAT, fields) });
        }
        if let Some(text) = text {
            let id = *choice.part.get_or_insert_with(|| {
                let id = self.next;
                self.next += 1;
                out.push(StreamEvent::PartStart { id, choice: number, head: PartHead::Text, item_id: None });
                id
            });
            out.push(StreamEvent::PartDelta { id, delta: Delta::Text(text) });
        }
        choice.finish = choice.finish.take().or(finish);
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        self.start(&mut Object::new(), out);
        for choice in &mut self.choices {
            out.extend(choice.part.take().map(|id| StreamEvent::PartEnd { id }));
            let number = choice.number;
            out.extend(choice.finish.take().map(|finish| StreamEvent::Finish { choice: number, finish }));
        }
        out.push(StreamEvent::End);
        self.over = true;
    }
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let data = frame.data.trim_ascii();
        if self.over || data.is_empty() {
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
        let finished = !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish.is_some());
        if !self.over && self.dialect.no_done && finished {
            self.close(out);
        }
    }
}
