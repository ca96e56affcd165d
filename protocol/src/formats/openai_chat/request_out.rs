//! The unified model → a provider's request.

use serde_json::Value;

use super::scalars::SCALARS;
use super::wire::{FORMAT, IN, Object, json, json_text, one, put};
use super::{messages_out, thinking, tools};
use crate::dialect::MaxTokensField;
use crate::format::Lossy;
use crate::ir::{ChatRequest, Content, Loss, Message, OutputFormat};
use crate::{DecodeError, Dialect};

/// Extras that are not simply laid over the body: they are merged elsewhere.
const HANDLED: [&str; 4] = ["thinking", "reasoning", "chat_template_kwargs", "stream_options"];

/// Writes a request.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
    if request.previous_response_id.is_some() {
        return Err(IN.error("/previous_response_id", "a stored response cannot be continued over chat completions"));
    }
    let mut losses = Vec::new();
    let mut body = one("model", request.model.as_str());
    let mut messages = messages_out::encode(request, dialect, &mut losses);
    if let Some(output) = &request.output {
        let (format, instruction) = response_format(output, &request.messages, dialect, &mut losses);
        body.insert("response_format".into(), format);
        instruction.into_iter().for_each(|text| instruct(&mut messages, &text));
    }
    body.insert("messages".into(), messages.into());
    tools::encode(request, dialect, &mut body, &mut losses);
    let limit = match dialect.max_tokens {
        MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
        MaxTokensField::MaxTokens => "max_tokens",
    };
    put(&mut body, limit, request.max_tokens);
    scalars(request, dialect, &mut body, &mut losses);
    thinking::encode(request, dialect, &mut body, &mut losses);
    stream(request, dialect, &mut body);
    extras(request, &mut body, &mut losses);
    for (name, value) in &dialect.defaults {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    for name in &dialect.unsupported {
        // Where nothing is kept, `store: false` is no wish that was refused.
        let asked = |value: Value| !(value.is_null() || name == "store" && value == false);
        if body.shift_remove(name).is_some_and(asked) {
            losses.push(Loss::new(name.clone(), FORMAT, "the host refuses it"));
        }
    }
    Ok(Lossy { value: json(&body), losses })
}

fn scalars(request: &ChatRequest, dialect: &Dialect, body: &mut Object, losses: &mut Vec<Loss>) {
    for row in &SCALARS {
        let Some(value) = (row.get)(request) else { continue };
        let lost = match row.name {
            // Written with the tools, which it is about.
            "parallel_tool_calls" => continue,
            "top_k" | "min_p" if !dialect.top_k => Some("the host does not know it"),
            "n" if dialect.no_n && request.n.is_some_and(|n| n > 1) => Some("the host gives one answer a call"),
            "n" if dialect.no_n => continue,
            _ => None,
        };
        match lost {
            Some(why) => losses.push(Loss::new(row.name, FORMAT, why)),
            None => {
                body.insert(row.name.into(), value);
            }
        }
    }
}

/// Usage is asked for always: without it a stream counts nothing.
fn stream(request: &ChatRequest, dialect: &Dialect, body: &mut Object) {
    if request.stream != Some(true) {
        return;
    }
    if !dialect.no_stream_options {
        let kept = request.extras.for_format(FORMAT).and_then(|extras| extras.get("stream_options"));
        let mut options = kept.and_then(Value::as_object).cloned().unwrap_or_default();
        options.insert("include_usage".into(), true.into());
        body.insert("stream_options".into(), options.into());
    }
    if dialect.tool_stream && !request.tools.is_empty() {
        body.insert("tool_stream".into(), true.into());
    }
}

fn extras(request: &ChatRequest, body: &mut Object, losses: &mut Vec<Loss>) {
    for (name, value) in request.extras.for_format(FORMAT).into_iter().flatten() {
        let raw = !value.is_object() && name != "stream_options";
        if !name.starts_with('@') && (!HANDLED.contains(&name.as_str()) || raw) {
            body.entry(name.as_str()).or_insert_with(|| value.clone());
        }
    }
    losses.extend(request.extras.foreign_to(FORMAT).map(|name| Loss::no_equivalent(format!("extras.{name}"), FORMAT)));
}

/// `response_format`, and what has to be said in words besides.
fn response_format(
    output: &OutputFormat,
    messages: &[Message],
    dialect: &Dialect,
    losses: &mut Vec<Loss>,
) -> (Value, Option<String>) {
    let object = || Value::from(one("type", "json_object"));
    match output {
        OutputFormat::Text => (one("type", "text").into(), None),
        OutputFormat::JsonObject => {
            // Several hosts answer 400 unless the prompt speaks of JSON.
            let said = messages.iter().flat_map(|message| &message.parts).any(|part| match &part.content {
                Content::Text(text) => text.text.to_ascii_lowercase().contains("json"),
                _ => false,
            });
            (object(), (!said).then(|| "Answer with a JSON object.".to_owned()))
        }
        OutputFormat::JsonSchema { schema, .. } if dialect.no_json_schema => {
            losses.push(Loss::new("output.schema", FORMAT, "the host knows no schemas: it stands in the prompt"));
            let text = format!("Answer with a JSON object that follows this JSON Schema:\n{}", json_text(schema));
            (object(), Some(text))
        }
        OutputFormat::JsonSchema { name, description, schema, strict } => {
            let mut inner = one("name", if name.is_empty() { "answer" } else { name.as_str() });
            put(&mut inner, "description", description.as_deref());
            put(&mut inner, "schema", (!schema.is_null()).then(|| schema.clone()));
            put(&mut inner, "strict", *strict);
            let mut fields = one("type", "json_schema");
            fields.insert("json_schema".into(), inner.into());
            (fields.into(), None)
        }
    }
}

/// Adds a sentence to the system prompt.
fn instruct(messages: &mut Vec<Value>, text: &str) {
    let system = |value: &Value| matches!(value.get("role").and_then(Value::as_str), Some("system" | "developer"));
    let leading = messages.iter().take_while(|message| system(message)).count();
    let last = leading.checked_sub(1).and_then(|at| messages.get_mut(at));
    match last.and_then(|message| message.get_mut("content")) {
        Some(Value::String(content)) => {
            content.push_str("\n\n");
            content.push_str(text);
        }
        Some(Value::Array(parts)) => parts.push(super::media::text_part(text).into()),
        _ => {
            let mut fields = one("role", "system");
            fields.insert("content".into(), text.into());
            messages.insert(0, fields.into());
        }
    }
}
