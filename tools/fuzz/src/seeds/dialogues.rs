//! Conversations made in code: one of every kind that an import can read.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use overdub::model::{MessageKind, Side};
use overdub::wire::http2::Frames;
use overdub::wire::http2::hpack::{Encoder, Indexing, Strings};
use overdub::wire::websocket::{Deflate, Writer};

use super::Talk;
use crate::dialogue::{Turn, client, server};

const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\nCookie: sid=0123456789abcdef\r\nUser-Agent: x/1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// All of them.
pub fn all() -> Vec<Talk> {
    let mut all = vec![
        vec![client(GET), server(OK), client(GET), server(OK), Turn::Ends(Side::Request), Turn::Ends(Side::Response)],
        vec![client(GET.repeat(3)), server(OK.repeat(3))],
        vec![server(OK), client(GET), server(OK)],
    ];
    all.extend(bodies());
    all.extend(events());
    all.extend(tunnels());
    all.extend(sockets());
    all.extend(http2());
    all.extend(others());
    all.into_iter().map(|turns| Talk { turns, keys: Vec::new() }).collect()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn answer(fields: &str, body: &[u8]) -> Turn {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    server([head.as_bytes(), body].concat())
}

fn bodies() -> Vec<Vec<Turn>> {
    let page = "<html><form action=/b><input type=hidden name=token value=\"abc&amp;1\"></form></html>".repeat(20);
    let chunked = "4\r\nwiki\r\n5;x=y\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n";
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\ndata\r\n--b--\r\n";
    vec![
        vec![
            client(format!(
                "POST /f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{chunked}"
            )),
            server(format!("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}")),
        ],
        vec![client(GET), answer("Content-Type: text/html\r\nContent-Encoding: gzip\r\n", &gzip(page.as_bytes()))],
        vec![client(GET), answer("Content-Type: text/html\r\n", page.as_bytes())],
        vec![
            client("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
            server("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
            client(GET),
        ],
        vec![
            client("GET /x HTTP/1.0\r\n\r\n"),
            server("HTTP/1.0 200 OK\r\n\r\nuntil the end"),
            Turn::Ends(Side::Response),
        ],
        vec![client("GET /old\r\n"), server("<html>0.9</html>"), Turn::Ends(Side::Response)],
        vec![
            client("POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
            server("HTTP/1.1 100 Continue\r\n\r\n"),
            client("abc"),
            server("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        ],
        vec![
            client(format!(
                "POST /m HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n{multipart}",
                multipart.len()
            )),
            server("HTTP/1.1 302 Found\r\nLocation: /y\r\nSet-Cookie: s=1; Path=/\r\nContent-Length: 0\r\n\r\n"),
        ],
        vec![
            client("GET / HTTP/1.1\nHost: a\n folded: x\nBad Header\n\n"),
            server("HTTP/1.1 200\nContent-Length : 2\n\nok"),
            client("\r\n\r\nget /lower HTTP/1.1\r\n\r\n"),
            server("HTTP/1.1 206 P\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok"),
        ],
    ]
}

fn events() -> Vec<Vec<Turn>> {
    let stream = b"\xef\xbb\xbf: hello\n\nevent: a\ndata: 1\ndata: 2\r\nid: 7\r\rretry: 10\n\ndata: rest";
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    vec![vec![
        client(GET),
        server(head),
        server(chunk(&stream[..20])),
        server(chunk(&stream[20..])),
        server("0\r\n\r\n"),
    ]]
}

fn tunnels() -> Vec<Vec<Turn>> {
    vec![
        vec![
            client("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            server("HTTP/1.1 200 Yes\r\n\r\n"),
            client(GET),
            server(OK),
        ],
        vec![
            client(b"\x05\x01\0"),
            server(b"\x05\0"),
            client(b"\x05\x01\0\x03\x06a.test\0\x50"),
            server(b"\x05\0\0\x01\x7f\0\0\x01\0\x50"),
            client(GET),
            server(OK),
        ],
        vec![
            client(b"\x05\x02\0\x02"),
            server(b"\x05\x02"),
            client(b"\x01\x01u\x01p"),
            server(b"\x01\0"),
            client(b"\x05\x01\0\x01\x7f\0\0\x01\0\x50"),
            server(b"\x05\0\0\x01\x7f\0\0\x01\0\x50"),
            client(GET),
        ],
        vec![client(b"\x04\x01\0\x50\0\0\0\x01u\0a.test\0"), server(b"\0\x5a\0\0\0\0\0\0"), client(GET), server(OK)],
        vec![client("PROXY TCP4 10.0.0.1 10.0.0.2 4000 80\r\n"), client(GET), server(OK)],
        vec![
            client(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\x0f\xa0\0\x50"),
            client(GET),
            server(OK),
        ],
        vec![
            client("GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic YTpi\r\n\r\n"),
            server("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"),
        ],
    ]
}

fn sockets() -> Vec<Vec<Turn>> {
    [None, Some(Deflate::default()), Some(Deflate { server_no_context_takeover: true, ..Deflate::default() })]
        .into_iter()
        .map(|deflate| {
            let extension = match deflate {
                None => String::new(),
                Some(Deflate { server_no_context_takeover: true, .. }) => {
                    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n".to_owned()
                }
                Some(_) => "Sec-WebSocket-Extensions: permessage-deflate\r\n".to_owned(),
            };
            let mut turns = vec![client(UPGRADE), server(format!("{SWITCH}{extension}\r\n"))];
            let mut ends = [(Side::Request, Some([1, 2, 3, 4])), (Side::Response, None)]
                .map(|(side, mask)| (side, mask, Writer::new(side, deflate).with_frames_of(50)));
            for round in 0..4 {
                for (side, mask, writer) in &mut ends {
                    let mut out = Vec::new();
                    writer.message(MessageKind::Text, "{\"a\":1} ".repeat(round * 8 + 1).as_bytes(), *mask, &mut out);
                    writer.message(MessageKind::Binary, &[round as u8; 130], *mask, &mut out);
                    turns.push(Turn::Says(*side, out));
                }
            }
            turns.push(server(b"\x89\x02hi\x88\x02\x03\xe8"));
            turns.push(client(b"\x8a\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8"));
            turns
        })
        .collect()
}

type Fields<'a> = &'a [(&'a [u8], &'a [u8])];

/// A block without Huffman coding or the table now and then, so that damage means something.
fn block(encoder: &mut Encoder, fields: Fields<'_>, indexing: Indexing) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    fields.iter().for_each(|(name, value)| encoder.field(name, value, indexing, &mut out));
    out
}

fn http2() -> Vec<Vec<Turn>> {
    let mut all = Vec::new();
    for (strings, indexing) in
        [(Strings::Plain, Indexing::Add), (Strings::Huffman, Indexing::Add), (Strings::Plain, Indexing::Without)]
    {
        for kind in ["text/plain", "application/grpc", "text/event-stream"] {
            all.push(exchange_of_streams(strings, indexing, kind.as_bytes()));
        }
    }
    let mut upgraded = vec![
        client(
            "GET /u HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        ),
        server("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    ];
    upgraded.extend(exchange_of_streams(Strings::Plain, Indexing::Add, b"text/html"));
    all.push(upgraded);
    let midway = exchange_of_streams(Strings::Huffman, Indexing::Add, b"text/css").split_off(3);
    all.push(midway);
    all
}

fn exchange_of_streams(strings: Strings, indexing: Indexing, kind: &[u8]) -> Vec<Turn> {
    let (mut up, mut down) = (Encoder::new(strings), Encoder::new(strings));
    let mut turns = Vec::new();
    let mut out = Frames::new();
    out.preface().settings(&[(1, 4096), (3, 100), (4, 65_535), (5, 16_384)]).window_update(0, 1 << 20);
    turns.push(client(&out.bytes));
    let mut out = Frames::new();
    out.settings(&[(1, 8192), (8, 1)]).settings_ack();
    turns.push(server(&out.bytes));
    for stream in [1, 3, 5, 7] {
        let path = format!("/p{stream}");
        let fields: Fields<'_> = &[
            (b":method", if stream == 3 { b"POST" } else { b"GET" }),
            (b":scheme", b"https"),
            (b":authority", b"h2.test"),
            (b":path", path.as_bytes()),
            (b"cookie", b"a=1"),
            (b"cookie", b"b=2"),
            (b"content-type", kind),
            (b"x-long", &[b'v'; 300]),
        ];
        let mut out = Frames::new();
        out.headers_in_pieces(
            stream,
            &block(&mut up, fields, indexing),
            stream != 3,
            if stream == 5 { 40 } else { 16_384 },
        );
        if stream == 3 {
            out.data(stream, b"\0\0\0\0\x05hello\0\0\0\0\x02ok", false).padded_data(stream, b"abc", 7, true);
        }
        out.ping([1; 8]);
        turns.push(client(&out.bytes));
    }
    for stream in [3, 1, 7, 5] {
        let mut out = Frames::new();
        let early: Fields<'_> = &[(b":status", b"103"), (b"link", b"</x>")];
        out.headers(stream, &block(&mut down, early, indexing), false);
        let fields: Fields<'_> = &[
            (b":status", b"200"),
            (b"content-type", kind),
            (b"grpc-encoding", b"gzip"),
            (b"set-cookie", b"s=1"),
            (b"date", b"now"),
        ];
        out.headers(stream, &block(&mut down, fields, indexing), false);
        let body: &[u8] = if kind.starts_with(b"text/event") { b"data: 1\n\nid: 4\n\n" } else { b"\0\0\0\0\x05hello" };
        out.data(stream, body, false);
        if stream == 7 {
            out.reset(7, 8);
        } else {
            out.headers(stream, &block(&mut down, &[(b"grpc-status", b"0")], indexing), true);
        }
        if stream == 1 {
            let promise = block(&mut down, &[(b":method", b"GET"), (b":path", b"/pushed")], indexing);
            out.promise(5, 2, &promise).headers(2, &block(&mut down, &[(b":status", b"200")], indexing), true);
        }
        turns.push(server(&out.bytes));
    }
    let mut out = Frames::new();
    out.go_away(7, 0, b"bye");
    turns.push(server(&out.bytes));
    turns
}

fn others() -> Vec<Vec<Turn>> {
    let frames = |bytes: &[u8]| {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let _ = encoder.write_all(bytes);
        encoder.finish().unwrap_or_default()
    };
    vec![
        vec![server("SSH-2.0-x\r\n"), client("SSH-2.0-y\r\n")],
        vec![server("220 mail ESMTP\r\n"), client("EHLO a\r\n")],
        vec![client("*1\r\n$4\r\nPING\r\n"), server("+PONG\r\n")],
        vec![client(GET), answer("Content-Encoding: deflate\r\n", &frames(b"raw deflate"))],
        vec![
            Turn::Lost(Side::Response, 1000),
            server("tail of a body\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            client(GET),
        ],
    ]
}
