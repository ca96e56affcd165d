//! What a request came to: the answer's tokens at its deployment's price, those of attempts that were paid in vain beside them, rounded once.
//!
//! The one path for whole answers, streams, clients that leave, retries, hedges, races and cache hits. Must not know where prices come from.

use std::sync::Arc;

use myelin_protocol::ir::Usage;
use serde_json::Value;

use crate::model::{CacheOutcome, CostSource, Multiplier, NanoUsd, PicoUsd, RequestRecord, decimal};
use crate::pricing::{Quote, total};

/// 10⁹: dollars to nanodollars.
const NANO: u64 = 1_000_000_000;
/// Bytes of a request's body to a token, where nobody counted.
const BYTES_A_TOKEN: u64 = 4;

/// What is known of the money of one request while it runs.
#[derive(Debug, Default)]
pub(super) struct Money {
    /// The price of the deployment that is asked now, or was asked last.
    quote: Option<Arc<Quote>>,
    /// What the head of its answer says that it cost.
    told: Option<String>,
    /// Prices of attempts whose own usage is known, by their place in the record.
    lost: Vec<(usize, Arc<Quote>)>,
    /// Some counters are guesses.
    estimated: bool,
}

impl Money {
    /// Another deployment is asked. What the one before used in vain stays with its attempt.
    pub(super) fn attempt(&mut self, record: &mut RequestRecord, quote: Option<Arc<Quote>>) {
        let used = record.usage.take().filter(|usage| !usage.is_unknown());
        if let (Some(usage), Some(index)) = (used, record.attempts.len().checked_sub(1)) {
            let before = self.quote.take().unwrap_or_default();
            self.lose(record, index, usage, before);
        }
        self.told = None;
        self.estimated = false;
        self.quote = quote;
    }

    /// An attempt that does not answer has used this: it is paid all the same.
    pub(super) fn lose(&mut self, record: &mut RequestRecord, index: usize, usage: Usage, quote: Arc<Quote>) {
        if let Some(attempt) = record.attempts.get_mut(index) {
            attempt.usage = Some(usage);
            self.lost.retain(|(known, _)| *known != index);
            self.lost.push((index, quote));
        }
    }

    /// The head of the answer says what it cost. Gateways write zero where they have no price: that tells nothing.
    pub(super) fn told(&mut self, dollars: &str) {
        self.told = decimal(dollars, NANO).filter(|nano| *nano > 0).map(|_| dollars.to_owned());
    }

    /// Fills in what the provider did not come to tell, because the stream broke off: the answer so far, and the body that was sent. What it did tell
    /// stays, unless more than that was already seen.
    pub(super) fn estimate(&mut self, record: &mut RequestRecord, written: u64) {
        let usage = record.usage.get_or_insert_default();
        if usage.output.is_none_or(|output| output < written) {
            usage.output = Some(written);
            self.estimated = true;
        }
        if usage.input.is_none() {
            usage.input = Some(record.bytes_in.div_ceil(BYTES_A_TOKEN));
            self.estimated = true;
        }
    }

    /// Writes cost, source and price into the record. May be called again when more is known; the last one counts.
    pub(super) fn settle(&self, record: &mut RequestRecord) {
        if matches!(record.cache, CacheOutcome::Hit | CacheOutcome::Shared) {
            (record.cost, record.cost_source) = (Some(NanoUsd(0)), Some(CostSource::Free));
            return;
        }
        let mut sums = Sums::default();
        for (index, quote) in &self.lost {
            let Some(attempt) = record.attempts.get_mut(*index) else { continue };
            let Some(usage) = &attempt.usage else { continue };
            let charge = Charge::of(usage, quote, record.started, None);
            attempt.cost = charge.amount();
            sums.add(charge, false);
        }
        let Some(usage) = record.usage.as_mut() else {
            (record.cost, record.cost_source) = (sums.total(), sums.source);
            return;
        };
        if usage.cost_usd.is_none() {
            usage.cost_usd.clone_from(&self.told);
        }
        let Some(quote) = &self.quote else {
            // Nobody was asked: the answer was made here.
            let made_here = record.attempts.is_empty();
            record.cost = made_here.then_some(NanoUsd(0));
            record.cost_source = made_here.then_some(CostSource::Free);
            return;
        };
        let charge = Charge::of(usage, quote, record.started, self.told.as_deref());
        let odd = charge.odd;
        if !quote.label.is_empty() && !matches!(charge.source, Some(CostSource::Reported)) {
            record.price = Some(quote.label.clone());
        }
        sums.add(charge, self.estimated);
        (record.cost, record.cost_source) = (sums.total(), sums.source);
        let line = "usage: the provider counts parts that are larger than the whole".to_owned();
        if odd && !record.losses.contains(&line) {
            record.losses.push(line);
        }
    }
}

/// What one answer came to.
struct Charge {
    source: Option<CostSource>,
    reported: NanoUsd,
    sum: PicoUsd,
    multiplier: Multiplier,
    odd: bool,
}

impl Charge {
    fn of(usage: &Usage, quote: &Quote, at: u64, told: Option<&str>) -> Self {
        let mut charge =
            Self { source: None, reported: NanoUsd(0), sum: PicoUsd(0), multiplier: quote.multiplier, odd: false };
        if let Some(nano) = reported(usage, told) {
            charge.reported = nano;
            charge.source = Some(CostSource::Reported);
        } else if usage.is_unknown() {
            // Neither counters nor a cost: nothing is known, which is not zero.
        } else if let Some(bill) = quote.bill(usage, at) {
            charge.sum = bill.sum();
            charge.odd = bill.odd;
            charge.source = Some(if quote.free { CostSource::Free } else { CostSource::Computed });
        } else {
            charge.source = Some(CostSource::Unpriced);
        }
        charge
    }

    fn amount(&self) -> Option<NanoUsd> {
        match self.source {
            None | Some(CostSource::Unpriced) => None,
            Some(_) => Some(self.reported + total(&[(self.sum, self.multiplier)])),
        }
    }
}

/// What all of a request's answers come to.
#[derive(Default)]
struct Sums {
    /// Not rounded yet.
    sums: Vec<(PicoUsd, Multiplier)>,
    reported: NanoUsd,
    source: Option<CostSource>,
}

impl Sums {
    fn add(&mut self, charge: Charge, estimated: bool) {
        if charge.source.is_none() {
            return;
        }
        self.reported += charge.reported;
        self.sums.push((charge.sum, charge.multiplier));
        self.source = match (charge.source, estimated) {
            (Some(CostSource::Computed), true) => Some(CostSource::Estimated),
            (source, _) => source,
        };
    }

    fn total(&self) -> Option<NanoUsd> {
        match self.source {
            None | Some(CostSource::Unpriced) => None,
            Some(_) => Some(self.reported + total(&self.sums)),
        }
    }
}

/// What the provider says that the call cost.
fn reported(usage: &Usage, told: Option<&str>) -> Option<NanoUsd> {
    let nano = |text: &str| decimal(text, NANO).and_then(|nano| i64::try_from(nano).ok()).map(NanoUsd);
    let own = nano(usage.cost_usd.as_deref().or(told)?)?;
    // OpenRouter with a key of one's own: it charges its fee, the provider behind it the rest.
    let raw = usage.raw.as_ref();
    let byok = raw.and_then(|raw| raw.get("is_byok")).and_then(Value::as_bool) == Some(true);
    let behind = raw.and_then(|raw| raw.pointer("/cost_details/upstream_inference_cost"));
    let behind = behind.filter(|_| byok).and_then(|cost| nano(&cost.to_string()));
    Some(own + behind.unwrap_or_default())
}
