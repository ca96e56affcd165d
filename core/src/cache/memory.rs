//! Answers in memory: no more bytes than allowed, what was not used longest goes first.

use std::collections::{BTreeMap, HashMap};

use super::{AnswerKey, Kept};

/// Answers by hash, and the order of their last use.
#[derive(Debug, Default)]
pub(super) struct Memory {
    rows: HashMap<AnswerKey, (u64, Kept)>,
    by_use: BTreeMap<u64, AnswerKey>,
    bytes: usize,
    clock: u64,
}

impl Memory {
    /// The answer, if it has not ended; it counts as used.
    pub(super) fn get(&mut self, key: &AnswerKey, now: u64) -> Option<Kept> {
        let ended = self.rows.get(key).is_some_and(|(_, kept)| kept.ends <= now);
        if ended {
            self.remove(key);
            return None;
        }
        self.clock += 1;
        let (used, kept) = self.rows.get_mut(key)?;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, *key);
        Some(kept.clone())
    }

    /// Keeps an answer; others make room.
    pub(super) fn put(&mut self, key: AnswerKey, kept: Kept, most: usize) {
        self.remove(&key);
        if kept.weight() > most {
            return;
        }
        self.clock += 1;
        self.bytes += kept.weight();
        self.by_use.insert(self.clock, key);
        self.rows.insert(key, (self.clock, kept));
        while self.bytes > most {
            let Some(oldest) = self.by_use.first_key_value().map(|(_, key)| *key) else { break };
            self.remove(&oldest);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Answers and bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.rows.len() as u64, self.bytes as u64)
    }

    fn remove(&mut self, key: &AnswerKey) {
        if let Some((used, kept)) = self.rows.remove(key) {
            self.by_use.remove(&used);
            self.bytes = self.bytes.saturating_sub(kept.weight());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::{ENTRY_BYTES, Facts};
    use super::*;

    fn kept(size: usize) -> Kept {
        Kept { facts: Arc::new(Facts::default()), ends: 100, body: Bytes::from(vec![0; size]) }
    }

    #[test]
    fn what_was_not_used_longest_goes_first() {
        let most = 3 * (100 + ENTRY_BYTES);
        let mut memory = Memory::default();
        for number in 1..=3 {
            memory.put([number; 32], kept(100), most);
        }
        assert!(memory.get(&[1; 32], 0).is_some());
        memory.put([4; 32], kept(100), most);
        assert!(memory.get(&[2; 32], 0).is_none() && memory.get(&[1; 32], 0).is_some());
        memory.put([5; 32], kept(most), most);
        assert!(memory.get(&[5; 32], 0).is_none(), "larger than everything");
        assert!(memory.get(&[1; 32], 100).is_none(), "ended");
        assert_eq!(memory.size(), (2, 2 * (100 + ENTRY_BYTES as u64)));
        assert_eq!(memory.by_use.len(), 2);
    }
}
