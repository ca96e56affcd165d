//! Routes, and what a target (`channel/model`, `channel/*`, `tag:t`, a model, a route) points at.

use super::Problem;
use crate::model::{Channel, Entities, Route};

/// The built-in model that repeats the last user text.
const ECHO: &str = "echo";

/// Checks one route against everything else.
pub fn route(route: &Route, entities: &Entities) -> Vec<Problem> {
    let path = format!("routes.{}", route.model);
    let mut problems = Vec::new();
    if route.model.trim().is_empty() {
        problems.push(Problem::error("routes", "the model is empty"));
    }
    if route.model == ECHO {
        problems.push(Problem::error(&path, "'echo' is built in and cannot be routed elsewhere"));
    }
    if route.groups.is_empty() {
        problems.push(Problem::error(&path, "a route needs at least one group"));
    }
    for (index, group) in route.groups.iter().enumerate() {
        let path = format!("{path}.groups[{index}].use");
        if group.targets.is_empty() {
            problems.push(Problem::error(&path, "a group needs at least one target"));
        }
        for target in &group.targets {
            problems.extend(deployment(&path, target, &route.model, entities));
        }
    }
    problems.extend(super::policy(&format!("{path}.policy"), &route.policy, entities));
    problems
}

/// A route's target must be a deployment: it may not be another route.
fn deployment(path: &str, target: &str, model: &str, entities: &Entities) -> Option<Problem> {
    if let Some(tag) = target.strip_prefix("tag:") {
        return missing_tag(path, tag, entities);
    }
    let Some((channel, upstream)) = target.split_once('/') else {
        return Some(Problem::error(path, format!("'{target}' is no target: write channel/model, channel/* or tag:t")));
    };
    let Some(found) = entities.channel(channel) else {
        return Some(Problem::warning(path, format!("there is no channel '{channel}'")));
    };
    if upstream == "*" {
        let why = format!(
            "'{target}' asks the channel for '{model}', which it does not list: name its model, {channel}/MODEL"
        );
        return (!may_serve(found, model)).then(|| Problem::warning(path, why));
    }
    missing_model(path, found, upstream)
}

/// A profile's target: a model, a route, `channel/model`, `channel/*` or `tag:t`. `None`: it points somewhere, or may.
pub(super) fn target(path: &str, target: &str, entities: &Entities) -> Option<Problem> {
    if target.trim().is_empty() {
        return Some(Problem::error(path, "the target is empty"));
    }
    if target == ECHO || entities.route(target).is_some() {
        return None;
    }
    if let Some(tag) = target.strip_prefix("tag:") {
        return missing_tag(path, tag, entities);
    }
    if let Some((channel, model)) = target.split_once('/')
        && let Some(found) = entities.channel(channel)
    {
        return if model == "*" || model.contains('$') { None } else { missing_model(path, found, model) };
    }
    let somewhere = target.contains('$') || entities.channels.iter().any(|channel| may_serve(channel, target));
    (!somewhere).then(|| Problem::warning(path, format!("nothing offers '{target}'")))
}

fn missing_tag(path: &str, tag: &str, entities: &Entities) -> Option<Problem> {
    let tagged = entities.channels.iter().any(|channel| channel.tags.iter().any(|own| own == tag));
    (!tagged).then(|| Problem::warning(path, format!("no channel has the tag '{tag}'")))
}

fn missing_model(path: &str, channel: &Channel, model: &str) -> Option<Problem> {
    (!may_serve(channel, model))
        .then(|| Problem::warning(path, format!("the channel '{}' does not list '{model}'", channel.name)))
}

/// Whether the channel lists the model by either name. One that was never asked what it has may have anything.
fn may_serve(channel: &Channel, model: &str) -> bool {
    match &channel.models {
        Some(models) => models.iter().any(|own| own.name() == model || own.upstream() == model),
        None => channel.listed.is_empty() || channel.listed.iter().any(|own| own == model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChannelModel, Origin, RouteGroup, Strategy};

    fn entities() -> Entities {
        let mut main: Channel =
            serde_json::from_str(r#"{"name":"main","provider":"openai","tags":["paid"],"listed":["gpt-5"]}"#).unwrap();
        main.models =
            Some(vec![ChannelModel::Renamed { name: "fast".into(), upstream: "gpt-5-mini".into(), price: None }]);
        Entities { channels: vec![main], ..Entities::default() }
    }

    fn problems(targets: &[&str]) -> Vec<String> {
        let group = RouteGroup {
            strategy: Strategy::default(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        };
        let sample = Route { model: "smart".into(), groups: vec![group], origin: Origin::File, ..Route::default() };
        route(&sample, &entities()).into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn targets_that_exist_pass() {
        assert!(problems(&["main/fast", "main/gpt-5-mini", "tag:paid"]).is_empty());
    }

    #[test]
    fn targets_that_point_nowhere_are_reported() {
        assert_eq!(problems(&["gone/x"]), ["there is no channel 'gone'"]);
        assert_eq!(problems(&["main/gpt-4"]), ["the channel 'main' does not list 'gpt-4'"]);
        assert_eq!(problems(&["main/*"]), ["the channel 'main' does not list 'smart'"]);
        assert_eq!(problems(&["tag:free"]), ["no channel has the tag 'free'"]);
        assert_eq!(problems(&[]), ["a group needs at least one target"]);
        assert!(problems(&["fast"])[0].contains("no target"));
    }
}
