//! Findings become rules: edges with the same source and meaning are one variable, places are named by endpoint.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::{
    Endpoint, GeneratorKind, GeneratorRule, Lens, ParameterRule, Place, RuleSet, Source, Unexplained, VariableRule,
    fold_name,
};

use super::parameters::Parameters;
use super::search::{Edge, Findings};
use super::strength::Strength;
use super::trace::Trace;

/// The rule set of all findings; the same findings give the same rules, in the same order.
pub(super) fn assemble(traces: &[Trace<'_>], parameters: &Parameters, findings: Findings) -> RuleSet {
    let endpoints = Endpoints::new(traces, parameters, &findings);
    let mut rules = RuleSet { variables: variables(traces, &endpoints, &findings.edges), ..RuleSet::default() };
    for (column, name) in parameters.columns.iter().enumerate() {
        let into: BTreeSet<Place> =
            parameters.slots[column].iter().map(|(s, e, slot)| endpoints.place(*s, *e, slot)).collect();
        let recorded = parameters.users.iter().map(|user| user[column].clone()).collect();
        let evidence =
            format!("a value of this column stands in {} places of the recording", parameters.slots[column].len());
        rules.parameters.push(ParameterRule {
            column: name.clone(),
            recorded,
            evidence,
            into: into.into_iter().collect(),
        });
    }
    let mut generated: BTreeMap<GeneratorKind, BTreeSet<Place>> = BTreeMap::new();
    for (session, exchange, slot, kind) in &findings.generated {
        generated.entry(*kind).or_default().insert(endpoints.place(*session, *exchange, slot));
    }
    for (kind, into) in generated {
        let evidence = "no response holds these values, and they look like what clients make".to_owned();
        rules.generators.push(GeneratorRule { kind, evidence, into: into.into_iter().collect() });
    }
    let mut unexplained: BTreeMap<Place, (String, String)> = BTreeMap::new();
    for (session, exchange, slot, value, why) in &findings.unexplained {
        unexplained
            .entry(endpoints.place(*session, *exchange, slot))
            .or_insert_with(|| (shortened(value), why.clone()));
    }
    let entries = unexplained.into_iter().map(|(place, (example, why))| Unexplained { place, example, why });
    rules.unexplained = entries.collect();
    rules
}

/// The endpoint of every exchange, with the path segments folded that hold correlated or user values.
struct Endpoints {
    of: Vec<Vec<Endpoint>>,
}

impl Endpoints {
    fn new(traces: &[Trace<'_>], parameters: &Parameters, findings: &Findings) -> Self {
        let mut varying: BTreeSet<(usize, usize, usize)> = BTreeSet::new();
        let index = |slot: &str| slot.strip_prefix("path[").and_then(|p| p.strip_suffix(']')?.parse::<usize>().ok());
        for edge in &findings.edges {
            varying.extend(index(&edge.slot).map(|segment| (edge.session, edge.user, segment)));
        }
        for (session, exchange, slot) in parameters.slots.iter().flatten() {
            varying.extend(index(slot).map(|segment| (*session, *exchange, segment)));
        }
        let of = traces
            .iter()
            .enumerate()
            .map(|(session, trace)| {
                let exchanges = trace.exchanges().iter().enumerate();
                exchanges
                    .map(|(number, e)| Endpoint::with_varying(&e.request, |s| varying.contains(&(session, number, s))))
                    .collect()
            })
            .collect();
        Self { of }
    }

    fn place(&self, session: usize, exchange: usize, slot: &str) -> Place {
        Place { endpoint: self.of[session][exchange].clone(), slot: slot.to_owned() }
    }
}

/// Edges that are one variable: tokens by their name, anything weaker by name and source.
fn variables(traces: &[Trace<'_>], endpoints: &Endpoints, edges: &[Edge]) -> Vec<VariableRule> {
    let mut groups: BTreeMap<(String, String), Vec<&Edge>> = BTreeMap::new();
    for edge in edges {
        let origin = match edge.strength {
            Strength::Strong => String::new(),
            _ if is_own_field(edge) => "field".to_owned(),
            _ => format!("{} {}", endpoints.of[edge.session][edge.source], edge.take),
        };
        groups.entry((edge.key.clone(), origin)).or_default().push(edge);
    }
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut rules = Vec::new();
    for ((key, _), edges) in groups {
        let base = plain_name(&key);
        let name = (1..)
            .map(|n| if n == 1 { base.clone() } else { format!("{base}_{n}") })
            .find(|name| !names.contains(name))
            .unwrap_or(base);
        names.insert(name.clone());
        let mut from = Vec::new();
        let mut into = BTreeSet::new();
        for edge in &edges {
            let source = Source { endpoint: endpoints.of[edge.session][edge.source].clone(), take: edge.take.clone() };
            if !from.contains(&source) {
                from.push(source);
            }
            into.insert(endpoints.place(edge.session, edge.user, &edge.slot));
        }
        from.sort_by_key(|s| (s.endpoint.clone(), s.take.to_string()));
        rules.push(VariableRule {
            name,
            confidence: confidence(&edges),
            evidence: evidence(traces, &edges),
            from,
            into: into.into_iter().collect(),
        });
    }
    rules
}

/// Whether a field of a form goes into the request field of the same name.
fn is_own_field(edge: &Edge) -> bool {
    matches!(edge.take.0.last(), Some(Lens::Form(_, field)) if edge.slot.ends_with(&format!(".{}", fold_name(field))))
}

/// From the best edge: how unlikely the value is, and how well source and slot fit.
fn confidence(edges: &[&Edge]) -> f64 {
    let of = |edge: &&Edge| {
        let base = match edge.strength {
            Strength::Strong => 0.90,
            Strength::Medium => 0.75,
            Strength::Weak | Strength::Inert => 0.55,
        };
        (base + f64::from(edge.score) / 1000.0).min(0.99)
    };
    let best = edges.iter().map(of).fold(0.0, f64::max);
    (best * 100.0).round() / 100.0
}

fn evidence(traces: &[Trace<'_>], edges: &[&Edge]) -> String {
    let first = edges.iter().min_by_key(|e| (e.session, e.user, e.slot.clone())).expect("a group has an edge");
    let exchanges = traces[first.session].exchanges();
    let mut values = 0;
    let mut seen = BTreeSet::new();
    for edge in edges {
        values += usize::from(seen.insert(&edge.value));
    }
    let uses = edges.len();
    format!(
        "exchange {} answered `{}`, exchange {} sent it back in {}; {uses} use{} of {values} value{} in the recording",
        exchanges[first.source].id.0,
        shortened(&first.value),
        exchanges[first.user].id.0,
        first.slot,
        if uses == 1 { "" } else { "s" },
        if values == 1 { "" } else { "s" },
    )
}

/// A name fit for a rules file: letters, digits and underscores.
fn plain_name(key: &str) -> String {
    let name: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let name = name.trim_matches('_').to_owned();
    if name.is_empty() { "value".to_owned() } else { name.chars().take(40).collect() }
}

/// The beginning of a value, enough to recognise it and not enough to use it.
fn shortened(value: &str) -> String {
    let length = value.chars().count();
    if length <= 12 { value.to_owned() } else { format!("{}…", value.chars().take(8).collect::<String>()) }
}
