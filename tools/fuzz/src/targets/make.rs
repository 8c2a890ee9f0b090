//! Inputs for each target: a seed, damaged in the terms of what it is.

use overdub::model::Side;

use super::joined;
use crate::bytes;
use crate::dialogue::{self, Turn};
use crate::dice::Dice;
use crate::packets::{self, Packet, container as capture, layout, wrap};
use crate::seeds::{Seeds, Talk};

/// A key log, sometimes damaged, sometimes gone.
fn keys(dice: &mut Dice, keys: &[u8]) -> Vec<u8> {
    let mut keys = keys.to_vec();
    match dice.below(12) {
        0 => keys.clear(),
        1 => bytes::damage(dice, &mut keys),
        _ => {}
    }
    keys
}

fn talk<'a>(seeds: &'a Seeds, dice: &mut Dice) -> &'a Talk {
    if !seeds.sealed.is_empty() && dice.once_in(6) { dice.pick(&seeds.sealed) } else { dice.pick(&seeds.talks) }
}

/// Packets of one to three connections.
fn some_packets(seeds: &Seeds, dice: &mut Dice) -> (Vec<Packet>, Vec<u8>) {
    let (mut all, mut secrets) = (Vec::new(), Vec::new());
    for _ in 0..=dice.small(3) {
        let mut these = if !seeds.tapes.is_empty() && dice.once_in(2) {
            let tape = dice.pick(&seeds.tapes);
            secrets.extend_from_slice(&tape.keys);
            tape.packets.clone()
        } else {
            let talk = talk(seeds, dice);
            secrets.extend_from_slice(&talk.keys);
            let mut turns = talk.turns.clone();
            if dice.once_in(2) {
                dialogue::damage(dice, &mut turns);
            }
            wrap::packets(dice, &turns)
        };
        if dice.once_in(2) {
            all.append(&mut these);
        } else {
            // One in between the other.
            let places = all.len();
            for packet in these {
                let place = places.min(dice.below(all.len() + 1));
                all.insert(place.max(all.len().saturating_sub(40)), packet);
            }
        }
    }
    (all, secrets)
}

/// A whole capture file.
pub fn packets(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let (mut packets, secrets) = some_packets(seeds, dice);
    packets::damage::damage(dice, &mut packets);
    if packets.is_empty() {
        return Vec::new();
    }
    let secrets = keys(dice, &secrets);
    let (file, secrets) = capture::file(dice, &packets, &secrets);
    joined(&secrets, &file)
}

/// A capture file with more damage to the file than to the packets.
pub fn container(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let (packets, secrets) = some_packets(seeds, dice);
    if packets.is_empty() {
        return Vec::new();
    }
    let (mut file, _) = capture::file(dice, &packets, &secrets);
    bytes::damage(dice, &mut file);
    file
}

/// Packets for the dissector.
pub fn dissector(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let (mut packets, _) = some_packets(seeds, dice);
    packets::damage::damage(dice, &mut packets);
    packets.truncate(60);
    let mut out = Vec::new();
    for packet in &mut packets {
        if dice.once_in(2) {
            let length = packet.data.len().min(120);
            let mut head = packet.data.drain(..length).collect();
            bytes::once(dice, &mut head);
            packet.data.splice(..0, head);
        }
        out.extend_from_slice(&packet.link.to_be_bytes());
        out.extend_from_slice(&(packet.wire_bytes as u16).wrapping_sub(packet.data.len() as u16).to_be_bytes());
        out.extend(joined(&packet.data, &[]));
    }
    out
}

/// Segments for reassembly: runs in order with some that are not.
pub fn tcp(_: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let mut out = vec![dice.byte()];
    let mut who = dice.byte();
    for _ in 0..1 + dice.small(400) {
        if dice.once_in(4) {
            who = dice.byte() & if dice.once_in(8) { 0xff } else { 0x3f };
        }
        let control = match dice.below(20) {
            0 => 3,
            1 => 0x38,
            2 => 0x55,
            3 => dice.byte(),
            _ => 0,
        };
        let shift = if dice.once_in(3) { dice.bits() as u16 } else { 0 }.to_be_bytes();
        let length = (dice.bits() as u16).to_be_bytes();
        let time = if dice.once_in(30) { dice.byte() | 0x80 } else { dice.small(20) as u8 };
        out.extend([
            who,
            control,
            shift[0],
            shift[1],
            length[0],
            length[1],
            time,
            dice.byte() | if dice.once_in(8) { 0 } else { 7 },
        ]);
    }
    out
}

/// A TLS connection.
pub fn tls(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let source = if seeds.sealed.is_empty() { &seeds.talks } else { &seeds.sealed };
    let talk = dice.pick(source);
    let mut turns = talk.turns.clone();
    if !dice.once_in(50) {
        dialogue::damage(dice, &mut turns);
    }
    joined(&keys(dice, &talk.keys), &dialogue::encode(&turns))
}

/// A dialogue of any protocol.
pub fn dialogue(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let mut turns = dice.pick(&seeds.talks).turns.clone();
    if dice.once_in(8) {
        turns.extend(dice.pick(&seeds.talks).turns.iter().cloned());
    }
    dialogue::damage(dice, &mut turns);
    let mut out = dialogue::encode(&turns);
    if dice.once_in(10) {
        bytes::once(dice, &mut out);
    }
    out
}

/// One connection with its secrets.
pub fn conversation(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let talk = talk(seeds, dice);
    let mut turns = talk.turns.clone();
    dialogue::damage(dice, &mut turns);
    let flags = if dice.once_in(4) { dice.byte() } else { dice.byte() & 0x0a };
    joined(&keys(dice, &talk.keys), &[&[flags], dialogue::encode(&turns).as_slice()].concat())
}

/// A talk with `needle` in it, if one is found soon.
fn with<'a>(seeds: &'a Seeds, dice: &mut Dice, needle: &[u8]) -> &'a Talk {
    let holds = |talk: &Talk| {
        talk.turns
            .iter()
            .any(|turn| matches!(turn, Turn::Says(_, said) if said.windows(needle.len()).any(|at| at == needle)))
    };
    let fitting: Vec<&Talk> = seeds.talks.iter().filter(|talk| holds(talk)).collect();
    if fitting.is_empty() { dice.pick(&seeds.talks) } else { fitting[dice.below(fitting.len())] }
}

/// An HTTP/2 connection.
pub fn http2(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let mut turns = with(seeds, dice, b"PRI * HTTP/2.0").turns.clone();
    dialogue::damage(dice, &mut turns);
    let start = if dice.once_in(3) { dice.byte() } else { 2 };
    [&[start], dialogue::encode(&turns).as_slice()].concat()
}

/// Header blocks out of HTTP/2 connections, or of nothing.
pub fn hpack(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let talk = with(seeds, dice, b"PRI * HTTP/2.0");
    let mut out = vec![dice.byte() & if dice.once_in(3) { 0xff } else { 0 }];
    let from = if dice.once_in(2) { Side::Request } else { Side::Response };
    for turn in &talk.turns {
        let Turn::Says(side, said) = turn else { continue };
        let mut rest = said.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap_or(said);
        while let Some((&[a, b, c, kind, ..], payload)) = rest.split_first_chunk::<9>().filter(|_| *side == from) {
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let (payload, behind) = payload.split_at(length.min(payload.len()));
            rest = behind;
            if matches!(kind, 1 | 9) {
                let mut block = payload.to_vec();
                if dice.once_in(3) {
                    bytes::damage(dice, &mut block);
                }
                out.extend(joined(&block, &[]));
            }
        }
    }
    for _ in 0..dice.small(4) {
        let noise: Vec<u8> = (0..dice.below(100)).map(|_| dice.byte()).collect();
        out.extend(joined(&noise, &[]));
    }
    out
}

/// A WebSocket behind its handshake.
pub fn websocket(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let mut turns: Vec<Turn> = with(seeds, dice, b"Sec-WebSocket-Accept").turns.clone();
    for turn in turns.iter_mut().take(6) {
        let Turn::Says(_, said) = turn else { continue };
        let head = said.windows(4).position(|at| at == b"\r\n\r\n");
        if let Some(end) = head.filter(|_| said.is_ascii() || said.starts_with(b"HTTP/") || said.starts_with(b"GET ")) {
            said.drain(..end + 4);
        }
    }
    dialogue::damage(dice, &mut turns);
    [&[dice.byte() & 7], dialogue::encode(&turns).as_slice()].concat()
}

/// Server-sent events.
pub fn events(_: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let mut turns = Vec::new();
    let lines: &[&[u8]] = &[
        b"data: x\n",
        b"data: y\r\n",
        b": ping\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"id: 1\r",
        b"event: e\n",
        b"\xef\xbb\xbf",
        b"retry: 9\n\n",
        b"\xef",
        b"a",
    ];
    for _ in 0..1 + dice.small(40) {
        let count = dice.below(6);
        turns.push(dialogue::server((0..count).map(|_| *dice.pick(lines)).collect::<Vec<_>>().concat()));
    }
    dialogue::damage(dice, &mut turns);
    dialogue::encode(&turns)
}

/// Messages of gRPC.
pub fn grpc(_: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let mut turns = Vec::new();
    for _ in 0..1 + dice.small(30) {
        let length = dice.small(300);
        let claimed = if dice.once_in(8) { dice.bits() as u32 } else { length as u32 };
        let flags = *dice.pick(&[0, 0, 0, 1, 0x80, 0x81, 2]);
        let message = [&[flags][..], &claimed.to_be_bytes(), &vec![b'm'; length]].concat();
        turns.push(if dice.once_in(2) { dialogue::client(message) } else { dialogue::server(message) });
    }
    dialogue::damage(dice, &mut turns);
    dialogue::encode(&turns)
}

/// A body in a content coding.
pub fn content(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let (coding, body) = dice.pick(&seeds.coded);
    let mut body = body.clone();
    bytes::damage(dice, &mut body);
    let coding = if dice.once_in(10) { dice.byte() } else { coding | dice.byte() & 0xf8 };
    [&[coding], body.as_slice()].concat()
}

fn damaged(dice: &mut Dice, files: &[Vec<u8>]) -> Vec<u8> {
    let mut file = dice.pick(files).clone();
    bytes::damage(dice, &mut file);
    if dice.once_in(60) {
        file = zstd::encode_all(file.as_slice(), 1).unwrap_or_default();
    }
    joined(&[], &file)
}

/// A HAR file.
pub fn har(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    damaged(dice, &seeds.har)
}

/// A GoReplay file.
pub fn payloads(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    damaged(dice, &seeds.payloads)
}

/// A mitmproxy flow file: mostly inside its values, with the lengths around them put right.
pub fn flows(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    if dice.once_in(4) {
        return damaged(dice, &seeds.flows);
    }
    let file = dice.pick(&seeds.flows);
    let mut out = Vec::new();
    let mut rest = file.as_slice();
    while let Some((content, kind, behind)) = value(rest) {
        rest = behind;
        // At its end, the number of values to go to the next damage.
        let mut wait = dice.below(60);
        out.extend(rebuilt(dice, content, kind, &mut wait, 0));
    }
    joined(&[], &out)
}

/// The content and kind of the tnetstring at the start of `bytes`, and what is behind it.
fn value(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let colon = bytes.iter().take(12).position(|&byte| byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let content = bytes.get(colon + 1..colon.checked_add(1)?.checked_add(length)?)?;
    let (&kind, behind) = bytes.get(colon + 1 + length..)?.split_first()?;
    Some((content, kind, behind))
}

fn rebuilt(dice: &mut Dice, content: &[u8], kind: u8, wait: &mut usize, depth: usize) -> Vec<u8> {
    let mut content = content.to_vec();
    let mut kind = kind;
    if matches!(kind, b'}' | b']') && depth < 20 {
        let mut inner = Vec::new();
        let mut rest = content.as_slice();
        while let Some((content, kind, behind)) = value(rest) {
            rest = behind;
            let piece = rebuilt(dice, content, kind, wait, depth + 1);
            let times = if dice.once_in(200) { dice.below(3) } else { 1 };
            (0..times).for_each(|_| inner.extend_from_slice(&piece));
        }
        content = inner;
    } else if *wait == 0 {
        *wait = 10 + dice.below(80);
        if dice.once_in(5) {
            kind = *dice.pick(b"#^!~;,]}");
        } else {
            bytes::once(dice, &mut content);
        }
    } else {
        *wait -= 1;
    }
    [format!("{}:", content.len()).as_bytes(), &content, &[kind]].concat()
}

/// Most bytes of a long input.
const LONG: usize = 3 << 20;

/// One connection in which a damaged part is said again and again: what grows faster than its input shows.
pub fn long(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let talk = talk(seeds, dice);
    let mut turns = talk.turns.clone();
    if dice.once_in(2) {
        dialogue::damage(dice, &mut turns);
    }
    let range = dice.range(turns.len());
    let mut part = turns[range.clone()].to_vec();
    if dice.once_in(2) {
        dialogue::damage(dice, &mut part);
    }
    if let Some(Turn::Says(side, said)) = part.first_mut().filter(|_| dice.once_in(2)) {
        // A piece of one turn, without end.
        let mut piece = said[dice.range(said.len())].to_vec();
        if dice.once_in(2) {
            piece.truncate(1 + dice.small(4));
        }
        if !piece.is_empty() {
            let most = if dice.once_in(2) { 2 } else { 2000 / piece.len().min(2000) };
            let size = piece.len() * (1 + dice.small(most));
            part = vec![Turn::Says(*side, piece.iter().copied().cycle().take(size).collect())];
        }
    }
    let once = dialogue::encode(&part);
    let bound = 1 << (12 + dice.below(11));
    let times = (bound.min(LONG) / once.len().max(1)).min(400_000);
    let flags = if dice.once_in(4) { dice.byte() } else { 0 };
    let (before, behind) = (dialogue::encode(&turns[..range.start]), dialogue::encode(&turns[range.end..]));
    let mut out = joined(&talk.keys, &[flags]);
    out.extend(before);
    (0..times).for_each(|_| out.extend_from_slice(&once));
    out.extend(behind);
    out
}

/// Many connections, or one with many holes.
pub fn many(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    let (mut packets, secrets) = some_packets(seeds, dice);
    packets::damage::damage(dice, &mut packets);
    let bytes: usize = packets.iter().map(|packet| packet.data.len() + 60).sum();
    let times = LONG / bytes.max(1) >> dice.below(6);
    let (other_ports, other_time) = (!dice.once_in(4), dice.once_in(2));
    let mut all = Vec::new();
    for round in 0..times.min(4000) {
        for packet in &packets {
            let mut packet = packet.clone();
            if let Some(layout) = layout::of(&packet) {
                if other_ports {
                    // The ports of both directions change alike, as whoever has the lower one is the server.
                    let client = layout.tcp + if packet.data[layout.tcp] < packet.data[layout.tcp + 2] { 2 } else { 0 };
                    packet.data[client..client + 2].copy_from_slice(&(1024 + round as u16).to_be_bytes());
                } else {
                    layout::change(&mut packet.data, layout.tcp + 4, |seq| seq.wrapping_add(round as u32 * 3000));
                }
            }
            if other_time {
                packet.at = packet.at.saturating_add(round as u64 * 20_000_000);
            }
            all.push(packet);
        }
    }
    if dice.once_in(3) {
        for index in 0..all.len() {
            let other = index + dice.below((all.len() - index).min(500));
            all.swap(index, other);
        }
    }
    if all.is_empty() {
        return Vec::new();
    }
    let (file, secrets) = capture::file(dice, &all, &secrets);
    joined(&secrets, &file)
}

/// A file of any kind.
pub fn any_file(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    match dice.below(6) {
        0 => har(seeds, dice),
        1 => flows(seeds, dice),
        2 => payloads(seeds, dice),
        _ => packets(seeds, dice),
    }
}
