//! `done_reason`.

use crate::ir::{Finish, FinishReason};

/// Reads the word; old hosts send none.
pub(super) fn read(word: Option<&str>) -> Finish {
    match word {
        None | Some("" | "stop") => Finish::new(FinishReason::Stop),
        Some("length") => Finish::new(FinishReason::Length),
        Some("error") => Finish::new(FinishReason::Error),
        // Nothing was asked: the model was loaded or let go.
        Some(word @ ("load" | "unload")) => Finish { native: Some(word.to_owned()), ..Finish::new(FinishReason::Stop) },
        Some(word) => Finish::new(FinishReason::Other(word.to_owned())),
    }
}

/// The word to write. Ollama has no word for filters; a failure is never a `stop`.
pub(super) fn word(finish: &Finish) -> &str {
    match (&finish.reason, finish.native.as_deref()) {
        (FinishReason::Stop, Some(word @ ("load" | "unload"))) => word,
        (FinishReason::Length | FinishReason::ContextLength, _) => "length",
        (FinishReason::Error, _) => "error",
        (FinishReason::Other(word), _) => word,
        _ => "stop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_written_as_it_was_read() {
        for text in ["stop", "length", "load", "unload", "error", "something"] {
            assert_eq!(word(&read(Some(text))), text);
        }
        assert_eq!(word(&read(None)), "stop");
        assert_eq!(word(&Finish::new(FinishReason::ToolCalls)), "stop");
    }
}
