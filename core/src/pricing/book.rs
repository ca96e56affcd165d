//! Which price a deployment has. From the nearest to the farthest:
//!
//! 1. what the channel says of its model (`models = [{ name = …, price = {…} }]`);
//! 2. the owner's price for this channel and model;
//! 3. the owner's price for this model wherever it is;
//! 4. the imported list;
//! 5. the bundled list;
//! 6. nothing, where the provider is a program of one's own or a subscription.
//!
//! A channel's multiplier holds for the lists and for 3: prices that were told for the channel itself are what it charges. How a model's row is found
//! in a list says [`super::names`].

use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;
use myelin_protocol::ir::Usage;

use super::cost::{self, Bill};
use super::limits::ModelLimits;
use super::names;
use super::table::{Row, Table};
use crate::model::{Channel, Multiplier, NanoUsd, OwnPrice, Price, PriceData};

/// Providers that send no bill for a request: programs of one's own, and subscriptions.
const NO_BILL: [&str; 10] = [
    "ollama",
    "lmstudio",
    "vllm",
    "sglang",
    "llamacpp",
    "localai",
    "kimi-code",
    "zai-coding",
    "zhipu-coding",
    "doubao-coding",
];

/// Deployments whose price is remembered; callers may make up names without end.
const MOST_REMEMBERED: usize = 4_096;

/// Every price, ready to be asked for. Immutable; a change makes a new one.
#[derive(Debug, Default)]
pub struct Book {
    data: Arc<PriceData>,
    imported: Option<Table>,
    /// By channel, then by upstream model. A short lock, never across an await.
    remembered: RwLock<HashMap<String, HashMap<String, Arc<Quote>>>>,
}

/// The price of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quote {
    /// The rates; empty: there is no price.
    pub price: Price,
    /// What they are multiplied with.
    pub multiplier: Multiplier,
    /// Which price it is, in short: whose and which version, then the row. As records name it.
    pub label: String,
    /// Where it is from.
    pub origin: PriceOrigin,
    /// It costs nothing.
    pub free: bool,
}

/// Where a price is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PriceOrigin {
    /// The channel's own configuration.
    Channel,
    /// Set by the owner for the channel and model.
    Deployment,
    /// Set by the owner for the model.
    Model,
    /// The imported list.
    Imported,
    /// The list that comes with the program.
    Bundled,
    /// The provider sends no bill for a request.
    NoBill,
    /// There is none.
    #[default]
    None,
}

impl Quote {
    /// There is a price, or it costs nothing.
    pub fn is_priced(&self) -> bool {
        self.free || !self.price.is_empty()
    }

    /// The bill of an answer; `None`: unknown or unpriced. `at`: when the request began, milliseconds since 1970.
    pub fn bill(&self, usage: &Usage, at: u64) -> Option<Bill> {
        if self.free {
            return (!usage.is_unknown()).then(Bill::default);
        }
        cost::bill(&self.price, usage, at)
    }

    /// The most that a request may come to; `None`: there is no price.
    pub fn estimate(&self, tokens_in: u64, max_out: u64, at: u64) -> Option<NanoUsd> {
        if self.free {
            return Some(NanoUsd(0));
        }
        cost::estimate(&self.price, self.multiplier, tokens_in, max_out, at)
    }
}

impl Book {
    /// The bundled list under what the owner set and imported.
    pub fn new(data: Arc<PriceData>) -> Self {
        let imported = data.imported.as_ref().map(|list| Table::trusted(Arc::clone(&list.text)));
        Self { data, imported, remembered: RwLock::default() }
    }

    /// What the owner set and imported.
    pub fn data(&self) -> &PriceData {
        &self.data
    }

    /// The price of a model (by the upstream's name) at a channel. Remembered: cheap from the second time on.
    pub fn quote(&self, channel: &Channel, upstream: &str) -> Arc<Quote> {
        let known = {
            let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
            remembered.get(&channel.name).and_then(|models| models.get(upstream)).cloned()
        };
        if let Some(quote) = known {
            return quote;
        }
        let quote = Arc::new(self.find(channel, upstream));
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.values().map(HashMap::len).sum::<usize>() < MOST_REMEMBERED {
            remembered.entry(channel.name.clone()).or_default().insert(upstream.to_owned(), Arc::clone(&quote));
        }
        quote
    }

    fn find(&self, channel: &Channel, upstream: &str) -> Quote {
        let multiplier = channel.price_multiplier;
        let told = channel.models.iter().flatten().find(|model| model.upstream() == upstream);
        if let Some(price) = told.and_then(|model| model.price()) {
            let label = format!("channel {}/{upstream}", channel.name);
            return Quote::of(price.clone(), Multiplier::ONE, label, PriceOrigin::Channel);
        }
        if let Some(own) = self.own(Some(&channel.name), upstream) {
            return Quote::of(own.price.clone(), Multiplier::ONE, own_label(own), PriceOrigin::Deployment);
        }
        if let Some(own) = self.own(None, upstream) {
            return Quote::of(own.price.clone(), multiplier, own_label(own), PriceOrigin::Model);
        }
        let provider = channel.prices_of.as_deref().unwrap_or(&channel.provider);
        let found = self.listed(provider, upstream, region(channel), |row| row.is_priced());
        if let Some((row, imported)) = found {
            let (version, origin) = match (imported, &self.data.imported) {
                (true, Some(list)) => (format!("import@{}", list.version), PriceOrigin::Imported),
                _ => (Table::bundled().version().to_owned(), PriceOrigin::Bundled),
            };
            // A variant that a reseller gives away has no row of its own everywhere.
            if names::is_free(upstream) && !names::is_free(row.key) {
                return Quote::nothing(format!("{version} {}", row.key), origin);
            }
            return Quote::of(row.price(), multiplier, format!("{version} {}", row.key), origin);
        }
        if NO_BILL.contains(&provider) {
            return Quote::nothing(format!("no bill {provider}"), PriceOrigin::NoBill);
        }
        Quote::default()
    }

    fn own(&self, channel: Option<&str>, upstream: &str) -> Option<&OwnPrice> {
        self.data.own.iter().find(|own| own.channel.as_deref() == channel && own.model.eq_ignore_ascii_case(upstream))
    }

    /// The row for a provider's model in the imported list (`true`), else in the bundled one.
    fn listed(
        &self,
        provider: &str,
        model: &str,
        region: Option<&str>,
        wanted: impl Fn(&Row<'_>) -> bool,
    ) -> Option<(Row<'_>, bool)> {
        let names = names::candidates(model, region);
        let lists = names::lists(provider, model);
        let tables = [(self.imported.as_ref(), true), (Some(Table::bundled()), false)];
        tables.into_iter().find_map(|(table, imported)| {
            let table = table?;
            lists.iter().find_map(|list| table.find(list, &names, &wanted)).map(|row| (row, imported))
        })
    }

    /// What a provider's model can take and give; empty if nothing is known.
    pub fn limits_of(&self, provider: &str, model: &str) -> ModelLimits {
        let found = self.listed(provider, model, None, |row| row.has_limits());
        found.map(|(row, _)| row.limits()).unwrap_or_default()
    }

    /// [`Book::limits_of`] the model of a channel, by the upstream's name.
    pub fn limits(&self, channel: &Channel, upstream: &str) -> ModelLimits {
        self.limits_of(channel.prices_of.as_deref().unwrap_or(&channel.provider), upstream)
    }

    /// The rows of the imported and the bundled list whose key holds a text, imported first and each key once.
    pub fn search<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (Row<'a>, PriceOrigin)> {
        let imported = self.imported.iter().flat_map(Table::rows).map(|row| (row, PriceOrigin::Imported));
        let shadowed = |key: &str| {
            let row = self.imported.as_ref().and_then(|table| table.get(key));
            row.is_some_and(|row| row.is_priced())
        };
        let bundled = Table::bundled().rows().filter(move |row| !shadowed(row.key));
        let rows = imported.chain(bundled.map(|row| (row, PriceOrigin::Bundled)));
        rows.filter(move |(row, _)| row.is_priced() && row.key.contains(text))
    }
}

impl Quote {
    fn of(price: Price, multiplier: Multiplier, label: String, origin: PriceOrigin) -> Self {
        let free = price.is_free();
        let label = if multiplier == Multiplier::ONE { label } else { format!("{label} x{multiplier}") };
        Self { price, multiplier, label, origin, free }
    }

    fn nothing(label: String, origin: PriceOrigin) -> Self {
        Self { price: Price::default(), multiplier: Multiplier::ONE, label, origin, free: true }
    }
}

fn own_label(own: &OwnPrice) -> String {
    let channel = own.channel.as_deref().map(|channel| format!("{channel}/")).unwrap_or_default();
    format!("set@{} {channel}{}", own.version, own.model)
}

/// Where a cloud's prices differ by region.
fn region(channel: &Channel) -> Option<&str> {
    let region = channel.options.get("region").and_then(serde_json::Value::as_str);
    region.filter(|_| channel.provider.starts_with("bedrock"))
}

#[cfg(test)]
mod tests;
