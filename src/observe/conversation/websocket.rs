//! A connection that became a WebSocket: its messages belong to the exchange that opened it.

use crate::model::{Incomplete, MessageKind, Nanos, Side};
use crate::observe::recorder::NewMessage;
use crate::observe::streams::Ending;
use crate::wire::websocket::{Deflate, Found, Reader};

use super::desk::{Context, Desk};
use super::open::{Open, index};
use super::reasons;

/// Both directions of a WebSocket.
#[derive(Debug)]
pub(super) struct WebSocket {
    open: Option<Box<Open>>,
    frames: Frames,
    ended: [bool; 2],
}

/// The readers of both directions.
#[derive(Debug)]
pub(super) struct Frames {
    readers: [Reader; 2],
    failed: [bool; 2],
    /// Either side said goodbye.
    closed: bool,
}

impl WebSocket {
    pub(super) fn new(open: Box<Open>, deflate: Option<Deflate>) -> Self {
        Self { open: Some(open), frames: Frames::new(deflate), ended: [false; 2] }
    }

    pub(super) fn bytes(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) {
        if let Some(open) = &mut self.open {
            self.frames.read(cx, open, side, at, bytes);
        }
    }

    pub(super) fn tell_so_far(&mut self, desk: &mut Desk, now: Nanos) {
        if let Some(open) = &mut self.open {
            open.tell_so_far(desk, now);
        }
    }

    pub(super) fn gap(&mut self, cx: &mut Context<'_>, side: Side, bytes: u64) {
        if let Some(open) = &mut self.open {
            self.frames.gap(cx, open, side, bytes);
        }
    }

    pub(super) fn ended(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, how: Ending) {
        let Some(open) = &mut self.open else { return };
        self.frames.end(cx, open, side, at, how);
        self.ended[index(side)] = true;
        if self.ended == [true; 2]
            && let Some(open) = self.open.take()
        {
            open.finish(cx.desk, at);
        }
    }
}

impl Frames {
    pub(super) fn new(deflate: Option<Deflate>) -> Self {
        let reader = |side| Reader::new(side, deflate);
        Self { readers: [reader(Side::Request), reader(Side::Response)], failed: [false; 2], closed: false }
    }

    pub(super) fn read(&mut self, cx: &mut Context<'_>, open: &mut Open, side: Side, at: Nanos, bytes: &[u8]) {
        if self.failed[index(side)] {
            return;
        }
        let closed = &mut self.closed;
        let mut cut = false;
        let result = self.readers[index(side)].read(at, bytes, &mut |found| {
            *closed |= found.kind == MessageKind::Close;
            cut |= found.cut;
            record(cx, open, side, &found);
        });
        if cut {
            open.fail(reasons::not_recorded("a message is longer than what is kept of it"));
        }
        if let Err(error) = result {
            self.failed[index(side)] = true;
            open.fail(reasons::malformed(side, &error));
        }
    }

    pub(super) fn gap(&mut self, cx: &mut Context<'_>, open: &mut Open, side: Side, bytes: u64) {
        cx.desk.recorder.gap(&mut open.draft, side, bytes);
        self.readers[index(side)].gap(bytes);
    }

    pub(super) fn end(&mut self, cx: &mut Context<'_>, open: &mut Open, side: Side, at: Nanos, how: Ending) {
        if !self.failed[index(side)] {
            self.readers[index(side)].end(at, &mut |found| record(cx, open, side, &found));
        }
        open.draft.exchange.timing.finished = at;
        if self.closed {
            return;
        }
        match how {
            Ending::Fin => {}
            Ending::Reset => open.fail(reasons::reset(side)),
            Ending::Stopped => open.fail(Incomplete::Stopped),
            Ending::EndOfCapture => open.fail(reasons::not_recorded("the capture ends inside the WebSocket")),
            Ending::Reused | Ending::Forgotten => {
                open.fail(reasons::not_recorded("the end of the WebSocket was not captured"));
            }
        }
    }
}

fn record(cx: &mut Context<'_>, open: &mut Open, side: Side, found: &Found<'_>) {
    let message = NewMessage {
        from: side,
        kind: found.kind,
        started: found.started,
        ended: found.ended,
        frames: found.frames,
        payload: found.payload,
        compressed: found.compressed,
    };
    cx.desk.message(&mut open.draft, message);
    open.draft.exchange.timing.finished = open.draft.exchange.timing.finished.max(found.ended);
}
