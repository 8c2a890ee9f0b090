//! What a connection tells `Streams`: opened when there is something to tell, then bytes, gaps and the end of each side.

use super::clock::NEVER;
use super::connection::{Connection, Context, side, whole};
use super::key::End;
use super::serial::Position;
use crate::model::Side;
use crate::observe::streams::{Ending, Opening, Streams, UnixNanos};

impl Connection {
    /// Hands bytes on that are next.
    pub fn deliver<S: Streams>(&mut self, end: End, at: UnixNanos, bytes: &[u8], cx: &mut Context<'_>, out: &mut S) {
        if bytes.is_empty() {
            return;
        }
        self.open(cx, out);
        let side = self.side(end);
        let me = &mut self.ends[end];
        me.next += bytes.len() as u64;
        me.facts.clear(side::PRESUMED);
        me.facts.set(side::STARTED);
        me.at = me.at.max(at);
        cx.census.delivered_bytes += bytes.len() as u64;
        out.bytes(self.id, side, me.at, bytes);
    }

    /// Reports a gap up to `until`.
    pub fn gap<S: Streams>(&mut self, end: End, at: UnixNanos, until: Position, cx: &mut Context<'_>, out: &mut S) {
        let side = self.side_opened(end, cx, out);
        let me = &mut self.ends[end];
        let start = std::mem::replace(&mut me.next, until);
        me.sent = me.sent.max(until);
        me.facts.clear(side::PRESUMED);
        me.facts.set(side::STARTED);
        me.at = me.at.max(at);
        let at = me.at;
        self.hold().queues[end].lose(start, until);
        cx.census.gaps += 1;
        cx.census.missing_bytes += until - start;
        out.gap(self.id, side, at, until - start);
    }

    /// A FIN is next.
    pub fn finish<S: Streams>(&mut self, end: End, at: UnixNanos, cx: &mut Context<'_>, out: &mut S) {
        let me = &mut self.ends[end];
        me.next += 1;
        me.sent = me.sent.max(me.next);
        self.stop(end, at, Ending::Fin, cx, out);
    }

    /// One side ends, if it has not yet.
    pub fn stop<S: Streams>(&mut self, end: End, at: UnixNanos, how: Ending, cx: &mut Context<'_>, out: &mut S) {
        if self.facts.has(whole::PAYLOAD) {
            self.open(cx, out);
        }
        let side = self.side(end);
        let me = &mut self.ends[end];
        if !me.facts.has(side::STOPPED) {
            me.at = me.at.max(at);
            me.facts.set(side::STOPPED);
            if self.facts.has(whole::OPENED) {
                me.facts.set(side::TOLD);
                out.ended(self.id, side, me.at, how);
            }
        }
        if self.ends.iter().all(|end| end.facts.has(side::STOPPED)) {
            self.facts.set(whole::CLOSED);
        }
    }

    fn side_opened<S: Streams>(&mut self, end: End, cx: &mut Context<'_>, out: &mut S) -> Side {
        self.open(cx, out);
        self.side(end)
    }

    fn side(&self, end: End) -> Side {
        if end == usize::from(self.client) { Side::Request } else { Side::Response }
    }

    fn open<S: Streams>(&mut self, cx: &mut Context<'_>, out: &mut S) {
        if self.facts.has(whole::OPENED) {
            return;
        }
        self.facts.set(whole::OPENED | whole::PAYLOAD);
        let guessed = !self.facts.has(whole::CLIENT);
        if guessed {
            self.client = cx.ports.client(&self.key, usize::from(self.client)) as u8;
        }
        let client = usize::from(self.client);
        let known = |time: UnixNanos| (time != NEVER).then_some(time);
        let opening = Opening {
            client: self.key.address(client),
            server: self.key.address(1 - client),
            syn: known(self.syn),
            syn_ack: known(self.syn_ack),
            ack: known(self.ack),
            first: self.first,
            midway: self.midway(),
            guessed,
        };
        out.opened(self.id, &opening);
        for end in [client, 1 - client] {
            let side = self.side(end);
            let me = &mut self.ends[end];
            if me.facts.has(side::STOPPED) && !me.facts.has(side::TOLD) {
                me.facts.set(side::TOLD);
                out.ended(self.id, side, me.at, Ending::Fin);
            }
        }
    }
}
