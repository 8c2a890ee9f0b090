//! The request of a flow: where it went, and the parts of a message that requests and responses share.

use std::net::IpAddr;

use super::connection::host_and_port;
use super::tnetstring::Value;
use crate::model::{Body, Headers, Origin, Request, Scheme, Version};

/// Why a request cannot be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It opened a tunnel; what went through is in other flows.
    Connect,
    /// Something that every request has is missing.
    Flaw(&'static str),
}

/// Fields that are for the proxy alone, as the live proxy leaves them out.
const HOP_FIELDS: [&[u8]; 2] = [b"proxy-connection", b"proxy-authorization"];

/// The request of a flow without its body.
pub(super) fn request(flow: Value<'_>) -> Result<Request, Refused> {
    let request = flow.get("request").ok_or(Refused::Flaw("it has no request"))?;
    let method = request.get("method").and_then(Value::bytes).ok_or(Refused::Flaw("its request has no method"))?;
    if method.eq_ignore_ascii_case(b"CONNECT") {
        return Err(Refused::Connect);
    }
    let mut headers = fields(request.get("headers"));
    let path = request.get("path").and_then(Value::bytes).unwrap_or_default();
    let (named, target) = match absolute(path) {
        Some((origin, target)) => (Some(origin), target),
        None if path.is_empty() => (None, b"/".to_vec()),
        None => (None, path.to_vec()),
    };
    let server = flow.get("server_conn");
    let origin =
        named.or_else(|| origin(request, &headers, server)).ok_or(Refused::Flaw("its request names no host"))?;
    if origin.scheme == Scheme::Http {
        headers.0.retain(|(name, _)| !HOP_FIELDS.iter().any(|hop| name.eq_ignore_ascii_case(hop)));
    }
    Ok(Request {
        origin,
        method: String::from_utf8_lossy(method).into_owned(),
        target,
        version: version(request),
        headers,
        body: Body::default(),
        trailers: fields(request.get("trailers")),
    })
}

/// The list of fields.
pub(super) fn fields(list: Option<Value<'_>>) -> Headers {
    let pair = |field: Value<'_>| {
        let mut parts = field.items();
        Some((parts.next()?.bytes()?.to_vec(), parts.next()?.bytes()?.to_vec()))
    };
    Headers(list.into_iter().flat_map(Value::items).filter_map(pair).collect())
}

/// The version of a message; two numbers in the oldest files.
pub(super) fn version(message: Value<'_>) -> Version {
    if let Some(numbers) = message.get("httpversion") {
        let numbers: Vec<u64> = numbers.items().map_while(Value::integer).collect();
        return if numbers == [1, 0] { Version::Http10 } else { Version::Http11 };
    }
    match message.get("http_version").and_then(Value::bytes).unwrap_or_default() {
        b"HTTP/0.9" => Version::Http09,
        b"HTTP/1.0" => Version::Http10,
        b"HTTP/2" | b"HTTP/2.0" => Version::Http2,
        b"HTTP/3" | b"HTTP/3.0" => Version::Http3,
        _ => Version::Http11,
    }
}

/// Where a request went. A host that is an address stands for the name that the request asked for, as when mitmproxy was
/// in the way without being asked.
fn origin(request: Value<'_>, headers: &Headers, server: Option<Value<'_>>) -> Option<Origin> {
    let port = request.get("port").and_then(Value::integer).and_then(|port| u16::try_from(port).ok());
    let port = port.filter(|port| *port > 0);
    let scheme = match request.get("scheme").and_then(Value::bytes).unwrap_or_default() {
        b"https" | b"wss" => Scheme::Https,
        b"http" | b"ws" => Scheme::Http,
        _ if port == Some(443) => Scheme::Https,
        _ => Scheme::Http,
    };
    let authority = request.get("authority").and_then(Value::text).filter(|text| !text.is_empty());
    let asked = authority.or_else(|| headers.text("host")).map(str::trim);
    let asked = asked.and_then(|text| Origin::from_authority(scheme, text).ok());
    let host = request.get("host").and_then(Value::text).filter(|host| !host.is_empty());
    let host = host.or_else(|| Some(host_and_port(server?.get("address")?)?.0));
    let address = |host: &str| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let port_or = |origin: &Origin| port.unwrap_or(origin.port);
    match (host, asked) {
        (None, asked) => asked,
        (Some(host), Some(asked)) if address(host).is_some() && address(&asked.host).is_none() => {
            Some(Origin { port: port_or(&asked), ..asked })
        }
        (Some(host), _) => {
            let host = match address(host) {
                Some(IpAddr::V6(ip)) => format!("[{ip}]"),
                _ => host.to_owned(),
            };
            Some(Origin::new(scheme, &host, port.unwrap_or(scheme.default_port())))
        }
    }
}

/// Origin and target of an absolute URL (RFC 9112 §3.2.2).
fn absolute(path: &[u8]) -> Option<(Origin, Vec<u8>)> {
    let scheme = [(&b"http://"[..], Scheme::Http), (b"https://", Scheme::Https)]
        .into_iter()
        .find(|(start, _)| path.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start)))?;
    let rest = &path[scheme.0.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = std::str::from_utf8(&rest[..end]).ok()?;
    let origin = Origin::from_authority(scheme.1, authority.rsplit('@').next().unwrap_or(authority)).ok()?;
    let target = if rest.get(end) == Some(&b'/') { rest[end..].to_vec() } else { [b"/", &rest[end..]].concat() };
    Some((origin, target))
}
