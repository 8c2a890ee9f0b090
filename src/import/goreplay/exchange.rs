//! The second pass: one request after the other becomes an exchange, with its response. Main type: [`Import`].

use std::io::{self, Read, Seek, SeekFrom};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::message::{Part, Parts};
use super::survey::{Answer, Message, Place, Survey};
use super::{GoReplayError, Summary};
use crate::capture::CaptureError;
use crate::model::{
    Body, Headers, Incomplete, Nanos, Origin, Remark, Request, Response, Scheme, Side, Timing, Transport,
};
use crate::observe::{Draft, Recorder};
use crate::wire::http1::{Framing, Http1Error, RequestHead, ResponseHead};

/// GoReplay does not keep who asked.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Room that is kept from one payload to the next.
const KEPT_BYTES: usize = 1 << 20;

/// The import of one file.
#[derive(Debug)]
pub(super) struct Import<'a, R> {
    input: R,
    recorder: &'a mut Recorder,
    summary: Summary,
    bytes: Vec<u8>,
}

impl<'a, R: Read + Seek> Import<'a, R> {
    /// Nothing is imported yet.
    pub(super) fn new(input: R, survey: &Survey, recorder: &'a mut Recorder) -> Self {
        let summary = Summary {
            requests: survey.requests(),
            unasked: survey.unasked,
            undated: survey.undated,
            beyond: survey.beyond,
            connections: survey.connections_before,
            damage: survey.damage.clone(),
            ..Summary::default()
        };
        Self { input, recorder, summary, bytes: Vec::new() }
    }

    /// What was found.
    pub(super) fn summary(self) -> Summary {
        self.summary
    }

    /// Imports a request and its response.
    pub(super) fn exchange(&mut self, place: Place) -> Result<(), GoReplayError> {
        let mut bytes = std::mem::take(&mut self.bytes);
        self.load(place.request, &mut bytes)?;
        if let Some(mut draft) = self.request(place, &bytes)? {
            match place.response {
                Some(answer) => {
                    self.load(answer.message, &mut bytes)?;
                    self.response(&mut draft, answer, place.start, &bytes)?;
                }
                None => {
                    let why = Incomplete::NotRecorded("the source holds no response".to_owned());
                    draft.exchange.incomplete.get_or_insert(why);
                }
            }
            self.summary.exchanges += 1;
            self.summary.unanswered += u64::from(draft.exchange.response.is_none());
            let connection = draft.exchange.transport.client_connection;
            self.recorder.finish(draft)?;
            self.recorder.closed(connection);
        }
        bytes.clear();
        bytes.shrink_to(KEPT_BYTES);
        self.bytes = bytes;
        Ok(())
    }

    fn load(&mut self, message: Message, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        self.input.seek(SeekFrom::Start(message.offset))?;
        self.input.by_ref().take(u64::from(message.length)).read_to_end(into)?;
        Ok(())
    }

    fn request(&mut self, place: Place, bytes: &[u8]) -> Result<Option<Draft>, CaptureError> {
        let mut parts = Parts::of_request(bytes);
        let (head, framing) = match parts.next() {
            Ok(Some(Part::Request(head, framing))) => (head, framing),
            Ok(_) => {
                self.summary.unreadable.add(place.request.offset, "there is no request in the payload");
                return Ok(None);
            }
            Err(error) => {
                self.summary.unreadable.add(place.request.offset, &error.to_string());
                return Ok(None);
            }
        };
        if head.method.eq_ignore_ascii_case("CONNECT") {
            self.summary.tunnels += 1;
            return Ok(None);
        }
        // What GoReplay says of connections is nothing: each request has one to itself, so that none joins two people.
        self.summary.connections += 1;
        let connection = self.summary.connections;
        let started = self.recorder.instant(place.start);
        let request_done = started.0.saturating_add(place.request.took.unwrap_or(0));
        let timing = Timing {
            started,
            request_done: Some(Nanos(request_done)),
            upstream_sent: Some(started),
            finished: Nanos(request_done),
            ..Timing::default()
        };
        let transport = Transport {
            client: NOBODY,
            client_connection: connection,
            upstream_connection: Some(connection),
            stream: None,
            tls: None,
            alpn: None,
            sni: None,
        };
        let (request, named) = request(head);
        let mut draft = self.recorder.begin(request, timing, transport)?;
        if !named {
            draft.exchange.remarks.push(Remark::Other("the request names no host".to_owned()));
        }
        if let Some(trailers) = self.body(&mut draft, Side::Request, framing, &mut parts)? {
            draft.exchange.request.trailers = trailers;
        }
        Ok(Some(draft))
    }

    fn response(&mut self, draft: &mut Draft, answer: Answer, start: u64, bytes: &[u8]) -> Result<(), CaptureError> {
        let mut parts = Parts::of_response(bytes, &draft.exchange.request.method);
        loop {
            let why = match parts.next() {
                Ok(Some(Part::Response(head, _))) if head.status < 200 && head.status != 101 => {
                    draft.exchange.interim.push(response(head));
                    continue;
                }
                Ok(Some(Part::Response(head, framing))) => {
                    self.answered(draft, answer, start, head);
                    if framing == Framing::Tunnel {
                        let protocol = draft.exchange.request.headers.text("upgrade").unwrap_or("another protocol");
                        draft.exchange.incomplete = Some(Incomplete::Upgraded(protocol.to_owned()));
                        return Ok(());
                    }
                    let trailers = self.body(draft, Side::Response, framing, &mut parts)?;
                    if let (Some(response), Some(trailers)) = (&mut draft.exchange.response, trailers) {
                        response.trailers = trailers;
                    }
                    return Ok(());
                }
                Ok(_) => "there is no response in its payload".to_owned(),
                Err(error) => format!("the response cannot be read: {error}"),
            };
            self.summary.unreadable.add(answer.message.offset, &why);
            draft.exchange.incomplete.get_or_insert(Incomplete::NotRecorded(why));
            return Ok(());
        }
    }

    /// The head of the final response to a request that began at `start` is known.
    fn answered(&mut self, draft: &mut Draft, answer: Answer, start: u64, head: ResponseHead) {
        let timing = &mut draft.exchange.timing;
        let at = answer.at.filter(|at| *at >= start).map(|at| self.recorder.instant(at));
        match came(timing.started, answer, at) {
            Some((first, done)) => {
                timing.upstream_first = Some(first);
                timing.client_first = Some(first);
                timing.upstream_done = Some(done);
                timing.finished = timing.finished.max(done);
            }
            None => {
                let why = Incomplete::NotRecorded("the source does not say when the response came".to_owned());
                draft.exchange.incomplete.get_or_insert(why);
            }
        }
        self.recorder.response(draft, response(head));
        if answer.replayed {
            self.summary.replayed += 1;
            let words = "the response is what GoReplay got when it sent the request again";
            draft.exchange.remarks.push(Remark::Other(words.to_owned()));
        }
    }

    /// The body behind a head, as far as it is there; its trailers when it is whole.
    fn body(
        &mut self,
        draft: &mut Draft,
        side: Side,
        framing: Framing,
        parts: &mut Parts<'_>,
    ) -> Result<Option<Headers>, CaptureError> {
        loop {
            let behind = parts.rest();
            match parts.next() {
                Ok(Some(Part::Body(bytes))) => self.recorder.body(draft, side, bytes)?,
                Ok(Some(Part::End(trailers))) => {
                    let extra = parts.rest().trim_ascii().len();
                    if extra > 0 {
                        let words = format!("{extra} bytes behind the {} were left out", name(side));
                        draft.exchange.remarks.push(Remark::Other(words));
                    }
                    return Ok(Some(trailers));
                }
                Ok(_) => return Ok(None),
                Err(Http1Error::UnexpectedEnd) if framing != Framing::Chunked || may_be_chunk(behind) => {
                    let whole = if let Framing::Length(bytes) = framing { bytes } else { 0 };
                    self.recorder.gap(draft, side, whole.saturating_sub(draft.body_bytes(side)));
                    return Ok(None);
                }
                Err(error) => {
                    // Some programs write a body without its chunks beside a head that promises them.
                    self.recorder.body(draft, side, behind)?;
                    let words = format!("the {} body was taken as it stands: {error}", name(side));
                    draft.exchange.remarks.push(Remark::Other(words));
                    return Ok(None);
                }
            }
        }
    }
}

/// When the response came: first and last byte. Its moment is that of its first byte and the duration is that of the response,
/// but in older files the moment is that of the last byte and the duration the whole round trip. Replayed ones came at
/// another time: of them only the round trip counts.
fn came(started: Nanos, answer: Answer, at: Option<Nanos>) -> Option<(Nanos, Nanos)> {
    let took = answer.message.took;
    let after = |from: Nanos, by: u64| Nanos(from.0.saturating_add(by));
    match at.filter(|_| !answer.replayed) {
        Some(at) if took.is_some_and(|took| took > 0 && at.0.saturating_sub(took) <= started.0) => Some((at, at)),
        Some(at) => Some((at, after(at, took.unwrap_or(0)))),
        None => took.map(|took| (after(started, took), after(started, took))),
    }
}

/// The request of a head, and whether it names a host.
fn request(head: RequestHead) -> (Request, bool) {
    let (named, target) = match absolute(&head.target) {
        Some((origin, target)) => (Some(origin), target),
        None => (None, head.target),
    };
    let named = named.or_else(|| Origin::from_authority(Scheme::Http, head.headers.text("host")?.trim()).ok());
    let is_named = named.is_some();
    let request = Request {
        origin: named.unwrap_or_else(|| Origin::new(Scheme::Http, "localhost", 80)),
        method: head.method,
        target,
        version: head.version,
        headers: head.headers,
        body: Body::default(),
        trailers: Headers::default(),
    };
    (request, is_named)
}

fn response(head: ResponseHead) -> Response {
    Response {
        version: head.version,
        status: head.status,
        reason: head.reason,
        headers: head.headers,
        body: Body::default(),
        trailers: Headers::default(),
    }
}

/// Origin and target of an absolute URL (RFC 9112 §3.2.2).
fn absolute(target: &[u8]) -> Option<(Origin, Vec<u8>)> {
    let starts = [(&b"http://"[..], Scheme::Http), (b"https://", Scheme::Https)];
    let is_start = |start: &[u8]| target.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    let (start, scheme) = starts.into_iter().find(|(start, _)| is_start(start))?;
    let rest = &target[start.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = std::str::from_utf8(&rest[..end]).ok()?;
    let origin = Origin::from_authority(scheme, authority.rsplit('@').next().unwrap_or(authority)).ok()?;
    let target = if rest.get(end) == Some(&b'/') { rest[end..].to_vec() } else { [b"/", &rest[end..]].concat() };
    Some((origin, target))
}

/// Whether a chunk, or the end of one, may start so.
fn may_be_chunk(start: &[u8]) -> bool {
    start.first().is_none_or(|&byte| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace())
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Response => "response",
    }
}
