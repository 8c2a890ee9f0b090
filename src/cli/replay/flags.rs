//! Values of flags as people write them.

use std::time::Duration;

use crate::model::Origin;
use crate::plan::{Speed, Target, Users};

/// `10`, `0.5`, `10x` or `max`.
pub fn speed(text: &str) -> Result<Speed, String> {
    if text.eq_ignore_ascii_case("max") {
        return Ok(Speed::Max);
    }
    let number = text.strip_suffix(['x', 'X']).unwrap_or(text);
    match number.parse::<f64>() {
        Ok(factor) if factor.is_finite() && (1e-6..=1e9).contains(&factor) => Ok(Speed::Factor(factor)),
        _ => Err("expected a factor greater than 0, such as 10 or 0.5, or `max`".to_owned()),
    }
}

/// `50x` (a multiplier) or `50` (so many users).
pub fn users(text: &str) -> Result<Users, String> {
    let (number, make): (_, fn(u32) -> Users) = match text.strip_suffix(['x', 'X']) {
        Some(number) => (number, Users::Multiplied),
        None => (text, Users::Concurrent),
    };
    match number.parse::<u32>() {
        Ok(count) if count > 0 => Ok(make(count)),
        _ => Err("expected a multiplier such as 50x, or a number of users such as 50".to_owned()),
    }
}

/// `30s`, `5m`, `1h`, `500ms`, or seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match &text[digits..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => 0.0,
    };
    text[..digits]
        .parse::<f64>()
        .ok()
        .map(|number| number * unit)
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a time such as 30s, 5m or 1h".to_owned())
}

/// `RECORDED=ACTUAL`, or `ACTUAL` for the capture's main origin.
pub fn target(text: &str) -> Result<Target, String> {
    match text.split_once('=') {
        Some((recorded, actual)) => Ok(Target { recorded: Some(origin(recorded)?), actual: origin(actual)? }),
        None => Ok(Target { recorded: None, actual: origin(text)? }),
    }
}

fn origin(text: &str) -> Result<Origin, String> {
    let origin: Origin = text.trim().parse().map_err(|e: crate::model::OriginError| e.to_string())?;
    let path = text.split_once("://").and_then(|(_, rest)| rest.find(['/', '?', '#']).map(|at| &rest[at..]));
    match path {
        None | Some("/") => Ok(origin),
        Some(path) => {
            Err(format!("`{path}` is one thing too much: a target is scheme, host and port, such as {origin}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_factors_or_max() {
        assert_eq!(speed("10"), Ok(Speed::Factor(10.0)));
        assert_eq!(speed("0.5x"), Ok(Speed::Factor(0.5)));
        assert_eq!(speed("MAX"), Ok(Speed::Max));
        for bad in ["", "0", "-1", "nan", "inf", "fast", "1e-300"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users_are_a_multiplier_or_a_number() {
        assert_eq!(users("50x"), Ok(Users::Multiplied(50)));
        assert_eq!(users("50"), Ok(Users::Concurrent(50)));
        for bad in ["", "0", "0x", "-1", "x", "1.5x", "99999999999"] {
            assert!(users(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, ms) in [("30s", 30_000), ("5m", 300_000), ("1.5h", 5_400_000), ("250ms", 250), ("2", 2_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "0", "0s", "-1s", "5 m", "5d", "1e400"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn targets_map_one_origin_to_another() {
        let mapped = target("https://shop.test=http://127.0.0.1:9000/").unwrap();
        assert_eq!(mapped.recorded.unwrap().to_string(), "https://shop.test");
        assert_eq!(mapped.actual.to_string(), "http://127.0.0.1:9000");
        assert_eq!(target("http://localhost:1").unwrap().recorded, None);
        for bad in ["localhost:1", "http://a=b", "http://a=http://b/path", "", "=http://b"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }
}
