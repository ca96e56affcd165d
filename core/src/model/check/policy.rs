//! Policies and overrides: sane numbers, known targets, readable paths and templates.

use super::{Problem, routes};
use crate::model::{CutStreams, Entities, FailureClass, KeyBreaker, Override, Policy, Retry, RetryAction};
use crate::overrides::Overrides;
use crate::told;

/// No wait is longer: who waits that long has left.
const LONGEST_MS: u64 = 600_000;
/// More deployments at once are no race but a storm.
const MOST_RACERS: u32 = 8;

/// Checks one policy against everything else.
pub fn policy(path: &str, policy: &Policy, entities: &Entities) -> Vec<Problem> {
    let at = |field: &str| format!("{path}.{field}");
    let mut problems = retry(&at("retry"), &policy.retry);
    if policy.race.is_some_and(|race| race == 0 || race > MOST_RACERS) {
        problems.push(Problem::error(
            at("race"),
            told!("racers", "must be between 1 (no race) and {most}", most = MOST_RACERS),
        ));
    }
    if policy.hedge_after_ms.is_some_and(|ms| ms > LONGEST_MS) {
        problems.push(Problem::error(at("hedge_after_ms"), told!("most", "must be at most {most}", most = LONGEST_MS)));
    }
    if let Some(mirror) = &policy.mirror {
        if mirror.percent == 0 || mirror.percent > 100 {
            problems.push(Problem::error(
                at("mirror.percent"),
                told!("between", "must be between {least} and {most}", least = 1, most = 100),
            ));
        }
        problems.extend(routes::target(&at("mirror.to"), &mirror.to, entities));
    }
    for (field, names) in
        [("context_fallback", &policy.context_fallback), ("content_fallback", &policy.content_fallback)]
    {
        for (index, name) in names.iter().enumerate() {
            problems.extend(routes::target(&at(&format!("{field}[{index}]")), name, entities));
        }
    }
    if policy.cache.ttl_seconds == Some(0) {
        problems.push(Problem::error(
            at("cache.ttl_seconds"),
            told!("ttl-least", "must be at least 1; write mode = \"off\" for no cache"),
        ));
    }
    if policy.cache.namespace.as_ref().is_some_and(|name| name.trim().is_empty()) {
        problems.push(Problem::error(at("cache.namespace"), told!("empty", "is empty")));
    }
    if let Some(breaker) = &policy.key_breaker {
        problems.extend(key_breaker(&at("key_breaker"), breaker));
    }
    problems
}

/// Checks when a key is held back. Only the gateway and a key can say it.
fn key_breaker(path: &str, breaker: &KeyBreaker) -> Vec<Problem> {
    if !(path == "policy.key_breaker" || path.starts_with("keys.")) {
        return vec![Problem::error(
            path,
            told!("key-breaker-place", "only the gateway's policy and a key's can say when a key is held back"),
        )];
    }
    let at = |field: &str| format!("{path}.{field}");
    let mut problems = Vec::new();
    if breaker.error_percent.is_some_and(|percent| percent > 100) {
        problems.push(Problem::error(at("error_percent"), told!("most", "must be at most {most}", most = 100)));
    }
    if breaker.spend_times == Some(1) {
        problems.push(Problem::error(
            at("spend_times"),
            told!("spend-least", "must be at least 2: once the usual is usual"),
        ));
    }
    if breaker.least_requests == Some(0) {
        problems.push(Problem::error(at("least_requests"), told!("least", "must be at least {least}", least = 1)));
    }
    if breaker.window_seconds.is_some_and(|seconds| !(10..=86_400).contains(&seconds)) {
        problems.push(Problem::error(
            at("window_seconds"),
            told!("between", "must be between {least} and {most}", least = 10, most = 86_400),
        ));
    }
    problems
}

/// Checks what is said about second tries.
pub(super) fn retry(path: &str, retry: &Retry) -> Vec<Problem> {
    let at = |field: &str| format!("{path}.{field}");
    let mut problems = Vec::new();
    for (field, ms) in
        [("backoff_ms", retry.backoff_ms), ("backoff_max_ms", retry.backoff_max_ms), ("max_wait_ms", retry.max_wait_ms)]
    {
        if ms.is_some_and(|ms| ms > LONGEST_MS) {
            problems.push(Problem::error(at(field), told!("most", "must be at most {most}", most = LONGEST_MS)));
        }
    }
    if retry.same.is_some_and(|same| same > 10) {
        problems.push(Problem::error(at("same"), told!("most", "must be at most {most}", most = 10)));
    }
    for class in [FailureClass::Rejected, FailureClass::Denied] {
        if retry.on.get(&class) == Some(&RetryAction::Again) {
            let why =
                told!("again-useless", "the same deployment says the same again: take \"elsewhere\" or \"never\"");
            problems.push(Problem::error(at("on"), why));
        }
    }
    if retry.cut_streams == Some(CutStreams::Off) && retry.on.contains_key(&FailureClass::Cut) {
        problems.push(Problem::warning(
            at("on.cut"),
            told!("cut-off", "does not hold for streams while cut_streams is \"off\""),
        ));
    }
    if retry.cut_streams == Some(CutStreams::Resume) && retry.on.get(&FailureClass::Cut) == Some(&RetryAction::Never) {
        problems.push(Problem::warning(
            at("on.cut"),
            told!("cut-never", "says \"never\": so no stream is resumed that breaks off"),
        ));
    }
    problems
}

/// Checks overrides.
pub(super) fn overrides(path: &str, overrides: &[Override]) -> Vec<Problem> {
    let wrong = |(index, one): (usize, &Override)| {
        let error = Overrides::compile([one]).err()?;
        Some(Problem::error(format!("{path}[{index}].{}", error.field), error.why))
    };
    overrides.iter().enumerate().filter_map(wrong).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(value: serde_json::Value) -> Vec<String> {
        let asked: Policy = serde_json::from_value(value).unwrap();
        let mut paths: Vec<String> =
            policy("policy", &asked, &Entities::default()).into_iter().map(|problem| problem.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        for (value, path) in [
            (json!({"race": 0}), "policy.race"),
            (json!({"race": 99}), "policy.race"),
            (json!({"mirror": {"to": "gone"}}), "policy.mirror.to"),
            (json!({"mirror": {"to": "echo", "percent": 0}}), "policy.mirror.percent"),
            (json!({"context_fallback": ["gone"]}), "policy.context_fallback[0]"),
            (json!({"cache": {"ttl_seconds": 0}}), "policy.cache.ttl_seconds"),
            (json!({"retry": {"backoff_ms": 999_999_999}}), "policy.retry.backoff_ms"),
            (json!({"retry": {"on": {"rejected": "again"}}}), "policy.retry.on"),
        ] {
            assert_eq!(paths(value.clone()), [path], "{value}");
        }
        assert!(paths(json!({"race": 2, "hedge_after_ms": 0, "cache": {"mode": "all"}})).is_empty());
    }

    #[test]
    fn what_is_said_of_cut_streams_in_vain_is_a_warning() {
        for (cut_streams, on, warned) in [
            ("off", Some("again"), true),
            ("off", Some("never"), true),
            ("off", None, false),
            ("resume", Some("never"), true),
            ("resume", Some("elsewhere"), false),
            ("resume", None, false),
            ("retry", Some("never"), false),
        ] {
            let on: serde_json::Map<_, _> = on.map(|action| ("cut".to_owned(), json!(action))).into_iter().collect();
            let said = serde_json::from_value(json!({"cut_streams": cut_streams, "on": on})).unwrap();
            let found = retry("policy.retry", &said);
            let label = format!("{cut_streams} {on:?}: {found:?}");
            assert_eq!(found.len(), usize::from(warned), "{label}");
            assert!(found.iter().all(|own| own.path == "policy.retry.on.cut" && !own.is_error()), "{label}");
        }
    }

    #[test]
    fn an_override_that_cannot_be_made_is_told_with_its_place() {
        let rules: Vec<Override> =
            serde_json::from_value(json!([{"set": {"a": 1}}, {"set": {"b": "{{colour}}"}}])).unwrap();
        let problems = overrides("channels.main.overrides", &rules);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "channels.main.overrides[1].set.b");
    }
}
