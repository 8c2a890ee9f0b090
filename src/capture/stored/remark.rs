//! Remarks inside the records of exchanges. All kinds have the same fields, so that a reader can pass over those it does not
//! know.

use std::borrow::Cow;

use crate::model::{Nanos, Remark};

use super::{StoredRemark, load_side, store_side};

const OTHER: u8 = 0;
const GAP: u8 = 1;
const UNKNOWN_FIELD: u8 = 2;
const BODY_ABSENT: u8 = 3;
const TAP: u8 = 4;
const RESUMED: u8 = 5;

impl<'a> StoredRemark<'a> {
    pub(super) fn of(remark: &'a Remark) -> Self {
        let plain = |kind, about| Self { kind, about, at: 0, count: 0, text: Cow::Borrowed(&[]) };
        match remark {
            Remark::Other(text) => Self { text: Cow::Borrowed(text.as_bytes()), ..plain(OTHER, 0) },
            Remark::Gap { side, at, bytes } => Self { at: *at, count: *bytes, ..plain(GAP, store_side(*side)) },
            Remark::UnknownField { side, position, name } => Self {
                at: u64::from(*position),
                count: u64::from(name.is_some()),
                text: Cow::Borrowed(name.as_deref().unwrap_or_default()),
                ..plain(UNKNOWN_FIELD, store_side(*side))
            },
            Remark::BodyAbsent { side, bytes } => Self { count: *bytes, ..plain(BODY_ABSENT, store_side(*side)) },
            Remark::Resumed { side, at, when } => Self { at: *at, count: when.0, ..plain(RESUMED, store_side(*side)) },
            Remark::Tap { client_ns, server_ns } => Self {
                at: client_ns.unwrap_or(0),
                count: server_ns.unwrap_or(0),
                ..plain(TAP, u8::from(client_ns.is_some()) | u8::from(server_ns.is_some()) << 1)
            },
        }
    }

    /// One of a kind that this version does not know becomes words.
    pub(super) fn model(self) -> Remark {
        let Self { kind, about, at, count, text } = &self;
        match (*kind, load_side(*about)) {
            (OTHER, _) => Remark::Other(String::from_utf8_lossy(text).into_owned()),
            (GAP, Some(side)) => Remark::Gap { side, at: *at, bytes: *count },
            (UNKNOWN_FIELD, Some(side)) => Remark::UnknownField {
                side,
                position: u32::try_from(*at).unwrap_or(u32::MAX),
                name: (*count != 0).then(|| text.to_vec()),
            },
            (BODY_ABSENT, Some(side)) => Remark::BodyAbsent { side, bytes: *count },
            (RESUMED, Some(side)) => Remark::Resumed { side, at: *at, when: Nanos(*count) },
            (TAP, _) => Remark::Tap {
                client_ns: (about & 1 != 0).then_some(*at),
                server_ns: (about & 2 != 0).then_some(*count),
            },
            _ => {
                let text = String::from_utf8_lossy(text);
                Remark::Other(format!("of a kind that this version does not know ({kind}): {text}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::Side;

    use super::*;

    #[test]
    fn every_remark_comes_back() {
        use Side::{Request, Response};
        for remark in [
            Remark::Gap { side: Request, at: 0, bytes: 7 },
            Remark::Gap { side: Response, at: u64::MAX, bytes: 0 },
            Remark::UnknownField { side: Request, position: u32::MAX, name: None },
            Remark::UnknownField { side: Response, position: 0, name: Some(Vec::new()) },
            Remark::UnknownField { side: Response, position: 3, name: Some(b":path\xff".to_vec()) },
            Remark::BodyAbsent { side: Response, bytes: 12 },
            Remark::Tap { client_ns: None, server_ns: None },
            Remark::Tap { client_ns: Some(0), server_ns: None },
            Remark::Tap { client_ns: None, server_ns: Some(u64::MAX) },
            Remark::Resumed { side: Response, at: 5, when: Nanos(u64::MAX) },
            Remark::Other("in words".into()),
        ] {
            assert_eq!(StoredRemark::of(&remark).model(), remark);
        }
    }

    #[test]
    fn a_remark_of_a_later_kind_is_kept_as_words() {
        for (kind, about) in [(200, 0), (GAP, 9)] {
            let later = StoredRemark { kind, about, at: 1, count: 2, text: Cow::Borrowed(b"new") };
            let Remark::Other(text) = later.model() else { panic!("words") };
            assert!(text.contains(&kind.to_string()) && text.contains("new"), "{text}");
        }
    }
}
