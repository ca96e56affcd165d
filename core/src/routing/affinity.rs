//! Where conversations are: a conversation stays at the deployment and credential that have its prompt in their cache.
//!
//! Bounded in number and time. Must not know what makes two requests one conversation: it is handed a number.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

/// Independent parts, so that requests seldom wait for each other.
const SHARDS: usize = 16;
/// Conversations that one part remembers for sure; at most twice as many.
const GENERATION: usize = 4_096;

/// Where conversations are.
#[derive(Debug)]
pub struct Affinity {
    shards: [Mutex<Shard>; SHARDS],
}

/// Two generations: when the young one is full the old one goes, and what was not used since goes with it.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<u64, Place>,
    old: HashMap<u64, Place>,
}

/// Where a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The deployment.
    pub deployment: u32,
    /// The credential's mark.
    pub credential: u64,
    /// When it was there last; milliseconds since 1970.
    pub seen_ms: u64,
}

impl Default for Affinity {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Affinity {
    /// Where a conversation is, if that is not longer ago than `ttl_ms`.
    pub fn find(&self, conversation: u64, now_ms: u64, ttl_ms: u64) -> Option<Place> {
        let mut shard = self.shard(conversation);
        let place = match shard.young.get(&conversation) {
            Some(place) => *place,
            None => {
                let place = shard.old.remove(&conversation)?;
                shard.put(conversation, place);
                place
            }
        };
        (now_ms.saturating_sub(place.seen_ms) <= ttl_ms).then_some(place)
    }

    /// A conversation was served there.
    pub fn put(&self, conversation: u64, place: Place) {
        let mut shard = self.shard(conversation);
        shard.old.remove(&conversation);
        shard.put(conversation, place);
    }

    /// How many conversations are remembered.
    pub fn len(&self) -> usize {
        let held = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(held).sum()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, conversation: u64) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        let index = usize::try_from(conversation % SHARDS as u64).unwrap_or_default();
        self.shards.get(index).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn put(&mut self, conversation: u64, place: Place) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&conversation) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(conversation, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(deployment: u32, seen_ms: u64) -> Place {
        Place { deployment, credential: 1, seen_ms }
    }

    #[test]
    fn a_conversation_is_found_until_its_time_is_over() {
        let affinity = Affinity::default();
        affinity.put(5, place(1, 1_000));
        assert_eq!(affinity.find(5, 2_000, 1_000), Some(place(1, 1_000)));
        assert_eq!(affinity.find(5, 2_001, 1_000), None);
        affinity.put(5, place(2, 3_000));
        assert_eq!(affinity.find(5, 3_000, 1_000).unwrap().deployment, 2);
        assert_eq!(affinity.find(6, 3_000, 1_000), None);
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let affinity = Affinity::default();
        let most = (2 * SHARDS * GENERATION) as u64;
        affinity.put(0, place(9, 0));
        for conversation in 1..4 * most {
            affinity.put(conversation, place(1, 0));
            if conversation % 1_000 == 0 {
                assert!(affinity.find(0, 0, 1).is_some(), "used all the time");
            }
        }
        assert!(affinity.len() as u64 <= most, "{}", affinity.len());
        assert_eq!(affinity.find(1, 0, 1), None);
    }
}
