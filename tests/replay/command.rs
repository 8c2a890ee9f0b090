//! `overdub replay` as a user runs it: flags, exit codes, output.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Mutex, mpsc};

use overdub::capture::{Provenance, Writer};
use overdub::measure::Run;
use overdub::model::{
    Body, Exchange, ExchangeId, Headers, Nanos, Request, Response, SessionId, SessionInfo, Timing, Transport, Version,
};
use serde_json::Value;

use crate::support::{Server, closed_port, overdub, page};

const SHOP: &str = "https://shop.test";

/// An exchange of session 1 that got a small HTML page.
fn exchange(id: u64, url: &str, started_ms: u64) -> Exchange {
    let origin = url.parse().unwrap();
    let path = &url[format!("{origin}").len()..];
    let headers = |list: &[(&str, &str)]| {
        Headers(list.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect())
    };
    let at = |ms: u64| Nanos((started_ms + ms) * 1_000_000);
    Exchange {
        id: ExchangeId(id),
        session: SessionId(1),
        transaction: None,
        request: Request {
            origin,
            method: "GET".into(),
            target: path.as_bytes().to_vec(),
            version: Version::Http11,
            headers: headers(&[("Host", "shop.test"), ("User-Agent", "test"), ("Connection", "keep-alive")]),
            body: Body::default(),
            trailers: Headers::default(),
        },
        interim: Vec::new(),
        response: Some(Response {
            version: Version::Http11,
            status: 200,
            reason: b"OK".to_vec(),
            headers: headers(&[("Content-Type", "text/plain")]),
            body: Body::default(),
            trailers: Headers::default(),
        }),
        timing: Timing {
            started: at(0),
            request_done: Some(at(0)),
            upstream_first: Some(at(1)),
            upstream_done: Some(at(1)),
            client_first: Some(at(1)),
            finished: at(1),
            ..Timing::default()
        },
        transport: Transport {
            client: "127.0.0.1:5000".parse().unwrap(),
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

/// A capture of one session: three pages of the shop, one of a third party.
pub(crate) fn capture(folder: &Path) -> PathBuf {
    let path = folder.join("shop.dub");
    let provenance =
        Provenance { anchor_unix_ns: 0, source: "test".to_owned(), program: env!("CARGO_PKG_VERSION").to_owned() };
    let mut writer = Writer::create(&path, &provenance).unwrap();
    writer
        .session(&SessionInfo {
            id: SessionId(1),
            client: "127.0.0.1".into(),
            user_agent: None,
            ..SessionInfo::default()
        })
        .unwrap();
    for (id, url) in [
        (1, "https://shop.test/"),
        (2, "https://shop.test/cart"),
        (3, "https://ads.test/pixel"),
        (4, "https://shop.test/checkout"),
    ] {
        let mut exchange = exchange(id, url, id * 10);
        let chunk = writer.chunk(b"hello").unwrap();
        exchange.response.as_mut().unwrap().body = Body { chunks: vec![chunk], len: 5 };
        writer.exchange(&exchange).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn replay(capture: &Path, arguments: &[&str]) -> Output {
    overdub().arg("replay").arg(capture).args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn shop_at(server: &Server) -> String {
    format!("{SHOP}={}", server.url())
}

#[test]
fn a_replay_that_goes_well_passes_and_says_so_once_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path());
    let server = Server::answering(|_| page("text/plain", "hello"));
    let out = folder.path().join("shop.run");
    let output = replay(
        &capture,
        &[
            "--target",
            &shop_at(&server),
            "--speed",
            "max",
            "--users",
            "4x",
            "--summary",
            "json",
            "-o",
            out.to_str().unwrap(),
        ],
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let summary = json(&output);
    assert_eq!(summary["sessions"]["started"], 4);
    assert_eq!(summary["sessions"]["completed"], 4);
    assert_eq!(summary["sessions"]["failed"], 0);
    let counts = &summary["exchanges"];
    assert_eq!(
        [&counts["sent"], &counts["ok"], &counts["diverged"], &counts["failed"], &counts["skipped"]],
        [12, 12, 0, 0, 0]
    );
    for distribution in ["response_us", "service_us", "lateness_us"] {
        for quantile in ["p50", "p90", "p99", "max"] {
            assert!(summary[distribution][quantile].is_u64(), "{distribution}.{quantile}");
        }
    }
    assert_eq!(summary["unexplained"], 0);
    assert_eq!((&summary["seed"], &summary["speed"]), (&1.into(), &"max".into()));
    assert_eq!(summary["skipped_origins"][0]["origin"], "https://ads.test");
    let text = stderr(&output);
    assert!(text.contains("https://ads.test"), "a skipped origin is listed: {text}");
    assert!(text.contains("nothing is correlated"), "{text}");
    assert_eq!(Run::read(&out).unwrap().exchanges().ok, 12);
    let requests = server.requests();
    assert!(requests.iter().all(|r| r.contains(&format!("\r\nHost: {}\r\n", server.address))));
    assert!(requests.iter().all(|r| !r.contains("Connection:")), "{requests:?}");
}

#[test]
fn without_a_target_nothing_is_contacted_and_the_origins_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = replay(&capture(folder.path()), &[]);
    assert_eq!(code(&output), 2);
    let text = stderr(&output);
    assert!(text.contains("https://shop.test (3 exchanges)\n  https://ads.test (1 exchanges)"), "{text}");
    assert!(text.contains("--target https://shop.test=http://127.0.0.1:9000"), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn answers_that_differ_fail_and_a_target_that_is_down_breaks() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path());
    let server = Server::answering(|_| "HTTP/1.1 500 Oops\x1b[2J\r\nContent-Length: 0\r\n\r\n".into());
    let arguments = ["--speed", "max", "--summary", "json", "--quiet"];
    let output = replay(&capture, &[&["--target", &shop_at(&server)], &arguments[..]].concat());
    assert_eq!(code(&output), 1);
    let summary = json(&output);
    assert_eq!((&summary["exchanges"]["diverged"], &summary["sessions"]["completed"]), (&3.into(), &1.into()));
    assert_eq!(summary["divergences"][0]["kind"], "status");
    assert_eq!(summary["divergences"][0]["count"], 3);
    assert_eq!(summary["divergences"][0]["example"]["text"], "status 500 instead of 200");

    let output = replay(&capture, &[&["--target", &format!("http://{}", closed_port())], &arguments[..]].concat());
    assert_eq!(code(&output), 4);
    let summary = json(&output);
    assert_eq!((&summary["sessions"]["failed"], &summary["exchanges"]["skipped"]), (&1.into(), &2.into()));
    assert_eq!(summary["failures"][0]["kind"], "connection refused");
    assert_eq!(summary["response_us"], Value::Null);
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_certificate_that_is_not_trusted_is_one_sentence_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path());
    let (server, root) = super::tls_server();
    let pem = folder.path().join("root.pem");
    std::fs::write(&pem, root).unwrap();
    let target = format!("{SHOP}=https://{}", server.address);
    let arguments = ["--target", &target, "--speed", "max"];
    let output = replay(&capture, &arguments);
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("--upstream-ca") && stderr(&output).contains("--upstream-insecure"));
    // The pages differ (no body), but they came.
    let trusted = replay(&capture, &[&arguments[..], &["--upstream-ca", pem.to_str().unwrap()]].concat());
    assert_eq!(code(&trusted), 1, "{}", stderr(&trusted));
    assert_eq!(code(&replay(&capture, &[&arguments[..], &["--upstream-insecure"]].concat())), 1);
}

#[test]
fn wrong_usage_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (rules, ragged, empty) =
        (file("bad.toml", "format = \n"), file("ragged.csv", "a,b\n1\n"), file("empty.csv", ""));
    let target = ["--target", "http://127.0.0.1:9"];
    let own = capture.to_str().unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["--rules", &rules], "bad.toml:1:"),
        (&["--rules", "/nowhere/rules.toml"], "cannot read the rules"),
        (&["--data", &ragged], "line 2: 1 values, but the first line names 2 columns"),
        (&["--data", &empty], "the data file is empty"),
        (&["-o", "/nowhere/x.run"], "there is no folder /nowhere"),
        (&["-o", own], "would overwrite an input"),
        (&["--upstream-ca", "/nowhere/root.pem"], "cannot read"),
        (&["--speed", "0"], "expected a factor"),
    ];
    for (arguments, sentence) in cases {
        let output = replay(&capture, &[&target[..], arguments].concat());
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(sentence), "{arguments:?}: {}", stderr(&output));
    }
    let no_root = replay(&capture, &["--target", "https://127.0.0.1:9", "--upstream-ca", &empty]);
    assert_eq!(code(&no_root), 2);
    assert!(stderr(&no_root).contains("no PEM certificate"), "{}", stderr(&no_root));
    let other = replay(&capture, &["--target", "https://other.test=http://127.0.0.1:9"]);
    assert_eq!(code(&other), 2);
    assert!(stderr(&other).contains("https://shop.test"), "{}", stderr(&other));
    let none = replay(&folder.path().join("none.dub"), &target);
    assert_eq!(code(&none), 2);
}

#[test]
fn an_interrupted_replay_keeps_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path());
    let (asked, hear) = mpsc::channel();
    let asked = Mutex::new(asked);
    let server = Server::answering(move |_| {
        let _ = asked.lock().unwrap().send(());
        page("text/plain", "hello")
    });
    let out = folder.path().join("part.run");
    let mut child = overdub()
        .arg("replay")
        .arg(&capture)
        // At this speed the second page is due in hours.
        .args(["--target", &shop_at(&server), "--speed", "0.000001", "--summary", "json", "-o"])
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    hear.recv().unwrap();
    let signalled = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&summary["exchanges"]["sent"], &summary["exchanges"]["skipped"]), (&1.into(), &2.into()));
    assert_eq!(Run::read(&out).unwrap().exchanges().sent, 1);
}

#[test]
fn a_results_file_that_cannot_be_written_does_not_cost_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path());
    let inside = folder.path().join("gone");
    std::fs::create_dir(&inside).unwrap();
    let (out, vanishing) = (inside.join("x.run"), inside.clone());
    let server = Server::answering(move |_| {
        let _ = std::fs::remove_dir(&vanishing);
        page("text/plain", "hello")
    });
    let arguments = ["--target", &shop_at(&server), "--speed", "max", "--summary", "json", "-o", out.to_str().unwrap()];
    let output = replay(&capture, &arguments);
    assert_eq!(code(&output), 4);
    assert_eq!(json(&output)["exchanges"]["ok"], 3);
    assert!(stderr(&output).contains(&format!("cannot write {}", out.display())), "{}", stderr(&output));
}
