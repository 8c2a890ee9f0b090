//! The server's direction: each response goes to its request, or becomes an exchange without one; the last may turn the
//! connection into something else.

use crate::model::{Body, Headers, Incomplete, Nanos, Response, Side};
use crate::observe::streams::Ending;
use crate::wire::http1::{Event, Framing, ResponseHead};
use crate::wire::websocket;

use super::super::desk::{Context, More};
use super::super::http2::Http2;
use super::super::open::Open;
use super::super::path::Named;
use super::super::reasons;
use super::super::talk::{Layer, Turn};
use super::super::websocket::WebSocket;
use super::pairing::{What, Who};
use super::{Http1, Receiving, Step};

impl Http1 {
    pub(super) fn read_responses(&mut self, cx: &mut Context<'_>, at: Nanos, rest: &[u8]) -> Step {
        let half = &mut self.responses;
        if !half.begun && !rest.is_empty() {
            half.begun = true;
            half.started = at;
        }
        if matches!(self.receiving, Receiving::Nothing) {
            match self.pairing.expected() {
                Some(method) => half.reader.expect_only(method),
                None => half.reader.expect_nothing(),
            }
        }
        let progress = match half.reader.read_over(&mut cx.desk.spares, rest) {
            Ok(progress) => progress,
            Err(error) => {
                half.reader.seek_past();
                if let Some(open) = self.current(Side::Response) {
                    open.fail(reasons::malformed(Side::Response, &error));
                }
                self.break_off(cx, Side::Response, at);
                return Step::Used(0);
            }
        };
        let used = progress.consumed;
        if used > 0 {
            half.last = at;
        }
        match progress.event {
            Some(Event::Response(head, framing)) => {
                if let Some(turn) = self.response_begins(cx, at, head, framing) {
                    return Step::Turn(used, Box::new(turn));
                }
            }
            Some(Event::Body(range)) => {
                let more = if half.reader.is_at_end() { More::None } else { More::Maybe };
                if let Some(open) = self.current(Side::Response) {
                    open.body(cx.desk, Side::Response, at, &rest[range], more);
                }
            }
            Some(Event::End(trailers)) => {
                self.tell(Side::Response);
                self.response_ends(cx, trailers);
            }
            Some(Event::Request(..)) => {}
            None if used == 0 => return Step::Wait,
            None => self.skipped(cx, Side::Response),
        }
        Step::Used(used)
    }

    fn response_begins(
        &mut self,
        cx: &mut Context<'_>,
        at: Nanos,
        head: ResponseHead,
        framing: Framing,
    ) -> Option<Turn> {
        if matches!(self.receiving, Receiving::Nothing) {
            self.receive(cx, at, &head)?;
        }
        let final_head = is_final(&head);
        let response = response_of(head);
        if !final_head {
            self.responses.begun = false;
            self.tell(Side::Response);
            if let Some(open) = self.current(Side::Response) {
                open.interim(response);
            }
            return None;
        }
        if framing == Framing::Tunnel {
            return self.switch(cx, response);
        }
        self.begin_refused_connect(cx);
        let started = self.responses.started;
        self.tell(Side::Response);
        if let Some(open) = self.current(Side::Response) {
            open.response(cx.desk, response, started);
        }
        None
    }

    /// A response of whose head only the beginning was seen; how many of its fields are known.
    pub(super) fn cut_response(&mut self, cx: &mut Context<'_>, at: Nanos, head: ResponseHead) -> usize {
        let known = head.headers.0.len();
        if matches!(self.receiving, Receiving::Nothing) && self.receive(cx, at, &head).is_none() {
            return known;
        }
        let started = self.responses.started;
        self.begin_refused_connect(cx);
        if let Some(open) = self.current(Side::Response) {
            open.response(cx.desk, response_of(head), started);
        }
        known
    }

    /// Decides to whom the response that begins with `head` belongs. None when the capture takes no more.
    fn receive(&mut self, cx: &mut Context<'_>, at: Nanos, head: &ResponseHead) -> Option<()> {
        self.responses.noise = false;
        if self.pairing.is_empty() {
            // The server did not wait for the end of the head.
            self.cut_head(cx, Side::Request, at, reasons::refused());
        }
        let (who, lost) = self.pairing.answer(head.status);
        for asked in lost {
            self.give_up(cx, asked, at, reasons::response_lost());
        }
        if who == Who::Front {
            self.receiving = Receiving::Front;
            return Some(());
        }
        let mut open = Open::begin_unasked(cx, self.responses.started, head.version, None)?;
        let reason = match who {
            Who::Cruft => Some(Incomplete::Client("not an HTTP/1 message".into())),
            Who::AnyOf => {
                Some(reasons::not_recorded("which of several requests it answers is not known, since bytes were lost"))
            }
            Who::Front | Who::Unseen => None,
        };
        if reason.is_some() {
            open.draft.exchange.incomplete = reason;
        }
        self.receiving = Receiving::Unasked(open);
        Some(())
    }

    /// A CONNECT that got an answer without a tunnel is an exchange.
    fn begin_refused_connect(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.receiving, Receiving::Front) {
            return;
        }
        if let Some(asked) = self.pairing.front()
            && let What::Connect(held) = &mut asked.what
        {
            let (request, started, done) = (held.0.clone(), held.1, held.2);
            if let Some(mut open) = Open::begin(cx, request, started, None) {
                if let Some(done) = done {
                    open.request_done(cx.desk, done, Headers::default());
                }
                asked.what = What::Open(open);
            }
        }
    }

    fn response_ends(&mut self, cx: &mut Context<'_>, trailers: Headers) {
        let at = self.responses.last;
        if let Some(open) = self.current(Side::Response) {
            open.response_done(cx.desk, at, trailers);
        }
        self.break_off(cx, Side::Response, at);
    }

    pub(super) fn responses_ended(&mut self, cx: &mut Context<'_>, at: Nanos, how: Ending) {
        let last = self.responses.reader.end_of_input();
        self.tell(Side::Response);
        match last {
            Ok(Some(Event::End(trailers))) if how == Ending::Fin => self.response_ends(cx, trailers),
            Ok(None) => self.responses.skip_held(),
            Ok(Some(_)) | Err(_) => {
                self.responses.skip_held();
                if matches!(self.receiving, Receiving::Nothing) && self.pairing.expected().is_some() {
                    // Its head is there in part.
                    let (_, lost) = self.pairing.answer(0);
                    lost.into_iter().for_each(|asked| self.give_up(cx, asked, at, reasons::response_lost()));
                    self.receiving = Receiving::Front;
                }
                if let Some(open) = self.current(Side::Response) {
                    open.fail(reasons::inside(Side::Response, how));
                }
                self.break_off(cx, Side::Response, at);
            }
        }
        if !matches!(self.receiving, Receiving::Nothing) {
            // An interim response was the last that came.
            if let Some(open) = self.current(Side::Response) {
                open.fail(reasons::inside(Side::Response, how));
            }
            self.break_off(cx, Side::Response, at);
        }
        self.give_up_unanswered(cx, at);
    }

    /// What the connection becomes after 101, or 2xx to CONNECT.
    fn switch(&mut self, cx: &mut Context<'_>, response: Response) -> Option<Turn> {
        let at = self.responses.last;
        let open = match std::mem::replace(&mut self.receiving, Receiving::Nothing) {
            Receiving::Unasked(open) => open,
            _ => match self.pairing.take_front()?.what {
                What::Connect(held) if response.status != 101 => return Some(tunnel(cx, &held.0.target)),
                what => Self::opened(cx, what)?,
            },
        };
        Some(Turn::to(upgrade(cx, open, response, self.responses.started, at)))
    }
}

/// The inside of a tunnel.
fn tunnel(cx: &mut Context<'_>, authority: &[u8]) -> Turn {
    let authority = String::from_utf8_lossy(authority);
    cx.desk.tally.tunnel(&authority);
    cx.path.asked = Named::of_authority(&authority).map(Box::new);
    cx.path.secured = None;
    cx.path.midway = false;
    Turn::to(Layer::sniffing(cx))
}

/// What 101 turns the connection into.
fn upgrade(cx: &mut Context<'_>, mut open: Box<Open>, response: Response, first: Nanos, at: Nanos) -> Layer {
    let protocol = response.headers.text("upgrade").map(str::trim).unwrap_or_default().to_owned();
    let unasked = open.draft.exchange.request.method.is_empty();
    let request = &open.draft.exchange.request.headers;
    if websocket::is_handshake(request, 101, &response.headers)
        || (unasked && protocol.eq_ignore_ascii_case("websocket"))
    {
        let deflate = websocket::Deflate::agreed(&response.headers);
        open.response(cx.desk, response, first);
        open.response_done(cx.desk, at, Headers::default());
        return Layer::WebSocket(Box::new(WebSocket::new(open, deflate)));
    }
    if protocol.eq_ignore_ascii_case("h2c") {
        open.interim(response);
        return Layer::Http2(Box::new(Http2::upgraded(open)));
    }
    open.response(cx.desk, response, first);
    open.response_done(cx.desk, at, Headers::default());
    let protocol = if protocol.is_empty() { "another protocol".to_owned() } else { protocol };
    open.fail(Incomplete::Upgraded(protocol));
    open.finish(cx.desk, at);
    Layer::Opaque("HTTP upgrade")
}

/// Whether no other response follows to the same request.
pub(super) fn is_final(head: &ResponseHead) -> bool {
    !(100..200).contains(&head.status) || head.status == 101
}

fn response_of(head: ResponseHead) -> Response {
    Response {
        version: head.version,
        status: head.status,
        reason: head.reason,
        headers: head.headers,
        body: Body::default(),
        trailers: Headers::default(),
    }
}
