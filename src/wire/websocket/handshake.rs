//! What two heads agree on: whether the connection becomes a WebSocket, and its compression.

use crate::model::Headers;

/// Parameters of permessage-deflate (RFC 7692 §7.1) as the server accepted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The client compresses each message without looking back at those before.
    pub client_no_context_takeover: bool,
    /// The server compresses each message without looking back at those before.
    pub server_no_context_takeover: bool,
    /// Base-2 logarithm of the client's window, 8 to 15.
    pub client_max_window_bits: u8,
    /// Base-2 logarithm of the server's window, 8 to 15.
    pub server_max_window_bits: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            client_no_context_takeover: false,
            server_no_context_takeover: false,
            client_max_window_bits: 15,
            server_max_window_bits: 15,
        }
    }
}

impl Deflate {
    /// What `Sec-WebSocket-Extensions` of the response accepts; `None` when messages are not compressed. Parameters that
    /// cannot be are passed over.
    pub fn agreed(response: &Headers) -> Option<Self> {
        let accepted = response.all("sec-websocket-extensions").flat_map(|list| pieces(list, b','));
        accepted.filter_map(Self::of_extension).next()
    }

    fn of_extension(extension: &[u8]) -> Option<Self> {
        let mut parts = pieces(extension, b';');
        if !parts.next()?.trim_ascii().eq_ignore_ascii_case(b"permessage-deflate") {
            return None;
        }
        let mut deflate = Self::default();
        for parameter in parts {
            let (name, value) = match parameter.iter().position(|&b| b == b'=') {
                Some(equals) => (&parameter[..equals], &parameter[equals + 1..]),
                None => (parameter, &[][..]),
            };
            match name.trim_ascii().to_ascii_lowercase().as_slice() {
                b"client_no_context_takeover" => deflate.client_no_context_takeover = true,
                b"server_no_context_takeover" => deflate.server_no_context_takeover = true,
                b"client_max_window_bits" => deflate.client_max_window_bits = window_bits(value),
                b"server_max_window_bits" => deflate.server_max_window_bits = window_bits(value),
                _ => {}
            }
        }
        Some(deflate)
    }
}

/// Whether the connection goes on as WebSocket after these heads: a 101 (RFC 6455 §4), or a 2xx to an extended CONNECT
/// whose fields hold `:protocol` (RFC 8441 §5). The accept key is not checked: the client has.
pub fn is_handshake(request: &Headers, response_status: u16, response: &Headers) -> bool {
    let names = |headers: &Headers, field: &str| {
        headers.all(field).flat_map(|list| pieces(list, b',')).any(|name| name.eq_ignore_ascii_case(b"websocket"))
    };
    match response_status {
        101 => {
            names(response, "upgrade") && (names(request, "upgrade") || request.first("sec-websocket-key").is_some())
        }
        200..=299 => names(request, ":protocol"),
        _ => false,
    }
}

/// The pieces between separators that stand outside of quotes, without white space around them.
fn pieces(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |&b| {
        if escaped {
            escaped = false;
        } else if b == b'"' {
            quoted = !quoted;
        } else if quoted && b == b'\\' {
            escaped = true;
        }
        b == separator && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|piece| !piece.is_empty())
}

fn window_bits(value: &[u8]) -> u8 {
    let value = value.trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    let bits = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
    bits.filter(|bits| (8..=15).contains(bits)).unwrap_or(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        Headers(fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect())
    }

    #[test]
    fn agreed_compression_is_read_from_every_way_to_write_it() {
        let plain = Deflate::default();
        let name = "Sec-WebSocket-Extensions";
        for (fields, agreed) in [
            (&[][..], None),
            (&[(name, "")], None),
            (&[(name, "permessage-bzip2; level=9")], None),
            (&[(name, "permessage-deflate")], Some(plain)),
            (&[(name, "x-other;a=\"b,permessage-deflate\"")], None),
            (&[(name, "x-other; a=\"b\\\",c\" , PerMessage-Deflate")], Some(plain)),
            (&[(name, "x-other"), (name, "permessage-deflate")], Some(plain)),
            (
                &[(name, "permessage-deflate; server_no_context_takeover;client_max_window_bits = \"10\"")],
                Some(Deflate { server_no_context_takeover: true, client_max_window_bits: 10, ..plain }),
            ),
            (
                &[(name, "permessage-deflate; client_no_context_takeover; server_max_window_bits=8")],
                Some(Deflate { client_no_context_takeover: true, server_max_window_bits: 8, ..plain }),
            ),
            (&[(name, "permessage-deflate; server_max_window_bits=99; client_max_window_bits")], Some(plain)),
        ] {
            assert_eq!(Deflate::agreed(&headers(fields)), agreed, "{fields:?}");
        }
    }

    #[test]
    fn a_handshake_is_told_from_other_answers() {
        let asked = &[("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade"), ("Sec-WebSocket-Key", "x")][..];
        for (request, status, response, is) in [
            (asked, 101, &[("upgrade", "WebSocket")][..], true),
            (&[("Sec-WebSocket-Key", "x")], 101, &[("upgrade", "h2c, websocket")], true),
            (asked, 101, &[("upgrade", "h2c")], false),
            (asked, 200, &[("upgrade", "websocket")], false),
            (asked, 426, &[("upgrade", "websocket")], false),
            (&[("Upgrade", "h2c")], 101, &[("upgrade", "websocket")], false),
            (&[(":protocol", "websocket")], 200, &[], true),
            (&[(":protocol", "connect-udp")], 200, &[], false),
            (&[(":protocol", "websocket")], 400, &[], false),
        ] {
            assert_eq!(is_handshake(&headers(request), status, &headers(response)), is, "{request:?} {status}");
        }
    }
}
