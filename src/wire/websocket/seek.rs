//! Finds where a frame begins in bytes joined in the middle.
//!
//! Weighs evidence in bits: a place is taken for the start of a frame once chance is far less likely. Frames tend to begin
//! where a piece of input (a segment, a TLS record) does and to end where one ends; heads must follow one another.

use crate::model::{Nanos, Side};

use super::frame::{Head, Opcode};

/// Most bytes kept while looking.
const HELD_BYTES: usize = 64 * 1024;
/// Most places that are still possible.
const CANDIDATES: usize = 128;
/// Longest frame that is believed while looking.
const FRAME_BYTES: u64 = 1 << 30;
/// How much of a text is looked at.
const TEXT_BYTES: usize = 64;

/// Evidence in bits, and how much is enough: four heads in a row, or one alone that is a whole piece of input.
const ENOUGH: u32 = 24;
const STARTS_A_PIECE: u32 = 10;
const ENDS_A_PIECE: u32 = 8;
const WHOLE_HEAD: u32 = 6;
const FRAGMENT_HEAD: u32 = 3;
const MOST_FOR_TEXT: u32 = 6;
/// What more is asked for where a client does not mask or a server does.
const FOR_ODD_MASKS: u32 = 6;

/// Bytes kept until a frame is found in them.
#[derive(Debug)]
pub(super) struct Seeker {
    from: Side,
    /// Whether the first bit after FIN may be set.
    compresses: bool,
    held: Vec<u8>,
    /// Where the pieces begin in `held`, and when each came.
    pieces: Vec<(usize, Nanos)>,
    /// Offsets from here on were not looked at.
    looked: usize,
    candidates: Vec<Candidate>,
}

/// A place that may be the start of a frame.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    start: usize,
    /// How many bytes must be held before it is worth another look.
    needs: usize,
}

/// What the bytes say of a place.
enum Verdict {
    Frame,
    No,
    /// More can be said when so many bytes are held.
    Later(usize),
}

/// Bytes from the start of a frame on.
#[derive(Debug)]
pub(super) struct Place {
    held: Vec<u8>,
    pieces: Vec<(usize, Nanos)>,
    start: usize,
}

impl Place {
    /// The bytes in the pieces in which they came.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (Nanos, &[u8])> {
        self.pieces.iter().enumerate().filter_map(|(i, &(from, at))| {
            let to = self.pieces.get(i + 1).map_or(self.held.len(), |&(next, _)| next);
            self.held.get(from.max(self.start)..to).filter(|piece| !piece.is_empty()).map(|piece| (at, piece))
        })
    }
}

impl Seeker {
    pub(super) fn new(from: Side, compresses: bool) -> Self {
        Self { from, compresses, held: Vec::new(), pieces: Vec::new(), looked: 0, candidates: Vec::new() }
    }

    /// Takes the next piece; returns what to read from when a frame was found.
    pub(super) fn piece(&mut self, at: Nanos, input: &[u8]) -> Option<Place> {
        let mut rest = input;
        while !rest.is_empty() {
            let part;
            (part, rest) = rest.split_at(rest.len().min(HELD_BYTES / 2));
            self.make_room(part.len());
            self.pieces.push((self.held.len(), at));
            self.held.extend_from_slice(part);
            if let Some(start) = self.find() {
                let (mut held, pieces) = (std::mem::take(&mut self.held), std::mem::take(&mut self.pieces));
                held.extend_from_slice(rest);
                return Some(Place { held, pieces, start });
            }
        }
        None
    }

    /// Forgets what is held: what comes next does not follow it.
    pub(super) fn gap(&mut self) {
        *self = Self::new(self.from, self.compresses);
    }

    fn find(&mut self) -> Option<usize> {
        for start in self.looked..self.held.len() {
            if !self.may_begin(start) {
                continue;
            }
            if self.candidates.len() >= CANDIDATES {
                // Places in the middle of a piece are the least likely.
                let unlikely = self.candidates.iter().rposition(|c| !self.starts_a_piece(c.start));
                self.candidates.remove(unlikely.unwrap_or(0));
            }
            self.candidates.push(Candidate { start, needs: 0 });
        }
        self.looked = self.held.len();
        let mut candidates = std::mem::take(&mut self.candidates);
        let mut found = None;
        candidates.retain_mut(|candidate| {
            if found.is_some() || candidate.needs > self.held.len() {
                return true;
            }
            match self.weigh(candidate.start) {
                Verdict::Frame => found = Some(candidate.start),
                Verdict::No => return false,
                Verdict::Later(needs) => candidate.needs = needs,
            }
            true
        });
        self.candidates = candidates;
        found
    }

    /// A first look at one byte.
    fn may_begin(&self, start: usize) -> bool {
        let first = self.held[start];
        matches!(first & 0x0f, 0..=2 | 8..=10) && first & 0x30 == 0
    }

    fn weigh(&self, start: usize) -> Verdict {
        let mut bits = if self.starts_a_piece(start) { STARTS_A_PIECE } else { 0 };
        let mut at = start;
        // Whether a message is under way, and whether frames are masked; at first nobody knows.
        let (mut inside, mut masks) = (None, None);
        let mut enough = ENOUGH;
        loop {
            if at == self.held.len() {
                return if bits + ENDS_A_PIECE >= enough { Verdict::Frame } else { Verdict::Later(at + 1) };
            }
            let (head, head_bytes) = match Head::parse(&self.held[at..]) {
                Ok(Some(parsed)) => parsed,
                Ok(None) if self.may_begin(at) => return Verdict::Later(self.held.len() + 1),
                _ => return Verdict::No,
            };
            let payload = at + head_bytes;
            let Some(end) = self.believe(&head, head_bytes, &mut inside).and_then(|len| payload.checked_add(len))
            else {
                return Verdict::No;
            };
            let masked = head.mask.is_some();
            if masks.is_some_and(|before| before != masked) {
                return Verdict::No;
            }
            masks = Some(masked);
            enough = if masked == (self.from == Side::Request) { ENOUGH } else { ENOUGH + FOR_ODD_MASKS };
            bits += if head.fin { WHOLE_HEAD } else { FRAGMENT_HEAD };
            let seen = self.held.get(payload..end.min(self.held.len())).unwrap_or_default();
            match text_evidence(&head, seen) {
                Some(more) => bits += more,
                None => return Verdict::No,
            }
            if end < self.held.len() && self.starts_a_piece(end) {
                bits += ENDS_A_PIECE;
            }
            if bits >= enough {
                return Verdict::Frame;
            }
            if end > self.held.len() {
                return Verdict::Later(end);
            }
            at = end;
        }
    }

    /// The payload's length when the head is one that endpoints send.
    fn believe(&self, head: &Head, head_bytes: usize, inside: &mut Option<bool>) -> Option<usize> {
        let bare = head_bytes - if head.mask.is_some() { 4 } else { 0 };
        let shortest = match bare {
            2 => true,
            4 => head.len > 125,
            _ => head.len > 0xffff,
        };
        let in_order = match head.opcode {
            Opcode::Control(_) | Opcode::Reserved => true,
            Opcode::Data(_) => *inside != Some(true) && (self.compresses || !head.rsv1),
            Opcode::Continuation => *inside != Some(false),
        };
        if !matches!(head.opcode, Opcode::Control(_)) {
            *inside = Some(!head.fin);
        }
        let believed = head.is_sent() && shortest && in_order && head.len <= FRAME_BYTES;
        believed.then_some(usize::try_from(head.len).ok()).flatten()
    }

    fn starts_a_piece(&self, offset: usize) -> bool {
        self.pieces.binary_search_by_key(&offset, |&(start, _)| start).is_ok()
    }

    /// Drops the oldest pieces when `more` bytes would be too many.
    fn make_room(&mut self, more: usize) {
        if self.held.len() + more <= HELD_BYTES {
            return;
        }
        let least = (self.held.len() + more).saturating_sub(HELD_BYTES / 2);
        let kept = self.pieces.partition_point(|&(start, _)| start < least);
        let gone = self.pieces.get(kept).map_or(self.held.len(), |&(start, _)| start);
        self.held.drain(..gone);
        self.pieces.drain(..kept);
        self.pieces.iter_mut().for_each(|(start, _)| *start -= gone);
        self.looked = self.looked.saturating_sub(gone);
        self.candidates.retain(|candidate| candidate.start >= gone);
        self.candidates.iter_mut().for_each(|candidate| {
            candidate.start -= gone;
            candidate.needs = candidate.needs.saturating_sub(gone);
        });
    }
}

/// Evidence in the payload of a text or close frame that can be read; `None` when it is none.
fn text_evidence(head: &Head, seen: &[u8]) -> Option<u32> {
    use crate::model::MessageKind::{Close, Text};
    let mut text = seen[..seen.len().min(TEXT_BYTES)].to_vec();
    if let Some(key) = head.mask {
        super::frame::mask(&mut text, key, 0);
    }
    match head.opcode {
        Opcode::Data(Text) if !head.rsv1 => {
            let valid = match std::str::from_utf8(&text) {
                Ok(_) => true,
                // A character may be cut in two by our own limit or by the frame's end.
                Err(error) => error.error_len().is_none(),
            };
            let bits = u32::try_from(text.len() / 2).unwrap_or(0).min(MOST_FOR_TEXT);
            valid.then_some(if head.fin { bits } else { 0 })
        }
        Opcode::Control(Close) => match text.as_slice() {
            [] => Some(0),
            [_] => (head.len > 1).then_some(0),
            [high, low, ..] => (1000..5000).contains(&u16::from_be_bytes([*high, *low])).then_some(3),
        },
        _ => Some(0),
    }
}
