//! The summary of an import, for people: what is in the capture, how complete it is, where the holes are.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use crate::cli::Console;
use crate::cli::inspect::{count, size};
use crate::cli::redact;
use crate::import::packets::PacketReport;
use crate::import::{Details, Report, goreplay, har, mitmproxy};
use crate::report::escape_terminal;

/// Most rows of a table.
const ROWS: usize = 12;

/// Tells all of it.
pub(super) fn tell(console: Console, report: &Report, output: &Path) {
    let Some(written) = &report.written else { return };
    let file = &written.file;
    if file.exchanges == 0 {
        return;
    }
    let messages = if file.messages > 0 { format!(" with {}", count(file.messages, "message")) } else { String::new() };
    console.say(format_args!(
        "{}: {}{messages} in {}, {} of bodies, {} on disk",
        output.display(),
        count(file.exchanges, "exchange"),
        count(file.sessions, "session"),
        size(file.body_bytes),
        size(file.file_bytes)
    ));
    table(console, "incomplete exchanges:", &written.incomplete);
    written.redacted.iter().for_each(|tally| redact::tell(console, tally));
    match &report.details {
        Details::Packets(packets) => tell_packets(console, packets),
        Details::Har(summaries) => summaries.iter().for_each(|summary| tell_har(console, summary)),
        Details::Mitmproxy(summaries) => summaries.iter().for_each(|summary| tell_flows(console, summary)),
        Details::GoReplay(summaries) => summaries.iter().for_each(|summary| tell_payloads(console, summary)),
    }
    let rules = output.with_extension("rules.toml");
    console.say(format_args!("next: overdub correlate {} -o {}", output.display(), rules.display()));
}

/// What there was instead of HTTP, as the rest of a sentence; empty when there was nothing to speak of.
pub(super) fn what_else(report: &Report, has_keys: bool) -> String {
    match &report.details {
        Details::Packets(packets) => {
            let mut all = Vec::new();
            let tally = &packets.tally;
            let mut opaque: BTreeMap<&str, u64> = BTreeMap::new();
            for ((protocol, _), traffic) in &tally.opaque {
                *opaque.entry(protocol).or_default() += traffic.connections;
            }
            let other = |label: &&str| {
                !matches!(*label, "not HTTP" | "silent" | "TLS, not decrypted") && !label.starts_with("HTTP")
            };
            for (label, traffic) in tally.protocols.iter().filter(|(label, _)| other(label)) {
                opaque.insert(label, traffic.connections);
            }
            all.extend(opaque.iter().map(|(what, times)| format!("{} of {what}", count(*times, "connection"))));
            let sealed: u64 = tally.undecryptable.values().map(|traffic| traffic.connections).sum();
            if sealed > 0 {
                let hint = if has_keys { "" } else { " (give --keylog)" };
                all.push(format!("{} of TLS that cannot be decrypted{hint}", count(sealed, "connection")));
            }
            all.extend(
                packets
                    .packets
                    .others
                    .iter()
                    .take(ROWS)
                    .map(|(what, times)| format!("{} of {what}", count(*times, "packet"))),
            );
            all.extend(
                packets.packets.undecodable.iter().map(|(why, times)| format!("{}: {why}", count(*times, "packet"))),
            );
            if all.is_empty() {
                format!(" ({})", count(packets.packets.packets, "packet"))
            } else {
                format!(" ({})", all.join(", "))
            }
        }
        Details::Har(summaries) => {
            let cached: u64 = summaries.iter().map(|summary| summary.not_from_network).sum();
            if cached > 0 {
                format!(" (but {cached} from the browser's cache, which --keep-cached keeps)")
            } else {
                String::new()
            }
        }
        Details::Mitmproxy(_) | Details::GoReplay(_) => String::new(),
    }
}

fn tell_packets(console: Console, report: &PacketReport) {
    let (packets, tcp, tally) = (&report.packets, &report.tcp, &report.tally);
    let seconds = report.span.map_or(0.0, |(first, last)| (last - first) as f64 / 1e9);
    console.say(format_args!(
        "{} over {seconds:.1} s, {}, {} of payload",
        count(packets.packets, "packet"),
        count(tcp.connections, "TCP connection"),
        size(tcp.delivered_bytes)
    ));
    completeness(console, report);
    let sealed: BTreeMap<String, u64> = tally
        .undecryptable
        .iter()
        .map(|((host, why), traffic)| (format!("{host}: {why}"), traffic.connections))
        .collect();
    table(console, "TLS connections that were not decrypted:", &sealed);
    let opaque: BTreeMap<String, u64> = tally
        .opaque
        .iter()
        .map(|((protocol, server), traffic)| (format!("{protocol} at {server}"), traffic.connections))
        .collect();
    table(console, "connections that carry no HTTP:", &opaque);
    table(console, "packets that are not TCP:", &packets.others);
    table(console, "packets that were not understood:", &packets.undecodable);
    table(console, "exchanges with something odd:", &tally.leniencies);
}

/// How much of what was sent was seen.
fn completeness(console: Console, report: &PacketReport) {
    let (packets, tcp) = (&report.packets, &report.tcp);
    let sent = tcp.delivered_bytes.saturating_add(tcp.missing_bytes);
    if tcp.missing_bytes == 0 {
        console.say("complete: no byte of any connection is missing");
    } else {
        console.say(format_args!(
            "{} complete: {} bytes are missing in {}",
            percent(tcp.delivered_bytes, sent),
            tcp.missing_bytes,
            count(tcp.gaps, "gap")
        ));
    }
    rows(
        console,
        &[
            ("packets that the capturing program itself lost", report.dropped_by_capturer),
            ("bytes cut off by the capture length", packets.cut_bytes),
            ("connections that began before the capture", tcp.midway),
            ("connections of which one side was seen", tcp.one_sided),
            ("connections forgotten to bound memory", tcp.forgotten),
            ("IP fragments without the rest of their packet", packets.fragments_dropped),
            ("packets with a wrong checksum, left out", packets.bad_checksums),
            ("bytes that belong to no message", report.tally.skipped_bytes),
        ],
    );
}

/// Never rounded up to all.
fn percent(part: u64, whole: u64) -> String {
    let share = part as f64 / whole.max(1) as f64 * 100.0;
    format!("{:.3} %", (share * 1000.0).floor() / 1000.0)
}

fn tell_har(console: Console, summary: &har::Summary) {
    console.say(format_args!("entries of the HAR: {}", summary.entries));
    rows(
        console,
        &[
            ("not from the network (browser cache, service worker), left out", summary.not_from_network),
            ("cancelled, blocked or failed: exchanges without a response", summary.unanswered),
            ("request bodies that the file does not hold", summary.absent_bodies[0]),
            ("response bodies that the file does not hold", summary.absent_bodies[1]),
            ("without a readable date: take that of the entry before", summary.undated),
            ("could not be read", summary.unreadable.count),
            ("beyond what one file may hold", summary.beyond),
        ],
    );
    table(console, "entries that are no HTTP:", &summary.elsewhere);
    flaws(console, "entry", &summary.unreadable.first);
}

fn table<K: Display>(console: Console, title: &str, rows: &BTreeMap<K, u64>) {
    if rows.is_empty() {
        return;
    }
    console.say(title);
    let mut sorted: Vec<(String, u64)> = rows.iter().map(|(name, times)| (name.to_string(), *times)).collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (name, times) in sorted.iter().take(ROWS) {
        console.say(format_args!("  {times:>8}  {}", escape_terminal(name)));
    }
    if let Some(rest) = sorted.get(ROWS..).filter(|rest| !rest.is_empty()) {
        let times: u64 = rest.iter().map(|(_, times)| times).sum();
        console.say(format_args!("  {times:>8}  in {} more kinds", rest.len()));
    }
}

fn tell_flows(console: Console, summary: &mitmproxy::Summary) {
    console.say(format_args!("{} in the mitmproxy file", count(summary.flows, "HTTP flow")));
    rows(
        console,
        &[
            ("without a response in the file", summary.unanswered),
            ("request bodies that mitmproxy passed through and did not keep", summary.absent_bodies[0]),
            ("response bodies that mitmproxy passed through and did not keep", summary.absent_bodies[1]),
            ("of a later version of the format than is known here", summary.newer),
            ("could not be read", summary.unreadable.count),
            ("beyond what one file may hold", summary.beyond),
        ],
    );
    table(console, "flows that are no HTTP:", &summary.elsewhere);
    flaws(console, "flow", &summary.unreadable.first);
}

fn tell_payloads(console: Console, summary: &goreplay::Summary) {
    console.say(format_args!("{} in the GoReplay file", count(summary.requests, "request")));
    rows(
        console,
        &[
            ("without a response in the file", summary.unanswered),
            ("with the response that a replay got, as there is no original one", summary.replayed),
            ("responses without their request, left out", summary.unasked),
            ("CONNECT requests, left out", summary.tunnels),
            ("without a time: take that of the payload before", summary.undated),
            ("could not be read", summary.unreadable.count),
            ("beyond what one file may hold", summary.beyond),
        ],
    );
    flaws(console, "payload", &summary.unreadable.first);
}

fn rows(console: Console, rows: &[(&str, u64)]) {
    for (what, number) in rows.iter().filter(|(_, number)| *number > 0) {
        console.say(format_args!("  {number:>8}  {what}"));
    }
}

fn flaws(console: Console, what: &str, flaws: &[(u64, String)]) {
    for (byte, why) in flaws {
        console.say(format_args!("  {what} at byte {byte}: {}", escape_terminal(why)));
    }
}
