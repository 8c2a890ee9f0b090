//! Recording as if we were the server: clients talk to the listener, in clear text or TLS, and all goes to one origin.

mod mask;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::timeout;

use crate::model::{Origin, Scheme};

use super::Proxy;
use super::client::Client;
use super::connection::{HANDSHAKE_LIMIT, KnownBy, Secured, Tried, Tunnel, Visitor, heard};
use super::edited::{Edited, Facing};
use super::link::Link;
use super::listener::Stop;
use super::opening::Opening;
use super::target::Route;
use super::tls::HTTP1;
use super::tls::hello::Hello;
use super::tls::intercept::refusal;
use super::tls::names::Names;
use super::tls::passthrough::{Consequence, Refusal};
use super::upstream::Upstream;

use mask::Mask;

/// The server for which we stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reverse {
    /// Where everything goes.
    pub origin: Origin,
    /// What becomes of the address under which clients know us.
    pub address: Address,
}

/// What becomes of the address under which clients know a reverse proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// The server sees its own in `Host`, `Origin` and `Referer`; the client sees ours in redirects, and cookies that it
    /// will send to us. The capture holds what the server saw and said.
    Translated,
    /// Not a byte is changed.
    Kept,
}

/// Serves one client to its end.
pub(super) async fn serve(proxy: Arc<Proxy>, visitor: Visitor, mut link: Link, reverse: &Reverse, mut stop: Stop) {
    if !heard(&mut link, &mut stop).await {
        return;
    }
    let tunnel =
        |stop| Tunnel { proxy: proxy.clone(), visitor, origin: reverse.origin.clone(), known_by: KnownBy::Name, stop };
    let (opening, scheme, secured, tried) = match Opening::sniff(&mut link, &mut stop).await {
        Opening::Tls => match accept(&proxy, visitor, link, reverse).await {
            Some((inside, alpn, tried)) => {
                link = inside;
                let opening = if alpn.as_deref() == Some(b"h2") { Opening::Http2 } else { Opening::Http };
                (opening, Scheme::Https, Some(Secured { sni: None, alpn }), tried)
            }
            None => return,
        },
        // The server has to agree to it.
        Opening::Http2 if reverse.origin.scheme == Scheme::Https => {
            (Opening::Http2, Scheme::Http, Some(Secured { sni: None, alpn: Some(b"h2".to_vec()) }), None)
        }
        opening => (opening, Scheme::Http, None, None),
    };
    match opening {
        Opening::Http => {}
        // Clear text for a server that speaks TLS would be refused there.
        Opening::Other if reverse.origin.scheme == Scheme::Https => return proxy.tally.malformed(),
        opening => return tunnel(stop).begin(opening, link, secured, tried).await,
    }
    if reverse.address == Address::Translated {
        let front = Origin::new(scheme, &host_of(visitor.local), visitor.local.port());
        let mask = Mask::new(reverse.origin.clone(), front, proxy.tally.clone());
        link = Link::new(Box::new(Edited::new(link.into_io(), Facing::Client, mask)), proxy.clock);
    }
    let client = Client::new(proxy.clone(), visitor, link, Route::Reverse(reverse.origin.clone()), stop);
    client.secured(None, tried).converse().await;
}

/// Ends the client's TLS with a certificate for the name by which it knows us. What is agreed on with it is what the server
/// chooses; heads that are to be changed have to be of HTTP/1.
async fn accept(
    proxy: &Proxy,
    visitor: Visitor,
    mut link: Link,
    reverse: &Reverse,
) -> Option<(Link, Option<Vec<u8>>, Tried)> {
    let Ok(Ok(hello)) = timeout(HANDSHAKE_LIMIT, Hello::read(&mut link)).await else {
        proxy.tally.malformed();
        return None;
    };
    let offers = hello.offers();
    let known_as = hello.sni.clone().unwrap_or_else(|| visitor.local.ip().to_canonical().to_string());
    let mirrored = reverse.address == Address::Kept && reverse.origin.scheme == Scheme::Https;
    let tried = match mirrored {
        true => Some(Upstream::open(proxy, visitor.way, &reverse.origin, None, &offers).await),
        false => None,
    };
    let alpn = match &tried {
        Some(Ok(server)) => server.alpn.clone().map(String::into_bytes),
        _ => offers.iter().any(|offer| offer == HTTP1).then(|| HTTP1.to_vec()),
    };
    let refused = |refusal| {
        proxy.tally.refused(&known_as, visitor.peer.ip(), refusal, Consequence::NotWanted);
    };
    let config = match proxy.tls.server_config(&Names::of_host(&known_as), alpn.as_deref()).await {
        Ok(config) => config,
        Err(error) => {
            refused(Refusal::Misfit(format!("no certificate could be made: {error}")));
            return None;
        }
    };
    match timeout(HANDSHAKE_LIMIT, hello.answer(link, config)).await {
        Ok(Ok(stream)) => Some((Link::new(Box::new(stream), proxy.clock), alpn, tried)),
        Ok(Err((error, _open))) => {
            refused(refusal(&error));
            None
        }
        Err(_) => {
            refused(Refusal::Misfit("it did not end within 15 seconds".into()));
            None
        }
    }
}

fn host_of(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
