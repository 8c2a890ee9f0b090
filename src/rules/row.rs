//! Rows: the stretch of a page or JSON text that is about what a user made, found by a value only this user has.

use crate::wire::{json, rows};

use super::lens::looks_like_markup;

/// An element up to this length may be a row however short the page is; a longer one only up to a quarter of the page.
const ROW_BYTES: usize = 4096;

/// Rows that hold `value`, the smallest first for each place where it stands.
pub(super) fn rows(text: &str, value: &str) -> Vec<String> {
    if value.is_empty() || !text.contains(value) {
        return Vec::new();
    }
    if looks_like_markup(text) {
        let small = |range: &std::ops::Range<usize>| range.len() <= ROW_BYTES.max(text.len() / 4);
        return rows::rows(text, value).into_iter().filter(small).map(|range| text[range].to_owned()).collect();
    }
    let objects = json::objects(text).unwrap_or_default();
    let within_list = |range: &std::ops::Range<usize>| range.len() < text.trim().len();
    objects
        .into_iter()
        .filter(|range| within_list(range) && text[range.clone()].contains(value))
        .map(|range| text[range].to_owned())
        .collect()
}

/// A text with every `{column}` replaced by the user's value; `None` when a column is unknown or empty.
pub(super) fn filled(template: &str, user: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (column, behind) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(&user(column).filter(|value| !value.is_empty())?);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_rows_are_the_objects_around_a_value() {
        let text = r#"{"items":[{"id":1,"t":"x"},{"id":2,"t":"by ann","by":{"n":"ann"}}]}"#;
        assert_eq!(rows(text, "ann"), [r#"{"n":"ann"}"#, r#"{"id":2,"t":"by ann","by":{"n":"ann"}}"#]);
    }

    #[test]
    fn columns_are_filled_in() {
        let user = |column: &str| (column == "tag").then(|| "t1".to_owned());
        assert_eq!(filled("by {tag}!", &user).as_deref(), Some("by t1!"));
        assert_eq!(filled("by {name}", &user), None);
        assert_eq!(filled("by {tag", &user), None);
    }
}
