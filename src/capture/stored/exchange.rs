//! Records of exchanges.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::model::{
    CHUNK_BYTES, Exchange, ExchangeId, Incomplete, Nanos, Origin, Request, Response, Scheme, SessionId, Span, Timing,
    Transport, Version,
};

use super::{
    CaptureError, ExchangeMore, Fields, StoredBody, StoredExchange, StoredRemark, StoredRequest, StoredResponse,
    StoredTiming, StoredTransport, Text, borrowed, decode_with, encode,
};

/// Makes `record` an exchange's.
pub(in crate::capture) fn encode_exchange(exchange: &Exchange, record: &mut Vec<u8>) -> Result<(), CaptureError> {
    let answers = exchange.interim.iter().chain(&exchange.response).map(|response| &response.body);
    if answers.chain([&exchange.request.body]).any(|body| body.len > (body.chunks.len() * CHUNK_BYTES) as u64) {
        return Err(CaptureError::Record);
    }
    let stored = StoredExchange {
        id: exchange.id.0,
        session: exchange.session.0,
        transaction: borrowed(&exchange.transaction),
        request: StoredRequest::of(&exchange.request),
        interim: exchange.interim.iter().map(StoredResponse::of).collect(),
        response: exchange.response.as_ref().map(StoredResponse::of),
        timing: StoredTiming::of(&exchange.timing),
        transport: StoredTransport::of(&exchange.transport),
        incomplete: exchange.incomplete.as_ref().map(store_incomplete),
    };
    encode((stored, ExchangeMore { remarks: exchange.remarks.iter().map(StoredRemark::of).collect() }), record)
}

/// Reads an exchange's record.
pub(in crate::capture) fn decode_exchange(record: &[u8]) -> Result<Exchange, CaptureError> {
    let (stored, more) = decode_with::<StoredExchange<'_>, ExchangeMore<'_>>(record)?;
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
        remarks: more.remarks.into_iter().map(StoredRemark::model).collect(),
    })
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
            headers: Fields::Model(&request.headers),
            body: StoredBody::of(&request.body),
            trailers: Fields::Model(&request.trailers),
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
            headers: self.headers.model(),
            body: self.body.model()?,
            trailers: self.trailers.model(),
        })
    }
}

impl<'a> StoredResponse<'a> {
    fn of(response: &'a Response) -> Self {
        Self {
            version: store_version(response.version),
            status: response.status,
            reason: Cow::Borrowed(&response.reason),
            headers: Fields::Model(&response.headers),
            body: StoredBody::of(&response.body),
            trailers: Fields::Model(&response.trailers),
        }
    }

    fn model(self) -> Result<Response, CaptureError> {
        Ok(Response {
            version: load_version(self.version)?,
            status: self.status,
            reason: self.reason.into_owned(),
            headers: self.headers.model(),
            body: self.body.model()?,
            trailers: self.trailers.model(),
        })
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
            client: Cow::Owned(text_of(transport.client)),
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

/// As `Display` writes it, for IPv4 many times as fast: every exchange has one.
fn text_of(address: SocketAddr) -> String {
    let SocketAddr::V4(v4) = address else { return address.to_string() };
    let [a, b, c, d] = v4.ip().octets();
    let mut text = String::with_capacity("255.255.255.255:65535".len());
    for (before, number) in [("", a.into()), (".", b.into()), (".", c.into()), (".", d.into()), (":", v4.port())] {
        text.push_str(before);
        let first = [10_000, 1000, 100, 10].into_iter().position(|unit| number >= unit).unwrap_or(4);
        for unit in &[10_000, 1000, 100, 10, 1][first..] {
            text.push(char::from(b'0' + (number / unit % 10) as u8));
        }
    }
    text
}

fn store_version(version: Version) -> u8 {
    match version {
        Version::Http10 => 0,
        Version::Http11 => 1,
        Version::Http2 => 2,
        Version::Http3 => 3,
        Version::Http09 => 4,
    }
}

fn load_version(code: u8) -> Result<Version, CaptureError> {
    match code {
        0 => Ok(Version::Http10),
        1 => Ok(Version::Http11),
        2 => Ok(Version::Http2),
        3 => Ok(Version::Http3),
        4 => Ok(Version::Http09),
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
    }

    #[test]
    fn addresses_are_written_as_everywhere() {
        let mut ports: Vec<u16> = (0..1_100).chain([9_999, 10_000, 10_001, 60_000, 65_535]).collect();
        ports.extend((0..60_000).step_by(977));
        for port in ports {
            let octet = (port % 256) as u8;
            for address in [
                SocketAddr::from(([octet, 0, 255, 9], port)),
                SocketAddr::from(([10, octet, 100, octet], port)),
                SocketAddr::from(([0xfe80, 0, 0, 0, 0, 0, 0, 1], port)),
            ] {
                assert_eq!(text_of(address), address.to_string());
            }
        }
    }

    #[test]
    fn an_unknown_reason_is_kept_as_text() {
        assert!(load_incomplete(77, "x".into()).to_string().contains("77"));
    }
}
