//! A client's first TLS message, read without losing a byte of it: the connection can still be passed through. Main type:
//! [`Hello`].

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{Accepted, Acceptor};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::passthrough::PassReason;
use super::{Offers, Tls};
use crate::record::link::{Io, Link};

/// What a client wants of TLS. Its bytes are still in the link.
pub(in crate::record) struct Hello {
    accepted: Accepted,
    /// Bytes of the link that the handshake has seen.
    taken: usize,
    /// Server name asked for.
    pub(in crate::record) sni: Option<String>,
}

/// Why there is no hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum HelloError {
    /// It looks like TLS and cannot be read.
    Unreadable,
    /// The client closed, or its connection broke.
    Closed,
}

impl Hello {
    /// Waits until the message is whole.
    pub(in crate::record) async fn read(link: &mut Link) -> Result<Self, HelloError> {
        let mut acceptor = Acceptor::default();
        let mut taken = 0;
        loop {
            while let rest @ [_, ..] = &link.intake.bytes[taken..] {
                let mut unread = rest;
                let read = acceptor.read_tls(&mut unread).map_err(|_| HelloError::Unreadable)?;
                taken += read;
                match acceptor.accept() {
                    Ok(Some(accepted)) => {
                        let sni = accepted.client_hello().server_name().map(str::to_owned);
                        return Ok(Self { accepted, taken, sni });
                    }
                    Ok(None) if read > 0 => {}
                    Ok(None) | Err(_) => return Err(HelloError::Unreadable),
                }
            }
            if !matches!(link.intake.more().await, Ok(1..)) {
                return Err(HelloError::Closed);
            }
        }
    }

    /// Why a handshake would be of no use; then the connection is better passed through at once.
    pub(in crate::record) fn misfit(&self, tls: &Tls) -> Option<PassReason> {
        let hello = self.accepted.client_hello();
        (!tls.shares_a_suite(hello.cipher_suites())).then_some(PassReason::OldTls)
    }

    /// Protocols that the client offers.
    pub(in crate::record) fn offers(&self) -> Offers {
        super::offers(self.accepted.client_hello().alpn().into_iter().flatten())
    }

    /// Goes on with the handshake. When it fails the connection comes back beside the error: while it is open, the client does
    /// not come again, and what it did can be noted.
    pub(in crate::record) async fn answer(
        self,
        mut link: Link,
        config: Arc<ServerConfig>,
    ) -> Result<TlsStream<Io>, (io::Error, Io)> {
        link.intake.used(self.taken);
        StartHandshake::from_parts(self.accepted, link.into_io()).into_stream(config).into_fallible().await
    }
}
