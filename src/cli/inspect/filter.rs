//! `--filter`: which exchanges are wanted. Terms joined by spaces must all hold.

use crate::model::Exchange;
use crate::record::glob::matches;

/// What the help and the error say.
pub(super) const TERMS: &str = "method=GET status=404 status=4xx status=none host=*.shop.test path=/cart* session=2 type=html transaction=NAME \
     incomplete noise, each with an optional ! in front";

/// A parsed filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    terms: Vec<(Sense, Term)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    Is,
    IsNot,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Method(String),
    /// Lowest and highest.
    Status(u16, u16),
    NoResponse,
    Host(String),
    Path(String),
    Session(u32),
    Type(String),
    Transaction(String),
    Incomplete,
    Noise,
}

impl Filter {
    /// Parses `method=POST !status=2xx`.
    ///
    /// # Errors
    /// A sentence with the term that is wrong and those that exist.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let term = |word: &str| {
            let (sense, rest) = match word.strip_prefix('!') {
                Some(rest) => (Sense::IsNot, rest),
                None => (Sense::Is, word),
            };
            let term = Term::parse(rest).ok_or_else(|| format!("unknown filter term `{word}`; there are {TERMS}"))?;
            Ok((sense, term))
        };
        Ok(Self { terms: text.split_whitespace().map(term).collect::<Result<_, String>>()? })
    }

    /// Whether an exchange is wanted.
    pub(super) fn wants(&self, exchange: &Exchange) -> bool {
        self.terms.iter().all(|(sense, term)| term.holds(exchange) == (*sense == Sense::Is))
    }
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "incomplete" => return Some(Self::Incomplete),
            "noise" => return Some(Self::Noise),
            _ => {}
        }
        let (key, value) = text.split_once('=').filter(|(_, value)| !value.is_empty())?;
        match key {
            "method" => Some(Self::Method(value.to_owned())),
            "status" => parse_status(value),
            "host" => Some(Self::Host(value.to_ascii_lowercase())),
            "path" => Some(Self::Path(value.to_owned())),
            "session" => value.parse().ok().map(Self::Session),
            "type" => Some(Self::Type(value.to_ascii_lowercase())),
            "transaction" => Some(Self::Transaction(value.to_owned())),
            _ => None,
        }
    }

    fn holds(&self, exchange: &Exchange) -> bool {
        let status = exchange.response.as_ref().map(|response| response.status);
        match self {
            Self::Method(method) => exchange.request.method.eq_ignore_ascii_case(method),
            Self::Status(lowest, highest) => status.is_some_and(|s| (lowest..=highest).contains(&&s)),
            Self::NoResponse => status.is_none(),
            Self::Host(pattern) => {
                let origin = &exchange.request.origin;
                matches(pattern.as_bytes(), origin.host.as_bytes())
                    || matches(pattern.as_bytes(), origin.authority().as_bytes())
            }
            Self::Path(pattern) => {
                let target = exchange.request.target.as_slice();
                let path = target.split(|b| *b == b'?').next().unwrap_or_default();
                matches(pattern.as_bytes(), if pattern.contains('?') { target } else { path })
            }
            Self::Session(number) => exchange.session.0 == *number,
            Self::Type(part) => super::content_type(exchange).is_some_and(|t| t.to_ascii_lowercase().contains(part)),
            Self::Transaction(pattern) => {
                exchange.transaction.as_ref().is_some_and(|name| matches(pattern.as_bytes(), name.as_bytes()))
            }
            Self::Incomplete => exchange.incomplete.is_some(),
            Self::Noise => super::noise(exchange).is_some(),
        }
    }
}

fn parse_status(value: &str) -> Option<Term> {
    if value == "none" {
        return Some(Term::NoResponse);
    }
    if let [digit @ b'1'..=b'9', b'x' | b'X', b'x' | b'X'] = value.as_bytes() {
        let hundreds = u16::from(digit - b'0') * 100;
        return Some(Term::Status(hundreds, hundreds + 99));
    }
    value.parse().ok().map(|exact| Term::Status(exact, exact))
}

#[cfg(test)]
mod tests {
    use super::super::tests::exchange;
    use super::*;

    #[test]
    fn terms_choose_exchanges() {
        let exchange = exchange();
        for (filter, wanted) in [
            ("", true),
            ("method=post", true),
            ("!method=POST", false),
            ("status=4xx", true),
            ("status=404", true),
            ("status=2xx", false),
            ("!status=none", true),
            ("host=shop.test", true),
            ("host=*.test", true),
            ("host=shop.test:8000", true),
            ("host=shop", false),
            ("path=/a*", true),
            ("path=/a/b", true),
            ("path=/a/b?*=1", true),
            ("path=/b*", false),
            ("session=2", true),
            ("session=3", false),
            ("type=HTML", true),
            ("transaction=pay", true),
            ("incomplete", true),
            ("noise", false),
            ("!noise", true),
            ("status=4xx !incomplete", false),
            ("method=POST  session=2", true),
        ] {
            assert_eq!(Filter::parse(filter).unwrap().wants(&exchange), wanted, "{filter}");
        }
    }

    #[test]
    fn an_unknown_term_is_answered_with_those_that_exist() {
        for wrong in ["colour=red", "status=4y", "method=", "session=x", "!", "completed", "status=xxx"] {
            let sentence = Filter::parse(wrong).unwrap_err();
            assert!(sentence.contains(wrong) && sentence.contains("method=GET"), "{sentence}");
        }
    }
}
