//! From a name to a plan: profile, routes, strategies, health. The one way, for requests and for `explain`.

use std::sync::Arc;

use super::refusal::Refusal;
use crate::error::Kind;
use crate::model::{Omitted, Unpriced};
use crate::routing::{
    Candidate, CompiledProfile, Desire, Errand, Group, LeftOut, Mapped, Place, Plan, Query, Resolution, Step, plan,
};
use crate::snapshot::{KeyEntry, Snapshot};
use crate::told;

/// What decides where a name goes.
pub(crate) struct Way<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) key: &'a KeyEntry,
    pub(crate) profile: &'a CompiledProfile,
}

/// Where a name goes.
pub(crate) enum Found {
    /// To the built-in model.
    Echo(Mapped),
    /// To nobody; under these names it was looked for.
    Unknown(Vec<String>),
    /// To deployments.
    Groups(Groups),
}

/// Deployments in groups, best first.
pub(crate) struct Groups {
    pub(crate) mapped: Mapped,
    pub(crate) groups: Vec<Arc<Group>>,
    /// The route that the first of them came from.
    pub(crate) route: Option<String>,
}

impl Way<'_> {
    /// Where a name goes under the profile.
    ///
    /// # Errors
    /// When the key may not ask for it.
    pub(crate) fn find(&self, asked: &str, query: &mut dyn Query) -> Result<Found, Refusal> {
        if !self.key.allows_model(asked) {
            let told = told!(
                "key-not-model",
                "the key {key} may not use the model \"{model}\"",
                key = self.key.key.name,
                model = asked
            );
            return Err(Refusal::new(Kind::Forbidden, told));
        }
        let mapped = self.profile.map(asked, query);
        let mut groups: Vec<Arc<Group>> = Vec::new();
        let mut route = None;
        for target in &mapped.targets {
            match self.snapshot.routing.resolve(target, asked, query) {
                Resolution::Echo if groups.is_empty() => return Ok(Found::Echo(mapped)),
                // As a fallback echo would hide that everything failed.
                Resolution::Echo => {}
                Resolution::Groups(found) => {
                    if groups.is_empty() && self.snapshot.routing.is_routed(target) {
                        route = Some(target.clone());
                    }
                    groups.extend(found);
                }
                Resolution::Unknown => tracing::debug!(target, "a target names nothing"),
            }
        }
        if groups.is_empty() {
            return Ok(Found::Unknown(mapped.targets));
        }
        Ok(Found::Groups(Groups { mapped, groups, route }))
    }

    /// Who is asked in which order. `dry`: only looked at.
    pub(crate) fn plan(
        &self,
        groups: &[Arc<Group>],
        place: Option<Place>,
        bound: Option<&dyn Fn(&Candidate) -> bool>,
        dry: bool,
        query: &mut dyn Query,
    ) -> Plan {
        let table = &self.snapshot.routing;
        let barred = |channel: usize| match table.channels.get(channel) {
            Some(channel) if !self.key.allows_channel(channel) => Some(Omitted::NotForKey),
            Some(channel) if !self.profile.allows(channel) => Some(Omitted::NotInProfile),
            _ => None,
        };
        let strategy = self.key.key.strategy.or(self.profile.strategy);
        let errand = Errand::planned(query.format());
        let desire = Desire { strategy, barred: &barred, place, bound, dry, errand };
        let mut made = plan(table, groups, &desire, query, &mut |n| fastrand::u64(0..n.max(1)));
        if self.snapshot.settings.unpriced == Unpriced::Block {
            self.leave_out_unpriced(&mut made);
        }
        made
    }

    /// What is said where there are deployments, but none may serve.
    pub(crate) fn nobody(&self, asked: &str, plan: &Plan) -> Refusal {
        if let Some(example) = plan.left_out.iter().find(|left| left.why == Omitted::NoPrice) {
            let channel = self.snapshot.lines.get(example.channel).map_or("CHANNEL", |line| line.channel.name());
            let told = told!(
                "none-priced",
                "no deployment of the model \"{model}\" has a price, and models without one are blocked; `myelin price set {channel}/{upstream} --input … --output …` sets one",
                model = asked,
                channel = channel,
                upstream = example.upstream
            );
            return Refusal::new(Kind::Forbidden, told);
        }
        let by_profile = plan.left_out.iter().all(|left| left.why == Omitted::NotInProfile);
        let told = if by_profile {
            told!(
                "profile-bars-all",
                "the profile {profile} allows no channel that serves \"{model}\"",
                profile = self.profile.name,
                model = asked
            )
        } else {
            told!(
                "key-bars-all",
                "the key {key} may not use any channel that serves \"{model}\"",
                key = self.key.key.name,
                model = asked
            )
        };
        Refusal::new(Kind::Forbidden, told)
    }

    fn leave_out_unpriced(&self, plan: &mut Plan) {
        let priced =
            |channel: usize, upstream: &str| self.snapshot.quote(channel, upstream).is_some_and(|own| own.is_priced());
        plan.candidates.retain(|own| priced(own.channel, &own.upstream));
        let (steps, out) =
            std::mem::take(&mut plan.steps).into_iter().partition(|own| priced(own.channel, &own.upstream));
        plan.steps = steps;
        let out: Vec<Step> = out;
        let left = |step: Step| LeftOut { channel: step.channel, upstream: step.upstream, why: Omitted::NoPrice };
        plan.left_out.extend(out.into_iter().map(left));
    }
}
