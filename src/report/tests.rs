//! Reports of runs with known content, and with hostile content.

use std::time::Duration;

use crate::compare::{Comparison, Settings, compare, words};
use crate::measure::{
    Aggregate, Divergence, Failure, Load, Outcome, Phases, Run, RunInfo, RunKind, Sample, SkippedOrigin,
};
use crate::model::Nanos;

use super::*;

const HOSTILE: &str = "GET https://shop.test/</script><img src=x onerror=alert(1)>\u{1b}[31m'\"&";

fn info(kind: RunKind, seed: u64) -> RunInfo {
    RunInfo {
        kind,
        program: "0.1.0".to_owned(),
        started_unix_ns: 1_763_942_193_000_000_000,
        capture: if kind == RunKind::Recorded { "shop.dub" } else { "shop.run" }.to_owned(),
        rules: Some("shop.rules.toml".to_owned()),
        targets: vec!["http://127.0.0.1:9000".to_owned()],
        speed: Some(1.0),
        load: Load::Multiplied(1),
        users: 12,
        iterations: 1,
        seed,
        skipped: Vec::new(),
        unexplained: 0,
    }
}

/// A simulated run of some endpoints; `slow` scales the third, `names` are theirs.
fn run(names: &[&str], seed: u64, slow: f64, info: RunInfo) -> Run {
    let mut aggregate = Aggregate::new(names.len());
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut unit = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    for i in 0..9_600_u64 {
        let due = Nanos(i * 12_500_000 + (unit() * 1e7) as u64);
        let endpoint = (i % names.len() as u64) as usize;
        let noise = (1..=4).map(|_| unit()).sum::<f64>() / 2.0;
        let bulge = 1.0 + 0.35 * (i as f64 / 9_600.0 * 6.3).sin();
        let median = [18.0, 35.0, 90.0, 140.0, 60.0][endpoint % 5] * if endpoint == 2 { slow } else { 1.0 };
        let tail = if unit() > 0.985 { 3.5 } else { 1.0 };
        let service = Duration::from_micros((median * bulge * (0.4 + 0.6 * noise) * tail * 1000.0) as u64);
        let late = Duration::from_micros((unit() * unit() * 900.0) as u64);
        let outcome = match i {
            _ if i % 400 == 7 => Outcome::Failed(if i % 800 == 7 { Failure::Timeout } else { Failure::Closed }),
            _ if i % 300 == 11 => Outcome::Diverged(vec![Divergence::Redirect {
                recorded: "/orders/{}".to_owned(),
                replayed: "/login".to_owned(),
            }]),
            _ => Outcome::Ok,
        };
        let started = due.after(late);
        let part = |share: f64| Some(service.mul_f64(share));
        aggregate.record(&Sample {
            endpoint: endpoint as u32,
            due,
            ready: due,
            started,
            done: started.after(service),
            phases: Phases {
                connect: if i % 50 == 0 { part(0.08) } else { None },
                tls: if i % 50 == 0 { part(0.12) } else { None },
                send: part(0.01),
                wait: part(0.6),
                receive: part(0.19),
            },
            status: Some(200),
            outcome,
            bytes_sent: 400,
            bytes_received: 9_000,
        });
    }
    aggregate.sessions.started = 12;
    aggregate.sessions.completed = 12;
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    Run::new(aggregate, &names, info)
}

const SHOP: [&str; 5] = [
    "GET https://shop.test/",
    "POST https://shop.test/login",
    "POST https://shop.test/orders/{}",
    "GET https://shop.test/api/products/{}",
    "GET https://shop.test/static/app.{}.css",
];

fn pair(slow: f64) -> (Run, Run, Comparison) {
    let baseline = run(&SHOP, 1, 1.0, info(RunKind::Replayed, 1));
    let candidate = run(&SHOP, 2, slow, info(RunKind::Replayed, 1));
    let comparison = compare(&baseline, &candidate, &Settings::default());
    (baseline, candidate, comparison)
}

fn page(run: &Run, against: Option<Against<'_>>) -> String {
    let mut out = Vec::new();
    html(&mut out, run, against).unwrap();
    String::from_utf8(out).unwrap()
}

fn printed(c: &Comparison) -> String {
    let mut out = Vec::new();
    text(&mut out, c).unwrap();
    String::from_utf8(out).unwrap()
}

fn as_json(c: &Comparison) -> serde_json::Value {
    let mut out = Vec::new();
    json(&mut out, c).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn text_json_and_page_say_the_same_numbers() {
    let (baseline, candidate, comparison) = pair(1.6);
    let (text, json) = (printed(&comparison), as_json(&comparison));
    let page = page(&candidate, Some(Against { run: &baseline, comparison: &comparison }));
    assert_eq!(json["verdict"], "regressed");
    assert!(text.starts_with("REGRESSED: "), "{text}");
    for row in json["rows"].as_array().unwrap() {
        for shift in row["shifts"].as_array().unwrap().iter().take(2) {
            for side in ["baseline_us", "candidate_us"] {
                let shown = words::time(shift[side].as_u64().unwrap());
                assert!(text.contains(&shown), "{shown} is not in the text");
                assert!(page.contains(&shown), "{shown} is not in the page");
            }
            let shown = words::change(shift["ratio"].as_f64().unwrap());
            assert!(text.contains(&shown) && page.contains(&shown), "{shown}");
        }
    }
    let headline = json["headline"].as_str().unwrap();
    assert!(text.contains(headline) && page.contains(&escape_html(headline)));
    assert!(headline.contains("/orders/{}"), "{headline}");
}

#[test]
fn totals_of_the_console_and_the_page_are_those_of_the_summary() {
    let (_, run, _) = pair(1.0);
    let (summary, page) = (run.summary(), page(&run, None));
    let mut out = Vec::new();
    run_text(&mut out, &run).unwrap();
    let text = String::from_utf8(out).unwrap();
    let response = summary.response_us.unwrap();
    for shown in [
        words::count(summary.exchanges.sent),
        words::count(summary.exchanges.failed),
        words::time(response.p50),
        words::time(response.p90),
        words::time(response.max),
        words::time(summary.lateness_us.unwrap().p99),
    ] {
        assert!(text.contains(&shown), "{shown} is not in the text: {text}");
        assert!(page.contains(&shown), "{shown} is not in the page");
    }
}

fn hostile() -> (Run, Run) {
    let make = |seed| {
        let mut info = info(RunKind::Replayed, 1);
        info.capture = HOSTILE.to_owned();
        info.rules = Some(HOSTILE.to_owned());
        info.targets = vec![HOSTILE.to_owned()];
        info.program = HOSTILE.to_owned();
        info.skipped = vec![SkippedOrigin { origin: HOSTILE.to_owned(), reason: HOSTILE.to_owned(), exchanges: 3 }];
        let mut run = run(&SHOP, seed, 1.0, info);
        for endpoint in &mut run.endpoints {
            endpoint.name = format!("{HOSTILE}{}", endpoint.name);
            endpoint.divergences.iter_mut().for_each(|d| (d.kind, d.text) = (HOSTILE.to_owned(), HOSTILE.to_owned()));
            endpoint.failures.insert(HOSTILE.to_owned(), 1);
        }
        run.slowest.iter_mut().for_each(|s| s.outcome = HOSTILE.to_owned());
        run
    };
    (make(1), make(2))
}

#[test]
fn captured_text_cannot_become_markup() {
    let (baseline, mut candidate) = hostile();
    candidate.endpoints[0].name.push_str("<i>only here</i>");
    let comparison = compare(&baseline, &candidate, &Settings::default());
    for page in [page(&candidate, Some(Against { run: &baseline, comparison: &comparison })), page(&candidate, None)] {
        for bad in ["<script", "</script", "<img", "<i>", "\u{1b}", "onerror=alert(1)>"] {
            assert!(!page.contains(bad), "{bad} got through");
        }
        assert!(page.contains("&lt;/script&gt;&lt;img"));
    }
    let text = printed(&comparison);
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[31m"));
    let mut out = Vec::new();
    run_text(&mut out, &candidate).unwrap();
    assert!(!out.contains(&0x1b));
    out.clear();
    markdown(&mut out, &comparison).unwrap();
    let markdown = String::from_utf8(out).unwrap();
    assert!(!markdown.contains("<img") && !markdown.contains('\u{1b}'));
}

#[test]
fn a_page_needs_no_network_and_runs_no_script() {
    let (baseline, candidate, comparison) = pair(1.0);
    let page = page(&candidate, Some(Against { run: &baseline, comparison: &comparison }));
    assert!(page.contains("default-src 'none'"));
    for word in ["<script", "<link", "<img", "@import", "url(", " src=", " href=", "javascript:", "unsafe-eval"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(!page.contains("script-src"));
}

#[test]
fn a_page_stays_small_however_many_endpoints_there_are() {
    let names: Vec<String> = (0..2_000).map(|i| format!("GET https://shop.test/p{i}/{}", "x".repeat(200))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let run = run(&names, 1, 1.0, info(RunKind::Replayed, 1));
    let comparison = compare(&run, &run, &Settings::default());
    let page = page(&run, Some(Against { run: &run, comparison: &comparison }));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains("And 1940 endpoints with less traffic."));
}

#[test]
fn an_empty_run_has_a_page_and_a_text() {
    let empty = Run::new(Aggregate::new(0), &[], info(RunKind::Replayed, 1));
    let comparison = compare(&empty, &empty, &Settings::default());
    assert!(page(&empty, None).contains("</html>"));
    assert!(page(&empty, Some(Against { run: &empty, comparison: &comparison })).contains("Not comparable"));
    assert!(printed(&comparison).starts_with("NOT COMPARABLE: "));
    let mut out = Vec::new();
    run_text(&mut out, &empty).unwrap();
}

#[test]
fn a_table_in_the_text_is_aligned() {
    let (_, _, comparison) = pair(1.6);
    let text = printed(&comparison);
    let table: Vec<&str> = text.lines().filter(|l| l.contains("https://shop.test")).collect();
    let width = |l: &&str| l.chars().count();
    let rows: Vec<usize> = table.iter().filter(|l| l.ends_with("920")).map(width).collect();
    assert!(rows.len() == 5 && rows.iter().all(|w| *w == rows[0]), "{text}");
}

#[test]
fn a_foreign_run_with_absurd_numbers_is_refused_or_shown_but_never_panics() {
    let sound = run(&SHOP[..2], 1, 1.0, info(RunKind::Replayed, 1));
    let json = serde_json::to_string(&sound).unwrap();
    let mut starts: Vec<usize> = json
        .match_indices(':')
        .map(|(at, _)| at + 1)
        .filter(|at| json.as_bytes().get(*at).is_some_and(u8::is_ascii_digit))
        .collect();
    // Numbers repeat from slot to slot: the first of them, and some of the rest.
    let rest = starts.split_off(30);
    starts.extend(rest.iter().step_by(rest.len() / 6 + 1));
    let mut shown = 0;
    for at in starts {
        let end = at + json[at..].find(|c: char| !c.is_ascii_digit()).unwrap();
        for number in ["0", "18446744073709551615"] {
            let altered = format!("{}{number}{}", &json[..at], &json[end..]);
            let file = [crate::measure::MAGIC, &zstd::encode_all(altered.as_bytes(), 1).unwrap()].concat();
            let Ok(foreign) = Run::read_from(file.as_slice()) else { continue };
            let settings = Settings { resamples: 20, ..Settings::default() };
            let comparison = compare(&sound, &foreign, &settings);
            assert!(page(&foreign, Some(Against { run: &sound, comparison: &comparison })).ends_with("</html>\n"));
            assert!(printed(&compare(&foreign, &sound, &settings)).contains("candidate"));
            shown += 1;
        }
    }
    assert!(shown > 10, "{shown}");
}
