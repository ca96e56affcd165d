//! The mock providers, one row each: how they say no and how their Chat wire differs. The first segment of a path names the row.

use crate::errors::ErrorShape;

/// One mock provider.
#[derive(Debug)]
pub struct Provider {
    /// First segment of the path.
    pub name: &'static str,
    /// What follows it in the base URL as its users write it.
    pub base: &'static str,
    /// How failures are written.
    pub errors: ErrorShape,
    /// How keys are presented.
    pub key: KeyStyle,
    /// Its Chat wire.
    pub chat: &'static ChatHost,
}

/// How keys are presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStyle {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`, or Bearer.
    XApiKey,
    /// `x-goog-api-key` or `?key=`.
    Google,
    /// `api-key`, or Bearer.
    Azure,
    /// SigV4, or Bearer.
    Aws,
    /// None is asked for.
    None,
}

/// How one host's Chat wire differs.
#[derive(Debug)]
pub struct ChatHost {
    /// Top-level fields that it knows.
    pub fields: &'static [&'static [&'static str]],
    /// Fields of messages beyond the common ones; `None`: any is ignored.
    pub message_fields: Option<&'static [&'static str]>,
    /// Knows `developer` messages.
    pub developer: bool,
    /// Takes `cache_control` in content parts.
    pub cache_control: bool,
    /// Takes images.
    pub images: bool,
    /// When a stream tells usage.
    pub usage: StreamUsage,
    /// Where thinking goes.
    pub reasoning: Reasoning,
    /// Thinking must come back on turns with tool calls.
    pub replay: bool,
    /// Ids of tool calls have exactly nine letters or digits.
    pub nine: bool,
    /// A tool call comes whole in one chunk.
    pub whole_calls: bool,
    /// Every chunk names the role.
    pub role_always: bool,
    /// A first chunk without choices (Azure's prompt filter).
    pub leading_empty: bool,
    /// Reasoning tokens are counted beside the output (xAI).
    pub reasoning_beside: bool,
    /// OpenAI's own rules: reasoning models refuse sampling fields, `tool_choice` needs tools …
    pub openai_rules: bool,
}

/// When a Chat stream tells usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamUsage {
    /// In a chunk of its own, if asked.
    Asked,
    /// With the finish chunk, always.
    WithFinish,
    /// In a chunk after the finish, with non-empty choices, always (OpenRouter).
    AfterFinish,
}

/// Where a Chat host puts thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reasoning {
    /// Nowhere.
    Hidden,
    /// `reasoning_content`.
    Content,
    /// `reasoning`.
    Plain,
    /// `reasoning` and `reasoning_details`.
    Details,
    /// `content: [{type: "thinking", …}]`.
    Parts,
}

const COMMON: &[&str] = &[
    "model",
    "messages",
    "stream",
    "temperature",
    "top_p",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "tools",
    "tool_choice",
    "response_format",
    "n",
    "seed",
    "parallel_tool_calls",
    "user",
    "logprobs",
    "top_logprobs",
];
const LIMIT_OLD: &[&str] = &["max_tokens"];
const LIMIT_BOTH: &[&str] = &["max_tokens", "max_completion_tokens"];
const STREAM_OPTIONS: &[&str] = &["stream_options"];
const OPENAI: &[&str] = &[
    "audio",
    "function_call",
    "functions",
    "logit_bias",
    "metadata",
    "modalities",
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "safety_identifier",
    "service_tier",
    "store",
    "verbosity",
    "web_search_options",
];

const OPENAI_HOST: ChatHost = ChatHost {
    fields: &[COMMON, LIMIT_BOTH, STREAM_OPTIONS, OPENAI],
    message_fields: None,
    developer: true,
    cache_control: false,
    images: true,
    usage: StreamUsage::Asked,
    reasoning: Reasoning::Hidden,
    replay: false,
    nine: false,
    whole_calls: false,
    role_always: false,
    leading_empty: false,
    reasoning_beside: false,
    openai_rules: true,
};

/// A host that speaks the wire and takes nothing that is not in it.
const STRICT_HOST: ChatHost = ChatHost {
    fields: &[COMMON, LIMIT_OLD],
    message_fields: Some(&[]),
    developer: false,
    usage: StreamUsage::WithFinish,
    openai_rules: false,
    ..OPENAI_HOST
};

const AZURE_HOST: ChatHost = ChatHost {
    fields: &[COMMON, LIMIT_BOTH, STREAM_OPTIONS, OPENAI, &["data_sources"]],
    leading_empty: true,
    ..OPENAI_HOST
};

const DEEPSEEK_HOST: ChatHost = ChatHost {
    fields: &[COMMON, LIMIT_OLD, STREAM_OPTIONS, &["thinking", "reasoning_effort", "user_id"]],
    message_fields: Some(&["reasoning_content", "prefix"]),
    developer: false,
    images: false,
    usage: StreamUsage::WithFinish,
    reasoning: Reasoning::Content,
    replay: true,
    openai_rules: false,
    ..OPENAI_HOST
};

const MOONSHOT_HOST: ChatHost = ChatHost {
    fields: &[
        COMMON,
        LIMIT_BOTH,
        STREAM_OPTIONS,
        &["thinking", "reasoning_effort", "prompt_cache_key", "safety_identifier"],
    ],
    message_fields: Some(&["reasoning_content", "partial"]),
    images: true,
    ..DEEPSEEK_HOST
};

const ZHIPU_HOST: ChatHost = ChatHost {
    fields: &[
        COMMON,
        LIMIT_OLD,
        STREAM_OPTIONS,
        &[
            "thinking",
            "reasoning_effort",
            "tool_stream",
            "do_sample",
            "request_id",
            "user_id",
            // Named in no documentation, and not refused either.
            "store",
        ],
    ],
    message_fields: Some(&["reasoning_content"]),
    images: true,
    replay: false,
    role_always: true,
    ..DEEPSEEK_HOST
};

const MISTRAL_HOST: ChatHost = ChatHost {
    fields: &[
        &[
            "model",
            "messages",
            "stream",
            "temperature",
            "top_p",
            "stop",
            "frequency_penalty",
            "presence_penalty",
            "tools",
            "tool_choice",
            "response_format",
            "n",
            "parallel_tool_calls",
        ],
        LIMIT_OLD,
        &[
            "random_seed",
            "safe_prompt",
            "prompt_mode",
            "reasoning_effort",
            "prediction",
            "metadata",
            "prompt_cache_key",
        ],
    ],
    message_fields: Some(&["prefix"]),
    developer: false,
    usage: StreamUsage::WithFinish,
    reasoning: Reasoning::Parts,
    nine: true,
    whole_calls: true,
    openai_rules: false,
    ..OPENAI_HOST
};

const OPENROUTER_HOST: ChatHost = ChatHost {
    fields: &[
        COMMON,
        LIMIT_BOTH,
        STREAM_OPTIONS,
        OPENAI,
        &[
            "usage",
            "provider",
            "reasoning",
            "plugins",
            "transforms",
            "models",
            "route",
            "top_k",
            "min_p",
            "repetition_penalty",
            "session_id",
        ],
    ],
    cache_control: true,
    usage: StreamUsage::AfterFinish,
    reasoning: Reasoning::Details,
    role_always: true,
    openai_rules: false,
    ..OPENAI_HOST
};

const GROQ_HOST: ChatHost = ChatHost {
    fields: &[
        COMMON,
        LIMIT_BOTH,
        STREAM_OPTIONS,
        &[
            "reasoning_effort",
            "reasoning_format",
            "include_reasoning",
            "service_tier",
            "metadata",
            "store",
            "logit_bias",
            "functions",
            "function_call",
        ],
    ],
    message_fields: Some(&["reasoning"]),
    reasoning: Reasoning::Plain,
    openai_rules: false,
    ..OPENAI_HOST
};

const XAI_HOST: ChatHost = ChatHost {
    fields: &[
        COMMON,
        LIMIT_BOTH,
        STREAM_OPTIONS,
        &["reasoning_effort", "search_parameters", "deferred", "web_search_options"],
    ],
    message_fields: Some(&["reasoning_content"]),
    reasoning: Reasoning::Content,
    whole_calls: true,
    reasoning_beside: true,
    openai_rules: false,
    ..OPENAI_HOST
};

const LOCAL_FIELDS: &[&str] =
    &["reasoning_effort", "reasoning", "chat_template_kwargs", "top_k", "min_p", "keep_alive", "think", "logit_bias"];

const LOCAL_HOST: ChatHost = ChatHost {
    fields: &[COMMON, LIMIT_BOTH, STREAM_OPTIONS, LOCAL_FIELDS],
    developer: false,
    reasoning: Reasoning::Plain,
    openai_rules: false,
    ..OPENAI_HOST
};

/// Its chat templates take `developer` messages, and it goes on from the beginning of an answer.
const VLLM_HOST: ChatHost = ChatHost {
    fields: &[COMMON, LIMIT_BOTH, STREAM_OPTIONS, LOCAL_FIELDS, &["continue_final_message", "add_generation_prompt"]],
    developer: true,
    ..LOCAL_HOST
};

/// Every mock provider.
pub const PROVIDERS: &[Provider] = &[
    row("openai", "/v1", ErrorShape::OpenAi, KeyStyle::Bearer, &OPENAI_HOST),
    row("anthropic", "", ErrorShape::Anthropic, KeyStyle::XApiKey, &STRICT_HOST),
    row("gemini", "", ErrorShape::Google, KeyStyle::Google, &STRICT_HOST),
    row("vertex", "", ErrorShape::Google, KeyStyle::Bearer, &STRICT_HOST),
    row("bedrock", "", ErrorShape::Bedrock, KeyStyle::Aws, &STRICT_HOST),
    row("azure", "", ErrorShape::Azure, KeyStyle::Azure, &AZURE_HOST),
    row("deepseek", "/v1", ErrorShape::OpenAi, KeyStyle::Bearer, &DEEPSEEK_HOST),
    row("moonshot", "/v1", ErrorShape::OpenAi, KeyStyle::Bearer, &MOONSHOT_HOST),
    row("zhipu", "/v1", ErrorShape::Zhipu, KeyStyle::Bearer, &ZHIPU_HOST),
    row("mistral", "/v1", ErrorShape::Mistral, KeyStyle::Bearer, &MISTRAL_HOST),
    row("openrouter", "/v1", ErrorShape::OpenRouter, KeyStyle::Bearer, &OPENROUTER_HOST),
    row("groq", "/v1", ErrorShape::OpenAi, KeyStyle::Bearer, &GROQ_HOST),
    row("xai", "/v1", ErrorShape::Xai, KeyStyle::Bearer, &XAI_HOST),
    row("strict", "/v1", ErrorShape::OpenAi, KeyStyle::Bearer, &STRICT_HOST),
    row("vllm", "/v1", ErrorShape::OpenAi, KeyStyle::None, &VLLM_HOST),
    row("ollama", "", ErrorShape::OllamaNative, KeyStyle::None, &LOCAL_HOST),
    row("cohere", "", ErrorShape::Cohere, KeyStyle::Bearer, &STRICT_HOST),
    row("gcp", "", ErrorShape::Google, KeyStyle::None, &STRICT_HOST),
    row("dify", "/v1", ErrorShape::Dify, KeyStyle::Bearer, &STRICT_HOST),
];

const fn row(
    name: &'static str,
    base: &'static str,
    errors: ErrorShape,
    key: KeyStyle,
    chat: &'static ChatHost,
) -> Provider {
    Provider { name, base, errors, key, chat }
}

/// What a Responses endpoint does with answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storing {
    /// It stores them, unless it is told not to.
    Stores,
    /// It stores none, and says nothing about what was asked of it.
    Ignores,
    /// It stores none, and refuses who asks for it.
    Refuses,
}

/// Hosts that store no answers.
const STATELESS: [(&str, Storing); 5] = [
    ("openrouter", Storing::Refuses),
    ("groq", Storing::Refuses),
    ("deepseek", Storing::Ignores),
    ("ollama", Storing::Ignores),
    ("vllm", Storing::Ignores),
];

impl Provider {
    /// What its Responses endpoint does with answers.
    pub fn storing(&self) -> Storing {
        STATELESS.iter().find(|(name, _)| *name == self.name).map_or(Storing::Stores, |(_, storing)| *storing)
    }
}

/// The row of a name.
pub fn provider(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|row| row.name == name)
}
