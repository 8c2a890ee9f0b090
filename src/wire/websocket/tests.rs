//! Dialogues: frames in, messages out.

use super::*;
use crate::model::{MessageKind, Nanos, Side};
use MessageKind::{Binary, Close, Ping, Pong, Text};

const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

/// A message as found; times as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    kind: MessageKind,
    times: (u64, u64),
    frames: u32,
    payload: Vec<u8>,
    compressed: bool,
    cut: bool,
}

/// A whole message of one instant.
fn got(kind: MessageKind, frames: u32, payload: &[u8]) -> Got {
    Got { kind, times: (1, 1), frames, payload: payload.to_vec(), compressed: false, cut: false }
}

fn cut(kind: MessageKind, frames: u32, payload: &[u8]) -> Got {
    Got { cut: true, ..got(kind, frames, payload) }
}

fn still_compressed(kind: MessageKind, frames: u32, payload: &[u8]) -> Got {
    Got { compressed: true, ..got(kind, frames, payload) }
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Bytes(u64, &'a [u8]),
    Gap(u64),
}
use Step::{Bytes, Gap};

/// What the steps give, with the end at the instant 1.
fn play(mut reader: Reader, steps: &[Step<'_>]) -> (Vec<Got>, Result<(), WebSocketError>) {
    let mut found = Vec::new();
    let mut result = Ok(());
    let mut out = |f: Found<'_>| {
        found.push(Got {
            kind: f.kind,
            times: (f.started.0, f.ended.0),
            frames: f.frames,
            payload: f.payload.to_vec(),
            compressed: f.compressed,
            cut: f.cut,
        });
    };
    for step in steps {
        match step {
            Bytes(at, bytes) => result = result.and(reader.read(Nanos(*at), bytes, &mut out)),
            Gap(bytes) => reader.gap(*bytes),
        }
    }
    reader.end(Nanos(1), &mut out);
    (found, result)
}

fn read(reader: Reader, input: &[u8]) -> Vec<Got> {
    play(reader, &[Bytes(1, input)]).0
}

fn from_client() -> Reader {
    Reader::new(Side::Request, None)
}

fn from_server() -> Reader {
    Reader::new(Side::Response, None)
}

/// One frame: first byte, masking key, payload.
fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Frame { fin: true, compressed: false, kind: None, mask, payload }.write(&mut out);
    out[0] = first;
    out
}

fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    }
}

#[test]
fn the_examples_of_the_standard_are_read() {
    let long = |length: usize| -> Vec<u8> { (0..length).map(|i| i as u8).collect() };
    for (reader, input, expected) in [
        (from_server(), vec![0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], got(Text, 1, b"Hello")),
        (from_client(), vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], got(Text, 1, b"Hello")),
        (from_server(), vec![0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f], got(Text, 2, b"Hello")),
        (from_server(), vec![0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], got(Ping, 1, b"Hello")),
        (from_client(), vec![0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], got(Pong, 1, b"Hello")),
        (from_server(), [&[0x82, 0x7e, 0x01, 0x00][..], &long(256)].concat(), got(Binary, 1, &long(256))),
        (
            from_server(),
            [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0][..], &long(65536)].concat(),
            got(Binary, 1, &long(65536)),
        ),
    ] {
        assert_eq!(read(reader, &input), [expected]);
    }
}

/// One direction with everything in it, and the messages in it.
fn everything(mask: Option<[u8; 4]>) -> (Vec<u8>, Vec<Got>) {
    let long = vec![b'l'; 300];
    let input = [
        frame(0x81, mask, b"Hello"),
        frame(0x01, mask, b"in "),
        frame(0x89, mask, b"ping"),
        frame(0x00, mask, b"three "),
        frame(0x8a, mask, b""),
        frame(0x80, mask, b"parts"),
        frame(0x82, mask, b""),
        frame(0x02, mask, b""),
        frame(0x80, mask, b""),
        frame(0x82, mask, &long),
        frame(0x83, mask, b"reserved"),
        frame(0x8b, mask, b"reserved"),
        frame(0x80, mask, b"of no message"),
        frame(0x88, mask, b"\x03\xe8bye"),
    ]
    .concat();
    let messages = vec![
        got(Text, 1, b"Hello"),
        got(Ping, 1, b"ping"),
        got(Pong, 1, b""),
        got(Text, 3, b"in three parts"),
        got(Binary, 1, b""),
        got(Binary, 2, b""),
        got(Binary, 1, &long),
        got(Close, 1, b"\x03\xe8bye"),
    ];
    (input, messages)
}

#[test]
fn frames_are_read_wherever_the_input_is_cut_and_whoever_masks() {
    for mask in [None, KEY] {
        let (input, messages) = everything(mask);
        for side in [Side::Request, Side::Response] {
            assert_eq!(read(Reader::new(side, None), &input), messages);
        }
        for at in 0..=input.len() {
            let steps = [Bytes(1, &input[..at]), Bytes(1, &input[at..])];
            assert_eq!(play(from_client(), &steps), (messages.clone(), Ok(())), "cut at {at}");
        }
        let single: Vec<Step<'_>> = input.chunks(1).map(|byte| Bytes(1, byte)).collect();
        assert_eq!(play(from_client(), &single), (messages, Ok(())));
    }
}

#[test]
fn a_stream_that_stops_anywhere_gives_what_was_whole_and_the_beginning_of_the_rest() {
    let (input, messages) = everything(KEY);
    for at in 0..=input.len() {
        let found = read(from_client(), &input[..at]);
        let (whole, begun): (Vec<Got>, Vec<Got>) = found.into_iter().partition(|got| !got.cut);
        assert_eq!(whole, messages[..whole.len()], "stopped at {at}");
        assert!(begun.len() <= 2, "stopped at {at}");
        for begun in begun {
            let of = |m: &&Got| m.kind == begun.kind && m.payload.starts_with(&begun.payload);
            assert!(messages[whole.len()..].iter().any(|m| of(&m)), "stopped at {at}");
        }
    }
}

#[test]
fn times_are_those_of_the_first_and_last_byte() {
    let (first, second) = (frame(0x01, KEY, b"ab"), frame(0x80, KEY, b"cd"));
    let ping = frame(0x89, KEY, b"");
    let steps = [
        Bytes(10, &first[..1]),
        Bytes(20, &first[1..]),
        Bytes(30, &ping),
        Bytes(40, &second[..7]),
        Bytes(50, &second[7..]),
        Bytes(60, &first),
    ];
    let (found, _) = play(from_client(), &steps);
    assert_eq!(
        found,
        [
            Got { times: (30, 30), ..got(Ping, 1, b"") },
            Got { times: (10, 50), ..got(Text, 2, b"abcd") },
            Got { times: (60, 1), ..cut(Text, 1, b"ab") },
        ]
    );
}

#[test]
fn what_endpoints_refuse_is_reported_as_far_as_it_can_be_told() {
    let big = vec![b'x'; 300];
    for (what, input, expected) in [
        ("a close frame over 125 bytes", frame(0x88, None, &big), vec![got(Close, 1, &big)]),
        ("a ping in parts", frame(0x09, None, b"x"), vec![got(Ping, 1, b"x")]),
        (
            "a message inside a message",
            [frame(0x01, None, b"never ended"), frame(0x81, None, b"next")].concat(),
            vec![cut(Text, 1, b"never ended"), got(Text, 1, b"next")],
        ),
        ("a length longer than it need be", vec![0x81, 126, 0, 1, b'x'], vec![got(Text, 1, b"x")]),
        ("compressed without agreement", frame(0xc1, None, b"\xf2"), vec![still_compressed(Text, 1, b"\xf2")]),
        ("other reserved bits", frame(0xb1, None, b"x"), vec![got(Text, 1, b"x")]),
    ] {
        assert_eq!(read(from_server(), &input), expected, "{what}");
    }
    let huge = [&[0x81, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0][..], b"rest"].concat();
    let next = frame(0x81, None, b"a text that can be found");
    let (found, result) = play(from_server(), &[Bytes(1, &huge), Bytes(1, &next)]);
    assert_eq!(result, Err(WebSocketError::Length(0xff << 56)));
    assert_eq!(found, [got(Text, 1, b"a text that can be found")]);
}

#[test]
fn messages_over_the_limit_are_cut_and_the_next_ones_are_whole() {
    let reader = || from_server().with_limit(10);
    let long = b"0123456789abcdef";
    for first in [
        frame(0x82, None, long),
        frame(0x82, KEY, long),
        [frame(0x02, None, &long[..8]), frame(0x00, KEY, &long[8..12]), frame(0x80, None, &long[12..])].concat(),
    ] {
        let frames = if first[0] == 0x02 { 3 } else { 1 };
        let input = [first, frame(0x82, None, &long[..10])].concat();
        let expected = [cut(Binary, frames, &long[..10]), got(Binary, 1, &long[..10])];
        assert_eq!(read(reader(), &input), expected);
        let single: Vec<Step<'_>> = input.chunks(1).map(|byte| Bytes(1, byte)).collect();
        assert_eq!(play(reader(), &single).0, expected);
    }
    let endless = [&[0x82, 0x7f, 0x7f, 0, 0, 0, 0, 0, 0, 0][..], long].concat();
    assert_eq!(read(reader(), &endless), [cut(Binary, 1, &long[..10])]);
}

/// Texts like those of an application that says the same again and again.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> =
        (0..6).map(|i| format!("{{\"type\":\"price\",\"symbol\":\"ABC\",\"value\":{i}}}")).collect();
    texts.push(String::new());
    let mut random = random(7);
    texts.push((0..70_000).map(|_| char::from(b'a' + random(20) as u8)).collect());
    texts.push(texts[7][20_000..60_000].to_owned());
    texts.push(texts[0].clone());
    texts
}

#[test]
fn compressed_messages_come_back_with_every_agreement() {
    let texts = texts();
    for side in [Side::Request, Side::Response] {
        for bits in 8..=15 {
            for forgets in [false, true] {
                for frame_bytes in [usize::MAX, 1000] {
                    let agreed = Deflate {
                        client_no_context_takeover: forgets == (side == Side::Request),
                        server_no_context_takeover: forgets == (side == Side::Response),
                        client_max_window_bits: bits,
                        server_max_window_bits: bits,
                    };
                    let mut writer = Writer::new(side, Some(agreed)).with_frames_of(frame_bytes);
                    let mut reader = Reader::new(side, Some(agreed));
                    let mask = (side == Side::Request).then_some([1, 2, 3, 4]);
                    let mut found = 0;
                    for text in &texts {
                        let mut wire = Vec::new();
                        writer.message(Text, text.as_bytes(), mask, &mut wire);
                        writer.message(Ping, b"plain", mask, &mut wire);
                        let mut out = |f: Found<'_>| match f.kind {
                            Ping => assert_eq!(f.payload, b"plain"),
                            _ => {
                                assert!(!f.compressed && !f.cut && f.payload == text.as_bytes(), "{agreed:?}");
                                found += 1;
                            }
                        };
                        for piece in wire.chunks(1460) {
                            reader.read(Nanos(1), piece, &mut out).unwrap();
                        }
                    }
                    assert_eq!(found, texts.len());
                }
            }
        }
    }
}

/// Three messages as zlib compresses them, with the window kept.
const PRICES: [(&str, &[u8]); 3] = [
    (
        "{\"type\":\"price\",\"symbol\":\"ABC\",\"value\":1}",
        &[
            0xaa, 0x56, 0x2a, 0xa9, 0x2c, 0x48, 0x55, 0xb2, 0x52, 0x2a, 0x28, 0xca, 0x4c, 0x4e, 0x55, 0xd2, 0x51, 0x2a,
            0xae, 0xcc, 0x4d, 0xca, 0xcf, 0x51, 0xb2, 0x52, 0x72, 0x74, 0x72, 0x56, 0xd2, 0x51, 0x2a, 0x4b, 0xcc, 0x29,
            0x4d, 0x55, 0xb2, 0x32, 0xac, 0x05, 0x00,
        ],
    ),
    ("{\"type\":\"price\",\"symbol\":\"ABC\",\"value\":2}", &[0xaa, 0x26, 0x4e, 0xa1, 0x51, 0x2d, 0x00]),
    (
        "{\"type\":\"price\",\"symbol\":\"XYZ\",\"value\":3}",
        &[0xc2, 0xad, 0x30, 0x22, 0x32, 0x0a, 0xa1, 0xd0, 0xb8, 0x16, 0x00],
    ),
];

#[test]
fn messages_of_zlib_are_read_as_long_as_what_they_look_back_at_was_seen() {
    let [(one, first), (two, second), (three, third)] = PRICES;
    let frames = [frame(0xc1, None, first), frame(0xc1, None, second), frame(0xc1, None, third)];
    let all = frames.concat();
    let agreed = Some(Deflate::default());
    let plain = [one, two, three].map(|text| got(Text, 1, text.as_bytes()));
    assert_eq!(read(Reader::new(Side::Response, agreed), &all), plain);
    for at in 0..all.len() {
        let steps = [Bytes(1, &all[..at]), Bytes(1, &all[at..])];
        assert_eq!(play(Reader::new(Side::Response, agreed), &steps).0, plain, "cut at {at}");
    }

    let damaged = [frame(0xc1, None, b"\xff\xff"), all.clone()].concat();
    let found = read(Reader::new(Side::Response, agreed), &damaged);
    assert_eq!(found[0], still_compressed(Text, 1, b"\xff\xff"));
    assert_eq!(found[1..], plain, "the next one stands alone");

    let lost = [Bytes(1, &frames[0]), Gap(9), Bytes(1, &frames[2]), Bytes(1, &frames[0]), Bytes(1, &frames[1])];
    let (found, _) = play(Reader::new(Side::Response, agreed), &lost);
    assert_eq!(found, [plain[0].clone(), still_compressed(Text, 1, third), plain[0].clone(), plain[1].clone()]);

    for deflate in [agreed, None] {
        let joined = [Bytes(1, &frames[1]), Bytes(1, &frames[0]), Bytes(1, &frames[1])];
        let (found, _) = play(Reader::midway(Side::Response, deflate), &joined);
        assert_eq!(found, [still_compressed(Text, 1, second), plain[0].clone(), plain[1].clone()]);
    }
}

#[test]
fn the_beginning_of_a_compressed_message_is_read() {
    let (text, compressed) = PRICES[0];
    let wire = frame(0xc1, None, compressed);
    for at in 2..wire.len() {
        let found = read(Reader::new(Side::Response, Some(Deflate::default())), &wire[..at]);
        assert_eq!(found.len(), 1);
        let (found, sent) = (&found[0], &compressed[..at - 2]);
        assert!(found.cut, "stopped at {at}");
        assert!(if found.compressed { found.payload == sent } else { text.as_bytes().starts_with(&found.payload) });
    }
}

#[test]
fn a_message_that_grows_over_the_limit_is_cut() {
    let mut wire = Vec::new();
    let mut writer = Writer::new(Side::Response, Some(Deflate::default()));
    writer.message(Binary, &vec![0; 3_000_000], None, &mut wire);
    writer.message(Text, b"short", None, &mut wire);
    assert!(wire.len() < 5000);
    let reader = Reader::new(Side::Response, Some(Deflate::default())).with_limit(1_000_000);
    let found = read(reader, &wire);
    assert_eq!(found, [cut(Binary, 1, &vec![0; 1_000_000]), got(Text, 1, b"short")]);
}

#[test]
fn a_gap_inside_a_payload_costs_one_message() {
    let (first, next) = (frame(0x82, KEY, b"0123456789"), frame(0x81, KEY, b"next"));
    let all = [&first[..], &next].concat();
    for from in 7..first.len() {
        for to in from + 1..=first.len() {
            let steps = [Bytes(1, &all[..from]), Gap((to - from) as u64), Bytes(1, &all[to..])];
            let (found, _) = play(from_client(), &steps);
            assert_eq!(found, [cut(Binary, 1, &b"0123456789"[..from - 6]), got(Text, 1, b"next")], "{from} to {to}");
        }
    }
    let parts = [frame(0x01, KEY, b"first "), frame(0x00, KEY, b"second "), frame(0x80, KEY, b"third"), next].concat();
    let steps = [Bytes(1, &parts[..20]), Gap(3), Bytes(1, &parts[23..])];
    assert_eq!(play(from_client(), &steps).0, [cut(Text, 3, b"first se"), got(Text, 1, b"next")]);
}

#[test]
fn after_other_gaps_the_next_frame_is_found() {
    let (first, text) = (frame(0x82, KEY, b"0123456789"), frame(0x81, KEY, b"what follows"));
    let next = || got(Text, 1, b"what follows");
    for (what, steps, expected) in [
        (
            "between two frames",
            vec![Bytes(1, &first), Gap(16), Bytes(1, &text)],
            vec![got(Binary, 1, b"0123456789"), next()],
        ),
        ("in a head", vec![Bytes(1, &first[..3]), Gap(3), Bytes(1, &first[6..]), Bytes(1, &text)], vec![next()]),
        ("over the end", vec![Bytes(1, &first[..8]), Gap(20), Bytes(1, &text)], vec![cut(Binary, 1, b"01"), next()]),
        (
            "of unknown length",
            vec![Bytes(1, &first[..8]), Gap(0), Bytes(1, &text)],
            vec![cut(Binary, 1, b"01"), next()],
        ),
        ("one after the other", vec![Gap(1), Bytes(1, &first[..9]), Gap(2), Bytes(1, &text)], vec![next()]),
    ] {
        assert_eq!(play(from_client(), &steps), (expected, Ok(())), "{what}");
    }
}

/// What passes on a connection: texts, pings, long binary messages, in segments.
fn traffic(side: Side, seed: u64) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut random = random(seed);
    let mut writer = Writer::new(side, None);
    let (mut wire, mut payloads) = (Vec::new(), Vec::new());
    let mut segments = Vec::new();
    for i in 0..60 {
        let mask = (side == Side::Request).then(|| std::array::from_fn(|_| random(256) as u8));
        let (kind, payload) = match random(4) {
            0 => (Ping, Vec::new()),
            1 => (Binary, (0..random(4000)).map(|_| random(256) as u8).collect()),
            _ => (
                Text,
                format!("{{\"event\": \"tick\", \"number\": {i}, \"pad\": \"{}\"}}", "x".repeat(random(200)))
                    .into_bytes(),
            ),
        };
        writer.message(kind, &payload, mask, &mut wire);
        payloads.push(payload);
        if random(3) > 0 {
            segments.extend(wire.chunks(1448).map(<[u8]>::to_vec));
            wire.clear();
        }
    }
    segments.extend(wire.chunks(1448).map(<[u8]>::to_vec));
    (segments, payloads)
}

#[test]
fn a_reader_that_joins_midway_finds_true_messages_alone() {
    let mut missed = 0;
    for seed in 1..40 {
        for side in [Side::Request, Side::Response] {
            let (segments, payloads) = traffic(side, seed * 77);
            for join in [0, 1, 3, 7] {
                for skip in [0, 1, 5] {
                    let rest = &segments[join.min(segments.len() - 1)..];
                    let mut steps: Vec<Step<'_>> = rest.iter().map(|segment| Bytes(1, segment)).collect();
                    steps[0] = Bytes(1, rest[0].get(skip..).unwrap_or_default());
                    let (found, result) = play(Reader::midway(side, None), &steps);
                    assert_eq!(result, Ok(()));
                    let payloads_found: Vec<&Vec<u8>> = found.iter().map(|got| &got.payload).collect();
                    let expected: Vec<&Vec<u8>> =
                        payloads[payloads.len() - found.len().min(payloads.len())..].iter().collect();
                    assert_eq!(payloads_found, expected, "{side:?} {seed} from {join} without {skip}");
                    missed = missed.max(60 - found.len());
                }
            }
        }
    }
    assert!(missed < 40, "{missed}");
}

#[test]
fn a_client_that_does_not_mask_is_found_with_more_evidence() {
    let frames = [frame(0x82, None, &[7; 40]), frame(0x82, None, &[9; 90]), frame(0x88, None, b"\x03\xe8")];
    let steps: Vec<Step<'_>> = frames.iter().map(|frame| Bytes(1, frame)).collect();
    let (found, _) = play(Reader::midway(Side::Request, None), &steps);
    assert_eq!(found, [got(Binary, 1, &[7; 40]), got(Binary, 1, &[9; 90]), got(Close, 1, b"\x03\xe8")]);
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let mut random = random(99);
    for _ in 0..20 {
        let noise: Vec<u8> = (0..60_000).map(|_| random(256) as u8).collect();
        let steps: Vec<Step<'_>> = noise.chunks(1448).map(|piece| Bytes(1, piece)).collect();
        let (found, _) = play(Reader::midway(Side::Request, None), &steps);
        assert!(found.len() <= 1, "{}", found.len());
    }
    let text = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(3000);
    assert_eq!(read(Reader::midway(Side::Response, None), text.as_bytes()), []);
}

#[test]
fn mutated_streams_are_read_within_bounds() {
    let agreed = Some(Deflate::default());
    let mut compressed = Vec::new();
    let mut writer = Writer::new(Side::Response, agreed).with_frames_of(30);
    for text in texts().iter().take(7) {
        writer.message(Text, text.as_bytes(), None, &mut compressed);
        writer.message(Ping, b"x", None, &mut compressed);
    }
    let streams = [everything(KEY).0, compressed];
    let mut random = random(0x2545_f491_4f6c_dd1d);
    for round in 0..6000 {
        let side = if round % 2 == 0 { Side::Request } else { Side::Response };
        let mut bytes = streams[round % 2].clone();
        for _ in 0..=random(6) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                _ => drop(bytes.drain(at..(at + random(9)).min(bytes.len()))),
            }
        }
        bytes.truncate(random(bytes.len() + 1).max(1));
        let mut reader = if random(3) == 0 { Reader::midway(side, agreed) } else { Reader::new(side, agreed) };
        reader = reader.with_limit(1 << 16);
        let mut out = |f: Found<'_>| assert!(f.payload.len() <= 1 << 16);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((1 + random(40)).min(rest.len()));
            let _ = reader.read(Nanos(1), piece, &mut out);
            if random(20) == 0 {
                reader.gap(random(20) as u64);
            }
            rest = behind;
        }
        reader.end(Nanos(2), &mut out);
    }
}
