//! Files that commands make: never where they would be lost, never over something recorded or measured, whole or not
//! at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::{capture, measure};

use super::{CliError, Exit};

/// What a file is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A capture; replacing one is the caller's decision.
    Capture,
    /// Results.
    Run,
    /// Rules, a report: anything that can be made again.
    Other,
}

/// Refuses an output that cannot be made, or that would destroy an input, a capture or results of a replay. Results may
/// replace results.
///
/// # Errors
/// One sentence.
pub(super) fn check(path: &Path, kind: Kind, inputs: &[&Path]) -> Result<(), CliError> {
    let refuse = |sentence: String| Err(CliError::new(Exit::Usage, sentence));
    let shown = path.display();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return refuse(format!("cannot write {shown}: there is no folder {}", folder.display()));
    }
    if path.is_dir() {
        return refuse(format!("cannot write {shown}: it is a folder; name a file in it"));
    }
    if kind == Kind::Capture && fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return refuse(format!("cannot write {shown}: a capture is written to a regular file, no pipe or device"));
    }
    if inputs.iter().any(|input| is_same(input, path)) {
        return refuse(format!("writing {shown} would overwrite an input; choose another name"));
    }
    match found(path) {
        Some(Kind::Capture) if kind != Kind::Capture => {
            refuse(format!("{shown} is a capture, which this would destroy; choose another name"))
        }
        Some(Kind::Run) if kind != Kind::Run => {
            refuse(format!("{shown} holds the results of a replay, which this would destroy; choose another name"))
        }
        _ => Ok(()),
    }
}

/// Refuses a new capture where it cannot be made or, unless forced, something is already. The same file as the input is
/// left to who reads it.
///
/// # Errors
/// One sentence.
pub(super) fn check_new(path: &Path, force: bool, input: &Path) -> Result<(), CliError> {
    if !force && !is_same(input, path) && found(path).is_some() {
        let sentence = format!("{} exists; choose another name, or --force to replace it", path.display());
        return Err(CliError::new(Exit::Usage, sentence));
    }
    Ok(())
}

/// Whether both are one file, by whatever names and links.
fn is_same(one: &Path, other: &Path) -> bool {
    let regular = |path| fs::metadata(path).ok().filter(fs::Metadata::is_file);
    let identity = |path| regular(path).map(|file| (file.dev(), file.ino()));
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// What is there already; none where there is nothing to lose.
fn found(path: &Path) -> Option<Kind> {
    if !fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0) {
        return None;
    }
    let mut head = Vec::new();
    File::open(path).ok()?.take(16).read_to_end(&mut head).ok()?;
    let run = measure::MAGIC.split(|b| *b == b' ').next().unwrap_or(measure::MAGIC);
    Some(match head {
        head if head.starts_with(&capture::MAGIC) => Kind::Capture,
        head if head.starts_with(run) => Kind::Run,
        _ => Kind::Other,
    })
}

/// A file on its way: nothing stands at its path until it is kept. Devices and pipes are written directly.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    /// Where it is, and where it goes.
    move_to: Option<(PathBuf, PathBuf)>,
}

impl Draft {
    /// Begins a file with these permissions.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(super) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).mode(mode);
        if fs::metadata(path).is_ok_and(|file| !file.is_file()) {
            return Ok(Self { file: options.open(path)?, move_to: None });
        }
        // Through a link, so that it stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let draft = draft_of(&path);
        let _ = fs::remove_file(&draft);
        Ok(Self { file: options.create_new(true).open(&draft)?, move_to: Some((draft, path)) })
    }

    /// To write to.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Puts it at its path.
    ///
    /// # Errors
    /// When that cannot be done; nothing is left behind then.
    pub(super) fn keep(mut self) -> io::Result<()> {
        if let Some((draft, path)) = &self.move_to {
            fs::rename(draft, path)?;
        }
        self.move_to = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some((draft, _)) = &self.move_to {
            let _ = fs::remove_file(draft);
        }
    }
}

/// Writes a file so that `path` holds either what it held or all that is new. Devices and pipes are written directly.
///
/// # Errors
/// When it cannot be written; nothing is left behind then.
pub(super) fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let draft = Draft::create(path, mode)?;
    draft.file().write_all(content)?;
    draft.keep()
}

/// A name beside `path` that nobody else uses.
fn draft_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_was_recorded_or_measured_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let capture = file("a.dub", &capture::MAGIC);
        let run = file("a.run", measure::MAGIC);
        let newer = file("b.run", b"overdub-run 77\n");
        let (rules, empty, input) = (file("a.toml", b"format = 1"), file("empty", b""), file("users.csv", b"a\n1\n"));
        for (path, kind, allowed) in [
            (&capture, Kind::Run, false),
            (&capture, Kind::Other, false),
            (&run, Kind::Run, true),
            (&run, Kind::Other, false),
            (&newer, Kind::Other, false),
            (&rules, Kind::Other, true),
            (&empty, Kind::Capture, true),
            (&input, Kind::Other, false),
            (&dir.path().join("new"), Kind::Other, true),
            (&dir.path().join("no/new"), Kind::Other, false),
            (&dir.path().to_owned(), Kind::Other, false),
        ] {
            assert_eq!(check(path, kind, &[&input]).is_ok(), allowed, "{path:?} {kind:?}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_through_links_and_devices_stay_devices() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "a long former content").unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, 0o600, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        replace(Path::new("/dev/null"), 0o600, b"new").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
