//! Is the answer like the recorded one? Status, where a redirect leads, and what kind of page it is (pure).

use std::collections::BTreeSet;

use crate::measure::Divergence;
use crate::model::Headers;
use crate::plan::{Expectation, PageKind, fold_path, page_kind};
use crate::wire::url;

/// Pages whose forms, or objects whose keys, have less in common than this are different things.
const LIKENESS: f64 = 0.5;

/// What came back, as far as it is compared.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Status.
    pub status: u16,
    /// Fields.
    pub headers: &'a Headers,
    /// Body without content codings; `None` when it was not kept (or not all of it).
    pub body: Option<&'a [u8]>,
    /// Length of the body as it came.
    pub body_bytes: u64,
}

/// Whether the body must be kept for the comparison.
pub fn needs_body(expect: &Expectation) -> bool {
    expect.redirect.is_none() && matches!(expect.kind, PageKind::Html { .. } | PageKind::Json { .. })
}

/// The most telling difference, if any. `request` is the method and the path that were asked for.
pub fn divergence(expect: &Expectation, seen: &Seen<'_>, (method, path): (&str, &str)) -> Option<Divergence> {
    if seen.status != expect.status {
        // Whether a cached copy is still good depends on the server's data, not on the replay.
        let cached = method == "GET" && matches!((expect.status, seen.status), (200, 304) | (304, 200));
        return (!cached).then_some(Divergence::Status { recorded: expect.status, replayed: seen.status });
    }
    if let Some(recorded) = &expect.redirect {
        let location = seen.headers.text("location").and_then(|to| url::resolve_target(path, to));
        let replayed = location.as_deref().map(fold_path).unwrap_or_default();
        let same = same_place(recorded, &replayed);
        return (!same).then(|| Divergence::Redirect { recorded: recorded.clone(), replayed });
    }
    if method == "HEAD" || seen.status == 304 {
        return None;
    }
    page(&expect.kind, seen)
}

fn page(recorded: &PageKind, seen: &Seen<'_>) -> Option<Divergence> {
    let content_type = seen.headers.text("content-type");
    let media = media_type(content_type);
    let replayed = match (recorded, seen.body) {
        (_, _) if seen.body_bytes == 0 => PageKind::Empty,
        (PageKind::Html { .. } | PageKind::Json { .. }, Some(body)) => page_kind(content_type, body),
        _ => PageKind::Other(media),
    };
    let alike = match (recorded, &replayed) {
        (PageKind::Unknown, _) | (PageKind::Empty, PageKind::Empty) => true,
        (
            PageKind::Html { forms: before, asks_password: asked },
            PageKind::Html { forms: now, asks_password: asks },
        ) => asked == asks && likeness(before, now) >= LIKENESS,
        (PageKind::Json { keys: before }, PageKind::Json { keys: now }) => likeness(before, now) >= LIKENESS,
        // Too long to be looked into: it is what it says it is.
        (PageKind::Html { .. }, PageKind::Other(now)) => is_html(now),
        (PageKind::Json { .. }, PageKind::Other(now)) => is_json(now),
        (PageKind::Other(before), PageKind::Other(now)) => before == now,
        _ => false,
    };
    (!alike).then(|| Divergence::Page { recorded: in_words(recorded), replayed: in_words(&replayed) })
}

/// Jaccard similarity; two empty sets are alike.
fn likeness(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    let common = a.intersection(b).count();
    let all = a.len() + b.len() - common;
    if all == 0 { 1.0 } else { common as f64 / all as f64 }
}

fn in_words(kind: &PageKind) -> String {
    let list = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match kind {
        PageKind::Unknown => "a body that was not recorded".to_owned(),
        PageKind::Empty => "no body".to_owned(),
        PageKind::Html { forms, asks_password } => {
            let what = if *asks_password { "a page that asks for a password" } else { "a page" };
            if forms.is_empty() { what.to_owned() } else { format!("{what} with the forms {}", list(forms)) }
        }
        PageKind::Json { keys } if keys.is_empty() => "JSON".to_owned(),
        PageKind::Json { keys } => format!("JSON with the keys {}", list(keys)),
        PageKind::Other(media) if media.is_empty() => "a body of unnamed type".to_owned(),
        PageKind::Other(media) => media.clone(),
    }
}

/// The media type without parameters, in lower case; empty when there is none.
fn media_type(content_type: Option<&str>) -> String {
    content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn is_html(media: &str) -> bool {
    media == "text/html"
}

fn is_json(media: &str) -> bool {
    media.ends_with("json")
}

/// Whether a path is the recorded one, whose folded segments stand for anything.
fn same_place(recorded: &str, replayed: &str) -> bool {
    recorded.split('/').count() == replayed.split('/').count()
        && recorded.split('/').zip(replayed.split('/')).all(|(before, now)| before == "{}" || before == now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> Headers {
        Headers(list.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect())
    }

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|i| (*i).to_owned()).collect()
    }

    fn compared(expect: &Expectation, status: u16, fields: &[(&str, &str)], body: &[u8]) -> Option<Divergence> {
        let headers = headers(fields);
        let body_bytes = body.len() as u64;
        let seen = Seen { status, headers: &headers, body: Some(body), body_bytes };
        divergence(expect, &seen, ("GET", "/shop/cart"))
    }

    #[test]
    fn another_status_is_a_divergence_unless_a_cache_explains_it() {
        let expect = |status| Expectation { status, redirect: None, kind: PageKind::Empty };
        assert_eq!(compared(&expect(304), 200, &[("content-type", "text/css")], b"a{}"), None);
        assert_eq!(compared(&expect(200), 304, &[], b""), None);
        let diverged = Some(Divergence::Status { recorded: 200, replayed: 403 });
        assert_eq!(compared(&expect(200), 403, &[], b""), diverged);
        assert_eq!(compared(&expect(204), 204, &[], b""), None);
    }

    #[test]
    fn redirects_are_compared_by_folded_path_whatever_form_they_have() {
        let expect = Expectation { status: 302, redirect: Some("/shop/done".into()), kind: PageKind::Empty };
        for same in ["/shop/done", "done", "done?x=1", "http://other.test:81/shop/done#f"] {
            assert_eq!(compared(&expect, 302, &[("Location", same)], b"moved"), None, "{same}");
        }
        for (other, path) in [("/login", "/login"), ("http://h/", "/"), ("/shop/17", "/shop/{}")] {
            let diverged = Some(Divergence::Redirect { recorded: "/shop/done".into(), replayed: path.to_owned() });
            assert_eq!(compared(&expect, 302, &[("Location", other)], b""), diverged, "{other}");
        }
        assert!(compared(&expect, 302, &[], b"").is_some());
        let expect = Expectation { redirect: Some("/users/{}/orders/{}".into()), ..expect };
        assert_eq!(compared(&expect, 302, &[("Location", "/users/ada/orders/17")], b""), None);
        assert!(compared(&expect, 302, &[("Location", "/users/ada/carts/17")], b"").is_some());
    }

    #[test]
    fn any_page_is_as_good_as_one_that_was_not_recorded() {
        let expect = Expectation { status: 200, redirect: None, kind: PageKind::Unknown };
        for (media, body) in [("image/png", &b"\x89PNG"[..]), ("text/html", b"<h1>Hi</h1>"), ("text/html", b"")] {
            assert_eq!(compared(&expect, 200, &[("Content-Type", media)], body), None, "{media}");
        }
        assert!(compared(&expect, 500, &[], b"").is_some(), "its status still counts");
    }

    #[test]
    fn a_login_page_in_place_of_a_page_is_seen() {
        let kind = PageKind::Html { forms: BTreeSet::new(), asks_password: false };
        let expect = Expectation { status: 200, redirect: None, kind };
        let html = [("Content-Type", "text/html; charset=utf-8")];
        assert_eq!(compared(&expect, 200, &html, b"<h1>Welcome, Ada</h1>"), None);
        let login = b"<form method=post action=/login><input name=user><input type=password name=pw></form>";
        assert!(matches!(compared(&expect, 200, &html, login), Some(Divergence::Page { .. })));
        assert!(matches!(compared(&expect, 200, &html, b""), Some(Divergence::Page { .. })));
        let json = [("Content-Type", "application/json")];
        assert!(matches!(compared(&expect, 200, &json, b"{}"), Some(Divergence::Page { .. })));
    }

    #[test]
    fn json_is_known_by_its_keys_and_everything_else_by_its_type() {
        let expect =
            Expectation { status: 200, redirect: None, kind: PageKind::Json { keys: set(&["id", "name", "price"]) } };
        let json = [("Content-Type", "application/json")];
        assert_eq!(compared(&expect, 200, &json, br#"{"id":1,"name":"a","cost":2}"#), None);
        let error = compared(&expect, 200, &json, br#"{"error":"no"}"#);
        assert!(matches!(error, Some(Divergence::Page { .. })), "{error:?}");
        let expect = Expectation { status: 200, redirect: None, kind: PageKind::Other("image/png".into()) };
        assert_eq!(compared(&expect, 200, &[("Content-Type", "image/PNG;x=1")], b"1"), None);
        assert!(compared(&expect, 200, &[("Content-Type", "text/html")], b"<p>").is_some());
    }

    #[test]
    fn a_body_too_long_to_keep_is_taken_at_its_word() {
        let expect = Expectation { status: 200, redirect: None, kind: PageKind::Json { keys: set(&["a"]) } };
        let headers = headers(&[("Content-Type", "application/problem+json")]);
        let seen = Seen { status: 200, headers: &headers, body: None, body_bytes: 1 << 30 };
        assert_eq!(divergence(&expect, &seen, ("GET", "/")), None);
    }
}
