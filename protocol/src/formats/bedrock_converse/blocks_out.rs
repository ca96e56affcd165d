//! Parts → content blocks. Every block has exactly one key; a cache point is a block of its own behind the block that it marks.

use serde_json::{Map, Value, json};

use super::FORMAT;
use super::media::{self, Names};
use crate::dialect::ReplayReasoning;
use crate::formats::turns::{Speaker, fit_name};
use crate::ir::{
    CacheMark, Citation, Content, Loss, MediaKind, OpaqueKind, Part, ReasoningPart, Text, ToolCall, ToolCallKind,
    ToolResult,
};
use crate::json::{List, Object, arguments_object};
use crate::{Dialect, opaque};

/// The longest name of a tool and id of a call.
pub(super) const NAME_LIMIT: usize = 64;

/// Why a provider of this format cannot be sent a part, if it cannot.
pub(super) fn refusal(part: &Part, speaker: Speaker, dialect: &Dialect) -> Option<&'static str> {
    match &part.content {
        Content::Text(_) | Content::Refusal(_) => None,
        Content::Native(native) => (native.format != FORMAT).then_some("only its own format understands it"),
        _ if speaker == Speaker::System => Some("only text fits into the operator's prompt"),
        Content::Reasoning(_) if speaker != Speaker::Assistant => Some("only the model thinks"),
        Content::Reasoning(reasoning) => reasoning_refusal(reasoning, dialect),
        Content::ToolCall(_) => (speaker != Speaker::Assistant).then_some("only the model calls tools"),
        Content::ToolResult(_) => (speaker != Speaker::User).then_some("only the user answers calls"),
        Content::Media(_) if speaker != Speaker::User => Some("only the user sends media"),
        Content::Media(media) if media.kind == MediaKind::Image && dialect.no_images => {
            Some("images are refused by this host")
        }
        Content::Media(media) => media::refusal(media),
    }
}

fn reasoning_refusal(reasoning: &ReasoningPart, dialect: &Dialect) -> Option<&'static str> {
    let unsigned = dialect.replay_reasoning != ReplayReasoning::Never;
    let shown = !reasoning.text.is_empty() || !reasoning.summary.is_empty();
    match &reasoning.opaque {
        Some(own) if own.format == FORMAT => None,
        _ if unsigned && shown => None,
        Some(_) => Some("signature belongs to another provider"),
        None => Some("thinking without a signature is refused"),
    }
}

/// Writes the blocks of one body.
pub(super) struct BlockWriter<'l> {
    /// Toward a client: names stay, foreign blobs are wrapped.
    pub(super) client: bool,
    /// The model takes cache points.
    pub(super) cache_points: bool,
    /// Names of the documents so far.
    pub(super) names: Names,
    /// What was lost.
    pub(super) losses: &'l mut Vec<Loss>,
}

impl BlockWriter<'_> {
    /// Writes one part as one block, and its cache point.
    pub(super) fn part(&mut self, list: &mut List<'_>, part: &Part, call_id: &str, field: &dyn Fn(&str) -> String) {
        for name in part.extras.foreign_to(FORMAT) {
            self.losses.push(Loss::no_equivalent(field(&format!("extras.{name}")), FORMAT));
        }
        if matches!(&part.content, Content::ToolCall(ToolCall { signature: Some(_), .. })) {
            self.losses.push(Loss::new(field("signature"), FORMAT, "signature belongs to another provider"));
        }
        let own = || part.extras.for_format(FORMAT).into_iter().flatten();
        list.object(|o| match &part.content {
            Content::Text(text) => self.text(o, text, field),
            Content::Refusal(text) => o.value("text", text),
            Content::Reasoning(reasoning) => o.object("reasoningContent", |o| thinking(o, reasoning, self.client)),
            Content::ToolCall(call) => o.object("toolUse", |o| {
                self.call(o, call, call_id, field);
                o.fields(own());
            }),
            Content::ToolResult(result) => o.object("toolResult", |o| {
                self.result(o, result, call_id, field);
                o.fields(own());
            }),
            Content::Media(media) => {
                if media.detail.is_some() {
                    self.losses.push(Loss::no_equivalent(field("detail"), FORMAT));
                }
                media::write(o, media, &mut self.names, part.extras.for_format(FORMAT));
            }
            Content::Native(native) => o.fields(native.value.as_object().into_iter().flatten()),
        });
        self.cache_point(list, part.cache.as_ref(), field);
    }

    /// Writes the cache point behind a block.
    pub(super) fn cache_point(
        &mut self,
        list: &mut List<'_>,
        mark: Option<&CacheMark>,
        field: &dyn Fn(&str) -> String,
    ) {
        let Some(mark) = mark else { return };
        if self.cache_points {
            list.value(&cache_point(mark));
        } else {
            self.losses.push(Loss::new(field("cache"), FORMAT, "this model refuses cache points"));
        }
    }

    fn text(&mut self, o: &mut Object<'_>, text: &Text, field: &dyn Fn(&str) -> String) {
        let own = |source: &Citation| source.extras.for_format(FORMAT).map(|own| Value::Object(own.clone()));
        let sources: Vec<Value> = text
            .citations
            .iter()
            .filter_map(|source| own(source).or_else(|| self.client.then(|| foreign_citation(source))))
            .collect();
        if sources.len() < text.citations.len() {
            self.losses.push(Loss::new(field("citations"), FORMAT, "source belongs to another provider"));
        }
        if sources.is_empty() {
            return o.value("text", &text.text);
        }
        o.object("citationsContent", |o| {
            o.value("content", &json!([{ "text": text.text }]));
            o.value("citations", &sources);
        });
    }

    fn call(&mut self, o: &mut Object<'_>, call: &ToolCall, call_id: &str, field: &dyn Fn(&str) -> String) {
        o.value("toolUseId", call_id);
        o.value("name", &self.name(call.namespace.as_deref(), &call.name, field));
        if call.kind == ToolCallKind::Custom {
            return o.object("input", |o| o.value("input", &call.arguments));
        }
        let (input, packed) = arguments_object(&call.arguments);
        if packed {
            self.losses.push(Loss::new(field("arguments"), FORMAT, "are no JSON object and were put into one"));
        }
        o.raw("input", &input);
    }

    /// The name as the reader takes it.
    pub(super) fn name(&mut self, namespace: Option<&str>, name: &str, field: &dyn Fn(&str) -> String) -> String {
        if self.client {
            return name.to_owned();
        }
        let fit = fit_name(namespace, name, NAME_LIMIT);
        if fit != name {
            self.losses.push(Loss::new(field("name"), FORMAT, "was made to fit"));
        }
        fit.into_owned()
    }

    fn result(&mut self, o: &mut Object<'_>, result: &ToolResult, call_id: &str, field: &dyn Fn(&str) -> String) {
        o.value("toolUseId", call_id);
        o.list("content", |list| {
            let mut empty = true;
            for (index, part) in result.content.iter().enumerate() {
                let field = |name: &str| field(&format!("content[{index}].{name}"));
                let blank = part.as_text().is_some_and(|text| text.trim().is_empty());
                match &part.content {
                    _ if blank => continue,
                    Content::Text(_) | Content::Refusal(_) => {}
                    Content::Media(media) if media::refusal(media).is_none() => {}
                    Content::Native(native) if native.format == FORMAT => {}
                    _ => {
                        self.losses.push(Loss::new(field(""), FORMAT, "does not fit into a tool result"));
                        continue;
                    }
                }
                empty = false;
                // Cache points stand behind the whole result.
                self.part(list, &Part { cache: None, ..part.clone() }, "", &field);
            }
            if empty {
                // Neither an empty list nor blank text is taken.
                list.value(&json!({ "text": "(no output)" }));
            }
        });
        o.some("status", result.is_error.map(|failed| if failed { "error" } else { "success" }));
    }
}

fn cache_point(mark: &CacheMark) -> Value {
    match &mark.ttl {
        Some(ttl) => json!({ "cachePoint": { "type": "default", "ttl": ttl } }),
        None => json!({ "cachePoint": { "type": "default" } }),
    }
}

/// Thinking. For a client foreign blobs are wrapped; a provider gets its own or, where it takes unsigned thinking, none.
fn thinking(o: &mut Object<'_>, reasoning: &ReasoningPart, client: bool) {
    let text = reasoning.shown();
    match reasoning.opaque.as_ref().filter(|blob| client || blob.format == FORMAT) {
        Some(blob) if blob.kind == OpaqueKind::Redacted && text.is_empty() => {
            o.value("redactedContent", &opaque::wrap(blob, FORMAT));
        }
        blob => o.object("reasoningText", |o| {
            o.value("text", &text);
            o.some("signature", blob.map(|blob| opaque::wrap(blob, FORMAT)));
        }),
    }
}

/// A citation of another format, for a client.
pub(super) fn foreign_citation(source: &Citation) -> Value {
    let mut citation = Map::new();
    citation.insert("title".into(), source.title.clone().unwrap_or_default().into());
    if let Some(url) = &source.url {
        citation.insert("location".into(), json!({ "web": { "url": url } }));
    }
    if let Some(text) = &source.cited_text {
        citation.insert("sourceContent".into(), json!([{ "text": text }]));
    }
    Value::Object(citation)
}
