//! `--mode reverse`: clients take the recorder for the server.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};

use overdub::model::Origin;
use overdub::record::{Address, Egress, Mode, Reverse};
use rustls::RootCertStore;

use super::{Proxy, Upstream, read_all, read_exactly, read_head, secure, server, text};

fn standing_for(origin: &str, address: Address) -> Mode {
    Mode::Reverse(Reverse { origin: origin.parse().unwrap(), address })
}

/// What the fields of a head say.
fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

#[test]
fn a_clear_text_client_of_an_https_server_stays_here_and_the_capture_names_the_server() {
    let upstream = Upstream::named(&["localhost"]);
    let accept = upstream.accept();
    let (address, served) = server(|tcp| {
        let port = tcp.local_addr().unwrap().port();
        let mut stream = accept(tcp);
        let head = read_head(&mut stream);
        let fields = format!(
            "Location: https://localhost:{port}/in\r\nSet-Cookie: sid=1; Domain=localhost; Secure; Path=/\r\nContent-Length: 2\r\n"
        );
        write!(stream, "HTTP/1.1 302 Found\r\n{fields}\r\nok").unwrap();
        stream.flush().unwrap();
        text(&head)
    });
    let origin = format!("https://localhost:{}", address.port());
    let proxy = Proxy::with(|config| {
        config.mode = standing_for(&origin, Address::Translated);
        config.trust = upstream.trust();
    });
    let own = proxy.recording.address();
    let mut client = proxy.connect();
    let fields = format!("Host: {own}\r\nReferer: http://{own}/login?a\r\nOrigin: http://{own}\r\nX-Odd:  a \r\n");
    write!(client, "POST /login HTTP/1.1\r\n{fields}Content-Length: 4\r\n\r\nu=me").unwrap();
    let answer = text(&read_head(&mut client));
    assert_eq!(value(&answer, "location"), Some(format!("http://{own}/in").as_str()));
    assert_eq!(value(&answer, "set-cookie"), Some("sid=1; Path=/"));
    assert_eq!(read_exactly(&mut client, 2), b"ok");
    let seen = served.join().unwrap();
    let authority = origin.strip_prefix("https://").unwrap();
    let expected = format!("Host: {authority}\r\nReferer: {origin}/login?a\r\nOrigin: {origin}\r\nX-Odd:  a \r\n");
    assert_eq!(seen, format!("POST /login HTTP/1.1\r\n{expected}Content-Length: 4\r\n\r\n"));
    drop(client);

    let recorded = proxy.stop();
    let exchange = recorded.only();
    assert_eq!(exchange.request.url(), format!("{origin}/login"));
    assert_eq!(exchange.request.headers.text("referer"), Some(format!("{origin}/login?a").as_str()));
    assert_eq!(recorded.request_body(exchange), b"u=me");
    let said = &exchange.response.as_ref().unwrap().headers;
    assert_eq!(said.text("location"), Some(format!("{origin}/in").as_str()));
    assert_eq!(said.text("set-cookie"), Some("sid=1; Domain=localhost; Secure; Path=/"));
    assert_eq!(exchange.incomplete, None);
    let source = &recorded.capture.provenance().source;
    assert!(source.contains(&origin) && source.contains("redirects"), "{source}");
    assert!(recorded.summary.remarks.rejected.is_empty() && recorded.summary.remarks.led_away.is_empty());
}

/// A server of two answers, and what it was asked.
fn two_answers() -> (SocketAddr, std::thread::JoinHandle<Vec<String>>) {
    server(|mut stream| {
        let answers = [
            "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: https://login.test/\r\nContent-Length: 0\r\n\r\n",
        ];
        answers
            .map(|answer| {
                let head = text(&read_head(&mut stream));
                stream.write_all(answer.as_bytes()).unwrap();
                head
            })
            .to_vec()
    })
}

#[test]
fn a_client_that_speaks_tls_gets_a_certificate_for_the_name_it_asked() {
    let (address, served) = two_answers();
    let proxy = Proxy::with(|config| config.mode = standing_for(&format!("http://{address}"), Address::Translated));
    let mut roots = RootCertStore::empty();
    roots.add(proxy.root.clone()).unwrap();
    let to = format!("localhost:{}", proxy.recording.address().port());
    let mut client = secure(proxy.connect(), &to, roots, &[]);
    for path in ["/1", "/2"] {
        write!(client, "GET {path} HTTP/1.1\r\nHost: {to}\r\nReferer: https://{to}/\r\n\r\n").unwrap();
    }
    let first = text(&read_head(&mut client));
    assert_eq!(value(&first, "strict-transport-security"), None);
    assert_eq!(read_exactly(&mut client, 15), b"5\r\nfirst\r\n0\r\n\r\n");
    assert_eq!(value(&text(&read_head(&mut client)), "location"), Some("https://login.test/"));
    for (path, head) in ["/1", "/2"].iter().zip(served.join().unwrap()) {
        assert_eq!(head, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nReferer: http://{address}/\r\n\r\n"));
    }
    drop(client);
    let recorded = proxy.stop();
    assert_eq!(recorded.exchanges.len(), 2);
    let first = recorded.exchanges[0].response.as_ref().unwrap();
    assert!(first.headers.text("strict-transport-security").is_some(), "the capture holds what the server said");
    let led_away = &recorded.summary.remarks.led_away;
    assert_eq!((led_away[0].host.as_str(), led_away[0].times), ("https://login.test", 1));
}

#[test]
fn with_kept_addresses_no_byte_changes() {
    let (address, served) = two_answers();
    let proxy = Proxy::with(|config| config.mode = standing_for(&format!("http://{address}"), Address::Kept));
    let mut client = proxy.connect();
    let request = "GET /1 HTTP/1.1\r\nhost:shop.test\r\nReferer: http://shop.test/\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    assert_eq!(value(&text(&read_head(&mut client)), "strict-transport-security"), Some("max-age=9"));
    read_exactly(&mut client, 15);
    client.write_all(request.as_bytes()).unwrap();
    read_head(&mut client);
    assert_eq!(served.join().unwrap(), [request, request]);
    drop(client);
    let recorded = proxy.stop();
    let origin: Origin = format!("http://{address}").parse().unwrap();
    assert!(recorded.exchanges.iter().all(|exchange| exchange.request.origin == origin));
}

#[test]
fn whoever_takes_it_for_a_proxy_is_told() {
    let proxy = Proxy::with(|config| config.mode = standing_for("http://127.0.0.1:9", Address::Translated));
    for request in ["GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        let page = text(&proxy.ask(request));
        assert!(page.starts_with("HTTP/1.1 400") && page.contains("--mode reverse"), "{page}");
    }
    let mut client = proxy.connect();
    client.write_all(b"\x16\x03\x01 no TLS").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    read_all(&mut client);
    let recorded = proxy.stop();
    assert!(recorded.exchanges.is_empty());
    assert_eq!(recorded.summary.remarks.malformed, 3);
}

#[test]
fn a_web_socket_opens_as_from_a_page_of_the_server() {
    let (address, served) = server(|mut stream| {
        let head = text(&read_head(&mut stream));
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi").unwrap();
        (head, read_exactly(&mut stream, 30))
    });
    let proxy = Proxy::with(|config| config.mode = standing_for(&format!("http://{address}"), Address::Translated));
    let own = proxy.recording.address();
    let mut client = proxy.connect();
    let fields = format!("Host: {own}\r\nOrigin: http://{own}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    write!(client, "GET /ws HTTP/1.1\r\n{fields}\r\n").unwrap();
    assert!(text(&read_head(&mut client)).starts_with("HTTP/1.1 101"));
    assert_eq!(read_exactly(&mut client, 4), b"\x81\x02hi");
    let message = b"GET / HTTP/1.1\r\nHost: us\r\n\r\n..";
    client.write_all(message).unwrap();
    let (head, said) = served.join().unwrap();
    assert!(head.contains(&format!("Host: {address}\r\nOrigin: http://{address}\r\n")), "{head}");
    assert_eq!(said, message, "behind the upgrade nothing is taken for a head");
    drop(client);
    assert_eq!(proxy.stop().exchanges.len(), 1);
}

#[test]
fn two_recorders_in_a_row_see_the_same_and_change_no_body() {
    const LEN: usize = 6 * 1024 * 1024;
    let body: Vec<u8> = (0..LEN).map(|n| b"Host: Location: \r\n\r\n"[(n * 7 + n / 1000) % 20]).collect();
    let answer = body.clone();
    let (address, served) = server(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let came = read_exactly(&mut stream, LEN);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n").unwrap();
        stream.write_all(&answer).unwrap();
        blake3::hash(&came)
    });
    let behind = Proxy::start();
    let next = behind.recording.address();
    let front = Proxy::with(|config| {
        config.mode = standing_for(&format!("http://{address}"), Address::Translated);
        config.egress = Egress { proxy: Some(format!("http://{next}").parse().unwrap()), direct: vec![] };
    });
    let mut client = front.connect();
    let fields = format!("Host: us.test\r\nExpect: 100-continue\r\nContent-Length: {LEN}\r\n");
    write!(client, "POST /up HTTP/1.1\r\n{fields}\r\n").unwrap();
    assert_eq!(text(&read_head(&mut client)), "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(&body).unwrap();
    read_head(&mut client);
    assert_eq!(blake3::hash(&read_exactly(&mut client, LEN)), blake3::hash(&body));
    assert_eq!(served.join().unwrap(), blake3::hash(&body));
    drop(client);
    let (front, behind) = (front.stop(), behind.stop());
    let (near, far) = (front.only(), behind.only());
    assert_eq!(near.request.url(), format!("http://{address}/up"));
    assert_eq!((&near.request.target, &near.request.headers), (&far.request.target, &far.request.headers));
    assert_eq!(near.request.body, far.request.body);
    assert_eq!(near.response, far.response);
    assert_eq!((&near.incomplete, &far.incomplete), (&None, &None));
}
