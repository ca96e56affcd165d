//! How far limits are used, for people; and forgetting what was used.

use super::table::LimitTable;

/// How far one limit is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitUsage {
    /// What was used in the window: requests, tokens or nanodollars.
    pub used: u64,
    /// What requests in flight hold.
    pub held: u64,
    /// How many requests wait for room.
    pub waiting: usize,
    /// When the window that is counted now began; milliseconds since 1970.
    pub since: Option<u64>,
    /// When everything that counts now will have left the window; milliseconds since 1970. `None`: never, or nothing counts by time.
    pub resets: Option<u64>,
}

impl LimitTable {
    /// How far a limit is used; `None`: there is none of that name.
    pub fn usage(&self, name: &str, now: u64) -> Option<LimitUsage> {
        let entry = self.entries().iter().find(|entry| entry.limit.name == name)?;
        let state = entry.counter.at(now);
        let by_time = entry.limit.per.is_some();
        Some(LimitUsage {
            used: state.used(),
            held: state.held(),
            waiting: state.waiting.len(),
            since: by_time.then(|| state.part().oldest).filter(|since| *since > 0),
            resets: entry.counter.empty_at(&state),
        })
    }

    /// Forgets what a limit has counted; what is in flight stays held. Returns its counter, for the store to forget too.
    pub fn reset(&self, name: &str) -> Option<u64> {
        let entry = self.entries().iter().find(|entry| entry.limit.name == name)?;
        let mut state = entry.counter.lock();
        state.reset();
        state.wake();
        Some(entry.counter.id)
    }

    /// What a counter has counted in a part of its window becomes more or less: a request was priced anew.
    pub fn shift(&self, counter: u64, at: u64, by: i64) {
        if let Some(entry) = self.entries().iter().find(|entry| entry.counter.id == counter) {
            let mut state = entry.counter.lock();
            state.shift(at, by);
            state.wake();
        }
    }

    /// Every counter with the moment from which what it counted still counts: what is older can be forgotten.
    pub fn kept_from(&self, now: u64) -> Vec<(u64, u64)> {
        self.entries().iter().map(|entry| (entry.counter.id, entry.counter.at(now).part().oldest)).collect()
    }
}
