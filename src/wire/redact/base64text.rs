//! Base64 inside a text, when it holds text itself.

use std::ops::Range;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

/// Shortest and longest run that is decoded, in characters.
const SHORTEST: usize = 12;
const LONGEST: usize = 8 * 1024;

const LOOSE: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LOOSE);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LOOSE);

/// A text that was found in base64.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) text: Vec<u8>,
    url_safe: bool,
    /// Of the base64, with its padding.
    length: usize,
}

impl Inner {
    /// This text, as long as the one found, in the same alphabet and with as much padding.
    pub(super) fn written_as(&self, text: &[u8]) -> Vec<u8> {
        let mut written = if self.url_safe { URL_SAFE.encode(text) } else { STANDARD.encode(text) }.into_bytes();
        written.resize(self.length, b'=');
        written
    }
}

/// The text that all of this is the base64 of.
pub(super) fn decode(coded: &[u8]) -> Option<Inner> {
    let padding = coded.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let bare = &coded[..coded.len() - padding];
    let url_safe = bare.iter().any(|byte| b"-_".contains(byte));
    let text = if url_safe { URL_SAFE.decode(bare) } else { STANDARD.decode(bare) }.ok()?;
    is_text(&text).then_some(Inner { text, url_safe, length: coded.len() })
}

/// All base64 in a text that decodes to text.
pub(super) fn find(text: &[u8]) -> Vec<(Range<usize>, Inner)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let is_coded = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(*byte);
        let length = text[at..].iter().take_while(is_coded).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let padding = text[at + length..].iter().take(2).take_while(|byte| **byte == b'=').count();
        run(text, at..at + length + padding, &mut found);
        at += length + padding;
    }
    found
}

fn run(text: &[u8], run: Range<usize>, found: &mut Vec<(Range<usize>, Inner)>) {
    if !(SHORTEST..=LONGEST).contains(&run.len()) {
        return;
    }
    if let Some(inner) = decode(&text[run.clone()]) {
        return found.push((run, inner));
    }
    // A path: one of its segments may be it.
    let mut start = run.start;
    for segment in text[run].split(|byte| *byte == b'/') {
        let range = start..start + segment.len();
        start = range.end + 1;
        if segment.len() >= SHORTEST
            && let Some(inner) = decode(segment)
        {
            found.push((range, inner));
        }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.len() >= SHORTEST / 2
        && std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(|c| c.is_control() && !c.is_whitespace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_base64_is_found_in_paths_and_values_and_random_bytes_are_not() {
        for (text, found) in [
            ("Basic dXNlcjpwYXNzd29yZA==;", Some("user:password")),
            ("/api/v1/eyJhIjoieMO8eXoifQ/x", Some("{\"a\":\"xüyz\"}")),
            ("x=3q2+7wABAgMEBQYHCAk=", None),
            ("just-some-long-path/with/segments", None),
        ] {
            let all = find(text.as_bytes());
            assert_eq!(
                all.first().map(|(_, inner)| String::from_utf8_lossy(&inner.text).into_owned()).as_deref(),
                found
            );
            for (range, inner) in all {
                assert_eq!(inner.written_as(&inner.text), text[range].as_bytes());
            }
        }
    }
}
