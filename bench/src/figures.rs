//! What a round measured, and the median of rounds. Pure.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Times in nanoseconds, to three digits.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        // One nanosecond to a minute; the bounds are constants that the library takes.
        let histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3);
        Self(histogram.unwrap_or_else(|_| unreachable!("constant bounds")))
    }
}

impl Times {
    /// Notes one time.
    pub fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds.max(1));
    }

    /// Milliseconds that `share` (0 to 1) of the times stay under; 0 when there are none.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.value_at_quantile(share) as f64 / 1e6 }
    }

    /// Mean in milliseconds; 0 when there are none.
    pub fn mean_ms(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.mean() / 1e6 }
    }
}

/// What a load saw.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests that were answered as they must be.
    pub ok: u64,
    /// All others.
    pub not_ok: u64,
    /// Chunks of text.
    pub chunks: u64,
    /// From asking to the last byte.
    pub latency: Times,
    /// From asking to the first byte of the body.
    pub first_byte: Times,
    /// From asking to the first text of a stream.
    pub first_token: Times,
    /// From a chunk's birth in the mock to its arrival.
    pub delay: Times,
    /// How long it took.
    pub elapsed_ns: u64,
    /// What a wrong answer said.
    pub sample: Option<String>,
}

impl Tally {
    /// Adds another worker's part.
    pub fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.not_ok += other.not_ok;
        self.chunks += other.chunks;
        for (own, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.first_byte, &other.first_byte),
            (&mut self.first_token, &other.first_token),
            (&mut self.delay, &other.delay),
        ] {
            // Same bounds on both sides: it cannot fail.
            let _ = own.0.add(&theirs.0);
        }
        if self.sample.is_none() {
            self.sample.clone_from(&other.sample);
        }
    }
}

/// What is told of one target in one scenario. Times in milliseconds, CPU in microseconds, memory in MiB.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Requests answered as they must be.
    pub ok: u64,
    /// All others; anything but 0 spoils the round.
    pub not_ok: u64,
    /// Requests a second.
    pub per_second: f64,
    /// Half of the requests took no longer.
    pub p50_ms: f64,
    /// 99 % took no longer.
    pub p99_ms: f64,
    /// 99.9 % took no longer.
    pub p999_ms: f64,
    /// To the first text of a stream, half of them.
    pub first_token_p50_ms: f64,
    /// To the first text of a stream, 99 %.
    pub first_token_p99_ms: f64,
    /// A chunk's way from mock to client, mean.
    pub delay_mean_ms: f64,
    /// A chunk's way, 99 %.
    pub delay_p99_ms: f64,
    /// A chunk's way, 99.9 %.
    pub delay_p999_ms: f64,
    /// CPU of the target's processes per request.
    pub cpu_us_per_request: f64,
    /// CPU of the target's processes per chunk; 0 without streams.
    pub cpu_us_per_chunk: f64,
    /// Peak of its resident memory.
    pub peak_mib: f64,
    /// Memory per open stream in KiB, where many were open at once.
    pub kib_per_stream: f64,
    /// Share of the machine that others took while it ran.
    pub foreign: f64,
}

impl Figures {
    /// From what the load saw and what the target used (`cpu_us`, `peak_kib`).
    pub fn of(tally: &Tally, cpu_us: f64, peak_kib: u64, foreign: f64) -> Self {
        let per = |count: u64| if count == 0 { 0.0 } else { cpu_us / count as f64 };
        Self {
            ok: tally.ok,
            not_ok: tally.not_ok,
            per_second: tally.ok as f64 / (tally.elapsed_ns as f64 / 1e9).max(1e-9),
            p50_ms: tally.latency.quantile_ms(0.5),
            p99_ms: tally.latency.quantile_ms(0.99),
            p999_ms: tally.latency.quantile_ms(0.999),
            first_token_p50_ms: tally.first_token.quantile_ms(0.5),
            first_token_p99_ms: tally.first_token.quantile_ms(0.99),
            delay_mean_ms: tally.delay.mean_ms(),
            delay_p99_ms: tally.delay.quantile_ms(0.99),
            delay_p999_ms: tally.delay.quantile_ms(0.999),
            cpu_us_per_request: per(tally.ok),
            cpu_us_per_chunk: per(tally.chunks),
            peak_mib: peak_kib as f64 / 1024.0,
            kib_per_stream: 0.0,
            foreign,
        }
    }

    /// The median of every figure; counts are summed.
    pub fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure).collect());
        Self {
            ok: rounds.iter().map(|round| round.ok).sum(),
            not_ok: rounds.iter().map(|round| round.not_ok).sum(),
            per_second: of(|r| r.per_second),
            p50_ms: of(|r| r.p50_ms),
            p99_ms: of(|r| r.p99_ms),
            p999_ms: of(|r| r.p999_ms),
            first_token_p50_ms: of(|r| r.first_token_p50_ms),
            first_token_p99_ms: of(|r| r.first_token_p99_ms),
            delay_mean_ms: of(|r| r.delay_mean_ms),
            delay_p99_ms: of(|r| r.delay_p99_ms),
            delay_p999_ms: of(|r| r.delay_p999_ms),
            cpu_us_per_request: of(|r| r.cpu_us_per_request),
            cpu_us_per_chunk: of(|r| r.cpu_us_per_chunk),
            peak_mib: of(|r| r.peak_mib),
            kib_per_stream: of(|r| r.kib_per_stream),
            foreign: of(|r| r.foreign),
        }
    }
}

/// The middle one; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    if values.len().is_multiple_of(2) { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) } else { at(middle) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn workers_add_up() {
        let mut part = Tally { ok: 2, chunks: 4, ..Tally::default() };
        part.latency.record(1_000_000);
        part.latency.record(3_000_000);
        let mut sum = part.clone();
        sum.add(&part);
        sum.elapsed_ns = 2_000_000_000;
        let figures = Figures::of(&sum, 80.0, 2_048, 0.0);
        assert_eq!((figures.ok, figures.per_second), (4, 2.0));
        assert_eq!((figures.cpu_us_per_request, figures.cpu_us_per_chunk, figures.peak_mib), (20.0, 10.0, 2.0));
        assert!((figures.p50_ms - 1.0).abs() < 0.01 && (figures.p99_ms - 3.0).abs() < 0.01);
    }
}
