//! Cuts a stream of server-sent events (WHATWG HTML §9.2) into its events, as they are on the wire.
//!
//! Sans-io: bytes in, events out. What an event says is not looked at.

use std::time::Duration;

use memchr::memchr2;

use crate::model::Nanos;

/// Longest event that is held, in bytes; the rest of a longer one is passed over.
pub const EVENT_BYTES: usize = 1024 * 1024;
/// A buffer larger than this is given back after its event, in bytes.
const KEPT_BYTES: usize = 16 * 1024;
/// After a comment and a pause this long the comment was a heartbeat, also without an empty line behind it.
const HEARTBEAT_PAUSE: Duration = Duration::from_millis(100);
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Receives an event: first byte seen, last byte seen, its lines with the empty line.
pub type Out<'a> = dyn FnMut(Nanos, Nanos, &[u8]) + 'a;

/// Reads the decoded body of a `text/event-stream` response.
///
/// An event is everything up to and with an empty line, whatever its lines are ended with; comments alone are events, too.
/// Further empty lines and a byte order mark belong to no event.
#[derive(Debug, Default)]
pub struct Reader {
    /// The event under way, as far as it came with earlier input.
    held: Vec<u8>,
    event: Option<Event>,
    line: Line,
    start: Start,
}

/// An event under way.
#[derive(Clone, Copy, Debug)]
struct Event {
    started: Nanos,
    /// Its last byte so far.
    last: Nanos,
    /// It has comments alone so far.
    comments: bool,
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// At its start.
    #[default]
    Start,
    Inside,
    /// Behind a CR that ended a line; an LF belongs to it.
    AfterReturn,
    /// Behind a CR that was an empty line: the event is whole but for an LF that may follow.
    AfterLastReturn,
}

/// How much of a byte order mark was there at the start of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Matched(usize),
    Over,
}

impl Default for Start {
    fn default() -> Self {
        Self::Matched(0)
    }
}

impl Reader {
    /// Reads what came at `at`; gives every event that ends in it. An event that ends in a bare CR is given once it is
    /// known that no LF follows.
    pub fn read(&mut self, at: Nanos, input: &[u8], out: &mut Out<'_>) {
        let mut rest = input;
        while let Start::Matched(so_far) = self.start {
            let Some((first, behind)) = rest.split_first() else { return };
            if BYTE_ORDER_MARK.get(so_far) == Some(first) {
                rest = behind;
                self.start = if so_far + 1 == BYTE_ORDER_MARK.len() { Start::Over } else { Start::Matched(so_far + 1) };
            } else {
                self.start = Start::Over;
                self.lines(at, &BYTE_ORDER_MARK[..so_far], out);
            }
        }
        self.lines(at, rest, out);
    }

    /// Nothing follows, at `at`: gives an event that was begun and not ended. What is read then is another stream; also
    /// of use where bytes were lost.
    pub fn end(&mut self, at: Nanos, out: &mut Out<'_>) {
        if self.line != Line::AfterLastReturn
            && let Some(event) = &mut self.event
        {
            event.last = at;
        }
        self.emit(&[], out);
        *self = Self::default();
    }

    fn lines(&mut self, at: Nanos, input: &[u8], out: &mut Out<'_>) {
        // Where the event under way begins in the input, and the next byte.
        let (mut from, mut next) = (0, 0);
        while let Some(&byte) = input.get(next) {
            match self.line {
                Line::AfterReturn if byte == b'\n' => {
                    next += 1;
                    self.line = Line::Start;
                    self.touch(at);
                    from = if self.event.is_some() { from } else { next };
                }
                Line::AfterReturn => self.line = Line::Start,
                Line::AfterLastReturn => {
                    if byte == b'\n' {
                        next += 1;
                        self.touch(at);
                    }
                    self.emit(&input[from..next], out);
                    from = next;
                }
                Line::Start if byte == b'\n' || byte == b'\r' => {
                    next += 1;
                    self.touch(at);
                    match (byte, self.event.is_some()) {
                        (b'\r', true) => self.line = Line::AfterLastReturn,
                        (_, true) => {
                            self.emit(&input[from..next], out);
                            from = next;
                        }
                        (_, false) => {
                            self.line = if byte == b'\r' { Line::AfterReturn } else { Line::Start };
                            from = next;
                        }
                    }
                }
                Line::Start => {
                    if self.event.is_some_and(|e| e.comments && at.since(e.last) >= HEARTBEAT_PAUSE) {
                        self.emit(&input[from..next], out);
                        from = next;
                    }
                    let event = self.event.get_or_insert(Event { started: at, last: at, comments: true });
                    event.comments &= byte == b':';
                    self.line = Line::Inside;
                }
                Line::Inside => {
                    let end = memchr2(b'\n', b'\r', &input[next..]).map(|length| next + length);
                    self.line = match end.map(|end| input[end]) {
                        None => Line::Inside,
                        Some(b'\r') => Line::AfterReturn,
                        Some(_) => Line::Start,
                    };
                    next = end.map_or(input.len(), |end| end + 1);
                    self.touch(at);
                }
            }
        }
        if self.event.is_some() {
            self.hold(&input[from..]);
        }
    }

    /// The event has a byte of this instant.
    fn touch(&mut self, at: Nanos) {
        if let Some(event) = &mut self.event {
            event.last = at;
        }
    }

    fn hold(&mut self, piece: &[u8]) {
        let room = EVENT_BYTES.saturating_sub(self.held.len());
        self.held.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn emit(&mut self, piece: &[u8], out: &mut Out<'_>) {
        self.line = Line::Start;
        let Some(event) = self.event.take() else { return };
        if self.held.is_empty() {
            out(event.started, event.last, &piece[..piece.len().min(EVENT_BYTES)]);
            return;
        }
        self.hold(piece);
        out(event.started, event.last, &self.held);
        self.held.clear();
        self.held.shrink_to(KEPT_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// The events of one stream, given in pieces at their times in milliseconds.
    fn events(pieces: &[(u64, &[u8])]) -> Vec<(u64, u64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut out = |started: Nanos, ended: Nanos, event: &[u8]| {
            found.push((started.0 / MS, ended.0 / MS, event.to_vec()));
        };
        let mut reader = Reader::default();
        for (at, piece) in pieces {
            reader.read(Nanos(at * MS), piece, &mut out);
        }
        reader.end(Nanos(9999 * MS), &mut out);
        found
    }

    fn texts(found: Vec<(u64, u64, Vec<u8>)>) -> Vec<String> {
        found.into_iter().map(|(.., event)| String::from_utf8(event).unwrap()).collect()
    }

    #[test]
    fn streams_are_cut_at_empty_lines_wherever_the_input_is_cut() {
        for (stream, expected) in [
            ("", &[][..]),
            ("data: a\n\ndata: b\ndata\n\n", &["data: a\n\n", "data: b\ndata\n\n"]),
            ("data: a\r\n\r\nid: 7\r\n\r\n", &["data: a\r\n\r\n", "id: 7\r\n\r\n"]),
            ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"]),
            ("a\r\n\nb\n\r\nc\r\r\nd\n\re\r\n\r", &["a\r\n\n", "b\n\r\n", "c\r\r\n", "d\n\r", "e\r\n\r"]),
            ("\u{feff}data: a\n\n", &["data: a\n\n"]),
            ("\u{feff}\n\r\n\rdata: a\n\n\n\n\r\n: b\n\n", &["data: a\n\n", ": b\n\n"]),
            (": hello\n\n:\n\ndata: x\n\n", &[": hello\n\n", ":\n\n", "data: x\n\n"]),
            (": about\ndata: x\n\n", &[": about\ndata: x\n\n"]),
            ("data: x\n\ndata: never ended\nid", &["data: x\n\n", "data: never ended\nid"]),
            ("data: \u{feff}ö\n\n", &["data: \u{feff}ö\n\n"]),
            ("\u{fe00}: no mark\n\n", &["\u{fe00}: no mark\n\n"]),
        ] {
            let bytes = stream.as_bytes();
            assert_eq!(texts(events(&[(0, bytes)])), expected, "{stream:?}");
            let single: Vec<(u64, &[u8])> = bytes.chunks(1).map(|byte| (0, byte)).collect();
            assert_eq!(texts(events(&single)), expected, "{stream:?} byte by byte");
            for first in 0..bytes.len() {
                for second in first..bytes.len() {
                    let pieces = [(0, &bytes[..first]), (0, &bytes[first..second]), (0, &bytes[second..])];
                    assert_eq!(texts(events(&pieces)), expected, "{stream:?} cut at {first} and {second}");
                }
            }
        }
    }

    #[test]
    fn times_are_those_of_the_first_and_last_byte() {
        let found = events(&[(1, b"data: a"), (2, b"\n\nda"), (3, b"ta: b\n"), (4, b"\r"), (50, b"\n"), (60, b"x")]);
        assert_eq!(
            found,
            [(1, 2, b"data: a\n\n".to_vec()), (2, 50, b"data: b\n\r\n".to_vec()), (60, 9999, b"x".to_vec())]
        );
        let found = events(&[(1, b"a\r\r"), (50, b"b\r\r")]);
        assert_eq!(found, [(1, 1, b"a\r\r".to_vec()), (50, 50, b"b\r\r".to_vec())], "ended before it was sure");
    }

    #[test]
    fn a_comment_before_a_pause_is_a_heartbeat() {
        let found = events(&[(0, b":\n"), (15_000, b":\n"), (30_000, b"data: x\n"), (60_000, b"data: y\n\n")]);
        assert_eq!(
            found,
            [
                (0, 0, b":\n".to_vec()),
                (15_000, 15_000, b":\n".to_vec()),
                (30_000, 60_000, b"data: x\ndata: y\n\n".to_vec())
            ]
        );
        let found = events(&[(0, b": about\n"), (1, b"data: x\n\n")]);
        assert_eq!(found, [(0, 1, b": about\ndata: x\n\n".to_vec())], "a segment later");
    }

    #[test]
    fn an_endless_event_is_cut_at_the_limit() {
        let piece = vec![b'x'; 100_000];
        let mut pieces: Vec<(u64, &[u8])> = vec![(0, &piece); 20];
        pieces.push((0, b"\n\ndata: b\n\n"));
        let found = events(&pieces);
        assert_eq!(found.iter().map(|(.., event)| event.len()).collect::<Vec<_>>(), [EVENT_BYTES, 9]);
        let whole = [vec![b'x'; 3 * EVENT_BYTES], b"\n\nd\n\n".to_vec()].concat();
        let found = events(&[(0, &whole)]);
        assert_eq!(found.iter().map(|(.., event)| event.len()).collect::<Vec<_>>(), [EVENT_BYTES, 3]);
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_events() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        for _ in 0..3000 {
            let bytes: Vec<u8> = (0..random(60)).map(|_| b"\n\r\n\r:da\xef\xbb\xbf"[random(10)]).collect();
            let whole = events(&[(0, &bytes)]);
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(1 + random(rest.len()));
                pieces.push((0, piece));
                rest = behind;
            }
            assert_eq!(texts_lossy(&events(&pieces)), texts_lossy(&whole), "{bytes:?}");
        }
    }

    fn texts_lossy(found: &[(u64, u64, Vec<u8>)]) -> Vec<&[u8]> {
        found.iter().map(|(.., event)| event.as_slice()).collect()
    }
}
