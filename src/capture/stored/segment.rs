//! Records of the index.

use std::borrow::Cow;

use crate::capture::index::{ExchangeEntry, MessageEntry, Segment};
use crate::model::{ChunkId, ExchangeId, Nanos, SessionId};

use super::{
    CaptureError, SegmentMore, StoredEntry, StoredMessageEntry, StoredSegment, decode_session, decode_with, encode,
    encode_session,
};

/// The record of an index segment.
pub(in crate::capture) fn encode_segment(segment: &Segment) -> Result<Vec<u8>, CaptureError> {
    let entry = |e: &ExchangeEntry| StoredEntry {
        id: e.id.0,
        session: e.session.0,
        started: e.started.0,
        finished: e.finished.0,
    };
    let ids = |ids: &[ChunkId]| ids.iter().map(|id| id.0).collect();
    let message_entry = |e: &MessageEntry| StoredMessageEntry { exchange: e.exchange.0, last: e.last, count: e.count };
    let stored = StoredSegment {
        previous: segment.previous,
        chunk_frames: segment.chunk_frames.iter().map(|(at, held)| (*at, ids(held))).collect(),
        exchange_frames: segment
            .exchange_frames
            .iter()
            .map(|(at, held)| (*at, held.iter().map(entry).collect()))
            .collect(),
        sessions: segment.sessions.iter().map(|info| encode_session(info).map(Cow::Owned)).collect::<Result<_, _>>()?,
    };
    let message_frames =
        segment.message_frames.iter().map(|(at, held)| (*at, held.iter().map(message_entry).collect())).collect();
    let mut record = Vec::new();
    encode((stored, SegmentMore { message_frames }), &mut record)?;
    Ok(record)
}

/// Reads the record of an index segment.
pub(in crate::capture) fn decode_segment(record: &[u8]) -> Result<Segment, CaptureError> {
    let (stored, more) = decode_with::<StoredSegment<'_>, SegmentMore>(record)?;
    let entry = |e: StoredEntry| ExchangeEntry {
        id: ExchangeId(e.id),
        session: SessionId(e.session),
        started: Nanos(e.started),
        finished: Nanos(e.finished),
    };
    let message_entry =
        |e: StoredMessageEntry| MessageEntry { exchange: ExchangeId(e.exchange), last: e.last, count: e.count };
    let ids = |ids: Vec<[u8; 16]>| ids.into_iter().map(ChunkId).collect();
    Ok(Segment {
        previous: stored.previous,
        chunk_frames: stored.chunk_frames.into_iter().map(|(at, held)| (at, ids(held))).collect(),
        exchange_frames: stored
            .exchange_frames
            .into_iter()
            .map(|(at, held)| (at, held.into_iter().map(entry).collect()))
            .collect(),
        message_frames: more
            .message_frames
            .into_iter()
            .map(|(at, held)| (at, held.into_iter().map(message_entry).collect()))
            .collect(),
        sessions: stored.sessions.iter().map(|record| decode_session(record)).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_length_is_an_error_and_not_an_allocation() {
        let mut segment = vec![0, 253];
        segment.extend_from_slice(&[255; 8]);
        assert!(matches!(decode_segment(&segment), Err(CaptureError::Record)));
        let mut messages = vec![0, 0, 0, 0, 253];
        messages.extend_from_slice(&[255; 8]);
        assert!(matches!(decode_segment(&messages), Err(CaptureError::Record)));
    }

    #[test]
    fn a_segment_without_the_fields_of_1_1_has_nothing_in_them() {
        let stored = StoredSegment { previous: 5, chunk_frames: vec![], exchange_frames: vec![], sessions: vec![] };
        let mut record = Vec::new();
        encode(stored, &mut record).unwrap();
        let segment = decode_segment(&record).unwrap();
        assert_eq!(segment, Segment { previous: 5, ..Segment::default() });
    }
}
