//! The line before a chunk (RFC 9112 §7.1): its size, and extensions that are passed over.

use super::reader::Direction;
use super::{Http1Error, Leniencies, Leniency};

/// Longest chunk-size line with its extensions and line end, in bytes.
pub(super) const LINE_BYTES: usize = 4096;

/// Finds the line at the start of `input` and what it says: its length with CRLF, and the size of the chunk.
/// `searched` bytes are known to hold no LF; it is brought up to date.
pub(super) fn size_line(
    input: &[u8],
    searched: &mut usize,
    direction: Direction,
) -> Result<Option<(usize, u64)>, Http1Error> {
    let window = &input[..input.len().min(LINE_BYTES)];
    let Some(found) = memchr::memchr(b'\n', &window[*searched..]) else {
        *searched = window.len();
        return if window.len() == LINE_BYTES { Err(Http1Error::Chunk) } else { Ok(None) };
    };
    let end = *searched + found;
    *searched = 0;
    let line = window[..end].strip_suffix(b"\r").ok_or(Http1Error::Chunk)?;
    size(line, direction).map(|size| Some((end + 1, size))).ok_or(Http1Error::Chunk)
}

/// As [`size_line`], for an observer: any line end, and blanks around the size.
pub(super) fn observed_size_line(
    input: &[u8],
    searched: &mut usize,
    told: &mut Leniencies,
) -> Result<Option<(usize, u64)>, Http1Error> {
    let window = &input[..input.len().min(LINE_BYTES)];
    let from = (*searched).min(window.len());
    let Some(found) = memchr::memchr(b'\n', &window[from..]) else {
        *searched = window.len();
        return if window.len() == LINE_BYTES { Err(Http1Error::Chunk) } else { Ok(None) };
    };
    let end = from + found;
    *searched = 0;
    let bare = window[..end].strip_suffix(b"\r");
    let line = bare.unwrap_or(&window[..end]);
    let trimmed = line.trim_ascii();
    if bare.is_none() || trimmed.len() < line.len() {
        told.add(Leniency::OddChunk);
    }
    size(trimmed, Direction::Responses).map(|size| Some((end + 1, size))).ok_or(Http1Error::Chunk)
}

/// The size a line without its CRLF states. Old servers pad the size with blanks: borne in responses only.
fn size(line: &[u8], direction: Direction) -> Option<u64> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 || memchr::memchr2(b'\r', 0, line).is_some() {
        return None;
    }
    let rest = line[digits..].trim_ascii_start();
    let padded = rest.len() < line.len() - digits;
    match rest.first() {
        None if padded && direction == Direction::Requests => return None,
        None | Some(b';') => {}
        Some(_) => return None,
    }
    line[..digits].iter().try_fold(0u64, |size, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        size.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_plain_hexadecimal_numbers() {
        for (line, size) in [
            ("0\r\n", 0),
            ("00a\r\n", 10),
            ("Ff;name=value;\"quoted;\"\r\n", 255),
            ("5 ;x\r\n", 5),
            ("5 \t\r\n", 5),
            ("ffffffffffffffff\r\n", u64::MAX),
        ] {
            let found = size_line(line.as_bytes(), &mut 0, Direction::Responses);
            assert_eq!(found, Ok(Some((line.len(), size))), "{line:?}");
        }
        for line in [
            "\r\n",
            "\n",
            "5\n",
            "-5\r\n",
            "+5\r\n",
            "0x5\r\n",
            " 5\r\n",
            "5 5\r\n",
            "5g\r\n",
            "10000000000000000\r\n",
            "5;a\rb\r\n",
            "5;a\0b\r\n",
            "5\x0b\r\n",
        ] {
            assert_eq!(size_line(line.as_bytes(), &mut 0, Direction::Responses), Err(Http1Error::Chunk), "{line:?}");
        }
        assert_eq!(size_line(b"5 \r\n", &mut 0, Direction::Requests), Err(Http1Error::Chunk));
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let line = [b'0'; LINE_BYTES];
        let mut searched = 0;
        assert_eq!(size_line(&line[..LINE_BYTES - 1], &mut searched, Direction::Responses), Ok(None));
        assert_eq!(size_line(&line, &mut searched, Direction::Responses), Err(Http1Error::Chunk));
    }
}
