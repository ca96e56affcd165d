//! Virtual keys: what they name must be there.

use myelin_protocol::ApiFormat;

use super::limits::no_owner;
use super::{Problem, name};
use crate::model::{Entities, VirtualKey};
use crate::told;

/// Surfaces that are no conversation format and can be allowed to a key too.
const SURFACES: [&str; 6] = ["audio", "embeddings", "images", "models", "moderations", "rerank"];

/// Checks one key against everything else. What it names may still come, so that is only warned about.
pub fn key(key: &VirtualKey, entities: &Entities) -> Vec<Problem> {
    let at = |field: &str| format!("keys.{}.{field}", key.name);
    let mut problems: Vec<Problem> = name(&at("name"), &key.name).into_iter().collect();
    if let Some(profile) = key.profile.as_ref().filter(|profile| !entities.has_profile(profile)) {
        problems.push(Problem::warning(
            at("profile"),
            told!("no-profile", "there is no profile '{profile}'", profile = profile),
        ));
    }
    if let Some(owner) = &key.owner {
        problems.extend(no_owner(&at("owner"), owner, entities));
    }
    for (index, format) in key.formats.iter().enumerate() {
        problems.extend(client_format(&at(&format!("formats[{index}]")), format));
    }
    for (index, channel) in key.channels.iter().enumerate() {
        let there = match channel.strip_prefix("tag:") {
            Some(tag) => entities.channels.iter().any(|channel| channel.tags.iter().any(|own| own == tag)),
            None => entities.channel(channel).is_some(),
        };
        if !there {
            let why = told!("no-channel-meant", "no channel is meant by '{entry}'", entry = channel);
            problems.push(Problem::warning(at(&format!("channels[{index}]")), why));
        }
    }
    problems.extend(super::policy(&at("policy"), &key.policy, entities));
    problems
}

/// A client format that a key may be limited to.
pub fn client_format(path: &str, format: &str) -> Option<Problem> {
    let mut known = ApiFormat::ALL.iter().map(|format| format.as_str()).chain(SURFACES);
    if known.any(|name| name == format) {
        return None;
    }
    let known: Vec<&str> = ApiFormat::ALL.iter().map(|format| format.as_str()).chain(SURFACES).collect();
    Some(Problem::error(
        path,
        told!(
            "no-format",
            "there is no format '{format}': known are {known}",
            format = format,
            known = known.join(", ")
        ),
    ))
}
