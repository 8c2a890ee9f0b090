//! Copies everything that can still be read of a damaged capture into a fresh one, and checks bodies down to their bytes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use crate::model::{Body, BodyError, BodySource, ChunkId, Exchange, ExchangeId, Incomplete, Message, Remark};

use super::scan::read_up_to;
use super::walk::Walk;
use super::{CaptureError, Damage, Provenance, Reader, Summary, Writer, header};

/// What was saved and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairReport {
    /// What the new file holds.
    pub saved: Summary,
    /// What was wrong with the old one.
    pub damage: Damage,
    /// Exchanges whose records could not be read although their frame could.
    pub unreadable: u64,
    /// The same of messages.
    pub unreadable_messages: u64,
    /// Exchanges that lost a body or the payload of a message and are marked in the new file.
    pub emptied: Vec<ExchangeId>,
    /// The header was damaged: source and anchor are unknown.
    pub header_lost: bool,
}

impl RepairReport {
    /// The new file holds all that the old one did.
    pub fn is_complete(&self) -> bool {
        let all_read = self.unreadable == 0 && self.unreadable_messages == 0;
        self.damage.is_sound() && all_read && self.emptied.is_empty() && !self.header_lost
    }
}

/// What a check down to the bytes found, beyond [`Damage`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyCheck {
    /// Bodies and payloads of messages that are not empty.
    pub bodies: u64,
    /// Exchanges with a body or a message that is not whole in the file.
    pub broken: Vec<ExchangeId>,
    /// Exchanges whose record cannot be read.
    pub unreadable: u64,
    /// Messages whose record cannot be read.
    pub unreadable_messages: u64,
}

/// Copies what can be read of `from` into a new file `to`. An exchange that lost a piece of a body, or of a message, gets that
/// body emptied and is marked. Messages whose exchange is lost are left out.
///
/// # Errors
/// When `from` is no capture or of a newer major version, is the same file as `to`, or either cannot be accessed.
pub fn repair(from: &Path, to: &Path) -> Result<RepairReport, CaptureError> {
    if same_file(from, to) {
        return Err(CaptureError::SameFile);
    }
    let (reader, header_lost) = match Reader::open_checked(from) {
        Err(CaptureError::Header) => (salvage(from)?, true),
        opened => (opened?, false),
    };
    let lengths = reader.sound_chunks()?;
    let writer = Writer::create(to, reader.provenance())?;
    let mut copy = Copy { reader: &reader, lengths, writer, copied: HashSet::new(), marked: BTreeSet::new() };
    for summary in reader.sessions() {
        copy.writer.session(&summary.info)?;
    }
    let unreadable_messages = reader.each_message(|message| copy.message(message))?;
    let (unreadable, emptied) = copy.exchanges()?;
    let saved = copy.writer.finish()?;
    let damage = reader.damage().clone();
    Ok(RepairReport { saved, damage, unreadable, unreadable_messages, emptied, header_lost })
}

impl Reader {
    /// Reads every chunk, every exchange and every message, and checks that each body is there, byte for byte.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn check_bodies(&self) -> Result<BodyCheck, CaptureError> {
        let lengths = self.sound_chunks()?;
        let mut check = BodyCheck::default();
        let mut broken = BTreeSet::new();
        check.unreadable_messages = self.each_message(|message| {
            check.bodies += u64::from(is_something(&message.body));
            if !is_whole(&message.body, &lengths) && self.index().exchange(message.exchange).is_some() {
                broken.insert(message.exchange);
            }
            Ok(())
        })?;
        for exchange in self.exchanges() {
            let exchange = match exchange {
                Ok(exchange) => exchange,
                Err(error @ (CaptureError::Io(_) | CaptureError::DiskFull(_))) => return Err(error),
                Err(_) => {
                    check.unreadable += 1;
                    continue;
                }
            };
            let mut whole = true;
            for body in bodies(&exchange).filter(|body| is_something(body)) {
                check.bodies += 1;
                whole &= is_whole(body, &lengths);
            }
            if !whole {
                broken.insert(exchange.id);
            }
        }
        check.broken = broken.into_iter().collect();
        Ok(check)
    }

    /// Length of each chunk that is in the file and is what its name says.
    fn sound_chunks(&self) -> Result<HashMap<ChunkId, u64>, CaptureError> {
        let mut lengths = HashMap::with_capacity(usize::try_from(self.chunk_count()).unwrap_or(0));
        for id in self.chunk_ids() {
            match self.chunk(id) {
                Ok(bytes) if ChunkId::of(&bytes) == id => {
                    lengths.insert(id, bytes.len() as u64);
                }
                Ok(_) | Err(BodyError::Missing(_) | BodyError::TooLarge { .. }) => {}
                Err(BodyError::Io(error)) => return Err(error.into()),
            }
        }
        Ok(lengths)
    }
}

/// A reader of a file whose header is damaged: the frames are there, where they came from is not known.
fn salvage(path: &Path) -> Result<Reader, CaptureError> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut start = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(header::MAX_HEADER_BYTES)];
    let read = read_up_to(&file, &mut start, 0)?;
    let (first, seeds) = header::salvage(&start[..read]).ok_or(CaptureError::Header)?;
    for seed in seeds {
        let found = Walk::new(len).through(&file, first, len, seed)?;
        if !found.index.exchanges().is_empty() {
            let provenance = Provenance {
                anchor_unix_ns: 0,
                source: "unknown (the header was damaged)".to_owned(),
                program: "unknown".to_owned(),
            };
            return Ok(Reader::from_parts(file, seed, provenance, found));
        }
    }
    Err(CaptureError::Header)
}

struct Copy<'a> {
    reader: &'a Reader,
    lengths: HashMap<ChunkId, u64>,
    writer: Writer,
    /// What the writer forgets it stores twice; this set is as large as the index that the reader holds anyway.
    copied: HashSet<ChunkId>,
    /// Exchanges of which a message lost its payload.
    marked: BTreeSet<ExchangeId>,
}

impl Copy<'_> {
    fn message(&mut self, mut message: Message) -> Result<(), CaptureError> {
        if self.reader.index().exchange(message.exchange).is_none() {
            return Ok(());
        }
        if !is_whole(&message.body, &self.lengths) {
            message.body = Body::default();
            self.marked.insert(message.exchange);
        }
        self.copy_chunks(&message.body)?;
        self.writer.message(&message)
    }

    /// Returns the number of unreadable exchanges, and those that lost a body.
    fn exchanges(&mut self) -> Result<(u64, Vec<ExchangeId>), CaptureError> {
        let mut unreadable = 0;
        let mut emptied = Vec::new();
        for exchange in self.reader.exchanges() {
            match exchange {
                Ok(mut exchange) => {
                    if self.empty_broken(&mut exchange) {
                        emptied.push(exchange.id);
                    }
                    self.remark_on_lost_messages(&mut exchange);
                    bodies(&exchange).try_for_each(|body| self.copy_chunks(body))?;
                    self.writer.exchange(&exchange)?;
                }
                Err(error @ (CaptureError::Io(_) | CaptureError::DiskFull(_))) => return Err(error),
                Err(_) => unreadable += 1,
            }
        }
        Ok((unreadable, emptied))
    }

    fn remark_on_lost_messages(&self, exchange: &mut Exchange) {
        let lost = &self.reader.damage().lost_messages;
        if let Ok(at) = lost.binary_search_by_key(&exchange.id, |(id, _)| *id) {
            let words = format!("{} of its messages were lost in a damaged capture", lost[at].1);
            exchange.remarks.push(Remark::Other(words));
        }
    }

    fn empty_broken(&self, exchange: &mut Exchange) -> bool {
        let mut any = self.marked.contains(&exchange.id);
        let answers = exchange.interim.iter_mut().chain(&mut exchange.response).map(|response| &mut response.body);
        for body in answers.chain([&mut exchange.request.body]) {
            if !is_whole(body, &self.lengths) {
                *body = Body::default();
                any = true;
            }
        }
        if any && exchange.incomplete.is_none() {
            exchange.incomplete = Some(Incomplete::NotRecorded("a body was lost in a damaged capture".to_owned()));
        }
        any
    }

    fn copy_chunks(&mut self, body: &Body) -> Result<(), CaptureError> {
        for id in &body.chunks {
            if self.copied.insert(*id) {
                let bytes = self.reader.chunk(*id).map_err(|error| match error {
                    BodyError::Io(error) => error.into(),
                    _ => CaptureError::Record,
                })?;
                self.writer.chunk(&bytes)?;
            }
        }
        Ok(())
    }
}

fn bodies(exchange: &Exchange) -> impl Iterator<Item = &Body> {
    let answers = exchange.interim.iter().chain(&exchange.response).map(|response| &response.body);
    std::iter::once(&exchange.request.body).chain(answers)
}

fn is_something(body: &Body) -> bool {
    !body.chunks.is_empty() || body.len > 0
}

fn is_whole(body: &Body, lengths: &HashMap<ChunkId, u64>) -> bool {
    let len = body.chunks.iter().try_fold(0_u64, |sum, id| sum.checked_add(*lengths.get(id)?));
    len == Some(body.len)
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b || same_inode(&a, &b),
        _ => a == b,
    }
}

fn same_inode(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| path.metadata().map(|m| (m.dev(), m.ino()));
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}
