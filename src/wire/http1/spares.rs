//! Heads in form read in one pass, over heads that nobody needs any more: most lines of most heads were in the one before.

use super::head::{self, is_token};
use super::reader::Direction;
use super::{Limits, RequestHead, ResponseHead, seek};
use crate::model::{Headers, Version};

/// Most heads kept of each kind. As many as often are under way at once.
const MOST: usize = 128;
/// Most lines remembered, and the longest.
const MOST_LINES: usize = 64;
const MOST_BYTES: usize = 2048;

/// What is left of heads that were read.
#[derive(Debug, Default)]
pub struct Spares {
    requests: Vec<RequestHead>,
    responses: Vec<ResponseHead>,
    request_lines: Lines,
    response_lines: Lines,
}

impl Spares {
    /// Leaves the head of a request.
    pub fn leave_request(&mut self, head: RequestHead) {
        if self.requests.len() < MOST && is_small(&head.headers) {
            self.requests.push(head);
        }
    }

    /// Leaves the head of a response.
    pub fn leave_response(&mut self, head: ResponseHead) {
        if self.responses.len() < MOST && is_small(&head.headers) {
            self.responses.push(head);
        }
    }

    /// The request head at the start of `input`, and its length; none when it is not all there or not in form.
    pub(super) fn request(&mut self, input: &[u8], limits: &Limits) -> Option<(RequestHead, usize)> {
        let (line, behind) = start_line(Direction::Requests, input)?;
        let (method, target, version) = head::request_line(line).ok()?;
        let mut head = self.requests.pop().unwrap_or(RequestHead {
            raw: Vec::new(),
            method: String::new(),
            target: Vec::new(),
            version,
            headers: Headers::default(),
        });
        let Some(end) = self.request_lines.read(input, behind, limits, &mut head.headers) else {
            self.leave_request(head);
            return None;
        };
        head.raw.clear();
        if head.method.as_bytes() != method {
            head.method = String::from_utf8_lossy(method).into_owned();
        }
        write_over(&mut head.target, target);
        head.version = version;
        Some((head, end))
    }

    /// The response head at the start of `input`, and its length; none when it is not all there or not in form.
    pub(super) fn response(&mut self, input: &[u8], limits: &Limits) -> Option<(ResponseHead, usize)> {
        let (line, behind) = start_line(Direction::Responses, input)?;
        let (version, status, reason) = head::status_line(line).ok()?;
        let mut head = self.responses.pop().unwrap_or(ResponseHead {
            raw: Vec::new(),
            version: Version::Http11,
            status,
            reason: Vec::new(),
            headers: Headers::default(),
        });
        let Some(end) = self.response_lines.read(input, behind, limits, &mut head.headers) else {
            self.leave_response(head);
            return None;
        };
        head.raw.clear();
        (head.version, head.status) = (version, status);
        write_over(&mut head.reason, reason);
        Some((head, end))
    }
}

/// The first line without its line end, and where the second begins.
fn start_line(direction: Direction, input: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', input)?;
    let line = input[..end].strip_suffix(b"\r")?;
    (seek::is_in_form(direction, line) && memchr::memchr2(b'\r', 0, line).is_none()).then_some((line, end + 1))
}

/// The field lines that were read last at each place of a head, known to be in form.
#[derive(Debug, Default)]
struct Lines(Vec<Line>);

#[derive(Debug, Default)]
struct Line {
    /// With its line end.
    bytes: Vec<u8>,
    parts: Parts,
}

/// What a field line consists of: the length of its name, and where its value is.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    name: usize,
    value: (usize, usize),
}

impl Lines {
    /// Reads the fields from `at` in `input` to the empty line, over those of another head. Returns where the head ends.
    fn read(&mut self, input: &[u8], mut at: usize, limits: &Limits, headers: &mut Headers) -> Option<usize> {
        let input = &input[..input.len().min(limits.head_bytes)];
        for place in 0..=limits.fields {
            let rest = input.get(at..)?;
            if rest.starts_with(b"\r\n") {
                headers.0.truncate(place);
                return Some(at + 2);
            }
            let (end, parts) = self.line(place, rest)?;
            let (name, value) = (&rest[..parts.name], &rest[parts.value.0..parts.value.1]);
            match headers.0.get_mut(place) {
                Some(field) => {
                    write_over(&mut field.0, name);
                    write_over(&mut field.1, value);
                }
                None => headers.push(name, value),
            }
            at += end;
        }
        None
    }

    /// Where the line at the start of `rest` ends, which is the one at `place` of its head, and its parts.
    fn line(&mut self, place: usize, rest: &[u8]) -> Option<(usize, Parts)> {
        if let Some(line) = self.0.get(place).filter(|line| !line.bytes.is_empty() && rest.starts_with(&line.bytes)) {
            return Some((line.bytes.len(), line.parts));
        }
        let end = memchr::memchr(b'\n', rest)? + 1;
        let parts = Parts::of(&rest[..end])?;
        if place < MOST_LINES && end <= MOST_BYTES {
            if place >= self.0.len() {
                self.0.resize_with(place + 1, Line::default);
            }
            let line = &mut self.0[place];
            line.parts = parts;
            write_over(&mut line.bytes, &rest[..end]);
        }
        Some((end, parts))
    }
}

impl Parts {
    /// Of a line in form (RFC 9112 §5), with its line end.
    fn of(line: &[u8]) -> Option<Self> {
        let text = line.strip_suffix(b"\r\n").filter(|text| memchr::memchr2(b'\r', 0, text).is_none())?;
        let name = memchr::memchr(b':', text).filter(|&colon| is_token(&text[..colon]))?;
        let blank = |b: &u8| matches!(b, b' ' | b'\t');
        let start = text[name + 1..].iter().position(|b| !blank(b)).map_or(text.len(), |at| name + 1 + at);
        let end = text[start..].iter().rposition(|b| !blank(b)).map_or(start, |at| start + at + 1);
        Some(Self { name, value: (start, end) })
    }
}

/// Whether a head is so small that keeping it costs nothing to speak of.
fn is_small(headers: &Headers) -> bool {
    headers.0.len() <= MOST_LINES && headers.0.iter().all(|(_, value)| value.capacity() <= MOST_BYTES)
}

fn write_over(old: &mut Vec<u8>, new: &[u8]) {
    old.clear();
    old.extend_from_slice(new);
}
