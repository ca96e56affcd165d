//! Pictures, documents and films: `{format, source: {bytes | text | s3Location}}`, both ways.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::FORMAT;
use crate::DecodeError;
use crate::formats::anthropic_messages::media_out::{inline, inline_text};
use crate::ir::{Media, MediaKind, MediaSource};
use crate::json::{At, Fields, Object};

/// Formats of the wire and their media types. The first of a format is the one that is read.
const FORMATS: [(MediaKind, &str, &str); 27] = [
    (MediaKind::Image, "png", "image/png"),
    (MediaKind::Image, "jpeg", "image/jpeg"),
    (MediaKind::Image, "jpeg", "image/jpg"),
    (MediaKind::Image, "gif", "image/gif"),
    (MediaKind::Image, "webp", "image/webp"),
    (MediaKind::Document, "pdf", "application/pdf"),
    (MediaKind::Document, "csv", "text/csv"),
    (MediaKind::Document, "doc", "application/msword"),
    (MediaKind::Document, "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (MediaKind::Document, "xls", "application/vnd.ms-excel"),
    (MediaKind::Document, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (MediaKind::Document, "html", "text/html"),
    (MediaKind::Document, "txt", "text/plain"),
    (MediaKind::Document, "txt", "application/json"),
    (MediaKind::Document, "txt", "application/xml"),
    (MediaKind::Document, "txt", "text/xml"),
    (MediaKind::Document, "txt", ""),
    (MediaKind::Document, "md", "text/markdown"),
    (MediaKind::Video, "mp4", "video/mp4"),
    (MediaKind::Video, "mov", "video/quicktime"),
    (MediaKind::Video, "mkv", "video/x-matroska"),
    (MediaKind::Video, "webm", "video/webm"),
    (MediaKind::Video, "flv", "video/x-flv"),
    (MediaKind::Video, "mpeg", "video/mpeg"),
    (MediaKind::Video, "mpg", "video/mpg"),
    (MediaKind::Video, "wmv", "video/x-ms-wmv"),
    (MediaKind::Video, "three_gp", "video/3gpp"),
];

const KINDS: [(MediaKind, &str); 3] =
    [(MediaKind::Image, "image"), (MediaKind::Document, "document"), (MediaKind::Video, "video")];

/// The kind of medium that a block's key names.
pub(super) fn kind(key: &str) -> Option<MediaKind> {
    KINDS.iter().find(|(_, known)| *known == key).map(|(kind, _)| *kind)
}

/// Reads a block; nothing if its source is of a kind that no other format knows.
pub(super) fn read(kind: MediaKind, fields: &mut Fields<'_>) -> Result<Option<Media>, DecodeError> {
    let format: Option<String> = fields.get("format")?;
    let name = fields.get("name")?;
    let Some(raw) = fields.raw("source") else { return Ok(None) };
    let mut source = Fields::parse(FORMAT, raw.get()).at("source")?;
    let known = FORMATS.iter().find(|(own, word, _)| *own == kind && Some(*word) == format.as_deref());
    let media_type = known.map(|(_, _, media_type)| (*media_type).to_owned());
    let source = if let Some(bytes) = source.get("bytes").at("source")? {
        MediaSource::Base64(bytes)
    } else if let Some(text) = source.get("text").at("source")? {
        MediaSource::Text(text)
    } else if let Some(uri) = bucket_uri(source.get("s3Location").at("source")?) {
        MediaSource::Url(uri)
    } else {
        return Ok(None);
    };
    Ok(Some(Media { kind, source, media_type, name, detail: None }))
}

/// The address of an object in a bucket; one with an owner needs its own format.
fn bucket_uri(location: Option<Value>) -> Option<String> {
    let location = location?;
    let fields = location.as_object()?;
    (fields.len() == 1).then(|| fields.get("uri")?.as_str().map(str::to_owned)).flatten()
}

/// Why a medium cannot be sent, if it cannot.
pub(super) fn refusal(media: &Media) -> Option<&'static str> {
    if media.kind == MediaKind::Audio {
        return Some("has no equivalent");
    }
    match (&media.source, inline(media)) {
        (MediaSource::FileId(_), _) => Some("a file id means nothing to this provider"),
        (MediaSource::Url(url), None) if !url.starts_with("s3://") => {
            Some("addresses are not fetched by this provider")
        }
        (MediaSource::Text(_), _) if media.kind != MediaKind::Document => Some("is no text"),
        _ if format(media).is_none() => Some("is of a type that this provider does not take"),
        _ => None,
    }
}

/// The format word of a medium.
fn format(media: &Media) -> Option<&'static str> {
    let declared = media.media_type.as_deref().unwrap_or_default();
    let media_type = match (&media.source, inline(media)) {
        (_, Some((media_type, _))) => media_type,
        (MediaSource::Text(_), None) if declared.is_empty() => "text/plain",
        (MediaSource::Url(url), None) if declared.is_empty() => {
            let ending = url.rsplit('.').next().unwrap_or_default();
            return FORMATS.iter().find(|(kind, word, _)| *kind == media.kind && *word == ending).map(|found| found.1);
        }
        _ => declared,
    };
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let known = FORMATS.iter().find(|(kind, _, known)| *kind == media.kind && *known == essence);
    // Whatever is text can be read as text.
    let textual = media.kind == MediaKind::Document && essence.starts_with("text/");
    known.map(|found| found.1).or(textual.then_some("txt"))
}

/// Writes the block's key and object.
pub(super) fn write(o: &mut Object<'_>, media: &Media, names: &mut Names, own: Option<&Map<String, Value>>) {
    // Every model reads bytes; text as such is for documents that are to be cited.
    let cited = own.is_some_and(|own| own.contains_key("citations"));
    let key = KINDS.iter().find(|(kind, _)| *kind == media.kind).map_or("document", |(_, key)| key);
    o.object(key, |o| {
        o.value("format", format(media).unwrap_or("txt"));
        if media.kind == MediaKind::Document {
            o.value("name", &names.next(media.name.as_deref()));
        }
        o.object("source", |o| match (&media.source, inline(media)) {
            (_, Some((_, data))) => o.value("bytes", data),
            (MediaSource::Url(url), None) => o.object("s3Location", |o| o.value("uri", url)),
            (MediaSource::Text(text), None) if cited => o.value("text", text),
            _ => o.value("bytes", &STANDARD.encode(inline_text(media).unwrap_or_default())),
        });
        o.fields(own.into_iter().flatten());
    });
}

/// The names of the documents of one request: letters, digits, single spaces, hyphens and brackets, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    used: HashSet<String>,
    count: usize,
}

impl Names {
    fn next(&mut self, title: Option<&str>) -> String {
        self.count += 1;
        let fit = |c: char| if c.is_ascii_alphanumeric() || "-()[]".contains(c) { c } else { ' ' };
        let plain: String = title.unwrap_or_default().chars().take(200).map(fit).collect();
        let plain = plain.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let mut name = if plain.is_empty() { format!("Document {}", self.count) } else { plain.clone() };
        let mut repeat = 1;
        while !self.used.insert(name.clone()) {
            repeat += 1;
            name = format!("{} ({repeat})", if plain.is_empty() { "Document" } else { &plain });
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_neutral_and_unique() {
        let mut names = Names::default();
        assert_eq!(names.next(Some("Q3_report  (final).pdf")), "Q3 report (final) pdf");
        assert_eq!(names.next(Some("Q3 report (final) pdf")), "Q3 report (final) pdf (2)");
        assert_eq!(names.next(None), "Document 3");
        assert_eq!(names.next(Some("日本")), "Document 4");
        assert_eq!(names.next(Some("Document 5")), "Document 5");
    }

    #[test]
    fn media_types_become_formats() {
        let media = |kind, source, media_type: &str| Media {
            kind,
            source,
            media_type: Some(media_type.into()),
            name: None,
            detail: None,
        };
        let base64 = |text: &str| MediaSource::Base64(text.into());
        assert_eq!(format(&media(MediaKind::Image, base64("/9j/4AA"), "image/png")), Some("jpeg"));
        assert_eq!(format(&media(MediaKind::Document, base64("aGk="), "text/x-rust")), Some("txt"));
        assert_eq!(format(&media(MediaKind::Document, MediaSource::Url("s3://b/x.pdf".into()), "")), Some("pdf"));
        assert!(refusal(&media(MediaKind::Image, MediaSource::Url("https://x/a.png".into()), "")).is_some());
        assert!(refusal(&media(MediaKind::Document, base64("UEsDBA=="), "application/zip")).is_some());
        assert!(
            refusal(&media(MediaKind::Image, MediaSource::Url("data:image/png;base64,iVBORw0KGgo".into()), ""))
                .is_none()
        );
    }
}
