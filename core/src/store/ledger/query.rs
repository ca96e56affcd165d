//! Reading records: newest first, by filter and cursor.

use redb::ReadTransaction;
use serde::{Deserialize, Serialize};

use super::{codec, id_of_key, key_of_id};
use crate::model::{RequestRecord, RequestState};
use crate::store::StoreError;
use crate::store::tables::REQUESTS;
use crate::store::writer::first_key;

/// Rows that one page looks at: a rare filter answers in bounded time and leads on.
const MOST_ROWS: usize = 100_000;

/// Which records are wanted. `None` lets everything through.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The model that was asked for.
    pub model: Option<String>,
    /// The channel that answered or failed last.
    pub channel: Option<String>,
    /// Id of the virtual key.
    pub key: Option<String>,
    /// How it ended.
    pub state: Option<RequestState>,
    /// Began at this time or later; milliseconds since 1970.
    pub since: Option<u64>,
    /// Began before this time; milliseconds since 1970.
    pub until: Option<u64>,
}

/// A place in the list: 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(u128);

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::str::FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// Some records, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The records.
    pub records: Vec<RequestRecord>,
    /// Where older ones begin; `None`: there are none.
    pub next: Option<Cursor>,
}

pub(super) fn list(
    txn: &ReadTransaction,
    filter: &Filter,
    before: Option<Cursor>,
    limit: usize,
) -> Result<Page, StoreError> {
    let table = txn.open_table(REQUESTS)?;
    let until = filter.until.map_or(u128::MAX, first_key);
    let to = before.map_or(u128::MAX, |cursor| cursor.0).min(until);
    let from = filter.since.map_or(0, first_key);
    let mut page = Page::default();
    if limit == 0 || from >= to {
        return Ok(page);
    }
    for (looked_at, row) in table.range(from..to)?.rev().enumerate() {
        let (key, bytes) = row?;
        let (key, bytes) = (key.value(), bytes.value());
        if codec::matches(bytes, filter) {
            page.records.push(decode(key, bytes)?);
        }
        if page.records.len() == limit || looked_at + 1 == MOST_ROWS {
            page.next = Some(Cursor(key));
            break;
        }
    }
    // The last page leads nowhere.
    if let Some(Cursor(key)) = page.next
        && table.range(from..key)?.next().is_none()
    {
        page.next = None;
    }
    Ok(page)
}

pub(super) fn get(txn: &ReadTransaction, id: &str) -> Result<Option<RequestRecord>, StoreError> {
    let table = txn.open_table(REQUESTS)?;
    let Some(key) = key_of_id(id) else {
        return Ok(None);
    };
    let row = table.get(key)?;
    row.map(|row| decode(key, row.value())).transpose()
}

fn decode(key: u128, bytes: &[u8]) -> Result<RequestRecord, StoreError> {
    let mut record = codec::decode(bytes, &codec::Nameless)
        .ok_or_else(|| StoreError::Corrupt { what: id_of_key(key), why: "its bytes do not read".to_owned() })?;
    if record.id.is_empty() {
        record.id = id_of_key(key);
    }
    Ok(record)
}
