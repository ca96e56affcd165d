//! Content blocks → parts. The same blocks stand in requests and in answers.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::FORMAT;
use super::carrier;
use crate::DecodeError;
use crate::ir::{
    CacheMark, Citation, Content, Extras, Media, MediaKind, MediaSource, Native, Opaque, OpaqueKind, Part,
    ReasoningPart, Text, ToolCall, ToolCallKind, ToolResult,
};
use crate::json::{At, Fields, first_char, read};
use crate::opaque;

/// Where blocks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A client: opaque blobs may be wrapped ones of another format.
    Client,
    /// A provider: its blobs are its own, whatever they look like.
    Provider,
}

/// Content that is a string or a list of blocks. A string is one text part.
pub(super) fn content(raw: &RawValue, source: Source) -> Result<Vec<Part>, DecodeError> {
    if first_char(raw) == '"' {
        return Ok(vec![Part::text(read::<String>(FORMAT, raw)?)]);
    }
    let blocks: Vec<&RawValue> = read(FORMAT, raw)?;
    let mut parts = Vec::with_capacity(blocks.len());
    let mut signatures = Vec::new();
    for (index, raw) in blocks.into_iter().enumerate() {
        match block(raw, source).at(index)? {
            Block::Part(part) => parts.push(part),
            Block::CallSignature(id, opaque) => signatures.push((id, opaque)),
        }
    }
    for (id, opaque) in signatures {
        let call = parts.iter_mut().find_map(|part: &mut Part| match &mut part.content {
            Content::ToolCall(call) if call.id == id => Some(call),
            _ => None,
        });
        if let Some(call) = call {
            call.signature = Some(opaque);
        }
    }
    Ok(parts)
}

/// One block.
pub(super) enum Block {
    /// A part of the message.
    Part(Part),
    /// Another maker's signature on the call with this id, carried by a thinking block of ours.
    CallSignature(String, Opaque),
}

/// Reads one block.
pub(super) fn block(raw: &RawValue, source: Source) -> Result<Block, DecodeError> {
    let mut fields = Fields::parse(FORMAT, raw.get())?;
    let kind: Cow<'_, str> = fields.require("type")?;
    let content = match kind.as_ref() {
        "text" => Content::Text(Text { text: fields.require("text")?, citations: citations(&mut fields)? }),
        "thinking" => {
            let signature = fields.get::<String>("signature")?.filter(|signature| !signature.is_empty());
            if source == Source::Client
                && let Some((id, opaque)) = signature.as_deref().and_then(carrier::unpack)
            {
                return Ok(Block::CallSignature(id, opaque));
            }
            let text = fields.get("thinking")?.unwrap_or_default();
            reasoning(text, signature.map(|blob| unwrap(&blob, OpaqueKind::Signature, source)))
        }
        "redacted_thinking" => {
            let data: String = fields.require("data")?;
            if source == Source::Client
                && let Some(native) = carrier::unpack_block(&data)
            {
                return Ok(Block::Part(Part::new(Content::Native(native))));
            }
            reasoning(String::new(), Some(unwrap(&data, OpaqueKind::Redacted, source)))
        }
        "tool_use" => tool_use(&mut fields)?,
        "tool_result" => tool_result(&mut fields, source)?,
        "image" | "document" => match media(&kind, &mut fields)? {
            Some(media) => Content::Media(media),
            None => return native(&kind, raw).map(Block::Part),
        },
        _ => return native(&kind, raw).map(Block::Part),
    };
    let mut part = Part::new(content);
    let mut extras = Map::new();
    part.cache = cache(fields.get("cache_control")?, &mut extras);
    extras.append(&mut fields.rest()?);
    part.extras = Extras::new(FORMAT, extras);
    Ok(Block::Part(part))
}

/// A block that only this format understands: kept whole, but for the cache mark, which every format understands.
fn native(kind: &str, raw: &RawValue) -> Result<Part, DecodeError> {
    let mut value: Value = read(FORMAT, raw)?;
    let mut extras = Map::new();
    let mark = value.as_object_mut().and_then(|block| block.shift_remove("cache_control"));
    let cache = cache(mark, &mut extras);
    let content = Content::Native(Native { format: FORMAT, kind: kind.to_owned(), value });
    Ok(Part { cache, extras: Extras::new(FORMAT, extras), ..Part::new(content) })
}

/// Reads `cache_control`. What says more than the lifetime (`scope`) goes to `extras` under the same name.
pub(super) fn cache(mark: Option<Value>, extras: &mut Map<String, Value>) -> Option<CacheMark> {
    let Some(Value::Object(mut mark)) = mark else { return None };
    if mark.get("type").and_then(Value::as_str) == Some("ephemeral") {
        mark.shift_remove("type");
    }
    let ttl = match mark.shift_remove("ttl") {
        Some(Value::String(ttl)) => Some(ttl),
        _ => None,
    };
    if !mark.is_empty() {
        extras.insert("cache_control".into(), Value::Object(mark));
    }
    Some(CacheMark { ttl })
}

fn unwrap(blob: &str, kind: OpaqueKind, source: Source) -> Opaque {
    match source {
        Source::Client => opaque::unwrap(blob, FORMAT, kind),
        Source::Provider => Opaque { kind, format: FORMAT, data: blob.to_owned() },
    }
}

/// What Responses calls a summary was shown as thinking: beside its encrypted form it is a summary again.
fn reasoning(text: String, opaque: Option<Opaque>) -> Content {
    let summarised = opaque.as_ref().is_some_and(|opaque| opaque.kind == OpaqueKind::Encrypted) && !text.is_empty();
    let (text, summary) = if summarised { (String::new(), vec![text]) } else { (text, Vec::new()) };
    Content::Reasoning(ReasoningPart { text, summary, opaque })
}

fn tool_use(fields: &mut Fields<'_>) -> Result<Content, DecodeError> {
    let arguments = match fields.raw("input") {
        None => "{}".to_owned(),
        // Some hosts write the object as a string.
        Some(raw) if first_char(raw) == '"' => read(FORMAT, raw).at("input")?,
        Some(raw) => raw.get().to_owned(),
    };
    Ok(Content::ToolCall(ToolCall {
        id: fields.get("id")?.unwrap_or_default(),
        name: fields.require("name")?,
        namespace: None,
        kind: ToolCallKind::Function,
        arguments,
        signature: None,
    }))
}

fn tool_result(fields: &mut Fields<'_>, source: Source) -> Result<Content, DecodeError> {
    let parts = match fields.raw("content") {
        Some(raw) => content(raw, source).at("content")?,
        None => Vec::new(),
    };
    Ok(Content::ToolResult(ToolResult {
        call_id: fields.get("tool_use_id")?.unwrap_or_default(),
        name: None,
        kind: ToolCallKind::Function,
        content: parts,
        is_error: fields.get("is_error")?,
    }))
}

/// An image or a document, or nothing if its source is of a kind that no other format knows.
fn media(kind: &str, fields: &mut Fields<'_>) -> Result<Option<Media>, DecodeError> {
    let Some(raw) = fields.raw("source") else { return Ok(None) };
    let mut source = Fields::parse(FORMAT, raw.get()).at("source")?;
    let from: String = source.require("type").at("source")?;
    let field = match from.as_str() {
        "base64" | "text" => "data",
        "url" => "url",
        "file" => "file_id",
        _ => return Ok(None),
    };
    let value: String = source.require(field).at("source")?;
    let media_type = source.get("media_type").at("source")?;
    if source.names().next().is_some() {
        return Ok(None);
    }
    let source = match from.as_str() {
        "base64" => MediaSource::Base64(value),
        "text" => MediaSource::Text(value),
        "url" => MediaSource::Url(value),
        _ => MediaSource::FileId(value),
    };
    let (kind, name) =
        if kind == "image" { (MediaKind::Image, None) } else { (MediaKind::Document, fields.get("title")?) };
    Ok(Some(Media { kind, source, media_type, name, detail: None }))
}

fn citations(fields: &mut Fields<'_>) -> Result<Vec<Citation>, DecodeError> {
    // A document's `citations` is an object, a text's is a list.
    let list: Option<Vec<Map<String, Value>>> = fields.get("citations")?;
    Ok(list.unwrap_or_default().into_iter().map(citation).collect())
}

/// One citation of any type: what all formats know, and the whole for the way back.
pub(super) fn citation(whole: Map<String, Value>) -> Citation {
    let word = |name: &str| whole.get(name).and_then(Value::as_str).map(str::to_owned);
    Citation {
        url: word("url").or_else(|| word("source").filter(|source| source.contains("://"))),
        title: word("title").or_else(|| word("document_title")),
        cited_text: word("cited_text"),
        start: None,
        end: None,
        extras: Extras::new(FORMAT, whole),
    }
}
