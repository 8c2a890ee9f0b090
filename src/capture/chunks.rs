//! The payload of a frame of body chunks: a directory of names and lengths, then the bytes. Layout: FORMAT.md.

use std::ops::Range;

use crate::model::{CHUNK_BYTES, ChunkId};

use super::CaptureError;

/// Bytes of one directory entry.
const ENTRY_BYTES: usize = 20;

/// Chunks that will be one frame.
#[derive(Debug, Default)]
pub(super) struct Batch {
    ids: Vec<ChunkId>,
    directory: Vec<u8>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Adds a chunk of at most `CHUNK_BYTES`.
    pub(super) fn push(&mut self, id: ChunkId, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).expect("a chunk is at most 64 KiB");
        self.ids.push(id);
        self.directory.extend_from_slice(&id.0);
        self.directory.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    /// Length of the payload so far.
    pub(super) fn len(&self) -> usize {
        self.directory.len() + self.bytes.len()
    }

    /// The payload and the names in it; none when there are no chunks.
    pub(super) fn take(&mut self) -> Option<(Vec<u8>, Vec<ChunkId>)> {
        let Self { ids, directory: mut payload, bytes } = std::mem::take(self);
        payload.extend_from_slice(&bytes);
        (!ids.is_empty()).then_some((payload, ids))
    }
}

/// The chunks of an unpacked payload: names, and where their bytes are.
///
/// # Errors
/// `Record` when the directory does not fit the payload.
pub(super) fn directory(plain: &[u8], count: u32) -> Result<Vec<(ChunkId, Range<usize>)>, CaptureError> {
    let entries_end = (count as usize).checked_mul(ENTRY_BYTES).ok_or(CaptureError::Record)?;
    let entries = plain.get(..entries_end).ok_or(CaptureError::Record)?;
    let mut found = Vec::with_capacity(count as usize);
    let mut at = entries_end;
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let mut id = [0; 16];
        id.copy_from_slice(&entry[..16]);
        let len = u32::from_le_bytes([entry[16], entry[17], entry[18], entry[19]]) as usize;
        let end = at.saturating_add(len);
        if len > CHUNK_BYTES || end > plain.len() {
            return Err(CaptureError::Record);
        }
        found.push((ChunkId(id), at..end));
        at = end;
    }
    if at == plain.len() { Ok(found) } else { Err(CaptureError::Record) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_does_not_fit_is_refused() {
        let mut batch = Batch::default();
        batch.push(ChunkId([1; 16]), b"abc");
        batch.push(ChunkId([2; 16]), b"");
        let (payload, ids) = batch.take().unwrap();
        assert_eq!(ids.len(), 2);
        let found = directory(&payload, 2).unwrap();
        assert_eq!(found, [(ChunkId([1; 16]), 40..43), (ChunkId([2; 16]), 43..43)]);
        for count in [0, 1, 3, u32::MAX] {
            assert!(directory(&payload, count).is_err(), "{count}");
        }
        assert!(directory(&payload[..42], 2).is_err());
        let mut long = payload.clone();
        long[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(directory(&long, 2).is_err());
    }
}
