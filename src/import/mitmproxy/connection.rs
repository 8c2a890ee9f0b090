//! The connections of a flow: numbers, addresses, what was agreed on them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::tnetstring::Value;
use crate::model::{ChunkId, Nanos, Span, Transport};
use crate::observe::Recorder;

/// Most connections that are told apart; each is a name of 16 bytes and a number.
const CONNECTIONS: usize = 1_000_000;

/// Stands for a client whose address is not said.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Numbers for the connections of one side.
#[derive(Debug)]
pub(super) struct Numbers {
    known: HashMap<ChunkId, u64>,
    last: u64,
}

impl Numbers {
    /// The first is the one behind `last`.
    pub(super) fn behind(last: u64) -> Self {
        Self { known: HashMap::new(), last }
    }

    /// The number of a connection, and whether it is new.
    fn of(&mut self, connection: Value<'_>) -> (u64, bool) {
        let name = match connection.get("id").and_then(Value::bytes) {
            Some(id) => ChunkId::of(id),
            // Before version 5 there is no id; mitmproxy makes one of start and address.
            None => {
                let part = |keys: &[&str]| connection.any(keys).map_or(&b""[..], Value::written);
                let (start, own) = (part(&["timestamp_start"]), part(&["source_address", "address"]));
                ChunkId::of(&[start, b"|", own].concat())
            }
        };
        if let Some(number) = self.known.get(&name) {
            return (*number, false);
        }
        self.last += 1;
        if self.known.len() < CONNECTIONS {
            self.known.insert(name, self.last);
        }
        (self.last, true)
    }

    /// The highest number given.
    pub(super) fn last(&self) -> u64 {
        self.last
    }
}

/// The connections that carried a flow.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) transport: Transport,
    /// TCP connect to the server, when the flow is the first over this connection.
    pub(super) connect: Option<Span>,
    /// TLS handshake with the server, likewise.
    pub(super) tls: Option<Span>,
    /// Whether a connection to the server came about.
    pub(super) connected: bool,
    /// When it could carry a request.
    pub(super) ready: Option<Nanos>,
}

/// The connections of a flow.
pub(super) fn carried(flow: Value<'_>, numbers: &mut [Numbers; 2], recorder: &Recorder) -> Carried {
    let empty = Value::dictionary(&[]);
    let client = flow.get("client_conn").unwrap_or(empty);
    let server = flow.get("server_conn").unwrap_or(empty);
    let [clients, servers] = numbers;
    let moment = |keys: &[&str]| server.any(keys).and_then(Value::moment).map(|at| recorder.instant(at));
    let begun = moment(&["timestamp_start"]);
    let open = moment(&["timestamp_tcp_setup"]);
    let secure = moment(&["timestamp_tls_setup", "timestamp_ssl_setup"]);
    let connected = open.is_some() || secure.is_some();
    let (number, new) = if begun.is_some() || connected { servers.of(server) } else { (0, false) };
    let span = |start: Option<Nanos>, end: Option<Nanos>| {
        let (start, end) = (start?, end?);
        (new && start <= end).then_some(Span { start, end })
    };
    let words =
        |value: Option<Value<'_>>| value.and_then(Value::text).filter(|text| !text.is_empty()).map(str::to_owned);
    Carried {
        transport: Transport {
            client: client.any(&["peername", "address"]).and_then(socket_address).unwrap_or(NOBODY),
            client_connection: clients.of(client).0,
            upstream_connection: (number > 0).then_some(number),
            stream: None,
            tls: words(server.get("tls_version")),
            alpn: words(server.any(&["alpn", "alpn_proto_negotiated"])),
            sni: words(client.get("sni")).or_else(|| words(server.get("sni"))),
        },
        connect: span(begun, open),
        tls: span(open, secure),
        connected,
        ready: secure.or(open),
    }
}

/// Host and port of an address, in any of the forms that it had.
pub(super) fn host_and_port(address: Value<'_>) -> Option<(&str, u16)> {
    let list = address.get("address").unwrap_or(address);
    let mut parts = list.items();
    let host = parts.next()?.text()?;
    let port = parts.next()?.integer()?;
    Some((host, u16::try_from(port).ok()?))
}

fn socket_address(address: Value<'_>) -> Option<SocketAddr> {
    let (host, port) = host_and_port(address)?;
    let host = host.split('%').next().unwrap_or(host);
    let ip: IpAddr = host.parse().ok()?;
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_version_are_read() {
        for (dictionary, address) in [
            (&b"1:a;19:9:127.0.0.1;4:5277#]"[..], Some("127.0.0.1:5277")),
            (b"1:a;24:16:::ffff:127.0.0.1;1:7#]", Some("127.0.0.1:7")),
            (b"1:a;27:12:fe80::1%eth0;1:7#1:0#0:~]", Some("[fe80::1]:7")),
            (b"1:a;52:7:address;19:9:127.0.0.1,4:5277#]8:use_ipv6;5:false!}", Some("127.0.0.1:5277")),
            (b"1:a;7:0:;1:0#]", None),
            (b"1:a;14:3:x.y;5:99999#]", None),
            (b"1:a;0:]", None),
            (b"1:a;0:~", None),
        ] {
            let value = Value::dictionary(dictionary).get("a");
            let expected = address.map(|text| text.parse().unwrap());
            assert_eq!(value.and_then(socket_address), expected, "{:?}", String::from_utf8_lossy(dictionary));
        }
    }
}
