//! Which of a channel's base addresses to ask first: one that can be reached, and of those the one that answers soonest.
//!
//! Addresses lead to the same account, so any of them will do. What is known of them is a handful of atomics; it is forgotten when the channel changes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use smallvec::SmallVec;

/// How long an address that could not be reached is asked last; doubled with every failure in a row.
const BENCH: Duration = Duration::from_secs(30);
/// Doublings of that.
const MOST_STRIKES: u32 = 5;
/// A measurement that is older says nothing: one request takes a new one.
const STALE: Duration = Duration::from_secs(600);

/// The base addresses of one channel, by position.
#[derive(Debug)]
pub struct Addresses(Box<[Address]>);

#[derive(Debug, Default)]
struct Address {
    /// Milliseconds since 1970.
    benched_until: AtomicU64,
    /// Failures in a row.
    strikes: AtomicU32,
    /// Smoothed; 0: never measured.
    first_byte_us: AtomicU64,
    /// Milliseconds since 1970.
    measured: AtomicU64,
}

/// Positions in the order in which they are to be tried.
pub type Order = SmallVec<[usize; 4]>;

impl Addresses {
    /// So many addresses of which nothing is known.
    pub(super) fn new(count: usize) -> Self {
        Self((0..count.max(1)).map(|_| Address::default()).collect())
    }

    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// In which order to try them.
    pub fn order(&self, now_ms: u64) -> Order {
        let mut order: Order = (0..self.0.len()).collect();
        if order.len() > 1 {
            order.sort_by_cached_key(|position| self.0.get(*position).map(|address| address.rank(now_ms)));
            // Only the request that goes there measures it.
            if let Some(first) = order.first().and_then(|first| self.0.get(*first)) {
                first.measured.fetch_max(now_ms, Ordering::Relaxed);
            }
        }
        order
    }

    /// The address answered.
    pub fn answered(&self, position: usize, first_byte: Duration, now_ms: u64) {
        let Some(address) = self.0.get(position).filter(|_| self.0.len() > 1) else { return };
        let us = u64::try_from(first_byte.as_micros()).unwrap_or(u64::MAX).max(1);
        let before = address.first_byte_us.load(Ordering::Relaxed);
        let smoothed = if before == 0 { us } else { before - before / 8 + us / 8 };
        address.first_byte_us.store(smoothed.max(1), Ordering::Relaxed);
        address.measured.store(now_ms, Ordering::Relaxed);
        address.strikes.store(0, Ordering::Relaxed);
        address.benched_until.store(0, Ordering::Relaxed);
    }

    /// The address could not be reached.
    pub fn unreachable(&self, position: usize, now_ms: u64) {
        let Some(address) = self.0.get(position).filter(|_| self.0.len() > 1) else { return };
        let strikes = address.strikes.fetch_add(1, Ordering::Relaxed).min(MOST_STRIKES);
        let bench = u64::try_from(BENCH.as_millis()).unwrap_or(u64::MAX) << strikes;
        address.benched_until.store(now_ms.saturating_add(bench), Ordering::Relaxed);
    }
}

impl Address {
    /// Smaller is better: reachable before unreachable, what has to be measured before what was, fast before slow.
    fn rank(&self, now_ms: u64) -> (bool, u64) {
        let benched = self.benched_until.load(Ordering::Relaxed) > now_ms;
        let age = now_ms.saturating_sub(self.measured.load(Ordering::Relaxed));
        let stale = u128::from(age) > STALE.as_millis();
        (benched, if stale && !benched { 0 } else { self.first_byte_us.load(Ordering::Relaxed).max(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn first(addresses: &Addresses, now: u64) -> usize {
        addresses.order(now)[0]
    }

    #[test]
    fn each_address_is_measured_and_then_the_fastest_is_asked_first() {
        let addresses = Addresses::new(3);
        for (position, ms) in [(0, 300), (1, 100), (2, 200)] {
            assert_eq!(first(&addresses, NOW), position);
            addresses.answered(position, Duration::from_millis(ms), NOW);
        }
        assert_eq!(addresses.order(NOW).as_slice(), [1, 2, 0]);
        // It becomes slow: another one is better.
        for _ in 0..30 {
            addresses.answered(1, Duration::from_millis(900), NOW);
        }
        assert_eq!(addresses.order(NOW).as_slice(), [2, 0, 1]);
    }

    #[test]
    fn an_address_that_cannot_be_reached_is_asked_last_for_a_while() {
        let addresses = Addresses::new(2);
        addresses.unreachable(0, NOW);
        addresses.answered(1, Duration::from_secs(5), NOW);
        assert_eq!(first(&addresses, NOW + 29_000), 1);
        assert_eq!(first(&addresses, NOW + 601_000), 0);
        addresses.unreachable(0, NOW + 601_000);
        assert_eq!(first(&addresses, NOW + 601_000 + 59_000), 1, "twice in a row counts double");
        addresses.answered(0, Duration::from_secs(1), NOW + 700_000);
        assert_eq!(first(&addresses, NOW + 700_000), 0);
    }

    #[test]
    fn an_old_measurement_is_renewed_by_one_request() {
        let addresses = Addresses::new(2);
        addresses.answered(0, Duration::from_millis(10), NOW);
        addresses.answered(1, Duration::from_millis(99), NOW);
        let later = NOW + 600_001;
        addresses.answered(0, Duration::from_millis(10), later);
        assert_eq!(first(&addresses, later), 1);
        assert_eq!(first(&addresses, later), 0, "the others go where they went");
    }
}
