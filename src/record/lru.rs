//! A small map that forgets what was not asked for longest.

use std::collections::HashMap;
use std::hash::Hash;

/// Holds at most `most` entries.
#[derive(Debug)]
pub(super) struct Lru<K, V> {
    most: usize,
    clock: u64,
    entries: HashMap<K, (u64, V)>,
}

impl<K: Hash + Eq + Clone, V: Clone> Lru<K, V> {
    /// An empty one.
    pub(super) fn new(most: usize) -> Self {
        Self { most, clock: 0, entries: HashMap::new() }
    }

    /// The value of `key`, which counts as asked for.
    pub(super) fn find(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let (used, value) = self.entries.get_mut(key)?;
        *used = self.clock;
        Some(value.clone())
    }

    /// Puts a value in and makes room for it.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.clock += 1;
        self.entries.insert(key, (self.clock, value));
        if self.entries.len() > self.most {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_longest_is_forgotten() {
        let mut lru = Lru::new(2);
        lru.put("a", 1);
        lru.put("b", 2);
        assert_eq!(lru.find(&"a"), Some(1));
        lru.put("c", 3);
        assert_eq!((lru.find(&"a"), lru.find(&"b"), lru.find(&"c")), (Some(1), None, Some(3)));
    }
}
