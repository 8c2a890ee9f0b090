//! Dialogues become packets, and IP packets are put into other links and tunnels.

use super::Packet;
use crate::dialogue::Turn;
use crate::dice::Dice;

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// A connection being laid out.
struct Line {
    ports: [u16; 2],
    hosts: [u8; 2],
    six: bool,
    next: [u32; 2],
    at: u64,
    packets: Vec<Packet>,
}

/// A dialogue as a tap would have seen it: handshake, segments of some size, an end for each side that ends.
pub fn packets(dice: &mut Dice, turns: &[Turn]) -> Vec<Packet> {
    let mut line = Line {
        ports: [40_000 + dice.below(100) as u16, *dice.pick(&[80, 443, 8080, 50_000])],
        hosts: [1 + dice.below(3) as u8, 9],
        six: dice.once_in(5),
        next: [dice.bits() as u32, u32::MAX - dice.below(5000) as u32],
        at: 1_700_000_000_000_000_000 + dice.below(1_000_000_000) as u64,
        packets: Vec::new(),
    };
    if !dice.once_in(10) {
        line.put(0, SYN, b"");
        line.put(1, SYN | ACK, b"");
        line.put(0, ACK, b"");
    }
    let size = if dice.once_in(6) { 1 + dice.below(40) } else { 500 + dice.below(960) };
    for turn in turns {
        match turn {
            Turn::Says(side, bytes) => {
                bytes.chunks(size.max(bytes.len() / 60)).for_each(|piece| line.put(*side as usize, ACK, piece));
            }
            Turn::Lost(side, count) => {
                line.next[*side as usize] = line.next[*side as usize].wrapping_add(*count as u32)
            }
            Turn::Ends(side) => line.put(*side as usize, FIN | ACK, b""),
        }
    }
    if dice.once_in(2) {
        line.put(0, FIN | ACK, b"");
        line.put(1, FIN | ACK, b"");
        line.put(0, ACK, b"");
    }
    line.packets
}

impl Line {
    fn put(&mut self, side: usize, flags: u8, payload: &[u8]) {
        let (from, to) = (side, 1 - side);
        let mut tcp = [self.ports[from].to_be_bytes(), self.ports[to].to_be_bytes()].concat();
        tcp.extend_from_slice(&self.next[from].to_be_bytes());
        tcp.extend_from_slice(&self.next[to].to_be_bytes());
        tcp.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend_from_slice(payload);
        let data = ip(self.six, 6, self.hosts[from], self.hosts[to], &tcp);
        let kind = if self.six { [0x86, 0xdd] } else { [8, 0] };
        self.packets.push(Packet::whole(self.at, 1, [&[2; 12][..], &kind, &data].concat()));
        let length = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[side] = self.next[side].wrapping_add(length);
        self.at += 900_000;
    }
}

/// An IP packet around `payload`.
pub fn ip(six: bool, protocol: u8, from: u8, to: u8, payload: &[u8]) -> Vec<u8> {
    let mut out;
    if six {
        out = vec![0x60, 0, 0, 0];
        out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        out.extend_from_slice(&[protocol, 64]);
        for host in [from, to] {
            out.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        }
    } else {
        out = vec![0x45, 0];
        out.extend_from_slice(&(payload.len() as u16 + 20).to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
    }
    out.extend_from_slice(payload);
    out
}

fn udp(port: u16, head: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = (8 + head.len() + payload.len()) as u16;
    [&5000_u16.to_be_bytes()[..], &port.to_be_bytes(), &length.to_be_bytes(), &[0, 0], head, payload].concat()
}

/// Puts an IP packet into a link or tunnel: 0 is plain Ethernet.
pub fn wrapped(kind: usize, ip_packet: &[u8]) -> (u16, Vec<u8>) {
    let six = ip_packet.first().is_some_and(|first| first >> 4 == 6);
    let ether: [u8; 2] = if six { [0x86, 0xdd] } else { [8, 0] };
    let frame = [&[2; 12][..], &ether, ip_packet].concat();
    let tunnel = |port: u16, head: &[u8], inner: &[u8]| (101, ip(false, 17, 1, 2, &udp(port, head, inner)));
    let gre = |head: &[u8], inner: &[u8]| (101, ip(false, 47, 1, 2, &[head, inner].concat()));
    let session = ((ip_packet.len() + 2) as u16).to_be_bytes();
    let nflog = ((ip_packet.len() + 4) as u16).to_le_bytes();
    match kind {
        1 => (1, [&[2; 12][..], &[0x81, 0, 0, 5], &ether, ip_packet].concat()),
        2 => (1, [&[2; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x91, 0, 0, 7], &ether, ip_packet].concat()),
        3 => (1, [&[2; 12][..], &[0x88, 0x47, 0, 1, 0, 64, 0, 1, 1, 64], ip_packet].concat()),
        4 => (
            1,
            [&[2; 12][..], &[0x88, 0x64, 0x11, 0, 0, 1], &session, &[0, if six { 0x57 } else { 0x21 }], ip_packet]
                .concat(),
        ),
        5 => (113, [&[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0][..], &ether, ip_packet].concat()),
        6 => (276, [&ether[..], &[0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0], ip_packet].concat()),
        7 => (0, [&[if six { 30 } else { 2 }, 0, 0, 0], ip_packet].concat()),
        8 => (101, ip_packet.to_vec()),
        9 => (9, [&[0xff, 3, 0, if six { 0x57 } else { 0x21 }], ip_packet].concat()),
        10 => (
            239,
            [&[if six { 10 } else { 2 }, 0, 0, 5, 8, 0, 1, 0, 8, 0, 1, 0][..], &nflog, &[9, 0], ip_packet].concat(),
        ),
        11 => (
            127,
            [&[0, 0, 8, 0, 0, 0, 0, 0, 8, 1, 0, 0][..], &[9; 18], &[0, 0, 0xaa, 0xaa, 3, 0, 0, 0], &ether, ip_packet]
                .concat(),
        ),
        12 => tunnel(4789, &[8, 0, 0, 0, 0, 0, 5, 0], &frame),
        13 => tunnel(6081, &[1, 0, 0x65, 0x58, 0, 0, 5, 0, 1, 2, 3, 0], &frame),
        14 => tunnel(
            2152,
            &[&[0x30, 255][..], &(ip_packet.len() as u16).to_be_bytes(), &[0, 0, 0, 1]].concat(),
            ip_packet,
        ),
        15 => tunnel(3544, &[], ip_packet),
        16 => gre(&[0, 0, ether[0], ether[1]], ip_packet),
        17 => gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 1, 0, 0, 0, 1], &frame),
        18 => (101, ip(false, if six { 41 } else { 4 }, 1, 2, ip_packet)),
        19 => (105, [&[8, 1, 0, 0][..], &[9; 18], &[0, 0, 0xaa, 0xaa, 3, 0, 0, 0], &ether, ip_packet].concat()),
        20 => (192, [&[0, 0, 8, 0, 1, 0, 0, 0][..], &frame].concat()),
        _ => (1, frame),
    }
}

/// Kinds of [`wrapped`].
pub const WRAPPINGS: usize = 21;

/// An IPv4 or IPv6 packet in pieces of `size` bytes (a multiple of 8).
pub fn fragments(packet: &[u8], id: u16, size: usize) -> Vec<Vec<u8>> {
    let six = packet.first().is_some_and(|first| first >> 4 == 6);
    let head = if six { 40 } else { 20 };
    if packet.len() <= head {
        return vec![packet.to_vec()];
    }
    let body = &packet[head..];
    let last = body.len().div_ceil(size) - 1;
    body.chunks(size)
        .enumerate()
        .map(|(number, piece)| {
            let more = u16::from(number < last);
            let offset = (number * size / 8) as u16;
            let mut out = packet[..head].to_vec();
            if six {
                out[6] = 44;
                out[4..6].copy_from_slice(&(piece.len() as u16 + 8).to_be_bytes());
                out.extend_from_slice(&[packet[6], 0]);
                out.extend_from_slice(&(offset << 3 | more).to_be_bytes());
                out.extend_from_slice(&[0, 0]);
                out.extend_from_slice(&id.to_be_bytes());
            } else {
                out[2..4].copy_from_slice(&(piece.len() as u16 + 20).to_be_bytes());
                out[4..6].copy_from_slice(&id.to_be_bytes());
                out[6..8].copy_from_slice(&(more << 13 | offset).to_be_bytes());
            }
            out.extend_from_slice(piece);
            out
        })
        .collect()
}
