//! One request and its response, with everything that replay needs.

use std::net::SocketAddr;

use super::{Body, Nanos, Origin, SessionId, Span};

/// Number of an exchange in its capture, from 1, in the order the requests began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// Protocol version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/0.9: a request line without a version, an answer that is a body alone.
    Http09,
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
    /// HTTP/3
    Http3,
}

/// Who sent something: what belongs to the request, or what belongs to the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// From the client.
    Request,
    /// From the server.
    Response,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Request => Self::Response,
            Self::Response => Self::Request,
        }
    }
}

/// Header fields in wire order and case, duplicates kept, values without surrounding white space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// The first value of `name` (any case).
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v.as_slice())
    }

    /// The first value of `name` (any case) when it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.first(name).and_then(|v| std::str::from_utf8(v).ok())
    }

    /// All values of `name` (any case) in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v.as_slice())
    }

    /// Appends a field.
    pub fn push(&mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push((name.into(), value.into()));
    }
}

/// A request as the client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where it was sent to.
    pub origin: Origin,
    /// Method as on the wire.
    pub method: String,
    /// Origin-form target (path and query) as on the wire; a forward proxy's absolute form is cut to this.
    pub target: Vec<u8>,
    /// Version of the request line.
    pub version: Version,
    /// Fields in order and case.
    pub headers: Headers,
    /// Body less transfer coding.
    pub body: Body,
    /// Fields after a chunked body.
    pub trailers: Headers,
}

impl Request {
    /// Origin and target as one URL, for people; bytes that are not UTF-8 are replaced.
    pub fn url(&self) -> String {
        format!("{}{}", self.origin, String::from_utf8_lossy(&self.target))
    }
}

/// A response as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Version of the status line.
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    /// Reason phrase as on the wire.
    pub reason: Vec<u8>,
    /// Fields in order and case.
    pub headers: Headers,
    /// Body less transfer coding.
    pub body: Body,
    /// Fields after a chunked body.
    pub trailers: Headers,
}

/// The connections that carried an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Address of the client.
    pub client: SocketAddr,
    /// Number of the client's connection in the capture, from 1.
    pub client_connection: u64,
    /// Number of the connection to the server in the capture, from 1; none when it was never opened.
    pub upstream_connection: Option<u64>,
    /// HTTP/2 stream, if any.
    pub stream: Option<u32>,
    /// TLS version towards the server, such as `TLSv1.3`.
    pub tls: Option<String>,
    /// Application protocol agreed with the server.
    pub alpn: Option<String>,
    /// Server name the client asked for.
    pub sni: Option<String>,
}

/// When things happened, in nanoseconds since the capture's anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// First byte of the request seen.
    pub started: Nanos,
    /// Last byte of the request seen.
    pub request_done: Option<Nanos>,
    /// TCP connect to the server, when this exchange opened the connection.
    pub connect: Option<Span>,
    /// TLS handshake with the server, when this exchange opened the connection.
    pub tls: Option<Span>,
    /// First byte of the request written to the server.
    pub upstream_sent: Option<Nanos>,
    /// First byte of the final response read from the server.
    pub upstream_first: Option<Nanos>,
    /// Last byte of the response read from the server.
    pub upstream_done: Option<Nanos>,
    /// First byte of the final response written to the client.
    pub client_first: Option<Nanos>,
    /// Last byte of the response written to the client, or the instant the exchange failed.
    pub finished: Nanos,
}

/// Why an exchange is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// The client went away or sent something that is not HTTP.
    Client(String),
    /// No connection to the server, or its certificate was refused.
    Connect(String),
    /// The server reset, closed early or sent something that is not HTTP.
    Upstream(String),
    /// The recording ended while it was under way.
    Stopped,
    /// The recorder could not write all of it (disk full, too slow).
    NotRecorded(String),
    /// The connection went on as something else than HTTP; its bytes are messages of the exchange, where they were recorded.
    Upgraded(String),
}

impl std::fmt::Display for Incomplete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client(why) => write!(f, "client: {why}"),
            Self::Connect(why) => write!(f, "connect: {why}"),
            Self::Upstream(why) => write!(f, "server: {why}"),
            Self::Stopped => write!(f, "the recording was stopped"),
            Self::NotRecorded(why) => write!(f, "not recorded: {why}"),
            Self::Upgraded(to) => write!(f, "upgraded to {to}"),
        }
    }
}

/// What a reader should know of how an exchange was seen. Facts, not failures: an exchange can have remarks and be whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// Bytes of a body that nobody saw (lost packets, a short capture length). The body holds what stands before and
    /// behind, without anything in their place.
    Gap {
        /// Of which body.
        side: Side,
        /// Offset in the stored body at which they are missing.
        at: u64,
        /// How many; 0 when not known.
        bytes: u64,
    },
    /// A header field that was sent but cannot be known, since what it refers to was sent before the capture began. The
    /// head holds the fields that are known, without anything in its place.
    UnknownField {
        /// Of which head.
        side: Side,
        /// Its position among all fields of the head as sent, pseudo-header fields included, from 0.
        position: u32,
        /// Its name, when at least that is known (`:path` and the like for pseudo-header fields).
        name: Option<Vec<u8>>,
    },
    /// The body was not in the source that this was imported from.
    BodyAbsent {
        /// Of which message.
        side: Side,
        /// Its length as the source says; 0 when it does not say.
        bytes: u64,
    },
    /// Round-trip times between the place of capture and both ends, estimated from the TCP handshake, in nanoseconds.
    Tap {
        /// To the client and back (SYN-ACK to ACK).
        client_ns: Option<u64>,
        /// To the server and back (SYN to SYN-ACK).
        server_ns: Option<u64>,
    },
    /// A body paused, and went on here: what streams has its own pace.
    Resumed {
        /// Of which body.
        side: Side,
        /// Offset in the stored body of what came after the pause.
        at: u64,
        /// When that came.
        when: Nanos,
    },
    /// Anything else, in words.
    Other(String),
}

/// What a remark on browser noise begins with.
const NOISE: &str = "browser noise: ";

impl Remark {
    /// The browser or the system asked for itself; `what` for, such as `Chromium updates`.
    pub fn noise(what: &str) -> Self {
        Self::Other(format!("{NOISE}{what}"))
    }

    /// What noise the exchange is, when the remark says that.
    pub fn as_noise(&self) -> Option<&str> {
        match self {
            Self::Other(text) => text.strip_prefix(NOISE),
            _ => None,
        }
    }

    /// Whether the body of that side is not all in the capture.
    pub fn leaves_out_body_of(&self, of: Side) -> bool {
        matches!(self, Self::Gap { side, .. } | Self::BodyAbsent { side, .. } if *side == of)
    }
}

/// One request and its response, interim responses, trailers, or failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its number in the capture.
    pub id: ExchangeId,
    /// Whose it is.
    pub session: SessionId,
    /// Label of the transaction it belongs to.
    pub transaction: Option<String>,
    /// What was asked.
    pub request: Request,
    /// 1xx responses before the final one.
    pub interim: Vec<Response>,
    /// What was answered; none when nothing came.
    pub response: Option<Response>,
    /// When.
    pub timing: Timing,
    /// Over which connections.
    pub transport: Transport,
    /// Set when anything is missing, with the reason.
    pub incomplete: Option<Incomplete>,
    /// How it was seen.
    pub remarks: Vec<Remark>,
}

/// What makes an exchange no part of what its user asked of a site by HTTP: it is kept and shown, and neither correlated,
/// replayed nor measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// The browser or the system asked for itself.
    Noise,
    /// A handshake after which messages go both ways.
    WebSocket,
    /// A tunnel of bytes.
    Tunnel,
    /// The connection went on as something else.
    Upgrade,
}

impl Exchange {
    /// What makes it no part of what its user asked for; none when nothing does.
    pub fn aside(&self) -> Option<Aside> {
        if self.remarks.iter().any(|remark| remark.as_noise().is_some()) {
            return Some(Aside::Noise);
        }
        let status = self.response.as_ref().map_or(0, |response| response.status);
        let names = |fields: &Headers, field: &str| {
            fields.all(field).any(|value| value.to_ascii_lowercase().windows(9).any(|part| part == b"websocket"))
        };
        let (asked, answered) = (&self.request.headers, self.response.as_ref().map(|response| &response.headers));
        let switched = matches!(self.incomplete, Some(Incomplete::Upgraded(_)));
        if self.request.method == "CONNECT" {
            // RFC 8441 §4.
            let socket = names(asked, ":protocol");
            return Some(if socket { Aside::WebSocket } else { Aside::Tunnel });
        }
        if status != 101 && !switched {
            return None;
        }
        let socket = names(asked, "upgrade") || answered.is_some_and(|fields| names(fields, "upgrade"));
        Some(if socket { Aside::WebSocket } else { Aside::Upgrade })
    }
}

impl std::fmt::Display for Aside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Noise => "browser noise",
            Self::WebSocket => "WebSockets are not replayed yet",
            Self::Tunnel => "a tunnel of bytes that are not HTTP",
            Self::Upgrade => "upgraded connections are not replayed yet",
        })
    }
}
