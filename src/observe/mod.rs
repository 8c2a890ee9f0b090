//! Traffic seen in passing becomes exchanges: what the live proxy relays, and what packets hold.
//!
//! ```text
//! Streams -> conversation (TLS with known secrets, SOCKS, CONNECT, HTTP/1, HTTP/2, WebSocket) -> Recorder -> capture
//! ```
//!
//! One observer for both, so that equal traffic gives equal exchanges. Knows nothing of sockets, files of packets, or whoever
//! relays the traffic.

pub mod conversation;
pub mod recorder;
pub mod streams;
pub mod tls;

pub use recorder::{Draft, Finished, Recorder};
