//! The site model of a request: every atomic value with its path, its place, and how a replacement is written there.
//!
//! Lenses nest: a form field may hold JSON whose strings hold URLs. A leaf's children are the leaves inside it.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{Headers, Request};

use super::json::{self, JsonKind};
use super::multipart;
use super::text::{Encoding, View};
use super::url;

/// Longest text that is looked into; longer ones are opaque.
const LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// Deepest nesting of lenses.
const DEPTH: usize = 5;

/// Which part of the request a leaf stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The target.
    Target,
    /// The value of the header with this index.
    Header(usize),
    /// The body.
    Body,
}

/// What a leaf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafKind {
    /// A segment of the path.
    Segment,
    /// A value.
    Value,
    /// The name of a field, or a JSON key.
    Name,
    /// A text that is no unit of its own (a whole body of unknown type).
    Text,
}

/// One value of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it is.
    pub part: Part,
    /// Such as `path[2]`, `query.q`, `form.title`, `form.body.json.$.blocks[0].text`, `header.X-CSRFToken`. Runs of
    /// digits in field names are folded to `{}`.
    pub path: String,
    /// The field's own name (last part of the path, not folded), or empty.
    pub name: String,
    /// What it is.
    pub kind: LeafKind,
    /// The decoded value.
    pub view: View,
    /// Where it stands in the raw part.
    pub span: Range<usize>,
    /// Set when the value is an encoded island: replacing anything means encoding all of it anew. The view's offsets
    /// then count in the decoded text.
    pub island: Option<Encoding>,
    /// The URL (still encoded) that this is a part of, if any.
    pub url: Option<Arc<str>>,
    /// Leaves inside this one.
    pub inside: Vec<Leaf>,
}

/// Headers that carry nothing a server varies its answer on per user, that follow from other values (`Referer` is the
/// target of an earlier request, `Origin` of this one), or that the engine writes itself.
const SKIPPED_HEADERS: &[&str] = &[
    "host",
    "connection",
    "content-length",
    "content-type",
    "accept",
    "accept-encoding",
    "accept-language",
    "user-agent",
    "cache-control",
    "pragma",
    "upgrade-insecure-requests",
    "dnt",
    "priority",
    "te",
    "transfer-encoding",
    "date",
    "keep-alive",
    "origin",
    "referer",
    "proxy-connection",
    "upgrade",
    "expect",
    "range",
];

/// All leaves of a request. `body` is the request's body without content codings.
pub fn leaves(request: &Request, body: &[u8]) -> Vec<Leaf> {
    let mut found = Vec::new();
    if let Some(view) = View::raw(&request.target) {
        url_leaves(&Place { part: Part::Target, path: String::new(), depth: 0 }, &view, &mut found);
    }
    for (index, (name, value)) in request.headers.0.iter().enumerate() {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        let skipped = lower.starts_with("sec-") || lower.starts_with(':') || SKIPPED_HEADERS.contains(&lower.as_str());
        if !skipped && let Some(view) = View::raw(value) {
            header_leaves(index, &lower, &view, &mut found);
        }
    }
    if !body.is_empty() && body.len() <= LIMIT_BYTES && request.headers.first("content-encoding").is_none() {
        body_leaves(&request.headers, body, &mut found);
    }
    found
}

/// Where leaves are being made.
struct Place {
    part: Part,
    path: String,
    depth: usize,
}

impl Place {
    fn below(&self, step: &str) -> String {
        if self.path.is_empty() { step.to_owned() } else { format!("{}.{step}", self.path) }
    }

    fn leaf(&self, path: String, name: &str, kind: LeafKind, view: View) -> Leaf {
        let inside = if kind == LeafKind::Value { self.inside(&path, &view) } else { Vec::new() };
        let span = view.span();
        Leaf { part: self.part, path, name: name.to_owned(), kind, view, span, island: None, url: None, inside }
    }

    /// The leaves inside a value that is itself JSON or a URL.
    fn inside(&self, path: &str, view: &View) -> Vec<Leaf> {
        let mut found = Vec::new();
        let place = Place { part: self.part, path: path.to_owned(), depth: self.depth + 1 };
        if place.depth < DEPTH && view.text.len() > 1 {
            if view.text.starts_with(['{', '[']) {
                json_leaves(&place, view, &mut found);
            } else if url::split(&view.text).is_some() {
                let place = Place { path: format!("{path}.url"), ..place };
                url_leaves(&place, view, &mut found);
            }
        }
        found
    }
}

fn url_leaves(place: &Place, view: &View, found: &mut Vec<Leaf>) {
    let Some(parts) = url::split(&view.text) else { return };
    let first = found.len();
    for (index, range) in parts.segments(&view.text).into_iter().enumerate() {
        let segment = view.slice(range);
        if !segment.text.is_empty() {
            let decoded = segment.percent_decoded(Encoding::UrlPath).unwrap_or(segment);
            found.push(place.leaf(place.below(&format!("path[{index}]")), "", LeafKind::Segment, decoded));
        }
    }
    pair_leaves(place, "query", view, parts.query, Encoding::UrlQuery, found);
    let whole: Arc<str> = view.text.as_str().into();
    for leaf in &mut found[first..] {
        leaf.url = Some(whole.clone());
    }
}

fn pair_leaves(place: &Place, kind: &str, view: &View, range: Range<usize>, coding: Encoding, found: &mut Vec<Leaf>) {
    for pair in url::pairs(&view.text, range) {
        let name_view = view.slice(pair.name);
        let name_view = name_view.percent_decoded(coding).unwrap_or(name_view);
        let name = name_view.text.clone();
        let path = place.below(&format!("{kind}.{}", fold_name(&name)));
        if name.bytes().any(|b| b.is_ascii_digit()) || name.len() >= 16 {
            found.push(place.leaf(format!("{path}#name"), "", LeafKind::Name, name_view));
        }
        let value = view.slice(pair.value);
        let value = value.percent_decoded(coding).unwrap_or(value);
        if !value.text.is_empty() {
            found.push(place.leaf(path, &name, LeafKind::Value, value));
        }
    }
}

fn json_leaves(place: &Place, view: &View, found: &mut Vec<Leaf>) -> bool {
    let Some(leaves) = json::leaves(&view.text) else { return false };
    for leaf in leaves {
        let raw = view.slice(leaf.span);
        let path = place.below(&format!("json.{}", leaf.path));
        let name =
            leaf.path.rsplit(['.', '[']).find(|p| p.parse::<usize>().is_err() && !p.ends_with("]")).unwrap_or("");
        match leaf.kind {
            JsonKind::String => {
                if let Some(value) = raw.json_unescaped().filter(|v| !v.text.is_empty()) {
                    found.push(place.leaf(path, name, LeafKind::Value, value));
                }
            }
            JsonKind::Number => found.push(place.leaf(path, name, LeafKind::Value, raw)),
            JsonKind::Key if raw.text.bytes().any(|b| b.is_ascii_digit()) => {
                if let Some(key) = raw.json_unescaped() {
                    found.push(place.leaf(format!("{path}#name"), "", LeafKind::Name, key));
                }
            }
            JsonKind::Key | JsonKind::Word => {}
        }
    }
    true
}

fn header_leaves(index: usize, lower: &str, view: &View, found: &mut Vec<Leaf>) {
    let place = Place { part: Part::Header(index), path: String::new(), depth: 0 };
    if lower == "cookie" {
        let mut start = 0;
        for piece in view.text.split(';') {
            let lead = piece.len() - piece.trim_start().len();
            if let Some(equals) = piece.find('=') {
                let value = view.slice(start + equals + 1..start + piece.trim_end().len().max(equals + 1));
                let name = piece[lead..equals].trim();
                let decoded = if value.text.contains('%') { value.percent_decoded(Encoding::UrlPath) } else { None };
                let value = decoded.unwrap_or(value);
                found.push(place.leaf(format!("cookie.{name}"), name, LeafKind::Value, value));
            }
            start += piece.len() + 1;
        }
        return;
    }
    let path = format!("header.{lower}");
    let known_scheme = ["Bearer ", "Token ", "JWT ", "bearer "].iter().find(|s| view.text.starts_with(**s));
    if let Some(scheme) = known_scheme {
        let token = view.slice(scheme.len()..view.text.len());
        found.push(place.leaf(format!("{path}.token"), lower, LeafKind::Value, token));
    } else if let Some(coded) = view.text.strip_prefix("Basic ").filter(|_| lower == "authorization") {
        let coded = view.slice(view.text.len() - coded.len()..view.text.len());
        if let Some((text, island)) = coded.base64_decoded()
            && let Some(inner) = View::raw(text.as_bytes())
        {
            let mut leaf = place.leaf(format!("{path}.basic"), lower, LeafKind::Text, inner);
            leaf.span = coded.span();
            leaf.island = Some(island);
            found.push(leaf);
        }
    } else {
        found.push(place.leaf(path, lower, LeafKind::Value, view.clone()));
    }
}

fn body_leaves(headers: &Headers, body: &[u8], found: &mut Vec<Leaf>) {
    let content_type = headers.text("content-type").unwrap_or("");
    let media = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let place = Place { part: Part::Body, path: String::new(), depth: 0 };
    if let Some(boundary) = multipart::boundary(content_type) {
        multipart_leaves(&place, body, &boundary, found);
        return;
    }
    let Some(view) = View::raw(body) else { return };
    if json_leaves(&place, &view, found) {
        return;
    }
    let looks_like_form = media.is_empty() || media == "text/plain";
    if media == "application/x-www-form-urlencoded" || (looks_like_form && is_form(&view.text)) {
        pair_leaves(&place, "form", &view, 0..view.text.len(), Encoding::UrlForm, found);
        return;
    }
    found.push(place.leaf("text".to_owned(), "", LeafKind::Text, view));
}

fn is_form(text: &str) -> bool {
    text.contains('=') && !text.contains(|c: char| c.is_whitespace() || "<>{}\"".contains(c))
}

fn multipart_leaves(place: &Place, body: &[u8], boundary: &str, found: &mut Vec<Leaf>) {
    for part in multipart::parts(body, boundary) {
        let cut = |range: Range<usize>| -> Option<View> {
            let text = std::str::from_utf8(body.get(range.clone())?).ok()?;
            View::at(text, range.start)
        };
        let Some(name_view) = cut(part.name) else { continue };
        let name = name_view.text.clone();
        let path = format!("multipart.{}", fold_name(&name));
        if name.bytes().any(|b| b.is_ascii_digit()) {
            found.push(place.leaf(format!("{path}#name"), "", LeafKind::Name, name_view));
        }
        let is_file = part.filename.is_some();
        if let Some(view) = part.filename.and_then(cut).filter(|v| !v.text.is_empty()) {
            found.push(place.leaf(format!("{path}#filename"), "filename", LeafKind::Value, view));
        }
        if let Some(view) = cut(part.content).filter(|v| !v.text.is_empty() && !v.text.contains('\0')) {
            let kind = if is_file { LeafKind::Text } else { LeafKind::Value };
            found.push(place.leaf(path, &name, kind, view));
        }
    }
}

/// A field name with every run of digits folded to `{}`, so that `attachments[12][token]` names the same slot next time.
pub fn fold_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut in_digits = false;
    for c in name.chars() {
        if c.is_ascii_digit() {
            if !in_digits {
                out.push_str("{}");
            }
            in_digits = true;
        } else {
            out.push(c);
            in_digits = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Body, Origin, Version};

    fn request(target: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            origin: "https://h".parse::<Origin>().unwrap(),
            method: "POST".into(),
            target: target.into(),
            version: Version::Http11,
            headers: Headers(headers.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()),
            body: Body::default(),
            trailers: Headers::default(),
        }
    }

    fn flat(leaves: &[Leaf]) -> Vec<(String, String)> {
        leaves
            .iter()
            .flat_map(|l| std::iter::once((l.path.clone(), l.view.text.clone())).chain(flat(&l.inside)))
            .collect()
    }

    #[test]
    fn every_place_of_a_request_is_seen() {
        let body = r#"title=a+b&image-12-title=x&doc=%7B%22k%22%3A%5B%7B%22t%22%3A%22%2Fp%3Fid%3D9%22%7D%5D%7D"#;
        let request = request(
            "/orders/17/edit?q=x%20y",
            &[
                ("Cookie", "a=1; js=tok%2F"),
                ("Authorization", "Bearer abc"),
                ("X-CSRFToken", "t"),
                ("Accept", "*/*"),
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("X-Page", "https://h/shop?i=3"),
            ],
        );
        let found = flat(&leaves(&request, body.as_bytes()));
        for (path, text) in [
            ("path[1]", "17"),
            ("query.q", "x y"),
            ("cookie.js", "tok/"),
            ("header.authorization.token", "abc"),
            ("header.x-csrftoken", "t"),
            ("header.x-page.url.query.i", "3"),
            ("form.title", "a b"),
            ("form.image-{}-title#name", "image-12-title"),
            ("form.doc.json.$.k[0].t.url.query.id", "9"),
        ] {
            assert!(found.contains(&(path.to_owned(), text.to_owned())), "{path} not in {found:?}");
        }
        assert!(!found.iter().any(|(p, _)| p.starts_with("header.accept")));
    }

    #[test]
    fn every_leaf_can_be_written_back_as_it_was() {
        let body = r#"{"a":"x\"y","n":[1,{"u":"https:\/\/h\/p?q=1"}]}"#;
        let request = request("/a%20b?c=d+e", &[("Content-Type", "application/json")]);
        fn check(leaves: &[Leaf], target: &[u8], body: &[u8]) {
            for leaf in leaves {
                let raw = if leaf.part == Part::Target { target } else { body };
                let written = Encoding::encode_all(&leaf.view.coding, &leaf.view.text);
                let was = std::str::from_utf8(&raw[leaf.span.clone()]).unwrap();
                assert!(written == was || was.contains("\\/"), "{}: {written} was {was}", leaf.path);
                check(&leaf.inside, target, body);
            }
        }
        check(&leaves(&request, body.as_bytes()), b"/a%20b?c=d+e", body.as_bytes());
    }
}
