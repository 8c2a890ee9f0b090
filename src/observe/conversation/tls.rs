//! TLS on a connection: decrypted when there are secrets, and its plaintext is a conversation of its own.

use crate::model::{Nanos, Side, Span};
use crate::observe::streams::Ending;
use crate::observe::tls::{Decryptor, Facts, Output, Reason};

use super::desk::Context;
use super::path::{Secured, host_of};
use super::sniffing::Sniffing;
use super::talk::{Layer, Talk};

/// Most plaintext kept for the moment until it is known what was agreed.
const MOST_EARLY: usize = 1 << 20;

/// A connection inside TLS.
pub(super) struct Tls {
    decryptor: Decryptor,
    /// The plaintext; none before there is any.
    inner: Option<Talk>,
    /// When its first byte came.
    hello: Option<Nanos>,
    /// What was agreed is in the path.
    introduced: bool,
    undecryptable: Option<Reason>,
    /// Something was decrypted.
    decrypted: bool,
    host: Option<String>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("inner", &self.inner).field("undecryptable", &self.undecryptable).finish()
    }
}

/// What came out before it was known what was agreed.
enum Early {
    Plaintext(Side, Vec<u8>),
    Gap(Side, u64),
    Closed(Side),
}

impl Tls {
    pub(super) fn new(_cx: &Context<'_>) -> Self {
        Self {
            decryptor: Decryptor::new(),
            inner: None,
            hello: None,
            introduced: false,
            undecryptable: None,
            decrypted: false,
            host: None,
        }
    }

    pub(super) fn bytes(&mut self, cx: &mut Context<'_>, depth: u8, side: Side, at: Nanos, bytes: &[u8]) {
        self.hello.get_or_insert(at);
        self.drive(cx, depth, at, |decryptor, keys, out| decryptor.read(keys, side, bytes, out));
    }

    pub(super) fn gap(&mut self, cx: &mut Context<'_>, depth: u8, side: Side, at: Nanos, bytes: u64) {
        self.drive(cx, depth, at, |decryptor, keys, out| decryptor.gap(keys, side, bytes, out));
    }

    pub(super) fn ended(&mut self, cx: &mut Context<'_>, depth: u8, side: Side, at: Nanos, how: Ending) {
        self.drive(cx, depth, at, |decryptor, keys, out| decryptor.end(keys, side, out));
        if let Some(inner) = &mut self.inner {
            inner.ended(cx, side, at, how);
        }
    }

    pub(super) fn label(&self) -> &'static str {
        match self.inner.as_ref().map(Talk::label) {
            Some("HTTP/1") => "HTTP/1 over TLS",
            Some("HTTP/2") => "HTTP/2 over TLS",
            Some("WebSocket") => "WebSocket over TLS",
            Some("not HTTP") => "not HTTP over TLS",
            Some(_) => "TLS",
            None if self.undecryptable.is_some() => "TLS, not decrypted",
            None => "TLS",
        }
    }

    /// Counts at the end.
    pub(super) fn count(&self, cx: &mut Context<'_>) {
        if let Some(reason) = self.undecryptable {
            let host = self.host.clone().unwrap_or_else(|| host_of(cx.path.server));
            cx.desk.tally.undecryptable(host, reason.to_string(), cx.path.bytes);
        }
        cx.desk.tally.decrypted += u64::from(self.decrypted);
        if let Some(inner) = &self.inner {
            inner.count(cx);
        }
    }

    /// Lets the decryptor work and passes on what comes out.
    fn drive(
        &mut self,
        cx: &mut Context<'_>,
        depth: u8,
        at: Nanos,
        work: impl FnOnce(&mut Decryptor, &crate::observe::tls::Keyring, &mut dyn FnMut(Side, Output<'_>)),
    ) {
        let keys = cx.keys;
        let mut early = Vec::new();
        let (introduced, hello) = (self.introduced, self.hello);
        let (inner, undecryptable) = (&mut self.inner, &mut self.undecryptable);
        let mut early_bytes = 0;
        let (mut agreed, mut decrypted) = (false, self.decrypted);
        work(&mut self.decryptor, keys, &mut |side, output| match output {
            Output::Plaintext(bytes) => {
                decrypted = true;
                match inner {
                    Some(inner) if introduced => inner.bytes(cx, side, at, bytes),
                    _ if early_bytes < MOST_EARLY => {
                        early_bytes += bytes.len();
                        early.push(Early::Plaintext(side, bytes.to_vec()));
                    }
                    _ => early.push(Early::Gap(side, bytes.len() as u64)),
                }
            }
            Output::Gap { bytes } => match inner {
                Some(inner) if introduced => inner.gap(cx, side, at, bytes),
                _ => early.push(Early::Gap(side, bytes)),
            },
            Output::HandshakeDone => {
                (agreed, decrypted) = (true, true);
                cx.path.handshake(Span { start: hello.unwrap_or(at), end: at });
            }
            Output::Undecryptable(reason) => {
                undecryptable.get_or_insert(reason);
            }
            // The side says itself that nothing is missing, however its connection ends (RFC 8446 §6.1).
            Output::Closed => match inner {
                Some(inner) if introduced => inner.ended(cx, side, at, Ending::Fin),
                _ => early.push(Early::Closed(side)),
            },
            Output::Alert(..) => {}
        });
        self.decrypted = decrypted;
        if self.host.is_none() && self.decryptor.facts().sni.is_some() {
            self.host.clone_from(&self.decryptor.facts().sni);
        }
        if agreed || early.iter().any(|piece| !matches!(piece, Early::Closed(_))) {
            self.introduce(cx, depth);
        }
        let Some(inner) = &mut self.inner else { return };
        for piece in early {
            match piece {
                Early::Plaintext(side, bytes) => inner.bytes(cx, side, at, &bytes),
                Early::Gap(side, bytes) => inner.gap(cx, side, at, bytes),
                Early::Closed(side) => inner.ended(cx, side, at, Ending::Fin),
            }
        }
    }

    /// Puts what was agreed into the path, and begins the inside.
    fn introduce(&mut self, cx: &mut Context<'_>, depth: u8) {
        let facts = self.decryptor.facts();
        cx.path.secured = Some(Box::new(secured(facts)));
        self.introduced = facts.version.is_some();
        if self.inner.is_none() {
            // Who is the client is known from the handshake.
            let midway = !facts.client_hello_seen;
            let sniffing = Sniffing::new(midway, cx.path.server.port()).with_hint(facts.alpn.as_deref());
            self.inner = Some(Talk::new(Layer::Sniffing(Box::new(sniffing)), depth + 1));
        }
    }
}

fn secured(facts: &Facts) -> Secured {
    let version = facts.version.map(|version| match version {
        0x0301 => "TLSv1".to_owned(),
        0x0302 => "TLSv1.1".to_owned(),
        0x0303 => "TLSv1.2".to_owned(),
        0x0304 => "TLSv1.3".to_owned(),
        other => format!("0x{other:04x}"),
    });
    Secured { version, sni: facts.sni.clone(), alpn: facts.alpn.clone() }
}
