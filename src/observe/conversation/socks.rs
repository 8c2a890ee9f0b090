//! SOCKS 4, 4a and 5 (RFC 1928, RFC 1929): the greeting is read over, then the inside begins, at the server the client asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::model::{Nanos, Side};

use super::desk::Context;
use super::open::index;
use super::path::Named;
use super::talk::{Layer, Turn};

/// Most bytes of a side before the inside begins.
const MOST_BYTES: usize = 64 * 1024;

/// A connection in its greeting.
#[derive(Debug, Default)]
pub(super) struct Socks {
    said: [Vec<u8>; 2],
}

/// How far a greeting is.
#[derive(Debug, PartialEq, Eq)]
enum Greeting {
    More,
    /// The inside begins behind so many bytes of the client and of the server.
    Done {
        client: usize,
        server: usize,
        to: Option<Destination>,
    },
    /// No inside that could be read.
    Over,
}

/// Whom the client wants to reach.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    Name(Named),
    Address(SocketAddr),
}

impl Socks {
    pub(super) fn bytes(&mut self, cx: &mut Context<'_>, side: Side, at: Nanos, bytes: &[u8]) -> Option<Turn> {
        self.said[index(side)].extend_from_slice(bytes);
        let (client, server, to) = match greeting(&self.said[0], &self.said[1]) {
            Greeting::More if self.said.iter().all(|said| said.len() <= MOST_BYTES) => return None,
            Greeting::Done { client, server, to } => (client, server, to),
            Greeting::More | Greeting::Over => return Some(opaque(bytes.len())),
        };
        match to {
            Some(Destination::Name(named)) => cx.path.asked = Some(Box::new(named)),
            Some(Destination::Address(address)) => cx.path.server = address,
            None => {}
        }
        cx.path.midway = false;
        let mut turn = Turn::to(Layer::sniffing(cx));
        turn.leave(Side::Request, at, self.said[0].split_off(client));
        turn.leave(Side::Response, at, self.said[1].split_off(server));
        turn.used = bytes.len();
        Some(turn)
    }
}

fn opaque(used: usize) -> Turn {
    Turn { used, ..Turn::to(Layer::Opaque("SOCKS")) }
}

fn greeting(client: &[u8], server: &[u8]) -> Greeting {
    match client.first() {
        Some(4) => version_4(client, server),
        Some(5) => version_5(client, server).unwrap_or(Greeting::More),
        Some(_) => Greeting::Over,
        None => Greeting::More,
    }
}

fn version_4(client: &[u8], server: &[u8]) -> Greeting {
    let &[4, command, high, low, a, b, c, d, ref rest @ ..] = client else { return Greeting::More };
    let Some(user) = memchr::memchr(0, rest) else { return Greeting::More };
    let port = u16::from_be_bytes([high, low]);
    let (mut end, mut to) = (8 + user + 1, Some(Destination::Address((Ipv4Addr::new(a, b, c, d), port).into())));
    if [a, b, c] == [0; 3] && d != 0 {
        // 4a: the name follows.
        let rest = &client[end..];
        let Some(len) = memchr::memchr(0, rest) else { return Greeting::More };
        to = name(&rest[..len], port);
        end += len + 1;
    }
    match server {
        [0, 90, _, _, _, _, _, _, ..] if command == 1 => Greeting::Done { client: end, server: 8, to },
        [0, 90, ..] | [] | [0] if command == 1 => Greeting::More,
        _ => Greeting::Over,
    }
}

/// None when more bytes are needed.
fn version_5(client: &[u8], server: &[u8]) -> Option<Greeting> {
    let methods = usize::from(*client.get(1)?);
    let (mut asked, mut told) = (2 + methods, 2);
    match (server.first()?, server.get(1)?) {
        (5, 0) => {}
        (5, 2) => {
            // User name and password.
            let user = usize::from(*client.get(asked + 1)?);
            let password = usize::from(*client.get(asked + 2 + user)?);
            asked += 3 + user + password;
            if *server.get(told + 1)? != 0 {
                return Some(Greeting::Over);
            }
            told += 2;
        }
        _ => return Some(Greeting::Over),
    }
    let request = client.get(asked..)?;
    let [5, 1, _, kind, address @ ..] = request.get(..4 + 1)? else { return Some(Greeting::Over) };
    let address_bytes = length(*kind, address.first().copied()?)?;
    let end = 4 + address_bytes;
    let &[high, low] = request.get(end..end + 2)? else { return Some(Greeting::Over) };
    let port = u16::from_be_bytes([high, low]);
    let address = |ip: IpAddr| Some(Destination::Address((ip, port).into()));
    let to = match (kind, request.get(4..end)?) {
        (3, [_, host @ ..]) => name(host, port),
        (1, &[a, b, c, d]) => address(Ipv4Addr::new(a, b, c, d).into()),
        (4, ip) => <[u8; 16]>::try_from(ip).ok().and_then(|ip| address(Ipv6Addr::from(ip).into())),
        _ => None,
    };
    let reply = server.get(told..)?;
    let [5, 0, _, kind, bound, ..] = reply.get(..5)? else { return Some(Greeting::Over) };
    let end_of_reply = 4 + length(*kind, *bound)? + 2;
    if reply.len() < end_of_reply {
        return None;
    }
    Some(Greeting::Done { client: asked + end + 2, server: told + end_of_reply, to })
}

/// Length of an address of this kind with this first byte.
fn length(kind: u8, first: u8) -> Option<usize> {
    match kind {
        1 => Some(4),
        3 => Some(1 + usize::from(first)),
        4 => Some(16),
        _ => None,
    }
}

/// A name, or an address written like one.
fn name(bytes: &[u8], port: u16) -> Option<Destination> {
    let host = std::str::from_utf8(bytes).ok()?.to_ascii_lowercase();
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(Destination::Address((ip, port).into()));
    }
    let sane = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    sane.then_some(Destination::Name(Named { host, port }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(host: &str, port: u16) -> Option<Destination> {
        Some(Destination::Name(Named { host: host.into(), port }))
    }

    fn at(address: &str) -> Option<Destination> {
        Some(Destination::Address(address.parse().unwrap()))
    }

    #[test]
    fn greetings_are_read_over_and_tell_the_name() {
        let by_name = b"\x05\x01\x00\x05\x01\x00\x03\x09Shop.test\x01\xbbTLS";
        let reply = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x10\x00more";
        for (client, server, greeting) in [
            (&by_name[..], &reply[..], Greeting::Done { client: 19, server: 12, to: named("shop.test", 443) }),
            (
                b"\x05\x02\x00\x02\x01\x02me\x03pwd\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
                b"\x05\x02\x01\x00\x05\x00\x00\x04aaaaaaaabbbbbbbb\x00\x50",
                Greeting::Done { client: 4 + 8 + 10, server: 4 + 22, to: at("127.0.0.1:80") },
            ),
            (b"\x05\x01\x02\x01\x01u\x01p", b"\x05\x02\x01\x01", Greeting::Over),
            (b"\x05\x01\x00", b"\x05\xff", Greeting::Over),
            (b"\x05\x01\x00\x05\x02\x00\x01aaaa\x00\x50", b"\x05\x00\x05\x00\x00\x01aaaa\x00\x50", Greeting::Over),
            (
                b"\x04\x01\x00\x50\x0a\x00\x00\x01me\x00GET",
                b"\x00\x5a\0\0\0\0\0\0",
                Greeting::Done { client: 11, server: 8, to: at("10.0.0.1:80") },
            ),
            (
                b"\x04\x01\x00\x50\x00\x00\x00\x01\x00shop.test\x00",
                b"\x00\x5a\0\0\0\0\0\0",
                Greeting::Done { client: 19, server: 8, to: named("shop.test", 80) },
            ),
            (b"\x04\x01\x00\x50\x0a\x00\x00\x01\x00", b"\x00\x5b\0\0\0\0\0\0", Greeting::Over),
        ] {
            assert_eq!(super::greeting(client, server), greeting, "{}", client.escape_ascii());
            if let Greeting::Done { client: end, server: until, .. } = greeting {
                for cut in 0..end {
                    assert_eq!(super::greeting(&client[..cut], server), Greeting::More, "{cut}");
                }
                for cut in 0..until {
                    assert_eq!(super::greeting(client, &server[..cut]), Greeting::More, "{cut}");
                }
            }
        }
    }
}
