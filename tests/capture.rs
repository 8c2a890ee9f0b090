//! Capture files: round trip, truncation at every byte, damage, live reading, repair, the bytes of the format.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use overdub::capture::{self, BodyWriter, CaptureError, Compression, Provenance, Reader, Writer};
use overdub::model::{
    Body, BodySource, CHUNK_BYTES, Exchange, ExchangeId, Headers, Incomplete, Message, MessageKind, Nanos, Origin,
    Remark, Request, Response, Scheme, SessionId, SessionInfo, Side, Span, Timing, Transport, Version,
};
use tempfile::TempDir;

fn provenance() -> Provenance {
    Provenance {
        anchor_unix_ns: 1_790_000_000_123_456_789,
        source: "proxy 127.0.0.1:8080".into(),
        program: "0.1.0".into(),
    }
}

fn sessions() -> Vec<SessionInfo> {
    let info = |id, client: &str, user_agent: Option<&str>| SessionInfo {
        id: SessionId(id),
        client: client.into(),
        user_agent: user_agent.map(Into::into),
        ..SessionInfo::default()
    };
    vec![info(1, "10.0.0.1", Some("Test/1.0")), info(2, "::1", None)]
}

/// An exchange with as little as there can be.
fn bare(id: u64, session: u32) -> Exchange {
    Exchange {
        id: ExchangeId(id),
        session: SessionId(session),
        transaction: None,
        request: Request {
            origin: Origin::new(Scheme::Http, "shop.test", 8000),
            method: "GET".into(),
            target: format!("/page/{id}").into_bytes(),
            version: Version::Http11,
            headers: Headers::default(),
            body: Body::default(),
            trailers: Headers::default(),
        },
        interim: Vec::new(),
        response: None,
        timing: Timing { started: Nanos(id * 1_000), finished: Nanos(id * 1_000 + 500), ..Timing::default() },
        transport: Transport {
            client: "10.0.0.1:50000".parse().unwrap(),
            client_connection: 1,
            upstream_connection: None,
            stream: None,
            tls: None,
            alpn: None,
            sni: None,
        },
        incomplete: None,
        remarks: Vec::new(),
    }
}

fn headers(fields: &[(&str, &[u8])]) -> Headers {
    Headers(fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect())
}

fn response(version: Version, status: u16, body: Body) -> Response {
    Response {
        version,
        status,
        reason: b"Fine \xff".to_vec(),
        headers: headers(&[("Set-Cookie", b"a=1"), ("set-cookie", b"b=2"), ("X-Raw", b"\x00\xff")]),
        body,
        trailers: headers(&[("Checksum", b"abc")]),
    }
}

/// An exchange with a value in every field.
fn full(id: u64, session: u32, asked: Body, answered: Body) -> Exchange {
    let plain = bare(id, session);
    let at = |n: u64| Nanos(id * 1_000 + n);
    Exchange {
        transaction: Some("check out".into()),
        request: Request {
            origin: Origin::new(Scheme::Https, "[::1]", 8443),
            method: "POST".into(),
            target: b"/pay?q=\xc3\xa4\xff".to_vec(),
            version: Version::Http2,
            headers: headers(&[("Host", b"shop.test"), ("COOKIE", b"s=1; t=2")]),
            body: asked,
            trailers: headers(&[("X-Last", b"1")]),
        },
        interim: vec![response(Version::Http10, 100, Body::default()), response(Version::Http11, 103, Body::default())],
        response: Some(response(Version::Http2, 200, answered)),
        timing: Timing {
            started: at(0),
            request_done: Some(at(1)),
            connect: Some(Span { start: at(2), end: at(3) }),
            tls: Some(Span { start: at(3), end: at(4) }),
            upstream_sent: Some(at(5)),
            upstream_first: Some(at(6)),
            upstream_done: Some(at(7)),
            client_first: Some(at(8)),
            finished: Nanos(u64::MAX),
        },
        transport: Transport {
            client: "[2001:db8::1]:65535".parse().unwrap(),
            client_connection: u64::MAX,
            upstream_connection: Some(7),
            stream: Some(u32::MAX),
            tls: Some("TLSv1.3".into()),
            alpn: Some("h2".into()),
            sni: Some("shop.test".into()),
        },
        incomplete: Some(Incomplete::Client("reset".into())),
        remarks: Vec::new(),
        ..plain
    }
}

/// One remark of each kind.
fn remarks() -> Vec<Remark> {
    vec![
        Remark::Gap { side: Side::Response, at: 70_000, bytes: 300 },
        Remark::UnknownField { side: Side::Request, position: 1, name: Some(b":path".to_vec()) },
        Remark::UnknownField { side: Side::Response, position: 300, name: None },
        Remark::BodyAbsent { side: Side::Request, bytes: 0 },
        Remark::Tap { client_ns: Some(120_000), server_ns: None },
        Remark::Other("seen from afar \u{e4}".into()),
    ]
}

/// A message of an exchange; kind, side and instants depend on its number.
fn message(exchange: u64, number: u32, body: Body) -> Message {
    use MessageKind::{Binary, Close, Event, Grpc, Ping, Pong, Text};
    let started = Nanos(exchange * 1_000 + u64::from(number));
    Message {
        exchange: ExchangeId(exchange),
        number,
        from: if number % 2 == 1 { Side::Request } else { Side::Response },
        kind: [Text, Binary, Close, Ping, Pong, Event, Grpc][(number as usize - 1) % 7],
        started,
        ended: Nanos(started.0 + 300),
        frames: number,
        body,
        compressed: number == 2,
    }
}

fn store(writer: &mut Writer, bytes: &[u8]) -> Body {
    let mut body = BodyWriter::default();
    body.push(writer, bytes).unwrap();
    body.finish(writer).unwrap()
}

/// Bytes that do not compress, the same for each seed.
fn noise(mut state: u64, len: usize) -> Vec<u8> {
    let mut step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| step()).collect()
}

/// A new file with this content. Writing over an old one would make some file systems wait for the disk.
fn put(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

/// What a capture says, bodies and all.
type Content = (Provenance, Vec<SessionInfo>, Vec<(Exchange, Vec<Vec<u8>>, Vec<(Message, Vec<u8>)>)>);

fn bodies(exchange: &Exchange) -> Vec<&Body> {
    let answers = exchange.interim.iter().chain(&exchange.response).map(|r| &r.body);
    std::iter::once(&exchange.request.body).chain(answers).collect()
}

/// Reads all of it; none when anything cannot be had.
fn content(reader: &Reader) -> Option<Content> {
    let mut exchanges = Vec::new();
    for exchange in reader.exchanges() {
        let exchange = exchange.ok()?;
        let loaded = bodies(&exchange).iter().map(|body| reader.load(body, 1 << 30).ok()).collect::<Option<_>>()?;
        let messages = reader.messages(exchange.id).ok()?.into_iter();
        let messages = messages.map(|m| reader.load(&m.body, 1 << 30).ok().map(|bytes| (m, bytes)));
        exchanges.push((exchange, loaded, messages.collect::<Option<_>>()?));
    }
    for session in reader.sessions() {
        reader.session(session.info.id).ok()?;
    }
    Some((reader.provenance().clone(), reader.sessions().iter().map(|s| s.info.clone()).collect(), exchanges))
}

/// A small capture with a bit of everything, flushed after each exchange. Returns its path and, for each flush, the length of
/// the file and the number of exchanges it holds for certain.
fn sample(dir: &TempDir, name: &str, end: End) -> (PathBuf, Vec<(u64, usize)>) {
    let path = dir.path().join(name);
    let mut writer = Writer::create(&path, &provenance()).unwrap();
    let mut flushed = Vec::new();
    for info in sessions() {
        writer.session(&info).unwrap();
    }
    for id in 1..=4_u64 {
        let text = store(&mut writer, format!("hello {id} ").repeat(20).as_bytes());
        let raw = store(&mut writer, &noise(id, 90));
        let session = if id % 2 == 0 { 2 } else { 1 };
        for number in 1..=if id == 2 { 2 } else { 0 } {
            let payload = store(&mut writer, format!("message {number} of {id}").as_bytes());
            writer.message(&message(id, number, payload)).unwrap();
        }
        let exchange = match id {
            2 => Exchange { remarks: remarks(), ..full(id, session, text, raw) },
            3 => bare(id, session),
            _ => full(id, session, text, raw),
        };
        writer.exchange(&exchange).unwrap();
        writer.flush().unwrap();
        flushed.push((fs::metadata(&path).unwrap().len(), usize::try_from(id).unwrap()));
    }
    match end {
        End::Finished => {
            writer.finish().unwrap();
        }
        End::Killed => std::mem::forget(writer),
    }
    (path, flushed)
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Finished,
    Killed,
}

#[test]
fn every_field_comes_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("all.dub");
    let mut writer = Writer::create(&path, &provenance()).unwrap();
    let (asked, answered) = (store(&mut writer, b"question"), store(&mut writer, &noise(1, 200_000)));
    let mut written = vec![bare(1, 1), full(2, 1, asked, answered)];
    let reasons = [
        Incomplete::Client("a".into()),
        Incomplete::Connect("b".into()),
        Incomplete::Upstream("c".into()),
        Incomplete::Stopped,
        Incomplete::NotRecorded("d".into()),
        Incomplete::Upgraded("websocket".into()),
    ];
    for (id, reason) in (3..).zip(reasons) {
        written.push(Exchange { incomplete: Some(reason), ..bare(id, 2) });
    }
    written[1].remarks = remarks();
    written[2].request.version = Version::Http3;
    written[3].request.version = Version::Http09;
    for info in sessions() {
        writer.session(&info).unwrap();
    }
    for exchange in &written {
        writer.exchange(exchange).unwrap();
    }
    let summary = writer.finish().unwrap();
    assert_eq!((summary.sessions, summary.exchanges, summary.incomplete, summary.body_bytes), (2, 8, 7, 200_008));
    assert_eq!(summary.file_bytes, fs::metadata(&path).unwrap().len());

    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.provenance(), &provenance());
    assert!(reader.damage().is_sound() && !reader.damage().unfinished);
    assert_eq!(reader.exchanges().map(Result::unwrap).collect::<Vec<_>>(), written);
    assert_eq!(reader.exchange(ExchangeId(2)).unwrap(), written[1]);
    assert_eq!(reader.session(SessionId(1)).unwrap().exchanges, written[..2]);
    assert_eq!(reader.sessions().iter().map(|s| s.info.clone()).collect::<Vec<_>>(), sessions());
    assert_eq!(reader.load(&written[1].request.body, 100).unwrap(), b"question");
    assert_eq!(reader.load(&written[1].response.as_ref().unwrap().body, 200_000).unwrap(), noise(1, 200_000));
    assert!(matches!(reader.exchange(ExchangeId(9)), Err(CaptureError::NoExchange(9))));
    assert!(matches!(reader.session(SessionId(9)), Err(CaptureError::NoSession(9))));
}

#[test]
fn a_capture_is_for_its_owner_alone_even_when_it_replaces_a_public_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("private.dub");
    fs::write(&path, "old and longer than any header of a capture. ".repeat(10)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    Writer::create(&path, &provenance()).unwrap().finish().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Reader::open(&path).unwrap().damage().is_sound());
}

#[test]
fn a_capture_cut_at_any_byte_keeps_what_was_flushed_before_the_cut() {
    let dir = TempDir::new().unwrap();
    for end in [End::Finished, End::Killed] {
        let (path, flushed) = sample(&dir, "whole.dub", end);
        let bytes = fs::read(&path).unwrap();
        let whole = content(&Reader::open(&path).unwrap()).unwrap();
        let cut_path = dir.path().join("cut.dub");
        for cut in 0..bytes.len() {
            put(&cut_path, &bytes[..cut]);
            let reader = match Reader::open(&cut_path) {
                Ok(reader) => reader,
                Err(CaptureError::Header | CaptureError::NotACapture) => {
                    assert!(cut < 80, "cut at {cut} behind the header");
                    continue;
                }
                Err(other) => panic!("cut at {cut}: {other}"),
            };
            assert!(reader.damage().unfinished, "cut at {cut}");
            let due = flushed.iter().rev().find(|(len, _)| *len <= cut as u64).map_or(0, |(_, count)| *count);
            let kept = content(&reader).unwrap_or_else(|| panic!("cut at {cut}: something cannot be read"));
            assert!(kept.2.len() >= due, "cut at {cut}: {} of {due}", kept.2.len());
            assert_eq!(kept.2[..], whole.2[..kept.2.len()], "cut at {cut}");
        }
    }
}

#[test]
fn no_flipped_byte_goes_unnoticed() {
    let dir = TempDir::new().unwrap();
    for end in [End::Finished, End::Killed] {
        let (path, _) = sample(&dir, "sound.dub", end);
        let bytes = fs::read(&path).unwrap();
        let sound = content(&Reader::open(&path).unwrap()).unwrap();
        let bad_path = dir.path().join("bad.dub");
        for (at, mask) in (0..bytes.len()).flat_map(|at| [(at, 0x01), (at, 0xff)]) {
            let mut bad = bytes.clone();
            bad[at] ^= mask;
            put(&bad_path, &bad);
            for opened in [Reader::open(&bad_path), Reader::open_checked(&bad_path)] {
                let Ok(reader) = opened else { continue };
                let noticed = !reader.damage().is_sound() || content(&reader).is_none();
                assert!(noticed || content(&reader).unwrap() == sound, "byte {at} with {mask:#x}");
                let kept = reader.exchanges().flatten().count();
                assert!(kept >= 3, "byte {at}: one flip costs at most one frame, {kept} of 4 are left");
            }
            if let Ok(reader) = Reader::open_checked(&bad_path) {
                let found = !reader.damage().is_sound() || end == End::Finished && reader.damage().unfinished;
                assert!(found, "byte {at} with {mask:#x}: a full check sees every flip");
            }
        }
    }
}

#[test]
fn foreign_empty_and_newer_files_are_told_apart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x");
    for foreign in [b"".as_slice(), b"x", b"GET / HTTP/1.1\r\n\r\n", b"\x89PNG\r\n\x1a\n________________________"] {
        fs::write(&path, foreign).unwrap();
        assert!(matches!(Reader::open(&path), Err(CaptureError::NotACapture)));
    }
    assert!(matches!(Reader::open(dir.path()), Err(CaptureError::Io(_))));
    assert!(matches!(Reader::open(&dir.path().join("none")), Err(CaptureError::Io(_))));

    let (sound, _) = sample(&dir, "newer.dub", End::Finished);
    let mut bytes = fs::read(&sound).unwrap();
    bytes[8] = 7;
    let body_end = 20 + usize::from(bytes[12]);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..16]), &bytes[20..body_end]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = Reader::open(&path).unwrap_err();
    assert!(matches!(&error, CaptureError::Newer { major: 7, .. }), "{error}");
    assert!(error.to_string().contains("written by overdub 0.1.0"), "{error}");
}

#[test]
fn an_unknown_kind_of_frame_is_passed_over_and_counted() {
    let dir = TempDir::new().unwrap();
    let (path, _) = sample(&dir, "minor.dub", End::Killed);
    let before = content(&Reader::open(&path).unwrap()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let seed = u32::from_le_bytes(bytes[16..20].try_into().unwrap());
    let mut frame = b"\xfdduf".to_vec();
    frame.extend_from_slice(&[200, 0, 0, 0]);
    for number in [1_u32, 3, 3] {
        frame.extend_from_slice(&number.to_le_bytes());
    }
    let crc = crc32c::crc32c_append(seed, &frame);
    frame.extend_from_slice(&crc.to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c_append(crc, b"new").to_le_bytes());
    frame.extend_from_slice(b"new");
    bytes.extend_from_slice(&frame);
    fs::write(&path, bytes).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.unknown_frames(), 1);
    assert!(reader.damage().is_sound());
    assert_eq!(content(&reader).unwrap(), before);
}

#[test]
fn equal_bodies_are_stored_once() {
    let dir = TempDir::new().unwrap();
    let bytes = noise(3, 3 * CHUNK_BYTES + 5);
    let written = |times: u64| {
        let path = dir.path().join("dedup.dub");
        let mut writer = Writer::create(&path, &provenance()).unwrap();
        for id in 1..=times {
            let body = store(&mut writer, &bytes);
            writer.exchange(&full(id, 1, Body::default(), body)).unwrap();
        }
        (writer.finish().unwrap().file_bytes, path)
    };
    let (once, _) = written(1);
    let (often, path) = written(1_000);
    assert!(once > 190_000, "{once}");
    assert!(often - once < 120_000, "{once} and {often}");
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.chunk_count(), 4);
    let last = reader.exchange(ExchangeId(1_000)).unwrap().response.unwrap().body;
    assert_eq!((last.chunks.len(), last.len), (4, 3 * CHUNK_BYTES as u64 + 5));
    assert_eq!(reader.load(&last, 1 << 20).unwrap(), bytes);
}

#[test]
fn a_body_is_cut_alike_however_it_arrives() {
    let dir = TempDir::new().unwrap();
    let mut writer = Writer::create(&dir.path().join("x.dub"), &provenance()).unwrap();
    let bytes = noise(8, 2 * CHUNK_BYTES + 77);
    let whole = store(&mut writer, &bytes);
    assert_eq!(whole.chunks.len(), 3);
    for piece in [1_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1] {
        let mut body = BodyWriter::default();
        for part in bytes.chunks(piece) {
            body.push(&mut writer, part).unwrap();
        }
        assert_eq!(body.finish(&mut writer).unwrap(), whole, "in pieces of {piece}");
    }
    assert!(BodyWriter::default().finish(&mut writer).unwrap().is_empty());
    assert!(matches!(writer.chunk(&vec![0; CHUNK_BYTES + 1]), Err(CaptureError::TooLarge { .. })));
}

#[test]
fn a_capture_is_readable_while_it_is_written() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("live.dub");
    let mut writer = Writer::create(&path, &provenance()).unwrap();
    assert_eq!(content(&Reader::open(&path).unwrap()).unwrap().2.len(), 0);
    let mut earlier = Vec::new();
    for id in 1..=20_u64 {
        let body = store(&mut writer, &noise(id, 10_000));
        writer.exchange(&full(id, 1, body, Body::default())).unwrap();
        writer.flush().unwrap();
        let reader = Reader::open(&path).unwrap();
        assert!(reader.damage().unfinished && reader.damage().is_sound());
        assert_eq!(content(&reader).unwrap().2.len() as u64, id);
        earlier.push(reader);
    }
    writer.finish().unwrap();
    for (count, reader) in (1..).zip(&earlier) {
        assert_eq!(content(reader).unwrap().2.len(), count, "a reader goes on seeing what it opened");
    }
}

/// Not a test by itself: writes exchanges and says which are flushed, until it is killed.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn writes_until_killed() {
    let path = PathBuf::from(std::env::var_os("OVERDUB_TEST_CAPTURE").unwrap());
    let mut writer = Writer::create(&path, &provenance()).unwrap();
    for id in 1..=u64::from(u32::MAX) {
        let body = store(&mut writer, &noise(id, 70_000));
        writer.exchange(&full(id, 1, body, Body::default())).unwrap();
        writer.flush().unwrap();
        println!("flushed {id}");
    }
}

#[test]
fn what_was_flushed_survives_kill_9() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("killed.dub");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "capture::writes_until_killed", "--ignored", "--nocapture", "--test-threads=1"])
        .env("OVERDUB_TEST_CAPTURE", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let flushed = |line: String| line.rsplit_once("flushed ").and_then(|(_, id)| id.parse::<u64>().ok());
    let reached = lines.by_ref().filter_map(flushed).find(|id| *id >= 40).unwrap();
    child.kill().unwrap();
    let last = lines.filter_map(flushed).last().unwrap_or(reached);
    child.wait().unwrap();

    let reader = Reader::open(&path).unwrap();
    assert!(reader.damage().unfinished && reader.damage().bad_frames.is_empty());
    let check = reader.check_bodies().unwrap();
    assert!(reader.exchange_count() >= last && check.broken.is_empty() && check.unreadable == 0);
    for id in 1..=last {
        let body = reader.exchange(ExchangeId(id)).unwrap().request.body;
        assert!(reader.load(&body, 1 << 20).unwrap() == noise(id, 70_000), "exchange {id}");
    }
}

#[test]
fn a_reader_is_shared_between_threads() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("shared.dub");
    let mut writer = Writer::create(&path, &provenance()).unwrap();
    for id in 1..=200_u64 {
        let body = store(&mut writer, &noise(id, 30_000));
        writer.exchange(&full(id, u32::try_from(id % 4).unwrap() + 1, body, Body::default())).unwrap();
    }
    writer.finish().unwrap();
    let reader = Reader::open(&path).unwrap();
    std::thread::scope(|scope| {
        for session in 1..=4 {
            let reader = &reader;
            scope.spawn(move || {
                let session = reader.session(SessionId(session)).unwrap();
                assert_eq!(session.exchanges.len(), 50);
                for exchange in &session.exchanges {
                    let body = reader.load(&exchange.request.body, 1 << 20).unwrap();
                    assert!(body == noise(exchange.id.0, 30_000));
                }
            });
        }
    });
}

#[test]
fn a_capture_inside_a_damaged_capture_is_not_mistaken_for_it() {
    let dir = TempDir::new().unwrap();
    let (inner, _) = sample(&dir, "inner.dub", End::Finished);
    let outer = dir.path().join("outer.dub");
    let other = Provenance { anchor_unix_ns: 5, ..provenance() };
    let mut writer = Writer::create_with(&outer, &other, Compression::None).unwrap();
    let body = store(&mut writer, &fs::read(&inner).unwrap());
    writer.exchange(&full(9, 1, body, Body::default())).unwrap();
    writer.flush().unwrap();
    std::mem::forget(writer);
    let mut bytes = fs::read(&outer).unwrap();
    let frame = bytes.windows(4).position(|w| w == b"\xfdduf").unwrap();
    bytes[frame + 5] ^= 1;
    fs::write(&outer, bytes).unwrap();
    let reader = Reader::open(&outer).unwrap();
    assert_eq!(reader.exchanges().map(|e| e.unwrap().id.0).collect::<Vec<_>>(), [9]);
    assert_eq!(reader.damage().bad_frames.len(), 1);
}

#[test]
fn repair_saves_what_can_be_read_and_marks_what_lost_its_body() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("damaged.dub");
    let mut writer = Writer::create_with(&path, &provenance(), Compression::None).unwrap();
    for id in 1..=3_u64 {
        let body = store(&mut writer, &noise(id, 5_000));
        writer.exchange(&Exchange { incomplete: None, ..full(id, 1, body, Body::default()) }).unwrap();
        writer.flush().unwrap();
    }
    std::mem::forget(writer);
    let mut bytes = fs::read(&path).unwrap();
    let second = bytes.windows(40).position(|w| w == &noise(2, 5_000)[..40]).unwrap();
    bytes[second + 100] ^= 1;
    bytes.extend_from_slice(b"torn");
    fs::write(&path, bytes).unwrap();

    let reader = Reader::open_checked(&path).unwrap();
    let check = reader.check_bodies().unwrap();
    assert_eq!((check.bodies, check.broken, check.unreadable), (3, vec![ExchangeId(2)], 0));

    let fixed = dir.path().join("fixed.dub");
    let report = capture::repair(&path, &fixed).unwrap();
    assert!(!report.is_complete());
    assert_eq!((report.saved.exchanges, report.emptied, report.damage.torn_bytes), (3, vec![ExchangeId(2)], 4));
    let reader = Reader::open(&fixed).unwrap();
    assert!(reader.damage().is_sound() && !reader.damage().unfinished);
    assert_eq!(reader.provenance(), &provenance());
    let read: Vec<Exchange> = reader.exchanges().map(Result::unwrap).collect();
    assert!(read[1].request.body.is_empty());
    assert!(matches!(&read[1].incomplete, Some(Incomplete::NotRecorded(_))));
    assert!(read[0].incomplete.is_none() && reader.load(&read[2].request.body, 1 << 20).unwrap() == noise(3, 5_000));
    assert!(capture::repair(&fixed, &dir.path().join("again.dub")).unwrap().is_complete());
}

#[test]
fn repair_never_writes_over_its_input() {
    let dir = TempDir::new().unwrap();
    let (path, _) = sample(&dir, "input.dub", End::Finished);
    let link = dir.path().join("link.dub");
    fs::hard_link(&path, &link).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(capture::repair(&path, &path).is_err());
    assert!(capture::repair(&path, &link).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn repair_reads_a_file_whose_header_is_damaged_anywhere() {
    let dir = TempDir::new().unwrap();
    let (path, _) = sample(&dir, "headless.dub", End::Finished);
    let bytes = fs::read(&path).unwrap();
    let whole = content(&Reader::open(&path).unwrap()).unwrap();
    for at in 8..40 {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        fs::write(&path, bad).unwrap();
        assert!(matches!(Reader::open(&path), Err(CaptureError::Header)), "byte {at}");
        let fixed = dir.path().join("fixed.dub");
        let report = capture::repair(&path, &fixed).unwrap_or_else(|error| panic!("byte {at}: {error}"));
        assert!(report.header_lost);
        assert_eq!(content(&Reader::open(&fixed).unwrap()).unwrap().2, whole.2, "byte {at}");
    }
}

#[test]
fn mutated_captures_never_panic_and_never_change_an_exchange_silently() {
    let dir = TempDir::new().unwrap();
    let (path, _) = sample(&dir, "seed.dub", End::Finished);
    let bytes = fs::read(&path).unwrap();
    let sound = content(&Reader::open(&path).unwrap()).unwrap();
    let bad_path = dir.path().join("mutant.dub");
    let mut dice = noise(42, 6_000 * 8).into_iter();
    let mut roll = |below: usize| {
        let number = usize::from(dice.next().unwrap()) << 8 | usize::from(dice.next().unwrap());
        number % below.max(1)
    };
    for round in 0..1_500 {
        let mut bad = bytes.clone();
        for _ in 0..=roll(3) {
            let (at, len) = (roll(bad.len()), roll(60));
            let end = (at + len).min(bad.len());
            match roll(5) {
                0 => bad[at..end].fill(0xff),
                1 => drop(bad.drain(at..end)),
                2 => bad.splice(at..at, bytes[at.min(bytes.len())..end.min(bytes.len())].to_vec()).for_each(drop),
                3 => bad.truncate(at),
                _ => bad[at] = bad[at].wrapping_add(1),
            }
            if bad.is_empty() {
                break;
            }
            if roll(1_000) == 0 {
                break;
            }
        }
        put(&bad_path, &bad);
        let Ok(reader) = Reader::open(&bad_path) else { continue };
        for exchange in reader.exchanges().flatten() {
            let (original, texts, messages) =
                sound.2.iter().find(|(e, ..)| e.id == exchange.id).expect("none is invented");
            assert_eq!(&exchange, original, "round {round}");
            for message in reader.messages(exchange.id).unwrap_or_default() {
                let (original, text) =
                    messages.iter().find(|(m, _)| m.number == message.number).expect("none is invented");
                assert_eq!(&message, original, "round {round}");
                assert!(
                    reader.load(&message.body, 1 << 20).is_err()
                        || reader.load(&message.body, 1 << 20).unwrap() == *text
                );
            }
            for (body, text) in bodies(&exchange).iter().zip(texts) {
                assert!(reader.load(body, 1 << 20).is_ok_and(|b| b == *text) || reader.load(body, 1 << 20).is_err());
            }
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/capture").join(name)
}

/// What a capture of this minor version can say.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Minor {
    Zero,
    One,
    Two,
}

fn write_golden(path: &Path, compression: Compression, minor: Minor) {
    let mut writer = Writer::create_with(path, &provenance(), compression).unwrap();
    for mut info in sessions() {
        if minor >= Minor::One && info.id == SessionId(1) {
            (info.evidence, info.midway) = ("cookie sid".into(), true);
        }
        writer.session(&info).unwrap();
    }
    let (asked, answered) = (store(&mut writer, b"question"), store(&mut writer, &b"answer ".repeat(30)));
    let mut first = full(1, 1, asked, answered);
    if minor >= Minor::One {
        first.remarks = remarks();
        first.request.version = Version::Http3;
        for number in 1..=7 {
            let payload = store(&mut writer, format!("message {number}").as_bytes());
            writer.message(&message(1, number, payload)).unwrap();
        }
        writer.message(&message(2, 1, Body::default())).unwrap();
    }
    if minor >= Minor::Two {
        first.remarks.push(Remark::Resumed { side: Side::Response, at: 5, when: Nanos(77) });
        let payload = store(&mut writer, b"220 ready\r\n");
        writer.message(&Message { kind: MessageKind::Bytes, ..message(1, 8, payload) }).unwrap();
    }
    writer.exchange(&first).unwrap();
    writer.flush().unwrap();
    let mut second = bare(2, 2);
    if minor >= Minor::One {
        second.request.version = Version::Http09;
        let payload = store(&mut writer, b"late");
        writer.message(&message(2, 2, payload)).unwrap();
    }
    writer.exchange(&second).unwrap();
    writer.finish().unwrap();
}

#[test]
fn the_bytes_of_the_format_do_not_change() {
    let dir = TempDir::new().unwrap();
    for (name, compression) in [("v1.2.dub", Compression::None), ("v1.2-zstd.dub", Compression::Zstd)] {
        let path = dir.path().join(name);
        write_golden(&path, compression, Minor::Two);
        if std::env::var_os("OVERDUB_BLESS").is_some() {
            fs::copy(&path, fixture(name)).unwrap();
        }
        // Another release of zstd may compress otherwise; what is written without it is ours alone.
        if compression == Compression::None {
            assert!(fs::read(&path).unwrap() == fs::read(fixture(name)).unwrap(), "the encoding of a record changed");
        }
        let committed = content(&Reader::open(&fixture(name)).unwrap()).unwrap();
        assert_eq!(committed, content(&Reader::open(&path).unwrap()).unwrap(), "{name}");
        assert_eq!(committed.2.iter().map(|(.., messages)| messages.len()).collect::<Vec<_>>(), [8, 2]);
    }
}

#[test]
fn captures_of_earlier_versions_are_read_by_index_and_by_walking() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("now.dub");
    for (name, minor, messages) in [
        ("v1.0.dub", Minor::Zero, 0),
        ("v1.0-zstd.dub", Minor::Zero, 0),
        ("v1.1.dub", Minor::One, 9),
        ("v1.1-zstd.dub", Minor::One, 9),
    ] {
        write_golden(&path, Compression::None, minor);
        let now = content(&Reader::open(&path).unwrap()).unwrap();
        assert_eq!(fs::read(fixture(name)).unwrap()[8..12], [1, 0, minor as u8, 0]);
        for reader in [Reader::open(&fixture(name)).unwrap(), Reader::open_checked(&fixture(name)).unwrap()] {
            assert!(reader.damage().is_sound() && !reader.damage().unfinished && reader.message_count() == messages);
            assert_eq!(content(&reader).unwrap(), now, "{name}");
        }
        let report = capture::repair(&fixture(name), &dir.path().join("again.dub")).unwrap();
        assert!(report.is_complete());
    }
}

#[test]
fn messages_of_many_exchanges_at_once_are_found_by_exchange() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("chat.dub");
    let mut writer = Writer::create(&path, &provenance()).unwrap();
    for number in 1..=300 {
        for id in 1..=50 {
            let payload = store(&mut writer, format!("{id} says {number}").as_bytes());
            writer.message(&message(id, number, payload)).unwrap();
        }
    }
    (1..=50).for_each(|id| writer.exchange(&bare(id, 1)).unwrap());
    writer.exchange(&bare(51, 1)).unwrap();
    writer.flush().unwrap();
    let unfinished = Reader::open(&path).unwrap();
    assert_eq!(writer.finish().unwrap().messages, 15_000);
    for reader in [unfinished, Reader::open(&path).unwrap(), Reader::open_checked(&path).unwrap()] {
        assert!(reader.damage().is_sound());
        assert_eq!((reader.message_count(), reader.message_count_of(ExchangeId(51))), (15_000, 0));
        assert!(
            reader.messages(ExchangeId(51)).unwrap().is_empty() && reader.messages(ExchangeId(99)).unwrap().is_empty()
        );
        for id in [1, 50] {
            let read = reader.messages(ExchangeId(id)).unwrap();
            assert_eq!(read.iter().map(|m| m.number).collect::<Vec<_>>(), (1..=300).collect::<Vec<_>>());
            let last = &read[299];
            assert_eq!(last, &message(id, 300, last.body.clone()));
            assert_eq!(reader.load(&last.body, 100).unwrap(), format!("{id} says 300").into_bytes());
        }
        let check = reader.check_bodies().unwrap();
        assert_eq!((check.bodies, check.broken.len(), check.unreadable_messages), (15_000, 0, 0));
    }
}

/// Two exchanges with three messages each, a frame of messages for each exchange. Returns the file and where in it the
/// payload and the record of the second message of the second exchange lie.
fn two_chats(dir: &TempDir, end: End) -> (PathBuf, usize, usize) {
    let path = dir.path().join("chats.dub");
    let mut writer = Writer::create_with(&path, &provenance(), Compression::None).unwrap();
    let mut chunk = None;
    for id in 1..=2_u64 {
        for number in 1..=3 {
            let payload = store(&mut writer, &noise(id * 10 + u64::from(number), 50));
            chunk = if number == 2 { payload.chunks.first().copied() } else { chunk };
            writer.message(&message(id, number, payload)).unwrap();
            if number == 2 {
                writer.flush().unwrap();
            }
        }
        writer.exchange(&bare(id, 1)).unwrap();
        writer.flush().unwrap();
    }
    match end {
        End::Finished => drop(writer.finish().unwrap()),
        End::Killed => std::mem::forget(writer),
    }
    let bytes = fs::read(&path).unwrap();
    let payload = bytes.windows(50).position(|w| w == noise(22, 50)).unwrap();
    let named = |w: &[u8]| w == chunk.unwrap().0;
    let record = payload + bytes[payload..].windows(16).position(named).unwrap();
    (path, payload, record)
}

#[test]
fn a_lost_frame_of_messages_is_reported_with_its_exchange_and_costs_nothing_else() {
    let dir = TempDir::new().unwrap();
    for end in [End::Finished, End::Killed] {
        let (path, _, record) = two_chats(&dir, end);
        let mut bytes = fs::read(&path).unwrap();
        bytes[record] ^= 1;
        put(&path, &bytes);
        for reader in [Reader::open(&path).unwrap(), Reader::open_checked(&path).unwrap()] {
            let damage = reader.damage();
            assert_eq!(damage.lost_messages, [(ExchangeId(2), 2)]);
            assert_eq!((damage.bad_frames.len(), damage.bad_frames[0].2.as_str()), (1, "2 messages"));
            assert!(damage.lost_exchanges.is_empty());
            let numbers = |id| reader.messages(ExchangeId(id)).unwrap().iter().map(|m| m.number).collect::<Vec<_>>();
            assert_eq!((numbers(1), numbers(2)), (vec![1, 2, 3], vec![3]));
        }
        let (code, out, _) = overdub(&["verify", path.to_str().unwrap()]);
        assert!(code == 1 && out.contains("2 messages lost, of 1 exchange: 2"), "{out}");
        let fixed = dir.path().join("fixed.dub");
        let report = capture::repair(&path, &fixed).unwrap();
        assert!(!report.is_complete() && report.emptied.is_empty());
        assert_eq!((report.saved.messages, &report.damage.lost_messages), (4, &vec![(ExchangeId(2), 2)]));
        let reader = Reader::open(&fixed).unwrap();
        assert!(reader.damage().is_sound() && reader.messages(ExchangeId(2)).unwrap().len() == 1);
        let remarks = reader.exchange(ExchangeId(2)).unwrap().remarks;
        assert!(matches!(&remarks[..], [Remark::Other(text)] if text.starts_with("2 of its messages")), "{remarks:?}");
    }
}

#[test]
fn repair_carries_messages_and_remarks_over_and_marks_the_exchange_of_a_lost_payload() {
    let dir = TempDir::new().unwrap();
    let (path, payload, _) = two_chats(&dir, End::Finished);
    let sound = content(&Reader::open(&path).unwrap()).unwrap();
    let fixed = dir.path().join("fixed.dub");
    assert!(capture::repair(&path, &fixed).unwrap().is_complete());
    assert_eq!(content(&Reader::open(&fixed).unwrap()).unwrap(), sound);
    let (sample, _) = sample(&dir, "sample.dub", End::Finished);
    capture::repair(&sample, &fixed).unwrap();
    assert_eq!(content(&Reader::open(&fixed).unwrap()), content(&Reader::open(&sample).unwrap()));

    let mut bytes = fs::read(&path).unwrap();
    bytes[payload] ^= 1;
    put(&path, &bytes);
    let reader = Reader::open_checked(&path).unwrap();
    assert_eq!(reader.check_bodies().unwrap().broken, [ExchangeId(2)]);
    let report = capture::repair(&path, &fixed).unwrap();
    assert_eq!((report.saved.messages, report.emptied), (6, vec![ExchangeId(2)]));
    let reader = Reader::open(&fixed).unwrap();
    let messages = reader.messages(ExchangeId(2)).unwrap();
    assert!(messages[1].body.is_empty() && !messages[2].body.is_empty());
    assert!(matches!(reader.exchange(ExchangeId(2)).unwrap().incomplete, Some(Incomplete::NotRecorded(_))));
}

/// Runs the program; returns its exit code, stdout and stderr.
fn overdub(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_overdub")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn verify_tells_sound_unfinished_damaged_and_foreign_files_apart() {
    let dir = TempDir::new().unwrap();
    let (sound, _) = sample(&dir, "sound.dub", End::Finished);
    let (unfinished, _) = sample(&dir, "unfinished.dub", End::Killed);
    let bytes = fs::read(&sound).unwrap();
    let variant = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        put(&path, bytes);
        path
    };
    let torn = variant("torn.dub", &bytes[..bytes.len() - 1]);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 3] ^= 1;
    let flipped = variant("flipped.dub", &flipped);
    let mut headless = bytes.clone();
    headless[18] ^= 1;
    let headless = variant("headless.dub", &headless);
    let foreign = variant("foreign.dub", b"<html>");
    for (path, code, out, err) in [
        (&sound, 0, ": sound", ""),
        (&unfinished, 0, ": sound", "has no index"),
        (&torn, 1, "torn: the last", ""),
        (&flipped, 1, "damaged at offset", ""),
        (&headless, 1, "the header is damaged", ""),
        (&foreign, 2, "", "is not an overdub capture"),
        (&dir.path().join("none.dub"), 2, "", "No such file"),
    ] {
        let (found, stdout, stderr) = overdub(&["verify", path.to_str().unwrap()]);
        assert_eq!(found, code, "{path:?}: {stdout}{stderr}");
        assert!(stdout.contains(out) && stderr.contains(err), "{path:?}: {stdout}{stderr}");
        assert!(code != 0 || !err.is_empty() || stderr.is_empty(), "{path:?}: nothing to remark: {stderr}");
        let (json_code, json, _) = overdub(&["verify", "--json", path.to_str().unwrap()]);
        assert_eq!(json_code, code);
        if code < 2 {
            let found: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(found["sound"], code == 0, "{json}");
        }
    }
}

#[test]
fn inspect_shows_a_torn_capture_and_says_on_stderr_what_is_cut() {
    let dir = TempDir::new().unwrap();
    let (path, _) = sample(&dir, "torn.dub", End::Killed);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"\xfdduf and then the power went");
    put(&path, &bytes);
    let file = path.to_str().unwrap();
    let (code, out, err) = overdub(&["inspect", file, "--json"]);
    assert_eq!(code, 0);
    assert!(err.contains("is torn") && err.contains("overdub repair"), "{err}");
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|l| l["id"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(lines[0]["url"], "https://[::1]:8443/pay?q=\u{e4}\u{fffd}");
    assert_eq!(lines[0]["incomplete"], "client: reset");
    assert!(lines[2]["status"].is_null() && lines[2]["incomplete"].is_null());
    let (_, out, _) = overdub(&["inspect", file, "--json", "--filter", "!incomplete session=1"]);
    assert_eq!(out.lines().count(), 1);
    let (_, out, _) = overdub(&["inspect", file, "--sessions", "--json"]);
    assert_eq!(out.lines().count(), 2);
    let (code, out, _) = overdub(&["inspect", file]);
    assert!(code == 0 && out.contains("proxy 127.0.0.1:8080") && out.contains("cut at the end"), "{out}");
    let (code, _, err) = overdub(&["inspect", file, "--filter", "colour=red"]);
    assert!(code == 2 && err.contains("colour=red") && err.contains("status=4xx"), "{err}");
}

#[test]
fn inspect_shows_messages_remarks_evidence_and_unknown_heads() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("chat.dub");
    let mut writer = Writer::create(&path, &provenance()).unwrap();
    let info = SessionInfo { evidence: "cookie sid".into(), midway: true, ..sessions().remove(0) };
    writer.session(&info).unwrap();
    for (number, payload) in (1..).zip([b"hi\x1b there".as_slice(), b"\x00\xff", b"\x03\xe8bye"]) {
        let payload = store(&mut writer, payload);
        writer.message(&message(1, number, payload)).unwrap();
    }
    let mut unknown = Exchange { remarks: remarks(), ..bare(1, 1) };
    unknown.request.method.clear();
    unknown.request.target.clear();
    writer.exchange(&unknown).unwrap();
    writer.exchange(&bare(2, 1)).unwrap();
    writer.finish().unwrap();
    let file = path.to_str().unwrap();

    let (code, out, err) = overdub(&["inspect", file, "--exchange", "1"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for part in [
        "http://shop.test:8000 ?\n",
        "? ? HTTP/1.1\n",
        "remark: request field 1 (:path) is not known\n",
        "-- messages, in ms",
        "     1 -> text          0.000      9 B  hi\\x1b there\n",
        "     2 <- binary        0.000       2 B  00 ff  [2 frames]  [still compressed]\n",
        "     3 -> close         0.000       5 B  1000 bye  [3 frames]\n",
    ] {
        assert!(out.contains(&part.replace("      9 B", "       9 B")), "{part} in {out}");
    }
    let json = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let (code, out, err) = overdub(&[&["inspect", file, "--json"], arguments].concat());
        assert_eq!(code, 0, "{err}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let lines = json(&[]);
    assert_eq!(lines[0]["messages"], serde_json::json!({"count": 3, "frames": 6}));
    assert_eq!(
        (lines[0]["remarks"].as_array().unwrap().len(), &lines[0]["unknown_fields"][0]["name"]),
        (6, &":path".into())
    );
    assert!(lines[1].get("messages").is_none() && lines[1].get("remarks").is_none());
    let whole = &json(&["--exchange", "1"])[0];
    let messages = whole["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!((&messages[0]["text"], &messages[1]["base64"]), (&"hi\u{1b} there".into(), &"AP8=".into()));
    assert_eq!((&messages[1]["from"], &messages[1]["kind"]), (&"server".into(), &"binary".into()));
    let session = &json(&["--sessions"])[0];
    assert_eq!((&session["evidence"], &session["midway"]), (&"cookie sid".into(), &true.into()));
    let (_, out, _) = overdub(&["inspect", file]);
    assert!(out.contains("messages   3\n") && out.contains("cookie sid, begins midway"), "{out}");
    let (_, out, _) = overdub(&["verify", file]);
    assert!(out.contains("2 exchanges, 3 messages"), "{out}");
}

#[test]
fn inspect_never_sends_captured_control_characters_to_the_terminal() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("evil.dub");
    let evil = "\x1b]0;owned\x07\u{9b}2J\u{202e}\r";
    let mut writer =
        Writer::create(&path, &Provenance { source: evil.into(), program: evil.into(), ..provenance() }).unwrap();
    let body = store(&mut writer, evil.as_bytes());
    let mut exchange = full(1, 1, body.clone(), body);
    exchange.transaction = Some(evil.into());
    exchange.request.origin.host = evil.into();
    exchange.request.method = evil.into();
    exchange.request.target = evil.into();
    exchange.request.headers = headers(&[(evil, evil.as_bytes()), ("content-type", evil.as_bytes())]);
    exchange.response.as_mut().unwrap().headers = headers(&[("content-encoding", evil.as_bytes())]);
    exchange.transport.alpn = Some(evil.into());
    exchange.incomplete = Some(Incomplete::Client(evil.into()));
    exchange.remarks = vec![Remark::Other(evil.into())];
    let text = store(&mut writer, evil.as_bytes());
    writer.message(&message(1, 1, text)).unwrap();
    writer
        .session(&SessionInfo {
            id: SessionId(1),
            client: evil.into(),
            user_agent: Some(evil.into()),
            evidence: evil.into(),
            ..SessionInfo::default()
        })
        .unwrap();
    writer.exchange(&exchange).unwrap();
    writer.finish().unwrap();
    let file = path.to_str().unwrap();
    for arguments in [&["--sessions"][..], &["--exchange", "1"], &["--filter", "session=1"], &[]] {
        let (code, out, err) = overdub(&[&["inspect", file], arguments].concat());
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("owned"), "{out}");
        let raw: String = (out + &err).chars().filter(|c| c.is_control() && *c != '\n' || *c == '\u{202e}').collect();
        assert_eq!(raw, "", "{arguments:?}");
    }
    let (code, out, _) = overdub(&["inspect", file, "--exchange", "1", "--json"]);
    let whole: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, whole["request"]["body"]["text"].as_str()), (0, Some(evil)));
    assert_eq!(whole["request"]["headers"][0][1], evil);
}

#[test]
fn repair_refuses_its_input_as_output_and_says_what_it_saved() {
    let dir = TempDir::new().unwrap();
    let (path, _) = sample(&dir, "torn.dub", End::Killed);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"torn");
    put(&path, &bytes);
    let fixed = dir.path().join("fixed.dub");
    let (from, to) = (path.to_str().unwrap(), fixed.to_str().unwrap());
    let (code, _, err) = overdub(&["repair", from, "-o", from]);
    assert!(code == 2 && err.contains("same file"), "{err}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let (code, out, err) = overdub(&["repair", from, "-o", to]);
    assert!(code == 0 && out.contains("4 exchanges") && out.contains("4 B"), "{out}{err}");
    assert_eq!(overdub(&["verify", to]).0, 0);
}
