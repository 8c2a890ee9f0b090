//! The capture file (`.dub`): append-only, checksummed, compressed, indexed, readable after a crash.
//!
//! The waist of the program: every recorder and importer writes it, every later stage reads it. The format is
//! described in `FORMAT.md`, nowhere else. Knows nothing of HTTP semantics.

mod body_writer;
mod chunks;
mod error;
mod frame;
mod header;
mod index;
mod log;
mod messages;
mod open;
mod reader;
mod recent;
mod recover;
mod scan;
mod stored;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub use body_writer::BodyWriter;
pub use error::CaptureError;
pub use header::MAGIC;
pub use reader::{Damage, Reader, SessionSummary};
pub use recover::{BodyCheck, RepairReport, repair};
pub use writer::{Compression, Summary, Writer};

/// What the header of a capture says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Wall clock at the anchor, nanoseconds since the Unix epoch.
    pub anchor_unix_ns: u64,
    /// Where the traffic came from, such as `proxy 127.0.0.1:8080` or `har shop.har`.
    pub source: String,
    /// Version of the program that wrote it.
    pub program: String,
}
