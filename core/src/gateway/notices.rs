//! What a change of the configuration means for those who watch: profiles that were switched or changed, channels that came, went, or fare otherwise.

use std::collections::BTreeMap;

use crate::events::{Event, Level};
use crate::model::{Channel, ChannelState, Entities};
use crate::told;

/// The events between two pictures of the configuration.
pub(super) fn between(before: &Entities, after: &Entities, now_ms: u64) -> Vec<Event> {
    let mut events = switches(before, after, now_ms);
    events.extend(profiles(before, after, now_ms));
    events.extend(channels(before, after, now_ms));
    events
}

/// Whoever follows another profile than before.
fn switches(before: &Entities, after: &Entities, now_ms: u64) -> Vec<Event> {
    let mut events = Vec::new();
    let (from, to) = (&before.active_profile, &after.active_profile);
    if from != to {
        let told = told!("event-profile-active", "the active profile is {to} now, it was {from}", to = to, from = from);
        let event = Event::new(now_ms, Level::Info, "profile-switched", "gateway", told);
        events.push(event.with("from", from.clone()).with("to", to.clone()));
    }
    let own: BTreeMap<&str, Option<&str>> =
        before.keys.iter().map(|key| (key.id.as_str(), key.profile.as_deref())).collect();
    for key in &after.keys {
        let Some(from) = own.get(key.id.as_str()).filter(|from| **from != key.profile.as_deref()) else { continue };
        let name = &key.name;
        let told = match &key.profile {
            Some(to) => told!("event-key-profile", "the key {name} has the profile {to} now", name = name, to = to),
            None => told!("event-key-follows", "the key {name} follows the active profile again", name = name),
        };
        let event = Event::new(now_ms, Level::Info, "profile-switched", name.as_str(), told);
        let event = event.with("from", *from).with("to", key.profile.clone());
        events.push(event.with("key", key.id.clone()).with("tool", key.tool.clone()));
    }
    events
}

/// Profiles that are new, changed or gone.
fn profiles(before: &Entities, after: &Entities, now_ms: u64) -> Vec<Event> {
    let mut events = Vec::new();
    let mut tell = |name: &str, what: &str| {
        let told = match what {
            "made" => told!("event-profile-made", "the profile {name} was made", name = name),
            "removed" => told!("event-profile-removed", "the profile {name} was removed", name = name),
            _ => told!("event-profile-changed", "the profile {name} was changed", name = name),
        };
        events.push(Event::new(now_ms, Level::Info, "profile-changed", name, told).with("what", what));
    };
    for profile in &after.profiles {
        match before.profile(&profile.name) {
            None => tell(&profile.name, "made"),
            Some(old) if old != profile => tell(&profile.name, "changed"),
            Some(_) => {}
        }
    }
    for profile in before.profiles.iter().filter(|old| after.profile(&old.name).is_none()) {
        tell(&profile.name, "removed");
    }
    events
}

/// Channels that are new or gone, that take part or not, whose test says something else than before.
fn channels(before: &Entities, after: &Entities, now_ms: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for channel in &after.channels {
        match before.channel(&channel.name) {
            None => {
                let told = told!("event-channel-new", "the channel {name} is new", name = channel.name);
                events.push(Event::new(now_ms, Level::Info, "channel-added", channel.name.as_str(), told));
            }
            Some(old) if word(&old.state) != word(&channel.state) || old.enabled != channel.enabled => {
                events.push(state(old, channel, now_ms));
            }
            Some(_) => {}
        }
    }
    for old in before.channels.iter().filter(|old| after.channel(&old.name).is_none()) {
        let told = told!("event-channel-gone", "the channel {name} is gone", name = old.name);
        events.push(Event::new(now_ms, Level::Info, "channel-removed", old.name.as_str(), told));
    }
    events
}

fn word(state: &ChannelState) -> &'static str {
    match state {
        ChannelState::Untested => "untested",
        ChannelState::Working { .. } => "working",
        ChannelState::Failing { .. } => "failing",
    }
}

/// What is new about a channel: its test, whether it takes part, or both.
fn state(old: &Channel, new: &Channel, now_ms: u64) -> Event {
    use ChannelState::{Failing, Untested, Working};
    let name = &new.name;
    let test = (word(&old.state) != word(&new.state)).then_some(&new.state);
    let takes = (old.enabled != new.enabled).then_some(new.enabled);
    let told = match (test, takes) {
        (Some(Untested), None) => told!("event-channel-untested", "the channel {name} is not tested", name = name),
        (Some(Untested), Some(true)) => told!(
            "event-channel-untested-in",
            "the channel {name} is not tested and takes part in routing",
            name = name
        ),
        (Some(Untested), Some(false)) => told!(
            "event-channel-untested-out",
            "the channel {name} is not tested and takes no part in routing",
            name = name
        ),
        (Some(Working { .. }), None) => told!("event-channel-works", "the channel {name} works", name = name),
        (Some(Working { .. }), Some(true)) => {
            told!("event-channel-works-in", "the channel {name} works and takes part in routing", name = name)
        }
        (Some(Working { .. }), Some(false)) => {
            told!("event-channel-works-out", "the channel {name} works and takes no part in routing", name = name)
        }
        (Some(Failing { why, .. }), None) => {
            told!("event-channel-fails", "the channel {name} fails its test: {why}", name = name, why = why)
        }
        (Some(Failing { why, .. }), Some(true)) => told!(
            "event-channel-fails-in",
            "the channel {name} fails its test: {why} and takes part in routing",
            name = name,
            why = why
        ),
        (Some(Failing { why, .. }), Some(false)) => told!(
            "event-channel-fails-out",
            "the channel {name} fails its test: {why} and takes no part in routing",
            name = name,
            why = why
        ),
        (None, Some(true)) => told!("event-channel-in", "the channel {name} takes part in routing", name = name),
        (None, _) => told!("event-channel-out", "the channel {name} takes no part in routing", name = name),
    };
    let level = if matches!(test, Some(Failing { .. })) { Level::Warning } else { Level::Info };
    let event = Event::new(now_ms, level, "channel-state", name.as_str(), told);
    event.with("is", word(&new.state)).with("enabled", new.enabled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Profile, VirtualKey};

    fn told(before: &Entities, after: &Entities) -> Vec<(String, String, String)> {
        let events = between(before, after, 1);
        events.into_iter().map(|event| (event.kind, event.subject, event.message)).collect()
    }

    #[test]
    fn a_switch_is_told_of_whoever_it_concerns_and_nothing_else_is() {
        let key = VirtualKey { id: "key_1".into(), name: "laptop".into(), ..VirtualKey::default() };
        let before = Entities { active_profile: "direct".into(), keys: vec![key.clone()], ..Entities::default() };
        assert!(told(&before, &before).is_empty());
        let after = Entities { active_profile: "cheap".into(), ..before.clone() };
        let [event] = &between(&before, &after, 7)[..] else { panic!("one event") };
        assert_eq!((event.kind.as_str(), event.subject.as_str(), event.at), ("profile-switched", "gateway", 7));
        assert_eq!((&event.data["from"], &event.data["to"]), (&"direct".into(), &"cheap".into()));
        let own = VirtualKey { profile: Some("cheap".into()), tool: Some("codex".into()), ..key };
        let after = Entities { keys: vec![own], ..before.clone() };
        let [event] = &between(&before, &after, 7)[..] else { panic!("one event") };
        assert_eq!((event.subject.as_str(), &event.data["tool"]), ("laptop", &"codex".into()));
        assert!(!event.data.contains_key("from"), "it followed the gateway's");
        assert_eq!(told(&after, &before)[0].2, "the key laptop follows the active profile again");
    }

    #[test]
    fn profiles_and_channels_that_come_go_and_change_are_told() {
        let profile = Profile { name: "cheap".into(), ..Profile::default() };
        let channel = Channel { enabled: true, ..Channel::bare("main", "openai") };
        let empty = Entities::default();
        let full = Entities { profiles: vec![profile.clone()], channels: vec![channel.clone()], ..Entities::default() };
        let kinds = |before: &Entities, after: &Entities| {
            told(before, after).into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&empty, &full), ["profile-changed", "channel-added"]);
        assert_eq!(kinds(&full, &empty), ["profile-changed", "channel-removed"]);
        let failing = Channel { state: ChannelState::Failing { at: 1, why: "no key".into() }, ..channel.clone() };
        let worse = Entities { channels: vec![Channel { enabled: false, ..failing.clone() }], ..full.clone() };
        let [(kind, _, message)] = &told(&full, &worse)[..] else { panic!("one event") };
        assert_eq!(kind, "channel-state");
        assert_eq!(message, "the channel main fails its test: no key and takes no part in routing");
        // Tested again with the same result: no news.
        let again = Channel { state: ChannelState::Failing { at: 2, why: "no key".into() }, ..failing.clone() };
        let (once, twice) =
            (Entities { channels: vec![failing], ..full.clone() }, Entities { channels: vec![again], ..full.clone() });
        assert!(told(&once, &twice).is_empty());
    }
}
