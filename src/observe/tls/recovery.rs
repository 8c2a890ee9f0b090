//! Going on behind lost or damaged records: finding a boundary, a key and a sequence number again.
//!
//! The proof is always that a record authenticates; in the plain handshake, that a record cannot be anything else.

use std::ops::ControlFlow;

use crate::model::Side;

use super::decryptor::{Decryptor, Ready, Sink};
use super::direction::{Failure, Phase};
use super::hello;
use super::keyring::Keyring;
use super::negotiation::Early;
use super::record::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, Header, Place};
use super::secrets::Agreed;
use super::{Output, Reason};

impl Decryptor {
    /// Bytes of the plain handshake are missing: ChangeCipherSpec may be among them.
    pub(super) fn ready_behind_loss(&mut self, keys: &Keyring, side: Side) -> Ready {
        let Self { negotiation, .. } = self;
        let direction = match side {
            Side::Request => &mut self.client,
            Side::Response => &mut self.server,
        };
        let (Some(agreed), Some(lost)) = (&negotiation.agreed, &mut direction.lost) else { return Ready::Now };
        if lost.next.is_empty() && lost.looked != Some(keys.revision()) {
            lost.looked = Some(keys.revision());
            lost.next = agreed.next(keys, Phase::Plain, None, side);
        }
        if !lost.next.is_empty() || agreed.tls13() { Ready::Now } else { Ready::Keys }
    }

    /// What should begin a record does not.
    pub(super) fn misaligned(&mut self, side: Side, out: &mut Sink<'_>) {
        let direction = self.dir(side);
        if direction.phase == Phase::Plain && direction.lost.is_none() {
            return self.kill_both(Reason::Malformed, out);
        }
        direction.framer.place = Place::Adrift;
        direction.scanned = 1;
        direction.joiner.lose();
        let mature = direction.opened;
        if direction.doubt(mature) == Failure::GivesUp {
            self.kill(side, Reason::LostRecords, out);
        }
    }

    /// A side has ended: tries what the search for a record was waiting with, and says what is missing.
    pub(super) fn finish(&mut self, keys: &Keyring, side: Side, out: &mut Sink<'_>) {
        while self.side(side).framer.place == Place::Adrift {
            let Some(rest) = self.drift(keys, side, out) else { break };
            if self.feed(keys, side, &rest, out).is_some() {
                return self.kill(side, Reason::NoSecrets, out);
            }
        }
        let other = self.side(side.other());
        let other_is_wrong = other.dead || other.never_opened();
        let direction = self.dir(side);
        if direction.dead {
            return;
        }
        if direction.never_opened() || (direction.passed_over_all() && other_is_wrong) {
            return self.kill(side, Reason::WrongSecrets, out);
        }
        if direction.phase == Phase::Plain && direction.lost.is_some() {
            return self.kill(side, Reason::LostRecords, out);
        }
        if let Some(bytes) = direction.missing_at_end() {
            out(side, Output::Gap { bytes });
        }
        direction.framer = Default::default();
    }

    /// Looks for a record in what came behind a hole. What comes back stands behind one that was found.
    pub(super) fn drift(&mut self, keys: &Keyring, side: Side, out: &mut Sink<'_>) -> Option<Vec<u8>> {
        let ended = self.side(side).ended;
        let mut from = self.side(side).scanned;
        loop {
            let framer = &self.side(side).framer;
            let at = framer.candidate(from).unwrap_or(framer.buffer.len());
            let Some(header) = Header::parse(&framer.buffer[at..]) else {
                self.trim(side, at);
                return None;
            };
            let whole = at + 5 + header.length;
            if !framer.chains(at, &header) || (ended && framer.buffer.len() < whole) {
                from = at + 1;
                continue;
            }
            if framer.buffer.len() < whole {
                self.trim(side, at);
                return None;
            }
            let buffer = std::mem::take(&mut self.dir(side).framer.buffer);
            let direction = self.dir(side);
            if let Some(key) = &mut direction.key {
                key.opener.chain(Some(&buffer[..at]));
            }
            let unknown = direction.lost().unknown;
            direction.lost().unknown = unknown.saturating_add(at as u64);
            if self.recover(keys, side, &header, &buffer[at + 5..whole], out).is_break() {
                let direction = self.dir(side);
                direction.framer.place = Place::Aligned;
                direction.scanned = 0;
                return Some(buffer[whole..].to_vec());
            }
            let direction = self.dir(side);
            direction.framer.buffer = buffer;
            direction.lost().unknown = unknown;
            let mature = direction.opened;
            if direction.phase != Phase::Plain && direction.doubt(mature) == Failure::GivesUp {
                self.surrender(side, out);
                return None;
            }
            from = at + 1;
        }
    }

    /// Drops what a search has passed over, but for what the next record may chain on.
    fn trim(&mut self, side: Side, at: usize) {
        let direction = self.dir(side);
        let dropped = at.saturating_sub(16);
        direction.framer.buffer.drain(..dropped);
        direction.scanned = at - dropped;
        let lost = direction.lost();
        lost.unknown = lost.unknown.saturating_add(dropped as u64);
    }

    /// A record behind lost ones: breaks when it was understood, by whatever key.
    pub(super) fn recover(
        &mut self,
        keys: &Keyring,
        side: Side,
        header: &Header,
        body: &[u8],
        out: &mut Sink<'_>,
    ) -> ControlFlow<()> {
        let plain = self.side(side).phase == Phase::Plain;
        if plain && self.reads_plain(side, header, body) {
            self.dir(side).lost = None;
            self.plain(keys, side, header, body, out);
            return ControlFlow::Break(());
        }
        if self.negotiation.agreed.is_none() {
            return self.guess(keys, side, header, body, out);
        }
        if self.negotiation.tls13() && header.kind != APPLICATION_DATA {
            if self.side(side).framer.place != Place::Aligned {
                return ControlFlow::Continue(());
            }
            self.unprotected(side, header, body, out);
            return ControlFlow::Break(());
        }
        self.find_next(keys, side);
        let mut scratch = std::mem::take(&mut self.scratch);
        let found = self.dir(side).search(header, body, &mut scratch);
        let flow = match found {
            None => ControlFlow::Continue(()),
            Some(found) => {
                if let Some(bytes) = self.dir(side).found(&found, header) {
                    out(side, Output::Gap { bytes });
                }
                self.content(side, found.opened.kind, &scratch[found.opened.plaintext], out);
                ControlFlow::Break(())
            }
        };
        self.scratch = if self.side(side).lost.is_some() { scratch } else { Vec::new() };
        flow
    }

    fn find_next(&mut self, keys: &Keyring, side: Side) {
        let Self { negotiation, .. } = self;
        let direction = match side {
            Side::Request => &mut self.client,
            Side::Response => &mut self.server,
        };
        let (Some(agreed), Some(lost)) = (&negotiation.agreed, &mut direction.lost) else { return };
        if lost.next.is_empty() && lost.looked != Some(keys.revision()) {
            lost.looked = Some(keys.revision());
            lost.next = agreed.next(keys, direction.phase, direction.key.as_deref(), side);
        }
    }

    /// True when a record behind lost ones is plaintext beyond doubt.
    fn reads_plain(&self, side: Side, header: &Header, body: &[u8]) -> bool {
        match header.kind {
            CHANGE_CIPHER_SPEC => body == [1],
            ALERT => body.len() == 2,
            HANDSHAKE if side == Side::Request && self.negotiation.hello.is_none() => false,
            HANDSHAKE => hello::whole_messages(body),
            _ => false,
        }
    }

    /// The ServerHello was lost: in TLS 1.3 the secrets alone tell the suite, but for a choice among few.
    pub(super) fn guess(
        &mut self,
        keys: &Keyring,
        side: Side,
        header: &Header,
        body: &[u8],
        out: &mut Sink<'_>,
    ) -> ControlFlow<()> {
        let Some((client_random, _)) = self.negotiation.hello else { return ControlFlow::Continue(()) };
        for agreed in Agreed::guesses(keys, &client_random, side) {
            for phase in [Phase::Handshake, Phase::Traffic] {
                self.dir(side).lost().next = agreed.key(keys, phase, side).into_iter().collect();
                let mut scratch = Vec::new();
                let Some(found) = self.dir(side).search(header, body, &mut scratch) else { continue };
                self.facts.version = Some(agreed.hello.version);
                self.facts.cipher = Some(agreed.hello.suite);
                self.negotiation.agreed = Some(agreed);
                if self.negotiation.early == Early::Offered {
                    self.negotiation.early = Early::Unknown;
                }
                self.dir(side.other()).begin(Phase::Handshake);
                if let Some(bytes) = self.dir(side).found(&found, header) {
                    out(side, Output::Gap { bytes });
                }
                self.content(side, found.opened.kind, &scratch[found.opened.plaintext], out);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// A complete record could not be opened.
    pub(super) fn failed(&mut self, side: Side, header: &Header, body: &[u8], out: &mut Sink<'_>) {
        let direction = self.dir(side);
        if direction.dead || direction.phase == Phase::Plain {
            return;
        }
        if let Some(key) = &mut direction.key {
            key.opener.chain(Some(body));
        }
        direction.joiner.lose();
        match direction.failed(header) {
            Failure::Goes => {}
            Failure::Loses => out(side, Output::Gap { bytes: 0 }),
            Failure::GivesUp => self.surrender(side, out),
        }
    }

    fn surrender(&mut self, side: Side, out: &mut Sink<'_>) {
        let reason = if self.dir(side).never_opened() { Reason::WrongSecrets } else { Reason::LostRecords };
        self.kill(side, reason, out);
    }
}
