//! Stored responses: what is kept of answers, and how `previous_response_id` finds it.
//!
//! An answer that a provider stores stays there; we keep only which channel and credential it is bound to. An answer that was converted is kept here, whole, with its
//! owner and an end. Another key's id is 403. `store: false` keeps nothing.

use std::time::Duration;

use myelin_protocol::formats::openai_responses::stored::{self as wire, StoredResponse};
use myelin_protocol::ir::ChatResponse;
use myelin_protocol::{ApiError, ApiErrorKind, ApiFormat, ReplyContext};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::{Ask, reply_context};
use super::relay::Relay;
use super::target::Deployments;
use super::{Job, Services};
use crate::error::{GatewayError, Kind};
use crate::routing::Candidate;

/// Namespace in the store.
const SPACE: &str = "responses";
/// A conversation with more links is not followed: something is wrong with it.
const LONGEST_CHAIN: usize = 500;

/// What the store keeps of one answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Row {
    /// The provider has it.
    Native {
        /// Channel that answered.
        channel: String,
        /// Its credential.
        credential: u32,
    },
    /// We have it.
    Local {
        /// The answer before.
        previous: Option<String>,
        /// The new items of the request.
        input: Vec<Value>,
        /// The response object as the client got it.
        response: Value,
    },
}

/// What a request goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Nothing.
    Fresh,
    /// A conversation that was put in front of the request.
    Expanded,
    /// An answer that one channel and credential stores.
    Bound {
        /// The channel.
        channel: String,
        /// Its credential.
        credential: u32,
    },
}

impl Follow {
    /// The client's bytes no longer say everything.
    pub(super) fn is_expanded(&self) -> bool {
        *self == Follow::Expanded
    }

    /// Leaves only the candidates that can go on from the answer.
    pub(super) fn narrow(&self, job: &Job, deployments: &mut Deployments) -> Result<(), GatewayError> {
        let Follow::Bound { channel, credential } = self else { return Ok(()) };
        let there = |candidate: &Candidate| {
            let line = job.snapshot.lines.get(candidate.channel);
            line.is_some_and(|line| {
                line.channel.name() == channel && (*credential as usize) < line.channel.credentials()
            })
        };
        // A plan leaves out credentials that are benched; here no other will do.
        let found = deployments.candidates.iter().find(|candidate| there(candidate)).cloned();
        deployments.candidates =
            found.map(|found| Candidate { credential: *credential, ..found }).into_iter().collect();
        if deployments.candidates.is_empty() {
            let message = format!(
                "the previous response is stored at the channel {channel}, which does not serve this model now"
            );
            return Err(GatewayError::new(Kind::InvalidRequest, message));
        }
        Ok(())
    }
}

/// Finds what `ask` goes on from, and puts a locally kept conversation in front of it.
pub(crate) async fn follow(job: &Job, ask: &mut Ask) -> Result<Follow, GatewayError> {
    if ask.format != ApiFormat::OpenaiResponses {
        return Ok(Follow::Fresh);
    }
    let Some(id) = ask.text("previous_response_id").map(|id| id.into_owned()) else {
        return Ok(Follow::Fresh);
    };
    match load(job, &id).await? {
        Row::Native { channel, credential } => Ok(Follow::Bound { channel, credential }),
        row @ Row::Local { .. } => {
            let chain = chain(job, row).await?;
            let tree = wire::continue_from(&chain, ask.envelope()?.body())
                .map_err(|error| GatewayError::unreadable(&error))?;
            ask.replace_tree(tree);
            Ok(Follow::Expanded)
        }
    }
}

/// What has to be stored when an answer is complete.
pub(crate) enum Keep {
    /// The provider stores it; where that was.
    Native {
        /// The channel.
        channel: String,
        /// Its credential.
        credential: u32,
        /// Whose it is, and for how long.
        terms: Terms,
    },
    /// We store it.
    Local {
        /// The answer before.
        previous: Option<String>,
        /// The new items of the request.
        input: Vec<Value>,
        /// For writing the response object.
        context: Box<ReplyContext>,
        /// Whose it is, and for how long.
        terms: Terms,
    },
    /// A turn of a Dify conversation.
    Dify(Box<super::dify::Turn>),
}

/// Whose a stored answer is, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    owner: String,
    keep: Duration,
}

/// What is to be stored of the answer to `ask`, if anything. `native`: the bytes pass, so the provider stores it.
pub(crate) fn keep(job: &Job, ask: &mut Ask, candidate: &Candidate, native: bool) -> Option<Keep> {
    if ask.aside {
        return None;
    }
    if let Some(turn) = &ask.turn {
        // Not taken: this candidate may still fail, and then the next one's answer is the turn.
        return Some(Keep::Dify(turn.clone()));
    }
    let terms = terms(job, ask)?;
    if native {
        let channel = job.snapshot.lines.get(candidate.channel)?.channel.name().to_owned();
        return Some(Keep::Native { channel, credential: candidate.credential, terms });
    }
    local(job, ask, terms)
}

/// Stores a whole converted answer, if it is to be stored.
pub(crate) fn keep_answer(job: &Job, ask: &mut Ask, response: &ChatResponse) {
    if ask.aside {
        return;
    }
    if let Some(turn) = ask.turn.take() {
        turn.ended(&job.services, response);
    } else if let Some(keep) = terms(job, ask).and_then(|terms| local(job, ask, terms)) {
        keep.local(&job.services, response);
    }
}

fn local(job: &Job, ask: &mut Ask, terms: Terms) -> Option<Keep> {
    let tree = ask.tree().ok()?;
    let context = reply_context(job, ask, Some(tree));
    let input = wire::input_items(ask.envelope().ok()?.body(), &context.id).ok()?;
    let previous = ask.text("previous_response_id").map(|id| id.into_owned());
    Some(Keep::Local { previous, input, context: Box::new(context), terms })
}

fn terms(job: &Job, ask: &Ask) -> Option<Terms> {
    let wanted = ask.format == ApiFormat::OpenaiResponses && !ask.compacts && ask.flag("store") != Some(false);
    let keep = Duration::from_secs(job.snapshot.settings.stored_response_seconds);
    wanted.then(|| Terms { owner: job.caller.key.key.id.clone(), keep })
}

impl Keep {
    /// A stream ended well.
    pub(crate) fn stream_ended(self, services: &Services, relay: &mut Relay) {
        match &self {
            Keep::Native { .. } => {
                if let Some(id) = relay.response_id().map(str::to_owned) {
                    self.native(services, &id);
                }
            }
            Keep::Local { .. } | Keep::Dify(_) => {
                if let Some(folded) = relay.folded() {
                    self.local(services, &folded.response);
                }
            }
        }
    }

    /// A provider stored its answer under `id`.
    pub(crate) fn native(self, services: &Services, id: &str) {
        if let Keep::Native { channel, credential, terms } = self {
            put(services, id, &terms, &Row::Native { channel, credential });
        }
    }

    fn local(self, services: &Services, response: &ChatResponse) {
        match self {
            Keep::Local { previous, input, context, terms } => {
                let written = ApiFormat::OpenaiResponses.codec().encode_response(response, &context).value;
                let Ok(response) = serde_json::from_slice::<Value>(&written) else { return };
                let Some(id) = response.get("id").and_then(Value::as_str).map(str::to_owned) else { return };
                put(services, &id, &terms, &Row::Local { previous, input, response });
            }
            Keep::Dify(turn) => turn.ended(services, response),
            Keep::Native { .. } => {}
        }
    }
}

fn put(services: &Services, id: &str, terms: &Terms, row: &Row) {
    let kept = serde_json::to_vec(row)
        .is_ok_and(|value| services.store.kept().put(SPACE, id, &terms.owner, terms.keep, &value));
    if !kept {
        tracing::warn!(id, "a response could not be stored");
    }
}

/// Forgets a stored answer.
pub(super) fn forget(services: &Services, id: &str) {
    services.store.kept().delete(SPACE, id);
}

/// One stored answer of the caller's own.
pub(super) async fn load(job: &Job, id: &str) -> Result<Row, GatewayError> {
    let entry = job
        .services
        .store
        .kept()
        .get(SPACE, id)
        .await
        .map_err(|error| GatewayError::new(Kind::Internal, "the store cannot be read").caused_by(error))?;
    let Some(entry) = entry else {
        let mut public = ApiError::new(ApiErrorKind::NotFound, format!("Previous response with id '{id}' not found."));
        public.code = Some("previous_response_not_found".to_owned());
        return Err(GatewayError { public, ..GatewayError::new(Kind::NotFound, "") });
    };
    if entry.owner != job.caller.key.key.id {
        return Err(GatewayError::new(Kind::Forbidden, format!("the response {id} belongs to another key")));
    }
    serde_json::from_slice(&entry.value)
        .map_err(|error| GatewayError::new(Kind::Internal, "a stored response is damaged").caused_by(error))
}

/// The answers up to `newest`, oldest first.
pub(super) async fn chain(job: &Job, newest: Row) -> Result<Vec<StoredResponse>, GatewayError> {
    let mut chain = Vec::new();
    let mut next = Some(newest);
    while let Some(row) = next {
        let Row::Local { previous, input, response } = row else {
            let message = "the conversation began at a provider that stores it; it cannot be continued elsewhere";
            return Err(GatewayError::new(Kind::InvalidRequest, message));
        };
        chain.push(StoredResponse { input, response });
        if chain.len() > LONGEST_CHAIN {
            return Err(GatewayError::new(Kind::InvalidRequest, "the stored conversation is too long"));
        }
        next = match previous {
            Some(id) => Some(load(job, &id).await?),
            None => None,
        };
    }
    chain.reverse();
    Ok(chain)
}
