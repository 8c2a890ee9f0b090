//! Records as they lie in the file, and the way between them and `model`. The only user of bincode. A field is never
//! changed or removed; new ones go to the end, with a new minor version. Layout: FORMAT.md.

use std::borrow::Cow;

use bincode::{BorrowDecode, Encode};

use crate::model::{
    Body, CHUNK_BYTES, ChunkId, Exchange, ExchangeId, Headers, Incomplete, Nanos, Origin, Request, Response, Scheme,
    SessionId, SessionInfo, Span, Timing, Transport, Version,
};

use super::CaptureError;
use super::index::{ExchangeEntry, Segment};

/// Longest record that is written; a record that long still decodes within `DECODE_LIMIT_BYTES`.
pub(super) const MAX_RECORD_BYTES: usize = 8 << 20;

/// What decoding one record may allocate. Records grow at most twentyfold in memory.
const DECODE_LIMIT_BYTES: usize = 256 << 20;

const CONFIG: bincode::config::Configuration = bincode::config::standard();

type Bytes<'a> = Cow<'a, [u8]>;
type Text<'a> = Cow<'a, str>;
type Fields<'a> = Vec<(Bytes<'a>, Bytes<'a>)>;

#[derive(Encode, BorrowDecode)]
struct StoredSession<'a> {
    id: u32,
    client: Text<'a>,
    user_agent: Option<Text<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct StoredExchange<'a> {
    id: u64,
    session: u32,
    transaction: Option<Text<'a>>,
    request: StoredRequest<'a>,
    interim: Vec<StoredResponse<'a>>,
    response: Option<StoredResponse<'a>>,
    timing: StoredTiming,
    transport: StoredTransport<'a>,
    incomplete: Option<(u8, Text<'a>)>,
}

#[derive(Encode, BorrowDecode)]
struct StoredRequest<'a> {
    scheme: u8,
    host: Text<'a>,
    port: u16,
    method: Text<'a>,
    target: Bytes<'a>,
    version: u8,
    headers: Fields<'a>,
    body: StoredBody,
    trailers: Fields<'a>,
}

#[derive(Encode, BorrowDecode)]
struct StoredResponse<'a> {
    version: u8,
    status: u16,
    reason: Bytes<'a>,
    headers: Fields<'a>,
    body: StoredBody,
    trailers: Fields<'a>,
}

#[derive(Encode, BorrowDecode)]
struct StoredBody {
    len: u64,
    chunks: Vec<[u8; 16]>,
}

#[derive(Encode, BorrowDecode)]
struct StoredTiming {
    started: u64,
    request_done: Option<u64>,
    connect: Option<(u64, u64)>,
    tls: Option<(u64, u64)>,
    upstream_sent: Option<u64>,
    upstream_first: Option<u64>,
    upstream_done: Option<u64>,
    client_first: Option<u64>,
    finished: u64,
}

#[derive(Encode, BorrowDecode)]
struct StoredTransport<'a> {
    client: Text<'a>,
    client_connection: u64,
    upstream_connection: Option<u64>,
    stream: Option<u32>,
    tls: Option<Text<'a>>,
    alpn: Option<Text<'a>>,
    sni: Option<Text<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct StoredSegment<'a> {
    previous: u64,
    chunk_frames: Vec<(u64, Vec<[u8; 16]>)>,
    exchange_frames: Vec<(u64, Vec<StoredEntry>)>,
    /// Whole records, so that a session can gain fields.
    sessions: Vec<Bytes<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct StoredEntry {
    id: u64,
    session: u32,
    started: u64,
    finished: u64,
}

/// A session's record.
pub(super) fn encode_session(info: &SessionInfo) -> Result<Vec<u8>, CaptureError> {
    encode(StoredSession::of(info))
}

/// Reads a session's record.
pub(super) fn decode_session(record: &[u8]) -> Result<SessionInfo, CaptureError> {
    Ok(decode::<StoredSession<'_>>(record)?.info())
}

/// An exchange's record.
pub(super) fn encode_exchange(exchange: &Exchange) -> Result<Vec<u8>, CaptureError> {
    let answers = exchange.interim.iter().chain(&exchange.response).map(|response| &response.body);
    if answers.chain([&exchange.request.body]).any(|body| body.len > (body.chunks.len() * CHUNK_BYTES) as u64) {
        return Err(CaptureError::Record);
    }
    encode(StoredExchange {
        id: exchange.id.0,
        session: exchange.session.0,
        transaction: borrowed(&exchange.transaction),
        request: StoredRequest::of(&exchange.request),
        interim: exchange.interim.iter().map(StoredResponse::of).collect(),
        response: exchange.response.as_ref().map(StoredResponse::of),
        timing: StoredTiming::of(&exchange.timing),
        transport: StoredTransport::of(&exchange.transport),
        incomplete: exchange.incomplete.as_ref().map(store_incomplete),
    })
}

/// Reads an exchange's record.
pub(super) fn decode_exchange(record: &[u8]) -> Result<Exchange, CaptureError> {
    let stored = decode::<StoredExchange<'_>>(record)?;
    Ok(Exchange {
        id: ExchangeId(stored.id),
        session: SessionId(stored.session),
        transaction: stored.transaction.map(Cow::into_owned),
        request: stored.request.model()?,
        interim: stored.interim.into_iter().map(StoredResponse::model).collect::<Result<_, _>>()?,
        response: stored.response.map(StoredResponse::model).transpose()?,
        timing: stored.timing.model(),
        transport: stored.transport.model()?,
        incomplete: stored.incomplete.map(|(code, text)| load_incomplete(code, text.into_owned())),
    })
}

/// The record of an index segment.
pub(super) fn encode_segment(segment: &Segment) -> Result<Vec<u8>, CaptureError> {
    let entry = |e: &ExchangeEntry| StoredEntry {
        id: e.id.0,
        session: e.session.0,
        started: e.started.0,
        finished: e.finished.0,
    };
    let ids = |ids: &[ChunkId]| ids.iter().map(|id| id.0).collect();
    encode(StoredSegment {
        previous: segment.previous,
        chunk_frames: segment.chunk_frames.iter().map(|(at, held)| (*at, ids(held))).collect(),
        exchange_frames: segment
            .exchange_frames
            .iter()
            .map(|(at, held)| (*at, held.iter().map(entry).collect()))
            .collect(),
        sessions: segment.sessions.iter().map(|info| encode_session(info).map(Cow::Owned)).collect::<Result<_, _>>()?,
    })
}

/// Reads the record of an index segment.
pub(super) fn decode_segment(record: &[u8]) -> Result<Segment, CaptureError> {
    let stored = decode::<StoredSegment<'_>>(record)?;
    let entry = |e: StoredEntry| ExchangeEntry {
        id: ExchangeId(e.id),
        session: SessionId(e.session),
        started: Nanos(e.started),
        finished: Nanos(e.finished),
    };
    let ids = |ids: Vec<[u8; 16]>| ids.into_iter().map(ChunkId).collect();
    Ok(Segment {
        previous: stored.previous,
        chunk_frames: stored.chunk_frames.into_iter().map(|(at, held)| (at, ids(held))).collect(),
        exchange_frames: stored
            .exchange_frames
            .into_iter()
            .map(|(at, held)| (at, held.into_iter().map(entry).collect()))
            .collect(),
        sessions: stored.sessions.iter().map(|record| decode_session(record)).collect::<Result<_, _>>()?,
    })
}

fn encode(record: impl Encode) -> Result<Vec<u8>, CaptureError> {
    let bytes = bincode::encode_to_vec(record, CONFIG).map_err(|_| CaptureError::Record)?;
    if bytes.len() > MAX_RECORD_BYTES { Err(CaptureError::TooLarge { bytes: bytes.len() as u64 }) } else { Ok(bytes) }
}

/// Bytes behind the known fields are fields of a newer minor version.
fn decode<'a, T: BorrowDecode<'a, ()>>(record: &'a [u8]) -> Result<T, CaptureError> {
    let config = CONFIG.with_limit::<DECODE_LIMIT_BYTES>();
    match bincode::borrow_decode_from_slice(record, config) {
        Ok((value, _newer_fields)) => Ok(value),
        Err(_) => Err(CaptureError::Record),
    }
}

impl<'a> StoredSession<'a> {
    fn of(info: &'a SessionInfo) -> Self {
        Self { id: info.id.0, client: Cow::Borrowed(&info.client), user_agent: borrowed(&info.user_agent) }
    }

    fn info(self) -> SessionInfo {
        SessionInfo {
            id: SessionId(self.id),
            client: self.client.into_owned(),
            user_agent: self.user_agent.map(Cow::into_owned),
        }
    }
}

impl<'a> StoredRequest<'a> {
    fn of(request: &'a Request) -> Self {
        Self {
            scheme: match request.origin.scheme {
                Scheme::Http => 0,
                Scheme::Https => 1,
            },
            host: Cow::Borrowed(&request.origin.host),
            port: request.origin.port,
            method: Cow::Borrowed(&request.method),
            target: Cow::Borrowed(&request.target),
            version: store_version(request.version),
            headers: store_headers(&request.headers),
            body: StoredBody::of(&request.body),
            trailers: store_headers(&request.trailers),
        }
    }

    fn model(self) -> Result<Request, CaptureError> {
        let scheme = match self.scheme {
            0 => Scheme::Http,
            1 => Scheme::Https,
            _ => return Err(CaptureError::Record),
        };
        Ok(Request {
            origin: Origin { scheme, host: self.host.into_owned(), port: self.port },
            method: self.method.into_owned(),
            target: self.target.into_owned(),
            version: load_version(self.version)?,
            headers: load_headers(self.headers),
            body: self.body.model()?,
            trailers: load_headers(self.trailers),
        })
    }
}

impl<'a> StoredResponse<'a> {
    fn of(response: &'a Response) -> Self {
        Self {
            version: store_version(response.version),
            status: response.status,
            reason: Cow::Borrowed(&response.reason),
            headers: store_headers(&response.headers),
            body: StoredBody::of(&response.body),
            trailers: store_headers(&response.trailers),
        }
    }

    fn model(self) -> Result<Response, CaptureError> {
        Ok(Response {
            version: load_version(self.version)?,
            status: self.status,
            reason: self.reason.into_owned(),
            headers: load_headers(self.headers),
            body: self.body.model()?,
            trailers: load_headers(self.trailers),
        })
    }
}

impl StoredBody {
    fn of(body: &Body) -> Self {
        Self { len: body.len, chunks: body.chunks.iter().map(|id| id.0).collect() }
    }

    /// A length that its chunks cannot have is refused, so that nobody sizes a buffer by it.
    fn model(self) -> Result<Body, CaptureError> {
        if self.len > (self.chunks.len() as u64).saturating_mul(CHUNK_BYTES as u64) {
            return Err(CaptureError::Record);
        }
        Ok(Body { chunks: self.chunks.into_iter().map(ChunkId).collect(), len: self.len })
    }
}

impl StoredTiming {
    fn of(timing: &Timing) -> Self {
        let instant = |at: Option<Nanos>| at.map(|n| n.0);
        let span = |span: Option<Span>| span.map(|s| (s.start.0, s.end.0));
        Self {
            started: timing.started.0,
            request_done: instant(timing.request_done),
            connect: span(timing.connect),
            tls: span(timing.tls),
            upstream_sent: instant(timing.upstream_sent),
            upstream_first: instant(timing.upstream_first),
            upstream_done: instant(timing.upstream_done),
            client_first: instant(timing.client_first),
            finished: timing.finished.0,
        }
    }

    fn model(self) -> Timing {
        let instant = |at: Option<u64>| at.map(Nanos);
        let span = |span: Option<(u64, u64)>| span.map(|(start, end)| Span { start: Nanos(start), end: Nanos(end) });
        Timing {
            started: Nanos(self.started),
            request_done: instant(self.request_done),
            connect: span(self.connect),
            tls: span(self.tls),
            upstream_sent: instant(self.upstream_sent),
            upstream_first: instant(self.upstream_first),
            upstream_done: instant(self.upstream_done),
            client_first: instant(self.client_first),
            finished: Nanos(self.finished),
        }
    }
}

impl<'a> StoredTransport<'a> {
    fn of(transport: &'a Transport) -> Self {
        Self {
            client: Cow::Owned(transport.client.to_string()),
            client_connection: transport.client_connection,
            upstream_connection: transport.upstream_connection,
            stream: transport.stream,
            tls: borrowed(&transport.tls),
            alpn: borrowed(&transport.alpn),
            sni: borrowed(&transport.sni),
        }
    }

    fn model(self) -> Result<Transport, CaptureError> {
        Ok(Transport {
            client: self.client.parse().map_err(|_| CaptureError::Record)?,
            client_connection: self.client_connection,
            upstream_connection: self.upstream_connection,
            stream: self.stream,
            tls: self.tls.map(Cow::into_owned),
            alpn: self.alpn.map(Cow::into_owned),
            sni: self.sni.map(Cow::into_owned),
        })
    }
}

fn borrowed(text: &Option<String>) -> Option<Text<'_>> {
    text.as_deref().map(Cow::Borrowed)
}

fn store_headers(headers: &Headers) -> Fields<'_> {
    headers.0.iter().map(|(name, value)| (Cow::Borrowed(name.as_slice()), Cow::Borrowed(value.as_slice()))).collect()
}

fn load_headers(fields: Fields<'_>) -> Headers {
    Headers(fields.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
}

fn store_version(version: Version) -> u8 {
    match version {
        Version::Http10 => 0,
        Version::Http11 => 1,
        Version::Http2 => 2,
    }
}

fn load_version(code: u8) -> Result<Version, CaptureError> {
    match code {
        0 => Ok(Version::Http10),
        1 => Ok(Version::Http11),
        2 => Ok(Version::Http2),
        _ => Err(CaptureError::Record),
    }
}

fn store_incomplete(why: &Incomplete) -> (u8, Text<'_>) {
    let (code, text) = match why {
        Incomplete::Client(text) => (0, text.as_str()),
        Incomplete::Connect(text) => (1, text.as_str()),
        Incomplete::Upstream(text) => (2, text.as_str()),
        Incomplete::Stopped => (3, ""),
        Incomplete::NotRecorded(text) => (4, text.as_str()),
        Incomplete::Upgraded(text) => (5, text.as_str()),
    };
    (code, Cow::Borrowed(text))
}

fn load_incomplete(code: u8, text: String) -> Incomplete {
    match code {
        0 => Incomplete::Client(text),
        1 => Incomplete::Connect(text),
        2 => Incomplete::Upstream(text),
        3 => Incomplete::Stopped,
        4 => Incomplete::NotRecorded(text),
        5 => Incomplete::Upgraded(text),
        newer => Incomplete::NotRecorded(format!("for a reason this version does not know ({newer}): {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_length_is_an_error_and_not_an_allocation() {
        // id 1, session 1, no transaction, scheme 0, then a host of 2^64-1 bytes
        let mut record = vec![1, 1, 0, 0, 253];
        record.extend_from_slice(&[255; 8]);
        assert!(matches!(decode_exchange(&record), Err(CaptureError::Record)));
        let mut segment = vec![0, 253];
        segment.extend_from_slice(&[255; 8]);
        assert!(matches!(decode_segment(&segment), Err(CaptureError::Record)));
    }

    #[test]
    fn fields_of_a_newer_minor_version_are_passed_over() {
        let info = SessionInfo { id: SessionId(3), client: "10.0.0.1".into(), user_agent: None };
        let mut record = encode_session(&info).unwrap();
        record.extend_from_slice(b"something newer");
        assert_eq!(decode_session(&record).unwrap(), info);
    }

    #[test]
    fn a_body_longer_than_its_chunks_can_be_is_refused() {
        for (len, chunks, fine) in [
            (0, 0, true),
            (1, 0, false),
            (0, 1, true),
            (65_536, 1, true),
            (65_537, 1, false),
            (65_537, 2, true),
            (u64::MAX, 2, false),
        ] {
            let body = StoredBody { len, chunks: vec![[0; 16]; chunks] };
            assert_eq!(body.model().is_ok(), fine, "{len} bytes in {chunks} chunks");
        }
    }

    #[test]
    fn an_unknown_reason_is_kept_as_text() {
        assert!(load_incomplete(77, "x".into()).to_string().contains("77"));
    }
}
