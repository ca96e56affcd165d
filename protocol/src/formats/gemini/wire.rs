//! One part of a content, read but not yet given a meaning: requests and streams make different things of it.

use serde_json::{Map, Value};

use crate::formats::fields::{Fields, Path};
use crate::formats::media;
use crate::ir::{Media, MediaKind, MediaSource, Native};
use crate::{ApiFormat, DecodeError};

/// A part as it stands on the wire.
#[derive(Debug)]
pub(super) struct WirePart {
    /// What it holds.
    pub(super) body: Body,
    /// `thought: true`.
    pub(super) thought: bool,
    /// `thoughtSignature`. Native parts keep theirs inside.
    pub(super) signature: Option<String>,
    /// Fields beside these (`videoMetadata`, `partMetadata` …).
    pub(super) extras: Map<String, Value>,
}

/// What a part holds.
#[derive(Debug)]
pub(super) enum Body {
    /// `text`.
    Text(String),
    /// `functionCall`.
    Call(Call),
    /// `functionResponse`.
    Result(Reply),
    /// `inlineData` or `fileData`.
    Media(Media),
    /// Anything else (`executableCode`, `toolCall` …): the whole part.
    Native(Native),
    /// Nothing at all.
    Nothing,
}

/// `functionCall`.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// `name`; later pieces of a streamed call have none.
    pub(super) name: Option<String>,
    /// `id`.
    pub(super) id: Option<String>,
    /// `args`.
    pub(super) args: Option<Map<String, Value>>,
    /// `partialArgs` (Vertex, when arguments are streamed).
    pub(super) partial: Vec<Value>,
    /// `willContinue`: more pieces of this call follow.
    pub(super) continues: bool,
}

/// `functionResponse`.
#[derive(Debug)]
pub(super) struct Reply {
    /// `name`.
    pub(super) name: String,
    /// `id`.
    pub(super) id: Option<String>,
    /// `response`.
    pub(super) response: Map<String, Value>,
    /// `parts`: media of the result.
    pub(super) media: Vec<Media>,
}

/// Reads one part.
pub(super) fn read_part(value: Value, path: &Path<'_>) -> Result<WirePart, DecodeError> {
    // Libraries in other languages write plain strings where a part is meant.
    if let Value::String(text) = value {
        return Ok(WirePart { body: Body::Text(text), thought: false, signature: None, extras: Map::new() });
    }
    let mut fields = Fields::of(value, ApiFormat::Gemini, path)?;
    const KNOWN: [&str; 5] = ["text", "functionCall", "functionResponse", "inlineData", "fileData"];
    const BESIDE: [&str; 2] = ["thought", "thoughtSignature"];
    if !KNOWN.iter().any(|name| fields.has(name)) {
        return Ok(native(fields, &BESIDE));
    }
    let thought = fields.flag("thought")?.unwrap_or(false);
    let signature = fields.text("thoughtSignature")?.filter(|signature| !signature.is_empty());
    let body = if let Some(text) = fields.text("text")? {
        Body::Text(text)
    } else if let Some(call) = fields.object("functionCall")? {
        let place = Path::Key(path, "functionCall");
        Body::Call(read_call(Fields::of(Value::Object(call), ApiFormat::Gemini, &place)?)?)
    } else if let Some(reply) = fields.object("functionResponse")? {
        let place = Path::Key(path, "functionResponse");
        Body::Result(read_reply(Fields::of(Value::Object(reply), ApiFormat::Gemini, &place)?, &place)?)
    } else if let Some(data) = fields.object("inlineData")? {
        let place = Path::Key(path, "inlineData");
        Body::Media(read_inline(Fields::of(Value::Object(data), ApiFormat::Gemini, &place)?)?)
    } else if let Some(data) = fields.object("fileData")? {
        let place = Path::Key(path, "fileData");
        Body::Media(read_file(Fields::of(Value::Object(data), ApiFormat::Gemini, &place)?)?)
    } else {
        Body::Nothing
    };
    Ok(WirePart { body, thought, signature, extras: fields.rest() })
}

fn native(fields: Fields<'_>, beside: &[&str]) -> WirePart {
    let whole = fields.rest();
    let is_beside =
        |name: &str| beside.iter().any(|known| *known == name || super::super::fields::snake_case(known) == name);
    let kind = whole.keys().find(|name| !is_beside(name)).cloned();
    let body = match kind {
        Some(kind) => Body::Native(Native { format: ApiFormat::Gemini, kind, value: Value::Object(whole) }),
        None => {
            // A signature with nothing to sign stands on an empty text, as Gemini itself writes it.
            let signature = ["thoughtSignature", "thought_signature"]
                .iter()
                .find_map(|name| whole.get(*name)?.as_str().map(str::to_owned));
            let body = if signature.is_some() { Body::Text(String::new()) } else { Body::Nothing };
            return WirePart { body, thought: false, signature, extras: Map::new() };
        }
    };
    WirePart { body, thought: false, signature: None, extras: Map::new() }
}

fn read_call(mut fields: Fields<'_>) -> Result<Call, DecodeError> {
    Ok(Call {
        name: fields.text("name")?,
        id: fields.text("id")?,
        args: fields.object("args")?,
        partial: fields.list("partialArgs")?.unwrap_or_default(),
        continues: fields.flag("willContinue")?.unwrap_or(false),
    })
}

fn read_reply(mut fields: Fields<'_>, path: &Path<'_>) -> Result<Reply, DecodeError> {
    let list = fields.list("parts")?.unwrap_or_default();
    let place = Path::Key(path, "parts");
    let mut found = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        let place = Path::Index(&place, index);
        if let Body::Media(media) = read_part(value, &place)?.body {
            found.push(media);
        }
    }
    let response = match fields.take("response") {
        None => Map::new(),
        Some(Value::Object(map)) => map,
        // Not allowed, but some programs do it; the meaning is plain.
        Some(value) => Map::from_iter([("output".to_owned(), value)]),
    };
    Ok(Reply { name: fields.text("name")?.unwrap_or_default(), id: fields.text("id")?, response, media: found })
}

fn read_inline(mut fields: Fields<'_>) -> Result<Media, DecodeError> {
    let data = media::standard_base64(fields.text("data")?.unwrap_or_default());
    let media_type = fields.text("mimeType")?.or_else(|| media::sniff(&data).map(str::to_owned));
    let kind = media_type.as_deref().map_or(MediaKind::Document, media::kind_of);
    let name = fields.text("displayName")?;
    Ok(Media { kind, source: MediaSource::Base64(data), media_type, name, detail: None })
}

fn read_file(mut fields: Fields<'_>) -> Result<Media, DecodeError> {
    let address = fields.text("fileUri")?.ok_or_else(|| fields.error("fileUri", "is missing"))?;
    let media_type = fields.text("mimeType")?.or_else(|| media::type_of_address(&address).map(str::to_owned));
    let kind = match &media_type {
        Some(media_type) => media::kind_of(media_type),
        None if is_film(&address) => MediaKind::Video,
        None => MediaKind::Document,
    };
    let name = fields.text("displayName")?;
    let source = if is_own_file(&address) { MediaSource::FileId(address) } else { MediaSource::Url(address) };
    Ok(Media { kind, source, media_type, name, detail: None })
}

/// Files that only Google can open.
pub(super) fn is_own_file(address: &str) -> bool {
    address.starts_with("gs://") || address.starts_with("https://generativelanguage.googleapis.com/")
}

fn is_film(address: &str) -> bool {
    media::is_native_to_gemini(address) && !is_own_file(address)
}
