//! Bad input: every outside byte ends in one clear sentence and an exit code, and nothing recorded or measured is lost.

mod captures;
mod files;
mod mutation;
mod outputs;
mod recording;
mod targets;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::overdub;

/// Ends a test that would hang; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most lines that a failure may take on stderr: remarks on the way and the sentence itself.
const MOST_LINES: usize = 8;

/// What a run of the program left.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
    #[expect(dead_code, reason = "a failing test shows it")]
    line: String,
}

impl Told {
    /// Holds the exit code, and that stderr is short and has all the words.
    fn expect(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.err.lines().count() <= MOST_LINES, "too much talk: {self:#?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not said: {self:#?}");
        }
        self
    }

    /// Holds that stdout has all the words.
    fn prints(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.out.contains(word), "`{word}` is not printed: {self:#?}");
        }
        self
    }
}

/// Runs the program in `dir` with the words of `line` as arguments.
fn run(dir: &Path, line: &str) -> Told {
    let words: Vec<&str> = line.split_whitespace().collect();
    run_with(dir, &words)
}

/// Runs the program with arguments that may hold spaces or nothing.
fn run_with(dir: &Path, arguments: &[&str]) -> Told {
    let mut command = overdub();
    command.args(arguments);
    finish(command, dir, arguments.join(" "))
}

/// Runs `overdub` with a shell's means: limits, pipes, redirections. `$O` is the program.
fn run_in_shell(dir: &Path, script: &str) -> Told {
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", script]).env("O", env!("CARGO_BIN_EXE_overdub"));
    finish(command, dir, script.to_owned())
}

fn finish(mut command: Command, dir: &Path, line: String) -> Told {
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command.spawn().unwrap(), line)
}

/// Waits for a program that must end by itself. It never tells of a panic.
fn wait(child: Child, line: String) -> Told {
    let id = child.id();
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = finished.recv_timeout(PATIENCE) else {
        signal(id, "KILL");
        panic!("`{line}` does not end");
    };
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = Told { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr), line };
    assert!(!told.err.contains("panicked at") && !told.out.contains("panicked at"), "{told:#?}");
    told
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A capture of the demo's shop.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo-one-user.dub")
}

/// A directory with a sound capture `good.dub`.
fn workplace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(shipped(), dir.path().join("good.dub")).unwrap();
    dir
}

/// The names in a directory, in order.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
