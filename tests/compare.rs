//! Results, comparison, reports.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use overdub::capture::{Provenance, Writer};
use overdub::measure::{Aggregate, Load, Outcome, Phases, Run, RunInfo, RunKind, Sample};
use overdub::model::{
    Body, Exchange, ExchangeId, Headers, Nanos, Origin, Request, Response, Scheme, SessionId, SessionInfo, Timing,
    Transport, Version,
};

/// A run of two endpoints over 60 s whose service times are `factor` times the usual.
fn run(seed: u64, factor: f64, load: Load) -> Run {
    let info = RunInfo {
        kind: RunKind::Replayed,
        program: "0.1.0".to_owned(),
        started_unix_ns: 0,
        capture: "shop.dub".to_owned(),
        rules: None,
        targets: Vec::new(),
        speed: Some(1.0),
        load,
        users: 1,
        iterations: 1,
        seed,
        skipped: Vec::new(),
        unexplained: 0,
    };
    let mut aggregate = Aggregate::new(2);
    for i in 0..2_400_u64 {
        let started = Nanos(i * 25_000_000);
        let scatter = (i * 7919 + seed * 104_729) % 61;
        let service = Duration::from_micros((60_000.0 * factor) as u64 + scatter * 1_000);
        aggregate.record(&Sample {
            endpoint: (i % 2) as u32,
            due: started,
            ready: started,
            started,
            done: started.after(service),
            phases: Phases::default(),
            status: Some(200),
            outcome: Outcome::Ok,
            bytes_sent: 1,
            bytes_received: 1,
        });
    }
    Run::new(aggregate, &["GET https://shop.test/a".to_owned(), "GET https://shop.test/b".to_owned()], info)
}

fn write(directory: &Path, name: &str, run: &Run) -> PathBuf {
    let path = directory.join(name);
    run.write(&path).expect("the directory is ours");
    path
}

fn compare(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overdub"));
    command.arg("compare");
    arguments.iter().for_each(|a| {
        command.arg(a);
    });
    command.output().expect("the program was built")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_slower_run_ends_with_one_and_says_so_in_every_form() {
    let directory = tempfile::tempdir().unwrap();
    let base = write(directory.path(), "old.run", &run(1, 1.0, Load::Multiplied(1)));
    let slow = write(directory.path(), "new.run", &run(2, 1.6, Load::Multiplied(1)));
    let page = directory.path().join("report.html");
    let text = compare(&[&base, &slow, &"--html", &page]);
    assert_eq!(text.status.code(), Some(1), "{text:?}");
    assert!(out(&text).starts_with("REGRESSED: "), "{}", out(&text));
    assert!(String::from_utf8_lossy(&text.stderr).contains("report.html"));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n") && page.contains("Regressed"));

    let json: serde_json::Value = serde_json::from_slice(&compare(&[&base, &slow, &"--json"]).stdout).unwrap();
    assert_eq!((json["schema"].as_str(), json["verdict"].as_str()), (Some("overdub-compare/1"), Some("regressed")));
    assert!(out(&compare(&[&base, &slow, &"--markdown"])).contains("| ▲ | GET https://shop.test/a | 1\u{202f}200 |"));
}

#[test]
fn a_run_against_itself_passes() {
    let directory = tempfile::tempdir().unwrap();
    let base = write(directory.path(), "old.run", &run(1, 1.0, Load::Multiplied(1)));
    let output = compare(&[&base, &base, &"--strict"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(out(&output).starts_with("EQUIVALENT: "), "{}", out(&output));
}

#[test]
fn another_load_is_no_failure_unless_asked_to_be_strict() {
    let directory = tempfile::tempdir().unwrap();
    let base = write(directory.path(), "old.run", &run(1, 1.0, Load::Multiplied(1)));
    let busy = write(directory.path(), "new.run", &run(2, 3.0, Load::Multiplied(50)));
    assert_eq!(compare(&[&base, &busy]).status.code(), Some(0));
    assert_eq!(compare(&[&base, &busy, &"--strict"]).status.code(), Some(3));
}

#[test]
fn what_cannot_be_read_gets_one_clear_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let base = write(directory.path(), "old.run", &run(1, 1.0, Load::Multiplied(1)));
    let whole = std::fs::read(&base).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let newer = [b"overdub-run 7\n".as_slice(), &whole[14..]].concat();
    let cases = [
        (directory.path().join("missing.run"), "missing.run"),
        (file("empty.run", b""), "not an overdub run"),
        (file("odd.txt", b"hello, this is a text of some length, and nothing else at all"), "not an overdub capture"),
        (file("cut.run", &whole[..whole.len() / 2]), "the run is damaged"),
        (file("newer.run", &newer), "a run in format 7"),
    ];
    for (path, says) in cases {
        let output = compare(&[&base, &path]);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{}: {talk}", path.display());
        assert!(talk.starts_with("overdub: cannot read ") && talk.contains(says), "{talk}");
        assert_eq!((talk.lines().count(), output.stdout.len()), (1, 0), "{talk}");
    }
}

/// A recorded `GET https://shop.test/<path>` that took 20 ms.
fn exchange(number: u64, path: &str) -> Exchange {
    let at = |ms: u64| Nanos((number * 1_000 + ms) * 1_000_000);
    Exchange {
        id: ExchangeId(number),
        session: SessionId(1),
        transaction: None,
        request: Request {
            origin: Origin::new(Scheme::Https, "shop.test", 443),
            method: "GET".to_owned(),
            target: path.as_bytes().to_vec(),
            version: Version::Http11,
            headers: Headers::default(),
            body: Body::default(),
            trailers: Headers::default(),
        },
        interim: Vec::new(),
        response: Some(Response {
            version: Version::Http11,
            status: 200,
            reason: b"OK".to_vec(),
            headers: Headers::default(),
            body: Body::default(),
            trailers: Headers::default(),
        }),
        timing: Timing {
            started: at(0),
            request_done: Some(at(1)),
            upstream_sent: Some(at(1)),
            upstream_first: Some(at(11)),
            upstream_done: Some(at(21)),
            client_first: Some(at(12)),
            finished: at(22),
            ..Timing::default()
        },
        transport: Transport {
            client: ([127, 0, 0, 1], 5000).into(),
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
fn a_recording_takes_the_endpoint_names_of_the_run_it_is_compared_with() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("shop.dub");
    let provenance = Provenance { anchor_unix_ns: 0, source: "test".to_owned(), program: "0.1.0".to_owned() };
    let mut writer = Writer::create(&capture, &provenance).unwrap();
    writer
        .session(&SessionInfo {
            id: SessionId(1),
            client: "127.0.0.1".to_owned(),
            user_agent: None,
            ..SessionInfo::default()
        })
        .unwrap();
    for number in 1..=60 {
        let path = if number % 2 == 0 { "/a" } else { "/shelf/blue" };
        writer.exchange(&exchange(number, path)).unwrap();
    }
    writer.finish().unwrap();
    let mut replayed = run(1, 1.0, Load::Multiplied(1));
    // What rules have folded, no look at the path could tell.
    replayed.endpoints[1].name = "GET https://shop.test/shelf/{}".to_owned();
    let replayed = write(directory.path(), "shop.run", &replayed);
    let json: serde_json::Value = serde_json::from_slice(&compare(&[&capture, &replayed, &"--json"]).stdout).unwrap();
    let names: Vec<&str> = json["rows"].as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(names, ["GET https://shop.test/a", "GET https://shop.test/shelf/{}"]);
    assert_eq!(json["only_baseline"].as_array().map(Vec::len), Some(0));
    assert_eq!((json["phase"].as_str(), json["relation"].as_str()), (Some("service"), Some("recorded_replayed")));
    let recorded_us = json["rows"][0]["shifts"][0]["baseline_us"].as_u64().unwrap();
    assert!(recorded_us.abs_diff(20_000) < 40, "{recorded_us}");
}
