//! One connection of one virtual user: plain or TLS bytes, and the reader of what the server sends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::wire::http1::{Limits, Reader};

/// Bytes to and from a server.
#[derive(Debug)]
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Inside TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Writes what can be written now.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Pushes out what the stream still holds.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Reads what is there; zero bytes mean that the server closed.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        let read = match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        };
        read.map(|done| match done {
            Ok(()) => Ok(buffer.filled().len()),
            // A server that closes without saying so in TLS has closed all the same; what was promised by length or
            // chunks is checked by the reader.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(e) => Err(e),
        })
    }
}

/// An open connection, idle or carrying one exchange.
#[derive(Debug)]
pub struct Connection {
    /// Its bytes.
    pub stream: Stream,
    /// Reads the answers, one after another.
    pub reader: Reader,
}

impl Connection {
    /// A connection that has carried nothing.
    pub fn new(stream: Stream) -> Self {
        Self { stream, reader: Reader::responses(Limits::default()) }
    }

    /// Whether the idle connection is fit for another exchange: neither closed nor spoken on out of turn.
    pub fn is_fit(&mut self) -> bool {
        let mut byte = [0; 1];
        self.stream.poll_read(&mut Context::from_waker(Waker::noop()), &mut byte).is_pending()
    }
}
