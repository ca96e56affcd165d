//! Reading records: newest first, by filter and cursor, in bounded work a page.

use redb::{ReadOnlyTable, ReadTransaction};

use super::books::{Books, Link, asks_for_failures, link_hash, slot_of, slot_start};
use super::codec::{self, Want};
use super::dimension::Dimension;
use super::names::Dictionary;
use super::postings::{Found, Postings};
use super::{id_of_key, key_of_id};
use crate::model::{NanoUsd, RequestRecord};
use crate::store::StoreError;
use crate::store::bodies::Reader as BodyReader;
use crate::store::tables::{FAILURES, LINKS, REQUESTS, SLOTS};
use crate::store::writer::first_key;

/// Rows that one page looks at: a rare filter answers in bounded time and leads on.
const MOST_ROWS: usize = 50_000;
/// Of them, rows that are read whole because the filter asks for what does not stand first.
const MOST_READ: usize = 5_000;
/// Slots that one page looks for.
const MOST_SLOTS: usize = 5_000;
/// Rounds through the lists of an index in which one page looks for the next place that they share.
const MOST_ROUNDS: usize = 20_000;
/// Neighbouring slots that are read together.
const AT_ONCE: u32 = 16;

/// Which records are wanted. What is empty lets everything through.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// In each of these dimensions, one of some values; an empty value means that the record says nothing there.
    pub any: Vec<(Dimension, Vec<String>)>,
    /// Belongs to a trace, thread or session.
    pub link: Option<(Link, String)>,
    /// Holds this text somewhere; upper and lower case are the same.
    pub text: Option<String>,
    /// Look for the text in kept bodies too.
    pub bodies: bool,
    /// Took at least so many microseconds.
    pub slower_than: Option<u64>,
    /// Cost at least so much.
    pub costlier_than: Option<NanoUsd>,
    /// Began at this time or later; milliseconds since 1970.
    pub since: Option<u64>,
    /// Began before this time; milliseconds since 1970.
    pub until: Option<u64>,
}

impl Filter {
    /// Lets through what has one of these values in a dimension.
    #[must_use]
    pub fn with(mut self, dimension: Dimension, any: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.any.push((dimension, any.into_iter().map(Into::into).collect()));
        self
    }

    /// Whether records have to be read whole.
    fn is_deep(&self) -> bool {
        self.text.is_some() || self.slower_than.is_some() || self.costlier_than.is_some()
    }
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
    /// Rows that were looked at.
    pub looked_at: usize,
}

/// One list in the making.
struct Search<'a> {
    filter: &'a Filter,
    names: &'a Dictionary,
    wants: Vec<Want>,
    text: Option<String>,
    bodies: &'a mut BodyReader,
    limit: usize,
    read: usize,
    page: Page,
}

pub(super) fn list(
    txn: &ReadTransaction,
    books: &Books,
    filter: &Filter,
    before: Option<Cursor>,
    limit: usize,
    bodies: &mut BodyReader,
) -> Result<Page, StoreError> {
    let table = txn.open_table(REQUESTS)?;
    let until = filter.until.map_or(u128::MAX, first_key);
    let to = before.map_or(u128::MAX, |cursor| cursor.0).min(until);
    let from = filter.since.map_or(0, first_key);
    if limit == 0 || from >= to {
        return Ok(Page::default());
    }
    let names = books.names();
    let wants = filter.any.iter().map(|(dimension, any)| Want::new(*dimension, any, |text| names.find(text))).collect();
    let text = filter.text.as_ref().map(|text| text.to_lowercase()).filter(|text| !text.is_empty());
    let mut search = Search { filter, names: &names, wants, text, bodies, limit, read: 0, page: Page::default() };
    match &filter.link {
        Some((kind, id)) => search.linked(txn, &table, *kind, id, from..to)?,
        None if filter.any.is_empty() => {
            search.range(&table, from..to)?;
        }
        None if asks_for_failures(&filter.any) => search.failures(txn, &table, from..to)?,
        None => search.slots(txn, &table, from..to)?,
    }
    let mut page = search.page;
    // The last page leads nowhere.
    if let Some(Cursor(key)) = page.next
        && table.range(from..key)?.next().is_none()
    {
        page.next = None;
    }
    Ok(page)
}

type Requests = ReadOnlyTable<u128, &'static [u8]>;

impl Search<'_> {
    /// Looks at every row of a range; `false`: the page is full or has cost enough.
    fn range(&mut self, table: &Requests, range: std::ops::Range<u128>) -> Result<bool, StoreError> {
        for row in table.range(range)?.rev() {
            let (key, bytes) = row?;
            if !self.look(key.value(), bytes.value())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks only at stretches of time in which every wanted value occurs.
    fn slots(
        &mut self,
        txn: &ReadTransaction,
        table: &Requests,
        range: std::ops::Range<u128>,
    ) -> Result<(), StoreError> {
        let mut slots = Postings::new(txn.open_table(SLOTS)?, &self.filter.any, self.names);
        let mut to = range.end;
        let mut rounds = 0;
        while let Some(last) = to.checked_sub(1) {
            let slot = match slots.at_most(slot_of(last), MOST_ROUNDS)? {
                Found::At(slot) => slot,
                Found::Nothing => return Ok(()),
                Found::NotYet(slot) => {
                    to = to.min(slot_start(slot.saturating_add(1)));
                    break;
                }
            };
            to = to.min(slot_start(slot.saturating_add(1)));
            // Those right before it are read with it: to find one's rows costs as much as to read some.
            let mut first = slot;
            for before in (slot.saturating_sub(AT_ONCE)..slot).rev() {
                if slots.at_most(before, 1)? != Found::At(before) {
                    break;
                }
                first = before;
            }
            let start = slot_start(first).max(range.start);
            if start < to && !self.range(table, start..to)? {
                return Ok(());
            }
            to = start;
            rounds += 1;
            if to <= range.start {
                return Ok(());
            }
            if rounds >= MOST_SLOTS {
                break;
            }
        }
        self.page.next = Some(Cursor(to));
        Ok(())
    }

    /// Looks only at what did not come out well and has every wanted value.
    fn failures(
        &mut self,
        txn: &ReadTransaction,
        table: &Requests,
        range: std::ops::Range<u128>,
    ) -> Result<(), StoreError> {
        let mut failures = Postings::new(txn.open_table(FAILURES)?, &self.filter.any, self.names);
        let mut to = range.end;
        while let Some(last) = to.checked_sub(1) {
            match failures.at_most(last, MOST_ROUNDS)? {
                Found::At(key) if key >= range.start => {
                    if let Some(bytes) = table.get(key)?
                        && !self.look(key, bytes.value())?
                    {
                        return Ok(());
                    }
                    to = key;
                }
                Found::NotYet(key) if key >= range.start => {
                    self.page.next = Some(Cursor(key.saturating_add(1)));
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn linked(
        &mut self,
        txn: &ReadTransaction,
        table: &Requests,
        kind: Link,
        id: &str,
        range: std::ops::Range<u128>,
    ) -> Result<(), StoreError> {
        let links = txn.open_table(LINKS)?;
        let (code, hash) = (kind.code(), link_hash(id));
        for row in links.range((code, hash, range.start)..(code, hash, range.end))?.rev() {
            let (_, _, key) = row?.0.value();
            if let Some(bytes) = table.get(key)?
                && !self.look(key, bytes.value())?
            {
                break;
            }
        }
        Ok(())
    }

    /// Looks at one row; `false`: the page is full or has cost enough.
    fn look(&mut self, key: u128, bytes: &[u8]) -> Result<bool, StoreError> {
        self.page.looked_at += 1;
        if codec::matches(bytes, &self.wants) {
            self.read += usize::from(self.filter.is_deep());
            let record = decode(key, bytes, self.names)?;
            if self.lets_through(key, &record) {
                self.page.records.push(record);
            }
        }
        let spent = self.filter.bodies && self.bodies.spent();
        if spent || self.page.records.len() == self.limit || self.page.looked_at >= MOST_ROWS || self.read >= MOST_READ
        {
            self.page.next = Some(Cursor(key));
            return Ok(false);
        }
        Ok(true)
    }

    fn lets_through(&mut self, key: u128, record: &RequestRecord) -> bool {
        let filter = self.filter;
        filter.link.as_ref().is_none_or(|(kind, id)| kind.of(record) == Some(id))
            && filter.slower_than.is_none_or(|least| record.duration_us >= least)
            && filter.costlier_than.is_none_or(|least| record.cost.is_some_and(|cost| cost >= least))
            && self
                .text
                .as_ref()
                .is_none_or(|text| holds(record, text) || (filter.bodies && self.bodies.holds(key, text)))
    }
}

/// Whether a record's own words hold a text in lower case.
fn holds(record: &RequestRecord, text: &str) -> bool {
    let own = [&record.id, &record.model, &record.path, &record.profile, &record.format].map(Some);
    let maybe = [
        &record.error_message,
        &record.error,
        &record.channel,
        &record.upstream_model,
        &record.session,
        &record.trace,
        &record.thread,
        &record.tool,
        &record.rule,
        &record.route,
        &record.key,
        &record.finish,
        &record.refused_by,
    ]
    .map(Option::as_ref);
    let attempts = record.attempts.iter();
    let told = attempts.flat_map(|one| [Some(&one.channel), one.error.as_ref(), one.upstream_request_id.as_ref()]);
    let lists = record.losses.iter().chain(&record.tags).chain(&record.owners).map(Some);
    let mut all = own.into_iter().chain(maybe).chain(told).chain(lists).flatten();
    all.any(|own| own.to_lowercase().contains(text))
}

pub(super) fn get(txn: &ReadTransaction, books: &Books, id: &str) -> Result<Option<RequestRecord>, StoreError> {
    let table = txn.open_table(REQUESTS)?;
    let Some(key) = key_of_id(id) else {
        return Ok(None);
    };
    let row = table.get(key)?;
    row.map(|row| decode(key, row.value(), &books.names())).transpose()
}

pub(super) fn decode(key: u128, bytes: &[u8], names: &Dictionary) -> Result<RequestRecord, StoreError> {
    let mut record = codec::decode(bytes, names)
        .ok_or_else(|| StoreError::Corrupt { what: id_of_key(key), why: "its bytes do not read".to_owned() })?;
    if record.id.is_empty() {
        record.id = id_of_key(key);
    }
    Ok(record)
}
