//! The phases of an entry become instants.
//!
//! A HAR starts an entry when the browser wanted it (`startedDateTime`) and calls the time in the browser's own queue
//! `blocked`. An exchange starts behind that: at the moment from which the network could see it, as a proxy or a packet
//! capture would. The queue is the browser's limit of connections, and a replay has its own. Look-up and connecting lie
//! inside the exchange, before the request is sent, as they do in a recording.

use super::json::Value;
use crate::model::{Nanos, Span, Timing};

/// A duration in milliseconds as nanoseconds; nothing for what is not known (`-1`) and for what no exchange lasts.
pub(super) fn nanos(milliseconds: f64) -> u64 {
    const MOST: f64 = 1e18;
    let nanos = milliseconds * 1e6;
    if nanos > 0.0 && nanos < MOST { nanos.round() as u64 } else { 0 }
}

/// Where a writer puts the TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Inside `connect`, as HAR 1.2 says.
    Inside,
    /// Behind it.
    Behind,
}

/// The durations of an entry, none for `-1` and what is missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Phases {
    blocked: Option<u64>,
    dns: Option<u64>,
    connect: Option<u64>,
    ssl: Option<u64>,
    send: Option<u64>,
    wait: Option<u64>,
    receive: Option<u64>,
    /// The whole, as the writer counts it.
    time: Option<u64>,
}

impl Phases {
    /// From an entry.
    pub(super) fn of(entry: Value<'_>) -> Self {
        let known = |value: Option<Value<'_>>| value.and_then(Value::number).filter(|ms| *ms >= 0.0).map(nanos);
        let timings = entry.get("timings");
        let phase = |name| known(timings.and_then(|timings| timings.get(name)));
        Self {
            blocked: phase("blocked"),
            dns: phase("dns"),
            connect: phase("connect"),
            ssl: phase("ssl"),
            send: phase("send"),
            wait: phase("wait"),
            receive: phase("receive"),
            time: known(entry.get("time")),
        }
    }

    /// Whether nothing took any time.
    pub(super) fn are_nothing(&self) -> bool {
        let all = [self.blocked, self.dns, self.connect, self.ssl, self.send, self.wait, self.receive, self.time];
        all.into_iter().flatten().all(|phase| phase == 0)
    }

    /// The instants of an exchange that began on the network at `start`.
    pub(super) fn timing(&self, start: Nanos, tls: Tls, answered: bool) -> Timing {
        let mut at = start;
        let mut pass = |phase: Option<u64>| {
            let span = Span { start: at, end: Nanos(at.0.saturating_add(phase.unwrap_or(0))) };
            at = span.end;
            span
        };
        pass(self.dns);
        let ssl = self.ssl.filter(|ssl| *ssl > 0);
        let (tcp, ssl) = match (self.connect, ssl) {
            (Some(connect), Some(ssl)) if tls == Tls::Inside && connect >= ssl => (Some(connect - ssl), Some(ssl)),
            known => known,
        };
        let connect = pass(tcp);
        let handshake = pass(ssl);
        let send = pass(self.send);
        let wait = pass(self.wait);
        let receive = pass(self.receive);

        let whole = self.time.unwrap_or(0).saturating_sub(self.blocked.unwrap_or(0));
        let by_time = Nanos(start.0.saturating_add(whole));
        let known = self.wait.is_some() && self.receive.is_some() || self.time.is_none();
        let end = if known { receive.end } else { receive.end.max(by_time) };
        let sent = self.send.or(self.wait).is_some() && (answered || self.wait.unwrap_or(0) > 0);
        let first = self.wait.filter(|_| answered).map(|_| wait.end);
        // A connection that was there already is told as -1 by some and as 0 by others.
        let opened = tcp.is_some_and(|tcp| tcp > 0) || ssl.is_some();
        Timing {
            started: start,
            request_done: sent.then_some(send.end),
            connect: (opened && tcp.is_some()).then_some(connect),
            tls: ssl.map(|_| handshake),
            upstream_sent: sent.then_some(send.start),
            upstream_first: first,
            upstream_done: answered.then_some(end),
            client_first: first,
            finished: end,
        }
    }
}

/// The instants that an export of ours put beside the phases, in nanoseconds from `start`, which is known to the microsecond.
pub(super) fn own_timing(entry: Value<'_>, start: Nanos) -> Option<Timing> {
    let own = entry.get("_overdub_timing")?;
    let started = start.0.saturating_add(own.get("started")?.count()?.min(999));
    let after = |value: Value<'_>| value.count().map(|nanos| Nanos(started.saturating_add(nanos)));
    let at = |name| own.get(name).and_then(after);
    let span = |name| {
        let mut ends = own.get(name)?.items();
        let (start, end) = (after(ends.next()?)?, after(ends.next()?)?);
        (end >= start).then_some(Span { start, end })
    };
    Some(Timing {
        started: Nanos(started),
        request_done: at("request_done"),
        connect: span("connect"),
        tls: span("tls"),
        upstream_sent: at("upstream_sent"),
        upstream_first: at("upstream_first"),
        upstream_done: at("upstream_done"),
        client_first: at("client_first"),
        finished: at("finished")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn timing(json: &str, tls: Tls) -> Timing {
        Phases::of(Value::first(json.as_bytes()).unwrap()).timing(Nanos(0), tls, true)
    }

    fn span(start: u64, end: u64) -> Option<Span> {
        Some(Span { start: Nanos(start), end: Nanos(end) })
    }

    #[test]
    fn the_handshake_lies_inside_connect_or_behind_it() {
        let inside =
            r#"{"time":60.5,"timings":{"blocked":5,"dns":1,"connect":30,"ssl":20,"send":0.5,"wait":19,"receive":5}}"#;
        let timing_inside = timing(inside, Tls::Inside);
        assert_eq!(timing_inside.connect, span(MS, 11 * MS));
        assert_eq!(timing_inside.tls, span(11 * MS, 31 * MS));
        assert_eq!(timing_inside.upstream_sent, Some(Nanos(31 * MS)));
        assert_eq!(timing_inside.request_done, Some(Nanos(31 * MS + MS / 2)));
        assert_eq!(timing_inside.upstream_first, Some(Nanos(50 * MS + MS / 2)));
        assert_eq!(timing_inside.finished, Nanos(55 * MS + MS / 2));
        assert_eq!(timing(inside, Tls::Behind).tls, span(31 * MS, 51 * MS));
        let behind = timing(r#"{"timings":{"connect":10,"ssl":12,"send":0,"wait":1,"receive":1}}"#, Tls::Inside);
        assert_eq!((behind.connect, behind.tls), (span(0, 10 * MS), span(10 * MS, 22 * MS)), "more than fits inside");
    }

    #[test]
    fn what_is_missing_is_not_invented() {
        let reused = timing(r#"{"timings":{"connect":-1,"ssl":-1,"send":0,"wait":3,"receive":1}}"#, Tls::Inside);
        assert_eq!((reused.connect, reused.tls, reused.finished), (None, None, Nanos(4 * MS)));
        let zeros = timing(r#"{"timings":{"connect":0,"ssl":0,"dns":0,"send":0,"wait":3,"receive":1}}"#, Tls::Inside);
        assert_eq!((zeros.connect, zeros.tls), (None, None));
        let whole = timing(r#"{"time":"7"}"#, Tls::Inside);
        assert_eq!((whole.upstream_first, whole.finished), (None, Nanos(7 * MS)));
        let failed = Phases::of(Value::first(br#"{"time":7,"timings":{"send":-1,"wait":-1,"receive":-1}}"#).unwrap());
        let failed = failed.timing(Nanos(5), Tls::Inside, false);
        assert_eq!((failed.upstream_sent, failed.upstream_done, failed.finished), (None, None, Nanos(5 + 7 * MS)));
        let wild =
            r#"{"time":1e300,"timings":{"blocked":"x","dns":1e400,"connect":9e99,"send":null,"wait":[],"receive":{}}}"#;
        assert_eq!(timing(wild, Tls::Inside).finished, Nanos(0));
    }
}
