//! Traffic told by whoever relays it: exchanges piece by piece where the relay reads HTTP itself, else the bytes of a
//! connection whose protocol the relay knows.
//!
//! Main types: [`Relayed`] (a connection), [`Underway`] (an exchange).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::capture::{CaptureError, Summary};
use crate::model::{Exchange, Headers, Incomplete, Nanos, Request, Response, Side, Span, Timing, Transport};
use crate::observe::recorder::Finished;
use crate::observe::streams::{ConnectionId, Ending, Streams};
use crate::wire::redact::Tally;
use crate::wire::websocket;

use super::curator::Curator;
use super::desk::{Context, More};
use super::http2::Http2;
use super::open::Open;
use super::path::{Path, Secured};
use super::raw::Raw;
use super::talk::{Layer, Talk};
use super::websocket::WebSocket;
use super::{Connection, Conversations};

/// A connection that is relayed.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// Who asks.
    pub client: SocketAddr,
    /// Number of the client's connection in the capture.
    pub connection: u64,
    /// Number of the server's connection in the capture.
    pub upstream: u64,
    /// Whom the client wanted to reach.
    pub host: String,
    /// At which port.
    pub port: u16,
    /// What TLS agreed with the server; none in clear text.
    pub secured: Option<Secured>,
    /// How long opening the server's connection took; none when an earlier exchange tells.
    pub connect: Option<Span>,
    /// And its TLS.
    pub tls: Option<Span>,
}

/// What a connection speaks from its first byte on.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// HTTP/2, from the client's preface on.
    Http2,
    /// Something that is not looked into. It is recorded as a CONNECT to the server with what is said of it.
    Unknown(String),
}

/// An exchange that the relay reads itself.
#[derive(Debug)]
pub struct Underway(Box<Open>);

/// A capture that was closed.
#[derive(Debug)]
pub struct Closed {
    /// What it holds.
    pub file: Summary,
    /// Incomplete exchanges by reason.
    pub incomplete: BTreeMap<String, u64>,
    /// Exchanges that it did not take.
    pub unwritten: u64,
    /// What was redacted, when that was asked for.
    pub redacted: Option<Tally>,
    /// Whether it could be closed.
    pub result: Result<(), CaptureError>,
}

impl Underway {
    /// The exchange as known so far, less its bodies.
    pub fn exchange_mut(&mut self) -> &mut Exchange {
        &mut self.0.draft.exchange
    }

    /// A response before the final one.
    pub fn interim(&mut self, response: Response) {
        self.0.interim(response);
    }

    /// Something of it could not be recorded.
    pub fn damage(&mut self, reason: String) {
        self.0.draft.damage(reason);
    }
}

/// For who reads HTTP itself.
impl Conversations {
    /// Has a say from now on.
    pub fn curated_by(&mut self, curator: Box<dyn Curator>) {
        self.desk.curator = Some(curator);
    }

    /// Begins an exchange. None when the capture takes no more.
    pub fn begin(&mut self, request: Request, timing: Timing, transport: Transport) -> Option<Underway> {
        Open::told(&mut self.desk, request, timing, transport).map(Underway)
    }

    /// The next bytes of a body, seen at `at`.
    pub fn body(&mut self, exchange: &mut Underway, side: Side, at: Nanos, bytes: &[u8]) {
        exchange.0.body(&mut self.desk, side, at, bytes, More::Maybe);
    }

    /// So many bytes of a body are not told.
    pub fn missed(&mut self, exchange: &mut Underway, side: Side, bytes: u64) {
        exchange.0.gap(&mut self.desk, side, bytes);
    }

    /// The head of the final response.
    pub fn response(&mut self, exchange: &mut Underway, response: Response, first: Nanos) {
        exchange.0.response(&mut self.desk, response, first);
    }

    /// It goes on at `now`: when it does for long, it is in the file before its end.
    pub fn tell_so_far(&mut self, exchange: &mut Underway, now: Nanos) {
        exchange.0.tell_so_far(&mut self.desk, now);
    }

    /// It is over, with these times; the reason when it is not whole.
    pub fn finish_exchange(
        &mut self,
        exchange: Underway,
        timing: Timing,
        transport: Transport,
        incomplete: Option<Incomplete>,
    ) {
        let mut open = exchange.0;
        open.settle(timing, transport, incomplete);
        open.finish(&mut self.desk, timing.finished);
    }
}

/// For who passes bytes on.
impl Conversations {
    /// A connection begins.
    pub fn relay(&mut self, id: ConnectionId, relayed: Relayed, speaks: Speaks, at: Nanos) {
        let mut path = Path::relayed(relayed);
        let mut cx = Context { desk: &mut self.desk, keys: &self.keys, path: &mut path };
        let layer = match speaks {
            Speaks::Http2 => Layer::Http2(Box::new(Http2::new(false))),
            Speaks::Unknown(what) => match Open::tunnel(&mut cx, at, what) {
                Some(open) => Layer::Raw(Box::new(Raw::new(open))),
                None => Layer::Opaque("not HTTP"),
            },
        };
        self.insert_relayed(id, path, layer, at);
    }

    /// The connection of an exchange goes on as what its response, the last of HTTP/1 there, says.
    pub fn switch(
        &mut self,
        id: ConnectionId,
        relayed: Relayed,
        exchange: Underway,
        timing: Timing,
        transport: Transport,
    ) {
        let mut open = exchange.0;
        open.settle(timing, transport, None);
        let path = Path::relayed(relayed);
        let at = timing.finished;
        let protocol = |response: &Response| response.headers.text("upgrade").map(|name| name.trim().to_owned());
        let layer = match &open.draft.exchange.response {
            Some(response)
                if websocket::is_handshake(
                    &open.draft.exchange.request.headers,
                    response.status,
                    &response.headers,
                ) =>
            {
                let deflate = websocket::Deflate::agreed(&response.headers);
                Layer::WebSocket(Box::new(WebSocket::new(open, deflate)))
            }
            Some(response)
                if response.status == 101
                    && protocol(response).is_some_and(|name| name.eq_ignore_ascii_case("h2c")) =>
            {
                let interim = open.draft.exchange.response.take();
                interim.into_iter().for_each(|response| open.interim(response));
                Layer::Http2(Box::new(Http2::upgraded(open)))
            }
            response => {
                let to = response.as_ref().and_then(protocol).filter(|name| !name.is_empty());
                open.fail(Incomplete::Upgraded(to.unwrap_or_else(|| "CONNECT tunnel".to_owned())));
                Layer::Raw(Box::new(Raw::new(open)))
            }
        };
        self.insert_relayed(id, path, layer, at);
    }

    fn insert_relayed(&mut self, id: ConnectionId, path: Path, layer: Layer, at: Nanos) {
        let last = self.desk.recorder.moment(at);
        self.open.insert(id, Connection { path, talk: Talk::new(layer, 0), ended: [false; 2], last });
    }

    /// Ends a relayed connection whose ends are not known one by one.
    pub fn broken_off(&mut self, id: ConnectionId, at: Nanos, how: Ending) {
        let at = self.desk.recorder.moment(at);
        for side in [Side::Request, Side::Response] {
            self.ended(id, side, at, how);
        }
    }

    /// The same of all connections whose bytes are passed on.
    pub fn tell_all_so_far(&mut self, now: Nanos) {
        for connection in self.open.values_mut() {
            connection.talk.tell_so_far(&mut self.desk, now);
        }
    }

    /// A client connection is gone.
    pub fn client_closed(&mut self, connection: u64) {
        self.desk.recorder.closed(connection);
    }

    /// Puts everything so far into the file. What it does not take waits for the next time.
    pub fn flush(&mut self) {
        let flushed = self.desk.recorder.flush();
        self.desk.note(flushed);
    }

    /// Ends what is open as stopped, and closes the capture.
    pub fn close(mut self, at: Nanos) -> Closed {
        let mut left: Vec<ConnectionId> = self.open.keys().copied().collect();
        left.sort_unstable();
        for id in left {
            self.broken_off(id, at, Ending::Stopped);
        }
        let unwritten = self.desk.unwritten;
        let (Finished { file, incomplete, redacted }, result) = self.desk.recorder.close_anyway();
        Closed { file, incomplete, unwritten, redacted, result }
    }
}

impl Open {
    /// An exchange whose times and transport are told.
    fn told(desk: &mut super::desk::Desk, request: Request, timing: Timing, transport: Transport) -> Option<Box<Self>> {
        let inside = super::inside::Inside::of(Side::Request, &request.headers);
        desk.begin(request, timing, transport).map(|draft| Box::new(Self::new(draft, inside)))
    }

    /// A tunnel that was opened unseen.
    fn tunnel(cx: &mut Context<'_>, at: Nanos, what: String) -> Option<Box<Self>> {
        let origin = cx.path.origin();
        let request = Request {
            target: origin.authority().into_bytes(),
            origin,
            method: "CONNECT".to_owned(),
            version: crate::model::Version::Http11,
            headers: Headers::default(),
            body: Default::default(),
            trailers: Headers::default(),
        };
        let mut open = Self::begin(cx, request, at, None)?;
        open.fail(Incomplete::Upgraded(what));
        Some(open)
    }

    fn settle(&mut self, timing: Timing, transport: Transport, incomplete: Option<Incomplete>) {
        let exchange = &mut self.draft.exchange;
        exchange.timing = timing;
        exchange.transport = transport;
        exchange.incomplete = incomplete;
    }
}
