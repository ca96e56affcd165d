//! Answers that the cache keeps on disk, in a file of its own: `answers.redb` beside the store. Nothing in it is missed: a damaged file is thrown away.
//!
//! Knows bytes by a hash, when they end, and how many there may be; what went in first goes first. Calls wait for the disk: not for the hot path.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

use redb::{
    Builder, Database, Durability, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition,
};

use super::{StoreError, private};

const FILE: &str = "answers.redb";
/// By hash: place in the order, end in milliseconds since 1970, the answer.
const ROWS: TableDefinition<'static, &'static [u8; 32], (u64, u64, &'static [u8])> = TableDefinition::new("answers");
/// Place in the order: hash and size.
const ORDER: TableDefinition<'static, u64, (&'static [u8; 32], u64)> = TableDefinition::new("order");
/// When answers end.
const ENDS: TableDefinition<'static, (u64, u64), &'static [u8; 32]> = TableDefinition::new("ends");
/// How many that have ended go with each that comes.
const SWEEP: usize = 64;
const CACHE_BYTES: usize = 4 << 20;

/// A hash of everything that an answer depends on.
pub type AnswerKey = [u8; 32];

/// The file of kept answers; made when the first one is kept.
#[derive(Debug)]
pub struct Answers {
    path: PathBuf,
    open: Mutex<Option<Open>>,
}

struct Open {
    database: Database,
    bytes: u64,
    next: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Answers {
    /// The file in the data directory, opened when it is needed.
    pub fn beside(dir: &Path) -> Self {
        Self { path: dir.join(FILE), open: Mutex::new(None) }
    }

    /// The answer under `key` with its end, if it has not ended.
    ///
    /// # Errors
    /// When the file cannot be read; it is then made anew next time.
    pub fn get(&self, key: &AnswerKey, now: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        if !self.path.exists() {
            return Ok(None);
        }
        self.with(|open| {
            let txn = open.database.begin_read()?;
            let row = txn.open_table(ROWS)?.get(key)?.map(|row| {
                let (_, ends, value) = row.value();
                (ends, value.to_vec())
            });
            Ok(row.filter(|(ends, _)| *ends > now))
        })
    }

    /// Keeps an answer; older ones make room so that no more than `most` bytes are kept.
    ///
    /// # Errors
    /// When the file cannot be written; it is then made anew next time.
    pub fn put(&self, key: &AnswerKey, ends: u64, value: &[u8], now: u64, most: u64) -> Result<(), StoreError> {
        let size = value.len() as u64;
        if size > most {
            return Ok(());
        }
        self.with(|open| {
            let mut txn = open.database.begin_write()?;
            // A power cut may cost the last answers; a file that is made anew costs nothing either.
            drop(txn.set_durability(Durability::None));
            let mut bytes = open.bytes;
            {
                let mut rows = txn.open_table(ROWS)?;
                let mut order = txn.open_table(ORDER)?;
                let mut by_end = txn.open_table(ENDS)?;
                let mut gone: Vec<AnswerKey> = by_end
                    .range(..(now, u64::MAX))?
                    .take(SWEEP)
                    .map(|row| row.map(|(_, key)| *key.value()))
                    .collect::<Result<_, _>>()?;
                gone.push(*key);
                for key in gone {
                    bytes = bytes.saturating_sub(remove(&mut rows, &mut order, &mut by_end, &key)?);
                }
                while bytes + size > most {
                    let Some(first) = order.first()?.map(|(_, row)| *row.value().0) else { break };
                    let freed = remove(&mut rows, &mut order, &mut by_end, &first)?;
                    bytes = bytes.saturating_sub(freed.max(1));
                }
                let place = open.next;
                rows.insert(key, (place, ends, value))?;
                order.insert(place, (key, size))?;
                by_end.insert((ends, place), key)?;
            }
            txn.commit()?;
            open.bytes = bytes + size;
            open.next += 1;
            Ok(())
        })
    }

    /// How many answers and bytes are kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn size(&self) -> Result<(u64, u64), StoreError> {
        if !self.path.exists() {
            return Ok((0, 0));
        }
        self.with(|open| {
            let count = open.database.begin_read()?.open_table(ROWS)?.len()?;
            Ok((count, open.bytes))
        })
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(&self.path)(error)),
            _ => Ok(()),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Open) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut guard = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = Some(open(&self.path)?);
        }
        let Some(file) = guard.as_mut() else { return Err(StoreError::Closed) };
        let done = work(file);
        if done.is_err() {
            *guard = None;
        }
        done
    }
}

type Rows<'t> = redb::Table<'t, &'static [u8; 32], (u64, u64, &'static [u8])>;
type Order<'t> = redb::Table<'t, u64, (&'static [u8; 32], u64)>;
type Ends<'t> = redb::Table<'t, (u64, u64), &'static [u8; 32]>;

/// Takes an answer out of all tables; gives its size.
fn remove(rows: &mut Rows<'_>, order: &mut Order<'_>, ends: &mut Ends<'_>, key: &AnswerKey) -> Result<u64, StoreError> {
    let Some((place, end, size)) = rows.remove(key)?.map(|row| {
        let (place, end, value) = row.value();
        (place, end, value.len() as u64)
    }) else {
        return Ok(0);
    };
    order.remove(place)?;
    ends.remove((end, place))?;
    Ok(size)
}

/// Opens the file, or makes it anew if it cannot be read.
fn open(path: &Path) -> Result<Open, StoreError> {
    match open_once(path) {
        Ok(open) => Ok(open),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the file of kept answers is made anew");
            fs::remove_file(path).map_err(StoreError::io(path))?;
            open_once(path)
        }
    }
}

fn open_once(path: &Path) -> Result<Open, StoreError> {
    let file = private::open(path, fs::OpenOptions::new().read(true).write(true)).map_err(StoreError::io(path))?;
    let database = Builder::new().set_cache_size(CACHE_BYTES).create_file(file)?;
    let txn = database.begin_write()?;
    txn.open_table(ROWS)?;
    txn.open_table(ORDER)?;
    txn.open_table(ENDS)?;
    txn.commit()?;
    let (mut bytes, mut next) = (0, 0);
    {
        let txn = database.begin_read()?;
        let order = txn.open_table(ORDER)?;
        for row in order.iter()? {
            let (place, row) = row?;
            bytes += row.value().1;
            next = place.value() + 1;
        }
    }
    Ok(Open { database, bytes, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> AnswerKey {
        [number; 32]
    }

    #[test]
    fn the_oldest_make_room_and_what_ended_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let answers = Answers::beside(dir.path());
        assert_eq!(answers.get(&key(1), 0).unwrap(), None);
        assert!(!dir.path().join(FILE).exists(), "reading makes no file");
        for number in 1..=4 {
            answers.put(&key(number), 1_000, &[number; 100], 0, 300).unwrap();
        }
        assert_eq!(answers.size().unwrap(), (3, 300));
        assert_eq!(answers.get(&key(1), 0).unwrap(), None);
        assert_eq!(answers.get(&key(4), 0).unwrap(), Some((1_000, vec![4; 100])));
        assert_eq!(answers.get(&key(4), 1_000).unwrap(), None, "it has ended");
        answers.put(&key(4), 2_000, &[9; 50], 0, 300).unwrap();
        assert_eq!(answers.size().unwrap(), (3, 250), "a newer one replaces it");
        answers.put(&key(5), 9_000, &[5; 10], 1_500, 300).unwrap();
        assert_eq!(answers.size().unwrap(), (2, 60), "what ended went along");
        answers.put(&key(6), 9_000, &[6; 400], 1_500, 300).unwrap();
        assert_eq!(answers.size().unwrap(), (2, 60), "what is larger than everything is not kept");
    }

    #[test]
    fn it_is_there_after_a_restart_and_a_damaged_file_is_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let answers = Answers::beside(dir.path());
        answers.put(&key(1), 1_000, b"one", 0, 300).unwrap();
        drop(answers);
        let answers = Answers::beside(dir.path());
        assert_eq!(answers.get(&key(1), 0).unwrap(), Some((1_000, b"one".to_vec())));
        drop(answers);
        fs::write(dir.path().join(FILE), b"this is no database at all, however long it is").unwrap();
        let answers = Answers::beside(dir.path());
        assert_eq!(answers.get(&key(1), 0).unwrap(), None);
        answers.put(&key(2), 1_000, b"two", 0, 300).unwrap();
        assert_eq!(answers.size().unwrap(), (1, 3));
        answers.clear().unwrap();
        assert_eq!(answers.size().unwrap(), (0, 0));
    }
}
