//! Bytes of a file, a pipe or any reader, with gzip and zstd peeled off, for every kind of import.
//!
//! Waiting for a file to grow happens here and nowhere else. Knows nothing of what the bytes mean. Main type: [`Input`].

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flate2::bufread::GzDecoder;

/// Most bytes that can be looked at ahead.
pub const PEEK_BYTES: usize = 64 * 1024;
/// Compressions one inside the other that are undone.
const NESTING: usize = 2;
/// Bytes that tell every coding.
const MAGIC_BYTES: usize = 6;
/// How often a file that is followed is looked at, and how long a pipe is waited for before that is told.
const POLL: Duration = Duration::from_millis(200);
/// What is read of a pipe at once.
const PIPE_BYTES: usize = 256 * 1024;
/// So many pieces of a pipe wait for us; then its writer waits.
const PIPE_PIECES: usize = 16;
/// Largest zstd window, as a power of two: 128 MiB, what the `zstd` tool reads unasked.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file cannot be opened.
    #[error("cannot open it")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Compressed in a way that is not undone here; another tool has to.
    #[error("compressed with {0}, which is not read here; decompress it first")]
    Coding(&'static str),
    /// Compressed more often than anyone would.
    #[error("compressed more than {NESTING} times")]
    Nested,
    /// The first bytes cannot be read.
    #[error("cannot read the input")]
    Read(#[source] io::Error),
}

/// What was wrong behind the last byte that could be had. Reading ends there as at an end of file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The compressed stream stops in the middle.
    #[error("the {0} stream is cut off")]
    Torn(Coding),
    /// The compressed stream cannot be decoded further, or its checksum does not match.
    #[error("the {0} stream is damaged")]
    Corrupt(Coding),
    /// Bytes behind the compressed stream are not part of it and were passed over.
    #[error("something else follows the {0} stream")]
    Trailing(Coding),
    /// The file that is followed became shorter than what was read of it.
    #[error("the file became shorter while it was read")]
    Shrunk,
    /// The file that is followed is another one by now; all of the first was read.
    #[error("another file took the place of the one that was read")]
    Replaced,
}

/// A compression that is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl std::fmt::Display for Coding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl Coding {
    /// What `head`, the first bytes of something, is compressed with.
    fn of(head: &[u8]) -> Result<Option<Self>, InputError> {
        match head {
            [0x1f, 0x8b, 8, ..] => Ok(Some(Self::Gzip)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Some(Self::Zstd)),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(InputError::Coding("xz")),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Err(InputError::Coding("bzip2")),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err(InputError::Coding("lz4")),
            [b'P', b'K', 3, 4, ..] => Err(InputError::Coding("zip")),
            _ => Ok(None),
        }
    }
}

/// What reading does while a live source has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It waits until there is something, the source ends, or the import is stopped.
    Long,
    /// It gives [`io::ErrorKind::WouldBlock`] now and then, and can be called again.
    Short,
}

/// A source of bytes, decompressed. Reading it never fails for damage: it ends, and [`Input::damage`] says why.
pub struct Input {
    ahead: Ahead,
    state: Arc<State>,
    wait: Wait,
    /// Compressions that are undone.
    layers: usize,
    plain_file: bool,
}

/// What the layers of one input tell the outside.
#[derive(Debug, Default)]
struct State {
    source_bytes: AtomicU64,
    damage: Mutex<Option<Damage>>,
}

impl State {
    /// Keeps the first damage: those of outer layers follow from it.
    fn damaged(&self, damage: Damage) {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(damage);
    }
}

impl Input {
    /// Opens a file; `-` is standard input, which ends when `stop` is set.
    ///
    /// # Errors
    /// See [`InputError`].
    pub fn open(path: &Path, stop: Arc<AtomicBool>) -> Result<Self, InputError> {
        if path.as_os_str() == "-" {
            return Self::peel(Box::new(Piped::new(io::stdin(), stop)), Arc::default());
        }
        let file = File::open(path).map_err(|source| InputError::Open { path: path.to_owned(), source })?;
        let metadata = file.metadata().map_err(InputError::Read)?;
        if !metadata.is_file() && !metadata.is_dir() {
            return Self::peel(Box::new(Piped::new(file, stop)), Arc::default());
        }
        Ok(Self { plain_file: true, ..Self::new(file)? }.unless_packed())
    }

    /// Opens a file that grows. At its end reading waits for more until `stop` is set; what is there by then is still read.
    /// When another file with content stands at `path`, reading ends with [`Damage::Replaced`].
    ///
    /// # Errors
    /// See [`InputError`].
    pub fn follow(path: &Path, stop: Arc<AtomicBool>) -> Result<Self, InputError> {
        if path.as_os_str() == "-" {
            return Self::open(path, stop);
        }
        let file = File::open(path).map_err(|source| InputError::Open { path: path.to_owned(), source })?;
        let metadata = file.metadata().map_err(InputError::Read)?;
        if !metadata.is_file() && !metadata.is_dir() {
            return Self::peel(Box::new(Piped::new(file, stop)), Arc::default());
        }
        let state = Arc::new(State::default());
        let identity = (metadata.dev(), metadata.ino());
        let path = path.to_owned();
        let following = Following { file, path, identity, position: 0, stop, state: Arc::clone(&state) };
        Self::peel(Box::new(following), state)
    }

    /// Reads from anything.
    ///
    /// # Errors
    /// See [`InputError`].
    pub fn new(reader: impl Read + Send + 'static) -> Result<Self, InputError> {
        Self::peel(Box::new(reader), Arc::default())
    }

    /// Sets what reading does while a live source has nothing; at first it waits long.
    pub fn set_wait(&mut self, wait: Wait) {
        self.wait = wait;
    }

    /// True for a regular file that is not compressed: it can be opened again and read anywhere.
    pub fn is_plain_file(&self) -> bool {
        self.plain_file
    }

    fn unless_packed(self) -> Self {
        let plain_file = self.plain_file && self.layers == 0;
        Self { plain_file, ..self }
    }

    fn peel(reader: Box<dyn Read + Send>, state: Arc<State>) -> Result<Self, InputError> {
        let counted = Counted { reader, state: Arc::clone(&state) };
        let mut ahead = Ahead::new(Box::new(counted));
        let mut layers = 0;
        while let Some(coding) = Coding::of(ahead.peek(MAGIC_BYTES).map_err(InputError::Read)?)? {
            if layers == NESTING {
                return Err(InputError::Nested);
            }
            layers += 1;
            let state = Arc::clone(&state);
            ahead = Ahead::new(match coding {
                Coding::Gzip => Box::new(Gunzip { member: Some(GzDecoder::new(ahead)), state }),
                Coding::Zstd => {
                    let mut decoder = zstd::stream::read::Decoder::with_buffer(ahead).map_err(InputError::Read)?;
                    decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(InputError::Read)?;
                    Box::new(Unzstd { decoder: Some(decoder), state })
                }
            });
        }
        Ok(Self { ahead, state, wait: Wait::Long, layers, plain_file: false })
    }

    /// The next bytes, without taking them: `count` of them (at most [`PEEK_BYTES`]), fewer only at the end. Waits for that
    /// many, so what reads a live pipe asks for few.
    ///
    /// # Errors
    /// When reading fails.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        self.ahead.peek(count)
    }

    /// Bytes taken from the source so far, before decompression.
    pub fn source_bytes(&self) -> u64 {
        self.state.source_bytes.load(Ordering::Relaxed)
    }

    /// Why reading ended before the real end, when it did; to be asked after the end.
    pub fn damage(&self) -> Option<Damage> {
        self.state.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.wait {
            Wait::Short => self.ahead.read(buf),
            Wait::Long => patient(|| self.ahead.read(buf)),
        }
    }
}

/// Goes on while there is nothing yet; whoever says so has waited already.
fn patient(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("state", &self.state).finish_non_exhaustive()
    }
}

/// A reader whose next bytes can be looked at. Large reads go past its buffer.
struct Ahead {
    reader: Box<dyn Read + Send>,
    /// Allocated when first needed, of one length ever after; `start..end` of it is held.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Ahead {
    fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, buffer: Vec::new(), start: 0, end: 0 }
    }

    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let count = count.min(PEEK_BYTES);
        while self.end - self.start < count {
            if patient(|| self.more())? == 0 {
                break;
            }
        }
        let held = &self.buffer[self.start..self.end];
        Ok(&held[..held.len().min(count)])
    }

    /// Reads once, behind what is held, of which there is less than [`PEEK_BYTES`].
    fn more(&mut self) -> io::Result<usize> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; 2 * PEEK_BYTES];
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let got = retry(|| self.reader.read(&mut self.buffer[self.end..]))?;
        self.end += got;
        Ok(got)
    }
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && buf.len() >= PEEK_BYTES {
            return retry(|| self.reader.read(buf));
        }
        let held = self.fill_buf()?;
        let count = held.len().min(buf.len());
        buf[..count].copy_from_slice(&held[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.more()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start.saturating_add(count));
    }
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

struct Counted {
    reader: Box<dyn Read + Send>,
    state: Arc<State>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buf)?;
        self.state.source_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

struct Following {
    file: File,
    path: PathBuf,
    /// Device and number of the file.
    identity: (u64, u64),
    position: u64,
    stop: Arc<AtomicBool>,
    state: Arc<State>,
}

impl Read for Following {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Asked before reading: what was written before the flag was set is read.
        let last = self.stop.load(Ordering::Acquire);
        let count = self.file.read(buf)?;
        self.position += count as u64;
        if count > 0 || last || buf.is_empty() {
            return Ok(count);
        }
        let metadata = self.file.metadata()?;
        if metadata.is_file() && metadata.len() < self.position {
            self.state.damaged(Damage::Shrunk);
            return Ok(0);
        }
        // Asked before the wait and acted on behind it, so that what its writer had under way is read first.
        let replaced = self.is_replaced();
        std::thread::sleep(POLL);
        if replaced && self.file.metadata()?.len() == self.position {
            self.state.damaged(Damage::Replaced);
            return Ok(0);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Following {
    fn is_replaced(&self) -> bool {
        std::fs::metadata(&self.path)
            .is_ok_and(|other| other.is_file() && other.len() > 0 && (other.dev(), other.ino()) != self.identity)
    }
}

/// A pipe, read by a thread of its own, so that nobody is stuck in it. The thread ends with the pipe or the program.
struct Piped {
    pieces: Receiver<io::Result<Vec<u8>>>,
    held: io::Cursor<Vec<u8>>,
    stop: Arc<AtomicBool>,
}

impl Piped {
    fn new(mut reader: impl Read + Send + 'static, stop: Arc<AtomicBool>) -> Self {
        let (sender, pieces) = sync_channel(PIPE_PIECES);
        std::thread::spawn(move || {
            let mut buffer = vec![0; PIPE_BYTES];
            loop {
                let piece = match retry(|| reader.read(&mut buffer)) {
                    Ok(0) => return,
                    Ok(count) => Ok(buffer[..count].to_vec()),
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                if sender.send(piece).is_err() || failed {
                    return;
                }
            }
        });
        Self { pieces, held: io::Cursor::default(), stop }
    }
}

impl Read for Piped {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.held.position() as usize == self.held.get_ref().len() {
            // After a stop, what has come already is still read.
            let last = self.stop.load(Ordering::Acquire);
            let wait = if last { Duration::ZERO } else { POLL };
            match self.pieces.recv_timeout(wait) {
                Ok(piece) => self.held = io::Cursor::new(piece?),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Err(RecvTimeoutError::Timeout) if last => return Ok(0),
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
        self.held.read(buf)
    }
}

struct Gunzip {
    /// `None` behind the end.
    member: Option<GzDecoder<Ahead>>,
    state: Arc<State>,
}

impl Read for Gunzip {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            match member.read(buf) {
                Ok(0) => self.next_member()?,
                Ok(count) => return Ok(count),
                Err(error) => {
                    let damage = damage(Coding::Gzip, error)?;
                    self.member = None;
                    self.state.damaged(damage);
                }
            }
        }
        Ok(0)
    }
}

impl Gunzip {
    /// Another member, the end, or padding with zeros as tapes have it.
    fn next_member(&mut self) -> io::Result<()> {
        let Some(member) = self.member.take() else { return Ok(()) };
        let mut rest = member.into_inner();
        loop {
            let held = rest.fill_buf()?;
            let zeros = held.iter().take_while(|&&byte| byte == 0).count();
            if zeros == 0 {
                break;
            }
            rest.consume(zeros);
        }
        match rest.peek(2)? {
            [] => {}
            [0x1f, 0x8b] => self.member = Some(GzDecoder::new(rest)),
            _ => self.state.damaged(Damage::Trailing(Coding::Gzip)),
        }
        Ok(())
    }
}

struct Unzstd {
    /// `None` behind the end.
    decoder: Option<zstd::stream::read::Decoder<'static, Ahead>>,
    state: Arc<State>,
}

impl Read for Unzstd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        match decoder.read(buf) {
            Ok(count) => Ok(count),
            Err(error) => {
                let damage = damage(Coding::Zstd, error)?;
                self.decoder = None;
                self.state.damaged(damage);
                Ok(0)
            }
        }
    }
}

/// Tells what the decoder found wrong from what the source below it could not do. Only the latter carries a number of the
/// operating system.
fn damage(coding: Coding, error: io::Error) -> io::Result<Damage> {
    if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::WouldBlock {
        return Err(error);
    }
    Ok(if error.kind() == io::ErrorKind::UnexpectedEof { Damage::Torn(coding) } else { Damage::Corrupt(coding) })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    /// Bytes that do not compress away.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 7u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    fn read(bytes: Vec<u8>) -> (Vec<u8>, Option<Damage>) {
        let mut input = Input::new(io::Cursor::new(bytes)).unwrap();
        let mut out = Vec::new();
        input.read_to_end(&mut out).unwrap();
        (out, input.damage())
    }

    #[test]
    fn compressions_are_peeled_also_one_inside_the_other() {
        let plain = noise(300_000);
        let halves = [gzip(&plain[..100_000]), gzip(&plain[100_000..])].concat();
        let frames = [zstd(&plain[..100_000]), zstd(&plain[100_000..])].concat();
        let padded = [gzip(&plain), vec![0; 1000]].concat();
        let wrapped = [plain.clone(), gzip(&plain), zstd(&plain), halves, frames, padded, gzip(&gzip(&plain))];
        for (number, bytes) in wrapped.into_iter().chain([gzip(&zstd(&plain)), zstd(&gzip(&plain))]).enumerate() {
            let (out, damage) = read(bytes);
            assert!(out == plain, "case {number}");
            assert_eq!(damage, None, "case {number}");
        }
        assert_eq!(read(Vec::new()), (Vec::new(), None));
        assert_eq!(read(gzip(b"")), (Vec::new(), None));
    }

    #[test]
    fn a_cut_stream_gives_what_could_be_had_and_says_so() {
        let plain = noise(400_000);
        for (coded, coding) in [(gzip(&plain), Coding::Gzip), (zstd(&plain), Coding::Zstd)] {
            let (out, damage) = read(coded[..coded.len() / 2].to_vec());
            assert!(plain.starts_with(&out) && out.len() > 60_000, "{coding}: {}", out.len());
            assert_eq!(damage, Some(Damage::Torn(coding)));
        }
    }

    #[test]
    fn damage_ends_the_bytes_and_says_so() {
        let plain = noise(1000);
        let mut wrong_checksum = gzip(&plain);
        let end = wrong_checksum.len();
        wrong_checksum[end - 6] ^= 1;
        assert_eq!(read(wrong_checksum), (plain.clone(), Some(Damage::Corrupt(Coding::Gzip))));
        let followed = [gzip(&plain), b"something else".to_vec()].concat();
        assert_eq!(read(followed), (plain.clone(), Some(Damage::Trailing(Coding::Gzip))));
        let followed = [zstd(&plain), b"something else".to_vec()].concat();
        assert_eq!(read(followed), (plain, Some(Damage::Corrupt(Coding::Zstd))));
    }

    #[test]
    fn what_cannot_be_undone_is_named() {
        let open = |bytes: &[u8]| Input::new(io::Cursor::new(bytes.to_vec())).map(|_| ());
        assert!(matches!(open(b"\xfd7zXZ\0...."), Err(InputError::Coding("xz"))));
        assert!(matches!(open(b"BZh91AY&SY"), Err(InputError::Coding("bzip2"))));
        assert!(matches!(open(&gzip(&gzip(&gzip(b"x")))), Err(InputError::Nested)));
        assert!(matches!(Input::open(Path::new("/no/such/file"), Arc::default()), Err(InputError::Open { .. })));
    }

    #[test]
    fn looking_ahead_takes_nothing() {
        let plain = noise(200_000);
        let mut input = Input::new(io::Cursor::new(gzip(&plain))).unwrap();
        assert_eq!(input.peek(4).unwrap(), &plain[..4]);
        assert_eq!(input.peek(PEEK_BYTES * 2).unwrap(), &plain[..PEEK_BYTES]);
        let mut out = vec![0; 10];
        input.read_exact(&mut out).unwrap();
        assert_eq!(input.peek(3).unwrap(), &plain[10..13]);
        input.read_to_end(&mut out).unwrap();
        assert!(out == plain);
        assert_eq!(input.peek(3).unwrap(), b"");
        assert!(input.source_bytes() > 200_000);
    }

    #[test]
    fn a_followed_file_is_read_to_its_end_once_stopped() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"abc").unwrap();
        let stop = Arc::new(AtomicBool::new(true));
        let mut input = Input::follow(file.path(), stop).unwrap();
        let mut out = Vec::new();
        input.read_to_end(&mut out).unwrap();
        assert_eq!((out.as_slice(), input.damage()), (b"abc".as_slice(), None));
    }

    #[test]
    fn a_pipe_that_has_nothing_says_so_and_is_read_on() {
        let (reader, mut writer) = io::pipe().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let plain = noise(300_000);
        let coded = zstd(&plain);
        writer.write_all(&coded[..20_000]).unwrap();
        let mut input = Input::peel(Box::new(Piped::new(reader, Arc::clone(&stop))), Arc::default()).unwrap();
        input.set_wait(Wait::Short);
        let mut out = [0; 20_000];
        let mut idle = 0;
        let mut sent = Some(writer);
        let mut all = Vec::new();
        loop {
            match input.read(&mut out) {
                Ok(0) => break,
                Ok(count) => all.extend_from_slice(&out[..count]),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    idle += 1;
                    if let Some(mut writer) = sent.take() {
                        std::thread::spawn({
                            let rest = coded[20_000..].to_vec();
                            move || writer.write_all(&rest).unwrap()
                        });
                    }
                }
            }
        }
        assert!(all == plain && idle > 0, "{} bytes, idle {idle}", all.len());
        assert_eq!(input.damage(), None);
    }

    #[test]
    fn a_stopped_pipe_ends_though_its_writer_goes_on() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"abcdefgh").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut input = Input::peel(Box::new(Piped::new(reader, Arc::clone(&stop))), Arc::default()).unwrap();
        assert_eq!(input.peek(2).unwrap(), b"ab");
        stop.store(true, Ordering::Release);
        let mut out = Vec::new();
        input.read_to_end(&mut out).unwrap();
        assert_eq!(out, b"abcdefgh");
    }

    #[test]
    fn a_followed_file_that_shrinks_ends() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"abcdefgh").unwrap();
        let mut input = Input::follow(file.path(), Arc::default()).unwrap();
        file.as_file().set_len(2).unwrap();
        assert_eq!(input.peek(10).unwrap(), b"abcdefgh");
        assert_eq!(input.damage(), Some(Damage::Shrunk));
    }

    #[test]
    fn a_followed_file_whose_place_another_takes_is_read_to_its_end_first() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&first, b"abcdefgh").unwrap();
        std::fs::write(&second, b"ijklmnop").unwrap();
        let mut input = Input::follow(&first, Arc::default()).unwrap();
        std::fs::rename(&second, &first).unwrap();
        let mut out = Vec::new();
        input.read_to_end(&mut out).unwrap();
        assert_eq!((out.as_slice(), input.damage()), (b"abcdefgh".as_slice(), Some(Damage::Replaced)));
    }

    #[test]
    fn mutated_streams_end() {
        let plain = noise(3000);
        let coded = [gzip(&plain), zstd(&plain), gzip(&zstd(&plain))];
        let mut random = noise(8000).into_iter();
        for round in 0..1000 {
            let mut bytes = coded[round % coded.len()].clone();
            for _ in 0..2 {
                let at = usize::from(random.next().unwrap()) * 256 + usize::from(random.next().unwrap());
                let length = bytes.len();
                bytes[at % length] ^= 1 << (round % 8);
            }
            if let Ok(input) = Input::new(io::Cursor::new(bytes)) {
                let _ = input.take(10_000_000).read_to_end(&mut Vec::new());
            }
        }
    }
}
