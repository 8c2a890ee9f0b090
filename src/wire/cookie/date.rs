//! Dates of cookies in whatever shape servers write them (RFC 6265bis §5.1.1).

/// Unix time in seconds; `None` when no date can be made out.
pub(in crate::wire) fn parse(text: &str) -> Option<i64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.as_bytes().split(|&b| is_delimiter(b)).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = time_of(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1..=2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2..=4)
        {
            year = Some(found);
        }
    }
    let (hour, minute, second) = time?;
    let (day, month) = (day?, month?);
    let year = match year? {
        short @ 70..=99 => short + 1900,
        short @ 0..=69 => short + 2000,
        year => year,
    };
    if year < 1601 || hour > 23 || minute > 59 || second > 59 || day < 1 || day > days_in(month, year) {
        return None;
    }
    Some(days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// `hh:mm:ss`, one or two digits each; anything that is no digit may follow.
fn time_of(token: &[u8]) -> Option<(i64, i64, i64)> {
    let mut fields = token.splitn(3, |&b| b == b':');
    let exact = |field: &[u8]| if field.len() <= 2 { number(field, 1..=2) } else { None };
    Some((exact(fields.next()?)?, exact(fields.next()?)?, number(fields.next()?, 1..=2)?))
}

/// The number a token starts with, when it has so many digits.
fn number(token: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let count = token.iter().take_while(|b| b.is_ascii_digit()).count();
    digits.contains(&count).then(|| token[..count].iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
}

fn month_of(token: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let name = token.get(..3)?.to_ascii_lowercase();
    (1..).zip(MONTHS).find(|(_, month)| name == *month).map(|(number, _)| number)
}

fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counting years from March so that the leap day comes last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_usual_shape() {
        for (text, unix_s) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 1_445_412_480),
            ("Wednesday, 21-Oct-15 07:28:00 GMT", 1_445_412_480),
            ("Wed Oct 21 07:28:00 2015", 1_445_412_480),
            ("21 october 2015 7:28:0", 1_445_412_480),
            ("Wed, 21-Oct-2015 07:28:00 GMT", 1_445_412_480),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Mon, 01-Jan-01 00:00:00 GMT", 978_307_200),
            ("Sat, 01 Jan 1601 00:00:00 GMT", -11_644_473_600),
        ] {
            assert_eq!(parse(text), Some(unix_s), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "tomorrow",
            "Wed, 21 Oct 2015",
            "21 Oct 2015 24:00:00",
            "21 Oct 2015 07:60:00",
            "32 Oct 2015 07:28:00",
            "29 Feb 2023 07:28:00",
            "00 Oct 2015 07:28:00",
            "21 Oct 1600 07:28:00",
            "21 Oct 20155 07:28:00",
            "21 Okt 2015 07:28:00",
            "21 Oct 2015 007:28:00",
            "21 Oct 2015 7:28",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
