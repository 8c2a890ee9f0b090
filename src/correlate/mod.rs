//! Sessions become a rule set, with evidence for each rule. Pure: knows neither the capture file nor the async runtime.
//!
//! Every value of every request is looked for in the responses that were complete before the request began. Structured
//! sources beat free text, the form actually submitted beats a value that happens to be equal, and a short number counts
//! only when it was born in this session. What varies and has no source is listed, never hidden.

mod assemble;
mod atoms;
mod boundary;
mod consistency;
mod evidence;
mod generators;
mod marks;
mod parameters;
mod prior;
mod search;
mod strength;
#[cfg(test)]
mod tests;
mod trace;

use std::borrow::Cow;

use crate::model::{BodySource, DataTable, Exchange, Session};
use crate::rules::RuleSet;

/// Whether the table of well-known token names counts as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prior {
    /// It does.
    KnownTokens,
    /// Evidence of the recording alone.
    None,
}

/// The rules that make these sessions replayable. Same input, same rules.
pub fn correlate(sessions: &[Session], bodies: &dyn BodySource, data: Option<&DataTable>, prior: Prior) -> RuleSet {
    let sessions = of_users(sessions);
    let traces: Vec<trace::Trace<'_>> = sessions.iter().map(|session| trace::Trace::new(session, bodies)).collect();
    let parameters = parameters::find(&traces, data);
    let needles = trace::needles(&traces);
    let mut atoms = atoms::Cache::default();
    let across = trace::SlotValues::new(&traces);
    let mut findings = search::Findings::default();
    for (index, trace) in traces.iter().enumerate() {
        let context =
            search::Context { trace, bodies, parameters: &parameters, session: index, across: &across, prior };
        search::search(&context, &needles, &mut atoms, &mut findings);
    }
    consistency::drop_coincidences(&traces, &mut findings.edges);
    assemble::assemble(&traces, &parameters, findings)
}

/// Without the exchanges whose request was not captured, which have no endpoint that a rule could name, and without what is
/// no part of what the users asked for: noise, tunnels, WebSockets.
fn of_users(sessions: &[Session]) -> Cow<'_, [Session]> {
    let counts = |exchange: &Exchange| !exchange.request.method.is_empty() && exchange.aside().is_none();
    if sessions.iter().flat_map(|session| &session.exchanges).all(counts) {
        return Cow::Borrowed(sessions);
    }
    let mut left = sessions.to_vec();
    left.iter_mut().for_each(|session| session.exchanges.retain(counts));
    Cow::Owned(left)
}
