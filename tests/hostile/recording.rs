//! `overdub record` among hostile clients, servers, disks and signals.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use overdub::capture::Reader;

use crate::support::{Server, overdub, page};

use super::{PATIENCE, Told, run, signal, wait};

/// Short enough to lose no time, and only ever waited for.
const TICK: Duration = Duration::from_millis(5);

/// Tries until it works; fails the test when it never does.
fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / TICK.as_millis() {
        if let Some(found) = attempt() {
            return found;
        }
        thread::sleep(TICK);
    }
    panic!("{what} does not happen");
}

/// A recorder as a user starts it.
struct Recorder {
    child: Child,
    address: String,
    dir: tempfile::TempDir,
}

impl Recorder {
    fn start(flags: &[&str]) -> Self {
        let mut command = overdub();
        command.args(["record", "-o", "new.dub"]).args(flags);
        Self::start_command(command)
    }

    /// A recorder whose files may not grow over so many kilobytes.
    fn start_limited(kilobytes: u32) -> Self {
        let mut command = Command::new("bash");
        let script = format!("ulimit -f {kilobytes}; exec $O record -o new.dub \"$@\"");
        command.args(["-c", &script, "overdub"]).env("O", env!("CARGO_BIN_EXE_overdub"));
        Self::start_command(command)
    }

    fn start_command(mut command: Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The root is made outside of any limit.
        run(dir.path(), "ca --ca-dir ca path").expect(0, &[]);
        let child = command
            .args(["--listen", "127.0.0.1:0", "--ca-dir", "ca", "--ready-file", "ready"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ready = dir.path().join("ready");
        let address = eventually("the proxy", || fs::read_to_string(&ready).ok());
        Self { child, address: address.trim().to_owned(), dir }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Asks a server through the proxy; all that comes back.
    fn ask(&self, server: &Server) -> Vec<u8> {
        let mut stream = self.connect();
        let host = server.address;
        write!(stream, "GET http://{host}/page HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    fn capture(&self) -> PathBuf {
        self.dir.path().join("new.dub")
    }

    fn exchanges(&self) -> usize {
        Reader::open(&self.capture()).map_or(0, |capture| capture.exchanges().flatten().count())
    }

    /// Sends a signal and waits for the end; the directory stays.
    fn end(self, name: &str) -> (Told, tempfile::TempDir) {
        signal(self.child.id(), name);
        (wait(self.child, "overdub record".to_owned()), self.dir)
    }
}

#[test]
fn signals_end_a_recording_well() {
    for name in ["TERM", "INT"] {
        let server = Server::answering(|_| page("text/plain", "hello"));
        let recorder = Recorder::start(&[]);
        assert!(recorder.ask(&server).ends_with(b"hello"));
        let (told, dir) = recorder.end(name);
        assert_eq!(told.code, Some(0), "{told:#?}");
        assert!(
            told.err.contains("1 exchange in 1 session") && told.err.contains("next: overdub correlate"),
            "{told:#?}"
        );
        run(dir.path(), "verify new.dub --json").expect(0, &[]).prints(&["\"finished\":true", "\"exchanges\":1,"]);
    }
}

#[test]
fn a_killed_recorder_leaves_all_that_was_flushed() {
    let server = Server::answering(|_| page("text/plain", "hello"));
    let recorder = Recorder::start(&[]);
    for _ in 0..3 {
        recorder.ask(&server);
    }
    eventually("a flush", || (recorder.exchanges() == 3).then_some(()));
    let (told, dir) = recorder.end("KILL");
    assert_eq!(told.code, None);
    run(dir.path(), "verify new.dub").expect(0, &["has no index", "Nothing is lost"]).prints(&["sound", "3 exchanges"]);
    run(dir.path(), "inspect new.dub --json").expect(0, &[]).prints(&["\"id\":3"]);
    run(dir.path(), "repair new.dub -o whole.dub").expect(0, &[]).prints(&["nothing was lost"]);
    run(dir.path(), "verify whole.dub --json").expect(0, &[]).prints(&["\"finished\":true", "\"exchanges\":3,"]);
    run(dir.path(), "record --listen 127.0.0.1:0 --ca-dir ca -o new.dub").expect(2, &["new.dub exists", "--force"]);
}

#[test]
fn a_killed_recorder_leaves_what_had_not_ended_with_its_messages_and_bytes() {
    let server = Server::scripted(|dialogue| {
        let asked = dialogue.request().unwrap_or_default();
        dialogue.send(match &asked {
            asked if asked.contains("/events") => {
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\ndata: two\n\n".to_owned()
            }
            _ => format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}", "long ".repeat(30_000)),
        });
        dialogue.wait_for_close();
    });
    let recorder = Recorder::start(&[]);
    let host = server.address;
    let mut streams = Vec::new();
    for target in ["events", "long"] {
        let mut stream = recorder.connect();
        write!(stream, "GET http://{host}/{target} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        streams.push(stream);
    }
    eventually("both in the file", || (recorder.exchanges() == 2).then_some(()));
    let (_, dir) = recorder.end("KILL");
    run(dir.path(), "verify new.dub").expect(0, &["has no index"]).prints(&["sound", "2 exchanges, 2 messages"]);
    run(dir.path(), "repair new.dub -o whole.dub")
        .expect(0, &[])
        .prints(&["2 exchanges, 2 messages", "nothing was lost"]);
    let whole = Reader::open(&dir.path().join("whole.dub")).unwrap();
    for exchange in whole.exchanges().map(Result::unwrap) {
        let reason = exchange.incomplete.as_ref().unwrap().to_string();
        assert!(reason.contains("under way"), "{reason}");
        let (body, long) = (exchange.response.unwrap().body, exchange.request.target == b"/long");
        assert_eq!((body.len > 0, whole.message_count_of(exchange.id)), (long, if long { 0 } else { 2 }));
    }
}

#[test]
fn what_is_told_before_its_end_counts_once() {
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let goes_on = std::sync::Mutex::new(goes_on);
    let server = Server::scripted(move |dialogue| {
        dialogue.request();
        dialogue.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
        let _ = goes_on.lock().unwrap().recv();
        dialogue.send("more");
        dialogue.wait_for_close();
    });
    let recorder = Recorder::start(&[]);
    let mut stream = recorder.connect();
    let host = server.address;
    write!(stream, "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    eventually("the exchange in the file", || (recorder.exchanges() == 1).then_some(()));
    go_on.send(()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(b"halfmore"));
    let (told, dir) = recorder.end("TERM");
    assert_eq!(told.code, Some(0), "{told:#?}");
    assert!(told.err.contains("1 exchange in 1 session, 8 bytes of bodies"), "{told:#?}");
    assert!(!told.err.contains("incomplete"), "{told:#?}");
    let kept = Reader::open(&dir.path().join("new.dub")).unwrap();
    let exchanges: Vec<_> = kept.exchanges().map(Result::unwrap).collect();
    assert_eq!((exchanges.len(), &exchanges[0].incomplete), (1, &None));
    assert_eq!(exchanges[0].response.as_ref().unwrap().body.len, 8);
}

#[test]
fn a_disk_that_is_full_costs_the_traffic_nothing_and_is_told() {
    let large: String =
        (0_u64..40_000).map(|n| char::from(b'a' + (n.wrapping_mul(n ^ 0x5bd1) >> 7) as u8 % 26)).collect();
    let answer = page("text/plain", &large);
    let server = Server::answering(move |_| answer.clone());
    let recorder = Recorder::start_limited(4);
    for _ in 0..3 {
        assert!(recorder.ask(&server).ends_with(large.as_bytes()), "the traffic flows");
    }
    let (told, dir) = recorder.end("TERM");
    assert_eq!(told.code, Some(4), "{told:#?}");
    assert!(told.err.contains("3 exchanges missing") && told.err.contains("overdub verify"), "{told:#?}");
    assert!(told.err.contains("File too large") && !told.err.contains("could not keep up"), "{told:#?}");
    let kept = Reader::open(&dir.path().join("new.dub")).unwrap();
    assert_eq!(kept.damage().torn_bytes, 0, "cut back to whole frames");
}

/// A client of the proxy that believes in the given roots; the end of its handshake.
fn shake_hands(recorder: &Recorder, server: &Server, roots: rustls::RootCertStore) -> (bool, Vec<u8>) {
    let to = server.address.to_string();
    let mut stream = recorder.connect();
    write!(stream, "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
        head.push(byte[0]);
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut secure = rustls::Stream::new(&mut session, &mut stream);
    let asked = write!(secure, "GET / HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n").is_ok();
    let mut answer = Vec::new();
    let _ = secure.read_to_end(&mut answer);
    if !asked {
        // Until the proxy has taken note of the refusal.
        let _ = stream.shutdown(std::net::Shutdown::Write).and_then(|()| stream.read_to_end(&mut Vec::new()));
    }
    (asked, answer)
}

fn root_of(dir: &Path) -> rustls::RootCertStore {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(dir.join("ca/overdub-ca.pem")).unwrap()).unwrap();
    roots
}

#[test]
fn a_client_that_rejects_our_certificate_is_told_with_its_host() {
    let (server, root) = crate::replay::tls_server();
    let pem = tempfile::NamedTempFile::new().unwrap();
    fs::write(pem.path(), root).unwrap();
    let recorder = Recorder::start(&["--upstream-ca", pem.path().to_str().unwrap()]);
    assert!(!shake_hands(&recorder, &server, rustls::RootCertStore::empty()).0);
    let (passed, _) = shake_hands(&recorder, &server, root_of(recorder.dir.path()));
    assert!(!passed, "the host passes now, but this client believes our root alone");
    let (asked, answer) = shake_hands(&recorder, &server, root_of(recorder.dir.path()));
    assert!(asked && answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
    eventually("a flush", || (recorder.exchanges() == 2).then_some(()));
    let (told, _dir) = recorder.end("TERM");
    assert_eq!(told.code, Some(0), "{told:#?}");
    let rejected = told.err.lines().find(|l| l.contains("does not take our certificate"));
    assert!(
        rejected.is_some_and(
            |l| l.starts_with(&format!("{}: ", server.address)) && l.contains("it has to trust ca/overdub-ca.pem")
        ),
        "{told:#?}"
    );
    let (_, summary) = told.err.split_once("stopping").unwrap();
    assert!(
        summary.contains(&format!("1  {} (it sent the TLS alert unknown_ca; taken on 1 connection)", server.address))
            && summary.contains("(a client refused our certificate: it sent the TLS alert unknown_ca)"),
        "{told:#?}"
    );
}

#[test]
fn an_untrusted_server_is_a_page_for_the_client_and_an_incomplete_exchange() {
    let (server, _) = crate::replay::tls_server();
    let recorder = Recorder::start(&[]);
    let (asked, answer) = shake_hands(&recorder, &server, root_of(recorder.dir.path()));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(asked && answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("--upstream-ca") && answer.contains("--upstream-insecure"), "{answer}");
    let (told, dir) = recorder.end("TERM");
    assert_eq!(told.code, Some(0), "{told:#?}");
    assert!(told.err.contains("incomplete: 1 exchange"), "{told:#?}");
    run(dir.path(), "inspect new.dub --json").expect(0, &[]).prints(&["\"incomplete\":\"connect: "]);
    assert!(server.requests().is_empty());
}

#[test]
fn a_recording_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text"), "hello").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let record = "record -o new.dub --ca-dir ca";
    for (flags, words) in [
        (format!("--listen {address}"), &["cannot listen on", &address, "in use", "--listen"][..]),
        ("--listen nonsense".into(), &["invalid value 'nonsense'"]),
        ("--listen 192.0.2.1:80".into(), &["cannot listen on 192.0.2.1:80"]),
        ("--upstream-ca none.pem".into(), &["cannot read none.pem", "No such file"]),
        ("--upstream-ca text".into(), &["text holds no PEM certificate"]),
        ("--mode sideways".into(), &["invalid value 'sideways'", "forward"]),
    ] {
        run(dir.path(), &format!("{record} {flags}")).expect(2, words);
        assert!(!dir.path().join("new.dub").exists(), "{flags}");
    }
}

#[test]
fn a_root_that_is_exposed_halved_or_damaged_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), "ca --ca-dir ca show").expect(0, &[]);
    let file = |name: &str| dir.path().join("ca").join(name);
    let (key, certificate) = (file("overdub-ca.key"), file("overdub-ca.pem"));
    let (key_bytes, certificate_bytes) = (fs::read(&key).unwrap(), fs::read(&certificate).unwrap());
    let refused = |words: &[&str]| {
        for line in
            ["ca --ca-dir ca show", "ca --ca-dir ca export", "record -o new.dub --listen 127.0.0.1:0 --ca-dir ca"]
        {
            let told = run(dir.path(), line);
            told.expect(2, words);
            assert_eq!((told.err.lines().count(), told.out.as_str()), (1, ""), "{told:#?}");
        }
    };
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused(&["overdub-ca.key can be read by others", "chmod 600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for length in [0, 10, certificate_bytes.len() / 2] {
        fs::write(&certificate, &certificate_bytes[..length]).unwrap();
        refused(&["overdub-ca.pem is damaged", "delete it"]);
    }
    fs::write(&certificate, &certificate_bytes).unwrap();
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    refused(&["overdub-ca.key is damaged", "delete it"]);
    fs::write(&key, &key_bytes).unwrap();
    fs::remove_file(&certificate).unwrap();
    refused(&["overdub-ca.pem is missing", "put it back"]);
    assert_eq!(fs::read(&key).unwrap(), key_bytes, "a key is never made anew over another");
}
