//! `overdub demo`: the whole pipeline on the built-in sample site, with proof from the site itself that it worked.

mod directory;
mod stages;
mod story;

use std::io::Write as _;
use std::path::PathBuf;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::demo::{Account, Site, SiteConfig, accounts};
use crate::plan::Speed;

use super::inspect::{Stop as Printed, settle};
use super::signals::Signals;
use super::{CliError, Console, Exit};
use directory::Directory;
use story::Findings;

/// Account numbers of the people who are recorded start here; those who are played come from the others.
const FIRST_RECORDED: u32 = 901;
/// Accounts that may be played at most.
const MOST_PLAYED: u32 = FIRST_RECORDED - 1;

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory for capture, rules, results and report
    #[arg(long, value_name = "DIR", default_value = "./overdub-demo")]
    dir: PathBuf,
    /// Copies of each recorded visitor
    #[arg(long, value_name = "COPIESx", default_value = "50x", value_parser = copies)]
    users: u32,
    /// Time compression: a factor, or `max` for no pauses
    #[arg(long, value_name = "FACTOR", default_value = "10", value_parser = speed)]
    speed: Speed,
    /// Recorded visitors
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9), hide = true)]
    visitors: u32,
    /// Say nothing but the outcome
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit, CliError> {
    let console = Console::new(arguments.quiet);
    let played = arguments.users.saturating_mul(arguments.visitors);
    if played > MOST_PLAYED {
        let most = MOST_PLAYED / arguments.visitors;
        return Err(CliError::new(Exit::Usage, format!("the sample site has accounts for {most}x users at most")));
    }
    let directory = Directory::open(&arguments.dir)?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::because(Exit::Broken, "cannot start the event loop", &e))?;
    let interrupted = watch_for_interrupt(&runtime)?;
    let site = runtime
        .block_on(Site::start(SiteConfig::default()))
        .map_err(|e| CliError::because(Exit::Broken, "cannot start the sample site", &e))?;
    let demo = Demo {
        console,
        directory,
        runtime,
        site,
        interrupted,
        recorded: accounts(FIRST_RECORDED..=FIRST_RECORDED + arguments.visitors - 1),
        played: accounts(1..=played),
        copies: arguments.users,
        speed: arguments.speed,
    };
    match demo.play() {
        Ok(findings) => demo.conclude(&findings),
        Err(Stop::Interrupted) => {
            demo.console.say("interrupted; what was made so far stays where it is");
            Ok(Exit::Interrupted)
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Why the demo does not reach its end.
enum Stop {
    /// The user said so.
    Interrupted,
    /// Something is broken.
    Failed(CliError),
}

impl From<CliError> for Stop {
    fn from(error: CliError) -> Self {
        Self::Failed(error)
    }
}

/// A demo under way.
struct Demo {
    console: Console,
    directory: Directory,
    runtime: Runtime,
    site: Site,
    interrupted: watch::Receiver<bool>,
    recorded: Vec<Account>,
    played: Vec<Account>,
    copies: u32,
    speed: Speed,
}

impl Demo {
    fn conclude(&self, findings: &Findings) -> Result<Exit, CliError> {
        let mut out = self.console.data();
        let told = findings.tell(&self.directory, &mut out).and_then(|()| out.flush());
        settle(told.map_err(Printed::from).map(|()| Exit::Passed))?;
        if findings.holds() {
            return Ok(Exit::Passed);
        }
        self.console.warn(findings.complaint());
        Ok(Exit::Failed)
    }
}

/// A value that turns true when the user presses Ctrl-C or the system asks the program to end.
fn watch_for_interrupt(runtime: &Runtime) -> Result<watch::Receiver<bool>, CliError> {
    let (sender, receiver) = watch::channel(false);
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen().map_err(|e| CliError::because(Exit::Broken, "cannot listen for signals", &e))?
    };
    runtime.spawn(async move {
        signals.either().await;
        let _ = sender.send(true);
        // Kept, so that receivers see a value and not a closed channel.
        sender.closed().await;
    });
    Ok(receiver)
}

fn copies(text: &str) -> Result<u32, String> {
    match text.strip_suffix(['x', 'X']).unwrap_or(text).parse() {
        Ok(copies) if copies > 0 => Ok(copies),
        _ => Err("a number of copies such as 50x is expected".to_owned()),
    }
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.strip_suffix('x').unwrap_or(text).parse::<f64>() {
        Ok(factor) if (1e-6..=1e9).contains(&factor) => Ok(Speed::Factor(factor)),
        _ => Err("a factor such as 10, or `max`, is expected".to_owned()),
    }
}
