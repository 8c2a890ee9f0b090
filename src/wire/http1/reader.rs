//! The state machine of one direction of a connection.
//!
//! ```text
//! Head ──► Length | Chunk… | UntilClose | End | Tunnel       by the framing of the head; interim responses stay in Head
//! Size ──► Data ──► DataEnd ──► Size … ──► Trailers ──► Head  the End event comes with the last byte
//! Length ──► End ──► Head                                    the End event needs no byte
//! any ──► Seek ──► Head                                      observers only: bytes were lost, or mean nothing
//! ```

use std::collections::VecDeque;

use super::framing::{self, Asked};
use super::head::{self, Scan};
use super::lenient::Belief;
use super::{
    Event, Framing, Http1Error, Leniencies, Leniency, Limits, Progress, RequestHead, ResponseHead, Spares, Stance,
};
use crate::model::Headers;

/// Most empty lines passed over before a head.
const EMPTY_LINES: usize = 8;

/// Reads one direction of a connection, message after message.
///
/// Keeps no bytes: the caller gives what was not consumed again, with more behind it.
#[derive(Debug)]
pub struct Reader {
    pub(super) limits: Limits,
    pub(super) direction: Direction,
    pub(super) stance: Stance,
    /// The requests whose responses are still to come, oldest first.
    pub(super) asked: VecDeque<Asked>,
    /// Interim responses seen since the last final one.
    pub(super) interim: usize,
    pub(super) state: State,
    /// No message was seen on this connection yet: it may be HTTP/0.9.
    pub(super) first: bool,
    /// What an observer takes for the first request line.
    pub(super) belief: Belief,
    /// What an observer passed and nobody has asked for yet.
    pub(super) told: Leniencies,
    /// Bytes that belong to no message and nobody has asked for yet.
    pub(super) skipped: u64,
    /// Behind an error: so many bytes begin no message.
    pub(super) hopeless: usize,
}

/// Who sends the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Requests,
    Responses,
}

#[derive(Debug)]
pub(super) enum State {
    /// Before or in a head, of which nothing is consumed.
    Head { scan: Scan, empty_lines: usize, begun: bool },
    /// So many body bytes to come, at least one.
    Length(u64),
    /// In the line before a chunk, so much of which holds no line end.
    Size { searched: usize },
    /// So many bytes of a chunk to come, at least one.
    Data(u64),
    /// At the CRLF behind a chunk.
    DataEnd,
    /// Behind the last chunk.
    Trailers { scan: Scan },
    /// In a body that lasts until the connection closes.
    UntilClose,
    /// All is read; the event that says so is due.
    End,
    /// Looking for the start of a message; what comes before it is the `body` of the last one, or nothing. `fresh`: the
    /// next byte may be one. `past`: so many bytes are surely none.
    Seek { body: bool, fresh: bool, past: usize },
    /// No more HTTP on this connection.
    Over,
    /// It was no acceptable message.
    Failed(Http1Error),
}

impl Reader {
    /// For the bytes a client sends.
    pub fn requests(limits: Limits) -> Self {
        Self::new(limits, Direction::Requests, Stance::Forwarding)
    }

    /// For the bytes a server sends. Each request sent must be announced with [`Reader::expect`].
    pub fn responses(limits: Limits) -> Self {
        Self::new(limits, Direction::Responses, Stance::Forwarding)
    }

    pub(super) fn new(limits: Limits, direction: Direction, stance: Stance) -> Self {
        Self {
            limits,
            direction,
            stance,
            asked: VecDeque::new(),
            interim: 0,
            state: State::START,
            first: true,
            belief: Belief::Form,
            told: Leniencies::default(),
            skipped: 0,
            hopeless: 0,
        }
    }

    /// Announces that a request with this method was sent: its response is framed accordingly (HEAD, CONNECT).
    pub fn expect(&mut self, method: &str) {
        self.asked.push_back(Asked::by(method));
    }

    /// Looks at `input`, which starts where the last call's `consumed` ended, and reports one event at most.
    ///
    /// Call it, also with an empty rest, until it answers `None` with nothing consumed. After a head with
    /// [`Framing::Tunnel`] it consumes nothing any more.
    ///
    /// # Errors
    /// When the bytes are not an acceptable message; the reader is then unusable.
    pub fn read(&mut self, input: &[u8]) -> Result<Progress, Http1Error> {
        self.read_over(&mut Spares::default(), input)
    }

    /// The same; an observer writes heads over those in `spares`.
    ///
    /// # Errors
    /// As for [`Reader::read`].
    pub fn read_over(&mut self, spares: &mut Spares, input: &[u8]) -> Result<Progress, Http1Error> {
        let result = match &self.state {
            State::Head { .. } => self.read_head(input, spares),
            State::Seek { .. } => Ok(self.read_seek(input, spares)),
            State::Length(left) => Ok(self.read_length(*left, input)),
            State::Size { .. } | State::Data(_) | State::DataEnd | State::Trailers { .. } => self.read_chunked(input),
            State::UntilClose if input.is_empty() => Ok(Progress { consumed: 0, event: None }),
            State::UntilClose => Ok(Progress { consumed: input.len(), event: Some(Event::Body(0..input.len())) }),
            State::End => Ok(self.end(0, Headers::default())),
            State::Over => Ok(Progress { consumed: 0, event: None }),
            State::Failed(error) => Err(error.clone()),
        };
        if let Err(error) = &result {
            self.state = State::Failed(error.clone());
        }
        result
    }

    /// Tells that no more bytes come. `Some(End)` when that ends a body read until close, for an observer also behind the
    /// last chunk. A response that was asked for
    /// and never began is inside a message, too; [`Reader::is_between_messages`] tells it apart.
    ///
    /// # Errors
    /// [`Http1Error::UnexpectedEnd`] inside a message.
    pub fn end_of_input(&mut self) -> Result<Option<Event>, Http1Error> {
        match &self.state {
            State::UntilClose | State::End => {
                self.state = State::Over;
                Ok(Some(Event::End(Headers::default())))
            }
            State::Seek { body: true, .. } => {
                self.state = State::Over;
                Ok(Some(Event::End(Headers::default())))
            }
            State::Trailers { .. } if self.stance == Stance::Observing => {
                self.told.add(Leniency::NoFinalLine);
                self.state = State::Over;
                Ok(Some(Event::End(Headers::default())))
            }
            State::Head { begun: false, .. } if self.asked.is_empty() || self.stance == Stance::Observing => Ok(None),
            State::Over | State::Seek { .. } => Ok(None),
            State::Failed(error) => Err(error.clone()),
            _ => Err(Http1Error::UnexpectedEnd),
        }
    }

    /// True between messages: nothing of a next one has been consumed.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Head { .. }) && self.interim == 0
    }

    fn read_head(&mut self, input: &[u8], spares: &mut Spares) -> Result<Progress, Http1Error> {
        let State::Head { scan, empty_lines, begun } = &mut self.state else {
            return Ok(Progress { consumed: 0, event: None });
        };
        if input.is_empty() {
            return Ok(Progress { consumed: 0, event: None });
        }
        if self.stance == Stance::Observing {
            return self.observe_head(input, spares);
        }
        if self.direction == Direction::Responses && self.asked.is_empty() {
            return Err(Http1Error::Unasked);
        }
        let skipped = skip_empty_lines(input, empty_lines)?;
        if skipped > 0 {
            *begun = false;
            return Ok(Progress { consumed: skipped, event: None });
        }
        *begun = true;
        if !may_start_head(self.direction, input) {
            return Err(Http1Error::Syntax);
        }
        let Some(end) = scan.block_end(input, self.limits.head_bytes)? else {
            return Ok(Progress { consumed: 0, event: None });
        };
        let event = match self.direction {
            Direction::Requests => self.request(&input[..end])?,
            Direction::Responses => self.response(&input[..end])?,
        };
        Ok(Progress { consumed: end, event: Some(event) })
    }

    fn request(&mut self, raw: &[u8]) -> Result<Event, Http1Error> {
        let head = RequestHead { raw: raw.to_vec(), ..head::request(raw, &self.limits)? };
        let framing = framing::of_request(head.version, &head.headers)?;
        self.state = State::body(framing);
        Ok(Event::Request(head, framing))
    }

    fn response(&mut self, raw: &[u8]) -> Result<Event, Http1Error> {
        let head = ResponseHead { raw: raw.to_vec(), ..head::response(raw, &self.limits)? };
        let asked = self.asked.front().copied().ok_or(Http1Error::Unasked)?;
        let framing = framing::of_response(asked, head.version, head.status, &head.headers)?;
        if head.status < 200 && head.status != 101 {
            self.another_interim()?;
        } else {
            self.interim = 0;
            self.asked.pop_front();
            self.state = State::body(framing);
        }
        Ok(Event::Response(head, framing))
    }

    pub(super) fn another_interim(&mut self) -> Result<(), Http1Error> {
        self.interim += 1;
        if self.interim > self.limits.interim {
            return Err(Http1Error::TooManyInterim(self.limits.interim));
        }
        self.state = State::START;
        Ok(())
    }

    fn read_length(&mut self, left: u64, input: &[u8]) -> Progress {
        let taken = at_most(left, input.len());
        if taken == 0 {
            return Progress { consumed: 0, event: None };
        }
        let left = left - taken as u64;
        self.state = if left == 0 { State::End } else { State::Length(left) };
        Progress { consumed: taken, event: Some(Event::Body(0..taken)) }
    }

    /// Goes through framing up to the next body bytes, the end of the message or of the input.
    fn read_chunked(&mut self, input: &[u8]) -> Result<Progress, Http1Error> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match &mut self.state {
                &mut State::Size { searched } => match self.size_line(rest, searched)? {
                    None => return Ok(Progress { consumed: at, event: None }),
                    Some((line, size)) => {
                        at += line;
                        self.state = if size == 0 { State::Trailers { scan: Scan::START } } else { State::Data(size) };
                    }
                },
                State::Data(left) => {
                    let taken = at_most(*left, rest.len());
                    if taken == 0 {
                        return Ok(Progress { consumed: at, event: None });
                    }
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(Progress { consumed: at + taken, event: Some(Event::Body(at..at + taken)) });
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.state = State::Size { searched: 0 };
                    }
                    [b'\n', ..] if self.stance == Stance::Observing => {
                        self.told.add(Leniency::OddChunk);
                        at += 1;
                        self.state = State::Size { searched: 0 };
                    }
                    [] | [b'\r'] => return Ok(Progress { consumed: at, event: None }),
                    _ => return Err(Http1Error::Chunk),
                },
                State::Trailers { .. } if self.stance == Stance::Observing => {
                    let Some((end, trailers)) = self.observed_trailers(rest)? else {
                        return Ok(Progress { consumed: at, event: None });
                    };
                    return Ok(self.end(at + end, trailers));
                }
                State::Trailers { scan } => {
                    let Some(end) = scan.block_end(rest, self.limits.head_bytes)? else {
                        return Ok(Progress { consumed: at, event: None });
                    };
                    let trailers = head::fields(&rest[..end], &self.limits)?;
                    return Ok(self.end(at + end, trailers));
                }
                _ => return Ok(Progress { consumed: at, event: None }),
            }
        }
    }

    pub(super) fn end(&mut self, consumed: usize, trailers: Headers) -> Progress {
        self.state = State::START;
        Progress { consumed, event: Some(Event::End(trailers)) }
    }
}

impl State {
    pub(super) const START: Self = Self::Head { scan: Scan::START, empty_lines: 0, begun: false };

    /// The state behind a head.
    pub(super) fn body(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::End,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Size { searched: 0 },
            Framing::UntilClose => Self::UntilClose,
            Framing::Tunnel => Self::Over,
        }
    }
}

/// Length of the empty lines at the start of `input`; a CR whose LF is still to come is left for later.
fn skip_empty_lines(input: &[u8], skipped_before: &mut usize) -> Result<usize, Http1Error> {
    let mut at = 0;
    while input[at..].starts_with(b"\r\n") {
        at += 2;
        *skipped_before += 1;
        if *skipped_before > EMPTY_LINES {
            return Err(Http1Error::Syntax);
        }
    }
    match &input[at..] {
        [b'\n', ..] | [b'\r', _, ..] => Err(Http1Error::LineFolding),
        _ => Ok(at),
    }
}

/// Whether these first bytes can be a head, so that other protocols are noticed at once.
fn may_start_head(direction: Direction, input: &[u8]) -> bool {
    match direction {
        Direction::Requests => head::is_token_byte(input[0]) || input == b"\r",
        Direction::Responses => {
            let known = input.len().min(5);
            input[..known] == b"HTTP/"[..known] || input == b"\r"
        }
    }
}

pub(super) fn at_most(wanted: u64, there: usize) -> usize {
    usize::try_from(wanted).map_or(there, |wanted| wanted.min(there))
}
