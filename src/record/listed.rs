//! An exchange as the live list shows it, and how many of them an operator is told: what nobody could read is counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::{Exchange, Nanos, Remark, SessionId};

/// Most exchanges that are told between two pauses of the writer thread.
const MOST_AT_ONCE: u64 = 200;
/// Places among the waiting notices that exchanges leave to what matters more.
pub(super) const RESERVE: usize = 64;
/// Longest target that is told; nobody has a wider screen.
const TARGET_BYTES: usize = 1024;

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// When its request began.
    pub started: Nanos,
    /// From then to its end.
    pub took: Nanos,
    /// Whose it is.
    pub session: SessionId,
    /// Method as on the wire.
    pub method: String,
    /// Host, and the port unless it is the scheme's default.
    pub host: String,
    /// Path and query as on the wire, cut when very long.
    pub target: Vec<u8>,
    /// Of the final response, if it came.
    pub status: Option<u16>,
    /// Length of the response's body.
    pub bytes: u64,
    /// Why it is not whole.
    pub incomplete: Option<String>,
    /// Which browser noise it is.
    pub noise: Option<String>,
}

impl Listed {
    /// What the list shows of an exchange.
    pub(super) fn of(exchange: &Exchange) -> Self {
        let (request, timing) = (&exchange.request, &exchange.timing);
        Self {
            started: timing.started,
            took: Nanos::from_duration(timing.finished.since(timing.started)),
            session: exchange.session,
            method: request.method.clone(),
            host: request.origin.authority(),
            target: request.target[..request.target.len().min(TARGET_BYTES)].to_vec(),
            status: exchange.response.as_ref().map(|response| response.status),
            bytes: exchange.response.as_ref().map_or(0, |response| response.body.len),
            incomplete: exchange.incomplete.as_ref().map(ToString::to_string),
            noise: exchange.remarks.iter().find_map(Remark::as_noise).map(str::to_owned),
        }
    }
}

/// How many lines there were since the last pause.
#[derive(Debug, Default)]
pub(super) struct Listing {
    wanted: AtomicBool,
    told: AtomicU64,
    left_out: AtomicU64,
}

impl Listing {
    /// Somebody looks from now on.
    pub(super) fn start(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether one more can be told where there is `room` for so many notices; when not, it is counted.
    pub(super) fn admits(&self, room: usize) -> bool {
        if !self.wanted.load(Ordering::Relaxed) {
            return false;
        }
        let admitted = room > RESERVE && self.told.fetch_add(1, Ordering::Relaxed) < MOST_AT_ONCE;
        if !admitted {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// A pause: how many were left out before it.
    pub(super) fn pause(&self) -> Option<u64> {
        self.told.store(0, Ordering::Relaxed);
        Some(self.left_out.swap(0, Ordering::Relaxed)).filter(|&count| count > 0)
    }

    /// Those could not be told either.
    pub(super) fn untold(&self, count: u64) {
        self.left_out.fetch_add(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_counted_and_nothing_is_when_nobody_looks() {
        let listing = Listing::default();
        assert!(!listing.admits(100) && listing.pause().is_none());
        listing.start();
        let admitted = (0..MOST_AT_ONCE + 12).filter(|_| listing.admits(100)).count() as u64;
        assert_eq!((admitted, listing.pause()), (MOST_AT_ONCE, Some(12)));
        assert!(!listing.admits(RESERVE), "the last places are for what matters more");
        listing.untold(3);
        assert_eq!((listing.pause(), listing.pause()), (Some(4), None));
        assert!(listing.admits(100), "after a pause there is room again");
    }
}
