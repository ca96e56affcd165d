//! The wires: one module reads a request into a [`Turn`] and holds it against the provider's rules, and writes the answer. A module knows
//! its own wire alone.

pub(crate) mod anthropic;
pub(crate) mod anthropic_rules;
pub(crate) mod bedrock;
pub(crate) mod chat;
pub(crate) mod chat_answer;
pub(crate) mod chat_rules;
pub(crate) mod completions;
pub(crate) mod dify;
pub(crate) mod embeddings;
pub(crate) mod gemini;
pub(crate) mod gemini_rules;
pub(crate) mod gemini_schema;
pub(crate) mod models;
pub(crate) mod ollama;
pub(crate) mod responses;
pub(crate) mod responses_answer;

use http::HeaderMap;
use serde_json::Value;

use crate::errors::ErrorShape;
use crate::frame::Frame;
use crate::model::{Reply, Turn, tokens};
use crate::provider::Provider;
use crate::refusal::{Refusal, Verdict};

/// When everything here happened: answers are the same in every run.
pub(crate) const CREATED: u64 = 1_767_225_600;

/// A request as a wire sees it.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Whom it was sent to.
    pub(crate) provider: &'static Provider,
    /// How failures are written here: the endpoint may differ from its provider.
    pub(crate) errors: ErrorShape,
    /// The body.
    pub(crate) body: Value,
    /// The model, where the path names it.
    pub(crate) model: Option<String>,
    /// Whether the path or query asks for a stream.
    pub(crate) stream: bool,
    /// Gemini: `alt=sse` was given.
    pub(crate) sse: bool,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// Makes ids unique per request.
    pub(crate) seed: String,
    /// Responses that were stored before: id → its output items.
    pub(crate) stored: std::collections::HashMap<String, Value>,
}

impl Ask {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// How a wire works, as functions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    /// Reads and checks a request.
    pub(crate) read: fn(&Ask) -> Verdict<Turn>,
    /// Writes a whole answer.
    pub(crate) whole: fn(&Ask, &Turn, &Reply) -> Value,
    /// Writes a stream.
    pub(crate) stream: fn(&Ask, &Turn, &Reply) -> Vec<Frame>,
    /// Writes a failure inside a stream.
    pub(crate) failure: fn(&Ask, &Refusal) -> Vec<Frame>,
    /// Content type of streams.
    pub(crate) content_type: &'static str,
}

pub(crate) const SSE: &str = "text/event-stream";

/// Words of every string in a value: the mock's token count.
pub(crate) fn words(value: &Value) -> u64 {
    match value {
        Value::String(text) => tokens(text),
        Value::Array(items) => items.iter().map(words).sum(),
        Value::Object(map) => map.values().map(words).sum(),
        _ => 0,
    }
}

/// A failure as one `data:` event in the provider's own shape.
pub(crate) fn data_failure(ask: &Ask, refusal: &Refusal) -> Vec<Frame> {
    vec![Frame::data(ask.errors.render(refusal).body)]
}

/// Texts of a content that is a string or a list of parts with `text`.
pub(crate) fn texts(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text.as_str()],
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => Vec::new(),
    }
}

/// The text in which a person's wish is looked for: the last that holds a command of the model's, else the last at all. Programs put
/// reminders of their own beside what the person wrote.
pub(crate) fn wish(texts: &[&str]) -> Option<String> {
    let commands = ["call ", "say ", "repeat ", "use a tool"];
    let is_command = |text: &&&str| {
        let text = text.trim_start();
        commands.iter().any(|command| text.starts_with(command)) || text.contains("[[")
    };
    texts.iter().rev().find(is_command).or_else(|| texts.last()).map(|text| (*text).to_owned())
}

/// Whether a function's schema may be strict as OpenAI means it.
pub(crate) fn strict_schema(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            let object = map.get("type").is_some_and(|kind| kind == "object");
            let closed = map.get("additionalProperties") == Some(&Value::Bool(false));
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let all = schema["properties"].as_object().is_none_or(|properties| {
                properties.iter().all(|(name, inner)| required.contains(&name.as_str()) && strict_schema(inner))
            });
            (!object || closed) && all && map.get("items").is_none_or(strict_schema)
        }
        _ => true,
    }
}
