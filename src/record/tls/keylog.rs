//! Secrets of all TLS connections in the NSS key log format (RFC 9850), for tshark and `import --keylog`. Main type: [`Keylog`].
//!
//! Lines go through a bounded channel to a thread, so that a slow disk holds nobody up. What finds no room there is counted.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustls::KeyLog;

use crate::record::tally::Tally;

/// Lines that wait for the disk; a handshake writes five.
const WAITING_LINES: usize = 4096;

/// Where handshakes leave their secrets.
#[derive(Debug)]
pub(in crate::record) struct Keylog {
    lines: SyncSender<Option<String>>,
    tally: Arc<Tally>,
}

/// The thread that writes them. Ends when told to, or with its last sender.
#[derive(Debug)]
pub(in crate::record) struct Writing {
    lines: SyncSender<Option<String>>,
    thread: thread::JoinHandle<()>,
}

/// A key log file, opened and fit to be appended to.
#[derive(Debug)]
pub(in crate::record) struct KeylogFile(File);

impl KeylogFile {
    /// Opens or creates the file; nobody else may read it from now on. Never waits for the other end of a pipe.
    ///
    /// # Errors
    /// When it cannot be opened, read or written.
    pub(in crate::record) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            if metadata.permissions().mode() & 0o077 != 0 {
                file.set_permissions(Permissions::from_mode(0o600))?;
            }
            if metadata.len() > 0 {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                }
            }
        } else if metadata.file_type().is_dir() || metadata.file_type().is_block_device() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Self(file))
    }
}

impl Keylog {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(in crate::record) fn start(file: KeylogFile, tally: Arc<Tally>) -> io::Result<(Self, Writing)> {
        let (lines, waiting) = sync_channel(WAITING_LINES);
        let told = tally.clone();
        let thread = thread::Builder::new().name("overdub-keylog".into()).spawn(move || {
            write_all(file.0, &waiting, &told);
        })?;
        Ok((Self { lines: lines.clone(), tally }, Writing { lines, thread }))
    }
}

impl Writing {
    /// Waits until everything is written that was logged before.
    pub(in crate::record) fn finish(self) {
        let _ = self.lines.send(None);
        let _ = self.thread.join();
    }
}

impl KeyLog for Keylog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if self.lines.try_send(Some(line(label, client_random, secret))).is_err() {
            self.tally.secret_lost("the disk is too slow");
        }
    }
}

/// Writes what comes until the end. A failure is told and the next line is tried all the same.
fn write_all(mut file: impl Write, lines: &Receiver<Option<String>>, tally: &Tally) {
    let mut torn = false;
    for line in lines.iter().map_while(|line| line) {
        let text = if torn { format!("\n{line}") } else { line };
        match write_line(&mut file, text.as_bytes()) {
            Ok(()) => torn = false,
            Err((written, error)) => {
                torn |= written > 0;
                tally.secret_lost(&error.to_string());
            }
        }
    }
}

/// In one piece where the system does it, so that several programs can append to one file. Says how much of a line that
/// failed is in the file.
fn write_line(file: &mut impl Write, line: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < line.len() {
        match file.write(&line[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// `<label> <client random> <secret>`, the latter two in hexadecimal.
fn line(label: &str, client_random: &[u8], secret: &[u8]) -> String {
    let mut line = String::with_capacity(label.len() + 2 * (client_random.len() + secret.len()) + 3);
    line.push_str(label);
    for bytes in [client_random, secret] {
        line.push(' ');
        for byte in bytes {
            let _ = write!(line, "{byte:02x}");
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::sync::mpsc;

    use super::*;
    use crate::record::Notice;

    /// Takes `room` bytes at most between two failures.
    struct Disk {
        content: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                self.room = 1000;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.room);
            self.room -= count;
            self.content.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_what_rfc_9850_says() {
        assert_eq!(line("CLIENT_RANDOM", &[0, 0xab], &[0xff]), "CLIENT_RANDOM 00ab ff\n");
    }

    #[test]
    fn a_full_disk_is_told_once_and_spoils_no_later_line() {
        let (sender, mut notices) = mpsc::channel(8);
        let tally = Tally::new(sender);
        let (lines, waiting) = sync_channel(8);
        for label in ["A", "B", "C"] {
            lines.send(Some(line(label, &[1], &[2]))).unwrap();
        }
        lines.send(None).unwrap();
        let mut disk = Disk { content: Vec::new(), room: 11 };
        write_all(&mut disk, &waiting, &tally);
        assert_eq!(String::from_utf8(disk.content).unwrap(), "A 01 02\nB 0\nC 01 02\n");
        assert_eq!(tally.remarks().lost_secrets, 1);
        assert!(matches!(notices.try_recv(), Ok(Notice::KeylogFailed { .. })));
        assert!(notices.try_recv().is_err());
    }

    #[test]
    fn an_existing_file_is_made_private_and_its_broken_last_line_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.log");
        std::fs::write(&path, "# from elsewhere").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let KeylogFile(mut file) = KeylogFile::open(&path).unwrap();
        file.write_all(b"A 01 02\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# from elsewhere\nA 01 02\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(KeylogFile::open(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# from elsewhere\nA 01 02\n");
        assert!(KeylogFile::open(dir.path()).is_err());
        assert!(KeylogFile::open(&dir.path().join("absent/keys.log")).is_err());
    }
}
