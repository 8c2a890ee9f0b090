//! What can go wrong around an import: outputs that would destroy an input, inputs among others that cannot be read, signals,
//! full disks, files that are replaced while they are followed. What could be read is kept, and a sentence says the rest.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::sources::{Bench, two_exchanges, words};
use super::wiretap::Talk;
use crate::support::overdub;

const GET: &str = "GET /later HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HAR: &str = r#"{"log":{"version":"1.2","entries":[{"startedDateTime":"2024-01-02T03:04:05Z","time":1,"request":{"method":"GET",
    "url":"http://a.test/","headers":[]},"response":{"status":204,"headers":[],"content":{}},"timings":{}}]}}"#;

/// Waits for something that another process does.
fn until(what: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(30), "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(name: &str, child: &Child) {
    let done = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(done.success());
}

fn fifo(bench: &Bench) -> PathBuf {
    let path = bench.dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

fn start(bench: &Bench, input: &Path, more: &[&str]) -> Child {
    let mut command = overdub();
    command.arg("import").arg(input).arg("-o").arg(bench.output()).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Exchanges of a capture that is being written.
fn count(bench: &Bench) -> usize {
    let told = overdub().arg("inspect").arg(bench.output()).arg("--json").output().unwrap();
    String::from_utf8_lossy(&told.stdout).lines().count()
}

#[test]
fn an_output_that_is_an_input_by_any_name_is_refused_and_nothing_is_lost() {
    let bench = Bench::new();
    let pcap = bench.file("in.pcap", two_exchanges().pcap());
    let keys = bench.file("keys.txt", "CLIENT_RANDOM\n");
    let at = |name: &str| bench.dir.path().join(name);
    fs::hard_link(&pcap, at("hard.dub")).unwrap();
    symlink(&pcap, at("soft.dub")).unwrap();
    let import = |output: &Path, input: &str| -> Output {
        let mut command = overdub();
        command.arg("import").arg(input).arg("--keylog").arg(&keys).arg("--force").arg("-o").arg(output);
        command.stdin(fs::File::open(&pcap).unwrap()).output().unwrap()
    };
    let before = fs::metadata(&pcap).unwrap().size();
    for (output, input) in [
        (pcap.clone(), pcap.to_str().unwrap()),
        (at("hard.dub"), pcap.to_str().unwrap()),
        (at("soft.dub"), pcap.to_str().unwrap()),
        (pcap.clone(), "-"),
        (keys.clone(), pcap.to_str().unwrap()),
    ] {
        let done = import(&output, input);
        assert_eq!(done.status.code(), Some(2), "{}", words(&done));
        assert!(words(&done).contains("would overwrite an input"), "{}", words(&done));
    }
    assert_eq!(fs::metadata(&pcap).unwrap().size(), before);
    assert_eq!(fs::read_to_string(&keys).unwrap(), "CLIENT_RANDOM\n");
}

#[test]
fn what_cannot_hold_a_capture_is_refused_with_the_reason() {
    let bench = Bench::new();
    let pcap = bench.file("in.pcap", two_exchanges().pcap());
    let folder = bench.dir.path().to_str().unwrap();
    for (output, reason) in [
        ("/dev/null", "regular file"),
        ("-", "standard output"),
        (folder, "is a folder"),
        ("/nowhere/out.dub", "there is no folder"),
    ] {
        let done = overdub().arg("import").arg(&pcap).args(["--force", "-o", output]).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{output}: {}", words(&done));
        assert!(words(&done).contains(reason), "{output}: {}", words(&done));
    }
}

#[test]
fn an_input_that_cannot_be_used_costs_itself_alone_and_its_reason_is_told() {
    let bench = Bench::new();
    let pcap = bench.file("in.pcap", two_exchanges().pcap());
    let har = bench.file("in.har", HAR);
    let text = bench.file("text.txt", "Dear diary");
    let missing = bench.dir.path().join("missing");
    let [pcap, har, text, missing] = [&pcap, &har, &text, &missing].map(|path| path.to_str().unwrap());
    for (inputs, exchanges, reasons) in [
        ([pcap, missing, har, text], 2, ["No such file", "not a packet capture"]),
        ([har, missing, pcap, text], 1, ["No such file", "is a packet capture"]),
    ] {
        let done = bench.import(Path::new(inputs[0]), &inputs[1..]);
        assert_eq!(done.status.code(), Some(2), "{}", words(&done));
        assert_eq!(bench.exchanges().len(), exchanges);
        let words = words(&done);
        assert!(reasons.iter().all(|reason| words.contains(reason)) && words.contains("text.txt"), "{words}");
    }
}

#[test]
fn captures_and_what_is_cut_before_it_says_anything_are_named_as_such() {
    let bench = Bench::new();
    assert!(bench.import(&bench.file("in.pcap", two_exchanges().pcap()), &[]).status.success());
    let capture = bench.dir.path().join("made.dub");
    fs::rename(bench.output(), &capture).unwrap();
    let cut = bench.file("cut.pcap.gz", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed]);
    let har = bench.file("in.har", HAR);
    for (input, more, reason) in [
        (&capture, &[][..], "is a capture already"),
        (&cut, &[], "gzip stream is cut off"),
        (&har, &["--follow"], "--follow is for packet captures"),
    ] {
        let done = bench.import(input, more);
        assert_eq!(done.status.code(), Some(2), "{}", words(&done));
        assert!(words(&done).contains(reason), "{}", words(&done));
        assert!(!bench.output().exists());
    }
}

#[test]
fn an_interface_whose_link_type_is_not_read_costs_its_packets_alone() {
    let block = |kind: u32, body: &[u8]| {
        let padding = body.len().wrapping_neg() % 4;
        let length = u32::try_from(12 + body.len() + padding).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &[0; 3][..padding], &length].concat()
    };
    let mut file = block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    for link in [1, 195] {
        file.extend(block(1, &[link, 0, 0, 0, 0, 0, 0, 0]));
    }
    for (at, frame) in &two_exchanges().packets {
        for interface in [0_u32, 1] {
            let length = u32::try_from(frame.len()).unwrap();
            let micros = at / 1000;
            let numbers = [interface, (micros >> 32) as u32, micros as u32, length, length];
            let body: Vec<u8> =
                numbers.iter().flat_map(|number| number.to_le_bytes()).chain(frame.iter().copied()).collect();
            file.extend(block(6, &body));
        }
    }
    let bench = Bench::new();
    let done = bench.import(&bench.file("mixed.pcapng", file), &[]);
    assert_eq!(done.status.code(), Some(2), "{}", words(&done));
    assert!(words(&done).contains("link type 195"), "{}", words(&done));
    assert_eq!(bench.exchanges().len(), 2);
}

#[test]
fn a_key_log_may_come_through_a_pipe() {
    let bench = Bench::new();
    let pcap = bench.file("in.pcap", two_exchanges().pcap());
    let keys = fifo(&bench);
    let import = start(&bench, &pcap, &["--keylog", keys.to_str().unwrap()]);
    fs::write(&keys, "no line of a key log\n").unwrap();
    let done = import.wait_with_output().unwrap();
    assert!(words(&done).contains("holds no TLS key log line"), "{}", words(&done));
    assert_eq!(bench.exchanges().len(), 2);
}

#[test]
fn a_signal_ends_an_import_with_130_and_what_was_read_is_kept() {
    for name in ["INT", "TERM"] {
        let bench = Bench::new();
        let pipe = fifo(&bench);
        let import = start(&bench, &pipe, &[]);
        let mut writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        writer.write_all(&two_exchanges().pcap()).unwrap();
        until("capture", || bench.output().exists());
        signal(name, &import);
        let done = import.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(130), "{}", words(&done));
        assert!(words(&done).contains("interrupted"), "{}", words(&done));
        assert_eq!(bench.exchanges().len(), 2);
    }
}

#[test]
fn who_is_killed_leaves_what_it_had_read() {
    let bench = Bench::new();
    let input = bench.file("in.pcap", two_exchanges().pcap());
    let mut import = start(&bench, &input, &["--follow"]);
    until("exchanges", || count(&bench) == 2);
    import.kill().unwrap();
    import.wait().unwrap();
    assert_eq!(bench.exchanges().len(), 2);
}

#[test]
fn following_goes_on_in_the_file_that_takes_the_place_of_the_first() {
    let bench = Bench::new();
    let input = bench.file("in.pcap", two_exchanges().pcap());
    let import = start(&bench, &input, &["--follow"]);
    until("exchanges", || count(&bench) == 2);
    let later = Talk::open(40001, 80).client(GET).server(OK).client(GET).server(OK).close();
    fs::rename(bench.file("next.pcap", later.pcap()), &input).unwrap();
    until("more exchanges", || count(&bench) == 4);
    signal("INT", &import);
    let done = import.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", words(&done));
    assert_eq!(bench.exchanges().len(), 4);
}

#[test]
fn a_followed_file_that_shrinks_ends_the_import_with_a_sentence() {
    let bench = Bench::new();
    let input = bench.file("in.pcap", two_exchanges().pcap());
    let import = start(&bench, &input, &["--follow"]);
    until("exchanges", || count(&bench) == 2);
    fs::OpenOptions::new().write(true).open(&input).unwrap().set_len(100).unwrap();
    let done = import.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{}", words(&done));
    assert!(words(&done).contains("became shorter"), "{}", words(&done));
    assert_eq!(bench.exchanges().len(), 2);
}

#[test]
fn a_disk_that_takes_no_more_is_told_with_4_and_nothing_useless_stays() {
    let bench = Bench::new();
    let body: String = (0..5000_u32).map(|number| format!("{:x}", number.wrapping_mul(2_654_435_761))).collect();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let talk = Talk::open(40000, 80).client(GET).server(answer).close();
    let input = bench.file("in.pcap", talk.pcap());
    let program = overdub();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 8; exec \"$0\" import \"$1\" -o \"$2\""]);
    let done = limited.arg(program.get_program()).arg(&input).arg(bench.output()).output().unwrap();
    assert_eq!(done.status.code(), Some(4), "{}", words(&done));
    assert!(words(&done).contains("cannot write the capture"), "{}", words(&done));
    assert!(!bench.output().exists());
}
