//! Where a request goes, told from its head and its connection; the target in the form the model keeps.

use crate::model::{Headers, Origin, Scheme};

use super::path::Path;

/// A request's destination, and its target in origin form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Routed {
    pub(super) origin: Origin,
    pub(super) target: Vec<u8>,
    /// It went to a proxy, whose own fields are not kept.
    pub(super) proxied: bool,
}

/// Fields that are for the proxy alone, as the live proxy leaves them out.
const HOP_FIELDS: [&[u8]; 2] = [b"proxy-connection", b"proxy-authorization"];

/// Finds the destination of a request. Inside a tunnel it is the tunnel's and nothing is touched. Else an absolute target
/// tells it (RFC 9112 §3.2.2), else the `Host` field, else the connection.
pub(super) fn route(path: &Path, method: &str, target: Vec<u8>, headers: &Headers) -> Routed {
    if path.asked.is_some() {
        return Routed { origin: path.origin(), target, proxied: false };
    }
    if !target.starts_with(b"/")
        && let Some((origin, cut)) = absolute(&target, method)
    {
        return Routed { origin, target: cut, proxied: true };
    }
    Routed { origin: by_authority(path, headers.first("host")), target, proxied: false }
}

/// The origin that an authority (of `Host` or `:authority`) names on this connection.
pub(super) fn by_authority(path: &Path, authority: Option<&[u8]>) -> Origin {
    let named = authority
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| Origin::from_authority(path.scheme(), text).ok());
    named.unwrap_or_else(|| path.origin())
}

/// Takes out the fields that are for the proxy alone.
pub(super) fn without_hop_fields(headers: &mut Headers) {
    headers.0.retain(|(name, _)| !HOP_FIELDS.iter().any(|hop| name.eq_ignore_ascii_case(hop)));
}

/// Origin, path and query of an absolute URL.
fn absolute(target: &[u8], method: &str) -> Option<(Origin, Vec<u8>)> {
    let scheme = target.windows(3).position(|window| window == b"://")?;
    let rest = &target[scheme + 3..];
    let rest = rest.split(|&b| b == b'#').next().unwrap_or(rest);
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let scheme = match target[..scheme].to_ascii_lowercase().as_slice() {
        b"http" => Scheme::Http,
        b"https" => Scheme::Https,
        _ => return None,
    };
    let authority = std::str::from_utf8(&rest[..end]).ok()?;
    let origin = Origin::from_authority(scheme, authority.rsplit('@').next().unwrap_or(authority)).ok()?;
    let cut = match rest.get(end) {
        Some(b'/') => rest[end..].to_vec(),
        Some(_) => [b"/", &rest[end..]].concat(),
        None if method == "OPTIONS" => b"*".to_vec(),
        None => b"/".to_vec(),
    };
    Some((origin, cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Nanos;
    use crate::observe::conversation::path::{Named, Secured};
    use crate::observe::streams::Opening;

    fn path() -> Path {
        let opening = Opening {
            client: "10.0.0.1:5000".parse().unwrap(),
            server: "10.0.0.2:8080".parse().unwrap(),
            syn: None,
            syn_ack: None,
            ack: None,
            first: 0,
            midway: false,
            guessed: false,
        };
        Path::new(1, &opening, Nanos)
    }

    fn routed(path: &Path, method: &str, target: &str, host: Option<&str>) -> (String, String, bool) {
        let mut headers = Headers::default();
        if let Some(host) = host {
            headers.push("hOsT", host);
        }
        let routed = route(path, method, target.as_bytes().to_vec(), &headers);
        (routed.origin.to_string(), String::from_utf8(routed.target).unwrap(), routed.proxied)
    }

    #[test]
    fn the_host_field_tells_the_origin_and_the_address_stands_in() {
        let plain = path();
        let mut tls = path();
        tls.secured = Some(Box::new(Secured { sni: Some("Shop.test".into()), ..Secured::default() }));
        let mut tunnel = path();
        tunnel.asked = Some(Box::new(Named { host: "inner.test".into(), port: 81 }));
        for (path, target, host, origin, cut, proxied) in [
            (&plain, "/a", Some("shop.test"), "http://shop.test", "/a", false),
            (&plain, "/a", Some("Shop.test:8080"), "http://shop.test:8080", "/a", false),
            (&plain, "/a", None, "http://10.0.0.2:8080", "/a", false),
            (&plain, "/a", Some("no host!"), "http://10.0.0.2:8080", "/a", false),
            (&plain, "http://a.test:81/x?y#z", Some("b.test"), "http://a.test:81", "/x?y", true),
            (&plain, "HTTPS://u:p@a.test?q", None, "https://a.test", "/?q", true),
            (&plain, "/redirect?to=http://evil.test/", Some("a"), "http://a", "/redirect?to=http://evil.test/", false),
            (&plain, "ftp://a.test/x", Some("a"), "http://a", "ftp://a.test/x", false),
            (&plain, "*", Some("a"), "http://a", "*", false),
            (&tls, "/", None, "https://shop.test:8080", "/", false),
            (&tls, "/", Some("other.test"), "https://other.test", "/", false),
            (&tunnel, "/", Some("other.test"), "http://inner.test:81", "/", false),
            (&tunnel, "http://b.test/", None, "http://inner.test:81", "http://b.test/", false),
        ] {
            assert_eq!(routed(path, "GET", target, host), (origin.into(), cut.into(), proxied), "{target} {host:?}");
        }
        assert_eq!(routed(&plain, "OPTIONS", "http://a.test", None), ("http://a.test".into(), "*".into(), true));
    }

    #[test]
    fn fields_for_the_proxy_are_left_out() {
        let mut headers = Headers::default();
        for name in ["Host", "Proxy-Connection", "PROXY-AUTHORIZATION", "Proxy-Status"] {
            headers.push(name, "x");
        }
        without_hop_fields(&mut headers);
        let names: Vec<_> = headers.0.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [&b"Host"[..], b"Proxy-Status"]);
    }
}
