//! Where values occur, walked from the newest place to the oldest: several lists at once, and only where they agree.
//!
//! Lists are read on, not looked up anew: what a step costs is a step on the same page. Where one list is far behind the others, it jumps.
//! Must not know what a place is (a stretch of time, or one record) nor what is found there.

use redb::{Key, Range, ReadOnlyTable, Value};
use smallvec::{SmallVec, smallvec};

use super::dimension::Dimension;
use super::names::{Dictionary, NOTHING, OTHER};
use crate::store::StoreError;

/// Entries that are stepped over before a list jumps.
const STEPS: usize = 24;

/// Where something occurs: grows with time.
pub(super) trait Place: Copy + Ord + Key + for<'a> Value<SelfType<'a> = Self> + 'static {
    const FIRST: Self;
}

impl Place for u32 {
    const FIRST: Self = 0;
}

impl Place for u128 {
    const FIRST: Self = 0;
}

/// An index: dimension, number of the value, place.
pub(super) type Index<P> = ReadOnlyTable<(u8, u32, P), ()>;

/// The places of one value.
struct List<P: Place> {
    dimension: u8,
    value: u32,
    rows: Option<Range<'static, (u8, u32, P), ()>>,
    /// The newest place that was not passed yet; `None`: before the first, or behind the last.
    head: Option<P>,
}

impl<P: Place> List<P> {
    /// The newest place up to one. Places that are asked for only ever go down.
    fn at_most(&mut self, table: &Index<P>, at: P) -> Result<Option<P>, StoreError> {
        if self.rows.is_none() {
            return self.jump(table, at);
        }
        for _ in 0..STEPS {
            match self.head {
                Some(head) if head > at => self.step()?,
                found => return Ok(found),
            }
        }
        match self.head {
            Some(head) if head > at => self.jump(table, at),
            found => Ok(found),
        }
    }

    fn jump(&mut self, table: &Index<P>, at: P) -> Result<Option<P>, StoreError> {
        let (dimension, value) = (self.dimension, self.value);
        self.rows = Some(table.range((dimension, value, P::FIRST)..=(dimension, value, at))?);
        self.step()?;
        Ok(self.head)
    }

    fn step(&mut self) -> Result<(), StoreError> {
        let row = self.rows.as_mut().and_then(DoubleEndedIterator::next_back).transpose()?;
        self.head = row.map(|(key, _)| key.value().2);
        Ok(())
    }
}

/// The places at which, in each of some dimensions, one of some values occurs.
pub(super) struct Postings<P: Place> {
    table: Index<P>,
    dimensions: Vec<SmallVec<[List<P>; 1]>>,
}

impl<P: Place> Postings<P> {
    pub(super) fn new(table: Index<P>, any: &[(Dimension, Vec<String>)], names: &Dictionary) -> Self {
        let list = |dimension: Dimension, value| List { dimension: dimension.code(), value, rows: None, head: None };
        let lists = |dimension: Dimension, text: &String| -> SmallVec<[List<P>; 1]> {
            match names.find(text) {
                _ if text.is_empty() => smallvec![list(dimension, NOTHING)],
                None => smallvec![list(dimension, OTHER)],
                // Before somebody offered it, it was written out.
                Some(number) if matches!(dimension, Dimension::Model | Dimension::UpstreamModel) => {
                    smallvec![list(dimension, number), list(dimension, OTHER)]
                }
                Some(number) => smallvec![list(dimension, number)],
            }
        };
        let dimensions = any
            .iter()
            // A list that is empty has no entry: such records are found by looking at all.
            .filter(|(dimension, any)| {
                !(matches!(dimension, Dimension::Owner | Dimension::Tag) && any.iter().any(String::is_empty))
            })
            .map(|(dimension, any)| any.iter().flat_map(|text| lists(*dimension, text)).collect())
            .collect();
        Self { table, dimensions }
    }

    /// The newest place up to one at which all occur, as far as `most` rounds lead: the place that was reached otherwise, which may be none of theirs.
    /// Places that are asked for must only ever go down.
    pub(super) fn at_most(&mut self, mut at: P, most: usize) -> Result<Found<P>, StoreError> {
        for _ in 0..most {
            let mut agreed = at;
            for lists in &mut self.dimensions {
                let mut newest = None;
                for list in lists {
                    newest = newest.max(list.at_most(&self.table, agreed)?);
                }
                let Some(newest) = newest else { return Ok(Found::Nothing) };
                agreed = newest;
            }
            if agreed == at || self.dimensions.len() == 1 {
                return Ok(Found::At(agreed));
            }
            at = agreed;
        }
        Ok(Found::NotYet(at))
    }
}

/// What a search of places led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<P> {
    At(P),
    /// Nothing newer than this: it is to be looked for from here on.
    NotYet(P),
    Nothing,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use redb::{Database, ReadableDatabase as _, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'static, (u8, u32, u32), ()> = TableDefinition::new("places");

    fn database(entries: &BTreeSet<(u8, u32, u32)>) -> Database {
        let memory = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(memory).unwrap();
        let txn = database.begin_write().unwrap();
        {
            let mut table = txn.open_table(TABLE).unwrap();
            for entry in entries {
                table.insert(*entry, ()).unwrap();
            }
        }
        txn.commit().unwrap();
        database
    }

    fn postings(database: &Database, lists: &[(u8, Vec<u32>)]) -> Postings<u32> {
        let list = |dimension, value: &u32| List { dimension, value: *value, rows: None, head: None };
        Postings {
            table: database.begin_read().unwrap().open_table(TABLE).unwrap(),
            dimensions: lists
                .iter()
                .map(|(dimension, any)| any.iter().map(|value| list(*dimension, value)).collect())
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn all_places_at_which_all_occur_are_found_and_no_others(
            entries in proptest::collection::btree_set((0_u8..3, 0_u32..3, 0_u32..200), 0..400),
            dense in 0_u32..1_000,
            most in 1_usize..4,
        ) {
            // One list is much denser than the others: it is jumped over.
            let entries: BTreeSet<_> = entries.into_iter().chain((0..dense).map(|at| (1, 1, at))).collect();
            let lists = [(0, vec![0, 1]), (1, vec![1]), (2, vec![0, 2])];
            let has = |at: u32| {
                lists.iter().all(|(dimension, any)| any.iter().any(|value| entries.contains(&(*dimension, *value, at))))
            };
            let wanted: Vec<u32> = (0..200).rev().filter(|at| has(*at)).collect();
            let database = database(&entries);
            let mut postings = postings(&database, &lists);
            let (mut at, mut found) = (u32::MAX, Vec::new());
            loop {
                match postings.at_most(at, most).unwrap() {
                    Found::At(place) => {
                        found.push(place);
                        let Some(next) = place.checked_sub(1) else { break };
                        at = next;
                    }
                    Found::NotYet(place) => {
                        prop_assert!(place < at, "each search leads on");
                        at = place;
                    }
                    Found::Nothing => break,
                }
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
