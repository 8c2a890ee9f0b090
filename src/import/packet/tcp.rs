//! TCP headers (RFC 9293 section 3.1).

use std::net::{IpAddr, SocketAddr};

use super::super::segment::{Flags, Segment};
use super::census::Undecodable;
use super::dissector::{Dissector, Walk};
use super::network::Ends;
use super::slice::Slice;

impl Dissector {
    #[inline]
    pub(super) fn tcp(&mut self, walk: &mut Walk<'_>, ends: Ends, slice: Slice<'_>) {
        let Some(head) = slice.head::<20>() else { return self.census.undecodable(Undecodable::Tcp) };
        let header = usize::from(head[12] >> 4) * 4;
        if header < 20 || header > slice.wire_bytes() {
            return self.census.undecodable(Undecodable::Tcp);
        }
        // Options that were not captured take their share of what was cut.
        let missing = header.saturating_sub(slice.data.len());
        let cut = slice.cut.saturating_sub(missing as u32);
        let payload = slice.data.get(header..).unwrap_or(&[]);
        if self.config.verify_checksums && slice.cut == 0 && !checksum_holds(ends, slice.data) {
            self.census.bad_checksums += 1;
            return;
        }
        self.census.segments += 1;
        self.census.payload_bytes += payload.len() as u64;
        self.census.cut_bytes += u64::from(cut);
        let [p0, p1, q0, q1, s0, s1, s2, s3, a0, a1, a2, a3, _, bits, ..] = *head;
        let lane = walk.lane();
        (walk.sink)(Segment {
            at: walk.at,
            source: SocketAddr::new(ends.source, u16::from_be_bytes([p0, p1])),
            destination: SocketAddr::new(ends.destination, u16::from_be_bytes([q0, q1])),
            lane,
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            flags: Flags { fin: bits & 1 != 0, syn: bits & 2 != 0, rst: bits & 4 != 0, ack: bits & 16 != 0 },
            payload,
            cut,
        });
    }
}

/// The Internet checksum (RFC 1071) over the pseudo-header and the segment.
fn checksum_holds(ends: Ends, segment: &[u8]) -> bool {
    let mut sum = 6 + segment.len() as u64;
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    };
    for address in [ends.source, ends.destination] {
        match address {
            IpAddr::V4(address) => add(&address.octets()),
            IpAddr::V6(address) => add(&address.octets()),
        }
    }
    add(segment);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == 0xffff
}
