//! Text of a HAR back to the bytes that were sent: the writer decoded them by their charset.
//!
//! The length that a file states for a body tells which bytes were meant. Main types: [`Gauge`], [`Encoder`].

/// How a text becomes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// As it is.
    Utf8,
    /// One byte a character: what `iso-8859-1` and `windows-1252` mean to browsers, or bytes that a writer put as they are.
    Latin {
        /// Bytes 0x80 to 0x9f are the characters of windows-1252; else the control characters U+0080 to U+009F.
        windows: bool,
    },
}

/// The charset of a media type; none when it names none.
pub(super) fn charset_of(media_type: &str) -> Option<String> {
    let lower = media_type.to_ascii_lowercase();
    let at = lower.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("charset="))?;
    let name = at.trim().trim_matches(['"', '\'']).to_owned();
    (!name.is_empty()).then_some(name)
}

/// Whether browsers read this charset as windows-1252 (WHATWG Encoding §4.2).
pub(super) fn is_latin(name: &str) -> bool {
    const NAMES: [&str; 9] =
        ["iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "l1", "windows-1252", "cp1252", "x-cp1252", "us-ascii"];
    NAMES.contains(&name) || name == "ascii"
}

/// What a text would be in bytes.
#[derive(Debug)]
pub(super) struct Gauge {
    /// Length as UTF-8.
    pub(super) utf8: u64,
    /// Number of characters: the length with one byte for each.
    pub(super) characters: u64,
    /// All characters are below U+0100.
    pub(super) is_bytes: bool,
    /// All characters are of windows-1252.
    pub(super) is_windows: bool,
    carry: Carry,
}

impl Default for Gauge {
    fn default() -> Self {
        Self { utf8: 0, characters: 0, is_bytes: true, is_windows: true, carry: Carry::default() }
    }
}

impl Gauge {
    /// Takes the next piece of the text.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.utf8 += piece.len() as u64;
        let Self { characters, is_bytes, is_windows, carry, .. } = self;
        if piece.is_ascii() && carry.0.is_empty() {
            *characters += piece.len() as u64;
            return;
        }
        carry.push(piece, |part| match part {
            Ok(text) => {
                for c in text.chars() {
                    *characters += 1;
                    *is_bytes &= c <= '\u{ff}';
                    *is_windows &= windows_byte(c).is_some();
                }
            }
            Err(raw) => {
                *characters += raw.len() as u64;
                (*is_bytes, *is_windows) = (false, false);
            }
        });
    }

    /// All characters are ASCII: every charset gives the same bytes.
    pub(super) fn is_ascii(&self) -> bool {
        self.utf8 == self.characters && self.is_bytes
    }
}

/// Makes bytes of a text in pieces.
#[derive(Debug)]
pub(super) struct Encoder {
    charset: Charset,
    carry: Carry,
}

impl Encoder {
    pub(super) fn new(charset: Charset) -> Self {
        Self { charset, carry: Carry::default() }
    }

    /// The bytes of the next piece; `out` is cleared first when it is needed.
    pub(super) fn push<'a>(&mut self, piece: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
        let Charset::Latin { windows } = self.charset else { return piece };
        out.clear();
        self.carry.push(piece, |part| match part {
            Ok(text) => out.extend(text.chars().map(|c| {
                let byte = if windows { windows_byte(c) } else { None };
                byte.or(u8::try_from(u32::from(c)).ok()).unwrap_or(b'?')
            })),
            Err(raw) => out.extend_from_slice(raw),
        });
        out
    }
}

/// Bytes of a character that is not whole yet.
#[derive(Debug, Default)]
struct Carry(Vec<u8>);

impl Carry {
    /// Hands out whole characters, and bytes that are none.
    fn push(&mut self, piece: &[u8], mut each: impl FnMut(Result<&str, &[u8]>)) {
        let joined;
        let mut rest = piece;
        if !self.0.is_empty() {
            joined = [&std::mem::take(&mut self.0), piece].concat();
            rest = &joined;
        }
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(text) => return each(Ok(text)),
                Err(error) => error,
            };
            let (text, tail) = rest.split_at(error.valid_up_to());
            each(Ok(std::str::from_utf8(text).unwrap_or_default()));
            let Some(bad) = error.error_len() else {
                self.0 = tail.to_vec();
                return;
            };
            each(Err(&tail[..bad]));
            rest = &tail[bad..];
        }
    }
}

/// The byte that windows-1252 has for a character (WHATWG index windows-1252).
fn windows_byte(c: char) -> Option<u8> {
    const HIGH: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
        '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}',
        '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}',
        '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
    ];
    match u32::from(c) {
        low @ (0..=0x7f | 0xa0..=0xff) => u8::try_from(low).ok(),
        _ => HIGH.iter().position(|high| *high == c).and_then(|at| u8::try_from(0x80 + at).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_are_found_in_media_types() {
        for (media_type, charset) in [
            ("text/html; charset=UTF-8", Some("utf-8")),
            ("text/html;charset=\"iso-8859-1\"", Some("iso-8859-1")),
            ("text/html; x=y; Charset=latin1 ", Some("latin1")),
            ("text/html", None),
            ("text/html; charset=", None),
        ] {
            assert_eq!(charset_of(media_type).as_deref(), charset, "{media_type}");
        }
    }

    #[test]
    fn text_is_measured_and_encoded_wherever_the_pieces_end() {
        for (text, windows, bytes) in
            [("a\u{e4}\u{20ac}\u{2122}", true, &b"a\xe4\x80\x99"[..]), ("GIF\u{89}\u{ff}", false, &b"GIF\x89\xff"[..])]
        {
            for size in 1..=text.len() {
                let mut gauge = Gauge::default();
                let mut encoder = Encoder::new(Charset::Latin { windows });
                let (mut all, mut out) = (Vec::new(), Vec::new());
                for piece in text.as_bytes().chunks(size) {
                    gauge.push(piece);
                    all.extend_from_slice(encoder.push(piece, &mut out));
                }
                assert_eq!(all, bytes, "{text} by {size}");
                assert_eq!((gauge.utf8, gauge.characters), (text.len() as u64, bytes.len() as u64));
                assert_eq!((gauge.is_windows, gauge.is_bytes), (windows, !windows));
                assert!(!gauge.is_ascii());
            }
        }
    }
}
