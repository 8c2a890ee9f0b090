//! Where connections live: found by addresses and ports, listed by how long they are silent.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::connection::Connection;
use super::key::{Finished, Key, Scatter};

/// A place in the table.
pub(super) type Slot = u32;

const NONE: Slot = Slot::MAX;

/// Connections of the same addresses and ports that are kept apart; one more drives the longest silent of them out.
pub(super) const SAME_KEY: usize = 8;

#[derive(Debug)]
struct Entry {
    connection: Option<Connection>,
    /// Next with the same hash.
    chain: Slot,
    newer: Slot,
    older: Slot,
    list: u8,
}

#[derive(Clone, Copy, Debug)]
struct List {
    oldest: Slot,
    newest: Slot,
}

/// All connections known at the moment.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
    free: Vec<Slot>,
    scatter: Scatter,
    heads: HashMap<u64, Slot, BuildHasherDefault<Finished>>,
    lists: [List; 3],
    count: usize,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        let empty = List { oldest: NONE, newest: NONE };
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            scatter: Scatter::new(),
            heads: HashMap::default(),
            lists: [empty; 3],
            count: 0,
        }
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Connections with these addresses and ports, the newest first. Never more than [`SAME_KEY`].
    pub fn with(&self, key: &Key) -> impl Iterator<Item = (Slot, &Connection)> {
        let mut slot = self.heads.get(&self.scatter.hash(key)).copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let entry = self.entries.get(slot as usize)?;
            let found = entry.connection.as_ref().map(|connection| (slot, connection));
            slot = entry.chain;
            found
        })
        .filter(|(_, connection)| connection.key == *key)
    }

    /// The connection in a slot that was handed out and not removed since.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.entries.get_mut(slot as usize)?.connection.as_mut()
    }

    /// Adds a connection.
    pub fn insert(&mut self, connection: Connection) -> Slot {
        let hash = self.scatter.hash(&connection.key);
        let list = connection.standing() as u8;
        let entry = Entry { connection: Some(connection), chain: NONE, newer: NONE, older: NONE, list };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as Slot
            }
        };
        if let Some(next) = self.heads.insert(hash, slot) {
            self.entries[slot as usize].chain = next;
        }
        self.link(slot, list);
        self.count += 1;
        slot
    }

    /// Takes a connection out.
    pub fn remove(&mut self, slot: Slot) -> Option<Connection> {
        let connection = self.entries.get_mut(slot as usize)?.connection.take()?;
        self.unlink(slot);
        let hash = self.scatter.hash(&connection.key);
        let next = self.entries[slot as usize].chain;
        let mut at = self.heads.get(&hash).copied().unwrap_or(NONE);
        if at == slot {
            if next == NONE {
                self.heads.remove(&hash);
            } else {
                self.heads.insert(hash, next);
            }
        } else {
            while let Some(entry) = self.entries.get_mut(at as usize) {
                if entry.chain == slot {
                    entry.chain = next;
                    break;
                }
                at = entry.chain;
            }
        }
        self.free.push(slot);
        self.count -= 1;
        Some(connection)
    }

    /// A connection had a packet, or its standing changed: it is the newest of its kind.
    pub fn refresh(&mut self, slot: Slot) {
        let Some(connection) = self.entries.get(slot as usize).and_then(|entry| entry.connection.as_ref()) else {
            return;
        };
        let list = connection.standing() as u8;
        self.unlink(slot);
        self.link(slot, list);
    }

    /// True when the list it stands in is not that of its standing.
    pub fn is_misplaced(&self, slot: Slot) -> bool {
        let entry = self.entries.get(slot as usize);
        entry.is_some_and(|entry| entry.connection.as_ref().is_some_and(|it| it.standing() as u8 != entry.list))
    }

    /// The longest silent connection of a standing (0 closed, 1 empty, 2 open).
    pub fn oldest(&self, list: usize) -> Option<(Slot, &Connection)> {
        let slot = self.lists[list].oldest;
        let connection = self.entries.get(slot as usize)?.connection.as_ref()?;
        Some((slot, connection))
    }

    /// All connections in the order in which they were first seen.
    pub fn in_order(&self) -> Vec<Slot> {
        let mut all: Vec<_> = (0..)
            .zip(&self.entries)
            .filter_map(|(slot, entry)| entry.connection.as_ref().map(|connection| (connection.id, slot)))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, slot)| slot).collect()
    }

    fn link(&mut self, slot: Slot, list: u8) {
        let newest = std::mem::replace(&mut self.lists[usize::from(list)].newest, slot);
        let entry = &mut self.entries[slot as usize];
        (entry.list, entry.older, entry.newer) = (list, newest, NONE);
        match self.entries.get_mut(newest as usize) {
            Some(before) => before.newer = slot,
            None => self.lists[usize::from(list)].oldest = slot,
        }
    }

    fn unlink(&mut self, slot: Slot) {
        let Entry { older, newer, list, .. } = self.entries[slot as usize];
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.lists[usize::from(list)].oldest = newer,
        }
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.lists[usize::from(list)].newest = older,
        }
    }
}
