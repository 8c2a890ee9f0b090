//! The frames of one side. Main type: [`Lane`].
//!
//! ```text
//! Preface -> Header -> Padding -> Data -> Header     DATA is handed on as it comes
//!               |  \-> Collect --------> Header      frames that are read whole
//!               |  \-> Skip -----------> Header      frames that are of no interest, and what follows a gap inside a frame
//!               \----> Hunting --------> Header      after a gap or a header that cannot be one
//! ```

use super::frame::{HEADER_BYTES, Header, Kind, PREFACE};
use super::heads::Heads;
use super::hpack::Decoder;
use super::resync::{Clues, Hunt, Search};
use super::settings::Shared;
use super::{Event, Http2Error, Start};
use crate::model::Side;

/// After so many bytes without a frame, in a connection that has shown none yet, there will be none.
const GIVE_UP_BYTES: u64 = 1024 * 1024;
/// While looking for a frame, what was passed over is reported in steps of this many bytes.
const REPORT_BYTES: u64 = 64 * 1024;

/// Takes the events.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

/// Where in the frames the next byte stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// So many bytes of the client's preface are past.
    Preface(usize),
    /// In a frame header; `held` has the beginning of it.
    Header,
    /// At the length of the padding of this DATA frame.
    Padding(Header),
    /// In a DATA frame.
    Data(Data),
    /// In a frame that is collected in `held`, of whose payload so many bytes are past.
    Collect(Header, u32),
    /// So many bytes of a frame to come that nobody wants.
    Skip(u32),
    /// Looking for a frame header; `held` has what may begin with one.
    Hunting,
}

/// What is to come of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) stream: u32,
    /// Bytes of data, then of padding.
    pub(super) left: u32,
    pub(super) padding: u32,
    /// END_STREAM.
    pub(super) end: bool,
}

/// What became of a slice.
enum Outcome {
    /// It is used up, but for so many bytes at its end.
    Keep(usize),
    /// What is left of it is in `held`, to be searched. Only a header that began in an earlier slice comes to this.
    Search,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) side: Side,
    pub(super) at: At,
    pub(super) held: Vec<u8>,
    /// Bytes at the front of `held` that are done with; 0 but when hunting.
    passed: usize,
    hunt: Hunt,
    pub(super) heads: Heads,
    /// Nothing but frames may come, and none has.
    fresh: bool,
    pub(super) untouched: bool,
    found_preface: bool,
    /// Bytes passed over since the last report, and in all.
    unreported: u64,
    hunted: u64,
}

impl Lane {
    pub(super) fn new(side: Side, start: Start) -> Self {
        let (at, decoder) = match (start, side) {
            (Start::Midway, _) => (At::Hunting, Decoder::midway()),
            (_, Side::Request) => (At::Preface(0), Decoder::new()),
            (_, Side::Response) => (At::Header, Decoder::new()),
        };
        Self {
            side,
            at,
            held: Vec::new(),
            passed: 0,
            hunt: Hunt::default(),
            heads: Heads::new(side, decoder),
            fresh: start != Start::Midway,
            untouched: true,
            found_preface: false,
            unreported: 0,
            hunted: 0,
        }
    }

    /// Nothing was given to this lane.
    pub(super) fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Whether, since the last call, the preface came where it was not expected.
    pub(super) fn take_found_preface(&mut self) -> bool {
        std::mem::take(&mut self.found_preface)
    }

    pub(super) fn read(&mut self, shared: &mut Shared, mut input: &[u8], out: Sink<'_>) -> Result<(), Http2Error> {
        self.untouched &= input.is_empty();
        if !matches!(self.at, At::Hunting) || self.held.is_empty() {
            match self.run(shared, input, out)? {
                Outcome::Keep(bytes) => {
                    self.held.extend_from_slice(&input[input.len() - bytes..]);
                    return Ok(());
                }
                Outcome::Search => input = &[],
            }
        }
        let mut joined = std::mem::take(&mut self.held);
        let passed = std::mem::take(&mut self.passed);
        joined.extend_from_slice(input);
        if let Outcome::Keep(bytes @ 1..) = self.run(shared, &joined[passed..], out)? {
            // Moved to the front only when that frees half of it, so that small reads do not move it again and again.
            let done = joined.len() - bytes;
            if done > bytes {
                joined.drain(..done);
            } else {
                self.passed = done;
            }
            self.held = joined;
        }
        Ok(())
    }

    /// Steps through `input` until it is used up.
    fn run(&mut self, shared: &mut Shared, input: &[u8], out: Sink<'_>) -> Result<Outcome, Http2Error> {
        let mut rest = input;
        loop {
            if let At::Hunting = self.at {
                match self.hunt(shared, &mut rest, out)? {
                    Some(kept) => return Ok(Outcome::Keep(kept)),
                    None => continue,
                }
            }
            if rest.is_empty() {
                return Ok(Outcome::Keep(0));
            }
            match self.at {
                At::Preface(seen) => self.preface(shared, seen, &mut rest)?,
                At::Header => {
                    let before = rest;
                    let split = !self.held.is_empty();
                    let Some(bytes) = self.header(&mut rest) else { return Ok(Outcome::Keep(0)) };
                    let header = Header::parse(&bytes);
                    if self.accepts(shared, &header)? {
                        self.begin(shared, header, &mut rest, out);
                    } else {
                        self.lose(shared, 0, out);
                        self.unreported += 1;
                        if split {
                            self.held.extend_from_slice(&bytes[1..]);
                            self.held.extend_from_slice(rest);
                            return Ok(Outcome::Search);
                        }
                        rest = &before[1..];
                    }
                }
                At::Padding(header) => self.padding(header, &mut rest, out),
                At::Data(data) => self.data(data, &mut rest, out),
                At::Collect(header, seen) => self.collect(shared, header, seen, &mut rest, out),
                At::Skip(left) => {
                    let taken = rest.len().min(left as usize);
                    rest = &rest[taken..];
                    self.skip(left - taken as u32);
                }
                At::Hunting => {}
            }
        }
    }

    fn preface(&mut self, shared: &mut Shared, seen: usize, rest: &mut &[u8]) -> Result<(), Http2Error> {
        let wanted = &PREFACE[seen..];
        let taken = wanted.len().min(rest.len());
        let (now, behind) = rest.split_at(taken);
        if now != &wanted[..taken] {
            return Err(Http2Error::Preface);
        }
        *rest = behind;
        self.preface_to(shared, seen + taken);
        Ok(())
    }

    pub(super) fn preface_to(&mut self, shared: &mut Shared, seen: usize) {
        self.at = At::Preface(seen);
        if seen == PREFACE.len() {
            self.at = At::Header;
            shared.preface();
        }
    }

    /// A whole frame header, or None: what there is of it is in `held`.
    fn header(&mut self, rest: &mut &[u8]) -> Option<[u8; HEADER_BYTES]> {
        if self.held.is_empty()
            && let Some((bytes, behind)) = rest.split_first_chunk()
        {
            *rest = behind;
            return Some(*bytes);
        }
        let (now, behind) = rest.split_at(rest.len().min(HEADER_BYTES - self.held.len()));
        *rest = behind;
        self.held.extend_from_slice(now);
        let bytes = self.held.first_chunk().copied()?;
        self.held.clear();
        Some(bytes)
    }

    fn accepts(&mut self, shared: &mut Shared, header: &Header) -> Result<bool, Http2Error> {
        let sound = header.is_sound(self.side, shared.longest_frame(self.side));
        if self.fresh && (!sound || matches!(header.kind, Kind::Other(_))) {
            return Err(Http2Error::FirstFrame);
        }
        self.fresh = false;
        shared.framed |= sound;
        Ok(sound)
    }

    /// Goes to the next frame; when it cannot be told yet, how many bytes must be kept to tell later.
    fn hunt(&mut self, shared: &mut Shared, rest: &mut &[u8], out: Sink<'_>) -> Result<Option<usize>, Http2Error> {
        let clues = Clues {
            side: Some(self.side),
            longest: shared.longest_frame(self.side),
            reach: shared.reach(),
            pushed: shared.pushed,
            framed: shared.framed,
        };
        let found = self.hunt.search(rest, &clues);
        let (Search::Frame(at) | Search::Preface(at) | Search::Pending(at)) = found;
        *rest = &rest[at..];
        self.unreported += at as u64;
        self.hunted += at as u64;
        match found {
            Search::Frame(_) => {
                self.report(1, out);
                self.at = At::Header;
            }
            Search::Preface(_) => {
                self.report(1, out);
                self.at = At::Preface(0);
                self.heads = Heads::new(self.side, Decoder::new());
                self.found_preface = true;
                shared.begins(self.side);
            }
            Search::Pending(_) if !shared.framed && self.hunted > GIVE_UP_BYTES => return Err(Http2Error::NoFrames),
            Search::Pending(_) => {
                self.report(REPORT_BYTES, out);
                return Ok(Some(rest.len()));
            }
        }
        Ok(None)
    }

    /// Says what was passed over, when it is at least so much.
    fn report(&mut self, least: u64, out: Sink<'_>) {
        if self.unreported >= least {
            out(Event::Lost { side: self.side, bytes: std::mem::take(&mut self.unreported) });
        }
    }

    /// What comes next is not known.
    pub(super) fn lose(&mut self, shared: &mut Shared, bytes: u64, out: Sink<'_>) {
        self.heads.interrupted(shared.table_limit(self.side), out);
        self.heads.lost();
        shared.lost(self.side);
        self.unreported += (self.held.len() - self.passed) as u64;
        self.held.clear();
        self.passed = 0;
        self.hunt = Hunt::default();
        self.fresh = false;
        self.at = At::Hunting;
        out(Event::Lost { side: self.side, bytes });
    }

    /// So much of a frame is to be passed over, then comes the next.
    pub(super) fn skip(&mut self, bytes: u32) {
        self.at = if bytes == 0 { At::Header } else { At::Skip(bytes) };
    }
}
