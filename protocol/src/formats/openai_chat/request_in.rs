//! A client's request → the unified model.

use serde_json::Value;

use super::scalars::SCALARS;
use super::wire::{FORMAT, IN, Object, take_object, take_text};
use super::{messages_in, thinking, tools};
use crate::DecodeError;
use crate::format::AddressHints;
use crate::ir::{ChatRequest, Extras, OutputFormat};

/// A note in the extras of a request that came with the legacy `functions`: its client waits for `function_call`.
pub(super) const LEGACY: &str = "@functions";

/// Reads a request.
pub(super) fn decode(body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
    let fields = IN.body(body)?;
    let mut request = ChatRequest::default();
    let mut extras = Object::new();
    let mut limits = (None, None);
    let mut messages = None;
    for (name, value) in fields {
        let at = format!("/{name}");
        match name.as_str() {
            "model" => request.model = IN.string(value, &at)?.unwrap_or_default(),
            "messages" => messages = Some(value),
            // An explicit null is no value, and goes on as what it was.
            _ if value.is_null() => {
                extras.insert(name, value);
            }
            "max_tokens" => limits.0 = IN.u64(&value, &at)?,
            "max_completion_tokens" => limits.1 = IN.u64(&value, &at)?,
            "response_format" => {
                if let Some(rest) = output(&mut request, value) {
                    extras.insert(name, rest);
                }
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
            "tools" => {
                let list = IN.array(value, &at)?.into_iter().enumerate();
                let list = list.map(|(index, tool)| tools::decode(tool, &format!("/tools/{index}")));
                request.tools.extend(list.collect::<Result<Vec<_>, _>>()?);
            }
            "tool_choice" => request.tool_choice = Some(tools::decode_choice(value)),
            "functions" => {
                request.tools.extend(tools::decode_legacy(value, &at)?);
                extras.insert(LEGACY.into(), true.into());
            }
            "function_call" => request.tool_choice = Some(tools::decode_choice(value)),
            _ => match SCALARS.iter().find(|row| row.name == name) {
                Some(row) => (row.set)(&mut request, value, &at)?,
                None => {
                    if let Some(rest) = thinking::decode(&mut request, &name, value, &at)? {
                        extras.insert(name, rest);
                    }
                }
            },
        }
    }
    request.max_tokens = limits.1.or(limits.0);
    request.extras = Extras::new(FORMAT, extras);
    request.model = if request.model.is_empty() { hints.model.unwrap_or_default().to_owned() } else { request.model };
    request.stream = request.stream.or(hints.stream);
    let list = messages.ok_or_else(|| IN.error("/messages", "is required"))?;
    let mut reader = messages_in::Reader::default();
    for (index, message) in IN.array(list, "/messages")?.into_iter().enumerate() {
        request.messages.push(reader.message(message, &format!("/messages/{index}"))?);
    }
    Ok(request)
}

/// Reads `response_format`; gives back what the model has no word for.
fn output(request: &mut ChatRequest, value: Value) -> Option<Value> {
    match value.get("type").and_then(Value::as_str) {
        Some("text") => request.output = Some(OutputFormat::Text),
        Some("json_object") if value.get("schema").is_none() => request.output = Some(OutputFormat::JsonObject),
        Some("json_schema") => {
            let Value::Object(mut whole) = value else { return None };
            let Some(mut inner) = take_object(&mut whole, "json_schema") else { return Some(whole.into()) };
            let name = take_text(&mut inner, "name").unwrap_or_default();
            let description = take_text(&mut inner, "description");
            let schema = inner.shift_remove("schema").unwrap_or_default();
            let strict = inner.get("strict").and_then(Value::as_bool);
            request.output = Some(OutputFormat::JsonSchema { name, description, schema, strict });
        }
        _ => return Some(value),
    }
    None
}
