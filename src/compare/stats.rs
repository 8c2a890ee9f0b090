//! How sure a quantile is: bootstrap over windows of time, because neighbouring requests share their fate and a test
//! that takes them for independent cries wolf on identical systems.

use std::collections::BTreeMap;

use crate::measure::{Bar, Cell, Histogram, Precision};

/// Length of a window as far as `WINDOW_COUNT` allows. On simulated identical systems whose level drifts as AR(1) with
/// rho 0.9 a second, windows of 3 s made one pair in 25 look different, windows of 10 s and more none in 100.
const WINDOW_US: u64 = 20_000_000;
/// Windows that a series is cut into, at least and at most.
const WINDOW_COUNT: (u64, u64) = (6, 20);
/// Fewest windows with data that say anything about spread.
const MIN_WINDOWS: usize = 5;
/// Standard error of a log-quantile that the buckets of the series alone can cause (0.8 % wide).
const BUCKET_ERROR: f64 = 0.004;

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough to pick windows.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n` (which is small, so the bias is far below what matters here).
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

/// The logarithm of a quantile is known to within this standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    /// Standard error of the natural logarithm.
    pub(super) error: f64,
    /// Windows that it was estimated from, less one.
    pub(super) freedom: usize,
}

/// A latency cut into windows of equal length over the time in which the endpoint was called.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    parts: Vec<Vec<Bar>>,
    /// First to last call, in microseconds, to the length of a slot.
    pub(super) span_us: u64,
}

impl Windows {
    /// Cuts a series; `part` picks the histogram.
    pub(super) fn of(series: &BTreeMap<u32, Cell>, slot_us: u64, part: impl Fn(&Cell) -> &Histogram) -> Self {
        let (Some((&first, _)), Some((&last, _))) = (series.first_key_value(), series.last_key_value()) else {
            return Self { parts: Vec::new(), span_us: 0 };
        };
        let slots = u64::from(last - first) + 1;
        let span_us = slot_us.saturating_mul(slots);
        let count = (span_us / WINDOW_US).clamp(WINDOW_COUNT.0, WINDOW_COUNT.1).min(slots);
        let mut merged = vec![Histogram::new(Precision::Coarse); count as usize];
        for (&slot, cell) in series {
            let window = u64::from(slot - first) * count / slots;
            merged[window as usize].merge(part(cell));
        }
        let parts = merged.iter().filter(|h| h.count() > 0).map(Histogram::bars).collect();
        Self { parts, span_us }
    }

    /// Bootstrap standard errors of the logarithms of these quantiles; none when there are too few windows.
    pub(super) fn spread(&self, quantiles: &[f64], resamples: u32, seed: u64) -> Option<Vec<Spread>> {
        if self.parts.len() < MIN_WINDOWS {
            return None;
        }
        let mut ranges: Vec<(u64, u64)> = self.parts.iter().flatten().map(|b| (b.low_us, b.high_us)).collect();
        ranges.sort_unstable();
        ranges.dedup();
        let place = |bar: &Bar| ranges.binary_search(&(bar.low_us, bar.high_us)).unwrap_or(0);
        let placed: Vec<Vec<(usize, u64)>> =
            self.parts.iter().map(|bars| bars.iter().map(|b| (place(b), b.count)).collect()).collect();
        let mut random = Random(seed);
        let mut moments = vec![Moments::default(); quantiles.len()];
        let mut counts = vec![0_u64; ranges.len()];
        for _ in 0..resamples {
            counts.fill(0);
            for _ in 0..placed.len() {
                for &(at, count) in &placed[random.below(placed.len())] {
                    counts[at] = counts[at].saturating_add(count);
                }
            }
            for (moments, &quantile) in moments.iter_mut().zip(quantiles) {
                moments.add(interpolated(&counts, &ranges, quantile).max(1.0).ln());
            }
        }
        let freedom = self.parts.len() - 1;
        // Resampling n windows underestimates the spread by a factor of sqrt((n - 1) / n).
        let correction = (self.parts.len() as f64 / freedom as f64).sqrt();
        let of = |m: &Moments| Spread { error: (m.deviation() * correction).max(BUCKET_ERROR), freedom };
        Some(moments.iter().map(of).collect())
    }
}

/// A quantile with values spread evenly inside their bucket.
fn interpolated(counts: &[u64], ranges: &[(u64, u64)], quantile: f64) -> f64 {
    let total: u64 = counts.iter().fold(0, |a, &b| a.saturating_add(b));
    let wanted = quantile * total as f64;
    let mut below = 0.0;
    for (&count, &(low, high)) in counts.iter().zip(ranges) {
        let count = count as f64;
        if count > 0.0 && below + count >= wanted {
            return low as f64 + (high - low + 1) as f64 * ((wanted - below) / count).clamp(0.0, 1.0);
        }
        below += count;
    }
    ranges.last().map_or(0.0, |&(_, high)| high as f64)
}

/// Running mean and variance (Welford 1962).
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.n;
        self.squares += delta * (value - self.mean);
    }

    fn deviation(&self) -> f64 {
        if self.n < 2.0 { 0.0 } else { (self.squares / (self.n - 1.0)).sqrt() }
    }
}

/// The 97.5 % point of Student's t (Abramowitz and Stegun 26.7.5).
pub(super) fn t_975(freedom: usize) -> f64 {
    let (z, n) = (1.959_964_f64, freedom.max(1) as f64);
    let g1 = (z.powi(3) + z) / 4.0;
    let g2 = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let g3 = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    let g4 = (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1482.0 * z.powi(5) - 1920.0 * z.powi(3) - 945.0 * z) / 92_160.0;
    z + g1 / n + g2 / n.powi(2) + g3 / n.powi(3) + g4 / n.powi(4)
}

/// Half the L1 distance between two sets of counts taken as shares: the share that would have to move.
pub(super) fn distance<K: Ord>(a: &BTreeMap<K, u64>, b: &BTreeMap<K, u64>) -> f64 {
    let total = |counts: &BTreeMap<K, u64>| counts.values().fold(0.0, |sum, &n| sum + n as f64);
    let (of_a, of_b) = (total(a), total(b));
    if of_a == 0.0 || of_b == 0.0 {
        return if of_a == of_b { 0.0 } else { 1.0 };
    }
    let share = |counts: &BTreeMap<K, u64>, key: &K, all: f64| counts.get(key).map_or(0.0, |&n| n as f64 / all);
    let both: f64 = a.keys().map(|k| (share(a, k, of_a) - share(b, k, of_b)).abs()).sum();
    let rest: f64 = b.keys().filter(|k| !a.contains_key(k)).map(|k| share(b, k, of_b)).sum();
    (both + rest) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_agrees_with_the_tables() {
        // Printed tables of Student's t, two-sided 5 %.
        for (freedom, value) in [(4, 2.776), (5, 2.571), (9, 2.262), (19, 2.093), (30, 2.042), (120, 1.980)] {
            assert!((t_975(freedom) - value).abs() < 0.004, "{freedom}: {}", t_975(freedom));
        }
    }

    #[test]
    fn distance_is_the_share_that_would_have_to_move() {
        let counts = |pairs: &[(&'static str, u64)]| pairs.iter().copied().collect::<BTreeMap<_, _>>();
        // (|0.5-0.6| + |0.5-0.3| + |0-0.1|) / 2 = 0.2
        let d = distance(&counts(&[("a", 5), ("b", 5)]), &counts(&[("a", 60), ("b", 30), ("c", 10)]));
        assert!((d - 0.2).abs() < 1e-12, "{d}");
        assert_eq!(distance(&counts(&[("a", 1)]), &counts(&[("b", 1)])), 1.0);
        assert_eq!(distance(&counts(&[]), &counts(&[])), 0.0);
    }

    fn bar(low_us: u64, high_us: u64, count: u64) -> Bar {
        Bar { low_us, high_us, count }
    }

    #[test]
    fn quantiles_are_interpolated_inside_their_bucket() {
        // 100 values in [1000, 1009], 100 in [2000, 2009]: the median ends the first bucket, p75 halves the second.
        let ranges = [(1000, 1009), (2000, 2009)];
        assert_eq!(interpolated(&[100, 100], &ranges, 0.50), 1010.0);
        assert_eq!(interpolated(&[100, 100], &ranges, 0.75), 2005.0);
    }

    #[test]
    fn the_spread_of_windows_is_that_of_the_closed_form() {
        // Twenty windows of one value each, so small beside their width that the p50 of a resample is the median of
        // 20 draws. For the mean of logs the closed form is s/sqrt(n); the median of a normal sample has 1.2533 times
        // that. The logs here are an evenly spaced normal sample with s = 0.1 (NORM.S.INV((i-0.5)/20) / 10).
        let z = [
            -1.960, -1.440, -1.150, -0.935, -0.755, -0.598, -0.454, -0.319, -0.189, -0.063, 0.063, 0.189, 0.319, 0.454,
            0.598, 0.755, 0.935, 1.150, 1.440, 1.960,
        ];
        let parts = z
            .iter()
            .map(|z: &f64| {
                let value = (100_000.0 * (z / 10.0).exp()) as u64;
                vec![bar(value, value, 10)]
            })
            .collect();
        let windows = Windows { parts, span_us: 20_000_000 };
        let spread = windows.spread(&[0.5], 4_000, 3).unwrap()[0];
        let closed = 1.2533 * 0.1 / 20_f64.sqrt();
        assert!((spread.error / closed - 1.0).abs() < 0.25, "{} against {closed}", spread.error);
        assert_eq!(spread.freedom, 19);
    }

    #[test]
    fn four_windows_say_nothing_about_spread() {
        let windows = Windows { parts: vec![vec![bar(1, 1, 100)]; 4], span_us: 4_000_000 };
        assert_eq!(windows.spread(&[0.5], 100, 1), None);
    }
}
