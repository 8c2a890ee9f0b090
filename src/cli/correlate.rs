//! `overdub correlate`: a capture becomes a rules file.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::capture::Reader;
use crate::correlate::{Prior, correlate};
use crate::model::Session;
use crate::report::escape_terminal;
use crate::rules::RuleSet;

use super::inspect::{Stop, cannot_read, count, settle};
use super::{CliError, Console, Exit, data, output};

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The capture to look into
    capture: PathBuf,
    /// CSV file with one row for each user; columns whose values occur in the recording become parameters
    #[arg(long, value_name = "CSV", env = "OVERDUB_DATA")]
    data: Option<PathBuf>,
    /// Where the rules go [default: the capture's name with .rules.toml]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Ignore the table of known token names: evidence of the recording alone
    #[arg(long)]
    no_prior: bool,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When an input cannot be read or the rules cannot be written.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let console = Console::new(arguments.quiet);
    let output = arguments.output.clone().unwrap_or_else(|| arguments.capture.with_extension("rules.toml"));
    let inputs = [Some(arguments.capture.as_path()), arguments.data.as_deref()];
    output::check(&output, output::Kind::Other, &inputs.into_iter().flatten().collect::<Vec<_>>())?;
    let (reader, sessions) = open_sessions(&arguments.capture, console)?;
    let data = arguments.data.as_deref().map(data::read).transpose()?;
    let prior = if arguments.no_prior { Prior::None } else { Prior::KnownTokens };
    let rules = correlate(&sessions, &reader, data.as_ref(), prior);
    write_rules(&output, &rules)?;
    if arguments.json {
        let summary = serde_json::json!({
            "rules": output.display().to_string(),
            "variables": rules.variables.len(),
            "parameters": rules.columns(),
            "generators": rules.generators.len(),
            "unexplained": rules.unexplained.iter().map(|u| serde_json::json!({
                "endpoint": u.place.endpoint.to_string(), "slot": u.place.slot, "example": u.example, "why": u.why,
            })).collect::<Vec<_>>(),
        });
        let mut out = console.data();
        settle(writeln!(out, "{summary}").and_then(|()| out.flush()).map_err(Stop::from).map(|()| Exit::Passed))?;
    }
    tell(console, &rules, &output, data.is_some());
    Ok(Exit::Passed)
}

/// Opens a capture and reads all its sessions, saying what is damaged.
pub(super) fn open_sessions(path: &Path, console: Console) -> Result<(Reader, Vec<Session>), CliError> {
    let reader = Reader::open(path).map_err(|e| cannot_read(path, &e))?;
    let damage = reader.damage();
    if damage.torn_bytes > 0 || !damage.bad_frames.is_empty() {
        console.warn(format_args!(
            "{}: {} bytes at the end are cut and {} frames are damaged; using the rest (`overdub verify` says more)",
            path.display(),
            damage.torn_bytes,
            damage.bad_frames.len()
        ));
    }
    let sessions = reader
        .sessions()
        .iter()
        .map(|summary| reader.session(summary.info.id))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| cannot_read(path, &e))?;
    if sessions.iter().all(|s| s.exchanges.is_empty()) {
        let sentence =
            format!("{}: the capture holds no exchange; was the browser pointed at the proxy?", path.display());
        return Err(CliError::new(Exit::Usage, sentence));
    }
    Ok((reader, sessions))
}

/// Writes a rules file that only its owner can read: it names recorded credentials.
pub(crate) fn write_rules(path: &Path, rules: &RuleSet) -> Result<(), CliError> {
    let written = output::replace(path, 0o600, rules.print().as_bytes());
    written.map_err(|e| CliError::because(Exit::Broken, format_args!("cannot write {}", path.display()), &e))
}

fn tell(console: Console, rules: &RuleSet, output: &Path, has_data: bool) {
    let uses: usize = rules.variables.iter().map(|v| v.into.len()).sum();
    console.say(format_args!("{} variables go into {uses} places of the requests", rules.variables.len()));
    if rules.parameters.is_empty() {
        let hint = if has_data {
            "no row of the data file occurs in the recording: are the recorded user's values in it?"
        } else {
            "no data file: every virtual user would log in as the recorded one (give --data users.csv)"
        };
        console.say(hint);
    } else {
        console.say(format_args!("columns of the data file in use: {}", rules.columns().join(", ")));
    }
    if !rules.unexplained.is_empty() {
        let values = count(rules.unexplained.len() as u64, "value");
        console.say(format_args!("{values} with the look of a token and no known source; replayed as recorded:"));
        for unexplained in rules.unexplained.iter().take(20) {
            console.say(format_args!(
                "  {} {} = {} ({})",
                unexplained.place.endpoint,
                unexplained.place.slot,
                escape_terminal(&unexplained.example),
                unexplained.why
            ));
        }
    }
    console.say(format_args!("rules: {}", output.display()));
}
