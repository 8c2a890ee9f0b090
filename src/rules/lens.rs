//! Lenses of extractors: each narrows a text (a body, or what the lens before it found) to a part of it.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::wire::html::{self, Form, Page};
use crate::wire::json;
use crate::wire::text::{Encoding, View};

use super::endpoint::fold_path;
use super::{json_path, script, url_pattern::UrlPattern};

/// One narrowing of a text. Printed and parsed as shown at each variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lens {
    /// `header("Location")`: the first value of a response header. Only first in a chain.
    Header(String),
    /// `cookie("XSRF-TOKEN")`: the value that a `Set-Cookie` header gives. Only first in a chain.
    Cookie(String),
    /// `json("$.order.id")`: a scalar of a JSON text.
    Json(String),
    /// `form("/login", "token")`: the value of a field in the form with this key (see [`form_key`]); `*` is any form.
    Form(String, String),
    /// `field-name("image-{}-title")`: what stands at `{}` in the name of a form field.
    FieldName(String),
    /// `meta("csrf-token")`: the content of a meta tag.
    Meta(String),
    /// `attribute("button#save", "data-token")`: an attribute of the first such element (`tag` or `tag#id`).
    Attribute(String, String),
    /// `url("/orders/{}/edit")`: what stands at `{}` in the first matching URL.
    Url(UrlPattern),
    /// `script("csrfToken")`: the string or number behind a key in a script.
    Script(String),
    /// `decode("url")`: undoes an encoding: `url`, `html`, `json` or `base64`.
    Decode(Decoding),
    /// `between("left", "right")`: the text between two texts.
    Between(String, String),
    /// `regex("id=([0-9]+)")`: the first group, or the whole match when there is none.
    Regex(String),
}

/// Encodings that a lens can undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decoding {
    /// Percent-encoding.
    Url,
    /// HTML's character references.
    Html,
    /// Escapes of a JSON string.
    Json,
    /// Base64, any alphabet.
    Base64,
}

impl Decoding {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Url, "url"), (Self::Html, "html"), (Self::Json, "json"), (Self::Base64, "base64")];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(d, _)| *d == self).map_or("", |(_, name)| name)
    }

    fn undo(self, text: &str) -> Option<String> {
        let view = View::raw(text.as_bytes())?;
        match self {
            Self::Url => view.percent_decoded(Encoding::UrlPath).map(|v| v.text),
            Self::Json => view.json_unescaped().map(|v| v.text),
            Self::Base64 => view.base64_decoded().map(|(text, _)| text),
            Self::Html => Some(html::plain_text(text)),
        }
    }
}

/// Longest value any lens may find, in bytes.
const LIMIT_BYTES: usize = 64 * 1024;

/// A text that is parsed as a page at most once, however many lenses look at it.
#[derive(Debug)]
pub struct Text<'a> {
    text: Cow<'a, str>,
    page: OnceCell<Page>,
}

impl<'a> Text<'a> {
    /// A text that was not parsed yet.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), page: OnceCell::new() }
    }

    fn page(&self) -> &Page {
        self.page.get_or_init(|| html::parse(&self.text))
    }
}

impl Lens {
    /// The part of `text` this lens narrows to. Header and cookie lenses look at no text and find nothing here.
    pub fn apply(&self, text: &Text<'_>) -> Option<String> {
        let (page, text) = (|| text.page(), &*text.text);
        let found = match self {
            Self::Header(_) | Self::Cookie(_) => None,
            Self::Json(path) => json_path::lookup(text, path),
            Self::Form(key, field) => form_field(page(), key, field),
            Self::FieldName(pattern) => {
                let (before, after) = pattern.split_once("{}")?;
                let found = page()
                    .fields()
                    .find_map(|(_, f)| f.name.strip_prefix(before)?.strip_suffix(after).filter(|v| !v.is_empty()));
                found.map(str::to_owned)
            }
            Self::Meta(name) => page().metas.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone()),
            Self::Attribute(element, name) => attribute(page(), element, name),
            Self::Url(pattern) => urls(text, &page, |candidate| pattern.capture(candidate)),
            Self::Script(key) => {
                scripts(text, &page, |s| script::script_values(s).find(|v| v.key == *key).map(|v| v.value))
            }
            Self::Decode(decoding) => decoding.undo(text),
            Self::Between(left, right) => {
                let start = text.find(left.as_str())? + left.len();
                let end = text[start..].find(right.as_str())?;
                Some(text[start..start + end].to_owned())
            }
            Self::Regex(pattern) => {
                let found = regex::Regex::new(pattern).ok()?.captures(text)?;
                found.get(1).or_else(|| found.get(0)).map(|m| m.as_str().to_owned())
            }
        };
        found.filter(|value| value.len() <= LIMIT_BYTES)
    }

    /// Name and arguments as written in a rules file.
    pub(super) fn parts(&self) -> (&'static str, Vec<&str>) {
        match self {
            Self::Header(name) => ("header", vec![name]),
            Self::Cookie(name) => ("cookie", vec![name]),
            Self::Json(path) => ("json", vec![path]),
            Self::Form(key, field) => ("form", vec![key, field]),
            Self::FieldName(pattern) => ("field-name", vec![pattern]),
            Self::Meta(name) => ("meta", vec![name]),
            Self::Attribute(element, name) => ("attribute", vec![element, name]),
            Self::Url(pattern) => ("url", vec![pattern.as_str()]),
            Self::Script(key) => ("script", vec![key]),
            Self::Decode(decoding) => ("decode", vec![decoding.name()]),
            Self::Between(left, right) => ("between", vec![left, right]),
            Self::Regex(pattern) => ("regex", vec![pattern]),
        }
    }

    /// A lens from its name and arguments, or what is wrong with them.
    pub(super) fn from_parts(name: &str, arguments: &[String]) -> Result<Self, String> {
        let lens = match (name, arguments) {
            ("header", [a]) => Self::Header(a.clone()),
            ("cookie", [a]) => Self::Cookie(a.clone()),
            ("json", [a]) if json_path::is_valid(a) => Self::Json(a.clone()),
            ("json", [a]) => return Err(format!("`{a}` is no JSON path such as $.order.id")),
            ("form", [a, b]) => Self::Form(a.clone(), b.clone()),
            ("field-name", [a]) if a.matches("{}").count() == 1 => Self::FieldName(a.clone()),
            ("meta", [a]) => Self::Meta(a.clone()),
            ("attribute", [a, b]) => Self::Attribute(a.clone(), b.clone()),
            ("url", [a]) => match UrlPattern::new(a) {
                Some(pattern) => Self::Url(pattern),
                None => return Err(format!("`{a}` is no URL pattern such as /orders/{{}}")),
            },
            ("script", [a]) => Self::Script(a.clone()),
            ("decode", [a]) => match Decoding::ALL.iter().find(|(_, name)| name == a) {
                Some((decoding, _)) => Self::Decode(*decoding),
                None => return Err(format!("no encoding `{a}`; there are url, html, json, base64")),
            },
            ("between", [a, b]) if !a.is_empty() && !b.is_empty() => Self::Between(a.clone(), b.clone()),
            ("regex", [a]) => match regex::Regex::new(a) {
                Ok(_) => Self::Regex(a.clone()),
                Err(_) => return Err(format!("`{a}` is no regular expression")),
            },
            _ => {
                let known =
                    "header, cookie, json, form, field-name, meta, attribute, url, script, decode, between, regex";
                return Err(format!("no lens `{name}` with {} arguments; there are {known}", arguments.len()));
            }
        };
        Ok(lens)
    }
}

/// What tells a form from the others of its page: `#id` when the id has no digits, else its folded action path, else `*`.
pub fn form_key(form: &Form) -> String {
    if !form.id.is_empty() && !form.id.bytes().any(|b| b.is_ascii_digit()) {
        return format!("#{}", form.id);
    }
    let action = form.action.split("://").last().unwrap_or("");
    let path = if form.action.contains("://") { action.find('/').map_or("", |i| &action[i..]) } else { action };
    let folded = fold_path(path);
    if folded.is_empty() { "*".to_owned() } else { folded }
}

/// Whether a text is HTML or XML rather than script, JSON or plain text.
pub fn looks_like_markup(text: &str) -> bool {
    text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('<')
}

fn form_field(page: &Page, key: &str, field: &str) -> Option<String> {
    let mut of_any = None;
    for (form, candidate) in page.fields().filter(|(_, f)| f.name == field) {
        let own_key = form.map_or_else(|| "*".to_owned(), form_key);
        if key == "*" || own_key == key {
            return Some(candidate.value.clone());
        }
        of_any.get_or_insert_with(|| candidate.value.clone());
    }
    // A page that has the field in another form only: its id or action changed, the field is the same.
    of_any
}

fn attribute(page: &Page, element: &str, name: &str) -> Option<String> {
    let (tag, id) = element.split_once('#').unwrap_or((element, ""));
    let fits = |a: &&html::Attribute| a.name == name && a.tag == tag && (id.is_empty() || a.id == id);
    page.attributes.iter().find(fits).map(|a| a.value.clone())
}

/// Offers every URL of a text to `take` until it takes one: the text itself, attributes and scripts of a page, strings of
/// a JSON text, quoted strings of anything else.
fn urls<'p>(text: &str, page: &dyn Fn() -> &'p Page, mut take: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let trimmed = text.trim();
    if looks_like_markup(text) {
        let page = page();
        let in_attributes = page.attributes.iter().find_map(|a| take(&a.value));
        return in_attributes.or_else(|| page.scripts.iter().find_map(|s| quoted(s, &mut take)));
    }
    if trimmed.len() < 4096 && !trimmed.contains(['\n', '"', '{', ' ']) {
        return take(trimmed);
    }
    if let Some(leaves) = json::leaves(text) {
        return leaves
            .into_iter()
            .filter(|leaf| leaf.kind == json::JsonKind::String)
            .find_map(|leaf| take(&text[leaf.span].replace("\\/", "/")));
    }
    quoted(text, &mut take)
}

fn quoted(script: &str, take: &mut impl FnMut(&str) -> Option<String>) -> Option<String> {
    let mut rest = script;
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = char::from(rest.as_bytes()[at]);
        rest = &rest[at + 1..];
        let end = rest.find([quote, '\n']).unwrap_or(rest.len());
        let inside = &rest[..end];
        if inside.len() < 4096
            && inside.contains('/')
            && let Some(found) = take(&inside.replace("\\/", "/").replace("\\u0026", "&"))
        {
            return Some(found);
        }
        // The closing quote may open the next string when quotes are unbalanced: look at it again.
        if inside.is_empty() {
            rest = rest.get(1..).unwrap_or("");
        }
    }
    None
}

fn scripts<'p>(text: &str, page: &dyn Fn() -> &'p Page, find: impl Fn(&str) -> Option<String>) -> Option<String> {
    if looks_like_markup(text) { page().scripts.iter().find_map(|s| find(s)) } else { find(text) }
}
