//! Where things lie in a capture: segments as the writer collects them, and the whole index as a reader holds it.

use std::collections::{BTreeMap, HashMap};

use crate::model::{ChunkId, ExchangeId, Nanos, SessionId, SessionInfo};

use super::reader::SessionSummary;

/// What the index says of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExchangeEntry {
    /// Its number.
    pub(super) id: ExchangeId,
    /// Whose it is.
    pub(super) session: SessionId,
    /// When it began.
    pub(super) started: Nanos,
    /// When it ended.
    pub(super) finished: Nanos,
}

/// A piece of the index: what the frames between the previous segment and this one hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// Offset of the previous segment's frame; 0 when this is the first.
    pub(super) previous: u64,
    /// Offset of each frame of chunks, and the chunks in order.
    pub(super) chunk_frames: Vec<(u64, Vec<ChunkId>)>,
    /// Offset of each frame of exchanges, and the exchanges in order.
    pub(super) exchange_frames: Vec<(u64, Vec<ExchangeEntry>)>,
    /// Sessions described since the previous segment.
    pub(super) sessions: Vec<SessionInfo>,
}

impl Segment {
    /// About how many bytes its record has.
    pub(super) fn estimated_bytes(&self) -> usize {
        let chunks: usize = self.chunk_frames.iter().map(|(_, ids)| 12 + 16 * ids.len()).sum();
        let exchanges: usize = self.exchange_frames.iter().map(|(_, held)| 12 + 26 * held.len()).sum();
        let text = |s: &SessionInfo| s.client.len() + s.user_agent.as_ref().map_or(0, String::len);
        let sessions: usize = self.sessions.iter().map(|s| 12 + text(s)).sum();
        chunks + exchanges + sessions
    }

    /// Nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.chunk_frames.is_empty() && self.exchange_frames.is_empty() && self.sessions.is_empty()
    }
}

/// Where one record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    frame: u32,
    /// Position among the records of its frame.
    pub(super) slot: u32,
}

/// An exchange and where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    /// What is known of it.
    pub(super) entry: ExchangeEntry,
    /// Where it is.
    pub(super) place: Place,
}

/// Collects what frames hold, in any order.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    frames: Vec<u64>,
    exchanges: Vec<Located>,
    chunks: HashMap<ChunkId, Place>,
    sessions: BTreeMap<SessionId, SessionInfo>,
}

impl IndexBuilder {
    /// A frame of chunks.
    pub(super) fn add_chunks(&mut self, offset: u64, ids: impl IntoIterator<Item = ChunkId>) {
        let frame = self.frame(offset);
        for (slot, id) in (0..).zip(ids) {
            self.chunks.insert(id, Place { frame, slot });
        }
    }

    /// A frame of exchanges; each entry with its position in the frame.
    pub(super) fn add_exchanges(&mut self, offset: u64, entries: impl IntoIterator<Item = (u32, ExchangeEntry)>) {
        let frame = self.frame(offset);
        let located = |(slot, entry)| Located { entry, place: Place { frame, slot } };
        self.exchanges.extend(entries.into_iter().map(located));
    }

    /// A session's description; a later one replaces an earlier one.
    pub(super) fn add_session(&mut self, info: SessionInfo) {
        self.sessions.insert(info.id, info);
    }

    /// The index. Of two exchanges with one number the later in the file counts.
    pub(super) fn build(self) -> Index {
        let Self { frames, mut exchanges, chunks, sessions } = self;
        let offset = |located: &Located| frames[located.place.frame as usize];
        exchanges.sort_by_key(|l| (l.entry.id, std::cmp::Reverse((offset(l), l.place.slot))));
        exchanges.dedup_by_key(|l| l.entry.id);
        exchanges.shrink_to_fit();

        let mut summaries: BTreeMap<SessionId, SessionSummary> =
            sessions.into_iter().map(|(id, info)| (id, SessionSummary::empty(info))).collect();
        for Located { entry, .. } in &exchanges {
            let unknown = || SessionSummary::empty(SessionInfo { id: entry.session, ..SessionInfo::default() });
            summaries.entry(entry.session).or_insert_with(unknown).count(entry);
        }
        let mut by_session: Vec<u32> = (0..u32::try_from(exchanges.len()).unwrap_or(u32::MAX)).collect();
        by_session.sort_by_key(|&i| {
            let entry = &exchanges[i as usize].entry;
            (entry.session, entry.started, entry.id)
        });
        Index { frames, exchanges, by_session, chunks, sessions: summaries.into_values().collect() }
    }

    /// The number of a frame.
    fn frame(&mut self, offset: u64) -> u32 {
        if self.frames.last() != Some(&offset) {
            self.frames.push(offset);
        }
        u32::try_from(self.frames.len() - 1).unwrap_or(u32::MAX)
    }
}

/// Everything that is in a capture and where it is; the content stays in the file.
#[derive(Debug, Default)]
pub(super) struct Index {
    frames: Vec<u64>,
    exchanges: Vec<Located>,
    by_session: Vec<u32>,
    chunks: HashMap<ChunkId, Place>,
    sessions: Vec<SessionSummary>,
}

impl Index {
    /// All exchanges by number.
    pub(super) fn exchanges(&self) -> &[Located] {
        &self.exchanges
    }

    /// One exchange.
    pub(super) fn exchange(&self, id: ExchangeId) -> Option<&Located> {
        let at = self.exchanges.binary_search_by_key(&id, |l| l.entry.id).ok()?;
        self.exchanges.get(at)
    }

    /// The exchanges of a session in the order in which they began.
    pub(super) fn of_session(&self, id: SessionId) -> impl Iterator<Item = &Located> {
        let session = |&i: &u32| self.exchanges[i as usize].entry.session;
        let from = self.by_session.partition_point(|i| session(i) < id);
        let to = self.by_session.partition_point(|i| session(i) <= id);
        self.by_session[from..to].iter().map(|&i| &self.exchanges[i as usize])
    }

    /// Where a chunk is.
    pub(super) fn chunk(&self, id: ChunkId) -> Option<Place> {
        self.chunks.get(&id).copied()
    }

    /// The names of all chunks, in the order in which they lie in the file.
    pub(super) fn chunk_ids(&self) -> Vec<ChunkId> {
        let mut placed: Vec<(&ChunkId, &Place)> = self.chunks.iter().collect();
        placed.sort_by_key(|(_, place)| (self.offset(**place), place.slot));
        placed.into_iter().map(|(id, _)| *id).collect()
    }

    /// Number of different chunks.
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// All sessions by number.
    pub(super) fn sessions(&self) -> &[SessionSummary] {
        &self.sessions
    }

    /// Offset of the frame in which a record lies.
    pub(super) fn offset(&self, place: Place) -> u64 {
        self.frames[place.frame as usize]
    }
}

impl SessionSummary {
    fn empty(info: SessionInfo) -> Self {
        Self { info, exchanges: 0, first: Nanos(0), last: Nanos(0) }
    }

    fn count(&mut self, entry: &ExchangeEntry) {
        self.first = if self.exchanges == 0 { entry.started } else { self.first.min(entry.started) };
        self.last = self.last.max(entry.finished);
        self.exchanges += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, session: u32, started: u64) -> ExchangeEntry {
        ExchangeEntry {
            id: ExchangeId(id),
            session: SessionId(session),
            started: Nanos(started),
            finished: Nanos(started + 5),
        }
    }

    #[test]
    fn exchanges_are_found_by_number_and_by_session_in_order_of_start() {
        let mut builder = IndexBuilder::default();
        builder.add_exchanges(100, [(0, entry(2, 1, 30)), (1, entry(1, 2, 5))]);
        builder.add_exchanges(200, [(0, entry(3, 1, 10))]);
        let index = builder.build();
        assert_eq!(index.exchanges().iter().map(|l| l.entry.id.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(index.of_session(SessionId(1)).map(|l| l.entry.id.0).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(index.of_session(SessionId(9)).count(), 0);
        let located = index.exchange(ExchangeId(3)).unwrap();
        assert_eq!((index.offset(located.place), located.place.slot), (200, 0));
        let [one, two] = index.sessions() else { panic!("two sessions") };
        assert_eq!((one.exchanges, one.first.0, one.last.0), (2, 10, 35));
        assert_eq!((two.exchanges, two.first.0, two.last.0), (1, 5, 10));
    }

    #[test]
    fn the_later_record_of_an_exchange_counts() {
        let mut builder = IndexBuilder::default();
        builder.add_exchanges(300, [(0, entry(1, 1, 30))]);
        builder.add_exchanges(100, [(0, entry(1, 1, 20))]);
        let index = builder.build();
        assert_eq!(index.exchanges().len(), 1);
        assert_eq!(index.exchanges()[0].entry.started, Nanos(30));
    }
}
