//! Finds frames where it is not known that one begins: after a gap, or when a connection is joined in the middle.
//!
//! A place is taken for a frame header when what stands there is more than chance can give, and plausible headers follow
//! where its length says. Evidence is counted in bits: how many random bits would have to be right. That of the headers
//! behind does not count: where frames are short, many a wrong place leads to a right one. Headers are mostly zeros, so
//! zeros are worth little where bodies are full of them too.

use super::frame::{DEFAULT_FRAME, END_HEADERS, HEADER_BYTES, Header, Kind, PADDED, PREFACE, PRIORITY, number_at};
use super::hpack::{Decoder, Extent};
use crate::model::Side;

/// Bytes that are looked ahead at most to decide on a place.
const WINDOW_BYTES: usize = 64 * 1024;
/// Places that are kept in doubt at most; of more, the latest.
const DOUBTFUL: usize = 16;
/// Frames of a chain that are looked at at most.
const CHAIN: usize = 8;
/// Evidence without which nothing is taken for a frame; evidence that needs but one frame behind it, with names of fields
/// to it; and evidence that needs none, when the frame ends where the bytes seen so far end.
const LEAST_BITS: u32 = 44;
const FIELDS_BITS: u32 = 62;
const LONE_BITS: u32 = 72;
/// Streams of frames that follow each other are this close, mostly; what that is worth.
const NEAR: u32 = 64;
const NEAR_BITS: u32 = 24;
/// Bytes of a header block that are tried.
const TRIED_BYTES: usize = 256;
/// Bytes of header blocks that are tried for each byte that is searched, and at first: enough for frames, too little for
/// bytes that look like a header block wherever one looks.
const TRIED_PER_BYTE: usize = 4;
const TRIED_AT_FIRST: usize = 16 * 1024;
/// Bytes without a frame after which [`looks_like_frames`] says no.
const DOUBT_BYTES: usize = 32 * 1024;

/// What is known of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clues {
    /// Who sent the bytes; None when not even that is known.
    pub(super) side: Option<Side>,
    pub(super) longest: u32,
    /// Highest stream that the client has opened.
    pub(super) reach: Option<u32>,
    /// Highest stream that the server has promised; 0 for none.
    pub(super) pushed: u32,
    /// Frames were found before: a preface cannot come any more.
    pub(super) framed: bool,
}

/// What a search found, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Frame(usize),
    Preface(usize),
    /// Nothing before here; more bytes are needed to go on.
    Pending(usize),
}

enum Verdict {
    Frame,
    No,
    More,
}

/// Whether this is the client's preface; None: more bytes needed.
pub fn looks_like_preface(bytes: &[u8]) -> Option<bool> {
    if bytes.starts_with(PREFACE) {
        Some(true)
    } else if PREFACE.starts_with(bytes) {
        None
    } else {
        Some(false)
    }
}

/// Whether there are HTTP/2 frames in what one side sent in the middle of a connection, wherever the first may begin; None:
/// more bytes needed.
pub fn looks_like_frames(bytes: &[u8]) -> Option<bool> {
    let clues = Clues { side: None, longest: 0xff_ffff, reach: None, pushed: 0, framed: true };
    match Hunt::default().search(bytes, &clues) {
        Search::Frame(_) | Search::Preface(_) => Some(true),
        Search::Pending(_) if bytes.len() < DOUBT_BYTES => None,
        Search::Pending(_) => Some(false),
    }
}

/// A search that goes on as bytes come.
#[derive(Debug)]
pub(super) struct Hunt {
    /// Places that more bytes will decide on, in order.
    doubtful: Vec<usize>,
    /// Places before this one are decided, but for the doubtful.
    judged: usize,
    /// Bytes of header blocks that may still be tried.
    trials: usize,
}

impl Default for Hunt {
    fn default() -> Self {
        Self { doubtful: Vec::new(), judged: 0, trials: TRIED_AT_FIRST }
    }
}

impl Hunt {
    /// The first place in `bytes` where frames begin. After [`Search::Pending`], the same bytes from the place it names,
    /// and more, must be given.
    pub(super) fn search(&mut self, bytes: &[u8], clues: &Clues) -> Search {
        let end = bytes.len().saturating_sub(HEADER_BYTES - 1).max(self.judged);
        self.trials = (self.trials + (end - self.judged) * TRIED_PER_BYTE).min(TRIED_AT_FIRST.max(bytes.len()));
        let trials = &mut self.trials;
        for at in std::mem::take(&mut self.doubtful).into_iter().chain(self.judged..end) {
            let here = &bytes[at..];
            let verdict = match here[0] {
                b'P' if clues.side == Some(Side::Request) && !clues.framed => match looks_like_preface(here) {
                    Some(true) => return Search::Preface(at),
                    None => Verdict::More,
                    Some(false) => judge(here, clues, trials),
                },
                // All that most bytes ever get to: what should be the type.
                _ if here[3] > 0x10 => Verdict::No,
                _ => judge(here, clues, trials),
            };
            match verdict {
                Verdict::Frame => return Search::Frame(at),
                Verdict::More if here.len() < WINDOW_BYTES => self.doubtful.push(at),
                Verdict::More | Verdict::No => {}
            }
        }
        if self.doubtful.len() > DOUBTFUL {
            self.doubtful.drain(..self.doubtful.len() - DOUBTFUL);
        }
        let kept = self.doubtful.first().copied().unwrap_or(end);
        self.doubtful.iter_mut().for_each(|at| *at -= kept);
        self.judged = end - kept;
        Search::Pending(kept)
    }
}

/// Whether frames begin right here.
fn judge(bytes: &[u8], clues: &Clues, trials: &mut usize) -> Verdict {
    let (mut at, mut number) = (0usize, 0usize);
    let mut first: Option<(Header, u32)> = None;
    let (mut open, mut near, mut zeros) = (None, false, Zeros::default());
    while number < CHAIN
        && let Some(header) = bytes.get(at..).and_then(|b| b.first_chunk()).map(Header::parse)
    {
        let behind = &bytes[at + HEADER_BYTES..];
        let payload = &behind[..behind.len().min(header.length as usize)];
        // A header block is not interrupted, and not continued when it is over; the first frame may be in the middle of one.
        let fits = match open {
            Some(stream) => header.kind == Kind::Continuation && header.stream == stream,
            None => header.kind != Kind::Continuation || number == 0,
        };
        if !fits {
            return Verdict::No;
        }
        let evidence = weigh(&header, number > 0, clues);
        let evidence = evidence.and_then(|bits| Some(bits + weigh_payload(&header, payload, trials)?));
        match (evidence, &first) {
            (None, _) => return Verdict::No,
            (Some(bits), None) if bits + stream_bits(&header, clues).unwrap_or(0).max(NEAR_BITS) < LEAST_BITS => {
                return Verdict::No;
            }
            (Some(bits), None) => first = Some((header, bits)),
            (Some(_), Some((first, _))) => near |= header.stream != 0 && header.stream.abs_diff(first.stream) <= NEAR,
        }
        open = (header.kind.has_fields() && !header.has(END_HEADERS)).then_some(header.stream);
        zeros.add(&header, payload);
        at += HEADER_BYTES + header.length as usize;
        number += 1;
    }
    let Some((header, bits)) = first else { return Verdict::More };
    let known = stream_bits(&header, clues).unwrap_or(0);
    let bits = bits + if near { known.max(NEAR_BITS) } else { known };
    let bits = bits.saturating_sub(zeros.discount(&bytes[..HEADER_BYTES]));
    let exact = at == bytes.len();
    let enough = match number {
        1 => exact && bits >= LONE_BITS,
        2 => exact && bits >= LEAST_BITS || header.kind == Kind::Headers && bits >= FIELDS_BITS,
        _ => bits >= LEAST_BITS,
    };
    if enough { Verdict::Frame } else { Verdict::More }
}

/// How common zeros are in the bodies that a chain of frames would have.
#[derive(Default)]
struct Zeros {
    zeros: usize,
    all: usize,
}

impl Zeros {
    fn add(&mut self, header: &Header, payload: &[u8]) {
        if header.kind == Kind::Data || header.kind.has_fields() {
            let sample = &payload[..payload.len().min(TRIED_BYTES)];
            self.zeros += sample.iter().filter(|&&b| b == 0).count();
            self.all += sample.len();
        }
    }

    /// Evidence that the zeros of a header seem to be, and are not. Compressed bodies have 1 in 256: nothing to take off.
    fn discount(&self, header: &[u8]) -> u32 {
        if self.zeros * 16 <= self.all {
            return 0;
        }
        let worth = (self.all / self.zeros).ilog2();
        header.iter().filter(|&&b| b == 0).count() as u32 * (8 - worth)
    }
}

/// Evidence in a header alone, less that in its stream; None when it cannot be one, or is not one that would be looked for.
fn weigh(header: &Header, inside: bool, clues: &Clues) -> Option<u32> {
    use Kind::{AltSvc, Continuation, Data, GoAway, Headers, Origin, Other, Ping, Priority, PriorityUpdate, Promise};
    use Kind::{Reset, Settings, WindowUpdate};
    let sound = |side| header.is_sound(side, clues.longest);
    if header.reserved || !clues.side.map_or_else(|| sound(Side::Response), sound) {
        return None;
    }
    let (flags, length) = match header.kind {
        Data if header.length == 0 && header.flags & 0x1 == 0 => return None,
        Data => (0x9, length_bits(header.length)?),
        Headers => (0x2d, length_bits(header.length)?),
        Continuation => (0x4, length_bits(header.length)?),
        Promise => (0xc, length_bits(header.length)?),
        Settings if header.length > 600 => return None,
        Settings => (0x1, 17),
        GoAway => (0, length_bits(header.length)?),
        Priority | Reset | Ping | WindowUpdate => (u8::from(header.kind == Ping), 24),
        AltSvc | Origin | PriorityUpdate => (0, length_bits(header.length)?),
        // What browsers send so that unknown types stay ignored (draft-bishop-httpbis-grease): neither evidence nor contradiction.
        Other(kind) if inside && kind % 0x1f == 0x0b && header.length <= DEFAULT_FRAME => return Some(0),
        Other(_) => return None,
    };
    if header.flags & !flags != 0 {
        return None;
    }
    stream_bits(header, clues)?;
    Some(8 + 8 - flags.count_ones() + length + 1)
}

fn length_bits(length: u32) -> Option<u32> {
    match length {
        0..=DEFAULT_FRAME => Some(9),
        _ => Some(2),
    }
}

/// Evidence in the number of the stream: it is odd (but for pushed ones), and those in use are few.
fn stream_bits(header: &Header, clues: &Clues) -> Option<u32> {
    let stream = header.stream;
    if stream == 0 {
        return Some(31);
    }
    if stream.is_multiple_of(2) {
        let pushed = clues.side != Some(Side::Request) || !header.kind.has_fields() && header.kind != Kind::Data;
        let expected = clues.pushed;
        return (pushed && expected > 0 && stream < expected.saturating_add(1000))
            .then(|| if stream > expected { 0 } else { expected.leading_zeros() });
    }
    let expected = clues.reach.unwrap_or(stream);
    Some(if stream > expected { 0 } else { expected.leading_zeros() })
}

/// Evidence in what there is of the payload; None when it contradicts the header.
fn weigh_payload(header: &Header, payload: &[u8], trials: &mut usize) -> Option<u32> {
    match header.kind {
        Kind::Reset => Some(number_at(payload).map_or(0, |code| if code <= 0xd { 28 } else { 0 })),
        Kind::WindowUpdate => match number_at(payload) {
            Some(0 | 0x8000_0000..) => None,
            Some(_) => Some(1),
            None => Some(0),
        },
        Kind::Settings => payload.chunks_exact(6).try_fold(0, |bits, setting| match (setting[0], setting[1]) {
            (0, 0) => None,
            (0, 1..=9) => Some(bits + 12),
            _ => Some(bits),
        }),
        Kind::GoAway => Some(payload.get(4..).and_then(number_at).map_or(0, |code| if code <= 0xd { 28 } else { 0 })),
        Kind::Headers => weigh_block(header, payload, trials),
        Kind::Data if header.has(PADDED) => {
            payload.first().is_none_or(|&padding| u32::from(padding) < header.length).then_some(0)
        }
        _ => Some(0),
    }
}

/// Evidence in the beginning of a header block: it must be one, of names and values that can be some.
fn weigh_block(header: &Header, payload: &[u8], trials: &mut usize) -> Option<u32> {
    let padding = if header.has(PADDED) { usize::from(*payload.first().unwrap_or(&0)) } else { 0 };
    let before = usize::from(header.has(PADDED)) + if header.has(PRIORITY) { 5 } else { 0 };
    let length = (header.length as usize).checked_sub(before + padding)?;
    let block = payload.get(before..).unwrap_or(&[]);
    let tried = &block[..block.len().min(length).min(TRIED_BYTES)];
    *trials = trials.checked_sub(tried.len())?;
    let whole = tried.len() == length && header.has(END_HEADERS);
    let extent = if whole { Extent::Whole } else { Extent::Cut };
    let fields = Decoder::midway().decode(tried, extent, None).ok()?;
    let mut bits = 0;
    for field in &fields {
        if let Some(name) = &field.name {
            let bare = name.strip_prefix(b":").unwrap_or(name);
            if bare.is_empty() || !bare.iter().all(|&b| b.is_ascii_graphic() && !b.is_ascii_uppercase() && b != b':') {
                return None;
            }
            bits += 6;
        }
        if field.value.as_ref().is_some_and(|v| v.iter().any(|&b| (b < 0x20 && b != b'\t') || b == 0x7f)) {
            return None;
        }
    }
    Some(bits.min(24))
}

#[cfg(test)]
mod tests {
    use super::super::Frames;
    use super::super::hpack::{Encoder, Strings};
    use super::*;

    #[test]
    fn bytes_that_look_like_header_blocks_wherever_one_looks_cost_little_and_hide_nothing_for_long() {
        let clues = Clues { side: None, longest: 0xff_ffff, reach: None, pushed: 0, framed: true };
        let mut hunt = Hunt::default();
        // HEADERS frames of one-byte fields with impossible names, from any fifth byte.
        let noise = b"\0\x01\x01\x01\x01".repeat(100_000);
        let (mut held, mut tried) = (Vec::new(), 0);
        for piece in noise.chunks(900) {
            held.extend_from_slice(piece);
            let before = hunt.trials + piece.len() * TRIED_PER_BYTE;
            let Search::Pending(kept) = hunt.search(&held, &clues) else { panic!("noise is taken for frames") };
            tried += before.saturating_sub(hunt.trials);
            held.drain(..kept);
        }
        assert!(tried <= noise.len() * TRIED_PER_BYTE + TRIED_AT_FIRST + held.len(), "{tried}");
        let mut frames = Frames::new();
        let block = Encoder::new(Strings::Plain).block(&[(b":status", b"200"), (b"server", b"x"), (b"date", b"today")]);
        for stream in [1, 3, 5, 7, 9, 11, 13] {
            frames.headers(stream, &block, false).data(stream, b"some text", true);
        }
        held.extend_from_slice(&frames.bytes);
        assert!(matches!(hunt.search(&held, &clues), Search::Frame(_)));
    }
}
