//! Counts and small histograms over time, in slots that double in length when a run outgrows them.
//!
//! Memory depends on the number of slots and endpoints, never on how long a run lasts. Main type: [`Timeline`].

use serde::{Deserialize, Serialize};

use super::histogram::{Histogram, Precision};

/// Length of a slot at the start of a run, in microseconds. Three doublings make a second.
pub const FIRST_SLOT_US: u64 = 125_000;

/// Most slots that a timeline has.
pub const MAX_SLOTS: usize = 1_200;

/// All endpoints together over time. A slot counts the exchanges that started in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Length of each slot: 125 ms times a power of two, in microseconds.
    pub slot_us: u64,
    /// The slots from the run's anchor on.
    pub slots: Vec<Slot>,
}

/// What happened in one slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// Exchanges that started.
    pub started: u64,
    /// Of these: whole answers that differ.
    pub diverged: u64,
    /// Of these: no whole answer.
    pub failed: u64,
    /// Time that exchanges were under way in this slot, added up, in microseconds: divided by the slot's length it is
    /// the mean number of exchanges in flight.
    pub busy_us: u64,
    /// Response times of those that started here.
    pub response: Histogram,
    /// Service times of those that started here.
    pub service: Histogram,
    /// Generator lateness of those that started here.
    pub lateness: Histogram,
}

/// What happened to one endpoint in one slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Exchanges that started.
    pub started: u64,
    /// Of these: diverged or failed.
    pub errors: u64,
    /// Response times.
    pub response: Histogram,
    /// Service times.
    pub service: Histogram,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { slot_us: FIRST_SLOT_US, slots: Vec::new() }
    }
}

impl Timeline {
    /// The slot of an instant; none when it lies beyond what slots of this length can hold.
    pub(super) fn slot_at(&self, micros: u64, limit: usize) -> Option<usize> {
        usize::try_from(micros / self.slot_us).ok().filter(|&slot| slot < limit)
    }

    /// The slot with this number; those before it are made when they are missing.
    pub(super) fn slot(&mut self, number: usize) -> &mut Slot {
        while self.slots.len() <= number {
            self.slots.push(Slot::default());
        }
        &mut self.slots[number]
    }

    /// Doubles the length of the slots.
    pub(super) fn coarsen(&mut self) {
        self.slot_us = self.slot_us.saturating_mul(2);
        let mut halved = Vec::with_capacity(self.slots.len().div_ceil(2));
        let mut slots = std::mem::take(&mut self.slots).into_iter();
        while let Some(mut slot) = slots.next() {
            if let Some(next) = slots.next() {
                slot.merge(&next);
            }
            halved.push(slot);
        }
        self.slots = halved;
    }

    /// The same timeline in at most `points` slots (at least one), for charts.
    pub fn at_most(&self, points: usize) -> Self {
        let mut coarse = self.clone();
        while coarse.slots.len() > points.max(1) {
            coarse.coarsen();
        }
        coarse
    }

    /// Marks the time from `from_us` to `to_us` as one exchange under way.
    pub(super) fn busy(&mut self, from_us: u64, to_us: u64) {
        let slot_us = self.slot_us;
        let mut at = from_us;
        while at < to_us {
            let Some(number) = self.slot_at(at, MAX_SLOTS) else { return };
            let end = to_us.min((at / slot_us).saturating_add(1).saturating_mul(slot_us));
            let slot = self.slot(number);
            slot.busy_us = slot.busy_us.saturating_add(end - at);
            at = end;
        }
    }

    /// Adds a timeline with slots of the same length.
    pub(super) fn merge(&mut self, other: &Self) {
        for (number, slot) in other.slots.iter().enumerate() {
            self.slot(number).merge(slot);
        }
    }
}

impl Default for Slot {
    fn default() -> Self {
        let empty = || Histogram::new(Precision::Coarse);
        Self { started: 0, diverged: 0, failed: 0, busy_us: 0, response: empty(), service: empty(), lateness: empty() }
    }
}

impl Slot {
    fn merge(&mut self, other: &Self) {
        self.started = self.started.saturating_add(other.started);
        self.diverged = self.diverged.saturating_add(other.diverged);
        self.failed = self.failed.saturating_add(other.failed);
        self.busy_us = self.busy_us.saturating_add(other.busy_us);
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.lateness.merge(&other.lateness);
    }

    pub(super) fn settle(&mut self) {
        self.response.settle();
        self.service.settle();
        self.lateness.settle();
    }
}

impl Default for Cell {
    fn default() -> Self {
        let empty = || Histogram::new(Precision::Coarse);
        Self { started: 0, errors: 0, response: empty(), service: empty() }
    }
}

impl Cell {
    pub(super) fn merge(&mut self, other: &Self) {
        self.started = self.started.saturating_add(other.started);
        self.errors = self.errors.saturating_add(other.errors);
        self.response.merge(&other.response);
        self.service.merge(&other.service);
    }

    pub(super) fn settle(&mut self) {
        self.response.settle();
        self.service.settle();
    }
}
