//! Texts by which a row of a list is recognised as this user's: what they typed, and the bare values of their data row.

use crate::rules::{LeafKind, Part};

use super::parameters::Parameters;
use super::trace::{Trace, each};

/// Longest typed text that is used to mark a row.
const MARK_BYTES: usize = 120;

/// A text that marks what this user made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// As it is shown.
    pub shown: String,
    /// With the data columns named: `Note by {username}`.
    pub template: String,
    /// The exchange in which it was typed first.
    pub since: usize,
}

/// The user's bare values, and the texts holding them that were typed into forms.
pub(super) fn marks(trace: &Trace<'_>, parameters: &Parameters, session: usize) -> Vec<Mark> {
    let values = parameters.columns.iter().zip(parameters.values(session));
    let mut own: Vec<(&str, &str)> =
        values.map(|(c, v)| (c.as_str(), v.as_str())).filter(|(_, v)| v.chars().count() >= 3).collect();
    own.sort_by_key(|(_, value)| usize::MAX - value.len());
    let bare = |(column, value): &(&str, &str)| Mark {
        shown: (*value).to_owned(),
        template: format!("{{{column}}}"),
        since: 0,
    };
    let mut found: Vec<Mark> = own.iter().map(bare).collect();
    for (since, leaves) in trace.leaves.iter().enumerate() {
        each(leaves, &mut |leaf| {
            let text = leaf.view.text.as_str();
            let fits = leaf.kind == LeafKind::Value && leaf.part == Part::Body && leaf.inside.is_empty();
            if fits && text.len() <= MARK_BYTES && !text.contains(['{', '}', '\n']) {
                let template = own.iter().fold(text.to_owned(), |text, (c, v)| text.replace(v, &format!("{{{c}}}")));
                if template != text && found.iter().all(|mark| mark.shown != text) {
                    found.push(Mark { shown: text.to_owned(), template, since });
                }
            }
        });
    }
    found
}
