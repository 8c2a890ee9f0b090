//! The plan: scripts that users share, and who plays which when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{ExchangeId, Nanos, Origin, SessionId};
use crate::rules::Extractor;

use super::template::{Template, VariableId};
use super::workload::Speed;

/// Everything a replay does. Immutable; clones of a session share its script.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One for each recorded session.
    pub scripts: Vec<Arc<Script>>,
    /// Who plays what, by arrival.
    pub users: Vec<PlannedUser>,
    /// Names of endpoints, such as `POST https://shop.test/orders/{}`; steps refer to them by index.
    pub endpoints: Vec<String>,
    /// Servers that may be contacted; steps refer to them by index. No other host is ever contacted.
    pub targets: Vec<Origin>,
    /// Column names of the data rows.
    pub columns: Vec<String>,
    /// Recorded exchanges that are not played, with the reason, sorted.
    pub skipped: Vec<Skipped>,
    /// Values in requests that vary and that no rule explains.
    pub unexplained: u64,
    /// Time compression.
    pub speed: Speed,
    /// Passes of each user.
    pub iterations: u32,
    /// Seed of all generated values.
    pub seed: u64,
}

/// A recorded origin (or kind of exchange) that is not played.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Recorded origin.
    pub origin: String,
    /// Why.
    pub reason: String,
    /// How many exchanges.
    pub exchanges: u64,
}

/// One virtual user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedUser {
    /// Index in `Plan::scripts`.
    pub script: usize,
    /// Number of the copy, from 0.
    pub clone: u32,
    /// When the script starts, since the run's anchor.
    pub arrival: Nanos,
    /// The user's data row, as long as `Plan::columns`.
    pub row: Arc<[String]>,
}

/// A session made replayable.
#[derive(Clone, Debug)]
pub struct Script {
    /// The recorded session.
    pub session: SessionId,
    /// Steps in the order in which they began.
    pub steps: Vec<Step>,
    /// Names of the variables; steps refer to them by index.
    pub variables: Vec<String>,
}

/// One exchange of a script.
#[derive(Clone, Debug)]
pub struct Step {
    /// The recorded exchange.
    pub exchange: ExchangeId,
    /// Index in `Plan::endpoints`.
    pub endpoint: u32,
    /// Transaction label.
    pub transaction: Option<String>,
    /// Index in `Plan::targets`.
    pub target: u32,
    /// Steps that must be over before this one may start (indices into the script, all smaller than this one's).
    pub after: Vec<u32>,
    /// The dependency that ended last: the due time counts from its due time plus its `recorded` time. `None`: from the
    /// user's arrival.
    pub parent: Option<u32>,
    /// Recorded pause between the end of `parent` (or the start of the session) and the start of this step. Not scaled.
    pub gap: Duration,
    /// Recorded response time: start of the request to last byte.
    pub recorded: Duration,
    /// What is sent.
    pub request: Template,
    /// What is taken from the response.
    pub extract: Vec<Extraction>,
    /// What the response should look like.
    pub expect: Expectation,
}

/// A value taken from a response into a variable.
#[derive(Clone, Debug)]
pub struct Extraction {
    /// Where it goes.
    pub variable: VariableId,
    /// How it is found.
    pub extractor: Extractor,
    /// Without it later steps send stale values: its absence is a divergence.
    pub required: bool,
}

/// The recorded answer in the terms in which a replayed one is compared with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Recorded status.
    pub status: u16,
    /// Path of a redirect's target with everything variable folded (`/orders/{}`).
    pub redirect: Option<String>,
    /// What sort of body.
    pub kind: PageKind,
}

/// What sort of body a response has, robust against data that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// Not known: the recorded body is not in the capture, or not whole. Any answer is as good.
    Unknown,
    /// No body.
    Empty,
    /// An HTML page: its forms (method and id or folded action) tell which page it is.
    Html {
        /// Signatures of the forms.
        forms: BTreeSet<String>,
        /// Whether it asks for a password.
        asks_password: bool,
    },
    /// JSON: the keys of the top-level object.
    Json {
        /// Sorted keys; empty for arrays and scalars.
        keys: BTreeSet<String>,
    },
    /// Anything else: the media type without parameters.
    Other(String),
}
