//! Verdicts on simulated runs whose truth is known.

use std::time::Duration;

use crate::measure::{
    Aggregate, Divergence, Failure, Load, Outcome, Phases, Run, RunInfo, RunKind, Sample, SkippedOrigin,
};
use crate::model::Nanos;

use super::stats::Random;
use super::*;

/// A simulated system under test.
#[derive(Clone)]
struct System {
    seed: u64,
    seconds: u64,
    /// Median service times of the endpoints in milliseconds.
    medians_ms: Vec<f64>,
    late_us: u64,
    diverge_every: Option<u64>,
    fail_every: Option<u64>,
    status: u16,
    info: RunInfo,
}

impl System {
    fn new(seed: u64) -> Self {
        let info = RunInfo {
            kind: RunKind::Replayed,
            program: "0.1.0".to_owned(),
            started_unix_ns: 0,
            capture: "shop.dub".to_owned(),
            rules: None,
            targets: Vec::new(),
            speed: Some(1.0),
            load: Load::Multiplied(1),
            users: 1,
            iterations: 1,
            seed,
            skipped: Vec::new(),
            unexplained: 0,
        };
        Self {
            seed,
            seconds: 60,
            medians_ms: vec![80.0, 40.0, 200.0],
            late_us: 100,
            diverge_every: None,
            fail_every: None,
            status: 200,
            info,
        }
    }

    /// 60 requests a second, log-normal with sigma 0.35, and a level that drifts by 5 % as AR(1) from second to second
    /// (rho 0.9): the drift that makes tests on single requests cry wolf.
    fn run(&self) -> Run {
        let mut random = Random(self.seed.wrapping_mul(0x1234_5678_9abc_def1));
        let mut aggregate = Aggregate::new(self.medians_ms.len());
        let (mut drift, mut n) = (0.0, 0);
        for second in 0..self.seconds {
            drift = 0.9 * drift + normal(&mut random) * 0.05 * (1.0_f64 - 0.81).sqrt();
            for i in 0..60_u64 {
                n += 1;
                let endpoint = (n % self.medians_ms.len() as u64) as usize;
                let ms = self.medians_ms[endpoint] * (drift + 0.35 * normal(&mut random)).exp();
                let due = Nanos((second * 60 + i) * 1_000_000_000 / 60);
                let started = due.after(Duration::from_micros(self.late_us));
                let hit = |every: Option<u64>| every.is_some_and(|e| n % e == 0);
                let outcome = if hit(self.fail_every) {
                    Outcome::Failed(Failure::Closed)
                } else if hit(self.diverge_every) {
                    Outcome::Diverged(vec![Divergence::Status { recorded: 200, replayed: 302 }])
                } else {
                    Outcome::Ok
                };
                aggregate.record(&Sample {
                    endpoint: endpoint as u32,
                    due,
                    ready: due,
                    started,
                    done: started.after(Duration::from_micros((ms * 1000.0) as u64)),
                    phases: Phases::default(),
                    status: Some(self.status),
                    outcome,
                    bytes_sent: 10,
                    bytes_received: 10,
                });
            }
        }
        let names: Vec<String> = (0..self.medians_ms.len()).map(|i| format!("GET https://shop.test/{i}")).collect();
        Run::new(aggregate, &names, self.info.clone())
    }
}

/// Box and Muller.
fn normal(random: &mut Random) -> f64 {
    let unit = |r: &mut Random| ((r.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let (a, b) = (unit(random), unit(random));
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

fn verdict_of(baseline: &System, candidate: &System) -> Comparison {
    compare(&baseline.run(), &candidate.run(), &Settings::default())
}

fn failed_gates(comparison: &Comparison) -> Vec<&str> {
    comparison.gates.iter().filter(|g| !g.passed).map(|g| g.name.as_str()).collect()
}

#[test]
fn two_runs_of_one_system_are_never_called_regressed_or_improved() {
    for seed in 0..12 {
        let comparison = verdict_of(&System::new(seed), &System::new(1_000 + seed));
        assert!(
            matches!(comparison.verdict, Verdict::Equivalent | Verdict::Inconclusive),
            "seed {seed}: {}",
            comparison.headline
        );
    }
}

#[test]
fn half_as_slow_again_is_found_and_its_reverse_too() {
    for seed in 0..6 {
        let slow = System { medians_ms: vec![120.0, 60.0, 300.0], ..System::new(100 + seed) };
        let there = verdict_of(&System::new(seed), &slow);
        assert_eq!(there.verdict, Verdict::Regressed, "seed {seed}: {}", there.headline);
        assert!(there.provisional && there.firmer.starts_with("Provisional"), "{}", there.firmer);
        assert!((there.overall[0].ratio.unwrap() / 1.5).ln().abs() < 0.1, "seed {seed}: {:?}", there.overall);
        let back = verdict_of(&slow, &System::new(seed));
        assert_eq!(back.verdict, Verdict::Improved, "seed {seed}: {}", back.headline);
    }
}

#[test]
fn one_slow_endpoint_among_three_is_named() {
    let slow = System { medians_ms: vec![80.0, 40.0, 400.0], ..System::new(9) };
    let comparison = verdict_of(&System::new(1), &slow);
    assert_eq!(comparison.verdict, Verdict::Regressed);
    assert!(comparison.headline.contains("1 of 3 endpoints"), "{}", comparison.headline);
    assert!(comparison.headline.contains("GET https://shop.test/2"), "{}", comparison.headline);
    let verdicts: Vec<Verdict> = comparison.rows.iter().map(|r| r.verdict).collect();
    assert_eq!(verdicts.iter().filter(|v| **v == Verdict::Regressed).count(), 1);
}

#[test]
fn a_run_is_equivalent_to_itself() {
    let run = System { seconds: 120, ..System::new(5) }.run();
    let comparison = compare(&run, &run, &Settings { margin_share: 0.15, ..Settings::default() });
    assert_eq!(comparison.verdict, Verdict::Equivalent, "{}", comparison.headline);
    assert!(comparison.rows.iter().all(|r| r.shifts.iter().all(|s| s.difference_us == Some(0))));
}

#[test]
fn the_same_pair_gives_the_same_comparison() {
    let pair = (System::new(1).run(), System::new(2).run());
    let settings = Settings::default();
    assert_eq!(compare(&pair.0, &pair.1, &settings), compare(&pair.0, &pair.1, &settings));
}

#[test]
fn a_late_generator_fails_its_own_run() {
    let late = System { late_us: 30_000, ..System::new(2) };
    let comparison = verdict_of(&System::new(1), &late);
    assert_eq!(comparison.verdict, Verdict::NotComparable);
    assert_eq!(failed_gates(&comparison), ["generator on time (candidate)"]);
    assert!(comparison.headline.contains("lateness p99 30.0 ms, limit 1"), "{}", comparison.headline);
    assert!(comparison.rows.iter().all(|r| r.verdict == Verdict::NotComparable));
}

#[test]
fn failures_divergences_and_other_statuses_forbid_a_verdict() {
    let base = System::new(1);
    let cases = [
        (System { fail_every: Some(50), ..System::new(2) }, vec!["answers came (candidate)"]),
        (System { diverge_every: Some(50), ..System::new(2) }, vec!["same answers (candidate)"]),
        (System { status: 302, ..System::new(2) }, vec!["same status mix"]),
    ];
    for (candidate, gates) in cases {
        let comparison = verdict_of(&base, &candidate);
        assert_eq!(comparison.verdict, Verdict::NotComparable);
        assert_eq!(failed_gates(&comparison), gates);
    }
    let few = System { fail_every: Some(200), ..System::new(2) };
    assert!(failed_gates(&verdict_of(&base, &few)).is_empty(), "half a percent is allowed");
}

#[test]
fn runs_with_nothing_in_common_are_not_comparable() {
    let base = System::new(1).run();
    let mut other = System::new(2).run();
    other.endpoints.iter_mut().for_each(|e| e.name.push_str("/elsewhere"));
    let comparison = compare(&base, &other, &Settings::default());
    assert_eq!(comparison.verdict, Verdict::NotComparable);
    assert!(failed_gates(&comparison).contains(&"endpoints in common"));
    assert_eq!((comparison.rows.len(), comparison.only_baseline.len(), comparison.only_candidate.len()), (0, 3, 3));
    let empty = Run::new(Aggregate::new(0), &[], System::new(1).info);
    assert_eq!(compare(&empty, &empty, &Settings::default()).verdict, Verdict::NotComparable);
}

#[test]
fn origins_skipped_on_purpose_do_not_count_against_the_recording() {
    let mut recorded = System { medians_ms: vec![80.0, 80.0], ..System::new(1) }.run();
    recorded.info.kind = RunKind::Recorded;
    recorded.endpoints[1].name = "GET https://cdn.test/x.js".to_owned();
    let mut replayed = System { medians_ms: vec![80.0], ..System::new(2) }.run();
    assert_eq!(failed_gates(&compare(&recorded, &replayed, &Settings::default())), ["same endpoints"]);
    let skipped =
        |origin: &str| SkippedOrigin { origin: origin.to_owned(), reason: "no target".to_owned(), exchanges: 9 };
    replayed.info.skipped = vec![skipped("https://cdn.test")];
    assert!(failed_gates(&compare(&recorded, &replayed, &Settings::default())).is_empty());
    replayed.info.skipped = vec![skipped("https://cdn.tes")];
    assert!(!failed_gates(&compare(&recorded, &replayed, &Settings::default())).is_empty(), "not a prefix match");
}

#[test]
fn what_was_skipped_of_an_origin_that_was_played_excuses_no_more_than_that() {
    let mut recorded = System { medians_ms: vec![80.0, 80.0], ..System::new(1) }.run();
    recorded.info.kind = RunKind::Recorded;
    let mut replayed = System { medians_ms: vec![80.0], ..System::new(2) }.run();
    let url = replayed.endpoints[0].name.split_once(' ').unwrap().1;
    let origin = url.match_indices('/').nth(2).map_or(url, |(at, _)| &url[..at]).to_owned();
    recorded.endpoints[1].name = format!("GET {origin}/gone");
    let gone = recorded.endpoints[1].exchanges();
    let mut failed = |exchanges| {
        let reason = "browser noise".to_owned();
        replayed.info.skipped = vec![SkippedOrigin { origin: origin.clone(), reason, exchanges }];
        failed_gates(&compare(&recorded, &replayed, &Settings::default())).len()
    };
    assert!(gone > 9);
    assert_eq!((failed(1), failed(gone)), (1, 0));
}

#[test]
fn another_load_is_described_and_never_judged() {
    let mut busy = System { medians_ms: vec![240.0, 120.0, 600.0], ..System::new(2) };
    busy.info.load = Load::Multiplied(50);
    busy.info.speed = Some(10.0);
    for kind in [RunKind::Recorded, RunKind::Replayed] {
        let mut base = System::new(1);
        base.info.kind = kind;
        let comparison = verdict_of(&base, &busy);
        assert_eq!(comparison.verdict, Verdict::OtherLoad);
        assert!(comparison.headline.contains("50x users at 10x speed"), "{}", comparison.headline);
        assert!(comparison.rows.iter().all(|r| r.verdict == Verdict::OtherLoad));
        assert!(comparison.rows.iter().all(|r| r.shifts[0].ratio.unwrap() > 2.0), "the numbers are still there");
    }
}

#[test]
fn a_recording_and_a_replay_at_its_own_load_are_compared_by_service_time() {
    let mut base = System::new(1);
    base.info.kind = RunKind::Recorded;
    let slow = System { medians_ms: vec![160.0, 80.0, 400.0], ..System::new(2) };
    let comparison = verdict_of(&base, &slow);
    assert_eq!((comparison.verdict, comparison.phase), (Verdict::Regressed, Phase::Service));
    assert!(comparison.firmer.contains("control"), "{}", comparison.firmer);
}

#[test]
fn a_short_run_is_inconclusive_and_says_how_long_it_should_be() {
    let short = |seed| System { seconds: 8, medians_ms: vec![80.0], ..System::new(seed) };
    let comparison = verdict_of(&short(1), &short(2));
    assert_eq!(comparison.verdict, Verdict::Inconclusive);
    assert!(comparison.firmer.contains("at least 30.0 s"), "{}", comparison.firmer);
    let reason = comparison.rows[0].reason.as_deref().unwrap();
    assert!(reason.starts_with("called for only"), "{reason}");
}

#[test]
fn a_tail_with_too_few_samples_beyond_it_is_marked_and_not_judged() {
    // 20 s x 60 = 1200 answers: 12 beyond p99, 120 beyond p90.
    let system = |seed| System { seconds: 20, medians_ms: vec![80.0], ..System::new(seed) };
    let comparison = verdict_of(&system(1), &system(2));
    let enough: Vec<bool> = comparison.rows[0].shifts.iter().map(|s| s.enough).collect();
    assert_eq!(enough, [true, true, false]);
    assert_eq!(comparison.rows[0].shifts[2].interval, None);
    assert!(comparison.remarks.iter().any(|r| r.contains("n is too small")));
}

#[test]
fn small_differences_of_fast_endpoints_do_not_matter() {
    // 2 ms against 4 ms is twice as slow and still inside the margin of 5 ms.
    let fast = System { medians_ms: vec![2.0], ..System::new(1) };
    let twice = System { medians_ms: vec![4.0], ..System::new(2) };
    let comparison = verdict_of(&fast, &twice);
    assert_eq!(comparison.verdict, Verdict::Equivalent, "{}", comparison.headline);
    assert!(comparison.rows[0].shifts[0].ratio.unwrap() > 1.7);
}

#[test]
fn an_endpoint_that_only_waited_for_others_is_told_apart() {
    let base = System { medians_ms: vec![80.0], ..System::new(1) };
    let mut late = base.run();
    let mut aggregate = Aggregate::new(1);
    for i in 0..3600_u64 {
        let due = Nanos(i * 1_000_000_000 / 60);
        let ready = due.after(Duration::from_millis(100));
        let wobble = Duration::from_millis(80 + (i * 7919) % 40 - 20);
        let outcome = Outcome::Ok;
        aggregate.record(&Sample {
            endpoint: 0,
            due,
            ready,
            started: ready,
            done: ready.after(wobble),
            phases: Phases::default(),
            status: Some(200),
            outcome,
            bytes_sent: 0,
            bytes_received: 0,
        });
    }
    late = Run::new(aggregate, &[late.endpoints.remove(0).name], base.info.clone());
    let comparison = compare(&base.run(), &late, &Settings::default());
    assert_eq!(comparison.verdict, Verdict::Regressed);
    assert_eq!(
        comparison.rows[0].reason.as_deref(),
        Some("not slower itself: it had to wait for slower steps before it")
    );
}

#[test]
fn the_json_names_its_schema() {
    let json = serde_json::to_value(verdict_of(&System::new(1), &System::new(2))).unwrap();
    assert_eq!(json["schema"], "overdub-compare/1");
    assert!(json["rows"][0]["shifts"][0]["ratio"].is_f64(), "{json}");
}
