//! How unlikely it is that a value stands in two places by chance.

/// Classes of values, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// Words, flags, free text: never dynamic by their look.
    Inert,
    /// Short numbers and codes, words with numbers: equal by chance all the time.
    Weak,
    /// Longer numbers, short mixed codes.
    Medium,
    /// Tokens, hashes, UUIDs: equal only for a reason.
    Strong,
}

/// The class of a value.
pub(super) fn strength(value: &str) -> Strength {
    let len = value.chars().count();
    if len == 0 || len > 64 * 1024 || value.contains(char::is_whitespace) && !looks_like_time(value) {
        return Strength::Inert;
    }
    let count = |test: fn(&char) -> bool| value.chars().filter(test).count();
    let digits = count(char::is_ascii_digit);
    let lower = count(char::is_ascii_lowercase);
    let upper = count(char::is_ascii_uppercase);
    if digits == len {
        return match len {
            1..=4 => Strength::Weak,
            5..=9 => Strength::Medium,
            _ => Strength::Strong,
        };
    }
    if looks_like_time(value) {
        return Strength::Strong;
    }
    if has_scrambled_piece(value) {
        return if len >= 12 { Strength::Strong } else { Strength::Medium };
    }
    if digits == 0 {
        return Strength::Inert;
    }
    let letters = lower + upper;
    let others = len - digits - letters;
    if is_wordy(value) {
        return Strength::Weak;
    }
    match (len, letters) {
        (16.., _) if digits >= 2 && others * 3 <= len => Strength::Strong,
        (10.., 1..) if digits >= 2 && others * 4 <= len => Strength::Strong,
        (5.., 1..) if digits >= 2 => Strength::Medium,
        (1.., 0) => Strength::Weak,
        _ => Strength::Inert,
    }
}

/// Dates and times with at least eight digits: `2026-11-23T18:18:52`, `Mon, 23 Nov 2026 18:18:52 GMT`.
fn looks_like_time(value: &str) -> bool {
    let digits = value.chars().filter(char::is_ascii_digit).count();
    digits >= 8 && value.len() <= 40 && value.matches(':').count() >= 2
}

/// Words joined by separators, with a number here or there: `note-by-user01`, `utf-8`, `jquery-3.6.0.min`, `text/x-wiki`.
fn is_wordy(value: &str) -> bool {
    let pieces: Vec<&str> = value.split(|c: char| !c.is_alphanumeric()).filter(|p| !p.is_empty()).collect();
    let wordy = |piece: &str| {
        let stem = piece.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_word = stem.len() >= 2
            && stem.chars().all(char::is_alphabetic)
            && piece.len() - stem.len() <= 2
            && !is_scrambled(stem);
        let is_short_number = piece.len() <= 2 && stem.is_empty();
        let is_letter = piece.len() == 1;
        is_word || is_short_number || is_letter
    };
    let words = pieces.iter().filter(|p| p.chars().any(char::is_alphabetic)).count();
    words > 0 && pieces.into_iter().all(wordy)
}

/// Whether a piece of six letters and digits or more mixes upper and lower case as no word does.
fn has_scrambled_piece(value: &str) -> bool {
    value.split(|c: char| !c.is_ascii_alphanumeric()).any(|piece| {
        let lower = piece.chars().any(|c| c.is_ascii_lowercase());
        let upper = piece.chars().any(|c| c.is_ascii_uppercase());
        piece.len() >= 6 && lower && upper && !is_camel_case(piece)
    })
}

/// Words of two letters that names are made of.
const SHORT_WORDS: &[&str] = &[
    "As", "At", "By", "Db", "Do", "Go", "Id", "If", "In", "Ip", "Is", "Js", "My", "No", "Of", "On", "Or", "Os", "To",
    "Ui", "Up", "We", "Wp",
];

/// Words run together, as in `getElementById`, `XMLHttpRequest`, `iPhone`: behind capitals stand two small letters at least,
/// or the pair is a word; digits stand at the end.
fn is_camel_case(piece: &str) -> bool {
    let stem = piece.trim_end_matches(|c: char| c.is_ascii_digit());
    let starts: Vec<usize> = stem.char_indices().filter(|(_, c)| c.is_ascii_uppercase()).map(|(at, _)| at).collect();
    stem.chars().all(char::is_alphabetic)
        && starts.iter().enumerate().all(|(n, at)| {
            let word = &stem[*at..starts.get(n + 1).copied().unwrap_or(stem.len())];
            word.len() != 2 || SHORT_WORDS.contains(&word)
        })
}

/// Letters that no language would put in a row: case changes in the middle, or hardly a vowel.
fn is_scrambled(value: &str) -> bool {
    let letters: Vec<char> = value.chars().filter(|c| c.is_ascii_alphabetic()).collect();
    let changes = letters.windows(2).filter(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase()).count();
    let vowels = letters.iter().filter(|c| "aeiouyAEIOUY".contains(**c)).count();
    letters.len() >= 8 && (changes * 4 >= letters.len() || vowels * 8 <= letters.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_classed_by_how_unlikely_they_are() {
        for (value, class) in [
            ("", Strength::Inert),
            ("publish", Strength::Inert),
            ("text/x-wiki", Strength::Inert),
            ("utf-8", Strength::Weak),
            ("Log in", Strength::Inert),
            ("note-by-user01-abc", Strength::Weak),
            ("/issues/13?issue_count=13", Strength::Weak),
            ("getElementById", Strength::Inert),
            ("XMLHttpRequest", Strength::Inert),
            ("Note-by-Ann", Strength::Inert),
            ("SekmMcxVbt-OPs3YxbSuRQ", Strength::Strong),
            ("atNjIOMaoes-oYHqsuWtQ", Strength::Strong),
            ("eROrYkCl", Strength::Medium),
            ("3", Strength::Weak),
            ("4217", Strength::Weak),
            ("0.9", Strength::Weak),
            ("42170", Strength::Medium),
            ("a1b2c", Strength::Medium),
            ("1695400000123", Strength::Strong),
            ("9b2f3c1e-0000-4000-8000-123456789abc", Strength::Strong),
            ("xtg5SC0XGGCd5yXx6WIyHMuze3UIzrimYQVL4jixhhvwTynApVZlgUj2MvTer7AQ", Strength::Strong),
            ("8ad6a79698fe7c93dd0a7429f17ccd096b048361+\\", Strength::Strong),
            ("2026-11-23T18:18:52.731876+00:00", Strength::Strong),
            ("Mon, 23 Nov 2026 18:18:52 GMT", Strength::Strong),
            ("xQzRtLpwKvBnMs", Strength::Strong),
            ("12.f3a9c0d1e2", Strength::Strong),
            ("fa05bde341", Strength::Strong),
        ] {
            assert_eq!(strength(value), class, "{value}");
        }
    }
}
