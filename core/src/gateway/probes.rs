//! Looking by itself whether channels work, where their owner wants that: between requests, and as the first to try what is half open.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Gateway;
use crate::error::{GatewayError, Kind, codes};
use crate::model::{ChannelProbe, ChannelState, Entities, ProbeHow};
use crate::pipeline::{probed, told};
use crate::providers::{self, Look, TestReport};
use crate::routing::{Ended, Errand, Failure, How, Trouble};
use crate::snapshot::{Line, Snapshot};
use crate::store::Change;

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(1);

/// Time between two looks at what is half open, in milliseconds.
const BETWEEN_MS: u64 = 5_000;

/// Whether a look can show that a trouble is over. One that cannot would be made again and again for nothing.
fn settles(line: &Line, probe: &ChannelProbe, trouble: &Trouble, why: Failure) -> bool {
    match probe.how {
        ProbeHow::Models => trouble.upstream.is_none() && matches!(why, Failure::Unreachable | Failure::BadKey),
        ProbeHow::Talk => {
            let own = line.channel.config.models.as_ref().and_then(|models| models.first());
            let asked = probe.model.as_deref().or(own.map(|model| model.upstream()));
            let same = trouble.errand == talks(line) && trouble.upstream.as_deref() == asked;
            trouble.upstream.is_none() || same
        }
    }
}

/// What a probe that talks asks for: vectors where there is nothing else.
fn talks(line: &Line) -> Errand {
    if line.channel.is_embedder() { Errand::Embeddings } else { Errand::Conversation }
}

/// When a channel was looked at last, and with which credential.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    at_ms: u64,
    credential: usize,
}

impl Gateway {
    /// Runs as long as the gateway. Does nothing as long as no channel has a probe.
    pub(super) async fn follow_probes(self) {
        let mut changes = self.store().subscribe();
        let mut last: HashMap<String, Last> = HashMap::new();
        let mut under_way: HashSet<String> = HashSet::new();
        let mut looks: JoinSet<String> = JoinSet::new();
        loop {
            let any = |entities: &Entities| entities.channels.iter().any(|channel| channel.probe.is_some());
            if !any(&self.store().entities()) {
                if changes.changed().await.is_err() {
                    return;
                }
                continue;
            }
            while let Some(done) = looks.try_join_next() {
                match done {
                    Ok(name) => drop(under_way.remove(&name)),
                    Err(_) => under_way.clear(),
                }
            }
            let snapshot = self.services().snapshot.load_full();
            for line in &snapshot.lines {
                let name = line.channel.name();
                let Some(probe) = line.channel.config.probe.clone().filter(|_| !under_way.contains(name)) else {
                    continue;
                };
                let before = last.get(name).copied().unwrap_or_default();
                let Some(credential) = self.due(line, &probe, before) else { continue };
                last.insert(name.to_owned(), Last { at_ms: self.services().clock.unix_ms(), credential });
                under_way.insert(name.to_owned());
                let (gateway, line, name) = (self.clone(), line.clone(), name.to_owned());
                looks.spawn(async move {
                    gateway.look(&line, &probe, credential).await;
                    name
                });
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Whether a channel is to be looked at now, and with which credential.
    fn due(&self, line: &Line, probe: &ChannelProbe, before: Last) -> Option<usize> {
        let name = line.channel.name();
        let now_ms = self.services().clock.unix_ms();
        let fleet = &self.services().fleet;
        let troubles = fleet.troubles(name, now_ms);
        // What is half open is tried by a look rather than by somebody's request.
        let judged = |trouble: &&Trouble| {
            trouble
                .view
                .as_ref()
                .is_some_and(|view| view.state == "half-open" && settles(line, probe, trouble, view.why))
        };
        if let Some(half_open) = troubles.iter().find(judged)
            && now_ms.saturating_sub(before.at_ms) >= BETWEEN_MS
        {
            let credential = half_open.credential.and_then(|credential| usize::try_from(credential).ok());
            return Some(credential.unwrap_or_default());
        }
        if now_ms.saturating_sub(before.at_ms) < u64::from(probe.every_seconds).saturating_mul(1_000) {
            return None;
        }
        if probe.how == ProbeHow::Talk {
            // Traffic says as much, and costs nothing more; and what is left alone is not asked for money.
            let own = talks(line);
            let asked = fleet.loads(name, now_ms).iter().any(|(_, errand, load)| *errand == own && load.calls > 0);
            let alike = troubles.iter().filter(|trouble| trouble.upstream.is_none() || trouble.errand == own);
            let open = alike.filter_map(|trouble| trouble.view.as_ref()).any(|view| view.state == "open");
            if asked || open {
                return None;
            }
        }
        let next = if before.at_ms == 0 { 0 } else { before.credential + 1 };
        Some(next % line.channel.credentials().max(1))
    }

    async fn look(&self, line: &Line, probe: &ChannelProbe, credential: usize) {
        let clock = self.services().clock.as_ref();
        let failure = match probe.how {
            ProbeHow::Models => match providers::look(&line.channel, credential, line.client.as_ref(), clock).await {
                None => return tracing::debug!(channel = line.channel.name(), "has no list of models to look at"),
                Some(look) => {
                    self.looked(line, credential, &look);
                    look.failure
                }
            },
            ProbeHow::Talk => {
                let model = match &probe.model {
                    Some(model) => model.clone(),
                    None => match self.model_to_test(line).await {
                        Ok(model) => model,
                        Err(why) => return tracing::warn!(channel = line.channel.name(), why, "cannot be looked at"),
                    },
                };
                let name = line.channel.name();
                self.services().fleet.begin(name, &model, talks(line), clock.unix_ms());
                let report = providers::test(&line.channel, credential, &model, line.client.as_ref(), clock).await;
                probed(self.services(), line, credential, &report);
                self.talked(line, credential, &report);
                report.failure
            }
        };
        self.note(line, failure.as_ref()).await;
    }

    /// What a list of models says about address and credential.
    fn looked(&self, line: &Line, credential: usize, look: &Look) {
        let snapshot = self.services().snapshot.load();
        let failure = look.failure.as_ref();
        let means =
            failure.map(|error| (judge(error, look.status), Failure::wait(error), error.public.message.as_str()));
        let means = match means {
            // It says nothing about either.
            Some((None, ..)) => return,
            Some((Some(failure), wait, words)) => Some((failure, wait, words)),
            None => None,
        };
        self.learn(&snapshot, line, "", credential, How::Nothing, |ended, rules| {
            self.services().fleet.looked(ended, means, rules)
        });
    }

    /// A conversation says what any request says.
    fn talked(&self, line: &Line, credential: usize, report: &TestReport) {
        let snapshot = self.services().snapshot.load();
        let how = match &report.failure {
            None => How::Answered { first_token: None, whole: report.latency_us as f64 / 1_000.0 },
            Some(error) => match Failure::of(error, report.status) {
                Some(failure) => {
                    How::Failed { failure, wait: Failure::wait(error), words: &error.public.message, rule: None }
                }
                None if error.kind == Kind::UpstreamRejected => How::Refused,
                None => How::Nothing,
            },
        };
        self.learn(&snapshot, line, &report.model, credential, how, |ended, rules| {
            self.services().fleet.ended(ended, rules)
        });
    }

    fn learn<'a>(
        &self,
        snapshot: &'a Arc<Snapshot>,
        line: &'a Line,
        upstream: &'a str,
        credential: usize,
        how: How<'a>,
        teach: impl FnOnce(&Ended<'_>, &crate::model::BreakerSettings) -> Vec<Trouble>,
    ) {
        let channel = line.channel.name();
        let position = u32::try_from(credential).unwrap_or_default();
        let credential = snapshot.routing.credential(channel, position).map(|live| &**live);
        let now_ms = self.services().clock.unix_ms();
        let errand = talks(line);
        let ended = Ended { channel, upstream, errand, credential, how, now_ms, jitter: fastrand::u64(0..1_000) };
        for trouble in teach(&ended, &snapshot.settings.breaker) {
            told(self.services(), &trouble);
        }
    }

    /// Writes down how the channel fares, where that is news.
    async fn note(&self, line: &Line, failure: Option<&GatewayError>) {
        let name = line.channel.name().to_owned();
        let entities = self.store().entities();
        let Some(state) = entities.channel(&name).map(|channel| channel.state.clone()) else { return };
        let at = self.services().clock.unix_ms();
        let state = match (failure, state) {
            (None, ChannelState::Working { .. }) | (Some(_), ChannelState::Failing { .. }) => return,
            (None, _) => ChannelState::Working { at },
            (Some(error), _) => {
                ChannelState::Failing { at, why: line.channel.redact(&super::desk::told(error)).into_owned() }
            }
        };
        if let Err(error) = self.store().apply(Change::ChannelTested { name, state }, "probe").await {
            tracing::warn!(%error, "how a channel fares could not be kept");
        }
    }
}

/// What a failure to list models says. Many keys that may talk may not list, so only a plain refusal of the key counts.
fn judge(error: &GatewayError, status: Option<u16>) -> Option<Failure> {
    match status {
        None if error.public.code.as_deref() == Some(codes::CONNECT) => Some(Failure::Unreachable),
        Some(401) if error.kind == Kind::UpstreamDenied => Some(Failure::BadKey),
        _ => None,
    }
}
