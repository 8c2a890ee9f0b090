//! Values that are known by their look: e-mail addresses, JSON Web Tokens, keys of services, card numbers, IBANs, telephone
//! numbers.

use std::ops::Range;

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// `local@domain`
    Email,
    /// Three base64url parts, the first of which is a JSON object (RFC 7519).
    Jwt,
    /// A card number with a known prefix and a right check digit (ISO/IEC 7812).
    Card,
    /// An account number with right check digits (ISO 13616).
    Iban,
    /// A telephone number in international form, with its `+`.
    Phone,
    /// A key of a service whose keys begin in a way of their own, such as `ghp_`.
    Key,
    /// A United States social security number, `123-45-6789`. Only when asked for: other numbers look like it.
    NationalId,
}

/// How keys of services begin, and the fewest characters that follow.
const KEYS: &[(&[u8], usize)] = &[
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"AIza", 35),
    (b"ghp_", 30),
    (b"gho_", 30),
    (b"ghs_", 30),
    (b"ghu_", 30),
    (b"github_pat_", 22),
    (b"glpat-", 20),
    (b"xoxb-", 20),
    (b"xoxp-", 20),
    (b"xoxa-", 20),
    (b"xoxs-", 20),
    (b"sk_live_", 16),
    (b"sk_test_", 16),
    (b"rk_live_", 16),
    (b"whsec_", 16),
    (b"sk-ant-", 20),
    (b"sk-proj-", 20),
    (b"npm_", 30),
    (b"dop_v1_", 40),
    (b"hvs.", 20),
    (b"ya29.", 20),
];

/// Longest local part and domain of an e-mail address (RFC 5321).
const LOCAL_BYTES: usize = 64;
const DOMAIN_BYTES: usize = 253;
/// How far back a URL's `//` is looked for.
const AUTHORITY_BYTES: usize = 200;
/// Endings of file names that look like domains behind an `@`, as in `logo@2x.png`.
const FILES: &[&[u8]] = &[b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js", b"json", b"html", b"mjs"];

/// All of them in a text, in order, without overlaps.
pub(super) fn find(text: &[u8], national_ids: bool) -> Vec<(Range<usize>, Shape)> {
    let mut found: Vec<(Range<usize>, Shape)> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        let starts = at == 0 || !is_word(text[at - 1]);
        let hit = match byte {
            b'@' => email(text, at).map(|range| (range, Shape::Email)),
            b'e' if starts && text[at..].starts_with(b"eyJ") => jwt(text, at).map(|end| (at..end, Shape::Jwt)),
            b'A' | b'g' | b'x' | b's' | b'r' | b'w' | b'n' | b'd' | b'h' | b'y'
                if starts && key(text, at).is_some() =>
            {
                key(text, at).map(|end| (at..end, Shape::Key))
            }
            b'0'..=b'9' if starts => number(text, at, national_ids),
            b'A'..=b'Z' if starts => iban(text, at).map(|end| (at..end, Shape::Iban)),
            b'+' => phone(text, at).map(|end| (at..end, Shape::Phone)),
            _ => None,
        };
        match hit {
            Some((range, shape)) => {
                found.retain(|(before, _)| before.end <= range.start);
                at = range.end.max(at + 1);
                found.push((range, shape));
            }
            None => at += 1,
        }
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn email(text: &[u8], at: usize) -> Option<Range<usize>> {
    let is_local = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-".contains(byte) || *byte >= 0x80;
    let local = text[..at].iter().rev().take(LOCAL_BYTES + 1).take_while(|byte| is_local(byte)).count();
    let is_domain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    let mut domain = text[at + 1..].iter().take(DOMAIN_BYTES + 1).take_while(|byte| is_domain(byte)).count();
    while domain > 0 && !text[at + domain].is_ascii_alphanumeric() {
        domain -= 1;
    }
    let mut start = at - local;
    while start < at && !(text[start].is_ascii_alphanumeric() || text[start] >= 0x80) {
        start += 1;
    }
    let name = &text[at + 1..=at + domain];
    let top = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let right = start < at
        && local <= LOCAL_BYTES
        && domain <= DOMAIN_BYTES
        && top.len() >= 2
        && top.len() < name.len()
        && top.iter().all(u8::is_ascii_alphabetic)
        && !name.windows(2).any(|pair| pair == b"..")
        && name[0].is_ascii_alphanumeric()
        && !FILES.contains(&top.to_ascii_lowercase().as_slice());
    (right && !is_user_of_url(text, start)).then_some(start..at + 1 + domain)
}

/// Whether what ends here stands between `//` and the host of a URL.
fn is_user_of_url(text: &[u8], at: usize) -> bool {
    let before = &text[at.saturating_sub(AUTHORITY_BYTES)..at];
    let inside = before.iter().rev().take_while(|byte| byte.is_ascii_graphic() && !b"/?#\"'<>@".contains(byte)).count();
    before[..before.len() - inside].ends_with(b"//")
}

fn jwt(text: &[u8], at: usize) -> Option<usize> {
    let rest = &text[at..];
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let part = |from: usize| rest.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| is_part(byte)).count());
    let header = part(0);
    let claims = (rest.get(header) == Some(&b'.')).then(|| part(header + 1))?;
    let dot = header + 1 + claims;
    let signature = (rest.get(dot) == Some(&b'.')).then(|| part(dot + 1))?;
    (header >= 10 && claims >= 2).then_some(at + dot + 1 + signature)
}

/// The length of what a key begins with.
pub(super) fn key_start(key: &[u8]) -> usize {
    KEYS.iter().find(|(start, _)| key.starts_with(start)).map_or(0, |(start, _)| start.len())
}

fn key(text: &[u8], at: usize) -> Option<usize> {
    let (start, least) = KEYS.iter().find(|(start, _)| text[at..].starts_with(start))?;
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_".contains(*byte);
    let length = text[at + start.len()..].iter().take_while(is_part).count();
    (length >= *least).then_some(at + start.len() + length)
}

/// Ends of a run of digits that single spaces or dashes may part, with the digits.
fn digits(text: &[u8], at: usize, most: usize) -> (Vec<usize>, usize) {
    let mut places = Vec::new();
    let mut here = at;
    let mut end = at;
    while let Some(byte) = text.get(here) {
        match byte {
            b'0'..=b'9' if places.len() <= most => {
                places.push(here);
                end = here + 1;
            }
            b' ' | b'-' if here > at && text[here - 1].is_ascii_digit() => {}
            _ => break,
        }
        here += 1;
    }
    (places, end)
}

fn number(text: &[u8], at: usize, national_ids: bool) -> Option<(Range<usize>, Shape)> {
    if at > 0 && b".-+".contains(&text[at - 1]) {
        return None;
    }
    let (places, end) = digits(text, at, 19);
    let ends = |end: usize| !text.get(end).is_some_and(|next| is_word(*next));
    if (13..=19).contains(&places.len()) && ends(end) {
        let values: Vec<u8> = places.iter().map(|&place| text[place] - b'0').collect();
        if is_card(&values) {
            return Some((at..end, Shape::Card));
        }
    }
    let ssn = text.get(at..at + 11)?;
    let right = ssn.iter().enumerate().all(|(n, b)| if n == 3 || n == 6 { *b == b'-' } else { b.is_ascii_digit() });
    (national_ids && right && ends(at + 11) && text.get(at + 11) != Some(&b'-'))
        .then_some((at..at + 11, Shape::NationalId))
}

fn is_card(digits: &[u8]) -> bool {
    let prefix = |count: usize| digits[..count].iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit));
    let issued = match digits.len() {
        13 => prefix(1) == 4,
        14 => matches!(prefix(2), 36 | 38 | 39) || matches!(prefix(3), 300..=305),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            matches!(prefix(1), 4)
                || matches!(prefix(2), 35 | 51..=55 | 62 | 65)
                || matches!(prefix(4), 2221..=2720 | 6011)
                || matches!(prefix(3), 644..=649)
        }
        _ => matches!(prefix(1), 4) || matches!(prefix(2), 62 | 65) || matches!(prefix(4), 6011),
    };
    issued && luhn(digits) == 0
}

/// What the check sum of these digits lacks to the next ten, 0 when it is right.
pub(super) fn luhn(digits: &[u8]) -> u8 {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    u8::try_from((10 - sum % 10) % 10).unwrap_or(0)
}

fn iban(text: &[u8], at: usize) -> Option<usize> {
    let head = text.get(at..at + 4)?;
    if !(head[1].is_ascii_uppercase() && head[2].is_ascii_digit() && head[3].is_ascii_digit()) {
        return None;
    }
    let mut end = at;
    let mut count = 0;
    while let Some(byte) = text.get(end) {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' if count < 34 => count += 1,
            b' ' if count > 0 && count % 4 == 0 && text.get(end + 1).is_some_and(u8::is_ascii_alphanumeric) => {}
            _ => break,
        }
        end += 1;
    }
    let whole = (15..=34).contains(&count) && !text.get(end).is_some_and(|next| is_word(*next));
    (whole && iban_remainder(&text[at..end]) == 1).then_some(end)
}

/// The remainder by 97 of an account number whose first four places are put behind it; 1 when it is right.
pub(super) fn iban_remainder(iban: &[u8]) -> u32 {
    let (head, rest) = iban.split_at(iban.len().min(4));
    rest.iter().chain(head).fold(0, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        b'A'..=b'Z' => (sum * 100 + u32::from(byte - b'A') + 10) % 97,
        _ => sum,
    })
}

fn phone(text: &[u8], at: usize) -> Option<usize> {
    // Behind anything else it is a sum.
    let stands_alone = at == 0 || text[at - 1].is_ascii_whitespace() || b"\"'`:=>,;/|&".contains(&text[at - 1]);
    if !stands_alone || !matches!(text.get(at + 1), Some(b'1'..=b'9')) {
        return None;
    }
    let mut count = 0;
    let mut end = at + 1;
    let mut here = at + 1;
    while let Some(byte) = text.get(here) {
        match byte {
            b'0'..=b'9' => {
                count += 1;
                end = here + 1;
            }
            b' ' | b'-' | b'(' | b')' | b'.' | b'/' if here - end < 2 => {}
            _ => break,
        }
        here += 1;
    }
    ((9..=15).contains(&count) && !text.get(end).is_some_and(|next| is_word(*next))).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(&str, Shape)> {
        find(text.as_bytes(), true).into_iter().map(|(range, shape)| (&text[range], shape)).collect()
    }

    #[test]
    fn what_looks_like_personal_data_is_found_whole() {
        for (text, found, shape) in [
            ("<anna.b+c@mail.shop.example>", "anna.b+c@mail.shop.example", Shape::Email),
            ("mailto:x@y.org.", "x@y.org", Shape::Email),
            ("t=eyJhbGciOiJub25lIn0.e30.;", "eyJhbGciOiJub25lIn0.e30.", Shape::Jwt),
            ("no 4111 1111 1111 1111, thanks", "4111 1111 1111 1111", Shape::Card),
            ("\"378282246310005\"", "378282246310005", Shape::Card),
            ("to DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00", Shape::Iban),
            ("GB82WEST12345698765432;", "GB82WEST12345698765432", Shape::Iban),
            ("call +49 (170) 123-4567.", "+49 (170) 123-4567", Shape::Phone),
            ("key=AKIAIOSFODNN7EXAMPLE,", "AKIAIOSFODNN7EXAMPLE", Shape::Key),
            ("ghp_0123456789abcdefghij0123456789abcdef", "ghp_0123456789abcdefghij0123456789abcdef", Shape::Key),
            ("id 123-45-6789.", "123-45-6789", Shape::NationalId),
        ] {
            assert_eq!(all(text), [(found, shape)], "{text}");
        }
    }

    #[test]
    fn what_only_resembles_it_is_left() {
        for text in [
            "4111111111111112",
            "1732680000000",
            "x4111111111111111",
            "4111111111111111_",
            "logo@2x.png",
            "left-pad@1.2.3",
            "sk_live_short",
            "AKIAIOSFODNN7",
            "https://user:word@shop.test/",
            "@media",
            "a@b",
            "DE88370400440532013000",
            "1+4917012345678",
            "getTime()+63072000000)",
            "2024-01-02",
            "eyJhbGciOiJub25lIn0",
        ] {
            assert_eq!(all(text), [], "{text}");
        }
    }
}
