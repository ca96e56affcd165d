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
    /// Events are counted but not written: a whole answer is wanted.
    pub(super) silent: bool,
}

impl Writer {
    fn open(&mut self, out: &mut Vec<u8>, kind: &str) {
        write_raw(out, format_args!("event: {kind}\ndata: {{\"type\":"));
        write_json(out, &kind);
        write_raw(out, format_args!(",\"sequence_number\":{}", self.next));
        self.next += 1;
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
        if self.silent {
            return;
        }
        self.open(out, kind);
        Self::address(out, at);
        Self::field(out, field.0, &field.1);
        if let Some(logprobs) = logprobs {
            Self::field(out, "logprobs", logprobs);
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// An event about a part of an item.
    pub(super) fn at(&mut self, out: &mut Vec<u8>, kind: &str, at: Address<'_>, fields: &[(&str, &Value)]) {
        if self.silent {
            return;
        }
        self.open(out, kind);
        Self::address(out, at);
        for (name, value) in fields {
            Self::field(out, name, value);
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// An event about an item.
    pub(super) fn item(&mut self, out: &mut Vec<u8>, kind: &str, output_index: usize, item: &Value) {
        if self.silent {
            return;
        }
        self.open(out, kind);
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
        if self.silent {
            return;
        }
        self.open(out, kind);
        for (name, value) in fields {
            Self::field(out, name, value);
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// An event that holds the response object.
    pub(super) fn response(&mut self, out: &mut Vec<u8>, kind: &str, response: &Fields) {
        if self.silent {
            return;
        }
        self.open(out, kind);
        Self::field(out, "response", response);
        out.extend_from_slice(b"}\n\n");
    }
}
