//! Who made which opaque reasoning: a blob goes back to its maker, and is stripped when another one takes over.
//!
//! What clients are sent is looked through for blobs; only their hashes are remembered, a bounded number, in memory. A blob that nobody remembers is taken for
//! the target's own: most conversations never leave their provider.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use myelin_protocol::opaque::{self, BlobScan};

use crate::providers::LiveChannel;
use crate::routing::Candidate;

/// How many blobs are remembered; older ones are forgotten first.
const MOST: usize = 65_536;

/// Who can read a blob: the same maker can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maker(Arc<str>);

impl Maker {
    /// Who made it was noted before.
    pub(crate) fn noted() -> Self {
        Self(Arc::from(""))
    }

    /// Signatures hold for a vendor; encrypted reasoning only for the organisation behind one credential.
    pub(crate) fn of(channel: &LiveChannel, candidate: &Candidate, encrypts: bool) -> Self {
        let provider = &channel.provider.id;
        Self(
            if encrypts { format!("{provider}/{}/{}", channel.name(), candidate.credential) } else { provider.clone() }
                .into(),
        )
    }
}

/// What is remembered.
#[derive(Debug, Default)]
pub struct Origins(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    makers: HashMap<u64, Maker>,
    order: VecDeque<u64>,
}

impl Origins {
    /// Remembers the blobs of a whole answer that goes to a client.
    pub(crate) fn note(&self, answer: &[u8], maker: &Maker) {
        opaque::blobs(answer).for_each(|blob| self.remember(blob, maker));
    }

    /// Remembers the blobs of a stream that goes to a client, by its next piece. A blob may be cut between two of them.
    pub(crate) fn note_piece(&self, scan: &mut BlobScan, piece: &[u8], maker: &Maker) {
        scan.feed(piece, |blob| self.remember(blob, maker));
    }

    fn remember(&self, blob: &[u8], maker: &Maker) {
        if maker.0.is_empty() {
            return;
        }
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = hash(blob);
        if memory.makers.insert(key, maker.clone()).is_none() {
            memory.order.push_back(key);
        }
        while memory.order.len() > MOST {
            if let Some(oldest) = memory.order.pop_front() {
                memory.makers.remove(&oldest);
            }
        }
    }

    /// Who made the blobs of a request, as far as that is remembered.
    pub(crate) fn makers(&self, body: &[u8]) -> Vec<Maker> {
        let mut makers: Vec<Maker> = Vec::new();
        for blob in opaque::blobs(body) {
            let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(maker) = memory.makers.get(&hash(blob)).filter(|maker| !makers.contains(maker)) {
                makers.push(maker.clone());
            }
        }
        makers
    }

    /// Whether a request holds a blob of another maker.
    pub(crate) fn has_foreign(&self, body: &[u8], maker: &Maker) -> bool {
        opaque::blobs(body).any(|blob| !self.is_own(blob, maker))
    }

    /// Whether a blob is the maker's own, or nobody's that is remembered.
    pub(crate) fn is_own(&self, blob: &[u8], maker: &Maker) -> bool {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.makers.get(&hash(blob)).is_none_or(|known| known == maker)
    }
}

fn hash(blob: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    blob.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(name: &str) -> Maker {
        Maker(name.into())
    }

    #[test]
    fn a_blob_is_bound_to_its_maker() {
        let origins = Origins::default();
        let sent = br#"data: {"delta":{"type":"signature_delta","signature":"EqQBCkYIARgCKkAx0123"}}"#;
        origins.note(sent, &maker("anthropic"));
        assert!(!origins.has_foreign(sent, &maker("anthropic")));
        assert!(origins.has_foreign(sent, &maker("deepseek")));
        assert!(!origins.has_foreign(br#"{"signature":"nobody remembers this"}"#, &maker("deepseek")));
    }

    #[test]
    fn a_blob_that_comes_in_two_reads_is_remembered() {
        let origins = Origins::default();
        let sent = br#"data: {"delta":{"signature":"EqQBCkYIARgCKkAx0123"}}"#;
        for cut in 0..sent.len() {
            let mut scan = BlobScan::default();
            let name = format!("maker {cut}");
            let (first, second) = sent.split_at(cut);
            origins.note_piece(&mut scan, first, &maker(&name));
            origins.note_piece(&mut scan, second, &maker(&name));
            assert!(!origins.has_foreign(sent, &maker(&name)), "cut at {cut}");
            assert!(origins.has_foreign(sent, &maker("another")), "cut at {cut}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let origins = Origins::default();
        for number in 0..MOST + 10 {
            origins.note(format!(r#"{{"signature":"{number:020}"}}"#).as_bytes(), &maker("a"));
        }
        let memory = origins.0.lock().unwrap();
        assert_eq!((memory.makers.len(), memory.order.len()), (MOST, MOST));
    }
}
