//! The client and its pool.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response};
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::body::chain;
use super::connect::Connector;
use super::{Body, Dial, ReplyBody, UpstreamError};

/// An answer whose body is still on its way.
pub type Reply = Response<ReplyBody>;

/// More than any machine's number of calls at once; idle ones go after [`IDLE`].
const MOST_IDLE: usize = 1_024;
/// Below the 60 s after which many load balancers close without a word.
const IDLE: Duration = Duration::from_secs(50);
const CONNECT: Duration = Duration::from_secs(10);

/// Sends requests. Cheap to share; all requests of one way of connecting go through one pool.
#[derive(Clone)]
pub struct Client {
    pool: Pool<Connector, Body>,
    proxy_authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client for one way of connecting. Fails if the proxy's address cannot be read.
    pub fn new(dial: &Dial) -> Result<Self, UpstreamError> {
        let limit = dial.connect_ms.filter(|ms| *ms > 0).map_or(CONNECT, Duration::from_millis);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_max_idle_per_host(MOST_IDLE)
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(Connector::new(dial, limit)?);
        Ok(Self { pool, proxy_authorization: Connector::proxy_authorization(dial) })
    }

    /// Sends a request and waits for the head of the answer; any status is an answer. The address must be absolute. Dropping the future,
    /// or later the body, closes the connection: the provider stops working for nobody.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Reply, UpstreamError> {
        if let Some(value) = &self.proxy_authorization
            && request.uri().scheme() == Some(&Scheme::HTTP)
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, value.clone());
        }
        let host = request.uri().authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        match self.pool.request(request).await {
            Ok(answer) => Ok(answer.map(ReplyBody::from)),
            Err(error) => Err(read_error(&error, host)),
        }
    }
}

/// What the pool's error means. Our own errors come out of it as they went in.
fn read_error(error: &PoolError, host: String) -> UpstreamError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(source) = cause {
        match source.downcast_ref::<UpstreamError>() {
            Some(UpstreamError::Timeout { what, ms }) => return UpstreamError::Timeout { what: *what, ms: *ms },
            Some(UpstreamError::Refused { host, why }) => return UpstreamError::Refused { host: host.clone(), why },
            Some(UpstreamError::RequestBody(why)) => return UpstreamError::RequestBody(why.clone()),
            _ => cause = source.source(),
        }
    }
    let why = std::error::Error::source(error).map_or_else(|| error.to_string(), chain);
    if error.is_connect() { UpstreamError::Connect { host, why } } else { UpstreamError::Broken { host, why } }
}

/// One client for every way of connecting, as long as somebody uses it.
#[derive(Debug, Default)]
pub struct Clients(Mutex<HashMap<Dial, Weak<Client>>>);

impl Clients {
    /// The client for a way of connecting: the one that is in use, else a new one. Whoever needs it keeps the `Arc`; when a change of
    /// configuration drops the last one, its idle connections go, running requests do not.
    pub fn get(&self, dial: &Dial) -> Result<Arc<Client>, UpstreamError> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(dial).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let client = Arc::new(Client::new(dial)?);
        clients.retain(|_, client| client.strong_count() > 0);
        clients.insert(dial.clone(), Arc::downgrade(&client));
        Ok(client)
    }
}
