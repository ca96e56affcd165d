//! Things that are kept for a while: stored responses, conversation ids of upstreams.
//!
//! A small table of bytes by namespace and key, each with an owner and an end. Writes go through the writer and can be read back at once. Must not know
//! what the bytes mean; whether a caller may see them is the caller's to check, against [`KeptEntry::owner`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable as _, WriteTransaction};

use super::StoreError;
use super::db::Db;
use super::tables::{KEPT, KEPT_ENDS};
use super::writer::{Job, Queue};
use crate::clock::Clock;

/// Values from this size on are compressed.
const COMPRESS_FROM: usize = 1 << 10;
const LEVEL: i32 = 1;
/// No value is larger once unpacked.
const MOST_BYTES: usize = 256 << 20;
/// Layout of a row; other numbers are of a newer Myelin.
const PLAIN: u8 = 1;
const COMPRESSED: u8 = 2;

/// Things that are kept for a while.
pub struct Kept {
    queue: Arc<Queue>,
    db: Arc<Db>,
    clock: Arc<dyn Clock>,
    recent: Arc<Mutex<Recent>>,
}

/// Where a kept thing is.
type Place = (&'static str, String);

/// What was written lately: read before the table, because it may not be there yet.
#[derive(Default)]
struct Recent {
    rows: HashMap<Place, (u64, Option<Bytes>)>,
    bytes: usize,
}

/// One kept thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEntry {
    /// Whose it is (a key's id).
    pub owner: String,
    /// When it goes, in milliseconds since 1970.
    pub ends: u64,
    /// The thing.
    pub value: Bytes,
}

/// A kept thing without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptKey {
    /// Its key.
    pub key: String,
    /// Whose it is.
    pub owner: String,
    /// When it goes, in milliseconds since 1970.
    pub ends: u64,
}

/// Memory for what was written lately; committed things make room.
const RECENT_BYTES: usize = 4 << 20;

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl Kept {
    pub(super) fn new(queue: Arc<Queue>, db: Arc<Db>, clock: Arc<dyn Clock>) -> Self {
        Self { queue, db, clock, recent: Arc::default() }
    }

    /// Keeps a thing for some time, replacing what was there. Never waits for the disk; can be read at once.
    ///
    /// `false`: the store cannot take it now (closed, or the disk has failed for long); it is counted as lost.
    pub fn put(&self, space: &'static str, key: &str, owner: &str, keep: Duration, value: &[u8]) -> bool {
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let ends = self.clock.unix_ms().saturating_add(keep);
        let Some(row) = encode(owner, ends, value) else {
            return false;
        };
        let job = Job::Put { space: space.to_owned(), key: key.to_owned(), value: row.clone() };
        self.hand_over((space, key.to_owned()), job, Some(Bytes::from(row)))
    }

    /// Forgets a thing.
    pub fn delete(&self, space: &'static str, key: &str) -> bool {
        let job = Job::Delete { space: space.to_owned(), key: key.to_owned() };
        self.hand_over((space, key.to_owned()), job, None)
    }

    /// Forgets what was written lately: another file has taken the place of the one before.
    pub(super) fn forget_recent(&self) {
        *self.recent() = Recent::default();
    }

    fn hand_over(&self, place: Place, job: Job, row: Option<Bytes>) -> bool {
        // Held over both steps, so that what is read first is what is written last.
        let mut recent = self.recent();
        let Some(seq) = self.queue.kept(job) else {
            return false;
        };
        recent.insert(place, seq, row);
        if recent.bytes > RECENT_BYTES {
            recent.make_room(self.queue.committed_to());
        }
        true
    }

    /// A kept thing that has not ended.
    ///
    /// # Errors
    /// When the store cannot be read or the row is damaged.
    pub async fn get(&self, space: &'static str, key: &str) -> Result<Option<KeptEntry>, StoreError> {
        let now = self.clock.unix_ms();
        let place = (space, key.to_owned());
        let recent = self.recent().rows.get(&place).map(|(_, row)| row.clone());
        let entry = match recent {
            Some(row) => row.as_deref().map(decode).transpose()?,
            None => {
                let db = Arc::clone(&self.db);
                blocking(move || db.read(|txn| read_row(txn, place.0, &place.1))).await?
            }
        };
        Ok(entry.filter(|entry| entry.ends > now))
    }

    /// The keys of a namespace that begin with `prefix`, in order, from after `after`. What ended is left out.
    ///
    /// # Errors
    /// When the store cannot be read or a row is damaged.
    pub async fn list(
        &self,
        space: &'static str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<KeptKey>, StoreError> {
        let now = self.clock.unix_ms();
        let recent: Vec<(String, Option<Bytes>)> = self
            .recent()
            .rows
            .iter()
            .filter(|((own, key), _)| *own == space && key.starts_with(prefix))
            .map(|((_, key), (_, row))| (key.clone(), row.clone()))
            .collect();
        let (db, prefix, after) = (Arc::clone(&self.db), prefix.to_owned(), after.map(str::to_owned));
        blocking(move || {
            let mut found = std::collections::BTreeMap::new();
            let hidden = recent.len();
            db.read(|txn| {
                let table = txn.open_table(KEPT)?;
                let from = after.as_deref().unwrap_or(&prefix).max(&prefix).to_owned();
                for row in table.range((space, from.as_str())..)? {
                    let (place, row) = row?;
                    let (own, key) = place.value();
                    // Rows that memory knows better, or that ended, do not fill the page.
                    if own != space || !key.starts_with(&prefix) || found.len() >= limit.saturating_add(hidden) {
                        break;
                    }
                    let (owner, ends, ..) = head(row.value())?;
                    if ends > now {
                        found.insert(key.to_owned(), (owner.to_owned(), ends));
                    }
                }
                Ok(())
            })?;
            for (key, row) in recent {
                found.remove(&key);
                if let Some(row) = row {
                    let (owner, ends, ..) = head(&row)?;
                    if ends > now {
                        found.insert(key, (owner.to_owned(), ends));
                    }
                }
            }
            let fresh = found.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
            Ok(fresh.take(limit).map(|(key, (owner, ends))| KeptKey { key, owner, ends }).collect())
        })
        .await
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn insert(&mut self, place: Place, seq: u64, row: Option<Bytes>) {
        self.bytes += weight(&place, row.as_ref());
        if let Some((_, old)) = self.rows.insert(place.clone(), (seq, row)) {
            self.bytes = self.bytes.saturating_sub(weight(&place, old.as_ref()));
        }
    }

    /// Lets go of what the table has.
    fn make_room(&mut self, committed_to: u64) {
        self.rows.retain(|_, (seq, _)| *seq > committed_to);
        self.bytes = self.rows.iter().map(|(place, (_, row))| weight(place, row.as_ref())).sum();
    }
}

/// About how much memory one takes.
fn weight(place: &Place, row: Option<&Bytes>) -> usize {
    128 + place.1.len() + row.map_or(0, Bytes::len)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Closed))
}

/// `layout u8 | ends u64 | owner length u16 | owner | value`. `None`: the owner's name is absurdly long.
fn encode(owner: &str, ends: u64, value: &[u8]) -> Option<Vec<u8>> {
    let packed = (value.len() >= COMPRESS_FROM).then(|| zstd::bulk::compress(value, LEVEL).ok()).flatten();
    let packed = packed.filter(|packed| packed.len() < value.len());
    let (layout, value) = packed.as_ref().map_or((PLAIN, value), |packed| (COMPRESSED, packed));
    let mut row = Vec::with_capacity(11 + owner.len() + value.len());
    row.push(layout);
    row.extend_from_slice(&ends.to_le_bytes());
    row.extend_from_slice(&u16::try_from(owner.len()).ok()?.to_le_bytes());
    row.extend_from_slice(owner.as_bytes());
    row.extend_from_slice(value);
    Some(row)
}

/// Owner, end, layout and the value as it lies there.
fn head(row: &[u8]) -> Result<(&str, u64, u8, &[u8]), StoreError> {
    let parts = || {
        let (layout, rest) = row.split_first()?;
        let (ends, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (owner, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        Some((std::str::from_utf8(owner).ok()?, u64::from_le_bytes(*ends), *layout, value))
    };
    parts().ok_or_else(|| corrupt("too short"))
}

fn decode(row: &[u8]) -> Result<KeptEntry, StoreError> {
    let (owner, ends, layout, value) = head(row)?;
    let value = match layout {
        PLAIN => Bytes::copy_from_slice(value),
        COMPRESSED => {
            let size = zstd::zstd_safe::get_frame_content_size(value).ok().flatten().unwrap_or(u64::MAX);
            let size =
                usize::try_from(size).ok().filter(|size| *size <= MOST_BYTES).ok_or_else(|| corrupt("its size"))?;
            Bytes::from(zstd::bulk::decompress(value, size).map_err(|why| corrupt(&why.to_string()))?)
        }
        other => return Err(corrupt(&format!("its layout {other} is unknown"))),
    };
    Ok(KeptEntry { owner: owner.to_owned(), ends, value })
}

fn corrupt(why: &str) -> StoreError {
    StoreError::Corrupt { what: "a kept thing".to_owned(), why: why.to_owned() }
}

fn read_row(txn: &ReadTransaction, space: &str, key: &str) -> Result<Option<KeptEntry>, StoreError> {
    let table = txn.open_table(KEPT)?;
    let row = table.get((space, key))?;
    row.map(|row| decode(row.value())).transpose()
}

/// Makes the tables, so that readers find them.
pub(super) fn make_tables(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(KEPT)?;
    txn.open_table(KEPT_ENDS)?;
    Ok(())
}

/// Puts a row into its table, and its end into the other.
pub(super) fn write_row(txn: &WriteTransaction, space: &str, key: &str, row: &[u8]) -> Result<(), StoreError> {
    delete_row(txn, space, key)?;
    let (_, ends, ..) = head(row)?;
    txn.open_table(KEPT)?.insert((space, key), row)?;
    txn.open_table(KEPT_ENDS)?.insert((ends, space, key), ())?;
    Ok(())
}

/// Takes a row out of both tables.
pub(super) fn delete_row(txn: &WriteTransaction, space: &str, key: &str) -> Result<(), StoreError> {
    let mut table = txn.open_table(KEPT)?;
    let old = table.remove((space, key))?.map(|row| head(row.value()).map(|(_, ends, ..)| ends)).transpose()?;
    if let Some(ends) = old {
        txn.open_table(KEPT_ENDS)?.remove((ends, space, key))?;
    }
    Ok(())
}

/// Whether something has ended.
pub(super) fn any_ended(txn: &ReadTransaction, now: u64) -> Result<bool, StoreError> {
    let table = txn.open_table(KEPT_ENDS)?;
    Ok(table.first()?.is_some_and(|(key, _)| key.value().0 <= now))
}

/// Removes what has ended, up to a number; returns how many.
pub(super) fn remove_ended(txn: &WriteTransaction, now: u64, limit: usize) -> Result<usize, StoreError> {
    let ended: Vec<(String, String)> = {
        let table = txn.open_table(KEPT_ENDS)?;
        let rows = table.range(..(now.saturating_add(1), "", ""))?.take(limit);
        rows.map(|row| row.map(|(key, _)| (key.value().1.to_owned(), key.value().2.to_owned())))
            .collect::<Result<_, redb::StorageError>>()?
    };
    for (space, key) in &ended {
        delete_row(txn, space, key)?;
    }
    Ok(ended.len())
}
