//! Events of a stream.
//!
//! Grammar, checked by [`crate::laws`]:
//! ```text
//! stream  = Start? (part | Finish | Usage | Extra | Raw)* (End | Error)?
//! part    = PartStart{id} PartDelta{id}* PartEnd{id}      ids are unique, parts of several choices may interleave
//! ```
//! `Start` comes first if at all. `Finish` comes at most once a choice, after the last part of that choice has ended. `Usage` is cumulative: a
//! later one [updates](super::Usage::update) the earlier. `End` says that the format's own terminal was seen: a stream without `End` or
//! `Error` was cut, whatever came before.

use serde_json::Value;

use super::{Citation, Content, Extras, Finish, Opaque, Part, ToolCallKind, Usage};
use crate::{ApiError, ApiFormat};

/// Names a part within one stream. Minted by the decoder: 0, 1, 2 … in order of appearance, over all choices.
pub type PartId = u32;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamEvent {
    /// The answer begins.
    Start {
        /// The provider's id.
        id: Option<String>,
        /// The model that answers, in the provider's words.
        model: Option<String>,
        /// Seconds since 1970.
        created: Option<u64>,
        /// Fields of the envelope that the model has no word for.
        extras: Extras,
    },
    /// A part begins.
    PartStart {
        /// The part.
        id: PartId,
        /// The choice that it belongs to.
        choice: u32,
        /// What it is.
        head: PartHead,
        /// [`Part::item_id`] of the part.
        item_id: Option<String>,
    },
    /// A part grows.
    PartDelta {
        /// The part.
        id: PartId,
        /// By what.
        delta: Delta,
    },
    /// A part is whole.
    PartEnd {
        /// The part.
        id: PartId,
    },
    /// A choice ends.
    Finish {
        /// The choice.
        choice: u32,
        /// How.
        finish: Finish,
    },
    /// Counters so far.
    Usage(Usage),
    /// Fields beside a choice (`logprobs`, `content_filter_results` …) that only their own format can carry.
    ChoiceExtras {
        /// The choice.
        choice: u32,
        /// The fields.
        extras: Extras,
    },
    /// Something that only its own format understands and that is no part of the answer.
    Raw {
        /// That format.
        format: ApiFormat,
        /// The whole event.
        value: Value,
    },
    /// The provider reports a failure in the stream. Nothing follows.
    Error(ApiError),
    /// The format's terminal was seen. Nothing follows.
    End,
}

/// What a part is, as far as its start tells.
#[derive(Debug, Clone, PartialEq)]
pub enum PartHead {
    /// Visible text; grows by [`Delta::Text`] and [`Delta::Citation`].
    Text,
    /// Grows by [`Delta::Text`].
    Refusal,
    /// Thinking; grows by [`Delta::Text`], [`Delta::Summary`] and [`Delta::Opaque`].
    Reasoning,
    /// A call; grows by [`Delta::Arguments`] and [`Delta::Opaque`] (signature). No arguments at all means `{}`.
    ToolCall {
        /// Links the call to its result.
        id: String,
        /// The tool.
        name: String,
        /// The group of the tool.
        namespace: Option<String>,
        /// What kind of call.
        kind: ToolCallKind,
    },
    /// A part that arrives whole (media, native blocks); ended by `PartEnd` at once.
    Whole(Box<Content>),
}

/// How a part grows.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// More text.
    Text(String),
    /// More of summary number `index`.
    Summary {
        /// Which summary.
        index: u32,
        /// The text.
        text: String,
    },
    /// More of the arguments of a call.
    Arguments(String),
    /// A signature or an encrypted form; a second one replaces the first of the same kind.
    Opaque(Opaque),
    /// A source of the text.
    Citation(Box<Citation>),
    /// Fields of the part that the model has no word for.
    Extras(Extras),
    /// A prompt-cache mark or item id that became known late.
    ItemId(String),
}

impl Delta {
    /// The text, summary or arguments that it adds; empty for anything else.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Arguments(text) | Self::Summary { text, .. } => text,
            _ => "",
        }
    }
}

impl StreamEvent {
    /// Whether the caller would see something of the answer: the commit point lies before the first such event.
    pub fn is_content(&self) -> bool {
        match self {
            StreamEvent::PartDelta { delta, .. } => match delta {
                Delta::Text(text) | Delta::Arguments(text) | Delta::Summary { text, .. } => !text.is_empty(),
                Delta::Opaque(_) | Delta::Citation(_) => true,
                Delta::Extras(_) | Delta::ItemId(_) => false,
            },
            StreamEvent::PartStart { head, .. } => matches!(head, PartHead::ToolCall { .. } | PartHead::Whole(_)),
            StreamEvent::Finish { .. } => true,
            _ => false,
        }
    }

    /// A part that arrives whole, as the two events that say so.
    pub fn whole(id: PartId, choice: u32, part: Part) -> [StreamEvent; 2] {
        [
            StreamEvent::PartStart { id, choice, head: PartHead::Whole(Box::new(part.content)), item_id: part.item_id },
            StreamEvent::PartEnd { id },
        ]
    }
}
