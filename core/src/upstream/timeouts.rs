//! Limits on waiting: for the head, the first content, the next bytes, the whole attempt.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::UpstreamError;
pub use super::error::Waiting;
use crate::model::Timeouts;

/// Limits that hold: a channel's own, else the gateway's, else these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// TCP and TLS.
    pub connect: Duration,
    /// Until the answer's head. Long: models that think answer late when they do not stream.
    pub first_byte: Duration,
    /// Until the first content of a stream.
    pub first_token: Duration,
    /// Between two reads of a stream.
    pub idle: Duration,
    /// The whole attempt; `None`: no limit.
    pub total: Option<Duration>,
}

impl Limits {
    /// The channel's limits, completed by the gateway's. Zero means no limit.
    pub fn of(channel: &Timeouts, gateway: &Timeouts) -> Self {
        let ms = |own: Option<u64>, common: Option<u64>, usual: u64| match own.or(common).unwrap_or(usual) {
            0 => FOREVER,
            ms => Duration::from_millis(ms).min(FOREVER),
        };
        let total = channel.total_ms.or(gateway.total_ms).filter(|ms| *ms > 0);
        Self {
            connect: ms(channel.connect_ms, gateway.connect_ms, 10_000),
            first_byte: ms(channel.first_byte_ms, gateway.first_byte_ms, 600_000),
            first_token: ms(channel.first_token_ms, gateway.first_token_ms, 600_000),
            idle: ms(channel.idle_ms, gateway.idle_ms, 300_000),
            total: total.map(Duration::from_millis),
        }
    }
}

/// A limit that nothing reaches; still small enough to be added to a clock.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

impl Default for Limits {
    fn default() -> Self {
        Self::of(&Timeouts::default(), &Timeouts::default())
    }
}

/// When an attempt must be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    /// The deadline of an attempt that begins now.
    pub fn start(limits: &Limits) -> Self {
        Self(limits.total.and_then(|total| Some((now().checked_add(total)?, total))))
    }

    /// Waits for `future`, but neither longer than `limit` nor past the deadline.
    pub async fn within<F: Future>(
        &self,
        what: Waiting,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, UpstreamError> {
        let at = now().checked_add(limit);
        let (at, what, limit) = match (self.0, at) {
            (Some((total, limit)), Some(at)) if total < at => (total, Waiting::Total, limit),
            (Some((total, limit)), None) => (total, Waiting::Total, limit),
            (_, Some(at)) => (at, what, limit),
            (None, None) => return Ok(future.await),
        };
        tokio::time::timeout_at(at, future).await.map_err(|_| late(what, limit))
    }
}

fn late(what: Waiting, limit: Duration) -> UpstreamError {
    UpstreamError::Timeout { what, ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) }
}

/// The runtime's clock: tests that pause it own these limits.
fn now() -> Instant {
    Instant::now()
}

/// A body whose every read is limited. Before [`Timed::content_came`] the limit for the first token holds as well.
#[derive(Debug)]
pub struct Timed<B> {
    body: B,
    limits: Limits,
    deadline: Deadline,
    /// The first content has to be there by then; `None` once it is.
    first_token: Option<Instant>,
    /// The timer, made by the first read that finds nothing and used again by all others.
    timer: Option<Pin<Box<Sleep>>>,
    /// What the timer runs for; `None`: nothing is waited for.
    wait: Option<(Waiting, Duration)>,
}

impl<B> Timed<B> {
    /// Limits the reads of `body`; the wait for the first content begins now.
    pub fn new(body: B, limits: Limits, deadline: Deadline) -> Self {
        Self { body, limits, deadline, first_token: now().checked_add(limits.first_token), timer: None, wait: None }
    }

    /// The first content has come.
    pub fn content_came(&mut self) {
        self.first_token = None;
    }

    /// The nearest of the limits.
    fn nearest(&self) -> (Instant, Waiting, Duration) {
        let idle = (now() + self.limits.idle, Waiting::Idle, self.limits.idle);
        let token = self.first_token.map(|at| (at, Waiting::FirstToken, self.limits.first_token));
        let total = self.deadline.0.map(|(at, total)| (at, Waiting::Total, total));
        [token, total]
            .into_iter()
            .flatten()
            .fold(idle, |nearest, other| if other.0 < nearest.0 { other } else { nearest })
    }
}

impl<B> HttpBody for Timed<B>
where
    B: HttpBody<Data = Bytes, Error = UpstreamError> + Unpin,
{
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.wait = None;
            return Poll::Ready(frame);
        }
        let (what, limit) = match this.wait {
            Some(wait) => wait,
            None => {
                let (at, what, limit) = this.nearest();
                match &mut this.timer {
                    Some(timer) => timer.as_mut().reset(at),
                    None => this.timer = Some(Box::pin(sleep_until(at))),
                }
                *this.wait.insert((what, limit))
            }
        };
        let Some(timer) = &mut this.timer else { return Poll::Pending };
        std::task::ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(late(what, limit))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
