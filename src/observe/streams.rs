//! What the layers below HTTP hand on: the ordered bytes of connections.
//!
//! Plain data and one trait; no parsing here.

use std::net::SocketAddr;

use crate::model::Side;

/// Wall-clock time of a packet in nanoseconds since the Unix epoch. Packets of one file may go back in time.
pub type UnixNanos = u64;

/// Number of a connection in this import, from 1, in the order in which they were first seen. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What is known of a connection when its first byte, gap or end is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Who opened it; when no SYN was seen, a guess (see `guessed`).
    pub client: SocketAddr,
    /// The other end.
    pub server: SocketAddr,
    /// SYN seen.
    pub syn: Option<UnixNanos>,
    /// SYN-ACK seen.
    pub syn_ack: Option<UnixNanos>,
    /// First ACK of the client after the SYN-ACK seen.
    pub ack: Option<UnixNanos>,
    /// First packet of the connection.
    pub first: UnixNanos,
    /// True when the capture began in the middle of the connection: no SYN of either side was seen.
    pub midway: bool,
    /// True when which end is the client is a guess from port numbers; the first bytes can tell better.
    pub guessed: bool,
}

/// How one direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// FIN, and everything before it was reported.
    Fin,
    /// RST, by either side.
    Reset,
    /// The same addresses and ports were opened anew before this one was closed.
    Reused,
    /// Nothing came for long, or too many connections were open: forgotten to bound memory.
    Forgotten,
    /// The capture ends here.
    EndOfCapture,
    /// The recording of live traffic ended.
    Stopped,
}

/// Receives the bytes of connections, each direction in order. For one connection: `opened` once, then `bytes` and `gap` of
/// both sides interleaved so that what was acknowledged before something was sent comes before it, then `ended` once for
/// each side; nothing after that.
pub trait Streams {
    /// A connection whose first byte, gap or end follows.
    fn opened(&mut self, connection: ConnectionId, opening: &Opening);
    /// The next bytes that `side` sent. `at` is when the packet with the last of them was first seen.
    fn bytes(&mut self, connection: ConnectionId, side: Side, at: UnixNanos, bytes: &[u8]);
    /// `bytes` bytes of `side` were never captured (at least 1; what is behind them may follow).
    fn gap(&mut self, connection: ConnectionId, side: Side, at: UnixNanos, bytes: u64);
    /// `side` sends no more.
    fn ended(&mut self, connection: ConnectionId, side: Side, at: UnixNanos, how: Ending);
}
