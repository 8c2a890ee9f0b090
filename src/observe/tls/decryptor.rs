//! One TLS connection: bytes of both sides go in, plaintext comes out.
//!
//! Holds what cannot be read yet and gives everything else to the [machine](super::machine). Main type: [`Decryptor`].

use std::collections::VecDeque;

use crate::model::Side;

use super::direction::Direction;
use super::keyring::Keyring;
use super::negotiation::Negotiation;
use super::{Facts, Output, Reason};

/// Ciphertext held for each side while its secrets are unknown, and what holding one piece costs beyond its bytes.
const MAX_HELD: usize = 256 << 10;
const HELD_OVERHEAD: usize = 64;

/// One TLS connection, both directions.
#[derive(Default)]
pub struct Decryptor {
    pub(super) facts: Facts,
    pub(super) client: Direction,
    pub(super) server: Direction,
    pub(super) negotiation: Negotiation,
    /// The other side has no more to say that this one could wait for.
    pub(super) alone: bool,
    pub(super) done: bool,
    /// A fatal alert came before the handshake was done.
    pub(super) aborted: bool,
    pub(super) scratch: Vec<u8>,
    held: VecDeque<(Side, Held)>,
    held_bytes: [usize; 2],
}

/// Receives what a call brings out.
pub(super) type Sink<'a> = dyn FnMut(Side, Output<'_>) + 'a;

/// What waits its turn.
enum Held {
    Bytes(Vec<u8>),
    Gap(u64),
    End,
}

/// Whether a side's next bytes can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Now,
    /// A secret is missing that may come. The other side waits too, so that the order of both is kept.
    Keys,
    /// The other side's next message decides how to read them.
    Peer,
}

impl Decryptor {
    /// A connection of which nothing was seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes that `side` sent; plaintext and events go to `out`, in order. Never fails: what cannot be decrypted is
    /// said once. Empty input only looks again for keys that were missing.
    pub fn read(&mut self, keys: &Keyring, side: Side, input: &[u8], out: &mut dyn FnMut(Side, Output<'_>)) {
        self.drain(keys, out);
        if input.is_empty() || self.dir(side).dead || self.dir(side).ended {
            return;
        }
        if self.waits(keys, side, out) {
            self.hold(side, Held::Bytes(input.to_vec()));
            self.shed(keys, out);
        } else {
            self.bytes(keys, side, input, out);
        }
        self.drain(keys, out);
    }

    /// `bytes` bytes of `side` never come.
    pub fn gap(&mut self, keys: &Keyring, side: Side, bytes: u64, out: &mut dyn FnMut(Side, Output<'_>)) {
        if bytes == 0 || self.dir(side).dead || self.dir(side).ended {
            return;
        }
        self.drain(keys, out);
        if self.waits(keys, side, out) {
            self.hold(side, Held::Gap(bytes));
            self.shed(keys, out);
        } else {
            self.missing(side, bytes, out);
        }
        self.drain(keys, out);
    }

    /// No more bytes of this side come. What waits for keys is given up.
    pub fn end(&mut self, keys: &Keyring, side: Side, out: &mut dyn FnMut(Side, Output<'_>)) {
        if std::mem::replace(&mut self.dir(side).ended, true) {
            return;
        }
        self.hold(side, Held::End);
        self.drain(keys, out);
        while let Some((side, ready)) = self.hopeless(keys, out) {
            self.give_up(keys, side, ready, out);
            self.drain(keys, out);
        }
    }

    /// What is known of the connection so far.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn dir(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Request => &mut self.client,
            Side::Response => &mut self.server,
        }
    }

    pub(super) fn side(&self, side: Side) -> &Direction {
        match side {
            Side::Request => &self.client,
            Side::Response => &self.server,
        }
    }

    /// This side cannot be decrypted from here on; says so once.
    pub(super) fn kill(&mut self, side: Side, reason: Reason, out: &mut Sink<'_>) {
        if self.dir(side).dead {
            return;
        }
        self.dir(side).bury();
        out(side, Output::Undecryptable(reason));
    }

    pub(super) fn kill_both(&mut self, reason: Reason, out: &mut Sink<'_>) {
        self.kill(Side::Request, reason, out);
        self.kill(Side::Response, reason, out);
    }

    /// True when what comes now must stand behind something that is held.
    fn waits(&mut self, keys: &Keyring, side: Side, out: &mut Sink<'_>) -> bool {
        if self.held.is_empty() {
            return self.ready(keys, side, out) != Ready::Now;
        }
        let same = self.held.iter().any(|(held, _)| *held == side);
        same || self.ready(keys, side.other(), out) == Ready::Keys || self.ready(keys, side, out) != Ready::Now
    }

    fn hold(&mut self, side: Side, what: Held) {
        let held = &mut self.held_bytes[side as usize];
        match (self.held.back_mut(), what) {
            (Some((last, Held::Bytes(bytes))), Held::Bytes(more)) if *last == side => {
                *held += more.len();
                bytes.extend(more);
            }
            (_, what) => {
                *held += what.cost();
                self.held.push_back((side, what));
            }
        }
    }

    /// Handles whatever need not wait any more.
    fn drain(&mut self, keys: &Keyring, out: &mut Sink<'_>) {
        let mut at = 0;
        while let Some(&(side, _)) = self.held.get(at) {
            match self.ready(keys, side, out) {
                Ready::Keys => break,
                Ready::Peer => at += 1,
                Ready::Now => {
                    let Some((_, what)) = self.held.remove(at) else { break };
                    let held = &mut self.held_bytes[side as usize];
                    *held = held.saturating_sub(what.cost());
                    let rest = match what {
                        Held::Bytes(bytes) => self.feed(keys, side, &bytes, out),
                        Held::Gap(bytes) => {
                            self.missing(side, bytes, out);
                            None
                        }
                        Held::End => {
                            self.finish(keys, side, out);
                            None
                        }
                    };
                    if let Some(rest) = rest {
                        let rest = Held::Bytes(rest);
                        self.held_bytes[side as usize] += rest.cost();
                        self.held.insert(at, (side, rest));
                    }
                    at = 0;
                }
            }
        }
        if self.held.is_empty() && self.held.capacity() > 0 {
            self.held = VecDeque::new();
        }
    }

    fn bytes(&mut self, keys: &Keyring, side: Side, input: &[u8], out: &mut Sink<'_>) {
        if let Some(rest) = self.feed(keys, side, input, out) {
            self.hold(side, Held::Bytes(rest));
            self.shed(keys, out);
        }
    }

    /// Keeps what is held below its bound, by giving up what waits.
    fn shed(&mut self, keys: &Keyring, out: &mut Sink<'_>) {
        for side in [Side::Request, Side::Response] {
            while self.held_bytes[side as usize] > MAX_HELD {
                let own = self.ready(keys, side, out);
                let other = self.ready(keys, side.other(), out);
                match (own, other) {
                    (Ready::Now | Ready::Peer, Ready::Keys) => self.give_up(keys, side.other(), other, out),
                    (Ready::Now, _) => {}
                    _ => self.give_up(keys, side, own, out),
                }
                let before = self.held_bytes[side as usize];
                self.drain(keys, out);
                if own == Ready::Now && other != Ready::Keys && self.held_bytes[side as usize] >= before {
                    return;
                }
            }
        }
    }

    /// A side that waits for what cannot come any more: first for keys, then for the other side.
    fn hopeless(&mut self, keys: &Keyring, out: &mut Sink<'_>) -> Option<(Side, Ready)> {
        let mut for_peer = None;
        for side in [Side::Request, Side::Response] {
            if !self.held.iter().any(|(held, _)| *held == side) {
                continue;
            }
            match self.ready(keys, side, out) {
                Ready::Keys if self.side(side).ended => return Some((side, Ready::Keys)),
                Ready::Peer if self.side(side.other()).ended => for_peer = Some((side, Ready::Peer)),
                _ => {}
            }
        }
        for_peer
    }

    fn give_up(&mut self, keys: &Keyring, side: Side, ready: Ready, out: &mut Sink<'_>) {
        match ready {
            Ready::Now => {}
            Ready::Keys => {
                let known = self.negotiation.hello.as_ref().is_some_and(|(random, _)| keys.knows(random));
                let reason =
                    if self.facts.ech && !known { Reason::NoSecretsOfEncryptedHello } else { Reason::NoSecrets };
                // A handshake that failed carries no data; its alert has told everything.
                if self.aborted { self.dir(side).bury() } else { self.kill(side, reason, out) }
            }
            Ready::Peer => self.alone = true,
        }
    }

    fn missing(&mut self, side: Side, bytes: u64, out: &mut Sink<'_>) {
        if self.side(side).dead {
            return;
        }
        // Without the ClientHello there is no name for the secrets; without the ServerHello of TLS 1.2, no key.
        if self.negotiation.hello.is_none() {
            return self.kill_both(Reason::LostRecords, out);
        }
        self.dir(side).gap(bytes);
    }
}

impl Held {
    fn cost(&self) -> usize {
        match self {
            Self::Bytes(bytes) => HELD_OVERHEAD + bytes.len(),
            Self::Gap(_) | Self::End => HELD_OVERHEAD,
        }
    }
}

/// Says how it stands, and no secret.
impl std::fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decryptor")
            .field("facts", &self.facts)
            .field("held_bytes", &self.held_bytes)
            .finish_non_exhaustive()
    }
}
