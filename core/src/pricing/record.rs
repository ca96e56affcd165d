//! What a request came to, written into its record: the answer's tokens at its deployment's price, those of attempts that were paid in vain beside them,
//! rounded once. The same for a request that just ended and for one of last month that is priced anew.

use std::sync::Arc;

use myelin_protocol::ir::{RawUsage, Usage};

use super::book::{Book, Quote};
use super::cost::total;
use crate::model::{
    CacheOutcome, Channel, CostSource, Entities, Multiplier, NanoUsd, PicoUsd, RequestRecord, RequestState, decimal,
};

/// 10⁹: dollars to nanodollars.
const NANO: u64 = 1_000_000_000;

/// No single request costs more: the sums of records take no more of one, and limits must count what they say.
const MOST: NanoUsd = NanoUsd(1 << 52);

/// Writes cost, source and price into a record; counters that no answer can have are unknown from here on. `quote`: the price of the deployment that answered or was asked last; `lost`: the prices of attempts whose
/// own usage is known, by their place; `estimated`: some counters of the answer are guesses.
pub fn settle(record: &mut RequestRecord, quote: Option<&Quote>, lost: &[(usize, Arc<Quote>)], estimated: bool) {
    let tries = record.attempts.iter_mut().filter_map(|attempt| attempt.usage.as_mut());
    tries.chain(record.usage.as_mut()).for_each(Usage::drop_absurd);
    if matches!(record.cache, CacheOutcome::Hit | CacheOutcome::Shared) {
        (record.cost, record.cost_source) = (Some(NanoUsd(0)), Some(CostSource::Free));
        return;
    }
    let resumed = record.attempts.iter().any(|attempt| attempt.resumed);
    let mut sums = Sums::default();
    for (index, quote) in lost {
        let Some(attempt) = record.attempts.get_mut(*index) else { continue };
        let Some(usage) = &attempt.usage else { continue };
        let charge = Charge::of(usage, quote, record.started);
        attempt.cost = charge.amount();
        sums.add(&charge, resumed && estimated);
    }
    record.price = None;
    match (&record.usage, quote) {
        // It is the sum of what the attempts have of their own.
        (Some(_), Some(quote)) if resumed => record.price = Some(quote.label.clone()).filter(|label| !label.is_empty()),
        (Some(usage), Some(quote)) => {
            let charge = Charge::of(usage, quote, record.started);
            if !quote.label.is_empty() && charge.source.is_some_and(|source| source != CostSource::Reported) {
                record.price = Some(quote.label.clone());
            }
            sums.add(&charge, estimated);
            note_odd(record, charge.odd);
        }
        // Nobody was asked: the answer was made here.
        (Some(_), None) if record.attempts.is_empty() => sums.source = Some(CostSource::Free),
        _ => {}
    }
    (record.cost, record.cost_source) = (sums.total(), sums.source);
}

fn note_odd(record: &mut RequestRecord, odd: bool) {
    let line = "usage: the provider counts parts that are larger than the whole".to_owned();
    if odd && !record.losses.contains(&line) {
        record.losses.push(line);
    }
}

/// Prices a record anew, at today's prices. What the provider said that it cost stays. `true`: something changed.
pub fn reprice(record: &mut RequestRecord, book: &Book, entities: &Entities) -> bool {
    let Some(name) = &record.channel else { return false };
    if record.usage.is_none() && record.attempts.iter().all(|attempt| attempt.usage.is_none()) {
        return false;
    }
    let provider = record.provider.clone().unwrap_or_default();
    let quote = |channel: &str, model: &str| match entities.channel(channel) {
        Some(channel) => book.quote(channel, model),
        // The channel is gone: its provider's list still holds.
        None => book.quote(&Channel::bare(channel, &provider), model),
    };
    let answer = record.upstream_model.as_deref().map(|model| quote(name, model));
    let lost = record.attempts.iter().enumerate().filter(|(_, attempt)| attempt.usage.is_some());
    let lost: Vec<_> = lost.map(|(index, attempt)| (index, quote(&attempt.channel, &attempt.upstream_model))).collect();
    let estimated = record.cost_source == Some(CostSource::Estimated);
    let broken_off = matches!(record.state, RequestState::Interrupted | RequestState::Canceled)
        || record.attempts.iter().any(|attempt| attempt.resumed);
    let before = (record.cost, record.cost_source, record.price.clone());
    settle(record, answer.as_deref(), &lost, estimated && broken_off);
    before != (record.cost, record.cost_source, record.price.clone())
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
    fn of(usage: &Usage, quote: &Quote, at: u64) -> Self {
        let mut charge =
            Self { source: None, reported: NanoUsd(0), sum: PicoUsd(0), multiplier: quote.multiplier, odd: false };
        if let Some(nano) = reported(usage) {
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
            Some(_) => Some((self.reported + total(&[(self.sum, self.multiplier)])).min(MOST)),
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
    fn add(&mut self, charge: &Charge, estimated: bool) {
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
            Some(_) => Some((self.reported + total(&self.sums)).min(MOST)),
        }
    }
}

/// What the provider says that the call cost.
fn reported(usage: &Usage) -> Option<NanoUsd> {
    let nano = |text: &str| {
        decimal(text, NANO).and_then(|nano| i64::try_from(nano).ok()).map(NanoUsd).filter(|nano| *nano <= MOST)
    };
    let own = nano(usage.cost_usd.as_deref()?)?;
    // OpenRouter with a key of one's own: it charges its fee, the provider behind it the rest.
    let raw = usage.raw.as_ref().filter(|raw| raw.text().contains("\"is_byok\"")).map(RawUsage::value);
    let byok = raw.as_ref().and_then(|raw| raw.get("is_byok")?.as_bool()) == Some(true);
    let behind = raw.as_ref().and_then(|raw| raw.pointer("/cost_details/upstream_inference_cost"));
    let behind = behind.filter(|_| byok).and_then(|cost| nano(&cost.to_string()));
    Some(own + behind.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{AttemptRecord, OwnPrice, Price, PriceData};

    fn quote(table: &Value) -> Arc<Quote> {
        let price = Price::read(table.as_object().expect("a table")).expect("a price");
        Arc::new(Quote { free: price.is_free(), price, label: "p".into(), ..Quote::default() })
    }

    fn usage(input: u64) -> Usage {
        Usage { input: Some(input), output: Some(0), ..Usage::default() }
    }

    fn record(attempts: usize) -> RequestRecord {
        RequestRecord {
            attempts: vec![AttemptRecord { channel: "main".into(), ..AttemptRecord::default() }; attempts],
            channel: Some("main".into()),
            upstream_model: Some("m".into()),
            usage: Some(usage(4)),
            ..RequestRecord::default()
        }
    }

    #[test]
    fn all_attempts_together_are_rounded_once() {
        // 100 picodollars a token: 4 tokens are 0.4 nanodollars, three times are 1.2.
        let quote = quote(&json!({"input": 0.0001, "output": 0}));
        let mut record = record(3);
        record.attempts[0].usage = Some(usage(4));
        record.attempts[1].usage = Some(usage(4));
        settle(&mut record, Some(&quote), &[(0, Arc::clone(&quote)), (1, Arc::clone(&quote))], false);
        assert_eq!((record.cost, record.attempts[0].cost), (Some(NanoUsd(1)), Some(NanoUsd(0))));
        assert_eq!((record.cost_source, record.price.as_deref()), (Some(CostSource::Computed), Some("p")));
        let before = record.clone();
        settle(&mut record, Some(&quote), &[(0, Arc::clone(&quote)), (1, Arc::clone(&quote))], false);
        assert_eq!(record, before, "again is the same");
    }

    #[test]
    fn an_answer_from_the_cache_costs_nothing() {
        for cache in [CacheOutcome::Hit, CacheOutcome::Shared] {
            let mut record = RequestRecord { cache, ..record(0) };
            settle(&mut record, Some(&quote(&json!({"input": 5}))), &[], false);
            assert_eq!((record.cost, record.cost_source), (Some(NanoUsd(0)), Some(CostSource::Free)));
        }
    }

    #[test]
    fn case_37_what_is_not_known_has_no_cost_and_what_is_estimated_says_so() {
        let dear = quote(&json!({"input": 5, "output": 5}));
        let mut unknown = RequestRecord { usage: Some(Usage::default()), ..record(1) };
        settle(&mut unknown, Some(&dear), &[], false);
        assert_eq!((unknown.cost, unknown.cost_source), (None, None));
        let mut guessed = record(1);
        settle(&mut guessed, Some(&dear), &[], true);
        assert_eq!((guessed.cost, guessed.cost_source), (Some(NanoUsd(20_000)), Some(CostSource::Estimated)));
        let mut failed = RequestRecord { usage: None, ..record(1) };
        settle(&mut failed, Some(&dear), &[], false);
        assert_eq!((failed.cost, failed.cost_source), (None, None));
    }

    #[test]
    fn case_34_odd_counts_are_told_in_the_record() {
        let mut odd = record(1);
        odd.usage = Some(Usage { cache_read: Some(9), ..usage(4) });
        settle(&mut odd, Some(&quote(&json!({"input": 5}))), &[], false);
        assert_eq!(odd.cost, Some(NanoUsd(20_000)));
        assert!(odd.losses.iter().any(|line| line.contains("larger than the whole")), "{:?}", odd.losses);
    }

    #[test]
    fn history_is_priced_anew_but_what_was_reported_stays() {
        let price = Price::read(json!({"input": 2}).as_object().expect("a table")).expect("a price");
        let own = OwnPrice { channel: None, model: "m".into(), price, version: 9, at: 0, who: "test".into() };
        let book = Book::new(Arc::new(PriceData { own: vec![own], imported: None }));
        let entities = Entities::default();
        let mut old = RequestRecord { provider: Some("openai".into()), ..record(1) };
        assert!(reprice(&mut old, &book, &entities));
        assert_eq!((old.cost, old.price.as_deref()), (Some(NanoUsd(8_000)), Some("set@9 m")));
        assert!(!reprice(&mut old, &book, &entities), "it is already");
        // The channel is gone: the list of its provider holds.
        let mut gone = RequestRecord { upstream_model: Some("gpt-5".into()), ..old.clone() };
        assert!(reprice(&mut gone, &book, &entities));
        assert_eq!(gone.cost, Some(NanoUsd(5_000)));
        let mut told = old.clone();
        told.usage = Some(Usage { cost_usd: Some("0.5".into()), ..usage(4) });
        assert!(reprice(&mut told, &book, &entities));
        assert_eq!((told.cost, told.cost_source), (Some(NanoUsd(500_000_000)), Some(CostSource::Reported)));
        let mut nothing = RequestRecord { usage: None, ..record(1) };
        assert!(!reprice(&mut nothing, &book, &entities));
    }

    #[test]
    fn case_42_counters_that_no_answer_can_have_are_unknown_and_no_cost_is_beyond_what_sums_take() {
        let odd =
            Usage { input: Some(9 << 60), cache_read: Some(u64::MAX), output: Some(Usage::MOST), ..Usage::default() };
        let attempt = AttemptRecord { usage: Some(odd.clone()), ..AttemptRecord::default() };
        let mut record = RequestRecord { usage: Some(odd), attempts: vec![attempt], ..RequestRecord::default() };
        let quote = quote(&json!({"input": 1, "output": 600}));
        settle(&mut record, Some(&quote), &[(0, quote.clone())], false);
        for usage in [record.usage.as_ref().unwrap(), record.attempts[0].usage.as_ref().unwrap()] {
            assert_eq!((usage.input, usage.cache_read, usage.output), (None, None, Some(Usage::MOST)));
        }
        assert!(record.cost.is_none_or(|cost| cost <= MOST), "{:?}", record.cost);
        assert!(record.attempts[0].cost.is_none_or(|cost| cost <= MOST));
        let told = Usage { input: Some(1), cost_usd: Some("9000000000".into()), ..Usage::default() };
        let mut record =
            RequestRecord { usage: Some(told), attempts: vec![AttemptRecord::default()], ..RequestRecord::default() };
        settle(&mut record, Some(&quote), &[], false);
        assert_eq!((record.cost_source, record.cost.map(|cost| cost.0)), (Some(CostSource::Computed), Some(1_000)));
    }
}
