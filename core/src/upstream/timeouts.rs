//! Limits on waiting: for the head, the first content, the next bytes, the whole attempt.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

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
    /// No limits.
    pub const NONE: Self =
        Self { connect: FOREVER, first_byte: FOREVER, first_token: FOREVER, idle: FOREVER, total: None };

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
    /// No deadline.
    pub const NEVER: Self = Self(None);

    /// What is left of the time; `None`: there is no deadline.
    pub fn left(&self) -> Option<Duration> {
        self.0.map(|(at, _)| at.saturating_duration_since(now()))
    }

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
