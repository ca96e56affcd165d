//! Requests, both directions. A prompt is one user message, and the other way round.

use serde_json::Value;

use super::{FORMAT, IN};
use crate::format::{AddressHints, Lossy};
use crate::formats::openai_chat::scalars::SCALARS;
use crate::formats::openai_chat::wire::{Object, json, one, put};
use crate::ir::{ChatRequest, Content, Extras, Loss, Message, OutputFormat, Role};
use crate::{DecodeError, Dialect};

/// Fields that mean the same as in Chat.
const SHARED: [&str; 12] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "logit_bias",
    "n",
    "user",
    "stream",
];

/// Reads a client's request.
pub(super) fn decode(body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
    let mut request = ChatRequest::default();
    let mut extras = Object::new();
    let mut prompt = None;
    for (name, value) in IN.body(body)? {
        let at = format!("/{name}");
        match name.as_str() {
            "model" => request.model = IN.string(value, &at)?.unwrap_or_default(),
            "prompt" => prompt = prompt_text(value)?,
            _ if value.is_null() => {
                extras.insert(name, value);
            }
            "max_tokens" => request.max_tokens = IN.u64(&value, &at)?,
            // A number here: how many alternatives, the chosen one apart.
            "logprobs" => {
                request.sampling.top_logprobs = IN.u32(&value, &at)?;
                request.sampling.logprobs = Some(true);
            }
            "stream_options" => {
                let mut options = IN.object(value, &at)?;
                if let Some(flag) = options.shift_remove("include_usage") {
                    request.include_usage = IN.bool(&flag, "/stream_options/include_usage")?;
                }
                if !options.is_empty() {
                    extras.insert(name, options.into());
                }
            }
            _ => match SCALARS.iter().find(|row| row.name == name && SHARED.contains(&row.name)) {
                Some(row) => {
                    (row.set)(&mut request, value, &at).map_err(|error| DecodeError { format: FORMAT, ..error })?;
                }
                None => {
                    extras.insert(name, value);
                }
            },
        }
    }
    request.messages.push(Message::text(Role::User, prompt.unwrap_or_default()));
    request.extras = Extras::new(FORMAT, extras);
    if request.model.is_empty() {
        hints.model.unwrap_or_default().clone_into(&mut request.model);
    }
    request.stream = request.stream.or(hints.stream);
    Ok(request)
}

/// A string, or a list of one. Lists of more are several requests in one, and token ids mean something to one tokenizer only.
fn prompt_text(value: Value) -> Result<Option<String>, DecodeError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Array(mut items) => match (items.pop(), items.is_empty()) {
            (None, _) => Ok(None),
            (Some(Value::String(text)), true) => Ok(Some(text)),
            (Some(Value::String(_)), false) => Err(IN.error(
                "/prompt",
                "several prompts in one call cannot be converted for this model: send them one by one",
            )),
            (Some(Value::Number(_) | Value::Array(_)), _) => {
                Err(IN.error("/prompt", "token ids cannot be converted for this model: send the prompt as text"))
            }
            _ => Err(IN.error("/prompt", "expected a string or a list of strings")),
        },
        _ => Err(IN.error("/prompt", "expected a string or a list of strings")),
    }
}

/// The prompt that a request stands for: what `echo` repeats.
pub(super) fn prompt(request: &ChatRequest) -> Option<String> {
    match request.messages.as_slice() {
        [message] if message.role == Role::User => {
            message.parts.iter().map(|part| part.as_text()).collect::<Option<String>>()
        }
        _ => None,
    }
}

/// Writes a request for a provider.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
    if request.previous_response_id.is_some() {
        return Err(IN.error("/previous_response_id", "a stored response cannot be continued over completions"));
    }
    let mut losses = Vec::new();
    let mut body = one("model", request.model.as_str());
    let prompt = match prompt(request) {
        Some(prompt) => prompt,
        None => transcript(request, &mut losses),
    };
    body.insert("prompt".into(), prompt.into());
    put(&mut body, "max_tokens", request.max_tokens);
    for row in SCALARS.iter().filter(|row| SHARED.contains(&row.name)) {
        let Some(value) = (row.get)(request) else { continue };
        let lost = match row.name {
            "top_k" | "min_p" if !dialect.top_k => Some("the host does not know it"),
            "n" if dialect.no_n && request.n != Some(1) => Some("the host gives one answer a call"),
            _ => None,
        };
        match lost {
            Some(why) => losses.push(Loss::new(row.name, FORMAT, why)),
            None => {
                body.insert(row.name.into(), value);
            }
        }
    }
    if request.sampling.logprobs == Some(true) {
        body.insert("logprobs".into(), request.sampling.top_logprobs.unwrap_or(0).into());
    }
    if request.stream == Some(true) && !dialect.no_stream_options {
        let kept = request.extras.for_format(FORMAT).and_then(|extras| extras.get("stream_options"));
        let mut options = kept.and_then(Value::as_object).cloned().unwrap_or_default();
        options.insert("include_usage".into(), true.into());
        body.insert("stream_options".into(), options.into());
    }
    report(request, &mut losses);
    for (name, value) in
        request.extras.for_format(FORMAT).into_iter().flatten().filter(|(name, _)| *name != "stream_options")
    {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    for (name, value) in &dialect.defaults {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    for name in &dialect.unsupported {
        if body.shift_remove(name).is_some_and(|value| !value.is_null()) {
            losses.push(Loss::new(name.clone(), FORMAT, "the host refuses it"));
        }
    }
    Ok(Lossy { value: json(&body), losses })
}

/// A conversation as text, for a model that only continues text.
fn transcript(request: &ChatRequest, losses: &mut Vec<Loss>) -> String {
    losses.push(Loss::new("messages", FORMAT, "roles became plain text"));
    let mut text = String::new();
    for (index, message) in request.messages.iter().enumerate() {
        let speaker = match message.role {
            Role::System | Role::Developer => "System",
            Role::User => "User",
            Role::Assistant => "Assistant",
            Role::Tool => "Tool",
        };
        let mut said = String::new();
        for (place, part) in message.parts.iter().enumerate() {
            match &part.content {
                Content::Text(piece) => said.push_str(&piece.text),
                Content::Refusal(piece) => said.push_str(piece),
                Content::ToolResult(result) => said.extend(result.content.iter().filter_map(|part| part.as_text())),
                _ => losses.push(Loss::no_equivalent(format!("messages[{index}].parts[{place}]"), FORMAT)),
            }
        }
        text.push_str(&format!("{speaker}: {said}\n\n"));
    }
    text.push_str("Assistant:");
    text
}

/// What completions have no word for.
fn report(request: &ChatRequest, losses: &mut Vec<Loss>) {
    let absent = [
        ("tools", request.tools.is_empty()),
        ("tool_choice", request.tool_choice.is_none()),
        ("parallel_tool_calls", request.parallel_tool_calls.is_none()),
        ("reasoning", request.reasoning.is_none()),
        ("output", matches!(request.output, None | Some(OutputFormat::Text))),
        ("verbosity", request.verbosity.is_none()),
        ("cache_key", request.cache_key.is_none()),
        ("service_tier", request.service_tier.is_none()),
        ("store", request.store != Some(true)),
        ("metadata", request.metadata.is_none()),
    ];
    losses.extend(absent.into_iter().filter(|(_, absent)| !absent).map(|(name, _)| Loss::no_equivalent(name, FORMAT)));
    losses.extend(request.extras.foreign_to(FORMAT).map(|name| Loss::no_equivalent(format!("extras.{name}"), FORMAT)));
}
