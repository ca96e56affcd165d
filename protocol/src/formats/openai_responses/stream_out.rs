//! Events → a stream for a client, and the answer that the stream amounts to.
//!
//! A whole answer is written by the same machine with its pen lifted (see [`super::response`]), so a stream and a whole answer never
//! differ in items, order or ids.
//!
//! An item is closed (`output_item.done`) when the next one begins or when the answer ends, not when its part ends: only then it is
//! known whether it is `completed` or was cut (`incomplete`). Clients such as Codex act on nothing but closed items.

use serde_json::Value;

use super::content::fields_of;
use super::envelope::{Envelope, Produced, write_raw};
use super::finish::{self, Status};
use super::parts_out::{OpenPart, SummarySource};
use super::slots::{Slot, SlotKind};
use super::take::{FORMAT, Fields};
use super::writer::Writer;
use super::{error, history, ids, items, media_out, usage};
use crate::ir::{Content, Delta, Extras, Finish, Loss, PartHead, PartId, StreamEvent, Usage};
use crate::{ApiError, ReplyContext, StreamEncoder};

/// Where the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was written.
    Fresh,
    /// `response.created` was written, `response.in_progress` not: `response.queued` may come between.
    Created,
    /// Items may come.
    Running,
    /// The terminal was written.
    Over,
}

/// Writes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) context: ReplyContext,
    pub(super) writer: Writer,
    pub(super) phase: Phase,
    pub(super) envelope: Option<Envelope>,
    pub(super) extras: Fields,
    pub(super) slots: Vec<Slot>,
    pub(super) open: Vec<OpenPart>,
    /// The item whose parts have all ended but which is not closed yet.
    pub(super) pending: Option<usize>,
    pub(super) usage: Option<Usage>,
    pub(super) finish: Option<Finish>,
    pub(super) losses: Vec<Loss>,
    /// The terminal response object.
    pub(super) answer: Option<Fields>,
    /// A stored answer that is streamed again: it echoes what it echoed.
    pub(super) stored: Option<Fields>,
}

impl Encoder {
    /// An encoder of one stream.
    pub(super) fn new(context: ReplyContext) -> Self {
        Self {
            context,
            writer: Writer::default(),
            phase: Phase::Fresh,
            envelope: None,
            extras: Fields::new(),
            slots: Vec::new(),
            open: Vec::new(),
            pending: None,
            usage: None,
            finish: None,
            losses: Vec::new(),
            answer: None,
            stored: None,
        }
    }

    /// Reports a loss once.
    pub(super) fn lose(&mut self, loss: Loss) {
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    // --- the frame around the items ----------------------------------------------------------------------------------

    pub(super) fn start(&mut self, id: Option<&str>, model: Option<&str>, created: Option<u64>, out: &mut Vec<u8>) {
        if self.phase != Phase::Fresh {
            return;
        }
        let model = if self.context.model.is_empty() { model.unwrap_or_default() } else { &self.context.model };
        let id = ids::response(id, &self.context.id);
        let mut envelope = Envelope::new(id, created.unwrap_or(self.context.created), model.to_owned(), &self.context);
        if let Some(stored) = &self.stored {
            envelope.echo_stored(stored);
        }
        let snapshot = envelope.render(Produced::nothing("in_progress"));
        self.writer.response(out, "response.created", &snapshot);
        self.envelope = Some(envelope);
        self.phase = Phase::Created;
    }

    /// Writes what must stand before any item.
    pub(super) fn run(&mut self, out: &mut Vec<u8>) {
        self.start(None, None, None, out);
        if self.phase == Phase::Created {
            self.snapshot("response.in_progress", "in_progress", out);
            self.phase = Phase::Running;
        }
    }

    pub(super) fn snapshot(&mut self, kind: &str, status: &str, out: &mut Vec<u8>) {
        if let Some(envelope) = &self.envelope {
            let snapshot = envelope.render(Produced::nothing(status));
            self.writer.response(out, kind, &snapshot);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.run(out);
        let finish = self.finish.take();
        let status = finish.as_ref().map_or(Status::Completed, finish::encode);
        if finish.is_none() {
            self.close_all(status, out);
        }
        let produced = Produced::nothing("").ended(status);
        let kind = match status {
            Status::Completed => "response.completed",
            Status::Incomplete(_) | Status::Cancelled => "response.incomplete",
            Status::Failed(_) => "response.failed",
        };
        self.terminal(kind, produced, out);
    }

    fn fail(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        self.run(out);
        // As recorded, with the fields nested; and as documented, with the fields flat.
        let nested = error::object(error);
        let mut event = fields_of(nested.clone());
        event.shift_remove("type");
        event.insert("error".to_owned(), nested);
        event.extend(error.request_id.as_ref().map(|id| ("request_id".to_owned(), id.as_str().into())));
        self.writer.fields(out, "error", event.iter());
        let produced = Produced { error: error::failed(error), ..Produced::nothing("failed") };
        self.terminal("response.failed", produced, out);
    }

    fn terminal(&mut self, kind: &str, produced: Produced<'_>, out: &mut Vec<u8>) {
        let output = self.slots.iter().filter_map(|slot| slot.done.clone()).collect();
        let extras = std::mem::take(&mut self.extras);
        let counted = self.usage.take();
        let tier = counted.as_ref().and_then(usage::tier_that_answered).map(str::to_owned);
        let produced = Produced {
            output,
            usage: usage::encode(counted.as_ref()),
            service_tier: tier.as_deref(),
            extras: Some(&extras),
            ..produced
        };
        if let Some(envelope) = &self.envelope {
            let answer = envelope.render(produced);
            self.writer.response(out, kind, &answer);
            self.answer = Some(answer);
        }
        self.phase = Phase::Over;
    }

    // --- items -------------------------------------------------------------------------------------------------------

    /// Begins an item; the one before is closed.
    pub(super) fn begin(
        &mut self,
        kind: SlotKind,
        item_id: Option<&str>,
        first: impl FnOnce(&str) -> Fields,
        out: &mut Vec<u8>,
    ) -> usize {
        self.settle(out);
        let index = self.slots.len();
        let id = item_id.map_or_else(|| ids::mint(kind.prefix(), &self.context.id, index), str::to_owned);
        let item = Value::Object(first(&id));
        self.writer.item(out, "response.output_item.added", index, &item);
        self.slots.push(Slot::new(kind, id, item_id.map(str::to_owned)));
        index
    }

    /// Closes an item for good.
    pub(super) fn close(&mut self, index: usize, item: Fields, out: &mut Vec<u8>) {
        let item = Value::Object(item);
        self.writer.item(out, "response.output_item.done", index, &item);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.done = Some(item);
            slot.fields = Fields::new();
        }
    }

    /// Closes the item that waits for it, because something follows.
    pub(super) fn settle(&mut self, out: &mut Vec<u8>) {
        if let Some(index) = self.pending.take() {
            self.close_as("completed", index, out);
        }
    }

    fn close_as(&mut self, status: &str, index: usize, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.done.is_none()) else { return };
        let item = slot.finish(status);
        self.close(index, item, out);
    }

    /// The answer ends: everything is closed, the last item with how it ended.
    fn close_all(&mut self, status: Status<'_>, out: &mut Vec<u8>) {
        let open: Vec<PartId> = self.open.iter().map(|part| part.id).collect();
        for id in open {
            self.part_end(id, out);
        }
        self.pending = None;
        let last = self.slots.len().saturating_sub(1);
        for index in 0..self.slots.len() {
            let status = if index == last { status.of_last_item() } else { "completed" };
            self.close_as(status, index, out);
        }
    }

    pub(super) fn wait(&mut self, index: usize, out: &mut Vec<u8>) {
        if self.pending != Some(index) {
            self.settle(out);
        }
        if index + 1 == self.slots.len() {
            self.pending = Some(index);
        } else {
            self.close_as("completed", index, out);
        }
    }

    // --- parts -------------------------------------------------------------------------------------------------------

    fn part_start(&mut self, id: PartId, choice: u32, head: &PartHead, item_id: Option<&String>, out: &mut Vec<u8>) {
        if choice != 0 {
            self.lose(Loss::new("choices", FORMAT, "there is only one answer"));
            return;
        }
        self.run(out);
        self.open.push(OpenPart::new(id, head, item_id.cloned()));
        if *head == PartHead::Reasoning {
            self.with_part(id, |encoder, part| encoder.open_reasoning(part, out));
        }
    }

    /// Takes a part out while it is worked on.
    fn with_part(&mut self, id: PartId, work: impl FnOnce(&mut Self, &mut OpenPart)) {
        let Some(place) = self.open.iter().rposition(|part| part.id == id) else { return };
        let mut part = self.open.swap_remove(place);
        work(self, &mut part);
        self.open.push(part);
    }

    fn part_delta(&mut self, id: PartId, delta: &Delta, out: &mut Vec<u8>) {
        self.with_part(id, |encoder, part| encoder.grow(part, delta, out));
    }

    fn grow(&mut self, part: &mut OpenPart, delta: &Delta, out: &mut Vec<u8>) {
        match (&part.part.content, delta) {
            (_, Delta::Extras(more)) => part.add_extras(more, &mut self.losses),
            (_, Delta::ItemId(id)) if part.slot.is_none() => part.part.item_id = Some(id.clone()),
            (Content::Text(_), Delta::Text(text)) => self.grow_text(part, text, out),
            (Content::Refusal(_), Delta::Text(text)) => self.grow_refusal(part, text, out),
            (Content::Text(_), Delta::Citation(citation)) => self.cite(part, citation, out),
            (Content::Reasoning(_), Delta::Text(text)) if part.thinks_openly() => self.grow_thinking(part, text, out),
            (Content::Reasoning(_), Delta::Text(text)) => self.grow_summary(part, SummarySource::Thinking, text, out),
            (Content::Reasoning(_), Delta::Summary { index, text }) => {
                self.grow_summary(part, SummarySource::Own(*index), text, out);
            }
            (Content::ToolCall(_), Delta::Arguments(text)) => self.grow_arguments(part, text, out),
            (_, Delta::Opaque(blob)) => match &mut part.part.content {
                Content::Reasoning(reasoning) => reasoning.opaque = Some(blob.clone()),
                Content::ToolCall(call) => call.signature = Some(blob.clone()),
                _ => {}
            },
            _ => {}
        }
    }

    fn part_end(&mut self, id: PartId, out: &mut Vec<u8>) {
        let Some(place) = self.open.iter().rposition(|part| part.id == id) else { return };
        let mut part = self.open.swap_remove(place);
        match &part.part.content {
            Content::Text(_) | Content::Refusal(_) => self.end_content(&mut part, out),
            Content::Reasoning(_) => self.end_reasoning(&mut part, out),
            Content::ToolCall(_) => self.end_call(&mut part, out),
            Content::Native(native) if native.format == FORMAT && items::is_content_part(&part.part.extras) => {
                self.end_content(&mut part, out);
            }
            Content::Native(native) => {
                let native = native.clone();
                self.native(native, out);
            }
            Content::Media(media) => match media_out::image_item(media) {
                Some(fields) => self.whole(SlotKind::Image, part.part.item_id.as_deref(), fields, out),
                None => self.lose(Loss::new("media", FORMAT, "answers hold images alone, and those inline")),
            },
            Content::ToolResult(result) => {
                let extras = &part.part.extras;
                let mut fields = history::result_item(result, &result.call_id, extras, "result", &mut self.losses);
                super::content::add_extras(&mut fields, extras);
                self.whole(SlotKind::Output, part.part.item_id.as_deref(), fields, out);
            }
        }
    }

    fn keep_extras(&mut self, extras: &Extras) {
        super::content::lose_foreign(extras, "choice", &mut self.losses);
        for (name, value) in extras.for_format(FORMAT).into_iter().flatten() {
            self.extras.insert(name.clone(), value.clone());
        }
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.phase == Phase::Over {
            return;
        }
        match event {
            StreamEvent::Start { id, model, created, extras } => {
                self.keep_extras(extras);
                self.start(id.as_deref(), model.as_deref(), *created, out);
            }
            StreamEvent::PartStart { id, choice, head, item_id } => {
                self.part_start(*id, *choice, head, item_id.as_ref(), out)
            }
            StreamEvent::PartDelta { id, delta } => self.part_delta(*id, delta, out),
            StreamEvent::PartEnd { id } => self.part_end(*id, out),
            StreamEvent::Finish { choice: 0, finish } => {
                self.run(out);
                self.close_all(finish::encode(finish), out);
                self.finish = Some(finish.clone());
            }
            StreamEvent::Finish { .. } => {}
            StreamEvent::Usage(usage) => self.usage.get_or_insert_default().update(usage.clone()),
            StreamEvent::ChoiceExtras { choice: 0, extras } => self.keep_extras(extras),
            StreamEvent::ChoiceExtras { .. } => {}
            StreamEvent::Raw { format, value } if *format == FORMAT => self.raw(value, out),
            StreamEvent::Raw { .. } => {}
            StreamEvent::Error(error) => self.fail(error, out),
            StreamEvent::End => self.end(out),
        }
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        write_raw(out, format_args!(": keep-alive\n\n"));
    }

    fn losses(&mut self) -> Vec<Loss> {
        let mut losses = std::mem::take(&mut self.losses);
        losses.dedup();
        losses
    }
}
