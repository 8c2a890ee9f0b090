//! PPP (RFC 1661), its framing (RFC 1662) and PPPoE (RFC 2516).

use super::census::{Other, Tunnel, Undecodable};
use super::dissector::{Dissector, Walk};
use super::slice::Slice;

/// Begins a PPPoE session packet: version 1, type 1, code 0.
const SESSION: [u8; 2] = [0x11, 0];

impl Dissector {
    /// PPP behind HDLC's address and control, or with those left out, or Cisco's own framing instead.
    pub(super) fn ppp_framed(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        match slice.head::<2>()? {
            [0xff, 0x03] => self.ppp(walk, slice.behind(2)?),
            [0x0f | 0x8f, _] => self.cisco_hdlc(walk, slice),
            _ => self.ppp(walk, slice),
        }
    }

    /// A protocol number, one byte or two, and what it says.
    pub(super) fn ppp(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        if !self.enter(walk) {
            return Some(());
        }
        let first = *slice.data.first()?;
        // The last byte of the number is odd, and only that.
        let (protocol, rest) =
            if first & 1 == 1 { (first.into(), slice.behind(1)?) } else { (slice.u16_at(0)?, slice.behind(2)?) };
        match protocol {
            0x0021 => self.ipv4(walk, rest),
            0x0057 => self.ipv6(walk, rest),
            0x0281 | 0x0283 => self.mpls(walk, rest),
            other => {
                self.census.other(Other::Ppp(other));
                Some(())
            }
        }
    }

    /// A PPPoE session packet. Session numbers tell address spaces apart no better than the addresses that are given out
    /// in them.
    pub(super) fn pppoe(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let head = slice.head::<6>()?;
        if head[..2] != SESSION {
            self.census.other(Other::TunnelControl(Tunnel::Pppoe));
            return Some(());
        }
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        if !self.enter_tunnel(walk, Tunnel::Pppoe, 0) {
            return Some(());
        }
        if self.ppp_framed(walk, slice.behind(6)?.first(length)).is_none() {
            self.census.undecodable(Undecodable::Tunnel(Tunnel::Pppoe));
        }
        Some(())
    }
}
