//! Header fields of all dialects, and the cookies that stand beside them.
//!
//! Main function: [`fields`].

use std::borrow::Cow;

use super::json::Value;
use super::text::base64_bytes;
use super::{date, text};
use crate::model::{Headers, Version};

/// The fields of a request or response, and what pseudo-header fields said.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) headers: Headers,
    /// Names with their colon, and values.
    pub(super) pseudo: Vec<(String, String)>,
}

impl Fields {
    /// A pseudo-header field, such as `:path`.
    pub(super) fn pseudo(&self, name: &str) -> Option<&str> {
        self.pseudo.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The fields under `headers`: objects of name and value, pairs, or one object of all. A value with line breaks is several
/// fields (Chromium joins equal names so).
pub(super) fn fields(message: Value<'_>) -> Fields {
    message.get("headers").map(all).unwrap_or_default()
}

/// The fields of a list, without pseudo-header fields.
pub(super) fn list(headers: Value<'_>) -> Headers {
    all(headers).headers
}

fn all(headers: Value<'_>) -> Fields {
    let mut found = Fields::default();
    if headers.is_object() {
        for (name, value) in headers.fields() {
            let name = text::unescaped(name);
            if value.is_array() {
                value.items().for_each(|value| found.add(&name, value));
            } else {
                found.add(&name, value);
            }
        }
    }
    for field in headers.items() {
        if let (Some(name), Some(encoded)) = (field.get("name"), field.get("_overdub_base64")) {
            found.add_bytes(name, encoded);
        } else if field.is_object() {
            let name = field.any(&["name", "Name", "key"]).and_then(Value::text).unwrap_or_default();
            match field.any(&["value", "Value"]) {
                Some(value) => found.add(&name, value),
                None => found.add_text(&name, ""),
            }
        } else {
            let mut pair = field.items();
            if let (Some(name), Some(value)) = (pair.next().and_then(Value::text), pair.next()) {
                found.add(&name, value);
            }
        }
    }
    found
}

impl Fields {
    fn add(&mut self, name: &str, value: Value<'_>) {
        let value = value.text().unwrap_or(Cow::Borrowed(""));
        let blank = value.trim().is_empty();
        for part in value.split(['\n', '\r']).filter(|part| blank || !part.trim().is_empty()) {
            self.add_text(name, part);
        }
    }

    fn add_text(&mut self, name: &str, value: &str) {
        let (name, value) = (name.trim(), value.trim_matches([' ', '\t', '\n', '\r']));
        if name.starts_with(':') {
            self.pseudo.push((name.to_ascii_lowercase(), value.to_owned()));
        } else if !name.is_empty() {
            self.headers.push(name, value);
        }
    }

    /// Name and value as an export of ours keeps them when they are no text.
    fn add_bytes(&mut self, name: Value<'_>, encoded: Value<'_>) {
        let mut bytes = encoded.items().map(|item| base64_bytes(item.inner()));
        if let (Some(Some(name)), Some(Some(value))) = (bytes.next(), bytes.next()) {
            self.headers.push(name, value);
        } else if let Some(name) = name.text() {
            self.add_text(&name, "");
        }
    }
}

/// What HTTP/2 and HTTP/3 send: names in lower case, and no fields that only connections of HTTP/1 have (RFC 9113 §8.2).
/// `authority` is what `:authority` says; a `Host` that says the same is the browser's way to show it.
pub(super) fn without_http1(headers: &mut Headers, authority: &str) {
    const HOP: [&str; 6] =
        ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"];
    for (name, _) in &mut headers.0 {
        name.make_ascii_lowercase();
    }
    headers.0.retain(|(name, value)| {
        let shown = name == b"host" && value.eq_ignore_ascii_case(authority.as_bytes());
        !shown && HOP.iter().all(|hop| name != hop.as_bytes())
    });
}

/// `HTTP/1.1`, `http/2.0`, `h2`, `h3-29` and the like; none when it is not said.
pub(super) fn version(message: Value<'_>) -> Option<Version> {
    let said = message.get("httpVersion")?.text()?.trim().to_ascii_lowercase();
    let said = said.strip_prefix("http/").unwrap_or(&said);
    match said {
        "0.9" => Some(Version::Http09),
        "1.0" | "1" => Some(Version::Http10),
        "1.1" => Some(Version::Http11),
        _ if said.contains("quic") || said.starts_with("h3") || said.starts_with('3') => Some(Version::Http3),
        _ if said.starts_with("h2") || said.starts_with('2') || said.starts_with("spdy") => Some(Version::Http2),
        _ => None,
    }
}

/// The `Cookie` value of a request that lists cookies.
pub(super) fn cookie_of(request: Value<'_>) -> Option<String> {
    let pairs: Vec<String> = cookies(request).map(|(_, name, value)| pair(&name, &value)).collect();
    (!pairs.is_empty()).then(|| pairs.join("; "))
}

/// `Set-Cookie` values of a response that lists cookies but has no such field. Some writers list the request's cookies
/// there: a cookie counts that has an attribute, or that the request does not send with this value.
pub(super) fn set_cookies_of(response: Value<'_>, request: Value<'_>) -> Vec<String> {
    let mut set = Vec::new();
    for (cookie, name, value) in cookies(response) {
        let attributes = attributes(cookie);
        let sent = || cookies(request).any(|(_, n, v)| n == name && v == value);
        if !attributes.is_empty() || !sent() {
            set.push(format!("{}{attributes}", pair(&name, &value)));
        }
    }
    set
}

fn cookies(message: Value<'_>) -> impl Iterator<Item = (Value<'_>, Cow<'_, str>, Cow<'_, str>)> {
    message.get("cookies").into_iter().flat_map(Value::items).filter_map(|cookie| {
        let name = cookie.get("name")?.text()?;
        let value = cookie.get("value").and_then(Value::text).unwrap_or_default();
        let whole = [&name, &value].iter().all(|text| !text.contains([';', '\r', '\n', '\0']));
        (whole && !(name.is_empty() && value.is_empty())).then_some((cookie, name, value))
    })
}

fn pair(name: &str, value: &str) -> String {
    if name.is_empty() { value.to_owned() } else { format!("{name}={value}") }
}

fn attributes(cookie: Value<'_>) -> String {
    let mut written = String::new();
    let mut attribute = |name: &str, value: &str| {
        if !value.contains([';', '\r', '\n', '\0']) {
            written.push_str("; ");
            written.push_str(name);
            written.push_str(value);
        }
    };
    for (key, name) in [("domain", "Domain="), ("path", "Path=")] {
        if let Some(value) = cookie.get(key).and_then(Value::words) {
            attribute(name, &value);
        }
    }
    if let Some(expires) = cookie.get("expires").and_then(Value::words) {
        let shown = date::parse(&expires).map_or(expires.into_owned(), date::http_date);
        attribute("Expires=", &shown);
    }
    if let Some(seconds) = cookie.any(&["maxAge", "_maxAge"]).and_then(Value::number) {
        attribute("Max-Age=", &format!("{seconds:.0}"));
    }
    for (key, name) in [("secure", "Secure"), ("httpOnly", "HttpOnly")] {
        if cookie.get(key).is_some_and(Value::is_true) {
            attribute(name, "");
        }
    }
    if let Some(value) = cookie.any(&["sameSite", "_sameSite"]).and_then(Value::words) {
        attribute("SameSite=", &value);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(json: &str) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let found = fields(Value::first(json.as_bytes()).unwrap());
        found.headers.0.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn fields_are_read_however_they_are_written() {
        let expected = [
            ("A".to_owned(), "1".to_owned()),
            ("Set-Cookie".to_owned(), "x".to_owned()),
            ("Set-Cookie".to_owned(), "y".to_owned()),
        ];
        for json in [
            r#"{"headers":[{"name":"A","value":" 1 "},{"name":"Set-Cookie","value":"x\ny"},{"name":"","value":"z"}]}"#,
            r#"{"headers":[["A",1],["Set-Cookie","x"],["Set-Cookie","y"],[],["B"]]}"#,
            r#"{"headers":{"A":"1",":status":"200","Set-Cookie":["x","y"]}}"#,
        ] {
            assert_eq!(headers(json), expected, "{json}");
        }
        assert_eq!(headers(r#"{"headers":[{"name":"E","value":""},{"name":"N","value":null}]}"#).len(), 2);
        assert!(headers(r#"{"headers":"x"}"#).is_empty() && headers("{}").is_empty());
    }

    #[test]
    fn versions_are_understood_as_browsers_and_proxies_write_them() {
        for (said, version_meant) in [
            ("HTTP/1.1", Some(Version::Http11)),
            ("http/1.0", Some(Version::Http10)),
            ("http/2.0", Some(Version::Http2)),
            ("HTTP/2", Some(Version::Http2)),
            ("h2", Some(Version::Http2)),
            ("h3", Some(Version::Http3)),
            ("HTTP/3", Some(Version::Http3)),
            ("h3-29", Some(Version::Http3)),
            ("http/2+quic/46", Some(Version::Http3)),
            ("unknown", None),
            ("", None),
        ] {
            let json = format!(r#"{{"httpVersion":"{said}"}}"#);
            assert_eq!(version(Value::first(json.as_bytes()).unwrap()), version_meant, "{said}");
        }
    }

    #[test]
    fn cookies_are_taken_from_lists_and_copies_of_the_request_are_not() {
        let request = Value::first(br#"{"cookies":[{"name":"a","value":"1"},{"name":"b","value":"2"}]}"#).unwrap();
        let response = Value::first(
            br#"{"cookies":[{"name":"a","value":"1"},{"name":"b","value":"3"},
            {"name":"c","value":"4","path":"/","httpOnly":true,"expires":"2026-11-23T18:17:26.000Z","sameSite":"Lax"},
            {"name":"x;y","value":"1"}]}"#,
        )
        .unwrap();
        assert_eq!(cookie_of(request).unwrap(), "a=1; b=2");
        assert_eq!(
            set_cookies_of(response, request),
            ["b=3", "c=4; Path=/; Expires=Mon, 23 Nov 2026 18:17:26 GMT; HttpOnly; SameSite=Lax"]
        );
    }
}
