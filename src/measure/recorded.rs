//! The timings of recorded traffic in the form of a run, so that recorded-against-replayed is an ordinary comparison.
//!
//! Only the side towards the server is used where it is known: the client side holds the user's last mile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Exchange, Headers, Incomplete, Nanos, SessionId};

use super::aggregate::{Aggregate, Measured};
use super::run::{PhaseMicros, Run, RunInfo};
use super::sample::{Failure, Outcome};

/// Takes exchanges in the order in which they began.
#[derive(Debug, Default)]
pub struct Recorder {
    aggregate: Aggregate,
    endpoints: BTreeMap<String, u32>,
    sessions: BTreeSet<SessionId>,
    anchor: Option<Nanos>,
}

impl Recorder {
    /// Counts one recorded exchange under the name of its endpoint. An exchange that the client broke off, or that was
    /// cut by the end of the recording, says nothing about the server and is counted as not measured. What is no part of what
    /// a user asked for, and so is never replayed, is left out.
    pub fn add(&mut self, endpoint: &str, exchange: &Exchange) {
        if exchange.aside().is_some() {
            return;
        }
        if self.sessions.insert(exchange.session) {
            self.aggregate.sessions.started += 1;
            self.aggregate.sessions.completed += 1;
        }
        let outcome = match (&exchange.incomplete, &exchange.response) {
            (None | Some(Incomplete::NotRecorded(_)), Some(_)) => Outcome::Ok,
            (Some(Incomplete::Connect(_)), _) => Outcome::Failed(Failure::Connect),
            (Some(Incomplete::Upstream(_)), _) => Outcome::Failed(Failure::Closed),
            _ => {
                self.aggregate.not_sent += 1;
                return;
            }
        };
        let next = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX);
        let endpoint = match self.endpoints.get(endpoint) {
            Some(&known) => known,
            None => *self.endpoints.entry(endpoint.to_owned()).or_insert(next),
        };
        let timing = exchange.timing;
        let anchor = *self.anchor.get_or_insert(timing.started);
        let whole = exchange.incomplete.is_none();
        let (from, to) = match (timing.upstream_sent, timing.upstream_done) {
            (Some(sent), Some(done)) => (sent, done),
            _ => (timing.started, timing.finished),
        };
        let asked = timing.upstream_sent.map(|sent| timing.request_done.map_or(sent, |done| done.max(sent)));
        let wait = between(asked, timing.upstream_first);
        let service = whole.then(|| to.since(from));
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        self.aggregate.measure(&Measured {
            endpoint,
            started: Nanos(from.0.saturating_sub(anchor.0)),
            done: Nanos(to.0.saturating_sub(anchor.0)),
            response: service,
            service,
            lateness: None,
            wait,
            phases: PhaseMicros {
                connect: timing.connect.map(|s| micros(s.duration())),
                tls: timing.tls.map(|s| micros(s.duration())),
                send: between(timing.upstream_sent, asked).map(micros),
                wait: wait.map(micros),
                receive: between(timing.upstream_first, timing.upstream_done).map(micros),
            },
            status: exchange.response.as_ref().map(|r| r.status),
            outcome: &outcome,
            bytes_sent: exchange.request.body.len.saturating_add(head_bytes(&exchange.request.headers)),
            bytes_received: exchange.response.as_ref().map_or(0, |r| r.body.len.saturating_add(head_bytes(&r.headers))),
        });
    }

    /// The run that the recording comes to.
    pub fn finish(self, info: RunInfo) -> Run {
        let mut names = vec![String::new(); self.endpoints.len()];
        for (name, index) in self.endpoints {
            if let Some(place) = names.get_mut(index as usize) {
                *place = name;
            }
        }
        Run::new(self.aggregate, &names, info)
    }
}

fn between(from: Option<Nanos>, to: Option<Nanos>) -> Option<Duration> {
    Some(to?.since(from?))
}

/// Header fields with colon, space and line end.
fn head_bytes(headers: &Headers) -> u64 {
    headers.0.iter().map(|(name, value)| (name.len() + value.len() + 4) as u64).sum()
}
