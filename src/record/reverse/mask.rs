//! What a reverse proxy changes in heads so that server and client each see the address they know. Pure.
//!
//! Requests name the server: `Host`, and `Origin` and `Referer` where they name us. Responses name us: `Location`,
//! `Content-Location`, `Refresh`, `Access-Control-Allow-Origin`, and cookies lose what would keep the client from
//! sending them back. It stands between the client and everything that records.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;

use crate::model::{Origin, Scheme};
use crate::wire::http1::{RequestHead, ResponseHead};

use super::super::editor::{Change, Edit, edit_fields};
use super::super::onboarding::is_own_host;
use super::super::tally::Tally;

/// The mask of one client connection.
pub(super) struct Mask {
    /// The server.
    origin: Origin,
    /// What the client knows us as, by its latest request.
    front: Origin,
    tally: Arc<Tally>,
}

impl Mask {
    /// For a client that has connected to `front`; redirects to elsewhere are told to `tally`.
    pub(super) fn new(origin: Origin, front: Origin, tally: Arc<Tally>) -> Self {
        Self { origin, front, tally }
    }

    /// A URL of the server as one of ours; none when it is no URL of the server.
    fn masked(&self, url: &str) -> Option<String> {
        let (origin, rest) = split(url, self.origin.scheme)?;
        (origin == self.origin).then(|| format!("{}{rest}", self.front))
    }

    fn location(&self, value: &[u8]) -> Change {
        let Ok(url) = std::str::from_utf8(value) else { return Change::Keep };
        match (self.masked(url), split(url, self.origin.scheme)) {
            (Some(url), _) => Change::Value(url.into_bytes()),
            (None, Some((elsewhere, _))) if elsewhere != self.front => {
                self.tally.led_away(&self.origin.to_string(), &elsewhere.to_string());
                Change::Keep
            }
            _ => Change::Keep,
        }
    }

    /// `Refresh: 5; url=https://…`
    fn refresh(&self, value: &[u8]) -> Change {
        let Ok(text) = std::str::from_utf8(value) else { return Change::Keep };
        let Some(at) = text.to_ascii_lowercase().find("url=") else { return Change::Keep };
        let (before, url) = text.split_at(at + "url=".len());
        let url = url.trim_matches(['"', '\'', ' ']);
        self.masked(url).map_or(Change::Keep, |url| Change::Value(format!("{before}{url}").into_bytes()))
    }

    /// A cookie without the attributes for which the client would not send it back to us.
    fn cookie(&self, value: &[u8]) -> Change {
        let stays = |attribute: &[u8]| {
            let (name, value) = match attribute.iter().position(|&b| b == b'=') {
                Some(at) => (&attribute[..at], attribute[at + 1..].trim_ascii()),
                None => (attribute, &b""[..]),
            };
            let named = |text: &str| name.trim_ascii().eq_ignore_ascii_case(text.as_bytes());
            let clear = self.front.scheme == Scheme::Http;
            let foreign = named("domain");
            // Without `Secure`, `SameSite=None` is refused.
            let secured = clear && (named("secure") || (named("samesite") && value.eq_ignore_ascii_case(b"none")));
            !foreign && !secured
        };
        let mut parts = value.split(|&b| b == b';');
        let pair = parts.next().unwrap_or_default();
        let kept: Vec<&[u8]> = std::iter::once(pair).chain(parts.filter(|part| stays(part))).collect();
        let kept = kept.join(&b';');
        if kept == value { Change::Keep } else { Change::Value(kept) }
    }
}

impl Edit for Mask {
    fn request(&mut self, head: &RequestHead, out: &mut BytesMut) {
        let asked = head.headers.text("host").and_then(|host| Origin::from_authority(self.front.scheme, host).ok());
        if asked.as_ref().is_some_and(|asked| is_own_host(&asked.host)) {
            // For us, not for the server.
            out.extend_from_slice(&head.raw);
            return;
        }
        self.front = asked.unwrap_or_else(|| self.front.clone());
        let unmasked = |value: &[u8]| {
            let url = std::str::from_utf8(value).ok();
            let ours = url.and_then(|url| split(url, self.front.scheme)).filter(|(origin, _)| *origin == self.front);
            ours.map_or(Change::Keep, |(_, rest)| Change::Value(format!("{}{rest}", self.origin).into_bytes()))
        };
        edit_fields(&head.raw, out, |name, value| match () {
            () if name.eq_ignore_ascii_case(b"host") => Change::Value(self.origin.authority().into_bytes()),
            () if name.eq_ignore_ascii_case(b"origin") || name.eq_ignore_ascii_case(b"referer") => unmasked(value),
            () => Change::Keep,
        });
    }

    fn response(&mut self, head: &ResponseHead, out: &mut BytesMut) -> io::Result<()> {
        edit_fields(&head.raw, out, |name, value| match name.to_ascii_lowercase().as_slice() {
            b"location" => self.location(value),
            b"content-location" | b"access-control-allow-origin" => {
                let url = std::str::from_utf8(value).ok().and_then(|url| self.masked(url));
                url.map_or(Change::Keep, |url| Change::Value(url.into_bytes()))
            }
            b"refresh" => self.refresh(value),
            b"set-cookie" => self.cookie(value),
            // It would bind our address to TLS for a year, long after the recording.
            b"strict-transport-security" => Change::Drop,
            _ => Change::Keep,
        });
        Ok(())
    }
}

/// The origin of an absolute or protocol-relative URL, and what follows it as written. None for other references.
fn split(url: &str, scheme: Scheme) -> Option<(Origin, &str)> {
    let (origin, behind) = match url.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (Origin::from_authority(scheme, &rest[..end]).ok()?, rest)
        }
        None => (url.parse().ok()?, &url[url.find("://")? + 3..]),
    };
    Some((origin, behind.find(['/', '?', '#']).map_or("", |at| &behind[at..])))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use crate::record::tally::Notice;
    use crate::wire::http1::{Event, Limits, Reader};

    use super::*;

    fn mask(front: &str) -> (Mask, mpsc::Receiver<Notice>) {
        let (sender, notices) = mpsc::channel(8);
        let (origin, front) = ("https://shop.test".parse().unwrap(), front.parse().unwrap());
        (Mask::new(origin, front, Arc::new(Tally::new(sender))), notices)
    }

    fn request(mask: &mut Mask, fields: &str) -> String {
        let raw = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        let Ok(Some(Event::Request(head, _))) =
            Reader::requests(Limits::default()).read(raw.as_bytes()).map(|step| step.event)
        else {
            panic!("{raw}")
        };
        let mut out = BytesMut::new();
        mask.request(&head, &mut out);
        let all = String::from_utf8(out.to_vec()).unwrap();
        all.strip_prefix("GET / HTTP/1.1\r\n").unwrap().strip_suffix("\r\n").unwrap().to_owned()
    }

    fn response(mask: &mut Mask, field: &str) -> String {
        let raw = format!("HTTP/1.1 302 Found\r\n{field}\r\nContent-Length: 0\r\n\r\n");
        let mut reader = Reader::responses(Limits::default());
        reader.expect("GET");
        let Ok(Some(Event::Response(head, _))) = reader.read(raw.as_bytes()).map(|step| step.event) else {
            panic!("{raw}")
        };
        let mut out = BytesMut::new();
        mask.response(&head, &mut out).unwrap();
        let all = String::from_utf8(out.to_vec()).unwrap();
        all.strip_prefix("HTTP/1.1 302 Found\r\n").unwrap().split("Content-Length").next().unwrap().trim().to_owned()
    }

    #[test]
    fn requests_name_the_server_where_they_named_us() {
        let (mut mask, _) = mask("http://127.0.0.1:8080");
        for (sent, passed) in [
            ("hOsT:localhost:8080\r\n", "hOsT: shop.test\r\n"),
            ("Host: overdub.test\r\n", "Host: overdub.test\r\n"),
            (
                "Host: localhost:8080\r\nReferer: http://localhost:8080/a?b=http://localhost:8080/\r\nOrigin: HTTP://LocalHost:8080\r\n",
                "Host: shop.test\r\nReferer: https://shop.test/a?b=http://localhost:8080/\r\nOrigin: https://shop.test\r\n",
            ),
            (
                "Host: localhost:8080\r\nReferer: https://elsewhere.test/\r\nOrigin: null\r\nX: http://localhost:8080\r\n",
                "Host: shop.test\r\nReferer: https://elsewhere.test/\r\nOrigin: null\r\nX: http://localhost:8080\r\n",
            ),
        ] {
            assert_eq!(request(&mut mask, sent), passed);
        }
    }

    #[test]
    fn responses_name_us_where_they_named_the_server() {
        let (mut mask, _) = mask("http://127.0.0.1:8080");
        request(&mut mask, "Host: box.test:8080\r\n");
        for (sent, passed) in [
            (
                "Location: https://shop.test/in?to=https://shop.test/",
                "Location: http://box.test:8080/in?to=https://shop.test/",
            ),
            ("LOCATION:https://SHOP.test:443", "LOCATION: http://box.test:8080"),
            ("Location: //shop.test/x", "Location: http://box.test:8080/x"),
            ("Location: /relative?x=//shop.test/", "Location: /relative?x=//shop.test/"),
            ("Location: https://shop.test.evil/", "Location: https://shop.test.evil/"),
            ("Content-Location: https://shop.test/c", "Content-Location: http://box.test:8080/c"),
            ("Refresh: 0; URL='https://shop.test/r'", "Refresh: 0; URL=http://box.test:8080/r"),
            ("Access-Control-Allow-Origin: https://shop.test", "Access-Control-Allow-Origin: http://box.test:8080"),
            ("Access-Control-Allow-Origin: *", "Access-Control-Allow-Origin: *"),
            ("Strict-Transport-Security: max-age=31536000", ""),
            ("Link: <https://shop.test/s>", "Link: <https://shop.test/s>"),
        ] {
            assert_eq!(response(&mut mask, sent), passed);
        }
    }

    #[test]
    fn cookies_come_back_to_us() {
        let all = "Set-Cookie: sid=a=b; Domain=.shop.test; Path=/; Secure; HttpOnly; SameSite=None";
        let (mut clear, _) = mask("http://127.0.0.1:8080");
        assert_eq!(response(&mut clear, all), "Set-Cookie: sid=a=b; Path=/; HttpOnly");
        let lax = "Set-Cookie: sid=domain; Path=/; samesite=Lax";
        assert_eq!(response(&mut clear, lax), lax);
        let (mut secure, _) = mask("https://127.0.0.1:8080");
        assert_eq!(response(&mut secure, all), "Set-Cookie: sid=a=b; Path=/; Secure; HttpOnly; SameSite=None");
    }

    #[test]
    fn a_redirect_to_elsewhere_is_passed_on_and_told() {
        let (mut mask, mut notices) = mask("http://127.0.0.1:8080");
        let away = "Location: https://login.test/?back=https://shop.test/";
        assert_eq!(response(&mut mask, away), away);
        assert_eq!(
            notices.try_recv(),
            Ok(Notice::LedAway { origin: "https://shop.test".into(), to: "https://login.test".into() })
        );
        assert_eq!(response(&mut mask, away), away);
        response(&mut mask, "Location: http://127.0.0.1:8080/by-itself");
        assert!(notices.try_recv().is_err(), "told once");
    }
}
