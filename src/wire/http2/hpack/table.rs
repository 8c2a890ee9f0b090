//! The dynamic table of HPACK (RFC 7541 §2.3, §4), as far as it can be known by who did not see its beginning.
//!
//! What is certain whatever was missed: an entry stays at the index that the insertions after it give it, and whether it
//! is still there depends on those alone and on the maximum size, as the oldest entries leave first. An encoder never
//! refers to an entry that has left. So the entries inserted since are known, and only what lies beyond them is not.

use std::collections::VecDeque;

use crate::wire::http2::Field;

/// Maximum size before anything else is announced (RFC 9113 §6.5.2).
const DEFAULT_BYTES: usize = 4096;
/// Most that is kept of a table, however large its peers allow it to be.
const KEPT_BYTES: usize = 1024 * 1024;
/// Most that is kept when the maximum size is not known.
const KEPT_UNSIZED_BYTES: usize = 64 * 1024;
/// A table of unknown maximum size is taken to be no larger than this.
const LARGEST_BYTES: usize = 16 * 1024 * 1024;
/// Size of an entry besides its name and value (§4.1).
const ENTRY_BYTES: usize = 32;

/// What lies beyond the entries that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beyond {
    Nothing,
    Unknown,
}

/// What an index refers to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slot<'a> {
    Known(&'a Field),
    Unknown,
    Absent,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Newest first.
    entries: VecDeque<Field>,
    /// Of `entries`; at least, where parts of them are unknown.
    size: usize,
    /// Maximum size; None when it is not known.
    max: Option<usize>,
    beyond: Beyond,
}

impl Table {
    /// The table of a connection that begins.
    pub(super) fn fresh() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: Some(DEFAULT_BYTES), beyond: Beyond::Nothing }
    }

    /// A table of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: None, beyond: Beyond::Unknown }
    }

    /// The entry at this place, from 0 for the newest.
    pub(super) fn slot(&self, place: usize) -> Slot<'_> {
        match (self.entries.get(place), self.beyond) {
            (Some(entry), _) => Slot::Known(entry),
            (None, Beyond::Unknown) if place < self.max.unwrap_or(LARGEST_BYTES) / ENTRY_BYTES => Slot::Unknown,
            (None, _) => Slot::Absent,
        }
    }

    /// Adds an entry; one that is larger than the table empties it (§4.4).
    pub(super) fn insert(&mut self, entry: Field) {
        self.size += size(&entry);
        self.entries.push_front(entry);
        self.evict();
    }

    /// Changes the maximum size (§4.3).
    pub(super) fn resize(&mut self, max: usize) {
        self.max = Some(max);
        self.evict();
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Field> {
        self.entries.iter()
    }

    fn evict(&mut self) {
        let kept = self.max.unwrap_or(KEPT_UNSIZED_BYTES).min(KEPT_BYTES);
        while self.size > kept
            && let Some(oldest) = self.entries.pop_back()
        {
            // Left by rule: so has everything older. Forgotten by us alone: it may still be referred to.
            self.beyond = if self.max.is_some_and(|max| self.size > max) { Beyond::Nothing } else { Beyond::Unknown };
            self.size -= size(&oldest);
        }
        if self.max.is_some_and(|max| self.size + ENTRY_BYTES > max) {
            self.beyond = Beyond::Nothing;
        }
    }
}

/// Size of an entry (§4.1), unknown parts left out.
fn size(entry: &Field) -> usize {
    ENTRY_BYTES + entry.name.as_ref().map_or(0, Vec::len) + entry.value.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, bytes: usize) -> Field {
        Field { name: Some(name.into()), value: Some(vec![b'x'; bytes - ENTRY_BYTES - name.len()]) }
    }

    #[test]
    fn the_oldest_leave_first_and_exactly_at_the_maximum() {
        let mut table = Table::fresh();
        table.insert(entry("a", 2048));
        table.insert(entry("b", 2048));
        assert_eq!(table.slot(1), Slot::Known(&entry("a", 2048)));
        table.insert(entry("c", 33));
        assert_eq!(table.slot(1), Slot::Known(&entry("b", 2048)));
        assert_eq!(table.slot(2), Slot::Absent);
        table.resize(33);
        assert_eq!((table.slot(0), table.slot(1)), (Slot::Known(&entry("c", 33)), Slot::Absent));
        table.insert(entry("d", 34));
        assert_eq!(table.slot(0), Slot::Absent);
    }

    #[test]
    fn a_table_joined_midway_becomes_certain_when_nothing_older_can_be_left() {
        let mut table = Table::unknown();
        table.insert(entry("a", 100));
        assert_eq!((table.slot(0), table.slot(1)), (Slot::Known(&entry("a", 100)), Slot::Unknown));
        table.resize(200);
        assert_eq!((table.slot(3), table.slot(6)), (Slot::Unknown, Slot::Absent));
        table.insert(entry("b", 69));
        assert_eq!((table.slot(1), table.slot(2)), (Slot::Known(&entry("a", 100)), Slot::Absent));
        let mut table = Table::unknown();
        table.resize(0);
        assert_eq!(table.slot(0), Slot::Absent);
    }

    #[test]
    fn what_is_forgotten_to_bound_memory_is_unknown_and_not_absent() {
        let mut table = Table::fresh();
        table.resize(u32::MAX as usize);
        for _ in 0..3000 {
            table.insert(entry("a", 1000));
        }
        assert!(table.size <= KEPT_BYTES);
        assert_eq!(table.slot(2999), Slot::Unknown);
        table.resize(1000);
        assert_eq!(table.slot(1), Slot::Absent);
    }
}
