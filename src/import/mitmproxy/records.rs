//! The records of a flow file one after the other, over torn ones to the next that is whole.
//!
//! A program that was stopped while it wrote, and then appended to the same file, leaves a torn record in front of whole
//! ones. Knows nothing of what a flow says. Main type: [`Records`].

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::tnetstring::{DICTIONARY, LENGTH_DIGITS, length};

/// Longest record that is taken into memory.
pub(super) const RECORD_BYTES: u64 = 1 << 30;

/// How much is looked at at once in search of the next record.
const WINDOW_BYTES: usize = 256 << 10;

/// Longest start by which a record is recognised: two lengths with their colons, and a key.
const START_BYTES: usize = 2 * (LENGTH_DIGITS + 1) + 32;

/// Places that look like the start of a record and may be tried in one file.
const TRIES: u32 = 1_000_000;

/// Keys with which the records of one version or another begin.
const FIRST_KEYS: [&[u8]; 16] = [
    b"websocket",
    b"backup",
    b"type",
    b"version",
    b"marked",
    b"messages",
    b"response",
    b"request",
    b"id",
    b"mode",
    b"metadata",
    b"timestamp_created",
    b"comment",
    b"is_replay",
    b"intercepted",
    b"client_conn",
];

/// What stands somewhere in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// A dictionary; `start` and `length` are those of its inside.
    Whole { start: u64, length: u64 },
    /// One that is longer than anyone should keep in memory.
    TooLong { offset: u64 },
    /// Something else, up to the next record or the end of the file.
    Broken { offset: u64, bytes: u64 },
}

/// A file of records.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: BufReader<R>,
    /// Where the next byte comes from.
    at: u64,
    len: u64,
    tries: u32,
}

impl<R: Read + Seek> Records<R> {
    /// The records of `input` from its start.
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        let len = input.seek(SeekFrom::End(0))?;
        input.rewind()?;
        Ok(Self { input: BufReader::with_capacity(64 << 10, input), at: 0, len, tries: TRIES })
    }

    /// The record at `offset`, and where the one behind it starts; none at the end of the file. What a whole record holds is
    /// then in `inside`.
    pub(super) fn next(&mut self, offset: u64, inside: &mut Vec<u8>) -> io::Result<Option<(Record, u64)>> {
        if offset >= self.len {
            return Ok(None);
        }
        if let Some((start, length)) = self.length_at(offset)? {
            let behind = start + length + 1;
            if length > RECORD_BYTES && self.dictionary_at(offset)?.is_some() {
                return Ok(Some((Record::TooLong { offset }, behind)));
            }
            // The tag comes with the rest, so that what is whole is read from front to back.
            if length <= RECORD_BYTES && self.read(start, length + 1, inside)? && inside.pop() == Some(DICTIONARY) {
                return Ok(Some((Record::Whole { start, length }, behind)));
            }
        }
        let next = self.find(offset + 1)?.unwrap_or(self.len);
        Ok(Some((Record::Broken { offset, bytes: next - offset }, next)))
    }

    /// Reads so many bytes from `start` on; false when they are not there.
    pub(super) fn read(&mut self, start: u64, length: u64, into: &mut Vec<u8>) -> io::Result<bool> {
        self.go_to(start)?;
        into.clear();
        let read = self.input.by_ref().take(length).read_to_end(into)? as u64;
        self.at += read;
        Ok(read == length)
    }

    /// Where the inside of what starts at `offset` is, by its length, when that leaves room for a tag.
    fn length_at(&mut self, offset: u64) -> io::Result<Option<(u64, u64)>> {
        let mut head = Vec::with_capacity(LENGTH_DIGITS + 1);
        self.read(offset, LENGTH_DIGITS as u64 + 1, &mut head)?;
        let Some((length, rest)) = length(&head) else { return Ok(None) };
        let start = offset + (head.len() - rest.len()) as u64;
        let fits = start.checked_add(length).is_some_and(|end| end < self.len);
        Ok(fits.then_some((start, length)))
    }

    /// The same of a dictionary.
    fn dictionary_at(&mut self, offset: u64) -> io::Result<Option<(u64, u64)>> {
        let Some((start, length)) = self.length_at(offset)? else { return Ok(None) };
        let mut tag = Vec::with_capacity(1);
        self.read(start + length, 1, &mut tag)?;
        Ok((tag == [DICTIONARY]).then_some((start, length)))
    }

    /// The first offset from `from` on at which a whole record starts.
    fn find(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut window = Vec::new();
        let mut at = from;
        while at < self.len && self.tries > 0 {
            let want = (self.len - at).min(WINDOW_BYTES as u64);
            self.read(at, want, &mut window)?;
            let last = at + want >= self.len;
            let sure = if last { window.len() } else { window.len().saturating_sub(START_BYTES) };
            for start in starts(&window, sure) {
                self.tries = self.tries.saturating_sub(1);
                if self.tries == 0 {
                    return Ok(None);
                }
                if self.dictionary_at(at + start as u64)?.is_some() {
                    return Ok(Some(at + start as u64));
                }
            }
            if last || sure == 0 {
                return Ok(None);
            }
            at += sure as u64;
        }
        Ok(None)
    }

    fn go_to(&mut self, offset: u64) -> io::Result<()> {
        let there = i64::try_from(offset).unwrap_or(i64::MAX);
        let here = i64::try_from(self.at).unwrap_or(i64::MAX);
        self.input.seek_relative(there.saturating_sub(here))?;
        self.at = offset;
        Ok(())
    }
}

/// Offsets below `sure` at which a record may start: at any digit of a length with a key of flows behind it. The first digits
/// can be the end of a torn length.
fn starts(window: &[u8], sure: usize) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b':', window).flat_map(move |colon| {
        let digits = window[..colon].iter().rev().take(LENGTH_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        let start = if digits > 0 && begins_flow(&window[colon + 1..]) { colon - digits } else { colon };
        start..colon.min(sure)
    })
}

/// Whether a key of flows stands at the start.
fn begins_flow(inside: &[u8]) -> bool {
    let Some((bytes, rest)) = length(inside) else { return false };
    let split = usize::try_from(bytes).ok().and_then(|bytes| rest.split_at_checked(bytes));
    split.is_some_and(|(key, rest)| FIRST_KEYS.contains(&key) && matches!(rest.first(), Some(b';' | b',')))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<Record> {
        let mut records = Records::new(Cursor::new(bytes)).unwrap();
        let (mut found, mut at, mut inside) = (Vec::new(), 0, Vec::new());
        while let Some((record, next)) = records.next(at, &mut inside).unwrap() {
            assert!(next > at, "it moves on");
            if let Record::Whole { start, length } = record {
                let start = usize::try_from(start).unwrap();
                assert_eq!(inside, bytes[start..start + usize::try_from(length).unwrap()]);
            }
            found.push(record);
            at = next;
        }
        found
    }

    const FLOW: &[u8] = b"18:4:type;8:tcp-flow;}";

    #[test]
    fn records_stand_one_behind_the_other() {
        let whole = |start| Record::Whole { start, length: 18 };
        assert_eq!(all(&FLOW.repeat(3)), [whole(3), whole(25), whole(47)]);
        assert_eq!(all(b""), []);
    }

    #[test]
    fn a_torn_record_costs_none_of_those_that_were_appended() {
        for cut in 1..FLOW.len() {
            let bytes = [FLOW, &FLOW[..cut], FLOW].concat();
            let behind = (FLOW.len() + cut) as u64;
            let broken = Record::Broken { offset: 22, bytes: cut as u64 };
            let found = all(&bytes);
            // A record of which the tag alone is missing, or which is cut inside its length, can take the next one's start.
            assert_eq!(found[0], Record::Whole { start: 3, length: 18 });
            if cut > 2 {
                assert_eq!(found[1..], [broken, Record::Whole { start: behind + 3, length: 18 }], "cut at {cut}");
            }
            assert_eq!(all(&bytes[..22 + cut])[1..], [broken]);
        }
    }

    #[test]
    fn the_next_record_is_found_across_windows() {
        for gap in [WINDOW_BYTES - START_BYTES, WINDOW_BYTES - 5, WINDOW_BYTES, 3 * WINDOW_BYTES + 11] {
            let bytes = [&b"x"[..], &b"12:4:typ".repeat(gap / 8), FLOW].concat();
            let behind = (bytes.len() - FLOW.len()) as u64;
            let expected =
                [Record::Broken { offset: 0, bytes: behind }, Record::Whole { start: behind + 3, length: 18 }];
            assert_eq!(all(&bytes), expected, "{gap}");
        }
    }

    #[test]
    fn lengths_that_lie_are_no_records() {
        for bytes in [
            &b"999999999999:4:type;"[..],
            b"1:}",
            b"0:]",
            b"0000000000000:}",
            b"5:hello,",
            b":",
            b"9",
            b"18446744073709551615:}",
        ] {
            assert_eq!(all(bytes), [Record::Broken { offset: 0, bytes: bytes.len() as u64 }]);
        }
        assert_eq!(all(b"0:}"), [Record::Whole { start: 2, length: 0 }]);
    }
}
