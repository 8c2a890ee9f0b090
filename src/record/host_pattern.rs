//! Patterns of hosts, as people write them on the command line. Main type: [`HostPattern`].

use std::str::FromStr;

use super::glob;

/// A host, or `host:port`. `*` stands for any characters, dots too, and `?` for one; `.corp.test` is that domain and all below
/// it. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// Lower case, without brackets.
    host: String,
    /// None: every port.
    port: Option<u16>,
}

/// Why a text is no pattern of hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// There is no host.
    #[error("it names no host")]
    Empty,
    /// No host has this.
    #[error("{0:?} is in no host name (write HOST or HOST:PORT, international names as xn--…)")]
    Character(char),
    /// No port from 1 to 65535, and not `*`.
    #[error("{0:?} is no port")]
    Port(String),
}

impl HostPattern {
    /// Whether this host is meant. Brackets around an IPv6 address and a dot at the end do not matter.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        let host = plain(host);
        let named = match self.host.strip_prefix('.') {
            Some(domain) => host == domain || host.ends_with(&self.host),
            None => glob::matches_with_one(self.host.as_bytes(), host.as_bytes()),
        };
        named && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let known = |c: &char| c.is_ascii_alphanumeric() || "-._:*?[]".contains(*c);
        if let Some(odd) = text.chars().find(|c| !known(c)) {
            return Err(HostPatternError::Character(odd));
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(HostPatternError::Character(']'))?)),
            None if text.bytes().filter(|&b| b == b':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let host = plain(host);
        if host.is_empty() {
            return Err(HostPatternError::Empty);
        }
        if let Some(odd) = host.chars().find(|c| matches!(c, '[' | ']')) {
            return Err(HostPatternError::Character(odd));
        }
        let port = match port {
            None | Some("*") => None,
            Some(digits) => match digits.parse() {
                Ok(port) if port > 0 => Some(port),
                _ => return Err(HostPatternError::Port(digits.to_owned())),
            },
        };
        Ok(Self { host, port })
    }
}

/// As hosts are compared.
fn plain(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_the_hosts_it_means() {
        for (pattern, host, port, covered) in [
            ("shop.test", "SHOP.test.", 443, true),
            ("shop.test", "www.shop.test", 443, false),
            ("*.shop.test", "a.b.shop.test", 443, true),
            ("*.shop.test", "shop.test", 443, false),
            (".shop.test", "shop.test", 443, true),
            (".shop.test:443", "a.shop.test", 443, true),
            (".shop.test", "myshop.test", 443, false),
            ("*shop.test", "shop.test", 1, true),
            ("*.apple.com:443", "gs.apple.com", 8443, false),
            ("*.apple.com:443", "gs.apple.com", 443, true),
            ("*:8443", "anything", 8443, true),
            ("shop.test:*", "shop.test", 9, true),
            ("a?.test", "ab.test", 1, true),
            ("a?.test", "a.test", 1, false),
            ("*a*b*", "xxaxxbxx", 1, true),
            ("*a*b", "ab-ba", 1, false),
            ("10.0.0.*", "10.0.0.7", 1, true),
            ("[::1]:443", "[::1]", 443, true),
            ("[::1]:443", "::1", 444, false),
            ("fe80:*", "fe80::1", 1, false),
            ("fe80::*", "[fe80::1]", 1, true),
        ] {
            let found = pattern.parse::<HostPattern>().unwrap().covers(host, port);
            assert_eq!(found, covered, "{pattern} {host}:{port}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        for (text, error) in [
            ("", HostPatternError::Empty),
            (":443", HostPatternError::Empty),
            ("https://shop.test", HostPatternError::Character('/')),
            ("shop.test/path", HostPatternError::Character('/')),
            ("bücher.test", HostPatternError::Character('ü')),
            ("shop.test:0", HostPatternError::Port("0".into())),
            ("shop.test:99999", HostPatternError::Port("99999".into())),
            ("[::1]443", HostPatternError::Character(']')),
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(error), "{text}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
        let pattern: HostPattern = "*a".repeat(200).parse().unwrap();
        assert!(!pattern.covers(&("a".repeat(199) + &"b".repeat(2000)), 1));
    }
}
