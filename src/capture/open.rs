//! Finds out what a file holds: by its index when there is a sound one, else by walking through its frames.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use crate::model::{ExchangeId, SessionInfo};

use super::frame::{FrameHeader, HEADER_BYTES, Kind};
use super::header::Header;
use super::index::{Index, IndexBuilder, MessageEntry, Segment};
use super::reader::{Damage, Unpacked, read_frame};
use super::walk::Walk;
use super::{CaptureError, stored};

/// Length of the frame that ends a finished file.
const END_FRAME_BYTES: u64 = HEADER_BYTES as u64 + 8;

/// How many things a file may claim to hold. Records compress well, but ids and times do not vanish; a small file that
/// unpacks into a huge index is an attack on memory.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    /// That of a file of `len` bytes.
    pub(super) fn of_file(len: u64) -> Self {
        Self { left: len.saturating_mul(THINGS_PER_BYTE).saturating_add(THINGS_FREE) }
    }

    /// So many are claimed.
    pub(super) fn take(&mut self, things: usize) -> Result<(), CaptureError> {
        self.left = self.left.checked_sub(things as u64).ok_or(CaptureError::Record)?;
        Ok(())
    }

    /// A session costs its text.
    pub(super) fn take_session(&mut self, info: &SessionInfo) -> Result<(), CaptureError> {
        let text = info.client.len() + info.user_agent.as_ref().map_or(0, String::len) + info.evidence.len();
        self.take(1 + text / 64)
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
        budget.take(segment.message_frames.iter().map(|(_, entries)| 1 + held(entries)).sum())?;
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

/// Number of messages.
pub(super) fn held(entries: &[MessageEntry]) -> usize {
    entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.count as usize))
}

/// Believes the index, except that every frame of exchanges and of messages is read and must hold.
fn by_index(file: &File, seed: u32, segments: Vec<Segment>) -> Result<Explored, CaptureError> {
    let mut builder = IndexBuilder::default();
    let mut damage = Damage::default();
    let mut lost = Lost::default();
    let holds = |offset, kind, records| {
        let found = read_frame(file, seed, offset)?;
        Ok::<_, CaptureError>(found.is_some_and(|(h, _)| h.kind == kind && h.records as usize == records))
    };
    for segment in segments.into_iter().rev() {
        for (offset, ids) in segment.chunk_frames {
            builder.add_chunks(offset, ids);
        }
        for (offset, entries) in segment.message_frames {
            let count = held(&entries);
            if holds(offset, Kind::Messages, count)? {
                builder.add_messages(offset, entries);
            } else {
                damage.bad_frames.push((offset, frame_bytes(file, seed, offset)?, messages_held(count)));
                lost.messages.push((offset, entries));
            }
        }
        for (offset, entries) in segment.exchange_frames {
            if holds(offset, Kind::Exchanges, entries.len())? {
                builder.add_exchanges(offset, (0..).zip(entries));
            } else {
                damage.bad_frames.push((offset, frame_bytes(file, seed, offset)?, exchanges_held(entries.len())));
                lost.exchanges.extend(entries.iter().map(|entry| entry.id));
            }
        }
        for info in segment.sessions {
            builder.add_session(info);
        }
    }
    let index = builder.build();
    lost.report(&index, &mut damage);
    Ok(Explored { index, damage, unknown_frames: 0 })
}

/// Length of a damaged frame as far as its header tells; 0 when that is damaged, too.
fn frame_bytes(file: &File, seed: u32, offset: u64) -> Result<u64, CaptureError> {
    let mut bytes = [0; HEADER_BYTES];
    let read = super::scan::read_up_to(file, &mut bytes, offset)?;
    Ok(FrameHeader::parse(&bytes[..read], seed).map_or(0, |header| header.frame_bytes()))
}

/// What a frame of exchanges held, in words.
pub(super) fn exchanges_held(count: usize) -> String {
    format!("{count} exchanges")
}

/// What a frame of messages held, in words.
pub(super) fn messages_held(count: usize) -> String {
    format!("{count} messages")
}

/// What is named in the index, or by the gaps that it leaves, and was not found where it should be.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// By number.
    pub(super) exchanges: Vec<ExchangeId>,
    /// Frames of messages.
    pub(super) messages: Vec<(u64, Vec<MessageEntry>)>,
}

impl Lost {
    /// What is not there in another frame either.
    pub(super) fn report(self, index: &Index, damage: &mut Damage) {
        let missing: BTreeSet<ExchangeId> =
            self.exchanges.into_iter().filter(|id| index.exchange(*id).is_none()).collect();
        damage.lost_exchanges = missing.into_iter().collect();
        let there = index.message_frames();
        let mut messages: BTreeMap<ExchangeId, u64> = damage.lost_messages.drain(..).collect();
        for (_, entries) in self.messages.into_iter().filter(|(offset, _)| there.binary_search(offset).is_err()) {
            for entry in entries {
                let lost = messages.entry(entry.exchange).or_default();
                *lost = lost.saturating_add(u64::from(entry.count));
            }
        }
        damage.lost_messages = messages.into_iter().collect();
    }
}
