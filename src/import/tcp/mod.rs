//! TCP reassembly: segments in, the bytes of each connection out, each direction in order, requests before their answers.
//!
//! Bytes in order pass through as slices. What is out of order waits until its turn comes or the hole before it is given up
//! (see `order`). Knows nothing of packets below and of protocols above; its only clock is packet time. Main type:
//! [`Reassembler`].

mod census;
mod clock;
mod config;
mod connection;
mod fit;
mod hold;
mod key;
mod order;
mod ports;
mod report;
mod serial;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

pub use census::Census;
pub use config::Config;

use super::segment::Segment;
use crate::observe::streams::{ConnectionId, Ending, Streams, UnixNanos};
use clock::{Clock, NEVER, after};
use connection::{Connection, Context, Standing, side};
use fit::Fit;
use key::{End, Key};
use ports::Ports;
use table::{SAME_KEY, Slot, Table};

/// How often silent connections are looked for, in packet time.
const SWEEP: Duration = Duration::from_millis(100);

/// Puts the streams of all connections of a capture in order. Memory is bounded by its [`Config`].
#[derive(Debug)]
pub struct Reassembler {
    config: Config,
    census: Census,
    clock: Clock,
    ports: Ports,
    table: Table,
    /// Connections to look at again, and when.
    schedule: BTreeSet<(UnixNanos, Slot)>,
    buffered: usize,
    packets: u64,
    last_id: u64,
    next_sweep: UnixNanos,
}

/// Where a segment goes.
enum Place {
    /// A known connection; the other one in its lane, if any, is over.
    Into(Slot, Option<Slot>),
    /// A new connection; the one in the slot, if any, is over.
    New(Option<Slot>),
    Nowhere,
}

impl Reassembler {
    /// A reassembler that has seen nothing.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            census: Census::default(),
            clock: Clock::default(),
            ports: Ports::new(),
            table: Table::new(),
            schedule: BTreeSet::new(),
            buffered: 0,
            packets: 0,
            last_id: 0,
            next_sweep: 0,
        }
    }

    /// Reads the next segment of the capture.
    pub fn segment<S: Streams>(&mut self, segment: &Segment<'_>, out: &mut S) {
        self.packets += 1;
        let clock = self.clock.packet(segment.at);
        self.elapse(clock, out);
        let (key, end) = Key::of(segment.source, segment.destination);
        match self.place(&key, end, segment, clock) {
            Place::Into(slot, over) => {
                if let Some(over) = over {
                    self.retire(over, Ending::Reused, out);
                }
                self.accept(slot, end, segment, out);
            }
            Place::New(old) => {
                if let Some(old) = old {
                    self.retire(old, Ending::Reused, out);
                }
                let slot = self.create(key, end, segment, out);
                self.accept(slot, end, segment, out);
            }
            Place::Nowhere => self.census.stray_bytes += segment.payload.len() as u64,
        }
    }

    /// The capture is over: everything that waits is reported, with gaps before it, and every connection ends.
    pub fn end<S: Streams>(&mut self, out: &mut S) {
        for slot in self.table.in_order() {
            self.retire(slot, Ending::EndOfCapture, out);
        }
    }

    /// What was seen so far.
    pub fn census(&self) -> Census {
        self.census
    }

    /// Finds the connection of a segment among those with its addresses and ports.
    fn place(&self, key: &Key, end: End, segment: &Segment<'_>, clock: UnixNanos) -> Place {
        let mut best: Option<(Slot, (bool, bool))> = None;
        let (mut anew, mut stray) = (None, false);
        for (slot, connection) in self.table.with(key) {
            let home = connection.lane == segment.lane;
            match connection.fit(end, segment, clock) {
                Fit::Same => {
                    let rank = (!connection.is_closed(), home);
                    if best.is_none_or(|(_, other)| rank > other) {
                        best = Some((slot, rank));
                    }
                }
                Fit::Anew => anew = anew.or(Some(slot)),
                Fit::Stray => stray = true,
                Fit::Foreign => {}
            }
        }
        if let Some((slot, _)) = best {
            return Place::Into(slot, anew);
        }
        let carries = !segment.payload.is_empty() || segment.cut > 0;
        if anew.is_some() || (!stray && (segment.flags.syn || carries)) { Place::New(anew) } else { Place::Nowhere }
    }

    fn create<S: Streams>(&mut self, key: Key, end: End, segment: &Segment<'_>, out: &mut S) -> Slot {
        let (count, oldest) =
            self.table.with(&key).fold((0, None::<(UnixNanos, Slot)>), |(count, oldest), (slot, it)| {
                let this = (it.touched, slot);
                (count + 1, Some(oldest.map_or(this, |oldest| oldest.min(this))))
            });
        if count >= SAME_KEY
            && let Some((_, oldest)) = oldest
        {
            self.retire(oldest, Ending::Forgotten, out);
        }
        while self.table.len() >= self.config.connections.max(1) {
            let Some(slot) = (0..3).find_map(|list| self.table.oldest(list)).map(|(slot, _)| slot) else { break };
            self.retire(slot, Ending::Forgotten, out);
        }
        self.last_id += 1;
        self.census.connections += 1;
        self.ports.connection(&key);
        if segment.flags.syn && segment.flags.ack {
            self.ports.answered(&key, end);
        }
        let id = ConnectionId(self.last_id);
        let connection = Connection::new(id, key, end, segment, self.clock.now());
        self.table.insert(connection)
    }

    fn accept<S: Streams>(&mut self, slot: Slot, end: End, segment: &Segment<'_>, out: &mut S) {
        let clock = self.clock.now();
        let Some(connection) = self.table.get_mut(slot) else { return };
        if segment.flags.syn && segment.flags.ack && !connection.ends[end].facts.has(side::SYN) {
            self.ports.answered(&connection.key, end);
        }
        let moved = connection.touched >> 27 != clock >> 27;
        let mut cx = context(&self.config, &mut self.census, &self.ports, clock, self.packets);
        let waited = charge(connection);
        connection.accept(end, segment, &mut cx, out);
        let settled = connection.hold.is_none() && waited == 0;
        if !settled {
            self.reschedule(slot, waited);
            self.relieve(out);
        }
        if moved || self.table.is_misplaced(slot) {
            self.table.refresh(slot);
        }
    }

    /// Brings the schedule and the sum of what waits up to date after a connection changed.
    fn reschedule(&mut self, slot: Slot, waited: usize) {
        let clock = self.clock.now();
        let Some(connection) = self.table.get_mut(slot) else { return };
        let cx = context(&self.config, &mut self.census, &self.ports, clock, self.packets);
        let deadline = if connection.is_busy() { connection.deadline(&cx).max(clock + 1) } else { NEVER };
        self.buffered = self.buffered - waited + charge(connection);
        self.census.peak_buffered_bytes = self.census.peak_buffered_bytes.max(self.buffered as u64);
        if let Some(hold) = &mut connection.hold
            && hold.scheduled != deadline
        {
            let old = std::mem::replace(&mut hold.scheduled, deadline);
            if old != NEVER {
                self.schedule.remove(&(old, slot));
            }
            if deadline != NEVER {
                self.schedule.insert((deadline, slot));
            }
            connection.rest();
        }
    }

    /// While too much waits, the most pressing hole is given up.
    fn relieve<S: Streams>(&mut self, out: &mut S) {
        while self.buffered > self.config.buffered_bytes
            && let Some(&(_, slot)) = self.schedule.first()
        {
            let clock = self.clock.now();
            let Some(connection) = self.table.get_mut(slot) else { return };
            let waited = charge(connection);
            let mut cx = context(&self.config, &mut self.census, &self.ports, clock, self.packets);
            if !connection.relieve(&mut cx, out) && charge(connection) == waited {
                connection.close(Ending::Forgotten, &mut cx, out);
            }
            self.reschedule(slot, waited);
        }
    }

    /// Time went on: holes and connections whose time has come.
    fn elapse<S: Streams>(&mut self, clock: UnixNanos, out: &mut S) {
        while let Some(&(deadline, slot)) = self.schedule.first()
            && deadline <= clock
        {
            self.schedule.pop_first();
            let Some(connection) = self.table.get_mut(slot) else { continue };
            if let Some(hold) = &mut connection.hold {
                hold.scheduled = NEVER;
            }
            let waited = charge(connection);
            let mut cx = context(&self.config, &mut self.census, &self.ports, clock, self.packets);
            connection.advance(&mut cx, out);
            self.reschedule(slot, waited);
            if self.table.is_misplaced(slot) {
                self.table.refresh(slot);
            }
        }
        if clock >= self.next_sweep || self.next_sweep - clock > 1 << 32 {
            self.next_sweep = after(clock, SWEEP);
            self.sweep(clock, out);
        }
    }

    fn sweep<S: Streams>(&mut self, clock: UnixNanos, out: &mut S) {
        for list in [Standing::Closed, Standing::Empty, Standing::Open] {
            let limit = if list == Standing::Closed { self.config.linger } else { self.config.idle };
            while let Some((slot, connection)) = self.table.oldest(list as usize)
                && after(connection.touched, limit) <= clock
            {
                self.retire(slot, Ending::Forgotten, out);
            }
        }
    }

    /// Lets a connection go.
    fn retire<S: Streams>(&mut self, slot: Slot, how: Ending, out: &mut S) {
        let Some(mut connection) = self.table.remove(slot) else { return };
        self.buffered -= charge(&connection);
        if let Some(hold) = &mut connection.hold
            && hold.scheduled != NEVER
        {
            self.schedule.remove(&(hold.scheduled, slot));
            hold.scheduled = NEVER;
        }
        let (open, reset) = (!connection.is_closed(), connection.is_reset());
        let clock = self.clock.now();
        if connection.has_payload() || connection.is_busy() {
            let mut cx = context(&self.config, &mut self.census, &self.ports, clock, self.packets);
            connection.close(how, &mut cx, out);
        }
        if connection.has_payload() {
            let unseen = connection.ends.iter().any(|end| !end.facts.has(side::SEEN));
            self.census.one_sided += u64::from(unseen);
            self.census.unclosed += u64::from(open && !reset);
            self.census.forgotten += u64::from(open && !reset && how == Ending::Forgotten);
            self.census.reused += u64::from(open && !reset && how == Ending::Reused);
        } else {
            self.census.empty += 1;
        }
        self.census.handshakes += u64::from(connection.shook_hands());
        self.census.midway += u64::from(connection.midway());
    }
}

fn charge(connection: &Connection) -> usize {
    connection.hold.as_ref().map_or(0, |hold| hold.charge())
}

fn context<'a>(
    config: &'a Config,
    census: &'a mut Census,
    ports: &'a Ports,
    clock: UnixNanos,
    ticket: u64,
) -> Context<'a> {
    Context { config, census, ports, clock, ticket }
}
