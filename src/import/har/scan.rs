//! Walks through JSON of any length without holding it: strings are passed over at the speed of memory, brackets are counted.
//!
//! Lenient on purpose (the writers are many), but every byte outside of strings must be one that JSON can have there. Knows
//! nothing of HAR. Main type: [`Scanner`].

use std::io::{self, Read};

/// Read at a time.
const WINDOW_BYTES: usize = 256 << 10;
/// Deepest nesting.
const DEPTH: usize = 1000;

/// Why the walk ended.
#[derive(Debug)]
pub(super) enum Fault {
    /// The input ends inside a value.
    Ends,
    /// A byte that cannot stand here.
    Unexpected(u8),
    /// More brackets inside each other than anyone writes.
    TooDeep,
    /// The input cannot be read.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A place in JSON text that is read once, from front to back.
#[derive(Debug)]
pub(super) struct Scanner<R> {
    input: R,
    window: Vec<u8>,
    at: usize,
    end: usize,
    /// Offset of the window in the input.
    base: u64,
}

impl<R: Read> Scanner<R> {
    /// From the start of `input`; a byte order mark is passed over.
    pub(super) fn new(input: R) -> Result<Self, Fault> {
        let mut scanner = Self { input, window: vec![0; WINDOW_BYTES], at: 0, end: 0, base: 0 };
        while scanner.end < 3 && scanner.more()? {}
        if scanner.window[..scanner.end].starts_with(b"\xef\xbb\xbf") {
            scanner.at = 3;
        }
        Ok(scanner)
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next byte that is not white space, which stays; none at the end.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            match self.window[self.at..self.end].iter().position(|b| !b.is_ascii_whitespace()) {
                Some(more) => {
                    self.at += more;
                    return Ok(Some(self.window[self.at]));
                }
                None => {
                    self.at = self.end;
                    if !self.refill()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The next byte that is not white space, which stays.
    pub(super) fn some(&mut self) -> Result<u8, Fault> {
        self.peek()?.ok_or(Fault::Ends)
    }

    /// Takes this byte, or fails.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take_if(byte)? { Ok(()) } else { Err(Fault::Unexpected(self.window[self.at])) }
    }

    /// Takes this byte when it is the next one.
    pub(super) fn take_if(&mut self, byte: u8) -> Result<bool, Fault> {
        let found = self.some()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    /// The next key of an object whose opening brace was taken; none at its end, which is taken. `first` is set for the
    /// first question.
    pub(super) fn key(&mut self, first: bool, keep: usize) -> Result<Option<Vec<u8>>, Fault> {
        if self.take_if(b'}')? {
            return Ok(None);
        }
        if !first {
            self.expect(b',')?;
            if self.take_if(b'}')? {
                return Ok(None);
            }
        }
        let key = self.string(keep)?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    /// The inside of a string as it is written, at most `keep` bytes of it.
    pub(super) fn string(&mut self, keep: usize) -> Result<Vec<u8>, Fault> {
        self.expect(b'"')?;
        let mut kept = Vec::new();
        self.string_rest(|piece| {
            let room = keep - kept.len();
            kept.extend_from_slice(&piece[..piece.len().min(room)]);
        })?;
        Ok(kept)
    }

    /// A number or word as it is written, at most `keep` bytes of it.
    pub(super) fn literal(&mut self, keep: usize) -> Result<Vec<u8>, Fault> {
        let first = self.some()?;
        if CLASS[usize::from(first)] != PLAIN || matches!(first, b',' | b':') {
            return Err(Fault::Unexpected(first));
        }
        let mut kept = Vec::new();
        loop {
            let rest = &self.window[self.at..self.end];
            let ends = |b: &u8| CLASS[usize::from(*b)] != PLAIN || matches!(b, b',' | b':') || b.is_ascii_whitespace();
            let length = rest.iter().position(ends);
            let piece = &rest[..length.unwrap_or(rest.len())];
            kept.extend_from_slice(&piece[..piece.len().min(keep - kept.len())]);
            self.at += piece.len();
            if length.is_some() || !self.refill()? {
                return Ok(kept);
            }
        }
    }

    /// Passes over one value.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        match self.some()? {
            b'"' => {
                self.at += 1;
                self.string_rest(|_| ())
            }
            b'{' | b'[' => self.skip_nested(),
            _ => self.literal(0).map(drop),
        }
    }

    fn skip_nested(&mut self) -> Result<(), Fault> {
        let mut open = Vec::new();
        loop {
            let rest = &self.window[self.at..self.end];
            let Some(plain) = rest.iter().position(|b| CLASS[usize::from(*b)] != PLAIN) else {
                self.at = self.end;
                if self.refill()? {
                    continue;
                }
                return Err(Fault::Ends);
            };
            let byte = rest[plain];
            self.at += plain;
            match byte {
                b'"' => {
                    self.at += 1;
                    self.string_rest(|_| ())?;
                }
                b'{' | b'[' if open.len() >= DEPTH => return Err(Fault::TooDeep),
                b'{' | b'[' => {
                    open.push(byte + 2);
                    self.at += 1;
                }
                b'}' | b']' if open.pop() == Some(byte) => {
                    self.at += 1;
                    if open.is_empty() {
                        return Ok(());
                    }
                }
                byte => return Err(Fault::Unexpected(byte)),
            }
        }
    }

    /// The rest of a string whose opening quote was taken, in pieces, as it is written.
    fn string_rest(&mut self, mut piece: impl FnMut(&[u8])) -> Result<(), Fault> {
        loop {
            let rest = &self.window[self.at..self.end];
            match memchr::memchr2(b'"', b'\\', rest) {
                Some(length) if rest[length] == b'"' => {
                    piece(&rest[..length]);
                    self.at += length + 1;
                    return Ok(());
                }
                Some(length) if length + 1 < rest.len() => {
                    piece(&rest[..length + 2]);
                    self.at += length + 2;
                }
                // The escape is cut by the window's end.
                Some(length) => {
                    piece(&rest[..length]);
                    self.at += length;
                    if !self.more()? {
                        return Err(Fault::Ends);
                    }
                }
                None => {
                    piece(rest);
                    self.at = self.end;
                    if !self.refill()? {
                        return Err(Fault::Ends);
                    }
                }
            }
        }
    }

    /// Reads the next window; false at the end of the input.
    fn refill(&mut self) -> Result<bool, Fault> {
        self.base += self.end as u64;
        (self.at, self.end) = (0, 0);
        self.more()
    }

    /// Reads on, keeping what was not taken; false at the end of the input.
    fn more(&mut self) -> Result<bool, Fault> {
        if self.end == self.window.len() {
            self.window.copy_within(self.at..self.end, 0);
            self.base += self.at as u64;
            self.end -= self.at;
            self.at = 0;
        }
        loop {
            match self.input.read(&mut self.window[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
    }
}

/// Goes on outside of strings.
const PLAIN: u8 = 0;
/// A quote or a bracket.
const MARK: u8 = 1;
/// Stands nowhere outside of strings.
const BAD: u8 = 2;

const CLASS: [u8; 256] = {
    let mut class = [BAD; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || matches!(b, b',' | b':' | b'+' | b'-' | b'.') {
            class[byte] = PLAIN;
        } else if matches!(b, b'"' | b'{' | b'}' | b'[' | b']') {
            class[byte] = MARK;
        }
        byte += 1;
    }
    class
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, so that every cut of the window happens.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            to[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn values_are_passed_over_whole_however_they_arrive() {
        for text in [
            r#""a\"b\\""#,
            r#"{"a":[1,{"b":"]}"}],"c":null}"#,
            "[]",
            "-1.5e3",
            "true",
            r#"{"a\\":"\\","b":"\""}"#,
            "\u{feff}[\"\u{e4}\"]",
        ] {
            for tail in ["", " , 1", "]"] {
                let all = format!("{text}{tail}");
                let mut scanner = Scanner::new(Trickle(all.as_bytes())).unwrap();
                scanner.skip().unwrap();
                assert_eq!(scanner.offset(), text.len() as u64, "{all}");
                let mut scanner = Scanner::new(all.as_bytes()).unwrap();
                scanner.skip().unwrap();
                assert_eq!(scanner.offset(), text.len() as u64, "{all}");
            }
        }
    }

    #[test]
    fn what_cannot_be_json_is_refused_with_its_place() {
        for (text, at) in [("{\"a\":1]", 6), ("[1,\u{1}2]", 3), ("[1,\"a\",\u{e4}]", 7), ("}", 0), (",", 0)] {
            let mut scanner = Scanner::new(text.as_bytes()).unwrap();
            assert!(matches!(scanner.skip(), Err(Fault::Unexpected(_))), "{text}");
            assert_eq!(scanner.offset(), at, "{text}");
        }
        let deep = "[".repeat(DEPTH + 1);
        assert!(matches!(Scanner::new(deep.as_bytes()).unwrap().skip(), Err(Fault::TooDeep)));
        let text = r#"{"a":["x\"",{"b":2}]}"#;
        for cut in 1..text.len() {
            let mut scanner = Scanner::new(&text.as_bytes()[..cut]).unwrap();
            assert!(matches!(scanner.skip(), Err(Fault::Ends)), "{cut}");
        }
    }
}
