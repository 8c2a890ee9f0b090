//! Headers and options of pcapng blocks (draft-ietf-opsawg-pcapng), in either endianness.

use std::io::{self, Read};

use pcap_parser::pcapng::{BOM_MAGIC, DSB_MAGIC, EPB_MAGIC, IDB_MAGIC, ISB_MAGIC, NRB_MAGIC, SHB_MAGIC, SPB_MAGIC};

use super::window::Window;

/// Type of the obsolete Packet Block.
pub(super) const PACKET_BLOCK: u32 = 2;
/// Bytes at the start of a block that tell its length: type, length, and the byte-order magic of a section header.
pub(super) const HEAD_BYTES: usize = 12;
/// Bytes searched for the next block behind damage.
const SEARCH_BYTES: usize = 16 * 1024 * 1024;
/// Length of the shortest block.
const SHORTEST: usize = 12;

/// Endianness of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Little,
    Big,
}

impl Order {
    #[inline]
    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    #[inline]
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    /// The number at `at`, if it is there.
    #[inline]
    pub(super) fn u32_at(self, data: &[u8], at: usize) -> Option<u32> {
        Some(self.u32(*data.get(at..)?.first_chunk()?))
    }

    /// The number at `at`, if it is there.
    #[inline]
    pub(super) fn u16_at(self, data: &[u8], at: usize) -> Option<u16> {
        Some(self.u16(*data.get(at..)?.first_chunk()?))
    }
}

/// Type, length and endianness of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u32,
    /// With both lengths and the padding that some writers leave out of them.
    pub(super) bytes: usize,
    pub(super) order: Order,
}

impl Head {
    /// Reads the first [`HEAD_BYTES`] of a block. `None` when they cannot be a block's.
    #[inline]
    pub(super) fn parse(data: &[u8], order: Order) -> Option<Self> {
        let head = data.first_chunk::<HEAD_BYTES>()?;
        let [k0, k1, k2, k3, l0, l1, l2, l3, m0, m1, m2, m3] = *head;
        let kind = order.u32([k0, k1, k2, k3]);
        let order = if kind == SHB_MAGIC { byte_order([m0, m1, m2, m3])? } else { order };
        let bytes = order.u32([l0, l1, l2, l3]) as usize;
        if bytes < SHORTEST {
            return None;
        }
        Some(Self { kind, bytes: bytes.checked_next_multiple_of(4)?, order })
    }

    /// A type that is written by something.
    pub(super) fn known(&self) -> bool {
        matches!(
            self.kind,
            SHB_MAGIC | IDB_MAGIC | PACKET_BLOCK | SPB_MAGIC | NRB_MAGIC | ISB_MAGIC | EPB_MAGIC | DSB_MAGIC
        )
    }

    /// The length is repeated at the end of the block that `data` begins with.
    #[inline]
    pub(super) fn closed(&self, data: &[u8]) -> bool {
        let first = self.order.u32_at(data, 4);
        let unpadded = first.map_or(0, |bytes| bytes as usize);
        let ends = |end: usize| end >= SHORTEST && self.order.u32_at(data, end - 4) == first;
        ends(self.bytes) || ends(unpadded)
    }
}

fn byte_order(magic: [u8; 4]) -> Option<Order> {
    match u32::from_le_bytes(magic) {
        BOM_MAGIC => Some(Order::Little),
        other if other.swap_bytes() == BOM_MAGIC => Some(Order::Big),
        _ => None,
    }
}

/// Looks for a block behind what is none and slides the window to it; says how far that was. `None` when there is none, and
/// the window stays.
pub(super) fn search<R: Read>(window: &mut Window<R>, order: Order) -> io::Result<Option<usize>> {
    loop {
        let data = window.data();
        let held = data.len();
        let is_block = |from: usize| {
            let rest = &data[from..];
            Head::parse(rest, order).is_some_and(|head| head.known() && head.closed(rest))
        };
        if let Some(from) = (1..held.min(SEARCH_BYTES)).find(|&from| is_block(from)) {
            window.consume(from);
            return Ok(Some(from));
        }
        // A little more at a time: the stream may be a live one.
        if held >= SEARCH_BYTES || !window.hold(held * 2 + 1)? && window.data().len() == held {
            return Ok(None);
        }
    }
}

/// The options of a block: code and value. Ends at the end of options or at the first that is cut.
pub(super) fn options(mut rest: &[u8], order: Order) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let code = order.u16_at(rest, 0).filter(|&code| code != 0)?;
        let length = usize::from(order.u16_at(rest, 2)?);
        let value = rest.get(4..4 + length)?;
        rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((code, value))
    })
}
