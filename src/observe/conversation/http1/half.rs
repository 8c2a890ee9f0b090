//! One direction of an HTTP/1 connection: its reader, and the bytes of a message that is not whole yet.

use crate::model::Nanos;
use crate::observe::streams::Ending;
use crate::wire::http1::Reader;

#[derive(Debug)]
pub(super) struct Half {
    pub(super) reader: Reader,
    /// Bytes that the reader has not consumed.
    pub(super) held: Vec<u8>,
    /// When the first of them came.
    pub(super) since: Nanos,
    /// The bytes held are ahead of an answer that decides what they are.
    pub(super) ahead: bool,
    /// A message is under way.
    pub(super) begun: bool,
    /// When its first byte came.
    pub(super) started: Nanos,
    /// When the last byte came.
    pub(super) last: Nanos,
    /// How and when it ended.
    pub(super) ended: Option<(Ending, Nanos)>,
    /// What came since the last message is none, while one was due.
    pub(super) noise: bool,
    skipped: u64,
}

impl Half {
    pub(super) fn new(reader: Reader) -> Self {
        let zero = Nanos(0);
        Self {
            reader,
            held: Vec::new(),
            since: zero,
            ahead: false,
            begun: false,
            started: zero,
            last: zero,
            ended: None,
            noise: false,
            skipped: 0,
        }
    }

    /// Keeps what follows the first `used` bytes of `buffer`, or of `packet` when nothing had been held.
    pub(super) fn hold(&mut self, at: Nanos, packet: &[u8], used: usize, mut buffer: Vec<u8>) {
        if buffer.is_empty() {
            if used < packet.len() {
                self.since = at;
                self.held = packet[used..].to_vec();
            }
        } else if used < buffer.len() {
            buffer.drain(..used);
            self.held = buffer;
        }
    }

    /// What is held belongs to no message.
    pub(super) fn skip_held(&mut self) {
        self.skipped += self.held.len() as u64;
        self.held = Vec::new();
        self.ahead = false;
        self.begun = false;
    }

    /// Bytes that belong to no message since the last call.
    pub(super) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped) + self.reader.take_skipped()
    }
}
