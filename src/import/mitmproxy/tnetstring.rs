//! Typed netstrings as mitmproxy writes them: `11:hello world,`, lists and dictionaries nested by length.
//!
//! A value is a slice of its record, looked into when it is asked: nothing is copied and nothing recurses, so that depth
//! costs nothing. What is malformed inside is as if it were not there. Source: mitmproxy/io/tnetstring.py.

/// Most digits of a length.
pub(super) const LENGTH_DIGITS: usize = 12;

/// The tag of a dictionary.
pub(super) const DICTIONARY: u8 = b'}';

/// A value: what stands between the colon and the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    tag: u8,
    bytes: &'a [u8],
}

impl<'a> Value<'a> {
    /// A dictionary of which the outside was read already.
    pub(super) fn dictionary(bytes: &'a [u8]) -> Self {
        Self { tag: DICTIONARY, bytes }
    }

    /// The value of a key. None as well when it is null, or this is no dictionary.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        let mut rest = if self.tag == DICTIONARY { self.bytes } else { &[] };
        while let Some((name, behind)) = first(rest) {
            let (value, behind) = first(behind)?;
            if name.bytes == key.as_bytes() {
                return (value.tag != b'~').then_some(value);
            }
            rest = behind;
        }
        None
    }

    /// The value of the first of several keys that is there. Older versions had other names.
    pub(super) fn any(self, keys: &[&str]) -> Option<Self> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// The items of a list; none when it is no list.
    pub(super) fn items(self) -> Items<'a> {
        Items(if self.is_list() { self.bytes } else { &[] })
    }

    pub(super) fn is_list(self) -> bool {
        self.tag == b']'
    }

    /// Bytes or text.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        matches!(self.tag, b',' | b';').then_some(self.bytes)
    }

    /// Bytes or text that is UTF-8.
    pub(super) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// What was written, whatever it is.
    pub(super) fn written(self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn integer(self) -> Option<u64> {
        if self.tag != b'#' { None } else { std::str::from_utf8(self.bytes).ok()?.parse().ok() }
    }

    pub(super) fn is_true(self) -> bool {
        self.tag == b'!' && self.bytes == b"true"
    }

    /// Seconds since the epoch in nanoseconds, down to the last digit that was written. None for 0, by which some versions
    /// mean that they do not know.
    pub(super) fn moment(self) -> Option<u64> {
        if !matches!(self.tag, b'^' | b'#') {
            return None;
        }
        let text = std::str::from_utf8(self.bytes).ok()?;
        decimal(text).or_else(|| by_float(text)).filter(|nanos| *nanos > 0)
    }
}

/// The items of a list.
#[derive(Clone, Debug)]
pub(super) struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (value, rest) = first(self.0)?;
        self.0 = rest;
        Some(value)
    }
}

/// The value that `bytes` starts with, and what stands behind it.
fn first(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (length, rest) = length(bytes)?;
    let (inside, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let (&tag, rest) = rest.split_first()?;
    Some((Value { tag, bytes: inside }, rest))
}

/// The length that `bytes` starts with, and what stands behind its colon.
pub(super) fn length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take(LENGTH_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=LENGTH_DIGITS).contains(&digits) || bytes.get(digits) != Some(&b':') {
        return None;
    }
    let length = bytes[..digits].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some((length, &bytes[digits + 1..]))
}

fn decimal(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().map(|digit| u64::from(digit - b'0')).chain(std::iter::repeat(0)).take(9);
    let nanos = digits.fold(0, |sum, digit| sum * 10 + digit);
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn by_float(text: &str) -> Option<u64> {
    let seconds: f64 = text.parse().ok()?;
    (seconds.is_finite() && (0.0..1.8e10).contains(&seconds)).then_some((seconds * 1e9) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_keys_and_kinds() {
        let bytes = b"1:a;5:hello,1:n;2:42#4:none;0:~4:flag;4:true!4:list;11:1:x,0:~1:7#]";
        let value = Value::dictionary(bytes);
        assert_eq!(value.get("a").and_then(Value::bytes), Some(&b"hello"[..]));
        assert_eq!(value.get("n").and_then(Value::integer), Some(42));
        assert_eq!((value.get("none"), value.get("missing")), (None, None));
        assert!(value.get("flag").is_some_and(Value::is_true));
        let list: Vec<Value<'_>> = value.get("list").map(|list| list.items().collect()).unwrap_or_default();
        assert_eq!((list.len(), list[0].text(), list[2].integer()), (3, Some("x"), Some(7)));
        assert_eq!(value.any(&["missing", "n"]).and_then(Value::integer), Some(42));
        assert_eq!(value.get("n").and_then(Value::text), None);
    }

    #[test]
    fn malformed_values_end_what_they_stand_in() {
        for bytes in [
            &b"1:a;9:short,"[..],
            b"1:a;",
            b"1:a",
            b":a;1:b,",
            b"x",
            b"1:a;99999999999999999999:b,",
            b"1:a;18446744073709551615:b,",
            b"-1:a;1:b,",
        ] {
            assert_eq!(Value::dictionary(bytes).get("a"), None, "{bytes:?}");
        }
        let items = Value { tag: b']', bytes: b"1:x,1:y,7:z," }.items();
        assert_eq!(items.count(), 2);
    }

    #[test]
    fn moments_keep_every_digit_that_was_written() {
        for (text, nanos) in [
            ("1690283275.615766", Some(1_690_283_275_615_766_000)),
            ("1731596382.2251546", Some(1_731_596_382_225_154_600)),
            ("1612375501", Some(1_612_375_501_000_000_000)),
            ("1.6e9", Some(1_600_000_000_000_000_000)),
            ("0.1234567899", Some(123_456_789)),
            ("0.0", None),
            ("-5.0", None),
            ("nan", None),
            ("inf", None),
            ("1e300", None),
            ("99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(Value { tag: b'^', bytes: text.as_bytes() }.moment(), nanos, "{text}");
        }
    }
}
