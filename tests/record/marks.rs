//! Marks set from another terminal, by a request, by a header field.

use std::io::Write;
use std::net::Shutdown;

use overdub::model::Exchange;
use overdub::record;

use crate::support::{Server, page};

use super::{Proxy, overdub, read_all, read_head, server, text};

/// Path and transaction of each exchange in order.
fn labels(exchanges: &[Exchange]) -> Vec<(String, Option<&str>)> {
    exchanges.iter().map(|e| (text(&e.request.target), e.transaction.as_deref())).collect()
}

fn get(proxy: &Proxy, server: &Server, path: &str, fields: &str) -> String {
    let host = server.address;
    text(&proxy.ask(&format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n")))
}

#[test]
fn what_begins_between_two_marks_belongs_to_the_transaction() {
    let server = Server::answering(|_| page("text/plain", "hello"));
    let proxy = Proxy::start();
    let address = proxy.recording.address().to_string();
    let mark = |arguments: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let ended = overdub(dir.path(), &[&["mark", "--proxy", &address], arguments].concat()).output().unwrap();
        assert!(ended.status.success() && ended.stdout.is_empty(), "{}", text(&ended.stderr));
        text(&ended.stderr)
    };
    get(&proxy, &server, "/0", "");
    assert!(mark(&["check out"]).contains("\"check out\""));
    get(&proxy, &server, "/1", "");
    get(&proxy, &server, "/2", "");
    assert!(mark(&["päy", "--quiet"]).is_empty());
    get(&proxy, &server, "/3", "");
    // As any HTTP client can ask, through the proxy or of it.
    let marked =
        proxy.ask("POST http://overdub.test/mark HTTP/1.1\r\nHost: overdub.test\r\nContent-Length: 3\r\n\r\nend");
    assert!(text(&marked).starts_with("HTTP/1.1 200 OK\r\n"), "{}", text(&marked));
    let chunks = "POST /mark HTTP/1.1\r\nHost: overdub.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nthe \r\n3\r\nend\r\n0\r\n\r\n";
    assert!(text(&proxy.ask(chunks)).contains("\"the end\""));
    get(&proxy, &server, "/4", "");
    mark(&["--end"]);
    get(&proxy, &server, "/5", "");
    let recorded = proxy.stop();
    let (one, two) = (Some("check out"), Some("päy"));
    let expected = [("/0", None), ("/1", one), ("/2", one), ("/3", two), ("/4", Some("the end")), ("/5", None)];
    assert_eq!(labels(&recorded.exchanges), expected.map(|(path, label)| (path.to_owned(), label)));
    let summary = overdub(recorded.dir.path(), &["inspect", "test.dub"]).output().unwrap();
    let summary = text(&summary.stdout);
    assert!(summary.contains("\nmarks      check out (2), päy (1), the end (1)\n"), "{summary}");
}

#[test]
fn an_exchange_under_way_keeps_the_transaction_it_began_in() {
    let (address, served) = super::server(|mut stream| {
        super::read_head(&mut stream);
        let mut held = stream.try_clone().unwrap();
        move || held.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap()
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "GET http://{address}/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = served.join().unwrap();
    proxy.ask("POST /mark HTTP/1.1\r\nHost: overdub.test\r\nContent-Length: 5\r\n\r\nlater");
    answer();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(text(&read_all(&mut client)).starts_with("HTTP/1.1 200"));
    let recorded = proxy.stop();
    assert_eq!(labels(&recorded.exchanges), [("/slow".to_owned(), None)]);
}

#[test]
fn a_header_field_names_the_transaction_of_its_exchange_alone_and_goes_no_further() {
    let server = Server::answering(|_| page("text/plain", "hello"));
    let proxy = Proxy::start();
    proxy.ask("POST /mark HTTP/1.1\r\nHost: overdub.test\r\nContent-Length: 4\r\n\r\nmark");
    get(&proxy, &server, "/plain", "x-overdub-TRANSACTION:  log in \r\nA: b\r\n");
    let to = server.address.to_string();
    let mut tunnel = proxy.tunnel(&to);
    write!(tunnel, "GET /tunnel HTTP/1.1\r\nHost: {to}\r\nX-Overdub-Transaction: inside\r\nConnection: close\r\n\r\n")
        .unwrap();
    read_all(&mut tunnel);
    get(&proxy, &server, "/after", "X-Overdub-Transaction: \r\n");
    let recorded = proxy.stop();
    let expected = [("/plain", Some("log in")), ("/tunnel", Some("inside")), ("/after", Some("mark"))];
    assert_eq!(labels(&recorded.exchanges), expected.map(|(path, label)| (path.to_owned(), label)));
    for (exchange, request) in recorded.exchanges.iter().zip(server.requests()) {
        assert!(!request.to_ascii_lowercase().contains("overdub"), "{request}");
        assert_eq!(exchange.request.headers.first("x-overdub-transaction"), None);
    }
}

#[test]
fn wrong_marks_are_refused_in_words_and_change_nothing() {
    let server = Server::answering(|_| page("text/plain", "hello"));
    let proxy = Proxy::start();
    let long = "x".repeat(100_000);
    for (request, status) in [
        ("POST /mark HTTP/1.1\r\nHost: overdub.test\r\nContent-Length: 2\r\n\r\n\r\n".to_owned(), "400 "),
        ("POST /mark HTTP/1.1\r\nHost: overdub.test\r\nContent-Length: 3\r\n\r\na\x1bb".to_owned(), "400 "),
        (format!("POST /mark HTTP/1.1\r\nHost: overdub.test\r\nContent-Length: 100000\r\n\r\n{long}"), "400 "),
        ("POST /mark HTTP/1.1\r\nHost: overdub.test\r\nContent-Length: 9\r\n\r\ncut".to_owned(), "400 "),
        ("GET /mark HTTP/1.1\r\nHost: overdub.test\r\n\r\n".to_owned(), "405 "),
        (
            "POST http://overdub.test/mark HTTP/1.1\r\nHost: overdub.test\r\nOrigin: http://evil.test\r\nContent-Length: 1\r\n\r\na"
                .to_owned(),
            "403 ",
        ),
    ] {
        let answer = text(&proxy.ask(&request));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    get(&proxy, &server, "/", "");
    assert_eq!(labels(&proxy.stop().exchanges), [("/".to_owned(), None)]);

    let dir = tempfile::tempdir().unwrap();
    let nobody = crate::support::closed_port().to_string();
    let other = server.address.to_string();
    for (arguments, code, said) in [
        (vec!["mark"], 2, "NAME"),
        (vec!["mark", " "], 2, "a transaction needs a name"),
        (vec!["mark", "a\nb"], 2, "one line"),
        (vec!["mark", "a", "--end"], 2, "cannot be used with"),
        (vec!["mark", "a", "--proxy", &nobody], 4, "start `overdub record`"),
        (vec!["mark", "a", "--proxy", &other], 4, "is no recording of overdub"),
    ] {
        let ended = overdub(dir.path(), &arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", text(&ended.stderr));
        assert!(text(&ended.stderr).contains(said), "{arguments:?}: {}", text(&ended.stderr));
    }
}

#[test]
fn a_mark_reaches_a_reverse_proxy_and_not_its_server() {
    let (address, served) = server(|mut stream| {
        let head = text(&read_head(&mut stream));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        head
    });
    let origin = format!("http://{address}").parse().unwrap();
    let reverse = record::Reverse { origin, address: record::Address::Translated };
    let proxy = Proxy::with(|config| config.mode = record::Mode::Reverse(reverse));
    let mut client = proxy.connect();
    client.write_all(b"POST /mark HTTP/1.1\r\nHost: overdub.test\r\nContent-Length: 3\r\n\r\nbuy").unwrap();
    assert!(text(&read_all(&mut client)).starts_with("HTTP/1.1 200"));
    let mut client = proxy.connect();
    client.write_all(b"GET /shop HTTP/1.1\r\nHost: us\r\n\r\n").unwrap();
    read_head(&mut client);
    assert!(served.join().unwrap().starts_with("GET /shop"), "the server hears nothing of the mark");
    drop(client);
    assert_eq!(proxy.stop().only().transaction.as_deref(), Some("buy"));
}
