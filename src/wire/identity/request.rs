//! What a request tells of its sender, read from its fields once.

use std::borrow::Cow;
use std::net::IpAddr;

use super::Sighting;
use super::credential::{Credential, credentials};
use super::guest::Guest;
use super::name::{name_of, url_of};
use super::user_by::{Key, Telling};
use crate::model::{Headers, Origin};
use crate::wire::cookie::{self, Cookie};

/// A [`Sighting`] read.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) seen: &'a Sighting<'a>,
    /// Client address: the one that a proxy in between forwarded, if any.
    pub(super) client: IpAddr,
    pub(super) sent: Vec<Cookie>,
    pub(super) credentials: Vec<Credential>,
    pub(super) kind: Kind,
    pub(super) purpose: Purpose,
    /// Name of what must be equal in all requests of a session.
    pub(super) partition: u64,
    /// The address was forwarded.
    pub(super) is_forwarded: bool,
    /// Name of the host.
    pub(super) host: u64,
    /// Name of host and target.
    pub(super) url: u64,
}

/// What a missing cookie means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A client that has cookies would send them: a page, a form, a call of a program.
    Navigation,
    /// Browsers leave cookies out of some of these: fonts, manifests, icons, fetches without credentials, preflights,
    /// forms that other sites send.
    Part,
}

/// What a request is for, as far as its path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody logs in.
    LogIn,
    /// Somebody who is logged in gets a new token.
    Refresh,
    Other,
}

impl<'a> Asked<'a> {
    pub(super) fn of(seen: &'a Sighting<'a>, guest: &Guest, telling: Telling, keys: &[Key]) -> Self {
        let host = name_of(&seen.origin.host);
        let forwarded = forwarded_for(seen.headers);
        let client = forwarded.unwrap_or(seen.client);
        let sent = seen.headers.all("cookie").flat_map(cookie::parse_cookie_header);
        Self {
            seen,
            client,
            sent: if telling.cookies { sent.collect() } else { Vec::new() },
            credentials: if telling.credentials { credentials(seen.headers, host) } else { Vec::new() },
            kind: Kind::of(seen),
            purpose: Purpose::of(seen),
            partition: partition(seen, guest, client, keys),
            is_forwarded: forwarded.is_some(),
            host,
            url: url_of(seen.origin, seen.target),
        }
    }

    /// Name of client address and user agent.
    pub(super) fn group(&self) -> u64 {
        name_of((self.partition, self.client, self.seen.headers.first("user-agent")))
    }

    pub(super) fn path(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.seen.target)
    }

    /// Name of the page that asked for this, when the client says so.
    pub(super) fn referer(&self) -> Option<u64> {
        let referer = self.seen.headers.text("referer")?;
        let origin: Origin = referer.parse().ok()?;
        let behind = referer.find("://")? + 3;
        let target = referer[behind..].find('/').map_or("/", |slash| &referer[behind + slash..]);
        Some(url_of(&origin, target.as_bytes()))
    }

    pub(super) fn is_navigation(&self) -> bool {
        self.kind == Kind::Navigation
    }

    /// Whether a browser sends this: all on one connection of its is one person's.
    pub(super) fn is_of_browser(&self) -> bool {
        let headers = self.seen.headers;
        headers.first("sec-fetch-mode").is_some()
            || headers.first("user-agent").is_some_and(|agent| agent.starts_with(b"Mozilla/"))
    }

    /// Whether it is a log-in by someone who sends nothing that says who it is.
    pub(super) fn is_anonymous_log_in(&self) -> bool {
        self.purpose == Purpose::LogIn && self.sent.is_empty() && self.credentials.is_empty()
    }
}

impl Purpose {
    fn of(seen: &Sighting<'_>) -> Self {
        const LOG_IN_PARTS: &[&str] =
            &["login", "log-in", "logon", "signin", "sign-in", "sign_in", "authenticat", "token", "oauth"];
        const LOG_IN_NAMES: &[&str] = &["auth", "session", "sessions"];
        if !matches!(seen.method, "POST" | "PUT") {
            return Self::Other;
        }
        let path = seen.target.split(|&b| b == b'?' || b == b'#').next().unwrap_or_default();
        let path = String::from_utf8_lossy(&path[..path.len().min(1024)]).to_ascii_lowercase();
        if path.contains("refresh") || path.contains("renew") {
            return Self::Refresh;
        }
        let logs_in =
            |segment: &str| LOG_IN_NAMES.contains(&segment) || LOG_IN_PARTS.iter().any(|part| segment.contains(part));
        if path.split('/').any(logs_in) { Self::LogIn } else { Self::Other }
    }
}

/// The address of the client as the proxies before the place of recording forwarded it: of several the first, which is
/// the furthest away.
pub(super) fn forwarded_for(headers: &Headers) -> Option<IpAddr> {
    const NAMES: &[&str] = &["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip"];
    // Most requests have none of these; length and last letter show it at once.
    let may_be =
        |name: &[u8]| matches!((name.len(), name.last()), (9 | 14..=16, Some(b'r' | b'R' | b'd' | b'D' | b'p' | b'P')));
    if !headers.0.iter().any(|(name, _)| may_be(name)) {
        return None;
    }
    NAMES.iter().find_map(|name| {
        let value = headers.text(name)?;
        value.split(',').next()?.split(';').find_map(|part| {
            let part = part.trim();
            let address = match part.split_once('=') {
                Some((key, value)) if key.trim().eq_ignore_ascii_case("for") => value.trim().trim_matches('"'),
                Some(_) => return None,
                None => part,
            };
            address_of(address)
        })
    })
}

/// An address with or without a port, and with the brackets of IPv6 or not.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None if text.matches(':').count() == 1 => text.split(':').next().unwrap_or(text),
        None => text,
    };
    bare.parse().ok()
}

/// Name of what must be equal in all requests of a session.
fn partition(seen: &Sighting<'_>, guest: &Guest, client: IpAddr, keys: &[Key]) -> u64 {
    if keys.is_empty() {
        return 0;
    }
    let field = |name: &str| seen.headers.first(name);
    name_of(
        keys.iter()
            .map(|key| match key {
                Key::Address => name_of(client),
                Key::Agent => name_of(field("user-agent")),
                Key::Connection => name_of(seen.connection),
                Key::Listener => name_of(guest.listener),
                Key::ProxyUser => name_of(&guest.user),
                Key::Header(name) => name_of(field(name)),
                Key::Cookie(_) | Key::Authorization => 0,
            })
            .collect::<Vec<_>>(),
    )
}

impl Kind {
    fn of(seen: &Sighting<'_>) -> Self {
        let field = |name| seen.headers.text(name);
        if seen.method != "GET" && comes_from_elsewhere(seen) {
            return Self::Part;
        }
        if let Some(mode) = field("sec-fetch-mode") {
            let document = field("sec-fetch-dest").is_none_or(|dest| dest == "document");
            return if mode == "navigate" && document { Self::Navigation } else { Self::Part };
        }
        let reads = matches!(seen.method, "GET" | "HEAD");
        if seen.method == "OPTIONS" || field("sec-fetch-dest").is_some() || (reads && is_static(seen.target)) {
            return Self::Part;
        }
        let page = field("accept").is_some_and(|accept| accept.contains("text/html"));
        let by_script = field("referer").is_some() || field("origin").is_some();
        if page || !reads || !by_script { Self::Navigation } else { Self::Part }
    }
}

/// Whether a page of another site sends this: browsers leave out SameSite cookies then, as in the last step of a sign-on.
fn comes_from_elsewhere(seen: &Sighting<'_>) -> bool {
    match (seen.headers.text("sec-fetch-site"), seen.headers.text("origin")) {
        (Some(site), _) => site == "cross-site",
        (None, Some("null")) => true,
        (None, Some(origin)) => origin.parse().is_ok_and(|origin: Origin| origin.host != seen.origin.host),
        (None, None) => false,
    }
}

/// Whether the path ends like a file that pages are made of.
fn is_static(target: &[u8]) -> bool {
    const ENDINGS: &[&str] = &[
        "css",
        "js",
        "mjs",
        "map",
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "avif",
        "ico",
        "woff",
        "woff2",
        "ttf",
        "otf",
        "eot",
        "webmanifest",
        "mp4",
        "webm",
        "mp3",
        "wasm",
    ];
    let path = target.split(|&b| b == b'?' || b == b'#').next().unwrap_or_default();
    let file = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    file.iter()
        .rposition(|&b| b == b'.')
        .is_some_and(|dot| ENDINGS.iter().any(|ending| file[dot + 1..].eq_ignore_ascii_case(ending.as_bytes())))
}
