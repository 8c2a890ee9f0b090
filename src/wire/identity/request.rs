//! What a request tells of its sender, read from its fields once.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Sighting;
use crate::model::Origin;
use crate::wire::cookie::{self, Cookie};

/// A [`Sighting`] read.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) seen: &'a Sighting<'a>,
    pub(super) sent: Vec<Cookie>,
    pub(super) kind: Kind,
    /// Name of the host.
    pub(super) host: u64,
    /// Name of host and target.
    pub(super) url: u64,
    pub(super) path: Cow<'a, str>,
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

impl<'a> Asked<'a> {
    pub(super) fn of(seen: &'a Sighting<'a>) -> Self {
        Self {
            seen,
            sent: seen.headers.all("cookie").flat_map(cookie::parse_cookie_header).collect(),
            kind: Kind::of(seen),
            host: name_of(&seen.origin.host),
            url: url_of(&seen.origin.to_string(), seen.target),
            path: String::from_utf8_lossy(seen.target),
        }
    }

    /// Name of the page that asked for this, when the client says so.
    pub(super) fn referer(&self) -> Option<u64> {
        let referer = self.seen.headers.text("referer")?;
        let origin: Origin = referer.parse().ok()?;
        let behind = referer.find("://")? + 3;
        let target = referer[behind..].find('/').map_or("/", |slash| &referer[behind + slash..]);
        Some(url_of(&origin.to_string(), target.as_bytes()))
    }

    pub(super) fn is_navigation(&self) -> bool {
        self.kind == Kind::Navigation
    }
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

/// A short name for things that are only compared. The same in every run.
pub(super) fn name_of(thing: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn url_of(origin: &str, target: &[u8]) -> u64 {
    name_of((origin, target))
}
