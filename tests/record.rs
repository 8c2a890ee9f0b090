//! The proxy against real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

mod companions;
mod filter;
mod http2;
mod list;
mod marks;
mod modes;
mod noise;
mod people;
mod redact;
mod tls;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use overdub::capture::Reader;
use overdub::model::{BodySource, Exchange, Incomplete, MessageKind, Side};
use overdub::record::{
    self, CertificateAuthority, Config, Filter, RecordSummary, Recording, TlsOptions, UpstreamTrust,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConnection, RootCertStore, ServerConnection, StreamOwned};

/// Ends a test that would hang; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// A recording under test.
struct Proxy {
    runtime: tokio::runtime::Runtime,
    recording: Recording,
    dir: tempfile::TempDir,
    root: CertificateDer<'static>,
}

/// What a recording left.
struct Recorded {
    summary: RecordSummary,
    capture: Reader,
    exchanges: Vec<Exchange>,
    dir: tempfile::TempDir,
}

impl Proxy {
    fn start() -> Self {
        Self::with(|_| {})
    }

    fn trusting(trust: UpstreamTrust) -> Self {
        Self::configured(trust, |_| {})
    }

    fn with_tls(trust: UpstreamTrust, tls: TlsOptions) -> Self {
        Self::configured(trust, |config| config.tls = tls)
    }

    fn filtering(trust: UpstreamTrust, filter: Filter) -> Self {
        Self::configured(trust, |config| config.filter = filter)
    }

    fn configured(trust: UpstreamTrust, change: impl FnOnce(&mut Config)) -> Self {
        Self::with(|config| {
            config.trust = trust;
            change(config);
        })
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::ephemeral().unwrap();
        let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let trust = UpstreamTrust { system: false, ..UpstreamTrust::default() };
        let mut config = Config { trust, ..Config::new(listen, dir.path().join("test.dub"), authority) };
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let recording = runtime.block_on(record::start(config)).unwrap();
        Self { runtime, recording, dir, root }
    }

    fn connect(&self) -> TcpStream {
        patient(TcpStream::connect(self.recording.address()).unwrap())
    }

    /// A tunnel to `to`, through which nothing has gone yet.
    fn tunnel(&self, to: &str) -> TcpStream {
        let mut stream = self.connect();
        write!(stream, "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").unwrap();
        assert_eq!(text(&read_head(&mut stream)), "HTTP/1.1 200 Connection established\r\n\r\n");
        stream
    }

    /// TLS through a tunnel, by a client that trusts the proxy's root.
    fn secure(&self, to: &str) -> StreamOwned<ClientConnection, TcpStream> {
        self.secure_speaking(to, &[])
    }

    /// The same, offering these protocols.
    fn secure_speaking(&self, to: &str, alpn: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        secure(self.tunnel(to), to, roots, alpn)
    }

    /// Sends a whole request to the plain proxy, closes the sending side, reads until the end.
    fn ask(&self, request: &str) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(&mut stream)
    }

    fn stop(self) -> Recorded {
        let summary = self.runtime.block_on(self.recording.stop()).unwrap();
        let capture = Reader::open(&self.dir.path().join("test.dub")).unwrap();
        let exchanges = capture.exchanges().collect::<Result<Vec<_>, _>>().unwrap();
        assert!(!capture.damage().unfinished);
        Recorded { summary, capture, exchanges, dir: self.dir }
    }
}

impl Recorded {
    fn only(&self) -> &Exchange {
        assert_eq!(self.exchanges.len(), 1, "{:?}", self.exchanges);
        &self.exchanges[0]
    }

    fn request_body(&self, exchange: &Exchange) -> Vec<u8> {
        self.capture.load(&exchange.request.body, u64::MAX).unwrap()
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("test.dub")
    }

    /// Who said what inside an exchange.
    fn messages(&self, exchange: &Exchange) -> Vec<(Side, MessageKind, Vec<u8>)> {
        let messages = self.capture.messages(exchange.id).unwrap();
        messages.iter().map(|m| (m.from, m.kind, self.capture.load(&m.body, u64::MAX).unwrap())).collect()
    }

    fn response_body(&self, exchange: &Exchange) -> Vec<u8> {
        self.capture.load(&exchange.response.as_ref().unwrap().body, u64::MAX).unwrap()
    }
}

fn secure(tcp: TcpStream, to: &str, roots: RootCertStore, alpn: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
    let host = to.rsplit_once(':').unwrap().0;
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A server that plays `script` with its first connection.
fn server<T: Send + 'static>(script: impl FnOnce(TcpStream) -> T + Send + 'static) -> (SocketAddr, JoinHandle<T>) {
    servers(1, |streams| script(streams.next().unwrap()))
}

/// A server that plays `script` with its first connections.
fn servers<T: Send + 'static>(
    connections: usize,
    script: impl FnOnce(&mut dyn Iterator<Item = TcpStream>) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut streams = (0..connections).map(move |_| patient(listener.accept().unwrap().0));
    (address, thread::spawn(move || script(&mut streams)))
}

fn read_head(stream: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap() == 0 {
            break;
        }
        head.push(byte[0]);
    }
    head
}

fn read_exactly(stream: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Everything until the connection ends, well or not.
fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("nothing came for a long time after {:?}", text(&all))
            }
            Err(_) => return all,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fields(exchange: &Exchange) -> Vec<(String, String)> {
    exchange.request.headers.0.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// A certificate authority for upstream servers, and a server configuration it vouches for.
struct Upstream {
    root: CertificateDer<'static>,
    config: Arc<rustls::ServerConfig>,
}

impl Upstream {
    fn named(names: &[&str]) -> Self {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::default();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![leaf.into()], key).unwrap();
        Self { root: root.into(), config: Arc::new(config) }
    }

    fn trust(&self) -> UpstreamTrust {
        UpstreamTrust { system: false, extra: vec![self.root.clone()], insecure: false }
    }

    /// Agrees on one of these protocols.
    fn speaking(mut self, alpn: &[&str]) -> Self {
        let config = Arc::get_mut(&mut self.config).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    fn accept(&self) -> impl FnOnce(TcpStream) -> StreamOwned<ServerConnection, TcpStream> + Send + 'static {
        let config = self.config.clone();
        move |tcp| StreamOwned::new(ServerConnection::new(config).unwrap(), tcp)
    }
}

#[test]
fn a_plain_request_reaches_the_server_byte_for_byte_in_origin_form() {
    let answer = "HTTP/1.1 200 Fine, thanks\r\nsErVer: odd\r\nX-Two: 1\r\nX-Two:  2\r\nContent-Length: 5\r\n\r\nhello";
    let (address, served) = server(move |mut stream| {
        let head = read_head(&mut stream);
        stream.write_all(answer.as_bytes()).unwrap();
        head
    });
    let proxy = Proxy::start();
    let fields_sent = "hOsT: shop.test\r\nX-Same: a\r\nx-SAME:b\r\nAccept:   */*  \r\n";
    let hop = "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n";
    let got = proxy.ask(&format!("GET http://{address}/a%20b?c=d#e HTTP/1.1\r\n{fields_sent}{hop}\r\n"));
    assert_eq!(text(&got), answer);
    assert_eq!(text(&served.join().unwrap()), format!("GET /a%20b?c=d HTTP/1.1\r\n{fields_sent}\r\n"));

    let recorded = proxy.stop();
    let exchange = recorded.only();
    assert_eq!(exchange.request.url(), format!("http://{address}/a%20b?c=d"));
    let expected = [("hOsT", "shop.test"), ("X-Same", "a"), ("x-SAME", "b"), ("Accept", "*/*")];
    assert_eq!(fields(exchange), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    let response = exchange.response.as_ref().unwrap();
    assert_eq!((response.status, text(&response.reason).as_str()), (200, "Fine, thanks"));
    assert_eq!(response.headers.all("x-two").map(text).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(recorded.response_body(exchange), b"hello");
    assert_eq!(exchange.incomplete, None);
    assert_eq!(exchange.transport.upstream_connection, Some(1));
    let timing = exchange.timing;
    assert!(timing.connect.is_some() && timing.tls.is_none());
    let order = [
        Some(timing.started),
        timing.request_done,
        timing.upstream_sent,
        timing.upstream_first,
        timing.client_first,
        Some(timing.finished),
    ];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{timing:?}");
    assert!(timing.upstream_done >= timing.upstream_first, "{timing:?}");
    assert_eq!(recorded.capture.sessions().len(), 1);
}

#[test]
fn chunks_trailers_and_extensions_pass_unchanged_and_are_recorded_without_their_coding() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 9\r\n\r\n";
    let body = "4\r\nwiki\r\n05\r\npedia\r\n000\r\nX-Check: ok\r\n\r\n";
    let (address, served) = server(move |mut stream| {
        let head = read_head(&mut stream);
        let body = read_exactly(&mut stream, body.len());
        stream.write_all(answer.as_bytes()).unwrap();
        (head, body)
    });
    let proxy = Proxy::start();
    let request = format!("POST http://{address}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    assert_eq!(text(&proxy.ask(&request)), answer);
    assert_eq!(text(&served.join().unwrap().1), body);
    let recorded = proxy.stop();
    let exchange = recorded.only();
    assert_eq!(recorded.request_body(exchange), b"wikipedia");
    assert_eq!(recorded.response_body(exchange), b"abc0123456789");
    assert_eq!(exchange.request.trailers.text("x-check"), Some("ok"));
    assert_eq!(exchange.response.as_ref().unwrap().trailers.text("x-sum"), Some("9"));
}

#[test]
fn answers_without_a_body_keep_the_connection_in_step() {
    let (address, served) = server(|mut stream| {
        for answer in ["200 OK\r\nContent-Length: 99", "204 No Content", "304 Not Modified\r\nContent-Length: 9"] {
            read_head(&mut stream);
            write!(stream, "HTTP/1.1 {answer}\r\n\r\n").unwrap();
        }
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304")] {
        write!(client, "{method} http://{address}/{status} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let head = text(&read_head(&mut client));
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    }
    drop(client);
    served.join().unwrap();
    let recorded = proxy.stop();
    let statuses: Vec<u16> = recorded.exchanges.iter().map(|e| e.response.as_ref().unwrap().status).collect();
    assert_eq!(statuses, [200, 204, 304]);
    assert!(recorded.exchanges.iter().all(|e| e.incomplete.is_none() && e.transport.upstream_connection == Some(1)));
    assert_eq!(recorded.exchanges.iter().filter(|e| e.timing.connect.is_some()).count(), 1);
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_before_it_sends_the_body() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let body = read_exactly(&mut stream, 4);
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").unwrap();
        body
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    let head = "Host: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n";
    write!(client, "PUT http://{address}/ HTTP/1.1\r\n{head}\r\n").unwrap();
    assert_eq!(text(&read_head(&mut client)), "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"body").unwrap();
    assert!(text(&read_head(&mut client)).starts_with("HTTP/1.1 201"));
    assert_eq!(served.join().unwrap(), b"body");
    drop(client);
    let recorded = proxy.stop();
    let exchange = recorded.only();
    assert_eq!(exchange.interim.iter().map(|r| r.status).collect::<Vec<_>>(), [100]);
    assert_eq!(exchange.response.as_ref().unwrap().status, 201);
    assert_eq!(recorded.request_body(exchange), b"body");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (address, served) = server(|mut stream| {
        for body in ["one", "two"] {
            read_head(&mut stream);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{body}").unwrap();
        }
    });
    let proxy = Proxy::start();
    let request = |path: &str| format!("GET http://{address}/{path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let got = text(&proxy.ask(&(request("1") + &request("2"))));
    served.join().unwrap();
    assert!(got.find("one").unwrap() < got.find("two").unwrap(), "{got}");
    let recorded = proxy.stop();
    let targets: Vec<String> = recorded.exchanges.iter().map(|e| text(&e.request.target)).collect();
    assert_eq!(targets, ["/1", "/2"]);
    assert_eq!(recorded.response_body(&recorded.exchanges[1]), b"two");
}

#[test]
fn https_is_recorded_with_the_names_and_the_protocol_of_the_server() {
    let upstream = Upstream::named(&["localhost", "shop.test"]);
    let accept = upstream.accept();
    let (address, served) = server(|tcp| {
        let mut stream = accept(tcp);
        for _ in 0..2 {
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").unwrap();
            stream.flush().unwrap();
        }
    });
    let proxy = Proxy::trusting(upstream.trust());
    let mut client = proxy.secure(&format!("localhost:{}", address.port()));
    for path in ["/1", "/2"] {
        write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        read_head(&mut client);
        assert_eq!(read_exactly(&mut client, 6), b"secret");
    }
    let shown = client.conn.peer_certificates().unwrap()[0].clone();
    let names = text(&shown);
    assert!(names.contains("shop.test"), "the server's other name is mirrored");
    drop(client);
    served.join().unwrap();
    let recorded = proxy.stop();
    assert_eq!(recorded.exchanges.len(), 2);
    let (first, second) = (&recorded.exchanges[0], &recorded.exchanges[1]);
    assert_eq!(first.request.url(), format!("https://localhost:{}/1", address.port()));
    assert_eq!(recorded.response_body(first), b"secret");
    assert_eq!(first.transport.tls.as_deref(), Some("TLSv1.3"));
    assert_eq!(first.transport.sni.as_deref(), Some("localhost"));
    assert!(first.timing.connect.is_some() && first.timing.tls.is_some(), "the connection that told the names is used");
    assert_eq!((first.transport.upstream_connection, second.transport.upstream_connection), (Some(1), Some(1)));
    assert!(second.timing.connect.is_none() && second.timing.tls.is_none());
}

#[test]
fn an_untrusted_server_gives_a_page_that_says_what_to_do() {
    let upstream = Upstream::named(&["localhost"]);
    let accept = upstream.accept();
    let (address, served) = server(|tcp| accept(tcp).read(&mut [0; 1]).is_err());
    let proxy = Proxy::start();
    let mut client = proxy.secure(&format!("localhost:{}", address.port()));
    client.write_all(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=b").unwrap();
    let page = text(&read_all(&mut client));
    assert!(page.starts_with("HTTP/1.1 502"), "{page}");
    assert!(
        page.contains("localhost") && page.contains("--upstream-ca") && page.contains("is not trusted here"),
        "{page}"
    );
    assert!(served.join().unwrap(), "the handshake was broken off");
    let recorded = proxy.stop();
    let exchange = recorded.only();
    assert!(matches!(&exchange.incomplete, Some(Incomplete::Connect(why)) if why.contains("not trusted")));
    assert!(exchange.response.is_none(), "the page is ours, not the server's");
    assert_eq!(recorded.request_body(exchange), b"a=b");
}

#[test]
fn a_server_named_by_its_own_certificate_is_trusted() {
    let upstream = Upstream::named(&["elsewhere.test"]);
    let (accept, accept_again) = (upstream.accept(), upstream.accept());
    let trusting = |proxy: Proxy, address: SocketAddr| {
        let mut client = proxy.secure(&format!("localhost:{}", address.port()));
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let status = text(&read_head(&mut client))[9..12].to_owned();
        drop(client);
        (status, proxy.stop().exchanges.len())
    };
    let script = |mut stream: StreamOwned<ServerConnection, TcpStream>| {
        let mut byte = [0];
        if stream.read(&mut byte).is_ok_and(|count| count == 1) {
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    };
    let (address, served) = server(move |tcp| script(accept(tcp)));
    assert_eq!(trusting(Proxy::trusting(upstream.trust()), address).0, "502", "the name does not fit");
    served.join().unwrap();
    let (address, served) = server(move |tcp| script(accept_again(tcp)));
    let insecure = UpstreamTrust { insecure: true, ..UpstreamTrust::default() };
    assert_eq!(trusting(Proxy::trusting(insecure), address), ("204".into(), 1));
    served.join().unwrap();
}

#[test]
fn a_server_that_is_not_there_gives_a_page_and_a_record_without_a_response() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start();
    let page = text(&proxy.ask(&format!("GET http://{nobody}/ HTTP/1.1\r\nHost: x\r\n\r\n")));
    assert!(page.starts_with("HTTP/1.1 502") && page.contains(&nobody.to_string()), "{page}");
    let own = proxy.recording.address();
    let page = text(&proxy.ask(&format!("GET http://{own}/shop HTTP/1.1\r\nHost: x\r\n\r\n")));
    assert!(page.starts_with("HTTP/1.1 508"), "{page}");
    let recorded = proxy.stop();
    assert_eq!(recorded.summary.file.incomplete, 2);
    assert!(recorded.exchanges.iter().all(|e| e.response.is_none()));
    assert!(recorded.exchanges.iter().all(|e| matches!(e.incomplete, Some(Incomplete::Connect(_)))));
}

#[test]
fn what_is_no_request_gets_a_400_and_no_server_sees_it() {
    let proxy = Proxy::start();
    for request in [
        "GET /shop HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT :x HTTP/1.1\r\n\r\n",
        "\x01\x02\x03\r\n\r\n",
        "POST http://127.0.0.1:9/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let page = text(&proxy.ask(request));
        assert!(page.starts_with("HTTP/1.1 400"), "{request:?}: {page}");
    }
    let recorded = proxy.stop();
    assert!(recorded.exchanges.is_empty());
    assert_eq!(recorded.summary.remarks.malformed, 5);
}

#[test]
fn a_response_that_breaks_off_breaks_off_for_the_client_too() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
    ] {
        let (address, served) = server(move |mut stream| {
            read_head(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let proxy = Proxy::start();
        let mut client = proxy.connect();
        write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let got = text(&read_all(&mut client));
        assert!(got.ends_with("half") || got.ends_with("half\r\n"), "{got}");
        served.join().unwrap();
        let recorded = proxy.stop();
        let exchange = recorded.only();
        assert!(matches!(exchange.incomplete, Some(Incomplete::Upstream(_))), "{:?}", exchange.incomplete);
        assert_eq!(recorded.response_body(exchange), b"half");
    }
}

#[test]
fn a_server_that_resets_a_response_is_no_end_of_it_for_the_client() {
    let (go_on, gone_on) = mpsc::channel::<()>();
    let (address, served) = server(move |mut stream| {
        // A socket that is closed with something unread ends with a reset.
        assert_eq!(read_exactly(&mut stream, 3), b"GET");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf").unwrap();
        gone_on.recv().unwrap();
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(read_exactly(&mut client, 23), b"HTTP/1.1 200 OK\r\n\r\nhalf");
    go_on.send(()).unwrap();
    let end = client.read(&mut [0; 16]);
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    served.join().unwrap();
    let recorded = proxy.stop();
    let exchange = recorded.only();
    assert!(matches!(exchange.incomplete, Some(Incomplete::Upstream(_))), "{:?}", exchange.incomplete);
    assert_eq!(recorded.response_body(exchange), b"half");
}

#[test]
fn a_server_that_says_rubbish_or_nothing_gives_a_502() {
    for answer in ["SSH-2.0-nope\r\n", ""] {
        let (address, served) = server(move |mut stream| {
            read_head(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let proxy = Proxy::start();
        let mut client = proxy.connect();
        write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(text(&read_all(&mut client)).starts_with("HTTP/1.1 502"));
        served.join().unwrap();
        assert!(matches!(proxy.stop().only().incomplete, Some(Incomplete::Upstream(_))));
    }
}

#[test]
fn a_client_that_hangs_up_leaves_an_incomplete_exchange() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        read_all(&mut stream)
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "POST http://{address}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    drop(client);
    assert_eq!(served.join().unwrap(), b"half", "the server sees what came, and the end");
    let recorded = proxy.stop();
    let exchange = recorded.only();
    assert!(matches!(exchange.incomplete, Some(Incomplete::Client(_))), "{:?}", exchange.incomplete);
    assert_eq!(recorded.request_body(exchange), b"half");
}

#[test]
fn a_client_that_stops_reading_the_response_leaves_an_incomplete_exchange() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut client);
    drop(client);
    served.join().unwrap();
    let recorded = proxy.stop();
    assert!(matches!(recorded.only().incomplete, Some(Incomplete::Client(_))), "{:?}", recorded.only().incomplete);
}

#[test]
fn a_large_body_streams_through_unchanged_in_both_directions() {
    const LEN: usize = 30 * 1024 * 1024;
    let content = |seed: u64| {
        let mut state = seed;
        let bytes = std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        bytes.take(LEN).collect::<Vec<u8>>()
    };
    let (up, down) = (content(1), content(2));
    let answer = down.clone();
    let (address, served) = server(move |mut stream| {
        read_head(&mut stream);
        let body = read_exactly(&mut stream, LEN);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n").unwrap();
        stream.write_all(&answer).unwrap();
        blake3::hash(&body)
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "POST http://{address}/ HTTP/1.1\r\nHost: x\r\nContent-Length: {LEN}\r\n\r\n").unwrap();
    client.write_all(&up).unwrap();
    read_head(&mut client);
    assert_eq!(blake3::hash(&read_exactly(&mut client, LEN)), blake3::hash(&down));
    assert_eq!(served.join().unwrap(), blake3::hash(&up));
    drop(client);
    let recorded = proxy.stop();
    let exchange = recorded.only();
    assert_eq!(exchange.incomplete, None);
    assert_eq!(blake3::hash(&recorded.request_body(exchange)), blake3::hash(&up));
    assert_eq!(blake3::hash(&recorded.response_body(exchange)), blake3::hash(&down));
}

#[test]
fn a_response_until_close_ends_with_the_server_and_streams_meanwhile() {
    let (go_on, going) = mpsc::channel();
    let (address, served) = server(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfirst").unwrap();
        going.recv().unwrap();
        stream.write_all(b" second").unwrap();
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut client);
    assert_eq!(read_exactly(&mut client, 5), b"first");
    go_on.send(()).unwrap();
    assert_eq!(read_all(&mut client), b" second");
    served.join().unwrap();
    let recorded = proxy.stop();
    assert_eq!(recorded.only().incomplete, None);
    assert_eq!(recorded.response_body(recorded.only()), b"first second");
}

#[test]
fn a_kept_connection_that_died_is_replaced_for_a_request_that_may_be_sent_twice() {
    let (address, served) = servers(2, |streams| {
        for stream in streams {
            let mut stream = stream;
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    for _ in 0..2 {
        write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(text(&read_head(&mut client)).starts_with("HTTP/1.1 200"));
        assert_eq!(read_exactly(&mut client, 2), b"ok");
    }
    drop(client);
    served.join().unwrap();
    let recorded = proxy.stop();
    let connections: Vec<_> = recorded.exchanges.iter().map(|e| e.transport.upstream_connection).collect();
    assert_eq!(connections, [Some(1), Some(2)]);
    assert!(recorded.exchanges.iter().all(|e| e.incomplete.is_none()));
}

#[test]
fn a_request_swallowed_by_a_dying_kept_connection_is_sent_once_more() {
    let (address, served) = servers(2, |streams| {
        let mut first = streams.next().unwrap();
        read_head(&mut first);
        first.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        read_head(&mut first);
        drop(first);
        let mut second = streams.next().unwrap();
        let again = read_head(&mut second);
        second.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        again
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    for path in ["1", "2"] {
        write!(client, "GET http://{address}/{path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(text(&read_head(&mut client)).starts_with("HTTP/1.1 200"));
        assert_eq!(read_exactly(&mut client, 2), b"ok");
    }
    assert_eq!(text(&served.join().unwrap()), "GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    drop(client);
    let recorded = proxy.stop();
    assert_eq!(recorded.exchanges.len(), 2);
    assert_eq!(recorded.exchanges[1].transport.upstream_connection, Some(2));
}

#[test]
fn a_post_that_a_dying_kept_connection_swallowed_is_never_sent_twice() {
    let (address, served) = server(|mut first| {
        read_head(&mut first);
        first.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        text(&read_head(&mut first))
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut client);
    read_exactly(&mut client, 2);
    write!(client, "POST http://{address}/buy HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(read_all(&mut client), b"", "closed, as it would be without a proxy");
    assert!(served.join().unwrap().starts_with("POST /buy"));
    assert!(matches!(proxy.stop().exchanges[1].incomplete, Some(Incomplete::Upstream(_))));
}

#[test]
fn an_upgrade_to_something_unknown_passes_and_is_recorded_as_bytes() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nhello").unwrap();
        let said = read_exactly(&mut stream, 4);
        stream.write_all(b"bye").unwrap();
        said
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    let fields = "Host: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n";
    write!(client, "GET http://{address}/ws HTTP/1.1\r\n{fields}\r\n").unwrap();
    assert!(text(&read_head(&mut client)).starts_with("HTTP/1.1 101"));
    assert_eq!(read_exactly(&mut client, 5), b"hello");
    client.write_all(b"ping").unwrap();
    assert_eq!(read_all(&mut client), b"bye");
    assert_eq!(served.join().unwrap(), b"ping");
    drop(client);
    let recorded = proxy.stop();
    assert_eq!(recorded.only().incomplete, Some(Incomplete::Upgraded("echo".into())));
    assert_eq!(recorded.only().response.as_ref().unwrap().status, 101);
    let told = recorded.messages(recorded.only());
    let bytes = |side, text: &str| (side, MessageKind::Bytes, text.as_bytes().to_vec());
    assert_eq!(told, [bytes(Side::Response, "hello"), bytes(Side::Request, "ping"), bytes(Side::Response, "bye")]);
}

#[test]
fn a_websocket_is_one_exchange_with_its_messages() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        let fields =
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        write!(stream, "HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n\x01\x02he").unwrap();
        stream.write_all(b"\x80\x03llo\x89\x00").unwrap();
        let said = read_exactly(&mut stream, 8);
        stream.write_all(&[0x88, 2, 3, 0xe8]).unwrap();
        read_all(&mut stream);
        said
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    let fields = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
                  dGhlIHNhbXBsZSBub25jZQ==\r\n";
    write!(client, "GET http://{address}/ws HTTP/1.1\r\n{fields}\r\n").unwrap();
    read_head(&mut client);
    assert_eq!(read_exactly(&mut client, 11), b"\x01\x02he\x80\x03llo\x89\x00");
    client.write_all(b"\x81\x82\x01\x02\x03\x04xx").unwrap();
    assert_eq!(read_exactly(&mut client, 4), [0x88, 2, 3, 0xe8]);
    client.write_all(b"\x88\x80\0\0\0\0").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(served.join().unwrap(), b"\x81\x82\x01\x02\x03\x04xx");
    let recorded = proxy.stop();
    assert_eq!(recorded.only().incomplete, None);
    let told = recorded.messages(recorded.only());
    let expected = [
        (Side::Response, MessageKind::Text, b"hello".to_vec()),
        (Side::Response, MessageKind::Ping, vec![]),
        (Side::Request, MessageKind::Text, b"yz".to_vec()),
        (Side::Response, MessageKind::Close, vec![3, 0xe8]),
        (Side::Request, MessageKind::Close, vec![]),
    ];
    assert_eq!(told, expected);
}

#[test]
fn events_are_messages_as_they_pass_while_the_response_goes_on() {
    let (go, told_to) = mpsc::channel::<()>();
    let (address, served) = server(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n").unwrap();
        told_to.recv().unwrap();
        stream.write_all(b"data: two\n\n").unwrap();
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "GET http://{address}/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut client);
    assert_eq!(read_exactly(&mut client, 11), b"data: one\n\n", "not held back");
    go.send(()).unwrap();
    assert_eq!(read_all(&mut client), b"data: two\n\n");
    served.join().unwrap();
    drop(client);
    let recorded = proxy.stop();
    let told = recorded.messages(recorded.only());
    let event = |lines: &str| (Side::Response, MessageKind::Event, lines.as_bytes().to_vec());
    assert_eq!(told, [event("data: one\n\n"), event("data: two\n\n")]);
    let times: Vec<_> = recorded.capture.messages(recorded.only().id).unwrap().iter().map(|m| m.ended).collect();
    assert!(times[0] < times[1]);
}

#[test]
fn a_tunnel_of_something_else_passes_and_is_recorded_as_bytes() {
    let (address, served) = server(|mut stream| {
        stream.write_all(b"220 hello\r\n").unwrap();
        read_all(&mut stream)
    });
    let proxy = Proxy::start();
    let mut client = proxy.tunnel(&address.to_string());
    assert_eq!(read_exactly(&mut client, 11), b"220 hello\r\n", "a server that speaks first");
    client.write_all(b"QUIT\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(served.join().unwrap(), b"QUIT\r\n");
    let recorded = proxy.stop();
    assert_eq!(recorded.summary.remarks.tunnels[0].times, 1);
    let exchange = recorded.only();
    assert_eq!((exchange.request.method.as_str(), text(&exchange.request.target)), ("CONNECT", address.to_string()));
    assert!(matches!(exchange.incomplete, Some(Incomplete::Upgraded(_))), "{:?}", exchange.incomplete);
    assert!(exchange.timing.connect.is_some());
    let bytes = |side, text: &str| (side, MessageKind::Bytes, text.as_bytes().to_vec());
    assert_eq!(recorded.messages(exchange), [bytes(Side::Response, "220 hello\r\n"), bytes(Side::Request, "QUIT\r\n")]);
}

#[test]
fn plain_http_inside_a_tunnel_is_recorded() {
    let (address, served) = server(|mut stream| {
        let head = read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        head
    });
    let proxy = Proxy::start();
    let mut client = proxy.tunnel(&address.to_string());
    client.write_all(b"GET /in HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut client);
    assert_eq!(read_exactly(&mut client, 2), b"ok");
    assert_eq!(served.join().unwrap(), b"GET /in HTTP/1.1\r\nHost: x\r\n\r\n");
    drop(client);
    assert_eq!(proxy.stop().only().request.url(), format!("http://{address}/in"));
}

#[test]
fn a_response_under_way_when_the_recording_stops_is_kept_and_marked() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun").unwrap();
        read_all(&mut stream)
    });
    let proxy = Proxy::start();
    let mut idle = proxy.connect();
    let mut client = proxy.connect();
    write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut client);
    assert_eq!(read_exactly(&mut client, 5), b"begun");
    let recorded = proxy.stop();
    assert_eq!(recorded.only().incomplete, Some(Incomplete::Stopped));
    assert_eq!(recorded.response_body(recorded.only()), b"begun");
    assert_eq!(recorded.summary.incomplete.values().sum::<u64>(), 1);
    assert_eq!((read_all(&mut client), read_all(&mut idle)), (vec![], vec![]));
    served.join().unwrap();
}

#[test]
fn a_capture_can_be_read_while_it_is_written() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let proxy = Proxy::start();
    proxy.ask(&format!("GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n"));
    served.join().unwrap();
    let path = proxy.dir.path().join("test.dub");
    let seen = (0..2000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        Reader::open(&path).is_ok_and(|capture| capture.exchanges().flatten().count() == 1)
    });
    assert!(seen, "flushed without being asked");
    proxy.stop();
}

#[test]
fn a_server_that_refuses_a_body_early_is_heard_at_once() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
        read_all(&mut stream).len()
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "POST http://{address}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nfirst").unwrap();
    assert!(text(&read_head(&mut client)).starts_with("HTTP/1.1 413"));
    drop(client);
    assert!(served.join().unwrap() < 1_000_000);
    let recorded = proxy.stop();
    assert_eq!(recorded.only().response.as_ref().unwrap().status, 413);
    assert!(matches!(recorded.only().incomplete, Some(Incomplete::Upstream(_))), "{:?}", recorded.only().incomplete);
}

/// The program itself, with everything it keeps in `dir`.
fn overdub(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overdub"));
    command.current_dir(dir).env("OVERDUB_CA_DIR", dir.join("ca")).args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn the_command_records_until_a_signal_and_never_replaces_a_capture_unasked() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let dir = tempfile::tempdir().unwrap();
    let record = ["record", "-o", "a.dub", "--listen", "127.0.0.1:0", "--ready-file", "ready"];
    let child = overdub(dir.path(), &record).stderr(Stdio::piped()).spawn().unwrap();
    let ready = (0..2000).find_map(|_| {
        thread::sleep(Duration::from_millis(10));
        std::fs::read_to_string(dir.path().join("ready")).ok()
    });
    let mut client = patient(TcpStream::connect(ready.unwrap().trim()).unwrap());
    write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut client);
    read_exactly(&mut client, 2);
    served.join().unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let said = text(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("1 exchange in 1 session") && said.contains("overdub correlate a.dub"), "{said}");

    let again = overdub(dir.path(), &record).output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("--force"), "{}", text(&again.stderr));
    let capture = Reader::open(&dir.path().join("a.dub")).unwrap();
    assert_eq!(capture.exchanges().count(), 1);
}

#[test]
fn wrong_usage_ends_in_one_sentence_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "no certificate").unwrap();
    for (arguments, said) in [
        (["a.dub", "127.0.0.1:0", "--mode", "socks4"], "forward"),
        (["a.dub", "127.0.0.1:0", "--mode", "reverse=shop.test"], "http:// or https://"),
        (["a.dub", "127.0.0.1:0", "--user-by", "shoe-size"], "proxy-credentials"),
        (["a.dub", "127.0.0.1:0", "--upstream-ca", "notes.txt"], "notes.txt holds no PEM certificate"),
        (["a.dub", "127.0.0.1:0", "--upstream-ca", "absent.pem"], "cannot read absent.pem"),
        (["a.dub", "nowhere", "--mode", "forward"], "--listen"),
        (["absent/a.dub", "127.0.0.1:0", "--mode", "forward"], "cannot create absent/a.dub"),
    ] {
        let [output, listen, flag, value] = arguments;
        let arguments = ["record", "-o", output, "--listen", listen, flag, value];
        let ended = overdub(dir.path(), &arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        assert!(text(&ended.stderr).contains(said), "{arguments:?}: {}", text(&ended.stderr));
        assert!(!dir.path().join("a.dub").exists());
    }
}

#[test]
fn the_root_is_shown_exported_and_located() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let ended = overdub(dir.path(), arguments).output().unwrap();
        assert!(ended.status.success(), "{}", text(&ended.stderr));
        text(&ended.stdout)
    };
    let path = run(&["ca", "path"]);
    let pem = std::fs::read_to_string(path.trim()).unwrap();
    assert_eq!(run(&["ca", "export"]), pem);
    assert_eq!(run(&["ca", "export", "-o", "root.pem"]), "");
    assert_eq!(std::fs::read_to_string(dir.path().join("root.pem")).unwrap(), pem);
    assert!(!pem.contains("PRIVATE"));
    let shown = run(&["ca", "show"]);
    assert!(shown.contains("Overdub interception root") && shown.contains(path.trim()), "{shown}");
    assert!(run(&["shell", "completions", "bash"]).contains("overdub"));
    assert!(run(&["shell", "man", "record"]).contains("upstream"));
}
