//! Limits and owners: nothing that cannot be enforced is taken.

use super::{Problem, name};
use crate::model::{Entities, Limit, LimitQueue, Measure, Owner, OwnerRef, Target, Told, Unpriced, Window};
use crate::told;

/// Longest wait before a limit.
const LONGEST_WAIT_MS: u64 = 10 * 60_000;
/// Most requests that may wait.
const MOST_WAITING: u32 = 100_000;
/// Most parents of an owner.
const DEEPEST: usize = 16;

/// Checks one limit against everything else. What it names may still come: that is warned about; what can never hold is an error.
pub fn limit(limit: &Limit, entities: &Entities) -> Vec<Problem> {
    let at = |field: &str| format!("limits.{}.{field}", limit.name);
    let mut problems: Vec<Problem> = name(&at("name"), &limit.name).into_iter().collect();
    let mut wrong = |field: &str, why: Told| problems.push(Problem::error(at(field), why));
    if limit.amount == 0 {
        wrong(
            limit.measure.word(),
            told!("limit-zero", "a limit of zero lets nothing through: block the key or disable the channel instead"),
        );
    }
    match (limit.measure, limit.per) {
        (Measure::Parallel, Some(_)) => {
            wrong("per", told!("parallel-no-window", "requests in flight have no window: leave it out"))
        }
        (Measure::Parallel, None) => {}
        (_, None) => wrong("per", told!("no-window", "is missing: in which time?")),
        (_, Some(Window::Rolling(ms))) if !Window::ROLLING_MS.contains(&ms) => {
            wrong("per", told!("window-length", "a window is between a second and 366 days long"));
        }
        _ => {}
    }
    if let Some(zone) = &limit.zone {
        if crate::model::limit_zone(Some(zone)).is_none() {
            wrong(
                "zone",
                told!(
                    "bad-zone-name",
                    "there is no time zone '{zone}': write an IANA name, such as Europe/Berlin or UTC",
                    zone = zone
                ),
            );
        } else if !limit.per.is_some_and(Window::is_calendar) {
            wrong("zone", told!("zone-unused", "only day, week and month begin somewhere: leave it out"));
        }
    }
    if let Some(mark) = limit.soft.iter().find(|mark| !(1..=100).contains(*mark)) {
        wrong("soft", told!("bad-percentage", "{mark} is no percentage between 1 and 100", mark = mark));
    }
    if limit.measure == Measure::Parallel && !limit.soft.is_empty() {
        wrong("soft", told!("parallel-not-used-up", "requests in flight are not used up: leave it out"));
    }
    if !limit.refuse && limit.soft.is_empty() {
        wrong(
            "soft",
            told!("limit-mute", "a limit that refuses nothing must tell somebody: name a percentage, such as [100]"),
        );
    }
    if let Some(LimitQueue { timeout_ms, max_waiting }) = limit.queue {
        if !(1..=LONGEST_WAIT_MS).contains(&timeout_ms) {
            wrong(
                "queue.timeout_ms",
                told!("between", "must be between {least} and {most}", least = 1, most = LONGEST_WAIT_MS),
            );
        }
        if !(1..=MOST_WAITING).contains(&max_waiting) {
            wrong(
                "queue.max_waiting",
                told!("between", "must be between {least} and {most}", least = 1, most = MOST_WAITING),
            );
        }
        if !limit.refuse {
            wrong("queue", told!("queue-unused", "nothing waits before a limit that refuses nothing"));
        }
    }
    if limit.measure == Measure::Money && limit.refuse && entities.settings.unpriced == Unpriced::Allow {
        let why = told!(
            "unpriced-uncounted",
            "models without a price count nothing here: `unpriced = \"block\"` keeps them out"
        );
        problems.push(Problem::warning(at("money"), why));
    }
    problems.extend(missing(&limit.on, entities).map(|why| Problem::warning(at("on"), why)));
    problems
}

/// What a limit's target lacks to hold anything back.
pub fn missing(on: &Target, entities: &Entities) -> Option<Told> {
    let channel = |name: &String| {
        entities.channel(name).is_none().then(|| told!("no-channel", "there is no channel '{channel}'", channel = name))
    };
    match on {
        Target::Gateway | Target::Model(_) => None,
        Target::Key(name) => {
            let there = entities.keys.iter().any(|key| key.name == *name);
            (!there).then(|| told!("no-key", "there is no key '{key}'", key = name))
        }
        // Tools are known by what they call themselves, too.
        Target::Owner(owner) if owner.kind == crate::model::OwnerKind::Tool => None,
        Target::Owner(owner) => {
            entities.owner(owner).is_none().then(|| told!("no-owner", "there is no owner '{owner}'", owner = owner))
        }
        Target::Channel(name) | Target::Deployment { channel: name, .. } => channel(name),
        Target::Tag(tag) => {
            let there = entities.channels.iter().any(|channel| channel.tags.contains(tag));
            (!there).then(|| told!("no-tag", "no channel has the tag '{tag}'", tag = tag))
        }
        Target::Profile(name) => (!entities.has_profile(name))
            .then(|| told!("no-profile", "there is no profile '{profile}'", profile = name)),
    }
}

/// Checks one owner against everything else.
pub fn owner(owner: &Owner, entities: &Entities) -> Vec<Problem> {
    let own = owner.reference();
    let at = |field: &str| format!("owners.{own}.{field}");
    let mut problems: Vec<Problem> = name(&at("name"), &owner.name).into_iter().collect();
    let Some(parent) = &owner.parent else { return problems };
    if parent.kind < owner.kind {
        let why =
            told!("owner-order", "{parent}s do not stand above {owner}s", parent = parent.kind, owner = owner.kind);
        problems.push(Problem::error(at("parent"), why));
    }
    let above = entities.owner_chain(Some(parent));
    if *parent == own || above.contains(&own) {
        problems.push(Problem::error(
            at("parent"),
            told!("owner-circle", "'{parent}' stands below '{owner}' already", parent = parent, owner = own),
        ));
    } else if above.len() > DEEPEST {
        problems.push(Problem::error(
            at("parent"),
            told!("owner-deep", "there are more than {most} owners above it", most = DEEPEST),
        ));
    }
    problems.extend(no_owner(&at("parent"), parent, entities));
    problems
}

/// A warning if an owner is not there.
pub(super) fn no_owner(path: &str, owner: &OwnerRef, entities: &Entities) -> Option<Problem> {
    entities
        .owner(owner)
        .is_none()
        .then(|| Problem::warning(path, told!("no-owner", "there is no owner '{owner}'", owner = owner)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{LimitSpec, Origin};

    fn problems(spec: Value) -> Vec<(String, bool)> {
        let spec: LimitSpec = serde_json::from_value(spec).unwrap();
        let made = spec.into_limit("limits.x", Origin::Store).unwrap();
        let found = limit(&made, &Entities::default());
        found.into_iter().map(|problem| (problem.path.clone(), problem.is_error())).collect()
    }

    #[test]
    fn what_can_never_hold_is_an_error() {
        for (spec, field) in [
            (json!({"requests": 0, "per": "day"}), "requests"),
            (json!({"parallel": 1, "per": "day"}), "per"),
            (json!({"requests": 1, "per": "day", "zone": "Mars/Olympus"}), "zone"),
            (json!({"requests": 1, "per": "1h", "zone": "UTC"}), "zone"),
            (json!({"requests": 1, "per": "day", "soft": [0]}), "soft"),
            (json!({"requests": 1, "per": "day", "soft": [101]}), "soft"),
            (json!({"parallel": 1, "soft": [50]}), "soft"),
            (json!({"requests": 1, "per": "day", "refuse": false}), "soft"),
            (json!({"requests": 1, "per": "day", "queue": {"timeout_ms": 0}}), "queue.timeout_ms"),
            (json!({"requests": 1, "per": "day", "queue": {"timeout_ms": 1, "max_waiting": 0}}), "queue.max_waiting"),
            (json!({"requests": 1, "per": "day", "soft": [90], "refuse": false, "queue": {"timeout_ms": 1}}), "queue"),
        ] {
            let mut spec = spec;
            spec["name"] = json!("x");
            spec["on"] = json!("gateway");
            assert_eq!(problems(spec.clone()), [(format!("limits.x.{field}"), true)], "{spec}");
        }
    }

    #[test]
    fn what_may_still_come_is_a_warning() {
        for on in ["key:k", "team:t", "channel:c", "channel:c/m", "tag:t", "profile:p"] {
            let spec = json!({"name": "x", "on": on, "requests": 1, "per": "day"});
            assert_eq!(problems(spec), [("limits.x.on".to_owned(), false)], "{on}");
        }
        for on in ["gateway", "model:m*", "tool:cli", "profile:direct"] {
            assert!(problems(json!({"name": "x", "on": on, "requests": 1, "per": "day"})).is_empty(), "{on}");
        }
    }

    #[test]
    fn owners_stand_in_a_tree() {
        let node = |text: &str, parent: &str| {
            let own: OwnerRef = text.parse().unwrap();
            Owner { kind: own.kind, name: own.name, parent: Some(parent.parse().unwrap()), origin: Origin::Store }
        };
        let entities =
            Entities { owners: vec![node("team:a", "team:b"), node("team:b", "team:a")], ..Entities::default() };
        let errors = |node: Owner| owner(&node, &entities).into_iter().filter(Problem::is_error).count();
        assert_eq!(errors(node("team:a", "team:b")), 1, "a circle");
        assert_eq!(errors(node("team:c", "team:c")), 1, "its own parent");
        assert_eq!(errors(node("team:c", "user:u")), 1, "upside down");
        assert_eq!(errors(node("team:c", "organisation:o")), 0);
        assert_eq!(owner(&node("team:c", "organisation:o"), &entities).len(), 1, "it may still come");
    }
}
