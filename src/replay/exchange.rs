//! One exchange on one connection: request bytes out, answer in, both at once, so that an early answer is seen.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use crate::measure::Failure;
use crate::model::Nanos;
use crate::wire::http1::{Event, Framing, Http1Error, ResponseHead, keeps_alive};

use super::clock::Clock;
use super::connection::Connection;

/// Longest stretch of an answer that must be held before it can be understood (a head, at its limit).
const HELD_BYTES: usize = 512 * 1024;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Head and body as they go out.
    pub request: &'a [u8],
    /// The method, which decides whether the answer can have a body.
    pub method: &'a str,
    /// So many bytes of the answer's body are kept; the rest is counted and dropped.
    pub keep: usize,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its head.
    pub head: ResponseHead,
    /// What was kept of its body, content codings and all.
    pub body: Vec<u8>,
    /// Length of the whole body.
    pub body_bytes: u64,
    /// Whether the connection can carry another exchange.
    pub reusable: bool,
}

/// What is known of an exchange so far; holds when it fails or is given up, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    /// Bytes written.
    pub sent: u64,
    /// Bytes read.
    pub received: u64,
    /// First byte written (or about to be).
    pub begun: Option<Nanos>,
    /// Last byte of the request written.
    pub sent_all: Option<Nanos>,
    /// First byte of the final answer.
    pub first: Option<Nanos>,
    /// Last byte of the answer.
    pub last: Option<Nanos>,
    /// Status of the final answer.
    pub status: Option<u16>,
}

/// Why there is no whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The class.
    pub failure: Failure,
    /// In words, for people.
    pub detail: String,
}

impl Broken {
    /// A failure of a class with its words.
    pub fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into() }
    }

    fn closed(error: Option<io::Error>) -> Self {
        Self::new(
            Failure::Closed,
            error.map_or_else(|| "closed before the answer was whole".to_owned(), |e| e.to_string()),
        )
    }
}

impl From<Http1Error> for Broken {
    fn from(error: Http1Error) -> Self {
        match error {
            Http1Error::UnexpectedEnd => Self::closed(None),
            other => Self::new(Failure::Protocol, other.to_string()),
        }
    }
}

/// Sends the request and reads the answer. `buffer` is scratch space. After an error, or when dropped half-way, the
/// connection is of no more use.
///
/// # Errors
/// When no whole answer came. Waits without limit; the caller sets one.
pub async fn exchange(
    connection: &mut Connection,
    ask: Ask<'_>,
    clock: Clock,
    buffer: &mut Vec<u8>,
    trace: &mut Trace,
) -> Result<Answer, Broken> {
    connection.reader.expect(ask.method);
    trace.begun = Some(clock.now());
    let mut dialogue = Dialogue {
        ask,
        clock,
        trace,
        sending: Sending::Bytes(0),
        start: 0,
        filled: 0,
        read_at: None,
        received: Received::default(),
    };
    loop {
        let step = poll_fn(|cx| {
            let stream = &mut connection.stream;
            match dialogue.sending {
                Sending::Bytes(at) => {
                    if let Poll::Ready(written) = stream.poll_write(cx, &ask.request[at..]) {
                        return Poll::Ready(Step::Wrote(written));
                    }
                }
                Sending::Flush => {
                    if let Poll::Ready(flushed) = stream.poll_flush(cx) {
                        return Poll::Ready(Step::Flushed(flushed));
                    }
                }
                Sending::Over | Sending::Broken(_) => {}
            }
            stream.poll_read(cx, &mut buffer[dialogue.filled..]).map(Step::Read)
        })
        .await;
        match step {
            Step::Wrote(written) => dialogue.wrote(written),
            Step::Flushed(flushed) => dialogue.flushed(flushed),
            Step::Read(Ok(0)) => {
                if let Some(Event::End(_)) = connection.reader.end_of_input().map_err(|e| dialogue.cut_short(e))? {
                    return dialogue.finish(false);
                }
                return Err(dialogue.broken(None));
            }
            Step::Read(Ok(count)) => {
                if dialogue.take(count, connection, buffer)? {
                    return dialogue.finish(true);
                }
            }
            Step::Read(Err(error)) => return Err(dialogue.broken(Some(error))),
        }
    }
}

enum Step {
    Wrote(io::Result<usize>),
    Flushed(io::Result<()>),
    Read(io::Result<usize>),
}

/// How far the request is.
enum Sending {
    /// Written up to here.
    Bytes(usize),
    /// Written, not yet flushed.
    Flush,
    /// All is out.
    Over,
    /// The server takes no more. It may have answered before.
    Broken(io::Error),
}

/// What came of the answer.
#[derive(Default)]
struct Received {
    head: Option<(ResponseHead, Framing)>,
    body: Vec<u8>,
    body_bytes: u64,
}

struct Dialogue<'a> {
    ask: Ask<'a>,
    clock: Clock,
    trace: &'a mut Trace,
    sending: Sending,
    /// The unread part of the buffer is `start..filled`.
    start: usize,
    filled: usize,
    /// When the first byte of the head that is being read came.
    read_at: Option<Nanos>,
    received: Received,
}

impl Dialogue<'_> {
    fn wrote(&mut self, written: io::Result<usize>) {
        let Sending::Bytes(at) = self.sending else { return };
        self.sending = match written {
            Ok(0) => Sending::Broken(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                self.trace.sent += count as u64;
                let at = at + count;
                if at < self.ask.request.len() { Sending::Bytes(at) } else { Sending::Flush }
            }
            Err(error) => Sending::Broken(error),
        };
    }

    fn flushed(&mut self, flushed: io::Result<()>) {
        self.sending = match flushed {
            Ok(()) => {
                self.trace.sent_all = Some(self.clock.now());
                Sending::Over
            }
            Err(error) => Sending::Broken(error),
        };
    }

    /// Takes in `count` bytes that were read. True when the answer is whole.
    fn take(&mut self, count: usize, connection: &mut Connection, buffer: &mut Vec<u8>) -> Result<bool, Broken> {
        let now = self.clock.now();
        self.trace.received += count as u64;
        self.read_at.get_or_insert(now);
        self.filled += count;
        loop {
            let input = &buffer[self.start..self.filled];
            let progress = connection.reader.read(input)?;
            let idle = progress.consumed == 0 && progress.event.is_none();
            let whole = match progress.event {
                Some(Event::Response(head, framing)) => self.head(head, framing, progress.consumed, now),
                Some(Event::Body(range)) => {
                    self.body(input.get(range).unwrap_or_default());
                    false
                }
                Some(Event::End(_)) => true,
                Some(Event::Request(..)) => {
                    return Err(Broken::new(Failure::Protocol, "a request where an answer was due"));
                }
                None => false,
            };
            self.start += progress.consumed;
            if whole {
                self.trace.last = Some(now);
                return Ok(true);
            }
            if idle {
                break;
            }
        }
        self.make_room(buffer)?;
        Ok(false)
    }

    fn head(&mut self, head: ResponseHead, framing: Framing, consumed: usize, now: Nanos) -> bool {
        if (100..200).contains(&head.status) && framing == Framing::None {
            self.read_at = (self.start + consumed < self.filled).then_some(now);
            return false;
        }
        self.trace.first = self.read_at;
        self.trace.status = Some(head.status);
        self.received.head = Some((head, framing));
        framing == Framing::Tunnel
    }

    fn body(&mut self, bytes: &[u8]) {
        let received = &mut self.received;
        received.body_bytes += bytes.len() as u64;
        let room = self.ask.keep.saturating_sub(received.body.len());
        received.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn make_room(&mut self, buffer: &mut Vec<u8>) -> Result<(), Broken> {
        if self.start == self.filled {
            (self.start, self.filled) = (0, 0);
        } else if self.filled == buffer.len() {
            if self.start > 0 {
                buffer.copy_within(self.start..self.filled, 0);
                (self.start, self.filled) = (0, self.filled - self.start);
            } else if buffer.len() < HELD_BYTES {
                buffer.resize(buffer.len() * 2, 0);
            } else {
                return Err(Broken::new(Failure::Protocol, format!("over {HELD_BYTES} bytes without an end of line")));
            }
        }
        Ok(())
    }

    /// The answer is whole; `open` when the connection still is.
    fn finish(self, open: bool) -> Result<Answer, Broken> {
        let Some((head, framing)) = self.received.head else {
            return Err(Broken::closed(None));
        };
        self.trace.last.get_or_insert(self.clock.now());
        let reusable = open
            && self.start == self.filled
            && matches!(self.sending, Sending::Over)
            && !matches!(framing, Framing::UntilClose | Framing::Tunnel)
            && keeps_alive(head.version, &head.headers);
        let Received { body, body_bytes, .. } = self.received;
        Ok(Answer { head, body, body_bytes, reusable })
    }

    fn broken(&mut self, error: Option<io::Error>) -> Broken {
        match std::mem::replace(&mut self.sending, Sending::Over) {
            Sending::Broken(earlier) => Broken::closed(Some(earlier)),
            _ => Broken::closed(error),
        }
    }

    fn cut_short(&mut self, error: Http1Error) -> Broken {
        match error {
            Http1Error::UnexpectedEnd => self.broken(None),
            other => other.into(),
        }
    }
}
