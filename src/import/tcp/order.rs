//! What to do with bytes that wait: deliver them when their turn comes, give up the hole before them when it is time.
//!
//! An item (bytes or a FIN) may go when everything before it in its direction went, and everything it acknowledges in
//! the other direction went. A hole is given up when its time has come:
//!
//! ```text
//! the receiver acknowledged what is behind the hole       `tolerance` after that was seen
//! the other side sent bytes that acknowledge the hole     `tolerance` after these were seen
//! either side sent a RST                                  `tolerance` after that was seen
//! the receiver says nothing                               `blind` after it was last heard or the hole was seen
//! too much waits; the connection is over                  at once
//! ```

use super::clock::{NEVER, after};
use super::connection::{Connection, Context, EARLIER, side};
use super::hold::Mark;
use super::key::End;
use super::serial::Position;
use crate::observe::streams::{Ending, Streams, UnixNanos};

/// A hole somebody waits behind.
#[derive(Clone, Copy, Debug)]
struct Hole {
    end: End,
    until: Position,
    due: UnixNanos,
    at: UnixNanos,
    /// Bytes after it, or a FIN, prove that it is not a FIN itself.
    certain: bool,
}

/// What the first waiting item of a direction can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Nothing,
    Hole,
    /// Only the other direction is not far enough.
    Waits(u64),
    Goes(u64),
}

impl Connection {
    /// Delivers what can go and gives up what is due; to be called after anything changed, and when time has come.
    pub fn advance<S: Streams>(&mut self, cx: &mut Context<'_>, out: &mut S) {
        if let Some(settle) = self.hold().settle {
            let full = self.hold().queues.iter().any(|queue| queue.charge() > cx.config.direction_bytes);
            if cx.clock < settle.until && settle.packets > 0 && !full {
                return;
            }
            self.hold().settle = None;
        }
        self.pump(cx, out);
        while let Some(hole) = self.hole(cx)
            && (hole.due <= cx.clock || self.is_over_bound(cx))
        {
            self.give_up(hole, cx, out);
        }
        if let Some(reset) = self.hold().reset
            && after(reset.clock, cx.config.reset_linger) <= cx.clock
        {
            self.close(Ending::Reset, cx, out);
        }
        self.rest();
    }

    /// Gives up the most pressing hole, due or not. False when nothing waits for one.
    pub fn relieve<S: Streams>(&mut self, cx: &mut Context<'_>, out: &mut S) -> bool {
        self.hold().settle = None;
        self.pump(cx, out);
        let hole = self.hole(cx);
        if let Some(hole) = hole {
            self.give_up(hole, cx, out);
        }
        self.rest();
        hole.is_some()
    }

    /// Ends the connection: everything that waits goes, with gaps before it; then both sides end.
    pub fn close<S: Streams>(&mut self, how: Ending, cx: &mut Context<'_>, out: &mut S) {
        let closed = self.is_closed();
        let reset = self.hold.as_mut().and_then(|hold| hold.reset.take());
        if closed {
            self.rest();
            return;
        }
        if self.is_busy() {
            self.hold().settle = None;
            self.pump(cx, out);
            while let Some(hole) = self.hole(cx) {
                self.give_up(hole, cx, out);
            }
        }
        let at = self.touched;
        if self.has_payload() {
            for end in [0, 1] {
                self.lose_tail(end, cx, out);
            }
        }
        let (first, how, time) = reset.map_or((0, how, at), |reset| (reset.by, Ending::Reset, reset.at));
        self.stop(first, time, how, cx, out);
        self.stop(1 - first, time, how, cx, out);
        self.shut(how == Ending::Reset);
        self.rest();
    }

    /// When somebody must look again.
    pub fn deadline(&self, cx: &Context<'_>) -> UnixNanos {
        let Some(hold) = &self.hold else { return NEVER };
        if let Some(settle) = hold.settle {
            return settle.until;
        }
        let reset = hold.reset.map_or(NEVER, |reset| after(reset.clock, cx.config.reset_linger));
        self.hole(cx).map_or(NEVER, |hole| hole.due).min(reset)
    }

    fn is_over_bound(&self, cx: &Context<'_>) -> bool {
        let bound = cx.config.direction_bytes;
        self.hold.as_ref().is_some_and(|hold| hold.queues.iter().any(|queue| queue.charge() > bound))
    }

    fn pump<S: Streams>(&mut self, cx: &mut Context<'_>, out: &mut S) {
        loop {
            let end = match (self.turn(0), self.turn(1)) {
                (Turn::Goes(a), Turn::Goes(b)) => usize::from(a > b),
                (Turn::Goes(_), _) => 0,
                (_, Turn::Goes(_)) => 1,
                // Each acknowledges the other: the later is a retransmission, and its acknowledgement newer than its bytes.
                (Turn::Waits(a), Turn::Waits(b)) => usize::from(b > a),
                _ => return,
            };
            let fin = {
                let queue = &mut self.hold().queues[end];
                match queue.take_bytes() {
                    Some((bytes, mark)) => {
                        self.deliver(end, mark.at, &bytes, cx, out);
                        continue;
                    }
                    None => queue.fin.take(),
                }
            };
            if let Some((_, mark)) = fin {
                cx.census.stray_bytes += self.hold().queues[end].discard();
                self.finish(end, mark.at, cx, out);
            }
        }
    }

    fn turn(&self, end: End) -> Turn {
        match self.head(end) {
            None => Turn::Nothing,
            Some((position, _)) if position > self.ends[end].next => Turn::Hole,
            Some((_, mark)) if self.satisfied(end, mark.need) => Turn::Goes(mark.ticket),
            Some((_, mark)) => Turn::Waits(mark.ticket),
        }
    }

    fn head(&self, end: End) -> Option<(Position, &Mark)> {
        self.hold.as_ref().and_then(|hold| hold.queues[end].head())
    }

    /// The hole whose time comes first.
    fn hole(&self, cx: &Context<'_>) -> Option<Hole> {
        let holes = [self.hole_of(0, cx), self.hole_of(1, cx)];
        holes.into_iter().flatten().min_by_key(|hole| (hole.due, hole.end))
    }

    fn hole_of(&self, end: End, cx: &Context<'_>) -> Option<Hole> {
        let me = &self.ends[end];
        let hold = self.hold.as_ref()?;
        if !me.facts.has(side::PLACED) || me.facts.has(side::STOPPED) {
            return None;
        }
        let behind = self.head(end).filter(|(position, _)| *position > me.next);
        let known = behind.map(|(position, mark)| {
            let due = if mark.covered == NEVER {
                // A receiver that is heard and says nothing of so much is right, and the number that lies so far off wrong.
                let far = position - me.next > EARLIER && self.ends[1 - end].facts.has(side::SEEN);
                let patience = if far { cx.config.idle } else { cx.config.blind };
                after(mark.clock.max(hold.queues[1 - end].heard), patience)
            } else {
                after(mark.covered, cx.config.tolerance)
            };
            let reset = hold.reset.map_or(NEVER, |reset| after(reset.clock.max(mark.clock), cx.config.tolerance));
            Hole { end, until: position, due: due.min(reset), at: mark.at, certain: true }
        });
        let answer = self
            .head(1 - end)
            .filter(|(position, mark)| *position <= self.ends[1 - end].next && !self.satisfied(1 - end, mark.need));
        let answered = answer.map(|(_, mark)| {
            let until = behind.map_or(mark.need, |(position, _)| position.min(mark.need));
            let certain = behind.is_some() || me.sent >= until;
            Hole { end, until, due: after(mark.clock, cx.config.tolerance), at: mark.at, certain }
        });
        [known, answered].into_iter().flatten().min_by_key(|hole| hole.due)
    }

    fn give_up<S: Streams>(&mut self, hole: Hole, cx: &mut Context<'_>, out: &mut S) {
        let me = &mut self.ends[hole.end];
        if !hole.certain && hole.until == me.next + 1 {
            me.facts.set(side::PRESUMED);
        } else if !hole.certain && hole.until - me.next > EARLIER {
            self.hold().queues[1 - hole.end].waive(); // a damaged acknowledgement must not swallow the stream
        } else {
            self.gap(hole.end, hole.at, hole.until, cx, out);
        }
        self.pump(cx, out);
    }

    /// Bytes at the end that were sent, or acknowledged, and never captured.
    fn lose_tail<S: Streams>(&mut self, end: End, cx: &mut Context<'_>, out: &mut S) {
        let (me, peer) = (self.ends[end], self.ends[1 - end]);
        if me.facts.has(side::STOPPED) || !me.facts.has(side::PLACED) || !me.facts.has(side::SEEN) {
            return;
        }
        // The last number acknowledged may be a FIN's: certainly when there is just one, likely when the peer closed too.
        let fin = me.acked <= me.next + 1 || peer.facts.has(side::STOPPED);
        let acked = me.acked.saturating_sub(u64::from(fin));
        let until = if acked > me.sent + EARLIER { me.sent } else { me.sent.max(acked) };
        if until > me.next {
            self.gap(end, self.touched, until, cx, out);
        }
    }
}
