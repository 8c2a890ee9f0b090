//! What a comparison says, as plain data: text, JSON and HTML print from [`Comparison`] and compute nothing.

use serde::Serialize;

use crate::measure::{Quantiles, RunInfo, RunKind, Summary};

/// Name and version of the JSON form.
pub const SCHEMA: &str = "overdub-compare/1";

/// The limits that a comparison is held to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Smallest ratio that matters: 0.05 is 5 %.
    pub margin_share: f64,
    /// Smallest difference that matters, in microseconds. The larger of the two margins counts.
    pub margin_us: u64,
    /// Resamples of the bootstrap.
    pub resamples: u32,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Largest share of failed exchanges, of diverged ones, of failed sessions and of exchanges not sent.
    pub max_error_share: f64,
    /// Largest lateness p99 that never matters, in microseconds.
    pub max_lateness_us: u64,
    /// Largest lateness p99 as a share of the median response time; the larger of the two limits counts.
    pub max_lateness_share: f64,
    /// Largest difference of the request mixes (share of requests that would have to change endpoint).
    pub max_mix_difference: f64,
    /// Largest difference of the status mixes (share of answers that would have to change status).
    pub max_status_difference: f64,
    /// Samples that must lie beyond a quantile before it is used.
    pub min_beyond: u64,
    /// Shortest time over which an endpoint must have been called before it gets a verdict, in microseconds.
    pub min_span_us: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            margin_share: 0.05,
            margin_us: 5_000,
            resamples: 400,
            seed: 1,
            max_error_share: 0.01,
            max_lateness_us: 5_000,
            max_lateness_share: 0.10,
            max_mix_difference: 0.10,
            max_status_difference: 0.05,
            min_beyond: 20,
            min_span_us: 10_000_000,
        }
    }
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Slower by more than the margin.
    Regressed,
    /// Faster by more than the margin.
    Improved,
    /// The difference lies inside the margin.
    Equivalent,
    /// The data cannot tell.
    Inconclusive,
    /// The loads differ on purpose: described, never judged.
    OtherLoad,
    /// A gate failed: the numbers do not measure the same thing.
    NotComparable,
}

impl Verdict {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::Improved => "improved",
            Self::Equivalent => "equivalent",
            Self::Inconclusive => "inconclusive",
            Self::OtherLoad => "other load",
            Self::NotComparable => "not comparable",
        }
    }
}

/// Which latency is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Due time to last byte: what a user would have waited. Between replays.
    Response,
    /// Start to last byte on the side of the server. As soon as a recording takes part.
    Service,
}

impl Phase {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Response => "response time",
            Self::Service => "service time",
        }
    }
}

/// What is compared with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Two replays.
    Replays,
    /// Two recordings.
    Recordings,
    /// A recording and a replay: the difference holds that of the environments too.
    RecordedReplayed,
}

/// One of the two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Subject {
    /// Provenance.
    pub info: RunInfo,
    /// Its load in words, such as `50x users at 10x speed`.
    pub load: String,
    /// Exchanges that were sent, for each second.
    pub rate: f64,
    /// Mean number of exchanges under way.
    pub in_flight: f64,
    /// Its totals.
    pub summary: Summary,
}

impl Subject {
    /// `recorded` or `replayed`.
    pub fn kind(&self) -> &'static str {
        match self.info.kind {
            RunKind::Recorded => "recorded",
            RunKind::Replayed => "replayed",
        }
    }
}

/// A condition for any verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gate {
    /// What is checked, in a few words.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was found, with the limit.
    pub found: String,
    /// What to do when it does not hold.
    pub advice: String,
}

/// An interval of 95 % confidence, as ratios candidate / baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// One quantile of both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shift {
    /// `p50`, `p90` or `p99`.
    pub name: &'static str,
    /// Of the baseline, in microseconds.
    pub baseline_us: Option<u64>,
    /// Of the candidate, in microseconds.
    pub candidate_us: Option<u64>,
    /// Candidate minus baseline, in microseconds.
    pub difference_us: Option<i64>,
    /// Candidate / baseline.
    pub ratio: Option<f64>,
    /// How sure the ratio is; none when there is too little data to say.
    pub interval: Option<Interval>,
    /// The ratio from which on a change matters here.
    pub margin: f64,
    /// Whether enough samples lie beyond the quantile on both sides: otherwise "n too small".
    pub enough: bool,
    /// What this quantile alone says.
    pub verdict: Verdict,
}

/// A distribution on both sides, without judgement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Of the baseline.
    pub baseline: Option<Quantiles>,
    /// Of the candidate.
    pub candidate: Option<Quantiles>,
}

/// Counts of an endpoint on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Side {
    /// All exchanges.
    pub exchanges: u64,
    /// Whole answers that differ.
    pub diverged: u64,
    /// No whole answer.
    pub failed: u64,
    /// Of all exchanges of endpoints that both sides have.
    pub share: f64,
}

/// One endpoint that both sides have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The endpoint.
    pub name: String,
    /// Counts of the baseline.
    pub baseline: Side,
    /// Counts of the candidate.
    pub candidate: Side,
    /// The compared latency at p50, p90 and p99.
    pub shifts: Vec<Shift>,
    /// Time to the first byte, for reading.
    pub wait: Latency,
    /// What the quantiles say together.
    pub verdict: Verdict,
    /// Why, when that needs words.
    pub reason: Option<String>,
}

impl Row {
    /// One of the quantiles by name.
    pub fn shift(&self, name: &str) -> Option<&Shift> {
        self.shifts.iter().find(|s| s.name == name)
    }
}

/// An endpoint that only one side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OneSided {
    /// The endpoint.
    pub name: String,
    /// Its exchanges.
    pub exchanges: u64,
}

/// The comparison of a candidate with a baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The outcome.
    pub verdict: Verdict,
    /// One run a side: the outcome can be no more than provisional.
    pub provisional: bool,
    /// The outcome in plain language; holds captured text.
    pub headline: String,
    /// What would make it firmer.
    pub firmer: String,
    /// Remarks that a reader of the numbers needs.
    pub remarks: Vec<String>,
    /// What is compared with what.
    pub relation: Relation,
    /// Which latency.
    pub phase: Phase,
    /// Whether both ran at the same load.
    pub same_load: bool,
    /// The one.
    pub baseline: Subject,
    /// The other.
    pub candidate: Subject,
    /// Conditions for any verdict.
    pub gates: Vec<Gate>,
    /// The traffic-weighted geometric mean over the endpoints that could be judged, at p50 and p90; the microseconds
    /// are those of all exchanges together.
    pub overall: Vec<Shift>,
    /// Endpoints of both sides, most traffic first.
    pub rows: Vec<Row>,
    /// Endpoints that only the baseline has.
    pub only_baseline: Vec<OneSided>,
    /// Endpoints that only the candidate has.
    pub only_candidate: Vec<OneSided>,
    /// The limits used.
    pub settings: Settings,
}
