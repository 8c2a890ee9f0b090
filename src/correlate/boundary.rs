//! The last resort for a value that no structure holds: the text to its left and right.

use crate::rules::Lens;

/// Longest and shortest left context, in characters.
const LEFT: std::ops::RangeInclusive<usize> = 6..=60;

/// A lens that takes `value` out of `text` by its surroundings; `None` when it is not there or nothing around it is
/// stable enough. `vary` says which runs of letters and digits change from user to user.
pub(super) fn between(text: &str, value: &str, vary: &dyn Fn(&str) -> bool) -> Option<Lens> {
    text.match_indices(value).take(20).find_map(|(at, _)| around(text, at, value, vary))
}

fn around(text: &str, at: usize, value: &str, vary: &dyn Fn(&str) -> bool) -> Option<Lens> {
    let before = &text[..at];
    let after = &text[at + value.len()..];
    let right: String = after.chars().take_while(|c| !c.is_alphanumeric()).take(3).collect();
    let right = if right.is_empty() { return None } else { right };
    if value.contains(&right) {
        return None;
    }
    // Up to the last thing that varies.
    let mut usable = String::new();
    let mut run = String::new();
    for c in before.chars().rev().take(*LEFT.end()) {
        if c == '\n' && usable.chars().count() >= *LEFT.start() {
            break;
        }
        if c.is_alphanumeric() {
            run.insert(0, c);
            continue;
        }
        if vary(&run) {
            run.clear();
            break;
        }
        usable.insert_str(0, &run);
        run.clear();
        usable.insert(0, c);
    }
    if !vary(&run) && usable.chars().count() + run.chars().count() <= *LEFT.end() {
        usable.insert_str(0, &run);
    }
    let length = usable.chars().count();
    (*LEFT.start()..=length)
        .map(|keep| usable.chars().skip(length - keep).collect::<String>())
        .find(|left| text.find(left.as_str()).is_some_and(|first| first + left.len() == at))
        .map(|left| Lens::Between(left, right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_short_stable_and_selects_the_value() {
        let vary = |run: &str| run.bytes().any(|b| b.is_ascii_digit());
        let text = "x user 17 said token is <abc1> and token for 9 is <def2>";
        let lens = between(text, "abc1", &vary).unwrap();
        assert_eq!(lens.apply(&crate::rules::Text::new(text)).as_deref(), Some("abc1"));
        assert_eq!(between(text, "nothing", &vary), None);
        let Lens::Between(left, _) = lens else { panic!() };
        assert!(!left.contains("17"), "{left}");
    }
}
