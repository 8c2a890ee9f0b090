//! Patterns of hosts, paths and types in which `*` stands for anything.

/// Whether each `*` in the pattern can stand for something that makes it the text. At most pattern × text steps.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    fits(pattern, text, None)
}

/// The same, where `?` stands for any one byte.
pub fn matches_with_one(pattern: &[u8], text: &[u8]) -> bool {
    fits(pattern, text, Some(b'?'))
}

fn fits(pattern: &[u8], text: &[u8], one: Option<u8>) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|&own| own == text[t] || Some(own) == one) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c*", "abcbc", true),
            ("*bc", "abcbc", true),
            ("a*d", "abc", false),
            ("", "a", false),
            ("**a", "a", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} on {text}");
        }
    }
}
