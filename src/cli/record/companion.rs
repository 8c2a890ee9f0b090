//! The program that a recording accompanies, a browser or a command: the recording ends with it, and it with the recording.
//! Main type: [`Companion`].

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin};
use tokio::time::{sleep, timeout};

use crate::cli::signals::{Received, Signals};
use crate::cli::{CliError, Console, Exit};

use super::browser;
use super::command;
use super::invitation::{Host, Invitation};

/// For a browser to close its windows and write its profile.
const BROWSER_GRACE: Duration = Duration::from_secs(5);
/// In which most commands end that got the terminal's Ctrl-C.
const AT_ONCE: Duration = Duration::from_millis(500);
/// For a command that got the terminal's Ctrl-C, or our word.
const COMMAND_GRACE: Duration = Duration::from_secs(10);
/// Between the last asking and the end.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// How often a directory that dying processes still write to is removed.
const REMOVALS: u32 = 40;
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Browser,
    Command,
}

/// A program that runs.
#[derive(Debug)]
pub(super) struct Companion {
    child: Child,
    kind: Kind,
    /// A browser ends when this is closed. (Waiting for a child closes the stdin that it still holds.)
    _leash: Option<ChildStdin>,
    /// Its profile, or its trust stores.
    files: TempDir,
    /// Whether we ended it.
    asked: bool,
}

/// One thing to try so that a program ends, and how long it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It knows already.
    Wait(Duration),
    /// The same, and the user is told whom we wait for.
    Remind(Duration),
    Ask(Duration),
    Kill,
}

impl Companion {
    /// Starts it; none when nobody is invited.
    ///
    /// # Errors
    /// When its files cannot be written or the system does not start it.
    pub(super) fn start(invitation: Invitation, host: &Host) -> Result<Option<Self>, CliError> {
        let broken = |error: io::Error| {
            CliError::because(Exit::Broken, "cannot write the temporary files of the recorded program", &error)
        };
        if matches!(invitation, Invitation::Nobody) {
            return Ok(None);
        }
        let files = tempfile::Builder::new().prefix("overdub-").tempdir().map_err(broken)?;
        let (program, kind, prepared) = match invitation {
            Invitation::Nobody => return Ok(None),
            Invitation::Browser(program, window) => {
                let prepared = browser::prepare(&program, &window, host, files.path()).map_err(broken)?;
                (program, Kind::Browser, prepared)
            }
            Invitation::Command(program, words) => {
                let prepared = command::prepare(&program, &words, host, files.path()).map_err(broken)?;
                (program, Kind::Command, prepared)
            }
        };
        let mut prepared = tokio::process::Command::from(prepared);
        let mut child = prepared.kill_on_drop(true).spawn().map_err(|error| {
            let exit = if kind == Kind::Command { Exit::Command(command::NOT_RUNNABLE) } else { Exit::Usage };
            CliError::because(exit, format_args!("cannot start {}", program.display()), &error)
        })?;
        Ok(Some(Self { _leash: child.stdin.take(), child, kind, files, asked: false }))
    }

    /// Waits for it to end; without one, for ever. Cancellation-safe.
    pub(super) async fn ended(companion: &mut Option<Self>) {
        match companion {
            Some(companion) => drop(companion.child.wait().await),
            None => std::future::pending().await,
        }
    }

    /// Sees that it ends after a signal to us; another signal shortens the waiting.
    pub(super) async fn end(&mut self, received: Received, signals: &mut Signals, console: Console) {
        self.asked = true;
        for &step in self.kind.steps(received) {
            let patience = match step {
                Step::Wait(patience) => patience,
                Step::Remind(patience) => {
                    console.say("waiting for the command to end; Ctrl-C again ends it");
                    patience
                }
                Step::Ask(patience) => {
                    self.send(Signal::TERM);
                    patience
                }
                Step::Kill => {
                    self.send(Signal::KILL);
                    LAST_GRACE
                }
            };
            tokio::select! {
                biased;
                ended = timeout(patience, self.child.wait()) => if ended.is_ok() { return },
                _ = signals.either() => {}
            }
        }
    }

    /// After its end: removes its files, tells how it ended, and gives our own exit code.
    pub(super) async fn farewell(mut self, console: Console) -> Exit {
        let status = self.child.try_wait().ok().flatten();
        let exit = match (self.kind, status) {
            (Kind::Command, Some(status)) => {
                let code = code(status);
                if code != 0 {
                    console.say(format_args!("the command ended with {status}"));
                }
                if code == 0 { Exit::Passed } else { Exit::Command(code) }
            }
            (Kind::Browser, Some(status)) if !self.asked && !status.success() => {
                console.warn(format_args!("the browser ended with {status}"));
                for line in browser::last_words(self.files.path()) {
                    console.warn(format_args!("  {}", super::clean(&line)));
                }
                Exit::Broken
            }
            (_, None) => {
                console.warn("the recorded program does not end");
                Exit::Broken
            }
            (Kind::Browser, Some(_)) => Exit::Passed,
        };
        let path = self.files.path().to_owned();
        for _ in 0..REMOVALS {
            if std::fs::remove_dir_all(&path).is_ok() || !path.exists() {
                return exit;
            }
            sleep(REMOVAL_PAUSE).await;
        }
        console.warn(format_args!("cannot remove {}", path.display()));
        exit
    }

    /// A browser is a group of processes, of which the first tells the others; a command may share our group.
    fn send(&self, signal: Signal) {
        let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else { return };
        let _ = match (self.kind, signal) {
            (Kind::Browser, Signal::KILL) => kill_process_group(pid, signal),
            _ => kill_process(pid, signal),
        };
    }
}

impl Kind {
    fn steps(self, received: Received) -> &'static [Step] {
        match (self, received) {
            // It has a group of its own, so that Ctrl-C does not reach it before us.
            (Self::Browser, _) => &[Step::Ask(BROWSER_GRACE), Step::Kill],
            (Self::Command, Received::Interrupt) => {
                &[Step::Wait(AT_ONCE), Step::Remind(COMMAND_GRACE), Step::Ask(LAST_GRACE), Step::Kill]
            }
            (Self::Command, Received::Terminate) => &[Step::Ask(COMMAND_GRACE), Step::Kill],
        }
    }
}

/// An exit code as shells give it.
fn code(status: ExitStatus) -> u8 {
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        for (raw, expected) in [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, 137), (2, 130)] {
            assert_eq!(code(ExitStatus::from_raw(raw)), expected);
        }
    }

    #[test]
    fn every_way_to_end_a_program_ends_in_its_end() {
        for kind in [Kind::Browser, Kind::Command] {
            for received in [Received::Interrupt, Received::Terminate] {
                assert_eq!(kind.steps(received).last(), Some(&Step::Kill), "{kind:?} {received:?}");
            }
        }
        assert!(matches!(Kind::Command.steps(Received::Interrupt)[0], Step::Wait(_)), "Ctrl-C reached it already");
    }
}
