//! The owner's prices as rows: what is in force, what was before, and the number that every change takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::held::Held;
use super::plan::Scene;
use super::{ChangeError, StoreError};
use crate::model::check::Problem;
use crate::model::{ImportedPrices, OwnPrice, Price, PriceData};
use crate::told;

/// Earlier prices of one model that are kept.
const MOST_EARLIER: usize = 50;
/// Row of the imported list.
const IMPORTED: &str = "imported";

/// The price that an owner set for a model, and the ones before it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct PriceRow {
    /// `None`: it was taken back.
    current: Option<OwnPrice>,
    /// Newest first.
    #[serde(default)]
    earlier: Vec<OwnPrice>,
    /// The number of its last change.
    version: u64,
}

/// The imported list, as it is on disk; without a text it was taken back.
#[derive(Debug, Serialize, Deserialize)]
struct ListRow {
    version: u64,
    at: u64,
    who: String,
    source: String,
    priced: u64,
    text: String,
}

/// What is in force.
pub(super) fn data(held: &Held) -> PriceData {
    let own = held.prices.values().filter_map(|row| row.current.clone()).collect();
    PriceData { own, imported: held.price_lists.get(IMPORTED).filter(|list| !list.text.is_empty()).cloned() }
}

/// Earlier prices of every model, by channel and model; newest first.
pub(super) fn earlier(held: &Held) -> Vec<OwnPrice> {
    held.prices.values().flat_map(|row| row.earlier.iter().cloned()).collect()
}

fn next_version(held: &Held) -> u64 {
    let rows = held.prices.values().map(|row| row.version);
    rows.chain(held.price_lists.values().map(|list| list.version)).max().unwrap_or(0) + 1
}

fn row_key(channel: Option<&str>, model: &str) -> String {
    format!("{}/{}", channel.unwrap_or("*"), model.to_lowercase())
}

/// Sets a price, or takes it back. Returns the change log's words.
pub(super) fn set(
    held: &mut Held,
    channel: Option<String>,
    model: String,
    price: Option<Price>,
    who: &str,
    scene: &Scene<'_>,
) -> Result<(String, String), ChangeError> {
    if let Some(channel) = channel.as_ref().filter(|channel| scene.entities.channel(channel).is_none()) {
        return Err(ChangeError::NotFound { what: "channel", name: channel.clone() });
    }
    let model = model.trim().to_owned();
    if model.is_empty() || model.chars().any(char::is_control) {
        let problem = Problem::error("prices.model", told!("no-model-name", "is no name of a model"));
        return Err(ChangeError::Invalid { problems: vec![problem] });
    }
    let version = next_version(held);
    let key = row_key(channel.as_deref(), &model);
    if price.is_none() && held.prices.get(&key).is_none_or(|row| row.current.is_none()) {
        let name = key.strip_prefix("*/").unwrap_or(&key).to_owned();
        return Err(ChangeError::NotFound { what: "price of yours for", name });
    }
    let row = held.prices.entry(key.clone()).or_default();
    row.version = version;
    if let Some(before) = row.current.take() {
        row.earlier.insert(0, before);
        row.earlier.truncate(MOST_EARLIER);
    }
    let words = price.as_ref().map_or_else(String::new, |price| serde_json::Value::Object(price.table()).to_string());
    row.current = price.map(|price| OwnPrice { channel, model, price, version, at: scene.now, who: who.to_owned() });
    Ok((key, if words.is_empty() { format!("version {version}") } else { format!("version {version}: {words}") }))
}

/// Puts an imported list in place of the one before; a text of nothing takes it back.
pub(super) fn import(held: &mut Held, source: String, priced: u64, text: Arc<str>, who: &str, now: u64) -> String {
    let version = next_version(held);
    let words = if text.is_empty() {
        format!("version {version}: back to the bundled list")
    } else {
        format!("version {version}: {priced} prices, {source}")
    };
    let list = ImportedPrices { version, at: now, who: who.to_owned(), source, priced, text };
    held.price_lists.insert(IMPORTED.to_owned(), list);
    words
}

pub(super) fn list_to_row(list: &ImportedPrices) -> Result<Vec<u8>, StoreError> {
    let ImportedPrices { version, at, who, source, priced, text } = list.clone();
    let row = ListRow { version, at, who, source, priced, text: text.as_ref().to_owned() };
    serde_json::to_vec(&row)
        .map_err(|why| StoreError::Corrupt { what: "a price list".to_owned(), why: why.to_string() })
}

pub(super) fn list_from_row(name: &str, bytes: &[u8]) -> Result<ImportedPrices, StoreError> {
    let ListRow { version, at, who, source, priced, text } = serde_json::from_slice(bytes)
        .map_err(|why| StoreError::Corrupt { what: format!("the price list '{name}'"), why: why.to_string() })?;
    Ok(ImportedPrices { version, at, who, source, priced, text: text.into() })
}

/// Rows by their key.
pub(super) type PriceRows = BTreeMap<String, PriceRow>;
