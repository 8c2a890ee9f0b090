//! What a replay came to, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::measure::{Failure, Quantiles, Run};
use crate::replay::{End, Totals};

use super::watch::short;

/// Kinds of divergence shown.
const SHOWN: usize = 10;

/// What is said beyond the results file.
#[derive(Debug)]
pub struct Account<'a> {
    /// The results.
    pub run: &'a Run,
    /// The engine's counts.
    pub totals: Totals,
    /// One example of each class of failure.
    pub failures: &'a BTreeMap<Failure, String>,
    /// Why the run ended.
    pub end: End,
}

/// A difference with its endpoint.
struct Difference<'a> {
    kind: &'a str,
    text: &'a str,
    endpoint: &'a str,
    count: u64,
}

impl Account<'_> {
    /// The account as one JSON object.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let run = self.run;
        let mut object = serde_json::to_value(run.summary()).map_err(io::Error::from)?;
        object["sessions"]["interrupted"] = self.totals.sessions_interrupted.into();
        object["skipped_origins"] = serde_json::to_value(&run.info.skipped).map_err(io::Error::from)?;
        object["divergences"] = self.kinds();
        object["failures"] = self
            .failure_counts()
            .into_iter()
            .map(|(kind, count)| json!({"kind": kind, "count": count, "example": self.example(&kind)}))
            .collect();
        object["seed"] = run.info.seed.into();
        object["speed"] = run.info.speed.map_or_else(|| "max".into(), Value::from);
        object["duration_s"] = (run.duration_us as f64 / 1e6).into();
        object["end"] = match self.end {
            End::Played => "played",
            End::TimeUp => "time up",
            End::Stopped => "stopped",
        }
        .into();
        serde_json::to_writer(&mut *out, &object)?;
        writeln!(out)
    }

    /// The account in a few lines.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let summary = self.run.summary();
        let (sessions, exchanges, totals) = (summary.sessions, summary.exchanges, self.totals);
        write!(
            out,
            "sessions   {} started, {} completed, {} failed",
            sessions.started, sessions.completed, sessions.failed
        )?;
        if totals.sessions_interrupted > 0 {
            write!(out, ", {} cut short", totals.sessions_interrupted)?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "exchanges  {} sent: {} ok, {} diverged, {} failed; {} skipped",
            exchanges.sent, exchanges.ok, exchanges.diverged, exchanges.failed, exchanges.skipped
        )?;
        for (name, quantiles) in
            [("response", summary.response_us), ("service", summary.service_us), ("lateness", summary.lateness_us)]
        {
            writeln!(out, "{name:<10} {}", quantiles.map_or_else(|| "-".to_owned(), |q| in_words(&q)))?;
        }
        let seconds = self.run.duration_us as f64 / 1e6;
        let rate = if seconds > 0.0 { exchanges.sent as f64 / seconds } else { 0.0 };
        writeln!(out, "duration   {seconds:.2} s, {rate:.0} exchanges a second")?;
        if summary.unexplained > 0 {
            writeln!(out, "unexplained values in requests: {} (see `overdub correlate`)", summary.unexplained)?;
        }
        let differences = self.differences();
        for d in differences.iter().take(SHOWN) {
            writeln!(out, "diverged   {} x {}: {}", d.count, plain(d.endpoint), plain(d.text))?;
        }
        if differences.len() > SHOWN {
            writeln!(out, "           and {} more kinds", differences.len() - SHOWN)?;
        }
        for (kind, count) in self.failure_counts() {
            writeln!(out, "failed     {count} x {kind}: {}", plain(&self.example(&kind)))?;
        }
        Ok(())
    }

    /// The most frequent difference in words; none when all answers were as recorded.
    pub fn commonest(&self) -> Option<String> {
        let differences = self.differences();
        let first = differences.first()?;
        Some(format!("{} at {}, {} times", plain(first.text), plain(first.endpoint), first.count))
    }

    /// Differences, most frequent first.
    fn differences(&self) -> Vec<Difference<'_>> {
        let mut all: Vec<Difference<'_>> = self
            .run
            .endpoints
            .iter()
            .flat_map(|e| {
                e.divergences.iter().map(|d| Difference {
                    kind: &d.kind,
                    text: &d.text,
                    endpoint: &e.name,
                    count: d.count,
                })
            })
            .collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (a.endpoint, a.text).cmp(&(b.endpoint, b.text))));
        all
    }

    /// Each kind with its count and its most frequent example.
    fn kinds(&self) -> Value {
        let mut kinds: Vec<(u64, Difference<'_>)> = Vec::new();
        for difference in self.differences() {
            match kinds.iter_mut().find(|(_, first)| first.kind == difference.kind) {
                Some((total, _)) => *total += difference.count,
                None => kinds.push((difference.count, difference)),
            }
        }
        kinds.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.kind.cmp(y.kind)));
        kinds
            .into_iter()
            .map(|(count, d)| {
                json!({"kind": d.kind, "count": count, "example": {"endpoint": d.endpoint, "text": d.text, "count": d.count}})
            })
            .collect()
    }

    fn failure_counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (kind, count) in self.run.endpoints.iter().flat_map(|e| &e.failures) {
            *counts.entry(kind.clone()).or_default() += count;
        }
        counts
    }

    fn example(&self, kind: &str) -> String {
        self.failures.iter().find(|(f, _)| f.to_string() == kind).map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

fn in_words(quantiles: &Quantiles) -> String {
    let word = |micros| short(Duration::from_micros(micros));
    format!(
        "p50 {}, p90 {}, p99 {}, max {}",
        word(quantiles.p50),
        word(quantiles.p90),
        word(quantiles.p99),
        word(quantiles.max)
    )
}

/// Text from outside, fit for a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
