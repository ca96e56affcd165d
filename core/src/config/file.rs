//! The shape of the file's tables, and how they become what the rest of the gateway speaks of.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::check::Problem;
use crate::model::{
    BodyPolicy, Channel, ChannelModel, ChannelProbe, ChannelState, Conditions, Credential, DisableRule, ModelNames,
    ModelTuning, Multiplier, Origin, Override, Owner, OwnerKind, OwnerRef, Policy, Profile, ProfileRule, Retry, Route,
    RouteGroup, SecretSource, Strategy, Timeouts, VirtualKey, one_or_many,
};
use crate::told;

/// `[[channels]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileChannel {
    name: String,
    provider: String,
    base_url: Option<String>,
    base_urls: Option<Vec<String>>,
    #[serde(default)]
    credentials: Vec<String>,
    models: Option<Vec<ChannelModel>>,
    #[serde(default)]
    names: ModelNames,
    #[serde(default)]
    disable: Vec<DisableRule>,
    probe: Option<ChannelProbe>,
    #[serde(default)]
    tags: Vec<String>,
    weight: Option<u32>,
    enabled: Option<bool>,
    #[serde(default)]
    options: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    dialect: Map<String, Value>,
    #[serde(default)]
    timeouts: Timeouts,
    proxy: Option<String>,
    ca: Option<String>,
    #[serde(default)]
    retry: Retry,
    #[serde(default)]
    overrides: Vec<Override>,
    #[serde(default)]
    for_models: Vec<ModelTuning>,
    #[serde(default)]
    price_multiplier: Multiplier,
    prices_of: Option<String>,
    #[serde(default)]
    allow_link_local: bool,
}

impl FileChannel {
    pub(super) fn into_channel(self, problems: &mut Vec<Problem>) -> Channel {
        if self.base_url.is_some() && self.base_urls.is_some() {
            let path = format!("channels.{}.base_url", self.name);
            problems.push(Problem::error(path, told!("base-twice", "has both base_url and base_urls: take one")));
        }
        let credentials = self.credentials.iter().map(|text| Credential { secret: SecretSource::parse(text) });
        Channel {
            name: self.name,
            provider: self.provider,
            base_urls: self.base_urls.unwrap_or_else(|| self.base_url.into_iter().collect()),
            credentials: credentials.collect(),
            names: self.names,
            disable: self.disable,
            probe: self.probe,
            models: self.models,
            tags: self.tags,
            weight: self.weight.unwrap_or(1),
            enabled: self.enabled.unwrap_or(true),
            state: ChannelState::default(),
            options: self.options,
            headers: self.headers,
            dialect: self.dialect,
            timeouts: self.timeouts,
            proxy: self.proxy,
            ca: self.ca,
            retry: self.retry,
            overrides: self.overrides,
            for_models: self.for_models,
            price_multiplier: self.price_multiplier,
            prices_of: self.prices_of,
            allow_link_local: self.allow_link_local,
            listed: Vec::new(),
            origin: Origin::File,
        }
    }
}

/// `[[keys]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileKey {
    name: String,
    pub(super) secret: Option<String>,
    profile: Option<String>,
    expires: Option<toml::Value>,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    formats: Vec<String>,
    tool: Option<String>,
    owner: Option<OwnerRef>,
    #[serde(default)]
    strict: bool,
    bodies: Option<BodyPolicy>,
    strategy: Option<String>,
    #[serde(default)]
    policy: Policy,
}

impl FileKey {
    pub(super) fn into_key(self, problems: &mut Vec<Problem>) -> VirtualKey {
        let expires = self.expires.and_then(|value| match time(&value) {
            Some(at) => Some(at),
            None => {
                let why =
                    told!("bad-date", "{value} is no time: write 2030-12-31 or 2030-12-31T18:00:00Z", value = value);
                problems.push(Problem::error(format!("keys.{}.expires", self.name), why));
                None
            }
        });
        let path = format!("keys.{}.strategy", self.name);
        let strategy = self.strategy.and_then(|word| strategy(&path, &word, problems));
        VirtualKey {
            id: String::new(),
            name: self.name,
            hash: String::new(),
            hint: String::new(),
            grace: Vec::new(),
            created: 0,
            expires,
            blocked: self.blocked,
            models: self.models,
            channels: self.channels,
            formats: self.formats,
            profile: self.profile,
            tool: self.tool,
            owner: self.owner,
            strict: self.strict,
            bodies: self.bodies,
            strategy,
            policy: self.policy,
            origin: Origin::File,
        }
    }
}

/// Milliseconds since 1970 of a date or time; without a zone it is UTC.
fn time(value: &toml::Value) -> Option<u64> {
    let text = match value {
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::String(text) => text.clone(),
        _ => return None,
    };
    let utc = jiff::tz::TimeZone::UTC;
    let stamp = text
        .parse::<jiff::Timestamp>()
        .ok()
        .or_else(|| Some(text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(utc.clone()).ok()?.timestamp()))
        .or_else(|| Some(text.parse::<jiff::civil::Date>().ok()?.to_zoned(utc).ok()?.timestamp()))?;
    u64::try_from(stamp.as_millisecond()).ok()
}

/// `[[routes]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRoute {
    model: String,
    #[serde(default, deserialize_with = "one_or_many")]
    also: Vec<String>,
    regex: Option<String>,
    #[serde(default, rename = "if")]
    conditions: Conditions,
    strategy: Option<String>,
    groups: Vec<FileGroup>,
    #[serde(default)]
    policy: Policy,
}

impl FileRoute {
    pub(super) fn into_route(self, problems: &mut Vec<Problem>) -> Route {
        let model = self.model;
        let path = format!("routes.{model}");
        let strategy = self.strategy.and_then(|word| strategy(&format!("{path}.strategy"), &word, problems));
        let mut groups = Vec::new();
        for (index, group) in self.groups.into_iter().enumerate() {
            let path = format!("{path}.groups[{index}].strategy");
            groups.push(RouteGroup {
                strategy: group.strategy.and_then(|word| self::strategy(&path, &word, problems)),
                conditions: group.conditions,
                targets: group.targets,
                exclude: group.exclude,
            });
        }
        Route {
            model,
            also: self.also,
            regex: self.regex,
            conditions: self.conditions,
            strategy,
            groups,
            policy: self.policy,
            origin: Origin::File,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGroup {
    strategy: Option<String>,
    #[serde(default, rename = "if")]
    conditions: Conditions,
    #[serde(rename = "use", deserialize_with = "one_or_many")]
    targets: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    exclude: Vec<String>,
}

/// The strategy of a word; none of that name is an error that names those there are.
fn strategy(path: &str, word: &str, problems: &mut Vec<Problem>) -> Option<Strategy> {
    let found = Strategy::of(word);
    if found.is_none() {
        let known: Vec<&str> = Strategy::WORDS.iter().map(|(_, word)| *word).collect();
        let told = told!(
            "no-strategy",
            "there is no strategy '{strategy}': known are {known}",
            strategy = word,
            known = known.join(", ")
        );
        problems.push(Problem::error(path, told));
    }
    found
}

/// `[[profiles]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileProfile {
    name: String,
    description: Option<String>,
    #[serde(default)]
    rules: Vec<ProfileRule>,
    #[serde(default, deserialize_with = "one_or_many")]
    channels: Vec<String>,
    strategy: Option<String>,
    #[serde(default)]
    overrides: Vec<Override>,
    #[serde(default)]
    policy: Policy,
}

impl FileProfile {
    pub(super) fn into_profile(self, problems: &mut Vec<Problem>) -> Profile {
        let path = format!("profiles.{}.strategy", self.name);
        Profile {
            name: self.name,
            description: self.description,
            rules: self.rules,
            channels: self.channels,
            strategy: self.strategy.and_then(|word| strategy(&path, &word, problems)),
            overrides: self.overrides,
            policy: self.policy,
            origin: Origin::File,
        }
    }
}

/// `[[owners]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileOwner {
    kind: OwnerKind,
    name: String,
    parent: Option<OwnerRef>,
}

impl FileOwner {
    pub(super) fn into_owner(self) -> Owner {
        Owner { kind: self.kind, name: self.name, parent: self.parent, origin: Origin::File }
    }
}
