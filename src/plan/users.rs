//! Virtual users: copies of the recorded sessions, each with a data row of its own, coming one after the other.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Nanos, Session};
use crate::rules::RuleSet;

use super::build::PlanError;
use super::random::SplitMix;
use super::script::{PlannedUser, Script};
use super::workload::{Users, Workload};

/// Who plays what, by arrival.
pub(super) fn users(
    scripts: &[(&Session, Arc<Script>)],
    recorded_rows: &[Arc<[String]>],
    rules: &RuleSet,
    workload: &Workload,
) -> Result<Vec<PlannedUser>, PlanError> {
    let total = match workload.users {
        Users::Multiplied(copies) => scripts.len() * copies as usize,
        Users::Concurrent(users) => users as usize,
    };
    let rows = rows(rules, workload, total, scripts.len())?;
    let anchor =
        scripts.iter().filter_map(|(s, _)| s.exchanges.first()).map(|e| e.timing.started).min().unwrap_or_default();
    let mut random = SplitMix(workload.seed);
    let mut users = Vec::with_capacity(total);
    for number in 0..total {
        let script = number % scripts.len();
        let (session, _) = &scripts[script];
        let clone = u32::try_from(number / scripts.len()).unwrap_or(u32::MAX);
        let first = session.exchanges.first().map_or(anchor, |e| e.timing.started);
        let last = session.exchanges.iter().map(|e| e.timing.finished).max().unwrap_or(first);
        // Copies of one person do not all come in the same instant: they spread over a tenth of the session, and over five
        // seconds at least.
        let spread = (last.since(first) / 10).max(Duration::from_secs(5));
        let jitter = if clone == 0 { Duration::ZERO } else { spread.mul_f64(random.unit()) };
        let arrival = Nanos::from_duration(workload.speed.scale(first.since(anchor) + jitter));
        let row = rows.get(number).cloned().unwrap_or_else(|| recorded_rows[script].clone());
        users.push(PlannedUser { script, clone, arrival, row });
    }
    users.sort_by_key(|u| (u.arrival, u.clone, u.script));
    Ok(users)
}

/// One data row for each user, in the order of the rules' parameters; empty when the recorded users play themselves.
fn rows(rules: &RuleSet, workload: &Workload, users: usize, sessions: usize) -> Result<Vec<Arc<[String]>>, PlanError> {
    let columns = rules.columns();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let Some(data) = &workload.data else {
        return if users <= sessions { Ok(Vec::new()) } else { Err(PlanError::NoData(columns)) };
    };
    let places: Vec<usize> = columns
        .iter()
        .map(|c| data.columns.iter().position(|d| d == c).ok_or_else(|| PlanError::NoColumn(c.clone())))
        .collect::<Result<_, _>>()?;
    if data.rows.len() < users {
        return Err(PlanError::TooFewRows { rows: data.rows.len(), users });
    }
    let pick = |row: &Vec<String>| -> Arc<[String]> { places.iter().map(|p| row[*p].clone()).collect() };
    Ok(data.rows.iter().take(users).map(pick).collect())
}
