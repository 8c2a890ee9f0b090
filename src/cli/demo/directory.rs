//! The directory that the demo fills: its files by name, and the care not to fill somebody else's.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::cli::{CliError, Exit};

/// A file that says: the rest may be replaced by the next demo.
const MARK: &str = ".overdub-demo";

/// Where the demo leaves what it makes.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory, or takes that of a former demo.
    ///
    /// # Errors
    /// When it holds anything else, or cannot be written to.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let broken = |error: io::Error| {
            let context = format!("cannot use the directory {}", path.display());
            CliError::because(Exit::Usage, context, &error)
        };
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() && !path.join(MARK).exists() {
                    let sentence = format!(
                        "the directory {} is not empty and not from a former demo; name another one with --dir",
                        path.display()
                    );
                    return Err(CliError::new(Exit::Usage, sentence));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(path).map_err(broken)?,
            Err(error) => return Err(broken(error)),
        }
        fs::write(path.join(MARK), "`overdub demo` replaces the files of this directory.\n").map_err(broken)?;
        let directory = Self { path: path.to_owned() };
        for former in directory.results() {
            match fs::remove_file(&former) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(broken(error)),
                _ => {}
            }
        }
        Ok(directory)
    }

    /// The recording.
    pub(super) fn capture(&self) -> PathBuf {
        self.path.join("shop.dub")
    }

    /// What correlation found.
    pub(super) fn rules(&self) -> PathBuf {
        self.path.join("shop.rules.toml")
    }

    /// The people: who was recorded, then who is played.
    pub(super) fn users(&self) -> PathBuf {
        self.path.join("users.csv")
    }

    /// Results of the replay with the rules.
    pub(super) fn run(&self) -> PathBuf {
        self.path.join("shop.run")
    }

    /// Results of the replay without them.
    pub(super) fn naive_run(&self) -> PathBuf {
        self.path.join("without-rules.run")
    }

    /// The page to look at.
    pub(super) fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Every file that a demo makes.
    pub(super) fn results(&self) -> [PathBuf; 6] {
        [self.capture(), self.rules(), self.users(), self.run(), self.naive_run(), self.report()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_an_empty_and_a_former_directory_are_taken_and_others_are_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a").join("b");
        let directory = Directory::open(&path).unwrap();
        fs::write(directory.run(), "old").unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        let again = Directory::open(&path).unwrap();
        assert!(!again.run().exists(), "results of a former demo do not stand beside those of a new one");
        assert!(path.join("notes.txt").exists(), "what the demo did not make stays");
        Directory::open(&temporary.path().join("a")).unwrap_err();
        let file = path.join("notes.txt");
        assert_eq!(Directory::open(&file).unwrap_err().exit, Exit::Usage);
    }
}
