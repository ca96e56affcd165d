//! Whole answers, both ways.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::blocks_in::{self, Source};
use super::blocks_out::{BlockWriter, Reader, client_refusal, foreign_losses};
use super::{FORMAT, finish, usage};
use crate::format::{Lossy, ReplyContext};
use crate::ir::{ChatResponse, Choice, Content, Extras, Finish, FinishReason, Loss, OpaqueKind, Part, Usage};
use crate::json::{At, Fields, Object, object};
use crate::{ApiError, DecodeError};

/// Reads a provider's answer.
pub(super) fn decode(body: &[u8]) -> Result<ChatResponse, DecodeError> {
    let mut fields = Fields::parse_bytes(FORMAT, body)?;
    let kind: Option<Cow<'_, str>> = fields.get("type")?;
    if kind.as_deref() == Some("error") {
        return Err(DecodeError::new(FORMAT, "/type", "is an error and no message"));
    }
    fields.raw("role");
    let raw: &RawValue = fields.require("content")?;
    let parts = blocks_in::content(raw, Source::Provider).at("content")?;
    let stop_sequence = fields.get("stop_sequence")?;
    let finish = fields.get::<String>("stop_reason")?.map(|reason| finish::read(&reason, stop_sequence));
    let usage = fields.get::<Map<String, Value>>("usage")?.map(|raw| usage::read(&raw));
    let (id, model) = (fields.get("id")?, fields.get("model")?);
    let extras = choice_extras(fields.rest()?);
    let choice = Choice { parts, finish, extras };
    Ok(ChatResponse { id, model, created: None, choices: vec![choice], usage, extras: Extras::NONE })
}

/// What stands beside the answer (`container`, `stop_details`, `context_management` …). In streams such fields come in several places,
/// so all of them belong to the choice.
pub(super) fn choice_extras(mut fields: Map<String, Value>) -> Extras {
    fields.retain(|_, value| !value.is_null());
    Extras::new(FORMAT, fields)
}

/// Writes an answer for a client.
pub(super) fn encode(response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
    let mut losses = Vec::new();
    if response.choices.len() > 1 {
        losses.push(Loss::no_equivalent("choices[1..]", FORMAT));
    }
    foreign_losses(&response.extras, "", &mut losses);
    let nothing = Choice::default();
    let choice = response.first().unwrap_or(&nothing);
    foreign_losses(&choice.extras, "choices[0].", &mut losses);
    let mut value = Vec::new();
    object(&mut value, |o| {
        o.value("id", &message_id(response.id.as_deref(), context));
        o.value("type", "message");
        o.value("role", "assistant");
        o.value("model", shown_model(response.model.as_deref(), context));
        content(o, &choice.parts, context, &mut losses);
        stop(o, choice.finish.as_ref(), has_calls(&choice.parts), &mut losses);
        o.object("usage", |o| usage::write(o, response.usage.as_ref().unwrap_or(&Usage::default())));
        o.fields(choice.extras.for_format(FORMAT).into_iter().flatten());
    });
    Lossy { value, losses }
}

/// Why a signature behind the last text is left out: clients show the last block as the answer.
pub(super) const AFTERTHOUGHT: &str = "a signature after the last word would hide the answer";

/// Whether a part is thinking that shows nothing and holds another format's signature.
fn is_afterthought(part: &Part) -> bool {
    let Content::Reasoning(reasoning) = &part.content else { return false };
    let blob = reasoning.opaque.as_ref().filter(|blob| blob.format != FORMAT && blob.kind == OpaqueKind::Signature);
    blob.is_some() && reasoning.shown().is_empty()
}

fn content(o: &mut Object<'_>, parts: &[Part], context: &ReplyContext, losses: &mut Vec<Loss>) {
    o.list("content", |list| {
        for (index, part) in parts.iter().enumerate() {
            let field = |name: &str| part_field(index, name);
            if index > 0 && index + 1 == parts.len() && is_afterthought(part) {
                losses.push(Loss::new(field("opaque"), FORMAT, AFTERTHOUGHT));
                continue;
            }
            if let Some(why) = client_refusal(&part.content) {
                losses.push(Loss::new(field(""), FORMAT, why));
                continue;
            }
            let mut writer = BlockWriter { reader: Reader::Client, losses };
            writer.part(list, part, &call_id(&part.content, index, context), &field);
        }
    });
}

fn part_field(index: usize, name: &str) -> String {
    let dot = if name.is_empty() { "" } else { "." };
    format!("choices[0].parts[{index}]{dot}{name}")
}

/// The id of a call: the maker's, or one made from the reply's token where the wire had none.
fn call_id(content: &Content, index: usize, context: &ReplyContext) -> String {
    match content {
        Content::ToolCall(call) if call.id.is_empty() => minted_call_id(index, context),
        Content::ToolCall(call) => call.id.clone(),
        _ => String::new(),
    }
}

/// An id for a call that came without one.
pub(super) fn minted_call_id(index: usize, context: &ReplyContext) -> String {
    format!("toolu_{}_{index}", context.id)
}

/// Whether the client has calls to answer. What a server tool's code calls (`caller` is not `direct`) may stand in an answer that has ended.
fn has_calls(parts: &[Part]) -> bool {
    let own = |part: &Part| part.extras.for_format(FORMAT).is_none_or(is_direct);
    parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)) && own(part))
}

/// Whether a call with these fields comes from the model itself.
pub(super) fn is_direct(own: &Map<String, Value>) -> bool {
    let caller = own.get("caller").and_then(|caller| caller.get("type")?.as_str());
    caller.is_none_or(|caller| caller == "direct")
}

fn stop(o: &mut Object<'_>, finish: Option<&Finish>, calls: bool, losses: &mut Vec<Loss>) {
    let default = Finish::new(FinishReason::Stop);
    let finish = finish.unwrap_or(&default);
    if matches!(finish.reason, FinishReason::Error | FinishReason::Other(_)) {
        losses.push(Loss::new("choices[0].finish", FORMAT, "has no word here"));
    }
    o.value("stop_reason", stop_reason(finish, calls));
    o.value("stop_sequence", &finish.stop_sequence);
}

/// The stop reason; an answer that asks for tools never merely ends.
pub(super) fn stop_reason(finish: &Finish, calls: bool) -> &str {
    if calls && finish.reason == FinishReason::Stop { "tool_use" } else { finish::word(&finish.reason) }
}

/// The message's id in this format's shape.
pub(super) fn message_id<'i>(id: Option<&'i str>, context: &ReplyContext) -> Cow<'i, str> {
    match id {
        Some(id) if id.starts_with("msg_") => Cow::Borrowed(id),
        _ => Cow::Owned(format!("msg_{}", context.id)),
    }
}

/// The model's name as the client wrote it.
pub(super) fn shown_model<'m>(model: Option<&'m str>, context: &'m ReplyContext) -> &'m str {
    if context.model.is_empty() { model.unwrap_or_default() } else { &context.model }
}

/// The failure that a finish stands for, where the wire has no such finish.
pub(super) fn finish_error(finish: &Finish) -> Option<ApiError> {
    (finish.reason == FinishReason::Error).then(|| {
        let word = finish.native.as_deref().unwrap_or("error");
        ApiError::new(crate::ApiErrorKind::Upstream, format!("the provider ended the answer with {word}"))
    })
}
