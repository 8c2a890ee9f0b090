//! Values of named fields, wherever a text has them: `name=value` of forms, URLs and attributes, `"name": "value"` of JSON and
//! scripts, elements of XML, fields of HTML forms, parts of multipart bodies, user and password of URLs.
//!
//! Bodies are cut anywhere and their types are often wrong, so this reads marks around names rather than a grammar.

use std::ops::Range;

use memchr::{memchr, memchr3, memchr3_iter, memmem};

use super::known::LONGEST_BYTES;
use super::levels::Levels;

/// Longest name of a field.
const NAME_BYTES: usize = 80;
/// How far the parts of one tag or object may be apart.
const TAG_BYTES: usize = 1024;
/// Shortest value behind `Bearer`.
const BEARER_BYTES: usize = 8;

/// How a text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// A URL or a form: all that is between `=` and `&` is a value.
    Form,
    /// JSON, XML, anything.
    Data,
    /// HTML: markup with code inside.
    Page,
    /// Script or style sheet: what is not in quotes is no value.
    Code,
}

/// How sure it is that a value is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Whatever it says.
    Sure,
    /// Only when it looks like no word.
    IfOpaque,
}

/// All values of fields that `is_secret` by name. `begins`: the text starts here, it is not the rest of something.
pub(super) fn find(
    text: &[u8],
    language: Language,
    begins: bool,
    is_secret: &mut dyn FnMut(&[u8]) -> bool,
) -> Vec<(Range<usize>, Care)> {
    let mut finder = Finder { text, language, begins, is_secret, found: Vec::new() };
    for at in memchr3_iter(b'=', b':', b'<', text) {
        match text[at] {
            b'=' => finder.equals(at),
            b':' => finder.colon(at),
            _ => finder.element(at),
        }
    }
    for at in memmem::find_iter(text, b"earer ") {
        finder.bearer(at + 6);
    }
    finder.found
}

struct Finder<'a> {
    text: &'a [u8],
    language: Language,
    begins: bool,
    is_secret: &'a mut dyn FnMut(&[u8]) -> bool,
    found: Vec<(Range<usize>, Care)>,
}

impl Finder<'_> {
    fn push(&mut self, range: Range<usize>, care: Care) {
        let value = &self.text[range.clone()];
        let lead = value.len() - value.trim_ascii_start().len();
        let range = range.start + lead..range.start + lead + value.trim_ascii().len();
        if !is_nothing(&self.text[range.clone()]) {
            self.found.push((range, care));
        }
    }

    /// How sure a value in quotes is.
    fn quoted_care(&self) -> Care {
        if self.language == Language::Code { Care::IfOpaque } else { Care::Sure }
    }

    fn equals(&mut self, at: usize) {
        let name = bare_name(self.text, at);
        if name.is_empty() {
            return;
        }
        let quoted = quoted_after(self.text, at + 1);
        let label = &self.text[name.clone()];
        if matches!(label, b"name" | b"id" | b"property" | b"itemprop" | b"formcontrolname") {
            if let Some(value) = quoted.clone().or_else(|| unquoted(self.text, at + 1, b" \t\r\n>/;"))
                && (self.is_secret)(&self.text[value.clone()])
            {
                self.named_by_attribute(at, value.end);
            }
            return;
        }
        if !self.is_secret_name(name.clone()) {
            return;
        }
        if let Some(value) = quoted {
            return self.push(value, self.quoted_care());
        }
        let before = name.start.checked_sub(1).and_then(|before| self.text.get(before)).copied();
        let is_pair = match before {
            None => self.begins,
            Some(byte) => b"?&;#".contains(&byte) || byte.is_ascii_whitespace() || byte == b',',
        };
        let is_form = self.language == Language::Form && matches!(before, None | Some(b'?' | b'&' | b';'));
        let stops: &[u8] = if is_form { b"&\r\n" } else { b"&;#\"'<>()[]{}`\\, \t\r\n" };
        if is_pair
            && self.language != Language::Code
            && let Some(value) = unquoted(self.text, at + 1, stops)
        {
            let in_form = self.language == Language::Form;
            self.push(value, if in_form { Care::Sure } else { Care::IfOpaque });
        }
    }

    fn is_secret_name(&mut self, name: Range<usize>) -> bool {
        let name = &self.text[name];
        if memchr(b'%', name).is_some() { (self.is_secret)(Levels::of(name).top()) } else { (self.is_secret)(name) }
    }

    /// `name="token" … value="…"` of a tag, or of a part of a multipart body.
    fn named_by_attribute(&mut self, at: usize, end: usize) {
        let text = self.text;
        let before = &text[at.saturating_sub(TAG_BYTES)..at];
        let ahead = |from: usize| &text[from..text.len().min(from + LONGEST_BYTES + TAG_BYTES)];
        // Not `enctype="multipart/form-data"` of a form just before.
        let is_part = |line: usize| memchr3(b'\n', b'<', b'>', &before[line..]).is_none();
        if memmem::rfind(before, b"form-data;").is_some_and(is_part) {
            let Some(head) = memmem::find(&ahead(end)[..ahead(end).len().min(TAG_BYTES)], b"\r\n\r\n") else { return };
            let start = end + head + 4;
            let length = memmem::find(&text[start..], b"\r\n--").unwrap_or(text.len() - start);
            return self.push(start..start + length, Care::Sure);
        }
        let Some(open) = memchr::memrchr2(b'<', b'>', before).filter(|open| before[*open] == b'<') else { return };
        let start = at - before.len() + open;
        for attribute in [&b"value="[..], b"content="] {
            let mut from = start;
            while let Some(found) = memmem::find(ahead(from), attribute) {
                let place = from + found;
                from = place + attribute.len();
                if memchr(b'<', &text[start + 1..place]).is_some() || is_past_tag(&text[start..place]) {
                    break;
                }
                if text[place - 1].is_ascii_whitespace() {
                    let value = quoted_after(text, from).or_else(|| unquoted(text, from, b" \t\r\n>"));
                    value.into_iter().for_each(|value| self.push(value, Care::Sure));
                    break;
                }
            }
        }
    }

    fn colon(&mut self, at: usize) {
        let (name, quoted_name) = name_before_colon(self.text, at);
        if self.text.get(at + 1..at + 3) == Some(b"//") {
            return self.authority(at + 3);
        }
        if name.is_empty() {
            return;
        }
        let label = &self.text[name.clone()];
        if quoted_name && matches!(label, b"name" | b"key" | b"id" | b"field") {
            if let Some(value) = quoted_after(self.text, at + 1)
                && (self.is_secret)(&self.text[value.clone()])
            {
                self.named_by_member(value.end + 1);
            }
            return;
        }
        if !(self.is_secret)(label) {
            return;
        }
        let start = at + 1 + space(&self.text[at + 1..]);
        match self.text.get(start) {
            Some(b'"' | b'\'' | b'`') => {
                if let Some(value) = quoted_after(self.text, start) {
                    self.push(value, self.quoted_care());
                }
            }
            Some(b'[') if self.language != Language::Code => self.array(start + 1),
            Some(b'0'..=b'9') if quoted_name => {
                let length = self.text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                self.push(start..start + length, Care::Sure);
            }
            Some(_) if !quoted_name && self.language == Language::Data => self.line(name.start, start),
            _ => {}
        }
    }

    /// `name: value` on a line of its own.
    fn line(&mut self, name: usize, start: usize) {
        let starts_line = if name == 0 { self.begins } else { matches!(self.text[name - 1], b'\n' | b'\r') };
        if starts_line && let Some(value) = unquoted(self.text, start, b"\r\n{}<>") {
            self.push(value, Care::IfOpaque);
        }
    }

    /// Strings of an array up to its end.
    fn array(&mut self, start: usize) {
        let mut at = start;
        loop {
            at += self.text[at..].iter().take_while(|b| b.is_ascii_whitespace() || **b == b',').count();
            let Some(value) = quoted_after(self.text, at).filter(|_| at - start < LONGEST_BYTES) else { return };
            at = self.text.len().min(value.end + 1);
            self.push(value, Care::Sure);
        }
    }

    /// `"value": "…"` of an object that has `"name": "token"`.
    fn named_by_member(&mut self, from: usize) {
        let rest = &self.text[from.min(self.text.len())..];
        let rest = &rest[..rest.len().min(TAG_BYTES)];
        let rest = &rest[..memchr::memchr2(b'}', b'{', rest).unwrap_or(rest.len())];
        if let Some(at) = memmem::find(rest, b"\"value\"") {
            let colon = from + at + 7 + space(&self.text[from + at + 7..]);
            if self.text.get(colon) == Some(&b':')
                && let Some(value) = quoted_after(self.text, colon + 1)
            {
                self.push(value, Care::Sure);
            }
        }
    }

    /// User and password between `//` and `@`.
    fn authority(&mut self, start: usize) {
        let Some(authority) = unquoted(self.text, start, b"/?#\"'<>\\ \t\r\n") else { return };
        let Some(at) = memchr::memrchr(b'@', &self.text[authority.clone()]) else { return };
        let user = start..start + at;
        match memchr(b':', &self.text[user.clone()]) {
            Some(colon) => {
                self.push(user.start..user.start + colon, Care::Sure);
                self.push(user.start + colon + 1..user.end, Care::Sure);
            }
            None => self.push(user, Care::Sure),
        }
    }

    /// `<name …>text</`
    fn element(&mut self, at: usize) {
        let rest = &self.text[at + 1..];
        let length =
            rest.iter().take(NAME_BYTES).take_while(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(b)).count();
        if length == 0 || !(self.is_secret)(&rest[..length]) {
            return;
        }
        let head = &rest[length..rest.len().min(length + TAG_BYTES)];
        let Some(close) = memchr(b'>', head).filter(|close| !head[..*close].ends_with(b"/")) else { return };
        let start = at + 1 + length + close + 1;
        if let Some(value) = unquoted(self.text, start, b"<")
            && (self.text[value.end..].starts_with(b"</") || value.end == self.text.len())
        {
            self.push(value, Care::Sure);
        }
    }

    fn bearer(&mut self, start: usize) {
        let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-._~+/=%".contains(*byte);
        let length = self.text[start..].iter().take_while(is_token).count();
        if length >= BEARER_BYTES {
            self.push(start..start + length, Care::IfOpaque);
        }
    }
}

/// Whether a value looks like no word of any language: digits among letters, or very long and of mixed case.
pub(super) fn is_opaque(value: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| value.iter().filter(|byte| is(byte)).count();
    let (digits, letters) = (count(u8::is_ascii_digit), count(u8::is_ascii_alphabetic));
    let no_text = !value.iter().any(|byte| byte.is_ascii_whitespace() || b"(){}<>$".contains(byte));
    let mixed = count(u8::is_ascii_uppercase) > 1 && count(u8::is_ascii_lowercase) > 1 && !value.contains(&b'_');
    no_text && value.len() >= 6 && ((digits > 0 && letters > 0) || digits >= 8 || (letters >= 20 && mixed))
}

/// Words that say there is no value, and places for one that a template leaves.
fn is_nothing(value: &[u8]) -> bool {
    const WORDS: &[&[u8]] =
        &[b"", b"true", b"false", b"null", b"undefined", b"none", b"nil", b"0", b"1", b"deleted", b"[object Object]"];
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
        || [&b"{{"[..], b"${", b"<%", b"%s"].iter().any(|start| value.starts_with(start))
}

fn space(text: &[u8]) -> usize {
    text.iter().take(16).take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The name that ends at `end`, without quotes.
fn bare_name(text: &[u8], end: usize) -> Range<usize> {
    let spaces = text[..end].iter().rev().take(2).take_while(|byte| **byte == b' ').count();
    let end = end - spaces;
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.$[]%:@".contains(*byte);
    let length = text[..end].iter().rev().take(NAME_BYTES).take_while(is_name).count();
    end - length..end
}

/// The name before a colon, and whether it is in quotes.
fn name_before_colon(text: &[u8], colon: usize) -> (Range<usize>, bool) {
    let spaces = text[..colon].iter().rev().take(16).take_while(|byte| byte.is_ascii_whitespace()).count();
    let end = colon - spaces;
    match end.checked_sub(1).map(|last| (last, text[last])) {
        Some((last, quote @ (b'"' | b'\''))) => {
            let before = &text[last.saturating_sub(NAME_BYTES)..last];
            let start = memchr::memrchr(quote, before).map_or(last, |at| last - before.len() + at + 1);
            (start..last, true)
        }
        _ => {
            let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-$".contains(*byte);
            let length = text[..end].iter().rev().take(NAME_BYTES).take_while(is_name).count();
            (end - length..end, false)
        }
    }
}

/// What stands in the quotes that begin at `at` (white space before them passed over), up to the end of a text that was cut
/// short; `None` when the line ends before the quotes do.
fn quoted_after(text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + space(text.get(at..)?);
    let quote = *text.get(start).filter(|byte| b"\"'`".contains(byte))?;
    let rest = &text[start + 1..];
    let mut escaped = false;
    let end = rest.iter().position(|byte| {
        let ends = (*byte == quote && !escaped) || *byte == b'\n';
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let end = end.unwrap_or(rest.len());
    (rest.get(end) != Some(&b'\n')).then_some(start + 1..start + 1 + end)
}

/// Up to one of these bytes or the end of the text; `None` when it is empty.
fn unquoted(text: &[u8], start: usize, stops: &[u8]) -> Option<Range<usize>> {
    let length = text.get(start..)?.iter().take_while(|byte| !stops.contains(byte)).count();
    (length > 0).then_some(start..start + length)
}

/// Whether a `>` outside quotes has closed the tag.
fn is_past_tag(tag: &[u8]) -> bool {
    let mut quote = None;
    tag.iter().any(|byte| match (quote, *byte) {
        (None, b'>') => true,
        (None, b'"' | b'\'') => {
            quote = Some(*byte);
            false
        }
        (Some(open), byte) if open == byte => {
            quote = None;
            false
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::rules::Rules;
    use super::*;

    fn values(text: &str, language: Language) -> Vec<&str> {
        let rules = Rules::default();
        let found = find(text.as_bytes(), language, true, &mut |name| rules.is_secret(name));
        let kept = found.into_iter().filter(|(r, care)| *care == Care::Sure || is_opaque(&text.as_bytes()[r.clone()]));
        kept.map(|(range, _)| &text[range]).collect()
    }

    #[test]
    fn values_are_found_in_every_notation() {
        use Language::{Code, Data, Form, Page};
        for (text, language, found) in [
            ("user=x&password=a;b,c%26d&x=1", Form, vec!["a;b,c%26d"]),
            ("user%5Bpin%5D=1234", Form, vec!["1234"]),
            ("/a/b?x=1&api_key=k1k2k3#f", Form, vec!["k1k2k3#f"]),
            (r#"{"a":1,"accessToken" : "x\"y1","pin":1234,"token":null}"#, Data, vec![r#"x\"y1"#, "1234"]),
            (r#"{"tokens":1,"secrets":["ab","cd"],"b":["e"]}"#, Data, vec!["ab", "cd"]),
            (r#"[{"name":"password","value":"hunter"},{"name":"q","value":"z"}]"#, Data, vec!["hunter"]),
            ("<input value=\"v1\" type=hidden name='csrf_token'><input name=q value=w>", Page, vec!["v1"]),
            ("<form enctype=\"multipart/form-data\"><input name=pin value=77>", Page, vec!["77"]),
            ("<meta name=\"csrf-token\" content=\"c>1\"><p value=\"no\">", Page, vec!["c>1"]),
            ("<a href=\"/x?token=abc123&amp;y=1\">", Page, vec!["abc123"]),
            ("<script>var apiKey = 'k1k2k3', token=get1(x)</script>", Page, vec!["k1k2k3"]),
            ("t.password=e.value;a={token:n1.b,password:\"Required\",apiKey:'k1k2k3'}", Code, vec!["k1k2k3"]),
            ("<ns:Password type=\"x\">hunter</ns:Password><b>c</b>", Data, vec!["hunter"]),
            ("--B\r\nContent-Disposition: form-data; name=\"pin\"\r\n\r\n42 42\r\n--B--", Data, vec!["42 42"]),
            ("Authorization: Bearer abcdef012\r\nX: y", Data, vec!["Bearer abcdef012", "abcdef012"]),
            ("redis://user:hunter@host/0", Data, vec!["user", "hunter"]),
            ("https://host/a@b:c", Data, vec![]),
            ("{\"password\":\"hunt", Data, vec!["hunt"]),
            ("<p>Password: 'x\ny' <b title='z'>", Page, vec![]),
        ] {
            let mut all = values(text, language);
            all.retain(|value| !value.starts_with("Bearer "));
            let found: Vec<&str> = found.into_iter().filter(|value| !value.starts_with("Bearer ")).collect();
            assert_eq!(all, found, "{text}");
        }
    }

    #[test]
    fn marks_at_the_ends_of_a_text_harm_nothing() {
        let text = "<input name=\"pin\" value=\"1\">{\"token\":[\"a\"],\"name\":\"pin\",\"value\":\"x\"}form-data; name=\"pin\"\r\n\r\nx\r\n--://a:b@";
        for start in 0..text.len() {
            for end in start..text.len() {
                for language in [Language::Data, Language::Form] {
                    values(&text[start..end], language);
                }
            }
        }
    }
}
