//! A short value that equals another by chance does so once, not every time: edges that no name supports must explain
//! their slot wherever it occurs.

use std::collections::{HashMap, HashSet};

use crate::rules::fold_path;

use super::search::Edge;
use super::strength::Strength;
use super::trace::{Trace, each};

/// Drops weak edges into fields that hold an unexplained value in another request of the same kind.
pub(super) fn drop_coincidences(traces: &[Trace<'_>], edges: &mut Vec<Edge>) {
    let kind = |session: usize, exchange: usize| -> String {
        let request = &traces[session].exchanges()[exchange].request;
        format!("{} {}{}", request.method, request.origin, fold_path(&String::from_utf8_lossy(&request.target)))
    };
    let doubtful = |edge: &Edge| edge.strength == Strength::Weak && !edge.named && !edge.slot.starts_with("path[");
    let slots: HashSet<(String, String)> =
        edges.iter().filter(|e| doubtful(e)).map(|e| (kind(e.session, e.user), e.slot.clone())).collect();
    if slots.is_empty() {
        return;
    }
    let explained: HashSet<(usize, usize, &str)> = edges.iter().map(|e| (e.session, e.user, e.slot.as_str())).collect();
    let mut unexplained: HashMap<(String, String), usize> = HashMap::new();
    for (session, trace) in traces.iter().enumerate() {
        for (exchange, leaves) in trace.leaves.iter().enumerate() {
            let own = kind(session, exchange);
            each(leaves, &mut |leaf| {
                let slot = (own.clone(), leaf.path.clone());
                if slots.contains(&slot) && !explained.contains(&(session, exchange, leaf.path.as_str())) {
                    *unexplained.entry(slot).or_default() += 1;
                }
            });
        }
    }
    edges.retain(|e| !doubtful(e) || !unexplained.contains_key(&(kind(e.session, e.user), e.slot.clone())));
}
