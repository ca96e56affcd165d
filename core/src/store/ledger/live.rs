//! The records of the last moments, in the order in which they ended: what `logs -f` and the console's live view follow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::model::RequestRecord;

/// Records that are remembered: who is further behind reads the list instead.
const RECENT: usize = 512;

/// The records of the last moments.
#[derive(Debug)]
pub struct Live {
    ring: Mutex<VecDeque<(u64, Arc<RequestRecord>)>>,
    last: watch::Sender<u64>,
}

/// What came since a position.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveRecord {
    /// Records in the order in which they ended.
    pub records: Vec<Arc<RequestRecord>>,
    /// Position to ask from next time.
    pub next: u64,
    /// Some that came in between are no longer remembered.
    pub gap: bool,
}

impl Default for Live {
    fn default() -> Self {
        Self { ring: Mutex::default(), last: watch::Sender::new(0) }
    }
}

impl Live {
    /// Adds what was written.
    pub(in crate::store) fn push(&self, records: impl Iterator<Item = Arc<RequestRecord>>) {
        let mut ring = self.ring();
        let mut last = ring.back().map_or(0, |(position, _)| *position);
        let before = last;
        for record in records {
            last += 1;
            ring.push_back((last, record));
            if ring.len() > RECENT {
                ring.pop_front();
            }
        }
        drop(ring);
        if last != before {
            self.last.send_replace(last);
        }
    }

    /// The position of the newest record: ask from here to see only what comes.
    pub fn position(&self) -> u64 {
        *self.last.borrow()
    }

    /// What came after a position; empty if nothing did.
    pub fn after(&self, position: u64, limit: usize) -> LiveRecord {
        let ring = self.ring();
        let first = ring.front().map_or(0, |(position, _)| *position);
        // A position from before a restart is beyond all that is here.
        let lost_place = position > ring.back().map_or(0, |(position, _)| *position);
        let position = if lost_place { 0 } else { position };
        let found: Vec<_> = ring.iter().filter(|(own, _)| *own > position).take(limit).cloned().collect();
        let next = found.last().map_or(position, |(own, _)| *own);
        LiveRecord {
            gap: lost_place || (first > 0 && position + 1 < first),
            records: found.into_iter().map(|(_, record)| record).collect(),
            next,
        }
    }

    /// Waits until something came after a position. Cancel it with a timeout of your own.
    pub async fn wait(&self, position: u64) {
        let mut last = self.last.subscribe();
        // An error: the store is closed, and nothing comes any more.
        let _ = last.wait_for(|last| *last != position).await;
    }

    /// One that is remembered.
    pub(super) fn find(&self, id: &str) -> Option<Arc<RequestRecord>> {
        self.ring().iter().rev().find(|(_, record)| record.id == id).map(|(_, record)| Arc::clone(record))
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<(u64, Arc<RequestRecord>)>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(range: std::ops::Range<u32>) -> impl Iterator<Item = Arc<RequestRecord>> {
        range.map(|n| Arc::new(RequestRecord { id: n.to_string(), ..RequestRecord::default() }))
    }

    fn ids(live: &LiveRecord) -> Vec<&str> {
        live.records.iter().map(|record| record.id.as_str()).collect()
    }

    #[test]
    fn who_follows_misses_nothing() {
        let live = Live::default();
        assert_eq!(live.after(0, 10), LiveRecord::default());
        live.push(records(0..3));
        let first = live.after(0, 2);
        assert_eq!((ids(&first), first.next, first.gap), (vec!["0", "1"], 2, false));
        assert_eq!(ids(&live.after(first.next, 2)), ["2"]);
        assert_eq!(live.position(), 3);
    }

    #[test]
    fn who_fell_behind_or_saw_another_life_is_told() {
        let live = Live::default();
        live.push(records(0..RECENT as u32 + 10));
        assert!(live.after(0, 1).gap && live.after(5, 1).gap);
        assert!(!live.after(10, 1).gap);
        assert!(live.after(1_000_000, 1).gap);
    }

    #[tokio::test]
    async fn waiting_ends_when_something_comes() {
        let live = Arc::new(Live::default());
        let waiting = tokio::spawn({
            let live = Arc::clone(&live);
            async move { live.wait(0).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        live.push(records(0..1));
        waiting.await.unwrap();
    }
}
