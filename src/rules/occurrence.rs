//! Where a known value stands inside a text, in any of the spellings that applications give it.

use std::ops::Range;

use crate::wire::text::Encoding;

/// A place where a value stands, and how it is spelled there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Where in the text.
    pub range: Range<usize>,
    /// Spelling, innermost first; empty when it stands as it is.
    pub spelling: Vec<Encoding>,
}

/// Spellings tried, plainest first.
const SPELLINGS: &[&[Encoding]] = &[
    &[],
    &[Encoding::Lower],
    &[Encoding::Upper],
    &[Encoding::Capital],
    &[Encoding::Underscore],
    &[Encoding::Hyphen],
    &[Encoding::Lower, Encoding::Hyphen],
    &[Encoding::Lower, Encoding::Underscore],
    &[Encoding::Capital, Encoding::Underscore],
    &[Encoding::UrlQuery],
    &[Encoding::UrlForm],
];

/// All places of `value` in `text`, not overlapping, from left to right. A value must stand by itself (no letter or digit
/// on either side) unless it is so unlikely that it cannot stand there by chance.
pub fn occurrences(text: &str, value: &str) -> Vec<Occurrence> {
    let mut found: Vec<Occurrence> = Vec::new();
    if value.is_empty() || value.len() > text.len().saturating_mul(3) {
        return found;
    }
    let mut tried: Vec<String> = Vec::new();
    for spelling in SPELLINGS {
        let spelled = Encoding::encode_all(spelling, value);
        if spelled.is_empty() || tried.contains(&spelled) {
            continue;
        }
        for (start, _) in text.match_indices(&spelled) {
            let range = start..start + spelled.len();
            let free = found.iter().all(|o| o.range.end <= range.start || range.end <= o.range.start);
            if free && (stands_alone(text, &range) || is_unlikely(&spelled)) {
                found.push(Occurrence { range, spelling: spelling.to_vec() });
            }
        }
        tried.push(spelled);
    }
    found.sort_by_key(|o| o.range.start);
    found
}

fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let before = text[..range.start].chars().next_back();
    let after = text[range.end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// Long enough, with letters and digits mixed, that no chance put it there.
fn is_unlikely(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    value.len() >= 6 && digits > 0 && digits < value.len() || value.len() >= 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_their_spellings() {
        for (text, value, expected) in [
            ("Note by user01 r12", "user01", vec![(8..14, vec![])]),
            ("User:User01", "user01", vec![(5..11, vec![Encoding::Capital])]),
            ("note-by-ann-lee", "Ann Lee", vec![(8..15, vec![Encoding::Lower, Encoding::Hyphen])]),
            ("banana", "ana", vec![]),
            ("12 112 12", "12", vec![(0..2, vec![]), (7..9, vec![])]),
            ("xr1a2b3cy", "r1a2b3c", vec![(1..8, vec![])]),
            ("", "a", vec![]),
        ] {
            let found: Vec<_> = occurrences(text, value).into_iter().map(|o| (o.range, o.spelling)).collect();
            assert_eq!(found, expected, "{value} in {text}");
        }
    }
}
