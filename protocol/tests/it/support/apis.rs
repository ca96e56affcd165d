//! Which format and dialect the recorded folders speak, and how a stream's answer is compared across formats.

use std::panic::catch_unwind;
use std::sync::OnceLock;

use myelin_protocol::dialect::{MaxTokensField, ReasoningField, ReasoningRequest, ReplayReasoning};
use myelin_protocol::{ApiFormat, Dialect};

use super::fixtures::{BodyKind, Case, cases};

/// Folder → format. A trailing `/` of the folder's API part is left out: `*` stands for any provider.
const APIS: [(&str, ApiFormat); 14] = [
    ("*/chat-completions", ApiFormat::OpenaiChat),
    ("*/openai-compat-chat-completions", ApiFormat::OpenaiChat),
    ("*/openai-chat-completions", ApiFormat::OpenaiChat),
    ("*/completions", ApiFormat::OpenaiCompletions),
    ("*/responses", ApiFormat::OpenaiResponses),
    ("*/codex-backend-responses", ApiFormat::OpenaiResponses),
    ("*/mantle-responses", ApiFormat::OpenaiResponses),
    ("*/messages", ApiFormat::AnthropicMessages),
    ("*/anthropic-messages", ApiFormat::AnthropicMessages),
    ("*/claude-raw-predict", ApiFormat::AnthropicMessages),
    ("*/generate-content", ApiFormat::Gemini),
    ("*/converse", ApiFormat::BedrockConverse),
    ("*/api-chat", ApiFormat::OllamaChat),
    ("*/api-generate", ApiFormat::OllamaGenerate),
];

/// The format that a recorded case speaks; `None` for surfaces that are no conversation.
pub fn format(case: &Case) -> Option<ApiFormat> {
    if case.api == "dify/chat-messages" {
        return Some(ApiFormat::Dify);
    }
    let (_, api) = case.api.split_once('/')?;
    APIS.iter().find(|(pattern, _)| pattern.strip_prefix("*/") == Some(api)).map(|(_, format)| *format)
}

/// How the recorded host differs, as the provider catalog would say it.
pub fn dialect(case: &Case) -> Dialect {
    let host = case.api.split('/').next().unwrap_or_default();
    let base = Dialect::default();
    let thinking = |field, request| Dialect {
        reasoning_field: field,
        replay_reasoning: ReplayReasoning::Always,
        reasoning_request: request,
        max_tokens: MaxTokensField::MaxTokens,
        ..base.clone()
    };
    if format(case) != Some(ApiFormat::OpenaiChat) {
        return base;
    }
    match host {
        "deepseek" => thinking(ReasoningField::ReasoningContent, ReasoningRequest::ThinkingTypeAndEffort),
        "moonshot" | "zhipu" | "doubao" => thinking(ReasoningField::ReasoningContent, ReasoningRequest::ThinkingType),
        "mistral" => thinking(ReasoningField::ContentThinking, ReasoningRequest::Effort),
        "openrouter" | "vercel-ai-gateway" => Dialect {
            cache_control: true,
            file_url: true,
            ..thinking(ReasoningField::ReasoningDetails, ReasoningRequest::Object)
        },
        "groq" | "cerebras" | "ollama" => thinking(ReasoningField::Reasoning, ReasoningRequest::Effort),
        "xai" => Dialect {
            reasoning_beside_output: true,
            ..thinking(ReasoningField::ReasoningContent, ReasoningRequest::Effort)
        },
        "alibaba" => thinking(ReasoningField::ReasoningContent, ReasoningRequest::EnableThinking),
        "perplexity" => Dialect { no_done: true, ..base },
        "openai" | "azure-openai" => base,
        _ => thinking(ReasoningField::ReasoningContent, ReasoningRequest::Effort),
    }
}

/// A recorded stream with the way to read it.
#[derive(Debug)]
pub struct Stream {
    pub case: Case,
    pub format: ApiFormat,
    pub dialect: Dialect,
    pub bytes: Vec<u8>,
}

/// Every recorded stream with a successful status that a codec reads.
pub fn streams() -> Vec<Stream> {
    let streamed = |case: Case| {
        let format = format(&case)?;
        let (bytes, kind) = case.response()?;
        let is_stream = matches!(kind, BodyKind::Sse | BodyKind::NdJson | BodyKind::EventStream);
        (is_stream && case.status() == 200).then(|| Stream { format, dialect: dialect(&case), bytes, case })
    };
    let found: Vec<Stream> =
        cases(&[]).into_iter().filter_map(streamed).filter(|stream| is_there(stream.format)).collect();
    found
}

/// Whether the codec is built.
pub fn is_there(format: ApiFormat) -> bool {
    static BUILT: OnceLock<Vec<ApiFormat>> = OnceLock::new();
    let built =
        || ApiFormat::ALL.into_iter().filter(|format| catch_unwind(|| format.codec().framing()).is_ok()).collect();
    BUILT.get_or_init(built).contains(&format)
}
