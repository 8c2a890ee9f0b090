//! Keys while `record` runs in a terminal: `m` asks for the name of a transaction. The terminal is as it was on every end
//! that a program can see.
//!
//! What keys mean is [`Typing`]'s business.

use std::future::pending;
use std::io::{self, IsTerminal};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::record::Mark;

use super::typing::Typing;

/// Reads of keys that wait to be looked at.
const WAITING_READS: usize = 16;
/// How long keys that are for another program are left alone.
const BACKGROUND_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To see what is being typed: look at [`Keys::typed`].
    Look,
    /// A mark.
    Mark(Mark),
    /// The end: the terminal went away, or Ctrl-\ was pressed.
    End,
}

/// The keys of the operator; none without a terminal.
#[derive(Debug)]
pub(super) struct Keys {
    terminal: Option<Terminal>,
    typing: Typing,
    waiting: Vec<Mark>,
}

impl Keys {
    /// Of the terminal on stdin and stderr, if both are one. Needs a tokio runtime with I/O.
    pub(super) fn open() -> Self {
        // A terminal that cannot be set up has no keys; there is `overdub mark`.
        Self { terminal: Terminal::open().ok().flatten(), typing: Typing::default(), waiting: Vec::new() }
    }

    /// No keys.
    pub(super) fn none() -> Self {
        Self { terminal: None, typing: Typing::default(), waiting: Vec::new() }
    }

    /// Whether somebody can press one.
    pub(super) fn are_there(&self) -> bool {
        self.terminal.is_some()
    }

    /// What was typed of a name so far.
    pub(super) fn typed(&self) -> Option<String> {
        self.typing.name().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// Waits for the next wish. Never ends without a terminal. Cancellation-safe.
    pub(super) async fn next(&mut self) -> Wish {
        if let Some(mark) = self.waiting.pop() {
            return Wish::Mark(mark);
        }
        let Some(terminal) = &mut self.terminal else { return pending().await };
        match terminal.next().await {
            Happening::Bytes(bytes) => {
                // A shell that gives the terminal back to a program that runs does so without a signal.
                let _ = terminal.engage();
                self.waiting = self.typing.feed(&bytes);
                self.waiting.reverse();
                Wish::Look
            }
            Happening::Resumed => {
                if !is_ours() {
                    self.typing = Typing::default();
                }
                Wish::Look
            }
            Happening::Over => Wish::End,
            Happening::Gone => {
                self.terminal = None;
                self.typing = Typing::default();
                Wish::Look
            }
        }
    }
}

#[derive(Debug)]
enum Happening {
    Bytes(Vec<u8>),
    /// We were stopped and go on.
    Resumed,
    /// A signal that would end us with the terminal as we made it.
    Over,
    /// Nothing will be typed any more.
    Gone,
}

/// A terminal that gives keys as they are pressed, without echo. It still makes signals of Ctrl-C and the like.
#[derive(Debug)]
struct Terminal {
    before: Termios,
    typed: mpsc::Receiver<Vec<u8>>,
    /// Closed to end the reader.
    alive: Option<UnixStream>,
    reader: Option<JoinHandle<()>>,
    resumed: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Terminal {
    fn open() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(io::stdin())?;
        let (sender, typed) = mpsc::channel(WAITING_READS);
        let (alive, end) = UnixStream::pair()?;
        let mut terminal = Self {
            before,
            typed,
            alive: Some(alive),
            reader: None,
            resumed: signal(SignalKind::from_raw(libc::SIGCONT))?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        };
        terminal.engage()?;
        let reader = thread::Builder::new().name("overdub-keys".into());
        terminal.reader = Some(reader.spawn(move || while read(&end, &sender).is_ok_and(|goes_on| goes_on) {})?);
        Ok(Some(terminal))
    }

    /// Keys one by one. A read never waits, as another program may have been quicker.
    fn engage(&self) -> io::Result<()> {
        let mut modes = self.before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        modes.special_codes[SpecialCodeIndex::VMIN] = 0;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        set(&modes)
    }

    async fn next(&mut self) -> Happening {
        tokio::select! {
            _ = self.quit.recv() => Happening::Over,
            _ = self.hangup.recv() => Happening::Over,
            _ = self.resumed.recv() => {
                let _ = self.engage();
                Happening::Resumed
            }
            typed = self.typed.recv() => typed.map_or(Happening::Gone, Happening::Bytes),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.typed.close();
        self.alive = None;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let _ = set(&self.before);
    }
}

/// In the background the terminal is somebody else's: changing or reading it would stop us.
fn set(modes: &Termios) -> io::Result<()> {
    if is_ours() {
        tcsetattr(io::stdin(), OptionalActions::Now, modes)?;
    }
    Ok(())
}

/// Whether we are in the terminal's foreground. A terminal that does not control us stops nobody.
fn is_ours() -> bool {
    tcgetpgrp(io::stdin()).map_or(true, |foreground| foreground == rustix::process::getpgrp())
}

/// Waits for keys and hands them on. False when there will be no more, or nobody wants them.
fn read(end: &UnixStream, sender: &mpsc::Sender<Vec<u8>>) -> Result<bool, Errno> {
    let stdin = io::stdin();
    let mut ready = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
    match poll(&mut ready, None) {
        Err(Errno::INTR) => return Ok(true),
        polled => polled?,
    };
    let [keys, ended] = ready.map(|fd| fd.revents());
    if !ended.is_empty() {
        return Ok(false);
    }
    if !is_ours() {
        // They are for who has the terminal now, and gone when it has read them.
        let ended = poll(&mut [PollFd::new(end, PollFlags::IN)], Some(&BACKGROUND_PAUSE));
        return Ok(matches!(ended, Ok(0) | Err(Errno::INTR)));
    }
    let mut bytes = [0; 256];
    match rustix::io::read(&stdin, &mut bytes) {
        Ok(0) => Ok(!keys.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)),
        Ok(count) => Ok(sender.blocking_send(bytes[..count].to_vec()).is_ok()),
        Err(Errno::INTR | Errno::AGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}
