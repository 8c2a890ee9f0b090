//! Whether a segment belongs to a connection that has its addresses and ports.

use super::super::segment::Segment;
use super::connection::{Connection, Direction, WINDOW, side};
use super::key::End;
use super::serial::{Position, first, near};
use crate::observe::streams::UnixNanos;

/// In another lane numbers must fit closer: more than any real window, little enough that chance hardly meets it twice.
const OTHER_LANE: u64 = 64 << 20;

/// A SYN within a window of an open connection is an accident (RFC 9293, section 3.10.7.4), not a new one, unless the connection was silent so long.
const SILENT: u64 = 1_000_000_000;

/// How far a SYN may lie before the first byte seen and still be the same connection's: what was sent with it.
const BEFORE: u64 = 1 << 20;

/// How a segment and a connection go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is part of it.
    Same,
    /// It opens a new connection where this one was.
    Anew,
    /// It is of another connection.
    Foreign,
    /// It is of no connection at all.
    Stray,
}

impl Connection {
    /// Compares a segment that `end` sent.
    pub(super) fn fit(&self, end: End, segment: &Segment<'_>, clock: UnixNanos) -> Fit {
        if segment.flags.syn {
            return self.fit_syn(end, segment, clock);
        }
        let home = segment.lane == self.lane;
        let window = if home { WINDOW } else { OTHER_LANE };
        let (me, peer) = (&self.ends[end], &self.ends[1 - end]);
        let seq = me.fits(segment.seq, window);
        let ack = if segment.flags.ack { peer.fits(segment.ack, window) } else { None };
        if segment.flags.rst && home {
            return Fit::Same;
        }
        match (seq, ack) {
            (Some(true), Some(false)) if !home => Fit::Foreign,
            (Some(true), _) | (None, Some(true)) => Fit::Same,
            (Some(false), Some(true)) if home => Fit::Stray,
            (None, None) if home => Fit::Same,
            _ => Fit::Foreign,
        }
    }

    fn fit_syn(&self, end: End, segment: &Segment<'_>, clock: UnixNanos) -> Fit {
        let (me, peer) = (&self.ends[end], &self.ends[1 - end]);
        let anew = if segment.lane == self.lane { Fit::Anew } else { Fit::Foreign };
        if me.facts.has(side::SYN) {
            if me.isn == segment.seq {
                // The same number on the other way's new connection is chance; a SYN-ACK must answer this one's SYN.
                let answers = !segment.flags.ack || peer.fits(segment.ack, WINDOW) != Some(false);
                return if answers { Fit::Same } else { anew };
            }
            let position = near(segment.seq, me.next);
            let silent = clock.saturating_sub(self.touched) >= SILENT;
            let inside = position + BEFORE >= me.next && position <= me.next + BEFORE;
            let accident = !segment.flags.ack && inside && !silent && !self.is_closed() && peer.facts.has(side::SEEN);
            return if accident && anew == Fit::Anew { Fit::Stray } else { anew };
        }
        if self.is_closed() {
            return anew;
        }
        let start = segment.seq.wrapping_add(1);
        let placed = me.reference().is_none_or(|reference| {
            let position = near(start, reference);
            position == reference || (position < reference && reference - position <= BEFORE && self.is_young(clock))
        });
        let answers = !segment.flags.ack || peer.answers(segment.ack);
        if placed && answers { Fit::Same } else { anew }
    }
}

impl Direction {
    /// Whether a number lies in a window around what is known of this direction; `None` when nothing is.
    fn fits(&self, seq: u32, window: u64) -> Option<bool> {
        let reference = self.reference()?;
        let close = |known: Position| near(seq, known).abs_diff(known) <= window;
        Some(close(reference) || (self.acked != 0 && close(self.acked)))
    }

    /// Whether a SYN-ACK with this acknowledgement answers this direction's SYN.
    fn answers(&self, ack: u32) -> bool {
        if self.facts.has(side::SYN) {
            let start = first(self.isn);
            let ahead = near(ack, start).wrapping_sub(start);
            return (1..=BEFORE).contains(&ahead);
        }
        self.fits(ack, BEFORE) != Some(false)
    }
}
