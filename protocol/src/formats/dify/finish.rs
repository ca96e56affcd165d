//! How an answer ended. Dify has no word for it: the facade adds `metadata.finish_reason` where it is no plain stop, in the words of the models
//! behind Dify's own nodes.

use crate::ir::{Finish, FinishReason};

const WORDS: [(&str, FinishReason); 3] = [
    ("length", FinishReason::Length),
    ("content_filter", FinishReason::ContentFilter),
    ("tool_calls", FinishReason::ToolCalls),
];

/// Reads the word.
pub(super) fn read(word: &str) -> Finish {
    let known = WORDS.iter().find(|(known, _)| *known == word).map(|(_, reason)| reason.clone());
    Finish::new(known.unwrap_or(FinishReason::Stop))
}

/// The word, where a plain stop would mislead.
pub(super) fn word(finish: &Finish) -> Option<&'static str> {
    match &finish.reason {
        FinishReason::ContextLength => Some("length"),
        // A taken back text tells by its own event.
        FinishReason::ContentFilter if finish.native.as_deref() == Some("message_replace") => None,
        FinishReason::Refusal => Some("content_filter"),
        // Calls themselves cannot be told, so nobody is to wait for them.
        FinishReason::ToolCalls => None,
        reason => WORDS.iter().find(|(_, known)| known == reason).map(|(word, _)| *word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_that_are_no_plain_stop_are_told() {
        for (reason, told) in [
            (FinishReason::Stop, None),
            (FinishReason::Length, Some("length")),
            (FinishReason::ContextLength, Some("length")),
            (FinishReason::Refusal, Some("content_filter")),
            (FinishReason::ToolCalls, None),
        ] {
            assert_eq!(word(&Finish::new(reason)), told);
        }
        assert_eq!(read("length").reason, FinishReason::Length);
        assert_eq!(read("whatever").reason, FinishReason::Stop);
    }
}
