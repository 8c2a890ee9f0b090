//! Values in JavaScript: a string or number behind a key, `key: "value"`, `"key":5`, `var key = 'value'`.

use std::ops::Range;

/// A key and its value in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptValue {
    /// The key, without quotes.
    pub key: String,
    /// The value, escapes undone.
    pub value: String,
    /// Where the value stands in the script, without quotes.
    pub span: Range<usize>,
}

/// Longest value looked at, in bytes.
const LIMIT_BYTES: usize = 16 * 1024;

/// All string and number values with a key in front, in text order.
pub fn script_values(script: &str) -> impl Iterator<Item = ScriptValue> + '_ {
    let bytes = script.as_bytes();
    memchr::memchr2_iter(b':', b'=', bytes).filter_map(move |at| {
        if matches!(bytes.get(at + 1), Some(b'=' | b'>'))
            || (at > 0 && matches!(bytes[at - 1], b'=' | b'!' | b'<' | b'>'))
        {
            return None;
        }
        let key = key_before(script, at)?;
        let (value, span) = value_after(script, at + 1)?;
        Some(ScriptValue { key: key.to_owned(), value, span })
    })
}

fn key_before(script: &str, at: usize) -> Option<&str> {
    let head = script[..at].trim_end();
    let (head, quote) = match head.as_bytes().last()? {
        b'"' => (&head[..head.len() - 1], Some('"')),
        b'\'' => (&head[..head.len() - 1], Some('\'')),
        b']' => return key_in_brackets(head),
        _ => (head, None),
    };
    let start = match quote {
        Some(quote) => head.rfind(quote)? + 1,
        None => {
            let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            head.char_indices().rev().take_while(|(_, c)| word(*c)).last()?.0
        }
    };
    let key = &head[start..];
    (!key.is_empty() && key.len() <= 100 && !key.contains('\n')).then_some(key)
}

fn key_in_brackets(head: &str) -> Option<&str> {
    let inner = head[..head.len() - 1].trim_end();
    let quote = inner.chars().last().filter(|c| *c == '"' || *c == '\'')?;
    let inner = &inner[..inner.len() - 1];
    Some(&inner[inner.rfind(quote)? + 1..])
}

fn value_after(script: &str, at: usize) -> Option<(String, Range<usize>)> {
    let bytes = script.as_bytes();
    let start = at + script[at..].bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
    match *bytes.get(start)? {
        quote @ (b'"' | b'\'' | b'`') => {
            let mut end = start + 1;
            while *bytes.get(end)? != quote {
                if bytes[end] == b'\n' && quote != b'`' || end - start > LIMIT_BYTES {
                    return None;
                }
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            let span = start + 1..end;
            Some((unescape(script.get(span.clone())?), span))
        }
        b'0'..=b'9' | b'-' => {
            let len = script[start..].bytes().take_while(|b| b.is_ascii_digit() || *b == b'-' || *b == b'.').count();
            Some((script[start..start + len].to_owned(), start..start + len))
        }
        _ => None,
    }
}

/// Undoes JavaScript's string escapes; unknown ones stand for their character.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let hex = rest.strip_prefix("\\x").and_then(|r| u8::from_str_radix(r.get(..2)?, 16).ok());
        if let Some(byte) = hex {
            out.push(char::from(byte));
            rest = &rest[4..];
        } else if let Some((c, used)) = crate::wire::text::json_escape(rest) {
            out.push(c);
            rest = &rest[used..];
        } else {
            let c = rest[1..].chars().next();
            out.extend(c);
            rest = &rest[1 + c.map_or(0, char::len_utf8)..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_found() {
        let script = r#"RLCONF={"wgArticleId":5,"csrfToken":"ab\u002B\\"};var a = 'x\x2fy'; b==3; f({nonce: "n"}); w["k"] = `z`; u="#;
        let found: Vec<(String, String)> = script_values(script).map(|v| (v.key, v.value)).collect();
        let expected = [("wgArticleId", "5"), ("csrfToken", "ab+\\"), ("a", "x/y"), ("nonce", "n"), ("k", "z")];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn mutilated_scripts_do_not_panic() {
        let script = r#"a:"\u12", é='é\x', 'k:"v\"#;
        for cut in 0..script.len() {
            if script.is_char_boundary(cut) {
                let _ = script_values(&script[..cut]).count();
                let _ = script_values(&script[cut..]).count();
            }
        }
    }
}
