//! HTTP/1.0 and 1.1 as a sans-io core: bytes in, events out; the caller keeps and forwards the bytes.
//!
//! One reader serves those who forward (strict) and those who watch (lenient, and able to find its way after a gap).
//! Source: RFC 9112. Knows nothing of sockets, clocks or who asks. Main types: [`Reader`], [`Event`].

mod chunked;
mod cut;
mod framing;
mod head;
mod leniency;
mod lenient;
mod observe;
mod reader;
mod seek;
mod spares;
mod veil;
mod write;

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::model::{Headers, Version};

pub use cut::CutHead;
pub use head::head_end;
pub use leniency::{Leniencies, Leniency, Stance};
pub use observe::AfterGap;
pub use reader::Reader;
pub use seek::{begins_request, holds_request, holds_response, looks_like_request, looks_like_response};
pub use spares::Spares;
pub use veil::veil_alt_svc;
pub use write::{write_request_head, write_response_head};

/// Bounds of what is accepted; over them the message is refused, never truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest head (start line and fields) in bytes.
    pub head_bytes: usize,
    /// Most fields in a head or in trailers.
    pub fields: usize,
    /// Most interim (1xx) responses before the final one.
    pub interim: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 256 * 1024, fields: 500, interim: 100 }
    }
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The bytes as they came, from the method to the empty line (both included); empty for an observer.
    pub raw: Vec<u8>,
    /// Method as on the wire.
    pub method: String,
    /// Target as on the wire: origin, absolute, authority or asterisk form.
    pub target: Vec<u8>,
    /// Version of the request line.
    pub version: Version,
    /// Fields in order and case.
    pub headers: Headers,
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The bytes as they came, from the version to the empty line (both included); empty for an observer.
    pub raw: Vec<u8>,
    /// Version of the status line.
    pub version: Version,
    /// 100 to 999; for an observer 0 when it cannot be read.
    pub status: u16,
    /// Reason phrase as on the wire.
    pub reason: Vec<u8>,
    /// Fields in order and case.
    pub headers: Headers,
}

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// All until the connection closes (responses only); for an observer also: until the next message seems to begin.
    UntilClose,
    /// The connection stops being HTTP after this head (101, or 2xx to CONNECT).
    Tunnel,
}

/// What a reader found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole request head and how its body is framed.
    Request(RequestHead, Framing),
    /// A whole response head and how its body is framed; interim responses have `Framing::None` and no `End`.
    Response(ResponseHead, Framing),
    /// Body bytes less transfer coding: this range of the input just given.
    Body(Range<usize>),
    /// The message is over; trailers of a chunked body, else empty. Comes after every message but interim responses and
    /// heads with `Framing::Tunnel`, also when there was no body.
    End(Headers),
}

/// What one call of [`Reader::read`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// So many bytes of the input are used up: the caller may forward and drop them.
    pub consumed: usize,
    /// What they amounted to. `None` with `consumed == 0`: more input is needed.
    /// `None` with `consumed > 0`: framing (chunk sizes, empty lines), call again.
    pub event: Option<Event>,
}

/// Why bytes are not an acceptable HTTP/1 message. Ambiguous framing is an error, never guessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Http1Error {
    /// The head is no HTTP head.
    #[error("not an HTTP/1 message")]
    Syntax,
    /// The head is longer than allowed.
    #[error("head is over {0} bytes")]
    HeadTooLong(usize),
    /// More fields than allowed.
    #[error("more than {0} header fields")]
    TooManyFields(usize),
    /// More interim responses than allowed.
    #[error("more than {0} interim responses")]
    TooManyInterim(usize),
    /// Content-Length twice with different values, or not a number.
    #[error("invalid or contradictory Content-Length")]
    ContentLength,
    /// Both Content-Length and Transfer-Encoding, or a transfer coding whose end cannot be known.
    #[error("ambiguous Transfer-Encoding")]
    TransferEncoding,
    /// A chunk header that is no chunk header.
    #[error("invalid chunk")]
    Chunk,
    /// A line folded onto the next (obs-fold) or ended by a bare LF or CR in a place where forwarding would be ambiguous.
    #[error("folded or badly ended line")]
    LineFolding,
    /// The connection closed inside a message.
    #[error("connection closed inside a message")]
    UnexpectedEnd,
    /// A response without a request that asked for it.
    #[error("response without a request")]
    Unasked,
}

/// Whether the connection may carry another message after this one (RFC 9112 §9.3). A response that is framed by
/// [`Framing::UntilClose`] ends the connection whatever its fields say.
pub fn keeps_alive(version: Version, headers: &Headers) -> bool {
    let says = |option: &str| {
        headers
            .all("connection")
            .flat_map(|value| value.split(|&b| b == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    };
    match version {
        Version::Http09 => false,
        Version::Http10 => !says("close") && says("keep-alive"),
        Version::Http11 => !says("close"),
        Version::Http2 | Version::Http3 => true,
    }
}
