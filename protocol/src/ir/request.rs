//! A request for an answer.

use serde_json::{Map, Value};

use super::{CacheMark, Extras, Message};
use crate::ApiFormat;

/// A request for an answer, in words that every format can be mapped to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatRequest {
    /// The model's name, as the caller wrote it (Gemini: from the path, without `models/`).
    pub model: String,
    /// The conversation. The leading run of system and developer messages is the system prompt.
    pub messages: Vec<Message>,
    /// Tools, in order.
    pub tools: Vec<Tool>,
    /// Which tool to use.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls in one turn are allowed.
    pub parallel_tool_calls: Option<bool>,
    /// How to sample.
    pub sampling: Sampling,
    /// Output limit in tokens, reasoning included.
    pub max_tokens: Option<u64>,
    /// How much to think.
    pub reasoning: Option<Reasoning>,
    /// What form the answer takes.
    pub output: Option<OutputFormat>,
    /// `verbosity` (Chat) / `text.verbosity` (Responses).
    pub verbosity: Option<String>,
    /// Stream the answer. `None`: the format's default.
    pub stream: Option<bool>,
    /// The caller wants usage in the stream (Chat `stream_options.include_usage`); formats that always send it say `true`.
    pub include_usage: Option<bool>,
    /// How many answers.
    pub n: Option<u32>,
    /// Provider-side prompt-cache key (`prompt_cache_key`).
    pub cache_key: Option<String>,
    /// End-user id (`user`, `metadata.user_id`).
    pub user: Option<String>,
    /// `service_tier`.
    pub service_tier: Option<String>,
    /// Whether the provider may store the answer (Chat and Responses `store`).
    pub store: Option<bool>,
    /// The stored response that this goes on from (Responses).
    pub previous_response_id: Option<String>,
    /// Caller's metadata (`metadata` of Chat and Responses).
    pub metadata: Option<Map<String, Value>>,
    /// Fields of the body that the model has no word for.
    pub extras: Extras,
}

/// How to sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampling {
    /// 0–2, on Anthropic 0–1.
    pub temperature: Option<f64>,
    /// Nucleus.
    pub top_p: Option<f64>,
    /// Only the k likeliest.
    pub top_k: Option<u64>,
    /// Relative floor (vLLM, Ollama).
    pub min_p: Option<f64>,
    /// Reproducibility.
    pub seed: Option<i64>,
    /// -2–2.
    pub frequency_penalty: Option<f64>,
    /// -2–2.
    pub presence_penalty: Option<f64>,
    /// Stop sequences, in order. `None` and an empty list are different on the wire.
    pub stop: Option<Vec<String>>,
    /// Return log probabilities.
    pub logprobs: Option<bool>,
    /// How many alternatives a token.
    pub top_logprobs: Option<u32>,
    /// Token id → bias.
    pub logit_bias: Option<Map<String, Value>>,
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// What kind.
    pub kind: ToolKind,
    /// A prompt-cache breakpoint after this tool.
    pub cache: Option<CacheMark>,
    /// Fields of the tool that the model has no word for.
    pub extras: Extras,
}

impl Tool {
    /// A function tool with nothing else.
    pub fn function(tool: FunctionTool) -> Self {
        Self { kind: ToolKind::Function(tool), cache: None, extras: Extras::NONE }
    }
}

/// What kind a [`Tool`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolKind {
    /// Takes JSON.
    Function(FunctionTool),
    /// Takes free text, perhaps under a grammar (OpenAI).
    Custom {
        /// The tool's name.
        name: String,
        /// What it does.
        description: Option<String>,
        /// `{"type":"grammar",…}` or `{"type":"text"}`.
        format: Option<Value>,
        /// The group that it belongs to.
        namespace: Option<Namespace>,
    },
    /// A tool that the provider runs (web search, code execution, computer use …): the whole object.
    Native {
        /// The format that knows it.
        format: ApiFormat,
        /// Its `type` (or only key) on the wire.
        kind: String,
        /// The whole tool.
        value: Value,
    },
}

/// A function tool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FunctionTool {
    /// The tool's name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of the arguments, key order kept.
    pub parameters: Option<Value>,
    /// The answer must follow the schema exactly.
    pub strict: Option<bool>,
    /// The group that it belongs to.
    pub namespace: Option<Namespace>,
}

/// A named group of tools (Responses `{"type":"namespace"}`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespace {
    /// The group's name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
}

/// Which tool to use.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// No tool.
    None,
    /// Some tool.
    Required,
    /// This tool.
    Tool {
        /// Its name.
        name: String,
        /// What kind of tool.
        kind: super::ToolCallKind,
    },
    /// Only these tools (OpenAI `allowed_tools`, Gemini `allowedFunctionNames`).
    Allowed {
        /// Their names.
        names: Vec<String>,
        /// Some tool must be called.
        required: bool,
    },
    /// A choice that only its own format knows.
    Native {
        /// That format.
        format: ApiFormat,
        /// The whole value.
        value: Value,
    },
}

/// How much to think. All `None` is "as the model likes".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reasoning {
    /// `Some(false)`: do not think (Anthropic `thinking.type: disabled`, Gemini budget 0, effort `none`).
    pub enabled: Option<bool>,
    /// A word for how much.
    pub effort: Option<Effort>,
    /// A limit in tokens (Anthropic `budget_tokens`, Gemini `thinkingBudget`; −1 dynamic is `None` with `enabled: true`).
    pub budget: Option<u64>,
    /// Which summary to show (Responses `reasoning.summary`: `auto`, `concise`, `detailed`).
    pub summary: Option<String>,
    /// Whether thoughts are shown (Gemini `includeThoughts`, Anthropic `display`).
    pub shown: Option<bool>,
    /// The caller can take encrypted reasoning back (Responses `include: ["reasoning.encrypted_content"]`).
    pub encrypted: bool,
}

/// A word for how much to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More.
    XHigh,
    /// All.
    Max,
}

impl Effort {
    /// Every word with its spelling on the wire, least first.
    pub const WORDS: [(Effort, &'static str); 7] = [
        (Effort::None, "none"),
        (Effort::Minimal, "minimal"),
        (Effort::Low, "low"),
        (Effort::Medium, "medium"),
        (Effort::High, "high"),
        (Effort::XHigh, "xhigh"),
        (Effort::Max, "max"),
    ];

    /// The word as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(effort, _)| *effort == self).map_or("medium", |(_, word)| word)
    }

    /// Reads a word; `None` for one that nobody has used yet.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(effort, _)| *effort)
    }

    /// Tokens to think with, for targets that only take a number (the usual budgets of the compatible hosts).
    pub fn budget(self) -> u64 {
        match self {
            Effort::None => 0,
            Effort::Minimal => 1_024,
            Effort::Low => 2_048,
            Effort::Medium => 8_192,
            Effort::High => 16_384,
            Effort::XHigh => 24_576,
            Effort::Max => 32_768,
        }
    }

    /// The word for a number of tokens, for targets that only take a word.
    pub fn from_budget(tokens: u64) -> Self {
        match tokens {
            0 => Effort::None,
            1..=1_024 => Effort::Minimal,
            1_025..=4_096 => Effort::Low,
            4_097..=12_288 => Effort::Medium,
            _ => Effort::High,
        }
    }
}

/// What form the answer takes.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputFormat {
    /// Free text, said explicitly.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// The schema's name; formats without one leave it empty.
        name: String,
        /// What it describes.
        description: Option<String>,
        /// The schema, key order kept.
        schema: Value,
        /// Follow it exactly.
        strict: Option<bool>,
    },
}
