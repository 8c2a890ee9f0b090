//! Frames: the checksummed, self-describing pieces of a capture. Knows headers and codecs, not records. Layout: FORMAT.md.

use std::ops::Range;

use zstd::bulk::Compressor;
use zstd::stream::raw::CParameter;

use super::CaptureError;

/// First bytes of every frame header. 0xFD is in no UTF-8 text.
pub(super) const MARKER: [u8; 4] = *b"\xfdduf";

/// Length of a frame header.
pub(super) const HEADER_BYTES: usize = 28;

/// Most bytes that a payload can have, stored or unpacked. Longer claims are not believed.
pub(super) const MAX_PAYLOAD_BYTES: usize = 16 << 20;

/// Payloads shorter than this are stored as they are.
const MIN_COMPRESSED_BYTES: usize = 64;

const CODEC_NONE: u8 = 0;
const CODEC_ZSTD: u8 = 1;
const ZSTD_LEVEL: i32 = 3;
/// Tables that fit the caches, for the frames of records: as small as with those of the level, at twice the speed.
const SMALL_TABLES: [CParameter; 3] = [CParameter::HashLog(15), CParameter::ChainLog(14), CParameter::MinMatch(6)];

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Descriptions of sessions.
    Sessions,
    /// Pieces of bodies.
    Chunks,
    /// Exchanges.
    Exchanges,
    /// A segment of the index.
    Index,
    /// The end of a finished file.
    End,
    /// Messages inside exchanges.
    Messages,
    /// Something a newer minor version knows.
    Other(u8),
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Sessions => 1,
            Self::Chunks => 2,
            Self::Exchanges => 3,
            Self::Index => 4,
            Self::End => 5,
            Self::Messages => 6,
            Self::Other(code) => code,
        }
    }

    fn of(code: u8) -> Self {
        match code {
            1 => Self::Sessions,
            2 => Self::Chunks,
            3 => Self::Exchanges,
            4 => Self::Index,
            5 => Self::End,
            6 => Self::Messages,
            other => Self::Other(other),
        }
    }

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Chunks => "body chunks",
            Self::Exchanges => "exchanges",
            Self::Index => "index",
            Self::End => "end",
            Self::Messages => "messages",
            Self::Other(_) => "something newer",
        }
    }
}

/// A frame header whose own checksum holds and whose lengths are plausible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// What it holds.
    pub(super) kind: Kind,
    /// Number of records in it.
    pub(super) records: u32,
    /// Length of the payload in the file.
    pub(super) stored: u32,
    codec: u8,
    plain: u32,
    frame_crc: u32,
    header_crc: u32,
}

impl FrameHeader {
    /// Reads a header at the start of `bytes`; none when there is no sound one.
    pub(super) fn parse(bytes: &[u8], seed: u32) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let header = Self {
            kind: Kind::of(bytes[4]),
            codec: bytes[5],
            records: u32_at(8),
            stored: u32_at(12),
            plain: u32_at(16),
            header_crc: u32_at(20),
            frame_crc: u32_at(24),
        };
        let plausible = header.stored as usize <= MAX_PAYLOAD_BYTES && header.plain as usize <= MAX_PAYLOAD_BYTES;
        let sound = bytes[..4] == MARKER && plausible && crc32c::crc32c_append(seed, &bytes[..20]) == header.header_crc;
        sound.then_some(header)
    }

    /// Length of header and payload in the file.
    pub(super) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.stored)
    }

    /// Whether the payload is the one that was written.
    pub(super) fn holds(&self, stored: &[u8]) -> bool {
        stored.len() == self.stored as usize && crc32c::crc32c_append(self.header_crc, stored) == self.frame_crc
    }

    /// The payload unpacked; none when the codec is unknown.
    ///
    /// # Errors
    /// `Record` when the payload is not what the header says.
    pub(super) fn unpack(&self, stored: Vec<u8>) -> Result<Option<Vec<u8>>, CaptureError> {
        let plain = match self.codec {
            CODEC_NONE => stored,
            CODEC_ZSTD => zstd::bulk::decompress(&stored, self.plain as usize).map_err(|_| CaptureError::Record)?,
            _ => return Ok(None),
        };
        if plain.len() == self.plain as usize { Ok(Some(plain)) } else { Err(CaptureError::Record) }
    }
}

/// Makes frames; holds the compressors.
pub(super) struct Sealer {
    seed: u32,
    of_chunks: Option<Compressor<'static>>,
    of_records: Option<Compressor<'static>>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Sealer {
    /// A sealer for the file whose header has the checksum `seed`.
    pub(super) fn new(seed: u32, compress: bool) -> Self {
        let compressor = |parameters: &[CParameter]| {
            let mut compressor = Compressor::new(ZSTD_LEVEL).ok().filter(|_| compress)?;
            parameters.iter().try_for_each(|parameter| compressor.set_parameter(*parameter)).ok()?;
            Some(compressor)
        };
        Self { seed, of_chunks: compressor(&[]), of_records: compressor(&SMALL_TABLES) }
    }

    /// A whole frame, ready for the file.
    pub(super) fn seal(&mut self, kind: Kind, records: usize, plain: &[u8]) -> Vec<u8> {
        let compressor = if kind == Kind::Chunks { &mut self.of_chunks } else { &mut self.of_records };
        let packed = match compressor {
            Some(compressor) if plain.len() >= MIN_COMPRESSED_BYTES => {
                compressor.compress(plain).ok().filter(|packed| packed.len() < plain.len())
            }
            _ => None,
        };
        let (codec, stored) = packed.as_deref().map_or((CODEC_NONE, plain), |packed| (CODEC_ZSTD, packed));
        let narrow = |n: usize| u32::try_from(n).expect("batches are bounded far below 4 GiB");
        let mut frame = Vec::with_capacity(HEADER_BYTES + stored.len());
        frame.extend_from_slice(&MARKER);
        frame.extend_from_slice(&[kind.code(), codec, 0, 0]);
        frame.extend_from_slice(&narrow(records).to_le_bytes());
        frame.extend_from_slice(&narrow(stored.len()).to_le_bytes());
        frame.extend_from_slice(&narrow(plain.len()).to_le_bytes());
        let header_crc = crc32c::crc32c_append(self.seed, &frame);
        frame.extend_from_slice(&header_crc.to_le_bytes());
        frame.extend_from_slice(&crc32c::crc32c_append(header_crc, stored).to_le_bytes());
        frame.extend_from_slice(stored);
        frame
    }
}

/// The places of length-prefixed records in an unpacked payload.
///
/// # Errors
/// `Record` when the lengths do not add up.
pub(super) fn records(plain: &[u8], count: u32) -> Result<Vec<Range<usize>>, CaptureError> {
    let mut places = Vec::with_capacity((count as usize).min(plain.len() / 4));
    let mut at = 0_usize;
    for _ in 0..count {
        let len = plain.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(CaptureError::Record)?;
        let start = at + 4;
        let end = start.checked_add(u32::from_le_bytes(*len) as usize).ok_or(CaptureError::Record)?;
        if end > plain.len() {
            return Err(CaptureError::Record);
        }
        places.push(start..end);
        at = end;
    }
    if at == plain.len() { Ok(places) } else { Err(CaptureError::Record) }
}

/// Appends one length-prefixed record to a payload.
pub(super) fn push_record(payload: &mut Vec<u8>, record: &[u8]) {
    let len = u32::try_from(record.len()).expect("records are bounded far below 4 GiB");
    payload.extend_from_slice(&len.to_le_bytes());
    payload.extend_from_slice(record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_was_sealed_with_and_without_compression() {
        for (compress, plain) in [(true, vec![7; 5_000]), (true, vec![1, 2, 3]), (false, vec![7; 5_000])] {
            let frame = Sealer::new(9, compress).seal(Kind::Chunks, 3, &plain);
            let header = FrameHeader::parse(&frame, 9).unwrap();
            assert_eq!((header.kind, header.records), (Kind::Chunks, 3));
            assert_eq!(header.frame_bytes(), frame.len() as u64);
            let stored = frame[HEADER_BYTES..].to_vec();
            assert!(header.holds(&stored));
            assert_eq!(header.unpack(stored).unwrap(), Some(plain));
        }
    }

    #[test]
    fn a_frame_of_another_file_is_not_taken_for_one_of_ours() {
        let frame = Sealer::new(1, false).seal(Kind::Chunks, 1, b"x");
        assert!(FrameHeader::parse(&frame, 1).is_some());
        assert!(FrameHeader::parse(&frame, 2).is_none());
    }

    #[test]
    fn every_flipped_byte_of_a_frame_is_noticed() {
        let frame = Sealer::new(3, true).seal(Kind::Exchanges, 1, &[5; 300]);
        for at in 0..frame.len() {
            let mut bad = frame.clone();
            bad[at] ^= 0x41;
            let noticed = FrameHeader::parse(&bad, 3).is_none_or(|h| !h.holds(&bad[HEADER_BYTES..]));
            assert!(noticed, "byte {at}");
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked_beyond_what_its_header_says() {
        let bomb = zstd::bulk::compress(&vec![0; 4 << 20], 3).unwrap();
        let header = FrameHeader {
            kind: Kind::Chunks,
            records: 1,
            stored: u32::try_from(bomb.len()).unwrap(),
            codec: CODEC_ZSTD,
            plain: 1_000,
            frame_crc: 0,
            header_crc: 0,
        };
        assert!(header.unpack(bomb).is_err());
    }

    #[test]
    fn records_whose_lengths_lie_are_refused() {
        let mut payload = Vec::new();
        push_record(&mut payload, b"ab");
        push_record(&mut payload, b"");
        assert_eq!(records(&payload, 2).unwrap(), [4..6, 10..10]);
        assert!(records(&payload, 1).is_err());
        assert!(records(&payload, 3).is_err());
        assert!(records(&[255; 4], 1).is_err());
        assert!(records(&[], u32::MAX).is_err());
    }
}
