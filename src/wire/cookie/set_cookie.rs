//! What a `Set-Cookie` value says (RFC 6265bis §5.6), before it is judged.

use std::borrow::Cow;

use super::date;

/// Longest name and value together, in bytes.
const PAIR_BYTES: usize = 4096;
/// Longest value of an attribute, in bytes; longer ones are passed over.
const ATTRIBUTE_BYTES: usize = 1024;

/// The parts of a `Set-Cookie` value.
#[derive(Debug)]
pub(super) struct SetCookie<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    /// Lower case, without a leading dot, not empty.
    pub(super) domain: Option<Cow<'a, str>>,
    /// Starts with a slash.
    pub(super) path: Option<&'a str>,
    pub(super) lifetime: Lifetime,
    pub(super) secure: bool,
}

/// How long a cookie lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// As long as the user goes on.
    Session,
    /// So long from now; deleted when not positive.
    Seconds(i64),
    /// Until this Unix time.
    Until(i64),
}

impl<'a> SetCookie<'a> {
    /// `None` when the value is to be ignored as a whole.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            return None;
        }
        let mut parts = text.split(';');
        let pair = parts.next()?;
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let (name, value) = (trim(name), trim(value));
        if name.len() + value.len() > PAIR_BYTES || (name.is_empty() && value.is_empty()) {
            return None;
        }
        let mut cookie = Self { name, value, domain: None, path: None, lifetime: Lifetime::Session, secure: false };
        let mut max_age = None;
        for attribute in parts {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let (name, value) = (trim(name), trim(value));
            if value.len() > ATTRIBUTE_BYTES {
                continue;
            }
            if name.eq_ignore_ascii_case("expires") {
                cookie.lifetime = date::parse(value).map_or(cookie.lifetime, Lifetime::Until);
            } else if name.eq_ignore_ascii_case("max-age") {
                max_age = seconds(value).or(max_age);
            } else if name.eq_ignore_ascii_case("domain") {
                cookie.domain = domain(value);
            } else if name.eq_ignore_ascii_case("path") {
                cookie.path = value.starts_with('/').then_some(value);
            } else if name.eq_ignore_ascii_case("secure") {
                cookie.secure = true;
            }
        }
        if let Some(seconds) = max_age {
            cookie.lifetime = Lifetime::Seconds(seconds);
        }
        Some(cookie)
    }
}

fn domain(value: &str) -> Option<Cow<'_, str>> {
    let value = value.strip_prefix('.').unwrap_or(value);
    let upper = value.bytes().any(|b| b.is_ascii_uppercase());
    (!value.is_empty()).then(|| if upper { value.to_ascii_lowercase().into() } else { value.into() })
}

/// The number of a Max-Age; saturates. `None` when it is no number.
fn seconds(value: &str) -> Option<i64> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().unwrap_or(if value.starts_with('-') { i64::MIN } else { i64::MAX }))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
