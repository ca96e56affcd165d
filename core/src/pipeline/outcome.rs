//! Every attempt that ended comes by here, once, whatever surface made it and however it ended: the place to learn from it.

use std::time::Duration;

use crate::error::GatewayError;
use crate::model::{AttemptOutcome, AttemptRecord};

use super::Services;

/// What became of one attempt.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    /// Whom it went to, how long it took, how it ended.
    pub attempt: &'a AttemptRecord,
    /// The classified failure; `None` if it answered or the client left.
    pub failure: Option<&'a GatewayError>,
    /// From its beginning to the first content that went to the client, streams only.
    pub first_token: Option<Duration>,
}

/// An attempt ended. Called from the hot path: no lock across an await, no store.
pub(crate) fn ended(services: &Services, outcome: &Outcome<'_>) {
    let Outcome { attempt, failure, first_token } = outcome;
    let AttemptRecord { channel, upstream_model, credential, status, duration_us, .. } = attempt;
    let kind = failure.map(|error| error.kind.label());
    if attempt.outcome == AttemptOutcome::Answered {
        tracing::trace!(channel, upstream_model, duration_us, ?first_token, "attempt answered");
    } else {
        let at = services.clock.unix_ms();
        tracing::debug!(channel, upstream_model, credential, status, duration_us, kind, at, "attempt ended");
    }
}
