//! Images, files and sound inside content parts.

use serde_json::{Value, json};

use super::content::fields_of;
use super::take::{self, FORMAT, Fields};
use crate::formats::media::sniff;
use crate::ir::{Content, Extras, Loss, Media, MediaKind, MediaSource, Part};

/// `input_audio.format` and the media type that it means.
const SOUND: [(&str, &str); 2] = [("mp3", "audio/mpeg"), ("wav", "audio/wav")];

/// Note: `file_data` stood without a `data:` prefix.
const BARE: &str = "@bare";

/// Note: `file_data` stood without a `filename`.
const UNNAMED: &str = "@unnamed";

/// Reads an `input_image`, `input_file` or `input_audio`; gives the fields back if they hold no source.
pub(super) fn decode(kind: &str, mut fields: Fields) -> Result<Part, Fields> {
    let untouched = fields.clone();
    let media = match kind {
        "input_image" => image(&mut fields),
        "input_file" => file(&mut fields),
        "input_audio" => sound(&mut fields),
        _ => None,
    };
    let Some(media) = media else { return Err(untouched) };
    fields.shift_remove("type");
    Ok(Part { extras: Extras::new(FORMAT, fields), ..Part::new(Content::Media(media)) })
}

fn image(fields: &mut Fields) -> Option<Media> {
    let address = match fields.get("image_url") {
        Some(Value::String(_)) => take::text(fields, "image_url"),
        // Chat's shape, which some clients send here too.
        Some(Value::Object(inner)) => {
            let address = inner.get("url").and_then(Value::as_str).map(str::to_owned);
            let detail = inner.get("detail").cloned();
            fields.shift_remove("image_url");
            if let Some(detail) = detail {
                fields.entry("detail").or_insert(detail);
            }
            address
        }
        _ => None,
    };
    let (source, media_type) = match address {
        Some(address) => address_source(&address),
        None => (MediaSource::FileId(take::text(fields, "file_id")?), None),
    };
    let detail = take::text(fields, "detail");
    Some(Media { kind: MediaKind::Image, source, media_type, name: None, detail })
}

fn file(fields: &mut Fields) -> Option<Media> {
    let name = take::text(fields, "filename");
    let (source, media_type) = if let Some(data) = take::text(fields, "file_data") {
        if name.is_none() {
            fields.insert(UNNAMED.to_owned(), Value::Bool(true));
        }
        if data.starts_with("data:") {
            address_source(&data)
        } else {
            fields.insert(BARE.to_owned(), Value::Bool(true));
            let media_type = sniff(&data).unwrap_or("application/pdf").to_owned();
            (MediaSource::Base64(data), Some(media_type))
        }
    } else if let Some(address) = take::text(fields, "file_url") {
        (MediaSource::Url(address), None)
    } else {
        (MediaSource::FileId(take::text(fields, "file_id")?), None)
    };
    let detail = take::text(fields, "detail");
    Some(Media { kind: MediaKind::Document, source, media_type, name, detail })
}

fn sound(fields: &mut Fields) -> Option<Media> {
    let inner = fields.get("input_audio")?.as_object()?;
    let data = inner.get("data")?.as_str()?.to_owned();
    let format = inner.get("format")?.as_str()?;
    let media_type = SOUND
        .iter()
        .find(|(word, _)| *word == format)
        .map_or_else(|| format!("audio/{format}"), |(_, name)| (*name).to_owned());
    fields.shift_remove("input_audio");
    let source = MediaSource::Base64(data);
    Some(Media { kind: MediaKind::Audio, source, media_type: Some(media_type), name: None, detail: None })
}

/// A `data:` address is its bytes, any other an address.
fn address_source(address: &str) -> (MediaSource, Option<String>) {
    let inline = address.strip_prefix("data:").and_then(|rest| rest.split_once(','));
    match inline.and_then(|(head, data)| Some((head.strip_suffix(";base64")?, data))) {
        Some((named, data)) => {
            let media_type = if named.is_empty() { sniff(data).unwrap_or("application/octet-stream") } else { named };
            (MediaSource::Base64(data.to_owned()), Some(media_type.to_owned()))
        }
        None => (MediaSource::Url(address.to_owned()), None),
    }
}

/// Writes a medium as a content part of the user's side. `path` names it in losses.
pub(super) fn encode(media: &Media, extras: &Extras, path: &str, losses: &mut Vec<Loss>) -> Option<Fields> {
    let noted = |note: &str| extras.for_format(FORMAT).is_some_and(|fields| fields.contains_key(note));
    let mut fields = match (media.kind, &media.source) {
        (_, MediaSource::Text(text)) => fields_of(json!({"type": "input_text", "text": text})),
        (MediaKind::Image, MediaSource::Base64(data)) => {
            fields_of(json!({"type": "input_image", "image_url": data_url(media, data, "image/png")}))
        }
        (MediaKind::Image, MediaSource::Url(address)) => {
            fields_of(json!({"type": "input_image", "image_url": address}))
        }
        (MediaKind::Image, MediaSource::FileId(id)) => fields_of(json!({"type": "input_image", "file_id": id})),
        (MediaKind::Document, MediaSource::Base64(data)) => document(media, data, noted(BARE), noted(UNNAMED)),
        (MediaKind::Document, MediaSource::Url(address)) => {
            named(fields_of(json!({"type": "input_file", "file_url": address})), media)
        }
        (MediaKind::Document, MediaSource::FileId(id)) => {
            named(fields_of(json!({"type": "input_file", "file_id": id})), media)
        }
        (MediaKind::Audio, MediaSource::Base64(data)) => {
            let media_type = media.media_type.as_deref().unwrap_or("audio/wav");
            let word = SOUND.iter().find(|(_, name)| *name == media_type).map(|(word, _)| *word);
            let word = word.unwrap_or_else(|| media_type.strip_prefix("audio/").unwrap_or(media_type));
            fields_of(json!({"type": "input_audio", "input_audio": {"data": data, "format": word}}))
        }
        (MediaKind::Audio | MediaKind::Video, _) => {
            losses.push(Loss::new(path.to_owned(), FORMAT, "this kind of medium or source has no place"));
            return None;
        }
    };
    if let Some(detail) = &media.detail {
        fields.insert("detail".to_owned(), json!(detail));
    }
    Some(fields)
}

fn document(media: &Media, data: &str, bare: bool, unnamed: bool) -> Fields {
    let mut fields = named(fields_of(json!({"type": "input_file"})), media);
    if media.name.is_none() && !unnamed {
        // Providers refuse inline data without a name.
        fields.insert("filename".to_owned(), json!("document.pdf"));
    }
    let data = if bare { json!(data) } else { data_url(media, data, "application/pdf") };
    fields.insert("file_data".to_owned(), data);
    fields
}

fn named(mut fields: Fields, media: &Media) -> Fields {
    if let Some(name) = &media.name {
        fields.insert("filename".to_owned(), json!(name));
    }
    fields
}

fn data_url(media: &Media, data: &str, usual: &str) -> Value {
    Value::String(format!("data:{};base64,{data}", media.media_type.as_deref().unwrap_or(usual)))
}
