//! Addresses and ports of a connection, the same for both directions, and their hash.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One of the two ends of a connection: 0 is the lower address and port, 1 the higher.
pub(super) type End = usize;

/// Both ends of a connection in a fixed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    addresses: [[u64; 2]; 2],
    ports: [u16; 2],
    v6: bool,
}

impl Key {
    /// The key of a segment, and which end sent it.
    pub fn of(source: SocketAddr, destination: SocketAddr) -> (Self, End) {
        let (from, v6) = words(source.ip());
        let (to, _) = words(destination.ip());
        let (sender, receiver) = ((from, source.port()), (to, destination.port()));
        if sender <= receiver {
            (Self { addresses: [from, to], ports: [sender.1, receiver.1], v6 }, 0)
        } else {
            (Self { addresses: [to, from], ports: [receiver.1, sender.1], v6 }, 1)
        }
    }

    /// Address and port of an end.
    pub fn address(&self, end: End) -> SocketAddr {
        let [high, low] = self.addresses[end];
        let ip = if self.v6 {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(low as u32))
        };
        SocketAddr::new(ip, self.ports[end])
    }

    /// Port of an end.
    pub fn port(&self, end: End) -> u16 {
        self.ports[end]
    }
}

fn words(ip: IpAddr) -> ([u64; 2], bool) {
    match ip {
        IpAddr::V4(ip) => ([0, u64::from(ip.to_bits())], false),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            ([(bits >> 64) as u64, bits as u64], true)
        }
    }
}

/// Hashes keys; seeded anew in each process, so that nobody can write a capture whose keys collide. Nothing that is put
/// out depends on the order of hashes.
#[derive(Debug)]
pub(super) struct Scatter([u64; 2]);

impl Scatter {
    /// A fresh seed.
    pub fn new() -> Self {
        Self([RandomState::new().hash_one(0_u8) | 1, RandomState::new().hash_one(1_u8) | 1])
    }

    /// Hash of a key.
    pub fn hash(&self, key: &Key) -> u64 {
        let [[a, b], [c, d]] = key.addresses;
        let ports = u64::from(key.ports[0]) << 17 | u64::from(key.ports[1]) << 1 | u64::from(key.v6);
        let low = fold(b ^ self.0[0], d ^ ports.rotate_left(32) ^ self.0[1]);
        if a | c == 0 {
            return fold(low ^ ports, self.0[0]);
        }
        fold(low ^ ports ^ fold(a ^ self.0[1], c ^ self.0[0].rotate_left(32)), self.0[0])
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Passes a finished hash through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finished(u64);

impl Hasher for Finished {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key_and_give_their_addresses_back() {
        let pairs =
            [("10.0.0.2:80", "10.0.0.1:40000"), ("[2001:db8::2]:80", "[2001:db8::1]:80"), ("1.1.1.1:5", "1.1.1.1:4")];
        for (a, b) in pairs {
            let (a, b): (SocketAddr, SocketAddr) = (a.parse().unwrap(), b.parse().unwrap());
            let ((there, from), (back, to)) = (Key::of(a, b), Key::of(b, a));
            assert_eq!((there, from), (back, 1 - to));
            assert_eq!((there.address(from), there.address(to)), (a, b));
            let scatter = Scatter::new();
            assert_eq!(scatter.hash(&there), scatter.hash(&back));
        }
    }
}
