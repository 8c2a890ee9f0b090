//! Where a request goes, and the head as the server must see it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::{Headers, Origin};
use crate::wire::http1::RequestHead;

use super::marks::{self, Label};

/// How the requests of a connection say where they go.
#[derive(Clone, Debug)]
pub(super) enum Route {
    /// Each by its absolute target: a client that knows it talks to a proxy.
    Absolute,
    /// All to one server: inside a tunnel that the client asked for.
    Fixed(Origin),
    /// All to one server, for which we stand; the client may not know that there is another.
    Reverse(Origin),
    /// All to one address, which each request's `Host` names; the origin when it does not.
    Named(Origin),
}

/// A request with its destination.
#[derive(Debug)]
pub(super) struct Routed {
    /// Where it goes.
    pub(super) origin: Origin,
    /// Target in origin form.
    pub(super) target: Vec<u8>,
    /// Fields that the server gets.
    pub(super) headers: Headers,
    /// Head as it goes out.
    pub(super) raw: Vec<u8>,
    /// Transaction that the request says it belongs to.
    pub(super) transaction: Option<Label>,
    /// From here on the connection to the server is this client's by its log-in: no other can take its place.
    pub(super) pins: bool,
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteError {
    /// No absolute target: somebody took the proxy for a web site.
    NotProxied,
    /// An absolute target: somebody took the web site for a proxy.
    NotAProxy,
    /// An absolute target that is no http or https URL.
    Target,
}

/// Fields that are for the proxy alone.
const HOP_FIELDS: [&[u8]; 3] = [b"proxy-connection", b"proxy-authorization", marks::FIELD];
/// The same inside a tunnel, where the client speaks to the server.
const TUNNEL_FIELDS: [&[u8]; 1] = [marks::FIELD];

/// Finds the destination of a request.
pub(super) fn route(head: &RequestHead, route: &Route) -> Result<Routed, RouteError> {
    match route {
        Route::Reverse(_) if !(head.target.starts_with(b"/") || head.target == b"*") => Err(RouteError::NotAProxy),
        Route::Fixed(origin) | Route::Reverse(origin) => Ok(as_it_is(head, origin.clone())),
        Route::Named(origin) => {
            let named = head.headers.text("host").and_then(|host| Origin::from_authority(origin.scheme, host).ok());
            Ok(as_it_is(head, named.unwrap_or_else(|| origin.clone())))
        }
        Route::Absolute => {
            let text = std::str::from_utf8(&head.target).map_err(|_| RouteError::Target)?;
            if text.starts_with('/') || text == "*" {
                return Err(RouteError::NotProxied);
            }
            let origin: Origin = text.parse().map_err(|_| RouteError::Target)?;
            let target = origin_form(text, &head.method);
            let raw = rewrite(head, &target, &HOP_FIELDS);
            Ok(Routed { raw, ..Routed::of(head, origin, target, &HOP_FIELDS) })
        }
    }
}

/// A request that goes on as it came, less what it says to us alone.
fn as_it_is(head: &RequestHead, origin: Origin) -> Routed {
    let target = head.target.clone();
    let says = marks::named(&head.headers).is_some();
    let raw = if says { rewrite(head, &target, &TUNNEL_FIELDS) } else { head.raw.clone() };
    Routed { raw, ..Routed::of(head, origin, target, &TUNNEL_FIELDS) }
}

impl Routed {
    /// Without its raw head.
    fn of(head: &RequestHead, origin: Origin, target: Vec<u8>, without: &[&[u8]]) -> Self {
        let mut headers = head.headers.clone();
        headers.0.retain(|(name, _)| !is_one_of(without, name));
        let transaction = marks::named(&head.headers).and_then(|name| Label::lossy(&name));
        let pins = pins(&headers);
        Self { origin, target, headers, raw: Vec::new(), transaction, pins }
    }
}

/// Whether the credentials are of a kind that logs in a connection rather than a request (NTLM, RFC 4559).
fn pins(headers: &Headers) -> bool {
    headers.all("authorization").any(|value| {
        let scheme = value.split(|&b| b == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}

/// User name and password that a client gives to the proxy (RFC 7617).
pub(super) fn proxy_login(headers: &Headers) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, credentials) = headers.text("proxy-authorization")?.trim().split_once(' ')?;
    let decoded = STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let mut parts = decoded.splitn(2, |&b| b == b':');
    let user = parts.next().filter(|user| !user.is_empty())?.to_vec();
    Some((user, parts.next().unwrap_or_default().to_vec()))
}

/// Path and query of an absolute URL (RFC 9112 §3.2).
fn origin_form(url: &str, method: &str) -> Vec<u8> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or(rest);
    match rest.find(['/', '?']) {
        Some(at) if rest.as_bytes()[at] == b'/' => rest.as_bytes()[at..].to_vec(),
        Some(at) => [b"/", &rest.as_bytes()[at..]].concat(),
        None if method == "OPTIONS" => b"*".to_vec(),
        None => b"/".to_vec(),
    }
}

/// The head with another target and without these fields; all other bytes as they came.
fn rewrite(head: &RequestHead, target: &[u8], without: &[&[u8]]) -> Vec<u8> {
    let start = head.raw.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(0);
    let mut out = Vec::with_capacity(head.raw.len());
    for (number, line) in head.raw[start..].split_inclusive(|&b| b == b'\n').enumerate() {
        if number == 0 {
            let version = line.iter().rposition(|&b| b == b' ').unwrap_or(0);
            out.extend_from_slice(head.method.as_bytes());
            out.push(b' ');
            out.extend_from_slice(target);
            out.extend_from_slice(&line[version..]);
        } else {
            let name = line.split(|&b| b == b':').next().unwrap_or_default();
            if !is_one_of(without, name) {
                out.extend_from_slice(line);
            }
        }
    }
    out
}

fn is_one_of(fields: &[&[u8]], name: &[u8]) -> bool {
    fields.iter().any(|field| name.eq_ignore_ascii_case(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::{Event, Limits, Reader};

    fn head(raw: &str) -> RequestHead {
        match Reader::requests(Limits::default()).read(raw.as_bytes()).unwrap().event {
            Some(Event::Request(head, _)) => head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn absolute_targets_become_origin_form_and_the_rest_stays() {
        for (line, origin, rewritten) in [
            ("GET http://Shop.test/a?b=http://x HTTP/1.1", "http://shop.test", "GET /a?b=http://x HTTP/1.1"),
            ("GET http://shop.test HTTP/1.0", "http://shop.test", "GET / HTTP/1.0"),
            ("GET http://shop.test?q HTTP/1.1", "http://shop.test", "GET /?q HTTP/1.1"),
            ("OPTIONS http://shop.test:81 HTTP/1.1", "http://shop.test:81", "OPTIONS * HTTP/1.1"),
            ("POST https://u:p@shop.test/x HTTP/1.1", "https://shop.test", "POST /x HTTP/1.1"),
        ] {
            let rest = "hOsT: shop.test\r\nX-A:1\r\nProxy-Connection: keep-alive\r\nx-a:  2 \r\nPROXY-authorization: Basic x\r\n\r\n";
            let routed = route(&head(&format!("{line}\r\n{rest}")), &Route::Absolute).unwrap();
            assert_eq!(routed.origin.to_string(), origin);
            let expected = format!("{rewritten}\r\nhOsT: shop.test\r\nX-A:1\r\nx-a:  2 \r\n\r\n");
            assert_eq!(String::from_utf8(routed.raw).unwrap(), expected);
            assert_eq!(routed.headers.0.len(), 3);
        }
    }

    #[test]
    fn inside_a_tunnel_nothing_is_touched() {
        let raw = "GET http://other.test/ HTTP/1.1\r\nProxy-Connection: x\r\n\r\n";
        let origin: Origin = "https://shop.test".parse().unwrap();
        let routed = route(&head(raw), &Route::Fixed(origin.clone())).unwrap();
        assert_eq!((routed.origin, routed.raw), (origin, raw.as_bytes().to_vec()));
    }

    #[test]
    fn the_name_of_a_transaction_is_taken_out_anywhere() {
        let fields = "Host: shop.test\r\nX-Overdub-Transaction:  log in \r\nA: b\r\nx-overdub-transaction: two\r\n\r\n";
        let fixed = Route::Fixed("https://shop.test".parse().unwrap());
        for (target, through) in [("http://shop.test/a?b", Route::Absolute), ("/a?b", fixed)] {
            let routed = route(&head(&format!("GET {target} HTTP/1.1\r\n{fields}")), &through).unwrap();
            assert_eq!(routed.transaction.as_ref().map(Label::as_str), Some("log in"));
            let sent = "GET /a?b HTTP/1.1\r\nHost: shop.test\r\nA: b\r\n\r\n";
            assert_eq!(String::from_utf8(routed.raw).unwrap(), sent);
            assert_eq!(routed.headers.0.len(), 2);
        }
    }

    #[test]
    fn a_host_field_names_the_server_at_an_address() {
        let origin: Origin = "http://192.0.2.1:8080".parse().unwrap();
        for (field, named) in [
            ("Host: Shop.test\r\n", "http://shop.test"),
            ("Host: shop.test:8080\r\n", "http://shop.test:8080"),
            ("Host: not a host\r\n", "http://192.0.2.1:8080"),
            ("", "http://192.0.2.1:8080"),
        ] {
            let raw = format!("GET / HTTP/1.0\r\n{field}\r\n");
            let routed = route(&head(&raw), &Route::Named(origin.clone())).unwrap();
            assert_eq!((routed.origin.to_string(), routed.raw), (named.to_owned(), raw.into_bytes()));
        }
    }

    #[test]
    fn a_user_name_is_read_and_log_ins_of_connections_are_known() {
        for (value, user) in [
            ("Basic YW5uYTpzZWNyZXQ=", Some(("anna", "secret"))),
            ("Basic YW5uYTpzZTpjcmV0", Some(("anna", "se:cret"))),
            ("basic  YW5uYTo=", Some(("anna", ""))),
            ("Basic YW5uYQ==", Some(("anna", ""))),
            ("Basic OnNlY3JldA==", None),
            ("Basic !", None),
            ("Bearer YW5uYTpzZWNyZXQ=", None),
            ("Basic", None),
        ] {
            let mut headers = Headers::default();
            headers.push("Proxy-Authorization", value);
            let user = user.map(|(user, password): (&str, &str)| (user.into(), password.into()));
            assert_eq!(proxy_login(&headers), user, "{value}");
        }
        for (value, expected) in
            [("NTLM TlRM", true), ("negotiate YII", true), ("Basic eA==", false), ("NTLMv9 x", false)]
        {
            let mut headers = Headers::default();
            headers.push("Authorization", value);
            assert_eq!(pins(&headers), expected, "{value}");
        }
    }

    #[test]
    fn a_reverse_proxy_is_no_forward_proxy() {
        let origin: Origin = "https://shop.test".parse().unwrap();
        for (line, fine) in
            [("GET /x", true), ("OPTIONS *", true), ("GET http://shop.test/", false), ("CONNECT shop.test:443", false)]
        {
            let routed = route(&head(&format!("{line} HTTP/1.1\r\nHost: us\r\n\r\n")), &Route::Reverse(origin.clone()));
            assert_eq!(routed.err(), (!fine).then_some(RouteError::NotAProxy), "{line}");
        }
    }

    #[test]
    fn what_is_no_proxy_request_is_told_apart() {
        for (target, error) in [
            ("/", RouteError::NotProxied),
            ("*", RouteError::NotProxied),
            ("ftp://x/", RouteError::Target),
            ("shop.test", RouteError::Target),
            ("http:///x", RouteError::Target),
        ] {
            let found = route(&head(&format!("GET {target} HTTP/1.1\r\n\r\n")), &Route::Absolute);
            assert_eq!(found.err(), Some(error), "{target}");
        }
    }
}
