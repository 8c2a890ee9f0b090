//! Samples become results: histograms per endpoint and second, counts, examples, provenance; the `.run` file.
//!
//! Knows neither sockets nor the async runtime. Console, JSON and HTML all print from [`Run`].

mod sample;

pub use sample::{Divergence, Failure, Outcome, Phases, Sample};
