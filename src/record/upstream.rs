//! Connections to servers: opened for one client, kept while it lives, never shared, watched for close.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::AlertDescription;
use tokio::time::timeout;

use crate::model::{Origin, Scheme, Span};
use crate::observe::conversation::{Relayed, Secured};
use crate::wire::http1::{Limits, Reader};

use super::chain::{AbsoluteForm, Kind, Manner, TunnelError, UpstreamProxy, Way};
use super::connection::Visitor;
use super::dial::{dial, names_itself, to_proxy};
use super::edited::{Edited, Facing};
use super::link::{Io, Link};
use super::tls::distrust::Distrust;
use super::tls::explained::Explained;
use super::tls::names::Names;
use super::tls::{self, Asked, Learned, Offers};
use super::{Http3Hints, Proxy};

/// For name look-up and TCP together, and again for TLS.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Servers one client connection keeps open (only a client of the plain proxy has more than one).
const MOST_IDLE: usize = 8;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the address is the proxy's own")]
    Itself,
    #[error("the name has no address")]
    Name(#[source] io::Error),
    #[error("no TCP connection")]
    Tcp(#[source] io::Error),
    #[error("no connection within 15 seconds")]
    Timeout,
    #[error("the upstream proxy {0} cannot be reached")]
    Proxy(UpstreamProxy, #[source] Box<ConnectError>),
    #[error("the upstream proxy {0} {1}")]
    Tunnel(UpstreamProxy, TunnelError),
    #[error("its certificate is not trusted")]
    Certificate(#[source] Distrust),
    #[error("it broke off the TLS handshake with the alert {}", tls::alert_text(*.0))]
    Alert(AlertDescription),
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
}

impl ConnectError {
    /// With its cause, as one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        let depth = std::iter::from_fn(|| {
            let found = cause?;
            text.push_str(&format!(" ({found}"));
            cause = found.source();
            Some(())
        });
        let closing = ")".repeat(depth.count());
        text + &closing
    }
}

/// A connection to a server.
pub(super) struct Upstream {
    /// Which server.
    pub(super) origin: Origin,
    /// Its bytes.
    pub(super) link: Link,
    /// Makes messages of them.
    pub(super) reader: Reader,
    /// Its number in the capture.
    pub(super) number: u64,
    /// TLS version.
    pub(super) tls: Option<String>,
    /// Protocol agreed.
    pub(super) alpn: Option<String>,
    /// How long it took to open, until its first exchange takes note of it.
    pub(super) phases: Option<Phases>,
    /// What becomes of its hints at HTTP/3.
    pub(super) hints: Http3Hints,
    /// It is logged in, or about to be (NTLM): when it dies, the client has to learn that it did.
    pub(super) pinned: bool,
    /// A pinned one that has died.
    lost: bool,
    /// Whether it may have died unnoticed: it waited since it was opened or since its last exchange.
    pub(super) waited: bool,
}

/// How long opening took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    /// Name look-up and TCP.
    pub(super) connect: Span,
    /// TLS.
    pub(super) tls: Option<Span>,
}

impl Upstream {
    /// Opens a connection. In TLS, `sni` is the server name to ask for when it is not the origin's host, and `offers` are the
    /// protocols.
    pub(super) async fn open(
        proxy: &Proxy,
        way: Way,
        origin: &Origin,
        sni: Option<&str>,
        offers: &Offers,
    ) -> Result<Self, ConnectError> {
        let (host, port) = (origin.dial_host(), origin.port);
        let mut upstream = match (origin.scheme, proxy.egress.toward(host, port)) {
            (Scheme::Https, _) => {
                let opened = dial(proxy, way, host, port).await?;
                Self::secure(proxy, origin, sni, offers, opened).await?
            }
            (Scheme::Http, Some(next)) if next.kind == Kind::Http && way.manner == Manner::Relayed => {
                if names_itself(proxy, host, port) {
                    return Err(ConnectError::Itself);
                }
                let start = proxy.clock.now();
                let tcp = Box::new(to_proxy(proxy, next).await?);
                let connect = Span { start, end: proxy.clock.now() };
                let io = Edited::new(tcp, Facing::Server, AbsoluteForm::new(origin.clone(), next));
                Self::over(proxy, origin, Box::new(io), Phases { connect, tls: None })
            }
            (Scheme::Http, _) => {
                let (io, connect) = dial(proxy, way, host, port).await?;
                Self::over(proxy, origin, io, Phases { connect, tls: None })
            }
        };
        upstream.waited = false;
        Ok(upstream)
    }

    async fn secure(
        proxy: &Proxy,
        origin: &Origin,
        sni: Option<&str>,
        offers: &Offers,
        (io, connect): (Io, Span),
    ) -> Result<Self, ConnectError> {
        let start = proxy.clock.now();
        let asked = sni.unwrap_or(origin.dial_host());
        let name = tls::server_name(asked).map_err(ConnectError::Tls)?;
        let handshake = timeout(CONNECT_LIMIT, proxy.tls.connector(asked, origin.port, offers).connect(name, io));
        let stream = handshake.await.map_err(|_| ConnectError::Timeout)?.map_err(tls_error)?;
        let span = Span { start, end: proxy.clock.now() };
        let session = stream.get_ref().1;
        let version = session.protocol_version().map(tls::version_text);
        let chosen = session.alpn_protocol().map(<[u8]>::to_vec);
        let alpn = chosen.as_deref().map(|protocol| String::from_utf8_lossy(protocol).into_owned());
        if let Some(names) = session.peer_certificates().and_then(|chain| Names::of_certificate(chain.first()?)) {
            let asked = Asked { origin: origin.clone(), sni: asked.to_owned(), offers: offers.clone() };
            proxy.tls.learn(asked, Learned { names, alpn: chosen });
        }
        let opened = Self::over(proxy, origin, Box::new(Explained(stream)), Phases { connect, tls: Some(span) });
        Ok(Self { tls: version, alpn, ..opened })
    }

    /// Itself and the client's connection as one connection, when only bytes pass from here on.
    pub(super) fn relayed(&mut self, visitor: Visitor, sni: Option<String>) -> Relayed {
        let secured = self.tls.clone().map(|version| Secured { version: Some(version), sni, alpn: self.alpn.clone() });
        let phases = self.phases.take();
        Relayed {
            client: visitor.peer,
            connection: visitor.number,
            upstream: self.number,
            host: self.origin.host.clone(),
            port: self.origin.port,
            secured,
            connect: phases.map(|phases| phases.connect),
            tls: phases.and_then(|phases| phases.tls),
        }
    }

    fn over(proxy: &Proxy, origin: &Origin, io: Io, phases: Phases) -> Self {
        Self {
            origin: origin.clone(),
            link: Link::new(io, proxy.clock),
            reader: Reader::responses(Limits::default()),
            number: proxy.next_upstream(),
            tls: None,
            alpn: None,
            phases: Some(phases),
            hints: proxy.hints,
            pinned: false,
            lost: false,
            waited: true,
        }
    }
}

fn tls_error(error: io::Error) -> ConnectError {
    if let Some(alert) = tls::alert(&error) {
        return ConnectError::Alert(alert);
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(found)) => ConnectError::Certificate(Distrust::from(found)),
        _ => ConnectError::Tls(error),
    }
}

/// The idle connections of one client connection.
#[derive(Default)]
pub(super) struct Pool {
    idle: Vec<Upstream>,
}

/// What a pool has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Connections that others can take the place of.
    Plain,
    /// One that was logged in.
    Pinned,
}

impl Pool {
    /// A connection to this server that is still silent and open. One that is pinned comes in any case: a request that
    /// finds it dead must fail.
    pub(super) async fn take(&mut self, origin: &Origin) -> Option<Upstream> {
        poll_fn(|context| {
            self.sweep(context);
            Poll::Ready(())
        })
        .await;
        let at = self.idle.iter().position(|upstream| upstream.origin == *origin)?;
        Some(self.idle.remove(at))
    }

    /// Keeps a connection whose last exchange is over; the one that waited longest makes room.
    pub(super) fn put(&mut self, mut upstream: Upstream) {
        upstream.waited = true;
        if self.idle.len() >= MOST_IDLE {
            let at = self.idle.iter().position(|upstream| !upstream.pinned).unwrap_or(0);
            self.idle.remove(at);
        }
        self.idle.push(upstream);
    }

    /// Waits until one closes or says something unasked. Never ends when none does.
    pub(super) async fn watch(&mut self) -> Lost {
        poll_fn(|context| self.sweep(context).map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Drops what is dead, but for pinned ones, which are marked. Says what died since it was last called.
    fn sweep(&mut self, context: &mut Context<'_>) -> Option<Lost> {
        let mut lost = None;
        self.idle.retain_mut(|upstream| {
            if upstream.lost || !upstream.link.intake.poll_noise(context) {
                return true;
            }
            upstream.lost = upstream.pinned;
            lost = if upstream.pinned { Some(Lost::Pinned) } else { lost.or(Some(Lost::Plain)) };
            upstream.pinned
        });
        lost
    }
}
