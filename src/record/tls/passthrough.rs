//! Which TLS is not intercepted: what the operator named, and what clients refuse. No sockets, no clock. Main type: [`Passthrough`].
//!
//! What is known of a client (an address) and a host with its port:
//!
//! ```text
//!            spoke            refused
//! unknown ─────────► accepted ◄──────┐ stays: told, never passed through
//!    │ refused                       │
//!    ▼               spoke           │
//! refused ───────────────────────────┘
//!    a close without an alert counts the first time only of a client that has never believed us, else the second
//!    passed through: for good when the refusal is an alert of a client that believes us elsewhere (a pinned
//!    certificate), else for a term that doubles with each refusal (the root may come to be trusted), and until
//!    the client first believes us anywhere, or refuses the server's own certificate too (it believes us alone)
//! ```

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Origin;

use crate::record::host_pattern::HostPattern;
use crate::record::lru::Lru;

const FIRST_TERM: Duration = Duration::from_secs(60);
const LONGEST_TERM: Duration = Duration::from_secs(60 * 60);
/// Clients and hosts that are remembered.
const MOST_STANDINGS: usize = 4096;

/// What a client did on seeing our certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It sent an alert (its name in the RFCs).
    #[error("it sent the TLS alert {0}")]
    Alert(String),
    /// It closed inside the handshake.
    #[error("it closed inside the TLS handshake")]
    BrokeOff,
    /// It finished the handshake and closed at once without a word.
    #[error("it closed right after the TLS handshake")]
    Silent,
    /// Its handshake and ours do not fit together.
    #[error("no handshake was possible: {0}")]
    Misfit(String),
}

impl Refusal {
    /// Browsers open spare connections and close them unused, so a close alone proves little of a client that believes us.
    fn is_weak(&self) -> bool {
        matches!(self, Self::BrokeOff | Self::Silent)
    }
}

/// Why TLS was passed through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassReason {
    /// The operator named the host.
    #[error("asked for with --passthrough")]
    Asked,
    /// The client had refused our certificate.
    #[error("a client refused our certificate: {0}")]
    Refused(Refusal),
    /// The client knows no cipher suite of TLS 1.2 or 1.3 that we have.
    #[error("the client offers only cipher suites that are too old")]
    OldTls,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The client's next connections to the host are passed through, so long at first; none means to the end.
    PassedThrough(Option<Duration>),
    /// Nothing: the same client address has accepted our certificate for the host.
    AcceptedBefore,
    /// Nothing: the operator wants no automatic passing.
    NotWanted,
    /// Nothing: a client that believes us closed a connection it may not have needed.
    Unproven,
}

/// Decides per connection.
#[derive(Debug)]
pub(in crate::record) struct Passthrough {
    asked: Vec<HostPattern>,
    automatic: bool,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// Clients that have spoken under a certificate of ours, for whatever host.
    believers: Lru<IpAddr, ()>,
    standings: Lru<(IpAddr, String), Standing>,
}

#[derive(Clone, Debug)]
enum Standing {
    Unknown,
    /// A client that believes us elsewhere closed a connection without a word.
    Suspect,
    Accepted,
    Refused(Verdict),
}

#[derive(Clone, Debug)]
struct Verdict {
    refusal: Refusal,
    /// Refusals that counted.
    times: u32,
    /// Whether the client believed us elsewhere by then.
    believer: bool,
    /// When the host is tried again; none: never.
    until: Option<Instant>,
}

impl Verdict {
    fn holds(&self, believer: bool, now: Instant) -> bool {
        self.believer >= believer && self.until.is_none_or(|until| now < until)
    }
}

impl Passthrough {
    /// Passes what these patterns cover, and, when `automatic`, what clients refuse.
    pub(in crate::record) fn new(asked: Vec<HostPattern>, automatic: bool) -> Self {
        let known = Known { believers: Lru::new(MOST_STANDINGS), standings: Lru::new(MOST_STANDINGS) };
        Self { asked, automatic, known: Mutex::new(known) }
    }

    /// Whether the operator named this host.
    pub(in crate::record) fn asked(&self, host: &str, port: u16) -> Option<PassReason> {
        self.asked.iter().any(|pattern| pattern.covers(host, port)).then_some(PassReason::Asked)
    }

    /// Whether this client has refused our certificate for this host, and that still counts.
    pub(in crate::record) fn refused(&self, client: IpAddr, server: &Origin, now: Instant) -> Option<PassReason> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let believer = known.believers.find(&client).is_some();
        match known.standings.find(&key(client, server))? {
            Standing::Refused(verdict) if verdict.holds(believer, now) => Some(PassReason::Refused(verdict.refusal)),
            _ => None,
        }
    }

    /// The client spoke under our certificate for this host.
    pub(in crate::record) fn note_accepted(&self, client: IpAddr, server: &Origin) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.believers.put(client, ());
        known.standings.put(key(client, server), Standing::Accepted);
    }

    /// The client does not believe the server's own certificate either, which was passed through: it is no pinned one.
    pub(in crate::record) fn note_refused_anyway(&self, client: IpAddr, server: &Origin) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.standings.put(key(client, server), Standing::Unknown);
    }

    /// The client refused our certificate for this host. Says what follows from it.
    pub(in crate::record) fn note_refused(
        &self,
        client: IpAddr,
        server: &Origin,
        refusal: Refusal,
        now: Instant,
    ) -> Consequence {
        if !self.automatic {
            return Consequence::NotWanted;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let believer = known.believers.find(&client).is_some();
        let times = match known.standings.find(&key(client, server)) {
            Some(Standing::Accepted) if refusal.is_weak() => return Consequence::Unproven,
            Some(Standing::Accepted) => return Consequence::AcceptedBefore,
            // One of several connections that were under way at once.
            Some(Standing::Refused(verdict)) if verdict.holds(believer, now) => {
                return Consequence::PassedThrough(verdict.until.map(|until| until - now));
            }
            Some(Standing::Refused(verdict)) => verdict.times.saturating_add(1),
            Some(Standing::Unknown) | None if believer && refusal.is_weak() => {
                known.standings.put(key(client, server), Standing::Suspect);
                return Consequence::Unproven;
            }
            Some(Standing::Unknown | Standing::Suspect) | None => 1,
        };
        let pinned = believer && matches!(refusal, Refusal::Alert(_));
        let term = (!pinned).then(|| FIRST_TERM.saturating_mul(1 << (times - 1).min(16)).min(LONGEST_TERM));
        let verdict = Verdict { refusal, times, believer, until: term.map(|term| now + term) };
        known.standings.put(key(client, server), Standing::Refused(verdict));
        Consequence::PassedThrough(term)
    }
}

fn key(client: IpAddr, server: &Origin) -> (IpAddr, String) {
    (client.to_canonical(), server.authority())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));
    const LAPTOP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 6));

    fn alert() -> Refusal {
        Refusal::Alert("unknown_ca".into())
    }

    fn origin(host: &str) -> Origin {
        Origin::new(crate::model::Scheme::Https, host, 443)
    }

    fn automatic() -> (Passthrough, Instant) {
        (Passthrough::new(Vec::new(), true), Instant::now())
    }

    #[test]
    fn a_refusal_passes_this_host_for_this_client_alone() {
        let (policy, now) = automatic();
        assert_eq!(policy.refused(PHONE, &origin("shop.test"), now), None);
        assert_eq!(
            policy.note_refused(PHONE, &origin("Shop.test"), alert(), now),
            Consequence::PassedThrough(Some(FIRST_TERM))
        );
        assert_eq!(policy.refused(PHONE, &origin("shop.test"), now), Some(PassReason::Refused(alert())));
        assert_eq!(policy.refused(PHONE, &origin("other.test"), now), None);
        assert_eq!(policy.refused(LAPTOP, &origin("shop.test"), now), None);
    }

    #[test]
    fn a_host_that_was_accepted_is_never_passed_through_later() {
        let (policy, now) = automatic();
        policy.note_accepted(PHONE, &origin("shop.test"));
        for (refusal, consequence) in [
            (alert(), Consequence::AcceptedBefore),
            (Refusal::Silent, Consequence::Unproven),
            (Refusal::BrokeOff, Consequence::Unproven),
        ] {
            assert_eq!(policy.note_refused(PHONE, &origin("shop.test"), refusal, now), consequence);
            assert_eq!(policy.refused(PHONE, &origin("shop.test"), now), None);
        }
    }

    #[test]
    fn the_root_may_come_to_be_trusted_so_a_host_is_tried_again_less_and_less_often() {
        let (policy, mut now) = automatic();
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let term = Duration::from_secs(minutes * 60);
            let parallel = [(); 6].map(|()| policy.note_refused(PHONE, &origin("shop.test"), alert(), now));
            assert_eq!(parallel, [Consequence::PassedThrough(Some(term)); 6]);
            assert!(policy.refused(PHONE, &origin("shop.test"), now + term - Duration::from_secs(1)).is_some());
            now += term;
            assert_eq!(policy.refused(PHONE, &origin("shop.test"), now), None);
        }
    }

    #[test]
    fn once_the_root_is_trusted_what_was_refused_before_is_tried_again_and_then_given_up() {
        let (policy, now) = automatic();
        policy.note_refused(PHONE, &origin("pinned.test"), alert(), now);
        policy.note_refused(PHONE, &origin("shop.test"), alert(), now);
        policy.note_accepted(PHONE, &origin("other.test"));
        assert_eq!(policy.refused(PHONE, &origin("shop.test"), now), None);
        policy.note_accepted(PHONE, &origin("shop.test"));
        assert_eq!(policy.note_refused(PHONE, &origin("pinned.test"), alert(), now), Consequence::PassedThrough(None));
        assert!(policy.refused(PHONE, &origin("pinned.test"), now + 100 * LONGEST_TERM).is_some());
    }

    #[test]
    fn a_client_that_refuses_the_servers_own_certificate_too_is_not_passed_through() {
        let (policy, now) = automatic();
        policy.note_refused(PHONE, &origin("shop.test"), alert(), now);
        policy.note_refused_anyway(PHONE, &origin("shop.test"));
        assert_eq!(policy.refused(PHONE, &origin("shop.test"), now), None);
        assert_eq!(
            policy.note_refused(PHONE, &origin("shop.test"), alert(), now),
            Consequence::PassedThrough(Some(FIRST_TERM))
        );
    }

    #[test]
    fn a_silent_close_is_weak_evidence_counts_the_second_time_and_has_a_term() {
        let (policy, now) = automatic();
        policy.note_accepted(PHONE, &origin("other.test"));
        let close = || policy.note_refused(PHONE, &origin("shop.test"), Refusal::Silent, now);
        assert_eq!(close(), Consequence::Unproven);
        assert!(policy.refused(PHONE, &origin("shop.test"), now).is_none());
        let consequence = close();
        assert_eq!(consequence, Consequence::PassedThrough(Some(FIRST_TERM)));
        assert!(policy.refused(PHONE, &origin("shop.test"), now).is_some());
        assert!(policy.refused(PHONE, &origin("shop.test"), now + FIRST_TERM).is_none());
    }

    #[test]
    fn without_automatic_passing_only_what_was_asked_for_passes() {
        let policy = Passthrough::new(vec!["*.bank.test:443".parse().unwrap()], false);
        let now = Instant::now();
        assert_eq!(policy.note_refused(PHONE, &origin("shop.test"), alert(), now), Consequence::NotWanted);
        assert_eq!(policy.refused(PHONE, &origin("shop.test"), now), None);
        assert_eq!(policy.asked("www.bank.test", 443), Some(PassReason::Asked));
        assert_eq!(policy.asked("www.bank.test", 8443), None);
    }
}
