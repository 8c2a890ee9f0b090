//! Wall-clock time as HAR writes it, and the dates of cookies.

/// `2026-11-23T18:17:26.500Z`, with microseconds when there are some.
pub(super) fn iso(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let micros = unix_ns / 1_000 % 1_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let fraction = if micros.is_multiple_of(1000) { format!("{:03}", micros / 1000) } else { format!("{micros:06}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}Z")
}

/// Year, month and day of a number of days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The date of an `Expires` attribute (`Mon, 23 Nov 2026 18:17:26 GMT`, also with dashes and two digits of the year) as
/// HAR writes it.
pub(super) fn iso_of_http_date(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let tail = text.split_once(',').map_or(text, |(_, tail)| tail);
    let mut words = tail.split([' ', '-']).filter(|word| !word.is_empty());
    let day: u8 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = words.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| month.starts_with(name))? + 1;
    let year: u16 = words.next()?.parse().ok()?;
    let year = match year {
        0..=69 => year + 2000,
        70..=99 => year + 1900,
        year => year,
    };
    let mut time = words.next()?.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let plausible = hour < 24 && minute < 60 && second < 60 && year < 10_000;
    plausible.then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_the_digits_they_need() {
        for (unix_ns, written) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
            (1_795_457_846_500_000_000, "2026-11-23T18:17:26.500Z"),
            (1_795_457_846_500_001_999, "2026-11-23T18:17:26.500001Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551Z"),
        ] {
            assert_eq!(iso(unix_ns), written);
        }
    }

    #[test]
    fn cookie_dates_become_iso() {
        for text in ["Mon, 23 Nov 2026 18:17:26 GMT", "Monday, 23-Nov-26 18:17:26 GMT", "23 nov 2026 18:17:26"] {
            assert_eq!(iso_of_http_date(text).as_deref(), Some("2026-11-23T18:17:26.000Z"), "{text}");
        }
        for bad in ["", "soon", "Mon, 99 Nov 2026 18:17:26 GMT", "Mon, 23 Nov 2026 99:17:26 GMT", "Mon, 23 Nov 2026"] {
            assert_eq!(iso_of_http_date(bad), None, "{bad}");
        }
    }
}
