//! Tunnels: GRE and what goes in it, VXLAN, Geneve, GTP-U, Teredo, AYIYA.
//!
//! A tunnel's method gives `None` when its header is not whole or not valid; what is inside counts itself.

use super::census::{Other, Tunnel, Undecodable};
use super::dissector::{Dissector, Walk};
use super::link::{looks_ethernet, looks_ipv4, looks_ipv6};
use super::slice::Slice;

const GRE_CHECKSUM: u8 = 0x80;
const GRE_ROUTING: u8 = 0x40;
const GRE_KEY: u8 = 0x20;
const GRE_SEQUENCE: u8 = 0x10;
const GRE_ACK: u8 = 0x80;
const GRE_PPP: u16 = 0x880b;
const GRE_ERSPAN_II: u16 = 0x88be;
const GRE_ERSPAN_III: u16 = 0x22eb;
const GRE_WCCP: u16 = 0x883e;
const TRANSPARENT_ETHERNET: u16 = 0x6558;

const GTP_DATA: u8 = 255;

impl Dissector {
    /// GRE (RFC 2784, 2890, 1701) and PPTP's variant of it (RFC 2637). `space` tells apart what has no key.
    pub(super) fn gre(&mut self, walk: &mut Walk<'_>, space: u64, slice: Slice<'_>) {
        let whole = match slice.head::<4>() {
            Some(head) if head[1] & 7 == 1 => self.pptp(walk, slice),
            Some(head) if head[1] & 7 == 0 => self.plain_gre(walk, space, slice),
            _ => None,
        };
        if whole.is_none() {
            self.census.undecodable(Undecodable::Tunnel(Tunnel::Gre));
        }
    }

    fn plain_gre(&mut self, walk: &mut Walk<'_>, space: u64, slice: Slice<'_>) -> Option<()> {
        let &[flags, _, p0, p1] = slice.head::<4>()?;
        let protocol = u16::from_be_bytes([p0, p1]);
        let mut rest = slice.behind(4)?;
        if flags & (GRE_CHECKSUM | GRE_ROUTING) != 0 {
            rest = rest.behind(4)?;
        }
        let mut space = space;
        if flags & GRE_KEY != 0 {
            space = u32::from_be_bytes(*rest.head()?).into();
            rest = rest.behind(4)?;
        }
        if flags & GRE_SEQUENCE != 0 {
            rest = rest.behind(4)?;
        }
        if flags & GRE_ROUTING != 0 {
            loop {
                let &[f0, f1, _, length] = rest.head::<4>()?;
                rest = rest.behind(4 + usize::from(length))?;
                if [f0, f1, length] == [0; 3] {
                    break;
                }
            }
        }
        match protocol {
            GRE_ERSPAN_II | GRE_ERSPAN_III => self.erspan(walk, protocol, flags & GRE_SEQUENCE != 0, rest),
            0 => {
                self.census.other(Other::TunnelControl(Tunnel::Gre));
                Some(())
            }
            _ if self.enter_tunnel(walk, Tunnel::Gre, space) => self.gre_payload(walk, protocol, rest),
            _ => Some(()),
        }
    }

    /// What GRE carries, by its protocol number; also what Linux captures on a GRE interface.
    pub(super) fn gre_payload(&mut self, walk: &mut Walk<'_>, protocol: u16, slice: Slice<'_>) -> Option<()> {
        match protocol {
            TRANSPARENT_ETHERNET => self.ethernet(walk, slice),
            GRE_PPP => self.ppp_framed(walk, slice),
            // Redirected to a cache: version 2 puts four bytes before the packet.
            GRE_WCCP if slice.version() != Some(4) => self.ipv4(walk, slice.behind(4)?),
            GRE_WCCP => self.ipv4(walk, slice),
            // Aruba's access points number their queues and slots from here on, and from 0x9000.
            0x8200..=0x82ff | 0x8300..=0x83ff | 0x8a00..=0x8aff | 0x9000..=0x90ff if looks_wireless(slice) => {
                self.wireless(walk, slice, false)
            }
            0x8200..=0x83ff | 0x9000..=0x90ff if looks_ethernet(slice) => self.ethernet(walk, slice),
            other => self.ethertype(walk, other, slice),
        }
    }

    /// PPP in GRE version 1. Each side chooses the call number of its direction, so it is no part of the lane.
    fn pptp(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let &[flags, acks, p0, p1, l0, l1, _, _] = slice.head::<8>()?;
        if u16::from_be_bytes([p0, p1]) != GRE_PPP || flags & GRE_KEY == 0 {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let header = 8 + if flags & GRE_SEQUENCE != 0 { 4 } else { 0 } + if acks & GRE_ACK != 0 { 4 } else { 0 };
        if flags & GRE_SEQUENCE == 0 || length == 0 {
            self.census.other(Other::TunnelControl(Tunnel::Gre));
            return Some(());
        }
        let payload = slice.behind(header)?.first(length);
        if self.enter_tunnel(walk, Tunnel::Gre, 0) { self.ppp_framed(walk, payload) } else { Some(()) }
    }

    /// Cisco's mirror: type I without a header, II with 8 bytes (and a sequence number before), III with 12 or 20.
    fn erspan(&mut self, walk: &mut Walk<'_>, protocol: u16, sequenced: bool, slice: Slice<'_>) -> Option<()> {
        if !self.enter_tunnel(walk, Tunnel::Erspan, 0) {
            return Some(());
        }
        if protocol == GRE_ERSPAN_II {
            let header = if sequenced { 8 } else { 0 };
            return self.ethernet(walk, slice.behind(header)?);
        }
        // The last word: a group tag of 16 bits, P, the frame type in five bits, hardware, D, Gra, O.
        let head = slice.head::<12>()?;
        let (frame_type, platform) = (head[10] >> 2 & 0x1f, head[11] & 1 == 1);
        let rest = slice.behind(if platform { 20 } else { 12 })?;
        match frame_type {
            2 => self.ip(walk, rest),
            _ => self.ethernet(walk, rest),
        }
    }

    /// RFC 7348. Only the flag that makes the network number valid is looked at: the others are to be ignored.
    pub(super) fn vxlan(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let head = slice.head::<8>()?;
        if head[0] & 0x08 == 0 {
            return None;
        }
        if self.enter_tunnel(walk, Tunnel::Vxlan, network(head)) {
            self.ethernet(walk, slice.behind(8)?)
        } else {
            Some(())
        }
    }

    /// VXLAN that names what it carries (draft-ietf-nvo3-vxlan-gpe).
    pub(super) fn vxlan_gpe(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let head = slice.head::<8>()?;
        let (flags, next) = (head[0], head[3]);
        if flags & 0x08 == 0 {
            return None;
        }
        if flags & 0x01 != 0 {
            self.census.other(Other::TunnelControl(Tunnel::Vxlan));
            return Some(());
        }
        if !self.enter_tunnel(walk, Tunnel::Vxlan, network(head)) {
            return Some(());
        }
        let rest = slice.behind(8)?;
        match if flags & 0x04 != 0 { next } else { 3 } {
            1 => self.ipv4(walk, rest),
            2 => self.ipv6(walk, rest),
            3 => self.ethernet(walk, rest),
            4 => self.service_header(walk, rest),
            5 => self.mpls(walk, rest),
            _ => None,
        }
    }

    /// The network service header (RFC 8300), which says its length and what follows.
    fn service_header(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let &[_, length, _, next] = slice.head::<4>()?;
        let rest = slice.behind(usize::from(length & 0x3f).max(2) * 4)?;
        match next {
            1 => self.ipv4(walk, rest),
            2 => self.ipv6(walk, rest),
            3 => self.ethernet(walk, rest),
            5 => self.mpls(walk, rest),
            _ => None,
        }
    }

    /// RFC 8926.
    pub(super) fn geneve(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let head = slice.head::<8>()?;
        if head[0] >> 6 != 0 {
            return None;
        }
        if head[1] & 0x80 != 0 {
            self.census.other(Other::TunnelControl(Tunnel::Geneve));
            return Some(());
        }
        let rest = slice.behind(8 + usize::from(head[0] & 0x3f) * 4)?;
        let ethertype = u16::from_be_bytes([head[2], head[3]]);
        if self.enter_tunnel(walk, Tunnel::Geneve, network(head)) {
            self.ethertype(walk, ethertype, rest)
        } else {
            Some(())
        }
    }

    /// 3GPP TS 29.281. The endpoint number is of one direction, so it is no part of the lane.
    pub(super) fn gtp(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let head = slice.head::<8>()?;
        // Version 1, not GTP'.
        if head[0] & 0xf0 != 0x30 {
            return None;
        }
        if head[1] != GTP_DATA {
            self.census.other(Other::TunnelControl(Tunnel::GtpU));
            return Some(());
        }
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let mut rest = slice.behind(8)?.first(length);
        if head[0] & 0x07 != 0 {
            let mut next = rest.head::<4>()?[3];
            rest = rest.behind(4)?;
            if head[0] & 0x04 == 0 {
                next = 0;
            }
            while next != 0 {
                let bytes = usize::from(*rest.data.first()?) * 4;
                next = *rest.data.get(bytes.checked_sub(1)?)?;
                rest = rest.behind(bytes)?;
            }
        }
        if !self.enter_tunnel(walk, Tunnel::GtpU, 0) {
            return Some(());
        }
        match rest.version()? {
            4 if looks_ipv4(rest) || !looks_ethernet(rest) => self.ipv4(walk, rest),
            6 if looks_ipv6(rest) || !looks_ethernet(rest) => self.ipv6(walk, rest),
            _ if looks_ethernet(rest) => self.ethernet(walk, rest),
            _ => None,
        }
    }

    /// RFC 4380: authentication and origin, each at most once, then IPv6.
    pub(super) fn teredo(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let inner = teredo_payload(slice)?;
        if self.enter_tunnel(walk, Tunnel::Teredo, 0) { self.ipv6(walk, inner) } else { Some(()) }
    }

    /// IPv6 that fills a datagram and has an address of Teredo's prefix.
    pub(super) fn looks_teredo(&self, slice: Slice<'_>) -> bool {
        const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
        let Some(first) = slice.data.first().filter(|&&first| first == 0 || first >> 4 == 6) else { return false };
        let inner = if *first == 0 { teredo_payload(slice) } else { Some(slice) };
        let Some(inner) = inner.filter(|&inner| looks_ipv6(inner)) else { return false };
        inner.data.get(8..12) == Some(&PREFIX) || inner.data.get(24..28) == Some(&PREFIX)
    }

    /// draft-massar-v6ops-ayiya: identity and signature of lengths that the first bytes say, then a packet.
    pub(super) fn ayiya(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let &[identity, signature, operation, next, ..] = slice.head::<8>()?;
        if operation & 0xf != 1 {
            self.census.other(Other::TunnelControl(Tunnel::Ayiya));
            return Some(());
        }
        let rest = slice.behind(8 + (1usize << (identity >> 4)) + usize::from(signature >> 4) * 4)?;
        if !self.enter_tunnel(walk, Tunnel::Ayiya, 0) {
            return Some(());
        }
        match next {
            4 => self.ipv4(walk, rest),
            41 => self.ipv6(walk, rest),
            _ => None,
        }
    }

    /// RFC 7510.
    pub(super) fn mpls_in_udp(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        if self.enter_tunnel(walk, Tunnel::MplsInIp, 0) { self.mpls(walk, slice) } else { Some(()) }
    }
}

/// The number of 24 bits that VXLAN and Geneve have in the same place.
fn network(head: &[u8; 8]) -> u64 {
    u32::from_be_bytes([0, head[4], head[5], head[6]]).into()
}

/// A frame of IEEE 802.11 with data, unencrypted.
fn looks_wireless(slice: Slice<'_>) -> bool {
    slice.head::<2>().is_some_and(|&[kind, flags]| kind & 0x4f == 0x08 && flags & 0x40 == 0)
}

fn teredo_payload(slice: Slice<'_>) -> Option<Slice<'_>> {
    let mut rest = slice;
    if let Some(&[0, 1, client, value]) = rest.head::<4>() {
        rest = rest.behind(4 + usize::from(client) + usize::from(value) + 9)?;
    }
    if let Some(&[0, 0]) = rest.head::<2>() {
        rest = rest.behind(8)?;
    }
    (rest.version()? == 6).then_some(rest)
}
