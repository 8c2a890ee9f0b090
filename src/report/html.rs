//! One HTML page without scripts or network references: verdict, validity, load, endpoints, charts, slowest, what went
//! wrong, provenance. Its size depends on limits here, never on how long the run lasted.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::compare::{Comparison, Verdict, words};
use crate::measure::{Point, Run};

use super::charts::{Across, Line, Unit, heat, lines};
use super::escape::html as esc;
use super::sections;

const STYLE: &str = include_str!("style.css");
/// Most points of a line. Every slot would be noise.
const POINTS: usize = 150;
/// Columns and rows of the latency picture.
const HEAT: (usize, usize) = (110, 24);
/// Runs whose lengths differ by more than this factor share an axis of progress, not of time.
const SAME_LENGTH: f64 = 1.3;

/// What a run is shown against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// The baseline.
    pub run: &'a Run,
    /// The comparison of the shown run with it.
    pub comparison: &'a Comparison,
}

/// Writes the page of a run, and of its comparison when there is a baseline.
///
/// # Errors
/// When `out` does.
pub fn html(mut out: impl Write, run: &Run, against: Option<Against<'_>>) -> io::Result<()> {
    let mut page = String::with_capacity(256 * 1024);
    let title = match against {
        Some(a) => format!("{} against {}", esc(&run.info.capture), esc(&a.run.info.capture)),
        None => esc(&run.info.capture),
    };
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         base-uri 'none'; form-action 'none'\">\
         <meta name=viewport content=\"width=device-width, initial-scale=1\"><meta name=color-scheme content=\"light dark\">\
         <title>Overdub: {title}</title><style>{STYLE}</style></head><body><main>"
    );
    header(&mut page, run, against);
    match against {
        Some(a) => {
            sections::validity(&mut page, a.comparison);
            sections::load(&mut page, a.comparison);
            sections::compared_endpoints(&mut page, a.comparison);
        }
        None => sections::endpoints(&mut page, run),
    }
    charts(&mut page, run, against.map(|a| a.run));
    sections::slowest(&mut page, run);
    sections::trouble(&mut page, run);
    sections::provenance(&mut page, run, against.map(|a| a.run));
    let _ = writeln!(
        page,
        "</main><footer>Overdub {} · no scripts, no network: this file can be archived and mailed.</footer></body></html>",
        esc(&run.info.program)
    );
    out.write_all(page.as_bytes())
}

fn header(page: &mut String, run: &Run, against: Option<Against<'_>>) {
    let subject = match against {
        Some(a) => {
            let (ours, theirs) = (esc(&run.info.capture), esc(&a.run.info.capture));
            format!("{ours} {}, compared with {theirs} {}", kind(run), kind(a.run))
        }
        None => format!("{}, {}", esc(&run.info.capture), words::load(&run.info)),
    };
    let _ = write!(
        page,
        "<header><p class=brand>Overdub</p><h1>{subject}</h1><p class=when>{}</p></header>",
        words::date(run.info.started_unix_ns)
    );
    match against {
        Some(a) => {
            let c = a.comparison;
            let (class, sign) = verdict_style(c.verdict);
            let _ = write!(
                page,
                "<section class='verdict {class}'><p class=stamp><span aria-hidden=true>{sign}</span> {}{}</p>\
                 <p class=headline>{}</p><p class=firmer>{}</p></section>",
                capital(c.verdict.as_str()),
                if c.provisional
                    && !matches!(c.verdict, Verdict::NotComparable | Verdict::OtherLoad | Verdict::Inconclusive)
                {
                    " <small>provisional</small>"
                } else {
                    ""
                },
                esc(&c.headline),
                esc(&c.firmer)
            );
            sections::compared_tiles(page, c);
        }
        None => sections::tiles(page, run),
    }
}

/// CSS class and sign of a verdict.
pub(super) fn verdict_style(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Regressed => ("bad", "▲"),
        Verdict::Improved => ("good", "▼"),
        Verdict::Equivalent => ("same", "="),
        Verdict::Inconclusive => ("open", "?"),
        Verdict::OtherLoad => ("other", "≠"),
        Verdict::NotComparable => ("void", "×"),
    }
}

pub(super) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn charts(page: &mut String, run: &Run, baseline: Option<&Run>) {
    let names = baseline.map_or([String::new(), String::new()], |b| {
        let kinds = (kind(b), kind(run));
        if kinds.0 == kinds.1 {
            ["baseline ".to_owned(), "candidate ".to_owned()]
        } else {
            [format!("{} ", kinds.0), format!("{} ", kinds.1)]
        }
    });
    let (ours, theirs) = (run.points(POINTS), baseline.map(|b| b.points(POINTS)).unwrap_or_default());
    let ends = (run.duration_us.max(1) as f64, baseline.map_or(1.0, |b| b.duration_us.max(1) as f64));
    let ratio = if baseline.is_some() { ends.0 / ends.1 } else { 1.0 };
    let shared = (1.0 / SAME_LENGTH..=SAME_LENGTH).contains(&ratio);
    let across = if shared {
        Across::Time(if baseline.is_some() { ends.0.max(ends.1) } else { ends.0 })
    } else {
        Across::Progress
    };
    let line =
        |class: &'static str, label: String, side: &[Point], end: f64, value: &dyn Fn(&Point) -> Option<f64>| Line {
            class,
            label,
            points: side
                .iter()
                .map(|p| (if shared { p.at_us as f64 } else { p.at_us as f64 / end }, value(p)))
                .collect(),
        };
    let time = |us: Option<u64>| us.map(|v| v as f64);
    let mut latency = Vec::new();
    let mut rate = Vec::new();
    let mut flight = Vec::new();
    if baseline.is_some() {
        latency.push(line("base soft", format!("{}p95", names[0]), &theirs, ends.1, &|p| time(p.p95_us)));
        latency.push(line("base", format!("{}median", names[0]), &theirs, ends.1, &|p| time(p.p50_us)));
        rate.push(line("base", format!("{}exchanges", names[0]), &theirs, ends.1, &|p| Some(p.rate)));
        flight.push(line("base", format!("{}in flight", names[0]), &theirs, ends.1, &|p| Some(p.in_flight)));
    }
    latency.push(line("cand soft", format!("{}p95", names[1]), &ours, ends.0, &|p| time(p.p95_us)));
    latency.push(line("cand", format!("{}median", names[1]), &ours, ends.0, &|p| time(p.p50_us)));
    rate.push(line("cand", format!("{}exchanges", names[1]), &ours, ends.0, &|p| Some(p.rate)));
    rate.push(line("warn", format!("{}diverged", names[1]), &ours, ends.0, &|p| Some(p.diverged_rate)));
    rate.push(line("err", format!("{}failed", names[1]), &ours, ends.0, &|p| Some(p.failed_rate)));
    flight.push(line("cand", format!("{}in flight", names[1]), &ours, ends.0, &|p| Some(p.in_flight)));
    let mut late = Vec::new();
    if theirs.iter().any(|p| p.lateness_p99_us.is_some()) {
        late.push(line("base", format!("{}lateness p99", names[0]), &theirs, ends.1, &|p| time(p.lateness_p99_us)));
    }
    late.push(line("cand", format!("{}lateness p99", names[1]), &ours, ends.0, &|p| time(p.lateness_p99_us)));

    page.push_str("<section><h2>Over time</h2>");
    if !shared {
        page.push_str("<p class=note>The runs last differently long: the axis shows the progress of each.</p>");
    }
    page.push_str("<div class=charts>");
    page.push_str(&lines("Response time", across, Unit::Time, &latency));
    page.push_str(&lines("Exchanges per second", across, Unit::Number, &rate));
    page.push_str(&heat(&format!("Where response times lie{}", of(&names[1])), &run.heat(HEAT.0, HEAT.1)));
    match baseline {
        Some(b) => page.push_str(&heat(&format!("Where response times lie{}", of(&names[0])), &b.heat(HEAT.0, HEAT.1))),
        None => page.push_str(&lines("Exchanges in flight", across, Unit::Number, &flight)),
    }
    if baseline.is_some() {
        page.push_str(&lines("Exchanges in flight", across, Unit::Number, &flight));
    }
    page.push_str(&lines("Lateness of the generator", across, Unit::Time, &late));
    page.push_str("</div></section>");
}

fn of(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(", {}", name.trim_end()) }
}

fn kind(run: &Run) -> &'static str {
    match run.info.kind {
        crate::measure::RunKind::Recorded => "recorded",
        crate::measure::RunKind::Replayed => "replayed",
    }
}
