//! Turns samples into a run: one [`Aggregate`] for each thread of the engine, merged at the end.
//!
//! Recording a sample costs a few appends and no system call; memory is bounded by endpoints and slots.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::Nanos;

use super::histogram::{Histogram, Precision};
use super::run::{DivergenceCount, Endpoint, PhaseMicros, Run, RunInfo, Sessions, Slow};
use super::sample::{Divergence, Failure, Outcome, Sample};
use super::timeline::{Cell, MAX_SLOTS, Timeline};

/// Distinct divergences kept for each endpoint; the rest is counted together.
const MAX_DIVERGENCES: usize = 64;
/// Slowest exchanges kept.
const SLOWEST: usize = 50;
/// Longest text of a divergence in characters.
const MAX_TEXT: usize = 200;
/// Cells (endpoint times slot) that a run may have.
const MAX_CELLS: usize = 240_000;
/// Fewest slots a timeline is cut down to.
const MIN_SLOTS: usize = 128;

/// Numbers of samples, growing.
#[derive(Clone, Debug, Default)]
pub struct Aggregate {
    /// What became of the sessions; the engine counts them here.
    pub sessions: Sessions,
    /// Exchanges that were planned but not sent; the engine counts them here.
    pub not_sent: u64,
    endpoints: Vec<Tally>,
    timeline: Timeline,
    last_us: u64,
    slowest: Vec<Slow>,
    slow_threshold_us: u64,
}

/// What is measured of one exchange, replayed or recorded. Durations are none where they are not known.
pub(super) struct Measured<'a> {
    pub(super) endpoint: u32,
    pub(super) started: Nanos,
    pub(super) done: Nanos,
    pub(super) response: Option<Duration>,
    pub(super) service: Option<Duration>,
    pub(super) lateness: Option<Duration>,
    pub(super) wait: Option<Duration>,
    pub(super) phases: PhaseMicros,
    pub(super) status: Option<u16>,
    pub(super) outcome: &'a Outcome,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
}

/// The numbers of one endpoint, growing.
#[derive(Clone, Debug)]
struct Tally {
    ok: u64,
    diverged: u64,
    failed: u64,
    statuses: BTreeMap<u16, u64>,
    divergences: BTreeMap<Divergence, Seen>,
    other_divergences: Option<Seen>,
    failures: BTreeMap<Failure, u64>,
    response: Histogram,
    service: Histogram,
    lateness: Histogram,
    wait: Histogram,
    connect: Histogram,
    tls: Histogram,
    bytes_sent: u64,
    bytes_received: u64,
    series: BTreeMap<u32, Cell>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u64,
    first_us: u64,
    last_us: u64,
}

impl Aggregate {
    /// An empty aggregate for `endpoints` endpoints (an estimate: it grows when a sample names a later one).
    pub fn new(endpoints: usize) -> Self {
        Self { endpoints: vec![Tally::default(); endpoints], ..Self::default() }
    }

    /// Counts one step.
    pub fn record(&mut self, sample: &Sample) {
        let micros = |phase: Option<Duration>| phase.map(as_micros);
        let phases = sample.phases;
        self.measure(&Measured {
            endpoint: sample.endpoint,
            started: sample.started,
            done: sample.done,
            response: Some(sample.response_time()),
            service: Some(sample.service_time()),
            lateness: Some(sample.lateness()),
            wait: phases.wait,
            phases: PhaseMicros {
                connect: micros(phases.connect),
                tls: micros(phases.tls),
                send: micros(phases.send),
                wait: micros(phases.wait),
                receive: micros(phases.receive),
            },
            status: sample.status,
            outcome: &sample.outcome,
            bytes_sent: sample.bytes_sent,
            bytes_received: sample.bytes_received,
        });
    }

    pub(super) fn measure(&mut self, seen: &Measured<'_>) {
        let index = seen.endpoint as usize;
        if index >= self.endpoints.len() {
            self.endpoints.resize_with(index + 1, Tally::default);
        }
        let (from_us, to_us) = (seen.started.as_micros(), seen.done.as_micros());
        self.last_us = self.last_us.max(to_us);
        self.make_room(from_us.max(to_us));
        let failed = matches!(seen.outcome, Outcome::Failed(_));
        let diverged = matches!(seen.outcome, Outcome::Diverged(_));

        let number = self.timeline.slot_at(from_us, MAX_SLOTS).unwrap_or(MAX_SLOTS - 1);
        let slot = self.timeline.slot(number);
        slot.started += 1;
        slot.failed += u64::from(failed);
        slot.diverged += u64::from(diverged);
        let cell = self.endpoints[index].series.entry(number as u32).or_default();
        cell.started += 1;
        cell.errors += u64::from(failed || diverged);
        if let Some(lateness) = seen.lateness {
            slot.lateness.record(lateness);
        }
        if !failed {
            if let Some(response) = seen.response {
                slot.response.record(response);
                cell.response.record(response);
            }
            if let Some(service) = seen.service {
                slot.service.record(service);
                cell.service.record(service);
            }
        }
        self.timeline.busy(from_us, to_us);
        self.endpoints[index].add(seen);
        self.note_slow(seen);
    }

    /// Adds what another thread has counted.
    pub fn merge(&mut self, mut other: Self) {
        while self.timeline.slot_us < other.timeline.slot_us {
            self.coarsen();
        }
        while other.timeline.slot_us < self.timeline.slot_us {
            other.coarsen();
        }
        self.timeline.merge(&other.timeline);
        if self.endpoints.len() < other.endpoints.len() {
            self.endpoints.resize_with(other.endpoints.len(), Tally::default);
        }
        for (mine, theirs) in self.endpoints.iter_mut().zip(other.endpoints) {
            mine.merge(theirs);
        }
        self.sessions.started += other.sessions.started;
        self.sessions.completed += other.sessions.completed;
        self.sessions.failed += other.sessions.failed;
        self.not_sent += other.not_sent;
        self.last_us = self.last_us.max(other.last_us);
        self.slowest.append(&mut other.slowest);
        self.trim_slowest();
        self.make_room(self.last_us);
    }

    /// Makes slots long enough for an instant.
    fn make_room(&mut self, micros: u64) {
        let limit = (MAX_CELLS / self.endpoints.len().max(1)).clamp(MIN_SLOTS, MAX_SLOTS);
        while self.timeline.slot_at(micros, limit).is_none() && self.timeline.slot_us < u64::MAX / 2 {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        self.timeline.coarsen();
        for tally in &mut self.endpoints {
            let mut halved: BTreeMap<u32, Cell> = BTreeMap::new();
            for (number, cell) in std::mem::take(&mut tally.series) {
                halved.entry(number / 2).or_default().merge(&cell);
            }
            tally.series = halved;
        }
    }

    fn note_slow(&mut self, seen: &Measured<'_>) {
        let Some(response_us) = seen.response.map(as_micros).filter(|&r| r > self.slow_threshold_us) else { return };
        self.slowest.push(Slow {
            endpoint: seen.endpoint,
            started_us: seen.started.as_micros(),
            response_us,
            service_us: seen.service.map_or(0, as_micros),
            lateness_us: seen.lateness.map_or(0, as_micros),
            phases: seen.phases,
            status: seen.status,
            outcome: match seen.outcome {
                Outcome::Ok => "ok".to_owned(),
                Outcome::Diverged(_) => "diverged".to_owned(),
                Outcome::Failed(failure) => failure.to_string(),
            },
        });
        if self.slowest.len() >= 2 * SLOWEST {
            self.trim_slowest();
        }
    }

    fn trim_slowest(&mut self) {
        self.slowest
            .sort_by(|a, b| (b.response_us, a.started_us, a.endpoint).cmp(&(a.response_us, b.started_us, b.endpoint)));
        self.slowest.truncate(SLOWEST);
        self.slow_threshold_us = match self.slowest.last() {
            Some(last) if self.slowest.len() == SLOWEST => last.response_us,
            _ => 0,
        };
    }

    pub(super) fn into_run(mut self, names: &[String], info: RunInfo) -> Run {
        self.trim_slowest();
        self.timeline.slots.iter_mut().for_each(super::timeline::Slot::settle);
        let mut place = vec![0_u32; self.endpoints.len()];
        let mut endpoints = Vec::new();
        for (index, tally) in self.endpoints.into_iter().enumerate() {
            if !tally.is_empty() {
                place[index] = endpoints.len() as u32;
                let name = names.get(index).cloned().unwrap_or_else(|| format!("endpoint {index}"));
                endpoints.push(tally.into_endpoint(name));
            }
        }
        for slow in &mut self.slowest {
            slow.endpoint = place[slow.endpoint as usize];
        }
        Run {
            info,
            duration_us: self.last_us,
            sessions: self.sessions,
            not_sent: self.not_sent,
            endpoints,
            timeline: self.timeline,
            slowest: self.slowest,
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        let empty = || Histogram::new(Precision::Fine);
        Self {
            ok: 0,
            diverged: 0,
            failed: 0,
            statuses: BTreeMap::new(),
            divergences: BTreeMap::new(),
            other_divergences: None,
            failures: BTreeMap::new(),
            response: empty(),
            service: empty(),
            lateness: empty(),
            wait: empty(),
            connect: empty(),
            tls: empty(),
            bytes_sent: 0,
            bytes_received: 0,
            series: BTreeMap::new(),
        }
    }
}

impl Tally {
    fn is_empty(&self) -> bool {
        self.ok + self.diverged + self.failed == 0
    }

    fn add(&mut self, seen: &Measured<'_>) {
        let at_us = seen.started.as_micros();
        match seen.outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Diverged(reasons) => {
                self.diverged += 1;
                let once = Seen { count: 1, first_us: at_us, last_us: at_us };
                reasons.iter().for_each(|reason| self.note(reason, once));
            }
            Outcome::Failed(failure) => {
                self.failed += 1;
                *self.failures.entry(*failure).or_default() += 1;
            }
        }
        if let Some(status) = seen.status {
            *self.statuses.entry(status).or_default() += 1;
        }
        let put = |histogram: &mut Histogram, value: Option<Duration>| {
            if let Some(value) = value {
                histogram.record(value);
            }
        };
        if !matches!(seen.outcome, Outcome::Failed(_)) {
            put(&mut self.response, seen.response);
            put(&mut self.service, seen.service);
            put(&mut self.wait, seen.wait);
        }
        put(&mut self.lateness, seen.lateness);
        put(&mut self.connect, seen.phases.connect.map(Duration::from_micros));
        put(&mut self.tls, seen.phases.tls.map(Duration::from_micros));
        self.bytes_sent = self.bytes_sent.saturating_add(seen.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(seen.bytes_received);
    }

    fn note(&mut self, reason: &Divergence, seen: Seen) {
        if let Some(known) = self.divergences.get_mut(reason) {
            known.merge(seen);
        } else if self.divergences.len() < MAX_DIVERGENCES {
            self.divergences.insert(reason.clone(), seen);
        } else {
            self.note_other(seen);
        }
    }

    fn note_other(&mut self, seen: Seen) {
        match &mut self.other_divergences {
            Some(known) => known.merge(seen),
            None => self.other_divergences = Some(seen),
        }
    }

    fn merge(&mut self, other: Self) {
        self.ok += other.ok;
        self.diverged += other.diverged;
        self.failed += other.failed;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
        for (reason, seen) in &other.divergences {
            self.note(reason, *seen);
        }
        if let Some(seen) = other.other_divergences {
            self.note_other(seen);
        }
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.lateness.merge(&other.lateness);
        self.wait.merge(&other.wait);
        self.connect.merge(&other.connect);
        self.tls.merge(&other.tls);
        self.bytes_sent = self.bytes_sent.saturating_add(other.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(other.bytes_received);
        for (number, cell) in other.series {
            self.series.entry(number).or_default().merge(&cell);
        }
    }

    fn into_endpoint(mut self, name: String) -> Endpoint {
        for histogram in [
            &mut self.response,
            &mut self.service,
            &mut self.lateness,
            &mut self.wait,
            &mut self.connect,
            &mut self.tls,
        ] {
            histogram.settle();
        }
        self.series.values_mut().for_each(Cell::settle);
        let row = |kind: &str, text: String, seen: &Seen| DivergenceCount {
            kind: kind.to_owned(),
            text,
            count: seen.count,
            first_us: seen.first_us,
            last_us: seen.last_us,
        };
        let mut divergences: Vec<_> = self
            .divergences
            .iter()
            .map(|(reason, seen)| row(reason.kind(), reason.to_string().chars().take(MAX_TEXT).collect(), seen))
            .collect();
        divergences.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.kind, &a.text).cmp(&(&b.kind, &b.text))));
        divergences.extend(self.other_divergences.iter().map(|s| row("other", "other divergences".to_owned(), s)));
        Endpoint {
            name,
            ok: self.ok,
            diverged: self.diverged,
            failed: self.failed,
            statuses: self.statuses,
            divergences,
            failures: self.failures.into_iter().map(|(failure, count)| (failure.to_string(), count)).collect(),
            response: self.response,
            service: self.service,
            lateness: self.lateness,
            wait: self.wait,
            connect: self.connect,
            tls: self.tls,
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            series: self.series,
        }
    }
}

impl Seen {
    fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
    }
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
