//! `myelin logs`: what was asked.

use anyhow::bail;
use serde_json::Value;

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, plain, seconds, text, time};

/// What was asked, newest last. Every filter may be given more than once: one of its values will do.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Logs {
    #[command(subcommand)]
    action: Option<Action>,
    /// One request, whole: its id (`x-request-id`).
    id: Option<String>,
    /// With an id: its kept bodies too, as received, as sent and answered. With --search: look into kept bodies too.
    #[arg(long)]
    bodies: bool,
    /// Follow: show requests as they end.
    #[arg(short, long, conflicts_with_all = ["id", "active"])]
    follow: bool,
    /// Requests in flight.
    #[arg(long, conflicts_with = "id")]
    active: bool,
    /// How many of the past.
    #[arg(short = 'n', long, default_value_t = 20)]
    number: usize,
    #[command(flatten)]
    filter: Filter,
    /// Only requests of this task (trace).
    #[arg(long)]
    trace: Option<String>,
    /// Only requests of this conversation (thread).
    #[arg(long)]
    thread: Option<String>,
    /// Only requests of this session of a tool.
    #[arg(long)]
    session: Option<String>,
    /// Only those that hold this text.
    #[arg(long)]
    search: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Stop a request in flight.
    Stop {
        /// Its id: `myelin logs --active` shows it.
        id: String,
    },
}

/// What lists and sums are filtered by.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only this model, as it was asked for.
    #[arg(long)]
    model: Vec<String>,
    /// Only this model, as the provider calls it.
    #[arg(long)]
    upstream_model: Vec<String>,
    /// Only what this channel answered, or failed last.
    #[arg(long)]
    channel: Vec<String>,
    /// Only this provider.
    #[arg(long)]
    provider: Vec<String>,
    /// Only this key (name or id).
    #[arg(long)]
    key: Vec<String>,
    /// Only this tool.
    #[arg(long)]
    tool: Vec<String>,
    /// Only this profile.
    #[arg(long)]
    profile: Vec<String>,
    /// Only this format.
    #[arg(long)]
    format: Vec<String>,
    /// Only those that ended so.
    #[arg(long, value_parser = ["completed", "interrupted", "canceled", "failed"])]
    state: Vec<String>,
    /// Only this HTTP status.
    #[arg(long)]
    status: Vec<String>,
    /// Only this kind of failure.
    #[arg(long)]
    error: Vec<String>,
    /// Only these answers of the response cache.
    #[arg(long, value_parser = ["hit", "miss", "shared", "none"])]
    cache: Vec<String>,
    /// Only this owner: `user:NAME`, `team:NAME`, `project:NAME`, `organisation:NAME`.
    #[arg(long)]
    owner: Vec<String>,
    /// Only this tag.
    #[arg(long)]
    tag: Vec<String>,
    /// Only those of the last 15m, 12h, 30d …
    #[arg(long)]
    since: Option<String>,
}

impl Filter {
    /// Every filter: its name in the API, where it stands in a record, its values.
    fn all(&self) -> [(&'static str, &'static str, &[String]); 14] {
        [
            ("model", "/model", &self.model),
            ("upstream_model", "/upstream_model", &self.upstream_model),
            ("channel", "/channel", &self.channel),
            ("provider", "/provider", &self.provider),
            ("key", "/key", &self.key),
            ("tool", "/tool", &self.tool),
            ("profile", "/profile", &self.profile),
            ("format", "/format", &self.format),
            ("state", "/state", &self.state),
            ("status", "/status", &self.status),
            ("error", "/error", &self.error),
            ("cache", "/cache", &self.cache),
            ("owner", "/owners", &self.owner),
            ("tag", "/tags", &self.tag),
        ]
    }

    /// As parameters of an address, each with `&` in front.
    pub(crate) fn query(&self) -> anyhow::Result<String> {
        let mut query = String::new();
        for (name, _, values) in self.all() {
            values.iter().for_each(|value| query.push_str(&format!("&{name}={}", segment(value))));
        }
        if let Some(since) = &self.since {
            query.push_str(&format!("&since={}", ago(since)?));
        }
        Ok(query)
    }

    /// Whether a record is let through; keys by their ids.
    fn lets_through(&self, record: &Value, keys: &[String]) -> bool {
        self.all().into_iter().all(|(name, pointer, values)| {
            let values = if name == "key" { keys } else { values };
            let own = record.pointer(pointer).unwrap_or(&Value::Null);
            let is = |one: &Value| values.iter().any(|value| text(one, "") == *value);
            values.is_empty() || is(own) || own.as_array().is_some_and(|list| list.iter().any(is))
        })
    }
}

/// The moment so long ago, in milliseconds since 1970.
pub(crate) fn ago(span: &str) -> anyhow::Result<u64> {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond())?;
    Ok(now.saturating_sub(seconds(span)?.saturating_mul(1_000)))
}

/// Seconds that one poll waits; the gateway allows 55.
const WAIT: u64 = 50;
/// Largest page of the API.
const PAGE: usize = 1_000;

/// Shows them.
pub(crate) fn run(place: &Place, logs: &Logs) -> anyhow::Result<()> {
    if logs.active {
        return active(place, &running(place)?);
    }
    if let Some(Action::Stop { id }) = &logs.action {
        let address = format!("/api/v1/requests/{}/stop", segment(id));
        let answer = running(place)?.post(&address, &serde_json::json!({}))?;
        return if place.json { output::json(&answer) } else { output::line(&format!("stopped {id}")) };
    }
    let carrier = if logs.follow { running(place)? } else { Carrier::open(place)? };
    if let Some(id) = &logs.id {
        let address = format!("/api/v1/requests/{}", segment(id));
        let mut record = carrier.get(&address)?;
        if logs.bodies
            && let Some(fields) = record.as_object_mut()
        {
            fields.insert("kept".to_owned(), carrier.get(&format!("{address}/bodies"))?);
        }
        return output::json(&record);
    }
    // Where to follow from is asked first, so that nothing falls between.
    let position = if logs.follow { next(&carrier.get("/api/v1/requests/live")?) } else { 0 };
    let past = past(&carrier, logs)?;
    past.iter().rev().try_for_each(|record| show(place, record))?;
    if logs.follow { follow(place, &carrier, logs, position) } else { Ok(()) }
}

/// What is in flight and what comes can only be told by a gateway that runs.
fn running(place: &Place) -> anyhow::Result<Carrier> {
    match Carrier::running(place)? {
        Some(carrier) => Ok(carrier),
        None => {
            bail!("Myelin is not running, so nothing comes to follow: start it with {}", crate::whose::starter(place))
        }
    }
}

fn active(place: &Place, carrier: &Carrier) -> anyhow::Result<()> {
    let answer = carrier.get("/api/v1/requests/active")?;
    if place.json {
        return output::json(&answer);
    }
    let rows: Vec<Vec<String>> = list(&answer, "/requests")
        .iter()
        .map(|one| {
            let started = one.pointer("/started").and_then(Value::as_u64).unwrap_or_default();
            let mut row = vec![time(started)];
            row.extend(["/model", "/channel", "/tool", "/tokens_out", "/bytes_out", "/id"].map(|at| text(one, at)));
            row
        })
        .collect();
    output::table(&["started", "model", "channel", "tool", "tokens", "bytes", "id"], &rows)
}

/// The newest that the filter lets through, newest first.
fn past(carrier: &Carrier, logs: &Logs) -> anyhow::Result<Vec<Value>> {
    let mut query = logs.filter.query()?;
    for (name, value) in
        [("trace", &logs.trace), ("thread", &logs.thread), ("session", &logs.session), ("q", &logs.search)]
    {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    if logs.bodies {
        query.push_str("&bodies=true");
    }
    let mut found: Vec<Value> = Vec::new();
    let mut before = String::new();
    while found.len() < logs.number {
        let limit = (logs.number - found.len()).min(PAGE);
        let page = carrier.get(&format!("/api/v1/requests?limit={limit}{query}{before}"))?;
        found.extend_from_slice(list(&page, "/records"));
        match page.pointer("/next").and_then(Value::as_str) {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    Ok(found)
}

fn follow(place: &Place, carrier: &Carrier, logs: &Logs, mut position: u64) -> anyhow::Result<()> {
    let id = |key: &String| Ok(text(&carrier.get(&format!("/api/v1/keys/{}", segment(key)))?, "/id"));
    let keys = logs.filter.key.iter().map(id).collect::<anyhow::Result<Vec<String>>>()?;
    output::only_shows();
    loop {
        let page = carrier.get(&format!("/api/v1/requests/live?after={position}&wait={WAIT}&limit={PAGE}"))?;
        if page.pointer("/gap").and_then(Value::as_bool) == Some(true) {
            output::aside!("… some requests came too fast to be shown");
        }
        for record in list(&page, "/records") {
            if logs.filter.lets_through(record, &keys) {
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
