//! Tokens times rates, added up in picodollars and rounded once.

use myelin_protocol::ir::{Units, Usage};

use crate::model::{Multiplier, NanoUsd, PicoUsd, Price, PriceClass};

/// One line of a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What was used.
    pub class: PriceClass,
    /// How much of it.
    pub count: u64,
    /// The rate that it was charged at, in picodollars; of a kindred class where the price has none of its own.
    pub rate: u64,
}

/// What one answer comes to at a price, before rounding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bill {
    /// The lines, in the order of [`PriceClass`]; nothing of nothing is left out.
    pub lines: Vec<Line>,
    /// The provider counts oddly: parts are larger than the whole. Nothing is charged below zero.
    pub odd: bool,
}

impl Bill {
    /// The sum in picodollars, without a channel's multiplier.
    pub fn sum(&self) -> PicoUsd {
        let line = |line: &Line| i128::from(line.count) * i128::from(line.rate);
        PicoUsd(self.lines.iter().map(line).sum())
    }

    /// The sum in nanodollars: the one place where a request's cost is rounded.
    pub fn total(&self, multiplier: Multiplier) -> NanoUsd {
        total(&[(self.sum(), multiplier)])
    }
}

/// Several sums, each with its multiplier, rounded once, half up.
pub fn total(sums: &[(PicoUsd, Multiplier)]) -> NanoUsd {
    let exact = |(sum, multiplier): &(PicoUsd, Multiplier)| sum.0.saturating_mul(i128::from(multiplier.0));
    let exact = sums.iter().map(exact).fold(0, i128::saturating_add);
    // 10⁻¹⁸ dollars to 10⁻⁹.
    let nano = exact.saturating_add(500_000_000).div_euclid(1_000_000_000);
    NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX))
}

/// What was used, class by class; every token is in exactly one.
fn counts(usage: &Usage, price: &Price) -> ([(PriceClass, u64); 12], bool) {
    let known = |count: Option<u64>| count.unwrap_or(0);
    let input = known(usage.input);
    let read = known(usage.cache_read);
    let long = known(usage.cache_write_1h);
    // A split without its total is its own total; a total without a split is all of the short kind.
    let written = known(usage.cache_write).max(long);
    let mut odd = read.saturating_add(written) > input;
    let read = read.min(input);
    let written = written.min(input - read);
    let long = long.min(written);
    let plain = input - read - written;
    // Pictures and sound first fill what was in no cache; what is beyond that was in it.
    let audio = known(usage.audio_input).min(plain);
    let image = known(usage.image_input).min(plain - audio);
    let audio_read = (known(usage.audio_input) - audio).min(read);
    let image_read = (known(usage.image_input) - image).min(read - audio_read);

    let output = known(usage.output);
    let sound = known(usage.audio_output).min(output);
    let picture = known(usage.image_output).min(output - sound);
    let words = output - sound - picture;
    odd |= known(usage.reasoning) > output;
    // Where thinking has no rate of its own it is output like any other.
    let apart = price.rates().iter().any(|rate| rate.class == PriceClass::Reasoning);
    let thought = if apart { known(usage.reasoning).min(words) } else { 0 };
    let counts = [
        (PriceClass::Input, plain - audio - image),
        (PriceClass::CacheRead, read - audio_read - image_read),
        (PriceClass::CacheWrite, written - long),
        (PriceClass::CacheWrite1h, long),
        (PriceClass::Output, words - thought),
        (PriceClass::Reasoning, thought),
        (PriceClass::AudioInput, audio),
        (PriceClass::AudioCacheRead, audio_read),
        (PriceClass::AudioOutput, sound),
        (PriceClass::ImageInput, image),
        (PriceClass::ImageCacheRead, image_read),
        (PriceClass::ImageOutput, picture),
    ];
    (counts, odd)
}

/// Where a class without a rate takes it from, in order. Charging the cache as plain input errs on the dear side.
fn kindred(class: PriceClass) -> &'static [PriceClass] {
    use PriceClass::{AudioInput, CacheRead, CacheWrite, ImageInput, Input, Output};
    match class {
        PriceClass::CacheWrite1h => &[CacheWrite, Input],
        PriceClass::CacheRead | PriceClass::CacheWrite | PriceClass::AudioInput | PriceClass::ImageInput => &[Input],
        PriceClass::AudioCacheRead => &[CacheRead, AudioInput, Input],
        PriceClass::ImageCacheRead => &[CacheRead, ImageInput, Input],
        PriceClass::Reasoning | PriceClass::AudioOutput | PriceClass::ImageOutput => &[Output],
        _ => &[],
    }
}

/// The bill of an answer. `at` is when the request began (milliseconds since 1970).
///
/// `None`: nothing is known of what was used, or tokens were used for which there is no rate. Unknown is never zero.
pub fn bill(price: &Price, usage: &Usage, at: u64) -> Option<Bill> {
    if usage.is_unknown() || price.is_empty() {
        return None;
    }
    let service = price.service(usage.service_tier.as_deref(), at);
    let prompt = usage.input.unwrap_or(0);
    let (counts, odd) = counts(usage, price);
    let rate = |class: PriceClass| price.rate(class, prompt, service);
    let mut lines = Vec::with_capacity(4);
    let mut unpriced = false;
    for (class, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        match rate(class).or_else(|| kindred(class).iter().copied().find_map(rate)) {
            Some(rate) => lines.push(Line { class, count, rate }),
            None => unpriced = true,
        }
    }
    // What has tokens and units both is charged by one of them: by tokens, where those have rates.
    if unpriced || (usage.input.is_none() && usage.output.is_none()) {
        lines.clear();
        if let Some((class, count)) = units(usage) {
            unpriced |= count > 0;
            lines.extend(rate(class).filter(|_| count > 0).map(|rate| Line { class, count, rate }));
        }
    }
    // Not every provider charges for these apart.
    let searches = match usage.units {
        Some(Units::Searches(count)) => count,
        _ => 0,
    };
    let apart = [(PriceClass::WebSearch, usage.web_searches.unwrap_or(0)), (PriceClass::Request, searches.max(1))];
    let apart = apart.into_iter().filter(|(_, count)| *count > 0);
    lines.extend(apart.filter_map(|(class, count)| Some(Line { class, count, rate: rate(class)? })));
    let paid = !lines.is_empty() || (!unpriced && searches == 0);
    paid.then_some(Bill { lines, odd })
}

/// What is counted where no tokens are. Searches of a reranker are requests.
fn units(usage: &Usage) -> Option<(PriceClass, u64)> {
    match usage.units? {
        Units::Images(count) => Some((PriceClass::ImageMade, count)),
        Units::Seconds(count) => Some((PriceClass::SecondRead, count)),
        Units::Characters(count) => Some((PriceClass::CharacterRead, count)),
        Units::Searches(_) => None,
    }
}

/// What prompt caches made of the input of many answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caching {
    /// By how much reading from the cache was cheaper than reading the same anew.
    pub read: PicoUsd,
    /// By how much writing to the cache was dearer than reading without one; below zero where it is cheaper.
    pub write: PicoUsd,
}

/// What prompt caches saved and cost, of sums over `requests` answers. Tiers go by the mean prompt, services by their standard rates.
///
/// `None`: a cache was used and there is no rate to hold it against. Unknown is never zero.
pub fn caching(price: &Price, sums: &Usage, requests: u64) -> Option<Caching> {
    use PriceClass::{
        AudioCacheRead, AudioInput, CacheRead, CacheWrite, CacheWrite1h, ImageCacheRead, ImageInput, Input,
    };
    let prompt = sums.input.unwrap_or(0) / requests.max(1);
    let rate = |class: PriceClass| price.rate(class, prompt, crate::model::Service::Standard);
    let known = |class: PriceClass| rate(class).or_else(|| kindred(class).iter().copied().find_map(rate));
    let (counts, _) = counts(sums, price);
    let mut out = Caching::default();
    for (class, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let (plain, reads) = match class {
            CacheRead => (Input, true),
            AudioCacheRead => (AudioInput, true),
            ImageCacheRead => (ImageInput, true),
            CacheWrite | CacheWrite1h => (Input, false),
            _ => continue,
        };
        let (plain, charged) = (i128::from(known(plain)?), i128::from(known(class)?));
        if reads {
            out.read.0 += i128::from(count) * (plain - charged);
        } else {
            out.write.0 += i128::from(count) * (charged - plain);
        }
    }
    Some(out)
}

/// What a request may come to at most, before it is sent: all of its input uncached (or written to the cache, if that is dearer), all of its output used.
pub fn estimate(price: &Price, multiplier: Multiplier, tokens_in: u64, max_out: u64, at: u64) -> Option<NanoUsd> {
    let service = price.service(None, at);
    let rate = |class| price.rate(class, tokens_in, service);
    let input = rate(PriceClass::Input).max(rate(PriceClass::CacheWrite));
    let output = rate(PriceClass::Output).max(rate(PriceClass::Reasoning));
    let flat = rate(PriceClass::Request);
    if input.is_none() && output.is_none() && flat.is_none() {
        return None;
    }
    let times = |count: u64, rate: Option<u64>| i128::from(count) * i128::from(rate.unwrap_or(0));
    let sum = times(tokens_in, input) + times(max_out, output) + times(1, flat);
    Some(total(&[(PicoUsd(sum), multiplier)]))
}

#[cfg(test)]
mod tests;
