//! What limits have counted: sums by counter and part of its window.
//!
//! They are added up in the transaction that writes the records which were counted, once a record: the sum of the records is the sum of the counters,
//! whatever happens to the process. Must not know what a counter counts.

use std::sync::Arc;

use redb::{ReadableTable as _, TableError, WriteTransaction};
use tokio::sync::oneshot;

use super::StoreError;
use super::db::Db;
use super::tables::{COUNTERS, REQUESTS};
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
                sums.push((counter, at, amount.value()));
            }
            Ok(sums)
        })
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

/// Adds up what a record counts, unless the record is there already. To be called before the record is written.
pub(super) fn charge(txn: &WriteTransaction, record: u128, charges: &[Charge]) -> Result<(), StoreError> {
    if txn.open_table(REQUESTS)?.get(record)?.is_some() {
        return Ok(());
    }
    let mut table = txn.open_table(COUNTERS)?;
    for charge in charges {
        let key = (charge.counter, charge.at);
        let sum = table.get(key)?.map_or(0, |sum| sum.value());
        table.insert(key, sum.saturating_add(charge.amount))?;
    }
    Ok(())
}

/// Removes the sums of parts that began before a moment.
pub(super) fn forget(txn: &WriteTransaction, before: &[(u64, u64)]) -> Result<(), StoreError> {
    let mut table = txn.open_table(COUNTERS)?;
    for (counter, moment) in before {
        table.retain_in((*counter, 0)..(*counter, *moment), |_, _| false)?;
    }
    Ok(())
}
