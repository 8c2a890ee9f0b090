//! What an import asks of whoever started it: whether to stop, and where to tell how far it is.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Given by the caller of an import.
pub struct Control<'a> {
    stop: Arc<AtomicBool>,
    progress: &'a mut dyn FnMut(u64),
    /// True when the input grows while it is read: what was read is put into the file at once.
    pub(super) live: bool,
}

impl<'a> Control<'a> {
    /// `stop` ends the import cleanly once it is set; `progress` hears now and then how many bytes of the current input were
    /// read.
    pub fn new(stop: Arc<AtomicBool>, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self { stop, progress, live: false }
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    pub(super) fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }
}

/// A reader that fails once the import is to stop; [`is_stop`] knows that failure.
#[derive(Debug)]
pub(super) struct Stoppable<R> {
    pub(super) inner: R,
    pub(super) stop: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Stop;

/// Whether reading failed because the import is to stop.
pub(super) fn is_stop(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stop>())
}

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Acquire) { Err(io::Error::other(Stop)) } else { self.inner.read(buf) }
    }
}

impl<R: Seek> Seek for Stoppable<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("stop", &self.stop).field("live", &self.live).finish_non_exhaustive()
    }
}
