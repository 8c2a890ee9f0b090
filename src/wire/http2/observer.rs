//! Both sides of one connection, side by side. Main type: [`Observer`].

use super::lane::Lane;
use super::settings::{Shared, index};
use super::{Event, Http2Error, Start};
use crate::model::Side;

/// Reads a connection that others have. Its memory is bounded, for each side: a header table as large as the peers agreed on
/// (of which 1 MiB is kept, 64 KiB when their agreement was not seen), a header block under way (1 MiB), and 64 KiB with the
/// last input while it looks for the next frame after a gap.
#[derive(Debug)]
pub struct Observer {
    lanes: [Lane; 2],
    shared: Shared,
    failed: Option<Http2Error>,
}

impl Observer {
    /// For one connection, from `start` on.
    pub fn new(start: Start) -> Self {
        let lanes = [Lane::new(Side::Request, start), Lane::new(Side::Response, start)];
        Self { lanes, shared: Shared::new(start), failed: None }
    }

    /// The next bytes of one side. All are taken; of a frame that is not whole yet what is needed is kept. What one side
    /// answers to should be given before the answer.
    ///
    /// # Errors
    /// When this is no HTTP/2 at all; from then on, always.
    pub fn read(&mut self, side: Side, input: &[u8], out: &mut dyn FnMut(Event<'_>)) -> Result<(), Http2Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.lanes[index(side)].read(&mut self.shared, input, out);
        if side == Side::Request && self.lanes[0].take_found_preface() && self.lanes[1].is_untouched() {
            self.lanes[1] = Lane::new(Side::Response, Start::Preface);
            self.shared.begins(Side::Response);
        }
        self.failed = result.err();
        result
    }

    /// So many bytes of this side were never captured (0: unknown number). Inside a frame whose header was seen, what is
    /// lost is told exactly, and the frames go on behind it; else [`Event::Lost`] comes now, for the gap, and again for
    /// the bytes that are passed over until a frame is found.
    pub fn gap(&mut self, side: Side, bytes: u64, out: &mut dyn FnMut(Event<'_>)) {
        if self.failed.is_none() {
            self.lanes[index(side)].gap(&mut self.shared, bytes, out);
        }
    }
}
