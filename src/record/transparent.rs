//! Connections that the system redirected here, or whose server is known by its address alone: they are recorded under
//! the name that TLS or `Host` gives, and go on to that very address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::model::{Origin, Scheme};

use super::Proxy;
use super::chain::Way;
use super::client::Client;
use super::connection::{KnownBy, Tunnel, Visitor, heard};
use super::link::Link;
use super::listener::Stop;
use super::opening::Opening;
use super::pages::Page;
use super::target::Route;

/// What is said to those who connect by themselves.
const NOT_REDIRECTED: &str = "this connection was not redirected here: --mode transparent serves what iptables or \
                              nftables REDIRECT to it, not clients that connect to it themselves";

/// Serves one client to its end.
pub(super) async fn serve(proxy: Arc<Proxy>, visitor: Visitor, tcp: TcpStream, mut stop: Stop) {
    let own = tcp.local_addr().ok();
    let destination = original_destination(&tcp).ok();
    let destination = destination.filter(|address| Some(*address) != own && !proxy.is_itself(*address));
    let mut link = Link::new(Box::new(tcp), proxy.clock);
    match destination {
        Some(address) => enter(proxy, visitor, address, link, stop).await,
        None => {
            proxy.tally.astray("not redirected", NOT_REDIRECTED);
            if heard(&mut link, &mut stop).await && Opening::sniff(&mut link, &mut stop).await == Opening::Http {
                let page = Page::astray(NOT_REDIRECTED);
                Client::new(proxy, visitor, link, Route::Absolute, stop).refuse("GET", &page).await;
            }
        }
    }
}

/// Serves a client that wants to talk to this address.
pub(super) async fn enter(proxy: Arc<Proxy>, visitor: Visitor, address: SocketAddr, link: Link, stop: Stop) {
    let visitor = Visitor { way: Way::to(address), ..visitor };
    let host = match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let origin = Origin::new(Scheme::Https, &host, address.port());
    Tunnel { proxy, visitor, origin, known_by: KnownBy::Address, stop }.serve(link).await;
}

/// Where a connection was going before the system redirected it here (`SO_ORIGINAL_DST`).
#[cfg(target_os = "linux")]
fn original_destination(tcp: &TcpStream) -> io::Result<SocketAddr> {
    match tcp.local_addr()?.ip().to_canonical() {
        IpAddr::V4(_) => Ok(rustix::net::sockopt::ip_original_dst(tcp)?.into()),
        IpAddr::V6(_) => Ok(rustix::net::sockopt::ipv6_original_dst(tcp)?.into()),
    }
}

/// Only Linux tells.
#[cfg(not(target_os = "linux"))]
fn original_destination(_: &TcpStream) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
