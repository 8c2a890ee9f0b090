//! `overdub compare`: two runs, or a recording and a run, become a verdict.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use crate::capture::{CaptureError, Reader};
use crate::compare::{Settings, Verdict, compare};
use crate::measure::{Load, MAGIC, Recorder, Run, RunInfo, RunKind};
use crate::model::Exchange;
use crate::plan::endpoint_name;
use crate::report::{self, Against};
use crate::rules::Endpoint;

use super::inspect::cannot_read;
use super::{CliError, Console, Exit, output};

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to compare with: a capture (.dub) or a run (.run)
    baseline: PathBuf,
    /// What is judged: a run (.run) or a capture (.dub)
    candidate: PathBuf,
    /// Write a report as one HTML file that needs no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the comparison as JSON on stdout
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the comparison as Markdown on stdout
    #[arg(long)]
    markdown: bool,
    /// Exit with 3 when there is no verdict (inconclusive, or another load)
    #[arg(long)]
    strict: bool,
    /// Smallest change that matters, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = positive)]
    margin: f64,
    /// Smallest change that matters, in milliseconds; the larger of the two margins counts
    #[arg(long, value_name = "MS", default_value_t = 5.0, value_parser = positive)]
    margin_ms: f64,
    /// Say nothing but errors and the comparison
    #[arg(short, long)]
    quiet: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && (0.0..=1e6).contains(&number) => Ok(number),
        _ => Err("a number from 0 to 1000000 is needed".to_owned()),
    }
}

/// Runs the command.
///
/// # Errors
/// When an input cannot be read or an output cannot be written.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let console = Console::new(arguments.quiet);
    if let Some(path) = &arguments.html {
        output::check(path, output::Kind::Other, &[&arguments.baseline, &arguments.candidate])?;
    }
    let (baseline, candidate) = load(&arguments.baseline, &arguments.candidate, &console)?;
    let settings = Settings {
        margin_share: arguments.margin / 100.0,
        margin_us: (arguments.margin_ms * 1000.0) as u64,
        ..Settings::default()
    };
    let comparison = compare(&baseline, &candidate, &settings);
    let mut out = console.data();
    let written = if arguments.json {
        report::json(&mut out, &comparison)
    } else if arguments.markdown {
        report::markdown(&mut out, &comparison)
    } else {
        report::text(&mut out, &comparison)
    };
    unless_gone(written.and_then(|()| out.flush()))?;
    if let Some(path) = &arguments.html {
        let against = Against { run: &baseline, comparison: &comparison };
        write_html(path, &candidate, Some(against))?;
        console.say(format_args!("report written to {}", path.display()));
    }
    Ok(exit_of(comparison.verdict, arguments.strict))
}

fn exit_of(verdict: Verdict, strict: bool) -> Exit {
    match verdict {
        Verdict::Regressed => Exit::Failed,
        Verdict::NotComparable => Exit::NotComparable,
        Verdict::Inconclusive | Verdict::OtherLoad if strict => Exit::NotComparable,
        Verdict::Improved | Verdict::Equivalent | Verdict::Inconclusive | Verdict::OtherLoad => Exit::Passed,
    }
}

/// A reader that went away has seen what it wanted.
fn unless_gone(written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::because(Exit::Broken, "cannot write the comparison", &error))
        }
        _ => Ok(()),
    }
}

/// Writes the report of a run into a file.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_html(path: &Path, run: &Run, against: Option<Against<'_>>) -> Result<(), CliError> {
    let write = || -> io::Result<()> {
        let mut page = Vec::new();
        report::html(&mut page, run, against)?;
        output::replace(path, 0o644, &page)
    };
    write().map_err(|e| CliError::because(Exit::Broken, format_args!("cannot write {}", path.display()), &e))
}

/// Both inputs. Runs are read first: their endpoints are the names that a recording's exchanges are sorted into.
fn load(baseline: &Path, candidate: &Path, console: &Console) -> Result<(Run, Run), CliError> {
    let (left, right) = (Input::open(baseline)?, Input::open(candidate)?);
    match (left, right) {
        (Input::Run(left), Input::Run(right)) => Ok((*left, *right)),
        (Input::Run(left), Input::Capture(path)) => {
            let right = recorded(&path, &Namer::new(&left), console)?;
            Ok((*left, right))
        }
        (Input::Capture(path), Input::Run(right)) => Ok((recorded(&path, &Namer::new(&right), console)?, *right)),
        (Input::Capture(left), Input::Capture(right)) => {
            let namer = Namer::default();
            Ok((recorded(&left, &namer, console)?, recorded(&right, &namer, console)?))
        }
    }
}

enum Input {
    Run(Box<Run>),
    Capture(PathBuf),
}

impl Input {
    /// Looks at the first bytes. What is neither a run nor a capture is left to the capture reader to refuse.
    fn open(path: &Path) -> Result<Self, CliError> {
        let cannot = |e: &dyn std::error::Error| {
            CliError::because(Exit::Usage, format_args!("cannot read {}", path.display()), e)
        };
        let mut head = Vec::new();
        let word = MAGIC.split(|b| *b == b' ').next().unwrap_or(MAGIC);
        let mut file = fs::File::open(path).map_err(|e| cannot(&e))?;
        (&mut file).take(word.len() as u64).read_to_end(&mut head).map_err(|e| cannot(&e))?;
        if head == word {
            return Ok(Self::Run(Box::new(Run::read(path).map_err(|e| cannot(&e))?)));
        }
        Ok(Self::Capture(path.to_owned()))
    }
}

/// The timings of a capture as a run, its exchanges under the names that `namer` gives them.
///
/// # Errors
/// When the capture cannot be read.
pub(super) fn recorded(path: &Path, namer: &Namer, console: &Console) -> Result<Run, CliError> {
    let cannot = |e: CaptureError| match e {
        CaptureError::NotACapture => CliError::new(
            Exit::Usage,
            format!(
                "cannot read {}: not an overdub run and not an overdub capture; `overdub replay -o` makes the one, \
                 `overdub record -o` the other",
                path.display()
            ),
        ),
        other => cannot_read(path, &other),
    };
    let reader = Reader::open(path).map_err(cannot)?;
    let damage = reader.damage();
    if damage.torn_bytes > 0 || !damage.bad_frames.is_empty() {
        console
            .warn(format_args!("{} is damaged; what is left of it is compared (see overdub verify)", path.display()));
    }
    let mut recorder = Recorder::default();
    for exchange in reader.exchanges() {
        let exchange = exchange.map_err(cannot)?;
        recorder.add(&namer.name(&exchange), &exchange);
    }
    let provenance = reader.provenance();
    let users = reader.sessions().len() as u64;
    Ok(recorder.finish(RunInfo {
        kind: RunKind::Recorded,
        program: provenance.program.clone(),
        started_unix_ns: provenance.anchor_unix_ns,
        capture: path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
        rules: None,
        targets: Vec::new(),
        speed: Some(1.0),
        load: Load::Multiplied(1),
        users,
        iterations: 1,
        seed: 0,
        skipped: Vec::new(),
        unexplained: 0,
    }))
}

/// Names recorded exchanges as a run has named them: rules can fold more of a path than its look tells.
#[derive(Debug, Default)]
pub(super) struct Namer {
    names: BTreeSet<String>,
    patterns: Vec<(Endpoint, String)>,
}

impl Namer {
    /// A namer that knows the endpoints of a run.
    pub(super) fn new(run: &Run) -> Self {
        let names: BTreeSet<String> = run.endpoints.iter().map(|e| e.name.clone()).collect();
        let patterns = names.iter().filter_map(|n| Some((n.parse().ok()?, n.clone()))).collect();
        Self { names, patterns }
    }

    /// The endpoint of an exchange: as it looks when the run has it so, else the run's endpoint that it fits, else as it
    /// looks.
    fn name(&self, exchange: &Exchange) -> String {
        let plain = endpoint_name(exchange);
        if self.names.contains(&plain) {
            return plain;
        }
        match self.patterns.iter().find(|(pattern, _)| pattern.matches(&exchange.request)) {
            Some((_, name)) => name.clone(),
            None => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_verdict() {
        for (verdict, lenient, strict) in [
            (Verdict::Regressed, 1, 1),
            (Verdict::Improved, 0, 0),
            (Verdict::Equivalent, 0, 0),
            (Verdict::Inconclusive, 0, 3),
            (Verdict::OtherLoad, 0, 3),
            (Verdict::NotComparable, 3, 3),
        ] {
            assert_eq!((exit_of(verdict, false).code(), exit_of(verdict, true).code()), (lenient, strict));
        }
    }

    #[test]
    fn margins_are_numbers_that_make_sense() {
        assert!(positive("5").is_ok() && positive("0").is_ok());
        assert!(["-1", "nan", "inf", "x", "1e9"].into_iter().all(|t| positive(t).is_err()));
    }
}
