//! A comparison for a pull request or a job summary.

use std::io::{self, Write};

use crate::compare::{Comparison, Shift, words};

use super::escape::html as esc;
use super::html::{capital, verdict_style};
use super::text::change;

/// Most endpoints in the table.
const ROWS: usize = 25;

/// Writes the comparison as Markdown.
///
/// # Errors
/// When `out` does.
pub fn markdown(mut out: impl Write, c: &Comparison) -> io::Result<()> {
    let sign = verdict_style(c.verdict).1;
    writeln!(out, "### {sign} Overdub: {}\n\n{}\n", capital(c.verdict.as_str()), cell(&c.headline))?;
    for gate in c.gates.iter().filter(|g| !g.passed) {
        writeln!(out, "- not met: {}: {}", cell(&gate.name), cell(&gate.found))?;
    }
    let phase = c.phase.as_str();
    writeln!(out, "\n| | {phase} of | n | p50 | p90 | p50 change | p90 change |\n|---|---|--:|--:|--:|--:|--:|")?;
    for row in c.rows.iter().take(ROWS) {
        let sign = verdict_style(row.verdict).1;
        let n = words::count(row.candidate.exchanges);
        writeln!(out, "| {sign} | {} | {n} |{}", cell(&row.name), shifts(&row.shifts))?;
    }
    writeln!(out, "| | **all endpoints** | |{}", shifts(&c.overall))?;
    writeln!(out, "\n{}", cell(&c.firmer))
}

fn shifts(shifts: &[Shift]) -> String {
    let find = |name: &str| shifts.iter().find(|s| s.name == name);
    let pair = |name: &str| match find(name).map(|s| (s.baseline_us, s.candidate_us)) {
        Some((Some(a), Some(b))) => format!("{} → {}", words::time(a), words::time(b)),
        _ => "–".to_owned(),
    };
    let moved = |name: &str| find(name).map_or_else(String::new, change);
    format!(" {} | {} | {} | {} |", pair("p50"), pair("p90"), moved("p50"), moved("p90"))
}

/// Captured text inside a table: no markup, no line ends, no column ends.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in esc(text).chars() {
        if matches!(c, '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '!') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
