//! Writes a capture: records go into batches, batches into frames, frames to the end of the file.

use std::path::Path;

use crate::model::{Body, ChunkId, Exchange, SessionInfo};

use super::{CaptureError, Provenance};

/// Appends to a capture. Not shared: the recorder gives it a thread of its own.
#[derive(Debug)]
pub struct Writer {
    _private: (),
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
    /// Bytes of bodies as they came.
    pub body_bytes: u64,
    /// Length of the file in bytes.
    pub file_bytes: u64,
}

impl Writer {
    /// Creates the file (mode 0600; an existing one is replaced) and writes its header.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(_path: &Path, _provenance: &Provenance) -> Result<Self, CaptureError> {
        todo!()
    }

    /// Stores a session's description.
    ///
    /// # Errors
    /// When the file cannot be written. After an error the writer stays usable: what failed is tried again at the next flush.
    pub fn session(&mut self, _info: &SessionInfo) -> Result<(), CaptureError> {
        todo!()
    }

    /// Stores one chunk of at most `CHUNK_BYTES` unless it is there already; returns its name.
    ///
    /// # Errors
    /// As for [`Writer::session`].
    pub fn chunk(&mut self, _bytes: &[u8]) -> Result<ChunkId, CaptureError> {
        todo!()
    }

    /// Stores an exchange, whose chunks were stored before.
    ///
    /// # Errors
    /// As for [`Writer::session`].
    pub fn exchange(&mut self, _exchange: &Exchange) -> Result<(), CaptureError> {
        todo!()
    }

    /// Puts everything accepted so far into the file: it survives `kill -9` of this process from here on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        todo!()
    }

    /// Flushes, writes the index, syncs the file to disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self) -> Result<Summary, CaptureError> {
        todo!()
    }
}

/// Cuts a body that arrives in pieces of any size into chunks, holding one chunk at most.
#[derive(Debug, Default)]
pub struct BodyWriter {
    _private: (),
}

impl BodyWriter {
    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn push(&mut self, _writer: &mut Writer, _bytes: &[u8]) -> Result<(), CaptureError> {
        todo!()
    }

    /// Stores the rest and names the body.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(self, _writer: &mut Writer) -> Result<Body, CaptureError> {
        todo!()
    }
}
