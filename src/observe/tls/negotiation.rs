//! What handshake messages and alerts do to a connection.
//!
//! Knows no records and no bytes on the wire. Main type: [`Negotiation`].

use crate::model::Side;

use super::decryptor::{Decryptor, Sink};
use super::direction::Phase;
use super::hello::{self, ClientHello, EncryptedExtensions, ServerHello};
use super::secrets::Agreed;
use super::suites::suite;
use super::{Output, Reason};

/// What hellos said.
#[derive(Default)]
pub(super) struct Negotiation {
    /// Random and session id of the last ClientHello.
    pub(super) hello: Option<([u8; 32], Vec<u8>)>,
    pub(super) agreed: Option<Agreed>,
    pub(super) early: Early,
    /// The server asked for a second ClientHello.
    pub(super) retry: bool,
    /// The server sent a certificate flight: this handshake resumes nothing.
    full: bool,
}

/// What became of early data (RFC 8446 §4.2.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Early {
    #[default]
    NotOffered,
    /// The server has not answered.
    Offered,
    Accepted,
    Rejected,
    /// The answer was lost with the ServerHello: what may have been refused is not handed on.
    Unknown,
}

impl Negotiation {
    pub(super) fn tls13(&self) -> bool {
        self.agreed.as_ref().is_some_and(Agreed::tls13)
    }

    /// What the client sends now can only be read when the server has answered.
    pub(super) fn client_waits(&self) -> bool {
        self.hello.is_some() && self.agreed.is_none() && !self.retry
    }
}

impl Decryptor {
    pub(super) fn messages(&mut self, side: Side, mut content: &[u8], out: &mut Sink<'_>) {
        let phase = self.side(side).phase;
        if !self.dir(side).joiner.accepts(content) {
            return;
        }
        let mut joiner = std::mem::take(&mut self.dir(side).joiner);
        while let Some((kind, body)) = joiner.next(&mut content) {
            self.message(side, kind, &body, out);
            // Keys change at the end of a record (RFC 8446 §5.1).
            if self.side(side).dead || self.side(side).phase != phase {
                return;
            }
        }
        self.dir(side).joiner = joiner;
    }

    fn message(&mut self, side: Side, kind: u8, body: &[u8], out: &mut Sink<'_>) {
        let phase = self.side(side).phase;
        match (kind, side, phase) {
            (hello::CLIENT_HELLO, Side::Request, Phase::Plain | Phase::Session) => self.client_hello(body, out),
            (hello::SERVER_HELLO, Side::Response, Phase::Plain | Phase::Session) => self.server_hello(body, out),
            (hello::SERVER_HELLO_DONE, Side::Response, _) => self.negotiation.full = true,
            (hello::CLIENT_KEY_EXCHANGE, Side::Request, Phase::Plain | Phase::Session) => {
                let encrypted = hello::encrypted_premaster(body).unwrap_or_default();
                if let Some(agreed) = &mut self.negotiation.agreed {
                    agreed.premaster = encrypted.iter().take(8).copied().collect();
                }
            }
            (hello::ENCRYPTED_EXTENSIONS, Side::Response, Phase::Handshake) => {
                let found = EncryptedExtensions::parse(body).unwrap_or_default();
                self.facts.alpn = found.alpn.or(self.facts.alpn.take());
                self.decide_early(found.early_data);
            }
            (hello::END_OF_EARLY_DATA, Side::Request, Phase::Early) => self.client.begin(Phase::Handshake),
            (hello::FINISHED, _, Phase::Handshake | Phase::Session) => {
                self.dir(side).finished = true;
                if phase == Phase::Handshake {
                    self.dir(side).begin(Phase::Traffic);
                }
                if self.client.finished && self.server.finished {
                    self.say_done(side, out);
                }
            }
            (hello::KEY_UPDATE, _, Phase::Traffic) => {
                let Some(agreed) = &self.negotiation.agreed else { return };
                if let Some(key) = self.side(side).key.as_ref().and_then(|key| agreed.updated(key)) {
                    self.dir(side).take_key(key);
                }
            }
            _ => {}
        }
    }

    fn client_hello(&mut self, body: &[u8], out: &mut Sink<'_>) {
        let Some(hello) = ClientHello::parse(body) else { return self.kill_both(Reason::Malformed, out) };
        let negotiation = &mut self.negotiation;
        negotiation.hello = Some((hello.random, hello.session_id));
        negotiation.retry = false;
        negotiation.full = false;
        if self.client.phase == Phase::Plain {
            negotiation.early = if hello.early_data { Early::Offered } else { negotiation.early };
        }
        let facts = &mut self.facts;
        if !std::mem::replace(&mut facts.client_hello_seen, true) {
            facts.sni = hello.sni;
            facts.offered_alpn = hello.alpn;
            facts.ech = hello.ech;
        }
    }

    fn server_hello(&mut self, body: &[u8], out: &mut Sink<'_>) {
        let Some(hello) = ServerHello::parse(body) else { return self.kill_both(Reason::Malformed, out) };
        let Some((client_random, _)) = self.negotiation.hello else { return };
        if hello.retry {
            self.negotiation.retry = true;
            return self.decide_early(false);
        }
        let tls13 = hello.version == 0x0304;
        self.facts.version = Some(hello.version);
        self.facts.cipher = Some(hello.suite);
        if !(0x0301..=0x0304).contains(&hello.version) {
            return self.kill_both(Reason::UnsupportedVersion(hello.version), out);
        }
        if hello.compression != 0 {
            return self.kill_both(Reason::Compression, out);
        }
        let Some(suite) = suite(hello.suite, tls13) else {
            return self.kill_both(Reason::UnsupportedCipher(hello.suite), out);
        };
        if hello.alpn.is_some() {
            self.facts.alpn.clone_from(&hello.alpn);
        }
        self.facts.resumed |= tls13 && hello.pre_shared_key;
        let resumes = hello.pre_shared_key;
        self.negotiation.agreed = Some(Agreed { hello, client_random, suite, premaster: Vec::new() });
        if tls13 && self.server.phase == Phase::Plain {
            self.server.begin(Phase::Handshake);
            self.client.begin(Phase::Handshake);
        }
        if !resumes {
            self.decide_early(false);
        }
    }

    /// The server has taken early data or not; no answer to expect counts as taken.
    pub(super) fn decide_early(&mut self, accepted: bool) {
        let negotiation = &mut self.negotiation;
        if negotiation.early != Early::Offered {
            return;
        }
        negotiation.early = if accepted { Early::Accepted } else { Early::Rejected };
        self.facts.early_data = accepted;
        if accepted && self.client.phase == Phase::Handshake {
            self.client.begin(Phase::Early);
        }
    }

    /// ChangeCipherSpec of TLS 1.2: what comes next is under the keys agreed last.
    pub(super) fn change_cipher(&mut self, side: Side) {
        let first = self.side(side).phase == Phase::Plain;
        self.facts.resumed |= first && side == Side::Response && !self.negotiation.full && self.same_session();
        self.dir(side).begin(Phase::Session);
        self.dir(side).joiner = Default::default();
    }

    fn same_session(&self) -> bool {
        let Negotiation { hello: Some((_, offered)), agreed: Some(agreed), .. } = &self.negotiation else {
            return false;
        };
        !offered.is_empty() && *offered == agreed.hello.session_id
    }

    pub(super) fn alert(&mut self, side: Side, content: &[u8], out: &mut Sink<'_>) {
        match *content {
            [_, 0] => out(side, Output::Closed),
            [level, description] => {
                self.aborted |= level == 2 && !self.done;
                out(side, Output::Alert(level, description));
            }
            _ => {}
        }
    }

    pub(super) fn say_done(&mut self, side: Side, out: &mut Sink<'_>) {
        if !std::mem::replace(&mut self.done, true) {
            out(side, Output::HandshakeDone);
        }
    }
}
