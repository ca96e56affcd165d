//! What the store itself holds, as rows in memory: reading them at open, and turning a difference into row writes.
//!
//! Must not know the file nor what a change means.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableTable as _, TableError, TableHandle as _, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::prices::{self, PriceRows};
use super::seal::Seal;
use super::tables::{
    CHANNEL_STATES, CHANNELS, FILE_KEYS, KEYS, LIMITS, OWNERS, PRICE_LISTS, PRICES, PROFILES, ROUTES, Rows, SETTINGS,
    SWITCHES, TOKENS,
};
use super::{AdminToken, StoreError};
use crate::model::{
    Channel, ChannelState, Credential, ImportedPrices, KeyGrace, Limit, Owner, Profile, Route, SecretSource, VirtualKey,
};

/// Row of [`SWITCHES`] for the gateway's active profile; ids of keys begin with `key_`.
pub(super) const GATEWAY: &str = "gateway";

/// Everything that the store holds of what is configured.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Held {
    pub(super) channels: BTreeMap<String, Channel>,
    pub(super) states: BTreeMap<String, ChannelNote>,
    pub(super) keys: BTreeMap<String, VirtualKey>,
    pub(super) file_keys: BTreeMap<String, FileKey>,
    pub(super) routes: BTreeMap<String, Route>,
    pub(super) profiles: BTreeMap<String, Profile>,
    pub(super) owners: BTreeMap<String, Owner>,
    pub(super) limits: BTreeMap<String, Limit>,
    pub(super) settings: BTreeMap<String, Value>,
    pub(super) switches: BTreeMap<String, Option<String>>,
    pub(super) tokens: BTreeMap<String, AdminToken>,
    pub(super) prices: PriceRows,
    pub(super) price_lists: BTreeMap<String, ImportedPrices>,
}

/// What was found out about a channel, wherever it is declared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ChannelNote {
    pub(super) state: ChannelState,
    pub(super) listed: Vec<String>,
}

/// What the store keeps of a key of the file: who it is, and the secret's hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FileKey {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) hash: String,
    pub(super) hint: String,
    #[serde(default)]
    pub(super) grace: Vec<KeyGrace>,
    /// The store made the secret: the file names none.
    #[serde(default)]
    pub(super) made: bool,
}

/// One row to write (`Some`) or to remove.
pub(super) struct Row {
    pub(super) table: Rows,
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
}

impl Held {
    /// Reads everything.
    pub(super) fn load(txn: &ReadTransaction, seal: &Seal) -> Result<Self, StoreError> {
        Ok(Self {
            channels: rows(txn, CHANNELS, |name, bytes| channel_from_row(seal, name, bytes))?,
            states: rows(txn, CHANNEL_STATES, from_json)?,
            keys: rows(txn, KEYS, from_json)?,
            file_keys: rows(txn, FILE_KEYS, from_json)?,
            routes: rows(txn, ROUTES, from_json)?,
            profiles: rows(txn, PROFILES, from_json)?,
            owners: rows(txn, OWNERS, from_json)?,
            limits: rows(txn, LIMITS, from_json)?,
            settings: rows(txn, SETTINGS, from_json)?,
            switches: rows(txn, SWITCHES, from_json)?,
            tokens: rows(txn, TOKENS, from_json)?,
            prices: rows(txn, PRICES, from_json)?,
            price_lists: rows(txn, PRICE_LISTS, prices::list_from_row)?,
        })
    }

    /// Puts a row (`Some`) in its place or takes it out, as it stands on disk.
    pub(super) fn put(&mut self, table: &str, key: &str, value: Option<&[u8]>, seal: &Seal) -> Result<(), StoreError> {
        match table {
            name if name == CHANNELS.name() => {
                set(&mut self.channels, key, value, |name, bytes| channel_from_row(seal, name, bytes))
            }
            name if name == CHANNEL_STATES.name() => set(&mut self.states, key, value, from_json),
            name if name == KEYS.name() => set(&mut self.keys, key, value, from_json),
            name if name == FILE_KEYS.name() => set(&mut self.file_keys, key, value, from_json),
            name if name == ROUTES.name() => set(&mut self.routes, key, value, from_json),
            name if name == PROFILES.name() => set(&mut self.profiles, key, value, from_json),
            name if name == OWNERS.name() => set(&mut self.owners, key, value, from_json),
            name if name == LIMITS.name() => set(&mut self.limits, key, value, from_json),
            name if name == SETTINGS.name() => set(&mut self.settings, key, value, from_json),
            name if name == SWITCHES.name() => set(&mut self.switches, key, value, from_json),
            name if name == TOKENS.name() => set(&mut self.tokens, key, value, from_json),
            name if name == PRICES.name() => set(&mut self.prices, key, value, from_json),
            name if name == PRICE_LISTS.name() => set(&mut self.price_lists, key, value, prices::list_from_row),
            other => Err(StoreError::Corrupt {
                what: format!("a row of the table '{other}'"),
                why: "this myelin does not know the table".to_owned(),
            }),
        }
    }

    /// The rows that turn what is on disk as `self` into `next`.
    pub(super) fn difference(&self, next: &Self, seal: &Seal) -> Result<Vec<Row>, StoreError> {
        let mut out = Vec::new();
        diff(&mut out, CHANNELS, &self.channels, &next.channels, |channel| channel_to_row(seal, channel))?;
        diff(&mut out, CHANNEL_STATES, &self.states, &next.states, to_json)?;
        diff(&mut out, KEYS, &self.keys, &next.keys, to_json)?;
        diff(&mut out, FILE_KEYS, &self.file_keys, &next.file_keys, to_json)?;
        diff(&mut out, ROUTES, &self.routes, &next.routes, to_json)?;
        diff(&mut out, PROFILES, &self.profiles, &next.profiles, to_json)?;
        diff(&mut out, OWNERS, &self.owners, &next.owners, to_json)?;
        diff(&mut out, LIMITS, &self.limits, &next.limits, to_json)?;
        diff(&mut out, SETTINGS, &self.settings, &next.settings, to_json)?;
        diff(&mut out, SWITCHES, &self.switches, &next.switches, to_json)?;
        diff(&mut out, TOKENS, &self.tokens, &next.tokens, to_json)?;
        diff(&mut out, PRICES, &self.prices, &next.prices, to_json)?;
        diff(&mut out, PRICE_LISTS, &self.price_lists, &next.price_lists, prices::list_to_row)?;
        Ok(out)
    }
}

impl Row {
    /// Writes the row inside a transaction.
    pub(super) fn write(&self, txn: &WriteTransaction) -> Result<(), StoreError> {
        let mut table = txn.open_table(self.table)?;
        match &self.value {
            Some(value) => table.insert(self.key.as_str(), value.as_slice())?,
            None => table.remove(self.key.as_str())?,
        };
        Ok(())
    }
}

/// Every row of a table; a table that was never written is empty.
fn rows<T>(
    txn: &ReadTransaction,
    table: Rows,
    decode: impl Fn(&str, &[u8]) -> Result<T, StoreError>,
) -> Result<BTreeMap<String, T>, StoreError> {
    let table = match txn.open_table(table) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut out = BTreeMap::new();
    for row in table.iter()? {
        let (key, value) = row?;
        out.insert(key.value().to_owned(), decode(key.value(), value.value())?);
    }
    Ok(out)
}

fn set<T>(
    rows: &mut BTreeMap<String, T>,
    key: &str,
    value: Option<&[u8]>,
    decode: impl Fn(&str, &[u8]) -> Result<T, StoreError>,
) -> Result<(), StoreError> {
    match value {
        Some(bytes) => drop(rows.insert(key.to_owned(), decode(key, bytes)?)),
        None => drop(rows.remove(key)),
    }
    Ok(())
}

fn diff<T: PartialEq>(
    out: &mut Vec<Row>,
    table: Rows,
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    encode: impl Fn(&T) -> Result<Vec<u8>, StoreError>,
) -> Result<(), StoreError> {
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        out.push(Row { table, key: key.clone(), value: None });
    }
    for (key, value) in after.iter().filter(|(key, value)| before.get(*key) != Some(value)) {
        out.push(Row { table, key: key.clone(), value: Some(encode(value)?) });
    }
    Ok(())
}

fn from_json<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|why| StoreError::Corrupt { what: what.to_owned(), why: why.to_string() })
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|why| StoreError::Corrupt { what: "a new row".to_owned(), why: why.to_string() })
}

/// The parts of a channel that may hold secrets: they are stored sealed, all together.
#[derive(Serialize, Deserialize)]
struct ChannelSecrets {
    credentials: Vec<String>,
    headers: Map<String, Value>,
    proxy: Option<String>,
}

/// The place that a channel's seal is bound to.
fn place(channel: &str) -> String {
    format!("channel:{channel}")
}

fn channel_to_row(seal: &Seal, channel: &Channel) -> Result<Vec<u8>, StoreError> {
    let secrets = ChannelSecrets {
        credentials: channel.credentials.iter().map(|credential| notation(&credential.secret)).collect(),
        headers: channel.headers.clone(),
        proxy: channel.proxy.clone(),
    };
    let sealed = seal.seal(&place(&channel.name), &to_json(&secrets)?)?;
    let bare = Channel { credentials: Vec::new(), headers: Map::new(), proxy: None, ..channel.clone() };
    to_json(&StoredChannel { sealed, channel: bare })
}

fn channel_from_row(seal: &Seal, name: &str, bytes: &[u8]) -> Result<Channel, StoreError> {
    let StoredChannel { sealed, channel } = from_json(name, bytes)?;
    let secrets: ChannelSecrets = from_json(name, &seal.unseal(&place(name), &sealed)?)?;
    let credentials = secrets.credentials.iter().map(|text| Credential { secret: SecretSource::parse(text) }).collect();
    Ok(Channel { credentials, headers: secrets.headers, proxy: secrets.proxy, ..channel })
}

/// Seals a channel's row anew: for rows that are kept beside the table.
pub(super) fn reseal(name: &str, bytes: &[u8], from: &Seal, to: &Seal) -> Result<Vec<u8>, StoreError> {
    channel_to_row(to, &channel_from_row(from, name, bytes)?)
}

/// A channel's row.
#[derive(Serialize, Deserialize)]
struct StoredChannel {
    sealed: String,
    channel: Channel,
}

/// The notation that [`SecretSource::parse`] reads, secrets and all: only ever written under a seal.
fn notation(source: &SecretSource) -> String {
    match source {
        SecretSource::Inline(secret) => secret.expose().to_owned(),
        named => named.describe(),
    }
}
