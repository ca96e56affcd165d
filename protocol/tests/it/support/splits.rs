//! Ways to cut a byte stream into the pieces in which a network delivers it.

use myelin_protocol::framing::{Framing, Reader};

/// The whole stream as the pieces between `cuts` (sorted, in range).
pub fn cut_at<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts {
        pieces.push(&bytes[from..*cut]);
        from = *cut;
    }
    pieces.push(&bytes[from..]);
    pieces
}

/// Where a stream must survive being cut in two: up to 16 KiB at every byte; beyond that around the end of every frame and at 500 seeded places.
pub fn two_way_cuts(bytes: &[u8], framing: Framing) -> Vec<usize> {
    const SMALL: usize = 16 * 1024;
    if bytes.len() <= SMALL {
        return (0..=bytes.len()).collect();
    }
    let mut cuts: Vec<usize> = Vec::new();
    let (mut reader, mut input) = (Reader::new(framing), bytes);
    while reader.next(&mut input).unwrap().is_some() {
        let end = bytes.len() - input.len();
        cuts.extend([end - 2, end - 1, end, end + 1]);
    }
    let mut seed = Seed::new(bytes.len() as u64);
    cuts.extend((0..500).map(|_| seed.below(bytes.len() + 1)));
    cuts.retain(|cut| *cut <= bytes.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// A small seeded generator (splitmix64), so that every run sees the same numbers.
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
