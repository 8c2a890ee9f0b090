//! Compares two runs: pairs endpoints by name, checks that the pair may be compared at all, and gives a verdict.
//!
//! Pure and deterministic. Gates come before verdicts; one run a side is never more than provisional.
//! Main function: [`compare`].

mod gates;
mod outcome;
mod rows;
mod stats;
#[cfg(test)]
mod tests;
mod verdict;
pub mod words;

pub use outcome::{
    Comparison, Gate, Interval, Latency, OneSided, Phase, Relation, Row, SCHEMA, Settings, Shift, Side, Subject,
    Verdict,
};
pub use verdict::compare;
