//! What an observer bore with that a forwarder refuses: named, collected, told.

use std::fmt;

/// How strictly bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// Whatever two parsers might read differently is refused: the reader stands between them.
    Forwarding,
    /// Client and server have long agreed on what the bytes mean: they are read as most programs read them, and what was
    /// odd is told.
    Observing,
}

/// Something odd that an observing reader passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Leniency {
    /// A line that ends with LF alone, or holds a CR.
    BareLineEnd,
    /// A field folded onto further lines; they were joined.
    FoldedLine,
    /// Blanks before the colon of a field; they were dropped.
    BlankBeforeColon,
    /// A field line without a colon or with a name that is no token; kept as it is.
    OddField,
    /// A start line with blanks where none belong; the last blank before the version ends the target.
    OddStartLine,
    /// A version other than 1.0 and 1.1, or not in upper case.
    OddVersion,
    /// No version or no head at all: HTTP/0.9.
    NoVersion,
    /// Content-Length beside Transfer-Encoding; the coding won.
    LengthBesideCoding,
    /// Content-Length several times with different values; the first won.
    LengthsDiffer,
    /// A Content-Length that is no number; the body was read up to what looks like the next message.
    BadLength,
    /// A transfer coding that is unknown, repeated, not the last, or too new for the version.
    OddCoding,
    /// A chunk size or the end of a chunk that is not quite in form.
    OddChunk,
    /// The empty line after the last chunk is missing.
    NoFinalLine,
    /// Bytes between messages that are no message.
    Cruft,
}

impl Leniency {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::BareLineEnd,
        Self::FoldedLine,
        Self::BlankBeforeColon,
        Self::OddField,
        Self::OddStartLine,
        Self::OddVersion,
        Self::NoVersion,
        Self::LengthBesideCoding,
        Self::LengthsDiffer,
        Self::BadLength,
        Self::OddCoding,
        Self::OddChunk,
        Self::NoFinalLine,
        Self::Cruft,
    ];

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BareLineEnd => "bare line feed or carriage return in a head",
            Self::FoldedLine => "folded header field",
            Self::BlankBeforeColon => "blank before the colon of a header field",
            Self::OddField => "header line that is no field",
            Self::OddStartLine => "blanks out of place in the start line",
            Self::OddVersion => "unusual HTTP version",
            Self::NoVersion => "HTTP/0.9",
            Self::LengthBesideCoding => "Content-Length beside Transfer-Encoding",
            Self::LengthsDiffer => "contradictory Content-Length",
            Self::BadLength => "invalid Content-Length",
            Self::OddCoding => "unusual Transfer-Encoding",
            Self::OddChunk => "chunk not in form",
            Self::NoFinalLine => "no empty line after the last chunk",
            Self::Cruft => "bytes between messages",
        }
    }
}

impl fmt::Display for Leniency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leniencies(u16);

impl Leniencies {
    /// Adds one.
    pub fn add(&mut self, leniency: Leniency) {
        self.0 |= 1 << leniency as u8;
    }

    /// Adds those of another set.
    pub fn add_all(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// Nothing was odd.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Leniency> {
        // Mostly there are none.
        let all: &[Leniency] = if self.is_empty() { &[] } else { &Leniency::ALL };
        all.iter().copied().filter(move |&leniency| self.0 & (1 << leniency as u8) != 0)
    }
}
