//! The grammar of events (see [`crate::ir::StreamEvent`]), as a checker for tests and debug builds.
//!
//! Owns the grammar and nothing else: what an event means is the business of [`crate::fold`] and the codecs. One leniency over the grammar as
//! written: a stream that fails ([`StreamEvent::Error`]) or is cut may leave parts open, since the provider left them open.

use crate::ir::{Delta, PartHead, PartId, StreamEvent};

/// Checks the events of one stream, one by one.
#[derive(Debug, Default)]
pub struct Laws {
    seen: usize,
    next_part: PartId,
    open: Vec<OpenPart>,
    finished: Vec<u32>,
    over: bool,
}

#[derive(Debug)]
struct OpenPart {
    id: PartId,
    choice: u32,
    kind: PartKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartKind {
    Text,
    Refusal,
    Reasoning,
    ToolCall,
    Whole,
}

/// A law that an event broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {index}: {law}")]
pub struct BrokenLaw {
    /// Which event of the stream, counted from 0.
    pub index: usize,
    /// The law, as a lowercase sentence.
    pub law: &'static str,
}

impl Laws {
    /// Takes the next event of the stream.
    pub fn check(&mut self, event: &StreamEvent) -> Result<(), BrokenLaw> {
        let index = self.seen;
        self.seen += 1;
        self.judge(index, event).map_err(|law| BrokenLaw { index, law })
    }

    fn judge(&mut self, index: usize, event: &StreamEvent) -> Result<(), &'static str> {
        demand(!self.over, "nothing follows the end or an error")?;
        match event {
            StreamEvent::Start { .. } => demand(index == 0, "the start comes first"),
            StreamEvent::PartStart { id, choice, head, .. } => self.part_starts(*id, *choice, head),
            StreamEvent::PartDelta { id, delta } => {
                let part = self.open.iter().find(|part| part.id == *id).ok_or("a delta belongs to an open part")?;
                demand(may_grow_by(part.kind, delta), "a part grows by deltas of its own kind")
            }
            StreamEvent::PartEnd { id } => {
                let at = self.open.iter().position(|part| part.id == *id).ok_or("only an open part ends")?;
                self.open.swap_remove(at);
                Ok(())
            }
            StreamEvent::Finish { choice, .. } => {
                demand(!self.finished.contains(choice), "a choice finishes once")?;
                demand(self.open.iter().all(|part| part.choice != *choice), "a choice finishes after its last part")?;
                self.finished.push(*choice);
                Ok(())
            }
            StreamEvent::End => {
                self.over = true;
                demand(self.open.is_empty(), "every part has ended before the end")
            }
            StreamEvent::Error(_) => {
                self.over = true;
                Ok(())
            }
            StreamEvent::Usage(_) | StreamEvent::ChoiceExtras { .. } | StreamEvent::Raw { .. } => Ok(()),
        }
    }

    fn part_starts(&mut self, id: PartId, choice: u32, head: &PartHead) -> Result<(), &'static str> {
        demand(id == self.next_part, "parts are numbered 0, 1, 2 in order of appearance")?;
        demand(!self.finished.contains(&choice), "no part begins after its choice finished")?;
        self.next_part += 1;
        self.open.push(OpenPart { id, choice, kind: kind_of(head) });
        Ok(())
    }
}

/// Checks a whole stream.
pub fn check<'a>(events: impl IntoIterator<Item = &'a StreamEvent>) -> Result<(), BrokenLaw> {
    let mut laws = Laws::default();
    events.into_iter().try_for_each(|event| laws.check(event))
}

fn demand(holds: bool, law: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(law) }
}

fn kind_of(head: &PartHead) -> PartKind {
    match head {
        PartHead::Text => PartKind::Text,
        PartHead::Refusal => PartKind::Refusal,
        PartHead::Reasoning => PartKind::Reasoning,
        PartHead::ToolCall { .. } => PartKind::ToolCall,
        PartHead::Whole(_) => PartKind::Whole,
    }
}

fn may_grow_by(kind: PartKind, delta: &Delta) -> bool {
    match delta {
        Delta::Text(_) => matches!(kind, PartKind::Text | PartKind::Refusal | PartKind::Reasoning),
        Delta::Citation(_) => kind == PartKind::Text,
        Delta::Summary { .. } => kind == PartKind::Reasoning,
        Delta::Arguments(_) => kind == PartKind::ToolCall,
        Delta::Opaque(_) => matches!(kind, PartKind::Reasoning | PartKind::ToolCall),
        Delta::Extras(_) | Delta::ItemId(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Content, Extras, Finish, FinishReason, MediaKind, MediaSource, Part, Usage};
    use crate::{ApiError, ApiErrorKind};

    fn start() -> StreamEvent {
        StreamEvent::Start { id: None, model: None, created: None, extras: Extras::NONE }
    }

    fn part(id: PartId, choice: u32, head: PartHead) -> StreamEvent {
        StreamEvent::PartStart { id, choice, head, item_id: None }
    }

    fn text(id: PartId) -> StreamEvent {
        StreamEvent::PartDelta { id, delta: Delta::Text("a".into()) }
    }

    fn end(id: PartId) -> StreamEvent {
        StreamEvent::PartEnd { id }
    }

    fn finish(choice: u32) -> StreamEvent {
        StreamEvent::Finish { choice, finish: Finish::new(FinishReason::Stop) }
    }

    #[test]
    fn streams_within_the_grammar_pass() {
        let usage = || StreamEvent::Usage(Usage::default());
        let error = || StreamEvent::Error(ApiError::new(ApiErrorKind::Upstream, "x"));
        let media = Part::new(Content::Media(crate::ir::Media {
            kind: MediaKind::Image,
            source: MediaSource::Url("u".into()),
            media_type: None,
            name: None,
            detail: None,
        }));
        let streams = [
            vec![],
            vec![StreamEvent::End],
            vec![start(), part(0, 0, PartHead::Text), text(0), end(0), finish(0), usage(), StreamEvent::End],
            vec![
                part(0, 0, PartHead::Text),
                part(1, 1, PartHead::Reasoning),
                text(1),
                text(0),
                end(1),
                finish(1),
                end(0),
                finish(0),
                StreamEvent::End,
            ],
            [vec![start()], StreamEvent::whole(0, 0, media).into(), vec![StreamEvent::End]].concat(),
            vec![start(), part(0, 0, PartHead::Text), text(0), error()],
            vec![start(), part(0, 0, PartHead::Text), text(0)],
        ];
        for stream in streams {
            assert_eq!(check(&stream), Ok(()), "{stream:?}");
        }
    }

    #[test]
    fn every_law_is_reported_at_the_event_that_breaks_it() {
        let call =
            || PartHead::ToolCall { id: "a".into(), name: "b".into(), namespace: None, kind: Default::default() };
        let table = [
            ("the start comes first", vec![finish(0), start()]),
            ("nothing follows the end or an error", vec![StreamEvent::End, finish(0)]),
            ("parts are numbered 0, 1, 2 in order of appearance", vec![part(1, 0, PartHead::Text)]),
            ("parts are numbered 0, 1, 2 in order of appearance", vec![part(0, 0, call()), part(0, 0, call())]),
            ("no part begins after its choice finished", vec![finish(0), part(0, 0, PartHead::Text)]),
            ("a delta belongs to an open part", vec![part(0, 0, PartHead::Text), end(0), text(0)]),
            ("a part grows by deltas of its own kind", vec![part(0, 0, call()), text(0)]),
            ("only an open part ends", vec![end(0)]),
            ("a choice finishes once", vec![finish(0), finish(0)]),
            ("a choice finishes after its last part", vec![part(0, 0, PartHead::Text), finish(0)]),
            ("every part has ended before the end", vec![part(0, 0, PartHead::Text), StreamEvent::End]),
        ];
        for (law, stream) in table {
            assert_eq!(check(&stream), Err(BrokenLaw { index: stream.len() - 1, law }));
        }
    }
}
