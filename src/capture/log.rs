//! The end of the file that is being written: frames wait here, go out in order, and a failed write leaves no trace.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What frames are written to.
pub(super) trait Storage: Send + std::fmt::Debug {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Waits until everything is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// A queue of whole pieces in front of an append-only file. `T` says what a piece holds.
#[derive(Debug)]
pub(super) struct Log<T> {
    storage: Box<dyn Storage>,
    /// Length of the file up to which it is known to be sound.
    good: u64,
    /// A failed write may have left bytes behind `good`.
    dirty: bool,
    queue: VecDeque<(Vec<u8>, T)>,
    queued_bytes: usize,
}

impl<T> Log<T> {
    /// An empty file.
    pub(super) fn new(storage: Box<dyn Storage>) -> Self {
        Self { storage, good: 0, dirty: false, queue: VecDeque::new(), queued_bytes: 0 }
    }

    /// Puts a piece behind those that wait.
    pub(super) fn push(&mut self, bytes: Vec<u8>, holds: T) {
        self.queued_bytes += bytes.len();
        self.queue.push_back((bytes, holds));
    }

    /// Bytes that wait.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Length of the sound file.
    pub(super) fn len(&self) -> u64 {
        self.good
    }

    /// Writes the first piece that waits; returns where it is and what it holds, or none when nothing waits.
    ///
    /// # Errors
    /// When the file cannot be written. The piece goes on waiting, and the file is cut back to whole pieces.
    pub(super) fn write_next(&mut self) -> io::Result<Option<(u64, T)>> {
        let Some((bytes, _)) = self.queue.front() else { return Ok(None) };
        if self.dirty {
            self.storage.truncate(self.good)?;
            self.dirty = false;
        }
        if let Err(error) = self.storage.write_at(bytes, self.good) {
            self.dirty = self.storage.truncate(self.good).is_err();
            return Err(error);
        }
        let offset = self.good;
        let Some((bytes, holds)) = self.queue.pop_front() else { return Ok(None) };
        self.queued_bytes -= bytes.len();
        self.good += bytes.len() as u64;
        Ok(Some((offset, holds)))
    }

    /// Waits until the file is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.storage.sync()
    }
}
