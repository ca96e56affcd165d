//! Events → a client's stream.

use std::collections::HashMap;

use serde_json::Value;

use super::response::{
    annotation, answer_id, call_fields, call_id, finish_word, shown_model, signature_field, wants_legacy,
};
use super::wire::{FORMAT, Object, one, put, write_data};
use super::{details, error, finish, media, messages_out, usage};
use crate::Dialect;
use crate::format::{ReplyContext, StreamEncoder};
use crate::ir::{
    Content, Delta, Extras, Finish, Loss, Media, MediaKind, MediaSource, PartHead, PartId, ReasoningPart, StreamEvent,
    ToolCall, ToolCallKind, Usage,
};

/// Writes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    context: ReplyContext,
    legacy: bool,
    /// What every chunk repeats.
    envelope: Object,
    /// Fields of the first chunk only.
    first: Object,
    started: bool,
    over: bool,
    parts: HashMap<PartId, Growing>,
    choices: HashMap<u32, ChoiceOut>,
    usage: Option<Usage>,
    losses: Vec<Loss>,
}

/// What is known of a choice.
#[derive(Debug, Default)]
struct ChoiceOut {
    /// The role has been told.
    begun: bool,
    calls: usize,
    /// Characters of the text parts so far.
    written: u64,
    /// Fields that go out with the next delta.
    beside: Object,
    /// Details sent so far.
    details: u32,
    /// Something was thought already.
    thought: bool,
}

/// One part while it grows.
#[derive(Debug)]
struct Growing {
    choice: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text {
        /// Where its first character stands in the whole text.
        offset: u64,
    },
    Refusal,
    Reasoning {
        part: ReasoningPart,
        item_id: Option<String>,
    },
    Call {
        position: usize,
        kind: ToolCallKind,
        sent: bool,
    },
    /// Waits for its late fields.
    Media {
        media: Media,
        extras: Extras,
    },
    Silent,
}

impl Encoder {
    pub(super) fn new(context: ReplyContext) -> Self {
        let legacy = wants_legacy(&context);
        Self {
            context,
            legacy,
            envelope: Object::new(),
            first: Object::new(),
            started: false,
            over: false,
            parts: HashMap::new(),
            choices: HashMap::new(),
            usage: None,
            losses: Vec::new(),
        }
    }

    fn start(&mut self, id: Option<&str>, model: Option<&str>, created: Option<u64>, extras: &Extras) {
        let mut envelope = one("id", answer_id(id, extras, &self.context));
        envelope.insert("object".into(), "chat.completion.chunk".into());
        envelope.insert("created".into(), created.unwrap_or(self.context.created).into());
        envelope.insert("model".into(), shown_model(model, &self.context).into());
        self.envelope = envelope;
        let mut first = Object::new();
        messages_out::write_extras(extras, "response", &mut first, &mut self.losses);
        if let Some(fingerprint) = first.shift_remove("system_fingerprint") {
            self.envelope.insert("system_fingerprint".into(), fingerprint);
        }
        self.first = first;
    }

    fn envelope(&mut self) -> Object {
        if self.envelope.is_empty() {
            self.start(None, None, None, &Extras::NONE);
        }
        let mut chunk = self.envelope.clone();
        chunk.extend(std::mem::take(&mut self.first));
        chunk
    }

    /// Writes one chunk of one choice.
    fn chunk(&mut self, choice: u32, mut delta: Object, finish: Option<&Finish>, out: &mut Vec<u8>) {
        let state = self.choices.entry(choice).or_default();
        if !std::mem::replace(&mut state.begun, true) {
            // The role comes first, as OpenAI sends it.
            let mut with_role = one("role", "assistant");
            if !delta.contains_key("tool_calls") && !delta.contains_key("function_call") {
                with_role.insert("content".into(), "".into());
            } else {
                with_role.insert("content".into(), Value::Null);
            }
            with_role.extend(delta);
            delta = with_role;
        }
        let mut beside = std::mem::take(&mut state.beside);
        if let Some(Value::Object(more)) = beside.shift_remove("message") {
            for (name, value) in more {
                delta.entry(name).or_insert(value);
            }
        }
        let has_calls = state.calls > 0;
        let mut fields = one("index", choice);
        fields.insert("delta".into(), delta.into());
        let legacy = self.legacy;
        let finish = finish.cloned().map(|finish| finish::with_calls(finish, has_calls));
        let word = finish.as_ref().map(|finish| finish_word(&finish.reason, legacy).to_owned());
        fields.insert("finish_reason".into(), word.into());
        put(&mut fields, "native_finish_reason", finish.and_then(|finish| finish.native));
        for (name, value) in beside {
            fields.entry(name).or_insert(value);
        }
        let mut chunk = self.envelope();
        chunk.insert("choices".into(), vec![Value::Object(fields)].into());
        if self.context.include_usage {
            chunk.insert("usage".into(), Value::Null);
        }
        self.started = true;
        write_data(&chunk, out);
    }

    fn begin(&mut self, id: PartId, choice: u32, head: &PartHead, item_id: Option<&str>, out: &mut Vec<u8>) {
        let state_calls = self.choices.get(&choice).map_or(0, |state| state.calls);
        let written = self.choices.get(&choice).map_or(0, |state| state.written);
        let kind = match head {
            PartHead::Text => Kind::Text { offset: written },
            PartHead::Refusal => Kind::Refusal,
            PartHead::Reasoning => {
                Kind::Reasoning { part: ReasoningPart::default(), item_id: item_id.map(str::to_owned) }
            }
            PartHead::ToolCall { id: wire_id, name, namespace, kind } => {
                if namespace.is_some() {
                    self.losses.push(Loss::no_equivalent(format!("choices[{choice}].tool_call.namespace"), FORMAT));
                }
                self.begin_call(choice, state_calls, wire_id, name, *kind, out);
                Kind::Call { position: state_calls, kind: *kind, sent: false }
            }
            PartHead::Whole(content) => self.whole(choice, content, out),
        };
        self.parts.insert(id, Growing { choice, kind });
    }

    fn begin_call(
        &mut self,
        choice: u32,
        position: usize,
        id: &str,
        name: &str,
        kind: ToolCallKind,
        out: &mut Vec<u8>,
    ) {
        let id = call_id(id, position, &self.context);
        let delta = if self.legacy {
            // The legacy form has one call and no ids.
            let mut call = one("name", name);
            call.insert("arguments".into(), "".into());
            one("function_call", call)
        } else {
            let call = ToolCall {
                id: String::new(),
                name: name.to_owned(),
                namespace: None,
                kind,
                arguments: String::new(),
                signature: None,
            };
            let mut fields = one("index", position);
            fields.extend(call_fields(&call, id));
            let (object, field) = names(kind);
            if let Some(Value::Object(inner)) = fields.get_mut(object) {
                inner.insert(field.into(), "".into());
            }
            one("tool_calls", vec![Value::Object(fields)])
        };
        if !(self.legacy && position > 0) {
            self.chunk(choice, delta, None, out);
        }
        self.choices.entry(choice).or_default().calls += 1;
    }

    /// A part that arrives whole; pictures and sound wait for fields that may follow.
    fn whole(&mut self, choice: u32, content: &Content, out: &mut Vec<u8>) -> Kind {
        match content {
            Content::Media(media) => return Kind::Media { media: media.clone(), extras: Extras::NONE },
            Content::Native(native) if native.format == FORMAT => {
                self.chunk(choice, one("content", vec![native.value.clone()]), None, out);
            }
            Content::Native(native) => {
                let field = format!("choices[{choice}] ({})", native.kind);
                self.losses.push(Loss::new(field, FORMAT, "only its own format knows this block"));
            }
            Content::Text(text) => self.chunk(choice, one("content", text.text.as_str()), None, out),
            Content::Refusal(text) => self.chunk(choice, one("refusal", text.as_str()), None, out),
            _ => self.losses.push(Loss::no_equivalent(format!("choices[{choice}] part"), FORMAT)),
        }
        Kind::Silent
    }

    fn grow(&mut self, id: PartId, delta: &Delta, out: &mut Vec<u8>) {
        let Some(Growing { choice, kind }) = self.parts.get_mut(&id) else { return };
        let choice = *choice;
        let thought = self.choices.get(&choice).is_some_and(|state| state.thought);
        let written = match (kind, delta) {
            (Kind::Text { .. }, Delta::Text(text)) => one("content", text.as_str()),
            (Kind::Text { offset }, Delta::Citation(citation)) => {
                one("annotations", vec![annotation(citation, *offset)])
            }
            (Kind::Refusal, Delta::Text(text)) => one("refusal", text.as_str()),
            (Kind::Reasoning { part, .. }, Delta::Text(text)) => {
                let gap = if part.text.is_empty() && thought { "\n\n" } else { "" };
                part.text.push_str(text);
                one("reasoning_content", format!("{gap}{text}"))
            }
            (Kind::Reasoning { part, .. }, Delta::Summary { index, text }) => {
                let index = (*index as usize).min(255);
                let first = part.summary.get(index).is_none_or(String::is_empty);
                let gap =
                    if first && (thought || part.summary.iter().any(|text| !text.is_empty())) { "\n\n" } else { "" };
                if part.summary.len() <= index {
                    part.summary.resize(index + 1, String::new());
                }
                if let Some(summary) = part.summary.get_mut(index) {
                    summary.push_str(text);
                }
                one("reasoning_content", format!("{gap}{text}"))
            }
            (Kind::Reasoning { part, .. }, Delta::Opaque(blob)) => {
                part.opaque = Some(blob.clone());
                return;
            }
            (Kind::Call { position, kind, sent }, Delta::Arguments(text)) => {
                *sent |= !text.is_empty();
                let (position, kind) = (*position, *kind);
                return self.arguments(choice, position, kind, text, out);
            }
            (Kind::Call { position, kind, .. }, Delta::Opaque(blob)) => {
                let mut fields = one("index", *position);
                if *kind == ToolCallKind::Function {
                    // Clients take no fragment of a call without its function (Vercel's and OpenAI's own packages).
                    fields.insert("function".into(), one("arguments", "").into());
                }
                fields.extend(signature_field(Some(blob)));
                one("tool_calls", vec![Value::Object(fields)])
            }
            (Kind::Call { position, .. }, Delta::Extras(extras)) => {
                let mut fields = one("index", *position);
                messages_out::write_extras(extras, "tool_call", &mut fields, &mut self.losses);
                if fields.len() == 1 {
                    return;
                }
                one("tool_calls", vec![Value::Object(fields)])
            }
            (Kind::Media { extras, .. }, Delta::Extras(more)) => {
                *extras = more.clone();
                return;
            }
            (_, Delta::Extras(extras)) => {
                let foreign = extras
                    .foreign_to(FORMAT)
                    .map(|name| Loss::no_equivalent(format!("choices[{choice}].extras.{name}"), FORMAT));
                self.losses.extend(foreign);
                return;
            }
            _ => return,
        };
        if written.values().all(|value| value.as_str().is_some_and(str::is_empty)) {
            return;
        }
        let reasoned = written.contains_key("reasoning_content");
        let chars = match delta {
            Delta::Text(text) if written.contains_key("content") => text.chars().count() as u64,
            _ => 0,
        };
        self.chunk(choice, written, None, out);
        let state = self.choices.entry(choice).or_default();
        state.thought |= reasoned;
        state.written += chars;
    }

    fn arguments(&mut self, choice: u32, position: usize, kind: ToolCallKind, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() || (self.legacy && position > 0) {
            return;
        }
        let (object, field) = names(kind);
        let delta = if self.legacy {
            one("function_call", one("arguments", text))
        } else {
            let mut fields = one("index", position);
            fields.insert(object.into(), one(field, text).into());
            one("tool_calls", vec![Value::Object(fields)])
        };
        self.chunk(choice, delta, None, out);
    }

    fn end_part(&mut self, id: PartId, out: &mut Vec<u8>) {
        let Some(Growing { choice, kind }) = self.parts.remove(&id) else { return };
        match kind {
            // A call without arguments has `{}`, never nothing.
            Kind::Call { position, kind: ToolCallKind::Function, sent: false } => {
                self.arguments(choice, position, ToolCallKind::Function, "{}", out);
            }
            // The structured form goes out whole, once: lists are merged by some clients and appended by others.
            Kind::Reasoning { part, item_id } => {
                let index = self.choices.get(&choice).map_or(0, |state| state.details);
                let list = details::entries(&part, item_id.as_deref(), index);
                if !list.is_empty() {
                    self.chunk(choice, one("reasoning_details", list), None, out);
                    self.choices.entry(choice).or_default().details += 1;
                }
            }
            Kind::Media { media, extras } => self.media(choice, &media, &extras, out),
            _ => {}
        }
    }

    fn media(&mut self, choice: u32, media: &Media, extras: &Extras, out: &mut Vec<u8>) {
        let at = format!("choices[{choice}] media");
        let delta = match (media.kind, &media.source) {
            (MediaKind::Audio, MediaSource::Base64(data)) => {
                let mut fields = extras.for_format(FORMAT).cloned().unwrap_or_default();
                fields.entry("id").or_insert_with(|| format!("audio_{}", self.context.id).into());
                fields.insert("data".into(), data.as_str().into());
                one("audio", fields)
            }
            (MediaKind::Image, MediaSource::Base64(_) | MediaSource::Url(_)) => {
                let mut image = media::encode(media, extras, &at, &Dialect::default(), &mut self.losses);
                image.insert("index".into(), 0.into());
                one("images", vec![Value::Object(image)])
            }
            _ => {
                self.losses.push(Loss::no_equivalent(at, FORMAT));
                return;
            }
        };
        self.chunk(choice, delta, None, out);
    }

    fn usage(&mut self, out: &mut Vec<u8>) {
        if self.context.include_usage
            && let Some(usage) = self.usage.take()
        {
            let mut chunk = self.envelope();
            chunk.insert("choices".into(), Vec::<Value>::new().into());
            chunk.insert("usage".into(), usage::encode(&usage));
            write_data(&chunk, out);
        }
    }
}

fn names(kind: ToolCallKind) -> (&'static str, &'static str) {
    match kind {
        ToolCallKind::Function => ("function", "arguments"),
        ToolCallKind::Custom => ("custom", "input"),
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            StreamEvent::Start { id, model, created, extras } => {
                self.start(id.as_deref(), model.as_deref(), *created, extras);
            }
            StreamEvent::PartStart { id, choice, head, item_id } => {
                self.begin(*id, *choice, head, item_id.as_deref(), out);
            }
            StreamEvent::PartDelta { id, delta } => self.grow(*id, delta, out),
            StreamEvent::PartEnd { id } => self.end_part(*id, out),
            StreamEvent::Finish { choice, finish } => self.chunk(*choice, Object::new(), Some(finish), out),
            StreamEvent::ChoiceExtras { choice, extras } => {
                let mut fields = Object::new();
                messages_out::write_extras(extras, &format!("choices[{choice}]"), &mut fields, &mut self.losses);
                if !fields.is_empty() {
                    self.choices.entry(*choice).or_default().beside.extend(fields);
                }
            }
            StreamEvent::Usage(usage) => self.usage.get_or_insert_default().update(usage.clone()),
            StreamEvent::Raw { format, value } => {
                if *format == FORMAT
                    && let Value::Object(fields) = value
                {
                    let mut chunk = self.envelope();
                    chunk.insert("choices".into(), Vec::<Value>::new().into());
                    chunk.extend(fields.clone());
                    write_data(&chunk, out);
                }
            }
            StreamEvent::Error(failure) => {
                self.over = true;
                // What was used was used, whatever became of it.
                self.usage(out);
                write_data(&error::body(failure), out);
            }
            StreamEvent::End => {
                self.over = true;
                self.usage(out);
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
        }
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": keep-alive\n\n");
    }

    fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }
}
