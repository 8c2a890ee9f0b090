//! HTTP/2 (RFC 9113) as who merely looks on sees it, sans-io: bytes of both sides in, events out. Connections may be joined
//! in the middle and may have holes; what cannot be known is said to be unknown, never guessed.
//!
//! Knows nothing of sockets, clocks, or of what requests and responses mean. Main types: [`Observer`], [`Event`].

pub mod hpack;

mod frame;
mod gap;
mod heads;
mod lane;
mod observer;
mod payload;
mod resync;
mod settings;
mod veil;
mod write;

#[cfg(test)]
mod tests;

use crate::model::Side;

pub use frame::PREFACE;
pub use observer::Observer;
pub use resync::{looks_like_frames, looks_like_preface};
pub use veil::Veil;
pub use write::Frames;

/// Where in a connection observing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The client's preface is the first thing it sends.
    Preface,
    /// After an HTTP/1.1 `Upgrade: h2c`: the 101 was consumed, the client sends its preface, stream 1 is the request that
    /// was upgraded and is half-closed.
    Upgraded,
    /// The capture began in the middle of the connection.
    Midway,
}

/// What an observer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A header block: head of a request or response, interim response, or trailers; which, the state of the stream tells.
    /// When its end was lost or it is over the bounds, its beginning, and one wholly unknown field for the rest.
    Head {
        /// Who sent it.
        side: Side,
        /// Stream it belongs to.
        stream: u32,
        /// Fields in order, pseudo-header fields included.
        fields: Vec<Field>,
        /// True when this side of the stream ends here.
        end: bool,
    },
    /// Bytes of a body, less padding. One DATA frame may come in several pieces.
    Data {
        /// Who sent them.
        side: Side,
        /// Stream they belong to.
        stream: u32,
        /// The bytes; empty only when `end` is all there is to say.
        bytes: &'a [u8],
        /// True when this side of the stream ends here.
        end: bool,
    },
    /// Bytes of a body that were lost inside a frame whose beginning was seen.
    DataGap {
        /// Who sent them.
        side: Side,
        /// Stream they belong to.
        stream: u32,
        /// How many; 0 when not known, as the length of the padding was lost too.
        bytes: u64,
        /// Whether this side of the stream ends here; None when that is not known.
        end: Option<bool>,
    },
    /// The server announces a pushed stream.
    Promise {
        /// Stream whose request it comes with.
        stream: u32,
        /// Stream that is promised.
        promised: u32,
        /// Fields of the request that it answers.
        fields: Vec<Field>,
    },
    /// RST_STREAM.
    Reset {
        /// Who sent it.
        side: Side,
        /// Stream that is over.
        stream: u32,
        /// Error code (RFC 9113 §7).
        code: u32,
    },
    /// GOAWAY.
    GoAway {
        /// Who sent it.
        side: Side,
        /// Last stream of the other side that it may have worked on.
        last_stream: u32,
        /// Error code (RFC 9113 §7).
        code: u32,
        /// Opaque data, as far as it was kept.
        debug: &'a [u8],
    },
    /// Frames of this side may be missing around here: streams that were open may have lost heads, data or their end.
    Lost {
        /// Whose.
        side: Side,
        /// How many bytes could not be made use of; 0 when not known.
        bytes: u64,
    },
}

/// A field as far as it is known. None: it was sent, but refers to something from before the capture, or was lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Name as sent: in lower case, if the sender follows the rules.
    pub name: Option<Vec<u8>>,
    /// Value as sent.
    pub value: Option<Vec<u8>>,
}

impl Field {
    /// Nothing is known of it but that it was sent.
    pub const UNKNOWN: Self = Self { name: None, value: None };
}

/// Why bytes are not HTTP/2 at all. What is wrong with single frames is an [`Event::Lost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Http2Error {
    /// The client does not begin with the preface.
    #[error("client does not begin with the HTTP/2 preface")]
    Preface,
    /// A side does not begin with a frame.
    #[error("connection does not begin with HTTP/2 frames")]
    FirstFrame,
    /// Nothing like frames in so much of a connection that was joined midway.
    #[error("no HTTP/2 frames found")]
    NoFrames,
}
