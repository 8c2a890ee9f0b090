//! HTTP/2 and what else TLS can carry, through the proxy: bytes pass as they are, exchanges are recorded from the side.

use std::io::Write;
use std::net::Shutdown;
use std::thread::JoinHandle;

use overdub::model::{Exchange, Incomplete, MessageKind, Remark, Side, Version};
use overdub::record::Http3Hints;
use overdub::wire::http2::hpack::{Encoder, Strings};
use overdub::wire::http2::{Frames, PREFACE};
use rustls::{ClientConnection, StreamOwned};

use super::{Proxy, Upstream, fields, read_all, read_exactly, read_head, server, text};

type Secure = StreamOwned<ClientConnection, std::net::TcpStream>;

/// What a client says from the preface on.
struct Asking {
    frames: Frames,
    encoder: Encoder,
    authority: String,
}

impl Asking {
    fn new(authority: &str) -> Self {
        let mut frames = Frames::new();
        frames.preface().settings(&[]);
        Self { frames, encoder: Encoder::new(Strings::Huffman), authority: authority.to_owned() }
    }

    fn request(mut self, stream: u32, method: &str, path: &str, more: &[(&[u8], &[u8])], end: bool) -> Self {
        let authority = self.authority.clone();
        let mut list: Vec<(&[u8], &[u8])> = vec![
            (b":method", method.as_bytes()),
            (b":scheme", b"https"),
            (b":authority", authority.as_bytes()),
            (b":path", path.as_bytes()),
        ];
        list.extend_from_slice(more);
        let block = self.encoder.block(&list);
        self.frames.headers(stream, &block, end);
        self
    }
}

/// A server that reads `expected` bytes and answers `said` at once, over TLS; what it read comes back.
fn answering(upstream: &Upstream, expected: usize, said: Vec<u8>) -> (String, JoinHandle<Vec<u8>>) {
    let accept = upstream.accept();
    let (address, served) = server(move |tcp| {
        let mut stream = accept(tcp);
        let heard = read_exactly(&mut stream, expected);
        stream.write_all(&said).unwrap();
        stream.flush().unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let _ = read_all(&mut stream);
        heard
    });
    (format!("localhost:{}", address.port()), served)
}

fn agreed(client: &mut Secure) -> Option<String> {
    client.flush().unwrap();
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock).unwrap();
    }
    client.conn.alpn_protocol().map(text)
}

/// Says `asked`, hears all that comes, hangs up.
fn converse(proxy: &Proxy, to: &str, asked: &[u8], expected: usize) -> Vec<u8> {
    let mut client = proxy.secure_speaking(to, &["h2", "http/1.1"]);
    client.write_all(asked).unwrap();
    client.flush().unwrap();
    let heard = read_exactly(&mut client, expected);
    client.conn.send_close_notify();
    let _ = client.flush();
    let _ = client.sock.shutdown(Shutdown::Write);
    let _ = read_all(&mut client);
    heard
}

fn remarks(exchange: &Exchange) -> Vec<&str> {
    exchange
        .remarks
        .iter()
        .filter_map(|r| if let Remark::Other(words) = r { Some(words.as_str()) } else { None })
        .collect()
}

#[test]
fn http2_passes_byte_for_byte_and_each_stream_is_an_exchange() {
    let mut encoder = Encoder::new(Strings::Huffman);
    let mut said = Frames::new();
    said.settings(&[(3, 100)]).settings_ack();
    let head = encoder.block(&[(b":status", b"200"), (b"content-type", b"application/grpc"), (b"x-n", b"1")]);
    said.headers(1, &head, false).data(1, b"\0\0\0\0\x03one", false).data(1, b"\0\0\0\0\x03two", false);
    let trailers = encoder.block(&[(b"grpc-status", b"0")]);
    said.headers(1, &trailers, true).reset(3, 8).ping([1; 8]);
    let head = encoder.block(&[(b":status", b"404"), (b"content-type", b"text/plain"), (b"x-n", b"1")]);
    said.headers(5, &head, false).data(5, b"no", true);
    let upstream = Upstream::named(&["localhost"]).speaking(&["h2", "http/1.1"]);
    let proxy = Proxy::trusting(upstream.trust());
    let grpc: &[(&[u8], &[u8])] = &[(b"content-type", b"application/grpc"), (b"te", b"trailers")];
    let mut asked = Asking::new("shop.test:8443").request(1, "POST", "/shop.Cart/List", grpc, false);
    asked.frames.data(1, b"\0\0\0\0\x02hi", true);
    let asked =
        asked.request(3, "GET", "/slow", &[], true).request(5, "GET", "/none?x=1", &[(b"cookie", b"a=b")], true);
    let (to, served) = answering(&upstream, asked.frames.bytes.len(), said.bytes.clone());
    assert_eq!(converse(&proxy, &to, &asked.frames.bytes, said.bytes.len()), said.bytes);
    assert_eq!(served.join().unwrap(), asked.frames.bytes);
    let recorded = proxy.stop();
    let [call, slow, none] = &recorded.exchanges[..] else { panic!("{:?}", recorded.exchanges) };
    let (call, none, slow) = match (slow.request.target.as_slice(), none.request.target.as_slice()) {
        (b"/slow", _) => (call, none, slow),
        _ => (call, slow, none),
    };
    assert_eq!(call.request.url(), "https://shop.test:8443/shop.Cart/List");
    assert_eq!((call.request.version, call.transport.alpn.as_deref()), (Version::Http2, Some("h2")));
    assert_eq!((call.transport.tls.as_deref(), call.transport.sni.as_deref()), (Some("TLSv1.3"), Some("localhost")));
    assert_eq!((call.transport.stream, call.transport.client_connection), (Some(1), 1));
    assert!(call.timing.connect.is_some() && call.timing.tls.is_some());
    assert_eq!(call.incomplete, None);
    let grpc = |side, text: &str| (side, MessageKind::Grpc, text.as_bytes().to_vec());
    let expected = [grpc(Side::Request, "hi"), grpc(Side::Response, "one"), grpc(Side::Response, "two")];
    assert_eq!(recorded.messages(call), expected);
    assert_eq!(call.response.as_ref().unwrap().trailers.text("grpc-status"), Some("0"));
    assert!(
        matches!(&slow.incomplete, Some(Incomplete::Upstream(why)) if why.contains("CANCEL")),
        "{:?}",
        slow.incomplete
    );
    assert_eq!((none.response.as_ref().unwrap().status, recorded.response_body(none)), (404, b"no".to_vec()));
    assert_eq!(fields(none), [("cookie".to_owned(), "a=b".to_owned())]);
}

#[test]
fn the_protocol_is_what_the_server_chooses_of_what_the_client_offers() {
    for (offered, spoken, chosen) in [
        (&["h2", "http/1.1"][..], &["http/1.1"][..], Some("http/1.1")),
        (&["http/1.1"], &["h2", "http/1.1"], Some("http/1.1")),
        (&["h2", "http/1.1"], &["h2", "http/1.1"], Some("h2")),
        (&["h2", "http/1.1"], &[], None),
        (&[], &["h2", "http/1.1"], None),
        (&["mqtt"], &["mqtt", "h2"], Some("mqtt")),
    ] {
        let upstream = Upstream::named(&["localhost"]).speaking(spoken);
        let accept = upstream.accept();
        let (address, served) = server(move |tcp| {
            let mut stream = accept(tcp);
            let _ = read_all(&mut stream);
            stream.conn.alpn_protocol().map(text)
        });
        let proxy = Proxy::trusting(upstream.trust());
        let mut client = proxy.secure_speaking(&format!("localhost:{}", address.port()), offered);
        assert_eq!(agreed(&mut client).as_deref(), chosen, "{offered:?} to {spoken:?}");
        drop(client);
        assert_eq!(served.join().unwrap().as_deref(), chosen, "{offered:?} to {spoken:?}");
        proxy.stop();
    }
}

#[test]
fn hints_at_http3_are_kept_from_the_client_and_in_the_capture() {
    let mut encoder = Encoder::new(Strings::Plain);
    let mut said = Frames::new();
    said.settings(&[]);
    let head = encoder.block(&[(b":status", b"200"), (b"alt-svc", b"h3=\":443\""), (b"server", b"x")]);
    said.headers(1, &head, true);
    for hints in [Http3Hints::Removed, Http3Hints::Passed] {
        let upstream = Upstream::named(&["localhost"]).speaking(&["h2"]);
        let proxy = Proxy::configured(upstream.trust(), |config| config.hints = hints);
        let asked = Asking::new("localhost").request(1, "GET", "/", &[], true).frames.bytes;
        let (to, served) = answering(&upstream, asked.len(), said.bytes.clone());
        let heard = converse(&proxy, &to, &asked, said.bytes.len());
        served.join().unwrap();
        assert_eq!(heard.windows(7).any(|window| window == b"alt-svc"), hints == Http3Hints::Passed);
        let recorded = proxy.stop();
        let response = recorded.only().response.as_ref().unwrap();
        assert_eq!(response.headers.text("alt-svc"), Some("h3=\":443\""));
        assert_eq!(remarks(recorded.only()).iter().any(|w| w.contains("Alt-Svc")), hints == Http3Hints::Removed);
    }
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nAlt-Svc: h3\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(text(&read_head(&mut client)), "HTTP/1.1 200 OK\r\nsvc-alt: h3\r\nContent-Length: 0\r\n\r\n");
    served.join().unwrap();
    drop(client);
    let recorded = proxy.stop();
    assert_eq!(recorded.only().response.as_ref().unwrap().headers.text("alt-svc"), Some("h3"));
    assert_eq!(remarks(recorded.only()).len(), 1);
}

#[test]
fn a_websocket_over_http2_is_one_exchange_with_its_messages() {
    let mut encoder = Encoder::new(Strings::Huffman);
    let (mut welcome, mut goodbye) = (Frames::new(), Frames::new());
    welcome.settings(&[(8, 1)]).headers(1, &encoder.block(&[(b":status", b"200")]), false).data(
        1,
        b"\x81\x02hi",
        false,
    );
    goodbye.data(1, &[0x88, 2, 3, 0xe8], true);
    let heard = [welcome.bytes.len(), goodbye.bytes.len()];
    let websocket: &[(&[u8], &[u8])] = &[(b":protocol", b"websocket"), (b"sec-websocket-version", b"13")];
    let asked = Asking::new("localhost").request(1, "CONNECT", "/chat", websocket, false).frames.bytes;
    let mut close = Frames::new();
    close.data(1, b"\x88\x80\0\0\0\0", true);
    let said = [asked.len(), close.bytes.len()];
    let upstream = Upstream::named(&["localhost"]).speaking(&["h2"]);
    let accept = upstream.accept();
    let (address, served) = server(move |tcp| {
        let mut stream = accept(tcp);
        for (heard, answer) in said.into_iter().zip([welcome, goodbye]) {
            read_exactly(&mut stream, heard);
            stream.write_all(&answer.bytes).unwrap();
            stream.flush().unwrap();
        }
        let _ = read_all(&mut stream);
    });
    let proxy = Proxy::trusting(upstream.trust());
    let mut client = proxy.secure_speaking(&format!("localhost:{}", address.port()), &["h2"]);
    for (said, heard) in [asked, close.bytes].into_iter().zip(heard) {
        client.write_all(&said).unwrap();
        client.flush().unwrap();
        read_exactly(&mut client, heard);
    }
    drop(client);
    served.join().unwrap();
    let recorded = proxy.stop();
    assert_eq!(recorded.only().incomplete, None);
    let expected = [
        (Side::Response, MessageKind::Text, b"hi".to_vec()),
        (Side::Request, MessageKind::Close, vec![]),
        (Side::Response, MessageKind::Close, vec![3, 0xe8]),
    ];
    assert_eq!(recorded.messages(recorded.only()), expected);
}

#[test]
fn http2_in_clear_text_by_prior_knowledge_is_recorded() {
    let mut encoder = Encoder::new(Strings::Huffman);
    let mut said = Frames::new();
    said.settings(&[]).headers(1, &encoder.block(&[(b":status", b"204")]), true);
    let answer = said.bytes.clone();
    let asked = Asking::new("shop.test").request(1, "GET", "/", &[], true).frames.bytes;
    let length = asked.len();
    let (address, served) = server(move |mut stream| {
        let heard = read_exactly(&mut stream, length);
        stream.write_all(&answer).unwrap();
        heard
    });
    let proxy = Proxy::start();
    let mut client = proxy.tunnel(&address.to_string());
    client.write_all(&asked[..PREFACE.len() - 3]).unwrap();
    client.write_all(&asked[PREFACE.len() - 3..]).unwrap();
    assert_eq!(read_all(&mut client), said.bytes);
    assert_eq!(served.join().unwrap(), asked);
    drop(client);
    let recorded = proxy.stop();
    assert_eq!(recorded.only().request.url(), "http://shop.test/");
    assert_eq!(recorded.only().response.as_ref().unwrap().status, 204);
}

#[test]
fn a_server_in_tls_that_speaks_first_is_recorded_as_bytes() {
    let upstream = Upstream::named(&["localhost"]);
    let accept = upstream.accept();
    let (address, served) = server(move |tcp| {
        let mut stream = accept(tcp);
        stream.write_all(b"* OK IMAP\r\n").unwrap();
        stream.flush().unwrap();
        let said = read_exactly(&mut stream, 10);
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        said
    });
    let proxy = Proxy::trusting(upstream.trust());
    let to = format!("localhost:{}", address.port());
    let mut client = proxy.secure(&to);
    assert_eq!(read_exactly(&mut client, 11), b"* OK IMAP\r\n");
    client.write_all(b"a LOGOUT\r\n").unwrap();
    client.flush().unwrap();
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(served.join().unwrap(), b"a LOGOUT\r\n");
    drop(client);
    let recorded = proxy.stop();
    assert_eq!(recorded.only().request.url(), format!("https://{to}{to}"));
    assert!(matches!(recorded.only().incomplete, Some(Incomplete::Upgraded(_))));
    let bytes = |side, text: &str| (side, MessageKind::Bytes, text.as_bytes().to_vec());
    assert_eq!(
        recorded.messages(recorded.only()),
        [bytes(Side::Response, "* OK IMAP\r\n"), bytes(Side::Request, "a LOGOUT\r\n")]
    );
}
