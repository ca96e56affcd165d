//! A client's request → the unified model.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::blocks_in::{self, Source, cache_mark};
use super::{FORMAT, STRUCTURED_TOOL};
use crate::DecodeError;
use crate::format::AddressHints;
use crate::formats::anthropic_messages::thinking;
use crate::ir::{
    ChatRequest, Effort, Extras, FunctionTool, Message, OutputFormat, Role, Sampling, Tool, ToolCallKind, ToolChoice,
    ToolKind,
};
use crate::json::{At, Fields, read};

/// Reads a body of `converse` or `converse-stream`. The model and whether it streams stand in the address.
pub(super) fn decode(body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
    let mut fields = Fields::parse_bytes(FORMAT, body)?;
    let model = match hints.model {
        Some(model) => model.to_owned(),
        None => fields.get("modelId")?.ok_or_else(|| DecodeError::new(FORMAT, "", "the address names no model"))?,
    };
    let mut request = ChatRequest { model, stream: hints.stream, include_usage: Some(true), ..ChatRequest::default() };
    let mut more = Map::new();
    messages(&mut fields, &mut request)?;
    inference(&mut fields, &mut request, &mut more)?;
    tools(&mut fields, &mut request)?;
    model_fields(&mut fields, &mut request, &mut more)?;
    output(&mut fields, &mut request, &mut more)?;
    request.metadata = fields.get("requestMetadata")?;
    if let Some(tier) = fields.get::<Value>("serviceTier")? {
        request.service_tier = tier.get("type").and_then(Value::as_str).map(str::to_owned);
    }
    more.extend(fields.rest()?);
    request.extras = Extras::new(FORMAT, more);
    Ok(request)
}

fn messages(fields: &mut Fields<'_>, request: &mut ChatRequest) -> Result<(), DecodeError> {
    if let Some(raw) = fields.raw("system") {
        let parts = blocks_in::content(raw, Source::Client).at("system")?;
        if !parts.is_empty() {
            request.messages.push(Message::new(Role::System, parts));
        }
    }
    let list: Vec<&RawValue> = fields.require("messages")?;
    for (index, raw) in list.into_iter().enumerate() {
        request.messages.push(message(raw).at(index).at("messages")?);
    }
    Ok(())
}

fn message(raw: &RawValue) -> Result<Message, DecodeError> {
    let mut fields = Fields::parse(FORMAT, raw.get())?;
    let role = match fields.require::<String>("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(DecodeError::new(FORMAT, "/role", "expected user or assistant")),
    };
    let parts = match fields.raw("content") {
        Some(raw) => blocks_in::content(raw, Source::Client).at("content")?,
        None => Vec::new(),
    };
    Ok(Message { extras: Extras::new(FORMAT, fields.rest()?), ..Message::new(role, parts) })
}

fn inference(
    fields: &mut Fields<'_>,
    request: &mut ChatRequest,
    more: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    let Some(raw) = fields.raw("inferenceConfig") else { return Ok(()) };
    let mut config = Fields::parse(FORMAT, raw.get()).at("inferenceConfig")?;
    request.max_tokens = config.get("maxTokens").at("inferenceConfig")?;
    request.sampling = Sampling {
        temperature: config.get("temperature").at("inferenceConfig")?,
        top_p: config.get("topP").at("inferenceConfig")?,
        stop: config.get("stopSequences").at("inferenceConfig")?,
        ..Sampling::default()
    };
    let rest = config.rest()?;
    if !rest.is_empty() {
        more.insert("inferenceConfig".into(), Value::Object(rest));
    }
    Ok(())
}

fn tools(fields: &mut Fields<'_>, request: &mut ChatRequest) -> Result<(), DecodeError> {
    let Some(raw) = fields.raw("toolConfig") else { return Ok(()) };
    let mut config = Fields::parse(FORMAT, raw.get()).at("toolConfig")?;
    let list: Vec<&RawValue> = config.get("tools").at("toolConfig")?.unwrap_or_default();
    for (index, raw) in list.into_iter().enumerate() {
        tool(raw, &mut request.tools).at(index).at("tools").at("toolConfig")?;
    }
    if let Some(choice) = config.get::<Map<String, Value>>("toolChoice").at("toolConfig")? {
        request.tool_choice = Some(tool_choice(choice));
    }
    structured_answer(request);
    Ok(())
}

/// The forced tool of a structured answer is no tool but a form of the answer.
fn structured_answer(request: &mut ChatRequest) {
    let forced = matches!(&request.tool_choice, Some(ToolChoice::Tool { name, .. }) if name == STRUCTURED_TOOL);
    let is_it = |tool: &Tool| matches!(&tool.kind, ToolKind::Function(function) if function.name == STRUCTURED_TOOL);
    let Some(at) = request.tools.iter().position(is_it).filter(|_| forced) else { return };
    if let ToolKind::Function(FunctionTool { parameters: Some(schema), .. }) = request.tools.remove(at).kind {
        request.tool_choice = None;
        let (name, description, strict) = (String::new(), None, None);
        request.output = Some(OutputFormat::JsonSchema { name, description, schema, strict });
    }
}

fn tool(raw: &RawValue, tools: &mut Vec<Tool>) -> Result<(), DecodeError> {
    let mut fields = Fields::parse(FORMAT, raw.get())?;
    if let Some(mark) = fields.get("cachePoint")? {
        if let Some(last) = tools.last_mut() {
            last.cache = Some(cache_mark(&mark));
        }
        return Ok(());
    }
    let Some(spec) = fields.raw("toolSpec") else {
        let mut value: Map<String, Value> = read(FORMAT, raw)?;
        value.retain(|_, value| !value.is_null());
        let kind = value.keys().next().cloned().unwrap_or_default();
        let kind = ToolKind::Native { format: FORMAT, kind, value: Value::Object(value) };
        tools.push(Tool { kind, cache: None, extras: Extras::NONE });
        return Ok(());
    };
    let mut spec = Fields::parse(FORMAT, spec.get()).at("toolSpec")?;
    let schema: Option<Map<String, Value>> = spec.get("inputSchema").at("toolSpec")?;
    let tool = FunctionTool {
        name: spec.require("name").at("toolSpec")?,
        description: spec.get("description").at("toolSpec")?,
        parameters: schema.and_then(|mut schema| schema.shift_remove("json")),
        strict: spec.get("strict").at("toolSpec")?,
        namespace: None,
    };
    tools.push(Tool { extras: Extras::new(FORMAT, spec.rest()?), ..Tool::function(tool) });
    Ok(())
}

fn tool_choice(mut choice: Map<String, Value>) -> ToolChoice {
    choice.retain(|_, value| !value.is_null());
    let name = choice.get("tool").and_then(|tool| tool.get("name")?.as_str());
    match (choice.keys().next().map(String::as_str), name) {
        (Some("auto"), _) => ToolChoice::Auto,
        (Some("any"), _) => ToolChoice::Required,
        (Some("tool"), Some(name)) => ToolChoice::Tool { name: name.to_owned(), kind: ToolCallKind::Function },
        _ => ToolChoice::Native { format: FORMAT, value: Value::Object(choice) },
    }
}

/// What a model takes beyond the common fields. Claude's `thinking`, `top_k` and effort have words in the unified model.
fn model_fields(
    fields: &mut Fields<'_>,
    request: &mut ChatRequest,
    more: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    const NAME: &str = "additionalModelRequestFields";
    let Some(mut extra) = fields.get::<Map<String, Value>>(NAME)? else { return Ok(()) };
    if let Some(top_k) = extra.get("top_k").and_then(Value::as_u64) {
        request.sampling.top_k = Some(top_k);
        extra.shift_remove("top_k");
    }
    let thinking = extra.get_mut("thinking").and_then(Value::as_object_mut);
    let mut reasoning = thinking.and_then(thinking::take);
    if reasoning.is_some() {
        if extra.get("thinking").is_some_and(|rest| *rest == Value::Object(Map::new())) {
            extra.shift_remove("thinking");
        }
        let config = extra.get("output_config").and_then(Value::as_object).filter(|config| config.len() == 1);
        if let Some(effort) = config.and_then(|config| Effort::parse(config.get("effort")?.as_str()?)) {
            reasoning.get_or_insert_default().effort = Some(effort);
            extra.shift_remove("output_config");
        }
    }
    request.reasoning = reasoning;
    if !extra.is_empty() {
        more.insert(NAME.into(), Value::Object(extra));
    }
    Ok(())
}

/// `outputConfig.textFormat`: the schema is JSON inside a string.
fn output(
    fields: &mut Fields<'_>,
    request: &mut ChatRequest,
    more: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    let Some(config) = fields.get::<Map<String, Value>>("outputConfig")? else { return Ok(()) };
    let structure = config.get("textFormat").and_then(|format| format.get("structure")?.get("jsonSchema"));
    let text = |name: &str| structure.and_then(|structure| structure.get(name)?.as_str());
    match text("schema").and_then(|schema| serde_json::from_str(schema).ok()) {
        Some(schema) => {
            request.output = Some(OutputFormat::JsonSchema {
                name: text("name").unwrap_or_default().to_owned(),
                description: text("description").map(str::to_owned),
                schema,
                strict: None,
            });
        }
        None => drop(more.insert("outputConfig".into(), Value::Object(config))),
    }
    Ok(())
}
