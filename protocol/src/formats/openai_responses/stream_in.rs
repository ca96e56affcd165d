//! A provider's stream → events.
//!
//! Items are told apart by `output_index` alone: some hosts change ids between the events of one item. Whatever a delta left out is
//! caught up from the event that closes the text, the part, the item or the answer, so hosts that send no deltas, or only closed
//! items, lose nothing. Steps of server tools pass as [`StreamEvent::Raw`]; their items arrive whole when they are done.

use serde_json::Value;

use super::carrier;
use super::items::{self, Item, Place};
use super::take::{self, FORMAT, Fields};
use super::tracks::{Kind, Track, Tracks};
use super::wire::Event;
use super::{error, finish, ids, response, usage};
use crate::framing::Frame;
use crate::ir::{Content, Delta, Extras, Opaque, Part, PartHead, PartId, StreamEvent, ToolCallKind};
use crate::{ApiError, DecodeError, StreamDecoder};

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    started: bool,
    over: bool,
    pub(super) tracks: Tracks,
    next_part: PartId,
    called: bool,
    /// An `error` event: mostly a failed answer follows, which knows the counters.
    failure: Option<ApiError>,
    signatures: Vec<(String, Opaque)>,
}

pub(super) type Events = Vec<StreamEvent>;

impl StreamDecoder for Decoder {
    fn feed(&mut self, frame: &Frame<'_>, out: &mut Events) -> Result<(), DecodeError> {
        if self.over || frame.data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let failed = self.failure.is_some();
        let read = self.read(frame, out);
        if failed && !self.over {
            self.over = true;
            self.finish(out);
        }
        read
    }

    fn finish(&mut self, out: &mut Events) {
        out.extend(self.failure.take().map(StreamEvent::Error));
    }
}

impl Decoder {
    fn read(&mut self, frame: &Frame<'_>, out: &mut Events) -> Result<(), DecodeError> {
        match serde_json::from_slice::<Event<'_>>(frame.data) {
            Ok(event) => self.event(event, frame, out),
            // Known fields of unknown types: an event that nobody has seen yet, or no JSON at all.
            Err(_) => {
                let value: Value =
                    serde_json::from_slice(frame.data).map_err(|error| DecodeError::json(FORMAT, &error))?;
                self.unknown(value, out)
            }
        }
    }

    fn event(&mut self, mut event: Event<'_>, frame: &Frame<'_>, out: &mut Events) -> Result<(), DecodeError> {
        let named = event.kind.take();
        let kind = named.as_deref().or(frame.event).unwrap_or_default();
        match kind {
            "response.created" | "response.in_progress" => self.start(event.response.as_ref(), out),
            "response.output_item.added" => self.item_added(event, frame, out)?,
            "response.output_item.done" => self.item_done(event, out),
            "response.content_part.added" => self.part_added(&event, out),
            "response.content_part.done" => self.part_done(event, out),
            "response.output_text.delta" | "response.refusal.delta" => {
                let refusal = kind == "response.refusal.delta";
                self.text(&event, refusal, event.delta.as_deref(), false, out);
            }
            "response.output_text.done" => self.text(&event, false, event.text.as_deref(), true, out),
            "response.refusal.done" => self.text(&event, true, event.refusal.as_deref(), true, out),
            "response.output_text.annotation.added" => self.annotation(event, out),
            "response.reasoning_summary_part.added" => self.summary(&event, Some(""), false, out),
            "response.reasoning_summary_text.delta" => self.summary(&event, event.delta.as_deref(), false, out),
            "response.reasoning_summary_text.done" => self.summary(&event, event.text.as_deref(), true, out),
            "response.reasoning_summary_part.done" => {
                let text = event.part.as_ref().and_then(|part| part.get("text")).and_then(Value::as_str);
                self.summary(&event, text, true, out);
            }
            "response.reasoning_text.delta" => self.thinking(&event, event.delta.as_deref(), false, out),
            "response.reasoning_text.done" => self.thinking(&event, event.text.as_deref(), true, out),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(&event, event.delta.as_deref(), false, out);
            }
            "response.function_call_arguments.done" => self.arguments(&event, event.arguments.as_deref(), true, out),
            "response.custom_tool_call_input.done" => self.arguments(&event, event.input.as_deref(), true, out),
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled"
            | "response.done" => {
                self.terminal(event.response.unwrap_or_default(), out);
            }
            _ => {
                let value = serde_json::from_slice(frame.data).map_err(|error| DecodeError::json(FORMAT, &error))?;
                return self.unknown(value, out);
            }
        }
        Ok(())
    }

    /// Errors, and events of other types: steps of server tools and whatever comes next year.
    fn unknown(&mut self, value: Value, out: &mut Events) -> Result<(), DecodeError> {
        let Value::Object(fields) = &value else { return Err(DecodeError::new(FORMAT, "", "is not an object")) };
        match fields.get("type").and_then(Value::as_str) {
            Some("error") => self.error(fields, out),
            // Gateways in between send their own, as Chat has them.
            None if fields.contains_key("error") => self.error(fields, out),
            Some(_) => {
                self.start(fields.get("response").and_then(Value::as_object), out);
                out.push(StreamEvent::Raw { format: FORMAT, value });
            }
            None => {}
        }
        Ok(())
    }

    fn error(&mut self, fields: &Fields, out: &mut Events) {
        if self.failure.is_none() {
            self.start(None, out);
            self.failure = Some(error::decode_event(fields));
        }
    }

    pub(super) fn start(&mut self, answer: Option<&Fields>, out: &mut Events) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let text = |name: &str| answer.and_then(|answer| answer.get(name)?.as_str()).map(str::to_owned);
        out.push(StreamEvent::Start {
            id: text("id"),
            model: text("model"),
            created: answer.and_then(|answer| answer.get("created_at")).and_then(take::whole),
            extras: Extras::NONE,
        });
    }

    pub(super) fn begin_part(&mut self, head: PartHead, item_id: Option<String>, out: &mut Events) -> PartId {
        self.start(None, out);
        let id = self.next_part;
        self.next_part = self.next_part.saturating_add(1);
        self.called |= matches!(head, PartHead::ToolCall { .. });
        out.push(StreamEvent::PartStart { id, choice: 0, head, item_id });
        id
    }

    // --- items -------------------------------------------------------------------------------------------------------

    fn item_added(&mut self, event: Event<'_>, frame: &Frame<'_>, out: &mut Events) -> Result<(), DecodeError> {
        let Some(item) = event.item else { return Ok(()) };
        let index = event.output_index.unwrap_or_else(|| self.tracks.next_index());
        if self.begin_item(index, item, out) {
            return Ok(());
        }
        // The beginning of an item that arrives whole later.
        let value = serde_json::from_slice(frame.data).map_err(|error| DecodeError::json(FORMAT, &error))?;
        self.start(None, out);
        out.push(StreamEvent::Raw { format: FORMAT, value });
        Ok(())
    }

    /// Begins an item; `false` if it is one that is told whole.
    pub(super) fn begin_item(&mut self, index: u64, item: Fields, out: &mut Events) -> bool {
        if self.tracks.get(index).is_some_and(|track| !track.done) {
            self.leave(index, out);
        }
        let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
        let kind = text("type").unwrap_or_default();
        let item_id = ids::native(text("id"));
        let track = match kind.as_str() {
            "message" => {
                let (item_id, note, rest) = items::message_shell(item, Place::Answer);
                let mut extras = Extras::NONE;
                items::add_item_fields(&mut extras, note, rest);
                Track::new(index, Kind::Message, item_id, extras)
            }
            "reasoning" => {
                let carried = text("encrypted_content").as_deref().and_then(carrier::unwrap);
                let kind = if carried.is_some() { Kind::Whole } else { Kind::Reasoning };
                let minted = text("id").as_deref().is_some_and(ids::is_minted);
                let mut track = Track::new(index, kind, item_id.clone(), Extras::NONE);
                track.minted = minted;
                if kind == Kind::Reasoning {
                    track.part = Some(self.begin_part(PartHead::Reasoning, item_id, out));
                }
                track
            }
            "function_call" | "custom_tool_call" if item.get("name").is_some_and(Value::is_string) => {
                let custom = kind == "custom_tool_call";
                let kind = if custom { ToolCallKind::Custom } else { ToolCallKind::Function };
                let id = text("call_id").unwrap_or_default();
                let signature = self.signatures.iter().position(|(call_id, _)| *call_id == id);
                let head = PartHead::ToolCall {
                    id,
                    name: text("name").unwrap_or_default(),
                    namespace: text("namespace"),
                    kind,
                };
                let mut track = Track::new(index, Kind::Call(kind), item_id.clone(), Extras::NONE);
                let part = self.begin_part(head, item_id, out);
                track.part = Some(part);
                if let Some((_, signature)) = signature.map(|place| self.signatures.swap_remove(place)) {
                    out.push(StreamEvent::PartDelta { id: part, delta: Delta::Opaque(signature) });
                }
                track
            }
            _ => {
                self.tracks.insert(Track::new(index, Kind::Whole, item_id, Extras::NONE));
                return false;
            }
        };
        self.tracks.insert(track);
        true
    }

    fn item_done(&mut self, event: Event<'_>, out: &mut Events) {
        let Some(item) = event.item else { return };
        let index = event.output_index.unwrap_or_else(|| self.tracks.last_index());
        self.finish_item(index, item, out);
    }

    /// Catches up with the item as it ended, and ends it.
    fn finish_item(&mut self, index: u64, item: Fields, out: &mut Events) {
        let id = item.get("id").and_then(Value::as_str);
        // Some hosts give every item the same place.
        let next = |track: &Track| track.done && id.is_some() && track.item_id.as_deref() != id;
        if self.tracks.get(index).is_none_or(next) {
            self.begin_item(index, item.clone(), out);
        }
        match self.tracks.get(index).map(|track| (track.kind, track.done)) {
            Some((_, true)) | None => return,
            Some((Kind::Message, _)) => self.finish_message(index, item, out),
            Some((Kind::Reasoning, _)) => self.finish_reasoning(index, item, out),
            Some((Kind::Call(kind), _)) => self.finish_call(index, kind, item, out),
            Some((Kind::Whole, _)) => self.finish_whole(item, out),
        }
        if let Some(track) = self.tracks.get_mut(index) {
            track.done = true;
        }
    }

    fn finish_message(&mut self, index: u64, mut item: Fields, out: &mut Events) {
        let contents = match item.shift_remove("content") {
            Some(Value::Array(contents)) => contents,
            _ => Vec::new(),
        };
        for (inner, value) in (0u64..).zip(contents) {
            self.finish_content(index, inner, value, out);
        }
        self.end_contents(index, out);
    }

    /// Ends the content parts of a message.
    fn end_contents(&mut self, index: u64, out: &mut Events) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        for content in track.contents.iter_mut().filter(|content| !content.ended) {
            content.ended = true;
            out.push(StreamEvent::PartEnd { id: content.part });
        }
    }

    fn finish_reasoning(&mut self, index: u64, item: Fields, out: &mut Events) {
        let Item::Model(Part { content: Content::Reasoning(reasoning), extras, .. }) =
            items::decode(Value::Object(item), Place::Answer)
        else {
            return self.end_part(index, out);
        };
        let Some(track) = self.tracks.get_mut(index) else { return };
        let Some(id) = track.part else { return };
        let mut tell = |delta: Delta| out.push(StreamEvent::PartDelta { id, delta });
        for (place, text) in (0u32..).zip(&reasoning.summary) {
            if let Some(rest) = track.summary_rest(place, text) {
                tell(Delta::Summary { index: place, text: rest });
            }
        }
        // Thinking of another format came as a summary, and was passed on as thinking.
        if let Some(rest) = track.rest(&reasoning.text) {
            tell(Delta::Text(rest));
        }
        if let Some(opaque) = reasoning.opaque {
            tell(Delta::Opaque(opaque));
        }
        if !extras.is_empty() {
            tell(Delta::Extras(extras));
        }
        self.end_part(index, out);
    }

    fn finish_call(&mut self, index: u64, kind: ToolCallKind, item: Fields, out: &mut Events) {
        let field = if kind == ToolCallKind::Function { "arguments" } else { "input" };
        let whole = match item.get(field) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let extras = match items::decode(Value::Object(item), Place::Answer) {
            Item::Model(part) => part.extras,
            _ => Extras::NONE,
        };
        let Some(track) = self.tracks.get_mut(index) else { return };
        let Some(id) = track.part else { return };
        if let Some(rest) = track.rest(&whole) {
            out.push(StreamEvent::PartDelta { id, delta: Delta::Arguments(rest) });
        }
        if !extras.is_empty() {
            out.push(StreamEvent::PartDelta { id, delta: Delta::Extras(extras) });
        }
        self.end_part(index, out);
    }

    fn finish_whole(&mut self, item: Fields, out: &mut Events) {
        match items::decode(Value::Object(item), Place::Answer) {
            Item::Model(part) | Item::Result(part) => drop(self.whole(part, out)),
            Item::CallSignature(call_id, signature) => self.signatures.push((call_id, signature)),
            Item::Message(..) | Item::Tools(..) => {}
        }
    }

    pub(super) fn whole(&mut self, part: Part, out: &mut Events) -> PartId {
        let id = self.begin_part(PartHead::Whole(Box::new(part.content)), part.item_id, out);
        if !part.extras.is_empty() {
            out.push(StreamEvent::PartDelta { id, delta: Delta::Extras(part.extras) });
        }
        out.push(StreamEvent::PartEnd { id });
        id
    }

    pub(super) fn end_part(&mut self, index: u64, out: &mut Events) {
        if let Some(id) = self.tracks.get_mut(index).and_then(|track| track.part.take()) {
            out.push(StreamEvent::PartEnd { id });
        }
    }

    // --- the end -----------------------------------------------------------------------------------------------------

    fn terminal(&mut self, mut answer: Fields, out: &mut Events) {
        self.start(Some(&answer), out);
        let output = match answer.shift_remove("output") {
            Some(Value::Array(output)) => output,
            _ => Vec::new(),
        };
        // Some hosts tell items nowhere else. Places in this list are not `output_index`es: it may leave items out.
        if self.tracks.is_empty() {
            for (index, item) in (0u64..).zip(output) {
                if let Value::Object(item) = item {
                    self.finish_item(index, item, out);
                }
            }
        }
        self.end_everything(out);
        self.over = true;
        out.extend(
            answer.get("usage").and_then(|counted| usage::decode(counted, Some(&answer))).map(StreamEvent::Usage),
        );
        if self.failure.is_some() || answer.get("status").and_then(Value::as_str) == Some("failed") {
            let failure = self.failure.take().unwrap_or_else(|| error::decode_failed(&answer));
            out.push(StreamEvent::Error(failure));
            return;
        }
        let called = self.called;
        let finish = finish::decode_with(&answer, || called);
        let extras = response::envelope_extras(answer);
        if !extras.is_empty() {
            out.push(StreamEvent::ChoiceExtras { choice: 0, extras });
        }
        out.extend(finish.map(|finish| StreamEvent::Finish { choice: 0, finish }));
        out.push(StreamEvent::End);
    }

    /// Ends what the host left open.
    fn end_everything(&mut self, out: &mut Events) {
        for index in self.tracks.open() {
            self.leave(index, out);
        }
    }

    /// Ends an item that the host left open.
    fn leave(&mut self, index: u64, out: &mut Events) {
        self.end_part(index, out);
        self.end_contents(index, out);
        if let Some(track) = self.tracks.get_mut(index) {
            track.done = true;
        }
    }
}
