//! Streams of a provider → events.
//!
//! `messageStart`, then per block deltas between an optional start (tools only: text and thinking have none) and a stop, then `messageStop`, then
//! `metadata` with the counters, which ends the stream.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{FORMAT, STRUCTURED_TOOL, blocks_in, error, finish, response, usage};
use crate::DecodeError;
use crate::format::StreamDecoder;
use crate::framing::Frame;
use crate::ir::{
    Content, Delta, Extras, Native, Opaque, OpaqueKind, Part, PartHead, PartId, StreamEvent, ToolCallKind,
};

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct StreamIn {
    open: Vec<OpenBlock>,
    next: PartId,
    calls: bool,
    structured: bool,
    /// Something was told already: a start that comes now comes too late.
    begun: bool,
    finished: bool,
    done: bool,
}

#[derive(Debug)]
struct OpenBlock {
    index: u64,
    part: PartId,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Reasoning,
    Call,
    /// The forced tool of a structured answer: its input is the text.
    Structured,
    /// A tool that the provider runs, or its result: collected, given whole at its end.
    Native {
        key: String,
        value: Map<String, Value>,
        input: String,
    },
}

/// Any event; which fields are there depends on its type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(default)]
    content_block_index: u64,
    #[serde(default)]
    start: Option<Map<String, Value>>,
    #[serde(default)]
    delta: Option<BlockDelta>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool_use: Option<InputDelta>,
    #[serde(default)]
    reasoning_content: Option<ReasoningDelta>,
    #[serde(default)]
    citation: Option<Map<String, Value>>,
    #[serde(default)]
    tool_result: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct InputDelta {
    #[serde(default)]
    input: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningDelta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    redacted_content: Option<String>,
}

impl StreamDecoder for StreamIn {
    fn feed(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        if self.done {
            return Ok(());
        }
        if frame.exception {
            self.close_all(out);
            self.done = true;
            out.push(StreamEvent::Error(error::exception(frame.event.unwrap_or_default(), frame.data)));
            return Ok(());
        }
        let told = out.len();
        let outcome = self.event(frame, out);
        self.begun |= out.len() > told;
        outcome
    }

    fn finish(&mut self, _out: &mut Vec<StreamEvent>) {
        // `metadata` is reported when it comes; without it the stream was cut.
    }
}

impl StreamIn {
    fn event(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let name: Cow<'_, str> = frame.event.unwrap_or_default().into();
        let read = || serde_json::from_slice::<Event>(frame.data).map_err(|error| DecodeError::json(FORMAT, &error));
        match name.as_ref() {
            "contentBlockDelta" => self.delta(read()?, out),
            "contentBlockStart" => self.start(read()?, out),
            "contentBlockStop" => self.stop(read()?.content_block_index, out),
            "messageStart" if self.begun => {}
            "messageStart" => {
                out.push(StreamEvent::Start { id: None, model: None, created: None, extras: Extras::NONE });
            }
            "messageStop" => self.message_stop(frame.data, read()?, out)?,
            "metadata" => self.metadata(frame.data, read()?, out)?,
            _ => {
                let mut value: Value =
                    serde_json::from_slice(frame.data).map_err(|error| DecodeError::json(FORMAT, &error))?;
                if let Some(fields) = value.as_object_mut() {
                    fields.shift_remove("p");
                }
                out.push(StreamEvent::Raw { format: FORMAT, value: json!({ name.as_ref(): value }) });
            }
        }
        Ok(())
    }

    fn start(&mut self, event: Event, out: &mut Vec<StreamEvent>) {
        if self.finished {
            return;
        }
        self.stop(event.content_block_index, out);
        let Some((key, value)) = event.start.unwrap_or_default().into_iter().find(|(_, value)| !value.is_null()) else {
            return;
        };
        let Value::Object(mut value) = value else { return };
        let native = value.get("type").is_some_and(|kind| kind != "tool_use") || key != "toolUse";
        if native {
            self.open(event.content_block_index, Kind::Native { key, value, input: String::new() });
            return;
        }
        let mut text = |name: &str| match value.shift_remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let (call_id, name) = (text("toolUseId"), text("name"));
        let (kind, head) = if name == STRUCTURED_TOOL {
            self.structured = true;
            (Kind::Structured, PartHead::Text)
        } else {
            self.calls = true;
            (Kind::Call, PartHead::ToolCall { id: call_id, name, namespace: None, kind: ToolCallKind::Function })
        };
        let id = self.open(event.content_block_index, kind);
        out.push(StreamEvent::PartStart { id, choice: 0, head, item_id: None });
    }

    fn open(&mut self, index: u64, kind: Kind) -> PartId {
        let part = self.next;
        self.next = self.next.saturating_add(1);
        self.open.push(OpenBlock { index, part, kind });
        part
    }

    /// The open part of a block that has no start; begins it if need be. Another kind under the same index begins a new part.
    fn part(&mut self, index: u64, reasoning: bool, out: &mut Vec<StreamEvent>) -> PartId {
        let found = self.open.iter().find(|block| block.index == index);
        if let Some(OpenBlock { part, kind, .. }) = found
            && matches!((kind, reasoning), (Kind::Text, false) | (Kind::Reasoning, true))
        {
            return *part;
        }
        self.stop(index, out);
        let (kind, head) =
            if reasoning { (Kind::Reasoning, PartHead::Reasoning) } else { (Kind::Text, PartHead::Text) };
        let id = self.open(index, kind);
        out.push(StreamEvent::PartStart { id, choice: 0, head, item_id: None });
        id
    }

    fn delta(&mut self, event: Event, out: &mut Vec<StreamEvent>) {
        let (index, Some(delta)) = (event.content_block_index, event.delta) else { return };
        if self.finished {
            return;
        }
        if let Some(text) = delta.text {
            let id = self.part(index, false, out);
            push(out, id, Delta::Text(text));
        }
        if let Some(whole) = delta.citation {
            let id = self.part(index, false, out);
            push(out, id, Delta::Citation(Box::new(blocks_in::citation(whole))));
        }
        if let Some(InputDelta { input }) = delta.tool_use {
            self.input(index, input, out);
        }
        if let Some(thought) = delta.reasoning_content {
            self.reasoning(index, thought, out);
        }
        if let Some(mut pieces) = delta.tool_result
            && let Some(Kind::Native { value, .. }) = self.kind(index)
            && let Some(content) = value.entry("content").or_insert_with(|| json!([])).as_array_mut()
        {
            content.append(&mut pieces);
        }
    }

    fn kind(&mut self, index: u64) -> Option<&mut Kind> {
        self.open.iter_mut().find(|block| block.index == index).map(|block| &mut block.kind)
    }

    fn input(&mut self, index: u64, input: Value, out: &mut Vec<StreamEvent>) {
        // Fragments are text; some hosts give the object whole.
        let fragment = match input {
            Value::String(text) => text,
            Value::Null => return,
            whole => whole.to_string(),
        };
        let Some(OpenBlock { part, kind, .. }) = self.open.iter_mut().find(|block| block.index == index) else {
            return;
        };
        match kind {
            Kind::Call => push(out, *part, Delta::Arguments(fragment)),
            Kind::Structured => push(out, *part, Delta::Text(fragment)),
            Kind::Native { input, .. } => input.push_str(&fragment),
            Kind::Text | Kind::Reasoning => {}
        }
    }

    fn reasoning(&mut self, index: u64, thought: ReasoningDelta, out: &mut Vec<StreamEvent>) {
        let id = self.part(index, true, out);
        let blob = |kind, data| Delta::Opaque(Opaque { kind, format: FORMAT, data });
        if let Some(text) = thought.text {
            push(out, id, Delta::Text(text));
        }
        if let Some(data) = thought.signature.filter(|data| !data.is_empty()) {
            push(out, id, blob(OpaqueKind::Signature, data));
        }
        if let Some(data) = thought.redacted_content {
            push(out, id, blob(OpaqueKind::Redacted, data));
        }
    }

    fn stop(&mut self, index: u64, out: &mut Vec<StreamEvent>) {
        if let Some(at) = self.open.iter().position(|block| block.index == index) {
            close(self.open.remove(at), out);
        }
    }

    fn close_all(&mut self, out: &mut Vec<StreamEvent>) {
        self.open.drain(..).for_each(|block| close(block, out));
    }

    fn message_stop(&mut self, data: &[u8], event: Event, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        if self.finished {
            return Ok(());
        }
        self.close_all(out);
        self.finished = true;
        beside(data, &["stopReason"], out)?;
        let finish = finish::read(event.stop_reason.as_deref().unwrap_or("end_turn"));
        let finish = response::structured_finish(finish, self.structured && !self.calls);
        out.push(StreamEvent::Finish { choice: 0, finish });
        Ok(())
    }

    fn metadata(&mut self, data: &[u8], event: Event, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        if let Some(raw) = event.usage {
            out.push(StreamEvent::Usage(usage::read(&raw)));
        }
        beside(data, &["usage"], out)?;
        if self.finished {
            self.done = true;
            out.push(StreamEvent::End);
        }
        Ok(())
    }
}

fn push(out: &mut Vec<StreamEvent>, id: PartId, delta: Delta) {
    if !matches!(&delta, Delta::Text(text) | Delta::Arguments(text) if text.is_empty()) {
        out.push(StreamEvent::PartDelta { id, delta });
    }
}

fn close(block: OpenBlock, out: &mut Vec<StreamEvent>) {
    let id = block.part;
    let Kind::Native { key, mut value, input } = block.kind else {
        return out.push(StreamEvent::PartEnd { id });
    };
    if key == "toolUse" {
        let read = if input.is_empty() { Ok(json!({})) } else { serde_json::from_str(&input) };
        value.insert("input".into(), read.unwrap_or(Value::String(input)));
    }
    let content = Content::Native(Native { format: FORMAT, kind: key.clone(), value: json!({ key: value }) });
    out.extend(StreamEvent::whole(id, 0, Part::new(content)));
}

/// What an event of the envelope says beyond the known fields.
fn beside(data: &[u8], known: &[&str], out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(data).map_err(|error| DecodeError::json(FORMAT, &error))?;
    fields.retain(|name, _| !known.contains(&name.as_str()));
    let extras = response::choice_extras(fields);
    if !extras.is_empty() {
        out.push(StreamEvent::ChoiceExtras { choice: 0, extras });
    }
    Ok(())
}
