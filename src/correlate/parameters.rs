//! What the recorded user supplied: columns of the data file whose values of one row occur in the requests.

use std::collections::BTreeMap;

use crate::model::DataTable;
use crate::rules::{Leaf, LeafKind, occurrences};

use super::trace::{Trace, each};

/// What the data file explains.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Columns that occur, in file order.
    pub columns: Vec<String>,
    /// Values of each recorded user, one for each of `columns`.
    pub users: Vec<Vec<String>>,
    /// For each session, its user (index in `users`).
    pub user_of: Vec<Option<usize>>,
    /// Slots of each column: (session, exchange, path of the leaf).
    pub slots: Vec<Vec<(usize, usize, String)>>,
}

impl Parameters {
    /// The values of a session's user.
    pub(super) fn values(&self, session: usize) -> &[String] {
        self.user_of.get(session).copied().flatten().and_then(|u| self.users.get(u)).map_or(&[], Vec::as_slice)
    }

    /// Whether a text holds a value of the session's user.
    pub(super) fn in_text(&self, session: usize, text: &str) -> bool {
        self.values(session).iter().any(|v| v.chars().count() >= 3 && !occurrences(text, v).is_empty())
    }
}

/// Finds the row of each session's user and all places where its values stand.
pub(super) fn find(traces: &[Trace<'_>], data: Option<&DataTable>) -> Parameters {
    let Some(data) = data else { return Parameters { user_of: vec![None; traces.len()], ..Parameters::default() } };
    let rows: Vec<Option<usize>> = traces.iter().map(|trace| row_of(trace, data)).collect();
    let used = columns_used(traces, data, &rows);
    let mut parameters = Parameters {
        columns: used.iter().map(|c| data.columns[*c].clone()).collect(),
        slots: vec![Vec::new(); used.len()],
        ..Parameters::default()
    };
    let mut number_of: BTreeMap<usize, usize> = BTreeMap::new();
    for row in &rows {
        let user = row.map(|row| {
            *number_of.entry(row).or_insert_with(|| {
                parameters.users.push(used.iter().map(|c| data.rows[row][*c].clone()).collect());
                parameters.users.len() - 1
            })
        });
        parameters.user_of.push(user);
    }
    for (session, trace) in traces.iter().enumerate() {
        for column in 0..used.len() {
            let Some(value) = parameters.values(session).get(column).cloned() else { continue };
            let typed_at = first_typed(trace, &value);
            for (exchange, leaves) in trace.leaves.iter().enumerate() {
                each(leaves, &mut |leaf| {
                    // A word of the path that stood there before anybody typed it is the application's own.
                    let own_word = leaf.kind == LeafKind::Segment && typed_at.is_none_or(|at| exchange <= at);
                    let in_jar = leaf.path.starts_with("cookie.") && trace.jar_has(exchange, &leaf.name);
                    // What stands in a leaf inside this one is replaced there.
                    let inside = leaf.inside.iter().any(|l| stands_in(l, &value, &parameters.columns[column]));
                    if stands_in(leaf, &value, &parameters.columns[column]) && !own_word && !in_jar && !inside {
                        parameters.slots[column].push((session, exchange, leaf.path.clone()));
                    }
                });
            }
        }
    }
    parameters
}

/// The row whose values the session used: most columns found, at least one value that no other row has.
fn row_of(trace: &Trace<'_>, data: &DataTable) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    let mut texts: Vec<&str> = Vec::new();
    for leaves in &trace.leaves {
        each(leaves, &mut |leaf| {
            if leaf.kind != LeafKind::Segment && leaf.view.text.len() < 100_000 {
                texts.push(&leaf.view.text);
            }
        });
    }
    texts.sort_unstable();
    texts.dedup();
    for (number, row) in data.rows.iter().enumerate() {
        let found = |column: &usize| {
            let value = &row[*column];
            value.chars().count() >= 3 && texts.iter().any(|text| !occurrences(text, value).is_empty())
        };
        let hits: Vec<usize> = (0..row.len()).filter(found).collect();
        let own =
            hits.iter().any(|c| data.rows.iter().enumerate().all(|(n, other)| n == number || other[*c] != row[*c]));
        if own && best.is_none_or(|(_, most)| hits.len() > most) {
            best = Some((number, hits.len()));
        }
    }
    best.map(|(row, _)| row)
}

/// Columns whose value occurs in the session of a user.
fn columns_used(traces: &[Trace<'_>], data: &DataTable, rows: &[Option<usize>]) -> Vec<usize> {
    let occurs = |column: &usize| {
        traces.iter().zip(rows).any(|(trace, row)| {
            let Some(row) = row else { return false };
            let value = &data.rows[*row][*column];
            first_typed(trace, value).is_some()
                || trace.leaves.iter().any(|leaves| {
                    let mut found = false;
                    each(leaves, &mut |leaf| {
                        found |= leaf.kind != LeafKind::Segment && stands_in(leaf, value, &data.columns[*column]);
                    });
                    found
                })
        })
    };
    (0..data.columns.len()).filter(occurs).collect()
}

/// The first exchange in which somebody typed the value: it is the whole of a field.
fn first_typed(trace: &Trace<'_>, value: &str) -> Option<usize> {
    trace.leaves.iter().position(|leaves| {
        let mut found = false;
        each(leaves, &mut |leaf| {
            let field = leaf.kind == LeafKind::Value || leaf.path == "header.authorization.basic";
            found |=
                field && !leaf.path.starts_with("header.referer") && !occurrences(&leaf.view.text, value).is_empty();
        });
        found
    })
}

/// Whether a value of a column stands in a leaf. Short values must be the whole of a leaf with a name like the column's.
fn stands_in(leaf: &Leaf, value: &str, column: &str) -> bool {
    let text = &leaf.view.text;
    if value.is_empty() {
        return false;
    }
    if value.chars().count() < 3 {
        return text == value && super::evidence::names_agree(&leaf.name, column);
    }
    let typed_ahead = text.chars().count() >= 3
        && text.len() < value.len()
        && value.starts_with(text.as_str())
        && matches!(leaf.path.split('.').next(), Some("query" | "form"))
        && text.bytes().any(|b| b.is_ascii_digit());
    typed_ahead || !occurrences(text, value).is_empty()
}
