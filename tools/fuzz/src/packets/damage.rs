//! Damage to captures as networks, taps and attackers do it: to packets as wholes, to TCP, and inside payloads with all
//! lengths put right, so that what is above sees it.

use super::layout::{self, Layout};
use super::{Packet, wrap};
use crate::bytes;
use crate::dice::Dice;

/// No capture has more packets.
const MOST_PACKETS: usize = 400;

/// Damages a capture in some places.
pub fn damage(dice: &mut Dice, packets: &mut Vec<Packet>) {
    for _ in 0..=dice.small(8) {
        if packets.is_empty() {
            return;
        }
        let at = dice.below(packets.len());
        match dice.below(20) {
            0..=4 => payload(dice, packets, at),
            5..=7 => header(dice, &mut packets[at]),
            8 => bytes::once(dice, &mut packets[at].data),
            9..=12 => order(dice, packets, at),
            13 | 14 => overlap(dice, packets, at),
            15 => split(dice, packets, at),
            16 => snap(dice, packets, at),
            17 => time(dice, packets, at),
            18 => rewrap(dice, packets, at),
            _ => whole(dice, packets, at),
        }
        packets.truncate(MOST_PACKETS);
    }
    for packet in packets {
        packet.wire_bytes = packet.wire_bytes.max(packet.data.len() as u32);
    }
}

/// Damages a payload; what follows on the connection moves with it.
fn payload(dice: &mut Dice, packets: &mut [Packet], at: usize) {
    let Some(place) = with_payload(dice, packets, at) else { return };
    let (index, layout) = place;
    let mut said = packets[index].data[layout.payload..layout.end].to_vec();
    if dice.once_in(8) {
        // What another packet says.
        let other = dice.below(packets.len());
        if let Some(found) = layout::of(&packets[other]) {
            said = packets[other].data[found.payload..found.end].to_vec();
        }
    } else {
        bytes::damage(dice, &mut said);
    }
    let (flow, back) = layout::flow(&packets[index], &layout);
    let grown = layout::replace(&mut packets[index], &layout, &said) as u32;
    if dice.once_in(6) {
        return;
    }
    for packet in &mut packets[index + 1..] {
        let Some(layout) = layout::of(packet) else { continue };
        let this = layout::flow(packet, &layout).0;
        if this == flow {
            layout::change(&mut packet.data, layout.tcp + 4, |seq| seq.wrapping_add(grown));
        } else if this == back {
            layout::change(&mut packet.data, layout.tcp + 8, |ack| ack.wrapping_add(grown));
        }
    }
}

/// A packet with payload, at `at` or not far behind.
fn with_payload(dice: &mut Dice, packets: &[Packet], at: usize) -> Option<(usize, Layout)> {
    let skip = dice.below(2);
    packets
        .iter()
        .enumerate()
        .skip(at)
        .filter_map(|(index, packet)| {
            let layout = layout::of(packet)?;
            (layout.payload < layout.end).then_some((index, layout))
        })
        .nth(skip)
}

/// Damages the TCP or IP header.
fn header(dice: &mut Dice, packet: &mut Packet) {
    let Some(layout) = layout::of(packet) else { return bytes::once(dice, &mut packet.data) };
    let near = (dice.small(3000) as u32).wrapping_sub(dice.small(3000) as u32);
    let far = dice.bits() as u32;
    let shift = if dice.once_in(4) { far } else { near };
    let data = &mut packet.data;
    match dice.below(9) {
        0 | 1 => layout::change(data, layout.tcp + 4, |seq| seq.wrapping_add(shift)),
        2 | 3 => layout::change(data, layout.tcp + 8, |ack| ack.wrapping_add(shift)),
        4 => data[layout.tcp + 13] ^= 1 << dice.below(6),
        5 => data[layout.tcp + 13] = dice.byte(),
        6 => data[layout.tcp + 12] = dice.byte(),
        7 => {
            // Answers to itself, or another connection.
            let place = layout.tcp + dice.below(4);
            data[place] = if dice.once_in(2) { 80 } else { dice.byte() };
        }
        _ => {
            let place = layout.ip + dice.below(layout.tcp - layout.ip);
            data[place] = dice.byte();
        }
    }
}

/// Packets lost, doubled, moved, shuffled.
fn order(dice: &mut Dice, packets: &mut Vec<Packet>, at: usize) {
    let range = dice.range(packets.len());
    match dice.below(8) {
        0 | 1 => drop(packets.remove(at)),
        2 => drop(packets.drain(range)),
        3 => {
            let copy = packets[at].clone();
            packets.insert(dice.below(packets.len()), copy);
        }
        4 => {
            let copies = packets[range].to_vec();
            packets.splice(at..at, copies);
        }
        5 => {
            let other = (at + 1 + dice.small(6)) % packets.len();
            packets.swap(at, other);
        }
        6 => {
            for index in range.clone() {
                packets.swap(index, range.start + dice.below(range.len()));
            }
        }
        _ => packets[range].reverse(),
    }
}

/// The same bytes, or others, again at a sequence number beside the first.
fn overlap(dice: &mut Dice, packets: &mut Vec<Packet>, at: usize) {
    let Some((index, layout)) = with_payload(dice, packets, at) else { return };
    let mut copy = packets[index].clone();
    let shift = (dice.small(600) as u32).wrapping_sub(dice.small(600) as u32);
    layout::change(&mut copy.data, layout.tcp + 4, |seq| seq.wrapping_add(shift));
    if dice.once_in(2) {
        let place = layout.payload + dice.below(layout.end - layout.payload);
        copy.data[place] = copy.data[place].wrapping_add(1);
    }
    if dice.once_in(3) {
        let keep = dice.below(layout.end - layout.payload);
        let said = copy.data[layout.payload..layout.payload + keep].to_vec();
        layout::replace(&mut copy, &layout, &said);
    }
    packets.insert((index + dice.small(4)).min(packets.len()), copy);
}

/// One segment becomes two, perhaps in the wrong order.
fn split(dice: &mut Dice, packets: &mut Vec<Packet>, at: usize) {
    let Some((index, layout)) = with_payload(dice, packets, at) else { return };
    let said = packets[index].data[layout.payload..layout.end].to_vec();
    let middle = dice.below(said.len());
    let mut second = packets[index].clone();
    layout::replace(&mut packets[index], &layout, &said[..middle]);
    layout::replace(&mut second, &layout, &said[middle..]);
    layout::change(&mut second.data, layout.tcp + 4, |seq| seq.wrapping_add(middle as u32));
    packets.insert(index + usize::from(!dice.once_in(3)), second);
}

/// A snapshot length, for one packet or all.
fn snap(dice: &mut Dice, packets: &mut [Packet], at: usize) {
    let length = dice.below(200);
    let all = dice.once_in(3);
    for (index, packet) in packets.iter_mut().enumerate() {
        if all || index == at {
            packet.wire_bytes = packet.wire_bytes.max(packet.data.len() as u32);
            packet.data.truncate(length);
        }
    }
    if dice.once_in(5) {
        packets[at].wire_bytes = dice.bits() as u32;
    }
}

fn time(dice: &mut Dice, packets: &mut [Packet], at: usize) {
    let jump = *dice.pick(&[1_000_000, 300_000_000, 6_000_000_000, 700_000_000_000, 1 << 50, 1 << 62]);
    match dice.below(4) {
        0 => packets[at].at = packets[at].at.wrapping_sub(jump),
        1 => packets[at].at = dice.bits(),
        2 => packets[at..].iter_mut().for_each(|packet| packet.at = packet.at.saturating_add(jump)),
        _ => packets[at..].iter_mut().for_each(|packet| packet.at = packet.at.saturating_sub(jump)),
    }
}

/// Other links and tunnels around packets, fragments.
fn rewrap(dice: &mut Dice, packets: &mut Vec<Packet>, at: usize) {
    let kind = dice.below(wrap::WRAPPINGS);
    let from = if dice.once_in(2) { 0 } else { at };
    let pieces = dice.once_in(3).then(|| 8 * (1 + dice.small(80)));
    let both = dice.once_in(6);
    let mut out = packets[..from].to_vec();
    for packet in &packets[from..] {
        let Some(layout) = layout::of(packet) else {
            out.push(packet.clone());
            continue;
        };
        let inner = &packet.data[layout.ip..layout.end];
        if both {
            out.push(packet.clone());
        }
        let all = pieces.map_or_else(|| vec![inner.to_vec()], |size| wrap::fragments(inner, packet.at as u16, size));
        for piece in all.iter().take(30) {
            let (link, data) = wrap::wrapped(kind, piece);
            out.push(Packet::whole(packet.at, link, data));
        }
    }
    *packets = out;
}

/// One side only, a beginning in the middle, an end too early, the same ports again, another link type.
fn whole(dice: &mut Dice, packets: &mut Vec<Packet>, at: usize) {
    match dice.below(5) {
        0 => {
            let Some(layout) = layout::of(&packets[at]) else { return };
            let (flow, _) = layout::flow(&packets[at], &layout);
            packets.retain(|packet| layout::of(packet).is_none_or(|layout| layout::flow(packet, &layout).0 != flow));
        }
        1 => drop(packets.drain(..at)),
        2 => packets.truncate(at),
        3 => {
            let shift = dice.bits() as u32;
            let mut again = packets.clone();
            for packet in &mut again {
                packet.at = packet.at.saturating_add(1_000_000_000);
                if let Some(layout) = layout::of(packet) {
                    let shift = if layout.tcp % 2 == 0 { shift } else { !shift };
                    layout::change(&mut packet.data, layout.tcp + 4, |seq| seq.wrapping_add(shift));
                }
            }
            packets.extend(again);
        }
        _ => {
            let link = *dice.pick(&[
                0, 1, 9, 12, 50, 51, 101, 104, 105, 108, 113, 127, 147, 149, 163, 192, 204, 228, 229, 239, 276,
            ]);
            packets[at].link = link;
        }
    }
}
