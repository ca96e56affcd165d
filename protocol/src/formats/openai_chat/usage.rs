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

use serde_json::{Map, Number, Value};

use super::wire::{Object, one, whole};
use crate::Dialect;
use crate::counters::{Counters, Place};
use crate::ir::{RawUsage, Usage};

const PROMPT: [Place; 2] = [("", "prompt_tokens"), ("", "input_tokens")];
const COMPLETION: [Place; 2] = [("", "completion_tokens"), ("", "output_tokens")];
const TOTAL: [Place; 1] = [("", "total_tokens")];
const REASONING: [Place; 3] = [
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("", "reasoning_tokens"),
];
const CACHE_READ: [Place; 6] = [
    ("prompt_tokens_details", "cached_tokens"),
    ("", "prompt_cache_hit_tokens"),
    ("", "cached_tokens"),
    ("", "num_cached_tokens"),
    ("", "cache_read_input_tokens"),
    ("input_tokens_details", "cached_tokens"),
];
const CACHE_WRITE: [Place; 3] = [
    ("prompt_tokens_details", "cache_write_tokens"),
    ("", "cache_creation_input_tokens"),
    ("prompt_tokens_details", "cache_creation_tokens"),
];
const WEB_SEARCHES: [Place; 2] = [("", "num_search_queries"), ("server_tool_use", "web_search_requests")];
const COST: [Place; 2] = [("", "cost"), ("cost", "total_cost")];

/// Reads a usage object from a tree; `None` if it is none.
pub(crate) fn decode(usage: &Value, dialect: &Dialect) -> Option<Usage> {
    let fields: &Map<String, Value> = usage.as_object()?;
    Some(counted(&Counters::of(fields), RawUsage::from(usage), dialect))
}

/// The same from its text.
pub(crate) fn read(usage: &[u8], dialect: &Dialect) -> Option<Usage> {
    Some(counted(&Counters::read(usage)?, RawUsage::of_text(usage)?, dialect))
}

fn counted(counters: &Counters<'_>, raw: RawUsage, dialect: &Dialect) -> Usage {
    let at = |places: &[Place]| places.iter().find_map(|place| whole(counters.number(*place)?));
    let prompt = at(&PROMPT);
    let completion = at(&COMPLETION);
    let total = at(&TOTAL);
    let reasoning = at(&REASONING);
    let cache_read = at(&CACHE_READ);
    let cache_write = at(&CACHE_WRITE);
    let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
    let input = prompt.map(|prompt| if dialect.cache_beside_input { prompt.saturating_add(cached) } else { prompt });
    Usage {
        input,
        cache_read,
        cache_write,
        cache_write_1h: None,
        audio_input: at(&[("prompt_tokens_details", "audio_tokens")]),
        image_input: at(&[("prompt_tokens_details", "image_tokens")]),
        output: completion.map(|completion| {
            completion.saturating_add(beside(prompt, completion, total, reasoning, dialect.reasoning_beside_output))
        }),
        reasoning,
        audio_output: at(&[("completion_tokens_details", "audio_tokens")]),
        image_output: at(&[("completion_tokens_details", "image_tokens")]),
        web_searches: at(&WEB_SEARCHES),
        cost_usd: cost_of(counters),
        service_tier: counters.text(("", "service_tier")).map(str::to_owned),
        raw: Some(raw),
        ..Usage::default()
    }
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
    cost_of(&Counters::of(usage.as_object()?))
}

fn cost_of(counters: &Counters<'_>) -> Option<String> {
    let written = |place: &Place| {
        let text = counters.text(*place).filter(|text| text.parse::<f64>().is_ok()).map(str::to_owned);
        text.or_else(|| counters.number(*place).map(Number::to_string))
    };
    COST.iter().find_map(written).or_else(|| whole(counters.number(("", "cost_in_usd_ticks"))?).map(ticks))
}

/// xAI counts money in ticks of 1e-10 dollars.
fn ticks(ticks: u64) -> String {
    let (whole, part) = (ticks / 10_000_000_000, ticks % 10_000_000_000);
    let part = format!("{part:010}");
    let part = part.trim_end_matches('0');
    if part.is_empty() { whole.to_string() } else { format!("{whole}.{part}") }
}

/// Writes counters for a client. Counters that nobody knows are 0 where the wire demands a number, and left out elsewhere.
pub(crate) fn encode(usage: &Usage) -> Value {
    // A host's own object keeps what only it knows (cost, timings); the totals are ours, in OpenAI's convention.
    let mut fields = match usage.raw.as_ref().and_then(|raw| raw.with_any(&["prompt_tokens"])) {
        Some(Value::Object(raw)) => raw,
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
