//! What `inspect --json` prints. The field names are part of the command line's promise.

use base64::Engine;
use serde::Serialize;

use crate::capture::{Reader, SessionSummary};
use crate::model::{Body, Exchange, Headers, Message, Nanos, Remark, Response, Span, Timing};

use super::body::{Content, look_into};
use super::{messages, remarks};

/// One exchange on one line.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    id: u64,
    session: u32,
    transaction: Option<String>,
    method: String,
    url: String,
    host: String,
    status: Option<u16>,
    /// Responses before the final one, when there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    interim: Option<usize>,
    content_type: Option<String>,
    started_us: u64,
    duration_us: u64,
    ttfb_us: Option<u64>,
    request_bytes: u64,
    response_bytes: u64,
    incomplete: Option<String>,
    /// What a browser asked for itself, when it is that.
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<MessageTotals>,
    /// Each in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_fields: Vec<UnknownField>,
}

/// The messages inside an exchange.
#[derive(Debug, Serialize)]
pub(super) struct MessageTotals {
    /// How many.
    pub(super) count: u64,
    /// The WebSocket frames that they were sent in; none when they cannot be read.
    pub(super) frames: Option<u64>,
}

impl MessageTotals {
    /// None when there are no messages.
    pub(super) fn of(reader: &Reader, exchange: &Exchange) -> Option<Self> {
        let count = reader.message_count_of(exchange.id);
        let total = |held: Vec<Message>| held.iter().fold(0_u64, |sum, m| sum.saturating_add(u64::from(m.frames)));
        (count > 0).then(|| Self { count, frames: reader.messages(exchange.id).ok().map(total) })
    }
}

/// A header field that was sent and is not in the head.
#[derive(Debug, Serialize)]
struct UnknownField {
    side: &'static str,
    position: u32,
    name: Option<String>,
}

impl UnknownField {
    fn of(remark: &Remark) -> Option<Self> {
        let Remark::UnknownField { side, position, name } = remark else { return None };
        Some(Self { side: remarks::name(*side), position: *position, name: name.as_deref().map(lossy) })
    }
}

impl Line {
    pub(super) fn of(exchange: &Exchange, messages: Option<MessageTotals>) -> Self {
        let timing = &exchange.timing;
        Self {
            id: exchange.id.0,
            session: exchange.session.0,
            transaction: exchange.transaction.clone(),
            method: exchange.request.method.clone(),
            url: exchange.request.url(),
            host: exchange.request.origin.authority(),
            status: exchange.response.as_ref().map(|response| response.status),
            interim: Some(exchange.interim.len()).filter(|&count| count > 0),
            content_type: super::content_type(exchange),
            started_us: timing.started.as_micros(),
            duration_us: micros(timing.started, timing.finished),
            ttfb_us: timing.client_first.or(timing.upstream_first).map(|first| micros(timing.started, first)),
            request_bytes: exchange.request.body.len,
            response_bytes: exchange.response.as_ref().map_or(0, |response| response.body.len),
            incomplete: exchange.incomplete.as_ref().map(ToString::to_string),
            noise: super::noise(exchange).map(str::to_owned),
            messages,
            remarks: exchange.remarks.iter().map(remarks::words).collect(),
            unknown_fields: exchange.remarks.iter().filter_map(UnknownField::of).collect(),
        }
    }
}

/// One session on one line.
#[derive(Debug, Serialize)]
pub(super) struct SessionLine<'a> {
    session: u32,
    client: &'a str,
    user_agent: Option<&'a str>,
    exchanges: u64,
    started_us: u64,
    duration_us: u64,
    evidence: Option<&'a str>,
    midway: bool,
}

impl<'a> SessionLine<'a> {
    pub(super) fn of(summary: &'a SessionSummary) -> Self {
        Self {
            session: summary.info.id.0,
            client: &summary.info.client,
            user_agent: summary.info.user_agent.as_deref(),
            exchanges: summary.exchanges,
            started_us: summary.first.as_micros(),
            duration_us: micros(summary.first, summary.last),
            evidence: Some(summary.info.evidence.as_str()).filter(|text| !text.is_empty()),
            midway: summary.info.midway,
        }
    }
}

/// Everything of one exchange.
#[derive(Debug, Serialize)]
pub(super) struct Whole<'a> {
    #[serde(flatten)]
    line: Line,
    request: WholeRequest,
    interim: Vec<WholeResponse>,
    response: Option<WholeResponse>,
    timing: WholeTiming,
    transport: WholeTransport,
    #[serde(skip_serializing_if = "messages::List::is_empty")]
    messages: messages::List<'a>,
}

#[derive(Debug, Serialize)]
struct WholeRequest {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<[String; 2]>,
    body: WholeBody,
    trailers: Vec<[String; 2]>,
}

#[derive(Debug, Serialize)]
struct WholeResponse {
    version: &'static str,
    status: u16,
    reason: String,
    headers: Vec<[String; 2]>,
    body: WholeBody,
    trailers: Vec<[String; 2]>,
}

/// `text` or `base64`, neither when the bytes cannot be had.
#[derive(Debug, Default, Serialize)]
struct WholeBody {
    /// Length on the wire.
    bytes: u64,
    /// The content coding that was undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    decoded: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Why the bytes are not here, or not decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Microseconds since the anchor; spans as start and end.
#[derive(Debug, Serialize)]
struct WholeTiming {
    started_us: u64,
    request_done_us: Option<u64>,
    connect_us: Option<[u64; 2]>,
    tls_us: Option<[u64; 2]>,
    upstream_sent_us: Option<u64>,
    upstream_first_us: Option<u64>,
    upstream_done_us: Option<u64>,
    client_first_us: Option<u64>,
    finished_us: u64,
}

#[derive(Debug, Serialize)]
struct WholeTransport {
    client: String,
    client_connection: u64,
    upstream_connection: Option<u64>,
    stream: Option<u32>,
    tls: Option<String>,
    alpn: Option<String>,
    sni: Option<String>,
}

impl<'a> Whole<'a> {
    pub(super) fn of(reader: &'a Reader, exchange: &Exchange, messages: Vec<Message>) -> Self {
        let request = &exchange.request;
        let transport = &exchange.transport;
        Self {
            // Here they stand in full under the same name.
            line: Line { interim: None, ..Line::of(exchange, None) },
            request: WholeRequest {
                method: request.method.clone(),
                target: lossy(&request.target),
                version: super::version(request.version),
                headers: pairs(&request.headers),
                body: WholeBody::of(reader, &request.headers, &request.body),
                trailers: pairs(&request.trailers),
            },
            interim: exchange.interim.iter().map(|r| WholeResponse::of(reader, r)).collect(),
            response: exchange.response.as_ref().map(|r| WholeResponse::of(reader, r)),
            timing: WholeTiming::of(&exchange.timing),
            transport: WholeTransport {
                client: transport.client.to_string(),
                client_connection: transport.client_connection,
                upstream_connection: transport.upstream_connection,
                stream: transport.stream,
                tls: transport.tls.clone(),
                alpn: transport.alpn.clone(),
                sni: transport.sni.clone(),
            },
            messages: messages::List { reader, messages },
        }
    }
}

impl WholeResponse {
    fn of(reader: &Reader, response: &Response) -> Self {
        Self {
            version: super::version(response.version),
            status: response.status,
            reason: lossy(&response.reason),
            headers: pairs(&response.headers),
            body: WholeBody::of(reader, &response.headers, &response.body),
            trailers: pairs(&response.trailers),
        }
    }
}

impl WholeBody {
    fn of(reader: &Reader, headers: &Headers, body: &Body) -> Self {
        let plain = Self { bytes: body.len, ..Self::default() };
        match look_into(reader, headers, body) {
            Content::Missing(problem) => Self { problem: Some(problem), ..plain },
            Content::Read { bytes, decoded, problem } => {
                let plain = Self { decoded, problem, ..plain };
                match String::from_utf8(bytes) {
                    Ok(text) => Self { text: Some(text), ..plain },
                    Err(other) => {
                        let base64 = base64::engine::general_purpose::STANDARD.encode(other.as_bytes());
                        Self { base64: Some(base64), ..plain }
                    }
                }
            }
        }
    }
}

impl WholeTiming {
    fn of(timing: &Timing) -> Self {
        let instant = |at: Option<Nanos>| at.map(Nanos::as_micros);
        let span = |span: Option<Span>| span.map(|s| [s.start.as_micros(), s.end.as_micros()]);
        Self {
            started_us: timing.started.as_micros(),
            request_done_us: instant(timing.request_done),
            connect_us: span(timing.connect),
            tls_us: span(timing.tls),
            upstream_sent_us: instant(timing.upstream_sent),
            upstream_first_us: instant(timing.upstream_first),
            upstream_done_us: instant(timing.upstream_done),
            client_first_us: instant(timing.client_first),
            finished_us: timing.finished.as_micros(),
        }
    }
}

fn micros(from: Nanos, to: Nanos) -> u64 {
    Nanos::from_duration(to.since(from)).as_micros()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pairs(headers: &Headers) -> Vec<[String; 2]> {
    headers.0.iter().map(|(name, value)| [lossy(name), lossy(value)]).collect()
}
