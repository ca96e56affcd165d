//! Stored responses: `previous_response_id`, `GET`/`DELETE /v1/responses/{id}`, and compaction.
//!
//! An answer that a provider stores stays there; we keep only which channel and credential it is bound to. An answer that was converted is kept here, whole, with its
//! owner and an end. Another key's id is 403. `store: false` keeps nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_protocol::formats::openai_responses::stored::{self as wire, StoredResponse};
use myelin_protocol::ir::{ChatRequest, ChatResponse};
use myelin_protocol::{ApiError, ApiErrorKind, ApiFormat, ReplyContext};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attempt::{self, collect};
use super::chat::{Ask, reply_context};
use super::relay::Relay;
use super::reply::Reply;
use super::surface::StoredAction;
use super::target::{Deployments, Target};
use super::{Job, Services};
use crate::error::{GatewayError, Kind};
use crate::model::AttemptOutcome;
use crate::providers::Operation;
use crate::routing::Candidate;
use crate::upstream::timeouts::Deadline;

/// Namespace in the store.
const SPACE: &str = "responses";
/// A conversation with more links is not followed: something is wrong with it.
const LONGEST_CHAIN: usize = 500;

/// What the store keeps of one answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Row {
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
        deployments.candidates.retain(|candidate| {
            let name = job.snapshot.lines.get(candidate.channel).map(|line| line.channel.name());
            name == Some(channel.as_str()) && candidate.credential == *credential
        });
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
    let Some(id) = ask.envelope.text("previous_response_id").map(|id| id.into_owned()) else {
        return Ok(Follow::Fresh);
    };
    match load(job, &id).await? {
        Row::Native { channel, credential } => Ok(Follow::Bound { channel, credential }),
        row @ Row::Local { .. } => {
            let chain = chain(job, row).await?;
            let tree = wire::continue_from(&chain, ask.envelope.body()).map_err(|error| {
                GatewayError::new(Kind::InvalidRequest, format!("{}: {}", error.pointer, error.message))
            })?;
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
    if let Some(turn) = ask.turn.take() {
        turn.ended(&job.services, response);
    } else if let Some(keep) = terms(job, ask).and_then(|terms| local(job, ask, terms)) {
        keep.local(&job.services, response);
    }
}

fn local(job: &Job, ask: &mut Ask, terms: Terms) -> Option<Keep> {
    let tree = ask.tree().ok()?;
    let context = reply_context(job, ask, Some(tree));
    let input = wire::input_items(ask.envelope.body(), &context.id).ok()?;
    let previous = ask.envelope.text("previous_response_id").map(|id| id.into_owned());
    Some(Keep::Local { previous, input, context: Box::new(context), terms })
}

fn terms(job: &Job, ask: &Ask) -> Option<Terms> {
    let wanted = ask.format == ApiFormat::OpenaiResponses && !ask.compacts && ask.envelope.flag("store") != Some(false);
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

/// Answers `GET`/`DELETE /v1/responses/{id}` and what lies below.
pub(crate) async fn run(job: Job, id: &str, action: StoredAction) -> Reply {
    let row = match load(&job, id).await {
        Ok(row) => row,
        Err(error) => return job.fail(error),
    };
    let (response, row) = match row {
        Row::Native { channel, credential } => return native(job, id, action, &channel, credential).await,
        Row::Local { previous, input, response } => (response.clone(), Row::Local { previous, input, response }),
    };
    match action {
        StoredAction::Get => job.json(200, response.to_string().into_bytes()),
        StoredAction::Delete => {
            job.services.store.kept().delete(SPACE, id);
            job.json(200, wire::encode_deleted(id))
        }
        StoredAction::InputItems => match chain(&job, row).await {
            Ok(chain) => {
                let query = job.call.query.clone();
                let page = page(&query);
                job.json(200, wire::encode_input_items(&chain, &page))
            }
            Err(error) => job.fail(error),
        },
        StoredAction::Cancel => {
            let message = "only a response that was made in the background can be cancelled";
            job.fail(GatewayError::new(Kind::InvalidRequest, message))
        }
    }
}

fn page(query: &str) -> wire::Page<'_> {
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    wire::Page {
        after: value("after"),
        limit: value("limit").and_then(|limit| limit.parse().ok()),
        ascending: value("order") == Some("asc"),
    }
}

/// Asks the provider that has it.
async fn native(mut job: Job, id: &str, action: StoredAction, channel: &str, credential: u32) -> Reply {
    let Some(position) = job.snapshot.lines.iter().position(|line| line.channel.name() == channel) else {
        let message = format!("the response is stored at the channel {channel}, which is not there any more");
        return job.fail(GatewayError::new(Kind::NotFound, message));
    };
    let (method, tail) = match action {
        StoredAction::Get => (http::Method::GET, id.to_owned()),
        StoredAction::Delete => (http::Method::DELETE, id.to_owned()),
        StoredAction::InputItems => (http::Method::GET, format!("{id}/input_items")),
        StoredAction::Cancel => (http::Method::POST, format!("{id}/cancel")),
    };
    let candidate = Candidate { channel: position, upstream: "".into(), credential };
    let operation = Operation::Responses { method: &method, tail: &tail };
    match direct(&mut job, &candidate, &operation, Vec::new()).await {
        Ok(body) => {
            if action == StoredAction::Delete {
                job.services.store.kept().delete(SPACE, id);
            }
            job.json(200, body.to_vec())
        }
        Err(error) => job.fail(error),
    }
}

/// One request to one provider, below its Responses endpoint; the answer as it came.
async fn direct(
    job: &mut Job,
    candidate: &Candidate,
    operation: &Operation<'_>,
    body: Vec<Bytes>,
) -> Result<Bytes, GatewayError> {
    let line = job.line(candidate)?;
    job.open_attempt(&line.channel, candidate, ApiFormat::OpenaiResponses.as_str());
    let limits = job.limits(&line.channel);
    let deadline = Deadline::start(&limits);
    let answered = async {
        let response = job.dispatch(&line, candidate, operation, true, body, deadline).await?;
        if response.status().is_success() {
            return collect(&line.channel, response.into_body(), &limits, deadline).await;
        }
        Err(job.refusal(&line.channel, ApiFormat::OpenaiResponses, response).await)
    }
    .await;
    match &answered {
        Ok(_) => job.settle.close_attempt(AttemptOutcome::Answered, None),
        Err(error) => job.settle.close_attempt(AttemptOutcome::Failed, Some(&error.public.message)),
    }
    answered
}

/// Answers `POST /v1/responses/compact`: by the provider where it can, else by a summary that the model writes.
pub(crate) async fn compact(mut job: Job, body: Bytes) -> Reply {
    let mut ask = match Ask::read(ApiFormat::OpenaiResponses, body, None, Some(false), "") {
        Ok(ask) => ask,
        Err(error) => return job.fail(error),
    };
    let follow = match follow(&job, &mut ask).await {
        Ok(follow) => follow,
        Err(error) => return job.fail(error),
    };
    let mut target = match job.target(&ask.model) {
        Ok(target) => target,
        Err(error) => return job.fail(error),
    };
    if let Target::Deployments(deployments) = &mut target
        && let Err(error) = follow.narrow(&job, deployments)
    {
        return job.fail(error);
    }
    if let Target::Deployments(deployments) = &target
        && !follow.is_expanded()
        && let Some(body) = compacted_by_provider(&mut job, &ask, deployments).await
    {
        return job.json(200, body.to_vec());
    }
    if let Err(error) = ask.compact() {
        return job.fail(error);
    }
    match target {
        Target::Deployments(deployments) => attempt::run(job, ask, deployments, Follow::Expanded).await,
        Target::Echo => super::chat::echo(job, ask),
    }
}

/// The provider's own compaction, if the first candidate speaks Responses and knows it. Any trouble leaves it to the summary.
async fn compacted_by_provider(job: &mut Job, ask: &Ask, deployments: &Deployments) -> Option<Bytes> {
    let candidate = deployments.candidates.first()?;
    let line = job.line(candidate).ok()?;
    let accepted = line.channel.accepts(ApiFormat::OpenaiResponses, &candidate.upstream)?;
    if !accepted.native {
        return None;
    }
    let mut edits = myelin_protocol::envelope::Edits::new();
    edits.model(&candidate.upstream);
    let body = ask.envelope.splice(&edits).ok()?;
    let method = http::Method::POST;
    let operation = Operation::Responses { method: &method, tail: "compact" };
    match direct(job, candidate, &operation, body).await {
        Ok(body) => Some(body),
        Err(error) => {
            tracing::info!(%error, "the provider does not compact; a summary will do");
            None
        }
    }
}

/// One stored answer of the caller's own.
async fn load(job: &Job, id: &str) -> Result<Row, GatewayError> {
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
async fn chain(job: &Job, newest: Row) -> Result<Vec<StoredResponse>, GatewayError> {
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

/// Makes a request for a summary of it.
pub(crate) fn summary_request(tree: &Arc<ChatRequest>) -> ChatRequest {
    myelin_protocol::formats::openai_responses::compact::ask(ChatRequest::clone(tree))
}
