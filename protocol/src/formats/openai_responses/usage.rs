//! Token counters. Here `input_tokens` contains what the cache served and took, and `output_tokens` contains reasoning.

use serde_json::{Map, Number, Value, json};

use super::take;
use crate::counters::{Counters, Place};
use crate::envelope::Envelope;
use crate::formats::openai_chat::wire::whole;
use crate::ir::{RawUsage, Usage};

/// xAI counts cost in ticks of 10⁻¹⁰ dollars.
const TICK_DIGITS: usize = 10;

/// Words of other formats for a tier, in words of this one.
const TIERS: [(&str, &str); 4] =
    [("standard", "default"), ("standard_only", "default"), ("on_demand", "default"), ("on-demand", "default")];

/// Words of this format.
const OWN_TIERS: [&str; 7] = ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];

/// A tier that is asked for. A word that is not known passes: it may be of this format, and new.
pub(super) fn tier_to_ask(word: &str) -> &str {
    TIERS.iter().find(|(foreign, _)| *foreign == word).map_or(word, |(_, own)| own)
}

/// The tier that answered, in words of this format; `None` if it has none.
pub(super) fn tier_that_answered(usage: &Usage) -> Option<&str> {
    let word = tier_to_ask(usage.service_tier.as_deref()?);
    let own = OWN_TIERS.contains(&word) || own_raw(usage).is_some();
    own.then_some(word)
}

/// Reads nothing but the counters of a whole answer, or of an event that holds one.
pub(super) fn peek(answer: &Envelope) -> Option<Usage> {
    if let Some(inner) = answer.raw("response").filter(|raw| raw.first() == Some(&b'{')) {
        return peek(&Envelope::look(answer.body().slice_ref(inner)).ok()?);
    }
    let text = answer.raw("usage")?;
    let mut usage = counted(&Counters::read(text)?, RawUsage::of_text(text)?);
    usage.service_tier = answer.text("service_tier").map(|tier| tier.into_owned());
    let tools = answer.raw("tool_usage").and_then(Counters::read);
    usage.web_searches = tools.and_then(|tools| whole(tools.number(SEARCHES)?));
    Some(usage)
}

/// Reads the `usage` object of an answer. `answer` is the object around it, which tells the tier and the searches.
pub(super) fn decode(usage: &Value, answer: Option<&Map<String, Value>>) -> Option<Usage> {
    let mut found = counted(&Counters::of(usage.as_object()?), usage.into());
    let searches = answer.and_then(|answer| answer.get("tool_usage")?.get(SEARCHES.0)?.get(SEARCHES.1));
    found.web_searches = searches.and_then(take::whole);
    found.service_tier = answer.and_then(|answer| answer.get("service_tier")?.as_str()).map(str::to_owned);
    Some(found)
}

/// In `tool_usage`.
const SEARCHES: Place = ("web_search", "num_requests");

fn counted(counters: &Counters<'_>, raw: RawUsage) -> Usage {
    let detail = |group, name| whole(counters.number((group, name))?);
    let count = |name| detail("", name);
    Usage {
        input: count("input_tokens"),
        cache_read: detail("input_tokens_details", "cached_tokens"),
        cache_write: detail("input_tokens_details", "cache_write_tokens"),
        cache_write_1h: None,
        audio_input: detail("input_tokens_details", "audio_tokens"),
        image_input: detail("input_tokens_details", "image_tokens"),
        output: count("output_tokens"),
        reasoning: detail("output_tokens_details", "reasoning_tokens"),
        audio_output: detail("output_tokens_details", "audio_tokens"),
        image_output: detail("output_tokens_details", "image_tokens"),
        cost_usd: cost(counters),
        raw: Some(raw),
        ..Usage::default()
    }
}

fn cost(counters: &Counters<'_>) -> Option<String> {
    if let Some(ticks) = counters.number(("", "cost_in_usd_ticks")).and_then(whole) {
        return Some(dollars(ticks));
    }
    let text = counters.text(("", "cost")).map(str::to_owned);
    text.or_else(|| counters.number(("", "cost")).map(Number::to_string))
}

fn dollars(ticks: u64) -> String {
    let digits = format!("{ticks:0>width$}", width = TICK_DIGITS + 1);
    let (whole, fraction) = digits.split_at(digits.len() - TICK_DIGITS);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

/// Writes the `usage` object; `null` if nothing is known.
pub(super) fn encode(usage: Option<&Usage>) -> Value {
    let Some(usage) = usage.filter(|usage| !usage.is_unknown()) else { return Value::Null };
    if let Some(own) = own_raw(usage) {
        return own;
    }
    let input = usage.input.unwrap_or(0);
    let output = usage.output.unwrap_or(0);
    json!({
        "input_tokens": input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read.unwrap_or(0).min(input),
            "cache_write_tokens": usage.cache_write.unwrap_or(0).min(input),
        },
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning.unwrap_or(0)},
        "total_tokens": input.saturating_add(output),
    })
}

/// Whether the provider's object is of this format and says the same: then it goes out as it came. Anthropic's looks alike but
/// counts the cache apart, and has no total.
fn own_raw(usage: &Usage) -> Option<Value> {
    let raw = usage.raw.as_ref()?.with_any(&["total_tokens"])?;
    let same = decode(&raw, None).is_some_and(|own| {
        (own.input, own.output, own.cache_read, own.cache_write, own.reasoning)
            == (usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning)
    });
    (same && raw.get("output_tokens_details").is_some()).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_keep_what_is_inside_what() {
        let wire = json!({
            "input_tokens": 8576, "input_tokens_details": {"cache_write_tokens": 4418, "cached_tokens": 10},
            "output_tokens": 52, "output_tokens_details": {"reasoning_tokens": 32}, "total_tokens": 8628,
        });
        let usage = decode(&wire, None).expect("is an object");
        assert_eq!((usage.input, usage.cache_read, usage.cache_write), (Some(8576), Some(10), Some(4418)));
        assert_eq!((usage.output, usage.reasoning, usage.total()), (Some(52), Some(32), Some(8628)));
        assert_eq!(encode(Some(&usage)), wire);
    }

    #[test]
    fn a_zero_stays_zero_and_absence_stays_absence() {
        let usage = decode(&json!({"input_tokens": 0, "output_tokens": 0}), None).expect("is an object");
        assert_eq!((usage.input, usage.cache_read, usage.reasoning), (Some(0), None, None));
        assert_eq!(encode(None), Value::Null);
        assert_eq!(encode(Some(&Usage::default())), Value::Null);
    }

    #[test]
    fn case_31_a_foreign_usage_keeps_its_cache_classes() {
        // 3k uncached, 172k read, 155k written: Anthropic counts them apart, the model adds them up.
        let raw =
            json!({"input_tokens": 3000, "cache_read_input_tokens": 172_000, "cache_creation_input_tokens": 155_000});
        let usage = Usage {
            input: Some(330_000),
            cache_read: Some(172_000),
            cache_write: Some(155_000),
            output: Some(7),
            raw: Some(raw.into()),
            ..Usage::default()
        };
        let wire = encode(Some(&usage));
        assert_eq!(wire["input_tokens"], 330_000);
        assert_eq!(wire["input_tokens_details"], json!({"cached_tokens": 172_000, "cache_write_tokens": 155_000}));
        assert_eq!(wire["total_tokens"], 330_007);
        let back = decode(&wire, None).expect("is an object");
        assert_eq!(back.uncached_input(), Some(3000));
    }

    #[test]
    fn tiers_of_other_formats_are_told_in_words_of_this_one() {
        let told = |word: &str| {
            let usage = Usage { input: Some(1), service_tier: Some(word.into()), ..Usage::default() };
            tier_that_answered(&usage).map(str::to_owned)
        };
        assert_eq!(told("standard").as_deref(), Some("default"));
        assert_eq!(told("priority").as_deref(), Some("priority"));
        assert_eq!(told("PROVISIONED"), None);
        let own = json!({"input_tokens": 1, "output_tokens": 1, "output_tokens_details": {}, "total_tokens": 2});
        let around = json!({"service_tier": "new"});
        let usage = decode(&own, around.as_object()).expect("is an object");
        assert_eq!(tier_that_answered(&usage), Some("new"));
        assert_eq!((tier_to_ask("standard_only"), tier_to_ask("new")), ("default", "new"));
    }

    #[test]
    fn costs_are_read_in_every_spelling() {
        assert_eq!(
            decode(&json!({"cost_in_usd_ticks": 5_448_500}), None).and_then(|usage| usage.cost_usd),
            Some("0.00054485".into())
        );
        assert_eq!(
            decode(&json!({"cost_in_usd_ticks": 20_000_000_000u64}), None).and_then(|usage| usage.cost_usd),
            Some("2".into())
        );
        assert_eq!(decode(&json!({"cost": 0.0012}), None).and_then(|usage| usage.cost_usd), Some("0.0012".into()));
    }
}
