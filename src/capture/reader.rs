//! Reads a capture, whole, torn or still being written.

use std::path::Path;
use std::sync::Arc;

use crate::model::{BodyError, BodySource, ChunkId, Exchange, ExchangeId, Nanos, Session, SessionId, SessionInfo};

use super::{CaptureError, Provenance};

/// An open capture. Holds the index, not the content; can be shared between threads.
#[derive(Debug)]
pub struct Reader {
    _private: (),
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
    /// True when the file has no index: it was not closed properly, or is still being written.
    pub unfinished: bool,
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
    /// Opens a capture; rebuilds the index when it is missing.
    ///
    /// # Errors
    /// When the file cannot be opened, is no capture, or is from a newer major version.
    pub fn open(_path: &Path) -> Result<Self, CaptureError> {
        todo!()
    }

    /// What the header says.
    pub fn provenance(&self) -> &Provenance {
        todo!()
    }

    /// What is missing.
    pub fn damage(&self) -> &Damage {
        todo!()
    }

    /// All sessions by number.
    pub fn sessions(&self) -> &[SessionSummary] {
        todo!()
    }

    /// One session with its exchanges in the order in which they began.
    ///
    /// # Errors
    /// When there is no such session or the file cannot be read.
    pub fn session(&self, _id: SessionId) -> Result<Session, CaptureError> {
        todo!()
    }

    /// One exchange.
    ///
    /// # Errors
    /// When there is no such exchange or the file cannot be read.
    pub fn exchange(&self, _id: ExchangeId) -> Result<Exchange, CaptureError> {
        todo!()
    }

    /// All exchanges by number; one frame in memory at a time.
    pub fn exchanges(&self) -> Box<dyn Iterator<Item = Result<Exchange, CaptureError>> + '_> {
        todo!()
    }
}

impl BodySource for Reader {
    fn chunk(&self, _id: ChunkId) -> Result<Arc<[u8]>, BodyError> {
        todo!()
    }
}
