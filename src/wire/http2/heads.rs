//! Header blocks of one side: HEADERS and PUSH_PROMISE with their CONTINUATION frames (RFC 9113 §4.3, §6.2, §6.6, §6.10).

use super::frame::{END_HEADERS, END_STREAM, Header, Kind, PADDED, PRIORITY, stream_at};
use super::hpack::{Decoder, Extent};
use super::{Event, Field};
use crate::model::Side;

/// Longest header block that is decoded; of longer ones, so much.
pub(super) const BLOCK_BYTES: usize = 1024 * 1024;

/// What a block is the block of.
#[derive(Clone, Copy, Debug)]
enum Opening {
    Head { stream: u32, end: bool },
    Promise { stream: u32, promised: u32 },
}

impl Opening {
    fn stream(self) -> u32 {
        match self {
            Self::Head { stream, .. } | Self::Promise { stream, .. } => stream,
        }
    }
}

/// A block that goes on in CONTINUATION frames.
#[derive(Debug)]
struct Block {
    opening: Opening,
    bytes: Vec<u8>,
    extent: Extent,
}

#[derive(Debug)]
pub(super) struct Heads {
    side: Side,
    decoder: Decoder,
    open: Option<Block>,
}

impl Heads {
    pub(super) fn new(side: Side, decoder: Decoder) -> Self {
        Self { side, decoder, open: None }
    }

    /// Whether a header block is under way: nothing but its continuation may follow.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A frame that carries fields; `payload` is its beginning when `extent` says so. `limit` is the largest table allowed.
    pub(super) fn frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        extent: Extent,
        limit: Option<u32>,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        let continued = header.kind == Kind::Continuation;
        if continued != self.is_open() || self.open.as_ref().is_some_and(|b| b.opening.stream() != header.stream) {
            self.interrupted(limit, out);
            if continued {
                return self.broken(header.length, out);
            }
        }
        let Some(Fragment { opening, bytes: fragment, extent }) = fragment(header, payload, extent) else {
            return self.broken(header.length, out);
        };
        let last = header.has(END_HEADERS);
        let block = match (opening, self.open.take()) {
            (Some(opening), _) if last => return self.close(opening, fragment, extent, limit, out),
            (Some(opening), _) => Block { opening, bytes: Vec::new(), extent: Extent::Whole },
            (None, Some(block)) => block,
            (None, None) => return self.broken(header.length, out),
        };
        let block = grown(block, fragment, extent);
        if last {
            self.close(block.opening, &block.bytes, block.extent, limit, out);
        } else {
            self.open = Some(block);
        }
    }

    /// Nothing more comes of the block that is under way, if there is one.
    pub(super) fn interrupted(&mut self, limit: Option<u32>, out: &mut dyn FnMut(Event<'_>)) {
        if let Some(block) = self.open.take() {
            self.close(block.opening, &block.bytes, Extent::Cut, limit, out);
        }
    }

    /// Blocks were lost.
    pub(super) fn lost(&mut self) {
        self.decoder.lost();
    }

    fn broken(&mut self, bytes: u32, out: &mut dyn FnMut(Event<'_>)) {
        self.decoder.lost();
        out(Event::Lost { side: self.side, bytes: bytes.into() });
    }

    fn close(
        &mut self,
        opening: Opening,
        block: &[u8],
        extent: Extent,
        limit: Option<u32>,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        let Ok(mut fields) = self.decoder.decode(block, extent, limit) else {
            return self.broken(u32::try_from(block.len()).unwrap_or(u32::MAX), out);
        };
        if extent == Extent::Cut {
            self.decoder.lost();
            fields.push(Field::UNKNOWN);
        }
        out(match opening {
            Opening::Head { stream, end } => Event::Head { side: self.side, stream, fields, end },
            Opening::Promise { stream, promised } => Event::Promise { stream, promised, fields },
        });
    }
}

/// Adds to a block what is within its bound; behind a cut, nothing can be read any more.
fn grown(mut block: Block, fragment: &[u8], extent: Extent) -> Block {
    if block.extent == Extent::Whole {
        let taken = fragment.len().min(BLOCK_BYTES - block.bytes.len());
        block.bytes.extend_from_slice(&fragment[..taken]);
        block.extent = if taken < fragment.len() { Extent::Cut } else { extent };
    }
    block
}

/// A frame's piece of a block.
struct Fragment<'a> {
    /// What the frame opens; None when it continues.
    opening: Option<Opening>,
    bytes: &'a [u8],
    extent: Extent,
}

/// The piece as far as it is in `payload`. None when the frame is malformed, or is cut before it can be told what it opens.
fn fragment<'a>(header: &Header, payload: &'a [u8], extent: Extent) -> Option<Fragment<'a>> {
    let mut rest = payload;
    let mut length = header.length as usize;
    let mut skip = |rest: &mut &'a [u8], bytes: usize| {
        length = length.checked_sub(bytes)?;
        let cut = bytes > rest.len() && extent == Extent::Cut;
        let (skipped, behind) = rest.split_at_checked(if cut { rest.len() } else { bytes })?;
        *rest = behind;
        Some(skipped)
    };
    let mut padding = 0;
    if header.has(PADDED) && header.kind != Kind::Continuation {
        padding = usize::from(skip(&mut rest, 1)?.first().copied().unwrap_or(0));
    }
    let stream = header.stream;
    let opening = match header.kind {
        Kind::Headers => {
            if header.has(PRIORITY) {
                skip(&mut rest, 5)?;
            }
            Some(Opening::Head { stream, end: header.has(END_STREAM) })
        }
        Kind::Promise => Some(Opening::Promise { stream, promised: stream_at(skip(&mut rest, 4)?)? }),
        _ => None,
    };
    let length = length.checked_sub(padding)?;
    let there = length.min(rest.len()).min(BLOCK_BYTES);
    let extent = if there < length { Extent::Cut } else { Extent::Whole };
    Some(Fragment { opening, bytes: &rest[..there], extent })
}
