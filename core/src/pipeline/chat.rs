//! A conversation request: read as little of it as possible, find where it goes, run the attempts, answer.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use myelin_protocol::envelope::Envelope;
use myelin_protocol::formats::ollama;
use myelin_protocol::ir::{ChatRequest, ChatResponse};
use myelin_protocol::{ApiFormat, ReplyContext};

use super::ask::{Ask, reply_context};
use super::reply::{Reply, ReplyBody};
use super::sight::Body;
use super::target::Target;
use super::{Job, attempt, echo as model, session, stored};
use crate::error::GatewayError;
use crate::model::{RequestRecord, RequestState};

/// What the path says (Gemini).
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// The model.
    pub model: Option<String>,
    /// Whether to stream.
    pub stream: Option<bool>,
}

/// A body that is there.
pub(crate) struct Received {
    pub bytes: Bytes,
    /// A look at it, if somebody took one already.
    pub looked: Option<Envelope>,
}

impl From<Bytes> for Received {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, looked: None }
    }
}

impl Received {
    fn ask(self, format: ApiFormat, path: Path, query: &str) -> Result<Ask, GatewayError> {
        match self.looked {
            Some(look) => Ok(Ask::looked(format, look, path.model, path.stream, query)),
            None => Ask::read(format, self.bytes, path.model, path.stream, query),
        }
    }
}

/// Answers a conversation request. `target`: where it goes, if that was found out while it arrived.
pub(crate) async fn run(
    mut job: Box<Job>,
    format: ApiFormat,
    body: Received,
    path: Path,
    target: Option<Target>,
) -> Reply {
    let mut ask = match body.ask(format, path, &job.call.query) {
        Ok(ask) => ask,
        Err(error) => return job.fail(error),
    };
    note(&ask, job.settle.record_mut());
    if let Err(error) = job.edit_ask(&mut ask) {
        return job.fail(error);
    }
    answer(job, ask, target).await
}

/// Writes down what a request says about itself.
pub(super) fn note(ask: &Ask, record: &mut RequestRecord) {
    record.stream = ask.stream;
    note_session(ask, record);
}

async fn answer(mut job: Box<Job>, mut ask: Ask, target: Option<Target>) -> Reply {
    let follow = match stored::follow(&job, &mut ask).await {
        Ok(follow) => follow,
        Err(error) => return job.fail(error),
    };
    let model = ask.model.clone();
    let target = match target {
        Some(target) => Ok(target),
        None => job.target(&model, Body::Ask(&mut ask)),
    };
    if target.is_ok() {
        match asks_nothing(&mut ask) {
            Ok(None) => {}
            Ok(Some(response)) => {
                let context = reply_context(&job, &ask, None);
                return made_here(job, ask, &context, response);
            }
            Err(error) => return job.fail(error),
        }
    }
    match target {
        Err(error) => job.fail(error),
        Ok(Target::Echo) => echo(job, ask).await,
        Ok(Target::Deployments(mut deployments)) => match follow.narrow(&job, &mut deployments) {
            Ok(()) => Box::pin(attempt::run(job, ask, deployments, follow)).await,
            Err(error) => job.fail(error),
        },
    }
}

/// Answers by the built-in model.
pub(crate) async fn echo(mut job: Box<Job>, mut ask: Ask) -> Reply {
    if let Err(error) = job.let_in(&[], ask.demand()).await {
        return job.fail(error);
    }
    match ask.tree() {
        Ok(tree) => echoed(job, ask, &tree),
        Err(error) => job.fail(error),
    }
}

/// The media type of a stream in `format`.
pub(crate) fn stream_type(format: ApiFormat, json_array: bool) -> HeaderValue {
    HeaderValue::from_static(match format {
        ApiFormat::OllamaChat | ApiFormat::OllamaGenerate => "application/x-ndjson",
        ApiFormat::BedrockConverse => "application/vnd.amazon.eventstream",
        _ if json_array => "application/json",
        _ => "text/event-stream; charset=utf-8",
    })
}

fn echoed(job: Box<Job>, ask: Ask, tree: &Arc<ChatRequest>) -> Reply {
    let context = reply_context(&job, &ask, Some(tree.clone()));
    let response = model::answer(tree, &context.id);
    made_here(job, ask, &context, response)
}

/// Answers with what was made here and not by a provider, whole or as a stream.
fn made_here(mut job: Box<Job>, mut ask: Ask, context: &ReplyContext, response: ChatResponse) -> Reply {
    if let Some(usage) = &response.usage {
        job.settle.usage(usage.clone());
    }
    if let Some(finish) = response.first().and_then(|choice| choice.finish.as_ref()) {
        job.settle.finish_reason(&finish.reason);
    }
    stored::keep_answer(&job, &mut ask, &response);
    if !ask.stream {
        let encoded = ask.write(&response, context);
        job.settle.losses(&encoded.losses);
        return job.json(200, encoded.value);
    }
    let mut encoder = ask.format.codec().stream_encoder(context.clone());
    let mut body = Vec::new();
    for event in &model::events(response) {
        encoder.push(event, &mut body);
    }
    job.settle.first_token();
    let mut reply = http::Response::new(ReplyBody::Empty);
    reply.headers_mut().insert(CONTENT_TYPE, stream_type(ask.format, ask.json_array));
    job.settle.describe(reply.headers_mut());
    let body = Bytes::from(body);
    job.settle.given(&body);
    job.settle.complete(RequestState::Completed, 200);
    *reply.body_mut() = ReplyBody::Whole(body);
    reply
}

/// The answer to a request that asks nothing: Ollama's tools send one to have a model loaded.
fn asks_nothing(ask: &mut Ask) -> Result<Option<ChatResponse>, GatewayError> {
    let empty = match ask.format {
        ApiFormat::OllamaChat => ask.raw("messages").is_none_or(|raw| raw.len() <= 4),
        ApiFormat::OllamaGenerate => ask.raw("prompt").is_none_or(|raw| raw == b"\"\""),
        _ => false,
    };
    if empty { Ok(ollama::answer_to_nothing(&*ask.tree()?)) } else { Ok(None) }
}

fn note_session(ask: &Ask, record: &mut RequestRecord) {
    if record.session.is_some() {
        return;
    }
    record.session = match ask.format {
        ApiFormat::AnthropicMessages => ask.raw("metadata").and_then(|raw| {
            let metadata: serde_json::Value = serde_json::from_slice(raw).ok()?;
            session::from_user(metadata.get("user_id")?.as_str()?)
        }),
        ApiFormat::OpenaiResponses | ApiFormat::OpenaiChat => ask.text("prompt_cache_key").map(|key| key.into_owned()),
        _ => None,
    };
}
