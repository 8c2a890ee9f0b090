//! Is it the source? How well a place in a response fits a slot of a request, and whether that is evidence enough.

use crate::model::Exchange;
use crate::rules::{Leaf, LeafKind, Lens, url};

use super::Prior;
use super::atoms::{Atom, Kind, UrlPart};
use super::prior::is_known_token;
use super::search::Search;
use super::strength::Strength;
use super::trace::Across;

impl Search<'_, '_> {
    /// How well a place in a response fits a slot, 0 to 100.
    pub(super) fn score(&self, i: usize, leaf: &Leaf, j: usize, atom: &Atom) -> i32 {
        let slot_name = slot_name(leaf, self.exchange(i));
        let agrees = names_agree(&slot_name, &atom.key);
        let bonus = |points: i32| if agrees { points } else { 0 };
        match &atom.kind {
            Kind::Field { action, hidden, .. } => {
                let same_name = !leaf.name.is_empty() && atom.key == leaf.name;
                let fits = action.as_deref().is_some_and(|a| self.action_fits(i, j, a));
                match (hidden, same_name, fits) {
                    (true, true, true) => 100,
                    (true, true, false) => 92,
                    (false, true, true) => 75,
                    (true, false, _) => 50 + bonus(15),
                    (false, true, false) => 60,
                    (false, false, _) => 25,
                }
            }
            Kind::Meta => 80 + bonus(8),
            Kind::Header => {
                let validator = (leaf.path == "header.if-none-match" && atom.key.eq_ignore_ascii_case("etag"))
                    || (leaf.path == "header.if-modified-since" && atom.key.eq_ignore_ascii_case("last-modified"));
                let same_target = self.exchange(i).request.target == self.exchange(j).request.target;
                match (validator, same_target) {
                    (true, true) => 100,
                    (true, false) => 10,
                    _ => 70 + bonus(15),
                }
            }
            Kind::Cookie => 66 + bonus(15),
            Kind::Json { in_list } => 66 + bonus(20) - if *in_list { 25 } else { 0 },
            Kind::Script => 62 + bonus(20),
            Kind::Url(part) => {
                let base = String::from_utf8_lossy(&self.exchange(j).request.target);
                let here = String::from_utf8_lossy(&self.exchange(i).request.target);
                let own = leaf.url.as_deref().and_then(|own| url::resolve_target(&here, own)).unwrap_or_default();
                let target = url::resolve_target(&base, &part.reference).unwrap_or_default();
                let path = |t: &str| t.split('?').next().unwrap_or("").to_owned();
                let same_part = match &part.part {
                    UrlPart::Query(name) => leaf.kind == LeafKind::Value && *name == leaf.name,
                    UrlPart::SegmentFromEnd(_) => leaf.kind == LeafKind::Segment,
                };
                let base_score = if leaf.url.is_none() {
                    48 + bonus(12)
                } else if !same_part {
                    45 + bonus(12)
                } else if target == own {
                    90
                } else if path(&target) == path(&own) {
                    80
                } else if same_neighbours(&path(&target), &path(&own), &atom.value) {
                    72
                } else {
                    45 + bonus(12)
                };
                base_score + if part.is_location { 4 } else { 0 }
            }
            Kind::Attribute => 52 + bonus(15),
            Kind::FieldName => {
                if leaf.kind == LeafKind::Name {
                    85
                } else {
                    50
                }
            }
        }
    }

    fn action_fits(&self, i: usize, j: usize, action: &str) -> bool {
        let base = String::from_utf8_lossy(&self.exchange(j).request.target);
        let own = String::from_utf8_lossy(&self.exchange(i).request.target);
        let path = |t: &str| t.split('?').next().unwrap_or("").to_owned();
        url::resolve_target(&base, action).is_some_and(|target| path(&target) == path(&own))
    }

    #[expect(clippy::too_many_arguments, reason = "one decision over all the evidence")]
    pub(super) fn accepts(
        &self,
        i: usize,
        leaf: &Leaf,
        class: Strength,
        across: Across,
        score: i32,
        j: usize,
        atom: &Atom,
    ) -> bool {
        let born = self.is_born(j, atom);
        if self.context.trace.is_asset(i) {
            let enough = class >= Strength::Medium || score >= 90;
            return born && enough && score >= 60 && !self.context.trace.is_build_asset(i);
        }
        let flag =
            matches!(atom.value.as_str(), "0" | "1") && leaf.path.contains("query.") && !ends_with_id(&leaf.name);
        if flag {
            return false;
        }
        let known = self.context.prior == Prior::KnownTokens && is_known_token(&slot_name(leaf, self.exchange(i)));
        let varies = across == Across::Varies;
        match class {
            Strength::Inert => false,
            Strength::Strong => score >= 40,
            Strength::Medium => {
                (score >= 50 && (born || self.is_fresh_key(i, atom)))
                    || score >= 84
                    || (known && score >= 60)
                    || (varies && score >= 40)
            }
            Strength::Weak => {
                let submitted = match atom.kind {
                    Kind::Field { hidden: true, .. } => score >= 92,
                    // An open field sent as it was rendered was not touched; words in it are choices, numbers are state.
                    Kind::Field { hidden: false, .. } => score == 75 && is_number(&atom.value),
                    _ => false,
                };
                let by_key = score >= 86 && matches!(atom.kind, Kind::Json { in_list: false }) && is_id(&atom.key);
                let both_ids = ends_with_id(&slot_name(leaf, self.exchange(i))) && ends_with_id(&atom.key);
                (submitted && !self.is_constant_field(atom))
                    || (born && (score >= 70 || (both_ids && score >= 60)))
                    || (varies && score >= 40)
                    || (known && score >= 66 && !self.is_constant_field(atom))
                    || by_key
                    || (score >= 50 && (both_ids || score >= 65) && self.is_fresh_key(i, atom))
            }
        }
    }

    /// Whether a place is likely enough to be the source if it stands in a row about this user.
    pub(super) fn fits_row(&self, i: usize, leaf: &Leaf, score: i32, atom: &Atom) -> bool {
        let slot = slot_name(leaf, self.exchange(i));
        let named = names_agree(&slot, &atom.key) || (ends_with_id(&slot) && ends_with_id(&atom.key));
        match atom.kind {
            Kind::Url(_) => leaf.url.is_some() && score >= 72,
            Kind::Field { .. } => !leaf.name.is_empty() && atom.key == leaf.name,
            Kind::Json { .. } | Kind::Attribute => named,
            _ => false,
        }
    }

    /// Whether a value first came up, in places like this one, in an answer that depends on this user.
    fn is_born(&self, j: usize, atom: &Atom) -> bool {
        let context = place_like(atom);
        let first = self
            .index
            .get(atom.value.as_str())
            .into_iter()
            .flatten()
            .filter(|(_, other)| place_like(other) == context)
            .map(|(first, _)| *first)
            .min()
            .unwrap_or(j);
        self.is_personal(first, atom)
    }

    /// Whether a value under a key of its own (hidden field, script, JSON, meta) had not come up anywhere, in answers or
    /// requests, before the answer that first held it.
    fn is_fresh_key(&self, i: usize, atom: &Atom) -> bool {
        let keyed = matches!(
            atom.kind,
            Kind::Field { hidden: true, .. } | Kind::Script | Kind::Json { in_list: false } | Kind::Meta
        );
        let first = self.index.get(atom.value.as_str()).into_iter().flatten().map(|(j, _)| *j).min();
        let sent = |before: usize| {
            self.sent.get(atom.value.as_str()).is_some_and(|uses| uses.iter().any(|(i, _)| *i <= before))
        };
        keyed && first.is_some_and(|first| first < i && !sent(first))
    }

    fn is_personal(&self, j: usize, atom: &Atom) -> bool {
        if self.depends[j] {
            return true;
        }
        // A page that a form post answers with directly also holds everything that any page holds.
        let page = matches!(atom.kind, Kind::Url(ref u) if !u.is_location)
            && !atom.lenses.iter().any(|l| matches!(l, Lens::Json(_)))
            && self
                .exchange(j)
                .response
                .as_ref()
                .is_some_and(|r| r.headers.text("content-type").is_some_and(|t| t.starts_with("text/html")));
        self.context.trace.creates(j) && !page
    }

    /// A field rendered several times with the same `0` or `1` is a setting, not a token.
    fn is_constant_field(&self, atom: &Atom) -> bool {
        if !matches!(atom.value.as_str(), "0" | "1") {
            return false;
        }
        self.fields.get(atom.key.as_str()).is_none_or(|values| values.len() <= 1)
    }
}

/// The name under which a slot is compared with sources: the field's, or the path segment before it.
pub(super) fn slot_name(leaf: &Leaf, exchange: &Exchange) -> String {
    if let Some(index) = leaf.path.strip_prefix("path[").and_then(|p| p.strip_suffix(']')?.parse::<usize>().ok()) {
        let target = String::from_utf8_lossy(&exchange.request.target);
        let path = target.split('?').next().unwrap_or("");
        let before = index.checked_sub(1).and_then(|b| path.split('/').skip(1).nth(b)).unwrap_or("");
        return format!("{}_id", before.trim_end_matches('s'));
    }
    leaf.name.clone()
}

/// Places that mean the same thing: the same field, key, or URL but for its numbers.
fn place_like(atom: &Atom) -> String {
    match &atom.kind {
        Kind::Url(part) => {
            let path = part.reference.split("://").last().unwrap_or("");
            let folded: Vec<String> = path
                .split(['/', '&'])
                .map(|p| if p.bytes().any(|b| b.is_ascii_digit()) { crate::rules::fold_name(p) } else { p.to_owned() })
                .collect();
            format!("url {:?} {}", part.part, folded.join("/"))
        }
        Kind::Field { .. } => format!("field {}", atom.key),
        Kind::FieldName => format!("name {}", atom.key),
        Kind::Json { .. } | Kind::Script => format!("key {}", atom.key),
        other => format!("{other:?} {}", atom.key),
    }
}

/// Whether two paths have the same words around the value: `/orders/17/edit` and `/orders/17/view`.
fn same_neighbours(one: &str, other: &str, value: &str) -> bool {
    let before = |path: &str| -> Option<String> {
        let segments: Vec<&str> = path.split('/').collect();
        let at = segments.iter().position(|s| *s == value)?;
        at.checked_sub(1).map(|b| segments[b].to_owned()).filter(|s| !s.is_empty())
    };
    before(one).is_some_and(|word| before(other) == Some(word))
}

fn is_number(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_digit())
}

fn is_id(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["id", "pk", "uuid"].iter().any(|end| lower.ends_with(end))
}

fn ends_with_id(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_id(name) || ["number", "no", "key", "ref", "version"].iter().any(|end| lower.ends_with(end))
}

/// Whether two names may mean the same: equal or one inside the other, punctuation aside; or both are anti-forgery tokens.
pub(super) fn names_agree(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let (a, b) = (plain(one), plain(other));
    if a.len() < 2 || b.len() < 2 {
        return !a.is_empty() && a == b;
    }
    let anti_forgery = |n: &str| n.contains("csrf") || n.contains("xsrf") || n.contains("nonce") || n.contains("token");
    a.contains(&b)
        || b.contains(&a)
        || (anti_forgery(&a) && anti_forgery(&b))
        || (ends_with_id(&a) && (b == "id" || b == "pk"))
}
