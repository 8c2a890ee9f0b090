//! Endpoints: method, origin and path template, the key of every rule and of every line of a report.

use std::fmt;
use std::str::FromStr;

use crate::model::{Origin, Request};

/// Method + origin + path template, such as `POST https://shop.test/orders/{}/edit`. A `{}` segment stands for any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Method as on the wire.
    pub method: String,
    /// Recorded origin.
    pub origin: Origin,
    /// Path with `{}` for segments that vary; no query.
    pub path: String,
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no endpoint; expected something like `POST https://shop.test/orders/{{}}`")]
pub struct EndpointError(String);

impl Endpoint {
    /// The endpoint of a request, its path folded by the look of its segments alone.
    pub fn of(request: &Request) -> Self {
        Self::with_varying(request, |_| false)
    }

    /// The endpoint of a request; segments (by index) for which `varies` holds are folded too.
    pub fn with_varying(request: &Request, varies: impl Fn(usize) -> bool) -> Self {
        let target = String::from_utf8_lossy(&request.target);
        let path = target.split(['?', '#']).next().unwrap_or("/");
        let folded: Vec<&str> = path
            .split('/')
            .skip(1)
            .enumerate()
            .map(|(index, segment)| {
                // What no rules file could hold is folded, too.
                let odd = segment.contains(|c: char| c == ' ' || c.is_control());
                if odd || varies(index) || looks_variable(segment) { "{}" } else { segment }
            })
            .collect();
        Self { method: request.method.clone(), origin: request.origin.clone(), path: format!("/{}", folded.join("/")) }
    }

    /// Whether a request belongs to this endpoint.
    pub fn matches(&self, request: &Request) -> bool {
        if self.method != request.method || self.origin != request.origin {
            return false;
        }
        let target = String::from_utf8_lossy(&request.target);
        let path = target.split(['?', '#']).next().unwrap_or("/");
        let mut wanted = self.path.split('/');
        let mut given = path.split('/');
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(w), Some(g)) if w == g || (w == "{}" && !g.is_empty()) => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.origin, self.path)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError(text.to_owned());
        // The method is whatever stands before the URL: foreign captures hold odd ones.
        let scheme = text.find("://").ok_or_else(wrong)?;
        let (method, _) = text[..scheme].rsplit_once(' ').ok_or_else(wrong)?;
        let url = &text[method.len() + 1..];
        let origin: Origin = url.parse().map_err(|_| wrong())?;
        let after = url.find("://").map_or(0, |i| i + 3);
        let path = url[after..].find('/').map_or("/", |i| &url[after + i..]);
        if path.contains(['?', '#', ' ']) {
            return Err(wrong());
        }
        Ok(Self { method: method.to_owned(), origin, path: path.to_owned() })
    }
}

/// A path with every segment that looks variable folded to `{}`; the query is dropped.
pub fn fold_path(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or("/");
    path.split('/').map(|segment| if looks_variable(segment) { "{}" } else { segment }).collect::<Vec<_>>().join("/")
}

/// Whether a path segment looks like an identifier rather than a word: a number, a UUID, a hash, a token.
pub fn looks_variable(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return false;
    }
    if digits == bytes.len() {
        return true;
    }
    let hex = bytes.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    if hex && bytes.len() >= 8 {
        return true;
    }
    let token = bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_=~".contains(b));
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic()).count();
    // A word with a number at its end (`step2`, `section-10`) is a name; letters and digits mixed at length are a token.
    let changes = bytes.windows(2).filter(|w| w[0].is_ascii_digit() != w[1].is_ascii_digit()).count();
    token && bytes.len() >= 12 && letters > 0 && digits >= 3 && changes >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_fold_and_words_stay() {
        for (path, folded) in [
            ("/orders/17/edit", "/orders/{}/edit"),
            ("/api/v2/users/9b2f3c1e-0000-4000-8000-123456789abc", "/api/v2/users/{}"),
            ("/static/step2/main.css", "/static/step2/main.css"),
            ("/c/c_9fX3kPq81zT", "/c/{}"),
            ("/a/deadbeef01?x=1", "/a/{}"),
            ("/wiki/Main_Page", "/wiki/Main_Page"),
            ("/", "/"),
        ] {
            assert_eq!(fold_path(path), folded);
        }
    }

    #[test]
    fn endpoints_parse_and_print() {
        for text in ["POST https://shop.test/orders/{}", "GET http://127.0.0.1:8080/"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for bad in ["", "POST", "POST /x", "POST https://h/a b", "POST https://h/a?b"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
