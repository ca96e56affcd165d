//! From groups to one ordered list of candidates, and the reasons for it.
//!
//! Group after group; within one by its strategy; a conversation first where its prompt is cached; what is benched last, and what may not serve not at all.

use std::fmt;
use std::sync::Arc;

use super::affinity::Place;
use super::credentials;
use super::live::{Errand, Standing};
use super::strategy::{self, Scene, Turn};
use super::{Deployment, Group, Query, RoutingTable};
use crate::model::{Note, Omitted, Placed, Strategy, Why};

/// One try that the attempts loop may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Position in [`RoutingTable::channels`].
    pub channel: usize,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// Which credential of the channel.
    pub credential: u32,
    /// What it is asked for.
    pub errand: Errand,
    /// The group that it is of, from 0: a later one is cold standby for those before it.
    pub group: u32,
    /// How it stood when the plan was made. Who is half open is asked by one request at a time (`RoutingTable::take_probe`).
    pub standing: Standing,
}

/// What is wanted of a plan.
pub struct Desire<'a> {
    /// How to choose within groups, in place of what they say.
    pub strategy: Option<Strategy>,
    /// Why a channel may not serve; `None`: it may.
    pub barred: &'a dyn Fn(usize) -> Option<Omitted>,
    /// Where the conversation is.
    pub place: Option<Place>,
    /// Who made the opaque reasoning that the request brings back: only they can read it.
    pub bound: Option<&'a dyn Fn(&Candidate) -> bool>,
    /// Only looked at: no turn is taken.
    pub dry: bool,
    /// What is asked for: only how deployments fare at that counts.
    pub errand: Errand,
}

impl fmt::Debug for Desire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desire").field("strategy", &self.strategy).field("place", &self.place).finish_non_exhaustive()
    }
}

/// Who is asked in which order, and why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Tries, in order.
    pub candidates: Vec<Candidate>,
    /// Deployments, in the order of their first tries.
    pub steps: Vec<Step>,
    /// Deployments that may not serve.
    pub left_out: Vec<LeftOut>,
}

/// One deployment of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Position in [`RoutingTable::channels`].
    pub channel: usize,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// The group that it is of, from 0.
    pub group: usize,
    /// How its group chooses.
    pub strategy: Strategy,
    /// Why it stands where it stands.
    pub why: Why,
    /// What moved it from there.
    pub note: Note,
}

/// A deployment that may not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Position in [`RoutingTable::channels`].
    pub channel: usize,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// Why not.
    pub why: Omitted,
}

impl Plan {
    /// The steps in words, one line each: `main/gpt-5: group 1 weighted, its turn: 7 of 10`.
    pub fn words(&self, table: &RoutingTable) -> Vec<String> {
        self.steps.iter().map(|step| step.words(table)).collect()
    }
}

impl Step {
    fn words(&self, table: &RoutingTable) -> String {
        let channel = table.channels.get(self.channel).map_or("?", |channel| channel.name.as_str());
        let (group, strategy) = (self.group + 1, self.strategy.word());
        format!("{channel}/{}: group {group} {strategy}, {}", self.upstream, self.placed())
    }

    /// Only if nobody else can serve: when it may be asked again, milliseconds since 1970.
    pub fn benched_until(&self) -> Option<u64> {
        match self.note {
            Note::LastResort { until } => Some(until),
            _ => None,
        }
    }

    /// Why it stands where it stands.
    pub fn placed(&self) -> Placed {
        Placed { reason: self.why, note: self.note }
    }
}

/// A deployment with the credentials that may be used, in order.
struct Ranked<'g> {
    step: Step,
    deployment: &'g Deployment,
    credentials: Vec<u32>,
}

impl Ranked<'_> {
    fn candidate(&self, credential: u32, now_ms: u64) -> Candidate {
        Candidate {
            channel: self.deployment.channel,
            upstream: self.deployment.upstream.clone(),
            credential,
            errand: self.deployment.live.errand,
            group: u32::try_from(self.step.group).unwrap_or(u32::MAX),
            standing: credentials::way(self.deployment, credential, now_ms),
        }
    }
}

/// Orders `groups`. `draw` gives a number in `0..n` and decides everything that is left to chance, so a plan can be repeated.
pub fn plan(
    table: &RoutingTable,
    groups: &[Arc<Group>],
    desire: &Desire<'_>,
    query: &mut dyn Query,
    draw: &mut dyn FnMut(u64) -> u64,
) -> Plan {
    let turned: Vec<Arc<Group>>;
    let groups = if desire.errand == Errand::Conversation {
        groups
    } else {
        turned = groups.iter().map(|group| Arc::new(table.turned_group(group, desire.errand))).collect();
        &turned
    };
    let now_ms = query.now_ms();
    let mut plan = Plan::default();
    let mut ranked: Vec<Ranked<'_>> = Vec::new();
    let mut benched: Vec<(u64, Ranked<'_>)> = Vec::new();
    let mut seen: Vec<u32> = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let mut ready: Vec<(&Deployment, Vec<u32>, Standing)> = Vec::new();
        let strategy = desire.strategy.unwrap_or(group.strategy);
        for deployment in &group.deployments {
            if seen.contains(&deployment.live.id) {
                continue;
            }
            seen.push(deployment.live.id);
            if let Some(why) = (desire.barred)(deployment.channel) {
                plan.left_out.push(LeftOut { channel: deployment.channel, upstream: deployment.upstream.clone(), why });
                continue;
            }
            let (standing, credentials) = credentials::usable(deployment, desire.place.as_ref(), now_ms, draw);
            match standing {
                Standing::Benched(until) => {
                    let note = Note::LastResort { until };
                    let step = step(deployment, number, strategy, Why::Written, note);
                    benched.push((until, Ranked { step, deployment, credentials }));
                }
                standing => ready.push((deployment, credentials, standing)),
            }
        }
        let turn = match desire.dry {
            _ if !ranked.is_empty() => Turn::Standby,
            true => Turn::Looked,
            false => Turn::Taken,
        };
        ranked.extend(rank(table, group, (number, strategy, turn), ready, desire.place.as_ref(), query, draw));
    }
    if let Some(bound) = desire.bound {
        bind(&mut ranked, bound, now_ms);
    }
    benched.sort_by_key(|(until, _)| *until);
    ranked.extend(benched.into_iter().map(|(_, last)| last));
    for entry in ranked {
        plan.candidates.extend(entry.credentials.iter().map(|credential| entry.candidate(*credential, now_ms)));
        plan.steps.push(entry.step);
    }
    plan
}

fn step(deployment: &Deployment, group: usize, strategy: Strategy, why: Why, note: Note) -> Step {
    Step { channel: deployment.channel, upstream: deployment.upstream.clone(), group, strategy, why, note }
}

/// One group in order.
fn rank<'g>(
    table: &RoutingTable,
    group: &'g Group,
    (number, strategy, turn): (usize, Strategy, Turn),
    ready: Vec<(&'g Deployment, Vec<u32>, Standing)>,
    place: Option<&Place>,
    query: &mut dyn Query,
    draw: &mut dyn FnMut(u64) -> u64,
) -> Vec<Ranked<'g>> {
    if ready.is_empty() {
        return Vec::new();
    }
    let home = place.and_then(|place| {
        let there = |(own, _, standing): &(&Deployment, _, Standing)| {
            own.live.id == place.deployment && *standing == Standing::Ready
        };
        ready.iter().position(there)
    });
    let deployments: Vec<&Deployment> = ready.iter().map(|(deployment, ..)| *deployment).collect();
    let now_ms = query.now_ms();
    // A conversation that stays where it is takes nobody's turn.
    let turn = if home.is_none() { turn } else { Turn::Standby };
    let mut scene = Scene { table, query, draw, rotor: &group.rotor, now_ms, turn };
    let mut order = strategy::order(strategy, &mut scene, &deployments);
    if let Some(at) = order.iter().position(|(position, _)| Some(*position) == home) {
        let first = order.remove(at);
        order.insert(0, first);
    }
    let mut ready: Vec<Option<(&Deployment, Vec<u32>, Standing)>> = ready.into_iter().map(Some).collect();
    let made = order.into_iter().filter_map(|(position, why)| {
        let (deployment, credentials, standing) = ready.get_mut(position)?.take()?;
        let note = match standing {
            Standing::HalfOpen => Note::Probe,
            _ if Some(position) == home => Note::Conversation,
            _ => Note::Plain,
        };
        Some(Ranked { step: step(deployment, number, strategy, why, note), deployment, credentials })
    });
    made.collect()
}

/// Who made what comes back is first, with the credential that made it.
fn bind(ranked: &mut [Ranked<'_>], bound: &dyn Fn(&Candidate) -> bool, now_ms: u64) {
    for entry in ranked.iter_mut() {
        let own = |credential: &u32| bound(&entry.candidate(*credential, now_ms));
        if entry.credentials.iter().any(own) {
            let (mut first, others): (Vec<u32>, Vec<u32>) = entry.credentials.iter().copied().partition(own);
            first.extend(others);
            entry.credentials = first;
            if entry.step.note != Note::Probe {
                entry.step.note = Note::Maker;
            }
        }
    }
    ranked.sort_by_key(|entry| entry.step.note != Note::Maker);
}

#[cfg(test)]
mod tests;
