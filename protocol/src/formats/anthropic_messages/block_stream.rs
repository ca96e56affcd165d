//! One block of a client's stream, from its first piece to its stop.

use serde_json::{Map, Value};

use super::blocks_out::{BlockWriter, Reader};
use super::stream_out::event;
use super::{FORMAT, carrier, response};
use crate::ir::{Delta, Loss, Opaque, OpaqueKind, ToolCallKind};
use crate::json::{self, Object};
use crate::opaque;

/// A block that is being written.
#[derive(Debug)]
pub(super) struct BlockStream {
    kind: Kind,
    /// The number of the block, once its start is written.
    index: Option<u64>,
    /// This format's own fields beside the known ones, for the start.
    extras: Map<String, Value>,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thinking {
        /// Written at the end: a second signature replaces the first.
        signature: Option<Opaque>,
        /// The number of the last summary that was written.
        summary: Option<u32>,
    },
    ToolUse {
        id: String,
        name: String,
        kind: ToolCallKind,
        /// A signature that came when the block had begun: written behind it.
        late: Option<Opaque>,
    },
    /// Everything is written.
    Spent,
}

impl BlockStream {
    fn new(kind: Kind) -> Self {
        Self { kind, index: None, extras: Map::new() }
    }

    pub(super) fn text() -> Self {
        Self::new(Kind::Text)
    }

    pub(super) fn thinking() -> Self {
        Self::new(Kind::Thinking { signature: None, summary: None })
    }

    pub(super) fn tool_use(id: String, name: String, kind: ToolCallKind) -> Self {
        Self::new(Kind::ToolUse { id, name, kind, late: None })
    }

    pub(super) fn spent() -> Self {
        Self::new(Kind::Spent)
    }

    pub(super) fn is_spent(&self) -> bool {
        matches!(self.kind, Kind::Spent)
    }

    /// Whether it is a call that the client has to answer.
    pub(super) fn is_call(&self) -> bool {
        matches!(self.kind, Kind::ToolUse { .. }) && response::is_direct(&self.extras)
    }

    /// Whether it is thinking that shows nothing and holds another format's blob (Gemini signs the end of its text): worth a block only if
    /// something comes after it, since clients show the last block as the answer.
    pub(super) fn is_afterthought(&self) -> bool {
        let foreign = |blob: &Opaque| blob.format != FORMAT && blob.kind == OpaqueKind::Signature;
        self.index.is_none() && matches!(&self.kind, Kind::Thinking { signature: Some(blob), .. } if foreign(blob))
    }

    /// Whether its end writes anything. A text without a piece leaves none.
    pub(super) fn leaves_trace(&self) -> bool {
        match self.kind {
            Kind::Text => self.index.is_some(),
            Kind::Thinking { .. } | Kind::ToolUse { .. } => true,
            Kind::Spent => false,
        }
    }

    /// Writes one piece.
    pub(super) fn push(&mut self, delta: &Delta, next: &mut u64, out: &mut Vec<u8>, losses: &mut Vec<Loss>) {
        match delta {
            Delta::Text(text) if text.is_empty() => {}
            Delta::Text(text) => {
                let name = if matches!(self.kind, Kind::Text) { "text" } else { "thinking" };
                if !matches!(self.kind, Kind::ToolUse { .. }) {
                    self.grow(next, out, &format!("{name}_delta"), name, text);
                }
            }
            Delta::Summary { index, text } => self.summary(*index, text, next, out),
            Delta::Arguments(json) if json.is_empty() => {}
            Delta::Arguments(arguments) => self.arguments(arguments, next, out),
            Delta::Opaque(opaque) => self.opaque(opaque, next, out),
            Delta::Citation(source) => {
                let mut writer = BlockWriter { reader: Reader::Client, losses };
                let citation = writer.citation(source, &|name| format!("choices[0].parts[].{name}"));
                if let (Some(citation), Kind::Text) = (citation, &self.kind) {
                    let index = self.begin(next, out);
                    event(out, "content_block_delta", index, |o| {
                        o.object("delta", |o| {
                            o.value("type", "citations_delta");
                            o.value("citation", &citation);
                        });
                    });
                }
            }
            Delta::Extras(extras) => match extras.for_format(FORMAT) {
                Some(own) if self.index.is_none() => self.extras.extend(own.clone()),
                Some(own) => {
                    let late = |name| Loss::new(format!("choices[0].parts[].extras.{name}"), FORMAT, "came too late");
                    losses.extend(own.keys().map(late));
                }
                None => {}
            },
            Delta::ItemId(_) => {}
        }
    }

    /// Writes what is still to be said, and the stop.
    pub(super) fn end(&mut self, next: &mut u64, out: &mut Vec<u8>) {
        let index = self.begin(next, out);
        match std::mem::replace(&mut self.kind, Kind::Spent) {
            Kind::Thinking { signature, .. } => {
                let blob = signature.map(|blob| opaque::wrap(&blob, FORMAT)).unwrap_or_default();
                signature_delta(out, index, &blob);
                stop(out, index);
            }
            Kind::ToolUse { id, kind, late, .. } => {
                if kind == ToolCallKind::Custom {
                    partial_json(out, index, "\"}");
                }
                stop(out, index);
                if let Some(late) = late {
                    signature_block(out, next, &id, &late);
                }
            }
            Kind::Text => stop(out, index),
            Kind::Spent => {}
        }
    }

    /// Writes the start, if it is not there yet.
    fn begin(&mut self, next: &mut u64, out: &mut Vec<u8>) -> u64 {
        if let Some(index) = self.index {
            return index;
        }
        let index = *next;
        *next = index.saturating_add(1);
        self.index = Some(index);
        event(out, "content_block_start", index, |o| o.object("content_block", |o| self.head(o)));
        if matches!(self.kind, Kind::ToolUse { kind: ToolCallKind::Custom, .. }) {
            partial_json(out, index, "{\"input\":\"");
        }
        index
    }

    fn head(&self, o: &mut Object<'_>) {
        match &self.kind {
            Kind::Text | Kind::Spent => {
                o.value("type", "text");
                o.value("text", "");
            }
            Kind::Thinking { .. } => {
                o.value("type", "thinking");
                o.value("thinking", "");
                o.value("signature", "");
            }
            Kind::ToolUse { id, name, .. } => {
                o.value("type", "tool_use");
                o.value("id", id);
                o.value("name", name);
                o.raw("input", "{}");
            }
        }
        o.fields(&self.extras);
    }

    fn grow(&mut self, next: &mut u64, out: &mut Vec<u8>, kind: &str, field: &str, text: &str) {
        let index = self.begin(next, out);
        delta(out, index, kind, field, text);
    }

    /// Summaries are shown as thinking, with a blank line between two of them.
    fn summary(&mut self, number: u32, text: &str, next: &mut u64, out: &mut Vec<u8>) {
        let Kind::Thinking { summary, .. } = &mut self.kind else { return };
        let gap = summary.replace(number).is_some_and(|last| last != number);
        if gap {
            self.grow(next, out, "thinking_delta", "thinking", "\n\n");
        }
        if !text.is_empty() {
            self.grow(next, out, "thinking_delta", "thinking", text);
        }
    }

    fn arguments(&mut self, arguments: &str, next: &mut u64, out: &mut Vec<u8>) {
        let Kind::ToolUse { kind, .. } = self.kind else { return };
        let index = self.begin(next, out);
        if kind == ToolCallKind::Function {
            return partial_json(out, index, arguments);
        }
        // Free text goes into the one string argument: escaped, without the quotes.
        let mut quoted = Vec::new();
        json::value(&mut quoted, arguments);
        let quoted = String::from_utf8_lossy(&quoted);
        let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        partial_json(out, index, inner);
    }

    fn opaque(&mut self, blob: &Opaque, next: &mut u64, out: &mut Vec<u8>) {
        let begun = self.index.is_some();
        match &mut self.kind {
            Kind::Thinking { .. } if !begun && blob.kind == OpaqueKind::Redacted => {
                let index = *next;
                *next = index.saturating_add(1);
                event(out, "content_block_start", index, |o| {
                    o.object("content_block", |o| {
                        o.value("type", "redacted_thinking");
                        o.value("data", &opaque::wrap(blob, FORMAT));
                    });
                });
                stop(out, index);
                self.kind = Kind::Spent;
            }
            Kind::Thinking { signature, .. } => *signature = Some(blob.clone()),
            Kind::ToolUse { id, .. } if !begun => signature_block(out, next, id, blob),
            Kind::ToolUse { late, .. } => *late = Some(blob.clone()),
            Kind::Text | Kind::Spent => {}
        }
    }
}

/// A thinking block that carries another maker's signature on a call.
fn signature_block(out: &mut Vec<u8>, next: &mut u64, call_id: &str, blob: &Opaque) {
    let index = *next;
    *next = index.saturating_add(1);
    event(out, "content_block_start", index, |o| {
        o.object("content_block", |o| {
            o.value("type", "thinking");
            o.value("thinking", "");
            o.value("signature", "");
        });
    });
    signature_delta(out, index, &carrier::pack(call_id, blob));
    stop(out, index);
}

fn signature_delta(out: &mut Vec<u8>, index: u64, blob: &str) {
    if !blob.is_empty() {
        delta(out, index, "signature_delta", "signature", blob);
    }
}

fn partial_json(out: &mut Vec<u8>, index: u64, json: &str) {
    delta(out, index, "input_json_delta", "partial_json", json);
}

fn delta(out: &mut Vec<u8>, index: u64, kind: &str, field: &str, text: &str) {
    event(out, "content_block_delta", index, |o| {
        o.object("delta", |o| {
            o.value("type", kind);
            o.value(field, text);
        });
    });
}

fn stop(out: &mut Vec<u8>, index: u64) {
    event(out, "content_block_stop", index, |_| {});
}
