//! Where the program talks: data to stdout, words to stderr, nothing in colour unless a terminal asks for it.

use std::io::{self, IsTerminal, Write};

/// Whether progress and remarks are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Progress and remarks on stderr.
    Normal,
    /// Errors only.
    Quiet,
}

/// Handle for output of a command.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    talk: Talk,
}

impl Console {
    /// A console; `quiet` silences everything but errors and data.
    pub fn new(quiet: bool) -> Self {
        Self { talk: if quiet { Talk::Quiet } else { Talk::Normal } }
    }

    /// One line of talk on stderr. A stderr that is gone is not an error.
    pub fn say(&self, line: impl std::fmt::Display) {
        if self.talk == Talk::Normal {
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }

    /// A line on stderr that the next one overwrites; only on a terminal.
    pub fn progress(&self, line: impl std::fmt::Display) {
        if self.talk == Talk::Normal && io::stderr().is_terminal() {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K{line}");
            let _ = io::stderr().flush();
        }
    }

    /// Ends a line written with [`Console::progress`].
    pub fn end_progress(&self) {
        if self.talk == Talk::Normal && io::stderr().is_terminal() {
            let _ = writeln!(io::stderr().lock());
        }
    }

    /// Something the user must see, on stderr even when quiet.
    pub fn warn(&self, line: impl std::fmt::Display) {
        let _ = writeln!(io::stderr().lock(), "overdub: {line}");
    }

    /// Data, on stdout.
    pub fn data(&self) -> io::BufWriter<io::StdoutLock<'static>> {
        io::BufWriter::new(io::stdout().lock())
    }
}
