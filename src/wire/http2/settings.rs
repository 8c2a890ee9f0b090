//! What the two sides of a connection know of each other: their SETTINGS as far as they matter here (RFC 9113 §6.5), and how
//! far the numbers of streams have come.

use super::Start;
use super::frame::{DEFAULT_FRAME, LARGEST_FRAME};
use crate::model::Side;

/// What one side has announced to the other. When the other side took notice is not known to who looks on, so the largest
/// value ever announced counts.
#[derive(Clone, Copy, Debug)]
struct Announced {
    table: u32,
    frame: u32,
    /// SETTINGS were seen.
    seen: bool,
    /// No frame was missed.
    whole: bool,
}

impl Announced {
    fn is_certain(self) -> bool {
        self.seen && self.whole
    }
}

/// Shared by both sides.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    announced: [Announced; 2],
    /// Highest stream that the client has opened; None when that is not known.
    reach: Option<u32>,
    /// Highest stream that the server has promised; 0 for none.
    pub(super) pushed: u32,
    /// Frames were found on some side.
    pub(super) framed: bool,
}

impl Shared {
    pub(super) fn new(start: Start) -> Self {
        let side = |whole| Announced { table: 4096, frame: DEFAULT_FRAME, seen: false, whole };
        // The settings of an upgrade stand in a field of the HTTP/1 request.
        let announced = [side(start == Start::Preface), side(start != Start::Midway)];
        Self { announced, reach: None, pushed: 0, framed: false }
    }

    /// A SETTINGS frame of `side`, less acknowledgements.
    pub(super) fn announce(&mut self, side: Side, payload: &[u8]) {
        let announced = &mut self.announced[index(side)];
        for setting in payload.chunks_exact(6) {
            let value = super::frame::number_at(&setting[2..]).unwrap_or(0);
            match u16::from_be_bytes([setting[0], setting[1]]) {
                1 => announced.table = announced.table.max(value),
                5 if value <= LARGEST_FRAME => announced.frame = announced.frame.max(value),
                _ => {}
            }
        }
        announced.seen = true;
    }

    /// Settings of `side` may have been lost.
    pub(super) fn unsure(&mut self, side: Side) {
        self.announced[index(side)].whole = false;
    }

    /// Frames of `side` were lost.
    pub(super) fn lost(&mut self, side: Side) {
        self.unsure(side);
        if side == Side::Request {
            self.reach = None;
        }
    }

    /// Largest dynamic table that `side` may use; None when that is not known.
    pub(super) fn table_limit(&self, side: Side) -> Option<u32> {
        let peer = self.announced[index(side.other())];
        peer.is_certain().then_some(peer.table)
    }

    /// Longest frame that `side` may send.
    pub(super) fn longest_frame(&self, side: Side) -> u32 {
        let peer = self.announced[index(side.other())];
        if peer.is_certain() { peer.frame } else { LARGEST_FRAME }
    }

    /// The client's preface was seen: from here on all its streams are.
    pub(super) fn preface(&mut self) {
        self.reach = Some(1);
    }

    /// Every frame of `side` will be seen, though the capture was thought to begin midway.
    pub(super) fn begins(&mut self, side: Side) {
        self.announced[index(side)].whole = true;
    }

    /// A frame of this stream was sent.
    pub(super) fn used(&mut self, stream: u32) {
        if stream % 2 == 1
            && let Some(reach) = &mut self.reach
        {
            *reach = stream.max(*reach);
        }
    }

    /// Highest stream that the client has opened, when that is known.
    pub(super) fn reach(&self) -> Option<u32> {
        self.reach
    }
}

pub(super) fn index(side: Side) -> usize {
    match side {
        Side::Request => 0,
        Side::Response => 1,
    }
}
