//! An exchange under way, whatever the protocol below it: body bytes, times, reasons, and the messages inside.

use crate::model::{Body, Headers, Incomplete, Nanos, Remark, Request, Response, Side, Timing, Version};
use crate::observe::recorder::Draft;
use crate::wire::http1::Leniencies;

use super::desk::{Context, Desk, More};
use super::inside::Inside;
use super::reasons;

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) draft: Draft,
    inside: [Option<Box<Inside>>; 2],
    told: [Leniencies; 2],
    /// When the last bytes of both bodies came, and how many pauses were told.
    last: [Nanos; 2],
    pauses: usize,
    /// More interim responses came than are kept.
    more_interim: bool,
}

/// A body that says nothing for so long has paused.
const PAUSE: Nanos = Nanos(100_000_000);
/// Most interim responses of an exchange that are kept: as many as the proxy passes on.
const MOST_INTERIM: usize = 100;
/// Most pauses of an exchange that are told.
const MOST_PAUSES: usize = 10_000;

impl Open {
    /// Begins with a request that was seen. None when the capture takes no more.
    pub(super) fn begin(
        cx: &mut Context<'_>,
        request: Request,
        started: Nanos,
        stream: Option<u32>,
    ) -> Option<Box<Self>> {
        let mut timing = Timing { started, upstream_sent: Some(started), finished: started, ..Timing::default() };
        let tap = cx.path.introduce(&mut timing);
        let inside = Inside::of(Side::Request, &request.headers);
        let mut draft = cx.desk.begin(request, timing, cx.path.transport(stream))?;
        draft.exchange.remarks.extend(tap);
        Some(Box::new(Self::new(draft, inside)))
    }

    /// Its request may hold messages.
    pub(super) fn new(draft: Draft, inside: Option<Box<Inside>>) -> Self {
        Self {
            draft,
            inside: [inside, None],
            told: Default::default(),
            last: [Nanos(0); 2],
            pauses: 0,
            more_interim: false,
        }
    }

    /// Begins an exchange whose request nobody saw, for what was seen of its response.
    pub(super) fn begin_unasked(
        cx: &mut Context<'_>,
        started: Nanos,
        version: Version,
        stream: Option<u32>,
    ) -> Option<Box<Self>> {
        let request = Request {
            origin: cx.path.origin(),
            method: String::new(),
            target: Vec::new(),
            version,
            headers: Headers::default(),
            body: Body::default(),
            trailers: Headers::default(),
        };
        let mut open = Self::begin(cx, request, started, stream)?;
        open.draft.exchange.timing.upstream_sent = None;
        for (position, name) in [(0, &b":method"[..]), (1, b":path")] {
            let unknown = Remark::UnknownField { side: Side::Request, position, name: Some(name.to_vec()) };
            open.draft.exchange.remarks.push(unknown);
        }
        open.fail(reasons::request_lost());
        Some(open)
    }

    /// Whether its request was not seen.
    pub(super) fn is_unasked(&self) -> bool {
        self.draft.exchange.request.method.is_empty() && self.draft.exchange.incomplete == Some(reasons::request_lost())
    }

    /// The request is known after all, though not when it was sent.
    pub(super) fn adopt(&mut self, request: Request, unknown: Vec<Remark>) {
        let exchange = &mut self.draft.exchange;
        exchange.request = request;
        exchange.incomplete = None;
        exchange.remarks.retain(|remark| !matches!(remark, Remark::UnknownField { side: Side::Request, .. }));
        exchange.remarks.extend(unknown);
        self.remark("the request was told apart after its response: when it was sent is not known");
    }

    /// The next body bytes, seen at `at`.
    pub(super) fn body(&mut self, desk: &mut Desk, side: Side, at: Nanos, bytes: &[u8], more: More) {
        self.note_pause(side, at);
        desk.body(&mut self.draft, side, bytes, more);
        if let Some(inside) = &mut self.inside[index(side)] {
            inside.read(desk, &mut self.draft, at, bytes);
        }
    }

    /// What streams has its own pace. Messages have their own times.
    fn note_pause(&mut self, side: Side, at: Nanos) {
        let last = std::mem::replace(&mut self.last[index(side)], at);
        let offset = self.draft.body_bytes(side);
        let paused = offset > 0 && at.0 >= last.0.saturating_add(PAUSE.0);
        if paused && self.inside[index(side)].is_none() && self.pauses < MOST_PAUSES {
            self.pauses += 1;
            self.draft.exchange.remarks.push(Remark::Resumed { side, at: offset, when: at });
        }
    }

    /// So many bytes of a body were not seen; 0 when it is not known how many.
    pub(super) fn gap(&mut self, desk: &mut Desk, side: Side, bytes: u64) {
        desk.recorder.gap(&mut self.draft, side, bytes);
        if let Some(inside) = &mut self.inside[index(side)] {
            inside.gap(desk, &mut self.draft, bytes);
        }
    }

    /// The request is whole.
    pub(super) fn request_done(&mut self, desk: &mut Desk, at: Nanos, trailers: Headers) {
        self.end_inside(desk, Side::Request, at);
        self.draft.exchange.timing.request_done = Some(at);
        self.draft.exchange.request.trailers = trailers;
    }

    /// A response before the final one.
    pub(super) fn interim(&mut self, response: Response) {
        if self.draft.exchange.interim.len() < MOST_INTERIM {
            self.draft.exchange.interim.push(response);
        } else if !std::mem::replace(&mut self.more_interim, true) {
            self.remark("more interim responses came than are kept");
        }
    }

    /// The head of the final response; its first byte was seen at `first`.
    pub(super) fn response(&mut self, desk: &mut Desk, response: Response, first: Nanos) {
        let timing = &mut self.draft.exchange.timing;
        timing.upstream_first = Some(first);
        timing.client_first = Some(first);
        self.inside[1] = Inside::of(Side::Response, &response.headers);
        desk.response(&mut self.draft, response);
    }

    /// The response is whole.
    pub(super) fn response_done(&mut self, desk: &mut Desk, at: Nanos, trailers: Headers) {
        self.end_inside(desk, Side::Response, at);
        let exchange = &mut self.draft.exchange;
        exchange.timing.upstream_done = Some(at);
        exchange.timing.finished = at;
        if let Some(response) = &mut exchange.response {
            response.trailers = trailers;
        }
    }

    /// The head of this side's message was seen as far as its first `known` fields; `target`: its start line is whole.
    pub(super) fn cut(&mut self, side: Side, known: usize, target: bool) {
        let position = u32::try_from(known).unwrap_or(u32::MAX);
        if !target {
            self.remark("the target goes on, and nobody saw how");
        }
        self.draft.exchange.remarks.push(Remark::UnknownField { side, position, name: None });
    }

    /// Something is missing for this reason, unless one was given before.
    pub(super) fn fail(&mut self, reason: Incomplete) {
        self.draft.exchange.incomplete.get_or_insert(reason);
    }

    /// A fact for the reader.
    pub(super) fn remark(&mut self, words: impl Into<String>) {
        self.draft.exchange.remarks.push(Remark::Other(words.into()));
    }

    /// What was odd about the bytes of a side.
    pub(super) fn lenient(&mut self, side: Side, told: Leniencies) {
        self.told[index(side)].add_all(told);
    }

    /// It goes on; the file learns of it all the same.
    pub(super) fn tell_so_far(&mut self, desk: &mut Desk, now: Nanos) {
        desk.tell_so_far(&mut self.draft, now);
    }

    /// It is over. `at` counts when the response is not whole.
    pub(super) fn finish(mut self, desk: &mut Desk, at: Nanos) {
        for (side, told) in [(Side::Request, self.told[0]), (Side::Response, self.told[1])] {
            self.end_inside(desk, side, at);
            desk.tally.lenient(told);
            for leniency in told.iter() {
                self.remark(format!("{}: {leniency}", word(side)));
            }
        }
        let timing = &mut self.draft.exchange.timing;
        if timing.upstream_done.is_none() {
            timing.finished = at.max(timing.started);
        }
        desk.finish(self.draft);
    }

    fn end_inside(&mut self, desk: &mut Desk, side: Side, at: Nanos) {
        if let Some(mut inside) = self.inside[index(side)].take() {
            inside.end(desk, &mut self.draft, at);
        }
    }
}

pub(super) fn index(side: Side) -> usize {
    match side {
        Side::Request => 0,
        Side::Response => 1,
    }
}

/// A side's message in words.
pub(super) fn word(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Response => "response",
    }
}
