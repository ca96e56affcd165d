//! Requests of clients → the unified model: `/api/chat` and `/api/generate`.

use serde_json::{Map, Value};

use crate::formats::fields::{Fields, Path};
use crate::formats::media;
use crate::formats::pairing::Pairing;
use crate::ir::{
    ChatRequest, Content, Effort, Extras, FunctionTool, Media, MediaKind, MediaSource, Message, OutputFormat, Part,
    Reasoning, ReasoningPart, Role, Tool, ToolCall, ToolCallKind, ToolKind, ToolResult,
};
use crate::{ApiFormat, DecodeError};

/// Reads a body of `/api/chat`.
pub(super) fn chat(body: &[u8]) -> Result<ChatRequest, DecodeError> {
    const FORMAT: ApiFormat = ApiFormat::OllamaChat;
    let mut fields = Fields::parse(body, FORMAT)?;
    let mut request = shared(&mut fields, FORMAT)?;
    let path = Path::Key(&Path::Root, "messages");
    let mut pairing = Pairing::default();
    for (index, value) in fields.list("messages")?.unwrap_or_default().into_iter().enumerate() {
        let path = Path::Index(&path, index);
        request.messages.push(read_message(Fields::of(value, FORMAT, &path)?, &path, &mut pairing)?);
    }
    let path = Path::Key(&Path::Root, "tools");
    for (index, value) in fields.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(read_tool(value, &Path::Index(&path, index))?);
    }
    request.extras = Extras::new(FORMAT, fields.rest());
    Ok(request)
}

/// Reads a body of `/api/generate`. `suffix`, `template`, `raw` and `context` stay extra fields: only Ollama knows them.
pub(super) fn generate(body: &[u8]) -> Result<ChatRequest, DecodeError> {
    const FORMAT: ApiFormat = ApiFormat::OllamaGenerate;
    let mut fields = Fields::parse(body, FORMAT)?;
    let mut request = shared(&mut fields, FORMAT)?;
    if let Some(system) = fields.text("system")?.filter(|system| !system.is_empty()) {
        request.messages.push(Message::text(Role::System, system));
    }
    let prompt = fields.text("prompt")?.unwrap_or_default();
    let mut parts = Vec::new();
    if !prompt.is_empty() {
        parts.push(Part::text(prompt));
    }
    parts.extend(read_images(&mut fields)?);
    if !parts.is_empty() {
        request.messages.push(Message::new(Role::User, parts));
    }
    request.extras = Extras::new(FORMAT, fields.rest());
    Ok(request)
}

/// What both have: model, stream (on unless switched off), options, form of the answer, thinking.
fn shared(fields: &mut Fields<'_>, format: ApiFormat) -> Result<ChatRequest, DecodeError> {
    let mut request = ChatRequest {
        model: fields.text("model")?.ok_or_else(|| fields.error("model", "model is required"))?,
        stream: Some(fields.flag("stream")?.unwrap_or(true)),
        include_usage: Some(true),
        ..ChatRequest::default()
    };
    if let Some(options) = fields.object("options")? {
        let path = Path::Key(&Path::Root, "options");
        let rest = read_options(Fields::of(Value::Object(options), format, &path)?, &mut request)?;
        if !rest.is_empty() {
            fields.put_back("options", Value::Object(rest));
        }
    }
    request.output = read_format(fields)?;
    request.reasoning = read_think(fields)?;
    request.sampling.logprobs = fields.flag("logprobs")?;
    request.sampling.top_logprobs = fields.count("top_logprobs")?.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    Ok(request)
}

fn read_options(mut fields: Fields<'_>, request: &mut ChatRequest) -> Result<Map<String, Value>, DecodeError> {
    let sampling = &mut request.sampling;
    sampling.temperature = fields.float("temperature")?;
    sampling.top_p = fields.float("top_p")?;
    sampling.top_k = fields.count("top_k")?;
    sampling.min_p = fields.float("min_p")?;
    sampling.seed = fields.integer("seed")?;
    sampling.presence_penalty = fields.float("presence_penalty")?;
    sampling.frequency_penalty = fields.float("frequency_penalty")?;
    if fields.has("stop") {
        let words = fields.list_or_one("stop").into_iter();
        sampling.stop = Some(words.filter_map(|word| word.as_str().map(str::to_owned)).collect());
    }
    match fields.integer("num_predict")? {
        // -1 is "without end", -2 "until the context is full": only Ollama tells them apart.
        Some(limit @ ..0) => fields.put_back("num_predict", limit.into()),
        limit => request.max_tokens = limit.and_then(|limit| u64::try_from(limit).ok()),
    }
    Ok(fields.rest())
}

/// `"json"` or a schema; an empty word is nothing.
fn read_format(fields: &mut Fields<'_>) -> Result<Option<OutputFormat>, DecodeError> {
    match fields.take("format") {
        None => Ok(None),
        Some(Value::String(word)) if word.is_empty() => Ok(None),
        Some(Value::String(word)) if word == "json" => Ok(Some(OutputFormat::JsonObject)),
        Some(schema @ Value::Object(_)) => {
            Ok(Some(OutputFormat::JsonSchema { name: String::new(), description: None, schema, strict: None }))
        }
        Some(_) => Err(fields.error("format", "is neither \"json\" nor a schema")),
    }
}

fn read_think(fields: &mut Fields<'_>) -> Result<Option<Reasoning>, DecodeError> {
    match fields.take("think") {
        None => Ok(None),
        Some(Value::Bool(on)) => Ok(Some(Reasoning { enabled: Some(on), ..Reasoning::default() })),
        Some(Value::String(word)) => match Effort::parse(&word) {
            Some(effort) => Ok(Some(Reasoning { enabled: Some(true), effort: Some(effort), ..Reasoning::default() })),
            None => Err(fields.error("think", "is neither a boolean nor a known level")),
        },
        Some(_) => Err(fields.error("think", "is neither a boolean nor a known level")),
    }
}

fn read_message(mut fields: Fields<'_>, path: &Path<'_>, pairing: &mut Pairing) -> Result<Message, DecodeError> {
    const FORMAT: ApiFormat = ApiFormat::OllamaChat;
    let role = match fields.text("role")?.as_deref() {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        _ => return Err(fields.error("role", "is none of system, user, assistant and tool")),
    };
    let content = fields.text("content")?.unwrap_or_default();
    let images = read_images(&mut fields)?;
    let mut parts = Vec::new();
    if let Some(text) = fields.text("thinking")?.filter(|text| !text.is_empty()) {
        parts.push(Part::new(Content::Reasoning(ReasoningPart { text, ..ReasoningPart::default() })));
    }
    if role == Role::Tool {
        parts.push(read_result(&mut fields, content, images, pairing)?);
    } else {
        if !content.is_empty() {
            parts.push(Part::text(content));
        }
        parts.extend(images);
    }
    let path = Path::Key(path, "tool_calls");
    for (index, value) in fields.list("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
        let path = Path::Index(&path, index);
        let (id, name, arguments) = read_call(Fields::of(value, FORMAT, &path)?, &path)?;
        let id = pairing.call(&name, id);
        let call = ToolCall { id, name, namespace: None, kind: ToolCallKind::Function, arguments, signature: None };
        parts.push(Part::new(Content::ToolCall(call)));
    }
    Ok(Message { extras: Extras::new(FORMAT, fields.rest()), ..Message::new(role, parts) })
}

/// Id, name and arguments of a call; the arguments are an object, which some programs write as text.
pub(super) fn read_call(
    mut fields: Fields<'_>,
    path: &Path<'_>,
) -> Result<(Option<String>, String, String), DecodeError> {
    let id = fields.text("id")?;
    let inner = fields.object("function")?.ok_or_else(|| fields.error("function", "is missing"))?;
    let path = Path::Key(path, "function");
    let mut inner = Fields::of(Value::Object(inner), ApiFormat::OllamaChat, &path)?;
    let name = inner.text("name")?.unwrap_or_default();
    let arguments = match inner.take("arguments") {
        None => "{}".to_owned(),
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
    };
    Ok((id, name, arguments))
}

/// A result names its tool (`tool_name`, once `name`), its call (`tool_call_id`), or neither.
fn read_result(
    fields: &mut Fields<'_>,
    content: String,
    images: Vec<Part>,
    pairing: &mut Pairing,
) -> Result<Part, DecodeError> {
    let name = fields.text("tool_name")?.or(fields.text("name")?);
    let id = fields.text("tool_call_id")?;
    let (name, call_id) = match (name, id) {
        (Some(name), id) => {
            let id = pairing.result(&name, id);
            (Some(name), id)
        }
        (None, Some(id)) => (None, id),
        (None, None) => pairing.any_result().map_or((None, String::new()), |(name, id)| (Some(name), id)),
    };
    let mut parts = vec![Part::text(content)];
    parts.extend(images);
    let result = ToolResult { call_id, name, kind: ToolCallKind::Function, content: parts, is_error: None };
    Ok(Part::new(Content::ToolResult(result)))
}

/// Images are base64 without a type; some programs write data URLs.
fn read_images(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let list = fields.list("images")?.unwrap_or_default();
    let read = |value: Value| match value {
        Value::String(data) => Ok(Part::new(Content::Media(read_image(data)))),
        _ => Err(fields.error("images", "holds something that is no base64")),
    };
    list.into_iter().map(read).collect()
}

pub(super) fn read_image(data: String) -> Media {
    let (named, data) = match data.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((named, data)) => (Some(named.to_owned()), data.to_owned()),
        None => (None, data),
    };
    let data = media::standard_base64(data);
    let sniffed = media::sniff(&data).map(str::to_owned);
    let media_type = sniffed.or(named).or_else(|| Some(media::usual_type(MediaKind::Image).to_owned()));
    Media { kind: MediaKind::Image, source: MediaSource::Base64(data), media_type, name: None, detail: None }
}

fn read_tool(value: Value, path: &Path<'_>) -> Result<Tool, DecodeError> {
    const FORMAT: ApiFormat = ApiFormat::OllamaChat;
    let whole = value.clone();
    let mut fields = Fields::of(value, FORMAT, path)?;
    let kind = fields.text("type")?.unwrap_or_else(|| "function".to_owned());
    let Some(inner) = fields.object("function")?.filter(|_| kind == "function") else {
        let kind = ToolKind::Native { format: FORMAT, kind, value: whole };
        return Ok(Tool { kind, cache: None, extras: Extras::NONE });
    };
    let path = Path::Key(path, "function");
    let mut inner = Fields::of(Value::Object(inner), FORMAT, &path)?;
    let function = FunctionTool {
        name: inner.text("name")?.ok_or_else(|| inner.error("name", "is missing"))?,
        description: inner.text("description")?,
        parameters: inner.take("parameters"),
        strict: inner.flag("strict")?,
        namespace: None,
    };
    Ok(Tool { extras: Extras::new(FORMAT, fields.rest()), ..Tool::function(function) })
}
