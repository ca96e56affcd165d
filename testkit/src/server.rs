//! The server: accepts connections, finds the wire of a path, checks keys, records, answers.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::delivery::{self, Progress};
use crate::errors::ErrorShape;
use crate::frame::Frame;
use crate::model::{Turn, answer};
use crate::provider::{KeyStyle, Provider, provider};
use crate::refusal::{Refusal, Verdict, require};
use crate::route::{Endpoint, endpoint};
use crate::script::{Delivery, Script};
use crate::sigv4::{self, Signed};
use crate::state::{Recorded, State};
use crate::wire::{
    Ask, Wire, anthropic, bedrock, chat, completions, dify, embeddings, gemini, models, ollama, responses,
    responses_answer,
};

type Body = BoxBody<Bytes, io::Error>;

/// A mock server on loopback; it stops when it is dropped.
#[derive(Debug)]
pub struct MockServer {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Drop for MockServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl MockServer {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on an address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root of one provider: `http://127.0.0.1:PORT/NAME`.
    pub fn url(&self, provider: &str) -> String {
        format!("http://{}/{provider}", self.address)
    }

    /// The base URL of one provider as its users write it (OpenAI's with `/v1`, Anthropic's without).
    pub fn base_url(&self, name: &str) -> String {
        format!("{}{}", self.url(name), provider(name).map_or("", |row| row.base))
    }

    /// Queues a script: the next request that it applies to takes it.
    pub fn script(&self, script: Script) {
        self.state.push_script(script);
    }

    /// What arrived so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests()
    }

    /// The last request.
    pub fn last_request(&self) -> Option<Recorded> {
        self.requests().pop()
    }

    /// Forgets what arrived so far.
    pub fn forget_requests(&self) {
        self.state.forget_requests();
    }

    /// Serves until the process ends.
    pub async fn wait(mut self) {
        let _ = (&mut self.accepting).await;
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(handle(request, state).await) }
            });
            // A broken connection is the client's business, or was scripted.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A request with everything read.
struct Received {
    provider: &'static Provider,
    method: String,
    /// Path after the provider, as sent.
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

async fn handle(request: Request<Incoming>, state: Arc<State>) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let Ok(body) = incoming.collect().await.map(http_body_util::Collected::to_bytes) else {
        return plain(400, &json!({"error": "the body broke off"}));
    };
    let full_path = parts.uri.path().to_owned();
    let (name, path) =
        full_path.trim_start_matches('/').split_once('/').unwrap_or((full_path.trim_start_matches('/'), ""));
    let query = parts.uri.query().unwrap_or_default().to_owned();
    if name == "_mock" {
        return control(parts.method.as_str(), path, &body, &state);
    }
    let Some(row) = provider(name) else {
        return plain(404, &json!({"error": format!("no mock provider `{name}`")}));
    };
    let received = Received {
        provider: row,
        method: parts.method.to_string(),
        path: format!("/{path}"),
        query,
        headers: parts.headers,
        body,
    };
    let progress = state.record(Recorded {
        provider: name.to_owned(),
        method: received.method.clone(),
        path: received.path.clone(),
        query: received.query.clone(),
        headers: received.headers.clone(),
        body: received.body.clone(),
        refused: None,
        progress: Progress::Open,
    });
    respond(received, &state, progress, &full_path).await
}

/// Requests and scripts for programs in another process.
fn control(method: &str, path: &str, body: &[u8], state: &State) -> Response<Body> {
    match (method, path) {
        ("GET", "requests") => plain(200, &state.requests().iter().map(Recorded::to_json).collect()),
        ("DELETE", "requests") => {
            state.forget_requests();
            plain(200, &json!({}))
        }
        ("POST", "scripts") => {
            let wish: Value = serde_json::from_slice(body).unwrap_or_default();
            let word = |key: &str| wish[key].as_str().map(str::to_owned);
            let mut script = Script { provider: word("provider"), path: word("path"), ..Script::default() };
            script.read_directives(&mut word("directives").unwrap_or_default());
            script.forced.text = word("text");
            state.push_script(script);
            plain(200, &json!({}))
        }
        _ => plain(404, &json!({"error": "no such control"})),
    }
}

async fn respond(
    received: Received,
    state: &Arc<State>,
    progress: Arc<Mutex<Progress>>,
    full_path: &str,
) -> Response<Body> {
    let found = endpoint(&received.path);
    let errors = shape(received.provider, found.as_ref(), &received.path);
    let mut script = state.take_script(received.provider.name, &received.path).unwrap_or_default();
    let sse = received.query.split('&').any(|pair| pair == "alt=sse");
    let outcome = check_key(&received, full_path).and_then(|()| match script.error.take() {
        Some(error) => Err(error),
        None => {
            let found =
                found.ok_or_else(|| Refusal::with_status(404, "path", format!("no such path: {}", received.path)))?;
            operate(received, found, errors, state, &mut script)
        }
    });
    tokio::time::sleep(script.delivery.delay).await;
    if let Some(verbatim) = script.verbatim {
        return send(
            verbatim.status,
            &verbatim.content_type,
            vec![Frame::Piece(String::from_utf8_lossy(&verbatim.body).into_owned())],
            Vec::new(),
            script.delivery,
            progress,
        );
    }
    match outcome {
        Err(refusal) => {
            state.refused(&progress, refusal.rule);
            refuse(&refusal, errors, sse)
        }
        Ok(Answer::Json(value)) if script.delivery.abort_byte.is_none() && script.delivery.split.is_none() => {
            if let Ok(mut progress) = progress.lock() {
                *progress = Progress::Done;
            }
            plain(200, &value)
        }
        Ok(Answer::Json(value)) => {
            send(200, "application/json", vec![Frame::Piece(value.to_string())], Vec::new(), script.delivery, progress)
        }
        Ok(Answer::Stream { content_type, frames, failure }) => {
            send(200, content_type, frames, failure, script.delivery, progress)
        }
    }
}

/// Failures are written as the endpoint's wire wants them, which may not be the provider's main one.
fn shape(row: &Provider, found: Option<&Endpoint>, path: &str) -> ErrorShape {
    match found {
        Some(Endpoint::Messages | Endpoint::MessagesCount) => ErrorShape::Anthropic,
        Some(Endpoint::Google { publisher: Some(publisher), .. }) if publisher == "anthropic" => ErrorShape::Anthropic,
        _ if row.errors == ErrorShape::OllamaNative && path.starts_with("/v1/") => ErrorShape::OpenAi,
        _ => row.errors,
    }
}

fn check_key(received: &Received, full_path: &str) -> Verdict {
    let header = |name: &str| received.headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let query = || received.query.split('&').find_map(|pair| pair.strip_prefix("key="));
    let key = match received.provider.key {
        KeyStyle::None => return Ok(()),
        KeyStyle::Bearer => bearer,
        KeyStyle::XApiKey => header("x-api-key").or(bearer),
        KeyStyle::Google => header("x-goog-api-key").or_else(query),
        KeyStyle::Azure => header("api-key").or(bearer),
        KeyStyle::Aws if header("authorization").is_some_and(|value| value.starts_with("AWS4-")) => {
            let signed = Signed {
                method: &received.method,
                path: full_path,
                query: &received.query,
                headers: &received.headers,
                body: &received.body,
            };
            return sigv4::verify(&signed).map_err(|why| Refusal::with_status(401, "sigv4", why));
        }
        KeyStyle::Aws => bearer,
    };
    // Hosts that offer Anthropic's wire beside their own take its header too.
    let key = key.or_else(|| header("x-api-key").filter(|_| received.path.contains("/v1/messages")));
    match key {
        Some(key) if key.starts_with("mock-limited") => {
            Err(Refusal::with_status(429, "limited-key", "Rate limit reached for this key."))
        }
        Some(key) if key.starts_with("mock-") && !key.starts_with("mock-bad") => Ok(()),
        Some(_) => Err(Refusal::with_status(401, "wrong-key", "Incorrect API key provided.")),
        None => Err(Refusal::with_status(401, "no-key", "You didn't provide an API key.")),
    }
}

enum Answer {
    Json(Value),
    Stream { content_type: &'static str, frames: Vec<Frame>, failure: Vec<Frame> },
}

fn operate(
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
    let cached = turn.marked_tokens > 0 && state.cache_seen(&turn.marked_digest);
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

fn plain(status: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed();
    build(status, "application/json", &[], body)
}

fn refuse(refusal: &Refusal, shape: ErrorShape, sse: bool) -> Response<Body> {
    let rendered = shape.render(refusal);
    let body = Full::new(Bytes::from(rendered.body.to_string())).map_err(|never| match never {}).boxed();
    // Gemini labels its JSON errors as events when events were asked for.
    let content_type = if sse { "text/event-stream" } else { "application/json" };
    build(rendered.status, content_type, &rendered.headers, body)
}

fn send(
    status: u16,
    content_type: &str,
    frames: Vec<Frame>,
    failure: Vec<Frame>,
    delivery: Delivery,
    progress: Arc<Mutex<Progress>>,
) -> Response<Body> {
    build(status, content_type, &[], delivery::start(frames, failure, delivery, progress).boxed())
}

fn build(status: u16, content_type: &str, headers: &[(String, String)], body: Body) -> Response<Body> {
    let mut builder =
        Response::builder().status(status).header("content-type", content_type).header("x-request-id", "req_mock");
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(body).unwrap_or_else(|_| {
        let mut broken = Response::new(Full::new(Bytes::new()).map_err(|never| match never {}).boxed());
        *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}
