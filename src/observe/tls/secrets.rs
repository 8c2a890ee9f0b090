//! From what was agreed to keys: which secret a phase needs and what becomes of it.
//!
//! Knows the key log's labels and the key block; knows no records. Main type: [`Agreed`].

use crate::model::Side;

use super::direction::{Key, Phase};
use super::hello::ServerHello;
use super::keyring::{Keyring, Label};
use super::opener::{Opener, SessionKeys};
use super::schedule::{expand_label, prf};
use super::suites::{Suite, suites_of_secret};

/// What ClientHello and ServerHello agreed on.
pub(super) struct Agreed {
    pub(super) hello: ServerHello,
    pub(super) client_random: [u8; 32],
    pub(super) suite: Suite,
    /// The encrypted premaster of an RSA key exchange.
    pub(super) premaster: Vec<u8>,
}

impl Agreed {
    pub(super) fn tls13(&self) -> bool {
        self.hello.version == 0x0304
    }

    /// What a lost ServerHello of TLS 1.3 may have agreed on, going by the secrets of a side.
    pub(super) fn guesses(keys: &Keyring, client_random: &[u8; 32], side: Side) -> Vec<Self> {
        let secret = [Phase::Handshake, Phase::Traffic].into_iter().find_map(|phase| {
            let label = label(phase, side)?;
            keys.secret(label, client_random)
        });
        let suites = suites_of_secret(secret.map_or(0, <[u8]>::len));
        let agreed = |(number, suite)| Self {
            hello: ServerHello { version: 0x0304, suite: number, ..ServerHello::default() },
            client_random: *client_random,
            suite,
            premaster: Vec::new(),
        };
        suites.map(agreed).collect()
    }

    /// The key of a phase; `None` when its secret is not in the key log, or not of this suite.
    pub(super) fn key(&self, keys: &Keyring, phase: Phase, side: Side) -> Option<Key> {
        if phase == Phase::Session {
            return self.session(keys, side);
        }
        let secret = keys.secret(label(phase, side)?, &self.client_random)?;
        self.traffic(phase, secret.into())
    }

    /// The keys that may come behind this one: of later phases, or of the next generation.
    pub(super) fn next(&self, keys: &Keyring, phase: Phase, current: Option<&Key>, side: Side) -> Vec<Key> {
        let later: &[Phase] = match phase {
            Phase::Plain if !self.tls13() => &[Phase::Session],
            Phase::Early => &[Phase::Handshake, Phase::Traffic],
            Phase::Handshake => &[Phase::Traffic],
            Phase::Traffic => return current.and_then(|current| self.updated(current)).into_iter().collect(),
            // Renegotiated, and its ChangeCipherSpec lost.
            Phase::Session if current.is_some_and(|current| *current.secret != self.client_random) => &[Phase::Session],
            Phase::Plain | Phase::Session => &[],
        };
        later.iter().filter_map(|&phase| self.key(keys, phase, side)).collect()
    }

    /// The key behind a KeyUpdate (RFC 8446 §7.2).
    pub(super) fn updated(&self, current: &Key) -> Option<Key> {
        let mut secret = vec![0; self.suite.hash.length()];
        expand_label(self.suite.hash, &current.secret, "traffic upd", &mut secret);
        self.traffic(Phase::Traffic, secret.into())
    }

    fn traffic(&self, phase: Phase, secret: Box<[u8]>) -> Option<Key> {
        let opener = Opener::tls13(self.suite, &secret, self.hello.draft)?;
        Some(Key { phase, opener, secret })
    }

    /// RFC 5246 §6.3.
    fn session(&self, keys: &Keyring, side: Side) -> Option<Key> {
        let master = self.master(keys)?;
        let ServerHello { version, random, encrypt_then_mac, .. } = self.hello;
        let cipher = self.suite.cipher;
        let (mac, key, iv) = (cipher.mac_length(), cipher.key_length(), cipher.iv_length());
        let mut block = [0; 2 * (48 + 32 + 16)];
        let block = &mut block[..2 * (mac + key + iv)];
        prf(version, self.suite.hash, &master, &[b"key expansion", &random, &self.client_random], block);
        let nth = match side {
            Side::Request => 0,
            Side::Response => 1,
        };
        let part = |start: usize, length: usize| &block[start + nth * length..][..length];
        let keys = SessionKeys { mac: part(0, mac), key: part(2 * mac, key), iv: part(2 * (mac + key), iv) };
        let opener = Opener::session(self.suite, version, encrypt_then_mac, &keys)?;
        Some(Key { phase: Phase::Session, opener, secret: self.client_random.into() })
    }

    fn master(&self, keys: &Keyring) -> Option<Vec<u8>> {
        let logged = keys.secret(Label::Master, &self.client_random).or_else(|| keys.session(&self.hello.session_id));
        if let Some(master) = logged {
            return Some(master.to_vec());
        }
        // With RFC 7627 the master secret depends on the whole handshake, which is not kept.
        if self.hello.extended_master {
            return None;
        }
        let premaster = keys.premaster(&self.premaster)?;
        let mut master = vec![0; 48];
        let seed: &[&[u8]] = &[b"master secret", &self.client_random, &self.hello.random];
        prf(self.hello.version, self.suite.hash, premaster, seed, &mut master);
        Some(master)
    }
}

fn label(phase: Phase, side: Side) -> Option<Label> {
    match (phase, side) {
        (Phase::Early, Side::Request) => Some(Label::ClientEarly),
        (Phase::Handshake, Side::Request) => Some(Label::ClientHandshake),
        (Phase::Handshake, Side::Response) => Some(Label::ServerHandshake),
        (Phase::Traffic, Side::Request) => Some(Label::ClientTraffic),
        (Phase::Traffic, Side::Response) => Some(Label::ServerTraffic),
        _ => None,
    }
}
