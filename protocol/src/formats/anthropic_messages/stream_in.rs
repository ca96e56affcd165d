//! Streams of a provider → events. Reads Anthropic's SSE and, frame by frame, what Bedrock's `invoke-with-response-stream` wraps around it.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::blocks_in::{self, Block, Source};
use super::wire::{BlockDelta, Event};
use super::{FORMAT, error, finish, response, usage};
use crate::format::StreamDecoder;
use crate::formats::bedrock_converse;
use crate::framing::Frame;
use crate::ir::{
    Content, Delta, Extras, Opaque, OpaqueKind, Part, PartHead, PartId, ReasoningPart, StreamEvent, Text, ToolCall,
    ToolCallKind,
};
use crate::json::{Fields, read};
use crate::{ApiError, ApiErrorKind, DecodeError};

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct StreamIn {
    message: Option<Option<String>>,
    /// Something was told already: a start that comes now comes too late.
    begun: bool,
    open: Vec<OpenBlock>,
    next: PartId,
    /// The counters so far, as the wire has them: later events replace single fields.
    usage: Map<String, Value>,
    finished: bool,
    done: bool,
}

#[derive(Debug)]
struct OpenBlock {
    index: u64,
    part: PartId,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Its deltas go straight on.
    Text,
    /// Likewise.
    Thinking,
    /// A call whose start had an input already; used if no fragment comes.
    Call { started_with: Option<String>, grew: bool },
    /// A block that only this format knows: collected, given whole at its end.
    Native { part: Part, input: String },
}

impl Body {
    /// Whether a block of this kind has such deltas.
    fn grows_by(&self, delta: &Delta) -> bool {
        match delta {
            Delta::Text(_) => matches!(self, Self::Text | Self::Thinking),
            Delta::Citation(_) => matches!(self, Self::Text),
            Delta::Arguments(_) => matches!(self, Self::Call { .. }),
            Delta::Opaque(_) => matches!(self, Self::Thinking | Self::Call { .. }),
            _ => true,
        }
    }
}

impl StreamDecoder for StreamIn {
    fn feed(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        if self.done {
            return Ok(());
        }
        if frame.exception {
            let error = bedrock_converse::exception(frame.event.unwrap_or_default(), frame.data);
            self.fail(error, out);
            return Ok(());
        }
        let told = out.len();
        let outcome = if frame.event == Some("chunk") {
            let inner = bedrock_converse::invoke_chunk(frame.data, FORMAT)?;
            self.event(&inner, out)
        } else {
            self.event(frame.data, out)
        };
        self.begun |= out.len() > told;
        outcome
    }

    fn finish(&mut self, out: &mut Vec<StreamEvent>) {
        // `message_stop` is reported when it comes; without it the stream was cut.
        let _ = out;
    }
}

impl StreamIn {
    fn event(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            // Not of this wire, but some bridges append it.
            if self.finished {
                self.end(out);
            }
            return Ok(());
        }
        let event: Event<'_> = serde_json::from_slice(data).map_err(|error| DecodeError::json(FORMAT, &error))?;
        match event.r#type.as_ref() {
            "content_block_delta" => self.delta(&event, out)?,
            "content_block_start" => self.start_block(&event, out)?,
            "content_block_stop" => {
                if let Some(at) = self.position(event.index) {
                    let block = self.open.remove(at);
                    close(block, out);
                }
            }
            "message_start" => self.start_message(&event, out)?,
            "message_delta" => self.message_delta(event, out)?,
            "message_stop" => self.end(out),
            "ping" => {}
            "error" => self.fail(error::decode_event(data), out),
            _ => {
                let value = serde_json::from_slice(data).map_err(|error| DecodeError::json(FORMAT, &error))?;
                out.push(StreamEvent::Raw { format: FORMAT, value });
            }
        }
        Ok(())
    }

    fn start_message(&mut self, event: &Event<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let mut fields = Fields::parse(FORMAT, event.message.map_or("{}", RawValue::get))?;
        let (id, model) = (fields.get::<String>("id")?, fields.get("model")?);
        match &self.message {
            Some(known) if *known == id => return Ok(()),
            Some(_) => {
                let words = "a second message began before the first was over";
                self.fail(ApiError::new(ApiErrorKind::Upstream, words), out);
                return Ok(());
            }
            None => self.message = Some(id.clone()),
        }
        if !self.begun {
            out.push(StreamEvent::Start { id, model, created: None, extras: Extras::NONE });
        }
        for known in ["type", "role", "content", "stop_reason", "stop_sequence"] {
            fields.raw(known);
        }
        if let Some(raw) = fields.get::<Map<String, Value>>("usage")? {
            usage::replace(&mut self.usage, raw);
            // The output count of a start is a placeholder.
            let mut known = usage::read(&self.usage);
            known.output = None;
            out.push(StreamEvent::Usage(known));
        }
        let extras = response::choice_extras(fields.rest()?);
        if !extras.is_empty() {
            out.push(StreamEvent::ChoiceExtras { choice: 0, extras });
        }
        Ok(())
    }

    fn message_delta(&mut self, event: Event<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let mut fields = Fields::parse(FORMAT, event.delta.map_or("{}", RawValue::get))?;
        let stop_sequence = fields.get("stop_sequence")?;
        let stop_reason: Option<String> = fields.get("stop_reason")?;
        if let Some(newer) = event.usage {
            usage::replace(&mut self.usage, newer);
            out.push(StreamEvent::Usage(usage::read(&self.usage)));
        }
        let mut more = fields.rest()?;
        more.extend(event.context_management.map(|value| ("context_management".to_owned(), value)));
        let extras = response::choice_extras(more);
        if !extras.is_empty() {
            out.push(StreamEvent::ChoiceExtras { choice: 0, extras });
        }
        if let Some(reason) = stop_reason.filter(|_| !self.finished) {
            self.finished = true;
            self.close_all(out);
            out.push(StreamEvent::Finish { choice: 0, finish: finish::read(&reason, stop_sequence) });
        }
        Ok(())
    }

    fn start_block(&mut self, event: &Event<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        if self.finished {
            return Ok(());
        }
        let Some(raw) = event.content_block else {
            return Err(DecodeError::new(FORMAT, "/content_block", "is missing"));
        };
        let index = event.index.unwrap_or_else(|| u64::from(self.next));
        // A start without a stop before it: what was open under the same index is over.
        if let Some(at) = self.open.iter().position(|block| block.index == index) {
            let block = self.open.remove(at);
            close(block, out);
        }
        let Block::Part(part) = blocks_in::block(raw, Source::Provider)? else { return Ok(()) };
        // A block that is told only when it is whole, and whose stop got lost, stands before this one.
        while let Some(at) = self.open.iter().position(|block| matches!(block.body, Body::Native { .. })) {
            let block = self.open.remove(at);
            close(block, out);
        }
        let id = self.next;
        self.next = self.next.saturating_add(1);
        let body = open(id, part, out);
        self.open.push(OpenBlock { index, part: id, body });
        Ok(())
    }

    fn delta(&mut self, event: &Event<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let (Some(at), Some(raw)) = (self.position(event.index), event.delta) else { return Ok(()) };
        let Some(block) = self.open.get_mut(at) else { return Ok(()) };
        let id = block.part;
        if let Body::Native { part, input } = &mut block.body {
            return grow_native(part, input, raw);
        }
        let delta: BlockDelta = read(FORMAT, raw)?;
        if let (Body::Call { grew, .. }, Some(json)) = (&mut block.body, &delta.partial_json) {
            *grew |= !json.is_empty();
        }
        let delta = match delta {
            BlockDelta { text: Some(text), .. } => Delta::Text(text),
            BlockDelta { partial_json: Some(json), .. } => Delta::Arguments(json),
            BlockDelta { thinking: Some(text), .. } => Delta::Text(text),
            BlockDelta { signature: Some(data), .. } => signature(data),
            BlockDelta { citation: Some(whole), .. } => Delta::Citation(Box::new(blocks_in::citation(whole))),
            _ => {
                let mut fields: Map<String, Value> = read(FORMAT, raw)?;
                fields.shift_remove("type");
                Delta::Extras(Extras::new(FORMAT, fields))
            }
        };
        if !block.body.grows_by(&delta) {
            // Meant for another block, which there is not: as a delta without a block.
            return Ok(());
        }
        let empty = matches!(&delta, Delta::Text(text) | Delta::Arguments(text) if text.is_empty());
        if !empty && !matches!(&delta, Delta::Extras(extras) if extras.is_empty()) {
            out.push(StreamEvent::PartDelta { id, delta });
        }
        Ok(())
    }

    /// The open block with this index; without one, or with one that never began, the latest.
    fn position(&self, index: Option<u64>) -> Option<usize> {
        match index {
            Some(index) => self.open.iter().position(|block| block.index == index),
            None => self.open.len().checked_sub(1),
        }
    }

    fn close_all(&mut self, out: &mut Vec<StreamEvent>) {
        for block in self.open.drain(..) {
            close(block, out);
        }
    }

    fn end(&mut self, out: &mut Vec<StreamEvent>) {
        self.close_all(out);
        self.done = true;
        out.push(StreamEvent::End);
    }

    fn fail(&mut self, error: ApiError, out: &mut Vec<StreamEvent>) {
        self.close_all(out);
        self.done = true;
        out.push(StreamEvent::Error(error));
    }
}

fn signature(data: String) -> Delta {
    Delta::Opaque(Opaque { kind: OpaqueKind::Signature, format: FORMAT, data })
}

/// Opens a block: says what kind of part it is and what its start already holds.
fn open(id: PartId, part: Part, out: &mut Vec<StreamEvent>) -> Body {
    let Part { content, cache: _, item_id, extras } = part;
    let mut start = |head: PartHead| out.push(StreamEvent::PartStart { id, choice: 0, head, item_id: item_id.clone() });
    let mut deltas = Vec::new();
    let body = match content {
        Content::Text(Text { text, citations }) => {
            start(PartHead::Text);
            deltas.push(Delta::Text(text));
            deltas.extend(citations.into_iter().map(|citation| Delta::Citation(Box::new(citation))));
            Body::Text
        }
        Content::Reasoning(ReasoningPart { text, opaque, .. }) => {
            start(PartHead::Reasoning);
            deltas.push(Delta::Text(text));
            deltas.extend(opaque.map(Delta::Opaque));
            Body::Thinking
        }
        Content::ToolCall(ToolCall { id: call_id, name, arguments, .. }) => {
            start(PartHead::ToolCall { id: call_id, name, namespace: None, kind: ToolCallKind::Function });
            let started_with = Some(arguments).filter(|arguments| !is_empty_object(arguments));
            Body::Call { started_with, grew: false }
        }
        // Server tools and their results; media, of which nothing streams.
        content => return Body::Native { part: Part { extras, ..Part::new(content) }, input: String::new() },
    };
    if !extras.is_empty() {
        deltas.push(Delta::Extras(extras));
    }
    let said = deltas.into_iter().filter(|delta| !matches!(delta, Delta::Text(text) if text.is_empty()));
    out.extend(said.map(|delta| StreamEvent::PartDelta { id, delta }));
    body
}

fn is_empty_object(json: &str) -> bool {
    json.bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"{}")
}

fn close(block: OpenBlock, out: &mut Vec<StreamEvent>) {
    let id = block.part;
    match block.body {
        Body::Text | Body::Thinking => out.push(StreamEvent::PartEnd { id }),
        Body::Call { started_with, grew } => {
            if let Some(arguments) = started_with.filter(|_| !grew) {
                out.push(StreamEvent::PartDelta { id, delta: Delta::Arguments(arguments) });
            }
            out.push(StreamEvent::PartEnd { id });
        }
        Body::Native { mut part, input } => {
            settle_input(&mut part, &input);
            out.extend(StreamEvent::whole(id, 0, part));
        }
    }
}

/// Puts the collected input of a server tool's call into the block.
fn settle_input(part: &mut Part, input: &str) {
    if let Content::Native(native) = &mut part.content
        && let Some(block) = native.value.as_object_mut()
        && !input.is_empty()
    {
        // A cut input is no JSON: its text is kept rather than nothing.
        let value = serde_json::from_str(input).unwrap_or_else(|_| Value::String(input.to_owned()));
        block.insert("input".into(), value);
    }
}

/// Adds a delta to a block that is collected. `input_json_delta` is text for `input`; any other field grows by what it is: text is appended,
/// everything else replaces.
fn grow_native(part: &mut Part, input: &mut String, raw: &RawValue) -> Result<(), DecodeError> {
    let delta: Map<String, Value> = read(FORMAT, raw)?;
    let Content::Native(native) = &mut part.content else { return Ok(()) };
    let Some(block) = native.value.as_object_mut() else { return Ok(()) };
    for (name, value) in delta {
        match (name.as_str(), value) {
            ("type", _) => {}
            ("partial_json", Value::String(json)) => input.push_str(&json),
            ("citation", citation) => match block.get_mut("citations") {
                Some(Value::Array(list)) => list.push(citation),
                _ => drop(block.insert("citations".into(), Value::Array(vec![citation]))),
            },
            (_, Value::String(more)) => match block.get_mut(&name) {
                Some(Value::String(text)) => text.push_str(&more),
                _ => drop(block.insert(name, Value::String(more))),
            },
            (_, value) => drop(block.insert(name, value)),
        }
    }
    Ok(())
}
