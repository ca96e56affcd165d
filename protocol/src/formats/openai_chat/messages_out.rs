//! Parts → messages, for a provider.
//!
//! Chat wants one `tool` message a result, directly after the calls; whatever such a message cannot hold (images) goes into one user message
//! behind *all* of them.

use serde_json::Value;

use super::details;
use super::media;
use super::tool_ids::Ids;
use super::wire::{FORMAT, Object, one, put};
use crate::dialect::{ReasoningField, ReplayReasoning};
use crate::ir::{
    CacheMark, ChatRequest, Content, Extras, Loss, Media, MediaKind, MediaSource, Message, OpaqueKind, Part, Role,
    ToolCall, ToolCallKind, ToolResult,
};
use crate::{ApiFormat, Dialect};

/// Stands in for thinking that a host wants back and nobody has any more.
const LOST_THINKING: &str = "(earlier thinking is not available)";

/// Writes `messages`.
pub(super) struct Writer<'a> {
    dialect: &'a Dialect,
    ids: Ids,
    /// Thinking is wanted, so a host that demands it back gets a placeholder where it was lost.
    thinks: bool,
    messages: Vec<Value>,
    /// Parts that tool messages could not hold.
    moved: Vec<Value>,
    losses: &'a mut Vec<Loss>,
}

/// Writes the conversation of `request`.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect, losses: &mut Vec<Loss>) -> Vec<Value> {
    let thinks = request.reasoning.as_ref().is_none_or(|wish| wish.enabled != Some(false));
    let ids = Ids::new(dialect.tool_call_ids);
    let mut writer = Writer { dialect, ids, thinks, messages: Vec::new(), moved: Vec::new(), losses };
    for (index, message) in request.messages.iter().enumerate() {
        writer.message(message, &format!("messages[{index}]"));
    }
    writer.flush();
    writer.messages
}

impl Writer<'_> {
    fn lose(&mut self, field: String, why: &'static str) {
        self.losses.push(Loss::new(field, FORMAT, why));
    }

    fn message(&mut self, message: &Message, at: &str) {
        if message.role == Role::Assistant {
            self.flush();
            return self.assistant(message, at);
        }
        let mut rest = Vec::new();
        for (index, part) in message.parts.iter().enumerate() {
            match &part.content {
                Content::ToolResult(result) => self.result(result, part, message, &format!("{at}.parts[{index}]")),
                _ => rest.push((index, part)),
            }
        }
        let only_results = rest.is_empty() && !message.parts.is_empty();
        if only_results {
            if message.role != Role::Tool {
                write_foreign(&message.extras, at, self.losses);
            }
            return;
        }
        let role = match message.role {
            Role::System => "system",
            Role::Developer if self.dialect.no_developer_role => "system",
            Role::Developer => "developer",
            _ => "user",
        };
        let mut content = Vec::new();
        if role == "user" {
            content.append(&mut self.moved);
        } else {
            self.flush();
        }
        for (index, part) in rest {
            content.extend(self.content_part(part, &format!("{at}.parts[{index}]")));
        }
        let mut fields = one("role", role);
        fields.insert("content".into(), self.flat(content));
        put(&mut fields, "name", message.name.as_deref());
        write_extras(&message.extras, at, &mut fields, self.losses);
        self.messages.push(fields.into());
    }

    /// What tool messages could not hold goes into a user message of its own, if no user message follows.
    fn flush(&mut self) {
        if !self.moved.is_empty() {
            let mut fields = one("role", "user");
            fields.insert("content".into(), std::mem::take(&mut self.moved).into());
            self.messages.push(fields.into());
        }
    }

    fn result(&mut self, result: &ToolResult, part: &Part, message: &Message, at: &str) {
        let id = self.ids.of_result(&result.call_id, result.name.as_deref());
        let mut content = Vec::new();
        let mut moved = Vec::new();
        for (index, piece) in result.content.iter().enumerate() {
            let at = format!("{at}.content[{index}]");
            let Some(written) = self.content_part(piece, &at) else { continue };
            let is_text = written.get("type").and_then(Value::as_str) == Some("text");
            if is_text || self.dialect.images_in_tool_results { content.push(written) } else { moved.push(written) }
        }
        if !moved.is_empty() {
            if content.is_empty() {
                content.push(media::text_part("(see the attachment in the next user message)").into());
            }
            self.moved.push(media::text_part(format!("Attachment of the result of tool call {id}:")).into());
            self.moved.append(&mut moved);
        }
        if let Some(mark) = &part.cache {
            self.mark_last(&mut content, mark, at);
        }
        if result.is_error == Some(true) {
            self.lose(format!("{at}.is_error"), "has no equivalent");
        }
        write_foreign(&part.extras, at, self.losses);
        let mut fields = one("role", "tool");
        fields.insert("tool_call_id".into(), id.into());
        fields.insert("content".into(), self.flat(content));
        put(&mut fields, "name", message.name.as_deref());
        if message.role == Role::Tool {
            write_extras(&message.extras, at, &mut fields, self.losses);
        }
        self.messages.push(fields.into());
    }

    fn mark_last(&mut self, content: &mut Vec<Value>, mark: &CacheMark, at: &str) {
        if !self.dialect.cache_control {
            return self.lose(format!("{at}.cache"), "the host takes no cache marks");
        }
        if content.is_empty() {
            content.push(media::text_part("").into());
        }
        if let Some(Value::Object(last)) = content.last_mut() {
            last.insert("cache_control".into(), cache_control(mark));
        }
    }

    /// One part of `content`; `None` if there is nothing to write.
    fn content_part(&mut self, part: &Part, at: &str) -> Option<Value> {
        let mut fields = match &part.content {
            Content::Text(text) => {
                let foreign = text.citations.iter().any(|citation| citation.extras.for_format(FORMAT).is_none());
                if foreign {
                    self.lose(format!("{at}.citations"), "has no equivalent in requests");
                }
                media::text_part(text.text.as_str())
            }
            Content::Refusal(text) => media::text_part(text.as_str()),
            Content::Media(media) => media::encode(media, &part.extras, at, self.dialect, self.losses),
            Content::Native(native) if native.format == FORMAT => native.value.as_object()?.clone(),
            Content::Native(native) => {
                self.lose(format!("{at} ({})", native.kind), "only its own format knows this block");
                return None;
            }
            Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {
                self.lose(at.to_owned(), "stands in a message that cannot hold it");
                return None;
            }
        };
        if matches!(part.content, Content::Media(_)) {
            write_foreign(&part.extras, at, self.losses);
        } else {
            write_extras(&part.extras, at, &mut fields, self.losses);
        }
        if let Some(mark) = &part.cache {
            if self.dialect.cache_control {
                fields.insert("cache_control".into(), cache_control(mark));
            } else {
                self.lose(format!("{at}.cache"), "the host takes no cache marks");
            }
        }
        Some(fields.into())
    }

    /// `content`: one plain text is a string; so are several where the host wants it.
    fn flat(&self, content: Vec<Value>) -> Value {
        let plain = |value: &Value| {
            let fields = value.as_object().filter(|fields| fields.len() == 2)?;
            if fields.get("type")?.as_str()? != "text" {
                return None;
            }
            fields.get("text")?.as_str().map(str::to_owned)
        };
        let may_be_string = content.len() <= 1 || self.dialect.flat_content;
        if may_be_string && let Some(texts) = content.iter().map(plain).collect::<Option<Vec<_>>>() {
            return texts.join("\n\n").into();
        }
        content.into()
    }

    fn assistant(&mut self, message: &Message, at: &str) {
        let mut fields = one("role", "assistant");
        let mut content = Vec::new();
        let mut calls = Vec::new();
        let mut refusal = String::new();
        let mut audio = None;
        let mut annotations = Vec::new();
        let mut thoughts = Vec::new();
        for (index, part) in message.parts.iter().enumerate() {
            let at = format!("{at}.parts[{index}]");
            match &part.content {
                Content::Reasoning(_) => {
                    if part.cache.is_some() {
                        self.lose(format!("{at}.cache"), "thinking takes no cache marks");
                    }
                    thoughts.push((part, at));
                }
                Content::ToolCall(call) => calls.push(self.call(call, part, &at)),
                Content::Refusal(text) if part.cache.is_none() => refusal.push_str(text),
                Content::Media(media) if media.kind == MediaKind::Audio => {
                    audio = self.audio(media, part, &at).or(audio)
                }
                Content::Media(_) => self.lose(at, "assistant turns hold no media here"),
                Content::ToolResult(_) => self.lose(at, "tool results do not stand in assistant turns"),
                Content::Text(text) => {
                    let kept = |citation: &crate::ir::Citation| citation.extras.for_format(FORMAT).cloned();
                    annotations.extend(text.citations.iter().filter_map(kept).map(Value::from));
                    content.extend(self.content_part(part, &at));
                }
                _ => content.extend(self.content_part(part, &at)),
            }
        }
        let has_calls = !calls.is_empty();
        let replay = self.thoughts(&thoughts, has_calls, &message.extras, &mut content, at);
        let empty = content.is_empty();
        fields.insert(
            "content".into(),
            if empty && (has_calls || audio.is_some() || !refusal.is_empty()) {
                Value::Null
            } else {
                self.flat(content)
            },
        );
        put(&mut fields, "refusal", (!refusal.is_empty()).then_some(refusal));
        fields.extend(replay);
        put(&mut fields, "audio", audio);
        put(&mut fields, "annotations", (!annotations.is_empty()).then_some(annotations));
        if has_calls {
            fields.insert("tool_calls".into(), calls.into());
        }
        put(&mut fields, "name", message.name.as_deref());
        write_extras(&message.extras, at, &mut fields, self.losses);
        self.messages.push(fields.into());
    }

    /// Recorded answers go back by their id.
    fn audio(&mut self, media: &Media, part: &Part, at: &str) -> Option<Value> {
        let id = match &media.source {
            MediaSource::FileId(id) => Some(id.as_str()),
            _ => part.extras.for_format(FORMAT).and_then(|fields| fields.get("id")).and_then(Value::as_str),
        };
        if id.is_none() {
            self.lose(at.to_owned(), "recorded answers go back by id only");
        }
        id.map(|id| one("id", id).into())
    }

    fn call(&mut self, call: &ToolCall, part: &Part, at: &str) -> Value {
        let custom = call.kind == ToolCallKind::Custom && !self.dialect.no_custom_tools;
        let arguments = match call.kind {
            ToolCallKind::Function if call.arguments.trim().is_empty() => "{}".to_owned(),
            ToolCallKind::Custom if !custom => Value::from(one("input", call.arguments.as_str())).to_string(),
            _ => call.arguments.clone(),
        };
        let mut inner = one("name", call.name.as_str());
        inner.insert(if custom { "input" } else { "arguments" }.into(), arguments.into());
        let kind = if custom { "custom" } else { "function" };
        let mut fields = one("id", self.ids.of_call(&call.id, &call.name));
        fields.insert("type".into(), kind.into());
        fields.insert(kind.into(), inner.into());
        if call.namespace.is_some() {
            self.lose(format!("{at}.namespace"), "has no equivalent");
        }
        if let Some(signature) = &call.signature {
            if self.dialect.google_signatures && signature.format == ApiFormat::Gemini {
                fields.insert("extra_content".into(), google_signature(&signature.data));
            } else {
                self.lose(format!("{at}.signature"), "signature belongs to another provider");
            }
        }
        if part.cache.is_some() {
            self.lose(format!("{at}.cache"), "calls take no cache marks");
        }
        write_extras(&part.extras, at, &mut fields, self.losses);
        fields.into()
    }

    /// Thinking that goes back to the host: fields beside `content`, or (Mistral) parts in front of it.
    fn thoughts(
        &mut self,
        thoughts: &[(&Part, String)],
        has_calls: bool,
        extras: &Extras,
        content: &mut Vec<Value>,
        at: &str,
    ) -> Object {
        let mut fields = Object::new();
        let wanted = match self.dialect.replay_reasoning {
            ReplayReasoning::Never => false,
            ReplayReasoning::ToolTurns => has_calls,
            ReplayReasoning::Always => true,
        };
        if !wanted || self.dialect.reasoning_field == ReasoningField::None {
            for (_, at) in thoughts {
                self.lose(at.clone(), "the host does not take thinking back here");
            }
            return fields;
        }
        let mut text = String::new();
        let mut list = Vec::new();
        for (part, at) in thoughts {
            let Content::Reasoning(reasoning) = &part.content else { continue };
            let shown = reasoning.shown();
            let home =
                reasoning.opaque.as_ref().filter(|blob| blob.format == FORMAT && blob.kind == OpaqueKind::Details);
            match home {
                Some(_) if self.dialect.reasoning_field == ReasoningField::ReasoningDetails => {
                    list.extend(details::entries(reasoning, None, 0));
                }
                Some(_) => {}
                None if reasoning.opaque.is_some() => {
                    self.lose(format!("{at}.opaque"), "belongs to another provider");
                }
                None => {}
            }
            if !text.is_empty() && !shown.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(&shown);
        }
        // Only a tool loop is refused without its thinking.
        // A client of the host itself may have said that there was none, by an empty field.
        let said = extras.get("reasoning_content").or_else(|| extras.get("reasoning")).is_some();
        let demanded = self.dialect.replay_reasoning == ReplayReasoning::ToolTurns && has_calls;
        if demanded && text.is_empty() && list.is_empty() && !said && self.thinks && !self.optional() {
            text = LOST_THINKING.into();
            if !thoughts.is_empty() {
                self.lose(format!("{at}.reasoning"), "could not be read by this host, a placeholder stands in");
            }
        }
        let name = match self.dialect.reasoning_field {
            ReasoningField::ContentThinking => {
                if !text.is_empty() {
                    let thinking =
                        serde_json::json!({ "type": "thinking", "thinking": [{ "type": "text", "text": text }] });
                    content.insert(0, thinking);
                }
                return fields;
            }
            ReasoningField::ReasoningContent => "reasoning_content",
            _ => "reasoning",
        };
        put(&mut fields, name, (!text.is_empty()).then_some(text));
        put(&mut fields, "reasoning_details", (!list.is_empty()).then_some(list));
        fields
    }

    /// Hosts whose own form of thinking may simply be absent.
    fn optional(&self) -> bool {
        matches!(self.dialect.reasoning_field, ReasoningField::ReasoningDetails | ReasoningField::ContentThinking)
    }
}

/// `extra_content: {google: {thought_signature}}`.
pub(super) fn google_signature(blob: &str) -> Value {
    one("google", one("thought_signature", blob)).into()
}

/// A cache mark as Anthropic writes it.
pub(super) fn cache_control(mark: &CacheMark) -> Value {
    let mut fields = one("type", "ephemeral");
    put(&mut fields, "ttl", mark.ttl.as_deref());
    fields.into()
}

/// Lays kept fields of this format over an object; objects are merged. Those of other formats are losses.
pub(super) fn write_extras(extras: &Extras, at: &str, fields: &mut Object, losses: &mut Vec<Loss>) {
    for (name, value) in extras.for_format(FORMAT).into_iter().flatten() {
        match (fields.get_mut(name), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => {
                for (key, value) in more {
                    inner.entry(key.as_str()).or_insert_with(|| value.clone());
                }
            }
            (None, value) => {
                fields.insert(name.clone(), value.clone());
            }
            _ => {}
        }
    }
    write_foreign(extras, at, losses);
}

fn write_foreign(extras: &Extras, at: &str, losses: &mut Vec<Loss>) {
    losses.extend(extras.foreign_to(FORMAT).map(|name| Loss::no_equivalent(format!("{at}.extras.{name}"), FORMAT)));
}
