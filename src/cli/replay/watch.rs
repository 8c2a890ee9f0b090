//! Runs the engine while signals are heeded and progress is shown.

use std::io::IsTerminal;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::{CliError, Console, Exit};
use crate::measure::Aggregate;
use crate::plan::Plan;
use crate::replay::{self, Config, Control, Finished, Progress, ReplayError};

/// How often progress is shown where it overwrites itself.
const TICK: Duration = Duration::from_secs(1);
/// So many ticks apart are the lines of a log.
const TICKS_OF_A_LOG: u64 = 5;

/// Plays the plan to its end. The first signal stops the run, the second aborts it.
pub fn play(plan: &Arc<Plan>, config: Config, console: &Console) -> Result<Finished<Aggregate>, CliError> {
    let broken = |e: &dyn std::error::Error| CliError::because(Exit::Broken, "cannot replay", e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| broken(&e))?;
    // Before the engine starts: a signal in its first moment must stop it like any other.
    let signals = {
        let _inside = runtime.enter();
        Signals::new().map_err(|e| broken(&e))?
    };
    let control = Control::new();
    let (done, finished) = oneshot::channel();
    let engine = {
        let (plan, control) = (Arc::clone(plan), control.clone());
        let endpoints = plan.endpoints.len();
        thread::Builder::new().name("replay".to_owned()).spawn(move || {
            // The receiver is there as long as this thread is waited for.
            let _ = done.send(replay::run(&plan, config, || Aggregate::new(endpoints), &control));
        })
    }
    .map_err(|e| broken(&e))?;
    let users = plan.users.len();
    let outcome = runtime.block_on(watch(finished, &control, signals, users, console));
    if let Err(panic) = engine.join() {
        std::panic::resume_unwind(panic);
    }
    match outcome {
        Some(Ok(finished)) => Ok(finished),
        Some(Err(error)) => Err(start_error(&error)),
        // Only when the engine's thread panicked, which has been passed on.
        None => Err(CliError::new(Exit::Broken, "the replay engine ended without a result")),
    }
}

fn start_error(error: &ReplayError) -> CliError {
    match error {
        ReplayError::Trust(_) => CliError::because(Exit::Usage, "--upstream-ca", error),
        _ => CliError::because(Exit::Broken, "cannot replay", error),
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }
}

type Outcome = Result<Finished<Aggregate>, ReplayError>;

async fn watch(
    mut finished: oneshot::Receiver<Outcome>,
    control: &Control,
    mut signals: Signals,
    users: usize,
    console: &Console,
) -> Option<Outcome> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    let terminal = std::io::stderr().is_terminal();
    let mut meter = Meter::new(control, users);
    let mut heard = 0;
    let mut count = 0;
    let result = loop {
        tokio::select! {
            result = &mut finished => break result.ok(),
            _ = signals.interrupt.recv() => heard += 1,
            _ = signals.terminate.recv() => heard += 1,
            _ = ticks.tick() => {
                count += 1;
                if terminal {
                    console.progress(meter.line(control));
                } else if count % TICKS_OF_A_LOG == 0 {
                    console.say(meter.line(control));
                }
                continue;
            }
        }
        if heard == 1 {
            control.stop();
            console.end_progress();
            console.say("stopping: waiting up to 5 s for what is under way; once more to give it up");
        } else {
            control.abort();
        }
    };
    if terminal && count > 0 {
        console.progress(meter.line(control));
        console.end_progress();
    }
    result
}

/// Rates of the last interval.
struct Meter {
    before: Progress,
    at: Instant,
    users: usize,
}

impl Meter {
    fn new(control: &Control, users: usize) -> Self {
        Self { before: control.progress(), at: Instant::now(), users }
    }

    fn line(&mut self, control: &Control) -> String {
        let (now, at) = (control.progress(), Instant::now());
        let seconds = at.duration_since(self.at).as_secs_f64().max(0.001);
        let line = progress_line(&now, &self.before, seconds, self.users);
        (self.before, self.at) = (now, at);
        line
    }
}

fn progress_line(now: &Progress, before: &Progress, seconds: f64, users: usize) -> String {
    let totals = now.totals;
    let rate = totals.sent.saturating_sub(before.totals.sent) as f64 / seconds;
    let quantile = |quantile: Option<Duration>| quantile.map_or_else(|| "-".to_owned(), short);
    format!(
        "users {}/{users}  sent {}  ok {}  diverged {}  failed {}  {rate:.0} req/s  p95 {}  late p95 {}",
        totals.users_started.saturating_sub(totals.users_done),
        totals.sent,
        totals.ok,
        totals.diverged,
        totals.failed,
        quantile(now.response.since(&before.response).quantile(0.95)),
        quantile(now.lateness.since(&before.lateness).quantile(0.95)),
    )
}

/// A duration in three digits or so.
pub fn short(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..100_000 => format!("{:.1} ms", micros as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (micros, text) in
            [(0, "0 us"), (999, "999 us"), (1500, "1.5 ms"), (123_456, "123 ms"), (61_000_000, "61.00 s")]
        {
            assert_eq!(short(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn progress_is_one_line_with_the_rate_of_the_interval() {
        let mut now = Progress::default();
        now.totals.sent = 250;
        now.totals.users_started = 10;
        now.totals.users_done = 4;
        let mut before = Progress::default();
        before.totals.sent = 150;
        let line = progress_line(&now, &before, 2.0, 40);
        assert_eq!(line, "users 6/40  sent 250  ok 0  diverged 0  failed 0  50 req/s  p95 -  late p95 -");
    }
}
