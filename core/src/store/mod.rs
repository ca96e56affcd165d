//! The embedded store: what is configured, what was asked, what is kept.
//!
//! One redb file, one owning process, one writer thread with a journal in front of it. The only part that knows redb. Configuration is read from
//! memory ([`Store::entities`]) and never from disk; records go in through [`Ledger::append`], which never waits for a disk.

mod answers;
mod backup;
mod bodies;
mod change;
mod counters;
mod db;
mod error;
mod held;
mod history;
mod issue;
mod kept;
mod ledger;
mod merge;
mod migrate;
mod plan;
mod prices;
mod private;
mod proof;
mod seal;
mod tables;
#[cfg(test)]
mod tests;
mod undo;
mod vault;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub use answers::{AnswerKey, Answers};
pub use backup::{BackupError, BackupSummary, LEAST_PASSPHRASE};
pub use bodies::{Bodies, BodiesHealth, BodyKind, BodyPart, Mask};
pub use change::{AdminToken, Applied, Change, ChangeEntry, Issued, NewKey};
pub use counters::{Counters, Shift};
pub use error::{ChangeError, StoreError};
pub use history::ChangedThing;
pub use issue::{KEY_PREFIX, TOKEN_PREFIX, hash_secret, same_hash};
pub use kept::{Kept, KeptEntry, KeptKey};
pub use ledger::{
    Bucket, Cursor, Dimension, Facets, Filter, Grouping, Histogram, LOOK_BACK_DAYS, Ledger, LedgerHealth, Link, Live,
    LiveRecord, MOST_MINUTES_MS, Outlook, Page, Rewritten, StoodOut, Sums, UsageAnswer, UsageGroup, UsageQuery,
    outlook,
};
pub use seal::MasterKey;

use crate::clock::Clock;
use crate::model::check::{self, Catalog, Problem};
use crate::model::{Declared, Entities, OwnPrice};
use crate::told;
use db::Db;
use held::{FileKey, Held};
use history::ChangeRows;
use plan::{Outcome, Scene};
use proof::open_seal;
use seal::Seal;
use writer::Writer;

/// Who the change log names for what the configuration file says.
const FILE: &str = "file";
/// What it calls putting a backup back.
const RESTORE: &str = "restore backup";

/// The store. Cheap to clone; the file is closed when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

struct Inner {
    // Dropped in this order: the writer commits what it has before the file is closed.
    ledger: Ledger,
    bodies: Arc<Bodies>,
    kept: Kept,
    counters: Counters,
    writer: Writer,
    db: Arc<Db>,
    seal: Seal,
    key_file: bool,
    clock: Arc<dyn Clock>,
    catalog: Arc<dyn Catalog>,
    // Held for the whole of a change: changes happen one after the other. Never held across an await.
    state: Mutex<State>,
    // Held for a whole backup or restore: one after the other.
    vault: Mutex<()>,
    published: watch::Sender<Arc<Entities>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.db.path()).finish()
    }
}

/// What, to which, more.
type Line = (&'static str, String, String);

#[derive(Default)]
struct State {
    held: Held,
    declared: Declared,
    version: u64,
}

impl Store {
    /// Opens the store of a data directory, making both if they are not there. What the journal holds is folded in first.
    ///
    /// # Errors
    /// When another process has it, a newer Myelin wrote it, the master key is wrong, or the disk fails.
    pub fn open(
        dir: &Path,
        clock: Arc<dyn Clock>,
        master: &MasterKey,
        catalog: Arc<dyn Catalog>,
    ) -> Result<Self, StoreError> {
        let db = Arc::new(Db::open(dir)?);
        let seal = open_seal(&db, dir, master)?;
        let held = db.read(|txn| Held::load(txn, &seal))?;
        let declared = Declared::default();
        let (entities, _) = merge::merge(&held, &declared, 0);
        let writer = Writer::start(dir, Arc::clone(&db), Arc::clone(&clock))?;
        writer.queue().books().configure(configured_models(&entities));
        let bodies = Arc::new(Bodies::open(dir, Arc::clone(&clock))?);
        let (published, _) = watch::channel(Arc::new(entities));
        Ok(Self(Arc::new(Inner {
            ledger: Ledger::new(writer.queue(), Arc::clone(&db), Arc::clone(&bodies)),
            bodies,
            kept: Kept::new(writer.queue(), Arc::clone(&db), Arc::clone(&clock)),
            counters: Counters::open(writer.queue(), Arc::clone(&db))?,
            writer,
            db,
            seal,
            key_file: *master == MasterKey::KeyFile,
            clock,
            catalog,
            state: Mutex::new(State { held, declared, version: 0 }),
            vault: Mutex::new(()),
            published,
        })))
    }

    /// What is configured now.
    pub fn entities(&self) -> Arc<Entities> {
        self.0.published.borrow().clone()
    }

    /// Tells of every change of what is configured.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Entities>> {
        self.0.published.subscribe()
    }

    /// The request records.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Kept bodies of requests and answers.
    pub fn bodies(&self) -> &Bodies {
        &self.0.bodies
    }

    /// Things that are kept for a while.
    pub fn kept(&self) -> &Kept {
        &self.0.kept
    }

    /// What limits have counted.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// The database file.
    pub fn path(&self) -> PathBuf {
        self.0.db.path().to_owned()
    }

    /// Whether a directory holds a store, or the key file of one.
    pub fn is_there(dir: &Path) -> bool {
        [db::FILE, seal::KEY_FILE].iter().any(|name| dir.join(name).exists())
    }

    /// Whether provider secrets are sealed with a key file beside the store: `doctor` warns of it.
    pub fn uses_key_file(&self) -> bool {
        self.0.key_file
    }

    /// Takes what the file declares, at start and whenever it was read again. Keys without a secret get one, once.
    ///
    /// # Errors
    /// When two keys have the same secret, or the store cannot be written.
    pub fn declare(&self, declared: Declared) -> Result<Applied, ChangeError> {
        let mut state = self.state();
        let mut held = state.held.clone();
        let issued = declare_keys(&mut held, &declared, self.0.clock.unix_ms())?;
        let mut log: Vec<_> =
            issued.iter().map(|key| ("create key", key.name.clone(), "for the file".to_owned())).collect();
        let before = self.0.db.read(history::declared_before)?;
        let now = history::fingerprint(&declared);
        log.extend(history::difference(&before, &now).map(|words| ("read file", String::new(), words)));
        let applied = self.publish(&mut state, held, declared, issued, log, FILE)?;
        if before != now {
            self.0.db.write(|txn| history::remember_declared(txn, &now))?;
        }
        Ok(applied)
    }

    /// Makes one change; on disk when this returns. Blocks for a commit: async callers take [`Store::apply`].
    ///
    /// # Errors
    /// When the change is not possible, or the store cannot be written.
    pub fn apply_blocking(&self, change: Change, who: &str) -> Result<Applied, ChangeError> {
        self.apply_with_blocking(who, |_| Ok(change))
    }

    /// Makes one change that depends on what is there (PATCH): nothing changes in between. Blocks for a commit.
    ///
    /// # Errors
    /// When the closure refuses, the change is not possible, or the store cannot be written.
    pub fn apply_with_blocking(
        &self,
        who: &str,
        make: impl FnOnce(&Entities) -> Result<Change, ChangeError>,
    ) -> Result<Applied, ChangeError> {
        let mut state = self.state();
        let entities = self.entities();
        let change = make(&entities)?;
        let mut held = state.held.clone();
        let scene = Scene {
            entities: &entities,
            declared: &state.declared,
            catalog: self.0.catalog.as_ref(),
            now: self.0.clock.unix_ms(),
            who,
        };
        let Outcome { issued, log } = plan::plan(&mut held, change, &scene)?;
        let declared = state.declared.clone();
        self.publish(&mut state, held, declared, issued, log.into_iter().collect(), who)
    }

    /// Makes one change; on disk when this is done.
    ///
    /// # Errors
    /// As [`Store::apply_blocking`].
    pub async fn apply(&self, change: Change, who: &str) -> Result<Applied, ChangeError> {
        self.apply_with(who, move |_| Ok(change)).await
    }

    /// Makes one change that depends on what is there (PATCH); on disk when this is done.
    ///
    /// # Errors
    /// As [`Store::apply_with_blocking`].
    pub async fn apply_with(
        &self,
        who: &str,
        make: impl FnOnce(&Entities) -> Result<Change, ChangeError> + Send + 'static,
    ) -> Result<Applied, ChangeError> {
        let (store, who) = (self.clone(), who.to_owned());
        tokio::task::spawn_blocking(move || store.apply_with_blocking(&who, make))
            .await
            .unwrap_or(Err(ChangeError::Store(StoreError::Closed)))
    }

    /// The admin token that this is, if it is one.
    pub fn admin_token(&self, presented: &str) -> Option<AdminToken> {
        let hash = hash_secret(presented);
        let state = self.state();
        // Every token is compared, so that the time tells nothing about which one it was.
        state.held.tokens.values().fold(
            None,
            |found, token| {
                if same_hash(&token.hash, &hash) { Some(token.clone()) } else { found }
            },
        )
    }

    /// All admin tokens, by name.
    pub fn admin_tokens(&self) -> Vec<AdminToken> {
        let mut tokens: Vec<AdminToken> = self.state().held.tokens.values().cloned().collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        tokens
    }

    /// Prices that the owner had set before the ones that are in force, newest first for each model.
    pub fn earlier_prices(&self) -> Vec<OwnPrice> {
        prices::earlier(&self.state().held)
    }

    /// What is configured that is surely not as meant.
    pub fn problems(&self) -> Vec<Problem> {
        let state = self.state();
        let (entities, mut problems) = merge::merge(&state.held, &state.declared, state.version);
        problems.extend(check::all(&entities, self.0.catalog.as_ref()));
        problems
    }

    /// Commits what waits and closes the journal. Later appends are counted as lost.
    pub fn close(&self) {
        self.0.writer.close();
        self.0.bodies.close();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the difference, then shows the new whole.
    fn publish(
        &self,
        state: &mut State,
        held: Held,
        declared: Declared,
        issued: Vec<Issued>,
        log: Vec<Line>,
        who: &str,
    ) -> Result<Applied, ChangeError> {
        // What the file says is changed in the file.
        self.publish_as(state, held, declared, issued, log, (who, who != FILE))
    }

    /// As [`Store::publish`]; whether the change can be taken back.
    fn publish_as(
        &self,
        state: &mut State,
        held: Held,
        declared: Declared,
        issued: Vec<Issued>,
        log: Vec<Line>,
        (who, undoable): (&str, bool),
    ) -> Result<Applied, ChangeError> {
        let version = state.version + 1;
        let (entities, mut warnings) = merge::merge(&held, &declared, version);
        let rows = state.held.difference(&held, &self.0.seal)?;
        let at = self.0.clock.unix_ms();
        if !rows.is_empty() || !log.is_empty() {
            self.0.db.ensure_open()?;
            let kept = undoable.then(|| ChangeRows::between(&state.held, &held, &self.0.seal)).transpose()?;
            self.0.db.write(|txn| {
                rows.iter().try_for_each(|row| row.write(txn))?;
                log.iter().try_for_each(|(what, name, detail)| {
                    let entry = ChangeEntry {
                        id: 0,
                        at,
                        who: who.to_owned(),
                        what: (*what).to_owned(),
                        name: name.clone(),
                        detail: detail.clone(),
                        undoable: false,
                        final_because: None,
                    };
                    history::log(txn, &entry, kept.as_ref()).map(drop)
                })
            })?;
        }
        warnings.extend(check::all(&entities, self.0.catalog.as_ref()));
        self.0.writer.queue().books().configure(configured_models(&entities));
        *state = State { held, declared, version };
        let entities = Arc::new(entities);
        self.0.published.send_replace(Arc::clone(&entities));
        Ok(Applied { entities, warnings, issued })
    }
}

/// Names of models that the configuration holds, as they may stand in records.
fn configured_models(entities: &Entities) -> foldhash::HashSet<Arc<str>> {
    let of_channels = entities.channels.iter().flat_map(|channel| {
        let chosen = channel.models.iter().flatten().flat_map(|model| [model.name(), model.upstream()]);
        chosen.chain(channel.listed.iter().map(String::as_str))
    });
    of_channels.chain(entities.routes.iter().map(|route| route.model.as_str())).map(Arc::from).collect()
}

/// Gives every key of the file its row, and those without a secret a new one.
fn declare_keys(held: &mut Held, declared: &Declared, now: u64) -> Result<Vec<Issued>, ChangeError> {
    let mut issued = Vec::new();
    let (known, _) = merge::merge(held, declared, 0);
    for key in &declared.keys {
        let name = &key.key.name;
        let before = held.file_keys.get(name);
        let (secret, made) = match (&key.secret, before) {
            (Some(secret), _) => (plan::usable(secret.clone(), name, &known)?, false),
            (None, Some(row)) if row.made => continue,
            (None, _) => (issue::secret(KEY_PREFIX)?, true),
        };
        let row = FileKey {
            id: before.map_or_else(|| issue::id("key_"), |row| Ok(row.id.clone()))?,
            created: before.map_or(now, |row| row.created),
            hash: hash_secret(secret.expose()),
            hint: issue::hint(&secret),
            grace: Vec::new(),
            made,
        };
        if made {
            issued.push(Issued { id: row.id.clone(), name: name.clone(), secret });
        }
        held.file_keys.insert(name.clone(), row);
    }
    // Two new keys of the file may share a secret that no known key has yet.
    let (merged, _) = merge::merge(held, declared, 0);
    for (index, key) in merged.keys.iter().enumerate() {
        if merged.keys.iter().skip(index + 1).any(|other| same_hash(&other.hash, &key.hash)) {
            let problem = Problem::error(
                format!("keys.{}.secret", key.name),
                told!("secret-taken", "is the secret of another key"),
            );
            return Err(ChangeError::Invalid { problems: vec![problem] });
        }
    }
    Ok(issued)
}
