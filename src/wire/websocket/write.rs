//! Writes frames, and messages as an endpoint would, compressed if so agreed.

use flate2::{Compress, Compression, FlushCompress};

use crate::model::{MessageKind, Side};

use super::Deflate;
use super::frame::mask;

/// One frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Nothing of the message follows.
    pub fin: bool,
    /// The message is compressed; set in its first frame alone.
    pub compressed: bool,
    /// `None` for a continuation.
    pub kind: Option<MessageKind>,
    /// Masking key: clients always have one.
    pub mask: Option<[u8; 4]>,
    /// Before masking.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Appends the frame. A kind that WebSocket does not have is written as binary.
    pub fn write(&self, out: &mut Vec<u8>) {
        let opcode = match self.kind {
            None => 0,
            Some(MessageKind::Text) => 1,
            Some(MessageKind::Close) => 8,
            Some(MessageKind::Ping) => 9,
            Some(MessageKind::Pong) => 10,
            Some(MessageKind::Binary | MessageKind::Event | MessageKind::Grpc | MessageKind::Bytes) => 2,
        };
        out.push(opcode | if self.fin { 0x80 } else { 0 } | if self.compressed { 0x40 } else { 0 });
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match (u8::try_from(self.payload.len()), u16::try_from(self.payload.len())) {
            (Ok(len @ 0..=125), _) => out.push(masked | len),
            (_, Ok(len)) => {
                out.push(masked | 126);
                out.extend_from_slice(&len.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&(self.payload.len() as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(self.mask.as_ref().map_or(&[][..], |key| key));
        let start = out.len();
        out.extend_from_slice(self.payload);
        if let Some(key) = self.mask {
            mask(&mut out[start..], key, 0);
        }
    }
}

/// Writes the messages of one direction.
#[derive(Debug)]
pub struct Writer {
    deflate: Option<Deflater>,
    /// Longest payload of a frame, in bytes.
    frame_bytes: usize,
}

impl Writer {
    /// Compresses data messages when `deflate` is set.
    pub fn new(from: Side, deflate: Option<Deflate>) -> Self {
        let deflate = deflate.map(|agreed| match from {
            Side::Request => Deflater::new(agreed.client_no_context_takeover, agreed.client_max_window_bits),
            Side::Response => Deflater::new(agreed.server_no_context_takeover, agreed.server_max_window_bits),
        });
        Self { deflate, frame_bytes: usize::MAX }
    }

    /// The same, and data messages go out in frames of at most `bytes` (at least 1).
    #[must_use]
    pub fn with_frames_of(mut self, bytes: usize) -> Self {
        self.frame_bytes = bytes.max(1);
        self
    }

    /// Appends a message; each frame is masked with `mask`, if any.
    pub fn message(&mut self, kind: MessageKind, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        let is_data = matches!(kind, MessageKind::Text | MessageKind::Binary);
        let deflate = self.deflate.as_mut().filter(|_| is_data);
        let deflated = deflate.map(|deflate| deflate.message(payload));
        let compressed = deflated.is_some();
        let mut rest = deflated.as_deref().unwrap_or(payload);
        let most = if is_data { self.frame_bytes } else { usize::MAX };
        let mut first = true;
        loop {
            let part;
            (part, rest) = rest.split_at(rest.len().min(most));
            let frame = Frame {
                fin: rest.is_empty(),
                compressed: compressed && first,
                kind: first.then_some(kind),
                mask,
                payload: part,
            };
            frame.write(out);
            first = false;
            if rest.is_empty() {
                return;
            }
        }
    }
}

/// Compresses messages one after the other.
#[derive(Debug)]
struct Deflater {
    stream: Compress,
    no_takeover: bool,
    window_bytes: usize,
    /// Bytes in the window, when it is smaller than the stream's own.
    filled: usize,
}

impl Deflater {
    fn new(no_takeover: bool, window_bits: u8) -> Self {
        let window_bytes = 1 << window_bits.clamp(8, 15);
        Self { stream: Compress::new(Compression::default(), false), no_takeover, window_bytes, filled: 0 }
    }

    /// RFC 7692 §7.2.1. The stream's own window is 32 KiB; a smaller one is kept by beginning anew once it is filled.
    fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.no_takeover {
            self.begin_anew();
        }
        if payload.is_empty() {
            return vec![0x00];
        }
        let mut out = Vec::with_capacity(payload.len() / 2 + 64);
        let mut rest = payload;
        loop {
            let room = if self.window_bytes < 1 << 15 { self.window_bytes - self.filled } else { usize::MAX };
            let part;
            (part, rest) = rest.split_at(rest.len().min(room));
            self.filled = self.filled.saturating_add(part.len());
            self.block(part, &mut out);
            if rest.is_empty() {
                break;
            }
            self.begin_anew();
        }
        out.truncate(out.len().saturating_sub(4));
        out
    }

    /// Compresses to a byte boundary: ends in `00 00 ff ff`.
    fn block(&mut self, part: &[u8], out: &mut Vec<u8>) {
        let before = self.stream.total_in();
        loop {
            let read = usize::try_from(self.stream.total_in() - before).unwrap_or(usize::MAX);
            out.reserve(part.len() / 4 + 64);
            let rest = part.get(read..).unwrap_or_default();
            if self.stream.compress_vec(rest, out, FlushCompress::Sync).is_err() || out.len() < out.capacity() {
                return;
            }
        }
    }

    fn begin_anew(&mut self) {
        self.stream.reset();
        self.filled = 0;
    }
}
