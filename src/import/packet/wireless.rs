//! IEEE 802.11 data frames, and the headers that capturers put before them.

use super::census::{Other, Undecodable};
use super::dissector::{Dissector, Walk};
use super::slice::Slice;

/// Frame control, second byte.
const TO_DS_FROM_DS: u8 = 0x03;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
/// Subtype bits of data frames.
const NO_DATA: u8 = 0x40;
const QOS: u8 = 0x80;
/// QoS control: the body is an aggregate of frames.
const AGGREGATE: u8 = 0x80;
/// Radiotap flags field: the header is padded to a multiple of 4 bytes.
const PADDED: u8 = 0x20;
/// The cookie that begins an AVS header; a header without it is Prism's.
const AVS_MAGIC: [u8; 3] = [0x80, 0x21, 0x10];
const PRISM_BYTES: usize = 144;

impl Dissector {
    /// Radiotap: a header of its own length; its flags may say that the frame's header is padded.
    pub(super) fn radiotap(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let &[_, _, l0, l1, ..] = slice.head::<8>()?;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let flags = radiotap_flags(slice.data.get(..length)?).unwrap_or(0);
        self.wireless(walk, slice.behind(length)?, flags & PADDED != 0)
    }

    /// CACE's per-packet information: a header of its own length that also names the link type behind it.
    pub(super) fn ppi(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let &[_, _, l0, l1, d0, d1, d2, d3] = slice.head::<8>()?;
        let length = usize::from(u16::from_le_bytes([l0, l1])).max(8);
        let link = u16::try_from(u32::from_le_bytes([d0, d1, d2, d3])).unwrap_or(u16::MAX);
        self.link(walk, link, slice.behind(length)?);
        Some(())
    }

    /// The older headers of Prism and AVS.
    pub(super) fn wireless_capture_header(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>) -> Option<()> {
        let head = slice.head::<8>()?;
        let length = if head.starts_with(&AVS_MAGIC) {
            u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize
        } else {
            PRISM_BYTES
        };
        self.wireless(walk, slice.behind(length.max(8))?, false)
    }

    /// A frame; `padded`: its header is followed by bytes up to a multiple of 4.
    pub(super) fn wireless(&mut self, walk: &mut Walk<'_>, slice: Slice<'_>, padded: bool) -> Option<()> {
        if !self.enter(walk) {
            return Some(());
        }
        let &[kind, flags] = slice.head::<2>()?;
        if kind & 0x0f != 0x08 || kind & NO_DATA != 0 {
            self.census.other(Other::WirelessControl);
            return Some(());
        }
        if flags & PROTECTED != 0 {
            self.census.other(Other::WirelessEncrypted);
            return Some(());
        }
        if flags & MORE_FRAGMENTS != 0 || slice.data.get(22)? & 0x0f != 0 {
            self.census.undecodable(Undecodable::WirelessFragment);
            return Some(());
        }
        let mut header = if flags & TO_DS_FROM_DS == TO_DS_FROM_DS { 30 } else { 24 };
        let mut aggregate = false;
        if kind & QOS != 0 {
            aggregate = slice.data.get(header)? & AGGREGATE != 0;
            header += if flags & ORDER != 0 { 6 } else { 2 };
        }
        if padded {
            header = header.next_multiple_of(4);
        }
        let body = slice.behind(header)?;
        if aggregate { self.aggregate(walk, body) } else { self.llc(walk, body) }
    }

    /// An A-MSDU: frames with two addresses and a length each, padded to multiples of 4.
    fn aggregate(&mut self, walk: &mut Walk<'_>, mut slice: Slice<'_>) -> Option<()> {
        let outside = walk.place();
        while !slice.data.is_empty() {
            let length = usize::from(slice.u16_at(12)?);
            self.llc(walk, slice.behind(14)?.first(length))?;
            walk.back_to(outside);
            match slice.behind((14 + length).next_multiple_of(4)) {
                Some(rest) => slice = rest,
                None => break,
            }
        }
        Some(())
    }
}

/// The flags field of a radiotap header: the second field, behind the presence words and the first field's time stamp.
fn radiotap_flags(header: &[u8]) -> Option<u8> {
    let mut words =
        header.get(4..)?.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let first = words.next()?;
    let mut fields = 8;
    let mut word = first;
    while word >> 31 == 1 {
        word = words.next()?;
        fields += 4;
    }
    if first & 2 == 0 {
        return None;
    }
    let at = if first & 1 == 1 { usize::next_multiple_of(fields, 8) + 8 } else { fields };
    header.get(at).copied()
}
