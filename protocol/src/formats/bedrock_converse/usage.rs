//! Counters. `inputTokens` counts neither cache reads nor writes; `totalTokens` counts everything.

use serde_json::{Map, Value};

use crate::ir::Usage;
use crate::json::Object;

/// Reads a usage object.
pub(super) fn read(raw: &Map<String, Value>) -> Usage {
    let count = |name: &str| raw.get(name).and_then(Value::as_u64);
    let cache_read = count("cacheReadInputTokens").or_else(|| count("cacheReadInputTokenCount"));
    let cache_write = count("cacheWriteInputTokens").or_else(|| count("cacheWriteInputTokenCount"));
    let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
    Usage {
        input: count("inputTokens").map(|input| input.saturating_add(cached)),
        cache_read,
        cache_write,
        cache_write_1h: long_writes(raw),
        output: count("outputTokens"),
        raw: Some(Value::Object(raw.clone()).into()),
        ..Usage::default()
    }
}

/// `cacheDetails: [{"ttl": "1h", "inputTokens": N}]`.
/// The same from its text.
pub(super) fn of_text(raw: &[u8]) -> Option<Usage> {
    Some(read(&serde_json::from_slice(raw).ok()?))
}

fn long_writes(raw: &Map<String, Value>) -> Option<u64> {
    let details = raw.get("cacheDetails")?.as_array()?;
    let long = details.iter().filter(|entry| entry.get("ttl").is_some_and(|ttl| ttl == "1h"));
    let counts = long.filter_map(|entry| entry.get("inputTokens")?.as_u64());
    Some(counts.fold(0, u64::saturating_add))
}

/// Writes the counters; the wire demands the first three.
pub(super) fn write(o: &mut Object<'_>, usage: &Usage) {
    let (input, output) = (usage.uncached_input().unwrap_or(0), usage.output.unwrap_or(0));
    o.value("inputTokens", &input);
    o.value("outputTokens", &output);
    o.value("totalTokens", &usage.input.unwrap_or(0).saturating_add(output));
    o.some("cacheReadInputTokens", usage.cache_read);
    o.some("cacheWriteInputTokens", usage.cache_write);
    if let (Some(write), Some(long)) = (usage.cache_write, usage.cache_write_1h) {
        o.list("cacheDetails", |list| {
            for (ttl, tokens) in [("1h", long), ("5m", write.saturating_sub(long))] {
                list.object(|o| {
                    o.value("ttl", ttl);
                    o.value("inputTokens", &tokens);
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::object;
    use serde_json::json;

    #[test]
    fn cached_tokens_are_added_and_taken_off_again() {
        let raw = json!({
            "inputTokens": 22, "outputTokens": 13, "totalTokens": 2627, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 2492,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 2000}, {"ttl": "5m", "inputTokens": 492}],
        });
        let usage = read(raw.as_object().unwrap());
        assert_eq!((usage.input, usage.uncached_input(), usage.output), (Some(2614), Some(22), Some(13)));
        assert_eq!((usage.cache_read, usage.cache_write, usage.cache_write_1h), (Some(100), Some(2492), Some(2000)));
        let mut out = Vec::new();
        object(&mut out, |o| write(o, &usage));
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), raw);
    }

    #[test]
    fn unknown_is_not_zero() {
        let usage = read(&Map::new());
        assert_eq!((usage.input, usage.output, usage.cache_read, usage.cache_write_1h), (None, None, None, None));
    }
}
