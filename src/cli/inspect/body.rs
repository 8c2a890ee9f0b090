//! A body as people want to see it: whole, content coding undone.

use crate::capture::Reader;
use crate::model::{Body, BodySource, Headers};
use crate::wire::content;

/// Longer bodies are named and not shown.
const LIMIT_BYTES: usize = 64 << 20;

/// What can be had of a body.
#[derive(Debug)]
pub(super) enum Content {
    /// Nothing, and why.
    Missing(String),
    /// The bytes.
    Read {
        /// Decoded where that was possible.
        bytes: Vec<u8>,
        /// The content coding that was undone.
        decoded: Option<String>,
        /// Why it was not.
        problem: Option<String>,
    },
}

/// Loads a body and undoes its content coding.
pub(super) fn look_into(reader: &Reader, headers: &Headers, body: &Body) -> Content {
    let bytes = match reader.load(body, LIMIT_BYTES as u64) {
        Ok(bytes) => bytes,
        Err(error) => return Content::Missing(error.to_string()),
    };
    let coding = headers.text("content-encoding").map(str::trim).unwrap_or_default();
    if coding.is_empty() || coding.eq_ignore_ascii_case("identity") || bytes.is_empty() {
        return Content::Read { bytes, decoded: None, problem: None };
    }
    match content::decode(coding, &bytes, LIMIT_BYTES) {
        Ok(plain) => Content::Read { bytes: plain, decoded: Some(coding.to_owned()), problem: None },
        Err(error) => Content::Read { bytes, decoded: None, problem: Some(error.to_string()) },
    }
}
