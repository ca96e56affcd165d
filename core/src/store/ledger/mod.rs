//! The request records: handing them over, reading them back, watching them come.
//!
//! Must not know where a record comes from nor how it is shown.

mod books;
mod codec;
mod dimension;
mod forecast;
mod histogram;
mod live;
mod names;
mod postings;
mod query;
mod redact;
mod sums;
mod usage;

use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable as _, WriteTransaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

pub use books::Link;
pub(super) use books::{Books, Row, index_all, index_failures, make_tables};
pub use dimension::Dimension;
pub use forecast::{LOOK_BACK_DAYS, Outlook, StoodOut, outlook};
pub use histogram::Histogram;
pub use live::{Live, LiveRecord};
pub use query::{Cursor, Filter, Page};
pub use sums::Sums;
pub use usage::{Bucket, Facets, Grouping, MOST_MINUTES_MS, UsageAnswer, UsageGroup, UsageQuery};

pub(super) use codec::{take_bytes, take_varint, varint};
pub(super) use redact::redact;

use super::StoreError;
use super::bodies::Bodies;
use super::counters::{self, Shift};
use super::db::Db;
use super::tables::REQUESTS;
use super::writer::Queue;
use crate::model::{Charge, MOST_PLANNED, NanoUsd, RequestRecord};

/// Begins every id of a request.
const ID_PREFIX: &str = "req_";
/// Failures in words are cut to this, so that a provider's whole error page does not end up in the store.
const MOST_MESSAGE: usize = 2_000;

/// The request records.
pub struct Ledger {
    queue: Arc<Queue>,
    db: Arc<Db>,
    bodies: Arc<Bodies>,
}

/// How the writing of records goes. Counters are since the start of the process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LedgerHealth {
    /// Records and kept things that are in the database.
    pub committed: u64,
    /// Handed over, not yet in the database; they are in the journal.
    pub waiting: u64,
    /// Found in the journal at the start and folded in.
    pub replayed: u64,
    /// Went to the journal only, because too much waited; folded in later.
    pub deferred: u64,
    /// Records that are gone for good: neither memory nor journal could take them.
    pub lost: u64,
    /// Other things (kept answers, and what is to be forgotten) that were not taken, because too much waited: nobody misses them for long.
    #[serde(default)]
    pub not_kept: u64,
    /// Commits that failed.
    pub commit_failures: u64,
    /// Writes to the journal that failed: what they held stood in memory alone until its commit.
    pub journal_failures: u64,
    /// The last write to the journal failed: what waits for a commit would be lost with the process.
    #[serde(default)]
    pub journal_failing: bool,
    /// Bytes in the journal.
    pub journal_bytes: u64,
    /// The last commit failed: the disk is full or broken.
    pub failing: bool,
    /// What the disk said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    pub(super) fn new(queue: Arc<Queue>, db: Arc<Db>, bodies: Arc<Bodies>) -> Self {
        Self { queue, db, bodies }
    }

    /// Hands a record over. Never waits for the disk, never fails: what cannot be kept is counted in [`Ledger::health`]. The record survives the death
    /// of the process from when this returns.
    pub fn append(&self, record: RequestRecord) {
        self.hand_over(record, Vec::new(), None);
    }

    /// Hands a record over with what it counts against limits: both are written, or neither. `durable`: tells when it is on disk.
    pub fn append_charged(
        &self,
        record: RequestRecord,
        charges: Vec<Charge>,
        durable: bool,
    ) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
        let (sender, receiver) = durable.then(oneshot::channel).unzip();
        self.hand_over(record, charges, sender);
        receiver
    }

    /// Hands a record over and tells when it is on disk. An error: it is not, and traffic should go on.
    pub fn append_durable(&self, record: RequestRecord) -> oneshot::Receiver<Result<(), StoreError>> {
        let (sender, receiver) = oneshot::channel();
        self.hand_over(record, Vec::new(), Some(sender));
        receiver
    }

    fn hand_over(
        &self,
        mut record: RequestRecord,
        charges: Vec<Charge>,
        waiter: Option<oneshot::Sender<Result<(), StoreError>>>,
    ) {
        let (key, bytes) = prepare(&mut record);
        self.queue.record(key, bytes, charges, Arc::new(record), waiter);
    }

    /// Writes records anew that are there already, and with them their sums and what budgets counted of them; on disk when this is done. `change` gets each
    /// as it stands when nobody else can write it, and says by how much counters count it otherwise; `None`: it stays as it is. Those who watch are not
    /// told.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn rewrite(
        &self,
        records: &[RequestRecord],
        mut change: impl FnMut(&mut RequestRecord) -> Option<Vec<Shift>> + Send + 'static,
    ) -> Result<Rewritten, StoreError> {
        let keys: Vec<u128> = records.iter().map(|record| key_of(&record.id, record.started).0).collect();
        let (db, queue) = (Arc::clone(&self.db), Arc::clone(&self.queue));
        let write = move || {
            let books = queue.books();
            let (done, stored) = db.write(|txn| {
                let (mut done, mut rows, mut shifts) = (Rewritten::default(), Vec::new(), Vec::new());
                for key in keys {
                    let Some(mut record) = standing(txn, books, key)? else { continue };
                    let before = record.cost.unwrap_or_default();
                    let Some(moved) = change(&mut record) else { continue };
                    done.changed += 1;
                    done.before += before;
                    done.after += record.cost.unwrap_or_default();
                    shifts.extend(moved);
                    rows.push(prepared(record));
                }
                let stored = books.post(txn, rows.iter().map(|(key, bytes)| Row { key: *key, bytes, record: None }))?;
                done.shifts = counters::shift(txn, shifts)?;
                Ok((done, stored))
            })?;
            books.committed(stored);
            Ok(done)
        };
        tokio::task::spawn_blocking(write).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Takes many records at once, past the journal: on disk when this returns. For backups that are read back. Records that are there already are replaced.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn import_blocking(&self, records: impl Iterator<Item = RequestRecord>) -> Result<(), StoreError> {
        post(&self.db, &self.queue, records)
    }

    /// How the writing goes.
    pub fn health(&self) -> LedgerHealth {
        self.queue.health()
    }

    /// The newest records that a filter lets through, from before a cursor. A page looks at a bounded number of rows: it may hold fewer than `limit`, even
    /// none, and still lead on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, filter: Filter, before: Option<Cursor>, limit: usize) -> Result<Page, StoreError> {
        let mut reader = self.bodies.reader();
        self.reading(move |txn, books| query::list(txn, books, &filter, before, limit, &mut reader)).await
    }

    /// Sums of what a filter lets through, by dimension and time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn usage(&self, query: UsageQuery) -> Result<UsageAnswer, StoreError> {
        self.reading(move |txn, books| usage::usage(txn, books, &query)).await
    }

    /// How often each value of some dimensions occurs among what a filter lets through; `most` values of each. Only range and filter of the question
    /// count.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn facets(&self, query: UsageQuery, of: Vec<Dimension>, most: usize) -> Result<Facets, StoreError> {
        self.reading(move |txn, books| usage::facets(txn, books, &query, &of, most)).await
    }

    /// Hours of the last week in which spend stood out, the newest first: of all together, and of each group. Only filter and grouping of the question count.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn stood_out(&self, query: UsageQuery, now: u64) -> Result<Vec<StoodOut>, StoreError> {
        let since = forecast::first_hour(now);
        let query =
            UsageQuery { since, until: now.saturating_add(1), bucket: Some(Bucket::Hour), times: false, ..query };
        Ok(forecast::stood_out(&self.usage(query).await?, since))
    }

    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction, &Books) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (db, queue) = (Arc::clone(&self.db), Arc::clone(&self.queue));
        tokio::task::spawn_blocking(move || db.read(|txn| work(txn, queue.books())))
            .await
            .unwrap_or(Err(StoreError::Closed))
    }

    /// One record. Found within the 40 ms that a commit may wait, too.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn get(&self, id: &str) -> Result<Option<RequestRecord>, StoreError> {
        if let Some(record) = self.queue.live().find(id) {
            return Ok(Some(record.as_ref().clone()));
        }
        let id = id.to_owned();
        self.reading(move |txn, books| query::get(txn, books, &id)).await
    }

    /// The records as they come, for `logs -f`.
    pub fn live(&self) -> &Live {
        self.queue.live()
    }

    /// Records older than this go, now and from now on.
    pub fn keep_days(&self, days: u32) {
        self.queue.keep_days(days);
    }

    /// Pages of the file that were read since it was opened: what a question costs, on any disk.
    pub fn pages_read(&self) -> u64 {
        self.db.pages_read()
    }

    /// How many records there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count(&self) -> Result<u64, StoreError> {
        use redb::ReadableTableMetadata as _;
        self.db.read(|txn| Ok(txn.open_table(REQUESTS)?.len()?))
    }
}

/// A record as it stands in a transaction that writes.
fn standing(txn: &WriteTransaction, books: &Books, key: u128) -> Result<Option<RequestRecord>, StoreError> {
    let table = txn.open_table(REQUESTS)?;
    let row = table.get(key)?;
    row.map(|row| query::decode(key, row.value(), &books.names())).transpose()
}

/// What writing records anew came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewritten {
    /// Records that changed.
    pub changed: u64,
    /// What they had cost together; those without a cost count nothing.
    pub before: NanoUsd,
    /// What they cost now.
    pub after: NanoUsd,
    /// The changes of counters that were made: what a limit has forgotten stays forgotten.
    pub shifts: Vec<Shift>,
}

/// Makes a record fit to be kept; its key and its bytes for the journal.
fn prepare(record: &mut RequestRecord) -> (u128, Vec<u8>) {
    let messages = record.attempts.iter_mut().map(|attempt| &mut attempt.error);
    for message in messages.chain([&mut record.error_message]).flatten() {
        cut(message);
    }
    record.plan.truncate(MOST_PLANNED);
    let (key, canonical) = key_of(&record.id, record.started);
    (key, codec::encode(record, !canonical, &mut codec::Nameless))
}

/// Posts records past the journal.
fn post(db: &Db, queue: &Queue, records: impl Iterator<Item = RequestRecord>) -> Result<(), StoreError> {
    let rows: Vec<(u128, Vec<u8>)> = records.map(prepared).collect();
    let books = queue.books();
    let stored =
        db.write(|txn| books.post(txn, rows.iter().map(|(key, bytes)| Row { key: *key, bytes, record: None })))?;
    books.committed(stored);
    Ok(())
}

/// Key and bytes of a record for the journal, as they also stood in files without a dictionary.
pub(super) fn prepared(mut record: RequestRecord) -> (u128, Vec<u8>) {
    prepare(&mut record)
}

/// Makes a failure in words fit to be kept.
fn cut(message: &mut String) {
    if message.len() > MOST_MESSAGE {
        message.truncate(message.floor_char_boundary(MOST_MESSAGE));
        message.push('…');
    }
    redact(message);
}

/// The key of a record, and whether its id can be made from the key again.
///
/// An id that is none of ours still gets a key in the order of time, and always the same one.
pub(super) fn key_of(id: &str, started: u64) -> (u128, bool) {
    match key_of_id(id) {
        Some(key) => (key, true),
        None => (foreign_key(started, id), false),
    }
}

fn key_of_id(id: &str) -> Option<u128> {
    let digits = id.strip_prefix(ID_PREFIX)?;
    let lower_hex = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    lower_hex.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

fn foreign_key(started: u64, id: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    let low = digest.iter().take(10).fold(0_u128, |low, byte| (low << 8) | u128::from(*byte));
    (u128::from(started & 0xffff_ffff_ffff) << 80) | low
}

fn id_of_key(key: u128) -> String {
    format!("{ID_PREFIX}{key:032x}")
}
