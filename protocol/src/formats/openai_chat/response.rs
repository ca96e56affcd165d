//! Whole answers, both directions.

use serde_json::Value;

use super::wire::{FORMAT, IN, Object, count, json, number, one, put, take_object, take_text};
use super::{details, finish, media, messages_in, messages_out, sources, usage};
use crate::format::{Lossy, ReplyContext};
use crate::formats::think_tags::{Piece, ThinkTags};
use crate::ir::{
    ChatResponse, Choice, Citation, Content, Extras, Finish, FinishReason, Loss, Media, MediaKind, MediaSource, Part,
    ReasoningPart, Text, ToolCall, ToolCallKind, Usage,
};
use crate::{ApiFormat, DecodeError, Dialect, opaque};

/// The most choices that an answer may have; OpenAI allows 128.
pub(crate) const MAX_CHOICES: usize = 128;

/// Reads a whole answer.
pub(super) fn decode(body: &[u8], dialect: &Dialect) -> Result<ChatResponse, DecodeError> {
    let mut fields = IN.body(body)?;
    let Some(Value::Array(choices)) = fields.shift_remove("choices") else {
        let found = fields.get("error").filter(|error| !error.is_null());
        let why = if found.is_some() { "the answer is an error" } else { "the answer has no choices" };
        return Err(IN.error("/choices", why));
    };
    let mut response = ChatResponse {
        usage: fields.get("usage").and_then(|value| usage::decode(value, dialect)),
        ..ChatResponse::default()
    };
    fields.shift_remove("usage");
    fields.shift_remove("object");
    response.id = take_text(&mut fields, "id");
    response.model = take_text(&mut fields, "model");
    response.created = take_created(&mut fields);
    for (index, choice) in choices.into_iter().enumerate() {
        let Value::Object(mut choice) = choice else {
            return Err(IN.error(&format!("/choices/{index}"), "expected an object"));
        };
        // Moonshot's older models count here.
        if let Some(found) = choice.shift_remove("usage").and_then(|value| usage::decode(&value, dialect)) {
            response.usage.get_or_insert(found);
        }
        let place = choice.get("index").and_then(count).and_then(|at| usize::try_from(at).ok()).unwrap_or(index);
        let place = if place < MAX_CHOICES { place } else { index };
        choice.shift_remove("index");
        if response.choices.len() <= place {
            response.choices.resize_with(place + 1, Choice::default);
        }
        if let Some(slot) = response.choices.get_mut(place) {
            *slot = decode_choice(choice, index, dialect)?;
        }
    }
    note_tier(&mut response.usage, &fields);
    clean(&mut fields);
    if let Some(choice) = response.choices.first_mut() {
        sources::attach(&mut choice.parts, sources::of_envelope(&fields));
    }
    response.extras = Extras::new(FORMAT, fields);
    Ok(response)
}

/// Fields that say nothing: padding, and nulls that only fill a form.
pub(crate) fn clean(fields: &mut Object) {
    fields.retain(|name, value| !value.is_null() && name != "obfuscation");
}

/// Known fields of a message that hosts send without anything in them.
const BLANK: [&str; 8] = [
    "content",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "refusal",
    "annotations",
    "tool_calls",
    "images",
];

/// Removes them.
pub(super) fn drop_blank(fields: &mut Object) {
    fields.retain(|name, value| {
        let blank = value.as_str().is_some_and(str::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        !(blank && BLANK.contains(&name.as_str()))
    });
}

/// `service_tier` stands beside the counters and belongs to them. It stays in the envelope too.
pub(crate) fn note_tier(usage: &mut Option<Usage>, fields: &Object) {
    if let (Some(usage), Some(tier)) = (usage, fields.get("service_tier").and_then(Value::as_str)) {
        usage.service_tier.get_or_insert_with(|| tier.to_owned());
    }
}

/// `created`; zero is no time.
pub(crate) fn take_created(fields: &mut Object) -> Option<u64> {
    let created = fields.get("created").and_then(|value| count(value).or_else(|| whole(value)));
    fields.shift_remove("created");
    created.filter(|created| *created > 0)
}

fn whole(value: &Value) -> Option<u64> {
    count(&number(value.as_f64()?.trunc()))
}

fn decode_choice(mut fields: Object, index: usize, dialect: &Dialect) -> Result<Choice, DecodeError> {
    let mut message =
        take_object(&mut fields, "message").or_else(|| take_object(&mut fields, "delta")).unwrap_or_default();
    // Perplexity repeats an empty one.
    fields.shift_remove("delta");
    let content = message.shift_remove("content");
    let content = messages_in::content_parts(content, &format!("/choices/{index}/message/content"))?;
    let mut parts = messages_in::answer_parts(content, &mut message, messages_in::Side::Host);
    if dialect.think_tags {
        split_thinking(&mut parts);
    }
    message.shift_remove("role");
    let has_calls = parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
    let finish = take_finish(&mut fields).map(|finish| finish::with_calls(finish, has_calls));
    clean(&mut message);
    drop_blank(&mut message);
    clean(&mut fields);
    if !message.is_empty() {
        fields.insert("message".into(), message.into());
    }
    Ok(Choice { parts, finish, extras: Extras::new(FORMAT, fields) })
}

/// Splits the first text of a whole answer.
fn split_thinking(parts: &mut Vec<Part>) {
    let Some(at) = parts.iter().position(|part| matches!(part.content, Content::Text(_))) else { return };
    let Some(Content::Text(text)) = parts.get_mut(at).map(|part| &mut part.content) else { return };
    let (mut tags, mut pieces) = (ThinkTags::default(), Vec::new());
    tags.push(&text.text, &mut pieces);
    tags.finish(&mut pieces);
    let (mut thinking, mut visible) = (String::new(), String::new());
    for piece in pieces {
        match piece {
            Piece::Thinking(more) => thinking.push_str(&more),
            Piece::Text(more) => visible.push_str(&more),
        }
    }
    if thinking.is_empty() {
        return;
    }
    text.text = visible;
    let gone = text.text.is_empty();
    let part = Part::new(Content::Reasoning(ReasoningPart { text: thinking, ..ReasoningPart::default() }));
    if gone {
        parts.remove(at);
    }
    parts.insert(at, part);
}

/// Takes `finish_reason` with what hosts add to it.
pub(crate) fn take_finish(fields: &mut Object) -> Option<Finish> {
    let word = take_text(fields, "finish_reason");
    fields.shift_remove("finish_reason");
    let native = take_text(fields, "native_finish_reason");
    fields.shift_remove("native_finish_reason");
    let mut finish = finish::decode(&word?, native.as_deref());
    // vLLM tells which sequence matched; a number is a token and stays in the extras.
    if let Some(sequence) = fields.get("stop_reason").and_then(Value::as_str)
        && finish.reason == FinishReason::Stop
    {
        finish.reason = FinishReason::StopSequence;
        finish.stop_sequence = Some(sequence.to_owned());
    }
    Some(finish)
}

/// Writes a whole answer for a client.
pub(super) fn encode(response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
    let mut losses = Vec::new();
    let mut body = one("id", answer_id(response.id.as_deref(), &response.extras, context));
    body.insert("object".into(), "chat.completion".into());
    body.insert("created".into(), response.created.unwrap_or(context.created).into());
    body.insert("model".into(), shown_model(response.model.as_deref(), context).into());
    let choices = response.choices.iter().enumerate();
    let choices: Vec<Value> =
        choices.map(|(index, choice)| Reply::new(index, context, &mut losses).choice(choice)).collect();
    body.insert("choices".into(), choices.into());
    put(&mut body, "usage", response.usage.as_ref().map(usage::encode));
    messages_out::write_extras(&response.extras, "response", &mut body, &mut losses);
    Lossy { value: json(&body), losses }
}

/// The id for a client: a Chat host's own, else one of ours in Chat's shape.
pub(super) fn answer_id(id: Option<&str>, extras: &Extras, context: &ReplyContext) -> String {
    match id {
        Some(id) if id.starts_with("chatcmpl") || extras.origin() == Some(FORMAT) => id.to_owned(),
        _ => format!("chatcmpl-{}", context.id),
    }
}

/// The model for a client: the name it asked for.
pub(crate) fn shown_model<'a>(model: Option<&'a str>, context: &'a ReplyContext) -> &'a str {
    if context.model.is_empty() { model.unwrap_or_default() } else { &context.model }
}

/// Whether the client speaks the legacy `functions`.
pub(super) fn wants_legacy(context: &ReplyContext) -> bool {
    let request = context.request.as_deref();
    request
        .and_then(|request| request.extras.for_format(FORMAT))
        .is_some_and(|extras| extras.contains_key(super::request_in::LEGACY))
}

/// An id for a call that has none, unique within the gateway's answers.
pub(super) fn call_id(call_id: &str, position: usize, context: &ReplyContext) -> String {
    if call_id.is_empty() { format!("call_{}{position}", context.id) } else { call_id.to_owned() }
}

/// Writes one choice.
struct Reply<'a> {
    index: usize,
    context: &'a ReplyContext,
    losses: &'a mut Vec<Loss>,
    text: String,
    /// Characters of the text parts so far: positions of citations count from the start of their part.
    written: u64,
    refusal: String,
    thinking: String,
    details: Vec<Value>,
    annotations: Vec<Value>,
    calls: Vec<Value>,
    images: Vec<Value>,
    audio: Option<Value>,
    /// Parts that only Chat hosts know; with them `content` is a list.
    natives: Vec<Value>,
}

impl<'a> Reply<'a> {
    fn new(index: usize, context: &'a ReplyContext, losses: &'a mut Vec<Loss>) -> Self {
        Self {
            index,
            context,
            losses,
            text: String::new(),
            written: 0,
            refusal: String::new(),
            thinking: String::new(),
            details: Vec::new(),
            annotations: Vec::new(),
            calls: Vec::new(),
            images: Vec::new(),
            audio: None,
            natives: Vec::new(),
        }
    }

    fn choice(mut self, choice: &Choice) -> Value {
        for (position, part) in choice.parts.iter().enumerate() {
            let at = format!("choices[{}].parts[{position}]", self.index);
            self.part(part, &at);
        }
        let has_calls = !self.calls.is_empty();
        let legacy = has_calls && wants_legacy(self.context);
        let mut fields = one("index", self.index);
        let (at, losses) = (format!("choices[{}]", self.index), &mut *self.losses);
        let mut message = one("role", "assistant");
        let silent = self.text.is_empty() && self.natives.is_empty();
        let content = match (silent, self.natives.is_empty()) {
            (true, _) if has_calls || self.audio.is_some() || !self.refusal.is_empty() => Value::Null,
            (_, true) => self.text.into(),
            _ => {
                if !self.text.is_empty() {
                    self.natives.insert(0, media::text_part(self.text).into());
                }
                self.natives.into()
            }
        };
        message.insert("content".into(), content);
        put(&mut message, "refusal", (!self.refusal.is_empty()).then_some(self.refusal));
        put(&mut message, "reasoning_content", (!self.thinking.is_empty()).then_some(self.thinking));
        put(&mut message, "reasoning_details", (!self.details.is_empty()).then_some(self.details));
        put(&mut message, "annotations", (!self.annotations.is_empty()).then_some(self.annotations));
        put(&mut message, "images", (!self.images.is_empty()).then_some(self.images));
        put(&mut message, "audio", self.audio);
        if legacy {
            let first = self.calls.into_iter().next().and_then(|mut call| call.get_mut("function").map(Value::take));
            put(&mut message, "function_call", first);
        } else if has_calls {
            message.insert("tool_calls".into(), self.calls.into());
        }
        fields.insert("message".into(), message.into());
        let finish = choice.finish.clone().map(|finish| finish::with_calls(finish, has_calls));
        fields.insert("finish_reason".into(), finish.as_ref().map(|finish| finish_word(&finish.reason, legacy)).into());
        put(&mut fields, "native_finish_reason", finish.and_then(|finish| finish.native));
        messages_out::write_extras(&choice.extras, &at, &mut fields, losses);
        fields.into()
    }

    fn part(&mut self, part: &Part, at: &str) {
        match &part.content {
            Content::Text(text) => self.text(text),
            Content::Refusal(text) => self.refusal.push_str(text),
            Content::Reasoning(reasoning) => self.reasoning(reasoning, part.item_id.as_deref()),
            Content::ToolCall(call) => self.call(call, &part.extras, at),
            Content::Media(media) => self.media(media, part, at),
            Content::Native(native) if native.format == FORMAT => self.natives.push(native.value.clone()),
            Content::Native(native) => {
                self.losses.push(Loss::new(
                    format!("{at} ({})", native.kind),
                    FORMAT,
                    "only its own format knows this block",
                ));
            }
            Content::ToolResult(_) => self.losses.push(Loss::no_equivalent(at.to_owned(), FORMAT)),
        }
        if !matches!(part.content, Content::ToolCall(_)) {
            self.losses.extend(
                part.extras.foreign_to(FORMAT).map(|name| Loss::no_equivalent(format!("{at}.extras.{name}"), FORMAT)),
            );
        }
    }

    fn text(&mut self, text: &Text) {
        self.text.push_str(&text.text);
        self.annotations.extend(text.citations.iter().map(|citation| annotation(citation, self.written)));
        self.written += text.text.chars().count() as u64;
    }

    fn reasoning(&mut self, reasoning: &ReasoningPart, item_id: Option<&str>) {
        let shown = reasoning.shown();
        if !self.thinking.is_empty() && !shown.is_empty() {
            self.thinking.push_str("\n\n");
        }
        self.thinking.push_str(&shown);
        let index = u32::try_from(self.details.len()).unwrap_or(u32::MAX);
        self.details.extend(details::entries(reasoning, item_id, index));
    }

    fn call(&mut self, call: &ToolCall, extras: &Extras, at: &str) {
        let id = call_id(&call.id, self.calls.len(), self.context);
        let mut fields = call_fields(call, id);
        fields.extend(signature_field(call.signature.as_ref()));
        if call.namespace.is_some() {
            self.losses.push(Loss::no_equivalent(format!("{at}.namespace"), FORMAT));
        }
        messages_out::write_extras(extras, at, &mut fields, self.losses);
        self.calls.push(fields.into());
    }

    fn media(&mut self, media: &Media, part: &Part, at: &str) {
        match (media.kind, &media.source) {
            (MediaKind::Audio, MediaSource::Base64(data)) => {
                let mut fields = part.extras.for_format(FORMAT).cloned().unwrap_or_default();
                fields.entry("id").or_insert_with(|| format!("audio_{}", self.context.id).into());
                fields.insert("data".into(), data.as_str().into());
                self.audio = Some(fields.into());
            }
            (MediaKind::Image, MediaSource::Base64(_) | MediaSource::Url(_)) => {
                let written = media::encode(media, &part.extras, at, &Dialect::default(), self.losses);
                self.images.push(written.into());
            }
            _ => self.losses.push(Loss::no_equivalent(at.to_owned(), FORMAT)),
        }
    }
}

/// `id`, `type` and the call itself.
pub(super) fn call_fields(call: &ToolCall, id: String) -> Object {
    let (kind, field) = match call.kind {
        ToolCallKind::Function => ("function", "arguments"),
        ToolCallKind::Custom => ("custom", "input"),
    };
    let none = call.kind == ToolCallKind::Function && call.arguments.trim().is_empty();
    let mut inner = one("name", call.name.as_str());
    inner.insert(field.into(), if none { "{}" } else { call.arguments.as_str() }.into());
    let mut fields = one("id", id);
    fields.insert("type".into(), kind.into());
    fields.insert(kind.into(), inner.into());
    fields
}

/// A signature on a call: Gemini's as its own compatible endpoint writes it, others wrapped.
pub(super) fn signature_field(signature: Option<&crate::ir::Opaque>) -> Option<(String, Value)> {
    let blob = opaque::wrap(signature?, ApiFormat::Gemini);
    Some(("extra_content".to_owned(), messages_out::google_signature(&blob)))
}

/// The word for a client; legacy ones know `function_call`.
pub(super) fn finish_word(reason: &FinishReason, legacy: bool) -> &str {
    match finish::encode(reason) {
        "tool_calls" if legacy => "function_call",
        word => word,
    }
}

/// A citation as Chat writes it; positions are moved by `offset` characters.
pub(super) fn annotation(citation: &Citation, offset: u64) -> Value {
    let moved = |at: Option<u64>| at.map(|at| at.saturating_add(offset));
    let (start, end) = (moved(citation.start), moved(citation.end));
    if let Some(own) = citation.extras.for_format(FORMAT) {
        let mut own = own.clone();
        if offset > 0
            && let Some(Value::Object(inner)) = own.get_mut("url_citation")
        {
            put(inner, "start_index", start);
            put(inner, "end_index", end);
        }
        return own.into();
    }
    let mut inner = Object::new();
    put(&mut inner, "start_index", start);
    put(&mut inner, "end_index", end);
    put(&mut inner, "title", citation.title.as_deref());
    put(&mut inner, "url", citation.url.as_deref());
    put(&mut inner, "content", citation.cited_text.as_deref());
    let mut fields = one("type", "url_citation");
    fields.insert("url_citation".into(), inner.into());
    fields.into()
}
