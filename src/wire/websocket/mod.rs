//! WebSocket messages (RFC 6455) with permessage-deflate (RFC 7692), read by one who only listens.
//!
//! Sans-io: bytes of one direction in, messages out; one [`Reader`] a direction. Lenient, since an observer has nobody to
//! refuse: what an endpoint would fail the connection for is reported as far as it can be told.

mod frame;
mod handshake;
mod inflate;
mod reader;
mod seek;
mod write;

#[cfg(test)]
mod tests;

pub use handshake::{Deflate, is_handshake};
pub use reader::{Found, MESSAGE_BYTES, Reader};
pub use write::{Frame, Writer};

/// Why bytes are not WebSocket frames. The reader then passes over the rest of what it was given and looks for the next
/// plausible frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketError {
    /// A frame length with the most significant bit set (RFC 6455 §5.2).
    #[error("a frame of {0} bytes cannot be")]
    Length(u64),
}
