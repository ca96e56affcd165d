//! How the app reaches the gateway: in this process, or over the owner's socket of a service that runs already. Never over TCP.
//!
//! Both ways lead to the same routes, so nothing above knows which one it is.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use myelin_core::gateway::Gateway;
use serde_json::Value;
use tower::ServiceExt as _;

/// What a body may fail with.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer, as it comes.
pub(crate) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Failure>> + Send>>;
type Call = dyn Fn(Request<Full<Bytes>>) -> Answering + Send + Sync;

/// The gateway said no, or nothing.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// It cannot be reached.
    Gone(String),
    /// It refused, in words for people.
    Refused {
        /// HTTP status.
        status: u16,
        /// Why.
        message: String,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone(why) => write!(f, "the gateway does not answer: {why}"),
            Self::Refused { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

/// The way to the gateway.
#[derive(Clone)]
pub(crate) struct Carrier {
    call: Arc<Call>,
}

impl Carrier {
    /// To the gateway of this process.
    pub(crate) fn here(gateway: &Gateway) -> Self {
        let router = gateway.owner_router();
        let call = move |request: Request<Full<Bytes>>| -> Answering {
            let router = router.clone();
            Box::pin(async move {
                let answer = router.oneshot(request).await.unwrap_or_else(|never| match never {});
                Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
            })
        };
        Self { call: Arc::new(call) }
    }

    /// To a service that runs already, by its socket.
    #[cfg(unix)]
    pub(crate) fn socket(path: PathBuf) -> Self {
        let call = move |request: Request<Full<Bytes>>| -> Answering {
            let path = path.clone();
            Box::pin(async move {
                let gone = |why: &dyn std::fmt::Display| Failure::Gone(why.to_string());
                let stream = tokio::net::UnixStream::connect(&path).await.map_err(|why| gone(&why))?;
                let stream = hyper_util::rt::TokioIo::new(stream);
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(stream).await.map_err(|why| gone(&why))?;
                // Ends with the body: whoever drops the answer ends the request.
                tokio::spawn(connection);
                let answer = sender.send_request(request).await.map_err(|why| gone(&why))?;
                Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
            })
        };
        Self { call: Arc::new(call) }
    }

    /// To a script instead of a gateway.
    #[cfg(test)]
    pub(crate) fn scripted(call: impl Fn(Request<Full<Bytes>>) -> Answering + Send + Sync + 'static) -> Self {
        Self { call: Arc::new(call) }
    }

    /// Sends a request and gives the answer's head as soon as it is there.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, Failure> {
        (self.call)(request).await
    }

    /// Asks the admin API.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(&Method::GET, path, None).await
    }

    /// Tells the admin API.
    pub(crate) async fn tell(&self, method: &Method, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(method, path, Some(body)).await
    }

    async fn json(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|why| Failure::Refused { status: 400, message: why.to_string() })?;
        let answer = self.send(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map_err(|why| Failure::Gone(why.to_string()))?.to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let message = answer.pointer("/error/message").and_then(Value::as_str).map(str::to_owned);
        let message = message.unwrap_or_else(|| format!("the gateway answered {status}"));
        Err(Failure::Refused { status: status.as_u16(), message })
    }
}

/// A name as one segment of an address.
pub(crate) fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
