//! The server: accepts connections, finds the wire of a path, checks keys, records, answers.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
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
use crate::operate::{Answer, Received, operate};
use crate::provider::{KeyStyle, Provider, provider};
use crate::refusal::{Refusal, Verdict};
use crate::route::{Endpoint, endpoint};
use crate::script::{Delivery, Script};
use crate::sigv4::{self, Signed};
use crate::state::{Recorded, State};

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

    /// Takes back what is queued and was not met.
    pub fn forget_scripts(&self) {
        self.state.forget_scripts();
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
            let mut script =
                Script { provider: word("provider"), path: word("path"), key: word("key"), ..Script::default() };
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
    let mut script =
        state.take_script(received.provider.name, &received.path, presented(&received)).unwrap_or_default();
    let sse = received.query.split('&').any(|pair| pair == "alt=sse");
    let outcome = check_key(&received, full_path).and_then(|()| match script.error.take() {
        Some(error) => Err(error),
        None => {
            let found =
                found.ok_or_else(|| Refusal::with_status(404, "path", format!("no such path: {}", received.path)))?;
            operate(received, found, errors, state, &mut script)
        }
    });
    late(script.delivery.delay, &progress).await;
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

/// The key that the caller shows, where this provider's wire has it.
fn presented(received: &Received) -> Option<&str> {
    let header = |name: &str| received.headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let query = || received.query.split('&').find_map(|pair| pair.strip_prefix("key="));
    let key = match received.provider.key {
        KeyStyle::None | KeyStyle::Bearer | KeyStyle::Aws => bearer,
        KeyStyle::XApiKey => header("x-api-key").or(bearer),
        KeyStyle::Google => header("x-goog-api-key").or_else(query),
        KeyStyle::Azure => header("api-key").or(bearer),
    };
    // Hosts that offer Anthropic's wire beside their own take its header too.
    key.or_else(|| header("x-api-key").filter(|_| received.path.contains("/v1/messages")))
}

fn check_key(received: &Received, full_path: &str) -> Verdict {
    let authorization = received.headers.get("authorization").and_then(|value| value.to_str().ok());
    match received.provider.key {
        KeyStyle::None => return Ok(()),
        KeyStyle::Aws if authorization.is_some_and(|value| value.starts_with("AWS4-")) => {
            let signed = Signed {
                method: &received.method,
                path: full_path,
                query: &received.query,
                headers: &received.headers,
                body: &received.body,
            };
            return sigv4::verify(&signed).map_err(|why| Refusal::with_status(401, "sigv4", why));
        }
        _ => {}
    }
    match presented(received) {
        Some(key) if key.starts_with("mock-limited") => {
            Err(Refusal::with_status(429, "limited-key", "Rate limit reached for this key."))
        }
        Some(key) if key.starts_with("mock-") && !key.starts_with("mock-bad") => Ok(()),
        Some(_) => Err(Refusal::with_status(401, "wrong-key", "Incorrect API key provided.")),
        None => Err(Refusal::with_status(401, "no-key", "You didn't provide an API key.")),
    }
}

fn plain(status: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed();
    build(status, "application/json", &[], body)
}

/// Waits before the first word. Who leaves meanwhile ends this task: that is noted then.
async fn late(delay: std::time::Duration, progress: &Arc<Mutex<Progress>>) {
    struct Awaited<'a>(&'a Arc<Mutex<Progress>>, bool);
    impl Drop for Awaited<'_> {
        fn drop(&mut self) {
            if let (false, Ok(mut progress)) = (self.1, self.0.lock()) {
                *progress = Progress::ClientLeft;
            }
        }
    }
    if delay.is_zero() {
        return;
    }
    let mut awaited = Awaited(progress, false);
    tokio::time::sleep(delay).await;
    awaited.1 = true;
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
