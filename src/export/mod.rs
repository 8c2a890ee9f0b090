//! Captures become files of other tools.
//!
//! May use `model`, `wire` and `capture`. Knows nothing of rules, plans or replay.

pub mod har;
