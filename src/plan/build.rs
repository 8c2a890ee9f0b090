//! Builds a plan.

use crate::model::{BodySource, Session};
use crate::rules::RuleSet;

use super::{Plan, Workload};

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Every virtual user needs a row of its own.
    #[error("the data file has {rows} rows, but {users} virtual users need one each")]
    TooFewRows {
        /// Rows there are.
        rows: usize,
        /// Rows needed.
        users: usize,
    },
    /// The rules bind a column that the data does not have.
    #[error("the rules need a data column `{0}`, which the data file does not have")]
    NoColumn(String),
    /// The rules need data but none was given.
    #[error("the rules need a data file with the columns {}", .0.join(", "))]
    NoData(Vec<String>),
    /// No target names an origin of the capture.
    #[error("no target matches the capture, whose origins are {}", .0.join(", "))]
    NoTarget(Vec<String>),
    /// The capture holds nothing that could be played.
    #[error("the capture holds no exchange that could be replayed")]
    Empty,
}

/// The plan for these sessions under these rules and this workload.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(
    _sessions: &[Session],
    _bodies: &dyn BodySource,
    _rules: &RuleSet,
    _workload: &Workload,
) -> Result<Plan, PlanError> {
    todo!()
}
