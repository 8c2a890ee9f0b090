//! Dialogues: bytes in, events out; whole, cut at every place, a byte at a time, and mutated.

use super::*;

/// Plays `pieces` to a fresh reader and notes what it reports, one line an event, neighbouring body bytes in one line.
fn transcript(mut reader: Reader, asked: &[&str], pieces: &[&[u8]], closes: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut body: Vec<u8> = Vec::new();
    let mut buffer: Vec<u8> = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = |headers: &Headers| {
        headers.0.iter().map(|(name, value)| format!(" {}={}", text(name), text(value))).collect::<String>()
    };
    let mut note = |event: Option<Event>, input: &[u8], consumed: usize| {
        if let Some(Event::Body(range)) = &event {
            assert!(!range.is_empty() && range.end <= consumed, "body bytes are consumed");
            body.extend_from_slice(&input[range.clone()]);
            return;
        }
        if event.is_some() && !body.is_empty() {
            lines.push(format!("body {}", text(&std::mem::take(&mut body))));
        }
        match event {
            Some(Event::Request(head, framing)) => {
                assert_eq!(head.raw, input[..consumed]);
                let target = text(&head.target);
                lines.push(format!("{} {target} {framing:?}{}", head.method, fields(&head.headers)));
            }
            Some(Event::Response(head, framing)) => {
                assert_eq!(head.raw, input[..consumed]);
                lines.push(format!("{} {} {framing:?}{}", head.status, text(&head.reason), fields(&head.headers)));
            }
            Some(Event::End(trailers)) => lines.push(format!("end{}", fields(&trailers))),
            Some(Event::Body(_)) | None => {}
        }
    };
    asked.iter().for_each(|method| reader.expect(method));
    let mut failure = None;
    'pieces: for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match reader.read(&buffer) {
                Ok(Progress { consumed: 0, event: None }) => break,
                Ok(progress) => {
                    note(progress.event, &buffer, progress.consumed);
                    buffer.drain(..progress.consumed);
                }
                Err(error) => {
                    assert_eq!(reader.read(&buffer), Err(error.clone()), "an error stays");
                    failure = Some(error);
                    break 'pieces;
                }
            }
        }
    }
    if closes && failure.is_none() {
        match reader.end_of_input() {
            Ok(event) => note(event, &[], 0),
            Err(error) => failure = Some(error),
        }
    }
    if !body.is_empty() {
        lines.push(format!("body {}", text(&body)));
    }
    if let Some(error) = failure {
        lines.push(format!("{error:?}"));
    }
    if !buffer.is_empty() && lines.last().is_some_and(|last| last.contains("Tunnel")) {
        lines.push(format!("left {}", text(&buffer)));
    }
    lines
}

struct Dialogue {
    name: &'static str,
    /// Methods of the requests, when the bytes are responses.
    asked: &'static [&'static str],
    bytes: &'static str,
    events: &'static [&'static str],
}

impl Dialogue {
    fn reader(&self) -> Reader {
        if self.asked.is_empty() { Reader::requests(Limits::default()) } else { Reader::responses(Limits::default()) }
    }

    fn play(&self, pieces: &[&[u8]]) -> Vec<String> {
        transcript(self.reader(), self.asked, pieces, true)
    }
}

const DIALOGUES: &[Dialogue] = &[
    Dialogue {
        name: "a request without a body, fields as they came",
        asked: &[],
        bytes: "GET /a?b=%20 HTTP/1.1\r\nHost: x\r\nACCEPT:  */* \t\r\naccept:\r\nX: a b\r\n\r\n",
        events: &["GET /a?b=%20 None Host=x ACCEPT=*/* accept= X=a b", "end"],
    },
    Dialogue {
        name: "pipelined requests with bodies and empty lines between",
        asked: &[],
        bytes: "\r\n\r\nPOST /1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\r\nGET /2 HTTP/1.0\r\n\r\nPUT /3 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        events: &[
            "POST /1 Length(5) Content-Length=5",
            "body hello",
            "end",
            "GET /2 None",
            "end",
            "PUT /3 Length(0) Content-Length=0",
            "end",
        ],
    },
    Dialogue {
        name: "absolute, authority and asterisk form",
        asked: &[],
        bytes: "GET http://x/ HTTP/1.1\r\n\r\nCONNECT x:443 HTTP/1.1\r\n\r\nOPTIONS * HTTP/1.1\r\n\r\n",
        events: &["GET http://x/ None", "end", "CONNECT x:443 None", "end", "OPTIONS * None", "end"],
    },
    Dialogue {
        name: "a chunked request with extensions and trailers",
        asked: &[],
        bytes: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b;c\"\r\nhello\r\n00A \t;x\r\n, wide wor\r\n2\r\nld\r\n0\r\nX-Sum: 1\r\nY:2\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        events: &[
            "POST / Chunked Transfer-Encoding=chunked",
            "body hello, wide world",
            "end X-Sum=1 Y=2",
            "GET / None",
            "end",
        ],
    },
    Dialogue {
        name: "responses to pipelined requests, each framed by its own request",
        asked: &["HEAD", "GET", "GET", "GET"],
        bytes: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204\r\n\r\nHTTP/1.1 404 \r\nContent-Length: 2\r\n\r\nno",
        events: &[
            "200 OK None Content-Length=9",
            "end",
            "304 Not Modified None Content-Length=9",
            "end",
            "204  None",
            "end",
            "404  Length(2) Content-Length=2",
            "body no",
            "end",
        ],
    },
    Dialogue {
        name: "interim responses before the final one",
        asked: &["POST", "GET"],
        bytes: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
        events: &[
            "100 Continue None",
            "103 Early Hints None Link=</a>",
            "201 Created Length(0) Content-Length=0",
            "end",
            "200 OK Length(1) Content-Length=1",
            "body !",
            "end",
        ],
    },
    Dialogue {
        name: "a body until the connection closes",
        asked: &["GET"],
        bytes: "HTTP/1.0 200 OK\r\n\r\nall of\r\n\r\nit",
        events: &["200 OK UntilClose", "body all of\r\n\r\nit", "end"],
    },
    Dialogue {
        name: "a body until close may be empty",
        asked: &["GET"],
        bytes: "HTTP/1.1 500 Oh no\r\n\r\n",
        events: &["500 Oh no UntilClose", "end"],
    },
    Dialogue {
        name: "a tunnel after CONNECT",
        asked: &["CONNECT", "GET"],
        bytes: "HTTP/1.1 200 Connection established\r\nContent-Length: 3\r\n\r\n\x16\x03\x01",
        events: &["200 Connection established Tunnel Content-Length=3", "left \x16\x03\x01"],
    },
    Dialogue {
        name: "a refused CONNECT, then the next response",
        asked: &["CONNECT", "CONNECT"],
        bytes: "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\n",
        events: &["407 No Length(2) Content-Length=2", "body no", "end", "200 OK Tunnel"],
    },
    Dialogue {
        name: "switched protocols",
        asked: &["GET"],
        bytes: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{1}\u{2}",
        events: &["100 Continue None", "101 Switching Protocols Tunnel Upgrade=websocket", "left \u{1}\u{2}"],
    },
    Dialogue {
        name: "chunk sizes padded as old servers do",
        asked: &["GET"],
        bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3  \r\nabc\r\n0\r\n\r\n",
        events: &["200 OK Chunked Transfer-Encoding=chunked", "body abc", "end"],
    },
    Dialogue {
        name: "a response nobody asked for",
        asked: &["GET"],
        bytes: "HTTP/1.1 204 OK\r\n\r\nHTTP/1.1 408 Request Timeout\r\n\r\n",
        events: &["204 OK None", "end", "Unasked"],
    },
    Dialogue { name: "no answer at all", asked: &["GET"], bytes: "", events: &["UnexpectedEnd"] },
    Dialogue { name: "nothing sent", asked: &[], bytes: "", events: &[] },
    Dialogue { name: "an empty line alone", asked: &[], bytes: "\r\n", events: &[] },
    Dialogue { name: "closed inside a head", asked: &[], bytes: "GET / HT", events: &["UnexpectedEnd"] },
    Dialogue { name: "closed inside the first line end", asked: &[], bytes: "\r", events: &["UnexpectedEnd"] },
    Dialogue {
        name: "closed inside a body",
        asked: &["GET"],
        bytes: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        events: &["200 OK Length(9) Content-Length=9", "body half", "UnexpectedEnd"],
    },
    Dialogue {
        name: "closed before the last chunk",
        asked: &["GET"],
        bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        events: &["200 OK Chunked Transfer-Encoding=chunked", "body half", "UnexpectedEnd"],
    },
    Dialogue {
        name: "closed between an interim and the final response",
        asked: &["GET"],
        bytes: "HTTP/1.1 100 Continue\r\n\r\n",
        events: &["100 Continue None", "UnexpectedEnd"],
    },
    Dialogue {
        name: "a chunk that is longer than it says",
        asked: &[],
        bytes: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        events: &["POST / Chunked Transfer-Encoding=chunked", "body abc", "Chunk"],
    },
    Dialogue {
        name: "a folded trailer",
        asked: &[],
        bytes: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
        events: &["POST / Chunked Transfer-Encoding=chunked", "LineFolding"],
    },
];

/// Requests that are refused, each with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("GET / HTTP/1.1\nHost: x\n\n", "LineFolding"),
    ("GET / HTTP/1.1\r\nA: b\n\r\n", "LineFolding"),
    ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "LineFolding"),
    ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "LineFolding"),
    ("GET / HTTP/1.1\r\n\tA: b\r\n\r\n", "LineFolding"),
    ("GET / HTTP/1.1\r\nA: b\r\r\n\r\n", "LineFolding"),
    ("\nGET / HTTP/1.1\r\n\r\n", "LineFolding"),
    ("\rGET / HTTP/1.1\r\n\r\n", "LineFolding"),
    ("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", "Syntax"),
    (" GET / HTTP/1.1\r\n\r\n", "Syntax"),
    ("GET  / HTTP/1.1\r\n\r\n", "Syntax"),
    ("GET / HTTP/1.1 \r\n\r\n", "Syntax"),
    ("GET\t/ HTTP/1.1\r\n\r\n", "Syntax"),
    ("GET /a b HTTP/1.1\r\n\r\n", "Syntax"),
    ("GET /a\0b HTTP/1.1\r\n\r\n", "Syntax"),
    ("GET /\r\n\r\n", "Syntax"),
    ("GET / HTTP/0.9\r\n\r\n", "Syntax"),
    ("GET / HTTP/1.10\r\n\r\n", "Syntax"),
    ("GET / http/1.1\r\n\r\n", "Syntax"),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Syntax"),
    ("G(T / HTTP/1.1\r\n\r\n", "Syntax"),
    ("\x16\x03\x01\x02", "Syntax"),
    ("GET / HTTP/1.1\r\nA : b\r\n\r\n", "Syntax"),
    ("GET / HTTP/1.1\r\n: b\r\n\r\n", "Syntax"),
    ("GET / HTTP/1.1\r\nno colon\r\n\r\n", "Syntax"),
    ("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", "Syntax"),
    ("GET / HTTP/1.1\r\nA\u{e9}: b\r\n\r\n", "Syntax"),
    ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "ContentLength"),
    ("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "TransferEncoding"),
    ("GET / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", "TransferEncoding"),
    ("GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n", "Syntax"),
];

#[test]
fn dialogues_give_the_events_expected() {
    for dialogue in DIALOGUES {
        assert_eq!(dialogue.play(&[dialogue.bytes.as_bytes()]), dialogue.events, "{}", dialogue.name);
    }
}

#[test]
fn ambiguous_and_broken_requests_are_refused() {
    for (bytes, error) in REFUSED {
        let lines = transcript(Reader::requests(Limits::default()), &[], &[bytes.as_bytes()], true);
        assert_eq!(lines, [*error], "{bytes:?}");
    }
}

#[test]
fn broken_responses_are_refused() {
    for bytes in [
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 2000 High\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200\tOK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTPS",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
    ] {
        let lines = transcript(Reader::responses(Limits::default()), &["GET"], &[bytes.as_bytes()], true);
        assert_eq!(lines, ["Syntax"], "{bytes:?}");
    }
}

#[test]
fn cuts_at_any_place_change_nothing() {
    let refused = REFUSED
        .iter()
        .map(|(bytes, _)| Dialogue { name: "refused", asked: &[], bytes, events: &[] })
        .collect::<Vec<_>>();
    for dialogue in DIALOGUES.iter().chain(&refused) {
        let bytes = dialogue.bytes.as_bytes();
        let whole = dialogue.play(&[bytes]);
        for cut in 0..=bytes.len() {
            assert_eq!(dialogue.play(&[&bytes[..cut], &bytes[cut..]]), whole, "{} cut at {cut}", dialogue.name);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(dialogue.play(&single), whole, "{} a byte at a time", dialogue.name);
    }
}

#[test]
fn body_bytes_come_in_the_largest_pieces_there_are() {
    let mut reader = Reader::requests(Limits::default());
    let input = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n3\r\nend\r\n0\r\n\r\nGET";
    let head = reader.read(input).unwrap().consumed;
    let rest = &input[head..];
    assert_eq!(reader.read(rest).unwrap(), Progress { consumed: 7, event: Some(Event::Body(3..7)) });
    assert_eq!(reader.read(&rest[7..]).unwrap(), Progress { consumed: 8, event: Some(Event::Body(5..8)) });
    assert!(!reader.is_between_messages());
    let end = Progress { consumed: 7, event: Some(Event::End(Headers::default())) };
    assert_eq!(reader.read(&rest[15..]).unwrap(), end);
    assert!(reader.is_between_messages());
    assert_eq!(&rest[22..], b"GET", "bytes of the next message stay");
}

#[test]
fn the_reader_says_when_it_is_between_messages() {
    let mut reader = Reader::responses(Limits::default());
    reader.expect("GET");
    assert!(reader.is_between_messages());
    reader.read(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    assert!(!reader.is_between_messages(), "the final response is still to come");
    reader.read(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n").unwrap();
    reader.read(b"x").unwrap();
    assert!(!reader.is_between_messages(), "the end was not reported yet");
    reader.read(b"").unwrap();
    assert!(reader.is_between_messages());
}

#[test]
fn limits_refuse_and_never_truncate() {
    let limits = Limits { head_bytes: 64, fields: 2, interim: 2 };
    let requests = |bytes: &[u8]| transcript(Reader::requests(limits), &[], &[bytes], false);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(48));
    assert_eq!(long.len(), 64 + 2);
    assert_eq!(requests(long.as_bytes()), ["HeadTooLong(64)"]);
    assert_eq!(requests(&[b'a'; 64]), ["HeadTooLong(64)"], "noticed before the head ends");
    assert_eq!(requests(long.replacen("aa", "", 1).as_bytes()).len(), 2, "as long as the limit is accepted");
    assert_eq!(requests(b"GET / HTTP/1.1\r\nA:\r\nB:\r\n\r\n").len(), 2);
    assert_eq!(requests(b"GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\n\r\n"), ["TooManyFields(2)"]);
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding:chunked\r\n\r\n0\r\n";
    let trailers = |more: &str| requests(format!("{chunked}{more}").as_bytes()).pop().unwrap();
    assert_eq!(trailers("A:\r\nB:\r\nC:\r\n\r\n"), "TooManyFields(2)");
    assert_eq!(trailers(&format!("A: {}", "b".repeat(64))), "HeadTooLong(64)");

    let interim = b"HTTP/1.1 102 Processing\r\n\r\n";
    let responses = |times: usize| transcript(Reader::responses(limits), &["GET"], &[&interim.repeat(times)], false);
    assert_eq!(responses(2).len(), 2);
    assert_eq!(responses(3).pop().unwrap(), "TooManyInterim(2)");
}

#[test]
fn a_head_that_trickles_in_is_searched_once() {
    // With a search from the start for each byte this would be some 10^10 steps.
    let head = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(200_000));
    let mut reader = Reader::requests(Limits::default());
    for end in 1..head.len() {
        assert_eq!(reader.read(&head.as_bytes()[..end]), Ok(Progress { consumed: 0, event: None }));
    }
    assert_eq!(reader.read(head.as_bytes()).unwrap().consumed, head.len());
}

#[test]
fn mutated_input_is_read_the_same_however_it_is_cut() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let nasty: &[&[u8]] =
        &[b"\r", b"\n", b"\r\n", b"\0", b" ", b":", b"0", b"-", b"ffffffffffffffff", b";", b"\xff", b","];
    for round in 0..6000 {
        let dialogue = &DIALOGUES[round % DIALOGUES.len()];
        let mut bytes = dialogue.bytes.as_bytes().to_vec();
        for _ in 0..=random(3) {
            let at = random(bytes.len() + 1);
            match random(4) {
                0 if at < bytes.len() => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 if at < bytes.len() => drop(bytes.drain(at..(at + 1 + random(4)).min(bytes.len()))),
                2 => bytes.truncate(at),
                _ => drop(bytes.splice(at..at, nasty[random(nasty.len())].iter().copied())),
            }
        }
        let whole = dialogue.play(&[&bytes]);
        let cut = random(bytes.len() + 1);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(dialogue.play(&[&bytes[..cut], &bytes[cut..]]), whole, "{text:?} cut at {cut}");
        assert_eq!(dialogue.play(&bytes.chunks(1).collect::<Vec<_>>()), whole, "{text:?} a byte at a time");
    }
}

#[test]
fn heads_written_are_read_back() {
    let mut headers = Headers::default();
    headers.push("Host", "x");
    headers.push("x-Empty", "");
    headers.push("Cookie", "a=b; c=d");
    let mut out = Vec::new();
    write_request_head(&mut out, "PATCH", b"/a?b", Version::Http11, &headers);
    assert_eq!(head_end(&out), Some(out.len()));
    let Some(Event::Request(head, Framing::None)) = Reader::requests(Limits::default()).read(&out).unwrap().event
    else {
        panic!("a request was written");
    };
    assert_eq!((head.method.as_str(), head.target.as_slice(), &head.headers), ("PATCH", &b"/a?b"[..], &headers));

    out.clear();
    write_response_head(&mut out, Version::Http10, 404, b"Not Found", &headers);
    let mut reader = Reader::responses(Limits::default());
    reader.expect("GET");
    let Some(Event::Response(head, Framing::UntilClose)) = reader.read(&out).unwrap().event else {
        panic!("a response was written");
    };
    assert_eq!(
        (head.version, head.status, &head.reason[..], head.headers),
        (Version::Http10, 404, &b"Not Found"[..], headers)
    );
}

#[test]
fn connections_live_on_as_version_and_options_say() {
    for (version, options, lives) in [
        (Version::Http11, &[][..], true),
        (Version::Http11, &["keep-alive"], true),
        (Version::Http11, &["close"], false),
        (Version::Http11, &["Upgrade, Close"], false),
        (Version::Http11, &["upgrade", "close"], false),
        (Version::Http11, &["closed"], true),
        (Version::Http10, &[], false),
        (Version::Http10, &["Keep-Alive"], true),
        (Version::Http10, &["keep-alive, close"], false),
        (Version::Http2, &["close"], true),
    ] {
        let headers = Headers(options.iter().map(|o| (b"Connection".to_vec(), o.as_bytes().to_vec())).collect());
        assert_eq!(keeps_alive(version, &headers), lives, "{version:?} {options:?}");
    }
}

/// What an observer makes of bytes: events as in [`transcript`], then what was odd.
fn observed(requests: bool, asked: &[&str], pieces: &[&[u8]]) -> Vec<String> {
    let limits = Limits::default();
    let reader = if requests { Reader::observed_requests(limits) } else { Reader::observed_responses(limits) };
    let mut reader = reader;
    asked.iter().for_each(|method| reader.expect(method));
    let (mut lines, mut body, mut buffer): (Vec<String>, Vec<u8>, Vec<u8>) = Default::default();
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let fields = |headers: &Headers| {
        headers.0.iter().map(|(name, value)| format!(" {}={}", text(name), text(value))).collect::<String>()
    };
    let mut odd = Leniencies::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let progress = match reader.read(&buffer) {
                Ok(Progress { consumed: 0, event: None }) => break,
                Ok(progress) => progress,
                Err(error) => {
                    lines.push(format!("{error:?}"));
                    reader.seek_past();
                    continue;
                }
            };
            if let Some(Event::Body(range)) = &progress.event {
                body.extend_from_slice(&buffer[range.clone()]);
            } else if progress.event.is_some() && !body.is_empty() {
                lines.push(format!("body {}", text(&std::mem::take(&mut body))));
            }
            match progress.event {
                Some(Event::Request(head, framing)) => {
                    let (method, target) = (head.method, text(&head.target));
                    lines.push(format!("{method} {target} {:?} {framing:?}{}", head.version, fields(&head.headers)));
                }
                Some(Event::Response(head, framing)) => {
                    let (status, reason) = (head.status, text(&head.reason));
                    lines.push(format!("{status} {reason} {:?} {framing:?}{}", head.version, fields(&head.headers)));
                }
                Some(Event::End(trailers)) => lines.push(format!("end{}", fields(&trailers))),
                Some(Event::Body(_)) | None => {}
            }
            buffer.drain(..progress.consumed);
        }
        odd.add_all(reader.take_leniencies());
    }
    if reader.is_in_open_body() {
        body.append(&mut buffer);
    }
    if !body.is_empty() {
        lines.push(format!("body {}", text(&body)));
    }
    lines.extend(odd.iter().map(|leniency| format!("odd: {leniency}")));
    lines
}

#[test]
fn an_observer_reads_what_a_forwarder_refuses() {
    for (bytes, lines) in [
        (
            "GET / HTTP/1.1\nHost: x\n\n",
            &["GET / Http11 None Host=x", "end", "odd: bare line feed or carriage return in a head"][..],
        ),
        (
            "GET / HTTP/1.1\r\nA: b\r\n\tc\r\n d\r\n\r\n",
            &["GET / Http11 None A=b c d", "end", "odd: folded header field"],
        ),
        (
            "GET / HTTP/1.1\r\nA \t: b\r\n\r\n",
            &["GET / Http11 None A=b", "end", "odd: blank before the colon of a header field"],
        ),
        ("GET /a b HTTP/1.1\r\n\r\n", &["GET /a b Http11 None", "end", "odd: blanks out of place in the start line"]),
        ("GET / HTTP/1.10\r\n\r\n", &["GET / Http11 None", "end", "odd: unusual HTTP version"]),
        ("GET / HTTP/0.9\r\n\r\n", &["GET / Http10 None", "end", "odd: unusual HTTP version"]),
        ("GET /x\r\n", &["GET /x Http09 None", "end", "odd: HTTP/0.9"]),
        ("\r\n\n \r\nGET / HTTP/1.0\r\n\r\n", &["GET / Http10 None", "end", "odd: bytes between messages"]),
        ("\x16\x03\x01 binary\nGET / HTTP/1.1\r\n\r\n", &["GET / Http11 None", "end", "odd: bytes between messages"]),
        (
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            &[
                "GET / Http11 Chunked Content-Length=1 Transfer-Encoding=chunked",
                "body hi",
                "end",
                "odd: Content-Length beside Transfer-Encoding",
            ],
        ),
        (
            "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nbody\nPUT / HTTP/1.1\r\n\r\n",
            &[
                "PUT / Http11 UntilClose Transfer-Encoding=gzip",
                "body body\\n",
                "end",
                "PUT / Http11 None",
                "end",
                "odd: unusual Transfer-Encoding",
            ],
        ),
        (
            "PUT / HTTP/1.1\r\nContent-Length: many\r\n\r\nbodyPOST /2 HTTP/1.1\r\n\r\n",
            &[
                "PUT / Http11 UntilClose Content-Length=many",
                "body body",
                "end",
                "POST /2 Http11 None",
                "end",
                "odd: invalid Content-Length",
            ],
        ),
        (
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1 \nx\n0\nA: b\n\n",
            &[
                "PUT / Http11 Chunked Transfer-Encoding=chunked",
                "body x",
                "end A=b",
                "odd: bare line feed or carriage return in a head",
                "odd: chunk not in form",
            ],
        ),
        (
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno\r\nPUT /2 HTTP/1.1\r\n\r\n",
            &["PUT / Http11 Chunked Transfer-Encoding=chunked", "Chunk", "PUT /2 Http11 None", "end"],
        ),
    ] {
        let whole = observed(true, &[], &[bytes.as_bytes()]);
        assert_eq!(whole, lines, "{bytes:?}");
        for cut in 0..bytes.len() {
            let (first, second) = bytes.as_bytes().split_at(cut);
            assert_eq!(observed(true, &[], &[first, second]), lines, "{bytes:?} cut at {cut}");
        }
    }
    for (bytes, lines) in [
        ("ICY 200 OK\r\nA: b\r\n\r\nx", &["200 OK Http10 UntilClose A=b", "body x", "odd: unusual HTTP version"][..]),
        (
            "http/1.1  204\tNo\r\n\r\n",
            &["204 No Http11 None", "end", "odd: blanks out of place in the start line", "odd: unusual HTTP version"],
        ),
        ("<p>old", &["200  Http09 UntilClose", "body <p>old", "odd: HTTP/0.9"]),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nbody\r\nHTTP/1.1 204 No\r\n\r\n",
            &[
                "200 OK Http11 UntilClose Content-Length=-1",
                "body body\\r\\n",
                "end",
                "204 No Http11 None",
                "end",
                "odd: invalid Content-Length",
            ],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nHTTP/1.1 204 No\r\n\r\n",
            &[
                "200 OK Http11 Chunked Transfer-Encoding=chunked",
                "body x",
                "end",
                "204 No Http11 None",
                "end",
                "odd: no empty line after the last chunk",
            ],
        ),
    ] {
        let whole = observed(false, &["GET", "GET"], &[bytes.as_bytes()]);
        assert_eq!(whole, lines, "{bytes:?}");
        for cut in 0..bytes.len() {
            let (first, second) = bytes.as_bytes().split_at(cut);
            assert_eq!(observed(false, &["GET", "GET"], &[first, second]), lines, "{bytes:?} cut at {cut}");
        }
    }
}

#[test]
fn an_observer_reads_good_messages_as_a_forwarder_does() {
    for dialogue in DIALOGUES {
        if dialogue.events.iter().any(|event| matches!(*event, "Unasked" | "UnexpectedEnd" | "Chunk" | "LineFolding")) {
            continue;
        }
        let mut strict = dialogue.reader();
        let mut lenient = if dialogue.asked.is_empty() {
            Reader::observed_requests(Limits::default())
        } else {
            Reader::observed_responses(Limits::default())
        };
        dialogue.asked.iter().for_each(|method| {
            strict.expect(method);
            lenient.expect(method);
        });
        let events = |mut reader: Reader| {
            let (mut at, mut events) = (0, Vec::new());
            while let Ok(progress) = reader.read(&dialogue.bytes.as_bytes()[at..]) {
                match progress {
                    Progress { consumed: 0, event: None } => break,
                    Progress { consumed, event } => {
                        at += consumed;
                        events.extend(event.map(|event| match event {
                            Event::Request(head, framing) => {
                                Event::Request(RequestHead { raw: Vec::new(), ..head }, framing)
                            }
                            Event::Response(head, framing) => {
                                Event::Response(ResponseHead { raw: Vec::new(), ..head }, framing)
                            }
                            other => other,
                        }));
                    }
                }
            }
            events
        };
        assert_eq!(events(lenient), events(strict), "{}", dialogue.name);
    }
}

#[test]
fn gaps_are_exact_where_the_length_is_known() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let reader = || {
        let mut reader = Reader::observed_responses(Limits::default());
        reader.read(head).unwrap();
        reader.read(b"abc").unwrap();
        reader
    };
    assert_eq!(reader().gap(6), AfterGap::Inside(6));
    assert_eq!(reader().gap(7), AfterGap::Ended(7));
    assert_eq!(reader().gap(8), AfterGap::Ended(7));
    let mut behind = reader();
    behind.gap(6);
    assert_eq!(behind.read(b"jHTTP").unwrap(), Progress { consumed: 1, event: Some(Event::Body(0..1)) });
    assert_eq!(behind.read(b"HTTP").unwrap().event, Some(Event::End(Headers::default())));
    assert_eq!(behind.gap(1), AfterGap::Between);
    assert!(behind.is_seeking());

    let mut chunked = Reader::observed_requests(Limits::default());
    chunked.read(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    chunked.read(b"5\r\nab").unwrap();
    assert_eq!(chunked.gap(3), AfterGap::Inside(3));
    assert_eq!(chunked.read(b"\r\n0\r\n\r\n").unwrap().event, Some(Event::End(Headers::default())));
    let mut lost = Reader::observed_requests(Limits::default());
    lost.read(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    lost.read(b"5\r\nab").unwrap();
    assert_eq!(lost.gap(4), AfterGap::Broken);
    let input = b"tail of it\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    assert_eq!(lost.read(input).unwrap().consumed, 17);
    assert!(matches!(lost.read(&input[17..]).unwrap().event, Some(Event::Request(..))));
    assert_eq!(lost.take_skipped(), 17);
}

#[test]
fn a_block_of_lines_that_could_each_start_a_head_is_not_read_anew_from_each() {
    let line = "HTTP/1.1 200 OK\r\n";
    let limits = Limits::default();
    let most = limits.fields;
    for (lines, fewer) in [(most + 700, 2), (100 * limits.head_bytes / line.len() / 10, 30)] {
        let input = format!("{}Content-Length: 0\r\n\r\n", line.repeat(lines)).into_bytes();
        let mut reader = Reader::observed_responses(limits);
        let (mut used, mut errors, mut fields) = (0, 0, None);
        while fields.is_none() {
            match reader.read(&input[used..]) {
                Ok(Progress { consumed: 0, event: None }) => break,
                Ok(Progress { consumed, event }) => {
                    used += consumed;
                    if let Some(Event::Response(head, _)) = event {
                        fields = Some(head.headers.0.len());
                    }
                }
                Err(_) => {
                    errors += 1;
                    reader.seek_past();
                }
            }
        }
        assert!(errors <= fewer, "{errors} errors in {lines} lines");
        // The last line that can start a head within the limits is where one is found.
        assert_eq!(fields, Some(most), "{lines} lines");
    }
}

#[test]
fn nothing_makes_an_observer_stand_still() {
    let mut seed = 0x853c_49e6_748f_ea9b_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for round in 0..3000 {
        let dialogue = &DIALOGUES[round % DIALOGUES.len()];
        let mut bytes = dialogue.bytes.as_bytes().to_vec();
        for _ in 0..=random(4) {
            let at = random(bytes.len() + 1);
            match random(4) {
                0 if at < bytes.len() => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 if at < bytes.len() => drop(bytes.drain(at..(at + 1 + random(4)).min(bytes.len()))),
                2 => drop(bytes.splice(at..at, b"\r\n: 0\n".iter().copied().take(1 + random(5)))),
                _ => bytes.extend_from_slice(dialogue.bytes.as_bytes()),
            }
        }
        let cut = random(bytes.len() + 1);
        observed(dialogue.asked.is_empty(), dialogue.asked, &[&bytes[..cut], &bytes[cut..]]);
        observed(dialogue.asked.is_empty(), dialogue.asked, &bytes.chunks(1).collect::<Vec<_>>());
    }
}

#[test]
fn a_head_written_over_another_is_the_same_as_one_written_anew() {
    let starts = [&["GET / HTTP/1.1", "POST /a HTTP/1.0", "G  /b  HTTP/1.1", "GET /\tc HTTP/1.1"][..]]
        .into_iter()
        .chain([&["HTTP/1.1 200 OK", "HTTP/1.0 404", "HTTP/1.1 200 ", "http/1.1  500 x"][..]]);
    let lines = [
        "a: b", "a:b", "a:  b", "a: b ", "a: ", "a:", "a : b", " a: b", "b: a", "A: b", "a: b: c", "a\r: b", ": b",
        "a", "a: \tb",
    ];
    for (starts, requests) in starts.zip([true, false]) {
        let mut random = 7_u64;
        let mut pick = |from: &[&'static str]| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            from[(random >> 33) as usize % from.len()]
        };
        let mut spares = Spares::default();
        for _ in 0..3_000 {
            let mut head = format!("{}\r\n", pick(starts));
            for _ in 0..pick(&["", "1", "22", "333", "4444"]).len() {
                head += &format!("{}{}", pick(&lines), pick(&["\r\n", "\r\n", "\r\n", "\n"]));
            }
            head += "\r\n";
            let reader = || match requests {
                true => Reader::observed_requests(Limits::default()),
                false => Reader::observed_responses(Limits::default()),
            };
            let (mut anew, mut over) = (reader(), reader());
            let expected = anew.read(head.as_bytes());
            let found = over.read_over(&mut spares, head.as_bytes());
            assert_eq!(found, expected, "{head:?}");
            assert_eq!(over.take_leniencies(), anew.take_leniencies(), "{head:?}");
            match found.map(|progress| progress.event) {
                Ok(Some(Event::Request(head, _))) => spares.leave_request(head),
                Ok(Some(Event::Response(head, _))) => spares.leave_response(head),
                _ => {}
            }
        }
    }
}
