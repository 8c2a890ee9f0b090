//! When the steps of a script may start (pure): due times from the recording, dependencies from what is over.
//!
//! ```text
//! due(step)   = arrival + scaled gap                             without a parent
//!             = due(parent) + recorded(parent) + scaled gap      otherwise
//! ready(step) = max(due(step), end of the last of its dependencies)
//! ```
//!
//! Without pauses (`Speed::Max`) there is no schedule to be late against: a step is due when its dependencies are over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::model::Nanos;
use crate::plan::{Script, Speed};

/// What all users of a script share: due times relative to the arrival, and who waits for whom.
#[derive(Debug)]
pub struct Shape {
    /// `None`: due as soon as the dependencies are over.
    due: Option<Vec<Duration>>,
    /// How many steps each step waits for.
    dependencies: Vec<u32>,
    /// The steps that wait for each step.
    followers: Vec<Vec<u32>>,
}

impl Shape {
    /// The shape of a script at a speed.
    pub fn new(script: &Script, speed: Speed) -> Self {
        let steps = &script.steps;
        let mut due: Vec<Duration> = Vec::with_capacity(steps.len());
        let mut followers = vec![Vec::new(); steps.len()];
        for (number, step) in steps.iter().enumerate() {
            let parent = step.parent.and_then(|p| Some((due.get(p as usize)?, steps.get(p as usize)?.recorded)));
            let base = parent.map_or(Duration::ZERO, |(due, recorded)| due.saturating_add(recorded));
            due.push(base.saturating_add(speed.scale(step.gap)));
            for &earlier in &step.after {
                if let Some(list) = followers.get_mut(earlier as usize) {
                    list.push(u32::try_from(number).unwrap_or(u32::MAX));
                }
            }
        }
        Self {
            due: (speed != Speed::Max).then_some(due),
            dependencies: steps.iter().map(|s| u32::try_from(s.after.len()).unwrap_or(u32::MAX)).collect(),
            followers,
        }
    }
}

/// A step whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Index in the script.
    pub step: u32,
    /// When it should have started.
    pub due: Nanos,
    /// When it could have started.
    pub ready: Nanos,
}

/// One user's way through a script.
#[derive(Debug)]
pub struct Schedule<'a> {
    shape: &'a Shape,
    arrival: Nanos,
    /// For each step, how many dependencies are not over, and when the last one that is ended.
    waiting: Vec<(u32, Nanos)>,
    /// Steps with nothing to wait for but their time.
    ready: BinaryHeap<Reverse<(Nanos, u32)>>,
    over: usize,
}

impl<'a> Schedule<'a> {
    /// A user who arrives at `arrival`.
    pub fn new(shape: &'a Shape, arrival: Nanos) -> Self {
        let waiting: Vec<_> = shape.dependencies.iter().map(|&count| (count, arrival)).collect();
        let mut schedule = Self { shape, arrival, waiting, ready: BinaryHeap::new(), over: 0 };
        for step in 0..u32::try_from(shape.dependencies.len()).unwrap_or(u32::MAX) {
            if shape.dependencies[step as usize] == 0 {
                schedule.release(step);
            }
        }
        schedule
    }

    /// Takes the next step that may start at `now`.
    pub fn take(&mut self, now: Nanos) -> Option<Start> {
        let &Reverse((ready, step)) = self.ready.peek()?;
        if ready > now {
            return None;
        }
        self.ready.pop();
        Some(Start { step, due: self.due(step).unwrap_or(ready), ready })
    }

    /// When the next step may start, if one waits for its time alone.
    pub fn next(&self) -> Option<Nanos> {
        self.ready.peek().map(|Reverse((ready, _))| *ready)
    }

    /// Tells that a step ended at `at`, with or without an answer.
    pub fn over(&mut self, step: u32, at: Nanos) {
        self.over += 1;
        let shape = self.shape;
        for &follower in shape.followers.get(step as usize).into_iter().flatten() {
            let (count, last) = &mut self.waiting[follower as usize];
            *count = count.saturating_sub(1);
            *last = (*last).max(at);
            if *count == 0 {
                self.release(follower);
            }
        }
    }

    /// Steps that are not over.
    pub fn left(&self) -> usize {
        self.waiting.len() - self.over
    }

    fn due(&self, step: u32) -> Option<Nanos> {
        self.shape.due.as_ref().map(|due| self.arrival.after(due[step as usize]))
    }

    fn release(&mut self, step: u32) {
        let last = self.waiting[step as usize].1;
        let ready = self.due(step).map_or(last, |due| due.max(last));
        self.ready.push(Reverse((ready, step)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExchangeId, SessionId};
    use crate::plan::{BodyTemplate, Expectation, PageKind, Step, Template};

    const MS: u64 = 1_000_000;

    /// (dependencies, parent, gap ms, recorded ms)
    fn script(steps: &[(&[u32], Option<u32>, u64, u64)]) -> Script {
        let step = |&(after, parent, gap, recorded): &(&[u32], Option<u32>, u64, u64)| Step {
            exchange: ExchangeId(1),
            endpoint: 0,
            transaction: None,
            target: 0,
            after: after.to_vec(),
            parent,
            gap: Duration::from_millis(gap),
            recorded: Duration::from_millis(recorded),
            request: Template {
                method: "GET".into(),
                target: Vec::new(),
                headers: Vec::new(),
                body: BodyTemplate::None,
            },
            extract: Vec::new(),
            expect: Expectation { status: 200, redirect: None, kind: PageKind::Empty },
        };
        Script { session: SessionId(1), steps: steps.iter().map(step).collect(), variables: Vec::new() }
    }

    /// A page (0), two fetches of it at once (1, 2), and a click after both (3).
    fn page() -> Script {
        script(&[(&[], None, 0, 100), (&[0], Some(0), 20, 50), (&[0], Some(0), 20, 80), (&[1, 2], Some(2), 1000, 10)])
    }

    #[test]
    fn due_times_follow_the_recording_not_the_server() {
        let shape = Shape::new(&page(), Speed::Factor(2.0));
        let mut schedule = Schedule::new(&shape, Nanos(1000 * MS));
        assert_eq!(schedule.take(Nanos(999 * MS)), None);
        let first = schedule.take(Nanos(1003 * MS)).unwrap();
        assert_eq!(first, Start { step: 0, due: Nanos(1000 * MS), ready: Nanos(1000 * MS) });
        // The server took 400 ms instead of 100: the fetches are due at 1110 as recorded, but could not start before 1400.
        schedule.over(0, Nanos(1400 * MS));
        for step in [1, 2] {
            let start = schedule.take(Nanos(1400 * MS)).unwrap();
            assert_eq!(start, Start { step, due: Nanos(1110 * MS), ready: Nanos(1400 * MS) });
        }
        schedule.over(2, Nanos(1410 * MS));
        assert_eq!(schedule.next(), None, "one dependency is not over");
        schedule.over(1, Nanos(1405 * MS));
        // Due: 1110 + 80 + 1000 / 2.
        assert_eq!(schedule.next(), Some(Nanos(1690 * MS)));
        assert_eq!(schedule.take(Nanos(1689 * MS)), None);
        assert_eq!(schedule.take(Nanos(1690 * MS)).unwrap().due, Nanos(1690 * MS));
        schedule.over(3, Nanos(1700 * MS));
        assert_eq!(schedule.left(), 0);
    }

    #[test]
    fn without_pauses_a_step_is_due_when_its_dependencies_are_over() {
        let shape = Shape::new(&page(), Speed::Max);
        let mut schedule = Schedule::new(&shape, Nanos(5));
        assert_eq!(schedule.take(Nanos(5)).unwrap(), Start { step: 0, due: Nanos(5), ready: Nanos(5) });
        schedule.over(0, Nanos(9));
        assert_eq!(schedule.take(Nanos(9)).unwrap(), Start { step: 1, due: Nanos(9), ready: Nanos(9) });
    }

    #[test]
    fn a_dependency_that_cannot_end_leaves_the_step_unplayed() {
        let shape = Shape::new(&script(&[(&[], None, 0, 1), (&[7], Some(7), 0, 1)]), Speed::Factor(1.0));
        let mut schedule = Schedule::new(&shape, Nanos(0));
        let first = schedule.take(Nanos(0)).unwrap();
        schedule.over(first.step, Nanos(1));
        assert_eq!((schedule.next(), schedule.left()), (None, 1));
    }
}
