//! TCP segments as packets hold them: what the dissector hands to the reassembler.
//!
//! Plain data; no parsing here.

use std::net::SocketAddr;

use crate::observe::streams::UnixNanos;

/// One TCP segment, with everything around it peeled off.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// When the tap saw it.
    pub at: UnixNanos,
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// Names the way it travelled: a hash of VLAN ids, MPLS labels and tunnels around it; 0 for none. The same connection can
    /// be seen in two lanes (a mirror inside and outside of a tunnel), and two connections can share their addresses.
    pub lane: u64,
    /// Sequence number of the first payload byte, or of the SYN.
    pub seq: u32,
    /// Acknowledgement number; meaningful with [`Flags::ack`].
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Payload as far as it was captured.
    pub payload: &'a [u8],
    /// Payload bytes behind `payload` that were sent and not captured (snapshot length).
    pub cut: u32,
}

/// TCP control bits that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// SYN.
    pub syn: bool,
    /// ACK.
    pub ack: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
}
