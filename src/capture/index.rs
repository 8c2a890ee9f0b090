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

/// What the index says of the messages of one exchange in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageEntry {
    /// Whose they are.
    pub(super) exchange: ExchangeId,
    /// The highest of their numbers.
    pub(super) last: u32,
    /// How many.
    pub(super) count: u32,
}

impl MessageEntry {
    /// Exchange and number of each message in a frame become one entry for each exchange.
    pub(super) fn group(messages: impl IntoIterator<Item = (ExchangeId, u32)>) -> Vec<Self> {
        let mut grouped: BTreeMap<ExchangeId, Self> = BTreeMap::new();
        for (exchange, number) in messages {
            let entry = grouped.entry(exchange).or_insert(Self { exchange, last: 0, count: 0 });
            entry.last = entry.last.max(number);
            entry.count += 1;
        }
        grouped.into_values().collect()
    }
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
    /// Offset of each frame of messages, and whose messages are in it.
    pub(super) message_frames: Vec<(u64, Vec<MessageEntry>)>,
    /// Sessions described since the previous segment.
    pub(super) sessions: Vec<SessionInfo>,
}

impl Segment {
    /// About how many bytes its record has.
    pub(super) fn estimated_bytes(&self) -> usize {
        let chunks: usize = self.chunk_frames.iter().map(|(_, ids)| 12 + 16 * ids.len()).sum();
        let exchanges: usize = self.exchange_frames.iter().map(|(_, held)| 12 + 26 * held.len()).sum();
        let messages: usize = self.message_frames.iter().map(|(_, held)| 12 + 16 * held.len()).sum();
        let text = |s: &SessionInfo| s.client.len() + s.user_agent.as_ref().map_or(0, String::len) + s.evidence.len();
        let sessions: usize = self.sessions.iter().map(|s| 12 + text(s)).sum();
        chunks + exchanges + messages + sessions
    }

    /// Nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.lengths() == [0; 4]
    }

    /// Takes all of it, or as much as makes a record of about `limit` bytes. The rest stays, for the next segment.
    pub(super) fn take(&mut self, limit: usize) -> Self {
        let previous = self.previous;
        let mut piece = std::mem::replace(self, Self { previous, ..Self::default() });
        while piece.estimated_bytes() > limit && piece.lengths().iter().any(|n| *n > 1) {
            let [chunks, exchanges, messages, sessions] = piece.lengths().map(|n| n.div_ceil(2));
            self.put_back(Self {
                previous,
                chunk_frames: piece.chunk_frames.split_off(chunks),
                exchange_frames: piece.exchange_frames.split_off(exchanges),
                message_frames: piece.message_frames.split_off(messages),
                sessions: piece.sessions.split_off(sessions),
            });
        }
        piece
    }

    /// Puts a piece in front of the rest.
    pub(super) fn put_back(&mut self, mut piece: Self) {
        piece.chunk_frames.append(&mut self.chunk_frames);
        piece.exchange_frames.append(&mut self.exchange_frames);
        piece.message_frames.append(&mut self.message_frames);
        piece.sessions.append(&mut self.sessions);
        *self = piece;
    }

    fn lengths(&self) -> [usize; 4] {
        [self.chunk_frames.len(), self.exchange_frames.len(), self.message_frames.len(), self.sessions.len()]
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

/// The messages of one exchange in one frame, and where that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessagesAt {
    /// What is known of them.
    pub(super) entry: MessageEntry,
    frame: u32,
}

/// Collects what frames hold, in any order.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    frames: Vec<u64>,
    exchanges: Vec<Located>,
    messages: Vec<MessagesAt>,
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

    /// A frame of messages.
    pub(super) fn add_messages(&mut self, offset: u64, entries: impl IntoIterator<Item = MessageEntry>) {
        let frame = self.frame(offset);
        self.messages.extend(entries.into_iter().map(|entry| MessagesAt { entry, frame }));
    }

    /// A session's description; a later one replaces an earlier one.
    pub(super) fn add_session(&mut self, info: SessionInfo) {
        self.sessions.insert(info.id, info);
    }

    /// The index. Of two exchanges with one number the later in the file counts.
    pub(super) fn build(self) -> Index {
        let Self { frames, mut exchanges, mut messages, chunks, sessions } = self;
        let offset = |located: &Located| frames[located.place.frame as usize];
        exchanges.sort_by_key(|l| (l.entry.id, std::cmp::Reverse((offset(l), l.place.slot))));
        exchanges.dedup_by_key(|l| l.entry.id);
        exchanges.shrink_to_fit();
        let owner = |at: &MessagesAt| (at.entry.exchange, frames[at.frame as usize]);
        messages.sort_by_key(owner);
        messages.dedup_by_key(|at| owner(at));
        messages.shrink_to_fit();

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
        let sessions = summaries.into_values().collect();
        Index { frames, exchanges, by_session, messages, chunks, sessions }
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
    messages: Vec<MessagesAt>,
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

    /// Where messages are, by exchange and then in the order of the file.
    pub(super) fn messages(&self) -> &[MessagesAt] {
        &self.messages
    }

    /// Where the messages of an exchange are, in the order of the file.
    pub(super) fn messages_of(&self, id: ExchangeId) -> &[MessagesAt] {
        let from = self.messages.partition_point(|at| at.entry.exchange < id);
        let to = self.messages.partition_point(|at| at.entry.exchange <= id);
        &self.messages[from..to]
    }

    /// Offsets of all frames of messages, in order.
    pub(super) fn message_frames(&self) -> Vec<u64> {
        let mut offsets: Vec<u64> = self.messages.iter().map(|at| self.message_offset(at)).collect();
        offsets.sort_unstable();
        offsets.dedup();
        offsets
    }

    /// Offset of the frame in which messages lie.
    pub(super) fn message_offset(&self, at: &MessagesAt) -> u64 {
        self.frames[at.frame as usize]
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
    fn messages_are_found_by_exchange_in_the_order_of_the_file() {
        let numbered = |exchange, number| (ExchangeId(exchange), number);
        let entries = MessageEntry::group([numbered(7, 1), numbered(3, 1), numbered(7, 2), numbered(7, 3)]);
        let entry = |exchange, last, count| MessageEntry { exchange: ExchangeId(exchange), last, count };
        assert_eq!(entries, [entry(3, 1, 1), entry(7, 3, 3)]);
        let mut builder = IndexBuilder::default();
        builder.add_messages(200, [entry(7, 4, 1)]);
        builder.add_messages(100, entries.clone());
        builder.add_messages(200, [entry(7, 4, 1)]);
        let index = builder.build();
        let places = |id| {
            let held = index.messages_of(ExchangeId(id)).iter();
            held.map(|at| (index.message_offset(at), at.entry.count)).collect::<Vec<_>>()
        };
        assert_eq!(places(7), [(100, 3), (200, 1)], "a frame that is named twice counts once");
        assert_eq!(places(3), [(100, 1)]);
        assert_eq!(places(4), []);
        assert_eq!(index.message_frames(), [100, 200]);
    }

    #[test]
    fn a_segment_too_large_for_a_record_is_taken_in_pieces_and_in_order() {
        let chunk_frames: Vec<(u64, Vec<ChunkId>)> = (1..=9).map(|at| (at, vec![ChunkId([0; 16]); 100])).collect();
        let message_frames = (10..=11).map(|at| (at, Vec::new())).collect();
        let mut segment = Segment { previous: 5, chunk_frames, message_frames, ..Segment::default() };
        let mut seen = (Vec::new(), Vec::new());
        let mut pieces = 0;
        while !segment.is_empty() {
            let piece = segment.take(4_000);
            assert!(piece.previous == 5 && piece.estimated_bytes() <= 4_000 && !piece.is_empty());
            seen.0.extend(piece.chunk_frames.iter().map(|(at, _)| *at));
            seen.1.extend(piece.message_frames.iter().map(|(at, _)| *at));
            pieces += 1;
        }
        assert_eq!(seen, ((1..=9).collect(), vec![10, 11]));
        assert!((5..=9).contains(&pieces), "{pieces}");
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
