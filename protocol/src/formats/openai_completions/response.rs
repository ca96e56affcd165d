//! Whole answers, both directions.

use serde_json::Value;

use super::{FORMAT, IN, request};
use crate::format::{Lossy, ReplyContext};
use crate::formats::openai_chat::response::{MAX_CHOICES, clean, note_tier, shown_model, take_created, take_finish};
use crate::formats::openai_chat::wire::{Object, count, json, one, put, take_text};
use crate::formats::openai_chat::{finish, usage};
use crate::ir::{ChatResponse, Choice, Content, Extras, FinishReason, Loss, Part};
use crate::{ApiFormat, DecodeError, Dialect};

/// Reads a whole answer.
pub(super) fn decode(body: &[u8], dialect: &Dialect) -> Result<ChatResponse, DecodeError> {
    let mut fields = IN.body(body)?;
    let Some(Value::Array(choices)) = fields.shift_remove("choices") else {
        return Err(IN.error("/choices", "the answer has no choices"));
    };
    let mut response = ChatResponse {
        usage: fields.get("usage").and_then(|value| usage::decode(value, dialect)),
        ..ChatResponse::default()
    };
    fields.shift_remove("usage");
    response.id = take_text(&mut fields, "id");
    response.model = take_text(&mut fields, "model");
    response.created = take_created(&mut fields);
    for (index, choice) in choices.into_iter().enumerate() {
        let mut choice = IN.object(choice, &format!("/choices/{index}"))?;
        let place = choice.get("index").and_then(count).and_then(|at| usize::try_from(at).ok()).unwrap_or(index);
        let place = if place < MAX_CHOICES { place } else { index };
        choice.shift_remove("index");
        if response.choices.len() <= place {
            response.choices.resize_with(place + 1, Choice::default);
        }
        let parts = take_text(&mut choice, "text").map(Part::text).into_iter().collect();
        choice.shift_remove("text");
        let finish = take_finish(&mut choice);
        clean(&mut choice);
        if let Some(slot) = response.choices.get_mut(place) {
            *slot = Choice { parts, finish, extras: Extras::new(FORMAT, choice) };
        }
    }
    note_tier(&mut response.usage, &fields);
    clean(&mut fields);
    // `object` stays: it tells the encoder that the answer was a completion already.
    response.extras = Extras::new(FORMAT, fields);
    Ok(response)
}

/// Writes a whole answer for a client.
pub(super) fn encode(response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
    let mut losses = Vec::new();
    let mut body =
        envelope(response.id.as_deref(), response.created, response.model.as_deref(), &response.extras, context);
    let echo = echo(&response.extras, context);
    let choices = response.choices.iter().enumerate();
    let choices: Vec<Value> =
        choices.map(|(index, choice)| one_choice(index, choice, echo.as_deref(), &mut losses).into()).collect();
    body.insert("choices".into(), choices.into());
    put(&mut body, "usage", response.usage.as_ref().map(usage::encode));
    lay(&response.extras, "response", &mut body, &mut losses);
    Lossy { value: json(&body), losses }
}

fn one_choice(index: usize, choice: &Choice, echo: Option<&str>, losses: &mut Vec<Loss>) -> Object {
    let mut text = echo.unwrap_or_default().to_owned();
    for (place, part) in choice.parts.iter().enumerate() {
        match &part.content {
            Content::Text(piece) => text.push_str(&piece.text),
            Content::Refusal(piece) => text.push_str(piece),
            _ => losses.push(Loss::no_equivalent(format!("choices[{index}].parts[{place}]"), FORMAT)),
        }
    }
    let mut fields = one("text", text);
    fields.insert("index".into(), index.into());
    fields.insert("logprobs".into(), logprobs(&choice.extras).unwrap_or_default());
    let word = choice.finish.as_ref().map(|known| finish_word(&known.reason).to_owned());
    fields.insert("finish_reason".into(), word.into());
    put(&mut fields, "native_finish_reason", choice.finish.as_ref().and_then(|known| known.native.clone()));
    lay(&choice.extras, &format!("choices[{index}]"), &mut fields, losses);
    fields
}

/// The word for a client, which sees no calls and so cannot be told that they are the reason.
pub(super) fn finish_word(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::ToolCalls => "stop",
        reason => finish::encode(reason),
    }
}

/// What every chunk and every answer begins with.
pub(super) fn envelope(
    id: Option<&str>,
    created: Option<u64>,
    model: Option<&str>,
    extras: &Extras,
    context: &ReplyContext,
) -> Object {
    let id = match id {
        Some(id) if id.starts_with("cmpl") || extras.origin() == Some(FORMAT) => id.to_owned(),
        _ => format!("cmpl-{}", context.id),
    };
    let mut fields = one("id", id);
    fields.insert("object".into(), "text_completion".into());
    fields.insert("created".into(), created.unwrap_or(context.created).into());
    fields.insert("model".into(), shown_model(model, context).into());
    fields
}

/// The prompt, if the client wants it repeated and the provider was no completions host that did so itself.
pub(super) fn echo(extras: &Extras, context: &ReplyContext) -> Option<String> {
    let asked = context.request.as_deref()?;
    let wanted = asked.extras.for_format(FORMAT)?.get("echo").and_then(Value::as_bool) == Some(true);
    (wanted && extras.origin() != Some(FORMAT)).then(|| request::prompt(asked)).flatten()
}

/// Log probabilities as completions write them, made from Chat's if need be.
pub(super) fn logprobs(extras: &Extras) -> Option<Value> {
    let known = extras.get("logprobs")?;
    if extras.origin() != Some(ApiFormat::OpenaiChat) {
        return extras.for_format(FORMAT).map(|_| known.clone());
    }
    let tokens = known.get("content")?.as_array()?;
    let token = |entry: &Value| entry.get("token").cloned().unwrap_or_default();
    let chance = |entry: &Value| entry.get("logprob").cloned().unwrap_or_default();
    let mut offset = 0;
    let offsets = tokens.iter().map(|entry| {
        let at = offset;
        offset += entry.get("token").and_then(Value::as_str).map_or(0, |token| token.chars().count());
        Value::from(at)
    });
    let offsets: Vec<Value> = offsets.collect();
    let tops = tokens.iter().map(|entry| {
        let list = entry.get("top_logprobs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = list.iter().filter_map(|top| Some((top.get("token")?.as_str()?.to_owned(), chance(top))));
        Value::Object(named.collect())
    });
    let mut fields = one("tokens", tokens.iter().map(token).collect::<Vec<_>>());
    fields.insert("token_logprobs".into(), tokens.iter().map(chance).collect::<Vec<_>>().into());
    fields.insert("top_logprobs".into(), tops.collect::<Vec<_>>().into());
    fields.insert("text_offset".into(), offsets.into());
    Some(fields.into())
}

/// Lays kept fields of this format over an object; those of others are losses.
pub(super) fn lay(extras: &Extras, at: &str, fields: &mut Object, losses: &mut Vec<Loss>) {
    for (name, value) in extras.for_format(FORMAT).into_iter().flatten() {
        fields.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    let foreign = extras.foreign_to(FORMAT).filter(|name| *name != "logprobs");
    losses.extend(foreign.map(|name| Loss::no_equivalent(format!("{at}.extras.{name}"), FORMAT)));
}
