//! One record while several look for the answer: each has a record of its own until one has it; then all their attempts stand in one, and all is paid.

use std::sync::{Arc, Mutex, PoisonError};

use myelin_protocol::ir::Usage;

use super::{End, Settle};
use crate::model::AttemptRecord;
use crate::pipeline::money::Money;
use crate::pipeline::quota::{self, Quota};
use crate::pricing::Quote;

/// What those who did not give the answer left behind.
pub(super) type Aside = Arc<Mutex<Left>>;

/// Attempts, and what channels' limits count of them.
#[derive(Default)]
pub(super) struct Left {
    attempts: Vec<Beside>,
    quota: Quota,
}

/// An attempt of one of them, what it used as far as that is known, and at which price.
type Beside = (AttemptRecord, Option<(Usage, Arc<Quote>)>);

/// How an attempt came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Side {
    /// Another one was late.
    pub hedged: bool,
    /// It runs against others.
    pub raced: bool,
}

/// The record of one request while several look for its answer.
pub(crate) struct Contest {
    /// The one that is written.
    settle: Settle,
    aside: Aside,
}

impl Settle {
    /// Several look for the answer from here on.
    pub(crate) fn contest(self) -> Contest {
        Contest { settle: self, aside: Aside::default() }
    }

    /// One of several gives up, or did not win: what it did goes to the others. Nothing happens to one that looks alone.
    pub(super) fn step_aside(&mut self) {
        let Some(aside) = self.aside.take() else { return };
        self.end_attempt(End::Canceled);
        let used = self.record.usage.take().filter(|usage| !usage.is_unknown());
        let mut own: Vec<Beside> = Vec::new();
        for (index, attempt) in std::mem::take(&mut self.record.attempts).into_iter().enumerate() {
            let lost = attempt.usage.clone().zip(self.money.lost_at(index));
            own.push((attempt, lost));
        }
        if let (Some(usage), Some((_, last))) = (used, own.last_mut()) {
            *last = Some((usage, self.money.quote()));
        }
        let sent = own.iter().any(|(attempt, _)| quota::was_sent(attempt));
        self.quota.attempt_failed(&self.services, sent);
        let mut left = aside.lock().unwrap_or_else(PoisonError::into_inner);
        left.attempts.append(&mut own);
        left.quota.absorb(std::mem::take(&mut self.quota));
        self.done = true;
    }
}

impl Contest {
    /// A record for one of those who look.
    pub(crate) fn entrant(&self, side: Side) -> Settle {
        Settle {
            services: self.settle.services.clone(),
            record: self.settle.record.clone(),
            begun_us: self.settle.begun_us,
            strict: self.settle.strict,
            attempt_open: false,
            flight: self.settle.flight.clone(),
            capture: None,
            money: Money::default(),
            quota: self.settle.quota.entrant(),
            done: false,
            told: None,
            aside: Some(self.aside.clone()),
            side,
            conversation: self.settle.conversation,
            errand: self.settle.errand,
            probe: None,
        }
    }

    /// This one has the answer: what it noted counts. All others must be gone by now; what they used is paid all the same.
    pub(crate) fn won(self, winner: Settle) -> Settle {
        self.taken_over(winner, true)
    }

    /// This one was the last of those who gave the answer together: `usage` is what all of them used.
    pub(crate) fn merged(self, last: Settle, usage: Option<Usage>) -> Settle {
        let mut settle = self.taken_over(last, false);
        settle.record.usage = usage;
        settle
    }

    /// Nobody has it: what the last one noted counts.
    pub(crate) fn lost(self, last: Settle) -> Settle {
        self.taken_over(last, true)
    }

    fn taken_over(mut self, mut from: Settle, others_are_paid: bool) -> Settle {
        // Its own tries come last, as an open one must.
        let beside = self.take_aside();
        let before = beside.len();
        self.settle.quota.absorb(std::mem::take(&mut from.quota));
        let own = std::mem::take(&mut from.record.attempts);
        std::mem::swap(&mut self.settle.record, &mut from.record);
        std::mem::swap(&mut self.settle.money, &mut from.money);
        self.settle.attempt_open = std::mem::take(&mut from.attempt_open);
        self.settle.errand = from.errand;
        self.settle.money.shift(before);
        let mut paid = Vec::new();
        for (index, (attempt, used)) in beside.into_iter().enumerate() {
            self.settle.record.attempts.insert(index, attempt);
            paid.extend(used.map(|(usage, quote)| (index, usage, quote)));
        }
        self.settle.record.attempts.extend(own);
        for (index, usage, quote) in paid.into_iter().filter(|_| others_are_paid) {
            self.settle.money.lose(&mut self.settle.record, index, usage, quote);
        }
        drop(from);
        self.finished()
    }

    fn take_aside(&mut self) -> Vec<Beside> {
        let left = std::mem::take(&mut *self.aside.lock().unwrap_or_else(PoisonError::into_inner));
        self.settle.quota.absorb(left.quota);
        let mut attempts = left.attempts;
        attempts.sort_by_key(|(attempt, _)| attempt.offset_us);
        attempts
    }

    fn finished(mut self) -> Settle {
        self.settle.replace_by_hollow()
    }
}

impl Drop for Contest {
    /// The client left while they looked.
    fn drop(&mut self) {
        if !self.settle.done {
            for (attempt, used) in self.take_aside() {
                let index = self.settle.record.attempts.len();
                self.settle.record.attempts.push(attempt);
                if let Some((usage, quote)) = used {
                    self.settle.money.lose(&mut self.settle.record, index, usage, quote);
                }
            }
        }
    }
}
