//! A comparison for programs.

use std::io::{self, Write};

use crate::compare::Comparison;

/// Writes the comparison as one JSON object; `schema` names its form.
///
/// # Errors
/// When `out` does.
pub fn json(mut out: impl Write, comparison: &Comparison) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, comparison).map_err(io::Error::from)?;
    writeln!(out)
}
