//! What `record` says while it runs: the list of exchanges, and keys in a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use overdub::capture::Reader;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::{Server, page};

use super::{PATIENCE, overdub, patient, read_all, text};

/// A recorder as a user starts it.
struct Recorder {
    child: Child,
    address: String,
}

impl Recorder {
    fn start(dir: &Path, flags: &[&str], set: impl FnOnce(&mut Command)) -> Self {
        let base = ["record", "-o", "a.dub", "--listen", "127.0.0.1:0", "--ready-file", "ready"];
        let mut command = overdub(dir, &[&base, flags].concat());
        command.stderr(Stdio::piped()).env("TERM", "xterm");
        set(&mut command);
        let child = command.spawn().unwrap();
        let begun = Instant::now();
        let address = loop {
            match std::fs::read_to_string(dir.join("ready")) {
                Ok(address) => break address.trim().to_owned(),
                Err(_) => assert!(begun.elapsed() < PATIENCE, "the proxy does not listen"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        Self { child, address }
    }

    fn get(&self, server: &Server, path: &str) {
        let mut stream = patient(TcpStream::connect(&self.address).unwrap());
        let host = server.address;
        write!(stream, "GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        assert!(read_all(&mut stream).ends_with(b"hello"));
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Ends it with a signal; it has to end well.
    fn end(mut self, name: &str) {
        self.signal(name);
        assert!(self.child.wait().unwrap().success(), "SIG{name}");
    }
}

/// A test that failed leaves nobody behind.
impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn site() -> Server {
    Server::answering(|_| page("text/plain", "hello"))
}

/// What a program says, as it says it.
struct Said {
    pieces: mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Said {
    fn on(mut stream: impl Read + Send + 'static) -> Self {
        let (sender, pieces) = mpsc::channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { pieces, text: String::new() }
    }

    /// Waits until this is said behind what was waited for before, and gives what came until then.
    fn wait_for(&mut self, words: &str) -> String {
        loop {
            if let Some(at) = self.text.find(words) {
                let rest = self.text.split_off(at + words.len());
                return std::mem::replace(&mut self.text, rest);
            }
            let more = self.pieces.recv_timeout(PATIENCE);
            let more = more.unwrap_or_else(|_| panic!("{words:?} is not said: {:?}", self.text));
            self.text.push_str(&text(&more));
        }
    }

    /// All the rest; ends when the program has.
    fn rest(mut self) -> String {
        while let Ok(more) = self.pieces.recv_timeout(PATIENCE) {
            self.text.push_str(&text(&more));
        }
        self.text
    }
}

#[test]
fn a_list_is_written_when_asked_for_and_its_lines_are_harmless() {
    let server = site();
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::start(dir.path(), &["--list", "--exclude", "/hidden /gone"], |_| {});
    let mut said = Said::on(recorder.child.stderr.take().unwrap());
    recorder.get(&server, "/hidden");
    recorder.get(&server, "/one%1b");
    recorder.get(&server, "/two?\u{9b}1m");
    let url = |path: &str| format!("  {}{path}\n", server.address);
    let first = said.wait_for(&url("/one%1b"));
    let line = first.lines().last().unwrap();
    assert!([" s1 ", " GET ", " 200 ", " 5 B "].iter().all(|part| line.contains(part)), "{line}");
    let second = said.wait_for(&url("/two?%C2%9B1m"));
    let all = first + &second;
    assert!(!all.contains("/hidden") && all.chars().all(|c| c == '\n' || !c.is_control()), "{all}");
    recorder.end("TERM");
    assert!(said.rest().contains("left out by --exclude /hidden: 1 exchange\n"));
}

#[test]
fn no_list_is_written_unasked_and_nothing_at_all_when_quiet() {
    let server = site();
    for flags in [&[][..], &["--list", "--quiet"][..]] {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::start(dir.path(), flags, |_| {});
        let said = Said::on(recorder.child.stderr.take().unwrap());
        recorder.get(&server, "/page");
        recorder.end("TERM");
        let said = said.rest();
        assert!(!said.contains("/page"), "{said}");
        assert_eq!(said.contains("1 exchange in 1 session"), flags.is_empty(), "{said}");
        assert_eq!(said.is_empty(), !flags.is_empty(), "{said}");
    }
}

/// Sends so many requests one after the other without waiting for answers, and waits for all of them.
fn ask_at_once(recorder: &Recorder, server: &Server, path: &str, times: usize) {
    let mut stream = patient(TcpStream::connect(&recorder.address).unwrap());
    let host = server.address;
    let ask = format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(ask.repeat(times).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(text(&read_all(&mut stream)).matches("hello").count(), times);
}

/// Reads lines until so many exchanges are listed or counted.
fn account_for(said: &mut Said, exchanges: usize) {
    let mut told = 0;
    while told < exchanges {
        let line = said.wait_for("\n");
        let left_out = line.trim().strip_prefix("… ").and_then(|rest| rest.strip_suffix(" more"));
        told += left_out.map_or_else(|| usize::from(line.contains(" GET ")), |count| count.parse::<usize>().unwrap());
    }
    assert_eq!(told, exchanges);
}

#[test]
fn what_a_list_leaves_out_is_counted() {
    const MANY: usize = 700;
    let server = site();
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::start(dir.path(), &["--list"], |_| {});
    let mut said = Said::on(recorder.child.stderr.take().unwrap());
    ask_at_once(&recorder, &server, "/many", MANY);
    account_for(&mut said, MANY);
    recorder.end("TERM");
    assert!(said.rest().contains("700 exchanges in 1 session"));
}

#[test]
fn a_list_that_nobody_reads_holds_no_traffic_up() {
    let server = site();
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::start(dir.path(), &["--list"], |_| {});
    // More than a pipe takes, twice: what is told by then stands before the program can go on telling.
    let long = format!("/{}", "long".repeat(150));
    for _ in 0..2 {
        ask_at_once(&recorder, &server, &long, 400);
    }
    let mut said = Said::on(recorder.child.stderr.take().unwrap());
    account_for(&mut said, 800);
    recorder.end("TERM");
    assert!(said.rest().contains("800 exchanges in 1 session"));
}

/// A terminal that a program runs in, seen from the other side.
struct Screen {
    keyboard: File,
    slave: File,
    said: Said,
}

impl Screen {
    /// None where the system has no terminals to give.
    fn open() -> Option<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).ok()?;
        grantpt(&master).ok()?;
        unlockpt(&master).ok()?;
        let name = ptsname(&master, Vec::new()).ok()?.into_string().ok()?;
        let slave = File::options().read(true).write(true).open(name).ok()?;
        let keyboard = File::from(master);
        let said = Said::on(keyboard.try_clone().unwrap());
        Some(Self { keyboard, slave, said })
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn wait_for(&mut self, words: &str) -> String {
        self.said.wait_for(words)
    }

    fn is_plain(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        modes.contains(LocalModes::ICANON) && modes.contains(LocalModes::ECHO)
    }
}

#[test]
fn keys_in_a_terminal_name_transactions_and_the_terminal_is_restored() {
    let server = site();
    for end in ["TERM", "INT", "QUIT", "HUP"] {
        let Some(mut screen) = Screen::open() else {
            eprintln!("skipped: this system gives no pseudo-terminals");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let slave = |screen: &Screen| Stdio::from(screen.slave.try_clone().unwrap());
        let recorder = Recorder::start(dir.path(), &[], |command| {
            command.stdin(slave(&screen)).stderr(slave(&screen)).env("NO_COLOR", "1");
        });
        screen.wait_for("m names the transaction");
        assert!(!screen.is_plain());
        screen.type_in("mpa");
        screen.wait_for("transaction (empty ends it): pa");
        // The list goes on above the prompt.
        recorder.get(&server, "/before");
        screen.wait_for("/before");
        screen.wait_for("transaction (empty ends it): pa");
        screen.type_in("y\r");
        screen.wait_for("mark: pay");
        recorder.get(&server, "/in");
        let line = screen.wait_for("/in");
        assert!(!line.contains("\x1b[3"), "no colour was asked for: {line:?}");
        screen.type_in("m\r");
        screen.wait_for("mark: the transaction ends");
        recorder.get(&server, "/after");
        screen.wait_for("/after");
        screen.type_in("mnever");
        screen.wait_for("never");
        recorder.end(end);
        assert!(screen.is_plain(), "after SIG{end}");
        let capture = Reader::open(&dir.path().join("a.dub")).unwrap();
        let labels: Vec<_> = capture.exchanges().map(|e| e.unwrap().transaction).collect();
        assert_eq!(labels, [None, Some("pay".to_owned()), None]);
    }
}
