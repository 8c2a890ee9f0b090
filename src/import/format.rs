//! What kind of file something is, by its first bytes.

use std::fmt;

use super::packet::Container;

/// Bytes that are looked at.
pub const LOOK_BYTES: usize = 4096;

/// A kind of file that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// pcap or pcapng.
    Packets,
    /// HTTP Archive.
    Har,
    /// mitmproxy flows (tnetstrings).
    Mitmproxy,
    /// GoReplay requests and responses.
    GoReplay,
}

impl Format {
    /// The kind of something that begins with `head`; none when it is none of them.
    pub fn of(head: &[u8]) -> Option<Self> {
        if Container::<&[u8]>::recognises(head) {
            return Some(Self::Packets);
        }
        if begins_json(head) {
            return Some(Self::Har);
        }
        if begins_tnetstring(head) {
            return Some(Self::Mitmproxy);
        }
        begins_payload_header(head).then_some(Self::GoReplay)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packets => "packet capture",
            Self::Har => "HAR",
            Self::Mitmproxy => "mitmproxy flows",
            Self::GoReplay => "GoReplay file",
        })
    }
}

/// An object in UTF-8 or UTF-16, with or without a byte order mark.
fn begins_json(head: &[u8]) -> bool {
    let text: Vec<u8> = match head {
        [0xff, 0xfe, rest @ ..] => rest.iter().step_by(2).copied().collect(),
        [0xfe, 0xff, rest @ ..] => rest.iter().skip(1).step_by(2).copied().collect(),
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.to_vec(),
        _ => head.to_vec(),
    };
    let mut text = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    text.next() == Some(&b'{') && matches!(text.next(), Some(b'"' | b'}') | None)
}

/// A length, a colon, and the length of the first key: flows are dictionaries.
fn begins_tnetstring(head: &[u8]) -> bool {
    let digits = head.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let inner = head.get(digits + 1..).unwrap_or_default();
    let inner_digits = inner.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (1..=12).contains(&digits)
        && head.get(digits) == Some(&b':')
        && (1..=4).contains(&inner_digits)
        && inner.get(inner_digits) == Some(&b':')
}

/// `1 0a1b… 1700000000000000000`: type, id, time.
fn begins_payload_header(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    matches!(words.next(), Some(b"1" | b"2" | b"3"))
        && words.next().is_some_and(|id| (8..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_how_they_begin() {
        for (head, format) in [
            (&b"\xd4\xc3\xb2\xa1\x02\0\x04\0"[..], Some(Format::Packets)),
            (b"\xa1\xb2\x3c\x4d\0\x02\0\x04", Some(Format::Packets)),
            (b"\x0a\x0d\x0d\x0a\x1c\0\0\0", Some(Format::Packets)),
            (b"{\"log\": {}}", Some(Format::Har)),
            (b"\xef\xbb\xbf {\n \"log\"", Some(Format::Har)),
            (b"\xff\xfe{\0\"\0l\0", Some(Format::Har)),
            (b"1234:4:type;4:http;", Some(Format::Mitmproxy)),
            (b"1 8e091765ae902fef8a2b7d9dd9600ee8c9d4a5b1 1700000000000000000\nGET /", Some(Format::GoReplay)),
            (b"1 lonely", None),
            (b"[1, 2]", None),
            (b"Dear diary", None),
            (b"", None),
            (b"12", None),
        ] {
            assert_eq!(Format::of(head), format, "{head:?}");
        }
    }
}
