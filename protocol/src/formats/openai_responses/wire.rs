//! One event of a stream as it is read: the fields that all events share. What is whole stays a tree.

use std::borrow::Cow;

use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::{Map, Value};

/// A string that is borrowed from the frame unless it holds escapes. (An `Option<Cow>` would always be copied.)
#[derive(Debug)]
pub(super) struct Words<'a>(Cow<'a, str>);

impl Deref for Words<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Words<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Words<'de>, E> {
                Ok(Words(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Words<'de>, E> {
                Ok(Words(Cow::Owned(text.to_owned())))
            }
        }
        input.deserialize_str(Reader)
    }
}

/// Any event.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    /// Which.
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Words<'a>>,
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
    pub(super) delta: Option<Words<'a>>,
    /// The whole text, in `….done`.
    #[serde(borrow, default)]
    pub(super) text: Option<Words<'a>>,
    /// The whole refusal.
    #[serde(borrow, default)]
    pub(super) refusal: Option<Words<'a>>,
    /// The whole arguments.
    #[serde(borrow, default)]
    pub(super) arguments: Option<Words<'a>>,
    /// The whole free text of a custom call.
    #[serde(borrow, default)]
    pub(super) input: Option<Words<'a>>,
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
