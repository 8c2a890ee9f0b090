//! GoReplay files as bytes in, exchanges out.

use std::io::Cursor;

use super::records::SEPARATOR;
use super::{GoReplayError, Summary, import, survey};
use crate::capture::Reader;
use crate::model::{Body, BodySource, Exchange, ExchangeId, Incomplete, Nanos, Remark, Side, Version};
use crate::observe::Recorder;
use crate::wire::identity::Sessions;

/// Nanoseconds since 1970 at which the files of these tests begin.
const START: u64 = 1_700_000_000_000_000_000;

const MS: u64 = 1_000_000;

/// A payload: type, id, milliseconds after `START`, milliseconds that it took, message.
fn payload(kind: u8, id: &str, at: u64, took: u64, message: &str) -> String {
    let line = format!("{kind} {id} {} {}\n", START + at * MS, took * MS);
    line + message + std::str::from_utf8(SEPARATOR).unwrap()
}

fn raw(line: &str, message: &str) -> String {
    format!("{line}\n{message}{}", std::str::from_utf8(SEPARATOR).unwrap())
}

fn try_import(bytes: &[u8]) -> Result<(Summary, Reader), GoReplayError> {
    let survey = survey(Cursor::new(bytes))?;
    let path = tempfile::NamedTempFile::new().unwrap();
    let mut recorder = Recorder::create(path.path(), "test", survey.anchor, Sessions::default()).unwrap();
    let summary = import(Cursor::new(bytes), &survey, &mut recorder)?;
    recorder.close().unwrap();
    Ok((summary, Reader::open(path.path()).unwrap()))
}

fn imported(payloads: &[String]) -> (Summary, Reader) {
    try_import(payloads.concat().as_bytes()).unwrap()
}

fn first(reader: &Reader) -> Exchange {
    reader.exchange(ExchangeId(1)).unwrap()
}

fn text(reader: &Reader, body: &Body) -> String {
    String::from_utf8(reader.load(body, 1 << 20).unwrap()).unwrap()
}

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: shop.test:8080\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_request_and_its_response_become_an_exchange() {
    let post = "POST /pay HTTP/1.1\r\nHost: shop.test:8080\r\nContent-Length: 3\r\n\r\na=b";
    let chunked = "HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n1\r\ne\r\n0\r\nX-Sum: 5\r\n\r\n";
    let (summary, reader) = imported(&[payload(1, "aaaaaaaa", 0, 2, post), payload(2, "aaaaaaaa", 50, 7, chunked)]);
    assert_eq!((summary.requests, summary.exchanges, summary.unanswered, summary.unasked), (1, 1, 0, 0));
    assert_eq!((summary.damage, reader.provenance().anchor_unix_ns), (None, START));
    let exchange = first(&reader);
    let response = exchange.response.as_ref().unwrap();
    assert_eq!(
        (exchange.request.method.as_str(), exchange.request.url().as_str()),
        ("POST", "http://shop.test:8080/pay")
    );
    assert_eq!(text(&reader, &exchange.request.body), "a=b");
    assert_eq!((response.status, response.reason.as_slice(), response.version), (201, &b"Made"[..], Version::Http11));
    assert_eq!(text(&reader, &response.body), "abcde");
    assert_eq!(response.trailers.text("x-sum"), Some("5"));
    let timing = exchange.timing;
    assert_eq!(
        (timing.started, timing.request_done, timing.upstream_sent),
        (Nanos(0), Some(Nanos(2 * MS)), Some(Nanos(0)))
    );
    assert_eq!((timing.upstream_first, timing.upstream_done), (Some(Nanos(50 * MS)), Some(Nanos(57 * MS))));
    assert_eq!(timing.finished, Nanos(57 * MS));
    assert_eq!(exchange.transport.client.to_string(), "0.0.0.0:0");
    assert!(exchange.incomplete.is_none() && exchange.remarks.is_empty());
}

#[test]
fn responses_find_their_requests_in_any_order_and_original_ones_win() {
    let replayed = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
    let second = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    let (one, two, three) = (
        payload(1, "aaaaaaaa", 20, 0, GET),
        payload(2, "aaaaaaaa", 30, 0, OK),
        payload(3, "aaaaaaaa", 900, 9, replayed),
    );
    for (payloads, status) in [
        (vec![one.clone(), two.clone(), three.clone()], Some(200)),
        (vec![one.clone(), three.clone(), two.clone()], Some(200)),
        (vec![two.clone(), one.clone()], Some(200)),
        (vec![three.clone(), two.clone(), one.clone()], Some(200)),
        (vec![one.clone(), two.clone(), payload(2, "aaaaaaaa", 40, 0, second)], Some(200)),
        (vec![one.clone(), three.clone()], Some(500)),
        (vec![one.clone(), payload(2, "bbbbbbbb", 30, 0, OK)], None),
    ] {
        let (summary, reader) = imported(&payloads);
        let exchange = first(&reader);
        assert_eq!(exchange.response.as_ref().map(|r| r.status), status);
        assert_eq!((summary.unanswered, summary.unasked), if status.is_none() { (1, 1) } else { (0, 0) });
        let incomplete = Incomplete::NotRecorded("the source holds no response".into());
        assert_eq!(exchange.incomplete, status.is_none().then_some(incomplete));
        assert_eq!((summary.replayed, exchange.remarks.len()), if status == Some(500) { (1, 1) } else { (0, 0) });
        if status == Some(500) {
            assert_eq!(exchange.timing.upstream_done, Some(Nanos(9 * MS)), "of a replay only the round trip counts");
        }
    }
}

#[test]
fn requests_are_numbered_by_their_start_and_joined_by_nothing_but_what_they_carry() {
    let get = |target: &str, cookie: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\nCookie: sid={cookie}\r\n\r\n");
    let (summary, reader) = imported(&[
        payload(1, "cccccccc", 30, 0, &get("/3", "first-person")),
        payload(1, "aaaaaaaa", 10, 0, &get("/1", "first-person")),
        payload(1, "bbbbbbbb", 20, 0, &get("/2", "second-person")),
    ]);
    let read: Vec<Exchange> = reader.exchanges().map(Result::unwrap).collect();
    let targets: Vec<&[u8]> = read.iter().map(|e| e.request.target.as_slice()).collect();
    assert_eq!(targets, [b"/1", b"/2", b"/3"]);
    let connections: Vec<u64> = read.iter().map(|e| e.transport.client_connection).collect();
    assert_eq!((connections, summary.connections), (vec![1, 2, 3], 3));
    assert_eq!((read[0].session, read[0].session == read[1].session), (read[2].session, false));
}

#[test]
fn the_moments_of_all_versions_are_understood() {
    for (lines, first, done) in [
        // v1.3: moment of the first byte, duration of the response.
        (("1 aaaaaaaa 1700000000000000000 0", "2 aaaaaaaa 1700000000050000000 7000000"), Some(50), Some(57)),
        // Earlier: moment of the last byte, round trip.
        (("1 aaaaaaaa 1700000000000000000", "2 aaaaaaaa 1700000000050000000 50000000"), Some(50), Some(50)),
        (("1 aaaaaaaa 1700000000000000000", "2 aaaaaaaa 1700000000050000000"), Some(50), Some(50)),
        // The oldest: latency in place of the moment.
        (("1 aaaaaaaa 1700000000000000000", "2 aaaaaaaa 30000000"), Some(30), Some(30)),
        // Nothing, or nonsense.
        (("1 aaaaaaaa", "2 aaaaaaaa"), None, None),
        (("1 aaaaaaaa 1700000000000000000 -1", "2 aaaaaaaa 1600000000000000000 -1"), None, None),
    ] {
        let (summary, reader) = imported(&[raw(lines.0, GET), raw(lines.1, OK)]);
        let exchange = self::first(&reader);
        let timing = exchange.timing;
        let at = |ms: Option<u64>| ms.map(|ms| Nanos(ms * MS));
        assert_eq!((timing.upstream_first, timing.upstream_done), (at(first), at(done)), "{lines:?}");
        assert_eq!(exchange.incomplete.is_some(), first.is_none());
        assert_eq!(summary.undated, u64::from(lines.0.len() < 20));
    }
}

#[test]
fn the_host_tells_the_origin_and_hop_by_hop_forms_are_cut() {
    for (message, url) in [
        ("GET /x HTTP/1.1\r\nHost: Shop.Test\r\n\r\n", "http://shop.test/x"),
        ("GET /x HTTP/1.1\r\nhost: [::1]:81\r\n\r\n", "http://[::1]:81/x"),
        ("GET https://abs.test/x?y HTTP/1.1\r\nHost: other\r\n\r\n", "https://abs.test/x?y"),
        ("GET /x HTTP/1.0\r\n\r\n", "http://localhost/x"),
    ] {
        let (_, reader) = imported(&[payload(1, "aaaaaaaa", 0, 0, message)]);
        let exchange = first(&reader);
        assert_eq!(exchange.request.url(), url);
        assert_eq!(exchange.remarks.len(), usize::from(url.contains("localhost")));
    }
}

#[test]
fn messages_that_are_not_whole_keep_what_is_there() {
    let gap = |at, bytes| Remark::Gap { side: Side::Response, at, bytes };
    let other = |text: &str| Remark::Other(text.into());
    for (message, body, remark) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "abc", gap(3, 7)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "abc", gap(3, 0)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcde", "ab", other("3 bytes behind the response were left out")),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n<html>",
            "<html>",
            other("the response body was taken as it stands: connection closed inside a message"),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n<html>\n\n</html>",
            "<html>\n\n</html>",
            other("the response body was taken as it stands: invalid chunk"),
        ),
    ] {
        let (_, reader) = imported(&[payload(1, "aaaaaaaa", 0, 0, GET), payload(2, "aaaaaaaa", 5, 0, message)]);
        let exchange = first(&reader);
        assert_eq!(text(&reader, &exchange.response.as_ref().unwrap().body), body);
        assert_eq!(exchange.remarks, [remark]);
    }
    let (summary, reader) = imported(&[payload(1, "aaaaaaaa", 0, 0, GET), payload(2, "aaaaaaaa", 5, 0, "HTTP/1.1 2")]);
    assert_eq!((summary.unreadable.count, summary.unanswered), (1, 1));
    assert!(matches!(first(&reader).incomplete, Some(Incomplete::NotRecorded(_))));
}

#[test]
fn interim_upgrade_head_and_close_framed_responses_are_read() {
    let with = |method: &str, response: &str| {
        let get = format!("{method} / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n");
        let (_, reader) = imported(&[payload(1, "aaaaaaaa", 0, 0, &get), payload(2, "aaaaaaaa", 5, 0, response)]);
        let exchange = first(&reader);
        let body = text(&reader, &exchange.response.as_ref().unwrap().body);
        (exchange, body)
    };
    let (exchange, body) = with("GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((exchange.interim.len(), body.as_str()), (1, "hi"));
    let (exchange, _) = with("GET", "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x01\x02");
    assert_eq!(exchange.incomplete, Some(Incomplete::Upgraded("websocket".into())));
    let (exchange, body) = with("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n");
    assert_eq!((exchange.incomplete, body.as_str()), (None, ""));
    let (exchange, body) = with("GET", "HTTP/1.0 200 OK\r\n\r\nall of it");
    assert_eq!((exchange.incomplete, body.as_str()), (None, "all of it"));
}

#[test]
fn files_behind_each_other_and_payloads_without_sense_are_read_over() {
    let one = [payload(1, "aaaaaaaa", 0, 0, GET), payload(2, "aaaaaaaa", 5, 0, OK)].concat();
    let (summary, reader) = imported(&[one.clone(), "\n".into(), one]);
    assert_eq!((summary.exchanges, summary.unanswered, reader.exchange_count()), (2, 0, 2));
    let (summary, _) = imported(&[
        raw("1", "no id"),
        payload(1, "aaaaaaaa", 0, 0, "not http at all"),
        payload(1, "bbbbbbbb", 0, 0, "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n"),
        payload(1, "cccccccc", 0, 0, GET),
    ]);
    assert_eq!((summary.exchanges, summary.unreadable.count, summary.tunnels), (1, 1, 1));
    assert_eq!(summary.damage.unwrap().what, "a payload has no first line");
}

#[test]
fn a_file_cut_at_any_byte_keeps_the_payloads_before_the_cut() {
    let one = payload(1, "aaaaaaaa", 0, 0, GET);
    let bytes = one.repeat(2).into_bytes();
    for cut in 0..bytes.len() {
        match survey(Cursor::new(&bytes[..cut])) {
            Err(GoReplayError::NotGoReplay) => assert!(cut < one.len(), "cut at {cut}"),
            Err(other) => panic!("cut at {cut}: {other}"),
            Ok(survey) => {
                assert!(survey.requests() >= (cut / one.len()) as u64, "cut at {cut}");
                assert!(survey.damage.is_some() || cut % one.len() == 0, "cut at {cut}");
            }
        }
    }
}

#[test]
fn other_files_are_no_goreplay_files() {
    for bytes in [&b""[..], b"{\"log\":{}}", b"2 aaaaaaaa 17\nHTTP/1.1 200 OK\r\n\r\n", SEPARATOR, &[b'1'; 3_000]] {
        assert!(matches!(try_import(bytes), Err(GoReplayError::NotGoReplay)), "{bytes:?}");
    }
}

#[test]
fn mutated_files_never_panic() {
    let post = "POST /pay HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n";
    let bytes = [
        payload(1, "aaaaaaaa", 0, 2, post),
        payload(2, "aaaaaaaa", 9, 1, OK),
        payload(1, "bbbbbbbb", 3, 0, GET),
        payload(3, "bbbbbbbb", 9, 1, OK),
    ];
    let bytes = bytes.concat().into_bytes();
    let mut state = 11_u64;
    let mut roll = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    for round in 0..3_000 {
        let mut bad = bytes.clone();
        for _ in 0..=roll(4) {
            let (start, len) = (roll(bad.len()), roll(30));
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
        if round % 20 > 0 {
            let _ = survey(Cursor::new(&bad));
        } else if let Ok((summary, reader)) = try_import(&bad) {
            assert_eq!(summary.exchanges, reader.exchange_count());
        }
    }
}
