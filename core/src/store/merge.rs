//! File and store become one: what the file declares comes first and wins.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::held::{GATEWAY, Held};
use super::prices;
use crate::model::Told;
use crate::model::check::Problem;
use crate::model::{Channel, DIRECT, Declared, Entities, Origin, Owner, Settings, VirtualKey};
use crate::told;

/// What is in force, and what is surely not as meant.
pub(super) fn merge(held: &Held, declared: &Declared, version: u64) -> (Entities, Vec<Problem>) {
    let mut warnings = Vec::new();
    let settings = settings(held, declared, &mut warnings);
    let note = |channel: &Channel| {
        let mut channel = channel.clone();
        if let Some(note) = held.states.get(&channel.name) {
            channel.state = note.state.clone();
            channel.listed.clone_from(&note.listed);
        }
        channel
    };
    let channels = layer(&declared.channels, held.channels.values(), |c| &c.name, "channels", &mut warnings);
    let mut entities = Entities {
        version,
        fixed_settings: declared.fixed_settings.clone(),
        channels: channels.into_iter().map(note).collect(),
        keys: keys(held, declared, &mut warnings),
        routes: layer(&declared.routes, held.routes.values(), |r| &r.model, "routes", &mut warnings)
            .into_iter()
            .cloned()
            .collect(),
        profiles: layer(&declared.profiles, held.profiles.values(), |p| &p.name, "profiles", &mut warnings)
            .into_iter()
            .cloned()
            .collect(),
        owners: owners(held, declared, &mut warnings),
        limits: layer(&declared.limits, held.limits.values(), |l| &l.name, "limits", &mut warnings)
            .into_iter()
            .cloned()
            .collect(),
        active_profile: DIRECT.to_owned(),
        prices: Arc::new(prices::data(held)),
        settings,
    };
    let switched = held.switches.get(GATEWAY).and_then(Option::as_ref);
    for wanted in switched.into_iter().chain([&entities.settings.active_profile]) {
        if entities.has_profile(wanted) {
            entities.active_profile = wanted.clone();
            break;
        }
        warnings.push(Problem::warning(
            "active_profile",
            told!("no-profile", "there is no profile '{profile}'", profile = wanted),
        ));
    }
    (entities, warnings)
}

/// The file's entities, then those of the store that the file does not name.
fn layer<'a, T>(
    file: &'a [T],
    store: impl Iterator<Item = &'a T>,
    name: impl Fn(&T) -> &str,
    what: &str,
    warnings: &mut Vec<Problem>,
) -> Vec<&'a T> {
    let named: HashSet<&str> = file.iter().map(&name).collect();
    let mut out: Vec<&T> = file.iter().collect();
    for entity in store {
        if named.contains(name(entity)) {
            let why = told!("hidden-by-file", "is declared in the file: the one in the store is hidden");
            warnings.push(Problem::warning(format!("{what}.{}", name(entity)), why));
        } else {
            out.push(entity);
        }
    }
    out
}

fn owners(held: &Held, declared: &Declared, warnings: &mut Vec<Problem>) -> Vec<Owner> {
    let mut merged = declared.owners.clone();
    for (name, owner) in &held.owners {
        if declared.owners.iter().any(|own| own.kind == owner.kind && own.name == owner.name) {
            let why = told!("hidden-by-file", "is declared in the file: the one in the store is hidden");
            warnings.push(Problem::warning(format!("owners.{name}"), why));
        } else {
            merged.push(owner.clone());
        }
    }
    merged
}

fn keys(held: &Held, declared: &Declared, warnings: &mut Vec<Problem>) -> Vec<VirtualKey> {
    let file: Vec<VirtualKey> = declared
        .keys
        .iter()
        .filter_map(|declared| {
            let row = held.file_keys.get(&declared.key.name)?;
            Some(VirtualKey {
                id: row.id.clone(),
                hash: row.hash.clone(),
                hint: row.hint.clone(),
                grace: row.grace.clone(),
                created: row.created,
                origin: Origin::File,
                ..declared.key.clone()
            })
        })
        .collect();
    let mut store: Vec<&VirtualKey> = held.keys.values().collect();
    store.sort_by(|a, b| a.name.cmp(&b.name));
    let merged = layer(&file, store.into_iter(), |key| &key.name, "keys", warnings);
    let switched = |key: &VirtualKey| match held.switches.get(&key.id) {
        Some(profile) => VirtualKey { profile: profile.clone(), ..key.clone() },
        None => key.clone(),
    };
    merged.into_iter().map(switched).collect()
}

/// The settings in force: what the store sets counts only where nobody above it says anything.
fn settings(held: &Held, declared: &Declared, warnings: &mut Vec<Problem>) -> Settings {
    let mut merged = declared.settings.clone();
    for (name, value) in &held.settings {
        if declared.fixed_settings.contains(name) {
            continue;
        }
        match with(&merged, name, value) {
            Ok(settings) => merged = settings,
            Err(why) => warnings
                .push(Problem::warning(name, told!("stored-unused", "the stored value is not used: {why}", why = why))),
        }
    }
    merged
}

/// The settings with one of them (dotted name) set.
pub(super) fn with(settings: &Settings, name: &str, value: &Value) -> Result<Settings, Told> {
    let mut tree = serde_json::to_value(settings).map_err(|why| told!("unreadable", "{why}", why = why))?;
    let mut place = &mut tree;
    for part in name.split('.') {
        place = place
            .as_object_mut()
            .map(|table| table.entry(part).or_insert_with(|| Value::Object(Map::new())))
            .ok_or_else(|| told!("no-setting", "there is no setting '{name}'", name = name))?;
    }
    *place = value.clone();
    let merged: Settings = serde_json::from_value(tree).map_err(|why| told!("unreadable", "{why}", why = why))?;
    Ok(Settings { master_key: settings.master_key.clone(), ..merged })
}
