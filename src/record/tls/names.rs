//! The names a certificate is valid for: read from the server's, put into ours.

use std::fmt;
use std::net::IpAddr;

use x509_parser::extensions::GeneralName;

/// More names than any real certificate has are not mirrored.
const MOST_NAMES: usize = 500;
/// Longest common name that X.520 allows.
const COMMON_NAME_BYTES: usize = 64;

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::record) enum Name {
    /// Host name or wildcard.
    Dns(String),
    /// Address.
    Ip(IpAddr),
}

/// All names of a certificate in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::record) struct Names(Vec<Name>);

impl Names {
    /// Just this host (no brackets around an IPv6 address).
    pub(in crate::record) fn of_host(host: &str) -> Self {
        Self(vec![Name::of(host)])
    }

    /// What a certificate says; none when it says nothing usable.
    pub(in crate::record) fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let extension = certificate.subject_alternative_name().ok()??;
        let names: Vec<Name> =
            extension.value.general_names.iter().filter_map(Name::of_general).take(MOST_NAMES).collect();
        (!names.is_empty()).then_some(Self(names))
    }

    /// The same, and `host` when none of them covers it.
    pub(in crate::record) fn covering(mut self, host: &str) -> Self {
        if !self.0.iter().any(|name| name.covers(host)) {
            self.0.push(Name::of(host));
        }
        self
    }

    /// All of them.
    pub(in crate::record) fn all(&self) -> &[Name] {
        &self.0
    }

    /// The first name short enough to be a common name.
    pub(in crate::record) fn common_name(&self) -> String {
        let mut texts = self.0.iter().map(Name::to_string);
        texts.find(|text| text.len() <= COMMON_NAME_BYTES).unwrap_or_else(|| "overdub".to_owned())
    }
}

impl Name {
    fn of(host: &str) -> Self {
        host.parse().map_or_else(|_| Self::Dns(host.to_ascii_lowercase()), Self::Ip)
    }

    fn of_general(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(dns) if dns.is_ascii() && !dns.is_empty() => Some(Self::Dns((*dns).to_owned())),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| Self::Ip(b.into())),
                16 => <[u8; 16]>::try_from(*bytes).ok().map(|b| Self::Ip(b.into())),
                _ => None,
            },
            _ => None,
        }
    }

    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Ip(ip) => host.parse() == Ok(*ip),
            Self::Dns(dns) => match dns.strip_prefix("*.") {
                None => dns.eq_ignore_ascii_case(host),
                Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
            },
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(dns) => f.write_str(dns),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_added_only_when_no_name_covers_it() {
        for (names, host, added) in [
            (vec!["shop.test"], "SHOP.test", false),
            (vec!["*.shop.test"], "www.shop.test", false),
            (vec!["*.shop.test"], "a.www.shop.test", true),
            (vec!["*.shop.test"], "shop.test", true),
            (vec!["127.0.0.1"], "127.0.0.1", false),
            (vec!["127.0.0.1"], "127.0.0.2", true),
            (vec!["shop.test"], "::1", true),
        ] {
            let before = Names(names.iter().map(|n| Name::of(n)).collect());
            let after = before.clone().covering(host);
            assert_eq!(after.0.len() > before.0.len(), added, "{names:?} {host}");
        }
    }

    #[test]
    fn rubbish_has_no_names() {
        assert_eq!(Names::of_certificate(b"\x30\x03abc"), None);
    }
}
