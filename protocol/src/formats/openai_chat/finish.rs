//! Why an answer ended: Chat's words and those of its hosts.

use crate::ir::{Finish, FinishReason};

/// Words that hosts use in `finish_reason`. The first word of a reason is the one that is written.
const WORDS: [(&str, FinishReason); 21] = [
    ("stop", FinishReason::Stop),
    ("eos", FinishReason::Stop),
    ("end_turn", FinishReason::Stop),
    ("load", FinishReason::Stop),
    ("stop_sequence", FinishReason::StopSequence),
    ("length", FinishReason::Length),
    ("max_tokens", FinishReason::Length),
    ("model_length", FinishReason::ContextLength),
    ("model_context_window_exceeded", FinishReason::ContextLength),
    ("tool_calls", FinishReason::ToolCalls),
    ("function_call", FinishReason::ToolCalls),
    ("tool_use", FinishReason::ToolCalls),
    ("content_filter", FinishReason::ContentFilter),
    ("sensitive", FinishReason::ContentFilter),
    ("safety", FinishReason::ContentFilter),
    ("refusal", FinishReason::Refusal),
    ("pause_turn", FinishReason::Pause),
    ("error", FinishReason::Error),
    ("insufficient_system_resource", FinishReason::Error),
    ("network_error", FinishReason::Error),
    ("abort", FinishReason::Error),
];

/// Reads a word; `native` is OpenRouter's `native_finish_reason`.
pub(crate) fn decode(word: &str, native: Option<&str>) -> Finish {
    let known = |word: &str| WORDS.iter().find(|(known, _)| *known == word).map(|(_, reason)| reason.clone());
    let reason = known(word).unwrap_or_else(|| FinishReason::Other(word.to_owned()));
    let plain = native.is_none() && is_canonical(word);
    // What the maker said is finer than what the host made of it, if it agrees at all.
    let reason = match (&reason, native.and_then(known)) {
        (FinishReason::Stop, Some(finer @ (FinishReason::StopSequence | FinishReason::Pause))) => finer,
        (FinishReason::Length, Some(finer @ FinishReason::ContextLength)) => finer,
        (FinishReason::ContentFilter, Some(finer @ FinishReason::Refusal)) => finer,
        _ => reason,
    };
    let native = native
        .map(str::to_owned)
        .or_else(|| (!plain && !matches!(reason, FinishReason::Other(_))).then(|| word.to_owned()));
    Finish { reason, stop_sequence: None, native }
}

fn is_canonical(word: &str) -> bool {
    matches!(word, "stop" | "length" | "tool_calls" | "function_call" | "content_filter" | "error")
}

/// The word for a client.
pub(crate) fn encode(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::Stop | FinishReason::StopSequence | FinishReason::Pause => "stop",
        FinishReason::Length | FinishReason::ContextLength => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filter",
        FinishReason::Error => "error",
        // Only words that look like Chat's own go out as they are.
        FinishReason::Other(word) if is_chat_word(word) => word,
        FinishReason::Other(_) => "stop",
    }
}

fn is_chat_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Hosts say `stop` after tool calls (Gemini, Ollama): calls are the reason then.
pub(crate) fn with_calls(mut finish: Finish, has_calls: bool) -> Finish {
    if has_calls && matches!(finish.reason, FinishReason::Stop) {
        finish.reason = FinishReason::ToolCalls;
    }
    finish
}
