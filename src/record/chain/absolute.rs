//! Clear-text requests through an HTTP proxy: in absolute form (RFC 9112 §3.2.2), with its credentials. Pure.

use std::io;

use bytes::BytesMut;

use crate::model::Origin;
use crate::wire::http1::{RequestHead, ResponseHead};

use super::super::editor::Edit;
use super::UpstreamProxy;

/// Makes requests of one connection fit for the proxy. It stands behind everything that records.
pub(in crate::record) struct AbsoluteForm {
    origin: Origin,
    authorization: Option<String>,
    /// As it is told to people.
    proxy: String,
}

impl AbsoluteForm {
    /// For requests to `origin` through `proxy`.
    pub(in crate::record) fn new(origin: Origin, proxy: &UpstreamProxy) -> Self {
        Self { origin, authorization: proxy.authorization(), proxy: proxy.to_string() }
    }
}

impl Edit for AbsoluteForm {
    fn request(&mut self, head: &RequestHead, out: &mut BytesMut) {
        let line_end = head.raw.iter().position(|&b| b == b'\n').map_or(head.raw.len(), |at| at + 1);
        let (line, rest) = head.raw.split_at(line_end);
        let version = line.iter().rposition(|&b| b == b' ').unwrap_or(0);
        out.extend_from_slice(head.method.as_bytes());
        out.extend_from_slice(format!(" {}", self.origin).as_bytes());
        // `OPTIONS *` has no path in absolute form.
        if head.target != b"*" {
            out.extend_from_slice(&head.target);
        }
        out.extend_from_slice(&line[version..]);
        if let Some(own) = &self.authorization {
            out.extend_from_slice(format!("Proxy-Authorization: {own}\r\n").as_bytes());
        }
        out.extend_from_slice(rest);
    }

    /// That it wants credentials is no concern of our client's.
    fn response(&mut self, head: &ResponseHead, out: &mut BytesMut) -> io::Result<()> {
        if head.status == 407 {
            let reason = String::from_utf8_lossy(&head.reason);
            let text = format!("the upstream proxy {} answered 407 {reason}; see --upstream-proxy", self.proxy);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        out.extend_from_slice(&head.raw);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::http1::{Event, Limits, Reader};

    use super::*;

    #[test]
    fn a_request_gets_its_whole_address_and_the_credentials() {
        for (url, sent, passed) in [
            (
                "http://p:1",
                "GET /a?b HTTP/1.1\r\nHost: Shop.test\r\n\r\n",
                "GET http://shop.test:81/a?b HTTP/1.1\r\nHost: Shop.test\r\n\r\n",
            ),
            ("http://p:1", "OPTIONS * HTTP/1.0\r\n\r\n", "OPTIONS http://shop.test:81 HTTP/1.0\r\n\r\n"),
            (
                "http://a:b@p:1",
                "GET / HTTP/1.1\r\nX: y\r\n\r\n",
                "GET http://shop.test:81/ HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\nX: y\r\n\r\n",
            ),
        ] {
            let event = Reader::requests(Limits::default()).read(sent.as_bytes()).unwrap().event;
            let Some(Event::Request(head, _)) = event else { panic!("{event:?}") };
            let mut out = BytesMut::new();
            let mut form = AbsoluteForm::new("http://shop.test:81".parse().unwrap(), &url.parse().unwrap());
            form.request(&head, &mut out);
            assert_eq!(String::from_utf8(out.to_vec()).unwrap(), passed);
        }
    }
}
