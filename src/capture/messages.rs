//! Reads messages: those of one exchange by the index, or all in the order of the file.

use crate::model::{ExchangeId, Message};

use super::frame::Kind;
use super::{CaptureError, Reader, stored};

impl Reader {
    /// Number of messages inside exchanges.
    pub fn message_count(&self) -> u64 {
        count(self.index().messages().iter().map(|at| at.entry.count))
    }

    /// Number of messages of one exchange, by the index alone.
    pub fn message_count_of(&self, exchange: ExchangeId) -> u64 {
        count(self.index().messages_of(exchange).iter().map(|at| at.entry.count))
    }

    /// The messages of one exchange by number; only the frames that hold some are read. Messages of a kind that a later
    /// version knows are left out.
    ///
    /// # Errors
    /// When the file cannot be read, or does not hold what its index says.
    pub fn messages(&self, exchange: ExchangeId) -> Result<Vec<Message>, CaptureError> {
        let mut found = Vec::new();
        for at in self.index().messages_of(exchange) {
            let offset = self.index().message_offset(at);
            let frame = self.unpacked(offset, Kind::Messages)?;
            let mut read = 0;
            for record in frame.records().filter(|r| stored::owner(r).is_ok_and(|(owner, _)| owner == exchange)) {
                // One that cannot be decoded is in the damage already when it is not in the count.
                if let Ok(message) = stored::decode_message(record) {
                    found.extend(message);
                    read += 1;
                }
            }
            if read < at.entry.count {
                return Err(CaptureError::Damaged { offset });
            }
        }
        // Of two with one number the later counts: it comes first in the reversed order, and stays there.
        found.reverse();
        found.sort_by_key(|message| message.number);
        found.dedup_by_key(|message| message.number);
        Ok(found)
    }

    /// Shows all messages in the order of the file, one frame in memory at a time. Returns how many cannot be read.
    pub(super) fn each_message(
        &self,
        mut visit: impl FnMut(Message) -> Result<(), CaptureError>,
    ) -> Result<u64, CaptureError> {
        let mut unreadable = 0;
        for offset in self.index().message_frames() {
            let frame = match self.unpacked(offset, Kind::Messages) {
                Ok(frame) => frame,
                Err(error @ (CaptureError::Io(_) | CaptureError::DiskFull(_))) => return Err(error),
                Err(_) => {
                    unreadable += 1;
                    continue;
                }
            };
            for record in frame.records() {
                match stored::decode_message(record) {
                    Ok(Some(message)) => visit(message)?,
                    Ok(None) => {}
                    Err(_) => unreadable += 1,
                }
            }
        }
        Ok(unreadable)
    }
}

fn count(counts: impl Iterator<Item = u32>) -> u64 {
    counts.fold(0, |sum, count| sum.saturating_add(u64::from(count)))
}
