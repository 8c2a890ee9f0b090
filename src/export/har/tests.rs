//! Captures out, and what validators and an import make of them.

use std::net::SocketAddr;
use std::path::Path;

use super::*;
use crate::capture::{BodyWriter, Provenance, Writer};
use crate::model::{
    Body, Headers, Incomplete, Message, MessageKind, Origin, Remark, Request, Response, Scheme, SessionInfo, Side,
    Span, Timing, Transport, Version,
};

const ANCHOR: u64 = 1_795_457_846_500_000_123;

fn stored(writer: &mut Writer, bytes: &[u8]) -> Body {
    let mut body = BodyWriter::default();
    body.push(writer, bytes).unwrap();
    body.finish(writer).unwrap()
}

fn headers(fields: &[(&str, &[u8])]) -> Headers {
    let mut headers = Headers::default();
    fields.iter().for_each(|(name, value)| headers.push(*name, *value));
    headers
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn exchange(id: u64, started: u64) -> Exchange {
    let at = |micros: u64| Nanos((started + micros) * 1000);
    Exchange {
        id: ExchangeId(id),
        session: SessionId(1),
        transaction: None,
        request: Request {
            origin: Origin::new(Scheme::Https, "shop.test", 8443),
            method: "GET".to_owned(),
            target: format!("/{id}?a=b+c").into_bytes(),
            version: Version::Http11,
            headers: headers(&[("Host", b"shop.test:8443"), ("Cookie", b"sid=1; x=2")]),
            body: Body::default(),
            trailers: Headers::default(),
        },
        interim: Vec::new(),
        response: Some(Response {
            version: Version::Http11,
            status: 200,
            reason: b"OK".to_vec(),
            headers: headers(&[("Content-Type", b"text/html"), ("Set-Cookie", b"sid=1; Path=/; HttpOnly")]),
            body: Body::default(),
            trailers: Headers::default(),
        }),
        timing: Timing {
            started: Nanos(started * 1000 + 7),
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
            upstream_connection: Some(1),
            stream: None,
            tls: Some("TLSv1.3".to_owned()),
            alpn: None,
            sni: Some("shop.test".to_owned()),
        },
        incomplete: None,
        remarks: Vec::new(),
    }
}

/// A capture with one of everything, in the order of its numbers, which is not the order of its times.
fn make(path: &Path) -> Vec<Exchange> {
    let provenance = Provenance { anchor_unix_ns: ANCHOR, source: "test".into(), program: "1".into() };
    let mut writer = Writer::create(path, &provenance).unwrap();
    writer.session(&SessionInfo { id: SessionId(1), client: "10.0.0.7".into(), ..SessionInfo::default() }).unwrap();
    let mut all = Vec::new();

    let mut page = exchange(1, 0);
    page.transaction = Some("Log in".to_owned());
    let response = page.response.as_mut().unwrap();
    response.headers.push("Content-Encoding", "gzip");
    response.body = stored(&mut writer, &gzip("<p>gr\u{fc}n \"&\u{1f600}</p>\n".as_bytes()));
    response.trailers = headers(&[("Checksum", b"1")]);
    page.interim = vec![Response {
        status: 103,
        reason: b"Early Hints".to_vec(),
        headers: headers(&[("Link", b"<x>")]),
        ..response.clone()
    }];
    page.interim[0].body = Body::default();
    page.interim[0].trailers = Headers::default();
    all.push(page);

    let mut form = exchange(2, 5000);
    form.transaction = Some("Log in".to_owned());
    form.request.method = "POST".to_owned();
    form.request.headers = headers(&[("Content-Type", b"application/x-www-form-urlencoded"), ("X", b"\xff\xfe")]);
    form.request.body = stored(&mut writer, b"a=1&b=%C3%A4+c");
    form.request.target = b"/p\xc3\xa4th#x".to_vec();
    form.response.as_mut().unwrap().status = 302;
    form.response.as_mut().unwrap().headers.push("Location", "/next");
    all.push(form);

    let mut upload = exchange(3, 3000);
    upload.request.method = "PUT".to_owned();
    upload.request.body = stored(&mut writer, b"\x00\xff\r\n");
    upload.request.version = Version::Http2;
    upload.transport.stream = Some(5);
    upload.transport.alpn = Some("h2".to_owned());
    upload.request.headers = headers(&[("content-type", b"image/png")]);
    let response = upload.response.as_mut().unwrap();
    response.version = Version::Http2;
    response.headers = headers(&[("content-type", b"text/plain; charset=iso-8859-1")]);
    response.body = stored(&mut writer, b"gr\xfcn");
    all.push(upload);

    let mut failed = exchange(4, 9000);
    failed.response = None;
    failed.incomplete = Some(Incomplete::Connect("connection refused".into()));
    failed.timing = Timing { started: failed.timing.started, finished: failed.timing.finished, ..Timing::default() };
    all.push(failed);

    let mut absent = exchange(5, 9500);
    absent.remarks = vec![Remark::BodyAbsent { side: Side::Response, bytes: 77 }];
    all.push(absent);

    let mut damaged = exchange(6, 9600);
    let response = damaged.response.as_mut().unwrap();
    response.headers.push("Content-Encoding", "gzip");
    response.body = stored(&mut writer, b"\x1f\x8bno gzip");
    all.push(damaged);

    let mut socket = exchange(7, 9700);
    let response = socket.response.as_mut().unwrap();
    response.status = 101;
    response.headers = headers(&[("Upgrade", b"websocket")]);
    let payloads: [(MessageKind, Side, &[u8]); 3] = [
        (MessageKind::Text, Side::Request, b"{\"hi\":1}"),
        (MessageKind::Binary, Side::Response, b"\x00\xff"),
        (MessageKind::Close, Side::Request, b"\x03\xe8bye"),
    ];
    for (number, (kind, from, payload)) in (1..).zip(payloads) {
        let body = stored(&mut writer, payload);
        let ended = Nanos((9700 + 1000 * u64::from(number)) * 1000);
        let started = Nanos(ended.0 - 2000);
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
    socket.timing.finished = Nanos((9700 + 3000) * 1000);
    all.push(socket);

    all.iter().for_each(|exchange| writer.exchange(exchange).unwrap());
    writer.finish().unwrap();
    all
}

fn exported(options: &Options) -> (Value, Summary, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.dub");
    make(&path);
    let mut out = Vec::new();
    let summary = write(&Reader::open(&path).unwrap(), &mut out, options).unwrap();
    (serde_json::from_slice(&out).unwrap(), summary, out)
}

#[test]
fn an_export_says_what_was_recorded() {
    let (har, summary, _) = exported(&Options::default());
    let log = &har["log"];
    assert_eq!(log["version"], "1.2");
    assert_eq!(summary, Summary { entries: 7, pages: 1, messages: 3, ..Summary::default() });
    assert_eq!(log["pages"][0]["title"], "Log in");
    assert_eq!(log["pages"][0]["startedDateTime"], "2026-11-23T18:17:26.500Z");
    let entries = log["entries"].as_array().unwrap();
    let urls: Vec<_> = entries.iter().map(|entry| entry["request"]["url"].as_str().unwrap()).collect();
    assert_eq!(
        urls[..3],
        ["https://shop.test:8443/1?a=b+c", "https://shop.test:8443/3?a=b+c", "https://shop.test:8443/p%C3%A4th%23x"]
    );
    assert_eq!(urls[6], "wss://shop.test:8443/7?a=b+c");
    let page = &entries[0];
    assert_eq!(page["pageref"], "page_1");
    assert_eq!(page["request"]["queryString"], json!([{"name": "a", "value": "b c"}]));
    assert_eq!(page["response"]["content"]["text"], "<p>gr\u{fc}n \"&\u{1f600}</p>\n");
    assert_eq!(page["response"]["cookies"], json!([{"name": "sid", "value": "1", "path": "/", "httpOnly": true}]));
    let content = &entries[1]["response"]["content"];
    assert_eq!((&content["encoding"], &content["text"]), (&json!("base64"), &json!("Z3L8bg==")), "not in UTF-8");
    assert_eq!(entries[1]["request"]["postData"]["_encoding"], "base64");
    assert_eq!(entries[2]["request"]["postData"]["params"][1], json!({"name": "b", "value": "\u{e4} c"}));
    assert_eq!(entries[2]["response"]["redirectURL"], "/next");
    assert_eq!(entries[3]["response"]["status"], 0);
    assert_eq!(entries[3]["response"]["_error"], "connect: connection refused");
    assert_eq!(entries[4]["response"]["content"]["size"], 77);
    assert!(entries[4]["response"]["content"]["text"].is_null());
    assert_eq!(entries[5]["response"]["content"]["encoding"], "base64");
    let messages = entries[6]["_webSocketMessages"].as_array().unwrap();
    assert_eq!((&messages[0]["type"], &messages[0]["data"]), (&json!("send"), &json!("{\"hi\":1}")));
    assert_eq!((&messages[1]["opcode"], &messages[1]["data"]), (&json!(2), &json!("AP8=")));
}

#[test]
fn every_entry_has_the_fields_that_readers_insist_on() {
    let (har, ..) = exported(&Options::default());
    for entry in har["log"]["entries"].as_array().unwrap() {
        let (request, response) = (&entry["request"], &entry["response"]);
        for text in [
            &entry["startedDateTime"],
            &request["method"],
            &request["url"],
            &request["httpVersion"],
            &response["statusText"],
            &response["httpVersion"],
            &response["redirectURL"],
            &response["content"]["mimeType"],
        ] {
            assert!(text.is_string(), "{entry}");
        }
        for number in [
            &request["headersSize"],
            &request["bodySize"],
            &response["status"],
            &response["headersSize"],
            &response["bodySize"],
            &response["content"]["size"],
        ] {
            assert!(number.is_i64(), "{entry}");
        }
        for list in [
            &request["headers"],
            &request["cookies"],
            &request["queryString"],
            &response["headers"],
            &response["cookies"],
        ] {
            assert!(list.is_array(), "{entry}");
        }
        assert!(entry["cache"].is_object() && entry["connection"].is_string());
        assert!(request["postData"].is_null() || request["postData"]["text"].is_string());
        assert!(response["_error"].is_null() || response["_error"].is_string());
        let timings = &entry["timings"];
        let phases =
            ["blocked", "dns", "connect", "send", "wait", "receive"].map(|name| timings[name].as_f64().unwrap());
        let sum: f64 = phases.into_iter().filter(|phase| *phase > 0.0).sum();
        assert!((sum - entry["time"].as_f64().unwrap()).abs() < 1e-6, "{entry}");
        assert!(timings["ssl"].as_f64() <= timings["connect"].as_f64());
    }
}

#[test]
fn long_bodies_are_left_out_and_said_to_be() {
    let (har, summary, _) = exported(&Options { body_limit: 3 });
    assert_eq!(summary.bodies_left_out, 7);
    let content = &har["log"]["entries"][0]["response"]["content"];
    assert!(content["text"].is_null() && content["comment"].as_str().unwrap().contains("over the limit"));
    assert_eq!(har["log"]["entries"][2]["request"]["postData"]["text"], "");
}

#[test]
fn equal_captures_give_equal_files() {
    assert_eq!(exported(&Options::default()).2, exported(&Options::default()).2);
}
