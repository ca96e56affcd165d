//! One event of a stream as it is read: the fields that all events share. What is whole stays a tree.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Any event.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    /// Which.
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Cow<'a, str>>,
    /// Number of the item.
    #[serde(default)]
    pub(super) output_index: Option<u64>,
    /// Number of the content part inside a message.
    #[serde(default)]
    pub(super) content_index: Option<u64>,
    /// Number of the summary inside a reasoning item.
    #[serde(default)]
    pub(super) summary_index: Option<u32>,
    /// More of something.
    #[serde(borrow, default)]
    pub(super) delta: Option<Cow<'a, str>>,
    /// The whole text, in `….done`.
    #[serde(borrow, default)]
    pub(super) text: Option<Cow<'a, str>>,
    /// The whole refusal.
    #[serde(borrow, default)]
    pub(super) refusal: Option<Cow<'a, str>>,
    /// The whole arguments.
    #[serde(borrow, default)]
    pub(super) arguments: Option<Cow<'a, str>>,
    /// The whole free text of a custom call.
    #[serde(borrow, default)]
    pub(super) input: Option<Cow<'a, str>>,
    /// An item as it begins or as it ended.
    #[serde(default)]
    pub(super) item: Option<Map<String, Value>>,
    /// A content part as it begins or as it ended.
    #[serde(default)]
    pub(super) part: Option<Value>,
    /// A source of a text.
    #[serde(default)]
    pub(super) annotation: Option<Value>,
    /// The answer so far, or whole.
    #[serde(default)]
    pub(super) response: Option<Map<String, Value>>,
}
