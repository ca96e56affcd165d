//! What would happen to a request, without sending it: by the same way that requests go.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Services;
use super::admit::{PROFILE_HEADER, may_call};
use super::sight::{TAGS_HEADER, tags_in};
use super::way::{Found, Groups, Way};
use crate::error::{GatewayError, Kind};
use crate::model::{Note, Omitted, Told, Why};
use crate::routing::{Described, Query as _, RuleTried};
use crate::snapshot::KeyEntry;
use crate::told;

/// A request as somebody describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Supposed {
    /// The model that is asked for.
    pub model: String,
    /// Id or name of the key; absent: one without limits.
    pub key: Option<String>,
    /// The profile; absent: the key's, else the tool's, else the gateway's.
    pub profile: Option<String>,
    /// Everything else that rules may ask for.
    pub described: Described,
}

/// What would happen to it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The model that was asked for.
    pub model: String,
    /// The profile that applies.
    pub profile: String,
    /// Where the profile is from: `asked`, `key`, `tool` or `gateway`.
    pub profile_from: String,
    /// The profile's rules up to the one that fires, and why those before it do not.
    pub rules: Vec<RuleTried>,
    /// Names that it is mapped to, best first.
    pub targets: Vec<String>,
    /// The route that they lead to, if one is defined.
    pub route: Option<String>,
    /// The built-in model answers.
    pub echo: bool,
    /// Deployments in the order in which they would be tried.
    pub plan: Vec<ExplainedDeployment>,
    /// Deployments that may not serve it.
    pub left_out: Vec<ExplainedOmission>,
    /// Why nobody would be asked.
    pub refused: Option<Told>,
}

/// One deployment of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedDeployment {
    /// The channel.
    pub channel: String,
    /// What the provider calls the model.
    pub model: String,
    /// Which group, from 0; a later one is cold standby.
    pub group: u32,
    /// How the group chooses.
    pub strategy: String,
    /// Why it stands here, in words.
    pub why: String,
    /// Its place by the strategy.
    pub reason: Why,
    /// What moved it from there.
    #[serde(default)]
    pub note: Note,
    /// Only if nobody else can serve: when it may be asked again, milliseconds since 1970.
    pub benched_until: Option<u64>,
    /// Its credentials in the order of their tries, by position.
    pub credentials: Vec<u32>,
}

/// One deployment that may not serve.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ExplainedOmission {
    /// The channel.
    pub channel: String,
    /// What the provider calls the model.
    pub model: String,
    /// Why not, in words.
    pub why: String,
    /// Which of the reasons.
    #[serde(default)]
    pub reason: Omitted,
}

/// What would happen to a request.
///
/// # Errors
/// When there is no such key or profile.
pub fn explain(services: &Services, supposed: &Supposed) -> Result<Explanation, GatewayError> {
    let snapshot = services.snapshot.load_full();
    let missing = |what: &str, name: &str| GatewayError::new(Kind::NotFound, format!("there is no {what} {name:?}"));
    let tool = supposed.described.tool.as_deref();
    let free = || Arc::new(KeyEntry::unlimited());
    let (key, key_from) = match (&supposed.key, tool) {
        (Some(key), _) => (snapshot.key_named(key).ok_or_else(|| missing("key", key))?, "key"),
        // A tool's own key decides for it, where it has one.
        (None, Some(tool)) => (snapshot.key_of_tool(tool).unwrap_or_else(free), "tool"),
        (None, None) => (free(), "gateway"),
    };
    let header = supposed.described.header(PROFILE_HEADER).map(str::to_owned);
    let (name, profile_from) = match (supposed.profile.as_ref().or(header.as_ref()), &key.key.profile) {
        (Some(profile), _) => (Some(profile.as_str()), "asked"),
        (None, Some(own)) => (Some(own.as_str()), key_from),
        (None, None) => (None, "gateway"),
    };
    let profile = match name {
        Some(name) => snapshot.profile(name).ok_or_else(|| missing("profile", name))?,
        None => snapshot.active_profile(),
    };
    let mut described = supposed.described.clone();
    described.now_ms = services.clock.unix_ms();
    if described.tool.is_none() {
        described.tool.clone_from(&key.key.tool);
    }
    if described.tags.is_empty() {
        described.tags = match described.header(TAGS_HEADER) {
            Some(tags) => tags_in(tags),
            None => described.metadata("tags").map(|tags| tags_in(&tags)).unwrap_or_default(),
        };
    }
    let mut explanation = Explanation {
        model: supposed.model.clone(),
        profile: profile.name.clone(),
        profile_from: profile_from.to_owned(),
        rules: profile.tried(&supposed.model, &mut described),
        ..Explanation::default()
    };
    if let Err(refusal) = may_call(&snapshot, &key, &described.format, described.now_ms) {
        explanation.refused = Some(refusal.told);
        return Ok(explanation);
    }
    let way = Way { snapshot: &snapshot, key: &key, profile: &profile };
    let Groups { mapped, groups, route } = match way.find(&supposed.model, &mut described) {
        Ok(Found::Groups(groups)) => groups,
        Ok(Found::Echo(mapped)) => {
            explanation.targets = mapped.targets;
            explanation.echo = true;
            return Ok(explanation);
        }
        Ok(Found::Unknown(targets)) => {
            let told = told!("none-offers", "no enabled channel offers \"{models}\"", models = targets.join(", "));
            explanation.refused = Some(told);
            explanation.targets = targets;
            return Ok(explanation);
        }
        Err(refusal) => {
            explanation.refused = Some(refusal.told);
            return Ok(explanation);
        }
    };
    explanation.targets = mapped.targets;
    explanation.route = route;
    let plan = way.plan(&groups, None, None, true, &mut described);
    let table = &snapshot.routing;
    let channel = |position: usize| table.channels.get(position).map(|own| own.name.clone()).unwrap_or_default();
    let step = |step: &crate::routing::Step| ExplainedDeployment {
        channel: channel(step.channel),
        model: step.upstream.as_ref().to_owned(),
        group: u32::try_from(step.group).unwrap_or(u32::MAX),
        strategy: step.strategy.word().to_owned(),
        why: step.placed().to_string(),
        reason: step.why,
        note: step.note,
        benched_until: step.benched_until(),
        credentials: plan
            .candidates
            .iter()
            .filter(|candidate| candidate.channel == step.channel && candidate.upstream == step.upstream)
            .map(|candidate| candidate.credential)
            .collect(),
    };
    explanation.plan = plan.steps.iter().map(step).collect();
    let omission = |left: &crate::routing::LeftOut| ExplainedOmission {
        channel: channel(left.channel),
        model: left.upstream.as_ref().to_owned(),
        why: left.why.words().to_owned(),
        reason: left.why,
    };
    explanation.left_out = plan.left_out.iter().map(omission).collect();
    if explanation.plan.is_empty() {
        explanation.refused = Some(way.nobody(&supposed.model, &plan).told);
    }
    Ok(explanation)
}
