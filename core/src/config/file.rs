//! The shape of the file's tables, and how they become what the rest of the gateway speaks of.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::check::Problem;
use crate::model::{
    BodyPolicy, Channel, ChannelModel, ChannelState, Credential, ModelTuning, Multiplier, Origin, Override, Owner,
    OwnerKind, OwnerRef, Policy, Profile, ProfileRule, Retry, Route, RouteGroup, SecretSource, Strategy, Timeouts,
    VirtualKey,
};

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
            problems.push(Problem::error(path, "has both base_url and base_urls: take one"));
        }
        let credentials = self.credentials.iter().map(|text| Credential { secret: SecretSource::parse(text) });
        Channel {
            name: self.name,
            provider: self.provider,
            base_urls: self.base_urls.unwrap_or_else(|| self.base_url.into_iter().collect()),
            credentials: credentials.collect(),
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
    #[serde(default)]
    policy: Policy,
}

impl FileKey {
    pub(super) fn into_key(self, problems: &mut Vec<Problem>) -> VirtualKey {
        let expires = self.expires.and_then(|value| match time(&value) {
            Some(at) => Some(at),
            None => {
                let why = format!("{value} is no time: write 2030-12-31 or 2030-12-31T18:00:00Z");
                problems.push(Problem::error(format!("keys.{}.expires", self.name), why));
                None
            }
        });
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
    groups: Vec<FileGroup>,
    #[serde(default)]
    policy: Policy,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGroup {
    strategy: Option<String>,
    #[serde(rename = "use")]
    targets: Vec<String>,
}

/// Strategies with what each is done by today; those with a note are known words whose own way of choosing is not there yet.
const STRATEGIES: [(&str, Strategy, bool); 12] = [
    ("weighted", Strategy::Weighted, true),
    ("ordered", Strategy::Ordered, true),
    ("weighted-shuffle", Strategy::Weighted, true),
    ("round-robin", Strategy::Weighted, false),
    ("random", Strategy::Weighted, false),
    ("least-busy", Strategy::Weighted, false),
    ("lowest-latency", Strategy::Weighted, false),
    ("lowest-tpm-rpm", Strategy::Weighted, false),
    ("lowest-cost", Strategy::Weighted, false),
    ("tag-based", Strategy::Weighted, false),
    ("context-fit", Strategy::Weighted, false),
    ("adaptive", Strategy::Weighted, false),
];

impl FileRoute {
    pub(super) fn into_route(self, problems: &mut Vec<Problem>) -> Route {
        let model = self.model;
        let mut groups = Vec::new();
        for (index, group) in self.groups.into_iter().enumerate() {
            let path = format!("routes.{model}.groups[{index}].strategy");
            let strategy = group.strategy.map_or(Strategy::default(), |word| strategy(&path, &word, problems));
            groups.push(RouteGroup { strategy, targets: group.targets });
        }
        Route { model, groups, policy: self.policy, origin: Origin::File }
    }
}

fn strategy(path: &str, word: &str, problems: &mut Vec<Problem>) -> Strategy {
    match STRATEGIES.iter().find(|(own, ..)| *own == word) {
        Some((_, strategy, true)) => *strategy,
        Some((_, strategy, false)) => {
            let why = format!("'{word}' is not built yet: the group chooses by weight");
            problems.push(Problem::warning(path, why));
            *strategy
        }
        None => {
            let known: Vec<&str> = STRATEGIES.iter().filter(|(.., built)| *built).map(|(word, ..)| *word).collect();
            problems
                .push(Problem::error(path, format!("there is no strategy '{word}': known are {}", known.join(", "))));
            Strategy::default()
        }
    }
}

/// `[[profiles]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileProfile {
    name: String,
    #[serde(default)]
    rules: Vec<ProfileRule>,
    #[serde(default)]
    overrides: Vec<Override>,
    #[serde(default)]
    policy: Policy,
}

impl FileProfile {
    pub(super) fn into_profile(self) -> Profile {
        Profile {
            name: self.name,
            rules: self.rules,
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
