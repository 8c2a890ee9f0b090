//! A virtual user: passes through a script, each with fresh cookies, variables and connections.
//!
//! ```text
//! wait for the arrival ─► pass ─► pass ─► … ─► done
//! pass: { step due and free? start it │ a step ended? note it │ nothing? wait } until all steps are over
//! ```

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::measure::Failure;
use crate::model::Nanos;
use crate::plan::{PlannedUser, Script};

use super::clock::Sleep;
use super::control::Counters;
use super::engine::Sink;
use super::lane::Lane;
use super::player::{Ended, Player};
use super::schedule::Schedule;

/// Plays all passes of the user with this index. Its arrival has come.
pub async fn live<S: Sink>(lane: Rc<Lane<S>>, index: usize) {
    let common = &lane.common;
    let Some(planned) = common.plan.users.get(index) else { return };
    let Some(script) = common.plan.scripts.get(planned.script) else { return };
    let _presence = Presence::new(&lane.counters);
    let mut arrival = planned.arrival;
    for pass in 0..common.plan.iterations {
        if lane.is_halting() || script.steps.is_empty() {
            return;
        }
        if play(&lane, planned, script, pass, arrival).await == Pass::Unreachable && pass + 1 < common.plan.iterations {
            // Else a target that is down would be asked as fast as it can refuse.
            pause(&lane, lane.clock.now().after(common.config.retry_pause)).await;
        }
        arrival = lane.clock.now();
    }
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Every step got a whole answer.
    Completed,
    /// A step got none.
    Failed,
    /// The first step got no connection: the rest was not tried.
    Unreachable,
    /// The run ends.
    Interrupted,
}

async fn play<S: Sink>(lane: &Lane<S>, planned: &PlannedUser, script: &Script, number: u32, arrival: Nanos) -> Pass {
    let mut session = Session::new(&lane.counters, script.steps.len());
    let Some(shape) = lane.common.shapes.get(planned.script) else { return Pass::Interrupted };
    let player = Player::new(lane, planned, script, number);
    let mut schedule = Schedule::new(shape, arrival);
    let mut flights = Flights::default();
    let mut sleep: Option<Sleep> = None;
    let mut answered = false;
    let mut pass = Pass::Completed;
    loop {
        let goes_on = pass != Pass::Unreachable && !lane.is_halting();
        while let Some(start) = schedule.next().filter(|_| goes_on).and_then(|_| schedule.take(lane.clock.now())) {
            flights.add(Box::pin(player.play(start)));
        }
        let next = schedule.next().filter(|_| goes_on);
        if flights.is_empty() && next.is_none() {
            break;
        }
        if sleep.as_ref().map(Sleep::due) != next {
            sleep = next.map(|due| lane.timer.sleep_until(due));
        }
        let Some(ended) = wait(lane, &mut flights, sleep.as_mut()).await else { continue };
        let Ended::Over { step, at, failure } = ended else { continue };
        schedule.over(step, at);
        session.left = schedule.left();
        match failure {
            None => answered = true,
            Some(Failure::Refused | Failure::Connect | Failure::Tls) if !answered => pass = Pass::Unreachable,
            Some(_) if pass == Pass::Completed => pass = Pass::Failed,
            Some(_) => {}
        }
    }
    if pass != Pass::Unreachable && schedule.left() > 0 && lane.is_halting() {
        pass = Pass::Interrupted;
    }
    session.close(pass);
    pass
}

/// Waits for the end of a flight (which it returns), for the time to start another, or for the end of the run.
async fn wait<S: Sink>(lane: &Lane<S>, flights: &mut Flights<'_>, mut sleep: Option<&mut Sleep>) -> Option<Ended> {
    let halting = lane.is_halting();
    poll_fn(|cx| {
        if let Poll::Ready(ended) = flights.poll(cx) {
            return Poll::Ready(Some(ended));
        }
        if lane.is_halting() != halting {
            return Poll::Ready(None);
        }
        match &mut sleep {
            Some(sleep) => Pin::new(&mut **sleep).poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

/// Waits until `due`, or until the run ends.
async fn pause<S: Sink>(lane: &Lane<S>, due: Nanos) {
    let mut sleep = pin!(lane.timer.sleep_until(due));
    poll_fn(|cx| if lane.is_halting() { Poll::Ready(()) } else { sleep.as_mut().poll(cx) }).await;
}

/// The steps of one user that are under way. Few: what a page fetches at once.
#[derive(Default)]
struct Flights<'a> {
    list: Vec<Pin<Box<dyn Future<Output = Ended> + 'a>>>,
}

impl<'a> Flights<'a> {
    fn add(&mut self, flight: Pin<Box<dyn Future<Output = Ended> + 'a>>) {
        self.list.push(flight);
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        for at in 0..self.list.len() {
            if let Poll::Ready(ended) = self.list[at].as_mut().poll(cx) {
                drop(self.list.remove(at));
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    }
}

/// Counts a user as there, until it is dropped.
struct Presence<'a> {
    counters: &'a Counters,
}

impl<'a> Presence<'a> {
    fn new(counters: &'a Counters) -> Self {
        counters.users_started.add(1);
        Self { counters }
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.counters.users_done.add(1);
    }
}

/// Counts a session, whatever becomes of it: one that is dropped half-way was interrupted.
struct Session<'a> {
    counters: &'a Counters,
    left: usize,
    closed: bool,
}

impl<'a> Session<'a> {
    fn new(counters: &'a Counters, steps: usize) -> Self {
        counters.sessions_started.add(1);
        Self { counters, left: steps, closed: false }
    }

    fn close(mut self, pass: Pass) {
        self.closed = true;
        self.counters.skipped.add(self.left as u64);
        match pass {
            Pass::Completed => self.counters.sessions_completed.add(1),
            Pass::Failed | Pass::Unreachable => self.counters.sessions_failed.add(1),
            Pass::Interrupted => self.counters.sessions_interrupted.add(1),
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if !self.closed {
            self.counters.skipped.add(self.left as u64);
            self.counters.sessions_interrupted.add(1);
        }
    }
}
