//! Framed events toward a client, numbered from 0.
//!
//! `event:` repeats the `type`, as the inventor writes it. Deltas, which are nearly all of a stream, are written without building a
//! JSON tree.

use serde_json::Value;

use super::envelope::{write_json, write_raw};
use super::take::Fields;

/// Where an event belongs: the item, and the content part, summary or annotation inside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address<'a> {
    /// `item_id`.
    pub(super) item_id: &'a str,
    /// `output_index`.
    pub(super) output_index: usize,
    /// `content_index` or `summary_index`, by name.
    pub(super) inner: Option<(&'static str, usize)>,
}

/// Writes events.
#[derive(Debug, Default)]
pub(super) struct Writer {
    next: u64,
    /// Events before this number are counted but not written: the client has them, or wants the whole answer alone.
    pub(super) from: u64,
}

impl Writer {
    /// Counts an event, and begins it unless it is left out.
    fn open(&mut self, out: &mut Vec<u8>, kind: &str) -> bool {
        let number = self.next;
        self.next += 1;
        if number < self.from {
            return false;
        }
        write_raw(out, format_args!("event: {kind}\ndata: {{\"type\":"));
        write_json(out, &kind);
        write_raw(out, format_args!(",\"sequence_number\":{number}"));
        true
    }

    fn address(out: &mut Vec<u8>, address: Address<'_>) {
        out.extend_from_slice(b",\"item_id\":");
        write_json(out, &address.item_id);
        write_raw(out, format_args!(",\"output_index\":{}", address.output_index));
        if let Some((name, index)) = address.inner {
            write_raw(out, format_args!(",\"{name}\":{index}"));
        }
    }

    fn field(out: &mut Vec<u8>, name: &str, value: &impl serde::Serialize) {
        out.push(b',');
        write_json(out, &name);
        out.push(b':');
        write_json(out, value);
    }

    /// An event whose fields are one piece of text: all deltas, and `…done` events.
    pub(super) fn text(
        &mut self,
        out: &mut Vec<u8>,
        kind: &str,
        at: Address<'_>,
        field: (&str, &str),
        logprobs: Option<&Value>,
    ) {
        if !self.open(out, kind) {
            return;
        }
        Self::address(out, at);
        Self::field(out, field.0, &field.1);
        if let Some(logprobs) = logprobs {
            Self::field(out, "logprobs", logprobs);
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// An event about a part of an item.
    pub(super) fn at(&mut self, out: &mut Vec<u8>, kind: &str, at: Address<'_>, fields: &[(&str, &Value)]) {
        if !self.open(out, kind) {
            return;
        }
        Self::address(out, at);
        for (name, value) in fields {
            Self::field(out, name, value);
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// An event about an item.
    pub(super) fn item(&mut self, out: &mut Vec<u8>, kind: &str, output_index: usize, item: &Value) {
        if !self.open(out, kind) {
            return;
        }
        write_raw(out, format_args!(",\"output_index\":{output_index}"));
        Self::field(out, "item", item);
        out.extend_from_slice(b"}\n\n");
    }

    /// An event of any other fields.
    pub(super) fn fields<'a>(
        &mut self,
        out: &mut Vec<u8>,
        kind: &str,
        fields: impl Iterator<Item = (&'a String, &'a Value)>,
    ) {
        if !self.open(out, kind) {
            return;
        }
        for (name, value) in fields {
            Self::field(out, name, value);
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// An event that holds the response object.
    pub(super) fn response(&mut self, out: &mut Vec<u8>, kind: &str, response: &Fields) {
        if !self.open(out, kind) {
            return;
        }
        Self::field(out, "response", response);
        out.extend_from_slice(b"}\n\n");
    }
}
