//! Targets that are wrong, absent or ill.

use std::fs;

use overdub::measure::Run;

use crate::replay::command::capture;
use crate::support::{Server, closed_port, page};

use super::{run, run_in_shell, run_with, workplace};

#[test]
fn targets_that_make_no_sense_are_refused() {
    let dir = workplace();
    for (target, words) in [
        ("", "http://"),
        ("nonsense", "does not start with http:// or https://"),
        ("ftp://x", "does not start with http:// or https://"),
        ("http://", "no valid host"),
        ("http://x:99999", "no valid port"),
        ("http://x/path", "a target is scheme, host and port"),
        ("http://a=", "http://"),
        ("http://a=b=c", ""),
        ("http://[::1", ""),
        ("http://\u{1b}[2J", ""),
        ("https://other.test=http://127.0.0.1:9", "whose origins are https://"),
    ] {
        let told = run_with(dir.path(), &["replay", "good.dub", "--target", target]);
        told.expect(2, &[words]);
        assert!(!told.err.contains('\u{1b}'), "{told:#?}");
    }
    run(dir.path(), "replay good.dub").expect(2, &["--target is needed", "For example: overdub replay good.dub"]);
    run(dir.path(), "replay good.dub --target http://no-such-host.invalid").expect(4, &["cannot find the address of"]);
}

#[test]
fn a_load_that_no_machine_holds_is_refused() {
    let dir = workplace();
    for users in ["4294967295", "4294967295x", "1000001"] {
        let line = format!("replay good.dub --target http://127.0.0.1:9 --users {users}");
        run(dir.path(), &line).expect(2, &["too many", "lower --users"]);
    }
    for (flag, words) in [
        ("--users 99999999999", "such as 50x"),
        ("--users 0", "such as 50x"),
        ("--speed 0", "a factor"),
        ("--speed 1e-300", "a factor"),
        ("--iterations 0", "0 is not in"),
        ("--duration 18446744073709551615h", "such as 30s"),
        ("--timeout 0", "such as 30s"),
        ("--seed x", "invalid"),
    ] {
        run(dir.path(), &format!("replay good.dub --target http://127.0.0.1:9 {flag}")).expect(2, &[words]);
    }
}

#[test]
fn a_system_that_gives_no_descriptors_is_named() {
    let dir = workplace();
    let replay = "replay good.dub --target http://127.0.0.1:9 --speed max --users 2x";
    for (limit, command) in
        [(6, "record -o new.dub --ca-dir ca --listen 127.0.0.1:0"), (6, replay), (6, "inspect good.dub"), (12, replay)]
    {
        let told = run_in_shell(dir.path(), &format!("ulimit -n {limit}; exec $O {command}"));
        told.expect(4, &[]);
        assert!(told.err.contains("open files"), "{told:#?}");
    }
}

/// Plays three exchanges against a server; says what is told and keeps the results.
fn play(server: &Server, flags: &str) -> (super::Told, Run) {
    let dir = tempfile::tempdir().unwrap();
    capture(dir.path());
    let target = format!("https://shop.test={}", server.url());
    let told = run(dir.path(), &format!("replay shop.dub --target {target} --speed max -o new.run {flags}"));
    let run = Run::read(&dir.path().join("new.run")).unwrap();
    (told, run)
}

#[test]
fn a_target_that_fails_is_one_sentence_with_what_to_do_and_its_results_are_kept() {
    let resets = Server::scripted(|dialogue| dialogue.wait_without_reading());
    let stalls = Server::scripted(|dialogue| dialogue.wait_for_close());
    let rubbish = Server::scripted(|dialogue| {
        dialogue.request();
        dialogue.send("SSH-2.0-OpenSSH_9.6\r\n\r\n");
        dialogue.wait_for_close();
    });
    let halves = Server::scripted(|dialogue| {
        dialogue.request();
        dialogue.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
    });
    for (server, words) in [
        (resets, &["closed connections before its answer was whole", "log"][..]),
        (stalls, &["did not answer in time", "--timeout"]),
        (rubbish, &["is not HTTP/1.1", "--target"]),
        (halves, &["closed connections before its answer was whole"]),
    ] {
        let (told, results) = play(&server, "--timeout 150ms");
        told.expect(4, words).prints(&["failed"]);
        let counts = results.exchanges();
        assert!(counts.failed > 0 && counts.ok == 0, "{counts:?}");
        assert_eq!(counts.sent, counts.failed, "{told:#?}");
        let (quiet, _) = play(&server, "--timeout 150ms --quiet --summary json");
        quiet.expect(4, &[]).prints(&["\"failures\":[{"]);
        assert_eq!(quiet.err, "");
    }
}

#[test]
fn a_target_that_refuses_is_named() {
    let dir = tempfile::tempdir().unwrap();
    capture(dir.path());
    let target = format!("http://{}", closed_port());
    let told = run(dir.path(), &format!("replay shop.dub --target {target} --speed max -o new.run"));
    told.expect(4, &["refused the connection", "is it running", &target]).prints(&["connection refused"]);
    assert_eq!(Run::read(&dir.path().join("new.run")).unwrap().sessions.failed, 1);
}

#[test]
fn a_target_that_answers_500_to_everything_fails_the_run() {
    let server = Server::answering(|_| "HTTP/1.1 500 \x1b[2JOops\r\nContent-Length: 0\r\n\r\n".into());
    let (told, results) = play(&server, "");
    told.expect(1, &["answers differ from the recorded ones", "status 500 instead of 200", "--rules"]);
    assert!(!told.err.contains('\u{1b}') && !told.out.contains('\u{1b}'), "{told:#?}");
    assert_eq!(results.exchanges().diverged, 3);
    let fine = Server::answering(|_| page("text/plain", "hello"));
    let (told, _) = play(&fine, "");
    told.expect(0, &[]);
    assert!(!told.err.contains("answers differ"), "{told:#?}");
}

#[test]
fn an_untrusted_certificate_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    capture(dir.path());
    let (server, root) = crate::replay::tls_server();
    let target = format!("https://shop.test=https://{}", server.address);
    let told = run(dir.path(), &format!("replay shop.dub --target {target} --speed max"));
    told.expect(4, &["certificate was not accepted", "--upstream-ca FILE", "--upstream-insecure"]);
    assert!(server.requests().is_empty(), "no request goes to a stranger");
    fs::write(dir.path().join("rubbish.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    fs::write(dir.path().join("text.pem"), "hello").unwrap();
    fs::write(dir.path().join("root.pem"), root).unwrap();
    for (pem, words) in
        [("rubbish.pem", "cannot be used as a root"), ("text.pem", "no PEM certificate"), ("none.pem", "No such file")]
    {
        let line = format!("replay shop.dub --target {target} --speed max --upstream-ca {pem}");
        run(dir.path(), &line).expect(2, &[words]);
    }
    let both = format!("replay shop.dub --target {target} --upstream-ca root.pem --upstream-insecure");
    run(dir.path(), &both).expect(2, &["cannot be used with"]);
}
