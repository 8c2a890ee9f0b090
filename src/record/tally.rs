//! What the operator should know beside the exchanges: hosts that refuse us, tunnels, rubbish. Bounded.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

/// More hosts than this are counted under one name.
const MOST_HOSTS: usize = 1000;
const OTHERS: &str = "(other hosts)";

/// Something the operator should be told at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A client does not believe the certificate we showed for this host.
    CertificateRejected {
        /// The host.
        host: String,
        /// What the client said.
        reason: String,
    },
    /// This server cannot be reached or believed.
    Unreachable {
        /// The server.
        origin: String,
        /// Why.
        reason: String,
    },
    /// Exchanges are not written to the capture.
    NotRecording {
        /// Why.
        reason: String,
    },
}

/// A host and how often something happened there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCount {
    /// Which.
    pub host: String,
    /// How often.
    pub times: u64,
}

/// Counts of what is no exchange.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
    notices: mpsc::Sender<Notice>,
}

#[derive(Debug, Default)]
struct Counts {
    hosts: BTreeMap<String, Host>,
    malformed: u64,
}

#[derive(Debug, Default)]
struct Host {
    rejected: u64,
    silent: u64,
    spoken: u64,
    tunnels: u64,
    unreachable: u64,
}

/// The counts at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Hosts whose certificate from us clients refused.
    pub rejected: Vec<HostCount>,
    /// Hosts where bytes went through that are no HTTP and are not in the capture.
    pub tunnels: Vec<HostCount>,
    /// What clients sent that is no HTTP request.
    pub malformed: u64,
}

impl Tally {
    /// Nothing counted yet.
    pub(super) fn new(notices: mpsc::Sender<Notice>) -> Self {
        Self { counts: Mutex::default(), notices }
    }

    /// A client refused our certificate.
    pub(super) fn rejected(&self, host: &str, reason: String) {
        if self.count(host, |counted| &mut counted.rejected) == 1 {
            self.notice(Notice::CertificateRejected { host: host.to_owned(), reason });
        }
    }

    /// A client finished the handshake and closed without a word.
    pub(super) fn silent(&self, host: &str) {
        self.count(host, |counted| &mut counted.silent);
    }

    /// A client sent something through an intercepted connection.
    pub(super) fn spoken(&self, host: &str) {
        self.count(host, |counted| &mut counted.spoken);
    }

    /// Bytes pass unseen.
    pub(super) fn tunnel(&self, host: &str) {
        self.count(host, |counted| &mut counted.tunnels);
    }

    /// A server cannot be reached or believed.
    pub(super) fn unreachable(&self, origin: &str, reason: String) {
        if self.count(origin, |counted| &mut counted.unreachable) == 1 {
            self.notice(Notice::Unreachable { origin: origin.to_owned(), reason });
        }
    }

    /// A client sent something that is no request.
    pub(super) fn malformed(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).malformed += 1;
    }

    /// Tells the operator; nobody waits when he does not listen.
    pub(super) fn notice(&self, notice: Notice) {
        let _ = self.notices.try_send(notice);
    }

    /// All of it. A host where clients only ever close without a word counts as refusing.
    pub(super) fn remarks(&self) -> Remarks {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let list = |times: fn(&Host) -> u64| {
            let counted = counts.hosts.iter().map(|(host, c)| HostCount { host: host.clone(), times: times(c) });
            counted.filter(|h| h.times > 0).collect()
        };
        Remarks {
            rejected: list(|c| if c.rejected == 0 && c.spoken == 0 { c.silent } else { c.rejected }),
            tunnels: list(|c| c.tunnels),
            malformed: counts.malformed,
        }
    }

    fn count(&self, host: &str, which: impl FnOnce(&mut Host) -> &mut u64) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.hosts.len() >= MOST_HOSTS && !counts.hosts.contains_key(host);
        let name = if full { OTHERS } else { host };
        let times = which(counts.hosts.entry(name.to_owned()).or_default());
        *times += 1;
        *times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_only_hangs_up_counts_as_refusing_and_one_that_speaks_does_not() {
        let (sender, mut notices) = mpsc::channel(8);
        let tally = Tally::new(sender);
        tally.silent("quiet.test");
        tally.silent("shop.test");
        tally.spoken("shop.test");
        tally.rejected("pinned.test", "unknown ca".into());
        tally.rejected("pinned.test", "unknown ca".into());
        let rejected = tally.remarks().rejected;
        assert_eq!(
            rejected.iter().map(|h| (h.host.as_str(), h.times)).collect::<Vec<_>>(),
            [("pinned.test", 2), ("quiet.test", 1)]
        );
        assert!(notices.try_recv().is_ok() && notices.try_recv().is_err(), "told once");
    }

    #[test]
    fn the_number_of_hosts_is_bounded() {
        let tally = Tally::new(mpsc::channel(1).0);
        for n in 0..MOST_HOSTS * 2 {
            tally.tunnel(&format!("{n}.test"));
        }
        let tunnels = tally.remarks().tunnels;
        assert!(tunnels.len() <= MOST_HOSTS + 1);
        assert_eq!(tunnels.iter().map(|h| h.times).sum::<u64>(), 2 * MOST_HOSTS as u64);
    }
}
