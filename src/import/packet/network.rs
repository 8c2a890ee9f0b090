//! IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers.

use std::net::IpAddr;

use super::census::{Other, Tunnel, Undecodable};
use super::dissector::{Dissector, Walk};
use super::fragment::{FragmentKey, Outcome, Piece};
use super::slice::Slice;

/// Protocol numbers of IANA that lead on.
mod protocols {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const IPV4: u8 = 4;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const IPV6: u8 = 41;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const GRE: u8 = 47;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION: u8 = 60;
    pub(super) const ETHERIP: u8 = 97;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const MPLS: u8 = 137;
    pub(super) const HIP: u8 = 139;
    pub(super) const SHIM6: u8 = 140;
}

const IPV6_HEADER: usize = 40;
const JUMBO_PAYLOAD: u8 = 0xc2;

/// Sender and receiver of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
}

impl Ends {
    /// A number for both, the same in both directions.
    pub(super) fn space(&self) -> u64 {
        let fold = |address: IpAddr| match address {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64 ^ (address.to_bits() as u64).rotate_left(32),
        };
        let (a, b) = (fold(self.source), fold(self.destination));
        a.wrapping_add(b).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (a ^ b)
    }
}

impl Dissector {
    /// IP of the version that its first bits say.
    pub(super) fn ip(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        match slice.version()? {
            4 => self.ipv4(walk, slice),
            6 => self.ipv6(walk, slice),
            _ => self.not_ip(),
        }
    }

    fn not_ip(&mut self) -> Option<()> {
        self.census.undecodable(Undecodable::Ip);
        Some(())
    }

    #[inline]
    pub(super) fn ipv4(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        if !self.enter(walk) {
            return Some(());
        }
        let Some(head) = slice.head::<20>() else { return self.not_ip() };
        let header = usize::from(head[0] & 0xf) * 4;
        let total = match usize::from(u16::from_be_bytes([head[2], head[3]])) {
            // Segments that the network card was to cut, longer than the field can say.
            0 => slice.wire_bytes(),
            total => total,
        };
        if head[0] >> 4 != 4 || header < 20 || total < header {
            return self.not_ip();
        }
        let Some(payload) = slice.first(total).behind(header) else { return self.not_ip() };
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *head;
        let ends = Ends { source: IpAddr::from([s0, s1, s2, s3]), destination: IpAddr::from([d0, d1, d2, d3]) };
        let (protocol, fragment) = (head[9], u16::from_be_bytes([head[6], head[7]]));
        let (more, offset) = (fragment & 0x2000 != 0, (fragment & 0x1fff) * 8);
        if !more && offset == 0 {
            self.transport(walk, protocol, ends, payload);
            return Some(());
        }
        let id = u16::from_be_bytes([head[4], head[5]]).into();
        let key = FragmentKey { ends, id, protocol: Some(protocol), lane: walk.lane() };
        self.fragment(walk, key, Piece { offset, more, payload, protocol });
        Some(())
    }

    pub(super) fn ipv6(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        if !self.enter(walk) {
            return Some(());
        }
        let Some(head) = slice.head::<IPV6_HEADER>().filter(|head| head[0] >> 4 == 6) else { return self.not_ip() };
        let (mut source, mut destination) = ([0; 16], [0; 16]);
        source.copy_from_slice(&head[8..24]);
        destination.copy_from_slice(&head[24..]);
        let ends = Ends { source: source.into(), destination: destination.into() };
        let Some(payload) = slice.behind(IPV6_HEADER) else { return self.not_ip() };
        let next = head[6];
        let payload = match usize::from(u16::from_be_bytes([head[4], head[5]])) {
            0 => match jumbo_bytes(next, payload.data) {
                Some(bytes) => payload.first(bytes),
                None => payload,
            },
            length => payload.first(length),
        };
        self.extensions(walk, next, ends, payload);
        Some(())
    }

    /// Passes the extension headers of IPv6 (RFC 8200 section 4).
    fn extensions(&mut self, walk: &mut Walk<'_>, mut next: u8, mut ends: Ends, mut payload: Slice<'_>) {
        while let Some(&[following, length]) = payload.head::<2>().filter(|_| is_extension(next)) {
            if !self.enter(walk) {
                return;
            }
            let bytes = match next {
                protocols::FRAGMENT => 8,
                protocols::AUTHENTICATION => (usize::from(length) + 2) * 4,
                _ => (usize::from(length) + 1) * 8,
            };
            let Some(rest) = payload.behind(bytes) else { break };
            if next == protocols::ROUTING
                && let Some(last) = last_hop(&payload.data[..bytes])
            {
                ends.destination = last;
            }
            if next == protocols::FRAGMENT {
                let word = payload.u16_at(2).unwrap_or(0);
                let (offset, more) = (word & 0xfff8, word & 1 == 1);
                // RFC 6946: a packet in one fragment is by itself.
                if offset != 0 || more {
                    let id = payload.data.get(4..8).and_then(|id| id.try_into().ok()).map_or(0, u32::from_be_bytes);
                    let key = FragmentKey { ends, id, protocol: None, lane: walk.lane() };
                    return self.fragment(walk, key, Piece { offset, more, payload: rest, protocol: following });
                }
            }
            (next, payload) = (following, rest);
        }
        if is_extension(next) {
            return self.census.undecodable(Undecodable::Ip);
        }
        self.transport(walk, next, ends, payload);
    }

    fn fragment(&mut self, walk: &mut Walk<'_>, key: FragmentKey, piece: Piece<'_>) {
        self.census.fragments += 1;
        let outcome = self.fragments.add(walk.at, key, piece);
        let Outcome { dropped, overlapping, whole } = outcome;
        self.census.fragments_dropped += dropped;
        self.census.fragments_overlapping += u64::from(overlapping);
        let Some(whole) = whole else { return };
        self.census.reassembled += 1;
        let payload = Slice { data: &whole.bytes, cut: whole.cut };
        match key.ends.source {
            IpAddr::V4(_) => self.transport(walk, whole.protocol, key.ends, payload),
            IpAddr::V6(_) => self.extensions(walk, whole.protocol, key.ends, payload),
        }
    }

    /// What an IP packet carries.
    #[inline]
    fn transport(&mut self, walk: &mut Walk<'_>, protocol: u8, ends: Ends, payload: Slice<'_>) {
        let whole = match protocol {
            protocols::TCP => return self.tcp(walk, ends, payload),
            protocols::UDP => return self.udp(walk, ends, payload),
            protocols::GRE => return self.gre(walk, ends.space(), payload),
            protocols::IPV6 | protocols::IPV4 | protocols::MPLS | protocols::ETHERIP => {
                return self.tunnelled(walk, protocol, ends, payload);
            }
            protocols::AUTHENTICATION => self.authenticated(walk, ends, payload),
            other => {
                self.census.other(Other::Ip(other));
                Some(())
            }
        };
        if whole.is_none() {
            self.census.undecodable(Undecodable::Ip);
        }
    }

    /// A packet or frame that is the payload of an IP packet.
    fn tunnelled(&mut self, walk: &mut Walk<'_>, protocol: u8, ends: Ends, payload: Slice<'_>) {
        let (tunnel, space) = match protocol {
            protocols::IPV4 => (Tunnel::IpInIp, ends.space()),
            protocols::ETHERIP => (Tunnel::EtherIp, ends.space()),
            protocols::MPLS => (Tunnel::MplsInIp, 0),
            // The addresses around IPv6 tell no address spaces apart: its own are unique, and ways there and back differ.
            _ => (Tunnel::IpInIp, 0),
        };
        if !self.enter_tunnel(walk, tunnel, space) {
            return;
        }
        let whole = match protocol {
            protocols::IPV4 => self.ipv4(walk, payload),
            protocols::IPV6 => self.ipv6(walk, payload),
            protocols::MPLS => self.mpls(walk, payload),
            // RFC 3378: version and reserved bits, then a frame.
            _ => payload.behind(2).and_then(|frame| self.ethernet(walk, frame)),
        };
        if whole.is_none() {
            self.census.undecodable(Undecodable::Tunnel(tunnel));
        }
    }

    /// RFC 4302: what is authenticated is readable. Only IPv4 comes here; in IPv6 it is an extension header.
    fn authenticated(&mut self, walk: &mut Walk<'_>, ends: Ends, payload: Slice<'_>) -> Option<()> {
        let &[next, length] = payload.head::<2>()?;
        let rest = payload.behind((usize::from(length) + 2) * 4)?;
        if self.enter(walk) {
            self.transport(walk, next, ends, rest);
        }
        Some(())
    }
}

fn is_extension(next: u8) -> bool {
    matches!(
        next,
        protocols::HOP_BY_HOP
            | protocols::ROUTING
            | protocols::FRAGMENT
            | protocols::AUTHENTICATION
            | protocols::DESTINATION
            | protocols::MOBILITY
            | protocols::HIP
            | protocols::SHIM6
    )
}

/// The length in a Jumbo Payload option (RFC 2675), counted from the end of the IPv6 header.
fn jumbo_bytes(next: u8, payload: &[u8]) -> Option<usize> {
    let &[_, length] = payload.first_chunk::<2>().filter(|_| next == protocols::HOP_BY_HOP)?;
    let mut options = payload.get(2..(usize::from(length) + 1) * 8)?;
    loop {
        match *options {
            // Padding of one byte.
            [0, ..] => options = &options[1..],
            [JUMBO_PAYLOAD, 4, a, b, c, d, ..] => return usize::try_from(u32::from_be_bytes([a, b, c, d])).ok(),
            [_, length, ..] => options = options.get(2 + usize::from(length)..)?,
            _ => return None,
        }
    }
}

/// Where a packet with a routing header is going in the end, while it is under way there: what both ends of a connection call
/// its destination. Types 0 (RFC 2460), 2 (RFC 6275) and 4 (RFC 8754).
fn last_hop(header: &[u8]) -> Option<IpAddr> {
    let &[_, _, kind, left] = header.first_chunk::<4>()?;
    let addresses = header.get(8..)?;
    let address = match (kind, left) {
        (_, 0) => return None,
        (0, _) => addresses.last_chunk::<16>()?,
        (2 | 4, _) => addresses.first_chunk::<16>()?,
        _ => return None,
    };
    Some(IpAddr::from(*address))
}
