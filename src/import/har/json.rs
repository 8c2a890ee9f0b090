//! JSON values of one entry, read where they are asked for: nothing is built, nothing must be of the expected type.
//!
//! Main type: [`Value`].

use std::borrow::Cow;

use super::text;

/// Values inside each other; deeper ones are taken for nothing.
const DEPTH: usize = 200;

/// Values at least this long are found by a table.
const LONG_BYTES: usize = 128;

/// Where the long values of an entry begin and end, so that asking for another one does not walk through them again.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By their first byte; those without an end have 0 there.
    long: Vec<(usize, usize)>,
}

impl Table {
    /// Makes the table of an entry, in the room of another one's.
    pub(super) fn fill(&mut self, written: &[u8]) {
        self.long.clear();
        let mut open = Vec::new();
        let mut cursor = Cursor { text: written, at: 0, base: 0, table: &Self::default() };
        while let Some(more) = written[cursor.at..].iter().position(|b| matches!(b, b'"' | b'{' | b'}' | b'[' | b']')) {
            let start = cursor.at + more;
            cursor.at = start;
            match written[start] {
                b'"' => {
                    let known = cursor.string();
                    if known.is_none() {
                        return;
                    }
                    if cursor.at - start >= LONG_BYTES {
                        self.long.push((start, cursor.at));
                    }
                    continue;
                }
                b'{' | b'[' if open.len() >= DEPTH => return,
                b'{' | b'[' => {
                    open.push(self.long.len());
                    self.long.push((start, 0));
                }
                _ => {
                    let Some(place) = open.pop() else { return };
                    let short = start + 1 - self.long[place].0 < LONG_BYTES;
                    if short {
                        self.long.truncate(place);
                    } else {
                        self.long[place].1 = start + 1;
                    }
                }
            }
            cursor.at += 1;
        }
    }

    /// Where the long value that begins here ends.
    fn end(&self, start: usize) -> Option<usize> {
        let found = self.long.binary_search_by_key(&start, |(start, _)| *start).ok()?;
        Some(self.long[found].1).filter(|end| *end > 0)
    }
}

/// One JSON value as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    written: &'a [u8],
    /// Where it stands in the entry.
    at: usize,
    table: &'a Table,
}

impl<'a> Value<'a> {
    /// The value at the start of an entry, for which `table` was filled; none when there is no whole one.
    pub(super) fn of(written: &'a [u8], table: &'a Table) -> Option<Self> {
        Cursor { text: written, at: 0, base: 0, table }.value()
    }

    /// The value at the start of a short text.
    #[cfg(test)]
    pub(super) fn first(written: &'a [u8]) -> Option<Self> {
        static NONE: Table = Table { long: Vec::new() };
        Self::of(written, &NONE)
    }

    /// The object's value of this name; none when there is none, it is `null`, or this is no object.
    pub(super) fn get(self, name: &str) -> Option<Value<'a>> {
        self.fields().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// The first of these names that has a value.
    pub(super) fn any(self, names: &[&str]) -> Option<Value<'a>> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Whether the object has this name, with whatever value.
    pub(super) fn has(self, name: &str) -> bool {
        self.fields().any(|(key, _)| key == name.as_bytes())
    }

    /// Names (as written) and values of an object, in order.
    pub(super) fn fields(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut cursor = self.inside(b'{');
        std::iter::from_fn(move || {
            let cursor = cursor.as_mut()?;
            cursor.separator();
            let key = cursor.value().filter(|key| key.is_string())?;
            cursor.skip_space();
            (cursor.next() == Some(b':')).then_some(())?;
            Some((key.inner(), cursor.value()?))
        })
    }

    /// The values of an array, in order.
    pub(super) fn items(self) -> impl Iterator<Item = Value<'a>> {
        let mut cursor = self.inside(b'[');
        std::iter::from_fn(move || {
            let cursor = cursor.as_mut()?;
            cursor.separator();
            cursor.value()
        })
    }

    fn inside(self, bracket: u8) -> Option<Cursor<'a>> {
        (self.written.first() == Some(&bracket)).then_some(Cursor {
            text: self.written,
            at: 1,
            base: self.at,
            table: self.table,
        })
    }

    /// Whether it is an object.
    pub(super) fn is_object(self) -> bool {
        self.written.first() == Some(&b'{')
    }

    /// Whether it is an array.
    pub(super) fn is_array(self) -> bool {
        self.written.first() == Some(&b'[')
    }

    /// Whether it is a string.
    pub(super) fn is_string(self) -> bool {
        self.written.first() == Some(&b'"')
    }

    fn is_null(self) -> bool {
        self.written == b"null"
    }

    /// True for `true` and for texts that say so.
    pub(super) fn is_true(self) -> bool {
        matches!(self.written, b"true" | b"\"true\"" | b"1")
    }

    /// The inside of a string as it is written.
    pub(super) fn inner(self) -> &'a [u8] {
        let length = self.written.len();
        if self.is_string() && length >= 2 { &self.written[1..length - 1] } else { self.written }
    }

    /// The whole value as it is written.
    pub(super) fn written(self) -> &'a [u8] {
        self.written
    }

    /// Where it stands in the entry.
    pub(super) fn at(self) -> usize {
        self.at
    }

    /// A string's text, or a number or word as it is written; none for the rest.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self.written.first()? {
            b'"' => Some(text::unescaped(self.inner())),
            b'{' | b'[' => None,
            _ if self.is_null() => None,
            _ => Some(String::from_utf8_lossy(self.written)),
        }
    }

    /// A text that is not empty.
    pub(super) fn words(self) -> Option<Cow<'a, str>> {
        self.text().filter(|text| !text.trim().is_empty())
    }

    /// A finite number, also one in a string.
    pub(super) fn number(self) -> Option<f64> {
        let text = self.text()?;
        text.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A number of bytes or the like: whole and not negative.
    pub(super) fn count(self) -> Option<u64> {
        self.number().filter(|number| *number >= 0.0).map(|number| number as u64)
    }
}

/// Walks along a value.
#[derive(Debug)]
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// Where `text` stands in the entry.
    base: usize,
    table: &'a Table,
}

impl<'a> Cursor<'a> {
    fn separator(&mut self) {
        self.skip_space();
        self.at += usize::from(self.text.get(self.at) == Some(&b','));
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(rest.len());
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        self.skip_space();
        let start = self.at;
        match self.text.get(start)? {
            b'"' => self.string()?,
            b'{' | b'[' => self.nested()?,
            b'}' | b']' | b',' | b':' => return None,
            _ => {
                let rest = &self.text[start..];
                let ends =
                    |b: &u8| matches!(b, b',' | b':' | b'}' | b']' | b'"' | b'{' | b'[') || b.is_ascii_whitespace();
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        Some(Value { written: &self.text[start..self.at], at: self.base + start, table: self.table })
    }

    /// To the end that the table knows.
    fn jump(&mut self) -> Option<()> {
        let end = self.table.end(self.base + self.at)?.checked_sub(self.base)?;
        self.at = Some(end).filter(|end| *end > self.at && *end <= self.text.len())?;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        let near = self.text.get(self.at..self.at + LONG_BYTES);
        if near.is_some_and(|near| memchr::memchr2(b'"', b'\\', &near[1..]).is_none()) && self.jump().is_some() {
            return Some(());
        }
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..)?;
            let length = memchr::memchr2(b'"', b'\\', rest)?;
            if rest[length] == b'"' {
                self.at += length + 1;
                return Some(());
            }
            self.at += length + 2;
        }
    }

    fn nested(&mut self) -> Option<()> {
        if self.jump().is_some() {
            return Some(());
        }
        let mut depth = 0_usize;
        loop {
            let rest = self.text.get(self.at..)?;
            let length = rest.iter().position(|b| matches!(b, b'"' | b'{' | b'}' | b'[' | b']'))?;
            self.at += length;
            match rest[length] {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' if depth >= DEPTH => return None,
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name_with_their_place() {
        let text = br#" {"a" : [1, "x\ny", {"b":-2.5e0}] ,"n":null, "t":true,"e":"", "s":"12"}"#;
        let value = Value::first(text).unwrap();
        let items: Vec<Value<'_>> = value.get("a").unwrap().items().collect();
        assert_eq!(items.len(), 3);
        assert_eq!(items[1].text().unwrap(), "x\ny");
        assert_eq!(&text[items[1].at()..][..2], b"\"x");
        assert_eq!(items[2].get("b").unwrap().number(), Some(-2.5));
        assert!(value.get("n").is_none() && value.has("n") && !value.has("z"));
        assert!(value.get("t").unwrap().is_true());
        assert!(value.get("e").unwrap().words().is_none());
        assert_eq!(value.any(&["x", "s"]).unwrap().count(), Some(12));
        assert_eq!(value.get("t").unwrap().fields().count(), 0);
    }

    #[test]
    fn text_that_is_not_json_ends_in_nothing() {
        let text = br#"{"a":[1,"x\"",{"b":{}}],"c":[[]]}"#;
        let mut seed = 7_u64;
        for round in 0..4000_usize {
            let mut bytes = text[..text.len() - round % text.len()].to_vec();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(seed >> 33).unwrap() % bytes.len();
            bytes[at] = b"{}[]\",:\\x1"[usize::try_from(seed >> 50).unwrap() % 10];
            if let Some(value) = Value::first(&bytes) {
                for (_, value) in value.fields() {
                    value.items().for_each(|item| drop((item.text(), item.number(), item.fields().count())));
                }
            }
        }
        assert!(Value::first("[".repeat(DEPTH * 2).as_bytes()).is_none());
    }

    #[test]
    fn the_table_changes_nothing_but_the_way() {
        let text = format!(
            r#"{{"a":[{0}],"s":"{1}","o":{{"x":"{1}\\","y":[]}},"e":"{2}","z":7}}"#,
            "{\"k\":\"v\"},".repeat(50),
            "x".repeat(200),
            "\\\"".repeat(300),
        );
        let mut seed = 7_u64;
        for round in 0..3000_usize {
            let mut bytes = text.clone().into_bytes();
            if round > 0 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = usize::try_from(seed >> 33).unwrap() % bytes.len();
                bytes[at] = b"{}[]\",:\\x1"[usize::try_from(seed >> 50).unwrap() % 10];
            }
            let mut table = Table::default();
            table.fill(&bytes);
            let walk = |value: Option<Value<'_>>| {
                let fields = value.into_iter().flat_map(Value::fields);
                fields
                    .map(|(key, value)| (key.to_vec(), value.written.to_vec(), value.items().count()))
                    .collect::<Vec<_>>()
            };
            let (with, without) = (Value::of(&bytes, &table), Value::first(&bytes));
            if round == 0 {
                assert_eq!(walk(with).len(), 5);
                assert!(table.long.len() >= 5, "{:?}", table.long);
            }
            if let (Some(_), Some(_)) = (with, without) {
                assert_eq!(walk(with), walk(without));
            }
        }
    }
}
