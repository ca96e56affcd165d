//! Counters of Chat and where its hosts hide them.
//!
//! | host | where | oddity |
//! |---|---|---|
//! | OpenAI | `usage` | `prompt_tokens_details.cached_tokens`, `.cache_write_tokens` |
//! | DeepSeek | `usage` | `prompt_cache_hit_tokens`, prompt = hit + miss |
//! | Moonshot | `choices[0].usage`, newer `usage` | `cached_tokens` at the top |
//! | Mistral | `usage` | `num_cached_tokens` |
//! | Groq | `x_groq.usage`, then `usage` | |
//! | xAI | `usage` | reasoning beside the output, `cost_in_usd_ticks` (1e-10 dollars) |
//! | Gemini's compatible endpoint | `usage` | total above prompt + completion: the rest is reasoning |
//! | OpenRouter | `usage` | `cost` in dollars |
//! | Perplexity | `usage` | `cost.total_cost`, `num_search_queries` |
//! | Vercel gateway, LiteLLM | `usage` | `cache_creation_input_tokens`, `cache_read_input_tokens` inside the prompt |

use serde_json::Value;

use super::wire::{Object, count, one};
use crate::Dialect;
use crate::ir::Usage;

/// The first of several paths that leads to a whole number.
fn at(usage: &Value, paths: &[&str]) -> Option<u64> {
    paths.iter().find_map(|path| count(find(usage, path)?))
}

/// The field that a path of one or two names leads to. Every answer is looked through so some dozens of times: a JSON pointer would unescape each name.
fn find<'a>(usage: &'a Value, path: &str) -> Option<&'a Value> {
    match path.split_once('/') {
        None => usage.get(path),
        Some((outer, inner)) => usage.get(outer)?.get(inner),
    }
}

/// Reads a usage object; `None` if it is none.
pub(crate) fn decode(usage: &Value, dialect: &Dialect) -> Option<Usage> {
    if !usage.is_object() {
        return None;
    }
    let prompt = at(usage, &["prompt_tokens", "input_tokens"]);
    let completion = at(usage, &["completion_tokens", "output_tokens"]);
    let total = at(usage, &["total_tokens"]);
    let reasoning = at(
        usage,
        &["completion_tokens_details/reasoning_tokens", "output_tokens_details/reasoning_tokens", "reasoning_tokens"],
    );
    let cache_read = at(
        usage,
        &[
            "prompt_tokens_details/cached_tokens",
            "prompt_cache_hit_tokens",
            "cached_tokens",
            "num_cached_tokens",
            "cache_read_input_tokens",
            "input_tokens_details/cached_tokens",
        ],
    );
    let cache_write = at(
        usage,
        &[
            "prompt_tokens_details/cache_write_tokens",
            "cache_creation_input_tokens",
            "prompt_tokens_details/cache_creation_tokens",
        ],
    );
    let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
    let input = prompt.map(|prompt| if dialect.cache_beside_input { prompt.saturating_add(cached) } else { prompt });
    Some(Usage {
        input,
        cache_read,
        cache_write,
        cache_write_1h: None,
        audio_input: at(usage, &["prompt_tokens_details/audio_tokens"]),
        image_input: at(usage, &["prompt_tokens_details/image_tokens"]),
        output: completion.map(|completion| {
            completion.saturating_add(beside(prompt, completion, total, reasoning, dialect.reasoning_beside_output))
        }),
        reasoning,
        audio_output: at(usage, &["completion_tokens_details/audio_tokens"]),
        image_output: at(usage, &["completion_tokens_details/image_tokens"]),
        web_searches: at(usage, &["num_search_queries", "server_tool_use/web_search_requests"]),
        cost_usd: cost(usage),
        service_tier: usage.get("service_tier").and_then(Value::as_str).map(str::to_owned),
        raw: Some(usage.clone()),
        ..Usage::default()
    })
}

/// Output tokens that the host left out of `completion_tokens`: all of the reasoning, where the total shows it or the dialect says so.
fn beside(prompt: Option<u64>, completion: u64, total: Option<u64>, reasoning: Option<u64>, told: bool) -> u64 {
    let missing = match (prompt, total) {
        (Some(prompt), Some(total)) => total.saturating_sub(prompt.saturating_add(completion)),
        _ => 0,
    };
    match (missing, reasoning) {
        // Without a total nothing contradicts the dialect.
        (0, Some(reasoning)) if told && total.is_none() => reasoning,
        (0, _) => 0,
        (missing, Some(reasoning)) if missing == reasoning || told => reasoning,
        (missing, None) => missing,
        _ => 0,
    }
}

/// What the call cost, in dollars as the host wrote them.
pub fn cost(usage: &Value) -> Option<String> {
    let written = |value: &Value| match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if text.parse::<f64>().is_ok() => Some(text.clone()),
        _ => None,
    };
    ["cost", "cost/total_cost"].into_iter().find_map(|path| written(find(usage, path)?)).or_else(|| ticks(usage))
}

/// xAI counts money in ticks of 1e-10 dollars.
fn ticks(usage: &Value) -> Option<String> {
    let ticks = count(usage.get("cost_in_usd_ticks")?)?;
    let (whole, part) = (ticks / 10_000_000_000, ticks % 10_000_000_000);
    let part = format!("{part:010}");
    let part = part.trim_end_matches('0');
    Some(if part.is_empty() { whole.to_string() } else { format!("{whole}.{part}") })
}

/// Writes counters for a client. Counters that nobody knows are 0 where the wire demands a number, and left out elsewhere.
pub(crate) fn encode(usage: &Usage) -> Value {
    // A host's own object keeps what only it knows (cost, timings); the totals are ours, in OpenAI's convention.
    let mut fields = match &usage.raw {
        Some(Value::Object(raw)) if raw.contains_key("prompt_tokens") => raw.clone(),
        _ => Object::new(),
    };
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    fields.insert("prompt_tokens".into(), input.into());
    fields.insert("completion_tokens".into(), output.into());
    fields.insert("total_tokens".into(), input.saturating_add(output).into());
    let prompt = [
        ("cached_tokens", usage.cache_read),
        ("cache_write_tokens", usage.cache_write),
        ("audio_tokens", usage.audio_input),
        ("image_tokens", usage.image_input),
    ];
    detail(&mut fields, "prompt_tokens_details", &prompt);
    let completion = [
        ("reasoning_tokens", usage.reasoning),
        ("audio_tokens", usage.audio_output),
        ("image_tokens", usage.image_output),
    ];
    detail(&mut fields, "completion_tokens_details", &completion);
    Value::Object(fields)
}

fn detail(fields: &mut Object, name: &str, counters: &[(&str, Option<u64>)]) {
    for (counter, value) in counters {
        let Some(value) = *value else { continue };
        match fields.get_mut(name) {
            Some(Value::Object(inner)) => {
                inner.insert((*counter).to_owned(), value.into());
            }
            _ => {
                fields.insert(name.to_owned(), one(counter, value).into());
            }
        }
    }
}
