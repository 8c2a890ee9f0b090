//! `overdub import`: packet captures, HAR and other tools' files become a capture.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::capture::Reader;
use crate::import::{self, Cached, Control, ImportError, Report, har, packet, packets};
use crate::report::escape_terminal;
use crate::wire::identity::UserBy;

use super::inspect::{Stop, count, settle};
use super::signals::Signals;
use super::{CliError, Console, Exit, output, redact};

mod json;
mod told;

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to import: pcap or pcapng (also .gz, .zst), HAR, mitmproxy flows, GoReplay files; several of one kind in the order
    /// of their traffic; - for standard input
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Capture to write [default: the first file's name with .dub]
    #[arg(short, long, env = "OVERDUB_OUTPUT", value_name = "FILE")]
    output: Option<PathBuf>,
    /// TLS secrets of the traffic, as browsers write them for SSLKEYLOGFILE (may repeat)
    #[arg(long, env = "OVERDUB_KEYLOG", value_name = "FILE", value_delimiter = ',')]
    keylog: Vec<PathBuf>,
    /// What tells users apart: auto, or a list of address, agent, cookie, cookie:NAME, authorization, header:NAME, connection
    #[arg(long, env = "OVERDUB_USER_BY", value_name = "LIST", default_value = "auto", value_parser = UserBy::parse_for_import)]
    user_by: UserBy,
    /// Read on as the last file grows, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Keep HAR entries that the browser took from its cache; they never went over the network
    #[arg(long)]
    keep_cached: bool,
    /// Leave out packets whose TCP checksum is wrong (off, as checksums are often filled in behind the tap)
    #[arg(long)]
    verify_checksums: bool,
    /// A UDP port that carries VXLAN, beside 4789 and 8472 (may repeat)
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    vxlan_port: Vec<u16>,
    #[command(flatten)]
    redact: redact::Flags,
    /// Replace an existing capture
    #[arg(long)]
    force: bool,
    /// Print the summary as JSON on stdout
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long, env = "OVERDUB_QUIET", value_parser = clap::builder::FalseyValueParser::new())]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When nothing can be imported, or the capture cannot be written.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let console = Console::new(arguments.quiet);
    let output = arguments.output.clone().unwrap_or_else(|| default_output(&arguments.inputs[0]));
    let files: Vec<&Path> = arguments.inputs.iter().chain(&arguments.keylog).map(|path| real(path)).collect();
    if output.as_os_str() == "-" {
        return Err(CliError::new(Exit::Usage, "a capture cannot be written to standard output; name a file with -o"));
    }
    let is_new = !output.exists();
    output::check_new(&output, arguments.force, Path::new(""))?;
    output::check(&output, output::Kind::Capture, &files)?;
    let config = import::Config {
        inputs: arguments.inputs.clone(),
        output: output.clone(),
        keylogs: arguments.keylog.clone(),
        user_by: arguments.user_by.clone(),
        follow: arguments.follow,
        packets: packets::Options {
            packets: packet::Config {
                verify_checksums: arguments.verify_checksums,
                vxlan_ports: arguments.vxlan_port.clone(),
            },
            ..packets::Options::default()
        },
        har: har::Config { cached: if arguments.keep_cached { Cached::Keep } else { Cached::Skip } },
        redactor: arguments.redact.redactor()?,
    };
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signal(Arc::clone(&stop))?;
    if arguments.follow || arguments.inputs.iter().any(|path| path.as_os_str() == "-") {
        console.say(format_args!("importing into {} as traffic comes; Ctrl-C ends it", output.display()));
    }
    let mut progress = |bytes: u64| console.progress(format_args!("{} MB read", bytes / 1_000_000));
    let done = import::run(config, Control::new(stop, &mut progress));
    console.end_progress();
    let report = done.map_err(|error| refused(&error, &output, is_new))?;
    let kept = keep(&report, &output, arguments.follow);
    if arguments.json {
        let mut out = console.data();
        let line = json::summary(&report);
        settle(writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Stop::from).map(|()| Exit::Passed))?;
    }
    told::tell(console, &report, &output);
    verdict(&report, kept, &output, arguments)
}

/// What the program ends with, and the last sentence.
fn verdict(report: &Report, kept: Kept, output: &Path, arguments: &Arguments) -> Result<Exit, CliError> {
    let problems: Vec<String> = report.problems.iter().map(|problem| escape_terminal(&problem.to_string())).collect();
    let interrupted =
        report.stopped && !arguments.follow && arguments.inputs.iter().all(|path| path.as_os_str() != "-");
    if kept == Kept::Nothing {
        let sentence = format!(
            "{}: no HTTP exchange in {}{}{}",
            arguments.inputs.iter().map(|path| import::shown(path)).collect::<Vec<_>>().join(", "),
            if interrupted { "what was read until it was interrupted" } else { "it" },
            told::what_else(report, !arguments.keylog.is_empty()),
            problems.iter().map(|problem| format!("; {problem}")).collect::<String>()
        );
        return Err(CliError::new(if interrupted { Exit::Interrupted } else { Exit::Usage }, sentence));
    }
    let mut sentences = problems;
    if interrupted {
        sentences.insert(0, format!("interrupted; {} holds what was read until then", output.display()));
    }
    match sentences.as_slice() {
        [] => Ok(Exit::Passed),
        all => Err(CliError::new(if interrupted { Exit::Interrupted } else { Exit::Usage }, all.join("; "))),
    }
}

/// The file behind a name on the command line.
fn real(path: &Path) -> &Path {
    if path.as_os_str() == "-" { Path::new("/dev/stdin") } else { path }
}

/// Whether there is a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Capture,
    Nothing,
}

/// A capture without exchanges is no use to anyone and is taken away; one of live traffic may have had none yet.
fn keep(report: &Report, output: &Path, live: bool) -> Kept {
    let exchanges = report.written.as_ref().map_or(0, |written| written.file.exchanges);
    if exchanges > 0 || (live && report.written.is_some()) {
        return Kept::Capture;
    }
    if report.written.is_some() {
        // What is left behind when this fails is an empty capture, which says so itself.
        let _ = std::fs::remove_file(output);
    }
    Kept::Nothing
}

fn refused(error: &ImportError, output: &Path, is_new: bool) -> CliError {
    match error {
        ImportError::Write(_) => match Reader::open(output).map(|reader| reader.exchange_count()) {
            Ok(kept) if kept > 0 => {
                let shown = output.display();
                let context = format!("the import failed ({shown} holds {} until then)", count(kept, "exchange"));
                CliError::because(Exit::Broken, context, error)
            }
            Ok(_) | Err(_) => {
                if is_new {
                    let _ = std::fs::remove_file(output);
                }
                CliError::because(Exit::Broken, "the import failed", error)
            }
        },
        ImportError::Spool(_) => CliError::because(Exit::Broken, "the import failed", error),
        ImportError::Stopped => CliError::new(Exit::Interrupted, error.to_string()),
        _ => CliError::because(Exit::Usage, "cannot import", error),
    }
}

/// `traffic.pcapng.gz` becomes `traffic.dub`, here.
fn default_output(input: &Path) -> PathBuf {
    let name = input.file_name().and_then(|name| name.to_str()).filter(|name| *name != "-").unwrap_or("import");
    let packed = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    Path::new(packed).with_extension("dub")
}

/// Sets the flag when the user wants an end; a second signal ends the program at once.
fn stop_on_signal(stop: Arc<AtomicBool>) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::because(Exit::Broken, "cannot wait for signals", &error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen().map_err(failed)?
    };
    std::thread::spawn(move || {
        runtime.block_on(signals.either());
        stop.store(true, Ordering::Release);
        runtime.block_on(signals.either());
        std::process::exit(i32::from(Exit::Interrupted.code()));
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_named_after_what_it_comes_from() {
        for (input, output) in [
            ("/tmp/traffic.pcapng", "traffic.dub"),
            ("traffic.pcap.gz", "traffic.dub"),
            ("shop.har", "shop.dub"),
            ("-", "import.dub"),
            ("noending", "noending.dub"),
        ] {
            assert_eq!(default_output(Path::new(input)), Path::new(output), "{input}");
        }
    }
}
