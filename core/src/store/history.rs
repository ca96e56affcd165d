//! The history of what is configured: who changed what and when, what stood there before and after, and taking a change back.
//!
//! A change keeps the rows that it touched as they were and as they became, secrets sealed as in the rows themselves. It can be taken back as long as
//! nothing that came later touches the same rows. Must not know what a change means.

use std::collections::BTreeMap;

use redb::{
    ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableError, TableHandle as _, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::held::{self, Held, Row};
use super::plan::{REPRICE, RESET};
use super::seal::Seal;
use super::tables::{
    CHANGE_ROWS, CHANGES, CHANNEL_STATES, CHANNELS, FILE_KEYS, KEYS, LIMITS, META, OWNERS, PRICE_LISTS, PRICES,
    PROFILES, ROUTES, SETTINGS, SWITCHES, TOKENS,
};
use super::{ChangeEntry, ChangeError, FILE, RESTORE, StoreError};
use crate::model::check::Problem;
use crate::model::{Declared, Entities, OwnerRef};
use crate::told;

/// Lines of the change log that are kept.
const MOST_CHANGES: u64 = 10_000;
/// Of them, those that can still be taken back.
const MOST_UNDOABLE: u64 = 1_000;
/// Rows of one change that are larger than this once packed are not kept: the change cannot be taken back.
const MOST_BYTES: usize = 8 << 20;
/// And no larger than this once unpacked.
const MOST_UNPACKED: usize = 64 << 20;
const LEVEL: i32 = 3;
/// Row of [`META`] with a hash of each thing that the file declared last.
const DECLARED_ROW: &str = "declared";
/// Fields that are never shown: they identify or hold secrets, or are too long to read.
const HIDDEN: [&str; 4] = ["hash", "grace", "sealed", "text"];

/// What a change did to one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChangedThing {
    /// `channel`, `key`, `route`, `profile`, `owner`, `limit`, `setting`, `active profile`, `price` …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// As it was, secrets left out; absent: it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// As it became; absent: it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
    /// Credentials, headers, the proxy or a hash changed: these are not shown.
    #[serde(default)]
    pub secrets: bool,
}

/// One row of a change: table, key, value.
type Kept = (String, String, Option<String>);

/// What a change did to rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct ChangeRows {
    before: Vec<Kept>,
    after: Vec<Kept>,
}

impl ChangeRows {
    /// The rows between two states.
    pub(super) fn between(before: &Held, after: &Held, seal: &Seal) -> Result<Self, StoreError> {
        Ok(Self { before: kept(after.difference(before, seal)?), after: kept(before.difference(after, seal)?) })
    }

    fn touches(&self, other: &Self) -> bool {
        self.after.iter().any(|(table, key, _)| other.after.iter().any(|(own, name, _)| (own, name) == (table, key)))
    }

    fn pack(&self) -> Result<Vec<u8>, StoreError> {
        let text = serde_json::to_vec(self).map_err(|why| corrupt(&why.to_string()))?;
        zstd::bulk::compress(&text, LEVEL).map_err(|why| corrupt(&why.to_string()))
    }

    fn unpack(bytes: &[u8]) -> Result<Self, StoreError> {
        let text = zstd::bulk::decompress(bytes, MOST_UNPACKED).map_err(|why| corrupt(&why.to_string()))?;
        serde_json::from_slice(&text).map_err(|why| corrupt(&why.to_string()))
    }

    /// What was changed, for people.
    pub(super) fn things(&self) -> Vec<ChangedThing> {
        let mut things: BTreeMap<(String, String), (Option<Value>, Option<Value>)> = BTreeMap::new();
        let read = |value: &Option<String>| value.as_ref().and_then(|text| serde_json::from_str(text).ok());
        for (table, key, value) in &self.before {
            things.entry((table.clone(), key.clone())).or_default().0 = read(value);
        }
        for (table, key, value) in &self.after {
            things.entry((table.clone(), key.clone())).or_default().1 = read(value);
        }
        things.into_iter().filter_map(|((table, key), (before, after))| thing(&table, key, before, after)).collect()
    }
}

fn corrupt(why: &str) -> StoreError {
    StoreError::Corrupt { what: "what a change did".to_owned(), why: why.to_owned() }
}

fn kept(rows: Vec<Row>) -> Vec<Kept> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    rows.into_iter().map(|row| (row.table.name().to_owned(), row.key, row.value.map(text))).collect()
}

/// The word for what a table holds.
fn word(table: &str) -> Option<&'static str> {
    let words = [
        (CHANNELS.name(), "channel"),
        (KEYS.name(), "key"),
        (FILE_KEYS.name(), "key of the file"),
        (ROUTES.name(), "route"),
        (PROFILES.name(), "profile"),
        (OWNERS.name(), "owner"),
        (LIMITS.name(), "limit"),
        (SETTINGS.name(), "setting"),
        (SWITCHES.name(), "active profile"),
        (TOKENS.name(), "admin token"),
        (PRICES.name(), "price"),
        (PRICE_LISTS.name(), "price list"),
    ];
    words.iter().find(|(own, _)| *own == table).map(|(_, word)| *word)
}

fn thing(table: &str, key: String, before: Option<Value>, after: Option<Value>) -> Option<ChangedThing> {
    // What tests found out about a channel goes along with it and is nobody's change.
    if table == CHANNEL_STATES.name() {
        return None;
    }
    let secret_of = |value: &Option<Value>, field: &str| value.as_ref().and_then(|value| value.get(field)).cloned();
    let secrets = before.is_some()
        && after.is_some()
        && ["hash", "sealed"].iter().any(|field| secret_of(&before, field) != secret_of(&after, field));
    let name_of = |value: &Option<Value>| {
        let inner = value.as_ref()?;
        inner.get("name").or_else(|| inner.pointer("/channel/name"))?.as_str().map(str::to_owned)
    };
    let name = name_of(&after).or_else(|| name_of(&before)).unwrap_or(key);
    let (before, after) = (before.map(shown), after.map(shown));
    Some(ChangedThing { kind: word(table).unwrap_or(table).to_owned(), name, before, after, secrets })
}

/// A row without what is never shown. What is sealed is left out, so its channel stands for the whole row.
fn shown(value: Value) -> Value {
    let Value::Object(mut fields) = value else { return value };
    if fields.contains_key("sealed")
        && let Some(channel @ Value::Object(_)) = fields.remove("channel")
    {
        return shown(channel);
    }
    for hidden in HIDDEN {
        fields.remove(hidden);
    }
    Value::Object(fields)
}

/// Writes a line, with what it did to rows if it can be taken back; returns its position.
pub(super) fn log(txn: &WriteTransaction, entry: &ChangeEntry, rows: Option<&ChangeRows>) -> Result<u64, StoreError> {
    let mut table = txn.open_table(CHANGES)?;
    let id = table.last()?.map_or(0, |(id, _)| id.value()) + 1;
    let bytes = serde_json::to_vec(entry)
        .map_err(|why| StoreError::Corrupt { what: "a line of the change log".to_owned(), why: why.to_string() })?;
    table.insert(id, bytes.as_slice())?;
    while table.len()? > MOST_CHANGES {
        table.pop_first()?;
    }
    let mut kept = txn.open_table(CHANGE_ROWS)?;
    let packed = rows.filter(|rows| !rows.after.is_empty()).map(ChangeRows::pack).transpose()?;
    if let Some(packed) = packed.filter(|packed| packed.len() <= MOST_BYTES) {
        kept.insert(id, packed.as_slice())?;
    }
    while kept.len()? > MOST_UNDOABLE {
        kept.pop_first()?;
    }
    Ok(id)
}

/// Lines, newest first, from before a position.
pub(super) fn list(txn: &ReadTransaction, before: u64, limit: usize) -> Result<Vec<ChangeEntry>, StoreError> {
    let table = match txn.open_table(CHANGES) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let kept = match txn.open_table(CHANGE_ROWS) {
        Ok(kept) => Some(kept),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let mut out = Vec::new();
    for row in table.range(..before)?.rev().take(limit) {
        let (id, value) = row?;
        let entry: ChangeEntry = serde_json::from_slice(value.value())
            .map_err(|why| StoreError::Corrupt { what: "a line of the change log".to_owned(), why: why.to_string() })?;
        let undoable = match &kept {
            Some(kept) => kept.get(id.value())?.is_some(),
            None => false,
        };
        let final_because = (!undoable).then(|| final_because(&entry).to_owned());
        out.push(ChangeEntry { id: id.value(), undoable, final_because, ..entry });
    }
    Ok(out)
}

/// Why a change cannot be taken back.
fn final_because(entry: &ChangeEntry) -> &'static str {
    match entry.what.as_str() {
        _ if entry.who == FILE => "it came from the configuration: change it there",
        RESET => "what a limit had counted is gone for good",
        REPRICE => "set the prices as they were and price the same records anew",
        RESTORE => "what was there before lies beside the store, in before-restore.redb",
        _ => "nothing is kept of what it did: it is too long ago, or it changed nothing",
    }
}

/// One line with what it did; `None`: there is no such line. Without rows: it cannot be taken back.
pub(super) fn one(txn: &ReadTransaction, id: u64) -> Result<Option<(ChangeEntry, Option<ChangeRows>)>, StoreError> {
    let found = list(txn, id.saturating_add(1), 1)?.pop().filter(|entry| entry.id == id);
    let Some(entry) = found else { return Ok(None) };
    let rows = if entry.undoable { read_rows(txn, id)? } else { None };
    Ok(Some((entry, rows)))
}

fn read_rows(txn: &ReadTransaction, id: u64) -> Result<Option<ChangeRows>, StoreError> {
    let row = txn.open_table(CHANGE_ROWS)?.get(id)?;
    row.map(|row| ChangeRows::unpack(row.value())).transpose()
}

/// The newest change after one that touched the same rows.
pub(super) fn later(txn: &ReadTransaction, id: u64, rows: &ChangeRows) -> Result<Option<u64>, StoreError> {
    for row in txn.open_table(CHANGE_ROWS)?.range(id.saturating_add(1)..)?.rev() {
        let (later, bytes) = row?;
        if ChangeRows::unpack(bytes.value())?.touches(rows) {
            return Ok(Some(later.value()));
        }
    }
    Ok(None)
}

/// What is held, with a change taken back; `None`: something has touched the same rows since.
pub(super) fn undone(held: &Held, rows: &ChangeRows, seal: &Seal) -> Result<Option<Held>, ChangeError> {
    let mut now = held.clone();
    put_all(&mut now, &rows.after, seal)?;
    if now != *held {
        return Ok(None);
    }
    put_all(&mut now, &rows.before, seal)?;
    Ok(Some(now))
}

/// Keys and owners that name what is not there: a change that would leave them so is not taken back.
pub(super) fn dangling(entities: &Entities) -> Vec<Problem> {
    let profiles = entities.keys.iter().filter_map(|key| {
        let profile = key.profile.as_ref().filter(|profile| !entities.has_profile(profile))?;
        Some(Problem::error(
            format!("keys.{}.profile", key.name),
            told!("profile-gone", "there would be no profile '{profile}'", profile = profile),
        ))
    });
    let above = |at: String, owner: &Option<OwnerRef>| {
        let owner = owner.as_ref().filter(|owner| entities.owner(owner).is_none())?;
        Some(Problem::error(at, told!("owner-gone", "there would be no owner '{owner}'", owner = owner)))
    };
    let owners = entities.keys.iter().filter_map(|key| above(format!("keys.{}.owner", key.name), &key.owner));
    let parents = entities.owners.iter().filter_map(|own| above(format!("owners.{}.parent", own.name), &own.parent));
    profiles.chain(owners).chain(parents).collect()
}

fn put_all(held: &mut Held, rows: &[Kept], seal: &Seal) -> Result<(), StoreError> {
    // What tests found out goes on while nobody changes anything: it is never a reason against taking a change back.
    let rows = rows.iter().filter(|(table, ..)| table != CHANNEL_STATES.name());
    for (table, key, value) in rows {
        held.put(table, key, value.as_deref().map(str::as_bytes), seal)?;
    }
    Ok(())
}

/// Seals the channels in every kept change anew.
pub(super) fn reseal(txn: &WriteTransaction, from: &Seal, to: &Seal) -> Result<(), StoreError> {
    let mut table = txn.open_table(CHANGE_ROWS)?;
    let ids = table.iter()?.map(|row| row.map(|(id, _)| id.value())).collect::<Result<Vec<u64>, _>>()?;
    for id in ids {
        let Some(packed) = table.get(id)?.map(|row| reseal_one(row.value(), from, to)).transpose()? else { continue };
        table.insert(id, packed.as_slice())?;
    }
    Ok(())
}

/// Seals the channels in one kept change anew.
pub(super) fn reseal_one(packed: &[u8], from: &Seal, to: &Seal) -> Result<Vec<u8>, StoreError> {
    let mut rows = ChangeRows::unpack(packed)?;
    for (table, key, value) in rows.before.iter_mut().chain(&mut rows.after) {
        if let Some(text) = value.as_mut().filter(|_| table == CHANNELS.name()) {
            *text = String::from_utf8_lossy(&held::reseal(key, text.as_bytes(), from, to)?).into_owned();
        }
    }
    rows.pack()
}

/// What the file declares, each with a hash: by `channel main`, `setting max_attempts` …
pub(super) fn fingerprint(declared: &Declared) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut note = |kind: &str, name: &str, value: Result<Value, serde_json::Error>| {
        let text = value.unwrap_or_default().to_string();
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let hash = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        out.insert(format!("{kind} {name}"), hash);
    };
    declared.channels.iter().for_each(|own| note("channel", &own.name, serde_json::to_value(own)));
    declared.keys.iter().for_each(|own| note("key", &own.key.name, serde_json::to_value(&own.key)));
    declared.routes.iter().for_each(|own| note("route", &own.model, serde_json::to_value(own)));
    declared.profiles.iter().for_each(|own| note("profile", &own.name, serde_json::to_value(own)));
    declared.owners.iter().for_each(|own| note("owner", &own.name, serde_json::to_value(own)));
    declared.limits.iter().for_each(|own| note("limit", &own.name, serde_json::to_value(own)));
    let settings = serde_json::to_value(&declared.settings).unwrap_or_default();
    for name in &declared.fixed_settings {
        let value = settings.pointer(&format!("/{}", name.replace('.', "/"))).cloned().unwrap_or_default();
        note("setting", name, Ok(value));
    }
    out
}

/// What the file declared when it was read last.
pub(super) fn declared_before(txn: &ReadTransaction) -> Result<BTreeMap<String, String>, StoreError> {
    match txn.open_table(META) {
        Ok(table) => {
            let row = table.get(DECLARED_ROW)?;
            Ok(row.and_then(|row| serde_json::from_slice(row.value()).ok()).unwrap_or_default())
        }
        Err(TableError::TableDoesNotExist(_)) => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

/// Remembers what the file declares.
pub(super) fn remember_declared(txn: &WriteTransaction, declared: &BTreeMap<String, String>) -> Result<(), StoreError> {
    let map: Map<String, Value> =
        declared.iter().map(|(name, hash)| (name.clone(), Value::from(hash.as_str()))).collect();
    txn.open_table(META)?.insert(DECLARED_ROW, Value::Object(map).to_string().as_bytes())?;
    Ok(())
}

/// How the file differs from what it was, in words; `None`: it does not.
pub(super) fn difference(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Option<String> {
    let added = after.keys().filter(|name| !before.contains_key(*name)).map(|name| format!("added {name}"));
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("removed {name}"));
    let changed = after
        .iter()
        .filter(|(name, hash)| before.get(*name).is_some_and(|own| own != *hash))
        .map(|(name, _)| format!("changed {name}"));
    let words: Vec<String> = added.chain(changed).chain(gone).collect();
    (!words.is_empty()).then(|| words.join(", "))
}
