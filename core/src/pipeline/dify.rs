//! Dify's facade: a conversation that is kept here, for a model that is no Dify app.
//!
//! Dify's requests name no model and hold no history. The model is the only one that the key may use, else the name `dify`, which a profile or a route maps. A
//! request that goes to a real Dify app passes unchanged, and the app keeps its conversation itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_protocol::ApiFormat;
use myelin_protocol::formats::dify::{self, HistoryMessage};
use myelin_protocol::ir::{ChatRequest, ChatResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ask::Ask;
use super::reply::Reply;
use super::sight::Body;
use super::stored::Follow;
use super::surface::decode;
use super::talks::Talk;
use super::target::Target;
use super::{Job, Services, attempt, chat};
use crate::error::{GatewayError, Kind};
use crate::routing::Candidate;

/// Namespace in the store.
const SPACE: &str = "dify-conversations";
/// The name to map when the key does not say which model.
const MODEL: &str = "dify";
/// Turns that go along to the model; older ones stay in the history only.
const CONTEXT_TURNS: usize = 100;

/// A kept conversation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Conversation {
    /// The caller's end user; another one does not see it.
    user: String,
    messages: Vec<HistoryMessage>,
}

/// A turn under way: becomes part of its conversation when its answer is whole.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    owner: String,
    keep: Duration,
    conversation: Conversation,
    /// Without its answer; its id is the reply's token.
    message: HistoryMessage,
    /// Shared with the turns that overlap with this one.
    talk: Arc<Talk>,
}

impl Turn {
    /// The answer is whole.
    pub(crate) fn ended(self, services: &Services, response: &ChatResponse) {
        let Self { owner, keep, conversation: Conversation { user, messages }, mut message, talk } = self;
        message.answer = dify::answer_text(response);
        message.id = dify::message_id(response.id.as_deref(), &message.id);
        let id = message.conversation_id.clone();
        talk.ended(messages, message, |messages| {
            let kept = serde_json::to_vec(&Conversation { user, messages })
                .is_ok_and(|value| services.store.kept().put(SPACE, &id, &owner, keep, &value));
            if !kept {
                tracing::warn!(id, "a conversation could not be stored");
            }
        });
    }
}

/// What Dify's body says beside the question itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    query: String,
    inputs: Map<String, Value>,
    response_mode: Option<String>,
    conversation_id: Option<String>,
    user: String,
}

/// Answers `POST /dify/v1/chat-messages`.
pub(crate) async fn run(mut job: Box<Job>, body: Bytes) -> Reply {
    let head: Head = match serde_json::from_slice(&body) {
        Ok(head) => head,
        Err(error) => {
            return job.fail(GatewayError::new(Kind::InvalidRequest, format!("the body cannot be read: {error}")));
        }
    };
    let model = job.caller.key.only_model().unwrap_or(MODEL).to_owned();
    let stream = head.response_mode.as_deref() == Some("streaming");
    let mut ask = match Ask::read(ApiFormat::Dify, body, Some(model), Some(stream), "") {
        Ok(ask) => ask,
        Err(error) => return job.fail(error),
    };
    job.settle.record_mut().stream = stream;
    job.settle.record_mut().session.clone_from(&head.conversation_id);
    let model = ask.model.clone();
    let target = match job.target(&model, Body::Ask(&mut ask)) {
        Ok(target) => target,
        Err(error) => return job.fail(hint(error)),
    };
    let is_app = |candidate: &Candidate| {
        job.line(candidate).is_ok_and(|line| {
            line.channel.accepts(ApiFormat::Dify, &candidate.upstream).is_some_and(|accepted| accepted.native)
        })
    };
    let target = match target {
        Target::Deployments(deployments) if deployments.candidates.first().is_some_and(is_app) => {
            return attempt::run(job, ask, deployments, Follow::Fresh).await;
        }
        target => target,
    };
    if let Err(error) = join(&job, &mut ask, head).await {
        return job.fail(error);
    }
    match target {
        Target::Deployments(deployments) => attempt::run(job, ask, deployments, Follow::Fresh).await,
        Target::Echo => chat::echo(job, ask).await,
    }
}

/// Puts the earlier turns in front of the question.
async fn join(job: &Job, ask: &mut Ask, head: Head) -> Result<(), GatewayError> {
    let owner = job.caller.key.key.id.clone();
    let known = head.conversation_id.filter(|id| !id.is_empty());
    let begins = known.is_none();
    let id = known.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let talk = job.services.talks.join(&id);
    let conversation = match begins {
        true => Conversation { user: head.user, messages: Vec::new() },
        false => load(job, &id, &head.user).await?,
    };
    let mut tree = ChatRequest::clone(&*ask.tree()?);
    dify::prepend_history(&mut tree, &conversation.messages, CONTEXT_TURNS);
    tree.extras.insert(ApiFormat::Dify, "conversation_id", id.as_str().into());
    ask.replace_tree(tree);
    let record = job.settle.record();
    ask.turn = Some(Box::new(Turn {
        owner,
        keep: Duration::from_secs(job.snapshot.settings.stored_response_seconds),
        conversation,
        message: HistoryMessage {
            id: record.id.trim_start_matches("req_").to_owned(),
            conversation_id: id,
            inputs: head.inputs,
            query: head.query,
            answer: String::new(),
            files: Vec::new(),
            retriever_resources: Vec::new(),
            created_at: record.started / 1_000,
            error: None,
        },
        talk,
    }));
    Ok(())
}

async fn load(job: &Job, id: &str, user: &str) -> Result<Conversation, GatewayError> {
    let gone = || GatewayError { public: dify::unknown_conversation(), ..GatewayError::new(Kind::NotFound, "") };
    let entry = job
        .services
        .store
        .kept()
        .get(SPACE, id)
        .await
        .map_err(|error| GatewayError::new(Kind::Internal, "the store cannot be read").caused_by(error))?;
    let entry = entry.filter(|entry| entry.owner == job.caller.key.key.id).ok_or_else(gone)?;
    let conversation: Conversation = serde_json::from_slice(&entry.value)
        .map_err(|error| GatewayError::new(Kind::Internal, "a stored conversation is damaged").caused_by(error))?;
    if conversation.user == user { Ok(conversation) } else { Err(gone()) }
}

/// Answers `GET /dify/v1/messages`: a page that ends before `first_id`, or with the newest; oldest first.
pub(crate) async fn messages(job: Box<Job>) -> Reply {
    let query = job.call.query.clone();
    let value = |name: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        // A form writes a space as `+`.
        found.map(|text| decode(&text.replace('+', " ")))
    };
    let id = value("conversation_id").unwrap_or_default();
    let conversation = match load(&job, &id, &value("user").unwrap_or_default()).await {
        Ok(conversation) => conversation,
        Err(error) => return job.fail(error),
    };
    let limit = value("limit").and_then(|limit| limit.parse().ok()).unwrap_or(0);
    match dify::page(&conversation.messages, value("first_id").as_deref(), limit) {
        Some(page) => job.json(200, dify::encode_page(&page)),
        None => job.fail(GatewayError::new(Kind::NotFound, "First Message Not Exists.")),
    }
}

/// Says how a Dify client gets a model.
fn hint(mut error: GatewayError) -> GatewayError {
    if error.kind == Kind::UnknownModel {
        error.public.message.push_str(
            "; Dify's requests name no model: limit the key to one model, or map \"dify\" in a profile or a route",
        );
    }
    error
}
