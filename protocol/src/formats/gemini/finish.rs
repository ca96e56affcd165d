//! `finishReason` and `promptFeedback.blockReason`.

use serde_json::Value;

use crate::ir::{Finish, FinishReason};

/// Words and what they mean. The first row of a reason is the word that it is written with.
const WORDS: [(&str, FinishReason); 22] = [
    ("STOP", FinishReason::Stop),
    ("MAX_TOKENS", FinishReason::Length),
    ("SAFETY", FinishReason::ContentFilter),
    ("RECITATION", FinishReason::ContentFilter),
    ("LANGUAGE", FinishReason::ContentFilter),
    ("BLOCKLIST", FinishReason::ContentFilter),
    ("PROHIBITED_CONTENT", FinishReason::ContentFilter),
    ("SPII", FinishReason::ContentFilter),
    ("IMAGE_SAFETY", FinishReason::ContentFilter),
    ("IMAGE_PROHIBITED_CONTENT", FinishReason::ContentFilter),
    ("IMAGE_RECITATION", FinishReason::ContentFilter),
    ("MODEL_ARMOR", FinishReason::ContentFilter),
    ("JAILBREAK", FinishReason::ContentFilter),
    ("OTHER", FinishReason::Error),
    ("MALFORMED_FUNCTION_CALL", FinishReason::Error),
    ("UNEXPECTED_TOOL_CALL", FinishReason::Error),
    ("TOO_MANY_TOOL_CALLS", FinishReason::Error),
    ("MISSING_THOUGHT_SIGNATURE", FinishReason::Error),
    ("MALFORMED_RESPONSE", FinishReason::Error),
    ("NO_IMAGE", FinishReason::Error),
    ("IMAGE_OTHER", FinishReason::Error),
    ("FINISH_REASON_UNSPECIFIED", FinishReason::Error),
];

/// Protobuf's numbers, as far as Google's two services agree on them.
const NUMBERS: [&str; 6] = ["FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER"];

/// Reads `finishReason`, a word or a number.
pub(super) fn read(value: &Value) -> Option<Finish> {
    let word = match value {
        Value::String(word) if !word.is_empty() => word.clone(),
        Value::Number(number) => {
            let known = number.as_u64().and_then(|number| NUMBERS.get(usize::try_from(number).ok()?));
            known.map_or_else(|| number.to_string(), |word| (*word).to_owned())
        }
        _ => return None,
    };
    let Some((_, reason)) = WORDS.iter().find(|(known, _)| *known == word) else {
        return Some(Finish::new(FinishReason::Other(word)));
    };
    let usual = usual_word(reason) == word;
    Some(Finish { native: (!usual).then_some(word), ..Finish::new(reason.clone()) })
}

/// A prompt that was blocked: the answer is empty because of a filter.
pub(super) fn read_block(value: &Value) -> Option<Finish> {
    let word = match value {
        Value::String(word) if !word.is_empty() => word.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(Finish { native: Some(word), ..Finish::new(FinishReason::ContentFilter) })
}

/// The word to write: the provider's own one if it is one of ours and still means the same.
pub(super) fn word(finish: &Finish) -> String {
    if let Some(native) = &finish.native
        && WORDS.iter().any(|(known, reason)| known == native && *reason == finish.reason)
    {
        return native.clone();
    }
    match &finish.reason {
        FinishReason::Other(word) if looks_native(word) => word.clone(),
        reason => usual_word(reason).to_owned(),
    }
}

fn usual_word(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::ContextLength => "MAX_TOKENS",
        FinishReason::Refusal => "SAFETY",
        // Gemini says STOP for calls too.
        reason => WORDS.iter().find(|(_, known)| known == reason).map_or("STOP", |(word, _)| word),
    }
}

fn looks_native(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_word_is_written_as_it_was_read() {
        for (word_read, _) in WORDS {
            assert_eq!(word(&read(&json!(word_read)).unwrap()), word_read);
        }
        assert_eq!(word(&read(&json!("SOMETHING_NEW")).unwrap()), "SOMETHING_NEW");
    }

    #[test]
    fn words_of_other_formats_find_their_place() {
        for (reason, expected) in [
            (FinishReason::ToolCalls, "STOP"),
            (FinishReason::StopSequence, "STOP"),
            (FinishReason::Pause, "STOP"),
            (FinishReason::Refusal, "SAFETY"),
            (FinishReason::ContentFilter, "SAFETY"),
            (FinishReason::ContextLength, "MAX_TOKENS"),
            (FinishReason::Error, "OTHER"),
            (FinishReason::Other("weird".into()), "STOP"),
        ] {
            assert_eq!(word(&Finish { native: Some("content_filter".into()), ..Finish::new(reason) }), expected);
        }
    }

    #[test]
    fn numbers_and_blocks_are_read() {
        assert_eq!(read(&json!(2)).unwrap().reason, FinishReason::Length);
        assert_eq!(read(&json!(77)).unwrap().reason, FinishReason::Other("77".into()));
        assert_eq!(read(&json!(null)), None);
        assert_eq!(read_block(&json!("MODEL_ARMOR")).unwrap().native.as_deref(), Some("MODEL_ARMOR"));
    }
}
