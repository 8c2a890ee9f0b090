//! Header fields, cookies and query values as HAR lists them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::clock;
use crate::model::{Headers, Version};
use crate::wire::url::pairs;

/// All fields in order; one that is no text keeps its bytes beside what can be shown of it.
pub(super) fn headers(headers: &Headers) -> Value {
    let field = |(name, value): &(Vec<u8>, Vec<u8>)| match (std::str::from_utf8(name), std::str::from_utf8(value)) {
        (Ok(name), Ok(value)) => json!({"name": name, "value": value}),
        _ => json!({
            "name": String::from_utf8_lossy(name),
            "value": String::from_utf8_lossy(value),
            "_overdub_base64": [STANDARD.encode(name), STANDARD.encode(value)],
        }),
    };
    headers.0.iter().map(field).collect()
}

/// Bytes of a head of HTTP/1, with its empty line; -1 for other versions, whose heads are compressed.
pub(super) fn head_size(version: Version, first_line: usize, headers: &Headers) -> i64 {
    match version {
        Version::Http10 | Version::Http11 => {
            let fields = headers.0.iter().map(|(name, value)| name.len() + value.len() + 4);
            i64::try_from(first_line + 2 + fields.sum::<usize>() + 2).unwrap_or(-1)
        }
        Version::Http09 | Version::Http2 | Version::Http3 => -1,
    }
}

/// `HTTP/1.1`, `HTTP/2.0`, …
pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::Http09 => "HTTP/0.9",
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2.0",
        Version::Http3 => "HTTP/3",
    }
}

/// The cookies that a request sends.
pub(super) fn sent_cookies(headers: &Headers) -> Value {
    let values = headers.all("cookie").map(String::from_utf8_lossy).collect::<Vec<_>>();
    let pairs = values.iter().flat_map(|value| value.split(';')).map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(|pair| Value::Object(name_and_value(pair))).collect()
}

/// The cookies that a response sets.
pub(super) fn set_cookies(headers: &Headers) -> Value {
    headers.all("set-cookie").map(|value| set_cookie(&String::from_utf8_lossy(value))).collect()
}

fn set_cookie(text: &str) -> Value {
    let mut parts = text.split(';').map(str::trim);
    let mut cookie = name_and_value(parts.next().unwrap_or(""));
    for attribute in parts {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let (key, value) = match name.trim().to_ascii_lowercase().as_str() {
            "path" => ("path", json!(value)),
            "domain" => ("domain", json!(value)),
            "secure" => ("secure", json!(true)),
            "httponly" => ("httpOnly", json!(true)),
            "samesite" => ("sameSite", json!(value)),
            "expires" => match clock::iso_of_http_date(value) {
                Some(date) => ("expires", json!(date)),
                None => continue,
            },
            _ => continue,
        };
        cookie.insert(key.to_owned(), value);
    }
    Value::Object(cookie)
}

fn name_and_value(pair: &str) -> Map<String, Value> {
    let (name, value) = pair.split_once('=').unwrap_or(("", pair));
    let mut cookie = Map::new();
    cookie.insert("name".to_owned(), json!(name.trim()));
    cookie.insert("value".to_owned(), json!(value.trim()));
    cookie
}

/// The pairs of a query or form, decoded.
pub(super) fn decoded_pairs(text: &str) -> Value {
    let pair =
        |pair: crate::wire::url::Pair| json!({"name": decoded(&text[pair.name]), "value": decoded(&text[pair.value])});
    pairs(text, 0..text.len()).into_iter().map(pair).collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let byte = match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                at += 2;
                u8::try_from(high * 16 + low).unwrap_or(b'?')
            }
            (b'+', ..) => b' ',
            (byte, ..) => byte,
        };
        out.push(byte);
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_taken_apart() {
        let mut fields = Headers::default();
        fields.push("cookie", "a=1; b=x=y;c");
        fields.push(
            "Set-Cookie",
            "s=1; Path=/; Expires=Mon, 23 Nov 2026 18:17:26 GMT; HttpOnly; SameSite=Lax; Max-Age=5",
        );
        fields.push("Set-Cookie", "t=; Secure; Expires=soon");
        assert_eq!(
            sent_cookies(&fields),
            json!([{"name":"a","value":"1"},{"name":"b","value":"x=y"},{"name":"","value":"c"}])
        );
        assert_eq!(
            set_cookies(&fields),
            json!([{"name":"s","value":"1","path":"/","expires":"2026-11-23T18:17:26.000Z","httpOnly":true,"sameSite":"Lax"},
                {"name":"t","value":"","secure":true}])
        );
    }

    #[test]
    fn fields_that_are_no_text_keep_their_bytes() {
        let mut fields = Headers::default();
        fields.push("a", b"\xff".to_vec());
        assert_eq!(headers(&fields), json!([{"name":"a","value":"\u{fffd}","_overdub_base64":["YQ==","/w=="]}]));
        assert_eq!(head_size(Version::Http11, 14, &fields), 14 + 2 + 6 + 2);
    }

    #[test]
    fn pairs_are_decoded() {
        assert_eq!(
            decoded_pairs("a=%C3%A4+b&c&%zz=%"),
            json!([{"name":"a","value":"\u{e4} b"},{"name":"c","value":""},{"name":"%zz","value":"%"}])
        );
    }
}
