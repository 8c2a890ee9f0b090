//! One import from start to end: opens the inputs, tells what they are, hands them to the reader of their kind.

use std::path::{Path, PathBuf};

use super::control::Control;
use super::error::Problem;
use super::format::LOOK_BYTES;
use super::input::{Input, InputError};
use super::keys::Keys;
use super::packets::{self, Ended, PacketImport, PacketReport};
use super::records::{self, Again, Flows, HarFiles, Payloads};
use super::{Format, ImportError, goreplay, har, mitmproxy};
use crate::capture::MAGIC;
use crate::observe::recorder::Finished;
use crate::wire::identity::{Sessions, UserBy};
use crate::wire::redact::Redactor;

/// What to import, and how.
#[derive(Debug, Default)]
pub struct Config {
    /// Files in the order of their traffic; `-` is standard input. At least one.
    pub inputs: Vec<PathBuf>,
    /// The capture to write; an existing file is replaced.
    pub output: PathBuf,
    /// TLS key log files.
    pub keylogs: Vec<PathBuf>,
    /// What tells users apart.
    pub user_by: UserBy,
    /// Whether the last input is read on as it grows, until the import is stopped.
    pub follow: bool,
    /// For packet captures.
    pub packets: packets::Options,
    /// For HAR files.
    pub har: har::Config,
    /// Replaces secrets before they reach the capture. Inputs that can be read again are read twice when secrets turn out as
    /// such late.
    pub redactor: Option<Redactor>,
}

/// What became of an import.
#[derive(Debug)]
pub struct Report {
    /// What the inputs were.
    pub format: Format,
    /// The capture; none when there was nothing to put into one, and no file was made.
    pub written: Option<Finished>,
    /// What was in the inputs.
    pub details: Details,
    /// What was wrong with them.
    pub problems: Vec<Problem>,
    /// Whether it was stopped before the end of the inputs.
    pub stopped: bool,
}

/// What was in the inputs, by their kind.
#[derive(Debug)]
pub enum Details {
    /// Packet captures.
    Packets(Box<PacketReport>),
    /// HAR files, in order.
    Har(Vec<har::Summary>),
    /// mitmproxy flow files, in order.
    Mitmproxy(Vec<mitmproxy::Summary>),
    /// GoReplay files, in order.
    GoReplay(Vec<goreplay::Summary>),
}

/// Imports. What could be read is in the capture also when an input is damaged: [`Report::problems`] says how.
///
/// # Errors
/// When the first input cannot be read at all, or the capture cannot be written.
pub fn run(mut config: Config, mut control: Control<'_>) -> Result<Report, ImportError> {
    let redactor = config.redactor.take();
    let (report, redactor) = once(&config, redactor, &mut control)?;
    match redactor {
        Some(mut redactor) if redactor.tally().late > 0 && !report.stopped && is_there_again(&config) => {
            redactor.again();
            once(&config, Some(redactor), &mut control).map(|(report, _)| report)
        }
        _ => Ok(report),
    }
}

/// Whether all inputs can be read once more.
fn is_there_again(config: &Config) -> bool {
    !config.follow && config.inputs.iter().all(|path| path.is_file())
}

fn once(
    config: &Config,
    redactor: Option<Redactor>,
    control: &mut Control<'_>,
) -> Result<(Report, Option<Redactor>), ImportError> {
    let first = config.inputs.first().cloned().unwrap_or_else(|| PathBuf::from("-"));
    let mut input = open(&first, config.follow && config.inputs.len() < 2, control)?;
    let format = recognise(&first, &mut input)?;
    match format {
        Format::Packets => read_packets(config, redactor, input, control),
        found if config.follow && config.inputs.iter().all(|path| path.as_os_str() != "-") => {
            Err(ImportError::NotFollowed { path: first, found })
        }
        _ => read_records(config, redactor, format, input, control),
    }
}

fn open(path: &Path, follow: bool, control: &Control<'_>) -> Result<Input, ImportError> {
    let opened = if follow { Input::follow(path, control.stop_flag()) } else { Input::open(path, control.stop_flag()) };
    opened.map_err(|source| ImportError::Input { path: path.to_owned(), source })
}

fn recognise(path: &Path, input: &mut Input) -> Result<Format, ImportError> {
    let failed = |source| ImportError::Input { path: path.to_owned(), source: InputError::Read(source) };
    // What is live gives its first few bytes early and the rest when there is traffic.
    for count in [LOOK_BYTES >> 10, LOOK_BYTES >> 6, LOOK_BYTES >> 3, LOOK_BYTES] {
        if let Some(format) = Format::of(input.peek(count).map_err(failed)?) {
            return Ok(format);
        }
    }
    let head = input.peek(LOOK_BYTES).map_err(failed)?;
    let (empty, capture) = (head.is_empty(), head.starts_with(&MAGIC));
    let path = path.to_owned();
    Err(match input.damage() {
        Some(damage) => ImportError::Damaged { path, damage },
        None if empty => ImportError::Empty { path },
        None if capture => ImportError::Capture { path },
        None => ImportError::Unknown { path },
    })
}

fn read_packets(
    config: &Config,
    redactor: Option<Redactor>,
    input: Input,
    control: &mut Control<'_>,
) -> Result<(Report, Option<Redactor>), ImportError> {
    let mut keys = Keys::read(&config.keylogs)?;
    for path in config.inputs.iter().filter(|path| path.as_os_str() != "-") {
        // A later input that is not there is told when its turn comes.
        let _ = super::packet::secrets_in(path, &mut |text| keys.add(text, None));
    }
    control.live = config.follow || config.inputs.iter().any(|path| path.as_os_str() == "-");
    let source = named("packets", config, redactor.as_ref());
    let Config { inputs, output, follow, .. } = config;
    let sessions = Sessions::by(config.user_by.clone());
    let mut import = PacketImport::new(config.packets.clone(), output, &source, sessions, keys).redacting(redactor);
    let mut left = Vec::new();
    let mut ended = import.read(&inputs[0], input, control)?;
    let mut number = 0;
    loop {
        number += usize::from(ended == Ended::Here);
        let Some(path) = inputs.get(number).filter(|_| !control.stopped()) else { break };
        let live = *follow && number + 1 == inputs.len();
        ended = match open(path, live, control).and_then(|input| import.read(path, input, control)) {
            Ok(ended) => ended,
            Err(error @ ImportError::Write(_)) => return Err(error),
            Err(error) => {
                left.push(Problem::Left(Box::new(error)));
                Ended::Here
            }
        };
    }
    let (written, report, mut problems) = import.finish()?;
    problems.extend(left);
    let (written, redactor) = written.unzip();
    let report = Report {
        format: Format::Packets,
        written,
        details: Details::Packets(Box::new(report)),
        problems,
        stopped: control.stopped(),
    };
    Ok((report, redactor.flatten()))
}

/// Where a capture comes from, and whether it is as it came.
fn named(kind: &str, config: &Config, redactor: Option<&Redactor>) -> String {
    let source = packets::named(kind, &config.inputs);
    if redactor.is_some() { format!("{source}, redacted") } else { source }
}

/// Imports files that are lists of exchanges: each is read twice, first for its times and names.
fn read_records(
    config: &Config,
    redactor: Option<Redactor>,
    format: Format,
    first: Input,
    control: &Control<'_>,
) -> Result<(Report, Option<Redactor>), ImportError> {
    let mut problems = Vec::new();
    let keep = |path: &Path, input| Again::of(path, input, &config.output, control.stop_flag());
    let mut sources = vec![keep(&config.inputs[0], first)?];
    for path in &config.inputs[1..] {
        let opened = open(path, false, control).and_then(|mut input| match recognise(path, &mut input)? {
            found if found == format => keep(path, input),
            found => Err(ImportError::Mixed { path: path.clone(), found }),
        });
        match opened {
            Ok(source) => sources.push(source),
            Err(error @ (ImportError::Spool(_) | ImportError::Stopped)) => return Err(error),
            Err(error) => problems.push(Problem::Left(Box::new(error))),
        }
    }
    problems.extend(sources.iter_mut().filter_map(Again::take_damage));
    let target = records::Target {
        output: &config.output,
        source: named(&format.to_string(), config, redactor.as_ref()),
        user_by: config.user_by.clone(),
        redactor,
    };
    let (recorder, details) = match format {
        Format::Har => {
            let (recorder, summaries) = target.import(&HarFiles(config.har), sources, &mut problems)?;
            (recorder, Details::Har(summaries))
        }
        Format::Mitmproxy => {
            let (recorder, summaries) = target.import(&Flows, sources, &mut problems)?;
            (recorder, Details::Mitmproxy(summaries))
        }
        Format::GoReplay | Format::Packets => {
            let (recorder, summaries) = target.import(&Payloads, sources, &mut problems)?;
            (recorder, Details::GoReplay(summaries))
        }
    };
    let (written, redactor) = recorder.close_keeping()?;
    Ok((Report { format, written: Some(written), details, problems, stopped: control.stopped() }, redactor))
}
