//! The addresses around stored responses: `GET`/`DELETE /v1/responses/{id}` with what lies below, and compaction.

use std::sync::Arc;

use bytes::Bytes;
use myelin_protocol::ApiFormat;
use myelin_protocol::formats::openai_responses::stored as wire;
use myelin_protocol::ir::ChatRequest;

use super::ask::Ask;
use super::dispatch::collect;
use super::reply::Reply;
use super::sight::Body;
use super::stored::{self, Follow, Home, Row, chain, follow, load};
use super::surface::StoredAction;
use super::target::{Deployments, Target};
use super::{Job, attempt, chat};
use crate::error::{GatewayError, Kind};
use crate::providers::Operation;
use crate::routing::{Candidate, Errand, Standing};
use crate::upstream::timeouts::Deadline;

/// Answers `GET`/`DELETE /v1/responses/{id}` and what lies below.
pub(crate) async fn run(job: Box<Job>, id: &str, action: StoredAction) -> Reply {
    let row = match load(&job, id).await {
        Ok(row) => row,
        Err(error) => return job.fail(error),
    };
    let (response, row) = match row {
        Row::Native(home) => return native(job, id, action, &home).await,
        Row::Local { previous, input, response } => (response.clone(), Row::Local { previous, input, response }),
    };
    match action {
        StoredAction::Get => job.json(200, response.to_string().into_bytes()),
        StoredAction::Delete => {
            stored::forget(&job, id).await;
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
async fn native(mut job: Box<Job>, id: &str, action: StoredAction, home: &Home) -> Reply {
    let channel = &home.channel;
    let Some(position) = job.snapshot.lines.iter().position(|line| line.channel.name() == channel) else {
        let message = format!("the response is stored at the channel {channel}, which is not there any more");
        return job.fail(GatewayError::new(Kind::NotFound, message));
    };
    let Some(credential) = home.credential(&job.snapshot.routing) else {
        return job.fail(GatewayError::new(Kind::NotFound, home.without_credential()));
    };
    let (method, tail) = match action {
        StoredAction::Get => (http::Method::GET, id.to_owned()),
        StoredAction::Delete => (http::Method::DELETE, id.to_owned()),
        StoredAction::InputItems => (http::Method::GET, format!("{id}/input_items")),
        StoredAction::Cancel => (http::Method::POST, format!("{id}/cancel")),
    };
    let candidate = Candidate {
        channel: position,
        upstream: "".into(),
        credential,
        errand: Errand::Stored,
        group: 0,
        standing: Standing::Ready,
    };
    let operation = Operation::Responses { method: &method, tail: &tail };
    match direct(&mut job, &candidate, &operation, Vec::new()).await {
        Ok(body) => {
            if action == StoredAction::Delete {
                stored::forget(&job, id).await;
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
    let limits = job.limits(&line.channel, &candidate.upstream);
    let deadline = Deadline::start(&limits);
    let answered = async {
        let response = job.dispatch(&line, candidate, operation, true, body, deadline).await?;
        if response.status().is_success() {
            return collect(&line.channel, response.into_body(), &limits, deadline).await;
        }
        Err(job.refusal(&line.channel, ApiFormat::OpenaiResponses, response).await)
    }
    .await;
    job.end_attempt(&answered);
    answered
}

/// Answers `POST /v1/responses/compact`: by the provider where it can, else by a summary that the model writes.
pub(crate) async fn compact(mut job: Box<Job>, body: Bytes) -> Reply {
    let mut ask = match Ask::read(ApiFormat::OpenaiResponses, body, None, Some(false), "") {
        Ok(ask) => ask,
        Err(error) => return job.fail(error),
    };
    let follow = match follow(&job, &mut ask).await {
        Ok(follow) => follow,
        Err(error) => return job.fail(error),
    };
    let model = ask.model.clone();
    let mut target = match job.target(&model, Body::Ask(&mut ask)) {
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
        && let Some(body) = compacted_by_provider(&mut job, &mut ask, deployments).await
    {
        return job.json(200, body.to_vec());
    }
    if let Err(error) = ask.compact() {
        return job.fail(error);
    }
    match target {
        Target::Deployments(deployments) => attempt::run(job, ask, deployments, Follow::Expanded).await,
        Target::Echo => chat::echo(job, ask).await,
    }
}

/// The provider's own compaction, if who would have the conversation speaks Responses and knows it. Any trouble leaves it to the summary.
async fn compacted_by_provider(job: &mut Job, ask: &mut Ask, deployments: &Deployments) -> Option<Bytes> {
    let candidate = &job.beside(&deployments.candidates, Errand::Compaction)?;
    let line = job.line(candidate).ok()?;
    let accepted = line.channel.accepts(ApiFormat::OpenaiResponses, &candidate.upstream)?;
    if !accepted.native {
        return None;
    }
    let mut edits = myelin_protocol::envelope::Edits::new();
    edits.model(&candidate.upstream);
    let body = ask.envelope().ok()?.splice(&edits).ok()?;
    if !job.enter(candidate) {
        return None;
    }
    let method = http::Method::POST;
    let operation = Operation::Responses { method: &method, tail: "compact" };
    match direct(job, candidate, &operation, body).await {
        Ok(body) => {
            if let Some(usage) = myelin_protocol::answer::facts(accepted.format, &body, &accepted.dialect).usage {
                job.settle.usage(usage);
            }
            Some(body)
        }
        Err(error) => {
            tracing::info!(%error, "the provider does not compact; a summary will do");
            None
        }
    }
}

/// Makes a request for a summary of it.
pub(crate) fn summary_request(tree: &Arc<ChatRequest>) -> ChatRequest {
    myelin_protocol::formats::openai_responses::compact::ask(ChatRequest::clone(tree))
}
