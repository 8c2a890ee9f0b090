//! The summary of an import, for programs. The names are part of the command line's promise.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::{Value, json};

use crate::import::packets::PacketReport;
use crate::import::{Details, Report, goreplay, har, mitmproxy};

/// One object.
pub(super) fn summary(report: &Report) -> Value {
    let written = report.written.clone().unwrap_or_default();
    let mut all = json!({
        "format": report.format.to_string(),
        "exchanges": written.file.exchanges,
        "sessions": written.file.sessions,
        "messages": written.file.messages,
        "incomplete": written.incomplete,
        "body_bytes": written.file.body_bytes,
        "file_bytes": written.file.file_bytes,
        "stopped": report.stopped,
        "problems": report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    if let Some(tally) = written.redacted {
        all["redacted"] = json!({
            "values": tally.values,
            "late": tally.late,
            "local_only": tally.short,
            "forgotten": tally.forgotten,
            "left_out": tally.left_out,
        });
    }
    let (name, details) = match &report.details {
        Details::Packets(packets) => ("packets", packets_of(packets)),
        Details::Har(summaries) => ("har", summaries.iter().map(har_of).collect()),
        Details::Mitmproxy(summaries) => ("mitmproxy", summaries.iter().map(flows_of).collect()),
        Details::GoReplay(summaries) => ("goreplay", summaries.iter().map(payloads_of).collect()),
    };
    all[name] = details;
    all
}

fn packets_of(report: &PacketReport) -> Value {
    let (packets, tcp, tally) = (&report.packets, &report.tcp, &report.tally);
    let sealed: Vec<Value> = tally
        .undecryptable
        .iter()
        .map(|((host, why), traffic)| json!({"host": host, "reason": why, "connections": traffic.connections}))
        .collect();
    let opaque: Vec<Value> = tally
        .opaque
        .iter()
        .map(|((protocol, server), traffic)| {
            json!({"protocol": protocol, "server": server, "connections": traffic.connections, "bytes": traffic.bytes})
        })
        .collect();
    json!({
        "packets": packets.packets,
        "bytes": packets.bytes,
        "first_unix_ns": report.span.map(|(first, _)| first),
        "last_unix_ns": report.span.map(|(_, last)| last),
        "dropped_by_capturer": report.dropped_by_capturer,
        "connections": tcp.connections,
        "midway": tcp.midway,
        "one_sided": tcp.one_sided,
        "forgotten": tcp.forgotten,
        "delivered_bytes": tcp.delivered_bytes,
        "gaps": tcp.gaps,
        "missing_bytes": tcp.missing_bytes,
        "cut_bytes": packets.cut_bytes,
        "skipped_bytes": tally.skipped_bytes,
        "decrypted_connections": tally.decrypted,
        "connect_tunnels": tally.tunnels,
        "undecryptable": sealed,
        "not_http": opaque,
        "not_tcp": by_name(&packets.others),
        "not_understood": by_name(&packets.undecodable),
        "odd": by_name(&tally.leniencies),
    })
}

fn har_of(summary: &har::Summary) -> Value {
    json!({
        "entries": summary.entries,
        "exchanges": summary.exchanges,
        "unanswered": summary.unanswered,
        "not_from_network": summary.not_from_network,
        "elsewhere": summary.elsewhere,
        "absent_request_bodies": summary.absent_bodies[0],
        "absent_response_bodies": summary.absent_bodies[1],
        "unreadable": summary.unreadable.count,
    })
}

fn flows_of(summary: &mitmproxy::Summary) -> Value {
    json!({
        "flows": summary.flows,
        "exchanges": summary.exchanges,
        "unanswered": summary.unanswered,
        "elsewhere": summary.elsewhere,
        "absent_request_bodies": summary.absent_bodies[0],
        "absent_response_bodies": summary.absent_bodies[1],
        "newer": summary.newer,
        "unreadable": summary.unreadable.count,
    })
}

fn payloads_of(summary: &goreplay::Summary) -> Value {
    json!({
        "requests": summary.requests,
        "exchanges": summary.exchanges,
        "unanswered": summary.unanswered,
        "replayed": summary.replayed,
        "unasked": summary.unasked,
        "unreadable": summary.unreadable.count,
    })
}

fn by_name<K: Display>(table: &BTreeMap<K, u64>) -> BTreeMap<String, u64> {
    table.iter().map(|(name, number)| (name.to_string(), *number)).collect()
}
