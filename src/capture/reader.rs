//! Reads a capture, whole, torn or still being written.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{
    Body, BodyError, BodySource, CHUNK_BYTES, ChunkId, Exchange, ExchangeId, Nanos, Session, SessionId, SessionInfo,
};

use super::frame::{self, FrameHeader, HEADER_BYTES, Kind};
use super::index::{Index, Located};
use super::scan::read_up_to;
use super::{CaptureError, Provenance, chunks, header, open, stored};

/// Unpacked frames that are kept for the next question.
const CACHE_BYTES: usize = 16 << 20;

/// An open capture. Holds the index, not the content; can be shared between threads.
#[derive(Debug)]
pub struct Reader {
    file: File,
    seed: u32,
    provenance: Provenance,
    index: Index,
    damage: Damage,
    unknown_frames: u64,
    cache: Mutex<Cache>,
}

/// What is wrong with a capture that could be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes after the last whole frame.
    pub torn_bytes: u64,
    /// Offset and length of each frame whose checksum does not hold, and what it held as far as known.
    pub bad_frames: Vec<(u64, u64, String)>,
    /// Exchanges known (from the index or from references) to be lost.
    pub lost_exchanges: Vec<ExchangeId>,
    /// Exchanges that are known to have lost messages, and how many.
    pub lost_messages: Vec<(ExchangeId, u64)>,
    /// True when the file has no index: it was not closed properly, or is still being written.
    pub unfinished: bool,
}

impl Damage {
    /// Nothing was lost; an unfinished file can be sound.
    pub fn is_sound(&self) -> bool {
        let nothing_lost = self.lost_exchanges.is_empty() && self.lost_messages.is_empty();
        self.torn_bytes == 0 && self.bad_frames.is_empty() && nothing_lost
    }
}

/// One session as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// Who.
    pub info: SessionInfo,
    /// How many exchanges.
    pub exchanges: u64,
    /// Start of the first exchange.
    pub first: Nanos,
    /// End of the last exchange.
    pub last: Nanos,
}

impl Reader {
    /// Opens a capture; rebuilds the index when it is missing. With an index, frames of exchanges and messages are checked
    /// now and frames of bodies when they are read.
    ///
    /// # Errors
    /// When the file cannot be opened, is no capture, or is from a newer major version.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::open_with(path, open::Trust::Index)
    }

    /// Opens a capture and checks every frame of it, whatever the index says.
    ///
    /// # Errors
    /// As for [`Reader::open`].
    pub fn open_checked(path: &Path) -> Result<Self, CaptureError> {
        Self::open_with(path, open::Trust::Nothing)
    }

    fn open_with(path: &Path, trust: open::Trust) -> Result<Self, CaptureError> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut start = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(header::MAX_HEADER_BYTES)];
        let read = read_up_to(&file, &mut start, 0)?;
        let header = header::parse(&start[..read])?;
        let found = open::explore(&file, &header, len, trust)?;
        Ok(Self::from_parts(file, header.seed, header.provenance, found))
    }

    /// A reader of a file that was explored.
    pub(super) fn from_parts(file: File, seed: u32, provenance: Provenance, found: open::Explored) -> Self {
        let open::Explored { index, damage, unknown_frames } = found;
        Self { file, seed, provenance, index, damage, unknown_frames, cache: Mutex::default() }
    }

    /// What the header says.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What is missing.
    pub fn damage(&self) -> &Damage {
        &self.damage
    }

    /// Frames of a kind that this version does not know, passed over. Counted when the file is walked through, which
    /// [`Reader::open_checked`] always does.
    pub fn unknown_frames(&self) -> u64 {
        self.unknown_frames
    }

    /// All sessions by number.
    pub fn sessions(&self) -> &[SessionSummary] {
        self.index.sessions()
    }

    /// Number of exchanges that can be read.
    pub fn exchange_count(&self) -> u64 {
        self.index.exchanges().len() as u64
    }

    /// The highest number of an exchange.
    pub fn last_exchange(&self) -> Option<ExchangeId> {
        self.index.exchanges().last().map(|located| located.entry.id)
    }

    /// Number of different body chunks.
    pub fn chunk_count(&self) -> u64 {
        self.index.chunk_count() as u64
    }

    /// The first start and the last end of any exchange; none when there are no exchanges.
    pub fn span(&self) -> Option<(Nanos, Nanos)> {
        let busy = || self.sessions().iter().filter(|session| session.exchanges > 0);
        Some((busy().map(|session| session.first).min()?, busy().map(|session| session.last).max()?))
    }

    /// What is where.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The names of all chunks, in the order in which they lie in the file.
    pub(super) fn chunk_ids(&self) -> Vec<ChunkId> {
        self.index.chunk_ids()
    }

    /// One session with its exchanges in the order in which they began.
    ///
    /// # Errors
    /// When there is no such session or the file cannot be read.
    pub fn session(&self, id: SessionId) -> Result<Session, CaptureError> {
        let sessions = self.index.sessions();
        let at = sessions.binary_search_by_key(&id, |s| s.info.id).map_err(|_| CaptureError::NoSession(id.0))?;
        let mut located: Vec<&Located> = self.index.of_session(id).collect();
        located.sort_by_key(|l| (self.index.offset(l.place), l.place.slot));
        let mut exchanges = located.into_iter().map(|l| self.read(l)).collect::<Result<Vec<_>, _>>()?;
        exchanges.sort_by_key(|e| (e.timing.started, e.id));
        Ok(Session { info: sessions[at].info.clone(), exchanges })
    }

    /// One exchange.
    ///
    /// # Errors
    /// When there is no such exchange or the file cannot be read.
    pub fn exchange(&self, id: ExchangeId) -> Result<Exchange, CaptureError> {
        self.read(self.index.exchange(id).ok_or(CaptureError::NoExchange(id.0))?)
    }

    /// All exchanges by number; one frame in memory at a time.
    pub fn exchanges(&self) -> Box<dyn Iterator<Item = Result<Exchange, CaptureError>> + '_> {
        Box::new(self.index.exchanges().iter().map(|located| self.read(located)))
    }

    /// Whether the file holds this chunk, by the index alone.
    pub fn has_chunk(&self, id: ChunkId) -> bool {
        self.index.chunk(id).is_some()
    }

    fn read(&self, located: &Located) -> Result<Exchange, CaptureError> {
        let offset = self.index.offset(located.place);
        let frame = self.unpacked(offset, Kind::Exchanges)?;
        let record = frame.record(located.place.slot).ok_or(CaptureError::Damaged { offset })?;
        let exchange = stored::decode_exchange(record)?;
        if exchange.id == located.entry.id { Ok(exchange) } else { Err(CaptureError::Damaged { offset }) }
    }

    /// A frame of the wanted kind, from the cache or the file.
    pub(super) fn unpacked(&self, offset: u64, kind: Kind) -> Result<Arc<Unpacked>, CaptureError> {
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).find(offset);
        if let Some(frame) = cached.filter(|frame| frame.kind == kind) {
            return Ok(frame);
        }
        let (header, stored) = read_frame(&self.file, self.seed, offset)?.ok_or(CaptureError::Damaged { offset })?;
        if header.kind != kind {
            return Err(CaptureError::Damaged { offset });
        }
        let frame = Arc::new(Unpacked::of(&header, stored)?.ok_or(CaptureError::Damaged { offset })?);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).keep(offset, &frame);
        Ok(frame)
    }

    /// The bytes of a chunk, for callers that do not keep them.
    fn with_chunk<T>(&self, id: ChunkId, take: impl FnOnce(&[u8]) -> T) -> Result<T, BodyError> {
        let place = self.index.chunk(id).ok_or(BodyError::Missing(id))?;
        let frame = match self.unpacked(self.index.offset(place), Kind::Chunks) {
            Ok(frame) => frame,
            Err(CaptureError::Io(error) | CaptureError::DiskFull(error)) => return Err(BodyError::Io(error)),
            Err(_) => return Err(BodyError::Missing(id)),
        };
        let named = frame.names.get(place.slot as usize) == Some(&id);
        frame.record(place.slot).filter(|_| named).map(take).ok_or(BodyError::Missing(id))
    }
}

impl BodySource for Reader {
    fn chunk(&self, id: ChunkId) -> Result<Arc<[u8]>, BodyError> {
        self.with_chunk(id, |bytes| Arc::from(bytes))
    }

    /// Unlike the general form this one never trusts the length that the record claims.
    fn load(&self, body: &Body, limit: u64) -> Result<Vec<u8>, BodyError> {
        if body.len > limit {
            return Err(BodyError::TooLarge { len: body.len, limit });
        }
        let len = usize::try_from(body.len).unwrap_or(usize::MAX);
        let mut all = Vec::with_capacity(len.min(body.chunks.len().saturating_mul(CHUNK_BYTES)));
        let lies = || BodyError::Io(std::io::Error::other("the length of a body is not that of its pieces"));
        for &id in &body.chunks {
            self.with_chunk(id, |bytes| all.extend_from_slice(bytes))?;
            if all.len() > len {
                return Err(lies());
            }
        }
        if all.len() == len { Ok(all) } else { Err(lies()) }
    }
}

/// Reads a frame; none when no sound one starts there.
pub(super) fn read_frame(file: &File, seed: u32, offset: u64) -> Result<Option<(FrameHeader, Vec<u8>)>, CaptureError> {
    let mut bytes = [0; HEADER_BYTES];
    let read = read_up_to(file, &mut bytes, offset)?;
    let Some(header) = FrameHeader::parse(&bytes[..read], seed) else { return Ok(None) };
    let mut stored = vec![0; header.stored as usize];
    let read = read_up_to(file, &mut stored, offset.saturating_add(HEADER_BYTES as u64))?;
    stored.truncate(read);
    Ok(header.holds(&stored).then_some((header, stored)))
}

/// A frame whose records can be taken out.
#[derive(Debug)]
pub(super) struct Unpacked {
    kind: Kind,
    plain: Vec<u8>,
    /// Names of the records, when they are chunks.
    names: Vec<ChunkId>,
    places: Vec<Range<usize>>,
}

impl Unpacked {
    /// Unpacks a payload; none when kind or codec is unknown.
    ///
    /// # Errors
    /// `Record` when it is not what its header says.
    pub(super) fn of(header: &FrameHeader, stored: Vec<u8>) -> Result<Option<Self>, CaptureError> {
        let Some(plain) = header.unpack(stored)? else { return Ok(None) };
        let (names, places) = match header.kind {
            Kind::Chunks => chunks::directory(&plain, header.records)?.into_iter().unzip(),
            Kind::Sessions | Kind::Exchanges | Kind::Messages | Kind::Index => {
                (Vec::new(), frame::records(&plain, header.records)?)
            }
            Kind::End | Kind::Other(_) => return Ok(None),
        };
        Ok(Some(Self { kind: header.kind, plain, names, places }))
    }

    /// The names of the chunks in it.
    pub(super) fn names(&self) -> &[ChunkId] {
        &self.names
    }

    /// All records in order.
    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|place| &self.plain[place.clone()])
    }

    fn record(&self, slot: u32) -> Option<&[u8]> {
        self.places.get(slot as usize).map(|place| &self.plain[place.clone()])
    }
}

/// The frames used last, newest at the back.
#[derive(Debug, Default)]
struct Cache {
    frames: VecDeque<(u64, Arc<Unpacked>)>,
    bytes: usize,
}

impl Cache {
    fn find(&mut self, offset: u64) -> Option<Arc<Unpacked>> {
        let at = self.frames.iter().position(|(o, _)| *o == offset)?;
        let hit = self.frames.remove(at)?;
        let frame = hit.1.clone();
        self.frames.push_back(hit);
        Some(frame)
    }

    fn keep(&mut self, offset: u64, frame: &Arc<Unpacked>) {
        if self.frames.iter().any(|(o, _)| *o == offset) {
            return;
        }
        self.bytes += frame.plain.len();
        self.frames.push_back((offset, frame.clone()));
        while self.bytes > CACHE_BYTES && self.frames.len() > 1 {
            if let Some((_, oldest)) = self.frames.pop_front() {
                self.bytes -= oldest.plain.len();
            }
        }
    }
}
