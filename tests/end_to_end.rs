//! The whole pipeline: the shipped captures through the library, the demo through the command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use overdub::capture::Reader;
use overdub::correlate::{Prior, correlate};
use overdub::demo::{Account, Site, SiteConfig, SiteState, account, accounts};
use overdub::measure::Sample;
use overdub::model::{DataTable, Session};
use overdub::plan::{Speed, Target, Users, Workload, plan};
use overdub::replay::{Config, Control, Finished, Sink, Trust, run};
use overdub::rules::RuleSet;

/// Capture, and the accounts that were recorded in it.
const CAPTURES: &[(&str, &[u32])] =
    &[("captures/demo-one-user.dub", &[901]), ("captures/demo-three-users.dub", &[901, 902, 903])];

/// Keeps what is not as recorded, in words.
struct Odd(Vec<String>);

impl Sink for Odd {
    fn sample(&mut self, sample: &Sample) {
        if sample.outcome != overdub::measure::Outcome::Ok {
            self.0.push(format!("endpoint {}: {:?} {:?}", sample.endpoint, sample.status, sample.outcome));
        }
    }
}

/// A capture in memory, with everything one needs to play it.
struct Recorded {
    reader: Reader,
    sessions: Vec<Session>,
    data: DataTable,
}

impl Recorded {
    fn open(file: &str, recorded: &[u32]) -> Self {
        let reader = Reader::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(reader.damage().is_sound(), "{file}: {:?}", reader.damage());
        let sessions: Vec<Session> = reader.sessions().iter().map(|s| reader.session(s.info.id).unwrap()).collect();
        assert_eq!(sessions.len(), recorded.len(), "{file}: everybody is a session of their own");
        let row = |a: Account| vec![a.username, a.password, a.tag];
        let people = accounts(1..=30).into_iter().chain(recorded.iter().filter_map(|n| account(*n)));
        let columns = ["username", "password", "tag"].map(str::to_owned).to_vec();
        Self { reader, sessions, data: DataTable { columns, rows: people.map(row).collect() } }
    }

    fn rules(&self) -> RuleSet {
        correlate(&self.sessions, &self.reader, Some(&self.data), Prior::KnownTokens)
    }

    /// Plays `copies` of every session against a site that was never seen before.
    fn play(&self, rules: &RuleSet, copies: u32) -> (Finished<Odd>, SiteState) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let site = runtime.block_on(Site::start(SiteConfig { seed: Some(77), plain_http: false })).unwrap();
        site.reset();
        let workload = Workload {
            speed: Speed::Factor(10.0),
            users: Users::Multiplied(copies),
            targets: vec![Target { recorded: None, actual: site.origin_url().parse().unwrap() }],
            data: Some(self.data.clone()),
            iterations: 1,
            seed: 3,
        };
        let plan = Arc::new(plan(&self.sessions, &self.reader, rules, &workload).unwrap());
        let config = Config { trust: Trust::Extra(site.ca_pem().as_bytes().to_vec()), ..Config::default() };
        let finished = run(&plan, config, || Odd(Vec::new()), &Control::new()).unwrap();
        let state = site.state();
        runtime.block_on(site.stop());
        (finished, state)
    }
}

#[test]
fn shipped_captures_play_for_other_people_at_a_site_never_seen() {
    for (file, people) in CAPTURES {
        let recorded = Recorded::open(file, people);
        let (finished, state) = recorded.play(&recorded.rules(), 10);
        let users = people.len() as u64 * 10;
        let odd: Vec<_> = finished.sinks.iter().flat_map(|sink| &sink.0).take(5).collect();
        assert_eq!((state.orders, state.orders_by_account.len() as u64), (users, users), "{file}: {state:?} {odd:?}");
        assert_eq!(state.orders_with_own_note, users, "{file}: everybody's order has their own note");
        for counts in [&state.uploads_by_account, &state.found_by_account] {
            assert!(counts.len() as u64 == users && counts.values().all(|n| *n == 1), "{file}: {counts:?} {odd:?}");
        }
        assert_eq!(state.accounts_logged_out.len() as u64, users, "{file}");
        assert!(state.refused.is_empty(), "{file}: {:?}", state.refused);
        assert_eq!((finished.totals.ok, odd.len()), (finished.totals.sent, 0), "{file}: {odd:?}");
    }
}

#[test]
fn shipped_captures_achieve_nothing_without_rules() {
    for (file, people) in CAPTURES {
        let (finished, state) = Recorded::open(file, people).play(&RuleSet::default(), 2);
        assert_eq!(state.orders, 0, "{file}");
        assert!(state.accounts_logged_in.is_empty(), "{file}");
        assert!(finished.totals.diverged > 0, "{file}: the failure is seen");
    }
}

#[test]
fn rules_of_shipped_captures_explain_everything_and_survive_their_file() {
    for (file, people) in CAPTURES {
        let recorded = Recorded::open(file, people);
        let rules = recorded.rules();
        assert_eq!(rules.unexplained, [], "{file}");
        let text = rules.print();
        assert_eq!(RuleSet::parse(&text).unwrap(), rules, "{file}");
        assert_eq!(recorded.rules().print(), text, "{file}: same capture, same bytes");
    }
}

fn overdub(arguments: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_overdub")).args(arguments).current_dir(dir).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_demo_proves_itself_and_leaves_its_files() {
    let temporary = tempfile::tempdir().unwrap();
    let (code, told, said) = overdub(&["demo", "--users", "5x", "--dir", "out"], temporary.path());
    assert_eq!(code, Some(0), "{told}\n{said}");
    assert!(told.contains("15 orders by 15 accounts"), "{told}");
    assert!(said.contains("1/6 ") && said.contains("6/6 "), "{said}");
    let file = |name: &str| -> PathBuf { temporary.path().join("out").join(name) };
    for name in ["shop.dub", "shop.rules.toml", "users.csv", "shop.run", "without-rules.run", "report.html"] {
        assert!(file(name).metadata().unwrap().len() > 0, "{name}");
        assert!(told.contains(name), "{name} is named: {told}");
    }
    let run = overdub::measure::Run::read(&file("shop.run")).unwrap();
    assert_eq!((run.sessions.started, run.sessions.failed), (15, 0));
    let rules = std::fs::read_to_string(file("shop.rules.toml")).unwrap();
    RuleSet::parse(&rules).unwrap();
}

#[test]
fn the_demo_refuses_a_directory_of_somebody_elses() {
    let temporary = tempfile::tempdir().unwrap();
    std::fs::write(temporary.path().join("thesis.tex"), "years of work").unwrap();
    let (code, told, said) = overdub(&["demo", "--dir", "."], temporary.path());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("not empty") && said.contains("--dir"), "{said}");
    assert_eq!(told, "");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1, "nothing was added");
}
