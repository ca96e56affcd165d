//! A sharded map from names to shared things, found without allocating.

use std::hash::BuildHasher as _;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;
use foldhash::quality::RandomState;

use super::Errand;

const SHARDS: usize = 16;
/// Things that one shard holds; clients can make up names, and memory stays bounded.
const MOST: usize = 4_096;

/// Two names, and what for.
pub(super) type Names<'a> = (&'a str, &'a str, Errand);

/// What has names.
pub(super) trait Named {
    fn names(&self) -> Names<'_>;
}

type Shard<T> = RwLock<HashMap<u64, Vec<Arc<T>>>>;

#[derive(Debug)]
pub(super) struct Registry<T> {
    hasher: RandomState,
    shards: [Shard<T>; SHARDS],
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self { hasher: RandomState::default(), shards: std::array::from_fn(|_| RwLock::default()) }
    }
}

impl<T: Named> Registry<T> {
    fn place(&self, names: Names<'_>) -> (u64, &Shard<T>) {
        let hash = self.hasher.hash_one(names);
        let [first, ..] = &self.shards;
        let shard =
            usize::try_from(hash % SHARDS as u64).ok().and_then(|index| self.shards.get(index)).unwrap_or(first);
        (hash, shard)
    }

    /// The thing of these names, if there is one.
    pub(super) fn find(&self, names: Names<'_>) -> Option<Arc<T>> {
        let (hash, shard) = self.place(names);
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&hash)?.iter().find(|thing| thing.names() == names).cloned()
    }

    /// The thing of these names; made if there is none. When too many are remembered it is made and forgotten.
    pub(super) fn get(&self, names: Names<'_>, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(found) = self.find(names) {
            return found;
        }
        let (hash, shard) = self.place(names);
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shard.get(&hash).and_then(|all| all.iter().find(|thing| thing.names() == names)) {
            return found.clone();
        }
        let made = Arc::new(make());
        if shard.len() < MOST {
            shard.entry(hash).or_default().push(made.clone());
        }
        made
    }

    /// Everything, in no order.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        shards.flat_map(|shard| shard.values().flatten().cloned().collect::<Vec<_>>()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair(String, String, Errand);

    impl Named for Pair {
        fn names(&self) -> Names<'_> {
            (&self.0, &self.1, self.2)
        }
    }

    #[test]
    fn the_same_names_are_the_same_thing_and_memory_is_bounded() {
        let registry: Registry<Pair> = Registry::default();
        let make_for = |a: &str, b: &str, errand| registry.get((a, b, errand), || Pair(a.into(), b.into(), errand));
        let make = |a: &str, b: &str| make_for(a, b, Errand::Conversation);
        assert!(Arc::ptr_eq(&make("a", "b"), &make("a", "b")));
        assert!(!Arc::ptr_eq(&make("a", "b"), &make("ab", "")));
        assert!(!Arc::ptr_eq(&make("a", "b"), &make_for("a", "b", Errand::Counting)));
        assert!(registry.find(("b", "a", Errand::Conversation)).is_none());
        for number in 0..SHARDS * MOST * 2 {
            make("many", &number.to_string());
        }
        assert!(registry.all().len() <= SHARDS * MOST);
    }
}
