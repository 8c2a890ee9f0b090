//! Comparisons and runs as plain text for a terminal or a log; readable without colour.

use std::io::{self, Write};

use crate::compare::{Comparison, Row, Shift, Verdict, words};
use crate::measure::{Quantiles, Run};

use super::escape::terminal;

/// Longest endpoint name in a table, in characters.
const NAME: usize = 56;
/// Most endpoints in a table.
const ROWS: usize = 40;

/// Writes a comparison: the verdict in plain language, the conditions, a table, and what would make it firmer.
///
/// # Errors
/// When `out` does.
pub fn text(mut out: impl Write, c: &Comparison) -> io::Result<()> {
    writeln!(out, "{}: {}", c.verdict.as_str().to_uppercase(), terminal(&c.headline))?;
    writeln!(out)?;
    for (who, subject) in [("baseline", &c.baseline), ("candidate", &c.candidate)] {
        let counts = subject.summary.exchanges;
        writeln!(
            out,
            "{who:<10} {} {}: {}; {} exchanges in {}, {} failed, {} diverged",
            subject.kind(),
            terminal(&subject.info.capture),
            subject.load,
            words::count(counts.sent),
            words::time(subject.summary.duration_us),
            words::count(counts.failed),
            words::count(counts.diverged),
        )?;
    }
    for gate in c.gates.iter().filter(|g| !g.passed) {
        writeln!(out, "not met    {}: {}", gate.name, gate.found)?;
    }
    writeln!(out)?;
    table(&mut out, c)?;
    for (who, one_sided) in [("baseline", &c.only_baseline), ("candidate", &c.only_candidate)] {
        if !one_sided.is_empty() {
            let names: Vec<String> = one_sided.iter().take(5).map(|o| cut(&o.name, NAME)).collect();
            let more = if one_sided.len() > 5 { ", …" } else { "" };
            writeln!(out, "only in the {who} ({}): {}{more}", one_sided.len(), names.join(", "))?;
        }
    }
    for remark in &c.remarks {
        writeln!(out, "note: {}", terminal(remark))?;
    }
    writeln!(out, "{}", terminal(&c.firmer))
}

fn table(out: &mut impl Write, c: &Comparison) -> io::Result<()> {
    let mut lines = vec![
        [
            c.phase.as_str(),
            "baseline p50",
            "p90",
            "candidate p50",
            "p90",
            "p50 change",
            "p90 change",
            "p99 change",
            "n",
        ]
        .map(str::to_owned),
    ];
    let names = [("p50", 0), ("p90", 1), ("p99", 2)];
    let line = |name: String, shifts: &[Shift], n: String| {
        let find = |wanted: &str| shifts.iter().find(|s| s.name == wanted);
        let time = |us: Option<u64>| us.map_or_else(|| "–".to_owned(), words::time);
        let change = |wanted: &str| find(wanted).map_or_else(String::new, change);
        [
            name,
            time(find(names[0].0).and_then(|s| s.baseline_us)),
            time(find(names[1].0).and_then(|s| s.baseline_us)),
            time(find(names[0].0).and_then(|s| s.candidate_us)),
            time(find(names[1].0).and_then(|s| s.candidate_us)),
            change(names[0].0),
            change(names[1].0),
            change(names[2].0),
            n,
        ]
    };
    for row in c.rows.iter().take(ROWS) {
        let n = format!("{} / {}", words::count(row.baseline.exchanges), words::count(row.candidate.exchanges));
        lines.push(line(format!("{} {}", mark(row), cut(&row.name, NAME)), &row.shifts, n));
    }
    lines.push(line("  all endpoints (change: mean by traffic)".to_owned(), &c.overall, String::new()));
    aligned(out, &lines)?;
    if c.rows.len() > ROWS {
        writeln!(out, "  and {} endpoints with less traffic", c.rows.len() - ROWS)?;
    }
    writeln!(
        out,
        "  ! slower  + faster  = no change that matters  ~ undecided; [..] 95 % interval; (..) n too small to judge"
    )?;
    for row in c.rows.iter().take(ROWS).filter(|r| r.verdict == Verdict::Regressed) {
        if let Some(reason) = &row.reason {
            writeln!(out, "  {}: {reason}", cut(&row.name, NAME))?;
        }
    }
    writeln!(out)
}

fn mark(row: &Row) -> char {
    match row.verdict {
        Verdict::Regressed => '!',
        Verdict::Improved => '+',
        Verdict::Equivalent => '=',
        Verdict::Inconclusive => '~',
        Verdict::OtherLoad | Verdict::NotComparable => ' ',
    }
}

/// A change with its interval: `+52 % [+48 %, +57 %]`, or why there is none. A median of few answers is still worth
/// reading, in parentheses; a tail of few answers is not.
pub(super) fn change(shift: &Shift) -> String {
    match (shift.ratio, shift.interval) {
        (Some(ratio), Some(i)) => {
            format!("{} [{}, {}]", words::change(ratio), words::change(i.low), words::change(i.high))
        }
        (Some(ratio), None) if !shift.enough && shift.name == "p50" => format!("({})", words::change(ratio)),
        (Some(_), None) if !shift.enough => "n too small".to_owned(),
        (Some(ratio), None) => words::change(ratio),
        (None, _) => "–".to_owned(),
    }
}

/// Pads columns to one width: the first to the left, the others to the right.
fn aligned<const N: usize>(out: &mut impl Write, lines: &[[String; N]]) -> io::Result<()> {
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for line in lines {
        let mut text = String::new();
        for (column, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            if column == 0 {
                text.push_str(cell);
                text.push_str(&pad);
            } else {
                text.push_str("  ");
                text.push_str(&pad);
                text.push_str(cell);
            }
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// Escaped, and shortened in the middle.
fn cut(name: &str, limit: usize) -> String {
    let safe: Vec<char> = terminal(name).chars().collect();
    if safe.len() <= limit {
        return safe.into_iter().collect();
    }
    let (head, tail) = (limit / 2, limit - limit / 2 - 1);
    let mut short: String = safe[..head].iter().collect();
    short.push('…');
    short.extend(&safe[safe.len() - tail..]);
    short
}

/// Writes one run: what happened, how long it took, and what went wrong.
///
/// # Errors
/// When `out` does.
pub fn run_text(mut out: impl Write, run: &Run) -> io::Result<()> {
    let summary = run.summary();
    let (sessions, counts) = (summary.sessions, summary.exchanges);
    writeln!(out, "{}: {}", terminal(&run.info.capture), words::load(&run.info))?;
    writeln!(
        out,
        "sessions   {} started, {} completed, {} failed",
        words::count(sessions.started),
        words::count(sessions.completed),
        words::count(sessions.failed)
    )?;
    writeln!(
        out,
        "exchanges  {} in {}: {} ok, {} diverged, {} failed, {} not sent",
        words::count(counts.sent),
        words::time(summary.duration_us),
        words::count(counts.ok),
        words::count(counts.diverged),
        words::count(counts.failed),
        words::count(counts.skipped)
    )?;
    for (name, quantiles) in
        [("response", summary.response_us), ("service", summary.service_us), ("lateness", summary.lateness_us)]
    {
        if let Some(Quantiles { p50, p90, p99, max }) = quantiles {
            let [p50, p90, p99, max] = [p50, p90, p99, max].map(words::time);
            writeln!(out, "{name:<10} p50 {p50}, p90 {p90}, p99 {p99}, max {max}")?;
        }
    }
    if summary.unexplained > 0 {
        writeln!(out, "unexplained {} values were replayed as recorded", words::count(summary.unexplained))?;
    }
    for skipped in &run.info.skipped {
        let (origin, reason) = (terminal(&skipped.origin), terminal(&skipped.reason));
        writeln!(out, "skipped    {origin}: {reason} ({} exchanges)", words::count(skipped.exchanges))?;
    }
    for endpoint in &run.endpoints {
        for found in endpoint.divergences.iter().take(3) {
            let (name, text) = (cut(&endpoint.name, NAME), terminal(&found.text));
            writeln!(out, "diverged   {name}: {text} ({}x)", words::count(found.count))?;
        }
        for (failure, count) in &endpoint.failures {
            let name = cut(&endpoint.name, NAME);
            writeln!(out, "failed     {name}: {} ({}x)", terminal(failure), words::count(*count))?;
        }
    }
    Ok(())
}
