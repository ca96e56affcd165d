//! What an endpoint does with a request whose key is right.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::errors::ErrorShape;
use crate::frame::Frame;
use crate::model::{Turn, answer};
use crate::provider::{Provider, Storing};
use crate::refusal::{Refusal, Verdict, require};
use crate::route::Endpoint;
use crate::script::Script;
use crate::state::State;
use crate::wire::{
    Ask, Wire, anthropic, bedrock, chat, completions, dify, embeddings, gemini, models, ollama, responses,
    responses_answer,
};

/// A request with everything read.
pub(crate) struct Received {
    pub(crate) provider: &'static Provider,
    pub(crate) method: String,
    /// Path after the provider, as sent.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What is sent back.
pub(crate) enum Answer {
    Json(Value),
    Stream { content_type: &'static str, frames: Vec<Frame>, failure: Vec<Frame> },
}

/// Reads the request by its endpoint's wire and answers it.
pub(crate) fn operate(
    received: Received,
    found: Endpoint,
    errors: ErrorShape,
    state: &State,
    script: &mut Script,
) -> Verdict<Answer> {
    let streams = received.query.split('&').any(|pair| pair == "alt=sse");
    let mut ask = Ask {
        provider: received.provider,
        errors,
        body: Value::Null,
        model: None,
        stream: false,
        sse: streams,
        headers: received.headers,
        seed: state.seed(),
        stored: state.stored(),
    };
    let get = received.method == "GET";
    match &found {
        Endpoint::Models(None) => return Ok(Answer::Json(models::list(ask.provider))),
        Endpoint::Models(Some(model)) if models::exists(model) => {
            return Ok(Answer::Json(models::one(ask.provider, model)));
        }
        Endpoint::Models(Some(model)) => return Err(unknown_model(model)),
        Endpoint::StoredResponse(id) => return stored_response(id, &received.method, state),
        Endpoint::Token => return token(&received.body, &ask.seed),
        Endpoint::Ollama(verb) => {
            if let Some(value) = models::ollama(verb) {
                return Ok(Answer::Json(value));
            }
        }
        _ => {}
    }
    if get {
        return Err(Refusal::with_status(405, "method", "method not allowed"));
    }
    ask.body = serde_json::from_slice(&received.body)
        .map_err(|error| Refusal::new("json", format!("We could not parse the JSON body of your request: {error}")))?;
    match found {
        Endpoint::Chat(deployment) => {
            ask.model = deployment;
            converse(ask, chat::WIRE, state, script)
        }
        Endpoint::Completions => converse(ask, completions::WIRE, state, script),
        Endpoint::Responses => converse(ask, responses::WIRE, state, script),
        Endpoint::ResponsesCount => converse(ask, responses::COUNT, state, script),
        Endpoint::ResponsesCompact => converse(ask, responses::COMPACT, state, script),
        Endpoint::Messages => converse(ask, anthropic::WIRE, state, script),
        Endpoint::MessagesCount => converse(ask, anthropic::COUNT, state, script),
        Endpoint::Embeddings => {
            known_model(&ask.body["model"]).and_then(|()| embeddings::openai(&ask)).map(Answer::Json)
        }
        Endpoint::CohereEmbed => embeddings::cohere(&ask).map(Answer::Json),
        Endpoint::DifyChat => converse(ask, dify::WIRE, state, script),
        Endpoint::Google { publisher, model, verb } => google(ask, publisher.as_deref(), model, &verb, state, script),
        Endpoint::Bedrock { model, verb } => {
            ask.model = Some(model);
            ask.stream = verb.ends_with("-stream");
            let wire = match verb.as_str() {
                "converse" | "converse-stream" => bedrock::WIRE,
                "invoke" | "invoke-with-response-stream" => bedrock::INVOKE,
                "count-tokens" => bedrock::COUNT,
                _ => return Err(Refusal::with_status(404, "path", "no such operation")),
            };
            converse(ask, wire, state, script)
        }
        Endpoint::Ollama(verb) => match verb.as_str() {
            "chat" => converse(ask, ollama::CHAT, state, script),
            "generate" => converse(ask, ollama::GENERATE, state, script),
            "embed" => embeddings::ollama(&ask).map(Answer::Json),
            _ => Err(Refusal::with_status(404, "path", "no such operation")),
        },
        Endpoint::Models(_) | Endpoint::StoredResponse(_) | Endpoint::Token => {
            Err(Refusal::with_status(405, "method", "method not allowed"))
        }
    }
}

fn google(
    mut ask: Ask,
    publisher: Option<&str>,
    model: String,
    verb: &str,
    state: &State,
    script: &mut Script,
) -> Verdict<Answer> {
    ask.stream = verb.starts_with("stream");
    let counts = model == "count-tokens";
    ask.model = Some(model);
    match (verb, publisher) {
        ("rawPredict", Some("anthropic")) if counts => {
            ask.model = None;
            converse(ask, Wire { read: count_at_vertex, ..anthropic::COUNT }, state, script)
        }
        ("rawPredict" | "streamRawPredict", Some("anthropic")) => converse(ask, anthropic::HOSTED, state, script),
        ("generateContent", _) => converse(ask, gemini::WIRE, state, script),
        ("streamGenerateContent", _) if ask.sse => converse(ask, gemini::WIRE, state, script),
        ("streamGenerateContent", _) => converse(ask, gemini::ARRAY, state, script),
        ("countTokens", _) => converse(ask, gemini::COUNT, state, script),
        ("embedContent" | "batchEmbedContents" | "predict", _) => embeddings::google(&ask, verb).map(Answer::Json),
        _ => Err(Refusal::with_status(404, "path", format!("no such method: {verb}"))),
    }
}

/// Vertex AI counts with the model in the body and no version header.
fn count_at_vertex(ask: &Ask) -> Verdict<Turn> {
    let mut headers = ask.headers.clone();
    headers.insert("anthropic-version", http::HeaderValue::from_static("vertex"));
    let mut body = ask.body.clone();
    if let Some(map) = body.as_object_mut() {
        map.remove("anthropic_version");
    }
    let same = Ask { body, headers, seed: ask.seed.clone(), stored: ask.stored.clone(), model: None, ..*ask };
    (anthropic::COUNT.read)(&same)
}

/// Whose prompt cache it is: each key has its own. Signatures differ by request and name nobody here.
fn account(ask: &Ask) -> &str {
    let bearer = ask.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    ask.header("x-api-key").or(bearer).unwrap_or_default()
}

/// Reads, lets the model answer, writes.
fn converse(ask: Ask, wire: Wire, state: &State, script: &mut Script) -> Verdict<Answer> {
    let mut turn = (wire.read)(&ask)?;
    turn.seed.clone_from(&ask.seed);
    if !models::exists(&turn.model) {
        return Err(unknown_model(&turn.model));
    }
    script.read_directives(&mut turn.user_text);
    // A failure is met once a turn: not again when the tools' results come.
    if let (Some(error), true) = (script.error.take(), turn.results.is_empty()) {
        return Err(error);
    }
    let cached = turn.marked_tokens > 0 && state.cache_seen(&format!("{} {}", account(&ask), turn.marked_digest));
    let reply = answer(&turn, &script.forced, cached);
    remember(&ask, &turn, &reply, state);
    if !turn.stream {
        return Ok(Answer::Json((wire.whole)(&ask, &turn, &reply)));
    }
    let failure =
        script.delivery.error_after.as_ref().map(|(_, refusal)| (wire.failure)(&ask, refusal)).unwrap_or_default();
    Ok(Answer::Stream { content_type: wire.content_type, frames: (wire.stream)(&ask, &turn, &reply), failure })
}

/// Keeps what a later request may name.
fn remember(ask: &Ask, turn: &Turn, reply: &crate::model::Reply, state: &State) {
    if ask.body["query"].is_string() {
        state.store(dify::conversation_id(ask), json!([]));
    } else if (ask.body["input"].is_array() || ask.body["input"].is_string())
        && ask.body["store"] != false
        && ask.provider.storing() == Storing::Stores
        && !turn.model.is_empty()
    {
        let mut items = ask.body["previous_response_id"]
            .as_str()
            .and_then(|id| ask.stored.get(id))
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        match &ask.body["input"] {
            Value::Array(list) => items.extend(list.iter().cloned()),
            text => items.push(json!({"role": "user", "content": text})),
        }
        // What is stored needs no encrypted copy to be understood again.
        items.extend(responses_answer::items(ask, reply).into_iter().filter(|item| item["type"] != "reasoning"));
        state.store(format!("resp_{}", ask.seed), Value::Array(items));
    }
}

fn stored_response(id: &str, method: &str, state: &State) -> Verdict<Answer> {
    let missing = || Refusal::with_status(404, "stored-response", format!("Response with id '{id}' not found."));
    if method == "DELETE" {
        state.remove_stored(id).ok_or_else(missing)?;
        return Ok(Answer::Json(json!({"id": id, "object": "response", "deleted": true})));
    }
    let items = state.stored().remove(id).ok_or_else(missing)?;
    Ok(Answer::Json(json!({"id": id, "object": "response", "status": "completed", "output": items})))
}

/// An OAuth token for a service account's claim or a refresh token; the form and the shape of the claim are checked.
fn token(body: &[u8], seed: &str) -> Verdict<Answer> {
    let form = String::from_utf8_lossy(body);
    let field = |name: &str| {
        let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next().unwrap_or_default()
    };
    let claim = field("grant_type").ends_with("jwt-bearer") && field("assertion").split('.').count() == 3;
    let refresh = field("grant_type") == "refresh_token" && !field("refresh_token").is_empty();
    require(claim || refresh, "token-grant", || "invalid_grant".to_owned())?;
    Ok(Answer::Json(json!({"access_token": format!("mock-token-{seed}"), "expires_in": 3_600, "token_type": "Bearer"})))
}

fn known_model(model: &Value) -> Verdict {
    match model.as_str() {
        Some(model) if !models::exists(model) => Err(unknown_model(model)),
        _ => Ok(()),
    }
}

fn unknown_model(model: &str) -> Refusal {
    Refusal::with_status(
        404,
        "unknown-model",
        format!("The model `{model}` does not exist or you do not have access to it."),
    )
}
