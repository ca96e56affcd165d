//! Parts one after another, for formats whose blocks must not interleave.
//!
//! The part that began first goes through as it comes, those that began meanwhile wait and follow in the order of their beginning.
//! Only the first choice goes through.

use std::collections::VecDeque;

use crate::fold::unfold;
use crate::ir::{ChatResponse, Choice, Content, Delta, Part, PartHead, PartId, StreamEvent};

/// What to write next.
#[derive(Debug)]
pub(crate) enum Step<'e> {
    /// The next part begins.
    Open(&'e PartHead),
    /// It grows.
    Grow(&'e Delta),
    /// It is over.
    Close,
}

/// Puts the parts of one stream in line.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    open: Option<PartId>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: PartId,
    head: PartHead,
    deltas: Vec<Delta>,
    ended: bool,
}

impl Sequence {
    /// Takes an event about a part; all others are ignored.
    pub(crate) fn push(&mut self, event: &StreamEvent, write: &mut dyn FnMut(Step<'_>)) {
        match event {
            StreamEvent::PartStart { id, choice: 0, head, .. } => {
                if self.open.is_none() {
                    self.open = Some(*id);
                    write(Step::Open(head));
                } else {
                    self.waiting.push_back(Waiting { id: *id, head: head.clone(), deltas: Vec::new(), ended: false });
                }
            }
            StreamEvent::PartDelta { id, delta } if self.open == Some(*id) => write(Step::Grow(delta)),
            StreamEvent::PartDelta { id, delta } => {
                if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == *id) {
                    hold(&mut waiting.deltas, delta);
                }
            }
            StreamEvent::PartEnd { id } if self.open == Some(*id) => self.close(write),
            StreamEvent::PartEnd { id } => {
                if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == *id) {
                    waiting.ended = true;
                }
            }
            _ => {}
        }
    }

    /// Writes everything that still waits: the stream is over.
    pub(crate) fn finish(&mut self, write: &mut dyn FnMut(Step<'_>)) {
        while self.open.is_some() {
            self.close(write);
        }
    }

    fn close(&mut self, write: &mut dyn FnMut(Step<'_>)) {
        self.open = None;
        write(Step::Close);
        while let Some(Waiting { id, head, deltas, ended }) = self.waiting.pop_front() {
            write(Step::Open(&head));
            deltas.iter().for_each(|delta| write(Step::Grow(delta)));
            if !ended {
                self.open = Some(id);
                return;
            }
            write(Step::Close);
        }
    }
}

/// A part that could have streamed but came whole, as the steps of its stream.
pub(crate) fn of_whole(content: &Content, write: &mut dyn FnMut(Step<'_>)) {
    let parts = vec![Part::new(content.clone())];
    let choice = Choice { parts, ..Choice::default() };
    for event in unfold(ChatResponse { choices: vec![choice], ..ChatResponse::default() }) {
        match event {
            StreamEvent::PartStart { head, .. } => write(Step::Open(&head)),
            StreamEvent::PartDelta { delta, .. } => write(Step::Grow(&delta)),
            StreamEvent::PartEnd { .. } => write(Step::Close),
            _ => {}
        }
    }
}

/// Adds a delta to those that wait; text grows in place.
fn hold(deltas: &mut Vec<Delta>, delta: &Delta) {
    match (deltas.last_mut(), delta) {
        (Some(Delta::Text(text)), Delta::Text(more)) | (Some(Delta::Arguments(text)), Delta::Arguments(more)) => {
            text.push_str(more);
        }
        _ => deltas.push(delta.clone()),
    }
}
