//! How hosts that speak one wire differ, as data. The provider catalog fills these in; codecs only read them.
//!
//! The default is the wire's own inventor: a `Dialect::default()` changes nothing.

use serde::{Deserialize, Serialize};

/// Differences of one host from the inventor of its wire. Every field documents what it changes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dialect {
    /// Chat: the host wants `max_tokens`, not `max_completion_tokens`.
    pub max_tokens: MaxTokensField,
    /// The host does not know `developer` messages: they become `system`.
    pub no_developer_role: bool,
    /// Chat: where the host puts its thinking, and where it wants it back.
    pub reasoning_field: ReasoningField,
    /// Chat: when thinking must go back. Anthropic and Converse: anything but `never` says that the host takes thinking without a signature
    /// (DeepSeek's and Kimi's Anthropic endpoints); elsewhere such thinking is dropped with a loss.
    pub replay_reasoning: ReplayReasoning,
    /// Chat: how thinking is asked for.
    pub reasoning_request: ReasoningRequest,
    /// Ids of tool calls must look like this.
    pub tool_call_ids: ToolCallIds,
    /// `tool_choice: "required"` is spelled `"any"` (Mistral).
    pub required_is_any: bool,
    /// Chat: `cache_control` inside content parts is understood (OpenRouter, Anthropic's compatible endpoint).
    pub cache_control: bool,
    /// Chat: `stream_options` is refused; usage comes unasked or not at all.
    pub no_stream_options: bool,
    /// `json_schema` output is unknown: send `json_object` and put the schema into the prompt.
    pub no_json_schema: bool,
    /// `parallel_tool_calls` is refused.
    pub no_parallel_tool_calls: bool,
    /// Images are refused.
    pub no_images: bool,
    /// `strict` on functions is refused.
    pub no_strict: bool,
    /// Free-text (custom) tools are refused: they become functions with one string `input`. Namespaces likewise.
    pub no_custom_tools: bool,
    /// Chat: `n` above 1 is refused.
    pub no_n: bool,
    /// Tool results may hold images (Anthropic, Gemini 3, Responses, Converse); elsewhere they move to a following user message.
    pub images_in_tool_results: bool,
    /// Chat: `tool_stream: true` is needed for arguments to stream (GLM).
    pub tool_stream: bool,
    /// Chat: reasoning tokens are counted beside `completion_tokens`, not inside (xAI chat).
    pub reasoning_beside_output: bool,
    /// Whether the host counts cached tokens beside the prompt, not inside.
    pub cache_beside_input: bool,
    /// Top-level request fields (names of the wire) that are refused: they are removed with a loss.
    pub unsupported: Vec<String>,
    /// Fields beyond the wire's core ([`crate::lower::core_only`]) that this host takes although it is not the inventor's: callers of other formats that ask for
    /// what they mean get them.
    pub knows: Vec<String>,
    /// Top-level request fields to set when the caller did not.
    pub defaults: serde_json::Map<String, serde_json::Value>,
    /// Gemini: schemas go to `parameters` in the OpenAPI subset, `parametersJsonSchema` is unknown.
    pub openapi_schema: bool,
    /// Anthropic on Vertex or Bedrock: body has no `model`, and carries this `anthropic_version`.
    pub anthropic_version: Option<String>,
    /// Anthropic: `role: "system"` inside `messages` is refused: it is folded into the neighbouring user turn.
    pub no_inline_system: bool,
    /// Inline `<think>…</think>` at the start of the text is thinking.
    pub think_tags: bool,
    /// Converse: the model refuses `cachePoint`.
    pub no_cache_points: bool,
    /// Chat: `content` must be a string wherever it holds nothing but texts: lists are joined by blank lines.
    pub flat_content: bool,
    /// `tool_choice: {"type": "allowed_tools"}` is unknown: the other tools are left out.
    pub no_allowed_tools: bool,
    /// Chat: `extra_content.google.thought_signature` on tool calls is understood (Gemini's compatible endpoint, gateways to it).
    pub google_signatures: bool,
    /// Chat: the stream ends without `[DONE]`; a finish of every choice is the terminal (Perplexity).
    pub no_done: bool,
    /// Chat: `top_k` and `min_p` are understood.
    pub top_k: bool,
    /// Chat: documents by address go as `{"type": "document_url"}` (Mistral).
    pub document_url: bool,
    /// Chat: `file_data` may be an address (OpenRouter).
    pub file_url: bool,
    /// Embeddings: the length of the vectors is called `output_dimension`, not `dimensions` (Mistral, Voyage).
    pub output_dimension: bool,
    /// Embeddings: the field that names the purpose (`task` at Jina, `input_type` at Voyage). Without one it is a loss.
    pub task_field: Option<String>,
    /// Chat: the words that the host takes for how much to think; any other becomes the nearest below. Empty: all words.
    pub efforts: Vec<String>,
    /// Dify: the app is an agent and only streams; `blocking` is refused.
    pub stream_only: bool,
    /// How the host is asked to go on from the beginning of an answer.
    pub prefill: Prefill,
}

impl Dialect {
    /// What matters for reading answers: its switches without its lists. Costs no allocation, so every stream can have its own.
    pub fn for_answers(&self) -> Self {
        Self {
            unsupported: Vec::new(),
            knows: Vec::new(),
            defaults: serde_json::Map::new(),
            anthropic_version: None,
            task_field: None,
            efforts: Vec::new(),
            ..*self
        }
    }
}

/// Chat's name for the output limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaxTokensField {
    /// `max_completion_tokens`.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`.
    MaxTokens,
}

/// Where a Chat host puts thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasoningField {
    /// Nowhere in requests (all known fields are still read from answers).
    #[default]
    None,
    /// `reasoning_content`.
    ReasoningContent,
    /// `reasoning`.
    Reasoning,
    /// `reasoning` and `reasoning_details[]` (OpenRouter).
    ReasoningDetails,
    /// `content: [{type: "thinking", …}]` (Mistral).
    ContentThinking,
}

/// When thinking must go back to a Chat host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayReasoning {
    /// Never: it is dropped with a loss.
    #[default]
    Never,
    /// On assistant turns with tool calls; a placeholder if it was lost (DeepSeek V3.2+, Kimi).
    ToolTurns,
    /// Always.
    Always,
}

/// How thinking is asked for on a Chat host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasoningRequest {
    /// `reasoning_effort: "low"`.
    #[default]
    Effort,
    /// `thinking: {type: "enabled" | "disabled"}` (Kimi, GLM, Doubao).
    ThinkingType,
    /// Both of them (DeepSeek).
    ThinkingTypeAndEffort,
    /// `reasoning: {effort | max_tokens, exclude}` (OpenRouter).
    Object,
    /// `enable_thinking: true` (Qwen).
    EnableThinking,
    /// `chat_template_kwargs: {enable_thinking: true}` (vLLM).
    TemplateKwargs,
    /// Not at all: dropped with a loss.
    None,
}

/// How a host is asked to go on from the beginning of an answer: the conversation ends with it, as the assistant's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prefill {
    /// Not at all, or nobody knows.
    #[default]
    None,
    /// Nothing else is needed (Claude up to 4.5 without thinking, Ollama, llama.cpp).
    Plain,
    /// Chat: the turn says `prefix: true` (DeepSeek).
    Prefix,
    /// Chat: the same, and the answer begins with what was sent (Mistral).
    PrefixRepeated,
    /// Chat: the turn says `partial: true` (Kimi, Qwen).
    Partial,
    /// Chat: the request says `continue_final_message: true` and `add_generation_prompt: false` (vLLM).
    ContinueFinalMessage,
}

/// What ids of tool calls must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolCallIds {
    /// As they are.
    #[default]
    Any,
    /// Exactly nine letters or digits (Mistral): others are hashed, calls and results alike.
    NineAlphanumeric,
}
