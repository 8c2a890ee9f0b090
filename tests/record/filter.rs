//! What is left out of the capture passes all the same, and is counted.

use overdub::record::{Filter, UpstreamTrust};

use crate::support::{Server, page};

use super::{Proxy, Recorded, overdub, text};

fn site() -> Server {
    Server::answering(|request| match request.split(' ').nth(1) {
        Some("/logo.png") => page("image/png", "picture"),
        Some("/moved") => "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => page("text/html; charset=utf-8", "page"),
    })
}

/// Records a visit to every page of the site; what arrived is checked.
fn visit(server: &Server, include: &[&str], exclude: &[&str]) -> Recorded {
    let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let filter = Filter { include: all(include), exclude: all(exclude) };
    let proxy = Proxy::filtering(UpstreamTrust { system: false, ..UpstreamTrust::default() }, filter);
    let host = server.address;
    for (path, end) in [("/", "page"), ("/moved", "\r\n\r\n"), ("/logo.png", "picture"), ("/api/x?y", "page")] {
        let request = format!("POST http://{host}{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n\r\nbody");
        let answer = text(&proxy.ask(&request));
        assert!(answer.ends_with(end), "{path}: {answer}");
    }
    proxy.stop()
}

#[test]
fn what_is_left_out_passes_and_is_counted() {
    let server = site();
    for (include, exclude, kept, left_out) in [
        (&[][..], &[][..], "/ /moved /logo.png /api/x?y", ""),
        (&[], &["127.0.0.1"], "", "by --exclude 127.0.0.1: 4"),
        (&[], &["/api/*"], "/ /moved /logo.png", "by --exclude /api/*: 1"),
        (&[], &["type:image/*", "/api/*"], "/ /moved", "by --exclude /api/*: 1, by --exclude type:image/*: 1"),
        (&["127.0.0.1/api/*", "*/logo.png"], &[], "/logo.png /api/x?y", "as no --include fits: 2"),
        (&["127.*"], &["*/moved"], "/ /logo.png /api/x?y", "by --exclude */moved: 1"),
        (&["type:text/html"], &[], "/ /moved /api/x?y", "as no --include fits: 1"),
        (&["shop.test"], &["type:text/*"], "", "as no --include fits: 4"),
    ] {
        let recorded = visit(&server, include, exclude);
        let paths: Vec<String> = recorded.exchanges.iter().map(|e| text(&e.request.target)).collect();
        assert_eq!(paths.join(" "), kept, "{include:?} {exclude:?}");
        let counts: Vec<String> =
            recorded.summary.left_out.iter().map(|(what, times)| format!("{what}: {times}")).collect();
        assert_eq!(counts.join(", "), left_out, "{include:?} {exclude:?}");
        assert_eq!((recorded.summary.lost, recorded.summary.incomplete.len()), (0, 0));
        for exchange in &recorded.exchanges {
            assert_eq!(recorded.request_body(exchange), b"body");
        }
    }
}

#[test]
fn what_cannot_be_judged_by_its_type_is_kept() {
    let gone = crate::support::closed_port();
    let filter = Filter { include: vec!["type:text/html".parse().unwrap()], exclude: Vec::new() };
    let proxy = Proxy::filtering(UpstreamTrust { system: false, ..UpstreamTrust::default() }, filter);
    assert!(text(&proxy.ask(&format!("GET http://{gone}/ HTTP/1.1\r\nHost: x\r\n\r\n"))).starts_with("HTTP/1.1 502"));
    let recorded = proxy.stop();
    assert!(recorded.only().incomplete.is_some());
    assert!(recorded.summary.left_out.is_empty());
}

#[test]
fn what_is_no_pattern_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    for (flag, pattern) in [("--exclude", "method:GET"), ("--include", "type:"), ("--include", "")] {
        let ended = overdub(dir.path(), &["record", "-o", "a.dub", flag, pattern]).output().unwrap();
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{flag} {pattern}: {said}");
        assert!(said.contains(flag) && said.contains("type:image/*"), "{said}");
    }
}
