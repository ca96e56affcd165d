//! Content blocks → parts. A block is an object with one key that says what it is.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{FORMAT, STRUCTURED_TOOL, media};
use crate::DecodeError;
use crate::ir::{
    CacheMark, Citation, Content, Extras, Native, Opaque, OpaqueKind, Part, ReasoningPart, Text, ToolCall,
    ToolCallKind, ToolResult,
};
use crate::json::{At, Fields, read};
use crate::opaque;

/// Where blocks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A client: opaque blobs may be wrapped ones of another format.
    Client,
    /// A provider.
    Provider,
}

/// A list of blocks. A cache point marks the part before it.
pub(super) fn content(raw: &RawValue, source: Source) -> Result<Vec<Part>, DecodeError> {
    let blocks: Vec<&RawValue> = read(FORMAT, raw)?;
    let mut parts: Vec<Part> = Vec::with_capacity(blocks.len());
    for (index, raw) in blocks.into_iter().enumerate() {
        let mut fields = Fields::parse(FORMAT, raw.get()).at(index)?;
        match fields.get("cachePoint").at(index)? {
            Some(mark) => mark_last(&mut parts, &mark),
            None => parts.push(block(fields, raw, source).at(index)?),
        }
    }
    Ok(parts)
}

fn mark_last(parts: &mut [Part], mark: &Map<String, Value>) {
    if let Some(last) = parts.last_mut() {
        last.cache = Some(cache_mark(mark));
    }
}

/// Reads the object of a `cachePoint`.
pub(super) fn cache_mark(mark: &Map<String, Value>) -> CacheMark {
    CacheMark { ttl: mark.get("ttl").and_then(Value::as_str).map(str::to_owned) }
}

fn block(mut fields: Fields<'_>, raw: &RawValue, source: Source) -> Result<Part, DecodeError> {
    // SDKs write all keys of a union, with `null` for those that are not it.
    if let Some(text) = fields.get::<String>("text")? {
        return Ok(Part::text(text));
    }
    if let Some(json) = fields.raw("json") {
        return Ok(Part::text(json.get()));
    }
    for key in ["toolUse", "toolResult", "reasoningContent", "citationsContent", "image", "document", "video"] {
        let Some(inner) = fields.raw(key) else { continue };
        let mut inner = Fields::parse(FORMAT, inner.get()).at(key)?;
        let content = match key {
            "toolUse" => tool_use(&mut inner).at(key)?,
            "toolResult" => tool_result(&mut inner, source).at(key)?,
            "reasoningContent" => reasoning(&mut inner, source).at(key)?,
            "citationsContent" => Some(cited(&mut inner).at(key)?),
            medium => match media::kind(medium) {
                Some(kind) => media::read(kind, &mut inner).at(key)?.map(Content::Media),
                None => None,
            },
        };
        let Some(content) = content else { break };
        return Ok(Part { extras: Extras::new(FORMAT, inner.rest()?), ..Part::new(content) });
    }
    native(raw)
}

/// A block that only this format understands.
fn native(raw: &RawValue) -> Result<Part, DecodeError> {
    let mut value: Map<String, Value> = read(FORMAT, raw)?;
    value.retain(|_, value| !value.is_null());
    let kind = value.keys().next().cloned().ok_or_else(|| DecodeError::new(FORMAT, "", "an empty block"))?;
    Ok(Part::new(Content::Native(Native { format: FORMAT, kind, value: Value::Object(value) })))
}

/// A call; nothing if the provider runs the tool itself. The forced tool of a structured answer is the answer.
fn tool_use(fields: &mut Fields<'_>) -> Result<Option<Content>, DecodeError> {
    if fields.get::<String>("type")?.is_some_and(|kind| kind != "tool_use") {
        return Ok(None);
    }
    let name: String = fields.require("name")?;
    let arguments = fields.raw("input").map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned());
    let id = fields.get("toolUseId")?.unwrap_or_default();
    if name == STRUCTURED_TOOL {
        return Ok(Some(Content::Text(Text { text: arguments, citations: Vec::new() })));
    }
    let kind = ToolCallKind::Function;
    Ok(Some(Content::ToolCall(ToolCall { id, name, namespace: None, kind, arguments, signature: None })))
}

fn tool_result(fields: &mut Fields<'_>, source: Source) -> Result<Option<Content>, DecodeError> {
    if fields.get::<String>("type")?.is_some() {
        return Ok(None);
    }
    let parts = match fields.raw("content") {
        Some(raw) => content(raw, source).at("content")?,
        None => Vec::new(),
    };
    let status: Option<String> = fields.get("status")?;
    Ok(Some(Content::ToolResult(ToolResult {
        call_id: fields.get("toolUseId")?.unwrap_or_default(),
        name: None,
        kind: ToolCallKind::Function,
        content: parts,
        is_error: status.map(|status| status == "error"),
    })))
}

fn reasoning(fields: &mut Fields<'_>, source: Source) -> Result<Option<Content>, DecodeError> {
    let unwrap = |blob: String, kind| match source {
        Source::Client => opaque::unwrap(&blob, FORMAT, kind),
        Source::Provider => Opaque { kind, format: FORMAT, data: blob },
    };
    if let Some(data) = fields.get::<String>("redactedContent")? {
        let opaque = Some(unwrap(data, OpaqueKind::Redacted));
        return Ok(Some(Content::Reasoning(ReasoningPart { opaque, ..ReasoningPart::default() })));
    }
    let Some(raw) = fields.raw("reasoningText") else { return Ok(None) };
    let mut inner = Fields::parse(FORMAT, raw.get()).at("reasoningText")?;
    let text = inner.get("text").at("reasoningText")?.unwrap_or_default();
    let signature: Option<String> = inner.get("signature").at("reasoningText")?;
    let signature = signature.filter(|signature| !signature.is_empty());
    let opaque = signature.map(|signature| unwrap(signature, OpaqueKind::Signature));
    Ok(Some(Content::Reasoning(ReasoningPart { text, summary: Vec::new(), opaque })))
}

fn cited(fields: &mut Fields<'_>) -> Result<Content, DecodeError> {
    let pieces: Vec<Map<String, Value>> = fields.get("content")?.unwrap_or_default();
    let text = pieces.iter().filter_map(|piece| piece.get("text")?.as_str()).collect();
    let sources: Vec<Map<String, Value>> = fields.get("citations")?.unwrap_or_default();
    Ok(Content::Text(Text { text, citations: sources.into_iter().map(citation).collect() }))
}

/// One citation: what all formats know, and the whole for the way back.
pub(super) fn citation(whole: Map<String, Value>) -> Citation {
    let pieces = whole.get("sourceContent").and_then(Value::as_array).into_iter().flatten();
    let cited: String = pieces.filter_map(|piece| piece.get("text")?.as_str()).collect();
    let url = whole.get("location").and_then(|location| location.get("web")?.get("url")?.as_str());
    Citation {
        url: url.map(str::to_owned),
        title: whole.get("title").and_then(Value::as_str).map(str::to_owned),
        cited_text: Some(cited).filter(|cited| !cited.is_empty()),
        start: None,
        end: None,
        extras: Extras::new(FORMAT, whole),
    }
}
