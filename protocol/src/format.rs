//! The formats, what a codec is, and the one table of codecs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;
use crate::envelope::Envelope;
use crate::framing::{Frame, Framing};
use crate::ir::{ChatRequest, ChatResponse, Loss, ModelInfo, StreamEvent, Usage};
use crate::{ApiError, DecodeError, formats};

/// A wire format for conversations. Embeddings have [`formats::embeddings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiFormat {
    /// OpenAI Chat Completions, `POST /v1/chat/completions`.
    OpenaiChat,
    /// OpenAI legacy Completions, `POST /v1/completions`.
    OpenaiCompletions,
    /// OpenAI Responses, `POST /v1/responses`.
    OpenaiResponses,
    /// Anthropic Messages, `POST /v1/messages`.
    AnthropicMessages,
    /// Gemini `generateContent` and `streamGenerateContent`; Vertex AI speaks the same.
    Gemini,
    /// AWS Bedrock `converse` and `converse-stream`.
    BedrockConverse,
    /// Ollama `POST /api/chat`.
    OllamaChat,
    /// Ollama `POST /api/generate`.
    OllamaGenerate,
    /// Dify `POST /v1/chat-messages`.
    Dify,
}

impl ApiFormat {
    /// Every format, in the order of the enum.
    pub const ALL: [ApiFormat; 9] = [
        ApiFormat::OpenaiChat,
        ApiFormat::OpenaiCompletions,
        ApiFormat::OpenaiResponses,
        ApiFormat::AnthropicMessages,
        ApiFormat::Gemini,
        ApiFormat::BedrockConverse,
        ApiFormat::OllamaChat,
        ApiFormat::OllamaGenerate,
        ApiFormat::Dify,
    ];

    /// The name in configuration, records and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            ApiFormat::OpenaiChat => "openai-chat",
            ApiFormat::OpenaiCompletions => "openai-completions",
            ApiFormat::OpenaiResponses => "openai-responses",
            ApiFormat::AnthropicMessages => "anthropic-messages",
            ApiFormat::Gemini => "gemini",
            ApiFormat::BedrockConverse => "bedrock-converse",
            ApiFormat::OllamaChat => "ollama-chat",
            ApiFormat::OllamaGenerate => "ollama-generate",
            ApiFormat::Dify => "dify",
        }
    }

    /// The codec of the format: the one table.
    pub fn codec(self) -> &'static dyn FormatCodec {
        formats::codec(self)
    }
}

impl fmt::Display for ApiFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A decoded or encoded value and what was lost on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Lossy<T> {
    /// The value.
    pub value: T,
    /// What it could not carry.
    pub losses: Vec<Loss>,
}

impl<T> Lossy<T> {
    /// A value that lost nothing.
    pub fn whole(value: T) -> Self {
        Self { value, losses: Vec::new() }
    }
}

/// What stands in the address and not in the body (Gemini: both).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressHints<'a> {
    /// The model named by the path.
    pub model: Option<&'a str>,
    /// Whether the path asks for a stream.
    pub stream: Option<bool>,
}

/// What an encoder toward a client needs to know beside the answer. The caller of the codec mints ids and reads the clock.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplyContext {
    /// The model's name to show: the one that the client asked for.
    pub model: String,
    /// A unique token without prefix (hex), from which ids are made when the answer has none of this format's shape.
    pub id: String,
    /// Our id of the request, written into failures inside of streams where the format has a place.
    pub request_id: Option<String>,
    /// Seconds since 1970, for formats that tell the time when the answer does not.
    pub created: u64,
    /// The client asked for usage in the stream (Chat). Formats that always carry it ignore this.
    pub include_usage: bool,
    /// Gemini without `alt=sse`: the stream is one JSON array.
    pub json_array: bool,
    /// The request as the client meant it, for formats whose answer echoes it (Responses: tools, instructions …).
    pub request: Option<std::sync::Arc<ChatRequest>>,
}

/// One wire format. Stateless; one value a format, reached by [`ApiFormat::codec`].
///
/// "Client side" methods are used when a client speaks the format, "provider side" ones when a deployment does.
pub trait FormatCodec: Send + Sync + fmt::Debug {
    /// Which format this is.
    fn format(&self) -> ApiFormat;

    /// How its streams are framed (as spoken by providers; a client-side Gemini JSON array is written by the encoder alone).
    fn framing(&self) -> Framing;

    // --- client side -------------------------------------------------------------------------------------------------

    /// Reads a client's request.
    fn decode_request(&self, body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError>;

    /// Writes a whole answer for a client. Foreign opaque reasoning is wrapped, never dropped.
    fn encode_response(&self, response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>>;

    /// Writes a stream for a client.
    fn stream_encoder(&self, context: ReplyContext) -> Box<dyn StreamEncoder>;

    /// Writes a failure for a client; the status is [`ApiError::status`] unless the format demands another.
    fn encode_error(&self, error: &ApiError) -> Vec<u8>;

    // --- provider side -----------------------------------------------------------------------------------------------

    /// Writes a request for a provider. Foreign opaque reasoning is dropped with a loss. The model's name and the stream flag are
    /// written where the body has a place; the address is the business of the caller.
    fn encode_request(&self, request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError>;

    /// Reads a whole answer of a provider.
    fn decode_response(&self, body: &[u8], dialect: &Dialect) -> Result<ChatResponse, DecodeError>;

    /// Reads a stream of a provider.
    fn stream_decoder(&self, dialect: &Dialect) -> Box<dyn StreamDecoder>;

    /// Reads a provider's failure. Never fails itself: a body that is no known shape becomes the message, cut to 2 KiB.
    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError;

    /// Reads nothing but the counters of a whole answer, without building it.
    fn decode_usage(&self, answer: &Envelope, dialect: &Dialect) -> Option<Usage>;

    /// Byte strings of which at least one occurs in every frame (its event name or its data) that carries usage, a finish (or what it depends on: the start of a call), an
    /// error or the terminal: `"usage"`, `"finish_reason"`, `"error"`, `[DONE]`. Frames without any are content and are not parsed on the path where bytes pass
    /// unchanged. A marker that is a quoted member name does not count where its value is `null` (`"usage" : null`), so write it without colon.
    ///
    /// The contract with [`stream_decoder`](FormatCodec::stream_decoder): up to the first content it is fed every frame, afterwards only marked
    /// ones. Then it must still report usage, finish, error and terminal; other events and [`DecodeError`]s are ignored.
    fn tap_markers(&self) -> &'static [&'static str];

    // --- model lists -------------------------------------------------------------------------------------------------

    /// Reads a provider's model list. Formats without one answer an empty list.
    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError>;

    /// Writes a model list for a client.
    fn encode_models(&self, models: &[ModelInfo]) -> Vec<u8>;
}

/// Reads the frames of one stream of a provider. Pure: never sees sockets, never decides policy.
pub trait StreamDecoder: Send {
    /// Reads one frame. An error means that the frame is corrupt; the driver decides what that means.
    fn feed(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError>;

    /// The bytes are over. Writes [`StreamEvent::End`] if the terminal was seen and not yet reported; writes nothing if the stream was
    /// cut. Never invents a finish.
    fn finish(&mut self, out: &mut Vec<StreamEvent>);
}

/// Writes one stream for a client: framed bytes, with the client's own block indices and terminators.
///
/// After [`StreamEvent::Error`] or [`StreamEvent::End`] nothing more is written.
pub trait StreamEncoder: Send {
    /// Writes what one event means. May write nothing, or several frames.
    fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>);

    /// Writes something that keeps the connection alive and that clients ignore. May be called before the first event.
    fn keep_alive(&mut self, out: &mut Vec<u8>);

    /// What could not be carried so far.
    fn losses(&mut self) -> Vec<Loss>;
}
