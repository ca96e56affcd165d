//! Requests of clients → the unified model. Conversation, inputs and the rest stay extra fields: the gateway keeps the conversation and takes
//! `conversation_id` out before another format is written.

use serde_json::Value;

use crate::format::AddressHints;
use crate::formats::fields::{Fields, Path};
use crate::formats::media::type_of_address;
use crate::ir::{ChatRequest, Content, Extras, Media, MediaKind, MediaSource, Message, Part, Role};
use crate::{ApiFormat, DecodeError};

const DIFY: ApiFormat = ApiFormat::Dify;

/// Words of `files[].type`. `custom` is a document that only the app understands.
pub(super) const KINDS: [(&str, MediaKind); 4] = [
    ("image", MediaKind::Image),
    ("document", MediaKind::Document),
    ("audio", MediaKind::Audio),
    ("video", MediaKind::Video),
];

/// Reads a body of `/chat-messages`. The request names no model: the key does, and the caller says so in `hints`.
pub(super) fn decode(body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
    let mut fields = Fields::parse(body, DIFY)?;
    let query = fields.text("query")?.ok_or_else(|| fields.error("query", "query is required"))?;
    let user = fields.text("user")?.filter(|user| !user.is_empty());
    let user = user.ok_or_else(|| fields.error("user", "user is required"))?;
    let stream = match fields.text("response_mode")?.as_deref() {
        Some("streaming") => true,
        None | Some("blocking") => false,
        Some(_) => return Err(fields.error("response_mode", "response_mode is neither streaming nor blocking")),
    };
    let mut parts = vec![Part::text(query)];
    let path = Path::Key(&Path::Root, "files");
    for (index, value) in fields.list("files")?.unwrap_or_default().into_iter().enumerate() {
        let path = Path::Index(&path, index);
        parts.push(read_file(Fields::of(value, DIFY, &path)?)?);
    }
    // Empty is the way to say that there is none.
    for name in ["conversation_id", "inputs"] {
        let Some(value) = fields.take(name) else { continue };
        let empty =
            value.as_str().is_some_and(str::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty);
        if !empty {
            fields.put_back(name, value);
        }
    }
    Ok(ChatRequest {
        model: hints.model.unwrap_or_default().to_owned(),
        messages: vec![Message::new(Role::User, parts)],
        stream: Some(stream),
        include_usage: Some(true),
        user: Some(user),
        extras: Extras::new(DIFY, fields.rest()),
        ..ChatRequest::default()
    })
}

/// A file lies at an address, or was uploaded before.
fn read_file(mut fields: Fields<'_>) -> Result<Part, DecodeError> {
    let word = fields.text("type")?.unwrap_or_else(|| "document".to_owned());
    let known = KINDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind);
    let source = match fields.text("transfer_method")?.as_deref() {
        Some("local_file") => fields.text("upload_file_id")?.map(MediaSource::FileId),
        _ => fields.text("url")?.map(MediaSource::Url),
    };
    let source = source.ok_or_else(|| fields.error("url", "a file needs url or upload_file_id"))?;
    let media_type = match &source {
        MediaSource::Url(address) => type_of_address(address).map(str::to_owned),
        _ => None,
    };
    if known.is_none() {
        fields.put_back("type", Value::String(word));
    }
    let kind = known.unwrap_or(MediaKind::Document);
    let media = Media { kind, source, media_type, name: None, detail: None };
    let mut extras = fields.rest();
    // Clients repeat the other way of transfer empty.
    extras.retain(|_, value| value.as_str() != Some(""));
    Ok(Part { extras: Extras::new(DIFY, extras), ..Part::new(Content::Media(media)) })
}
