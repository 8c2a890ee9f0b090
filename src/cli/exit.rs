//! Exit codes and the one sentence that goes with a failure.

use std::error::Error;
use std::fmt;

/// How the program ends; the numbers are documented in README.md and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: passed.
    Passed,
    /// 1: a threshold or verdict failed, or `verify` found damage.
    Failed,
    /// 2: wrong usage or unreadable input.
    Usage,
    /// 3: not comparable, or inconclusive under `--strict`.
    NotComparable,
    /// 4: the target or the tool failed.
    Broken,
    /// 5: a safety stop.
    Safety,
    /// 130: interrupted.
    Interrupted,
    /// Any: that of the command that `record -- COMMAND` ran.
    Command(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotComparable => 3,
            Self::Broken => 4,
            Self::Safety => 5,
            Self::Interrupted => 130,
            Self::Command(code) => code,
        }
    }
}

/// A failure as the user reads it.
#[derive(Debug)]
pub struct CliError {
    /// How the program ends.
    pub exit: Exit,
    sentence: String,
}

impl CliError {
    /// A failure in words: what happened, and what to do.
    pub fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self { exit, sentence: sentence.into() }
    }

    /// A failure with its chain of causes: `context: error: cause: cause`.
    pub fn because(exit: Exit, context: impl fmt::Display, error: &dyn Error) -> Self {
        let mut sentence = format!("{context}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !sentence.ends_with(&text) {
                sentence.push_str(": ");
                sentence.push_str(&text);
            }
            source = cause.source();
        }
        Self { exit, sentence }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}
