//! `--upstream-proxy`: everything goes out through another proxy.

use std::io::Write;
use std::net::TcpListener;

use overdub::model::Incomplete;
use overdub::record::Egress;

use super::{Proxy, Upstream, read_all, read_exactly, read_head, server, servers, text};

fn through(proxy: &str) -> Egress {
    Egress {
        proxy: Some(proxy.parse().unwrap()),
        direct: vec!["*.direct.test".parse().unwrap(), "127.*".parse().unwrap()],
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn clear_text_goes_in_absolute_form_with_credentials_that_no_capture_holds() {
    let (address, served) = server(|mut stream| {
        let heads = [(); 2].map(|()| {
            let head = text(&read_head(&mut stream));
            read_exactly(&mut stream, 4);
            stream.write_all(OK).unwrap();
            head
        });
        heads.to_vec()
    });
    let proxy = Proxy::with(|config| config.egress = through(&format!("http://anna:geheim@{address}")));
    let mut client = proxy.connect();
    let fields = "Host: shop.test\r\nContent-Length: 4\r\n";
    for path in ["a?b", "c"] {
        write!(client, "POST http://shop.test/{path} HTTP/1.1\r\n{fields}\r\nbody").unwrap();
        assert!(text(&read_head(&mut client)).starts_with("HTTP/1.1 200"));
        assert_eq!(read_exactly(&mut client, 2), b"ok");
    }
    let own = "Proxy-Authorization: Basic YW5uYTpnZWhlaW0=\r\n";
    let expected = ["a?b", "c"].map(|path| format!("POST http://shop.test/{path} HTTP/1.1\r\n{own}{fields}\r\n"));
    assert_eq!(served.join().unwrap(), expected);
    drop(client);
    let path = proxy.dir.path().join("test.dub");
    let recorded = proxy.stop();
    assert_eq!(recorded.exchanges[0].request.url(), "http://shop.test/a?b");
    assert_eq!(recorded.request_body(&recorded.exchanges[1]), b"body");
    assert!(recorded.exchanges.iter().all(|exchange| exchange.request.headers.text("proxy-authorization").is_none()));
    let file = std::fs::read(path).unwrap();
    assert!(
        ["YW5uYTpnZWhlaW0", "geheim"].iter().all(|secret| memchr::memmem::find(&file, secret.as_bytes()).is_none())
    );
}

#[test]
fn tls_and_tunnels_go_through_a_tunnel_of_the_other_proxy() {
    let upstream = Upstream::named(&["shop.test"]);
    let accept = upstream.accept();
    let (address, served) = server(|mut tcp| {
        let asked = text(&read_head(&mut tcp));
        tcp.write_all(b"HTTP/1.1 200 Sure\r\n\r\n").unwrap();
        let mut stream = accept(tcp);
        let head = text(&read_head(&mut stream));
        stream.write_all(OK).unwrap();
        stream.flush().unwrap();
        (asked, head)
    });
    let proxy = Proxy::with(|config| {
        config.egress = through(&format!("http://{address}"));
        config.trust = upstream.trust();
    });
    let mut client = proxy.secure("shop.test:443");
    client.write_all(b"GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
    read_head(&mut client);
    assert_eq!(read_exactly(&mut client, 2), b"ok");
    let (asked, head) = served.join().unwrap();
    assert_eq!(asked, "CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n");
    assert_eq!(head, "GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    drop(client);
    let recorded = proxy.stop();
    assert_eq!(recorded.only().request.url(), "https://shop.test/x");
    assert!(recorded.only().timing.tls.is_some());
}

#[test]
fn clear_text_inside_a_tunnel_stays_inside_one_through_a_socks_proxy() {
    let (address, served) = server(|mut stream| {
        let greeting = read_exactly(&mut stream, 4);
        stream.write_all(b"\x05\x02").unwrap();
        let who = read_exactly(&mut stream, 13);
        stream.write_all(b"\x01\x00").unwrap();
        let asked = read_exactly(&mut stream, 16);
        stream.write_all(b"\x05\x00\x00\x01\0\0\0\0\0\0").unwrap();
        let head = text(&read_head(&mut stream));
        stream.write_all(OK).unwrap();
        (greeting, who, asked, head)
    });
    let proxy = Proxy::with(|config| config.egress = through(&format!("socks5://anna:geheim@{address}")));
    let mut client = proxy.tunnel("shop.test:80");
    client.write_all(b"GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
    read_head(&mut client);
    assert_eq!(read_exactly(&mut client, 2), b"ok");
    let (greeting, who, asked, head) = served.join().unwrap();
    assert_eq!(greeting, b"\x05\x02\x00\x02");
    assert_eq!(who, b"\x01\x04anna\x06geheim");
    assert_eq!(asked, b"\x05\x01\x00\x03\x09shop.test\x00\x50");
    assert_eq!(head, "GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    drop(client);
    assert_eq!(proxy.stop().only().request.url(), "http://shop.test:80/x".replace(":80", ""));
}

#[test]
fn refusals_of_the_other_proxy_are_pages_and_recorded() {
    let (address, served) = servers(3, |streams| {
        for (stream, answer) in streams.zip([
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
        ]) {
            let mut stream = stream;
            read_head(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
            read_all(&mut stream);
        }
    });
    let proxy = Proxy::with(|config| config.egress = through(&format!("http://{address}")));
    for said in [["407", "user:password"], ["403 Forbidden", "--no-proxy"]] {
        let mut client = proxy.secure("shop.test:443");
        client.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
        let page = text(&read_all(&mut client));
        assert!(page.starts_with("HTTP/1.1 502") && said.iter().all(|word| page.contains(word)), "{page}");
    }
    let page = text(&proxy.ask("GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    assert!(page.starts_with("HTTP/1.1 502") && page.contains("407") && page.contains("--upstream-proxy"), "{page}");
    served.join().unwrap();
    let recorded = proxy.stop();
    let reasons: Vec<&Incomplete> =
        recorded.exchanges.iter().filter_map(|exchange| exchange.incomplete.as_ref()).collect();
    assert!(
        matches!(&reasons[..], [Incomplete::Connect(first), Incomplete::Connect(second), Incomplete::Upstream(third)]
            if first.contains("407") && second.contains("403") && third.contains("407")),
        "{reasons:?}"
    );
}

#[test]
fn an_absent_proxy_is_named_and_hosts_that_need_none_are_reached_directly() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, served) = server(|mut stream| {
        let head = text(&read_head(&mut stream));
        stream.write_all(OK).unwrap();
        head
    });
    let proxy = Proxy::with(|config| config.egress = through(&format!("http://anna:geheim@{nobody}")));
    let got = text(&proxy.ask(&format!("GET http://{address}/d HTTP/1.1\r\nHost: x\r\n\r\n")));
    assert!(got.ends_with("ok"), "{got}");
    assert!(served.join().unwrap().starts_with("GET /d HTTP/1.1"));
    let page = text(&proxy.ask("GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    assert!(page.starts_with("HTTP/1.1 502") && page.contains(&nobody.to_string()), "{page}");
    assert!(page.contains("--upstream-proxy") && !page.contains("geheim"), "{page}");
    let own = proxy.recording.address();
    let page = text(&proxy.ask(&format!("GET http://localhost:{}/ HTTP/1.1\r\nHost: x\r\n\r\n", own.port())));
    assert!(page.starts_with("HTTP/1.1 508"), "{page}");
    assert_eq!(proxy.stop().exchanges.len(), 3);
}
