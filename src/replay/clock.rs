//! The run's clock, and timers finer than the runtime's (whose granularity is a millisecond).
//!
//! One anchor for the whole run: every instant is counted from it, nothing adds up sleeps. Main types: [`Clock`], [`Timer`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::model::Nanos;

/// Monotonic time since the run's anchor.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Instant,
}

impl Clock {
    /// A clock that shows zero at `anchor`.
    pub fn new(anchor: Instant) -> Self {
        Self { anchor }
    }

    /// Time since the anchor.
    pub fn now(&self) -> Nanos {
        Nanos::from_duration(self.anchor.elapsed())
    }
}

/// The timers of one thread: sleepers by due time behind one alarm of the operating system.
#[derive(Debug)]
pub struct Timer {
    clock: Clock,
    alarm: Alarm,
    sleepers: RefCell<BTreeMap<(Nanos, u64), Waker>>,
    /// Tells sleepers with equal due times apart.
    next: Cell<u64>,
}

impl Timer {
    /// A timer; must be made inside the runtime of its thread. Fires only while [`Timer::drive`] runs.
    ///
    /// # Errors
    /// When the operating system gives no alarm (out of descriptors).
    pub fn new(clock: Clock) -> io::Result<Self> {
        Ok(Self { clock, alarm: Alarm::new()?, sleepers: RefCell::new(BTreeMap::new()), next: Cell::new(0) })
    }

    /// Over when `due` has come. Cheap to drop before.
    pub fn sleep_until(self: &Rc<Self>, due: Nanos) -> Sleep {
        Sleep { timer: Rc::clone(self), due, number: None }
    }

    /// Wakes sleepers for ever. Belongs to the thread's main task.
    pub async fn drive(&self) {
        loop {
            self.alarm.rung().await;
            self.wake_due();
        }
    }

    /// Wakes everyone before their time, to look at what has changed.
    pub fn wake_all(&self) {
        for (_, waker) in self.sleepers.take() {
            waker.wake();
        }
    }

    fn wake_due(&self) {
        let mut sleepers = self.sleepers.borrow_mut();
        let now = self.clock.now();
        while let Some(first) = sleepers.first_entry() {
            let due = first.key().0;
            if due > now {
                self.alarm.set(due.since(now));
                return;
            }
            first.remove().wake();
        }
    }

    fn add(&self, due: Nanos, waker: Waker) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        let mut sleepers = self.sleepers.borrow_mut();
        sleepers.insert((due, number), waker);
        if sleepers.first_key_value().is_some_and(|(first, _)| *first == (due, number)) {
            self.alarm.set(due.since(self.clock.now()));
        }
        number
    }
}

/// See [`Timer::sleep_until`].
#[derive(Debug)]
pub struct Sleep {
    timer: Rc<Timer>,
    due: Nanos,
    /// Set while registered.
    number: Option<u64>,
}

impl Sleep {
    /// The instant it waits for.
    pub fn due(&self) -> Nanos {
        self.due
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.clock.now() >= self.due {
            return Poll::Ready(());
        }
        let registered = self.number.is_some_and(|number| {
            let mut sleepers = self.timer.sleepers.borrow_mut();
            sleepers.get_mut(&(self.due, number)).map(|waker| waker.clone_from(cx.waker())).is_some()
        });
        if !registered {
            self.number = Some(self.timer.add(self.due, cx.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.timer.sleepers.borrow_mut().remove(&(self.due, number));
        }
    }
}

/// One alarm of the operating system with nanosecond resolution.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Alarm {
    fd: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
}

#[cfg(target_os = "linux")]
impl Alarm {
    fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use tokio::io::Interest;

        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "sound for an owned descriptor; its successor wants unsafe to say the same")]
        let fd = tokio::io::unix::AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Self { fd })
    }

    /// Rings `after` from now, instead of when it was set to ring before.
    fn set(&self, after: Duration) {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        // All zero would switch the alarm off.
        let after = after.max(Duration::from_nanos(1));
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: after.subsec_nanos().into(),
        };
        let set = timerfd_settime(
            self.fd.get_ref(),
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value: value },
        );
        debug_assert!(set.is_ok(), "a valid time on a timer descriptor: {set:?}");
    }

    async fn rung(&self) {
        loop {
            let Ok(mut ready) = self.fd.readable().await else {
                // Only when the runtime shuts down.
                return std::future::pending().await;
            };
            let mut expirations = [0; 8];
            match rustix::io::read(self.fd.get_ref(), &mut expirations) {
                Ok(_) => return,
                Err(_) => ready.clear_ready(),
            }
        }
    }
}

/// Where there is no timer descriptor the runtime's timer serves, with its millisecond; lateness shows it.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Alarm {
    at: Cell<Option<Instant>>,
    changed: tokio::sync::Notify,
}

#[cfg(not(target_os = "linux"))]
impl Alarm {
    fn new() -> io::Result<Self> {
        Ok(Self { at: Cell::new(None), changed: tokio::sync::Notify::new() })
    }

    fn set(&self, after: Duration) {
        self.at.set(Instant::now().checked_add(after));
        self.changed.notify_one();
    }

    async fn rung(&self) {
        loop {
            let Some(at) = self.at.get() else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(at.into()) => {
                    self.at.set(None);
                    return;
                }
                () = self.changed.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_thread<T>(test: impl AsyncFnOnce(Rc<Timer>) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let timer = Rc::new(Timer::new(Clock::new(Instant::now())).unwrap());
            tokio::select! {
                result = test(Rc::clone(&timer)) => result,
                () = timer.drive() => unreachable!("drives for ever"),
            }
        })
    }

    #[test]
    fn sleepers_wake_in_the_order_of_their_due_times_and_never_early() {
        on_a_thread(async |timer| {
            let order = RefCell::new(Vec::new());
            let start = timer.clock.now();
            let sleeper = async |ms: u64| {
                let due = start.after(Duration::from_millis(ms));
                timer.sleep_until(due).await;
                let woken = timer.clock.now();
                assert!(woken >= due);
                order.borrow_mut().push((ms, woken.since(due)));
            };
            tokio::join!(sleeper(120), sleeper(40), sleeper(80), sleeper(0), sleeper(40));
            let (mut woken, late): (Vec<u64>, Vec<Duration>) = order.borrow().iter().copied().unzip();
            // On a machine so busy that several are due at once, they may wake in any order.
            if late.iter().any(|late| *late >= Duration::from_millis(40)) {
                woken.sort_unstable();
            }
            assert_eq!(woken, [0, 40, 40, 80, 120]);
        });
    }

    #[test]
    fn a_dropped_sleeper_leaves_nothing_behind() {
        on_a_thread(async |timer| {
            let far = timer.sleep_until(Nanos(u64::MAX));
            tokio::select! {
                biased;
                () = far => unreachable!("584 years"),
                () = std::future::ready(()) => {}
            }
            assert!(timer.sleepers.borrow().is_empty());
            timer.sleep_until(timer.clock.now().after(Duration::from_micros(200))).await;
            assert!(timer.sleepers.borrow().is_empty());
        });
    }
}
