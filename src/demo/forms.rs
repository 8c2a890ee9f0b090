//! What browsers and servers do with forms: url-encoding, multipart, escaping, reading a page's fields.
//!
//! Deliberately not the lenses of `wire`: the sample site is an independent check of those.

/// Percent-decodes a query or form value, `+` as a space; stray percent signs stay as they are.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Encodes a form value as browsers do: a space becomes `+`, all but letters, digits and `*-._` a percent triple.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// An url-encoded form of these fields.
pub(super) fn encode_all(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// The fields of a query or an url-encoded body, in order.
pub(super) fn fields(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// The first field with this name.
pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// One part of a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Field name.
    pub(super) name: String,
    /// Name of the file, if it is one.
    pub(super) file: Option<String>,
    /// Content as sent.
    pub(super) content: Vec<u8>,
}

/// The parts of a multipart body (RFC 7578); `None` when it is not well formed.
pub(super) fn parts(content_type: &str, body: &[u8]) -> Option<Vec<Part>> {
    let rest = content_type.strip_prefix("multipart/form-data")?;
    let boundary = rest.split(';').find_map(|p| p.trim().strip_prefix("boundary="))?.trim_matches('"');
    if boundary.is_empty() || boundary.len() > 70 {
        return None;
    }
    let opening = format!("--{boundary}");
    let separator = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(opening.as_bytes())?;
    let mut found = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(found);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let head_end = memchr::memmem::find(rest, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&rest[..head_end]).ok()?;
        let content = &rest[head_end + 4..];
        let end = memchr::memmem::find(content, separator.as_bytes())?;
        let disposition = head.lines().find(|l| l.to_ascii_lowercase().starts_with("content-disposition:"))?;
        found.push(Part {
            name: attribute(disposition, " name=")?,
            file: attribute(disposition, " filename="),
            content: content[..end].to_vec(),
        });
        if found.len() > 100 {
            return None;
        }
        rest = &content[end + separator.len()..];
    }
}

/// The value of the input `field` in the form with this action, as a browser would send it back.
pub fn form_field(page: &str, action: &str, field: &str) -> Option<String> {
    let form = page.split("<form").skip(1).find(|form| attribute(form, " action=").as_deref() == Some(action))?;
    let form = form.split("</form>").next()?;
    let input = form.split("<input").skip(1).find(|input| attribute(input, " name=").as_deref() == Some(field))?;
    attribute(input, " value=").map(|value| unescape(&value))
}

/// The attribute `wanted` of the first tag that starts with `opening`, such as `<meta name="csrf-token"`.
pub fn tag_attribute(page: &str, opening: &str, wanted: &str) -> Option<String> {
    let tag = &page[page.find(opening)?..];
    let tag = &tag[..tag.find('>')?];
    attribute(tag, &format!(" {wanted}=")).map(|value| unescape(&value))
}

/// The quoted value behind `name` in the tag (or header line) at the start of `text`.
fn attribute(text: &str, name: &str) -> Option<String> {
    let tag = &text[..text.find('>').unwrap_or(text.len())];
    let value = tag[tag.find(name)? + name.len()..].strip_prefix('"')?;
    Some(value[..value.find('"')?].to_owned())
}

fn unescape(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    plain.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_values_survive_the_way_to_the_server() {
        let given = [("a b", "1+1=2 & ü"), ("empty", ""), ("dots", "x.y_z-*")];
        let back = fields(&encode_all(&given));
        assert_eq!(back, given.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }

    #[test]
    fn multipart_parts_are_found_and_damage_is_refused() {
        let body =
            b"--B\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nx\r\n--B\r\nContent-Disposition: form-data; \
            name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\x89\r\n\r\n--\r\n--B--\r\n";
        let found = parts("multipart/form-data; boundary=B", body).unwrap();
        assert_eq!(found[0], Part { name: "t".into(), file: None, content: b"x".to_vec() });
        assert_eq!(found[1].file.as_deref(), Some("a.png"));
        assert_eq!(found[1].content, b"\x89\r\n\r\n--");
        for cut in 0..body.len() - 4 {
            assert_eq!(parts("multipart/form-data; boundary=B", &body[..cut]), None, "cut at {cut}");
        }
        assert_eq!(parts("text/plain", body), None);
    }

    #[test]
    fn fields_of_the_right_form_are_read() {
        let page = r#"<form method="post" action="/a"><input name="t" value="1"></form>
            <form action="/b"><input type="hidden" name="t" value="&lt;2&amp;"><input name="u"></form>"#;
        assert_eq!(form_field(page, "/b", "t").as_deref(), Some("<2&"));
        assert_eq!(form_field(page, "/b", "u"), None);
        assert_eq!(form_field(page, "/c", "t"), None);
        assert_eq!(
            tag_attribute(r#"<meta name="x" content="y">"#, "<meta name=\"x\"", "content").as_deref(),
            Some("y")
        );
    }
}
