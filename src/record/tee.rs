//! The tee: what the relay sees goes to the writer thread as notes. Never waits: over its budget bytes become gaps, and what cannot be
//! left out ends the recording of its exchange. The traffic goes on.
//!
//! Main types: [`Tee`] (one a recording), [`Tape`] (one an exchange).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Headers, Incomplete, Nanos, Request, Response, Side, Timing, Transport};
use crate::observe::conversation::{Relayed, Speaks};
use crate::observe::streams::{ConnectionId, Ending as End};
use crate::wire::http1::ResponseHead;

use super::link::Clock;

/// Most bytes of bodies that wait for the disk.
const BODY_BUDGET: usize = 64 * 1024 * 1024;
/// Most bytes of everything that waits for the disk.
const WHOLE_BUDGET: usize = 96 * 1024 * 1024;
/// What a note costs beside its bytes.
const NOTE_BYTES: usize = 256;

/// Names an exchange until it has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64);

/// What the writer thread is told.
#[derive(Debug)]
pub(super) enum Note {
    Begin(Key, Box<Request>, Box<Ending>),
    Body(Key, Side, Nanos, Vec<u8>),
    /// So many bytes of a body could not wait.
    Missed(Key, Side, u64),
    RequestTrailers(Key, Headers),
    Interim(Key, Box<Response>),
    Response(Key, Nanos, Box<Response>),
    ResponseTrailers(Key, Headers),
    Finish(Key, Box<Ending>),
    /// A connection whose bytes are told begins.
    Relay(ConnectionId, Box<Relayed>, Speaks, Nanos),
    /// The connection of this exchange goes on as what its response says.
    Switch(Key, Box<Ending>, ConnectionId, Box<Relayed>),
    Bytes(ConnectionId, Side, Nanos, Vec<u8>),
    /// So many bytes of a connection could not wait.
    Gap(ConnectionId, Side, Nanos, u64),
    End(ConnectionId, Side, Nanos, End),
    ClientClosed(u64),
    /// Transaction of the exchanges that begin from here on.
    Mark(Option<String>),
    /// A client connection, and the address it was accepted on.
    ClientOpened(u64, SocketAddr),
    /// The user name that a client connection gave to the proxy.
    Introduced(u64, String),
    Stop,
}

/// What is known of an exchange besides its messages.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) timing: Timing,
    pub(super) transport: Transport,
    pub(super) incomplete: Option<Incomplete>,
    /// Transaction that its request named; otherwise it gets the mark's.
    pub(super) transaction: Option<String>,
}

/// The sending end; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Tee {
    sender: Sender<Note>,
    waiting: Arc<Waiting>,
}

/// What waits for the writer thread, and what could not.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: AtomicUsize,
    keys: AtomicU64,
    lost: AtomicU64,
}

impl Waiting {
    /// Tells that a note was dealt with.
    pub(super) fn done(&self, note_cost: usize) {
        self.bytes.fetch_sub(note_cost, Ordering::Relaxed);
    }

    /// How many exchanges are not in the capture at all, because nothing more could wait.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether enough was dealt with to go on after something could not wait: few long gaps are better than many short ones.
    fn has_caught_up(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) <= BODY_BUDGET / 2
    }

    fn admit(&self, cost: usize, budget: usize) -> bool {
        let fits = |bytes: usize| bytes.checked_add(cost).filter(|&sum| sum <= budget);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

impl Note {
    /// What it counts for in the budget.
    pub(super) fn cost(&self) -> usize {
        NOTE_BYTES
            + match self {
                Self::Begin(_, request, _) => request.target.len() + fields_bytes(&request.headers),
                Self::Body(_, _, _, bytes) | Self::Bytes(_, _, _, bytes) => bytes.len(),
                Self::Interim(_, response) | Self::Response(_, _, response) => fields_bytes(&response.headers),
                Self::RequestTrailers(_, fields) | Self::ResponseTrailers(_, fields) => fields_bytes(fields),
                Self::Mark(label) => label.as_ref().map_or(0, String::len),
                Self::Introduced(_, user) => user.len(),
                Self::Finish(..)
                | Self::Relay(..)
                | Self::Switch(..)
                | Self::Gap(..)
                | Self::Missed(..)
                | Self::End(..)
                | Self::ClientClosed(_)
                | Self::ClientOpened(..)
                | Self::Stop => 0,
            }
    }
}

fn fields_bytes(headers: &Headers) -> usize {
    headers.0.iter().map(|(name, value)| name.len() + value.len() + 48).sum()
}

impl Tee {
    /// Both ends, and the account between them.
    pub(super) fn new() -> (Self, Receiver<Note>, Arc<Waiting>) {
        let (sender, receiver) = channel();
        let waiting = Arc::new(Waiting::default());
        (Self { sender, waiting: waiting.clone() }, receiver, waiting)
    }

    /// Starts recording an exchange.
    pub(super) fn begin(&self, clock: Clock, request: Request, ending: Ending) -> Tape {
        let key = Key(self.waiting.keys.fetch_add(1, Ordering::Relaxed));
        let recording = self.tell(Note::Begin(key, Box::new(request), Box::new(ending.clone())), WHOLE_BUDGET / 4 * 3);
        if !recording {
            self.waiting.lost.fetch_add(1, Ordering::Relaxed);
        }
        Tape {
            key,
            tee: self.clone(),
            clock,
            known: Mutex::new(ending),
            recording: AtomicBool::new(recording),
            begun: recording,
            cut: AtomicBool::new(false),
            missed: Default::default(),
        }
    }

    /// Starts to tell the bytes of a connection.
    pub(super) fn relay(&self, clock: Clock, relayed: Relayed, speaks: Speaks) -> Wiretap {
        let id = self.next_id();
        self.tell_surely(Note::Relay(id, Box::new(relayed), speaks, clock.now()));
        Wiretap { id, tee: self.clone(), clock, missed: Default::default() }
    }

    /// What has to be told for the rest to make sense, over the budget or not: it is small, and there is one a connection.
    fn tell_surely(&self, note: Note) {
        self.waiting.bytes.fetch_add(note.cost(), Ordering::Relaxed);
        let _ = self.sender.send(note);
    }

    fn next_id(&self) -> ConnectionId {
        ConnectionId(self.waiting.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Tells that a client connection is gone.
    pub(super) fn client_closed(&self, connection: u64) {
        self.tell(Note::ClientClosed(connection), WHOLE_BUDGET);
    }

    /// Names the transaction of what begins from now on; none when it belongs to none. False when nothing more can wait.
    pub(super) fn mark(&self, label: Option<String>) -> bool {
        self.tell(Note::Mark(label), WHOLE_BUDGET)
    }

    /// Tells that a client connection was accepted on this address.
    pub(super) fn client_opened(&self, connection: u64, listener: SocketAddr) {
        self.tell(Note::ClientOpened(connection, listener), WHOLE_BUDGET);
    }

    /// Tells who a client connection says it is.
    pub(super) fn introduce(&self, connection: u64, user: String) {
        self.tell(Note::Introduced(connection, user), WHOLE_BUDGET);
    }

    /// Tells the writer thread to finish the file.
    pub(super) fn stop(&self) {
        self.waiting.bytes.fetch_add(NOTE_BYTES, Ordering::Relaxed);
        let _ = self.sender.send(Note::Stop);
    }

    fn tell(&self, note: Note, budget: usize) -> bool {
        let cost = note.cost();
        if !self.waiting.admit(cost, budget) {
            return false;
        }
        if self.sender.send(note).is_err() {
            self.waiting.done(cost);
            return false;
        }
        true
    }
}

/// Records one exchange. Dropped before its end, it says why it failed, or that the recording was stopped.
#[derive(Debug)]
pub(super) struct Tape {
    key: Key,
    tee: Tee,
    clock: Clock,
    known: Mutex<Ending>,
    recording: AtomicBool,
    begun: bool,
    cut: AtomicBool,
    /// Bytes of both bodies that nobody was told.
    missed: [AtomicU64; 2],
}

impl Tape {
    /// Body bytes, in order.
    pub(super) fn body(&self, side: Side, bytes: &[u8]) {
        if !self.recording.load(Ordering::Relaxed) || bytes.is_empty() {
            return;
        }
        if self.make_up_for(side)
            && self.tee.tell(Note::Body(self.key, side, self.clock.now(), bytes.to_vec()), BODY_BUDGET)
        {
            return;
        }
        self.missed[index(side)].fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.cut.store(true, Ordering::Relaxed);
    }

    /// The request is whole.
    pub(super) fn request_done(&self, trailers: Headers, at: Nanos) {
        self.mark(|timing| timing.request_done = Some(at));
        if !trailers.0.is_empty() {
            self.tell(Note::RequestTrailers(self.key, trailers), WHOLE_BUDGET);
        }
    }

    /// An interim response.
    pub(super) fn interim(&self, head: ResponseHead) {
        self.tell(Note::Interim(self.key, Box::new(response(head))), WHOLE_BUDGET);
    }

    /// The final response's head.
    pub(super) fn response(&self, head: ResponseHead, at: Nanos) {
        self.mark(|timing| timing.upstream_first = Some(at));
        self.tell(Note::Response(self.key, at, Box::new(response(head))), WHOLE_BUDGET);
    }

    /// The response is whole.
    pub(super) fn response_done(&self, trailers: Headers, at: Nanos) {
        self.mark(|timing| timing.upstream_done = Some(at));
        if !trailers.0.is_empty() {
            self.tell(Note::ResponseTrailers(self.key, trailers), WHOLE_BUDGET);
        }
    }

    /// Request bytes are about to go to the server.
    pub(super) fn sending(&self) {
        let now = self.clock.now();
        self.mark(|timing| timing.upstream_sent = timing.upstream_sent.or(Some(now)));
    }

    /// Bytes of the final response went to the client.
    pub(super) fn answering(&self) {
        let now = self.clock.now();
        self.mark(|timing| timing.client_first = timing.client_first.or(Some(now)));
    }

    /// The time.
    pub(super) fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Notes when something happened.
    fn mark(&self, set: impl FnOnce(&mut Timing)) {
        set(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner).timing);
    }

    /// Notes over what it went.
    pub(super) fn carry(&self, set: impl FnOnce(&mut Timing, &mut Transport)) {
        let known = &mut *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        set(&mut known.timing, &mut known.transport);
    }

    /// The exchange is over; the reason when it is not whole.
    pub(super) fn finish(mut self, incomplete: Option<Incomplete>) {
        self.end(incomplete);
    }

    /// The exchange has failed for this reason, though more of it may come before the tape is dropped.
    pub(super) fn fail(&self, reason: Incomplete) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).incomplete = Some(reason);
    }

    /// The connection goes on as what the response says.
    pub(super) fn switch(mut self, relayed: Relayed) -> Wiretap {
        let id = self.tee.next_id();
        let (tee, clock) = (self.tee.clone(), self.clock);
        if self.begun {
            self.begun = false;
            let ending = self.ending(None);
            tee.tell_surely(Note::Switch(self.key, Box::new(ending), id, Box::new(relayed)));
        }
        Wiretap { id, tee, clock, missed: Default::default() }
    }

    fn end(&mut self, incomplete: Option<Incomplete>) {
        if !self.begun {
            return;
        }
        self.begun = false;
        for side in [Side::Request, Side::Response] {
            self.own_up(side);
        }
        // The exchange was admitted, so its end has to be, too: the writer holds it open otherwise.
        let ending = self.ending(incomplete);
        self.tee.tell_surely(Note::Finish(self.key, Box::new(ending)));
    }

    fn ending(&mut self, incomplete: Option<Incomplete>) -> Ending {
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        known.timing.finished = self.clock.now();
        known.incomplete = incomplete;
        if self.cut.load(Ordering::Relaxed) && !matches!(known.incomplete, Some(Incomplete::Upgraded(_))) {
            known.incomplete = Some(Incomplete::NotRecorded("the disk could not keep up".to_owned()));
        }
        known.clone()
    }

    /// Tells of body bytes that could not wait, if there are any, once there is room again. False when there is none.
    fn make_up_for(&self, side: Side) -> bool {
        if self.missed[index(side)].load(Ordering::Relaxed) == 0 {
            return true;
        }
        let caught_up = self.tee.waiting.has_caught_up();
        if caught_up {
            self.own_up(side);
        }
        caught_up
    }

    fn own_up(&self, side: Side) {
        let missed = self.missed[index(side)].swap(0, Ordering::Relaxed);
        if missed > 0 {
            self.tee.tell_surely(Note::Missed(self.key, side, missed));
        }
    }

    fn tell(&self, note: Note, budget: usize) {
        if self.recording.load(Ordering::Relaxed) && !self.tee.tell(note, budget) {
            self.recording.store(false, Ordering::Relaxed);
            self.cut.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        let failed = self.known.get_mut().unwrap_or_else(PoisonError::into_inner).incomplete.take();
        self.end(failed.or(Some(Incomplete::Stopped)));
    }
}

/// Tells the bytes of one connection. What cannot wait for the disk is a gap.
#[derive(Debug)]
pub(super) struct Wiretap {
    id: ConnectionId,
    tee: Tee,
    clock: Clock,
    /// Bytes of both sides that nobody was told.
    missed: [AtomicU64; 2],
}

impl Wiretap {
    /// The next bytes of a side.
    pub(super) fn bytes(&self, side: Side, bytes: &[u8]) {
        let now = self.clock.now();
        let missed = self.missed(side);
        if missed.load(Ordering::Relaxed) > 0 {
            if !self.tee.waiting.has_caught_up() {
                missed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                return;
            }
            self.tee.tell_surely(Note::Gap(self.id, side, now, missed.swap(0, Ordering::Relaxed)));
        }
        if !self.tee.tell(Note::Bytes(self.id, side, now, bytes.to_vec()), BODY_BUDGET) {
            missed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }

    /// A side sends no more.
    pub(super) fn ended(&self, side: Side, how: End) {
        let now = self.clock.now();
        let missed = self.missed(side).swap(0, Ordering::Relaxed);
        if missed > 0 {
            self.tee.tell_surely(Note::Gap(self.id, side, now, missed));
        }
        self.tee.tell_surely(Note::End(self.id, side, now, how));
    }

    fn missed(&self, side: Side) -> &AtomicU64 {
        &self.missed[index(side)]
    }
}

fn index(side: Side) -> usize {
    match side {
        Side::Request => 0,
        Side::Response => 1,
    }
}

fn response(head: ResponseHead) -> Response {
    Response {
        version: head.version,
        status: head.status,
        reason: head.reason,
        headers: head.headers,
        body: Default::default(),
        trailers: Headers::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Body, Origin, Scheme, Version};

    fn request() -> Request {
        Request {
            origin: Origin::new(Scheme::Http, "shop.test", 80),
            method: "GET".into(),
            target: b"/".to_vec(),
            version: Version::Http11,
            headers: Headers::default(),
            body: Body::default(),
            trailers: Headers::default(),
        }
    }

    fn ending() -> Ending {
        let transport = Transport {
            client: "127.0.0.1:1".parse().unwrap(),
            client_connection: 1,
            upstream_connection: None,
            stream: None,
            tls: None,
            alpn: None,
            sni: None,
        };
        Ending { timing: Timing::default(), transport, incomplete: None, transaction: None }
    }

    fn last_reason(receiver: &Receiver<Note>) -> Option<Incomplete> {
        match receiver.try_iter().last() {
            Some(Note::Finish(_, ending)) => ending.incomplete,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tape_dropped_before_its_end_says_so() {
        let (tee, receiver, _) = Tee::new();
        drop(tee.begin(Clock::start(), request(), ending()));
        assert_eq!(last_reason(&receiver), Some(Incomplete::Stopped));
        tee.begin(Clock::start(), request(), ending()).finish(None);
        assert_eq!(last_reason(&receiver), None);
    }

    fn note_bytes(note: &Note) -> usize {
        if let Note::Body(_, _, _, bytes) = note { bytes.len() } else { 0 }
    }

    #[test]
    fn a_writer_that_does_not_keep_up_costs_the_record_not_the_traffic() {
        let (tee, receiver, waiting) = Tee::new();
        let tape = tee.begin(Clock::start(), request(), ending());
        let piece = vec![0; 8 * 1024 * 1024];
        for _ in 0..20 {
            tape.body(Side::Response, &piece);
        }
        assert!(waiting.bytes.load(Ordering::Relaxed) <= BODY_BUDGET);
        // The writer catches up, and so does the record.
        let kept: usize =
            receiver.try_iter().inspect(|note| waiting.done(note.cost())).map(|note| note_bytes(&note)).sum();
        tape.body(Side::Response, &piece);
        tape.finish(None);
        let notes: Vec<Note> = receiver.try_iter().collect();
        let missed =
            notes.iter().find_map(|note| if let Note::Missed(_, _, bytes) = note { Some(*bytes) } else { None });
        assert_eq!(missed, Some((20 * piece.len() - kept) as u64), "the gap is told before what follows");
        assert_eq!(notes.iter().map(note_bytes).sum::<usize>(), piece.len());
        assert!(
            matches!(notes.last(), Some(Note::Finish(_, e)) if matches!(e.incomplete, Some(Incomplete::NotRecorded(_))))
        );
        notes.iter().for_each(|note| waiting.done(note.cost()));
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0);
        tee.begin(Clock::start(), request(), ending()).finish(None);
        assert_eq!(last_reason(&receiver), None);
    }
}
