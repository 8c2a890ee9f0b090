//! Origins: scheme, host and port, the unit in which targets are named and replaced.

use std::fmt;
use std::str::FromStr;

/// The two schemes that traffic can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port of a server. The host is lower case; an IPv6 address has its brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Lower-case name, IPv4 address, or IPv6 address in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Neither `http://` nor `https://`.
    #[error("`{0}` does not start with http:// or https://")]
    Scheme(String),
    /// Nothing between the scheme and the path, or characters that no host has.
    #[error("`{0}` has no valid host")]
    Host(String),
    /// Not a number from 1 to 65535.
    #[error("`{0}` has no valid port")]
    Port(String),
}

impl Origin {
    /// An origin from its parts; the host becomes lower case.
    pub fn new(scheme: Scheme, host: &str, port: u16) -> Self {
        Self { scheme, host: host.to_ascii_lowercase(), port }
    }

    /// Host, and the port unless it is the scheme's default: what a `Host` header says.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Host without the brackets of an IPv6 address, for name look-up and TLS names.
    pub fn dial_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// From a scheme and an authority (`host`, `host:port`, `[::1]:port`).
    ///
    /// # Errors
    /// When the host is empty or holds characters no host has, or the port is no number from 1 to 65535.
    pub fn from_authority(scheme: Scheme, authority: &str) -> Result<Self, OriginError> {
        let (host, port) = match authority.bytes().rposition(|b| b == b':') {
            Some(colon) if !authority.as_bytes()[colon..].contains(&b']') => {
                let text = &authority[colon + 1..];
                let port = if text.is_empty() {
                    scheme.default_port()
                } else {
                    match text.parse::<u16>() {
                        Ok(p) if p > 0 && text.bytes().all(|b| b.is_ascii_digit()) => p,
                        _ => return Err(OriginError::Port(authority.to_owned())),
                    }
                };
                (&authority[..colon], port)
            }
            _ => (authority, scheme.default_port()),
        };
        let named =
            host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'%' | 0x80..));
        let literal = host.starts_with('[')
            && host.ends_with(']')
            && host[1..host.len() - 1].parse::<std::net::Ipv6Addr>().is_ok();
        if host.is_empty() || !(named || literal) {
            return Err(OriginError::Host(authority.to_owned()));
        }
        Ok(Self::new(scheme, host, port))
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Parses `http://host[:port]`; a path, query or fragment behind it is ignored.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let (scheme, rest) = if lower.starts_with("https://") {
            (Scheme::Https, &text[8..])
        } else if lower.starts_with("http://") {
            (Scheme::Http, &text[7..])
        } else {
            return Err(OriginError::Scheme(text.to_owned()));
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        Self::from_authority(scheme, authority.rsplit('@').next().unwrap_or(authority))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_parse_and_print() {
        for (text, printed) in [
            ("https://Shop.test", "https://shop.test"),
            ("http://127.0.0.1:9000/a?b", "http://127.0.0.1:9000"),
            ("https://[::1]:8443/", "https://[::1]:8443"),
            ("https://x:443", "https://x"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), printed);
        }
        for bad in [
            "shop.test",
            "ftp://x",
            "http://",
            "http://x:0",
            "http://x:99999",
            "http://a b",
            "http://[zz]",
            "http://x:+5",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
