//! How items grow in a provider's stream: texts, sources, summaries, thinking, arguments.

use serde_json::{Value, json};

use super::content::{self, fields_of};
use super::stream_in::{Decoder, Events};
use super::tracks::{Kind, Track};
use super::wire::Event;
use crate::ir::{Content, Delta, Extras, Part, PartHead, PartId, StreamEvent};

impl Decoder {
    /// The message of an event, begun if the host left that out.
    pub(super) fn message(&mut self, index: u64) -> bool {
        if self.tracks.get(index).is_none() {
            self.tracks.insert(Track::new(index, Kind::Message, None, Extras::NONE));
        }
        self.tracks.get(index).is_some_and(|track| track.kind == Kind::Message && !track.done)
    }

    /// The part of a text or refusal, begun if it is new. `None`: no such message, or the part has ended.
    pub(super) fn content(&mut self, index: u64, inner: u64, refusal: bool, out: &mut Events) -> Option<PartId> {
        if !self.message(index) {
            return None;
        }
        let track = self.tracks.get(index)?;
        if let Some(content) = track.content(inner) {
            return (!content.ended && content.refusal == refusal).then_some(content.part);
        }
        let (item_id, first) = (track.item_id.clone(), track.contents.is_empty());
        let extras = if first { track.extras.clone() } else { Extras::NONE };
        let head = if refusal { PartHead::Refusal } else { PartHead::Text };
        let id = self.begin_part(head, item_id, out);
        if !extras.is_empty() {
            out.push(StreamEvent::PartDelta { id, delta: Delta::Extras(extras) });
        }
        self.tracks.get_mut(index)?.add_content(inner, id, refusal);
        Some(id)
    }

    pub(super) fn part_added(&mut self, event: &Event<'_>, out: &mut Events) {
        let (index, inner) = (self.index(event), event.content_index.unwrap_or(0));
        match event.part.as_ref().and_then(|part| part.get("type")).and_then(Value::as_str) {
            Some("output_text") => drop(self.content(index, inner, false, out)),
            Some("refusal") => drop(self.content(index, inner, true, out)),
            _ => {}
        }
    }

    pub(super) fn text(&mut self, event: &Event<'_>, refusal: bool, text: Option<&str>, done: bool, out: &mut Events) {
        let (index, inner) = (self.index(event), event.content_index.unwrap_or(0));
        let (Some(text), Some(id)) = (text, self.content(index, inner, refusal, out)) else { return };
        let Some(content) = self.tracks.get_mut(index).and_then(|track| track.content_mut(inner)) else { return };
        if let Some(delta) = content.progress.take_more(text, done) {
            out.push(StreamEvent::PartDelta { id, delta: Delta::Text(delta) });
        }
    }

    pub(super) fn annotation(&mut self, event: Event<'_>, out: &mut Events) {
        let (index, inner) = (self.index(&event), event.content_index.unwrap_or(0));
        let (Some(value), Some(id)) = (event.annotation, self.content(index, inner, false, out)) else { return };
        let Some(content) = self.tracks.get_mut(index).and_then(|track| track.content_mut(inner)) else { return };
        if let Some(citation) = content::citation(value) {
            content.citations += 1;
            out.push(StreamEvent::PartDelta { id, delta: Delta::Citation(Box::new(citation)) });
        }
    }

    pub(super) fn part_done(&mut self, event: Event<'_>, out: &mut Events) {
        let (index, inner) = (self.index(&event), event.content_index.unwrap_or(0));
        let Some(part) = event.part else { return };
        if self.tracks.get(index).is_none_or(|track| track.kind == Kind::Message) {
            self.finish_content(index, inner, part, out);
        }
    }

    /// Catches up with a content part as it ended, and ends it.
    pub(super) fn finish_content(&mut self, index: u64, inner: u64, value: Value, out: &mut Events) {
        let Part { content, extras, .. } = content::part(value);
        let id = match &content {
            Content::Text(_) => self.content(index, inner, false, out),
            Content::Refusal(_) => self.content(index, inner, true, out),
            _ => return self.unknown_content(index, inner, Part { extras, ..Part::new(content) }, out),
        };
        let Some(id) = id else { return };
        let Some(track) = self.tracks.get_mut(index).and_then(|track| track.content_mut(inner)) else { return };
        let mut tell = |delta: Delta| out.push(StreamEvent::PartDelta { id, delta });
        match content {
            Content::Text(text) => {
                if let Some(rest) = track.progress.take_more(&text.text, true) {
                    tell(Delta::Text(rest));
                }
                let told = track.citations;
                for citation in text.citations.into_iter().skip(told) {
                    track.citations += 1;
                    tell(Delta::Citation(Box::new(citation)));
                }
            }
            Content::Refusal(text) => {
                if let Some(rest) = track.progress.take_more(&text, true) {
                    tell(Delta::Text(rest));
                }
            }
            _ => {}
        }
        if !extras.is_empty() {
            tell(Delta::Extras(extras));
        }
        track.ended = true;
        out.push(StreamEvent::PartEnd { id });
    }

    /// A content part of unknown type arrives whole.
    pub(super) fn unknown_content(&mut self, index: u64, inner: u64, part: Part, out: &mut Events) {
        if !self.message(index) || self.tracks.get(index).is_some_and(|track| track.content(inner).is_some()) {
            return;
        }
        let item_id = self.tracks.get(index).and_then(|track| track.item_id.clone());
        let id = self.whole(Part { item_id, ..part }, out);
        if let Some(track) = self.tracks.get_mut(index) {
            track.add_content(inner, id, false).ended = true;
        }
    }

    pub(super) fn index(&self, event: &Event<'_>) -> u64 {
        event.output_index.unwrap_or_else(|| self.tracks.last_index())
    }

    /// The part of a reasoning item, begun if the host left that out.
    fn reasoning(&mut self, index: u64, out: &mut Events) -> Option<PartId> {
        if self.tracks.get(index).is_none() {
            self.begin_item(index, fields_of(json!({"type": "reasoning"})), out);
        }
        self.tracks.get(index).filter(|track| track.kind == Kind::Reasoning)?.part
    }

    pub(super) fn summary(&mut self, event: &Event<'_>, text: Option<&str>, done: bool, out: &mut Events) {
        let (index, place) = (self.index(event), event.summary_index.unwrap_or(0));
        let (Some(text), Some(id)) = (text, self.reasoning(index, out)) else { return };
        let Some(track) = self.tracks.get_mut(index) else { return };
        if track.minted {
            // Thinking of another format, shown as a summary by a gateway of this kind.
            if std::mem::replace(&mut track.last_summary, place) != place {
                track.progress.take_more("\n\n", false);
                out.push(StreamEvent::PartDelta { id, delta: Delta::Text("\n\n".to_owned()) });
            }
            if let Some(delta) = track.progress.take_more(text, done) {
                out.push(StreamEvent::PartDelta { id, delta: Delta::Text(delta) });
            }
            return;
        }
        let Some(progress) = track.summary_mut(place) else { return };
        let fresh = !std::mem::replace(&mut progress.begun, true);
        match progress.take_more(text, done) {
            Some(text) => out.push(StreamEvent::PartDelta { id, delta: Delta::Summary { index: place, text } }),
            None if fresh => {
                out.push(StreamEvent::PartDelta { id, delta: Delta::Summary { index: place, text: String::new() } });
            }
            None => {}
        }
    }

    pub(super) fn thinking(&mut self, event: &Event<'_>, text: Option<&str>, done: bool, out: &mut Events) {
        let index = self.index(event);
        let (Some(text), Some(id)) = (text, self.reasoning(index, out)) else { return };
        let Some(track) = self.tracks.get_mut(index) else { return };
        let inner = event.content_index.unwrap_or(0);
        if let Some(delta) = track.take_thinking(inner, text, done) {
            out.push(StreamEvent::PartDelta { id, delta: Delta::Text(delta) });
        }
    }

    pub(super) fn arguments(&mut self, event: &Event<'_>, text: Option<&str>, done: bool, out: &mut Events) {
        let index = self.index(event);
        let Some(track) = self.tracks.get_mut(index) else { return };
        if !matches!(track.kind, Kind::Call(_)) {
            return;
        }
        let (Some(text), Some(id)) = (text, track.part) else { return };
        if let Some(delta) = track.progress.take_more(text, done) {
            out.push(StreamEvent::PartDelta { id, delta: Delta::Arguments(delta) });
        }
    }
}
