//! The engine: deals the plan's users out to threads, each with an event loop of its own, and gathers what they leave.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet, LocalSet};

use crate::measure::{Aggregate, Failure, Sample};
use crate::model::Nanos;
use crate::plan::Plan;

use super::clock::{Clock, Timer};
use super::control::{Control, Counters, Halt, Totals};
use super::dial::Target;
use super::error::ReplayError;
use super::lane::{Common, Lane};
use super::schedule::Shape;
use super::trust::Trust;
use super::user;

/// How a plan is played.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose certificates are accepted.
    pub trust: Trust,
    /// Limit of a TCP connect, and of a TLS handshake.
    pub connect_timeout: Duration,
    /// Limit of one exchange on a connection, to the last byte.
    pub answer_timeout: Duration,
    /// How long exchanges under way may go on when the run is stopped.
    pub grace: Duration,
    /// Pause of a user between passes when the target could not be reached.
    pub retry_pause: Duration,
    /// The run stops after this time.
    pub duration: Option<Duration>,
    /// Exchanges in flight at once, over all threads.
    pub max_in_flight: usize,
    /// Number of threads; `None`: one for each core, as far as there are users.
    pub threads: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            connect_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(5),
            retry_pause: Duration::from_secs(1),
            duration: None,
            max_in_flight: 16 * 1024,
            threads: None,
        }
    }
}

/// Takes the samples of one thread.
pub trait Sink: Send + 'static {
    /// Takes a step's numbers.
    fn sample(&mut self, sample: &Sample);
}

impl Sink for Aggregate {
    fn sample(&mut self, sample: &Sample) {
        self.record(sample);
    }
}

/// Why the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was played.
    Played,
    /// The time was up.
    TimeUp,
    /// It was stopped.
    Stopped,
}

/// What a run leaves.
#[derive(Debug)]
pub struct Finished<S> {
    /// The sinks of the threads.
    pub sinks: Vec<S>,
    /// Counts.
    pub totals: Totals,
    /// For each class of failure one example in words.
    pub failures: BTreeMap<Failure, String>,
    /// From the anchor to the end of the last exchange.
    pub elapsed: Duration,
    /// Why it ended.
    pub end: End,
}

/// Plays a plan to its end. `sink` makes the receiver of samples of each thread. Blocks; must not be called inside an
/// async runtime.
///
/// # Errors
/// When the run cannot begin. What goes wrong later is in the samples.
pub fn run<S: Sink>(
    plan: &Arc<Plan>,
    config: Config,
    sink: impl FnMut() -> S,
    control: &Control,
) -> Result<Finished<S>, ReplayError> {
    let targets: Vec<Target> = plan.targets.iter().map(Target::resolve).collect::<Result<_, _>>()?;
    let tls = if targets.iter().any(Target::is_tls) { Some(config.trust.client_config()?) } else { None };
    let threads = thread_count(&config, plan);
    let shapes = plan.scripts.iter().map(|script| Shape::new(script, plan.speed)).collect();
    let common = Arc::new(Common { plan: Arc::clone(plan), config, targets, shapes, tls });
    let sinks: Vec<S> = std::iter::repeat_with(sink).take(threads).collect();
    let (anchor, outcomes) = play(&common, sinks, control)?;

    let mut finished = Finished {
        sinks: Vec::with_capacity(threads),
        totals: control.progress().totals,
        failures: BTreeMap::new(),
        elapsed: anchor.elapsed(),
        end: End::Played,
    };
    for outcome in outcomes {
        finished.sinks.push(outcome.sink);
        for (failure, example) in outcome.failures {
            finished.failures.entry(failure).or_insert(example);
        }
        if finished.end == End::Played || outcome.end == End::Stopped {
            finished.end = outcome.end;
        }
    }
    Ok(finished)
}

fn thread_count(config: &Config, plan: &Plan) -> usize {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    config.threads.unwrap_or_else(cores).min(plan.users.len()).max(1)
}

struct Outcome<S> {
    sink: S,
    failures: BTreeMap<Failure, String>,
    end: End,
}

/// Starts the threads, then the clock, and waits for all.
fn play<S: Sink>(
    common: &Arc<Common>,
    sinks: Vec<S>,
    control: &Control,
) -> Result<(Instant, Vec<Outcome<S>>), ReplayError> {
    let threads = sinks.len();
    thread::scope(|scope| {
        let mut lanes = Vec::with_capacity(threads);
        for (number, sink) in sinks.into_iter().enumerate() {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(ReplayError::Start)?;
            let (starter, start) = mpsc::channel::<Instant>();
            let (common, counters, halts) = (Arc::clone(common), control.counters(), control.halts());
            let lane = move || {
                // The sender is gone when another thread could not be started.
                let anchor = start.recv().ok()?;
                Some(play_lane(&runtime, common, (number, threads), (sink, counters), halts, anchor))
            };
            let named = thread::Builder::new().name(format!("replay-{number}"));
            lanes.push((starter, named.spawn_scoped(scope, lane).map_err(ReplayError::Start)?));
        }
        let anchor = Instant::now();
        let running: Vec<_> = lanes
            .into_iter()
            .map(|(starter, handle)| {
                let _ = starter.send(anchor);
                handle
            })
            .collect();
        let mut outcomes = Vec::with_capacity(threads);
        for handle in running {
            match handle.join() {
                Ok(Some(outcome)) => outcomes.push(outcome.map_err(ReplayError::Start)?),
                Ok(None) => {}
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok((anchor, outcomes))
    })
}

fn play_lane<S: Sink>(
    runtime: &Runtime,
    common: Arc<Common>,
    (number, threads): (usize, usize),
    (sink, counters): (S, Arc<Counters>),
    halts: watch::Receiver<Halt>,
    anchor: Instant,
) -> std::io::Result<Outcome<S>> {
    let local = LocalSet::new();
    local.block_on(runtime, async move {
        let clock = Clock::new(anchor);
        let timer = Rc::new(Timer::new(clock)?);
        let in_flight = common.config.max_in_flight.div_ceil(threads);
        let mine = (number..common.plan.users.len()).step_by(threads);
        let lane = Rc::new(Lane::new(common, Rc::clone(&timer), clock, (sink, counters), in_flight));
        let end = tokio::select! {
            end = usher(&lane, mine, halts) => end,
            () = timer.drive() => unreachable!("drives for ever"),
        };
        let lane = Rc::into_inner(lane).expect("all tasks that held the lane have been joined");
        let (sink, failures) = lane.finish();
        Ok(Outcome { sink, failures, end })
    })
}

/// Lets users in when they arrive, and sends them home when the run must end.
async fn usher<S: Sink>(
    lane: &Rc<Lane<S>>,
    mut arriving: impl Iterator<Item = usize>,
    mut halts: watch::Receiver<Halt>,
) -> End {
    let config = &lane.common.config;
    let mut users = JoinSet::new();
    let mut next = arriving.next();
    let mut end = End::Played;
    // First the end of the run's time; once the run is halting, the end of the grace.
    let mut deadline = config.duration.map(Nanos::from_duration);
    loop {
        if lane.is_halting() {
            next = None;
        }
        let arrival = next.and_then(|index| lane.common.plan.users.get(index)).map(|user| user.arrival);
        if next.is_none() && users.is_empty() {
            return end;
        }
        let halt = tokio::select! {
            biased;
            Ok(()) = halts.changed() => {
                end = End::Stopped;
                *halts.borrow_and_update()
            }
            () = until(lane, deadline) => {
                if lane.is_halting() {
                    Halt::AtOnce
                } else {
                    end = End::TimeUp;
                    Halt::Gently
                }
            }
            Some(left) = users.join_next(), if !users.is_empty() => {
                look_after(left);
                Halt::No
            }
            () = until(lane, arrival) => {
                if let Some(index) = next {
                    users.spawn_local(user::live(Rc::clone(lane), index));
                }
                next = arriving.next();
                Halt::No
            }
        };
        match halt {
            Halt::No => {}
            Halt::Gently => {
                lane.halt();
                deadline = Some(lane.clock.now().after(config.grace));
            }
            Halt::AtOnce => {
                lane.halt();
                users.abort_all();
                deadline = None;
            }
        }
    }
}

/// Waits for an instant, for ever without one.
async fn until<S>(lane: &Lane<S>, instant: Option<Nanos>) {
    match instant {
        Some(instant) => lane.timer.sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// A user that was sent home is no surprise; a panic goes on to whoever waits for the run.
fn look_after(left: Result<(), JoinError>) {
    if let Err(error) = left
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}
