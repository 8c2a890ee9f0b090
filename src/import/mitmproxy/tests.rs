//! Flow files as bytes in, exchanges out.

use std::io::Cursor;

use super::{FlowError, Summary, import, survey};
use crate::capture::Reader;
use crate::model::{
    BodySource, Exchange, ExchangeId, Incomplete, Message, MessageKind, Nanos, Remark, Side, Span, Version,
};
use crate::observe::Recorder;
use crate::wire::identity::Sessions;

/// A value to write.
#[derive(Clone)]
enum Put {
    Bytes(&'static [u8]),
    Text(&'static str),
    Number(u64),
    Seconds(&'static str),
    Bool(bool),
    Null,
    List(Vec<Put>),
    Map(Vec<(&'static str, Put)>),
}

use Put::{Bool, Bytes, List, Map, Null, Number, Seconds, Text};

impl Put {
    fn written(&self) -> Vec<u8> {
        let (inside, tag) = match self {
            Bytes(bytes) => (bytes.to_vec(), b','),
            Text(text) => (text.as_bytes().to_vec(), b';'),
            Number(number) => (number.to_string().into_bytes(), b'#'),
            Seconds(text) => (text.as_bytes().to_vec(), b'^'),
            Bool(yes) => (yes.to_string().into_bytes(), b'!'),
            Null => (Vec::new(), b'~'),
            List(items) => (items.iter().flat_map(Put::written).collect(), b']'),
            Map(pairs) => {
                let pair = |(key, value): &(&'static str, Put)| [Text(key).written(), value.written()].concat();
                (pairs.iter().flat_map(pair).collect(), b'}')
            }
        };
        [inside.len().to_string().as_bytes(), b":", &inside, &[tag]].concat()
    }

    /// With other values for some keys; a key that is not there is added.
    fn with(mut self, changes: &[(&'static str, Put)]) -> Self {
        let Map(pairs) = &mut self else { return self };
        for (key, value) in changes {
            match pairs.iter_mut().find(|(known, _)| known == key) {
                Some(pair) => pair.1 = value.clone(),
                None => pairs.push((key, value.clone())),
            }
        }
        self
    }

    fn at(&self, key: &str) -> Put {
        let Map(pairs) = self else { panic!("a dictionary") };
        pairs.iter().find(|(known, _)| *known == key).unwrap().1.clone()
    }
}

fn fields(list: &[(&'static str, &'static str)]) -> Put {
    let bytes = |text: &'static str| Bytes(text.as_bytes());
    List(list.iter().map(|(name, value)| List(vec![bytes(name), bytes(value)])).collect())
}

fn address(host: &'static str, port: u64) -> Put {
    List(vec![Text(host), Number(port)])
}

/// An HTTP flow as version 21 writes it, whose request began at 1000.5 s.
fn flow() -> Put {
    let client = Map(vec![
        ("peername", address("192.168.0.7", 5_000)),
        ("id", Text("client-1")),
        ("sni", Text("shop.test")),
        ("timestamp_start", Seconds("1000.0")),
    ]);
    let server = Map(vec![
        ("address", address("shop.test", 443)),
        ("peername", address("10.0.0.2", 443)),
        ("id", Text("server-1")),
        ("alpn", Bytes(b"h2")),
        ("sni", Text("shop.test")),
        ("tls_version", Text("TLSv1.3")),
        ("timestamp_start", Seconds("1000.1")),
        ("timestamp_tcp_setup", Seconds("1000.2")),
        ("timestamp_tls_setup", Seconds("1000.4")),
    ]);
    let request = Map(vec![
        ("method", Bytes(b"POST")),
        ("scheme", Bytes(b"https")),
        ("host", Text("shop.test")),
        ("port", Number(443)),
        ("authority", Bytes(b"shop.test")),
        ("path", Bytes(b"/pay?x=1")),
        ("http_version", Bytes(b"HTTP/2.0")),
        ("headers", fields(&[("content-length", "3"), ("COOKIE", "s=1")])),
        ("content", Bytes(b"a=b")),
        ("trailers", Null),
        ("timestamp_start", Seconds("1000.5")),
        ("timestamp_end", Seconds("1000.501")),
    ]);
    let response = Map(vec![
        ("status_code", Number(201)),
        ("reason", Bytes(b"Created")),
        ("http_version", Bytes(b"HTTP/2.0")),
        ("headers", fields(&[("Set-Cookie", "a=1"), ("set-cookie", "b=2")])),
        ("content", Bytes(b"\x1f\x8braw")),
        ("trailers", fields(&[("checksum", "x")])),
        ("timestamp_start", Seconds("1000.700000001")),
        ("timestamp_end", Seconds("1000.8")),
    ]);
    Map(vec![
        ("websocket", Null),
        ("request", request),
        ("response", response),
        ("server_conn", server),
        ("client_conn", client),
        ("error", Null),
        ("id", Text("flow-1")),
        ("type", Text("http")),
        ("version", Number(21)),
        ("metadata", Map(vec![])),
        ("is_replay", Null),
    ])
}

/// The flow with its request changed.
fn asking(changes: &[(&'static str, Put)]) -> Put {
    flow().with(&[("request", flow().at("request").with(changes))])
}

fn file(flows: &[Put]) -> Vec<u8> {
    flows.iter().flat_map(Put::written).collect()
}

fn try_import(bytes: &[u8]) -> Result<(Summary, Reader), FlowError> {
    let survey = survey(Cursor::new(bytes))?;
    let path = tempfile::NamedTempFile::new().unwrap();
    let mut recorder = Recorder::create(path.path(), "test", survey.anchor, Sessions::default()).unwrap();
    let summary = import(Cursor::new(bytes), &survey, &mut recorder)?;
    recorder.close().unwrap();
    Ok((summary, Reader::open(path.path()).unwrap()))
}

fn imported(flows: &[Put]) -> (Summary, Reader) {
    try_import(&file(flows)).unwrap()
}

fn only(flow: Put) -> Exchange {
    imported(&[flow]).1.exchange(ExchangeId(1)).unwrap()
}

fn pairs(headers: &crate::model::Headers) -> Vec<(&str, &str)> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    headers.0.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// Microseconds after 1000 s, in a capture that is anchored at 1000.1 s.
fn at(micros: u64) -> Nanos {
    Nanos((micros - 100_000) * 1_000)
}

#[test]
fn everything_that_a_flow_says_is_in_the_exchange() {
    let (summary, reader) = imported(&[flow()]);
    assert_eq!((summary.flows, summary.exchanges, summary.unanswered, summary.unreadable.count), (1, 1, 0, 0));
    assert_eq!(reader.provenance().anchor_unix_ns, 1_000_100_000_000);
    let exchange = reader.exchange(ExchangeId(1)).unwrap();
    let (request, response) = (&exchange.request, exchange.response.as_ref().unwrap());
    assert_eq!((request.method.as_str(), request.url().as_str()), ("POST", "https://shop.test/pay?x=1"));
    assert_eq!((request.version, response.version), (Version::Http2, Version::Http2));
    assert_eq!(pairs(&request.headers), [("content-length", "3"), ("COOKIE", "s=1")]);
    assert_eq!((response.status, response.reason.as_slice()), (201, &b"Created"[..]));
    assert_eq!(pairs(&response.headers), [("Set-Cookie", "a=1"), ("set-cookie", "b=2")]);
    assert_eq!(pairs(&response.trailers), [("checksum", "x")]);
    assert_eq!(reader.load(&request.body, 99).unwrap(), b"a=b");
    assert_eq!(reader.load(&response.body, 99).unwrap(), b"\x1f\x8braw", "the content coding stays");
    let timing = &exchange.timing;
    assert_eq!((timing.started, timing.request_done), (at(500_000), Some(at(501_000))));
    assert_eq!(timing.connect, Some(Span { start: at(100_000), end: at(200_000) }));
    assert_eq!(timing.tls, Some(Span { start: at(200_000), end: at(400_000) }));
    assert_eq!((timing.upstream_sent, timing.upstream_done), (Some(at(501_000)), Some(at(800_000))));
    assert_eq!(timing.upstream_first, Some(Nanos(600_000_001)), "every digit counts");
    assert_eq!((timing.client_first, timing.finished), (None, at(800_000)));
    let transport = &exchange.transport;
    assert_eq!((transport.client.to_string().as_str(), transport.client_connection), ("192.168.0.7:5000", 1));
    assert_eq!((transport.upstream_connection, transport.tls.as_deref()), (Some(1), Some("TLSv1.3")));
    assert_eq!((transport.alpn.as_deref(), transport.sni.as_deref()), (Some("h2"), Some("shop.test")));
    assert!(exchange.incomplete.is_none() && exchange.remarks.is_empty());
}

#[test]
fn flows_are_numbered_by_their_start_and_share_connections() {
    let later = asking(&[("path", Bytes(b"/later")), ("timestamp_start", Seconds("1002.0"))]);
    let other = asking(&[("path", Bytes(b"/other")), ("timestamp_start", Seconds("1001.0"))])
        .with(&[("client_conn", flow().at("client_conn").with(&[("id", Text("client-2"))]))]);
    let (summary, reader) = imported(&[later, other, flow()]);
    let read: Vec<Exchange> = reader.exchanges().map(Result::unwrap).collect();
    let targets: Vec<&[u8]> = read.iter().map(|e| e.request.target.as_slice()).collect();
    assert_eq!(targets, [&b"/pay?x=1"[..], b"/other", b"/later"]);
    let connections = |e: &Exchange| (e.transport.client_connection, e.transport.upstream_connection);
    assert_eq!(read.iter().map(connections).collect::<Vec<_>>(), [(1, Some(1)), (2, Some(1)), (1, Some(1))]);
    assert_eq!(read.iter().filter(|e| e.timing.connect.is_some()).count(), 1, "only the first opened it");
    assert_eq!(summary.connections, 2);
}

#[test]
fn the_connections_of_a_further_file_get_further_numbers() {
    let bytes = file(&[flow()]);
    let mut survey = survey(Cursor::new(&bytes)).unwrap();
    survey.connections_before = 40;
    let path = tempfile::NamedTempFile::new().unwrap();
    let mut recorder = Recorder::create(path.path(), "test", survey.anchor, Sessions::default()).unwrap();
    assert_eq!(import(Cursor::new(&bytes), &survey, &mut recorder).unwrap().connections, 41);
}

#[test]
fn the_origin_is_where_the_request_went_by_name_where_there_is_one() {
    let host = |host| ("host", Text(host));
    for (changes, url) in [
        (vec![], "https://shop.test/pay?x=1"),
        (vec![host("93.184.216.34")], "https://shop.test/pay?x=1"),
        (vec![host("93.184.216.34"), ("port", Number(8443))], "https://shop.test:8443/pay?x=1"),
        (vec![host("upstream.test")], "https://upstream.test/pay?x=1"),
        (vec![host("93.184.216.34"), ("authority", Bytes(b""))], "https://93.184.216.34/pay?x=1"),
        (vec![host("::1"), ("authority", Bytes(b"[::1]"))], "https://[::1]/pay?x=1"),
        (vec![host(""), ("port", Null)], "https://shop.test/pay?x=1"),
        (vec![host(""), ("authority", Bytes(b""))], "https://shop.test/pay?x=1"),
        (vec![("scheme", Bytes(b"http")), ("port", Number(80))], "http://shop.test/pay?x=1"),
        (vec![("path", Bytes(b"http://abs.test:81/a?b"))], "http://abs.test:81/a?b"),
        (vec![("path", Bytes(b"https://u:p@abs.test?b"))], "https://abs.test/?b"),
        (vec![("path", Bytes(b""))], "https://shop.test/"),
    ] {
        assert_eq!(only(asking(&changes)).request.url(), url);
    }
    let fields = fields(&[("Proxy-Connection", "x"), ("proxy-authorization", "y"), ("Host", "by.field.test")]);
    let proxied = [("scheme", Bytes(b"http")), ("headers", fields), ("authority", Bytes(b"")), host("10.0.0.1")];
    let exchange = only(asking(&proxied));
    assert_eq!(exchange.request.origin.to_string(), "http://by.field.test:443");
    assert_eq!(
        pairs(&exchange.request.headers),
        [("Host", "by.field.test")],
        "what is for the proxy alone is not kept"
    );
}

#[test]
fn failures_are_told_apart_by_who_failed() {
    let error = |words| ("error", Map(vec![("msg", Text(words)), ("timestamp", Seconds("1003.0"))]));
    let unconnected = flow().at("server_conn").with(&[("timestamp_tcp_setup", Null), ("timestamp_tls_setup", Null)]);
    let (no_response, no_server) = (("response", Null), ("server_conn", unconnected));
    for (changes, expected) in [
        (
            vec![error("connection timed out"), no_response.clone(), no_server],
            Incomplete::Connect("connection timed out".into()),
        ),
        (
            vec![error("server closed connection"), no_response.clone()],
            Incomplete::Upstream("server closed connection".into()),
        ),
        (vec![error("Client disconnected."), no_response.clone()], Incomplete::Client("Client disconnected.".into())),
        (vec![error("stream reset by client (CANCEL)")], Incomplete::Client("stream reset by client (CANCEL)".into())),
        (vec![no_response], Incomplete::NotRecorded("the source holds no response".into())),
        (
            vec![("response", flow().at("response").with(&[("status_code", Number(7))]))],
            Incomplete::NotRecorded("the source holds no response with a status".into()),
        ),
        (
            vec![("response", flow().at("response").with(&[("timestamp_end", Null)]))],
            Incomplete::NotRecorded("the source ends inside the response".into()),
        ),
        (
            vec![("response", flow().at("response").with(&[("timestamp_start", Null)]))],
            Incomplete::NotRecorded("the source does not say when the response came".into()),
        ),
        (
            vec![("response", flow().at("response").with(&[("status_code", Number(101))]))],
            Incomplete::Upgraded("another protocol".into()),
        ),
    ] {
        assert_eq!(only(flow().with(&changes)).incomplete, Some(expected));
    }
    let failed = only(flow().with(&[error("server closed connection"), ("response", Null)]));
    assert_eq!(failed.timing.finished, at(3_000_000));
}

#[test]
fn a_body_that_was_passed_through_is_absent_and_an_empty_one_is_not() {
    let absent = |exchange: &Exchange| {
        let side = |remark: &Remark| match remark {
            Remark::BodyAbsent { side, bytes } => Some((*side, *bytes)),
            _ => None,
        };
        exchange.remarks.iter().filter_map(side).collect::<Vec<_>>()
    };
    let response = |changes: &[(&'static str, Put)]| flow().with(&[("response", flow().at("response").with(changes))]);
    for (flow, expected) in [
        (asking(&[("content", Null)]), vec![(Side::Request, 3)]),
        (asking(&[("content", Null), ("headers", fields(&[]))]), vec![]),
        (
            asking(&[("content", Null), ("headers", fields(&[("transfer-encoding", "chunked")]))]),
            vec![(Side::Request, 0)],
        ),
        (response(&[("content", Null)]), vec![(Side::Response, 0)]),
        (response(&[("content", Null), ("headers", fields(&[("Content-Length", "7")]))]), vec![(Side::Response, 7)]),
        (response(&[("content", Null), ("headers", fields(&[("Content-Length", "0")]))]), vec![]),
        (response(&[("content", Null), ("status_code", Number(204))]), vec![]),
        (response(&[("content", Bytes(b""))]), vec![]),
    ] {
        assert_eq!(absent(&only(flow)), expected);
    }
}

fn message(opcode: u64, from_client: bool, content: Put, at: Put) -> Vec<Put> {
    vec![Number(opcode), Bool(from_client), content, at]
}

fn shape(messages: &[Message]) -> Vec<(Side, MessageKind, u64)> {
    messages.iter().map(|m| (m.from, m.kind, m.started.0 / 1_000_000)).collect()
}

#[test]
fn websocket_messages_follow_their_handshake() {
    let told = |dropped, mut parts: Vec<Put>| {
        parts.extend([Bool(dropped), Bool(false)]);
        List(parts)
    };
    let socket = Map(vec![
        (
            "messages",
            List(vec![
                told(false, message(1, true, Bytes(b"hi"), Seconds("1002.0"))),
                told(true, message(2, false, Bytes(b"\x00\xff"), Seconds("1003.5"))),
            ]),
        ),
        ("closed_by_client", Bool(false)),
        ("close_code", Number(1001)),
        ("close_reason", Text("bye")),
        ("timestamp_end", Seconds("1004.0")),
    ]);
    let response = flow().at("response").with(&[("status_code", Number(101))]);
    let (summary, reader) = imported(&[flow().with(&[("websocket", socket), ("response", response)])]);
    assert_eq!(summary.messages, 3);
    let exchange = reader.exchange(ExchangeId(1)).unwrap();
    assert!(exchange.incomplete.is_none());
    assert_eq!(exchange.timing.finished, at(4_000_000));
    assert_eq!(exchange.remarks, [Remark::Other("1 of the messages were kept from the other side".into())]);
    let messages = reader.messages(ExchangeId(1)).unwrap();
    assert_eq!(
        shape(&messages),
        [
            (Side::Request, MessageKind::Text, 1_900),
            (Side::Response, MessageKind::Binary, 3_400),
            (Side::Response, MessageKind::Close, 3_900),
        ]
    );
    assert_eq!(reader.load(&messages[1].body, 9).unwrap(), b"\x00\xff");
    assert_eq!(reader.load(&messages[2].body, 9).unwrap(), b"\x03\xe9bye");
}

#[test]
fn how_a_websocket_ended_is_told() {
    for (by, code, incomplete, payload) in [
        (Bool(true), Number(1005), None, Some(&b""[..])),
        (Bool(true), Number(1000), None, Some(&b"\x03\xe8"[..])),
        (
            Bool(false),
            Number(1006),
            Some(Incomplete::Upstream("the WebSocket ended without a close frame".into())),
            None,
        ),
        (Null, Null, Some(Incomplete::NotRecorded("the source was written while the WebSocket was open".into())), None),
    ] {
        let socket = Map(vec![("messages", List(vec![])), ("closed_by_client", by), ("close_code", code)]);
        let response = flow().at("response").with(&[("status_code", Number(101))]);
        let (_, reader) = imported(&[flow().with(&[("websocket", socket), ("response", response)])]);
        assert_eq!(reader.exchange(ExchangeId(1)).unwrap().incomplete, incomplete);
        let messages = reader.messages(ExchangeId(1)).unwrap();
        let close = messages.first().map(|message| reader.load(&message.body, 99).unwrap());
        assert_eq!(close.as_deref(), payload);
    }
}

#[test]
fn a_websocket_flow_of_version_7_is_joined_with_its_handshake() {
    let response = flow().at("response").with(&[("status_code", Number(101))]);
    let handshake = flow().with(&[
        ("version", Number(7)),
        ("metadata", Map(vec![("websocket", Bool(true))])),
        ("response", response),
    ]);
    let socket = Map(vec![
        (
            "messages",
            List(vec![
                List(message(1, true, Text("old"), Number(1_002))),
                List(message(1, false, Text("echo"), Number(1_003))),
            ]),
        ),
        ("close_sender", Text("client")),
        ("close_code", Number(1000)),
        ("close_reason", Text("")),
        ("server_conn", Map(vec![("timestamp_end", Seconds("1005.0"))])),
        ("metadata", Map(vec![("websocket_handshake", Text("flow-1"))])),
        ("type", Text("websocket")),
        ("version", Number(7)),
    ]);
    let orphan = socket.clone().with(&[("metadata", Map(vec![("websocket_handshake", Text("gone"))]))]);
    for flows in [[handshake.clone(), socket.clone(), orphan.clone()], [orphan, socket, handshake]] {
        let (summary, reader) = imported(&flows);
        assert_eq!((summary.exchanges, summary.messages, summary.elsewhere["websocket"]), (1, 3, 1));
        let messages = reader.messages(ExchangeId(1)).unwrap();
        assert_eq!(
            shape(&messages),
            [
                (Side::Request, MessageKind::Text, 1_900),
                (Side::Response, MessageKind::Text, 2_900),
                (Side::Request, MessageKind::Close, 4_900),
            ]
        );
    }
}

#[test]
fn flows_of_the_oldest_versions_are_read() {
    let old_address = |host, port| Map(vec![("address", address(host, port)), ("use_ipv6", Bool(false))]);
    let server = Map(vec![
        ("address", old_address("shop.test", 443)),
        ("source_address", old_address("10.0.0.9", 4_000)),
        ("state", List(vec![])),
        ("timestamp_start", Seconds("1000.1")),
        ("timestamp_tcp_setup", Seconds("1000.2")),
        ("timestamp_ssl_setup", Seconds("1000.3")),
        ("ssl_established", Bool(true)),
    ]);
    let oldest = Map(vec![
        ("version", List(vec![Number(0), Number(11), Number(3)])),
        ("type", Bytes(b"http")),
        ("id", Bytes(b"x")),
        ("client_conn", Map(vec![("address", old_address("10.1.1.1", 7)), ("timestamp_start", Seconds("1000.0"))])),
        ("server_conn", server),
        (
            "request",
            Map(vec![
                ("httpversion", List(vec![Number(1), Number(0)])),
                ("form_in", Bytes(b"relative")),
                ("method", Bytes(b"GET")),
                ("scheme", Bytes(b"https")),
                ("host", Bytes(b"shop.test")),
                ("port", Number(443)),
                ("path", Bytes(b"/old")),
                ("headers", fields(&[("Host", "shop.test")])),
                ("content", Bytes(b"")),
                ("timestamp_start", Seconds("1000.5")),
                ("timestamp_end", Seconds("1000.5")),
            ]),
        ),
        (
            "response",
            Map(vec![
                ("httpversion", List(vec![Number(1), Number(1)])),
                ("code", Number(404)),
                ("msg", Bytes(b"Gone")),
                ("headers", fields(&[])),
                ("content", Bytes(b"no")),
                ("timestamp_start", Seconds("1000.6")),
                ("timestamp_end", Seconds("1000.7")),
            ]),
        ),
        ("error", Null),
    ]);
    let again = oldest.clone().with(&[("version", List(vec![Number(0), Number(14)]))]);
    let (_, reader) = imported(&[oldest, again]);
    let exchange = reader.exchange(ExchangeId(1)).unwrap();
    let response = exchange.response.as_ref().unwrap();
    assert_eq!((exchange.request.url().as_str(), exchange.request.version), ("https://shop.test/old", Version::Http10));
    assert_eq!((response.status, response.reason.as_slice(), response.version), (404, &b"Gone"[..], Version::Http11));
    assert_eq!(reader.load(&response.body, 9).unwrap(), b"no");
    assert_eq!(exchange.transport.client.to_string(), "10.1.1.1:7");
    assert_eq!(exchange.timing.tls, Some(Span { start: at(200_000), end: at(300_000) }));
    let second = reader.exchange(ExchangeId(2)).unwrap();
    assert_eq!(second.transport.client_connection, 1, "start and address are the name of a connection");
    assert_eq!((second.transport.upstream_connection, second.timing.connect), (Some(1), None));
}

#[test]
fn what_is_not_http_is_counted_and_left_out() {
    let other = |kind| Map(vec![("type", Text(kind)), ("version", Number(21)), ("messages", List(vec![]))]);
    let newer = flow().with(&[("version", Number(99)), ("something", Text("new"))]);
    let tunnel = asking(&[("method", Bytes(b"CONNECT"))]);
    let headless = asking(&[("method", Null)]);
    let (summary, reader) = imported(&[other("tcp"), tunnel, other("udp"), newer, other("tcp"), other("x"), headless]);
    let counted: Vec<(&str, u64)> = summary.elsewhere.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(counted, [("CONNECT", 1), ("other", 1), ("tcp", 2), ("udp", 1)]);
    assert_eq!((summary.newer, summary.exchanges, summary.unreadable.count, reader.exchange_count()), (1, 1, 1, 1));
    assert_eq!(summary.unreadable.first[0].1, "its request has no method");
}

#[test]
fn what_mitmproxy_did_itself_is_remarked() {
    for (changes, words) in [
        (("is_replay", Text("request")), "the request was sent by mitmproxy, not by a client"),
        (("is_replay", Text("response")), "the response was played back by mitmproxy"),
        (
            ("request", flow().at("request").with(&[("is_replay", Bool(true))])),
            "the request was sent by mitmproxy, not by a client",
        ),
    ] {
        assert_eq!(only(flow().with(&[changes])).remarks, [Remark::Other(words.into())]);
    }
}

#[test]
fn a_file_cut_at_any_byte_keeps_the_flows_before_the_cut() {
    let one = flow().written();
    let bytes = [one.clone(), one.clone()].concat();
    for cut in 0..bytes.len() {
        match survey(Cursor::new(&bytes[..cut])) {
            Err(FlowError::NotFlows) => assert!(cut < one.len(), "cut at {cut}"),
            Err(other) => panic!("cut at {cut}: {other}"),
            Ok(survey) => {
                assert_eq!(survey.flows(), (cut / one.len()) as u64, "cut at {cut}");
                let damage = survey.damage.map(|damage| (damage.byte, damage.bytes, damage.places));
                let torn = (cut - one.len()) as u64;
                assert_eq!(damage, (torn > 0).then_some((one.len() as u64, torn, 1)), "cut at {cut}");
            }
        }
    }
}

#[test]
fn a_torn_flow_in_the_middle_costs_itself_alone() {
    let one = flow().written();
    for cut in [1, 4, 5, 20, one.len() / 2, one.len() - 1] {
        let bytes = [&one, &one[..cut], &one].concat();
        let (summary, _) = try_import(&bytes).unwrap();
        assert_eq!(summary.exchanges, 2, "cut at {cut}");
        let damage = summary.damage.unwrap();
        assert_eq!((damage.byte, damage.bytes), (one.len() as u64, cut as u64));
        assert!(damage.to_string().contains("a flow is torn or damaged at byte"), "{damage}");
    }
}

#[test]
fn other_files_are_no_flow_files() {
    for bytes in
        [&b""[..], b"{\"log\":{}}", b"5:hello,", b"0:}", b"3:0:~]", b"\x0a\x0d\x0d\x0a\x1c\0\0\0", &[b'9'; 300]]
    {
        assert!(matches!(try_import(bytes), Err(FlowError::NotFlows)), "{bytes:?}");
    }
}

#[test]
fn mutated_files_never_panic() {
    let bytes = file(&[flow(), asking(&[("content", Null)]), flow().with(&[("response", Null)])]);
    let mut state = 7_u64;
    let mut roll = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    for _ in 0..3_000 {
        let mut bad = bytes.clone();
        for _ in 0..=roll(4) {
            let (start, len) = (roll(bad.len()), roll(40));
            let end = (start + len).min(bad.len());
            match roll(5) {
                0 => bad[start..end].fill(b'9'),
                1 => drop(bad.drain(start..end)),
                2 => bad.splice(start..start, bytes[roll(bytes.len())..].iter().take(len).copied()).for_each(drop),
                3 => bad.truncate(start.max(1)),
                _ => bad[start] = bad[start].wrapping_add(1),
            }
            if bad.is_empty() {
                break;
            }
        }
        let Ok(survey) = survey(Cursor::new(&bad)) else { continue };
        assert!(survey.flows() <= 20);
    }
    for number in 0..150 {
        let mut bad = bytes.clone();
        for _ in 0..=number % 5 {
            let at = roll(bad.len());
            bad[at] = b"09:;,#^~]}!x"[roll(12)];
        }
        if let Ok((summary, reader)) = try_import(&bad) {
            assert_eq!(summary.exchanges, reader.exchange_count());
        }
    }
}
