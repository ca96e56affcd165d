//! Token counters. Here `input_tokens` contains what the cache served and took, and `output_tokens` contains reasoning.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::take;
use crate::ir::Usage;

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
    let own = OWN_TIERS.contains(&word) || usage.raw.as_ref().is_some_and(|raw| is_own(raw, usage));
    own.then_some(word)
}

/// Reads nothing but the counters of a whole answer, or of an event that holds one.
pub(super) fn peek(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow, default)]
        usage: Option<&'a RawValue>,
        #[serde(borrow, default)]
        tool_usage: Option<&'a RawValue>,
        #[serde(default)]
        service_tier: Option<Value>,
        #[serde(borrow, default)]
        response: Option<&'a RawValue>,
    }
    let mut answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    if let Some(inner) = answer.response {
        answer = serde_json::from_str(inner.get()).ok()?;
    }
    let tree = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null);
    let usage = tree(answer.usage);
    let mut around = Map::new();
    around.insert("tool_usage".to_owned(), tree(answer.tool_usage));
    around.insert("service_tier".to_owned(), answer.service_tier.unwrap_or_default());
    decode(&usage, Some(&around))
}

/// Reads the `usage` object of an answer. `answer` is the object around it, which tells the tier and the searches.
pub(super) fn decode(usage: &Value, answer: Option<&Map<String, Value>>) -> Option<Usage> {
    let fields = usage.as_object()?;
    let count = |name: &str| fields.get(name).and_then(take::whole);
    let detail =
        |group: &str, name: &str| fields.get(group).and_then(|details| details.get(name)).and_then(take::whole);
    let searches = answer.and_then(|answer| answer.get("tool_usage")?.get("web_search")?.get("num_requests"));
    Some(Usage {
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
        web_searches: searches.and_then(take::whole),
        cost_usd: cost(fields),
        service_tier: answer.and_then(|answer| answer.get("service_tier")?.as_str()).map(str::to_owned),
        raw: Some(usage.clone()),
        ..Usage::default()
    })
}

fn cost(fields: &Map<String, Value>) -> Option<String> {
    if let Some(ticks) = fields.get("cost_in_usd_ticks").and_then(take::whole) {
        return Some(dollars(ticks));
    }
    match fields.get("cost") {
        Some(Value::Number(cost)) => Some(cost.to_string()),
        Some(Value::String(cost)) => Some(cost.clone()),
        _ => None,
    }
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
    if let Some(own) = usage.raw.as_ref().filter(|raw| is_own(raw, usage)) {
        return own.clone();
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
fn is_own(raw: &Value, usage: &Usage) -> bool {
    raw.get("total_tokens").is_some()
        && raw.get("output_tokens_details").is_some()
        && decode(raw, None).is_some_and(|own| {
            (own.input, own.output, own.cache_read, own.cache_write, own.reasoning)
                == (usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning)
        })
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
            raw: Some(raw),
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
