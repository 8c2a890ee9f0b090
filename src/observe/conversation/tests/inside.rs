//! Messages inside bodies: server-sent events and gRPC.

use std::io::Write;

use super::*;

fn get(path: &str) -> Act {
    client(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn events_are_messages_and_stay_in_the_body() {
    let told = play(
        &opening(),
        &[
            get("events"),
            server(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
            ),
            server("4\r\ndata\r\n"),
            server("5\r\n: 2\n\n\r\n0\r\n\r\n"),
        ],
    );
    assert_eq!(told.lines(), ["GET http://a/events > 200 [data: 1\\n\\ndata: 2\\n\\n]"]);
    assert_eq!(told.tally.messages, 2);
}

#[test]
fn events_are_found_below_a_content_coding() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"data: 1\n\ndata: 2\n\n").unwrap();
    let body = gzip.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let told = play(&opening(), &[get("events"), server([head.as_bytes(), &body].concat())]);
    assert_eq!(told.tally.messages, 2);
    assert_eq!(told.exchanges[0].response.as_ref().unwrap().body.len, body.len() as u64);
}

#[test]
fn a_body_that_unpacks_without_end_is_kept_whole_and_says_why_its_events_are_not() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(b"data: 1\n\n").unwrap();
    gzip.write_all(&vec![b'x'; 10 << 20]).unwrap();
    let body = gzip.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let told = play(&opening(), &[get("events"), server([head.as_bytes(), &body].concat())]);
    assert_eq!(told.exchanges[0].response.as_ref().unwrap().body.len, body.len() as u64);
    let remarks = format!("{:?}", told.exchanges[0].remarks);
    assert!(remarks.contains("not told apart from here on: gzip body decodes to over"), "{remarks}");
}

#[test]
fn grpc_messages_go_both_ways() {
    let message = b"\0\0\0\0\x03abc";
    let head = "Content-Type: application/grpc+proto\r\n";
    let told = play(
        &opening(),
        &[
            client(
                [
                    format!("POST /s/m HTTP/1.1\r\nHost: a\r\n{head}Content-Length: 16\r\n\r\n").as_bytes(),
                    message,
                    message,
                ]
                .concat(),
            ),
            server([format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 8\r\n\r\n").as_bytes(), message].concat()),
        ],
    );
    assert_eq!(told.tally.messages, 3);
    assert!(told.exchanges[0].incomplete.is_none());
}

#[test]
fn a_gap_costs_the_event_it_hit() {
    let told = play(
        &opening(),
        &[
            get("events"),
            server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\ndata: 2"),
            server_gap(20),
            server("data: 5\n\n"),
            server_end(Ending::Fin),
        ],
    );
    assert!(told.tally.messages >= 2);
    assert!(told.lines()[0].contains("# Response gap of 20"));
}
