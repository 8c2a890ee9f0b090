//! Cookies as a browser keeps them (RFC 6265bis): `Set-Cookie` in, `Cookie` out. Time is an argument.
//!
//! Without a list of public suffixes: a domain of one label is refused, `co.uk` is not. Ports do not separate cookies.

mod date;
mod set_cookie;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use crate::model::{Nanos, Origin, Scheme};

pub(in crate::wire) use date::parse as parse_date;
use set_cookie::{Lifetime, SetCookie};

/// Most cookies kept for one domain; the oldest go first.
const PER_DOMAIN: usize = 180;
/// Most cookies kept in one jar; the oldest go first.
const PER_JAR: usize = 3000;

/// The cookies of one user. Cheap when empty.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    /// In the order in which they were first set.
    cookies: Vec<Stored>,
}

/// One stored cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Name as set; empty for a cookie that was set without `=`.
    pub name: String,
    /// Value as set.
    pub value: String,
}

#[derive(Clone, Debug)]
struct Stored {
    name: Box<str>,
    value: Box<str>,
    /// Lower case, as in [`Origin::host`].
    domain: Box<str>,
    path: Box<str>,
    /// `u64::MAX` for a cookie that lives as long as the session.
    expires: Nanos,
    /// Only for that very host.
    host_only: bool,
    secure: bool,
}

impl Jar {
    /// Takes one `Set-Cookie` value of a response from `origin` to a request for `path` at `now`.
    /// Honours Domain, Path, Secure, Max-Age, Expires (relative to `unix_now_s`, seconds), deletion.
    /// Returns the cookie's name and value when it was accepted (also when it deletes).
    pub fn store(
        &mut self,
        set_cookie: &[u8],
        origin: &Origin,
        path: &str,
        now: Nanos,
        unix_now_s: i64,
    ) -> Option<Cookie> {
        let text = String::from_utf8_lossy(set_cookie);
        let set = SetCookie::parse(&text)?;
        let (domain, host_only) = domain_of(set.domain, &origin.host)?;
        if set.secure && !is_trustworthy(origin) {
            return None;
        }
        let path = set.path.unwrap_or_else(|| default_path(path));
        let expires = match set.lifetime {
            Lifetime::Session => Nanos(u64::MAX),
            Lifetime::Seconds(seconds) => after_seconds(now, seconds),
            Lifetime::Until(unix_s) => after_seconds(now, unix_s.saturating_sub(unix_now_s)),
        };
        let cookie = Cookie { name: set.name.to_owned(), value: set.value.to_owned() };

        self.cookies.retain(|c| c.expires > now);
        let same = |c: &Stored| *c.name == *set.name && *c.domain == *domain && *c.path == *path;
        let place = self.cookies.iter().position(same);
        if place.is_some_and(|at| self.cookies[at].secure) && !is_trustworthy(origin) {
            return None;
        }
        if expires <= now {
            if let Some(at) = place {
                self.cookies.remove(at);
            }
            return Some(cookie);
        }
        let stored = Stored {
            name: set.name.into(),
            value: set.value.into(),
            domain: domain.into(),
            path: path.into(),
            expires,
            host_only,
            secure: set.secure,
        };
        match place {
            Some(at) => self.cookies[at] = stored,
            None => self.add(stored),
        }
        Some(cookie)
    }

    /// The cookies to send with a request for `path` at `origin`, longest path first, then oldest first.
    pub fn matching(&self, origin: &Origin, path: &str, now: Nanos) -> Vec<Cookie> {
        let owned = |c: &Stored| Cookie { name: c.name.to_string(), value: c.value.to_string() };
        self.select(origin, path, now).into_iter().map(owned).collect()
    }

    /// The value of a `Cookie` header for that request; `None` when there is nothing to send.
    pub fn header(&self, origin: &Origin, path: &str, now: Nanos) -> Option<String> {
        let mut header = String::new();
        for cookie in self.select(origin, path, now) {
            if !header.is_empty() {
                header.push_str("; ");
            }
            if !cookie.name.is_empty() {
                header.push_str(&cookie.name);
                header.push('=');
            }
            header.push_str(&cookie.value);
        }
        (!header.is_empty()).then_some(header)
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    fn select(&self, origin: &Origin, path: &str, now: Nanos) -> Vec<&Stored> {
        if self.cookies.is_empty() {
            return Vec::new();
        }
        let path = path_alone(path);
        let secure = is_trustworthy(origin);
        let fits = |c: &&Stored| {
            c.expires > now
                && (secure || !c.secure)
                && if c.host_only { *c.domain == *origin.host } else { domain_matches(&origin.host, &c.domain) }
                && path_matches(path, &c.path)
        };
        let mut found: Vec<&Stored> = self.cookies.iter().filter(fits).collect();
        found.sort_by_key(|c| std::cmp::Reverse(c.path.len()));
        found
    }

    fn add(&mut self, stored: Stored) {
        let of_domain = self.cookies.iter().filter(|c| c.domain == stored.domain).count();
        if of_domain >= PER_DOMAIN {
            if let Some(oldest) = self.cookies.iter().position(|c| c.domain == stored.domain) {
                self.cookies.remove(oldest);
            }
        } else if self.cookies.len() >= PER_JAR {
            self.cookies.remove(0);
        }
        self.cookies.push(stored);
    }
}

/// The name-value pairs of a `Cookie` header.
pub fn parse_cookie_header(value: &[u8]) -> Vec<Cookie> {
    let text = String::from_utf8_lossy(value);
    text.split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or(("", pair));
            Cookie { name: name.trim().to_owned(), value: value.trim().to_owned() }
        })
        .collect()
}

/// The domain a cookie is kept for, and whether for that very host alone; `None` when the host may not set it.
fn domain_of<'a>(asked: Option<Cow<'a, str>>, host: &'a str) -> Option<(Cow<'a, str>, bool)> {
    match asked {
        None => Some((host.into(), true)),
        Some(domain) if *domain == *host => {
            let host_only = is_ip(host) || !domain.contains('.');
            Some((domain, host_only))
        }
        Some(domain) if domain.contains('.') && domain_matches(host, &domain) => Some((domain, false)),
        Some(_) => None,
    }
}

/// RFC 6265bis §5.1.3.
fn domain_matches(host: &str, domain: &str) -> bool {
    match host.strip_suffix(domain) {
        Some("") => true,
        Some(before) => before.ends_with('.') && !is_ip(host),
        None => false,
    }
}

/// RFC 6265bis §5.1.4.
fn path_matches(path: &str, of_cookie: &str) -> bool {
    match path.strip_prefix(of_cookie) {
        Some(rest) => rest.is_empty() || of_cookie.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// The directory of the request's path (RFC 6265bis §5.1.4).
fn default_path(path: &str) -> &str {
    let path = path_alone(path);
    match path.rfind('/') {
        Some(slash) if slash > 0 && path.starts_with('/') => &path[..slash],
        _ => "/",
    }
}

/// A target without its query; `/` when nothing is left that starts with a slash.
fn path_alone(target: &str) -> &str {
    let path = &target[..target.find(['?', '#']).unwrap_or(target.len())];
    if path.starts_with('/') { path } else { "/" }
}

/// Whether `Secure` cookies pass: over TLS, and to loopback, which browsers trust as much.
fn is_trustworthy(origin: &Origin) -> bool {
    let host = origin.dial_host();
    origin.scheme == Scheme::Https
        || host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_ip(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// The instant so many seconds after `now`; `now` when they are negative.
fn after_seconds(now: Nanos, seconds: i64) -> Nanos {
    now.after(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}
