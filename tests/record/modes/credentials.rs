//! The proxy asks other machines for credentials, and lets nobody in without.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use overdub::record::Door;
use overdub::wire::identity::UserBy;

use super::{Proxy, patient, read_all, read_exactly, read_head, servers, text};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn guarded(door: fn(overdub::record::Credentials) -> Door) -> Proxy {
    Proxy::with(|config| config.door = door("anna:geheim".parse().unwrap()))
}

fn login(credentials: &str) -> String {
    format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(credentials))
}

/// A server that answers so many connections, one request each.
fn answering(connections: usize) -> (SocketAddr, std::thread::JoinHandle<Vec<String>>) {
    servers(connections, |streams| {
        streams
            .map(|mut stream| {
                let head = text(&read_head(&mut stream));
                stream.write_all(OK).unwrap();
                head
            })
            .collect()
    })
}

/// Reads the proxy's own answer, and leaves the connection as it is.
fn challenged(client: &mut TcpStream) -> String {
    let head = text(&read_head(client));
    let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    head.clone() + &text(&read_exactly(client, length.parse().unwrap()))
}

#[test]
fn a_client_that_gives_nothing_until_it_is_asked_goes_on_on_its_connection() {
    let (server, served) = answering(2);
    let proxy = guarded(Door::Everyone);
    let own = login("anna:geheim");
    let mut client = proxy.connect();
    for (line, body) in [("GET", ""), ("POST", "Content-Length: 4\r\n\r\nbody"), ("HEAD", "")] {
        let end = if body.is_empty() { "\r\n" } else { "" };
        write!(client, "{line} http://{server}/ HTTP/1.1\r\nHost: x\r\n{body}{end}").unwrap();
        let answer = if line == "HEAD" { text(&read_head(&mut client)) } else { challenged(&mut client) };
        assert!(answer.starts_with("HTTP/1.1 407") && answer.contains("\r\nProxy-Authenticate: Basic"), "{answer}");
        assert!(answer.contains("\r\nConnection: keep-alive\r\n"), "{answer}");
    }
    write!(client, "GET http://{server}/ HTTP/1.1\r\nHost: x\r\n{own}\r\n").unwrap();
    read_head(&mut client);
    assert_eq!(read_exactly(&mut client, 2), b"ok");
    let mut tunnel = proxy.connect();
    write!(tunnel, "CONNECT {server} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(challenged(&mut tunnel).starts_with("HTTP/1.1 407"));
    write!(tunnel, "CONNECT {server} HTTP/1.1\r\nHost: x\r\n{own}\r\n").unwrap();
    assert!(text(&read_head(&mut tunnel)).starts_with("HTTP/1.1 200"));
    write!(tunnel, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut tunnel);
    assert_eq!(read_exactly(&mut tunnel, 2), b"ok");
    drop((client, tunnel));
    assert!(served.join().unwrap().iter().all(|head| !head.to_lowercase().contains("authorization")));
    let path = proxy.dir.path().join("test.dub");
    let recorded = proxy.stop();
    assert_eq!((recorded.exchanges.len(), recorded.summary.remarks.turned_away), (2, 0));
    assert_eq!(recorded.capture.sessions().len(), 1);
    let file = std::fs::read(path).unwrap();
    let encoded = STANDARD.encode("anna:geheim");
    let secrets = ["geheim", encoded.as_str()];
    assert!(secrets.iter().all(|secret| memchr::memmem::find(&file, secret.as_bytes()).is_none()));
}

#[test]
fn wrong_credentials_and_unclear_bodies_end_the_connection_and_reach_no_server() {
    let proxy = guarded(Door::Everyone);
    // Nobody listens there: whatever gets through answers 502.
    let nobody = "http://127.0.0.1:1/";
    let mut wrong = 0;
    for credentials in ["anna:geheiM", "anna:geheim2", "bert:geheim", "anna:", "anna", ":geheim", "Anna:geheim"] {
        for ask in [format!("GET {nobody}"), "CONNECT 127.0.0.1:1".to_owned(), "CONNECT /".to_owned()] {
            let answer = text(&proxy.ask(&format!("{ask} HTTP/1.1\r\nHost: x\r\n{}\r\n", login(credentials))));
            assert!(answer.starts_with("HTTP/1.1 407"), "{credentials} {ask}: {answer}");
            let silent = credentials == ":geheim";
            assert!(silent || answer.contains("\r\nConnection: close\r\n"), "{answer}");
            wrong += u64::from(!silent);
        }
    }
    for fields in
        ["Expect: 100-continue\r\nContent-Length: 5\r\n", "Connection: close\r\n", "Content-Length: 9999999\r\n"]
    {
        let answer = text(&proxy.ask(&format!("POST {nobody} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")));
        assert!(answer.starts_with("HTTP/1.1 407") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    let socks = |said: &[u8]| {
        let mut client = proxy.connect();
        client.write_all(said).unwrap();
        read_all(&mut client)
    };
    assert_eq!(socks(b"\x05\x01\x00"), b"\x05\xff", "no way around");
    for said in [&b"\x01\x04anna\x06geheiM"[..], b"\x01\x04bert\x06geheim", b"\x01\x04anna\x00"] {
        assert_eq!(socks(&[b"\x05\x02\x00\x02", said].concat()), b"\x05\x02\x01\x01");
        wrong += 1;
    }
    let recorded = proxy.stop();
    assert_eq!((recorded.exchanges.len(), recorded.summary.remarks.turned_away), (0, wrong));
}

#[test]
fn the_proxys_own_pages_need_none_and_say_where_they_are_typed() {
    let proxy = guarded(Door::Everyone);
    let page = text(&proxy.ask("GET / HTTP/1.1\r\nHost: 192.0.2.7:8080\r\n\r\n"));
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<div data-credentials=\"wanted\">"), "{page}");
    assert!(text(&proxy.ask("GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n")).contains("BEGIN CERTIFICATE"));
    let other = text(&proxy.ask("GET /elsewhere HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    assert!(other.starts_with("HTTP/1.1 400"), "no way to a site: {other}");
    let mark = text(
        &proxy.ask("POST http://overdub.test/mark HTTP/1.1\r\nHost: overdub.test\r\nContent-Length: 5\r\n\r\nbegin"),
    );
    assert!(mark.starts_with("HTTP/1.1 200"), "{mark}");
    proxy.stop();
    let open = text(&Proxy::start().ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(open.contains("<div data-credentials=\"none\">"), "{open}");
}

#[test]
fn people_who_are_told_apart_by_name_need_the_password_all_the_same() {
    let (server, served) = answering(2);
    let proxy = Proxy::with(|config| {
        config.door = Door::Everyone("anna:geheim".parse().unwrap());
        config.user_by = UserBy::parse("proxy-credentials").unwrap();
    });
    let ask = |credentials: &str| {
        let fields = login(credentials);
        text(&proxy.ask(&format!("GET http://{server}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n")))
    };
    assert!(ask("bert:geheim").ends_with("ok") && ask("carl:geheim").ends_with("ok"));
    assert!(ask("anna:other").starts_with("HTTP/1.1 407"));
    served.join().unwrap();
    let recorded = proxy.stop();
    let names: Vec<&str> = recorded.capture.sessions().iter().map(|s| s.info.evidence.as_str()).collect();
    assert_eq!(names, ["proxy user `bert`", "proxy user `carl`"]);
}

#[test]
fn programs_of_this_machine_are_not_asked_where_strangers_are() {
    let (server, served) = answering(2);
    let proxy = Proxy::with(|config| {
        config.listen = vec!["0.0.0.0:0".parse().unwrap()];
        config.door = Door::Strangers("anna:geheim".parse().unwrap());
    });
    let port = proxy.recording.address().port();
    let request =
        |fields: &str| format!("GET http://{server}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
    let through = |mut client: TcpStream, fields: &str| {
        client.write_all(request(fields).as_bytes()).unwrap();
        text(&read_all(&mut client))
    };
    let near = patient(TcpStream::connect(("127.0.0.1", port)).unwrap());
    assert!(through(near, "").ends_with("ok"));
    // Nothing is sent: it only tells which address this machine would use.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()).map(|address| address.ip());
    // From another address of ours to loopback: neither looks like this machine, so the proxy must take it for a stranger.
    let stranger = || {
        let far = proxy.runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(own.as_ref().ok().copied().unwrap_or([127, 0, 0, 1].into()), 0))?;
            socket.connect(([127, 0, 0, 1], port).into()).await
        });
        let far = far.and_then(tokio::net::TcpStream::into_std).ok()?;
        far.set_nonblocking(false).unwrap();
        Some(patient(far)).filter(|far| !far.local_addr().unwrap().ip().is_loopback())
    };
    match (stranger(), stranger()) {
        (Some(silent), Some(known)) => {
            assert!(through(silent, "").starts_with("HTTP/1.1 407"));
            assert!(through(known, &login("anna:geheim")).ends_with("ok"));
        }
        _ => {
            eprintln!("skipped in part: this machine has no address but loopback");
            let near = patient(TcpStream::connect(("127.0.0.1", port)).unwrap());
            assert!(through(near, "").ends_with("ok"));
        }
    }
    served.join().unwrap();
    assert_eq!(proxy.stop().exchanges.len(), 2);
}
