//! Routes, and what a target (`channel/model`, `channel/*`, `tag:t`, a model, a route) points at.

use regex_lite::Regex;

use super::conditions::conditions;
use super::{Problem, glob_matches};
use crate::model::{Channel, Entities, Route};
use crate::told;

/// The built-in model that repeats the last user text.
const ECHO: &str = "echo";

/// Checks one route against everything else.
pub fn route(route: &Route, entities: &Entities) -> Vec<Problem> {
    let path = format!("routes.{}", route.model);
    let mut problems = Vec::new();
    if route.model.trim().is_empty() {
        problems.push(Problem::error("routes", told!("route-unnamed", "the model is empty")));
    }
    if route.model == ECHO {
        problems
            .push(Problem::error(&path, told!("echo-built-in", "'echo' is built in and cannot be routed elsewhere")));
    }
    if route.groups.is_empty() {
        problems.push(Problem::error(&path, told!("route-empty", "a route needs at least one group")));
    }
    if let Some(regex) = &route.regex
        && let Err(why) = Regex::new(regex)
    {
        let told = told!("bad-regex", "'{regex}' is no regular expression: {why}", regex = regex, why = why);
        problems.push(Problem::error(format!("{path}.regex"), told));
    }
    problems.extend(conditions(&format!("{path}.if"), &route.conditions));
    for (index, group) in route.groups.iter().enumerate() {
        let path = format!("{path}.groups[{index}]");
        problems.extend(conditions(&format!("{path}.if"), &group.conditions));
        let path = format!("{path}.use");
        if group.targets.is_empty() {
            problems.push(Problem::error(&path, told!("group-empty", "a group needs at least one target")));
        }
        for target in &group.targets {
            problems.extend(deployment(&path, target, route, entities));
        }
    }
    problems.extend(super::policy(&format!("{path}.policy"), &route.policy, entities));
    problems
}

/// A route's target must be a deployment: it may not be another route.
fn deployment(path: &str, target: &str, route: &Route, entities: &Entities) -> Option<Problem> {
    if let Some(pattern) = target.strip_prefix('~') {
        return regex(path, pattern);
    }
    if let Some(rest) = target.strip_prefix("tag:") {
        let (tag, models) = rest.split_once('/').unwrap_or((rest, "*"));
        return missing_tag(path, tag, entities).or_else(|| regex(path, models.strip_prefix('~')?));
    }
    let Some((channel, upstream)) = target.split_once('/') else {
        if target != route.model && entities.route(target).is_some() {
            return Some(Problem::error(
                path,
                told!("route-to-route", "'{target}' is a route: a route cannot lead to another", target = target),
            ));
        }
        let offered = entities.channels.iter().any(|channel| may_serve(channel, target));
        return (!offered).then(|| {
            Problem::warning(path, told!("none-offers-target", "nothing offers '{target}'", target = target))
        });
    };
    let Some(found) = entities.channel(channel) else {
        // The slash may be part of a model's name.
        let offered = entities.channels.iter().any(|channel| may_serve(channel, target) && lists(channel));
        return (!offered).then(|| {
            Problem::warning(path, told!("no-channel", "there is no channel '{channel}'", channel = channel))
        });
    };
    if let Some(pattern) = upstream.strip_prefix('~') {
        return regex(path, pattern);
    }
    // Which name is asked for is not known where patterns take several.
    let several = !route.also.is_empty() || route.regex.is_some();
    match upstream {
        "*" if several => None,
        "*" => {
            let model = &route.model;
            let why = told!(
                "star-unlisted",
                "'{target}' asks the channel for '{model}', which it does not list: name its model, {channel}/MODEL",
                target = target,
                model = model,
                channel = channel
            );
            (!may_serve(found, model)).then(|| Problem::warning(path, why))
        }
        pattern if pattern.contains('*') => None,
        model => missing_model(path, found, model),
    }
}

fn regex(path: &str, pattern: &str) -> Option<Problem> {
    let why = Regex::new(pattern).err()?;
    Some(Problem::error(
        path,
        told!("bad-target-regex", "'~{regex}' is no regular expression: {why}", regex = pattern, why = why),
    ))
}

/// Whether it is known what the channel has.
fn lists(channel: &Channel) -> bool {
    channel.models.is_some() || !channel.listed.is_empty()
}

/// A profile's target: a model, a route, or what a route's groups may hold. `None`: it points somewhere, or may.
pub(super) fn target(path: &str, target: &str, entities: &Entities) -> Option<Problem> {
    if target.trim().is_empty() {
        return Some(Problem::error(path, told!("target-empty", "the target is empty")));
    }
    if target == ECHO || target.contains('$') || routed(target, entities) {
        return None;
    }
    if let Some(pattern) = target.strip_prefix('~') {
        return regex(path, pattern);
    }
    if let Some(rest) = target.strip_prefix("tag:") {
        return missing_tag(path, rest.split_once('/').map_or(rest, |(tag, _)| tag), entities);
    }
    if let Some((channel, model)) = target.split_once('/')
        && let Some(found) = entities.channel(channel)
    {
        return match model.strip_prefix('~') {
            Some(pattern) => regex(path, pattern),
            None if model.contains('*') => None,
            None => missing_model(path, found, model),
        };
    }
    let somewhere = entities.channels.iter().any(|channel| may_serve(channel, target));
    (!somewhere)
        .then(|| Problem::warning(path, told!("none-offers-target", "nothing offers '{target}'", target = target)))
}

/// Whether a route takes the name.
fn routed(name: &str, entities: &Entities) -> bool {
    entities.routes.iter().any(|route| {
        let fits = |pattern: &String| Regex::new(pattern).is_ok_and(|regex| regex.is_match(name));
        route.model == name
            || route.also.iter().any(|glob| glob_matches(glob, name))
            || route.regex.as_ref().is_some_and(fits)
    })
}

fn missing_tag(path: &str, tag: &str, entities: &Entities) -> Option<Problem> {
    let tagged = entities.channels.iter().any(|channel| channel.tags.iter().any(|own| own == tag));
    (!tagged).then(|| Problem::warning(path, told!("no-tag", "no channel has the tag '{tag}'", tag = tag)))
}

fn missing_model(path: &str, channel: &Channel, model: &str) -> Option<Problem> {
    (!may_serve(channel, model)).then(|| {
        Problem::warning(
            path,
            told!("unlisted", "the channel '{channel}' does not list '{model}'", channel = channel.name, model = model),
        )
    })
}

/// Whether the channel lists the model by either name. One that was never asked what it has may have anything.
fn may_serve(channel: &Channel, model: &str) -> bool {
    let names = &channel.names;
    if names.aliases.contains_key(model) || names.lowercase {
        return true;
    }
    // As the channel offers it: with its prefix, or without the beginnings that it takes off.
    let model =
        names.prefix.as_deref().and_then(|prefix| model.strip_prefix(prefix)?.strip_prefix('/')).unwrap_or(model);
    let trimmed = names.trim.iter().map(|start| format!("{start}{model}"));
    std::iter::once(model.to_owned()).chain(trimmed).any(|model| has(channel, &model))
}

fn has(channel: &Channel, model: &str) -> bool {
    match &channel.models {
        Some(models) => models.iter().any(|own| own.name() == model || own.upstream() == model),
        None => channel.listed.is_empty() || channel.listed.iter().any(|own| own == model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChannelModel, RouteGroup};

    fn entities() -> Entities {
        let mut main: Channel =
            serde_json::from_str(r#"{"name":"main","provider":"openai","tags":["paid"],"listed":["gpt-5"]}"#).unwrap();
        main.models =
            Some(vec![ChannelModel::Renamed { name: "fast".into(), upstream: "gpt-5-mini".into(), price: None }]);
        Entities { channels: vec![main], ..Entities::default() }
    }

    fn problems(targets: &[&str]) -> Vec<String> {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        let group = RouteGroup { targets, ..RouteGroup::default() };
        let sample = Route { model: "smart".into(), groups: vec![group], ..Route::default() };
        route(&sample, &entities()).into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn targets_that_exist_pass() {
        assert!(
            problems(&["main/fast", "main/gpt-5-mini", "tag:paid", "fast", "tag:paid/fast", "main/gpt*", "~^gpt"])
                .is_empty()
        );
    }

    #[test]
    fn targets_that_point_nowhere_are_reported() {
        assert_eq!(problems(&["gone/x"]), ["there is no channel 'gone'"]);
        assert_eq!(problems(&["main/gpt-4"]), ["the channel 'main' does not list 'gpt-4'"]);
        assert_eq!(
            problems(&["main/*"]),
            ["'main/*' asks the channel for 'smart', which it does not list: name its model, main/MODEL"]
        );
        assert_eq!(problems(&["tag:free"]), ["no channel has the tag 'free'"]);
        assert_eq!(problems(&[]), ["a group needs at least one target"]);
        assert_eq!(problems(&["gpt-9"]), ["nothing offers 'gpt-9'"]);
        assert!(problems(&["~("])[0].contains("no regular expression"));
        assert!(problems(&["main/~("])[0].contains("no regular expression"));
    }
}
