//! Opens connections that carry bytes: straight to a server, or through another proxy; never back to ourselves.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::model::Span;

use super::Proxy;
use super::chain::{UpstreamProxy, Way, dig};
use super::link::Io;
use super::upstream::{CONNECT_LIMIT, ConnectError};

/// A connection to a server through which bytes go as they are, and how long it took to open.
pub(super) async fn dial(proxy: &Proxy, way: Way, host: &str, port: u16) -> Result<(Io, Span), ConnectError> {
    let start = proxy.clock.now();
    let io: Io = match proxy.egress.toward(host, port) {
        None => Box::new(within(straight(proxy, way.address, host, port)).await?),
        Some(next) => {
            if names_itself(proxy, host, port) {
                return Err(ConnectError::Itself);
            }
            let tcp = to_proxy(proxy, next).await?;
            let dug = dig(Box::new(tcp), proxy.clock, next, host, port);
            within(async { dug.await.map_err(|error| ConnectError::Tunnel(next.clone(), error)) }).await?
        }
    };
    Ok((io, Span { start, end: proxy.clock.now() }))
}

/// A connection to another proxy.
pub(super) async fn to_proxy(proxy: &Proxy, next: &UpstreamProxy) -> Result<TcpStream, ConnectError> {
    within(straight(proxy, None, &next.host, next.port)).await.map_err(|error| match error {
        ConnectError::Itself => ConnectError::Itself,
        error => ConnectError::Proxy(next.clone(), Box::new(error)),
    })
}

async fn within<T>(connecting: impl Future<Output = Result<T, ConnectError>>) -> Result<T, ConnectError> {
    timeout(CONNECT_LIMIT, connecting).await.map_err(|_| ConnectError::Timeout)?
}

/// TCP to this address, or to one of those that the name has.
async fn straight(
    proxy: &Proxy,
    address: Option<SocketAddr>,
    host: &str,
    port: u16,
) -> Result<TcpStream, ConnectError> {
    let addresses = match address {
        Some(address) => vec![address],
        None => lookup_host((host, port)).await.map_err(ConnectError::Name)?.collect(),
    };
    let mut last = None;
    for address in addresses {
        if proxy.is_itself(address) {
            return Err(ConnectError::Itself);
        }
        match TcpStream::connect(address).await {
            Ok(tcp) if proxy.is_at_the_end_of(&tcp) => return Err(ConnectError::Itself),
            Ok(tcp) => {
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(error) => last = Some(ConnectError::Tcp(error)),
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::Name(io::ErrorKind::NotFound.into())))
}

/// Whether a host that is not looked up here is this proxy all the same: another proxy would lead back.
pub(super) fn names_itself(proxy: &Proxy, host: &str, port: u16) -> bool {
    let ip = match host.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
        Err(_) => return false,
    };
    proxy.is_itself(SocketAddr::new(ip, port))
}

/// Whether a connection from `local` to `peer` has reached a listener on `own`, which may be all addresses of this machine:
/// within one machine both ends have the same.
pub(super) fn reached_listener(own: SocketAddr, local: SocketAddr, peer: SocketAddr) -> bool {
    own.ip().to_canonical().is_unspecified() && own.port() == peer.port() && local.ip() == peer.ip()
}

/// Whether connecting to `target` from this machine would reach a listener on `own`.
pub(super) fn same_listener(own: SocketAddr, target: SocketAddr) -> bool {
    let (own_ip, target_ip) = (own.ip().to_canonical(), target.ip().to_canonical());
    let reaches = own_ip == target_ip
        || (own_ip.is_unspecified() && target_ip.is_loopback())
        || (own_ip.is_loopback() && target_ip.is_unspecified());
    own.port() == target.port() && reaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_came_back_to_all_addresses_is_known_by_its_ends() {
        for (own, local, peer, back) in [
            ("0.0.0.0:80", "192.0.2.1:50000", "192.0.2.1:80", true),
            ("[::]:80", "192.0.2.1:50000", "192.0.2.1:80", true),
            ("0.0.0.0:80", "192.0.2.1:50000", "192.0.2.1:81", false),
            ("0.0.0.0:80", "192.0.2.1:50000", "192.0.2.2:80", false),
            ("192.0.2.9:80", "192.0.2.1:50000", "192.0.2.1:80", false),
        ] {
            let [own, local, peer] = [own, local, peer].map(|address| address.parse().unwrap());
            assert_eq!(reached_listener(own, local, peer), back, "{own} {local} {peer}");
        }
    }

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
}
