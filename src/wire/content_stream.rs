//! Undoes a content coding while the body is still coming, so that endless responses can be cut into events.
//!
//! What an encoder flushed is given as soon as it is there. Work and output are bounded by what came in.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Operation};

/// Room for output, in bytes.
const STEP_BYTES: usize = 16 * 1024;
/// Output that is always allowed, and what is allowed for each byte of input besides.
const FREE_BYTES: u64 = 4 * 1024 * 1024;
const RATIO: u64 = 256;
/// Largest zstd window, as a power of two: 8 MiB, what RFC 9659 allows in HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Why a coded body cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentStreamError {
    /// The bytes are not what the coding says.
    #[error("damaged {0} body")]
    Damaged(&'static str),
    /// It grows far more than text that anyone sends.
    #[error("{0} body decodes to over {RATIO} times its length")]
    Bomb(&'static str),
}

/// Decodes one body.
#[derive(Debug)]
pub struct Decoder {
    engine: Engine,
    /// Bytes in and out so far.
    read: u64,
    written: u64,
    failed: Option<ContentStreamError>,
}

impl Decoder {
    /// For a `Content-Encoding` value: `gzip`, `x-gzip`, `deflate` (zlib or raw), `br`, `zstd`, `identity` or nothing; `None` for
    /// any other and for lists of several.
    pub fn new(coding: &str) -> Option<Self> {
        let is_named = |name: &&str| !name.is_empty() && !name.eq_ignore_ascii_case("identity");
        let mut names = coding.split(',').map(str::trim_ascii).filter(is_named);
        let engine = match (names.next(), names.next()) {
            (None, _) => Engine::Identity,
            (Some(name), None) => Engine::by_name(&name.to_ascii_lowercase())?,
            _ => return None,
        };
        Some(Self { engine, read: 0, written: 0, failed: None })
    }

    /// Takes the next bytes of the body; gives all that they decode to. Bytes behind the end of a body are passed over.
    ///
    /// # Errors
    /// When they are damaged or decode to far too much; ever after the same. What was given before is good.
    pub fn push(&mut self, input: &[u8], out: &mut dyn FnMut(&[u8])) -> Result<(), ContentStreamError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.decode(input, out).inspect_err(|error| self.failed = Some(*error)),
        }
    }

    fn decode(&mut self, input: &[u8], out: &mut dyn FnMut(&[u8])) -> Result<(), ContentStreamError> {
        if matches!(self.engine, Engine::Identity) {
            if !input.is_empty() {
                out(input);
            }
            return Ok(());
        }
        let mut room = [0; STEP_BYTES];
        let mut rest = input;
        loop {
            let (read, written) = self.engine.step(rest, &mut room)?;
            rest = rest.get(read..).unwrap_or_default();
            self.read = self.read.saturating_add(read as u64);
            self.written = self.written.saturating_add(written as u64);
            if self.written > self.read.saturating_mul(RATIO).saturating_add(FREE_BYTES) {
                return Err(ContentStreamError::Bomb(self.engine.name()));
            }
            if written > 0 {
                out(room.get(..written).unwrap_or_default());
            }
            if read == 0 && written == 0 {
                return Ok(());
            }
        }
    }
}

/// The decoder of one coding.
enum Engine {
    Identity,
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(Box<zstd::stream::raw::Decoder<'static>>),
}

impl Engine {
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip(Gzip::Header(Header::default()))),
            "deflate" => Some(Self::Deflate(Deflate::Unknown)),
            "br" => {
                let alloc = StandardAlloc::default;
                Some(Self::Brotli(Box::new(BrotliState::new(alloc(), alloc(), alloc()))))
            }
            "zstd" => {
                let mut decoder = zstd::stream::raw::Decoder::new().ok()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).ok()?;
                Some(Self::Zstd(Box::new(decoder)))
            }
            _ => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip(_) => "gzip",
            Self::Deflate(_) => "deflate",
            Self::Brotli(_) => "br",
            Self::Zstd(_) => "zstd",
        }
    }

    /// Decodes some of `input` into `room`; returns how much was read and written. Nothing of both when there is no more to do.
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<(usize, usize), ContentStreamError> {
        let name = self.name();
        let step = match self {
            Self::Identity => Some((0, 0)),
            Self::Gzip(gzip) => gzip.step(input, room),
            Self::Deflate(deflate) => deflate.step(input, room),
            Self::Brotli(state) => unbrotli(state, input, room),
            Self::Zstd(decoder) => {
                // Without input a decoder that stands between two frames has nothing to give.
                let done = decoder.run_on_buffers(input, room).ok();
                done.map(|status| (status.bytes_read, status.bytes_written))
            }
        };
        step.ok_or(ContentStreamError::Damaged(name))
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// gzip members one after the other (RFC 1952). Check sums are not checked: events are shown before they are known.
enum Gzip {
    Header(Header),
    Body(Decompress),
    /// So many bytes of check sum and length follow.
    Trailer(usize),
    /// Something else follows the last member.
    Over,
}

/// How much of a member's header is behind us.
#[derive(Clone, Copy, Default)]
struct Header {
    /// Bytes of the fixed part that were read.
    fixed: usize,
    flags: u8,
    /// Bytes of the extra field that follow; none before its length is known.
    extra: Option<usize>,
    /// Bytes of the extra field's length and of the header's check sum that were read.
    length: (usize, [u8; 2]),
    sum: usize,
    name_read: bool,
    comment_read: bool,
    /// Not the first member: bytes that are no header end the body.
    again: bool,
}

/// What a byte does to a header.
enum Took {
    More,
    Whole,
    /// The byte belongs to what is behind the header.
    WholeBefore,
    Wrong,
}

impl Header {
    fn take(&mut self, byte: u8) -> Took {
        const FIXED_BYTES: usize = 10;
        if self.fixed < FIXED_BYTES {
            let expected = [0x1f, 0x8b, 0x08].get(self.fixed).is_none_or(|expected| *expected == byte);
            if self.fixed == 3 {
                self.flags = byte;
            }
            self.fixed += 1;
            let whole = self.fixed == FIXED_BYTES && self.flags & 0b1_1110 == 0;
            return if !expected {
                Took::Wrong
            } else if whole {
                Took::Whole
            } else {
                Took::More
            };
        }
        let has = |bit: u8| self.flags & (1 << bit) != 0;
        if has(2) && self.extra != Some(0) {
            if let Some(left) = &mut self.extra {
                *left -= 1;
            } else {
                self.length.1[self.length.0] = byte;
                self.length.0 += 1;
                if self.length.0 == 2 {
                    self.extra = Some(usize::from(u16::from_le_bytes(self.length.1)));
                }
            }
        } else if has(3) && !self.name_read {
            self.name_read = byte == 0;
        } else if has(4) && !self.comment_read {
            self.comment_read = byte == 0;
        } else if has(1) && self.sum < 2 {
            self.sum += 1;
        } else {
            return Took::WholeBefore;
        }
        Took::More
    }
}

impl Gzip {
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Option<(usize, usize)> {
        match self {
            Self::Header(header) => {
                for (read, byte) in input.iter().enumerate() {
                    match header.take(*byte) {
                        Took::More => continue,
                        Took::Wrong if header.again => *self = Self::Over,
                        Took::Wrong => return None,
                        Took::Whole => {
                            *self = Self::Body(Decompress::new(false));
                            return Some((read + 1, 0));
                        }
                        Took::WholeBefore => {
                            let mut body = Decompress::new(false);
                            let (more, written, _) = inflate(&mut body, &input[read..], room)?;
                            *self = Self::Body(body);
                            return Some((read + more, written));
                        }
                    }
                    return Some((input.len(), 0));
                }
                Some((input.len(), 0))
            }
            Self::Body(body) => {
                let (read, written, ended) = inflate(body, input, room)?;
                if ended {
                    *self = Self::Trailer(8);
                }
                if ended && read == 0 && written == 0 { self.step(input, room) } else { Some((read, written)) }
            }
            Self::Trailer(left) => {
                let read = (*left).min(input.len());
                *left -= read;
                if *left == 0 {
                    *self = Self::Header(Header { again: true, ..Header::default() });
                }
                Some((read, 0))
            }
            Self::Over => Some((input.len(), 0)),
        }
    }
}

/// deflate with the zlib wrapping that RFC 9110 §8.4.1.2 asks for, or without, as some servers send it.
enum Deflate {
    /// Nothing was read.
    Unknown,
    /// One byte was read that may begin either.
    First(u8),
    Body(Decompress),
    Over,
}

impl Deflate {
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Option<(usize, usize)> {
        let Some(&next) = input.first() else {
            return match self {
                Self::Body(body) => inflate(body, input, room).map(|(read, written, _)| (read, written)),
                _ => Some((0, 0)),
            };
        };
        match self {
            // A raw stream begins with a stored block at most where its padding is not empty: nobody writes that.
            Self::Unknown if next & 0x0f == 8 && next >> 4 <= 7 => {
                *self = Self::First(next);
                Some((1, 0))
            }
            Self::Unknown => {
                *self = Self::Body(Decompress::new(false));
                self.step(input, room)
            }
            Self::First(first) => {
                let first = *first;
                let zlib = (u16::from(first) << 8 | u16::from(next)) % 31 == 0;
                let mut body = Decompress::new(zlib);
                let (_, written, _) = inflate(&mut body, &[first], room)?;
                *self = Self::Body(body);
                if written > 0 {
                    return Some((0, written));
                }
                self.step(input, room)
            }
            Self::Body(body) => {
                let (read, written, ended) = inflate(body, input, room)?;
                if ended {
                    *self = Self::Over;
                }
                if ended && read == 0 && written == 0 { self.step(input, room) } else { Some((read, written)) }
            }
            Self::Over => Some((input.len(), 0)),
        }
    }
}

/// One step of inflating: bytes read, bytes written, whether the stream has ended. `None` when it is damaged.
fn inflate(stream: &mut Decompress, input: &[u8], room: &mut [u8]) -> Option<(usize, usize, bool)> {
    let (read, written) = (stream.total_in(), stream.total_out());
    let status = stream.decompress(input, room, FlushDecompress::None).ok()?;
    let read = usize::try_from(stream.total_in() - read).ok()?;
    let written = usize::try_from(stream.total_out() - written).ok()?;
    Some((read, written, status == Status::StreamEnd))
}

fn unbrotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    input: &[u8],
    room: &mut [u8],
) -> Option<(usize, usize)> {
    let (mut input_left, mut read) = (input.len(), 0);
    let (mut room_left, mut written, mut total) = (room.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut input_left,
        &mut read,
        input,
        &mut room_left,
        &mut written,
        room,
        &mut total,
        state,
    );
    match result {
        BrotliResult::ResultFailure => None,
        BrotliResult::ResultSuccess if written == 0 => Some((input.len(), 0)),
        _ => Some((read, written)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const EVENTS: [&str; 3] = ["data: one\n\n", "data: two\n\n", ": ping\n\n"];
    /// [`EVENTS`] as the brotli of Node.js has them, each flushed, and the end of the stream.
    const BROTLI: [&[u8]; 4] = [
        &[0x0b, 0x05, 0x80, 0x64, 0x61, 0x74, 0x61, 0x3a, 0x20, 0x6f, 0x6e, 0x65, 0x0a, 0x0a],
        &[0x50, 0x00, 0x80, 0x5f, 0x5a, 0xe1, 0x8d, 0xee, 0x4e, 0x11, 0xa2, 0x4a, 0x04, 0x60, 0x0b],
        &[0x38, 0x00, 0x08, 0x3a, 0x20, 0x70, 0x69, 0x6e, 0x67, 0x0a, 0x0a],
        &[0x03],
    ];
    /// 20 million zeros as the brotli of Node.js has them.
    const BROTLI_BOMB: &[u8] = &[
        0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x8f, 0xff, 0xff, 0x7f, 0xf0,
        0x4f, 0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x5f, 0xfe, 0xb3, 0xc4, 0xe0, 0x9f, 0x00, 0x88, 0xc3, 0x02,
        0x00, 0x5d, 0x92, 0x18,
    ];

    /// What each of [`EVENTS`] becomes, flushed one after the other, and the end.
    fn flushed<W: Write>(mut encoder: W, sent: fn(&W) -> &Vec<u8>, finish: fn(W) -> Vec<u8>) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let mut before = 0;
        for event in EVENTS {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            parts.push(sent(&encoder)[before..].to_vec());
            before = sent(&encoder).len();
        }
        parts.push(finish(encoder)[before..].to_vec());
        parts
    }

    fn codings() -> Vec<(&'static str, Vec<Vec<u8>>)> {
        let level = Compression::default();
        let gzip = flushed(GzEncoder::new(Vec::new(), level), |e| e.get_ref(), |e| e.finish().unwrap());
        let zlib = flushed(ZlibEncoder::new(Vec::new(), level), |e| e.get_ref(), |e| e.finish().unwrap());
        let raw = flushed(DeflateEncoder::new(Vec::new(), level), |e| e.get_ref(), |e| e.finish().unwrap());
        let zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        let zstd = flushed(zstd, |e| e.get_ref(), |e| e.finish().unwrap());
        let plain = EVENTS.iter().map(|event| event.as_bytes().to_vec()).collect();
        let brotli = BROTLI.iter().map(|part| part.to_vec()).collect();
        vec![("gzip", gzip), ("deflate", zlib), ("deflate", raw), ("zstd", zstd), ("br", brotli), ("identity", plain)]
    }

    fn decode(coding: &str, pieces: &[&[u8]]) -> (Vec<u8>, Result<(), ContentStreamError>) {
        let mut decoder = Decoder::new(coding).unwrap();
        let mut all = Vec::new();
        for piece in pieces {
            if let Err(error) = decoder.push(piece, &mut |bytes| all.extend_from_slice(bytes)) {
                return (all, Err(error));
            }
        }
        (all, Ok(()))
    }

    #[test]
    fn what_was_flushed_is_given_at_once() {
        for (coding, parts) in codings() {
            let mut decoder = Decoder::new(coding).unwrap();
            for (part, event) in parts.iter().zip(EVENTS) {
                let mut got = Vec::new();
                decoder.push(part, &mut |bytes| got.extend_from_slice(bytes)).unwrap();
                assert_eq!(String::from_utf8(got).unwrap(), event, "{coding}");
            }
        }
    }

    #[test]
    fn bodies_are_decoded_wherever_the_input_is_cut() {
        let expected = EVENTS.concat().into_bytes();
        for (coding, parts) in codings() {
            let body = parts.concat();
            for cut in 0..=body.len() {
                let (got, result) = decode(coding, &[&body[..cut], &body[cut..]]);
                assert_eq!((got, result), (expected.clone(), Ok(())), "{coding} cut at {cut}");
            }
            let single: Vec<&[u8]> = body.chunks(1).collect();
            assert_eq!(decode(coding, &single), (expected.clone(), Ok(())), "{coding}");
        }
    }

    #[test]
    fn every_kind_of_gzip_header_is_read_and_members_follow_each_other() {
        let member = |fields: &dyn Fn(flate2::GzBuilder) -> flate2::GzBuilder, text: &[u8]| {
            let mut encoder = fields(flate2::GzBuilder::new()).write(Vec::new(), Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let mut summed = member(&|b| b, b"e");
        summed[3] |= 0b10;
        summed.splice(10..10, [0xab, 0xcd]);
        let members = [
            member(&|b| b.extra(vec![1, 0, 2]).filename("n").comment("c"), b"a"),
            member(&|b| b.filename("name"), b"b"),
            member(&|b| b.comment("no name"), b"c"),
            member(&|b| b.extra(Vec::new()), b"d"),
            summed,
            member(&|b| b, b""),
            b"something else\x1f\x8b".to_vec(),
        ];
        let body = members.concat();
        for cut in 0..body.len() {
            assert_eq!(decode("x-gzip", &[&body[..cut], &body[cut..]]), (b"abcde".to_vec(), Ok(())), "cut at {cut}");
        }
    }

    #[test]
    fn codings_that_are_not_known_have_no_decoder() {
        for coding in ["compress", "gzip, br", "zstd, zstd"] {
            assert!(Decoder::new(coding).is_none(), "{coding}");
        }
        for coding in ["", "identity", "GZIP", " gzip ", "identity, br", "gzip,"] {
            assert!(Decoder::new(coding).is_some(), "{coding}");
        }
    }

    #[test]
    fn a_large_body_comes_out_whole() {
        let line = "event: tick\ndata: {\"value\": 1}\n\n".repeat(20_000).into_bytes();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&line).unwrap();
        let gzip = encoder.finish().unwrap();
        assert_eq!(decode("gzip", &[&gzip]), (line.clone(), Ok(())));
        let zstd = zstd::stream::encode_all(line.as_slice(), 1).unwrap();
        let zstd = [zstd.clone(), zstd].concat();
        assert_eq!(decode("zstd", &[&zstd]), (line.repeat(2), Ok(())), "two frames");
    }

    #[test]
    fn a_bomb_is_refused_and_so_is_all_that_follows() {
        let zeros = vec![0; 50_000_000];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&zeros).unwrap();
        let zstd = zstd::stream::encode_all(zeros.as_slice(), 1).unwrap();
        for (coding, bytes) in [("gzip", gzip.finish().unwrap()), ("br", BROTLI_BOMB.to_vec()), ("zstd", zstd)] {
            let mut decoder = Decoder::new(coding).unwrap();
            let mut length = 0u64;
            let mut out = |bytes: &[u8]| length += bytes.len() as u64;
            let error = decoder.push(&bytes, &mut out).unwrap_err();
            assert!(matches!(error, ContentStreamError::Bomb(_)), "{coding}");
            assert_eq!(decoder.push(b"x", &mut out), Err(error), "{coding}");
            assert!(length <= FREE_BYTES + RATIO * bytes.len() as u64 + STEP_BYTES as u64, "{coding}");
        }
    }

    #[test]
    fn mutated_bodies_end_in_bytes_or_an_error() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        let codings = codings();
        for round in 0..4000 {
            let (coding, parts) = &codings[round % codings.len()];
            let mut bytes = parts.concat();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            let cut = random(bytes.len());
            let (got, _) = decode(coding, &[&bytes[..cut], &bytes[cut..]]);
            assert!(got.len() as u64 <= FREE_BYTES + RATIO * bytes.len() as u64);
        }
    }
}
