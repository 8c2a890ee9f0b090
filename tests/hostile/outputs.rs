//! Outputs that cannot be written, are full, go away, or would destroy something; runs that are interrupted.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, mpsc};

use overdub::measure::Run;

use crate::replay::command::capture;
use crate::support::{Server, overdub, page};

use super::{Told, names, run, run_in_shell, signal, wait, workplace};

/// Every command that writes a file, with `OUT` in its place. The replay's target refuses.
const WRITERS: [&str; 5] = [
    "repair good.dub -o OUT",
    "correlate good.dub -q -o OUT",
    "replay good.dub --target http://127.0.0.1:9 --speed max --quiet -o OUT",
    "compare good.dub good.dub -q --html OUT",
    "record --listen 127.0.0.1:0 --ca-dir ca -o OUT",
];

#[test]
fn an_output_that_cannot_be_there_is_refused_before_the_work() {
    let dir = workplace();
    fs::create_dir(dir.path().join("folder")).unwrap();
    for writer in WRITERS {
        run(dir.path(), &writer.replace("OUT", "none/new")).expect(2, &["none/new"]);
        run(dir.path(), &writer.replace("OUT", "folder")).expect(2, &["folder"]);
    }
    for line in ["ca --ca-dir ca export -o none/new", "demo --dir good.dub", "ca --ca-dir good.dub show"] {
        run(dir.path(), line).expect(2, &[]);
    }
    assert_eq!(names(dir.path()), ["ca", "folder", "good.dub"]);
}

#[test]
fn nothing_recorded_or_measured_is_overwritten() {
    let dir = workplace();
    let good = fs::read(dir.path().join("good.dub")).unwrap();
    fs::write(dir.path().join("other.dub"), &good).unwrap();
    run(dir.path(), "replay good.dub --target http://127.0.0.1:9 --speed max -o old.run").expect(4, &[]);
    let measured = fs::read(dir.path().join("old.run")).unwrap();
    for writer in WRITERS {
        for victim in ["good.dub", "other.dub", "old.run"] {
            if writer.starts_with("replay") && victim == "old.run" {
                continue;
            }
            let told = run(dir.path(), &writer.replace("OUT", victim));
            told.expect(2, &[victim]);
            assert!(["another", "same file", "overwrite"].iter().any(|w| told.err.contains(w)), "{told:#?}");
        }
    }
    fs::write(dir.path().join("users.csv"), "user\nann\n").unwrap();
    run(dir.path(), "correlate good.dub --data users.csv -o users.csv").expect(2, &["overwrite an input"]);
    assert_eq!(fs::read(dir.path().join("good.dub")).unwrap(), good);
    assert_eq!(fs::read(dir.path().join("other.dub")).unwrap(), good);
    assert_eq!(fs::read(dir.path().join("old.run")).unwrap(), measured);
    run(dir.path(), "repair good.dub -o other.dub --force").expect(0, &[]);
}

#[test]
fn a_full_disk_is_said_and_leaves_no_half_file_and_no_dead_program() {
    let dir = workplace();
    // A file may have 1 kB here: what the system does to one that grows further is what a full disk does.
    for (line, out) in [
        ("repair good.dub -o new.dub", "new.dub"),
        ("correlate good.dub -o new.toml", "new.toml"),
        ("compare good.dub good.dub -q --html new.html", "new.html"),
    ] {
        let told = run_in_shell(dir.path(), &format!("ulimit -f 1; exec $O {line}"));
        told.expect(4, &[&format!("cannot write {out}"), "File too large"]);
        let half = dir.path().join(out);
        assert!(!half.exists() || run(dir.path(), &format!("verify {out}")).code == Some(0), "{told:#?}");
    }
    assert!(names(dir.path()).iter().all(|name| !name.contains("partial")), "{:?}", names(dir.path()));
    // The former rules stay when there is no room for new ones.
    fs::write(dir.path().join("old.toml"), "format = 1\n").unwrap();
    run_in_shell(dir.path(), "ulimit -f 1; exec $O correlate good.dub -o old.toml").expect(4, &["cannot write"]);
    assert_eq!(fs::read_to_string(dir.path().join("old.toml")).unwrap(), "format = 1\n");
}

#[test]
fn results_without_room_are_still_told() {
    let dir = tempfile::tempdir().unwrap();
    capture(dir.path());
    let server = Server::answering(|_| page("text/plain", "hello"));
    let line = format!(
        "ulimit -f 0; exec $O replay shop.dub --target https://shop.test={} --speed max -o new.run --summary json",
        server.url()
    );
    let told = run_in_shell(dir.path(), &line);
    told.expect(4, &["cannot write new.run", "File too large"]).prints(&["\"ok\":3"]);
    assert_eq!(names(dir.path()), ["shop.dub"]);
}

#[test]
fn a_full_stdout_is_a_failure_and_a_reader_that_went_away_is_none() {
    let dir = workplace();
    let commands = [
        "inspect good.dub",
        "inspect good.dub --json",
        "inspect good.dub --exchange 1",
        "verify good.dub",
        "verify good.dub --json",
        "repair good.dub --force -o new.dub",
        "correlate good.dub --json -o new.toml",
        "compare good.dub good.dub",
        "compare good.dub good.dub --json",
        "compare good.dub good.dub --markdown",
        "ca --ca-dir ca show",
        "ca --ca-dir ca export",
        "shell man",
        "shell completions bash",
    ];
    let full = Path::new("/dev/full").exists();
    for command in commands {
        if full {
            run_in_shell(dir.path(), &format!("$O {command} >/dev/full")).expect(4, &["cannot write", "No space left"]);
        }
        run_in_shell(dir.path(), &format!("$O {command} | :")).expect(0, &[]);
    }
    let replay = "replay good.dub --target http://127.0.0.1:9 --speed max --summary json";
    if full {
        run_in_shell(dir.path(), &format!("$O {replay} >/dev/full")).expect(4, &["cannot print the summary"]);
    }
    run_in_shell(dir.path(), &format!("$O {replay} | :")).expect(4, &[]);
}

#[test]
fn a_device_is_written_to_and_never_replaced() {
    let dir = workplace();
    for writer in &WRITERS[1..4] {
        let told = run(dir.path(), &writer.replace("OUT", "/dev/null"));
        assert!(matches!(told.code, Some(0 | 4)), "{told:#?}");
        assert!(!told.err.contains("cannot write"), "{told:#?}");
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }
}

/// Interrupts a replay whose target never answers, `times` times; returns what was told and the results.
fn interrupted(times: usize, name: &str) -> (Told, Run) {
    let dir = tempfile::tempdir().unwrap();
    capture(dir.path());
    let (asked, hear) = mpsc::channel();
    let asked = Mutex::new(asked);
    let server = Server::scripted(move |dialogue| {
        dialogue.request();
        let _ = asked.lock().unwrap().send(());
        dialogue.wait_for_close();
    });
    let mut child = overdub()
        .args(["replay", "shop.dub", "--speed", "max", "--timeout", "50s", "-o", "new.run", "--target"])
        .arg(format!("https://shop.test={}", server.url()))
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    hear.recv().unwrap();
    let mut words = std::io::BufReader::new(child.stderr.take().unwrap());
    signal(child.id(), name);
    if times > 1 {
        // The second one counts only when the first has been heard.
        let mut line = String::new();
        while !line.contains("once more") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut words, &mut line).unwrap() > 0, "the first signal is not heard");
        }
        signal(child.id(), name);
    }
    let told = wait(child, "an interrupted replay".to_owned());
    let results = Run::read(&dir.path().join("new.run")).unwrap();
    (told, results)
}

#[test]
fn a_replay_interrupted_twice_ends_at_once_and_leaves_its_results() {
    for name in ["INT", "TERM"] {
        let (told, results) = interrupted(2, name);
        told.expect(130, &[]).prints(&["cut short"]);
        assert_eq!(results.sessions.completed, 0);
        assert!(results.not_sent > 0, "{results:?}");
    }
}

#[test]
fn an_interrupted_demo_says_so_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = overdub()
        .args(["demo", "--dir", "made", "--speed", "0.01"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut words = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("3/6") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut words, &mut line).unwrap() > 0, "the demo ends early");
    }
    signal(child.id(), "INT");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut words, &mut rest).unwrap();
    wait(child, "an interrupted demo".to_owned()).expect(130, &[]);
    assert!(rest.contains("interrupted; what was made so far stays"), "{rest}");
    run(&dir.path().join("made"), "verify shop.dub").expect(0, &[]).prints(&["sound"]);
}
