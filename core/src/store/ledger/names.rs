//! The dictionary: texts that stand in many records, each with a number.
//!
//! Held in memory whole, grown by the writer, read by everyone. A number is never given to a second text.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use redb::{ReadableTable, WriteTransaction};

use super::codec::{Intern, Names, Room};
use crate::store::StoreError;
use crate::store::tables::NAMES;

/// Number of the empty text: a field that says nothing.
pub(in crate::store) const NOTHING: u32 = 0;
/// Number that stands, in roll-ups and indexes, for every text that has none of its own.
pub(in crate::store) const OTHER: u32 = 1;
const FIRST: [&str; 2] = ["", "(other)"];
/// Callers write what they like into names: beyond this, new ones are written out in their records and count as [`OTHER`].
const MOST_TOLD: usize = 100_000;
/// What the configuration names has this much, whatever callers wrote.
const MOST: usize = 125_000;
/// Longer ones are written out.
const LONGEST: usize = 256;

/// The dictionary.
#[derive(Debug)]
pub(in crate::store) struct Dictionary {
    ids: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    /// How many are surely on disk.
    stored: usize,
    /// How large it may become by what callers write, and how large at all.
    most: (usize, usize),
    /// Models that are configured: whoever writes them, they count as the configuration's.
    configured: HashSet<Arc<str>>,
}

/// How much of the dictionary a transaction has.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Stored(usize);

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            ids: HashMap::default(),
            texts: Vec::new(),
            stored: 0,
            most: (MOST_TOLD, MOST),
            configured: HashSet::default(),
        }
    }
}

impl Dictionary {
    /// Reads what a file has.
    pub(in crate::store) fn load(table: &impl ReadableTable<u32, &'static str>) -> Result<Self, StoreError> {
        let mut out = Self::default();
        for row in table.iter()? {
            let (id, text) = row?;
            if id.value() as usize != out.texts.len() {
                return Err(StoreError::Corrupt {
                    what: "the dictionary".into(),
                    why: format!("{} is missing", out.texts.len()),
                });
            }
            out.push(text.value());
        }
        out.stored = out.texts.len();
        for text in FIRST.iter().skip(out.texts.len()) {
            out.push(text);
        }
        Ok(out)
    }

    /// Writes what is new. It counts as new until [`Dictionary::committed`].
    pub(in crate::store) fn store(&self, txn: &WriteTransaction) -> Result<Stored, StoreError> {
        let mut table = txn.open_table(NAMES)?;
        for (id, text) in (0_u32..).zip(&self.texts).skip(self.stored) {
            table.insert(id, text.as_ref())?;
        }
        Ok(Stored(self.texts.len()))
    }

    /// So much is on disk. What came since may be of another transaction, which may still fail.
    pub(in crate::store) fn committed(&mut self, stored: Stored) {
        self.stored = self.stored.max(stored.0).min(self.texts.len());
    }

    /// The number of a text, if it has one.
    pub(in crate::store) fn find(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// Takes the place of another one, for the same configuration.
    pub(in crate::store) fn follow(&mut self, before: &mut Self) {
        self.configured = std::mem::take(&mut before.configured);
        self.most = before.most;
    }

    /// Which models are configured.
    pub(in crate::store) fn configure(&mut self, models: HashSet<Arc<str>>) {
        self.configured = models;
    }

    /// How large it may become by what callers write, and how large at all.
    #[cfg(test)]
    pub(in crate::store) fn bound_for_test(&mut self, told: usize, all: usize) {
        self.most = (told, all);
    }

    fn push(&mut self, text: &str) -> Option<u32> {
        let id = u32::try_from(self.texts.len()).ok()?;
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.ids.insert(text, id);
        Some(id)
    }
}

impl Intern for Dictionary {
    fn id(&mut self, text: &str, room: Room) -> Option<u32> {
        if let Some(id) = self.ids.get(text) {
            return Some(*id);
        }
        let (told, all) = self.most;
        let most = match room {
            Room::Own => all,
            Room::Told | Room::Known if self.configured.contains(text) => all,
            Room::Told => told,
            Room::Known | Room::Never => 0,
        };
        if text.len() > LONGEST || self.texts.len() >= most {
            return None;
        }
        self.push(text)
    }
}

/// A dictionary that is only read: a text that has no number gets none.
pub(in crate::store) struct Known<'a>(pub(in crate::store) &'a Dictionary);

impl Intern for Known<'_> {
    fn id(&mut self, text: &str, _: Room) -> Option<u32> {
        self.0.find(text)
    }
}

impl Names for Dictionary {
    fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(id as usize).map(AsRef::as_ref)
    }
}
