//! What was seen and what was made of it, in numbers: for the summary of an import. Bounded, whatever comes.

use std::collections::BTreeMap;

use crate::wire::http1::{Leniencies, Leniency};

/// Most entries of a table; what is beyond them is counted under one name.
const MOST_NAMES: usize = 1000;
/// The name of what is beyond them.
pub const OTHERS: &str = "others";

/// Connections and the bytes they carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many connections.
    pub connections: u64,
    /// TCP payload of both sides, without gaps.
    pub bytes: u64,
}

/// The numbers of an import's conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All connections.
    pub all: Traffic,
    /// By the protocol they ended up with, such as `HTTP/1` or `HTTP/2 over TLS`.
    pub protocols: BTreeMap<&'static str, Traffic>,
    /// Exchanges written.
    pub exchanges: u64,
    /// Those that are not whole, by reason.
    pub incomplete: BTreeMap<String, u64>,
    /// Messages inside exchanges: WebSocket, server-sent events, gRPC.
    pub messages: u64,
    /// Connections whose TLS cannot be decrypted, by host (the name asked for, else the address) and reason.
    pub undecryptable: BTreeMap<(String, String), Traffic>,
    /// TLS connections of which at least one side was decrypted.
    pub decrypted: u64,
    /// Connections that carry no HTTP, by protocol as far as it shows and server (address and port, or port alone when
    /// there are many).
    pub opaque: BTreeMap<(&'static str, String), Traffic>,
    /// Exchanges in which something odd was borne.
    pub leniencies: BTreeMap<Leniency, u64>,
    /// CONNECT tunnels, by what they were opened to. Those that were refused are exchanges.
    pub tunnels: BTreeMap<String, u64>,
    /// Bytes on HTTP connections that belong to no message: behind gaps, behind cruft.
    pub skipped_bytes: u64,
    /// Bytes that nobody saw, on any connection.
    pub missing_bytes: u64,
}

impl Tally {
    pub(super) fn incomplete(&mut self, reason: String) {
        let full = self.incomplete.len() >= MOST_NAMES && !self.incomplete.contains_key(&reason);
        *self.incomplete.entry(if full { OTHERS.to_owned() } else { reason }).or_default() += 1;
    }

    pub(super) fn lenient(&mut self, told: Leniencies) {
        told.iter().for_each(|leniency| *self.leniencies.entry(leniency).or_default() += 1);
    }

    pub(super) fn tunnel(&mut self, to: &str) {
        let full = self.tunnels.len() >= MOST_NAMES && !self.tunnels.contains_key(to);
        *self.tunnels.entry(if full { OTHERS } else { to }.to_owned()).or_default() += 1;
    }

    pub(super) fn undecryptable(&mut self, host: String, reason: String, bytes: u64) {
        let key = (host, reason);
        let full = self.undecryptable.len() >= MOST_NAMES && !self.undecryptable.contains_key(&key);
        let key = if full { (OTHERS.to_owned(), key.1) } else { key };
        self.undecryptable.entry(key).or_default().add(bytes);
    }

    pub(super) fn opaque(&mut self, protocol: &'static str, server: std::net::SocketAddr, bytes: u64) {
        let key = (protocol, server.to_string());
        let full = self.opaque.len() >= MOST_NAMES && !self.opaque.contains_key(&key);
        let key = if full { (protocol, format!("port {}", server.port())) } else { key };
        let full = self.opaque.len() >= 2 * MOST_NAMES && !self.opaque.contains_key(&key);
        let key = if full { (protocol, OTHERS.to_owned()) } else { key };
        self.opaque.entry(key).or_default().add(bytes);
    }

    pub(super) fn connection(&mut self, protocol: &'static str, bytes: u64) {
        self.all.add(bytes);
        self.protocols.entry(protocol).or_default().add(bytes);
    }
}

impl Traffic {
    fn add(&mut self, bytes: u64) {
        self.connections += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_do_not_grow_without_end() {
        let mut tally = Tally::default();
        for n in 0..5000u16 {
            tally.incomplete(n.to_string());
            tally.tunnel(&n.to_string());
            tally.undecryptable(n.to_string(), "no secrets".into(), 1);
            for protocol in ["SSH", "SMTP"] {
                tally.opaque(protocol, (std::net::Ipv4Addr::LOCALHOST, n).into(), 1);
            }
        }
        assert_eq!(tally.incomplete[OTHERS], 4000);
        assert_eq!(tally.tunnels[OTHERS], 4000);
        assert_eq!(tally.undecryptable[&(OTHERS.to_owned(), "no secrets".to_owned())].connections, 4000);
        assert!(tally.opaque.len() <= 2 * MOST_NAMES + 2);
        assert_eq!(tally.opaque.values().map(|traffic| traffic.connections).sum::<u64>(), 10_000);
    }
}
