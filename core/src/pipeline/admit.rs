//! Who calls: the virtual key in the request, whether it still holds, what it may ask for, and which profile applies.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::refusal::Refusal;
use crate::error::{GatewayError, Kind};
use crate::routing::{CompiledProfile, HeldKey};
use crate::snapshot::{KeyEntry, Snapshot};
use crate::told;

/// Header that pins a profile for one request.
pub(super) const PROFILE_HEADER: &str = "x-myelin-profile";
/// Where keys are looked for, in this order; `Authorization: Bearer` comes first, `?key=` last.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// A caller that was let in.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The caller's key.
    pub key: Arc<KeyEntry>,
    /// The profile that applies.
    pub profile: Arc<CompiledProfile>,
}

/// Whether a key may call this surface now, whatever it asks for.
pub(super) fn may_call(snapshot: &Snapshot, key: &KeyEntry, surface: &str, now_ms: u64) -> Result<(), Refusal> {
    if key.key.blocked {
        return Err(Refusal::new(
            Kind::Forbidden,
            told!("key-blocked", "the key {key} is blocked", key = key.key.name),
        ));
    }
    if key.key.expires.is_some_and(|expires| now_ms >= expires) {
        return Err(Refusal::new(
            Kind::Unauthorized,
            told!("key-expired", "the key {key} has expired", key = key.key.name),
        ));
    }
    if let Some(held) = key.held(now_ms) {
        return Err(held_back(&key.key.name, &held, now_ms));
    }
    if snapshot.settings.paused {
        let told = told!(
            "paused",
            "this gateway is paused: take `paused` back in its settings, or in the menu of the desktop app"
        );
        return Err(Refusal::new(Kind::NoCandidate, told));
    }
    if !key.key.formats.is_empty() && !key.key.formats.iter().any(|format| format == surface) {
        let told =
            told!("key-not-surface", "the key {key} may not use {surface}", key = key.key.name, surface = surface);
        return Err(Refusal::new(Kind::Forbidden, told));
    }
    Ok(())
}

/// Lets a caller in, or says why not. `loopback`: the connection came in over a loopback listener, where an anonymous key may stand in for none.
pub(crate) fn admit(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    query: &str,
    pinned: Option<&str>,
    surface: &str,
    loopback: bool,
    now_ms: u64,
) -> Result<Caller, GatewayError> {
    let key = match secret(headers, query) {
        Some(secret) => snapshot.key(&secret, now_ms).ok_or_else(|| {
            GatewayError::new(
                Kind::Unauthorized,
                "invalid api key: this gateway takes its own virtual keys (my-…), not a provider's",
            )
        })?,
        None => {
            let anonymous = if loopback { snapshot.anonymous_key() } else { None };
            anonymous.ok_or_else(|| {
                GatewayError::new(
                    Kind::Unauthorized,
                    "no api key: send a virtual key as `Authorization: Bearer my-…`, `x-api-key`, `api-key`, `x-goog-api-key` or `?key=`",
                )
            })?
        }
    };
    may_call(snapshot, &key, surface, now_ms)?;
    let header = headers.get(PROFILE_HEADER).and_then(|value| value.to_str().ok());
    let name = pinned.or(header).or(key.key.profile.as_deref());
    let profile = match name {
        Some(name) => snapshot
            .profile(name)
            .ok_or_else(|| GatewayError::new(Kind::InvalidRequest, format!("there is no profile {name:?}")))?,
        None => snapshot.active_profile(),
    };
    Ok(Caller { key, profile })
}

/// The refusal of a key whose traffic was out of the ordinary.
fn held_back(name: &str, held: &HeldKey, now_ms: u64) -> Refusal {
    let why = &held.why;
    match held.until {
        Some(until) => {
            let wait = Duration::from_millis(until.saturating_sub(now_ms));
            let seconds = wait.as_secs_f64().ceil();
            let told = told!(
                "key-held-for",
                "the key {key} is held back for {seconds} s more: {why}",
                key = name,
                seconds = seconds,
                why = why
            );
            Refusal { wait: Some((wait, "key_held_back")), ..Refusal::new(Kind::RateLimited, told) }
        }
        None => {
            let told = told!(
                "key-held",
                "the key {key} is held back until its owner releases it: {why}",
                key = name,
                why = why
            );
            Refusal::new(Kind::Forbidden, told)
        }
    }
}

/// The first secret found in the places where clients put keys.
fn secret(headers: &HeaderMap, query: &str) -> Option<String> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, secret) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    });
    let header = KEY_HEADERS.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    let parameter = query.split('&').filter_map(|pair| pair.strip_prefix("key="));
    // An empty one says nothing: tools send `Bearer ` beside the header that holds the key.
    let mut found = bearer.into_iter().chain(header).chain(parameter).map(str::trim);
    found.find(|secret| !secret.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_clients_put_it() {
        let headers = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        for (name, value) in [
            ("authorization", "Bearer my-1"),
            ("authorization", "bearer  my-1"),
            ("x-api-key", "my-1"),
            ("api-key", "my-1"),
            ("x-goog-api-key", "my-1"),
        ] {
            assert_eq!(secret(&headers(name, value), "").as_deref(), Some("my-1"), "{name}: {value}");
        }
        assert_eq!(secret(&HeaderMap::new(), "alt=sse&key=my-1").as_deref(), Some("my-1"));
        let mut both = headers("authorization", "Bearer ");
        both.insert("x-api-key", "my-1".parse().unwrap());
        assert_eq!(secret(&both, "").as_deref(), Some("my-1"));
        assert_eq!(secret(&headers("authorization", "Basic abc"), ""), None);
        assert_eq!(secret(&headers("authorization", "Bearer "), ""), None);
    }
}
