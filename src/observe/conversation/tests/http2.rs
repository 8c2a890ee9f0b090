//! HTTP/2: streams as exchanges, from the preface, after an upgrade, in the middle.

use super::*;
use crate::wire::http2::Frames;
use crate::wire::http2::hpack::{Encoder, Strings};

use Ending::{Fin, Reset};

/// Both ends of a connection.
struct Ends {
    client: Encoder,
    server: Encoder,
}

const GET: &[(&[u8], &[u8])] =
    &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"shop.test"), (b":path", b"/a"), (b"x-one", b"1")];
const OK: &[(&[u8], &[u8])] = &[(b":status", b"200"), (b"content-type", b"text/plain"), (b"x-two", b"2")];

impl Ends {
    fn new() -> Self {
        Self { client: Encoder::new(Strings::Huffman), server: Encoder::new(Strings::Huffman) }
    }

    fn hello(&self) -> Vec<Act> {
        let (mut client_says, mut server_says) = (Frames::new(), Frames::new());
        client_says.preface().settings(&[]);
        server_says.settings(&[]).settings_ack();
        vec![client(client_says.bytes), server(server_says.bytes)]
    }

    fn asks(&mut self, stream: u32, fields: &[(&[u8], &[u8])], body: &[u8], end: bool) -> Act {
        let mut frames = Frames::new();
        let block = self.client.block(fields);
        frames.headers(stream, &block, end && body.is_empty());
        if !body.is_empty() {
            frames.data(stream, body, end);
        }
        client(frames.bytes)
    }

    fn answers(&mut self, stream: u32, fields: &[(&[u8], &[u8])], body: &[u8], end: bool) -> Act {
        let mut frames = Frames::new();
        let block = self.server.block(fields);
        frames.headers(stream, &block, end && body.is_empty());
        if !body.is_empty() {
            frames.data(stream, body, end);
        }
        server(frames.bytes)
    }
}

fn says(build: impl FnOnce(&mut Frames)) -> Vec<u8> {
    let mut frames = Frames::new();
    build(&mut frames);
    frames.bytes
}

fn played(hello: Vec<Act>, acts: Vec<Act>) -> Told {
    play(&opening(), &[hello, acts].concat())
}

#[test]
fn streams_become_exchanges() {
    let mut ends = Ends::new();
    let hello = ends.hello();
    let post: &[(&[u8], &[u8])] =
        &[(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"shop.test:81"), (b":path", b"/b")];
    let acts = vec![
        ends.asks(1, GET, b"", true),
        ends.asks(3, post, b"form", false),
        ends.answers(3, &[(b":status", b"100")], b"", false),
        ends.answers(1, OK, b"one", false),
        server(says(|f| _ = f.data(1, b" more", true))),
        ends.asks(3, &[(b"x-sum", b"9")], b"", true),
        ends.answers(3, OK, b"two", false),
        ends.answers(3, &[(b"grpc-status", b"0")], b"", true),
        client_end(Fin),
        server_end(Fin),
    ];
    let told = played(hello, acts);
    assert_eq!(
        told.lines(),
        [
            "GET http://shop.test/a > 200 [one more]",
            "POST http://shop.test:81/b [form] x-sum=9 > 100 > 200 [two] grpc-status=0",
        ]
    );
    let first = &told.exchanges[0];
    assert_eq!(first.transport.stream, Some(1));
    assert_eq!(first.request.version, crate::model::Version::Http2);
    assert_eq!(first.request.headers.0, [(b"x-one".to_vec(), b"1".to_vec())]);
    assert_eq!(told.tally.protocols["HTTP/2"].connections, 1);
}

#[test]
fn what_the_server_had_sent_when_a_stream_was_reset_is_kept() {
    let mut ends = Ends::new();
    let hello = ends.hello();
    let mut acts = vec![
        ends.asks(1, GET, b"up", false),
        client(says(|f| _ = f.reset(1, 8))),
        ends.answers(1, OK, b"late", true),
        ends.asks(3, GET, b"", true),
        client(says(|f| _ = f.reset(3, 8))),
    ];
    acts.extend((0..101).map(|_| server(says(|f| _ = f.settings_ack()))));
    acts.push(ends.answers(3, OK, b"too late", true));
    let told = played(hello, acts);
    assert_eq!(
        told.lines(),
        [
            "GET http://shop.test/a [up] > 200 [late] ! client: stream reset: CANCEL",
            "GET http://shop.test/a ! client: stream reset: CANCEL",
        ]
    );
    assert_eq!(told.exchanges[0].timing.upstream_done, Some(told.exchanges[0].timing.finished));
}

#[test]
fn http2_is_noticed_when_the_answer_to_the_upgrade_was_lost() {
    let mut ends = Ends::new();
    let hello = ends.hello();
    let ask = "GET /1 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
    let mut acts = vec![client(ask), server_gap(70)];
    acts.extend(hello);
    acts.extend([ends.answers(1, OK, b"one", true), ends.asks(3, GET, b"", true), ends.answers(3, OK, b"two", true)]);
    let told = play(&opening(), &acts);
    assert_eq!(told.lines(), ["GET http://a/1 > 200 [one]", "GET http://shop.test/a > 200 [two]"]);
}

#[test]
fn what_is_missing_is_said() {
    let mut ends = Ends::new();
    let hello = ends.hello();
    let acts = vec![
        ends.asks(1, GET, b"", true),
        ends.answers(1, OK, b"half", false),
        client(says(|f| _ = f.reset(1, 8))),
        ends.asks(3, GET, b"", true),
        server(says(|f| _ = f.reset(3, 7))),
        ends.asks(5, GET, b"up", false),
        ends.answers(5, OK, b"early", true),
        server(says(|f| _ = f.reset(5, 0))),
        ends.asks(7, GET, b"", true),
        ends.asks(9, GET, b"", true),
        server(says(|f| _ = f.go_away(7, 0, b""))),
        ends.answers(7, OK, b"half", false),
        ends.asks(11, GET, b"", true),
        client_end(Fin),
        server_end(Fin),
    ];
    assert_eq!(
        played(hello, acts).lines(),
        [
            "GET http://shop.test/a > 200 [half] ! client: stream reset: CANCEL",
            "GET http://shop.test/a ! server: stream reset: REFUSED_STREAM",
            "GET http://shop.test/a [up] > 200 [early] ! server: answered before the whole request was sent",
            "GET http://shop.test/a > 200 [half] ! server: closed inside the response",
            "GET http://shop.test/a ! server: not processed: GOAWAY NO_ERROR",
            "GET http://shop.test/a ! server: closed without an answer",
        ]
    );
    let mut ends = Ends::new();
    let hello = ends.hello();
    let acts = vec![ends.asks(1, GET, b"", true), client_end(Reset), server_end(Fin)];
    assert_eq!(played(hello, acts).lines(), ["GET http://shop.test/a ! client: connection reset by peer"]);
    let mut ends = Ends::new();
    let hello = ends.hello();
    let acts = vec![ends.asks(1, GET, b"", true)];
    assert_eq!(
        played(hello, acts).lines(),
        ["GET http://shop.test/a ! not recorded: the capture ends before the response"]
    );
}

#[test]
fn pushed_streams_are_exchanges_of_their_own() {
    let mut ends = Ends::new();
    let hello = ends.hello();
    let promised = ends.server.block(&[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"shop.test"),
        (b":path", b"/p"),
    ]);
    let acts = vec![
        ends.asks(1, GET, b"", true),
        server(says(|f| _ = f.promise(1, 2, &promised))),
        ends.answers(1, OK, b"1", true),
        ends.answers(2, OK, b"2", true),
    ];
    assert_eq!(
        played(hello, acts).lines(),
        ["GET http://shop.test/a > 200 [1]", "GET http://shop.test/p > 200 [2] # pushed by the server",]
    );
}

#[test]
fn extended_connect_carries_a_websocket() {
    let mut ends = Ends::new();
    let hello = ends.hello();
    let connect: &[(&[u8], &[u8])] = &[
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"http"),
        (b":authority", b"a"),
        (b":path", b"/ws"),
    ];
    let acts = vec![
        ends.asks(1, connect, b"", false),
        ends.answers(1, &[(b":status", b"200")], b"\x81\x02hi", false),
        client(says(|f| _ = f.data(1, b"\x81\x82\x01\x02\x03\x04ik", false))),
        client(says(|f| _ = f.data(1, b"\x88\x80\x01\x02\x03\x04", true))),
        server(says(|f| _ = f.data(1, b"", true))),
    ];
    let told = played(hello, acts);
    assert_eq!(told.lines(), ["CONNECT http://a/ws > 200 # extended CONNECT: websocket"]);
    assert_eq!(told.tally.messages, 3);
}

#[test]
fn tunnels_in_streams_are_entered() {
    let connect: &[(&[u8], &[u8])] = &[(b":method", b"CONNECT"), (b":authority", b"inner.test:80")];
    let mut ends = Ends::new();
    let hello = ends.hello();
    let acts = vec![
        ends.asks(1, connect, b"", false),
        ends.answers(1, &[(b":status", b"200")], b"", false),
        client(says(|f| _ = f.data(1, b"GET /i HTTP/1.1\r\nHost: x\r\n\r\n", false))),
        server(says(|f| _ = f.data(1, b"HTTP/1.1 204 No\r\n\r\n", false))),
        ends.asks(3, connect, b"", false),
        ends.answers(3, &[(b":status", b"403")], b"no", true),
    ];
    let told = played(hello, acts);
    assert_eq!(
        told.lines(),
        [
            "GET http://inner.test:80/i > 204",
            "CONNECT http://inner.test:80inner.test:80 > 403 [no] ! not recorded: the capture ends inside the request",
        ]
        .map(|line| line
            .replace("http://inner.test:80/", "http://inner.test/")
            .replace("http://inner.test:80i", "http://inner.testi"))
    );
    assert_eq!(told.tally.tunnels["inner.test:80"], 1);
}

#[test]
fn an_upgraded_request_is_the_first_stream() {
    let mut ends = Ends::new();
    let mut hello = ends.hello();
    let mut acts = vec![
        client(
            "GET /up HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        ),
        server("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    ];
    acts.append(&mut hello);
    acts.push(ends.answers(1, OK, b"up", true));
    acts.push(ends.asks(3, GET, b"", true));
    acts.push(ends.answers(3, OK, b"a", true));
    assert_eq!(
        play(&opening(), &acts).lines(),
        ["GET http://shop.test/up > 101 > 200 [up]", "GET http://shop.test/a > 200 [a]"]
    );
}

#[test]
fn what_cannot_be_known_in_the_middle_is_said() {
    let mut ends = Ends::new();
    // Fills both tables before the capture begins.
    ends.asks(1, GET, b"", true);
    ends.answers(1, OK, b"", true);
    let acts = vec![
        server(says(|f| _ = f.data(1, b"rest of what was asked before", true).data(3, b"also", false))),
        ends.asks(5, GET, b"", true),
        ends.answers(5, &[(b":status", b"200"), (b"x-two", b"2"), (b"x-new", b"3")], b"five", true),
        ends.answers(3, &[(b":status", b"200")], b"three", true),
    ];
    let mut late = acts.clone();
    let window_update = says(|f| _ = f.window_update(0, 100));
    late.push(client(&window_update));
    let told = play(&midway(), &late);
    assert!(
        told.lines().iter().any(|line| line.starts_with("GET http") && line.contains("told apart after")),
        "{:#?}",
        told.lines()
    );
    let mut acts = acts;
    if let Act::Bytes(_, bytes) = &mut acts[1] {
        bytes.extend_from_slice(&window_update);
    }
    let told = play(&midway(), &acts);
    let five = told.exchanges.iter().find(|exchange| exchange.transport.stream == Some(5)).unwrap();
    assert_eq!(five.request.method, "GET");
    assert!(
        five.remarks.iter().any(|remark| matches!(remark, Remark::UnknownField { side: Side::Request, .. })),
        "{five:#?}"
    );
    assert!(five.remarks.iter().any(|remark| matches!(remark, Remark::UnknownField { side: Side::Response, .. })));
    let response = five.response.as_ref().unwrap();
    assert_eq!((response.status, response.headers.first("x-new")), (200, Some(&b"3"[..])));
    let one = told.lines().into_iter().find(|line| line.contains("of a response whose head was not captured")).unwrap();
    assert!(one.contains("29 bytes") && one.contains("the request was not captured"), "{one}");
}

#[test]
fn gaps_cost_what_they_hit() {
    let mut ends = Ends::new();
    let hello = ends.hello();
    let long: &[(&[u8], &[u8])] = &[(b":status", b"200"), (b"content-length", b"10")];
    let acts = vec![
        ends.asks(1, GET, b"", true),
        ends.answers(1, long, b"abc", false),
        server_gap(9 + 3),
        server(says(|f| _ = f.data(1, b"ghij", true))),
        ends.asks(3, GET, b"", true),
        ends.answers(3, OK, b"three", true),
        client_end(Fin),
        server_end(Fin),
    ];
    let lines = played(hello, acts).lines();
    assert!(
        lines[0]
            .starts_with("GET http://shop.test/a > 200 [abcghij] ! not recorded: bytes of the response are missing"),
        "{lines:#?}"
    );
    assert!(lines[0].ends_with("# Response gap of 3 at 3"), "{lines:#?}");
    assert!(lines[1].contains("> 200 [three]"), "{lines:#?}");
}

#[test]
fn streams_do_not_pile_up() {
    let mut ends = Ends::new();
    let mut play = Play::new();
    play.open(1, &opening());
    ends.hello().iter().for_each(|act| play.act(1, act));
    for n in 0..10_100 {
        play.act(1, &ends.asks(2 * n + 1, GET, b"", true));
    }
    assert_eq!(play.conversations.tally().exchanges, 100);
    let told = play.finish();
    assert_eq!(told.tally.incomplete["not recorded: too many streams were open at a time, or heads too large"], 100);
}

#[test]
fn large_heads_do_not_pile_up() {
    let mut ends = Ends::new();
    let mut play = Play::new();
    play.open(1, &opening());
    ends.hello().iter().for_each(|act| play.act(1, act));
    let large = [b'v'; 8000];
    let fields = [GET, &[(&b"x-large"[..], &large[..])]].concat();
    for n in 0..5000 {
        play.act(1, &ends.asks(2 * n + 1, &fields, b"", true));
    }
    let given_up = play.conversations.tally().exchanges;
    assert!((500..1200).contains(&given_up), "those beyond 32 MiB: {given_up}");
}

#[test]
fn a_flood_of_interim_responses_is_cut_short_and_says_so() {
    let mut ends = Ends::new();
    let mut acts = ends.hello();
    acts.push(ends.asks(1, GET, b"", true));
    acts.extend((0..150).map(|_| ends.answers(1, &[(b":status", b"103")], b"", false)));
    acts.push(ends.answers(1, OK, b"", true));
    let told = play(&opening(), &acts);
    assert_eq!((told.exchanges[0].interim.len(), told.exchanges[0].incomplete.as_ref()), (100, None));
    assert!(format!("{:?}", told.exchanges[0].remarks).contains("more interim responses came than are kept"));
}

#[test]
fn cuts_and_mutations_do_no_harm() {
    let mut ends = Ends::new();
    let mut dialogue = ends.hello();
    dialogue.extend([
        ends.asks(1, GET, b"up", true),
        ends.answers(1, OK, b"one", true),
        ends.asks(3, GET, b"", true),
        ends.answers(3, OK, b"three", false),
        server(says(|f| _ = f.padded_data(3, b"more", 3, true).go_away(3, 0, b"bye"))),
    ]);
    let whole = play(&opening(), &dialogue).lines();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut play = Play::new();
    let mut id = 0;
    let mut cut_ids = vec![];
    for (number, act) in dialogue.iter().enumerate() {
        let Act::Bytes(side, bytes) = act else { continue };
        for cut in 1..bytes.len() {
            let mut acts = dialogue.clone();
            acts[number] = Act::Bytes(*side, bytes[..cut].to_vec());
            acts.insert(number + 1, Act::Bytes(*side, bytes[cut..].to_vec()));
            id += 1;
            play.open(id, &opening());
            acts.iter().for_each(|act| play.act(id, act));
            cut_ids.push(id);
        }
    }
    for round in 0..1500 {
        let mut acts = dialogue.clone();
        let at = random.below(acts.len());
        if let Act::Bytes(side, bytes) = &mut acts[at] {
            let (side, byte) = (*side, random.below(bytes.len()));
            match random.below(3) {
                0 => bytes[byte] = u8::try_from(random.below(256)).unwrap(),
                1 => bytes.truncate(byte),
                _ => {
                    let rest = bytes.split_off(byte);
                    let lost = 1 + random.below(rest.len());
                    acts.insert(at + 1, Act::Gap(side, lost as u64));
                    acts.insert(at + 2, Act::Bytes(side, rest[lost..].to_vec()));
                }
            }
        }
        id += 1;
        play.open(id, &if round % 2 == 0 { opening() } else { midway() });
        acts.iter()
            .filter(|act| !matches!(act, Act::Bytes(_, bytes) if bytes.is_empty()))
            .for_each(|act| play.act(id, act));
    }
    let told = play.finish();
    for id in cut_ids {
        assert_eq!(told.lines_of(id), whole);
    }
}
