//! Frames as bytes (RFC 9113 §4.1, §6). Main type: [`Frames`].

use super::frame::{DEFAULT_FRAME, PREFACE};

/// Appends frames to a buffer. What would break the protocol can be written too: that is for the caller to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// What was written.
    pub bytes: Vec<u8>,
}

impl Frames {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The client's preface, without the SETTINGS that must follow.
    pub fn preface(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(PREFACE);
        self
    }

    /// Any frame. The payload must be shorter than 16 MiB.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        let length = (payload.len() as u32).to_be_bytes();
        self.bytes.extend_from_slice(&[length[1], length[2], length[3], kind, flags]);
        self.bytes.extend_from_slice(&stream.to_be_bytes());
        self.bytes.extend_from_slice(payload);
        self
    }

    /// SETTINGS with identifiers and values.
    pub fn settings(&mut self, settings: &[(u16, u32)]) -> &mut Self {
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend_from_slice(&identifier.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.frame(4, 0, 0, &payload)
    }

    /// SETTINGS that acknowledge.
    pub fn settings_ack(&mut self) -> &mut Self {
        self.frame(4, 1, 0, &[])
    }

    /// HEADERS with a block, in CONTINUATION frames as far as it does not fit.
    pub fn headers(&mut self, stream: u32, block: &[u8], end: bool) -> &mut Self {
        self.headers_in_pieces(stream, block, end, DEFAULT_FRAME as usize)
    }

    /// HEADERS with a block of which each frame carries at most `piece` bytes (at least 1).
    pub fn headers_in_pieces(&mut self, stream: u32, block: &[u8], end: bool, piece: usize) -> &mut Self {
        self.pieces((1, u8::from(end)), stream, &[], block, piece.max(1))
    }

    /// PUSH_PROMISE with a block.
    pub fn promise(&mut self, stream: u32, promised: u32, block: &[u8]) -> &mut Self {
        self.pieces((5, 0), stream, &promised.to_be_bytes(), block, DEFAULT_FRAME as usize - 4)
    }

    fn pieces(&mut self, opening: (u8, u8), stream: u32, lead: &[u8], block: &[u8], piece: usize) -> &mut Self {
        let (kind, flags) = opening;
        let (now, mut rest) = block.split_at(block.len().min(piece));
        let last = |rest: &[u8]| if rest.is_empty() { 4 } else { 0 };
        self.frame(kind, flags | last(rest), stream, &[lead, now].concat());
        while !rest.is_empty() {
            let (now, behind) = rest.split_at(rest.len().min(piece));
            self.frame(9, last(behind), stream, now);
            rest = behind;
        }
        self
    }

    /// DATA in frames of the length that every receiver accepts; one empty frame when there is none.
    pub fn data(&mut self, stream: u32, mut bytes: &[u8], end: bool) -> &mut Self {
        loop {
            let (now, behind) = bytes.split_at(bytes.len().min(DEFAULT_FRAME as usize));
            self.frame(0, u8::from(end && behind.is_empty()), stream, now);
            if behind.is_empty() {
                return self;
            }
            bytes = behind;
        }
    }

    /// One DATA frame with padding.
    pub fn padded_data(&mut self, stream: u32, bytes: &[u8], padding: u8, end: bool) -> &mut Self {
        let payload = [&[padding], bytes, &vec![0; usize::from(padding)]].concat();
        self.frame(0, 8 | u8::from(end), stream, &payload)
    }

    /// RST_STREAM.
    pub fn reset(&mut self, stream: u32, code: u32) -> &mut Self {
        self.frame(3, 0, stream, &code.to_be_bytes())
    }

    /// GOAWAY.
    pub fn go_away(&mut self, last_stream: u32, code: u32, debug: &[u8]) -> &mut Self {
        self.frame(7, 0, 0, &[&last_stream.to_be_bytes()[..], &code.to_be_bytes(), debug].concat())
    }

    /// WINDOW_UPDATE.
    pub fn window_update(&mut self, stream: u32, bytes: u32) -> &mut Self {
        self.frame(8, 0, stream, &bytes.to_be_bytes())
    }

    /// PING.
    pub fn ping(&mut self, opaque: [u8; 8]) -> &mut Self {
        self.frame(6, 0, 0, &opaque)
    }
}
