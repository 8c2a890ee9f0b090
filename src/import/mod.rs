//! Packet captures, HAR and other tools' files become captures.
//!
//! Every source ends at the same [`Recorder`](crate::observe::Recorder), which numbers exchanges, tells sessions apart and
//! writes the capture:
//!
//! ```text
//! pcap, pcapng -> packet (container, link and tunnel layers) -> Segment -> tcp -> observe::Streams -> observe::Recorder
//! HAR, mitmproxy flows, GoReplay files -> observe::Recorder
//! ```
//!
//! Knows nothing of the live proxy, of rules, or of replay.

mod control;
mod damage;
mod error;
mod flaws;
mod format;
pub mod goreplay;
pub mod har;
pub mod input;
mod keys;
pub mod mitmproxy;
pub mod packet;
pub mod packets;
mod records;
mod run;
pub mod segment;
pub mod tcp;

pub use control::Control;
pub use damage::Damage;
pub use error::{ImportError, Problem, shown};
pub use flaws::Flaws;
pub use format::Format;
pub use har::Cached;
pub use run::{Config, Details, Report, run};
