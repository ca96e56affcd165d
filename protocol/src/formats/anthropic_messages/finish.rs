//! Stop reasons, both ways.

use crate::ir::{Finish, FinishReason};

/// Words of the wire and what they mean.
const WORDS: [(&str, FinishReason); 8] = [
    ("end_turn", FinishReason::Stop),
    ("stop_sequence", FinishReason::StopSequence),
    ("max_tokens", FinishReason::Length),
    ("model_context_window_exceeded", FinishReason::ContextLength),
    ("tool_use", FinishReason::ToolCalls),
    ("refusal", FinishReason::Refusal),
    ("pause_turn", FinishReason::Pause),
    // Seen from older Converse bridges.
    ("content_filtered", FinishReason::ContentFilter),
];

/// Reads `stop_reason` and `stop_sequence`.
pub(super) fn read(stop_reason: &str, stop_sequence: Option<String>) -> Finish {
    let known = WORDS.iter().find(|(word, _)| *word == stop_reason).map(|(_, reason)| reason.clone());
    let reason = known.unwrap_or_else(|| FinishReason::Other(stop_reason.to_owned()));
    Finish { reason, stop_sequence, native: None }
}

/// The word for a client. Words that no table knows go out as they came if they are of this wire, else as `end_turn`.
pub(super) fn word(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::ContentFilter => "refusal",
        FinishReason::Error | FinishReason::Other(_) => "end_turn",
        known => WORDS.iter().find(|(_, reason)| reason == known).map_or("end_turn", |(word, _)| word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_wire_comes_back() {
        for (name, _) in WORDS.iter().filter(|(name, _)| *name != "content_filtered") {
            assert_eq!(word(&read(name, None).reason), *name);
        }
    }

    #[test]
    fn unknown_words_end_the_turn_and_filters_are_refusals() {
        assert_eq!(read("new_reason", None).reason, FinishReason::Other("new_reason".into()));
        assert_eq!(word(&FinishReason::Other("new_reason".into())), "end_turn");
        assert_eq!(word(&FinishReason::ContentFilter), "refusal");
    }
}
