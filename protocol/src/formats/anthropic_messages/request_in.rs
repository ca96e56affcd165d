//! A client's request → the unified model.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::FORMAT;
use super::blocks_in::{self, Source, cache};
use super::thinking;
use crate::DecodeError;
use crate::format::AddressHints;
use crate::ir::{
    ChatRequest, Effort, Extras, FunctionTool, Message, OutputFormat, Reasoning, Role, Sampling, Tool, ToolCallKind,
    ToolChoice, ToolKind,
};
use crate::json::{At, Fields, read};

/// Reads the body of `POST /v1/messages` or of `/v1/messages/count_tokens`: `max_tokens` may be missing, and `model` if the address has it
/// (Vertex).
pub(super) fn decode(body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
    let mut fields = Fields::parse_bytes(FORMAT, body)?;
    let model: Option<String> = fields.get("model")?;
    let model = model
        .or_else(|| hints.model.map(str::to_owned))
        .ok_or_else(|| DecodeError::new(FORMAT, "/model", "is missing"))?;
    let (tool_choice, parallel_tool_calls) = tool_choice(&mut fields)?;
    let mut request = ChatRequest {
        model,
        messages: messages(&mut fields)?,
        tools: tools(&mut fields)?,
        tool_choice,
        parallel_tool_calls,
        sampling: Sampling {
            temperature: fields.get("temperature")?,
            top_p: fields.get("top_p")?,
            top_k: fields.get("top_k")?,
            stop: fields.get("stop_sequences")?,
            ..Sampling::default()
        },
        max_tokens: fields.get("max_tokens")?,
        stream: fields.get("stream")?.or(hints.stream),
        include_usage: Some(true),
        service_tier: fields.get("service_tier")?,
        ..ChatRequest::default()
    };
    // Hosts without a model in the body name their version there; it is for our own codec to write.
    fields.raw("anthropic_version");
    let mut more = Map::new();
    metadata(&mut fields, &mut request, &mut more)?;
    reasoning_and_output(&mut fields, &mut request, &mut more)?;
    more.extend(fields.rest()?);
    request.extras = Extras::new(FORMAT, more);
    Ok(request)
}

fn messages(fields: &mut Fields<'_>) -> Result<Vec<Message>, DecodeError> {
    let mut messages = Vec::new();
    if let Some(raw) = fields.raw("system") {
        let parts = blocks_in::content(raw, Source::Client).at("system")?;
        if parts.iter().any(|part| part.as_text() != Some("")) {
            messages.push(Message::new(Role::System, parts));
        }
    }
    let list: Vec<&RawValue> = fields.require("messages")?;
    for (index, raw) in list.into_iter().enumerate() {
        messages.push(message(raw).at(index).at("messages")?);
    }
    Ok(messages)
}

fn message(raw: &RawValue) -> Result<Message, DecodeError> {
    let mut fields = Fields::parse(FORMAT, raw.get())?;
    let role: String = fields.require("role")?;
    let parts = match fields.raw("content") {
        Some(raw) => blocks_in::content(raw, Source::Client).at("content")?,
        None => Vec::new(),
    };
    let role = match role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        _ => return Err(DecodeError::new(FORMAT, "/role", "expected user, assistant or system")),
    };
    let mut message = Message::new(role, parts);
    message.extras = Extras::new(FORMAT, fields.rest()?);
    Ok(message)
}

fn tools(fields: &mut Fields<'_>) -> Result<Vec<Tool>, DecodeError> {
    let list: Vec<&RawValue> = fields.get("tools")?.unwrap_or_default();
    list.into_iter().enumerate().map(|(index, raw)| tool(raw).at(index).at("tools")).collect()
}

fn tool(raw: &RawValue) -> Result<Tool, DecodeError> {
    let mut fields = Fields::parse(FORMAT, raw.get())?;
    let kind: Option<String> = fields.get("type")?;
    let mut extras = Map::new();
    let cache = cache(fields.get("cache_control")?, &mut extras);
    let kind = match kind {
        Some(kind) if kind != "custom" => {
            let mut value: Map<String, Value> = read(FORMAT, raw)?;
            value.shift_remove("cache_control");
            ToolKind::Native { format: FORMAT, kind, value: Value::Object(value) }
        }
        _ => {
            let tool = FunctionTool {
                name: fields.require("name")?,
                description: fields.get("description")?,
                parameters: fields.get("input_schema")?,
                strict: fields.get("strict")?,
                namespace: None,
            };
            extras.extend(fields.rest()?);
            ToolKind::Function(tool)
        }
    };
    Ok(Tool { kind, cache, extras: Extras::new(FORMAT, extras) })
}

fn tool_choice(fields: &mut Fields<'_>) -> Result<(Option<ToolChoice>, Option<bool>), DecodeError> {
    let Some(raw) = fields.raw("tool_choice") else { return Ok((None, None)) };
    let whole: Value = read(FORMAT, raw).at("tool_choice")?;
    let disabled = whole.get("disable_parallel_tool_use").and_then(Value::as_bool);
    // Some recorded clients write the bare word.
    let kind = whole.as_str().or_else(|| whole.get("type").and_then(Value::as_str)).unwrap_or_default();
    let name = whole.get("name").and_then(Value::as_str);
    let choice = match (kind, name) {
        ("auto", _) => ToolChoice::Auto,
        ("any", _) => ToolChoice::Required,
        ("none", _) => ToolChoice::None,
        ("tool", Some(name)) => ToolChoice::Tool { name: name.to_owned(), kind: ToolCallKind::Function },
        _ => ToolChoice::Native { format: FORMAT, value: whole },
    };
    Ok((Some(choice), disabled.map(|disabled| !disabled)))
}

fn metadata(
    fields: &mut Fields<'_>,
    request: &mut ChatRequest,
    more: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    let Some(mut metadata) = fields.get::<Map<String, Value>>("metadata")? else { return Ok(()) };
    if let Some(Value::String(user)) = metadata.get("user_id") {
        request.user = Some(user.clone());
        metadata.shift_remove("user_id");
    }
    if !metadata.is_empty() {
        more.insert("metadata".into(), Value::Object(metadata));
    }
    Ok(())
}

/// `thinking`, `output_config` and the older `output_format`. Words that the model does not know stay in the extras.
fn reasoning_and_output(
    fields: &mut Fields<'_>,
    request: &mut ChatRequest,
    more: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    let mut reasoning = read_thinking(fields, more)?;
    let mut config: Map<String, Value> = fields.get("output_config")?.unwrap_or_default();
    let effort = config.get("effort").and_then(Value::as_str).and_then(Effort::parse);
    if let Some(effort) = effort {
        if reasoning.is_some() {
            config.shift_remove("effort");
        }
        // Without `thinking` the word stays in the extras too: it then means no thinking, which it does not elsewhere.
        reasoning.get_or_insert_default().effort = Some(effort);
    }
    let format = match config.shift_remove("format") {
        Some(format) => Some(format),
        None => fields.get("output_format")?,
    };
    if let Some(format) = format {
        match output(&format) {
            Some(output) => request.output = Some(output),
            None => {
                config.insert("format".into(), format);
            }
        }
    }
    if !config.is_empty() {
        more.insert("output_config".into(), Value::Object(config));
    }
    request.reasoning = reasoning;
    Ok(())
}

fn read_thinking(fields: &mut Fields<'_>, more: &mut Map<String, Value>) -> Result<Option<Reasoning>, DecodeError> {
    let Some(mut thinking) = fields.get::<Map<String, Value>>("thinking")? else { return Ok(None) };
    let reasoning = thinking::take(&mut thinking);
    if !thinking.is_empty() {
        more.insert("thinking".into(), Value::Object(thinking));
    }
    Ok(reasoning)
}

fn output(format: &Value) -> Option<OutputFormat> {
    (format.get("type")?.as_str()? == "json_schema").then_some(())?;
    let schema = format.get("schema")?.clone();
    let name = format.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(OutputFormat::JsonSchema { name, description: None, schema, strict: None })
}
