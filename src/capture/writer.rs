//! Writes a capture: records go into batches, batches into frames, frames to the end of the file.

use std::collections::HashSet;
use std::fs::{OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::model::{CHUNK_BYTES, ChunkId, Exchange, ExchangeId, Message, SessionInfo};

use super::frame::{self, Kind, Sealer};
use super::index::{ExchangeEntry, MessageEntry, Segment};
use super::log::{Log, Storage};
use super::recent::Recent;
use super::{CaptureError, Provenance, chunks, header, stored};

/// A batch of chunks becomes a frame at this size.
const CHUNK_BATCH_BYTES: usize = 1 << 20;

/// A batch of exchanges, messages or sessions becomes a frame at this size; smaller than that of chunks because one
/// exchange is read by unpacking its frame.
const RECORD_BATCH_BYTES: usize = 256 << 10;

/// A segment of the index is written when its record would reach this size.
const SEGMENT_BYTES: usize = 256 << 10;

/// No segment is much larger than this, even when many frames waited for a disk.
const MAX_SEGMENT_BYTES: usize = 4 << 20;

/// What may wait in memory for a disk that does not take it.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// Chunk names remembered for recognising equal chunks, in each of two generations.
const REMEMBERED_CHUNKS: usize = 1 << 19;

/// Whether frames are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Where it saves room.
    Zstd,
    /// Never: the bytes of the file depend on its content alone, not on the version of a compressor.
    None,
}

/// Appends to a capture. Not shared: the recorder gives it a thread of its own. Dropping it flushes, but only
/// [`Writer::finish`] writes the last of the index.
#[derive(Debug)]
pub struct Writer {
    log: Log<Held>,
    sealer: Sealer,
    chunks: chunks::Batch,
    sessions: Batch<SessionInfo>,
    messages: Batch<(ExchangeId, u32)>,
    exchanges: Batch<ExchangeEntry>,
    segment: Segment,
    recent: Recent,
    remembered: Remembered,
    /// Room for one record.
    record: Vec<u8>,
    known_sessions: HashSet<u32>,
    summary: Summary,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sessions.
    pub sessions: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// Exchanges that are marked incomplete.
    pub incomplete: u64,
    /// Messages inside exchanges.
    pub messages: u64,
    /// Bytes of bodies as they came.
    pub body_bytes: u64,
    /// Length of the file in bytes.
    pub file_bytes: u64,
}

impl Writer {
    /// Creates the file (mode 0600; an existing one is replaced) and writes its header.
    ///
    /// # Errors
    /// When the file cannot be created, or another writer has it open.
    pub fn create(path: &Path, provenance: &Provenance) -> Result<Self, CaptureError> {
        Self::create_with(path, provenance, Compression::Zstd)
    }

    /// Like [`Writer::create`], with a choice of compression.
    ///
    /// # Errors
    /// As for [`Writer::create`].
    pub fn create_with(path: &Path, provenance: &Provenance, compression: Compression) -> Result<Self, CaptureError> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(CaptureError::Io(io::Error::other("another program is writing to it")));
            }
            // A file system without locks loses this protection and nothing else.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        file.set_len(0)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Self::over(Box::new(file), provenance, compression)
    }

    /// Writes to any storage.
    pub(super) fn over(
        storage: Box<dyn Storage>,
        provenance: &Provenance,
        compression: Compression,
    ) -> Result<Self, CaptureError> {
        let (bytes, seed) = header::encode(header::CURRENT, provenance);
        let mut log = Log::new(storage);
        log.push(bytes, Held::Nothing);
        log.write_next()?;
        Ok(Self {
            log,
            sealer: Sealer::new(seed, compression == Compression::Zstd),
            chunks: chunks::Batch::default(),
            sessions: Batch::default(),
            messages: Batch::default(),
            exchanges: Batch::default(),
            segment: Segment::default(),
            recent: Recent::default(),
            remembered: Remembered::default(),
            record: Vec::new(),
            known_sessions: HashSet::new(),
            summary: Summary::default(),
        })
    }

    /// Stores a session's description; a later one replaces an earlier one of the same number.
    ///
    /// # Errors
    /// When the file cannot be written and no more can wait in memory: this session was not taken. The writer stays usable;
    /// what it had taken before is tried again at the next flush.
    pub fn session(&mut self, info: &SessionInfo) -> Result<(), CaptureError> {
        let record = stored::encode_session(info)?;
        self.make_room(record.len())?;
        self.sessions.push(&record, info.clone());
        if self.known_sessions.insert(info.id.0) {
            self.summary.sessions += 1;
        }
        self.write_full_batches();
        Ok(())
    }

    /// Stores one chunk of at most `CHUNK_BYTES` unless it is there already; returns its name.
    ///
    /// # Errors
    /// As for [`Writer::session`]; `TooLarge` when it is longer than a chunk may be.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<ChunkId, CaptureError> {
        if bytes.len() > CHUNK_BYTES {
            return Err(CaptureError::TooLarge { bytes: bytes.len() as u64 });
        }
        if let Some(id) = self.recent.name(bytes) {
            return Ok(id);
        }
        let id = ChunkId::of(bytes);
        if !self.remembered.contains(id) {
            self.make_room(bytes.len())?;
            self.chunks.push(id, bytes);
            self.remembered.insert(id);
            self.write_full_batches();
        }
        self.recent.hold(id, bytes);
        Ok(id)
    }

    /// Stores an exchange, whose chunks were stored before; a later one replaces an earlier one of the same number.
    ///
    /// # Errors
    /// As for [`Writer::session`]; `TooLarge` or `Record` when no capture can hold it.
    pub fn exchange(&mut self, exchange: &Exchange) -> Result<(), CaptureError> {
        self.exchange_so_far(exchange)?;
        self.summary.exchanges += 1;
        self.summary.incomplete += u64::from(exchange.incomplete.is_some());
        let answers = exchange.interim.iter().chain(&exchange.response);
        let body_bytes = answers.map(|response| response.body.len).sum::<u64>() + exchange.request.body.len;
        self.summary.body_bytes = self.summary.body_bytes.saturating_add(body_bytes);
        Ok(())
    }

    /// Stores an exchange of which a later record will follow, and does not count it.
    ///
    /// # Errors
    /// As for [`Writer::exchange`].
    pub fn exchange_so_far(&mut self, exchange: &Exchange) -> Result<(), CaptureError> {
        stored::encode_exchange(exchange, &mut self.record)?;
        self.make_room(self.record.len())?;
        let Exchange { id, session, timing, .. } = *exchange;
        let entry = ExchangeEntry { id, session, started: timing.started, finished: timing.finished };
        self.exchanges.push(&self.record, entry);
        self.write_full_batches();
        Ok(())
    }

    /// Stores a message of an exchange that is stored later; the message's chunks were stored before. A later one replaces
    /// an earlier one of the same exchange and number.
    ///
    /// # Errors
    /// As for [`Writer::exchange`].
    pub fn message(&mut self, message: &Message) -> Result<(), CaptureError> {
        stored::encode_message(message, &mut self.record)?;
        self.make_room(self.record.len())?;
        self.messages.push(&self.record, (message.exchange, message.number));
        self.summary.messages += 1;
        self.write_full_batches();
        Ok(())
    }

    /// Puts everything accepted so far into the file: it survives `kill -9` of this process from here on.
    ///
    /// # Errors
    /// When the file cannot be written. Nothing accepted is lost: it waits in memory for the next flush.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        self.seal_everything();
        self.write_waiting()
    }

    /// What was written so far, less what waits in memory.
    pub fn summary(&self) -> Summary {
        Summary { file_bytes: self.log.len(), ..self.summary.clone() }
    }

    /// Flushes, writes the index, syncs the file to disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<Summary, CaptureError> {
        self.flush()?;
        while !self.segment.is_empty() {
            self.seal_segment()?;
            self.write_waiting()?;
        }
        let end = self.sealer.seal(Kind::End, 1, &self.segment.previous.to_le_bytes());
        self.log.push(end, Held::Nothing);
        self.write_waiting()?;
        self.log.sync()?;
        Ok(self.summary())
    }

    /// Bytes in memory that are not in the file.
    fn waiting_bytes(&self) -> usize {
        let records = self.sessions.payload.len() + self.messages.payload.len() + self.exchanges.payload.len();
        self.log.queued_bytes() + self.chunks.len() + records
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), CaptureError> {
        if self.waiting_bytes() + bytes > MAX_WAITING_BYTES + CHUNK_BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// An error here is not lost: what failed goes on waiting, and `make_room` or `flush` meets the same disk.
    fn write_full_batches(&mut self) {
        if self.exchanges.payload.len().max(self.sessions.payload.len()) >= RECORD_BATCH_BYTES {
            self.seal_everything();
        } else if self.messages.payload.len() >= RECORD_BATCH_BYTES {
            self.seal_chunks();
            self.seal_messages();
        } else if self.chunks.len() >= CHUNK_BATCH_BYTES {
            self.seal_chunks();
        } else {
            return;
        }
        let _ = self.write_waiting();
    }

    /// Chunks before the messages and exchanges that name them, messages before their exchanges: what a reader finds, it
    /// finds whole.
    fn seal_everything(&mut self) {
        self.seal_chunks();
        if let Some((bytes, held)) = self.sessions.seal(&mut self.sealer, Kind::Sessions) {
            self.log.push(bytes, Held::Sessions(held));
        }
        self.seal_messages();
        if let Some((bytes, held)) = self.exchanges.seal(&mut self.sealer, Kind::Exchanges) {
            self.log.push(bytes, Held::Exchanges(held));
        }
    }

    fn seal_chunks(&mut self) {
        if let Some((payload, ids)) = self.chunks.take() {
            let bytes = self.sealer.seal(Kind::Chunks, ids.len(), &payload);
            self.log.push(bytes, Held::Chunks(ids));
        }
    }

    fn seal_messages(&mut self) {
        if let Some((bytes, held)) = self.messages.seal(&mut self.sealer, Kind::Messages) {
            self.log.push(bytes, Held::Messages(MessageEntry::group(held)));
        }
    }

    fn seal_segment(&mut self) -> Result<(), CaptureError> {
        let piece = self.segment.take(MAX_SEGMENT_BYTES);
        let record = match stored::encode_segment(&piece) {
            Ok(record) => record,
            Err(error) => {
                self.segment.put_back(piece);
                return Err(error);
            }
        };
        let mut payload = Vec::with_capacity(record.len() + 4);
        frame::push_record(&mut payload, &record);
        let bytes = self.sealer.seal(Kind::Index, 1, &payload);
        self.log.push(bytes, Held::Segment);
        Ok(())
    }

    fn write_waiting(&mut self) -> Result<(), CaptureError> {
        while let Some((offset, held)) = self.log.write_next()? {
            match held {
                Held::Chunks(ids) => self.segment.chunk_frames.push((offset, ids)),
                Held::Messages(entries) => self.segment.message_frames.push((offset, entries)),
                Held::Exchanges(entries) => self.segment.exchange_frames.push((offset, entries)),
                Held::Sessions(infos) => self.segment.sessions.extend(infos),
                Held::Segment => self.segment.previous = offset,
                Held::Nothing => {}
            }
            // The frames that wait behind a segment are part of the next one.
            if self.segment.estimated_bytes() >= SEGMENT_BYTES && self.log.queued_bytes() == 0 {
                self.seal_segment()?;
            }
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// What a waiting frame holds, for the index.
#[derive(Debug)]
enum Held {
    Chunks(Vec<ChunkId>),
    Sessions(Vec<SessionInfo>),
    Messages(Vec<MessageEntry>),
    Exchanges(Vec<ExchangeEntry>),
    Segment,
    Nothing,
}

/// Records that will be one frame.
#[derive(Debug)]
struct Batch<T> {
    payload: Vec<u8>,
    held: Vec<T>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { payload: Vec::new(), held: Vec::new() }
    }
}

impl<T> Batch<T> {
    fn push(&mut self, record: &[u8], held: T) {
        frame::push_record(&mut self.payload, record);
        self.held.push(held);
    }

    /// The frame of all records, and what they are; none when there are none.
    fn seal(&mut self, sealer: &mut Sealer, kind: Kind) -> Option<(Vec<u8>, Vec<T>)> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return None;
        }
        let frame = sealer.seal(kind, held.len(), &self.payload);
        self.payload.clear();
        self.payload.shrink_to(2 * RECORD_BATCH_BYTES);
        Some((frame, held))
    }
}

/// The chunks that are known to be in the file: at most two generations, so that memory is bounded. A forgotten chunk is
/// stored a second time, which costs room and nothing else.
#[derive(Debug, Default)]
struct Remembered {
    young: HashSet<ChunkId>,
    old: HashSet<ChunkId>,
}

impl Remembered {
    fn contains(&mut self, id: ChunkId) -> bool {
        if self.young.contains(&id) {
            return true;
        }
        let known = self.old.contains(&id);
        if known {
            self.insert(id);
        }
        known
    }

    fn insert(&mut self, id: ChunkId) {
        if self.young.len() >= REMEMBERED_CHUNKS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id);
    }
}
