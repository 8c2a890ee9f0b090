//! URL patterns: `/orders/{}/edit`, `/post.php?post={}&action=edit`. One `{}` is taken, `*` matches anything.

use crate::wire::text::{Encoding, View};
use crate::wire::url;

/// A pattern over path and query. Origins are not compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UrlPattern {
    text: String,
}

impl UrlPattern {
    /// A pattern; `None` unless it starts with `/` and holds `{}` once.
    pub fn new(text: &str) -> Option<Self> {
        (text.starts_with('/') && text.matches("{}").count() == 1).then(|| Self { text: text.to_owned() })
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands at `{}` in a URL (absolute, rooted, or relative to some page), percent-decoded.
    pub fn capture(&self, reference: &str) -> Option<String> {
        let reference = reference.trim().split('#').next().unwrap_or("");
        let (path, query) = match url::split(reference) {
            Some(parts) => (&reference[parts.path.clone()], &reference[parts.query]),
            None if reference.contains([' ', '<', '"', '\n']) => return None,
            None => reference.split_once('?').unwrap_or((reference, "")),
        };
        let (wanted_path, wanted_query) = self.text.split_once('?').unwrap_or((&self.text, ""));
        let mut taken = None;
        if !path.is_empty() {
            match_path(wanted_path, path, &mut taken)?;
        } else if !query.is_empty() && wanted_path.contains("{}") {
            return None;
        }
        match_query(wanted_query, query, &mut taken)?;
        taken
    }
}

/// Segments from the end: a relative reference has fewer than the pattern.
fn match_path(wanted: &str, given: &str, taken: &mut Option<String>) -> Option<()> {
    let wanted: Vec<&str> = wanted.split('/').collect();
    let given: Vec<&str> = given.trim_start_matches("./").split('/').collect();
    let rooted = given.first() == Some(&"");
    if given.len() > wanted.len() || (rooted && given.len() != wanted.len()) {
        return None;
    }
    let wanted = &wanted[wanted.len() - given.len()..];
    // A relative reference must share a literal piece, or any word would match a pattern that ends in `{}`.
    let anchored = rooted || wanted.iter().any(|w| !w.is_empty() && *w != "*" && !w.contains("{}"));
    for (w, g) in wanted.iter().zip(&given) {
        match_piece(w, g, Encoding::UrlPath, taken)?;
    }
    anchored.then_some(())
}

fn match_query(wanted: &str, given: &str, taken: &mut Option<String>) -> Option<()> {
    let given_pairs = url::pairs(given, 0..given.len());
    for pair in url::pairs(wanted, 0..wanted.len()) {
        let (name, value) = (&wanted[pair.name], &wanted[pair.value]);
        let found = given_pairs.iter().find(|p| &given[p.name.clone()] == name)?;
        match_piece(value, &given[found.value.clone()], Encoding::UrlForm, taken)?;
    }
    Some(())
}

fn match_piece(wanted: &str, given: &str, coding: Encoding, taken: &mut Option<String>) -> Option<()> {
    if wanted == "*" || wanted == given {
        return Some(());
    }
    let (before, after) = wanted.split_once("{}")?;
    let inner = given.strip_prefix(before)?.strip_suffix(after)?;
    let view = View::raw(inner.as_bytes())?;
    let decoded = view.percent_decoded(coding).map_or(view.text, |v| v.text);
    if decoded.is_empty() {
        return None;
    }
    *taken = Some(decoded);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_stands_in_the_braces() {
        for (pattern, reference, taken) in [
            ("/orders/{}/edit", "https://h/orders/17/edit#x", Some("17")),
            ("/orders/{}/edit", "/orders/17/view", None),
            ("/orders/{}/edit", "/x/orders/17/edit", None),
            ("/ping/*/{}/", "/ping/page/4/", Some("4")),
            ("/wp-admin/post.php?post={}&action=edit", "post.php?action=edit&post=12", Some("12")),
            ("/wp-admin/post.php?post={}", "/wp-admin/edit.php?post=12", None),
            ("/a?next={}", "/a?next=b%20c", Some("b c")),
            ("/file-{}.png", "/file-9.png", Some("9")),
            ("/a/{}", "/a/", None),
            ("/a?x={}", "?x=1", Some("1")),
            ("/late/{}", "word", None),
        ] {
            assert_eq!(UrlPattern::new(pattern).unwrap().capture(reference).as_deref(), taken, "{pattern} {reference}");
        }
        assert!(UrlPattern::new("/a/b").is_none() && UrlPattern::new("/{}/{}").is_none());
    }
}
