//! What people read: tables, times, and text that cannot play tricks on a terminal.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

/// Prints a value as JSON.
pub(crate) fn json(value: &Value) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// The program only shows what comes: it is over when nobody reads it any more.
static SHOWS: AtomicBool = AtomicBool::new(false);

/// From now on a reader that has gone ends the program.
pub(crate) fn only_shows() {
    SHOWS.store(true, Ordering::Relaxed);
}

/// Prints one line. A reader that has gone (`| head`) stops nothing that is to be done, and is no failure.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe && SHOWS.load(Ordering::Relaxed) => std::process::exit(0),
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot print"),
    }
}

/// Tells something beside the answer, on standard error; that nobody reads it is no failure.
macro_rules! aside {
    ($($words:tt)*) => { $crate::output::tell(format_args!($($words)*)) };
}
pub(crate) use aside;

/// Writes what [`aside`] tells.
pub(crate) fn tell(words: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{words}");
}

/// Prints rows under heads, in columns.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    line(&columns(heads, rows))
}

fn columns(heads: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let heads: Vec<String> = heads.iter().map(|head| head.to_uppercase()).collect();
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([head.chars().count()]).max().unwrap_or_default()
        })
        .collect();
    let laid = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    std::iter::once(&heads).chain(&rows).map(laid).collect::<Vec<_>>().join("\n")
}

/// Text without control characters: names come from clients and providers.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// A text at a place in an answer; `-` if there is none.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(entries)) if entries.is_empty() => "-".to_owned(),
        Some(Value::Array(entries)) => {
            let entries = entries.iter().map(|entry| entry.as_str().map_or_else(|| entry.to_string(), str::to_owned));
            entries.collect::<Vec<_>>().join(",")
        }
        Some(other) => other.to_string(),
    }
}

/// A list at a place in an answer.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Prints the warnings of an answer to a change.
pub(crate) fn warnings(answer: &Value) {
    for warning in list(answer, "/warnings") {
        match warning.as_str() {
            Some(text) => aside!("warning: {}", plain(text)),
            None => aside!("warning: {}: {}", plain(&text(warning, "/path")), plain(&text(warning, "/message"))),
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> anyhow::Result<u64> {
    Ok(u64::try_from(jiff::Timestamp::now().as_millisecond())?)
}

/// A moment in local time.
pub(crate) fn time(unix_ms: u64) -> String {
    let stamp = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let local = stamp.map(|stamp| stamp.to_zoned(jiff::tz::TimeZone::system()));
    local.map_or_else(|| "-".to_owned(), |local| local.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// `30s`, `15m`, `12h`, `30d`, `2w` in seconds.
pub(crate) fn seconds(text: &str) -> anyhow::Result<u64> {
    const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];
    let wrong = || anyhow!("'{text}' is no length of time: write 30s, 15m, 12h, 30d or 2w");
    let unit = text.chars().last().and_then(|last| UNITS.iter().find(|(unit, _)| *unit == last));
    let (_, unit) = unit.ok_or_else(wrong)?;
    let number = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit)).ok_or_else(wrong)
}

/// A moment as people say it, in milliseconds since 1970: `2026-01-31`, `2026-01-31T18:00`, or `7d` for seven days ago. Without a zone it is local time.
pub(crate) fn moment(text: &str) -> anyhow::Result<u64> {
    let wrong = || anyhow!("'{text}' is no time: write 2026-01-31, 2026-01-31T18:00:00Z, or 7d for seven days ago");
    let now = jiff::Timestamp::now();
    if let Ok(ago) = seconds(text) {
        let ms = now.as_millisecond().saturating_sub(i64::try_from(ago.saturating_mul(1_000)).map_err(|_| wrong())?);
        return Ok(u64::try_from(ms).unwrap_or(0));
    }
    let zone = jiff::tz::TimeZone::system();
    let stamp = text
        .parse::<jiff::Timestamp>()
        .ok()
        .or_else(|| Some(text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(zone.clone()).ok()?.timestamp()))
        .or_else(|| Some(text.parse::<jiff::civil::Date>().ok()?.to_zoned(zone).ok()?.timestamp()));
    stamp.and_then(|stamp| u64::try_from(stamp.as_millisecond()).ok()).ok_or_else(wrong)
}

/// `key=value`.
pub(crate) fn pair(text: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| anyhow!("'{text}' is no pair: write key=value"))?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_line_up_and_hold_no_control_characters() {
        let rows = vec![vec!["a".to_owned(), "long cell".to_owned()], vec!["\u{1b}[31mb".to_owned(), "x".to_owned()]];
        assert_eq!(columns(&["one", "two"], &rows), "ONE     TWO\na       long cell\n·[31mb  x");
    }

    #[test]
    fn lengths_of_time_are_read() {
        assert_eq!(seconds("90s").unwrap(), 90);
        assert_eq!(seconds("2w").unwrap(), 1_209_600);
        for wrong in ["", "5", "d", "-1d", "99999999999999999999s", "1y"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_are_read() {
        assert_eq!(moment("1970-01-02T00:00:00Z").unwrap(), 86_400_000);
        let week = moment("7d").unwrap();
        assert!(week > moment("2020-01-01").unwrap() && week < moment("1s").unwrap());
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn texts_are_found_in_answers() {
        let value = json!({"a": {"b": "c"}, "n": 5, "l": ["x", "y"], "e": [], "z": null});
        for (pointer, shown) in [("/a/b", "c"), ("/n", "5"), ("/l", "x,y"), ("/e", "-"), ("/z", "-"), ("/gone", "-")] {
            assert_eq!(text(&value, pointer), shown);
        }
    }
}
