//! Link layers: what LINKTYPE numbers, EtherTypes and LLC say, VLAN tags and MPLS labels.

use super::census::{Other, Undecodable};
use super::dissector::{Dissector, Walk};
use super::slice::Slice;

/// LINKTYPE numbers of tcpdump.org that are read.
mod types {
    pub(super) const NULL: u16 = 0;
    pub(super) const ETHERNET: u16 = 1;
    pub(super) const PPP: u16 = 9;
    pub(super) const RAW: [u16; 3] = [12, 14, 101];
    pub(super) const PPP_HDLC: u16 = 50;
    pub(super) const PPP_ETHER: u16 = 51;
    pub(super) const ATM_RFC1483: u16 = 100;
    pub(super) const C_HDLC: u16 = 104;
    pub(super) const IEEE802_11: u16 = 105;
    pub(super) const LOOP: u16 = 108;
    pub(super) const LINUX_SLL: u16 = 113;
    pub(super) const IEEE802_11_PRISM: u16 = 119;
    pub(super) const IEEE802_11_RADIOTAP: u16 = 127;
    pub(super) const PKTAP_AS_USER: u16 = 149;
    pub(super) const IEEE802_11_AVS: u16 = 163;
    pub(super) const PPP_PPPD: u16 = 166;
    pub(super) const PPI: u16 = 192;
    pub(super) const PPP_WITH_DIRECTION: u16 = 204;
    pub(super) const IPV4: u16 = 228;
    pub(super) const IPV6: u16 = 229;
    pub(super) const NFLOG: u16 = 239;
    pub(super) const PKTAP: u16 = 258;
    pub(super) const LINUX_SLL2: u16 = 276;
}

/// Kinds of encapsulation in a lane.
const MIX_VLAN: u64 = 1;
const MIX_MPLS: u64 = 2;

/// Address families as systems write them in front of loopback packets.
const AF_IPV4: u32 = 2;
const AF_IPV6: [u32; 4] = [10, 24, 28, 30];

/// ARP hardware types of cooked captures.
const ARPHRD_IPGRE: u16 = 778;
const ARPHRD_RADIOTAP: u16 = 803;
const ARPHRD_NETLINK: u16 = 824;

const NFULA_PAYLOAD: u16 = 9;
/// EtherTypes start here; smaller numbers are lengths.
const ETHERTYPES: u16 = 0x0600;

impl Dissector {
    pub(super) fn link(&mut self, walk: &mut Walk<'_>, link: u16, slice: Slice<'_>) {
        if !self.enter(walk) {
            return;
        }
        let whole = match link {
            types::ETHERNET => self.ethernet(walk, slice),
            types::LINUX_SLL => self.cooked(walk, slice),
            types::LINUX_SLL2 => self.cooked2(walk, slice),
            types::NULL | types::LOOP => self.loopback(walk, slice),
            _ if types::RAW.contains(&link) => self.ip(walk, slice),
            types::IPV4 => self.ipv4(walk, slice),
            types::IPV6 => self.ipv6(walk, slice),
            types::PPP | types::PPP_HDLC => self.ppp_framed(walk, slice),
            types::PPP_ETHER => self.pppoe(walk, slice),
            types::PPP_WITH_DIRECTION => slice.behind(1).and_then(|rest| self.ppp_framed(walk, rest)),
            types::PPP_PPPD => slice.behind(2).and_then(|rest| self.ppp(walk, rest)),
            types::C_HDLC => self.cisco_hdlc(walk, slice),
            types::NFLOG => self.nflog(walk, slice),
            types::IEEE802_11 => self.wireless(walk, slice, false),
            types::IEEE802_11_RADIOTAP => self.radiotap(walk, slice),
            types::IEEE802_11_PRISM | types::IEEE802_11_AVS => self.wireless_capture_header(walk, slice),
            types::PPI => self.ppi(walk, slice),
            types::PKTAP | types::PKTAP_AS_USER => self.pktap(walk, slice),
            types::ATM_RFC1483 => self.llc(walk, slice),
            _ => {
                *self.census.unsupported_links.entry(link).or_default() += 1;
                Some(())
            }
        };
        if whole.is_none() {
            self.census.undecodable(Undecodable::Link);
        }
    }

    #[inline]
    pub(super) fn ethernet(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let ethertype = slice.u16_at(12)?;
        self.ethertype(walk, ethertype, slice.behind(14)?)
    }

    /// What is behind an EtherType, or behind the length that stands in its place.
    pub(super) fn ethertype(&mut self, walk: &mut Walk<'_>, mut ethertype: u16, mut slice: Slice<'_>) -> Option<()> {
        loop {
            if !self.enter(walk) {
                return Some(());
            }
            let header = match ethertype {
                0x0800 => return self.ipv4(walk, slice),
                0x86dd => return self.ipv6(walk, slice),
                0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
                    let vlan = slice.u16_at(0)? & 0xfff;
                    // VLAN 0 is a priority without a VLAN.
                    if vlan != 0 {
                        walk.mix(MIX_VLAN, vlan.into());
                    }
                    4
                }
                // 802.1BR E-tag, VN-tag, Cisco's metadata.
                0x893f => 8,
                0x8926 | 0x8909 => 6,
                0x8847 | 0x8848 => return self.mpls(walk, slice),
                0x8864 => return self.pppoe(walk, slice),
                0x6558 => return self.ethernet(walk, slice),
                0..ETHERTYPES => return self.llc(walk, slice.first(slice.wire_bytes().min(ethertype.into()))),
                other => {
                    self.census.other(Other::EtherType(other));
                    return Some(());
                }
            };
            ethertype = slice.u16_at(header - 2)?;
            slice = slice.behind(header)?;
        }
    }

    /// IEEE 802.2, with SNAP or without.
    pub(super) fn llc(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let head = slice.head::<3>()?;
        match head {
            [0xaa, 0xaa, 0x03] => match slice.head::<8>()? {
                [.., 0, 0, 0 | 0xf8, a, b] => self.ethertype(walk, u16::from_be_bytes([*a, *b]), slice.behind(8)?),
                // Bridged Ethernet of RFC 2684, with and without frame check sequence.
                [.., 0, 0x80, 0xc2, 0, 1 | 7] => self.ethernet(walk, slice.behind(10)?),
                _ => {
                    self.census.other(Other::Llc);
                    Some(())
                }
            },
            [0x06, 0x06, 0x03] => self.ipv4(walk, slice.behind(3)?),
            _ => {
                self.census.other(Other::Llc);
                Some(())
            }
        }
    }

    fn cooked(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let (hardware, protocol) = (slice.u16_at(2)?, slice.u16_at(14)?);
        self.cooked_payload(walk, hardware, protocol, slice.behind(16)?)
    }

    fn cooked2(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let (protocol, hardware) = (slice.u16_at(0)?, slice.u16_at(8)?);
        self.cooked_payload(walk, hardware, protocol, slice.behind(20)?)
    }

    fn cooked_payload(&mut self, walk: &mut Walk<'_>, hardware: u16, protocol: u16, slice: Slice<'_>) -> Option<()> {
        match (hardware, protocol) {
            (ARPHRD_NETLINK, _) => {
                self.census.other(Other::EtherType(protocol));
                Some(())
            }
            (ARPHRD_RADIOTAP, _) => self.radiotap(walk, slice),
            (ARPHRD_IPGRE, _) => self.gre_payload(walk, protocol, slice),
            // Linux's own numbers: raw 802.3, and 802.2.
            (_, 1) => {
                self.census.other(Other::Llc);
                Some(())
            }
            (_, 4) => self.llc(walk, slice),
            (_, ..ETHERTYPES) => {
                self.census.other(Other::EtherType(protocol));
                Some(())
            }
            _ => self.ethertype(walk, protocol, slice),
        }
    }

    /// BSD loopback: an address family in the endianness of the machine or of the network, which the number tells.
    fn loopback(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let head = *slice.head::<4>()?;
        let rest = slice.behind(4)?;
        let either = [u32::from_le_bytes(head), u32::from_be_bytes(head)];
        if either.contains(&AF_IPV4) {
            self.ipv4(walk, rest)
        } else if AF_IPV6.iter().any(|family| either.contains(family)) {
            self.ipv6(walk, rest)
        } else {
            self.census.other(Other::EtherType(0));
            Some(())
        }
    }

    /// Address and control, then an EtherType.
    pub(super) fn cisco_hdlc(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let ethertype = slice.u16_at(2)?;
        if ethertype < ETHERTYPES {
            self.census.other(Other::EtherType(ethertype));
            return Some(());
        }
        self.ethertype(walk, ethertype, slice.behind(4)?)
    }

    /// Netfilter's log: a header of 4 bytes, then attributes, one of which is the packet. Lengths and types are in the
    /// endianness of the machine.
    fn nflog(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let mut rest = slice.behind(4)?;
        let first = *rest.head::<2>()?;
        let big_endian = usize::from(u16::from_le_bytes(first)) > rest.wire_bytes() || first[1] >= 4 && first[0] < 4;
        let number = |bytes: [u8; 2]| if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        loop {
            let [l0, l1, t0, t1] = *rest.head::<4>()?;
            let (length, kind) = (usize::from(number([l0, l1])), number([t0, t1]) & 0x7fff);
            if length < 4 {
                return None;
            }
            if kind == NFULA_PAYLOAD {
                return self.ip(walk, rest.first(length).behind(4)?);
            }
            rest = rest.behind(length.next_multiple_of(4))?;
        }
    }

    /// Apple's: a header that says its length and the link type of what is behind it, little-endian.
    fn pktap(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let [l0, l1, l2, l3, _, _, _, _, d0, d1, d2, d3] = *slice.head::<12>()?;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let rest = slice.behind(length.max(12))?;
        let link = u32::from_le_bytes([d0, d1, d2, d3]);
        self.link(walk, u16::try_from(link).unwrap_or(u16::MAX), rest);
        Some(())
    }

    /// A stack of labels (RFC 3032). What is beneath has to be guessed: IP, or Ethernet with or without a control word
    /// (RFC 4448). Labels belong to one direction, so they are no part of the lane; that there are some is.
    pub(super) fn mpls(&mut self, walk: &mut Walk<'_>, mut slice: Slice<'_>) -> Option<()> {
        if !self.enter(walk) {
            return Some(());
        }
        loop {
            let bottom = slice.head::<4>()?[2] & 1 == 1;
            slice = slice.behind(4)?;
            if bottom {
                break;
            }
        }
        walk.mix(MIX_MPLS, 0);
        let behind_control_word = slice.behind(4).filter(|_| slice.version() == Some(0));
        if looks_ipv4(slice) {
            self.ipv4(walk, slice)
        } else if looks_ipv6(slice) {
            self.ipv6(walk, slice)
        } else if let Some(rest) = behind_control_word.filter(|&rest| looks_ethernet(rest)) {
            self.ethernet(walk, rest)
        } else if looks_ethernet(slice) {
            self.ethernet(walk, slice)
        } else {
            self.census.undecodable(Undecodable::Mpls);
            Some(())
        }
    }
}

/// Begins like a packet of IPv4: a header length and a total length that can be.
pub(super) fn looks_ipv4(slice: Slice<'_>) -> bool {
    let Some(&[first, _, l0, l1]) = slice.head::<4>() else { return false };
    let (header, total) = (usize::from(first & 0xf) * 4, usize::from(u16::from_be_bytes([l0, l1])));
    first >> 4 == 4 && header >= 20 && (total >= header || total == 0) && total <= slice.wire_bytes()
}

/// Begins like a packet of IPv6: a payload length that can be.
pub(super) fn looks_ipv6(slice: Slice<'_>) -> bool {
    let Some(&[first, _, _, _, l0, l1]) = slice.head::<6>() else { return false };
    first >> 4 == 6 && usize::from(u16::from_be_bytes([l0, l1])) + 40 <= slice.wire_bytes()
}

/// Begins like Ethernet: has an EtherType that is looked into, or one of those beside it, in its place.
pub(super) fn looks_ethernet(slice: Slice<'_>) -> bool {
    matches!(
        slice.u16_at(12),
        Some(0x0800 | 0x0806 | 0x86dd | 0x8100 | 0x88a8 | 0x9100 | 0x8847 | 0x8848 | 0x8863 | 0x8864 | 0x88cc)
    )
}
