//! One client connection from its first byte: plain HTTP to the proxy, or a tunnel in which TLS, HTTP or anything else
//! may follow.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::LazyConfigAcceptor;

use crate::model::{Origin, Scheme};
use crate::observe::conversation::{Relayed, Speaks};
use crate::wire::http2;

use super::Proxy;
use super::client::{Client, Farewell};
use super::link::Link;
use super::listener::Stop;
use super::names::Names;
use super::pages::Page;
use super::target::Route;
use super::tunnel;
use super::upstream::{Upstream, dial};

/// A client that says nothing for so long waits for the server to speak first.
const SILENCE: Duration = Duration::from_secs(1);
/// For a TLS handshake with a client.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);
/// Longest method that is recognised.
const METHOD_BYTES: usize = 20;

/// Who is at the other end of a client connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    /// Address.
    pub(super) peer: SocketAddr,
    /// Number of the connection in the capture.
    pub(super) number: u64,
}

/// Serves one client connection to its end.
pub(super) async fn serve(proxy: Arc<Proxy>, tcp: TcpStream, peer: SocketAddr, stop: Stop) {
    let visitor = Visitor { peer, number: proxy.next_client() };
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

/// What a client begins with inside a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Tls,
    Http,
    /// HTTP/2 in clear text, by prior knowledge.
    Http2,
    Other,
    Closed,
}

impl Opening {
    /// By the first bytes; none when there are too few.
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] | [0x16] => None,
            [0x16, 0x03, ..] => Some(Self::Tls),
            _ if http2::looks_like_preface(bytes) == Some(true) => Some(Self::Http2),
            _ if http2::looks_like_preface(bytes).is_none() => None,
            _ => {
                let method = bytes.iter().take(METHOD_BYTES).take_while(|b| b.is_ascii_uppercase()).count();
                match bytes.get(method) {
                    None if method < METHOD_BYTES => None,
                    Some(b' ') if method > 0 => Some(Self::Http),
                    _ => Some(Self::Other),
                }
            }
        }
    }

    async fn sniff(link: &mut Link, stop: &mut Stop) -> Self {
        let patience = Instant::now() + SILENCE;
        loop {
            if let Some(opening) = Self::of(&link.intake.bytes) {
                return opening;
            }
            select! {
                biased;
                more = link.intake.more() => if !matches!(more, Ok(1..)) { return Self::Closed },
                () = stop.requested() => return Self::Closed,
                () = sleep_until(patience) => return Self::Other,
            }
        }
    }
}

/// A tunnel that a client asked for.
struct Tunnel {
    proxy: Arc<Proxy>,
    visitor: Visitor,
    /// Host and port asked for; the scheme is not known yet.
    origin: Origin,
    stop: Stop,
}

impl Tunnel {
    async fn serve(mut self, mut link: Link) {
        let welcome = link.outlet.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
        if welcome.is_err() || link.outlet.flush().await.is_err() {
            return;
        }
        match Opening::sniff(&mut link, &mut self.stop).await {
            Opening::Tls => self.intercept(link).await,
            Opening::Http => {
                let route = Route::Fixed(Origin { scheme: Scheme::Http, ..self.origin });
                Client::new(self.proxy, self.visitor, link, route, self.stop).converse().await;
            }
            Opening::Http2 => self.pass(link, Speaks::Http2).await,
            Opening::Other => self.pass(link, Speaks::Unknown("a tunnel without HTTP".to_owned())).await,
            Opening::Closed => {}
        }
    }

    /// Passes bytes on as they are.
    async fn pass(mut self, mut link: Link, speaks: Speaks) {
        if matches!(speaks, Speaks::Unknown(_)) {
            self.proxy.tally.tunnel(&self.origin.authority());
        }
        match dial(&self.proxy, self.origin.dial_host(), self.origin.port).await {
            Ok((tcp, connect)) => {
                let mut server = Link::new(Box::new(tcp), self.proxy.clock);
                let relayed = Relayed {
                    client: self.visitor.peer,
                    connection: self.visitor.number,
                    upstream: self.proxy.next_upstream(),
                    host: self.origin.host.clone(),
                    port: self.origin.port,
                    secured: None,
                    connect: Some(connect),
                    tls: None,
                };
                let wiretap = self.proxy.tee.relay(self.proxy.clock, relayed, speaks);
                tunnel::copy(&mut link, &mut server, wiretap, &mut self.stop).await;
            }
            Err(error) => self.proxy.tally.unreachable(&self.origin.authority(), error.chain()),
        }
    }

    /// Ends the client's TLS with a certificate of ours that has the names of the server's.
    async fn intercept(self, link: Link) {
        let hello = timeout(HANDSHAKE_LIMIT, LazyConfigAcceptor::new(Acceptor::default(), link.into_io())).await;
        let Ok(Ok(hello)) = hello else {
            self.proxy.tally.malformed();
            return;
        };
        let sni = hello.client_hello().server_name().map(str::to_owned);
        let asked = sni.as_deref().unwrap_or(self.origin.dial_host());
        let learned = self.proxy.tls.learned(&self.origin, asked);
        let tried = match learned {
            Some(_) => None,
            None => Some(Upstream::open(&self.proxy, &self.origin, sni.as_deref()).await),
        };
        let names = learned.or_else(|| self.proxy.tls.learned(&self.origin, asked));
        let names = names.unwrap_or_else(|| Names::of_host(asked)).covering(asked);
        let config = match self.proxy.tls.server_config(&names) {
            Ok(config) => config,
            Err(error) => {
                self.proxy.tally.rejected(&self.origin.host, format!("no certificate could be made: {error}"));
                return;
            }
        };
        match timeout(HANDSHAKE_LIMIT, hello.into_stream(config)).await {
            Ok(Ok(stream)) => {
                let link = Link::new(Box::new(stream), self.proxy.clock);
                let route = Route::Fixed(self.origin);
                Client::new(self.proxy, self.visitor, link, route, self.stop).secured(sni, tried).converse().await;
            }
            Ok(Err(error)) => self.proxy.tally.rejected(&self.origin.host, refusal(&error)),
            Err(_) => self.proxy.tally.rejected(&self.origin.host, "no handshake within 15 seconds".into()),
        }
    }
}

/// Why a client broke off its handshake.
fn refusal(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::NoApplicationProtocol) => "it speaks HTTP/2 only, which is not recorded".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_tunnel_carries() {
        for (bytes, opening) in [
            (&b""[..], None),
            (b"\x16", None),
            (b"\x16\x03\x01", Some(Opening::Tls)),
            (b"\x16\x02", Some(Opening::Other)),
            (b"GE", None),
            (b"GET ", Some(Opening::Http)),
            (b"PROPFIND /", Some(Opening::Http)),
            (b"PRI * HTTP/2.0\r\n", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Opening::Http2)),
            (b"SSH-2.0-x", Some(Opening::Other)),
            (b" GET", Some(Opening::Other)),
            (b"\0\0\0\x08", Some(Opening::Other)),
            (b"AAAAAAAAAAAAAAAAAAAAAAAA", Some(Opening::Other)),
        ] {
            assert_eq!(Opening::of(bytes), opening, "{bytes:?}");
        }
    }
}
