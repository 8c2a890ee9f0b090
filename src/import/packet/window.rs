//! The part of a stream that is held in memory: grows for a long record up to a bound, moves bytes only when it must.

use std::io::{self, Read};

/// Held at first.
const FIRST_BYTES: usize = 64 * 1024;
/// Held once that was too little; a read asks for what is free of it. So much stays in the caches of a processor until it is
/// read.
const USUAL_BYTES: usize = 256 * 1024;

/// A window that slides over what `reader` gives.
#[derive(Debug)]
pub(super) struct Window<R> {
    pub(super) reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
}

impl<R: Read> Window<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), start: 0, end: 0, offset: 0 }
    }

    /// Where in the stream the window begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What is held.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads until at least `count` bytes are held. False at the end of the stream: what there is, is held then.
    #[inline]
    pub(super) fn hold(&mut self, count: usize) -> io::Result<bool> {
        if self.end - self.start >= count { Ok(true) } else { self.fill(count) }
    }

    fn fill(&mut self, count: usize) -> io::Result<bool> {
        if self.end == self.buffer.len() && self.buffer.len() < USUAL_BYTES {
            self.grow(if self.buffer.is_empty() { FIRST_BYTES } else { USUAL_BYTES });
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < count {
            if self.end == self.buffer.len() {
                // Doubles with the bytes that really came, so that a length alone takes no memory.
                self.grow(count.min(self.buffer.len() * 2));
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(got) => self.end += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// New memory is all zeros already: cheaper than to write them.
    fn grow(&mut self, bytes: usize) {
        let mut grown = vec![0; bytes];
        grown[..self.end].copy_from_slice(&self.buffer[..self.end]);
        self.buffer = grown;
    }

    /// Lets go of held bytes.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// Lets go of everything held and of `count` bytes behind that the reader was moved past.
    pub(super) fn moved(&mut self, count: u64) {
        self.consume(self.end - self.start);
        self.offset = self.offset.saturating_add(count);
    }
}
