//! Clients that speak SOCKS 5 to the proxy. What follows is sniffed like the inside of a `CONNECT` tunnel.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::model::{Origin, Scheme};
use crate::wire::socks5::{Asked, Host, Reply, Server, ServerError, Why};

use super::Proxy;
use super::client::Client;
use super::connection::{HANDSHAKE_LIMIT, KnownBy, Tunnel, Visitor, heard};
use super::link::Link;
use super::listener::Stop;
use super::pages::Page;
use super::target::Route;
use super::transparent;

pub(super) use crate::wire::socks5::VERSION;

/// First byte of SOCKS 4.
const VERSION_4: u8 = 4;

/// Serves one client to its end.
pub(super) async fn serve(proxy: Arc<Proxy>, visitor: Visitor, mut link: Link, mut stop: Stop) {
    if !heard(&mut link, &mut stop).await {
        return;
    }
    let first = link.intake.bytes.first().copied();
    let Asked { target, user } = match timeout(HANDSHAKE_LIMIT, negotiate(&proxy, visitor, &mut link)).await {
        Ok(Ok(Some(asked))) => asked,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return refuse(proxy, visitor, link, first, &error, stop).await,
        Err(_) => return proxy.tally.malformed(),
    };
    // A name that was checked is everybody's, unless people tell themselves apart by it.
    if let Some(user) = user.filter(|_| proxy.asks_user || proxy.door.asks(visitor.peer, visitor.local).is_none()) {
        proxy.tee.introduce(visitor.number, user);
    }
    let destination = match target.host {
        Host::Ip(ip) => Ok(Destination::Address(SocketAddr::new(ip, target.port))),
        Host::Name(name) => {
            Origin::from_authority(Scheme::Https, &format!("{name}:{}", target.port)).map(Destination::Server)
        }
    };
    let reply = if destination.is_ok() { Reply::Succeeded } else { Reply::HostUnreachable };
    if link.outlet.write_all(&reply.bytes()).await.is_err() || link.outlet.flush().await.is_err() {
        return;
    }
    match destination {
        Ok(Destination::Address(address)) => transparent::enter(proxy, visitor, address, link, stop).await,
        Ok(Destination::Server(origin)) => {
            Tunnel { proxy, visitor, origin, known_by: KnownBy::Name, stop }.serve(link).await
        }
        Err(_) => proxy.tally.malformed(),
    }
}

/// Where a client wants to go, once it is known that this can be a place.
enum Destination {
    Address(SocketAddr),
    Server(Origin),
}

/// None when the client leaves.
async fn negotiate(proxy: &Proxy, visitor: Visitor, link: &mut Link) -> Result<Option<Asked>, ServerError> {
    let credentials = proxy.door.asks(visitor.peer, visitor.local);
    let is_good = |user: &[u8], password: &[u8]| {
        credentials.is_none_or(|credentials| credentials.are(user, password, proxy.names()))
    };
    let mut server = match credentials {
        Some(_) => Server::guarded(&is_good),
        None => Server::new(proxy.asks_user),
    };
    loop {
        let step = server.read(&link.intake.bytes)?;
        link.intake.used(step.consumed);
        if link.outlet.write_all(&step.reply).await.is_err() || link.outlet.flush().await.is_err() {
            return Ok(None);
        }
        if step.done.is_some() {
            return Ok(step.done);
        }
        if step.consumed == 0 && !matches!(link.intake.more().await, Ok(1..)) {
            return Ok(None);
        }
    }
}

/// Tells the client, in a language it knows, and the operator.
async fn refuse(
    proxy: Arc<Proxy>,
    visitor: Visitor,
    mut link: Link,
    first: Option<u8>,
    error: &ServerError,
    stop: Stop,
) {
    if error.why == Why::Password {
        proxy.tally.turned_away(visitor.peer.ip());
    } else {
        proxy.tally.malformed();
    }
    match (error.why, first) {
        (Why::Version, Some(VERSION_4)) => {
            proxy.tally.astray("SOCKS 4", "a client speaks SOCKS 4; set it to SOCKS 5");
        }
        (Why::Version, Some(b'A'..=b'Z')) => {
            return Client::new(proxy, visitor, link, Route::Absolute, stop).refuse("GET", &Page::socks_only()).await;
        }
        (Why::Methods, _) if proxy.asks_user => {
            proxy.tally.astray("SOCKS user", "a SOCKS client has no user name and password; --user-by asks for them");
        }
        (Why::Methods, _) if proxy.door.asks(visitor.peer, visitor.local).is_some() => {
            proxy.tally.astray("SOCKS user", "a SOCKS client has no user name and password; other machines need them");
        }
        _ => {}
    }
    if link.outlet.write_all(&error.reply).await.is_ok() {
        let _ = link.outlet.shutdown().await;
    }
}
