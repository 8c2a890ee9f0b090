//! Inflates compressed messages one after the other, each with the window that those before it left (RFC 7692 §7.2.2).
//!
//! A message that looks back at bytes which were never seen is told from one that does not: nothing is made up.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// How far deflate can look back, in bytes.
const WINDOW_BYTES: usize = 32 * 1024;
/// Room made at a time, in bytes.
const STEP_BYTES: usize = 16 * 1024;
/// A buffer larger than this is not kept from one message to the next, in bytes.
const KEPT_BYTES: usize = 4 * WINDOW_BYTES;
/// What the sender left off every message (RFC 7692 §7.2.1), and an empty last block: only a decoder that stands
/// between two blocks reads these as no bytes and an end.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// The message is damaged, or looks back at bytes that are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// One direction's decompressor.
pub(super) struct Inflater {
    core: Box<DecompressorOxide>,
    /// Earlier messages, then the latest, then room.
    bytes: Vec<u8>,
    /// Where the next message will begin; the bytes before are what it can look back at.
    known: usize,
    takeover: bool,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("known", &self.known).field("takeover", &self.takeover).finish()
    }
}

/// Where the decoder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Behind a block that says it is the last.
    Ended,
    /// Anywhere else.
    Open,
    /// The limit is reached.
    Full,
}

impl Inflater {
    pub(super) fn new(takeover: bool) -> Self {
        Self { core: Box::default(), bytes: Vec::new(), known: 0, takeover }
    }

    /// Forgets what was seen: something in between was not.
    pub(super) fn forget(&mut self) {
        self.known = 0;
    }

    /// Inflates a message that is there as a whole. The second value is true when it was cut at the limit.
    pub(super) fn message(&mut self, compressed: &[u8], limit: usize) -> Result<(&[u8], bool), Unknown> {
        let start = self.begin();
        let mut end = start;
        let stand = if compressed.is_empty() { Ok(Stand::Ended) } else { self.run(compressed, &mut end, start, limit) };
        let stand = match stand {
            Ok(Stand::Open) => {
                let before = end;
                match self.run(&TAIL, &mut end, start, limit) {
                    Ok(Stand::Ended) if end == before => Ok(Stand::Ended),
                    _ => Err(Unknown),
                }
            }
            stand => stand,
        };
        self.known = if stand == Ok(Stand::Ended) { end } else { 0 };
        stand.map(|stand| (&self.bytes[start..end], stand == Stand::Full))
    }

    /// Inflates as much as can be told of the beginning of a message. The next one finds nothing to look back at.
    pub(super) fn beginning(&mut self, compressed: &[u8], limit: usize) -> Result<&[u8], Unknown> {
        let start = self.begin();
        let mut end = start;
        let stand = self.run(compressed, &mut end, start, limit);
        self.known = 0;
        stand.map(|_| &self.bytes[start..end])
    }

    /// Makes ready for a message; returns where its bytes will begin.
    fn begin(&mut self) -> usize {
        if !self.takeover {
            self.known = 0;
        }
        if self.known > 2 * WINDOW_BYTES {
            self.bytes.copy_within(self.known - WINDOW_BYTES..self.known, 0);
            self.known = WINDOW_BYTES;
        }
        if self.bytes.len() > KEPT_BYTES {
            self.bytes.truncate(KEPT_BYTES);
            self.bytes.shrink_to_fit();
        }
        self.core.init();
        self.known
    }

    /// Inflates `input` behind `end`, at most `limit` bytes since `start`. Blocks behind one that says it is the last
    /// begin with the next byte (RFC 7692 §7.2.3.4).
    fn run(&mut self, input: &[u8], end: &mut usize, start: usize, limit: usize) -> Result<Stand, Unknown> {
        const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let most = start.saturating_add(limit);
        let mut rest = input;
        loop {
            let room = end.saturating_add(STEP_BYTES);
            if self.bytes.len() < room {
                self.bytes.resize(room, 0);
            }
            let (status, read, written) = decompress(&mut self.core, rest, &mut self.bytes, *end, FLAGS);
            rest = rest.get(read..).unwrap_or_default();
            *end += written;
            if *end > most {
                *end = most;
                return Ok(Stand::Full);
            }
            match status {
                TINFLStatus::Done if rest.is_empty() => return Ok(Stand::Ended),
                TINFLStatus::Done => self.core.init(),
                TINFLStatus::NeedsMoreInput => return Ok(Stand::Open),
                TINFLStatus::HasMoreOutput => {}
                _ => return Err(Unknown),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7692 §7.2.3: "Hello" in every way the examples show it, in one connection.
    #[test]
    fn the_examples_of_the_standard_are_read() {
        let first = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let looking_back = [0xf2, 0x00, 0x11, 0x00, 0x00];
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        let last_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        let mut inflater = Inflater::new(true);
        for message in [&first[..], &looking_back, &stored, &last_block, &looking_back, &two_blocks, &first] {
            assert_eq!(inflater.message(message, 99), Ok((&b"Hello"[..], false)), "{message:x?}");
        }
        assert_eq!(inflater.message(&[0x00], 99), Ok((&b""[..], false)), "an empty message");
        assert_eq!(inflater.message(&[], 99), Ok((&b""[..], false)), "an empty message without its one byte");
        assert_eq!(inflater.message(&looking_back, 99), Ok((&b"Hello"[..], false)));
    }

    #[test]
    fn looking_back_at_what_is_not_known_is_an_error_until_a_message_stands_alone() {
        let (alone, looking_back) =
            (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x00, 0x11, 0x00, 0x00][..]);
        let mut inflater = Inflater::new(true);
        assert_eq!(inflater.message(looking_back, 99), Err(Unknown));
        assert_eq!(inflater.message(alone, 99), Ok((&b"Hello"[..], false)));
        assert_eq!(inflater.message(looking_back, 99), Ok((&b"Hello"[..], false)));
        inflater.forget();
        assert_eq!(inflater.message(looking_back, 99), Err(Unknown));
        let mut forgetful = Inflater::new(false);
        assert_eq!(forgetful.message(alone, 99), Ok((&b"Hello"[..], false)));
        assert_eq!(forgetful.message(looking_back, 99), Err(Unknown), "nothing is taken over");
    }

    #[test]
    fn a_message_that_stops_inside_a_block_is_not_taken_for_a_whole_one() {
        let whole = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        for cut in 1..whole.len() - 1 {
            assert_eq!(Inflater::new(true).message(&whole[..cut], 99), Err(Unknown), "cut at {cut}");
        }
        assert_eq!(Inflater::new(true).beginning(&whole[..4], 99), Ok(&b"Hel"[..]));
    }

    #[test]
    fn a_message_that_grows_over_the_limit_is_cut_and_forgotten() {
        let mut inflater = Inflater::new(true);
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflater.message(&hello, 5), Ok((&b"Hello"[..], false)));
        assert_eq!(inflater.message(&hello, 3), Ok((&b"Hel"[..], true)));
        assert_eq!(inflater.message(&[0xf2, 0x00, 0x11, 0x00, 0x00], 99), Err(Unknown));
    }
}
