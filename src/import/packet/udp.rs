//! UDP (RFC 768): which tunnel a datagram belongs to, by its ports, and what it is counted as otherwise.

use super::census::{Other, Tunnel, Undecodable, udp_name};
use super::dissector::{Dissector, Walk};
use super::network::Ends;
use super::slice::Slice;

/// Ports of IANA, and those in use beside them.
mod ports {
    pub(super) const HTTPS: u16 = 443;
    pub(super) const GTP_U: u16 = 2152;
    pub(super) const TEREDO: u16 = 3544;
    pub(super) const GRE: u16 = 4754;
    pub(super) const VXLAN: u16 = 4789;
    pub(super) const VXLAN_GPE: u16 = 4790;
    pub(super) const AYIYA: u16 = 5072;
    pub(super) const GENEVE: u16 = 6081;
    pub(super) const MPLS: u16 = 6635;
    pub(super) const VXLAN_LINUX: u16 = 8472;
}

/// QUIC (RFC 9000 section 17): a long header, and the bit that both forms have set.
const QUIC_LONG: u8 = 0xc0;
const QUIC_FIXED: u8 = 0x40;

impl Dissector {
    pub(super) fn udp(&mut self, walk: &mut Walk<'_>, ends: Ends, slice: Slice<'_>) {
        let Some(&[s0, s1, d0, d1, l0, l1, _, _]) = slice.head::<8>() else {
            return self.census.undecodable(Undecodable::Udp);
        };
        let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        let length = match usize::from(u16::from_be_bytes([l0, l1])) {
            0 => slice.wire_bytes(),
            length => length,
        };
        let Some(payload) = slice.first(length).behind(8).filter(|_| length >= 8) else {
            return self.census.undecodable(Undecodable::Udp);
        };
        let tunnel = match destination {
            ports::VXLAN | ports::VXLAN_LINUX => Some((Tunnel::Vxlan, self.vxlan(walk, payload))),
            port if self.config.vxlan_ports.contains(&port) => Some((Tunnel::Vxlan, self.vxlan(walk, payload))),
            ports::VXLAN_GPE => Some((Tunnel::Vxlan, self.vxlan_gpe(walk, payload))),
            ports::GENEVE => Some((Tunnel::Geneve, self.geneve(walk, payload))),
            ports::GRE => return self.gre(walk, ends.space(), payload),
            ports::MPLS => Some((Tunnel::MplsInIp, self.mpls_in_udp(walk, payload))),
            _ => match (source, destination) {
                (ports::GTP_U, _) | (_, ports::GTP_U) => Some((Tunnel::GtpU, self.gtp(walk, payload))),
                (ports::TEREDO, _) | (_, ports::TEREDO) => Some((Tunnel::Teredo, self.teredo(walk, payload))),
                (ports::AYIYA, _) | (_, ports::AYIYA) => Some((Tunnel::Ayiya, self.ayiya(walk, payload))),
                _ => None,
            },
        };
        match tunnel {
            Some((_, Some(()))) => {}
            Some((tunnel, None)) => self.census.undecodable(Undecodable::Tunnel(tunnel)),
            // Teredo between clients has no port of its own, but a shape that nothing else has.
            None if self.looks_teredo(payload) => {
                if self.teredo(walk, payload).is_none() {
                    self.census.undecodable(Undecodable::Tunnel(Tunnel::Teredo));
                }
            }
            None => self.count_udp(source, destination, payload),
        }
    }

    fn count_udp(&mut self, source: u16, destination: u16, payload: Slice<'_>) {
        let first = payload.data.first().copied().unwrap_or(0);
        let https = source == ports::HTTPS || destination == ports::HTTPS;
        // Long headers have a version too, of which 0 is the answer to one that is not known.
        let version = payload.data.get(1..5).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
        let long = first & QUIC_LONG == QUIC_LONG && known_quic_version(version);
        self.census.other(if long || https && first & QUIC_FIXED != 0 {
            Other::Quic
        } else {
            let (low, high) = (source.min(destination), source.max(destination));
            let named = [low, high].into_iter().find(|&port| udp_name(port).is_some());
            Other::Udp(named.unwrap_or(0))
        });
    }
}

/// QUIC version 1, version 2, and the drafts.
fn known_quic_version(version: u32) -> bool {
    matches!(version, 1 | 0x6b33_43cf) || version >> 8 == 0x00ff_0000
}
