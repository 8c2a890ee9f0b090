//! One client connection from its first byte: plain HTTP to the proxy, or a tunnel in which TLS, HTTP or anything else
//! may follow.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::model::{Origin, Scheme};
use crate::observe::conversation::Speaks;

use super::Proxy;
use super::client::{Client, Farewell};
use super::link::Link;
use super::listener::Stop;
use super::onboarding;
use super::opening::Opening;
use super::pages::Page;
use super::target::Route;
use super::tunnel;
use super::upstream::{ConnectError, Upstream};

/// Who is at the other end of a client connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    /// Address.
    pub(super) peer: SocketAddr,
    /// Address of ours that was dialled.
    pub(super) local: SocketAddr,
    /// Number of the connection in the capture.
    pub(super) number: u64,
}

/// Serves one client connection to its end.
pub(super) async fn serve(proxy: Arc<Proxy>, tcp: TcpStream, peer: SocketAddr, stop: Stop) {
    let local = tcp.local_addr().unwrap_or(proxy.address);
    let visitor = Visitor { peer, local, number: proxy.next_client() };
    let _ = tcp.set_nodelay(true);
    let link = Link::new(Box::new(tcp), proxy.clock);
    let farewell = Client::new(proxy.clone(), visitor, link, Route::Absolute, stop.clone()).converse().await;
    if let Farewell::Connect(client, head) = farewell {
        let authority = std::str::from_utf8(&head.target).unwrap_or("");
        match Origin::from_authority(Scheme::Https, authority) {
            Ok(origin) => Tunnel { proxy: proxy.clone(), visitor, origin, stop }.serve(client.link).await,
            Err(error) => {
                let mut client = client;
                proxy.tally.malformed();
                client.refuse("CONNECT", &Page::bad_request(&error.to_string())).await;
            }
        }
    }
    proxy.tee.client_closed(visitor.number);
}

/// A tunnel that a client asked for.
pub(super) struct Tunnel {
    /// Shared by all connections.
    pub(super) proxy: Arc<Proxy>,
    /// Who.
    pub(super) visitor: Visitor,
    /// Host and port asked for; `https` once the client has begun TLS.
    pub(super) origin: Origin,
    /// Turns true when the recording ends.
    pub(super) stop: Stop,
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
    async fn serve(mut self, mut link: Link) {
        let welcome = link.outlet.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
        if welcome.is_err() || link.outlet.flush().await.is_err() {
            return;
        }
        let origin = Origin { scheme: Scheme::Http, ..self.origin.clone() };
        match Opening::sniff(&mut link, &mut self.stop).await {
            Opening::Tls if onboarding::is_own_host(&self.origin.host) => {
                if let Some(link) = onboarding::secured(&self.proxy, link).await {
                    let route = Route::Fixed(self.origin);
                    Client::new(self.proxy, self.visitor, link, route, self.stop).converse().await;
                }
            }
            Opening::Tls => self.intercept(link).await,
            opening => Self { origin, ..self }.begin(opening, link, None, None).await,
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
                Box::pin(self.begin(opening, link, secured, Some(Ok(server)))).await;
            }
        }
    }

    async fn converse(self, link: Link, secured: Option<Secured>, tried: Tried) {
        let sni = secured.and_then(|secured| secured.sni);
        let client = Client::new(self.proxy, self.visitor, link, Route::Fixed(self.origin), self.stop);
        client.secured(sni, tried).converse().await;
    }

    /// The server that was tried, or else a new connection. None when there is none, which is told.
    async fn server(&self, secured: &Option<Secured>, tried: Tried) -> Option<Upstream> {
        let opened = match tried {
            Some(tried) => tried,
            None => {
                let sni = secured.as_ref().and_then(|secured| secured.sni.as_deref());
                let offers = secured.iter().filter_map(|secured| secured.alpn.clone()).collect();
                Upstream::open(&self.proxy, &self.origin, sni, &offers).await
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
