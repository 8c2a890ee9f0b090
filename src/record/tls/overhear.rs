//! What a client thinks of a server's own certificate, told from outside: record headers alone, nothing is decrypted. Main type:
//! [`Overheard`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const HEADER_BYTES: usize = 5;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// An alert as TLS 1.3 hides it: two bytes, their type, the tag (RFC 8446 §5.2, all AEADs but CCM_8). The message that a client
/// sends otherwise at that point, its Finished, is at least 53 bytes long.
const HIDDEN_ALERT_BYTES: usize = 19;

/// What the client made of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum Opinion {
    /// It went on.
    Accepted,
    /// It sent an alert instead.
    Refused,
}

/// Follows the records that a client sends, from its first byte on.
#[derive(Debug, Default)]
struct Records {
    header: Vec<u8>,
    /// Bytes of the record under way that are still to come.
    rest: usize,
}

impl Records {
    /// Takes more bytes; says when the matter is decided, after which nothing more should come.
    fn take(&mut self, mut bytes: &[u8]) -> Option<Opinion> {
        while !bytes.is_empty() {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = &bytes[skipped..];
            let count = (HEADER_BYTES - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if let [kind, _, _, high, low] = self.header[..] {
                let length = usize::from(u16::from_be_bytes([high, low]));
                match kind {
                    HANDSHAKE | CHANGE_CIPHER_SPEC => {}
                    ALERT => return Some(Opinion::Refused),
                    APPLICATION_DATA if length == HIDDEN_ALERT_BYTES => return Some(Opinion::Refused),
                    _ => return Some(Opinion::Accepted),
                }
                self.header.clear();
                self.rest = length;
            }
        }
        None
    }
}

/// A client's stream that calls back once, when the client's opinion shows.
pub(in crate::record) struct Overheard<S, F> {
    inner: S,
    records: Records,
    hear: Option<F>,
}

impl<S, F: FnOnce(Opinion)> Overheard<S, F> {
    /// Of a connection from its first byte on.
    pub(in crate::record) fn of(inner: S, hear: F) -> Self {
        Self { inner, records: Records::default(), hear: Some(hear) }
    }
}

impl<S: AsyncRead + Unpin, F: FnOnce(Opinion) + Unpin> AsyncRead for Overheard<S, F> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        if this.hear.is_some()
            && let Some(opinion) = this.records.take(&buf.filled()[before..])
            && let Some(hear) = this.hear.take()
        {
            hear(opinion);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin, F: Unpin> AsyncWrite for Overheard<S, F> {
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
    use super::*;

    fn record(kind: u8, length: u16) -> Vec<u8> {
        let mut record = vec![kind, 3, 3];
        record.extend_from_slice(&length.to_be_bytes());
        record.resize(HEADER_BYTES + usize::from(length), ALERT);
        record
    }

    #[test]
    fn an_alert_in_place_of_the_handshakes_end_is_a_refusal_however_the_bytes_are_cut() {
        for (records, opinion) in [
            (vec![record(HANDSHAKE, 517)], None),
            (vec![record(HANDSHAKE, 517), record(CHANGE_CIPHER_SPEC, 1)], None),
            (vec![record(HANDSHAKE, 517), record(ALERT, 2)], Some(Opinion::Refused)),
            (vec![record(HANDSHAKE, 517), record(CHANGE_CIPHER_SPEC, 1), record(23, 19)], Some(Opinion::Refused)),
            (vec![record(HANDSHAKE, 517), record(CHANGE_CIPHER_SPEC, 1), record(23, 53)], Some(Opinion::Accepted)),
            (vec![record(HANDSHAKE, 517), record(HANDSHAKE, 37), record(23, 200)], Some(Opinion::Accepted)),
            (vec![record(HANDSHAKE, 0), record(HANDSHAKE, 0), record(99, 9)], Some(Opinion::Accepted)),
        ] {
            let bytes = records.concat();
            for size in [1, 2, 7, 4096] {
                let mut state = Records::default();
                let found = bytes.chunks(size).find_map(|chunk| state.take(chunk));
                assert_eq!(found, opinion, "{records:?} in pieces of {size}");
            }
        }
    }
}
