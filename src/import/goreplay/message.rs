//! One HTTP/1 message in memory, taken apart as far as it goes. Main type: [`Parts`].

use crate::model::Headers;
use crate::wire::http1::{Event, Framing, Http1Error, Limits, Reader, RequestHead, ResponseHead};

/// A piece of a message.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// The head of a request.
    Request(RequestHead, Framing),
    /// The head of a response, interim or final.
    Response(ResponseHead, Framing),
    /// The next bytes of the body.
    Body(&'a [u8]),
    /// The end, with the trailers.
    End(Headers),
}

/// The pieces of a message in order.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    reader: Reader,
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Those of a request.
    pub(super) fn of_request(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::observed_requests(Limits::default()), rest: bytes }
    }

    /// Those of the response to a request with this method.
    pub(super) fn of_response(bytes: &'a [u8], method: &str) -> Self {
        let mut reader = Reader::observed_responses(Limits::default());
        reader.expect(method);
        Self { reader, rest: bytes }
    }

    /// The next one; none when the bytes end where no message is.
    ///
    /// # Errors
    /// When the bytes are no message, or end inside it.
    pub(super) fn next(&mut self) -> Result<Option<Part<'a>>, Http1Error> {
        loop {
            let progress = self.reader.read(self.rest)?;
            let input = self.rest;
            self.rest = self.rest.get(progress.consumed..).unwrap_or_default();
            let event = match progress.event {
                Some(event) => event,
                None if progress.consumed > 0 => continue,
                None => match self.reader.end_of_input()? {
                    Some(event) => event,
                    None => return Ok(None),
                },
            };
            return Ok(Some(match event {
                Event::Request(head, framing) => Part::Request(head, framing),
                Event::Response(head, framing) => Part::Response(head, framing),
                Event::Body(range) => Part::Body(input.get(range).unwrap_or_default()),
                Event::End(trailers) => Part::End(trailers),
            }));
        }
    }

    /// What was not looked at yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
