//! What limits have counted: sums by counter and part of its window.
//!
//! They are added up in the transaction that writes the records which were counted, once a record: the sum of the records is the sum of the counters,
//! whatever happens to the process. Must not know what a counter counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadableTable, TableError, WriteTransaction};
use tokio::sync::oneshot;

use super::StoreError;
use super::db::Db;
use super::tables::COUNTERS;
use super::writer::{Job, Queue};
use crate::model::Charge;

/// What limits have counted.
pub struct Counters {
    queue: Arc<Queue>,
    db: Arc<Db>,
    at_start: Vec<(u64, u64, u64)>,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counters")
    }
}

impl Counters {
    /// Reads what an earlier life has counted; the journal must be folded in by now.
    pub(super) fn open(queue: Arc<Queue>, db: Arc<Db>) -> Result<Self, StoreError> {
        let mut counters = Self { queue, db, at_start: Vec::new() };
        counters.at_start = counters.sums()?;
        Ok(counters)
    }

    /// The sums as they were when the store was opened, see [`Counters::sums`].
    pub fn at_start(&self) -> &[(u64, u64, u64)] {
        &self.at_start
    }

    /// Every sum: counter, beginning of the part (milliseconds since 1970), amount. What still waits for a commit is not in it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sums(&self) -> Result<Vec<(u64, u64, u64)>, StoreError> {
        self.db.read(|txn| {
            let table = match txn.open_table(COUNTERS) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let mut sums = Vec::new();
            for row in table.iter()? {
                let (key, amount) = row?;
                let (counter, at) = key.value();
                if at != RESET_AT {
                    sums.push((counter, at, amount.value()));
                }
            }
            Ok(sums)
        })
    }

    /// Forgets all that a counter has counted up to now, which it is told in milliseconds since 1970: pricing earlier requests anew does not bring it back.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn reset(&self, counter: u64, now: u64) -> Result<(), StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.queue.forget(Job::Reset { counter, now }, sender);
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Forgets what counters have counted in parts that began before a moment: pairs of counter and moment. What was handed over earlier is forgotten too,
    /// what comes later is not. Tells when it is on disk.
    pub fn forget(&self, before: Vec<(u64, u64)>) -> oneshot::Receiver<Result<(), StoreError>> {
        let (sender, receiver) = oneshot::channel();
        if before.is_empty() {
            let _ = sender.send(Ok(()));
        } else {
            self.queue.forget(Job::Forget { before }, sender);
        }
        receiver
    }
}

/// A change of what a counter has counted: a record was priced anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// Which counter.
    pub counter: u64,
    /// The beginning of the part in which it counted.
    pub at: u64,
    /// By how much, in nanodollars.
    pub by: i64,
    /// When the record was over, and so counted; milliseconds since 1970.
    pub counted: u64,
}

/// Where the moment stands at which a counter was reset: no part begins then.
const RESET_AT: u64 = u64::MAX;

/// Changes what was counted, unless it was forgotten since. Returns what was changed.
pub(super) fn shift(txn: &WriteTransaction, shifts: Vec<Shift>) -> Result<Vec<Shift>, StoreError> {
    let mut table = txn.open_table(COUNTERS)?;
    let mut done = Vec::new();
    for shift in shifts {
        let reset = table.get((shift.counter, RESET_AT))?.map_or(0, |moment| moment.value());
        if shift.counted < reset {
            continue;
        }
        let key = (shift.counter, shift.at);
        let sum = table.get(key)?.map_or(0, |sum| sum.value()).saturating_add_signed(shift.by);
        table.insert(key, sum)?;
        done.push(shift);
    }
    Ok(done)
}

/// What the records of one transaction count, added up before it is written: many records count for the same few limits.
#[derive(Default)]
pub(super) struct Bill(BTreeMap<(u64, u64), u64>);

impl Bill {
    /// Adds what a record counts, unless the record is there already. To be called before the record is written.
    pub(super) fn add(
        &mut self,
        requests: &impl ReadableTable<u128, &'static [u8]>,
        record: u128,
        charges: &[Charge],
    ) -> Result<(), StoreError> {
        if requests.get(record)?.is_some() {
            return Ok(());
        }
        for charge in charges {
            let sum = self.0.entry((charge.counter, charge.at)).or_default();
            *sum = sum.saturating_add(charge.amount);
        }
        Ok(())
    }

    /// Adds all of it to the sums of the file.
    pub(super) fn write(&mut self, txn: &WriteTransaction) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = txn.open_table(COUNTERS)?;
        for (key, amount) in std::mem::take(&mut self.0) {
            let sum = table.get(key)?.map_or(0, |sum| sum.value());
            table.insert(key, sum.saturating_add(amount))?;
        }
        Ok(())
    }
}

/// Removes the sums of parts that began before a moment.
pub(super) fn forget(txn: &WriteTransaction, before: &[(u64, u64)]) -> Result<(), StoreError> {
    let mut table = txn.open_table(COUNTERS)?;
    for (counter, moment) in before {
        table.retain_in((*counter, 0)..(*counter, *moment), |_, _| false)?;
        if *moment == RESET_AT {
            table.remove((*counter, RESET_AT))?;
        }
    }
    Ok(())
}

/// Removes all that a counter has counted, and notes when: pricing anew does not bring it back.
pub(super) fn reset(txn: &WriteTransaction, counter: u64, now: u64) -> Result<(), StoreError> {
    forget(txn, &[(counter, RESET_AT)])?;
    txn.open_table(COUNTERS)?.insert((counter, RESET_AT), now)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use crate::clock::TestClock;
    use crate::model::{Charge, RequestRecord};
    use crate::store::{MasterKey, Store};

    const START: u64 = 1_800_000_000_000;

    fn open(dir: &Path) -> Store {
        let clock = TestClock::default();
        clock.advance_ms(START);
        Store::open(dir, Arc::new(clock), &MasterKey::KeyFile, Arc::new(|_: &str| true)).unwrap()
    }

    fn record(n: u64) -> RequestRecord {
        let id = format!("req_{:032x}", (u128::from(START + n) << 80) | u128::from(n));
        RequestRecord { id, started: START + n, ..RequestRecord::default() }
    }

    fn charges(n: u64) -> Vec<Charge> {
        vec![
            Charge { counter: 7, at: START, amount: n },
            Charge { counter: u64::MAX, at: START + n / 10 * 10, amount: 1 },
        ]
    }

    /// What the two counters hold.
    fn sums(store: &Store) -> (u64, u64) {
        let of = |wanted| {
            let sums = store.counters().sums().unwrap();
            sums.iter().filter(|(counter, ..)| *counter == wanted).map(|(.., amount)| amount).sum()
        };
        (of(7), of(u64::MAX))
    }

    fn copy_of(dir: &Path) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    #[tokio::test]
    async fn sums_agree_with_the_records_whenever_the_process_dies() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut expected = 0;
        for n in 0..300_u64 {
            drop(store.ledger().append_charged(record(n), charges(n), false));
            expected += n;
            if n % 50 == 49 {
                // As a killed process leaves them: what is committed is in the file, the rest in the journal.
                let copy = store.0.db.write(|_| Ok(copy_of(dir.path()))).unwrap();
                let reopened = open(copy.path());
                assert_eq!(sums(&reopened), (expected, n + 1), "after {n}");
                assert_eq!(reopened.ledger().count().unwrap(), n + 1);
                let at_start: u64 = reopened.counters().at_start().iter().map(|(.., amount)| amount).sum();
                assert_eq!(at_start, expected + n + 1);
            }
        }
    }

    #[tokio::test]
    async fn a_journal_that_is_read_twice_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for n in 0..20 {
            drop(store.ledger().append_charged(record(n), charges(n), false));
        }
        let journals = ["journal.a", "journal.b"].map(|name| fs::read(dir.path().join(name)).unwrap());
        assert!(journals.iter().any(|journal| !journal.is_empty()));
        store.close();
        drop(store);
        for _ in 0..2 {
            for (name, bytes) in ["journal.a", "journal.b"].iter().zip(&journals) {
                fs::write(dir.path().join(name), bytes).unwrap();
            }
            assert_eq!(sums(&open(dir.path())), (190, 20));
        }
    }

    #[tokio::test]
    async fn a_reset_and_its_moment_are_written_together_in_the_order_in_which_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        drop(store.ledger().append_charged(record(1), charges(1), false));
        // All in one group.
        let reset = store.counters().reset(7, START + 100);
        let later = async { store.ledger().append_charged(record(2), charges(2), true).unwrap().await };
        let (reset, later) = tokio::join!(reset, later);
        reset.and(later.unwrap()).unwrap();
        assert_eq!(sums(&store), (2, 2));
        let shift = |counted| super::Shift { counter: 7, at: START, by: 5, counted };
        let page = store.ledger().list(Default::default(), None, 1).await.unwrap().records;
        let change = move |_: &mut RequestRecord| Some(vec![shift(START + 99), shift(START + 101)]);
        let done = store.ledger().rewrite(&page, change).await.unwrap();
        assert_eq!((done.shifts.len(), sums(&store)), (1, (7, 2)), "what was forgotten does not come back");
    }

    #[tokio::test]
    async fn what_is_forgotten_stays_so_and_what_comes_after_counts() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for n in 0..20 {
            drop(store.ledger().append_charged(record(n), charges(n), false));
        }
        store.counters().forget(vec![(7, u64::MAX), (u64::MAX, START + 10)]).await.unwrap().unwrap();
        assert_eq!(sums(&store), (0, 10), "only the older part of the second one goes");
        store.ledger().append_charged(record(30), charges(30), true).unwrap().await.unwrap().unwrap();
        assert_eq!(sums(&store), (30, 11));
        // The journal still holds all of it: reading it again neither counts nor forgets anything.
        let copy = store.0.db.write(|_| Ok(copy_of(dir.path()))).unwrap();
        assert_eq!(sums(&open(copy.path())), (30, 11));
    }
}
