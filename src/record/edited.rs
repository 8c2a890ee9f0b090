//! A connection whose HTTP heads are changed as they pass: an [`Editor`] around a stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::editor::{Edit, Editor};
use super::link::Io;

/// How much is read at once.
const READ_BYTES: usize = 32 * 1024;

/// Who is at the other end of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Facing {
    /// Requests are read, responses are written.
    Client,
    /// Requests are written, responses are read.
    Server,
}

/// The stream as the rest of the program sees it.
pub(super) struct Edited<E> {
    io: Io,
    editor: Editor<E>,
    facing: Facing,
    /// Edited and not yet read from here.
    incoming: BytesMut,
    /// Edited and not yet written to the stream; at most what one write amounts to.
    outgoing: BytesMut,
    ended: bool,
    /// Where the stream's bytes are read into.
    room: Box<[u8]>,
}

impl<E: Edit> Edited<E> {
    /// Around a stream through which nothing has gone yet.
    pub(super) fn new(io: Io, facing: Facing, edit: E) -> Self {
        let (incoming, outgoing) = (BytesMut::new(), BytesMut::new());
        let room = vec![0; READ_BYTES].into_boxed_slice();
        Self { io, editor: Editor::new(edit), facing, incoming, outgoing, ended: false, room }
    }

    fn take_in(&mut self, count: usize) -> io::Result<()> {
        let bytes = &self.room[..count];
        match (self.facing, count) {
            (Facing::Client, 0) => self.editor.requests_end(&mut self.incoming),
            (Facing::Server, 0) => self.editor.responses_end(&mut self.incoming),
            (Facing::Client, _) => self.editor.requests(bytes, &mut self.incoming),
            (Facing::Server, _) => return self.editor.responses(bytes, &mut self.incoming),
        }
        Ok(())
    }

    fn give_out(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.facing {
            Facing::Client => self.editor.responses(bytes, &mut self.outgoing),
            Facing::Server => {
                self.editor.requests(bytes, &mut self.outgoing);
                Ok(())
            }
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<E: Edit> AsyncRead for Edited<E> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.incoming.is_empty() && !this.ended {
            let mut window = ReadBuf::new(&mut this.room);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut window))?;
            let count = window.filled().len();
            this.ended = count == 0;
            this.take_in(count)?;
        }
        let count = this.incoming.len().min(buf.remaining());
        buf.put_slice(&this.incoming[..count]);
        this.incoming.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<E: Edit> AsyncWrite for Edited<E> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        let piece = &buf[..buf.len().min(READ_BYTES)];
        this.give_out(piece)?;
        // What the stream does not take now is drained before the next write or by the flush.
        match this.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(piece.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.facing {
            Facing::Client => this.editor.responses_end(&mut this.outgoing),
            Facing::Server => this.editor.requests_end(&mut this.outgoing),
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

    use crate::wire::http1::{RequestHead, ResponseHead};

    use super::*;

    /// Puts a letter before every head.
    struct Lettered;

    impl Edit for Lettered {
        fn request(&mut self, head: &RequestHead, out: &mut BytesMut) {
            out.extend_from_slice(&[b"X-", &head.raw[..]].concat());
        }

        fn response(&mut self, head: &ResponseHead, out: &mut BytesMut) -> io::Result<()> {
            out.extend_from_slice(&head.raw);
            Ok(())
        }
    }

    #[tokio::test]
    async fn everything_arrives_through_a_narrow_stream_both_ways() {
        let (far, near) = duplex(3);
        let (mut far_in, mut far_out) = split(far);
        let (mut near_in, mut near_out) = split(Edited::new(Box::new(near), Facing::Server, Lettered));
        let body = vec![b'b'; 100_000];
        let request = [b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", &body[..]].concat();
        let response = [b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let sent = async {
            near_out.write_all(&request).await.unwrap();
            near_out.flush().await.unwrap();
            near_out.shutdown().await.unwrap();
        };
        let heard = async {
            far_in.read_to_end(&mut up).await.unwrap();
            far_out.write_all(&response).await.unwrap();
            far_out.shutdown().await.unwrap();
        };
        tokio::join!(sent, heard, async { near_in.read_to_end(&mut down).await.unwrap() });
        assert_eq!(up, [b"X-", &request[..]].concat());
        assert_eq!(down, response);
    }

    #[tokio::test]
    async fn half_a_head_before_the_end_is_not_swallowed() {
        let (far, near) = duplex(64);
        let (mut far_in, mut far_out) = split(far);
        let (mut near_in, mut near_out) = split(Edited::new(Box::new(near), Facing::Client, Lettered));
        far_out.write_all(b"GET / HT").await.unwrap();
        far_out.shutdown().await.unwrap();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        near_in.read_to_end(&mut up).await.unwrap();
        near_out.write_all(b"HTTP/1.1 4").await.unwrap();
        near_out.shutdown().await.unwrap();
        far_in.read_to_end(&mut down).await.unwrap();
        assert_eq!((&up[..], &down[..]), (&b"GET / HT"[..], &b"HTTP/1.1 4"[..]));
    }
}
