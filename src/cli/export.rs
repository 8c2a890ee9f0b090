//! `overdub export`: a capture in another tool's format.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::capture::Reader;
use crate::export::har::{self, ExportError};

use super::inspect::{cannot_read, count};
use super::{CliError, Console, Exit, output};

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The capture
    capture: PathBuf,
    /// The format
    #[arg(long, value_enum, default_value_t = To::Har)]
    to: To,
    /// Where it goes; - for stdout [default: the capture's name with the format's ending]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(short, long, env = "OVERDUB_QUIET", value_parser = clap::builder::FalseyValueParser::new())]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum To {
    /// HTTP Archive 1.2
    Har,
}

/// Runs the command.
///
/// # Errors
/// When the capture cannot be read or the file cannot be written.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let console = Console::new(arguments.quiet);
    let To::Har = arguments.to;
    let output = arguments.output.clone().unwrap_or_else(|| arguments.capture.with_extension("har"));
    let to_stdout = output.as_os_str() == "-";
    if !to_stdout {
        output::check(&output, output::Kind::Other, &[&arguments.capture])?;
    }
    let reader = Reader::open(&arguments.capture).map_err(|error| cannot_read(&arguments.capture, &error))?;
    let done = if to_stdout {
        har::write(&reader, &mut console.data(), &har::Options::default())
    } else {
        write_file(&reader, &output)
    };
    match done {
        Ok(summary) => {
            console.say(format_args!("{}: {}", output.display(), count(summary.entries, "exchange")));
            for (what, number) in [
                ("bodies left out because they are too long", summary.bodies_left_out),
                ("bodies that the capture has lost", summary.bodies_lost),
                ("exchanges that could not be read", summary.unreadable),
            ] {
                if number > 0 {
                    console.warn(format_args!("{number} {what}"));
                }
            }
            Ok(Exit::Passed)
        }
        Err(ExportError::Io(error)) if to_stdout && error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Passed),
        Err(error @ ExportError::Io(_)) => {
            Err(CliError::because(Exit::Broken, format_args!("cannot write {}", output.display()), &error))
        }
        Err(error) => Err(cannot_export(&arguments.capture, &error)),
    }
}

fn cannot_export(capture: &Path, error: &ExportError) -> CliError {
    CliError::because(Exit::Usage, format_args!("cannot export {}", capture.display()), error)
}

/// Whole or not at all, readable by its owner alone: it holds what the users typed.
fn write_file(reader: &Reader, output: &Path) -> Result<har::Summary, ExportError> {
    let draft = output::Draft::create(output, 0o600)?;
    let mut out = BufWriter::new(draft.file());
    let summary = har::write(reader, &mut out, &har::Options::default())?;
    out.flush()?;
    drop(out);
    draft.keep()?;
    Ok(summary)
}
