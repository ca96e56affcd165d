//! Whole answers, both ways.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::blocks_in::{self, Source};
use super::blocks_out::BlockWriter;
use super::media::Names;
use super::{FORMAT, STRUCTURED_TOOL, finish, usage};
use crate::DecodeError;
use crate::format::{Lossy, ReplyContext};
use crate::ir::{ChatResponse, Choice, Content, Extras, Finish, FinishReason, Loss, MediaKind, Part, Usage};
use crate::json::{At, Fields, object};

/// Reads a provider's answer.
pub(super) fn decode(body: &[u8]) -> Result<ChatResponse, DecodeError> {
    let mut fields = Fields::parse_bytes(FORMAT, body)?;
    let output: &RawValue = fields.require("output")?;
    let mut output = Fields::parse(FORMAT, output.get()).at("output")?;
    let mut parts = Vec::new();
    let mut forced = false;
    if let Some(message) = output.raw("message") {
        let mut message = Fields::parse(FORMAT, message.get()).at("message").at("output")?;
        if let Some(raw) = message.raw("content") {
            forced = raw.get().contains(STRUCTURED_TOOL);
            parts = blocks_in::content(raw, Source::Provider).at("content").at("message").at("output")?;
        }
    }
    let calls = parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
    let finish =
        fields.get::<String>("stopReason")?.map(|word| structured_finish(finish::read(&word), forced && !calls));
    let usage = fields.get::<Map<String, Value>>("usage")?.map(|raw| usage::read(&raw));
    let choice = Choice { parts, finish, extras: choice_extras(fields.rest()?) };
    Ok(ChatResponse { choices: vec![choice], usage, ..ChatResponse::default() })
}

/// An answer that came as a forced tool has simply ended.
pub(super) fn structured_finish(finish: Finish, structured: bool) -> Finish {
    if structured && finish.reason == FinishReason::ToolCalls { Finish::new(FinishReason::Stop) } else { finish }
}

/// What stands beside the answer (`metrics`, `trace`, `additionalModelResponseFields` …). In streams it comes in several places, so all of it
/// belongs to the choice.
pub(super) fn choice_extras(mut fields: Map<String, Value>) -> Extras {
    fields.retain(|name, value| !value.is_null() && name != "p");
    Extras::new(FORMAT, fields)
}

/// Writes an answer for a client.
pub(super) fn encode(response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
    let mut losses = Vec::new();
    if response.choices.len() > 1 {
        losses.push(Loss::no_equivalent("choices[1..]", FORMAT));
    }
    lose_foreign(&response.extras, "", &mut losses);
    let nothing = Choice::default();
    let choice = response.first().unwrap_or(&nothing);
    lose_foreign(&choice.extras, "choices[0].", &mut losses);
    let ended = Finish::new(FinishReason::Stop);
    let finish = choice.finish.as_ref().unwrap_or(&ended);
    let calls = choice.parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
    let mut value = Vec::new();
    object(&mut value, |o| {
        o.object("output", |o| {
            o.object("message", |o| {
                o.value("role", "assistant");
                content(o, &choice.parts, context, &mut losses);
            });
        });
        o.value("stopReason", stop_reason(finish, calls));
        o.object("usage", |o| usage::write(o, response.usage.as_ref().unwrap_or(&Usage::default())));
        let own = choice.extras.for_format(FORMAT);
        if own.is_none_or(|own| !own.contains_key("metrics")) {
            o.object("metrics", |o| o.value("latencyMs", &0));
        }
        o.fields(own.into_iter().flatten());
    });
    Lossy { value, losses }
}

fn content(o: &mut crate::json::Object<'_>, parts: &[Part], context: &ReplyContext, losses: &mut Vec<Loss>) {
    o.list("content", |list| {
        let mut writer = BlockWriter { client: true, cache_points: true, names: Names::default(), losses };
        for (index, part) in parts.iter().enumerate() {
            let field = |name: &str| format!("choices[0].parts[{index}].{name}");
            if let Some(why) = client_refusal(&part.content) {
                writer.losses.push(Loss::new(field(""), FORMAT, why));
                continue;
            }
            writer.part(list, part, &call_id(&part.content, index, context), &field);
        }
    });
}

/// Why a part of an answer has no block, if it has none.
pub(super) fn client_refusal(content: &Content) -> Option<&'static str> {
    match content {
        Content::Native(native) => (native.format != FORMAT).then_some("only its own format understands it"),
        Content::Media(media) => (media.kind != MediaKind::Image).then_some("has no equivalent"),
        Content::ToolResult(_) => Some("has no equivalent"),
        _ => None,
    }
}

fn call_id(content: &Content, index: usize, context: &ReplyContext) -> String {
    match content {
        Content::ToolCall(call) if call.id.is_empty() => minted_call_id(index, context),
        Content::ToolCall(call) => call.id.clone(),
        _ => String::new(),
    }
}

/// An id for a call that came without one.
pub(super) fn minted_call_id(index: usize, context: &ReplyContext) -> String {
    format!("tooluse_{}_{index}", context.id)
}

/// The stop reason; an answer that asks for tools never merely ends.
pub(super) fn stop_reason(finish: &Finish, calls: bool) -> &str {
    if calls && finish.reason == FinishReason::Stop { "tool_use" } else { finish::word(finish) }
}

/// The names of foreign extras as losses.
pub(super) fn lose_foreign(extras: &Extras, prefix: &str, losses: &mut Vec<Loss>) {
    losses.extend(extras.foreign_to(FORMAT).map(|name| Loss::no_equivalent(format!("{prefix}extras.{name}"), FORMAT)));
}
