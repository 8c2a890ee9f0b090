//! The URL of an entry becomes an origin and a target.
//!
//! Main type: [`Address`].

use crate::model::{Origin, Scheme};

/// Where an entry went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// To a server.
    Web {
        origin: Origin,
        /// In origin form, with every byte that no target has percent-encoded.
        target: Vec<u8>,
        /// The URL's scheme is `ws` or `wss`.
        socket: bool,
    },
    /// To nowhere on the network: `blob`, `data`, `chrome-extension`, …; the scheme.
    Elsewhere(String),
    /// It is no URL.
    Unreadable,
}

impl Address {
    /// Takes a URL apart: user name, password and fragment are not sent, a host with other letters is sent as punycode.
    pub(super) fn of(url: &str) -> Self {
        let url = url.trim();
        let Some(colon) = url.find(':') else { return Self::Unreadable };
        let scheme = url[..colon].to_ascii_lowercase();
        let (scheme, socket) = match scheme.as_str() {
            "http" => (Scheme::Http, false),
            "https" => (Scheme::Https, false),
            "ws" => (Scheme::Http, true),
            "wss" => (Scheme::Https, true),
            _ if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) && !scheme.is_empty() => {
                return Self::Elsewhere(scheme);
            }
            _ => return Self::Unreadable,
        };
        let Some(rest) = url[colon + 1..].strip_prefix("//") else { return Self::Unreadable };
        let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        let authority = authority.rsplit('@').next().unwrap_or(authority);
        let Some(authority) = ascii_authority(authority) else { return Self::Unreadable };
        let Ok(origin) = Origin::from_authority(scheme, &authority) else { return Self::Unreadable };
        let path = rest.split('#').next().unwrap_or("");
        Self::Web { origin, target: target_of(path), socket }
    }
}

/// The target of a path and query.
pub(super) fn target_of(path: &str) -> Vec<u8> {
    let mut target = Vec::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push(b'/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic() {
            target.push(byte);
        } else {
            target.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    target
}

/// The authority with a host in ASCII (RFC 5891, without the mapping of characters that browsers have done already).
fn ascii_authority(authority: &str) -> Option<String> {
    if authority.is_ascii() {
        return Some(authority.to_owned());
    }
    let (host, port) = authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let labels = host.split(['.', '\u{3002}']).map(|label| {
        if label.is_ascii() {
            Some(label.to_owned())
        } else {
            punycode(&label.to_lowercase()).map(|code| format!("xn--{code}"))
        }
    });
    let host = labels.collect::<Option<Vec<_>>>()?.join(".");
    Some(port.map_or(host.clone(), |port| format!("{host}:{port}")))
}

/// Punycode of a label (RFC 3492 §6.3).
fn punycode(label: &str) -> Option<String> {
    let points: Vec<u32> = label.chars().map(u32::from).collect();
    let mut code: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(code.len()).ok().filter(|_| points.len() <= 63)?;
    let mut handled = basic;
    if basic > 0 {
        code.push('-');
    }
    let (mut next, mut delta, mut bias) = (128_u32, 0_u32, 72_u32);
    while (handled as usize) < points.len() {
        let lowest = points.iter().copied().filter(|point| *point >= next).min()?;
        delta = delta.checked_add((lowest - next).checked_mul(handled + 1)?)?;
        next = lowest;
        for &point in &points {
            delta = delta.checked_add(u32::from(point < next))?;
            if point == next {
                let mut left = delta;
                let mut k = 36;
                loop {
                    let threshold = if k <= bias { 1 } else { (k - bias).min(26) };
                    if left < threshold {
                        break;
                    }
                    code.push(digit(threshold + (left - threshold) % (36 - threshold))?);
                    left = (left - threshold) / (36 - threshold);
                    k += 36;
                }
                code.push(digit(left)?);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        next = next.checked_add(1)?;
    }
    Some(code)
}

fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

fn digit(value: u32) -> Option<char> {
    char::from_digit(value, 36).map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[value as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_origin_and_target() {
        for (url, origin, target) in [
            ("https://Shop.test/a?b=c#d", "https://shop.test", "/a?b=c"),
            ("http://x", "http://x", "/"),
            ("http://x?q", "http://x", "/?q"),
            ("http://x#f", "http://x", "/"),
            ("HTTPS://user:pa@ss@x:8443/p@q", "https://x:8443", "/p@q"),
            ("https://[::1]:8443/", "https://[::1]:8443", "/"),
            ("https://x:443/", "https://x", "/"),
            ("http://x/a b\u{e4}%20", "http://x", "/a%20b%C3%A4%20"),
            ("https://B\u{fc}cher.example:81/", "https://xn--bcher-kva.example:81", "/"),
            ("https://\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}", "https://xn--r8jz45g.xn--zckzah", "/"),
            ("wss://x/chat", "https://x", "/chat"),
            ("ws://x:8080/chat", "http://x:8080", "/chat"),
        ] {
            let Address::Web { origin: found, target: path, socket } = Address::of(url) else { panic!("{url}") };
            assert_eq!((found.to_string().as_str(), path.as_slice()), (origin, target.as_bytes()), "{url}");
            assert_eq!(socket, url.starts_with("ws"));
        }
    }

    #[test]
    fn other_schemes_are_told_from_nonsense() {
        for (url, scheme) in
            [("blob:https://x/1", "blob"), ("data:,", "data"), ("chrome-extension://a/b", "chrome-extension")]
        {
            assert_eq!(Address::of(url), Address::Elsewhere(scheme.to_owned()));
        }
        for bad in
            ["", "x", "/a", "http:/x", "http://", "http://:80/", "http://a b/", "http://x:99999/", ":x", "h\u{e4}:x"]
        {
            assert_eq!(Address::of(bad), Address::Unreadable, "{bad}");
        }
        assert_eq!(Address::of(&format!("http://{}/", "\u{10ffff}".repeat(100))), Address::Unreadable);
    }
}
