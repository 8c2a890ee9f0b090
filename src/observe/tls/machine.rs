//! What records do to a connection: phases, keys, content.
//!
//! ```text
//! TLS 1.2:  Plain --ChangeCipherSpec--> Session --ChangeCipherSpec (renegotiation)--> Session
//! TLS 1.3:  Plain --ServerHello--> Handshake --Finished--> Traffic --KeyUpdate--> Traffic
//! client with early data that is accepted:  Plain --EncryptedExtensions--> Early --EndOfEarlyData--> Handshake
//! ```
//!
//! Knows nothing of what is held back; [`Decryptor::ready`] says what may be handled.

use crate::model::Side;

use super::decryptor::{Decryptor, Ready, Sink};
use super::direction::Phase;
use super::keyring::Keyring;
use super::negotiation::Early;
use super::record::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, Fill, HANDSHAKE, Header, Place};
use super::{Output, Reason};

/// Records of early data that the server has rejected, or that have no secret, passed over before the handshake goes on.
const MAX_SKIPPED: u32 = 4096;

impl Decryptor {
    /// Says whether the next bytes of a side can be read, and finds their key.
    pub(super) fn ready(&mut self, keys: &Keyring, side: Side, out: &mut Sink<'_>) -> Ready {
        let direction = self.side(side);
        if direction.dead || direction.key.is_some() || direction.blind {
            return Ready::Now;
        }
        let peer = if self.alone || self.side(side.other()).dead { Ready::Now } else { Ready::Peer };
        match (direction.phase, side) {
            (Phase::Plain, Side::Response) if self.negotiation.hello.is_none() => {
                if peer == Ready::Now {
                    self.kill(side, Reason::NoClientHello, out);
                }
                peer
            }
            (Phase::Plain, Side::Request) if self.negotiation.client_waits() => peer,
            (Phase::Plain, _) if direction.lost.is_none() => Ready::Now,
            (Phase::Plain, _) => self.ready_behind_loss(keys, side),
            (Phase::Handshake, Side::Request) if self.negotiation.early == Early::Offered => {
                if peer == Ready::Peer && self.server.phase != Phase::Traffic {
                    return peer;
                }
                self.decide_early(true);
                self.find_key(keys, side)
            }
            _ => self.find_key(keys, side),
        }
    }

    fn find_key(&mut self, keys: &Keyring, side: Side) -> Ready {
        let Self { negotiation, .. } = self;
        let direction = match side {
            Side::Request => &mut self.client,
            Side::Response => &mut self.server,
        };
        let Some(agreed) = &negotiation.agreed else { return Ready::Now };
        if direction.looked == Some(keys.revision()) {
            return Ready::Keys;
        }
        let mut missed_early = negotiation.early == Early::Unknown;
        loop {
            if let Some(key) = agreed.key(keys, direction.phase, side) {
                direction.take_key(key);
                break;
            }
            let later = !agreed.next(keys, direction.phase, None, side).is_empty();
            match (direction.phase, later) {
                // The log began too late for the early secret, or its writer had none.
                (Phase::Early, true) => {
                    direction.begin(Phase::Handshake);
                    missed_early = true;
                }
                (Phase::Handshake, true) => {
                    direction.blind = true;
                    break;
                }
                _ => {
                    direction.looked = Some(keys.revision());
                    return Ready::Keys;
                }
            }
        }
        let passes_over = direction.blind || missed_early || negotiation.early == Early::Rejected;
        if passes_over && direction.phase == Phase::Handshake && (direction.blind || side == Side::Request) {
            let lost = direction.lost();
            lost.free = MAX_SKIPPED;
            lost.free_is_loss = missed_early;
        }
        Ready::Now
    }

    /// Reads bytes of a side that is ready. What comes back could not be read yet.
    pub(super) fn feed(&mut self, keys: &Keyring, side: Side, input: &[u8], out: &mut Sink<'_>) -> Option<Vec<u8>> {
        let mut input = input;
        let mut owned: Vec<u8>;
        loop {
            if self.side(side).dead {
                return None;
            }
            if self.ready(keys, side, out) != Ready::Now {
                return (!input.is_empty()).then(|| input.to_vec());
            }
            if self.side(side).framer.place == Place::Adrift {
                let all = std::mem::take(&mut input);
                self.dir(side).framer.buffer.extend_from_slice(all);
                owned = self.drift(keys, side, out)?;
                input = &owned;
                continue;
            }
            match self.dir(side).framer.fill(&mut input) {
                Fill::More => {
                    let framer = &mut self.dir(side).framer;
                    if framer.buffer.is_empty() {
                        framer.buffer = Vec::new();
                    }
                    return None;
                }
                Fill::Record => {
                    let mut buffer = std::mem::take(&mut self.dir(side).framer.buffer);
                    if let Some(header) = Header::parse(&buffer) {
                        self.record(keys, side, &header, &mut buffer[5..], out);
                    }
                    if !self.side(side).dead {
                        buffer.clear();
                        self.dir(side).framer.buffer = buffer;
                    }
                }
                Fill::Bad => self.misaligned(side, out),
            }
        }
    }

    fn record(&mut self, keys: &Keyring, side: Side, header: &Header, body: &mut [u8], out: &mut Sink<'_>) {
        let direction = self.dir(side);
        if direction.lost.is_some() {
            if self.recover(keys, side, header, body, out).is_continue() {
                self.failed(side, header, body, out);
            }
            return;
        }
        if direction.phase == Phase::Plain {
            return self.plain(keys, side, header, body, out);
        }
        if self.negotiation.tls13() && header.kind != APPLICATION_DATA {
            return self.unprotected(side, header, body, out);
        }
        match self.dir(side).open(header, body) {
            Some(opened) => self.content(side, opened.kind, &body[opened.plaintext], out),
            None => self.failed(side, header, body, out),
        }
    }

    /// A record before any protection.
    pub(super) fn plain(&mut self, keys: &Keyring, side: Side, header: &Header, body: &[u8], out: &mut Sink<'_>) {
        match header.kind {
            HANDSHAKE if side == Side::Request && self.negotiation.hello.is_none() && body.first() != Some(&1) => {
                // A ClientHello may come in pieces, but begins with its number.
                if self.client.joiner.is_between() {
                    return self.kill_both(Reason::NoClientHello, out);
                }
                self.messages(side, body, out);
            }
            HANDSHAKE => self.messages(side, body, out),
            ALERT => self.alert(side, body, out),
            CHANGE_CIPHER_SPEC if self.negotiation.agreed.as_ref().is_some_and(|agreed| !agreed.tls13()) => {
                self.change_cipher(side);
            }
            APPLICATION_DATA if self.negotiation.hello.is_none() => self.kill_both(Reason::NoClientHello, out),
            // Early data that a HelloRetryRequest has rejected.
            APPLICATION_DATA if self.negotiation.retry && side == Side::Request => {}
            APPLICATION_DATA if self.negotiation.agreed.is_none() => {
                let flow = self.guess(keys, side, header, body, out);
                if flow.is_continue() {
                    self.kill_both(Reason::LostRecords, out);
                }
            }
            APPLICATION_DATA => self.kill(side, Reason::LostRecords, out),
            _ => {}
        }
    }

    /// A record of TLS 1.3 that is not protected among those that are: ChangeCipherSpec for middleboxes, or an early alert.
    pub(super) fn unprotected(&mut self, side: Side, header: &Header, body: &[u8], out: &mut Sink<'_>) {
        if header.kind == ALERT {
            self.alert(side, body, out);
        }
    }

    /// What stood in a record.
    pub(super) fn content(&mut self, side: Side, kind: u8, content: &[u8], out: &mut Sink<'_>) {
        match kind {
            APPLICATION_DATA if content.is_empty() => {}
            APPLICATION_DATA => {
                self.say_done(side, out);
                out(side, Output::Plaintext(content));
            }
            HANDSHAKE => self.messages(side, content, out),
            ALERT => self.alert(side, content, out),
            CHANGE_CIPHER_SPEC if !self.negotiation.tls13() => self.change_cipher(side),
            _ => {}
        }
    }
}
