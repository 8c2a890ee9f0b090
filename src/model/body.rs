//! Bodies by name: a body is a list of chunk ids; whoever holds the bytes is a `BodySource`.

use std::collections::HashMap;
use std::sync::Arc;

/// Length at which a body is cut into chunks. Equal chunks have equal ids and are stored once.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// The name of a chunk: the first 16 bytes of its BLAKE3 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub [u8; 16]);

/// A message body as it was on the wire less the transfer coding (content codings are kept).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Body {
    /// The pieces in order, mostly of `CHUNK_BYTES` each but the last, never longer.
    pub chunks: Vec<ChunkId>,
    /// Length of all pieces together, in bytes.
    pub len: u64,
}

impl Body {
    /// No bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Why the bytes of a body cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// A chunk was lost (damaged frame, torn tail).
    #[error("a piece of the body is missing from the capture")]
    Missing(ChunkId),
    /// Longer than the caller can use.
    #[error("body of {len} bytes is over the limit of {limit}")]
    TooLarge {
        /// Length of the body in bytes.
        len: u64,
        /// What the caller allowed, in bytes.
        limit: u64,
    },
    /// The file could not be read.
    #[error("cannot read the capture")]
    Io(#[source] std::io::Error),
}

/// Something that holds chunks: a capture, or memory.
pub trait BodySource {
    /// The bytes of one chunk.
    ///
    /// # Errors
    /// When the chunk is not there or cannot be read.
    fn chunk(&self, id: ChunkId) -> Result<Arc<[u8]>, BodyError>;

    /// All bytes of a body that is at most `limit` bytes long.
    ///
    /// # Errors
    /// When it is longer, or a chunk cannot be had.
    fn load(&self, body: &Body, limit: u64) -> Result<Vec<u8>, BodyError> {
        if body.len > limit {
            return Err(BodyError::TooLarge { len: body.len, limit });
        }
        let mut all = Vec::with_capacity(usize::try_from(body.len).unwrap_or(0));
        for &id in &body.chunks {
            all.extend_from_slice(&self.chunk(id)?);
        }
        Ok(all)
    }
}

/// Chunks in memory, for tests and small inputs.
#[derive(Debug, Default)]
pub struct MemoryBodies {
    chunks: HashMap<ChunkId, Arc<[u8]>>,
}

impl MemoryBodies {
    /// Keeps `bytes` and returns the body that names them.
    pub fn add(&mut self, bytes: &[u8]) -> Body {
        let mut body = Body::default();
        for piece in bytes.chunks(CHUNK_BYTES) {
            let id = ChunkId::of(piece);
            self.chunks.insert(id, piece.into());
            body.chunks.push(id);
            body.len += piece.len() as u64;
        }
        body
    }
}

impl BodySource for MemoryBodies {
    fn chunk(&self, id: ChunkId) -> Result<Arc<[u8]>, BodyError> {
        self.chunks.get(&id).cloned().ok_or(BodyError::Missing(id))
    }
}

impl ChunkId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        Self(id)
    }
}
