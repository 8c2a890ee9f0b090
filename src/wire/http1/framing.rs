//! Where a body ends (RFC 9112 §6.3), decided from the head alone. Whatever two parsers might read differently is refused.

use super::{Framing, Http1Error, Leniencies, Leniency};
use crate::model::{Headers, Version};

/// What kind of request a response answers, as far as framing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Head,
    Connect,
    Other,
}

impl Asked {
    pub(super) fn by(method: &str) -> Self {
        match method {
            "HEAD" => Self::Head,
            "CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// How the body of a request with these fields is framed.
pub(super) fn of_request(version: Version, headers: &Headers) -> Result<Framing, Http1Error> {
    let declared = Declared::by(headers)?;
    match (declared.coding(version)?, declared.length) {
        (Some(Last::Chunked), _) => Ok(Framing::Chunked),
        (Some(Last::Other), _) => Err(Http1Error::TransferEncoding),
        (None, Some(length)) => Ok(Framing::Length(length)),
        (None, None) => Ok(Framing::None),
    }
}

/// How the body of a response with these fields is framed. Where no body can follow, the fields are not looked at.
pub(super) fn of_response(
    asked: Asked,
    version: Version,
    status: u16,
    headers: &Headers,
) -> Result<Framing, Http1Error> {
    match (status, asked) {
        (101, _) | (200..300, Asked::Connect) => return Ok(Framing::Tunnel),
        (100..200 | 204 | 304, _) | (_, Asked::Head) => return Ok(Framing::None),
        _ => {}
    }
    let declared = Declared::by(headers)?;
    match (declared.coding(version)?, declared.length) {
        (Some(Last::Chunked), _) => Ok(Framing::Chunked),
        (Some(Last::Other), _) => Ok(Framing::UntilClose),
        (None, Some(length)) => Ok(Framing::Length(length)),
        (None, None) => Ok(Framing::UntilClose),
    }
}

/// How an observer finds the end of a body when the head does not say it in form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    As(Framing),
    /// Where the next message seems to begin.
    NextHead,
}

/// As [`of_request`], for an observer: the transfer coding beats the length, the first length beats the others.
pub(super) fn of_observed_request(version: Version, headers: &Headers, told: &mut Leniencies) -> Observed {
    match of_request(version, headers) {
        Ok(framing) => Observed::As(framing),
        Err(_) => observed(version, headers, told, Framing::None),
    }
}

/// As [`of_response`], for an observer.
pub(super) fn of_observed_response(
    asked: Asked,
    version: Version,
    status: u16,
    headers: &Headers,
    told: &mut Leniencies,
) -> Observed {
    match of_response(asked, version, status, headers) {
        Ok(framing) => Observed::As(framing),
        Err(_) => observed(version, headers, told, Framing::UntilClose),
    }
}

fn observed(version: Version, headers: &Headers, told: &mut Leniencies, otherwise: Framing) -> Observed {
    let mut last = None;
    let mut codings = 0;
    for item in headers.all("transfer-encoding").flat_map(|value| value.split(|&b| b == b',')) {
        let item = item.trim_ascii();
        let word = item.split(|&b| b == b';').next().unwrap_or(item).trim_ascii().to_ascii_lowercase();
        let word: &[u8] = word.strip_prefix(b"\x0b").unwrap_or(&word);
        if !word.is_empty() && word != b"identity" {
            codings += 1;
            last = Some(if word == b"chunked" { Last::Chunked } else { Last::Other });
        }
    }
    let mut lengths = headers.all("content-length").flat_map(|value| value.split(|&b| b == b','));
    let first = lengths.next().map(trim);
    if last.is_some() && first.is_some() {
        told.add(Leniency::LengthBesideCoding);
    }
    if headers.first("transfer-encoding").is_some() && (last.is_none() || codings > 1 || version == Version::Http10) {
        told.add(Leniency::OddCoding);
    }
    match last {
        Some(Last::Chunked) => return Observed::As(Framing::Chunked),
        Some(Last::Other) => {
            told.add(Leniency::OddCoding);
            return if otherwise == Framing::None { Observed::NextHead } else { Observed::As(otherwise) };
        }
        None => {}
    }
    let Some(first) = first else { return Observed::As(otherwise) };
    if lengths.any(|other| trim(other) != first) {
        told.add(Leniency::LengthsDiffer);
    }
    match decimal(first.strip_prefix(b"+").unwrap_or(first)) {
        Some(length) => Observed::As(Framing::Length(length)),
        None => {
            told.add(Leniency::BadLength);
            Observed::NextHead
        }
    }
}

/// The last transfer coding applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Chunked,
    Other,
}

/// What the framing fields of a head say.
#[derive(Default)]
struct Declared {
    length: Option<u64>,
    last: Option<Last>,
}

impl Declared {
    fn by(headers: &Headers) -> Result<Self, Http1Error> {
        let mut declared = Self::default();
        for (name, value) in &headers.0 {
            if name.eq_ignore_ascii_case(b"content-length") {
                declared.take_length(value)?;
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                declared.take_codings(value)?;
            }
        }
        Ok(declared)
    }

    /// The transfer coding, when it stands alone and the version knows it (RFC 9112 §6.1).
    fn coding(&self, version: Version) -> Result<Option<Last>, Http1Error> {
        if self.last.is_some() && (self.length.is_some() || version == Version::Http10) {
            return Err(Http1Error::TransferEncoding);
        }
        Ok(self.last)
    }

    /// Equal repetitions are one value (RFC 9110 §8.6).
    fn take_length(&mut self, value: &[u8]) -> Result<(), Http1Error> {
        for item in value.split(|&b| b == b',') {
            let length = decimal(trim(item)).ok_or(Http1Error::ContentLength)?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Http1Error::ContentLength);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    fn take_codings(&mut self, value: &[u8]) -> Result<(), Http1Error> {
        for item in value.split(|&b| b == b',') {
            if self.last == Some(Last::Chunked) {
                return Err(Http1Error::TransferEncoding);
            }
            self.last = Some(match trim(item).to_ascii_lowercase().as_slice() {
                b"chunked" => Last::Chunked,
                b"gzip" | b"x-gzip" | b"deflate" | b"compress" | b"x-compress" | b"identity" => Last::Other,
                _ => return Err(Http1Error::TransferEncoding),
            });
        }
        Ok(())
    }
}

/// `value` without blanks and tabs around it: the only white space a field value may have there.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    &value[start..end]
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Headers {
        Headers(list.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect())
    }

    #[test]
    fn requests_are_framed_by_what_they_declare_or_refused() {
        let cl = |v| ("Content-Length", v);
        let te = |v| ("transfer-encoding", v);
        for (list, framing) in [
            (&[][..], Ok(Framing::None)),
            (&[cl("0")], Ok(Framing::Length(0))),
            (&[cl("18446744073709551615")], Ok(Framing::Length(u64::MAX))),
            (&[cl("5"), cl("5")], Ok(Framing::Length(5))),
            (&[cl("5, 5")], Ok(Framing::Length(5))),
            (&[cl("5"), cl("6")], Err(Http1Error::ContentLength)),
            (&[cl("5,6")], Err(Http1Error::ContentLength)),
            (&[cl("5,")], Err(Http1Error::ContentLength)),
            (&[cl("")], Err(Http1Error::ContentLength)),
            (&[cl("+5")], Err(Http1Error::ContentLength)),
            (&[cl("-5")], Err(Http1Error::ContentLength)),
            (&[cl("0x5")], Err(Http1Error::ContentLength)),
            (&[cl("5 5")], Err(Http1Error::ContentLength)),
            (&[cl("18446744073709551616")], Err(Http1Error::ContentLength)),
            (&[te("chunked")], Ok(Framing::Chunked)),
            (&[te("Chunked")], Ok(Framing::Chunked)),
            (&[te("gzip, chunked")], Ok(Framing::Chunked)),
            (&[te("gzip"), te("chunked")], Ok(Framing::Chunked)),
            (&[te("chunked, gzip")], Err(Http1Error::TransferEncoding)),
            (&[te("chunked"), te("chunked")], Err(Http1Error::TransferEncoding)),
            (&[te("chunked"), te("identity")], Err(Http1Error::TransferEncoding)),
            (&[te("gzip")], Err(Http1Error::TransferEncoding)),
            (&[te("identity")], Err(Http1Error::TransferEncoding)),
            (&[te("xchunked")], Err(Http1Error::TransferEncoding)),
            (&[te("\x0bchunked")], Err(Http1Error::TransferEncoding)),
            (&[te("chunked;q=1")], Err(Http1Error::TransferEncoding)),
            (&[te("")], Err(Http1Error::TransferEncoding)),
            (&[te(", chunked")], Err(Http1Error::TransferEncoding)),
            (&[cl("5"), te("chunked")], Err(Http1Error::TransferEncoding)),
            (&[te("chunked"), cl("0")], Err(Http1Error::TransferEncoding)),
        ] {
            assert_eq!(of_request(Version::Http11, &fields(list)), framing, "{list:?}");
        }
        let old = of_request(Version::Http10, &fields(&[te("chunked")]));
        assert_eq!(old, Err(Http1Error::TransferEncoding));
    }

    #[test]
    fn responses_are_framed_by_request_status_and_fields() {
        let cl = &[("Content-Length", "7")][..];
        let te = &[("Transfer-Encoding", "chunked")][..];
        let both = &[cl[0], te[0]][..];
        for (method, status, list, framing) in [
            ("GET", 200, &[][..], Ok(Framing::UntilClose)),
            ("GET", 200, cl, Ok(Framing::Length(7))),
            ("GET", 200, te, Ok(Framing::Chunked)),
            ("GET", 200, both, Err(Http1Error::TransferEncoding)),
            ("GET", 200, &[("Transfer-Encoding", "gzip")], Ok(Framing::UntilClose)),
            ("GET", 200, &[("Transfer-Encoding", "xchunked")], Err(Http1Error::TransferEncoding)),
            ("GET", 204, cl, Ok(Framing::None)),
            ("GET", 304, both, Ok(Framing::None)),
            ("HEAD", 200, te, Ok(Framing::None)),
            ("head", 200, cl, Ok(Framing::Length(7))),
            ("GET", 103, cl, Ok(Framing::None)),
            ("GET", 101, cl, Ok(Framing::Tunnel)),
            ("CONNECT", 200, cl, Ok(Framing::Tunnel)),
            ("CONNECT", 299, te, Ok(Framing::Tunnel)),
            ("CONNECT", 407, cl, Ok(Framing::Length(7))),
            ("CONNECT", 100, &[], Ok(Framing::None)),
        ] {
            let found = of_response(Asked::by(method), Version::Http11, status, &fields(list));
            assert_eq!(found, framing, "{method} {status} {list:?}");
        }
    }
}
