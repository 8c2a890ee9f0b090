//! Samples become results: histograms per endpoint and second, counts, examples, provenance; the `.run` file.
//!
//! Knows neither sockets nor the async runtime. Console, JSON and HTML all print from [`Run`].

mod aggregate;
mod file;
mod histogram;
mod recorded;
mod run;
mod sample;
#[cfg(test)]
mod tests;
mod timeline;

pub use aggregate::Aggregate;
pub use file::{MAGIC, RunError};
pub use histogram::{Bar, CLAMP_MICROS, Histogram, Precision};
pub use recorded::Recorder;
pub use run::{
    DivergenceCount, Endpoint, ExchangeCounts, Load, PhaseMicros, Quantiles, Run, RunInfo, RunKind, Sessions,
    SkippedOrigin, Slow, Summary,
};
pub use sample::{Divergence, Failure, Outcome, Phases, Sample};
pub use timeline::{Cell, FIRST_SLOT_US, MAX_SLOTS, Slot, Timeline};
