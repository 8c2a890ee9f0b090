//! Packet time as timers may trust it: a single packet with a wild timestamp does not move it.

use std::time::Duration;

use crate::observe::streams::UnixNanos;

/// No time at all; later than all.
pub(super) const NEVER: UnixNanos = UnixNanos::MAX;

/// Going back by more than this is another clock (joined files, a clock that was set), not packets out of order.
const BACK: UnixNanos = 60_000_000_000;

/// The time of timers. It never goes back by a little, follows when the capture goes back by a lot, and goes forward only
/// to what two packets in a row agree on.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: UnixNanos,
    previous: Option<UnixNanos>,
}

impl Clock {
    /// Reads the time of one more packet; returns the time now.
    pub fn packet(&mut self, at: UnixNanos) -> UnixNanos {
        let agreed = self.previous.unwrap_or(at).min(at);
        if self.previous.is_none() || agreed > self.now || self.now - agreed > BACK {
            self.now = agreed;
        }
        self.previous = Some(at);
        self.now
    }

    /// The time of the last packet.
    pub fn now(&self) -> UnixNanos {
        self.now
    }
}

/// `since` plus `wait`, never [`NEVER`].
pub(super) fn after(since: UnixNanos, wait: Duration) -> UnixNanos {
    let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    since.saturating_add(wait).min(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wild_packet_moves_no_timer_and_two_do() {
        let mut clock = Clock::default();
        let hour = 3_600_000_000_000;
        let steps = [(5, 5), (7, 5), (hour, 7), (9, 9), (8, 9), (hour, 9), (hour + 1, hour), (3, 3), (4, 3), (6, 4)];
        for (at, now) in steps {
            assert_eq!(clock.packet(at), now, "after {at}");
        }
    }
}
