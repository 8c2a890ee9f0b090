//! The payloads of a file one after the other, by their separators. Main type: [`Records`].

use std::io::{self, Read, Seek};

use memchr::memmem::Finder;

/// What stands behind every payload.
pub(super) const SEPARATOR: &[u8] = "\n🐵🙈🙉\n".as_bytes();

/// Most bytes of a payload's first line.
const LINE_BYTES: usize = 256;

/// Longest id.
const ID_BYTES: usize = 128;

/// How much is read at once.
const WINDOW_BYTES: usize = 256 << 10;

/// Bytes behind a separator that tell whether it is one.
const BEHIND_BYTES: usize = 2;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request.
    Request,
    /// Its response.
    Response,
    /// The response that it got when it was played back.
    Replayed,
}

/// The first line of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) kind: Kind,
    /// The same for a request and its responses.
    pub(super) id: &'a [u8],
    /// Nanoseconds since the Unix epoch; in the oldest files a response has its latency there.
    pub(super) at: Option<u64>,
    /// How long the message, or the round trip, took in nanoseconds.
    pub(super) took: Option<u64>,
}

impl<'a> Line<'a> {
    /// The line that `start` begins with, and its length with the line end.
    pub(super) fn of(start: &'a [u8]) -> Option<(Self, usize)> {
        let end = start.iter().take(LINE_BYTES).position(|&byte| byte == b'\n')?;
        let line = start[..end].strip_suffix(b"\r").unwrap_or(&start[..end]);
        let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        let kind = match words.next()? {
            b"1" => Kind::Request,
            b"2" => Kind::Response,
            b"3" => Kind::Replayed,
            _ => return None,
        };
        let id = words.next().filter(|id| id.len() <= ID_BYTES)?;
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<u64>().ok();
        Some((Self { kind, id, at: number(), took: number() }, end + 1))
    }
}

/// A payload in the file: its first line and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Its first bytes, as many as a first line can have.
    pub(super) start: Vec<u8>,
    /// Whether a separator stands behind it.
    pub(super) ended: bool,
}

/// A file of payloads, read from front to back.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    separator: Finder<'static>,
    window: Vec<u8>,
    /// What stands before it in the window is done with.
    at: usize,
    /// Offset in the file of the window's first byte.
    base: u64,
    over: bool,
}

impl<R: Read + Seek> Records<R> {
    /// The payloads of `input` from its start.
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        input.rewind()?;
        let separator = Finder::new(SEPARATOR);
        Ok(Self { input, separator, window: Vec::new(), at: 0, base: 0, over: false })
    }

    /// The next payload; none at the end of the file. Payloads that are nothing but white space are passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(record) = self.any()? else { return Ok(None) };
            let blank = record.length <= record.start.len() as u64 && record.start.iter().all(u8::is_ascii_whitespace);
            if !blank {
                return Ok(Some(record));
            }
        }
    }

    fn any(&mut self) -> io::Result<Option<Record>> {
        let offset = self.base + self.at as u64;
        while self.window.len() - self.at < LINE_BYTES + SEPARATOR.len() && !self.over {
            self.fill()?;
        }
        let mut start = self.window[self.at..].iter().take(LINE_BYTES).copied().collect::<Vec<u8>>();
        let mut searched = self.at;
        loop {
            if let Some(found) = self.separator.find(&self.window[searched..]) {
                let (end, behind) = (searched + found, searched + found + SEPARATOR.len());
                if self.window.len() < behind + BEHIND_BYTES && !self.over {
                    self.at = end;
                    self.fill()?;
                    searched = self.at;
                } else if begins_payload(&self.window[behind..]) {
                    let length = self.base + end as u64 - offset;
                    start.truncate(usize::try_from(length).unwrap_or(usize::MAX));
                    self.at = behind;
                    return Ok(Some(Record { offset, length, start, ended: true }));
                } else {
                    searched = behind;
                }
            } else if self.over {
                let length = self.base + self.window.len() as u64 - offset;
                self.at = self.window.len();
                return Ok((length > 0).then_some(Record { offset, length, start, ended: false }));
            } else {
                // The separator may lie across the border.
                self.at = searched.max(self.window.len().saturating_sub(SEPARATOR.len() - 1));
                self.fill()?;
                searched = self.at;
            }
        }
    }

    /// Reads on, and forgets what is done with.
    fn fill(&mut self) -> io::Result<()> {
        self.window.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let read = self.input.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut self.window)?;
        self.over = read < WINDOW_BYTES;
        Ok(())
    }
}

/// Whether what stands behind a separator shows that it is one and no part of a message.
fn begins_payload(behind: &[u8]) -> bool {
    matches!(behind, [] | [b'1'..=b'3', b' ', ..] | [b'\n' | b'\r', ..])
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<(u64, u64, bool)> {
        let mut records = Records::new(Cursor::new(bytes)).unwrap();
        let mut found = Vec::new();
        while let Some(Record { offset, length, start, ended }) = records.next().unwrap() {
            let payload = &bytes[usize::try_from(offset).unwrap()..][..usize::try_from(length).unwrap()];
            assert_eq!(start, payload[..payload.len().min(LINE_BYTES)]);
            found.push((offset, length, ended));
        }
        found
    }

    #[test]
    fn payloads_end_at_separators_with_a_payload_or_nothing_behind() {
        let separator = std::str::from_utf8(SEPARATOR).unwrap();
        for (text, expected) in [
            (String::new(), vec![]),
            (format!("1 a{separator}"), vec![(0, 3, true)]),
            (format!("1 a{separator}2 b{separator}"), vec![(0, 3, true), (17, 3, true)]),
            (format!("1 a{separator}2 b"), vec![(0, 3, true), (17, 3, false)]),
            (format!("1 a{separator}inside{separator}2 b{separator}"), vec![(0, 23, true), (37, 3, true)]),
            (format!("1 a{separator}\n\n1 b{separator}\n"), vec![(0, 3, true), (17, 5, true)]),
            (separator.to_owned(), vec![]),
        ] {
            assert_eq!(all(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn separators_across_windows_are_found() {
        for length in (WINDOW_BYTES - 40..WINDOW_BYTES + 5).chain([3 * WINDOW_BYTES]) {
            let bytes = [&vec![b'x'; length][..], SEPARATOR, b"1 b", SEPARATOR].concat();
            let behind = (length + SEPARATOR.len()) as u64;
            assert_eq!(all(&bytes), [(0, length as u64, true), (behind, 3, true)], "{length}");
        }
    }

    #[test]
    fn first_lines_of_every_version_are_read() {
        let line = |kind, id, at, took| Some(Line { kind, id, at, took });
        for (text, expected) in [
            ("1 abc 17 5\nGET", line(Kind::Request, &b"abc"[..], Some(17), Some(5))),
            ("2 abc 17\n", line(Kind::Response, b"abc", Some(17), None)),
            ("3 abc\r\n", line(Kind::Replayed, b"abc", None, None)),
            ("1 abc 17 -1\n", line(Kind::Request, b"abc", Some(17), None)),
            ("1 abc", None),
            ("4 abc 17\n", None),
            ("1\n", None),
            ("", None),
        ] {
            assert_eq!(Line::of(text.as_bytes()).map(|(line, _)| line), expected, "{text:?}");
        }
        let long = format!("1 {} 17\n", "a".repeat(200));
        assert_eq!(Line::of(long.as_bytes()), None);
    }
}
