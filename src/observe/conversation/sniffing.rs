//! A connection whose protocol is not known yet. From its beginning: the first bytes of both sides are kept until they tell.
//! In the middle: packets are looked at one by one, and forgotten when they do not tell.

use crate::model::{Nanos, Side};
use crate::wire::sniff::{self, Protocol, Verdict, begins_request};

use super::desk::Context;
use super::http1::Http1;
use super::http2::Http2;
use super::open::index;
use super::talk::{Layer, Turn};
use super::tls::Tls;

/// Most bytes kept of both sides.
const MOST_KEPT: usize = 64 * 1024;
/// In the middle of a connection, most bytes that do not tell.
const MOST_PASSED: u64 = 4 << 20;
/// So many first bytes of a side are kept for a guess.
const FIRST_BYTES: usize = 64;
/// In the middle of a connection, most bytes kept of what may become a request line.
const LINE_BYTES: usize = 16 * 1024;
/// More than so much is not looked at again with every packet, or a line that comes byte by byte costs its square.
const EASY_BYTES: usize = 2048;

#[derive(Debug)]
pub(super) struct Sniffing {
    midway: bool,
    port: u16,
    /// What came, in order; and the same by side.
    pieces: Vec<(Side, Nanos, usize)>,
    kept: [Vec<u8>; 2],
    /// How much was kept of each side when it was last looked at.
    looked: [usize; 2],
    /// The first bytes, when they were not kept.
    first: [Vec<u8>; 2],
    passed: u64,
    /// A protocol that TLS agreed for what is inside.
    hint: Option<Protocol>,
}

impl Sniffing {
    /// `port`: the server's.
    pub(super) fn new(midway: bool, port: u16) -> Self {
        Self {
            midway,
            port,
            pieces: Vec::new(),
            kept: Default::default(),
            looked: [0; 2],
            first: Default::default(),
            passed: 0,
            hint: None,
        }
    }

    /// Believes `alpn` when the bytes do not tell.
    pub(super) fn with_hint(mut self, alpn: Option<&str>) -> Self {
        self.hint = match alpn {
            Some("h2") => Some(Protocol::Http2),
            Some("http/1.1" | "http/1.0") => Some(Protocol::Http1),
            _ => None,
        };
        self
    }

    /// Nothing was ever said.
    pub(super) fn is_silent(&self) -> bool {
        self.pieces.is_empty() && self.passed == 0
    }

    /// What it may be.
    pub(super) fn guess(&self) -> &'static str {
        let [client, server] = if self.kept.iter().all(Vec::is_empty) { &self.first } else { &self.kept };
        sniff::guess(client, server, self.port)
    }

    pub(super) fn bytes(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) -> Option<Turn> {
        if self.midway {
            return self.packet(cx, side, at, bytes);
        }
        if self.pieces.is_empty() {
            // Most connections tell with their first packet: nothing is copied.
            let verdict = match side {
                Side::Request => sniff::sniff(bytes, &[]),
                Side::Response => sniff::sniff(&[], bytes),
            };
            if verdict != Verdict::Nothing
                && let Some(turn) = self.decide(cx, verdict)
            {
                return Some(turn);
            }
        }
        let goes_on = self.pieces.last().is_some_and(|(before, ..)| *before == side);
        self.pieces.push((side, at, bytes.len()));
        self.kept[index(side)].extend_from_slice(bytes);
        if goes_on && self.trickles(side) {
            return None;
        }
        let mut turn = self.look(cx)?;
        turn.used = bytes.len();
        Some(turn)
    }

    /// What is kept tells by now, or will not.
    pub(super) fn look(&mut self, cx: &mut Context<'_>) -> Option<Turn> {
        if self.midway || self.pieces.is_empty() {
            return None;
        }
        self.looked = self.kept.each_ref().map(Vec::len);
        let mut verdict = sniff::sniff(&self.kept[0], &self.kept[1]);
        if verdict == Verdict::More && self.kept.iter().map(Vec::len).sum::<usize>() > MOST_KEPT {
            verdict = Verdict::Nothing;
        }
        if let (Verdict::Nothing | Verdict::TurnedRound(_), Some(hint)) = (verdict, self.hint) {
            verdict = Verdict::Is(hint);
        }
        let mut turn = self.decide(cx, verdict)?;
        if turn.round && sniff::is_foreign(&self.kept[0]) {
            // Who opened the connection said something of its own before it was asked.
            cx.desk.tally.skipped_bytes += self.kept[0].len() as u64;
            self.kept[0].clear();
            self.pieces.retain(|(side, ..)| *side == Side::Response);
        }
        self.leave(&mut turn);
        Some(turn)
    }

    /// Too little came since the last look for another one.
    fn trickles(&self, side: Side) -> bool {
        let (kept, looked) = (self.kept[index(side)].len(), self.looked[index(side)]);
        kept > EASY_BYTES && kept < looked + looked / 16
    }

    /// Bytes are missing: the rest is the middle of something. Before them there may be the beginning of a request.
    pub(super) fn gap(&mut self, cx: &mut Context<'_>, side: Side) -> Option<Turn> {
        if begins_request(&self.kept[index(side)]) {
            let verdict = if side == Side::Request { Verdict::Is } else { Verdict::TurnedRound };
            let mut turn = self.decide(cx, verdict(Protocol::Http1))?;
            self.leave(&mut turn);
            return Some(turn);
        }
        self.note_first();
        self.passed = self.passed.max(1);
        if self.pieces.iter().any(|(before, ..)| *before == side) || self.kept[index(side.other())].is_empty() {
            self.forget();
        }
        self.midway = true;
        None
    }

    fn packet(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) -> Option<Turn> {
        let first = &mut self.first[index(side)];
        let room = FIRST_BYTES.saturating_sub(first.len()).min(bytes.len());
        first.extend_from_slice(&bytes[..room]);
        self.passed = self.passed.saturating_add(bytes.len() as u64);
        let joined = !self.kept[index(side)].is_empty();
        if joined {
            self.kept[index(side)].extend_from_slice(bytes);
            if self.trickles(side) {
                self.pieces.push((side, at, bytes.len()));
                return None;
            }
        }
        let kept = &mut self.kept[index(side)];
        self.looked[index(side)] = kept.len();
        let whole = if joined { kept.as_slice() } else { bytes };
        let verdict = match sniff::sniff_midway(whole, side == Side::Request) {
            Verdict::More if whole.len() <= LINE_BYTES && begins_request(whole) => {
                if !joined {
                    kept.extend_from_slice(bytes);
                }
                self.pieces.push((side, at, bytes.len()));
                return None;
            }
            Verdict::More if joined => {
                self.pieces.retain(|(of, ..)| *of != side);
                kept.clear();
                return None;
            }
            Verdict::More if self.passed > MOST_PASSED => self.hint.map_or(Verdict::Nothing, Verdict::Is),
            verdict => verdict,
        };
        if joined {
            self.pieces.push((side, at, bytes.len()));
        }
        let mut turn = self.decide(cx, verdict)?;
        self.leave(&mut turn);
        if joined {
            turn.used = bytes.len();
        }
        Some(turn)
    }

    fn decide(&mut self, cx: &mut Context<'_>, verdict: Verdict) -> Option<Turn> {
        let (protocol, round) = match verdict {
            Verdict::More => return None,
            Verdict::Is(protocol) => (protocol, false),
            // Whoever opened the connection: the one that asks is the client.
            Verdict::TurnedRound(protocol) => (protocol, true),
            Verdict::Nothing => return Some(Turn::to(Layer::Opaque(self.guess()))),
        };
        let layer = match protocol {
            Protocol::Http1 => {
                let mut http1 = Http1::new(self.midway);
                if !self.kept[usize::from(!round)].is_empty() {
                    http1.believe();
                }
                Layer::Http1(Box::new(http1))
            }
            Protocol::Http2 => Layer::Http2(Box::new(Http2::new(self.midway))),
            Protocol::Tls => Layer::Tls(Box::new(Tls::new(cx))),
            Protocol::Socks => Layer::Socks(Box::default()),
        };
        Some(Turn { round, ..Turn::to(layer) })
    }

    fn leave(&mut self, turn: &mut Turn) {
        let mut at_byte = [0; 2];
        for (side, at, len) in std::mem::take(&mut self.pieces) {
            let start = at_byte[index(side)];
            at_byte[index(side)] += len;
            turn.leave(side, at, self.kept[index(side)][start..start + len].to_vec());
        }
    }

    fn note_first(&mut self) {
        for (first, kept) in self.first.iter_mut().zip(&self.kept) {
            if first.is_empty() {
                first.extend_from_slice(&kept[..kept.len().min(FIRST_BYTES)]);
            }
        }
    }

    fn forget(&mut self) {
        self.passed = self.passed.saturating_add(self.kept.iter().map(Vec::len).sum::<usize>() as u64);
        self.pieces.clear();
        self.kept = Default::default();
        self.looked = [0; 2];
    }
}
