//! A map that holds at most so many entries: the oldest that nobody asked for lately makes room.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use super::name::Seeded;

/// A bounded map with a second chance for entries that were asked for.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    limit: usize,
    entries: HashMap<K, Entry<V>, Seeded>,
    /// Every key once or more, oldest first; keys that were removed stay until they come up.
    order: VecDeque<K>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    asked_for: bool,
}

impl<K: Copy + Eq + Hash, V> Bounded<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, entries: HashMap::default(), order: VecDeque::new() }
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.entries.get(&key).map(|entry| &entry.value)
    }

    /// Like `get`, and the entry stays longer.
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let entry = self.entries.get_mut(&key)?;
        entry.asked_for = true;
        Some(&mut entry.value)
    }

    /// Adds or replaces; returns the entry that had to go.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        if let Some(entry) = self.entries.get_mut(&key) {
            *entry = Entry { value, asked_for: true };
            return None;
        }
        let gone = if self.entries.len() >= self.limit { self.evict() } else { None };
        self.entries.insert(key, Entry { value, asked_for: false });
        self.order.push_back(key);
        if self.order.len() > self.limit.saturating_mul(2) {
            self.forget_removed();
        }
        gone
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        self.entries.remove(&key).map(|entry| entry.value)
    }

    fn evict(&mut self) -> Option<(K, V)> {
        while let Some(key) = self.order.pop_front() {
            match self.entries.get_mut(&key) {
                Some(entry) if entry.asked_for => {
                    entry.asked_for = false;
                    self.order.push_back(key);
                }
                Some(_) => return self.remove(key).map(|value| (key, value)),
                None => {}
            }
        }
        None
    }

    /// Leaves each key that is there in the order once.
    fn forget_removed(&mut self) {
        let mut kept = std::collections::HashSet::with_capacity(self.entries.len());
        self.order.retain(|key| self.entries.contains_key(key) && kept.insert(*key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_unless_it_was_asked_for() {
        let mut map = Bounded::new(2);
        assert_eq!(map.insert(1, 'a'), None);
        assert_eq!(map.insert(2, 'b'), None);
        assert_eq!(map.get_mut(1), Some(&mut 'a'));
        assert_eq!(map.insert(3, 'c'), Some((2, 'b')));
        assert_eq!(map.insert(4, 'd'), Some((1, 'a')), "one second chance for each time it was asked for");
        assert_eq!(map.insert(4, 'e'), None, "replaced");
        assert_eq!((map.get(3), map.get(4)), (Some(&'c'), Some(&'e')));
    }

    #[test]
    fn coming_and_going_leaves_nothing_behind() {
        let mut map = Bounded::new(10);
        for key in 0..1000 {
            map.insert(key % 7, key);
            map.remove(key % 7);
        }
        assert!(map.entries.is_empty() && map.order.len() <= 20);
    }
}
