//! Opens connections to the targets of a plan, and to nothing else: addresses are looked up once, before the run.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::measure::{Failure, Phases};
use crate::model::{Origin, Scheme};

use super::clock::Clock;
use super::connection::{Connection, Stream};
use super::error::ReplayError;
use super::exchange::Broken;

/// A server that the plan names.
#[derive(Clone, Debug)]
pub struct Target {
    /// As named.
    pub origin: Origin,
    /// What a `Host` field says.
    pub authority: String,
    addresses: Vec<SocketAddr>,
    /// The name its certificate must have; none for plain targets.
    name: Option<ServerName<'static>>,
}

impl Target {
    /// Looks the target up. Blocks.
    ///
    /// # Errors
    /// When its name has no address, or is none that a certificate could have.
    pub fn resolve(origin: &Origin) -> Result<Self, ReplayError> {
        let unknown = |source| ReplayError::Resolve { target: origin.to_string(), source };
        let addresses: Vec<_> = (origin.dial_host(), origin.port).to_socket_addrs().map_err(unknown)?.collect();
        if addresses.is_empty() {
            return Err(unknown(io::Error::from(io::ErrorKind::NotFound)));
        }
        let name = match origin.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let host = origin.dial_host().to_owned();
                Some(ServerName::try_from(host).map_err(|_| ReplayError::ServerName(origin.to_string()))?)
            }
        };
        Ok(Self { origin: origin.clone(), authority: origin.authority(), addresses, name })
    }

    /// Whether connections to it are TLS.
    pub fn is_tls(&self) -> bool {
        self.name.is_some()
    }

    /// Opens a connection, noting how long its phases took.
    ///
    /// # Errors
    /// When there is no connection within `limit`, or no TLS on it within another `limit`.
    pub async fn dial(
        &self,
        tls: Option<&Arc<ClientConfig>>,
        limit: Duration,
        clock: Clock,
        phases: &mut Phases,
    ) -> Result<Connection, Broken> {
        let begun = clock.now();
        let connected = timeout(limit, self.connect()).await;
        let now = clock.now();
        let stream = connected
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {limit:?}"))))
            .map_err(|e| self.no_connection(&e))?;
        phases.connect = Some(now.since(begun));
        // Without it small requests wait for the acknowledgement of the ones before.
        let _ = stream.set_nodelay(true);
        let (Some(config), Some(name)) = (tls, &self.name) else {
            return Ok(Connection::new(Stream::Plain(stream)));
        };
        self.handshake(config, name, stream, limit).await.inspect(|_| {
            phases.tls = Some(clock.now().since(now));
        })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in &self.addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn handshake(
        &self,
        config: &Arc<ClientConfig>,
        name: &ServerName<'static>,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<Connection, Broken> {
        let connector = TlsConnector::from(Arc::clone(config));
        match timeout(limit, connector.connect(name.clone(), stream)).await {
            Ok(Ok(stream)) => Ok(Connection::new(Stream::Tls(Box::new(stream)))),
            Ok(Err(error)) => Err(Broken::new(Failure::Tls, format!("{}: {error}", self.origin))),
            Err(_) => Err(Broken::new(Failure::Timeout, format!("{}: no TLS handshake within {limit:?}", self.origin))),
        }
    }

    fn no_connection(&self, error: &io::Error) -> Broken {
        let class = match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            _ => Failure::Connect,
        };
        Broken::new(class, format!("{}: {error}", self.origin))
    }
}
