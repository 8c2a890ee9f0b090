//! TLS with a client that asks for the proxy's own name: the way to see whether it trusts the root. No server is asked for
//! its names, and a client that breaks off is no event of the recording.

use std::time::Duration;

use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::OWN_HOST;
use crate::record::Proxy;
use crate::record::link::Link;
use crate::record::tls::HTTP1;
use crate::record::tls::names::Names;

/// For the handshake.
const PATIENCE: Duration = Duration::from_secs(15);

/// The connection inside TLS; none when the client does not want it.
pub(in crate::record) async fn secured(proxy: &Proxy, link: Link) -> Option<Link> {
    let config = proxy.tls.server_config(&Names::of_host(OWN_HOST), Some(HTTP1)).await.ok()?;
    let stream = timeout(PATIENCE, TlsAcceptor::from(config).accept(link.into_io())).await.ok()?.ok()?;
    Some(Link::new(Box::new(stream), proxy.clock))
}
