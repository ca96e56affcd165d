//! Folding jobs into their tables, and how far that has come.
//!
//! How far stands in the same transaction as what was folded in: a journal that is read again gives only what is newer, so nothing takes the place of
//! what was written over it since (a record that was priced anew, a kept thing that was too large for the journal).

use redb::{ReadTransaction, TableError, WriteTransaction};

use super::frame::Frame;
use super::job::Job;
use crate::model::RequestRecord;
use crate::store::StoreError;
use crate::store::counters::{self, Bill};
use crate::store::db::Db;
use crate::store::kept;
use crate::store::ledger::{Books, Row};
use crate::store::tables::{META, REQUESTS};

/// Row of [`META`]: two decimal numbers.
const FOLDED: &str = "journal";

/// How far the order of all jobs is in the database. Places grow for as long as the file lives, whoever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Folded {
    /// Every job that went through memory, up to this place.
    pub committed: u64,
    /// Every job that stood in the journal only, up to this place.
    pub read_back: u64,
}

impl Folded {
    /// All of it up to one place.
    pub(super) fn to(place: u64) -> Self {
        Self { committed: place, read_back: place }
    }

    /// The last place that it knows.
    pub(super) fn last(self) -> u64 {
        self.committed.max(self.read_back)
    }

    /// Whether what a frame holds is in the database.
    pub(super) fn has(self, frame: &Frame) -> bool {
        !frame.uncounted && frame.seq <= if frame.only_here { self.read_back } else { self.committed }
    }

    /// What a file says; one that never said it has nothing.
    pub(super) fn load(txn: &ReadTransaction) -> Result<Self, StoreError> {
        let table = match txn.open_table(META) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        let Some(row) = table.get(FOLDED)? else { return Ok(Self::default()) };
        let text = String::from_utf8_lossy(row.value()).into_owned();
        let numbers = || {
            let (committed, read_back) = text.split_once(' ')?;
            Some(Self { committed: committed.parse().ok()?, read_back: read_back.parse().ok()? })
        };
        numbers().ok_or_else(|| StoreError::Corrupt {
            what: "how far the journal is folded in".to_owned(),
            why: format!("'{text}' are no two numbers"),
        })
    }

    fn store(self, txn: &WriteTransaction) -> Result<(), StoreError> {
        let text = format!("{} {}", self.committed, self.read_back);
        txn.open_table(META)?.insert(FOLDED, text.as_bytes())?;
        Ok(())
    }
}

/// Puts jobs into their tables, in one transaction; records that are at hand need not be read out of their bytes. `folded`: how far that leads.
pub(super) fn write<'a>(
    db: &Db,
    books: &Books,
    jobs: impl Iterator<Item = (&'a Job, Option<&'a RequestRecord>)> + Clone,
    folded: Folded,
) -> Result<(), StoreError> {
    let stored = db.write(|txn| {
        let records = jobs.clone().filter_map(|(job, record)| match job {
            Job::Record { key, bytes } | Job::Charged { key, bytes, .. } => Some(Row { key: *key, bytes, record }),
            _ => None,
        });
        // Before the records: those that are there already have been counted.
        charge(txn, jobs.clone().map(|(job, _)| job))?;
        let stored = books.post(txn, records)?;
        jobs.clone().try_for_each(|(job, _)| match job {
            Job::Record { .. } | Job::Charged { .. } | Job::Forget { .. } | Job::Reset { .. } => Ok(()),
            Job::Put { space, key, value } => kept::write_row(txn, space, key, value),
            Job::Delete { space, key } => kept::delete_row(txn, space, key),
        })?;
        folded.store(txn)?;
        Ok(stored)
    })?;
    books.committed(stored);
    Ok(())
}

/// As [`write()`], for frames of the journal: nothing but their bytes is at hand.
pub(super) fn write_frames(db: &Db, books: &Books, frames: &[Frame], folded: Folded) -> Result<(), StoreError> {
    write(db, books, frames.iter().map(|frame| (&frame.job, None)), folded)
}

/// Counts and forgets, in the order in which it was handed over.
fn charge<'a>(txn: &WriteTransaction, jobs: impl Iterator<Item = &'a Job>) -> Result<(), StoreError> {
    let requests = txn.open_table(REQUESTS)?;
    let mut bill = Bill::default();
    for job in jobs {
        match job {
            Job::Charged { key, charges, .. } => bill.add(&requests, *key, charges)?,
            Job::Forget { before } => {
                bill.write(txn)?;
                counters::forget(txn, before)?;
            }
            Job::Reset { counter, now } => {
                bill.write(txn)?;
                counters::reset(txn, *counter, *now)?;
            }
            _ => {}
        }
    }
    bill.write(txn)
}
