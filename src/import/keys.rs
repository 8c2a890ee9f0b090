//! TLS secrets from key log files, which may grow while we read, and from inside captures.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::ImportError;
use super::error::Problem;
use crate::observe::conversation::{Conversations, Tally};
use crate::observe::tls::Keyring;

/// Longest piece of a key log that is read at once.
const PIECE_BYTES: u64 = 64 << 20;

/// Key log files, and what was read of them.
#[derive(Debug, Default)]
pub(super) struct Keys {
    files: Vec<Followed>,
    /// Until conversations have it.
    keyring: Keyring,
    /// Secrets taken so far.
    taken: usize,
}

#[derive(Debug)]
struct Followed {
    path: PathBuf,
    position: u64,
    /// What stands behind the last line end.
    rest: Vec<u8>,
    taken: usize,
    /// It was a pipe, which is read once.
    drained: bool,
}

impl Keys {
    /// Reads what the files hold now.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, ImportError> {
        let mut keys = Self::default();
        for path in paths {
            let mut file = Followed { path: path.clone(), position: 0, rest: Vec::new(), taken: 0, drained: false };
            let failed = |source| ImportError::Keylog { path: path.clone(), source };
            if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
                file.drain(&mut keys.keyring).map_err(failed)?;
            } else {
                while file.read(&mut keys.keyring).map_err(failed)? {}
            }
            file.finish(&mut keys.keyring);
            keys.taken += file.taken;
            keys.files.push(file);
        }
        Ok(keys)
    }

    /// Secrets from inside a capture.
    pub(super) fn add(&mut self, text: &[u8], conversations: Option<&mut Conversations>) {
        self.taken += conversations.map_or(&mut self.keyring, Conversations::keys_mut).add(text);
    }

    /// The keyring, once.
    pub(super) fn take(&mut self) -> Keyring {
        std::mem::take(&mut self.keyring)
    }

    /// Looks for lines that were added to the files. A file that is gone for the moment is looked at the next time.
    pub(super) fn reread(&mut self, conversations: &mut Conversations) {
        for file in self.files.iter_mut().filter(|file| !file.drained) {
            let before = file.taken;
            while file.read(conversations.keys_mut()).unwrap_or(false) {}
            self.taken += file.taken - before;
        }
    }

    /// Adds what is wrong with the keys, now that all packets were seen.
    pub(super) fn judge(&self, tally: &Tally, problems: &mut Vec<Problem>) {
        let useless = self.files.iter().filter(|file| file.taken == 0);
        problems.extend(useless.map(|file| Problem::NoKeys { path: file.path.clone() }));
        let sealed: u64 = tally.undecryptable.values().map(|traffic| traffic.connections).sum();
        if self.taken > 0 && sealed > 0 && tally.decrypted == 0 {
            problems.push(Problem::WrongKeys { secrets: self.taken, connections: sealed });
        }
    }
}

impl Followed {
    /// Reads the next piece; false at the end.
    fn read(&mut self, keyring: &mut Keyring) -> io::Result<bool> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.position))?;
        self.piece(&mut file, keyring)
    }

    /// Reads a pipe to its end.
    fn drain(&mut self, keyring: &mut Keyring) -> io::Result<()> {
        self.drained = true;
        let mut file = File::open(&self.path)?;
        while self.piece(&mut file, keyring)? {}
        Ok(())
    }

    fn piece(&mut self, file: &mut File, keyring: &mut Keyring) -> io::Result<bool> {
        let before = self.rest.len();
        file.take(PIECE_BYTES).read_to_end(&mut self.rest)?;
        let count = self.rest.len() - before;
        self.position += count as u64;
        if let Some(end) = memchr::memrchr(b'\n', &self.rest) {
            self.taken += keyring.add(&self.rest[..=end]);
            self.rest.drain(..=end);
        } else if self.rest.len() as u64 > PIECE_BYTES {
            self.rest.clear();
        }
        Ok(count > 0)
    }

    /// The last line may have no end.
    fn finish(&mut self, keyring: &mut Keyring) {
        let rest = std::mem::take(&mut self.rest);
        self.taken += keyring.add(&rest);
        // A line that was cut is read again when it is whole.
        self.position -= rest.len() as u64;
    }
}
