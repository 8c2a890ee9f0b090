//! The ways in which traffic reaches the recorder, and goes on.

mod chain;
mod credentials;
mod pinned;
mod reverse;
mod socks;
mod users;

use super::{Proxy, Upstream, patient, read_all, read_exactly, read_head, secure, server, servers, text};
