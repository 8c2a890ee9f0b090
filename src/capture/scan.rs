//! Walks through the frames of a file from front to back, over damage and up to a torn tail. Knows no records.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::frame::{FrameHeader, HEADER_BYTES, MARKER};

/// How much is read at once while looking for the next frame.
const WINDOW_BYTES: usize = 256 << 10;

/// A part of the file, in order; the parts cover it without gaps.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A sound frame.
    Frame {
        /// Where it starts.
        offset: u64,
        /// Its header.
        header: FrameHeader,
        /// Its payload as stored.
        stored: Vec<u8>,
    },
    /// Damaged bytes with sound frames behind them, or a whole frame whose payload is damaged.
    Bad {
        /// Where they start.
        offset: u64,
        /// How many.
        bytes: u64,
        /// The header of the damaged frame when that at least is sound.
        header: Option<FrameHeader>,
    },
    /// Bytes behind the last whole frame.
    Torn {
        /// How many.
        bytes: u64,
    },
}

/// The walk.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    file: &'a File,
    end: u64,
    seed: u32,
    at: u64,
    /// Payload bytes that may still be read in vain. A hostile file could otherwise make the walk quadratic.
    patience: u64,
}

/// What stands at an offset.
enum Found {
    Whole(FrameHeader, Vec<u8>),
    BadPayload(FrameHeader),
    Cut,
    Nothing,
}

impl<'a> Scan<'a> {
    /// Walks from `start` to `end`.
    pub(super) fn new(file: &'a File, start: u64, end: u64, seed: u32) -> Self {
        Self { file, end, seed, at: start, patience: end.saturating_mul(4).saturating_add(64 << 20) }
    }

    /// The next part of the file; none at its end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        let offset = self.at;
        if offset >= self.end {
            return Ok(None);
        }
        let found = self.look_at(offset)?;
        if let Found::Whole(header, stored) = found {
            self.at = offset + header.frame_bytes();
            return Ok(Some(Piece::Frame { offset, header, stored }));
        }
        let damaged = if let Found::BadPayload(header) = found { Some(header) } else { None };
        let next = match damaged {
            Some(header) if self.may_skip(offset, &header)? => Some(offset + header.frame_bytes()),
            _ => self.find(offset + 1)?,
        };
        let bytes = next.unwrap_or(self.end) - offset;
        self.at = offset + bytes;
        Ok(Some(match next {
            Some(_) => Piece::Bad { offset, bytes, header: damaged },
            None => Piece::Torn { bytes },
        }))
    }

    /// Whether the length of a frame with a damaged payload leads to another frame or to the end.
    fn may_skip(&mut self, offset: u64, header: &FrameHeader) -> io::Result<bool> {
        self.patience = self.patience.saturating_sub(header.frame_bytes());
        let behind = offset + header.frame_bytes();
        Ok(behind == self.end || self.patience == 0 || self.header_at(behind)?.is_some())
    }

    fn look_at(&self, offset: u64) -> io::Result<Found> {
        let Some(header) = self.header_at(offset)? else { return Ok(Found::Nothing) };
        if offset.saturating_add(header.frame_bytes()) > self.end {
            return Ok(Found::Cut);
        }
        let mut stored = vec![0; header.stored as usize];
        let read = read_up_to(self.file, &mut stored, offset + HEADER_BYTES as u64)?;
        if read < stored.len() {
            return Ok(Found::Cut);
        }
        Ok(if header.holds(&stored) { Found::Whole(header, stored) } else { Found::BadPayload(header) })
    }

    fn header_at(&self, offset: u64) -> io::Result<Option<FrameHeader>> {
        if self.end.saturating_sub(offset) < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_BYTES];
        let read = read_up_to(self.file, &mut bytes, offset)?;
        Ok(FrameHeader::parse(&bytes[..read], self.seed))
    }

    /// The first offset from `from` on at which a sound frame header stands.
    fn find(&self, from: u64) -> io::Result<Option<u64>> {
        let marker = memchr::memmem::Finder::new(&MARKER);
        let mut window =
            vec![0; usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX).min(WINDOW_BYTES)];
        let mut at = from;
        while self.end.saturating_sub(at) >= HEADER_BYTES as u64 {
            let want = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let read = read_up_to(self.file, &mut window[..want], at)?;
            for hit in marker.find_iter(&window[..read]) {
                if FrameHeader::parse(&window[hit..read], self.seed).is_some() {
                    return Ok(Some(at + hit as u64));
                }
            }
            if read < want || read < HEADER_BYTES {
                return Ok(None);
            }
            // A header across the border is found in the next window.
            at += (read - (HEADER_BYTES - 1)) as u64;
        }
        Ok(None)
    }
}

/// Fills `buffer` from `offset` on as far as the file reaches; returns how many bytes it got.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::frame::{Kind, Sealer};
    use super::*;

    const SEED: u32 = 77;

    fn walk(bytes: &[u8]) -> Vec<Piece> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut scan = Scan::new(&file, 0, bytes.len() as u64, SEED);
        let mut pieces = Vec::new();
        while let Some(piece) = scan.next().unwrap() {
            pieces.push(piece);
        }
        pieces
    }

    fn shape(pieces: &[Piece]) -> Vec<(char, u64)> {
        let part = |p: &Piece| match p {
            Piece::Frame { header, .. } => ('f', header.frame_bytes()),
            Piece::Bad { bytes, .. } => ('b', *bytes),
            Piece::Torn { bytes } => ('t', *bytes),
        };
        pieces.iter().map(part).collect()
    }

    fn three_frames() -> (Vec<u8>, u64) {
        let mut sealer = Sealer::new(SEED, false);
        let one = sealer.seal(Kind::Chunks, 1, &[1; 100]);
        (one.repeat(3), one.len() as u64)
    }

    #[test]
    fn damage_in_payload_or_header_costs_one_frame() {
        let (bytes, n) = three_frames();
        assert_eq!(shape(&walk(&bytes)), [('f', n), ('f', n), ('f', n)]);
        for at in [n, n + 13, n + 60] {
            let mut bad = bytes.clone();
            bad[at as usize] ^= 1;
            let pieces = walk(&bad);
            assert_eq!(shape(&pieces), [('f', n), ('b', n), ('f', n)], "byte {at}");
            let Piece::Bad { header, .. } = &pieces[1] else { panic!("second frame is bad") };
            assert_eq!(header.is_some(), at == n + 60);
        }
    }

    #[test]
    fn removed_and_inserted_bytes_are_walked_over() {
        let (bytes, n) = three_frames();
        let mut shorter = bytes.clone();
        shorter.drain(140..150);
        assert_eq!(shape(&walk(&shorter)), [('f', n), ('b', n - 10), ('f', n)]);
        let mut longer = bytes.clone();
        longer.splice(140..140, [9; 500]);
        assert_eq!(shape(&walk(&longer)), [('f', n), ('b', n + 500), ('f', n)]);
    }

    #[test]
    fn a_cut_at_any_byte_keeps_the_whole_frames_before_it() {
        let (bytes, n) = three_frames();
        for cut in 0..bytes.len() {
            let (whole, rest) = (cut as u64 / n, cut as u64 % n);
            let mut expected = vec![('f', n); whole as usize];
            if rest > 0 {
                expected.push(('t', rest));
            }
            assert_eq!(shape(&walk(&bytes[..cut])), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_far_behind_damage_is_found_also_across_windows() {
        let (bytes, n) = three_frames();
        for gap in [WINDOW_BYTES - 30, WINDOW_BYTES - 5, WINDOW_BYTES, 3 * WINDOW_BYTES + 7] {
            let mut with_gap = MARKER.repeat(gap / 4 + 1);
            with_gap.truncate(gap);
            with_gap.extend_from_slice(&bytes);
            assert_eq!(shape(&walk(&with_gap)), [('b', gap as u64), ('f', n), ('f', n), ('f', n)]);
        }
    }
}
