//! The site model of a response: every value it offers, with the extractor that takes it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::model::{Body, BodySource, Exchange};
use crate::rules::{Decoding, Lens, UrlPattern, content, form_key, html, looks_like_markup, script_values, url};
use crate::wire::json::{self, JsonKind};
use crate::wire::text::View;

/// Longest response body that is looked into, decoded, in bytes.
pub(super) const LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting of texts in texts.
const DEPTH: usize = 3;

/// What kind of place an atom stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A response header.
    Header,
    /// A cookie.
    Cookie,
    /// A form field; the target its form is sent to and whether the page alone decides its value.
    Field {
        /// Action as written; `None` outside a form.
        action: Option<String>,
        /// `<input type=hidden>`.
        hidden: bool,
        /// A box to tick, perhaps one of many.
        choice: bool,
    },
    /// Part of a form field's name.
    FieldName,
    /// A meta tag.
    Meta,
    /// A JSON scalar; whether it stands in a list.
    Json {
        /// Its path has an index.
        in_list: bool,
    },
    /// A keyed value of a script.
    Script,
    /// A segment or query value of a URL: the whole URL as written, and where this part stands in its target.
    Url(UrlAtom),
    /// An attribute.
    Attribute,
}

/// A part of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UrlAtom {
    /// The URL as written.
    pub reference: String,
    /// Which part.
    pub part: UrlPart,
    /// Whether it is the redirect of its response.
    pub is_location: bool,
}

/// Which part of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum UrlPart {
    /// Path segment, counted from the end (relative references lack the beginning).
    SegmentFromEnd(usize),
    /// Query value by name.
    Query(String),
}

/// A value that a response offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Atom {
    /// The value, decoded.
    pub value: String,
    /// Lenses that lead to it; for URLs, to the text in which the URL stands.
    pub lenses: Vec<Lens>,
    /// Its name where it stands.
    pub key: String,
    /// What kind of place.
    pub kind: Kind,
}

/// Atoms of bodies already read: equal bodies are read once.
#[derive(Default)]
pub(super) struct Cache {
    bodies: HashMap<(Body, String), Rc<Vec<Atom>>>,
}

impl Cache {
    /// The atoms of an exchange's response whose values are in `needles`.
    pub(super) fn atoms(
        &mut self,
        exchange: &Exchange,
        bodies: &dyn BodySource,
        needles: &HashSet<String>,
    ) -> Vec<Atom> {
        let Some(response) = &exchange.response else { return Vec::new() };
        let mut scan = Scan { needles, found: Vec::new() };
        for (name, value) in &response.headers.0 {
            if let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) {
                scan.header(name, value);
            }
        }
        let key = (response.body.clone(), response.headers.text("content-encoding").unwrap_or("").to_owned());
        let of_body = self.bodies.entry(key).or_insert_with(|| {
            let mut scan = Scan { needles, found: Vec::new() };
            if let Some(text) = body_text(exchange, bodies) {
                scan.text(&text, &[], 0);
            }
            Rc::new(scan.found)
        });
        scan.found.extend(of_body.iter().cloned());
        scan.found
    }
}

/// The decoded text of a response that is worth reading: no pictures, no style sheets.
pub(super) fn body_text(exchange: &Exchange, bodies: &dyn BodySource) -> Option<String> {
    let response = exchange.response.as_ref()?;
    let media = response.headers.text("content-type").unwrap_or("").to_ascii_lowercase();
    if ["image/", "font/", "video/", "audio/", "text/css", "application/zip", "application/pdf"]
        .iter()
        .any(|m| media.starts_with(m))
        && !media.contains("svg")
    {
        return None;
    }
    let raw = bodies.load(&response.body, LIMIT_BYTES as u64).ok()?;
    let decoded = match response.headers.text("content-encoding") {
        None => raw,
        Some(coding) => content::decode(coding, &raw, LIMIT_BYTES).ok()?,
    };
    String::from_utf8(decoded).ok()
}

struct Scan<'a> {
    needles: &'a HashSet<String>,
    found: Vec<Atom>,
}

impl Scan<'_> {
    fn add(&mut self, value: &str, lenses: Vec<Lens>, key: &str, kind: Kind) {
        if self.needles.contains(value) {
            self.found.push(Atom { value: value.to_owned(), lenses, key: key.to_owned(), kind });
        }
    }

    fn header(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("set-cookie") {
            let Some((cookie, value)) = value.split(';').next().and_then(|pair| pair.split_once('=')) else { return };
            let (cookie, value) = (cookie.trim(), value.trim());
            let lens = Lens::Cookie(cookie.to_owned());
            if let Some(decoded) = decoded(value) {
                self.add(&decoded, vec![lens.clone(), Lens::Decode(Decoding::Url)], cookie, Kind::Cookie);
            }
            self.add(value, vec![lens], cookie, Kind::Cookie);
            return;
        }
        let lens = Lens::Header(name.to_owned());
        self.add(value, vec![lens.clone()], name, Kind::Header);
        self.url(value, &[lens], name.eq_ignore_ascii_case("location"));
    }

    /// Reads a text of any kind that `lenses` lead to.
    fn text(&mut self, text: &str, lenses: &[Lens], depth: usize) {
        if depth > DEPTH {
            return;
        }
        if looks_like_markup(text) {
            self.page(&html::parse(text), lenses, depth);
        } else if let Some(leaves) = json::leaves(text.trim_start_matches('\u{feff}').trim()) {
            self.json(text.trim_start_matches('\u{feff}').trim(), &leaves, lenses, depth);
        } else if depth == 0 {
            self.script(text, lenses);
        }
    }

    fn json(&mut self, text: &str, leaves: &[json::JsonLeaf], lenses: &[Lens], depth: usize) {
        for leaf in leaves {
            let raw = &text[leaf.span.clone()];
            let key = leaf.path.rsplit(['.', '"']).find(|k| !k.is_empty() && !k.starts_with(']')).unwrap_or("");
            let key = key.split('[').next().unwrap_or(key);
            let mut chain = lenses.to_vec();
            chain.push(Lens::Json(leaf.path.clone()));
            let in_list =
                leaf.path.bytes().zip(leaf.path.bytes().skip(1)).any(|(a, b)| a == b'[' && b.is_ascii_digit());
            match leaf.kind {
                JsonKind::Number => self.add(raw, chain, key, Kind::Json { in_list }),
                JsonKind::String => {
                    let value = View::raw(raw.as_bytes()).and_then(|v| v.json_unescaped()).map(|v| v.text);
                    let Some(value) = value else { continue };
                    self.add(&value, chain.clone(), key, Kind::Json { in_list });
                    self.url(&value, &chain, false);
                    if value.len() > 8 && (value.contains('<') || value.trim_start().starts_with(['{', '['])) {
                        self.text(&value, &chain, depth + 1);
                    }
                }
                JsonKind::Key | JsonKind::Word => {}
            }
        }
    }

    fn page(&mut self, page: &html::Page, lenses: &[Lens], depth: usize) {
        let chain = |lens: Lens| -> Vec<Lens> { lenses.iter().cloned().chain([lens]).collect() };
        for (form, field) in page.fields() {
            let key = form.map_or_else(|| "*".to_owned(), form_key);
            let kind = Kind::Field {
                action: form.map(|f| f.action.clone()),
                hidden: field.kind == html::FieldKind::Hidden,
                choice: field.kind == html::FieldKind::Choice,
            };
            let own = chain(Lens::Form(key, field.name.clone()));
            self.add(&field.value, own.clone(), &field.name, kind);
            self.url(&field.value, &own, false);
            if depth < DEPTH && field.value.trim_start().starts_with(['{', '[']) {
                self.text(&field.value, &own, depth + 1);
            }
            self.field_name(&field.name, lenses);
        }
        for (name, value) in &page.metas {
            self.add(value, chain(Lens::Meta(name.clone())), name, Kind::Meta);
            self.url(value, &chain(Lens::Meta(name.clone())), false);
        }
        for attribute in &page.attributes {
            self.attribute(attribute, lenses, depth);
        }
        for script in &page.scripts {
            self.script(script, lenses);
        }
    }

    fn attribute(&mut self, attribute: &html::Attribute, lenses: &[Lens], depth: usize) {
        let element = if attribute.id.is_empty() || attribute.id.bytes().any(|b| b.is_ascii_digit()) {
            attribute.tag.clone()
        } else {
            format!("{}#{}", attribute.tag, attribute.id)
        };
        let mut own = lenses.to_vec();
        own.push(Lens::Attribute(element, attribute.name.clone()));
        self.add(&attribute.value, own.clone(), &attribute.name, Kind::Attribute);
        // URLs are taken from the page as a whole: by what they look like, not by the element they stand at.
        self.url(&attribute.value, lenses, false);
        let trimmed = attribute.value.trim_start();
        if trimmed.starts_with(['{', '[']) || (trimmed.starts_with('<') && attribute.name.starts_with("data-")) {
            self.text(&attribute.value, &own, depth + 1);
        }
    }

    /// The runs of digits (and longer codes) inside a field's name.
    fn field_name(&mut self, name: &str, lenses: &[Lens]) {
        let mut start = 0;
        for piece in name.split(|c: char| !c.is_alphanumeric()) {
            let end = start + piece.len();
            if piece.bytes().any(|b| b.is_ascii_digit()) && piece.len() < name.len() {
                let pattern = format!("{}{{}}{}", &name[..start], &name[end..]);
                let mut own = lenses.to_vec();
                own.push(Lens::FieldName(pattern));
                self.add(piece, own, &name[..start], Kind::FieldName);
            }
            start = end + name[end..].chars().next().map_or(0, char::len_utf8);
        }
    }

    fn script(&mut self, script: &str, lenses: &[Lens]) {
        for found in script_values(script) {
            let mut own = lenses.to_vec();
            own.push(Lens::Script(found.key.clone()));
            self.add(&found.value, own.clone(), &found.key, Kind::Script);
            self.url(&found.value, lenses, false);
            if found.value.len() > 16 && found.value.trim_start().starts_with(['{', '[']) {
                self.text(&found.value, &own, DEPTH);
            }
        }
    }

    /// The parts of a URL, if the value is one.
    fn url(&mut self, value: &str, lenses: &[Lens], is_location: bool) {
        let reference = value.trim().split('#').next().unwrap_or("");
        if reference.len() > 4096 || !(reference.contains('/') || reference.contains('?')) {
            return;
        }
        let (path, query) = match url::split(reference) {
            Some(parts) => (&reference[parts.path.clone()], &reference[parts.query]),
            None if reference.contains([' ', '<', '"', '\n', '{', '(', ',']) || reference.contains("://") => return,
            None => reference.split_once('?').unwrap_or((reference, "")),
        };
        for (index, segment) in path.split('/').rev().enumerate() {
            if let Some(segment) = decoded(segment).or_else(|| Some(segment.to_owned())).filter(|s| !s.is_empty()) {
                let part = UrlPart::SegmentFromEnd(index);
                let kind = Kind::Url(UrlAtom { reference: reference.to_owned(), part, is_location });
                self.add(&segment, lenses.to_vec(), "", kind);
            }
        }
        for pair in url::pairs(query, 0..query.len()) {
            let name = &query[pair.name];
            let raw = query[pair.value].replace('+', " ");
            let value = decoded(&raw).unwrap_or(raw);
            let part = UrlPart::Query(name.to_owned());
            let kind = Kind::Url(UrlAtom { reference: reference.to_owned(), part, is_location });
            self.add(&value, lenses.to_vec(), name, kind);
        }
    }
}

/// The percent-decoded text, when it differs and is UTF-8.
fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    View::raw(text.as_bytes())?.percent_decoded(crate::wire::text::Encoding::UrlPath).map(|v| v.text)
}

impl UrlAtom {
    /// The pattern that takes this part out of URLs like this one. `vary` says of a decoded segment or query value
    /// whether it changes from user to user; such parts match anything. Query values other than the one taken are kept
    /// only when they are words (`action=edit`).
    pub(super) fn pattern(&self, base: &str, vary: &dyn Fn(&str) -> bool) -> Option<UrlPattern> {
        let target = url::resolve_target(base, &self.reference)?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let segments: Vec<&str> = path.split('/').collect();
        let last = segments.len();
        let written: Vec<String> = segments
            .iter()
            .enumerate()
            .map(|(index, segment)| {
                let plain = decoded(segment).unwrap_or_else(|| (*segment).to_owned());
                if self.part == UrlPart::SegmentFromEnd(last - 1 - index) {
                    "{}".to_owned()
                } else if !segment.is_empty() && vary(&plain) {
                    "*".to_owned()
                } else {
                    (*segment).to_owned()
                }
            })
            .collect();
        let mut text = written.join("/");
        let mut joined = '?';
        for pair in url::pairs(query, 0..query.len()) {
            let (name, value) = (&query[pair.name], &query[pair.value]);
            let plain = decoded(&value.replace('+', " ")).unwrap_or_else(|| value.to_owned());
            let taken = self.part == UrlPart::Query(name.to_owned());
            let word = !value.is_empty()
                && value.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-' || b == b'_')
                && !vary(&plain);
            if taken || word {
                text.push_str(&format!("{joined}{name}={}", if taken { "{}" } else { value }));
                joined = '&';
            }
        }
        UrlPattern::new(&text)
    }
}
