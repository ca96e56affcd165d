//! Counting tokens: by the provider where it counts, whatever the caller speaks; by our own estimate elsewhere. Never a 404: Claude Code would compact too late.

use bytes::Bytes;
use myelin_protocol::format::{AddressHints, Lossy};
use myelin_protocol::formats::{anthropic_messages, bedrock_converse, gemini, openai_responses};
use myelin_protocol::ir::ChatRequest;
use myelin_protocol::{ApiFormat, DecodeError, Dialect, lower, tokens};

use super::Job;
use super::ask::Ask;
use super::dispatch::collect;
use super::reply::Reply;
use super::sight::Body;
use super::stored::{self, Follow};
use super::target::Target;
use crate::error::{GatewayError, Kind};
use crate::providers::{LiveChannel, Operation};
use crate::routing::{Candidate, Errand};
use crate::upstream::timeouts::Deadline;

/// Answers `count_tokens`, `countTokens` and `input_tokens`.
pub(crate) async fn run(mut job: Box<Job>, format: ApiFormat, body: Bytes, path_model: Option<String>) -> Reply {
    let (request, follow) = match read(&job, format, body, path_model).await {
        Ok(read) => read,
        Err(error) => return job.fail(error),
    };
    let counted = match job.target(&request.model, Body::Tree(&request)) {
        // A count is no promise to answer: what nobody offers (now) is estimated like what nobody counts.
        Err(error) if error.kind == Kind::UnknownModel => None,
        Err(error) => return job.fail(error),
        Ok(Target::Echo) => None,
        Ok(Target::Deployments(mut deployments)) => {
            if let Err(error) = follow.narrow(&job, &mut deployments) {
                return job.fail(error);
            }
            match job.beside(&deployments.candidates, Errand::Counting) {
                Some(candidate) => ask_provider(&mut job, format, &request, &candidate).await,
                None => None,
            }
        }
    };
    let count = counted.unwrap_or_else(|| tokens::estimate(&request));
    job.json(200, render(format, count))
}

/// The request, with a conversation that is kept here in front of it; and what it goes on from.
async fn read(
    job: &Job,
    format: ApiFormat,
    body: Bytes,
    path_model: Option<String>,
) -> Result<(ChatRequest, Follow), GatewayError> {
    if format == ApiFormat::Gemini {
        let hints = AddressHints { model: path_model.as_deref(), stream: Some(false) };
        let request = gemini::decode_count_request(&body, hints).map_err(|error| GatewayError::unreadable(&error))?;
        return Ok((request, Follow::Fresh));
    }
    let mut ask = Ask::read(format, body, path_model, Some(false), "")?;
    let follow = stored::follow(job, &mut ask).await?;
    let request = ask.tree().map(|tree| ChatRequest::clone(&tree))?;
    Ok((request, follow))
}

/// The provider's own count, if it counts. Any trouble leaves it to the estimate.
async fn ask_provider(
    job: &mut Job,
    preferred: ApiFormat,
    request: &ChatRequest,
    candidate: &Candidate,
) -> Option<u64> {
    let line = job.line(candidate).ok()?;
    let channel = line.channel.clone();
    let accepted = channel.accepts(preferred, &candidate.upstream)?;
    if !channel.counts_tokens(&accepted) {
        return None;
    }
    let mut request = request.clone();
    candidate.upstream.as_ref().clone_into(&mut request.model);
    let lowered = lower::lower(request, accepted.format, &accepted.dialect).request;
    let body = encode(&channel, accepted.format, &lowered, &accepted.dialect)?.ok()?.value;
    if !job.enter(candidate) {
        return None;
    }
    job.open_attempt(&channel, candidate, accepted.format.as_str());
    let limits = job.limits(&channel, &candidate.upstream);
    let deadline = Deadline::start(&limits);
    let operation = Operation::CountTokens { accepted: &accepted };
    let counted: Result<u64, GatewayError> = async {
        let response = job.dispatch(&line, candidate, &operation, accepted.native, vec![body.into()], deadline).await?;
        if !response.status().is_success() {
            return Err(job.refusal(&channel, accepted.format, response).await);
        }
        let body = collect(&channel, response.into_body(), &limits, deadline).await?;
        decode(accepted.format, &body).map_err(|error| GatewayError::new(Kind::UpstreamFailed, error.message))
    }
    .await;
    job.end_attempt(&counted);
    match counted {
        Ok(count) => Some(count),
        Err(error) => {
            tracing::info!(channel = channel.name(), %error, "the provider did not count; estimating");
            None
        }
    }
}

/// Writes a request to count; `None` for formats that cannot.
fn encode(
    channel: &LiveChannel,
    format: ApiFormat,
    request: &ChatRequest,
    dialect: &Dialect,
) -> Option<Result<Lossy<Vec<u8>>, DecodeError>> {
    let host = if channel.provider.id == "vertex" { gemini::CountHost::Vertex } else { gemini::CountHost::Gemini };
    match format {
        ApiFormat::AnthropicMessages => Some(anthropic_messages::encode_count_request(request, dialect)),
        ApiFormat::Gemini => Some(Ok(gemini::encode_count_request(request, dialect, host))),
        ApiFormat::BedrockConverse => Some(bedrock_converse::encode_count_request(request, dialect)),
        ApiFormat::OpenaiResponses => Some(Ok(openai_responses::input_tokens::encode_request(request, dialect))),
        _ => None,
    }
}

/// Reads a provider's count.
fn decode(format: ApiFormat, body: &[u8]) -> Result<u64, DecodeError> {
    match format {
        ApiFormat::Gemini => gemini::decode_count_response(body),
        ApiFormat::BedrockConverse => bedrock_converse::decode_count_response(body),
        ApiFormat::OpenaiResponses => openai_responses::input_tokens::decode(body),
        _ => anthropic_messages::decode_count_response(body),
    }
}

/// Writes a count for a client.
fn render(format: ApiFormat, count: u64) -> Vec<u8> {
    match format {
        ApiFormat::Gemini => gemini::encode_count_response(count),
        ApiFormat::OpenaiResponses => openai_responses::input_tokens::encode(count),
        _ => anthropic_messages::encode_count_response(count),
    }
}
