//! Files that are lists of exchanges (HAR, flows, payloads): each is read twice, first for where and when its exchanges begin,
//! then for what they are. What differs between the kinds is a [`Kind`].

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::control::{Stoppable, is_stop};
use super::error::Problem;
use super::input::{Damage, Input, InputError};
use super::{ImportError, goreplay, har, mitmproxy};
use crate::observe::Recorder;
use crate::observe::streams::UnixNanos;
use crate::wire::identity::{Sessions, UserBy};
use crate::wire::redact::Redactor;

/// A kind of file.
pub(super) trait Kind {
    /// What the first reading finds.
    type Survey;
    /// What the second reading says.
    type Summary;

    /// The first reading, and the moment of the earliest exchange.
    fn survey(&self, source: &mut Again) -> Result<(UnixNanos, Self::Survey), ImportError>;

    /// The second reading.
    fn import(&self, source: Again, survey: &Self::Survey, into: &mut Recorder) -> Result<Self::Summary, ImportError>;

    /// What of the file could not be read.
    fn damage(summary: &Self::Summary) -> Option<&dyn Display>;
}

/// Where exchanges go.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// The capture.
    pub(super) output: &'a Path,
    /// Where they come from, for its header.
    pub(super) source: String,
    /// What tells users apart.
    pub(super) user_by: UserBy,
    /// What replaces secrets.
    pub(super) redactor: Option<Redactor>,
}

impl Target<'_> {
    /// Imports all sources, the earliest first.
    ///
    /// # Errors
    /// When none of them is of this kind, or the capture cannot be written.
    pub(super) fn import<K: Kind>(
        self,
        kind: &K,
        sources: Vec<Again>,
        problems: &mut Vec<Problem>,
    ) -> Result<(Recorder, Vec<K::Summary>), ImportError> {
        let (mut surveyed, mut left) = (Vec::new(), Vec::new());
        for mut source in sources {
            match kind.survey(&mut source) {
                Ok((earliest, survey)) => surveyed.push((earliest, source, survey)),
                Err(error @ (ImportError::Spool(_) | ImportError::Stopped)) => return Err(error),
                Err(error) => left.push(error),
            }
        }
        if surveyed.is_empty()
            && let Some(error) = left.pop()
        {
            return Err(error);
        }
        problems.extend(left.into_iter().map(|error| Problem::Left(Box::new(error))));
        surveyed.sort_by_key(|(earliest, ..)| *earliest);
        let anchor = surveyed.first().map_or(0, |(earliest, ..)| *earliest);
        let sessions = Sessions::by(self.user_by.clone());
        let mut recorder = Recorder::create(self.output, &self.source, anchor, sessions)?.redacting(self.redactor);
        let mut summaries = Vec::new();
        for (_, source, survey) in surveyed {
            let path = source.path.clone();
            match kind.import(source, &survey, &mut recorder) {
                Ok(summary) => {
                    problems.extend(K::damage(&summary).map(|damage| Problem::Cut { path, error: damage.to_string() }));
                    summaries.push(summary);
                }
                Err(error @ ImportError::Write(_)) => return Err(error),
                Err(ImportError::Stopped) => break,
                // What was read of it is in the recorder.
                Err(error) => problems.push(Problem::Left(Box::new(error))),
            }
            recorder.next_source();
        }
        Ok((recorder, summaries))
    }
}

/// HAR files.
pub(super) struct HarFiles(pub(super) har::Config);

impl HarFiles {
    fn failed(path: &Path, source: har::HarError) -> ImportError {
        match source {
            har::HarError::Capture(error) => error.into(),
            har::HarError::Io(error) if is_stop(&error) => ImportError::Stopped,
            source => ImportError::Har { path: path.to_owned(), source },
        }
    }
}

impl Kind for HarFiles {
    type Survey = har::Survey;
    type Summary = har::Summary;

    fn survey(&self, source: &mut Again) -> Result<(UnixNanos, har::Survey), ImportError> {
        source.make_plain()?;
        let survey = har::survey(&mut source.file).map_err(|error| Self::failed(&source.path, error))?;
        Ok((survey.anchor, survey))
    }

    fn import(&self, source: Again, survey: &har::Survey, into: &mut Recorder) -> Result<har::Summary, ImportError> {
        har::import(source.file, survey, self.0, into).map_err(|error| Self::failed(&source.path, error))
    }

    fn damage(summary: &har::Summary) -> Option<&dyn Display> {
        summary.damage.as_ref().map(|damage| damage as &dyn Display)
    }
}

/// mitmproxy flow files.
pub(super) struct Flows;

impl Flows {
    fn failed(path: &Path, source: mitmproxy::FlowError) -> ImportError {
        match source {
            mitmproxy::FlowError::Capture(error) => error.into(),
            mitmproxy::FlowError::Io(error) if is_stop(&error) => ImportError::Stopped,
            source => ImportError::Mitmproxy { path: path.to_owned(), source },
        }
    }
}

impl Kind for Flows {
    type Survey = mitmproxy::Survey;
    type Summary = mitmproxy::Summary;

    fn survey(&self, source: &mut Again) -> Result<(UnixNanos, mitmproxy::Survey), ImportError> {
        let survey = mitmproxy::survey(&mut source.file).map_err(|error| Self::failed(&source.path, error))?;
        Ok((survey.anchor, survey))
    }

    fn import(
        &self,
        source: Again,
        survey: &mitmproxy::Survey,
        into: &mut Recorder,
    ) -> Result<mitmproxy::Summary, ImportError> {
        mitmproxy::import(source.file, survey, into).map_err(|error| Self::failed(&source.path, error))
    }

    fn damage(summary: &mitmproxy::Summary) -> Option<&dyn Display> {
        summary.damage.as_ref().map(|damage| damage as &dyn Display)
    }
}

/// GoReplay files.
pub(super) struct Payloads;

impl Payloads {
    fn failed(path: &Path, source: goreplay::GoReplayError) -> ImportError {
        match source {
            goreplay::GoReplayError::Capture(error) => error.into(),
            goreplay::GoReplayError::Io(error) if is_stop(&error) => ImportError::Stopped,
            source => ImportError::GoReplay { path: path.to_owned(), source },
        }
    }
}

impl Kind for Payloads {
    type Survey = goreplay::Survey;
    type Summary = goreplay::Summary;

    fn survey(&self, source: &mut Again) -> Result<(UnixNanos, goreplay::Survey), ImportError> {
        let survey = goreplay::survey(&mut source.file).map_err(|error| Self::failed(&source.path, error))?;
        Ok((survey.anchor, survey))
    }

    fn import(
        &self,
        source: Again,
        survey: &goreplay::Survey,
        into: &mut Recorder,
    ) -> Result<goreplay::Summary, ImportError> {
        goreplay::import(source.file, survey, into).map_err(|error| Self::failed(&source.path, error))
    }

    fn damage(summary: &goreplay::Summary) -> Option<&dyn Display> {
        summary.damage.as_ref().map(|damage| damage as &dyn Display)
    }
}

/// A source that can be read again: a plain file, or its decompressed content in a file without a name.
#[derive(Debug)]
pub(super) struct Again {
    path: PathBuf,
    file: Stoppable<File>,
    /// Beside what nameless files are made.
    output: PathBuf,
    damage: Option<Damage>,
}

impl Again {
    /// Takes an input that was not read from.
    ///
    /// # Errors
    /// When it cannot be read, or not be kept.
    pub(super) fn of(path: &Path, input: Input, output: &Path, stop: Arc<AtomicBool>) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Input { path: path.to_owned(), source: InputError::Read(source) };
        let again = |file, stop, damage| {
            let file = Stoppable { inner: file, stop };
            Self { path: path.to_owned(), file, output: output.to_owned(), damage }
        };
        if input.is_plain_file() {
            return Ok(again(File::open(path).map_err(failed)?, stop, None));
        }
        // A pipe ends when the import is to stop; what came through it is imported then.
        let stop = if path.as_os_str() == "-" { Arc::default() } else { stop };
        let mut file = nameless(output).map_err(ImportError::Spool)?;
        let mut input = Stoppable { inner: input, stop };
        io::copy(&mut input, &mut file).map_err(spooling)?;
        file.rewind().map_err(ImportError::Spool)?;
        let damage = input.inner.damage();
        Ok(again(file, input.stop, damage))
    }

    /// What was wrong with its compression, once.
    pub(super) fn take_damage(&mut self) -> Option<Problem> {
        Some(Problem::Compression { path: self.path.clone(), damage: self.damage.take()? })
    }

    /// Makes it UTF-8 without a mark, whatever it was.
    fn make_plain(&mut self) -> Result<(), ImportError> {
        let mut start = Vec::new();
        let looked = self.file.by_ref().take(har::START_BYTES as u64).read_to_end(&mut start);
        looked.and_then(|_| self.file.seek(SeekFrom::Start(0))).map_err(spooling)?;
        if !har::is_plain(&start) {
            let mut plain = nameless(&self.output).map_err(ImportError::Spool)?;
            har::make_plain(&mut self.file, &mut plain).map_err(spooling)?;
            plain.rewind().map_err(ImportError::Spool)?;
            self.file.inner = plain;
        }
        Ok(())
    }
}

fn spooling(error: io::Error) -> ImportError {
    if is_stop(&error) { ImportError::Stopped } else { ImportError::Spool(error) }
}

/// A file beside `output` that only we can reach and that is gone when we are.
fn nameless(output: &Path) -> io::Result<File> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = folder.join(format!(".overdub-import.{}.{:p}", std::process::id(), &output));
    let _ = std::fs::remove_file(&name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&name)?;
    std::fs::remove_file(&name)?;
    Ok(file)
}
