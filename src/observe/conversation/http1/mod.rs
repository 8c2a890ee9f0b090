//! HTTP/1 on a connection: both directions read, responses paired with requests, until it ends or becomes something else.
//!
//! ```text
//! requests  ─ head, body, end ─► Pairing ◄─ head, body, end ─ responses
//!                                   │
//!              101, 2xx to CONNECT  └─► Turn (WebSocket, HTTP/2, tunnel, opaque)
//! ```

mod half;
mod pairing;
mod requests;
mod responses;

use crate::model::{Incomplete, Nanos, Side};
use crate::observe::streams::Ending;
use crate::wire::http1::{AfterGap, Event, Limits, Reader};
use crate::wire::http2::looks_like_preface;

use super::desk::{Context, More};
use super::http2::Http2;
use super::open::Open;
use super::reasons;
use super::talk::{Layer, Turn};
use half::Half;
use pairing::{Asked, Hole, Pairing, What};

/// Bounds for observers: they harm nobody, so they are wide.
const LIMITS: Limits = Limits { head_bytes: 256 * 1024, fields: 5_000, interim: 1_000 };
/// Most bytes a client is ahead of the answer to an upgrade or CONNECT.
const AHEAD_BYTES: usize = 256 * 1024;

/// A connection that speaks HTTP/1.
#[derive(Debug)]
pub(super) struct Http1 {
    requests: Half,
    responses: Half,
    pairing: Pairing,
    /// What is being received.
    receiving: Receiving,
}

/// To what the bytes of the server belong.
#[derive(Debug)]
enum Receiving {
    /// Nothing yet, or an interim response was the last.
    Nothing,
    /// The response to the request in front.
    Front,
    /// A response to no request that was seen.
    Unasked(Box<Open>),
}

/// What a step did.
enum Step {
    Used(usize),
    /// More bytes are needed.
    Wait,
    /// So many bytes are used; what follows is something else.
    Turn(usize, Box<Turn>),
}

impl Http1 {
    /// From the first byte, or from the middle of a connection.
    pub(super) fn new(midway: bool) -> Self {
        let (mut requests, mut responses) = (Reader::observed_requests(LIMITS), Reader::observed_responses(LIMITS));
        if midway {
            requests.seek();
            responses.seek();
        }
        let mut pairing = Pairing::default();
        if midway {
            pairing.hole(Hole::Gap);
        }
        Self { requests: Half::new(requests), responses: Half::new(responses), pairing, receiving: Receiving::Nothing }
    }

    /// What the client said first was answered in HTTP: it is a request, however odd.
    pub(super) fn believe(&mut self) {
        self.requests.reader.believe();
    }

    /// The next bytes of a side.
    pub(super) fn bytes(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) -> Option<Turn> {
        let mut held = std::mem::take(&mut self.half(side).held);
        let input = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        let mut used = 0;
        let turn = loop {
            let rest = &input[used..];
            if side == Side::Request && !rest.is_empty() && looks_like_preface(rest) == Some(true) {
                break Some(self.upgraded_unseen(cx, at));
            }
            if side == Side::Request && self.pairing.may_switch() && rest.len() <= AHEAD_BYTES {
                break None;
            }
            let step = match side {
                Side::Request => self.read_requests(cx, at, rest),
                Side::Response => self.read_responses(cx, at, rest),
            };
            match step {
                Step::Used(more) => {
                    used += more;
                    if side == Side::Response
                        && self.requests.ahead
                        && let Some(turn) = self.read_held_requests(cx)
                    {
                        break Some(turn);
                    }
                }
                Step::Wait => break None,
                Step::Turn(more, turn) => {
                    used += more;
                    break Some(*turn);
                }
            }
        };
        let Some(mut turn) = turn else {
            let ahead = side == Side::Request && self.pairing.may_switch();
            let half = self.half(side);
            half.hold(at, bytes, used, held);
            half.ahead = ahead && !half.held.is_empty();
            return if side == Side::Response { self.read_held_requests(cx) } else { None };
        };
        let rest = input[used..].to_vec();
        if side == Side::Response {
            turn.leave(Side::Request, self.requests.since, std::mem::take(&mut self.requests.held));
        }
        turn.leave(side, at, rest);
        turn.used = bytes.len();
        self.give_up_rest(cx, at);
        Some(turn)
    }

    /// What the client sent ahead of an answer, once the answer is there.
    fn read_held_requests(&mut self, cx: &mut Context<'_>) -> Option<Turn> {
        if self.requests.held.is_empty() || !self.requests.ahead || self.pairing.may_switch() {
            return None;
        }
        self.requests.ahead = false;
        let since = self.requests.since;
        let turn = self.bytes(cx, Side::Request, since, &[]);
        if let (None, false, Some((how, at))) = (&turn, self.requests.ahead, self.requests.ended) {
            self.side_ended(cx, Side::Request, at, how);
        }
        turn
    }

    /// HTTP/2 begins, and nobody saw the answer that made it so: the request that asked for it is the first stream.
    fn upgraded_unseen(&mut self, cx: &mut Context<'_>, at: Nanos) -> Turn {
        let asked = if self.pairing.may_switch() { self.pairing.take_front() } else { None };
        let open = asked.and_then(|asked| Self::opened(cx, asked.what));
        self.give_up_rest(cx, at);
        Turn::to(Layer::Http2(Box::new(Http2::upgraded_unseen(open))))
    }

    /// `bytes` bytes of a side were not seen.
    pub(super) fn gap(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: u64) -> Option<Turn> {
        if side == Side::Request && self.requests.ahead {
            // Whatever it becomes, its beginning is known no longer.
            self.requests.skip_held();
        }
        self.flush_open_body(cx, side, at);
        self.cut_head(cx, side, at, reasons::missing(side));
        let half = self.half(side);
        let found = half.reader.gap(bytes);
        half.skip_held();
        match found {
            AfterGap::Inside(missing) => self.missing(cx, side, missing),
            AfterGap::Ended(missing) => {
                if missing > 0 {
                    self.missing(cx, side, missing);
                }
                self.half(side).last = at;
                let turn = self.bytes(cx, side, at, &[]);
                if turn.is_some() || bytes == missing {
                    return turn;
                }
                self.half(side).reader.seek();
                self.lost_messages(side);
            }
            AfterGap::Broken => {
                self.missing(cx, side, 0);
                self.break_off(cx, side, at);
                self.lost_messages(side);
            }
            AfterGap::Between => self.lost_messages(side),
            AfterGap::Over => {}
        }
        None
    }

    /// `side` sends no more.
    pub(super) fn ended(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, how: Ending) {
        self.half(side).ended = Some((how, at));
        let (Some(_), Some((_, since))) = (self.responses.ended, self.requests.ended) else {
            // What the client sent ahead of an answer waits for it.
            if side == Side::Response || !self.requests.ahead {
                self.side_ended(cx, side, at, how);
            }
            return;
        };
        if side == Side::Response {
            self.side_ended(cx, side, at, how);
        }
        if self.requests.ahead {
            // No answer made it something else, so it is what it was.
            self.requests.ahead = false;
            self.pairing.stay();
            self.bytes(cx, Side::Request, self.requests.since, &[]);
            self.side_ended(cx, Side::Request, since, self.requests.ended.map_or(how, |(how, _)| how));
        } else if side == Side::Request {
            self.side_ended(cx, side, at, how);
        }
        self.give_up_rest(cx, at);
    }

    fn side_ended(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, how: Ending) {
        self.flush_open_body(cx, side, at);
        self.cut_head(cx, side, at, reasons::inside(side, how));
        match side {
            Side::Request => self.requests_ended(cx, at, how),
            Side::Response => self.responses_ended(cx, at, how),
        }
    }

    fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Request => &mut self.requests,
            Side::Response => &mut self.responses,
        }
    }

    /// The exchange whose message of this side is under way.
    fn current(&mut self, side: Side) -> Option<&mut Open> {
        let asked = match (side, &mut self.receiving) {
            (Side::Request, _) => self.pairing.sending(),
            (Side::Response, Receiving::Nothing) => None,
            (Side::Response, Receiving::Front) => self.pairing.front(),
            (Side::Response, Receiving::Unasked(open)) => return Some(open),
        };
        match asked.map(|asked| &mut asked.what) {
            Some(What::Open(open)) => Some(open),
            _ => None,
        }
    }

    /// In a body whose end is not known, what was held back belongs to it when nothing follows.
    fn flush_open_body(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos) {
        let half = self.half(side);
        if half.reader.is_in_open_body() && !half.held.is_empty() {
            let held = std::mem::take(&mut half.held);
            if let Some(open) = self.current(side) {
                open.body(cx.desk, side, at, &held, More::None);
            }
        }
    }

    /// What is held begins a head of which no more can be seen: with its start line it is a message all the same.
    pub(super) fn cut_head(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, why: Incomplete) {
        let half = self.half(side);
        if half.ahead {
            return;
        }
        let Some(cut) = half.reader.cut_head(&half.held) else { return };
        half.held = Vec::new();
        let known = match cut.event {
            Event::Request(head, _) => self.cut_request(cx, at, head),
            Event::Response(head, _) if responses::is_final(&head) => self.cut_response(cx, at, head),
            Event::Response(..) | Event::Body(_) | Event::End(_) => return,
        };
        self.tell(side);
        if let Some(open) = self.current(side) {
            open.cut(side, known, cut.target);
            open.fail(why);
        }
        self.break_off(cx, side, at);
    }

    fn missing(&mut self, cx: &mut Context<'_>, side: Side, bytes: u64) {
        if let Some(open) = self.current(side) {
            open.gap(cx.desk, side, bytes);
        }
    }

    fn lost_messages(&mut self, side: Side) {
        match side {
            Side::Request => self.pairing.hole(Hole::Gap),
            Side::Response => self.pairing.response_gap(),
        }
    }

    /// The message of this side under way is over, though not whole; its reason is given.
    fn break_off(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos) {
        match side {
            Side::Request => {
                if let Some(asked) = self.pairing.sending() {
                    asked.sent = true;
                }
            }
            Side::Response => match std::mem::replace(&mut self.receiving, Receiving::Nothing) {
                Receiving::Nothing => {}
                Receiving::Unasked(open) => open.finish(cx.desk, at),
                Receiving::Front => {
                    if let Some(asked) = self.pairing.front() {
                        asked.answered = true;
                    }
                }
            },
        }
        self.half(side).begun = false;
        self.finish_done(cx, at);
    }

    /// Finishes the exchanges in front that are over.
    fn finish_done(&mut self, cx: &mut Context<'_>, at: Nanos) {
        while let Some(asked) = self.pairing.take_done() {
            Self::finish(cx, asked, at);
        }
    }

    fn finish(cx: &mut Context<'_>, asked: Asked, at: Nanos) {
        match asked.what {
            What::Open(open) => open.finish(cx.desk, at),
            What::Connect(_) => {}
        }
    }

    /// Everything still under way is over.
    fn give_up_rest(&mut self, cx: &mut Context<'_>, at: Nanos) {
        let how = self.responses.ended.map_or(Ending::EndOfCapture, |(how, _)| how);
        if let Receiving::Unasked(mut open) = std::mem::replace(&mut self.receiving, Receiving::Nothing) {
            open.fail(reasons::inside(Side::Response, how));
            open.finish(cx.desk, at);
        }
        while let Some(asked) = self.pairing.take_front() {
            let reason = if asked.answered { reasons::refused() } else { self.why_unanswered(&asked, how) };
            self.give_up(cx, asked, at, reason);
        }
        for half in [&mut self.requests, &mut self.responses] {
            half.skip_held();
            cx.desk.tally.skipped_bytes += half.take_skipped();
            cx.desk.tally.lenient(half.reader.take_leniencies());
        }
    }

    fn give_up(&mut self, cx: &mut Context<'_>, asked: Asked, at: Nanos, reason: Incomplete) {
        let answered = asked.answered && asked.sent;
        if let Some(mut open) = Self::opened(cx, asked.what) {
            if !answered {
                open.fail(reason);
            }
            open.finish(cx.desk, at);
        }
    }

    /// What awaits as an exchange: a CONNECT becomes one here.
    fn opened(cx: &mut Context<'_>, what: What) -> Option<Box<Open>> {
        match what {
            What::Open(open) => Some(open),
            What::Connect(held) => {
                let (request, started, done) = *held;
                let mut open = Open::begin(cx, request, started, None)?;
                if let Some(done) = done {
                    open.request_done(cx.desk, done, Default::default());
                }
                Some(open)
            }
        }
    }

    /// Gives what was odd to the exchange under way.
    fn tell(&mut self, side: Side) {
        let told = self.half(side).reader.take_leniencies();
        if told.is_empty() {
            return;
        }
        if let Some(open) = self.current(side) {
            open.lenient(side, told);
        }
    }
}
