//! Walks through all frames of a file to find out what it holds, when there is no index that can be believed.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;

use crate::model::ExchangeId;

use super::frame::{FrameHeader, Kind};
use super::index::{ExchangeEntry, Index, IndexBuilder, MessageEntry, MessagesAt, Segment};
use super::open::{Budget, Explored, Lost, exchanges_held, held, messages_held};
use super::reader::{Damage, Unpacked};
use super::scan::{Piece, Scan};
use super::{CaptureError, stored};

/// Gaps in the numbers of exchanges are named up to this many.
const MAX_NAMED_GAPS: u64 = 100_000;

/// The walk through all frames.
#[derive(Debug)]
pub(super) struct Walk {
    budget: Budget,
    builder: IndexBuilder,
    damage: Damage,
    unknown_frames: u64,
    finished: bool,
    /// Frames of exchanges and messages since the last segment of the index, which may be asked for them.
    sound_frames: HashSet<u64>,
    lost: Lost,
    /// Offset of the segment of the index that was met last.
    last_segment: u64,
    /// A frame that may have held exchanges is damaged, and no segment has told which.
    exchanges_in_doubt: bool,
    /// The same of messages.
    messages_in_doubt: bool,
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
            lost: Lost::default(),
            last_segment: 0,
            exchanges_in_doubt: false,
            messages_in_doubt: false,
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
            self.lost.exchanges.extend(gaps(&index));
        }
        if self.messages_in_doubt {
            // Numbers tell more than the segments do, and include what those told.
            self.damage.lost_messages = message_gaps(&index);
            let told: BTreeSet<ExchangeId> = self.damage.lost_messages.iter().map(|(id, _)| *id).collect();
            self.lost.messages.iter_mut().for_each(|(_, held)| held.retain(|entry| !told.contains(&entry.exchange)));
        }
        self.lost.report(&index, &mut self.damage);
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
            Kind::Sessions | Kind::Chunks | Kind::Exchanges | Kind::Messages | Kind::Index => {}
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
            Kind::Messages => {
                let mut held = Vec::new();
                for record in unpacked.records() {
                    match stored::decode_message(record).and_then(|_| stored::owner(record)) {
                        Ok(owner) => held.push(owner),
                        Err(_) => unreadable += 1,
                    }
                }
                self.messages_in_doubt |= unreadable > 0;
                self.builder.add_messages(offset, MessageEntry::group(held));
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
        self.messages_in_doubt &= segment.previous != self.last_segment;
        self.last_segment = offset;
        for (offset, entries) in segment.exchange_frames {
            if !self.sound_frames.contains(&offset) {
                self.budget.take(entries.len())?;
                self.lost.exchanges.extend(entries.iter().map(|entry| entry.id));
                self.name_damage(offset, || exchanges_held(entries.len()));
            }
        }
        for (offset, entries) in segment.message_frames {
            if !self.sound_frames.contains(&offset) {
                self.budget.take(entries.len())?;
                self.name_damage(offset, || messages_held(held(&entries)));
                self.lost.messages.push((offset, entries));
            }
        }
        for info in segment.sessions {
            self.budget.take_session(&info)?;
            self.builder.add_session(info);
        }
        self.sound_frames.clear();
        Ok(())
    }

    /// Says what a damaged frame held.
    fn name_damage(&mut self, offset: u64, held: impl FnOnce() -> String) {
        if let Some(bad) = self.damage.bad_frames.iter_mut().find(|bad| bad.0 == offset) {
            bad.2 = held();
        }
    }

    fn bad(&mut self, offset: u64, bytes: u64, header: Option<FrameHeader>) {
        let what = match header {
            Some(header) if header.kind == Kind::Exchanges => exchanges_held(header.records as usize),
            Some(header) if header.kind == Kind::Messages => messages_held(header.records as usize),
            Some(header) => header.kind.name().to_owned(),
            None => "unknown".to_owned(),
        };
        self.exchanges_in_doubt |= header.is_none_or(|header| header.kind == Kind::Exchanges);
        self.messages_in_doubt |= header.is_none_or(|header| header.kind == Kind::Messages);
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

/// Exchanges whose messages have gaps in their numbers, and how many are missing before the highest.
fn message_gaps(index: &Index) -> Vec<(ExchangeId, u64)> {
    let of_exchange = index.messages().chunk_by(|a, b| a.entry.exchange == b.entry.exchange);
    let gap = |places: &[MessagesAt]| {
        let last = places.iter().map(|at| u64::from(at.entry.last)).max()?;
        let held = places.iter().fold(0_u64, |sum, at| sum.saturating_add(u64::from(at.entry.count)));
        let missing = last.saturating_sub(held);
        (missing > 0).then(|| (places[0].entry.exchange, missing))
    };
    of_exchange.filter_map(gap).collect()
}
