//! `myelin usage`: what was used and what it cost, by anything, and where it is going.

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::logs::{Filter, ago};
use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, text};

/// What was used and what it cost. Without `--from`: the last thirty days.
#[derive(Debug, clap::Args)]
pub(crate) struct Usage {
    /// What makes a row, separated by commas: model, tool, key, profile, channel, provider, upstream_model, format, state, status, error, cache, owner,
    /// tag, user, team, project, organisation, and minute, hour, day, week or month.
    #[arg(long, default_value = "model")]
    by: String,
    /// From this day or moment on: 2026-01-31, 2026-01-31T12:00, or so long ago: 12h, 30d.
    #[arg(long)]
    from: Option<String>,
    /// Up to the end of this day, or before this moment.
    #[arg(long)]
    to: Option<String>,
    /// Time zone in which days, weeks and months begin; otherwise this machine's.
    #[arg(long)]
    zone: Option<String>,
    /// As CSV, with every column.
    #[arg(long)]
    csv: bool,
    /// Where spend is going: to the end of the month.
    #[arg(long, conflicts_with_all = ["csv", "from", "to"])]
    forecast: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Columns of a CSV behind the groups.
const COLUMNS: [&str; 28] = [
    "requests",
    "errors",
    "canceled",
    "attempts",
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "image_input",
    "output",
    "reasoning",
    "audio_output",
    "image_output",
    "web_searches",
    "cost",
    "saved",
    "unpriced",
    "estimated",
    "cache_hits",
    "streams",
    "bytes_in",
    "bytes_out",
    "duration_us",
    "duration_p50_us",
    "duration_p95_us",
    "first_token_p50_us",
    "first_token_p95_us",
];
const STRETCHES: [&str; 5] = ["minute", "hour", "day", "week", "month"];

/// Shows it.
pub(crate) fn run(place: &Place, usage: &Usage) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let zone = zone(usage)?;
    let name = zone.iana_name().unwrap_or("UTC");
    let mut query = format!("by={}&zone={}{}", segment(&usage.by), segment(name), usage.filter.query()?);
    if usage.forecast {
        let answer = carrier.get(&format!("/api/v1/forecast?{query}"))?;
        return if place.json { output::json(&answer) } else { forecast(&answer) };
    }
    if let Some(from) = &usage.from {
        query.push_str(&format!("&since={}", moment(from, &zone, false)?));
    }
    if let Some(to) = &usage.to {
        query.push_str(&format!("&until={}", moment(to, &zone, true)?));
    }
    let answer = carrier.get(&format!("/api/v1/usage?{query}"))?;
    if place.json {
        return output::json(&answer);
    }
    let stretch = usage.by.split(',').map(str::trim).find(|word| STRETCHES.contains(word));
    if usage.csv { csv(&answer, stretch, &zone) } else { table(&answer, stretch, &zone) }
}

/// The zone that was named, else this machine's.
fn zone(usage: &Usage) -> anyhow::Result<jiff::tz::TimeZone> {
    match &usage.zone {
        Some(name) => match jiff::tz::TimeZone::get(name) {
            Ok(zone) => Ok(zone),
            Err(_) => bail!("there is no time zone '{name}': write an IANA name, such as Europe/Berlin or UTC"),
        },
        None => Ok(jiff::tz::TimeZone::system()),
    }
}

/// Milliseconds since 1970 of a day, a moment or a stretch before now. `end`: a day means its end.
fn moment(text: &str, zone: &jiff::tz::TimeZone, end: bool) -> anyhow::Result<u64> {
    let millis = |moment: jiff::Timestamp| u64::try_from(moment.as_millisecond()).context("before 1970");
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return millis(moment);
    }
    // A moment without a zone reads as a date, too: it is asked first.
    if text.contains('T')
        && let Ok(moment) = text.parse::<jiff::civil::DateTime>()
    {
        return millis(moment.to_zoned(zone.clone())?.timestamp());
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let date = if end { date.tomorrow()? } else { date };
        return millis(date.to_zoned(zone.clone())?.timestamp());
    }
    match ago(text) {
        Ok(moment) => Ok(moment),
        Err(_) => bail!("'{text}' is no day (2026-01-31), no moment (2026-01-31T12:00) and no span (12h, 30d)"),
    }
}

/// When a stretch begins, as short as it can be said.
fn beginning(row: &Value, stretch: &str, zone: &jiff::tz::TimeZone) -> String {
    let from = row.pointer("/from").and_then(Value::as_i64).unwrap_or_default();
    let Ok(moment) = jiff::Timestamp::from_millisecond(from) else { return "-".to_owned() };
    let moment = moment.to_zoned(zone.clone());
    let shape = match stretch {
        "minute" | "hour" => "%Y-%m-%d %H:%M",
        "month" => "%Y-%m",
        _ => "%Y-%m-%d",
    };
    moment.strftime(shape).to_string()
}

/// Nanodollars as dollars.
fn dollars(value: &Value, pointer: &str) -> String {
    let nanos = value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let sum = nanos as f64 / 1e9;
    if sum != 0.0 && sum.abs() < 0.01 { format!("${sum:.6}") } else { format!("${sum:.2}") }
}

/// The groups of a row: its stretch of time first.
fn groups(row: &Value, stretch: Option<&str>, zone: &jiff::tz::TimeZone) -> Vec<String> {
    let values = list(row, "/values").iter().map(|value| text(value, ""));
    stretch.map(|stretch| beginning(row, stretch, zone)).into_iter().chain(values).collect()
}

fn heads<'a>(answer: &'a Value, stretch: Option<&'a str>) -> Vec<&'a str> {
    stretch.into_iter().chain(list(answer, "/by").iter().filter_map(Value::as_str)).collect()
}

fn table(answer: &Value, stretch: Option<&str>, zone: &jiff::tz::TimeZone) -> anyhow::Result<()> {
    let mut heads = heads(answer, stretch);
    let depth = heads.len();
    heads.extend(["requests", "errors", "input", "cached", "output", "p50", "p95", "cost"]);
    let numbers = |sums: &Value| -> Vec<String> {
        let time =
            |at| sums.pointer(at).and_then(Value::as_f64).map_or("-".to_owned(), |us| format!("{:.2}s", us / 1e6));
        let mut cost = dollars(sums, "/cost");
        match sums.pointer("/unpriced").and_then(Value::as_i64) {
            Some(unpriced) if unpriced > 0 => cost.push_str(&format!(" + {unpriced} unpriced")),
            _ => {}
        }
        let mut row: Vec<String> =
            ["/requests", "/errors", "/input", "/cache_read", "/output"].map(|at| text(sums, at)).to_vec();
        row.extend([time("/duration_p50_us"), time("/duration_p95_us"), cost]);
        row
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in list(answer, "/groups") {
        rows.push([groups(row, stretch, zone), numbers(row)].concat());
    }
    if depth > 0 {
        let mut total = vec!["all".to_owned()];
        total.resize(depth, String::new());
        rows.push([total, numbers(answer.pointer("/total").unwrap_or(&Value::Null))].concat());
    } else {
        rows = vec![numbers(answer.pointer("/total").unwrap_or(&Value::Null))];
    }
    output::table(&heads, &rows)
}

fn csv(answer: &Value, stretch: Option<&str>, zone: &jiff::tz::TimeZone) -> anyhow::Result<()> {
    let heads = heads(answer, stretch);
    output::line(&[heads, COLUMNS.to_vec()].concat().join(","))?;
    for row in list(answer, "/groups") {
        let mut cells: Vec<String> = groups(row, stretch, zone).iter().map(|cell| quoted(cell)).collect();
        cells.extend(COLUMNS.map(|column| match row.get(column) {
            None | Some(Value::Null) => String::new(),
            // Money as dollars, as a spreadsheet wants it.
            Some(nanos) if matches!(column, "cost" | "saved") => {
                format!("{:.9}", nanos.as_i64().unwrap_or_default() as f64 / 1e9)
            }
            Some(number) => number.to_string(),
        }));
        output::line(&cells.join(","))?;
    }
    Ok(())
}

/// A cell of a CSV that no spreadsheet takes for a formula.
fn quoted(cell: &str) -> String {
    let cell = match cell.chars().next() {
        Some('=' | '+' | '@') => format!("'{cell}"),
        Some('-') if cell.len() > 1 => format!("'{cell}"),
        _ => cell.to_owned(),
    };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

fn forecast(answer: &Value) -> anyhow::Result<()> {
    let mut heads: Vec<&str> = list(answer, "/by").iter().filter_map(Value::as_str).collect();
    let depth = heads.len();
    heads.extend(["spent", "expected", "low", "high"]);
    let numbers = |row: &Value| ["/spent", "/expected", "/low", "/high"].map(|at| dollars(row, at)).to_vec();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in list(answer, "/groups") {
        let values: Vec<String> = list(row, "/values").iter().map(|value| text(value, "")).collect();
        rows.push([values, numbers(row)].concat());
    }
    let mut total: Vec<String> = if depth == 0 { Vec::new() } else { vec!["all".to_owned()] };
    total.resize(depth, String::new());
    rows.push([total, numbers(answer.pointer("/total").unwrap_or(&Value::Null))].concat());
    output::table(&heads, &rows)?;
    for spike in list(answer, "/spikes") {
        let at = output::time(spike.pointer("/at").and_then(Value::as_u64).unwrap_or_default());
        let whose = list(spike, "/values").iter().map(|value| text(value, "")).collect::<Vec<_>>().join("/");
        let whose = if whose.is_empty() { "all".to_owned() } else { whose };
        let (cost, usual) = (dollars(spike, "/cost"), dollars(spike, "/usual"));
        output::line(&output::plain(&format!("stands out: {at} {whose}: {cost} in an hour, usually {usual}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_moments_and_spans_are_understood() {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(moment("1970-01-02", &zone, false).unwrap(), 22 * 3_600_000);
        assert_eq!(moment("1970-01-02", &zone, true).unwrap(), 46 * 3_600_000);
        assert_eq!(moment("1970-01-02T03:00", &zone, true).unwrap(), 25 * 3_600_000);
        assert_eq!(moment("1970-01-02T00:00:00Z", &zone, true).unwrap(), 24 * 3_600_000);
        assert!(moment("12h", &zone, false).unwrap() > 0);
        assert!(moment("soon", &zone, false).is_err());
    }

    #[test]
    fn a_cell_is_never_a_formula_and_never_breaks_its_row() {
        for (cell, shown) in [("a", "a"), ("a,\"b", "\"a,\"\"b\""), ("=1+1", "'=1+1"), ("-", "-"), ("@x", "'@x")] {
            assert_eq!(quoted(cell), shown);
        }
    }
}
