//! Packets become the bytes of a capture file.

use std::io::Write;

use super::Packet;
use crate::bytes;
use crate::dice::Dice;

/// A pcap or pcapng of either byte order and some resolution, perhaps compressed, perhaps damaged itself. Key log lines are
/// inside a pcapng; for a pcap they are handed back.
pub fn file(dice: &mut Dice, packets: &[Packet], keys: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let one_link = packets.iter().all(|packet| packet.link == packets[0].link);
    let (mut file, keys) = if one_link && dice.once_in(2) {
        (classic(dice, packets), keys.to_vec())
    } else {
        (ng(dice, packets, keys), Vec::new())
    };
    if dice.once_in(8) {
        bytes::damage(dice, &mut file);
    }
    if dice.once_in(40) {
        file = if dice.once_in(2) { zstd::encode_all(file.as_slice(), 1).unwrap_or_default() } else { gzip(&file) };
        if dice.once_in(2) {
            bytes::damage(dice, &mut file);
        }
    }
    (file, keys)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// Numbers in one byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, number: u16) -> [u8; 2] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }
}

fn classic(dice: &mut Dice, packets: &[Packet]) -> Vec<u8> {
    let order = Order { big: dice.once_in(4) };
    let (magic, unit) = if dice.once_in(2) { (0xa1b2_c3d4, 1000) } else { (0xa1b2_3c4d, 1) };
    let link = packets.first().map_or(1, |packet| packet.link);
    let mut out = order.u32(magic).to_vec();
    out.extend([order.u16(2), order.u16(4)].concat());
    out.extend([order.u32(0), order.u32(0), order.u32(262_144), order.u32(link.into())].concat());
    for packet in packets {
        let (seconds, rest) = (packet.at / 1_000_000_000, packet.at % 1_000_000_000 / unit);
        for number in [seconds as u32, rest as u32, packet.data.len() as u32, packet.wire_bytes] {
            out.extend(order.u32(number));
        }
        out.extend_from_slice(&packet.data);
    }
    out
}

fn ng(dice: &mut Dice, packets: &[Packet], keys: &[u8]) -> Vec<u8> {
    let order = Order { big: dice.once_in(4) };
    let mut out = section(order);
    let mut links = Vec::new();
    let late = dice.once_in(4);
    if !late {
        out.extend(secrets(order, keys));
    }
    let resolution: u8 = *dice.pick(&[9, 9, 9, 6, 3, 0x80 | 30, 12, 0xff]);
    for (number, packet) in packets.iter().enumerate() {
        let interface = links.iter().position(|link| *link == packet.link).unwrap_or_else(|| {
            links.push(packet.link);
            let body = [
                &order.u16(packet.link)[..],
                &[0, 0],
                &order.u32(0),
                &order.u16(9),
                &order.u16(1),
                &[resolution, 0, 0, 0],
                &[0; 4],
            ]
            .concat();
            out.extend(block(order, 1, &body));
            links.len() - 1
        });
        let at = match resolution {
            9 => packet.at,
            6 => packet.at / 1000,
            3 => packet.at / 1_000_000,
            _ => packet.at >> 2,
        };
        let mut body = order.u32(interface as u32).to_vec();
        for number in [(at >> 32) as u32, at as u32, packet.data.len() as u32, packet.wire_bytes] {
            body.extend(order.u32(number));
        }
        body.extend_from_slice(&packet.data);
        out.extend(block(order, 6, &body));
        if number % 50 == 49 && dice.once_in(3) {
            out.extend(section(order));
            links.clear();
        }
        if dice.once_in(200) {
            let noise: Vec<u8> = (0..dice.below(60)).map(|_| dice.byte()).collect();
            out.extend(block(order, *dice.pick(&[2, 3, 4, 5, 10, 0xbad, 0x0a0d_0d0a]), &noise));
        }
    }
    if late {
        out.extend(secrets(order, keys));
    }
    out
}

fn section(order: Order) -> Vec<u8> {
    block(order, 0x0a0d_0d0a, &[&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &[0xff; 8]].concat())
}

fn secrets(order: Order, keys: &[u8]) -> Vec<u8> {
    if keys.is_empty() {
        return Vec::new();
    }
    block(order, 10, &[&order.u32(0x544c_534b)[..], &order.u32(keys.len() as u32), keys].concat())
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = body.len().wrapping_neg() % 4;
    let length = order.u32((12 + body.len() + padding) as u32);
    [&order.u32(kind)[..], &length, body, &[0; 3][..padding], &length].concat()
}
