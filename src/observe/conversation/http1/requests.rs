//! The client's direction: requests become exchanges as soon as their heads are known.

use crate::model::{Body, Headers, Incomplete, Nanos, Origin, Request, Scheme, Side};
use crate::observe::streams::Ending;
use crate::wire::http1::{Event, Http1Error, RequestHead};

use super::super::desk::{Context, More};
use super::super::open::Open;
use super::super::reasons;
use super::super::target::{Routed, route, without_hop_fields};
use super::pairing::{Asked, Hole, What};
use super::{Http1, Step};

impl Http1 {
    pub(super) fn read_requests(&mut self, cx: &mut Context<'_>, at: Nanos, rest: &[u8]) -> Step {
        let half = &mut self.requests;
        if !half.begun && !rest.is_empty() {
            half.begun = true;
            half.started = at;
        }
        let progress = match half.reader.read_over(&mut cx.desk.spares, rest) {
            Ok(progress) => progress,
            Err(error) => {
                half.reader.seek_past();
                if let Some(open) = self.current(Side::Request) {
                    open.fail(reasons::malformed(Side::Request, &error));
                }
                self.break_off(cx, Side::Request, at);
                self.pairing.hole(Hole::Cruft);
                return Step::Used(0);
            }
        };
        let used = progress.consumed;
        if used > 0 {
            half.last = at;
        }
        match progress.event {
            Some(Event::Request(head, _)) => {
                self.request_begins(cx, at, head);
                self.tell(Side::Request);
            }
            Some(Event::Body(range)) => {
                let more = if half.reader.is_at_end() { More::None } else { More::Maybe };
                if let Some(open) = self.current(Side::Request) {
                    open.body(cx.desk, Side::Request, at, &rest[range], more);
                }
            }
            Some(Event::End(trailers)) => {
                self.tell(Side::Request);
                self.request_ends(cx, trailers);
            }
            Some(Event::Response(..)) => {}
            None if used == 0 => return Step::Wait,
            None => self.skipped(cx, Side::Request),
        }
        Step::Used(used)
    }

    /// Bytes that are no message passed: the next one begins behind them.
    pub(super) fn skipped(&mut self, cx: &mut Context<'_>, side: Side) {
        let half = self.half(side);
        if half.reader.is_between_messages() || half.reader.is_seeking() {
            half.begun = false;
        }
        let skipped = half.take_skipped();
        cx.desk.tally.skipped_bytes += skipped;
        match side {
            _ if skipped == 0 => {}
            Side::Request => self.pairing.hole(Hole::Cruft),
            Side::Response => self.responses.noise |= self.pairing.front().is_some(),
        }
    }

    fn request_begins(&mut self, cx: &mut Context<'_>, at: Nanos, head: RequestHead) {
        let RequestHead { method, target, version, mut headers, .. } = head;
        let started = self.requests.started;
        let connect = method == "CONNECT";
        let may_switch = connect || headers.first("upgrade").is_some();
        let Routed { origin, target, proxied } = if connect {
            Routed { origin: tunnel_origin(cx, &target), target, proxied: true }
        } else {
            route(cx.path, &method, target, &headers)
        };
        if proxied {
            without_hop_fields(&mut headers);
        }
        let request =
            Request { origin, method, target, version, headers, body: Body::default(), trailers: Headers::default() };
        let what = if connect {
            What::Connect(Box::new((request, started, None)))
        } else {
            match Open::begin(cx, request, started, None) {
                Some(open) => What::Open(open),
                None => return,
            }
        };
        if let Some(over) = self.pairing.ask(what, may_switch) {
            self.give_up(cx, over, at, reasons::response_lost());
        }
    }

    /// A request of whose head only the beginning was seen; how many of its fields are known.
    pub(super) fn cut_request(&mut self, cx: &mut Context<'_>, at: Nanos, head: RequestHead) -> usize {
        let known = head.headers.0.len();
        self.request_begins(cx, at, head);
        known
    }

    fn request_ends(&mut self, cx: &mut Context<'_>, trailers: Headers) {
        let at = self.requests.last;
        self.requests.begun = false;
        if let Some(asked) = self.pairing.sending() {
            asked.sent = true;
            match &mut asked.what {
                What::Open(open) => open.request_done(cx.desk, at, trailers),
                What::Connect(held) => held.2 = Some(at),
            }
        }
        self.finish_done(cx, at);
        if self.responses.ended.is_some() {
            self.give_up_unanswered(cx, at);
        }
    }

    pub(super) fn requests_ended(&mut self, cx: &mut Context<'_>, at: Nanos, how: Ending) {
        let last = self.requests.reader.end_of_input();
        self.tell(Side::Request);
        match last {
            Ok(Some(Event::End(trailers))) if how == Ending::Fin => self.request_ends(cx, trailers),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => {
                if let Some(open) = self.current(Side::Request) {
                    open.fail(reasons::inside(Side::Request, how));
                }
                self.break_off(cx, Side::Request, at);
            }
        }
        self.requests.skip_held();
        if how == Ending::Reset {
            self.pairing.each(|asked| {
                if let (false, What::Open(open)) = (asked.answered, &mut asked.what) {
                    open.fail(reasons::reset(Side::Request));
                }
            });
        }
    }

    /// The requests that are whole and that nobody answers any more.
    pub(super) fn give_up_unanswered(&mut self, cx: &mut Context<'_>, at: Nanos) {
        let how = self.responses.ended.map_or(Ending::EndOfCapture, |(how, _)| how);
        while self.pairing.front().is_some_and(|asked| asked.sent && !asked.answered) {
            let Some(asked) = self.pairing.take_front() else { return };
            let reason = self.why_unanswered(&asked, how);
            self.give_up(cx, asked, at, reason);
        }
    }

    pub(super) fn why_unanswered(&self, asked: &Asked, how: Ending) -> Incomplete {
        if self.pairing.in_doubt(asked) {
            reasons::response_lost()
        } else if self.responses.noise {
            reasons::malformed(Side::Response, &Http1Error::Syntax)
        } else {
            reasons::unanswered(how)
        }
    }
}

/// Whom a CONNECT wants to reach.
fn tunnel_origin(cx: &Context<'_>, authority: &[u8]) -> Origin {
    let named = std::str::from_utf8(authority).ok().and_then(|text| Origin::from_authority(Scheme::Https, text).ok());
    named.unwrap_or_else(|| cx.path.origin())
}
