//! What could not be read of a file that was read on behind it.

/// What cannot be read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset of the first place in bytes.
    pub byte: u64,
    /// What is wrong there.
    pub what: &'static str,
    /// Number of such places.
    pub places: u64,
    /// Bytes in all of them.
    pub bytes: u64,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {} ({} bytes", self.what, self.byte, self.bytes)?;
        if self.places > 1 { write!(f, " in {} places)", self.places) } else { write!(f, ")") }
    }
}
