//! When to come back: every place in which providers say it.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use myelin_protocol::ApiError;

/// No hint counts for more than this.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Words before a time in a message.
const MARKERS: [&str; 6] =
    ["try again in ", "retry in ", "retry after ", "try again after ", "retry-after: ", "wait for "];

/// Limits that have their remaining amount and their reset in headers of their own: prefix and suffix of the reset's name.
const RESETS: [(&str, &str); 4] = [
    ("x-ratelimit-reset-", "x-ratelimit-remaining-"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
    ("anthropic-ratelimit-", "anthropic-ratelimit-"),
];

/// How long to wait before asking the provider again: the longest of `retry-after` (seconds or date), `retry-after-ms`, the reset of every
/// limit that is used up, what the body says and what its words say. At most an hour.
///
/// Azure sends `retry-after: 1` beside `retry-after-ms: 0`, so none of them can be trusted alone.
pub fn retry_after(headers: &HeaderMap, error: &ApiError, now_ms: u64) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let plain = text(RETRY_AFTER.as_str()).and_then(|value| seconds_or_date(value, now_ms));
    let millis = text("retry-after-ms").and_then(|value| value.parse::<f64>().ok()).and_then(|ms| span(ms / 1_000.0));
    let words = in_words(&error.message);
    [plain, millis, error.retry_after, words, used_up(headers, now_ms)]
        .into_iter()
        .flatten()
        .max()
        .map(|wait| wait.min(LONGEST))
}

/// The latest reset among limits that have nothing left.
fn used_up(headers: &HeaderMap, now_ms: u64) -> Option<Duration> {
    let resets = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let remaining = RESETS.iter().find_map(|(reset, remaining)| {
            let which = name.strip_prefix(reset)?;
            match which.strip_suffix("-reset") {
                Some(which) => Some(format!("{remaining}{which}-remaining")),
                None if *reset != "anthropic-ratelimit-" => Some(format!("{remaining}{which}")),
                None => None,
            }
        })?;
        let left = headers.get(remaining).and_then(|left| left.to_str().ok())?;
        (left.trim() == "0")
            .then(|| value.to_str().ok().and_then(|value| moment_or_span(value.trim(), now_ms)))
            .flatten()
    });
    resets.max()
}

fn seconds_or_date(value: &str, now_ms: u64) -> Option<Duration> {
    match value.parse::<f64>() {
        Ok(seconds) => span(seconds),
        Err(_) => httpdate::parse_http_date(value).ok().map(|at| {
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            at.saturating_sub(Duration::from_millis(now_ms))
        }),
    }
}

/// `6m0s`, `7.66s`, RFC 3339, or a bare number: seconds, or if large the second or millisecond of a moment.
fn moment_or_span(value: &str, now_ms: u64) -> Option<Duration> {
    let now = Duration::from_millis(now_ms);
    if let Ok(number) = value.parse::<f64>() {
        let at = match number {
            n if n > 1e11 => n / 1_000.0,
            n if n > 1e9 => n,
            n => return span(n),
        };
        return span(at).map(|at| at.saturating_sub(now));
    }
    if let Ok(at) = value.parse::<jiff::Timestamp>() {
        let at = Duration::from_millis(u64::try_from(at.as_millisecond()).ok()?);
        return Some(at.saturating_sub(now));
    }
    parse_span(value).map(|(wait, _)| wait)
}

fn in_words(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    MARKERS
        .iter()
        .filter_map(|marker| {
            let (_, rest) = lower.split_once(marker)?;
            parse_span(rest).map(|(wait, _)| wait)
        })
        .max()
}

/// Reads `1h2m3.5s`, `20s`, `350ms`, `2 minutes`, `30`: pieces of number and unit until something else comes. Also says whether a unit was there.
fn parse_span(text: &str) -> Option<(Duration, bool)> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    let mut any = false;
    let mut with_unit = false;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, tail) = rest.split_at_checked(digits)?;
        let Ok(number) = number.trim_end_matches('.').parse::<f64>() else { break };
        let tail = tail.strip_prefix(' ').unwrap_or(tail);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let factor = match unit {
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            // A number alone counts seconds; a number before another word is no time.
            "" if !any => 1.0,
            _ => break,
        };
        any = true;
        with_unit |= !unit.is_empty();
        total = total.saturating_add(span(number * factor)?);
        rest = tail.trim_start();
    }
    any.then_some((total, with_unit))
}

fn span(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use myelin_protocol::ApiErrorKind;

    use super::*;

    const NOW: u64 = 1_787_150_000_000;

    fn hint(pairs: &[(&str, &str)], message: &str) -> Option<u64> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let error = ApiError::new(ApiErrorKind::RateLimit, message);
        retry_after(&headers, &error, NOW).map(|wait| u64::try_from(wait.as_millis()).unwrap())
    }

    #[test]
    fn the_longest_hint_wins() {
        assert_eq!(hint(&[("retry-after", "1"), ("retry-after-ms", "0")], ""), Some(1_000));
        assert_eq!(hint(&[("retry-after", "20"), ("retry-after-ms", "20500")], ""), Some(20_500));
        assert_eq!(hint(&[("retry-after", "5")], "Please try again in 20s."), Some(20_000));
        assert_eq!(hint(&[("retry-after", "999999")], ""), Some(3_600_000));
        assert_eq!(hint(&[("retry-after", "-3")], ""), None);
        assert_eq!(hint(&[("retry-after", "soon")], ""), None);
        assert_eq!(hint(&[("retry-after", "1e400")], ""), None);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(NOW + 7_000));
        assert_eq!(hint(&[("retry-after", &date)], ""), Some(7_000));
        let past = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(NOW - 7_000));
        assert_eq!(hint(&[("retry-after", &past)], ""), Some(0));
        assert_eq!(hint(&[], ""), None);
    }

    #[test]
    fn a_limit_counts_only_when_it_is_used_up() {
        let used = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")];
        assert_eq!(hint(&used, ""), Some(360_000));
        let left = [("x-ratelimit-remaining-tokens", "9"), ("x-ratelimit-reset-tokens", "6m0s")];
        assert_eq!(hint(&left, ""), None);
        let groq = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "7.66s")];
        assert_eq!(hint(&groq, ""), Some(7_660));
        let at = jiff::Timestamp::from_millisecond(i64::try_from(NOW).unwrap() + 9_000).unwrap().to_string();
        let anthropic =
            [("anthropic-ratelimit-requests-remaining", "0"), ("anthropic-ratelimit-requests-reset", at.as_str())];
        assert_eq!(hint(&anthropic, ""), Some(9_000));
        let openrouter = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1787150004000")];
        assert_eq!(hint(&openrouter, ""), Some(4_000));
    }

    #[test]
    fn words_are_read() {
        for (words, wait) in [
            ("Rate limit reached … Please try again in 1.2s. Visit …", Some(1_200)),
            ("Please try again in 6m0s.", Some(360_000)),
            ("try again in 350ms", Some(350)),
            ("Please retry in 34.074824224s.", Some(34_074)),
            ("Please retry after 30 seconds.", Some(30_000)),
            ("retry after 2 minutes", Some(120_000)),
            ("Please try again in 1h2m3s", Some(3_600_000)),
            ("try again in a while", None),
            ("try again in 99999999999999999999999999d", None),
            ("wait for it", None),
            ("try again in é", None),
        ] {
            assert_eq!(hint(&[], words), wait, "{words}");
        }
    }
}
