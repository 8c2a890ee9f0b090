//! Endpoints paired by name, with what each quantile says.

use std::collections::BTreeMap;

use crate::measure::{Cell, Endpoint, Histogram, Quantiles, Run};

use super::outcome::{Interval, Latency, OneSided, Phase, Row, Settings, Shift, Side, Verdict};
use super::stats::{Spread, Windows, t_975};

/// The quantiles that are compared, and how they are called.
pub(super) const QUANTILES: [(&str, f64); 3] = [("p50", 0.50), ("p90", 0.90), ("p99", 0.99)];
/// Of these, the ones that carry a verdict.
const JUDGED: usize = 2;

/// Two runs side by side.
pub(super) struct Pairing<'a> {
    pub(super) both: Vec<(&'a Endpoint, &'a Endpoint)>,
    pub(super) only_baseline: Vec<OneSided>,
    pub(super) only_candidate: Vec<OneSided>,
}

impl<'a> Pairing<'a> {
    pub(super) fn of(baseline: &'a Run, candidate: &'a Run) -> Self {
        fn index(run: &Run) -> BTreeMap<&str, &Endpoint> {
            run.endpoints.iter().map(|e| (e.name.as_str(), e)).collect()
        }
        let (left, right) = (index(baseline), index(candidate));
        let one_sided = |own: &BTreeMap<&str, &Endpoint>, other: &BTreeMap<&str, &Endpoint>| {
            let mut found: Vec<OneSided> = own
                .values()
                .filter(|e| !other.contains_key(e.name.as_str()))
                .map(|e| OneSided { name: e.name.clone(), exchanges: e.exchanges() })
                .collect();
            found.sort_by(|a, b| b.exchanges.cmp(&a.exchanges).then_with(|| a.name.cmp(&b.name)));
            found
        };
        let mut both: Vec<_> =
            left.iter().filter_map(|(name, &ours)| right.get(name).map(|&theirs| (ours, theirs))).collect();
        both.sort_by(|a, b| b.1.exchanges().cmp(&a.1.exchanges()).then_with(|| a.0.name.cmp(&b.0.name)));
        let (only_baseline, only_candidate) = (one_sided(&left, &right), one_sided(&right, &left));
        Self { both, only_baseline, only_candidate }
    }
}

/// A row, and how sure each judged quantile is.
pub(super) struct Judged {
    pub(super) row: Row,
    /// Log-ratio, standard error and degrees of freedom for p50 and p90.
    pub(super) effects: [Option<Effect>; JUDGED],
}

/// A change on the scale of natural logarithms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    pub(super) log_ratio: f64,
    pub(super) error: f64,
    pub(super) freedom: usize,
    pub(super) log_margin: f64,
}

impl Effect {
    pub(super) fn half_width(&self) -> f64 {
        t_975(self.freedom) * self.error
    }

    pub(super) fn interval(&self) -> Interval {
        let half = self.half_width();
        Interval { low: (self.log_ratio - half).exp(), high: (self.log_ratio + half).exp() }
    }

    /// Regressed or improved when the whole interval lies beyond the margin, equivalent when it lies inside.
    pub(super) fn verdict(&self) -> Verdict {
        let (low, high) = (self.log_ratio - self.half_width(), self.log_ratio + self.half_width());
        if low > self.log_margin {
            Verdict::Regressed
        } else if high < -self.log_margin {
            Verdict::Improved
        } else if low >= -self.log_margin && high <= self.log_margin {
            Verdict::Equivalent
        } else {
            Verdict::Inconclusive
        }
    }
}

/// What all rows are computed from.
pub(super) struct Sheet<'a> {
    pub(super) baseline: &'a Run,
    pub(super) candidate: &'a Run,
    pub(super) phase: Phase,
    pub(super) settings: &'a Settings,
    /// Exchanges of the paired endpoints on each side.
    pub(super) totals: (u64, u64),
}

impl Sheet<'_> {
    pub(super) fn judge(&self, number: usize, baseline: &Endpoint, candidate: &Endpoint) -> Judged {
        let (ours, theirs) = (latency(self.phase, baseline), latency(self.phase, candidate));
        let pick: fn(&Cell) -> &Histogram = match self.phase {
            Phase::Response => |cell| &cell.response,
            Phase::Service => |cell| &cell.service,
        };
        let windows = (
            Windows::of(&baseline.series, self.baseline.timeline.slot_us, pick),
            Windows::of(&candidate.series, self.candidate.timeline.slot_us, pick),
        );
        let span_us = windows.0.span_us.min(windows.1.span_us);
        let spreads = if span_us >= self.settings.min_span_us { self.spreads(number, &windows) } else { None };
        let mut effects = [None; JUDGED];
        let mut shifts = Vec::new();
        for (at, &(name, quantile)) in QUANTILES.iter().enumerate() {
            let mut shift = shift(name, quantile, (ours, theirs), self.settings);
            let spread = spreads.as_ref().and_then(|s| Some((*s.0.get(at)?, *s.1.get(at)?)));
            if let (Some(ratio), Some((left, right)), true) = (shift.ratio, spread, shift.enough) {
                let effect = Effect {
                    log_ratio: ratio.ln(),
                    error: left.error.hypot(right.error),
                    freedom: left.freedom.min(right.freedom),
                    log_margin: shift.margin.ln(),
                };
                shift.interval = Some(effect.interval());
                shift.verdict = effect.verdict();
                if let Some(slot) = effects.get_mut(at) {
                    *slot = Some(effect);
                }
            }
            shifts.push(shift);
        }
        let (verdict, reason) = self.together(&shifts, (baseline, candidate), span_us);
        let side = |e: &Endpoint, total: u64| Side {
            exchanges: e.exchanges(),
            diverged: e.diverged,
            failed: e.failed,
            share: if total == 0 { 0.0 } else { e.exchanges() as f64 / total as f64 },
        };
        let row = Row {
            name: baseline.name.clone(),
            baseline: side(baseline, self.totals.0),
            candidate: side(candidate, self.totals.1),
            shifts,
            wait: Latency { baseline: Quantiles::of(&baseline.wait), candidate: Quantiles::of(&candidate.wait) },
            verdict,
            reason,
        };
        Judged { row, effects }
    }

    fn spreads(&self, number: usize, windows: &(Windows, Windows)) -> Option<(Vec<Spread>, Vec<Spread>)> {
        let quantiles = QUANTILES.map(|(_, q)| q);
        let seed = self.settings.seed.wrapping_add((number as u64).wrapping_mul(2));
        Some((
            windows.0.spread(&quantiles, self.settings.resamples, seed)?,
            windows.1.spread(&quantiles, self.settings.resamples, seed.wrapping_add(1))?,
        ))
    }

    /// What p50 and p90 say together, and why when it needs words.
    fn together(&self, shifts: &[Shift], ends: (&Endpoint, &Endpoint), span_us: u64) -> (Verdict, Option<String>) {
        let judged: Vec<&Shift> = shifts.iter().take(JUDGED).filter(|s| s.interval.is_some()).collect();
        if judged.is_empty() {
            let few = !shifts.first().is_some_and(|s| s.enough);
            let reason = if few {
                format!("n too small: {} and {} answers", answered(ends.0), answered(ends.1))
            } else if span_us < self.settings.min_span_us {
                let needed = super::words::time(self.settings.min_span_us);
                format!("called for only {}; {needed} are needed", super::words::time(span_us))
            } else {
                "called in too few separate moments".to_owned()
            };
            return (Verdict::Inconclusive, Some(reason));
        }
        let says = |verdict: Verdict| judged.iter().any(|s| s.verdict == verdict);
        match (says(Verdict::Regressed), says(Verdict::Improved)) {
            (true, true) => (Verdict::Regressed, Some("one of median and p90 is slower, the other faster".to_owned())),
            (true, false) => (Verdict::Regressed, self.waited(&judged, ends)),
            (false, true) => (Verdict::Improved, None),
            (false, false) if judged.iter().all(|s| s.verdict == Verdict::Equivalent) => (Verdict::Equivalent, None),
            (false, false) => (Verdict::Inconclusive, Some("the interval reaches across the margin".to_owned())),
        }
    }

    /// A response time that grew while the service time did not: the delay came from earlier steps.
    fn waited(&self, judged: &[&Shift], ends: (&Endpoint, &Endpoint)) -> Option<String> {
        if self.phase != Phase::Response {
            return None;
        }
        let own_fault = judged.iter().filter(|s| s.verdict == Verdict::Regressed).any(|slower| {
            let quantile = QUANTILES.iter().find(|(name, _)| *name == slower.name).map_or(0.5, |q| q.1);
            let service = shift(slower.name, quantile, (&ends.0.service, &ends.1.service), self.settings);
            service.ratio.is_none_or(|ratio| ratio > service.margin)
        });
        (!own_fault).then(|| "not slower itself: it had to wait for slower steps before it".to_owned())
    }
}

/// The compared latency of an endpoint.
pub(super) fn latency(phase: Phase, endpoint: &Endpoint) -> &Histogram {
    match phase {
        Phase::Response => &endpoint.response,
        Phase::Service => &endpoint.service,
    }
}

fn answered(endpoint: &Endpoint) -> u64 {
    endpoint.exchanges().saturating_sub(endpoint.failed)
}

/// One quantile of two histograms, not judged yet.
pub(super) fn shift(name: &'static str, quantile: f64, sides: (&Histogram, &Histogram), settings: &Settings) -> Shift {
    let (baseline_us, candidate_us) = (sides.0.quantile(quantile), sides.1.quantile(quantile));
    let beyond = |h: &Histogram| (h.count() as f64 * (1.0 - quantile) + 1e-9).floor() as u64;
    let base = baseline_us.unwrap_or(0).max(1) as f64;
    let both = baseline_us.zip(candidate_us);
    Shift {
        name,
        baseline_us,
        candidate_us,
        difference_us: both.and_then(|(a, b)| Some(i64::try_from(b).ok()? - i64::try_from(a).ok()?)),
        ratio: both.map(|(_, b)| b.max(1) as f64 / base),
        interval: None,
        margin: 1.0 + settings.margin_share.max(settings.margin_us as f64 / base),
        enough: beyond(sides.0).min(beyond(sides.1)) >= settings.min_beyond,
        verdict: Verdict::Inconclusive,
    }
}
