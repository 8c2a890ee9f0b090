//! Where the next message begins in bytes whose meaning was lost: behind a gap, behind cruft, in a body without an end.

use super::head::{is_token, is_token_byte};
use super::lenient::{self, Belief};
use super::reader::Direction;

/// Longest request line that is awaited.
const LINE_BYTES: usize = 8 * 1024;
/// `HTTP/1.1 200` and the byte behind it.
const STATUS_BYTES: usize = 13;
/// Methods that are believed in the middle of a line.
const KNOWN: [&[u8]; 9] = [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"];

/// Whether `bytes` begin with a request line as an observer reads it, HTTP/0.9 included; none when more bytes are needed.
pub fn looks_like_request(bytes: &[u8]) -> Option<bool> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let bytes = &bytes[start..];
    if let Some(end) = memchr::memchr(b'\n', bytes) {
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        return Some(borne(Direction::Requests, line, Belief::Form));
    }
    let word = bytes.iter().take_while(|&&b| is_token_byte(b)).count();
    let plausible = match bytes.get(word) {
        None => word <= 32,
        Some(b' ') => word > 0 && bytes[word..].iter().all(|&b| b >= b' ' || b == b'\t' || b == b'\r'),
        Some(_) => false,
    };
    if plausible && bytes.len() < 8 * LINE_BYTES { None } else { Some(false) }
}

/// Whether `bytes` begin with a status line; none when more bytes are needed.
pub fn looks_like_response(bytes: &[u8]) -> Option<bool> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    status_at(&bytes[start..])
}

/// Whether a request begins somewhere in `bytes`.
pub fn holds_request(bytes: &[u8]) -> bool {
    next_request(bytes, true).head
}

/// Whether a response begins somewhere in `bytes`.
pub fn holds_response(bytes: &[u8]) -> bool {
    next_response(bytes, true).head
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// So many bytes belong to no head.
    pub(super) skip: usize,
    /// A head begins behind them; otherwise what is behind them needs more bytes to tell.
    pub(super) head: bool,
}

/// Searches `input` for the start of a message. `fresh`: the first byte may be the start of a line, or of a packet.
pub(super) fn next_head(direction: Direction, input: &[u8], fresh: bool) -> Found {
    match direction {
        Direction::Requests => next_request(input, fresh),
        Direction::Responses => next_response(input, fresh),
    }
}

/// Whether `line` is one that starts a message.
pub(super) fn starts_message(direction: Direction, line: &[u8]) -> bool {
    match direction {
        Direction::Requests => believed_request(line),
        Direction::Responses => status_at(&[line, b"\n"].concat()) == Some(true),
    }
}

fn next_request(input: &[u8], fresh: bool) -> Found {
    let mut at = 0;
    for end in memchr::memchr_iter(b'\n', input) {
        let line = &input[at..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if (at > 0 || fresh) && believed_request(line) {
            // What looks like a method may be the end of a body and a method.
            let behind = request_inside(line).filter(|&inside| inside > 0 && is_no_method(line[inside - 1]));
            return Found { skip: at + behind.unwrap_or(0), head: true };
        }
        if let Some(inside) = request_inside(line) {
            return Found { skip: at + inside, head: true };
        }
        at = end + 1;
    }
    // A last line that may become a request line is kept.
    let tail = &input[at..];
    let word = tail.iter().position(|b| !is_token_byte(*b));
    let plausible = match word {
        None => tail.len() <= 32,
        Some(0) => false,
        Some(end) => tail[end] == b' ' && tail[end..].iter().all(|&b| b >= b' ' && b != 0x7f || b == b'\r'),
    };
    let keep = plausible && tail.len() < LINE_BYTES;
    Found { skip: if keep { at } else { input.len() - known_tail(tail) }, head: false }
}

/// How many last bytes of a line without an end may be the start of a request in its middle.
fn known_tail(line: &[u8]) -> usize {
    let window = &line[line.len() - line.len().min(LINE_BYTES)..];
    KNOWN
        .iter()
        .filter_map(|method| memchr::memmem::rfind(window, method))
        .filter(|&at| window[at..].iter().all(|&b| b >= b' ' && b != 0x7f || b == b'\r'))
        .map(|at| window.len() - at)
        .max()
        .unwrap_or_else(|| window.len().min(7))
}

/// Method, target and version 1.x, with nothing odd about them.
fn believed_request(line: &[u8]) -> bool {
    let Some(rest) = line.split_last_chunk::<9>().and_then(|(rest, version)| version_like(version).then_some(rest))
    else {
        return false;
    };
    let Some(space) = memchr::memchr(b' ', rest) else { return false };
    let (method, target) = (&rest[..space], &rest[space + 1..]);
    method.len() <= 32
        && is_token(method)
        && method.iter().any(u8::is_ascii_alphabetic)
        && target.iter().all(|&b| b >= b' ')
        && !target.is_empty()
}

/// Whether a method is unlikely to go on behind this byte.
fn is_no_method(byte: u8) -> bool {
    !byte.is_ascii_uppercase() && !matches!(byte, b'-' | b'_')
}

/// ` HTTP/1.` and a digit.
fn version_like(word: &[u8; 9]) -> bool {
    word.starts_with(b" HTTP/1.") && word[8].is_ascii_digit()
}

/// Where a request line begins in the middle of `line`: at a well-known method before a path or a URL.
fn request_inside(line: &[u8]) -> Option<usize> {
    let rest = line.split_last_chunk::<9>().and_then(|(rest, version)| version_like(version).then_some(rest))?;
    KNOWN
        .iter()
        .filter_map(|method| memchr::memmem::rfind(rest, method).map(|at| (at, method.len())))
        .filter(|&(at, len)| {
            let target = &rest[at + len..];
            let starts = target.starts_with(b" /") || target.starts_with(b" http") || &rest[at..at + len] == b"CONNECT";
            starts && target.starts_with(b" ") && !target[1..].contains(&b' ')
        })
        .map(|(at, _)| at)
        .min()
}

fn next_response(input: &[u8], fresh: bool) -> Found {
    let mut from = 0;
    while let Some(found) = memchr::memmem::find(&input[from..], b"HTTP/1.") {
        let at = from + found;
        let line_start = if at == 0 { fresh } else { input[at - 1] == b'\n' };
        let verdict = match status_at(&input[at..]) {
            Some(true) if !line_start => field_follows(&input[at..]),
            verdict => verdict,
        };
        match verdict {
            Some(true) => return Found { skip: at, head: true },
            None if input.len() - at < LINE_BYTES => return Found { skip: at, head: false },
            _ => from = at + 7,
        }
    }
    let longest = input.len().min(6);
    let kept = (1..=longest).rev().find(|&n| b"HTTP/1".starts_with(&input[input.len() - n..])).unwrap_or(0);
    Found { skip: input.len() - kept, head: false }
}

/// Whether `input` starts with `HTTP/1.x NNN` and the end of a word; none when it is too short to tell.
fn status_at(input: &[u8]) -> Option<bool> {
    let expected = |at: usize, byte: u8| match at {
        0..=6 => byte == b"HTTP/1."[at],
        8 => byte == b' ',
        9 => (b'1'..=b'9').contains(&byte),
        12 => matches!(byte, b' ' | b'\r' | b'\n'),
        _ => byte.is_ascii_digit(),
    };
    let known = &input[..input.len().min(STATUS_BYTES)];
    if !known.iter().enumerate().all(|(at, &byte)| expected(at, byte)) {
        return Some(false);
    }
    (known.len() == STATUS_BYTES).then_some(true)
}

/// Whether the line behind the first is a field or empty; none when it is not there yet.
fn field_follows(input: &[u8]) -> Option<bool> {
    let line = second_line(input)?;
    Some(line.is_empty() || is_field(line))
}

/// Whether the line behind the first is there and a field.
pub(super) fn is_followed_by_field(input: &[u8]) -> bool {
    second_line(input).is_some_and(is_field)
}

fn second_line(input: &[u8]) -> Option<&[u8]> {
    let start = memchr::memchr(b'\n', input)? + 1;
    let end = memchr::memchr(b'\n', &input[start..])? + start;
    Some(input[start..end].strip_suffix(b"\r").unwrap_or(&input[start..end]))
}

fn is_field(line: &[u8]) -> bool {
    memchr::memchr(b':', line).is_some_and(|colon| is_token(&line[..colon]))
}

/// Whether a server that says this first does not answer in HTTP/0.9: it greets, or speaks TLS.
pub(super) fn is_of_another_protocol(input: &[u8]) -> bool {
    let greets = [&b"SSH-"[..], b"220 ", b"220-", b"+OK ", b"* OK ", b"RFB 0", b"-ERR "];
    greets.iter().any(|greeting| input.starts_with(greeting)) || matches!(input, [20..=23, 3, 0..=4, ..])
}

/// Whether `bytes` are the beginning of a request line: a well-known method before a path or a URL.
pub fn begins_request(bytes: &[u8]) -> bool {
    cut_request_line(bytes).is_some()
}

/// The method and as much of the target as there is, of a request line whose end was not seen: a well-known method
/// before a path or a URL.
pub(super) fn cut_request_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let method = KNOWN.into_iter().find(|method| line.starts_with(method) && line.get(method.len()) == Some(&b' '))?;
    let target = &line[method.len() + 1..];
    let target = target.split(|&b| b == b' ').next().unwrap_or(target);
    let starts =
        target.starts_with(b"/") || target.starts_with(b"http") || (method == b"CONNECT" && !target.is_empty());
    (starts && target.iter().all(|&b| b > b' ' && b != 0x7f)).then_some((method, target))
}

/// Whether `line`, without its line end, surely starts a message.
pub(super) fn is_in_form(direction: Direction, line: &[u8]) -> bool {
    match direction {
        Direction::Requests => believed_request(line),
        Direction::Responses => line.len() >= STATUS_BYTES && status_at(line) == Some(true),
    }
}

/// Whether `line` starts a message as an observer reads it.
pub(super) fn borne(direction: Direction, line: &[u8], belief: Belief) -> bool {
    match direction {
        Direction::Requests => lenient::believed_line(line, belief).is_some(),
        Direction::Responses => lenient::believed_status_line(line, belief).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_at_line_starts_and_behind_bodies() {
        for (input, fresh, skip, head) in [
            ("GET / HTTP/1.1\r\n", true, 0, true),
            ("GET / HTTP/1.1\r\n", false, 0, true),
            ("MKCOL / HTTP/1.1\r\n", false, 16 + 2, false),
            ("xx\r\nMKCOL / HTTP/1.0\r\n", false, 4, true),
            ("bodyPOST /x HTTP/1.1\r\n", true, 4, true),
            ("BPROPPATCH /x HTTP/1.1\r\n", true, 0, true),
            ("a=b&c=dPOST /x?y HTTP/1.1\r\n", false, 7, true),
            ("a=b&c=dPOST /x?y HTTP/1.1\r", false, 7, false),
            ("junk\nGET /lo", true, 5, false),
            ("junk\nGE", true, 5, false),
            ("junk\n\0\x01\x02", true, 5 + 3 - 3, false),
            ("I said GET and HTTP/1.1\r\n", false, 25, false),
        ] {
            let found = next_request(input.as_bytes(), fresh);
            if head || found.head {
                assert_eq!(found, Found { skip, head }, "{input:?}");
            } else {
                assert!(found.skip <= skip, "{input:?} {found:?}");
            }
        }
    }

    #[test]
    fn responses_are_found_at_line_starts_and_behind_bodies() {
        for (input, fresh, skip, head) in [
            ("HTTP/1.1 200 OK\r\n", true, 0, true),
            ("HTTP/1.1 200 OK\r\n", false, 0, false),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", false, 0, true),
            ("}HTTP/1.1 200 OK\r\nA: b\r\n", false, 1, true),
            ("speaks HTTP/1.1 200 times\r\nto you\r\n", false, 35, false),
            ("xx\nHTTP/1.0 404\r\n", false, 3, true),
            ("xx\nHTTP/1.0 4", false, 3, false),
            ("xx\nHTTP/1.0 x04 \n", false, 17, false),
            ("xxHTT", false, 2, false),
            ("xxHTTP/1", false, 2, false),
        ] {
            let expected = Found { skip, head };
            assert_eq!(next_response(input.as_bytes(), fresh), expected, "{input:?}");
        }
    }

    #[test]
    fn a_search_always_moves_on_in_bytes_that_are_no_message() {
        let binary: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
        for direction in [Direction::Requests, Direction::Responses] {
            assert!(next_head(direction, &binary, true).skip > 100_000);
        }
        let text = vec![b'a'; 200_000];
        assert!(next_head(Direction::Requests, &text, true).skip >= 100_000);
    }
}
