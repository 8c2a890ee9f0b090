//! Remarks in words.

use crate::model::{Remark, Side};

use super::text::{millis, size};

/// A remark as one short line. What was captured in it is not yet safe for a terminal.
pub(super) fn words(remark: &Remark) -> String {
    match remark {
        Remark::Gap { side, at, bytes: 0 } => {
            format!("some bytes of the {} body are missing at offset {at}", name(*side))
        }
        Remark::Gap { side, at, bytes } => {
            format!("{} of the {} body are missing at offset {at}", size(*bytes), name(*side))
        }
        Remark::UnknownField { side, position, name: None } => {
            format!("{} field {position} is not known", name(*side))
        }
        Remark::UnknownField { side, position, name: Some(field) } => {
            format!("{} field {position} ({}) is not known", name(*side), String::from_utf8_lossy(field))
        }
        Remark::BodyAbsent { side, bytes: 0 } => format!("the {} body is not in the source", name(*side)),
        Remark::BodyAbsent { side, bytes } => {
            format!("the {} body of {} is not in the source", name(*side), size(*bytes))
        }
        Remark::Tap { client_ns, server_ns } => {
            let part = |ns: &Option<u64>, who| ns.map(|ns| format!("{} ms to the {who} and back", millis(ns)));
            let parts: Vec<String> =
                [part(client_ns, "client"), part(server_ns, "server")].into_iter().flatten().collect();
            format!(
                "captured {}",
                if parts.is_empty() { "between client and server".to_owned() } else { parts.join(", ") }
            )
        }
        Remark::Resumed { side, at, when } => {
            format!(
                "the {} body went on at offset {at} after a pause, {:.3} s into the capture",
                name(*side),
                when.0 as f64 / 1e9
            )
        }
        Remark::Other(text) => text.clone(),
    }
}

/// Of which message.
pub(super) fn name(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Response => "response",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_are_short_sentences() {
        let side = Side::Response;
        for (remark, text) in [
            (Remark::Gap { side, at: 7, bytes: 0 }, "some bytes of the response body are missing at offset 7"),
            (
                Remark::Resumed { side, at: 7, when: crate::model::Nanos(1_500_000_000) },
                "the response body went on at offset 7 after a pause, 1.500 s into the capture",
            ),
            (Remark::BodyAbsent { side, bytes: 0 }, "the response body is not in the source"),
            (Remark::BodyAbsent { side, bytes: 1_500 }, "the response body of 1.5 kB is not in the source"),
            (Remark::Tap { client_ns: None, server_ns: Some(2_000_000) }, "captured 2.000 ms to the server and back"),
            (
                Remark::Tap { client_ns: Some(1_000), server_ns: Some(0) },
                "captured 0.001 ms to the client and back, 0.000 ms to the server and back",
            ),
            (Remark::Other("in words".into()), "in words"),
        ] {
            assert_eq!(words(&remark), text);
        }
    }
}
