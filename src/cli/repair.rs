//! `overdub repair`: rewrites what can be saved of a damaged capture.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::capture::{self, CaptureError, RepairReport};

use super::inspect::{Stop, cannot_read, count, ranges, settle, size};
use super::{CliError, Console, Exit, output};

/// Ranges of exchange numbers that a line names.
const NAMED_RANGES: usize = 40;

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The capture (.dub) to read; it is not changed
    file: PathBuf,
    /// The new capture
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    output::check_new(&arguments.output, arguments.force, &arguments.file)?;
    let report =
        capture::repair(&arguments.file, &arguments.output).map_err(|error| cannot_repair(arguments, &error))?;
    let mut out = Console::new(false).data();
    settle(print(&mut out, arguments, &report).map_err(Stop::from).map(|()| Exit::Passed))
}

fn cannot_repair(arguments: &Arguments, error: &CaptureError) -> CliError {
    let (from, to) = (arguments.file.display(), arguments.output.display());
    match error {
        CaptureError::Header => {
            CliError::new(Exit::Usage, format!("the header of {from} is damaged and no exchange behind it can be read"))
        }
        CaptureError::SameFile => {
            CliError::new(Exit::Usage, format!("{from} and {to} are the same file; name another one with -o"))
        }
        CaptureError::DiskFull(cause) | CaptureError::Io(cause) if is_full(cause) => {
            let context =
                format!("cannot write {to}; make room or name another place with -o (what was saved is in it)");
            CliError::because(Exit::Broken, context, cause)
        }
        CaptureError::Io(cause) if arguments.file.is_file() => {
            CliError::because(Exit::Usage, format_args!("cannot copy {from} to {to}"), cause)
        }
        _ => cannot_read(&arguments.file, error),
    }
}

/// No room on the disk, or a limit of the system.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn print(out: &mut impl Write, arguments: &Arguments, report: &RepairReport) -> io::Result<()> {
    let saved = &report.saved;
    let (sessions, mut exchanges) = (count(saved.sessions, "session"), count(saved.exchanges, "exchange"));
    if saved.messages > 0 {
        exchanges = format!("{exchanges}, {}", count(saved.messages, "message"));
    }
    writeln!(out, "{}: {sessions}, {exchanges}, {}", arguments.output.display(), size(saved.file_bytes))?;
    if report.is_complete() {
        writeln!(out, "  nothing was lost")?;
    }
    if report.header_lost {
        writeln!(out, "  lost: the header, which said when and from where it was recorded")?;
    }
    if report.damage.torn_bytes > 0 {
        writeln!(out, "  lost: the last {}, which are no whole frame", size(report.damage.torn_bytes))?;
    }
    for (offset, bytes, held) in &report.damage.bad_frames {
        writeln!(out, "  lost: {bytes} bytes at offset {offset}, which held {held}")?;
    }
    for (what, ids) in [("lost", &report.damage.lost_exchanges), ("kept without a body", &report.emptied)] {
        if !ids.is_empty() {
            let numbers: Vec<u64> = ids.iter().map(|id| id.0).collect();
            let exchanges = count(numbers.len() as u64, "exchange");
            writeln!(out, "  {exchanges} {what}: {}", ranges(&numbers, NAMED_RANGES))?;
        }
    }
    if !report.damage.lost_messages.is_empty() {
        let lost = report.damage.lost_messages.iter().fold(0_u64, |sum, (_, messages)| sum.saturating_add(*messages));
        let numbers: Vec<u64> = report.damage.lost_messages.iter().map(|(id, _)| id.0).collect();
        writeln!(out, "  {} lost, of exchanges {}", count(lost, "message"), ranges(&numbers, NAMED_RANGES))?;
    }
    for (unreadable, what) in [(report.unreadable, "exchange"), (report.unreadable_messages, "message")] {
        if unreadable > 0 {
            writeln!(out, "  lost: {} that cannot be decoded", count(unreadable, what))?;
        }
    }
    out.flush()
}
