//! One client connection from its first byte: plain HTTP or SOCKS to the proxy, or a tunnel in which TLS, HTTP or anything
//! else may follow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::sleep;

use crate::model::{Origin, Scheme};
use crate::observe::conversation::Speaks;

use super::chain::Way;
use super::client::{Client, Farewell};
use super::link::Link;
use super::listener::Stop;
use super::onboarding;
use super::opening::Opening;
use super::pages::Page;
use super::target::Route;
use super::tunnel;
use super::upstream::{ConnectError, Upstream};
use super::{Mode, Proxy, reverse, socks, transparent};

/// For what a client and we agree on before anything else.
pub(super) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);
/// How long a client may say nothing at all.
const IDLE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Who is at the other end of a client connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    /// Address.
    pub(super) peer: SocketAddr,
    /// Address of ours that was dialled.
    pub(super) local: SocketAddr,
    /// Number of the connection in the capture.
    pub(super) number: u64,
    /// How its servers are reached.
    pub(super) way: Way,
}

/// Serves one client connection to its end. `listener` is the address it was accepted on.
pub(super) async fn serve(proxy: Arc<Proxy>, tcp: TcpStream, peer: SocketAddr, listener: SocketAddr, stop: Stop) {
    let local = tcp.local_addr().unwrap_or(listener);
    let visitor = Visitor { peer, local, number: proxy.next_client(), way: Way::default() };
    proxy.tee.client_opened(visitor.number, listener);
    let _ = tcp.set_nodelay(true);
    let whole = |tcp| Link::breakable(tcp, proxy.clock);
    match &proxy.mode {
        Mode::Forward => forward(proxy.clone(), visitor, whole(tcp), stop).await,
        Mode::Socks5 => socks::serve(proxy.clone(), visitor, whole(tcp), stop).await,
        Mode::Reverse(reverse) => reverse::serve(proxy.clone(), visitor, whole(tcp), reverse, stop).await,
        Mode::Transparent => transparent::serve(proxy.clone(), visitor, tcp, stop).await,
    }
    proxy.tee.client_closed(visitor.number);
}

/// A client that knows it talks to a proxy, by HTTP or SOCKS.
async fn forward(proxy: Arc<Proxy>, visitor: Visitor, mut link: Link, mut stop: Stop) {
    if heard(&mut link, &mut stop).await && link.intake.bytes.first() == Some(&socks::VERSION) {
        return socks::serve(proxy, visitor, link, stop).await;
    }
    let farewell = Client::new(proxy.clone(), visitor, link, Route::Absolute, stop.clone()).converse().await;
    let Farewell::Connect(mut client, head) = farewell else { return };
    let authority = std::str::from_utf8(&head.target).unwrap_or("");
    match Origin::from_authority(Scheme::Https, authority) {
        Ok(origin) => {
            let welcome = b"HTTP/1.1 200 Connection established\r\n\r\n";
            if client.link.outlet.write_all(welcome).await.is_err() || client.link.outlet.flush().await.is_err() {
                return;
            }
            let visitor = Visitor { way: visitor.way.tunnelled(), ..visitor };
            Tunnel { proxy, visitor, origin, known_by: KnownBy::Name, stop }.serve(client.link).await;
        }
        Err(error) => {
            proxy.tally.malformed();
            client.refuse("CONNECT", &Page::bad_request(&error.to_string())).await;
        }
    }
}

/// Waits for the client's first bytes. False when there are none to come.
pub(super) async fn heard(link: &mut Link, stop: &mut Stop) -> bool {
    if !link.intake.bytes.is_empty() {
        return true;
    }
    select! {
        biased;
        more = link.intake.more() => matches!(more, Ok(1..)),
        () = stop.requested() => false,
        () = sleep(IDLE_LIMIT) => false,
    }
}

/// A tunnel to a server that a client asked for; it was told to go ahead.
pub(super) struct Tunnel {
    /// Shared by all connections.
    pub(super) proxy: Arc<Proxy>,
    /// Who.
    pub(super) visitor: Visitor,
    /// Host and port asked for; `https` once the client has begun TLS.
    pub(super) origin: Origin,
    /// What of the origin the client told.
    pub(super) known_by: KnownBy,
    /// Turns true when the recording ends.
    pub(super) stop: Stop,
}

/// How a client says whom it wants to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownBy {
    /// By a name, or what it takes for one.
    Name,
    /// By an address alone; the name is in what it says then.
    Address,
}

/// A server that was tried before the client has asked for anything of it.
pub(super) type Tried = Option<Result<Upstream, ConnectError>>;

/// TLS that we ended.
pub(super) struct Secured {
    /// Name the client asked for.
    pub(super) sni: Option<String>,
    /// What client and server have agreed on.
    pub(super) alpn: Option<Vec<u8>>,
}

impl Tunnel {
    pub(super) async fn serve(mut self, mut link: Link) {
        let opening = Opening::sniff(&mut link, &mut self.stop).await;
        self.enter(opening, link, None).await;
    }

    /// Serves what the client begins with in clear text.
    async fn enter(self, opening: Opening, link: Link, tried: Tried) {
        match opening {
            Opening::Tls if onboarding::is_own_host(&self.origin.host) => {
                if let Some(link) = onboarding::secured(&self.proxy, link).await {
                    let route = Route::Fixed(self.origin);
                    Client::new(self.proxy, self.visitor, link, route, self.stop).converse().await;
                }
            }
            Opening::Tls => Box::pin(self.intercept(link)).await,
            opening => {
                let origin = Origin { scheme: Scheme::Http, ..self.origin.clone() };
                Self { origin, ..self }.begin(opening, link, None, tried).await;
            }
        }
    }

    /// Serves what the client begins with.
    pub(super) async fn begin(mut self, opening: Opening, mut link: Link, secured: Option<Secured>, tried: Tried) {
        let other = |secured: &Option<Secured>| match secured {
            Some(Secured { alpn: Some(alpn), .. }) => String::from_utf8_lossy(alpn).into_owned(),
            Some(_) => "something in TLS that is not HTTP".to_owned(),
            None => "something that is not HTTP".to_owned(),
        };
        match opening {
            Opening::Closed => {}
            Opening::Http => self.converse(link, secured, tried).await,
            Opening::Http2 => {
                if let Some(server) = self.server(&secured, tried).await {
                    self.pass(link, server, secured, Speaks::Http2).await;
                }
            }
            // TLS inside TLS is passed on like anything else.
            Opening::Other | Opening::Tls => {
                self.proxy.tally.tunnel(&self.origin.authority());
                if let Some(server) = self.server(&secured, tried).await {
                    let speaks = Speaks::Unknown(other(&secured));
                    self.pass(link, server, secured, speaks).await;
                }
            }
            Opening::Silence => {
                let Some(mut server) = self.server(&secured, tried).await else { return };
                let opening = Opening::sniff_both(&mut link, &mut server.link, &mut self.stop).await;
                let tried = Some(Ok(server));
                match secured {
                    None => Box::pin(self.enter(opening, link, tried)).await,
                    secured => Box::pin(self.begin(opening, link, secured, tried)).await,
                }
            }
        }
    }

    async fn converse(self, link: Link, secured: Option<Secured>, tried: Tried) {
        let sni = secured.and_then(|secured| secured.sni);
        // In TLS the name is told by then.
        let route = match self.known_by {
            KnownBy::Address if self.origin.scheme == Scheme::Http => Route::Named(self.origin),
            KnownBy::Name | KnownBy::Address => Route::Fixed(self.origin),
        };
        let client = Client::new(self.proxy, self.visitor, link, route, self.stop);
        client.secured(sni, tried).converse().await;
    }

    /// The server that was tried, or else a new connection. None when there is none, which is told.
    async fn server(&self, secured: &Option<Secured>, tried: Tried) -> Option<Upstream> {
        let opened = match tried {
            Some(tried) => tried,
            None => {
                let sni = secured.as_ref().and_then(|secured| secured.sni.as_deref());
                let offers = secured.iter().filter_map(|secured| secured.alpn.clone()).collect();
                Upstream::open(&self.proxy, self.visitor.way.tunnelled(), &self.origin, sni, &offers).await
            }
        };
        opened.map_err(|error| self.proxy.tally.unreachable(&self.origin.authority(), error.chain())).ok()
    }

    /// Passes bytes on that are not for us to read, of which this is said.
    pub(super) async fn pass_by(self, link: Link, what: &str) {
        let origin = Origin { scheme: Scheme::Http, ..self.origin.clone() };
        let this = Self { origin, ..self };
        if let Some(server) = this.server(&None, None).await {
            this.pass(link, server, None, Speaks::Unknown(what.to_owned())).await;
        }
    }

    /// Passes bytes on as they are.
    async fn pass(mut self, mut link: Link, mut server: Upstream, secured: Option<Secured>, speaks: Speaks) {
        if let Some(secured) = &secured
            && secured.alpn.as_deref() != server.alpn.as_deref().map(str::as_bytes)
        {
            let reason = "the server agrees on another protocol than before".to_owned();
            self.proxy.tally.unreachable(&self.origin.authority(), reason);
            return;
        }
        let relayed = server.relayed(self.visitor, secured.and_then(|secured| secured.sni));
        let veil = matches!(speaks, Speaks::Http2).then(|| self.proxy.veil()).flatten();
        let wiretap = self.proxy.tee.relay(self.proxy.clock, relayed, speaks);
        tunnel::copy(&mut link, &mut server.link, wiretap, veil, &mut self.stop).await;
    }
}
