//! pcap files: microseconds or nanoseconds, either endianness, and the variants with longer record headers.

use std::io::Read;

use pcap_parser::parse_pcap_header;

use super::container::{ContainerError, Found, RECORD_LIMIT};
use super::window::Window;

const HEADER_BYTES: usize = 24;
/// Packets may be longer than the header says they are kept: capturers glue segments together.
const SNAPLEN_SLACK: usize = 1024 * 1024;
/// Bytes searched for the next record behind damage.
const SEARCH_BYTES: usize = 8 * 1024 * 1024;
/// Records that must follow each other for what was found behind damage to be believed.
const CHAIN: usize = 3;
/// Seconds that a record behind damage may lie from the last one before.
const APART: u64 = 24 * 3600;

/// Magic numbers as little-endian files begin with them.
const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
const KUZNETZOV: u32 = 0xa1b2_cd34;

/// Header lengths of records: plain, Kuznetzov's (interface, protocol, packet type behind), Nokia's (four bytes behind).
const PLAIN: usize = 16;
const LONG: usize = 24;
const NOKIA: usize = 20;

/// What the header says.
#[derive(Debug)]
pub(super) struct Classic {
    big_endian: bool,
    nanos_per_fraction: u64,
    record_header: usize,
    link: u16,
    snaplen: usize,
    /// Old writers stored the two lengths in the other order.
    lengths_swapped: bool,
    last_second: Option<u64>,
}

/// A record's header.
#[derive(Clone, Copy, Debug)]
struct Record {
    second: u64,
    fraction: u64,
    captured: usize,
    wire_bytes: u32,
}

impl Classic {
    pub(super) fn recognises(head: &[u8]) -> bool {
        magic(head).is_some()
    }

    pub(super) fn open<R: Read>(window: &mut Window<R>) -> Result<Self, ContainerError> {
        if !window.hold(HEADER_BYTES)? {
            return Err(ContainerError::Torn { offset: 0 });
        }
        let (magic, big_endian) = magic(window.data()).ok_or(ContainerError::NotPackets)?;
        // pcap-parser does not know Kuznetzov's variant of big-endian machines; but for its magic the header is the plain one.
        let mut head = [0; HEADER_BYTES];
        head.copy_from_slice(&window.data()[..HEADER_BYTES]);
        head[..4].copy_from_slice(&if big_endian { MICROS.to_be_bytes() } else { MICROS.to_le_bytes() });
        let (_, header) = parse_pcap_header(&head).map_err(|_| ContainerError::NotPackets)?;
        let mut classic = Self {
            big_endian,
            nanos_per_fraction: if magic == NANOS { 1 } else { 1000 },
            record_header: if magic == KUZNETZOV { LONG } else { PLAIN },
            // The upper half holds the length of a frame check sequence.
            link: (header.network.0 & 0xffff) as u16,
            snaplen: header.snaplen as usize,
            lengths_swapped: header.version_major == 2 && header.version_minor < 3,
            last_second: None,
        };
        window.consume(HEADER_BYTES);
        if magic == MICROS {
            classic.guess_record_header(window)?;
        }
        Ok(classic)
    }

    /// Variants share the plain magic number; the first records tell. One record must be whole for it, so a pipe is not
    /// waited on for longer than until its first packet.
    fn guess_record_header<R: Read>(&mut self, window: &mut Window<R>) -> Result<(), ContainerError> {
        if !window.hold(PLAIN)? {
            return Ok(());
        }
        if let Some(first) = self.record(window.data())
            && self.plausible(&first)
        {
            window.hold(PLAIN + first.captured)?;
        }
        let data = window.data();
        if self.chain(data, None).is_none() {
            let second = self.record(data).map(|first| first.second);
            for length in [LONG, NOKIA] {
                self.record_header = length;
                if self.chain(data, second).is_some_and(|records| records > 1) {
                    return Ok(());
                }
            }
            self.record_header = PLAIN;
        }
        Ok(())
    }

    pub(super) fn find<R: Read>(&mut self, window: &mut Window<R>) -> Result<Found, ContainerError> {
        let offset = window.offset();
        if !window.hold(self.record_header)? {
            return if window.data().is_empty() { Ok(Found::End) } else { Err(ContainerError::Torn { offset }) };
        }
        let record = self.record(window.data()).ok_or(ContainerError::Garbage { offset })?;
        // A hole full of zeros would be read as packets without end.
        if record.captured > self.longest() || record.wire_bytes == 0 {
            return self.search(window);
        }
        let whole = self.record_header + record.captured;
        if !window.hold(whole)? {
            // A damaged length can reach beyond the end.
            return match self.search(window) {
                Err(ContainerError::Garbage { .. }) => Err(ContainerError::Torn { offset }),
                found => found,
            };
        }
        self.last_second = Some(record.second);
        let at = record.second * 1_000_000_000 + record.fraction * self.nanos_per_fraction;
        let (from, len) = (self.record_header, record.captured);
        Ok(Found::Packet { at, link: self.link, interface: 0, from, len, wire_bytes: record.wire_bytes, whole })
    }

    fn longest(&self) -> usize {
        self.snaplen.saturating_add(SNAPLEN_SLACK).min(RECORD_LIMIT)
    }

    fn record(&self, data: &[u8]) -> Option<Record> {
        let head = data.first_chunk::<PLAIN>()?;
        let number = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (mut captured, mut wire_bytes) = (number(8), number(12));
        if self.lengths_swapped {
            (captured, wire_bytes) = (wire_bytes, captured);
        }
        Some(Record {
            second: number(0).into(),
            fraction: number(4).into(),
            captured: captured as usize,
            wire_bytes: wire_bytes.max(captured),
        })
    }

    fn plausible(&self, record: &Record) -> bool {
        record.captured <= self.longest()
            && record.wire_bytes as usize <= RECORD_LIMIT
            && record.fraction * self.nanos_per_fraction < 1_000_000_000
    }

    /// How many plausible records follow each other from the start of `data`, at most [`CHAIN`]; `None` when something
    /// implausible comes first. With `near`, also no record may be empty, or far from that second.
    fn chain(&self, data: &[u8], near: Option<u64>) -> Option<usize> {
        let mut at = 0usize;
        for count in 0..CHAIN {
            let Some(record) = data.get(at..).filter(|rest| rest.len() >= self.record_header) else {
                return Some(count);
            };
            let record = self.record(record)?;
            let fits = near.is_none_or(|second| second.abs_diff(record.second) <= APART && record.captured > 0);
            if !fits || !self.plausible(&record) {
                return None;
            }
            at = at.checked_add(self.record_header + record.captured)?;
        }
        Some(CHAIN)
    }

    /// Looks for a chain of good records behind what cannot be one.
    fn search<R: Read>(&mut self, window: &mut Window<R>) -> Result<Found, ContainerError> {
        let offset = window.offset();
        loop {
            let data = window.data();
            let held = data.len();
            let is_chain = |from: usize| {
                let rest = &data[from..];
                // Behind a good record, near that; else at least near each other.
                let near = self.last_second.or_else(|| self.record(rest).map(|record| record.second));
                self.chain(rest, near) == Some(CHAIN)
            };
            let found = (1..held.min(SEARCH_BYTES)).find(|&from| is_chain(from));
            if let Some(bytes) = found {
                window.consume(bytes);
                return Ok(Found::Skipped { offset, bytes: bytes as u64 });
            }
            // A little more at a time: the stream may be a live one.
            if held >= SEARCH_BYTES || !window.hold(held * 2 + 1)? && window.data().len() == held {
                return Err(ContainerError::Garbage { offset });
            }
        }
    }
}

/// Magic number in its own endianness, and whether that is big.
fn magic(head: &[u8]) -> Option<(u32, bool)> {
    let bytes = *head.first_chunk::<4>()?;
    let known = |magic| matches!(magic, MICROS | NANOS | KUZNETZOV);
    let (little, big) = (u32::from_le_bytes(bytes), u32::from_be_bytes(bytes));
    if known(little) { Some((little, false)) } else { known(big).then_some((big, true)) }
}
