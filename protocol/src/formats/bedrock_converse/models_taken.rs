//! What models behind Converse take, told by their ids. Profiles and ARNs that hide the model get the common treatment.

use crate::formats::anthropic_messages::claude::Claude;

/// How a model is told to think, in `additionalModelRequestFields`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking<'m> {
    /// `thinking` and `output_config`, as in Messages.
    Claude(Option<Claude<'m>>),
    /// `reasoningConfig: {type, maxReasoningEffort}` (Nova 2).
    ReasoningConfig,
    /// `reasoning_effort` (gpt-oss).
    ReasoningEffort,
    /// Not at all.
    None,
}

/// Makers whose models refuse `cachePoint`.
const NO_CACHE: [&str; 14] = [
    "meta.",
    "mistral.",
    "deepseek.",
    "qwen.",
    "openai.",
    "cohere.",
    "ai21.",
    "amazon.titan",
    "google.",
    "minimax.",
    "moonshot.",
    "moonshotai.",
    "nvidia.",
    "zai.",
];

/// Whether a model may take cache points.
pub(super) fn cache_points(model: &str) -> bool {
    !NO_CACHE.iter().any(|maker| model.contains(maker))
}

/// Whether the id is a Claude's.
pub(super) fn is_claude(model: &str) -> bool {
    model.contains("anthropic.") || model.contains("claude")
}

/// How the model is told to think.
pub(super) fn thinking(model: &str) -> Thinking<'_> {
    if is_claude(model) {
        Thinking::Claude(Claude::parse(model))
    } else if model.contains("nova-2") {
        Thinking::ReasoningConfig
    } else if model.contains("gpt-oss") {
        Thinking::ReasoningEffort
    } else {
        Thinking::None
    }
}

/// Whether `outputConfig` with a JSON Schema is understood; elsewhere a forced tool does it.
pub(super) fn structured_output(model: &str) -> bool {
    Claude::parse(model).is_some_and(Claude::structured_output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_what_a_model_takes() {
        assert!(matches!(thinking("us.anthropic.claude-sonnet-4-6"), Thinking::Claude(Some(_))));
        assert_eq!(thinking("us.amazon.nova-2-lite-v1:0"), Thinking::ReasoningConfig);
        assert_eq!(thinking("openai.gpt-oss-120b-1:0"), Thinking::ReasoningEffort);
        assert_eq!(thinking("us.amazon.nova-lite-v1:0"), Thinking::None);
        assert!(
            cache_points("us.amazon.nova-lite-v1:0") && cache_points("arn:aws:bedrock:us-east-1:1:inference-profile/x")
        );
        assert!(!cache_points("us.mistral.pixtral-large-2502-v1:0"));
        assert!(structured_output("us.anthropic.claude-haiku-4-5-20251001-v1:0"));
        assert!(
            !structured_output("anthropic.claude-3-5-sonnet-20240620-v1:0")
                && !structured_output("us.amazon.nova-lite-v1:0")
        );
    }
}
