//! Events of a stream, as serde reads them: borrowed where nothing is escaped, because one of these is read for every token.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// One event, flat: which fields are there depends on `type`.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    /// The kind of event.
    #[serde(borrow, default)]
    pub(super) r#type: Cow<'a, str>,
    /// The block that the event belongs to. Some hosts leave it out.
    #[serde(default)]
    pub(super) index: Option<u64>,
    /// `content_block_delta` and `message_delta`.
    #[serde(borrow, default)]
    pub(super) delta: Option<&'a RawValue>,
    /// `content_block_start`.
    #[serde(borrow, default)]
    pub(super) content_block: Option<&'a RawValue>,
    /// `message_start`.
    #[serde(borrow, default)]
    pub(super) message: Option<&'a RawValue>,
    /// `message_delta`.
    #[serde(default)]
    pub(super) usage: Option<Map<String, Value>>,
    /// `message_delta`: what was edited out of the context.
    #[serde(default)]
    pub(super) context_management: Option<Value>,
}

/// The delta of a block, told by the one field that it has.
#[derive(Debug, Deserialize)]
pub(super) struct BlockDelta {
    /// `text_delta`.
    #[serde(default)]
    pub(super) text: Option<String>,
    /// `input_json_delta`.
    #[serde(default)]
    pub(super) partial_json: Option<String>,
    /// `thinking_delta`.
    #[serde(default)]
    pub(super) thinking: Option<String>,
    /// `signature_delta`.
    #[serde(default)]
    pub(super) signature: Option<String>,
    /// `citations_delta`.
    #[serde(default)]
    pub(super) citation: Option<Map<String, Value>>,
}
