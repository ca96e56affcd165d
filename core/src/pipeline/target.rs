//! From the asked model to candidates: profile, key's allow-list, routing, plan.

use std::sync::Arc;

use bytes::Bytes;
use myelin_protocol::ApiFormat;
use serde_json::{Map, Value};

use super::origins::Maker;
use super::sight::{Body, Sight};
use super::way::{Found, Groups, Way};
use super::{Job, Surface, conversation};
use crate::error::{GatewayError, Kind};
use crate::model::{MOST_PLANNED, PlannedDeployment};
use crate::routing::{Candidate, Group, Plan, Resolution};

/// The longest name of a model, in bytes: it is told in errors and logs.
const MOST_NAME: usize = 512;

/// Refuses a name that no model has and that would fill the log or break its lines.
pub(super) fn checked_name(asked: &str) -> Result<(), GatewayError> {
    let message = if asked.len() > MOST_NAME {
        format!("the model's name has {} bytes; the longest may have {MOST_NAME}", asked.len())
    } else if asked.bytes().any(|byte| byte.is_ascii_control()) {
        "the model's name holds a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(GatewayError::new(Kind::InvalidRequest, message))
}

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
    pub(crate) fn target(&mut self, asked: &str, body: Body<'_>) -> Result<Target, GatewayError> {
        if asked.is_empty() {
            return Err(GatewayError::new(Kind::InvalidRequest, "the request names no model"));
        }
        let told = asked.get(..asked.floor_char_boundary(MOST_NAME)).unwrap_or_default();
        told.clone_into(&mut self.settle.record_mut().model);
        checked_name(asked)?;
        let record = self.settle.record();
        let mut sight = self.sight(body);
        let way = self.way();
        let found = match way.find(asked, &mut sight)? {
            Found::Unknown(targets) => return Err(self.unknown_model(asked, &targets)),
            Found::Echo(mapped) => {
                self.settle.record_mut().rule = mapped.rule;
                return Ok(Target::Echo);
            }
            Found::Groups(found) => found,
        };
        let Groups { mapped, groups, route } = found;
        let conversation = match &sight.body {
            Body::Ask(ask) if several(&groups) => conversation::of(ask, record),
            Body::Arriving(_) if several(&groups) => conversation::of_head(record),
            _ => None,
        };
        let makers = match &sight.body {
            Body::Ask(ask) if several(&groups) => {
                ask.whole().map(|body| self.services.origins.makers(body.body())).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let format = sight.format_of_body();
        let home = |candidate: &Candidate| format.is_some_and(|format| self.made(&makers, candidate, format));
        let keep_ms = self.snapshot.settings.affinity_seconds.saturating_mul(1_000);
        let place = conversation
            .filter(|_| keep_ms > 0)
            .and_then(|conversation| self.services.fleet.affinity.find(conversation, sight.now_ms, keep_ms));
        let bound: Option<&dyn Fn(&Candidate) -> bool> = if makers.is_empty() { None } else { Some(&home) };
        // A count goes where the conversation would go, and leaves it the turn.
        let dry = matches!(self.call.surface, Surface::CountTokens { .. });
        let plan = way.plan(&groups, place, bound, dry, &mut sight);
        self.note_plan(&plan, &groups, mapped.rule, route);
        self.settle.conversation = conversation.filter(|_| keep_ms > 0);
        if plan.candidates.is_empty() {
            return Err(self.way().nobody(asked, &plan).into());
        }
        Ok(Target::Deployments(Deployments { candidates: plan.candidates, set: mapped.set }))
    }

    /// Candidates for a model, a route or `channel/model` that the owner named, in order; none if nobody offers it or the key may not use them.
    pub(crate) fn candidates_for(&self, name: &str) -> Vec<Candidate> {
        let mut sight = self.sight(Body::Arriving(false));
        let Resolution::Groups(groups) = self.snapshot.routing.resolve(name, name, &mut sight) else {
            return Vec::new();
        };
        self.way().plan(&groups, None, None, false, &mut sight).candidates
    }

    /// What decides where this caller's names go.
    fn way(&self) -> Way<'_> {
        Way { snapshot: &self.snapshot, key: &self.caller.key, profile: &self.caller.profile }
    }

    /// What rules and strategies may see of this request.
    pub(super) fn sight<'a>(&'a self, body: Body<'a>) -> Sight<'a> {
        let record = self.settle.record();
        Sight {
            now_ms: self.services.clock.unix_ms(),
            tool: record.tool.as_deref(),
            format: self.call.surface.label(),
            stream: record.stream,
            headers: &self.call.headers,
            body,
            counted: None,
        }
    }

    /// Whether where `asked` goes depends on what the body holds, so that it has to be there before the first attempt.
    pub(crate) fn target_needs_body(&self, asked: &str) -> bool {
        let record = self.settle.record();
        let mut sight = self.sight(Body::Arriving(false));
        let way = self.way();
        let Ok(Found::Groups(found)) = way.find(asked, &mut sight) else { return false };
        if several(&found.groups) {
            // Which conversation it is shows in its first words, if no header says it.
            if record.thread.is_none() && record.session.is_none() {
                return true;
            }
            way.plan(&found.groups, None, None, true, &mut sight);
        }
        matches!(sight.body, Body::Arriving(true))
    }

    /// Whether a candidate made some of the opaque reasoning that the request brings back.
    fn made(&self, makers: &[Maker], candidate: &Candidate, format: ApiFormat) -> bool {
        let Ok(line) = self.line(candidate) else { return false };
        let Some(accepted) = line.channel.accepts(format, &candidate.upstream) else { return false };
        makers.contains(&Maker::of(&line.channel, candidate, accepted.format == ApiFormat::OpenaiResponses))
    }

    /// Writes the plan into the record.
    fn note_plan(&mut self, plan: &Plan, groups: &[Arc<Group>], rule: Option<String>, route: Option<String>) {
        let table = &self.snapshot.routing;
        let planned = plan.steps.iter().take(MOST_PLANNED).map(|step| PlannedDeployment {
            channel: table.channels.get(step.channel).map(|channel| channel.name.clone()).unwrap_or_default(),
            model: step.upstream.as_ref().to_owned(),
            group: u32::try_from(step.group).unwrap_or(u32::MAX),
            placed: Some(step.placed()),
        });
        let planned = planned.collect();
        let strategy = plan.steps.first().map(|step| step.strategy).or(groups.first().map(|group| group.strategy));
        let record = self.settle.record_mut();
        record.rule = rule;
        record.route = route;
        record.strategy = strategy.map(|strategy| strategy.word().to_owned());
        record.plan = planned;
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

/// Whether there is a choice at all: another deployment or another credential.
fn several(groups: &[Arc<Group>]) -> bool {
    let deployments = groups.iter().flat_map(|group| &group.deployments);
    deployments.map(|deployment| deployment.credentials.len()).sum::<usize>() > 1
}

/// Whether two names begin with the same word (`claude-…`, `gpt-…`), or one's first word with the other's (`claud-…`).
fn related(name: &str, asked: &str) -> bool {
    let word = |name: &str| name.split(['-', '/', '.', ':']).next().unwrap_or_default().to_ascii_lowercase();
    let (name, asked) = (word(name), word(asked));
    let (short, long) = if name.len() < asked.len() { (name, asked) } else { (asked, name) };
    !short.is_empty() && long.starts_with(&short)
}
