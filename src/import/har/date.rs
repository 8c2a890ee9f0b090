//! The dates that writers of HAR put: ISO 8601 in many shapes, and numbers.
//!
//! Main function: [`parse`].

use crate::observe::streams::UnixNanos;

const SECOND: i128 = 1_000_000_000;

/// Nanoseconds since the Unix epoch of `2009-07-24T19:20:30.45+01:00` and its kin: any number of digits behind the second
/// (also after a comma), a space for the `T`, without dashes or colons, without seconds, zone as `Z`, `+hh:mm`, `+hhmm`,
/// `+hh` or none (UTC). A plain number is an epoch in seconds, milliseconds, microseconds or nanoseconds, whichever lies
/// in our age. `None` for anything else and for times before 1970.
pub(super) fn parse(text: &str) -> Option<UnixNanos> {
    let text = text.trim();
    if let Some(at) = number(text) {
        return Some(at);
    }
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    take(&mut rest, b"-");
    let month = digits(&mut rest, 2)?;
    take(&mut rest, b"-");
    let day = digits(&mut rest, 2)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut nanos = i128::from(days_from_civil(year, month, day)) * 86_400 * SECOND;
    if take(&mut rest, b"Tt ") {
        nanos += time_of_day(&mut rest)?;
    }
    while take(&mut rest, b" ") {}
    nanos -= offset(rest)?;
    UnixNanos::try_from(nanos).ok()
}

fn time_of_day(rest: &mut &[u8]) -> Option<i128> {
    let hour = digits(rest, 2)?;
    take(rest, b":");
    let minute = digits(rest, 2)?;
    let mut second = 0;
    let mut fraction = 0;
    if take(rest, b":") || rest.first().is_some_and(u8::is_ascii_digit) {
        second = digits(rest, 2)?;
        if take(rest, b".,") {
            let mut unit = SECOND / 10;
            while let Some(digit) = rest.first().filter(|b| b.is_ascii_digit()) {
                fraction += i128::from(digit - b'0') * unit;
                unit /= 10;
                *rest = &rest[1..];
            }
        }
    }
    if hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    Some(i128::from(hour * 3600 + minute * 60 + second) * SECOND + fraction)
}

/// What the zone adds to UTC.
fn offset(mut rest: &[u8]) -> Option<i128> {
    let sign = match rest.first() {
        None => return Some(0),
        Some(b'Z' | b'z') if rest.len() == 1 => return Some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return (rest == b"UTC" || rest == b"GMT").then_some(0),
    };
    rest = &rest[1..];
    let hours = digits(&mut rest, 2)?;
    take(&mut rest, b":");
    let minutes = if rest.is_empty() { 0 } else { digits(&mut rest, 2)? };
    rest.is_empty().then_some(sign * i128::from(hours * 3600 + minutes * 60) * SECOND)
}

/// An epoch in the unit that puts it after 1973 and before 2286 (seconds), or what a larger unit makes of it.
pub(super) fn number(text: &str) -> Option<UnixNanos> {
    if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        return None; // 20090724
    }
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 1e8)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let unit: u64 = match value {
        value if value < 1e10 => 1_000_000_000,
        value if value < 1e13 => 1_000_000,
        value if value < 1e16 => 1_000,
        _ => 1,
    };
    match whole.parse::<u64>() {
        Ok(whole) => {
            let part: f64 = format!("0.{fraction}").parse().unwrap_or(0.0);
            whole.checked_mul(unit)?.checked_add((part * unit as f64).round() as u64)
        }
        Err(_) => Some((value * unit as f64) as u64),
    }
}

/// Days from 1970-01-01 in the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `Mon, 23 Nov 2026 18:17:26 GMT`, as `Set-Cookie` has it (RFC 9110 §5.6.7).
pub(super) fn http_date(at: UnixNanos) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = at / 1_000_000_000;
    let days = seconds / 86_400;
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[usize::try_from(days % 7).unwrap_or(0)],
        MONTHS[usize::try_from(month).unwrap_or(0)],
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    )
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let text = rest.get(..count).filter(|text| text.iter().all(u8::is_ascii_digit))?;
    *rest = &rest[count..];
    Some(text.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

fn take(rest: &mut &[u8], any: &[u8]) -> bool {
    let found = rest.first().is_some_and(|byte| any.contains(byte));
    *rest = &rest[usize::from(found)..];
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_all_writers_are_read() {
        let at = 1_697_310_452_789_000_000;
        for text in [
            "2023-10-14T19:07:32.789Z",
            "2023-10-14T21:07:32.789+02:00",
            "2023-10-14T21:07:32.789+0200",
            "2023-10-14T21:07:32,789+02",
            "2023-10-14T11:37:32.789-07:30",
            "2023-10-14 19:07:32.789",
            " 2023-10-14T19:07:32.789000000z ",
            "20231014T190732.789Z",
            "2023-10-14 19:07:32.789 UTC",
            "1697310452789",
            "1697310452.789",
            "1697310452789000",
            "1697310452789000000",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
        assert_eq!(parse("2000-02-29T00:00Z"), Some(951_782_400_000_000_000));
        assert_eq!(parse("2023-10-14T19:07:32.1234567891Z").unwrap() % 1_000_000_000, 123_456_789);
        assert_eq!(parse("1970-01-01"), Some(0));
        for bad in
            ["", "yesterday", "2023-13-01T00:00:00Z", "2023-10-14T25:00:00Z", "1969-12-31T23:59:59Z", "-5", "12", "NaN"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn http_dates_are_written_as_servers_do() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(951_782_400_000_000_000), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(http_date(parse("2026-11-23T18:17:26Z").unwrap()), "Mon, 23 Nov 2026 18:17:26 GMT");
    }

    #[test]
    fn mutated_dates_never_panic() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..3000_usize {
            let mut text = b"2023-10-14T21:07:32.789+02:00".to_vec();
            for _ in 0..=round % 4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = usize::try_from(seed >> 33).unwrap() % text.len();
                text[at] = b"0123456789-+:TZ. "[usize::try_from(seed >> 40).unwrap() % 17];
            }
            let _ = parse(std::str::from_utf8(&text).unwrap());
        }
    }
}
