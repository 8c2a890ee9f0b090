//! From the bytes of a capture file to TCP segments: containers, link layers, tunnels, fragments.
//!
//! ```text
//! bytes -> Container -> Packet -> Dissector -> Segment
//! ```
//!
//! Knows nothing of connections. What is no TCP is counted in the [`Census`], not kept.

mod block;
mod census;
mod classic;
mod container;
mod dissector;
mod fragment;
mod link;
mod network;
mod ng;
mod ppp;
mod secrets;
mod slice;
mod tcp;
mod tunnel;
mod udp;
mod window;
mod wireless;

#[cfg(test)]
mod tests;

pub use census::{Census, Other, Tunnel, Undecodable};
pub use container::{Container, ContainerError, Interface, Item, Names, Packet, RECORD_LIMIT};
pub use dissector::{Config, Dissector};
pub use secrets::secrets_in;
