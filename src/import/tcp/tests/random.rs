//! Random conversations through random captures, and random segments.

use super::dialogue::*;
use crate::import::segment::{Flags, Segment};
use crate::import::tcp::{Config, Reassembler};
use crate::model::Side;
use crate::observe::streams::Ending;

/// xorshift64*.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A packet of a conversation: whose, and what of the stream it holds.
#[derive(Clone, Debug)]
struct Packet {
    end: usize,
    flags: &'static str,
    start: usize,
    length: usize,
    ack: usize,
    copy: bool,
    at: u64,
}

struct Conversation {
    streams: [Vec<u8>; 2],
    /// (side, stream offset, what the other side had sent by then)
    turns: Vec<(usize, usize, usize)>,
    packets: Vec<Packet>,
}

/// Both sides talk in turns; offsets count stream bytes, the acknowledgement is all the other side sent before.
fn conversation(dice: &mut Dice, midway: bool, retransmit: bool, fins: bool) -> Conversation {
    let mut streams = [Vec::new(), Vec::new()];
    let (mut turns, mut packets) = (Vec::new(), Vec::new());
    let packet = |end, flags, start, length, ack| Packet { end, flags, start, length, ack, copy: false, at: 0 };
    if !midway {
        packets.push(packet(0, "S", 0, 0, 0));
        packets.push(packet(1, "SA", 0, 0, 0));
        packets.push(packet(0, "A", 0, 0, 0));
    }
    for turn in 0..2 + dice.below(6) {
        let (end, other) = (turn % 2, 1 - turn % 2);
        let length = 1 + dice.below(60);
        let start: usize = streams[end].len();
        let ack = streams[other].len();
        turns.push((end, start, ack));
        streams[end].extend((0..length).map(|_| 1 + dice.below(255) as u8));
        let mut at = start;
        while at < start + length {
            let step = (1 + dice.below(20)).min(start + length - at);
            packets.push(packet(end, "A", at, step, ack));
            at += step;
            if dice.one_in(3) {
                packets.push(packet(other, "A", ack, 0, at));
            }
            if retransmit && dice.one_in(3) {
                let from = dice.below(at);
                let length = 1 + dice.below(at - from);
                let copy = Packet { copy: true, ..packet(end, "A", from, length, ack) };
                packets.push(copy);
            }
        }
        packets.push(packet(other, "A", ack, 0, at));
    }
    if fins {
        let lengths = [streams[0].len(), streams[1].len()];
        packets.push(packet(0, "FA", lengths[0], 0, lengths[1]));
        packets.push(packet(1, "FA", lengths[1], 0, lengths[0] + 1));
        packets.push(packet(0, "A", lengths[0] + 1, 0, lengths[1] + 1));
    }
    Conversation { streams, turns, packets }
}

/// Lets a capture disorder the packets by up to `window` places.
fn shuffle(dice: &mut Dice, packets: Vec<Packet>, window: usize) -> Vec<Packet> {
    let mut keyed: Vec<_> =
        packets.into_iter().enumerate().map(|(index, packet)| (index + dice.below(window), packet)).collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, packet)| packet).collect()
}

fn play(conversation: &Conversation, packets: &[Packet], isns: [u32; 2], config: Config) -> (Transcript, u64) {
    let mut reassembler = Reassembler::new(config);
    let mut out = Transcript::default();
    let (client, server) = ends();
    let addresses = [client, server];
    for packet in packets {
        let flags = flags(packet.flags);
        let number = |end: usize, offset: usize| isns[end].wrapping_add(1).wrapping_add(offset as u32);
        let segment = Segment {
            at: packet.at,
            source: addresses[packet.end],
            destination: addresses[1 - packet.end],
            lane: 0,
            seq: if flags.syn { isns[packet.end] } else { number(packet.end, packet.start) },
            ack: if flags.ack { number(1 - packet.end, packet.ack) } else { 0 },
            flags,
            payload: &conversation.streams[packet.end][packet.start.min(conversation.streams[packet.end].len())..]
                [..packet.length],
            cut: 0,
        };
        reassembler.segment(&segment, &mut out);
    }
    reassembler.end(&mut out);
    (out, reassembler.census().peak_buffered_bytes)
}

/// Bytes and gaps of a side: `None` for each byte of a gap.
fn heard(out: &Transcript, side: Side) -> Vec<Option<u8>> {
    let mut all = Vec::new();
    for (id, whose, event) in &out.events {
        assert_eq!(*id, 1, "one connection");
        match event {
            _ if *whose != side => {}
            Event::Bytes(bytes) => all.extend(bytes.iter().copied().map(Some)),
            Event::Gap(bytes) => all.extend(std::iter::repeat_n(None, *bytes as usize)),
            Event::Ended(_) => {}
        }
    }
    all
}

fn isns(dice: &mut Dice) -> [u32; 2] {
    [0; 2].map(|_: u32| if dice.one_in(2) { u32::MAX - dice.below(100) as u32 } else { dice.below(1 << 30) as u32 })
}

fn stamp(dice: &mut Dice, packets: &mut [Packet], step: u64) {
    let mut at = START;
    for packet in packets {
        at += dice.below(step as usize) as u64;
        packet.at = at;
    }
}

#[test]
fn shuffled_duplicated_and_overlapping_captures_give_the_bytes_that_were_sent() {
    for seed in 1..3000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (midway, retransmit, fins) = (dice.one_in(3), dice.one_in(2), dice.one_in(2));
        let mut talk = conversation(&mut dice, midway, retransmit, fins);
        let mut packets = std::mem::take(&mut talk.packets);
        for _ in 0..dice.below(10) {
            let copy = packets[dice.below(packets.len())].clone();
            let at = dice.below(packets.len() + 1);
            if at > packets.len() / 2 && !midway {
                packets.insert(at, Packet { copy: true, ..copy });
            }
        }
        let window = 1 + dice.below(6);
        let by_capture = dice.one_in(2);
        if by_capture {
            packets = shuffle(&mut dice, packets, window);
            stamp(&mut dice, &mut packets, MS / 4);
        } else {
            stamp(&mut dice, &mut packets, MS / 4);
            packets = shuffle(&mut dice, packets, window);
        }
        let isns = isns(&mut dice);
        let (out, _) = play(&talk, &packets, isns, Config::default());
        for (end, side) in [(0, Side::Request), (1, Side::Response)] {
            let sent: Vec<_> = talk.streams[end].iter().copied().map(Some).collect();
            assert_eq!(heard(&out, side), sent, "seed {seed} side {end} {packets:#?}");
        }
        // A bare FIN that comes before all payload of a capture from the middle opens nothing.
        let fins = fins && (!midway || packets.iter().find(|it| it.length > 0 || it.flags == "FA").unwrap().length > 0);
        let closed = out.events.iter().filter(|(_, _, event)| *event == Event::Ended(Ending::Fin)).count();
        assert_eq!(closed, if fins { 2 } else { closed }, "seed {seed}");
        if packets.iter().all(|packet| !packet.copy) {
            assert_order(&talk, &out, seed);
        }
    }
}

/// What a side sent comes after all it had received before.
fn assert_order(talk: &Conversation, out: &Transcript, seed: u64) {
    let mut passed = [0, 0];
    for (_, side, event) in &out.events {
        let end = usize::from(*side == Side::Response);
        if let Event::Bytes(bytes) = event {
            let last = passed[end] + bytes.len() - 1;
            for (_, _, need) in talk.turns.iter().filter(|turn| turn.0 == end && turn.1 <= last) {
                assert!(passed[1 - end] >= *need, "seed {seed}: {:?}", out.lines);
            }
            passed[end] += bytes.len();
        }
    }
}

#[test]
fn dropped_packets_leave_gaps_of_their_place_and_length_and_nothing_is_invented() {
    for seed in 1..3000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0xd134_2543_de82_ef95));
        let (retransmit, fins) = (dice.one_in(2), dice.one_in(2));
        let mut talk = conversation(&mut dice, false, retransmit, fins);
        let mut packets = std::mem::take(&mut talk.packets);
        let rate = 2 + dice.below(12);
        packets.retain(|packet| {
            let keep = packet.flags.contains('S') || packet.flags.contains('F') || !dice.one_in(rate);
            keep && (!packet.copy || dice.one_in(2))
        });
        // Slow captures let the tolerance pass; quick ones are disordered as well.
        let slow = !retransmit && dice.one_in(2);
        let window = if slow { 1 } else { 1 + dice.below(6) };
        let mut packets = shuffle(&mut dice, packets, window);
        stamp(&mut dice, &mut packets, if slow { 200 * MS } else { MS / 4 });
        let isns = isns(&mut dice);
        let (out, _) = play(&talk, &packets, isns, Config::default());
        for (end, side) in [(0, Side::Request), (1, Side::Response)] {
            let mut expected = vec![None; talk.streams[end].len()];
            let mut reached = if fins { expected.len() } else { 0 };
            for packet in packets.iter().filter(|packet| packet.end == end) {
                let range = packet.start..packet.start + packet.length;
                if packet.length > 0 {
                    expected[range.clone()].copy_from_slice(
                        &talk.streams[end][range.clone()].iter().copied().map(Some).collect::<Vec<_>>(),
                    );
                    reached = reached.max(range.end);
                }
            }
            let heard = heard(&out, side);
            assert!(heard.len() >= reached && heard.len() <= expected.len(), "seed {seed} side {end} {packets:#?}");
            assert_eq!(heard, expected[..heard.len()], "seed {seed} side {end} {:?}", out.lines);
        }
    }
}

#[test]
fn arbitrary_segments_panic_nowhere_and_stay_within_bounds() {
    let bounds = Config { connections: 20, direction_bytes: 20_000, buffered_bytes: 50_000, ..Config::default() };
    let payload: Vec<u8> = (0..4000_u32).map(|n| (n * 7) as u8).collect();
    for seed in 1..40_u64 {
        let mut dice = Dice(seed.wrapping_mul(0xa076_1d64_78bd_642f));
        let mut reassembler = Reassembler::new(bounds.clone());
        let mut out = Transcript::default();
        let (span, pace) = ([200, 5000, 1 << 31][dice.below(3)], [1, 1000, 1_000_000, 1 << 40][dice.below(4)]);
        let mut at = START;
        for _ in 0..2000 {
            at = at.wrapping_add(dice.below(pace) as u64);
            let time = if dice.one_in(200) { dice.below(usize::MAX >> 1) as u64 } else { at };
            let port = 40_000 + dice.below(4) as u16;
            let (mut source, mut destination) = (([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 80).into());
            if dice.one_in(2) {
                std::mem::swap(&mut source, &mut destination);
            }
            let longest = [1, 10, 4000][dice.below(3)];
            let length = dice.below(longest);
            let segment = Segment {
                at: time,
                source,
                destination,
                lane: dice.below(3).saturating_sub(1) as u64,
                seq: dice.below(span) as u32,
                ack: dice.below(span) as u32,
                flags: Flags { syn: dice.one_in(30), ack: !dice.one_in(5), fin: dice.one_in(40), rst: dice.one_in(60) },
                payload: &payload[..length],
                cut: if dice.one_in(20) { dice.below(usize::MAX) as u32 } else { 0 },
            };
            reassembler.segment(&segment, &mut out);
            let _ = reassembler.census();
        }
        reassembler.end(&mut out);
        let census = reassembler.census();
        assert!(census.peak_buffered_bytes <= 60_000, "{census:?}");
        let opened = out.openings.len();
        let ended = out.events.iter().filter(|(_, _, event)| matches!(event, Event::Ended(_))).count();
        assert_eq!(ended, 2 * opened, "seed {seed}: both sides of every connection end");
    }
}
