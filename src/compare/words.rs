//! Numbers in words, the same in text, HTML and headlines.

use crate::measure::{Load, RunInfo, RunKind};

/// Microseconds for people: `950 µs`, `12.3 ms`, `1.24 s`, `12.4 min`.
pub fn time(us: u64) -> String {
    let us_f = us as f64;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..9_995 => format!("{:.2} ms", us_f / 1e3),
        9_995..99_950 => format!("{:.1} ms", us_f / 1e3),
        99_950..999_500 => format!("{:.0} ms", us_f / 1e3),
        999_500..9_995_000 => format!("{:.2} s", us_f / 1e6),
        9_995_000..119_950_000 => format!("{:.1} s", us_f / 1e6),
        _ => format!("{:.1} min", us_f / 60e6),
    }
}

/// A signed difference for people: `+12.3 ms`.
pub fn signed_time(us: i64) -> String {
    let sign = match us {
        0 => "±",
        1.. => "+",
        _ => "−",
    };
    format!("{sign}{}", time(us.unsigned_abs()))
}

/// A ratio as a change: `+52 %`, `−3.1 %`; from three on as a factor: `×4.2`.
pub fn change(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    let sign = if percent < 0.0 { "−" } else { "+" };
    if ratio >= 3.0 {
        format!("×{ratio:.1}")
    } else if percent.abs() >= 9.95 {
        format!("{sign}{:.0} %", percent.abs())
    } else {
        format!("{sign}{:.1} %", percent.abs())
    }
}

/// A share as a percentage with the digits that matter: `0.04 %`, `12 %`.
pub fn share(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0 %".to_owned()
    } else if percent < 0.995 {
        format!("{percent:.2} %")
    } else if percent < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// A whole number with narrow groups: `12 345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// A rate for each second: `4.2/s`, `1 234/s`.
pub fn rate(per_second: f64) -> String {
    if per_second < 9.95 { format!("{per_second:.1}/s") } else { format!("{}/s", count(per_second.round() as u64)) }
}

/// A mean of something counted: `0.04`, `12.3`, `1 234`.
pub fn mean(value: f64) -> String {
    match value {
        v if v < 1.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => count(v.round() as u64),
    }
}

/// Bytes: `812 B`, `1.2 kB`, `3.4 MB`.
pub fn bytes(n: u64) -> String {
    let f = n as f64;
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", f / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", f / 1e6),
        _ => format!("{:.1} GB", f / 1e9),
    }
}

/// The load of a run: `recorded users`, `50x users at 10x speed`, `200 users without pauses`.
pub fn load(info: &RunInfo) -> String {
    if info.kind == RunKind::Recorded {
        return "the recorded users at their own speed".to_owned();
    }
    let users = match info.load {
        Load::Multiplied(1) => "1x users".to_owned(),
        Load::Multiplied(n) => format!("{n}x users"),
        Load::Concurrent(1) => "1 user".to_owned(),
        Load::Concurrent(n) => format!("{n} users"),
    };
    match info.speed {
        Some(speed) => format!("{users} at {speed}x speed"),
        None => format!("{users} without pauses"),
    }
}

/// A wall-clock instant, nanoseconds since the Unix epoch: `2026-11-23 23:36:33 UTC`.
///
/// Days to dates by Howard Hinnant's `civil_from_days`.
pub fn date(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let times: Vec<String> = [7, 1_000, 12_345, 99_960, 123_456, 999_600, 61_000_000, 125_000_000].map(time).into();
        assert_eq!(times, ["7 µs", "1.00 ms", "12.3 ms", "100 ms", "123 ms", "1.00 s", "61.0 s", "2.1 min"]);
        let changes: Vec<String> = [1.0, 1.523, 0.97, 4.21, 1.03].map(change).into();
        assert_eq!(changes, ["+0.0 %", "+52 %", "−3.0 %", "×4.2", "+3.0 %"]);
        assert_eq!((signed_time(-12_345), signed_time(0)), ("−12.3 ms".to_owned(), "±0 µs".to_owned()));
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!([0.0, 0.0004, 0.05, 0.5].map(share), ["0 %", "0.04 %", "5.0 %", "50 %"]);
    }

    #[test]
    fn instants_read_as_dates() {
        // date -u -d @951782400 and so on.
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_400 * 1_000_000_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_735_689_599 * 1_000_000_000), "2024-12-31 23:59:59 UTC");
    }
}
