//! Copies everything that can still be read of a damaged capture into a fresh one, and checks bodies down to their bytes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use crate::model::{Body, BodyError, BodySource, ChunkId, Exchange, ExchangeId, Incomplete};

use super::open::Walk;
use super::scan::read_up_to;
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
    /// Exchanges that lost a body and are marked in the new file.
    pub emptied: Vec<ExchangeId>,
    /// The header was damaged: source and anchor are unknown.
    pub header_lost: bool,
}

impl RepairReport {
    /// The new file holds all that the old one did.
    pub fn is_complete(&self) -> bool {
        self.damage.is_sound() && self.unreadable == 0 && self.emptied.is_empty() && !self.header_lost
    }
}

/// What a check down to the bytes found, beyond [`Damage`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyCheck {
    /// Bodies that are not empty.
    pub bodies: u64,
    /// Exchanges with a body that is not whole in the file.
    pub broken: Vec<ExchangeId>,
    /// Exchanges whose record cannot be read.
    pub unreadable: u64,
}

/// Copies what can be read of `from` into a new file `to`. An exchange that lost a piece of a body gets that body emptied and
/// is marked.
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
    let mut copy = Copy { reader: &reader, lengths, writer: Writer::create(to, reader.provenance())? };
    let (unreadable, emptied) = copy.everything()?;
    let saved = copy.writer.finish()?;
    Ok(RepairReport { saved, damage: reader.damage().clone(), unreadable, emptied, header_lost })
}

impl Reader {
    /// Reads every chunk and every exchange, and checks that each body is there, byte for byte.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn check_bodies(&self) -> Result<BodyCheck, CaptureError> {
        let lengths = self.sound_chunks()?;
        let mut check = BodyCheck::default();
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
            for body in bodies(&exchange).filter(|body| !body.chunks.is_empty() || body.len > 0) {
                check.bodies += 1;
                whole &= is_whole(body, &lengths);
            }
            if !whole {
                check.broken.push(exchange.id);
            }
        }
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
        let found = Walk::default().through(&file, first, len, seed)?;
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
}

impl Copy<'_> {
    /// Returns the number of unreadable exchanges, and those that lost a body.
    fn everything(&mut self) -> Result<(u64, Vec<ExchangeId>), CaptureError> {
        for summary in self.reader.sessions() {
            self.writer.session(&summary.info)?;
        }
        let mut unreadable = 0;
        let mut emptied = Vec::new();
        // What the writer forgets it stores twice; this set is as large as the index that the reader holds anyway.
        let mut copied = HashSet::new();
        for exchange in self.reader.exchanges() {
            match exchange {
                Ok(mut exchange) => {
                    if self.empty_broken(&mut exchange) {
                        emptied.push(exchange.id);
                    }
                    self.copy_chunks(&exchange, &mut copied)?;
                    self.writer.exchange(&exchange)?;
                }
                Err(error @ (CaptureError::Io(_) | CaptureError::DiskFull(_))) => return Err(error),
                Err(_) => unreadable += 1,
            }
        }
        Ok((unreadable, emptied))
    }

    fn empty_broken(&self, exchange: &mut Exchange) -> bool {
        let mut any = false;
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

    fn copy_chunks(&mut self, exchange: &Exchange, copied: &mut HashSet<ChunkId>) -> Result<(), CaptureError> {
        for id in bodies(exchange).flat_map(|body| &body.chunks) {
            if copied.insert(*id) {
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
