//! The header of a frame, and what can be said of it alone (RFC 9113 §4.1, §6).

use crate::model::Side;

/// What a client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame header.
pub(super) const HEADER_BYTES: usize = 9;
/// Longest payload before anything else is announced.
pub(super) const DEFAULT_FRAME: u32 = 16_384;
/// Longest payload that can be announced.
pub(super) const LARGEST_FRAME: u32 = 0xff_ffff;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// Types of frames. Beside RFC 9113: ALTSVC (RFC 7838), ORIGIN (RFC 8336), PRIORITY_UPDATE (RFC 9218).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    Promise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    AltSvc,
    Origin,
    PriorityUpdate,
    Other(u8),
}

impl Kind {
    pub(super) fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::Reset,
            4 => Self::Settings,
            5 => Self::Promise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            0xa => Self::AltSvc,
            0xc => Self::Origin,
            0x10 => Self::PriorityUpdate,
            other => Self::Other(other),
        }
    }

    /// Whether it carries a piece of a header block.
    pub(super) fn has_fields(self) -> bool {
        matches!(self, Self::Headers | Self::Promise | Self::Continuation)
    }

    /// Whether the loss of such a frame takes nothing away that is reported.
    pub(super) fn is_silent(self) -> bool {
        matches!(
            self,
            Self::Priority | Self::Ping | Self::WindowUpdate | Self::AltSvc | Self::Origin | Self::PriorityUpdate
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) reserved: bool,
    pub(super) stream: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind: Kind::of(kind),
            flags,
            reserved: s0 & 0x80 != 0,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a frame of `side` may have this header at all; else the framing itself is in doubt.
    pub(super) fn is_sound(&self, side: Side, longest: u32) -> bool {
        let zero = self.stream == 0;
        self.length <= longest
            && match self.kind {
                Kind::Data | Kind::Headers | Kind::Continuation => !zero,
                Kind::Priority => !zero && self.length == 5,
                Kind::Reset => !zero && self.length == 4,
                Kind::Settings => zero && self.length.is_multiple_of(6) && !(self.has(ACK) && self.length > 0),
                Kind::Promise => !zero && self.length >= 4 && side == Side::Response,
                Kind::Ping => zero && self.length == 8,
                Kind::GoAway => zero && self.length >= 8,
                Kind::WindowUpdate => self.length == 4,
                Kind::AltSvc | Kind::Origin | Kind::PriorityUpdate | Kind::Other(_) => true,
            }
    }
}

/// The big-endian number that `bytes` begins with, its first bit left out (RFC 9113 reserves it wherever streams are named).
pub(super) fn stream_at(bytes: &[u8]) -> Option<u32> {
    number_at(bytes).map(|n| n & 0x7fff_ffff)
}

/// The big-endian number that `bytes` begins with.
pub(super) fn number_at(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|b| u32::from_be_bytes(*b))
}
