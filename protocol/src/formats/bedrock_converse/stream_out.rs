//! Events → a client's stream, in AWS frames. Blocks follow one another, numbered without gaps.

use serde_json::{Map, Value, json};

use super::blocks_out::foreign_citation;
use super::{FORMAT, error, response, usage};
use crate::format::{ReplyContext, StreamEncoder};
use crate::formats::sequence::{self, Sequence, Step};
use crate::framing::aws;
use crate::ir::{
    Content, Delta, Extras, Finish, FinishReason, Loss, Opaque, OpaqueKind, PartHead, StreamEvent, ToolCallKind, Usage,
};
use crate::json::{Object, object, value};
use crate::{ApiError, opaque};

/// Writes one stream.
#[derive(Debug)]
pub(super) struct StreamOut {
    context: ReplyContext,
    started: bool,
    closed: bool,
    /// The number of the next block.
    index: u64,
    sequence: Sequence,
    block: Option<Block>,
    calls: bool,
    usage: Usage,
    finish: Option<Finish>,
    beside: Map<String, Value>,
    losses: Vec<Loss>,
}

#[derive(Debug)]
struct Block {
    index: u64,
    kind: Kind,
    /// Something of it was written.
    begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning { summary: Option<u32> },
    Call(ToolCallKind),
    Spent,
}

impl StreamOut {
    /// A stream for the client that `context` describes.
    pub(super) fn new(context: ReplyContext) -> Self {
        Self {
            context,
            started: false,
            closed: false,
            index: 0,
            sequence: Sequence::default(),
            block: None,
            calls: false,
            usage: Usage::default(),
            finish: None,
            beside: Map::new(),
            losses: Vec::new(),
        }
    }
}

impl StreamEncoder for StreamOut {
    fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        match event {
            StreamEvent::Start { extras, .. } => response::lose_foreign(extras, "", &mut self.losses),
            StreamEvent::PartStart { choice: 1.., .. } => self.lose("choices[1..]", "there is only one answer"),
            StreamEvent::PartStart { .. } | StreamEvent::PartDelta { .. } | StreamEvent::PartEnd { .. } => {
                let mut sequence = std::mem::take(&mut self.sequence);
                sequence.push(event, &mut |step| self.step(&step, out));
                self.sequence = sequence;
            }
            StreamEvent::Finish { choice: 0, finish } => self.finish = Some(finish.clone()),
            StreamEvent::ChoiceExtras { choice: 0, extras } => self.keep_beside(extras),
            StreamEvent::Finish { .. } | StreamEvent::ChoiceExtras { .. } => {}
            StreamEvent::Usage(usage) => self.usage.update(usage.clone()),
            StreamEvent::Raw { format, value } if *format == FORMAT => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    self.begin(out);
                    write(out, name, |payload| crate::json::value(payload, value));
                }
            }
            StreamEvent::Raw { .. } => self.lose("event", "only its own format understands it"),
            StreamEvent::Error(failure) => self.fail(failure, out),
            StreamEvent::End => self.end(out),
        }
    }

    fn keep_alive(&mut self, _out: &mut Vec<u8>) {
        // The framing has no comment, and clients refuse events that they do not know.
    }

    fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }
}

impl StreamOut {
    fn lose(&mut self, field: &'static str, why: &'static str) {
        let loss = Loss::new(field, FORMAT, why);
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    fn keep_beside(&mut self, extras: &Extras) {
        response::lose_foreign(extras, "choices[0].", &mut self.losses);
        for (name, value) in extras.for_format(FORMAT).into_iter().flatten() {
            self.beside.insert(name.clone(), value.clone());
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            write(out, "messageStart", |payload| value(payload, &json!({ "role": "assistant" })));
        }
    }

    fn step(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match step {
            Step::Open(head) => self.open(head, out),
            Step::Grow(delta) => self.grow(delta, out),
            Step::Close => self.close(out),
        }
    }

    fn open(&mut self, head: &PartHead, out: &mut Vec<u8>) {
        let kind = match head {
            PartHead::Text | PartHead::Refusal => Kind::Text,
            PartHead::Reasoning => Kind::Reasoning { summary: None },
            PartHead::ToolCall { kind, .. } => Kind::Call(*kind),
            PartHead::Whole(content) => {
                self.whole(content, out);
                Kind::Spent
            }
        };
        let mut block = Block { index: self.index, kind, begun: false };
        if let PartHead::ToolCall { id, name, kind, .. } = head {
            self.calls = true;
            self.begin(out);
            let index = usize::try_from(self.index).unwrap_or(usize::MAX);
            let id = if id.is_empty() { response::minted_call_id(index, &self.context) } else { id.clone() };
            start(out, self.index, &json!({ "toolUse": { "toolUseId": id, "name": name } }));
            block.begun = true;
            if *kind == ToolCallKind::Custom {
                input(out, self.index, "{\"input\":\"");
            }
        }
        self.block = Some(block);
    }

    fn grow(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        if let Delta::Extras(extras) = delta {
            response::lose_foreign(extras, "choices[0].parts[].", &mut self.losses);
        }
        let Some(mut block) = self.block.take() else { return };
        self.begin(out);
        if let Err(why) = block.push(delta, out) {
            self.lose("choices[0].parts[]", why);
        }
        self.block = Some(block);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(block) = self.block.take().filter(|block| block.begun) else { return };
        if block.kind == Kind::Call(ToolCallKind::Custom) {
            input(out, block.index, "\"}");
        }
        stop(out, block.index);
        self.index = block.index.saturating_add(1);
    }

    fn whole(&mut self, content: &Content, out: &mut Vec<u8>) {
        if response::client_refusal(content).is_some() || matches!(content, Content::Media(_)) {
            return self.lose("choices[0].parts[]", "cannot be streamed here");
        }
        self.begin(out);
        let Content::Native(native) = content else {
            return sequence::of_whole(content, &mut |step| self.step(&step, out));
        };
        let Some((key, body)) = native.value.as_object().and_then(|block| block.iter().next()) else { return };
        let mut head = body.as_object().cloned().unwrap_or_default();
        let grown = match key.as_str() {
            "toolUse" => head.shift_remove("input").map(|input| json!({ "toolUse": { "input": input.to_string() } })),
            _ => head.shift_remove("content").map(|content| json!({ key: content })),
        };
        let index = self.index;
        start(out, index, &json!({ key: head }));
        if let Some(grown) = grown {
            delta(out, index, |o| o.fields(grown.as_object().into_iter().flatten()));
        }
        stop(out, index);
        self.index = index.saturating_add(1);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let mut sequence = std::mem::take(&mut self.sequence);
        sequence.finish(&mut |step| self.step(&step, out));
        self.closed = true;
        self.begin(out);
        let finish = self.finish.take().unwrap_or_else(|| Finish::new(FinishReason::Stop));
        const AT_STOP: &str = "additionalModelResponseFields";
        write(out, "messageStop", |payload| {
            object(payload, |o| {
                o.value("stopReason", response::stop_reason(&finish, self.calls));
                o.some(AT_STOP, self.beside.get(AT_STOP));
            });
        });
        write(out, "metadata", |payload| {
            object(payload, |o| {
                o.object("usage", |o| usage::write(o, &self.usage));
                if !self.beside.contains_key("metrics") {
                    o.object("metrics", |o| o.value("latencyMs", &0));
                }
                o.fields(self.beside.iter().filter(|(name, _)| *name != AT_STOP));
            });
        });
    }

    fn fail(&mut self, failure: &ApiError, out: &mut Vec<u8>) {
        self.closed = true;
        let mut payload = Vec::new();
        object(&mut payload, |o| o.value("message", &failure.message));
        put(aws::write_exception(out, error::stream_exception(failure.kind), &payload));
    }
}

impl Block {
    /// Writes one piece, or says why it cannot be.
    fn push(&mut self, delta: &Delta, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match (&mut self.kind, delta) {
            (_, Delta::Text(text) | Delta::Arguments(text)) if text.is_empty() => {}
            (Kind::Text, Delta::Text(text)) => self.write(out, |o| o.value("text", text)),
            (Kind::Text, Delta::Citation(source)) => {
                let own = source.extras.for_format(FORMAT).map(|own| Value::Object(own.clone()));
                let source = own.unwrap_or_else(|| foreign_citation(source));
                self.write(out, |o| o.value("citation", &source));
            }
            (Kind::Reasoning { .. }, Delta::Text(text)) => self.thought(out, "text", text),
            (Kind::Reasoning { summary }, Delta::Summary { index, text }) => {
                let gap = summary.replace(*index).is_some_and(|last| last != *index);
                let text = if gap { format!("\n\n{text}") } else { text.clone() };
                self.thought(out, "text", &text);
            }
            (Kind::Reasoning { .. }, Delta::Opaque(blob)) => self.blob(out, blob),
            (Kind::Call(ToolCallKind::Function), Delta::Arguments(json)) => input(out, self.index, json),
            (Kind::Call(ToolCallKind::Custom), Delta::Arguments(text)) => {
                let mut quoted = Vec::new();
                value(&mut quoted, text);
                let quoted = String::from_utf8_lossy(&quoted);
                input(out, self.index, quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
            }
            (Kind::Call(_), Delta::Opaque(_)) => return Err("signature of a call has no place"),
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, out: &mut Vec<u8>, fields: impl FnOnce(&mut Object<'_>)) {
        self.begun = true;
        delta(out, self.index, fields);
    }

    fn thought(&mut self, out: &mut Vec<u8>, field: &str, text: &str) {
        self.write(out, |o| o.object("reasoningContent", |o| o.value(field, text)));
    }

    fn blob(&mut self, out: &mut Vec<u8>, blob: &Opaque) {
        let hidden = blob.kind == OpaqueKind::Redacted && !self.begun;
        let field = if hidden { "redactedContent" } else { "signature" };
        self.thought(out, field, &opaque::wrap(blob, FORMAT));
    }
}

fn write(out: &mut Vec<u8>, name: &str, payload: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::new();
    payload(&mut bytes);
    put(aws::write_event(out, name, &bytes));
}

/// Names are short and payloads are far below 4 GiB, so writing a frame cannot fail.
fn put(written: Result<(), crate::framing::FramingError>) {
    debug_assert!(written.is_ok(), "a frame that is too large");
}

fn start(out: &mut Vec<u8>, index: u64, start: &Value) {
    write(out, "contentBlockStart", |payload| {
        value(payload, &json!({ "contentBlockIndex": index, "start": start }));
    });
}

fn delta(out: &mut Vec<u8>, index: u64, fields: impl FnOnce(&mut Object<'_>)) {
    write(out, "contentBlockDelta", |payload| {
        object(payload, |o| {
            o.value("contentBlockIndex", &index);
            o.object("delta", fields);
        });
    });
}

fn input(out: &mut Vec<u8>, index: u64, json: &str) {
    delta(out, index, |o| o.object("toolUse", |o| o.value("input", json)));
}

fn stop(out: &mut Vec<u8>, index: u64) {
    write(out, "contentBlockStop", |payload| value(payload, &json!({ "contentBlockIndex": index })));
}
