//! How long things took, as counts in buckets that grow with the time: eight to a doubling, so a quantile is right within 7 %.

use smallvec::SmallVec;

use super::codec::{take_varint, unzigzag, varint, zigzag};

/// Counts by bucket, smallest first. Counts may be negative while one is taken from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram(SmallVec<[(u16, i64); 2]>);

impl Histogram {
    /// Adds one time.
    pub(super) fn note(&mut self, micros: u64) {
        self.bump(bucket(micros), 1);
    }

    /// Adds another one so many times: -1 takes it away.
    pub(super) fn add(&mut self, other: &Self, times: i64) {
        other.0.iter().for_each(|(bucket, count)| self.bump(*bucket, count * times));
    }

    fn bump(&mut self, bucket: u16, by: i64) {
        match self.0.binary_search_by_key(&bucket, |(own, _)| *own) {
            Ok(at) => {
                let Some((_, count)) = self.0.get_mut(at) else { return };
                *count += by;
                if *count == 0 {
                    self.0.remove(at);
                }
            }
            Err(at) => self.0.insert(at, (bucket, by)),
        }
    }

    /// The time in microseconds that a share of all does not pass; `None`: there are none.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let total: i64 = self.0.iter().map(|(_, count)| count).sum();
        let rank = ((total as f64 * share).ceil() as i64).max(1);
        let mut seen = 0;
        let found = self.0.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.map(|(bucket, _)| middle(*bucket))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        varint(out, self.0.len() as u64);
        let mut before = 0;
        for (bucket, count) in &self.0 {
            varint(out, u64::from(bucket - before));
            varint(out, zigzag(*count));
            before = *bucket;
        }
    }

    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut out = Self::default();
        let mut bucket = 0_u16;
        for _ in 0..take_varint(bytes)? {
            bucket = bucket.checked_add(u16::try_from(take_varint(bytes)?).ok()?)?;
            out.0.push((bucket, unzigzag(take_varint(bytes)?)));
        }
        Some(out)
    }
}

fn bucket(micros: u64) -> u16 {
    if micros < 8 {
        return micros as u16;
    }
    let exponent = 63 - micros.leading_zeros();
    let eighth = (micros >> (exponent - 3)) & 7;
    ((exponent - 2) * 8) as u16 + eighth as u16
}

fn middle(bucket: u16) -> u64 {
    if bucket < 8 {
        return u64::from(bucket);
    }
    let shift = (u32::from(bucket) / 8 - 1).min(60);
    let low = (8 + u64::from(bucket % 8)) << shift;
    low + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_time_within_a_fifteenth(micros in 0..u64::MAX / 2) {
            let shown = middle(bucket(micros));
            prop_assert!(shown.abs_diff(micros) <= micros / 15, "{micros} shows as {shown}");
        }

        #[test]
        fn taking_away_undoes_adding(one in proptest::collection::vec(any::<u32>(), 0..20), two in proptest::collection::vec(any::<u32>(), 0..20)) {
            let of = |times: &[u32]| {
                let mut out = Histogram::default();
                times.iter().for_each(|time| out.note(u64::from(*time)));
                out
            };
            let mut sum = of(&one);
            sum.add(&of(&two), 1);
            let mut bytes = Vec::new();
            sum.write(&mut bytes);
            prop_assert_eq!(Histogram::read(&mut bytes.as_slice()).unwrap(), sum.clone());
            sum.add(&of(&two), -1);
            prop_assert_eq!(sum, of(&one));
        }
    }

    #[test]
    fn quantiles_are_where_they_belong() {
        let mut times = Histogram::default();
        assert_eq!(times.quantile(0.5), None);
        (1..=1_000).for_each(|time| times.note(time * 1_000));
        for (share, wanted) in [(0.5, 500_000), (0.95, 950_000), (0.99, 990_000), (0.0, 1_000)] {
            let shown = times.quantile(share).unwrap();
            assert!(shown.abs_diff(wanted) <= wanted / 14, "{share}: {shown}");
        }
    }
}
