//! The way to servers: direct, or through another proxy. Main types: [`Egress`] (for all), [`Way`] (of one client).

mod absolute;
mod proxy;
mod tunnel;

use std::net::SocketAddr;

use super::host_pattern::HostPattern;

pub use proxy::{ProxyUrlError, UpstreamProxy};

pub(super) use absolute::AbsoluteForm;
pub(super) use proxy::Kind;
pub(super) use tunnel::{TunnelError, dig};

/// Where connections to servers go first.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// All go through this proxy; directly when there is none.
    pub proxy: Option<UpstreamProxy>,
    /// Except to these hosts.
    pub direct: Vec<HostPattern>,
}

impl Egress {
    /// The proxy on the way to this host, if any.
    pub(super) fn toward(&self, host: &str, port: u16) -> Option<&UpstreamProxy> {
        self.proxy.as_ref().filter(|_| !self.direct.iter().any(|pattern| pattern.covers(host, port)))
    }
}

/// How the servers of one client connection are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// The address that the client itself chose, whatever the names in its requests.
    pub(super) address: Option<SocketAddr>,
    /// What the client takes us for.
    pub(super) manner: Manner,
}

/// What a client takes us for, and what we then ask of another proxy for clear-text requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// Who passes requests on, one by one.
    #[default]
    Relayed,
    /// Who passes bytes on: it asked for a tunnel.
    Tunnelled,
}

impl Way {
    /// The same, inside a tunnel.
    pub(super) fn tunnelled(self) -> Self {
        Self { manner: Manner::Tunnelled, ..self }
    }

    /// Straight to this address.
    pub(super) fn to(address: SocketAddr) -> Self {
        Self { address: Some(address), manner: Manner::default() }
    }
}
