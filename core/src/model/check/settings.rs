//! Settings of the gateway itself.

use std::net::SocketAddr;

use super::Problem;
use crate::model::{SecretSource, Settings, Timeouts};
use crate::told;

/// Smallest body limit that still lets a request with a picture through.
const LEAST_BODY_BYTES: u64 = 64 << 10;

/// Checks the settings on their own; profile and key names are checked with all else.
pub fn settings(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    if settings.listen.is_empty() {
        problems.push(Problem::error("listen", told!("no-listen", "there is no address to listen on")));
    }
    for (index, listen) in settings.listen.iter().enumerate() {
        problems.extend(listen_address(&format!("listen[{index}]"), listen, settings.lan));
    }
    for (index, host) in settings.allowed_hosts.iter().enumerate() {
        if host.is_empty() || host.contains(['/', '*', ' ']) {
            let why = told!("bad-host", "'{host}' is no host name (without scheme, path or '*')", host = host);
            problems.push(Problem::error(format!("allowed_hosts[{index}]"), why));
        }
    }
    for (index, origin) in settings.allowed_origins.iter().enumerate() {
        if !is_origin(origin) {
            let why = told!(
                "bad-origin",
                "'{origin}' is no origin: write scheme://host[:port], without path or '*'",
                origin = origin
            );
            problems.push(Problem::error(format!("allowed_origins[{index}]"), why));
        }
    }
    if settings.max_body_bytes < LEAST_BODY_BYTES {
        problems.push(Problem::error(
            "max_body_bytes",
            told!("least", "must be at least {least}", least = LEAST_BODY_BYTES),
        ));
    }
    if settings.max_attempts == 0 {
        problems.push(Problem::error("max_attempts", told!("least", "must be at least {least}", least = 1)));
    }
    if settings.bodies_days == 0 {
        problems.push(Problem::error(
            "bodies_days",
            told!("bodies-least", "must be at least 1: `bodies = \"off\"` keeps none"),
        ));
    }
    let breaker = &settings.breaker;
    for (field, value) in [
        ("failures", u64::from(breaker.failures)),
        ("failure_percent", u64::from(breaker.failure_percent)),
        ("cooldown_ms", breaker.cooldown_ms),
        ("longest_cooldown_ms", breaker.longest_cooldown_ms),
        ("retry_after_cap_ms", breaker.retry_after_cap_ms),
    ] {
        if value == 0 {
            problems.push(Problem::error(
                format!("breaker.{field}"),
                told!("least", "must be at least {least}", least = 1),
            ));
        }
    }
    if settings.metadata_days == 0 {
        problems.push(Problem::error("metadata_days", told!("least", "must be at least {least}", least = 1)));
    }
    if settings.stored_response_seconds == 0 {
        problems.push(Problem::error("stored_response_seconds", told!("least", "must be at least {least}", least = 1)));
    }
    if let Some(SecretSource::Inline(_)) = &settings.master_key {
        let why = told!(
            "master-key-plain",
            "stands in plain text: write env:NAME or file:PATH, so that whoever reads the file cannot open the seals"
        );
        problems.push(Problem::warning("master_key", why));
    }
    problems.extend(timeouts("timeouts", &settings.timeouts));
    problems
}

/// Zero would mean "give up at once".
pub(super) fn timeouts(path: &str, timeouts: &Timeouts) -> Vec<Problem> {
    let Timeouts { connect_ms, first_byte_ms, first_token_ms, idle_ms, total_ms } = *timeouts;
    [
        ("connect_ms", connect_ms),
        ("first_byte_ms", first_byte_ms),
        ("first_token_ms", first_token_ms),
        ("idle_ms", idle_ms),
        ("total_ms", total_ms),
    ]
    .into_iter()
    .filter(|(_, value)| *value == Some(0))
    .map(|(field, _)| Problem::error(format!("{path}.{field}"), told!("least", "must be at least {least}", least = 1)))
    .collect()
}

fn listen_address(path: &str, listen: &str, lan: bool) -> Option<Problem> {
    match is_loopback(listen) {
        None => Some(Problem::error(
            path,
            told!("bad-listen", "'{listen}' is no address: write host:port, like 127.0.0.1:6935", listen = listen),
        )),
        Some(false) if !lan => Some(Problem::error(
            path,
            told!(
                "listen-lan",
                "'{listen}' can be reached from other machines: set lan = true if that is meant",
                listen = listen
            ),
        )),
        Some(_) => None,
    }
}

/// Whether an address to listen on can only be reached from this machine; `None` if it is no address.
///
/// Of names only `localhost` is taken as loopback: another name may mean anything tomorrow.
pub fn is_loopback(listen: &str) -> Option<bool> {
    if let Ok(address) = listen.parse::<SocketAddr>() {
        return Some(address.ip().is_loopback());
    }
    let (host, port) = listen.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    if host.eq_ignore_ascii_case("localhost") {
        return Some(true);
    }
    let well_formed = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    well_formed.then_some(false)
}

fn is_origin(origin: &str) -> bool {
    let Ok(uri) = origin.parse::<http::Uri>() else {
        return false;
    };
    let has_path = origin.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty() && !host.contains('*')) && !has_path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(change: impl FnOnce(&mut Settings)) -> Vec<String> {
        let mut sample = Settings::default();
        change(&mut sample);
        settings(&sample).into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn the_defaults_are_sound() {
        assert!(paths(|_| {}).is_empty());
    }

    #[test]
    fn only_loopback_without_the_lan_switch() {
        for open in ["0.0.0.0:6935", "[::]:6935", "192.168.1.2:80", "myhost:6935"] {
            assert_eq!(paths(|s| s.listen = vec![open.into()]), ["listen[0]"], "{open}");
            assert!(paths(|s| (s.listen, s.lan) = (vec![open.into()], true)).is_empty(), "{open}");
        }
        for closed in ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.9.9.9:1"] {
            assert!(paths(|s| s.listen = vec![closed.into()]).is_empty(), "{closed}");
        }
        for wrong in ["127.0.0.1", "6935", ":6935", "http://a:1", "127.0.0.1:70000"] {
            assert_eq!(paths(|s| (s.listen, s.lan) = (vec![wrong.into()], true)), ["listen[0]"], "{wrong}");
        }
    }

    #[test]
    fn zero_limits_and_wildcard_origins_are_refused() {
        assert_eq!(paths(|s| s.allowed_origins = vec!["*".into()]), ["allowed_origins[0]"]);
        assert_eq!(paths(|s| s.allowed_origins = vec!["https://a.example/".into()]), ["allowed_origins[0]"]);
        assert!(paths(|s| s.allowed_origins = vec!["https://a.example:8443".into()]).is_empty());
        assert_eq!(paths(|s| s.max_attempts = 0), ["max_attempts"]);
        assert_eq!(paths(|s| s.metadata_days = 0), ["metadata_days"]);
        assert_eq!(paths(|s| s.bodies_days = 0), ["bodies_days"]);
        assert_eq!(paths(|s| s.timeouts.idle_ms = Some(0)), ["timeouts.idle_ms"]);
        assert_eq!(paths(|s| s.master_key = Some(SecretSource::parse("inline"))), ["master_key"]);
    }
}
