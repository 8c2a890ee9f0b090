//! Bounds and patience of reassembly.

use std::time::Duration;

/// How long and how much [`super::Reassembler`] holds on to. All times are packet time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections known at once, closed ones that linger included. When a new one comes, the one longest without a packet
    /// goes: of the closed ones, else of those without payload (so that a port scan drives nobody out), else of all.
    pub connections: usize,
    /// Time without packets after which an open connection is let go.
    pub idle: Duration,
    /// Time without packets for which a closed connection is remembered, so that a late retransmission is not taken for a
    /// new connection.
    pub linger: Duration,
    /// Time after a RST in which data under way is still delivered; both sides end after it.
    pub reset_linger: Duration,
    /// Bound for bytes that wait in one direction, overhead included.
    pub direction_bytes: usize,
    /// Bound for bytes that wait altogether. Beyond it, holes are given up in the order in which they would be anyway.
    pub buffered_bytes: usize,
    /// How long a hole is kept open once the receiver is seen to have its bytes. They will not be sent again; all that can
    /// still bring them is a capture out of order: interfaces merged, queues of a network card, a copy in another lane.
    /// These are apart by microseconds up to some ten milliseconds. Waiting costs memory and nothing else, as bytes keep
    /// their own packet's time, so the default has ample reserve; `direction_bytes` bounds it on a fast connection.
    pub tolerance: Duration,
    /// How long a hole is kept open when the receiver is not seen to acknowledge anything: in a one-sided capture bytes are
    /// sent again after the sender's timeout, which begins at one second and doubles (RFC 6298).
    pub blind: Duration,
    /// A beginning in the middle is held back so long,
    pub settle_time: Duration,
    /// or so many packets of the connection, so that segments out of order do not cost its first bytes.
    pub settle_packets: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 32_000,
            idle: Duration::from_secs(600),
            linger: Duration::from_secs(60),
            reset_linger: Duration::from_secs(2),
            direction_bytes: 4 << 20,
            buffered_bytes: 64 << 20,
            tolerance: Duration::from_millis(200),
            blind: Duration::from_secs(5),
            settle_time: Duration::from_millis(50),
            settle_packets: 16,
        }
    }
}
