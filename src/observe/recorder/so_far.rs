//! Exchanges that are told before they are over, so that a long one is in the file although nobody lives to see its end.

use std::time::Duration;

use crate::capture::CaptureError;
use crate::model::{Incomplete, Nanos, Side};

use super::{Draft, Recorder};

/// What goes on for less is told at its end only.
const LONG: Duration = Duration::from_secs(1);
/// It is told again when its bodies have doubled, and grown by this many bytes at the least.
const MUCH_MORE_BYTES: u64 = 4 << 20;

impl Recorder {
    /// Tells an exchange that has gone on for long as it is at `now`; its last record replaces this one (FORMAT.md). What may
    /// yet be left out is not told.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub(in crate::observe) fn tell_so_far(&mut self, draft: &mut Draft, now: Nanos) -> Result<(), CaptureError> {
        let decided = draft.exchange.response.is_some() || draft.exchange.request.method == "CONNECT";
        let long = now.since(draft.exchange.timing.started) >= LONG;
        if draft.takes_no_more() || !decided || !long {
            return Ok(());
        }
        let stored = draft.request_body.stored().len.saturating_add(draft.response_body.stored().len);
        if draft.told.is_some_and(|told| stored < told.saturating_mul(2).saturating_add(MUCH_MORE_BYTES)) {
            return Ok(());
        }
        let mut exchange = draft.exchange.clone();
        if let Some(redactor) = &mut self.redactor {
            redactor.exchange_so_far(&mut exchange);
        }
        exchange.request.body = draft.stored_body(Side::Request).stored().clone();
        if let Some(response) = &mut exchange.response {
            response.body = draft.stored_body(Side::Response).stored().clone();
        }
        exchange.timing.finished = exchange.timing.finished.max(now);
        exchange.incomplete.get_or_insert_with(|| {
            Incomplete::NotRecorded("its end, as it was under way when this was written".to_owned())
        });
        self.writer.exchange_so_far(&exchange)?;
        draft.told = Some(stored);
        Ok(())
    }
}
