//! The response object around the output: what was asked for is echoed, as the official clients' models demand.

use std::io::Write;

use serde_json::{Value, json};

use super::content::fields_of;
use super::finish::Status;
use super::take::{FORMAT, Fields};
use super::{request, tools};
use crate::ir::{ChatRequest, Effort, Extras, Message, Part, Role};
use crate::{Dialect, ReplyContext};

/// Top-level fields of an answer that repeat the request or are derived: they are written from the request at hand, never kept.
pub(super) const ECHOED: [&str; 37] = [
    "id",
    "object",
    "created_at",
    "model",
    "status",
    "output",
    "output_text",
    "usage",
    "incomplete_details",
    "background",
    "conversation",
    "frequency_penalty",
    "include",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Everything of a response object but what is produced.
#[derive(Debug)]
pub(super) struct Envelope {
    /// `resp_…`.
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// The name to show.
    pub(super) model: String,
    echo: Fields,
}

/// What is produced.
#[derive(Debug)]
pub(super) struct Produced<'a> {
    /// The word of the status.
    pub(super) status: &'a str,
    /// Why it was cut.
    pub(super) incomplete: Option<&'a str>,
    /// Why it failed.
    pub(super) error: Value,
    /// The items.
    pub(super) output: Vec<Value>,
    /// Counters.
    pub(super) usage: Value,
    /// The tier that answered.
    pub(super) service_tier: Option<&'a str>,
    /// Fields of the provider's envelope.
    pub(super) extras: Option<&'a Fields>,
}

impl<'a> Produced<'a> {
    /// Nothing yet.
    pub(super) fn nothing(status: &'a str) -> Self {
        Self {
            status,
            incomplete: None,
            error: Value::Null,
            output: Vec::new(),
            usage: Value::Null,
            service_tier: None,
            extras: None,
        }
    }

    /// Sets how it ended.
    pub(super) fn ended(mut self, status: Status<'a>) -> Self {
        self.status = status.word();
        match status {
            Status::Incomplete(reason) => self.incomplete = Some(reason),
            Status::Failed(code) => {
                let code = code.unwrap_or("server_error");
                self.error = json!({"code": code, "message": "the provider could not finish the answer"});
            }
            Status::Completed | Status::Cancelled => {}
        }
        self
    }
}

impl Envelope {
    /// The envelope of an answer in `context`.
    pub(super) fn new(id: String, created: u64, model: String, context: &ReplyContext) -> Self {
        Self { id, created, model, echo: echo(context.request.as_deref()) }
    }

    /// Repeats what a stored answer repeated, in place of a request at hand.
    pub(super) fn echo_stored(&mut self, stored: &Fields) {
        for (name, value) in &mut self.echo {
            if let Some(stored) = stored.get(name) {
                value.clone_from(stored);
            }
        }
    }

    /// The whole object.
    pub(super) fn render(&self, produced: Produced<'_>) -> Fields {
        let mut fields = fields_of(json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": produced.status,
            "error": produced.error,
            "incomplete_details": produced.incomplete.map(|reason| json!({"reason": reason})),
            "model": self.model,
            "output": produced.output,
        }));
        for (name, value) in &self.echo {
            fields.insert(name.clone(), value.clone());
        }
        // While it runs, the tier that was asked for; then the one that answered, if the provider told.
        if produced.service_tier.is_some() || produced.status != "in_progress" {
            fields.insert("service_tier".to_owned(), json!(produced.service_tier));
        }
        fields.insert("usage".to_owned(), produced.usage);
        for (name, value) in produced.extras.into_iter().flatten().filter(|(name, _)| !name.starts_with('@')) {
            fields.insert(name.clone(), value.clone());
        }
        fields
    }
}

/// What the request said, with the provider's own defaults where it said nothing.
fn echo(request: Option<&ChatRequest>) -> Fields {
    let empty = ChatRequest::default();
    let request = request.unwrap_or(&empty);
    let (dialect, mut losses) = (Dialect::default(), Vec::new());
    let kept = |name: &str| request.extras.for_format(FORMAT).and_then(|extras| extras.get(name)).cloned();
    let choice =
        request.tool_choice.as_ref().and_then(|choice| tools::encode_choice(choice, &request.tools, &mut losses));
    let sampling = &request.sampling;
    let mut fields = fields_of(json!({
        "background": kept("background").unwrap_or(json!(false)),
        "instructions": instructions(&request.messages),
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": kept("max_tool_calls"),
        "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
        "previous_response_id": request.previous_response_id,
        "prompt_cache_key": request.cache_key,
        "reasoning": reasoning(request),
        "safety_identifier": kept("safety_identifier"),
        "service_tier": request.service_tier.as_deref().unwrap_or("auto"),
        "store": request.store.unwrap_or(true),
        "temperature": sampling.temperature.unwrap_or(1.0),
        "text": text(request),
        "tool_choice": choice.unwrap_or_else(|| json!("auto")),
        "tools": tools::encode(&request.tools, &dialect, &mut losses).list,
        "top_logprobs": sampling.top_logprobs.unwrap_or(0),
        "top_p": sampling.top_p.unwrap_or(1.0),
        "truncation": kept("truncation").unwrap_or(json!("disabled")),
        "user": request.user,
        "metadata": request.metadata.clone().unwrap_or_default(),
    }));
    for name in ["conversation", "prompt", "prompt_cache_retention", "prompt_cache_options"] {
        if let Some(value) = kept(name) {
            fields.insert(name.to_owned(), value);
        }
    }
    fields
}

fn instructions(messages: &[Message]) -> Option<String> {
    let first = messages.first().filter(|first| first.role == Role::System && !noted_in_input(&first.extras))?;
    first.parts.iter().map(Part::as_text).collect::<Option<Vec<_>>>().map(|texts| texts.join("\n\n"))
}

fn noted_in_input(extras: &Extras) -> bool {
    extras.for_format(FORMAT).is_some_and(|fields| fields.contains_key(request::IN_INPUT))
}

fn reasoning(request: &ChatRequest) -> Value {
    let asked = request.reasoning.as_ref();
    let written = asked.and_then(request::encode_reasoning);
    let part = |name: &str| written.as_ref().and_then(|written| written.get(name)).cloned().unwrap_or_default();
    let mut fields = fields_of(json!({"effort": part("effort"), "summary": part("summary")}));
    merge_kept(&mut fields, request, "reasoning");
    if asked.is_some_and(|asked| asked.effort == Some(Effort::None)) {
        fields.insert("effort".to_owned(), json!("none"));
    }
    Value::Object(fields)
}

fn text(request: &ChatRequest) -> Value {
    let written = request::encode_text(request, &Dialect::default());
    let mut fields = match written {
        Some(Value::Object(fields)) => fields,
        _ => Fields::new(),
    };
    merge_kept(&mut fields, request, "text");
    fields.entry("format").or_insert_with(|| json!({"type": "text"}));
    Value::Object(fields)
}

fn merge_kept(fields: &mut Fields, request: &ChatRequest, name: &str) {
    let kept = request.extras.for_format(FORMAT).and_then(|extras| extras.get(name)?.as_object());
    for (name, value) in kept.into_iter().flatten() {
        if fields.get(name).is_none_or(Value::is_null) {
            fields.insert(name.clone(), value.clone());
        }
    }
}

/// Writes a JSON value; a `Vec` takes every byte, so there is nothing to fail.
pub(super) fn write_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    let _ = serde_json::to_writer(&mut *out, value);
}

/// Writes text that needs no escaping.
pub(super) fn write_raw(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}
