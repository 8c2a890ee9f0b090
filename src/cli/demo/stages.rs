//! The six stages of the demo, each one what the command of the same name does.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::capture::{Reader, SessionSummary};
use crate::cli::compare::write_html;
use crate::cli::correlate::write_rules;
use crate::cli::{CliError, Exit};
use crate::compare::{Settings, compare};
use crate::correlate::{Prior, correlate};
use crate::demo::{Account, BrowserConfig, SiteState, Visitor, visit};
use crate::measure::{Aggregate, Load, Recorder, Run, RunInfo, RunKind, Sessions, SkippedOrigin};
use crate::model::{Exchange, Nanos, OriginError, Session};
use crate::plan::{DataTable, Plan, Skipped, Speed, Target, Users, Workload, endpoint_name, plan};
use crate::record::{self, CertificateAuthority, UpstreamTrust};
use crate::replay::{self, Config, Control, Trust};
use crate::report::{Against, escape_terminal};
use crate::rules::RuleSet;

use super::story::Findings;
use super::{Demo, Stop};

/// Seed of the replays: the same every time, so that two demos do the same.
const SEED: u64 = 1;
/// Pauses of the visitors as they are scripted.
const PAUSES: f64 = 2.0;
/// Each visitor arrives this much later than the one before.
const STAGGER: Duration = Duration::from_millis(400);

impl Demo {
    /// Plays the whole demo.
    pub(super) fn play(&self) -> Result<Findings, Stop> {
        let (visitors, users) = (self.recorded.len(), self.played.len());
        self.write_users()?;

        self.step(1, format_args!("recording {visitors} visitors of the sample shop through the proxy"));
        self.record()?;
        let path = self.directory.capture();
        let capture = Reader::open(&path).map_err(|e| broken("the capture cannot be read", &e))?;
        let sessions = read_sessions(&capture)?;
        self.go_on()?;

        self.step(
            2,
            format_args!("finding what makes their {} exchanges impossible to repeat", capture.exchange_count()),
        );
        let rules = correlate(&sessions, &capture, Some(&self.table()), Prior::KnownTokens);
        let rules_file = self.directory.rules();
        write_rules(&rules_file, &rules)?;
        self.go_on()?;

        self.step(3, format_args!("playing them for {users} other people, {}", self.pace()));
        let played = self.replay(&capture, &sessions, &rules)?;
        self.step(4, format_args!("the same without the rules, to see it fail"));
        let naive = self.replay(&capture, &sessions, &RuleSet::default())?;

        self.step(5, format_args!("comparing the replay with the recording"));
        let recorded = self.recorded_run(&sessions, &played);
        let comparison = compare(&recorded, &played.run, &Settings::default());
        self.step(6, format_args!("writing the report"));
        self.write(&played.run, &self.directory.run())?;
        self.write(&naive.run, &self.directory.naive_run())?;
        let against = Against { run: &recorded, comparison: &comparison };
        write_html(&self.directory.report(), &played.run, Some(against))?;

        Ok(Findings {
            visitors,
            exchanges: capture.exchange_count(),
            capture_bytes: std::fs::metadata(&path).map_or(0, |file| file.len()),
            rules: rules.variables.len() + rules.parameters.len() + rules.generators.len(),
            with_rules: played.site,
            replayed: played.run.summary(),
            without_rules: naive.site,
            users: users as u64,
            recorded: recorded.summary().service_us,
            verdict: escape_terminal(&comparison.headline),
        })
    }

    /// Sends the visitors through a proxy of their own, which writes the capture.
    fn record(&self) -> Result<(), Stop> {
        let authority = CertificateAuthority::ephemeral().map_err(|e| broken("cannot make a root certificate", &e))?;
        let roots_pem = authority.certificate_pem().to_owned();
        let mut trust = UpstreamTrust { system: false, ..UpstreamTrust::default() };
        trust.add_pem(self.site.ca_pem().as_bytes()).map_err(|e| broken("cannot trust the sample site", &e))?;
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let config = record::Config { trust, ..record::Config::new(listen, self.directory.capture(), authority) };
        let mut interrupted = self.interrupted.clone();
        self.runtime.block_on(async {
            let recording = record::start(config).await.map_err(|e| broken("cannot record", &e))?;
            let outcome = tokio::select! {
                outcome = self.visits(recording.address(), &roots_pem) => outcome.map_err(Stop::Failed),
                Ok(_) = interrupted.wait_for(|now| *now) => Err(Stop::Interrupted),
            };
            let recorded = recording.stop().await.map_err(|e| broken("cannot close the capture", &e))?;
            outcome?;
            let (lost, incomplete) = (recorded.lost, recorded.file.incomplete);
            if lost + incomplete > 0 {
                let sentence = format!("the recording is not whole: {lost} exchanges lost, {incomplete} incomplete");
                return Err(CliError::new(Exit::Failed, sentence).into());
            }
            Ok(())
        })
    }

    /// All visitors at once, each a little later than the one before.
    async fn visits(&self, proxy: SocketAddr, roots_pem: &str) -> Result<(), CliError> {
        let mut visits = JoinSet::new();
        for (number, person) in (1..).zip(&self.recorded) {
            let browser = BrowserConfig {
                origin: self.site.origin_url(),
                proxy: Some(proxy),
                roots_pem: roots_pem.to_owned(),
                user_agent: format!("Mozilla/5.0 (X11; Linux x86_64) OverdubVisitor/{number}.0"),
            };
            let visitor = Visitor { browser, account: person.clone(), pauses: PAUSES };
            visits.spawn(async move {
                tokio::time::sleep(STAGGER * (number - 1)).await;
                visit(&visitor).await
            });
        }
        while let Some(joined) = visits.join_next().await {
            let visit = joined.map_err(|e| broken("a visitor's task failed", &e))?;
            visit.map_err(|e| broken("a visitor did not reach the end of the visit", &e))?;
        }
        let orders = self.site.state().orders;
        if orders != self.recorded.len() as u64 {
            let sentence = format!("the recorded visitors made {orders} orders instead of one each");
            return Err(CliError::new(Exit::Failed, sentence));
        }
        Ok(())
    }

    /// Plays the capture under these rules against a site that has forgotten everything; what the site says afterwards.
    fn replay(&self, capture: &Reader, sessions: &[Session], rules: &RuleSet) -> Result<Played, Stop> {
        self.site.reset();
        let actual =
            self.site.origin_url().parse().map_err(|e: OriginError| broken("the sample site has no origin", &e))?;
        let workload = Workload {
            speed: self.speed,
            users: Users::Multiplied(self.copies),
            targets: vec![Target { recorded: None, actual }],
            data: Some(self.table()),
            iterations: 1,
            seed: SEED,
        };
        let plan = plan(sessions, capture, rules, &workload).map_err(|e| broken("no plan can be made", &e))?;
        let plan = Arc::new(plan);
        let started_unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| Nanos::from_duration(d).0);
        let config = Config { trust: Trust::Extra(self.site.ca_pem().as_bytes().to_vec()), ..Config::default() };
        let control = Control::new();
        let stopper = self.runtime.spawn(stop_when(self.interrupted.clone(), control.clone()));
        let endpoints = plan.endpoints.len();
        let finished = replay::run(&plan, config, || Aggregate::new(endpoints), &control);
        stopper.abort();
        let finished = finished.map_err(|e| broken("the replay cannot begin", &e))?;
        self.go_on()?;
        let mut aggregate = Aggregate::new(endpoints);
        for part in finished.sinks {
            aggregate.merge(part);
        }
        let totals = finished.totals;
        aggregate.sessions = Sessions {
            started: totals.sessions_started,
            completed: totals.sessions_completed,
            failed: totals.sessions_failed,
        };
        aggregate.not_sent = totals.skipped;
        let rules = if *rules == RuleSet::default() { None } else { Some("shop.rules.toml".to_owned()) };
        let info = self.run_info(&plan, rules, started_unix_ns);
        Ok(Played { run: Run::new(aggregate, &plan.endpoints, info), site: self.site.state(), plan })
    }

    fn run_info(&self, plan: &Plan, rules: Option<String>, started_unix_ns: u64) -> RunInfo {
        let skipped =
            |s: &Skipped| SkippedOrigin { origin: s.origin.clone(), reason: s.reason.clone(), exchanges: s.exchanges };
        RunInfo {
            kind: RunKind::Replayed,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_ns,
            capture: "shop.dub".to_owned(),
            rules,
            targets: plan.targets.iter().map(ToString::to_string).collect(),
            speed: match plan.speed {
                Speed::Factor(factor) => Some(factor),
                Speed::Max => None,
            },
            load: Load::Multiplied(self.copies),
            users: plan.users.len() as u64,
            iterations: plan.iterations,
            seed: plan.seed,
            skipped: plan.skipped.iter().map(skipped).collect(),
            unexplained: plan.unexplained,
        }
    }

    /// The recording as a run whose endpoints have the names that the replay gave them.
    fn recorded_run(&self, sessions: &[Session], played: &Played) -> Run {
        let names: HashMap<_, _> = played
            .plan
            .scripts
            .iter()
            .flat_map(|script| &script.steps)
            .map(|step| (step.exchange, played.plan.endpoints[step.endpoint as usize].as_str()))
            .collect();
        let mut exchanges: Vec<&Exchange> = sessions.iter().flat_map(|session| &session.exchanges).collect();
        exchanges.sort_by_key(|exchange| exchange.timing.started);
        let mut recorder = Recorder::default();
        for exchange in exchanges {
            match names.get(&exchange.id) {
                Some(name) => recorder.add(name, exchange),
                None => recorder.add(&endpoint_name(exchange), exchange),
            }
        }
        let users = sessions.len() as u64;
        recorder.finish(RunInfo {
            kind: RunKind::Recorded,
            rules: None,
            speed: Some(1.0),
            load: Load::Multiplied(1),
            users,
            skipped: Vec::new(),
            unexplained: 0,
            ..played.run.info.clone()
        })
    }

    fn write(&self, run: &Run, path: &Path) -> Result<(), CliError> {
        run.write(path).map_err(|e| broken(&format!("cannot write {}", path.display()), &e))
    }

    fn pace(&self) -> String {
        match self.speed {
            Speed::Factor(factor) => format!("{factor} times as fast"),
            Speed::Max => "without pauses".to_owned(),
        }
    }

    /// Stops here when the user has said so.
    fn go_on(&self) -> Result<(), Stop> {
        if *self.interrupted.borrow() { Err(Stop::Interrupted) } else { Ok(()) }
    }

    fn step(&self, number: u32, what: std::fmt::Arguments<'_>) {
        self.console.say(format_args!("{number}/6 {what} …"));
    }

    /// Everybody who can be played, then who is recorded: correlation recognises people by their rows.
    fn table(&self) -> DataTable {
        let row = |a: &Account| vec![a.username.clone(), a.password.clone(), a.tag.clone()];
        let columns = ["username", "password", "tag"].map(str::to_owned).to_vec();
        DataTable { columns, rows: self.played.iter().chain(&self.recorded).map(row).collect() }
    }

    fn write_users(&self) -> Result<(), CliError> {
        let path = self.directory.users();
        let broken = |e: csv::Error| CliError::because(Exit::Broken, format!("cannot write {}", path.display()), &e);
        let table = self.table();
        let mut file = csv::Writer::from_path(&path).map_err(broken)?;
        for row in std::iter::once(&table.columns).chain(&table.rows) {
            file.write_record(row).map_err(broken)?;
        }
        file.flush().map_err(|e| broken(e.into()))
    }
}

/// A replay and what the site says of it.
struct Played {
    plan: Arc<Plan>,
    run: Run,
    site: SiteState,
}

async fn stop_when(mut interrupted: watch::Receiver<bool>, control: Control) {
    // An error means that the sender is gone: then there is nothing to wait for.
    if interrupted.wait_for(|now| *now).await.is_ok() {
        control.stop();
    }
}

fn read_sessions(capture: &Reader) -> Result<Vec<Session>, CliError> {
    let session = |summary: &SessionSummary| capture.session(summary.info.id);
    let all: Result<Vec<_>, _> = capture.sessions().iter().map(session).collect();
    all.map_err(|e| broken("the capture cannot be read", &e))
}

fn broken(context: &str, error: &dyn std::error::Error) -> CliError {
    CliError::because(Exit::Broken, context, error)
}
