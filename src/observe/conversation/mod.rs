//! The layer between ordered TCP byte streams and exchanges: what a connection speaks is found out and read, layer by layer.
//!
//! Feed [`Conversations`] through [`Streams`]. Knows nothing of packets. Memory: the unread bytes of heads, and exchanges
//! under way.

mod curator;
mod desk;
mod http1;
mod http2;
mod inside;
mod open;
mod path;
mod raw;
mod reasons;
mod relayed;
mod sniffing;
mod socks;
mod talk;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod websocket;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::capture::CaptureError;
use crate::model::Side;

use super::recorder::Recorder;
use super::streams::{ConnectionId, Ending, Opening, Streams, UnixNanos};
use super::tls::Keyring;
use desk::{Context, Desk};
use path::Path;
use talk::{Layer, Talk};

pub use curator::{Curator, Verdict};
pub use desk::Stance;
pub use path::Secured;
pub use relayed::{Closed, Relayed, Speaks, Underway};
pub use tally::{OTHERS, Tally, Traffic};

/// All connections of an import, and where their exchanges go.
#[derive(Debug)]
pub struct Conversations {
    desk: Desk,
    keys: Keyring,
    open: HashMap<ConnectionId, Connection, BuildHasherDefault<Spread>>,
}

#[derive(Debug)]
struct Connection {
    path: Path,
    talk: Talk,
    /// Which sides have ended.
    ended: [bool; 2],
    /// When something last came.
    last: UnixNanos,
}

impl Conversations {
    /// Writes to `recorder`; decrypts with `keys`.
    pub fn new(recorder: Recorder, keys: Keyring, stance: Stance) -> Self {
        Self { desk: Desk::new(recorder, stance), keys, open: HashMap::default() }
    }

    /// The secrets, to add more.
    pub fn keys_mut(&mut self) -> &mut Keyring {
        &mut self.keys
    }

    /// Where exchanges go.
    pub fn recorder_mut(&mut self) -> &mut Recorder {
        &mut self.desk.recorder
    }

    /// The numbers so far; connections count when they are over.
    pub fn tally(&self) -> &Tally {
        &self.desk.tally
    }

    /// The first thing that went wrong with the capture.
    pub fn trouble(&self) -> Option<&CaptureError> {
        self.desk.trouble()
    }

    /// The same, to be passed on.
    pub fn take_trouble(&mut self) -> Option<CaptureError> {
        self.desk.take_trouble()
    }

    /// Ends what is still open as cut off by the end of the capture.
    pub fn finish(mut self) -> (Recorder, Tally) {
        let mut left: Vec<(ConnectionId, UnixNanos)> = self.open.iter().map(|(id, c)| (*id, c.last)).collect();
        left.sort_unstable_by_key(|(id, _)| *id);
        for (id, last) in left {
            for side in [Side::Request, Side::Response] {
                self.ended(id, side, last, Ending::EndOfCapture);
            }
        }
        (self.desk.recorder, self.desk.tally)
    }

    fn with(&mut self, id: ConnectionId, at: UnixNanos, act: impl FnOnce(&mut Talk, &mut Context<'_>)) {
        if self.desk.failed() {
            return;
        }
        let Some(connection) = self.open.get_mut(&id) else { return };
        connection.last = connection.last.max(at);
        let mut cx = Context { desk: &mut self.desk, keys: &self.keys, path: &mut connection.path };
        act(&mut connection.talk, &mut cx);
    }
}

/// Hashes numbers of connections, which count up.
#[derive(Clone, Copy, Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

impl Streams for Conversations {
    fn opened(&mut self, connection: ConnectionId, opening: &Opening) {
        let mut path = Path::new(connection.0, opening, |at| self.desk.instant(at));
        let cx = Context { desk: &mut self.desk, keys: &self.keys, path: &mut path };
        let talk = Talk::new(Layer::sniffing(&cx), 0);
        self.open.insert(connection, Connection { path, talk, ended: [false; 2], last: opening.first });
    }

    fn bytes(&mut self, connection: ConnectionId, side: Side, at: UnixNanos, bytes: &[u8]) {
        let instant = self.desk.instant(at);
        self.with(connection, at, |talk, cx| {
            cx.path.bytes += bytes.len() as u64;
            talk.bytes(cx, side, instant, bytes);
        });
    }

    fn gap(&mut self, connection: ConnectionId, side: Side, at: UnixNanos, bytes: u64) {
        let instant = self.desk.instant(at);
        self.with(connection, at, |talk, cx| {
            cx.desk.tally.missing_bytes = cx.desk.tally.missing_bytes.saturating_add(bytes);
            talk.gap(cx, side, instant, bytes);
        });
    }

    fn ended(&mut self, connection: ConnectionId, side: Side, at: UnixNanos, how: Ending) {
        let instant = self.desk.instant(at);
        self.with(connection, at, |talk, cx| talk.ended(cx, side, instant, how));
        let Some(open) = self.open.get_mut(&connection) else { return };
        open.ended[open::index(side)] = true;
        if open.ended != [true; 2] {
            return;
        }
        let Some(Connection { mut path, talk, .. }) = self.open.remove(&connection) else { return };
        self.desk.recorder.closed(path.number);
        let bytes = path.bytes;
        let mut cx = Context { desk: &mut self.desk, keys: &self.keys, path: &mut path };
        talk.count(&mut cx);
        self.desk.tally.connection(talk.label(), bytes);
    }
}
