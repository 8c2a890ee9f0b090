//! What the virtual users of one engine thread share with each other, and with nobody else.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ClientConfig;
use tokio::sync::Semaphore;

use crate::measure::{Failure, Outcome, Sample};
use crate::model::Nanos;
use crate::plan::Plan;

use super::buffers::Buffers;
use super::clock::{Clock, Timer};
use super::control::Counters;
use super::dial::Target;
use super::engine::{Config, Sink};
use super::exchange::Broken;
use super::schedule::Shape;

/// What all threads read and none writes.
#[derive(Debug)]
pub struct Common {
    /// What is played.
    pub plan: Arc<Plan>,
    /// How.
    pub config: Config,
    /// By index of `Plan::targets`.
    pub targets: Vec<Target>,
    /// By index of `Plan::scripts`.
    pub shapes: Vec<Shape>,
    /// Settings of TLS; none when no target needs it.
    pub tls: Option<ClientConfig>,
}

/// One thread's part of the engine.
#[derive(Debug)]
pub struct Lane<S> {
    /// What all threads share.
    pub common: Arc<Common>,
    /// The run's clock.
    pub clock: Clock,
    /// The thread's timers.
    pub timer: Rc<Timer>,
    /// Spare buffers.
    pub buffers: Buffers,
    /// The thread's counters.
    pub counters: Arc<Counters>,
    /// Exchanges that may be in flight at once; the rest wait, and their lateness shows it.
    pub in_flight: Semaphore,
    halting: Cell<bool>,
    sink: RefCell<S>,
    failures: RefCell<BTreeMap<Failure, String>>,
    /// Wall clock at the run's anchor.
    unix_anchor: Duration,
}

impl<S: Sink> Lane<S> {
    /// A lane that takes part in a run, with room for `in_flight` exchanges.
    pub fn new(
        common: Arc<Common>,
        timer: Rc<Timer>,
        clock: Clock,
        (sink, counters): (S, Arc<Counters>),
        in_flight: usize,
    ) -> Self {
        let unix_now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            common,
            clock,
            timer,
            buffers: Buffers::default(),
            counters,
            in_flight: Semaphore::new(in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            halting: Cell::new(false),
            sink: RefCell::new(sink),
            failures: RefCell::default(),
            unix_anchor: unix_now.saturating_sub(clock.now().as_duration()),
        }
    }

    /// Whether nothing new may begin.
    pub fn is_halting(&self) -> bool {
        self.halting.get()
    }

    /// Nothing new begins from here on; whoever waits for a time is woken to see it.
    pub fn halt(&self) {
        self.halting.set(true);
        self.timer.wake_all();
    }

    /// Wall clock since the Unix epoch; does not jump when the system's clock is set.
    pub fn unix(&self, now: Nanos) -> Duration {
        self.unix_anchor.saturating_add(now.as_duration())
    }

    /// Takes a sample into the results and the counters.
    pub fn sample(&self, sample: &Sample) {
        self.counters.times(sample.response_time(), sample.lateness());
        match sample.outcome {
            Outcome::Ok => self.counters.ok.add(1),
            Outcome::Diverged(_) => self.counters.diverged.add(1),
            Outcome::Failed(_) => self.counters.failed.add(1),
        }
        self.sink.borrow_mut().sample(sample);
    }

    /// Keeps the first example of each class of failure.
    pub fn failed(&self, broken: Broken) {
        self.failures.borrow_mut().entry(broken.failure).or_insert(broken.detail);
    }

    /// What the thread leaves behind.
    pub fn finish(self) -> (S, BTreeMap<Failure, String>) {
        (self.sink.into_inner(), self.failures.into_inner())
    }
}
