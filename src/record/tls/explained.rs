//! A server's TLS stream whose alerts say what can be done about them. Main type: [`Explained`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{alert, alert_text};

/// Passes everything on; only errors change.
pub(in crate::record) struct Explained<S>(pub(in crate::record) S);

/// A server's last word. In TLS 1.3 a server that misses a client certificate says so only after the handshake.
#[derive(Debug, thiserror::Error)]
enum Alerted {
    #[error("the server asks for a client certificate; restart the recording with `--client-cert FILE`")]
    CertificateRequired,
    #[error("the server ended the connection with the TLS alert {0}")]
    Other(String),
}

fn explain(error: io::Error) -> io::Error {
    let alerted = match alert(&error) {
        Some(AlertDescription::CertificateRequired) => Alerted::CertificateRequired,
        Some(alert) => Alerted::Other(alert_text(alert)),
        None => return error,
    };
    io::Error::new(error.kind(), alerted)
}

impl<S: AsyncRead + Unpin> AsyncRead for Explained<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf).map_err(explain)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explained<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf).map_err(explain)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx).map_err(explain)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx).map_err(explain)
    }
}
