//! TLS of the proxy on both sides: what is intercepted, what passes, who is believed, and the key log.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use overdub::record::{ClientIdentity, Consequence, Notice, PassReason, Refusal};
use rustls::{ClientConfig, KeyLog, ServerConfig};

use super::*;

/// A client that believes these roots.
fn believing(roots: &[&CertificateDer<'static>]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for &root in roots {
        store.add(root.clone()).unwrap();
    }
    ClientConfig::builder().with_root_certificates(store).with_no_client_auth()
}

fn secured(tcp: TcpStream, name: &str, config: ClientConfig) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

/// Asks and gives what comes. An error when there is no connection, once the other side has taken note of it.
fn ask(mut stream: StreamOwned<ClientConnection, TcpStream>) -> io::Result<String> {
    match stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") {
        Ok(()) => Ok(text(&read_all(&mut stream))),
        Err(error) => {
            stream.sock.shutdown(Shutdown::Write)?;
            read_all(&mut stream.sock);
            Err(error)
        }
    }
}

/// Closes like a program that gives up: in order, and without a word before.
fn hang_up(mut stream: StreamOwned<ClientConnection, TcpStream>) {
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    stream.sock.shutdown(Shutdown::Write).unwrap();
    read_all(&mut stream.sock);
}

/// Answers one request on each of so many connections; those that end without a request are ended, too.
fn answering(connections: usize, config: Arc<ServerConfig>) -> SocketAddr {
    let (address, _) = servers(connections, move |streams| {
        let serve = |tcp| {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp);
            let mut first = [0];
            if stream.read(&mut first).is_ok_and(|count| count == 1) {
                read_head(&mut stream);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        };
        thread::scope(|scope| {
            for tcp in streams {
                scope.spawn(|| serve(tcp));
            }
        });
    });
    address
}

fn notice(proxy: &mut Proxy) -> Notice {
    proxy.runtime.block_on(async { tokio::time::timeout(PATIENCE, proxy.recording.notice()).await.unwrap() })
}

#[test]
fn a_host_whose_certificate_a_client_refuses_passes_from_the_next_connection_on() {
    let upstream = Upstream::named(&["localhost"]);
    let address = answering(2, upstream.config.clone());
    let mut proxy = Proxy::trusting(upstream.trust());
    let to = format!("localhost:{}", address.port());
    let refused = ask(secured(proxy.tunnel(&to), "localhost", believing(&[&upstream.root])));
    assert!(refused.is_err(), "{refused:?}");
    let Notice::CertificateRefused { host, refusal, then, .. } = notice(&mut proxy) else { panic!("another notice") };
    assert_eq!((host, &refusal), (to.clone(), &Refusal::Alert("unknown_ca".into())));
    assert!(matches!(then, Consequence::PassedThrough(Some(_))), "{then:?}");

    let client = secured(proxy.tunnel(&to), "localhost", believing(&[&upstream.root]));
    assert!(ask(client).unwrap().ends_with("ok"), "the server's own certificate is seen");
    let recorded = proxy.stop();
    assert_eq!(recorded.only().request.method, "CONNECT", "what passed is kept as bytes");
    let remarks = &recorded.summary.remarks;
    let rejected = &remarks.rejected[0];
    assert_eq!((&rejected.host, rejected.times, rejected.accepted), (&to, 1, 0));
    let passed = &remarks.passed[0];
    assert_eq!((&passed.host, passed.times), (&to, 1));
    assert_eq!(passed.reason, PassReason::Refused(Refusal::Alert("unknown_ca".into())));
}

#[test]
fn a_client_that_closes_right_after_the_handshake_refuses_too() {
    let upstream = Upstream::named(&["localhost"]);
    let address = answering(2, upstream.config.clone());
    let mut proxy = Proxy::trusting(upstream.trust());
    let to = format!("localhost:{}", address.port());
    let both = believing(&[&upstream.root, &proxy.root]);
    hang_up(secured(proxy.tunnel(&to), "localhost", both.clone()));
    assert!(matches!(notice(&mut proxy), Notice::CertificateRefused { refusal: Refusal::Silent, .. }));
    let client = secured(proxy.tunnel(&to), "localhost", both);
    assert!(ask(client).unwrap().ends_with("ok"));
    assert_eq!(proxy.stop().summary.remarks.passed[0].reason, PassReason::Refused(Refusal::Silent));
}

#[test]
fn a_client_that_hangs_up_on_seeing_the_certificate_refuses_too() {
    let upstream = Upstream::named(&["localhost"]);
    let address = answering(2, upstream.config.clone());
    let mut proxy = Proxy::trusting(upstream.trust());
    let to = format!("localhost:{}", address.port());
    let mut client = secured(proxy.tunnel(&to), "localhost", believing(&[]));
    client.conn.write_tls(&mut client.sock).unwrap();
    read_exactly(&mut client.sock, 5);
    drop(client);
    assert!(matches!(notice(&mut proxy), Notice::CertificateRefused { refusal: Refusal::BrokeOff, .. }));
    let client = secured(proxy.tunnel(&to), "localhost", believing(&[&upstream.root]));
    assert!(ask(client).unwrap().ends_with("ok"));
    assert_eq!(proxy.stop().summary.remarks.passed[0].reason, PassReason::Refused(Refusal::BrokeOff));
}

#[test]
fn a_client_that_refuses_the_servers_own_certificate_too_is_intercepted_again() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let upstream = Upstream::named(&["localhost"]);
        let address = answering(3, upstream.config.clone());
        let proxy = Proxy::trusting(upstream.trust());
        let to = format!("localhost:{}", address.port());
        let believing = |roots: Option<&CertificateDer<'static>>| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(roots.cloned());
            let config = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(store);
            secured(proxy.tunnel(&to), "localhost", config.with_no_client_auth())
        };
        assert!(ask(believing(None)).is_err(), "it does not trust the root yet");
        assert!(ask(believing(Some(&proxy.root))).is_err(), "now it does, and sees the server's certificate");
        assert!(ask(believing(Some(&proxy.root))).unwrap().ends_with("ok"));
        let recorded = proxy.stop();
        let methods: Vec<&str> = recorded.exchanges.iter().map(|exchange| exchange.request.method.as_str()).collect();
        assert_eq!(methods, ["CONNECT", "GET"]);
        assert_eq!(recorded.summary.remarks.passed[0].times, 1);
    }
}

#[test]
fn a_host_that_the_client_has_accepted_stays_intercepted() {
    let upstream = Upstream::named(&["localhost"]);
    let address = answering(4, upstream.config.clone());
    let mut proxy = Proxy::trusting(upstream.trust());
    let to = format!("localhost:{}", address.port());
    let trusting = believing(&[&proxy.root]);
    for flaky in [false, true, false] {
        let client = secured(proxy.tunnel(&to), "localhost", trusting.clone());
        if flaky {
            hang_up(client);
            let rejecting = secured(proxy.tunnel(&to), "localhost", believing(&[&upstream.root]));
            assert!(ask(rejecting).is_err());
            let told = notice(&mut proxy);
            assert!(matches!(told, Notice::CertificateRefused { then: Consequence::AcceptedBefore, .. }), "{told:?}");
        } else {
            assert!(ask(client).unwrap().ends_with("ok"));
        }
    }
    let recorded = proxy.stop();
    assert_eq!(recorded.exchanges.len(), 2);
    let remarks = &recorded.summary.remarks;
    assert_eq!((remarks.rejected[0].times, remarks.passed.len()), (1, 0), "a spare connection is no refusal");
}

#[test]
fn without_automatic_passing_a_refused_host_stays_intercepted() {
    let upstream = Upstream::named(&["localhost"]);
    let address = answering(3, upstream.config.clone());
    let mut proxy = Proxy::with_tls(upstream.trust(), TlsOptions { auto_passthrough: false, ..TlsOptions::default() });
    let to = format!("localhost:{}", address.port());
    let refused = ask(secured(proxy.tunnel(&to), "localhost", believing(&[&upstream.root])));
    assert!(refused.is_err());
    assert!(matches!(notice(&mut proxy), Notice::CertificateRefused { then: Consequence::NotWanted, .. }));
    let again = ask(secured(proxy.tunnel(&to), "localhost", believing(&[&upstream.root])));
    assert!(again.is_err());
    assert!(ask(secured(proxy.tunnel(&to), "localhost", believing(&[&proxy.root]))).unwrap().ends_with("ok"));
    assert_eq!(proxy.stop().exchanges.len(), 1);
}

#[test]
fn hosts_named_by_the_operator_pass_by_the_tunnels_name_and_by_the_name_in_the_handshake() {
    let upstream = Upstream::named(&["bank.test", "127.0.0.1", "localhost"]);
    for (pattern, sni, counted) in [
        ("127.0.0.*", "localhost", "127.0.0.1:{}"),
        ("*.TEST", "bank.test", "bank.test:{}"),
        ("127.0.0.1:{}", "bank.test", "127.0.0.1:{}"),
    ] {
        let address = answering(1, upstream.config.clone());
        let [pattern, counted] = [pattern, counted].map(|text| text.replace("{}", &address.port().to_string()));
        let passthrough = vec![pattern.parse().unwrap()];
        let proxy = Proxy::with_tls(upstream.trust(), TlsOptions { passthrough, ..TlsOptions::default() });
        let client = secured(proxy.tunnel(&address.to_string()), sni, believing(&[&upstream.root]));
        assert!(ask(client).unwrap().ends_with("ok"));
        let recorded = proxy.stop();
        assert_eq!(recorded.only().request.method, "CONNECT");
        assert!(recorded.messages(recorded.only()).len() >= 4, "hello, its answer, request, response");
        let passed = &recorded.summary.remarks.passed[0];
        assert_eq!((&passed.host, passed.times, &passed.reason), (&counted, 1, &PassReason::Asked));
    }
}

#[test]
fn what_only_looks_like_tls_passes_at_once() {
    for garbage in [&b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"[..], b"\x16\x03\x00\xff\xff"] {
        let (address, served) = server(|mut stream| read_all(&mut stream));
        let proxy = Proxy::start();
        let mut client = proxy.tunnel(&address.to_string());
        client.write_all(garbage).unwrap();
        client.write_all(b"more").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut client), b"");
        assert_eq!(served.join().unwrap(), [garbage, b"more"].concat());
        assert_eq!(proxy.stop().summary.remarks.tunnels[0].times, 1);
    }
}

/// Keeps the secrets of one side, as lines of a key log.
#[derive(Debug, Default)]
struct Secrets(Mutex<BTreeSet<String>>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.0.lock().unwrap().insert(format!("{label} {} {}", hex(client_random), hex(secret)));
    }
}

#[test]
fn the_key_log_holds_the_secrets_of_both_sides_in_both_versions() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let (near, far) = (Arc::new(Secrets::default()), Arc::new(Secrets::default()));
        let upstream = Upstream::named(&["localhost"]);
        let mut config = ServerConfig::clone(&upstream.config);
        config.key_log = far.clone();
        let address = answering(1, Arc::new(config));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.log");
        std::fs::write(&path, "# mine\n").unwrap();
        let proxy =
            Proxy::with_tls(upstream.trust(), TlsOptions { keylog: Some(path.clone()), ..TlsOptions::default() });
        let mut roots = RootCertStore::empty();
        roots.add(proxy.root.clone()).unwrap();
        let config = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.key_log = near.clone();
        let client = secured(proxy.tunnel(&format!("localhost:{}", address.port())), "localhost", config);
        assert!(ask(client).unwrap().ends_with("ok"));
        assert_eq!(proxy.stop().exchanges.len(), 1);
        let log = std::fs::read_to_string(&path).unwrap();
        let (comment, secrets) = log.split_once('\n').unwrap();
        assert_eq!(comment, "# mine");
        let logged: BTreeSet<String> = secrets.lines().map(str::to_owned).collect();
        let expected: BTreeSet<String> = [near, far].iter().flat_map(|side| side.0.lock().unwrap().clone()).collect();
        assert!(expected.len() >= 6, "{expected:?}");
        assert_eq!(logged, expected);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// Makes certificates as a test needs them.
struct Maker {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: rcgen::Certificate,
}

impl Maker {
    /// A root with this common name.
    fn root(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = Self::ca(name);
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: rcgen::Issuer::new(params, key), certificate }
    }

    /// An authority that this one vouches for.
    fn intermediate(&self, name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = Self::ca(name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { issuer: rcgen::Issuer::new(params, key), certificate }
    }

    fn ca(name: &str) -> rcgen::CertificateParams {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
    }

    fn leaf(
        &self,
        name: &str,
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn trust(&self) -> UpstreamTrust {
        UpstreamTrust { system: false, extra: vec![self.certificate.der().clone()], insecure: false }
    }
}

fn private(key: &rcgen::KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

fn serving(chain: Vec<CertificateDer<'static>>, key: &rcgen::KeyPair) -> Arc<ServerConfig> {
    let config = ServerConfig::builder().with_no_client_auth();
    Arc::new(config.with_single_cert(chain, private(key)).unwrap())
}

#[test]
fn a_server_that_wants_a_client_certificate_gets_the_one_that_is_for_it() {
    let clients = Maker::root("Clients");
    let (certificate, key) = clients.leaf("me", |_| {});
    let pem = certificate.pem() + &key.serialize_pem();
    let mut roots = RootCertStore::empty();
    roots.add(clients.certificate.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let site = Maker::root("Site");
    let (leaf, leaf_key) = site.leaf("localhost", |_| {});
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    let config = Arc::new(config.with_single_cert(vec![leaf.der().clone()], private(&leaf_key)).unwrap());
    for (hosts, status) in [(None, "200"), (Some("localhost"), "200"), (Some("other.test"), "502")] {
        let address = answering(2, config.clone());
        let identity = ClientIdentity::from_pem(pem.as_bytes(), hosts.map(|host| host.parse().unwrap())).unwrap();
        let proxy = Proxy::with_tls(site.trust(), TlsOptions { identities: vec![identity], ..TlsOptions::default() });
        let to = format!("localhost:{}", address.port());
        let client = secured(proxy.tunnel(&to), "localhost", believing(&[&proxy.root]));
        let answer = ask(client).unwrap();
        assert_eq!(&answer[9..12], status, "{hosts:?}: {answer}");
        assert!(status == "200" || answer.contains("--client-cert"), "{answer}");
        proxy.stop();
    }
}

#[test]
fn a_server_that_cannot_be_believed_gives_a_page_with_the_reason_and_what_to_do() {
    let root = Maker::root("Shop Root");
    let middle = root.intermediate("Shop Middle");
    let day = |year| rcgen::date_time_ymd(year, 1, 5);
    let plain = root.leaf("localhost", |_| {});
    let below = middle.leaf("localhost", |_| {});
    let alone = {
        let key = rcgen::KeyPair::generate().unwrap();
        (rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap(), key)
    };
    let own = {
        let key = rcgen::KeyPair::generate().unwrap();
        (Maker::ca("localhost").self_signed(&key).unwrap(), key)
    };
    let expired = root.leaf("localhost", |params| params.not_after = day(2020));
    let future = root.leaf("localhost", |params| params.not_before = day(2999));
    let other = root.leaf("other.test", |_| {});
    let trusting = root.trust();
    let nobody = UpstreamTrust { system: false, ..UpstreamTrust::default() };
    let der = |certificate: &rcgen::Certificate| certificate.der().clone();
    for (leaf, rest, trust, reason, advice) in [
        (&plain, vec![der(&root.certificate)], &nobody, "chain ends at \"Shop Root\"", "--upstream-ca"),
        (&plain, vec![], &nobody, "issuer \"Shop Root\" is not trusted", "--upstream-ca"),
        (&below, vec![], &trusting, "issuer \"Shop Middle\" is not trusted", "intermediate"),
        (&alone, vec![], &nobody, "signed by itself", "--upstream-ca"),
        (&own, vec![], &trusting, "signed by itself", "--upstream-ca"),
        (&expired, vec![], &trusting, "expired on Jan  5 00:00:00 2020", "--upstream-insecure"),
        (&future, vec![], &trusting, "not valid before Jan  5 00:00:00 2999", "clocks"),
        (&other, vec![], &trusting, "it is for other.test, not for localhost", "--upstream-insecure"),
    ] {
        let (certificate, key) = leaf;
        let address = answering(1, serving([vec![der(certificate)], rest].concat(), key));
        let mut proxy = Proxy::trusting(trust.clone());
        let to = format!("localhost:{}", address.port());
        let client = secured(proxy.tunnel(&to), "localhost", believing(&[&proxy.root]));
        let page = ask(client).unwrap();
        assert!(page.starts_with("HTTP/1.1 502") && page.contains(reason) && page.contains(advice), "{page}");
        assert!(page.contains("--upstream-insecure"), "{page}");
        assert!(matches!(notice(&mut proxy), Notice::Unreachable { reason: told, .. } if told.contains(reason)));
        let recorded = proxy.stop();
        let why = recorded.only().incomplete.clone();
        assert!(matches!(&why, Some(Incomplete::Connect(why)) if why.contains(reason)), "{why:?}");
    }
    let address = answering(1, serving(vec![der(&below.0), der(&middle.certificate)], &below.1));
    let proxy = Proxy::trusting(trusting);
    let to = format!("localhost:{}", address.port());
    let client = secured(proxy.tunnel(&to), "localhost", believing(&[&proxy.root]));
    assert!(ask(client).unwrap().ends_with("ok"), "with the intermediate all is well");
    proxy.stop();
}

#[test]
fn flags_that_cannot_be_meant_end_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = Maker::root("Any").leaf("me", |_| {});
    std::fs::write(dir.path().join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
    for (flag, value, said) in [
        ("--client-cert", "absent.pem", "cannot read absent.pem"),
        ("--client-cert", "cert.pem", "holds no private key"),
        ("--client-cert", "shop.test=key.pem", "holds no certificate"),
        ("--client-cert", "a b=key.pem", "in no host name"),
        ("--passthrough", "https://bank.test/", "in no host name"),
        ("--keylog", "absent/keys.log", "cannot write TLS secrets to absent/keys.log"),
        ("--keylog", ".", "cannot write TLS secrets"),
    ] {
        let arguments = ["record", "-o", "a.dub", "--listen", "127.0.0.1:0", flag, value];
        let ended = overdub(dir.path(), &arguments).output().unwrap();
        let told = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
        assert!(!dir.path().join("a.dub").exists());
    }
}

#[test]
fn the_command_sums_up_what_passed_and_keeps_its_key_log_private() {
    let upstream = Upstream::named(&["localhost"]);
    let address = answering(2, upstream.config.clone());
    let dir = tempfile::tempdir().unwrap();
    let record = ["record", "-o", "a.dub", "--listen", "127.0.0.1:0", "--ready-file", "ready", "--keylog", "keys.log"];
    let mut command = overdub(dir.path(), &record);
    let child =
        command.args(["--passthrough", "local*", "--upstream-insecure"]).stderr(Stdio::piped()).spawn().unwrap();
    let ready = (0..2000).find_map(|_| {
        thread::sleep(Duration::from_millis(10));
        std::fs::read_to_string(dir.path().join("ready")).ok()
    });
    let root = CertificateDer::from_pem_file(dir.path().join("ca/overdub-ca.pem")).unwrap();
    for (to, root, name) in [("localhost", &upstream.root, "localhost"), ("127.0.0.1", &root, "127.0.0.1")] {
        let mut stream = patient(TcpStream::connect(ready.as_ref().unwrap().trim()).unwrap());
        let to = format!("{to}:{}", address.port());
        write!(stream, "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").unwrap();
        read_head(&mut stream);
        assert!(ask(secured(stream, name, believing(&[root]))).unwrap().ends_with("ok"));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let said = text(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let line = format!("1  localhost:{} (asked for with --passthrough)", address.port());
    assert!(said.contains(&line) && said.contains("2 exchanges in 1 session"), "{said}");
    let path = dir.path().join("keys.log");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let clients: BTreeSet<String> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(clients.len(), 2, "both sides of the one connection that was ours to know");
}
