//! Cookies as a browser keeps them (RFC 6265bis): `Set-Cookie` in, `Cookie` out. Time is an argument.

use crate::model::{Nanos, Origin};

/// The cookies of one user. Cheap when empty.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    _private: (),
}

/// One stored cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Name as set.
    pub name: String,
    /// Value as set.
    pub value: String,
}

impl Jar {
    /// Takes one `Set-Cookie` value of a response from `origin` to a request for `path` at `now`.
    /// Honours Domain, Path, Secure, Max-Age, Expires (relative to `unix_now_s`, seconds), deletion.
    /// Returns the cookie's name and value when it was accepted (also when it deletes).
    pub fn store(
        &mut self,
        _set_cookie: &[u8],
        _origin: &Origin,
        _path: &str,
        _now: Nanos,
        _unix_now_s: i64,
    ) -> Option<Cookie> {
        todo!()
    }

    /// The cookies to send with a request for `path` at `origin`, longest path first, then oldest first.
    pub fn matching(&self, _origin: &Origin, _path: &str, _now: Nanos) -> Vec<Cookie> {
        todo!()
    }

    /// The value of a `Cookie` header for that request; `None` when there is nothing to send.
    pub fn header(&self, _origin: &Origin, _path: &str, _now: Nanos) -> Option<String> {
        todo!()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}

/// The name-value pairs of a `Cookie` header.
pub fn parse_cookie_header(_value: &[u8]) -> Vec<Cookie> {
    todo!()
}
