//! What all layers of one connection share: its ends, what it was secured with, whom it was opened to.

use std::net::SocketAddr;

use crate::model::{Nanos, Origin, Remark, Scheme, Span, Timing, Transport};
use crate::observe::streams::{Opening, UnixNanos};

use super::relayed::Relayed;

/// One connection as its exchanges see it.
#[derive(Debug)]
pub(super) struct Path {
    /// Its number in the capture, for both ends; relayed, that of the client's end.
    pub(super) number: u64,
    /// The number of the server's end.
    upstream: u64,
    /// Who asks.
    pub(super) client: SocketAddr,
    /// Who answers.
    pub(super) server: SocketAddr,
    /// The capture began in the middle of it.
    pub(super) midway: bool,
    /// Set inside TLS.
    pub(super) secured: Option<Box<Secured>>,
    /// Whom a proxy was asked to connect to.
    pub(super) asked: Option<Box<Named>>,
    /// What only the first exchange tells.
    first: Option<Box<First>>,
    /// Payload so far.
    pub(super) bytes: u64,
    /// How many connections are around it.
    pub(super) depth: u8,
}

/// What TLS agreed.
#[derive(Clone, Debug, Default)]
pub struct Secured {
    /// Such as `TLSv1.3`.
    pub version: Option<String>,
    /// Name the client asked for.
    pub sni: Option<String>,
    /// Protocol agreed.
    pub alpn: Option<String>,
}

/// A server as a proxy's client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Named {
    /// From the target of a CONNECT.
    pub(super) fn of_authority(authority: &str) -> Option<Self> {
        let origin = Origin::from_authority(Scheme::Https, authority).ok()?;
        Some(Self { host: origin.host, port: origin.port })
    }
}

/// What the first exchange of a connection tells for all.
#[derive(Debug, Default)]
struct First {
    connect: Option<Span>,
    tls: Option<Span>,
    tap: Option<Remark>,
}

impl Path {
    /// As it is opened. `instant` turns times of packets into times of the capture.
    pub(super) fn new(number: u64, opening: &Opening, instant: impl Fn(UnixNanos) -> Nanos) -> Self {
        let span = |from: Option<UnixNanos>, to: Option<UnixNanos>| Some((from?, to?)).filter(|(from, to)| from <= to);
        let connect = span(opening.syn, opening.ack).map(|(from, to)| Span { start: instant(from), end: instant(to) });
        let trip = |from, to| span(from, to).map(|(from, to)| to - from);
        let (client_ns, server_ns) = (trip(opening.syn_ack, opening.ack), trip(opening.syn, opening.syn_ack));
        let tap = (client_ns.is_some() || server_ns.is_some()).then_some(Remark::Tap { client_ns, server_ns });
        Self {
            number,
            upstream: number,
            client: opening.client,
            server: opening.server,
            midway: opening.midway,
            secured: None,
            asked: None,
            first: (connect.is_some() || tap.is_some()).then(|| Box::new(First { connect, tls: None, tap })),
            bytes: 0,
            depth: 0,
        }
    }

    /// Of a connection that is relayed, as whoever relays it knows it.
    pub(super) fn relayed(relayed: Relayed) -> Self {
        let Relayed { client, connection, upstream, host, port, secured, connect, tls } = relayed;
        Self {
            number: connection,
            upstream,
            client,
            server: (std::net::Ipv4Addr::UNSPECIFIED, port).into(),
            midway: false,
            secured: secured.map(Box::new),
            asked: Some(Box::new(Named { host, port })),
            first: connect.map(|connect| Box::new(First { connect: Some(connect), tls, tap: None })),
            bytes: 0,
            depth: 0,
        }
    }

    /// A connection inside this one, opened to `asked`.
    pub(super) fn inner(&self, asked: Option<Named>) -> Self {
        Self {
            midway: false,
            secured: None,
            asked: asked.map(Box::new),
            first: None,
            bytes: 0,
            depth: self.depth.saturating_add(1),
            ..*self
        }
    }

    /// The ends were taken for each other.
    pub(super) fn turn_round(&mut self) {
        std::mem::swap(&mut self.client, &mut self.server);
    }

    /// TLS was agreed in this time.
    pub(super) fn handshake(&mut self, span: Span) {
        self.first.get_or_insert_default().tls = Some(span);
    }

    /// Puts what only the first exchange tells into it.
    pub(super) fn introduce(&mut self, timing: &mut Timing) -> Option<Remark> {
        let first = *self.first.take()?;
        timing.connect = first.connect;
        timing.tls = first.tls;
        first.tap
    }

    /// `https` inside TLS.
    pub(super) fn scheme(&self) -> Scheme {
        if self.secured.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// Transport of an exchange.
    pub(super) fn transport(&self, stream: Option<u32>) -> Transport {
        let secured = self.secured.as_deref();
        Transport {
            client: self.client,
            client_connection: self.number,
            upstream_connection: Some(self.upstream),
            stream,
            tls: secured.and_then(|s| s.version.clone()),
            alpn: secured.and_then(|s| s.alpn.clone()),
            sni: secured.and_then(|s| s.sni.clone()),
        }
    }

    /// Where the server is as far as the connection tells: the name a proxy was asked for, the name TLS asked for, the
    /// address.
    pub(super) fn origin(&self) -> Origin {
        let scheme = self.scheme();
        if let Some(asked) = &self.asked {
            return Origin::new(scheme, &asked.host, asked.port);
        }
        let port = self.server.port();
        let sni = self.secured.as_deref().and_then(|secured| secured.sni.as_deref());
        sni.and_then(|name| Origin::from_authority(scheme, name).ok())
            .map(|named| Origin { port, ..named })
            .unwrap_or_else(|| Origin::new(scheme, &host_of(self.server), port))
    }
}

/// An address as the host of a URL.
pub(super) fn host_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}
