//! Bodies of any length on their way into a capture, one chunk in memory at a time.

use crate::model::{Body, CHUNK_BYTES};

use super::{CaptureError, Writer};

/// Cuts a body that arrives in pieces of any size into chunks, holding one chunk at most.
///
/// When the writer refuses a chunk the body ends before it: the error is returned once, later bytes are passed over, and
/// [`BodyWriter::finish`] names what was stored. Whoever got the error marks the exchange.
#[derive(Debug, Default)]
pub struct BodyWriter {
    body: Body,
    pending: Vec<u8>,
    ended: bool,
}

impl BodyWriter {
    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// When the writer fails; the body ends here.
    pub fn push(&mut self, writer: &mut Writer, mut bytes: &[u8]) -> Result<(), CaptureError> {
        while !bytes.is_empty() && !self.ended {
            if self.pending.is_empty() && bytes.len() >= CHUNK_BYTES {
                let (chunk, rest) = bytes.split_at(CHUNK_BYTES);
                self.store(writer, chunk)?;
                bytes = rest;
                continue;
            }
            let (head, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.pending.len()));
            self.pending.extend_from_slice(head);
            bytes = rest;
            if self.pending.len() == CHUNK_BYTES {
                self.store_pending(writer)?;
            }
        }
        Ok(())
    }

    /// Takes the last bytes of the body, which then need not wait for more.
    ///
    /// # Errors
    /// As for [`BodyWriter::push`].
    pub fn push_last(&mut self, writer: &mut Writer, bytes: &[u8]) -> Result<(), CaptureError> {
        if self.ended || !self.pending.is_empty() {
            return self.push(writer, bytes);
        }
        bytes.chunks(CHUNK_BYTES).try_for_each(|chunk| self.store(writer, chunk))
    }

    /// Bytes that wait in memory for a chunk to fill.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Stores what waits as a chunk shorter than usual, to let go of its memory.
    ///
    /// # Errors
    /// When the writer fails; the body ends here.
    pub fn let_go(&mut self, writer: &mut Writer) -> Result<(), CaptureError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.pending);
        self.store(writer, &chunk)
    }

    /// Stores the rest and names the body.
    ///
    /// # Errors
    /// When the writer fails. [`BodyWriter::stored`] before this call names what is safe.
    pub fn finish(mut self, writer: &mut Writer) -> Result<Body, CaptureError> {
        if !self.pending.is_empty() {
            self.store_pending(writer)?;
        }
        Ok(self.body)
    }

    /// The body as far as it is stored, without what waits for a chunk to fill.
    pub fn stored(&self) -> &Body {
        &self.body
    }

    fn store_pending(&mut self, writer: &mut Writer) -> Result<(), CaptureError> {
        let chunk = std::mem::take(&mut self.pending);
        let stored = self.store(writer, &chunk);
        self.pending = chunk;
        self.pending.clear();
        stored
    }

    fn store(&mut self, writer: &mut Writer, chunk: &[u8]) -> Result<(), CaptureError> {
        match writer.chunk(chunk) {
            Ok(id) => {
                self.body.chunks.push(id);
                self.body.len += chunk.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }
}
