//! Believable traffic of a busy team: what the test of scale and the bench of records fill a store with.

use std::error::Error;

use myelin_core::model::{
    AttemptOutcome, AttemptRecord, CostSource, NanoUsd, Note, Placed, PlannedDeployment, RequestRecord, RequestState,
    Why,
};
use myelin_core::store::{Bucket, Dimension, Filter, Grouping, Link, Store, UsageQuery};
use myelin_protocol::ir::Usage;
use serde_json::json;

/// When the newest record begins: milliseconds since 1970.
pub(crate) const END: u64 = 1_800_000_000_000;
const DAY: u64 = 86_400_000;
/// Records that are handed over at once.
const AT_ONCE: u64 = 20_000;

const MODELS: [(&str, &str, &str, &str); 8] = [
    ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "anthropic-main", "anthropic"),
    ("gpt-5", "gpt-5", "openai-main", "openai"),
    ("gpt-5-mini", "gpt-5-mini", "openai-main", "openai"),
    ("claude-haiku-4-5", "deepseek-chat", "deepseek", "deepseek"),
    ("gemini-2.5-pro", "gemini-2.5-pro", "gemini", "gemini"),
    ("claude-opus-4-5", "claude-opus-4-5-20251101", "anthropic-second", "anthropic"),
    ("text-embedding-3-small", "text-embedding-3-small", "openai-second", "openai"),
    ("qwen3", "qwen3:32b", "local", "ollama"),
];
const TOOLS: [(&str, &str); 5] = [
    ("claude-code", "anthropic-messages"),
    ("codex", "openai-responses"),
    ("opencode", "openai-chat"),
    ("cursor", "openai-chat"),
    ("aider", "openai-chat"),
];
/// Asked for five times in all.
pub(crate) const RARE: &str = "rare-model";

/// The n-th of `count` records over some days before `end`.
pub(crate) fn record(n: u64, count: u64, end: u64, days: u64) -> RequestRecord {
    let mut random = fastrand::Rng::with_seed(n);
    let span = days * DAY;
    let started = end - span + n * span / count.max(1) + random.u64(0..(span / count.max(1)).max(1));
    // Small ones are usual: the product of two dice.
    let mut die = |of: usize| (random.usize(0..of) * random.usize(0..of)) / of;
    let person = die(12);
    let (tool, format) = *TOOLS.get(die(TOOLS.len())).unwrap_or(&TOOLS[0]);
    let (model, upstream, channel, provider) = *MODELS.get(die(MODELS.len())).unwrap_or(&MODELS[0]);
    let (state, status, error) = match random.u8(0..100) {
        0..=2 => (RequestState::Failed, 429, Some("upstream-rate-limited")),
        3 => (RequestState::Failed, 502, Some("upstream-failed")),
        4 => (RequestState::Canceled, 499, None),
        _ => (RequestState::Completed, 200, None),
    };
    let text = |text: &str| Some(text.to_owned());
    let id = |kind: u64, n: u64| {
        let mut random = fastrand::Rng::with_seed(kind << 56 | n);
        format!(
            "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
            random.u32(..),
            random.u16(..),
            random.u16(..) >> 4,
            random.u16(..) >> 4,
            random.u64(..) >> 16
        )
    };
    let (input, read, output) = (random.u64(200..60_000), random.u64(0..50_000), random.u64(10..4_000));
    let duration = random.u64(400_000..30_000_000);
    let attempt = |failed: bool| AttemptRecord {
        channel: channel.to_owned(),
        upstream_model: upstream.to_owned(),
        format: format.to_owned(),
        duration_us: duration - 900,
        first_byte_us: Some(duration / 5),
        status: Some(if failed { 502 } else { status }),
        outcome: if failed || error.is_some() { AttemptOutcome::Failed } else { AttemptOutcome::Answered },
        reason: text("first choice"),
        error: failed.then(|| "the provider answered 502".to_owned()),
        upstream_request_id: Some(format!("req_011C{:016x}", fastrand::Rng::with_seed(n).u64(..))),
        ..AttemptRecord::default()
    };
    let planned = |channel: &str, reason: Why, note: Note| PlannedDeployment {
        channel: channel.to_owned(),
        model: upstream.to_owned(),
        group: 0,
        placed: Some(Placed { reason, note }),
    };
    RequestRecord {
        id: format!("req_{:032x}", (u128::from(started) << 80) | 0x7000_8000_u128 << 48 | u128::from(n)),
        started,
        duration_us: duration,
        first_token_us: Some(duration / 4),
        overhead_us: random.u64(60..400),
        state,
        status,
        path: "/v1/messages".to_owned(),
        format: format.to_owned(),
        model: if n % (count / 5).max(1) == 7 { RARE.to_owned() } else { model.to_owned() },
        channel: text(channel),
        provider: text(provider),
        upstream_model: text(upstream),
        upstream_format: text(format),
        profile: "work".to_owned(),
        strategy: text("weighted"),
        plan: vec![
            planned(channel, Why::Turn { weight: 1, of: 2 }, Note::Conversation),
            planned("openai-second", Why::Turn { weight: 1, of: 2 }, Note::Plain),
        ],
        key: Some(format!("key_{person:02}")),
        owners: vec![format!("user:person-{person}"), format!("team:team-{}", person % 3), "organisation:all".into()],
        tool: text(tool),
        tags: vec!["paid".into()],
        session: Some(id(1, n / 60)),
        trace: Some(id(2, n / 9)),
        stream: true,
        attempts: if n.is_multiple_of(40) { vec![attempt(true), attempt(false)] } else { vec![attempt(false)] },
        usage: (status == 200).then(|| Usage {
            input: Some(input + read),
            cache_read: Some(read),
            output: Some(output),
            reasoning: Some(output / 3),
            raw: Some(json!({
                "prompt_tokens": input + read, "completion_tokens": output, "total_tokens": input + read + output,
                "prompt_tokens_details": {"cached_tokens": read, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": output / 3, "accepted_prediction_tokens": 0}, "service_tier": "default",
            }).into()),
            ..Usage::default()
        }),
        cost: (status == 200).then(|| NanoUsd((input * 3_000 + read * 300 + output * 15_000).cast_signed())),
        cost_source: (status == 200).then_some(CostSource::Computed),
        price: text("bundled 2026-01"),
        error: error.map(str::to_owned),
        error_message: error.map(|_| "the provider says: Number of requests has exceeded your rate limit".to_owned()),
        bytes_in: input * 4,
        bytes_out: output * 30,
        finish: (status == 200).then(|| "stop".to_owned()),
        ..RequestRecord::default()
    }
}

/// Fills a store with the traffic of some days before `end`; tells how far it is.
pub(crate) fn fill(
    store: &Store,
    count: u64,
    end: u64,
    days: u64,
    mut told: impl FnMut(u64),
) -> Result<(), Box<dyn Error>> {
    let mut from = 0;
    while from < count {
        let to = (from + AT_ONCE).min(count);
        store.ledger().import_blocking((from..to).map(|n| record(n, count, end, days)))?;
        from = to;
        told(from);
    }
    Ok(())
}

/// The last thirty days.
pub(crate) fn month() -> UsageQuery {
    UsageQuery { since: END - 30 * DAY, until: END, ..UsageQuery::default() }
}

/// Lists that people ask for.
pub(crate) fn filters(count: u64, days: u64) -> Vec<(&'static str, Filter)> {
    let middle = record(count / 2, count, END, days);
    let with = |dimension, value: &str| Filter::default().with(dimension, [value]);
    let week = Filter { until: Some(END - 7 * DAY), ..Filter::default() };
    vec![
        ("list: newest", Filter::default()),
        ("list: a week ago", week),
        ("filter: common model", with(Dimension::Model, "claude-sonnet-4-5")),
        ("filter: rare model", with(Dimension::Model, RARE)),
        ("filter: failures of a key", with(Dimension::Error, "upstream-failed").with(Dimension::Key, ["key_09"])),
        ("filter: channel and tool", with(Dimension::Channel, "anthropic-second").with(Dimension::Tool, ["opencode"])),
        ("filter: two persons", Filter::default().with(Dimension::Owner, ["user:person-10", "user:person-9"])),
        (
            "filter: one session",
            Filter { link: middle.session.clone().map(|id| (Link::Session, id)), ..Filter::default() },
        ),
        ("filter: one trace", Filter { link: middle.trace.map(|id| (Link::Trace, id)), ..Filter::default() }),
        ("filter: slow ones", Filter { slower_than: Some(29_000_000), ..with(Dimension::Model, "gpt-5") }),
        ("filter: words", Filter { text: Some("exceeded your RATE".into()), ..Filter::default() }),
    ]
}

/// Charts that people look at.
pub(crate) fn questions() -> Vec<(&'static str, UsageQuery)> {
    let by = |words: &[Dimension]| words.iter().map(|one| Grouping::Of(*one)).collect::<Vec<_>>();
    let model = by(&[Dimension::Model]);
    vec![
        ("chart: cost by model a day, 30 days", UsageQuery { by: model.clone(), bucket: Some(Bucket::Day), ..month() }),
        ("chart: by model, 90 days", UsageQuery { by: model.clone(), since: END - 90 * DAY, ..month() }),
        ("chart: quantiles by channel, 30 days", UsageQuery { by: by(&[Dimension::Channel]), times: true, ..month() }),
        ("chart: by team, 30 days", UsageQuery { by: vec![Grouping::Owner("team".into())], ..month() }),
        (
            "chart: an hour of a day",
            UsageQuery { by: model.clone(), bucket: Some(Bucket::Hour), since: END - DAY, ..month() },
        ),
        (
            "chart: the last 90 minutes",
            UsageQuery { by: model.clone(), bucket: Some(Bucket::Minute), since: END - 5_400_000, ..month() },
        ),
        (
            "chart: one key by day, 30 days",
            UsageQuery {
                by: model,
                bucket: Some(Bucket::Day),
                any: vec![(Dimension::Key, vec!["key_09".into()])],
                ..month()
            },
        ),
    ]
}
