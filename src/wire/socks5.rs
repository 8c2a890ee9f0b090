//! SOCKS 5 (RFC 1928) with user name and password (RFC 1929), for who serves it ([`Server`]) and for who asks ([`Client`]).
//!
//! Sans-io: bytes in, bytes out. `CONNECT` alone is served; nothing is ever read beyond the negotiation.

mod client;
mod server;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use client::{Client, ClientError};
pub use server::{Asked, Server, ServerError, Why};

/// First byte of everything a client says first.
pub const VERSION: u8 = 5;
/// Version of the negotiation of user name and password.
const PASSWORD_VERSION: u8 = 1;

const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NOTHING_ACCEPTABLE: u8 = 0xff;

const CONNECT: u8 = 1;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Where a client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Server.
    pub host: Host,
    /// TCP port.
    pub port: u16,
}

/// A server as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name of 1 to 255 bytes, to be looked up by whom it is told.
    Name(String),
}

/// A user name and a password, each of 1 to 255 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub user: String,
    /// What only they know.
    pub password: String,
}

/// How far a negotiation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// So many bytes of the input are used up.
    pub consumed: usize,
    /// To be sent to the other side.
    pub reply: Vec<u8>,
    /// Set when the negotiation is over.
    pub done: Option<T>,
}

/// What a server answers to a request (RFC 1928 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    /// Go ahead.
    Succeeded = 0,
    /// It cannot be done.
    GeneralFailure = 1,
    /// It may not be done.
    NotAllowed = 2,
    /// No way to its network.
    NetworkUnreachable = 3,
    /// No way to it, or no such name.
    HostUnreachable = 4,
    /// Nobody listens there.
    ConnectionRefused = 5,
    /// It took too long.
    TtlExpired = 6,
    /// Something else than `CONNECT`.
    CommandNotSupported = 7,
    /// No kind of address that is known.
    AddressNotSupported = 8,
}

impl Reply {
    fn of(code: u8) -> Option<Self> {
        use Reply::*;
        let all = [
            Succeeded,
            GeneralFailure,
            NotAllowed,
            NetworkUnreachable,
            HostUnreachable,
            ConnectionRefused,
            TtlExpired,
            CommandNotSupported,
            AddressNotSupported,
        ];
        all.into_iter().find(|reply| *reply as u8 == code)
    }

    /// As bytes, without an address of ours.
    pub fn bytes(self) -> Vec<u8> {
        vec![VERSION, self as u8, 0, IPV4, 0, 0, 0, 0, 0, 0]
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::GeneralFailure => "general failure",
            Self::NotAllowed => "not allowed by its rules",
            Self::NetworkUnreachable => "network unreachable",
            Self::HostUnreachable => "host unreachable",
            Self::ConnectionRefused => "connection refused",
            Self::TtlExpired => "time to live expired",
            Self::CommandNotSupported => "command not supported",
            Self::AddressNotSupported => "kind of address not supported",
        })
    }
}

impl Host {
    /// From text: an address (IPv6 with or without brackets) or a name.
    pub fn of(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        bare.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Ip)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What stands at the start of an input.
enum Parsed<T> {
    /// This, in so many bytes.
    Whole(T, usize),
    /// The beginning of something.
    Part,
    /// No kind of address that is known.
    Unknown,
}

/// Kind of address, address and port (RFC 1928 §5). A name that is no text comes with its odd bytes replaced.
fn target(input: &[u8]) -> Parsed<Target> {
    let (host, end) = match input {
        [] => return Parsed::Part,
        [IPV4, rest @ ..] => match rest.first_chunk::<4>() {
            Some(ip) => (Host::Ip(Ipv4Addr::from(*ip).into()), 5),
            None => return Parsed::Part,
        },
        [IPV6, rest @ ..] => match rest.first_chunk::<16>() {
            Some(ip) => (Host::Ip(Ipv6Addr::from(*ip).into()), 17),
            None => return Parsed::Part,
        },
        [NAME] => return Parsed::Part,
        [NAME, length, rest @ ..] => match rest.get(..usize::from(*length)) {
            Some(name) => (Host::of(&String::from_utf8_lossy(name)), 2 + usize::from(*length)),
            None => return Parsed::Part,
        },
        _ => return Parsed::Unknown,
    };
    match input.get(end..end + 2) {
        Some(&[high, low]) => Parsed::Whole(Target { host, port: u16::from_be_bytes([high, low]) }, end + 2),
        _ => Parsed::Part,
    }
}

/// A text behind its length.
fn text(input: &[u8]) -> Option<(&[u8], usize)> {
    let (&length, rest) = input.split_first()?;
    let text = rest.get(..usize::from(length))?;
    Some((text, 1 + text.len()))
}
