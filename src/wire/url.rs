//! Targets and URLs taken apart: path segments and query values as ranges of the text.

use std::ops::Range;

/// A name and a value of a query or form, both still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Where the name stands.
    pub name: Range<usize>,
    /// Where the value stands; empty when there is no `=`.
    pub value: Range<usize>,
}

/// The pairs of `a=b&c=d` in `text[range]`.
pub fn pairs(text: &str, range: Range<usize>) -> Vec<Pair> {
    let mut found = Vec::new();
    let mut start = range.start;
    for piece in text[range].split('&') {
        let end = start + piece.len();
        if !piece.is_empty() {
            let equals = piece.find('=').map_or(end, |i| start + i);
            found.push(Pair { name: start..equals, value: (equals + 1).min(end)..end });
        }
        start = end + 1;
    }
    found
}

/// A URL or target in parts, as ranges of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlParts {
    /// `https://host:port`, empty for a target without them.
    pub origin: Range<usize>,
    /// From the first `/` to the query; may be empty.
    pub path: Range<usize>,
    /// Without the `?`; empty when there is none.
    pub query: Range<usize>,
    /// Without the `#`; empty when there is none.
    pub fragment: Range<usize>,
}

impl UrlParts {
    /// The segments of the path, without the slashes; `/a/` has two, the last one empty.
    pub fn segments(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut start = self.path.start;
        let path = &text[self.path.clone()];
        let relative = if let Some(rest) = path.strip_prefix('/') {
            start += 1;
            rest
        } else {
            path
        };
        for piece in relative.split('/') {
            found.push(start..start + piece.len());
            start += piece.len() + 1;
        }
        found
    }
}

/// Takes a URL (`http://…`, `https://…`, `//host/…`) or a target (`/path?query`) apart. `None` for anything else.
pub fn split(text: &str) -> Option<UrlParts> {
    let after_scheme = if text.get(..8).is_some_and(|s| s.eq_ignore_ascii_case("https://")) {
        Some(8)
    } else if text.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("http://")) {
        Some(7)
    } else if text.starts_with("//") {
        Some(2)
    } else {
        None
    };
    let origin_end = match after_scheme {
        Some(start) => text[start..].find(['/', '?', '#']).map_or(text.len(), |i| start + i),
        None if text.starts_with('/') => 0,
        None => return None,
    };
    if after_scheme.is_some_and(|start| start == origin_end) || text.contains([' ', '<', '>', '"', '\n']) {
        return None;
    }
    let fragment_at = text[origin_end..].find('#').map_or(text.len(), |i| origin_end + i);
    let query_at = text[origin_end..fragment_at].find('?').map_or(fragment_at, |i| origin_end + i);
    Some(UrlParts {
        origin: 0..origin_end,
        path: origin_end..query_at,
        query: (query_at + 1).min(fragment_at)..fragment_at,
        fragment: (fragment_at + 1).min(text.len())..text.len(),
    })
}

/// The path and query that a reference (absolute, `//host`, rooted, relative, `?query`) means on a page at `base` (a
/// target in origin form), for the same origin. The fragment is dropped. `None` for other schemes (`mailto:` …).
pub fn resolve_target(base: &str, reference: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or("").trim();
    if let Some(parts) = split(reference) {
        let path = &reference[parts.path.clone()];
        let tail = &reference[parts.path.end..];
        return Some(format!("{}{tail}", if path.is_empty() { "/" } else { path }));
    }
    let base_path = base.split(['?', '#']).next().unwrap_or("/");
    if reference.is_empty() {
        return Some(base.split('#').next().unwrap_or("/").to_owned());
    }
    if reference.starts_with('?') {
        return Some(format!("{base_path}{reference}"));
    }
    let scheme_like = reference.find(':').is_some_and(|colon| !reference[..colon].contains(['/', '?']));
    if scheme_like || reference.contains([' ', '<', '>', '"', '\n']) {
        return None;
    }
    let mut segments: Vec<&str> = base_path.split('/').skip(1).collect();
    segments.pop();
    let (path, tail) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let mut pieces = path.split('/').peekable();
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        match piece {
            "." | ".." => {
                if piece == ".." {
                    segments.pop();
                }
                if last {
                    segments.push("");
                }
            }
            piece => segments.push(piece),
        }
    }
    Some(format!("/{}{tail}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        let text = "https://h:1/a/b%20c/?x=1&y&z=a=b#f";
        let parts = split(text).unwrap();
        assert_eq!(&text[parts.origin.clone()], "https://h:1");
        let segments: Vec<&str> = parts.segments(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(segments, ["a", "b%20c", ""]);
        let found: Vec<(&str, &str)> =
            pairs(text, parts.query.clone()).into_iter().map(|p| (&text[p.name], &text[p.value])).collect();
        assert_eq!(found, [("x", "1"), ("y", ""), ("z", "a=b")]);
        assert_eq!(&text[parts.fragment], "f");
        assert!(split("no url").is_none() && split("https://").is_none() && split("mailto:x").is_none());
    }

    #[test]
    fn references_resolve_like_in_a_browser() {
        for (base, reference, target) in [
            ("/a/b?q=1", "c", Some("/a/c")),
            ("/a/b", "../x?y", Some("/x?y")),
            ("/a/b/", "./", Some("/a/b/")),
            ("/a/b?q=1", "?z=2", Some("/a/b?z=2")),
            ("/a/b?q=1", "", Some("/a/b?q=1")),
            ("/a", "https://h/x?y#z", Some("/x?y")),
            ("/a", "https://h", Some("/")),
            ("/a", "javascript:void(0)", None),
            ("/a", "post.php?post=1&action=edit", Some("/post.php?post=1&action=edit")),
        ] {
            assert_eq!(resolve_target(base, reference).as_deref(), target, "{base} + {reference}");
        }
    }
}
