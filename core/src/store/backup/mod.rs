//! Backup and restore of everything: configuration with its secrets, records, sums, counters, kept things and bodies, as one encrypted stream.
//!
//! What is written is the tables as they stand, from one consistent state, compressed, then sealed under a passphrase. Secrets of channels are sealed a
//! second time with a key that travels inside, and with the own master key when they arrive. A restore builds a new file beside the store and takes it only
//! when the last byte was right. Must not know what rows mean.

mod sealed;
mod tables;

use std::borrow::Cow;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use redb::{Database, TableHandle as _};
use serde::{Deserialize, Serialize};

use super::db::{Db, open_file};
use super::proof::{SEAL_ROW, SEAL_TEXT};
use super::seal::Seal;
use super::tables::{CHANGE_ROWS, CHANNELS, META, REQUESTS, SCHEMA};
use super::{StoreError, bodies, held, history, migrate};
use crate::model::Secret;
use crate::model::Told;
use crate::told;
pub use sealed::LEAST_PASSPHRASE;
use sealed::{Opener, Sealer};
use tables::{Carried, MAIN, SCHEMA_ROW};

/// The shape of what is inside; a newer one is refused.
const FORMAT: u64 = 1;
const LEVEL: i32 = 3;
/// Bytes of rows that are written in one transaction.
const BATCH_BYTES: usize = 16 << 20;
/// No row is larger.
const MOST_ROW: u32 = 1 << 30;
const CACHE_BYTES: usize = 16 << 20;

/// A file that is being put together from a backup, before it is taken.
pub(super) const STAGED: &str = "restore.redb";
/// And that of bodies.
pub(super) const STAGED_BODIES: &str = "restore-bodies.redb";
/// Where what was there before goes, until the next restore.
pub(super) const ASIDE: &str = "before-restore.redb";
/// And its bodies.
pub(super) const ASIDE_BODIES: &str = "before-restore-bodies.redb";

/// What stands in a stream.
const MANIFEST: u8 = 1;
const TABLE: u8 = 2;
const ROW: u8 = 3;
const END: u8 = 4;

/// A backup cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Too short.
    #[error("{}", self.told())]
    WeakPassphrase,
    /// Not this one.
    #[error("{}", self.told())]
    WrongPassphrase,
    /// Something else.
    #[error("{}", self.told())]
    NoBackup,
    /// A newer Myelin made it.
    #[error("{}", self.told())]
    Newer {
        /// `format` or `schema`.
        what: &'static str,
        /// In the backup.
        found: u64,
        /// The newest that this program knows.
        known: u64,
    },
    /// Its end is missing.
    #[error("{}", self.told())]
    Truncated,
    /// Something in it is not as it was written.
    #[error("{}", self.told())]
    Damaged(String),
    /// There is one already.
    #[error("{}", self.told())]
    Busy,
    /// It could not be read or written.
    #[error("{}", self.told())]
    Io(std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// The words for people.
    pub fn told(&self) -> Told {
        match self {
            Self::WeakPassphrase => told!(
                "passphrase-weak",
                "the passphrase is too short: at least {least} characters",
                least = LEAST_PASSPHRASE,
            ),
            Self::WrongPassphrase => told!("passphrase-wrong", "the passphrase is wrong: nothing was changed"),
            Self::NoBackup => told!("no-backup", "this is no backup of myelin"),
            Self::Newer { what, found, known } => told!(
                "backup-newer",
                "the backup was made by a newer myelin ({part} {found}, this one knows {known}): update this myelin; nothing was changed",
                part = what,
                found = found,
                known = known,
            ),
            Self::Truncated => {
                told!("backup-cut", "the backup is cut off: its end is missing; nothing was changed")
            }
            Self::Damaged(why) => {
                told!("backup-damaged", "the backup is damaged ({why}); nothing was changed", why = why)
            }
            Self::Busy => told!("backup-busy", "another backup or restore is under way"),
            Self::Io(why) => told!("backup-io", "{why}", why = why),
            Self::Store(error) => error.told(),
        }
    }
}

impl From<std::io::Error> for BackupError {
    fn from(error: std::io::Error) -> Self {
        // What the layers below found out travels inside.
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Self::Truncated,
            Err(error) => Self::Io(error),
        }
    }
}

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BackupSummary {
    /// When it was made; milliseconds since 1970.
    pub made: u64,
    /// The program that made it.
    pub version: String,
    /// Request records.
    pub records: u64,
    /// Requests with kept bodies.
    pub bodies: u64,
    /// Rows of everything else.
    pub other: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u64,
    schema: u64,
    made: u64,
    version: String,
    /// Whether the bodies follow.
    bodies: bool,
    /// The key that seals the secrets of channels on their way.
    seal: String,
}

/// Writes everything. `main` and `bodies` are read in one consistent state each.
pub(super) fn write(
    main: &Db,
    bodies: Option<&Db>,
    seal: &Seal,
    made: u64,
    passphrase: &Secret,
    out: impl Write,
) -> Result<BackupSummary, BackupError> {
    let sealer = Sealer::new(out, passphrase)?;
    let mut out = zstd::stream::write::Encoder::new(sealer, LEVEL)?;
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|why| StoreError::Random(why.to_string()))?;
    let key = BASE64.encode(key);
    let travel = Seal::from_text(&key);
    let manifest = Manifest {
        format: FORMAT,
        schema: SCHEMA,
        made,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bodies: bodies.is_some(),
        seal: key,
    };
    let mut summary = BackupSummary { made, version: manifest.version.clone(), ..BackupSummary::default() };
    put(&mut out, MANIFEST, &[&json(&manifest)?])?;
    let mut dump = |db: &Db, tables: &[Carried]| -> Result<(), BackupError> {
        db.read(|txn| Ok(dump(txn, tables, (seal, &travel), &mut out, &mut summary)))?
    };
    dump(main, MAIN)?;
    if let Some(db) = bodies {
        dump(db, tables::BODIES)?;
    }
    put(&mut out, END, &[&json(&summary)?])?;
    out.finish()?.finish()?;
    Ok(summary)
}

/// Writes tables from one state. `seals`: how channels are sealed here, and on the way.
fn dump(
    txn: &redb::ReadTransaction,
    tables: &[Carried],
    seals: (&Seal, &Seal),
    out: &mut impl Write,
    summary: &mut BackupSummary,
) -> Result<(), BackupError> {
    for table in tables {
        put(out, TABLE, &[table.name.as_bytes()])?;
        (table.dump)(txn, &mut |key, value| {
            let Some(value) = carry(table.name, key, value, seals)? else { return Ok(()) };
            summary.count(table.name);
            put(out, ROW, &[key, &value])
        })?;
    }
    Ok(())
}

/// A row sealed anew if it holds secrets; `None`: it stays where it is.
fn carry<'a>(
    table: &str,
    key: &[u8],
    value: &'a [u8],
    (from, to): (&Seal, &Seal),
) -> Result<Option<Cow<'a, [u8]>>, BackupError> {
    let name = || String::from_utf8_lossy(key);
    Ok(match table {
        table if table == META.name() && [SEAL_ROW, SCHEMA_ROW].contains(&name().as_ref()) => None,
        table if table == CHANNELS.name() => Some(held::reseal(&name(), value, from, to)?.into()),
        table if table == CHANGE_ROWS.name() => Some(history::reseal_one(value, from, to)?.into()),
        _ => Some(value.into()),
    })
}

impl BackupSummary {
    fn count(&mut self, table: &str) {
        match table {
            table if table == REQUESTS.name() => self.records += 1,
            table if table == bodies::BODIES.name() => self.bodies += 1,
            _ => self.other += 1,
        }
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, BackupError> {
    serde_json::to_vec(value).map_err(|why| BackupError::Damaged(why.to_string()))
}

/// Writes one piece: a tag and byte strings with their lengths.
fn put(out: &mut impl Write, tag: u8, parts: &[&[u8]]) -> Result<(), BackupError> {
    out.write_all(&[tag])?;
    for part in parts {
        let length = u32::try_from(part.len()).map_err(|_| BackupError::Damaged("a row is too large".to_owned()))?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(part)?;
    }
    Ok(())
}

fn take(input: &mut impl Read) -> Result<Vec<u8>, BackupError> {
    let mut length = [0_u8; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MOST_ROW {
        return Err(BackupError::Damaged("a row is too large".to_owned()));
    }
    // Grows with what really comes, not with what is claimed.
    let mut bytes = Vec::new();
    input.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == u64::from(length) { Ok(bytes) } else { Err(BackupError::Truncated) }
}

/// A backup that was read to its end and lies in files of its own, ready to be taken.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) main: PathBuf,
    /// `None`: the backup has no bodies.
    pub(super) bodies: Option<PathBuf>,
    pub(super) summary: BackupSummary,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What was taken is no longer there under these names.
        for path in [Some(&self.main), self.bodies.as_ref()].into_iter().flatten() {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Reads a backup to its end into new files in the data directory, channels sealed with the own key. Nothing else is touched.
pub(super) fn stage(dir: &Path, seal: &Seal, passphrase: &Secret, input: impl Read) -> Result<Staged, BackupError> {
    let opener = Opener::new(input, passphrase)?;
    let mut input = BufReader::new(zstd::stream::read::Decoder::new(opener)?);
    let mut tag = [0_u8];
    input.read_exact(&mut tag)?;
    let damaged = |why: &str| BackupError::Damaged(why.to_owned());
    if tag != [MANIFEST] {
        return Err(damaged("it does not begin as it should"));
    }
    let manifest: Manifest =
        serde_json::from_slice(&take(&mut input)?).map_err(|why| BackupError::Damaged(why.to_string()))?;
    for (what, found, known) in [("format", manifest.format, FORMAT), ("schema", manifest.schema, SCHEMA)] {
        if found > known {
            return Err(BackupError::Newer { what, found, known });
        }
    }
    let mut staged = Staged {
        main: dir.join(STAGED),
        bodies: manifest.bodies.then(|| dir.join(STAGED_BODIES)),
        summary: BackupSummary { made: manifest.made, version: manifest.version.clone(), ..BackupSummary::default() },
    };
    let travel = Seal::from_text(&manifest.seal);
    let fresh = |path: &Path| -> Result<Database, BackupError> {
        let _ = std::fs::remove_file(path);
        Ok(open_file(path, CACHE_BYTES)?)
    };
    let mut files = Files {
        main: fresh(&staged.main)?,
        bodies: staged.bodies.as_deref().map(fresh).transpose()?,
        table: None,
        rows: Vec::new(),
        bytes: 0,
    };
    loop {
        input.read_exact(&mut tag)?;
        match tag {
            [TABLE] => {
                files.flush()?;
                let name = take(&mut input)?;
                let table = tables::find(&name).ok_or_else(|| {
                    BackupError::Damaged(format!("the table '{}' is unknown", String::from_utf8_lossy(&name)))
                })?;
                files.table = Some(table);
            }
            [ROW] => {
                let (key, value) = (take(&mut input)?, take(&mut input)?);
                let table = files.table.ok_or_else(|| damaged("a row stands outside all tables"))?;
                let Some(value) = carry(table.name, &key, &value, (&travel, seal))?.map(Cow::into_owned) else {
                    return Err(damaged("it holds what it should not"));
                };
                staged.summary.count(table.name);
                files.add(key, value)?;
            }
            [END] => break,
            _ => return Err(damaged("something in it is unknown")),
        }
    }
    files.flush()?;
    let told: BackupSummary =
        serde_json::from_slice(&take(&mut input)?).map_err(|why| BackupError::Damaged(why.to_string()))?;
    if told != staged.summary {
        return Err(damaged("not all rows are there"));
    }
    // To the last byte, so that what was cut off behind is noticed too.
    if input.read(&mut tag)? != 0 {
        return Err(damaged("something stands behind its end"));
    }
    files.finish(&staged, &manifest, seal)?;
    Ok(staged)
}

/// The files that rows go into.
struct Files {
    main: Database,
    bodies: Option<Database>,
    table: Option<&'static Carried>,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Files {
    fn add(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), BackupError> {
        self.bytes += key.len() + value.len() + 64;
        self.rows.push((key, value));
        if self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let Some(table) = self.table.filter(|_| !rows.is_empty()) else { return Ok(()) };
        let beside = || BackupError::Damaged("bodies stand where none should".to_owned());
        let database = if table.beside { self.bodies.as_ref().ok_or_else(beside)? } else { &self.main };
        let txn = database.begin_write().map_err(StoreError::from)?;
        (table.put)(&txn, &rows)?;
        txn.commit().map_err(StoreError::from)?;
        Ok(())
    }

    /// Marks both files as ours and brings them to the newest schema.
    fn finish(self, staged: &Staged, manifest: &Manifest, seal: &Seal) -> Result<(), BackupError> {
        let proof = seal.seal(SEAL_ROW, SEAL_TEXT)?;
        let txn = self.main.begin_write().map_err(StoreError::from)?;
        migrate::set_version(&txn, manifest.schema)?;
        txn.open_table(META).map_err(StoreError::from)?.insert(SEAL_ROW, proof.as_bytes()).map_err(StoreError::from)?;
        txn.commit().map_err(StoreError::from)?;
        let main = migrate::to_newest(self.main, &staged.main, |path| open_file(path, CACHE_BYTES))?;
        drop(main);
        let copy = staged.main.with_extension(format!("redb.v{}.bak", manifest.schema));
        let _ = std::fs::remove_file(copy);
        if let (Some(database), Some(path)) = (self.bodies, &staged.bodies) {
            drop(migrate::of_the_first(database, path)?);
        }
        Ok(())
    }
}

/// A stream that holds only a beginning.
#[cfg(test)]
pub(super) fn write_for_test(manifest: &[u8], passphrase: &Secret) -> Vec<u8> {
    let mut bytes = Vec::new();
    let sealer = Sealer::new(&mut bytes, passphrase).unwrap();
    let mut out = zstd::stream::write::Encoder::new(sealer, LEVEL).unwrap();
    put(&mut out, MANIFEST, &[manifest]).unwrap();
    out.finish().unwrap().finish().unwrap();
    bytes
}
