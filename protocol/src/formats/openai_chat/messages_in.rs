//! Messages → parts: what clients send as history, and the message of an answer.

use std::collections::HashMap;

use serde_json::Value;

use super::wire::{FORMAT, IN, Object, json_text, one, take_object, take_text};
use super::{details, media};
use crate::ir::{
    CacheMark, Citation, Content, Extras, Media, MediaKind, MediaSource, Message, Native, Opaque, OpaqueKind, Part,
    ReasoningPart, Role, ToolCall, ToolCallKind, ToolResult,
};
use crate::{ApiFormat, DecodeError, opaque};

/// Reads `messages` of a request.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// What kind each call so far was, by its id: results do not say.
    kinds: HashMap<String, ToolCallKind>,
    /// Legacy calls have no ids: how many there were, and the newest id by function name.
    legacy: HashMap<String, String>,
}

impl Reader {
    /// Reads one message.
    pub(super) fn message(&mut self, value: Value, at: &str) -> Result<Message, DecodeError> {
        let mut fields = IN.object(value, at)?;
        let role = take_text(&mut fields, "role").ok_or_else(|| IN.error(&format!("{at}/role"), "expected a role"))?;
        let role = match role.as_str() {
            "system" => Role::System,
            "developer" => Role::Developer,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            "function" => return self.function_result(fields, at),
            _ => return Err(IN.error(&format!("{at}/role"), format!("unknown role `{role}`"))),
        };
        match role {
            Role::Tool => self.tool_result(fields, at),
            Role::Assistant => self.assistant(fields, at),
            _ => {
                let parts = content_parts(fields.shift_remove("content"), &format!("{at}/content"))?;
                Ok(finished(role, parts, fields))
            }
        }
    }

    fn assistant(&mut self, mut fields: Object, at: &str) -> Result<Message, DecodeError> {
        let content = content_parts(fields.shift_remove("content"), &format!("{at}/content"))?;
        let mut parts = answer_parts(content, &mut fields, Side::Client);
        for part in &mut parts {
            let Content::ToolCall(call) = &mut part.content else { continue };
            if call.id.is_empty() {
                call.id = format!("call_{}", self.kinds.len());
                self.legacy.insert(call.name.clone(), call.id.clone());
            }
            self.kinds.insert(call.id.clone(), call.kind);
        }
        Ok(finished(Role::Assistant, parts, fields))
    }

    fn tool_result(&mut self, mut fields: Object, at: &str) -> Result<Message, DecodeError> {
        let call_id =
            IN.string(fields.shift_remove("tool_call_id").unwrap_or_default(), &format!("{at}/tool_call_id"))?;
        let call_id = call_id.unwrap_or_default();
        let kind = self.kinds.get(&call_id).copied().unwrap_or_default();
        self.result(call_id, kind, fields, at)
    }

    fn function_result(&mut self, fields: Object, at: &str) -> Result<Message, DecodeError> {
        let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
        let call_id = self.legacy.get(name).cloned().unwrap_or_default();
        self.result(call_id, ToolCallKind::Function, fields, at)
    }

    fn result(
        &self,
        call_id: String,
        kind: ToolCallKind,
        mut fields: Object,
        at: &str,
    ) -> Result<Message, DecodeError> {
        let mut content = content_parts(fields.shift_remove("content"), &format!("{at}/content"))?;
        // The mark of the last piece is the mark of the whole result: formats with one block a result have only that.
        let cache = content.last_mut().and_then(|part| part.cache.take());
        let name = fields.get("name").and_then(Value::as_str).map(str::to_owned);
        let result = ToolResult { call_id, name, kind, content, is_error: None };
        let part = Part { cache, ..Part::new(Content::ToolResult(result)) };
        Ok(finished(Role::Tool, vec![part], fields))
    }
}

/// Known fields that say nothing when they are null; clients replay answers with all of them.
const NULLABLE: [&str; 8] =
    ["name", "refusal", "audio", "tool_calls", "function_call", "annotations", "reasoning_content", "reasoning"];

fn finished(role: Role, mut parts: Vec<Part>, mut fields: Object) -> Message {
    let name = take_text(&mut fields, "name");
    if let Some(mark) = fields.get("cache_control").and_then(cache_mark)
        && let Some(last) = parts.last_mut()
    {
        fields.shift_remove("cache_control");
        last.cache = Some(mark);
    }
    for name in NULLABLE {
        if fields.get(name).is_some_and(|value| value.is_null() || value.as_array().is_some_and(Vec::is_empty)) {
            fields.shift_remove(name);
        }
    }
    Message { role, parts, name, extras: Extras::new(FORMAT, fields) }
}

/// `content`: a string, a list of parts, or nothing.
pub(super) fn content_parts(content: Option<Value>, at: &str) -> Result<Vec<Part>, DecodeError> {
    match content {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(items)) => {
            let parts = items.into_iter().enumerate().map(|(index, item)| match item {
                Value::String(text) => Ok(Part::text(text)),
                item => content_part(IN.object(item, &format!("{at}/{index}"))?, &format!("{at}/{index}")),
            });
            parts.collect()
        }
        Some(_) => Err(IN.error(at, "expected a string or a list of parts")),
    }
}

fn content_part(mut fields: Object, at: &str) -> Result<Part, DecodeError> {
    let kind = take_text(&mut fields, "type").ok_or_else(|| IN.error(&format!("{at}/type"), "expected a type"))?;
    let cache = fields.get("cache_control").and_then(cache_mark);
    if cache.is_some() || fields.get("cache_control").is_some_and(Value::is_null) {
        fields.shift_remove("cache_control");
    }
    let part = match kind.as_str() {
        // Some clients send the Responses API's names here.
        "text" | "input_text" | "output_text" => match fields.get_mut("text").map(Value::take) {
            Some(Value::String(text)) => {
                fields.shift_remove("text");
                Part { extras: Extras::new(FORMAT, fields), ..Part::text(text) }
            }
            _ => return Err(IN.error(&format!("{at}/text"), "expected a string")),
        },
        "refusal" => {
            let text = take_text(&mut fields, "refusal").unwrap_or_default();
            Part { extras: Extras::new(FORMAT, fields), ..Part::new(Content::Refusal(text)) }
        }
        "thinking" => thinking(fields),
        kind => media::decode(kind, fields).unwrap_or_else(|fields| native(kind, fields)),
    };
    Ok(Part { cache, ..part })
}

/// A part that no other format knows keeps its whole object.
fn native(kind: &str, fields: Object) -> Part {
    let mut whole = one("type", kind);
    whole.extend(fields);
    Part::new(Content::Native(Native { format: FORMAT, kind: kind.to_owned(), value: Value::Object(whole) }))
}

/// Mistral's `{"type":"thinking","thinking":[{"type":"text","text":…}],"closed":true}`.
pub(super) fn thinking(mut fields: Object) -> Part {
    let text = match fields.shift_remove("thinking") {
        Some(Value::String(text)) => text,
        Some(Value::Array(pieces)) => pieces.iter().filter_map(|piece| piece.get("text")?.as_str()).collect(),
        _ => String::new(),
    };
    let opaque = take_text(&mut fields, "signature").map(|blob| opaque::unwrap(&blob, FORMAT, OpaqueKind::Signature));
    // `closed` only says that the block is whole.
    fields.shift_remove("closed");
    let reasoning = ReasoningPart { text, summary: Vec::new(), opaque };
    Part { extras: Extras::new(FORMAT, fields), ..Part::new(Content::Reasoning(reasoning)) }
}

/// Anthropic's mark, as OpenRouter and others take it.
pub(super) fn cache_mark(value: &Value) -> Option<CacheMark> {
    let fields = value.as_object()?;
    let ttl = fields.get("ttl").and_then(Value::as_str).map(str::to_owned);
    (fields.get("type").and_then(Value::as_str) == Some("ephemeral")).then_some(CacheMark { ttl })
}

/// Who wrote an assistant message: a client may replay thinking that we wrapped for it, a host knows only its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Host,
}

/// The parts of an assistant message, in the order in which formats with ordered parts want them: thinking, content, calls. Takes what it
/// understands out of `fields`.
pub(super) fn answer_parts(content: Vec<Part>, fields: &mut Object, side: Side) -> Vec<Part> {
    let mut parts = reasoning_parts(fields, side);
    parts.extend(content);
    if let Some(text) = take_text(fields, "refusal") {
        parts.push(Part::new(Content::Refusal(text)));
    }
    annotate(&mut parts, fields);
    images(&mut parts, fields);
    if let Some(audio) = take_object(fields, "audio") {
        parts.push(audio_part(audio));
    }
    match fields.get_mut("tool_calls").map(Value::take) {
        Some(Value::Array(calls)) => {
            fields.shift_remove("tool_calls");
            parts.extend(calls.into_iter().filter_map(tool_call));
        }
        Some(other) => {
            fields.insert("tool_calls".into(), other);
        }
        None => {}
    }
    if let Some(call) = take_object(fields, "function_call") {
        let function = one("function", call);
        parts.extend(tool_call(Value::Object(function)));
    }
    parts
}

fn reasoning_parts(fields: &mut Object, side: Side) -> Vec<Part> {
    let content = take_text(fields, "reasoning_content");
    let short = take_text(fields, "reasoning");
    let shown = content.or(short);
    let list = match fields.get_mut("reasoning_details") {
        Some(Value::Array(list)) => std::mem::take(list),
        _ => Vec::new(),
    };
    if fields.get("reasoning_details").is_some_and(|list| list.is_null() || list.is_array()) {
        fields.shift_remove("reasoning_details");
    }
    let known = if list.is_empty() {
        shown.map(|text| (ReasoningPart { text, ..ReasoningPart::default() }, None)).into_iter().collect()
    } else {
        match side {
            Side::Client => details::of_client(&list, shown),
            Side::Host => vec![(details::of_host(&list, shown), None)],
        }
    };
    known.into_iter().map(|(reasoning, item_id)| Part { item_id, ..Part::new(Content::Reasoning(reasoning)) }).collect()
}

/// `annotations` rest on the text; without one they stay where they are.
fn annotate(parts: &mut [Part], fields: &mut Object) {
    let Some(Value::Array(list)) = fields.get("annotations") else { return };
    if !list.iter().all(|annotation| citation(annotation).is_some()) || list.is_empty() {
        return;
    }
    let text = parts.iter_mut().rev().find_map(|part| match &mut part.content {
        Content::Text(text) => Some(text),
        _ => None,
    });
    if let Some(text) = text {
        text.citations = list.iter().filter_map(citation).collect();
        fields.shift_remove("annotations");
    }
}

/// `{"type":"url_citation","url_citation":{url,title,start_index,end_index}}`.
pub(super) fn citation(annotation: &Value) -> Option<Citation> {
    let fields = annotation.as_object()?;
    let inner = annotation.get("url_citation").unwrap_or(annotation);
    let text = |name: &str| inner.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Citation {
        url: text("url"),
        title: text("title"),
        cited_text: text("content"),
        start: inner.get("start_index").and_then(Value::as_u64),
        end: inner.get("end_index").and_then(Value::as_u64),
        extras: Extras::new(FORMAT, fields.clone()),
    })
}

/// OpenRouter's `images`: pictures that the model drew.
fn images(parts: &mut Vec<Part>, fields: &mut Object) {
    let Some(Value::Array(list)) = fields.get_mut("images") else { return };
    let list = std::mem::take(list);
    fields.shift_remove("images");
    parts.extend(list.into_iter().filter_map(image));
}

/// One picture of such a list.
pub(super) fn image(value: Value) -> Option<Part> {
    let Value::Object(mut fields) = value else { return None };
    // The list's own numbering means nothing outside of it.
    fields.shift_remove("index");
    let kind = take_text(&mut fields, "type").unwrap_or_else(|| "image_url".into());
    media::decode(&kind, fields).ok()
}

/// `audio` of an answer (`id`, `data`, `transcript`, `expires_at`) or of history (`id` alone).
pub(super) fn audio_part(mut fields: Object) -> Part {
    let source = match take_text(&mut fields, "data") {
        Some(data) => MediaSource::Base64(data),
        None => MediaSource::FileId(take_text(&mut fields, "id").unwrap_or_default()),
    };
    let media_type = match &source {
        MediaSource::Base64(data) => Some(crate::formats::media::sniff(data).unwrap_or("audio/wav").to_owned()),
        _ => None,
    };
    let audio = Media { kind: MediaKind::Audio, source, media_type, name: None, detail: None };
    Part { extras: Extras::new(FORMAT, fields), ..Part::new(Content::Media(audio)) }
}

/// One entry of `tool_calls`. Arguments are kept as they were written; hosts that send an object instead of its text get it written out.
fn tool_call(value: Value) -> Option<Part> {
    let Value::Object(mut fields) = value else { return None };
    let id = take_text(&mut fields, "id").unwrap_or_default();
    fields.shift_remove("type");
    // The position in the list says it all; some hosts repeat it as a field.
    fields.shift_remove("index");
    let custom = take_object(&mut fields, "custom");
    let kind = if custom.is_some() { ToolCallKind::Custom } else { ToolCallKind::Function };
    let mut inner = custom.or_else(|| take_object(&mut fields, "function"))?;
    let name = take_text(&mut inner, "name").unwrap_or_default();
    let arguments =
        arguments(inner.shift_remove(if kind == ToolCallKind::Custom { "input" } else { "arguments" }), kind);
    if !inner.is_empty() {
        fields.insert(if kind == ToolCallKind::Custom { "custom" } else { "function" }.into(), inner.into());
    }
    let signature = signature(&mut fields);
    let call = ToolCall { id, name, namespace: None, kind, arguments, signature };
    Some(Part { extras: Extras::new(FORMAT, fields), ..Part::new(Content::ToolCall(call)) })
}

/// Arguments as text; none at all is `{}`.
pub(super) fn arguments(value: Option<Value>, kind: ToolCallKind) -> String {
    match value {
        Some(Value::String(text)) if kind == ToolCallKind::Custom || !text.trim().is_empty() => text,
        None | Some(Value::Null | Value::String(_)) if kind == ToolCallKind::Custom => String::new(),
        None | Some(Value::Null | Value::String(_)) => "{}".into(),
        Some(other) => json_text(&other),
    }
}

/// Takes `extra_content.google.thought_signature`.
pub(super) fn signature(fields: &mut Object) -> Option<Opaque> {
    let mut extra = take_object(fields, "extra_content")?;
    let mut google = take_object(&mut extra, "google").unwrap_or_default();
    let blob = take_text(&mut google, "thought_signature");
    if !google.is_empty() {
        extra.insert("google".into(), google.into());
    }
    if !extra.is_empty() {
        fields.insert("extra_content".into(), extra.into());
    }
    Some(opaque::unwrap(&blob?, ApiFormat::Gemini, OpaqueKind::Signature))
}
