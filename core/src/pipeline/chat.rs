//! A conversation request: read as little of it as possible, find where it goes, run the attempts, answer.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use myelin_protocol::envelope::{Envelope, EnvelopeError};
use myelin_protocol::format::{AddressHints, Lossy};
use myelin_protocol::formats::ollama;
use myelin_protocol::ir::{ChatRequest, ChatResponse};
use myelin_protocol::{ApiFormat, ReplyContext};

use super::reply::{Reply, ReplyBody, describe};
use super::target::Target;
use super::{Job, attempt, dify, echo as model, session, stored};
use crate::error::{GatewayError, Kind};
use crate::model::RequestState;

/// What a client asks, read no further than needed: the tree is built only if something has to be converted.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The client's format.
    pub format: ApiFormat,
    /// The body as it came, with the places of its top-level fields.
    pub envelope: Envelope,
    /// The model that was asked for.
    pub model: String,
    /// The client wants a stream.
    pub stream: bool,
    /// The client wants usage in the stream.
    pub include_usage: bool,
    /// Gemini without `alt=sse`: the stream is one JSON array.
    pub json_array: bool,
    /// The answer becomes a compaction of the conversation (Responses).
    pub compacts: bool,
    /// The answer becomes a turn of a conversation that is kept here (Dify).
    pub turn: Option<Box<dify::Turn>>,
    /// The tree, once something needed it. Stored conversations are already expanded in it.
    decoded: Option<Arc<ChatRequest>>,
    /// What a compaction shortens.
    shortened: Option<Arc<ChatRequest>>,
}

impl Ask {
    /// Reads what has to be known of `body`.
    pub(super) fn read(
        format: ApiFormat,
        body: Bytes,
        path_model: Option<String>,
        path_stream: Option<bool>,
        query: &str,
    ) -> Result<Self, GatewayError> {
        let envelope = Envelope::read(body).map_err(|error| malformed(&error))?;
        let model = match path_model {
            Some(model) => model,
            None => envelope.model().map(|model| model.into_owned()).unwrap_or_default(),
        };
        let streams_by_default = matches!(format, ApiFormat::OllamaChat | ApiFormat::OllamaGenerate);
        let stream = path_stream.or_else(|| envelope.stream()).unwrap_or(streams_by_default);
        let include_usage = envelope.include_usage().unwrap_or(false);
        let json_array = format == ApiFormat::Gemini && stream && !query.split('&').any(|pair| pair == "alt=sse");
        Ok(Self {
            format,
            envelope,
            model,
            stream,
            include_usage,
            json_array,
            compacts: false,
            turn: None,
            decoded: None,
            shortened: None,
        })
    }

    /// The tree.
    pub(super) fn tree(&mut self) -> Result<Arc<ChatRequest>, GatewayError> {
        if let Some(tree) = &self.decoded {
            return Ok(tree.clone());
        }
        let hints = AddressHints { model: Some(&self.model), stream: Some(self.stream) };
        let decoded = self.format.codec().decode_request(self.envelope.body(), hints).map_err(|error| {
            let place = if error.pointer.is_empty() { String::new() } else { format!("{}: ", error.pointer) };
            GatewayError::new(Kind::InvalidRequest, format!("{place}{}", error.message))
        })?;
        let decoded = Arc::new(decoded);
        self.decoded = Some(decoded.clone());
        Ok(decoded)
    }

    /// Replaces the tree (kept conversations are expanded into it); from then on the bytes no longer say everything.
    pub(super) fn replace_tree(&mut self, request: ChatRequest) {
        self.decoded = Some(Arc::new(request));
    }

    /// Turns the request into one for a summary of the conversation.
    pub(super) fn compact(&mut self) -> Result<(), GatewayError> {
        let tree = self.tree()?;
        self.replace_tree(stored::summary_request(&tree));
        self.shortened = Some(tree);
        self.compacts = true;
        Ok(())
    }

    /// Writes a whole answer for the client.
    pub(super) fn write(&self, response: &ChatResponse, context: &ReplyContext) -> Lossy<Vec<u8>> {
        match &self.shortened {
            Some(conversation) => Lossy::whole(myelin_protocol::formats::openai_responses::compact::encode(
                conversation,
                response,
                context,
            )),
            None => self.format.codec().encode_response(response, context),
        }
    }
}

/// Answers a conversation request.
pub(crate) async fn run(
    mut job: Job,
    format: ApiFormat,
    body: Bytes,
    path_model: Option<String>,
    path_stream: Option<bool>,
) -> Reply {
    let ask = match Ask::read(format, body, path_model, path_stream, &job.call.query) {
        Ok(ask) => ask,
        Err(error) => return job.fail(error),
    };
    let record = job.settle.record_mut();
    record.stream = ask.stream;
    note_session(&ask, record);
    answer(job, ask).await
}

/// Answers a request that was read.
pub(crate) async fn answer(mut job: Job, mut ask: Ask) -> Reply {
    let follow = match stored::follow(&job, &mut ask).await {
        Ok(follow) => follow,
        Err(error) => return job.fail(error),
    };
    let target = job.target(&ask.model);
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
        Ok(Target::Echo) => echo(job, ask),
        Ok(Target::Deployments(mut deployments)) => match follow.narrow(&job, &mut deployments) {
            Ok(()) => attempt::run(job, ask, deployments, follow).await,
            Err(error) => job.fail(error),
        },
    }
}

/// Answers by the built-in model.
pub(crate) fn echo(job: Job, mut ask: Ask) -> Reply {
    match ask.tree() {
        Ok(tree) => echoed(job, ask, &tree),
        Err(error) => job.fail(error),
    }
}

/// What encoders toward the client need to know.
pub(crate) fn reply_context(job: &Job, ask: &Ask, tree: Option<Arc<ChatRequest>>) -> ReplyContext {
    let record = job.settle.record();
    ReplyContext {
        model: ask.model.clone(),
        id: record.id.trim_start_matches("req_").to_owned(),
        created: record.started / 1_000,
        include_usage: ask.include_usage,
        json_array: ask.json_array,
        request: tree.map(|tree| continued(ask, tree)),
    }
}

/// The request as the client wrote it names what it goes on from; the expanded tree, which providers get, does not.
fn continued(ask: &Ask, tree: Arc<ChatRequest>) -> Arc<ChatRequest> {
    if ask.format != ApiFormat::OpenaiResponses || tree.previous_response_id.is_some() {
        return tree;
    }
    let Some(id) = ask.envelope.text("previous_response_id") else { return tree };
    let mut named = ChatRequest::clone(&tree);
    named.previous_response_id = Some(id.into_owned());
    Arc::new(named)
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

fn echoed(job: Job, ask: Ask, tree: &Arc<ChatRequest>) -> Reply {
    let context = reply_context(&job, &ask, Some(tree.clone()));
    let response = model::answer(tree, &context.id);
    made_here(job, ask, &context, response)
}

/// Answers with what was made here and not by a provider, whole or as a stream.
fn made_here(mut job: Job, mut ask: Ask, context: &ReplyContext, response: ChatResponse) -> Reply {
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
    describe(reply.headers_mut(), job.settle.record());
    job.settle.record_mut().bytes_out = body.len() as u64;
    job.settle.complete(RequestState::Completed, 200);
    *reply.body_mut() = ReplyBody::Whole(body.into());
    reply
}

/// The answer to a request that asks nothing: Ollama's tools send one to have a model loaded.
fn asks_nothing(ask: &mut Ask) -> Result<Option<ChatResponse>, GatewayError> {
    let empty = match ask.format {
        ApiFormat::OllamaChat => ask.envelope.raw("messages").is_none_or(|raw| raw.len() <= 4),
        ApiFormat::OllamaGenerate => ask.envelope.raw("prompt").is_none_or(|raw| raw == b"\"\""),
        _ => false,
    };
    if empty { Ok(ollama::answer_to_nothing(&*ask.tree()?)) } else { Ok(None) }
}

fn note_session(ask: &Ask, record: &mut crate::model::RequestRecord) {
    if record.session.is_some() {
        return;
    }
    record.session = match ask.format {
        ApiFormat::AnthropicMessages => ask.envelope.raw("metadata").and_then(|raw| {
            let metadata: serde_json::Value = serde_json::from_slice(raw).ok()?;
            session::from_user(metadata.get("user_id")?.as_str()?)
        }),
        ApiFormat::OpenaiResponses | ApiFormat::OpenaiChat => {
            ask.envelope.text("prompt_cache_key").map(|key| key.into_owned())
        }
        _ => None,
    };
}

fn malformed(error: &EnvelopeError) -> GatewayError {
    GatewayError::new(Kind::InvalidRequest, format!("the request body cannot be read: {error}"))
}
