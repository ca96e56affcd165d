//! Media → `image` and `document` blocks.
//!
//! The API checks the declared type of inline images against their bytes and takes four picture types, PDF and plain text.

use crate::Dialect;
use crate::formats::media::{from_base64, sniff};
use crate::ir::{Media, MediaKind, MediaSource};
use crate::json::Object;

/// The picture types that are taken.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// A media type and base64 data out of a `data:` address.
pub(crate) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    Some((media_type.split(';').next().unwrap_or_default(), data))
}

/// Inline data with its true type, wherever it is written.
pub(crate) fn inline(media: &Media) -> Option<(&str, &str)> {
    let (declared, data) = match &media.source {
        MediaSource::Base64(data) => (media.media_type.as_deref().unwrap_or_default(), data.as_str()),
        MediaSource::Url(url) => data_url(url)?,
        _ => return None,
    };
    Some((sniff(data).unwrap_or(declared), data))
}

/// The text of an inline document that is text.
pub(crate) fn inline_text(media: &Media) -> Option<String> {
    if let MediaSource::Text(text) = &media.source {
        return Some(text.clone());
    }
    let (media_type, data) = inline(media)?;
    let textual = media_type.starts_with("text/") || matches!(media_type, "application/json" | "application/xml");
    if !textual {
        return None;
    }
    String::from_utf8(from_base64(data)?).ok()
}

/// Why a medium cannot be sent, if it cannot.
pub(super) fn refusal(media: &Media, dialect: &Dialect) -> Option<&'static str> {
    match media.kind {
        MediaKind::Audio | MediaKind::Video => Some("has no equivalent"),
        MediaKind::Image if dialect.no_images => Some("images are refused by this host"),
        MediaKind::Image => match (&media.source, inline(media)) {
            (MediaSource::Text(_), _) => Some("an image is no text"),
            (_, Some((media_type, _))) if !PICTURES.contains(&media_type) => {
                Some("is no picture type that this format takes")
            }
            _ => None,
        },
        MediaKind::Document => match inline(media) {
            Some(("application/pdf", _)) | None => None,
            Some(_) if inline_text(media).is_some() => None,
            Some(_) => Some("only PDF and text documents are taken"),
        },
    }
}

/// Writes `type`, `source` and `title`.
pub(super) fn block(o: &mut Object<'_>, media: &Media) {
    let document = media.kind == MediaKind::Document;
    o.value("type", if document { "document" } else { "image" });
    o.object("source", |o| source(o, media, document));
    if document {
        o.some("title", media.name.as_deref());
    }
}

fn source(o: &mut Object<'_>, media: &Media, document: bool) {
    if document && let Some(text) = inline_text(media) {
        o.value("type", "text");
        o.value("media_type", "text/plain");
        o.value("data", &text);
        return;
    }
    if let Some((media_type, data)) = inline(media) {
        o.value("type", "base64");
        o.value("media_type", media_type);
        o.value("data", data);
        return;
    }
    let (kind, field, value) = match &media.source {
        MediaSource::FileId(id) => ("file", "file_id", id),
        MediaSource::Url(value) | MediaSource::Base64(value) | MediaSource::Text(value) => ("url", "url", value),
    };
    o.value("type", kind);
    o.value(field, value);
}
