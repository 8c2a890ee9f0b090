//! The `.run` file: a line of magic and zstd-compressed JSON, described in `FORMAT.md`.

use std::fs;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::run::Run;
use super::timeline::FIRST_SLOT_US;

/// The first line of every run.
pub const MAGIC: &[u8] = b"overdub-run 1\n";
const MAGIC_WORD: &[u8] = b"overdub-run ";
const COMPRESSION_LEVEL: i32 = 6;
/// Longest JSON that is read.
const MAX_JSON_BYTES: u64 = 512 << 20;
/// Most slots that a sound file has; ours have fewer.
const MAX_SLOTS_READ: usize = 100_000;

/// Why a run cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The file is something else.
    #[error("not an overdub run")]
    NotARun,
    /// The file is from a newer version of the format.
    #[error("a run in format {0}, which this version cannot read; use a later overdub")]
    Newer(String),
    /// The file is cut or altered.
    #[error("the run is damaged ({0}); replay again to get another")]
    Damaged(String),
    /// There is no room on the disk.
    #[error("the disk is full")]
    DiskFull(#[source] io::Error),
    /// Any other file error.
    #[error("cannot access the file")]
    Io(#[source] io::Error),
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(error),
            _ => Self::Io(error),
        }
    }
}

impl Run {
    /// Reads a run.
    ///
    /// # Errors
    /// When the file cannot be read, is no run, is from a newer version, or is damaged.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        Self::read_from(BufReader::new(fs::File::open(path)?))
    }

    /// Reads a run from bytes.
    ///
    /// # Errors
    /// As for [`Run::read`].
    pub fn read_from(mut input: impl Read) -> Result<Self, RunError> {
        check_magic(&mut input)?;
        let damaged = |error: io::Error| RunError::Damaged(error.to_string());
        let mut json = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(input).map_err(damaged)?;
        decoder.take(MAX_JSON_BYTES + 1).read_to_end(&mut json).map_err(damaged)?;
        if json.len() as u64 > MAX_JSON_BYTES {
            return Err(RunError::Damaged(format!("more than {MAX_JSON_BYTES} bytes")));
        }
        let run: Self = serde_json::from_slice(&json).map_err(|e| RunError::Damaged(e.to_string()))?;
        run.check().map_err(|what| RunError::Damaged(what.to_owned()))?;
        Ok(run)
    }

    /// Writes the run so that `path` holds either the old file or the whole new one (mode 0600).
    ///
    /// # Errors
    /// When the file cannot be written; nothing is left behind then.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        // A device or a pipe must not be replaced by a file.
        if fs::metadata(path).is_ok_and(|file| !file.is_file()) {
            return self.write_to(BufWriter::new(fs::OpenOptions::new().write(true).open(path)?));
        }
        let partial = partial_name(path);
        let written = self.write_partial(&partial).and_then(|()| Ok(fs::rename(&partial, path)?));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written
    }

    fn write_partial(&self, partial: &Path) -> Result<(), RunError> {
        let _ = fs::remove_file(partial);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = BufWriter::new(options.open(partial)?);
        self.write_to(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(())
    }

    /// Writes the run as bytes.
    ///
    /// # Errors
    /// When `out` does.
    pub fn write_to(&self, mut out: impl Write) -> Result<(), RunError> {
        out.write_all(MAGIC)?;
        let mut encoder = zstd::stream::write::Encoder::new(out, COMPRESSION_LEVEL)?;
        encoder.include_checksum(true)?;
        serde_json::to_writer(&mut encoder, self).map_err(io::Error::from)?;
        encoder.finish()?.flush()?;
        Ok(())
    }

    /// What other code relies on and a foreign file may not keep.
    fn check(&self) -> Result<(), &'static str> {
        let (timeline, endpoints) = (&self.timeline, self.endpoints.len());
        if timeline.slot_us < FIRST_SLOT_US || timeline.slots.len() > MAX_SLOTS_READ {
            return Err("its timeline has no valid slots");
        }
        if self.slowest.iter().any(|slow| slow.endpoint as usize >= endpoints) {
            return Err("a slow exchange names an endpoint that is not there");
        }
        if self.info.speed.is_some_and(|speed| !speed.is_finite() || speed <= 0.0) {
            return Err("its speed is not a positive number");
        }
        Ok(())
    }
}

fn check_magic(input: &mut impl Read) -> Result<(), RunError> {
    let mut line = [0; MAGIC.len()];
    if let Err(error) = input.read_exact(&mut line) {
        return Err(if error.kind() == io::ErrorKind::UnexpectedEof { RunError::NotARun } else { error.into() });
    }
    if line == MAGIC {
        return Ok(());
    }
    let version = line.strip_prefix(MAGIC_WORD).ok_or(RunError::NotARun)?;
    let digits: Vec<u8> = version.iter().copied().take_while(u8::is_ascii_digit).collect();
    if digits.is_empty() {
        return Err(RunError::NotARun);
    }
    Err(RunError::Newer(String::from_utf8_lossy(&digits).into_owned()))
}

/// A name beside `path` that nobody else uses.
fn partial_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}
