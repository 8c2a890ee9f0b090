//! One end of a relayed connection: a stream, what has been read of it and not yet used, and when it came.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use crate::model::Nanos;

/// How much is read at once, and so the most that is held of a body in each direction.
const READ_BYTES: usize = 32 * 1024;

/// Anything bytes go through both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A socket, or TLS over one.
pub(super) type Io = Box<dyn Stream>;

/// Time since the anchor of the capture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    anchor: Instant,
}

impl Clock {
    /// Starts now.
    pub(super) fn start() -> Self {
        Self { anchor: Instant::now() }
    }

    /// Since the start.
    pub(super) fn now(self) -> Nanos {
        Nanos::from_duration(self.anchor.elapsed())
    }
}

/// Both directions of a connection.
pub(super) struct Link {
    /// What comes.
    pub(super) intake: Intake,
    /// What goes.
    pub(super) outlet: WriteHalf<Io>,
    /// Makes a socket end with a reset; none inside TLS, where an end without a word says the same.
    breaker: Option<Arc<AtomicBool>>,
}

/// The reading direction.
pub(super) struct Intake {
    half: ReadHalf<Io>,
    /// Read and not yet used.
    pub(super) bytes: BytesMut,
    /// When the first of `bytes` came.
    pub(super) first: Nanos,
    /// When the last of `bytes` came.
    pub(super) last: Nanos,
    clock: Clock,
}

impl Link {
    /// From a whole stream.
    pub(super) fn new(io: Io, clock: Clock) -> Self {
        let (half, outlet) = tokio::io::split(io);
        let intake = Intake { half, bytes: BytesMut::new(), first: Nanos(0), last: Nanos(0), clock };
        Self { intake, outlet, breaker: None }
    }

    /// From a client's socket, which can be broken.
    pub(super) fn breakable(tcp: TcpStream, clock: Clock) -> Self {
        let broken = Arc::new(AtomicBool::new(false));
        let breaker = Some(broken.clone());
        Self { breaker, ..Self::new(Box::new(Breakable { tcp, broken }), clock) }
    }

    /// Once it is dropped, the peer sees that this was not all, even where the end of the stream ends the message.
    pub(super) fn break_off(&self) {
        if let Some(breaker) = &self.breaker {
            breaker.store(true, Ordering::Relaxed);
        }
    }

    /// The whole stream again; what was read and not used comes first.
    pub(super) fn into_io(self) -> Io {
        let io = self.intake.half.unsplit(self.outlet);
        if self.intake.bytes.is_empty() { io } else { Box::new(Prefixed { prefix: self.intake.bytes, io }) }
    }
}

impl Intake {
    /// Reads more; 0 at the end. A TLS peer that closes without saying so is at its end, too. Cancellation-safe.
    pub(super) async fn more(&mut self) -> io::Result<usize> {
        let was_empty = self.bytes.is_empty();
        self.bytes.reserve(READ_BYTES);
        let mut window = (&mut self.half).take(READ_BYTES as u64);
        let count = match window.read_buf(&mut self.bytes).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            result => result?,
        };
        if count > 0 {
            self.last = self.clock.now();
            if was_empty {
                self.first = self.last;
            }
        }
        Ok(count)
    }

    /// Whether something, if only the end, can be read now; what is read is thrown away, so only for streams that should
    /// be silent.
    pub(super) fn poll_noise(&mut self, context: &mut Context<'_>) -> bool {
        let mut room = [0; 16];
        !self.bytes.is_empty() || Pin::new(&mut self.half).poll_read(context, &mut ReadBuf::new(&mut room)).is_ready()
    }

    /// Drops the first `count` bytes.
    pub(super) fn used(&mut self, count: usize) {
        if count > 0 {
            self.bytes.advance(count);
            self.first = self.last;
        }
    }
}

/// A socket that ends with a reset when told so, else with a FIN.
struct Breakable {
    tcp: TcpStream,
    broken: Arc<AtomicBool>,
}

impl Drop for Breakable {
    fn drop(&mut self) {
        if self.broken.load(Ordering::Relaxed) {
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Breakable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

/// A stream of which the beginning was read already.
struct Prefixed {
    prefix: BytesMut,
    io: Io,
}

impl AsyncRead for Prefixed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let count = this.prefix.len().min(buf.remaining());
        buf.put_slice(&this.prefix[..count]);
        this.prefix.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_read_and_not_used_comes_first_again() {
        let (mut far, near) = duplex(64);
        let mut link = Link::new(Box::new(near), Clock::start());
        far.write_all(b"abcdef").await.unwrap();
        assert_eq!(link.intake.more().await.unwrap(), 6);
        link.intake.used(2);
        far.write_all(b"ghi").await.unwrap();
        drop(far);
        let mut all = Vec::new();
        link.into_io().read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"cdefghi");
    }
}
