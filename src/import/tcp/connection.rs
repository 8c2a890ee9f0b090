//! One connection: reads its segments, hands on what is in order at once (`report`), and leaves the rest to `order`.

use super::super::segment::Segment;
use super::census::Census;
use super::clock::NEVER;
use super::config::Config;
use super::hold::{Hold, Mark, Reset, Settle};
use super::key::{End, Key};
use super::ports::Ports;
use super::serial::{Position, first, near};
use crate::observe::streams::{ConnectionId, Streams, UnixNanos};

/// No window is larger (RFC 7323, section 2.3): what lies farther from a known position does not belong there.
pub(super) const WINDOW: u64 = 1 << 30;

/// What may be missing or misplaced and still be believed from a single number.
pub(super) const EARLIER: u64 = 1 << 20;

/// A SYN that comes so long after the connection's first packet is not that connection's.
const LATE_SYN: u64 = 3_000_000_000;

/// What a connection needs from the reassembler while it works.
pub(super) struct Context<'a> {
    pub config: &'a Config,
    pub census: &'a mut Census,
    pub ports: &'a Ports,
    /// Timer time.
    pub clock: UnixNanos,
    /// Number of the packet.
    pub ticket: u64,
}

/// A set of yes-or-no facts, one bit each, to keep idle connections small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts(u8);

impl Facts {
    pub fn has(self, fact: u8) -> bool {
        self.0 & fact != 0
    }

    pub fn set(&mut self, fact: u8) {
        self.0 |= fact;
    }

    pub fn clear(&mut self, fact: u8) {
        self.0 &= !fact;
    }
}

/// Facts of a direction.
pub(super) mod side {
    /// A packet of this end was seen.
    pub const SEEN: u8 = 1;
    /// `isn` is known.
    pub const SYN: u8 = 2;
    /// `next` is known.
    pub const PLACED: u8 = 4;
    /// Its end was reached: FIN, or the connection was closed.
    pub const STOPPED: u8 = 8;
    /// That was reported.
    pub const TOLD: u8 = 16;
    /// The byte at `next` was acknowledged, never seen, and may be a FIN.
    pub const PRESUMED: u8 = 32;
    /// Something of it was reported.
    pub const STARTED: u8 = 64;
}

/// Facts of a connection.
pub(super) mod whole {
    pub const OPENED: u8 = 1;
    /// SYN or SYN-ACK told who the client is.
    pub const CLIENT: u8 = 2;
    /// Something is out of order: `Hold` has to be asked.
    pub const BUSY: u8 = 4;
    pub const CLOSED: u8 = 8;
    pub const PAYLOAD: u8 = 16;
    /// RST ended it.
    pub const RESET: u8 = 32;
}

/// One direction, named by the end that sends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Direction {
    /// Next position to be delivered.
    pub next: Position,
    /// Everything before this is acknowledged by the receiver; 0 for not known.
    pub acked: Position,
    /// Everything that was seen to be sent lies before this. While `next` is not known: the first value of `acked`.
    pub sent: Position,
    /// Time of the last call to `Streams`.
    pub at: UnixNanos,
    /// Initial sequence number.
    pub isn: u32,
    pub facts: Facts,
}

/// Where a connection stands in the order in which connections are let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Both sides have ended; kept to recognize what comes late.
    Closed = 0,
    /// No payload yet.
    Empty = 1,
    /// Carries payload.
    Open = 2,
}

/// State of one connection. Small while nothing is out of order.
#[derive(Debug)]
pub(super) struct Connection {
    pub key: Key,
    pub id: ConnectionId,
    /// Lane of its first segment.
    pub lane: u64,
    pub first: UnixNanos,
    pub syn: UnixNanos,
    pub syn_ack: UnixNanos,
    pub ack: UnixNanos,
    /// Timer time of its last packet.
    pub touched: UnixNanos,
    pub ends: [Direction; 2],
    pub hold: Option<Box<Hold>>,
    /// End of the client, as far as known.
    pub client: u8,
    pub facts: Facts,
}

impl Connection {
    /// A connection whose first segment is about to be accepted.
    pub fn new(id: ConnectionId, key: Key, from: End, segment: &Segment<'_>, clock: UnixNanos) -> Self {
        Self {
            key,
            id,
            lane: segment.lane,
            first: segment.at,
            syn: NEVER,
            syn_ack: NEVER,
            ack: NEVER,
            touched: clock,
            ends: [Direction::default(); 2],
            hold: None,
            client: from as u8,
            facts: Facts::default(),
        }
    }

    /// Reads one segment that `end` sent.
    pub fn accept<S: Streams>(&mut self, end: End, segment: &Segment<'_>, cx: &mut Context<'_>, out: &mut S) {
        self.touched = cx.clock;
        let flags = segment.flags;
        if flags.syn {
            self.on_syn(end, segment);
        }
        let need = if flags.ack { self.on_ack(end, segment.ack, cx.clock) } else { 0 };
        self.ends[end].facts.set(side::SEEN);
        if self.ack == NEVER && self.syn_ack != NEVER && flags.ack && !flags.syn && usize::from(self.client) == end {
            self.ack = segment.at;
        }
        let mark = Mark { at: segment.at, clock: cx.clock, ticket: cx.ticket, need, covered: NEVER };
        if !segment.payload.is_empty() || segment.cut > 0 {
            self.on_payload(end, segment, mark, cx, out);
        }
        if flags.fin {
            self.on_fin(end, segment, mark, cx, out);
        }
        if flags.rst {
            self.on_reset(end, segment, cx);
        }
        if self.facts.has(whole::BUSY) {
            let hold = self.hold();
            hold.queues[end].heard = cx.clock;
            if let Some(settle) = &mut hold.settle {
                settle.packets = settle.packets.saturating_sub(1);
            }
            self.advance(cx, out);
        }
    }

    fn on_syn(&mut self, end: End, segment: &Segment<'_>) {
        let me = &mut self.ends[end];
        if !me.facts.has(side::SYN) {
            let seq = segment.seq.wrapping_add(1);
            let start = me.reference().map_or_else(|| first(seq), |reference| near(seq, reference));
            if !me.facts.has(side::STARTED) {
                me.next = start;
                me.sent = if me.facts.has(side::PLACED) { me.sent.max(start) } else { start };
            }
            me.isn = segment.seq;
            me.facts.set(side::SYN | side::PLACED);
            let certain = |end: &Direction| end.facts.has(side::SYN) || !end.facts.has(side::PLACED);
            if let Some(hold) = &mut self.hold
                && self.ends.iter().all(certain)
            {
                hold.settle = None;
            }
        }
        let seen = if segment.flags.ack { &mut self.syn_ack } else { &mut self.syn };
        *seen = (*seen).min(segment.at);
        let by_syn = !segment.flags.ack && !self.facts.has(whole::CLIENT);
        let by_answer = segment.flags.ack && self.syn == NEVER;
        if !self.facts.has(whole::OPENED) && (by_syn || by_answer) {
            self.client = if segment.flags.ack { 1 - end as u8 } else { end as u8 };
            self.facts.set(whole::CLIENT);
        }
    }

    /// Returns what the other direction must have delivered before anything in this segment.
    fn on_ack(&mut self, end: End, ack: u32, clock: UnixNanos) -> Position {
        let peer = &mut self.ends[1 - end];
        if !peer.facts.has(side::PLACED) {
            let position = if peer.acked == 0 { first(ack) } else { near(ack, peer.acked) };
            if peer.acked == 0 {
                peer.sent = position;
            }
            peer.acked = peer.acked.max(position);
            return position;
        }
        let position = near(ack, peer.next);
        if position > peer.sent.max(peer.next) + WINDOW {
            return 0;
        }
        if position > peer.acked {
            let old = std::mem::replace(&mut peer.acked, position);
            if self.facts.has(whole::BUSY)
                && let Some(hold) = &mut self.hold
            {
                hold.queues[1 - end].cover(old, position, clock);
            }
        }
        if self.ends[1 - end].facts.has(side::SEEN) { position } else { 0 }
    }

    fn on_payload<S: Streams>(
        &mut self,
        end: End,
        segment: &Segment<'_>,
        mark: Mark,
        cx: &mut Context<'_>,
        out: &mut S,
    ) {
        let seq = segment.seq.wrapping_add(u32::from(segment.flags.syn));
        self.place(end, seq, segment.payload, cx);
        if !self.facts.has(whole::CLOSED) {
            self.facts.set(whole::PAYLOAD);
        }
        let mut bytes = segment.payload;
        let settling = self.settling();
        let me = &mut self.ends[end];
        let mut start = near(seq, me.next);
        let captured = start + bytes.len() as u64;
        let sent = captured + u64::from(segment.cut).min(WINDOW);
        if start == me.next && !self.facts.has(whole::BUSY | whole::CLOSED) && !me.facts.has(side::STOPPED) {
            let before = me.sent;
            me.sent = before.max(sent);
            if self.satisfied(end, mark.need) {
                if start < before {
                    cx.census.out_of_order_segments += u64::from(!bytes.is_empty());
                }
                self.deliver(end, mark.at, bytes, cx, out);
            } else {
                self.wait(end, start, bytes, mark, cx);
            }
            return;
        }
        if captured == start + 1 && captured == me.next && segment.cut == 0 && (!settling || bytes == [0]) {
            return; // a keep-alive probe (RFC 9293, section 3.8.4): its byte means nothing
        }
        if self.facts.has(whole::CLOSED) || me.facts.has(side::STOPPED) {
            self.count_old(end, start, captured, cx);
            cx.census.stray_bytes += captured.saturating_sub(self.ends[end].next.max(start));
            return;
        }
        if settling && !me.facts.has(side::SYN | side::STARTED) && start < me.next && me.next - start <= EARLIER {
            me.next = start;
        }
        let next = me.next;
        if start < next {
            self.count_old(end, start, captured, cx);
            bytes = &bytes[bytes.len().min((next - start) as usize)..];
            start = next;
        } else if start - next > WINDOW && start.saturating_sub(self.ends[end].acked) > WINDOW {
            cx.census.stray_bytes += bytes.len() as u64;
            return;
        }
        if bytes.is_empty() {
            self.ends[end].sent = self.ends[end].sent.max(sent);
            return;
        }
        self.on_new_bytes(end, start, bytes, sent, mark, cx, out);
    }

    /// Bytes at or behind `next`, some of which may wait already.
    #[expect(clippy::too_many_arguments, reason = "one step of on_payload")]
    fn on_new_bytes<S: Streams>(
        &mut self,
        end: End,
        start: Position,
        bytes: &[u8],
        sent: Position,
        mark: Mark,
        cx: &mut Context<'_>,
        out: &mut S,
    ) {
        let behind = start + bytes.len() as u64;
        let me = &mut self.ends[end];
        let filler = start < me.sent;
        me.sent = me.sent.max(sent);
        let next = me.next;
        let free = start == next && !self.settling() && self.satisfied(end, mark.need);
        let hold = self.hold();
        if let Some(reset) = hold.reset
            && reset.by == end
            && mark.at > reset.at
        {
            hold.reset = None; // whoever goes on sending did not reset; the RST was forged
        }
        if hold.queues[end].fin.is_some_and(|(position, _)| behind > position) {
            cx.census.stray_bytes += bytes.len() as u64;
        } else if free && !hold.queues[end].holds_below(behind) {
            cx.census.out_of_order_segments += u64::from(filler);
            self.deliver(end, mark.at, bytes, cx, out);
        } else if self.wait(end, start, bytes, mark, cx) && filler {
            cx.census.out_of_order_segments += 1;
        }
    }

    /// Puts bytes into the queue; true when some of them were new.
    fn wait(&mut self, end: End, start: Position, bytes: &[u8], mut mark: Mark, cx: &mut Context<'_>) -> bool {
        if self.ends[end].acked >= start {
            mark.covered = cx.clock;
        }
        self.facts.set(whole::BUSY);
        let done = self.hold().queues[end].insert(start, bytes, mark);
        cx.census.duplicate_bytes += done.duplicate;
        cx.census.conflicting_bytes += done.conflicting;
        done.fresh > 0
    }

    fn on_fin<S: Streams>(
        &mut self,
        end: End,
        segment: &Segment<'_>,
        mut mark: Mark,
        cx: &mut Context<'_>,
        out: &mut S,
    ) {
        if self.facts.has(whole::CLOSED) {
            return;
        }
        let length = (segment.payload.len() as u32).wrapping_add(segment.cut);
        let seq = segment.seq.wrapping_add(u32::from(segment.flags.syn)).wrapping_add(length);
        self.place(end, seq, &[], cx);
        let me = &mut self.ends[end];
        let position = near(seq, me.next);
        if me.facts.has(side::STOPPED) || position < me.next || position - me.next > WINDOW {
            return;
        }
        me.sent = me.sent.max(position);
        if me.next < position || self.facts.has(whole::BUSY) || !self.satisfied(end, mark.need) {
            if self.ends[end].acked >= position {
                mark.covered = cx.clock;
            }
            self.facts.set(whole::BUSY);
            self.hold().queues[end].fin.get_or_insert((position, mark));
        } else {
            self.finish(end, mark.at, cx, out);
        }
    }

    fn on_reset(&mut self, end: End, segment: &Segment<'_>, cx: &mut Context<'_>) {
        if self.facts.has(whole::CLOSED) {
            return;
        }
        let me = &self.ends[end];
        if me.facts.has(side::PLACED) && me.facts.has(side::SEEN | side::SYN) && segment.seq != 0 {
            let position = near(segment.seq, me.next);
            let highest = me.sent.max(me.acked).max(me.next);
            if position + (64 << 10) < me.next || position > highest + EARLIER {
                return;
            }
        }
        if !self.facts.has(whole::PAYLOAD) && self.syn_ack == NEVER {
            if let Some(hold) = &mut self.hold {
                hold.clear();
            }
            self.shut(true); // refused: nothing can be under way, and scans have many of these
            return;
        }
        self.facts.set(whole::BUSY);
        let clock = cx.clock;
        self.hold().reset.get_or_insert(Reset { by: end, at: segment.at, clock });
    }

    /// Decides where a direction begins that was not known before.
    fn place(&mut self, end: End, seq: u32, payload: &[u8], cx: &Context<'_>) {
        let settling = self.settling();
        let me = &mut self.ends[end];
        if me.facts.has(side::PLACED) {
            return;
        }
        let start = me.reference().map_or_else(|| first(seq), |reference| near(seq, reference));
        // What the receiver said to have long before this side was first seen is where it goes on.
        let known = !settling && me.sent != 0 && start >= me.sent && start - me.sent <= EARLIER;
        me.next = if known { me.sent } else { start };
        if payload == [0] && !known {
            me.next = start + 1; // a keep-alive probe: a capture hardly ever begins with a single zero byte
        }
        me.sent = me.next;
        me.facts.set(side::PLACED);
        if !known || self.is_young(cx.clock) {
            // A beginning that is a guess: earlier bytes, or the SYN, may yet come.
            self.hold().settle = Some(Settle::new(cx.clock, cx.config));
            self.facts.set(whole::BUSY);
        }
    }

    /// Counts the part of `start..end` that lies before what was delivered.
    fn count_old(&self, end: End, start: Position, captured: Position, cx: &mut Context<'_>) {
        let until = captured.min(self.ends[end].next);
        let late = self.hold.as_ref().map_or(0, |hold| hold.queues[end].lost_within(start, until));
        cx.census.late_bytes += late;
        cx.census.duplicate_bytes += until.saturating_sub(start).saturating_sub(late);
    }

    /// True when the other direction was delivered up to what an item acknowledges.
    pub fn satisfied(&self, end: End, need: Position) -> bool {
        let peer = &self.ends[1 - end];
        let reached = peer.next + u64::from(peer.facts.has(side::PRESUMED));
        need <= reached || need - reached > WINDOW || peer.facts.has(side::STOPPED) || !peer.facts.has(side::PLACED)
    }

    /// The box of what is out of order; made when there is none.
    pub fn hold(&mut self) -> &mut Hold {
        self.hold.get_or_insert_default()
    }

    /// Notes whether anything still waits.
    pub fn rest(&mut self) {
        let Some(hold) = &self.hold else { return };
        if hold.is_busy() {
            return;
        }
        self.facts.clear(whole::BUSY);
        if hold.is_spent() {
            self.hold = None;
        }
    }

    /// Ends the whole connection: by RST or because it is let go.
    pub fn shut(&mut self, reset: bool) {
        self.facts.set(whole::CLOSED);
        if reset {
            self.facts.set(whole::RESET);
        }
    }

    pub fn settling(&self) -> bool {
        self.facts.has(whole::BUSY) && self.hold.as_ref().is_some_and(|hold| hold.settle.is_some())
    }

    pub fn is_busy(&self) -> bool {
        self.facts.has(whole::BUSY)
    }

    pub fn is_closed(&self) -> bool {
        self.facts.has(whole::CLOSED)
    }

    /// True when it was, or is being, closed by RST.
    pub fn is_reset(&self) -> bool {
        self.facts.has(whole::RESET) || self.hold.as_ref().is_some_and(|hold| hold.reset.is_some())
    }

    pub fn has_payload(&self) -> bool {
        self.facts.has(whole::PAYLOAD)
    }

    pub fn midway(&self) -> bool {
        self.syn == NEVER && self.syn_ack == NEVER
    }

    pub fn shook_hands(&self) -> bool {
        self.syn != NEVER && self.syn_ack != NEVER && self.ack != NEVER
    }

    /// A SYN of the past of this connection may still come.
    pub fn is_young(&self, clock: UnixNanos) -> bool {
        clock.saturating_sub(self.first) < LATE_SYN
    }

    pub fn standing(&self) -> Standing {
        match (self.is_closed(), self.has_payload()) {
            (true, _) => Standing::Closed,
            (false, false) => Standing::Empty,
            (false, true) => Standing::Open,
        }
    }
}

impl Direction {
    /// A known position that sequence numbers of this direction are near to.
    pub fn reference(&self) -> Option<Position> {
        if self.facts.has(side::PLACED) { Some(self.next) } else { (self.acked != 0).then_some(self.acked) }
    }
}
