//! What traffic taught about one deployment: how busy, how fast, how often it fails.

use std::sync::atomic::{AtomicU32, Ordering};

use super::window::{PeakEwma, Window};

/// What traffic taught about one deployment.
#[derive(Debug)]
pub struct Load {
    in_flight: AtomicU32,
    requests: Window<6>,
    tokens: Window<6>,
    calls: Window<10>,
    failures: Window<10>,
    first_token: PeakEwma,
    whole: PeakEwma,
}

/// The same as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct LoadView {
    /// Requests under way.
    pub in_flight: u32,
    /// Requests of the last minute.
    pub requests_a_minute: u64,
    /// Tokens of the last minute.
    pub tokens_a_minute: u64,
    /// Attempts of the last five minutes.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Peak-sensitive average time to the first token of streams, in milliseconds.
    pub first_token_ms: Option<f64>,
    /// The same for whole answers.
    pub answer_ms: Option<f64>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            requests: Window::new(10_000),
            tokens: Window::new(10_000),
            calls: Window::new(30_000),
            failures: Window::new(30_000),
            first_token: PeakEwma::default(),
            whole: PeakEwma::default(),
        }
    }
}

impl Load {
    /// A request goes out.
    pub(crate) fn begin(&self, now_ms: u64) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.add(now_ms, 1);
    }

    /// A request is over.
    pub(crate) fn end(&self) {
        let less = |count: u32| Some(count.saturating_sub(1));
        let _ = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// It answered; times in milliseconds.
    pub(crate) fn answered(&self, now_ms: u64, first_token: Option<f64>, whole: f64) {
        self.calls.add(now_ms, 1);
        match first_token {
            Some(ms) => self.first_token.add(now_ms, ms),
            None => self.whole.add(now_ms, whole),
        }
    }

    /// It failed.
    pub(crate) fn failed(&self, now_ms: u64) {
        self.calls.add(now_ms, 1);
        self.failures.add(now_ms, 1);
    }

    /// So many tokens were used.
    pub(crate) fn used(&self, now_ms: u64, tokens: u64) {
        self.tokens.add(now_ms, tokens);
    }

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests and tokens of the last minute.
    pub(crate) fn minute(&self, now_ms: u64) -> (u64, u64) {
        (self.requests.sum(now_ms), self.tokens.sum(now_ms))
    }

    /// Attempts of the last five minutes, and how many failed.
    pub(crate) fn recent(&self, now_ms: u64) -> (u64, u64) {
        (self.calls.sum(now_ms), self.failures.sum(now_ms))
    }

    /// Average latency in milliseconds: to the first token of streams, to the end elsewhere. One kind stands in for the other while that is unknown.
    pub(crate) fn latency(&self, now_ms: u64, stream: bool) -> Option<f64> {
        let (first, other) = if stream { (&self.first_token, &self.whole) } else { (&self.whole, &self.first_token) };
        first.read(now_ms).or_else(|| other.read(now_ms))
    }

    /// A recovered deployment is not judged by what was.
    pub(crate) fn forgive(&self) {
        self.calls.clear();
        self.failures.clear();
    }

    /// The numbers.
    pub fn view(&self, now_ms: u64) -> LoadView {
        let (requests_a_minute, tokens_a_minute) = self.minute(now_ms);
        let (calls, failures) = self.recent(now_ms);
        let tenths = |ms: f64| (ms * 10.0).round() / 10.0;
        LoadView {
            in_flight: self.in_flight(),
            requests_a_minute,
            tokens_a_minute,
            calls,
            failures,
            first_token_ms: self.first_token.read(now_ms).map(tenths),
            answer_ms: self.whole.read(now_ms).map(tenths),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_traffic() {
        let load = Load::default();
        load.begin(1_000);
        load.begin(1_000);
        load.answered(1_500, Some(400.0), 500.0);
        load.used(1_500, 700);
        load.end();
        load.failed(2_000);
        let view = load.view(2_000);
        assert_eq!((view.in_flight, view.requests_a_minute, view.tokens_a_minute), (1, 2, 700));
        assert_eq!((view.calls, view.failures), (2, 1));
        assert!(load.latency(2_000, true).unwrap() > 390.0 && load.latency(2_000, false).is_some());
        load.end();
        load.end();
        assert_eq!(load.in_flight(), 0, "never below nothing");
    }
}
