//! Conversations inside TLS: connections of rustls with itself, in memory.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, KeyLog, RootCertStore, ServerConfig, ServerConnection};

use super::*;

use Ending::{Fin, Reset};

const GET: &str = "GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Keeps key log lines.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<u8>>);

impl KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        self.0.lock().unwrap().extend(line.bytes());
    }
}

/// What both sides send when they say this inside TLS and close it, and the secrets.
fn secured(says: &[Act]) -> (Vec<Act>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["shop.test".to_owned()]).unwrap();
    let (cert, key) = (made.cert.der().clone(), PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()));
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let log = Arc::new(Log::default());
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.key_log = log.clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut ends = {
        let client = ClientConnection::new(Arc::new(config), ServerName::try_from("shop.test").unwrap()).unwrap();
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_no_client_auth().with_single_cert(vec![cert], key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        (client, ServerConnection::new(Arc::new(config)).unwrap())
    };
    let mut wire = Vec::new();
    pump(&mut ends, &mut wire);
    for act in says {
        match act {
            Act::Bytes(Side::Request, bytes) => ends.0.writer().write_all(bytes).unwrap(),
            Act::Bytes(Side::Response, bytes) => ends.1.writer().write_all(bytes).unwrap(),
            Act::End(Side::Request, _) => ends.0.send_close_notify(),
            Act::End(Side::Response, _) => ends.1.send_close_notify(),
            Act::Gap(..) => {}
        }
        pump(&mut ends, &mut wire);
    }
    let keys = log.0.lock().unwrap().clone();
    (wire, keys)
}

/// Moves bytes until nobody has any.
fn pump((client, server): &mut (ClientConnection, ServerConnection), wire: &mut Vec<Act>) {
    let mut sink = Vec::new();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        if !bytes.is_empty() {
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets().unwrap();
            let _ = server.reader().read_to_end(&mut sink);
            wire.push(Act::Bytes(Side::Request, bytes));
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        if !bytes.is_empty() {
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets().unwrap();
            let _ = client.reader().read_to_end(&mut sink);
            wire.push(Act::Bytes(Side::Response, bytes));
        }
    }
}

fn played(acts: &[Act], keys: &[u8]) -> Told {
    let mut play = Play::new();
    play.conversations.keys_mut().add(keys);
    play.open(1, &opening());
    acts.iter().for_each(|act| play.act(1, act));
    play.finish()
}

#[test]
fn plaintext_becomes_exchanges_that_know_what_was_agreed() {
    let (wire, keys) = secured(&[client(GET), server(OK), client(GET), server(OK)]);
    let told = played(&wire, &keys);
    assert_eq!(told.lines(), ["GET https://shop.test/a > 200 [ok]"; 2]);
    let first = &told.exchanges[0];
    let transport = &first.transport;
    let words = [&transport.tls, &transport.alpn, &transport.sni].map(|word| word.as_deref().unwrap_or("none"));
    assert_eq!(words, ["TLSv1.3", "http/1.1", "shop.test"]);
    let handshake = first.timing.tls.unwrap();
    assert!(handshake.start > first.timing.connect.unwrap().start && handshake.end > handshake.start);
    assert!(handshake.end <= first.timing.started);
    assert_eq!(told.exchanges[1].timing.tls, None);
    assert_eq!((told.tally.decrypted, told.tally.protocols["HTTP/1 over TLS"].connections), (1, 1));
}

#[test]
fn a_close_notify_ends_a_body_whatever_comes_after_it() {
    let until_close = server("HTTP/1.1 200 OK\r\n\r\nall");
    let (mut wire, keys) = secured(&[client(GET), until_close.clone(), server_end(Fin)]);
    wire.push(server_end(Reset));
    assert_eq!(played(&wire, &keys).lines(), ["GET https://shop.test/a > 200 [all]"]);
    let (mut wire, keys) = secured(&[client(GET), until_close]);
    wire.push(server_end(Reset));
    assert_eq!(
        played(&wire, &keys).lines(),
        ["GET https://shop.test/a > 200 [all] ! server: connection reset by peer"]
    );
}

#[test]
fn tunnels_and_socks_lead_into_tls() {
    let (wire, keys) = secured(&[client("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n"), server(OK)]);
    let connect = vec![
        client("CONNECT shop.test:8443 HTTP/1.1\r\nHost: shop.test:8443\r\n\r\n"),
        server("HTTP/1.1 200 Connection established\r\n\r\n"),
    ];
    let told = played(&[connect, wire.clone()].concat(), &keys);
    assert_eq!(told.lines(), ["GET https://shop.test:8443/ > 200 [ok]"]);
    let socks = vec![
        client(b"\x05\x01\x00"),
        server(b"\x05\x00"),
        client(b"\x05\x01\x00\x03\x09shop.test\x01\xbb"),
        server(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x10\x00"),
    ];
    let told = played(&[socks, wire].concat(), &keys);
    assert_eq!(told.lines(), ["GET https://shop.test/ > 200 [ok]"]);
}

#[test]
fn without_secrets_nothing_is_told_but_the_host_and_the_reason() {
    let (wire, _) = secured(&[client(GET), server(OK)]);
    let told = played(&wire, b"");
    assert!(told.exchanges.is_empty());
    let (host, reason) = told.tally.undecryptable.keys().next().unwrap();
    assert_eq!((host.as_str(), reason.as_str()), ("shop.test", "no secrets in the key log"));
    assert_eq!((told.tally.decrypted, told.tally.protocols["TLS, not decrypted"].connections), (0, 1));
}
