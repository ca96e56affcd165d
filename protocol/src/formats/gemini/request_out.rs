//! The unified model → requests to providers.

use serde_json::{Map, Value, json};

use super::model_rules::is_third_generation;
use super::write::{Writer, flush_media};
use super::{config, signature, tools};
use crate::format::Lossy;
use crate::formats::pairing::Ids;
use crate::formats::wishes;
use crate::ir::{ChatRequest, Content, Loss, Message, Role};
use crate::{ApiFormat, Dialect};

const GEMINI: ApiFormat = ApiFormat::Gemini;

/// Words of `serviceTier`, which libraries may prefix.
const TIERS: [&str; 4] = ["standard", "flex", "priority", "unspecified"];

/// Writes a body of `generateContent` or `streamGenerateContent`. Model and stream stand in the address.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect) -> Lossy<Map<String, Value>> {
    let mut losses = Vec::new();
    let (mut system, rest) = leading_system(request);
    let mut writer = Writer {
        ids: Ids::of(request),
        media_in_results: dialect.images_in_tool_results || is_third_generation(&request.model),
        losses: &mut losses,
    };
    let mut system_parts = Vec::new();
    for (index, message) in system.by_ref() {
        system_parts.extend(writer.message(message, index));
    }
    let mut contents = write_contents(rest, &mut writer);
    if is_third_generation(&request.model) {
        sign_first_calls(&mut contents);
    }
    if contents.is_empty() && !system_parts.is_empty() {
        losses.push(Loss::new(
            "messages",
            GEMINI,
            "a system prompt alone is no conversation: it is sent as the user's",
        ));
        contents.push(json!({"role": "user", "parts": std::mem::take(&mut system_parts)}));
    }
    let mut own = request.extras.for_format(GEMINI).cloned().unwrap_or_default();
    let mut body = Map::new();
    body.insert("contents".to_owned(), Value::Array(contents));
    if !system_parts.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({ "parts": system_parts }));
    }
    write_tools(request, &mut own, dialect, &mut body, &mut losses);
    let key = if own.contains_key("generation_config") { "generation_config" } else { "generationConfig" };
    let own_config = config::own(&request.extras, key);
    own.shift_remove(key);
    if let Some(config) = config::write(request, own_config, dialect, &mut losses) {
        body.insert("generationConfig".to_owned(), config);
    }
    match request.service_tier.as_deref() {
        Some(tier) if TIERS.iter().any(|known| tier.to_ascii_lowercase().ends_with(known)) => {
            body.insert("serviceTier".to_owned(), tier.into());
        }
        // These say "as you like".
        None | Some("auto" | "default") => {}
        Some(_) => losses.push(Loss::no_equivalent("service_tier", GEMINI)),
    }
    body.extend(own);
    report_unsayable(request, &mut losses);
    adapt(&mut body, dialect, &mut losses);
    Lossy { value: body, losses }
}

type Numbered<'a> = std::iter::Enumerate<std::slice::Iter<'a, Message>>;

/// The leading run of operator messages, and the conversation after it; both numbered by their place in the request.
fn leading_system(request: &ChatRequest) -> (impl Iterator<Item = (usize, &Message)>, std::iter::Skip<Numbered<'_>>) {
    let count = request.messages.iter().take_while(|message| is_operator(message.role)).count();
    let all = request.messages.iter().enumerate();
    (all.clone().take(count), all.skip(count))
}

fn is_operator(role: Role) -> bool {
    matches!(role, Role::System | Role::Developer)
}

/// Roles alternate: neighbours of one role share a content, so that the results of parallel calls stand together.
fn write_contents<'a>(messages: impl Iterator<Item = (usize, &'a Message)>, writer: &mut Writer<'_>) -> Vec<Value> {
    let mut contents: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for (index, message) in messages {
        let role = if message.role == Role::Assistant { "model" } else { "user" };
        if is_operator(message.role) {
            let why = "no operator inside the conversation: it is told as the user's words";
            writer.losses.push(Loss::new(format!("messages[{index}].role"), GEMINI, why));
        }
        if message.name.is_some() {
            writer.losses.push(Loss::no_equivalent(format!("messages[{index}].name"), GEMINI));
        }
        let losses = tools::foreign(&message.extras, "").map(|loss| loss.field.into_owned()).collect::<Vec<_>>();
        writer.losses.extend(
            losses.into_iter().map(|field| Loss::no_equivalent(format!("messages[{index}].extras{field}"), GEMINI)),
        );
        let parts = writer.message(message, index);
        if parts.is_empty() {
            continue;
        }
        match contents.last_mut() {
            Some((last, own)) if *last == role => own.extend(parts),
            _ => contents.push((role, parts)),
        }
    }
    contents.into_iter().map(|(role, parts)| json!({"role": role, "parts": flush_media(parts)})).collect()
}

/// The third generation refuses a history in which the first call of a step of the current turn has no signature. Where it was lost, or another
/// provider made the call, the documented placeholder stands in: in earlier turns too, lest a turn is written in another way once it is over
/// and the provider's cache of it is lost.
fn sign_first_calls(contents: &mut [Value]) {
    for content in contents.iter_mut().filter(|content| content.get("role").and_then(Value::as_str) == Some("model")) {
        let Some(parts) = content.get_mut("parts").and_then(Value::as_array_mut) else { continue };
        let call = parts.iter_mut().filter_map(Value::as_object_mut).find(|part| part.contains_key("functionCall"));
        if let Some(call) = call {
            call.entry("thoughtSignature").or_insert_with(|| signature::PLACEHOLDER.into());
        }
    }
}

fn write_tools(
    request: &ChatRequest,
    own: &mut Map<String, Value>,
    dialect: &Dialect,
    body: &mut Map<String, Value>,
    losses: &mut Vec<Loss>,
) {
    let narrowed = tools::allowed_tools(request).map(|tools| ChatRequest { tools, ..ChatRequest::default() });
    if let Some(tools) = tools::write_tools(narrowed.as_ref().unwrap_or(request), dialect, losses) {
        body.insert("tools".to_owned(), tools);
    }
    let key = if own.contains_key("tool_config") { "tool_config" } else { "toolConfig" };
    let own_config = match own.shift_remove(key) {
        Some(Value::Object(config)) => Some(config),
        _ => None,
    };
    // A choice without functions is refused.
    let choice = request.tool_choice.as_ref().filter(|_| !request.tools.is_empty());
    if let Some(config) = tools::write_config(choice, own_config, losses) {
        body.insert("toolConfig".to_owned(), config);
    }
}

/// What a request may say that this wire has no word for.
fn report_unsayable(request: &ChatRequest, losses: &mut Vec<Loss>) {
    let wished = [
        wishes::PARALLEL_CALLS,
        wishes::MIN_P,
        wishes::LOGIT_BIAS,
        wishes::VERBOSITY,
        wishes::CACHE_KEY,
        wishes::USER,
        wishes::STORE,
        wishes::PREVIOUS_RESPONSE,
        wishes::METADATA,
    ];
    wishes::lost(request, &wished, |field| Loss::no_equivalent(field, GEMINI), losses);
    losses.extend(tools::foreign(&request.extras, "extras"));
    let marks = request.messages.iter().flat_map(|message| &message.parts).filter(|part| {
        let inner = match &part.content {
            Content::ToolResult(result) => result.content.iter().any(|part| part.cache.is_some()),
            _ => false,
        };
        part.cache.is_some() || inner
    });
    if marks.count() > 0 {
        losses.push(Loss::new("messages[].parts[].cache", GEMINI, "caching is implicit or by cachedContent"));
    }
}

/// The host's own wishes.
fn adapt(body: &mut Map<String, Value>, dialect: &Dialect, losses: &mut Vec<Loss>) {
    for name in &dialect.unsupported {
        if body.shift_remove(name).is_some() {
            losses.push(Loss::new(format!("extras.{name}"), GEMINI, "the host refuses it"));
        }
    }
    for (name, value) in &dialect.defaults {
        body.entry(name.clone()).or_insert_with(|| value.clone());
    }
}
