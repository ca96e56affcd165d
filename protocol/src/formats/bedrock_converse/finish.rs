//! Stop reasons, both ways.

use crate::ir::{Finish, FinishReason};

/// Words of the wire and what they mean. Of words with one meaning the first is the one that is written.
const WORDS: [(&str, FinishReason); 9] = [
    ("end_turn", FinishReason::Stop),
    ("stop_sequence", FinishReason::StopSequence),
    ("max_tokens", FinishReason::Length),
    ("model_context_window_exceeded", FinishReason::ContextLength),
    ("tool_use", FinishReason::ToolCalls),
    ("content_filtered", FinishReason::ContentFilter),
    ("guardrail_intervened", FinishReason::ContentFilter),
    ("malformed_tool_use", FinishReason::Error),
    ("malformed_model_output", FinishReason::Error),
];

/// Reads `stopReason`. A word that says more than its reason is kept beside it.
pub(super) fn read(word: &str) -> Finish {
    let known = WORDS.iter().find(|(known, _)| *known == word).map(|(_, reason)| reason.clone());
    let reason = known.unwrap_or_else(|| FinishReason::Other(word.to_owned()));
    let first = WORDS.iter().find(|(_, known)| *known == reason).map(|(first, _)| *first);
    let native = (first.is_some_and(|first| first != word) || reason == FinishReason::Error).then(|| word.to_owned());
    Finish { native, ..Finish::new(reason) }
}

/// The word for a client.
pub(super) fn word(finish: &Finish) -> &str {
    let of_this_wire = |word: &&str| WORDS.iter().any(|(known, reason)| known == word && *reason == finish.reason);
    if let Some(native) = finish.native.as_deref().filter(of_this_wire) {
        return native;
    }
    match &finish.reason {
        FinishReason::Refusal => "content_filtered",
        FinishReason::Pause | FinishReason::Other(_) => "end_turn",
        reason => WORDS.iter().find(|(_, known)| known == reason).map_or("end_turn", |(word, _)| word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back() {
        for (name, _) in WORDS {
            assert_eq!(word(&read(name)), name);
        }
        assert_eq!(read("new").reason, FinishReason::Other("new".into()));
        assert_eq!(word(&Finish::new(FinishReason::Refusal)), "content_filtered");
    }
}
