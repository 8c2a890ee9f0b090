//! The numbers of one step.

use std::fmt;
use std::time::Duration;

use crate::model::Nanos;

/// Why a replayed answer differs from the recorded one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Divergence {
    /// Another status.
    Status {
        /// As recorded.
        recorded: u16,
        /// As replayed.
        replayed: u16,
    },
    /// A redirect to another place (folded paths).
    Redirect {
        /// As recorded.
        recorded: String,
        /// As replayed.
        replayed: String,
    },
    /// Another kind of page.
    Page {
        /// In words.
        recorded: String,
        /// In words.
        replayed: String,
    },
    /// A value that later steps need was not in the answer.
    Missing {
        /// Name of the variable.
        variable: String,
    },
    /// The request had to be sent with a recorded value because an earlier answer did not give a new one.
    Stale {
        /// Name of the variable.
        variable: String,
    },
}

/// Why a step got no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// No connection: refused.
    Refused,
    /// No connection: anything else (no route, no descriptors, name not found).
    Connect,
    /// The TLS handshake failed or the certificate was not accepted.
    Tls,
    /// The connection was reset or closed before the answer was whole.
    Closed,
    /// No answer within the limit.
    Timeout,
    /// What came is not HTTP.
    Protocol,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is like the recorded one.
    Ok,
    /// A whole answer that differs.
    Diverged(Vec<Divergence>),
    /// No whole answer.
    Failed(Failure),
}

/// Parts of the service time; `None` where a phase did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// TCP connect.
    pub connect: Option<Duration>,
    /// TLS handshake.
    pub tls: Option<Duration>,
    /// Writing the request.
    pub send: Option<Duration>,
    /// End of the request to first byte of the answer.
    pub wait: Option<Duration>,
    /// First to last byte of the answer.
    pub receive: Option<Duration>,
}

/// One step of one virtual user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Index of the endpoint.
    pub endpoint: u32,
    /// When it should have started, since the run's anchor.
    pub due: Nanos,
    /// When it could have started: the later of `due` and the end of the steps it depends on.
    pub ready: Nanos,
    /// When it did start. `started - ready` is the generator's lateness.
    pub started: Nanos,
    /// Last byte, or the instant of failure. `done - due` is the response time, `done - started` the service time.
    pub done: Nanos,
    /// Parts of the service time.
    pub phases: Phases,
    /// Status of the answer.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes written, head and body.
    pub bytes_sent: u64,
    /// Bytes read, head and body.
    pub bytes_received: u64,
}

impl Sample {
    /// Due time to last byte.
    pub fn response_time(&self) -> Duration {
        self.done.since(self.due)
    }

    /// Actual start to last byte.
    pub fn service_time(&self) -> Duration {
        self.done.since(self.started)
    }

    /// Actual start minus the instant at which the step could have started.
    pub fn lateness(&self) -> Duration {
        self.started.since(self.ready)
    }
}

impl Divergence {
    /// One word: `status`, `redirect`, `page`, `missing` or `stale`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::Page { .. } => "page",
            Self::Missing { .. } => "missing",
            Self::Stale { .. } => "stale",
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { recorded, replayed } => write!(f, "status {replayed} instead of {recorded}"),
            Self::Redirect { recorded, replayed } => write!(f, "redirect to {replayed} instead of {recorded}"),
            Self::Page { recorded, replayed } => write!(f, "{replayed} instead of {recorded}"),
            Self::Missing { variable } => write!(f, "no new value of {variable} in the answer"),
            Self::Stale { variable } => write!(f, "sent with the recorded value of {variable}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Connect => "no connection",
            Self::Tls => "TLS failed",
            Self::Closed => "connection closed",
            Self::Timeout => "no answer in time",
            Self::Protocol => "answer is not HTTP",
        })
    }
}
