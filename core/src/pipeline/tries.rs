//! Which candidate is next, when to give up, and which of several failures to tell.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::{GatewayError, Kind, Retry};
use crate::routing::Candidate;

/// The longest that a request waits before it asks a deployment once more.
const PATIENCE: Duration = Duration::from_secs(3);
/// The wait before that if the provider names none.
const BACKOFF: Duration = Duration::from_millis(250);

/// The candidates of one request and what became of them.
#[derive(Debug)]
pub(crate) struct Tries {
    waiting: VecDeque<Candidate>,
    /// Those that asked to be tried again, with the longest wait among them.
    again: Vec<Candidate>,
    wait: Duration,
    second_round: bool,
    left: u32,
    worst: Option<GatewayError>,
}

impl Tries {
    /// At most `limit` tries over `candidates`.
    pub(super) fn new(candidates: &[Candidate], limit: u32) -> Self {
        Self {
            waiting: candidates.iter().cloned().collect(),
            again: Vec::new(),
            wait: BACKOFF,
            second_round: false,
            left: limit.max(1),
            worst: None,
        }
    }

    /// The next candidate. When all were tried, those that may recover are asked once more after a short wait.
    pub(super) async fn next(&mut self) -> Option<Candidate> {
        if self.left == 0 || self.worst.as_ref().is_some_and(|error| error.retry == Retry::Never) {
            return None;
        }
        if self.waiting.is_empty() && !self.second_round && !self.again.is_empty() {
            self.second_round = true;
            self.waiting.extend(self.again.drain(..));
            let jitter = Duration::from_millis(fastrand::u64(0..100));
            tokio::time::sleep(self.wait + jitter).await;
        }
        let next = self.waiting.pop_front()?;
        self.left -= 1;
        Some(next)
    }

    /// A candidate failed.
    pub(super) fn failed(&mut self, candidate: Candidate, error: GatewayError) {
        if let Retry::Again { after } = error.retry
            && after.is_none_or(|after| after <= PATIENCE)
            && (after.is_some() || error.kind != Kind::UpstreamRateLimited)
        {
            self.wait = self.wait.max(after.unwrap_or(BACKOFF));
            self.again.push(candidate);
        }
        let tells_more =
            self.worst.as_ref().is_none_or(|worst| error.retry == Retry::Never || rank(&error) >= rank(worst));
        if tells_more {
            self.worst = Some(error);
        }
    }

    /// The failure to tell the caller.
    pub(super) fn verdict(self) -> GatewayError {
        self.worst.unwrap_or_else(|| GatewayError::new(Kind::NoCandidate, "no deployment could be tried"))
    }
}

/// How much a failure tells the caller about what to do. Of equals the latest counts.
fn rank(error: &GatewayError) -> u8 {
    match error.kind {
        Kind::UpstreamRejected | Kind::InvalidRequest => 5,
        Kind::UpstreamRateLimited => 4,
        Kind::UpstreamFailed | Kind::Timeout => 3,
        Kind::UpstreamDenied => 2,
        Kind::Unsupported => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(channel: usize) -> Candidate {
        Candidate { channel, upstream: "m".into(), credential: 0 }
    }

    fn error(kind: Kind, retry: Retry) -> GatewayError {
        GatewayError::new(kind, kind.label()).retry(retry)
    }

    #[tokio::test(start_paused = true)]
    async fn every_candidate_gets_its_turn_and_the_telling_failure_wins() {
        let mut tries = Tries::new(&[candidate(0), candidate(1)], 5);
        let first = tries.next().await.unwrap();
        tries.failed(first, error(Kind::UpstreamRateLimited, Retry::Again { after: Some(Duration::from_secs(60)) }));
        let second = tries.next().await.unwrap();
        assert_eq!(second.channel, 1);
        tries.failed(second, error(Kind::UpstreamDenied, Retry::Elsewhere));
        assert_eq!(tries.next().await, None);
        assert_eq!(tries.verdict().kind, Kind::UpstreamRateLimited);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hiccup_is_tried_once_more() {
        let mut tries = Tries::new(&[candidate(0)], 5);
        for _ in 0..2 {
            let next = tries.next().await.unwrap();
            tries.failed(next, error(Kind::UpstreamFailed, Retry::Again { after: None }));
        }
        assert_eq!(tries.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_everywhere_is_not_tried_elsewhere() {
        let mut tries = Tries::new(&[candidate(0), candidate(1)], 5);
        let first = tries.next().await.unwrap();
        tries.failed(first, error(Kind::UpstreamRejected, Retry::Never));
        assert_eq!(tries.next().await, None);
        assert_eq!(tries.verdict().kind, Kind::UpstreamRejected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_tries_is_limited() {
        let candidates: Vec<_> = (0..9).map(candidate).collect();
        let mut tries = Tries::new(&candidates, 3);
        let mut count = 0;
        while let Some(next) = tries.next().await {
            count += 1;
            tries.failed(next, error(Kind::UpstreamFailed, Retry::Again { after: None }));
        }
        assert_eq!(count, 3);
    }
}
