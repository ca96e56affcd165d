//! What goes because it is old: records after some days, kept things after their end. In small batches, between commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use redb::ReadableTable as _;

use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::db::Db;
use crate::store::kept;
use crate::store::ledger::Books;
use crate::store::tables::REQUESTS;

/// Rows that go in one transaction: a long one would hold up all commits.
const BATCH: usize = 1_000;
/// Milliseconds between two rounds.
const EVERY_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;

/// What goes, and when it was last looked after.
pub(super) struct Upkeep {
    clock: Arc<dyn Clock>,
    books: Arc<Books>,
    /// 0: not told yet, nothing goes.
    days: AtomicU32,
    next: AtomicU64,
}

impl Upkeep {
    pub(super) fn new(clock: Arc<dyn Clock>, books: Arc<Books>) -> Self {
        Self { clock, books, days: AtomicU32::new(0), next: AtomicU64::new(0) }
    }

    /// Whether that is news.
    pub(super) fn keep_days(&self, days: u32) -> bool {
        let news = self.days.swap(days, Ordering::SeqCst) != days;
        if news {
            self.next.store(0, Ordering::SeqCst);
        }
        news
    }

    /// A round, if it is time. Stops early when traffic waits, and goes on at the next call.
    pub(super) fn run(&self, db: &Db, traffic_waits: impl Fn() -> bool) {
        let now = self.clock.unix_ms();
        if now < self.next.load(Ordering::SeqCst) {
            return;
        }
        // Before the work, not after: a new number of days that comes meanwhile asks for another round.
        self.next.store(now.saturating_add(EVERY_MS), Ordering::SeqCst);
        loop {
            match self.batch(db, now) {
                Ok(0) => break,
                Ok(_) if traffic_waits() => {
                    self.next.store(0, Ordering::SeqCst);
                    break;
                }
                Ok(_) => {}
                Err(why) => {
                    tracing::warn!(error = %why, "old records could not be removed");
                    break;
                }
            }
        }
    }

    /// Removes some; returns how many.
    fn batch(&self, db: &Db, now: u64) -> Result<usize, StoreError> {
        let days = u64::from(self.days.load(Ordering::SeqCst));
        let cutoff = if days == 0 { 0 } else { now.saturating_sub(days * DAY_MS) };
        let oldest = db.read(|txn| {
            let table = txn.open_table(REQUESTS)?;
            let oldest = table.first()?.map(|(key, _)| key.value());
            Ok(oldest.is_some_and(|key| key < first_key(cutoff)) || kept::any_ended(txn, now)?)
        })?;
        if !oldest {
            return Ok(0);
        }
        db.write(|txn| {
            let gone = self.books.retire(txn, first_key(cutoff), BATCH)?;
            Ok(gone + kept::remove_ended(txn, now, BATCH)?)
        })
    }
}

/// The smallest key of a record that began at that time: the first 48 bits of a UUIDv7 are milliseconds.
pub(in crate::store) fn first_key(unix_ms: u64) -> u128 {
    u128::from(unix_ms) << 80
}
