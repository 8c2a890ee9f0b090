//! Time as an argument: monotonic nanoseconds since one anchor, never a wall clock.

use std::time::Duration;

/// Nanoseconds since the anchor of the capture (recording) or of the run (replay). Monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// From a duration since the anchor; saturates after 584 years.
    pub fn from_duration(since_anchor: Duration) -> Self {
        Self(u64::try_from(since_anchor.as_nanos()).unwrap_or(u64::MAX))
    }

    /// As a duration since the anchor.
    pub fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Whole microseconds since the anchor.
    pub fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Nanos) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` moved on by `by`; saturates.
    pub fn after(self, by: Duration) -> Nanos {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A phase with both ends known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First instant.
    pub start: Nanos,
    /// Last instant; never before `start`.
    pub end: Nanos,
}

impl Span {
    /// How long the phase took.
    pub fn duration(self) -> Duration {
        self.end.since(self.start)
    }
}
