//! What the user asked for: speed, users, limits, targets, data.

use std::time::Duration;

use crate::model::{DataTable, Origin};

/// Time compression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// Recorded pauses are divided by this factor (> 0).
    Factor(f64),
    /// No pauses at all.
    Max,
}

impl Speed {
    /// A recorded pause under this speed.
    pub fn scale(self, recorded: Duration) -> Duration {
        match self {
            Self::Factor(factor) => recorded.div_f64(factor),
            Self::Max => Duration::ZERO,
        }
    }
}

/// How many virtual users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// So many copies of each recorded session.
    Multiplied(u32),
    /// So many users in all, the sessions dealt out in turn.
    Concurrent(u32),
}

/// One `--target RECORDED=ACTUAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Origin in the capture; `None` means the capture's main origin.
    pub recorded: Option<Origin>,
    /// Where the requests go.
    pub actual: Origin,
}

/// Everything about a replay that is not in the capture or the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Time compression.
    pub speed: Speed,
    /// How many.
    pub users: Users,
    /// Where to.
    pub targets: Vec<Target>,
    /// One row for each virtual user.
    pub data: Option<DataTable>,
    /// Passes of each virtual user.
    pub iterations: u32,
    /// Fixes jitter and generated values.
    pub seed: u64,
}
