//! The writer thread: turns notes into exchanges of the capture, flushes twice a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use crate::capture::{CaptureError, Summary};
use crate::model::{Exchange, Incomplete};
use crate::observe::Recorder;
use crate::observe::conversation::{Closed, Conversations, Relayed, Stance, Underway};
use crate::observe::recorder::sentence;
use crate::observe::streams::{ConnectionId, Streams};
use crate::observe::tls::Keyring;

use crate::wire::redact;

use super::curation::Curation;
use super::link::Clock;
use super::tally::{Notice, Tally};
use super::tee::{Ending, Key, Note, Waiting};

/// What is accepted is in the file at most this much later.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Pause of a writer that has caught up. Who tells something to a thread that waits for it has to wake it, which costs the
/// traffic a system call a note; a thread that pauses looks for itself.
const NAP: Duration = Duration::from_millis(2);

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
    /// What was redacted, when that was asked for.
    pub(super) redacted: Option<redact::Tally>,
    /// The first thing that went wrong with the file.
    pub(super) trouble: Option<String>,
}

/// Writes one capture.
pub(super) struct Journal {
    conversations: Conversations,
    open: HashMap<Key, Underway>,
    trouble: Option<String>,
    tally: Arc<Tally>,
    clock: Clock,
}

impl Journal {
    /// Into this recorder, by this clock; trouble is told to `tally`.
    pub(super) fn new(recorder: Recorder, clock: Clock, curation: Curation, tally: Arc<Tally>) -> Self {
        let mut conversations = Conversations::new(recorder, Keyring::default(), Stance::GoOn);
        conversations.curated_by(Box::new(curation));
        Self { conversations, open: HashMap::new(), trouble: None, tally, clock }
    }

    /// Writes until told to stop, or until nobody is left to tell anything.
    pub(super) fn run(mut self, notes: &Receiver<Note>, waiting: &Waiting) -> Written {
        let mut flush_due = Instant::now() + FLUSH_EVERY;
        let mut busy = false;
        loop {
            let next = match notes.try_recv() {
                Err(TryRecvError::Empty) if std::mem::take(&mut busy) => {
                    thread::sleep(NAP);
                    continue;
                }
                Err(TryRecvError::Empty) => notes.recv_timeout(flush_due.saturating_duration_since(Instant::now())),
                Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
                Ok(note) => Ok(note),
            };
            match next {
                Ok(Note::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(note) => {
                    let cost = note.cost();
                    self.take(note);
                    waiting.done(cost);
                    busy = true;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= flush_due {
                self.flush();
                self.tally.pause();
                flush_due = Instant::now() + FLUSH_EVERY;
            }
            self.look_for_trouble();
        }
        self.close(waiting.lost())
    }

    fn take(&mut self, note: Note) {
        let conversations = &mut self.conversations;
        let moment = |conversations: &mut Conversations, at| conversations.recorder_mut().moment(at);
        match note {
            Note::Begin(key, request, ending) => {
                let begun = conversations.begin(*request, ending.timing, ending.transport);
                self.open.extend(begun.map(|exchange| (key, exchange)));
                if let (Some(named), Some(exchange)) = (ending.transaction, self.open.get_mut(&key)) {
                    exchange.exchange_mut().transaction = Some(named);
                }
            }
            Note::Body(key, side, at, bytes) => {
                if let Some(exchange) = self.open.get_mut(&key) {
                    conversations.body(exchange, side, at, &bytes);
                }
            }
            Note::Missed(key, side, bytes) => {
                if let Some(exchange) = self.open.get_mut(&key) {
                    conversations.missed(exchange, side, bytes);
                }
            }
            Note::RequestTrailers(key, fields) => self.change(key, |exchange| exchange.request.trailers = fields),
            Note::Interim(key, response) => self.change(key, |exchange| exchange.interim.push(*response)),
            Note::Response(key, at, response) => {
                if let Some(exchange) = self.open.get_mut(&key) {
                    conversations.response(exchange, *response, at);
                }
            }
            Note::ResponseTrailers(key, fields) => self.change(key, |exchange| {
                if let Some(response) = &mut exchange.response {
                    response.trailers = fields;
                }
            }),
            Note::Finish(key, ending) => self.finish(key, *ending),
            Note::ClientOpened(connection, listener) => {
                conversations.recorder_mut().sessions_mut().opened(connection, listener);
            }
            Note::Introduced(connection, user) => {
                conversations.recorder_mut().sessions_mut().introduced(connection, user);
            }
            Note::Relay(id, relayed, speaks, at) => conversations.relay(id, *relayed, speaks, at),
            Note::Switch(key, ending, id, relayed) => self.switch(key, *ending, id, *relayed),
            Note::Bytes(id, side, at, bytes) => {
                let at = moment(conversations, at);
                conversations.bytes(id, side, at, &bytes);
            }
            Note::Gap(id, side, at, bytes) => {
                let at = moment(conversations, at);
                conversations.gap(id, side, at, bytes);
            }
            Note::End(id, side, at, how) => {
                let at = moment(conversations, at);
                conversations.ended(id, side, at, how);
            }
            Note::ClientClosed(connection) => conversations.client_closed(connection),
            Note::Mark(name) => conversations.recorder_mut().begin_transaction(name),
            Note::Stop => {}
        }
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = self.open.get_mut(&key) {
            change(exchange.exchange_mut());
        }
    }

    fn finish(&mut self, key: Key, ending: Ending) {
        if let Some(exchange) = self.open.remove(&key) {
            let Ending { timing, transport, incomplete, .. } = ending;
            self.conversations.finish_exchange(exchange, timing, transport, incomplete);
        }
    }

    fn switch(&mut self, key: Key, ending: Ending, id: ConnectionId, relayed: Relayed) {
        if let Some(exchange) = self.open.remove(&key) {
            self.conversations.switch(id, relayed, exchange, ending.timing, ending.transport);
        }
    }

    fn flush(&mut self) {
        let now = self.clock.now();
        self.open.values_mut().for_each(|exchange| self.conversations.tell_so_far(exchange, now));
        self.conversations.tell_all_so_far(now);
        self.conversations.flush();
    }

    /// Keeps the first trouble with the file and tells it once.
    fn look_for_trouble(&mut self) {
        if self.trouble.is_none()
            && let Some(error) = self.conversations.take_trouble()
        {
            let reason = sentence(&error);
            self.tally.notice(Notice::NotRecording { reason: reason.clone() });
            self.trouble = Some(reason);
        }
    }

    fn close(mut self, lost: u64) -> Written {
        let unfinished: Vec<Key> = self.open.keys().copied().collect();
        for key in unfinished {
            let Some(exchange) = self.open.get_mut(&key).map(Underway::exchange_mut) else { continue };
            let (timing, transport) = (exchange.timing, exchange.transport.clone());
            self.finish(key, Ending { timing, transport, incomplete: Some(Incomplete::Stopped), transaction: None });
        }
        self.look_for_trouble();
        let Closed { file, incomplete, unwritten, redacted, result } = self.conversations.close(self.clock.now());
        let trouble = self.trouble.or_else(|| result.as_ref().err().map(sentence));
        Written { summary: file, closed: result, incomplete, lost: lost.saturating_add(unwritten), redacted, trouble }
    }
}
