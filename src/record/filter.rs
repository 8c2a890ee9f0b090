//! Which exchanges are kept in the capture: `--include` and `--exclude`. What is left out passes as traffic and is counted.
//!
//! A [`Pattern`] names a place (`shop.test`, `*.cdn.test/img/*`, `/static/*`) or a content type (`type:image/*`); a
//! [`Filter`] holds those that the operator gave. Knows no sockets and no exchanges under way.

use std::fmt;
use std::str::FromStr;

use crate::model::{Origin, Scheme};

use super::glob::matches;

/// What the help and the error say.
pub const PATTERNS: &str = "a host (`shop.test`, `*.shop.test`, `shop.test:8443`), a host and path (`shop.test/api/*`), a path on any \
     host (`/static/*`), or a content type (`type:image/*`); `*` stands for anything";

/// One rule of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As written.
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Place { scheme: Option<Scheme>, host: Glob, target: Option<Glob> },
    Type(Glob),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing to compare with.
    #[error("names nothing; a pattern is {PATTERNS}")]
    Empty,
    /// White space or a control character, which no host, path or type has.
    #[error("holds {0:?}; a pattern is {PATTERNS}")]
    Character(char),
    /// Neither `type:` nor a host.
    #[error("`{0}:` is not known; a pattern is {PATTERNS}")]
    Kind(String),
}

/// The rules of a recording. Without rules everything is kept.
///
/// An exchange is left out when an `exclude` fits. With `include` rules of places it must be at one of them, with `include`
/// rules of types its answer must be of one of them. What has no content type (a redirect, a failure) is judged by its place
/// alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these.
    pub include: Vec<Pattern>,
    /// None of these.
    pub exclude: Vec<Pattern>,
}

/// What becomes of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is recorded, as far as is known by now.
    Keep,
    /// It is not recorded.
    Leave(Cause),
}

/// What an exchange was left out by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// This exclude rule.
    Exclude(String),
    /// The lack of an include rule that fits.
    Include,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclude(pattern) => write!(f, "by --exclude {pattern}"),
            Self::Include => f.write_str("as no --include fits"),
        }
    }
}

impl Filter {
    /// By where a request goes.
    pub fn request(&self, origin: &Origin, target: &[u8]) -> Verdict {
        self.judge(Pattern::is_place, |pattern| pattern.fits_place(origin, target))
    }

    /// By the `Content-Type` of a response, if it has one.
    pub fn response(&self, content_type: Option<&[u8]>) -> Verdict {
        let Some(value) = content_type else { return Verdict::Keep };
        let essence = value.split(|&b| b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        self.judge(|pattern| !pattern.is_place(), |pattern| pattern.fits_type(&essence))
    }

    /// Exclusion wins; including matters when there is a rule of that kind.
    fn judge(&self, of_kind: impl Fn(&Pattern) -> bool, fits: impl Fn(&Pattern) -> bool) -> Verdict {
        if let Some(pattern) = self.exclude.iter().find(|pattern| fits(pattern)) {
            return Verdict::Leave(Cause::Exclude(pattern.text.clone()));
        }
        let mut wanted = self.include.iter().filter(|pattern| of_kind(pattern)).peekable();
        if wanted.peek().is_some() && !wanted.any(fits) {
            return Verdict::Leave(Cause::Include);
        }
        Verdict::Keep
    }
}

impl Pattern {
    fn is_place(&self) -> bool {
        matches!(self.kind, Kind::Place { .. })
    }

    fn fits_place(&self, origin: &Origin, target: &[u8]) -> bool {
        let Kind::Place { scheme, host, target: wanted } = &self.kind else { return false };
        scheme.is_none_or(|scheme| scheme == origin.scheme)
            && (host.fits(origin.host.as_bytes()) || host.fits(origin.authority().as_bytes()))
            && wanted.as_ref().is_none_or(|wanted| wanted.fits_target(target))
    }

    fn fits_type(&self, essence: &[u8]) -> bool {
        matches!(&self.kind, Kind::Type(glob) if glob.fits(essence))
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        if let Some(odd) = text.chars().find(|c| c.is_control() || c.is_whitespace()) {
            return Err(PatternError::Character(odd));
        }
        let kind = match split_kind(text)? {
            (Some(word), essence) if word.eq_ignore_ascii_case("type") => {
                Kind::Type(Glob::new(&essence.to_ascii_lowercase())?)
            }
            (Some(word), _) => return Err(PatternError::Kind(word.to_owned())),
            (None, place) => Kind::place(place)?,
        };
        Ok(Self { text: text.to_owned(), kind })
    }
}

/// The word before the first colon, unless the colon belongs to a URL, a port or an IPv6 address.
fn split_kind(text: &str) -> Result<(Option<&str>, &str), PatternError> {
    match text.split_once(':') {
        Some((word, rest)) if !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic()) => {
            let port = rest.split('/').next().unwrap_or(rest);
            let is_place = rest.starts_with("//") || (!port.is_empty() && port.bytes().all(is_port_byte));
            Ok(if is_place { (None, text) } else { (Some(word), rest) })
        }
        _ => Ok((None, text)),
    }
}

fn is_port_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'*'
}

impl Kind {
    fn place(text: &str) -> Result<Self, PatternError> {
        let (scheme, rest) = match text.split_once("://") {
            Some((word, rest)) if word.eq_ignore_ascii_case("http") => (Some(Scheme::Http), rest),
            Some((word, rest)) if word.eq_ignore_ascii_case("https") => (Some(Scheme::Https), rest),
            Some((word, _)) => return Err(PatternError::Kind(word.to_owned())),
            None => (None, text),
        };
        let path = rest.find('/').unwrap_or(rest.len());
        let (host, target) = rest.split_at(path);
        let host = if host.is_empty() && !target.is_empty() { "*" } else { host };
        let host = Glob::new(&host.to_ascii_lowercase())?;
        let target = (!target.is_empty()).then(|| Glob::new(target)).transpose()?;
        Ok(Self::Place { scheme, host, target })
    }
}

/// A text in which each `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob(String);

impl Glob {
    fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() { Err(PatternError::Empty) } else { Ok(Self(text.to_owned())) }
    }

    fn fits(&self, text: &[u8]) -> bool {
        matches(self.0.as_bytes(), text)
    }

    /// The whole target when the glob has a `?`, else the path alone.
    fn fits_target(&self, target: &[u8]) -> bool {
        if self.0.contains('?') { self.fits(target) } else { self.fits(path_of(target)) }
    }
}

/// A target without its query.
pub(super) fn path_of(target: &[u8]) -> &[u8] {
    target.split(|&b| b == b'?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Filter { include: all(include), exclude: all(exclude) }
    }

    fn keeps(filter: &Filter, url: &str) -> bool {
        let origin: Origin = url.parse().unwrap();
        let target =
            url.split_once("://").unwrap().1.split_once('/').map_or("/".into(), |(_, rest)| format!("/{rest}"));
        filter.request(&origin, target.as_bytes()) == Verdict::Keep
    }

    #[test]
    fn places_are_hosts_ports_paths_and_schemes() {
        for (pattern, url, fits) in [
            ("shop.test", "https://shop.test/a", true),
            ("SHOP.test", "https://shop.test:8443/a", true),
            ("shop.test", "https://www.shop.test/", false),
            ("*.shop.test", "http://www.shop.test/", true),
            ("*.shop.test", "http://shop.test/", false),
            ("shop.test:8443", "https://shop.test:8443/", true),
            ("shop.test:8443", "https://shop.test/", false),
            ("localhost:8080", "http://localhost:8080/", true),
            ("localhost:*/x", "http://localhost:81/x", true),
            ("[::1]:81", "http://[::1]:81/", true),
            ("[::1]", "http://[::1]:81/", true),
            ("http://shop.test", "https://shop.test/", false),
            ("https://shop.test/a*", "https://shop.test/ab", true),
            ("shop.test/api/*", "https://shop.test/api/v1?x", true),
            ("shop.test/api/*", "https://shop.test/api", false),
            ("shop.test/", "https://shop.test/a", false),
            ("shop.test/a", "https://shop.test/a?b=c", true),
            ("shop.test/a?b=*", "https://shop.test/a?b=c", true),
            ("shop.test/a?b=*", "https://shop.test/a", false),
            ("/static/*", "https://any.test/static/x.js", true),
            ("/Static/*", "https://any.test/static/x.js", false),
            ("*/x.js", "https://any.test/x.js", true),
            ("*", "https://any.test/x", true),
        ] {
            assert_eq!(!keeps(&filter(&[], &[pattern]), url), fits, "--exclude {pattern} {url}");
            assert_eq!(keeps(&filter(&[pattern], &[]), url), fits, "--include {pattern} {url}");
        }
    }

    #[test]
    fn types_are_compared_without_parameters_and_case() {
        for (pattern, value, fits) in [
            ("type:image/*", "image/png", true),
            ("type:image/*", " IMAGE/PNG ; q=1", true),
            ("type:image/*", "text/html", false),
            ("TYPE:Text/HTML", "text/html;charset=utf-8", true),
            ("type:*json", "application/problem+json", true),
        ] {
            let (leave, keep) = (filter(&[], &[pattern]), filter(&[pattern], &[]));
            assert_eq!(leave.response(Some(value.as_bytes())) != Verdict::Keep, fits, "{pattern} {value}");
            assert_eq!(keep.response(Some(value.as_bytes())) == Verdict::Keep, fits, "{pattern} {value}");
            assert_eq!((leave.response(None), keep.response(None)), (Verdict::Keep, Verdict::Keep));
        }
    }

    #[test]
    fn excluding_wins_and_rules_of_one_kind_do_not_touch_the_other() {
        let both = filter(&["shop.test", "type:text/*"], &["/logout", "type:text/css"]);
        assert!(keeps(&both, "https://shop.test/"));
        assert!(!keeps(&both, "https://shop.test/logout"));
        assert!(!keeps(&both, "https://ads.test/"));
        let by = |cause| Verdict::Leave(cause);
        assert_eq!(both.response(Some(b"text/html")), Verdict::Keep);
        assert_eq!(both.response(Some(b"text/css")), by(Cause::Exclude("type:text/css".into())));
        assert_eq!(both.response(Some(b"image/png")), by(Cause::Include));
        assert!(keeps(&filter(&["type:text/*"], &[]), "https://ads.test/"), "a type alone names no place");
        assert!(keeps(&Filter::default(), "https://any.test/"));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (text, error) in [
            ("", PatternError::Empty),
            ("type:", PatternError::Empty),
            ("https://", PatternError::Empty),
            ("a b", PatternError::Character(' ')),
            ("a\u{7}", PatternError::Character('\u{7}')),
            ("method:GET", PatternError::Kind("method".into())),
            ("ftp://x", PatternError::Kind("ftp".into())),
        ] {
            let found = text.parse::<Pattern>().unwrap_err();
            assert_eq!(found, error, "{text:?}");
            assert!(found.to_string().contains("type:image/*"));
        }
    }
}
