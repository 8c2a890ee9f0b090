//! HTTP/1 as it should be, and as it is.

use super::*;

use Ending::{EndOfCapture, Fin, Forgotten, Reset};

const GET: &str = "GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn messages_become_exchanges() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n";
    let post = "POST /b HTTP/1.1\r\nHost: shop.test:8080\r\nContent-Length: 3\r\n\r\nb=1";
    for (acts, lines) in [
        (&[client(GET), server(OK)][..], &["GET http://shop.test/a > 200 [ok]"][..]),
        (
            &[client(post), server(chunked), client(GET), server(OK), client_end(Fin), server_end(Fin)],
            &["POST http://shop.test:8080/b [b=1] > 200 [abcde] X-Sum=1", "GET http://shop.test/a > 200 [ok]"],
        ),
        (
            &[
                client("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: 1\r\n\r\n"),
                server("HTTP/1.1 204 No\r\n\r\n"),
            ],
            &["POST http://a/c [hi] T=1 > 204"],
        ),
        (
            &[
                client("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
                server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
                client(GET),
                server("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
            ],
            &["HEAD http://a/ > 200", "GET http://shop.test/a > 304"],
        ),
        (
            &[
                client("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
                server("HTTP/1.1 100 Continue\r\n\r\n"),
                client("xy"),
                server("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
                server(OK),
            ],
            &["POST http://a/ [xy] > 100 > 103 > 200 [ok]"],
        ),
        (
            &[client("GET /x\r\n"), server("<p>old"), server_end(Fin)],
            &["GET http://10.0.0.2/x > 200 [<p>old] # request: HTTP/0.9 # response: HTTP/0.9"],
        ),
        (
            &[client(GET), server("<p>old"), server_end(Fin)],
            &["GET http://shop.test/a > 200 [<p>old] # response: HTTP/0.9"],
        ),
        (&[client(GET.repeat(3)), server(OK.repeat(2)), server(OK)], &["GET http://shop.test/a > 200 [ok]"; 3]),
        (
            &[client("GET http://Other.test:81/x?y HTTP/1.1\r\nHost: z\r\nProxy-Connection: a\r\n\r\n"), server(OK)],
            &["GET http://other.test:81/x?y > 200 [ok]"],
        ),
        (&[client("QUERY / HTTP/1.1\r\nHost: a\r\n\r\n"), server(OK)], &["QUERY http://a/ > 200 [ok]"]),
    ] {
        expect(&opening(), acts, lines);
    }
}

#[test]
fn what_is_missing_is_said() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let until_close = "HTTP/1.1 200 OK\r\n\r\nall";
    for (acts, line) in [
        (
            &[client(GET), server(half), server_end(Fin)][..],
            "GET http://shop.test/a > 200 [half] ! server: closed inside the response",
        ),
        (
            &[client(GET), server(half), server_end(Reset)],
            "GET http://shop.test/a > 200 [half] ! server: connection reset by peer",
        ),
        (
            &[client(GET), server(half)],
            "GET http://shop.test/a > 200 [half] ! not recorded: the capture ends inside the response",
        ),
        (
            &[client(GET), server(half), server_end(Forgotten)],
            "GET http://shop.test/a > 200 [half] ! not recorded: the end of the response was not captured",
        ),
        (
            &[client(GET), server(half), client_end(Reset)],
            "GET http://shop.test/a > 200 [half] ! client: connection reset by peer",
        ),
        (&[client(GET), server(until_close), server_end(Fin)], "GET http://shop.test/a > 200 [all]"),
        (
            &[client(GET), server(until_close), server_end(EndOfCapture)],
            "GET http://shop.test/a > 200 [all] ! not recorded: the capture ends inside the response",
        ),
        (&[client(GET), server_end(Fin)], "GET http://shop.test/a ! server: closed without an answer"),
        (&[client(GET), client_end(Fin), server_end(Fin)], "GET http://shop.test/a ! server: closed without an answer"),
        (&[client(GET)], "GET http://shop.test/a ! not recorded: the capture ends before the response"),
        (
            &[client(GET), server("HTTP/1.1 20")],
            "GET http://shop.test/a ! not recorded: the capture ends inside the response",
        ),
        (
            &[client(GET), server("HTTP/1.1 100 Continue\r\n\r\n"), server_end(Fin)],
            "GET http://shop.test/a > 100 ! server: closed inside the response",
        ),
        (
            &[client("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"), client_end(Fin), server_end(Fin)],
            "PUT http://a/ [ab] ! client: closed inside the request",
        ),
        (
            &[client("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"), server(OK), server_end(Fin)],
            "PUT http://a/ [ab] > 200 [ok] ! not recorded: the capture ends inside the request",
        ),
        (
            &[client("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET"), server(OK)],
            "POST http://a/ > 200 [ok] ! client: invalid chunk",
        ),
        (
            &[client(GET), server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n")],
            "GET http://shop.test/a > 200 [ab] ! server: invalid chunk",
        ),
    ] {
        expect(&opening(), acts, &[line]);
    }
}

#[test]
fn what_a_forwarder_refuses_is_borne_and_told() {
    let with = |request: &str, told: &str| {
        let line = format!(
            "GET http://a/x > 200 [ok]{}",
            if told.is_empty() { String::new() } else { format!(" # request: {told}") }
        );
        expect(&opening(), &[client(request), server(OK)], &[&line]);
    };
    with("GET /x HTTP/1.1\nHost: a\n\n", "bare line feed or carriage return in a head");
    with("GET /x HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", "folded header field");
    with("GET /x HTTP/1.1\r\nHost : a\r\n\r\n", "blank before the colon of a header field");
    with("GET /x HTTP/1.1\r\nHost: a\r\nno field\r\n\r\n", "header line that is no field");
    with("GET /x HTTP/1.2\r\nHost: a\r\n\r\n", "unusual HTTP version");
    with("GET /x http/1.1\r\nHost: a\r\n\r\n", "unusual HTTP version");
    with("\r\n\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", "");
    with("GET  /x  HTTP/1.1\r\nHost: a\r\n\r\n", "blanks out of place in the start line");
    let told = play(&opening(), &[client("GET /x y HTTP/1.1\r\nHost: a\r\n\r\n"), server(OK)]);
    assert_eq!(told.lines(), ["GET http://a/x y > 200 [ok] # request: blanks out of place in the start line"]);
    assert_eq!(told.tally.leniencies[&crate::wire::http1::Leniency::OddStartLine], 1);
    let folded = play(&opening(), &[client("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\t c\r\n\r\n"), server(OK)]);
    assert_eq!(folded.exchanges[0].request.headers.first("a"), Some(&b"b c"[..]));
}

#[test]
fn answers_are_read_however_odd_their_status_lines() {
    let get = client("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    let blanks = "# response: blanks out of place in the start line";
    let not_http = " ! server: not an HTTP/1 message";
    let cruft = "# response: bytes between messages";
    for (answer, line) in [
        ("HTTP/1\0.1 200 ok\r\nContent-Length: 2\r\n\r\nok", format!("GET http://a/a > 200 [ok] {blanks}")),
        ("HTTP/1.1 2XX ok\r\nContent-Length: 2\r\n\r\nok", format!("GET http://a/a > 0 [ok] {blanks}")),
        ("HTTP/1.1 000 ok\r\nContent-Length: 2\r\n\r\nok", format!("GET http://a/a > 0 [ok] {blanks}")),
        // Without a head it is HTTP/0.9, but not when it is plainly something else.
        ("<html>", "GET http://a/a > 200 [<html>] # response: HTTP/0.9".into()),
        ("SSH-2.0-OpenSSH_9\r\n", format!("GET http://a/a{not_http}")),
        ("\u{15}\u{3}\u{1}\0\u{2}\u{2}F", format!("GET http://a/a{not_http}")),
        // Behind an interim response, too.
        ("HTTP/1.1 100 ok\r\n\r\njunk", format!("GET http://a/a > 100 ! server: closed inside the response {cruft}")),
    ] {
        expect(&opening(), &[get.clone(), server(answer), client_end(Fin), server_end(Fin)], &[&line]);
    }
}

#[test]
fn an_answer_may_come_before_the_end_of_the_head() {
    let acts = [client("GET / HTTP/1.0\r\n"), server("HTTP/1.0 200 ok\r\n\r\nhi"), server_end(Fin), client_end(Fin)];
    let line = "GET http://10.0.0.2/ > 200 [hi] ! server: answered before the whole request was sent # Request 0 ?";
    expect(&opening(), &acts, &[line]);
}

#[test]
fn lengths_are_believed_as_far_as_they_make_sense() {
    let post = |fields: &str, body: &str| client(format!("POST /p HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}"));
    let te = "Transfer-Encoding: chunked";
    for (request, lines) in [
        (
            post(&format!("Content-Length: 50\r\n{te}"), "1\r\nx\r\n0\r\n\r\n"),
            &["POST http://a/p [x] > 200 [ok] # request: Content-Length beside Transfer-Encoding"][..],
        ),
        (
            post("Content-Length: 2\r\nContent-Length: 3", "hi"),
            &["POST http://a/p [hi] > 200 [ok] # request: contradictory Content-Length"],
        ),
        (post("Content-Length: 0002", "hi"), &["POST http://a/p [hi] > 200 [ok]"]),
        (
            post("Content-Length: -1", "hi\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n"),
            &[
                "POST http://a/p [hi\\r\\n] > 200 [ok] # request: invalid Content-Length",
                "GET http://a/y ! not recorded: the capture ends before the response",
            ],
        ),
        (
            post(te, "10000000000000000\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n"),
            &[
                "POST http://a/p > 200 [ok] ! client: invalid chunk",
                "GET http://a/y ! not recorded: the capture ends before the response",
            ],
        ),
        (post("Transfer-Encoding: \x0bchunked", "1\r\nx\r\n0\r\n\r\n"), &["POST http://a/p [x] > 200 [ok]"]),
        (
            post(te, "1\r\nx\n0\n\n"),
            &[
                "POST http://a/p [x] > 200 [ok] # request: bare line feed or carriage return in a head # request: chunk not in form",
            ],
        ),
    ] {
        expect(&opening(), &[request, server(OK)], lines);
    }
    let unended = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
    expect(
        &opening(),
        &[client(GET), server(unended), client(GET), server(OK)],
        &[
            "GET http://shop.test/a > 200 [x] # response: no empty line after the last chunk",
            "GET http://shop.test/a > 200 [ok]",
        ],
    );
    expect(
        &opening(),
        &[client(GET), server(unended), server_end(Fin)],
        &["GET http://shop.test/a > 200 [x] # response: no empty line after the last chunk"],
    );
}

#[test]
fn cruft_between_messages_is_passed_over_and_what_answers_it_is_kept() {
    let bad = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let told =
        play(&opening(), &[client(GET), server(OK), client("T / HTTP\r\n"), server(bad), client(GET), server(OK)]);
    assert_eq!(
        told.lines(),
        [
            "GET http://shop.test/a > 200 [ok]",
            " http://10.0.0.2 > 400 ! client: not an HTTP/1 message # Request 0 :method? # Request 1 :path?",
            "GET http://shop.test/a > 200 [ok] # request: bytes between messages",
        ]
    );
    assert_eq!(told.tally.skipped_bytes, 10);
    // Who minds cruft says so: any other answer is one to the request behind it.
    expect(
        &opening(),
        &[client([b"\xdd\0\0\0 ", GET.as_bytes()].concat()), server(OK)],
        &["GET http://shop.test/a > 200 [ok] # request: bytes between messages"],
    );
    let too_much = format!("{OK} and more");
    expect(
        &opening(),
        &[client(GET), server(too_much), client(GET), server(OK)],
        &["GET http://shop.test/a > 200 [ok]", "GET http://shop.test/a > 200 [ok] # response: bytes between messages"],
    );
    expect(
        &opening(),
        &[client(GET), server(OK.repeat(2)), client(GET), server(OK)],
        &[
            "GET http://shop.test/a > 200 [ok]",
            &format!(" http://10.0.0.2 > 200 [ok]{UNASKED}"),
            "GET http://shop.test/a > 200 [ok]",
        ],
    );
}

#[test]
fn times_are_those_of_the_tap() {
    let told = play(
        &opening(),
        &[
            client("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"),
            client("ab"),
            client("cd"),
            server("HTTP/1.1 200"),
            server(" OK\r\nContent-Length: 2\r\n\r\n"),
            server("ok"),
            client(GET),
            server(OK),
        ],
    );
    let ms = |at: Option<crate::model::Nanos>| at.unwrap().0 / MS;
    let first = &told.exchanges[0];
    let timing = &first.timing;
    assert_eq!(timing.started.0 / MS, 15);
    assert_eq!([ms(timing.upstream_sent), ms(timing.request_done)], [15, 35]);
    assert_eq!([ms(timing.upstream_first), ms(timing.client_first), ms(timing.upstream_done)], [45, 45, 65]);
    assert_eq!(timing.finished.0 / MS, 65);
    let connect = timing.connect.unwrap();
    assert_eq!((connect.start.0, connect.end.0 / MS), (0, 5));
    assert_eq!(first.remarks, [Remark::Tap { client_ns: Some(MS), server_ns: Some(4 * MS) }]);
    let second = &told.exchanges[1];
    assert_eq!((second.timing.connect, second.remarks.len()), (None, 0));
    assert_eq!(second.timing.started.0 / MS, 75);
    let transport = &second.transport;
    assert_eq!((transport.client_connection, transport.upstream_connection), (1, Some(1)));
    assert_eq!(transport.client, "10.0.0.1:5000".parse().unwrap());
}

/// Dialogues with everything in them, as bytes of each side in turns.
pub(super) fn dialogues() -> Vec<Vec<Act>> {
    vec![
        vec![
            client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
            server(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\nA: b\r\n\r\n",
            ),
            client("GET /2 HTTP/1.1\nHost: a\n\nHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n"),
            server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
            client("garbage\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n"),
            server("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\nHTTP/1.0 200 OK\r\n\r\nuntil close"),
            client_end(Fin),
            server_end(Fin),
        ],
        vec![
            client("CONNECT inner.test:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
            server("HTTP/1.1 200 Connection established\r\n\r\n"),
            client("GET /i HTTP/1.1\r\nHost: y\r\n\r\n"),
            server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!"),
        ],
        vec![
            client(b"\x05\x01\x00"),
            server(b"\x05\x00"),
            client(b"\x05\x01\x00\x03\x09shop.test\x00\x50"),
            server(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x10\x00"),
            client("GET /s HTTP/1.1\r\nHost: y\r\nContent-Length: -1\r\n\r\nbody"),
            server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!"),
            client("more\nPUT /t HTTP/1.1\r\nHost: y\r\n\r\n"),
            server("HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n?"),
        ],
        vec![
            client(
                "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            ),
            server(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x01\x02He\x00\x01l",
            ),
            server(b"\x80\x02lo"),
            client(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
            client(b"\x88\x80\x01\x02\x03\x04"),
            client_end(Fin),
            server_end(Fin),
        ],
    ]
}

#[test]
fn cuts_at_any_place_change_nothing() {
    for dialogue in dialogues() {
        let whole = play(&opening(), &dialogue);
        assert!(!whole.exchanges.is_empty());
        let mut cut_plays = vec![];
        for (number, act) in dialogue.iter().enumerate() {
            let Act::Bytes(side, bytes) = act else { continue };
            for cut in 1..bytes.len() {
                let mut acts = dialogue.clone();
                acts[number] = Act::Bytes(*side, bytes[..cut].to_vec());
                acts.insert(number + 1, Act::Bytes(*side, bytes[cut..].to_vec()));
                cut_plays.push(acts);
            }
        }
        let single = |act: &Act| match act {
            Act::Bytes(side, bytes) => bytes.iter().map(|&b| Act::Bytes(*side, vec![b])).collect(),
            other => vec![other.clone()],
        };
        cut_plays.push(dialogue.iter().flat_map(single).collect());
        let mut play = Play::new();
        for (id, acts) in (1..).zip(&cut_plays) {
            play.open(id, &opening());
            acts.iter().for_each(|act| play.act(id, act));
        }
        let told = play.finish();
        for (id, acts) in (1..).zip(&cut_plays) {
            assert_eq!(told.lines_of(id), whole.lines(), "{acts:#?}");
        }
        assert_eq!(told.tally.messages, whole.tally.messages * cut_plays.len() as u64);
    }
}

#[test]
fn a_body_that_pauses_tells_where_it_went_on_and_when() {
    let mut play = Play::new();
    play.open(1, &opening());
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n";
    play.act(1, &client(GET));
    play.act(1, &server(format!("{head}{{\"n\":1}}\n")));
    play.act(1, &server("{\"n\":2}\n"));
    play.now += 200 * 1_000_000;
    play.act(1, &server("{\"n\":3}\n"));
    play.act(1, &server_end(Fin));
    play.act(1, &client_end(Fin));
    let told = play.finish();
    assert_eq!(told.exchanges.len(), 1);
    let pauses: Vec<_> = told.exchanges[0]
        .remarks
        .iter()
        .filter_map(|remark| match remark {
            Remark::Resumed { side, at, when } => Some((*side, *at, when.0 / 1_000_000)),
            _ => None,
        })
        .collect();
    assert_eq!(pauses, [(Side::Response, 16, 5 + 3 * 10 + 200 + 10)]);
}
