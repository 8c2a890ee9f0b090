//! Instants become phases: they follow each other without gaps, and their sum is `time`.
//!
//! What lies between two instants that HAR has no phase for counts to the phase in front of the next one: before
//! connecting it is `blocked`, before sending it is `send`.

use serde_json::{Map, Value, json};

use crate::model::{Nanos, Span, Timing};

/// `timings`, and their sum.
pub(super) fn phases(timing: &Timing) -> (Value, f64) {
    let mut at = timing.started;
    let mut pass = |to: Option<Nanos>| {
        let to = to.unwrap_or(at).max(at);
        let length = to.0 - at.0;
        at = to;
        length
    };
    let opening = [timing.connect, timing.tls].into_iter().flatten();
    let opened = opening.clone().map(|span| span.start).min();
    let ready = opening.map(|span| span.end).max();
    let blocked = pass(opened);
    let connect = pass(ready);
    let tls = timing.tls.map_or(0, |span| span.end.0.saturating_sub(span.start.0)).min(connect);
    let sent = timing.request_done.max(timing.upstream_sent);
    let send = pass(sent);
    let wait = pass(timing.upstream_first.or(timing.client_first).or(sent.and(Some(timing.finished))));
    let receive = pass(Some(timing.finished));
    let sum = blocked + connect + send + wait + receive;
    let known = |phase: u64, is_known: bool| if is_known { json!(ms(phase)) } else { json!(-1) };
    let timings = json!({
        "blocked": known(blocked, opened.is_some()),
        "dns": -1,
        "connect": known(connect, opened.is_some()),
        "ssl": known(tls, timing.tls.is_some()),
        "send": ms(send),
        "wait": ms(wait),
        "receive": ms(receive),
    });
    (timings, ms(sum))
}

/// All instants in nanoseconds from the start, whose own part below a microsecond is `started`.
pub(super) fn exact(timing: &Timing, started_unix_ns: u64) -> Value {
    let after = |at: Nanos| at.0.saturating_sub(timing.started.0);
    let mut all = Map::new();
    all.insert("started".to_owned(), json!(started_unix_ns % 1000));
    let instants = [
        ("request_done", timing.request_done),
        ("upstream_sent", timing.upstream_sent),
        ("upstream_first", timing.upstream_first),
        ("upstream_done", timing.upstream_done),
        ("client_first", timing.client_first),
        ("finished", Some(timing.finished)),
    ];
    for (name, at) in instants {
        if let Some(at) = at {
            all.insert(name.to_owned(), json!(after(at)));
        }
    }
    for (name, span) in [("connect", timing.connect), ("tls", timing.tls)] {
        if let Some(Span { start, end }) = span {
            all.insert(name.to_owned(), json!([after(start), after(end)]));
        }
    }
    Value::Object(all)
}

/// Nanoseconds as milliseconds.
pub(super) fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn phases_follow_each_other_and_sum_up() {
        let at = |ms: u64| Nanos(ms * MS);
        let timing = Timing {
            started: at(10),
            connect: Some(Span { start: at(11), end: at(13) }),
            tls: Some(Span { start: at(13), end: at(17) }),
            upstream_sent: Some(at(18)),
            request_done: Some(at(12)),
            upstream_first: Some(at(30)),
            upstream_done: Some(at(39)),
            client_first: Some(at(31)),
            finished: at(40),
        };
        let (phases, sum) = phases(&timing);
        assert_eq!(
            phases,
            json!({"blocked":1.0,"dns":-1,"connect":6.0,"ssl":4.0,"send":1.0,"wait":12.0,"receive":10.0})
        );
        assert!((sum - 30.0).abs() < 1e-9);
    }

    #[test]
    fn what_did_not_happen_takes_no_time() {
        let timing = Timing { started: Nanos(5), finished: Nanos(5 + 3 * MS), ..Timing::default() };
        assert_eq!(
            phases(&timing).0,
            json!({"blocked":-1,"dns":-1,"connect":-1,"ssl":-1,"send":0.0,"wait":0.0,"receive":3.0})
        );
    }
}
