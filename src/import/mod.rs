//! Packet captures, HAR and other tools' files become captures.
//!
//! Every source ends at the same [`Recorder`], which numbers exchanges, tells sessions apart and writes the capture:
//!
//! ```text
//! pcap, pcapng -> packet (container, link and tunnel layers) -> Segment -> tcp -> Streams -> conversation -> Recorder
//!                                                                                 (tls, SOCKS, CONNECT, HTTP/1, HTTP/2, WebSocket)
//! HAR, mitmproxy flows, GoReplay files -> Recorder
//! ```
//!
//! Knows nothing of the live proxy, of rules, or of replay.

mod control;
pub mod conversation;
mod damage;
mod error;
mod format;
pub mod goreplay;
pub mod har;
pub mod input;
mod keys;
pub mod mitmproxy;
pub mod packet;
pub mod packets;
pub mod recorder;
mod records;
mod run;
pub mod segment;
pub mod tcp;
pub mod tls;

pub use control::Control;
pub use damage::Damage;
pub use error::{ImportError, Problem, shown};
pub use format::Format;
pub use har::Cached;
pub use recorder::{Draft, Finished, Recorder};
pub use run::{Config, Details, Report, run};
