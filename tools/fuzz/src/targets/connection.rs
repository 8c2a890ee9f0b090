//! What is below conversations: containers, layers of packets, TCP, TLS.

use std::net::SocketAddr;

use overdub::import::packet::{Config, Container, Dissector, Item, Packet};
use overdub::import::segment::{Flags, Segment};
use overdub::observe::streams::{ConnectionId, Ending, Opening, Streams, UnixNanos};
use overdub::import::tcp::{self, Reassembler};
use overdub::observe::tls::{Decryptor, Keyring, Output};
use overdub::model::Side;

use super::{Bench, split};
use crate::dialogue::{self, Turn};

/// Reads all items of a file of packets: they end, and lie within it.
pub fn container(_: &Bench, input: &[u8]) {
    let Ok(mut container) = Container::open(input) else { return };
    let mut items = 0;
    while let Ok(Some(item)) = container.next() {
        items += 1;
        assert!(items <= input.len(), "more items than bytes");
        match item {
            Item::Packet(packet) => assert!(packet.data.len() <= input.len()),
            Item::Names(names) => drop(names.iter().count()),
            _ => {}
        }
    }
    assert!(matches!(container.next(), Ok(None)), "something behind the end");
    assert!(container.offset() <= input.len() as u64);
}

/// Takes packets apart: two bytes of link type, two of what was cut, then the packet, each with its length before it.
pub fn dissector(_: &Bench, mut input: &[u8]) {
    let mut dissector = Dissector::new(Config { verify_checksums: false, vxlan_ports: vec![5000] });
    let (mut at, mut longest) = (0, 0);
    while !input.is_empty() {
        let (head, rest) = input.split_at(input.len().min(4));
        let (data, rest) = split(rest);
        input = rest;
        let Ok([a, b, c, d]) = <[u8; 4]>::try_from(head) else { break };
        at += 1;
        longest += data.len();
        let wire_bytes = data.len() as u32 + u32::from(u16::from_be_bytes([c, d]));
        let packet = Packet { at, link: u16::from_be_bytes([a, b]), interface: 0, data, wire_bytes };
        dissector.packet(&packet, &mut |segment| assert!(segment.payload.len() <= longest + 65_535));
    }
    dissector.finish();
}

/// Checks what a receiver of streams is promised.
#[derive(Default)]
struct Promise {
    open: std::collections::HashMap<u64, [bool; 2]>,
    seen: std::collections::HashSet<u64>,
}

impl Streams for Promise {
    fn opened(&mut self, connection: ConnectionId, opening: &Opening) {
        assert!(self.seen.insert(connection.0), "opened twice");
        assert!(!opening.midway || opening.syn.is_none());
        self.open.insert(connection.0, [false; 2]);
    }

    fn bytes(&mut self, connection: ConnectionId, side: Side, _: UnixNanos, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "nothing was said");
        assert!(!self.open[&connection.0][side as usize], "bytes behind the end");
    }

    fn gap(&mut self, connection: ConnectionId, side: Side, _: UnixNanos, bytes: u64) {
        assert!(bytes > 0, "no gap");
        assert!(!self.open[&connection.0][side as usize], "gap behind the end");
    }

    fn ended(&mut self, connection: ConnectionId, side: Side, _: UnixNanos, _: Ending) {
        let ends = self.open.get_mut(&connection.0).expect("ended before it was opened");
        assert!(!std::mem::replace(&mut ends[side as usize], true), "ended twice");
        if *ends == [true; 2] {
            self.open.remove(&connection.0);
        }
    }
}

/// Puts segments in order that are made of eight bytes each.
pub fn tcp(_: &Bench, input: &[u8]) {
    let Some((&flags, input)) = input.split_first() else { return };
    let config = if flags & 1 == 0 {
        tcp::Config::default()
    } else {
        tcp::Config { connections: 3, direction_bytes: 3000, buffered_bytes: 8000, ..tcp::Config::default() }
    };
    let mut reassembler = Reassembler::new(config);
    let mut promise = Promise::default();
    let mut at: u64 = 1_700_000_000_000_000_000;
    let bytes = [7; 1500];
    // Sequence numbers of six ends, about which segments lie.
    let mut next = [0_u32, u32::MAX - 3000, 5, 1 << 31, 9_000_000, u32::MAX];
    for chunk in input.chunks_exact(8) {
        let [who, control, a, b, c, d, time, odd] = *chunk else { continue };
        let end = usize::from(who % 6);
        let other = end ^ 1;
        let near = i32::from(i16::from_be_bytes([a, b]));
        let shift = if odd & 7 == 0 { near << 16 } else { near >> (odd & 7) };
        let length = usize::from(u16::from_be_bytes([c, d]) % 1501) / if odd & 8 == 0 { 1 } else { 100 };
        at = match time {
            255 => at.wrapping_add(1 << 40),
            254 => at.wrapping_sub(1 << 33),
            _ => at.wrapping_add(u64::from(time) * 700_000),
        };
        let host = |end: usize| {
            SocketAddr::from((
                [10, 0, 0, (end / 2) as u8 + if who & 64 == 0 { 1 } else { 0 }],
                80 + (end % 2) as u16 * 5000,
            ))
        };
        let seq = next[end].wrapping_add_signed(shift);
        let segment = Segment {
            at,
            source: host(end),
            destination: host(other),
            lane: u64::from(who >> 7),
            seq,
            ack: next[other].wrapping_add_signed(shift / 2),
            flags: Flags {
                syn: control & 0xc3 == 3,
                ack: control & 4 == 0,
                fin: control & 0x38 == 0x38,
                rst: control == 0x55,
            },
            payload: &bytes[..length],
            cut: if odd & 0xf0 == 0xf0 { u32::from(a) << (odd & 15) } else { 0 },
        };
        next[end] = if odd & 16 == 0 { seq.wrapping_add(length as u32) } else { next[end] };
        reassembler.segment(&segment, &mut promise);
    }
    reassembler.end(&mut promise);
    assert!(promise.open.is_empty(), "connections that never end");
}

/// Decrypts a dialogue with key log lines before it.
pub fn tls(_: &Bench, input: &[u8]) {
    let (keys, input) = split(input);
    let mut keyring = Keyring::default();
    keyring.add(keys);
    let mut decryptor = Decryptor::new();
    let mut silent = [false; 2];
    let mut out = |side: Side, output: Output<'_>| {
        assert!(!silent[side as usize], "something behind the reason");
        match output {
            Output::Undecryptable(_) => silent[side as usize] = true,
            Output::Plaintext(bytes) => assert!(!bytes.is_empty()),
            _ => {}
        }
    };
    for turn in dialogue::parse(input) {
        match turn {
            Turn::Says(side, bytes) => decryptor.read(&keyring, side, &bytes, &mut out),
            Turn::Lost(side, bytes) => decryptor.gap(&keyring, side, bytes, &mut out),
            Turn::Ends(side) => decryptor.end(&keyring, side, &mut out),
        }
    }
    decryptor.end(&keyring, Side::Request, &mut out);
    decryptor.end(&keyring, Side::Response, &mut out);
}
