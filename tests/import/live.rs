//! One test for one promise: the same traffic, recorded live and imported from packets, gives equal exchanges.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use overdub::capture::Reader;
use overdub::model::{BodySource, Exchange, Headers};
use overdub::record::{self, CertificateAuthority, Config, UpstreamTrust};
use overdub::wire::http2::Frames;
use overdub::wire::http2::hpack::{Encoder, Strings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::wiretap::Tap;
use crate::support::overdub;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the client asks, what the server answers, and whether the connection is over then.
const DIALOGUE: &[(&str, &str, bool)] = &[
    (
        "GET /a?b=c%20d HTTP/1.1\r\nHost: HOST\r\nX-Case: A\r\nx-case:  b \r\nCookie: sid=0123456789abcdef\r\n\r\n",
        "HTTP/1.1 200 Fine, thanks\r\nsErVer: odd\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 5\r\n\r\nhello",
        false,
    ),
    (
        "POST /form HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;x=y\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n",
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Check: ok\r\n\r\n",
        false,
    ),
    ("HEAD /h HTTP/1.1\r\nHost: HOST\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", false),
    ("GET /none HTTP/1.1\r\nHost: HOST\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", false),
    (
        "GET /same HTTP/1.1\r\nHost: HOST\r\nIf-None-Match: \"1\"\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        false,
    ),
    (
        "GET /early HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </x.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        false,
    ),
    (
        "PROPFIND /odd HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\na=b",
        "HTTP/1.1 207 \r\nContent-Length: 0\r\n\r\n",
        false,
    ),
    (
        "GET /close HTTP/1.0\r\nHost: HOST\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
        true,
    ),
];

#[derive(Debug, Default)]
struct Secrets(Mutex<String>);

impl rustls::KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        self.0.lock().unwrap().push_str(&line);
    }
}

/// A certificate for `localhost`, and who vouches for it.
fn identity(secrets: &Arc<Secrets>) -> (CertificateDer<'static>, Arc<ServerConfig>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let certificate: CertificateDer<'static> = certificate.into();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    config.key_log = Arc::clone(secrets) as Arc<dyn rustls::KeyLog>;
    (certificate, Arc::new(config))
}

fn server(tls: Option<Arc<ServerConfig>>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            match &tls {
                None => serve(stream),
                Some(config) => {
                    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream);
                    serve(&mut stream);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                    let _ = stream.sock.shutdown(Shutdown::Write);
                }
            }
        }
    });
    address
}

/// Answers the requests of the dialogue, told apart by their first line.
fn serve(mut stream: impl Read + Write) {
    loop {
        let Some(head) = read_until(&mut stream, b"\r\n\r\n") else { return };
        let line = head.lines().next().unwrap().to_owned();
        let (_, answer, close) = DIALOGUE.iter().find(|(request, ..)| request.starts_with(&line)).unwrap();
        if head.contains("chunked") {
            read_until(&mut stream, b"\r\n\r\n");
        } else if let Some(length) = crate::support::field(&head, "content-length") {
            stream.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        }
        if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() || *close {
            return;
        }
    }
}

fn read_until(stream: &mut impl Read, end: &[u8]) -> Option<String> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) {
        if !stream.read(&mut byte).is_ok_and(|count| count == 1) {
            return None;
        }
        read.push(byte[0]);
    }
    Some(String::from_utf8(read).unwrap())
}

/// Asks through the stream; each answer is read whole before the next request.
fn ask(mut stream: impl Read + Write, prefix: &str, host: &str) {
    for (request, answer, _) in DIALOGUE {
        let (method, rest) = request.split_once(' ').unwrap();
        let request = format!("{method} {prefix}{}", rest.replace("HOST", host));
        stream.write_all(request.as_bytes()).unwrap();
        stream.flush().unwrap();
        stream.read_exact(&mut vec![0; answer.len()]).unwrap();
    }
}

fn exchanges(path: &Path) -> (Reader, Vec<Exchange>) {
    let reader = Reader::open(path).unwrap();
    let all = reader.exchanges().collect::<Result<Vec<_>, _>>().unwrap();
    (reader, all)
}

/// Everything of an exchange but where and when it was seen.
fn content(reader: &Reader, exchange: &Exchange) -> String {
    let bytes = |body| String::from_utf8_lossy(&reader.load(body, u64::MAX).unwrap()).into_owned();
    let fields = |headers: &Headers| format!("{headers:?}");
    let request = &exchange.request;
    let mut out = format!(
        "{} {} {} {:?} {} {} {}",
        exchange.session.0,
        request.method,
        request.url(),
        request.version,
        fields(&request.headers),
        bytes(&request.body),
        fields(&request.trailers)
    );
    for response in exchange.interim.iter().chain(&exchange.response) {
        out += &format!(
            "\n  {} {} {:?} {} {} {}",
            response.status,
            String::from_utf8_lossy(&response.reason),
            response.version,
            fields(&response.headers),
            bytes(&response.body),
            fields(&response.trailers)
        );
    }
    let timing = &exchange.timing;
    out + &format!(
        "\n  {:?} tls {:?} sni {:?} stream {:?} connect {} handshake {}",
        exchange.incomplete,
        exchange.transport.tls,
        exchange.transport.sni,
        exchange.transport.stream,
        timing.connect.is_some(),
        timing.tls.is_some()
    )
}

#[test]
fn the_same_traffic_recorded_live_and_imported_from_packets_gives_equal_exchanges() {
    for secure in [false, true] {
        let secrets = Arc::new(Secrets::default());
        let (root, config) = identity(&secrets);
        let tap = Tap::in_front_of(server(secure.then_some(config)));
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live.dub");
        record_live(&live, &tap, secure, root);

        let (pcap, keys, imported) =
            (dir.path().join("tap.pcap"), dir.path().join("keys.txt"), dir.path().join("imported.dub"));
        std::fs::write(&pcap, tap.pcap()).unwrap();
        std::fs::write(&keys, secrets.0.lock().unwrap().as_bytes()).unwrap();
        let mut import = overdub();
        import.arg("import").arg(&pcap).arg("-o").arg(&imported);
        if secure {
            import.arg("--keylog").arg(&keys);
        }
        let done = import.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

        let (live, recorded) = exchanges(&live);
        let (imported, seen) = exchanges(&imported);
        assert_eq!(recorded.len(), DIALOGUE.len());
        let told = |reader: &Reader, all: &[Exchange]| {
            all.iter().map(|exchange| content(reader, exchange)).collect::<Vec<_>>()
        };
        assert_eq!(told(&live, &recorded), told(&imported, &seen), "secure: {secure}");
        for (live, tapped) in recorded.iter().zip(&seen) {
            let waited = |e: &Exchange| e.timing.upstream_first.unwrap().since(e.timing.upstream_sent.unwrap());
            assert!(waited(tapped) <= waited(live) + Duration::from_millis(50), "{live:?} {tapped:?}");
        }
    }
}

/// Frames of both sides: a call of gRPC with trailers, a request with a cookie, a stream that the server resets.
fn frames() -> (Vec<u8>, Vec<u8>) {
    let (mut client, mut server) = (Encoder::new(Strings::Huffman), Encoder::new(Strings::Huffman));
    let (mut asked, mut said) = (Frames::new(), Frames::new());
    asked.preface().settings(&[]);
    let mut ask = |asked: &mut Frames, stream, method: &[u8], path: &[u8], more: &[(&[u8], &[u8])], end| {
        let mut fields: Vec<(&[u8], &[u8])> =
            vec![(b":method", method), (b":scheme", b"http"), (b":authority", b"shop.test"), (b":path", path)];
        fields.extend_from_slice(more);
        asked.headers(stream, &client.block(&fields), end);
    };
    ask(&mut asked, 1, b"POST", b"/shop.Cart/List", &[(b"content-type", b"application/grpc")], false);
    asked.data(1, b"\0\0\0\0\x02hi", true);
    ask(&mut asked, 3, b"GET", b"/page?x=1", &[(b"cookie", b"sid=0123456789abcdef")], true);
    ask(&mut asked, 5, b"GET", b"/slow", &[], true);
    said.settings(&[(3, 100)]).settings_ack();
    let head = server.block(&[(b":status", b"200"), (b"content-type", b"application/grpc")]);
    said.headers(1, &head, false).data(1, b"\0\0\0\0\x03one", false);
    said.headers(1, &server.block(&[(b"grpc-status", b"0")]), true).reset(5, 7);
    let head = server.block(&[(b":status", b"200"), (b"content-type", b"text/plain"), (b"set-cookie", b"a=1")]);
    said.headers(3, &head, false).data(3, b"hello", true);
    (asked.bytes, said.bytes)
}

#[test]
fn http2_recorded_live_and_imported_from_packets_gives_equal_exchanges_and_messages() {
    let (asked, said) = frames();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (length, answer) = (asked.len(), said.clone());
    let tap = Tap::in_front_of(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut vec![0; length]).unwrap();
        stream.write_all(&answer).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    recording(&at("live.dub"), UpstreamTrust::default(), |mut stream, _| {
        tunnel(&mut stream, &tap.address.to_string());
        stream.write_all(&asked).unwrap();
        stream.read_exact(&mut vec![0; said.len()]).unwrap();
    });
    server.join().unwrap();
    std::fs::write(at("tap.pcap"), tap.pcap()).unwrap();
    let done = overdub().arg("import").arg(at("tap.pcap")).arg("-o").arg(at("imported.dub")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told = |name: &str| {
        let (reader, all) = exchanges(&at(name));
        let mut told: Vec<String> = all
            .iter()
            .map(|exchange| {
                let said = reader.messages(exchange.id).unwrap();
                let said = said.iter().map(|m| (m.from, m.kind, reader.load(&m.body, u64::MAX).unwrap()));
                format!("{}\n  {:?}", content(&reader, exchange), said.collect::<Vec<_>>())
            })
            .collect();
        told.sort();
        told
    };
    assert_eq!(told("live.dub").len(), 3);
    assert_eq!(told("live.dub"), told("imported.dub"));
}

fn record_live(output: &Path, tap: &Tap, secure: bool, root: CertificateDer<'static>) {
    let trust = UpstreamTrust { system: false, extra: vec![root], insecure: false };
    recording(output, trust, |mut stream, proxy_root| {
        if secure {
            let host = format!("localhost:{}", tap.address.port());
            tunnel(&mut stream, &host);
            let mut roots = RootCertStore::empty();
            roots.add(proxy_root).unwrap();
            let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            let name = ServerName::try_from("localhost").unwrap();
            ask(StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream), "", &host);
        } else {
            ask(&mut stream, &format!("http://{}", tap.address), &tap.address.to_string());
        }
    });
}

fn tunnel(stream: &mut TcpStream, to: &str) {
    write!(stream, "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").unwrap();
    read_until(stream, b"\r\n\r\n").unwrap();
}

/// Records what one client of the proxy does, who may trust the proxy's root.
fn recording(output: &Path, trust: UpstreamTrust, client: impl FnOnce(TcpStream, CertificateDer<'static>)) {
    let authority = CertificateAuthority::ephemeral().unwrap();
    let proxy_root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
    let config = Config { trust, ..Config::new("127.0.0.1:0".parse().unwrap(), output.to_owned(), authority) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let recording = runtime.block_on(record::start(config)).unwrap();
    let stream = TcpStream::connect(recording.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client(stream, proxy_root);
    runtime.block_on(recording.stop()).unwrap();
}
