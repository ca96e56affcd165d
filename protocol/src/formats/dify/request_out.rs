//! The unified model → requests to a Dify app. The app, not the caller, picks model, prompt and tools: what the caller said about them is a loss.
//!
//! With a `conversation_id` (an extra field of the request, put there by the client or by the gateway) only what the user says now is sent: the
//! app remembers the rest. Without one the whole conversation is packed into the query.

use serde_json::{Map, Value, json};

use super::request_in::KINDS;
use crate::format::Lossy;
use crate::formats::transcript;
use crate::formats::wishes;
use crate::ir::{ChatRequest, Content, Extras, Loss, Media, MediaSource, Message, Part, Role};
use crate::{ApiFormat, Dialect};

const DIFY: ApiFormat = ApiFormat::Dify;

/// Who asks, if the caller did not say: Dify keeps conversations by user and takes no request without one.
const ANYONE: &str = "myelin";

/// Writes a body of `/chat-messages`.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect) -> Lossy<Map<String, Value>> {
    let mut losses = Vec::new();
    let mut own = request.extras.for_format(DIFY).cloned().unwrap_or_default();
    let conversation = own.shift_remove("conversation_id").unwrap_or_else(|| json!(""));
    let known = conversation.as_str().is_some_and(|id| !id.is_empty());
    let (first, messages) = if known { said_now(&request.messages) } else { (0, request.messages.as_slice()) };
    let mut body = Map::new();
    body.insert("inputs".to_owned(), own.shift_remove("inputs").unwrap_or_else(|| json!({})));
    body.insert("query".to_owned(), query(messages, known, &mut losses).into());
    let streams = request.stream == Some(true) || dialect.stream_only;
    body.insert("response_mode".to_owned(), if streams { "streaming" } else { "blocking" }.into());
    body.insert("conversation_id".to_owned(), conversation);
    body.insert("user".to_owned(), request.user.as_deref().unwrap_or(ANYONE).into());
    let files = files(messages, first, &mut losses);
    if !files.is_empty() {
        body.insert("files".to_owned(), Value::Array(files));
    }
    body.extend(own);
    report_unsayable(request, &mut losses);
    for name in &dialect.unsupported {
        if body.shift_remove(name).is_some() {
            losses.push(Loss::new(format!("extras.{name}"), DIFY, "the host refuses it"));
        }
    }
    for (name, value) in &dialect.defaults {
        // An empty word is a default that the caller did not choose.
        let unset = body.get(name).is_none_or(|own| own.as_object().is_some_and(Map::is_empty) || own == "");
        if unset {
            body.insert(name.clone(), value.clone());
        }
    }
    Lossy { value: body, losses }
}

/// What came after the last answer, and at which place it begins.
fn said_now(messages: &[Message]) -> (usize, &[Message]) {
    let first = messages.iter().rposition(|message| message.role == Role::Assistant).map_or(0, |last| last + 1);
    (first, messages.get(first..).unwrap_or_default())
}

fn query(messages: &[Message], known: bool, losses: &mut Vec<Loss>) -> String {
    let packed = transcript::pack(messages);
    // The app got the operator's words with the first turn.
    let system = packed.system.filter(|_| !known);
    if system.is_some() || (packed.turns > 1 && !known) {
        losses.push(Loss::new("messages", DIFY, "the conversation is packed into the query"));
    }
    match system {
        None => packed.prompt,
        Some(system) if packed.turns == 0 => system,
        Some(system) if packed.turns == 1 => format!("SYSTEM:\n{system}\n\nUSER:\n{}", packed.prompt),
        Some(system) => format!("SYSTEM:\n{system}\n\n{}", packed.prompt),
    }
}

fn files(messages: &[Message], first: usize, losses: &mut Vec<Loss>) -> Vec<Value> {
    let mut out = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        for (place, part) in message.parts.iter().enumerate() {
            let field = format!("messages[{}].parts[{place}]", first + index);
            losses.extend(
                part.extras.foreign_to(DIFY).map(|name| Loss::no_equivalent(format!("{field}.extras.{name}"), DIFY)),
            );
            out.extend(file(part, &field, losses));
        }
    }
    out
}

fn file(part: &Part, field: &str, losses: &mut Vec<Loss>) -> Option<Value> {
    let media = match &part.content {
        Content::Media(Media { source: MediaSource::Text(_), .. }) => return None,
        Content::Media(media) => media,
        Content::Reasoning(_) => {
            losses.push(Loss::no_equivalent(field.to_owned(), DIFY));
            return None;
        }
        Content::Native(native) => {
            let why = format!("{} is known to {} alone", native.kind, native.format);
            losses.push(Loss::new(field.to_owned(), DIFY, why));
            return None;
        }
        Content::ToolResult(result) => {
            if result.content.iter().any(|part| matches!(part.content, Content::Media(_))) {
                losses.push(Loss::no_equivalent(format!("{field}.content"), DIFY));
            }
            return None;
        }
        _ => return None,
    };
    let word = KINDS.iter().find(|(_, kind)| *kind == media.kind).map_or("document", |(word, _)| word);
    let mut out = Map::new();
    out.insert("type".to_owned(), word.into());
    match &media.source {
        MediaSource::Url(address) => {
            out.insert("transfer_method".to_owned(), "remote_url".into());
            out.insert("url".to_owned(), address.clone().into());
        }
        MediaSource::FileId(id) if is_uuid(id) => {
            out.insert("transfer_method".to_owned(), "local_file".into());
            out.insert("upload_file_id".to_owned(), id.clone().into());
        }
        MediaSource::FileId(_) => {
            losses.push(Loss::new(field.to_owned(), DIFY, "file id belongs to another provider"));
            return None;
        }
        MediaSource::Base64(_) | MediaSource::Text(_) => {
            losses.push(Loss::new(field.to_owned(), DIFY, "bytes must be uploaded first"));
            return None;
        }
    }
    out.extend(part.extras.for_format(DIFY).cloned().unwrap_or_default());
    Some(Value::Object(out))
}

/// Ids of Dify's own uploads.
pub(super) fn is_uuid(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn report_unsayable(request: &ChatRequest, losses: &mut Vec<Loss>) {
    let wished = [
        wishes::TOOLS,
        wishes::TOOL_CHOICE,
        wishes::PARALLEL_CALLS,
        wishes::TEMPERATURE,
        wishes::TOP_P,
        wishes::TOP_K,
        wishes::MIN_P,
        wishes::SEED,
        wishes::FREQUENCY_PENALTY,
        wishes::PRESENCE_PENALTY,
        wishes::STOP,
        wishes::LOGPROBS,
        wishes::LOGIT_BIAS,
        wishes::MAX_TOKENS,
        wishes::REASONING,
        wishes::OUTPUT,
        wishes::VERBOSITY,
        wishes::N,
        wishes::CACHE_KEY,
        wishes::SERVICE_TIER,
        wishes::STORE,
        wishes::PREVIOUS_RESPONSE,
        wishes::METADATA,
        wishes::PART_CACHE,
    ];
    let why = "the app decides this and not the caller";
    wishes::lost(request, &wished, |field| Loss::new(field, DIFY, why), losses);
    losses.extend(foreign(&request.extras));
}

fn foreign(extras: &Extras) -> impl Iterator<Item = Loss> + '_ {
    extras.foreign_to(DIFY).map(|name| Loss::no_equivalent(format!("extras.{name}"), DIFY))
}
