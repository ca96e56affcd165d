//! Counting tokens: by the provider where it can, by our own estimate elsewhere. Never a 404: Claude Code would compact too late.

use bytes::Bytes;
use myelin_protocol::{ApiFormat, tokens};
use serde_json::{Map, json};

use super::attempt::collect;
use super::chat::Ask;
use super::reply::Reply;
use super::target::Target;
use super::{Job, passthrough};
use crate::error::GatewayError;
use crate::model::AttemptOutcome;
use crate::providers::Operation;
use crate::routing::Candidate;
use crate::upstream::timeouts::Deadline;

/// Answers `count_tokens`, `countTokens` and `input_tokens`.
pub(crate) async fn run(mut job: Job, format: ApiFormat, body: Bytes, path_model: Option<String>) -> Reply {
    let ask = Ask::read(format, inner(format, body), path_model, Some(false), &job.call.query);
    let mut ask = match ask {
        Ok(ask) => ask,
        Err(error) => return job.fail(error),
    };
    match job.target(&ask.model) {
        Err(error) => return job.fail(error),
        Ok(Target::Echo) => {}
        Ok(Target::Deployments(deployments)) => {
            if let Some(first) = deployments.candidates.first()
                && let Some(counted) = ask_provider(&mut job, &ask, first).await
            {
                return job.json(200, counted.to_vec());
            }
        }
    }
    match ask.tree() {
        Ok(tree) => {
            let count = tokens::estimate(&tree);
            job.json(200, render(format, count))
        }
        Err(error) => job.fail(error),
    }
}

/// The provider's own count, if it speaks the caller's format and counts. Any trouble leaves it to the estimate.
async fn ask_provider(job: &mut Job, ask: &Ask, candidate: &Candidate) -> Option<Bytes> {
    let line = job.line(candidate).ok()?;
    let channel = line.channel.clone();
    let accepted = channel.accepts(ask.format, &candidate.upstream)?;
    let dialect = &accepted.dialect;
    if !accepted.native
        || !channel.counts_tokens(&accepted)
        || passthrough::needs_tree(ask.format, dialect, ask.envelope.body())
    {
        return None;
    }
    let (edits, _) =
        passthrough::edits(&ask.envelope, ask.format, dialect, &ask.model, &candidate.upstream, false, &Map::new());
    let body = ask.envelope.splice(&edits).ok()?;
    job.open_attempt(&channel, candidate, accepted.format.as_str());
    let deadline = Deadline::start(&job.limits(&channel));
    let operation = Operation::CountTokens { accepted: &accepted };
    let counted: Result<Bytes, GatewayError> = async {
        let response = job.dispatch(&line, candidate, &operation, true, body, deadline).await?;
        if !response.status().is_success() {
            let codec = accepted.format.codec();
            return Err(job.refusal(&channel, response, |status, body| codec.decode_error(status, body)).await);
        }
        collect(&channel, response.into_body(), deadline).await
    }
    .await;
    match counted {
        Ok(counted) => {
            job.settle.close_attempt(AttemptOutcome::Answered, None);
            Some(counted)
        }
        Err(error) => {
            tracing::info!(channel = channel.name(), %error, "the provider did not count; estimating");
            job.settle.close_attempt(AttemptOutcome::Failed, Some(&error.public.message));
            None
        }
    }
}

/// Gemini may wrap what is to be counted in `generateContentRequest`.
fn inner(format: ApiFormat, body: Bytes) -> Bytes {
    if format != ApiFormat::Gemini {
        return body;
    }
    let wrapped = myelin_protocol::envelope::Envelope::read(body.clone())
        .ok()
        .and_then(|envelope| envelope.raw("generateContentRequest").map(Bytes::copy_from_slice));
    wrapped.unwrap_or(body)
}

fn render(format: ApiFormat, count: u64) -> Vec<u8> {
    let body = match format {
        ApiFormat::Gemini => json!({"totalTokens": count}),
        ApiFormat::OpenaiResponses => json!({"object": "response.input_tokens", "input_tokens": count}),
        _ => json!({"input_tokens": count}),
    };
    body.to_string().into_bytes()
}
