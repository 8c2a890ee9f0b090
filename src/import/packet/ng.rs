//! pcapng files: sections of either endianness, interfaces, packets, secrets, names, statistics.
//!
//! Blocks are walked and packet blocks read here, to go on behind damage and to allocate nothing; rarer blocks are
//! pcap-parser's, but for numbers in options, which it reads as little-endian, and clocks in powers of two.

use std::io::Read;

use pcap_parser::pcapng::{
    DSB_MAGIC, EPB_MAGIC, IDB_MAGIC, ISB_MAGIC, NRB_MAGIC, SHB_MAGIC, SPB_MAGIC, SecretsType,
    parse_decryptionsecretsblock_be, parse_decryptionsecretsblock_le, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le, parse_interfacestatisticsblock_be, parse_interfacestatisticsblock_le,
    parse_nameresolutionblock_be, parse_nameresolutionblock_le,
};

use super::block::{HEAD_BYTES, Head, Order, PACKET_BLOCK, options, search};
use super::container::{ContainerError, Found, Interface, Names, RECORD_LIMIT};
use super::window::Window;
use crate::observe::streams::UnixNanos;

/// Longest block of descriptions that is taken apart; longer ones are passed over.
const DESCRIPTION_LIMIT: usize = 1024 * 1024;
/// Most interfaces of a section that are kept.
const INTERFACES: usize = 65_536;

const EPB_DROPCOUNT: u16 = 4;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;
const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;
/// Drop count of the obsolete Packet Block that means "not known".
const DROPS_UNKNOWN: u16 = u16::MAX;

/// State of a pcapng file.
#[derive(Debug, Default)]
pub(super) struct Ng {
    order: Order,
    interfaces: Vec<Tap>,
    /// For packets without a time.
    last: UnixNanos,
    /// Of the interfaces of earlier sections.
    dropped_before: u64,
}

/// What of an interface matters for its packets.
#[derive(Debug)]
struct Tap {
    link: u16,
    snaplen: u32,
    clock: Clock,
    /// As its statistics say; they count from the start of the capture.
    dropped: u64,
    /// As its packets say; each counts from the one before.
    dropped_between: u64,
}

impl Ng {
    pub(super) fn recognises(head: &[u8]) -> bool {
        head.starts_with(&SHB_MAGIC.to_le_bytes())
    }

    pub(super) fn big_endian(&self) -> bool {
        self.order == Order::Big
    }

    pub(super) fn dropped(&self) -> u64 {
        let now = self.interfaces.iter().map(|tap| tap.dropped.max(tap.dropped_between));
        now.fold(self.dropped_before, u64::saturating_add)
    }

    pub(super) fn find<R: Read>(&mut self, window: &mut Window<R>) -> Result<Found, ContainerError> {
        loop {
            let offset = window.offset();
            if !window.hold(HEAD_BYTES)? {
                return if window.data().is_empty() { Ok(Found::End) } else { Err(ContainerError::Torn { offset }) };
            }
            let Some(head) = Head::parse(window.data(), self.order) else {
                return self.search(window, ContainerError::Garbage { offset });
            };
            if head.bytes > RECORD_LIMIT {
                return self.search(window, ContainerError::TooLong { offset, bytes: head.bytes as u64 });
            }
            if !window.hold(head.bytes)? {
                return self.search(window, ContainerError::Torn { offset });
            }
            let block = &window.data()[..head.bytes];
            if !head.closed(block) {
                return self.search(window, ContainerError::Garbage { offset });
            }
            if let Some(found) = self.block(head, block) {
                return Ok(found);
            }
            window.consume(head.bytes);
        }
    }

    /// Takes note of a block; says what of it concerns the outside.
    #[inline]
    fn block(&mut self, head: Head, block: &[u8]) -> Option<Found> {
        match head.kind {
            EPB_MAGIC => self.enhanced(block),
            SPB_MAGIC => self.simple(block),
            PACKET_BLOCK => self.obsolete(block),
            SHB_MAGIC => {
                self.dropped_before = self.dropped();
                self.interfaces.clear();
                self.order = head.order;
                None
            }
            IDB_MAGIC if block.len() <= DESCRIPTION_LIMIT => self.interface(block),
            ISB_MAGIC if block.len() <= DESCRIPTION_LIMIT => {
                self.statistics(block);
                None
            }
            NRB_MAGIC if block.len() <= DESCRIPTION_LIMIT => Some(Found::Names { whole: block.len() }),
            DSB_MAGIC => {
                let secrets = secrets(block, self.order)?;
                Some(Found::Secrets { from: SECRETS_AT, len: secrets.len(), whole: block.len() })
            }
            _ => None,
        }
    }

    #[inline]
    fn enhanced(&mut self, block: &[u8]) -> Option<Found> {
        let interface = self.order.u32_at(block, 8)?;
        self.packet(block, interface)
    }

    fn obsolete(&mut self, block: &[u8]) -> Option<Found> {
        let interface = self.order.u16_at(block, 8)?;
        let drops = self.order.u16_at(block, 10)?;
        if drops != DROPS_UNKNOWN
            && let Some(tap) = self.interfaces.get_mut(usize::from(interface))
        {
            tap.dropped_between = tap.dropped_between.saturating_add(drops.into());
        }
        self.packet(block, interface.into())
    }

    /// What Enhanced and obsolete Packet Blocks have in the same places.
    #[inline]
    fn packet(&mut self, block: &[u8], interface: u32) -> Option<Found> {
        const FROM: usize = 28;
        let order = self.order;
        let time = u64::from(order.u32_at(block, 12)?) << 32 | u64::from(order.u32_at(block, 16)?);
        let captured = order.u32_at(block, 20)? as usize;
        let wire_bytes = order.u32_at(block, 24)?;
        // The length at the end of the block is no part of the packet, whatever the captured length says.
        let room = block.len().checked_sub(FROM + 4)?;
        let len = captured.min(room);
        let tap = self.interfaces.get_mut(interface as usize)?;
        let option_bytes = block.get(FROM + len.next_multiple_of(4)..block.len() - 4).unwrap_or(&[]);
        if !option_bytes.is_empty() {
            for (code, value) in options(option_bytes, self.order) {
                if let (EPB_DROPCOUNT, Ok(value)) = (code, value.try_into()) {
                    tap.dropped_between = tap.dropped_between.saturating_add(self.order.u64(value));
                }
            }
        }
        let at = tap.clock.unix_nanos(time);
        self.last = at;
        let wire_bytes = wire_bytes.max(len as u32);
        Some(Found::Packet { at, link: tap.link, interface, from: FROM, len, wire_bytes, whole: block.len() })
    }

    /// A Simple Packet Block has neither time nor interface nor captured length: the last time, the first interface, and
    /// what its snapshot length and the block leave.
    fn simple(&mut self, block: &[u8]) -> Option<Found> {
        const FROM: usize = 12;
        let wire_bytes = self.order.u32_at(block, 8)?;
        let tap = self.interfaces.first()?;
        let snaplen = if tap.snaplen == 0 { u32::MAX } else { tap.snaplen };
        let len = (block.len().checked_sub(FROM + 4)?).min(wire_bytes.min(snaplen) as usize);
        let whole = block.len();
        Some(Found::Packet { at: self.last, link: tap.link, interface: 0, from: FROM, len, wire_bytes, whole })
    }

    fn interface(&mut self, block: &[u8]) -> Option<Found> {
        let parsed = match self.order {
            Order::Little => parse_interfacedescriptionblock_le(block),
            Order::Big => parse_interfacedescriptionblock_be(block),
        };
        let Ok((_, parsed)) = parsed else {
            // A description that cannot be read still takes its number.
            let (link, clock) = (self.order.u16_at(block, 8).unwrap_or(u16::MAX), Clock::default());
            self.keep(Tap { link, snaplen: 0, clock, dropped: 0, dropped_between: 0 });
            return None;
        };
        let mut clock = Clock::default();
        for option in &parsed.options {
            let value = option.as_bytes().unwrap_or(&[]);
            match (option.code.0, value) {
                (0, _) => break,
                (IF_TSRESOL, [resolution]) => clock.resolution = Resolution::parse(*resolution),
                (IF_TSOFFSET, value) => {
                    if let Ok(value) = value.try_into() {
                        clock.offset_seconds = self.order.u64(value).cast_signed();
                    }
                }
                _ => {}
            }
        }
        let link = parsed.linktype.0 as u16;
        self.keep(Tap { link, snaplen: parsed.snaplen, clock, dropped: 0, dropped_between: 0 });
        let text = |text: Option<Result<&str, _>>| {
            text.and_then(Result::ok).map(|text| text.trim_end_matches('\0').to_owned())
        };
        let interface = Interface {
            link,
            name: text(parsed.if_name()),
            description: text(parsed.if_description()),
            snaplen: parsed.snaplen,
        };
        Some(Found::Interface { interface, whole: block.len() })
    }

    fn keep(&mut self, tap: Tap) {
        if self.interfaces.len() < INTERFACES {
            self.interfaces.push(tap);
        }
    }

    fn statistics(&mut self, block: &[u8]) {
        let parsed = match self.order {
            Order::Little => parse_interfacestatisticsblock_le(block),
            Order::Big => parse_interfacestatisticsblock_be(block),
        };
        let Ok((_, parsed)) = parsed else { return };
        let mut dropped = 0u64;
        for option in &parsed.options {
            // pcap-parser reads numbers in options as little-endian only.
            let number = option.as_bytes().ok().and_then(|value| Some(self.order.u64(value.try_into().ok()?)));
            if let (ISB_IFDROP | ISB_OSDROP, Some(number)) = (option.code.0, number) {
                dropped = dropped.saturating_add(number);
            }
        }
        if let Some(tap) = self.interfaces.get_mut(parsed.if_id as usize) {
            tap.dropped = tap.dropped.max(dropped);
        }
    }

    /// Goes on at the next block behind what is none; `error` when there is none.
    fn search<R: Read>(&mut self, window: &mut Window<R>, error: ContainerError) -> Result<Found, ContainerError> {
        let offset = window.offset();
        match search(window, self.order)? {
            Some(bytes) => Ok(Found::Skipped { offset, bytes: bytes as u64 }),
            None => Err(error),
        }
    }
}

/// Where the secrets of a Decryption Secrets Block begin.
pub(super) const SECRETS_AT: usize = 16;

/// The TLS key log in a Decryption Secrets Block.
pub(super) fn secrets(block: &[u8], order: Order) -> Option<&[u8]> {
    let length = order.u32_at(block, 12)? as usize;
    let all = block.get(SECRETS_AT..)?;
    if all.len().saturating_sub(length) > DESCRIPTION_LIMIT {
        return None;
    }
    let (_, parsed) = match order {
        Order::Little => parse_decryptionsecretsblock_le(block),
        Order::Big => parse_decryptionsecretsblock_be(block),
    }
    .ok()?;
    (parsed.secrets_type == SecretsType::TlsKeyLog).then(|| all.get(..length)).flatten()
}

/// The names in a Name Resolution Block.
pub(super) fn names(block: &[u8], big_endian: bool) -> Names<'_> {
    let parsed = if big_endian { parse_nameresolutionblock_be(block) } else { parse_nameresolutionblock_le(block) };
    Names { records: parsed.map(|(_, block)| block.nr).unwrap_or_default() }
}

/// How an interface writes time.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    resolution: Resolution,
    offset_seconds: i64,
}

/// Units of a timestamp per second.
#[derive(Clone, Copy, Debug)]
enum Resolution {
    /// A unit is so many nanoseconds.
    Coarse(u64),
    /// So many units are a nanosecond.
    Fine(u64),
    /// A second has 2 to the power of this many units.
    Binary(u8),
}

impl Default for Resolution {
    fn default() -> Self {
        Self::Coarse(1000)
    }
}

impl Resolution {
    /// Reads `if_tsresol`. Powers beyond reason tell no time: everything is at 0.
    fn parse(value: u8) -> Self {
        match value {
            0..=9 => Self::Coarse(10u64.pow(9 - u32::from(value))),
            10..=28 => Self::Fine(10u64.pow(u32::from(value) - 9)),
            29..0x80 => Self::Fine(u64::MAX),
            _ => Self::Binary(value & 0x7f),
        }
    }
}

impl Clock {
    #[inline]
    fn unix_nanos(self, time: u64) -> UnixNanos {
        let nanos = match self.resolution {
            Resolution::Coarse(nanos) => time.saturating_mul(nanos),
            Resolution::Fine(units) => time / units,
            Resolution::Binary(power) => {
                let nanos = (u128::from(time) * 1_000_000_000).checked_shr(power.into()).unwrap_or(0);
                u64::try_from(nanos).unwrap_or(u64::MAX)
            }
        };
        if self.offset_seconds == 0 {
            return nanos;
        }
        let shifted = i128::from(nanos) + i128::from(self.offset_seconds) * 1_000_000_000;
        u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)
    }
}
