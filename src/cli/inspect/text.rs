//! Captured text made safe for a terminal, and numbers made readable.

use std::fmt::Write;

use crate::model::Nanos;

/// Whether line ends and tabs stay what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Lines {
    /// They stay: a body.
    Keep,
    /// They are escaped like every control character: a header, a URL.
    Escape,
}

/// Foreign bytes as text: control characters, direction marks and bytes that are not UTF-8 become `\x..` or `\u{..}`.
pub(in crate::cli) fn visible(bytes: &[u8], lines: Lines) -> String {
    let mut text = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        let mut rest = part.valid().chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\n' | '\t' if lines == Lines::Keep => text.push(c),
                '\r' if lines == Lines::Keep && rest.peek() == Some(&'\n') => {}
                c if u32::from(c) < 0x20 || c == '\x7f' => push(&mut text, format_args!("\\x{:02x}", u32::from(c))),
                c if c.is_control() || misleads(c) => push(&mut text, format_args!("\\u{{{:x}}}", u32::from(c))),
                c => text.push(c),
            }
        }
        for byte in part.invalid() {
            push(&mut text, format_args!("\\x{byte:02x}"));
        }
    }
    text
}

/// Characters that reorder or hide others.
fn misleads(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn push(text: &mut String, escaped: std::fmt::Arguments<'_>) {
    text.write_fmt(escaped).expect("a String takes everything");
}

/// `text` cut to `limit` characters, with an ellipsis when something was cut.
pub(in crate::cli) fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Bytes for people, such as `12.3 kB`.
pub(in crate::cli) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1_000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1_000.0;
    }
    format!("{value:.1} TB")
}

/// `1 session`, `2 sessions`.
pub(in crate::cli) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Milliseconds with microseconds behind the point.
pub(in crate::cli) fn millis(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1_000_000, nanos / 1_000 % 1_000)
}

/// Seconds with milliseconds behind the point.
pub(in crate::cli) fn seconds(span: Nanos) -> String {
    format!("{}.{:03}", span.0 / 1_000_000_000, span.0 / 1_000_000 % 1_000)
}

/// Numbers as ranges: `1-3, 7`, at most `limit` of them.
pub(in crate::cli) fn ranges(sorted: &[u64], limit: usize) -> String {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for &number in sorted {
        match found.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = number,
            _ => found.push((number, number)),
        }
    }
    let named = found.iter().take(limit);
    let mut text: Vec<String> =
        named.map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") }).collect();
    if found.len() > limit {
        text.push("…".to_owned());
    }
    text.join(", ")
}

/// An instant in UTC, such as `2026-09-21T14:13:20Z`.
pub(in crate::cli) fn utc(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days, for days after 1970.
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_captured_can_steer_a_terminal() {
        for (bytes, lines, shown) in [
            (b"\x1b[31mred\x07".as_slice(), Lines::Escape, "\\x1b[31mred\\x07"),
            (b"a\r\nb\tc\rd", Lines::Keep, "a\nb\tc\\x0dd"),
            (b"a\r\nb", Lines::Escape, "a\\x0d\\x0ab"),
            (b"\xc2\x9b1m \xff \xc3\xa4", Lines::Keep, "\\u{9b}1m \\xff ä"),
            ("a\u{202e}b\u{2066}".as_bytes(), Lines::Keep, "a\\u{202e}b\\u{2066}"),
        ] {
            assert_eq!(visible(bytes, lines), shown);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_790_000_000, "2026-09-21T14:13:20Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds * 1_000_000_000), text);
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10], 9), "1-3, 7, 9-10");
        assert_eq!(ranges(&[1, 3, 5], 2), "1, 3, …");
        assert_eq!([size(0), size(999), size(1_500), size(u64::MAX)], ["0 B", "999 B", "1.5 kB", "18446744.1 TB"]);
        assert_eq!(millis(1_234_567), "1.234");
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äö", 2), "äö");
    }
}
