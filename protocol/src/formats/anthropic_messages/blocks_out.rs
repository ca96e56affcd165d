//! Parts → content blocks, toward a provider or a client.

use serde_json::{Map, Value};

use super::media_out;
use super::{FORMAT, carrier};
use crate::dialect::ReplayReasoning;
use crate::formats::turns::{Speaker, fit_name};
use crate::ir::{
    CacheMark, Citation, Content, Extras, Loss, MediaKind, MediaSource, Opaque, OpaqueKind, Part, ReasoningPart, Text,
    ToolCall, ToolCallKind, ToolResult,
};
use crate::json::{List, Object, arguments_object};
use crate::{Dialect, opaque};

/// The longest name of a tool.
pub(super) const NAME_LIMIT: usize = 128;

/// Who reads the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// A provider: foreign blobs were left out before, names and media must be what it takes.
    Provider,
    /// A client: foreign blobs are wrapped, everything is shown as it is.
    Client,
}

/// Writes blocks and notes what they cannot carry.
pub(super) struct BlockWriter<'l> {
    /// Who reads.
    pub(super) reader: Reader,
    /// What was lost.
    pub(super) losses: &'l mut Vec<Loss>,
}

/// Why a provider of this format cannot be sent a part, if it cannot.
pub(super) fn refusal(part: &Part, speaker: Speaker, dialect: &Dialect) -> Option<&'static str> {
    if speaker == Speaker::System {
        let text = matches!(part.content, Content::Text(_) | Content::Refusal(_));
        return (!text).then_some("only text fits into the operator's prompt");
    }
    match &part.content {
        Content::Text(_) | Content::Refusal(_) => None,
        Content::Reasoning(_) if speaker != Speaker::Assistant => Some("only the model thinks"),
        Content::Reasoning(reasoning) => reasoning_refusal(reasoning, dialect),
        Content::ToolCall(_) => (speaker != Speaker::Assistant).then_some("only the model calls tools"),
        Content::ToolResult(_) => (speaker != Speaker::User).then_some("only the user answers calls"),
        Content::Media(_) if speaker != Speaker::User => Some("only the user sends media"),
        Content::Media(media) => media_out::refusal(media, dialect),
        Content::Native(native) => (native.format != FORMAT).then_some("only its own format understands it"),
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

impl BlockWriter<'_> {
    /// Writes one part as one block (a foreign native part only for a client); in front of a call with a foreign signature stands a block that carries it. `field` names the part in
    /// losses.
    pub(super) fn part(&mut self, list: &mut List<'_>, part: &Part, call_id: &str, field: &dyn Fn(&str) -> String) {
        for name in part.extras.foreign_to(FORMAT) {
            self.losses.push(Loss::no_equivalent(field(&format!("extras.{name}")), FORMAT));
        }
        if let Content::ToolCall(ToolCall { signature: Some(signature), .. }) = &part.content {
            match self.reader {
                Reader::Client => list.object(|o| signature_block(o, call_id, signature)),
                Reader::Provider => {
                    let why = "signature belongs to another provider";
                    self.losses.push(Loss::new(field("signature"), FORMAT, why));
                }
            }
        }
        let own = part.extras.for_format(FORMAT);
        match &part.content {
            Content::Native(native) if native.format != FORMAT => list.object(|o| {
                o.value("type", "redacted_thinking");
                o.value("data", &carrier::pack_block(native));
            }),
            Content::Native(native) => list.object(|o| {
                o.fields(native.value.as_object().into_iter().flatten());
                cache_control(o, part.cache.as_ref(), own);
            }),
            Content::Media(media) => {
                if media.detail.is_some() {
                    self.losses.push(Loss::no_equivalent(field("detail"), FORMAT));
                }
                list.object(|o| {
                    media_out::block(o, media);
                    finish(o, part.cache.as_ref(), own);
                });
            }
            content => list.object(|o| {
                self.content(o, content, call_id, field);
                let thinking = matches!(content, Content::Reasoning(_));
                finish(o, part.cache.as_ref().filter(|_| !thinking), own);
            }),
        }
    }

    fn content(&mut self, o: &mut Object<'_>, content: &Content, call_id: &str, field: &dyn Fn(&str) -> String) {
        match content {
            Content::Text(text) => self.text(o, text, field),
            Content::Refusal(text) => {
                o.value("type", "text");
                o.value("text", text);
            }
            Content::Reasoning(reasoning) => thinking(o, reasoning, self.reader),
            Content::ToolCall(call) => self.call(o, call, call_id, field),
            Content::ToolResult(result) => self.result(o, result, call_id, field),
            Content::Media(_) | Content::Native(_) => {}
        }
    }

    fn text(&mut self, o: &mut Object<'_>, text: &Text, field: &dyn Fn(&str) -> String) {
        o.value("type", "text");
        o.value("text", &text.text);
        let citations: Vec<Value> = text.citations.iter().filter_map(|source| self.citation(source, field)).collect();
        if !citations.is_empty() {
            o.value("citations", &citations);
        }
    }

    /// A citation as this format wrote it; a foreign one as the type that has an address, which only clients can take: providers want the
    /// encrypted index that they gave.
    pub(super) fn citation(&mut self, source: &Citation, field: &dyn Fn(&str) -> String) -> Option<Value> {
        let own = source.extras.for_format(FORMAT);
        let made_here =
            own.is_none() || own.and_then(|own| own.get("encrypted_index")).is_some_and(|index| index == "");
        if self.reader == Reader::Provider && made_here {
            self.losses.push(Loss::new(field("citations"), FORMAT, "source belongs to another provider"));
            return None;
        }
        Some(own.map_or_else(|| foreign_citation(source), |own| Value::Object(own.clone())))
    }

    fn call(&mut self, o: &mut Object<'_>, call: &ToolCall, call_id: &str, field: &dyn Fn(&str) -> String) {
        o.value("type", "tool_use");
        o.value("id", call_id);
        o.value("name", &self.name(call.namespace.as_deref(), &call.name, field));
        if call.kind == ToolCallKind::Custom {
            o.object("input", |o| o.value("input", &call.arguments));
            return;
        }
        let (input, packed) = arguments_object(&call.arguments);
        if packed {
            self.losses.push(Loss::new(field("arguments"), FORMAT, "are no JSON object and were put into one"));
        }
        o.raw("input", &input);
    }

    /// The name as the reader takes it.
    pub(super) fn name(&mut self, namespace: Option<&str>, name: &str, field: &dyn Fn(&str) -> String) -> String {
        if self.reader == Reader::Client {
            return name.to_owned();
        }
        let fit = fit_name(namespace, name, NAME_LIMIT);
        if fit != name {
            self.losses.push(Loss::new(field("name"), FORMAT, "was made to fit"));
        }
        fit.into_owned()
    }

    fn result(&mut self, o: &mut Object<'_>, result: &ToolResult, call_id: &str, field: &dyn Fn(&str) -> String) {
        o.value("type", "tool_result");
        o.value("tool_use_id", call_id);
        match result.content.as_slice() {
            [] => {}
            [only] if is_plain_text(only) => o.value("content", only.as_text().unwrap_or_default()),
            parts => o.list("content", |list| {
                for (index, part) in parts.iter().enumerate() {
                    self.result_part(list, part, &|name| field(&format!("content[{index}].{name}")));
                }
            }),
        }
        o.some("is_error", result.is_error);
    }

    fn result_part(&mut self, list: &mut List<'_>, part: &Part, field: &dyn Fn(&str) -> String) {
        let blank = part.as_text().is_some_and(|text| text.trim().is_empty());
        let fits = match &part.content {
            Content::Text(_) | Content::Refusal(_) => !blank,
            Content::Media(media) => media_out::refusal(media, &Dialect::default()).is_none(),
            Content::Native(native) => native.format == FORMAT,
            _ => false,
        };
        if fits {
            self.part(list, part, "", field);
        } else if !blank {
            self.losses.push(Loss::new(field(""), FORMAT, "does not fit into a tool result"));
        }
    }
}

fn finish(o: &mut Object<'_>, mark: Option<&CacheMark>, own: Option<&Map<String, Value>>) {
    cache_control(o, mark, own);
    o.fields(own.into_iter().flatten().filter(|(name, _)| *name != "cache_control"));
}

/// Writes `cache_control` with what the same format said beyond the lifetime.
pub(super) fn cache_control(o: &mut Object<'_>, mark: Option<&CacheMark>, own: Option<&Map<String, Value>>) {
    let Some(mark) = mark else { return };
    let more = own.and_then(|own| own.get("cache_control")).and_then(Value::as_object);
    o.object("cache_control", |o| {
        if more.is_none_or(|more| !more.contains_key("type")) {
            o.value("type", "ephemeral");
        }
        o.some("ttl", mark.ttl.as_deref());
        o.fields(more.into_iter().flatten());
    });
}

/// Whether a part may be written as a bare string.
pub(super) fn is_plain_text(part: &Part) -> bool {
    let plain = matches!(&part.content, Content::Text(text) if text.citations.is_empty());
    plain && part.cache.is_none() && part.extras.is_empty()
}

/// Thinking as a block. For a client foreign blobs are wrapped; a provider gets its own or, where it takes unsigned thinking, none.
fn thinking(o: &mut Object<'_>, reasoning: &ReasoningPart, reader: Reader) {
    let text = reasoning.shown();
    match reasoning.opaque.as_ref().filter(|blob| reader == Reader::Client || blob.format == FORMAT) {
        Some(blob) if blob.kind == OpaqueKind::Redacted && text.is_empty() => {
            o.value("type", "redacted_thinking");
            o.value("data", &opaque::wrap(blob, FORMAT));
        }
        blob => {
            o.value("type", "thinking");
            o.value("thinking", &text);
            o.value("signature", &blob.map(|blob| opaque::wrap(blob, FORMAT)).unwrap_or_default());
        }
    }
}

fn signature_block(o: &mut Object<'_>, call_id: &str, signature: &Opaque) {
    o.value("type", "thinking");
    o.value("thinking", "");
    o.value("signature", &carrier::pack(call_id, signature));
}

fn foreign_citation(source: &Citation) -> Value {
    serde_json::json!({
        "type": "web_search_result_location",
        "url": source.url.clone().unwrap_or_default(),
        "title": source.title,
        "encrypted_index": "",
        "cited_text": source.cited_text.clone().unwrap_or_default(),
    })
}

/// Whether the extras belong to another format; their names as losses.
pub(super) fn foreign_losses(extras: &Extras, prefix: &str, losses: &mut Vec<Loss>) {
    losses.extend(extras.foreign_to(FORMAT).map(|name| Loss::no_equivalent(format!("{prefix}extras.{name}"), FORMAT)));
}

/// Whether a part of an answer has a block at all.
pub(super) fn client_refusal(content: &Content) -> Option<&'static str> {
    match content {
        Content::Media(media) => {
            let picture = media.kind == MediaKind::Image && !matches!(media.source, MediaSource::Text(_));
            (!picture).then_some("has no equivalent")
        }
        Content::ToolResult(_) => Some("has no equivalent"),
        _ => None,
    }
}
