//! Heads as an observer reads them: what most programs would make of lines that a forwarder refuses.

use super::framing::trim;
use super::head::is_token;
use super::{Http1Error, Leniencies, Leniency, Limits, RequestHead, ResponseHead};
use crate::model::{Headers, Version};

/// Longest method that is believed.
const METHOD_BYTES: usize = 64;

/// What is taken for a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// What has the form of one.
    Form,
    /// Whatever begins with a method or `HTTP/`: the other side answered in HTTP, or asked.
    Answered,
}

/// A request line taken apart.
pub(super) struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: Version,
    told: Leniencies,
}

/// What `line` asks for, when it is a request line. HTTP/0.9 is a GET of a path and no version.
pub(super) fn request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let mut told = Leniencies::default();
    let words = trim(line);
    let (method, rest) = words.split_at(words.iter().position(|&b| is_blank(b))?);
    if method.len() > METHOD_BYTES || !is_token(method) {
        return None;
    }
    let rest = trim(rest);
    let last = rest.iter().rposition(|&b| is_blank(b));
    if let Some((version, odd)) = last.and_then(|at| version_of(&rest[at + 1..])) {
        let target = trim(&rest[..last.unwrap_or(0)]);
        if odd {
            told.add(Leniency::OddVersion);
        }
        if method.len() + target.len() + (rest.len() - last.unwrap_or(0)) + 1 != line.len()
            || target.iter().any(|&b| b <= b' ' || b == 0x7f)
            || line.contains(&b'\t')
        {
            told.add(Leniency::OddStartLine);
        }
        return Some(RequestLine { method, target, version, told });
    }
    let path = last.is_none() && rest.starts_with(b"/") && rest.iter().all(|&b| b > b' ' && b != 0x7f);
    if method != b"GET" || !path {
        return None;
    }
    told.add(Leniency::NoVersion);
    Some(RequestLine { method, target: rest, version: Version::Http09, told })
}

/// What `line` asks for, taken for a request line because the server answered it.
pub(super) fn believed_line(line: &[u8], belief: Belief) -> Option<RequestLine<'_>> {
    if let Some(line) = request_line(line) {
        return Some(line);
    }
    let words = trim(line);
    let (method, rest) = words.split_at(words.iter().position(|&b| is_blank(b)).unwrap_or(words.len()));
    let in_capitals = method.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'));
    if belief == Belief::Form || method.len() < 3 || method.len() > METHOD_BYTES || !in_capitals {
        return None;
    }
    let mut told = Leniencies::default();
    let rest = trim(rest);
    let last = rest.iter().rposition(|&b| is_blank(b));
    let cut = last.filter(|&at| rest[at + 1..].to_ascii_uppercase().starts_with(b"HTTP"));
    if let Some(at) = cut {
        told.add(Leniency::OddVersion);
        return Some(RequestLine { method, target: trim(&rest[..at]), version: Version::Http11, told });
    }
    told.add(Leniency::NoVersion);
    Some(RequestLine { method, target: rest, version: Version::Http09, told })
}

/// Whether `line`, a request line, is one of HTTP/0.9.
pub(super) fn is_versionless(line: &[u8], belief: Belief) -> bool {
    believed_line(line, belief).is_some_and(|line| line.version == Version::Http09)
}

/// The request head that `raw` is.
pub(super) fn request(
    raw: &[u8],
    limits: &Limits,
    belief: Belief,
    told: &mut Leniencies,
) -> Result<RequestHead, Http1Error> {
    let (line, block) = start_line(raw, told)?;
    let line = believed_line(line, belief).ok_or(Http1Error::Syntax)?;
    told.add_all(line.told);
    Ok(RequestHead {
        raw: Vec::new(),
        method: String::from_utf8_lossy(line.method).into_owned(),
        target: line.target.to_vec(),
        version: line.version,
        headers: fields(block, limits, told)?,
    })
}

/// A status line taken apart.
pub(super) struct StatusLine<'a> {
    version: Version,
    status: u16,
    reason: &'a [u8],
    told: Leniencies,
}

/// What `line` answers, when it is a status line.
pub(super) fn status_line(line: &[u8]) -> Option<StatusLine<'_>> {
    let mut told = Leniencies::default();
    let (word, rest) = line.split_at(line.iter().position(|&b| is_blank(b))?);
    let (version, odd) = if word == b"ICY" { (Version::Http10, true) } else { version_of(word)? };
    if odd {
        told.add(Leniency::OddVersion);
    }
    let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] = trim(rest) else { return None };
    if reason.first().is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    if !rest.starts_with(&[b' ', *a, *b, *c]) || !matches!(reason, [] | [b' ', ..]) {
        told.add(Leniency::OddStartLine);
    }
    Some(StatusLine { version, status: number([a, b, c]), reason: trim(reason), told })
}

fn number(digits: [&u8; 3]) -> u16 {
    digits.into_iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
}

/// What `line` answers, taken for a status line because an answer is due. A status that cannot be read is 0.
pub(super) fn believed_status_line(line: &[u8], belief: Belief) -> Option<StatusLine<'_>> {
    if let Some(line) = status_line(line) {
        return Some(line);
    }
    if belief == Belief::Form || !line.get(..5)?.eq_ignore_ascii_case(b"HTTP/") {
        return None;
    }
    let (word, rest) = line.split_at(line.iter().position(|&b| is_blank(b)).unwrap_or(line.len()));
    let mut told = Leniencies::default();
    told.add(Leniency::OddStartLine);
    let version = version_of(word).map_or(Version::Http11, |(version, _)| version);
    let (status, reason) = match trim(rest) {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] => (number([a, b, c]), reason),
        reason => (0, reason),
    };
    Some(StatusLine { version, status, reason: trim(reason), told })
}

/// The response head that `raw` is.
pub(super) fn response(
    raw: &[u8],
    limits: &Limits,
    belief: Belief,
    told: &mut Leniencies,
) -> Result<ResponseHead, Http1Error> {
    let (line, block) = start_line(raw, told)?;
    let line = believed_status_line(line, belief).ok_or(Http1Error::Syntax)?;
    told.add_all(line.told);
    Ok(ResponseHead {
        raw: Vec::new(),
        version: line.version,
        status: line.status,
        reason: line.reason.to_vec(),
        headers: fields(block, limits, told)?,
    })
}

/// The field lines of `block`, which ends with an empty line. Folded lines are joined with one blank (RFC 9112 §5.2).
pub(super) fn fields(block: &[u8], limits: &Limits, told: &mut Leniencies) -> Result<Headers, Http1Error> {
    let mut headers = Headers::default();
    if block.is_empty() {
        return Ok(headers);
    }
    for line in block.split(|&b| b == b'\n') {
        let line = line_of(line, told);
        if line.is_empty() {
            break;
        }
        if is_blank(line[0])
            && let Some((_, value)) = headers.0.last_mut()
        {
            told.add(Leniency::FoldedLine);
            value.push(b' ');
            value.extend_from_slice(trim(line));
            continue;
        }
        if headers.0.len() == limits.fields {
            return Err(Http1Error::TooManyFields(limits.fields));
        }
        headers.0.push(field(line, told));
    }
    Ok(headers)
}

fn field(line: &[u8], told: &mut Leniencies) -> (Vec<u8>, Vec<u8>) {
    let Some(colon) = memchr::memchr(b':', line) else {
        told.add(Leniency::OddField);
        return (trim(line).to_vec(), Vec::new());
    };
    let name = trim(&line[..colon]);
    if name.len() < colon {
        told.add(Leniency::BlankBeforeColon);
    }
    let value = trim(&line[colon + 1..]);
    if !is_token(name) || memchr::memchr(0, value).is_some() {
        told.add(Leniency::OddField);
    }
    (name.to_vec(), value.to_vec())
}

/// The first line of `raw`, and the lines behind it.
fn start_line<'a>(raw: &'a [u8], told: &mut Leniencies) -> Result<(&'a [u8], &'a [u8]), Http1Error> {
    let end = memchr::memchr(b'\n', raw).ok_or(Http1Error::Syntax)?;
    Ok((line_of(&raw[..end], told), &raw[end + 1..]))
}

/// A line without its LF, less its CR.
fn line_of<'a>(line: &'a [u8], told: &mut Leniencies) -> &'a [u8] {
    let bare = line.strip_suffix(b"\r");
    if bare.is_none_or(|line| memchr::memchr(b'\r', line).is_some()) {
        told.add(Leniency::BareLineEnd);
    }
    bare.unwrap_or(line)
}

/// The version a word like `HTTP/1.2` or `http/1.1` stands for, and whether it is unusual.
fn version_of(word: &[u8]) -> Option<(Version, bool)> {
    match word {
        b"HTTP/1.1" => return Some((Version::Http11, false)),
        b"HTTP/1.0" => return Some((Version::Http10, false)),
        _ => {}
    }
    let (name, numbers) = word.split_at_checked(5)?;
    let dot = numbers.iter().position(|&b| b == b'.')?;
    let (major, minor) = (&numbers[..dot], &numbers[dot + 1..]);
    let number = |digits: &[u8]| (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if !name.eq_ignore_ascii_case(b"HTTP/") || !number(major) || !number(minor) {
        return None;
    }
    let old = major.iter().all(|&b| b == b'0') || (major == b"1" && minor.iter().all(|&b| b == b'0'));
    Some((if old { Version::Http10 } else { Version::Http11 }, true))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
