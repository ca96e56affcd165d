//! The life of a request, in order:
//!
//! ```text
//! begin    admit (key, profile) ─ a refusal is answered before the body is read
//! run      chat | count | embed | aside | models | responses | dify      one file a surface
//!            intake    the body: how large, how slow; arriving: a large one goes to a provider while it comes in
//!            ask       what the client wants, read no further than needed
//!            target    name → profile → candidates; `Job::planned`: let through or not, before the first attempt
//!            attempt   the loop: pass bytes through or convert, next candidate
//!            dispatch  build, sign, send; what a refusal means
//!            receive   read the answer whole or up to the commit point
//!            stream    keep-alive, silence, truncation, end; resume: who goes on with one that broke off
//!            outcome   every attempt that ended, the one place
//! settle   one record, however it ended
//! ```
//!
//! Knows no axum and no store tables; the server hands in a [`Call`] and gets a [`Reply`].

mod admit;
mod arriving;
mod aside;
mod ask;
mod attempt;
mod cached;
mod capture;
mod chat;
mod contest;
mod conversation;
mod count;
mod dify;
mod dispatch;
mod echo;
mod edits;
mod embed;
mod error;
mod explain;
mod fan_out;
mod fault;
mod flights;
mod heard;
mod id;
mod intake;
mod media;
mod mirror;
mod models;
mod money;
mod multipart;
mod origins;
mod outcome;
mod passage;
mod passthrough;
mod probed;
mod quota;
mod receive;
mod refusal;
mod relay;
mod reply;
mod rerank;
mod responses;
mod resume;
mod retry;
mod session;
mod settle;
mod sight;
mod stored;
mod stream;
mod surface;
mod talks;
mod target;
mod tries;
mod way;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderMap;
use myelin_protocol::envelope::Envelope;

pub use explain::{ExplainedDeployment, ExplainedOmission, Explanation, Supposed, explain};
pub use fault::contain;
pub use flights::{Flight, FlightFacts, Flights};
pub(crate) use id::request_id;
pub use origins::Origins;
pub(crate) use outcome::tell as told;
pub(crate) use probed::probed;
pub use reply::{Broken, Reply, ReplyBody};
pub use stream::StreamReply;
pub use talks::Talks;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::error::{GatewayError, Kind};
use crate::events::Events;
use crate::limits::Limiter;
use crate::model::{Charge, RequestRecord, RequestState, Settings};
use crate::snapshot::{InForce, Snapshot};
use crate::store::{Store, StoreError};
use admit::Caller;
pub use aside::Aside;
use intake::Intake;
use settle::Settle;
pub use surface::{StoredAction, Surface, pinned_profile, surface};

/// Tells when a record is on disk.
type Durable = tokio::sync::oneshot::Receiver<Result<(), StoreError>>;

/// What the pipeline works with; one value for the life of the gateway.
#[derive(Debug)]
pub struct Services {
    /// The picture of the configuration, swapped whole.
    pub snapshot: ArcSwap<Snapshot>,
    /// How far changes of the configuration have come.
    pub in_force: InForce,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where records go, and what is kept for a while.
    pub store: Store,
    /// Who made which opaque reasoning.
    pub origins: Origins,
    /// Requests in flight.
    pub flights: Flights,
    /// Every limit's counter.
    pub limiter: Limiter,
    /// What the owner should hear of.
    pub events: Events,
    /// Conversations with turns under way.
    pub talks: Talks,
    /// What second tries and shared answers need to know of all requests.
    pub resilience: Resilience,
    /// What traffic taught about channels, and where conversations are.
    pub fleet: Arc<crate::routing::Fleet>,
}

/// What second tries need to know of all requests.
#[derive(Debug)]
pub struct Resilience {
    budget: retry::Budget,
    /// Answers that are given again.
    pub cache: Cache,
}

impl Resilience {
    /// With the cache's disk part in the data directory.
    pub fn beside(dir: &std::path::Path) -> Self {
        Self { budget: retry::Budget::default(), cache: Cache::beside(dir) }
    }
}

impl Services {
    /// Hands a record over. `durable`: tells when it is on disk.
    fn record(&self, record: RequestRecord, charges: Vec<Charge>, durable: bool) -> Option<Durable> {
        tracing::debug!(id = record.id, state = ?record.state, status = record.status, model = record.model, "request");
        self.store.ledger().append_charged(record, charges, durable)
    }
}

/// One client call, as the server understood it.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it asks for.
    pub surface: Surface,
    /// The path as asked.
    pub path: String,
    /// The query string, possibly empty.
    pub query: String,
    /// The profile that the path pins.
    pub pinned: Option<String>,
    /// The head.
    pub headers: HeaderMap,
    /// It came in over a listener that only this machine reaches.
    pub loopback: bool,
}

/// A call whose caller was let in; its body is still to be read.
pub struct Admitted {
    job: Box<Job>,
}

/// What every surface works with. Boxed wherever it goes: each future on its way would hold the room for it twice, and be moved with it.
pub(crate) struct Job {
    pub services: Arc<Services>,
    pub snapshot: Arc<Snapshot>,
    pub call: Call,
    pub caller: Caller,
    pub settle: Settle,
    /// [`Job::planned`] has let it through.
    pub planned: bool,
    /// It is a copy of another request, for its policy's mirror.
    pub copy: bool,
}

/// Lets the caller in and begins the record. `Err` is the whole answer; the body of such a call is still to be thrown away ([`discard`]).
pub fn begin(services: Arc<Services>, call: Call) -> Result<Admitted, Reply> {
    let snapshot = services.snapshot.load_full();
    let now = services.clock.unix_ms();
    let record = RequestRecord {
        id: request_id(),
        started: now,
        path: call.path.clone(),
        format: call.surface.label().to_owned(),
        ..RequestRecord::default()
    };
    let mut settle = Settle::begin(services.clone(), record);
    session::note(&call.headers, settle.record_mut());
    let admitted = admit::admit(
        &snapshot,
        &call.headers,
        &call.query,
        call.pinned.as_deref(),
        call.surface.label(),
        call.loopback,
        now,
    );
    let caller = match admitted {
        Ok(caller) => caller,
        Err(error) => return Err(error::reply(call.surface.error_format(), error, settle)),
    };
    let key = &caller.key.key;
    let record = settle.record_mut();
    record.key = Some(key.id.clone());
    record.profile.clone_from(&caller.profile.name);
    record.owners.clone_from(&caller.key.owners);
    if key.tool.is_some() {
        record.tool.clone_from(&key.tool);
    }
    settle.strict = key.strict;
    settle.keep_bodies(key.bodies.unwrap_or(snapshot.settings.bodies));
    let job = Job { services, snapshot, call, caller, settle, planned: false, copy: false };
    Ok(Admitted { job: Box::new(job) })
}

/// Answers a call that is turned away at the door, before anybody looks at its key.
pub fn turn_away(services: Arc<Services>, surface: &Surface, path: &str, error: GatewayError) -> Reply {
    let started = services.clock.unix_ms();
    let (path, format) = (path.to_owned(), surface.label().to_owned());
    let record = RequestRecord { id: request_id(), started, path, format, ..RequestRecord::default() };
    error::reply(surface.error_format(), error, Settle::begin(services, record))
}

/// Reads the body of a call that was refused to its end, within bounds, so that the client reads the answer and not a broken pipe.
pub async fn discard<B>(body: B)
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Intake::new(body, &HeaderMap::new(), &Settings::default()).discard().await;
}

impl Admitted {
    /// Reads the body and answers the call. A large conversation is passed on while it arrives.
    pub async fn run<B>(self, body: B) -> Reply
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let flight = Arc::clone(self.job.settle.flight());
        let format = self.job.call.surface.error_format();
        let mut going = std::pin::pin!(self.go(body));
        std::future::poll_fn(|cx| {
            if flight.poll_stopped(cx) {
                return std::task::Poll::Ready(None);
            }
            going.as_mut().poll(cx).map(Some)
        })
        .await
        // What was under way is dropped and settles itself.
        .unwrap_or_else(|| error::stopped(format, &flight.id))
    }

    async fn go<B>(self, body: B) -> Reply
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let job = self.job;
        let mut intake = Intake::new(body, &job.call.headers, &job.snapshot.settings);
        if let Err(error) = intake.check(&job.call.headers).await {
            return job.fail(error);
        }
        if arriving::may_stream(&job) && intake.announced().is_none_or(|length| length > intake::SMALL) {
            match intake.read_to(intake::SMALL).await {
                Ok(true) => {}
                Ok(false) => return Box::pin(arriving::run(job, intake.boxed())).await,
                Err(error) => return job.fail(error),
            }
        }
        match intake.whole().await {
            Ok(body) => job.answer(body).await,
            Err(error) => job.fail(error),
        }
    }
}

impl Job {
    /// Answers a call whose body is there.
    async fn answer(self: Box<Self>, body: Bytes) -> Reply {
        let mut job = self;
        job.settle.record_mut().bytes_in = body.len() as u64;
        job.settle.kept_head(crate::store::BodyKind::ReceivedHead, &job.call.headers, false);
        job.settle.received(&body);
        let mut looked = None;
        match job.cache_plan(&body, &mut looked) {
            Some(plan) => Box::pin(cached::answer(job, body, plan)).await,
            None => job.answer_anew(body, looked).await,
        }
    }

    /// Answers without the cache. What a conversation does not go through is boxed: every call would carry the room for it. `looked`: a look at the body,
    /// if somebody took one already.
    async fn answer_anew(self: Box<Self>, body: Bytes, looked: Option<Envelope>) -> Reply {
        let job = self;
        match job.call.surface.clone() {
            Surface::Chat { format: myelin_protocol::ApiFormat::Dify, .. } => Box::pin(dify::run(job, body)).await,
            Surface::Chat { format, model, stream } => {
                chat::run(job, format, chat::Received { bytes: body, looked }, chat::Path { model, stream }, None).await
            }
            Surface::CountTokens { format, model } => Box::pin(count::run(job, format, body, model)).await,
            Surface::Embeddings { format, model, .. } => Box::pin(embed::run(job, format, body, model)).await,
            Surface::Models { format } => models::list(job, format),
            Surface::Model { format, id } => models::one(job, format, &id),
            Surface::OllamaShow => models::ollama_show(job, &body),
            Surface::OllamaVersion => models::ollama_version(job),
            Surface::OllamaLoaded => models::ollama_loaded(job),
            Surface::StoredResponse { id, action } => Box::pin(responses::run(job, &id, action)).await,
            Surface::Aside(aside) => Box::pin(aside::run(job, aside, body)).await,
            Surface::DifyMessages => Box::pin(dify::messages(job)).await,
            Surface::Compact => Box::pin(responses::compact(job, body)).await,
            Surface::Unknown { .. } => job.nowhere(),
        }
    }

    /// Answers a call of an address that is none of ours, or by a method that it does not take.
    fn nowhere(self: Box<Self>) -> Reply {
        let path = &self.call.path;
        let methods = surface::methods(surface::pinned_profile(path).1, &self.call.headers, &self.call.query);
        if methods.is_empty() {
            let message = format!("there is no {path}; see the table of addresses in the README");
            return self.fail(GatewayError::new(Kind::NotFound, message));
        }
        let allowed = methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(", ");
        let mut error = GatewayError::new(Kind::NotFound, format!("{path} takes {allowed} only"));
        error.public.status = Some(http::StatusCode::METHOD_NOT_ALLOWED.as_u16());
        let mut reply = self.fail(error);
        if let Ok(allowed) = http::HeaderValue::from_str(&allowed) {
            reply.headers_mut().insert(http::header::ALLOW, allowed);
        }
        reply
    }

    /// Answers with a failure in the caller's format.
    fn fail(self: Box<Self>, error: GatewayError) -> Reply {
        error::reply(self.call.surface.error_format(), error, self.settle)
    }

    /// Answers with a whole JSON body.
    fn json(mut self: Box<Self>, status: u16, body: Vec<u8>) -> Reply {
        let mut reply = http::Response::new(ReplyBody::Empty);
        *reply.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::OK);
        reply.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        self.settle.price();
        self.settle.describe(reply.headers_mut());
        let body = Bytes::from(body);
        self.settle.given(&body);
        self.settle.complete(RequestState::Completed, status);
        *reply.body_mut() = ReplyBody::Whole(body);
        reply
    }
}
