//! Counters. `input_tokens` counts neither cache reads nor writes: the normal form adds them, the way back takes them off.

use serde_json::{Map, Number, Value};

use crate::counters::Counters;
use crate::ir::{RawUsage, Usage};
use crate::json::Object;

/// Reads a usage object. A total of cache writes without the split by lifetime leaves the split unknown; a split without a total is summed.
pub(super) fn read(raw: &Map<String, Value>) -> Usage {
    counted(&Counters::of(raw), Value::Object(raw.clone()).into())
}

/// The same from its text.
pub(super) fn of_text(raw: &[u8]) -> Option<Usage> {
    Some(counted(&Counters::read(raw)?, RawUsage::of_text(raw)?))
}

fn counted(counters: &Counters<'_>, raw: RawUsage) -> Usage {
    let nested = |group, name| counters.number((group, name)).and_then(Number::as_u64);
    let count = |name| nested("", name);
    let (short, long) =
        (nested("cache_creation", "ephemeral_5m_input_tokens"), nested("cache_creation", "ephemeral_1h_input_tokens"));
    let split = short.or(long).map(|_| short.unwrap_or(0).saturating_add(long.unwrap_or(0)));
    let cache_read = count("cache_read_input_tokens");
    let cache_write = count("cache_creation_input_tokens").or(split);
    let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
    Usage {
        input: count("input_tokens").map(|input| input.saturating_add(cached)),
        cache_read,
        cache_write,
        cache_write_1h: long,
        output: count("output_tokens"),
        reasoning: nested("output_tokens_details", "thinking_tokens"),
        web_searches: nested("server_tool_use", "web_search_requests"),
        service_tier: counters.text(("", "service_tier")).map(str::to_owned),
        raw: Some(raw),
        ..Usage::default()
    }
}

/// Takes every counter that `newer` has: `message_delta` replaces what `message_start` said, it never adds to it.
pub(super) fn replace(raw: &mut Map<String, Value>, newer: Map<String, Value>) {
    raw.extend(newer.into_iter().filter(|(_, value)| !value.is_null()));
}

/// The provider's own object, if it is one of this wire and says what `usage` says: hosts add fields that clients of this format know.
fn own_raw(usage: &Usage) -> Option<Map<String, Value>> {
    let Value::Object(raw) = usage.raw.as_ref()?.with_any(&["output_tokens"])? else { return None };
    let foreign = ["total_tokens", "input_tokens_details"].iter().any(|name| raw.contains_key(*name));
    (!foreign && read(&raw) == *usage).then_some(raw)
}

/// Writes the counters. Unknown ones are 0 where the wire demands a number and absent elsewhere.
pub(super) fn write(o: &mut Object<'_>, usage: &Usage) {
    if let Some(raw) = own_raw(usage) {
        return o.fields(&raw);
    }
    o.value("input_tokens", &usage.uncached_input().unwrap_or(0));
    o.some("cache_creation_input_tokens", usage.cache_write);
    o.some("cache_read_input_tokens", usage.cache_read);
    if let (Some(write), Some(long)) = (usage.cache_write, usage.cache_write_1h) {
        o.object("cache_creation", |o| {
            o.value("ephemeral_5m_input_tokens", &write.saturating_sub(long));
            o.value("ephemeral_1h_input_tokens", &long);
        });
    }
    o.value("output_tokens", &usage.output.unwrap_or(0));
    if let Some(thinking) = usage.reasoning {
        o.object("output_tokens_details", |o| o.value("thinking_tokens", &thinking));
    }
    if let Some(searches) = usage.web_searches {
        o.object("server_tool_use", |o| o.value("web_search_requests", &searches));
    }
    o.some("service_tier", usage.service_tier.as_deref());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::object;
    use serde_json::json;

    fn usage(value: Value) -> Usage {
        read(value.as_object().unwrap())
    }

    #[test]
    fn cached_tokens_are_added_to_the_input() {
        let usage = usage(json!({
            "input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5}, "output_tokens": 7,
        }));
        assert_eq!((usage.input, usage.uncached_input(), usage.output), (Some(123), Some(3), Some(7)));
        assert_eq!((usage.cache_read, usage.cache_write, usage.cache_write_1h), (Some(100), Some(20), Some(5)));
    }

    #[test]
    fn case_33_a_total_without_a_split_stays_a_total_and_a_split_without_a_total_is_summed() {
        let total = usage(json!({"input_tokens": 1, "cache_creation_input_tokens": 20, "cache_creation": null}));
        assert_eq!((total.cache_write, total.cache_write_1h), (Some(20), None));
        let split = usage(json!({"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 8}}));
        assert_eq!((split.input, split.cache_write, split.cache_write_1h), (Some(9), Some(8), Some(8)));
    }

    #[test]
    fn unknown_is_not_zero() {
        let nothing = usage(json!({"cache_read_input_tokens": 0}));
        assert_eq!((nothing.input, nothing.output, nothing.cache_read), (None, None, Some(0)));
    }

    #[test]
    fn case_31_case_34_the_way_back_takes_cached_tokens_off_and_never_goes_below_zero() {
        let mut out = Vec::new();
        let usage = Usage { input: Some(172), cache_read: Some(155), cache_write: Some(3), ..Usage::default() };
        object(&mut out, |o| write(o, &usage));
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with(r#"{"input_tokens":14,"cache_creation_input_tokens":3,"cache_read_input_tokens":155"#),
            "{text}"
        );
        let mut out = Vec::new();
        object(&mut out, |o| write(o, &Usage { input: Some(7), cache_read: Some(163), ..Usage::default() }));
        assert!(String::from_utf8(out).unwrap().starts_with(r#"{"input_tokens":0,"#));
    }

    #[test]
    fn later_counters_replace_and_null_does_not() {
        let mut raw = json!({"input_tokens": 5, "output_tokens": 1}).as_object().unwrap().clone();
        replace(&mut raw, json!({"input_tokens": null, "output_tokens": 9}).as_object().unwrap().clone());
        assert_eq!(Value::Object(raw), json!({"input_tokens": 5, "output_tokens": 9}));
    }
}
