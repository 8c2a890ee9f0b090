//! The inside of a JSON string to bytes: escapes undone, base64 undone, piece by piece, whatever the pieces.
//!
//! Never fails: what cannot be decoded is replaced or ends the text, and that is told. Main types: [`Unescape`], [`Unbase64`].

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// The text of a string as it is written in JSON; what is no character becomes U+FFFD.
pub(super) fn unescaped(written: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', written).is_none() {
        return String::from_utf8_lossy(written);
    }
    let mut text = Vec::with_capacity(written.len());
    let mut unescape = Unescape::default();
    unescape.push(written, &mut text);
    unescape.finish(&mut text);
    Cow::Owned(String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Undoes the escapes of a JSON string (RFC 8259 §7). Bytes that are not UTF-8 stay as they are.
#[derive(Debug, Default)]
pub(super) struct Unescape {
    /// An escape that is not whole yet: at most eleven bytes.
    held: Vec<u8>,
    /// Something was no character (a lone surrogate, a broken escape) and was replaced.
    pub(super) repaired: bool,
}

/// What stands at a backslash.
enum Escape {
    Char(char, usize),
    /// Not known before there is more.
    Cut,
    /// So many bytes that are no character.
    Broken(usize),
}

impl Unescape {
    /// Appends the text of the next piece.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            self.undo(piece, out);
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(piece);
            self.undo(&joined, out);
        }
    }

    /// The string is over.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.held).is_empty() {
            self.repaired = true;
            out.extend_from_slice(REPLACEMENT);
        }
    }

    fn undo(&mut self, mut rest: &[u8], out: &mut Vec<u8>) {
        while let Some(plain) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..plain]);
            rest = &rest[plain..];
            match escape(rest) {
                Escape::Char(c, used) => {
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = &rest[used..];
                }
                Escape::Cut => {
                    self.held = rest.to_vec();
                    return;
                }
                Escape::Broken(used) => {
                    self.repaired = true;
                    out.extend_from_slice(REPLACEMENT);
                    rest = &rest[used..];
                }
            }
        }
        out.extend_from_slice(rest);
    }
}

fn escape(rest: &[u8]) -> Escape {
    let simple = match rest.get(1) {
        None => return Escape::Cut,
        Some(b'u') => return unicode_escape(rest),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
        Some(_) => return Escape::Broken(1),
    };
    Escape::Char(simple, 2)
}

fn unicode_escape(rest: &[u8]) -> Escape {
    let Some(digits) = rest.get(2..6) else { return Escape::Cut };
    let Some(high) = hex(digits) else { return Escape::Broken(2) };
    if let Some(c) = char::from_u32(high) {
        return Escape::Char(c, 6);
    }
    // A surrogate: the other half must follow.
    let tail = &rest[6..];
    if !(0xd800..0xdc00).contains(&high) || !b"\\u".starts_with(&tail[..tail.len().min(2)]) {
        return Escape::Broken(6);
    }
    let Some(digits) = tail.get(2..6) else { return Escape::Cut };
    match hex(digits).and_then(|low| low.checked_sub(0xdc00)).filter(|low| *low < 0x400) {
        Some(low) => {
            char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + low).map_or(Escape::Broken(12), |c| Escape::Char(c, 12))
        }
        None => Escape::Broken(6),
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Undoes base64, in the standard and the URL alphabet, with or without padding, with white space anywhere.
#[derive(Debug, Default)]
pub(super) struct Unbase64 {
    /// Characters that wait for their group of four.
    held: Vec<u8>,
    ended: bool,
    /// Characters that base64 does not have were met; what stands behind them is lost.
    pub(super) damaged: bool,
}

impl Unbase64 {
    /// Appends the bytes of the next piece.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let wanted = if self.held.is_empty() { 0 } else { 4 - self.held.len() };
        let (first, rest) = piece.split_at(wanted.min(piece.len()));
        self.slowly(first, out);
        let (whole, last) = rest.split_at(rest.len() / 4 * 4);
        let before = out.len();
        let clean = self.held.is_empty() && !self.ended && !whole.ends_with(b"=");
        if clean && LENIENT.decode_vec(whole, out).is_ok() {
            return self.slowly(last, out);
        }
        out.truncate(before);
        self.slowly(rest, out);
    }

    /// The text is over.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.end(out);
    }

    fn slowly(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for &byte in piece {
            if self.ended {
                return;
            }
            match byte {
                b'=' => self.end(out),
                b'-' => self.held.push(b'+'),
                b'_' => self.held.push(b'/'),
                byte if byte.is_ascii_whitespace() => {}
                byte if byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/' => self.held.push(byte),
                _ => {
                    self.damaged = true;
                    self.end(out);
                }
            }
        }
        self.decode(self.held.len() / 4 * 4, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.decode(self.held.len(), out);
        self.ended = true;
    }

    fn decode(&mut self, length: usize, out: &mut Vec<u8>) {
        let before = out.len();
        if length > 0 && LENIENT.decode_vec(&self.held[..length], out).is_err() {
            out.truncate(before);
            self.damaged = true;
            self.ended = true;
        }
        self.held.drain(..length);
    }
}

/// All bytes of a base64 text; none when it is no base64.
pub(super) fn base64_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut decoder = Unbase64::default();
    decoder.push(text, &mut out);
    decoder.finish(&mut out);
    (!decoder.damaged).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(written: &[u8], size: usize) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let mut unescape = Unescape::default();
        written.chunks(size).for_each(|piece| unescape.push(piece, &mut out));
        unescape.finish(&mut out);
        (out, unescape.repaired)
    }

    #[test]
    fn escapes_are_undone_wherever_the_pieces_end() {
        for (written, text, repaired) in [
            (r"a\n\t\b\f\r\/\\\x22b".replace(r"\x22", "\\\""), "a\n\t\u{8}\u{c}\r/\\\"b".to_owned(), false),
            (r"\u00e4\u20AC\ud83d\ude00!".to_owned(), "\u{e4}\u{20ac}\u{1f600}!".to_owned(), false),
            (r"\ud83d!".to_owned(), "\u{fffd}!".to_owned(), true),
            (r"\ude00\ud83d".to_owned(), "\u{fffd}\u{fffd}".to_owned(), true),
            (r"\ud83d\u0041".to_owned(), "\u{fffd}A".to_owned(), true),
            (r"\q\u12".to_owned(), "\u{fffd}q\u{fffd}".to_owned(), true),
            ("\u{e4}\u{1f600}".to_owned(), "\u{e4}\u{1f600}".to_owned(), false),
        ] {
            for size in 1..=written.len() {
                assert_eq!(
                    in_pieces(written.as_bytes(), size),
                    (text.clone().into_bytes(), repaired),
                    "{written} by {size}"
                );
            }
            assert_eq!(unescaped(written.as_bytes()), text);
        }
        assert_eq!(unescaped(b"\xff\\n"), "\u{fffd}\n");
    }

    #[test]
    fn base64_of_all_kinds_is_undone_wherever_the_pieces_end() {
        let bytes = b"\xfb\xff\xfe\x00abc\xf8";
        for text in ["+//+AGFiY/g=", "-__-AGFiY_g", "+//+\r\nAGFi Y/g=", "+//+AGFiY/g=\n", "+//+AGFiY/g==="] {
            for size in 1..=text.len() {
                let mut out = Vec::new();
                let mut decoder = Unbase64::default();
                text.as_bytes().chunks(size).for_each(|piece| decoder.push(piece, &mut out));
                decoder.finish(&mut out);
                assert_eq!((out.as_slice(), decoder.damaged), (&bytes[..], false), "{text:?} by {size}");
            }
        }
        assert_eq!(base64_bytes(b""), Some(Vec::new()));
        assert_eq!(base64_bytes(b"ab*d"), None);
        assert_eq!(base64_bytes(b"abcde"), None);
    }
}
