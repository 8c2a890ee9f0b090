//! A run over time in the numbers that charts draw, so that a report computes nothing.

use super::histogram::Histogram;
use super::run::Run;

/// One stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Its middle, microseconds since the run's anchor.
    pub at_us: u64,
    /// Exchanges started, for each second.
    pub rate: f64,
    /// Of these, failed.
    pub failed_rate: f64,
    /// Of these, diverged.
    pub diverged_rate: f64,
    /// Mean number of exchanges under way.
    pub in_flight: f64,
    /// Median response time.
    pub p50_us: Option<u64>,
    /// Response time that 95 % stay within.
    pub p95_us: Option<u64>,
    /// Lateness that 99 % stay within.
    pub lateness_p99_us: Option<u64>,
}

/// Response times over time as counts: columns are stretches of time, cells latency bands of equal ratio.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// Lower ends of the bands and the upper end of the last one, ascending, in microseconds.
    pub edges_us: Vec<u64>,
    /// For each column the counts of the bands.
    pub columns: Vec<Vec<u64>>,
    /// Length of a column in microseconds.
    pub column_us: u64,
    /// The largest count.
    pub most: u64,
}

impl Run {
    /// The run over time in at most `limit` points. A last slot that is mostly empty is left out: it would look like a
    /// collapse.
    pub fn points(&self, limit: usize) -> Vec<Point> {
        let timeline = self.timeline.at_most(limit);
        let mut start_us = 0_u64;
        let mut points = Vec::with_capacity(timeline.slots.len());
        for slot in &timeline.slots {
            let length_us = self.duration_us.saturating_sub(start_us).clamp(1, timeline.slot_us.max(1));
            if length_us < timeline.slot_us / 2 && points.len() > 4 {
                break;
            }
            let seconds = length_us as f64 / 1e6;
            points.push(Point {
                at_us: start_us.saturating_add(length_us / 2),
                rate: slot.started as f64 / seconds,
                failed_rate: slot.failed as f64 / seconds,
                diverged_rate: slot.diverged as f64 / seconds,
                in_flight: slot.busy_us as f64 / length_us as f64,
                p50_us: slot.response.quantile(0.50),
                p95_us: slot.response.quantile(0.95),
                lateness_p99_us: slot.lateness.quantile(0.99),
            });
            start_us = start_us.saturating_add(timeline.slot_us);
        }
        points
    }

    /// Response times as counts in at most `columns` stretches of time and `bands` bands.
    pub fn heat(&self, columns: usize, bands: usize) -> Heat {
        let timeline = self.timeline.at_most(columns);
        let mut all = Histogram::new(super::Precision::Coarse);
        timeline.slots.iter().for_each(|s| all.merge(&s.response));
        let low = all.quantile(0.0).unwrap_or(1).max(1) as f64;
        let high = (all.max().unwrap_or(2) as f64).max(low * 1.5);
        let bands = bands.max(1);
        let step = (high / low).ln() / bands as f64;
        let edges_us = (0..=bands).map(|i| (low * (step * i as f64).exp()).round() as u64).collect();
        let band = |us: u64| (((us.max(1) as f64 / low).ln() / step).max(0.0) as usize).min(bands - 1);
        let mut heat = Heat { edges_us, columns: Vec::new(), column_us: timeline.slot_us, most: 0 };
        for slot in &timeline.slots {
            let mut counts = vec![0_u64; bands];
            for bar in slot.response.bars() {
                let count = &mut counts[band(u64::midpoint(bar.low_us, bar.high_us))];
                *count = count.saturating_add(bar.count);
            }
            heat.most = counts.iter().copied().fold(heat.most, u64::max);
            heat.columns.push(counts);
        }
        heat
    }
}
