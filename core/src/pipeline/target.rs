//! From the asked model to candidates: profile, key's allow-list, routing, plan.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::Job;
use crate::error::{GatewayError, Kind};
use crate::model::Unpriced;
use crate::routing::{Candidate, Group, Resolution, plan};

/// Where a request may go.
#[derive(Debug)]
pub(crate) enum Target {
    /// The built-in model.
    Echo,
    /// Candidates in order.
    Deployments(Deployments),
}

/// Candidates in order, with what the profile wants set.
#[derive(Debug, Clone)]
pub(crate) struct Deployments {
    /// Never empty.
    pub candidates: Vec<Candidate>,
    /// Body fields to set, in the caller's own words.
    pub set: Map<String, Value>,
}

/// How much a request asks for, as far as that shows before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Size of its body.
    pub body_bytes: u64,
    /// The body, if it is all there.
    pub body: Option<Bytes>,
    /// The most tokens that the caller wants back; `None`: it named no limit.
    pub max_output: Option<u64>,
}

impl Job {
    /// The plan is made and no attempt has begun: here a request is let through to its providers or is not, and what it reserves is handed to [`Settle`], which
    /// gives it back or settles it however the request ends. Every surface that spends money comes through here; only a request's first time counts.
    ///
    /// [`Settle`]: super::settle::Settle
    pub(crate) async fn planned(&mut self, deployments: &Deployments, demand: Demand) -> Result<(), GatewayError> {
        if std::mem::replace(&mut self.planned, true) {
            return Ok(());
        }
        self.let_in(&deployments.candidates, demand).await
    }

    /// Finds where `asked` goes and notes it in the record.
    pub(crate) fn target(&mut self, asked: &str) -> Result<Target, GatewayError> {
        if asked.is_empty() {
            return Err(GatewayError::new(Kind::InvalidRequest, "the request names no model"));
        }
        asked.clone_into(&mut self.settle.record_mut().model);
        let key = &self.caller.key;
        if !key.allows_model(asked) {
            let message = format!("the key {} may not use the model {asked:?}", key.key.name);
            return Err(GatewayError::new(Kind::Forbidden, message));
        }
        let mapped = self.caller.profile.map(asked);
        let mut groups: Vec<Group> = Vec::new();
        for target in &mapped.targets {
            match self.snapshot.routing.resolve(target, asked) {
                Resolution::Echo if groups.is_empty() => {
                    self.settle.record_mut().rule = mapped.rule;
                    return Ok(Target::Echo);
                }
                // As a fallback echo would hide that everything failed.
                Resolution::Echo => {}
                Resolution::Groups(found) => groups.extend(found),
                Resolution::Unknown => tracing::debug!(target, "a target names nothing"),
            }
        }
        if groups.is_empty() {
            return Err(self.unknown_model(asked, &mapped.targets));
        }
        let table = &self.snapshot.routing;
        let allowed = |channel: usize| table.channels.get(channel).is_some_and(|channel| key.allows_channel(channel));
        let candidates = plan(table, &groups, allowed, |n| fastrand::u64(0..n));
        self.settle.record_mut().rule = mapped.rule;
        if candidates.is_empty() {
            let message = format!("the key {} may not use any channel that serves {asked:?}", key.key.name);
            return Err(GatewayError::new(Kind::Forbidden, message));
        }
        let candidates = self.priced(asked, candidates)?;
        Ok(Target::Deployments(Deployments { candidates, set: mapped.set }))
    }

    /// Candidates for a model, a route or `channel/model` that the owner named, in order; none if nobody offers it or the key may not use them.
    pub(crate) fn candidates_for(&self, name: &str) -> Vec<Candidate> {
        let table = &self.snapshot.routing;
        let Resolution::Groups(groups) = table.resolve(name, name) else { return Vec::new() };
        let key = &self.caller.key;
        let allowed = |channel: usize| table.channels.get(channel).is_some_and(|channel| key.allows_channel(channel));
        plan(table, &groups, allowed, |n| fastrand::u64(0..n))
    }

    /// Leaves out deployments that have no price, where the owner wants that.
    fn priced(&self, asked: &str, mut candidates: Vec<Candidate>) -> Result<Vec<Candidate>, GatewayError> {
        if self.snapshot.settings.unpriced == Unpriced::Allow {
            return Ok(candidates);
        }
        let first = candidates.first().cloned();
        candidates.retain(|candidate| {
            self.snapshot.quote(candidate.channel, &candidate.upstream).is_some_and(|quote| quote.is_priced())
        });
        if candidates.is_empty() {
            let example = first.and_then(|first| {
                let line = self.snapshot.lines.get(first.channel)?;
                Some(format!(
                    "; `myelin price set {}/{} --input … --output …` sets one",
                    line.channel.name(),
                    first.upstream
                ))
            });
            let message = format!(
                "no deployment of the model {asked:?} has a price, and models without one are blocked{}",
                example.unwrap_or_default()
            );
            return Err(GatewayError::new(Kind::Forbidden, message));
        }
        Ok(candidates)
    }

    fn unknown_model(&self, asked: &str, targets: &[String]) -> GatewayError {
        let names = self.snapshot.routing.names();
        let mut message = match targets {
            [only] if only == asked => format!("no enabled channel offers the model {asked:?}"),
            _ => format!(
                "{asked:?} is mapped to {} by the profile, but no enabled channel offers that",
                targets.join(", ")
            ),
        };
        if let Some(off) = self.switched_off(targets) {
            message
                .push_str(&format!("; the channel \"{off}\" is off: `myelin channel enable {off}` lets it take part"));
        } else if names.is_empty() {
            message.push_str("; no channel takes part: `myelin channel list` shows those that are off, `myelin channel add` adds one, the built-in model \"echo\" needs none");
        } else {
            let mut close: Vec<&&str> = names.iter().filter(|name| related(name, asked)).take(5).collect();
            if close.is_empty() {
                close = names.iter().take(5).collect();
            }
            let close: Vec<String> = close.iter().map(|name| format!("{name:?}")).collect();
            message.push_str("; there are ");
            message.push_str(&close.join(", "));
            if names.len() > close.len() {
                message.push_str(" and others (GET /v1/models)");
            }
        }
        GatewayError::new(Kind::UnknownModel, message)
    }

    /// A channel that the targets name and that takes no part.
    fn switched_off<'a>(&self, targets: &'a [String]) -> Option<&'a str> {
        let entities = self.services.store.entities();
        let mut named = targets.iter().filter_map(|target| Some(target.split_once('/')?.0));
        named.find(|name| entities.channel(name).is_some_and(|channel| !channel.enabled))
    }
}

/// Whether two names begin with the same word (`claude-…`, `gpt-…`), or one's first word with the other's (`claud-…`).
fn related(name: &str, asked: &str) -> bool {
    let word = |name: &str| name.split(['-', '/', '.', ':']).next().unwrap_or_default().to_ascii_lowercase();
    let (name, asked) = (word(name), word(asked));
    let (short, long) = if name.len() < asked.len() { (name, asked) } else { (asked, name) };
    !short.is_empty() && long.starts_with(&short)
}
