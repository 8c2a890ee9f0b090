//! From rows and gates to one outcome, its sentence, and what would make it firmer.

use crate::measure::{Run, RunKind};

use super::gates::gates;
use super::outcome::{Comparison, Gate, Phase, Relation, Row, SCHEMA, Settings, Shift, Subject, Verdict};
use super::rows::{Effect, Judged, Pairing, QUANTILES, Sheet, latency, shift};
use super::words;

/// Share of the traffic that must be shown to be equal before everything is called equal.
const EQUIVALENT_SHARE: f64 = 0.9;
/// Two recordings whose rates differ by more than this factor were made under different loads.
const SAME_RATE: f64 = 1.2;

/// Compares `candidate` with `baseline`.
pub fn compare(baseline: &Run, candidate: &Run, settings: &Settings) -> Comparison {
    let pairing = Pairing::of(baseline, candidate);
    let relation = match (baseline.info.kind, candidate.info.kind) {
        (RunKind::Replayed, RunKind::Replayed) => Relation::Replays,
        (RunKind::Recorded, RunKind::Recorded) => Relation::Recordings,
        _ => Relation::RecordedReplayed,
    };
    let phase = if relation == Relation::Replays { Phase::Response } else { Phase::Service };
    let total = |pick: fn(&(&crate::measure::Endpoint, &crate::measure::Endpoint)) -> u64| {
        pairing.both.iter().map(pick).fold(0, u64::saturating_add)
    };
    let totals = (total(|p| p.0.exchanges()), total(|p| p.1.exchanges()));
    let sheet = Sheet { baseline, candidate, phase, settings, totals };
    let judged: Vec<Judged> = pairing.both.iter().enumerate().map(|(i, (a, b))| sheet.judge(i, a, b)).collect();
    let overall = overall(&sheet, &judged);
    let gates = gates(baseline, candidate, &pairing, settings);
    let (baseline_subject, candidate_subject) = (subject(baseline), subject(candidate));
    let same_load = same_load(relation, &baseline_subject, &candidate_subject);

    let mut rows: Vec<Row> = judged.into_iter().map(|j| j.row).collect();
    let found = if gates.iter().any(|g| !g.passed) {
        Verdict::NotComparable
    } else if !same_load {
        Verdict::OtherLoad
    } else {
        decide(&rows, &overall)
    };
    if matches!(found, Verdict::NotComparable | Verdict::OtherLoad) {
        withdraw(&mut rows, found);
    }
    let mut comparison = Comparison {
        schema: SCHEMA,
        verdict: found,
        provisional: true,
        headline: String::new(),
        firmer: String::new(),
        remarks: Vec::new(),
        relation,
        phase,
        same_load,
        baseline: baseline_subject,
        candidate: candidate_subject,
        gates,
        overall: overall.into_iter().map(|(shift, _)| shift).collect(),
        rows,
        only_baseline: pairing.only_baseline,
        only_candidate: pairing.only_candidate,
        settings: *settings,
    };
    if matches!(found, Verdict::NotComparable | Verdict::OtherLoad) {
        comparison.overall.iter_mut().for_each(|s| s.verdict = found);
    }
    comparison.headline = headline(&comparison);
    comparison.firmer = firmer(&comparison);
    comparison.remarks = remarks(&comparison);
    comparison
}

fn subject(run: &Run) -> Subject {
    let seconds = (run.duration_us.max(1)) as f64 / 1e6;
    let busy = run.timeline.slots.iter().fold(0.0, |sum, slot| sum + slot.busy_us as f64 / 1e6);
    let summary = run.summary();
    Subject {
        info: run.info.clone(),
        load: words::load(&run.info),
        rate: summary.exchanges.sent as f64 / seconds,
        in_flight: busy / seconds,
        summary,
    }
}

fn same_load(relation: Relation, baseline: &Subject, candidate: &Subject) -> bool {
    let (a, b) = (&baseline.info, &candidate.info);
    match relation {
        Relation::Replays => (a.speed, a.load, a.iterations) == (b.speed, b.load, b.iterations),
        Relation::Recordings => {
            let ratio = baseline.rate.max(1e-9) / candidate.rate.max(1e-9);
            (1.0 / SAME_RATE..=SAME_RATE).contains(&ratio)
        }
        Relation::RecordedReplayed => {
            let replay = if a.kind == RunKind::Replayed { a } else { b };
            replay.speed == Some(1.0) && replay.load == crate::measure::Load::Multiplied(1)
        }
    }
}

/// p50 and p90 over all endpoints that could be judged, weighted by traffic. Errors are added up as if all endpoints
/// moved together, which they do when the machine is busy.
fn overall(sheet: &Sheet<'_>, judged: &[Judged]) -> Vec<(Shift, Option<Effect>)> {
    let everything = |run: &Run| run.all(|e| latency(sheet.phase, e));
    let all = (everything(sheet.baseline), everything(sheet.candidate));
    (0..2)
        .map(|at| {
            let (name, quantile) = QUANTILES[at];
            let mut shift = shift(name, quantile, (&all.0, &all.1), sheet.settings);
            let parts: Vec<(f64, Effect)> = judged
                .iter()
                .filter_map(|j| Some((f64::midpoint(j.row.baseline.share, j.row.candidate.share), j.effects[at]?)))
                .collect();
            let weight: f64 = parts.iter().map(|(w, _)| w).sum();
            let effect = (weight > 0.0).then(|| {
                let mean = |value: fn(&Effect) -> f64| parts.iter().map(|(w, e)| w * value(e)).sum::<f64>() / weight;
                Effect {
                    log_ratio: mean(|e| e.log_ratio),
                    error: mean(|e| e.error),
                    freedom: parts.iter().map(|(_, e)| e.freedom).min().unwrap_or(1),
                    log_margin: mean(|e| e.log_margin),
                }
            });
            if let Some(effect) = effect {
                shift.ratio = Some(effect.log_ratio.exp());
                shift.margin = effect.log_margin.exp();
                shift.interval = Some(effect.interval());
                shift.verdict = effect.verdict();
            }
            (shift, effect)
        })
        .collect()
}

fn decide(rows: &[Row], overall: &[(Shift, Option<Effect>)]) -> Verdict {
    let any = |verdict: Verdict| {
        rows.iter().any(|r| r.verdict == verdict) || overall.iter().any(|(s, _)| s.verdict == verdict)
    };
    let equal: f64 = rows.iter().filter(|r| r.verdict == Verdict::Equivalent).map(|r| r.candidate.share).sum();
    if any(Verdict::Regressed) {
        Verdict::Regressed
    } else if any(Verdict::Improved) {
        Verdict::Improved
    } else if equal >= EQUIVALENT_SHARE {
        Verdict::Equivalent
    } else {
        Verdict::Inconclusive
    }
}

/// Rows of a pair that may not be judged keep their numbers and lose their verdicts.
fn withdraw(rows: &mut [Row], verdict: Verdict) {
    for row in rows {
        row.verdict = verdict;
        row.shifts.iter_mut().for_each(|s| s.verdict = verdict);
    }
}

/// The judged endpoint with the largest change in one direction, with the lowest quantile that shows it.
fn worst(rows: &[Row], verdict: Verdict) -> Option<(&Row, &Shift)> {
    let size = |shift: &Shift| shift.ratio.map_or(0.0, |r| r.ln().abs());
    rows.iter()
        .filter(|row| row.verdict == verdict)
        .filter_map(|row| Some((row, row.shifts.iter().find(|s| s.verdict == verdict)?)))
        .max_by(|a, b| size(a.1).total_cmp(&size(b.1)))
}

fn from_to(shift: &Shift) -> String {
    match (shift.baseline_us, shift.candidate_us) {
        (Some(a), Some(b)) => format!("from {} to {}", words::time(a), words::time(b)),
        _ => "no answers".to_owned(),
    }
}

fn moved(shift: &Shift) -> String {
    let ratio = shift.ratio.map_or_else(String::new, words::change);
    match shift.interval {
        Some(i) => format!("{ratio}, between {} and {}", words::change(i.low), words::change(i.high)),
        None => ratio,
    }
}

fn quantile_words(name: &str) -> &'static str {
    match name {
        "p50" => "the median",
        "p90" => "the 90th percentile",
        _ => "the 99th percentile",
    }
}

fn headline(c: &Comparison) -> String {
    let judged = |verdict| c.rows.iter().filter(|r| r.verdict == verdict).count();
    let example = |verdict: Verdict, word: &str| match worst(&c.rows, verdict) {
        Some((row, shift)) => format!(
            "{word}: {} of {} endpoints. Most of all {}: {} went {} ({}).",
            judged(verdict),
            c.rows.len(),
            row.name,
            quantile_words(shift.name),
            from_to(shift),
            moved(shift)
        ),
        None => {
            let shift = c.overall.iter().find(|s| s.verdict == verdict);
            format!("{word} over all endpoints: {}.", shift.map_or_else(String::new, moved))
        }
    };
    let margin = format!("{} or {}", words::share(c.settings.margin_share), words::time(c.settings.margin_us));
    match c.verdict {
        Verdict::Regressed => example(Verdict::Regressed, "Slower"),
        Verdict::Improved => example(Verdict::Improved, "Faster"),
        Verdict::Equivalent => format!(
            "No change that matters: every endpoint that carries the traffic is within {margin} of the baseline."
        ),
        Verdict::Inconclusive => format!("Undecided: the data neither show nor rule out a change of {margin}."),
        Verdict::OtherLoad => format!(
            "No verdict, because the loads differ: {} against {}. The median {} went {}, p90 {}.",
            c.candidate.load,
            c.baseline.load,
            c.phase.as_str(),
            c.overall.first().map_or_else(String::new, from_to),
            c.overall.get(1).map_or_else(String::new, from_to),
        ),
        Verdict::NotComparable => {
            let failed: Vec<&Gate> = c.gates.iter().filter(|g| !g.passed).collect();
            let first = failed.first().map_or("", |g| g.found.as_str());
            let more = match failed.len() {
                0 | 1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            let name = failed.first().map_or("", |g| g.name.as_str());
            format!("The two cannot be compared. Not met: {name}: {first}{more}.")
        }
    }
}

fn firmer(c: &Comparison) -> String {
    match c.verdict {
        Verdict::NotComparable => {
            let advice: Vec<&str> = c.gates.iter().filter(|g| !g.passed).map(|g| g.advice.as_str()).collect();
            format!("To get a verdict: {}.", advice.join("; "))
        }
        Verdict::OtherLoad => {
            "To get a verdict: replay the old and the new build at the same load and compare run with run.".to_owned()
        }
        Verdict::Inconclusive => format!("To get a verdict: {}.", longer(c)),
        _ if c.relation == Relation::RecordedReplayed => {
            "Provisional: replay the old build under the same conditions as a control and compare run with run; the \
             difference to a recording holds that of the environments."
                .to_owned()
        }
        _ => "Provisional, one run on each side: four runs on each side would make it firm.".to_owned(),
    }
}

/// How much longer the runs would have to be for the interval to become as narrow as the margin.
fn longer(c: &Comparison) -> String {
    let factor = c
        .overall
        .iter()
        .filter_map(|s| {
            let i = s.interval?;
            let half = (i.high / i.low).ln() / 2.0;
            Some((half / s.margin.ln()).powi(2))
        })
        .fold(0.0, f64::max);
    let shorter = c.baseline.summary.duration_us.min(c.candidate.summary.duration_us);
    let least = c.settings.min_span_us.saturating_mul(3).max(shorter.saturating_mul(2));
    if factor == 0.0 {
        return format!("let both runs last at least {}", words::time(least));
    }
    let wanted = ((shorter as f64 * factor.max(2.0)) as u64).max(c.settings.min_span_us.saturating_mul(3));
    format!("let both runs last about {}, or repeat each at least four times", words::time(wanted))
}

fn remarks(c: &Comparison) -> Vec<String> {
    let mut remarks = Vec::new();
    if c.relation == Relation::RecordedReplayed {
        remarks.push(
            "Compared is the service time on the side of the server; think time and the users' own networks are left \
             out, the difference between the two environments is not."
                .to_owned(),
        );
    }
    for (who, subject) in [("baseline", &c.baseline), ("candidate", &c.candidate)] {
        if subject.info.unexplained > 0 {
            remarks.push(format!(
                "{} values in requests of the {who} vary and were replayed as recorded.",
                words::count(subject.info.unexplained)
            ));
        }
        let failed = subject.summary.sessions.failed;
        if failed > 0 {
            remarks.push(format!("{} sessions of the {who} were given up.", words::count(failed)));
        }
    }
    if c.rows.iter().any(|r| r.shifts.iter().any(|s| !s.enough)) {
        remarks.push(format!(
            "A quantile beyond which fewer than {} answers lie is not judged: n is too small.",
            c.settings.min_beyond
        ));
    }
    remarks
}
