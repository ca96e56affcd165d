//! Bodies of requests and answers, in a file of their own: lists never touch it, and losing it loses no record.
//!
//! Handing over never waits: what does not fit the queue is dropped and counted. A thread of its own masks what looks like a secret, compresses and writes;
//! by age and by bytes the oldest go first. Must not know which bodies are wanted: the pipeline reads the policy.

mod row;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

pub use row::{BodyKind, BodyPart};

use super::StoreError;
use super::db::Db;
use super::ledger::key_of;
use super::tables::META;
use super::writer::first_key;
use crate::clock::Clock;

/// The file in the data directory.
pub(super) const FILE: &str = "bodies.redb";
/// Bodies by the key of their request: in the order of their start.
pub(super) const BODIES: TableDefinition<'static, u128, &'static [u8]> = TableDefinition::new("bodies");
/// Facts about this file.
pub(super) const FACTS: super::tables::Rows = META;
/// Row of [`META`] with the bytes of all rows, as decimal text.
const BYTES_ROW: &str = "bytes";
/// Requests that may wait for the thread, and their bytes.
const MOST_WAITING: usize = 1_024;
const MOST_WAITING_BYTES: usize = 64 << 20;
/// Written in one transaction: so many requests, or so many bytes.
const GROUP: usize = 128;
const GROUP_BYTES: usize = 16 << 20;
/// How long the first of a group waits for company.
const HOLD: Duration = Duration::from_millis(150);
/// How often an idle thread looks what has become too old.
const IDLE: Duration = Duration::from_secs(60);
/// Rows that go in one transaction.
const BATCH: usize = 500;
const DAY_MS: u64 = 86_400_000;
const CACHE_BYTES: usize = 8 << 20;

/// Kept bodies.
pub struct Bodies {
    db: Arc<Db>,
    shared: Arc<Shared>,
    sender: Mutex<Option<SyncSender<Handed>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Takes secrets that somebody knows out of a text.
pub type Mask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// How the keeping of bodies goes. Counters are since the start of the process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BodiesHealth {
    /// Requests whose bodies were written.
    pub kept: u64,
    /// Requests whose bodies were dropped: too much waited, or the disk failed.
    pub dropped: u64,
    /// Bytes that the kept ones take.
    pub bytes: u64,
    /// The last write failed: the disk is full or broken.
    pub failing: bool,
    /// What the disk said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

#[derive(Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    kept: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicU64,
    failing: AtomicBool,
    last_error: Mutex<Option<String>>,
    /// Takes out the secrets that are known.
    mask: Mutex<Option<Mask>>,
    /// Limits: days and bytes; 0 days: none are set yet.
    days: AtomicU64,
    most_bytes: AtomicU64,
}

struct Handed {
    key: u128,
    parts: Vec<BodyPart>,
    bytes: usize,
}

impl std::fmt::Debug for Bodies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bodies")
    }
}

impl Bodies {
    /// Opens or makes the file.
    pub(super) fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let db = Arc::new(Db::open_beside(dir, FILE, CACHE_BYTES)?);
        let bytes = db.write(|txn| {
            txn.open_table(BODIES)?;
            bytes_of(txn)
        })?;
        let shared = Arc::new(Shared { bytes: AtomicU64::new(bytes), ..Shared::default() });
        let (sender, receiver) = sync_channel(MOST_WAITING);
        let worker = Worker { db: Arc::clone(&db), shared: Arc::clone(&shared), clock };
        let thread = std::thread::Builder::new()
            .name("myelin-bodies".to_owned())
            .spawn(move || worker.run(&receiver))
            .map_err(StoreError::io(dir))?;
        Ok(Self { db, shared, sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Hands the bodies of a request over. Never waits; `false`: they were dropped.
    pub fn put(&self, id: &str, started: u64, parts: Vec<BodyPart>) -> bool {
        let bytes: usize = parts.iter().map(|part| part.bytes.len()).sum();
        let waiting = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = waiting < MOST_WAITING_BYTES && {
            let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
            let handed = Handed { key: key_of(id, started).0, parts, bytes };
            match sender.as_ref().map(|sender| sender.try_send(handed)) {
                Some(Ok(())) => true,
                Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => false,
            }
        };
        if !sent {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// The bodies of a request; empty if none were kept, or they are gone.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn get(&self, id: &str, started: u64) -> Result<Vec<BodyPart>, StoreError> {
        let (db, key) = (Arc::clone(&self.db), key_of(id, started).0);
        tokio::task::spawn_blocking(move || read(&db, key)).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Bodies go when they are older than so many days, and the oldest when all take more than so many bytes.
    pub fn keep(&self, days: u32, bytes: u64) {
        self.shared.days.store(u64::from(days), Ordering::Relaxed);
        self.shared.most_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What takes the secrets that are known out of bodies, beside what looks like one; from now on.
    pub fn mask(&self, mask: Mask) {
        *self.shared.mask.lock().unwrap_or_else(PoisonError::into_inner) = Some(mask);
    }

    /// How it goes.
    pub fn health(&self) -> BodiesHealth {
        let shared = &self.shared;
        BodiesHealth {
            kept: shared.kept.load(Ordering::Relaxed),
            dropped: shared.dropped.load(Ordering::Acquire),
            bytes: shared.bytes.load(Ordering::Relaxed),
            failing: shared.failing.load(Ordering::Relaxed),
            last_error: shared.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// The file, for a backup.
    pub(super) fn db(&self) -> &Db {
        &self.db
    }

    /// Takes another file in place of this one, which goes aside.
    pub(super) fn take(&self, staged: &Path, aside: &Path) -> Result<(), StoreError> {
        self.db.replace(staged, aside)?;
        let bytes = self.db.write(|txn| {
            txn.open_table(BODIES)?;
            bytes_of(txn)
        })?;
        self.shared.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// A reader for searches: it outlives no search.
    pub(super) fn reader(&self) -> Reader {
        Reader { db: Arc::clone(&self.db), left: SEARCHED_BYTES }
    }

    /// Writes what waits and stops.
    pub(super) fn close(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Bodies {
    fn drop(&mut self) {
        self.close();
    }
}

/// Bytes that one search unpacks.
const SEARCHED_BYTES: usize = 32 << 20;

/// Looks into bodies for one page of a search, in bounded work.
pub(super) struct Reader {
    db: Arc<Db>,
    left: usize,
}

impl Reader {
    /// Whether the bodies of a request hold a text in lower case. Once the work is spent it is always `false`: see [`Reader::spent`].
    pub(super) fn holds(&mut self, key: u128, text: &str) -> bool {
        if self.spent() {
            return false;
        }
        let parts = read(&self.db, key).unwrap_or_default();
        self.left = self.left.saturating_sub(1 << 10);
        parts.iter().any(|part| {
            self.left = self.left.saturating_sub(part.bytes.len());
            String::from_utf8_lossy(&part.bytes).to_lowercase().contains(text)
        })
    }

    /// Nothing more is looked into.
    pub(super) fn spent(&self) -> bool {
        self.left == 0
    }
}

fn read(db: &Db, key: u128) -> Result<Vec<BodyPart>, StoreError> {
    db.read(|txn| {
        let table = txn.open_table(BODIES)?;
        let row = table.get(key)?;
        row.map(|row| row::decode(row.value())).transpose().map(Option::unwrap_or_default)
    })
}

struct Worker {
    db: Arc<Db>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

impl Worker {
    fn run(&self, receiver: &Receiver<Handed>) {
        loop {
            let mut group = match receiver.recv_timeout(IDLE) {
                Ok(first) => vec![first],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut bytes: usize = group.iter().map(|one| one.bytes).sum();
            let begun = self.clock.monotonic_us();
            while !group.is_empty() && group.len() < GROUP && bytes < GROUP_BYTES {
                // The first one waits no longer because more keep coming.
                let waited = Duration::from_micros(self.clock.monotonic_us().saturating_sub(begun));
                match receiver.recv_timeout(HOLD.saturating_sub(waited)) {
                    Ok(next) => {
                        bytes += next.bytes;
                        group.push(next);
                    }
                    Err(_) => break,
                }
            }
            self.write(&group);
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.tidy();
        }
    }

    /// Writes a group, or counts it as dropped.
    fn write(&self, group: &[Handed]) {
        if group.is_empty() {
            return;
        }
        let mask = self.shared.mask.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = |part: &BodyPart| part.clone().fit_to_keep(mask.as_deref());
        let rows: Vec<(u128, Vec<u8>)> =
            group.iter().filter_map(|one| Some((one.key, row::encode(one.parts.iter().map(kept))?))).collect();
        let done = self.db.ensure_open().and_then(|()| {
            self.db.write(|txn| {
                let mut total = bytes_of(txn)?;
                let mut table = txn.open_table(BODIES)?;
                for (key, row) in &rows {
                    let before = table.insert(*key, row.as_slice())?.map_or(0, |old| old.value().len());
                    total = (total + row.len() as u64).saturating_sub(before as u64);
                }
                drop(table);
                set_bytes(txn, total)?;
                Ok(total)
            })
        });
        match done {
            Ok(total) => {
                self.shared.kept.fetch_add(rows.len() as u64, Ordering::Relaxed);
                self.shared.dropped.fetch_add((group.len() - rows.len()) as u64, Ordering::Relaxed);
                self.shared.bytes.store(total, Ordering::Relaxed);
                self.shared.failing.store(false, Ordering::Relaxed);
            }
            Err(why) => {
                // Why first: who sees the count must find the reason.
                self.failed(&why);
                self.shared.dropped.fetch_add(group.len() as u64, Ordering::Release);
            }
        }
    }

    /// Takes out what is too old or too much, in small transactions.
    fn tidy(&self) {
        let days = self.shared.days.load(Ordering::Relaxed);
        if days == 0 {
            return;
        }
        let most = self.shared.most_bytes.load(Ordering::Relaxed);
        let oldest = first_key(self.clock.unix_ms().saturating_sub(days * DAY_MS));
        loop {
            match self.batch(oldest, most) {
                Ok(0) => return,
                Ok(_) => {}
                Err(why) => return self.failed(&why),
            }
        }
    }

    fn batch(&self, oldest: u128, most: u64) -> Result<usize, StoreError> {
        let first = self.db.read(|txn| Ok(txn.open_table(BODIES)?.first()?.map(|(key, _)| key.value())))?;
        let Some(first) = first else { return Ok(0) };
        if first >= oldest && self.shared.bytes.load(Ordering::Relaxed) <= most {
            return Ok(0);
        }
        let (gone, total) = self.db.write(|txn| {
            let mut total = bytes_of(txn)?;
            let mut table = txn.open_table(BODIES)?;
            let mut gone = 0;
            while gone < BATCH {
                let Some(key) = table.first()?.map(|(key, _)| key.value()) else { break };
                if key >= oldest && total <= most {
                    break;
                }
                let bytes = table.remove(key)?.map_or(0, |row| row.value().len());
                total = total.saturating_sub(bytes as u64);
                gone += 1;
            }
            drop(table);
            set_bytes(txn, total)?;
            Ok((gone, total))
        })?;
        self.shared.bytes.store(total, Ordering::Relaxed);
        Ok(gone)
    }

    fn failed(&self, why: &StoreError) {
        tracing::warn!(error = %why, "bodies could not be written");
        self.shared.failing.store(true, Ordering::Relaxed);
        *self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_string());
    }
}

fn bytes_of(txn: &WriteTransaction) -> Result<u64, StoreError> {
    let table = txn.open_table(META)?;
    let row = table.get(BYTES_ROW)?;
    Ok(row.and_then(|row| std::str::from_utf8(row.value()).ok()?.parse().ok()).unwrap_or(0))
}

fn set_bytes(txn: &WriteTransaction, bytes: u64) -> Result<(), StoreError> {
    txn.open_table(META)?.insert(BYTES_ROW, bytes.to_string().as_bytes())?;
    Ok(())
}
