//! One folder a wire, each with the same files: `wire.rs` (serde types only), `request.rs` and `response.rs` (both directions),
//! `stream_in.rs` (from a provider), `stream_out.rs` (to a client), `error.rs`, `usage.rs`, `mod.rs` (the [`FormatCodec`] value).

pub mod anthropic_messages;
pub mod bedrock_converse;
mod body;
pub mod dify;
pub mod embeddings;
pub(crate) mod fields;
pub mod gemini;
pub mod media;
pub mod ollama;
pub mod openai_chat;
pub mod openai_completions;
pub mod openai_responses;
pub(crate) mod pairing;
mod sequence;
pub(crate) mod think_tags;
pub(crate) mod timestamp;
pub(crate) mod transcript;
mod turns;
mod wishes;

use crate::{ApiFormat, FormatCodec};

/// The codec of a format: the one table.
pub(crate) fn codec(format: ApiFormat) -> &'static dyn FormatCodec {
    match format {
        ApiFormat::OpenaiChat => openai_chat::codec(),
        ApiFormat::OpenaiCompletions => openai_completions::codec(),
        ApiFormat::OpenaiResponses => openai_responses::codec(),
        ApiFormat::AnthropicMessages => anthropic_messages::codec(),
        ApiFormat::Gemini => gemini::codec(),
        ApiFormat::BedrockConverse => bedrock_converse::codec(),
        ApiFormat::OllamaChat => ollama::chat_codec(),
        ApiFormat::OllamaGenerate => ollama::generate_codec(),
        ApiFormat::Dify => dify::codec(),
    }
}
