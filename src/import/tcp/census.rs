//! What reassembly saw, delivered and missed: the numbers a user judges an import by.

/// Counts of one [`super::Reassembler`]. What is counted of whole connections is complete after `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Connections seen, with payload or without.
    pub connections: u64,
    /// Of these: without a byte of payload (scans, probes, refused); not reported to `Streams`.
    pub empty: u64,
    /// Of these: with SYN, SYN-ACK and the ACK after it.
    pub handshakes: u64,
    /// Of these: joined in the middle, no SYN of either side.
    pub midway: u64,
    /// Of those with payload: not closed on both sides by FIN or on either by RST when they were let go.
    pub unclosed: u64,
    /// Of those with payload: one direction was never seen.
    pub one_sided: u64,
    /// Of those with payload: let go because too many were open or nothing came for long.
    pub forgotten: u64,
    /// Of those with payload: replaced by a new connection of the same addresses and ports before they were closed.
    pub reused: u64,
    /// Payload bytes delivered.
    pub delivered_bytes: u64,
    /// Payload bytes seen again: retransmissions, and copies of packets.
    pub duplicate_bytes: u64,
    /// Duplicate bytes that differ from the copy that was seen first (compared as long as that one is held).
    pub conflicting_bytes: u64,
    /// Gaps reported.
    pub gaps: u64,
    /// Bytes in gaps.
    pub missing_bytes: u64,
    /// Bytes that came after they had been reported as a gap; not delivered.
    pub late_bytes: u64,
    /// Bytes that no stream has a place for: beyond its end or outside of any window; not delivered.
    pub stray_bytes: u64,
    /// Segments with new bytes that came after bytes behind them.
    pub out_of_order_segments: u64,
    /// Highest sum of memory charged for bytes that waited.
    pub peak_buffered_bytes: u64,
}
