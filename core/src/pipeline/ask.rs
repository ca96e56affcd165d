//! What a client of a conversation asks, read no further than needed.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use myelin_protocol::envelope::{Edits, Envelope, EnvelopeError, Head};
use myelin_protocol::format::{AddressHints, Lossy};
use myelin_protocol::ir::{ChatRequest, ChatResponse};
use myelin_protocol::{ApiFormat, ReplyContext};
use serde_json::{Map, Value};

use super::target::Demand;
use super::{Job, dify, intake, responses};
use crate::error::{GatewayError, Kind};

/// What a client asks, read no further than needed: the tree is built only if something has to be converted.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The client's format.
    pub format: ApiFormat,
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
    /// Nobody waits for the answer: nothing is stored of it.
    pub aside: bool,
    body: AskBody,
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
        Ok(Self::looked(format, envelope, path_model, path_stream, query))
    }

    /// The same for a body that was looked at already.
    pub(super) fn looked(
        format: ApiFormat,
        envelope: Envelope,
        path_model: Option<String>,
        path_stream: Option<bool>,
        query: &str,
    ) -> Self {
        Self::of(format, AskBody::Whole(envelope), path_model, path_stream, query)
    }

    /// The same for a body that went to a provider while it arrived.
    pub(super) fn arrived(
        format: ApiFormat,
        body: Arrived,
        path_model: Option<String>,
        path_stream: Option<bool>,
        query: &str,
    ) -> Self {
        Self::of(format, AskBody::Arrived(Arc::new(body)), path_model, path_stream, query)
    }

    fn of(
        format: ApiFormat,
        body: AskBody,
        path_model: Option<String>,
        path_stream: Option<bool>,
        query: &str,
    ) -> Self {
        let named = || body.text("model").map(|model| model.into_owned());
        let model = path_model.or_else(named).unwrap_or_default();
        let streams_by_default = matches!(format, ApiFormat::OllamaChat | ApiFormat::OllamaGenerate);
        let stream = path_stream.or_else(|| body.flag("stream")).unwrap_or(streams_by_default);
        let include_usage = body.include_usage().unwrap_or(false);
        let json_array = is_json_array(format, stream, query);
        Self {
            format,
            body,
            model,
            stream,
            include_usage,
            json_array,
            compacts: false,
            turn: None,
            aside: false,
            decoded: None,
            shortened: None,
        }
    }

    /// The body with the places of its top-level fields.
    pub(super) fn envelope(&mut self) -> Result<&Envelope, GatewayError> {
        if let AskBody::Arrived(body) = &self.body {
            let envelope =
                Envelope::read(intake::join(&body.pieces, body.length)).map_err(|error| malformed(&error))?;
            self.body = AskBody::Whole(envelope);
        }
        self.whole().ok_or_else(|| GatewayError::new(Kind::Internal, "the request body is gone"))
    }

    /// The same, if it is there already.
    pub(super) fn whole(&self) -> Option<&Envelope> {
        match &self.body {
            AskBody::Whole(envelope) => Some(envelope),
            AskBody::Arrived(_) => None,
        }
    }

    /// One of the top-level fields that decide something ([`WATCHED`] and those that every format has), as JSON.
    pub(super) fn raw(&self, key: &str) -> Option<&[u8]> {
        self.body.raw(key)
    }

    /// The same, if it is a string.
    pub(super) fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        self.body.text(key)
    }

    /// The same, if it is a boolean.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.body.flag(key)
    }

    /// Sets fields of the body, wherever it goes from here.
    pub(super) fn set(&mut self, fields: &Map<String, Value>) -> Result<(), GatewayError> {
        if fields.is_empty() || self.decoded.is_some() {
            // A tree that was expanded from kept conversations says more than the body.
            return Ok(());
        }
        let mut edits = Edits::new();
        for (field, value) in fields {
            edits.set(field.clone(), value);
        }
        let pieces = self.envelope()?.splice(&edits).map_err(|error| malformed(&error))?;
        let envelope = Envelope::read(pieces.concat().into()).map_err(|error| malformed(&error))?;
        self.body = AskBody::Whole(envelope);
        Ok(())
    }

    /// Takes another body in place of the one that came. Where the body names the model, another name counts from now on.
    pub(super) fn rewrite(&mut self, body: Bytes) -> Result<(), GatewayError> {
        let named = self.text("model").is_some();
        let envelope = Envelope::read(body).map_err(|error| malformed(&error))?;
        if named && let Some(model) = envelope.model() {
            self.model = model.into_owned();
        }
        self.include_usage = envelope.include_usage().unwrap_or(false);
        self.body = AskBody::Whole(envelope);
        self.decoded = None;
        Ok(())
    }

    /// How many answers are asked for at once; one, if the body went on before it was there.
    pub(super) fn count(&self) -> u32 {
        let number = match self.format {
            ApiFormat::OpenaiChat | ApiFormat::OpenaiCompletions => self.whole().and_then(|whole| whole.number("n")),
            ApiFormat::Gemini => self.whole().and_then(|whole| whole.raw("generationConfig")).and_then(|raw| {
                let config: Value = serde_json::from_slice(raw).ok()?;
                config.get("candidateCount")?.as_u64()
            }),
            _ => None,
        };
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(1)
    }

    /// The same question for one whole answer of which nothing is stored.
    pub(super) fn single(&mut self) -> Result<Self, GatewayError> {
        self.envelope()?;
        let mut one = Self { aside: true, stream: false, json_array: false, turn: None, ..self.clone() };
        let wrong = |error: serde_json::Error| {
            GatewayError::new(Kind::InvalidRequest, format!("the request body cannot be read: {error}"))
        };
        let mut body: Map<String, Value> = serde_json::from_slice(self.envelope()?.body()).map_err(wrong)?;
        for field in ["n", "stream", "stream_options"] {
            body.shift_remove(field);
        }
        if let Some(config) = body.get_mut("generationConfig").and_then(Value::as_object_mut) {
            config.shift_remove("candidateCount");
        }
        one.rewrite(serde_json::to_vec(&body).map_err(wrong)?.into())?;
        one.model.clone_from(&self.model);
        Ok(one)
    }

    /// The tree.
    pub(super) fn tree(&mut self) -> Result<Arc<ChatRequest>, GatewayError> {
        if let Some(tree) = &self.decoded {
            return Ok(tree.clone());
        }
        let body = self.envelope()?.body().clone();
        let hints = AddressHints { model: Some(&self.model), stream: Some(self.stream) };
        let decoded =
            self.format.codec().decode_request(&body, hints).map_err(|error| GatewayError::unreadable(&error))?;
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
        self.replace_tree(responses::summary_request(&tree));
        self.shortened = Some(tree);
        self.compacts = true;
        Ok(())
    }

    /// How much is asked for, as far as that shows from outside.
    pub(super) fn demand(&self) -> Demand {
        match &self.body {
            AskBody::Whole(envelope) => Demand {
                body_bytes: envelope.body().len() as u64,
                body: Some(envelope.body().clone()),
                max_output: envelope.max_tokens(),
            },
            AskBody::Arrived(body) => {
                Demand { body_bytes: body.length, body: None, max_output: body.head.max_tokens() }
            }
        }
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

/// What ids in an answer that is written here are made of.
pub(crate) fn reply_token(job: &Job) -> &str {
    job.settle.record().id.trim_start_matches("req_")
}

/// What encoders toward the client need to know.
pub(crate) fn reply_context(job: &Job, ask: &Ask, tree: Option<Arc<ChatRequest>>) -> ReplyContext {
    let record = job.settle.record();
    ReplyContext {
        model: ask.model.clone(),
        id: reply_token(job).to_owned(),
        request_id: Some(record.id.clone()),
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
    let Some(id) = ask.text("previous_response_id") else { return tree };
    let mut named = ChatRequest::clone(&tree);
    named.previous_response_id = Some(id.into_owned());
    Arc::new(named)
}

/// Fields beside the well-known ones that decide what is done with a request.
pub(super) const WATCHED: [&str; 5] = ["previous_response_id", "store", "prompt_cache_key", "metadata", "thinking"];

/// The body of what is asked.
#[derive(Debug, Clone)]
enum AskBody {
    Whole(Envelope),
    Arrived(Arc<Arrived>),
}

/// A body that went to a provider while it arrived: as it came, with the fields that decide something.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Watches [`WATCHED`].
    pub head: Head,
    /// As they came.
    pub pieces: Vec<Bytes>,
    /// Their sum.
    pub length: u64,
}

impl AskBody {
    fn raw(&self, key: &str) -> Option<&[u8]> {
        match self {
            AskBody::Whole(envelope) => envelope.raw(key),
            AskBody::Arrived(body) => body.head.raw(key),
        }
    }

    fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        match self {
            AskBody::Whole(envelope) => envelope.text(key),
            AskBody::Arrived(body) => body.head.text(key),
        }
    }

    fn flag(&self, key: &str) -> Option<bool> {
        match self {
            AskBody::Whole(envelope) => envelope.flag(key),
            AskBody::Arrived(body) => body.head.flag(key),
        }
    }

    fn include_usage(&self) -> Option<bool> {
        match self {
            AskBody::Whole(envelope) => envelope.include_usage(),
            AskBody::Arrived(body) => body.head.include_usage(),
        }
    }
}

/// Gemini without `alt=sse`: the stream is one JSON array.
pub(super) fn is_json_array(format: ApiFormat, stream: bool, query: &str) -> bool {
    format == ApiFormat::Gemini && stream && !query.split('&').any(|pair| pair == "alt=sse")
}

pub(super) fn malformed(error: &EnvelopeError) -> GatewayError {
    GatewayError::new(Kind::InvalidRequest, format!("the request body cannot be read: {error}"))
}
