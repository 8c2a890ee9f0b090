//! IP packets in fragments (RFC 791 section 3.2, RFC 8200 section 4.5), put together within bounds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::network::Ends;
use super::slice::Slice;
use crate::observe::streams::UnixNanos;

/// Packets under way at most.
const PACKETS: usize = 1024;
/// Bytes held at most.
const BYTES: usize = 8 * 1024 * 1024;
/// Pieces of one packet at most.
const PIECES: usize = 1024;
/// Longest that a packet is waited for (RFC 8200: 60 seconds), in nanoseconds.
const PATIENCE: u64 = 60_000_000_000;
/// Longest payload that fragments can make.
const LONGEST: usize = 65_535;
/// What a piece costs beside its bytes.
const PIECE_COST: usize = 64;

/// Whose fragments belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FragmentKey {
    pub(super) ends: Ends,
    pub(super) id: u32,
    /// `None` in IPv6, where it is no part of the key.
    pub(super) protocol: Option<u8>,
    pub(super) lane: u64,
}

/// One fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) offset: u16,
    pub(super) more: bool,
    pub(super) payload: Slice<'a>,
    pub(super) protocol: u8,
}

/// What came of a fragment.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Fragments given up.
    pub(super) dropped: u64,
    pub(super) overlapping: bool,
    pub(super) whole: Option<Whole>,
}

/// A packet put together.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    /// Bytes behind `bytes` that were sent and not captured.
    pub(super) cut: u32,
    pub(super) protocol: u8,
}

/// Packets under way.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    packets: HashMap<FragmentKey, Pending>,
    held_bytes: usize,
}

/// A packet under way. Pieces are in order and do not overlap.
#[derive(Debug)]
struct Pending {
    first_seen: UnixNanos,
    pieces: Vec<Held>,
    /// Length of the whole, once the last fragment is here.
    total: Option<usize>,
    /// Of the first fragment.
    protocol: Option<u8>,
}

#[derive(Debug)]
struct Held {
    start: usize,
    /// Bytes that were sent; `bytes` may be fewer.
    sent: usize,
    bytes: Vec<u8>,
}

impl Held {
    fn end(&self) -> usize {
        self.start + self.sent
    }

    fn cost(&self) -> usize {
        self.bytes.len() + PIECE_COST
    }
}

impl Fragments {
    /// Takes a fragment; gives the packet back that it completes.
    pub(super) fn add(&mut self, at: UnixNanos, key: FragmentKey, piece: Piece<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let (start, sent) = (usize::from(piece.offset), piece.payload.wire_bytes());
        // Only the last may be of any length.
        if sent == 0 || start + sent > LONGEST || piece.more && !sent.is_multiple_of(8) {
            outcome.dropped = 1;
            return outcome;
        }
        self.make_room(at, &key, piece.payload.data.len(), &mut outcome);
        let mut entry = match self.packets.entry(key) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => entry.insert_entry(Pending::new(at)),
        };
        let before = entry.get().cost();
        let accepted = entry.get_mut().add(piece, &mut outcome);
        self.held_bytes += entry.get().cost() - before;
        if !accepted || entry.get().complete() {
            let pending = entry.remove();
            self.held_bytes -= pending.cost();
            if accepted {
                outcome.whole = Some(pending.join());
            } else {
                outcome.dropped += pending.pieces.len() as u64 + 1;
            }
        }
        outcome
    }

    /// Gives up all that wait; says how many fragments that were.
    pub(super) fn forget(&mut self) -> u64 {
        self.held_bytes = 0;
        self.packets.drain().map(|(_, pending)| pending.pieces.len() as u64).sum()
    }

    /// Gives up what waited too long under the same key, and the oldest while there is too much.
    fn make_room(&mut self, at: UnixNanos, key: &FragmentKey, bytes: usize, outcome: &mut Outcome) {
        if self.packets.get(key).is_some_and(|pending| at.saturating_sub(pending.first_seen) > PATIENCE) {
            self.give_up(*key, outcome);
        }
        let new = usize::from(!self.packets.contains_key(key));
        while self.packets.len() + new > PACKETS || self.held_bytes + bytes + PIECE_COST > BYTES {
            // By key among equals, so that the same input gives the same output.
            let oldest = self
                .packets
                .iter()
                .min_by_key(|(key, pending)| (pending.first_seen, key.id, key.lane, key.ends.space()));
            let Some(oldest) = oldest.map(|(key, _)| *key) else { break };
            self.give_up(oldest, outcome);
        }
    }

    fn give_up(&mut self, key: FragmentKey, outcome: &mut Outcome) {
        if let Some(pending) = self.packets.remove(&key) {
            self.held_bytes -= pending.cost();
            outcome.dropped += pending.pieces.len() as u64;
        }
    }
}

impl Pending {
    fn new(at: UnixNanos) -> Self {
        Self { first_seen: at, pieces: Vec::new(), total: None, protocol: None }
    }

    fn cost(&self) -> usize {
        self.pieces.iter().map(Held::cost).sum()
    }

    /// Takes what of `piece` is new: where fragments overlap, the first to come wins. False when this cannot become a packet.
    fn add(&mut self, piece: Piece<'_>, outcome: &mut Outcome) -> bool {
        let (mut start, end) = (usize::from(piece.offset), usize::from(piece.offset) + piece.payload.wire_bytes());
        if !piece.more {
            if self.total.is_some_and(|total| total != end) {
                outcome.overlapping = true;
            } else {
                self.total = Some(end);
            }
        }
        if self.total.is_some_and(|total| end > total || self.pieces.last().is_some_and(|last| last.end() > total)) {
            return false;
        }
        if start == 0 {
            self.protocol.get_or_insert(piece.protocol);
        }
        let again = |held: &Held| held.start == start && held.end() == end;
        if self.pieces.iter().any(again) {
            return true;
        }
        // Holes between the held pieces are filled one after the other.
        let mut at = self.pieces.partition_point(|held| held.end() <= start);
        while start < end {
            let next = self.pieces.get(at).map_or(end, |held| held.start).min(end);
            if start < next {
                if self.pieces.len() == PIECES {
                    return false;
                }
                let from = start - usize::from(piece.offset);
                let data = piece.payload.data;
                let bytes = data[from.min(data.len())..(from + next - start).min(data.len())].to_vec();
                self.pieces.insert(at, Held { start, sent: next - start, bytes });
                at += 1;
            }
            start = next;
            if let Some(held) = self.pieces.get(at).filter(|held| held.start < end) {
                outcome.overlapping = true;
                start = held.end();
                at += 1;
            }
        }
        true
    }

    fn complete(&self) -> bool {
        let Some(total) = self.total else { return false };
        let mut next = 0;
        for held in &self.pieces {
            if held.start != next {
                return false;
            }
            next = held.end();
        }
        next == total
    }

    fn join(self) -> Whole {
        let total = self.total.unwrap_or(0);
        let mut bytes = Vec::with_capacity(total);
        for held in &self.pieces {
            bytes.extend_from_slice(&held.bytes);
            if held.bytes.len() < held.sent {
                break;
            }
        }
        let cut = total.saturating_sub(bytes.len()) as u32;
        Whole { bytes, cut, protocol: self.protocol.unwrap_or(0) }
    }
}
