//! Requests, both directions.
//!
//! `instructions` is the leading system message. A system message that stood in `input` is noted as such, because with stored
//! conversations the two differ: `instructions` hold for one answer only.

use serde_json::{Value, json};

use super::content::{Side, fields_of, lose_foreign};
use super::items::{self, Item, Place, Turns};
use super::take::{self, FORMAT, Fields};
use super::{history, tools, usage};
use crate::formats::wishes;
use crate::ir::{ChatRequest, Effort, Extras, Loss, Message, OutputFormat, Part, Reasoning, Role, Sampling};
use crate::{DecodeError, Dialect};

/// Note on a leading system message that stood in `input` and not in `instructions`.
pub(super) const IN_INPUT: &str = "@in_input";

/// Note on a request that was written in this format: what it leaves out has the meaning of this format.
const OWN: &str = "@own";

/// `include`: the caller can carry encrypted reasoning.
const ENCRYPTED: &str = "reasoning.encrypted_content";
/// `include`: log probabilities of the text.
const LOGPROBS: &str = "message.output_text.logprobs";

/// OpenAI refuses a lower `max_output_tokens`; clients of other formats probe with 1.
const LEAST_OUTPUT: u64 = 16;

/// Reads a request: `/responses`, `/responses/compact` and `/responses/input_tokens` share the shape.
pub(super) fn decode(body: &[u8]) -> Result<ChatRequest, DecodeError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => decode_fields(fields),
        Ok(_) => Err(DecodeError::new(FORMAT, "", "is not an object")),
        Err(error) => Err(DecodeError::json(FORMAT, &error)),
    }
}

/// Reads a request that is parsed already.
pub(super) fn decode_fields(mut body: Fields) -> Result<ChatRequest, DecodeError> {
    let fields = &mut body;
    let mut request =
        ChatRequest { model: take::string(fields, "", "model")?.unwrap_or_default(), ..ChatRequest::default() };
    let mut turns = Turns::default();
    if let Some(instructions) = take::string(fields, "", "instructions")? {
        turns.push_message(Message::text(Role::System, instructions));
    }
    if let Some(list) = take::list(fields, "", "tools")? {
        tools::decode(list, None, &mut request.tools);
    }
    decode_input(fields, &mut turns, &mut request)?;
    request.messages = turns.finish();
    if let Some(choice) = fields.get("tool_choice").filter(|choice| !choice.is_null()).cloned() {
        fields.shift_remove("tool_choice");
        request.tool_choice = Some(tools::decode_choice(choice, &request.tools));
    }
    request.parallel_tool_calls = take::boolean(fields, "", "parallel_tool_calls")?;
    request.max_tokens = take::integer(fields, "", "max_output_tokens")?;
    request.sampling = Sampling {
        temperature: take::number(fields, "", "temperature")?,
        top_p: take::number(fields, "", "top_p")?,
        top_logprobs: take::integer(fields, "", "top_logprobs")?.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        ..Sampling::default()
    };
    request.reasoning = decode_reasoning(fields)?;
    decode_text(fields, &mut request)?;
    decode_include(fields, &mut request)?;
    request.stream = take::boolean(fields, "", "stream")?;
    request.include_usage = Some(true);
    request.cache_key = take::string(fields, "", "prompt_cache_key")?;
    request.user = take::string(fields, "", "user")?;
    request.service_tier = take::string(fields, "", "service_tier")?;
    request.store = take::boolean(fields, "", "store")?;
    request.previous_response_id = take::string(fields, "", "previous_response_id")?;
    request.metadata = take::object(fields, "", "metadata")?;
    request.extras = Extras::new(FORMAT, body);
    request.extras.insert(FORMAT, OWN, Value::Bool(true));
    Ok(request)
}

fn decode_input(fields: &mut Fields, turns: &mut Turns, request: &mut ChatRequest) -> Result<(), DecodeError> {
    let items = match fields.get("input") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(_)) => {
            let text = take::text(fields, "input").unwrap_or_default();
            turns.push_message(Message::text(Role::User, text));
            return Ok(());
        }
        Some(_) => take::list(fields, "", "input")?.unwrap_or_default(),
    };
    let mut leading = true;
    for (index, value) in items.into_iter().enumerate() {
        if !value.is_object() {
            return Err(DecodeError::new(FORMAT, format!("/input/{index}"), "is not an object"));
        }
        match items::decode(value, Place::History) {
            Item::Message(Role::System, parts) if leading => {
                let mut message = Message::new(Role::System, parts);
                message.extras.insert(FORMAT, IN_INPUT, Value::Bool(true));
                turns.push_message(message);
            }
            item => {
                leading &= matches!(item, Item::Tools(..) | Item::Message(Role::Developer, _));
                if let Some((list, rest)) = turns.push(item) {
                    tools::decode(list, Some((index, rest)), &mut request.tools);
                }
            }
        }
    }
    Ok(())
}

fn decode_reasoning(fields: &mut Fields) -> Result<Option<Reasoning>, DecodeError> {
    let Some(mut inner) = take::object(fields, "", "reasoning")?.filter(|inner| !inner.is_empty()) else {
        return Ok(None);
    };
    let mut reasoning = Reasoning::default();
    if let Some(effort) = inner.get("effort").and_then(Value::as_str).and_then(Effort::parse) {
        inner.shift_remove("effort");
        reasoning.enabled = (effort == Effort::None).then_some(false);
        reasoning.effort = Some(effort);
    }
    reasoning.summary = take::string(&mut inner, "/reasoning", "summary")?;
    if !inner.is_empty() {
        fields.insert("reasoning".to_owned(), Value::Object(inner));
    }
    Ok(Some(reasoning))
}

fn decode_text(fields: &mut Fields, request: &mut ChatRequest) -> Result<(), DecodeError> {
    let Some(mut inner) = take::object(fields, "", "text")? else { return Ok(()) };
    request.verbosity = take::string(&mut inner, "/text", "verbosity")?;
    if let Some(format) = inner.get("format").and_then(decode_format) {
        inner.shift_remove("format");
        request.output = Some(format);
    }
    if !inner.is_empty() {
        fields.insert("text".to_owned(), Value::Object(inner));
    }
    Ok(())
}

/// A form of answer that every format knows; anything more stays in the extras.
fn decode_format(value: &Value) -> Option<OutputFormat> {
    let mut fields = value.as_object()?.clone();
    match take::text(&mut fields, "type")?.as_str() {
        "text" if fields.is_empty() => Some(OutputFormat::Text),
        "json_object" if fields.is_empty() => Some(OutputFormat::JsonObject),
        "json_schema" => {
            let name = take::text(&mut fields, "name")?;
            let schema = fields.shift_remove("schema")?;
            let description = take::text(&mut fields, "description");
            let strict = take::boolean(&mut fields, "", "strict").ok()?;
            let known = fields.values().all(Value::is_null);
            known.then_some(OutputFormat::JsonSchema { name, description, schema, strict })
        }
        _ => None,
    }
}

fn decode_include(fields: &mut Fields, request: &mut ChatRequest) -> Result<(), DecodeError> {
    let Some(list) = take::list(fields, "", "include")? else { return Ok(()) };
    let mut rest = Vec::new();
    for entry in list {
        match entry.as_str() {
            Some(ENCRYPTED) => request.reasoning.get_or_insert_default().encrypted = true,
            Some(LOGPROBS) => request.sampling.logprobs = Some(true),
            _ => rest.push(entry),
        }
    }
    if !rest.is_empty() {
        fields.insert("include".to_owned(), Value::Array(rest));
    }
    Ok(())
}

/// Writes a request for a provider.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect) -> (Fields, Vec<Loss>) {
    let mut losses = Vec::new();
    let mut body = Fields::new();
    set(&mut body, "model", json!(request.model));
    let (instructions, messages) = hoist(&request.messages);
    let demand = demand(request, dialect, &mut losses);
    if let Some(said) = join(instructions.as_deref(), demand.as_deref()) {
        set(&mut body, "instructions", json!(said));
    }
    if instructions.is_some() {
        for part in request.messages.iter().take(1).flat_map(|message| &message.parts) {
            lose_foreign(&part.extras, "messages[0]", &mut losses);
        }
    }
    let tools = tools::encode(&request.tools, dialect, &mut losses);
    let mut input = history::encode(messages, request.messages.len() - messages.len(), dialect, &mut losses);
    for (at, item) in tools.declared {
        input.insert(at.min(input.len()), item);
    }
    set(&mut body, "input", Value::Array(input));
    if !tools.list.is_empty() {
        set(&mut body, "tools", Value::Array(tools.list));
    }
    encode_settings(request, dialect, &mut body, &mut losses);
    lose_unknown(request, &mut losses);
    keep_extras(request, &mut body, &mut losses);
    fit(&mut body, dialect, &mut losses);
    (body, losses)
}

/// Whether another format wrote the request.
fn is_foreign(request: &ChatRequest) -> bool {
    request.extras.origin() != Some(FORMAT)
}

/// What has to be said in words because the wire or the host cannot be told otherwise.
fn demand(request: &ChatRequest, dialect: &Dialect, losses: &mut Vec<Loss>) -> Option<String> {
    match request.output.as_ref()? {
        OutputFormat::JsonSchema { schema, .. } if dialect.no_json_schema => {
            losses.push(Loss::new("output.schema", FORMAT, "the host knows no schemas: it stands in the prompt"));
            Some(format!("Answer with a JSON object that follows this JSON Schema:\n{schema}"))
        }
        // Refused unless the prompt speaks of JSON, which other formats do not ask for.
        OutputFormat::JsonObject if is_foreign(request) => {
            let mut texts = request.messages.iter().flat_map(|message| &message.parts).filter_map(Part::as_text);
            let said = texts.any(|text| text.to_ascii_lowercase().contains("json"));
            (!said).then(|| "Answer with a JSON object.".to_owned())
        }
        _ => None,
    }
}

fn join(first: Option<&str>, second: Option<&str>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}\n\n{second}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

fn set(body: &mut Fields, name: &str, value: Value) {
    body.insert(name.to_owned(), value);
}

/// The text of `instructions`, and the messages that stay in `input`.
fn hoist(messages: &[Message]) -> (Option<String>, &[Message]) {
    let Some((first, rest)) = messages.split_first() else { return (None, messages) };
    let plain = |part: &Part| part.item_id.is_none() && part.extras.for_format(FORMAT).is_none();
    let noted = first.extras.for_format(FORMAT).is_some_and(|fields| fields.contains_key(IN_INPUT));
    if first.role != Role::System || noted || first.parts.is_empty() || !first.parts.iter().all(plain) {
        return (None, messages);
    }
    match first.parts.iter().map(Part::as_text).collect::<Option<Vec<_>>>() {
        Some(texts) => (Some(texts.join("\n\n")), rest),
        None => (None, messages),
    }
}

fn encode_settings(request: &ChatRequest, dialect: &Dialect, body: &mut Fields, losses: &mut Vec<Loss>) {
    let choice = request.tool_choice.as_ref();
    let choice = choice.and_then(|choice| tools::encode_choice(choice, &request.tools, losses));
    let sampling = &request.sampling;
    // Left out, it means true here: nobody who speaks another format asked for that.
    let store = request.store.or(is_foreign(request).then_some(false));
    let parallel = request.parallel_tool_calls.filter(|_| !dialect.no_parallel_tool_calls);
    if parallel != request.parallel_tool_calls && request.parallel_tool_calls == Some(false) {
        losses.push(Loss::new("parallel_tool_calls", FORMAT, "the host refuses it"));
    }
    let settings: [(&str, Option<Value>); 16] = [
        ("tool_choice", choice),
        ("parallel_tool_calls", parallel.map(Value::from)),
        ("max_output_tokens", request.max_tokens.map(|limit| Value::from(limit.max(least_output(request))))),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("top_logprobs", sampling.top_logprobs.map(Value::from)),
        ("reasoning", request.reasoning.as_ref().and_then(encode_reasoning)),
        ("text", encode_text(request, dialect)),
        ("include", encode_include(request, store)),
        ("stream", request.stream.map(Value::from)),
        ("store", store.map(Value::from)),
        ("previous_response_id", request.previous_response_id.clone().map(Value::from)),
        ("prompt_cache_key", request.cache_key.clone().map(Value::from)),
        ("service_tier", request.service_tier.as_deref().map(|tier| json!(usage::tier_to_ask(tier)))),
        ("user", request.user.clone().map(Value::from)),
        ("metadata", request.metadata.clone().map(Value::from)),
    ];
    for (name, value) in settings {
        if let Some(value) = value {
            set(body, name, value);
        }
    }
}

/// The word for how much to think and which summary to show; `None` if nothing was asked.
pub(super) fn encode_reasoning(reasoning: &Reasoning) -> Option<Value> {
    let off = reasoning.enabled == Some(false);
    let effort = if off { Some(Effort::None) } else { reasoning.effort.or(reasoning.budget.map(Effort::from_budget)) };
    let summary = reasoning.summary.clone();
    let summary = summary.or_else(|| (reasoning.shown == Some(true) && !off).then(|| "auto".to_owned()));
    let mut fields = Fields::new();
    if let Some(effort) = effort {
        set(&mut fields, "effort", json!(effort.as_str()));
    }
    if let Some(summary) = summary {
        set(&mut fields, "summary", json!(summary));
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// `text`: the form of the answer and how much of it.
pub(super) fn encode_text(request: &ChatRequest, dialect: &Dialect) -> Option<Value> {
    let mut fields = Fields::new();
    if let Some(format) = &request.output {
        set(&mut fields, "format", encode_format(format, dialect));
    }
    if let Some(verbosity) = &request.verbosity {
        set(&mut fields, "verbosity", json!(verbosity));
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn encode_format(format: &OutputFormat, dialect: &Dialect) -> Value {
    let OutputFormat::JsonSchema { name, description, schema, strict } = format else {
        let word = if *format == OutputFormat::Text { "text" } else { "json_object" };
        return json!({"type": word});
    };
    if dialect.no_json_schema {
        return json!({"type": "json_object"});
    }
    let name = if name.is_empty() { "response" } else { name };
    let mut fields = fields_of(json!({"type": "json_schema", "name": name}));
    if let Some(description) = description {
        set(&mut fields, "description", json!(description));
    }
    set(&mut fields, "schema", schema.clone());
    if let Some(strict) = strict {
        set(&mut fields, "strict", json!(strict));
    }
    Value::Object(fields)
}

fn encode_include(request: &ChatRequest, store: Option<bool>) -> Option<Value> {
    let asked = request.reasoning.as_ref();
    // What is not stored at the provider survives only in the caller's hands.
    let thinks =
        asked.is_some_and(|asked| asked.enabled != Some(false) && (asked.effort, asked.budget) != (None, None));
    let encrypted =
        asked.is_some_and(|asked| asked.encrypted) || (thinks && is_foreign(request) && store == Some(false));
    let mut list = Vec::new();
    if encrypted {
        list.push(json!(ENCRYPTED));
    }
    if request.sampling.logprobs == Some(true) {
        list.push(json!(LOGPROBS));
    }
    (!list.is_empty()).then_some(Value::Array(list))
}

/// The least that may be asked for: who speaks this format knows it.
fn least_output(request: &ChatRequest) -> u64 {
    if is_foreign(request) { LEAST_OUTPUT } else { 0 }
}

/// What this format has no word for.
fn lose_unknown(request: &ChatRequest, losses: &mut Vec<Loss>) {
    if request.max_tokens.is_some_and(|limit| limit < least_output(request)) {
        losses.push(Loss::new("max_tokens", FORMAT, "raised to the least that hosts take"));
    }
    let wished = [
        wishes::TOP_K,
        wishes::MIN_P,
        wishes::SEED,
        wishes::FREQUENCY_PENALTY,
        wishes::PRESENCE_PENALTY,
        wishes::STOP,
        wishes::LOGIT_BIAS,
        wishes::N,
        wishes::CACHE,
    ];
    wishes::lost(request, &wished, |field| Loss::no_equivalent(field, FORMAT), losses);
}

/// Writes back what only this format knows; objects of which a part is typed are merged.
fn keep_extras(request: &ChatRequest, body: &mut Fields, losses: &mut Vec<Loss>) {
    losses.extend(request.extras.foreign_to(FORMAT).map(|name| Loss::no_equivalent(format!("extras.{name}"), FORMAT)));
    for (name, value) in request.extras.for_format(FORMAT).into_iter().flatten() {
        match (body.get_mut(name), value) {
            (Some(Value::Object(own)), Value::Object(more)) => {
                for (name, value) in more {
                    own.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
            (Some(Value::Array(own)), Value::Array(more)) if name == "include" => own.extend(more.iter().cloned()),
            (Some(_), _) => {}
            (None, _) if name.starts_with('@') => {}
            (None, value) => set(body, name, value.clone()),
        }
    }
}

/// Fits the body to a host: fields that it refuses go, fields that it needs come.
fn fit(body: &mut Fields, dialect: &Dialect, losses: &mut Vec<Loss>) {
    for name in &dialect.unsupported {
        if body.shift_remove(name).is_some_and(|value| !value.is_null()) {
            losses.push(Loss::new(name.clone(), FORMAT, "the host refuses it"));
        }
    }
    for (name, value) in &dialect.defaults {
        body.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

/// Which words a message of `role` is written in, and its role on the wire.
pub(super) fn wire_role(role: Role, dialect: &Dialect) -> (&'static str, Side) {
    match role {
        Role::Assistant => ("assistant", Side::Output),
        Role::System => ("system", Side::Input),
        Role::Developer if dialect.no_developer_role => ("system", Side::Input),
        Role::Developer => ("developer", Side::Input),
        Role::User | Role::Tool => ("user", Side::Input),
    }
}
