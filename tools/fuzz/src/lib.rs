//! Damaged input for every reader of `overdub import`. See README.md.

pub mod bytes;
pub mod dialogue;
pub mod dice;
pub mod memory;
pub mod packets;
pub mod seeds;
pub mod targets;
