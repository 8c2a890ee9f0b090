//! Packets and files made by hand.

use std::net::IpAddr;

use crate::import::segment::Segment;

use super::super::{Census, Config, Dissector, Packet};

pub(super) const PAYLOAD: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// A PRNG that is good enough to shake parsers.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

pub(super) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Client to server, or back.
#[derive(Clone, Copy)]
pub(super) enum Way {
    There,
    Back,
}

impl Way {
    pub(super) fn order<T>(self, client: T, server: T) -> (T, T) {
        match self {
            Self::There => (client, server),
            Self::Back => (server, client),
        }
    }
}

pub(super) fn tcp(way: Way) -> Vec<u8> {
    tcp_with(way, &[], PAYLOAD)
}

pub(super) fn tcp_with(way: Way, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let (source, destination) = way.order(40_000u16, 80);
    let offset = ((20 + options.len()) / 4) as u8;
    join(&[
        &source.to_be_bytes(),
        &destination.to_be_bytes(),
        &[0, 0, 1, 2, 0, 0, 3, 4, offset << 4, 0x18, 0xff, 0xff, 0, 0, 0, 0],
        options,
        payload,
    ])
}

pub(super) fn ipv4(way: Way, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_fragment(way, protocol, 7, 0, payload)
}

/// `place`: flags and offset as in the header.
pub(super) fn ipv4_fragment(way: Way, protocol: u8, id: u16, place: u16, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = way.order([10, 0, 0, 1], [10, 0, 0, 2]);
    let total = (20 + payload.len()) as u16;
    join(&[
        &[0x45, 0],
        &total.to_be_bytes(),
        &id.to_be_bytes(),
        &place.to_be_bytes(),
        &[64, protocol, 0, 0],
        &source,
        &destination,
        payload,
    ])
}

pub(super) fn ipv6(way: Way, next: u8, payload: &[u8]) -> Vec<u8> {
    let address = |last: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let (source, destination) = way.order(address(1), address(2));
    join(&[&[0x60, 0, 0, 0], &(payload.len() as u16).to_be_bytes(), &[next, 64], &source, &destination, payload])
}

pub(super) fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    join(&[&source.to_be_bytes(), &destination.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload])
}

pub(super) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], &ethertype.to_be_bytes(), payload])
}

/// A segment as owned data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) source: (IpAddr, u16),
    pub(super) destination: (IpAddr, u16),
    pub(super) lane: u64,
    pub(super) payload: Vec<u8>,
    pub(super) cut: u32,
}

impl From<Segment<'_>> for Seen {
    fn from(segment: Segment<'_>) -> Self {
        let end = |address: std::net::SocketAddr| (address.ip(), address.port());
        Self {
            source: end(segment.source),
            destination: end(segment.destination),
            lane: segment.lane,
            payload: segment.payload.to_vec(),
            cut: segment.cut,
        }
    }
}

/// What a dissector makes of packets of which everything was captured.
pub(super) fn dissect(link: u16, packets: &[Vec<u8>]) -> (Vec<Seen>, Census) {
    let cut = packets.iter().map(|data| (data.len() as u32, data.as_slice())).collect::<Vec<_>>();
    dissect_cut(Config::default(), link, &cut)
}

/// The same for packets with a length on the wire.
pub(super) fn dissect_cut(config: Config, link: u16, packets: &[(u32, &[u8])]) -> (Vec<Seen>, Census) {
    let mut dissector = Dissector::new(config);
    let mut seen = Vec::new();
    for (number, &(wire_bytes, data)) in packets.iter().enumerate() {
        let packet = Packet { at: number as u64 * 1_000_000_000, link, interface: 0, data, wire_bytes };
        dissector.packet(&packet, &mut |segment| seen.push(Seen::from(segment)));
    }
    dissector.finish();
    (seen, dissector.census().clone())
}
