//! The tables of the HTML page.

use std::fmt::Write as _;

use crate::compare::{Comparison, Row, Shift, Subject, Verdict, words};
use crate::measure::{Endpoint, Quantiles, Run};

use super::charts::{interval, phases};
use super::escape::html as esc;
use super::html::{capital, verdict_style};
use super::text::change;

/// Most endpoints in a table.
const ROWS: usize = 60;
/// Slowest exchanges shown.
const SLOWEST: usize = 15;
/// Kinds of trouble shown.
const TROUBLE: usize = 40;

/// Numbers stay with their units.
fn unbroken(text: &str) -> String {
    text.replace(" %", "\u{a0}%").replace(" ms", "\u{a0}ms").replace(" µs", "\u{a0}µs")
}

fn dash_time(us: Option<u64>) -> String {
    us.map_or_else(|| "–".to_owned(), words::time)
}

fn tile(page: &mut String, name: &str, value: &str, below: &str, class: &str) {
    let _ = write!(page, "<div class='tile {class}'><p>{name}</p><strong>{value}</strong><small>{below}</small></div>");
}

/// The run in a few large numbers, against its baseline.
pub(super) fn compared_tiles(page: &mut String, c: &Comparison) {
    page.push_str("<div class=tiles>");
    let names = [("p50", "Median"), ("p90", "p90")];
    for (shift, (_, name)) in c.overall.iter().zip(names) {
        let class = verdict_style(shift.verdict).0;
        let below = unbroken(&format!("from {}<br>mean change {}", dash_time(shift.baseline_us), change(shift)));
        tile(page, &format!("{name} {}", c.phase.as_str()), &dash_time(shift.candidate_us), &below, class);
    }
    let (base, cand) = (&c.baseline, &c.candidate);
    tile(page, "Exchanges per second", &words::rate(cand.rate), &format!("from {}", words::rate(base.rate)), "");
    let wrong = |s: &Subject| {
        let counts = s.summary.exchanges;
        (words::count(counts.failed), words::count(counts.diverged))
    };
    let ((failed, diverged), (failed_base, diverged_base)) = (wrong(cand), wrong(base));
    tile(
        page,
        "Failed / diverged",
        &format!("{failed} / {diverged}"),
        &format!("from {failed_base} / {diverged_base}"),
        "",
    );
    page.push_str("</div>");
}

/// The run in a few large numbers.
pub(super) fn tiles(page: &mut String, run: &Run) {
    let summary = run.summary();
    let counts = summary.exchanges;
    let quantile = |q: Option<Quantiles>, pick: fn(Quantiles) -> u64| dash_time(q.map(pick));
    page.push_str("<div class=tiles>");
    let below =
        format!("p90 {}, max {}", quantile(summary.response_us, |q| q.p90), quantile(summary.response_us, |q| q.max));
    tile(page, "Median response time", &quantile(summary.response_us, |q| q.p50), &below, "");
    let below = format!("in {}", words::time(summary.duration_us));
    tile(page, "Exchanges", &words::count(counts.sent), &below, "");
    let below = format!("{} not sent", words::count(counts.skipped));
    tile(
        page,
        "Failed / diverged",
        &format!("{} / {}", words::count(counts.failed), words::count(counts.diverged)),
        &below,
        "",
    );
    let sessions = summary.sessions;
    let below = format!("of {} started, {} failed", words::count(sessions.started), words::count(sessions.failed));
    tile(page, "Sessions completed", &words::count(sessions.completed), &below, "");
    let below = format!("median {}", quantile(summary.lateness_us, |q| q.p50));
    tile(page, "Generator lateness p99", &quantile(summary.lateness_us, |q| q.p99), &below, "");
    page.push_str("</div>");
}

/// The gates and remarks.
pub(super) fn validity(page: &mut String, c: &Comparison) {
    let failed = c.gates.iter().filter(|g| !g.passed).count();
    let title = match failed {
        0 => "every condition is met".to_owned(),
        1 => "one condition is not met".to_owned(),
        n => format!("{n} conditions are not met"),
    };
    let _ = write!(page, "<section><h2>Can it be trusted? <small>{title}</small></h2><ul class=gates>");
    for gate in c.gates.iter().filter(|g| !g.passed).chain(c.gates.iter().filter(|g| g.passed)) {
        let (class, sign, state) = if gate.passed { ("good", "✓", "met") } else { ("bad", "✗", "not met") };
        let _ = write!(
            page,
            "<li class='{class}-gate'><span class='sign {class}' title='{state}'>{sign}</span><b>{}</b><small>{}</small></li>",
            esc(&capital(&gate.name)),
            unbroken(&esc(&gate.found))
        );
    }
    page.push_str("</ul>");
    if !c.remarks.is_empty() {
        page.push_str("<ul class=note>");
        c.remarks.iter().for_each(|remark| {
            let _ = write!(page, "<li>{}</li>", esc(remark));
        });
        page.push_str("</ul>");
    }
    page.push_str("</section>");
}

/// What was asked and what was achieved.
pub(super) fn load(page: &mut String, c: &Comparison) {
    let _ = write!(
        page,
        "<section><h2>Load</h2><div class=wide><table><thead><tr><th></th><th>Baseline, {}</th><th>Candidate, {}</th></tr></thead><tbody>",
        c.baseline.kind(),
        c.candidate.kind()
    );
    let mut row = |name: &str, value: &dyn Fn(&Subject) -> String| {
        let _ = write!(
            page,
            "<tr><th scope=row>{name}</th><td>{}</td><td>{}</td></tr>",
            esc(&value(&c.baseline)),
            esc(&value(&c.candidate))
        );
    };
    row("Asked for", &|s| s.load.clone());
    row("Duration", &|s| words::time(s.summary.duration_us));
    row("Exchanges", &|s| words::count(s.summary.exchanges.sent));
    row("Exchanges per second", &|s| words::rate(s.rate));
    row("Mean in flight", &|s| words::mean(s.in_flight));
    row("Sessions completed", &|s| {
        format!("{} of {}", words::count(s.summary.sessions.completed), words::count(s.summary.sessions.started))
    });
    row("Not sent", &|s| words::count(s.summary.exchanges.skipped));
    row("Generator lateness p50 / p99", &|s| match s.summary.lateness_us {
        Some(q) => format!("{} / {}", words::time(q.p50), words::time(q.p99)),
        None => "–".to_owned(),
    });
    row("Left out of the capture", &|s| {
        let mut names = Vec::new();
        for skipped in s.info.skipped.iter().take(TROUBLE) {
            names.push(format!("{}: {} ({})", skipped.origin, skipped.reason, words::count(skipped.exchanges)));
        }
        if names.is_empty() { "nothing".to_owned() } else { names.join("; ") }
    });
    page.push_str("</tbody></table></div></section>");
}

/// The endpoints of both sides: those that regressed first, then by traffic.
pub(super) fn compared_endpoints(page: &mut String, c: &Comparison) {
    let _ = write!(
        page,
        "<section><h2>Endpoints <small>{}, {}; on the right the change with its 95 % interval</small></h2><div class=wide><table class=endpoints><thead><tr>\
         <th>Endpoint</th><th class=n>Requests</th><th class=n>Median</th><th class=n>p90</th><th class=n>p99</th>\
         <th class=mid>Change<small>half · same · double</small></th><th class=n>Median</th><th class=n>p90</th>\
         <th class=n>p99</th></tr></thead><tbody>",
        capital(c.phase.as_str()),
        c.candidate.kind()
    );
    let regressed = |r: &&Row| r.verdict == Verdict::Regressed;
    let rows: Vec<&Row> = c.rows.iter().filter(regressed).chain(c.rows.iter().filter(|r| !regressed(r))).collect();
    for row in rows.iter().take(ROWS) {
        compared_endpoint(page, row);
    }
    page.push_str("</tbody></table></div>");
    if rows.len() > ROWS {
        let _ = write!(page, "<p class=note>And {} endpoints with less traffic.</p>", rows.len() - ROWS);
    }
    for (who, one_sided) in [("baseline", &c.only_baseline), ("candidate", &c.only_candidate)] {
        if !one_sided.is_empty() {
            let _ = write!(page, "<details><summary>Only in the {who}: {}</summary><ul>", one_sided.len());
            for one in one_sided.iter().take(ROWS) {
                let _ = write!(page, "<li><code>{}</code> {}</li>", esc(&one.name), words::count(one.exchanges));
            }
            page.push_str("</ul></details>");
        }
    }
    page.push_str("</section>");
}

fn compared_endpoint(page: &mut String, row: &Row) {
    let (class, sign) = match row.verdict {
        Verdict::NotComparable | Verdict::OtherLoad => ("void", "·"),
        judged => verdict_style(judged),
    };
    let _ = write!(
        page,
        "<tr><td><span class='badge {class}' title='{}'>{sign}</span><code>{}</code>{}</td><td class=n>{}<small>{}</small></td>",
        row.verdict.as_str(),
        esc(&row.name),
        row.reason.as_ref().map_or_else(String::new, |r| format!("<small>{}</small>", esc(r))),
        words::count(row.candidate.exchanges),
        wrong(row.candidate.failed, row.candidate.diverged)
    );
    for shift in &row.shifts {
        let _ = write!(
            page,
            "<td class=n>{}<small>from {}</small></td>",
            dash_time(shift.candidate_us),
            dash_time(shift.baseline_us)
        );
    }
    let picture = row.shifts.first().and_then(|shift| {
        let ends = shift.interval.map(|i| (i.low, i.high));
        Some(interval(shift.ratio?, ends, shift.margin, verdict_style(shift.verdict).0))
    });
    let _ = write!(page, "<td>{}</td>", picture.unwrap_or_default());
    for shift in &row.shifts {
        let _ = write!(page, "<td class=n>{}</td>", change_cell(shift));
    }
    page.push_str("</tr>");
}

fn change_cell(shift: &Shift) -> String {
    match (shift.ratio, shift.interval) {
        (Some(ratio), Some(i)) => {
            let class = verdict_style(shift.verdict).0;
            let (low, high) = (words::change(i.low), words::change(i.high));
            format!("<b class='{class}'>{}</b><small>{low} to {high}</small>", words::change(ratio))
        }
        (Some(ratio), None) if !shift.enough && shift.name == "p50" => {
            format!("{}<small>n too small</small>", words::change(ratio))
        }
        (Some(_), None) if !shift.enough => "<small>n too small</small>".to_owned(),
        (Some(ratio), None) => words::change(ratio),
        (None, _) => "–".to_owned(),
    }
}

fn wrong(failed: u64, diverged: u64) -> String {
    match (failed, diverged) {
        (0, 0) => String::new(),
        (0, d) => format!("{} diverged", words::count(d)),
        (f, 0) => format!("{} failed", words::count(f)),
        (f, d) => format!("{} failed, {} diverged", words::count(f), words::count(d)),
    }
}

/// The endpoints of a run without baseline, by traffic.
pub(super) fn endpoints(page: &mut String, run: &Run) {
    page.push_str(
        "<section><h2>Endpoints</h2><div class=wide><table class=endpoints><thead><tr><th>Endpoint</th><th class=n>Requests</th>\
         <th class=n>Median</th><th class=n>p90</th><th class=n>p99</th><th class=n>Longest</th><th class=n>First byte p50</th>\
         <th class=n>Received</th></tr></thead><tbody>",
    );
    let mut sorted: Vec<&Endpoint> = run.endpoints.iter().collect();
    sorted.sort_by(|a, b| b.exchanges().cmp(&a.exchanges()).then_with(|| a.name.cmp(&b.name)));
    for endpoint in sorted.iter().take(ROWS) {
        let response = Quantiles::of(&endpoint.response);
        let cell = |pick: fn(Quantiles) -> u64| dash_time(response.map(pick));
        let _ = write!(
            page,
            "<tr><td><code>{}</code></td><td class=n>{}<small>{}</small></td><td class=n>{}</td><td class=n>{}</td>\
             <td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td></tr>",
            esc(&endpoint.name),
            words::count(endpoint.exchanges()),
            wrong(endpoint.failed, endpoint.diverged),
            cell(|q| q.p50),
            cell(|q| q.p90),
            cell(|q| q.p99),
            cell(|q| q.max),
            dash_time(endpoint.wait.quantile(0.5)),
            words::bytes(endpoint.bytes_received)
        );
    }
    page.push_str("</tbody></table></div>");
    if sorted.len() > ROWS {
        let _ = write!(page, "<p class=note>And {} endpoints with less traffic.</p>", sorted.len() - ROWS);
    }
    page.push_str("</section>");
}

/// The slowest exchanges with their phases.
pub(super) fn slowest(page: &mut String, run: &Run) {
    if run.slowest.is_empty() {
        return;
    }
    page.push_str(
        "<section><h2>Slowest exchanges</h2><p class=\"legend ph\"><span class=k-before>earlier steps</span>\
         <span class=k-late>generator</span><span class=k-connect>connect</span><span class=k-tls>TLS</span>\
         <span class=k-send>send</span><span class=k-wait>wait</span><span class=k-receive>receive</span></p>\
         <div class=wide><table><thead><tr><th>Endpoint</th><th class=n>At</th><th class=n>Response</th><th class=n>Service</th>\
         <th>Phases</th><th>Answer</th></tr></thead><tbody>",
    );
    let longest = run.slowest.first().map_or(1, |s| s.response_us);
    for slow in run.slowest.iter().take(SLOWEST) {
        let name = run.endpoints.get(slow.endpoint as usize).map_or("", |e| e.name.as_str());
        let status = slow.status.map_or_else(String::new, |s| format!("{s} "));
        let _ = write!(
            page,
            "<tr><td><code>{}</code></td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td>{}</td><td>{status}{}</td></tr>",
            esc(name),
            words::time(slow.started_us),
            words::time(slow.response_us),
            words::time(slow.service_us),
            phases(slow, longest),
            esc(&slow.outcome)
        );
    }
    page.push_str("</tbody></table></div></section>");
}

/// One kind of divergence or failure at one endpoint.
struct Trouble<'a> {
    count: u64,
    name: &'a str,
    kind: &'static str,
    text: &'a str,
    /// Start of the first and the last one, microseconds since the anchor.
    when: Option<(u64, u64)>,
}

/// Divergences and failures by what they look like.
pub(super) fn trouble(page: &mut String, run: &Run) {
    let mut found: Vec<Trouble<'_>> = Vec::new();
    for e in &run.endpoints {
        let name = e.name.as_str();
        found.extend(e.divergences.iter().map(|d| {
            let when = Some((d.first_us, d.last_us));
            Trouble { count: d.count, name, kind: "diverged", text: &d.text, when }
        }));
        found.extend(e.failures.iter().map(|(text, &count)| Trouble { count, name, kind: "failed", text, when: None }));
    }
    found.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (a.name, a.text).cmp(&(b.name, b.text))));
    page.push_str("<section><h2>Divergences and failures</h2>");
    if found.is_empty() {
        page.push_str("<p>None: every answer was like the recorded one.</p></section>");
        return;
    }
    page.push_str(
        "<div class=wide><table><thead><tr><th class=n>Times</th><th>What</th><th>Endpoint</th><th class=n>First at</th>\
         <th class=n>Last at</th></tr></thead><tbody>",
    );
    for &Trouble { count, name, kind, text, when } in found.iter().take(TROUBLE) {
        let class = if kind == "failed" { "bad" } else { "open" };
        let _ = write!(
            page,
            "<tr><td class=n>{}</td><td><span class='tag {class}'>{kind}</span> {}</td><td><code>{}</code></td>\
             <td class=n>{}</td><td class=n>{}</td></tr>",
            words::count(count),
            esc(text),
            esc(name),
            dash_time(when.map(|w| w.0)),
            dash_time(when.map(|w| w.1))
        );
    }
    page.push_str("</tbody></table></div>");
    if found.len() > TROUBLE {
        let _ = write!(page, "<p class=note>And {} rarer kinds.</p>", found.len() - TROUBLE);
    }
    page.push_str("</section>");
}

/// Where the numbers come from.
pub(super) fn provenance(page: &mut String, run: &Run, baseline: Option<&Run>) {
    page.push_str("<section><h2>Provenance</h2><div class=wide><table><thead><tr><th></th>");
    page.push_str(if baseline.is_some() {
        "<th>Baseline</th><th>Candidate</th></tr></thead><tbody>"
    } else {
        "<th></th></tr></thead><tbody>"
    });
    let sides: Vec<&Run> = baseline.into_iter().chain([run]).collect();
    let mut row = |name: &str, value: &dyn Fn(&Run) -> String| {
        let _ = write!(page, "<tr><th scope=row>{name}</th>");
        for side in &sides {
            let _ = write!(page, "<td>{}</td>", esc(&value(side)));
        }
        page.push_str("</tr>");
    };
    row("Capture", &|r| r.info.capture.clone());
    row("Rules", &|r| r.info.rules.clone().unwrap_or_else(|| "none".to_owned()));
    row("Targets", &|r| if r.info.targets.is_empty() { "–".to_owned() } else { r.info.targets.join(", ") });
    row("Load", &|r| words::load(&r.info));
    row("Iterations, seed", &|r| format!("{}, {}", r.info.iterations, r.info.seed));
    row("Unexplained values", &|r| words::count(r.info.unexplained));
    row("Started", &|r| words::date(r.info.started_unix_ns));
    row("Program", &|r| format!("overdub {}", r.info.program));
    page.push_str("</tbody></table></div></section>");
}
