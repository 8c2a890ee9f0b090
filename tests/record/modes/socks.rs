//! SOCKS 5, on a port of its own and beside HTTP; and connections that were never redirected.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;

use overdub::record::Mode;
use rustls::RootCertStore;

use super::{Proxy, Upstream, read_all, read_exactly, read_head, secure, server, servers, text};

/// Greets, asks for a server, and hears that it may go on.
fn negotiate(stream: &mut TcpStream, address: &[u8], port: u16) {
    stream.write_all(b"\x05\x01\x00").unwrap();
    assert_eq!(read_exactly(stream, 2), b"\x05\x00");
    stream.write_all(&[b"\x05\x01\x00", address, &port.to_be_bytes()].concat()).unwrap();
    assert_eq!(read_exactly(stream, 10), b"\x05\x00\x00\x01\0\0\0\0\0\0");
}

const LOOPBACK: &[u8] = b"\x01\x7f\x00\x00\x01";

#[test]
fn requests_by_socks_are_recorded_under_the_name_in_host() {
    for mode in [Mode::Socks5, Mode::Forward] {
        let (address, served) = server(|mut stream| {
            for _ in 0..2 {
                read_head(&mut stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
        });
        let proxy = Proxy::with(|config| config.mode = mode);
        let mut client = proxy.connect();
        negotiate(&mut client, LOOPBACK, address.port());
        for _ in 0..2 {
            write!(client, "GET /x HTTP/1.1\r\nHost: shop.test:{}\r\n\r\n", address.port()).unwrap();
            read_head(&mut client);
            assert_eq!(read_exactly(&mut client, 2), b"ok");
        }
        served.join().unwrap();
        drop(client);
        let recorded = proxy.stop();
        assert_eq!(recorded.exchanges.len(), 2);
        assert_eq!(recorded.exchanges[1].request.url(), format!("http://shop.test:{}/x", address.port()));
        assert_eq!(recorded.exchanges[1].transport.upstream_connection, Some(1), "by the address, not the name");
    }
}

#[test]
fn tls_by_socks_is_recorded_under_the_name_in_the_hello_or_the_request() {
    for (to, url_host) in [(LOOPBACK, "shop.test"), (b"\x03\x09localhost", "localhost")] {
        let upstream = Upstream::named(&["shop.test"]);
        let accept = upstream.accept();
        let (address, served) = server(|tcp| {
            let mut stream = accept(tcp);
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            stream.flush().unwrap();
        });
        let proxy = Proxy::with(|config| {
            config.mode = Mode::Socks5;
            config.trust = upstream.trust();
        });
        let mut stream = proxy.connect();
        negotiate(&mut stream, to, address.port());
        let mut roots = RootCertStore::empty();
        roots.add(proxy.root.clone()).unwrap();
        let mut client = secure(stream, "shop.test:443", roots, &[]);
        client.write_all(b"GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
        read_head(&mut client);
        assert_eq!(read_exactly(&mut client, 2), b"ok");
        served.join().unwrap();
        drop(client);
        let recorded = proxy.stop();
        assert_eq!(recorded.only().request.url(), format!("https://{url_host}:{}/x", address.port()));
        assert_eq!(recorded.only().transport.sni.as_deref(), Some("shop.test"));
    }
}

#[test]
fn something_else_by_socks_passes_as_bytes() {
    let (address, served) = server(|mut stream| {
        stream.write_all(b"220 hello\r\n").unwrap();
        read_all(&mut stream)
    });
    let proxy = Proxy::with(|config| config.mode = Mode::Socks5);
    let mut client = proxy.connect();
    negotiate(&mut client, LOOPBACK, address.port());
    assert_eq!(read_exactly(&mut client, 11), b"220 hello\r\n");
    client.write_all(b"QUIT\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    read_all(&mut client);
    assert_eq!(served.join().unwrap(), b"QUIT\r\n");
    let recorded = proxy.stop();
    assert_eq!(recorded.only().request.method, "CONNECT", "kept as bytes");
    assert_eq!((recorded.messages(recorded.only()).len(), recorded.summary.remarks.tunnels.len()), (2, 1));
}

#[test]
fn a_connection_opened_ahead_of_need_is_recorded_when_it_is_used() {
    for by_name in [true, false] {
        let (silent, noticed) = mpsc::channel();
        let (address, served) = servers(if by_name { 1 } else { 2 }, move |streams| {
            // The recorder looks whether the server speaks first, as the client does not.
            let waiting = streams.next().unwrap();
            silent.send(()).unwrap();
            // Where the name is not known before the request, the connection may be to another server.
            let mut used = if by_name { waiting } else { streams.next().unwrap() };
            read_head(&mut used);
            used.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        });
        let proxy = Proxy::with(|config| config.mode = Mode::Socks5);
        let mut client = proxy.connect();
        negotiate(&mut client, if by_name { b"\x03\x09localhost" } else { LOOPBACK }, address.port());
        noticed.recv().unwrap();
        client.write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        read_head(&mut client);
        assert_eq!(read_exactly(&mut client, 2), b"ok");
        served.join().unwrap();
        drop(client);
        let recorded = proxy.stop();
        assert_eq!(recorded.only().incomplete, None);
        assert!(recorded.summary.remarks.tunnels.is_empty());
    }
}

#[test]
fn what_is_no_socks_is_refused_in_its_own_language() {
    let proxy = Proxy::with(|config| config.mode = Mode::Socks5);
    let page = text(&proxy.ask("GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(page.starts_with("HTTP/1.1 400") && page.contains("SOCKS 5"), "{page}");
    assert_eq!(proxy.ask("\x04\x01\x00\x50\x7f\x00\x00\x01\x00"), b"");
    assert_eq!(proxy.ask("\x05\x01\x01"), b"\x05\xff");
    let bind = "\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50";
    assert_eq!(proxy.ask(bind), b"\x05\x00\x05\x07\x00\x01\0\0\0\0\0\0");
    let odd = "\x05\x01\x00\x05\x01\x00\x03\x04a b/\x00\x50";
    assert_eq!(proxy.ask(odd), b"\x05\x00\x05\x04\x00\x01\0\0\0\0\0\0");
    let mut slow = proxy.connect();
    slow.write_all(b"\x05").unwrap();
    let recorded = proxy.stop();
    assert_eq!(slow.read(&mut [0]).unwrap_or(0), 0, "closed with the recording");
    assert_eq!(recorded.summary.remarks.malformed, 5);
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_nobody_redirected_is_told_so() {
    let proxy = Proxy::with(|config| config.mode = Mode::Transparent);
    let page = text(&proxy.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(page.starts_with("HTTP/1.1 421") && page.contains("REDIRECT"), "{page}");
    assert!(proxy.stop().exchanges.is_empty());
}
