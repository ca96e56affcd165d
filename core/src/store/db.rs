//! The one database file: opening it as its only owner, transactions, opening it again after the disk failed.
//!
//! The only place that holds a `redb::Database`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase as _, WriteTransaction};

use super::{StoreError, migrate, private};

/// The database in the data directory.
pub(super) const FILE: &str = "myelin.redb";
/// Says which process has the store.
const OWNER: &str = "owner.pid";
/// redb's default of 1 GiB fills up within minutes of traffic.
const CACHE_BYTES: usize = 32 << 20;

/// The database, as long as it can be had.
pub(super) struct Db {
    /// The note with the owner's process, beside the main file.
    owner: Option<PathBuf>,
    path: PathBuf,
    cache_bytes: usize,
    // Taken for writing only to open the file again: readers and the writer do not wait for each other.
    database: RwLock<Option<Database>>,
}

impl Db {
    /// Opens or makes the file, locked for this process, at the newest schema.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        make_private(dir)?;
        let path = dir.join(FILE);
        let database = match open_file(&path, CACHE_BYTES) {
            Err(StoreError::Database(error)) if matches!(*error, redb::Error::DatabaseAlreadyOpen) => {
                let owner = fs::read_to_string(dir.join(OWNER)).ok().and_then(|text| text.trim().parse().ok());
                return Err(StoreError::InUse { dir: dir.to_owned(), owner });
            }
            other => other?,
        };
        let database = migrate::to_newest(database, &path, |path| open_file(path, CACHE_BYTES))?;
        let owner = dir.join(OWNER);
        private::write(&owner, std::process::id().to_string().as_bytes()).map_err(StoreError::io(&owner))?;
        Ok(Self { owner: Some(owner), path, cache_bytes: CACHE_BYTES, database: RwLock::new(Some(database)) })
    }

    /// Opens or makes another file of the directory, whose owner has the main one already.
    pub(super) fn open_beside(dir: &Path, file: &str, cache_bytes: usize) -> Result<Self, StoreError> {
        let path = dir.join(file);
        let database = migrate::of_the_first(open_file(&path, cache_bytes)?, &path)?;
        Ok(Self { owner: None, path, cache_bytes, database: RwLock::new(Some(database)) })
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a consistent state.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = guard.as_ref().ok_or(StoreError::Closed)?;
        work(&database.begin_read()?)
    }

    /// Pages that were looked at since the file was opened, in memory or on the disk. 0: it cannot be read now.
    pub(super) fn pages_read(&self) -> u64 {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        guard.as_ref().map_or(0, |database| {
            let stats = database.cache_stats();
            stats.read_hits() + stats.read_misses()
        })
    }

    /// Writes all or nothing; on disk when this returns.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = self.write_once(work);
        if let Err(StoreError::Database(error)) = &done
            && matches!(**error, redb::Error::PreviousIo | redb::Error::Io(_))
        {
            // After an IO error redb refuses all work until the file is opened again.
            self.reopen()?;
        }
        done
    }

    fn write_once<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let txn = guard.as_ref().ok_or(StoreError::Closed)?.begin_write()?;
        let out = work(&txn)?;
        txn.commit()?;
        Ok(out)
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *guard = None;
        *guard = Some(open_file(&self.path, self.cache_bytes)?);
        Ok(())
    }

    /// Takes another file in place of this one, which goes aside. If the other cannot be opened, everything stays as it was.
    pub(super) fn replace(&self, with: &Path, aside: &Path) -> Result<(), StoreError> {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *guard = None;
        let own = &self.path;
        let taken = fs::rename(own, aside).and_then(|()| fs::rename(with, own)).map_err(StoreError::io(own));
        match taken.and_then(|()| open_file(own, self.cache_bytes)) {
            Ok(database) => {
                *guard = Some(database);
                Ok(())
            }
            Err(why) => {
                if aside.exists() {
                    fs::rename(aside, own).map_err(StoreError::io(own))?;
                }
                *guard = Some(open_file(own, self.cache_bytes)?);
                Err(why)
            }
        }
    }

    /// Makes the file unusable; the result makes it usable again.
    #[cfg(test)]
    pub(super) fn break_for_test(&self) -> impl FnOnce() + use<> {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *guard = None;
        let (path, aside) = (self.path.clone(), self.path.with_extension("aside"));
        fs::rename(&path, &aside).unwrap();
        fs::create_dir(&path).unwrap();
        move || {
            fs::remove_dir(&path).unwrap();
            fs::rename(&aside, &path).unwrap();
        }
    }

    /// Opens again a file that an earlier [`Db::write`] could not.
    pub(super) fn ensure_open(&self) -> Result<(), StoreError> {
        let closed = self.database.read().unwrap_or_else(PoisonError::into_inner).is_none();
        if closed { self.reopen() } else { Ok(()) }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // Only ever removed while the file is still locked: the next owner's note must stay.
        if let Some(owner) = &self.owner {
            let _ = fs::remove_file(owner);
        }
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Db").field(&self.path).finish()
    }
}

/// Opens or makes a file, readable by its owner only.
pub(super) fn open_file(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    let file = private::open(path, fs::OpenOptions::new().read(true).write(true)).map_err(StoreError::io(path))?;
    Builder::new().set_cache_size(cache_bytes).create_file(file).map_err(|error: DatabaseError| error.into())
}

/// Makes the data directory, readable by its owner only.
pub(super) fn make_private(dir: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(StoreError::io(dir))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir).map_err(StoreError::io(dir))?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(StoreError::io(dir))?;
        }
    }
    Ok(())
}
