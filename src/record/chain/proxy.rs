//! Another proxy, as people write it: `http://user:password@host:port` or `socks5://…`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::{Origin, Scheme};
use crate::wire::socks5::Credentials;

/// Port of a SOCKS proxy that does not name one.
const SOCKS_PORT: u16 = 1080;

/// A proxy through which servers are reached. Shown without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamProxy {
    pub(in crate::record) kind: Kind,
    /// Host without the brackets of an IPv6 address.
    pub(in crate::record) host: String,
    pub(in crate::record) port: u16,
    pub(in crate::record) credentials: Option<Credentials>,
}

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum Kind {
    /// HTTP/1.1 in clear text.
    Http,
    /// SOCKS 5; names are looked up by it.
    Socks5,
}

/// Why a text names no proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// Something else than `http://` or `socks5://`.
    #[error("give http://[user:password@]host:port or socks5://[user:password@]host:port")]
    Scheme,
    /// No host, a wrong port, or something behind them.
    #[error("there is no host, or no valid port")]
    Host,
    /// A `%` without two digits, or a user name with a colon.
    #[error("the user name or password is wrongly encoded (percent-encode what is not a letter or digit)")]
    Credentials,
}

impl FromStr for UpstreamProxy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(ProxyUrlError::Scheme)?;
        let (kind, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Kind::Http, Scheme::Http.default_port()),
            "socks5" | "socks5h" | "socks" => (Kind::Socks5, SOCKS_PORT),
            _ => return Err(ProxyUrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        let names_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && !port.contains(']'));
        let origin = Origin::from_authority(Scheme::Http, authority).map_err(|_| ProxyUrlError::Host)?;
        let credentials = user.map(credentials).transpose()?;
        let port = if names_port { origin.port } else { port };
        Ok(Self { kind, host: origin.dial_host().to_owned(), port, credentials })
    }
}

impl UpstreamProxy {
    /// Value of `Proxy-Authorization` (RFC 7617), if it wants one.
    pub(in crate::record) fn authorization(&self) -> Option<String> {
        let own = self.credentials.as_ref()?;
        Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", own.user, own.password))))
    }
}

impl fmt::Display for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Http => "http",
            Kind::Socks5 => "socks5",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

fn credentials(text: &str) -> Result<Credentials, ProxyUrlError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (decoded(user)?, decoded(password)?);
    let clean = |text: &str| !text.contains(char::is_control);
    if user.is_empty() || user.contains(':') || !clean(&user) || !clean(&password) {
        return Err(ProxyUrlError::Credentials);
    }
    Ok(Credentials { user, password })
}

fn decoded(text: &str) -> Result<String, ProxyUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| behind.get(at).and_then(|&b| char::from(b).to_digit(16));
        let (high, low) = digit(0).zip(digit(1)).ok_or(ProxyUrlError::Credentials)?;
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| ProxyUrlError::Credentials)?);
        rest = &behind[2..];
    }
    String::from_utf8(bytes).map_err(|_| ProxyUrlError::Credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_as_people_write_them() {
        for (text, shown, authorization) in [
            ("http://proxy.test:3128", "http://proxy.test:3128", None),
            ("HTTP://Proxy.test", "http://proxy.test:80", None),
            ("http://anna:s%40c%3Aret@proxy.test:3128/", "http://proxy.test:3128", Some("Basic YW5uYTpzQGM6cmV0")),
            ("http://anna@proxy.test:3128", "http://proxy.test:3128", Some("Basic YW5uYTo=")),
            ("socks5://[::1]", "socks5://[::1]:1080", None),
            ("socks5h://127.0.0.1:9", "socks5://127.0.0.1:9", None),
        ] {
            let proxy: UpstreamProxy = text.parse().unwrap();
            assert_eq!((proxy.to_string().as_str(), proxy.authorization().as_deref()), (shown, authorization));
            assert!(!format!("{proxy:?}").contains("ret"), "{proxy:?}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for (text, error) in [
            ("proxy.test:3128", ProxyUrlError::Scheme),
            ("https://proxy.test", ProxyUrlError::Scheme),
            ("http://", ProxyUrlError::Host),
            ("http://proxy.test:99999", ProxyUrlError::Host),
            ("http://proxy.test/path", ProxyUrlError::Host),
            ("http://%zz@proxy.test", ProxyUrlError::Credentials),
            ("http://:x@proxy.test", ProxyUrlError::Credentials),
            ("http://a%0d%0ab:x@proxy.test", ProxyUrlError::Credentials),
        ] {
            assert_eq!(text.parse::<UpstreamProxy>(), Err(error), "{text}");
        }
    }
}
