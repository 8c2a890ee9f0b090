//! Paths into JSON: `$.items[0].id`, `$["odd key"]`.

use serde_json::Value;

/// The scalar at `path` in `text` as it would be typed: strings without quotes, numbers as written.
pub(super) fn lookup(text: &str, path: &str) -> Option<String> {
    let root: Value =
        serde_json::from_str(text.trim_start_matches(['\u{feff}', ')', ']', '}', '\'', ',', '\n'])).ok()?;
    let mut here = &root;
    for step in steps(path)? {
        here = match step {
            Step::Key(key) => here.get(&key)?,
            Step::Index(index) => here.get(index)?,
        };
    }
    match here {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Whether a path can be read.
pub(super) fn is_valid(path: &str) -> bool {
    steps(path).is_some()
}

enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return None;
            }
            found.push(Step::Key(after[..end].to_owned()));
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix("[\"") {
            let mut stream = serde_json::Deserializer::from_str(&rest[1..]).into_iter::<String>();
            found.push(Step::Key(stream.next()?.ok()?));
            rest = after.get(stream.byte_offset().checked_sub(1)?..)?.strip_prefix(']')?;
        } else {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            found.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_scalars() {
        let text = r#"{"a":{"b c":[1,"x"],"n":null},"f":1.50}"#;
        for (path, value) in [
            ("$.a[\"b c\"][1]", Some("x")),
            ("$.a[\"b c\"][0]", Some("1")),
            ("$.f", Some("1.5")),
            ("$.a", None),
            ("$.a.n", None),
            ("$.z", None),
        ] {
            assert_eq!(lookup(text, path).as_deref(), value, "{path}");
        }
        for bad in ["a", "$a", "$.", "$[x]", "$[\"x]"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
