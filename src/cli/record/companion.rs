//! The program that a recording accompanies, a browser or a command: the recording ends with it, and it with the recording.
//! Main type: [`Companion`].

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin};
use tokio::time::{sleep, timeout};

use crate::cli::signals::{Received, Signals};
use crate::cli::{CliError, Console, Exit};
use crate::record::CertificateAuthority;

use super::browser::{self, Window};
use super::command;

/// For a browser to close its windows and write its profile.
const BROWSER_GRACE: Duration = Duration::from_secs(5);
/// For a command that got the terminal's Ctrl-C, or our word.
const COMMAND_GRACE: Duration = Duration::from_secs(10);
/// Between the last asking and the end.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// How often a directory that dying processes still write to is removed.
const REMOVALS: u32 = 40;
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// Flags that name it.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Flags {
    /// Record a browser: an isolated Chromium, Chrome or Edge with proxy and certificate in place opens here, and the
    /// recording ends when it closes
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = browser::START_PAGE, conflicts_with = "command")]
    browser: Option<String>,
    /// Browser to start [default: the first of Chromium, Chrome, Edge that is found]
    #[arg(long, env = "OVERDUB_BROWSER_PATH", value_name = "FILE")]
    browser_path: Option<PathBuf>,
    /// Start the browser without a window, until a signal ends the recording
    #[arg(long, requires = "browser")]
    headless: bool,
    /// Record a command: it gets proxy and trust store through the environment variables of the usual runtimes, the
    /// recording ends when it ends, and its exit code is passed on (127 when there is no such command, 128 and the
    /// signal's number when a signal ended it; the code of a recording that failed goes before)
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Who is to come along, found and fit to start.
#[derive(Debug)]
pub(super) enum Invitation {
    /// Whoever sets the proxy.
    Nobody,
    /// A browser of ours.
    Browser(PathBuf, Window),
    /// A command: its file, and its name and arguments as they were written.
    Command(PathBuf, Vec<OsString>),
}

/// What a companion must know of the recording.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Where the proxy listens.
    pub(super) listening: SocketAddr,
    /// The root's certificate in PEM.
    pub(super) root_pem: String,
    /// The same in DER.
    pub(super) root_der: Vec<u8>,
    /// The pin of the root's key.
    pub(super) pin: String,
}

impl Host {
    /// With this root, at the address that was asked for.
    pub(super) fn of(authority: &CertificateAuthority, listening: SocketAddr) -> Self {
        Self {
            listening,
            root_pem: authority.certificate_pem().to_owned(),
            root_der: authority.certificate_der().to_vec(),
            pin: authority.public_key_pin(),
        }
    }

    /// The proxy's address as a program of this machine dials it.
    pub(super) fn proxy(&self) -> SocketAddr {
        let mut address = self.listening;
        if address.ip().is_unspecified() {
            let loopback: std::net::IpAddr = match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            };
            address.set_ip(loopback);
        }
        address
    }
}

impl Flags {
    /// Finds the program.
    ///
    /// # Errors
    /// When there is none, or it could not run.
    pub(super) fn invitation(&self) -> Result<Invitation, CliError> {
        if let Some(url) = &self.browser {
            let window = Window::new(url, self.headless)?;
            return Ok(Invitation::Browser(browser::find(self.browser_path.as_deref())?, window));
        }
        match self.command.first() {
            Some(program) => Ok(Invitation::Command(command::find(program)?, self.command.clone())),
            None => Ok(Invitation::Nobody),
        }
    }
}

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
    pub(super) async fn end(&mut self, received: Received, signals: &mut Signals) {
        self.asked = true;
        for &step in self.kind.steps(received) {
            let patience = match step {
                Step::Wait(patience) => patience,
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
            (Self::Command, Received::Interrupt) => &[Step::Wait(COMMAND_GRACE), Step::Ask(LAST_GRACE), Step::Kill],
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

    #[test]
    fn a_program_of_this_machine_dials_loopback_when_the_proxy_listens_everywhere() {
        for (listening, dialled) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.7:1", "192.0.2.7:1")]
        {
            let host = Host {
                listening: listening.parse().unwrap(),
                root_pem: String::new(),
                root_der: Vec::new(),
                pin: String::new(),
            };
            assert_eq!(host.proxy().to_string(), dialled);
        }
    }
}
