//! Finds out what a file holds: by its index when there is a sound one, else by walking through its frames.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;

use crate::model::{ExchangeId, SessionInfo};

use super::frame::{FrameHeader, HEADER_BYTES, Kind};
use super::header::Header;
use super::index::{ExchangeEntry, Index, IndexBuilder, Segment};
use super::reader::{Damage, Unpacked, read_frame};
use super::scan::{Piece, Scan};
use super::{CaptureError, stored};

/// Length of the frame that ends a finished file.
const END_FRAME_BYTES: u64 = HEADER_BYTES as u64 + 8;

/// Gaps in the numbers of exchanges are named up to this many.
const MAX_NAMED_GAPS: u64 = 100_000;

/// How many things a file may claim to hold. Records compress well, but ids and times do not vanish; a small file that
/// unpacks into a huge index is an attack on memory.
#[derive(Debug)]
struct Budget {
    left: u64,
}

impl Budget {
    fn of_file(len: u64) -> Self {
        Self { left: len.saturating_mul(THINGS_PER_BYTE).saturating_add(THINGS_FREE) }
    }

    fn take(&mut self, things: usize) -> Result<(), CaptureError> {
        self.left = self.left.checked_sub(things as u64).ok_or(CaptureError::Record)?;
        Ok(())
    }

    /// A session costs its text.
    fn take_session(&mut self, info: &SessionInfo) -> Result<(), CaptureError> {
        self.take(1 + (info.client.len() + info.user_agent.as_ref().map_or(0, String::len)) / 64)
    }
}

/// Far more than any real capture has: a record takes several bytes at the least.
const THINGS_PER_BYTE: u64 = 4;

/// For files that hardly have a byte.
const THINGS_FREE: u64 = 100_000;

/// What may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The index, when it is whole.
    Index,
    /// Only what was read.
    Nothing,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Explored {
    /// What is where.
    pub(super) index: Index,
    /// What is not.
    pub(super) damage: Damage,
    /// Frames of a kind this version does not know.
    pub(super) unknown_frames: u64,
}

/// Finds out what the first `len` bytes of a file hold.
///
/// # Errors
/// When it cannot be read.
pub(super) fn explore(file: &File, header: &Header, len: u64, trust: Trust) -> Result<Explored, CaptureError> {
    if trust == Trust::Index
        && let Some(segments) = segments(file, header, len)?
    {
        return by_index(file, header.seed, segments);
    }
    Walk::new(len).through(file, header.bytes, len, header.seed)
}

/// The segments of the index, last first; none when the file does not end as a finished one does, or one is damaged.
fn segments(file: &File, header: &Header, len: u64) -> Result<Option<Vec<Segment>>, CaptureError> {
    let Some(end) = len.checked_sub(END_FRAME_BYTES).filter(|end| *end >= header.bytes) else { return Ok(None) };
    let Some((frame, payload)) = read_frame(file, header.seed, end)? else { return Ok(None) };
    let Some(last) = payload.first_chunk::<8>().filter(|_| frame.kind == Kind::End) else { return Ok(None) };
    let mut found = Vec::new();
    let mut budget = Budget::of_file(len);
    let mut limit = end;
    let mut at = u64::from_le_bytes(*last);
    while at != 0 {
        // Each segment lies before the one that points at it, so a hostile chain ends.
        if at >= limit || at < header.bytes {
            return Ok(None);
        }
        limit = at;
        let Some((frame, payload)) = read_frame(file, header.seed, at)? else { return Ok(None) };
        let Some(segment) = read_segment(&frame, payload) else { return Ok(None) };
        budget.take(segment.chunk_frames.iter().map(|(_, ids)| 1 + ids.len()).sum())?;
        budget.take(segment.exchange_frames.iter().map(|(_, entries)| 1 + entries.len()).sum())?;
        segment.sessions.iter().try_for_each(|info| budget.take_session(info))?;
        at = segment.previous;
        found.push(segment);
    }
    Ok(Some(found))
}

fn read_segment(frame: &FrameHeader, payload: Vec<u8>) -> Option<Segment> {
    if frame.kind != Kind::Index {
        return None;
    }
    let unpacked = Unpacked::of(frame, payload).ok()??;
    stored::decode_segment(unpacked.records().next()?).ok()
}

/// Believes the index, except that every frame of exchanges is read and must hold.
fn by_index(file: &File, seed: u32, segments: Vec<Segment>) -> Result<Explored, CaptureError> {
    let mut builder = IndexBuilder::default();
    let mut damage = Damage::default();
    let mut lost = Vec::new();
    for segment in segments.into_iter().rev() {
        for (offset, ids) in segment.chunk_frames {
            builder.add_chunks(offset, ids);
        }
        for (offset, entries) in segment.exchange_frames {
            let sound = read_frame(file, seed, offset)?
                .is_some_and(|(header, _)| header.kind == Kind::Exchanges && header.records as usize == entries.len());
            if sound {
                builder.add_exchanges(offset, (0..).zip(entries));
            } else {
                damage.bad_frames.push((offset, frame_bytes(file, seed, offset)?, exchanges_held(entries.len())));
                lost.extend(entries.iter().map(|entry| entry.id));
            }
        }
        for info in segment.sessions {
            builder.add_session(info);
        }
    }
    let index = builder.build();
    damage.lost_exchanges = still_missing(&index, lost);
    Ok(Explored { index, damage, unknown_frames: 0 })
}

/// Length of a damaged frame as far as its header tells; 0 when that is damaged, too.
fn frame_bytes(file: &File, seed: u32, offset: u64) -> Result<u64, CaptureError> {
    let mut bytes = [0; HEADER_BYTES];
    let read = super::scan::read_up_to(file, &mut bytes, offset)?;
    Ok(FrameHeader::parse(&bytes[..read], seed).map_or(0, |header| header.frame_bytes()))
}

fn exchanges_held(count: usize) -> String {
    format!("{count} exchanges")
}

/// Those of `lost` that are not there in another frame, sorted.
fn still_missing(index: &Index, lost: impl IntoIterator<Item = ExchangeId>) -> Vec<ExchangeId> {
    let missing: BTreeSet<ExchangeId> = lost.into_iter().filter(|id| index.exchange(*id).is_none()).collect();
    missing.into_iter().collect()
}

/// The walk through all frames.
#[derive(Debug)]
pub(super) struct Walk {
    budget: Budget,
    builder: IndexBuilder,
    damage: Damage,
    unknown_frames: u64,
    finished: bool,
    /// Frames of exchanges since the last segment of the index, which may be asked for them.
    sound_frames: HashSet<u64>,
    lost: Vec<ExchangeId>,
    /// Offset of the segment of the index that was met last.
    last_segment: u64,
    /// A frame that may have held exchanges is damaged, and no segment has told which.
    exchanges_in_doubt: bool,
}

impl Walk {
    /// A walk through a file of this length.
    pub(super) fn new(len: u64) -> Self {
        Self {
            budget: Budget::of_file(len),
            builder: IndexBuilder::default(),
            damage: Damage::default(),
            unknown_frames: 0,
            finished: false,
            sound_frames: HashSet::new(),
            lost: Vec::new(),
            last_segment: 0,
            exchanges_in_doubt: false,
        }
    }

    /// Walks from `start` to `len`.
    pub(super) fn through(mut self, file: &File, start: u64, len: u64, seed: u32) -> Result<Explored, CaptureError> {
        let mut scan = Scan::new(file, start, len, seed);
        while let Some(piece) = scan.next()? {
            match piece {
                Piece::Frame { offset, header, stored } => self.frame(offset, &header, stored)?,
                Piece::Bad { offset, bytes, header } => self.bad(offset, bytes, header),
                Piece::Torn { bytes } => self.damage.torn_bytes = bytes,
            }
        }
        self.damage.unfinished = !self.finished;
        let index = self.builder.build();
        if self.exchanges_in_doubt {
            self.lost.extend(gaps(&index));
        }
        self.damage.lost_exchanges = still_missing(&index, self.lost);
        Ok(Explored { index, damage: self.damage, unknown_frames: self.unknown_frames })
    }

    fn frame(&mut self, offset: u64, header: &FrameHeader, stored: Vec<u8>) -> Result<(), CaptureError> {
        match header.kind {
            Kind::End => {
                self.finished = true;
                return Ok(());
            }
            Kind::Other(_) => {
                self.unknown_frames += 1;
                return Ok(());
            }
            Kind::Sessions | Kind::Chunks | Kind::Exchanges | Kind::Index => {}
        }
        // More frames behind an end: somebody appended, and did not finish.
        self.finished = false;
        match Unpacked::of(header, stored) {
            Ok(Some(unpacked)) => return self.records(offset, header, &unpacked),
            Ok(None) => self.unknown_frames += 1,
            Err(_) => self.bad(offset, header.frame_bytes(), Some(*header)),
        }
        Ok(())
    }

    fn records(&mut self, offset: u64, header: &FrameHeader, unpacked: &Unpacked) -> Result<(), CaptureError> {
        self.budget.take(header.records as usize)?;
        let mut unreadable = 0_usize;
        match header.kind {
            Kind::Chunks => self.builder.add_chunks(offset, unpacked.names().iter().copied()),
            Kind::Sessions => {
                for record in unpacked.records() {
                    match stored::decode_session(record) {
                        Ok(info) => {
                            self.budget.take_session(&info)?;
                            self.builder.add_session(info);
                        }
                        Err(_) => unreadable += 1,
                    }
                }
            }
            Kind::Exchanges => {
                let mut entries = Vec::new();
                for (slot, record) in (0_u32..).zip(unpacked.records()) {
                    match stored::decode_exchange(record) {
                        Ok(e) => {
                            let (started, finished) = (e.timing.started, e.timing.finished);
                            entries.push((slot, ExchangeEntry { id: e.id, session: e.session, started, finished }));
                        }
                        Err(_) => unreadable += 1,
                    }
                }
                self.exchanges_in_doubt |= unreadable > 0;
                self.builder.add_exchanges(offset, entries);
                self.sound_frames.insert(offset);
            }
            Kind::Index => match unpacked.records().next().map(stored::decode_segment) {
                Some(Ok(segment)) => self.segment(offset, segment)?,
                _ => unreadable += 1,
            },
            Kind::End | Kind::Other(_) => {}
        }
        if unreadable > 0 {
            let what = format!("{}: {unreadable} records cannot be decoded", header.kind.name());
            self.damage.bad_frames.push((offset, header.frame_bytes(), what));
        }
        Ok(())
    }

    /// A segment tells what the frames before it held, damaged or not.
    fn segment(&mut self, offset: u64, segment: Segment) -> Result<(), CaptureError> {
        // With the segment before it lost, this one does not speak for all frames before it.
        self.exchanges_in_doubt &= segment.previous != self.last_segment;
        self.last_segment = offset;
        for (offset, entries) in segment.exchange_frames {
            if !self.sound_frames.contains(&offset) {
                self.budget.take(entries.len())?;
                self.lost.extend(entries.iter().map(|entry| entry.id));
                if let Some(bad) = self.damage.bad_frames.iter_mut().find(|bad| bad.0 == offset) {
                    bad.2 = exchanges_held(entries.len());
                }
            }
        }
        for info in segment.sessions {
            self.budget.take_session(&info)?;
            self.builder.add_session(info);
        }
        self.sound_frames.clear();
        Ok(())
    }

    fn bad(&mut self, offset: u64, bytes: u64, header: Option<FrameHeader>) {
        let what = match header {
            Some(header) if header.kind == Kind::Exchanges => exchanges_held(header.records as usize),
            Some(header) => header.kind.name().to_owned(),
            None => "unknown".to_owned(),
        };
        self.exchanges_in_doubt |= header.is_none_or(|header| header.kind == Kind::Exchanges);
        self.damage.bad_frames.push((offset, bytes, what));
    }
}

/// Numbers between 1 and the highest that no exchange has; nothing when they are too many to be believed.
fn gaps(index: &Index) -> Vec<ExchangeId> {
    let held = index.exchanges();
    let highest = held.last().map_or(0, |last| last.entry.id.0);
    if highest.saturating_sub(held.len() as u64) > MAX_NAMED_GAPS {
        return Vec::new();
    }
    let mut expected = 1;
    let mut missing = Vec::new();
    for located in held {
        let id = located.entry.id.0;
        missing.extend((expected..id).map(ExchangeId));
        expected = id.saturating_add(1);
    }
    missing
}
