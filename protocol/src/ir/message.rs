//! Messages and their parts.

use serde_json::Value;

use super::Extras;
use crate::ApiFormat;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Operator's prompt. The leading run of `System` and `Developer` messages is *the* system prompt: formats with a field
    /// for it (`system`, `instructions`, `systemInstruction`) hoist that run; later ones stay inline or are folded.
    System,
    /// OpenAI's newer word for the operator.
    Developer,
    /// The person, and tool results where the format puts them there (Anthropic, Gemini, Converse).
    User,
    /// The model.
    Assistant,
    /// A message that holds nothing but tool results (Chat `tool`, Responses `*_output` items).
    Tool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// The speaker's name, where the format has one (Chat `name`).
    pub name: Option<String>,
    /// Fields of the message object that the model has no word for.
    pub extras: Extras,
}

impl Message {
    /// A message of `parts` with nothing else.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, name: None, extras: Extras::NONE }
    }

    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self::new(role, vec![Part::text(text)])
    }
}

/// One piece of a message or of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it is.
    pub content: Content,
    /// A prompt-cache breakpoint *after* this part.
    pub cache: Option<CacheMark>,
    /// The provider's id of the item that this part belongs to (Responses `msg_…`, `rs_…`, `fc_…`). Parts of one item
    /// share it; it is never the id that links a call to its result.
    pub item_id: Option<String>,
    /// Fields of the part that the model has no word for.
    pub extras: Extras,
}

impl Part {
    /// A part of `content` with nothing else.
    pub fn new(content: Content) -> Self {
        Self { content, cache: None, item_id: None, extras: Extras::NONE }
    }

    /// A plain text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Content::Text(Text { text: text.into(), citations: Vec::new() }))
    }

    /// The text of a text part.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(&text.text),
            _ => None,
        }
    }
}

/// What a [`Part`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Visible text.
    Text(Text),
    /// Why the model declined (Chat and Responses `refusal`).
    Refusal(String),
    /// Thinking, shown or opaque.
    Reasoning(ReasoningPart),
    /// Image, audio, video or document.
    Media(Media),
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// What a tool said.
    ToolResult(ToolResult),
    /// A block that only its own format understands: server tool calls and their results, compaction items and the like.
    Native(Native),
}

/// Visible text and what it rests on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Sources, in order.
    pub citations: Vec<Citation>,
}

/// One source of a text. Positions count Unicode scalar values from the start of the text part.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Citation {
    /// Address of the source.
    pub url: Option<String>,
    /// Title of the source.
    pub title: Option<String>,
    /// The passage of the source that was used.
    pub cited_text: Option<String>,
    /// First character of the text part that it supports.
    pub start: Option<u64>,
    /// One past the last character.
    pub end: Option<u64>,
    /// The whole object as its own format wrote it, for a verbatim way back.
    pub extras: Extras,
}

/// Thinking. `text` and `summary` are for people, `opaque` is for the provider that made it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReasoningPart {
    /// The thinking itself (Anthropic `thinking`, `reasoning_content`, Gemini thought text, Responses `reasoning_text`).
    pub text: String,
    /// Summaries in place of the thinking (Responses `summary[]`), one entry a summary part.
    pub summary: Vec<String>,
    /// What must go back unchanged to the maker.
    pub opaque: Option<Opaque>,
}

impl ReasoningPart {
    /// What a person sees: the text, else the summaries joined by blank lines.
    pub fn shown(&self) -> String {
        if self.text.is_empty() { self.summary.join("\n\n") } else { self.text.clone() }
    }
}

/// A blob that only its maker can read. Encoders toward a *client* of another format wrap it (see [`crate::opaque`]); encoders
/// toward a *provider* of another format drop it with a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// What it is.
    pub kind: OpaqueKind,
    /// The wire format of its maker.
    pub format: ApiFormat,
    /// The blob as the maker wrote it.
    pub data: String,
}

/// What an [`Opaque`] blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpaqueKind {
    /// Signature over the shown text (Anthropic `signature`, Gemini `thoughtSignature`, Converse `signature`).
    Signature,
    /// The thinking itself, encrypted, with nothing shown (Anthropic `redacted_thinking.data`, Converse `redactedContent`).
    Redacted,
    /// The thinking itself, encrypted, beside a summary (Responses `encrypted_content`).
    Encrypted,
    /// A list of provider-made details to replay verbatim (OpenRouter `reasoning_details`), as JSON text.
    Details,
}

/// Image, audio, video or document.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: MediaSource,
    /// MIME type, where known; always known for [`MediaSource::Base64`] after decoding (codecs sniff it if the wire is silent).
    pub media_type: Option<String>,
    /// File name or document title.
    pub name: Option<String>,
    /// OpenAI's image `detail`.
    pub detail: Option<String>,
}

/// What a [`Media`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// Picture.
    Image,
    /// Sound.
    Audio,
    /// Moving picture.
    Video,
    /// PDF, text or office file.
    Document,
}

/// Where the bytes of a [`Media`] are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSource {
    /// Inline, standard base64 without a `data:` prefix.
    Base64(String),
    /// An address to fetch.
    Url(String),
    /// The provider's file id; means nothing to another provider.
    FileId(String),
    /// Inline plain text (Anthropic text documents).
    Text(String),
}

/// The model asks for a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Links the call to its result (Chat `id`, Responses `call_id`, Anthropic `id`). Empty if the wire has none: codecs for
    /// formats that require one mint `call_<index>`-style ids deterministically.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The group of the tool (Responses namespaces).
    pub namespace: Option<String>,
    /// What kind of call.
    pub kind: ToolCallKind,
    /// [`ToolCallKind::Function`]: JSON text of the arguments, byte for byte as the maker wrote it, `{}` if there are none.
    /// [`ToolCallKind::Custom`]: free text.
    pub arguments: String,
    /// Signature on the call itself (Gemini `thoughtSignature`).
    pub signature: Option<Opaque>,
}

/// What a tool takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolCallKind {
    /// JSON arguments.
    #[default]
    Function,
    /// Free text (OpenAI custom tools).
    Custom,
}

/// What a tool said.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// The call that this answers.
    pub call_id: String,
    /// The tool's name, where the format repeats it (Gemini, Ollama).
    pub name: Option<String>,
    /// What kind of call this answers.
    pub kind: ToolCallKind,
    /// Text, images, documents. A plain string on the wire is one text part.
    pub content: Vec<Part>,
    /// The tool failed.
    pub is_error: Option<bool>,
}

/// A block that only its own format understands.
#[derive(Debug, Clone, PartialEq)]
pub struct Native {
    /// Its format.
    pub format: ApiFormat,
    /// Its `type` on the wire.
    pub kind: String,
    /// The whole block.
    pub value: Value,
}

/// A prompt-cache breakpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheMark {
    /// Lifetime as Anthropic writes it: `5m` or `1h`; `None` is the provider's default.
    pub ttl: Option<String>,
}
