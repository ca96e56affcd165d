//! Events → a client's stream.
//!
//! Clients of this format take blocks strictly one after another, numbered without gaps. Parts that interleave are put in line: the one that began
//! first is written as it comes, the others wait. A block begins with its first piece, so that empty parts leave no trace and a
//! part turns out to be `redacted_thinking` in time.

use serde_json::{Map, Value, json};

use super::block_stream::BlockStream;
use super::blocks_out::{BlockWriter, Reader, client_refusal, foreign_losses};
use super::{FORMAT, error, response, usage};
use crate::format::{ReplyContext, StreamEncoder};
use crate::formats::sequence::{self, Sequence, Step};
use crate::framing::sse;
use crate::ir::{Content, Delta, Extras, Finish, FinishReason, Loss, Native, Part, PartHead, StreamEvent, Usage};
use crate::json::{self, Object};

/// Writes one stream.
#[derive(Debug)]
pub(super) struct StreamOut {
    context: ReplyContext,
    start: Option<(Option<String>, Option<String>)>,
    started: bool,
    closed: bool,
    /// The number of the next block.
    index: u64,
    sequence: Sequence,
    /// The block that is being written.
    block: Option<BlockStream>,
    /// A signature after the text, written only if something follows.
    afterthought: Option<BlockStream>,
    calls: bool,
    usage: Usage,
    finish: Option<Finish>,
    beside: Map<String, Value>,
    losses: Vec<Loss>,
}

impl StreamOut {
    /// A stream for the client that `context` describes.
    pub(super) fn new(context: ReplyContext) -> Self {
        Self {
            context,
            start: None,
            started: false,
            closed: false,
            index: 0,
            sequence: Sequence::default(),
            block: None,
            afterthought: None,
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
            StreamEvent::Start { id, model, extras, .. } => {
                foreign_losses(extras, "", &mut self.losses);
                self.start = Some((id.clone(), model.clone()));
            }
            StreamEvent::PartStart { choice: 1.., .. } => {
                self.lose("choices[1..]".to_owned(), "there is only one answer");
            }
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
                self.begin(out);
                let name = value.get("type").and_then(Value::as_str).unwrap_or("message");
                let mut data = Vec::new();
                json::value(&mut data, value);
                sse::write_event(out, Some(name), &data);
            }
            StreamEvent::Raw { .. } => self.lose("event".to_owned(), "only its own format understands it"),
            StreamEvent::Error(error) => {
                self.closed = true;
                sse::write_event(out, Some("error"), &error::encode(error));
            }
            StreamEvent::End => self.end(out),
        }
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        if !self.closed {
            sse::write_event(out, Some("ping"), br#"{"type": "ping"}"#);
        }
    }

    fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }
}

impl StreamOut {
    fn lose(&mut self, field: String, why: &'static str) {
        let loss = Loss::new(field, FORMAT, why);
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    fn keep_beside(&mut self, extras: &Extras) {
        foreign_losses(extras, "choices[0].", &mut self.losses);
        for (name, value) in extras.for_format(FORMAT).into_iter().flatten() {
            self.beside.insert(name.clone(), value.clone());
        }
    }

    /// Writes `message_start`, once. Held until there is something to show, so that counters that came early are in it.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let (id, model) = self.start.take().unwrap_or_default();
        let mut data = Vec::new();
        json::object(&mut data, |o| {
            o.value("type", "message_start");
            o.object("message", |o| {
                o.value("id", &response::message_id(id.as_deref(), &self.context));
                o.value("type", "message");
                o.value("role", "assistant");
                o.value("model", response::shown_model(model.as_deref(), &self.context));
                o.value("content", &[(); 0]);
                o.value("stop_reason", &());
                o.value("stop_sequence", &());
                o.object("usage", |o| usage::write(o, &self.usage));
            });
        });
        sse::write_event(out, Some("message_start"), &data);
    }

    fn step(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match step {
            Step::Open(head) => self.open_part(head, out),
            Step::Grow(delta) => self.grow(delta, out),
            Step::Close => self.close_part(out),
        }
    }

    /// Makes a part the one that is written. A whole part is written at once and waits for its end only.
    fn open_part(&mut self, head: &PartHead, out: &mut Vec<u8>) {
        if let Some(mut held) = self.afterthought.take() {
            held.end(&mut self.index, out);
        }
        let block = match head {
            PartHead::Text | PartHead::Refusal => BlockStream::text(),
            PartHead::Reasoning => BlockStream::thinking(),
            PartHead::ToolCall { id, name, kind, .. } => {
                let index = usize::try_from(self.index).unwrap_or(usize::MAX);
                let id = if id.is_empty() { response::minted_call_id(index, &self.context) } else { id.clone() };
                BlockStream::tool_use(id, name.clone(), *kind)
            }
            PartHead::Whole(content) => {
                self.whole(content, out);
                BlockStream::spent()
            }
        };
        self.block = Some(block);
    }

    fn grow(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        if let Delta::Extras(extras) = delta {
            foreign_losses(extras, "choices[0].parts[].", &mut self.losses);
        }
        let Some(mut block) = self.block.take() else { return };
        if !block.is_spent() {
            self.begin(out);
            block.push(delta, &mut self.index, out, &mut self.losses);
        }
        self.block = Some(block);
    }

    fn close_part(&mut self, out: &mut Vec<u8>) {
        let Some(mut block) = self.block.take() else { return };
        self.calls |= block.is_call();
        if self.index > 0 && block.is_afterthought() {
            self.afterthought = Some(block);
        } else if block.leaves_trace() {
            self.begin(out);
            block.end(&mut self.index, out);
        }
    }

    fn whole(&mut self, content: &Content, out: &mut Vec<u8>) {
        if let Some(why) = client_refusal(content) {
            return self.lose("choices[0].parts[]".to_owned(), why);
        }
        self.begin(out);
        if !matches!(content, Content::Native(_) | Content::Media(_)) {
            return sequence::of_whole(content, &mut |step| self.step(&step, out));
        }
        let index = self.index;
        self.index = index.saturating_add(1);
        let (start, delta) = match content {
            Content::Native(native) if native.format == FORMAT => split_native(native),
            other => (written(other, &mut self.losses), None),
        };
        event(out, "content_block_start", index, |o| o.raw("content_block", &start));
        if let Some(delta) = delta {
            event(out, "content_block_delta", index, |o| o.value("delta", &delta));
        }
        event(out, "content_block_stop", index, |_| {});
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let mut sequence = std::mem::take(&mut self.sequence);
        sequence.finish(&mut |step| self.step(&step, out));
        self.closed = true;
        if self.afterthought.take().is_some() {
            self.lose("choices[0].parts[].opaque".to_owned(), response::AFTERTHOUGHT);
        }
        let finish = self.finish.take().unwrap_or_else(|| Finish::new(FinishReason::Stop));
        if let Some(failure) = response::finish_error(&finish) {
            let failure = crate::ApiError { request_id: self.context.request_id.clone(), ..failure };
            return sse::write_event(out, Some("error"), &error::encode(&failure));
        }
        self.begin(out);
        let mut data = Vec::new();
        json::object(&mut data, |o| self.message_delta(o, &finish));
        sse::write_event(out, Some("message_delta"), &data);
        sse::write_event(out, Some("message_stop"), br#"{"type":"message_stop"}"#);
    }

    fn message_delta(&self, o: &mut Object<'_>, finish: &Finish) {
        // The one field that stands beside the delta and not in it.
        const OUTSIDE: &str = "context_management";
        o.value("type", "message_delta");
        o.object("delta", |o| {
            o.value("stop_reason", response::stop_reason(finish, self.calls));
            o.value("stop_sequence", &finish.stop_sequence);
            o.fields(self.beside.iter().filter(|(name, _)| *name != OUTSIDE));
        });
        o.object("usage", |o| usage::write(o, &self.usage));
        o.some(OUTSIDE, self.beside.get(OUTSIDE));
    }
}

/// Writes one event about a block.
pub(super) fn event(out: &mut Vec<u8>, name: &str, index: u64, write: impl FnOnce(&mut Object<'_>)) {
    let mut data = Vec::new();
    json::object(&mut data, |o| {
        o.value("type", name);
        o.value("index", &index);
        write(o);
    });
    sse::write_event(out, Some(name), &data);
}

fn written(content: &Content, losses: &mut Vec<Loss>) -> String {
    let mut block = Vec::new();
    json::list(&mut block, |list| {
        let mut writer = BlockWriter { reader: Reader::Client, losses };
        writer.part(list, &Part::new(content.clone()), "", &|name| format!("choices[0].parts[].{name}"));
    });
    let text = String::from_utf8_lossy(&block);
    text.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// How a native block goes out: those that stream when the provider makes them start empty.
fn split_native(native: &Native) -> (String, Option<Value>) {
    let mut block = native.value.clone();
    let delta = match (block.get_mut("input"), native.kind.as_str()) {
        (Some(input @ Value::Object(_)), _) => {
            let input = std::mem::replace(input, json!({}));
            Some(json!({ "type": "input_json_delta", "partial_json": input.to_string() }))
        }
        (_, "compaction") => block.get_mut("content").filter(|content| content.is_string()).map(|content| {
            let text = content.take();
            json!({ "type": "compaction_delta", "content": text })
        }),
        _ => None,
    };
    (block.to_string(), delta)
}
