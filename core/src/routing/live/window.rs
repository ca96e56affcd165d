//! Sums over the last while, and averages that forget: lock-free, time comes in from outside.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of a slot that count; the others say which stretch of time it counts.
const COUNT_BITS: u32 = 40;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const EPOCH: u64 = (1 << (64 - COUNT_BITS)) - 1;

/// A sum over the last `N` stretches of `width` milliseconds.
#[derive(Debug)]
pub(crate) struct Window<const N: usize> {
    width_ms: u64,
    slots: [AtomicU64; N],
}

impl<const N: usize> Window<N> {
    pub(crate) fn new(width_ms: u64) -> Self {
        Self { width_ms: width_ms.max(1), slots: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Adds to the stretch of `now_ms`.
    pub(crate) fn add(&self, now_ms: u64, amount: u64) {
        let stretch = now_ms / self.width_ms;
        let epoch = stretch & EPOCH;
        let Some(slot) = usize::try_from(stretch % N as u64).ok().and_then(|index| self.slots.get(index)) else {
            return;
        };
        let next = |packed: u64| {
            let count = if packed >> COUNT_BITS == epoch { packed & COUNT } else { 0 };
            Some((epoch << COUNT_BITS) | count.saturating_add(amount).min(COUNT))
        };
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// What the last `N` stretches hold, that of `now_ms` included.
    pub(crate) fn sum(&self, now_ms: u64) -> u64 {
        let epoch = (now_ms / self.width_ms) & EPOCH;
        let packed = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed));
        let young = packed.filter(|packed| epoch.wrapping_sub(packed >> COUNT_BITS) & EPOCH < N as u64);
        young.map(|packed| packed & COUNT).sum()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.slots.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }
}

/// A peak-sensitive moving average: it rises at once to a higher value and sinks slowly, also while nothing is measured.
#[derive(Debug, Default)]
pub(crate) struct PeakEwma {
    /// Bits of an `f64`; 0: nothing was measured yet.
    value: AtomicU64,
    stamp_ms: AtomicU64,
}

/// In how much time an old value loses most of its weight against new ones.
const SINK_MS: f64 = 60_000.0;
/// In how much time a value fades while nothing is measured: a slow deployment gets another chance.
const FADE_MS: f64 = 300_000.0;

impl PeakEwma {
    /// One more value.
    pub(crate) fn add(&self, now_ms: u64, sample: f64) {
        let old = f64::from_bits(self.value.load(Ordering::Relaxed));
        let since = now_ms.saturating_sub(self.stamp_ms.swap(now_ms, Ordering::Relaxed));
        // Values that come close together still sink: each counts at least a tenth.
        let kept = (-(since as f64) / SINK_MS).exp().min(0.9);
        let next = if old == 0.0 || sample >= old { sample } else { old * kept + sample * (1.0 - kept) };
        self.value.store(next.max(0.001).to_bits(), Ordering::Relaxed);
    }

    /// The average; `None`: nothing was measured yet.
    pub(crate) fn read(&self, now_ms: u64) -> Option<f64> {
        let value = f64::from_bits(self.value.load(Ordering::Relaxed));
        let since = now_ms.saturating_sub(self.stamp_ms.load(Ordering::Relaxed));
        (value > 0.0).then(|| value * (-(since as f64) / FADE_MS).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_what_is_older() {
        let window: Window<6> = Window::new(10_000);
        let start = 1_700_000_000_000;
        for second in 0..60 {
            window.add(start + second * 1_000, 2);
        }
        assert_eq!(window.sum(start + 59_000), 120);
        assert_eq!(window.sum(start + 69_000), 100);
        assert_eq!(window.sum(start + 119_000), 0);
        window.add(start + 300_000, 7);
        assert_eq!(window.sum(start + 300_000), 7);
    }

    #[test]
    fn a_peak_is_felt_at_once_and_forgotten_slowly() {
        let ewma = PeakEwma::default();
        assert_eq!(ewma.read(0), None);
        ewma.add(1_000, 100.0);
        ewma.add(2_000, 900.0);
        assert!((ewma.read(2_000).unwrap() - 900.0).abs() < 1.0);
        for second in 3..60 {
            ewma.add(second * 1_000, 100.0);
        }
        assert!(ewma.read(60_000).unwrap() < 110.0);
        assert!(ewma.read(960_000).unwrap() < 6.0, "a value that is not renewed fades");
    }
}
