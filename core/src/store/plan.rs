//! What a change does to what the store holds. Pure but for the making of secrets.
//!
//! Must not know the database: it returns the new whole, and the difference is written by the caller.

mod limits;

use serde_json::{Map, Value};

use super::held::{ChannelNote, FileKey, GATEWAY, Held};
use super::prices;
use super::{AdminToken, Change, ChangeError, Issued, NewKey, issue};
use crate::model::Told;
use crate::model::check::{self, Problem};
use crate::model::{Channel, Declared, Entities, KeyGrace, Origin, Profile, Route, Secret, Target, VirtualKey};
use crate::told;

/// What the change log calls these: they touch nothing that is configured.
pub(super) const RESET: &str = "reset limit";
pub(super) const REPRICE: &str = "reprice";
/// Shortest secret that may be brought along for a virtual key.
const LEAST_SECRET: usize = 16;
/// Old secrets of one key that still work at the same time.
const MOST_GRACE: usize = 4;

/// What came of a change, beside the new whole.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) issued: Vec<Issued>,
    /// What, to which, more: the line of the change log; `None`: not worth one.
    pub(super) log: Option<(&'static str, String, String)>,
}

/// Where a change happens.
pub(super) struct Scene<'a> {
    pub(super) entities: &'a Entities,
    pub(super) declared: &'a Declared,
    pub(super) catalog: &'a dyn check::Catalog,
    pub(super) now: u64,
    /// Who makes it.
    pub(super) who: &'a str,
}

type Done = Result<Outcome, ChangeError>;

/// Makes the change in `held`.
pub(super) fn plan(held: &mut Held, change: Change, scene: &Scene<'_>) -> Done {
    match change {
        Change::CreateChannel(channel) => put_channel(held, *channel, scene, true),
        Change::UpdateChannel(channel) => put_channel(held, *channel, scene, false),
        Change::RemoveChannel { name } => {
            own_channel(&name, scene)?;
            held.channels.remove(&name);
            held.states.remove(&name);
            limits::drop_limits(
                held,
                |on| matches!(on, Target::Channel(own) | Target::Deployment { channel: own, .. } if *own == name),
            );
            logged("remove channel", name, String::new())
        }
        Change::EnableChannel { name, enabled } => {
            own_channel(&name, scene)?;
            if let Some(channel) = held.channels.get_mut(&name) {
                channel.enabled = enabled;
            }
            logged(if enabled { "enable channel" } else { "disable channel" }, name, String::new())
        }
        Change::ChannelTested { name, state } => note(held, name, scene, |note| note.state = state),
        Change::ChannelListed { name, models } => note(held, name, scene, |note| note.listed = models),
        Change::CreateKey(key) => create_key(held, *key, scene),
        Change::UpdateKey(key) => update_key(held, *key, scene),
        Change::RotateKey { key, grace_seconds } => rotate_key(held, &key, grace_seconds, scene),
        Change::BlockKey { key, blocked } => {
            let (id, name) = own_key(&key, scene)?;
            if let Some(key) = held.keys.get_mut(&id) {
                key.blocked = blocked;
            }
            logged(if blocked { "block key" } else { "unblock key" }, name, String::new())
        }
        Change::RemoveKey { key } => {
            let (id, name) = own_key(&key, scene)?;
            held.keys.remove(&id);
            held.switches.remove(&id);
            limits::drop_limits(held, |on| *on == Target::Key(name.clone()));
            logged("remove key", name, String::new())
        }
        Change::CreateRoute(route) => put_route(held, route, scene, true),
        Change::UpdateRoute(route) => put_route(held, route, scene, false),
        Change::RemoveRoute { model } => {
            let origin = scene.entities.route(&model).map(|route| route.origin);
            own("route", &model, origin)?;
            held.routes.remove(&model);
            logged("remove route", model, String::new())
        }
        Change::CreateProfile(profile) => put_profile(held, profile, scene, true),
        Change::UpdateProfile(profile) => put_profile(held, profile, scene, false),
        Change::RemoveProfile { name } => remove_profile(held, name, scene),
        Change::CreateOwner(owner) => limits::put_owner(held, owner, scene, true),
        Change::UpdateOwner(owner) => limits::put_owner(held, owner, scene, false),
        Change::RemoveOwner { owner } => limits::remove_owner(held, &owner, scene),
        Change::CreateLimit(limit) => limits::put_limit(held, *limit, scene, true),
        Change::UpdateLimit(limit) => limits::put_limit(held, *limit, scene, false),
        Change::ResetLimit { name, counted } => logged(RESET, name, format!("{counted} are forgotten")),
        Change::Reprice { words } => logged(REPRICE, "records".to_owned(), words),
        Change::RemoveLimit { name } => limits::remove_limit(held, name, scene),
        Change::UseProfile { key, profile } => use_profile(held, key.as_deref(), profile, scene),
        Change::SetSettings(values) => set_settings(held, values, scene),
        Change::SetPrice { channel, model, price } => {
            let taken_back = price.is_none();
            let (key, words) = prices::set(held, channel, model, price, scene.who, scene)?;
            logged(if taken_back { "unset price" } else { "set price" }, key, words)
        }
        Change::ImportPrices { source, priced, text } => {
            let words = prices::import(held, source, priced, text, scene.who, scene.now);
            logged("import prices", "the price list".to_owned(), words)
        }
        Change::CreateAdminToken { name } => create_token(held, name, scene),
        Change::RemoveAdminToken { token } => remove_token(held, &token),
    }
}

fn logged(what: &'static str, name: String, detail: String) -> Done {
    Ok(Outcome { issued: Vec::new(), log: Some((what, name, detail)) })
}

fn refuse_errors(problems: Vec<Problem>) -> Result<(), ChangeError> {
    let problems: Vec<Problem> = problems.into_iter().filter(Problem::is_error).collect();
    if problems.is_empty() { Ok(()) } else { Err(ChangeError::Invalid { problems }) }
}

/// The thing must be there and be ours to change.
fn own(what: &'static str, name: &str, origin: Option<Origin>) -> Result<(), ChangeError> {
    match origin {
        None => Err(ChangeError::NotFound { what, name: name.to_owned() }),
        Some(Origin::File) => Err(ChangeError::FileManaged { what, name: name.to_owned() }),
        Some(Origin::Store) => Ok(()),
    }
}

/// For a new thing the name must be free, for a changed one it must be ours.
fn may_put(what: &'static str, name: &str, origin: Option<Origin>, new: bool) -> Result<(), ChangeError> {
    match (new, origin) {
        (true, None) => Ok(()),
        (true, Some(_)) => Err(ChangeError::Exists { what, name: name.to_owned() }),
        (false, origin) => own(what, name, origin),
    }
}

fn own_channel(name: &str, scene: &Scene<'_>) -> Result<(), ChangeError> {
    own("channel", name, scene.entities.channel(name).map(|channel| channel.origin))
}

fn put_channel(held: &mut Held, channel: Channel, scene: &Scene<'_>, new: bool) -> Done {
    let before = scene.entities.channel(&channel.name);
    may_put("channel", &channel.name, before.map(|channel| channel.origin), new)?;
    refuse_errors(check::channel(&channel, &scene.entities.settings, scene.catalog))?;
    let name = channel.name.clone();
    let bare = Channel { origin: Origin::Store, state: Default::default(), listed: Vec::new(), ..channel };
    held.channels.insert(name.clone(), bare);
    logged(if new { "create channel" } else { "update channel" }, name, String::new())
}

fn note(held: &mut Held, name: String, scene: &Scene<'_>, change: impl FnOnce(&mut ChannelNote)) -> Done {
    if scene.entities.channel(&name).is_none() {
        return Err(ChangeError::NotFound { what: "channel", name });
    }
    change(held.states.entry(name).or_default());
    Ok(Outcome::default())
}

/// Id and name of a key that is ours to change.
fn own_key(key: &str, scene: &Scene<'_>) -> Result<(String, String), ChangeError> {
    let found = scene.entities.key(key);
    own("key", found.map_or(key, |found| &found.name), found.map(|key| key.origin))?;
    found
        .map(|key| (key.id.clone(), key.name.clone()))
        .ok_or_else(|| ChangeError::NotFound { what: "key", name: key.to_owned() })
}

fn check_key(key: &VirtualKey, entities: &Entities) -> Result<(), ChangeError> {
    let at = |field: &str| format!("keys.{}.{field}", key.name);
    let mut problems: Vec<Problem> = check::name(&at("name"), &key.name).into_iter().collect();
    if let Some(profile) = key.profile.as_ref().filter(|profile| !entities.has_profile(profile)) {
        problems.push(Problem::error(
            at("profile"),
            told!("no-profile", "there is no profile '{profile}'", profile = profile),
        ));
    }
    if let Some(owner) = key.owner.as_ref().filter(|owner| entities.owner(owner).is_none()) {
        problems.push(Problem::error(at("owner"), told!("no-owner", "there is no owner '{owner}'", owner = owner)));
    }
    for (index, format) in key.formats.iter().enumerate() {
        problems.extend(check::client_format(&at(&format!("formats[{index}]")), format));
    }
    refuse_errors(problems)
}

fn create_key(held: &mut Held, new: NewKey, scene: &Scene<'_>) -> Done {
    may_put("key", &new.name, scene.entities.keys.iter().find(|key| key.name == new.name).map(|key| key.origin), true)?;
    let brought = new.secret.is_some();
    let secret = match new.secret {
        Some(secret) => usable(secret, &new.name, scene.entities)?,
        None => issue::secret(issue::KEY_PREFIX)?,
    };
    let key = VirtualKey {
        id: issue::id("key_")?,
        name: new.name,
        hash: issue::hash_secret(secret.expose()),
        hint: issue::hint(&secret),
        grace: Vec::new(),
        created: scene.now,
        expires: new.expires,
        blocked: false,
        models: new.models,
        channels: new.channels,
        formats: new.formats,
        profile: new.profile,
        tool: new.tool,
        owner: new.owner,
        strict: new.strict,
        bodies: new.bodies,
        strategy: new.strategy,
        policy: new.policy,
        origin: Origin::Store,
    };
    check_key(&key, scene.entities)?;
    let issued = Issued { id: key.id.clone(), name: key.name.clone(), secret };
    let log = Some(("create key", key.name.clone(), key.hint.clone()));
    held.keys.insert(key.id.clone(), key);
    Ok(Outcome { issued: if brought { Vec::new() } else { vec![issued] }, log })
}

/// A secret that was brought along must be long, and nobody else's.
pub(super) fn usable(secret: Secret, name: &str, entities: &Entities) -> Result<Secret, ChangeError> {
    let wrong = |why: Told| ChangeError::Invalid { problems: vec![Problem::error(format!("keys.{name}.secret"), why)] };
    if secret.expose().chars().count() < LEAST_SECRET {
        return Err(wrong(told!("secret-short", "must have at least {least} characters", least = LEAST_SECRET)));
    }
    let hash = issue::hash_secret(secret.expose());
    if entities.keys.iter().any(|key| key.name != name && issue::same_hash(&key.hash, &hash)) {
        return Err(wrong(told!("secret-taken", "is the secret of another key")));
    }
    Ok(secret)
}

fn update_key(held: &mut Held, key: VirtualKey, scene: &Scene<'_>) -> Done {
    let (id, _) = own_key(&key.id, scene)?;
    if let Some(other) = scene.entities.keys.iter().find(|other| other.name == key.name && other.id != id) {
        return Err(ChangeError::Exists { what: "key", name: other.name.clone() });
    }
    check_key(&key, scene.entities)?;
    let Some(before) = held.keys.get_mut(&id) else {
        return Err(ChangeError::NotFound { what: "key", name: id });
    };
    let name = key.name.clone();
    let called = before.name.clone();
    // A profile set here is the newest word: an older switch must not outlive it.
    if scene.entities.key(&id).is_some_and(|shown| shown.profile != key.profile) {
        held.switches.remove(&id);
    }
    *before = VirtualKey {
        id,
        hash: before.hash.clone(),
        hint: before.hint.clone(),
        grace: before.grace.clone(),
        created: before.created,
        origin: Origin::Store,
        ..key
    };
    limits::rename_key(held, &called, &name);
    logged("update key", name, String::new())
}

fn rotate_key(held: &mut Held, key: &str, grace_seconds: u64, scene: &Scene<'_>) -> Done {
    let found = scene.entities.key(key).ok_or_else(|| ChangeError::NotFound { what: "key", name: key.to_owned() })?;
    let until = scene.now.saturating_add(grace_seconds.saturating_mul(1_000));
    let secret = issue::secret(issue::KEY_PREFIX)?;
    let (hash, hint, grace) = match found.origin {
        Origin::Store => held.keys.get_mut(&found.id).map(|key| (&mut key.hash, &mut key.hint, &mut key.grace)),
        Origin::File => held
            .file_keys
            .get_mut(&found.name)
            .filter(|key| key.made)
            .map(|key: &mut FileKey| (&mut key.hash, &mut key.hint, &mut key.grace)),
    }
    .ok_or_else(|| ChangeError::FileManaged { what: "key", name: found.name.clone() })?;
    grace.retain(|old| old.until > scene.now);
    if grace_seconds == 0 {
        // Whoever wants the old secret dead wants those before it dead too.
        grace.clear();
    } else {
        grace.insert(0, KeyGrace { hash: hash.clone(), until });
        grace.truncate(MOST_GRACE);
    }
    *hash = issue::hash_secret(secret.expose());
    *hint = issue::hint(&secret);
    let log = Some(("rotate key", found.name.clone(), format!("{hint}, grace {grace_seconds} s")));
    let issued = Issued { id: found.id.clone(), name: found.name.clone(), secret };
    Ok(Outcome { issued: vec![issued], log })
}

fn put_route(held: &mut Held, route: Route, scene: &Scene<'_>, new: bool) -> Done {
    may_put("route", &route.model, scene.entities.route(&route.model).map(|route| route.origin), new)?;
    refuse_errors(check::route(&route, scene.entities))?;
    let model = route.model.clone();
    held.routes.insert(model.clone(), Route { origin: Origin::Store, ..route });
    logged(if new { "create route" } else { "update route" }, model, String::new())
}

fn put_profile(held: &mut Held, profile: Profile, scene: &Scene<'_>, new: bool) -> Done {
    may_put("profile", &profile.name, scene.entities.profile(&profile.name).map(|profile| profile.origin), new)?;
    refuse_errors(check::profile(&profile, scene.entities))?;
    let name = profile.name.clone();
    held.profiles.insert(name.clone(), Profile { origin: Origin::Store, ..profile });
    logged(if new { "create profile" } else { "update profile" }, name, String::new())
}

fn remove_profile(held: &mut Held, name: String, scene: &Scene<'_>) -> Done {
    own("profile", &name, scene.entities.profile(&name).map(|profile| profile.origin))?;
    if scene.entities.active_profile == name {
        return Err(ChangeError::Refused(told!(
            "profile-active",
            "the profile '{name}' is active: switch to another one first",
            name = name
        )));
    }
    if let Some(key) = scene.entities.keys.iter().find(|key| key.profile.as_ref() == Some(&name)) {
        let why = told!(
            "profile-active-for",
            "the profile '{name}' is active for the key '{key}': switch that one first",
            name = name,
            key = key.name,
        );
        return Err(ChangeError::Refused(why));
    }
    held.profiles.remove(&name);
    limits::drop_limits(held, |on| *on == Target::Profile(name.clone()));
    logged("remove profile", name, String::new())
}

fn use_profile(held: &mut Held, key: Option<&str>, profile: Option<String>, scene: &Scene<'_>) -> Done {
    if let Some(name) = profile.as_ref().filter(|name| !scene.entities.has_profile(name)) {
        return Err(ChangeError::NotFound { what: "profile", name: name.clone() });
    }
    let detail = profile.clone().unwrap_or_else(|| "the gateway's".to_owned());
    let (row, whose) = match key {
        None if profile.is_none() => {
            return Err(ChangeError::Refused(told!(
                "profile-needed",
                "the gateway needs an active profile: 'direct' maps nothing"
            )));
        }
        None => (GATEWAY.to_owned(), GATEWAY.to_owned()),
        Some(key) => {
            let found =
                scene.entities.key(key).ok_or_else(|| ChangeError::NotFound { what: "key", name: key.to_owned() })?;
            (found.id.clone(), found.name.clone())
        }
    };
    held.switches.insert(row, profile);
    logged("use profile", whose, detail)
}

/// Why a setting is never set here, if it is one of those.
fn set_elsewhere(name: &str) -> Option<Told> {
    match name {
        "active_profile" => Some(told!("set-by-switch", "switch the active profile instead")),
        "master_key" => {
            Some(told!("set-by-file", "the master key is named by the configuration file or the environment only"))
        }
        _ => None,
    }
}

fn set_settings(held: &mut Held, values: Map<String, Value>, scene: &Scene<'_>) -> Done {
    let mut flat = Vec::new();
    for (name, value) in values {
        match value {
            Value::Object(inner) => flat.extend(inner.into_iter().map(|(field, v)| (format!("{name}.{field}"), v))),
            value => flat.push((name, value)),
        }
    }
    let mut settings = scene.entities.settings.clone();
    let names = flat.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(", ");
    for (name, value) in flat {
        if let Some(why) = set_elsewhere(&name) {
            return Err(ChangeError::Refused(why));
        }
        if scene.entities.fixed_settings.contains(&name) {
            return Err(ChangeError::FileManaged { what: "setting", name });
        }
        let wrong = |why: Told| ChangeError::Invalid { problems: vec![Problem::error(&name, why)] };
        let value = if value.is_null() { default_of(&name, scene.declared) } else { value };
        let is_default = value == default_of(&name, scene.declared);
        settings = super::merge::with(&settings, &name, &value).map_err(wrong)?;
        if is_default {
            held.settings.remove(&name);
        } else {
            held.settings.insert(name, value);
        }
    }
    refuse_errors(check::settings(&settings))?;
    logged("set settings", names, String::new())
}

fn default_of(name: &str, declared: &Declared) -> Value {
    let tree = serde_json::to_value(&declared.settings).unwrap_or_default();
    tree.pointer(&format!("/{}", name.replace('.', "/"))).cloned().unwrap_or_default()
}

fn create_token(held: &mut Held, name: String, scene: &Scene<'_>) -> Done {
    refuse_errors(check::name("admin_tokens.name", &name).into_iter().collect())?;
    if held.tokens.values().any(|token| token.name == name) {
        return Err(ChangeError::Exists { what: "admin token", name });
    }
    let secret = issue::secret(issue::TOKEN_PREFIX)?;
    let token = AdminToken {
        id: issue::id("tok_")?,
        name,
        hash: issue::hash_secret(secret.expose()),
        hint: issue::hint(&secret),
        created: scene.now,
    };
    let issued = Issued { id: token.id.clone(), name: token.name.clone(), secret };
    let log = Some(("create admin token", token.name.clone(), token.hint.clone()));
    held.tokens.insert(token.id.clone(), token);
    Ok(Outcome { issued: vec![issued], log })
}

fn remove_token(held: &mut Held, token: &str) -> Done {
    let found = held.tokens.values().find(|own| own.id == token || own.name == token).cloned();
    let found = found.ok_or_else(|| ChangeError::NotFound { what: "admin token", name: token.to_owned() })?;
    held.tokens.remove(&found.id);
    logged("remove admin token", found.name, String::new())
}
