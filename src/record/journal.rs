//! The writer thread: turns notes into exchanges of the capture, tells whose they are, flushes twice a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::capture::{BodyWriter, CaptureError, Summary, Writer};
use crate::model::{Body, Exchange, ExchangeId, Incomplete, Request, SessionInfo};
use crate::wire::identity::{Sessions, Sighting};

use super::tally::{Notice, Tally};
use super::tee::{Ending, Key, Note, Side, Waiting};

/// What is accepted is in the file at most this much later.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Sessions that wait for a disk that takes nothing.
const MOST_UNANNOUNCED: usize = 10_000;
/// More reasons than this are counted under one name.
const MOST_REASONS: usize = 50;

/// What the writer thread says at its end.
#[derive(Debug)]
pub(super) struct Written {
    /// What the capture holds.
    pub(super) summary: Summary,
    /// Whether it could be closed.
    pub(super) closed: Result<(), CaptureError>,
    /// Incomplete exchanges by reason.
    pub(super) incomplete: BTreeMap<String, u64>,
    /// Exchanges that are not in the capture at all.
    pub(super) lost: u64,
    /// The first thing that went wrong with the file.
    pub(super) trouble: Option<String>,
}

/// Writes one capture.
pub(super) struct Journal {
    writer: Writer,
    sessions: Sessions,
    open: HashMap<Key, Open>,
    last_id: u64,
    dirty: bool,
    incomplete: BTreeMap<String, u64>,
    trouble: Option<String>,
    /// Exchanges that the file did not take.
    unwritten: u64,
    /// Sessions that the file did not take yet.
    unannounced: Vec<SessionInfo>,
    tally: Arc<Tally>,
}

/// An exchange under way.
struct Open {
    exchange: Exchange,
    request_body: BodyWriter,
    response_body: BodyWriter,
    damage: Option<String>,
}

impl Journal {
    /// Into this writer; trouble is told to `tally`.
    pub(super) fn new(writer: Writer, tally: Arc<Tally>) -> Self {
        Self {
            writer,
            sessions: Sessions::default(),
            open: HashMap::new(),
            last_id: 0,
            dirty: false,
            incomplete: BTreeMap::new(),
            trouble: None,
            unwritten: 0,
            unannounced: Vec::new(),
            tally,
        }
    }

    /// Writes until told to stop, or until nobody is left to tell anything.
    pub(super) fn run(mut self, notes: &Receiver<Note>, waiting: &Waiting) -> Written {
        let mut flush_due = Instant::now() + FLUSH_EVERY;
        loop {
            match notes.recv_timeout(flush_due.saturating_duration_since(Instant::now())) {
                Ok(Note::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(note) => {
                    let cost = note.cost();
                    self.take(note);
                    waiting.done(cost);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= flush_due {
                self.flush();
                flush_due = Instant::now() + FLUSH_EVERY;
            }
        }
        self.close(waiting.lost())
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Begin(key, request, ending) => self.begin(key, *request, *ending),
            Note::Body(key, side, bytes) => self.body(key, side, &bytes),
            Note::RequestTrailers(key, fields) => self.change(key, |exchange| exchange.request.trailers = fields),
            Note::Interim(key, response) => self.change(key, |exchange| exchange.interim.push(*response)),
            Note::Response(key, response) => {
                self.change(key, |exchange| exchange.response = Some(*response));
                self.saw_response(key);
            }
            Note::ResponseTrailers(key, fields) => self.change(key, |exchange| {
                if let Some(response) = &mut exchange.response {
                    response.trailers = fields;
                }
            }),
            Note::Finish(key, ending) => self.finish(key, *ending),
            Note::ClientClosed(connection) => self.sessions.closed(connection),
            Note::Stop => {}
        }
    }

    fn begin(&mut self, key: Key, request: Request, ending: Ending) {
        let seen = Sighting {
            client: ending.transport.client.ip(),
            connection: ending.transport.client_connection,
            origin: &request.origin,
            method: &request.method,
            target: &request.target,
            headers: &request.headers,
            now: ending.timing.started,
        };
        let (session, new) = self.sessions.of_request(&seen);
        if let Some(info) = new {
            self.unannounced.push(info);
            self.announce();
        }
        self.last_id += 1;
        let exchange = Exchange {
            id: ExchangeId(self.last_id),
            session,
            transaction: None,
            request,
            interim: Vec::new(),
            response: None,
            timing: ending.timing,
            transport: ending.transport,
            incomplete: None,
            remarks: Vec::new(),
        };
        let open =
            Open { exchange, request_body: BodyWriter::default(), response_body: BodyWriter::default(), damage: None };
        self.open.insert(key, open);
    }

    /// Writes the sessions that are not in the file; what it does not take is tried again.
    fn announce(&mut self) {
        while let Some(info) = self.unannounced.pop() {
            self.dirty = true;
            if let Err(error) = self.writer.session(&info) {
                if self.unannounced.len() < MOST_UNANNOUNCED {
                    self.unannounced.push(info);
                }
                self.in_trouble(&error);
                return;
            }
        }
    }

    fn body(&mut self, key: Key, side: Side, bytes: &[u8]) {
        let Some(open) = self.open.get_mut(&key) else { return };
        if open.damage.is_some() {
            return;
        }
        self.dirty = true;
        let body = match side {
            Side::Request => &mut open.request_body,
            Side::Response => &mut open.response_body,
        };
        if let Err(error) = body.push(&mut self.writer, bytes) {
            open.damage = Some(sentence(&error));
            self.in_trouble(&error);
        }
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut Exchange)) {
        if let Some(open) = self.open.get_mut(&key) {
            change(&mut open.exchange);
        }
    }

    fn saw_response(&mut self, key: Key) {
        let Some(Open { exchange, .. }) = self.open.get(&key) else { return };
        let Some(response) = &exchange.response else { return };
        let request = &exchange.request;
        let now = exchange.timing.started;
        self.sessions.saw_response(exchange.session, &request.origin, &request.target, &response.headers, now);
    }

    fn finish(&mut self, key: Key, ending: Ending) {
        let Some(mut open) = self.open.remove(&key) else { return };
        self.dirty = true;
        let request_body = self.close_body(open.request_body, &mut open.damage);
        let response_body = self.close_body(open.response_body, &mut open.damage);
        let mut exchange = open.exchange;
        exchange.request.body = request_body;
        if let Some(response) = &mut exchange.response {
            response.body = response_body;
        }
        exchange.timing = ending.timing;
        exchange.transport = ending.transport;
        exchange.incomplete = open.damage.map(Incomplete::NotRecorded).or(ending.incomplete);
        if let Some(reason) = &exchange.incomplete {
            self.count(reason.to_string());
        }
        if let Err(error) = self.writer.exchange(&exchange) {
            self.unwritten += 1;
            self.in_trouble(&error);
        }
    }

    fn close_body(&mut self, body: BodyWriter, damage: &mut Option<String>) -> Body {
        body.finish(&mut self.writer).unwrap_or_else(|error| {
            damage.get_or_insert_with(|| sentence(&error));
            self.in_trouble(&error);
            Body::default()
        })
    }

    fn flush(&mut self) {
        if !self.dirty {
            return;
        }
        match self.writer.flush() {
            Ok(()) => {
                self.dirty = false;
                self.announce();
            }
            Err(error) => self.in_trouble(&error),
        }
    }

    fn close(mut self, lost: u64) -> Written {
        let unfinished: Vec<Key> = self.open.keys().copied().collect();
        for key in unfinished {
            let Some(open) = self.open.get(&key) else { continue };
            let (timing, transport) = (open.exchange.timing, open.exchange.transport.clone());
            self.finish(key, Ending { timing, transport, incomplete: Some(Incomplete::Stopped) });
        }
        self.announce();
        let so_far = self.writer.summary();
        let (summary, closed) = match self.writer.finish() {
            Ok(summary) => (summary, Ok(())),
            Err(error) => (so_far, Err(error)),
        };
        let lost = lost.saturating_add(self.unwritten);
        let trouble = self.trouble.or_else(|| closed.as_ref().err().map(sentence));
        Written { summary, closed, incomplete: self.incomplete, lost, trouble }
    }

    fn count(&mut self, reason: String) {
        let full = self.incomplete.len() >= MOST_REASONS && !self.incomplete.contains_key(&reason);
        let name = if full { "other reasons".to_owned() } else { reason };
        *self.incomplete.entry(name).or_default() += 1;
    }

    /// Keeps the first trouble and tells it once.
    fn in_trouble(&mut self, error: &CaptureError) {
        if self.trouble.is_none() {
            let reason = sentence(error);
            self.tally.notice(Notice::NotRecording { reason: reason.clone() });
            self.trouble = Some(reason);
        }
    }
}

fn sentence(error: &CaptureError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
