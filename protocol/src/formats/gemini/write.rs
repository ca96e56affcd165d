//! Parts of the unified model → parts on the wire.

use serde_json::{Map, Value, json};

use super::wire::is_own_file;
use crate::ApiFormat;
use crate::formats::media::{is_native_to_gemini, type_of_address, usual_type};
use crate::formats::pairing::Ids;
use crate::ir::{
    Content, Extras, Loss, Media, MediaSource, Message, Opaque, Part, ReasoningPart, ToolCall, ToolCallKind, ToolResult,
};

const GEMINI: ApiFormat = ApiFormat::Gemini;

/// Set on parts that must move behind all tool results of their content; never sent.
const BEHIND: &str = "\u{0}behind";

/// Writes the messages of a request for a provider.
#[derive(Debug)]
pub(super) struct Writer<'l> {
    /// Ids and names of the calls of the conversation.
    pub(super) ids: Ids,
    /// Tool results may hold media (third generation).
    pub(super) media_in_results: bool,
    /// What was lost.
    pub(super) losses: &'l mut Vec<Loss>,
}

impl Writer<'_> {
    /// The parts of one message, which is number `index` of the request.
    pub(super) fn message(&mut self, message: &Message, index: usize) -> Vec<Value> {
        let mut out: Vec<Value> = Vec::new();
        let mut waiting: Option<String> = None;
        for (place, part) in message.parts.iter().enumerate() {
            let field = format!("messages[{index}].parts[{place}]");
            // A signature in a part of its own belongs to the visible part that follows it.
            if let Content::Reasoning(reasoning) = &part.content
                && let Some(text) = own_signature_alone(reasoning)
            {
                if let Some(text) = waiting.replace(text.to_owned()) {
                    out.push(json!({"text": "", "thoughtSignature": text}));
                }
                continue;
            }
            let before = out.len();
            self.part(part, &field, &mut out);
            if let Some(text) = waiting.take() {
                let signable = matches!(&part.content, Content::Text(text) if !text.text.is_empty())
                    || matches!(&part.content, Content::Media(_));
                match out.get_mut(before).and_then(Value::as_object_mut) {
                    Some(first) if signable => {
                        first.insert("thoughtSignature".to_owned(), text.into());
                    }
                    _ => out.insert(before, json!({"text": "", "thoughtSignature": text})),
                }
            }
        }
        out.extend(waiting.map(|text| json!({"text": "", "thoughtSignature": text})));
        out
    }

    fn part(&mut self, part: &Part, field: &str, out: &mut Vec<Value>) {
        self.losses.extend(
            part.extras.foreign_to(GEMINI).map(|name| Loss::no_equivalent(format!("{field}.extras.{name}"), GEMINI)),
        );
        let written = match &part.content {
            Content::Text(text) => {
                if !text.citations.is_empty() {
                    self.losses.push(Loss::no_equivalent(format!("{field}.citations"), GEMINI));
                }
                Some(json!({"text": text.text}))
            }
            Content::Refusal(text) => Some(json!({"text": text})),
            Content::Reasoning(reasoning) => self.reasoning(reasoning, field),
            Content::Media(media) => self.media(media, field),
            Content::ToolCall(call) => Some(self.call(call, field)),
            Content::ToolResult(result) => {
                self.result(result, &part.extras, field, out);
                None
            }
            Content::Native(native) if native.format == GEMINI => Some(native.value.clone()),
            Content::Native(native) => {
                let why = format!("{} is known to {} alone", native.kind, native.format);
                self.losses.push(Loss::new(field.to_owned(), GEMINI, why));
                None
            }
        };
        if let Some(mut written) = written {
            with_extras(&mut written, &part.extras);
            out.push(written);
        }
    }

    fn reasoning(&mut self, reasoning: &ReasoningPart, field: &str) -> Option<Value> {
        let text = reasoning.shown();
        let mut out = json!({"text": text, "thought": true});
        match &reasoning.opaque {
            Some(opaque) if opaque.format == GEMINI => {
                with_signature(&mut out, opaque.data.clone());
            }
            Some(opaque) => self.losses.push(foreign_opaque(opaque, &format!("{field}.opaque"))),
            None => {}
        }
        (!text.is_empty() || out.get("thoughtSignature").is_some()).then_some(out)
    }

    fn call(&mut self, call: &ToolCall, field: &str) -> Value {
        let (mut out, whole) = call_part(call, self.ids.on_wire(&call.id));
        if !whole {
            self.losses.push(Loss::new(format!("{field}.arguments"), GEMINI, "no json object: wrapped into one"));
        }
        match &call.signature {
            Some(opaque) if opaque.format == GEMINI => with_signature(&mut out, opaque.data.clone()),
            Some(opaque) => self.losses.push(foreign_opaque(opaque, &format!("{field}.signature"))),
            None => {}
        }
        out
    }

    fn result(&mut self, result: &ToolResult, extras: &Extras, field: &str, out: &mut Vec<Value>) {
        let mut texts = Vec::new();
        let mut media = Vec::new();
        for (place, part) in result.content.iter().enumerate() {
            let field = format!("{field}.content[{place}]");
            match &part.content {
                Content::Text(text) => texts.push(text.text.clone()),
                Content::Media(piece) => media.extend(self.media(piece, &field)),
                Content::Native(native) => {
                    self.losses.push(Loss::new(field, GEMINI, "its json stands in the result as text"));
                    texts.push(native.value.to_string());
                }
                _ => self.losses.push(Loss::no_equivalent(field, GEMINI)),
            }
        }
        let name = result.name.as_deref().filter(|name| !name.is_empty()).or_else(|| self.ids.name(&result.call_id));
        let mut response = Map::new();
        if let Some(id) = self.ids.on_wire(&result.call_id) {
            response.insert("id".to_owned(), id.into());
        }
        response.insert("name".to_owned(), name.unwrap_or(&result.call_id).into());
        response.insert("response".to_owned(), response_object(texts.join("\n"), result.is_error == Some(true)));
        let inside = self.media_in_results && !media.is_empty();
        if inside {
            response.insert("parts".to_owned(), Value::Array(std::mem::take(&mut media)));
        }
        let mut written = json!({ "functionResponse": response });
        with_extras(&mut written, extras);
        out.push(written);
        if !media.is_empty() {
            let why = "media of a tool result stands behind the results";
            self.losses.push(Loss::new(format!("{field}.content"), GEMINI, why));
            out.extend(media.into_iter().map(|piece| json!({ BEHIND: piece })));
        }
    }

    fn media(&mut self, media: &Media, field: &str) -> Option<Value> {
        if media.detail.is_some() {
            self.losses.push(Loss::no_equivalent(format!("{field}.detail"), GEMINI));
        }
        match media_part(media) {
            Ok((out, why)) => {
                self.losses.extend(why.map(|why| Loss::new(field.to_owned(), GEMINI, why)));
                Some(out)
            }
            Err(why) => {
                self.losses.push(Loss::new(field.to_owned(), GEMINI, why));
                None
            }
        }
    }
}

/// Media of tool results, behind all the results and before anything else that was said.
pub(super) fn flush_media(parts: Vec<Value>) -> Vec<Value> {
    if !parts.iter().any(|part| part.get(BEHIND).is_some()) {
        return parts;
    }
    let last_result = parts.iter().rposition(|part| part.get("functionResponse").is_some()).unwrap_or(0);
    let (mut moved, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for (place, mut part) in parts.into_iter().enumerate() {
        match part.get_mut(BEHIND).map(Value::take) {
            Some(piece) => moved.push(piece),
            None if place <= last_result => before.push(part),
            None => after.push(part),
        }
    }
    before.append(&mut moved);
    before.append(&mut after);
    before
}

/// The signature of a reasoning part that is nothing but a signature of Gemini's.
fn own_signature_alone(reasoning: &ReasoningPart) -> Option<&str> {
    let alone = reasoning.text.is_empty() && reasoning.summary.is_empty();
    reasoning.opaque.as_ref().filter(|opaque| alone && opaque.format == GEMINI).map(|opaque| opaque.data.as_str())
}

fn foreign_opaque(opaque: &Opaque, field: &str) -> Loss {
    Loss::new(field.to_owned(), GEMINI, format!("signature belongs to {}", opaque.format))
}

/// Adds a signature to a part.
pub(super) fn with_signature(part: &mut Value, text: String) {
    if let Some(part) = part.as_object_mut() {
        part.insert("thoughtSignature".to_owned(), text.into());
    }
}

/// Adds Gemini's own extra fields to a part.
pub(super) fn with_extras(part: &mut Value, extras: &Extras) {
    let (Some(part), Some(own)) = (part.as_object_mut(), extras.for_format(GEMINI)) else { return };
    part.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
}

/// A call as a part, and whether its arguments were an object.
pub(super) fn call_part(call: &ToolCall, id: Option<&str>) -> (Value, bool) {
    let (args, whole) = match (call.kind, serde_json::from_str(&call.arguments)) {
        (ToolCallKind::Function, Ok(Value::Object(args))) => (args, true),
        (ToolCallKind::Function, _) if call.arguments.trim().is_empty() => (Map::new(), true),
        (ToolCallKind::Function, Ok(value)) => (Map::from_iter([("arguments".to_owned(), value)]), false),
        (ToolCallKind::Function, Err(_)) => {
            (Map::from_iter([("arguments".to_owned(), call.arguments.clone().into())]), false)
        }
        (ToolCallKind::Custom, _) => (Map::from_iter([("input".to_owned(), call.arguments.clone().into())]), true),
    };
    let mut inner = Map::new();
    if let Some(id) = id {
        inner.insert("id".to_owned(), id.into());
    }
    inner.insert("name".to_owned(), call.name.clone().into());
    inner.insert("args".to_owned(), Value::Object(args));
    (json!({ "functionCall": inner }), whole)
}

/// The object that `response` must be: JSON objects as they are, text under `output`, failures under `error`.
fn response_object(text: String, is_error: bool) -> Value {
    if is_error {
        return json!({ "error": text });
    }
    match serde_json::from_str::<Value>(&text) {
        // An object that reads like our own wrapping would lose a layer on the way back.
        Ok(Value::Object(map)) if !(map.len() == 1 && is_wrapping(&map)) => Value::Object(map),
        _ => json!({ "output": text }),
    }
}

fn is_wrapping(map: &Map<String, Value>) -> bool {
    ["output", "error"].iter().any(|name| map.get(*name).is_some_and(Value::is_string))
}

/// Media as a part, perhaps with a doubt; or why it cannot be one.
pub(super) fn media_part(media: &Media) -> Result<(Value, Option<&'static str>), String> {
    let media_type = media.media_type.clone();
    match &media.source {
        MediaSource::Base64(data) => {
            let mut inner = Map::new();
            inner.insert("mimeType".to_owned(), media_type.unwrap_or_else(|| usual_type(media.kind).to_owned()).into());
            inner.insert("data".to_owned(), data.clone().into());
            if let Some(name) = &media.name {
                inner.insert("displayName".to_owned(), name.clone().into());
            }
            Ok((json!({ "inlineData": inner }), None))
        }
        MediaSource::Url(address) => {
            let native = is_native_to_gemini(address);
            let named = media_type.or_else(|| type_of_address(address).map(str::to_owned));
            let named = named.or_else(|| (!native).then(|| usual_type(media.kind).to_owned()));
            let doubt = (!native).then_some("an address that the host may not fetch");
            Ok((file_part(address, named, media), doubt))
        }
        MediaSource::FileId(id) if is_own_file(id) => Ok((file_part(id, media_type, media), None)),
        MediaSource::FileId(id) if id.starts_with("files/") => {
            let address = format!("https://generativelanguage.googleapis.com/v1beta/{id}");
            Ok((file_part(&address, media_type, media), None))
        }
        MediaSource::FileId(_) => Err("file id belongs to another provider".to_owned()),
        MediaSource::Text(text) => {
            let text = match &media.name {
                Some(name) => format!("{name}:\n{text}"),
                None => text.clone(),
            };
            Ok((json!({ "text": text }), None))
        }
    }
}

fn file_part(address: &str, media_type: Option<String>, media: &Media) -> Value {
    let mut inner = Map::new();
    if let Some(media_type) = media_type {
        inner.insert("mimeType".to_owned(), media_type.into());
    }
    inner.insert("fileUri".to_owned(), address.into());
    if let Some(name) = &media.name {
        inner.insert("displayName".to_owned(), name.clone().into());
    }
    json!({ "fileData": inner })
}
