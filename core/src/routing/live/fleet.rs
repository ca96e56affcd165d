//! Everything that traffic taught, by channel, deployment and credential; what an ended attempt changes of it; what of it survives a restart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::breaker::{Blow, Breaker, BreakerView, SavedBreaker, Standing};
use super::load::{Load, LoadView};
use super::parts::{ChannelLive, CredentialLive, DeploymentLive};
use super::registry::{Named as _, Registry};
use super::watch::{HeldKey, KeyLive, Spent};
use super::{Errand, Failure, Scope};
use crate::model::BreakerSettings;
use crate::routing::Affinity;

/// What is about whole channels, credentials and keys is about every errand.
const ANY: Errand = Errand::Conversation;
/// Longest words of a provider that are remembered.
const LONGEST: usize = 300;

/// Everything that traffic taught.
#[derive(Debug, Default)]
pub struct Fleet {
    deployments: Registry<DeploymentLive>,
    credentials: Registry<CredentialLive>,
    channels: Registry<ChannelLive>,
    keys: Registry<KeyLive>,
    /// Some key is watched for what is out of the ordinary.
    watches: AtomicBool,
    /// Where conversations are.
    pub affinity: Affinity,
    next: AtomicU32,
    /// Rises with every change that is worth keeping.
    changes: AtomicU64,
}

/// How an attempt ended, as far as routing learns from it.
#[derive(Debug)]
pub enum How<'a> {
    /// With an answer.
    Answered {
        /// Milliseconds to the first token, streams only.
        first_token: Option<f64>,
        /// Milliseconds to the end.
        whole: f64,
    },
    /// With a failure that says something about who was asked.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// How long the provider asks to be left alone.
        wait: Option<Duration>,
        /// The provider's words.
        words: &'a str,
        /// A rule of the channel that takes it out.
        rule: Option<Rule>,
    },
    /// With a refusal that is the request's own fault: whoever was asked is alive.
    Refused,
    /// The client left, or we failed: it says nothing.
    Nothing,
}

/// What a rule of a channel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The whole channel goes, not just the credential.
    pub whole_channel: bool,
    /// Up to then; [`super::FOR_GOOD`]: until somebody resets it.
    pub until: u64,
}

/// An attempt that ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// The channel.
    pub channel: &'a str,
    /// What the provider calls the model.
    pub upstream: &'a str,
    /// What it was asked for.
    pub errand: Errand,
    /// The credential that was used.
    pub credential: Option<&'a CredentialLive>,
    /// How it went.
    pub how: How<'a>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// A number in `0..1000` that spreads recoveries.
    pub jitter: u64,
}

/// A breaker that opened or closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The channel.
    pub channel: String,
    /// The model, where it is about one.
    pub upstream: Option<String>,
    /// What that model is not asked for.
    pub errand: Errand,
    /// Position of the credential, where it is about one.
    pub credential: Option<u32>,
    /// It opened; else it closed.
    pub opened: bool,
    /// How it stands now.
    pub view: Option<BreakerView>,
}

impl Trouble {
    /// Whether the owner has to hear of it: somebody may go without what is asked for.
    pub fn matters(&self) -> bool {
        self.upstream.is_none() || self.errand.matters(self.view.as_ref().map(|view| view.why))
    }
}

/// Breakers that survive a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Saved {
    /// Those that are open.
    #[serde(default)]
    pub rows: Vec<SavedRow>,
    /// Keys that are held back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<HeldKey>,
}

/// One breaker that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRow {
    channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
    #[serde(default, skip_serializing_if = "is_usual")]
    errand: Errand,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<u64>,
    breaker: SavedBreaker,
}

fn is_usual(errand: &Errand) -> bool {
    *errand == Errand::Conversation
}

impl Fleet {
    /// A model of a channel at one errand; made if it was never heard of.
    pub fn deployment(&self, channel: &str, upstream: &str, errand: Errand) -> Arc<DeploymentLive> {
        let new = || DeploymentLive {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            channel: channel.into(),
            upstream: upstream.into(),
            errand,
            breaker: Breaker::default(),
            load: Load::default(),
            lanes: RwLock::default(),
            any_lane: AtomicBool::new(false),
        };
        if errand.is_remembered() { self.deployments.get((channel, upstream, errand), new) } else { Arc::new(new()) }
    }

    /// A channel.
    pub fn channel(&self, name: &str) -> Arc<ChannelLive> {
        self.channels.get((name, "", ANY), || ChannelLive { name: name.into(), breaker: Breaker::default() })
    }

    /// A credential of a channel.
    pub fn credential(&self, channel: &str, mark: u64, position: u32) -> Arc<CredentialLive> {
        let name = format!("{mark:016x}");
        let found = self.credentials.get((channel, &name, ANY), || CredentialLive {
            channel: channel.into(),
            name: name.as_str().into(),
            mark,
            position: AtomicU32::new(position),
            breaker: Breaker::default(),
        });
        found.position.store(position, Ordering::Relaxed);
        found
    }

    /// A virtual key, by its id.
    pub fn key(&self, id: &str) -> Arc<KeyLive> {
        self.keys.get((id, "", ANY), || KeyLive::new(id))
    }

    /// Whether some key is watched for what is out of the ordinary.
    pub(crate) fn watch_keys(&self, any: bool) {
        self.watches.store(any, Ordering::Relaxed);
    }

    /// A request of a key is over. Tells if the key is held back from now on.
    pub fn spent(&self, key: &str, spent: Spent) -> Option<HeldKey> {
        if !self.watches.load(Ordering::Relaxed) {
            return None;
        }
        let held = self.keys.find((key, "", ANY))?.note(spent)?;
        self.changes.fetch_add(1, Ordering::Relaxed);
        Some(held)
    }

    /// Every key that is held back now.
    pub fn held_keys(&self, now_ms: u64) -> Vec<HeldKey> {
        let mut held: Vec<HeldKey> = self.keys.all().iter().filter_map(|key| key.held(now_ms)).collect();
        held.sort_by(|a, b| a.key.cmp(&b.key));
        held
    }

    /// Lets a key go on; whether it was held back.
    pub fn release_key(&self, key: &str, now_ms: u64) -> bool {
        let released = self.keys.find((key, "", ANY)).is_some_and(|key| key.release(now_ms));
        if released {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        released
    }

    /// A look from outside (no request of anybody) showed how a channel's address and one of its credentials are. `failure`: what is wrong, with
    /// the provider's words and how long it asks to be left alone; only what it says about address and credential counts.
    pub fn looked(
        &self,
        ended: &Ended<'_>,
        failure: Option<(Failure, Option<Duration>, &str)>,
        rules: &BreakerSettings,
    ) -> Vec<Trouble> {
        let channel = self.channel(ended.channel);
        let mut changed = Vec::new();
        match failure {
            None => {
                // It says nothing about money, models or the owner's rules.
                let shown = |breaker: &Breaker, why: Failure| {
                    breaker.standing(ended.now_ms) == Standing::HalfOpen
                        && breaker.view(ended.now_ms).is_some_and(|view| view.why == why)
                        && breaker.answered()
                };
                if shown(&channel.breaker, Failure::Unreachable) {
                    changed.push(self.trouble(&channel.breaker, ended, false, false, false));
                }
                if let Some(own) = ended.credential.filter(|own| shown(&own.breaker, Failure::BadKey)) {
                    changed.push(self.trouble(&own.breaker, ended, false, true, false));
                }
            }
            Some((failure, wait, words)) => {
                let words: String = words.chars().take(LONGEST).collect();
                let blow = Blow { failure, wait, words: &words, recent: (0, 0), jitter: ended.jitter };
                let (breaker, credential) = match (failure.effect().scope, ended.credential) {
                    (Scope::Channel, _) => (&channel.breaker, false),
                    (Scope::Credential, Some(own)) => (&own.breaker, true),
                    _ => return changed,
                };
                breaker.release();
                if breaker.failed(ended.now_ms, &blow, rules) {
                    changed.push(self.trouble(breaker, ended, false, credential, true));
                }
            }
        }
        if !changed.is_empty() {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        changed
    }

    /// An attempt begins.
    pub fn begin(&self, channel: &str, upstream: &str, errand: Errand, now_ms: u64) {
        self.deployment(channel, upstream, errand).load.begin(now_ms);
    }

    /// So many tokens were used.
    pub fn used(&self, channel: &str, upstream: &str, errand: Errand, tokens: u64, now_ms: u64) {
        if let Some(deployment) = self.deployments.find((channel, upstream, errand)) {
            deployment.load.used(now_ms, tokens);
        }
    }

    /// An attempt ended; tells which breakers opened or closed by it.
    pub fn ended(&self, ended: &Ended<'_>, rules: &BreakerSettings) -> Vec<Trouble> {
        let deployment = self.deployment(ended.channel, ended.upstream, ended.errand);
        deployment.load.end();
        let changed = match &ended.how {
            How::Answered { first_token, whole } => {
                deployment.load.answered(ended.now_ms, *first_token, *whole);
                self.alive(&deployment, ended)
            }
            How::Refused => self.alive(&deployment, ended),
            How::Nothing => self.each(&deployment, ended, |breaker, _| {
                breaker.release();
                false
            }),
            How::Failed { failure, wait, words, rule } => {
                deployment.load.failed(ended.now_ms);
                self.blow(&deployment, ended, (*failure, *wait, words, *rule), rules)
            }
        };
        if !changed.is_empty() {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        changed
    }

    /// Every breaker that a request went by closes; of those that are there for other errands too only what the answer says something about.
    fn alive(&self, deployment: &DeploymentLive, ended: &Ended<'_>) -> Vec<Trouble> {
        let changed = self.each(deployment, ended, |breaker, shared| {
            if shared && !ended.errand.shows_over(|| breaker.view(ended.now_ms).map(|view| view.why)) {
                breaker.release();
                return false;
            }
            breaker.answered()
        });
        if !changed.is_empty() {
            deployment.load.forgive();
        }
        changed
    }

    fn each(
        &self,
        deployment: &DeploymentLive,
        ended: &Ended<'_>,
        act: impl Fn(&Breaker, bool) -> bool,
    ) -> Vec<Trouble> {
        let mut changed = Vec::new();
        let mut told = |breaker: &Breaker, upstream: bool, credential: bool| {
            if act(breaker, !upstream) {
                changed.push(self.trouble(breaker, ended, upstream, credential, false));
            }
        };
        told(&deployment.breaker, true, false);
        if let Some(channel) = self.channels.find((ended.channel, "", ANY)) {
            told(&channel.breaker, false, false);
        }
        if let Some(credential) = ended.credential {
            told(&credential.breaker, false, true);
            if let Some(lane) = deployment.find_lane(credential.mark) {
                told(&lane, true, true);
            }
        }
        changed
    }

    fn blow(
        &self,
        deployment: &DeploymentLive,
        ended: &Ended<'_>,
        (failure, wait, words, rule): (Failure, Option<Duration>, &str, Option<Rule>),
        rules: &BreakerSettings,
    ) -> Vec<Trouble> {
        let words: String = words.chars().take(LONGEST).collect();
        // A probe that the failure does not speak about comes back all the same.
        self.each(deployment, ended, |breaker, _| {
            breaker.release();
            false
        });
        if let Some(rule) = rule {
            let channel = self.channel(ended.channel);
            let (breaker, whole) = match ended.credential {
                Some(credential) if !rule.whole_channel => (&credential.breaker, false),
                _ => (&channel.breaker, true),
            };
            breaker.open(ended.now_ms, rule.until, &words);
            return vec![self.trouble(breaker, ended, false, !whole, true)];
        }
        let recent = deployment.load.recent(ended.now_ms);
        let blow = Blow { failure, wait, words: &words, recent, jitter: ended.jitter };
        let open = |breaker: &Breaker| breaker.failed(ended.now_ms, &blow, rules);
        let (opened, upstream, credential) = match (failure.effect().scope, ended.credential) {
            (Scope::Channel, _) => {
                let channel = self.channel(ended.channel);
                (open(&channel.breaker).then(|| channel.breaker.view(ended.now_ms)), false, false)
            }
            (Scope::Credential, Some(own)) => (open(&own.breaker).then(|| own.breaker.view(ended.now_ms)), false, true),
            (Scope::Lane, Some(own)) => {
                let lane = deployment.make_lane(own.mark);
                (open(&lane).then(|| lane.view(ended.now_ms)), true, true)
            }
            (Scope::Deployment | Scope::Credential | Scope::Lane, _) => {
                (open(&deployment.breaker).then(|| deployment.breaker.view(ended.now_ms)), true, false)
            }
        };
        opened.map(|view| Trouble { view, ..self.named(ended, upstream, credential, true) }).into_iter().collect()
    }

    fn trouble(&self, breaker: &Breaker, ended: &Ended<'_>, upstream: bool, credential: bool, opened: bool) -> Trouble {
        Trouble { view: breaker.view(ended.now_ms), ..self.named(ended, upstream, credential, opened) }
    }

    fn named(&self, ended: &Ended<'_>, upstream: bool, credential: bool, opened: bool) -> Trouble {
        let position = |own: &CredentialLive| own.position.load(Ordering::Relaxed);
        Trouble {
            channel: ended.channel.to_owned(),
            upstream: upstream.then(|| ended.upstream.to_owned()),
            errand: if upstream { ended.errand } else { ANY },
            credential: ended.credential.filter(|_| credential).map(position),
            opened,
            view: None,
        }
    }

    /// Rises with every change that is worth keeping.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Every deployment that was ever asked for, by channel, name and errand.
    pub fn deployments(&self) -> Vec<Arc<DeploymentLive>> {
        let mut all = self.deployments.all();
        all.sort_by(|a, b| a.names().cmp(&b.names()));
        all
    }

    /// Closes breakers and forgets why they opened: of one channel or all, of one model or all. Tells how many there were.
    pub fn reset(&self, channel: Option<&str>, upstream: Option<&str>) -> usize {
        let wanted = |name: &str| channel.is_none_or(|channel| channel == name);
        let mut count = 0;
        for deployment in self.deployments.all() {
            if wanted(&deployment.channel) && upstream.is_none_or(|upstream| *deployment.upstream == *upstream) {
                count += usize::from(deployment.breaker.reset());
                count += deployment.all_lanes().iter().filter(|(_, lane)| lane.reset()).count();
                deployment.load.forgive();
            }
        }
        if upstream.is_none() {
            count += self.credentials.all().iter().filter(|own| wanted(&own.channel) && own.breaker.reset()).count();
            count += self.channels.all().iter().filter(|own| wanted(&own.name) && own.breaker.reset()).count();
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        count
    }

    /// What is wrong at a channel now, as people see it: about the channel, its credentials, its models and their lanes.
    pub fn troubles(&self, channel: &str, now_ms: u64) -> Vec<Trouble> {
        let row = |model: Option<&DeploymentLive>, credential: Option<u32>, breaker: &Breaker| {
            let view = breaker.view(now_ms)?;
            let upstream = model.map(|own| own.upstream.as_ref().to_owned());
            let errand = model.map_or(ANY, |own| own.errand);
            Some(Trouble { channel: channel.to_owned(), upstream, errand, credential, opened: true, view: Some(view) })
        };
        let mut found = Vec::new();
        found.extend(self.channels.find((channel, "", ANY)).and_then(|own| row(None, None, &own.breaker)));
        let mut positions = BTreeMap::new();
        for own in self.credentials.all().iter().filter(|own| *own.channel == *channel) {
            let position = own.position.load(Ordering::Relaxed);
            positions.insert(own.mark, position);
            found.extend(row(None, Some(position), &own.breaker));
        }
        for own in self.deployments().iter().filter(|own| *own.channel == *channel) {
            found.extend(row(Some(own), None, &own.breaker));
            for (mark, lane) in own.all_lanes() {
                found.extend(row(Some(own), positions.get(&mark).copied(), &lane));
            }
        }
        found
    }

    /// The load of every deployment of a channel that was asked for, by errand.
    pub fn loads(&self, channel: &str, now_ms: u64) -> Vec<(Arc<str>, Errand, LoadView)> {
        let own = self.deployments().into_iter().filter(|own| *own.channel == *channel);
        let rows = own.map(|own| (own.upstream.clone(), own.errand, own.load.view(now_ms)));
        // Whoever might do something beside conversations and was never asked has nothing to tell.
        rows.filter(|(_, errand, load)| *errand == Errand::Conversation || *load != LoadView::default()).collect()
    }

    /// What survives a restart.
    pub fn save(&self) -> Saved {
        let row = |channel: &str, model: Option<&DeploymentLive>, mark: Option<u64>, breaker: &Breaker| {
            let (channel, upstream) = (channel.to_owned(), model.map(|own| own.upstream.as_ref().to_owned()));
            let errand = model.map_or(ANY, |own| own.errand);
            breaker.save().map(|breaker| SavedRow { channel, upstream, errand, mark, breaker })
        };
        let mut rows = Vec::new();
        rows.extend(self.channels.all().iter().filter_map(|own| row(&own.name, None, None, &own.breaker)));
        rows.extend(
            self.credentials.all().iter().filter_map(|own| row(&own.channel, None, Some(own.mark), &own.breaker)),
        );
        for own in self.deployments() {
            rows.extend(row(&own.channel, Some(&own), None, &own.breaker));
            let lanes = own.all_lanes();
            rows.extend(lanes.iter().filter_map(|(mark, lane)| row(&own.channel, Some(&own), Some(*mark), lane)));
        }
        Saved { rows, keys: self.held_keys(0) }
    }

    /// Takes up what survived.
    pub fn restore(&self, saved: &Saved) {
        for held in &saved.keys {
            self.key(&held.key).restore(held);
        }
        for SavedRow { channel, upstream, errand, mark, breaker } in &saved.rows {
            match (upstream, mark) {
                (None, None) => self.channel(channel).breaker.restore(breaker),
                (None, Some(mark)) => self.credential(channel, *mark, 0).breaker.restore(breaker),
                (Some(upstream), None) => self.deployment(channel, upstream, *errand).breaker.restore(breaker),
                (Some(upstream), Some(mark)) => {
                    self.deployment(channel, upstream, *errand).make_lane(*mark).restore(breaker);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
