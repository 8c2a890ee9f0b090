//! Conditions for any verdict: did both runs measure the same thing, and did the generator keep its word?

use std::collections::BTreeMap;

use crate::measure::{Endpoint, Run, RunKind};

use super::outcome::{Gate, Settings};
use super::rows::Pairing;
use super::stats::distance;
use super::words;

/// All gates of a pair, passed ones too.
pub(super) fn gates(baseline: &Run, candidate: &Run, pairing: &Pairing<'_>, settings: &Settings) -> Vec<Gate> {
    let mut gates = vec![in_common(pairing)];
    for (who, run) in [("baseline", baseline), ("candidate", candidate)] {
        if run.info.kind == RunKind::Replayed {
            gates.push(lateness(who, run, settings));
            gates.push(complete(who, run, settings));
            gates.push(diverged(who, run, settings));
        }
        gates.push(failed(who, run, settings));
    }
    gates.push(coverage(baseline, candidate, pairing, settings));
    gates.push(mix(pairing, settings));
    gates.push(statuses(pairing, settings));
    gates
}

fn in_common(pairing: &Pairing<'_>) -> Gate {
    let answered = |e: &Endpoint| e.exchanges() > e.failed;
    let common = pairing.both.iter().filter(|(a, b)| answered(a) && answered(b)).count();
    Gate {
        name: "endpoints in common".to_owned(),
        passed: common > 0,
        found: match common {
            0 => "no endpoint was answered in both".to_owned(),
            1 => "1 endpoint was answered in both".to_owned(),
            n => format!("{n} endpoints were answered in both"),
        },
        advice: "compare runs of the same capture".to_owned(),
    }
}

fn lateness(who: &str, run: &Run, settings: &Settings) -> Gate {
    let p99 = run.all(|e| &e.lateness).quantile(0.99).unwrap_or(0);
    let median = run.all(|e| &e.response).quantile(0.5).unwrap_or(0);
    let limit = settings.max_lateness_us.max((median as f64 * settings.max_lateness_share) as u64);
    Gate {
        name: format!("generator on time ({who})"),
        passed: p99 <= limit,
        found: format!("lateness p99 {}, limit {}", words::time(p99), words::time(limit)),
        advice: format!("give the generator of the {who} more processor, or fewer users"),
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn at_most(name: String, what: &str, part: u64, whole: u64, settings: &Settings) -> Gate {
    let found = share(part, whole);
    Gate {
        name,
        passed: found <= settings.max_error_share,
        found: format!(
            "{} of {} {what} ({}), limit {}",
            words::count(part),
            words::count(whole),
            words::share(found),
            words::share(settings.max_error_share)
        ),
        advice: String::new(),
    }
}

fn complete(who: &str, run: &Run, settings: &Settings) -> Gate {
    let sent = run.exchanges().sent;
    let gate = at_most(
        format!("everything was sent ({who})"),
        "planned exchanges not sent",
        run.not_sent,
        sent.saturating_add(run.not_sent),
        settings,
    );
    Gate { advice: format!("let the {who} run to its end, and look at why its sessions stopped"), ..gate }
}

fn diverged(who: &str, run: &Run, settings: &Settings) -> Gate {
    let counts = run.exchanges();
    let gate = at_most(format!("same answers ({who})"), "exchanges diverged", counts.diverged, counts.sent, settings);
    Gate { advice: format!("look at the divergences of the {who}: other answers were measured"), ..gate }
}

fn failed(who: &str, run: &Run, settings: &Settings) -> Gate {
    let counts = run.exchanges();
    let gate = at_most(format!("answers came ({who})"), "exchanges failed", counts.failed, counts.sent, settings);
    Gate { advice: format!("look at the failures of the {who}"), ..gate }
}

/// Endpoints that only one side has. What the replay skipped on purpose does not count against the recording.
fn coverage(baseline: &Run, candidate: &Run, pairing: &Pairing<'_>, settings: &Settings) -> Gate {
    let lost = lost(candidate, pairing);
    let new = pairing.only_candidate.iter().fold(0_u64, |n, o| n.saturating_add(o.exchanges));
    let worst = share(lost, baseline.exchanges().sent).max(share(new, candidate.exchanges().sent));
    Gate {
        name: "same endpoints".to_owned(),
        passed: worst <= settings.max_mix_difference,
        found: format!(
            "{} of the requests went to endpoints that the other side does not have, limit {}",
            words::share(worst),
            words::share(settings.max_mix_difference)
        ),
        advice: "replay the same capture with the same targets on both sides".to_owned(),
    }
}

/// Exchanges of the baseline that the candidate has nothing like, less those that it skipped: all of an origin of which it
/// played nothing, else no more than it says it skipped there.
fn lost(candidate: &Run, pairing: &Pairing<'_>) -> u64 {
    let inside = |name: &str, origin: &str| {
        let url = name.split_once(' ').map_or(name, |(_, url)| url);
        url.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut excused: BTreeMap<&str, u64> = BTreeMap::new();
    for skipped in &candidate.info.skipped {
        let played = candidate.endpoints.iter().any(|endpoint| inside(&endpoint.name, &skipped.origin));
        let left = excused.entry(&skipped.origin).or_default();
        *left = left.saturating_add(if played { skipped.exchanges } else { u64::MAX });
    }
    pairing.only_baseline.iter().fold(0_u64, |lost, own| {
        let left = excused.iter_mut().find(|(origin, _)| inside(&own.name, origin)).map(|(_, left)| left);
        let taken = left.map_or(0, |left| {
            let taken = own.exchanges.min(*left);
            *left -= taken;
            taken
        });
        lost.saturating_add(own.exchanges - taken)
    })
}

fn mix(pairing: &Pairing<'_>, settings: &Settings) -> Gate {
    let counts = |pick: fn(&(&Endpoint, &Endpoint)) -> u64| -> BTreeMap<&str, u64> {
        pairing.both.iter().map(|pair| (pair.0.name.as_str(), pick(pair))).collect()
    };
    let moved = distance(&counts(|pair| pair.0.exchanges()), &counts(|pair| pair.1.exchanges()));
    Gate {
        name: "same request mix".to_owned(),
        passed: moved <= settings.max_mix_difference,
        found: format!(
            "{} of the requests would have to go elsewhere, limit {}",
            words::share(moved),
            words::share(settings.max_mix_difference)
        ),
        advice: "compare runs of the same capture and the same users".to_owned(),
    }
}

fn statuses(pairing: &Pairing<'_>, settings: &Settings) -> Gate {
    let total: u64 = pairing.both.iter().fold(0, |n, (_, e)| n.saturating_add(e.exchanges()));
    let moved: f64 = pairing
        .both
        .iter()
        .filter(|(a, b)| !a.statuses.is_empty() && !b.statuses.is_empty())
        .map(|(a, b)| distance(&a.statuses, &b.statuses) * share(b.exchanges(), total))
        .sum();
    Gate {
        name: "same status mix".to_owned(),
        passed: moved <= settings.max_status_difference,
        found: format!(
            "{} of the answers would have to have another status, limit {}",
            words::share(moved),
            words::share(settings.max_status_difference)
        ),
        advice: "find out why the servers answered with other statuses: a redirect to a login is fast and wrong"
            .to_owned(),
    }
}
