//! How an answer ends, in both directions: `status` with `incomplete_details`, against the unified reason.

use serde_json::Value;

use super::take::Fields;
use crate::ir::{Content, Finish, FinishReason, Part};

/// `incomplete_details.reason` and what it means.
const REASONS: [(&str, FinishReason); 2] =
    [("max_output_tokens", FinishReason::Length), ("content_filter", FinishReason::ContentFilter)];

/// Kept in [`Finish::native`] beside an unknown reason, to tell it from other formats' words.
const INCOMPLETE: &str = "incomplete";

/// How an answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status<'a> {
    /// All there.
    Completed,
    /// Cut, and why.
    Incomplete(&'a str),
    /// Failed, and the provider's word for it.
    Failed(Option<&'a str>),
    /// Stopped by the caller.
    Cancelled,
}

impl Status<'_> {
    /// The word on the wire.
    pub(super) fn word(self) -> &'static str {
        match self {
            Status::Completed => "completed",
            Status::Incomplete(_) => INCOMPLETE,
            Status::Failed(_) => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status of the item that was open at the end.
    pub(super) fn of_last_item(self) -> &'static str {
        if self == Status::Completed { "completed" } else { INCOMPLETE }
    }
}

/// Reads how an answer ended. `None`: it has not.
pub(super) fn decode(answer: &Fields, parts: &[Part]) -> Option<Finish> {
    let calls = || parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
    decode_with(answer, calls)
}

/// The same for a stream, which knows by itself whether tools were asked for.
pub(super) fn decode_with(answer: &Fields, calls: impl Fn() -> bool) -> Option<Finish> {
    match answer.get("status").and_then(Value::as_str) {
        Some("completed") | None => {
            Some(Finish::new(if calls() { FinishReason::ToolCalls } else { FinishReason::Stop }))
        }
        Some(INCOMPLETE) => {
            let reason =
                answer.get("incomplete_details").and_then(|details| details.get("reason")).and_then(Value::as_str);
            let known = REASONS.iter().find(|(word, _)| Some(*word) == reason).map(|(_, known)| known.clone());
            Some(known.map_or_else(
                || Finish {
                    native: Some(INCOMPLETE.to_owned()),
                    ..Finish::new(FinishReason::Other(reason.unwrap_or_default().to_owned()))
                },
                Finish::new,
            ))
        }
        Some("failed") => {
            let code = answer.get("error").and_then(|error| error.get("code")).and_then(Value::as_str);
            Some(Finish { native: code.map(str::to_owned), ..Finish::new(FinishReason::Error) })
        }
        Some("cancelled") => Some(Finish::new(FinishReason::Other("cancelled".to_owned()))),
        Some(_) => None,
    }
}

/// Writes how an answer ended.
pub(super) fn encode(finish: &Finish) -> Status<'_> {
    match &finish.reason {
        FinishReason::Stop | FinishReason::StopSequence | FinishReason::ToolCalls | FinishReason::Pause => {
            Status::Completed
        }
        FinishReason::Length | FinishReason::ContextLength => Status::Incomplete("max_output_tokens"),
        FinishReason::ContentFilter | FinishReason::Refusal => Status::Incomplete("content_filter"),
        FinishReason::Error => Status::Failed(finish.native.as_deref()),
        FinishReason::Other(word) if finish.native.as_deref() == Some(INCOMPLETE) => Status::Incomplete(word),
        FinishReason::Other(word) if word == "cancelled" => Status::Cancelled,
        FinishReason::Other(_) => Status::Completed,
    }
}
