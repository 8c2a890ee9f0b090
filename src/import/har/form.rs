//! A request body that the file holds as a list of parameters only.
//!
//! Writers differ in what they decode; the length that the request states tells which it was. Main function: [`rebuilt`].

use super::json::Value;
use super::load::Entry;
use super::text::base64_bytes;
use crate::wire::multipart::boundary;

/// One parameter of a form.
#[derive(Debug)]
struct Parameter {
    name: String,
    value: String,
    file: Option<File>,
}

#[derive(Debug)]
struct File {
    name: String,
    media_type: Option<String>,
}

/// The body of `params` for a request of this media type; none when it cannot be known. `length` is what the request
/// states.
pub(super) fn rebuilt(entry: &Entry, params: Value<'_>, media_type: &str, length: Option<u64>) -> Option<Vec<u8>> {
    let parameters = params.items().map(|item| parameter(entry, item)).collect::<Option<Vec<_>>>()?;
    if parameters.is_empty() {
        return None;
    }
    let kind = media_type.split(';').next().unwrap_or("").trim();
    let candidates = if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        urlencoded(&parameters)
    } else {
        multipart(&parameters, &boundary(media_type)?)
    };
    let meant = |body: &Vec<u8>| length == Some(body.len() as u64);
    let best = candidates.iter().position(meant).unwrap_or(0);
    candidates.into_iter().nth(best)
}

fn parameter(entry: &Entry, item: Value<'_>) -> Option<Parameter> {
    let name = item.get("name")?;
    let value = item.get("value");
    if entry.is_long(name) || value.is_some_and(|value| entry.is_long(value)) {
        return None;
    }
    let file = item.get("fileName").and_then(Value::text);
    if file.as_deref().is_some_and(|name| !name.is_empty()) && value.is_none() {
        return None;
    }
    Some(Parameter {
        name: name.text()?.into_owned(),
        value: value.and_then(Value::text).unwrap_or_default().into_owned(),
        file: file.map(|name| File {
            name: name.into_owned(),
            media_type: item.get("contentType").and_then(Value::words).map(|media_type| media_type.into_owned()),
        }),
    })
}

/// What the parameters may have been: the likeliest first.
fn urlencoded(parameters: &[Parameter]) -> Vec<Vec<u8>> {
    let join = |encode: &dyn Fn(&str) -> String| {
        let pairs = parameters.iter().map(|p| format!("{}={}", encode(&p.name), encode(&p.value)));
        pairs.collect::<Vec<_>>().join("&").into_bytes()
    };
    let written = join(&str::to_owned);
    let plus = join(&|text| encoded(text, "+"));
    let percent = join(&|text| encoded(text, "%20"));
    let texts = || parameters.iter().flat_map(|p| [&p.name, &p.value]);
    if texts().all(|text| is_encoded(text)) && texts().any(|text| text.contains(['%', '+'])) {
        vec![written, plus, percent]
    } else {
        vec![plus, percent, written]
    }
}

/// Percent-encoded as forms are (WHATWG URL §5.2).
fn encoded(text: &str, space: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push_str(space),
            b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Whether a text can be what [`encoded`] makes.
fn is_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        b'+' | b'*' | b'-' | b'.' | b'_' | b'~' | b'!' | b'\'' | b'(' | b')' => true,
        byte => byte.is_ascii_alphanumeric(),
    })
}

/// Files may stand as text, as one character a byte, or in base64.
fn multipart(parameters: &[Parameter], boundary: &str) -> Vec<Vec<u8>> {
    let text = |value: &str| value.as_bytes().to_vec();
    let bytes = |value: &str| value.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>();
    let coded = |value: &str| base64_bytes(value.as_bytes());
    vec![
        parts(parameters, boundary, &|value| text(value)),
        parts(parameters, boundary, &|value| coded(value).unwrap_or_else(|| text(value))),
        parts(parameters, boundary, &|value| bytes(value).unwrap_or_else(|| text(value))),
    ]
}

/// The body as browsers write it (RFC 7578, WHATWG HTML §4.10.22.8).
fn parts(parameters: &[Parameter], boundary: &str, content: &dyn Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let quoted = |text: &str| text.replace('\n', "%0A").replace('\r', "%0D").replace('"', "%22");
    let mut body = Vec::new();
    for parameter in parameters {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quoted(&parameter.name));
        body.extend_from_slice(head.as_bytes());
        match &parameter.file {
            None => {
                body.extend_from_slice(b"\r\n\r\n");
                body.extend_from_slice(parameter.value.as_bytes());
            }
            Some(file) => {
                body.extend_from_slice(format!("; filename=\"{}\"", quoted(&file.name)).as_bytes());
                if let Some(media_type) = &file.media_type {
                    body.extend_from_slice(format!("\r\nContent-Type: {media_type}").as_bytes());
                }
                body.extend_from_slice(b"\r\n\r\n");
                body.extend_from_slice(&content(&parameter.value));
            }
        }
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(params: &str, media_type: &str, length: Option<u64>) -> Option<String> {
        let value = Value::first(params.as_bytes()).unwrap();
        let body = rebuilt(&Entry::default(), value, media_type, length)?;
        Some(body.iter().map(|byte| char::from(*byte)).collect())
    }

    #[test]
    fn urlencoded_forms_are_what_their_length_says() {
        const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
        let params = r#"[{"name":"a b","value":"\u00e4&"},{"name":"c"}]"#;
        assert_eq!(form(params, FORM, None).unwrap(), "a+b=%C3%A4%26&c=");
        assert_eq!(form(params, FORM, Some(18)).unwrap(), "a%20b=%C3%A4%26&c=");
        let written = r#"[{"name":"a%5B%5D","value":"x+y"}]"#;
        assert_eq!(form(written, FORM, None).unwrap(), "a%5B%5D=x+y");
        assert_eq!(form(written, FORM, Some(17)).unwrap(), "a%255B%255D=x%2By");
        assert_eq!(form("[]", FORM, None), None);
        assert_eq!(form(params, "application/json", None), None);
    }

    #[test]
    fn multipart_forms_are_rebuilt_around_their_files() {
        let params =
            r#"[{"name":"f\"","fileName":"x.gif","contentType":"image/gif","value":"iYk="},{"name":"n","value":"v"}]"#;
        let body = |content: &str| {
            format!(
                "--B\r\nContent-Disposition: form-data; name=\"f%22\"; filename=\"x.gif\"\r\nContent-Type: image/gif\r\n\r\n{content}\r\n--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nv\r\n--B--\r\n"
            )
        };
        const MULTIPART: &str = "multipart/form-data; boundary=B";
        let (text, decoded) = (body("iYk="), body("\u{89}\u{89}"));
        assert_eq!(form(params, MULTIPART, None).unwrap(), text);
        assert_eq!(form(params, MULTIPART, Some(text.len() as u64 - 2)).unwrap(), decoded);
        assert_eq!(form(params, "multipart/form-data", None), None, "no boundary");
        assert_eq!(form(r#"[{"name":"f","fileName":"x"}]"#, MULTIPART, None), None, "the file is not here");
    }
}
