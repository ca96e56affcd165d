//! Answers of providers → events. Every line has the shape of a whole answer with what is new; the last one says `done: true`.

use serde_json::{Map, Value};

use super::request_in::{read_call, read_image};
use super::{finish, usage};
use crate::format::StreamDecoder;
use crate::formats::fields::{Fields, Path};
use crate::formats::think_tags::{Piece, ThinkTags};
use crate::formats::timestamp;
use crate::framing::Frame;
use crate::ir::{Content, Delta, Extras, FinishReason, Part, PartHead, PartId, StreamEvent, ToolCallKind};
use crate::{ApiFormat, DecodeError, Dialect};

/// Reads one stream of either endpoint.
#[derive(Debug)]
pub(super) struct Decoder {
    format: ApiFormat,
    /// Set if thinking may stand in the text.
    tags: Option<ThinkTags>,
    started: bool,
    over: bool,
    next: PartId,
    open: Option<(PartId, Kind)>,
    calls: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let data = frame.data.trim_ascii();
        if self.over || data.is_empty() {
            return Ok(());
        }
        self.line(Fields::parse(data, self.format)?, out)
    }

    /// `done: true` was the terminal; without it the stream was cut.
    fn finish(&mut self, _out: &mut Vec<StreamEvent>) {}
}

impl Decoder {
    /// A reader for one host.
    pub(super) fn new(format: ApiFormat, dialect: &Dialect) -> Self {
        let tags = dialect.think_tags.then(ThinkTags::default);
        Self { format, tags, started: false, over: false, next: 0, open: None, calls: 0 }
    }

    fn line(&mut self, mut fields: Fields<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        if let Some(failure) = fields.take("error") {
            out.push(StreamEvent::Error(super::error::read(None, &failure)));
            self.over = true;
            return Ok(());
        }
        let model = fields.text("model")?;
        let created_at = fields.take("created_at");
        if !self.started {
            self.started = true;
            let created = created_at.as_ref().and_then(Value::as_str).and_then(timestamp::parse);
            let extras = Map::from_iter(created_at.map(|value| ("created_at".to_owned(), value)));
            out.push(StreamEvent::Start { id: None, model, created, extras: Extras::new(self.format, extras) });
        }
        if self.format == ApiFormat::OllamaChat {
            if let Some(message) = fields.object("message")? {
                let path = Path::Key(&Path::Root, "message");
                self.message(Fields::of(Value::Object(message), self.format, &path)?, &path, out)?;
            }
        } else {
            let thinking = fields.text("thinking")?.unwrap_or_default();
            let text = fields.text("response")?.unwrap_or_default();
            self.grow(thinking, Kind::Reasoning, out);
            self.text(&text, out);
        }
        let done = fields.flag("done")?.unwrap_or(false);
        let reason = fields.text("done_reason")?;
        let usage = usage::take(&mut fields);
        let rest = fields.rest();
        if done {
            self.settle(out);
        }
        if !rest.is_empty() {
            out.push(StreamEvent::ChoiceExtras { choice: 0, extras: Extras::new(self.format, rest) });
        }
        if done {
            let mut finish = finish::read(reason.as_deref());
            if finish.reason == FinishReason::Stop && self.calls > 0 {
                finish.reason = FinishReason::ToolCalls;
            }
            out.push(StreamEvent::Finish { choice: 0, finish });
        }
        out.extend(usage.map(StreamEvent::Usage));
        if done {
            out.push(StreamEvent::End);
            self.over = true;
        }
        Ok(())
    }

    fn message(
        &mut self,
        mut fields: Fields<'_>,
        path: &Path<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), DecodeError> {
        let thinking = fields.text("thinking")?.unwrap_or_default();
        let text = fields.text("content")?.unwrap_or_default();
        self.grow(thinking, Kind::Reasoning, out);
        self.text(&text, out);
        for value in fields.list("images")?.unwrap_or_default() {
            let Value::String(data) = value else { continue };
            self.settle(out);
            let id = self.mint();
            out.extend(StreamEvent::whole(id, 0, Part::new(Content::Media(read_image(data)))));
        }
        let path = Path::Key(path, "tool_calls");
        for (index, value) in fields.list("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
            let path = Path::Index(&path, index);
            let (id, name, arguments) = read_call(Fields::of(value, self.format, &path)?, &path)?;
            self.settle(out);
            self.call(id.unwrap_or_default(), name, arguments, out);
        }
        Ok(())
    }

    fn call(&mut self, id: String, name: String, arguments: String, out: &mut Vec<StreamEvent>) {
        self.calls += 1;
        let part = self.mint();
        let head = PartHead::ToolCall { id, name, namespace: None, kind: ToolCallKind::Function };
        out.push(StreamEvent::PartStart { id: part, choice: 0, head, item_id: None });
        out.push(StreamEvent::PartDelta { id: part, delta: Delta::Arguments(arguments) });
        out.push(StreamEvent::PartEnd { id: part });
    }

    fn text(&mut self, text: &str, out: &mut Vec<StreamEvent>) {
        match &mut self.tags {
            None => self.grow(text.to_owned(), Kind::Text, out),
            Some(tags) => {
                let mut pieces = Vec::new();
                tags.push(text, &mut pieces);
                self.pieces(pieces, out);
            }
        }
    }

    fn pieces(&mut self, pieces: Vec<Piece>, out: &mut Vec<StreamEvent>) {
        for piece in pieces {
            match piece {
                Piece::Thinking(text) => self.grow(text, Kind::Reasoning, out),
                Piece::Text(text) => self.grow(text, Kind::Text, out),
            }
        }
    }

    fn grow(&mut self, text: String, kind: Kind, out: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        let id = match self.open {
            Some((id, open)) if open == kind => id,
            _ => {
                self.close(out);
                let id = self.mint();
                let head = if kind == Kind::Text { PartHead::Text } else { PartHead::Reasoning };
                out.push(StreamEvent::PartStart { id, choice: 0, head, item_id: None });
                self.open = Some((id, kind));
                id
            }
        };
        out.push(StreamEvent::PartDelta { id, delta: Delta::Text(text) });
    }

    /// Lets go of what was held back and ends the open part.
    fn settle(&mut self, out: &mut Vec<StreamEvent>) {
        if let Some(tags) = &mut self.tags {
            let mut pieces = Vec::new();
            tags.finish(&mut pieces);
            self.pieces(pieces, out);
        }
        self.close(out);
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        out.extend(self.open.take().map(|(id, _)| StreamEvent::PartEnd { id }));
    }

    fn mint(&mut self) -> PartId {
        let id = self.next;
        self.next = self.next.saturating_add(1);
        id
    }
}
