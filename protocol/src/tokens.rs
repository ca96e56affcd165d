//! An estimate of how many tokens a request will take, for targets that do not count themselves: rounded up, never exact.
//!
//! Owns the arithmetic; the numbers are those of the common tokenizers taken together, so that the estimate is a little above most of them. Text is
//! counted by what its characters are (`text.rs`), images by their size (`image.rs`), everything else by its bytes.

mod image;
mod text;

use std::io::{self, Write};

use serde::Serialize;

use crate::ir::{
    ChatRequest, ChatResponse, Citation, Content, Media, MediaKind, MediaSource, Message, OpaqueKind, OutputFormat,
    Part, Tool, ToolKind,
};

pub use text::count as count_text;

/// What surrounds each message on the wire of the model.
const MESSAGE: u64 = 4;
/// What surrounds the whole conversation.
const CONVERSATION: u64 = 3;
/// What surrounds each tool, and the section of tools.
const TOOL: u64 = 8;
const TOOLS: u64 = 16;

/// A document whose size is not known.
const UNKNOWN_DOCUMENT: u64 = 3_000;
/// A sound or film whose size is not known.
const UNKNOWN_RECORDING: u64 = 2_000;

/// How many tokens `request` takes as input, a little too many rather than too few.
pub fn estimate(request: &ChatRequest) -> u64 {
    let messages = request.messages.iter().map(message).fold(CONVERSATION, u64::saturating_add);
    let tools = request.tools.iter().map(tool).fold(0, u64::saturating_add);
    let section = if request.tools.is_empty() { 0 } else { TOOLS };
    let output = match &request.output {
        Some(OutputFormat::JsonSchema { name, description, schema, .. }) => {
            count_text(name) + optional(description.as_deref()) + json(schema)
        }
        _ => 0,
    };
    messages.saturating_add(tools).saturating_add(section).saturating_add(output)
}

/// How many tokens an answer has, where its provider did not come to count them.
pub fn written(response: &ChatResponse) -> u64 {
    response.choices.iter().flat_map(|choice| &choice.parts).map(part).fold(0, u64::saturating_add)
}

fn message(message: &Message) -> u64 {
    let parts = message.parts.iter().map(part).fold(0, u64::saturating_add);
    MESSAGE.saturating_add(optional(message.name.as_deref())).saturating_add(parts)
}

fn part(part: &Part) -> u64 {
    match &part.content {
        Content::Text(text) => {
            let cited = text.citations.iter().map(citation).fold(0, u64::saturating_add);
            count_text(&text.text).saturating_add(cited)
        }
        Content::Refusal(text) => count_text(text),
        Content::Reasoning(reasoning) => {
            let hidden = reasoning.opaque.as_ref().map_or(0, |opaque| match opaque.kind {
                // A signature is no input of its own; hidden thinking is, and its ciphertext is about that long in base64.
                OpaqueKind::Signature => 0,
                OpaqueKind::Redacted | OpaqueKind::Encrypted => bytes(&opaque.data, 6),
                OpaqueKind::Details => bytes(&opaque.data, 4),
            });
            let shown = reasoning.summary.iter().map(|text| count_text(text)).fold(0, u64::saturating_add);
            count_text(&reasoning.text).saturating_add(shown).saturating_add(hidden)
        }
        Content::Media(item) => media(item),
        Content::ToolCall(call) => {
            TOOL + count_text(&call.name) + optional(call.namespace.as_deref()) + count_text(&call.arguments)
        }
        Content::ToolResult(result) => {
            // Results hold no results, so this goes one level down.
            let content = result.content.iter().filter(|part| !matches!(part.content, Content::ToolResult(_)));
            content.map(self::part).fold(TOOL, u64::saturating_add)
        }
        Content::Native(native) => json(&native.value),
    }
}

fn citation(citation: &Citation) -> u64 {
    optional(citation.cited_text.as_deref())
}

fn media(media: &Media) -> u64 {
    let typed = |prefix: &str| media.media_type.as_deref().is_some_and(|own| own.starts_with(prefix));
    match (&media.source, media.kind) {
        (MediaSource::Text(text), _) => count_text(text),
        (MediaSource::Base64(data), MediaKind::Image) => image::count(data, media.detail.as_deref()),
        (_, MediaKind::Image) => image::unknown(media.detail.as_deref()),
        // Plain text in base64: three characters a four digits, four characters a token.
        (MediaSource::Base64(data), MediaKind::Document) if typed("text/") || typed("application/json") => {
            bytes(data, 5)
        }
        // A page of PDF is some 50 KB and some 2,000 tokens.
        (MediaSource::Base64(data), MediaKind::Document) => bytes(data, 32).max(1_500),
        (_, MediaKind::Document) => UNKNOWN_DOCUMENT,
        // Some 32 tokens a second, at 48 KB (uncompressed) or 16 KB (compressed) a second.
        (MediaSource::Base64(data), MediaKind::Audio) if typed("audio/wav") || typed("audio/x-wav") => {
            bytes(data, 2_000)
        }
        (MediaSource::Base64(data), MediaKind::Audio) => bytes(data, 600),
        // Some 300 tokens and 150 KB a second.
        (MediaSource::Base64(data), MediaKind::Video) => bytes(data, 600),
        (_, MediaKind::Audio | MediaKind::Video) => UNKNOWN_RECORDING,
    }
}

fn tool(tool: &Tool) -> u64 {
    let described = match &tool.kind {
        ToolKind::Function(function) => {
            let group = function.namespace.as_ref();
            count_text(&function.name)
                + optional(function.description.as_deref())
                + group.map_or(0, |group| count_text(&group.name))
                + function.parameters.as_ref().map_or(0, json)
        }
        ToolKind::Custom { name, description, format, .. } => {
            count_text(name) + optional(description.as_deref()) + format.as_ref().map_or(0, json)
        }
        ToolKind::Native { value, .. } => json(value),
    };
    TOOL.saturating_add(described)
}

fn optional(text: Option<&str>) -> u64 {
    text.map_or(0, count_text)
}

/// `text` at `per_token` bytes a token.
fn bytes(text: &str, per_token: u64) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX).div_ceil(per_token)
}

/// A value as the JSON text that the model reads.
fn json(value: &impl Serialize) -> u64 {
    let mut counter = Counter::default();
    // Counting cannot fail, and values of the model have string keys.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.counted.saturating_add(text::count_bytes(&counter.rest))
}

/// Counts what is written to it, piece by piece.
#[derive(Default)]
struct Counter {
    counted: u64,
    rest: Vec<u8>,
}

impl Write for Counter {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(piece);
        if self.rest.len() > 8 * 1024 {
            self.counted = self.counted.saturating_add(text::count_bytes(&self.rest));
            self.rest.clear();
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "tokens/tests.rs"]
mod tests;
