//! Takes entries out of the file one by one; strings that are longer than memory should hold stay in the file.
//!
//! Main types: [`Loader`], [`Entry`].

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::json::{Table, Value};
use super::survey::Place;

/// Entries up to this length are read whole.
const WHOLE_BYTES: u64 = 4 << 20;
/// Strings over this length stay in the file, when the entry is not read whole.
const LONG_BYTES: usize = 256 << 10;
/// Longest entry without its long strings.
const MOST_BYTES: usize = 128 << 20;
/// Read at a time.
const WINDOW_BYTES: usize = 256 << 10;
/// Pieces in which a string is handed out.
const PIECE_BYTES: usize = 64 << 10;

/// The entries of a file, for one who knows where they are.
#[derive(Debug)]
pub(super) struct Loader<R> {
    input: BufReader<R>,
    at: u64,
}

/// One entry as it is written, less its long strings.
#[derive(Debug, Default)]
pub(super) struct Entry {
    written: Vec<u8>,
    /// Where in `written` a long string would begin, and where in the file it does.
    long: Vec<Long>,
    table: Table,
}

#[derive(Debug)]
struct Long {
    at: usize,
    offset: u64,
    length: u64,
}

impl Entry {
    /// The entry; none when it is no JSON.
    pub(super) fn value(&self) -> Option<Value<'_>> {
        Value::of(&self.written, &self.table)
    }

    fn long(&self, value: Value<'_>) -> Option<&Long> {
        self.long.binary_search_by_key(&value.at(), |long| long.at).ok().map(|found| &self.long[found])
    }

    /// Whether a string stayed in the file.
    pub(super) fn is_long(&self, value: Value<'_>) -> bool {
        self.long(value).is_some()
    }

    /// Length of a string as it is written, in bytes.
    pub(super) fn length(&self, value: Value<'_>) -> u64 {
        self.long(value).map_or(value.inner().len() as u64, |long| long.length)
    }
}

impl<R: Read + Seek> Loader<R> {
    /// From a file that was surveyed.
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        let at = input.seek(SeekFrom::Start(0))?;
        Ok(Self { input: BufReader::with_capacity(WINDOW_BYTES, input), at })
    }

    /// Reads an entry into `entry`. False when it is too long even without its long strings.
    pub(super) fn entry(&mut self, place: Place, entry: &mut Entry) -> io::Result<bool> {
        entry.written.clear();
        entry.written.shrink_to(8 << 20);
        entry.long.clear();
        self.seek(place.offset)?;
        let taken = if place.length > WHOLE_BYTES {
            self.without_long_strings(place.length, entry)?
        } else {
            let read = self.input.by_ref().take(place.length).read_to_end(&mut entry.written)?;
            self.at += read as u64;
            true
        };
        if taken {
            entry.table.fill(&entry.written);
        }
        Ok(taken)
    }

    /// A string's inside as it is written, in pieces.
    pub(super) fn pieces<E: From<io::Error>>(
        &mut self,
        entry: &Entry,
        value: Value<'_>,
        mut piece: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(long) = entry.long(value) else {
            return value.inner().chunks(PIECE_BYTES).try_for_each(piece);
        };
        self.seek(long.offset)?;
        let mut left = long.length;
        let mut buffer = vec![0; PIECE_BYTES];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
            self.input.read_exact(&mut buffer[..want])?;
            self.at += want as u64;
            left -= want as u64;
            piece(&buffer[..want])?;
        }
        Ok(())
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        let forward = i64::try_from(offset).unwrap_or(i64::MAX) - i64::try_from(self.at).unwrap_or(i64::MAX);
        self.input.seek_relative(forward)?;
        self.at = offset;
        Ok(())
    }

    fn without_long_strings(&mut self, length: u64, entry: &mut Entry) -> io::Result<bool> {
        let mut string: Option<Open> = None;
        let mut left = length;
        let mut window = vec![0; WINDOW_BYTES];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            self.input.read_exact(&mut window[..want])?;
            let mut rest = &window[..want];
            while !rest.is_empty() {
                let used = match &mut string {
                    None => {
                        let plain = memchr::memchr(b'"', rest);
                        let used = plain.map_or(rest.len(), |plain| plain + 1);
                        entry.written.extend_from_slice(&rest[..used]);
                        if plain.is_some() {
                            let offset = self.at + (want - rest.len() + used) as u64;
                            string = Some(Open { at: entry.written.len() - 1, offset, length: 0, escaped: false });
                        }
                        used
                    }
                    Some(open) => {
                        let (used, closed) = open.take(rest);
                        open.keep(&rest[..used], &mut entry.written);
                        if closed {
                            open.close(entry);
                            string = None;
                        }
                        used
                    }
                };
                rest = &rest[used..];
            }
            self.at += want as u64;
            left -= want as u64;
            if entry.written.len() > MOST_BYTES {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A string whose end was not met.
#[derive(Debug)]
struct Open {
    /// Its opening quote in what is kept.
    at: usize,
    /// Its inside in the file.
    offset: u64,
    length: u64,
    escaped: bool,
}

impl Open {
    /// How much of `rest` belongs to the string, its closing quote included, and whether that came.
    fn take(&mut self, rest: &[u8]) -> (usize, bool) {
        let mut used = 0;
        if std::mem::take(&mut self.escaped) {
            used = 1;
        }
        loop {
            match memchr::memchr2(b'"', b'\\', &rest[used..]) {
                None => return (rest.len(), false),
                Some(more) if rest[used + more] == b'"' => return (used + more + 1, true),
                Some(more) if used + more + 1 == rest.len() => {
                    self.escaped = true;
                    return (rest.len(), false);
                }
                Some(more) => used += more + 2,
            }
        }
    }

    fn keep(&mut self, piece: &[u8], written: &mut Vec<u8>) {
        self.length += piece.len() as u64;
        if self.length <= LONG_BYTES as u64 {
            written.extend_from_slice(piece);
        } else {
            written.truncate(self.at + 1);
        }
    }

    fn close(&mut self, entry: &mut Entry) {
        if self.length > LONG_BYTES as u64 {
            entry.written.push(b'"');
            entry.long.push(Long { at: self.at, offset: self.offset, length: self.length - 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_strings_stay_in_the_file_and_are_read_from_there() {
        let long = "a\\\"b\\\\".repeat(200_000);
        let other = "z".repeat(LONG_BYTES + 1);
        let text = format!(
            r#"  {{"short":"x\"y","long":"{long}","n":[1,"{other}"],"pad":[{}0]}}"#,
            "\"q\",".repeat(1_000_000)
        );
        let place = Place { start: 0, offset: 2, length: text.len() as u64 - 2 };
        let mut loader = Loader::new(io::Cursor::new(text.as_bytes())).unwrap();
        let mut entry = Entry::default();
        assert!(loader.entry(place, &mut entry).unwrap());
        assert_eq!(entry.long.len(), 2);
        let value = entry.value().unwrap();
        assert_eq!(value.get("short").unwrap().text().unwrap(), "x\"y");
        assert_eq!(value.get("pad").unwrap().items().count(), 1_000_001);
        for (value, expected) in
            [(value.get("long").unwrap(), long), (value.get("n").unwrap().items().nth(1).unwrap(), other)]
        {
            assert_eq!(entry.length(value), expected.len() as u64);
            let mut read = Vec::new();
            let pieces = loader.pieces(&entry, value, |piece| {
                read.extend_from_slice(piece);
                Ok::<_, io::Error>(())
            });
            pieces.unwrap();
            assert!(read == expected.as_bytes());
        }
    }
}
