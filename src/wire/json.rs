//! JSON as a lens: every key and leaf with its path and its place in the text, the text itself untouched.

use std::ops::Range;

/// Deepest nesting that is looked into.
const DEPTH: usize = 128;

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// A string; the span is inside the quotes and still escaped.
    String,
    /// A number.
    Number,
    /// `true`, `false` or `null`.
    Word,
    /// A key of an object; the span is inside the quotes.
    Key,
}

/// A key or leaf of a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonLeaf {
    /// Such as `$.items[0].id`; keys that are no plain words stand in brackets and quotes.
    pub path: String,
    /// What it is.
    pub kind: JsonKind,
    /// Where it stands in the text.
    pub span: Range<usize>,
}

/// All leaves of a JSON object or array in text order; `None` when the text is anything else.
pub fn leaves(text: &str) -> Option<Vec<JsonLeaf>> {
    let mut scan = Scan { text, bytes: text.as_bytes(), at: 0, found: Vec::new(), objects: Vec::new() };
    scan.space();
    if !matches!(scan.peek(), Some(b'{' | b'[')) {
        return None;
    }
    scan.value("$".to_owned(), 0)?;
    scan.space();
    (scan.at == scan.bytes.len()).then_some(scan.found)
}

/// Where the objects of a JSON text stand, braces included, inner ones before the ones around them; `None` when the text is
/// no JSON object or array.
pub fn objects(text: &str) -> Option<Vec<Range<usize>>> {
    let mut scan = Scan { text, bytes: text.as_bytes(), at: 0, found: Vec::new(), objects: Vec::new() };
    scan.space();
    scan.value("$".to_owned(), 0)?;
    Some(scan.objects)
}

/// A path with one more key.
pub fn join_key(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain { format!("{path}.{key}") } else { format!("{path}[{}]", serde_json::Value::from(key)) }
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    found: Vec<JsonLeaf>,
    objects: Vec<Range<usize>>,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The span inside the quotes of the string that starts here.
    fn string(&mut self) -> Option<Range<usize>> {
        self.eat(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(start..self.at - 1);
                }
                b'\\' => self.at += 2,
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    fn value(&mut self, path: String, depth: usize) -> Option<()> {
        if depth > DEPTH {
            return None;
        }
        self.space();
        match self.peek()? {
            b'{' => self.object(&path, depth),
            b'[' => self.array(&path, depth),
            b'"' => {
                let span = self.string()?;
                self.found.push(JsonLeaf { path, kind: JsonKind::String, span });
                Some(())
            }
            _ => self.scalar(path),
        }
    }

    fn object(&mut self, path: &str, depth: usize) -> Option<()> {
        let start = self.at;
        self.members(path, depth)?;
        self.objects.push(start..self.at);
        Some(())
    }

    fn members(&mut self, path: &str, depth: usize) -> Option<()> {
        self.eat(b'{')?;
        self.space();
        if self.eat(b'}').is_some() {
            return Some(());
        }
        loop {
            self.space();
            let span = self.string()?;
            let raw = self.text.get(span.clone())?;
            let key: String = serde_json::from_str(&format!("\"{raw}\"")).ok()?;
            let below = join_key(path, &key);
            self.found.push(JsonLeaf { path: below.clone(), kind: JsonKind::Key, span });
            self.space();
            self.eat(b':')?;
            self.value(below, depth + 1)?;
            self.space();
            if self.eat(b'}').is_some() {
                return Some(());
            }
            self.eat(b',')?;
        }
    }

    fn array(&mut self, path: &str, depth: usize) -> Option<()> {
        self.eat(b'[')?;
        self.space();
        if self.eat(b']').is_some() {
            return Some(());
        }
        for index in 0.. {
            self.value(format!("{path}[{index}]"), depth + 1)?;
            self.space();
            if self.eat(b']').is_some() {
                return Some(());
            }
            self.eat(b',')?;
        }
        None
    }

    fn scalar(&mut self, path: String) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            self.at += 1;
        }
        let word = self.text.get(start..self.at)?;
        let kind = match word {
            "true" | "false" | "null" => JsonKind::Word,
            _ if serde_json::from_str::<serde_json::Number>(word).is_ok() => JsonKind::Number,
            _ => return None,
        };
        self.found.push(JsonLeaf { path, kind, span: start..self.at });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_have_paths_and_places() {
        let text = r#" {"a": {"b c": [1, "x\"y"]}, "t": true} "#;
        let found = leaves(text).unwrap();
        let seen: Vec<(&str, JsonKind, &str)> =
            found.iter().map(|l| (l.path.as_str(), l.kind, &text[l.span.clone()])).collect();
        assert_eq!(
            seen,
            [
                ("$.a", JsonKind::Key, "a"),
                ("$.a[\"b c\"]", JsonKind::Key, "b c"),
                ("$.a[\"b c\"][0]", JsonKind::Number, "1"),
                ("$.a[\"b c\"][1]", JsonKind::String, "x\\\"y"),
                ("$.t", JsonKind::Key, "t"),
                ("$.t", JsonKind::Word, "true"),
            ]
        );
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in
            ["", "x", "12", "\"a\"", "{", "{\"a\"}", "[1,]", "{\"a\":1}x", "[01]", "{'a':1}", "[\"\\", "[\"a\n\"]"]
        {
            assert_eq!(leaves(bad), None, "{bad}");
        }
        assert_eq!(leaves(&"[".repeat(100_000)), None);
    }
}
