//! `overdub replay`.

mod flags;
mod limits;
mod summary;
mod watch;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;

use crate::capture::Reader;
use crate::measure::{Aggregate, Failure, Load, Run, RunInfo, RunKind, SkippedOrigin};
use crate::model::{Origin, Session};
use crate::plan::{Plan, PlanError, Speed, Target, Users, Workload, plan};
use crate::replay::{Config, End, Finished, Trust};
use crate::rules::RuleSet;

use super::inspect::cannot_read;
use super::{CliError, Console, Exit, output};
use summary::{Account, plain};
pub(super) use watch::short;

/// A generator that is later than this at its 99th percentile is worth a warning.
const LATE: Duration = Duration::from_millis(50);

/// Most virtual users of a run.
const MOST_USERS: u64 = 1_000_000;

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Capture to play
    capture: PathBuf,
    /// Rules that `overdub correlate` wrote; without them every value is sent as recorded
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Where the requests of a recorded origin go; an URL alone is for the capture's main origin. No other host is contacted
    #[arg(long = "target", value_name = "[RECORDED=]URL", value_parser = flags::target)]
    targets: Vec<Target>,
    /// Time compression: pauses are divided by this factor; `max` leaves them out
    #[arg(long, value_name = "FACTOR|max", default_value = "1", value_parser = flags::speed)]
    speed: Speed,
    /// Copies of each recorded session (50x), or users in all (50)
    #[arg(long, value_name = "Nx|N", default_value = "1x", value_parser = flags::users)]
    users: Users,
    /// Data file: one row for each virtual user, the first line names the columns
    #[arg(long, value_name = "CSV")]
    data: Option<PathBuf>,
    /// Passes of each virtual user; with --duration as many as fit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterations: Option<u32>,
    /// Stop after this time, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = flags::duration)]
    duration: Option<Duration>,
    /// Give an exchange up when its answer is not whole after this time, such as 30s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = flags::duration)]
    timeout: Duration,
    /// Fixes generated values and jitter: two runs with one seed send the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Accept certificates signed by the roots in this PEM file, too
    #[arg(long, value_name = "FILE", conflicts_with = "upstream_insecure")]
    upstream_ca: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    upstream_insecure: bool,
    /// Results file
    #[arg(short = 'o', long = "out", value_name = "FILE.run")]
    out: Option<PathBuf>,
    /// Print the summary as one JSON object
    #[arg(long, value_name = "FORMAT")]
    summary: Option<Format>,
    /// Say nothing on stderr but errors
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit, CliError> {
    let console = Console::new(arguments.quiet);
    let (plan, config) = prepare(&arguments, &console)?;
    for skipped in &plan.skipped {
        let (origin, reason) = (plain(&skipped.origin), plain(&skipped.reason));
        console.say(format_args!("not played: {} exchanges of {origin}: {reason}", skipped.exchanges));
    }
    console.say(format_args!(
        "playing {} virtual users against {}",
        plan.users.len(),
        plan.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    ));
    if let Some(descriptors) = limits::raise_descriptors().filter(|d| *d <= plan.users.len() as u64) {
        console.warn(format_args!(
            "{} users need as many connections, but the system allows this process {descriptors} open files; raise `ulimit -n`",
            plan.users.len()
        ));
    }
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let plan = Arc::new(plan);
    let finished = watch::play(&plan, config, &console)?;
    let info = provenance(&arguments, &plan, started);
    report(&arguments, &console, &plan, (info, finished))
}

/// Reads everything that is given and makes the plan of it.
fn prepare(arguments: &Arguments, console: &Console) -> Result<(Plan, Config), CliError> {
    let path = &arguments.capture;
    let reader = Reader::open(path).map_err(|e| cannot_read(path, &e))?;
    if !reader.damage().is_sound() {
        console.warn(format_args!("{}: the capture is not whole; see `overdub verify`", path.display()));
    }
    if arguments.targets.is_empty() {
        return Err(no_target(path, &reader)?);
    }
    check_out(arguments)?;
    let rules = match &arguments.rules {
        Some(rules) => read_rules(rules)?,
        None => {
            console.say("no --rules: nothing is correlated, every value is sent as it was recorded");
            RuleSet::default()
        }
    };
    let trust = match &arguments.upstream_ca {
        _ if arguments.upstream_insecure => Trust::Insecure,
        None => Trust::System,
        Some(pem) => Trust::Extra(
            fs::read(pem).map_err(|e| CliError::because(Exit::Usage, format!("cannot read {}", pem.display()), &e))?,
        ),
    };
    let workload = Workload {
        speed: arguments.speed,
        users: arguments.users,
        targets: arguments.targets.clone(),
        data: arguments.data.as_deref().map(super::data::read).transpose()?,
        iterations: arguments.iterations.unwrap_or(if arguments.duration.is_some() { u32::MAX } else { 1 }),
        seed: arguments.seed,
    };
    let sessions: Vec<Session> = reader
        .sessions()
        .iter()
        .map(|summary| reader.session(summary.info.id))
        .collect::<Result<_, _>>()
        .map_err(|e| cannot_read(path, &e))?;
    check_users(arguments.users, sessions.len())?;
    let plan = plan(&sessions, &reader, &rules, &workload).map_err(|e| no_plan(&e))?;
    let limits = Config::default();
    let connect_timeout = limits.connect_timeout.min(arguments.timeout);
    let config =
        Config { trust, duration: arguments.duration, answer_timeout: arguments.timeout, connect_timeout, ..limits };
    Ok((plan, config))
}

fn no_plan(error: &PlanError) -> CliError {
    let hint = match error {
        PlanError::TooFewRows { .. } => "; add rows or lower --users",
        PlanError::NoData(_) => "; give it with --data",
        PlanError::NoTarget(_) => "; name one as RECORDED in --target RECORDED=ACTUAL",
        PlanError::NoColumn(_) | PlanError::Empty => "",
    };
    CliError::new(Exit::Usage, format!("{error}{hint}"))
}

fn read_rules(path: &Path) -> Result<RuleSet, CliError> {
    let bytes = fs::read(path)
        .map_err(|e| CliError::because(Exit::Usage, format!("cannot read the rules {}", path.display()), &e))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let sound = String::from_utf8_lossy(&e.as_bytes()[..e.utf8_error().valid_up_to()]);
        let line = sound.matches('\n').count() + 1;
        let column = sound.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        CliError::new(
            Exit::Usage,
            format!("{}:{line}:{column}: this is not UTF-8 text, so it is no rules file", path.display()),
        )
    })?;
    RuleSet::parse(&text).map_err(|e| {
        CliError::new(Exit::Usage, format!("{}:{}:{}: {}", path.display(), e.line, e.column, plain(&e.what)))
    })
}

/// Refuses more users than the memory of a machine holds.
fn check_users(users: Users, sessions: usize) -> Result<(), CliError> {
    let wanted = match users {
        Users::Multiplied(times) => u64::from(times).saturating_mul(sessions as u64),
        Users::Concurrent(count) => u64::from(count),
    };
    if wanted <= MOST_USERS {
        return Ok(());
    }
    let sentence = format!("{wanted} virtual users are too many; {MOST_USERS} is the most, so lower --users");
    Err(CliError::new(Exit::Usage, sentence))
}

/// Refuses to write the results where they would be lost or would destroy an input or a capture.
fn check_out(arguments: &Arguments) -> Result<(), CliError> {
    let Some(out) = &arguments.out else { return Ok(()) };
    let inputs = [Some(&arguments.capture), arguments.rules.as_ref(), arguments.data.as_ref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    output::check(out, output::Kind::Run, &inputs)
}

/// Says which origins could be targets. Nothing is contacted that was not named.
fn no_target(path: &Path, reader: &Reader) -> Result<CliError, CliError> {
    let mut origins: BTreeMap<Origin, u64> = BTreeMap::new();
    for exchange in reader.exchanges() {
        let exchange = exchange.map_err(|e| cannot_read(path, &e))?;
        if exchange.aside().is_none() {
            *origins.entry(exchange.request.origin).or_default() += 1;
        }
    }
    let mut origins: Vec<(Origin, u64)> = origins.into_iter().collect();
    origins.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
    let mut sentence = String::from("--target is needed: replay contacts no host that is not named");
    let Some((main, _)) = origins.first() else {
        return Ok(CliError::new(
            Exit::Usage,
            format!("{sentence}; the capture holds no exchange that could be replayed"),
        ));
    };
    sentence.push_str("\nThe capture's origins:\n");
    for (origin, count) in &origins {
        // Writing to a string cannot fail.
        let _ = writeln!(sentence, "  {} ({count} exchanges)", plain(&origin.to_string()));
    }
    let main = plain(&main.to_string());
    let _ = write!(sentence, "For example: overdub replay {} --target {main}=http://127.0.0.1:9000", path.display());
    Ok(CliError::new(Exit::Usage, sentence))
}

fn provenance(arguments: &Arguments, plan: &Plan, started: Duration) -> RunInfo {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    RunInfo {
        kind: RunKind::Replayed,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_ns: u64::try_from(started.as_nanos()).unwrap_or(u64::MAX),
        capture: name(&arguments.capture),
        rules: arguments.rules.as_deref().map(name),
        targets: plan.targets.iter().map(ToString::to_string).collect(),
        speed: match plan.speed {
            Speed::Factor(factor) => Some(factor),
            Speed::Max => None,
        },
        load: match arguments.users {
            Users::Multiplied(times) => Load::Multiplied(times),
            Users::Concurrent(count) => Load::Concurrent(count),
        },
        users: plan.users.len() as u64,
        iterations: plan.iterations,
        seed: plan.seed,
        skipped: plan
            .skipped
            .iter()
            .map(|s| SkippedOrigin { origin: s.origin.clone(), reason: s.reason.clone(), exchanges: s.exchanges })
            .collect(),
        unexplained: plan.unexplained,
    }
}

/// Writes the results, prints the summary and says how it went.
fn report(
    arguments: &Arguments,
    console: &Console,
    plan: &Plan,
    (info, finished): (RunInfo, Finished<Aggregate>),
) -> Result<Exit, CliError> {
    let Finished { sinks, totals, failures, end, .. } = finished;
    let mut whole = Aggregate::new(plan.endpoints.len());
    for part in sinks {
        whole.merge(part);
    }
    whole.sessions.started = totals.sessions_started;
    whole.sessions.completed = totals.sessions_completed;
    whole.sessions.failed = totals.sessions_failed;
    whole.not_sent = totals.skipped;
    let run = Run::new(whole, &plan.endpoints, info);

    let written = arguments.out.as_ref().map_or(Ok(()), |out| {
        run.write(out).map_err(|e| CliError::because(Exit::Broken, format!("cannot write {}", out.display()), &e))
    });
    let account = Account { run: &run, totals, failures: &failures, end };
    let mut stdout = console.data();
    let printed = match arguments.summary {
        Some(Format::Json) => account.write_json(&mut stdout),
        Some(Format::Text) | None => account.write_text(&mut stdout),
    };
    match printed.and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(CliError::because(Exit::Broken, "cannot print the summary", &e));
        }
        _ => {}
    }
    written?;
    warn(console, &run, &failures);
    if let Some(difference) = account.commonest().filter(|_| totals.failed == 0) {
        let advice = match arguments.rules {
            None => "make rules with `overdub correlate` and give them with --rules",
            Some(_) => "look into the target's log, or correct the rules",
        };
        console.say(format_args!("overdub: answers differ from the recorded ones, most often {difference}; {advice}"));
    }
    Ok(if end == End::Stopped {
        Exit::Interrupted
    } else if totals.failed > 0 || totals.sessions_failed > 0 {
        Exit::Broken
    } else if totals.diverged > 0 {
        Exit::Failed
    } else {
        Exit::Passed
    })
}

fn warn(console: &Console, run: &Run, failures: &BTreeMap<Failure, String>) {
    if let Some(example) = failures.get(&Failure::Tls) {
        console.warn(format_args!(
            "the target's certificate was not accepted or TLS failed ({}); give its root with --upstream-ca FILE, or accept \
             any certificate with --upstream-insecure",
            plain(example)
        ));
    }
    for (failure, example) in failures {
        if let Some(advice) = advice(*failure) {
            console.say(format_args!("overdub: {advice} ({})", plain(example)));
        }
    }
    let late = run.summary().lateness_us.map_or(Duration::ZERO, |l| Duration::from_micros(l.p99));
    if late > LATE {
        console.warn(format_args!(
            "the generator itself was late (p99 {}): response times include it, so use fewer users, a lower speed or a faster \
             machine",
            watch::short(late)
        ));
    }
}

/// What a failure of the target means and what to do. TLS has a sentence of its own.
fn advice(failure: Failure) -> Option<&'static str> {
    Some(match failure {
        Failure::Refused => "the target refused the connection; is it running, and is --target right?",
        Failure::Connect => "the target could not be reached; is --target right, and is `ulimit -n` high enough?",
        Failure::Tls => return None,
        Failure::Closed => {
            "the target closed connections before its answer was whole; look into its log, or play fewer --users"
        }
        Failure::Timeout => {
            "the target did not answer in time; look into its log, play fewer --users, or raise --timeout"
        }
        Failure::Protocol => "what the target answered is not HTTP/1.1; are scheme and port of --target right?",
    })
}
