//! Extractors: a chain of lenses, each of which narrows a text to a part of it.

use std::fmt;
use std::str::FromStr;

use crate::model::Headers;

use super::lens::{Lens, Text};

/// A chain of lenses, such as `json("$.form") | form("/a/{}", "token")`. Starts from the decoded body unless the first
/// lens is a header or a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Extractor(pub Vec<Lens>);

/// Why a text is no extractor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at}")]
pub struct ExtractorError {
    /// What is wrong.
    pub what: String,
    /// Where, counted in characters from 1.
    pub at: usize,
}

/// What extractors look at: one response, its body already decoded from content codings. Parsed once for all of them.
#[derive(Debug)]
pub struct ResponseView<'a> {
    headers: &'a Headers,
    body: Text<'a>,
}

impl<'a> ResponseView<'a> {
    /// A view of a response; `body` is without content codings.
    pub fn new(headers: &'a Headers, body: &'a [u8]) -> Self {
        Self { headers, body: Text::new(String::from_utf8_lossy(body)) }
    }
}

impl Extractor {
    /// The value, or `None` when the response does not hold it.
    pub fn extract(&self, response: &ResponseView<'_>) -> Option<String> {
        let (first, rest) = self.0.split_first()?;
        let start = match first {
            Lens::Header(name) => response.headers.text(name)?.to_owned(),
            Lens::Cookie(name) => response.headers.all("set-cookie").find_map(|field| cookie_value(field, name))?,
            lens => lens.apply(&response.body)?,
        };
        let value = rest.iter().try_fold(start, |text, lens| lens.apply(&Text::new(text)))?;
        (!value.is_empty()).then_some(value)
    }

    /// Whether the body is looked at (else headers suffice).
    pub fn needs_body(&self) -> bool {
        !matches!(self.0.first(), Some(Lens::Header(_) | Lens::Cookie(_)))
    }
}

fn cookie_value(set_cookie: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(set_cookie).ok()?;
    let (own_name, value) = text.split(';').next()?.split_once('=')?;
    (own_name.trim() == name).then(|| value.trim().to_owned())
}

impl FromStr for Extractor {
    type Err = ExtractorError;

    /// `lens("argument", …) | lens("argument")`; arguments are JSON strings.
    fn from_str(text: &str) -> Result<Self, ExtractorError> {
        let wrong =
            |at: usize, what: &str| ExtractorError { what: what.to_owned(), at: text[..at].chars().count() + 1 };
        let mut lenses = Vec::new();
        let mut at = 0;
        loop {
            at += text[at..].len() - text[at..].trim_start().len();
            let start = at;
            let open = text[at..]
                .find('(')
                .map(|i| at + i)
                .ok_or_else(|| wrong(at, "expected a lens such as json(\"$.id\")"))?;
            let name = text[at..open].trim();
            at = open + 1;
            let mut arguments = Vec::new();
            loop {
                let mut stream = serde_json::Deserializer::from_str(&text[at..]).into_iter::<String>();
                match stream.next() {
                    Some(Ok(argument)) => arguments.push(argument),
                    _ => return Err(wrong(at, "expected a string in double quotes")),
                }
                at += stream.byte_offset();
                at += text[at..].len() - text[at..].trim_start().len();
                match text.as_bytes().get(at) {
                    Some(b',') => at += 1,
                    Some(b')') => break,
                    _ => return Err(wrong(at, "expected `,` or `)`")),
                }
            }
            let lens = Lens::from_parts(name, &arguments).map_err(|what| wrong(start, &what))?;
            if !lenses.is_empty() && matches!(lens, Lens::Header(_) | Lens::Cookie(_)) {
                return Err(wrong(start, "header and cookie lenses come first"));
            }
            lenses.push(lens);
            let rest = text[at + 1..].trim_start();
            match rest.as_bytes().first() {
                None => return Ok(Self(lenses)),
                Some(b'|') => at = text.len() - rest.len() + 1,
                Some(_) => return Err(wrong(text.len() - rest.len(), "expected `|` or the end")),
            }
        }
    }
}

impl fmt::Display for Extractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, lens) in self.0.iter().enumerate() {
            let (name, arguments) = lens.parts();
            let quoted: Vec<String> = arguments.iter().map(|a| serde_json::Value::from(*a).to_string()).collect();
            write!(f, "{}{name}({})", if index > 0 { " | " } else { "" }, quoted.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(extractor: &str, headers: &[(&str, &str)], body: &str) -> Option<String> {
        let headers = Headers(headers.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect());
        extractor.parse::<Extractor>().unwrap().extract(&ResponseView::new(&headers, body.as_bytes()))
    }

    #[test]
    fn each_lens_takes_its_value() {
        let page = r##"<html><meta name=csrf content=m1><form id=pay action="/pay"><input type=hidden name=tok value=t1></form>
            <form action="/orders/17/note"><input name="item-5-text" value=x></form>
            <button id=go data-key="k&amp;1"></button><a href="/orders/17/edit?x=1">e</a>
            <script>var conf={"wgToken":"ab\u002B"}; go("\/late\/9")</script></html>"##;
        let headers = [("Location", "https://h/orders/42?ref=r%2F1"), ("Set-Cookie", "sid=c1; Path=/")];
        for (extractor, value) in [
            (r##"form("#pay", "tok")"##, Some("t1")),
            (r##"form("*", "tok")"##, Some("t1")),
            (r##"form("/gone", "tok")"##, Some("t1")),
            (r##"field-name("item-{}-text")"##, Some("5")),
            (r##"meta("csrf")"##, Some("m1")),
            (r##"attribute("button#go", "data-key")"##, Some("k&1")),
            (r##"url("/orders/{}/edit")"##, Some("17")),
            (r##"url("/late/{}")"##, Some("9")),
            (r##"script("wgToken")"##, Some("ab+")),
            (r##"header("location") | url("/orders/{}")"##, Some("42")),
            (r##"header("location") | url("/orders/*?ref={}")"##, Some("r/1")),
            (r##"cookie("sid")"##, Some("c1")),
            (r##"between("data-key=\"", "\"")"##, Some("k&amp;1")),
            (r##"regex("href=\"([^\"]+)")"##, Some("/orders/17/edit?x=1")),
            (r##"meta("none")"##, None),
        ] {
            assert_eq!(take(extractor, &headers, page).as_deref(), value, "{extractor}");
        }
    }

    #[test]
    fn lenses_chain_through_nested_texts() {
        let body = r#"{"ok":true,"url":"\/orders\/7\/","form":"<form action=\"/i/3/\"><input name=t value=v></form>"}"#;
        assert_eq!(take(r#"json("$.form") | form("/i/{}/", "t")"#, &[], body).as_deref(), Some("v"));
        assert_eq!(take(r#"json("$.url") | url("/orders/{}/")"#, &[], body).as_deref(), Some("7"));
        assert_eq!(take(r#"url("/orders/{}/")"#, &[], body).as_deref(), Some("7"));
    }

    #[test]
    fn extractors_print_as_they_are_read() {
        for text in [
            r#"header("Location") | url("/orders/{}")"#,
            r#"json("$.a[\"b c\"][0]")"#,
            r#"between("a\"", "\n")"#,
            r#"form("/a/{}", "t") | regex("x(.)")"#,
        ] {
            assert_eq!(text.parse::<Extractor>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn errors_say_where() {
        for (text, at) in [
            ("", 1),
            ("json", 1),
            ("json(x)", 6),
            ("json(\"$.a\"", 11),
            ("json(\"$.a\") x", 13),
            ("json(\"$.a\") | nothing(\"a\")", 15),
            ("json(\"a\")", 1),
            ("json(\"$.a\") | header(\"x\")", 15),
            ("regex(\"(\")", 1),
            ("url(\"/x\")", 1),
        ] {
            assert_eq!(text.parse::<Extractor>().unwrap_err().at, at, "{text}");
        }
    }
}
