//! The second pass: one flow after the other becomes an exchange. Main type: [`Import`].

use std::io::{Read, Seek};

use super::connection::{Carried, Numbers, carried};
use super::records::Records;
use super::request::{Refused, fields, request, version};
use super::socket::{Closed, Socket};
use super::survey::{Inside, Place, Survey};
use super::tnetstring::Value;
use super::{FlowError, Summary};
use crate::capture::CaptureError;
use crate::model::{Body, Incomplete, MessageKind, Nanos, Remark, Request, Response, Side, Timing};
use crate::observe::recorder::NewMessage;
use crate::observe::{Draft, Recorder};

/// The import of one file.
#[derive(Debug)]
pub(super) struct Import<'a, R> {
    records: Records<R>,
    recorder: &'a mut Recorder,
    /// Of clients and of servers.
    numbers: [Numbers; 2],
    summary: Summary,
    inside: Vec<u8>,
    beside: Vec<u8>,
}

impl<'a, R: Read + Seek> Import<'a, R> {
    /// Nothing is imported yet.
    pub(super) fn new(input: R, survey: &Survey, recorder: &'a mut Recorder) -> Result<Self, FlowError> {
        let summary = Summary {
            flows: survey.flows(),
            elsewhere: survey.elsewhere.clone(),
            newer: survey.newer,
            beyond: survey.beyond,
            damage: survey.damage.clone(),
            ..Summary::default()
        };
        let numbers = [Numbers::behind(survey.connections_before), Numbers::behind(survey.connections_before)];
        Ok(Self { records: Records::new(input)?, recorder, numbers, summary, inside: Vec::new(), beside: Vec::new() })
    }

    /// What was found.
    pub(super) fn summary(self) -> Summary {
        let connections = self.numbers.iter().map(Numbers::last).max().unwrap_or(0);
        Summary { connections, ..self.summary }
    }

    /// Imports a flow.
    pub(super) fn flow(&mut self, place: Place) -> Result<(), FlowError> {
        let (mut inside, mut beside) = (std::mem::take(&mut self.inside), std::mem::take(&mut self.beside));
        let records = &mut self.records;
        let mut read = |place: Inside, into: &mut Vec<u8>| records.read(place.offset, u64::from(place.length), into);
        let whole = read(place.inside, &mut inside)? && place.socket.map_or(Ok(true), |at| read(at, &mut beside))?;
        let other = place.socket.map(|_| Value::dictionary(&beside));
        let done = match whole {
            true => self.exchange(place, Value::dictionary(&inside), other),
            false => {
                self.summary.unreadable.add(place.inside.offset, "the file changed while it was read");
                Ok(())
            }
        };
        // A large flow is no reason to keep its room.
        inside.truncate(KEPT_BYTES);
        inside.shrink_to(KEPT_BYTES);
        (self.inside, self.beside) = (inside, beside);
        Ok(done?)
    }

    fn exchange(&mut self, place: Place, flow: Value<'_>, beside: Option<Value<'_>>) -> Result<(), CaptureError> {
        let asked = match request(flow) {
            Ok(asked) => asked,
            Err(Refused::Connect) => {
                *self.summary.elsewhere.entry("CONNECT".to_owned()).or_default() += 1;
                return Ok(());
            }
            Err(Refused::Flaw(why)) => {
                self.summary.unreadable.add(place.inside.offset, why);
                return Ok(());
            }
        };
        let answer = flow.get("response").map(|response| (response, answer(response)));
        let carried = carried(flow, &mut self.numbers, self.recorder);
        let seen = Seen { flow, socket: Socket::of(flow, beside), carried: &carried };
        let timing = seen.timing(self.recorder, place.start);
        let mut draft = self.recorder.begin(asked, timing, carried.transport.clone())?;
        self.body(&mut draft, Side::Request, flow.get("request"))?;
        draft.exchange.incomplete = seen.incomplete(matches!(answer, Some((_, Some(_)))), &draft.exchange.request);
        match answer {
            Some((response, Some(answer))) => {
                self.recorder.response(&mut draft, answer);
                self.body(&mut draft, Side::Response, Some(response))?;
            }
            Some((_, None)) => {
                let why = Incomplete::NotRecorded("the source holds no response with a status".to_owned());
                draft.exchange.incomplete = Some(why);
            }
            None => {}
        }
        self.summary.unanswered += u64::from(draft.exchange.response.is_none());
        remark(&mut draft, flow);
        if let Some(socket) = seen.socket {
            self.messages(&mut draft, socket)?;
        }
        self.summary.exchanges += 1;
        self.recorder.finish(draft)
    }

    /// The body of a message; mitmproxy does not keep those that it passes through.
    fn body(&mut self, draft: &mut Draft, side: Side, message: Option<Value<'_>>) -> Result<(), CaptureError> {
        let Some(message) = message else { return Ok(()) };
        if let Some(bytes) = message.any(&["content", "body"]).and_then(Value::bytes) {
            return self.recorder.body(draft, side, bytes);
        }
        let exchange = &mut draft.exchange;
        let (headers, expected) = match (side, &exchange.response) {
            (Side::Response, Some(response)) => (&response.headers, may_have_body(&exchange.request, response)),
            _ => (&exchange.request.headers, exchange.request.headers.first("transfer-encoding").is_some()),
        };
        let stated = headers.text("content-length").and_then(|text| text.trim().parse::<u64>().ok());
        if stated.map_or(expected, |bytes| bytes > 0 && (expected || side == Side::Request)) {
            exchange.remarks.push(Remark::BodyAbsent { side, bytes: stated.unwrap_or(0) });
            self.summary.absent_bodies[usize::from(side == Side::Response)] += 1;
        }
        Ok(())
    }

    fn messages(&mut self, draft: &mut Draft, socket: Socket<'_>) -> Result<(), CaptureError> {
        let mut clock = draft.exchange.timing.upstream_done.unwrap_or(draft.exchange.timing.started);
        let (mut dropped, mut injected) = (0_u64, 0_u64);
        for told in socket.messages() {
            clock = told.at.map_or(clock, |at| self.recorder.instant(at));
            (dropped, injected) = (dropped + u64::from(told.dropped), injected + u64::from(told.injected));
            self.message(draft, told.from, told.kind, clock, told.payload)?;
        }
        for (count, what) in [(dropped, "were kept from the other side"), (injected, "were made up by mitmproxy")] {
            if count > 0 {
                draft.exchange.remarks.push(Remark::Other(format!("{count} of the messages {what}")));
            }
        }
        clock = socket.end().map_or(clock, |at| self.recorder.instant(at)).max(clock);
        match socket.closed() {
            Closed::By(from, payload) => self.message(draft, from, MessageKind::Close, clock, &payload)?,
            Closed::Broken(side) => {
                let why = "the WebSocket ended without a close frame".to_owned();
                let why = if side == Side::Request { Incomplete::Client(why) } else { Incomplete::Upstream(why) };
                draft.exchange.incomplete.get_or_insert(why);
            }
            Closed::Open => {
                let why = "the source was written while the WebSocket was open".to_owned();
                draft.exchange.incomplete.get_or_insert(Incomplete::NotRecorded(why));
            }
        }
        let timing = &mut draft.exchange.timing;
        timing.finished = timing.finished.max(clock);
        Ok(())
    }

    fn message(
        &mut self,
        draft: &mut Draft,
        from: Side,
        kind: MessageKind,
        at: Nanos,
        payload: &[u8],
    ) -> Result<(), CaptureError> {
        self.summary.messages += 1;
        let message = NewMessage { from, kind, started: at, ended: at, frames: 1, payload, compressed: false };
        self.recorder.message(draft, message)
    }
}

/// Room that is kept from one flow to the next.
const KEPT_BYTES: usize = 1 << 20;

/// What is known of a flow besides its messages.
struct Seen<'a> {
    flow: Value<'a>,
    socket: Option<Socket<'a>>,
    carried: &'a Carried,
}

impl Seen<'_> {
    fn timing(&self, recorder: &Recorder, start: u64) -> Timing {
        let moment = |message: &str, key: &str| {
            self.flow.get(message).and_then(|message| message.get(key)?.moment()).map(|at| recorder.instant(at))
        };
        let started = recorder.instant(start);
        let request_done = moment("request", "timestamp_end").map(|at| at.max(started));
        let first = moment("response", "timestamp_start").map(|at| at.max(started));
        let done = moment("response", "timestamp_end").map(|at| at.max(first.unwrap_or(started)));
        let failed = moment("error", "timestamp");
        // A request whose body is not kept was passed on while it came, any other one when it was whole.
        let kept = self.flow.get("request").is_some_and(|request| request.any(&["content", "body"]).is_some());
        let whole = if kept { request_done } else { Some(started) };
        let sent = whole.map(|at| at.max(self.carried.ready.unwrap_or(at)));
        let sent = sent.filter(|sent| self.carried.connected && first.is_none_or(|first| first >= *sent));
        let last = [Some(started), request_done, first, done, failed.filter(|_| done.is_none())];
        Timing {
            started,
            request_done,
            connect: self.carried.connect,
            tls: self.carried.tls,
            upstream_sent: sent,
            upstream_first: first,
            upstream_done: done,
            client_first: None,
            finished: last.into_iter().flatten().max().unwrap_or(started),
        }
    }

    fn incomplete(&self, answered: bool, request: &Request) -> Option<Incomplete> {
        let message = |name: &str, key: &str| self.flow.get(name).and_then(|message| message.get(key));
        if let Some(why) = message("error", "msg").and_then(Value::bytes) {
            return Some(self.failure(String::from_utf8_lossy(why).into_owned(), answered));
        }
        if !answered {
            return Some(Incomplete::NotRecorded("the source holds no response".to_owned()));
        }
        if message("response", "status_code").and_then(Value::integer) == Some(101) && self.socket.is_none() {
            let protocol = request.headers.text("upgrade").unwrap_or("another protocol").to_owned();
            return Some(Incomplete::Upgraded(protocol));
        }
        match (message("response", "timestamp_start"), message("response", "timestamp_end")) {
            (None, _) => {
                let why = "the source does not say when the response came".to_owned();
                Some(Incomplete::NotRecorded(why))
            }
            (Some(_), None) => Some(Incomplete::NotRecorded("the source ends inside the response".to_owned())),
            (Some(_), Some(_)) => None,
        }
    }

    /// Who failed, by the words that mitmproxy uses and by what came about before.
    fn failure(&self, why: String, answered: bool) -> Incomplete {
        let lower = why.to_ascii_lowercase();
        let by_client = ["client disconnect", "by client", "client closed", "killed"];
        let request_end = self.flow.get("request").and_then(|request| request.get("timestamp_end"));
        if by_client.iter().any(|words| lower.contains(words)) || request_end.is_none() {
            Incomplete::Client(why)
        } else if !answered && !self.carried.connected {
            Incomplete::Connect(why)
        } else {
            Incomplete::Upstream(why)
        }
    }
}

/// The response of a flow without its body; none when it has no status.
fn answer(response: Value<'_>) -> Option<Response> {
    let status = response.any(&["status_code", "code"])?.integer()?;
    Some(Response {
        version: version(response),
        status: u16::try_from(status).ok().filter(|status| (100..1000).contains(status))?,
        reason: response.any(&["reason", "msg"]).and_then(Value::bytes).unwrap_or_default().to_vec(),
        headers: fields(response.get("headers")),
        body: Body::default(),
        trailers: fields(response.get("trailers")),
    })
}

/// Whether a response can have a body (RFC 9110 §6.4.1).
fn may_have_body(request: &Request, response: &Response) -> bool {
    request.method != "HEAD" && response.status >= 200 && !matches!(response.status, 204 | 205 | 304)
}

/// What mitmproxy itself did.
fn remark(draft: &mut Draft, flow: Value<'_>) {
    let flag = |name: &str| flow.get(name).is_some_and(|message| message.get("is_replay").is_some_and(Value::is_true));
    let replayed = flow.get("is_replay").and_then(Value::text);
    if replayed == Some("request") || flag("request") {
        draft.exchange.remarks.push(Remark::Other("the request was sent by mitmproxy, not by a client".to_owned()));
    }
    if replayed == Some("response") || flag("response") {
        draft.exchange.remarks.push(Remark::Other("the response was played back by mitmproxy".to_owned()));
    }
}
