//! What sort of page an answer is, in terms that survive other data: the same function reads recorded and replayed answers.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::rules::{fold_name, form_key, html, looks_like_markup};

use super::script::PageKind;

/// Bodies longer than this are told apart by their media type alone.
const LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The kind of a decoded body with this `Content-Type`.
pub fn page_kind(content_type: Option<&str>, body: &[u8]) -> PageKind {
    let media = content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if body.is_empty() {
        return PageKind::Empty;
    }
    if body.len() <= LIMIT_BYTES
        && let Ok(text) = std::str::from_utf8(body)
    {
        if media == "text/html" || (media.is_empty() && looks_like_markup(text)) {
            return html_kind(text);
        }
        if media.ends_with("json") || (media.is_empty() && text.trim_start().starts_with('{')) {
            return json_kind(text);
        }
    }
    PageKind::Other(media)
}

fn html_kind(text: &str) -> PageKind {
    let page = html::parse(text);
    let forms = page
        .forms
        .iter()
        .map(|form| {
            let key = form_key(form);
            // Filters and lists of choices grow with the data; only a form with no name of its own is told by its fields.
            if key != "*" {
                return format!("{} {key}", form.method);
            }
            let names: BTreeSet<String> = form.fields.iter().map(|f| fold_name(&f.name)).collect();
            let names: Vec<String> = names.into_iter().take(12).collect();
            format!("{} {key} {}", form.method, names.join(","))
        })
        .collect();
    PageKind::Html { forms, asks_password: page.asks_password() }
}

fn json_kind(text: &str) -> PageKind {
    let keys = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(map)) => map.keys().take(100).cloned().collect(),
        _ => BTreeSet::new(),
    };
    PageKind::Json { keys }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_apart_by_structure_not_by_data() {
        let login = page_kind(
            Some("text/html; charset=utf-8"),
            b"<form action=/in method=post><input name=u><input type=password name=p></form>",
        );
        let one = page_kind(Some("text/html"), b"<h1>A</h1><form action=/o/1/x><input name=item-1></form>");
        let two = page_kind(Some("text/html"), b"<h1>B</h1><form action=/o/92/x><input name=item-92></form>");
        assert_eq!(one, two);
        assert_ne!(login, two);
        assert!(matches!(login, PageKind::Html { asks_password: true, .. }));
        assert_eq!(
            page_kind(Some("application/json"), br#"{"b":1,"a":2}"#),
            PageKind::Json { keys: ["a".to_owned(), "b".to_owned()].into() }
        );
        assert_eq!(page_kind(None, b""), PageKind::Empty);
        assert_eq!(page_kind(Some("image/png"), b"\x89"), PageKind::Other("image/png".into()));
    }
}
