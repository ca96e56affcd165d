//! Whether a virtual key's traffic is out of the ordinary: too many requests that are wrong, or far more spend than usual. Such a key is held back for a while.
//!
//! What counts is the key's own doing: a provider's bad day holds nobody back. Time and rules come in from outside.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::registry::{Named, Names};
use super::{Errand, FOR_GOOD};
use crate::model::{KeyBreaker, NanoUsd};

/// Parts of one window.
const PARTS: u64 = 10;
/// Windows that are remembered beside the present one, to know what is usual.
const BEFORE: u64 = 12;
/// Windows with spend that are needed to call anything usual.
const ENOUGH: u64 = 3;

/// The traffic of one key.
#[derive(Debug)]
pub struct KeyLive {
    id: Box<str>,
    /// Held back up to then; 0: not.
    until: AtomicU64,
    watched: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rules: KeyBreaker,
    parts: VecDeque<Part>,
    why: String,
    since: u64,
}

/// What came in a tenth of a window.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// The number of the tenth since 1970.
    number: u64,
    requests: u64,
    wrong: u64,
    nanos: u64,
}

/// A key that is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeldKey {
    /// Id of the key.
    pub key: String,
    /// What was out of the ordinary.
    pub why: String,
    /// Since when; milliseconds since 1970.
    pub since: u64,
    /// Up to when; `null`: until it is released.
    pub until: Option<u64>,
}

/// One request of a key that is over.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// It failed by its own fault.
    pub wrong: bool,
    /// What it cost, in nanodollars.
    pub nanos: u64,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}

impl Named for KeyLive {
    fn names(&self) -> Names<'_> {
        (&self.id, "", Errand::Conversation)
    }
}

impl KeyLive {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.into(), until: AtomicU64::new(0), watched: AtomicBool::new(false), inner: Mutex::default() }
    }

    /// From now on these rules hold. Without any, nothing holds the key back, what held it so far neither.
    pub(crate) fn follow(&self, rules: Option<&KeyBreaker>) {
        let rules = rules.filter(|rules| rules.watches());
        self.watched.store(rules.is_some(), Ordering::Relaxed);
        let mut inner = self.lock();
        let rules = rules.cloned().unwrap_or_default();
        if inner.rules.window_seconds() != rules.window_seconds() {
            inner.parts.clear();
        }
        inner.rules = rules;
    }

    /// Why it is held back now, if it is.
    pub fn held(&self, now_ms: u64) -> Option<HeldKey> {
        let until = self.until.load(Ordering::Relaxed);
        if now_ms >= until || !self.watched.load(Ordering::Relaxed) {
            return None;
        }
        let inner = self.lock();
        let ends = (until != FOR_GOOD).then_some(until);
        Some(HeldKey { key: self.id.to_string(), why: inner.why.clone(), since: inner.since, until: ends })
    }

    /// A request of it is over. Tells if it is held back from now on.
    pub fn note(&self, spent: Spent) -> Option<HeldKey> {
        if !self.watched.load(Ordering::Relaxed) {
            return None;
        }
        let now_ms = spent.now_ms;
        let mut inner = self.lock();
        inner.add(spent);
        if now_ms < self.until.load(Ordering::Relaxed) {
            return None;
        }
        let why = inner.unusual()?;
        let until = match inner.rules.hold_seconds() {
            0 => FOR_GOOD,
            seconds => now_ms.saturating_add(seconds.saturating_mul(1_000)),
        };
        // What led to this is neither counted again nor usual.
        let window = inner.present(now_ms);
        inner.parts.retain(|part| part.number < window);
        inner.why.clone_from(&why);
        inner.since = now_ms;
        drop(inner);
        self.until.store(until, Ordering::Relaxed);
        let ends = (until != FOR_GOOD).then_some(until);
        Some(HeldKey { key: self.id.to_string(), why, since: now_ms, until: ends })
    }

    /// Lets it go on; whether it was held back.
    pub(crate) fn release(&self, now_ms: u64) -> bool {
        self.until.swap(0, Ordering::Relaxed) > now_ms
    }

    pub(super) fn restore(&self, held: &HeldKey) {
        let mut inner = self.lock();
        inner.why.clone_from(&held.why);
        inner.since = held.since;
        self.until.store(held.until.unwrap_or(FOR_GOOD), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn part_ms(&self) -> u64 {
        (self.rules.window_seconds().saturating_mul(1_000) / PARTS).max(1)
    }

    /// The first tenth of the present window.
    fn present(&self, now_ms: u64) -> u64 {
        (now_ms / self.part_ms()).saturating_sub(PARTS - 1)
    }

    fn add(&mut self, spent: Spent) {
        let number = spent.now_ms / self.part_ms();
        let oldest = number.saturating_sub(PARTS * (BEFORE + 1) - 1);
        while self.parts.front().is_some_and(|part| part.number < oldest) {
            self.parts.pop_front();
        }
        if self.parts.back().is_none_or(|last| last.number < number) {
            self.parts.push_back(Part { number, ..Part::default() });
        }
        if let Some(last) = self.parts.back_mut() {
            last.requests += 1;
            last.wrong += u64::from(spent.wrong);
            last.nanos = last.nanos.saturating_add(spent.nanos);
        }
    }

    /// What is out of the ordinary in the present window, in words.
    fn unusual(&self) -> Option<String> {
        let newest = self.parts.back()?.number;
        let first = newest.saturating_sub(PARTS - 1);
        let now: Vec<&Part> = self.parts.iter().filter(|part| part.number >= first).collect();
        let sum = |of: fn(&Part) -> u64| now.iter().fold(0_u64, |sum, part| sum.saturating_add(of(part)));
        let (requests, wrong, nanos) = (sum(|part| part.requests), sum(|part| part.wrong), sum(|part| part.nanos));
        let rules = &self.rules;
        let percent = u64::from(rules.error_percent.unwrap_or(0));
        if percent > 0 && requests >= rules.least_requests() && wrong * 100 >= requests * percent {
            return Some(format!("{wrong} of its last {requests} requests were wrong"));
        }
        let times = u64::from(rules.spend_times.unwrap_or(0));
        let usual = self.usual(first).filter(|_| times > 0)?;
        let over = nanos > usual.saturating_mul(times) && nanos >= rules.least_spend_nanos();
        let dollars = |nanos: u64| NanoUsd(i64::try_from(nanos).unwrap_or(i64::MAX)).to_string();
        over.then(|| {
            let (spent, usual) = (dollars(nanos), dollars(usual));
            format!("it spent {spent} USD in {} s and usually spends {usual}", rules.window_seconds())
        })
    }

    /// What it spends in a window in which it spends anything, in the windows before; `None`: too little is known.
    fn usual(&self, first: u64) -> Option<u64> {
        let mut sums = [0_u64; BEFORE as usize];
        for part in self.parts.iter().filter(|part| part.number < first) {
            let back = usize::try_from((first - 1 - part.number) / PARTS).ok();
            if let Some(sum) = back.and_then(|back| sums.get_mut(back)) {
                *sum = sum.saturating_add(part.nanos);
            }
        }
        let with_spend = sums.iter().filter(|sum| **sum > 0).count() as u64;
        let all = sums.iter().fold(0_u64, |all, sum| all.saturating_add(*sum));
        (with_spend >= ENOUGH).then(|| all / with_spend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000;
    const CENT: u64 = 10_000_000;

    fn watched(rules: serde_json::Value) -> KeyLive {
        let key = KeyLive::new("key_1");
        key.follow(Some(&serde_json::from_value(rules).unwrap()));
        key
    }

    fn spent(now_ms: u64, wrong: bool, nanos: u64) -> Spent {
        Spent { wrong, nanos, now_ms }
    }

    #[test]
    fn many_wrong_requests_hold_a_key_back_for_a_while_and_then_it_begins_anew() {
        let key = watched(serde_json::json!({"error_percent": 50, "least_requests": 10, "hold_seconds": 60}));
        for number in 0..9 {
            assert_eq!(key.note(spent(START + number, true, 0)), None, "too few to tell");
        }
        let held = key.note(spent(START + 9, false, 0)).expect("nine of ten were wrong");
        assert_eq!((held.until, held.since), (Some(START + 60_009), START + 9));
        assert_eq!(held.why, "9 of its last 10 requests were wrong");
        assert_eq!(key.held(START + 60_008), Some(held));
        assert_eq!(key.held(START + 60_009), None);
        assert_eq!(key.note(spent(START + 60_010, true, 0)), None, "what led to it is not counted again");
    }

    #[test]
    fn right_requests_and_old_ones_do_not_count_against_a_key() {
        let key = watched(serde_json::json!({"error_percent": 50, "least_requests": 10, "window_seconds": 60}));
        for number in 0..100 {
            assert_eq!(key.note(spent(START + number, number % 3 == 0, 0)), None, "a third is less than half");
        }
        for number in 0..9 {
            assert_eq!(key.note(spent(START + 70_000 + number, true, 0)), None, "the first hundred are long over");
        }
    }

    #[test]
    fn a_spike_of_spend_holds_a_key_back_until_it_is_released() {
        let key = watched(serde_json::json!({"spend_times": 5, "hold_seconds": 0}));
        for window in 0..4 {
            assert_eq!(key.note(spent(START + window * 300_000, false, 30 * CENT)), None);
        }
        let now = START + 4 * 300_000;
        assert_eq!(key.note(spent(now, false, 140 * CENT)), None, "not yet five times 30 cents");
        let held = key.note(spent(now + 1, false, 20 * CENT)).expect("more than five times");
        assert_eq!(held.until, None);
        assert!(held.why.contains("usually spends 0.3"), "{}", held.why);
        assert!(key.held(u64::MAX - 1).is_some());
        assert!(key.release(now + 2) && !key.release(now + 3));
        assert_eq!(key.held(now + 2), None);
    }

    #[test]
    fn little_money_is_no_spike_and_without_a_past_nothing_is_unusual() {
        let key = watched(serde_json::json!({"spend_times": 2}));
        assert_eq!(key.note(spent(START, false, 100_000 * CENT)), None, "nobody knows what is usual");
        let key = watched(serde_json::json!({"spend_times": 2, "least_spend_cents": 100}));
        for window in 0..6 {
            key.note(spent(START + window * 300_000, false, CENT));
        }
        assert_eq!(key.note(spent(START + 6 * 300_000, false, 50 * CENT)), None, "half a dollar is no harm");
    }

    #[test]
    fn a_key_that_is_not_watched_is_never_held() {
        let key = watched(serde_json::json!({"error_percent": 1, "least_requests": 1}));
        let held = key.note(spent(START, true, 0)).unwrap();
        key.follow(None);
        assert_eq!((key.held(START + 1), key.note(spent(START, true, 0))), (None, None));
        let next = watched(serde_json::json!({"error_percent": 1, "least_requests": 1}));
        next.restore(&held);
        assert_eq!(next.held(START + 1), Some(held));
    }
}
