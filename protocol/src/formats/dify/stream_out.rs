//! Events → streams for clients of the facade.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::request_in::KINDS;
use super::request_out::is_uuid;
use super::{error, finish, usage};
use crate::format::{ReplyContext, StreamEncoder};
use crate::framing::sse;
use crate::ir::{
    Citation, Content, Delta, Extras, Finish, FinishReason, Loss, Media, MediaSource, PartHead, PartId, StreamEvent,
    Usage,
};
use crate::{ApiError, ApiErrorKind, ApiFormat};

const DIFY: ApiFormat = ApiFormat::Dify;

/// Writes one stream; a whole answer collects the same (see [`super::response`]).
#[derive(Debug)]
pub(super) struct Encoder {
    context: ReplyContext,
    pub(super) ids: Ids,
    created: u64,
    mode: Option<Value>,
    open: BTreeMap<PartId, Open>,
    files: u32,
    /// Visible text went out.
    said: bool,
    citations: Vec<Citation>,
    metadata: Map<String, Value>,
    usage: Usage,
    finish: Option<Finish>,
    losses: Vec<Loss>,
    over: bool,
}

/// The ids that every event repeats.
#[derive(Debug, Default)]
pub(super) struct Ids {
    conversation: String,
    message: String,
    task: String,
}

#[derive(Debug)]
struct Open {
    head: PartHead,
    summary: Option<u32>,
    /// A refusal that takes back what was said goes out whole.
    refusal: String,
}

/// What an event brings.
#[derive(Debug)]
pub(super) enum Piece {
    /// Text of the answer.
    Text(String),
    /// Text that takes the place of all that was said.
    Instead(String),
    /// Thinking, and whether it is over.
    Thinking(String, bool),
    /// A picture or file.
    File { kind: &'static str, url: String },
    /// An event of a Dify app as it was.
    Raw(Value),
}

impl Encoder {
    /// A writer for one client.
    pub(super) fn new(context: ReplyContext) -> Self {
        let mut encoder = Self {
            created: context.created,
            context,
            ids: Ids::default(),
            mode: None,
            open: BTreeMap::new(),
            files: 0,
            said: false,
            citations: Vec::new(),
            metadata: Map::new(),
            usage: Usage::default(),
            finish: None,
            losses: Vec::new(),
            over: false,
        };
        encoder.identify(None, &Extras::NONE);
        encoder
    }

    /// The client's own conversation goes on; else the app's; else one is named after the request.
    fn identify(&mut self, id: Option<&str>, extras: &Extras) {
        let own = |name: &str| extras.for_format(DIFY).and_then(|own| own.get(name)?.as_str()).map(str::to_owned);
        let asked = self.context.request.as_ref().and_then(|request| {
            request.extras.get("conversation_id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned)
        });
        let token = &self.context.id;
        self.ids = Ids {
            conversation: asked.or_else(|| own("conversation_id")).unwrap_or_else(|| uuid("conversation", token)),
            message: message_id(id, token),
            task: own("task_id").unwrap_or_else(|| uuid("task", token)),
        };
        self.mode = own("mode").map(Value::String).or(self.mode.take());
    }

    /// Takes one event; answers what it brings.
    pub(super) fn take(&mut self, event: &StreamEvent) -> Option<Piece> {
        match event {
            StreamEvent::Start { id, created, extras, .. } => {
                self.foreign(extras);
                self.created = created.unwrap_or(self.context.created);
                self.identify(id.as_deref(), extras);
                None
            }
            StreamEvent::PartStart { id, choice: 0, head, .. } => {
                self.open.insert(*id, Open { head: head.clone(), summary: None, refusal: String::new() });
                None
            }
            StreamEvent::PartStart { .. } => {
                self.lose("choices[1]", "only one answer can be told");
                None
            }
            StreamEvent::PartDelta { id, delta } => self.grow(*id, delta),
            StreamEvent::PartEnd { id } => {
                let open = self.open.remove(id)?;
                self.end(open)
            }
            StreamEvent::Finish { choice, finish } => {
                if *choice == 0 {
                    self.finish = Some(finish.clone());
                }
                None
            }
            StreamEvent::ChoiceExtras { extras, .. } => {
                self.foreign(extras);
                let own = extras.for_format(DIFY).and_then(|own| own.get("metadata")?.as_object());
                self.metadata.extend(own.cloned().unwrap_or_default());
                None
            }
            StreamEvent::Usage(usage) => {
                self.usage.update(usage.clone());
                None
            }
            StreamEvent::Raw { format: DIFY, value } => Some(Piece::Raw(value.clone())),
            StreamEvent::Raw { .. } | StreamEvent::Error(_) | StreamEvent::End => None,
        }
    }

    fn grow(&mut self, id: PartId, delta: &Delta) -> Option<Piece> {
        let open = self.open.get_mut(&id)?;
        match (&open.head, delta) {
            (PartHead::Refusal, Delta::Text(text)) if self.said => {
                open.refusal.push_str(text);
                None
            }
            (PartHead::Text | PartHead::Refusal, Delta::Text(text)) => {
                self.said |= matches!(open.head, PartHead::Text) && !text.is_empty();
                Some(Piece::Text(text.clone()))
            }
            (PartHead::Reasoning, Delta::Text(text)) => Some(Piece::Thinking(text.clone(), false)),
            (PartHead::Reasoning, Delta::Summary { index, text }) => {
                let apart = open.summary.is_some_and(|last| last != *index);
                open.summary = Some(*index);
                Some(Piece::Thinking(if apart { format!("\n\n{text}") } else { text.clone() }, false))
            }
            (PartHead::Text, Delta::Citation(citation)) => {
                self.citations.push((**citation).clone());
                None
            }
            (_, Delta::Opaque(_)) => {
                self.lose("choices[].parts[].opaque", "no place for signatures");
                None
            }
            (_, Delta::Extras(extras)) => {
                self.foreign(extras);
                None
            }
            _ => None,
        }
    }

    fn end(&mut self, open: Open) -> Option<Piece> {
        match open.head {
            PartHead::Reasoning => Some(Piece::Thinking(String::new(), true)),
            PartHead::ToolCall { .. } => {
                self.lose("choices[].parts[]", "a call cannot be told: tools run inside the app");
                None
            }
            PartHead::Whole(content) => self.whole(*content),
            PartHead::Refusal if !open.refusal.is_empty() => Some(Piece::Instead(open.refusal)),
            PartHead::Text | PartHead::Refusal => None,
        }
    }

    fn whole(&mut self, content: Content) -> Option<Piece> {
        match content {
            Content::Text(text) => Some(Piece::Text(text.text)),
            Content::Refusal(text) => Some(Piece::Text(text)),
            Content::Media(media) => {
                let url = address(&media)?;
                let kind = KINDS.iter().find(|(_, kind)| *kind == media.kind).map_or("document", |(word, _)| *word);
                Some(Piece::File { kind, url })
            }
            _ => {
                self.lose("choices[].parts[]", "has no equivalent");
                None
            }
        }
    }

    /// An event with what every event repeats.
    fn envelope(&self, event: &str) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("event".to_owned(), event.into());
        out.insert("conversation_id".to_owned(), self.ids.conversation.clone().into());
        out.insert("message_id".to_owned(), self.ids.message.clone().into());
        out.insert("created_at".to_owned(), self.created.into());
        out.insert("task_id".to_owned(), self.ids.task.clone().into());
        out
    }

    fn event(&mut self, piece: Piece) -> Option<Map<String, Value>> {
        let own_id = |mut out: Map<String, Value>, id: &str| {
            out.insert("id".to_owned(), id.into());
            out
        };
        Some(match piece {
            Piece::Text(text) if text.is_empty() => return None,
            Piece::Text(text) => {
                let mut out = own_id(self.envelope("message"), &self.ids.message);
                out.insert("answer".to_owned(), text.into());
                out.insert("from_variable_selector".to_owned(), Value::Null);
                out
            }
            Piece::Instead(text) => {
                let mut out = self.envelope("message_replace");
                out.insert("answer".to_owned(), text.into());
                out.insert("reason".to_owned(), "output_moderation".into());
                out
            }
            Piece::Thinking(text, false) if text.is_empty() => return None,
            Piece::Thinking(text, is_final) => {
                let mut out = self.envelope("reasoning_chunk");
                let id = &self.ids.message;
                let data = json!({"message_id": id, "reasoning": text, "node_id": NODE, "is_final": is_final});
                out.insert("data".to_owned(), data);
                out
            }
            Piece::File { kind, url } => {
                let id = uuid(&format!("file{}", self.files), &self.context.id);
                self.files = self.files.saturating_add(1);
                let mut out = own_id(self.envelope("message_file"), &id);
                out.insert("type".to_owned(), kind.into());
                out.insert("belongs_to".to_owned(), "assistant".into());
                out.insert("url".to_owned(), url.into());
                out
            }
            Piece::Raw(value) => value.as_object()?.clone(),
        })
    }

    /// `metadata` of the end: counters, sources and what an app had there.
    pub(super) fn metadata(&mut self) -> Value {
        let mut out = Map::new();
        if let Some(usage) = usage::write(&self.usage) {
            out.insert("usage".to_owned(), usage);
        }
        let cited: Vec<Value> =
            (1u32..).zip(&self.citations).map(|(position, citation)| source(position, citation)).collect();
        out.insert("retriever_resources".to_owned(), Value::Array(cited));
        if let Some(word) = self.finish.as_ref().and_then(finish::word) {
            out.insert("finish_reason".to_owned(), word.into());
        }
        out.extend(std::mem::take(&mut self.metadata));
        Value::Object(out)
    }

    /// A whole answer, of what was collected.
    pub(super) fn whole_answer(&mut self, answer: String, thinking: String) -> Map<String, Value> {
        let mut out = self.envelope("message");
        out.insert("id".to_owned(), self.ids.message.clone().into());
        out.insert("mode".to_owned(), self.mode.clone().unwrap_or_else(|| "chat".into()));
        out.insert("answer".to_owned(), answer.into());
        let mut metadata = self.metadata();
        if let Some(metadata) = metadata.as_object_mut()
            && !thinking.is_empty()
        {
            metadata.entry("reasoning").or_insert_with(|| json!({ NODE: thinking }));
        }
        out.insert("metadata".to_owned(), metadata);
        out
    }

    /// A failure that the provider reported as a reason to finish.
    pub(super) fn failure(&self) -> Option<ApiError> {
        let finish = self.finish.as_ref().filter(|finish| finish.reason == FinishReason::Error)?;
        let native = finish.native.as_deref().unwrap_or("error");
        Some(ApiError::new(ApiErrorKind::Upstream, format!("the model could not finish: {native}")))
    }

    /// What was lost so far.
    pub(super) fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    pub(super) fn lose(&mut self, field: impl Into<String>, why: &'static str) {
        let loss = Loss::new(field.into(), DIFY, why);
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    fn foreign(&mut self, extras: &Extras) {
        let names: Vec<String> = extras.foreign_to(DIFY).map(str::to_owned).collect();
        for name in names {
            self.lose(format!("extras.{name}"), "has no equivalent");
        }
    }

    fn write(&self, event: Map<String, Value>, out: &mut Vec<u8>) {
        sse::write_event(out, None, Value::Object(event).to_string().as_bytes());
    }

    fn fail(&mut self, failure: &ApiError, out: &mut Vec<u8>) {
        let mut event = self.envelope("error");
        event.extend(error::encode(failure));
        self.write(event, out);
        self.over = true;
    }
}

/// The one node of an answer that no workflow made.
const NODE: &str = "llm";

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        let event_out = self.take(event).and_then(|piece| self.event(piece));
        if let Some(event) = event_out {
            self.write(event, out);
        }
        match event {
            StreamEvent::Error(failure) => self.fail(failure, out),
            StreamEvent::End => match self.failure() {
                Some(failure) => self.fail(&failure, out),
                None => {
                    let mut end = self.envelope("message_end");
                    end.insert("id".to_owned(), self.ids.message.clone().into());
                    end.insert("metadata".to_owned(), self.metadata());
                    end.insert("files".to_owned(), Value::Null);
                    self.write(end, out);
                    self.over = true;
                }
            },
            _ => {}
        }
    }

    /// Dify's own sign of life: an event without data.
    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        if !self.over {
            out.extend_from_slice(b"event: ping\n\n");
        }
    }

    fn losses(&mut self) -> Vec<Loss> {
        self.take_losses()
    }
}

fn address(media: &Media) -> Option<String> {
    match &media.source {
        MediaSource::Url(address) => Some(address.clone()),
        MediaSource::Base64(data) => {
            let media_type = media.media_type.as_deref().unwrap_or("application/octet-stream");
            Some(format!("data:{media_type};base64,{data}"))
        }
        MediaSource::FileId(_) | MediaSource::Text(_) => None,
    }
}

fn source(position: u32, citation: &Citation) -> Value {
    if let Some(own) = citation.extras.for_format(DIFY) {
        return Value::Object(own.clone());
    }
    let mut out = Map::new();
    out.insert("position".to_owned(), position.into());
    let words = [("document_name", &citation.title), ("url", &citation.url), ("content", &citation.cited_text)];
    for (name, value) in words {
        if let Some(value) = value {
            out.insert(name.to_owned(), value.clone().into());
        }
    }
    Value::Object(out)
}

/// The `message_id` of an answer: the provider's id if it is a UUID, else one made of the reply's token.
pub fn message_id(id: Option<&str>, token: &str) -> String {
    id.filter(|id| is_uuid(id)).map_or_else(|| uuid("", token), str::to_owned)
}

/// An id of Dify's shape: the token itself if it is long enough, else one that follows from it.
fn uuid(purpose: &str, token: &str) -> String {
    let is_hex = token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = if is_hex && purpose.is_empty() {
        token.to_ascii_lowercase()
    } else {
        let digest = Sha256::digest(format!("{purpose}:{token}").as_bytes());
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    };
    let piece = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", piece(0..8), piece(8..12), piece(12..16), piece(16..20), piece(20..32))
}
