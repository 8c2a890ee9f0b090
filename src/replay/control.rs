//! The handle by which others stop a replay and watch it. Written by each engine thread for itself, summed by the reader.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// How urgently the run must end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Halt {
    /// Not at all.
    #[default]
    No,
    /// Nothing new begins; what is under way may end.
    Gently,
    /// What is under way is given up.
    AtOnce,
}

/// Stops a run and tells how far it is. Clones are the same handle. Serves one run.
#[derive(Clone, Debug)]
pub struct Control {
    halt: Arc<watch::Sender<Halt>>,
    threads: Arc<Mutex<Vec<Arc<Counters>>>>,
}

impl Default for Control {
    fn default() -> Self {
        Self { halt: Arc::new(watch::Sender::new(Halt::No)), threads: Arc::default() }
    }
}

impl Control {
    /// A handle for a run that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// No new sessions and steps; exchanges under way get a moment to end.
    pub fn stop(&self) {
        self.halt_at_least(Halt::Gently);
    }

    /// Ends at once; exchanges under way are given up.
    pub fn abort(&self) {
        self.halt_at_least(Halt::AtOnce);
    }

    /// How far the run is.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        for counters in self.threads.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            counters.add_to(&mut progress);
        }
        progress
    }

    /// For an engine thread: changes of urgency.
    pub(super) fn halts(&self) -> watch::Receiver<Halt> {
        let mut halts = self.halt.subscribe();
        if *halts.borrow() != Halt::No {
            halts.mark_changed();
        }
        halts
    }

    /// For an engine thread: counters of its own.
    pub(super) fn counters(&self) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counters));
        counters
    }

    fn halt_at_least(&self, halt: Halt) {
        self.halt.send_if_modified(|now| {
            let more = halt > *now;
            *now = halt.max(*now);
            more
        });
    }
}

/// Counts of a run, at any moment. A session is one pass of one virtual user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Virtual users whose arrival has come.
    pub users_started: u64,
    /// Virtual users that are done.
    pub users_done: u64,
    /// Sessions begun.
    pub sessions_started: u64,
    /// Sessions in which every step got a whole answer.
    pub sessions_completed: u64,
    /// Sessions in which a step got none.
    pub sessions_failed: u64,
    /// Sessions cut short by the end of the run.
    pub sessions_interrupted: u64,
    /// Steps that were sent and ended: `ok + diverged + failed`.
    pub sent: u64,
    /// Answers like the recorded ones.
    pub ok: u64,
    /// Whole answers that differ.
    pub diverged: u64,
    /// No whole answer.
    pub failed: u64,
    /// Steps of begun sessions that were not played, or given up when the run was aborted.
    pub skipped: u64,
}

/// Counts and coarse distributions of a run, at any moment.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Counts.
    pub totals: Totals,
    /// Response times so far.
    pub response: Spread,
    /// Lateness so far.
    pub lateness: Spread,
}

/// A distribution in coarse buckets (an eighth of a power of two), for live display; results use finer ones.
#[derive(Clone, Debug)]
pub struct Spread {
    counts: Box<[u64; BUCKETS]>,
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]) }
    }
}

impl Spread {
    /// Upper bound of the bucket that holds the quantile (0 to 1); `None` when nothing was counted.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let total: u64 = self.counts.iter().sum();
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            (seen >= rank).then(|| Duration::from_micros(bucket_end(bucket)))
        })
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts.clone();
        for (now, before) in counts.iter_mut().zip(earlier.counts.iter()) {
            *now = now.saturating_sub(*before);
        }
        Self { counts }
    }
}

const SUB_BUCKETS: u64 = 8;
const BUCKETS: usize = 320;

fn bucket_of(micros: u64) -> usize {
    if micros < SUB_BUCKETS {
        return micros as usize;
    }
    let octave = u64::from(micros.ilog2()) - 3;
    let bucket = SUB_BUCKETS * (octave + 1) + ((micros >> octave) - SUB_BUCKETS);
    usize::try_from(bucket).map_or(BUCKETS - 1, |b| b.min(BUCKETS - 1))
}

/// The largest number of microseconds in a bucket.
fn bucket_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB_BUCKETS {
        return bucket;
    }
    let octave = bucket / SUB_BUCKETS - 1;
    ((bucket % SUB_BUCKETS + SUB_BUCKETS + 1) << octave) - 1
}

/// The counters of one engine thread, which alone writes them.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) users_started: Count,
    pub(super) users_done: Count,
    pub(super) sessions_started: Count,
    pub(super) sessions_completed: Count,
    pub(super) sessions_failed: Count,
    pub(super) sessions_interrupted: Count,
    pub(super) ok: Count,
    pub(super) diverged: Count,
    pub(super) failed: Count,
    pub(super) skipped: Count,
    response: Box<[Count; BUCKETS]>,
    lateness: Box<[Count; BUCKETS]>,
}

impl Default for Counters {
    fn default() -> Self {
        let spread = || Box::new(std::array::from_fn(|_| Count::default()));
        Self {
            users_started: Count::default(),
            users_done: Count::default(),
            sessions_started: Count::default(),
            sessions_completed: Count::default(),
            sessions_failed: Count::default(),
            sessions_interrupted: Count::default(),
            ok: Count::default(),
            diverged: Count::default(),
            failed: Count::default(),
            skipped: Count::default(),
            response: spread(),
            lateness: spread(),
        }
    }
}

impl Counters {
    /// Counts the times of one sample.
    pub(super) fn times(&self, response: Duration, lateness: Duration) {
        for (spread, time) in [(&self.response, response), (&self.lateness, lateness)] {
            spread[bucket_of(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))].add(1);
        }
    }

    fn add_to(&self, progress: &mut Progress) {
        let totals = &mut progress.totals;
        let (ok, diverged, failed) = (self.ok.value(), self.diverged.value(), self.failed.value());
        for (total, count) in [
            (&mut totals.users_started, self.users_started.value()),
            (&mut totals.users_done, self.users_done.value()),
            (&mut totals.sessions_started, self.sessions_started.value()),
            (&mut totals.sessions_completed, self.sessions_completed.value()),
            (&mut totals.sessions_failed, self.sessions_failed.value()),
            (&mut totals.sessions_interrupted, self.sessions_interrupted.value()),
            (&mut totals.sent, ok + diverged + failed),
            (&mut totals.ok, ok),
            (&mut totals.diverged, diverged),
            (&mut totals.failed, failed),
            (&mut totals.skipped, self.skipped.value()),
        ] {
            *total += count;
        }
        for (sum, own) in [(&mut progress.response, &self.response), (&mut progress.lateness, &self.lateness)] {
            for (sum, own) in sum.counts.iter_mut().zip(own.iter()) {
                *sum += own.value();
            }
        }
    }
}

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Only for the thread that owns the counters: it need not be one indivisible step.
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_hold_what_they_say() {
        for micros in (0..5000).chain([1 << 20, (1 << 20) + 1, 3_600_000_000]) {
            let bucket = bucket_of(micros);
            assert!(bucket_end(bucket) >= micros, "{micros}");
            assert!(bucket == 0 || bucket_end(bucket - 1) < micros, "{micros}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_come_from_all_threads_and_can_be_taken_of_an_interval() {
        let control = Control::new();
        let (one, two) = (control.counters(), control.counters());
        assert_eq!(control.progress().response.quantile(0.5), None);
        for _ in 0..90 {
            one.times(Duration::from_micros(5), Duration::ZERO);
        }
        let before = control.progress();
        for _ in 0..10 {
            two.times(Duration::from_micros(7), Duration::ZERO);
        }
        let now = control.progress();
        assert_eq!(now.response.quantile(0.90), Some(Duration::from_micros(5)));
        assert_eq!(now.response.quantile(0.91), Some(Duration::from_micros(7)));
        assert_eq!(now.response.since(&before.response).quantile(0.01), Some(Duration::from_micros(7)));
        assert_eq!(now.lateness.quantile(1.0), Some(Duration::ZERO));
    }

    #[test]
    fn a_halt_never_becomes_less_urgent() {
        let control = Control::new();
        let halts = control.halts();
        control.abort();
        control.stop();
        assert_eq!(*halts.borrow(), Halt::AtOnce);
    }
}
