//! Posting records: the row, the indexes that lead to it and the sums that it belongs to, all in one transaction.
//!
//! Exactly once by id: a record that is there already is taken out of the sums before the new one is added, so a journal that is folded in twice, and a
//! record that is written anew, leave sums that are those of the records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use foldhash::{HashMap, HashSet};
use redb::{ReadTransaction, ReadableTable as _, Table, WriteTransaction};
use sha2::{Digest as _, Sha256};

use super::codec::{self, Nameless, Want};
use super::dimension::{Dimension, Values};
use super::names::{Dictionary, Known, Stored};
use super::sums::Sums;
use crate::model::{RequestRecord, RequestState};
use crate::store::StoreError;
use crate::store::db::Db;
use crate::store::tables::{FAILURES, LINKS, NAMES, REQUESTS, ROLLUPS, SLOTS};

/// Milliseconds of an hour and of a day.
pub(super) const HOUR_MS: u64 = 3_600_000;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;
/// First byte of a roll-up's key.
pub(super) const HOURS: u8 = 1;
pub(super) const DAYS: u8 = 2;
/// The index says in which slots of 2^18 ms (4 min 22 s) a value occurs.
const SLOT_BITS: u32 = 18;

/// Names that lead from one request to those that belong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Requests of one task.
    Trace,
    /// Tasks of one conversation.
    Thread,
    /// What a tool calls its session.
    Session,
}

impl Link {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Trace => 1,
            Self::Thread => 2,
            Self::Session => 3,
        }
    }

    /// The id of a record.
    pub(super) fn of(self, record: &RequestRecord) -> Option<&str> {
        match self {
            Self::Trace => record.trace.as_deref(),
            Self::Thread => record.thread.as_deref(),
            Self::Session => record.session.as_deref(),
        }
    }
}

const LINKED: [Link; 3] = [Link::Trace, Link::Thread, Link::Session];

/// What an id is found by: two ids may share it.
pub(super) fn link_hash(id: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// When a record began, by its key.
pub(super) fn time_of(key: u128) -> u64 {
    (key >> 80) as u64
}

pub(super) fn slot_of(key: u128) -> u32 {
    u32::try_from(time_of(key) >> SLOT_BITS).unwrap_or(u32::MAX)
}

/// The first key of a slot.
pub(super) fn slot_start(slot: u32) -> u128 {
    u128::from(u64::from(slot) << SLOT_BITS) << 80
}

/// A record as the journal has it; and the record itself, if it is at hand.
pub(in crate::store) struct Row<'a> {
    pub key: u128,
    pub bytes: &'a [u8],
    pub record: Option<&'a RequestRecord>,
}

/// The dictionary, and the rules by which records are posted.
#[derive(Debug, Default)]
pub(in crate::store) struct Books {
    names: RwLock<Dictionary>,
}

/// Makes the tables, so that readers find them.
pub(in crate::store) fn make_tables(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(REQUESTS)?;
    txn.open_table(NAMES)?;
    txn.open_table(LINKS)?;
    txn.open_table(SLOTS)?;
    txn.open_table(FAILURES)?;
    txn.open_table(ROLLUPS)?;
    Ok(())
}

impl Books {
    /// Reads the dictionary of a file.
    pub(in crate::store) fn load(txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self { names: RwLock::new(Dictionary::load(&txn.open_table(NAMES)?)?) })
    }

    /// Reads the dictionary anew: another file has taken the place of the one before.
    pub(in crate::store) fn reload(&self, db: &Db) -> Result<(), StoreError> {
        let mut names = db.read(|txn| Dictionary::load(&txn.open_table(NAMES)?))?;
        let mut before = self.names.write().unwrap_or_else(PoisonError::into_inner);
        names.follow(&mut before);
        *before = names;
        Ok(())
    }

    /// Which models are configured: they always have room in the dictionary.
    pub(in crate::store) fn configure(&self, models: HashSet<Arc<str>>) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).configure(models);
    }

    /// How large the dictionary may become by what callers write, and how large at all.
    #[cfg(test)]
    pub(in crate::store) fn bound_for_test(&self, told: usize, all: usize) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).bound_for_test(told, all);
    }

    /// The dictionary, to read.
    pub(super) fn names(&self) -> RwLockReadGuard<'_, Dictionary> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts records as the journal has them. Call [`Books::committed`] once the transaction is.
    pub(in crate::store) fn post<'a>(
        &self,
        txn: &WriteTransaction,
        rows: impl Iterator<Item = Row<'a>>,
    ) -> Result<Stored, StoreError> {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        post_all(txn, &mut names, rows)
    }

    /// What was posted is on disk.
    pub(in crate::store) fn committed(&self, stored: Stored) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).committed(stored);
    }

    /// Takes out some records that began before a time; their sums stay. Returns how many.
    pub(in crate::store) fn retire(
        &self,
        txn: &WriteTransaction,
        before: u128,
        most: usize,
    ) -> Result<usize, StoreError> {
        let names = self.names();
        let mut requests = txn.open_table(REQUESTS)?;
        let mut links = txn.open_table(LINKS)?;
        let mut failures = txn.open_table(FAILURES)?;
        let mut gone = 0;
        for row in requests.extract_from_if(..before, |_, _| true)?.take(most) {
            let (key, bytes) = row?;
            let record = codec::decode(bytes.value(), &*names).unwrap_or_default();
            unlink(&mut links, key.value(), &record)?;
            if is_failure(&record) {
                for (dimension, value) in Values::of(&record, bytes.value(), &mut Known(&names)).each() {
                    failures.remove((dimension.code(), value, key.value()))?;
                }
            }
            gone += 1;
        }
        drop(requests);
        if gone < most {
            gone += retire_slots(txn, slot_of(before), most - gone)?;
        }
        Ok(gone)
    }
}

/// Takes entries of slots before one out of the index.
fn retire_slots(txn: &WriteTransaction, before: u32, most: usize) -> Result<usize, StoreError> {
    let mut slots = txn.open_table(SLOTS)?;
    let mut gone = 0;
    let mut from = (0_u8, 0_u32);
    while gone < most {
        let next = slots.range((from.0, from.1, 0)..)?.next().transpose()?;
        let Some((dimension, value, slot)) = next.map(|(key, _)| key.value()) else { break };
        if slot < before {
            for row in slots
                .extract_from_if((dimension, value, 0)..(dimension, value, before), |_, ()| true)?
                .take(most - gone)
            {
                row?;
                gone += 1;
            }
        }
        from = value.checked_add(1).map_or((dimension.saturating_add(1), 0), |value| (dimension, value));
    }
    Ok(gone)
}

type Links<'txn> = Table<'txn, (u8, u64, u128), ()>;

fn link(links: &mut Links<'_>, key: u128, record: &RequestRecord) -> Result<(), StoreError> {
    for kind in LINKED {
        if let Some(id) = kind.of(record) {
            links.insert((kind.code(), link_hash(id), key), ())?;
        }
    }
    Ok(())
}

fn unlink(links: &mut Links<'_>, key: u128, record: &RequestRecord) -> Result<(), StoreError> {
    for kind in LINKED {
        if let Some(id) = kind.of(record) {
            links.remove((kind.code(), link_hash(id), key))?;
        }
    }
    Ok(())
}

/// Lowest status of a request that did not come out well.
const LEAST_STATUS: u16 = 400;

/// Whether a request did not come out well: it stands in the index of failures, and what [`asks_for_failures`] asks for is all there.
fn is_failure(record: &RequestRecord) -> bool {
    record.state != RequestState::Completed || record.error.is_some() || record.status >= LEAST_STATUS
}

/// Whether a filter lets through nothing but what the index of failures has.
pub(super) fn asks_for_failures(any: &[(Dimension, Vec<String>)]) -> bool {
    let of_one = |dimension: &Dimension, text: &String| match dimension {
        Dimension::State => !text.is_empty() && text != RequestState::Completed.word(),
        Dimension::Error => !text.is_empty(),
        Dimension::Status => text.parse::<u16>().is_ok_and(|status| status >= LEAST_STATUS),
        _ => false,
    };
    any.iter().any(|(dimension, any)| any.iter().all(|text| of_one(dimension, text)))
}

type Failures = BTreeSet<(u8, u32, u128)>;

/// The entries of a record in the index of failures.
fn note_failure(entries: &mut Failures, key: u128, record: &RequestRecord, values: &Values) {
    if is_failure(record) {
        entries.extend(values.each().map(|(dimension, value)| (dimension.code(), value, key)));
    }
}

fn post_all<'a>(
    txn: &WriteTransaction,
    names: &mut Dictionary,
    rows: impl Iterator<Item = Row<'a>>,
) -> Result<Stored, StoreError> {
    let mut requests = txn.open_table(REQUESTS)?;
    let mut links = txn.open_table(LINKS)?;
    let mut sheet = Sheet::default();
    for Row { key, bytes, record } in rows {
        let read = if record.is_none() { codec::decode(bytes, &Nameless) } else { None };
        let Some(record) = record.or(read.as_ref()) else {
            tracing::warn!(key, "a record in the journal does not read");
            continue;
        };
        let stored = codec::encode(record, !record.id.is_empty(), names);
        let before = requests.insert(key, stored.as_slice())?.map(|row| row.value().to_vec());
        match before {
            Some(before) if before == stored => continue,
            Some(before) => {
                if let Some(own) = codec::decode(&before, names) {
                    unlink(&mut links, key, &own)?;
                    let values = Values::of(&own, &before, names);
                    note_failure(&mut sheet.cleared, key, &own, &values);
                    sheet.note(key, &own, values, -1);
                }
            }
            None => {}
        }
        link(&mut links, key, record)?;
        let values = Values::of(record, &stored, names);
        note_failure(&mut sheet.failures, key, record, &values);
        sheet.note(key, record, values, 1);
    }
    sheet.write(txn)?;
    names.store(txn)
}

/// The sums of one transaction, before they are added to those of the file.
#[derive(Default)]
struct Sheet {
    sums: HashMap<(u32, Values), Sums>,
    slots: HashSet<(u8, u32, u32)>,
    /// Entries of the index of failures that are new, and those of records that are written anew.
    failures: Failures,
    cleared: Failures,
}

impl Sheet {
    fn note(&mut self, key: u128, record: &RequestRecord, values: Values, times: i64) {
        let slot = slot_of(key);
        self.slots.extend(values.each().map(|(dimension, value)| (dimension.code(), value, slot)));
        let hour = u32::try_from(time_of(key) / HOUR_MS).unwrap_or(u32::MAX);
        self.sums.entry((hour, values)).or_default().add(&Sums::of(record), times);
    }

    fn write(self, txn: &WriteTransaction) -> Result<(), StoreError> {
        let mut slots = txn.open_table(SLOTS)?;
        for slot in self.slots {
            slots.insert(slot, ())?;
        }
        let mut failures = txn.open_table(FAILURES)?;
        for entry in self.cleared {
            failures.remove(entry)?;
        }
        for entry in self.failures {
            failures.insert(entry, ())?;
        }
        // In order: neighbours are written to the same page.
        let mut rows: BTreeMap<Vec<u8>, Sums> = BTreeMap::new();
        for ((hour, values), sums) in self.sums {
            rows.entry(rollup_key(DAYS, hour / 24, &values)).or_default().add(&sums, 1);
            rows.insert(rollup_key(HOURS, hour, &values), sums);
        }
        let mut table = txn.open_table(ROLLUPS)?;
        for (key, mut sums) in rows {
            if let Some(row) = table.get(key.as_slice())? {
                sums.add(&read_sums(row.value(), true)?, 1);
            }
            if sums == Sums::default() {
                table.remove(key.as_slice())?;
            } else {
                table.insert(key.as_slice(), sums.write().as_slice())?;
            }
        }
        Ok(())
    }
}

fn rollup_key(kind: u8, bucket: u32, values: &Values) -> Vec<u8> {
    let mut key = rollup_start(kind, bucket);
    values.write(&mut key);
    key
}

/// What every key of a bucket begins with.
pub(super) fn rollup_start(kind: u8, bucket: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(32);
    key.push(kind);
    key.extend_from_slice(&bucket.to_be_bytes());
    key
}

/// Bucket and values of a key.
pub(super) fn read_rollup_key(key: &[u8]) -> Result<(u32, Values), StoreError> {
    let parts = || {
        let (bucket, values) = key.get(1..)?.split_first_chunk::<4>()?;
        Some((u32::from_be_bytes(*bucket), Values::read(values)?))
    };
    parts().ok_or_else(|| corrupt("its key does not read"))
}

pub(super) fn read_sums(bytes: &[u8], times: bool) -> Result<Sums, StoreError> {
    Sums::read(bytes, times).ok_or_else(|| corrupt("its sums do not read"))
}

fn corrupt(why: &str) -> StoreError {
    StoreError::Corrupt { what: "a roll-up".to_owned(), why: why.to_owned() }
}

/// Rows that are brought up at once: memory stays bounded whatever the file holds.
const AT_ONCE: usize = 2_000;

/// Brings a file without dictionary, indexes and sums up: every record is posted anew.
pub(in crate::store) fn index_all(txn: &WriteTransaction) -> Result<(), StoreError> {
    make_tables(txn)?;
    let mut names = Dictionary::load(&txn.open_table(NAMES)?)?;
    let mut from = 0_u128;
    loop {
        let mut rows: Vec<(u128, Vec<u8>)> = Vec::new();
        {
            let mut table = txn.open_table(REQUESTS)?;
            for row in table.extract_from_if(from.., |_, _| true)?.take(AT_ONCE) {
                let (key, bytes) = row?;
                rows.push((key.value(), bytes.value().to_vec()));
            }
        }
        let Some((last, _)) = rows.last() else { return Ok(()) };
        from = last.saturating_add(1);
        post_all(txn, &mut names, rows.iter().map(|(key, bytes)| Row { key: *key, bytes, record: None }))?;
    }
}

/// Brings a file without an index of failures up. Nothing else in it changes.
pub(in crate::store) fn index_failures(txn: &WriteTransaction) -> Result<(), StoreError> {
    make_tables(txn)?;
    let names = Dictionary::load(&txn.open_table(NAMES)?)?;
    let want = |dimension, text: &str| Want::new(dimension, &[text.to_owned()], |text| names.find(text));
    let well = [
        want(Dimension::State, RequestState::Completed.word()),
        want(Dimension::Status, "200"),
        want(Dimension::Error, ""),
    ];
    let requests = txn.open_table(REQUESTS)?;
    let mut failures = txn.open_table(FAILURES)?;
    for row in requests.iter()? {
        let (key, bytes) = row?;
        // Most came out well, which their first fields tell.
        if codec::matches(bytes.value(), &well) {
            continue;
        }
        let Some(record) = codec::decode(bytes.value(), &names).filter(is_failure) else { continue };
        for (dimension, value) in Values::of(&record, bytes.value(), &mut Known(&names)).each() {
            failures.insert((dimension.code(), value, key.value()), ())?;
        }
    }
    Ok(())
}
