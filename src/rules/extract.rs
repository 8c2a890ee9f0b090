//! Extractors: a chain of lenses, each of which narrows a text to a part of it.

use std::fmt;
use std::str::FromStr;

use crate::model::Headers;

/// One narrowing of a text. Printed and parsed as shown at each variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lens {
    /// `header("Location")`: the first value of a response header. Only first in a chain.
    Header(String),
}

/// A chain of lenses, such as `json($.form) | form("/a/{}", "token")`. Starts from the decoded body unless the first
/// lens is a header or a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Extractor(pub Vec<Lens>);

/// Why a text is no extractor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at}")]
pub struct ExtractorError {
    /// What is wrong.
    pub what: String,
    /// Where, counted in characters from 1.
    pub at: usize,
}

/// What extractors look at: one response, its body already decoded from content codings.
#[derive(Clone, Copy, Debug)]
pub struct ResponseView<'a> {
    /// Header fields.
    pub headers: &'a Headers,
    /// Body without content codings.
    pub body: &'a [u8],
}

impl Extractor {
    /// The value, or `None` when the response does not hold it.
    pub fn extract(&self, _response: ResponseView<'_>) -> Option<String> {
        todo!()
    }

    /// Whether the body is looked at (else headers suffice).
    pub fn needs_body(&self) -> bool {
        todo!()
    }
}

impl FromStr for Extractor {
    type Err = ExtractorError;

    fn from_str(_text: &str) -> Result<Self, ExtractorError> {
        todo!()
    }
}

impl fmt::Display for Extractor {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
