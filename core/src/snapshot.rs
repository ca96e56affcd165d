//! What the hot path reads: one immutable picture of keys, profiles, channels and models, swapped whole when anything changes.
//!
//! Built from the store's entities and the live channels. A request holds the picture that it started with, so a reload never breaks one in flight.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::limits::LimitTable;
use crate::model::{
    CacheMode, Channel, Entities, KeyBreaker, Limit, Measure, Policy, Profile, Settings, Target, VirtualKey, Window,
};
use crate::overrides::Overrides;
use crate::pricing::{Book, ModelLimits, Quote};
use crate::providers::LiveChannel;
use crate::routing::{
    CompiledProfile, Fleet, Glob, HeldKey, KeyLive, RoutingTable, TableChannel, Tariffs, Terms, offered,
};
use crate::upstream::Client;

/// Which configuration the picture in use was made of; nothing while nobody makes new pictures, as in a command that serves no requests.
#[derive(Debug, Default)]
pub struct InForce(watch::Sender<Option<Arc<Entities>>>);

impl InForce {
    /// A picture of `entities` is in use.
    pub(crate) fn set(&self, entities: &Arc<Entities>) {
        self.0.send_replace(Some(Arc::clone(entities)));
    }

    /// Waits until the picture in use is of the `newest` configuration.
    pub(crate) async fn reached(&self, newest: impl Fn() -> Arc<Entities>) {
        let mut own = self.0.subscribe();
        let _ = own.wait_for(|own| own.as_ref().is_none_or(|own| Arc::ptr_eq(own, &newest()))).await;
    }
}

/// One immutable picture of the configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// Settings of the gateway.
    pub settings: Settings,
    /// Channels that take part; positions agree with [`RoutingTable::channels`].
    pub lines: Vec<Line>,
    /// What routing knows.
    pub routing: RoutingTable,
    /// What deployments cost.
    pub prices: Arc<Book>,
    /// Which limits hold for whom.
    pub limits: Arc<LimitTable>,
    /// Fetches media that requests name by address.
    pub media: Arc<Client>,
    profiles: HashMap<String, Arc<CompiledProfile>>,
    profile_extras: HashMap<String, ProfileExtras>,
    route_policies: HashMap<String, Policy>,
    most_cached: CacheMode,
    rivals: bool,
    active_profile: Arc<CompiledProfile>,
    keys: HashMap<[u8; 32], (Arc<KeyEntry>, Option<u64>)>,
    anonymous: Option<Arc<KeyEntry>>,
}

/// What a profile says beside its rules.
#[derive(Debug)]
struct ProfileExtras {
    overrides: Arc<Overrides>,
    policy: Policy,
}

impl ProfileExtras {
    fn of(profile: &Profile) -> Self {
        let overrides = Overrides::compile(&profile.overrides).unwrap_or_else(|error| {
            tracing::error!(profile = profile.name, %error, "a profile's overrides are left out");
            Overrides::default()
        });
        Self { overrides: Arc::new(overrides), policy: profile.policy.clone() }
    }
}

/// What is known of deployments that routing asks for: sizes, prices, and how much a minute they may be asked.
#[derive(Debug)]
struct Known {
    prices: Arc<Book>,
    channels: HashMap<String, (Arc<Channel>, Vec<Pace>)>,
}

/// How much a minute a channel, or some of its models, may be asked.
#[derive(Debug)]
struct Pace {
    /// `None`: all models together.
    upstream: Option<Glob>,
    measure: Measure,
    a_minute: u64,
}

impl Pace {
    /// What a limit says of a channel; nothing if it speaks of longer times than a minute: how much of a day's quota is used no minute tells.
    fn of(limit: &Limit, channel: &Channel) -> Option<Self> {
        let upstream = match &limit.on {
            Target::Channel(name) if *name == channel.name => None,
            Target::Deployment { channel: name, model } if *name == channel.name => Some(Glob::new(model)),
            Target::Tag(tag) if channel.tags.contains(tag) => None,
            _ => return None,
        };
        let window = match limit.per? {
            Window::Rolling(ms) if ms <= MINUTE_MS => ms.max(1),
            _ => return None,
        };
        let counted = matches!(limit.measure, Measure::Requests | Measure::Tokens) && limit.models.is_empty();
        let a_minute = limit.amount.saturating_mul(MINUTE_MS) / window;
        (counted && limit.refuse).then_some(Self { upstream, measure: limit.measure, a_minute })
    }
}

const MINUTE_MS: u64 = 60_000;

impl Known {
    fn of(lines: &[Line], prices: Arc<Book>, limits: &[Limit]) -> Self {
        let channels = lines.iter().map(|line| {
            let config = &line.channel.config;
            let paces = limits.iter().filter_map(|limit| Pace::of(limit, config)).collect();
            (config.name.clone(), (Arc::clone(config), paces))
        });
        Self { prices, channels: channels.collect() }
    }
}

impl Tariffs for Known {
    fn terms(&self, channel: &TableChannel, upstream: &str) -> Terms {
        let Some((config, paces)) = self.channels.get(&channel.name) else { return Terms::default() };
        let limits = self.prices.limits(config, upstream);
        let pace = |measure: Measure| {
            let own = paces.iter().filter(|pace| pace.measure == measure);
            let own = own.filter(|pace| pace.upstream.as_ref().is_none_or(|glob| glob.matches(upstream)));
            own.map(|pace| pace.a_minute).min()
        };
        Terms { context: limits.context.or(limits.input), rpm: pace(Measure::Requests), tpm: pace(Measure::Tokens) }
    }

    fn cost(&self, channel: &TableChannel, upstream: &str, input: u64, output: u64, now_ms: u64) -> Option<u64> {
        let quote = self.prices.quote(&self.channels.get(&channel.name)?.0, upstream);
        quote.estimate(input, output, now_ms).and_then(|cost| u64::try_from(cost.0).ok())
    }
}

/// A live channel with its connections.
#[derive(Debug, Clone)]
pub struct Line {
    /// The channel.
    pub channel: Arc<LiveChannel>,
    /// Its connections; channels that connect alike share them.
    pub client: Arc<Client>,
}

/// A virtual key with its allow-lists ready to match.
#[derive(Debug)]
pub struct KeyEntry {
    /// The key.
    pub key: VirtualKey,
    models: Vec<Glob>,
    /// The nodes that it belongs to, from the nearest to the farthest, as `kind:name`.
    pub owners: Vec<String>,
    /// Whether its traffic is out of the ordinary; `None`: nobody looks.
    live: Option<Arc<KeyLive>>,
}

impl KeyEntry {
    fn new(key: VirtualKey, entities: &Entities, fleet: &Fleet) -> Self {
        let rules = key.policy.key_breaker.as_ref().or(entities.settings.policy.key_breaker.as_ref());
        let live = fleet.key(&key.id);
        live.follow(rules);
        let live = rules.is_some_and(KeyBreaker::watches).then_some(live);
        let models = key.models.iter().map(Glob::new).collect();
        let owners = entities.owner_chain(key.owner.as_ref()).iter().map(ToString::to_string).collect();
        Self { key, models, owners, live }
    }

    /// Why the key is held back now, if it is.
    pub fn held(&self, now_ms: u64) -> Option<HeldKey> {
        self.live.as_ref()?.held(now_ms)
    }

    /// A key without limits that nobody has: for looking what would happen.
    pub fn unlimited() -> Self {
        Self { key: VirtualKey::default(), models: Vec::new(), owners: Vec::new(), live: None }
    }

    /// Whether the key may ask for `model`.
    pub fn allows_model(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|glob| glob.matches(model))
    }

    /// Whether `channel` may serve the key.
    pub fn allows_channel(&self, channel: &TableChannel) -> bool {
        self.key.channels.is_empty()
            || self.key.channels.iter().any(|allowed| match allowed.strip_prefix("tag:") {
                Some(tag) => channel.tags.iter().any(|own| own == tag),
                None => *allowed == channel.name,
            })
    }

    /// The one model that the key may ask for, if there is just one: Dify's requests name none.
    pub fn only_model(&self) -> Option<&str> {
        match self.key.models.as_slice() {
            [only] if self.models.iter().all(Glob::is_exact) => Some(only),
            _ => None,
        }
    }
}

impl Snapshot {
    /// Builds the picture. `lines` are the enabled channels; `fleet` is what traffic taught about them. A profile that does not compile is left out and reported; `direct` is always there.
    pub fn build(entities: &Entities, lines: Vec<Line>, media: Arc<Client>, fleet: &Arc<Fleet>) -> Self {
        let table = lines.iter().map(|line| table_channel(&line.channel)).collect();
        let routes = entities.routes.iter().cloned();
        let prices = Arc::new(Book::new(Arc::clone(&entities.prices)));
        let tariffs = Arc::new(Known::of(&lines, Arc::clone(&prices), &entities.limits));
        let routing = RoutingTable::new(table, routes, fleet.clone(), tariffs, entities.settings.strategy);
        let direct = ("direct".to_owned(), Arc::new(CompiledProfile::direct()));
        let mut profiles = HashMap::from_iter([direct]);
        for profile in &entities.profiles {
            match CompiledProfile::compile(profile) {
                Ok(compiled) => {
                    profiles.insert(profile.name.clone(), Arc::new(compiled));
                }
                Err(error) => tracing::error!(%error, "a profile is left out"),
            }
        }
        let active_profile = profiles.get(&entities.active_profile).cloned().unwrap_or_else(|| {
            tracing::warn!(profile = entities.active_profile, "the active profile does not exist; using direct");
            Arc::new(CompiledProfile::direct())
        });
        let mut keys = HashMap::new();
        let mut anonymous = None;
        let mut watches = false;
        for key in &entities.keys {
            let entry = Arc::new(KeyEntry::new(key.clone(), entities, fleet));
            watches |= entry.live.is_some();
            let hashes = key.grace.iter().map(|grace| (grace.hash.as_str(), Some(grace.until)));
            for (hash, until) in hashes.chain([(key.hash.as_str(), None)]) {
                if let Some(hash) = unhex(hash) {
                    keys.insert(hash, (entry.clone(), until));
                }
            }
            if entities.settings.anonymous_key.as_deref() == Some(key.name.as_str()) {
                anonymous = Some(entry);
            }
        }
        fleet.watch_keys(watches);
        let profile_extras =
            entities.profiles.iter().map(|profile| (profile.name.clone(), ProfileExtras::of(profile))).collect();
        let routed = entities.routes.iter().filter(|route| !route.policy.is_empty());
        let route_policies = routed.map(|route| (route.model.clone(), route.policy.clone())).collect();
        Self {
            settings: entities.settings.clone(),
            lines,
            routing,
            prices,
            limits: Arc::default(),
            media,
            profiles,
            profile_extras,
            route_policies,
            most_cached: policies(entities).filter_map(|policy| policy.cache.mode).max().unwrap_or_default(),
            rivals: policies(entities).any(has_rivals),
            active_profile,
            keys,
            anonymous,
        }
    }

    /// What a deployment costs: a channel by its position, a model by the upstream's name. `None`: there is no such channel.
    pub fn quote(&self, channel: usize, upstream: &str) -> Option<Arc<Quote>> {
        let line = self.lines.get(channel)?;
        Some(self.prices.quote(&line.channel.config, upstream))
    }

    /// What the model of a deployment can take and give; empty if nothing is known.
    pub fn model_limits(&self, channel: usize, upstream: &str) -> ModelLimits {
        self.lines.get(channel).map(|line| self.prices.limits(&line.channel.config, upstream)).unwrap_or_default()
    }

    /// The same picture with these limits.
    #[must_use]
    pub fn limited(self, limits: Arc<LimitTable>) -> Self {
        Self { limits, ..self }
    }

    /// The key whose secret this is. Lookup is by SHA-256, so time tells nothing about the secret. A rotated secret works until its grace ends.
    pub fn key(&self, secret: &str, now_ms: u64) -> Option<Arc<KeyEntry>> {
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let (entry, until) = self.keys.get(&hash)?;
        until.is_none_or(|until| now_ms < until).then(|| entry.clone())
    }

    /// The key of that id or name.
    pub fn key_named(&self, id_or_name: &str) -> Option<Arc<KeyEntry>> {
        let named = |entry: &&Arc<KeyEntry>| entry.key.id == id_or_name || entry.key.name == id_or_name;
        self.keys.values().map(|(entry, _)| entry).find(named).cloned()
    }

    /// A key of that tool.
    pub fn key_of_tool(&self, tool: &str) -> Option<Arc<KeyEntry>> {
        let owned = self.keys.values().map(|(entry, _)| entry).filter(|entry| entry.key.tool.as_deref() == Some(tool));
        owned.min_by(|a, b| a.key.name.cmp(&b.key.name)).cloned()
    }

    /// The key that keyless requests on a loopback listener count as.
    pub fn anonymous_key(&self) -> Option<Arc<KeyEntry>> {
        self.anonymous.clone()
    }

    /// A profile by name.
    pub fn profile(&self, name: &str) -> Option<Arc<CompiledProfile>> {
        self.profiles.get(name).cloned()
    }

    /// The overrides of a profile.
    pub fn profile_overrides(&self, name: &str) -> Option<&Arc<Overrides>> {
        self.profile_extras.get(name).map(|extras| &extras.overrides)
    }

    /// The policies that hold for a request, narrowest first.
    pub fn policies<'a>(&'a self, key: &'a KeyEntry, route: &str, profile: &str) -> [Option<&'a Policy>; 4] {
        let said = |policy: &'a Policy| (!policy.is_empty()).then_some(policy);
        [
            said(&key.key.policy),
            self.route_policies.get(route),
            self.profile_extras.get(profile).and_then(|extras| said(&extras.policy)),
            said(&self.settings.policy),
        ]
    }

    /// The most that any policy keeps of answers.
    pub fn most_cached(&self) -> CacheMode {
        self.most_cached
    }

    /// Whether any policy has to know a whole body before its request is sent anywhere.
    pub fn wants_whole_bodies(&self) -> bool {
        self.most_cached != CacheMode::Off || self.rivals
    }

    /// Whether any route has a policy of its own.
    pub fn has_route_policies(&self) -> bool {
        !self.route_policies.is_empty()
    }

    /// The gateway's active profile.
    pub fn active_profile(&self) -> Arc<CompiledProfile> {
        self.active_profile.clone()
    }
}

/// Every policy that is said anywhere.
fn policies(entities: &Entities) -> impl Iterator<Item = &Policy> {
    let keys = entities.keys.iter().map(|key| &key.policy);
    let routes = entities.routes.iter().map(|route| &route.policy);
    let profiles = entities.profiles.iter().map(|profile| &profile.policy);
    keys.chain(routes).chain(profiles).chain([&entities.settings.policy])
}

/// Whether a policy sends a request to several.
fn has_rivals(policy: &Policy) -> bool {
    policy.race.is_some_and(|race| race > 1)
        || policy.hedge_after_ms.is_some_and(|ms| ms > 0)
        || policy.mirror.is_some()
}

fn table_channel(channel: &LiveChannel) -> TableChannel {
    let config = &channel.config;
    let models: Vec<(String, String)> = match &config.models {
        Some(models) => models.iter().map(|model| (model.name().to_owned(), model.upstream().to_owned())).collect(),
        None => config.listed.iter().map(|model| (model.clone(), model.clone())).collect(),
    };
    TableChannel {
        name: config.name.clone(),
        provider: config.provider.clone(),
        tags: config.tags.clone(),
        weight: config.weight,
        models: offered(models, &config.names),
        credentials: channel.credential_marks(),
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}
