//! Byte buffers lent to whoever is reading or writing: a user who waits holds none.

use std::cell::RefCell;

/// Length of a fresh read buffer.
const READ_BYTES: usize = 16 * 1024;
/// A longer buffer is not kept.
const KEEP_BYTES: usize = 128 * 1024;
/// So many are kept.
const KEEP: usize = 64;

/// The spare buffers of one thread.
#[derive(Debug, Default)]
pub struct Buffers {
    reads: RefCell<Vec<Vec<u8>>>,
    writes: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A buffer to read into: its length is what may be filled, its content is arbitrary.
    pub fn for_reading(&self) -> Vec<u8> {
        self.reads.borrow_mut().pop().unwrap_or_else(|| vec![0; READ_BYTES])
    }

    /// An empty buffer to write from.
    pub fn for_writing(&self) -> Vec<u8> {
        self.writes.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a read buffer back.
    pub fn done_reading(&self, buffer: Vec<u8>) {
        let mut spare = self.reads.borrow_mut();
        if buffer.len() >= READ_BYTES && buffer.len() <= KEEP_BYTES && spare.len() < KEEP {
            spare.push(buffer);
        }
    }

    /// Takes a write buffer back.
    pub fn done_writing(&self, mut buffer: Vec<u8>) {
        let mut spare = self.writes.borrow_mut();
        if buffer.capacity() <= KEEP_BYTES && spare.len() < KEEP {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
