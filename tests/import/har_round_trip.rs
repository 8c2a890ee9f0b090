//! A capture, its HAR and the capture of that HAR hold the same exchanges.

use std::fs::File;
use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use overdub::capture::{BodyWriter, Provenance, Reader, Writer};
use overdub::export;
use overdub::import::har;
use overdub::model::{
    Body, BodySource as _, Exchange, ExchangeId, Headers, Incomplete, Message, MessageKind, Nanos, Origin, Remark,
    Request, Response, Scheme, SessionId, SessionInfo, Side, Span, Timing, Transport, Version,
};
use overdub::observe::Recorder;
use overdub::wire::content;
use overdub::wire::identity::Sessions;

const ANCHOR: u64 = 1_795_457_846_500_000_123;

fn stored(writer: &mut Writer, bytes: &[u8]) -> Body {
    let mut body = BodyWriter::default();
    body.push(writer, bytes).unwrap();
    body.finish(writer).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn headers(fields: &[(&str, &[u8])]) -> Headers {
    let mut headers = Headers::default();
    fields.iter().for_each(|(name, value)| headers.push(*name, *value));
    headers
}

fn exchange(id: u64, version: Version) -> Exchange {
    let at = |micros: u64| Nanos((id * 10_000 + micros) * 1000 + 77);
    Exchange {
        id: ExchangeId(id),
        session: SessionId(1),
        transaction: Some("Check out".to_owned()),
        request: Request {
            origin: Origin::new(Scheme::Https, "[::1]", 8443),
            method: "POST".to_owned(),
            target: format!("/{id}?a=b+c&%zz").into_bytes(),
            version,
            headers: headers(&[("x-dup", b"1"), ("x-dup", b"2"), ("x-raw", b"\xff\"\\\n".trim_ascii_end())]),
            body: Body::default(),
            trailers: Headers::default(),
        },
        interim: Vec::new(),
        response: Some(Response {
            version,
            status: 200,
            reason: b"Fine".to_vec(),
            headers: headers(&[("set-cookie", b"sid=abcdefgh; Path=/"), ("set-cookie", b"b=2")]),
            body: Body::default(),
            trailers: headers(&[("x-sum", b"1")]),
        }),
        timing: Timing {
            started: at(1),
            request_done: Some(at(40)),
            connect: Some(Span { start: at(50), end: at(90) }),
            tls: Some(Span { start: at(90), end: at(190) }),
            upstream_sent: Some(at(200)),
            upstream_first: Some(at(900)),
            upstream_done: Some(at(1100)),
            client_first: Some(at(910)),
            finished: at(1120),
        },
        transport: Transport {
            client: SocketAddr::from(([10, 0, 0, 7], 4711)),
            client_connection: 1,
            upstream_connection: Some(9),
            stream: Some(3),
            tls: Some("TLSv1.3".to_owned()),
            alpn: Some("h2".to_owned()),
            sni: Some("shop.test".to_owned()),
        },
        incomplete: None,
        remarks: Vec::new(),
    }
}

fn make(path: &Path) {
    let provenance = Provenance { anchor_unix_ns: ANCHOR, source: "test".into(), program: "1".into() };
    let mut writer = Writer::create(path, &provenance).unwrap();
    writer.session(&SessionInfo { id: SessionId(1), client: "10.0.0.7".into(), ..SessionInfo::default() }).unwrap();
    let binary: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    type Sample<'a> = (&'a str, &'a [u8], &'a [u8], Vec<u8>);
    let bodies: [Sample<'_>; 9] = [
        ("text/html", b"", b"", b"plain \"\\ \xc3\xa4 \xf0\x9f\x98\x80\r\n".to_vec()),
        ("text/html", b"gzip", b"a=1&b=%20", gzip("gr\u{fc}n".as_bytes())),
        ("text/html; charset=iso-8859-1", b"", b"\x00\xff", b"gr\xfcn".to_vec()),
        ("text/html; charset=iso-8859-1", b"", "\u{fc}".as_bytes(), "gr\u{fc}n".as_bytes().to_vec()),
        ("text/html; charset=shift_jis", b"", b"", b"\x82\xa0".to_vec()),
        ("image/png", b"", &binary, binary.clone()),
        ("image/png", b"gzip", b"", b"\x1f\x8bno gzip at all".to_vec()),
        ("application/json", b"", b"{\"\\u0000\":1}", b"{}".to_vec()),
        ("", b"", b"\xef\xbb\xbfx", b"\xef\xbb\xbfx".to_vec()),
    ];
    for (id, (media_type, coding, request, response)) in (1..).zip(bodies) {
        let version =
            [Version::Http11, Version::Http2, Version::Http3, Version::Http10][usize::try_from(id).unwrap() % 4];
        let mut exchange = exchange(id, version);
        exchange.request.body = stored(&mut writer, request);
        exchange.request.headers.push("content-length", request.len().to_string());
        let answer = exchange.response.as_mut().unwrap();
        answer.body = stored(&mut writer, &response);
        answer.headers.push("content-type", media_type);
        if !coding.is_empty() {
            answer.headers.push("content-encoding", coding);
        }
        writer.exchange(&exchange).unwrap();
    }
    let mut failed = exchange(20, Version::Http11);
    failed.response = None;
    failed.incomplete = Some(Incomplete::Stopped);
    failed.transaction = None;
    failed.request.target = b"/\xff x#".to_vec();
    writer.exchange(&failed).unwrap();
    let mut absent = exchange(21, Version::Http11);
    absent.remarks = vec![Remark::BodyAbsent { side: Side::Response, bytes: 77 }];
    absent.interim = vec![Response { status: 103, trailers: Headers::default(), ..absent.response.clone().unwrap() }];
    writer.exchange(&absent).unwrap();
    let mut socket = exchange(22, Version::Http11);
    socket.response.as_mut().unwrap().status = 101;
    socket.timing.finished = Nanos(500_000_000);
    for (number, (kind, payload)) in
        (1..).zip([(MessageKind::Text, &b"hi"[..]), (MessageKind::Binary, b"\0"), (MessageKind::Close, b"\x03\xe8")])
    {
        let body = stored(&mut writer, payload);
        let ended = Nanos(300_000_000 + u64::from(number) * 1000);
        let started = Nanos(ended.0 - 500);
        let from = if number == 1 { Side::Request } else { Side::Response };
        let message = Message {
            exchange: socket.id,
            number,
            from,
            kind,
            started,
            ended,
            frames: number,
            body,
            compressed: false,
        };
        writer.message(&message).unwrap();
    }
    writer.exchange(&socket).unwrap();
    writer.finish().unwrap();
}

/// The headers that are not lost on purpose: a body that was decoded has no coding any more.
fn kept(headers: &Headers) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.0.iter().filter(|(name, _)| name != b"content-encoding").cloned().collect()
}

fn decoded(reader: &Reader, response: &Response) -> Vec<u8> {
    let bytes = reader.load(&response.body, 1 << 30).unwrap();
    content::decode(response.headers.text("content-encoding").unwrap_or(""), &bytes, 1 << 30).unwrap_or(bytes)
}

#[test]
fn a_capture_survives_its_har() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a.dub"), dir.path().join("b.dub"));
    make(&first);
    let before = Reader::open(&first).unwrap();
    let mut written = Vec::new();
    export::har::write(&before, &mut written, &export::har::Options::default()).unwrap();
    File::create(dir.path().join("a.har")).unwrap().write_all(&written).unwrap();

    let survey = har::survey(&mut Cursor::new(&written)).unwrap();
    let mut recorder = Recorder::create(&second, "har a.har", survey.anchor, Sessions::default()).unwrap();
    let summary = har::import(Cursor::new(&written), &survey, har::Config::default(), &mut recorder).unwrap();
    recorder.close().unwrap();
    let after = Reader::open_checked(&second).unwrap();
    assert_eq!((summary.exchanges, summary.unanswered, summary.messages, summary.unreadable.count), (12, 1, 3, 0));

    let shift = after.provenance().anchor_unix_ns - ANCHOR;
    for (old, new) in before.exchanges().zip(after.exchanges()) {
        let (mut old, new) = (old.unwrap(), new.unwrap());
        let name = old.request.url();
        let moved = |at: Nanos| Nanos(at.0 - shift);
        let span = |span: Span| Span { start: moved(span.start), end: moved(span.end) };
        old.timing = Timing {
            started: moved(old.timing.started),
            request_done: old.timing.request_done.map(moved),
            connect: old.timing.connect.map(span),
            tls: old.timing.tls.map(span),
            upstream_sent: old.timing.upstream_sent.map(moved),
            upstream_first: old.timing.upstream_first.map(moved),
            upstream_done: old.timing.upstream_done.map(moved),
            client_first: old.timing.client_first.map(moved),
            finished: moved(old.timing.finished),
        };
        assert_eq!(new.request, old.request, "{name}");
        assert_eq!(after.load(&new.request.body, 1 << 30).unwrap(), before.load(&old.request.body, 1 << 30).unwrap());
        assert_eq!(new.timing, old.timing, "{name}");
        assert_eq!(new.transport, old.transport, "{name}");
        assert_eq!(new.transaction, old.transaction, "{name}");
        assert_eq!(new.incomplete, old.incomplete, "{name}");
        assert_eq!(new.interim, old.interim, "{name}");
        assert_eq!(new.response.is_some(), old.response.is_some(), "{name}");
        if let Some((new, old)) = new.response.as_ref().zip(old.response.as_ref()) {
            assert_eq!((new.status, &new.reason, new.version), (old.status, &old.reason, old.version), "{name}");
            assert_eq!(kept(&new.headers), kept(&old.headers), "{name}");
            assert_eq!(new.trailers, old.trailers, "{name}");
            assert_eq!(decoded(&after, new), decoded(&before, old), "{name}");
        }
        let told = |exchange: &Exchange| {
            exchange
                .remarks
                .iter()
                .filter(|remark| matches!(remark, Remark::BodyAbsent { .. }))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&new), told(&old), "{name}");
        let (ours, theirs) = (before.messages(old.id).unwrap(), after.messages(new.id).unwrap());
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (old, new) in ours.iter().zip(&theirs) {
            assert_eq!((new.number, new.from, new.kind, new.frames), (old.number, old.from, old.kind, old.frames));
            assert_eq!(after.load(&new.body, 99).unwrap(), before.load(&old.body, 99).unwrap());
            assert!(moved(old.ended).0.abs_diff(new.ended.0) <= 1000, "to the microsecond");
        }
    }
}
