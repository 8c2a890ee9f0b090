//! Aggregates, runs and their file together.

use std::time::Duration;

use crate::model::{
    Body, Exchange, ExchangeId, Headers, Incomplete, Nanos, Origin, Remark, Request, Response, Scheme, SessionId, Span,
    Timing, Transport, Version,
};

use super::*;

fn info(kind: RunKind) -> RunInfo {
    RunInfo {
        kind,
        program: "0.1.0".to_owned(),
        started_unix_ns: 1_700_000_000_000_000_000,
        capture: "shop.dub".to_owned(),
        rules: None,
        targets: vec!["http://127.0.0.1:9000".to_owned()],
        speed: Some(1.0),
        load: Load::Multiplied(1),
        users: 1,
        iterations: 1,
        seed: 7,
        skipped: Vec::new(),
        unexplained: 2,
    }
}

fn sample(endpoint: u32, due_ms: u64, late_ms: u64, service_ms: u64) -> Sample {
    let due = Nanos(due_ms * 1_000_000);
    let started = due.after(Duration::from_millis(late_ms));
    Sample {
        endpoint,
        due,
        ready: due,
        started,
        done: started.after(Duration::from_millis(service_ms)),
        phases: Phases { wait: Some(Duration::from_millis(service_ms)), ..Phases::default() },
        status: Some(200),
        outcome: Outcome::Ok,
        bytes_sent: 100,
        bytes_received: 1_000,
    }
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("GET http://shop.test/{i}")).collect()
}

/// 4000 samples of three endpoints over 400 s, some diverged, some failed.
fn mixed() -> Vec<Sample> {
    (0..4_000_u64)
        .map(|i| {
            let mut sample = sample((i % 3) as u32, i * 100, i % 5, 10 + (i * 7919) % 300);
            match i % 40 {
                0 => sample.outcome = Outcome::Failed(Failure::Timeout),
                1 => {
                    let variable = format!("token{}", i % 400);
                    sample.outcome = Outcome::Diverged(vec![
                        Divergence::Status { recorded: 200, replayed: 302 },
                        Divergence::Missing { variable },
                    ]);
                }
                _ => {}
            }
            sample
        })
        .collect()
}

fn run_of(samples: &[Sample]) -> Run {
    let mut aggregate = Aggregate::new(3);
    samples.iter().for_each(|s| aggregate.record(s));
    Run::new(aggregate, &names(3), info(RunKind::Replayed))
}

fn bytes_of(run: &Run) -> Vec<u8> {
    let mut bytes = Vec::new();
    run.write_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn numbers_of_a_known_set_are_what_they_must_be() {
    // Services 1 ms to 1000 ms, one each, every one 2 ms late: the 500th, 900th, 990th and 1000th value, to the upper
    // end of buckets 0.512 ms wide at most. Responses are 2 ms more.
    let mut aggregate = Aggregate::new(1);
    (1..=1000).for_each(|ms| aggregate.record(&sample(0, ms, 2, ms)));
    let summary = Run::new(aggregate, &names(1), info(RunKind::Replayed)).summary();
    let near = |got: u64, want: u64| assert!((want..=want + want / 1000 + 1).contains(&got), "{got} for {want}");
    let (service, response, lateness) =
        (summary.service_us.unwrap(), summary.response_us.unwrap(), summary.lateness_us.unwrap());
    for (got, want) in [
        (service.p50, 500_000),
        (service.p90, 900_000),
        (service.p99, 990_000),
        (service.max, 1_000_000),
        (response.p50, 502_000),
        (response.max, 1_002_000),
        (lateness.p50, 2_000),
        (lateness.max, 2_000),
    ] {
        near(got, want);
    }
    assert_eq!(summary.exchanges, ExchangeCounts { sent: 1000, ok: 1000, ..ExchangeCounts::default() });
    assert_eq!(summary.duration_us, 2_002_000);
}

#[test]
fn threads_merged_in_any_order_equal_one_thread() {
    let samples = mixed();
    let whole = run_of(&samples);
    for order in [[0, 1, 2], [2, 0, 1]] {
        let mut merged = Aggregate::default();
        for part in order {
            let mut aggregate = Aggregate::new(3);
            samples.iter().skip(part).step_by(3).for_each(|s| aggregate.record(s));
            merged.merge(aggregate);
        }
        assert_eq!(Run::new(merged, &names(3), info(RunKind::Replayed)), whole);
    }
}

#[test]
fn every_exchange_is_in_exactly_one_slot_and_one_cell_however_long_the_run() {
    for stretch in [1, 60, 3600] {
        let samples: Vec<Sample> = (0..1000).map(|i| sample((i % 3) as u32, i * stretch * 50, 0, 20)).collect();
        let run = run_of(&samples);
        assert!(run.timeline.slots.len() <= MAX_SLOTS);
        assert_eq!(run.timeline.slots.iter().map(|s| s.started).sum::<u64>(), 1000);
        assert_eq!(run.timeline.slots.iter().map(|s| s.busy_us).sum::<u64>(), 1000 * 20_000);
        let cells: u64 = run.endpoints.iter().flat_map(|e| e.series.values()).map(|c| c.response.count()).sum();
        assert_eq!(cells, 1000);
        assert_eq!(run.timeline.at_most(60).slots.iter().map(|s| s.response.count()).sum::<u64>(), 1000);
    }
}

#[test]
fn an_absurd_instant_neither_panics_nor_fills_memory() {
    let mut aggregate = Aggregate::new(1);
    aggregate.record(&sample(0, 5, 0, 5));
    aggregate.record(&Sample { done: Nanos(u64::MAX), ..sample(0, 5, 0, 5) });
    aggregate.record(&Sample { due: Nanos(u64::MAX), started: Nanos(u64::MAX), ..sample(0, 5, 0, 5) });
    let run = Run::new(aggregate, &names(1), info(RunKind::Replayed));
    assert!(run.timeline.slots.len() <= MAX_SLOTS);
    assert_eq!(run.exchanges().sent, 3);
}

#[test]
fn divergences_are_counted_by_text_and_bounded() {
    let mut aggregate = Aggregate::new(1);
    for i in 0..1000_u64 {
        let replayed = if i % 2 == 0 { "/login".to_owned() } else { format!("/x/{i}") };
        let outcome = Outcome::Diverged(vec![Divergence::Redirect { recorded: "/orders/{}".to_owned(), replayed }]);
        aggregate.record(&Sample { outcome, ..sample(0, i, 0, 1) });
    }
    let run = Run::new(aggregate, &names(1), info(RunKind::Replayed));
    let found = &run.endpoints[0].divergences;
    assert_eq!((found[0].count, found[0].text.as_str()), (500, "redirect to /login instead of /orders/{}"));
    assert_eq!((found[0].first_us, found[0].last_us), (0, 998_000));
    assert!(found.len() <= 65);
    assert_eq!(found.iter().map(|d| d.count).sum::<u64>(), 1000);
    assert_eq!(found.last().unwrap().kind, "other");
}

#[test]
fn failures_are_counted_but_have_no_response_time() {
    let run = run_of(&mixed());
    let counts = run.exchanges();
    assert_eq!((counts.sent, counts.failed, counts.diverged), (4000, 100, 100));
    assert_eq!(run.all(|e| &e.response).count(), 3900);
    assert_eq!(run.all(|e| &e.lateness).count(), 4000);
    assert_eq!(run.endpoints.iter().map(|e| e.failures["no answer in time"]).sum::<u64>(), 100);
}

#[test]
fn the_slowest_exchanges_are_the_slowest_and_sorted() {
    let samples: Vec<Sample> = (0..500).map(|i| sample(0, i, 0, (i * 7919) % 501)).collect();
    let run = run_of(&samples);
    let mut expected: Vec<u64> = samples.iter().map(|s| s.response_time().as_micros() as u64).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    let got: Vec<u64> = run.slowest.iter().map(|s| s.response_us).collect();
    assert_eq!(got, expected[..50]);
}

#[test]
fn endpoints_that_were_never_called_are_left_out() {
    let run = run_of(&[sample(2, 0, 0, 1)]);
    assert_eq!(run.endpoints.len(), 1);
    assert_eq!(run.endpoints[0].name, "GET http://shop.test/2");
    assert_eq!(run.slowest[0].endpoint, 0);
}

#[test]
fn the_summary_has_the_fields_that_scripts_rely_on() {
    let json = serde_json::to_value(run_of(&mixed()).summary()).unwrap();
    for pointer in [
        "/sessions/started",
        "/sessions/completed",
        "/sessions/failed",
        "/exchanges/sent",
        "/exchanges/ok",
        "/exchanges/diverged",
        "/exchanges/failed",
        "/exchanges/skipped",
        "/response_us/p50",
        "/service_us/p90",
        "/lateness_us/p99",
        "/lateness_us/max",
        "/unexplained",
    ] {
        assert!(json.pointer(pointer).is_some_and(serde_json::Value::is_u64), "{pointer}: {json}");
    }
}

#[test]
fn a_run_survives_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.run");
    let run = run_of(&mixed());
    run_of(&[sample(0, 0, 0, 1)]).write(&path).unwrap();
    run.write(&path).unwrap();
    assert_eq!(Run::read(&path).unwrap(), run);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_run_that_cannot_be_written_leaves_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_of(&[sample(0, 0, 0, 1)]);
    let missing = directory.path().join("nowhere").join("a.run");
    assert!(matches!(run.write(&missing), Err(RunError::Io(_))));
    let taken = directory.path().join("taken.run");
    std::fs::create_dir(&taken).unwrap();
    assert!(run.write(&taken).is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn foreign_newer_and_damaged_files_are_told_apart() {
    let bytes = bytes_of(&run_of(&[sample(0, 0, 0, 1)]));
    let newer = [b"overdub-run 2\n".as_slice(), &bytes[MAGIC.len()..]].concat();
    assert!(matches!(Run::read_from(&b"PK\x03\x04 something else"[..]), Err(RunError::NotARun)));
    assert!(matches!(Run::read_from(&b""[..]), Err(RunError::NotARun)));
    assert!(matches!(Run::read_from(newer.as_slice()), Err(RunError::Newer(v)) if v == "2"));
    let json = br#"{"info":{}}"#;
    let odd = [MAGIC, &zstd::encode_all(&json[..], 1).unwrap()].concat();
    assert!(matches!(Run::read_from(odd.as_slice()), Err(RunError::Damaged(_))));
}

#[test]
fn a_run_cut_anywhere_is_refused() {
    let bytes = bytes_of(&run_of(&mixed()[..200]));
    for len in 0..bytes.len() {
        assert!(Run::read_from(&bytes[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn altered_runs_never_panic() {
    let bytes = bytes_of(&run_of(&mixed()[..50]));
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 0x41;
        assert!(Run::read_from(altered.as_slice()).is_err(), "the checksum holds at {at}");
    }
    // The same under a valid checksum: every byte of the JSON altered.
    let json = serde_json::to_vec(&run_of(&mixed()[..3])).unwrap();
    let mut readable = 0;
    for at in 0..json.len() {
        let mut altered = json.clone();
        altered[at] = altered[at].wrapping_add(1);
        let file = [MAGIC, &zstd::encode_all(altered.as_slice(), 1).unwrap()].concat();
        if let Ok(run) = Run::read_from(file.as_slice()) {
            readable += 1;
            let _ = (run.summary(), run.timeline.at_most(10));
        }
    }
    assert!(readable > 0);
}

fn exchange(started_ms: u64) -> Exchange {
    let at = |ms: u64| Nanos((started_ms + ms) * 1_000_000);
    Exchange {
        id: ExchangeId(1),
        session: SessionId(1),
        transaction: None,
        request: Request {
            origin: Origin::new(Scheme::Http, "shop.test", 80),
            method: "GET".to_owned(),
            target: b"/".to_vec(),
            version: Version::Http11,
            headers: Headers(vec![(b"Accept".to_vec(), b"*/*".to_vec())]),
            body: Body::default(),
            trailers: Headers::default(),
        },
        interim: Vec::new(),
        response: Some(Response {
            version: Version::Http11,
            status: 200,
            reason: b"OK".to_vec(),
            headers: Headers::default(),
            body: Body { chunks: Vec::new(), len: 500 },
            trailers: Headers::default(),
        }),
        timing: Timing {
            started: at(0),
            request_done: Some(at(4)),
            connect: Some(Span { start: at(1), end: at(3) }),
            tls: None,
            upstream_sent: Some(at(3)),
            upstream_first: Some(at(24)),
            upstream_done: Some(at(33)),
            client_first: Some(at(25)),
            finished: at(90),
        },
        transport: Transport {
            client: "127.0.0.1:1".parse().unwrap(),
            client_connection: 1,
            upstream_connection: Some(1),
            stream: None,
            tls: None,
            alpn: None,
            sni: None,
        },
        incomplete: None,
        remarks: Vec::new(),
    }
}

#[test]
fn recorded_traffic_is_measured_on_the_side_of_the_server() {
    let mut recorder = Recorder::default();
    recorder.add("GET http://shop.test/", &exchange(5_000));
    let run = recorder.finish(info(RunKind::Recorded));
    let endpoint = &run.endpoints[0];
    let near = |h: &Histogram, ms: u64| assert!(h.max().unwrap().abs_diff(ms * 1000) <= ms, "{:?} for {ms}", h.max());
    near(&endpoint.service, 30);
    near(&endpoint.response, 30);
    near(&endpoint.wait, 20);
    near(&endpoint.connect, 2);
    assert_eq!((endpoint.lateness.count(), endpoint.bytes_received, endpoint.bytes_sent), (0, 500, 13));
    assert_eq!(run.timeline.slots.iter().position(|s| s.started == 1), Some(0), "time starts with the first exchange");
    assert_eq!(run.sessions.started, 1);
}

#[test]
fn recorded_exchanges_that_say_nothing_of_the_server_are_not_measured() {
    let mut recorder = Recorder::default();
    for (incomplete, response) in [
        (Incomplete::Client("went away".to_owned()), true),
        (Incomplete::Stopped, true),
        (Incomplete::Upstream("reset".to_owned()), false),
        (Incomplete::Connect("refused".to_owned()), false),
        (Incomplete::NotRecorded("disk full".to_owned()), true),
    ] {
        let mut exchange = exchange(0);
        exchange.incomplete = Some(incomplete);
        exchange.response = exchange.response.filter(|_| response);
        recorder.add("GET http://shop.test/", &exchange);
    }
    let run = recorder.finish(info(RunKind::Recorded));
    let counts = run.exchanges();
    assert_eq!((counts.sent, counts.ok, counts.failed, counts.skipped), (3, 1, 2, 2));
    assert_eq!(run.all(|e| &e.wait).count(), 1, "what is cut has a wait but no end");
    assert_eq!(run.all(|e| &e.service).count(), 0);
}

#[test]
fn what_no_user_asked_for_is_no_part_of_the_recorded_baseline() {
    let mut recorder = Recorder::default();
    let mut noise = exchange(0);
    noise.session = SessionId(2);
    noise.remarks.push(Remark::noise("Chromium updates"));
    let mut tunnel = exchange(0);
    tunnel.request.method = "CONNECT".into();
    tunnel.incomplete = Some(Incomplete::Upgraded("something that is not HTTP".into()));
    let mut socket = exchange(0);
    socket.response.as_mut().unwrap().status = 101;
    for aside in [&noise, &tunnel, &socket] {
        recorder.add("GET http://aside.test/", aside);
    }
    recorder.add("GET http://shop.test/", &exchange(0));
    let run = recorder.finish(info(RunKind::Recorded));
    let counts = run.exchanges();
    assert_eq!((counts.sent, counts.skipped, run.not_sent, run.sessions.started), (1, 0, 0, 1));
    assert_eq!(run.endpoints.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["GET http://shop.test/"]);
}

#[test]
fn points_and_heat_hold_every_exchange() {
    let samples: Vec<Sample> = (0..1000).map(|i| sample(0, i * 10, 0, 20 + i % 7)).collect();
    let run = run_of(&samples);
    let points = run.points(20);
    assert!(points.len() <= 20 && points.len() > 5);
    // 100 exchanges a second of 20 to 26 ms: 2.3 in flight by Little's law.
    let middle = points[points.len() / 2];
    assert!((middle.rate - 100.0).abs() < 5.0 && (middle.in_flight - 2.3).abs() < 0.2, "{middle:?}");
    let heat = run.heat(20, 12);
    assert_eq!(heat.columns.iter().flatten().sum::<u64>(), 1000);
    assert_eq!(heat.edges_us.len(), 13);
    assert!(
        (points.len()..=points.len() + 1).contains(&heat.columns.len()),
        "only a mostly empty last slot is left out"
    );
    assert!(run_of(&[]).heat(10, 10).columns.is_empty() && run_of(&[]).points(10).is_empty());
}
