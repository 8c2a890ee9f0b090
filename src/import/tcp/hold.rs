//! Bytes and FINs that wait, behind a hole of their own direction or for bytes of the other direction.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use super::clock::{NEVER, after};
use super::config::Config;
use super::key::End;
use super::serial::Position;
use crate::observe::streams::UnixNanos;

/// Memory charged for a piece beside its bytes.
const PIECE: usize = 112;

/// Lost ranges remembered of each direction, to tell late bytes from duplicates.
const LOST: usize = 16;

/// Where a waiting item came from and what it waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Its packet's time.
    pub at: UnixNanos,
    /// Timer time of its arrival.
    pub clock: UnixNanos,
    /// Number of its packet.
    pub ticket: u64,
    /// What it acknowledges of the other direction; 0 for nothing.
    pub need: Position,
    /// When the receiver was first seen to have everything before it; [`NEVER`] so far.
    pub covered: UnixNanos,
}

#[derive(Debug)]
struct Piece {
    bytes: Box<[u8]>,
    mark: Mark,
}

/// What came of putting bytes into a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inserted {
    /// Bytes that were new.
    pub fresh: u64,
    /// Bytes that wait there already.
    pub duplicate: u64,
    /// Of these, bytes that differ; the first copy stays.
    pub conflicting: u64,
}

/// What waits of one direction.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: BTreeMap<Position, Piece>,
    charge: usize,
    /// A FIN that was seen and not reported.
    pub fin: Option<(Position, Mark)>,
    /// Timer time of this end's last packet.
    pub heard: UnixNanos,
    lost: Vec<(Position, Position)>,
}

impl Queue {
    /// Puts bytes at a position; bytes that wait there already stay. Pieces never overlap.
    pub fn insert(&mut self, start: Position, bytes: &[u8], mark: Mark) -> Inserted {
        let mut done = Inserted::default();
        let (mut at, mut rest) = (start, bytes);
        if let Some((&before, piece)) = self.pieces.range_mut(..at).next_back() {
            let skip = (at - before) as usize;
            if piece.bytes.len() > skip {
                (at, rest) = done.compare(at, &piece.bytes[skip..], rest);
                piece.mark.need = piece.mark.need.min(mark.need);
            }
        }
        while !rest.is_empty() {
            let next = self.pieces.range(at..).next().map(|(&next, _)| next);
            let room = next.map_or(usize::MAX, |next| usize::try_from(next - at).unwrap_or(usize::MAX));
            if room > 0 {
                let (fresh, behind) = rest.split_at(room.min(rest.len()));
                self.charge += fresh.len() + PIECE;
                done.fresh += fresh.len() as u64;
                self.pieces.insert(at, Piece { bytes: fresh.into(), mark });
                (at, rest) = (at + fresh.len() as u64, behind);
            } else if let Some(piece) = self.pieces.get_mut(&at) {
                // Of two copies, the one that acknowledges less was sent first.
                piece.mark.need = piece.mark.need.min(mark.need);
                (at, rest) = done.compare(at, &piece.bytes, rest);
            }
        }
        done
    }

    /// Memory charged for what waits.
    pub fn charge(&self) -> usize {
        self.charge
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.fin.is_none()
    }

    /// True when bytes wait below `end`.
    pub fn holds_below(&self, end: Position) -> bool {
        self.pieces.first_key_value().is_some_and(|(&start, _)| start < end)
    }

    /// The first item that waits: bytes, or the FIN when no bytes come before it.
    pub fn head(&self) -> Option<(Position, &Mark)> {
        let bytes = self.pieces.first_key_value().map(|(&start, piece)| (start, &piece.mark));
        let fin = self.fin.as_ref().map(|(position, mark)| (*position, mark));
        match (bytes, fin) {
            (Some(bytes), Some(fin)) => Some(if fin.0 <= bytes.0 { fin } else { bytes }),
            (bytes, fin) => bytes.or(fin),
        }
    }

    /// Lets the first item wait no more for the other direction.
    pub fn waive(&mut self) {
        let head = self.head().map(|(position, _)| position);
        if let Some((position, mark)) = &mut self.fin
            && head == Some(*position)
        {
            mark.need = 0;
        } else if let Some(mut first) = self.pieces.first_entry() {
            first.get_mut().mark.need = 0;
        }
    }

    /// Takes the first bytes, if the head is bytes.
    pub fn take_bytes(&mut self) -> Option<(Box<[u8]>, Mark)> {
        let first = self.pieces.first_entry()?;
        if self.fin.is_some_and(|(position, _)| position <= *first.key()) {
            return None;
        }
        let piece = first.remove();
        self.charge -= piece.bytes.len() + PIECE;
        Some((piece.bytes, piece.mark))
    }

    /// Throws all bytes away; returns how many.
    pub fn discard(&mut self) -> u64 {
        let bytes = self.pieces.values().map(|piece| piece.bytes.len() as u64).sum();
        self.pieces.clear();
        self.charge = 0;
        bytes
    }

    /// The receiver has everything below `new`; it had `old` before.
    pub fn cover(&mut self, old: Position, new: Position, clock: UnixNanos) {
        for (_, piece) in self.pieces.range_mut((Excluded(old), Included(new))) {
            piece.mark.covered = piece.mark.covered.min(clock);
        }
        if let Some((position, mark)) = &mut self.fin
            && *position <= new
        {
            mark.covered = mark.covered.min(clock);
        }
    }

    /// Remembers a range that was reported as a gap.
    pub fn lose(&mut self, start: Position, end: Position) {
        match self.lost.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => {
                if self.lost.len() == LOST {
                    self.lost.remove(0);
                }
                self.lost.push((start, end));
            }
        }
    }

    /// How many bytes of a range were reported as a gap.
    pub fn lost_within(&self, start: Position, end: Position) -> u64 {
        self.lost.iter().map(|&(from, to)| to.min(end).saturating_sub(from.max(start))).sum()
    }
}

impl Inserted {
    /// Skips what `held` has of `rest`; counts.
    fn compare<'a>(&mut self, at: Position, held: &[u8], rest: &'a [u8]) -> (Position, &'a [u8]) {
        let (again, behind) = rest.split_at(held.len().min(rest.len()));
        if again != &held[..again.len()] {
            self.conflicting += again.iter().zip(held).filter(|(new, old)| new != old).count() as u64;
        }
        self.duplicate += again.len() as u64;
        (at + again.len() as u64, behind)
    }
}

/// A beginning in the middle of a connection: nothing is delivered until packets that were captured out of order had a
/// chance to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settle {
    /// Ends at this timer time,
    pub until: UnixNanos,
    /// or after so many packets.
    pub packets: u32,
}

impl Settle {
    /// Begins now.
    pub fn new(clock: UnixNanos, config: &Config) -> Self {
        Self { until: after(clock, config.settle_time), packets: config.settle_packets }
    }
}

/// A RST that was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset {
    /// Who sent it.
    pub by: End,
    /// Its packet's time.
    pub at: UnixNanos,
    /// Timer time of its arrival.
    pub clock: UnixNanos,
}

/// Everything about a connection that is needed only while something is out of order.
#[derive(Debug)]
pub(super) struct Hold {
    /// What waits of each end.
    pub queues: [Queue; 2],
    /// Set while a beginning in the middle settles.
    pub settle: Option<Settle>,
    /// Set from a RST until the connection is closed.
    pub reset: Option<Reset>,
    /// When somebody must look again, as the schedule has it; [`NEVER`] when it is not in there.
    pub scheduled: UnixNanos,
}

impl Default for Hold {
    fn default() -> Self {
        Self { queues: Default::default(), settle: None, reset: None, scheduled: NEVER }
    }
}

impl Hold {
    /// True when something waits.
    pub fn is_busy(&self) -> bool {
        self.settle.is_some() || self.reset.is_some() || self.queues.iter().any(|queue| !queue.is_empty())
    }

    /// True when nothing in it is worth keeping.
    pub fn is_spent(&self) -> bool {
        !self.is_busy() && self.scheduled == NEVER && self.queues.iter().all(|queue| queue.lost.is_empty())
    }

    /// Nothing waits any more.
    pub fn clear(&mut self) {
        (self.settle, self.reset) = (None, None);
        for queue in &mut self.queues {
            queue.fin = None;
            queue.discard();
        }
    }

    /// Memory charged for what waits.
    pub fn charge(&self) -> usize {
        self.queues.iter().map(Queue::charge).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark { at: 0, clock: 0, ticket: 0, need: 0, covered: NEVER }
    }

    #[test]
    fn the_first_copy_of_a_byte_stays_whatever_overlaps() {
        let mut queue = Queue::default();
        queue.insert(10, b"abc", mark());
        queue.insert(16, b"ghi", mark());
        let done = queue.insert(8, b"YZabXdefgH!jk", mark());
        assert_eq!((done.fresh, done.duplicate, done.conflicting), (7, 6, 3));
        let mut all = Vec::new();
        while let Some((bytes, _)) = queue.take_bytes() {
            all.extend_from_slice(&bytes);
        }
        assert_eq!(all, b"YZabcdefghijk");
        assert_eq!(queue.charge(), 0);
    }
}
