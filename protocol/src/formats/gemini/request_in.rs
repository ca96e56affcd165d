//! Requests of clients → the unified model.

use serde_json::{Map, Value};

use super::wire::{Body, Reply, WirePart, read_part};
use super::{config, signature, tools};
use crate::format::AddressHints;
use crate::formats::fields::{Fields, Path};
use crate::formats::pairing::Pairing;
use crate::ir::{ChatRequest, Content, Extras, Message, Part, ReasoningPart, Role, ToolCall, ToolCallKind, ToolResult};
use crate::{ApiFormat, DecodeError};

const GEMINI: ApiFormat = ApiFormat::Gemini;

/// Reads a body of `generateContent` or `streamGenerateContent`.
pub(super) fn decode(body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
    let request = read(Fields::parse(body, GEMINI)?, hints)?;
    if request.messages.iter().all(|message| message.role == Role::System) {
        // The API refuses it too; a body of another format would be answered as if nothing had been asked.
        return Err(DecodeError::new(GEMINI, "/contents", "has nothing to answer"));
    }
    Ok(request)
}

/// Reads the fields of a request; `countTokens` nests them.
pub(super) fn read(mut fields: Fields<'_>, hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
    let named = fields.text("model")?;
    let model = hints.model.map(str::to_owned).or(named).unwrap_or_default();
    let mut request = ChatRequest {
        model: without_prefix(&model).to_owned(),
        stream: hints.stream,
        include_usage: Some(true),
        ..ChatRequest::default()
    };
    if let Some(system) = fields.take("systemInstruction") {
        request.messages.push(read_system(system)?);
    }
    let contents = fields.list_or_one("contents");
    read_contents(contents, &mut request.messages)?;
    request.tools = tools::read_tools(fields.list_or_one("tools"))?;
    if let Some(config) = fields.object("toolConfig")? {
        let (choice, rest) = tools::read_config(config)?;
        request.tool_choice = choice;
        put_back(&mut fields, "toolConfig", rest);
    }
    if let Some(config) = fields.object("generationConfig")? {
        let rest = config::read(config, &mut request)?;
        put_back(&mut fields, "generationConfig", rest);
    }
    request.service_tier = fields.text("serviceTier")?;
    request.extras = Extras::new(GEMINI, fields.rest());
    Ok(request)
}

fn put_back(fields: &mut Fields<'_>, name: &str, rest: Map<String, Value>) {
    if !rest.is_empty() {
        fields.put_back(name, Value::Object(rest));
    }
}

/// `models/x` and Vertex's longer addresses name `x`; tuned models keep their folder, which is part of their name.
pub(super) fn without_prefix(model: &str) -> &str {
    match model.rsplit_once("models/") {
        Some((before, name)) if before.is_empty() || before.ends_with('/') => name,
        _ => model,
    }
}

fn read_system(value: Value) -> Result<Message, DecodeError> {
    let root = Path::Root;
    let place = Path::Key(&root, "systemInstruction");
    let parts = match value {
        Value::String(text) => vec![Part::text(text)],
        value => {
            let mut fields = Fields::of(value, GEMINI, &place)?;
            read_parts(fields.list_or_one("parts"), &place, &mut Pairing::default())?
        }
    };
    Ok(Message::new(Role::System, parts))
}

fn read_contents(contents: Vec<Value>, messages: &mut Vec<Message>) -> Result<(), DecodeError> {
    let root = Path::Root;
    let list = Path::Key(&root, "contents");
    let mut pairing = Pairing::default();
    for (index, value) in contents.into_iter().enumerate() {
        let place = Path::Index(&list, index);
        if let Value::String(text) = value {
            messages.push(Message::text(Role::User, text));
            continue;
        }
        let mut fields = Fields::of(value, GEMINI, &place)?;
        let role = match fields.text("role")?.as_deref() {
            // Results once had a role of their own.
            None | Some("" | "user" | "function" | "tool") => Role::User,
            Some("model" | "assistant") => Role::Assistant,
            Some("system") => Role::System,
            Some(_) => return Err(fields.error("role", "Please use a valid role: user, model.")),
        };
        let parts = read_parts(fields.list_or_one("parts"), &place, &mut pairing)?;
        messages.push(Message { extras: Extras::new(GEMINI, fields.rest()), ..Message::new(role, parts) });
    }
    Ok(())
}

fn read_parts(list: Vec<Value>, place: &Path<'_>, pairing: &mut Pairing) -> Result<Vec<Part>, DecodeError> {
    let place = Path::Key(place, "parts");
    let mut parts = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        let place = Path::Index(&place, index);
        push(read_part(value, &place)?, pairing, &mut parts);
    }
    Ok(parts)
}

/// What a part of a history means. A signature on visible content becomes a reasoning part before it; on an empty text, in its place.
fn push(part: WirePart, pairing: &mut Pairing, parts: &mut Vec<Part>) {
    let WirePart { body, thought, mut signature, extras } = part;
    let extras = Extras::new(GEMINI, extras);
    if let (Body::Call(_), Some(riders)) = (&body, signature.as_deref().and_then(signature::riders)) {
        bring_back(riders, parts);
        signature = None;
    }
    let signature = signature.filter(|text| text != signature::PLACEHOLDER).map(|text| signature::from_wire(&text));
    let content = match body {
        Body::Nothing => return,
        Body::Text(text) if thought => {
            // Pieces of one thought come back as the pieces in which they were streamed.
            if let Some(Part { content: Content::Reasoning(open), extras: own, .. }) = parts.last_mut()
                && open.opaque.is_none()
                && own.is_empty()
                && extras.is_empty()
            {
                open.text.push_str(&text);
                open.opaque = signature;
                return;
            }
            Content::Reasoning(ReasoningPart { text, summary: Vec::new(), opaque: signature })
        }
        Body::Call(call) => {
            let name = call.name.unwrap_or_default();
            let arguments = Value::Object(call.args.unwrap_or_default()).to_string();
            let id = pairing.call(&name, call.id);
            Content::ToolCall(ToolCall {
                id,
                name,
                namespace: None,
                kind: ToolCallKind::Function,
                arguments,
                signature,
            })
        }
        Body::Result(reply) => Content::ToolResult(read_result(reply, pairing)),
        Body::Native(native) => Content::Native(native),
        body => {
            if let Some(opaque) = signature {
                parts.push(Part::new(Content::Reasoning(ReasoningPart { opaque: Some(opaque), ..Default::default() })));
                if matches!(&body, Body::Text(text) if text.is_empty()) {
                    return;
                }
            }
            match body {
                Body::Text(text) => Part::text(text).content,
                Body::Media(media) => Content::Media(media),
                _ => return,
            }
        }
    };
    parts.push(Part { extras, ..Part::new(content) });
}

/// Thinking that rode on a call goes back before everything that was said since the last call, unless the client kept the thoughts as well.
fn bring_back(riders: Vec<ReasoningPart>, parts: &mut Vec<Part>) {
    let known = |rider: &ReasoningPart| {
        parts.iter().any(|part| matches!(&part.content, Content::Reasoning(own) if own.opaque == rider.opaque))
    };
    let lost: Vec<Part> =
        riders.into_iter().filter(|rider| !known(rider)).map(|rider| Part::new(Content::Reasoning(rider))).collect();
    let at = parts.iter().rposition(|part| matches!(part.content, Content::ToolCall(_))).map_or(0, |last| last + 1);
    parts.splice(at..at, lost);
}

/// `{"output": "text"}` and `{"error": "text"}` are the text; any other object is its JSON.
fn read_result(reply: Reply, pairing: &mut Pairing) -> ToolResult {
    let Reply { name, id, mut response, media } = reply;
    let call_id = pairing.result(&name, id);
    let only = (response.len() == 1).then(|| response.iter_mut().next()).flatten();
    let (text, is_error) = match only {
        Some((key, Value::String(text))) if key == "output" => (std::mem::take(text), None),
        Some((key, Value::String(text))) if key == "error" => (std::mem::take(text), Some(true)),
        _ => (Value::Object(response).to_string(), None),
    };
    let mut content = vec![Part::text(text)];
    content.extend(media.into_iter().map(|media| Part::new(Content::Media(media))));
    ToolResult { call_id, name: Some(name), kind: ToolCallKind::Function, content, is_error }
}
