//! Which tables a backup carries, and how their rows become bytes and rows again.

use redb::{Key, ReadTransaction, ReadableTable as _, TableDefinition, TableError, Value, WriteTransaction};

use super::BackupError;
use crate::store::StoreError;
use crate::store::bodies;
use crate::store::tables as own;

/// Row of the facts about a file that tells its schema.
pub(super) const SCHEMA_ROW: &str = "schema";

/// What is done with each row.
type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), BackupError>;

/// Key and value, as they are stored.
type Row = (Vec<u8>, Vec<u8>);

/// One table.
pub(super) struct Carried {
    pub(super) name: &'static str,
    /// It stands in the file of bodies.
    pub(super) beside: bool,
    pub(super) dump: fn(&ReadTransaction, Each<'_>) -> Result<(), BackupError>,
    pub(super) put: fn(&WriteTransaction, &[Row]) -> Result<(), BackupError>,
}

macro_rules! carried {
    ($beside:literal: $($table:path = $name:literal),* $(,)?) => {
        &[$( Carried {
            name: $name,
            beside: $beside,
            dump: |txn, each| dump(txn, $table, each),
            put: |txn, rows| put(txn, $table, rows),
        } ),*]
    };
}

/// Everything in the store's file.
pub(super) const MAIN: &[Carried] = carried!(false:
    own::META = "meta",
    own::CHANNELS = "channels",
    own::CHANNEL_STATES = "channel_states",
    own::KEYS = "keys",
    own::FILE_KEYS = "file_keys",
    own::ROUTES = "routes",
    own::PROFILES = "profiles",
    own::OWNERS = "owners",
    own::LIMITS = "limits",
    own::COUNTERS = "counters",
    own::SETTINGS = "settings",
    own::SWITCHES = "switches",
    own::PRICES = "prices",
    own::PRICE_LISTS = "price_lists",
    own::TOKENS = "admin_tokens",
    own::CHANGES = "changes",
    own::CHANGE_ROWS = "change_rows",
    own::NAMES = "names",
    own::REQUESTS = "requests",
    own::LINKS = "links",
    own::SLOTS = "slots",
    own::FAILURES = "failures",
    own::ROLLUPS = "rollups",
    own::KEPT = "kept",
    own::KEPT_ENDS = "kept_ends",
);

/// Everything in the file of bodies. Its facts stand under a name of their own, since both files have some.
pub(super) const BODIES: &[Carried] = carried!(true:
    bodies::BODIES = "bodies",
    bodies::FACTS = "body_facts",
);

/// The table of that name.
pub(super) fn find(name: &[u8]) -> Option<&'static Carried> {
    MAIN.iter().chain(BODIES).find(|table| table.name.as_bytes() == name)
}

fn dump<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
    each: Each<'_>,
) -> Result<(), BackupError> {
    let table = match txn.open_table(table) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(StoreError::from(error).into()),
    };
    for row in table.iter().map_err(StoreError::from)? {
        let (key, value) = row.map_err(StoreError::from)?;
        each(K::as_bytes(&key.value()).as_ref(), V::as_bytes(&value.value()).as_ref())?;
    }
    Ok(())
}

fn put<K: Key + 'static, V: Value + 'static>(
    txn: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
    rows: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), BackupError> {
    let mut table = txn.open_table(table).map_err(StoreError::from)?;
    for (key, value) in rows {
        let fits = |width: Option<usize>, bytes: &[u8]| width.is_none_or(|width| width == bytes.len());
        if !fits(K::fixed_width(), key) || !fits(V::fixed_width(), value) {
            return Err(BackupError::Damaged("a row has the wrong size".to_owned()));
        }
        table.insert(K::from_bytes(key), V::from_bytes(value)).map_err(StoreError::from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Tables that have nothing to carry, with the reason.
    const LEFT_OUT: [(&str, &str); 0] = [];

    #[test]
    fn every_table_of_the_store_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join("store");
        let text = std::fs::read_to_string(root.join("tables.rs")).unwrap();
        let names = text.split("TableDefinition::new(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let mut count = 0;
        for name in names {
            count += 1;
            let known = MAIN.iter().any(|table| table.name == name) || LEFT_OUT.iter().any(|(own, _)| *own == name);
            assert!(known, "{name} is neither carried nor left out");
        }
        assert_eq!(count, MAIN.len());
    }
}
