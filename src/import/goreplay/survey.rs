//! The first pass: where the requests are, when they began, and which response answers which.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Seek};

use super::records::{Kind, Line, Record, Records};
use super::{Damage, GoReplayError};
use crate::model::ChunkId;
use crate::observe::streams::UnixNanos;

/// Most requests of one file; about 100 bytes of memory each.
const REQUESTS: usize = 4_000_000;

/// Requests, and responses without one, that may wait for their other half.
const WAITING: usize = 200_000;

/// Longest payload that is taken into memory.
const PAYLOAD_BYTES: u64 = 256 << 20;

/// A moment before this is no moment but a latency: 1980, in nanoseconds.
const EARLIEST: u64 = 315_532_800_000_000_000;

/// What a GoReplay file holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The earliest moment of any request: instant 0 of the capture.
    pub anchor: UnixNanos,
    /// Responses without their request.
    pub unasked: u64,
    /// Payloads that do not say when they were seen.
    pub undated: u64,
    /// Requests beyond the limit of four million, which are not imported.
    pub beyond: u64,
    /// What cannot be read of the file.
    pub damage: Option<Damage>,
    /// Connections that the capture holds already, from other files: numbers go on from here.
    pub connections_before: u64,
    /// In the order in which they began.
    pub(super) places: Vec<Place>,
}

/// A request in the file, and what answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: UnixNanos,
    pub(super) request: Message,
    pub(super) response: Option<Answer>,
}

/// A message in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) offset: u64,
    pub(super) length: u32,
    /// How long it took, when the line says.
    pub(super) took: Option<u64>,
    /// Whether the file ends before a separator.
    pub(super) torn: bool,
}

/// A response in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) at: Option<UnixNanos>,
    pub(super) message: Message,
    /// It is not the original one.
    pub(super) replayed: bool,
}

impl Survey {
    /// Number of requests that will be looked at.
    pub fn requests(&self) -> u64 {
        self.places.len() as u64
    }

    fn damaged(&mut self, byte: u64, bytes: u64, what: &'static str) {
        let damage = self.damage.get_or_insert(Damage { byte, what, places: 0, bytes: 0 });
        damage.places += 1;
        damage.bytes = damage.bytes.saturating_add(bytes);
    }
}

/// Surveys a GoReplay file, or several behind each other, from the start. Damaged places are passed over: [`Survey::damage`]
/// says where.
///
/// # Errors
/// When the input cannot be read, or does not hold a single request.
pub fn survey<R: Read + Seek>(input: R) -> Result<Survey, GoReplayError> {
    let mut records = Records::new(input)?;
    let mut surveyor = Surveyor::default();
    while let Some(record) = records.next()? {
        surveyor.record(&record);
    }
    surveyor.finish()
}

#[derive(Debug, Default)]
struct Surveyor {
    survey: Survey,
    /// The moment of the last payload that had one.
    clock: UnixNanos,
    halves: Halves,
}

impl Surveyor {
    fn record(&mut self, record: &Record) {
        let blank = record.start.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let Some((line, line_bytes)) = Line::of(&record.start[blank..]) else {
            return self.survey.damaged(record.offset, record.length, "a payload has no first line");
        };
        if record.length > PAYLOAD_BYTES {
            return self.survey.damaged(record.offset, record.length, "a payload is over 256 MiB");
        }
        let before = (blank + line_bytes) as u64;
        let message = Message {
            offset: record.offset + before,
            length: u32::try_from(record.length - before).unwrap_or(u32::MAX),
            took: line.took,
            torn: !record.ended,
        };
        if message.torn {
            self.survey.damaged(record.offset, record.length, "the last payload is cut");
        }
        match line.kind {
            Kind::Request => self.request(line, message),
            Kind::Response | Kind::Replayed => self.response(line, message),
        }
    }

    fn request(&mut self, line: Line<'_>, message: Message) {
        if self.survey.places.len() >= REQUESTS {
            self.survey.beyond += 1;
            return;
        }
        let at = line.at.filter(|at| *at > 0);
        self.survey.undated += u64::from(at.is_none());
        self.clock = at.unwrap_or(self.clock);
        let number = self.survey.places.len();
        let response = self.halves.request(ChunkId::of(line.id), number, &mut self.survey.unasked);
        self.survey.places.push(Place { start: self.clock, request: message, response });
    }

    fn response(&mut self, line: Line<'_>, message: Message) {
        let replayed = line.kind == Kind::Replayed;
        // The oldest files have the latency where the moment is now.
        let (at, took) = match line.at {
            Some(latency) if latency < EARLIEST => (None, Some(latency)),
            at => (at, line.took),
        };
        let answer = Answer { at, message: Message { took, ..message }, replayed };
        let Some(number) = self.halves.response(ChunkId::of(line.id), answer, &mut self.survey.unasked) else { return };
        let known = &mut self.survey.places[number].response;
        // The original one is the better one, the first of two is the one that belongs to it.
        if known.is_none_or(|known| known.replayed && !replayed) {
            *known = Some(answer);
        }
    }

    fn finish(mut self) -> Result<Survey, GoReplayError> {
        if self.survey.places.is_empty() {
            return Err(GoReplayError::NotGoReplay);
        }
        self.survey.unasked += self.halves.left_over();
        // What has no moment of its own has that of the payload before it, which may come late.
        let first = self.survey.places.iter().map(|place| place.start).filter(|start| *start > 0).min();
        self.survey.anchor = first.unwrap_or(0);
        self.survey.places.sort_by_key(|place| (place.start, place.request.offset));
        Ok(self.survey)
    }
}

/// Requests and responses that wait for each other, the latest of them.
#[derive(Debug, Default)]
struct Halves {
    known: HashMap<ChunkId, Half>,
    order: VecDeque<ChunkId>,
}

#[derive(Clone, Copy, Debug)]
enum Half {
    /// The number of a request, answered or not.
    Request(usize),
    /// A response that came first.
    Response(Answer),
}

impl Halves {
    /// A request; returns the response that was there before it.
    fn request(&mut self, id: ChunkId, number: usize, unasked: &mut u64) -> Option<Answer> {
        match self.keep(id, Half::Request(number), unasked) {
            Some(Half::Response(answer)) => Some(answer),
            // An id that is used again, as in files behind each other.
            Some(Half::Request(_)) | None => None,
        }
    }

    /// A response; returns the number of its request.
    fn response(&mut self, id: ChunkId, answer: Answer, unasked: &mut u64) -> Option<usize> {
        match self.known.get_mut(&id) {
            Some(Half::Request(number)) => Some(*number),
            Some(Half::Response(known)) => {
                if known.replayed && !answer.replayed {
                    *known = answer;
                }
                None
            }
            None => {
                self.keep(id, Half::Response(answer), unasked);
                None
            }
        }
    }

    fn keep(&mut self, id: ChunkId, half: Half, unasked: &mut u64) -> Option<Half> {
        let before = self.known.insert(id, half);
        if before.is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > WAITING
            && let Some(oldest) = self.order.pop_front()
        {
            let forgotten = self.known.remove(&oldest);
            *unasked += u64::from(matches!(forgotten, Some(Half::Response(_))));
        }
        before
    }

    /// Responses that no request came for.
    fn left_over(&self) -> u64 {
        self.known.values().filter(|half| matches!(half, Half::Response(_))).count() as u64
    }
}
