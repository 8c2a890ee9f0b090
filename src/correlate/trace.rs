//! A session made ready for searching: leaves of its requests, and what can be said of each exchange at a glance.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::model::{BodySource, Exchange, Session};
use crate::rules::{Leaf, LeafKind, fold_path, leaves, url};

use super::strength::{Strength, strength};

/// Longest request body that is looked into, in bytes.
const LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// One session with its leaves.
pub(super) struct Trace<'a> {
    /// The session.
    pub session: &'a Session,
    /// Leaves of each request.
    pub leaves: Vec<Vec<Leaf>>,
    /// Names of cookies that responses before each request had set for its host.
    jar: Vec<(usize, String, String)>,
}

impl<'a> Trace<'a> {
    /// Reads the requests of a session.
    pub(super) fn new(session: &'a Session, bodies: &dyn BodySource) -> Self {
        let leaves = session
            .exchanges
            .iter()
            .map(|e| leaves(&e.request, &bodies.load(&e.request.body, LIMIT_BYTES).unwrap_or_default()))
            .collect();
        let mut jar = Vec::new();
        for (index, exchange) in session.exchanges.iter().enumerate() {
            let fields = exchange.response.iter().flat_map(|r| r.headers.all("set-cookie"));
            for field in fields {
                let name = field.split(|b| *b == b'=' || *b == b';').next().unwrap_or_default();
                let name = String::from_utf8_lossy(name).trim().to_owned();
                jar.push((index, exchange.request.origin.host.clone(), name));
            }
        }
        Self { session, leaves, jar }
    }

    /// The exchanges.
    pub(super) fn exchanges(&self) -> &'a [Exchange] {
        &self.session.exchanges
    }

    /// Exchanges that were over when exchange `index` began, latest first.
    pub(super) fn before(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let started = self.exchanges()[index].timing.started;
        (0..index).rev().filter(move |j| self.exchanges()[*j].timing.finished <= started)
    }

    /// Whether the cookie jar of a browser would have this cookie at exchange `index`.
    pub(super) fn jar_has(&self, index: usize, name: &str) -> bool {
        let exchange = &self.exchanges()[index];
        self.jar.iter().any(|(j, host, n)| {
            *j < index
                && self.exchanges()[*j].timing.finished <= exchange.timing.started
                && *host == exchange.request.origin.host
                && n == name
        })
    }

    /// Whether any response of the whole session sets this cookie.
    pub(super) fn ever_sets_cookie(&self, name: &str) -> bool {
        self.jar.iter().any(|(_, _, n)| n == name)
    }

    /// Whether a request may change something on the server and is no log-in.
    pub(super) fn creates(&self, index: usize) -> bool {
        let unsafe_method = !matches!(self.exchanges()[index].request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        unsafe_method && !self.is_login(index)
    }

    /// Whether a request carries a password.
    fn is_login(&self, index: usize) -> bool {
        let mut found = false;
        each(&self.leaves[index], &mut |leaf| {
            let name = leaf.name.to_ascii_lowercase();
            found |= name.contains("passw") || name.contains("pwd");
        });
        found
    }

    /// Whether the exchange fetches a part of a page that is the same for everybody: picture, font, style, or a script that
    /// may be cached. Scripts made for one user (configuration, tokens) say that they may not.
    pub(super) fn is_asset(&self, index: usize) -> bool {
        self.exchanges()[index].request.method == "GET"
            && match self.media(index) {
                Media::Page => false,
                Media::Picture | Media::Font | Media::Style => true,
                Media::Script => self.may_be_cached(index),
            }
    }

    /// Whether the exchange fetches a file of the application's build: scripts, style sheets, fonts.
    pub(super) fn is_build_asset(&self, index: usize) -> bool {
        self.is_asset(index) && self.media(index) != Media::Picture
    }

    /// What was answered; where the answer does not say (304, no type), what the target's name says.
    fn media(&self, index: usize) -> Media {
        let exchange = &self.exchanges()[index];
        let media = exchange.response.as_ref().and_then(|r| r.headers.text("content-type")).unwrap_or("");
        let media = media.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let target = String::from_utf8_lossy(&exchange.request.target).to_ascii_lowercase();
        let path = target.split('?').next().unwrap_or("");
        let unnamed = ["", "application/octet-stream", "binary/octet-stream", "text/plain"].contains(&media.as_str());
        let ends = |list: &[&str]| unnamed && list.iter().any(|end| path.ends_with(end));
        let of = |kind: &str| media.starts_with(kind);
        if of("image/")
            || of("video/")
            || of("audio/")
            || ends(&[".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico"])
        {
            Media::Picture
        } else if of("font/") || media.contains("font") || ends(&[".woff", ".woff2", ".ttf"]) {
            Media::Font
        } else if media == "text/css" || ends(&[".css"]) {
            Media::Style
        } else if media.contains("javascript") || media.contains("ecmascript") || ends(&[".js", ".mjs", ".map"]) {
            Media::Script
        } else {
            Media::Page
        }
    }

    fn may_be_cached(&self, index: usize) -> bool {
        let Some(response) = &self.exchanges()[index].response else { return false };
        let control = response.headers.text("cache-control").unwrap_or("").to_ascii_lowercase();
        let forbidden = ["no-store", "no-cache", "private", "max-age=0"].iter().any(|word| control.contains(word));
        let validator = response.headers.first("last-modified").is_some() || response.headers.first("etag").is_some();
        !forbidden && (validator || control.contains("max-age") || response.headers.first("expires").is_some())
    }

    /// The exchange whose redirect this one follows, if any: the latest response whose `Location` is this target.
    pub(super) fn redirected_from(&self, index: usize) -> Option<usize> {
        let target = String::from_utf8_lossy(&self.exchanges()[index].request.target);
        self.before(index).take(20).find(|j| {
            let exchange = &self.exchanges()[*j];
            let location = exchange.response.as_ref().and_then(|r| r.headers.text("location"));
            let base = String::from_utf8_lossy(&exchange.request.target);
            location.and_then(|l| url::resolve_target(&base, l)).is_some_and(|t| t == target)
        })
    }
}

/// Kinds of answers that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Page,
    Picture,
    Font,
    Style,
    Script,
}

/// Calls `see` with every leaf, outer ones before those inside.
pub(super) fn each<'l>(leaves: &'l [Leaf], see: &mut impl FnMut(&'l Leaf)) {
    for leaf in leaves {
        see(leaf);
        each(&leaf.inside, see);
    }
}

/// Values worth looking for in responses: everything in requests but words.
pub(super) fn needles(traces: &[Trace<'_>]) -> HashSet<String> {
    let mut found = HashSet::new();
    for trace in traces {
        for leaves in &trace.leaves {
            each(leaves, &mut |leaf| {
                if leaf.kind == LeafKind::Text {
                    return;
                }
                let short_segment = leaf.kind == LeafKind::Segment && leaf.view.text.len() <= 2;
                if short_segment || strength(&leaf.view.text) > Strength::Inert {
                    found.insert(leaf.view.text.clone());
                }
                for piece in pieces(&leaf.view.text) {
                    if strength(piece) > Strength::Inert {
                        found.insert(piece.to_owned());
                    }
                }
            });
        }
    }
    found
}

/// The runs of letters and digits of a text that is not too long.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let text = if text.len() <= 2048 { text } else { "" };
    text.split(|c: char| !c.is_alphanumeric()).filter(move |p| !p.is_empty() && p.len() < text.len())
}

/// What each slot held in each session: tells user-unique values from constants when there are several sessions.
pub(super) struct SlotValues {
    values: BTreeMap<(String, String), BTreeMap<usize, BTreeSet<String>>>,
}

/// What several sessions say of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Across {
    /// One session only has this slot.
    Unknown,
    /// The same values in every session.
    Constant,
    /// Other values in other sessions.
    Varies,
}

impl SlotValues {
    /// Collects the slots of all sessions.
    pub(super) fn new(traces: &[Trace<'_>]) -> Self {
        let mut values: BTreeMap<(String, String), BTreeMap<usize, BTreeSet<String>>> = BTreeMap::new();
        if traces.len() > 1 {
            for (session, trace) in traces.iter().enumerate() {
                for (exchange, leaves) in trace.exchanges().iter().zip(&trace.leaves) {
                    let endpoint = endpoint_key(exchange);
                    each(leaves, &mut |leaf| {
                        if leaf.kind != LeafKind::Text && strength(&leaf.view.text) > Strength::Inert {
                            let slot = values.entry((endpoint.clone(), leaf.path.clone())).or_default();
                            slot.entry(session).or_default().insert(leaf.view.text.clone());
                        }
                    });
                }
            }
        }
        Self { values }
    }

    /// What the sessions say of a slot.
    pub(super) fn of(&self, exchange: &Exchange, slot: &str) -> Across {
        match self.values.get(&(endpoint_key(exchange), slot.to_owned())) {
            Some(sessions) if sessions.len() > 1 => {
                let mut sets = sessions.values();
                let first = sets.next();
                if sets.all(|set| Some(set) == first) { Across::Constant } else { Across::Varies }
            }
            _ => Across::Unknown,
        }
    }
}

fn endpoint_key(exchange: &Exchange) -> String {
    let path = fold_path(&String::from_utf8_lossy(&exchange.request.target));
    format!("{} {}{path}", exchange.request.method, exchange.request.origin)
}
