//! The programs that a recording accompanies: commands, and shell scripts in a browser's place.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use overdub::capture::Reader;

use super::{overdub, patient, read_exactly, read_head, server, text};

/// `overdub record` with a program, and a directory that holds all it leaves behind.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn record(&self, arguments: &[&str]) -> Command {
        let all = [&["record", "-o", "a.dub", "--listen", "127.0.0.1:0", "--ready-file", "ready"], arguments].concat();
        let mut command = overdub(self.dir.path(), &all);
        command.env("TMPDIR", self.path("tmp")).env_remove("OVERDUB_BROWSER_PATH");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A browser made of shell commands.
    fn browser(&self, script: &str) -> String {
        let path = self.path("browser");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn await_file(&self, name: &str) -> String {
        let found = (0..2000).find_map(|_| {
            thread::sleep(Duration::from_millis(5));
            fs::read_to_string(self.path(name)).ok().filter(|text| text.ends_with('\n'))
        });
        found.unwrap_or_else(|| panic!("{name} does not come"))
    }

    /// What stays when the recording is over: a good capture, and nothing temporary.
    fn exchanges(&self) -> usize {
        let capture = Reader::open(&self.path("a.dub")).unwrap();
        assert!(!capture.damage().unfinished);
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 0, "temporary files stay");
        capture.exchanges().count()
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn said(ended: &Output) -> String {
    text(&ended.stderr)
}

/// Asks a server for something through a proxy.
fn fetch(proxy: &str) {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let mut client = patient(TcpStream::connect(proxy).unwrap());
    write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut client);
    assert_eq!(read_exactly(&mut client, 2), b"ok");
    served.join().unwrap();
}

#[test]
fn a_command_is_recorded_until_it_ends_and_its_exit_code_is_ours() {
    let stage = Stage::new();
    let script = "echo $http_proxy; head -1 \"$SSL_CERT_FILE\"; read word; echo got $word; exit 3";
    let mut child = stage.record(&["--", "sh", "-c", script]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    fetch(line.trim().strip_prefix("http://").unwrap());
    child.stdin.take().unwrap().write_all(b"it\n").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "-----BEGIN CERTIFICATE-----\ngot it\n");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", said(&ended));
    assert!(said(&ended).contains("1 exchange in 1 session") && said(&ended).contains("exit status: 3"));
    assert_eq!(stage.exchanges(), 1);
}

#[test]
fn a_signal_to_us_reaches_the_command_and_the_recording_ends_well() {
    let stage = Stage::new();
    let script = "trap 'kill $!; exit 7' TERM; sleep 600 & echo up > up; wait";
    let child = stage.record(&["--", "sh", "-c", script]).spawn().unwrap();
    stage.await_file("up");
    signal(&child, "-TERM");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(7), "{}", said(&ended));
    assert_eq!(stage.exchanges(), 0);
}

#[test]
fn a_command_that_goes_on_after_an_interrupt_is_waited_for_until_the_next_one() {
    let stage = Stage::new();
    let script = "trap 'kill $!; exit 7' TERM; sleep 600 & echo up > up; wait";
    let mut child = stage.record(&["--", "sh", "-c", script]).spawn().unwrap();
    stage.await_file("up");
    // Unlike the terminal's Ctrl-C this one reaches us alone.
    signal(&child, "-INT");
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(said.any(|line| line.contains("Ctrl-C again ends it")));
    signal(&child, "-INT");
    assert!(said.any(|line| line.contains("exit status: 7")));
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(stage.exchanges(), 0);
}

#[test]
fn a_command_that_a_signal_ended_gives_the_code_of_a_shell() {
    let stage = Stage::new();
    let ended = stage.record(&["-q", "--", "sh", "-c", "kill -KILL $$"]).output().unwrap();
    assert_eq!((ended.status.code(), said(&ended)), (Some(128 + 9), String::new()));
    assert_eq!(stage.exchanges(), 0);
}

#[test]
fn a_program_that_is_not_there_is_told_before_anything_is_recorded() {
    let stage = Stage::new();
    fs::write(stage.path("plain"), "").unwrap();
    for (arguments, code, sentence) in [
        (&["--", "no-command-has-this-name"][..], 127, "there is no command"),
        (&["--", "./plain"], 126, "is no program"),
        (&["--browser", "--headless", "--browser-path", "./none"], 2, "is no program"),
        (&["--browser", "--", "true"], 2, "cannot be used with"),
        (&["--headless"], 2, "--browser"),
        (&["--browser=--version", "--headless"], 2, "no URL"),
    ] {
        let ended = stage.record(arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", said(&ended));
        assert!(said(&ended).contains(sentence), "{arguments:?}: {}", said(&ended));
        assert!(!stage.path("a.dub").exists(), "{arguments:?}");
    }
}

#[test]
fn a_browser_gets_the_proxy_and_the_recording_ends_when_it_closes() {
    let stage = Stage::new();
    let browser = stage.browser(
        "printf '%s\\n' \"$@\" > switches.draft; mv switches.draft switches
         while [ ! -e close ]; do sleep 0.02; done",
    );
    let url = "http://shop.test/?a=b c";
    let child = stage.record(&["--browser", url, "--headless", "--browser-path", &browser]).spawn().unwrap();
    let switches = stage.await_file("switches");
    let ready = stage.await_file("ready");
    let has = |switch: &str| switches.lines().any(|line| line == switch);
    assert!(has(&format!("--proxy-server=http://{}", ready.trim())), "{switches}");
    assert!(has("--proxy-bypass-list=<-loopback>") && has("--headless=new"), "{switches}");
    assert_eq!(switches.lines().last(), Some(url));
    let profile = switches.lines().find_map(|line| line.strip_prefix("--user-data-dir=")).unwrap();
    assert!(
        Path::new(profile).starts_with(stage.path("tmp")) && Path::new(profile).join("Default/Preferences").exists()
    );
    fetch(ready.trim());
    fs::write(stage.path("close"), "").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert_eq!(stage.exchanges(), 1);
}

#[test]
fn a_browser_ends_with_the_recording_even_when_it_does_not_want_to() {
    let stage = Stage::new();
    let browser = stage.browser("trap 'echo > asked' TERM; echo > up; while :; do sleep 0.02; done");
    let child = stage.record(&["--browser", "--headless", "--browser-path", &browser]).spawn().unwrap();
    stage.await_file("up");
    signal(&child, "-TERM");
    stage.await_file("asked");
    signal(&child, "-TERM");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert_eq!(stage.exchanges(), 0);
}

#[test]
fn a_browser_learns_when_we_are_killed() {
    let stage = Stage::new();
    let browser = stage.browser("echo > up; read nothing <&3; echo > closed");
    let mut child = stage.record(&["--browser", "--headless", "--browser-path", &browser]).spawn().unwrap();
    stage.await_file("up");
    assert!(!stage.path("closed").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    stage.await_file("closed");
}

#[test]
fn a_browser_that_cannot_run_is_quoted() {
    let stage = Stage::new();
    let browser = stage.browser("echo 'no screen' >&2; exit 1");
    let ended = stage.record(&["--browser", "--headless", "--browser-path", &browser]).output().unwrap();
    assert_eq!(ended.status.code(), Some(4));
    assert!(said(&ended).contains("exit status: 1") && said(&ended).contains("  no screen"), "{}", said(&ended));
    assert_eq!(stage.exchanges(), 0);
}

#[test]
fn a_command_works_where_strangers_are_asked_and_the_password_is_shown_once() {
    let stage = Stage::new();
    let record = |arguments: &[&str]| {
        let all = [&["record", "-o", "a.dub", "--force", "--listen", "0.0.0.0:0"], arguments].concat();
        let mut command = overdub(stage.dir.path(), &all);
        command.env("TMPDIR", stage.path("tmp")).env_remove("OVERDUB_CREDENTIALS");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let mut child = record(&["--", "sh", "-c", "echo $http_proxy; read word"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let proxy = line.trim().strip_prefix("http://").unwrap();
    fetch(proxy);
    let marked = overdub(stage.dir.path(), &["mark", "--proxy", proxy, "pay"]).output().unwrap();
    assert!(marked.status.success(), "{}", said(&marked));
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    let said_all = said(&ended);
    assert_eq!(ended.status.code(), Some(0), "{said_all}");
    let password = said_all.split("the password ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert!(
        password.len() == 19 && said_all.contains(&format!("curl --proxy http://overdub:{password}@")),
        "{said_all}"
    );
    assert_eq!((said_all.matches(password).count(), said_all.matches("anyone who can reach").count()), (2, 0));
    let capture = fs::read(stage.path("a.dub")).unwrap();
    assert!(memchr::memmem::find(&capture, password.as_bytes()).is_none());
    assert_eq!(stage.exchanges(), 1);
    let open = record(&["--no-credentials", "--", "true"]).output().unwrap();
    assert!(open.status.success() && said(&open).contains("anyone who can reach 0.0.0.0:"), "{}", said(&open));
    let silent = record(&["--quiet", "--", "true"]).output().unwrap();
    assert!(!silent.status.success() && said(&silent).contains("--no-credentials"), "{}", said(&silent));
    let mistaken = record(&["--credentials", "geheim", "--", "true"]).output().unwrap();
    assert!(said(&mistaken).contains("USER:PASSWORD") && !said(&mistaken).contains("geheim"), "{}", said(&mistaken));
}
