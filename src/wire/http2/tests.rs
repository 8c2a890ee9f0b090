//! Dialogues: bytes of both sides in, events out; cut, holed, mutated and flooded.

use super::hpack::{Encoder, Strings};
use super::*;

/// xorshift64*.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Events with the bytes they borrow.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Head(Side, u32, Vec<Field>, bool),
    Data(Side, u32, Vec<u8>, bool),
    DataGap(Side, u32, u64, Option<bool>),
    Promise(u32, u32, Vec<Field>),
    Reset(Side, u32, u32),
    GoAway(Side, u32, u32, Vec<u8>),
    Lost(Side, u64),
}

/// Keeps events; pieces of one DATA frame are put together again.
#[derive(Default)]
struct Log(Vec<Seen>);

impl Log {
    fn push(&mut self, event: Event<'_>) {
        let seen = match event {
            Event::Head { side, stream, fields, end } => Seen::Head(side, stream, fields, end),
            Event::Data { side, stream, bytes, end } => {
                if let Some(Seen::Data(s, n, before, e @ false)) = self.0.last_mut()
                    && (*s, *n) == (side, stream)
                {
                    before.extend_from_slice(bytes);
                    *e = end;
                    return;
                }
                Seen::Data(side, stream, bytes.to_vec(), end)
            }
            Event::DataGap { side, stream, bytes, end } => Seen::DataGap(side, stream, bytes, end),
            Event::Promise { stream, promised, fields } => Seen::Promise(stream, promised, fields),
            Event::Reset { side, stream, code } => Seen::Reset(side, stream, code),
            Event::GoAway { side, last_stream, code, debug } => Seen::GoAway(side, last_stream, code, debug.to_vec()),
            Event::Lost { side, bytes } => Seen::Lost(side, bytes),
        };
        self.0.push(seen);
    }

    fn lost(&self) -> bool {
        self.0.iter().any(|seen| matches!(seen, Seen::Lost(..)))
    }
}

const C: Side = Side::Request;
const S: Side = Side::Response;

fn known(list: &[(&[u8], &[u8])]) -> Vec<Field> {
    list.iter().map(|(n, v)| Field { name: Some(n.to_vec()), value: Some(v.to_vec()) }).collect()
}

fn watch(start: Start, turns: &[(Side, &[u8])]) -> Vec<Seen> {
    let (mut observer, mut log) = (Observer::new(start), Log::default());
    for (side, bytes) in turns {
        observer.read(*side, bytes, &mut |event| log.push(event)).unwrap();
    }
    log.0
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..bytes).map(|_| random.next() as u8).collect()
}

/// Everything a connection can hold, from both sides.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    let (mut client, mut server) = (Frames::new(), Frames::new());
    let (mut ask, mut answer) = (Encoder::new(Strings::Huffman), Encoder::new(Strings::Plain));
    client.preface().settings(&[(1, 65_536), (4, 1 << 20)]).window_update(0, 15_663_105);
    server.settings(&[(3, 100), (5, 20_000)]).settings_ack();
    client.settings_ack();
    for stream in [1u32, 3, 5, 7] {
        let path = format!("/item/{stream}");
        let block = ask.block(&[
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", path.as_bytes()),
            (b":authority", b"shop.example"),
            (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
        ]);
        // With priority and padding, the first; in pieces, the second.
        match stream {
            1 => {
                let padded = [&[3u8][..], &[0, 0, 0, 0, 15], &block, &[0; 3]].concat();
                client.frame(1, 0x4 | 0x8 | 0x20, stream, &padded);
            }
            3 => drop(client.headers_in_pieces(stream, &block, false, 7)),
            _ => drop(client.headers(stream, &block, false)),
        }
        client
            .data(stream, &noise(stream.into(), 300), false)
            .padded_data(stream, b"", 9, stream != 7)
            .ping(*b"overdub!");
        if stream == 7 {
            client.headers(stream, &ask.block(&[(b"checksum", b"abc")]), true);
        }
        client.frame(0x2a, 0, 0, b"grease").frame(0x10, 0, 0, b"\0\0\0\x01u=1");
    }
    for stream in [3u32, 1, 5] {
        if stream == 3 {
            let block = answer.block(&[(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/pushed.css")]);
            server.promise(stream, 2, &block);
        }
        server.headers(stream, &answer.block(&[(b":status", b"103"), (b"link", b"</a.css>; rel=preload")]), false);
        server.headers(
            stream,
            &answer.block(&[(b":status", b"200"), (b"server", b"testing"), (b"content-type", b"image/png")]),
            false,
        );
        server.window_update(stream, 300).data(stream, &noise(100 + u64::from(stream), 900), false);
        server.padded_data(stream, &noise(200 + u64::from(stream), 200), 20, stream != 5);
        if stream == 5 {
            server.headers(stream, &answer.block(&[(b"grpc-status", b"0"), (b"server", b"testing")]), true);
        }
    }
    server.headers(2, &answer.block(&[(b":status", b"200"), (b"server", b"testing")]), false).data(2, b"a{}", true);
    server.reset(7, 8).frame(2, 0, 1, &[0, 0, 0, 3, 7]).go_away(7, 0, b"bye");
    (client.bytes, server.bytes)
}

#[test]
fn a_whole_conversation_is_told() {
    let (client, server) = conversation();
    let seen = watch(Start::Preface, &[(C, &client), (S, &server)]);
    let head = |stream: u32| {
        known(&[
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", format!("/item/{stream}").as_bytes()),
            (b":authority", b"shop.example"),
            (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
        ])
    };
    let early = || known(&[(b":status", b"103"), (b"link", b"</a.css>; rel=preload")]);
    let answer = || known(&[(b":status", b"200"), (b"server", b"testing"), (b"content-type", b"image/png")]);
    let body = |stream: u64| [noise(100 + stream, 900), noise(200 + stream, 200)].concat();
    let pushed = known(&[(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/pushed.css")]);
    let expected = vec![
        Seen::Head(C, 1, head(1), false),
        Seen::Data(C, 1, noise(1, 300), true),
        Seen::Head(C, 3, head(3), false),
        Seen::Data(C, 3, noise(3, 300), true),
        Seen::Head(C, 5, head(5), false),
        Seen::Data(C, 5, noise(5, 300), true),
        Seen::Head(C, 7, head(7), false),
        Seen::Data(C, 7, noise(7, 300), false),
        Seen::Head(C, 7, known(&[(b"checksum", b"abc")]), true),
        Seen::Promise(3, 2, pushed),
        Seen::Head(S, 3, early(), false),
        Seen::Head(S, 3, answer(), false),
        Seen::Data(S, 3, body(3), true),
        Seen::Head(S, 1, early(), false),
        Seen::Head(S, 1, answer(), false),
        Seen::Data(S, 1, body(1), true),
        Seen::Head(S, 5, early(), false),
        Seen::Head(S, 5, answer(), false),
        Seen::Data(S, 5, body(5), false),
        Seen::Head(S, 5, known(&[(b"grpc-status", b"0"), (b"server", b"testing")]), true),
        Seen::Head(S, 2, known(&[(b":status", b"200"), (b"server", b"testing")]), false),
        Seen::Data(S, 2, b"a{}".to_vec(), true),
        Seen::Reset(S, 7, 8),
        Seen::GoAway(S, 7, 0, b"bye".to_vec()),
    ];
    assert_eq!(seen, expected);
    // Over an upgrade the same.
    assert_eq!(watch(Start::Upgraded, &[(C, &client), (S, &server)]), expected);
}

#[test]
fn cuts_change_nothing() {
    let (client, server) = conversation();
    for start in [Start::Preface, Start::Midway] {
        let whole = watch(start, &[(C, &client), (S, &server)]);
        for cut in 0..=client.len() {
            assert_eq!(
                watch(start, &[(C, &client[..cut]), (C, &client[cut..]), (S, &server)]),
                whole,
                "client at {cut}"
            );
        }
        for cut in 0..=server.len() {
            assert_eq!(
                watch(start, &[(C, &client), (S, &server[..cut]), (S, &server[cut..])]),
                whole,
                "server at {cut}"
            );
        }
        for step in [1, 2, 7, 100] {
            let mut turns: Vec<_> = client.chunks(step).map(|bytes| (C, bytes)).collect();
            turns.extend(server.chunks(step).map(|bytes| (S, bytes)));
            assert_eq!(watch(start, &turns), whole, "steps of {step}");
        }
    }
}

#[test]
fn a_preface_that_was_not_expected_makes_all_known() {
    let (client, server) = conversation();
    let whole = watch(Start::Preface, &[(C, &client), (S, &server)]);
    assert_eq!(watch(Start::Midway, &[(C, &client), (S, &server)]), whole);
}

/// What each stream of `side` got, in order: heads, and bodies as pieces.
fn check_against(truth: &[Seen], seen: &[Seen], from: Start, what: &str) -> usize {
    let body = |side: Side, stream: u32| -> Vec<u8> {
        let pieces = truth.iter().filter_map(|seen| match seen {
            Seen::Data(s, n, bytes, _) if (*s, *n) == (side, stream) => Some(&bytes[..]),
            _ => None,
        });
        pieces.collect::<Vec<_>>().concat()
    };
    let mut places = std::collections::BTreeMap::new();
    let mut delivered = 0;
    let lossless =
        from != Start::Midway && !seen.iter().any(|s| matches!(s, Seen::Lost(..) | Seen::DataGap(_, _, 0, _)));
    for event in seen {
        match event {
            Seen::Data(side, stream, bytes, end) => {
                let whole = body(*side, *stream);
                let place = places.entry((*side, *stream)).or_insert(0usize);
                let at = if bytes.is_empty() {
                    *place
                } else {
                    let found = (*place..whole.len()).find(|&at| whole[at..].starts_with(bytes));
                    found.unwrap_or_else(|| panic!("{what}: data of stream {stream} that was never sent there"))
                };
                assert!(!lossless || at == *place, "{what}: hole in stream {stream} without a word");
                *place = at + bytes.len();
                delivered += bytes.len();
                assert!(!end || *place == whole.len() || bytes.is_empty(), "{what}: early end of {stream}");
            }
            Seen::DataGap(side, stream, bytes, _) => {
                let place = places.entry((*side, *stream)).or_insert(0usize);
                *place += *bytes as usize;
                assert!(*place <= body(*side, *stream).len(), "{what}: gap in {stream} beyond its end");
            }
            Seen::Head(side, stream, fields, end) => {
                let possible = truth.iter().any(|t| match t {
                    Seen::Head(s, n, all, e) => (s, n, e) == (side, stream, end) && agrees(fields, all),
                    _ => false,
                });
                assert!(possible, "{what}: head on {stream} that was never sent: {fields:?}");
            }
            Seen::Promise(stream, promised, fields) => {
                let possible = truth.iter().any(|t| match t {
                    Seen::Promise(s, p, all) => (s, p) == (stream, promised) && agrees(fields, all),
                    _ => false,
                });
                assert!(possible, "{what}: invented promise");
            }
            Seen::Reset(..) => assert!(truth.contains(event), "{what}: invented reset"),
            Seen::GoAway(side, last, code, debug) => {
                let real = |t: &Seen| matches!(t, Seen::GoAway(s, l, c, d) if (s, l, c) == (side, last, code) && d.starts_with(debug));
                assert!(truth.iter().any(real), "{what}: invented goodbye");
            }
            Seen::Lost(..) => {}
        }
    }
    delivered
}

/// Whether the fields are the true ones as far as they are known; a wholly unknown one at the end may stand for several.
fn agrees(fields: &[Field], all: &[Field]) -> bool {
    let cut = fields.last() == Some(&Field::UNKNOWN);
    let same = |(a, b): (&Field, &Field)| {
        a.name.as_ref().is_none_or(|_| a.name == b.name) && a.value.as_ref().is_none_or(|_| a.value == b.value)
    };
    (fields.len() == all.len() || cut && fields.len() <= all.len() + 1) && fields.iter().zip(all).all(same)
}

#[test]
fn gaps_anywhere_lose_what_they_hold_and_invent_nothing() {
    let (client, server) = conversation();
    let truth = watch(Start::Preface, &[(C, &client), (S, &server)]);
    let all = 4 * 300 + 3 * 1100 + 3;
    let (mut delivered, mut runs) = (0, 0);
    for (side, bytes) in [(C, &client), (S, &server)] {
        for length in [1usize, 9, 40, 333, 1500] {
            for at in 0..bytes.len() {
                let behind = &bytes[(at + length).min(bytes.len())..];
                for told in if length == 40 { vec![40, 0] } else { vec![length as u64] } {
                    let (mut observer, mut log) = (Observer::new(Start::Preface), Log::default());
                    let mut sink = |event: Event<'_>| log.push(event);
                    if side == S {
                        observer.read(C, &client, &mut sink).unwrap();
                    }
                    observer.read(side, &bytes[..at], &mut sink).unwrap();
                    observer.gap(side, told, &mut sink);
                    observer.read(side, behind, &mut sink).unwrap();
                    if side == C {
                        observer.read(S, &server, &mut sink).unwrap();
                    }
                    let what = format!("{side:?}: {length} bytes lost at {at}, told {told}");
                    delivered += check_against(&truth, &log.0, Start::Preface, &what);
                    runs += all;
                }
            }
        }
    }
    assert!(delivered * 100 > runs * 80, "{delivered} of {runs} bytes were found again");
}

#[test]
fn joined_midway_at_any_byte_nothing_is_invented() {
    let (client, server) = conversation();
    let truth = watch(Start::Preface, &[(C, &client), (S, &server)]);
    for at in 1..client.len().max(server.len()) {
        let turns = [(C, &client[at.min(client.len())..]), (S, &server[at.min(server.len())..])];
        check_against(&truth, &watch(Start::Midway, &turns), Start::Midway, &format!("from {at}"));
    }
}

#[test]
fn a_gap_inside_a_data_frame_is_exact() {
    let mut server = Frames::new();
    let body = noise(1, 10_000);
    server.settings(&[]).data(1, &body, true).data(3, b"next", true);
    let before = 9 + 9;
    let run = |at: usize, bytes: usize| {
        let (mut observer, mut log) = (Observer::new(Start::Preface), Log::default());
        observer.read(S, &server.bytes[..before + at], &mut |e| log.push(e)).unwrap();
        observer.gap(S, bytes as u64, &mut |e| log.push(e));
        observer.read(S, &server.bytes[before + at + bytes..], &mut |e| log.push(e)).unwrap();
        log.0
    };
    let next = Seen::Data(S, 3, b"next".to_vec(), true);
    assert_eq!(
        run(100, 1460),
        [
            Seen::Data(S, 1, body[..100].to_vec(), false),
            Seen::DataGap(S, 1, 1460, Some(false)),
            Seen::Data(S, 1, body[1560..].to_vec(), true),
            next.clone()
        ]
    );
    assert_eq!(
        run(9000, 1000),
        [Seen::Data(S, 1, body[..9000].to_vec(), false), Seen::DataGap(S, 1, 1000, Some(true)), next]
    );
}

#[test]
fn a_head_that_is_cut_says_so_and_the_frames_go_on() {
    let mut client = Frames::new();
    let mut encoder = Encoder::new(Strings::Plain);
    client.preface().settings(&[]);
    let before = client.bytes.len();
    let block = encoder.block(&[(b":method", b"GET"), (b":path", b"/a"), (b"cookie", b"a=1234567890")]);
    client.headers(1, &block, true);
    let second = encoder.block(&[(b":method", b"GET"), (b"cookie", b"a=1234567890"), (b"cookie", b"b")]);
    client.headers(3, &second, true);
    let (mut observer, mut log) = (Observer::new(Start::Preface), Log::default());
    observer.read(C, &client.bytes[..before + 9 + 8], &mut |e| log.push(e)).unwrap();
    observer.gap(C, 5, &mut |e| log.push(e));
    observer.read(C, &client.bytes[before + 9 + 13..], &mut |e| log.push(e)).unwrap();
    let mut first = known(&[(b":method", b"GET"), (b":path", b"/a")]);
    first.push(Field::UNKNOWN);
    let mut next = known(&[(b":method", b"GET")]);
    next.push(Field::UNKNOWN);
    next.extend(known(&[(b"cookie", b"b")]));
    assert_eq!(log.0, [Seen::Head(C, 1, first, true), Seen::Head(C, 3, next, true)]);
}

#[test]
fn what_is_no_http2_is_an_error_once_and_for_all() {
    let mut observer = Observer::new(Start::Preface);
    let mut ignore = |_: Event<'_>| {};
    assert_eq!(observer.read(C, b"PRI * HTTP/1.1\r\n", &mut ignore), Err(Http2Error::Preface));
    assert_eq!(observer.read(S, b"", &mut ignore), Err(Http2Error::Preface));
    let mut observer = Observer::new(Start::Preface);
    assert_eq!(observer.read(S, b"HTTP/1.1 400 Bad Request\r\n\r\n", &mut ignore), Err(Http2Error::FirstFrame));
    let mut observer = Observer::new(Start::Midway);
    let text = b"{\"price\": 12, \"name\": \"tea\"},\n".repeat(2000);
    let read = (0..30).try_for_each(|_| observer.read(S, &text, &mut ignore));
    assert_eq!(read, Err(Http2Error::NoFrames));
}

#[test]
fn malformed_frames_are_passed_over() {
    let head = || Encoder::new(Strings::Plain).block(&[(b":status", b"200"), (b"server", b"x")]);
    for (kind, flags, stream, payload) in [
        (8u8, 0u8, 0u32, &b"\0\0\x01"[..]),    // WINDOW_UPDATE of three bytes
        (4, 0, 0, b"12345"),                   // SETTINGS of five
        (6, 0, 1, b"12345678"),                // PING on a stream
        (0, 0, 0, b"data of no stream"),       // DATA on none
        (0, 8, 1, b"\x20padding over length"), // too much padding
        (1, 4, 1, b"\x80"),                    // index 0
        (1, 4, 1, b"\x40\x7f"),                // ends inside a field
        (1, 0x2c, 1, b"\x10\0\0"),             // no room for what the flags say
        (9, 4, 1, b"\x88"),                    // continues nothing
        (3, 0, 1, b"12345"),                   // RST_STREAM of five
    ] {
        let mut server = Frames::new();
        server.settings(&[]).frame(kind, flags, stream, payload);
        server.headers(1, &head(), false).data(1, b"fine", true).settings_ack();
        let seen = watch(Start::Preface, &[(S, &server.bytes)]);
        assert!(matches!(seen[0], Seen::Lost(..)), "{kind} {payload:x?}: {seen:?}");
        let head = Seen::Head(S, 1, known(&[(b":status", b"200"), (b"server", b"x")]), false);
        assert!(seen.len() > 2, "{kind} {payload:x?}: {seen:?}");
        assert_eq!(seen[seen.len() - 2..], [head, Seen::Data(S, 1, b"fine".to_vec(), true)], "{kind} {payload:x?}");
    }
}

#[test]
fn the_table_obeys_what_the_other_side_announced() {
    let mut client = Frames::new();
    client.preface().settings(&[(1, 8192)]);
    let mut update = Encoder::new(Strings::Plain);
    update.resize(8192);
    let mut server = Frames::new();
    server.settings(&[]).headers(1, &update.block(&[(b":status", b"200")]), true);
    let fine = [Seen::Head(S, 1, known(&[(b":status", b"200")]), true)];
    assert_eq!(watch(Start::Preface, &[(C, &client.bytes), (S, &server.bytes)]), fine);
    assert_eq!(watch(Start::Preface, &[(S, &server.bytes)]), fine, "nobody saw what the client allows");
    let mut modest = Frames::new();
    modest.preface().settings(&[]);
    assert!(matches!(watch(Start::Preface, &[(C, &modest.bytes), (S, &server.bytes)])[..], [Seen::Lost(..)]));
}

#[test]
fn floods_are_bounded() {
    let mut client = Frames::new();
    client.preface().settings(&[]).frame(1, 0, 1, b"\x82");
    let mut observer = Observer::new(Start::Preface);
    let mut log = Log::default();
    observer.read(C, &client.bytes, &mut |e| log.push(e)).unwrap();
    let mut more = Frames::new();
    more.frame(9, 0, 1, &[0x82; 16_384]).frame(9, 0, 1, b"");
    for _ in 0..200 {
        observer.read(C, &more.bytes, &mut |e| log.push(e)).unwrap();
    }
    let mut last = Frames::new();
    last.frame(9, 4, 1, b"\x82").headers(3, b"\x82", true);
    observer.read(C, &last.bytes, &mut |e| log.push(e)).unwrap();
    let [Seen::Head(C, 1, fields, false), Seen::Head(C, 3, _, true)] = &log.0[..] else {
        panic!("{} events", log.0.len())
    };
    assert_eq!(fields.len(), hpack::MAX_FIELDS + 2);
}

#[test]
fn a_data_frame_of_16_mb_is_handed_on_as_it_comes() {
    let mut server = Frames::new();
    server.settings(&[]);
    let mut observer = Observer::new(Start::Preface);
    let (mut bytes, mut ends) = (0, 0);
    let mut sink = |event: Event<'_>| {
        let Event::Data { bytes: piece, end, .. } = event else { panic!("{event:?}") };
        bytes += piece.len();
        ends += usize::from(end);
    };
    observer.read(S, &server.bytes, &mut sink).unwrap();
    observer.read(S, &[0xff, 0xff, 0xff, 0, 1, 0, 0, 0, 1], &mut sink).unwrap();
    let piece = vec![7; 0xff_ffff / 5];
    (0..5).for_each(|_| observer.read(S, &piece, &mut sink).unwrap());
    assert_eq!((bytes, ends), (0xff_ffff, 1));
}

#[test]
fn frames_in_the_middle_are_recognized_and_other_things_are_not() {
    let (client, server) = conversation();
    for bytes in [&client[24..], &server[..], &server[200..], &client[333..]] {
        assert_eq!(looks_like_frames(bytes), Some(true));
    }
    let text = b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nAccept: */*\r\n\r\n".repeat(600);
    assert_eq!(looks_like_frames(&text), Some(false));
    assert_eq!(looks_like_frames(&text[..1000]), None);
    assert_eq!(looks_like_frames(b""), None);
    assert_eq!(looks_like_preface(&client), Some(true));
    assert_eq!(looks_like_preface(b"PRI * HT"), None);
    assert_eq!(looks_like_preface(b"POST / HTTP/1.1"), Some(false));
    for seed in 0..6 {
        assert_eq!(looks_like_frames(&noise(seed, 40_000)), Some(false), "random bytes");
        let mut random = Random::new(seed);
        let sparse: Vec<u8> =
            (0..40_000).map(|_| if random.below(4) == 0 { random.below(12) as u8 } else { 0 }).collect();
        assert_eq!(looks_like_frames(&sparse), Some(false), "small numbers among zeros");
        let numbers: Vec<u8> = (0..10_000).flat_map(|_| (random.below(300) as u32).to_be_bytes()).collect();
        assert_eq!(looks_like_frames(&numbers), Some(false), "an array of numbers");
    }
}

#[test]
fn mutated_conversations_never_panic() {
    let (client, server) = conversation();
    let mut random = Random::new(42);
    for round in 0..3000 {
        let start = [Start::Preface, Start::Upgraded, Start::Midway][round % 3];
        let (mut observer, mut log) = (Observer::new(start), Log::default());
        for (side, bytes) in [(C, &client), (S, &server)] {
            let mut bytes = bytes.clone();
            for _ in 0..random.below(6) {
                let at = random.below(bytes.len());
                match random.below(4) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = random.next() as u8,
                    2 => drop(bytes.drain(at..(at + random.below(50)).min(bytes.len()))),
                    _ => bytes.insert(at, random.next() as u8),
                }
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (now, behind) = rest.split_at(1 + random.below(rest.len().min(700)));
                rest = behind;
                if observer.read(side, now, &mut |e| log.push(e)).is_err() {
                    break;
                }
                if random.below(20) == 0 {
                    let bytes = [0, 1, 100, u64::MAX][random.below(4)];
                    observer.gap(side, bytes, &mut |e| log.push(e));
                }
            }
        }
    }
}

#[test]
fn an_undisturbed_conversation_loses_nothing() {
    let (client, server) = conversation();
    let (mut observer, mut log) = (Observer::new(Start::Preface), Log::default());
    observer.read(C, &client, &mut |e| log.push(e)).unwrap();
    observer.read(S, &server, &mut |e| log.push(e)).unwrap();
    assert!(!log.lost());
}

#[test]
fn after_packets_are_lost_the_next_frames_are_found_at_once() {
    let mut server = Frames::new();
    let mut encoder = Encoder::new(Strings::Huffman);
    server.settings(&[]);
    let mut heads = Vec::new();
    for stream in (1..80u32).step_by(2) {
        let length = [300, 20_000, 60_000, 1000][stream as usize % 7 % 4];
        heads.push(server.bytes.len());
        let block = encoder.block(&[(b":status", b"200"), (b"content-type", b"image/webp"), (b"server", b"nginx")]);
        server.headers(stream, &block, false).data(stream, &noise(stream.into(), length), true);
    }
    let mut random = Random::new(5);
    for start in [Start::Preface, Start::Midway] {
        for _ in 0..40 {
            let packets: Vec<&[u8]> = server.bytes.chunks(1448).collect();
            let lost = 1 + random.below(packets.len() - 60);
            let many = 1 + random.below(4);
            let (mut observer, mut log) = (Observer::new(start), Log::default());
            let mut sink = |event: Event<'_>| log.push(event);
            packets[..lost].iter().for_each(|p| observer.read(S, p, &mut sink).unwrap());
            observer.gap(S, (many * 1448) as u64, &mut sink);
            packets[lost + many..].iter().for_each(|p| observer.read(S, p, &mut sink).unwrap());
            // Every head behind the gap is there, but where the gap ended inside of one.
            let behind = heads.iter().filter(|&&at| at >= (lost + many) * 1448).count();
            let before = heads.iter().filter(|&&at| at + 60 < lost * 1448).count();
            let found = log.0.iter().filter(|s| matches!(s, Seen::Head(..))).count();
            assert!(found >= behind + before, "{found} of {before} + {behind} heads, {many} packets lost at {lost}");
        }
    }
}
