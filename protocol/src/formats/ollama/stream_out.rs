//! Events → lines for clients.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{error, finish, object_of, usage};
use crate::ApiFormat;
use crate::format::{ReplyContext, StreamEncoder};
use crate::formats::timestamp;
use crate::ir::{
    Content, Delta, Extras, Finish, Loss, Media, MediaKind, MediaSource, PartHead, PartId, StreamEvent, ToolCall, Usage,
};

/// Writes one stream of either endpoint; a whole answer is its lines made one (see [`super::response`]).
#[derive(Debug)]
pub(super) struct Encoder {
    format: ApiFormat,
    context: ReplyContext,
    open: BTreeMap<PartId, Open>,
    calls: usize,
    model: Option<String>,
    created_at: Option<String>,
    usage: Usage,
    finish: Option<Finish>,
    extras: Map<String, Value>,
    losses: Vec<Loss>,
    over: bool,
}

#[derive(Debug)]
struct Open {
    head: PartHead,
    arguments: String,
    summary: Option<u32>,
    signed: bool,
}

/// What one line brings.
#[derive(Debug)]
pub(super) enum Piece {
    /// Visible text.
    Text(String),
    /// Thinking.
    Thinking(String),
    /// A call.
    Call(Value),
    /// An image.
    Image(String),
}

impl Encoder {
    /// A writer for one client.
    pub(super) fn new(format: ApiFormat, context: ReplyContext) -> Self {
        Self {
            format,
            context,
            open: BTreeMap::new(),
            calls: 0,
            model: None,
            created_at: None,
            usage: Usage::default(),
            finish: None,
            extras: Map::new(),
            losses: Vec::new(),
            over: false,
        }
    }

    /// Takes one event; answers what it brings.
    pub(super) fn take(&mut self, event: &StreamEvent) -> Option<Piece> {
        match event {
            StreamEvent::Start { model, created, extras, .. } => {
                self.foreign(extras);
                self.model.clone_from(model);
                let own = extras.for_format(self.format).and_then(|own| own.get("created_at")?.as_str());
                let told = own.map(str::to_owned).or(created.map(timestamp::format));
                self.created_at = Some(told.unwrap_or_else(|| timestamp::format(self.context.created)));
                None
            }
            StreamEvent::PartStart { id, choice: 0, head, .. } => {
                let open = Open { head: head.clone(), arguments: String::new(), summary: None, signed: false };
                self.open.insert(*id, open);
                None
            }
            StreamEvent::PartStart { choice, .. } => {
                self.lose(format!("choices[{choice}]"), "only one answer can be told");
                None
            }
            StreamEvent::PartDelta { id, delta } => self.grow(*id, delta),
            StreamEvent::PartEnd { id } => {
                let open = self.open.remove(id)?;
                self.end(open)
            }
            StreamEvent::Finish { choice: 0, finish } => {
                self.finish = Some(finish.clone());
                None
            }
            StreamEvent::ChoiceExtras { choice, extras } => {
                self.foreign(extras);
                if *choice == 0 {
                    self.extras.extend(extras.for_format(self.format).cloned().unwrap_or_default());
                }
                None
            }
            StreamEvent::Usage(usage) => {
                self.usage.update(usage.clone());
                None
            }
            StreamEvent::Finish { .. } | StreamEvent::Raw { .. } | StreamEvent::Error(_) | StreamEvent::End => None,
        }
    }

    fn grow(&mut self, id: PartId, delta: &Delta) -> Option<Piece> {
        let open = self.open.get_mut(&id)?;
        match (&open.head, delta) {
            (PartHead::Text | PartHead::Refusal, Delta::Text(text)) => Some(Piece::Text(text.clone())),
            (PartHead::Reasoning, Delta::Text(text)) => Some(Piece::Thinking(text.clone())),
            (PartHead::Reasoning, Delta::Summary { index, text }) => {
                let apart = open.summary.is_some_and(|last| last != *index);
                open.summary = Some(*index);
                Some(Piece::Thinking(if apart { format!("\n\n{text}") } else { text.clone() }))
            }
            (PartHead::ToolCall { .. }, Delta::Arguments(text)) => {
                open.arguments.push_str(text);
                None
            }
            (_, Delta::Opaque(_)) => {
                if !std::mem::replace(&mut open.signed, true) {
                    self.lose("choices[].parts[].opaque", "no place for signatures");
                }
                None
            }
            (_, Delta::Citation(_)) => {
                self.lose("choices[].parts[].citations", "has no equivalent");
                None
            }
            (_, Delta::Extras(extras)) => {
                self.foreign(extras);
                None
            }
            _ => None,
        }
    }

    fn end(&mut self, open: Open) -> Option<Piece> {
        match open.head {
            PartHead::ToolCall { id, name, namespace, kind } => {
                let call = ToolCall { id, name, namespace, kind, arguments: open.arguments, signature: None };
                let (arguments, whole) = object_of(&call);
                if !whole {
                    self.lose("choices[].parts[].arguments", "no json object: wrapped into one");
                }
                if self.format == ApiFormat::OllamaGenerate {
                    self.lose("choices[].parts[]", "a call has no place in a completion");
                    return None;
                }
                let index = self.calls;
                self.calls += 1;
                let function = json!({"index": index, "name": call.name, "arguments": arguments});
                let mut out = Map::new();
                if !call.id.is_empty() {
                    out.insert("id".to_owned(), call.id.into());
                }
                out.insert("function".to_owned(), function);
                Some(Piece::Call(Value::Object(out)))
            }
            PartHead::Whole(content) => match *content {
                Content::Media(Media { kind: MediaKind::Image, source: MediaSource::Base64(data), .. })
                    if self.format == ApiFormat::OllamaChat =>
                {
                    Some(Piece::Image(data))
                }
                Content::Text(text) => Some(Piece::Text(text.text)),
                Content::Refusal(text) => Some(Piece::Text(text)),
                _ => {
                    self.lose("choices[].parts[]", "has no equivalent");
                    None
                }
            },
            _ => None,
        }
    }

    /// A line with nothing but who speaks.
    pub(super) fn line(&self) -> Map<String, Value> {
        let mut line = Map::new();
        let model = if self.context.model.is_empty() { self.model.clone() } else { Some(self.context.model.clone()) };
        line.insert("model".to_owned(), model.unwrap_or_default().into());
        let created_at = self.created_at.clone().unwrap_or_else(|| timestamp::format(self.context.created));
        line.insert("created_at".to_owned(), created_at.into());
        line
    }

    /// Puts pieces into a line in the endpoint's own way.
    pub(super) fn fill(&self, line: &mut Map<String, Value>, pieces: Vec<Piece>) {
        let (mut text, mut thinking) = (String::new(), String::new());
        let (mut calls, mut images) = (Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Text(more) => text.push_str(&more),
                Piece::Thinking(more) => thinking.push_str(&more),
                Piece::Call(call) => calls.push(call),
                Piece::Image(data) => images.push(Value::String(data)),
            }
        }
        let mut message = Map::new();
        let chat = self.format == ApiFormat::OllamaChat;
        if chat {
            message.insert("role".to_owned(), "assistant".into());
        }
        message.insert(if chat { "content" } else { "response" }.to_owned(), text.into());
        if !thinking.is_empty() {
            message.insert("thinking".to_owned(), thinking.into());
        }
        for (name, list) in [("images", images), ("tool_calls", calls)] {
            if !list.is_empty() {
                message.insert(name.to_owned(), Value::Array(list));
            }
        }
        if chat {
            line.insert("message".to_owned(), Value::Object(message));
        } else {
            line.extend(message);
        }
    }

    /// The fields of the last line.
    pub(super) fn done(&mut self, line: &mut Map<String, Value>) {
        line.insert("done".to_owned(), true.into());
        if let Some(finish) = &self.finish {
            line.insert("done_reason".to_owned(), finish::word(finish).into());
        }
        line.extend(std::mem::take(&mut self.extras));
        usage::write(&self.usage, line);
    }

    /// What was lost so far.
    pub(super) fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    fn lose(&mut self, field: impl Into<String>, why: &'static str) {
        let loss = Loss::new(field.into(), self.format, why);
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    fn foreign(&mut self, extras: &Extras) {
        let names: Vec<String> = extras.foreign_to(self.format).map(str::to_owned).collect();
        for name in names {
            self.lose(format!("extras.{name}"), "has no equivalent");
        }
    }
}

fn write_line(line: Map<String, Value>, out: &mut Vec<u8>) {
    out.extend_from_slice(Value::Object(line).to_string().as_bytes());
    out.push(b'\n');
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        let piece = self
            .take(event)
            .filter(|piece| !matches!(piece, Piece::Text(text) | Piece::Thinking(text) if text.is_empty()));
        if let Some(piece) = piece {
            let mut line = self.line();
            self.fill(&mut line, vec![piece]);
            line.insert("done".to_owned(), false.into());
            write_line(line, out);
        }
        match event {
            StreamEvent::Error(failure) => {
                out.extend_from_slice(error::encode(failure).to_string().as_bytes());
                out.push(b'\n');
                self.over = true;
            }
            StreamEvent::End => {
                let mut line = self.line();
                self.fill(&mut line, Vec::new());
                self.done(&mut line);
                write_line(line, out);
                self.over = true;
            }
            _ => {}
        }
    }

    /// White space before the next line: an empty line breaks the libraries that parse every line.
    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        if !self.over {
            out.push(b' ');
        }
    }

    fn losses(&mut self) -> Vec<Loss> {
        self.take_losses()
    }
}
