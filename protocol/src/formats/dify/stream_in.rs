//! Answers of an app → events.
//!
//! `message_end` is the terminal. An app whose workflow failed says so in `workflow_finished` and then, with a better code, in `error`, without a
//! `message_end`. What tools, nodes and agents do inside the app is passed on raw: it is no part of the answer.
//!
//! `message_replace` takes back everything that was said (a moderation rule fired). Before anything went out the new text simply takes its place,
//! and a text that only goes on is appended. Later there is no taking back: the new text follows as a refusal, and the answer finishes
//! by content filter with `message_replace` as its native reason.

use serde_json::{Map, Value};

use super::{error, finish, usage};
use crate::format::StreamDecoder;
use crate::formats::fields::{Fields, Path};
use crate::formats::media::type_of_address;
use crate::formats::think_tags::{Piece, ThinkTags};
use crate::framing::Frame;
use crate::ir::{
    Citation, Content, Delta, Extras, Finish, FinishReason, Media, MediaKind, MediaSource, Part, PartHead, PartId,
    StreamEvent,
};
use crate::{ApiError, ApiErrorKind, ApiFormat, DecodeError};

const DIFY: ApiFormat = ApiFormat::Dify;

/// Fields that every event repeats.
const ENVELOPE: [&str; 3] = ["conversation_id", "task_id", "mode"];

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    started: bool,
    over: bool,
    next: PartId,
    open: Option<(PartId, Kind)>,
    tags: ThinkTags,
    /// The text so far as the app wrote it, to know a repetition.
    said: String,
    /// Text came as `agent_message`.
    agent: bool,
    /// Text was taken back after it went out.
    replaced: bool,
    /// Why the workflow failed, until `error` says it better.
    failure: Option<ApiError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Reasoning,
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let data = frame.data.trim_ascii();
        if self.over || data.is_empty() || frame.event == Some("ping") {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(data).map_err(|error| DecodeError::json(DIFY, &error))?;
        let Some(word) = value.get("event").and_then(Value::as_str).map(str::to_owned) else {
            return Err(DecodeError::new(DIFY, "/event", "is missing"));
        };
        self.event(&word, value, out)
    }

    fn finish(&mut self, out: &mut Vec<StreamEvent>) {
        if let Some(failure) = self.failure.take().filter(|_| !self.over) {
            out.push(StreamEvent::Error(failure));
            self.over = true;
        }
    }
}

impl Decoder {
    fn event(&mut self, word: &str, value: Value, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        // Sound of a text that is told anyway, and signs of life.
        if matches!(word, "ping" | "tts_message" | "tts_message_end") {
            return Ok(());
        }
        if word == "error" {
            out.push(StreamEvent::Error(error::read(None, &value)));
            self.over = true;
            return Ok(());
        }
        self.start(&value, out);
        match word {
            "message" | "agent_message" => {
                let mut fields = Fields::of(value, DIFY, &Path::Root)?;
                let answer = fields.text("answer")?.unwrap_or_default();
                self.message(word, &answer, fields, out);
            }
            "message_replace" => {
                let answer = Fields::of(value, DIFY, &Path::Root)?.text("answer")?.unwrap_or_default();
                self.replace(&answer, out);
            }
            "reasoning_chunk" => {
                let text = value.pointer("/data/reasoning").and_then(Value::as_str).unwrap_or_default();
                self.grow(text.to_owned(), Kind::Reasoning, out);
                if value.pointer("/data/is_final").and_then(Value::as_bool) == Some(true) {
                    self.close(out);
                }
            }
            "message_file" => self.file(&value, out),
            "message_end" => self.end(value, out),
            "workflow_finished" => self.workflow_finished(value, out),
            "workflow_paused" => {
                self.settle(out);
                out.push(StreamEvent::Raw { format: DIFY, value });
                self.terminate(Finish { native: Some(word.to_owned()), ..Finish::new(FinishReason::Pause) }, out);
            }
            _ => out.push(StreamEvent::Raw { format: DIFY, value }),
        }
        Ok(())
    }

    /// The first event tells who answers where.
    pub(super) fn start(&mut self, value: &Value, out: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let word = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let own = ENVELOPE.iter().filter_map(|name| Some(((*name).to_owned(), value.get(*name)?.clone())));
        out.push(StreamEvent::Start {
            id: word("message_id").or_else(|| word("id")),
            model: None,
            created: value.get("created_at").and_then(Value::as_u64),
            extras: Extras::new(DIFY, own.collect()),
        });
    }

    /// The new agent says everything once more in a last `message`.
    fn message(&mut self, word: &str, answer: &str, rest: Fields<'_>, out: &mut Vec<StreamEvent>) {
        if word == "agent_message" {
            self.agent = true;
        } else if self.agent && !self.said.is_empty() {
            if let Some(more) = answer.strip_prefix(self.said.as_str()) {
                let more = more.to_owned();
                self.text(&more, out);
            } else if !answer.is_empty() {
                let mut value = rest.rest();
                value.insert("answer".to_owned(), answer.into());
                out.push(StreamEvent::Raw { format: DIFY, value: Value::Object(value) });
            }
            return;
        }
        self.text(answer, out);
    }

    fn replace(&mut self, answer: &str, out: &mut Vec<StreamEvent>) {
        if let Some(more) = answer.strip_prefix(self.said.as_str()) {
            let more = more.to_owned();
            self.text(&more, out);
            return;
        }
        self.settle(out);
        self.replaced = true;
        answer.clone_into(&mut self.said);
        self.grow(answer.to_owned(), Kind::Refusal, out);
    }

    /// Adds to the answer; thinking may stand at its start.
    pub(super) fn text(&mut self, text: &str, out: &mut Vec<StreamEvent>) {
        self.said.push_str(text);
        let mut pieces = Vec::new();
        self.tags.push(text, &mut pieces);
        self.pieces(pieces, out);
    }

    fn pieces(&mut self, pieces: Vec<Piece>, out: &mut Vec<StreamEvent>) {
        for piece in pieces {
            match piece {
                Piece::Thinking(text) => self.grow(text, Kind::Reasoning, out),
                Piece::Text(text) => self.grow(text, Kind::Text, out),
            }
        }
    }

    /// More thinking that came apart from the text.
    pub(super) fn reason(&mut self, text: &str, out: &mut Vec<StreamEvent>) {
        self.grow(text.to_owned(), Kind::Reasoning, out);
    }

    /// A picture or file that the app made. Those of the user come back as well and are no answer.
    fn file(&mut self, value: &Value, out: &mut Vec<StreamEvent>) {
        let word = |name: &str| value.get(name).and_then(Value::as_str);
        let Some(address) = word("url").filter(|_| word("belongs_to") != Some("user")) else { return };
        let kind = super::request_in::KINDS.iter().find(|(known, _)| Some(*known) == word("type"));
        let media = Media {
            kind: kind.map_or(MediaKind::Document, |(_, kind)| *kind),
            source: MediaSource::Url(address.to_owned()),
            media_type: type_of_address(address).map(str::to_owned),
            name: None,
            detail: None,
        };
        self.settle(out);
        let id = self.mint();
        out.extend(StreamEvent::whole(id, 0, Part::new(Content::Media(media))));
    }

    fn end(&mut self, mut value: Value, out: &mut Vec<StreamEvent>) {
        let metadata = value.get_mut("metadata").map(Value::take).unwrap_or_default();
        self.close_with(metadata, out);
    }

    /// Counters, sources and the end.
    pub(super) fn close_with(&mut self, metadata: Value, out: &mut Vec<StreamEvent>) {
        let mut metadata = match metadata {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let told = metadata.shift_remove("finish_reason").as_ref().and_then(Value::as_str).map(finish::read);
        let raw_usage = metadata.shift_remove("usage").filter(Value::is_object);
        self.release(out);
        let sources =
            metadata.get("retriever_resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if let Some((id, Kind::Text)) = self.open {
            let cited = sources.iter().map(citation);
            out.extend(cited.map(|one| StreamEvent::PartDelta { id, delta: Delta::Citation(Box::new(one)) }));
        }
        self.close(out);
        metadata.retain(|_, value| !(value.is_null() || value.as_array().is_some_and(Vec::is_empty)));
        if !metadata.is_empty() {
            let extras = Map::from_iter([("metadata".to_owned(), Value::Object(metadata))]);
            out.push(StreamEvent::ChoiceExtras { choice: 0, extras: Extras::new(DIFY, extras) });
        }
        out.extend(raw_usage.map(|raw| StreamEvent::Usage(usage::read(&raw))));
        let finish = if self.replaced {
            Finish { native: Some("message_replace".to_owned()), ..Finish::new(FinishReason::ContentFilter) }
        } else {
            told.unwrap_or(Finish::new(FinishReason::Stop))
        };
        self.terminate(finish, out);
    }

    fn terminate(&mut self, finish: Finish, out: &mut Vec<StreamEvent>) {
        out.push(StreamEvent::Finish { choice: 0, finish });
        out.push(StreamEvent::End);
        self.over = true;
    }

    fn workflow_finished(&mut self, value: Value, out: &mut Vec<StreamEvent>) {
        let status = value.pointer("/data/status").and_then(Value::as_str).unwrap_or_default();
        if matches!(status, "failed" | "stopped") {
            let told = value.pointer("/data/error").and_then(Value::as_str).filter(|text| !text.is_empty());
            let message = told.map_or_else(|| format!("the workflow {status}"), str::to_owned);
            self.failure =
                Some(ApiError { code: Some(status.to_owned()), ..ApiError::new(ApiErrorKind::Upstream, message) });
        }
        out.push(StreamEvent::Raw { format: DIFY, value });
    }

    fn grow(&mut self, text: String, kind: Kind, out: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        let id = match self.open {
            Some((id, open)) if open == kind => id,
            _ => {
                self.close(out);
                let id = self.mint();
                let head = match kind {
                    Kind::Text => PartHead::Text,
                    Kind::Refusal => PartHead::Refusal,
                    Kind::Reasoning => PartHead::Reasoning,
                };
                out.push(StreamEvent::PartStart { id, choice: 0, head, item_id: None });
                self.open = Some((id, kind));
                id
            }
        };
        out.push(StreamEvent::PartDelta { id, delta: Delta::Text(text) });
    }

    /// What was held back as a possible tag is text.
    fn release(&mut self, out: &mut Vec<StreamEvent>) {
        let mut pieces = Vec::new();
        self.tags.finish(&mut pieces);
        self.pieces(pieces, out);
    }

    fn settle(&mut self, out: &mut Vec<StreamEvent>) {
        self.release(out);
        self.close(out);
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        out.extend(self.open.take().map(|(id, _)| StreamEvent::PartEnd { id }));
    }

    fn mint(&mut self) -> PartId {
        let id = self.next;
        self.next = self.next.saturating_add(1);
        id
    }
}

/// A passage of a knowledge base. The document has a name and rarely an address.
fn citation(source: &Value) -> Citation {
    let word = |name: &str| source.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    Citation {
        url: word("url").or_else(|| word("source_url")),
        title: word("title").or_else(|| word("document_name")),
        cited_text: word("content"),
        start: None,
        end: None,
        extras: source.as_object().map_or(Extras::NONE, |map| Extras::new(DIFY, map.clone())),
    }
}
