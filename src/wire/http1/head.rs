//! Start lines and field lines (RFC 9112 §2 to §5): where a head ends, and what it says. Strict about line ends.

use super::framing::trim;
use super::{Http1Error, Limits, RequestHead, ResponseHead};
use crate::model::{Headers, Version};

/// Length of the head at the start of `input`, from its start line to the empty line (both included); `None` when it is
/// not all there. Says nothing of whether the head is acceptable.
pub fn head_end(input: &[u8]) -> Option<usize> {
    memchr::memmem::find(input, b"\r\n\r\n").map(|at| at + 4)
}

/// Search for the empty line that ends a block of lines; it goes on where it stopped when more bytes are there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    /// Where the first line that is not yet whole starts.
    line: usize,
    /// How far that line was searched.
    searched: usize,
    /// No line so far is one that only an observer bears, but for a CR inside.
    strict: bool,
    /// Whole lines so far.
    lines: usize,
}

impl Scan {
    /// Nothing looked at yet.
    pub(super) const START: Self = Self { line: 0, searched: 0, strict: true, lines: 0 };

    /// Length of the block with its empty line, once all of it is in `input`.
    pub(super) fn block_end(&mut self, input: &[u8], limit: usize) -> Result<Option<usize>, Http1Error> {
        let window = &input[..input.len().min(limit)];
        while let Some(found) = memchr::memchr(b'\n', &window[self.searched..]) {
            let end = self.searched + found;
            let line = window[self.line..end].strip_suffix(b"\r").ok_or(Http1Error::LineFolding)?;
            if line.is_empty() {
                return Ok(Some(end + 1));
            }
            if matches!(line[0], b' ' | b'\t') || memchr::memchr(b'\r', line).is_some() {
                return Err(Http1Error::LineFolding);
            }
            self.line = end + 1;
            self.searched = self.line;
        }
        self.searched = window.len();
        if window.len() == limit { Err(Http1Error::HeadTooLong(limit)) } else { Ok(None) }
    }

    /// The same for an observer: any line end will do, and folded lines pass. Whether the block is one that
    /// [`Scan::block_end`] would have passed is said beside its length.
    pub(super) fn lenient_block_end(
        &mut self,
        input: &[u8],
        limit: usize,
    ) -> Result<Option<(usize, bool)>, Http1Error> {
        let window = &input[..input.len().min(limit)];
        while let Some(found) = memchr::memchr(b'\n', &window[self.searched..]) {
            let end = self.searched + found;
            let line = &window[self.line..end];
            self.lines += 1;
            self.strict &= line.ends_with(b"\r");
            match line {
                b"" | b"\r" => {
                    // Every line ends with one CR when it is in form, and has no other.
                    let strict = self.strict && memchr::memchr_iter(b'\r', &window[..end]).count() == self.lines;
                    return Ok(Some((end + 1, strict)));
                }
                [b' ' | b'\t', ..] => self.strict = false,
                _ => {}
            }
            self.line = end + 1;
            self.searched = self.line;
        }
        self.searched = window.len();
        if window.len() == limit { Err(Http1Error::HeadTooLong(limit)) } else { Ok(None) }
    }

    /// Whether nothing was searched yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.searched == 0
    }

    /// The first line without its line end, once it is there; only before anything of the second was searched.
    pub(super) fn first_line<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        if self.line > 0 {
            return None;
        }
        let end = memchr::memchr(b'\n', input.get(self.searched..)?)? + self.searched;
        Some(input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]))
    }
}

/// The request head that `raw` is, without a copy of it; its line ends were checked by [`Scan`].
pub(super) fn request(raw: &[u8], limits: &Limits) -> Result<RequestHead, Http1Error> {
    let (line, fields_at) = start_line(raw)?;
    let (method, target, version) = request_line(line)?;
    Ok(RequestHead {
        method: String::from_utf8_lossy(method).into_owned(),
        target: target.to_vec(),
        version,
        headers: fields(&raw[fields_at..], limits)?,
        raw: Vec::new(),
    })
}

/// Method, target and version.
pub(super) fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], Version), Http1Error> {
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Http1Error::Syntax);
    };
    if !is_token(method) || target.is_empty() || !target.iter().all(|&b| b > b' ' && b != 0x7f) {
        return Err(Http1Error::Syntax);
    }
    Ok((method, target, version_of(version)?))
}

/// The response head that `raw` is, without a copy of it; its line ends were checked by [`Scan`].
pub(super) fn response(raw: &[u8], limits: &Limits) -> Result<ResponseHead, Http1Error> {
    let (line, fields_at) = start_line(raw)?;
    let (version, status, reason) = status_line(line)?;
    Ok(ResponseHead {
        version,
        status,
        reason: reason.to_vec(),
        headers: fields(&raw[fields_at..], limits)?,
        raw: Vec::new(),
    })
}

/// Version, status and reason, which may be missing, blank and all.
pub(super) fn status_line(line: &[u8]) -> Result<(Version, u16, &[u8]), Http1Error> {
    let (version, rest) = line.split_at_checked(8).ok_or(Http1Error::Syntax)?;
    let version = version_of(version)?;
    let (code, reason) = match rest {
        [b' ', code @ ..] if code.len() == 3 => (code, &[][..]),
        [b' ', a, b, c, b' ', reason @ ..] => (&[*a, *b, *c][..], reason),
        _ => return Err(Http1Error::Syntax),
    };
    if code[0] == b'0' || !code.iter().all(u8::is_ascii_digit) {
        return Err(Http1Error::Syntax);
    }
    let status = code.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    Ok((version, status, reason))
}

/// The field lines of `block`, which ends with an empty line.
pub(super) fn fields(block: &[u8], limits: &Limits) -> Result<Headers, Http1Error> {
    if memchr::memchr(0, block).is_some() {
        return Err(Http1Error::Syntax);
    }
    let count = memchr::memchr_iter(b'\n', block).count().saturating_sub(1);
    if count > limits.fields {
        return Err(Http1Error::TooManyFields(limits.fields));
    }
    let mut headers = Headers(Vec::with_capacity(count));
    let mut at = 0;
    for end in memchr::memchr_iter(b'\n', block) {
        // The line end is CRLF, so there is a byte before it.
        let line = &block[at..end - 1];
        at = end + 1;
        if line.is_empty() {
            break;
        }
        let colon = memchr::memchr(b':', line).ok_or(Http1Error::Syntax)?;
        let name = &line[..colon];
        if !is_token(name) {
            return Err(Http1Error::Syntax);
        }
        headers.0.push((name.to_vec(), trim(&line[colon + 1..]).to_vec()));
    }
    Ok(headers)
}

/// Whether `bytes` are a token (RFC 9110 §5.6.2): a method or a field name.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b))
}

/// Whether a token may hold this byte.
pub(super) fn is_token_byte(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut at = 0;
        while at < 128 {
            table[at] = (at as u8).is_ascii_alphanumeric();
            at += 1;
        }
        let marks = b"!#$%&'*+-.^_`|~";
        let mut mark = 0;
        while mark < marks.len() {
            table[marks[mark] as usize] = true;
            mark += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}

/// The first line of `raw` without its CRLF, and where the second starts.
fn start_line(raw: &[u8]) -> Result<(&[u8], usize), Http1Error> {
    let end = memchr::memchr(b'\n', raw).ok_or(Http1Error::Syntax)?;
    let line = raw[..end].strip_suffix(b"\r").ok_or(Http1Error::LineFolding)?;
    if memchr::memchr(0, line).is_some() {
        return Err(Http1Error::Syntax);
    }
    Ok((line, end + 1))
}

fn version_of(word: &[u8]) -> Result<Version, Http1Error> {
    match word {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        _ => Err(Http1Error::Syntax),
    }
}
