//! A text seen through its encodings: percent, backslash and HTML escapes undone, again and again, each decoded byte knowing
//! where it stands. What is written into a decoded level is written into the raw text in the same encoding and length.

use std::ops::Range;

use memchr::memchr3;

/// Deepest nesting of encodings that is undone.
const DEPTH: usize = 4;

/// A text and what it decodes to.
#[derive(Debug)]
pub(super) struct Levels<'a> {
    raw: &'a [u8],
    decoded: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    bytes: Vec<u8>,
    /// Where each byte stands in the level below; bytes of one escape share it.
    places: Vec<(u32, u8)>,
}

impl<'a> Levels<'a> {
    /// Decodes as deep as there is something to decode.
    pub(super) fn of(raw: &'a [u8]) -> Self {
        let mut levels = Self { raw, decoded: Vec::new() };
        while levels.decoded.len() < DEPTH
            && let Some(level) = Level::above(levels.top())
        {
            levels.decoded.push(level);
        }
        levels
    }

    /// How many there are, with the raw text; at least one.
    pub(super) fn count(&self) -> usize {
        self.decoded.len() + 1
    }

    /// The bytes of one; 0 is the raw text.
    pub(super) fn bytes(&self, level: usize) -> &[u8] {
        match level.checked_sub(1) {
            None => self.raw,
            Some(above) => self.decoded.get(above).map_or(&[], |level| &level.bytes),
        }
    }

    /// The text with all encodings undone.
    pub(super) fn top(&self) -> &[u8] {
        self.bytes(self.decoded.len())
    }

    /// Where a range of a level stands in the raw text.
    pub(super) fn raw_range(&self, level: usize, range: Range<usize>) -> Range<usize> {
        let mut range = range;
        for level in self.decoded.iter().take(level).rev() {
            let place = |at: usize| level.places.get(at).copied();
            let (Some(first), Some(last)) = (place(range.start), place(range.end.saturating_sub(1))) else {
                return 0..0;
            };
            range = first.0 as usize..last.0 as usize + usize::from(last.1);
        }
        range
    }

    /// Writes `new` over the bytes of a level from `at`, into `out`, a copy of the raw text. False when one of them cannot be
    /// written in the encoding and length that it has there.
    #[must_use]
    pub(super) fn overwrite(&self, level: usize, at: usize, new: &[u8], out: &mut [u8]) -> bool {
        let Some(above) = level.checked_sub(1) else {
            return out.get_mut(at..at + new.len()).map(|place| place.copy_from_slice(new)).is_some();
        };
        let places = &self.decoded[above].places;
        let mut done = 0;
        let mut whole = true;
        while done < new.len() {
            let Some(&(start, length)) = places.get(at + done) else { return false };
            let same = new.len().min(done + places[at + done..].iter().take_while(|place| place.0 == start).count());
            let (now, was) = (&new[done..same], self.bytes(level).get(at + done..at + same).unwrap_or_default());
            let (start, form) = (start as usize, start as usize..start as usize + usize::from(length));
            if length == 1 {
                whole &= self.overwrite(above, start, now, out);
            } else if now != was {
                match encode(&self.bytes(above)[form], now) {
                    Some(written) => whole &= self.overwrite(above, start, &written, out),
                    None => whole = false,
                }
            }
            done = same;
        }
        whole
    }
}

impl Level {
    fn above(below: &[u8]) -> Option<Self> {
        memchr3(b'%', b'\\', b'&', below)?;
        let mut level = Self { bytes: Vec::with_capacity(below.len()), places: Vec::with_capacity(below.len()) };
        let mut at = 0;
        let mut any = false;
        while at < below.len() {
            let here = u32::try_from(at).ok()?;
            match escape(&below[at..]) {
                Some((decoded, length)) => {
                    any = true;
                    decoded.bytes().iter().for_each(|byte| level.push(*byte, here, length));
                    at += usize::from(length);
                }
                None => {
                    level.push(below[at], here, 1);
                    at += 1;
                }
            }
        }
        any.then_some(level)
    }

    fn push(&mut self, byte: u8, at: u32, length: u8) {
        self.bytes.push(byte);
        self.places.push((at, length));
    }
}

/// What an escape stands for.
enum Decoded {
    Byte([u8; 1]),
    Char([u8; 4], usize),
}

impl Decoded {
    fn char(code: u32) -> Option<Self> {
        let mut room = [0; 4];
        let length = char::from_u32(code)?.encode_utf8(&mut room).len();
        Some(Self::Char(room, length))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Byte(byte) => byte,
            Self::Char(bytes, length) => &bytes[..*length],
        }
    }
}

/// The escape that `text` begins with, and its length.
fn escape(text: &[u8]) -> Option<(Decoded, u8)> {
    match text[0] {
        b'%' => Some((Decoded::Byte([u8::try_from(hex(text.get(1..3)?)?).ok()?]), 3)),
        b'\\' => backslash(text),
        b'&' => entity(text),
        _ => None,
    }
}

fn backslash(text: &[u8]) -> Option<(Decoded, u8)> {
    let plain = |byte: u8| Some((Decoded::Byte([byte]), 2));
    match *text.get(1)? {
        byte @ (b'"' | b'\\' | b'/' | b'\'') => plain(byte),
        b'n' => plain(b'\n'),
        b'r' => plain(b'\r'),
        b't' => plain(b'\t'),
        b'x' => Some((Decoded::char(hex(text.get(2..4)?)?)?, 4)),
        b'u' => {
            let first = hex(text.get(2..6)?)?;
            if let 0xd800..=0xdbff = first {
                let low = text.get(6..12).filter(|low| low.starts_with(b"\\u")).and_then(|low| hex(&low[2..]))?;
                let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                return Some((Decoded::char(0x10000 + ((first - 0xd800) << 10) + low)?, 12));
            }
            Some((Decoded::char(first)?, 6))
        }
        _ => None,
    }
}

fn entity(text: &[u8]) -> Option<(Decoded, u8)> {
    let end = text.iter().take(10).position(|byte| *byte == b';')?;
    let length = u8::try_from(end + 1).ok()?;
    let byte = |byte| Some((Decoded::Byte([byte]), length));
    match &text[1..end] {
        b"amp" => byte(b'&'),
        b"lt" => byte(b'<'),
        b"gt" => byte(b'>'),
        b"quot" => byte(b'"'),
        b"apos" => byte(b'\''),
        [b'#', b'x' | b'X', digits @ ..] => Some((Decoded::char(hex(digits)?)?, length)),
        [b'#', digits @ ..] => {
            let code = digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok())??;
            Some((Decoded::char(code.parse().ok()?)?, length))
        }
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 7 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| Some((sum << 4) | char::from(*digit).to_digit(16)?))
}

/// These bytes escaped as `form` is, in its length.
fn encode(form: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let cased = |text: String| {
        let lower = form.iter().skip(2).any(|byte| (b'a'..=b'f').contains(byte));
        if lower { text.to_ascii_lowercase() } else { text }
    };
    let code = || {
        let mut chars = std::str::from_utf8(new).ok()?.chars();
        chars.next().filter(|_| chars.next().is_none())
    };
    let written = match form {
        [b'%', ..] => {
            let [byte] = new else { return None };
            cased(format!("%{byte:02X}"))
        }
        [b'\\', b'x', ..] => cased(format!("\\x{:02X}", u32::from(code()?))),
        [b'\\', b'u', ..] => {
            let mut room = [0; 2];
            code()?.encode_utf16(&mut room).iter().map(|unit| cased(format!("\\u{unit:04X}"))).collect()
        }
        [b'&', b'#', x @ (b'x' | b'X'), ..] => {
            cased(format!("&#{}{:0width$X};", char::from(*x), u32::from(code()?), width = form.len().checked_sub(4)?))
        }
        [b'&', b'#', ..] => format!("&#{:0width$};", u32::from(code()?), width = form.len().checked_sub(3)?),
        _ => return None,
    };
    (written.len() == form.len()).then(|| written.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone_to_the_bottom() {
        for (raw, top) in [
            ("plain", "plain"),
            ("a%20b", "a b"),
            ("%7B%22a%22%3A%22x%2540y%22%7D", "{\"a\":\"x@y\"}"),
            (r#"{\"a\":\"\u00fc\ud83d\ude00\/\"}"#, "{\"a\":\"ü😀/\"}"),
            ("&quot;&#97;&#x62;&amp;quot;", "\"ab\""),
            ("100% & more \\ %zz &x; \\u12", "100% & more \\ %zz &x; \\u12"),
            ("\\ud800x", "\\ud800x"),
        ] {
            let levels = Levels::of(raw.as_bytes());
            assert_eq!(String::from_utf8_lossy(levels.top()), top, "{raw}");
        }
    }

    #[test]
    fn what_is_written_above_stands_below_in_the_same_encoding() {
        for (raw, from, to, written) in [
            ("x=abc", "abc", "xyz", "x=xyz"),
            ("x%3Da%62%2ec", "ab.c", "xy.z", "x%3Dx%79%2ez"),
            ("%2561%25%36%32c", "abc", "xyz", "%2578%25%37%39z"),
            (r"m\u00fcl\ud83d\ude00", "mül😀", "xýz😁", r"x\u00fdz\ud83d\ude01"),
            ("&#097;&#x62;", "ab", "xy", "&#120;&#x79;"),
        ] {
            let levels = Levels::of(raw.as_bytes());
            let at = memchr::memmem::find(levels.top(), from.as_bytes()).unwrap();
            let mut out = raw.as_bytes().to_vec();
            assert!(levels.overwrite(levels.count() - 1, at, to.as_bytes(), &mut out));
            assert_eq!(String::from_utf8_lossy(&out), written, "{raw}");
            let range = levels.raw_range(levels.count() - 1, at..at + from.len());
            assert!(range.end <= raw.len() && range.start < range.end);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (raw, new) in [("&#99;", "x"), ("\\/", "a"), ("&amp;", "a")] {
            let levels = Levels::of(raw.as_bytes());
            let mut out = raw.as_bytes().to_vec();
            assert!(!levels.overwrite(1, 0, new.as_bytes(), &mut out), "{raw}");
            assert_eq!(out, raw.as_bytes());
        }
    }
}
