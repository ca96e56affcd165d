//! Which limits hold for whom, worked out once for each picture of the configuration.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashMapExt as _};
use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use super::counter::Counter;
use super::window::Frame;
use crate::model::{Entities, Limit, Measure, OwnerKind, OwnerRef, Target, limit_zone};
use crate::routing::Glob;

/// Places in a table, in the order in which counters are locked.
pub(super) type Places = SmallVec<[u32; 8]>;

/// A limit of a channel, perhaps for some of its models only.
type OfChannel = (Option<Glob>, u32);

/// A limit with its counter.
#[derive(Debug)]
pub(super) struct Entry {
    pub limit: Limit,
    pub counter: Arc<Counter>,
    models: Vec<Glob>,
}

impl Entry {
    fn is_for(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|glob| glob.matches(model))
    }
}

/// Which limits hold for whom. Immutable; the counters in it are shared with the tables before and after.
#[derive(Debug, Default)]
pub struct LimitTable {
    entries: Vec<Entry>,
    gateway: Box<[u32]>,
    /// By the key's id: its own, those of its owners, the gateway's.
    keys: HashMap<String, Box<[u32]>>,
    /// By the tool's name: its own and those of its owners.
    tools: HashMap<String, Box<[u32]>>,
    profiles: HashMap<String, Box<[u32]>>,
    models: Vec<(Glob, u32)>,
    /// By the channel's name: its own, those of its tags, those of its models.
    channels: HashMap<String, Box<[OfChannel]>>,
}

/// What is known of a request before a channel is chosen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caller<'a> {
    /// Id of the key.
    pub key: &'a str,
    /// The tool that calls.
    pub tool: Option<&'a str>,
    /// The model that was asked for.
    pub model: &'a str,
    /// The profile that applies.
    pub profile: &'a str,
}

/// The limits that hold for one request or one attempt.
#[derive(Debug, Clone)]
pub struct Chain {
    pub(super) table: Arc<LimitTable>,
    pub(super) places: Places,
}

impl Chain {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether some limit counts that.
    pub fn counts(&self, measure: Measure) -> bool {
        self.entries().any(|(_, entry)| entry.limit.measure == measure)
    }

    /// The names of the limits.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries().map(|(_, entry)| entry.limit.name.as_str())
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.places.iter().filter_map(|place| Some((*place, self.table.entry(*place)?)))
    }
}

impl LimitTable {
    /// The limits that hold for a request.
    pub fn for_caller(self: &Arc<Self>, caller: Caller<'_>) -> Chain {
        let mut places = Places::new();
        if !self.entries.is_empty() {
            let tool = caller.tool.and_then(|tool| self.tools.get(tool));
            let profile = self.profiles.get(caller.profile);
            let fixed = [Some(self.keys.get(caller.key).unwrap_or(&self.gateway)), tool, profile];
            places.extend(fixed.into_iter().flatten().flat_map(|places| places.iter().copied()));
            let models = self.models.iter().filter(|(glob, _)| glob.matches(caller.model));
            places.extend(models.map(|(_, place)| *place));
        }
        self.chain(places, caller.model)
    }

    /// The limits that hold for an attempt at a channel with its own name of the model. `asked`: the model that was asked for.
    pub fn for_attempt(self: &Arc<Self>, channel: &str, upstream: &str, asked: &str) -> Chain {
        let found = self.channels.get(channel).map(AsRef::as_ref).unwrap_or_default();
        let fits = |glob: &Option<Glob>| glob.as_ref().is_none_or(|glob| glob.matches(upstream));
        let places = found.iter().filter(|(glob, _)| fits(glob)).map(|(_, place)| *place).collect();
        self.chain(places, asked)
    }

    /// Whether attempts at some channel are limited.
    pub fn limits_channels(&self) -> bool {
        !self.channels.is_empty()
    }

    fn chain(self: &Arc<Self>, mut places: Places, model: &str) -> Chain {
        places.retain(|place| self.entry(*place).is_some_and(|entry| entry.is_for(model)));
        places.sort_unstable();
        places.dedup();
        Chain { table: Arc::clone(self), places }
    }

    pub(super) fn entry(&self, place: u32) -> Option<&Entry> {
        self.entries.get(place as usize)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn build(entries: Vec<Entry>, entities: &Entities) -> Self {
        let on = |targets: &dyn Fn(&Target) -> bool| -> Vec<u32> {
            let found = (0_u32..).zip(&entries).filter(|(_, entry)| targets(&entry.limit.on));
            found.map(|(place, _)| place).collect()
        };
        let gateway = on(&|target| *target == Target::Gateway);
        let owners = |owner: Option<&OwnerRef>| -> Vec<u32> {
            let chain = entities.owner_chain(owner);
            on(&|target| matches!(target, Target::Owner(own) if chain.contains(own)))
        };
        let mut keys = HashMap::new();
        for key in &entities.keys {
            let mut places = on(&|target| matches!(target, Target::Key(name) if *name == key.name));
            places.extend(owners(key.owner.as_ref()));
            if !places.is_empty() {
                places.extend(&gateway);
                keys.insert(key.id.clone(), places.into());
            }
        }
        // A tool may be limited without being a node, and a node may have limits only above it.
        let limited = entries.iter().filter_map(|entry| match &entry.limit.on {
            Target::Owner(owner) if owner.kind == OwnerKind::Tool => Some(owner.name.clone()),
            _ => None,
        });
        let nodes =
            entities.owners.iter().filter(|owner| owner.kind == OwnerKind::Tool).map(|owner| owner.name.clone());
        let mut tools = HashMap::new();
        for name in limited.chain(nodes).collect::<HashSet<_>>() {
            let places = owners(Some(&OwnerRef { kind: OwnerKind::Tool, name: name.clone() }));
            if !places.is_empty() {
                tools.insert(name, places.into());
            }
        }
        let mut profiles: HashMap<String, Vec<u32>> = HashMap::new();
        let mut models = Vec::new();
        for (place, entry) in (0_u32..).zip(&entries) {
            match &entry.limit.on {
                Target::Profile(name) => profiles.entry(name.clone()).or_default().push(place),
                Target::Model(model) => models.push((Glob::new(model), place)),
                _ => {}
            }
        }
        let mut channels = HashMap::new();
        for channel in &entities.channels {
            let found = (0_u32..).zip(&entries).filter_map(|(place, entry)| match &entry.limit.on {
                Target::Channel(name) if *name == channel.name => Some((None, place)),
                Target::Tag(tag) if channel.tags.contains(tag) => Some((None, place)),
                Target::Deployment { channel: name, model } if *name == channel.name => {
                    Some((Some(Glob::new(model)), place))
                }
                _ => None,
            });
            let found: Box<[OfChannel]> = found.collect();
            if !found.is_empty() {
                channels.insert(channel.name.clone(), found);
            }
        }
        let profiles = profiles.into_iter().map(|(name, places)| (name, places.into())).collect();
        Self { gateway: gateway.into(), keys, tools, profiles, models, channels, entries }
    }
}

/// Every counter there is. They outlive the tables: a reload keeps what was counted.
#[derive(Debug, Default)]
pub struct Limiter(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    known: HashMap<u64, Arc<Counter>>,
    /// What the store remembers of counters that no limit has claimed yet: parts and amounts.
    remembered: HashMap<u64, Vec<(u64, u64)>>,
    serial: u64,
}

impl Limiter {
    /// A limiter that goes on where the store says that an earlier one stopped: counter, beginning of the part, amount.
    pub fn new(remembered: impl IntoIterator<Item = (u64, u64, u64)>) -> Self {
        let mut counters = Counters::default();
        for (counter, start, amount) in remembered {
            counters.remembered.entry(counter).or_default().push((start, amount));
        }
        Self(Mutex::new(counters))
    }

    /// The table of what is configured, and the counters of limits that are gone. A limit that cannot be enforced is left out and reported.
    pub fn compile(&self, entities: &Entities, now: u64) -> (Arc<LimitTable>, Vec<u64>) {
        let mut counters = self.counters();
        let mut entries: Vec<Entry> = Vec::new();
        for limit in &entities.limits {
            let Some(zone) = limit_zone(limit.zone.as_deref()) else {
                tracing::error!(
                    limit = limit.name,
                    zone = limit.zone,
                    "a limit is left out: there is no such time zone"
                );
                continue;
            };
            let counter = counters.claim(identity(limit, entities), Frame::new(limit.per, &zone), now);
            let models = limit.models.iter().map(Glob::new).collect();
            entries.push(Entry { limit: limit.clone(), counter, models });
        }
        entries.sort_by_key(|entry| entry.counter.serial);
        let used: HashSet<u64> = entries.iter().map(|entry| entry.counter.id).collect();
        let gone: Vec<u64> = counters.known.keys().filter(|id| !used.contains(id)).copied().collect();
        counters.known.retain(|id, _| used.contains(id));
        drop(counters);
        (Arc::new(LimitTable::build(entries, entities)), gone)
    }

    /// Goes on from other sums: the store was put back to what it had been. What is in flight stays held.
    pub fn recall(&self, sums: impl IntoIterator<Item = (u64, u64, u64)>, now: u64) {
        let mut counters = self.counters();
        counters.remembered.clear();
        for counter in counters.known.values() {
            counter.at(now).reset();
        }
        for (id, start, amount) in sums {
            match counters.known.get(&id) {
                Some(counter) => counter.at(now).restore(start, amount),
                None => counters.remembered.entry(id).or_default().push((start, amount)),
            }
        }
    }

    /// Counters that the store remembers and no limit has claimed; they are forgotten. To be asked once everything is configured.
    pub fn unclaimed(&self) -> Vec<u64> {
        self.counters().remembered.drain().map(|(counter, _)| counter).collect()
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn claim(&mut self, id: u64, frame: Frame, now: u64) -> Arc<Counter> {
        if let Some(counter) = self.known.get(&id) {
            return Arc::clone(counter);
        }
        self.serial += 1;
        let counter = Arc::new(Counter::new(id, self.serial, frame));
        let mut state = counter.at(now);
        for (start, amount) in self.remembered.remove(&id).unwrap_or_default() {
            state.restore(start, amount);
        }
        drop(state);
        self.known.insert(id, Arc::clone(&counter));
        counter
    }
}

/// What makes a limit the same one after a change: its name, what it counts, on whom, in which window. Not how much.
fn identity(limit: &Limit, entities: &Entities) -> u64 {
    let on = match &limit.on {
        // A key that is renamed keeps its limits.
        Target::Key(name) => entities.keys.iter().find(|key| key.name == *name).map_or(name, |key| &key.id).clone(),
        other => other.to_string(),
    };
    let per = limit.per.map(|per| per.to_string());
    let text = format!("{:?}", (&limit.name, limit.measure.word(), on, per, &limit.zone, &limit.models));
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    digest.iter().take(8).fold(0, |id, byte| (id << 8) | u64::from(*byte))
}
