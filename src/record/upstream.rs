//! Connections to servers: opened for one client, kept while it lives, never shared, watched for close.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::AlertDescription;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::model::{Origin, Scheme, Span};
use crate::observe::conversation::{Relayed, Secured};
use crate::wire::http1::{Limits, Reader};

use super::connection::Visitor;
use super::distrust::Distrust;
use super::explained::Explained;
use super::link::{Io, Link};
use super::names::Names;
use super::tls::{self, Asked, Learned, Offers};
use super::{Http3Hints, Proxy};

/// For name look-up and TCP together, and again for TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
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
        match std::error::Error::source(self) {
            Some(cause) => format!("{self} ({cause})"),
            None => self.to_string(),
        }
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

/// A TCP connection to a server, and how long it took.
pub(super) async fn dial(proxy: &Proxy, host: &str, port: u16) -> Result<(TcpStream, Span), ConnectError> {
    let start = proxy.clock.now();
    let tcp = timeout(CONNECT_LIMIT, dial_any(proxy, host, port)).await.map_err(|_| ConnectError::Timeout)??;
    let _ = tcp.set_nodelay(true);
    Ok((tcp, Span { start, end: proxy.clock.now() }))
}

async fn dial_any(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let mut last = None;
    for address in lookup_host((host, port)).await.map_err(ConnectError::Name)? {
        if proxy.is_itself(address) {
            return Err(ConnectError::Itself);
        }
        match TcpStream::connect(address).await {
            Ok(tcp) if came_back(proxy.address, &tcp) => return Err(ConnectError::Itself),
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = Some(ConnectError::Tcp(error)),
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::Name(io::ErrorKind::NotFound.into())))
}

impl Upstream {
    /// Opens a connection. In TLS, `sni` is the server name to ask for when it is not the origin's host, and `offers` are the
    /// protocols.
    pub(super) async fn open(
        proxy: &Proxy,
        origin: &Origin,
        sni: Option<&str>,
        offers: &Offers,
    ) -> Result<Self, ConnectError> {
        let (tcp, connect) = dial(proxy, origin.dial_host(), origin.port).await?;
        let mut upstream = match origin.scheme {
            Scheme::Http => Self::over(proxy, origin, Box::new(tcp), Phases { connect, tls: None }),
            Scheme::Https => Self::secure(proxy, origin, sni, offers, (tcp, connect)).await?,
        };
        upstream.waited = false;
        Ok(upstream)
    }

    async fn secure(
        proxy: &Proxy,
        origin: &Origin,
        sni: Option<&str>,
        offers: &Offers,
        (tcp, connect): (TcpStream, Span),
    ) -> Result<Self, ConnectError> {
        let start = proxy.clock.now();
        let asked = sni.unwrap_or(origin.dial_host());
        let name = tls::server_name(asked).map_err(ConnectError::Tls)?;
        let handshake = timeout(CONNECT_LIMIT, proxy.tls.connector(asked, origin.port, offers).connect(name, tcp));
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

impl Pool {
    /// A connection to this server that is still silent and open.
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
            self.idle.remove(0);
        }
        self.idle.push(upstream);
    }

    /// Waits until one closes or says something unasked, and drops it. Never ends when none does.
    pub(super) async fn watch(&mut self) {
        poll_fn(|context| if self.sweep(context) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn sweep(&mut self, context: &mut Context<'_>) -> bool {
        let before = self.idle.len();
        self.idle.retain_mut(|upstream| !upstream.link.intake.poll_noise(context));
        self.idle.len() < before
    }
}

/// Whether connecting to `target` from this machine would reach a listener on `own`.
pub(super) fn same_listener(own: SocketAddr, target: SocketAddr) -> bool {
    let (own_ip, target_ip) = (own.ip().to_canonical(), target.ip().to_canonical());
    let reaches = own_ip == target_ip
        || (own_ip.is_unspecified() && target_ip.is_loopback())
        || (own_ip.is_loopback() && target_ip.is_unspecified());
    own.port() == target.port() && reaches
}

/// Whether a connection, to any of this machine's addresses, reached our listener on all of them: both ends have one address.
fn came_back(own: SocketAddr, tcp: &TcpStream) -> bool {
    let ends = tcp.local_addr().and_then(|local| Ok((local, tcp.peer_addr()?)));
    own.ip().is_unspecified() && ends.is_ok_and(|(local, peer)| local.ip() == peer.ip() && peer.port() == own.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_knows_its_own_address() {
        for (own, target, same) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "192.0.2.1:80", false),
            ("[::]:80", "[::1]:80", true),
        ] {
            assert_eq!(same_listener(own.parse().unwrap(), target.parse().unwrap()), same, "{own} {target}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_knows_a_connection_that_came_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
            let own = listener.local_addr().unwrap();
            let tcp = TcpStream::connect(("127.0.0.1", own.port())).await.unwrap();
            assert!(came_back(own, &tcp));
            assert!(!came_back(SocketAddr::new(own.ip(), own.port() ^ 1), &tcp));
            assert!(!came_back(SocketAddr::new([192, 0, 2, 1].into(), own.port()), &tcp));
        });
    }
}
