//! From a target name to groups of deployments.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;

use super::Query;
use super::live::{ChannelLive, CredentialLive, DeploymentLive, Errand, Fleet, Rotor};
use super::name;
use super::route::{CompiledGroup, CompiledRoute, Models, Target};
use crate::model::{Route, Strategy};

/// A channel and its credentials.
type Lives = (Arc<ChannelLive>, Arc<[Arc<CredentialLive>]>);

/// Rotations of targets that no route names; clients can make up names.
const MOST_ROTORS: usize = 4_096;

/// What routing knows of the channels, models and routes: built with each snapshot.
#[derive(Debug)]
pub struct RoutingTable {
    /// Enabled channels, by position.
    pub channels: Vec<TableChannel>,
    /// How to choose where nobody says it.
    pub strategy: Strategy,
    pub(super) fleet: Arc<Fleet>,
    tariffs: Arc<dyn Tariffs>,
    routes: HashMap<String, Arc<CompiledRoute>>,
    /// Routes that take names by pattern, in the order of the configuration.
    patterns: Vec<Arc<CompiledRoute>>,
    by_name: HashMap<String, usize>,
    /// What traffic taught about each channel and its credentials.
    lives: Vec<Lives>,
    /// Deployments by the name that clients ask for.
    by_model: HashMap<String, Arc<Group>>,
    /// The same names in lower case, for those that are written otherwise.
    by_lower: HashMap<String, String>,
    rotors: RwLock<HashMap<String, Arc<Rotor>>>,
}

/// What routing knows of one channel.
#[derive(Debug, Clone, Default)]
pub struct TableChannel {
    /// Its name.
    pub name: String,
    /// Its row in the catalog of providers.
    pub provider: String,
    /// Its labels.
    pub tags: Vec<String>,
    /// Its share.
    pub weight: u32,
    /// Name for clients and name upstream of each model.
    pub models: Vec<(String, String)>,
    /// Marks of its credentials, in their order; empty: it needs none.
    pub credentials: Vec<u64>,
}

/// What providers promise and ask: sizes, limits and prices. Whoever knows them hands them in.
pub trait Tariffs: Send + Sync + std::fmt::Debug {
    /// What is known of a model of a channel.
    fn terms(&self, channel: &TableChannel, upstream: &str) -> Terms {
        let _ = (channel, upstream);
        Terms::default()
    }

    /// What a request of so many tokens would cost there, in nano-dollars; `None`: no price is known.
    fn cost(&self, channel: &TableChannel, upstream: &str, input: u64, output: u64, now_ms: u64) -> Option<u64> {
        let _ = (channel, upstream, input, output, now_ms);
        None
    }
}

/// Nothing is known.
#[derive(Debug, Default)]
pub struct NoTariffs;

impl Tariffs for NoTariffs {}

/// What is known of a model of a channel; `None`: not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// The most tokens of prompt and answer together.
    pub context: Option<u64>,
    /// Requests that it may take in a minute.
    pub rpm: Option<u64>,
    /// Tokens that it may take in a minute.
    pub tpm: Option<u64>,
}

/// One channel with the name of a model there.
#[derive(Clone)]
pub struct Deployment {
    /// Position in [`RoutingTable::channels`].
    pub channel: usize,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// Share within its group.
    pub weight: u32,
    /// What traffic taught about it.
    pub live: Arc<DeploymentLive>,
    /// What traffic taught about its channel.
    pub channel_live: Arc<ChannelLive>,
    /// Its channel's credentials; never empty.
    pub credentials: Arc<[Arc<CredentialLive>]>,
}

/// Deployments of equal rank.
#[derive(Clone)]
pub struct Group {
    /// How to choose.
    pub strategy: Strategy,
    /// The deployments, in the order of the configuration.
    pub deployments: Vec<Deployment>,
    pub(super) rotor: Arc<Rotor>,
}

/// What it is, and nothing that traffic changes: the answer cache tells groups apart by it.
impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} x{}", self.live.channel, self.upstream, self.weight)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.strategy.word(), self.deployments)
    }
}

/// What a name means.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// Groups in order, the later ones cold standby.
    Groups(Vec<Arc<Group>>),
    /// The built-in model that repeats what it is told.
    Echo,
    /// Nobody offers it.
    Unknown,
}

/// The name of the built-in model.
pub const ECHO: &str = "echo";

impl Default for RoutingTable {
    fn default() -> Self {
        Self::new(Vec::new(), [], Arc::default(), Arc::new(NoTariffs), Strategy::default())
    }
}

impl RoutingTable {
    /// Indexes channels and routes. A route that does not compile is left out and reported.
    pub fn new(
        channels: Vec<TableChannel>,
        routes: impl IntoIterator<Item = Route>,
        fleet: Arc<Fleet>,
        tariffs: Arc<dyn Tariffs>,
        strategy: Strategy,
    ) -> Self {
        let by_name = channels.iter().enumerate().map(|(index, channel)| (channel.name.clone(), index)).collect();
        let mut table = Self {
            channels,
            strategy,
            fleet,
            tariffs,
            routes: HashMap::default(),
            patterns: Vec::new(),
            by_name,
            lives: Vec::new(),
            by_model: HashMap::default(),
            by_lower: HashMap::default(),
            rotors: RwLock::default(),
        };
        table.lives = table.channels.iter().map(|channel| lives(&table.fleet, channel)).collect();
        let mut by_model: HashMap<String, Vec<Deployment>> = HashMap::default();
        for (index, channel) in table.channels.iter().enumerate() {
            for (name, upstream) in &channel.models {
                let deployment = table.deployment(index, upstream);
                by_model.entry(name.clone()).or_default().extend(deployment);
            }
        }
        table.by_lower = by_model.keys().map(|name| (name.to_lowercase(), name.clone())).collect();
        let group = |deployments| Arc::new(Group { strategy, deployments, rotor: Arc::default() });
        table.by_model = by_model.into_iter().map(|(name, deployments)| (name, group(deployments))).collect();
        for mut route in routes {
            route.strategy = route.strategy.or(Some(strategy));
            match CompiledRoute::compile(&route).map(Arc::new) {
                Ok(compiled) => {
                    if !route.also.is_empty() || route.regex.is_some() {
                        table.patterns.push(compiled.clone());
                    }
                    table.routes.insert(route.model, compiled);
                }
                Err(error) => tracing::error!(route = route.model, error, "a route is left out"),
            }
        }
        table
    }

    /// Every name that a client may ask for: routes and models, sorted, each once.
    pub fn names(&self) -> Vec<&str> {
        let routed = self.routes.values().flat_map(|route| route.names());
        let mut names: Vec<&str> = routed.chain(self.by_model.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether a route takes this name.
    pub fn is_routed(&self, name: &str) -> bool {
        self.routes.contains_key(name) || self.patterns.iter().any(|route| route.takes(name))
    }

    /// Names of the channels that list `model`.
    pub fn owners(&self, model: &str) -> impl Iterator<Item = &str> {
        let deployments = self.by_model.get(model).into_iter().flat_map(|group| &group.deployments);
        deployments.filter_map(|deployment| self.channels.get(deployment.channel)).map(|channel| channel.name.as_str())
    }

    /// What a request of so many tokens would cost there, in nano-dollars.
    pub(super) fn cost(&self, deployment: &Deployment, input: u64, output: u64, now_ms: u64) -> Option<u64> {
        let channel = self.channels.get(deployment.channel)?;
        self.tariffs.cost(channel, &deployment.upstream, input, output, now_ms)
    }

    /// What is known of a deployment.
    pub(super) fn terms(&self, deployment: &Deployment) -> Terms {
        let channel = self.channels.get(deployment.channel);
        channel.map(|channel| self.tariffs.terms(channel, &deployment.upstream)).unwrap_or_default()
    }

    /// The channel of that name.
    pub fn channel(&self, name: &str) -> Option<&TableChannel> {
        self.channels.get(*self.by_name.get(name)?)
    }

    /// What traffic taught about a credential of a channel.
    pub fn credential(&self, channel: &str, position: u32) -> Option<&Arc<CredentialLive>> {
        let (_, credentials) = self.lives.get(*self.by_name.get(channel)?)?;
        credentials.get(usize::try_from(position).ok()?)
    }

    /// What `target` means when the client asked for `asked`. A target is a model, a route, `channel/model`, `channel/*` or `tag:t`.
    ///
    /// `x/y` names a channel only if channel `x` exists; else it is a model name. A route wins over a model of the same name, unless its conditions do
    /// not hold. A channel named outright serves any model name, listed or not: lists of providers are often incomplete.
    pub fn resolve(&self, target: &str, asked: &str, query: &mut dyn Query) -> Resolution {
        if target == ECHO {
            return Resolution::Echo;
        }
        if let Some(route) = self.route(target, query) {
            let groups: Vec<Arc<Group>> =
                route.groups.iter().filter_map(|group| self.group(group, asked, query)).collect();
            return if groups.is_empty() { Resolution::Unknown } else { Resolution::Groups(groups) };
        }
        if let Some(group) = self.by_model.get(target) {
            return Resolution::Groups(vec![group.clone()]);
        }
        let deployments = match Target::parse(target) {
            Ok(target) => self.deployments(&target, asked),
            Err(_) => Vec::new(),
        };
        if deployments.is_empty() {
            return self.otherwise(target);
        }
        let rotor = self.rotor(target);
        Resolution::Groups(vec![Arc::new(Group { strategy: self.strategy, deployments, rotor })])
    }

    /// The route for a name: by its own name, else by pattern, and only if its conditions hold.
    fn route(&self, name: &str, query: &mut dyn Query) -> Option<Arc<CompiledRoute>> {
        let exact = self.routes.get(name).filter(|route| route.conditions.broken(query).is_none());
        let found = match exact {
            Some(route) => Some(route),
            None => self.patterns.iter().find(|route| route.takes(name) && route.conditions.broken(query).is_none()),
        };
        found.cloned()
    }

    fn group(&self, group: &CompiledGroup, asked: &str, query: &mut dyn Query) -> Option<Arc<Group>> {
        if !group.conditions.is_empty() && group.conditions.broken(query).is_some() {
            return None;
        }
        let mut deployments: Vec<Deployment> = Vec::new();
        for target in &group.targets {
            for found in self.deployments(target, asked) {
                let excluded =
                    self.channels.get(found.channel).is_none_or(|channel| group.excludes(channel, &found.upstream));
                // Two patterns may find the same one.
                if !excluded && !deployments.iter().any(|own| own.live.id == found.live.id) {
                    deployments.push(found);
                }
            }
        }
        let made = Group { strategy: group.strategy, deployments, rotor: group.rotor.clone() };
        (!made.deployments.is_empty()).then(|| Arc::new(made))
    }

    fn deployments(&self, target: &Target, asked: &str) -> Vec<Deployment> {
        match target {
            Target::Tag(tag, models) => {
                let tagged = self.channels.iter().enumerate();
                let tagged = tagged.filter(|(_, channel)| channel.tags.iter().any(|own| own == tag));
                tagged.flat_map(|(index, _)| self.of_channel(index, models, asked, false)).collect()
            }
            Target::Channel(name, models) => match self.by_name.get(name) {
                Some(&index) => self.of_channel(index, models, asked, true),
                // No channel of that name: the slash is part of a model's name.
                None => match models {
                    Models::Named(model) => self.listed(&format!("{name}/{model}")),
                    _ => Vec::new(),
                },
            },
            Target::Any(Models::Named(model)) => self.listed(model),
            Target::Any(models) => {
                (0..self.channels.len()).flat_map(|index| self.of_channel(index, models, asked, false)).collect()
            }
        }
    }

    fn listed(&self, model: &str) -> Vec<Deployment> {
        self.by_model.get(model).map(|group| group.deployments.clone()).unwrap_or_default()
    }

    /// Models of one channel. `outright`: the channel was named, so it may be asked for what it does not list.
    fn of_channel(&self, index: usize, models: &Models, asked: &str, outright: bool) -> Vec<Deployment> {
        let Some(channel) = self.channels.get(index) else { return Vec::new() };
        let named = match models {
            Models::Asked => asked,
            Models::Named(name) => name,
            Models::Glob(_) | Models::Regex(_) => {
                let fitting = channel.models.iter().filter(|(name, _)| models.fits(name));
                return fitting.filter_map(|(_, upstream)| self.deployment(index, upstream)).collect();
            }
        };
        let listed = channel.models.iter().find(|(name, _)| name == named).map(|(_, upstream)| upstream.as_str());
        // `channel/*` for a name with a vendor before it: the provider may know it without.
        let upstream = listed.or(outright.then_some(named));
        upstream.and_then(|upstream| self.deployment(index, upstream)).into_iter().collect()
    }

    /// A name that nobody offers just so: read as other programs write it, as `vendor/model` of a channel's provider, or in other letters.
    fn otherwise(&self, target: &str) -> Resolution {
        if name::readings(target).any(|reading| reading == ECHO) {
            return Resolution::Echo;
        }
        for reading in name::readings(target) {
            if let Some(group) = self.by_model.get(reading) {
                return Resolution::Groups(vec![group.clone()]);
            }
        }
        if let Some((vendor, model)) = target.split_once('/') {
            let own = |channel: &TableChannel| channel.provider.eq_ignore_ascii_case(vendor);
            let found: Vec<Deployment> = self
                .listed(model)
                .into_iter()
                .filter(|found| self.channels.get(found.channel).is_some_and(own))
                .collect();
            if !found.is_empty() {
                let rotor = self.rotor(target);
                return Resolution::Groups(vec![Arc::new(Group {
                    strategy: self.strategy,
                    deployments: found,
                    rotor,
                })]);
            }
        }
        let lower = self.by_lower.get(&target.to_lowercase()).and_then(|name| self.by_model.get(name));
        lower.map_or(Resolution::Unknown, |group| Resolution::Groups(vec![group.clone()]))
    }

    fn deployment(&self, index: usize, upstream: &str) -> Option<Deployment> {
        let channel = self.channels.get(index)?;
        let live = self.fleet.deployment(&channel.name, upstream, Errand::Conversation);
        let (channel_live, credentials) = self.lives.get(index)?;
        Some(Deployment {
            channel: index,
            upstream: live.upstream.clone(),
            weight: channel.weight,
            live,
            channel_live: channel_live.clone(),
            credentials: credentials.clone(),
        })
    }

    /// A group with what is known of its deployments at another errand. It has turns of its own, for they are known by other identities.
    pub(super) fn turned_group(&self, group: &Group, errand: Errand) -> Group {
        let mut turned = group.clone();
        for deployment in &mut turned.deployments {
            deployment.live = self.fleet.deployment(&deployment.live.channel, &deployment.upstream, errand);
        }
        turned
    }

    /// The rotation of a target that no route names.
    fn rotor(&self, target: &str) -> Arc<Rotor> {
        if let Some(found) = self.rotors.read().unwrap_or_else(PoisonError::into_inner).get(target) {
            return found.clone();
        }
        let mut rotors = self.rotors.write().unwrap_or_else(PoisonError::into_inner);
        if rotors.len() >= MOST_ROTORS {
            rotors.clear();
        }
        rotors.entry(target.to_owned()).or_default().clone()
    }
}

/// A channel that needs no credential has one all the same: the one without a secret.
fn lives(fleet: &Fleet, channel: &TableChannel) -> Lives {
    let marks = if channel.credentials.is_empty() { &[0][..] } else { &channel.credentials };
    let credentials = (0..).zip(marks).map(|(position, mark)| fleet.credential(&channel.name, *mark, position));
    (fleet.channel(&channel.name), credentials.collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Described;
    use super::*;

    pub(in crate::routing) fn channel(name: &str, tags: &[&str], models: &[(&str, &str)]) -> TableChannel {
        TableChannel {
            name: name.into(),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
            weight: 1,
            models: models.iter().map(|(name, upstream)| ((*name).into(), (*upstream).into())).collect(),
            credentials: vec![1],
            ..TableChannel::default()
        }
    }

    pub(in crate::routing) fn table(channels: Vec<TableChannel>, routes: &[&str]) -> RoutingTable {
        let routes: Vec<Route> = routes.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        RoutingTable::new(channels, routes, Arc::default(), Arc::new(NoTariffs), Strategy::Weighted)
    }

    fn sample() -> RoutingTable {
        let mut deepseek =
            channel("deepseek", &["cheap"], &[("deepseek-chat", "deepseek-chat"), ("gpt-5", "gpt-5-clone")]);
        deepseek.provider = "deepseek".into();
        table(
            vec![channel("main", &["paid"], &[("gpt-5", "gpt-5"), ("fast", "gpt-5-mini")]), deepseek],
            &[
                r#"{"model":"smart","groups":[{"use":["main/gpt-5","deepseek/*"]},{"strategy":"ordered","use":["tag:paid"]}]}"#,
                r#"{"model":"all","also":["any-*"],"groups":[{"use":["~^gpt","main/g*"],"exclude":["deepseek/*clone"]}]}"#,
                r#"{"model":"virtual","regex":"^v[0-9]+$","groups":[{"use":"tag:cheap/deepseek-chat"},{"use":"fast","if":{"images":true}}]}"#,
                r#"{"model":"gpt-5","if":{"headers":{"x-team":"blue"}},"groups":[{"use":"main/gpt-5"}]}"#,
            ],
        )
    }

    fn upstreams(resolution: Resolution) -> Vec<Vec<String>> {
        match resolution {
            Resolution::Groups(groups) => groups
                .iter()
                .map(|group| group.deployments.iter().map(|d| format!("{}:{}", d.channel, d.upstream)).collect())
                .collect(),
            other => vec![vec![format!("{other:?}")]],
        }
    }

    #[test]
    fn names_mean_what_the_rules_say() {
        let cases: [(&str, &[&[&str]]); 20] = [
            ("gpt-5", &[&["0:gpt-5", "1:gpt-5-clone"]]),
            ("fast", &[&["0:gpt-5-mini"]]),
            ("main/fast", &[&["0:gpt-5-mini"]]),
            ("main/unlisted", &[&["0:unlisted"]]),
            ("meta-llama/llama-3", &[&["Unknown"]]),
            ("tag:paid", &[&["Unknown"]]),
            ("echo", &[&["Echo"]]),
            ("echo:latest", &[&["Echo"]]),
            ("smart", &[&["0:gpt-5", "1:smart"]]),
            ("all", &[&["0:gpt-5"]]),
            ("any-thing", &[&["0:gpt-5"]]),
            ("virtual", &[&["1:deepseek-chat"]]),
            ("v12", &[&["1:deepseek-chat"]]),
            ("tag:paid/fast", &[&["0:gpt-5-mini"]]),
            ("~^f", &[&["0:gpt-5-mini"]]),
            ("deepseek/~chat$", &[&["1:deepseek-chat"]]),
            ("models/fast", &[&["0:gpt-5-mini"]]),
            ("fast:latest", &[&["0:gpt-5-mini"]]),
            ("GPT-5", &[&["0:gpt-5", "1:gpt-5-clone"]]),
            ("~(", &[&["Unknown"]]),
        ];
        let table = sample();
        for (target, expected) in cases {
            assert_eq!(upstreams(table.resolve(target, target, &mut Described::default())), expected, "{target}");
        }
        let resolve = |target, asked| upstreams(table.resolve(target, asked, &mut Described::default()));
        assert_eq!(resolve("tag:paid", "fast"), [["0:gpt-5-mini"]]);
        assert_eq!(resolve("deepseek/*", "deepseek-chat"), [["1:deepseek-chat"]]);
    }

    #[test]
    fn a_vendor_before_the_name_means_channels_of_that_provider() {
        let mut table = sample();
        table.channels[1].name = "cheap".into();
        let channels = table.channels.clone();
        let table = super::tests::table(channels, &[]);
        let found = upstreams(table.resolve("deepseek/gpt-5", "deepseek/gpt-5", &mut Described::default()));
        assert_eq!(found, [["1:gpt-5-clone"]]);
    }

    #[test]
    fn routes_and_groups_hold_only_where_their_conditions_do() {
        let table = sample();
        let images = Described { images: true, ..Described::default() };
        assert_eq!(
            upstreams(table.resolve("virtual", "virtual", &mut images.clone())),
            [["1:deepseek-chat"], ["0:gpt-5-mini"]]
        );
        let blue = Described { headers: vec![("x-team".into(), "blue".into())], ..Described::default() };
        assert_eq!(upstreams(table.resolve("gpt-5", "gpt-5", &mut blue.clone())), [["0:gpt-5"]]);
    }

    #[test]
    fn every_name_is_listed_once() {
        assert_eq!(sample().names(), ["all", "deepseek-chat", "fast", "gpt-5", "smart", "virtual"]);
        assert_eq!(sample().owners("gpt-5").collect::<Vec<_>>(), ["main", "deepseek"]);
        assert!(sample().is_routed("v1") && !sample().is_routed("fast"));
    }
}
