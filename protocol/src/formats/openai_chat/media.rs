//! Images, sound, video and documents in content parts, both directions.

use serde_json::Value;

use super::wire::{FORMAT, Object, one, put, take_text};
use crate::Dialect;
use crate::formats::media::{kind_of, sniff};
use crate::ir::{Extras, Loss, Media, MediaKind, MediaSource, Part};

/// Splits `data:TYPE;base64,DATA`.
pub(crate) fn data_url(url: &str) -> Option<(Option<&str>, &str)> {
    let rest = url.strip_prefix("data:")?;
    let (head, data) = rest.split_once(',')?;
    let head = head.strip_suffix(";base64")?;
    let media_type = head.split(';').next().unwrap_or(head);
    Some(((!media_type.is_empty()).then_some(media_type), data))
}

/// Where an address leads: inline bytes or elsewhere; and the media type if it says.
pub(crate) fn source_of(url: String) -> (MediaSource, Option<String>) {
    let Some((media_type, data)) = data_url(&url) else { return (MediaSource::Url(url), None) };
    let media_type = media_type.or_else(|| sniff(data)).map(str::to_owned);
    (MediaSource::Base64(data.to_owned()), media_type)
}

/// Audio formats of Chat and their media types.
const AUDIO: [(&str, &str); 9] = [
    ("wav", "audio/wav"),
    ("mp3", "audio/mpeg"),
    ("mp3", "audio/mp3"),
    ("flac", "audio/flac"),
    ("opus", "audio/opus"),
    ("ogg", "audio/ogg"),
    ("aac", "audio/aac"),
    ("m4a", "audio/mp4"),
    ("pcm16", "audio/pcm"),
];

fn audio_type(format: &str) -> String {
    AUDIO
        .iter()
        .find(|(word, _)| *word == format)
        .map_or_else(|| format!("audio/{format}"), |(_, kind)| (*kind).to_owned())
}

fn audio_format(media_type: &str) -> String {
    let plain = media_type.split(';').next().unwrap_or(media_type);
    AUDIO.iter().find(|(_, kind)| *kind == plain).map_or_else(
        || plain.strip_prefix("audio/").unwrap_or("wav").trim_start_matches("x-").to_owned(),
        |(word, _)| (*word).to_owned(),
    )
}

/// Kinds of parts that hold an address, in an object under their own name or as a bare string (Mistral).
const ADDRESSED: [(&str, MediaKind); 4] = [
    ("image_url", MediaKind::Image),
    ("video_url", MediaKind::Video),
    ("audio_url", MediaKind::Audio),
    ("document_url", MediaKind::Document),
];

/// Reads a content part that is media; `Err` gives back what is none.
pub(super) fn decode(kind: &str, mut fields: Object) -> Result<Part, Object> {
    if let Some((name, media_kind)) = ADDRESSED.into_iter().find(|(name, _)| *name == kind) {
        let (url, rest) = match fields.get_mut(name).map(Value::take) {
            Some(Value::String(url)) => (url, Object::new()),
            Some(Value::Object(mut inner)) => match inner.get_mut("url").map(Value::take) {
                Some(Value::String(url)) => {
                    inner.shift_remove("url");
                    (url, inner)
                }
                Some(other) => {
                    inner.insert("url".into(), other);
                    fields.insert(name.into(), inner.into());
                    return Err(fields);
                }
                None => {
                    fields.insert(name.into(), inner.into());
                    return Err(fields);
                }
            },
            Some(other) => {
                fields.insert(name.into(), other);
                return Err(fields);
            }
            None => return Err(fields),
        };
        fields.shift_remove(name);
        return Ok(addressed(name, media_kind, url, rest, fields));
    }
    match kind {
        "input_audio" => decode_audio(fields),
        "file" => decode_file(fields),
        _ => Err(fields),
    }
}

fn addressed(name: &str, kind: MediaKind, url: String, mut inner: Object, mut outer: Object) -> Part {
    let (source, media_type) = source_of(url);
    let detail = take_text(&mut inner, "detail");
    let title = if kind == MediaKind::Document { take_text(&mut outer, "document_name") } else { None };
    let media = Media { kind, source, media_type, name: title, detail };
    part(media, name, inner, outer)
}

fn part(media: Media, name: &str, inner: Object, mut outer: Object) -> Part {
    if !inner.is_empty() {
        outer.insert(name.to_owned(), inner.into());
    }
    Part { extras: Extras::new(FORMAT, outer), ..Part::new(crate::ir::Content::Media(media)) }
}

fn decode_audio(mut fields: Object) -> Result<Part, Object> {
    let Some(Value::Object(inner)) = fields.get_mut("input_audio") else { return Err(fields) };
    let Some(Value::String(data)) = inner.get_mut("data").map(Value::take) else { return Err(fields) };
    inner.shift_remove("data");
    let format = take_text(inner, "format");
    let inner = std::mem::take(inner);
    fields.shift_remove("input_audio");
    let (source, told) = match data_url(&data) {
        Some(_) => source_of(data),
        None => (MediaSource::Base64(data), None),
    };
    let sniffed = match &source {
        MediaSource::Base64(data) => sniff(data).map(str::to_owned),
        _ => None,
    };
    let media_type = format.as_deref().map(audio_type).or(told).or(sniffed);
    let media = Media { kind: MediaKind::Audio, source, media_type, name: None, detail: None };
    Ok(part(media, "input_audio", inner, fields))
}

fn decode_file(mut fields: Object) -> Result<Part, Object> {
    let Some(Value::Object(inner)) = fields.get_mut("file") else { return Err(fields) };
    let take = take_text;
    let (source, media_type) = if let Some(data) = take(inner, "file_data") {
        let bare = data_url(&data).is_none() && !data.contains("://");
        if bare {
            let media_type = sniff(&data).unwrap_or("application/pdf").to_owned();
            (MediaSource::Base64(data), Some(media_type))
        } else {
            source_of(data)
        }
    } else if let Some(id) = take(inner, "file_id") {
        (MediaSource::FileId(id), None)
    } else {
        return Err(fields);
    };
    let name = take(inner, "filename");
    let inner = std::mem::take(inner);
    fields.shift_remove("file");
    let kind = media_type.as_deref().map_or(MediaKind::Document, kind_of);
    Ok(part(Media { kind, source, media_type, name, detail: None }, "file", inner, fields))
}

/// Writes media as a content part. What no host takes becomes a text that says so, with a loss.
pub(super) fn encode(media: &Media, extras: &Extras, at: &str, dialect: &Dialect, losses: &mut Vec<Loss>) -> Object {
    let mut refuse = |what: String, why: &'static str| {
        losses.push(Loss::new(at.to_owned(), FORMAT, why));
        text_part(what)
    };
    let url = |fallback: &str| match &media.source {
        MediaSource::Base64(data) => {
            let media_type = media.media_type.as_deref().or_else(|| sniff(data)).unwrap_or(fallback);
            Some(format!("data:{media_type};base64,{data}"))
        }
        MediaSource::Url(url) => Some(url.clone()),
        MediaSource::FileId(_) | MediaSource::Text(_) => None,
    };
    let known = extras.for_format(FORMAT);
    let (name, inner) = match (media.kind, &media.source) {
        (_, MediaSource::Text(text)) => {
            let title = media.name.as_deref().map(|name| format!("{name}\n\n")).unwrap_or_default();
            return text_part(format!("{title}{text}"));
        }
        (MediaKind::Image, _) if dialect.no_images => {
            return refuse("[an image was here, which this model cannot see]".into(), "images are refused");
        }
        // A picture that was sent as a file has a name.
        (_, MediaSource::Base64(_)) if media.name.is_some() && media.kind != MediaKind::Document => {
            ("file", file(media, url("application/octet-stream")))
        }
        (MediaKind::Image, _) => match url("image/png") {
            Some(url) => ("image_url", addressed_out(url, media)),
            None => return refuse("[an image was here]".into(), "images by file id are not taken"),
        },
        (MediaKind::Video, _) => match url("video/mp4") {
            Some(url) => ("video_url", addressed_out(url, media)),
            None => return refuse("[a video was here]".into(), "videos by file id are not taken"),
        },
        (MediaKind::Audio, MediaSource::Base64(data)) => {
            let format = audio_format(media.media_type.as_deref().or_else(|| sniff(data)).unwrap_or("audio/wav"));
            let mut inner = one("data", data.as_str());
            put(&mut inner, "format", Some(format));
            ("input_audio", inner)
        }
        (MediaKind::Audio, MediaSource::Url(url)) => ("audio_url", addressed_out(url.clone(), media)),
        (MediaKind::Audio, _) => return refuse("[a recording was here]".into(), "audio by file id is not taken here"),
        (MediaKind::Document, MediaSource::FileId(_)) => ("file", file(media, None)),
        (MediaKind::Document, MediaSource::Base64(_)) => ("file", file(media, url("application/pdf"))),
        (MediaKind::Document, MediaSource::Url(address)) if dialect.document_url => {
            let mut fields = one("type", "document_url");
            put(&mut fields, "document_url", Some(address.as_str()));
            put(&mut fields, "document_name", media.name.as_deref());
            return with_extras(fields, "document_url", known);
        }
        (MediaKind::Document, MediaSource::Url(address)) if dialect.file_url => {
            ("file", file(media, Some(address.clone())))
        }
        (MediaKind::Document, MediaSource::Url(address)) => {
            return refuse(format!("[document: {address}]"), "documents by address are not taken");
        }
    };
    let mut fields = one("type", name);
    fields.insert(name.to_owned(), inner.into());
    with_extras(fields, name, known)
}

/// Lays fields that were kept beside (outer ones) and inside (under `name`) over the part.
fn with_extras(mut fields: Object, name: &str, known: Option<&Object>) -> Object {
    for (key, value) in known.into_iter().flatten() {
        match (fields.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(more)) if key == name => {
                for (key, value) in more {
                    inner.entry(key.as_str()).or_insert_with(|| value.clone());
                }
            }
            (None, value) => {
                fields.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    fields
}

fn addressed_out(url: String, media: &Media) -> Object {
    let mut inner = one("url", url);
    put(&mut inner, "detail", media.detail.as_deref());
    inner
}

fn file(media: &Media, data: Option<String>) -> Object {
    let mut inner = Object::new();
    if let MediaSource::FileId(id) = &media.source {
        put(&mut inner, "file_id", Some(id.as_str()));
    }
    put(&mut inner, "filename", if data.is_some() { Some(file_name(media)) } else { media.name.clone() });
    put(&mut inner, "file_data", data);
    inner
}

/// Hosts that read inline files want a name for them, and judge a file by its ending.
fn file_name(media: &Media) -> String {
    let ending = match media.media_type.as_deref() {
        None | Some("application/pdf") => ".pdf",
        Some("text/plain") => ".txt",
        Some("text/csv") => ".csv",
        Some("text/markdown") => ".md",
        Some("application/json") => ".json",
        Some(_) => "",
    };
    match media.name.as_deref() {
        Some(name) if name.contains('.') => name.to_owned(),
        name => format!("{}{ending}", name.unwrap_or("document")),
    }
}

/// `{"type":"text","text":…}`.
pub(super) fn text_part(text: impl Into<Value>) -> Object {
    let mut fields = one("type", "text");
    fields.insert("text".into(), text.into());
    fields
}
