//! Schema versions: a newer file is refused, an older one is copied and then brought up step by step.

use std::fs;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, TableError, WriteTransaction};

use super::ledger::{index_all, index_failures};
use super::tables::{META, SCHEMA};
use super::{StoreError, private};

/// Brings a file from one schema to the next, inside one transaction.
type Step = fn(&WriteTransaction) -> Result<(), StoreError>;

/// `STEPS[n]` leads from schema `n + 1` to `n + 2`.
const STEPS: [Step; (SCHEMA - 1) as usize] = [index_all, index_failures];

/// Row of [`META`] with the schema, as decimal text.
const VERSION: &str = "schema";

/// Brings the database to the newest schema.
pub(super) fn to_newest(
    database: Database,
    path: &Path,
    open: impl Fn(&Path) -> Result<Database, StoreError>,
) -> Result<Database, StoreError> {
    migrate(database, path, open, &STEPS)
}

/// Marks a file whose schema has never changed; one of a newer schema is refused.
pub(super) fn of_the_first(database: Database, path: &Path) -> Result<Database, StoreError> {
    migrate(database, path, |path| Ok(Database::create(path)?), &[])
}

fn migrate(
    database: Database,
    path: &Path,
    open: impl Fn(&Path) -> Result<Database, StoreError>,
    steps: &[Step],
) -> Result<Database, StoreError> {
    let known = steps.len() as u64 + 1;
    let Some(found) = version(&database)? else {
        let txn = database.begin_write()?;
        set_version(&txn, known)?;
        txn.commit()?;
        return Ok(database);
    };
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    if found == known {
        return Ok(database);
    }
    // The copy is made of a file that nobody has open, so that it is whole.
    drop(database);
    let copy = path.with_extension(format!("redb.v{found}.bak"));
    let mut copied = private::make(&copy).map_err(StoreError::io(&copy))?;
    fs::File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut copied)).map_err(StoreError::io(&copy))?;
    let database = open(path)?;
    let txn = database.begin_write()?;
    for step in steps.iter().skip(usize::try_from(found.saturating_sub(1)).unwrap_or(usize::MAX)) {
        step(&txn)?;
    }
    set_version(&txn, known)?;
    txn.commit()?;
    Ok(database)
}

fn version(database: &Database) -> Result<Option<u64>, StoreError> {
    let txn = database.begin_read()?;
    let table = match txn.open_table(META) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(row) = table.get(VERSION)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(row.value()).into_owned();
    text.parse().map(Some).map_err(|_| StoreError::Corrupt {
        what: "the schema version".to_owned(),
        why: format!("'{text}' is no number"),
    })
}

/// Marks a file.
pub(super) fn set_version(txn: &WriteTransaction, version: u64) -> Result<(), StoreError> {
    txn.open_table(META)?.insert(VERSION, version.to_string().as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<Database, StoreError> {
        Ok(Database::create(path)?)
    }

    fn mark(txn: &WriteTransaction) -> Result<(), StoreError> {
        txn.open_table(META)?.insert("mark", b"stepped".as_slice())?;
        Ok(())
    }

    #[test]
    fn an_older_file_is_copied_then_brought_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.redb");
        drop(migrate(open(&path).unwrap(), &path, open, &[]).unwrap());
        let database = migrate(open(&path).unwrap(), &path, open, &[mark]).unwrap();
        assert_eq!(version(&database).unwrap(), Some(2));
        assert!(database.begin_read().unwrap().open_table(META).unwrap().get("mark").unwrap().is_some());
        let copy = open(&dir.path().join("a.redb.v1.bak")).unwrap();
        assert_eq!(version(&copy).unwrap(), Some(1));
        assert!(copy.begin_read().unwrap().open_table(META).unwrap().get("mark").unwrap().is_none());
    }

    fn breaks_off(txn: &WriteTransaction) -> Result<(), StoreError> {
        mark(txn)?;
        Err(StoreError::Closed)
    }

    #[test]
    fn case_54_a_migration_that_breaks_off_changes_nothing_and_is_done_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.redb");
        drop(migrate(open(&path).unwrap(), &path, open, &[]).unwrap());
        for _ in 0..2 {
            assert!(migrate(open(&path).unwrap(), &path, open, &[breaks_off]).is_err());
            let same = open(&path).unwrap();
            assert_eq!(version(&same).unwrap(), Some(1));
            assert!(same.begin_read().unwrap().open_table(META).unwrap().get("mark").unwrap().is_none());
        }
        let database = migrate(open(&path).unwrap(), &path, open, &[mark]).unwrap();
        assert_eq!(version(&database).unwrap(), Some(2));
    }

    #[test]
    fn a_newer_file_is_refused_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.redb");
        drop(migrate(open(&path).unwrap(), &path, open, &[mark]).unwrap());
        let error = migrate(open(&path).unwrap(), &path, open, &[]).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("newer myelin"));
        assert_eq!(version(&open(&path).unwrap()).unwrap(), Some(2));
    }

    #[test]
    fn a_file_of_the_same_schema_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.redb");
        drop(to_newest(open(&path).unwrap(), &path, open).unwrap());
        drop(to_newest(open(&path).unwrap(), &path, open).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
