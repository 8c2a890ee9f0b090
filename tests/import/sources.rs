//! Good, cut, damaged and foreign inputs, each with its sentence, exit code and what is kept.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use super::wiretap::{Talk, pcap_header, pcap_record};
use crate::support::overdub;

const GET: &str = "GET /a HTTP/1.1\r\nHost: shop.test\r\nCookie: sid=0123456789abcdef\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// A folder with inputs and the capture made of them.
pub struct Bench {
    pub dir: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn output(&self) -> PathBuf {
        self.dir.path().join("out.dub")
    }

    pub fn import(&self, input: &Path, more: &[&str]) -> Output {
        overdub().arg("import").arg(input).arg("-o").arg(self.output()).arg("--force").args(more).output().unwrap()
    }

    /// What `inspect --json` says of each exchange.
    pub fn exchanges(&self) -> Vec<serde_json::Value> {
        let told = overdub().arg("inspect").arg(self.output()).arg("--json").output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let text = String::from_utf8(told.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn two_exchanges() -> Talk {
    Talk::open(40000, 80).client(GET).server(OK).client(GET.replace("/a", "/b")).server(OK).close()
}

#[test]
fn packets_from_a_pipe_become_exchanges() {
    let bench = Bench::new();
    let mut import = overdub();
    import.args(["import", "-", "-o"]).arg(bench.output()).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut import = import.spawn().unwrap();
    import.stdin.take().unwrap().write_all(&two_exchanges().pcap()).unwrap();
    let done = import.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", words(&done));
    let seen = bench.exchanges();
    let urls: Vec<&str> = seen.iter().map(|e| e["url"].as_str().unwrap()).collect();
    assert_eq!(urls, ["http://shop.test/a", "http://shop.test/b"]);
    assert!(seen.iter().all(|e| e["status"] == 200 && e["response_bytes"] == 5 && e["incomplete"].is_null()));
    assert!(words(&done).contains("2 exchanges"), "{}", words(&done));
}

#[test]
fn a_file_cut_anywhere_keeps_what_could_be_read_and_says_so() {
    let bench = Bench::new();
    let whole = two_exchanges().pcap();
    for missing in [1, 100, 200] {
        let cut = bench.file("cut.pcap", &whole[..whole.len() - missing]);
        let done = bench.import(&cut, &[]);
        assert_eq!(done.status.code(), Some(2), "{}", words(&done));
        assert!(words(&done).contains("cut"), "{}", words(&done));
        assert!(!bench.exchanges().is_empty());
    }
}

#[test]
fn lost_packets_are_gaps_that_the_summary_names() {
    let bench = Bench::new();
    let body = "x".repeat(5000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut talk = Talk::open(40000, 80).client(GET).server(&answer).client(GET.replace("/a", "/b")).server(OK).close();
    talk.packets.remove(5);
    let done = bench.import(&bench.file("gap.pcap", talk.pcap()), &[]);
    assert!(done.status.success(), "{}", words(&done));
    let seen = bench.exchanges();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0]["response_bytes"], 5000 - 1448);
    assert!(seen[0]["incomplete"].is_string() && seen[1]["incomplete"].is_null(), "{seen:?}");
    assert!(words(&done).contains("1448 bytes"), "{}", words(&done));
}

#[test]
fn what_is_no_capture_is_refused_with_a_sentence() {
    let bench = Bench::new();
    for (name, content) in [
        ("empty", &b""[..]),
        ("text.txt", b"Dear diary, nothing happened today.\n"),
        ("noise.bin", &[0x13; 4000]),
        ("object.json", b"{\"a\": 1}"),
    ] {
        let input = bench.file(name, content);
        let done = bench.import(&input, &[]);
        assert_eq!(done.status.code(), Some(2), "{name}: {}", words(&done));
        assert!(words(&done).starts_with("overdub: ") && words(&done).contains(name), "{name}: {}", words(&done));
        assert!(!bench.output().exists(), "{name} left a capture behind");
    }
    let missing = bench.import(&bench.dir.path().join("missing.pcap"), &[]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn packets_without_http_are_told_from_no_packets() {
    let bench = Bench::new();
    let talk = Talk::open(40000, 22).server("SSH-2.0-OpenSSH_9.2\r\n").client("SSH-2.0-OpenSSH_9.2\r\n").close();
    let done = bench.import(&bench.file("ssh.pcap", talk.pcap()), &[]);
    assert_eq!(done.status.code(), Some(2), "{}", words(&done));
    assert!(words(&done).contains("SSH"), "{}", words(&done));
}

#[test]
fn a_key_log_that_fits_nothing_is_told() {
    let bench = Bench::new();
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0x13, 1, 1, 0]);
    let mut answer = vec![22, 3, 3, 0, 50, 2, 0, 0, 46, 3, 3];
    answer.extend_from_slice(&[9; 32]);
    answer.extend_from_slice(&[0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]);
    let sealed = |fill: u8| [&[23, 3, 3, 0, 64][..], &[fill; 64]].concat();
    let talk = Talk::open(40000, 443)
        .client(&hello)
        .server([answer, sealed(1)].concat())
        .client(sealed(2))
        .server(sealed(3))
        .client(sealed(4))
        .close();
    let pcap = bench.file("tls.pcap", talk.pcap());
    let keys = bench.file("keys.txt", format!("CLIENT_RANDOM {} {}\n", "ab".repeat(32), "cd".repeat(48)));
    let nonsense = bench.file("nonsense.txt", "this is no key log\n");
    for keys in [&keys, &nonsense] {
        let done = bench.import(&pcap, &["--keylog", keys.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(2), "{}", words(&done));
        assert!(words(&done).contains("key"), "{}", words(&done));
    }
    let missing = bench.import(&pcap, &["--keylog", "/nowhere/keys.txt"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn a_link_type_that_is_not_read_costs_its_packets_and_is_told() {
    let bench = Bench::new();
    let mut header = pcap_header();
    header[20] = 195; // IEEE 802.15.4
    let talk = two_exchanges();
    let records = talk.packets.iter().flat_map(|(at, frame)| pcap_record(*at, frame, frame.len()));
    let odd: Vec<u8> = header.into_iter().chain(records).collect();
    let done = bench.import(&bench.file("odd.pcap", odd), &[]);
    assert_eq!(done.status.code(), Some(2), "{}", words(&done));
    assert!(words(&done).contains("195"), "{}", words(&done));
}

#[test]
fn an_existing_capture_is_replaced_only_when_forced() {
    let bench = Bench::new();
    let pcap = bench.file("two.pcap", two_exchanges().pcap());
    let import =
        |force: &[&str]| overdub().arg("import").arg(&pcap).arg("-o").arg(bench.output()).args(force).output().unwrap();
    assert!(import(&[]).status.success());
    assert_eq!(import(&[]).status.code(), Some(2));
    assert!(import(&["--force"]).status.success());
}

#[test]
fn a_capture_exported_to_har_and_imported_again_is_the_same_to_a_reader() {
    let bench = Bench::new();
    assert!(bench.import(&bench.file("two.pcap", two_exchanges().pcap()), &[]).status.success());
    let before = bench.exchanges();
    let har = bench.dir.path().join("two.har");
    let done = overdub().arg("export").arg(bench.output()).args(["--to", "har", "-o"]).arg(&har).output().unwrap();
    assert!(done.status.success(), "{}", words(&done));
    let done = bench.import(&har, &[]);
    assert!(done.status.success(), "{}", words(&done));
    let after = bench.exchanges();
    for name in ["method", "url", "status", "content_type", "request_bytes", "response_bytes", "incomplete"] {
        let column = |rows: &[serde_json::Value]| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
        assert_eq!(column(&before), column(&after), "{name}");
    }
}

#[test]
fn the_summary_as_json_counts_what_the_capture_holds() {
    let bench = Bench::new();
    let done = bench.import(&bench.file("two.pcap", two_exchanges().pcap()), &["--json"]);
    let summary: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(summary["exchanges"], 2, "{summary}");
    assert_eq!(summary["sessions"], 1, "{summary}");
    assert_eq!(summary["packets"]["gaps"], 0, "{summary}");
}
