//! One stream of an HTTP/2 connection: an exchange, or a tunnel.

use crate::model::{Headers, Incomplete, Nanos, Request, Response, Side};
use crate::observe::streams::Ending;

use super::super::desk::{Context, More};
use super::super::open::{Open, index, word};
use super::super::path::{Named, Path};
use super::super::reasons;
use super::super::talk::{Layer, Talk};
use super::super::websocket::Frames;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) what: What,
    /// Which sides are over.
    pub(super) done: [bool; 2],
    /// The final response's head was seen.
    pub(super) answered: bool,
    /// Bytes of a response whose head was not seen.
    headless: u64,
    /// Where in the bodies something may be missing.
    doubts: [Option<u64>; 2],
    /// An extended CONNECT asks for a WebSocket.
    pub(super) asks_websocket: bool,
    /// When something last came.
    pub(super) last: Nanos,
    /// The client wants no more of it.
    pub(super) cancelled: Option<Incomplete>,
}

/// What a stream is.
#[derive(Debug)]
pub(super) enum What {
    /// An exchange.
    Exchange(Box<Open>),
    /// An exchange with WebSocket frames inside (RFC 8441).
    WebSocket(Box<Open>, Box<Frames>),
    /// A CONNECT that is not answered yet; it becomes an exchange when it is refused. With when it began.
    Connect(Box<(Request, Nanos)>),
    /// The tunnel that it opened.
    Tunnel(Box<(Talk, Path)>),
    /// Nothing; the capture took no more.
    Gone,
}

impl Stream {
    pub(super) fn new(what: What, at: Nanos) -> Self {
        Self {
            what,
            done: [false; 2],
            answered: false,
            headless: 0,
            doubts: [None; 2],
            asks_websocket: false,
            last: at,
            cancelled: None,
        }
    }

    pub(super) fn open(&mut self) -> Option<&mut Open> {
        match &mut self.what {
            What::Exchange(open) | What::WebSocket(open, _) => Some(open),
            What::Connect(_) | What::Tunnel(_) | What::Gone => None,
        }
    }

    pub(super) fn data(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) {
        self.last = at;
        match &mut self.what {
            What::Exchange(_) if side == Side::Response && !self.answered => self.headless += bytes.len() as u64,
            What::Exchange(open) => {
                if !bytes.is_empty() {
                    open.body(cx.desk, side, at, bytes, More::Maybe);
                }
            }
            What::WebSocket(open, frames) => frames.read(cx, open, side, at, bytes),
            What::Connect(_) | What::Gone => {}
            What::Tunnel(tunnel) => {
                let (talk, path) = &mut **tunnel;
                path.bytes += bytes.len() as u64;
                talk.bytes(&mut Context { desk: cx.desk, keys: cx.keys, path }, side, at, bytes);
            }
        }
    }

    pub(super) fn gap(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: u64) {
        match &mut self.what {
            What::Exchange(open) => open.gap(cx.desk, side, bytes),
            What::WebSocket(open, frames) => frames.gap(cx, open, side, bytes),
            What::Connect(_) | What::Gone => {}
            What::Tunnel(tunnel) => {
                let (talk, path) = &mut **tunnel;
                talk.gap(&mut Context { desk: cx.desk, keys: cx.keys, path }, side, at, bytes);
            }
        }
    }

    /// Frames of `side` may have been lost. Whether this stream lost any, its length may tell.
    pub(super) fn doubt(&mut self, side: Side) {
        if self.done[index(side)] {
            return;
        }
        if let Some(open) = self.open() {
            let at = open.draft.body_bytes(side);
            self.doubts[index(side)].get_or_insert(at);
        }
    }

    /// The head of the final response. A tunnel may open.
    pub(super) fn answer(&mut self, cx: &mut Context<'_>, response: Response, at: Nanos) {
        self.answered = true;
        let opens = (200..300).contains(&response.status);
        self.what = match std::mem::replace(&mut self.what, What::Gone) {
            What::Exchange(mut open) if self.asks_websocket && opens => {
                let deflate = crate::wire::websocket::Deflate::agreed(&response.headers);
                open.response(cx.desk, response, at);
                open.response_done(cx.desk, at, Headers::default());
                What::WebSocket(open, Box::new(Frames::new(deflate)))
            }
            What::Connect(held) if opens => tunnel(cx, &held.0.target),
            What::Connect(held) => {
                let (request, started) = *held;
                match Open::begin(cx, request, started, None) {
                    Some(mut open) => {
                        open.request_done(cx.desk, started, Headers::default());
                        open.response(cx.desk, response, at);
                        What::Exchange(open)
                    }
                    None => return,
                }
            }
            What::Exchange(mut open) => {
                open.response(cx.desk, response, at);
                What::Exchange(open)
            }
            other => other,
        };
    }

    /// `side` sends no more on this stream.
    pub(super) fn end(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, trailers: Headers) {
        self.last = at;
        self.done[index(side)] = true;
        self.settle(cx, side);
        match &mut self.what {
            What::Exchange(open) if side == Side::Request => open.request_done(cx.desk, at, trailers),
            What::Exchange(open) => open.response_done(cx.desk, at, trailers),
            What::WebSocket(open, frames) => frames.end(cx, open, side, at, Ending::Fin),
            What::Connect(_) | What::Gone => {}
            What::Tunnel(tunnel) => {
                let (talk, path) = &mut **tunnel;
                talk.ended(&mut Context { desk: cx.desk, keys: cx.keys, path }, side, at, Ending::Fin);
            }
        }
    }

    /// It is over; the reason when it is not whole.
    pub(super) fn finish(mut self, cx: &mut Context<'_>, at: Nanos, reason: Option<Incomplete>, how: Ending) {
        let (at, reason) = match self.cancelled.take() {
            Some(cancelled) => (self.last, Some(cancelled)),
            None => (at, reason),
        };
        for side in [Side::Request, Side::Response] {
            if !self.done[index(side)] {
                self.settle(cx, side);
            }
        }
        match self.what {
            What::Exchange(mut open) => {
                if self.headless > 0 {
                    open.remark(format!("{} bytes of a response whose head was not captured", self.headless));
                }
                reason.into_iter().for_each(|reason| open.fail(reason));
                open.finish(cx.desk, at);
            }
            What::WebSocket(mut open, mut frames) => {
                for side in [Side::Request, Side::Response] {
                    if !self.done[index(side)] {
                        frames.end(cx, &mut open, side, at, how);
                    }
                }
                open.finish(cx.desk, at);
            }
            What::Connect(held) => {
                if let (Some(mut open), reason) = (Open::begin(cx, held.0, held.1, None), reason) {
                    reason.into_iter().for_each(|reason| open.fail(reason));
                    open.finish(cx.desk, at);
                }
            }
            What::Tunnel(tunnel) => {
                let (mut talk, mut path) = *tunnel;
                let mut cx = Context { desk: cx.desk, keys: cx.keys, path: &mut path };
                talk.ended(&mut cx, Side::Request, at, how);
                talk.ended(&mut cx, Side::Response, at, how);
                talk.count(&mut cx);
            }
            What::Gone => {}
        }
    }

    /// Where frames may have been lost and the length does not prove the body whole, it is not.
    fn settle(&mut self, cx: &mut Context<'_>, side: Side) {
        let Some(at) = self.doubts[index(side)].take() else { return };
        let What::Exchange(open) = &mut self.what else { return };
        let exchange = &open.draft.exchange;
        let headers = match side {
            Side::Request => Some(&exchange.request.headers),
            Side::Response => exchange.response.as_ref().map(|response| &response.headers),
        };
        let length = headers.and_then(|headers| headers.text("content-length")?.parse::<u64>().ok());
        let here = open.draft.body_bytes(side);
        if length == Some(here) {
            return;
        }
        let missing = length.and_then(|length| length.checked_sub(here)).unwrap_or(0);
        if self.done[index(side)] {
            cx.desk.recorder.gap(&mut open.draft, side, missing);
            if let Some(crate::model::Remark::Gap { at: place, .. }) = open.draft.exchange.remarks.last_mut() {
                *place = at;
            }
        } else {
            open.fail(reasons::not_recorded(&format!("bytes of the {} are missing from the source", word(side))));
        }
    }
}

fn tunnel(cx: &mut Context<'_>, authority: &[u8]) -> What {
    let authority = String::from_utf8_lossy(authority);
    cx.desk.tally.tunnel(&authority);
    let mut path = cx.path.inner(Named::of_authority(&authority));
    let depth = path.depth;
    let talk = Talk::new(Layer::sniffing(&Context { desk: cx.desk, keys: cx.keys, path: &mut path }), depth);
    What::Tunnel(Box::new((talk, path)))
}
