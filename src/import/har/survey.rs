//! The first pass: where the entries are, when they began, and what the file says of itself.
//!
//! Reads no entry's content. Main type: [`Survey`].

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::HarError;
use super::date;
use super::scan::{Fault, Scanner};
use super::text::unescaped;
use crate::observe::streams::UnixNanos;

/// Most entries of one file; 24 bytes of memory each.
const ENTRIES: usize = 4_000_000;
/// Most pages of one file.
const PAGES: usize = 100_000;
/// Longest name of anything.
const NAME_BYTES: usize = 1024;
/// Longest key or date that is looked at.
const SHORT_BYTES: usize = 64;

/// What a HAR file holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The earliest moment of any entry: instant 0 of the capture.
    pub anchor: UnixNanos,
    /// Name and version of the program that wrote it.
    pub creator: String,
    /// Name and version of the browser, when it says.
    pub browser: String,
    /// Version of the format, such as `1.2`.
    pub version: String,
    /// Pages by id, with their titles.
    pub pages: HashMap<String, String>,
    /// Where the file stops being readable.
    pub damage: Option<Damage>,
    /// Entries whose date cannot be read; they take the moment of the entry before them.
    pub undated: u64,
    /// Elements of the list of entries that are none.
    pub no_entries: u64,
    /// Entries beyond the limit of four million, which are not imported.
    pub beyond: u64,
    /// In the order in which they began.
    pub(super) places: Vec<Place>,
}

/// An entry in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// When it began on the network.
    pub(super) start: UnixNanos,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Where and why a file cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset in bytes.
    pub byte: u64,
    /// Line, from 1.
    pub line: u64,
    /// Byte in the line, from 1.
    pub column: u64,
    /// What is wrong there.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at line {} column {} (byte {})", self.what, self.line, self.column, self.byte)
    }
}

impl Survey {
    /// Number of entries that will be looked at.
    pub fn entries(&self) -> u64 {
        self.places.len() as u64
    }
}

/// Surveys a HAR file from its start. The input is UTF-8; see [`super::is_plain`]. A file that ends or breaks in the middle
/// is surveyed up to there: [`Survey::damage`] says where.
///
/// # Errors
/// When the input cannot be read, or is no HAR.
pub fn survey<R: Read + Seek>(input: &mut R) -> Result<Survey, HarError> {
    input.rewind()?;
    let mut surveyor = Surveyor::default();
    let mut scanner = Scanner::new(&mut *input).map_err(no_har)?;
    let walked = surveyor.root(&mut scanner);
    let byte = scanner.offset();
    let mut survey = surveyor.survey;
    match walked {
        Ok(()) if surveyor.is_har => {}
        Err(Fault::Io(error)) => return Err(HarError::Io(error)),
        Err(fault) if surveyor.is_har => survey.damage = Some(locate(input, byte, &fault)?),
        _ => return Err(HarError::NotHar),
    }
    survey.anchor = surveyor.earliest.unwrap_or(0);
    survey.places.sort_unstable();
    Ok(survey)
}

fn no_har(fault: Fault) -> HarError {
    match fault {
        Fault::Io(error) => HarError::Io(error),
        _ => HarError::NotHar,
    }
}

/// Line and column of an offset.
fn locate<R: Read + Seek>(input: &mut R, byte: u64, fault: &Fault) -> Result<Damage, HarError> {
    input.rewind()?;
    let mut input = input.take(byte);
    let (mut line, mut before, mut line_start) = (1, 0, 0);
    let mut window = vec![0; 64 << 10];
    loop {
        let read = input.read(&mut window)?;
        if read == 0 {
            break;
        }
        for at in memchr::memchr_iter(b'\n', &window[..read]) {
            line += 1;
            line_start = before + at as u64 + 1;
        }
        before += read as u64;
    }
    let what = match fault {
        Fault::Ends => "the file ends in the middle".to_owned(),
        Fault::Unexpected(byte) if byte.is_ascii_graphic() => format!("unexpected `{}`", char::from(*byte)),
        Fault::Unexpected(byte) => format!("unexpected byte {byte:#04x}"),
        Fault::TooDeep => "too many brackets inside each other".to_owned(),
        Fault::Io(error) => error.to_string(),
    };
    Ok(Damage { byte, line, column: byte - line_start + 1, what })
}

#[derive(Debug, Default)]
struct Surveyor {
    survey: Survey,
    /// The list of entries was met.
    is_har: bool,
    /// The earliest moment.
    earliest: Option<UnixNanos>,
    /// The last entry's moment in file order.
    last: UnixNanos,
}

impl Surveyor {
    /// `{"log": {…}}`; the log itself is taken too.
    fn root<R: Read>(&mut self, scanner: &mut Scanner<R>) -> Result<(), Fault> {
        scanner.expect(b'{')?;
        let mut first = true;
        while let Some(key) = scanner.key(first, SHORT_BYTES)? {
            first = false;
            match &key[..] {
                b"log" if scanner.some()? == b'{' => {
                    scanner.expect(b'{')?;
                    let mut first = true;
                    while let Some(key) = scanner.key(first, SHORT_BYTES)? {
                        first = false;
                        self.of_log(&key, scanner)?;
                    }
                }
                key => self.of_log(key, scanner)?,
            }
        }
        Ok(())
    }

    fn of_log<R: Read>(&mut self, key: &[u8], scanner: &mut Scanner<R>) -> Result<(), Fault> {
        match (key, scanner.some()?) {
            (b"entries", b'[') => {
                self.is_har = true;
                elements(scanner, |scanner| self.entry(scanner))
            }
            (b"pages", b'[') => elements(scanner, |scanner| self.page(scanner)),
            (b"version", _) => {
                self.survey.version = scalar(scanner)?.unwrap_or_default();
                Ok(())
            }
            (b"creator", b'{') => {
                self.survey.creator = program(scanner)?;
                Ok(())
            }
            (b"browser", b'{') => {
                self.survey.browser = program(scanner)?;
                Ok(())
            }
            _ => scanner.skip(),
        }
    }

    fn page<R: Read>(&mut self, scanner: &mut Scanner<R>) -> Result<(), Fault> {
        if scanner.some()? != b'{' {
            return scanner.skip();
        }
        let (mut id, mut title) = (None, None);
        members(scanner, |key, scanner| {
            match key {
                b"id" => id = scalar(scanner)?,
                b"title" => title = scalar(scanner)?,
                _ => scanner.skip()?,
            }
            Ok(())
        })?;
        if let Some(id) = id.filter(|_| self.survey.pages.len() < PAGES) {
            let title = title.map(|title| title.trim().to_owned()).filter(|title| !title.is_empty());
            self.survey.pages.insert(id.clone(), title.unwrap_or(id));
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, scanner: &mut Scanner<R>) -> Result<(), Fault> {
        if scanner.some()? != b'{' {
            self.survey.no_entries += 1;
            return scanner.skip();
        }
        let offset = scanner.offset();
        let (mut moment, mut blocked, mut is_entry, mut is_own) = (None, 0.0, false, false);
        members(scanner, |key, scanner| {
            match key {
                b"startedDateTime" => moment = scalar(scanner)?.and_then(|text| date::parse(&text)),
                b"timings" if scanner.some()? == b'{' => members(scanner, |key, scanner| {
                    if key == b"blocked" {
                        blocked = scalar(scanner)?.and_then(|text| text.parse().ok()).unwrap_or(0.0);
                        Ok(())
                    } else {
                        scanner.skip()
                    }
                })?,
                // Our exports start an entry when the exchange started.
                b"_overdub_timing" => {
                    is_own = true;
                    scanner.skip()?;
                }
                b"request" => {
                    is_entry = scanner.some()? == b'{';
                    scanner.skip()?;
                }
                _ => scanner.skip()?,
            }
            Ok(())
        })?;
        if !is_entry {
            self.survey.no_entries += 1;
            return Ok(());
        }
        if self.survey.places.len() >= ENTRIES {
            self.survey.beyond += 1;
            return Ok(());
        }
        let start = match moment {
            Some(moment) => {
                self.earliest = Some(self.earliest.map_or(moment, |earliest| earliest.min(moment)));
                self.last = moment.saturating_add(super::timing::nanos(if is_own { 0.0 } else { blocked }));
                self.last
            }
            None => {
                self.survey.undated += 1;
                self.last
            }
        };
        self.survey.places.push(Place { start, offset, length: scanner.offset() - offset });
        Ok(())
    }
}

/// `Name 1.2` of a creator or browser.
fn program<R: Read>(scanner: &mut Scanner<R>) -> Result<String, Fault> {
    let (mut name, mut version) = (None, None);
    members(scanner, |key, scanner| {
        match key {
            b"name" => name = scalar(scanner)?,
            b"version" => version = scalar(scanner)?,
            _ => scanner.skip()?,
        }
        Ok(())
    })?;
    let parts: Vec<String> = name.into_iter().chain(version).filter(|part| !part.is_empty()).collect();
    Ok(parts.join(" "))
}

/// A string, number or word; none for `null` and for anything longer or larger.
fn scalar<R: Read>(scanner: &mut Scanner<R>) -> Result<Option<String>, Fault> {
    let written = match scanner.some()? {
        b'"' => scanner.string(NAME_BYTES)?,
        b'{' | b'[' => return scanner.skip().map(|()| None),
        _ => scanner.literal(SHORT_BYTES)?,
    };
    Ok((written != b"null").then(|| unescaped(&written).into_owned()))
}

fn members<R: Read>(
    scanner: &mut Scanner<R>,
    mut each: impl FnMut(&[u8], &mut Scanner<R>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    scanner.expect(b'{')?;
    let mut first = true;
    while let Some(key) = scanner.key(first, SHORT_BYTES)? {
        first = false;
        each(&key, scanner)?;
    }
    Ok(())
}

fn elements<R: Read>(
    scanner: &mut Scanner<R>,
    mut each: impl FnMut(&mut Scanner<R>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    scanner.expect(b'[')?;
    let mut first = true;
    loop {
        if scanner.take_if(b']')? {
            return Ok(());
        }
        if !first {
            scanner.expect(b',')?;
            if scanner.take_if(b']')? {
                return Ok(());
            }
        }
        first = false;
        each(scanner)?;
    }
}
