//! A plan becomes samples: virtual users, connections, timers. Knows neither the capture, the command line nor where
//! output goes.
//!
//! [`run`] deals the plan's users out to one thread per core; nothing is shared between the threads but the plan, the
//! clock's anchor and [`Control`].

mod buffers;
mod check;
mod clock;
mod connection;
mod control;
mod dial;
mod engine;
mod error;
mod exchange;
mod lane;
mod player;
mod request;
mod schedule;
mod seed;
mod trust;
mod user;

pub use control::{Control, Progress, Spread, Totals};
pub use engine::{Config, End, Finished, Sink, run};
pub use error::ReplayError;
pub use trust::{Trust, TrustError};
