//! What the operator should know beside the exchanges: hosts that refuse us, tunnels, rubbish. Bounded.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::model::Exchange;

use super::filter::Cause;
use super::listed::{Listed, Listing};
use super::marks::Mark;
use super::tls::passthrough::{Consequence, PassReason, Refusal};

/// More hosts than this are counted under one name.
const MOST_HOSTS: usize = 1000;
const OTHERS: &str = "(other hosts)";

/// Something the operator should be told at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A client does not believe the certificate we showed for this host.
    CertificateRefused {
        /// The host.
        host: String,
        /// The client.
        client: IpAddr,
        /// What it did.
        refusal: Refusal,
        /// What follows.
        then: Consequence,
    },
    /// TLS secrets are missing from the key log.
    KeylogFailed {
        /// Why.
        reason: String,
    },
    /// This server cannot be reached or believed.
    Unreachable {
        /// The server.
        origin: String,
        /// Why.
        reason: String,
    },
    /// A reverse proxy's server sent a client elsewhere, where it is not recorded.
    LedAway {
        /// The server.
        origin: String,
        /// Where to.
        to: String,
    },
    /// A connection that cannot be recorded, and what to do about it.
    Astray {
        /// Why.
        reason: String,
    },
    /// Exchanges are not written to the capture.
    NotRecording {
        /// Why.
        reason: String,
    },
    /// A transaction begins or ends.
    Marked(Mark),
    /// An exchange is over. Told after [`Recording::list`](super::Recording::list) only.
    Exchange(Box<Listed>),
    /// So many exchanges were not told, as too many came at once.
    Unlisted(u64),
}

/// A host and how often something happened there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCount {
    /// Which.
    pub host: String,
    /// How often.
    pub times: u64,
}

/// A host whose certificate from us clients refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which.
    pub host: String,
    /// On how many connections.
    pub times: u64,
    /// On how many connections a client took it.
    pub accepted: u64,
    /// What the client did the last time.
    pub refusal: Refusal,
}

/// A host whose TLS was not intercepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Which, with its port.
    pub host: String,
    /// On how many connections.
    pub times: u64,
    /// Why, the last time.
    pub reason: PassReason,
}

/// Counts of what is no exchange.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
    notices: mpsc::Sender<Notice>,
    listing: Listing,
}

#[derive(Debug, Default)]
struct Counts {
    hosts: BTreeMap<String, Host>,
    malformed: u64,
    turned_away: u64,
    lost_secrets: u64,
    left_out: BTreeMap<String, u64>,
    noise: u64,
}

#[derive(Debug, Default)]
struct Host {
    refused: u64,
    refusal: Option<Refusal>,
    accepted: u64,
    passed: u64,
    reason: Option<PassReason>,
    tunnels: u64,
    unreachable: u64,
    led_away: u64,
    astray: u64,
}

/// The counts at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Hosts whose certificate from us clients refused.
    pub rejected: Vec<Rejection>,
    /// Hosts whose TLS went through and was not intercepted.
    pub passed: Vec<Passed>,
    /// Hosts where bytes went through that are no HTTP; the capture has them as bytes.
    pub tunnels: Vec<HostCount>,
    /// Where a reverse proxy's server sent clients, and they were not recorded.
    pub led_away: Vec<HostCount>,
    /// What clients sent that is no HTTP request.
    pub malformed: u64,
    /// Wrong credentials that clients gave to the proxy.
    pub turned_away: u64,
    /// TLS secrets that should be in the key log and are not.
    pub lost_secrets: u64,
}

impl Tally {
    /// Nothing counted yet.
    pub(super) fn new(notices: mpsc::Sender<Notice>) -> Self {
        Self { counts: Mutex::default(), notices, listing: Listing::default() }
    }

    /// A client refused our certificate.
    pub(super) fn refused(&self, host: &str, client: IpAddr, refusal: Refusal, then: Consequence) {
        let first = self.host(host, |counted| {
            counted.refused += 1;
            counted.refusal = Some(refusal.clone());
            counted.refused == 1
        });
        if first {
            self.notice(Notice::CertificateRefused { host: host.to_owned(), client, refusal, then });
        }
    }

    /// A client took our certificate and sent something.
    pub(super) fn accepted(&self, host: &str) {
        self.host(host, |counted| counted.accepted += 1);
    }

    /// TLS passes that is not intercepted.
    pub(super) fn passed(&self, host: &str, reason: PassReason) {
        self.host(host, |counted| {
            counted.passed += 1;
            counted.reason = Some(reason);
        });
    }

    /// Bytes pass that are no HTTP.
    pub(super) fn tunnel(&self, host: &str) {
        self.host(host, |counted| counted.tunnels += 1);
    }

    /// A secret is not in the key log.
    pub(super) fn secret_lost(&self, reason: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.lost_secrets += 1;
        if counts.lost_secrets == 1 {
            self.notice(Notice::KeylogFailed { reason: reason.to_owned() });
        }
    }

    /// A server cannot be reached or believed.
    pub(super) fn unreachable(&self, origin: &str, reason: String) {
        let first = self.host(origin, |counted| {
            counted.unreachable += 1;
            counted.unreachable == 1
        });
        if first {
            self.notice(Notice::Unreachable { origin: origin.to_owned(), reason });
        }
    }

    /// The server for which we stand sent a client to another.
    pub(super) fn led_away(&self, origin: &str, to: &str) {
        let first = self.host(to, |counted| {
            counted.led_away += 1;
            counted.led_away == 1
        });
        if first {
            self.notice(Notice::LedAway { origin: origin.to_owned(), to: to.to_owned() });
        }
    }

    /// A connection to `place` cannot be recorded.
    pub(super) fn astray(&self, place: &str, reason: &str) {
        let first = self.host(place, |counted| {
            counted.astray += 1;
            counted.astray == 1
        });
        if first {
            self.notice(Notice::Astray { reason: reason.to_owned() });
        }
    }

    /// A client sent something that is no request.
    pub(super) fn malformed(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).malformed += 1;
    }

    /// A client gave wrong credentials.
    pub(super) fn turned_away(&self, client: IpAddr) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).turned_away += 1;
        let client = client.to_canonical();
        self.astray(&format!("credentials of {client}"), &format!("{client} gives wrong proxy credentials"));
    }

    /// Tells the operator; nobody waits when he does not listen.
    pub(super) fn notice(&self, notice: Notice) {
        let _ = self.notices.try_send(notice);
    }

    /// Somebody wants to see the exchanges.
    pub(super) fn list(&self) {
        self.listing.start();
    }

    /// An exchange is over.
    pub(super) fn exchange(&self, exchange: &Exchange) {
        if exchange.remarks.iter().any(|remark| remark.as_noise().is_some()) {
            self.counts.lock().unwrap_or_else(PoisonError::into_inner).noise += 1;
        }
        if self.listing.admits(self.notices.capacity()) {
            self.notice(Notice::Exchange(Box::new(Listed::of(exchange))));
        }
    }

    /// An exchange was left out.
    pub(super) fn left_out(&self, cause: &Cause) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.left_out.entry(cause.to_string()).or_default() += 1;
    }

    /// Exchanges that were left out, by what did; and how many are noise.
    pub(super) fn curated(&self) -> (BTreeMap<String, u64>, u64) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        (counts.left_out.clone(), counts.noise)
    }

    /// A pause between exchanges: tells how many were not told.
    pub(super) fn pause(&self) {
        if let Some(count) = self.listing.pause()
            && self.notices.try_send(Notice::Unlisted(count)).is_err()
        {
            self.listing.untold(count);
        }
    }

    /// All of it.
    pub(super) fn remarks(&self) -> Remarks {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let rejections = counts.hosts.iter().filter_map(|(host, c)| {
            let refusal = c.refusal.clone()?;
            Some(Rejection { host: host.clone(), times: c.refused, accepted: c.accepted, refusal })
        });
        let passed = counts.hosts.iter().filter_map(|(host, c)| {
            let reason = c.reason.clone()?;
            Some(Passed { host: host.clone(), times: c.passed, reason })
        });
        let led_away = counts.hosts.iter().map(|(host, c)| HostCount { host: host.clone(), times: c.led_away });
        let tunnels = counts.hosts.iter().map(|(host, c)| HostCount { host: host.clone(), times: c.tunnels });
        Remarks {
            rejected: rejections.collect(),
            passed: passed.collect(),
            tunnels: tunnels.filter(|counted| counted.times > 0).collect(),
            led_away: led_away.filter(|counted| counted.times > 0).collect(),
            malformed: counts.malformed,
            turned_away: counts.turned_away,
            lost_secrets: counts.lost_secrets,
        }
    }

    fn host<T>(&self, host: &str, change: impl FnOnce(&mut Host) -> T) -> T {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.hosts.len() >= MOST_HOSTS && !counts.hosts.contains_key(host);
        let name = if full { OTHERS } else { host };
        change(counts.hosts.entry(name.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_clients_refuse_is_told_once_and_listed_with_the_last_reason() {
        let (sender, mut notices) = mpsc::channel(8);
        let tally = Tally::new(sender);
        let client = IpAddr::from([127, 0, 0, 1]);
        tally.accepted("shop.test");
        for refusal in [Refusal::Silent, Refusal::BrokeOff] {
            tally.refused("pinned.test", client, refusal, Consequence::NotWanted);
        }
        tally.passed("pinned.test:443", PassReason::Asked);
        let Remarks { rejected, passed, .. } = tally.remarks();
        let expected = Rejection { host: "pinned.test".into(), times: 2, accepted: 0, refusal: Refusal::BrokeOff };
        assert_eq!(rejected, [expected]);
        assert_eq!(passed, [Passed { host: "pinned.test:443".into(), times: 1, reason: PassReason::Asked }]);
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
