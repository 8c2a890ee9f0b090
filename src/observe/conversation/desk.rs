//! The way from the layers to the capture. Keeps the first trouble with the file; after it nothing more is written.

use crate::capture::CaptureError;
use crate::model::{Exchange, Nanos, Request, Response, Side, Timing, Transport};
use crate::observe::recorder::{Draft, NewMessage, Put, Recorder, sentence};
use crate::observe::streams::UnixNanos;
use crate::observe::tls::Keyring;
use crate::wire::http1::{RequestHead, ResponseHead, Spares};

use super::curator::{Curator, Verdict};
use super::path::Path;
use super::tally::Tally;

/// Writes and counts.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) recorder: Recorder,
    pub(super) tally: Tally,
    pub(super) spares: Spares,
    trouble: Option<CaptureError>,
    /// What trouble with the capture means.
    stance: Stance,
    /// There was trouble: nothing more is written.
    failed: bool,
    pub(super) curator: Option<Box<dyn Curator>>,
    /// Exchanges that the capture did not take.
    pub(super) unwritten: u64,
}

/// What trouble with the capture means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// Nothing more is written: who can read the traffic again is told.
    Stop,
    /// What was not taken is marked, and the next is tried: the traffic does not come again.
    GoOn,
}

/// What follows a piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    /// More of it, or its end.
    Maybe,
    /// Its end.
    None,
}

/// What a layer works with: the desk, the secrets, and its connection.
pub(super) struct Context<'a> {
    pub(super) desk: &'a mut Desk,
    pub(super) keys: &'a Keyring,
    pub(super) path: &'a mut Path,
}

impl Desk {
    pub(super) fn new(recorder: Recorder, stance: Stance) -> Self {
        Self {
            recorder,
            tally: Tally::default(),
            spares: Spares::default(),
            trouble: None,
            stance,
            failed: false,
            curator: None,
            unwritten: 0,
        }
    }

    /// The first thing that went wrong with the capture.
    pub(super) fn trouble(&self) -> Option<&CaptureError> {
        self.trouble.as_ref()
    }

    /// The same, to be told to somebody.
    pub(super) fn take_trouble(&mut self) -> Option<CaptureError> {
        self.trouble.take()
    }

    /// Whether nothing more is written.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    pub(super) fn instant(&self, at: UnixNanos) -> Nanos {
        self.recorder.instant(at)
    }

    /// Begins an exchange; none when the capture takes no more.
    pub(super) fn begin(&mut self, request: Request, timing: Timing, transport: Transport) -> Option<Draft> {
        if self.failed {
            return None;
        }
        let mut draft = self.recorder.begin_anyway(request, timing, transport);
        if let Some(curator) = &mut self.curator
            && curator.begun(&mut draft.exchange) == Verdict::LeaveOut
        {
            draft.leave_out();
        }
        let announced = self.recorder.announce();
        self.note(announced);
        (!self.failed).then_some(draft)
    }

    pub(super) fn body(&mut self, draft: &mut Draft, side: Side, bytes: &[u8], more: More) {
        if draft.takes_no_more() {
            return;
        }
        let result = match more {
            More::Maybe => self.recorder.body(draft, side, bytes),
            More::None => self.recorder.last_of_body(draft, side, bytes),
        };
        self.note_for(draft, result);
    }

    pub(super) fn response(&mut self, draft: &mut Draft, response: Response) {
        self.recorder.response(draft, response);
        if let Some(curator) = &mut self.curator
            && !draft.is_left_out()
            && curator.answered(&mut draft.exchange) == Verdict::LeaveOut
        {
            draft.leave_out();
        }
    }

    pub(super) fn message(&mut self, draft: &mut Draft, message: NewMessage<'_>) {
        if draft.is_left_out() {
            return;
        }
        self.tally.messages += 1;
        let result = self.recorder.message(draft, message);
        self.note_for(draft, result);
    }

    /// What goes on for long is in the file before its end.
    pub(super) fn tell_so_far(&mut self, draft: &mut Draft, now: Nanos) {
        let told = self.recorder.tell_so_far(draft, now);
        self.note(told);
    }

    pub(super) fn finish(&mut self, draft: Draft) {
        if self.failed {
            return;
        }
        if draft.is_left_out() {
            return self.recorder.forget(draft);
        }
        let Put { exchange, written, trouble } = self.recorder.put(draft);
        self.note(trouble.map_or(Ok(()), Err));
        if let Some(curator) = &mut self.curator {
            curator.over(&exchange);
        }
        if !written {
            self.unwritten += 1;
            return;
        }
        self.tally.exchanges += 1;
        if let Some(reason) = &exchange.incomplete {
            self.tally.incomplete(reason.to_string());
        }
        self.leave(exchange);
    }

    /// What is left of an exchange that was written.
    fn leave(&mut self, exchange: Box<Exchange>) {
        let Request { method, target, version, headers, .. } = exchange.request;
        self.spares.leave_request(RequestHead { raw: Vec::new(), method, target, version, headers });
        if let Some(Response { version, status, reason, headers, .. }) = exchange.response {
            self.spares.leave_response(ResponseHead { raw: Vec::new(), version, status, reason, headers });
        }
    }

    fn note_for(&mut self, draft: &mut Draft, result: Result<(), CaptureError>) {
        if let Err(error) = &result {
            draft.damage(sentence(error));
        }
        self.note(result);
    }

    pub(super) fn note(&mut self, result: Result<(), CaptureError>) {
        if let Err(error) = result {
            self.trouble.get_or_insert(error);
            self.failed = self.stance == Stance::Stop;
        }
    }
}
