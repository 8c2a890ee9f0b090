//! What the rules find in one recorded session: which response gave which value, whose data row was used.

use crate::model::{BodySource, Exchange, Session, Side};
use crate::rules::{Extractor, Leaf, Place, ResponseView, RuleSet, content, leaves, occurrences};

use super::page::page_kind;
use super::script::PageKind;

/// Longest body that is looked into, decoded, in bytes.
pub(super) const LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// A value that a rule's extractor finds in a recorded response.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Index of the variable rule.
    pub variable: usize,
    /// How it was found.
    pub extractor: Extractor,
    /// The recorded value.
    pub value: String,
}

/// One exchange as the rules see it.
#[derive(Debug)]
pub(super) struct Resolved {
    /// Values its response gives.
    pub given: Vec<Given>,
    /// Leaves of its request.
    pub leaves: Vec<Leaf>,
    /// Request body.
    pub body: Vec<u8>,
    /// What sort of page its response is.
    pub kind: PageKind,
}

/// Everything the rules find in a session, by exchange, and which of the recorded users played it.
pub(super) fn resolve(session: &Session, bodies: &dyn BodySource, rules: &RuleSet) -> (Vec<Resolved>, Option<usize>) {
    let mut resolved: Vec<Resolved> = session.exchanges.iter().map(|exchange| unresolved(exchange, bodies)).collect();
    let user = recorded_user(session, &resolved, rules);
    let value = |column: &str| -> Option<String> {
        rules.parameters.iter().find(|p| p.column == column)?.recorded.get(user?).cloned()
    };
    for (exchange, own) in session.exchanges.iter().zip(&mut resolved) {
        let decoded = decoded_response(exchange, bodies);
        let content_type = exchange.response.as_ref().and_then(|r| r.headers.text("content-type"));
        let whole = !exchange.remarks.iter().any(|remark| remark.leaves_out_body_of(Side::Response));
        own.kind = if whole { page_kind(content_type, &decoded) } else { PageKind::Unknown };
        own.given = given(exchange, &decoded, rules, &value);
    }
    (resolved, user)
}

fn unresolved(exchange: &Exchange, bodies: &dyn BodySource) -> Resolved {
    let body = bodies.load(&exchange.request.body, LIMIT_BYTES as u64).unwrap_or_default();
    Resolved { given: Vec::new(), leaves: leaves(&exchange.request, &body), kind: PageKind::Empty, body }
}

fn given(exchange: &Exchange, decoded: &[u8], rules: &RuleSet, user: &dyn Fn(&str) -> Option<String>) -> Vec<Given> {
    let mut given = Vec::new();
    let Some(response) = &exchange.response else { return given };
    let view = ResponseView::new(&response.headers, decoded);
    for (variable, rule) in rules.variables.iter().enumerate() {
        for source in rule.from.iter().filter(|s| s.endpoint.matches(&exchange.request)) {
            if let Some(value) = source.take.extract(&view, user) {
                given.push(Given { variable, extractor: source.take.clone(), value });
            }
        }
    }
    given
}

/// The response's body without content codings; empty when there is none or it cannot be had.
fn decoded_response(exchange: &Exchange, bodies: &dyn BodySource) -> Vec<u8> {
    let Some(response) = &exchange.response else { return Vec::new() };
    let Ok(raw) = bodies.load(&response.body, LIMIT_BYTES as u64) else { return Vec::new() };
    match response.headers.text("content-encoding") {
        None => raw,
        Some(coding) => content::decode(coding, &raw, LIMIT_BYTES).unwrap_or_default(),
    }
}

/// Which of the recorded users (index into each parameter's `recorded`) played this session: the one whose values stand
/// in most slots that the rules name. `None` when none does.
fn recorded_user(session: &Session, resolved: &[Resolved], rules: &RuleSet) -> Option<usize> {
    let users = rules.parameters.iter().map(|p| p.recorded.len()).max()?;
    let mut hits = vec![0usize; users];
    for (exchange, resolved) in session.exchanges.iter().zip(resolved) {
        for parameter in &rules.parameters {
            let places: Vec<&Place> = parameter.into.iter().filter(|p| p.endpoint.matches(&exchange.request)).collect();
            if places.is_empty() {
                continue;
            }
            each_leaf(&resolved.leaves, &mut |leaf| {
                if places.iter().any(|p| p.slot == leaf.path) {
                    for (user, value) in parameter.recorded.iter().enumerate() {
                        hits[user] += usize::from(!occurrences(&leaf.view.text, value).is_empty());
                    }
                }
            });
        }
    }
    let best = (0..users).max_by_key(|user| (hits[*user], usize::MAX - user))?;
    (hits[best] > 0).then_some(best)
}

/// Calls `see` with every leaf, outer ones before the ones inside.
pub(super) fn each_leaf(leaves: &[Leaf], see: &mut impl FnMut(&Leaf)) {
    for leaf in leaves {
        see(leaf);
        each_leaf(&leaf.inside, see);
    }
}
