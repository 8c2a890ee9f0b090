//! Connections of rustls with itself, in memory: every suite it has, bulk data, early data, key updates.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, KeyLog, RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite,
};

use crate::model::Side;

use super::transcript::Transcript;

/// Writes key log lines.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<u8>>);

impl KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        self.0.lock().unwrap().extend(line.bytes());
    }
}

/// Two configurations that fit each other, and what they log.
pub(super) struct Pair {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    log: Arc<Log>,
}

/// A connection in memory, both ends of it.
pub(super) struct Live {
    client: ClientConnection,
    server: ServerConnection,
    log: Arc<Log>,
    transcript: Transcript,
}

fn identity() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["fixture.test".to_owned()]).unwrap();
    (made.cert.der().clone(), PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()))
}

impl Pair {
    pub(super) fn new(suites: &[SupportedCipherSuite], groups: [&[&'static dyn SupportedKxGroup]; 2]) -> Self {
        let log = Arc::new(Log::default());
        let (cert, key) = identity();
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let provider = |groups: &[&'static dyn SupportedKxGroup]| {
            let ring = ring::default_provider();
            Arc::new(CryptoProvider { cipher_suites: suites.to_vec(), kx_groups: groups.to_vec(), ..ring })
        };
        let versions = [suites[0].version()];
        let client = ClientConfig::builder_with_provider(provider(groups[0]));
        let mut client =
            client.with_protocol_versions(&versions).unwrap().with_root_certificates(roots).with_no_client_auth();
        client.key_log = log.clone();
        client.enable_early_data = true;
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let server =
            ServerConfig::builder_with_provider(provider(groups[1])).with_protocol_versions(&versions).unwrap();
        let mut server = server.with_no_client_auth().with_single_cert(vec![cert], key).unwrap();
        server.max_early_data_size = if suites[0].tls13().is_some() { 1 << 14 } else { 0 };
        server.alpn_protocols = vec![b"h2".to_vec()];
        Self { client: Arc::new(client), server: Arc::new(server), log }
    }

    pub(super) fn of(suite: SupportedCipherSuite) -> Self {
        let groups = [ring::kx_group::X25519];
        // The certificate is for ECDSA; a suite of RSA shares everything else with its ECDSA twin.
        Self::new(&[suite], [&groups, &groups])
    }

    pub(super) fn connect(&self) -> Live {
        self.log.0.lock().unwrap().clear();
        let name = ServerName::try_from("fixture.test").unwrap();
        let client = ClientConnection::new(self.client.clone(), name).unwrap();
        let server = ServerConnection::new(self.server.clone()).unwrap();
        Live { client, server, log: self.log.clone(), transcript: Transcript::default() }
    }
}

impl Live {
    /// Moves bytes until nobody has any.
    fn pump(&mut self) {
        loop {
            let mut bytes = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut bytes).unwrap();
            }
            let quiet = bytes.is_empty();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                self.server.read_tls(&mut rest).unwrap();
                self.server.process_new_packets().unwrap();
                if let Some(mut early) = self.server.early_data() {
                    early.read_to_end(&mut Vec::new()).unwrap_or_default();
                }
                drain(&mut self.server.reader());
            }
            if !quiet {
                self.transcript.wire.push((Side::Request, bytes));
            }
            let mut bytes = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut bytes).unwrap();
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                self.client.read_tls(&mut rest).unwrap();
                self.client.process_new_packets().unwrap();
                drain(&mut self.client.reader());
            }
            if !bytes.is_empty() {
                self.transcript.wire.push((Side::Response, bytes));
            } else if quiet {
                return;
            }
        }
    }

    pub(super) fn say(&mut self, side: Side, text: &[u8]) {
        // rustls takes no more than 64 KiB at once.
        for piece in text.chunks(60_000) {
            match side {
                Side::Request => self.client.writer().write_all(piece).unwrap(),
                Side::Response => self.server.writer().write_all(piece).unwrap(),
            }
            self.transcript.plain[side as usize].extend(piece);
            self.pump();
        }
    }

    /// Bytes of a side on the wire so far.
    pub(super) fn sent(&self, side: Side) -> usize {
        self.transcript.bytes(side).len()
    }

    /// A side changes its key.
    pub(super) fn update(&mut self, side: Side) {
        match side {
            Side::Request => self.client.refresh_traffic_keys().unwrap(),
            Side::Response => self.server.refresh_traffic_keys().unwrap(),
        }
    }

    pub(super) fn finish(mut self) -> Transcript {
        self.client.send_close_notify();
        self.pump();
        self.server.send_close_notify();
        self.pump();
        self.transcript.keys = self.log.0.lock().unwrap().clone();
        self.transcript
    }
}

fn drain(reader: &mut rustls::Reader<'_>) {
    let mut sink = [0; 4096];
    while matches!(reader.read(&mut sink), Ok(count) if count > 0) {}
}

/// Text that does not repeat.
pub(super) fn text(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

fn suites() -> Vec<SupportedCipherSuite> {
    let usable = |suite: &SupportedCipherSuite| match suite {
        SupportedCipherSuite::Tls12(suite) => format!("{:?}", suite.common.suite).contains("ECDSA"),
        SupportedCipherSuite::Tls13(_) => true,
    };
    ring::ALL_CIPHER_SUITES.iter().copied().filter(usable).collect()
}

/// Small and large data both ways, over more than a few records.
pub(super) fn exchange(live: &mut Live) {
    live.pump();
    live.say(Side::Request, b"GET / HTTP/1.1\r\n\r\n");
    live.say(Side::Response, &text(70_000, 1));
    live.say(Side::Request, &text(300, 2));
    for size in [1, 17, 1000, 16_384, 5] {
        live.say(Side::Response, &text(size, size));
    }
}

#[test]
fn every_suite_is_decrypted_first_and_resumed_however_bytes_are_cut() {
    for suite in suites() {
        let pair = Pair::of(suite);
        for resumed in [false, true] {
            let mut live = pair.connect();
            exchange(&mut live);
            let transcript = live.finish();
            for size in [1, 2, 13, 536, 1460, 16_406, usize::MAX] {
                let facts = transcript.check(size).facts().clone();
                assert_eq!(facts.cipher, Some(suite.suite().into()));
                assert_eq!(facts.alpn.as_deref(), Some("h2"));
                assert_eq!(facts.resumed, resumed, "{suite:?}");
            }
        }
    }
}

#[test]
fn a_hello_retry_keeps_the_connection_readable() {
    let (x25519, p256) = (ring::kx_group::X25519, ring::kx_group::SECP256R1);
    let pair = Pair::new(&[ring::cipher_suite::TLS13_AES_128_GCM_SHA256], [&[x25519, p256], &[p256]]);
    let mut live = pair.connect();
    exchange(&mut live);
    let transcript = live.finish();
    assert!(transcript.wire.len() > 4);
    for size in [1, 100, usize::MAX] {
        transcript.check(size);
    }
}

#[test]
fn key_updates_of_both_sides_are_followed() {
    let pair = Pair::of(ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256);
    let mut live = pair.connect();
    exchange(&mut live);
    for round in 0..5 {
        live.update(Side::Request);
        live.say(Side::Request, &text(500, round));
        if round % 2 == 0 {
            live.update(Side::Response);
        }
        live.say(Side::Response, &text(40_000, round));
    }
    let transcript = live.finish();
    for size in [1, 777, usize::MAX] {
        transcript.check(size);
    }
}

/// A resumed connection with early data.
pub(super) fn early(pair: &Pair, size: usize) -> Transcript {
    let mut live = pair.connect();
    exchange(&mut live);
    live.finish();
    let mut live = pair.connect();
    let early = text(size, 9);
    live.client.early_data().expect("offered after a session").write_all(&early).unwrap();
    live.transcript.plain[0].extend(&early);
    exchange(&mut live);
    live.finish()
}

#[test]
fn early_data_comes_first() {
    let pair = Pair::of(ring::cipher_suite::TLS13_AES_256_GCM_SHA384);
    let transcript = early(&pair, 9000);
    for size in [1, 100, 1460, usize::MAX] {
        assert!(transcript.check(size).facts().early_data);
    }
}

#[test]
fn early_data_that_the_server_refuses_is_passed_over() {
    let pair = Pair::of(ring::cipher_suite::TLS13_AES_128_GCM_SHA256);
    let mut live = pair.connect();
    exchange(&mut live);
    live.finish();
    let mut server = (*pair.server).clone();
    server.max_early_data_size = 0;
    let pair = Pair { server: Arc::new(server), ..pair };
    let mut live = pair.connect();
    live.client.early_data().expect("offered after a session").write_all(&text(3000, 9)).unwrap();
    exchange(&mut live);
    let transcript = live.finish();
    for size in [1, 100, usize::MAX] {
        assert!(!transcript.check(size).facts().early_data);
    }
}
