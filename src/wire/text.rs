//! Views: decoded text that remembers where each of its bytes stands in the raw message, and how a replacement must be
//! written there. All lenses make views; replacing a part of a view leaves every other raw byte as it was.

use std::ops::Range;

/// How a value is written where it stands; in a list, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// Percent-encoding of a path segment.
    UrlPath,
    /// Percent-encoding of a query or form value, space as `%20`.
    UrlQuery,
    /// Percent-encoding of a form value, space as `+` (application/x-www-form-urlencoded).
    UrlForm,
    /// Inside a JSON string.
    JsonString,
    /// Inside HTML text or a quoted attribute.
    Html,
    /// Base64, standard alphabet, padded.
    Base64,
    /// Base64, URL alphabet, no padding.
    Base64Url,
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// First letter in upper case, the rest as it is.
    Capital,
    /// Spaces become `_`.
    Underscore,
    /// Spaces become `-`.
    Hyphen,
    /// The first so many characters.
    Prefix(u16),
}

impl Encoding {
    /// `text` written in this encoding.
    pub fn encode(self, text: &str) -> String {
        match self {
            Self::UrlPath => percent_encode(text, b"-._~!$&'()*+,;=:@"),
            Self::UrlQuery => percent_encode(text, b"-._~!*'()"),
            Self::UrlForm => percent_encode(text, b"-._* ").replace(' ', "+"),
            Self::JsonString => {
                let quoted = serde_json::to_string(text).unwrap_or_default();
                quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
            }
            Self::Html => html_escape(text),
            Self::Base64 => {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(text)
            }
            Self::Base64Url => {
                use base64::Engine as _;
                base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
            }
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
            Self::Capital => {
                let mut chars = text.chars();
                chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
            }
            Self::Underscore => text.replace(' ', "_"),
            Self::Hyphen => text.replace(' ', "-"),
            Self::Prefix(length) => text.chars().take(usize::from(length)).collect(),
        }
    }

    /// `text` written in all of `encodings`, the first one first.
    pub fn encode_all(encodings: &[Encoding], text: &str) -> String {
        encodings.iter().fold(text.to_owned(), |text, encoding| encoding.encode(&text))
    }
}

fn percent_encode(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `text` with the five characters that HTML gives a meaning escaped.
pub fn html_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Decoded text over a raw message part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The decoded text.
    pub text: String,
    /// Raw offset of each byte of `text`, and of its end: one more entry than bytes.
    at: Vec<u32>,
    /// How to write a replacement here, innermost first.
    pub coding: Vec<Encoding>,
}

impl View {
    /// A view of raw bytes as they are; `None` when they are not UTF-8 or longer than 4 GiB.
    pub fn raw(bytes: &[u8]) -> Option<Self> {
        let end = u32::try_from(bytes.len()).ok()?;
        let text = std::str::from_utf8(bytes).ok()?.to_owned();
        Some(Self { text, at: (0..=end).collect(), coding: Vec::new() })
    }

    /// A view of a piece of a raw part that starts at `offset`; `None` beyond 4 GiB.
    pub fn at(text: &str, offset: usize) -> Option<Self> {
        let start = u32::try_from(offset).ok()?;
        let end = u32::try_from(offset + text.len()).ok()?;
        Some(Self { text: text.to_owned(), at: (start..=end).collect(), coding: Vec::new() })
    }

    /// Where a range of the decoded text stands in the raw part.
    pub fn raw_range(&self, range: Range<usize>) -> Range<usize> {
        self.at[range.start] as usize..self.at[range.end] as usize
    }

    /// Where all of it stands in the raw part.
    pub fn span(&self) -> Range<usize> {
        self.raw_range(0..self.text.len())
    }

    /// A part of the view; `range` must lie on character boundaries.
    pub fn slice(&self, range: Range<usize>) -> View {
        View {
            text: self.text[range.clone()].to_owned(),
            at: self.at[range.start..=range.end].to_vec(),
            coding: self.coding.clone(),
        }
    }

    /// The view after percent-decoding, which is then written with `coding`; `None` when the result is not UTF-8.
    pub fn percent_decoded(&self, coding: Encoding) -> Option<View> {
        let plus = coding == Encoding::UrlForm || coding == Encoding::UrlQuery;
        let bytes = self.text.as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = Vec::with_capacity(bytes.len() + 1);
        let mut saw_percent_space = false;
        let mut i = 0;
        while i < bytes.len() {
            at.push(self.at[i]);
            let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
            match (bytes[i], hex(bytes.get(i + 1)), hex(bytes.get(i + 2))) {
                (b'%', Some(high), Some(low)) => {
                    let byte = u8::try_from(high * 16 + low).expect("two hex digits are a byte");
                    saw_percent_space |= byte == b' ';
                    out.push(byte);
                    i += 3;
                }
                (b'+', _, _) if plus => {
                    out.push(b' ');
                    i += 1;
                }
                (byte, _, _) => {
                    out.push(byte);
                    i += 1;
                }
            }
        }
        at.push(self.at[bytes.len()]);
        let text = String::from_utf8(out).ok()?;
        let style = match coding {
            Encoding::UrlForm if saw_percent_space => Encoding::UrlQuery,
            Encoding::UrlQuery if self.text.contains('+') => Encoding::UrlForm,
            coding => coding,
        };
        Some(self.with_coding(text, at, style))
    }

    /// The view (the inside of a JSON string) after undoing JSON's escapes; `None` when they are wrong.
    pub fn json_unescaped(&self) -> Option<View> {
        let bytes = self.text.as_bytes();
        let mut text = String::with_capacity(bytes.len());
        let mut at = Vec::with_capacity(bytes.len() + 1);
        let mut i = 0;
        while i < bytes.len() {
            let start = i;
            let c = if bytes[i] == b'\\' {
                let (c, used) = json_escape(&self.text[i..])?;
                i += used;
                c
            } else {
                let c = self.text[i..].chars().next()?;
                i += c.len_utf8();
                c
            };
            text.push(c);
            at.extend(std::iter::repeat_n(self.at[start], c.len_utf8()));
        }
        at.push(self.at[bytes.len()]);
        Some(self.with_coding(text, at, Encoding::JsonString))
    }

    /// The view after base64-decoding to text; the whole view is one island. The offsets inside are not raw offsets.
    pub fn base64_decoded(&self) -> Option<(String, Encoding)> {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
        let tries = [
            (&STANDARD, Encoding::Base64),
            (&STANDARD_NO_PAD, Encoding::Base64),
            (&URL_SAFE, Encoding::Base64Url),
            (&URL_SAFE_NO_PAD, Encoding::Base64Url),
        ];
        tries.into_iter().find_map(|(engine, coding)| {
            let text = String::from_utf8(engine.decode(self.text.as_bytes()).ok()?).ok()?;
            Some((text, coding))
        })
    }

    fn with_coding(&self, text: String, at: Vec<u32>, inner: Encoding) -> View {
        let mut coding = vec![inner];
        coding.extend_from_slice(&self.coding);
        View { text, at, coding }
    }
}

/// The character that the escape at the start of `text` stands for, and the escape's length in bytes.
pub fn json_escape(text: &str) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 4)?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    Some(match bytes.get(1)? {
        b'"' => ('"', 2),
        b'\\' => ('\\', 2),
        b'/' => ('/', 2),
        b'b' => ('\u{8}', 2),
        b'f' => ('\u{c}', 2),
        b'n' => ('\n', 2),
        b'r' => ('\r', 2),
        b't' => ('\t', 2),
        b'u' => {
            let high = unit(2)?;
            if (0xD800..0xDC00).contains(&high) && text.get(6..8) == Some("\\u") {
                let low = unit(8)?;
                let code = 0x10000 + ((high - 0xD800) << 10) + low.checked_sub(0xDC00).filter(|l| *l < 0x400)?;
                (char::from_u32(code)?, 12)
            } else {
                (char::from_u32(high)?, 6)
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_knows_where_its_bytes_stand() {
        let raw = View::raw(b"a=x%20y%C3%A9&b").unwrap();
        let value = raw.slice(2..13).percent_decoded(Encoding::UrlForm).unwrap();
        assert_eq!(value.text, "x y\u{e9}");
        assert_eq!(value.raw_range(2..5), 6..13);
        assert_eq!(value.coding, [Encoding::UrlQuery], "%20 in the original is kept as style");
    }

    #[test]
    fn nested_decodings_compose() {
        let raw = View::raw(br#"%7B%22t%22%3A%22a%5C%22b%22%7D"#).unwrap();
        let form = raw.percent_decoded(Encoding::UrlForm).unwrap();
        assert_eq!(form.text, r#"{"t":"a\"b"}"#);
        let inner = form.slice(6..10).json_unescaped().unwrap();
        assert_eq!(inner.text, "a\"b");
        assert_eq!(inner.coding, [Encoding::JsonString, Encoding::UrlForm]);
        assert_eq!(Encoding::encode_all(&inner.coding, "a\"b"), "a%5C%22b");
    }

    #[test]
    fn encodings_write_what_browsers_write() {
        for (encoding, text, written) in [
            (Encoding::UrlForm, "a b+c&d=\u{e9}*", "a+b%2Bc%26d%3D%C3%A9*"),
            (Encoding::UrlQuery, "a b'(x)", "a%20b'(x)"),
            (Encoding::UrlPath, "a b/c:d", "a%20b%2Fc:d"),
            (Encoding::JsonString, "a\"\\\n/", "a\\\"\\\\\\n/"),
            (Encoding::Html, "<a&\"'>", "&lt;a&amp;&quot;&#39;&gt;"),
            (Encoding::Capital, "user01", "User01"),
            (Encoding::Prefix(2), "user01", "us"),
            (Encoding::Base64, "a:b", "YTpi"),
        ] {
            assert_eq!(encoding.encode(text), written, "{encoding:?}");
        }
    }

    #[test]
    fn bad_escapes_are_refused() {
        for bad in ["\\u12", "\\x", "\\", "\\ud800\\u0041"] {
            assert_eq!(View::raw(bad.as_bytes()).unwrap().json_unescaped(), None, "{bad}");
        }
    }
}
