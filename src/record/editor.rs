//! Changes the heads of one HTTP/1 connection in passing, and nothing else of it. Bytes in, bytes out: [`Editor`].
//!
//! What it cannot read it passes on as it came, from there to the end: whoever comes after it refuses it.

use std::io;

use bytes::{Buf, BytesMut};

use crate::wire::http1::{Event, Framing, Limits, Reader, RequestHead, ResponseHead};

/// What is changed.
pub(super) trait Edit: Send + Unpin {
    /// Appends the head of a request as it goes on.
    fn request(&mut self, head: &RequestHead, out: &mut BytesMut);

    /// Appends the head of a response, final or interim, as it goes on.
    ///
    /// # Errors
    /// When it must not go on; the connection is then of no use.
    fn response(&mut self, head: &ResponseHead, out: &mut BytesMut) -> io::Result<()>;
}

/// Both directions of one connection.
pub(super) struct Editor<E> {
    edit: E,
    requests: Lane,
    responses: Lane,
}

/// One direction.
struct Lane {
    reader: Reader,
    /// Begins a head that is not all there.
    kept: BytesMut,
    /// What comes is no HTTP, or none that can be read.
    opaque: bool,
}

impl<E: Edit> Editor<E> {
    /// At the start of a connection.
    pub(super) fn new(edit: E) -> Self {
        let requests = Lane::new(Reader::requests(Limits::default()));
        Self { edit, requests, responses: Lane::new(Reader::responses(Limits::default())) }
    }

    /// Takes what the client said; appends what goes on to the server.
    pub(super) fn requests(&mut self, bytes: &[u8], out: &mut BytesMut) {
        self.requests.kept.extend_from_slice(bytes);
        while let Some((event, consumed)) = self.requests.next(out) {
            match event {
                Some(Event::Request(head, _)) => {
                    self.responses.reader.expect(&head.method);
                    self.edit.request(&head, out);
                }
                _ => out.extend_from_slice(&self.requests.kept[..consumed]),
            }
            self.requests.kept.advance(consumed);
        }
    }

    /// Takes what the server said; appends what goes on to the client.
    ///
    /// # Errors
    /// When a response must not go on.
    pub(super) fn responses(&mut self, bytes: &[u8], out: &mut BytesMut) -> io::Result<()> {
        self.responses.kept.extend_from_slice(bytes);
        while let Some((event, consumed)) = self.responses.next(out) {
            match event {
                Some(Event::Response(head, framing)) => {
                    if framing == Framing::Tunnel {
                        self.requests.opaque = true;
                        self.responses.opaque = true;
                    }
                    self.edit.response(&head, out)?;
                }
                _ => out.extend_from_slice(&self.responses.kept[..consumed]),
            }
            self.responses.kept.advance(consumed);
        }
        Ok(())
    }

    /// What the client said last, behind which it closed.
    pub(super) fn requests_end(&mut self, out: &mut BytesMut) {
        self.requests.give_up(out);
    }

    /// What the server said last, behind which it closed.
    pub(super) fn responses_end(&mut self, out: &mut BytesMut) {
        self.responses.give_up(out);
    }
}

impl Lane {
    fn new(reader: Reader) -> Self {
        Self { reader, kept: BytesMut::new(), opaque: false }
    }

    /// The next step, and of how many bytes it speaks. None when all that can go on has gone.
    fn next(&mut self, out: &mut BytesMut) -> Option<(Option<Event>, usize)> {
        if !self.opaque {
            match self.reader.read(&self.kept) {
                Ok(step) if step.consumed == 0 && step.event.is_none() => return None,
                Ok(step) => return Some((step.event, step.consumed)),
                Err(_) => self.opaque = true,
            }
        }
        self.give_up(out);
        None
    }

    fn give_up(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&self.kept);
        self.kept.clear();
    }
}

/// What becomes of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Keep,
    Value(Vec<u8>),
    Drop,
}

/// Appends a head whose fields are changed one by one; every other byte stays as it came.
pub(super) fn edit_fields(raw: &[u8], out: &mut BytesMut, mut change: impl FnMut(&[u8], &[u8]) -> Change) {
    let mut lines = raw.split_inclusive(|&b| b == b'\n');
    out.extend_from_slice(lines.next().unwrap_or_default());
    for line in lines {
        let Some(colon) = line.iter().position(|&b| b == b':') else {
            out.extend_from_slice(line);
            continue;
        };
        let value = line[colon + 1..].trim_ascii();
        match change(&line[..colon], value) {
            Change::Keep => out.extend_from_slice(line),
            Change::Drop => {}
            Change::Value(new) => {
                out.extend_from_slice(&line[..=colon]);
                out.extend_from_slice(b" ");
                out.extend_from_slice(&new);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names every head that it sees.
    struct Shout;

    impl Edit for Shout {
        fn request(&mut self, head: &RequestHead, out: &mut BytesMut) {
            edit_fields(&head.raw, out, |name, value| match name {
                b"Host" => Change::Value(value.to_ascii_uppercase()),
                b"Gone" => Change::Drop,
                _ => Change::Keep,
            });
        }

        fn response(&mut self, head: &ResponseHead, out: &mut BytesMut) -> io::Result<()> {
            if head.status == 407 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            out.extend_from_slice(format!("<{}>", head.status).as_bytes());
            out.extend_from_slice(&head.raw);
            Ok(())
        }
    }

    /// Both directions, each in pieces of so many bytes, the requests first.
    fn edited(requests: &[u8], responses: &[u8], piece: usize) -> (String, String) {
        let mut editor = Editor::new(Shout);
        let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
        requests.chunks(piece).for_each(|bytes| editor.requests(bytes, &mut up));
        responses.chunks(piece).for_each(|bytes| editor.responses(bytes, &mut down).unwrap());
        editor.requests_end(&mut up);
        editor.responses_end(&mut down);
        let text = |bytes: BytesMut| String::from_utf8(bytes.to_vec()).unwrap();
        (text(up), text(down))
    }

    #[test]
    fn heads_change_and_bodies_do_not_however_the_bytes_come() {
        let requests =
            b"POST /a HTTP/1.1\r\nHost:a\r\nGone: 1\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nHost: b\r\n0\r\n\r\n\
                         HEAD /b HTTP/1.1\r\nx:Y\r\nHost:  c \r\n\r\n";
        let up = "POST /a HTTP/1.1\r\nHost: A\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nHost: b\r\n0\r\n\r\n\
                  HEAD /b HTTP/1.1\r\nx:Y\r\nHost: C\r\n\r\n";
        let responses =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nHTTPHTTP/1.1 204 No\r\n\r\n";
        let down = "<100>HTTP/1.1 100 Continue\r\n\r\n<200>HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nHTTP<204>HTTP/1.1 204 No\r\n\r\n";
        for piece in [1, 2, 7, 4096] {
            assert_eq!(edited(requests, responses, piece), (up.to_owned(), down.to_owned()), "{piece}");
        }
    }

    #[test]
    fn what_is_no_http_passes_as_it_came() {
        for (requests, responses) in [
            (&b"\x05\x01\x00"[..], &b"\x05\x00"[..]),
            (b"GET / HTTP/1.1\r\n folded\r\n\r\n", b"HTTP/1.1 400 Bad\r\n\r\n"),
            (b"GET / HT", b""),
        ] {
            for piece in [1, 4096] {
                let (up, down) = edited(requests, responses, piece);
                assert_eq!((up.as_bytes(), down.as_bytes()), (requests, responses));
            }
        }
    }

    #[test]
    fn behind_an_upgrade_nothing_is_read() {
        let mut editor = Editor::new(Shout);
        let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
        editor.requests(b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n", &mut up);
        editor.responses(b"HTTP/1.1 101 Yes\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n", &mut down).unwrap();
        editor.requests(b"GET / HTTP/1.1\r\nHost: a", &mut up);
        assert!(up.ends_with(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a"), "{up:?}");
        assert!(down.ends_with(b"\r\n\r\nHTTP/1.1 200 OK\r\n"), "{down:?}");
    }

    #[test]
    fn a_response_that_must_not_go_on_does_not() {
        let mut editor = Editor::new(Shout);
        let mut out = BytesMut::new();
        editor.requests(b"GET / HTTP/1.1\r\n\r\n", &mut BytesMut::new());
        assert!(editor.responses(b"HTTP/1.1 407 No\r\n\r\n", &mut out).is_err());
        assert!(out.is_empty());
    }
}
