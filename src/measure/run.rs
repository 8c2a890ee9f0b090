//! The results of one replay, or the timings of one recording, as plain data.
//!
//! Console, JSON, HTML and comparison all print from [`Run`]; nobody keeps numbers of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::aggregate::Aggregate;
use super::histogram::{Histogram, Precision};
use super::timeline::{Cell, Timeline};

/// Where the numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    /// Timings of real users as the proxy saw them.
    Recorded,
    /// A replay.
    Replayed,
}

/// How many users were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// So many copies of each recorded session.
    Multiplied(u32),
    /// So many users in all.
    Concurrent(u32),
}

/// A recorded origin (or kind of exchange) that was not played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedOrigin {
    /// Recorded origin.
    pub origin: String,
    /// Why.
    pub reason: String,
    /// How many exchanges of the capture.
    pub exchanges: u64,
}

/// Where a run comes from and what was asked of it. Everything here is given by whoever ran it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Recorded or replayed.
    pub kind: RunKind,
    /// Version of the program that measured.
    pub program: String,
    /// Wall clock at the run's anchor, nanoseconds since the Unix epoch.
    pub started_unix_ns: u64,
    /// File name of the capture, without its directory.
    pub capture: String,
    /// File name of the rules, without its directory.
    pub rules: Option<String>,
    /// Servers that were contacted.
    pub targets: Vec<String>,
    /// Time compression; none means no pauses at all.
    pub speed: Option<f64>,
    /// Users asked for.
    pub load: Load,
    /// Users that this made.
    pub users: u64,
    /// Passes of each user.
    pub iterations: u32,
    /// Seed of the plan.
    pub seed: u64,
    /// What of the capture was not played.
    pub skipped: Vec<SkippedOrigin>,
    /// Values in requests that vary and that no rule explains.
    pub unexplained: u64,
}

/// What became of the sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// Begun.
    pub started: u64,
    /// Played to the end.
    pub completed: u64,
    /// Given up.
    pub failed: u64,
}

/// How often one kind of divergence happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DivergenceCount {
    /// `status`, `redirect`, `page`, `missing` or `stale`; `other` for those beyond the limit of distinct ones.
    pub kind: String,
    /// In words; quotes what servers sent.
    pub text: String,
    /// How often.
    pub count: u64,
    /// Start of the first one, microseconds since the run's anchor.
    pub first_us: u64,
    /// Start of the last one, microseconds since the run's anchor.
    pub last_us: u64,
}

/// The numbers of one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Method and folded URL, such as `POST https://shop.test/orders/{}`.
    pub name: String,
    /// Answers like the recorded ones.
    pub ok: u64,
    /// Whole answers that differ.
    pub diverged: u64,
    /// No whole answer; not in the histograms of response, service and wait.
    pub failed: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Differences, most frequent first.
    pub divergences: Vec<DivergenceCount>,
    /// Failures by kind.
    pub failures: BTreeMap<String, u64>,
    /// Due time to last byte; of recorded traffic the same as `service`.
    pub response: Histogram,
    /// Actual start to last byte.
    pub service: Histogram,
    /// Actual start minus earliest possible start; empty for recorded traffic.
    pub lateness: Histogram,
    /// End of the request to first byte of the answer.
    pub wait: Histogram,
    /// TCP connects.
    pub connect: Histogram,
    /// TLS handshakes.
    pub tls: Histogram,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of responses.
    pub bytes_received: u64,
    /// The slots of the timeline in which this endpoint was called.
    pub series: BTreeMap<u32, Cell>,
}

impl Endpoint {
    /// All exchanges.
    pub fn exchanges(&self) -> u64 {
        self.ok.saturating_add(self.diverged).saturating_add(self.failed)
    }
}

/// Parts of one exchange in microseconds; none where a phase did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseMicros {
    /// TCP connect.
    pub connect: Option<u64>,
    /// TLS handshake.
    pub tls: Option<u64>,
    /// Writing the request.
    pub send: Option<u64>,
    /// Until the first byte of the answer.
    pub wait: Option<u64>,
    /// Until its last byte.
    pub receive: Option<u64>,
}

/// One of the slowest exchanges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slow {
    /// Index in `Run::endpoints`.
    pub endpoint: u32,
    /// Start, microseconds since the run's anchor.
    pub started_us: u64,
    /// Due time to last byte.
    pub response_us: u64,
    /// Actual start to last byte.
    pub service_us: u64,
    /// The generator's own delay.
    pub lateness_us: u64,
    /// Parts of the service time.
    pub phases: PhaseMicros,
    /// Status of the answer.
    pub status: Option<u16>,
    /// `ok`, `diverged` or the failure.
    pub outcome: String,
}

/// The results of one replay, or the timings of one recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Where it comes from.
    pub info: RunInfo,
    /// Anchor to the last byte of the last exchange, in microseconds.
    pub duration_us: u64,
    /// What became of the sessions.
    pub sessions: Sessions,
    /// Exchanges that were planned but not sent, because something before them went wrong or the run was cut.
    pub not_sent: u64,
    /// Numbers of each endpoint.
    pub endpoints: Vec<Endpoint>,
    /// All endpoints together over time.
    pub timeline: Timeline,
    /// The slowest exchanges by response time, slowest first.
    pub slowest: Vec<Slow>,
}

/// A distribution in four numbers, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: u64,
    /// Nine tenths are at most this.
    pub p90: u64,
    /// Ninety-nine hundredths are at most this.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

impl Quantiles {
    /// The quantiles of a histogram; none when it is empty.
    pub fn of(histogram: &Histogram) -> Option<Self> {
        Some(Self {
            p50: histogram.quantile(0.50)?,
            p90: histogram.quantile(0.90)?,
            p99: histogram.quantile(0.99)?,
            max: histogram.max()?,
        })
    }
}

/// What became of the exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeCounts {
    /// All that were sent.
    pub sent: u64,
    /// Answers like the recorded ones.
    pub ok: u64,
    /// Whole answers that differ.
    pub diverged: u64,
    /// No whole answer.
    pub failed: u64,
    /// Planned but not sent.
    pub skipped: u64,
}

/// A run in one object, as `replay --summary json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What became of the sessions.
    pub sessions: Sessions,
    /// What became of the exchanges.
    pub exchanges: ExchangeCounts,
    /// Due time to last byte of all answered exchanges; none when there are none.
    pub response_us: Option<Quantiles>,
    /// Actual start to last byte.
    pub service_us: Option<Quantiles>,
    /// The generator's own delay.
    pub lateness_us: Option<Quantiles>,
    /// Values in requests that vary and that no rule explains.
    pub unexplained: u64,
    /// Anchor to the last byte, in microseconds.
    pub duration_us: u64,
}

impl Run {
    /// The results that an aggregate comes to. `names` are the endpoints in the order of their indices; endpoints that
    /// were never called are left out.
    pub fn new(aggregate: Aggregate, names: &[String], info: RunInfo) -> Self {
        aggregate.into_run(names, info)
    }

    /// The run in one object.
    pub fn summary(&self) -> Summary {
        Summary {
            sessions: self.sessions,
            exchanges: self.exchanges(),
            response_us: Quantiles::of(&self.all(|e| &e.response)),
            service_us: Quantiles::of(&self.all(|e| &e.service)),
            lateness_us: Quantiles::of(&self.all(|e| &e.lateness)),
            unexplained: self.info.unexplained,
            duration_us: self.duration_us,
        }
    }

    /// What became of the exchanges.
    pub fn exchanges(&self) -> ExchangeCounts {
        let total = |count: fn(&Endpoint) -> u64| self.endpoints.iter().map(count).fold(0, u64::saturating_add);
        ExchangeCounts {
            sent: total(Endpoint::exchanges),
            ok: total(|e| e.ok),
            diverged: total(|e| e.diverged),
            failed: total(|e| e.failed),
            skipped: self.not_sent,
        }
    }

    /// One histogram over all endpoints, such as `run.all(|e| &e.wait)`.
    pub fn all(&self, part: impl Fn(&Endpoint) -> &Histogram) -> Histogram {
        let mut all = Histogram::new(Precision::Fine);
        self.endpoints.iter().for_each(|e| all.merge(part(e)));
        all
    }
}
