//! `myelin logs`: what was asked.

use anyhow::bail;
use serde_json::Value;

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, plain, seconds, text, time};

/// What was asked, newest last.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// One request, whole: its id (`x-request-id`).
    id: Option<String>,
    /// Follow: show requests as they end.
    #[arg(short, long, conflicts_with = "id")]
    follow: bool,
    /// How many of the past.
    #[arg(short = 'n', long, default_value_t = 20)]
    number: usize,
    /// Only this model, as it was asked for.
    #[arg(long)]
    model: Option<String>,
    /// Only what this channel answered, or failed last.
    #[arg(long)]
    channel: Option<String>,
    /// Only this key (name or id).
    #[arg(long)]
    key: Option<String>,
    /// Only those that ended so.
    #[arg(long, value_parser = ["completed", "interrupted", "canceled", "failed"])]
    state: Option<String>,
    /// Only those of the last 15m, 12h, 30d …
    #[arg(long)]
    since: Option<String>,
}

/// Seconds that one poll waits; the gateway allows 55.
const WAIT: u64 = 50;
/// Largest page of the API.
const PAGE: usize = 1_000;

/// Shows them.
pub(crate) fn run(place: &Place, logs: &Logs) -> anyhow::Result<()> {
    let carrier = if logs.follow {
        match Carrier::running(place)? {
            Some(carrier) => carrier,
            None => bail!("Myelin is not running, so nothing comes to follow: start it with `myelin serve`"),
        }
    } else {
        Carrier::open(place)?
    };
    if let Some(id) = &logs.id {
        return output::json(&carrier.get(&format!("/api/v1/logs/{}", segment(id)))?);
    }
    // Where to follow from is asked first, so that nothing falls between.
    let position = if logs.follow { next(&carrier.get("/api/v1/logs/live")?) } else { 0 };
    let past = past(&carrier, logs)?;
    past.iter().rev().try_for_each(|record| show(place, record))?;
    if logs.follow { follow(place, &carrier, logs, position) } else { Ok(()) }
}

/// The newest that the filter lets through, newest first.
fn past(carrier: &Carrier, logs: &Logs) -> anyhow::Result<Vec<Value>> {
    let mut query = String::new();
    for (name, value) in
        [("model", &logs.model), ("channel", &logs.channel), ("key", &logs.key), ("state", &logs.state)]
    {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    if let Some(since) = &logs.since {
        let now = u64::try_from(jiff::Timestamp::now().as_millisecond())?;
        query.push_str(&format!("&since={}", now.saturating_sub(seconds(since)?.saturating_mul(1_000))));
    }
    let mut found: Vec<Value> = Vec::new();
    let mut before = String::new();
    while found.len() < logs.number {
        let limit = (logs.number - found.len()).min(PAGE);
        let page = carrier.get(&format!("/api/v1/logs?limit={limit}{query}{before}"))?;
        found.extend_from_slice(list(&page, "/records"));
        match page.pointer("/next").and_then(Value::as_str) {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    Ok(found)
}

fn follow(place: &Place, carrier: &Carrier, logs: &Logs, mut position: u64) -> anyhow::Result<()> {
    let key = match &logs.key {
        Some(key) => Some(text(&carrier.get(&format!("/api/v1/keys/{}", segment(key)))?, "/id")),
        None => None,
    };
    loop {
        let page = carrier.get(&format!("/api/v1/logs/live?after={position}&wait={WAIT}&limit={PAGE}"))?;
        if page.pointer("/gap").and_then(Value::as_bool) == Some(true) {
            eprintln!("… some requests came too fast to be shown");
        }
        for record in list(&page, "/records") {
            let is = |wanted: &Option<String>, pointer| wanted.as_ref().is_none_or(|w| *w == text(record, pointer));
            if is(&logs.model, "/model")
                && is(&logs.channel, "/channel")
                && is(&key, "/key")
                && is(&logs.state, "/state")
            {
                show(place, record)?;
            }
        }
        position = next(&page);
    }
}

fn next(page: &Value) -> u64 {
    page.pointer("/next").and_then(Value::as_u64).unwrap_or_default()
}

/// One request on one line; as JSON one object a line.
fn show(place: &Place, record: &Value) -> anyhow::Result<()> {
    if place.json { output::line(&record.to_string()) } else { output::line(&line(record)) }
}

fn line(record: &Value) -> String {
    let number = |pointer| record.pointer(pointer).and_then(Value::as_u64);
    let tokens = |pointer| number(pointer).map_or_else(|| "?".to_owned(), |count| count.to_string());
    let to = match (text(record, "/channel"), text(record, "/upstream_model")) {
        (channel, _) if channel == "-" => String::new(),
        (channel, model) => format!(" → {channel}/{model}"),
    };
    let attempts = list(record, "/attempts").len();
    let mut parts = vec![
        time(number("/started").unwrap_or_default()),
        text(record, "/status"),
        format!("{:<11}", text(record, "/state")),
        format!("{}{to}", text(record, "/model")),
        format!("{:.2}s", number("/duration_us").unwrap_or_default() as f64 / 1e6),
        format!("in {} out {}", tokens("/usage/input"), tokens("/usage/output")),
    ];
    if attempts > 1 {
        parts.push(format!("{attempts} attempts"));
    }
    if let Some(error) = record.pointer("/error").and_then(Value::as_str) {
        parts.push(format!("{error}: {}", text(record, "/error_message")));
    }
    parts.push(text(record, "/id"));
    plain(&parts.join("  "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_tells_what_happened() {
        let record = json!({
            "id": "req_1", "started": 0, "status": 502, "state": "failed", "model": "m\u{1b}", "channel": "main", "upstream_model": "u",
            "duration_us": 1_500_000, "usage": {"input": 3}, "attempts": [{}, {}], "error": "timeout", "error_message": "too slow",
        });
        let line = line(&record);
        for part in ["502  failed", "m· → main/u", "1.50s", "in 3 out ?", "2 attempts", "timeout: too slow", "req_1"]
        {
            assert!(line.contains(part), "{line}");
        }
    }
}
