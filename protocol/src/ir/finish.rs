//! Why an answer ended. The table of wire words is in each format's `finish.rs` or `response.rs`.

/// Why the model stopped, in words that every format can be mapped to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// One of the caller's stop sequences came up.
    StopSequence,
    /// The output limit was reached.
    Length,
    /// The context window was full.
    ContextLength,
    /// The model asks for tools.
    ToolCalls,
    /// A safety filter of the provider cut the answer, or the prompt was blocked.
    ContentFilter,
    /// The model declined (Anthropic `refusal`).
    Refusal,
    /// A server tool loop paused; the assistant turn is to be sent back as it is (Anthropic `pause_turn`).
    Pause,
    /// The provider says that it failed (`MALFORMED_FUNCTION_CALL`, `insufficient_system_resource`, …).
    Error,
    /// A word that no table knows; passed through to its own format, `Stop` elsewhere.
    Other(String),
}

/// The end of one choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// The reason in unified words.
    pub reason: FinishReason,
    /// Which stop sequence matched, where the format tells.
    pub stop_sequence: Option<String>,
    /// The provider's own word when it says more than [`Finish::reason`] (Gemini `RECITATION`, OpenRouter's native reason).
    pub native: Option<String>,
}

impl Finish {
    /// A plain reason without further detail.
    pub fn new(reason: FinishReason) -> Self {
        Self { reason, stop_sequence: None, native: None }
    }
}
