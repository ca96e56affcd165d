//! Events → streams for clients: SSE, or one JSON array where the client did not ask for SSE.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::error;
use crate::format::{ReplyContext, StreamEncoder};
use crate::framing::sse;
use crate::ir::{Loss, StreamEvent};

/// Writes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    context: ReplyContext,
    answer: Answer,
    /// A chunk (or the bracket of the array) went out.
    opened: bool,
    wrote: bool,
    over: bool,
}

impl Encoder {
    /// A writer for one client.
    pub(super) fn new(context: ReplyContext) -> Self {
        Self { context, answer: Answer::default(), opened: false, wrote: false, over: false }
    }

    fn chunk(&mut self, candidates: Vec<Value>, out: &mut Vec<u8>) {
        let mut chunk = Map::new();
        if !candidates.is_empty() {
            chunk.insert("candidates".to_owned(), Value::Array(candidates));
        }
        if !self.wrote || chunk.is_empty() {
            chunk.extend(self.answer.extras.clone());
        }
        chunk.extend(envelope(&self.answer, &self.context));
        self.write(&Value::Object(chunk), out);
        self.wrote = true;
    }

    fn write(&mut self, value: &Value, out: &mut Vec<u8>) {
        if self.context.json_array {
            out.extend_from_slice(match (self.opened, self.wrote) {
                (false, _) => b"[",
                (true, false) => b"",
                (true, true) => b",\r\n",
            });
            out.extend_from_slice(value.to_string().as_bytes());
            out.push(b'\n');
        } else {
            sse::write_event(out, None, value.to_string().as_bytes());
        }
        self.opened = true;
    }
}

/// Fields of the answer beside its candidates.
pub(super) fn envelope(answer: &Answer, context: &ReplyContext) -> Map<String, Value> {
    let mut out = Map::new();
    if let Some(usage) = answer.usage() {
        out.insert("usageMetadata".to_owned(), usage);
    }
    let model = if context.model.is_empty() { answer.model.as_deref() } else { Some(context.model.as_str()) };
    if let Some(model) = model {
        out.insert("modelVersion".to_owned(), model.into());
    }
    let id = answer.id.as_deref().unwrap_or(&context.id);
    if !id.is_empty() {
        out.insert("responseId".to_owned(), id.into());
    }
    out
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        if let Some((choice, part)) = self.answer.take(event) {
            let candidate = json!({"content": {"parts": [part], "role": "model"}, "index": choice});
            self.chunk(vec![candidate], out);
        }
        if let Some((choice, grounding)) = self.answer.fresh_grounding() {
            let content = json!({"parts": [{"text": ""}], "role": "model"});
            self.chunk(vec![json!({"content": content, "groundingMetadata": grounding, "index": choice})], out);
        }
        match event {
            StreamEvent::Error(failure) => {
                self.write(&error::encode(failure), out);
                self.close(out);
            }
            StreamEvent::End => {
                let candidates = self.answer.candidates().into_iter().map(|(choice, fields)| {
                    let mut candidate = json!({"content": {"parts": [{"text": ""}], "role": "model"}});
                    if let Some(candidate) = candidate.as_object_mut() {
                        candidate.extend(fields);
                        candidate.insert("index".to_owned(), choice.into());
                    }
                    candidate
                });
                let candidates = candidates.collect();
                self.chunk(candidates, out);
                self.close(out);
            }
            _ => {}
        }
    }

    /// An empty line: Google's own libraries take a comment for a broken chunk. Before and inside an array it is white space. The array is not
    /// begun here: whoever writes its first element does that, and may be another encoder.
    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        if !self.over {
            out.push(b'\n');
        }
    }

    fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.answer.losses)
    }
}

impl Encoder {
    fn close(&mut self, out: &mut Vec<u8>) {
        if self.context.json_array {
            out.push(b']');
        }
        self.over = true;
    }
}
