//! One side of a connection: its key, its sequence number, and the search for both behind lost records.
//!
//! Knows records and keys, not handshakes. Main types: [`Direction`], [`Lost`].

use super::hello::Joiner;
use super::opener::{Opened, Opener};
use super::record::{APPLICATION_DATA, Framer, Header};

/// Most sequence numbers tried behind one hole.
const MAX_SPAN: u64 = 20_000;
/// Bytes decrypted in vain before a side is given up: with a key that has worked, and with one that has not. An attempt costs
/// as much as so many bytes more.
const TRIAL_BYTES: [u64; 2] = [1 << 27, 1 << 25];
const ATTEMPT_BYTES: u64 = 1024;
/// Records that fail, one behind the other, before a side is given up: behind a hole or with a key that worked, and else.
const MAX_FAILURES: [u32; 2] = [16, 3];

/// What protects the next record of a side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing yet.
    #[default]
    Plain,
    /// TLS 1.3: early data.
    Early,
    /// TLS 1.3: the handshake.
    Handshake,
    /// TLS 1.3: application data, of any generation.
    Traffic,
    /// TLS 1.2 and older: everything behind ChangeCipherSpec.
    Session,
}

/// A phase's key.
pub(super) struct Key {
    pub(super) phase: Phase,
    pub(super) opener: Opener,
    /// The traffic secret of TLS 1.3, of which the next is made; up to TLS 1.2, the client random that names the secret.
    pub(super) secret: Box<[u8]>,
}

/// One side's state.
#[derive(Default)]
pub(super) struct Direction {
    pub(super) framer: Framer,
    pub(super) joiner: Joiner,
    pub(super) phase: Phase,
    /// Absent when the phase needs none, its secret is not known yet, or the phase is blind.
    pub(super) key: Option<Box<Key>>,
    /// The secret of this phase is missing and the next one's is not: records are passed over until the next key opens one.
    pub(super) blind: bool,
    /// Sequence number of the next record.
    pub(super) seq: u64,
    pub(super) lost: Option<Box<Lost>>,
    /// In a drifting framer's buffer, no record begins before this.
    pub(super) scanned: usize,
    /// Some record was decrypted.
    pub(super) opened: bool,
    /// Finished was sent.
    pub(super) finished: bool,
    /// Nothing more can be decrypted, and that was said.
    pub(super) dead: bool,
    /// The caller has no more bytes of this side.
    pub(super) ended: bool,
    /// Revision of the keyring that lacked this phase's secret.
    pub(super) looked: Option<u64>,
    /// Some record of TLS 1.3 was padded.
    padded: bool,
    /// Sequence number and explicit nonce of the last record.
    nonce: Option<(u64, u64)>,
    /// Wire bytes of the last record.
    typical: u64,
}

/// What is known of records that were not decrypted since the last one that was.
#[derive(Default)]
pub(super) struct Lost {
    /// The sequence number of the next record is at least this.
    from: u64,
    /// Records that may have counted: complete ones that failed.
    uncertain: u64,
    /// Application data records among those known to be lost (`from` has counted them).
    certain: u64,
    /// Wire bytes of failed and of certain application data records.
    wire: u64,
    /// Bytes in which nobody knows how many records began.
    pub(super) unknown: u64,
    /// Bytes were missing, not only undecryptable.
    hole: bool,
    failures: u32,
    /// Records that may fail without meaning anything: early data that was rejected or has no secret.
    pub(super) free: u32,
    /// Some did.
    passed: bool,
    /// Application data is lost if a free record fails, and that was not said yet.
    pub(super) free_is_loss: bool,
    spent: u64,
    /// Keys of the phases that may follow, and the keyring revision they were looked for in.
    pub(super) next: Vec<Key>,
    pub(super) looked: Option<u64>,
}

/// A record that a search has opened.
pub(super) struct Found {
    pub(super) opened: Opened,
    /// Its sequence number.
    seq: u64,
    /// Which of the next phases' keys it was, unless it was the present one's.
    next: Option<usize>,
}

/// What a failed record leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Goes,
    /// The first of early data that has no secret.
    Loses,
    /// Enough: the side is given up.
    GivesUp,
}

impl Direction {
    /// Begins a phase, whose key is to be found.
    pub(super) fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.key = None;
        self.blind = false;
        self.seq = 0;
        self.lost = None;
        self.looked = None;
        self.nonce = None;
    }

    /// Frees everything: this side cannot be decrypted any more.
    pub(super) fn bury(&mut self) {
        *self = Self { dead: true, ended: self.ended, ..Self::default() };
    }

    /// Gives the phase its key.
    pub(super) fn take_key(&mut self, key: Key) {
        self.begin(key.phase);
        self.key = Some(Box::new(key));
    }

    /// The hole's account, opened when there is none.
    pub(super) fn lost(&mut self) -> &mut Lost {
        let from = self.seq;
        self.lost.get_or_insert_with(|| Box::new(Lost { from, ..Lost::default() }))
    }

    /// Opens the next record in place; the body is spoiled when that fails.
    pub(super) fn open(&mut self, header: &Header, body: &mut [u8]) -> Option<Opened> {
        let key = self.key.as_mut()?;
        let nonce = key.opener.explicit_nonce(body);
        let Some(opened) = key.opener.open(self.seq, header, body) else {
            key.opener.chain(None);
            return None;
        };
        self.nonce = nonce.map(|nonce| (self.seq, nonce));
        self.seq = self.seq.wrapping_add(1);
        self.opened = true;
        self.padded |= opened.padded;
        self.typical = 5 + header.length as u64;
        Some(opened)
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, bytes: u64) {
        let tls13 = matches!(self.phase, Phase::Early | Phase::Handshake | Phase::Traffic);
        let hit = self.framer.gap(bytes);
        self.scanned = 0;
        self.joiner.lose();
        if let Some(key) = &mut self.key {
            key.opener.chain(None);
        }
        let lost = self.lost();
        lost.hole = true;
        lost.unknown = lost.unknown.saturating_add(hit.unknown);
        if let Some(header) = hit.record {
            // TLS 1.2 says what it protects.
            if tls13 || header.kind == APPLICATION_DATA {
                lost.certain += 1;
                lost.wire += 5 + header.length as u64;
            }
            if !(tls13 && header.kind != APPLICATION_DATA) {
                lost.from = lost.from.wrapping_add(1);
            }
        }
    }

    /// A complete record was not opened.
    pub(super) fn failed(&mut self, header: &Header) -> Failure {
        let mature = self.opened;
        let lost = self.lost();
        if lost.free > 0 {
            lost.free -= 1;
            lost.passed = true;
            return if std::mem::take(&mut lost.free_is_loss) { Failure::Loses } else { Failure::Goes };
        }
        lost.uncertain += 1;
        lost.wire += 5 + header.length as u64;
        self.doubt(mature)
    }

    /// What was taken for a record behind a hole was none, or could not be opened.
    pub(super) fn doubt(&mut self, mature: bool) -> Failure {
        let lost = self.lost();
        lost.failures += 1;
        let limits = usize::from(!(mature || lost.hole));
        let spent = lost.spent > TRIAL_BYTES[usize::from(!mature)];
        if spent || lost.failures >= MAX_FAILURES[limits] { Failure::GivesUp } else { Failure::Goes }
    }

    /// True when a complete record failed, and none was ever opened.
    pub(super) fn never_opened(&self) -> bool {
        !self.opened && self.lost.as_ref().is_some_and(|lost| lost.uncertain > 0)
    }

    /// True when records were passed over that need not open, and none was ever opened.
    pub(super) fn passed_over_all(&self) -> bool {
        !self.opened && !self.blind && self.lost.as_ref().is_some_and(|lost| lost.passed)
    }

    /// Looks for the key and sequence number that open a record; `body` becomes its plaintext then. Costs nothing when the
    /// first guess is right.
    pub(super) fn search(&mut self, header: &Header, body: &[u8], scratch: &mut Vec<u8>) -> Option<Found> {
        let limit = TRIAL_BYTES[usize::from(!self.opened)];
        let lost = self.lost.as_mut()?;
        let mut attempt = |key: &mut Key, seq: u64| {
            if lost.spent > limit {
                return None;
            }
            lost.spent += body.len() as u64 + ATTEMPT_BYTES;
            scratch.clear();
            scratch.extend_from_slice(body);
            key.opener.open(seq, header, scratch)
        };
        if let Some(key) = &mut self.key {
            let nonce = key.opener.explicit_nonce(body);
            let smallest = 5 + key.opener.overhead() as u64;
            let span = lost.uncertain.saturating_add(lost.unknown / smallest).min(MAX_SPAN);
            let guess = lost.uncertain.saturating_add(lost.unknown / self.typical.max(smallest)).min(span);
            // Nearly every sender's explicit nonce counts records.
            let told = self.nonce.zip(nonce).map(|((seq, old), new)| seq.wrapping_add(new.wrapping_sub(old)));
            let told = told.filter(|&seq| seq.wrapping_sub(lost.from) <= span);
            let outwards = outwards(guess, span).map(|offset| lost.from.wrapping_add(offset));
            for seq in told.into_iter().chain(outwards) {
                if let Some(opened) = attempt(key, seq) {
                    self.nonce = nonce.map(|nonce| (seq, nonce));
                    return Some(Found { opened, seq, next: None });
                }
            }
        }
        for (number, key) in lost.next.iter_mut().enumerate() {
            let smallest = 5 + key.opener.overhead() as u64;
            let span = lost.uncertain.saturating_add(lost.unknown / smallest).min(MAX_SPAN);
            if let Some((seq, opened)) = (0..=span).find_map(|seq| Some((seq, attempt(key, seq)?))) {
                return Some(Found { opened, seq, next: Some(number) });
            }
        }
        None
    }

    /// Goes on behind a record that was found. Says how many bytes of plaintext are missing before it: `Some(0)` when some
    /// are and their number is not known.
    pub(super) fn found(&mut self, found: &Found, header: &Header) -> Option<u64> {
        let mut lost = self.lost.take()?;
        let phase = self.phase;
        let missing = lost.missing(found, self);
        if let Some(number) = found.next {
            self.take_key(lost.next.swap_remove(number));
        }
        self.seq = found.seq.wrapping_add(1);
        self.opened = true;
        self.padded |= found.opened.padded;
        self.typical = 5 + header.length as u64;
        match (phase, found.next) {
            (Phase::Handshake, None) => None,
            (Phase::Handshake, Some(_)) => (found.seq > 0).then_some(0),
            // The first record is Finished.
            (Phase::Plain, _) => (found.seq > 1).then_some(0),
            (_, Some(_)) => Some(0),
            (_, None) => missing,
        }
    }

    /// Plaintext bytes missing when nothing more comes.
    pub(super) fn missing_at_end(&mut self) -> Option<u64> {
        let partial = !self.framer.buffer.is_empty();
        let application = matches!(self.phase, Phase::Early | Phase::Traffic | Phase::Session);
        let Some(lost) = self.lost.take() else { return (partial && application).then_some(0) };
        let passed_over = lost.free > 0 && !lost.hole;
        if passed_over {
            return None;
        }
        if partial || lost.unknown > 0 || lost.uncertain > 0 {
            return Some(0);
        }
        if application { lost.plaintext(lost.certain, self) } else { (lost.certain > 1).then_some(0) }
    }
}

impl Lost {
    /// Plaintext bytes between the last record opened and this one of the same key.
    fn missing(&self, found: &Found, direction: &Direction) -> Option<u64> {
        let records = found.seq.wrapping_sub(self.from).saturating_add(self.certain);
        // The first record of TLS 1.2 is Finished: no data, and not of a record's usual size.
        if direction.phase == Phase::Session && !direction.opened {
            return (found.seq > 1).then_some(0);
        }
        self.plaintext(records, direction)
    }

    /// Plaintext bytes of so many records, if all were application data of the usual form.
    fn plaintext(&self, records: u64, direction: &Direction) -> Option<u64> {
        let wire = self.wire.saturating_add(self.unknown);
        if wire == 0 || records == 0 {
            return None;
        }
        let opener = &direction.key.as_ref()?.opener;
        let overhead = records.saturating_mul(5 + opener.overhead() as u64);
        let exact = opener.exact() && !direction.padded;
        Some(if exact { wire.saturating_sub(overhead) } else { 0 })
    }
}

/// `0..=span`, nearest to `from` first.
fn outwards(from: u64, span: u64) -> impl Iterator<Item = u64> {
    let above = move |distance: u64| from.checked_add(distance).filter(|&at| at <= span);
    let below = move |distance: u64| from.checked_sub(distance).filter(|_| distance > 0);
    (0..=span).flat_map(move |distance| [above(distance), below(distance)]).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_goes_outwards_and_meets_each_number_once() {
        for (from, span) in [(0, 0), (0, 5), (3, 5), (5, 5), (2, 9)] {
            let mut met: Vec<u64> = outwards(from, span).collect();
            assert_eq!(met[0], from);
            met.sort_unstable();
            assert_eq!(met, (0..=span).collect::<Vec<_>>(), "{from} {span}");
        }
    }
}
