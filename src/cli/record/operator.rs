//! The person at the terminal while a recording runs: told what happens, heard when a key is pressed.

use std::io::{self, IsTerminal};
use std::path::Path;

use crate::cli::Console;
use crate::record::{Notice, Recording};

use super::keys::{Keys, Wish};
use super::list::{Colour, List};
use super::tell;

/// What is shown as a recording runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// Errors only.
    Nothing,
    /// Notices, and each exchange on a terminal.
    Usual,
    /// Notices and each exchange wherever stderr goes.
    Exchanges,
}

/// Whoever looks at stderr.
#[derive(Debug)]
pub(super) struct Operator<'a> {
    console: Console,
    root: &'a Path,
    list: List,
    keys: Keys,
}

impl<'a> Operator<'a> {
    /// Begins to look, and to hear keys if it `hears`. Needs a tokio runtime with I/O.
    pub(super) fn new(console: Console, root: &'a Path, recording: &Recording, show: Show, hears: bool) -> Self {
        let keys = if show == Show::Nothing || !hears { Keys::none() } else { Keys::open() };
        if keys.are_there() {
            console.say("  m names the transaction that begins");
        }
        if show == Show::Exchanges || (show == Show::Usual && io::stderr().is_terminal()) {
            recording.list();
        }
        Self { console, root, list: List::new(Colour::of_stderr()), keys }
    }

    /// Shows what happens until the operator wants the end. Cancellation-safe.
    pub(super) async fn attend(&mut self, recording: &mut Recording) {
        loop {
            tokio::select! {
                wish = self.keys.next() => {
                    self.list.prompt(self.keys.typed().as_deref());
                    match wish {
                        Wish::Look => {}
                        Wish::Mark(mark) if recording.mark(mark.clone()) => {}
                        Wish::Mark(_) => {
                            self.list.above(|| self.console.warn("no mark was set: the disk cannot keep up"));
                        }
                        Wish::End => return,
                    }
                }
                notice = recording.notice() => self.show(&notice),
            }
        }
    }

    fn show(&self, notice: &Notice) {
        match notice {
            Notice::Exchange(listed) => self.list.exchange(listed),
            Notice::Unlisted(count) => self.list.left_out(*count),
            notice => self.list.above(|| tell(self.console, notice, self.root)),
        }
    }
}

impl Drop for Operator<'_> {
    fn drop(&mut self) {
        self.list.prompt(None);
    }
}
