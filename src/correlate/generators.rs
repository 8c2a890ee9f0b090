//! Values that the client made: recognised by their form and their name, made anew by the replay.

use crate::rules::GeneratorKind;

/// Names of fields that carry clocks.
const CLOCK_NAMES: &[&str] =
    &["_", "t", "ts", "time", "timestamp", "nocache", "_nocache", "cb", "cachebuster", "now", "date", "rnd", "rand"];

/// What generator makes values like this one in a field of this name.
pub(super) fn recognise(name: &str, value: &str) -> Option<GeneratorKind> {
    if is_uuid4(value) {
        return Some(GeneratorKind::Uuid4);
    }
    if is_iso_millis(value) {
        return Some(GeneratorKind::IsoMillis);
    }
    let lower = name.to_ascii_lowercase();
    let clock = CLOCK_NAMES.contains(&lower.as_str()) || lower.ends_with("timestamp") || lower.ends_with("_ts");
    if !clock || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // 2001-09-09 to 2100-01-01.
    match (value.len(), value.parse::<u64>()) {
        (10, Ok(1_000_000_000..=4_102_444_800)) => Some(GeneratorKind::UnixSeconds),
        (13, Ok(1_000_000_000_000..=4_102_444_800_000)) => Some(GeneratorKind::UnixMillis),
        _ => None,
    }
}

fn is_uuid4(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() == 36
        && bytes[14] == b'4'
        && matches!(bytes[19], b'8' | b'9' | b'a' | b'b')
        && bytes.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(b),
        })
}

/// `2026-11-24T01:30:27.123Z`, what JavaScript's `toISOString` writes.
fn is_iso_millis(value: &str) -> bool {
    let shape: String = value.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_uuids_are_recognised() {
        for (name, value, kind) in [
            ("_", "1695400000123", Some(GeneratorKind::UnixMillis)),
            ("ts", "1695400000", Some(GeneratorKind::UnixSeconds)),
            ("id", "1695400000123", None),
            ("x", "9b2f3c1e-0a1b-4c2d-8e3f-123456789abc", Some(GeneratorKind::Uuid4)),
            ("x", "9b2f3c1e-0a1b-1c2d-8e3f-123456789abc", None),
            ("_", "0000000000", None),
            ("at", "2026-11-24T01:30:27.123Z", Some(GeneratorKind::IsoMillis)),
            ("at", "2026-11-24", None),
        ] {
            assert_eq!(recognise(name, value), kind, "{name}={value}");
        }
    }
}
