//! What was changed, by whom, and taking it back.

use super::held::Held;
use super::{Applied, ChangeEntry, ChangeError, ChangedThing, Store, StoreError, history, merge};
use crate::model::check::{self, Problem};
use crate::told;

impl Store {
    /// The change log, newest first, from before a position.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn changes(&self, before: Option<u64>, limit: usize) -> Result<Vec<ChangeEntry>, StoreError> {
        self.0.db.read(|txn| history::list(txn, before.unwrap_or(u64::MAX), limit))
    }

    /// One line of the change log with what it did to each thing.
    ///
    /// # Errors
    /// When there is no such line, or the store cannot be read.
    pub fn change(&self, id: u64) -> Result<(ChangeEntry, Vec<ChangedThing>), ChangeError> {
        let found = self.0.db.read(|txn| history::one(txn, id))?;
        let (entry, rows) = found.ok_or_else(|| no_change(id))?;
        Ok((entry, rows.map(|rows| rows.things()).unwrap_or_default()))
    }

    /// Takes a change back: what it touched becomes what it was, which is a change of its own. Blocks for a commit.
    ///
    /// # Errors
    /// When something later touched the same, the result would not be sound, nothing is kept of what the change did, or the store fails.
    pub fn undo_blocking(&self, id: u64, who: &str) -> Result<Applied, ChangeError> {
        let mut state = self.state();
        let found = self.0.db.read(|txn| history::one(txn, id))?;
        let (entry, rows) = found.ok_or_else(|| no_change(id))?;
        let words = format!("{} {}", entry.what, entry.name);
        let rows = rows.ok_or_else(|| {
            ChangeError::Refused(told!(
                "undo-final",
                "change {id} ({change}) cannot be taken back: {because}",
                id = id,
                change = words.trim_end(),
                because = entry.final_because.as_deref().unwrap_or_default(),
            ))
        })?;
        let Some(held) = history::undone(&state.held, &rows, &self.0.seal)? else {
            let later = self.0.db.read(|txn| history::later(txn, id, &rows))?;
            return Err(ChangeError::Refused(match later {
                Some(later) => told!(
                    "undo-later",
                    "change {id} ({change}) cannot be taken back: change {later} came after it and touches the same; undo that one first",
                    id = id,
                    change = words.trim_end(),
                    later = later,
                ),
                None => told!(
                    "undo-changed",
                    "change {id} ({change}) cannot be taken back: what it touched has changed since",
                    id = id,
                    change = words.trim_end(),
                ),
            }));
        };
        let errors = |held: &Held| {
            let (entities, _) = merge::merge(held, &state.declared, 0);
            let found = check::all(&entities, self.0.catalog.as_ref());
            let errors = found.into_iter().filter(Problem::is_error);
            errors.chain(history::dangling(&entities)).collect::<Vec<_>>()
        };
        let known = errors(&state.held);
        let problems: Vec<Problem> = errors(&held).into_iter().filter(|own| !known.contains(own)).collect();
        if !problems.is_empty() {
            return Err(ChangeError::Invalid { problems });
        }
        let declared = state.declared.clone();
        let log = vec![("undo", format!("change {id}"), words)];
        self.publish(&mut state, held, declared, Vec::new(), log, who)
    }
}

fn no_change(id: u64) -> ChangeError {
    ChangeError::NotFound { what: "change", name: id.to_string() }
}
