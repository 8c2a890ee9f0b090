//! Hears whether a client that saw our certificate then speaks: the first read of an intercepted connection tells. Main type:
//! [`FirstWord`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::passthrough::Refusal;
use super::{alert, alert_text};

/// A client that closes within this time after the handshake did not like what it saw; one that closes later had opened the
/// connection in advance and did not need it.
const SHORTLY: Duration = Duration::from_secs(2);

/// What a client did first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::record) enum Reaction {
    /// It sent something.
    Spoke,
    /// It refused.
    Refused(Refusal),
    /// It closed after a while.
    Unused,
}

/// A stream that calls back once, when the client speaks or ends the connection.
pub(in crate::record) struct FirstWord<S, F> {
    inner: S,
    since: Instant,
    hear: Option<F>,
}

impl<S, F: FnOnce(Reaction)> FirstWord<S, F> {
    /// Of a connection whose handshake has just ended.
    pub(in crate::record) fn of(inner: S, hear: F) -> Self {
        Self { inner, since: Instant::now(), hear: Some(hear) }
    }
}

/// From the first result of reading: so many bytes or an error, so long after the handshake.
fn reaction(read: Result<usize, &io::Error>, after: Duration) -> Reaction {
    let sent = read.err().and_then(alert).map(alert_text);
    match (read, sent) {
        (Ok(1..), _) => Reaction::Spoke,
        (Err(_), Some(alert)) => Reaction::Refused(Refusal::Alert(alert)),
        _ if after <= SHORTLY => Reaction::Refused(Refusal::Silent),
        _ => Reaction::Unused,
    }
}

impl<S: AsyncRead + Unpin, F: FnOnce(Reaction) + Unpin> AsyncRead for FirstWord<S, F> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (room, before) = (buf.remaining(), buf.filled().len());
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        if let Poll::Ready(result) = &polled
            && room > 0
            && let Some(hear) = this.hear.take()
        {
            let read = result.as_ref().map(|()| buf.filled().len() - before);
            hear(reaction(read, this.since.elapsed()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin, F: Unpin> AsyncWrite for FirstWord<S, F> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn the_first_read_tells_what_the_client_thinks_of_us() {
        let alert =
            io::Error::new(io::ErrorKind::InvalidData, rustls::Error::AlertReceived(AlertDescription::UnknownCA));
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let late = SHORTLY + Duration::from_millis(1);
        for (read, after, expected) in [
            (Ok(1), Duration::ZERO, Reaction::Spoke),
            (Ok(1), late, Reaction::Spoke),
            (Ok(0), Duration::ZERO, Reaction::Refused(Refusal::Silent)),
            (Ok(0), late, Reaction::Unused),
            (Err(&reset), Duration::ZERO, Reaction::Refused(Refusal::Silent)),
            (Err(&reset), late, Reaction::Unused),
            (Err(&alert), late, Reaction::Refused(Refusal::Alert("unknown_ca".into()))),
        ] {
            assert_eq!(reaction(read, after), expected, "{read:?} {after:?}");
        }
    }
}
